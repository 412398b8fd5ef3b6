//! **Duty.** Whether a tile of a matrix product was computed right: C lies in the rounding envelope of the exact product
//! of the committed strips, for the actual numbers. **Knows** three blocks of bytes and the policy of their class.
//! **Does not know** where they are committed or who drew them. **Spec.** CIRCUITS §5; decisions 0045, 0046.
//!
//! Everything is exact: signed integers of at most 127 bits, comparisons of scaled integers, no floating point. The order:
//!
//! 1. formats are the policy's, shapes agree, every number is finite;
//! 2. each row of A and column of B is encoded under its tight block exponent (`encoding.rs`), in one window, or in two
//!    where an operand is f32;
//! 3. every entry lies in its envelope, else *refused*: that holds for however much was cut;
//! 4. every entry's cut is at most a quarter of its rounding part, else two windows, else *not proven* (`envelope.rs`);
//! 5. half of the entries that are not empty are informative, and their mean square is bounded, else *not proven*
//!    (`whole.rs`).
//!
//! *Not proven* counts like unanswered. It is never *accepted*.

mod encoding;
mod envelope;
mod partial;
mod policy;
mod strip;
mod whole;

pub use encoding::{Encoded, LooseExponent, WINDOW_BITS, Windows};
pub use partial::{MAX_PARTS, PartialSums, PartsError};
pub use policy::{
    Accumulator, ErrorModel, MAX_CLASSES, MAX_FACTOR, MIN_SIDE, NumericPolicy, OperationClass, OperationPolicy,
    PolicyError,
};
pub use strip::{ShapeError, Strip, Tile};

use std::collections::BTreeSet;

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use crate::gemm::envelope::{Entry, Product, Scale};
use crate::gemm::whole::Whole;
use crate::number::{Format, NotFinite};

/// Longest K in one piece: 2·24 + log₂K ≤ 62 bits (CIRCUITS §5).
pub const MAX_K: usize = 1 << 14;
/// Terms of one dot product: K, and one more where the product adds a bias before it rounds.
pub const MAX_TERMS: usize = MAX_K + 1;
/// Most rows or columns of a tile: the trials' 64 × 64.
pub const MAX_SIDE: usize = 64;

/// One of the three blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// Rows of A.
    Left,
    /// Columns of B.
    Right,
    /// The tile of C.
    Output,
}

impl std::fmt::Display for Operand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Left => "A",
            Self::Right => "B",
            Self::Output => "C",
        })
    }
}

/// What came of a tile. Only `Accepted` is a passed check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum TileVerdict {
    /// All rules hold.
    Accepted(TileFacts),
    /// It was not computed right under the committed policy: a finding at any count.
    Refused(TileRefusal),
    /// The check says too little about it: counts like an unanswered draw.
    NotProven(TileDoubt),
}

/// What an accepted tile adds to the statistics: exact counts, no verdicts. Only the check makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileFacts {
    /// Outputs.
    pub entries: u32,
    /// Those whose envelope is at most a tenth of their sum.
    pub informative: u32,
    /// Outputs that are a sum of nothing but zeros.
    pub empty: u32,
    /// Entries of A that are zero.
    pub left_zeros: u32,
    /// Entries of B that are zero.
    pub right_zeros: u32,
    /// Entries of A.
    pub left_entries: u32,
    /// Entries of B.
    pub right_entries: u32,
    /// Rows of A that stood earlier in the strip.
    pub repeated_rows: u32,
    /// Columns of B that stood earlier in the strip.
    pub repeated_columns: u32,
    /// Whether two windows were needed.
    pub is_wide: bool,
    /// Greatest |C − S| / E, in 256ths.
    pub worst: u32,
    /// Σ (|C − S| / E)², in 2⁻¹⁶.
    pub squares: u64,
    /// Σ (C − S) / E, in 256ths: near 0 where rounding is to nearest.
    pub signed: i64,
    /// Σ ± |C − S| / E, positive where C is larger than S in magnitude, in 256ths.
    pub outward: i64,
}

impl TileFacts {
    /// Before anything is counted.
    pub(crate) const NONE: Self = Self {
        entries: 0,
        informative: 0,
        empty: 0,
        left_zeros: 0,
        right_zeros: 0,
        left_entries: 0,
        right_entries: 0,
        repeated_rows: 0,
        repeated_columns: 0,
        is_wide: false,
        worst: 0,
        squares: 0,
        signed: 0,
        outward: 0,
    };
}

