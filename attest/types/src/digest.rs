//! **Duty.** Digests as types. **Knows** SHA-2 and the order of the Goldilocks field. **Does not know** Poseidon.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256, Sha512};

use crate::codec::{Canonical, CodecError, Decoder, Encoder};

/// p = 2⁶⁴ − 2³² + 1, the field that the proofs use.
pub const GOLDILOCKS_ORDER: u64 = 0xffff_ffff_0000_0001;

/// A 32-byte SHA-256 or BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest32(pub [u8; 32]);

/// Four canonical field elements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoseidonDigest([u64; 4]);

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest32 {
    Digest32(Sha256::digest(bytes).into())
}

/// SHA-512.
#[must_use]
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    Sha512::digest(bytes).into()
}

impl PoseidonDigest {
    /// Four elements; `None` unless each is below p.
    #[must_use]
    pub fn from_elements(elements: [u64; 4]) -> Option<Self> {
        elements.iter().all(|&element| element < GOLDILOCKS_ORDER).then_some(Self(elements))
    }

    /// The elements.
    #[must_use]
    pub const fn elements(self) -> [u64; 4] {
        self.0
    }

    /// Little-endian bytes of the four elements.
    #[must_use]
    pub fn as_bytes(self) -> [u8; 32] {
        let mut bytes = [0u8; 32];
        for (chunk, element) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&element.to_le_bytes());
        }
        bytes
    }

    /// Reads the bytes back; `None` when an element is p or more.
    #[must_use]
    pub fn from_le_bytes(bytes: [u8; 32]) -> Option<Self> {
        let mut elements = [0u64; 4];
        for (element, chunk) in elements.iter_mut().zip(bytes.chunks_exact(8)) {
            *element = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        Self::from_elements(elements)
    }
}

impl Canonical for Digest32 {
    fn encode(&self, out: &mut Encoder) {
        out.raw(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.array()?))
    }
}

impl Canonical for PoseidonDigest {
    fn encode(&self, out: &mut Encoder) {
        out.raw(&self.as_bytes());
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Self::from_le_bytes(input.array()?).ok_or(CodecError::NotCanonical("Poseidon digest"))
    }
}

/// For a field of bytes that is printed and never read back.
pub(crate) fn as_hex<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

/// The same where the bytes may be absent.
pub(crate) fn as_optional_hex<S: Serializer>(
    bytes: &Option<impl AsRef<[u8]>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(hex::encode).serialize(serializer)
}

/// The same for several.
pub(crate) fn as_hex_list<S: Serializer>(items: &[impl AsRef<[u8]>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(hex::encode))
}

/// The same for bytes under numbers.
pub(crate) fn as_hex_map<S: Serializer>(items: &BTreeMap<u16, Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(items.iter().map(|(number, bytes)| (number, hex::encode(bytes))))
}

/// A shared list as a list.
pub(crate) fn as_list<T: Serialize, S: Serializer>(items: &Arc<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter())
}

/// Hex in text and JSON: what a person compares.
macro_rules! hex_text {
    ($type:ident, $to:expr, $from:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode($to(self)))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let bytes = hex::decode(&text).map_err(D::Error::custom)?;
                let bytes = bytes.try_into().map_err(|_| D::Error::custom("wrong length"))?;
                $from(bytes).ok_or_else(|| D::Error::custom("not canonical"))
            }
        }
    };
}
pub(crate) use hex_text;

hex_text!(Digest32, |d: &Digest32| d.0, |b| Some(Digest32(b)));
hex_text!(PoseidonDigest, |d: &PoseidonDigest| d.as_bytes(), PoseidonDigest::from_le_bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_at_or_above_the_order_are_refused() {
        assert!(PoseidonDigest::from_elements([GOLDILOCKS_ORDER, 0, 0, 0]).is_none());
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(&GOLDILOCKS_ORDER.to_le_bytes());
        assert_eq!(PoseidonDigest::from_bytes(&bytes), Err(CodecError::NotCanonical("Poseidon digest")));
    }
}
