//! **Duty.** Reads one safetensors header within bounds: names, data types, shapes and the exact place of every byte.
//! **Knows** bytes already in memory. **Does not know** files or hashes. **Spec.** The safetensors format (version
//! 0.8 of its crate): `u64` little-endian header length, JSON header, data; TRAINING §3 for what we refuse beyond it.
//!
//! `__metadata__` is read and left out of both roots: it says nothing about a tensor. The SHA-256 of the file has it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::HeaderError;

/// Longest header that we read. The format allows 100 MB; the largest published checkpoints keep about 100 bytes a
/// tensor and fewer than 2,000 tensors a shard, and parsing multiplies a header's size in memory by up to eight.
pub(crate) const MAX_HEADER_BYTES: u64 = 8 * 1024 * 1024;
/// Longest tensor name: names are printed in errors. Parameter names of deep models have about 100 bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Most dimensions: NumPy 2 and PyTorch stop at 64.
const MAX_RANK: usize = 64;
/// Dimensions, rows and columns stay below this, so that each is one packed field element.
const EXTENT_LIMIT: u64 = 1 << 56;
/// How much of an unknown data type's name an error repeats.
const DTYPE_NAME_SHOWN: usize = 32;

/// A data type of the format. Its code enters the algebraic root, so a row here never changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dtype {
    pub(crate) name: &'static str,
    pub(crate) code: u64,
    /// Bits of one element.
    pub(crate) bits: u64,
}

static DTYPES: [Dtype; 22] = [
    Dtype { name: "BOOL", code: 1, bits: 8 },
    Dtype { name: "U8", code: 2, bits: 8 },
    Dtype { name: "I8", code: 3, bits: 8 },
    Dtype { name: "F8_E5M2", code: 4, bits: 8 },
    Dtype { name: "F8_E4M3", code: 5, bits: 8 },
    Dtype { name: "F8_E8M0", code: 6, bits: 8 },
    Dtype { name: "F8_E4M3FNUZ", code: 7, bits: 8 },
    Dtype { name: "F8_E5M2FNUZ", code: 8, bits: 8 },
    Dtype { name: "I16", code: 9, bits: 16 },
    Dtype { name: "U16", code: 10, bits: 16 },
    Dtype { name: "F16", code: 11, bits: 16 },
    Dtype { name: "BF16", code: 12, bits: 16 },
    Dtype { name: "I32", code: 13, bits: 32 },
    Dtype { name: "U32", code: 14, bits: 32 },
    Dtype { name: "F32", code: 15, bits: 32 },
    Dtype { name: "C64", code: 16, bits: 64 },
    Dtype { name: "F64", code: 17, bits: 64 },
    Dtype { name: "I64", code: 18, bits: 64 },
    Dtype { name: "U64", code: 19, bits: 64 },
    // Several elements share a byte: `stored` says what their tiles are made of.
    Dtype { name: "F4", code: 20, bits: 4 },
    Dtype { name: "F6_E2M3", code: 21, bits: 6 },
    Dtype { name: "F6_E3M2", code: 22, bits: 6 },
];

/// One tensor as its header describes it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) name: Box<str>,
    pub(crate) dtype: &'static Dtype,
    pub(crate) shape: Box<[u64]>,
    /// The matrix that tiles are cut from.
    pub(crate) stored: Stored,
    /// First byte, from the start of the data.
    pub(crate) offset: u64,
    /// Length in bytes: rows × cols × bytes of an element.
    pub(crate) bytes: u64,
}

/// A tensor's bytes as a matrix.
///
/// Rows are the product of all dimensions but the last, columns the last dimension; 1 where there is none. Where several
/// elements share a byte, an element of the matrix is a byte: a row has its bytes, if it comes to whole bytes; if only
/// the tensor does, all bytes are one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) rows: u64,
    pub(crate) cols: u64,
    pub(crate) element_bytes: u64,
}

/// What a header says, checked: every byte of the data belongs to exactly one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderSummary {
    /// Tensors that the header names.
    pub tensors: u64,
    /// Bytes of all tensors together: the length of the data.
    pub bytes: u64,
}

/// Checks the JSON header of a safetensors file over `data_length` bytes of data: the parser of every commitment, on its
/// own, for whoever wants to feed it hostile bytes.
///
/// # Errors
/// [`HeaderError`].
pub fn check_header(header: &[u8], data_length: u64) -> Result<HeaderSummary, HeaderError> {
    let found = header.len() as u64;
    if found > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLarge { found, cap: MAX_HEADER_BYTES });
    }
    let tensors = parse_header(header, data_length)?;
    let bytes = tensors.iter().fold(0u64, |sum, tensor| sum.saturating_add(tensor.bytes));
    Ok(HeaderSummary { tensors: tensors.len() as u64, bytes })
}

