//! **Duty.** Cuts a block of a tensor into 16 × 16 tiles and hashes each to a leaf. **Knows** one block in memory.
//! **Does not know** files or trees. **Spec.** CIRCUITS §3: a leaf has a fixed length and a header.
//!
//! A tensor is a matrix: the last dimension gives the columns, the product of the others the rows; a vector is one row,
//! a scalar is 1 × 1. Leaf of tile (r, c), scheme 1, by `poseidon(Domain::TileLeaf, …)` over these elements:
//!
//! | elements | value |
//! |---|---|
//! | 1 | scheme = 1 |
//! | 5 | SHA-256 of the tensor's name, as `digest_elements` |
//! | 2 | tile row r, tile column c |
//! | 2 | true rows and true columns of this tile (16 unless at the edge) |
//! | 1 | data type code (`safetensors.rs`) |
//! | 2 | rows and columns of the tensor |
//! | ⌈256·s/7⌉ | `pack7` of the tile's 256·s bytes (s = bytes of an element), row by row, zeros where the tensor ends |

use std::thread;

use weighbridge_attest_types::{Domain, PoseidonDigest, sha256};

use crate::safetensors::Tensor;
use crate::{digest_elements, pack7, poseidon};

/// Rows and columns of a tile: square, so that one tree serves row strips and column strips.
pub(crate) const TILE: u64 = 16;
/// Version of the leaf layouts.
pub(crate) const SCHEME: u64 = 1;
/// Bytes of a tile of the widest element.
const MAX_TILE_BYTES: usize = 16 * 16 * 8;
/// A thread is worth its start from here on: 64 tiles take about a millisecond.
const MIN_TILES_PER_WORKER: u64 = 64;

/// What every leaf of a tensor says about the tensor.
#[derive(Debug)]
pub(crate) struct TensorHeader {
    name_hash: [u64; 5],
    dtype_code: u64,
    element_bytes: u64,
    rows: u64,
    cols: u64,
}

/// A part of a tensor in memory: whole tiles, cut only where the tensor ends.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Rows one after the other, without anything between.
    pub(crate) bytes: &'a [u8],
    /// Tile row of the first tile.
    pub(crate) tile_row: u64,
    /// Tile column of the first tile.
    pub(crate) tile_col: u64,
    pub(crate) rows: u64,
    pub(crate) cols: u64,
}

impl TensorHeader {
    pub(crate) fn new(tensor: &Tensor) -> Self {
        Self {
            name_hash: name_hash(tensor),
            dtype_code: tensor.dtype.code,
            element_bytes: tensor.dtype.bytes,
            rows: tensor.rows,
            cols: tensor.cols,
        }
    }

    /// Leaves of all tiles of a block, row-major; `workers` threads share the work.
    pub(crate) fn leaves(&self, block: &Block<'_>, workers: u64) -> Vec<PoseidonDigest> {
        let per_row = block.cols.div_ceil(TILE);
        let count = block.rows.div_ceil(TILE).saturating_mul(per_row);
        let some = |from: u64, to: u64| -> Vec<PoseidonDigest> {
            let place = |tile: u64| (tile.checked_div(per_row), tile.checked_rem(per_row));
            let leaf = |tile| self.leaf(block, place(tile).0.unwrap_or_default(), place(tile).1.unwrap_or_default());
            (from..to.min(count)).map(leaf).collect()
        };
        let share = count.div_ceil(workers.max(1)).max(MIN_TILES_PER_WORKER);
        if share >= count {
            return some(0, count);
        }
        thread::scope(|scope| {
            let starts = (0..count).step_by(usize::try_from(share).unwrap_or(usize::MAX));
            let handles: Vec<_> =
                starts.map(|start| scope.spawn(move || some(start, start.saturating_add(share)))).collect();
            let joined = handles.into_iter().map(thread::ScopedJoinHandle::join);
            joined.flat_map(|leaves| leaves.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    /// The leaf of one tile, given by its place in the block.
    fn leaf(&self, block: &Block<'_>, row: u64, col: u64) -> PoseidonDigest {
        let true_rows = block.rows.saturating_sub(row.saturating_mul(TILE)).min(TILE);
        let true_cols = block.cols.saturating_sub(col.saturating_mul(TILE)).min(TILE);
        let size = |elements: u64| usize::try_from(elements.saturating_mul(self.element_bytes)).unwrap_or(usize::MAX);
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);

        let mut tile = [0u8; MAX_TILE_BYTES];
        let rows = block.bytes.chunks_exact(size(block.cols).max(1)).skip(count(row.saturating_mul(TILE)));
        let sides = tile.chunks_exact_mut(size(TILE).max(1));
        for (side, source) in sides.zip(rows.take(count(true_rows))) {
            let source = source.iter().skip(size(col.saturating_mul(TILE))).take(size(true_cols));
            side.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        }

        let mut elements = vec![SCHEME];
        elements.extend(self.name_hash);
        elements.extend([block.tile_row.saturating_add(row), block.tile_col.saturating_add(col)]);
        elements.extend([true_rows, true_cols, self.dtype_code, self.rows, self.cols]);
        elements.extend(pack7(tile.get(..size(TILE * TILE)).unwrap_or_default()));
        poseidon(Domain::TileLeaf, &elements)
    }
}

/// SHA-256 of a tensor's name as 5 elements.
pub(crate) fn name_hash(tensor: &Tensor) -> [u64; 5] {
    digest_elements(sha256(tensor.name.as_bytes()))
}
