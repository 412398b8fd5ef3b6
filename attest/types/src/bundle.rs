//! **Duty.** The one-file container: deterministic bytes, the manifest of members first, every byte accounted for.
//! A node's export and an archive of endorsements are the same container under other magics. **Does not know** what members mean.
//! **Spec.** PROTOCOL §7: magic, `u32` version, count, then per member name, `u64` size and SHA-256, then the bytes of
//! all members in the same (ascending) order, nothing after.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::codec::{CodecError, Decoder, Encoder};
use crate::{Digest32, sha256};

/// Members of one container.
pub const MAX_MEMBERS: usize = 65_536;
/// One member's size in bytes. A ledger of 2²⁰ small intervals fits.
pub const MAX_MEMBER_BYTES: u64 = 128 * 1024 * 1024;
/// The whole container in bytes.
pub const MAX_BUNDLE_BYTES: u64 = 256 * 1024 * 1024;
const MAX_NAME_BYTES: usize = 200;
const VERSION: u32 = 1;
const MAGIC_BUNDLE: [u8; 8] = *b"WEIGHBRG";
const MAGIC_EXPORT: [u8; 8] = *b"WEIGHNOD";
const MAGIC_ENDORSEMENTS: [u8; 8] = *b"WEIGHEND";

/// Why bytes are not a container.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Other magic.
    #[error("this is not a Weighbridge {0} (magic bytes differ)")]
    Magic(&'static str),
    /// A version that we have not learned.
    #[error("container version {0} is unknown; this build reads version {VERSION}")]
    Version(u32),
    /// Framing.
    #[error("the table of members does not parse")]
    Framing(#[source] CodecError),
    /// A name out of order, twice, too long or with other characters than `a-z 0-9 . - /`.
    #[error("member name {0:?} is not allowed here (order, repetition or characters)")]
    Name(String),
    /// Over a cap.
    #[error("{what} has {found} bytes; the cap is {cap}")]
    TooLarge {
        /// Member or container.
        what: String,
        /// Size found.
        found: u64,
        /// Cap.
        cap: u64,
    },
    /// Bytes of a member differ from its digest.
    #[error("member {0} does not have the digest that the table of members gives")]
    Digest(String),
}

/// Size and digest of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberDigest {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest32,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name, with `/` between parts.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A parsed or growing container; members are sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    magic: [u8; 8],
    members: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// An empty bundle.
    #[must_use]
    pub const fn new_bundle() -> Self {
        Self { magic: MAGIC_BUNDLE, members: BTreeMap::new() }
    }

    /// An empty node export.
    #[must_use]
    pub const fn new_export() -> Self {
        Self { magic: MAGIC_EXPORT, members: BTreeMap::new() }
    }

    /// An empty archive of endorsements.
    #[must_use]
    pub const fn new_endorsements() -> Self {
        Self { magic: MAGIC_ENDORSEMENTS, members: BTreeMap::new() }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// [`BundleError::Name`] for a bad or repeated name, [`BundleError::TooLarge`] over a cap.
    pub fn insert(&mut self, member: Member) -> Result<(), BundleError> {
        let Member { name, bytes } = member;
        if !is_name(&name) || self.members.contains_key(&name) || self.members.len() >= MAX_MEMBERS {
            return Err(BundleError::Name(name));
        }
        check_size(&name, bytes.len() as u64, MAX_MEMBER_BYTES)?;
        self.members.insert(name, bytes);
        Ok(())
    }

    /// Replaces or removes a member; tests and re-assembly use it.
    pub fn replace(&mut self, name: &str, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => self.members.insert(name.to_owned(), bytes),
            None => self.members.remove(name),
        };
    }

    /// A member's bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.members.get(name).map(Vec::as_slice)
    }

    /// All members, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Members below a folder, ascending: (rest of the name, bytes).
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.iter().filter_map(move |(name, bytes)| {
            let rest = name.strip_prefix(folder)?.strip_prefix('/')?;
            Some((rest, bytes))
        })
    }

    /// The table of members: name, size, digest.
    #[must_use]
    pub fn table(&self) -> Vec<(String, MemberDigest)> {
        let digest = |bytes: &Vec<u8>| MemberDigest { size: bytes.len() as u64, sha256: sha256(bytes) };
        self.members.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect()
    }

    /// SHA-256 of the table without the named member: what a member can say about all others.
    #[must_use]
    pub fn digest_without(&self, name: &str) -> Digest32 {
        let rows: Vec<_> = self.table().into_iter().filter(|(other, _)| other != name).collect();
        sha256(&encode_table(&rows))
    }

    /// The container's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&encode_table(&self.table()));
        for content in self.members.values() {
            bytes.extend_from_slice(content);
        }
        bytes
    }

    /// Parses a bundle.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse_bundle(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::parse(bytes, MAGIC_BUNDLE, "bundle")
    }

    /// Parses a node export.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse_export(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::parse(bytes, MAGIC_EXPORT, "node export")
    }

    /// Parses an archive of endorsements.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse_endorsements(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::parse(bytes, MAGIC_ENDORSEMENTS, "archive of endorsements")
    }

    fn parse(bytes: &[u8], magic: [u8; 8], what: &'static str) -> Result<Self, BundleError> {
        check_size(what, bytes.len() as u64, MAX_BUNDLE_BYTES)?;
        if bytes.get(..8) != Some(magic.as_slice()) {
            return Err(BundleError::Magic(what));
        }
        let mut input = Decoder::new(bytes.get(8..).unwrap_or_default());
        let version: u32 = input.take().map_err(BundleError::Framing)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let table = decode_table(&mut input)?;
        let mut members = BTreeMap::new();
        for (name, digest) in table {
            let size = usize::try_from(digest.size).map_err(|_| BundleError::Name(name.clone()))?;
            let content = input.raw(size).map_err(BundleError::Framing)?;
            if sha256(content) != digest.sha256 {
                return Err(BundleError::Digest(name));
            }
            members.insert(name, content.to_vec());
        }
        input.end().map_err(BundleError::Framing)?;
        Ok(Self { magic, members })
    }
}

