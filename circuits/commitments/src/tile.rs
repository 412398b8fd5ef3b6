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
//!
//! Where several elements share a byte (`F4`, `F6_E2M3`, `F6_E3M2`), the matrix is made of bytes and s = 1: the format
//! fixes how many bytes such a tensor has, and nothing about the order of bits in them (`safetensors.rs`, `Stored`).

use weighbridge_attest_types::{Domain, PoseidonDigest, sha256};

use crate::merkle::subtrees;
use crate::safetensors::{Stored, Tensor};
use crate::tensor::TensorShape;
use crate::{HeaderError, digest_elements, pack7, poseidon};

/// Rows and columns of a tile: square, so that one tree serves row strips and column strips.
pub(crate) const TILE: u64 = 16;
/// Version of the leaf layouts.
pub(crate) const SCHEME: u64 = 1;
/// Bytes of a tile of the widest element.
pub(crate) const MAX_TILE_BYTES: usize = 16 * 16 * 8;

/// What every leaf of a tensor says about the tensor, for whoever holds a tile and not the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileHeader {
    /// SHA-256 of the tensor's name, packed.
    pub name: [u64; 5],
    /// Code of its data type.
    pub dtype: u64,
    /// Rows of the tensor as a matrix,
    pub rows: u64,
    /// and its columns.
    pub cols: u64,
}

impl TileHeader {
    /// Elements before a leaf's packed bytes.
    pub const ELEMENTS: usize = 13;
    /// Version of the layout: the first of them.
    pub const SCHEME: u64 = SCHEME;

    /// Of a tensor.
    ///
    /// # Errors
    /// [`HeaderError`] for a description that no tensor has.
    pub fn of(described: TensorShape<'_>) -> Result<Self, HeaderError> {
        let TensorShape { name, dtype, shape } = described;
        Ok(TensorHeader::new(&Tensor::alone(name, dtype, shape)?).tile_header())
    }

    /// The leaf of one tile by its place, its true rows and columns, and its padded bytes.
    #[must_use]
    pub fn leaf(&self, place: (u64, u64), size: (u64, u64), tile: &[u8]) -> PoseidonDigest {
        let mut elements = vec![SCHEME];
        elements.extend(self.name);
        elements.extend([place.0, place.1, size.0, size.1, self.dtype, self.rows, self.cols]);
        elements.extend(pack7(tile));
        poseidon(Domain::TileLeaf, &elements)
    }
}

/// What every leaf of a tensor says about the tensor.
#[derive(Debug)]
pub(crate) struct TensorHeader {
    name_hash: [u64; 5],
    dtype_code: u64,
    stored: Stored,
}

/// A part of a tensor: whole tiles, cut only where the tensor ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Tile row of the first tile.
    pub(crate) tile_row: u64,
    /// Tile column of the first tile.
    pub(crate) tile_col: u64,
    pub(crate) rows: u64,
    pub(crate) cols: u64,
}

impl Stored {
    /// Bytes of one row.
    pub(crate) const fn row_bytes(self) -> u64 {
        self.cols.saturating_mul(self.element_bytes)
    }

    /// Number of tiles.
    pub(crate) const fn tiles(self) -> u64 {
        self.rows.div_ceil(TILE).saturating_mul(self.cols.div_ceil(TILE))
    }

    /// Everything as one block.
    pub(crate) const fn whole(self) -> Block {
        Block { tile_row: 0, tile_col: 0, rows: self.rows, cols: self.cols }
    }
}

impl Block {
    /// Number of tiles.
    pub(crate) const fn tiles(self) -> u64 {
        self.rows.div_ceil(TILE).saturating_mul(self.cols.div_ceil(TILE))
    }
}

impl TensorHeader {
    pub(crate) fn new(tensor: &Tensor) -> Self {
        Self { name_hash: name_hash(tensor), dtype_code: tensor.dtype.code, stored: tensor.stored }
    }

    const fn tile_header(&self) -> TileHeader {
        let Self { name_hash, dtype_code, stored } = self;
        TileHeader { name: *name_hash, dtype: *dtype_code, rows: stored.rows, cols: stored.cols }
    }

    /// What the tiles of a block add to the tensor's tree. `bytes` holds the block's rows without anything between;
    /// its tiles must be neighbours in the tensor's order, which whole bands are, and parts of one band.
    pub(crate) fn subtrees(&self, block: Block, bytes: &[u8]) -> Vec<(u64, PoseidonDigest)> {
        let per_row = block.cols.div_ceil(TILE);
        let first = block.tile_row.saturating_mul(self.stored.cols.div_ceil(TILE)).saturating_add(block.tile_col);
        let places = (0..block.rows.div_ceil(TILE)).flat_map(|row| (0..per_row).map(move |col| (row, col)));
        let mut tile = [0u8; MAX_TILE_BYTES];
        subtrees(Domain::TileNode, first, places.map(|(row, col)| self.leaf(block, bytes, (row, col), &mut tile)))
    }

    /// The leaf of one tile, given by its place in the block.
    pub(crate) fn leaf(
        &self,
        block: Block,
        bytes: &[u8],
        (row, col): (u64, u64),
        tile: &mut [u8; MAX_TILE_BYTES],
    ) -> PoseidonDigest {
        let true_rows = block.rows.saturating_sub(row.saturating_mul(TILE)).min(TILE);
        let true_cols = block.cols.saturating_sub(col.saturating_mul(TILE)).min(TILE);
        let size =
            |elements: u64| usize::try_from(elements.saturating_mul(self.stored.element_bytes)).unwrap_or(usize::MAX);
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);

        tile.fill(0);
        let rows = bytes.chunks_exact(size(block.cols).max(1)).skip(count(row.saturating_mul(TILE)));
        let sides = tile.chunks_exact_mut(size(TILE).max(1));
        let from = size(col.saturating_mul(TILE));
        let to = from.saturating_add(size(true_cols));
        for (side, source) in sides.zip(rows.take(count(true_rows))) {
            let source = source.get(from..to).unwrap_or_default();
            side.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        }

        let place = (block.tile_row.saturating_add(row), block.tile_col.saturating_add(col));
        let padded = tile.get(..size(TILE * TILE)).unwrap_or_default();
        self.tile_header().leaf(place, (true_rows, true_cols), padded)
    }
}

/// SHA-256 of a tensor's name as 5 elements.
pub(crate) fn name_hash(tensor: &Tensor) -> [u64; 5] {
    digest_elements(sha256(tensor.name.as_bytes()))
}
