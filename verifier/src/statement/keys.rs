//! **Duty.** Keys that sign and check statements: Ed25519 and ECDSA P-256 with SHA-256, as PEM. **Knows** two fixed
//! DER prefixes. **Does not know** files or certificates: whose key it is, the reader decides.
//! **Spec.** RFC 7468 (PEM), RFC 8410 (Ed25519), RFC 5480 (P-256), RFC 5958 (PKCS #8).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use weighbridge_attest_types::sha256;

use super::StatementError;

/// `SubjectPublicKeyInfo` up to the 32 bytes of an Ed25519 key.
const ED25519_PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// `PrivateKeyInfo` v1 up to the 32 bytes of an Ed25519 seed: the form that every tool reads.
const ED25519_PRIVATE: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// `SubjectPublicKeyInfo` up to the 65 bytes of an uncompressed point on P-256.
const P256_PUBLIC: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// A key file is a few hundred bytes.
pub(crate) const MAX_KEY_BYTES: u64 = 16 << 10;
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// Signs.
pub(crate) enum SigningKey {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// Checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VerifyingKey {
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
}

/// Nothing of a private key reaches a message.
impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// Reads a private key in PKCS #8 PEM.
    pub(crate) fn from_pem(text: &[u8], random: &dyn SecureRandom) -> Result<Self, StatementError> {
        let der = from_pem(text, PRIVATE)?;
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self::Ed25519(key));
        }
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, random);
        key.map(Self::P256).map_err(|_| StatementError::PrivateKey)
    }

    pub(crate) fn public(&self) -> VerifyingKey {
        match self {
            Self::Ed25519(key) => VerifyingKey::Ed25519(key.public_key().as_ref().to_vec()),
            Self::P256(key) => VerifyingKey::P256(key.public_key().as_ref().to_vec()),
        }
    }

    /// In the form of JOSE and COSE: 64 bytes, of ECDSA r and s side by side.
    pub(crate) fn sign_fixed(&self, bytes: &[u8], random: &dyn SecureRandom) -> Result<[u8; 64], StatementError> {
        let signature = self.sign(bytes, random)?;
        let fixed = match self {
            Self::Ed25519(_) => signature.try_into().ok(),
            Self::P256(_) => fixed_of_der(&signature),
        };
        // Our own signature of a known form: what does not fit is as good as none.
        fixed.ok_or(StatementError::Random)
    }

    pub(crate) fn sign(&self, bytes: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, StatementError> {
        match self {
            Self::Ed25519(key) => Ok(key.sign(bytes).as_ref().to_vec()),
            Self::P256(key) => {
                key.sign(random, bytes).map(|sig| sig.as_ref().to_vec()).map_err(|_| StatementError::Random)
            }
        }
    }
}

impl VerifyingKey {
    /// Reads a public key in PEM.
    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, StatementError> {
        let der = from_pem(text, PUBLIC)?;
        match (der.strip_prefix(&ED25519_PUBLIC), der.strip_prefix(&P256_PUBLIC)) {
            (Some(key), _) if key.len() == 32 => Ok(Self::Ed25519(key.to_vec())),
            // Only the uncompressed form begins with 4.
            (_, Some(key)) if key.len() == 65 && key.first() == Some(&4) => Ok(Self::P256(key.to_vec())),
            _ => Err(StatementError::PublicKey),
        }
    }

    fn der(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [ED25519_PUBLIC.as_slice(), key].concat(),
            Self::P256(key) => [P256_PUBLIC.as_slice(), key].concat(),
        }
    }

    pub(crate) fn to_pem(&self) -> String {
        to_pem(&self.der(), PUBLIC)
    }

    /// SHA-256 of the key's `SubjectPublicKeyInfo`, in hex.
    pub(crate) fn id(&self) -> String {
        sha256(&self.der()).to_string()
    }

    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(bytes, signature).is_ok(),
            Self::P256(key) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(bytes, signature).is_ok(),
        }
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }` as two numbers of 32 bytes.
fn fixed_of_der(der: &[u8]) -> Option<[u8; 64]> {
    let [0x30, length, rest @ ..] = der else { return None };
    let (r, rest) = integer(rest)?;
    let (s, rest_of_all) = integer(rest)?;
    let fits = rest_of_all.is_empty() && usize::from(*length) + 2 == der.len();
    let mut fixed = [0; 64];
    for (place, number) in [(32, r), (64, s)] {
        let start = place - number.len();
        fixed.get_mut(start..place)?.copy_from_slice(number);
    }
    fits.then_some(fixed)
}

/// A positive number without its leading zero, at most 32 bytes of it, and what follows.
fn integer(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x02, length, rest @ ..] = der else { return None };
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    let number = number.strip_prefix(&[0]).unwrap_or(number);
    (number.len() <= 32).then_some((number, rest))
}

/// A fresh Ed25519 key as PEM.
pub(crate) fn generate(random: &dyn SecureRandom) -> Result<String, StatementError> {
    let mut seed = [0; 32];
    random.fill(&mut seed).map_err(|_| StatementError::Random)?;
    Ok(to_pem(&[ED25519_PRIVATE.as_slice(), &seed].concat(), PRIVATE))
}

fn to_pem(der: &[u8], label: &str) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, character) in base64.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

/// Exactly one block of this label and nothing else.
fn from_pem(text: &[u8], label: &'static str) -> Result<Vec<u8>, StatementError> {
    let refused = || StatementError::Pem { label };
    let text = std::str::from_utf8(text).map_err(|_| refused())?.trim();
    let body = text.strip_prefix(&format!("-----BEGIN {label}-----")).ok_or_else(refused)?;
    let body = body.strip_suffix(&format!("-----END {label}-----")).ok_or_else(refused)?;
    let base64: String = body.lines().map(str::trim).collect();
    STANDARD.decode(base64).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_brought_to_their_length() {
        let der = |r: &[u8], s: &[u8]| {
            let integer = |n: &[u8]| [&[0x02, u8::try_from(n.len()).unwrap()], n].concat();
            let body = [integer(r), integer(s)].concat();
            [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
        };
        let high = [&[0][..], &[0x80; 32]].concat();
        let fixed = fixed_of_der(&der(&high, &[7])).unwrap();
        assert_eq!((&fixed[..32], &fixed[32..63], fixed[63]), (&[0x80; 32][..], &[0; 31][..], 7));
        let long = der(&[1; 33], &[7]);
        let mut more = der(&[1], &[2]);
        more.push(0);
        for wrong in [&b""[..], &[0x30, 0], &long, &more] {
            assert_eq!(fixed_of_der(wrong), None);
        }
    }
}