fn encode_table(rows: &[(String, MemberDigest)]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.count(rows.len());
    for (name, digest) in rows {
        out.put(name).put(&digest.size).put(&digest.sha256);
    }
    out.finish()
}

fn decode_table(input: &mut Decoder<'_>) -> Result<Vec<(String, MemberDigest)>, BundleError> {
    let count = input.count("members", MAX_MEMBERS).map_err(BundleError::Framing)?;
    let mut rows: Vec<(String, MemberDigest)> = Vec::new();
    for _ in 0..count {
        let name: String = input.take().map_err(BundleError::Framing)?;
        let size: u64 = input.take().map_err(BundleError::Framing)?;
        let sha256: Digest32 = input.take().map_err(BundleError::Framing)?;
        let ascending = rows.last().is_none_or(|(previous, _)| *previous < name);
        if !ascending || !is_name(&name) {
            return Err(BundleError::Name(name));
        }
        check_size(&name, size, MAX_MEMBER_BYTES)?;
        rows.push((name, MemberDigest { size, sha256 }));
    }
    Ok(rows)
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'/');
    let parts_are_plain = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed) && parts_are_plain
}

fn check_size(what: &str, found: u64, cap: u64) -> Result<(), BundleError> {
    if found > cap { Err(BundleError::TooLarge { what: what.to_owned(), found, cap }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Bundle {
        let mut bundle = Bundle::new_bundle();
        for (name, bytes) in [("b/two", vec![2u8; 5]), ("a", vec![]), ("b/one", vec![1u8; 300])] {
            bundle.insert(Member { name: name.to_owned(), bytes }).unwrap();
        }
        bundle
    }

    #[test]
    fn bytes_round_trip_and_do_not_depend_on_insertion_order() {
        let bytes = sample().to_bytes();
        assert_eq!(Bundle::parse_bundle(&bytes).unwrap().to_bytes(), bytes);
        let names: Vec<_> = sample().below("b").map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn every_single_byte_change_and_truncation_is_refused() {
        let bytes = sample().to_bytes();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert_ne!(Bundle::parse_bundle(&changed).as_ref(), Ok(&sample()), "byte {position}");
            assert!(Bundle::parse_bundle(&bytes[..position]).is_err(), "truncated to {position}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Bundle::parse_bundle(&longer).is_err());
    }

    #[test]
    fn names_that_climb_repeat_or_shout_are_refused() {
        for name in ["", "../x", "a//b", "/a", "A", "a\0", "a/."] {
            let member = Member { name: name.to_owned(), bytes: vec![] };
            assert!(sample().insert(member).is_err(), "{name:?}");
        }
        assert!(sample().insert(Member { name: "a".to_owned(), bytes: vec![] }).is_err());
    }
}
