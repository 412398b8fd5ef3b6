//! **Duty.** THE definition of the salt that hides a reading. **Does not know** where a node keeps its secret.
//! **Spec.** PROTOCOL §3 (Ledger): 28 bytes of HKDF-SHA-256(node secret, no salt, info = framed domain ‖ index).

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use weighbridge_attest_types::Domain;

const SALT_BYTES: usize = 28;

struct SaltLength;

impl KeyType for SaltLength {
    fn len(&self) -> usize {
        SALT_BYTES
    }
}

/// The salt of interval `index`: the first 28 bytes of HKDF-SHA-256.
///
/// # Panics
/// Never: 28 bytes are far below HKDF's limit of 255 hashes.
#[must_use]
pub fn reading_salt(node_secret: &[u8], index: u64) -> [u8; SALT_BYTES] {
    let mut info = Domain::Salt.encoder();
    info.put(&index);
    let info = info.finish();
    let mut salt = [0u8; SALT_BYTES];
    let extracted = Salt::new(HKDF_SHA256, &[]).extract(node_secret);
    let filled = extracted.expand(&[&info], SaltLength).and_then(|key| key.fill(&mut salt));
    #[expect(clippy::expect_used, reason = "a salt of zeros would publish the reading; stopping is the lesser harm")]
    filled.expect("28 bytes are within HKDF's limit");
    salt
}
