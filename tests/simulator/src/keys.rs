//! **Duty.** Every secret and every identity of a simulated world, as a function of its seed. **Does not know** what
//! a key is for: callers say it in the label. Signatures are deterministic too (RFC 6979, RFC 8032), so that the same
//! world gives the same bytes.

use std::fmt;

use ring::signature::Ed25519KeyPair;
use sha2::{Digest as _, Sha384};
use weighbridge_attest_types::{Encoder, sha512};

/// Where everything in a world comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// 64 bytes for one use: SHA-512 over a framed domain, the seed and the label.
    pub(crate) fn bytes(self, label: &str) -> [u8; 64] {
        let mut out = Encoder::new();
        out.field(b"weighbridge/simulator/v1").put(&self.0).field(label.as_bytes());
        sha512(&out.finish())
    }

    /// The first `N` (≤ 64) of those bytes.
    pub(crate) fn array<const N: usize>(self, label: &str) -> [u8; N] {
        std::array::from_fn(|at| self.bytes(label)[at])
    }

    /// A SHA-384 value: what a measurement register holds.
    pub(crate) fn measurement(self, label: &str) -> [u8; 48] {
        Sha384::digest(self.bytes(label)).into()
    }

    /// An Ed25519 key.
    pub(crate) fn ed25519(self, label: &str) -> Ed25519KeyPair {
        let seed: [u8; 32] = self.array(label);
        Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are an Ed25519 seed")
    }
}

/// An ECDSA key over one curve, usable by rcgen for certificates and directly for raw `r ‖ s` signatures.
macro_rules! ecdsa_key {
    ($name:ident, $curve:ident, $algorithm:ident, $scalar_bytes:literal, $text:literal) => {
        #[doc = $text]
        #[derive(Clone)]
        pub(crate) struct $name {
            key: $curve::ecdsa::SigningKey,
            point: Vec<u8>,
        }

        impl $name {
            /// The key of one use. A candidate that is no scalar (chance below 2⁻³²) gives way to the next.
            pub(crate) fn derive(seed: Seed, label: &str) -> Self {
                let candidate = |attempt: u32| {
                    let bytes: [u8; $scalar_bytes] = seed.array(&format!("{label}#{attempt}"));
                    $curve::ecdsa::SigningKey::from_slice(&bytes).ok()
                };
                let key = (0..).find_map(candidate).expect("one of 2^32 candidates is a scalar");
                let point = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
                Self { key, point }
            }

            /// `r ‖ s`, big-endian, as quotes, reports and collateral carry it.
            pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 2 * $scalar_bytes] {
                let bytes = self.signature(message).to_bytes();
                bytes.as_slice().try_into().expect("r and s have the width of the curve")
            }

            fn signature(&self, message: &[u8]) -> $curve::ecdsa::Signature {
                use $curve::ecdsa::signature::Signer as _;
                self.key.sign(message)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.point))
            }
        }

        impl rcgen::PublicKeyData for $name {
            fn der_bytes(&self) -> &[u8] {
                &self.point
            }
            fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
                &rcgen::$algorithm
            }
        }

        impl rcgen::SigningKey for $name {
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
                Ok(self.signature(message).to_der().as_bytes().to_vec())
            }
        }
    };
}

ecdsa_key!(P256Key, p256, PKCS_ECDSA_P256_SHA256, 32, "A P-256 key; signs over SHA-256.");
ecdsa_key!(P384Key, p384, PKCS_ECDSA_P384_SHA384, 48, "A P-384 key; signs over SHA-384.");

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn keys_follow_seed_and_label_and_nothing_else() {
        let key = P256Key::derive(Seed(7), "a");
        assert_eq!(key.point, P256Key::derive(Seed(7), "a").point);
        assert_ne!(key.point, P256Key::derive(Seed(7), "b").point);
        assert_ne!(key.point, P256Key::derive(Seed(8), "a").point);
        assert_eq!(key.sign_raw(b"message"), key.sign_raw(b"message"));
    }

    #[test]
    fn another_library_accepts_the_raw_signatures() {
        let (p256, p384) = (P256Key::derive(Seed(1), "k"), P384Key::derive(Seed(1), "k"));
        let small = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &p256.point);
        let large = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &p384.point);
        assert!(small.verify(b"message", &p256.sign_raw(b"message")).is_ok());
        assert!(small.verify(b"massage", &p256.sign_raw(b"message")).is_err());
        assert!(large.verify(b"message", &p384.sign_raw(b"message")).is_ok());
        assert!(large.verify(b"massage", &p384.sign_raw(b"message")).is_err());
    }
}