/// Why a tile is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TileRefusal {
    /// Another format than the class of the operation has.
    #[error("{operand} is stored as {found}; the numeric policy of its class says {expected}")]
    Format {
        /// Which block.
        operand: Operand,
        /// By policy.
        expected: Format,
        /// As given.
        found: Format,
    },
    /// Cut into other tiles than the run's.
    #[error("the operation is cut into tiles of side {found}; the numeric policy says {expected}")]
    Side {
        /// By policy.
        expected: u64,
        /// Of the operation.
        found: u64,
    },
    /// Strips and tile do not belong together.
    #[error("A has {rows} rows of {left_k}, B {cols} columns of {right_k}, and C is {tile_rows} × {tile_cols}")]
    Shape {
        /// Rows of A.
        rows: usize,
        /// K of A.
        left_k: usize,
        /// Columns of B.
        cols: usize,
        /// K of B.
        right_k: usize,
        /// Rows of C.
        tile_rows: usize,
        /// Columns of C.
        tile_cols: usize,
    },
    /// A NaN or an infinity.
    #[error("{operand} {vector} holds a value that is no number")]
    NotFinite {
        /// Which block.
        operand: Operand,
        /// Which row of A or column of B; 0 for C.
        vector: usize,
        /// The bits.
        #[source]
        source: NotFinite,
    },
    /// Rule 2.
    #[error("{operand} has a block exponent that is not tight")]
    LooseExponent {
        /// Which block.
        operand: Operand,
        /// Where.
        #[source]
        source: LooseExponent,
    },
    /// An output outside of its envelope.
    #[error("C[{row}][{col}] and {} more lie outside of their envelopes", outside.saturating_sub(1))]
    Outside {
        /// Row of the first one in the tile.
        row: usize,
        /// Its column.
        col: usize,
        /// How many there are.
        outside: usize,
    },
}

impl TileRefusal {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Shape { .. } => Culprit::Malformed,
            _ => Culprit::Rejected,
        }
    }
}

/// Why a tile is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TileDoubt {
    /// The run's numeric policy has no such class: nothing was said before about how its tiles are judged.
    #[error("the numeric policy has no class {}", class.0)]
    NoPolicy {
        /// The class.
        class: OperationClass,
    },
    /// A policy that says nothing about outputs of this format.
    #[error("outputs stored as {output} have no envelope")]
    Output {
        /// The format.
        output: Format,
    },
    /// Rule 3, with two windows.
    #[error("C[{row}][{col}]: bits below two windows weigh more than a quarter of the rounding that is allowed")]
    Cut {
        /// Row of the first such entry.
        row: usize,
        /// Its column.
        col: usize,
    },
    /// Rule 4.
    #[error("{informative} of {entries} entries that are not empty are informative; at least half must be")]
    Uninformative {
        /// How many are.
        informative: usize,
        /// Of how many that add up anything but zeros.
        entries: usize,
    },
    /// The tile-level rule.
    #[error(
        "the errors of {entries} informative entries have squares of {found}/65536; at most {bound}/65536 are rounding's"
    )]
    MeanSquare {
        /// Informative entries of the tile.
        entries: usize,
        /// Σ of squares, in 2⁻¹⁶.
        found: u64,
        /// Greatest Σ.
        bound: u64,
    },
}

impl TileDoubt {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Rejected
    }
}

/// Judges one tile: rows of A, columns of B, their block of C.
pub fn check_tile(a: &Strip, b: &Strip, c: &Tile, policy: &OperationPolicy) -> TileVerdict {
    if !policy.has_envelope() {
        return TileVerdict::NotProven(TileDoubt::Output { output: policy.output() });
    }
    if let Err(refusal) = fits(a, b, c, policy) {
        return TileVerdict::Refused(refusal);
    }
    let is_wide = a.format() == Format::F32 || b.format() == Format::F32;
    let widths: &[Windows] = if is_wide { &[Windows::Two] } else { &[Windows::One, Windows::Two] };
    let mut verdict = TileVerdict::NotProven(TileDoubt::Cut { row: 0, col: 0 });
    for windows in widths {
        verdict = match encode(a, b, *windows) {
            Ok((left, right)) => check_encoded((a, &left), (b, &right), c, policy),
            Err(refusal) => TileVerdict::Refused(refusal),
        };
        if !matches!(verdict, TileVerdict::NotProven(TileDoubt::Cut { .. })) {
            break;
        }
    }
    verdict
}

/// Judges one tile under an encoding that somebody else made: its exponents must be the tight ones (rule 2), and its
/// width is as good as its cuts (rule 3).
pub fn check_claimed(
    (a, left, left_exponents): (&Strip, Windows, &[i32]),
    (b, right, right_exponents): (&Strip, Windows, &[i32]),
    c: &Tile,
    policy: &OperationPolicy,
) -> TileVerdict {
    if !policy.has_envelope() {
        return TileVerdict::NotProven(TileDoubt::Output { output: policy.output() });
    }
    let windows = left.max(right);
    let encoded = fits(a, b, c, policy).and_then(|()| {
        let left = Encoded::claimed(a, Operand::Left, windows, left_exponents)?;
        Ok((left, Encoded::claimed(b, Operand::Right, windows, right_exponents)?))
    });
    match encoded {
        Ok((left, right)) => check_encoded((a, &left), (b, &right), c, policy),
        Err(refusal) => TileVerdict::Refused(refusal),
    }
}

fn encode(a: &Strip, b: &Strip, windows: Windows) -> Result<(Encoded, Encoded), TileRefusal> {
    Ok((Encoded::tight(a, Operand::Left, windows)?, Encoded::tight(b, Operand::Right, windows)?))
}

