//! **Duty.** What a drawn tile is judged on: a strip of rows of A, a strip of columns of B, and the tile of C, as stored
//! bytes of bounded shape. **Knows** shapes. **Does not know** where the bytes came from or what the numbers mean.
//! **Spec.** CIRCUITS §5 (iii).

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use crate::gemm::{MAX_K, MAX_SIDE, MAX_TERMS};
use crate::number::{Format, NotFinite, Number};

/// Vectors of one operand: rows of A or columns of B, each with its K entries in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strip {
    format: Format,
    vectors: usize,
    k: usize,
    bytes: Vec<u8>,
}

/// A block of C, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    format: Format,
    rows: usize,
    cols: usize,
    bytes: Vec<u8>,
}

/// Bytes that are no strip and no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No row or column, or too many.
    #[error("a tile or strip has {found} rows or columns; it must have 1 to {MAX_SIDE}")]
    Side {
        /// How many.
        found: usize,
    },
    /// K of no product, or of one that has to be cut.
    #[error(
        "K is {found}; in one piece it is 1 to {MAX_K}, and one more with a bias: commit partial sums for longer products"
    )]
    K {
        /// K.
        found: usize,
    },
    /// Another number of bytes than the shape asks for.
    #[error("{found} bytes for a shape that takes {expected}")]
    Bytes {
        /// Bytes of the shape.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

impl ShapeError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

fn side(found: usize) -> Result<(), ShapeError> {
    if (1..=MAX_SIDE).contains(&found) { Ok(()) } else { Err(ShapeError::Side { found }) }
}

fn length(expected: usize, bytes: &[u8]) -> Result<(), ShapeError> {
    let found = bytes.len();
    if found == expected { Ok(()) } else { Err(ShapeError::Bytes { expected, found }) }
}

impl Strip {
    /// Takes `vectors` × `k` stored numbers, one vector after the other.
    ///
    /// # Errors
    /// [`ShapeError`].
    pub fn new(format: Format, vectors: usize, k: usize, bytes: Vec<u8>) -> Result<Self, ShapeError> {
        side(vectors)?;
        if !(1..=MAX_TERMS).contains(&k) {
            return Err(ShapeError::K { found: k });
        }
        // At most 2⁶ · (2¹⁴ + 1) · 4 bytes.
        length(vectors.saturating_mul(k).saturating_mul(format.bytes()), &bytes)?;
        Ok(Self { format, vectors, k, bytes })
    }

    /// Format of the numbers.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// How many rows of A or columns of B.
    #[must_use]
    pub const fn vectors(&self) -> usize {
        self.vectors
    }

    /// Entries of each.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Stored bytes of each vector.
    pub(crate) fn vector_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.k.saturating_mul(self.format.bytes()).max(1))
    }

    /// The numbers of each vector.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Result<Vec<Number>, NotFinite>> {
        self.vector_bytes().map(|bytes| numbers(self.format, bytes).collect())
    }
}

impl Tile {
    /// Takes `rows` × `cols` stored numbers, row by row.
    ///
    /// # Errors
    /// [`ShapeError`].
    pub fn new(format: Format, rows: usize, cols: usize, bytes: Vec<u8>) -> Result<Self, ShapeError> {
        side(rows)?;
        side(cols)?;
        length(rows.saturating_mul(cols).saturating_mul(format.bytes()), &bytes)?;
        Ok(Self { format, rows, cols, bytes })
    }

    /// Format of the numbers.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// All numbers, row by row.
    pub(crate) fn numbers(&self) -> Result<Vec<Number>, NotFinite> {
        numbers(self.format, &self.bytes).collect()
    }
}

fn numbers(format: Format, bytes: &[u8]) -> impl Iterator<Item = Result<Number, NotFinite>> {
    bytes.chunks_exact(format.bytes()).map(move |bytes| format.decode(format.bits(bytes).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_bounded_and_bytes_must_fill_them() {
        let strip = |vectors, k, bytes: usize| Strip::new(Format::Bf16, vectors, k, vec![0; bytes]).map(|_| ());
        assert_eq!(strip(2, 3, 12), Ok(()));
        assert_eq!(strip(2, 3, 11), Err(ShapeError::Bytes { expected: 12, found: 11 }));
        assert_eq!(strip(0, 3, 0), Err(ShapeError::Side { found: 0 }));
        assert_eq!(strip(65, 1, 130), Err(ShapeError::Side { found: 65 }));
        assert_eq!(strip(1, 0, 0), Err(ShapeError::K { found: 0 }));
        assert_eq!(strip(1, MAX_TERMS, 2 * MAX_TERMS), Ok(()));
        assert_eq!(strip(1, MAX_K + 2, 2 * MAX_K + 4), Err(ShapeError::K { found: MAX_K + 2 }));
        assert_eq!(strip(usize::MAX, 1, 0), Err(ShapeError::Side { found: usize::MAX }));
        let tile = |rows, cols, bytes: usize| Tile::new(Format::F32, rows, cols, vec![0; bytes]).map(|_| ());
        assert_eq!(tile(1, 64, 256), Ok(()));
        assert_eq!(tile(1, 65, 260), Err(ShapeError::Side { found: 65 }));
        assert_eq!(tile(2, 2, 17), Err(ShapeError::Bytes { expected: 16, found: 17 }));
    }

    #[test]
    fn numbers_come_vector_by_vector() {
        let bytes = [0x80, 0x3f, 0x00, 0x40, 0x80, 0xbf, 0x00, 0x00].to_vec();
        let strip = Strip::new(Format::Bf16, 2, 2, bytes).unwrap();
        let mantissas: Vec<Vec<u32>> =
            strip.numbers().map(|vector| vector.unwrap().iter().map(|number| number.mantissa).collect()).collect();
        assert_eq!(mantissas, [[128, 128], [128, 0]]);
    }
}
