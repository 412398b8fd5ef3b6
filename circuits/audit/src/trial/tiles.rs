//! **Duty.** All tiles of a trace, in the order of their keys, and the one that a FLOP belongs to. **Knows** extents.
//! **Does not know** bytes. **Spec.** PROTOCOL §3 (FLOP tree): a tile weighs 2 · rows · columns · k of its true edges.
//!
//! The products of a batch stand below each other: tile row = product · ⌈m / 16⌉ + row.

use std::fmt;

use weighbridge_attest_types::Flops;

use crate::Key;
use crate::trace::{Kind, Matmul, Operand, Operation, Trace};
use crate::trial::cut::Strip;
use crate::trial::draw::Weights;

/// Rows and columns of a tile: those of the commitments' tiles, so that strips are rows of committed tiles.
pub const TILE_SIDE: u64 = 16;

/// One tile of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Place of the operation in the trace.
    pub operation: usize,
    /// Which product of the operation.
    pub product: u64,
    /// Tile row in the product.
    pub row: u64,
    /// Tile column.
    pub col: u64,
    /// True rows, 16 but at the edge.
    pub rows: u64,
    /// True columns.
    pub cols: u64,
    /// Length of the dot products.
    pub k: u64,
    /// Where it stands in the run.
    pub key: Key,
}

/// All tiles of a trace.
#[derive(Debug)]
pub struct Tiles<'t> {
    trace: &'t Trace<'t>,
    weights: Weights,
}

impl<'t> Tiles<'t> {
    /// Of all products of a trace.
    #[must_use]
    pub fn of(trace: &'t Trace<'t>) -> Self {
        let weight = |operation: &Operation| match operation.kind {
            // A parsed trace has less than 2⁶⁴ FLOP.
            Kind::Matmul(_) => u64::try_from(operation.flop().unwrap_or_default()).unwrap_or_default(),
            _ => 0,
        };
        Self { trace, weights: Weights::of(trace.operations().iter().map(weight)) }
    }

    /// FLOP of all tiles.
    #[must_use]
    pub fn flop(&self) -> Flops {
        Flops(u128::from(self.total()))
    }

    pub(super) fn total(&self) -> u64 {
        self.weights.total()
    }

    /// The tile that FLOP number `flop` belongs to, counted along the run.
    #[must_use]
    pub fn at(&self, flop: u64) -> Option<Tile> {
        let (operation, flop) = self.weights.at(flop)?;
        let Kind::Matmul(Matmul { m, n, k, .. }) = self.trace.operations().get(operation)?.kind else { return None };
        let of_row = n.checked_mul(k)?.checked_mul(2)?;
        let of_product = m.checked_mul(of_row)?;
        let (product, flop) = (flop.checked_div(of_product)?, flop.checked_rem(of_product)?);
        let band = of_row.checked_mul(TILE_SIDE)?;
        let (row, flop) = (flop.checked_div(band)?, flop.checked_rem(band)?);
        let rows = side(m, row);
        let of_tile = rows.checked_mul(k)?.checked_mul(2)?.checked_mul(TILE_SIDE)?;
        self.tile(operation, (product, row, flop.checked_div(of_tile)?))
    }

    /// All of them, ascending by key, each with its weight.
    pub fn iter(&self) -> impl Iterator<Item = (Tile, Flops)> {
        let products = self.trace.operations().iter().enumerate().filter_map(|(place, operation)| {
            if let Kind::Matmul(matmul) = operation.kind { Some((place, matmul)) } else { None }
        });
        products.flat_map(move |(place, Matmul { batch, m, n, .. })| {
            let rows = m.div_ceil(TILE_SIDE);
            (0..batch)
                .flat_map(move |product| (0..rows).map(move |row| (product, row)))
                .flat_map(move |(product, row)| (0..n.div_ceil(TILE_SIDE)).map(move |col| (product, row, col)))
                .filter_map(move |tile| self.tile(place, tile))
                .map(|tile| (tile, tile.flop()))
        })
    }

    fn tile(&self, operation: usize, (product, row, col): (u64, u64, u64)) -> Option<Tile> {
        let Kind::Matmul(Matmul { m, n, k, .. }) = self.trace.operations().get(operation)?.kind else { return None };
        let stacked = product.checked_mul(m.div_ceil(TILE_SIDE))?.checked_add(row)?;
        let key = self.trace.key(operation, (u32::try_from(stacked).ok()?, u32::try_from(col).ok()?)).ok()?;
        Some(Tile { operation, product, row, col, rows: side(m, row), cols: side(n, col), k, key })
    }
}

/// True length of the `at`-th tile along an extent.
const fn side(extent: u64, at: u64) -> u64 {
    let left = extent.saturating_sub(at.saturating_mul(TILE_SIDE));
    if left < TILE_SIDE { left } else { TILE_SIDE }
}

impl Tile {
    /// Its weight: 2 · rows · columns · k.
    #[must_use]
    pub fn flop(&self) -> Flops {
        Flops([self.rows, self.cols, self.k].into_iter().map(u128::from).fold(2, u128::saturating_mul))
    }

    /// Rows of A's strip, or columns of B's.
    #[must_use]
    pub const fn extent(&self, strip: Strip) -> u64 {
        match strip {
            Strip::A => self.rows,
            Strip::B => self.cols,
        }
    }

    /// The operand of a strip, and the place in its tensor of entry (`across`, `k`) of the strip.
    pub(crate) fn operand_entry<'o>(
        &self,
        operation: &'o Operation,
        strip: Strip,
        (across, k): (u64, u64),
    ) -> Option<(&'o Operand, u64)> {
        let (role, tile) = match strip {
            Strip::A => ("a", self.row),
            Strip::B => ("b", self.col),
        };
        let operand = operation.input(role)?;
        let across = tile.checked_mul(TILE_SIDE)?.checked_add(across)?;
        let (row, col) = match strip {
            Strip::A => (across, k),
            Strip::B => (k, across),
        };
        Some((operand, self.place(operand, row, col)?))
    }

    /// The place of a matrix entry of this tile's product.
    pub(super) fn place(&self, operand: &Operand, row: u64, col: u64) -> Option<u64> {
        match operand.view.shape().len() {
            2 => operand.view.at(&[row, col]),
            _ => operand.view.at(&[self.product, row, col]),
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.product > 0 {
            write!(f, "{}:", self.product)?;
        }
        write!(f, "{},{}", self.row, self.col)
    }
}
