//! **Duty.** Whether a node key can sign for anybody, and whether it signed an entry. **Knows** Ed25519.
//! **Spec.** PROTOCOL §3 (Interval); RFC 8032 §5.1.3, §5.1.7.

use ring::signature::{ED25519, UnparsedPublicKey};
use weighbridge_attest_types::{Digest32, NodeKey, PoseidonDigest, Signature64, entry_signing_bytes};

use crate::LedgerError;

/// The y coordinates of the eight points of small order, sign bit cleared. Under such a key one signature holds for
/// many messages or for all, so it binds nobody.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// Refuses keys of small order and second spellings of a key (y ≥ 2²⁵⁵ − 19). A key that is no point at all has no
/// valid signature, so its first entry fails.
pub(crate) fn check_key(node_key: NodeKey) -> Result<(), LedgerError> {
    let mut y = node_key.0;
    if let Some(top) = y.last_mut() {
        *top &= 0x7f;
    }
    let canonical = match y.split_first() {
        Some((low, [middle @ .., 0x7f])) if middle.iter().all(|&byte| byte == 0xff) => *low < 0xed,
        _ => true,
    };
    if !canonical || SMALL_ORDER.contains(&y) { Err(LedgerError::BadKey { node_key }) } else { Ok(()) }
}

/// Checks the signature over one entry's head.
pub(crate) fn check_signature(
    node_key: NodeKey,
    genesis: Digest32,
    index: u64,
    head: PoseidonDigest,
    signature: &Signature64,
) -> Result<(), LedgerError> {
    let message = entry_signing_bytes(genesis, index, head);
    let key = UnparsedPublicKey::new(&ED25519, node_key.0);
    key.verify(&message, &signature.0).map_err(|_| LedgerError::BadSignature { index })
}
