//! **Duty.** The one framed, deterministic encoding (PROTOCOL §3). **Knows** bytes and bounds. **Does not know** any
//! object. **Spec.** integers and fixed arrays raw, little-endian; strings and variable bytes after a `u32` length;
//! lists after a `u32` count; enums one byte in the order listed; options one byte 0 or 1.

use thiserror::Error;

/// Longest single variable field a decoder accepts, in bytes. Source: the largest legal member is a TDX quote
/// (16 KiB, EVIDENCE §0) or a certificate chain (16 KiB); 64 KiB leaves room and bounds allocation.
pub const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Why bytes are not the canonical encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The input ended early.
    #[error("needs {needed} more bytes at offset {offset}")]
    Truncated {
        /// Byte offset of the read.
        offset: usize,
        /// Bytes asked for.
        needed: usize,
    },
    /// Bytes follow the value.
    #[error("{extra} bytes follow the value")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// A length or count is larger than its cap.
    #[error("{what} of {found} is over the cap of {cap}")]
    TooLong {
        /// Which field.
        what: &'static str,
        /// What was announced.
        found: u64,
        /// What is allowed.
        cap: u64,
    },
    /// A value has no meaning or is not canonical.
    #[error("{0} is not a canonical value")]
    NotCanonical(&'static str),
}

/// Appends framed values to a buffer.
#[derive(Debug, Default, Clone)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes without a length: fixed-size fields only.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a string or variable byte field after its `u32` length.
    ///
    /// # Panics
    /// If the field is longer than `u32::MAX`: no object of ours can hold one.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// Appends a list count.
    ///
    /// # Panics
    /// If the count does not fit `u32`.
    pub fn count(&mut self, count: usize) -> &mut Self {
        #[expect(clippy::expect_used, reason = "own objects never reach 2^32 items; wrapping would forge a frame")]
        let count = u32::try_from(count).expect("list or field shorter than 2^32");
        self.raw(&count.to_le_bytes())
    }

    /// Appends a canonical value.
    pub fn put<T: Canonical>(&mut self, value: &T) -> &mut Self {
        value.encode(self);
        self
    }

    /// The framed bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads framed values; every read is bounded.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Takes `needed` raw bytes.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] when fewer are left.
    pub fn raw(&mut self, needed: usize) -> Result<&'a [u8], CodecError> {
        let truncated = CodecError::Truncated { offset: self.offset, needed };
        let end = self.offset.checked_add(needed).ok_or_else(|| truncated.clone())?;
        let taken = self.bytes.get(self.offset..end).ok_or(truncated)?;
        self.offset = end;
        Ok(taken)
    }

    /// Takes a fixed-size array.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let taken = self.raw(N)?;
        taken.try_into().map_err(|_| CodecError::NotCanonical("array"))
    }

    /// Takes a length-prefixed field of at most [`MAX_FIELD_BYTES`].
    ///
    /// # Errors
    /// [`CodecError::Truncated`] or [`CodecError::TooLong`].
    pub fn field(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count("field", MAX_FIELD_BYTES)?;
        self.raw(length)
    }

    /// Takes a count of at most `cap`; it also may not announce more items than bytes are left.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] or [`CodecError::TooLong`].
    pub fn count(&mut self, what: &'static str, cap: usize) -> Result<usize, CodecError> {
        let found = u64::from(u32::from_le_bytes(self.array()?));
        let left = self.bytes.len().saturating_sub(self.offset);
        let cap = cap.min(left);
        match usize::try_from(found) {
            Ok(count) if count <= cap => Ok(count),
            _ => Err(CodecError::TooLong { what, found, cap: cap as u64 }),
        }
    }

    /// Takes a canonical value.
    ///
    /// # Errors
    /// Whatever its decoder says.
    pub fn take<T: Canonical>(&mut self) -> Result<T, CodecError> {
        T::decode(self)
    }

    /// Demands that nothing is left.
    ///
    /// # Errors
    /// [`CodecError::Trailing`].
    pub fn end(self) -> Result<(), CodecError> {
        match self.bytes.len().saturating_sub(self.offset) {
            0 => Ok(()),
            extra => Err(CodecError::Trailing { extra }),
        }
    }
}

/// A value with exactly one framed encoding.
pub trait Canonical: Sized {
    /// Appends the framed bytes.
    fn encode(&self, out: &mut Encoder);

    /// Reads the framed bytes back; refuses every other spelling.
    ///
    /// # Errors
    /// [`CodecError`].
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError>;