fn fits(a: &Strip, b: &Strip, c: &Tile, policy: &OperationPolicy) -> Result<(), TileRefusal> {
    let formats = [
        (Operand::Left, policy.left(), a.format()),
        (Operand::Right, policy.right(), b.format()),
        (Operand::Output, policy.output(), c.format()),
    ];
    if let Some((operand, expected, found)) = formats.into_iter().find(|(_, expected, found)| expected != found) {
        return Err(TileRefusal::Format { operand, expected, found });
    }
    let (rows, left_k, cols, right_k) = (a.vectors(), a.k(), b.vectors(), b.k());
    let (tile_rows, tile_cols) = (c.rows(), c.cols());
    if (rows, cols, left_k) != (tile_rows, tile_cols, right_k) {
        return Err(TileRefusal::Shape { rows, left_k, cols, right_k, tile_rows, tile_cols });
    }
    Ok(())
}

fn check_encoded(
    (a, left): (&Strip, &Encoded),
    (b, right): (&Strip, &Encoded),
    c: &Tile,
    policy: &OperationPolicy,
) -> TileVerdict {
    let windows = left.windows();
    let pairs = left.vectors().iter().flat_map(|row| right.vectors().iter().map(move |column| (row, column)));
    let products = pairs.map(|(row, column)| Product::of(row, column, windows)).collect();
    judge(products, &Scale::new(policy, windows, a.k()), c, operand_facts((a, left), (b, right)))
}

/// Steps 3 to 5: products row by row, one for each output.
fn judge(products: Vec<Product>, scale: &Scale, c: &Tile, operands: TileFacts) -> TileVerdict {
    let outputs = match c.numbers() {
        Ok(outputs) => outputs,
        Err(source) => {
            return TileVerdict::Refused(TileRefusal::NotFinite { operand: Operand::Output, vector: 0, source });
        }
    };
    let entries: Vec<Entry> =
        products.into_iter().zip(&outputs).map(|(product, output)| scale.entry(product, *output)).collect();
    let cols = c.cols();
    let at = |index: usize| (index.checked_div(cols).unwrap_or_default(), index.checked_rem(cols).unwrap_or_default());

    if let Some(index) = entries.iter().position(|entry| !entry.is_inside()) {
        let (row, col) = at(index);
        let outside = entries.iter().filter(|entry| !entry.is_inside()).count();
        return TileVerdict::Refused(TileRefusal::Outside { row, col, outside });
    }
    if let Some(index) = entries.iter().position(|entry| !entry.is_sharp()) {
        let (row, col) = at(index);
        return TileVerdict::NotProven(TileDoubt::Cut { row, col });
    }
    let whole = Whole::of(&entries, scale.fraction_bits());
    let Whole { informative, filled, squares } = whole;
    if !whole.is_informative() {
        return TileVerdict::NotProven(TileDoubt::Uninformative { informative, entries: filled });
    }
    let bound = whole::mean_square_bound(informative);
    if squares > bound {
        return TileVerdict::NotProven(TileDoubt::MeanSquare { entries: informative, found: squares, bound });
    }
    let facts = output_facts(&entries, informative, operands);
    TileVerdict::Accepted(facts)
}

fn count(count: usize) -> u32 {
    // A strip has at most 2²⁰ entries.
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What the operands add to the statistics.
fn operand_facts((a, left): (&Strip, &Encoded), (b, right): (&Strip, &Encoded)) -> TileFacts {
    let zeros = |encoded: &Encoded| {
        let vectors = encoded.vectors().iter();
        count(vectors.flat_map(|vector| &vector.upper).filter(|upper| **upper == 0).count())
    };
    let repeated = |strip: &Strip| {
        let distinct: BTreeSet<&[u8]> = strip.vector_bytes().collect();
        count(strip.vectors().saturating_sub(distinct.len()))
    };
    TileFacts {
        left_zeros: zeros(left),
        right_zeros: zeros(right),
        left_entries: count(a.vectors().saturating_mul(a.k())),
        right_entries: count(b.vectors().saturating_mul(b.k())),
        repeated_rows: repeated(a),
        repeated_columns: repeated(b),
        is_wide: left.windows() == Windows::Two,
        ..TileFacts::NONE
    }
}

/// The same for the outputs.
fn output_facts(entries: &[Entry], informative: usize, operands: TileFacts) -> TileFacts {
    let mut facts = TileFacts {
        entries: count(entries.len()),
        informative: count(informative),
        empty: count(entries.iter().filter(|entry| entry.is_empty()).count()),
        ..operands
    };
    for entry in entries {
        let residual = entry.residual();
        let signed = if entry.is_above { i64::from(residual) } else { i64::from(residual).saturating_neg() };
        facts.worst = facts.worst.max(residual);
        facts.squares = facts.squares.saturating_add(u64::from(residual).saturating_mul(u64::from(residual)));
        facts.signed = facts.signed.saturating_add(signed);
        let outward = if entry.product.sum < 0 { signed.saturating_neg() } else { signed };
        facts.outward = facts.outward.saturating_add(outward);
    }
    facts
}

#[cfg(test)]
mod tests;
