//! **Duty.** Products that are longer than one piece: the tile of C is the sum of committed partial sums.
//! **Knows** tiles of partial sums. **Does not know** the pieces' operands: each piece is an operation of its own, and its
//! tile is judged like any other. **Spec.** CIRCUITS §5 (wgrad over many tokens is cut); decision 0046.
//!
//! A product with K > 2¹⁴ is cut along K into pieces of the length that the committed graph names, at most 2¹⁴ and all but
//! the last the same. The output of each piece is committed in f32, the accumulator's format. Their sum is judged like a
//! product: the parts of an entry are one vector, and the other is made of ones. Its error model is order-free: parts are few.

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use crate::gemm::encoding::{Vector, Windows};
use crate::gemm::envelope::{Product, Scale};
use crate::gemm::policy::OperationPolicy;
use crate::gemm::strip::Tile;
use crate::gemm::{Operand, TileDoubt, TileFacts, TileRefusal, TileVerdict, judge};
use crate::number::{Format, Number};

/// Most parts of one sum: 2¹⁰ pieces of 2¹⁴ are products over 16 million tokens.
pub const MAX_PARTS: usize = 1 << 10;

/// Tiles of one place, one from each piece, in the order of K.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialSums {
    parts: Vec<Tile>,
    rows: usize,
    cols: usize,
}

/// Tiles that are no partial sums of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartsError {
    /// One part is no sum, and none is nothing.
    #[error("{found} partial sums; there must be 2 to {MAX_PARTS}")]
    Count {
        /// How many.
        found: usize,
    },
    /// Another format than the accumulator's.
    #[error("partial sum {part} is stored as {found}; partial sums are f32")]
    Format {
        /// Which, from 0.
        part: usize,
        /// Its format.
        found: Format,
    },
    /// Another shape than the first.
    #[error("partial sum {part} has another shape than the first")]
    Shape {
        /// Which, from 0.
        part: usize,
    },
}

impl PartsError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

impl PartialSums {
    /// Takes the parts.
    ///
    /// # Errors
    /// [`PartsError`].
    pub fn new(parts: Vec<Tile>) -> Result<Self, PartsError> {
        let found = parts.len();
        let Some(first) = parts.first().filter(|_| (2..=MAX_PARTS).contains(&found)) else {
            return Err(PartsError::Count { found });
        };
        let (rows, cols) = (first.rows(), first.cols());
        for (part, tile) in parts.iter().enumerate() {
            if tile.format() != Format::F32 {
                return Err(PartsError::Format { part, found: tile.format() });
            }
            if (tile.rows(), tile.cols()) != (rows, cols) {
                return Err(PartsError::Shape { part });
            }
        }
        Ok(Self { parts, rows, cols })
    }

    /// Judges the sum: formats of operands are the parts', the output's and κ are the class's.
    pub fn check(&self, c: &Tile, policy: &OperationPolicy) -> TileVerdict {
        let (rows, cols, k) = (self.rows, self.cols, self.parts.len());
        if c.format() != policy.output() {
            let (expected, found) = (policy.output(), c.format());
            return TileVerdict::Refused(TileRefusal::Format { operand: Operand::Output, expected, found });
        }
        if (c.rows(), c.cols()) != (rows, cols) {
            let (tile_rows, tile_cols) = (c.rows(), c.cols());
            return TileVerdict::Refused(TileRefusal::Shape {
                rows,
                left_k: k,
                cols,
                right_k: k,
                tile_rows,
                tile_cols,
            });
        }
        if !policy.has_envelope() {
            return TileVerdict::NotProven(TileDoubt::Output { output: policy.output() });
        }
        let policy = policy.of_sums();
        let products: Result<Vec<Product>, TileRefusal> = self.products();
        match products {
            Ok(products) => {
                let scale = Scale::new(&policy, Windows::Two, k);
                let parts = self.parts.len().saturating_mul(rows).saturating_mul(cols);
                let left_entries = u32::try_from(parts).unwrap_or(u32::MAX);
                let left_zeros = self.zeros();
                let operands = TileFacts { left_zeros, left_entries, is_wide: true, ..TileFacts::NONE };
                judge(products, &scale, c, operands)
            }
            Err(refusal) => TileVerdict::Refused(refusal),
        }
    }

    /// Parts that are zero.
    fn zeros(&self) -> u32 {
        let zeros =
            |part: &Tile| part.numbers().map_or(0, |numbers| numbers.iter().filter(|n| n.mantissa == 0).count());
        u32::try_from(self.parts.iter().map(zeros).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Each entry's parts times ones.
    fn products(&self) -> Result<Vec<Product>, TileRefusal> {
        let one = Number { negative: false, mantissa: 1, exponent: 0 };
        let ones = Vector::tight(&vec![one; self.parts.len()], Windows::Two);
        let mut entries = vec![Vec::with_capacity(self.parts.len()); self.rows.saturating_mul(self.cols)];
        for (vector, part) in self.parts.iter().enumerate() {
            let refused = |source| TileRefusal::NotFinite { operand: Operand::Left, vector, source };
            for (entry, number) in entries.iter_mut().zip(part.numbers().map_err(refused)?) {
                entry.push(number);
            }
        }
        let product = |parts: &Vec<Number>| Product::of(&Vector::tight(parts, Windows::Two), &ones, Windows::Two);
        Ok(entries.iter().map(product).collect())
    }
}