/// Where one tensor of a safetensors file lies, for whoever reads its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorPlace {
    /// Its name.
    pub name: String,
    /// The format's name of its data type, such as `BF16`.
    pub dtype: &'static str,
    /// Bits of one element.
    pub bits: u64,
    /// Dimensions, outermost first; none for a scalar.
    pub shape: Vec<u64>,
    /// First byte, from the start of the data.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// Checks a header as [`check_header`] does, and tells where each tensor lies, in the order of their bytes.
///
/// # Errors
/// [`HeaderError`].
pub fn tensor_places(header: &[u8], data_length: u64) -> Result<Vec<TensorPlace>, HeaderError> {
    let found = header.len() as u64;
    if found > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLarge { found, cap: MAX_HEADER_BYTES });
    }
    let place = |Tensor { name, dtype, shape, offset, bytes, .. }| TensorPlace {
        name: String::from(name),
        dtype: dtype.name,
        bits: dtype.bits,
        shape: shape.into_vec(),
        offset,
        bytes,
    };
    Ok(parse_header(header, data_length)?.into_iter().map(place).collect())
}

/// Reads the `u64` before the header: the header's length in bytes.
///
/// # Errors
/// [`HeaderError::TooLarge`] over the cap, [`HeaderError::Truncated`] when the file cannot hold such a header.
pub fn header_length(prefix: [u8; 8], file_length: u64) -> Result<u64, HeaderError> {
    let found = u64::from_le_bytes(prefix);
    if found > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLarge { found, cap: MAX_HEADER_BYTES });
    }
    match found.saturating_add(8).saturating_sub(file_length) {
        0 => Ok(found),
        missing => Err(HeaderError::Truncated { missing }),
    }
}

/// Parses a header over `data_length` bytes of data; tensors come in the order of their bytes.
///
/// # Errors
/// [`HeaderError`].
pub(crate) fn parse_header(header: &[u8], data_length: u64) -> Result<Vec<Tensor>, HeaderError> {
    if header.first() != Some(&b'{') {
        return Err(HeaderError::NoBrace);
    }
    let RawHeader(rows) = serde_json::from_slice(header).map_err(HeaderError::Json)?;
    refuse_duplicates(&rows)?;
    let mut tensors = Vec::with_capacity(rows.len());
    for (name, row) in rows {
        if let RawEntry::Tensor(raw) = row {
            tensors.push(raw.check(name)?);
        }
    }
    tensors.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    cover_exactly(&tensors, data_length)?;
    Ok(tensors)
}

