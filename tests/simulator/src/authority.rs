//! **Duty.** A simulated time authority: nonces (*not before*) and receipts (*not after*). **Does not know** what a
//! head contains; it only saw it. **Spec.** PROTOCOL §3 (time bracket).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use weighbridge_attest_types::{Digest32, PoseidonDigest, Signature64, SignedNonce, SignedReceipt, UnixMillis};

use crate::keys::Seed;

/// Signs when it told a nonce and when it saw a head. Clones are one authority: they never tell the same nonce.
#[derive(Debug, Clone)]
pub struct TimeAuthority {
    seed: Seed,
    key: Arc<Ed25519KeyPair>,
    told: Arc<AtomicU64>,
}

impl TimeAuthority {
    pub(crate) fn grow(seed: Seed) -> Self {
        Self { seed, key: Arc::new(seed.ed25519("time/authority")), told: Arc::new(AtomicU64::new(0)) }
    }

    /// Its public key, which an anchor file names.
    #[must_use]
    pub fn key(&self) -> Digest32 {
        let key = self.key.public_key().as_ref();
        Digest32(key.try_into().expect("an Ed25519 key has 32 bytes"))
    }

    /// A nonce that nobody was told before, with the time of telling. It looks random to whoever lacks the seed; the
    /// time is part of it, so that a second process over the same seed repeats one only by repeating the instant.
    #[must_use]
    pub fn issue_nonce(&self, now: UnixMillis) -> SignedNonce {
        let told = self.told.fetch_add(1, Ordering::Relaxed);
        let nonce = Digest32(self.seed.array(&format!("time/nonce/{}/{told}", now.0)));
        let signature = self.sign(&SignedNonce::signing_bytes(now, nonce));
        SignedNonce { authority: self.key(), issued: now, nonce, signature }
    }

    /// A receipt over a head.
    #[must_use]
    pub fn receipt(
        &self,
        now: UnixMillis,
        node_key_digest: Digest32,
        index: u64,
        head: PoseidonDigest,
    ) -> SignedReceipt {
        let signature = self.sign(&SignedReceipt::signing_bytes(now, node_key_digest, index, head));
        SignedReceipt { authority: self.key(), received: now, node_key_digest, index, head, signature }
    }

    fn sign(&self, bytes: &[u8]) -> Signature64 {
        let signature = self.key.sign(bytes);
        Signature64(signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn tokens_verify_and_speak_only_of_what_they_name() {
        let authority = TimeAuthority::grow(Seed(3));
        let key = UnparsedPublicKey::new(&ED25519, authority.key().0);
        let nonce = authority.issue_nonce(UnixMillis(1000));
        let said = SignedNonce::signing_bytes(UnixMillis(1000), nonce.nonce);
        assert!(key.verify(&said, &nonce.signature.0).is_ok());
        let later = SignedNonce::signing_bytes(UnixMillis(1001), nonce.nonce);
        assert!(key.verify(&later, &nonce.signature.0).is_err());

        let (digest, head) = (Digest32([5; 32]), PoseidonDigest::default());
        let receipt = authority.receipt(UnixMillis(2000), digest, 12, head);
        let said = SignedReceipt::signing_bytes(UnixMillis(2000), digest, 12, head);
        assert!(key.verify(&said, &receipt.signature.0).is_ok());
        let other = SignedReceipt::signing_bytes(UnixMillis(2000), digest, 13, head);
        assert!(key.verify(&other, &receipt.signature.0).is_err());
    }

    #[test]
    fn no_nonce_is_told_twice_also_not_by_a_clone() {
        let authority = TimeAuthority::grow(Seed(3));
        let clone = authority.clone();
        let now = UnixMillis(1000);
        let told = [authority.issue_nonce(now).nonce, clone.issue_nonce(now).nonce, authority.issue_nonce(now).nonce];
        assert!(told[0] != told[1] && told[1] != told[2] && told[0] != told[2]);
    }
}