    /// The framed bytes of this value alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        self.encode(&mut out);
        out.finish()
    }

    /// Reads a value that fills the input exactly.
    ///
    /// # Errors
    /// [`CodecError`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Decoder::new(bytes);
        let value = Self::decode(&mut input)?;
        input.end()?;
        Ok(value)
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Canonical for $int {
            fn encode(&self, out: &mut Encoder) {
                out.raw(&self.to_le_bytes());
            }
            fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
                Ok(<$int>::from_le_bytes(input.array()?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, u128);

impl<const N: usize> Canonical for [u8; N] {
    fn encode(&self, out: &mut Encoder) {
        out.raw(self);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        input.array()
    }
}

impl Canonical for String {
    fn encode(&self, out: &mut Encoder) {
        out.field(self.as_bytes());
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let bytes = input.field()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| CodecError::NotCanonical("string"))
    }
}

/// A variable byte field: the framing of `Vec<u8>` differs from a list of `u8` values only in its cap.
impl Canonical for Vec<u8> {
    fn encode(&self, out: &mut Encoder) {
        out.field(self);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(input.field()?.to_vec())
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn encode(&self, out: &mut Encoder) {
        match self {
            None => out.raw(&[0]),
            Some(value) => out.raw(&[1]).put(value),
        };
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        match input.take::<u8>()? {
            0 => Ok(None),
            1 => Ok(Some(input.take()?)),
            _ => Err(CodecError::NotCanonical("option tag")),
        }
    }
}

/// Encodes a list after its count.
pub(crate) fn put_list<T: Canonical>(out: &mut Encoder, items: &[T]) {
    out.count(items.len());
    for item in items {
        out.put(item);
    }
}

/// Decodes a list of at most `cap` items.
pub(crate) fn take_list<T: Canonical>(
    input: &mut Decoder<'_>,
    what: &'static str,
    cap: usize,
) -> Result<Vec<T>, CodecError> {
    let count = input.count(what, cap)?;
    (0..count).map(|_| input.take()).collect()
}

/// Implements [`Canonical`] field by field, in the order given; a new field breaks the build until it is listed.
/// A field written `name[CAP]` is a list of at most `CAP` items.
macro_rules! framed {
    ($type:ident { $($field:ident $([$cap:expr])?),* $(,)? }) => {
        impl $crate::codec::Canonical for $type {
            fn encode(&self, out: &mut $crate::codec::Encoder) {
                let Self { $($field),* } = self;
                $($crate::codec::framed!(@put out $field $($cap)?);)*
            }
            fn decode(input: &mut $crate::codec::Decoder<'_>) -> Result<Self, $crate::codec::CodecError> {
                $(let $field = $crate::codec::framed!(@take input $field $($cap)?);)*
                Ok(Self { $($field),* })
            }
        }
    };
    (@put $out:ident $field:ident) => { $out.put($field) };
    (@put $out:ident $field:ident $cap:expr) => { $crate::codec::put_list($out, $field) };
    (@take $input:ident $field:ident) => { $input.take()? };
    (@take $input:ident $field:ident $cap:expr) => { $crate::codec::take_list($input, stringify!($field), $cap)? };
}
pub(crate) use framed;

/// Implements [`Canonical`] for a field-less enum: one byte, in the order listed.
macro_rules! framed_enum {
    ($type:ident { $($variant:ident = $tag:literal),* $(,)? }) => {
        impl $crate::codec::Canonical for $type {
            fn encode(&self, out: &mut $crate::codec::Encoder) {
                out.put::<u8>(&match self { $(Self::$variant => $tag),* });
            }
            fn decode(input: &mut $crate::codec::Decoder<'_>) -> Result<Self, $crate::codec::CodecError> {
                match input.take::<u8>()? {
                    $($tag => Ok(Self::$variant),)*
                    _ => Err($crate::codec::CodecError::NotCanonical(stringify!($type))),
                }
            }
        }
    };
}
pub(crate) use framed_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_larger_than_the_input_is_refused_before_allocating() {
        let mut input = Decoder::new(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert!(matches!(input.count("list", usize::MAX), Err(CodecError::TooLong { .. })));
    }

    #[test]
    fn trailing_bytes_and_foreign_option_tags_are_refused() {
        assert_eq!(u8::from_bytes(&[1, 2]), Err(CodecError::Trailing { extra: 1 }));
        assert_eq!(Option::<u8>::from_bytes(&[2, 0]), Err(CodecError::NotCanonical("option tag")));
    }

    #[test]
    fn strings_are_framed_by_a_little_endian_length() {
        assert_eq!("ab".to_owned().to_bytes(), [2, 0, 0, 0, b'a', b'b']);
    }
}