fn refuse_duplicates(rows: &[(String, RawEntry)]) -> Result<(), HeaderError> {
    let mut names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair.first() == pair.last());
    match twice.and_then(|pair| pair.first()) {
        Some(&name) => Err(HeaderError::DuplicateName { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// Every byte of the data belongs to exactly one tensor.
fn cover_exactly(tensors: &[Tensor], data_length: u64) -> Result<(), HeaderError> {
    let mut expected = 0u64;
    for Tensor { name, offset, bytes, .. } in tensors {
        let (tensor, begin) = (name, *offset);
        if begin > expected {
            return Err(HeaderError::Gap { tensor: tensor.to_string(), begin, expected });
        }
        if begin < expected {
            return Err(HeaderError::Overlap { tensor: tensor.to_string(), begin, expected });
        }
        expected = begin.saturating_add(*bytes);
    }
    if expected > data_length {
        return Err(HeaderError::Truncated { missing: expected.saturating_sub(data_length) });
    }
    match data_length.saturating_sub(expected) {
        0 => Ok(()),
        extra => Err(HeaderError::Trailing { extra }),
    }
}

/// Rows of the header as they stand there, repetitions included.
struct RawHeader(Vec<(String, RawEntry)>);

enum RawEntry {
    Metadata,
    Tensor(RawTensor),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: RawDtype,
    shape: RawShape,
    data_offsets: (u64, u64),
}

enum RawDtype {
    Known(&'static Dtype),
    Unknown(String),
}

struct RawShape(Vec<u64>);

/// A string whose content nobody needs.
struct IgnoredText;

struct IgnoredMetadata;

impl Tensor {
    /// A tensor that stands in no header, held to the same rules.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub(crate) fn alone(name: &str, dtype: &str, shape: &[u64]) -> Result<Self, HeaderError> {
        let known = DTYPES.iter().find(|known| known.name == dtype);
        let bytes = known.and_then(|known| elements(shape)?.checked_mul(known.bits)).unwrap_or_default() / 8;
        let unknown = || RawDtype::Unknown(dtype.chars().take(DTYPE_NAME_SHOWN).collect());
        let raw = RawTensor {
            dtype: known.map_or_else(unknown, RawDtype::Known),
            shape: RawShape(shape.to_vec()),
            data_offsets: (0, bytes),
        };
        raw.check(name.to_owned())
    }
}

impl RawTensor {
    fn check(self, name: String) -> Result<Tensor, HeaderError> {
        let Self { dtype, shape: RawShape(shape), data_offsets: (begin, end) } = self;
        let dtype = match dtype {
            RawDtype::Known(dtype) => dtype,
            RawDtype::Unknown(dtype) => return Err(HeaderError::UnknownDtype { tensor: name, dtype }),
        };
        let Some((elements, bits)) = elements(&shape).and_then(|count| Some((count, count.checked_mul(dtype.bits)?)))
        else {
            return Err(HeaderError::Shape { tensor: name });
        };
        if !bits.is_multiple_of(8) {
            return Err(HeaderError::PartByte { tensor: name, dtype: dtype.name, elements });
        }
        let needed = bits / 8;
        if end.checked_sub(begin) != Some(needed) {
            return Err(HeaderError::Size { tensor: name, needed, begin, end });
        }
        let Some(stored) = stored(&shape, dtype, needed) else {
            return Err(HeaderError::Shape { tensor: name });
        };
        Ok(Tensor { name: name.into(), dtype, shape: shape.into(), stored, offset: begin, bytes: needed })
    }
}

/// Number of elements of a shape; `None` when it cannot be counted exactly. An extent of 0 does not excuse the others.
fn elements(shape: &[u64]) -> Option<u64> {
    let (cols, outer) = shape.split_last().map_or((1, shape), |(last, outer)| (*last, outer));
    rows(outer)?.checked_mul(cols)
}

fn rows(outer: &[u64]) -> Option<u64> {
    outer.iter().try_fold(1u64, |rows, &extent| rows.checked_mul(extent))
}

/// The matrix of a tensor's bytes; `None` when an extent is no packed field element.
fn stored(shape: &[u64], dtype: &Dtype, bytes: u64) -> Option<Stored> {
    let (cols, outer) = shape.split_last().map_or((1, shape), |(last, outer)| (*last, outer));
    let rows = rows(outer)?;
    let row_bits = cols.checked_mul(dtype.bits)?;
    let small = shape.iter().chain([&rows, &bytes]).all(|&extent| extent < EXTENT_LIMIT);
    let stored = match (dtype.bits.is_multiple_of(8), row_bits.is_multiple_of(8)) {
        (true, _) => Stored { rows, cols, element_bytes: dtype.bits / 8 },
        (false, true) => Stored { rows, cols: row_bits / 8, element_bytes: 1 },
        (false, false) => Stored { rows: 1, cols: bytes, element_bytes: 1 },
    };
    small.then_some(stored)
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = RawHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut rows = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name.len() > MAX_NAME_BYTES {
                        return Err(A::Error::custom("a tensor name is over 1024 bytes"));
                    }
                    let entry = if name == "__metadata__" {
                        map.next_value::<IgnoredMetadata>()?;
                        RawEntry::Metadata
                    } else {
                        RawEntry::Tensor(map.next_value()?)
                    };
                    rows.push((name, entry));
                }
                Ok(RawHeader(rows))
            }
        }
        deserializer.deserialize_map(Rows)
    }
}

impl<'de> Deserialize<'de> for RawShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = RawShape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RANK} dimensions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawShape, A::Error> {
                let mut shape = Vec::new();
                while let Some(extent) = seq.next_element::<u64>()? {
                    if shape.len() >= MAX_RANK {
                        return Err(A::Error::invalid_length(shape.len().saturating_add(1), &self));
                    }
                    shape.push(extent);
                }
                Ok(RawShape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

/// Reads a string without keeping it, through a function of the text.
struct Text<T>(fn(&str) -> T);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let Self(read) = self;
        Ok(read(text))
    }
}

impl<'de> Deserialize<'de> for RawDtype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text| {
            let known = DTYPES.iter().find(|dtype| dtype.name == text);
            known.map_or_else(|| Self::Unknown(text.chars().take(DTYPE_NAME_SHOWN).collect()), Self::Known)
        }))
    }
}

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|_| Self))
    }
}

impl<'de> Deserialize<'de> for IgnoredMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = IgnoredMetadata;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IgnoredMetadata, A::Error> {
                while map.next_entry::<IgnoredText, IgnoredText>()?.is_some() {}
                Ok(IgnoredMetadata)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
pub(crate) fn all_dtypes() -> &'static [Dtype] {
    &DTYPES
}
