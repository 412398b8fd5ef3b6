//! **Duty.** Both roots of a checkpoint, fed tensor by tensor from bounded buffers. **Knows** the two layouts.
//! **Does not know** how tensors are spread over files. **Spec.** PROTOCOL §3 (Checkpoint commitment), CIRCUITS §3.
//!
//! **`fast_root`** = BLAKE3 over: the string `weighbridge/fast-root/v1` after its `u32` length; then for each tensor, in
//! bytewise order of names: its name after a `u32` length, the data type's name after a `u32` length, the rank as `u32`,
//! each dimension as `u64`, the length in bytes as `u64`, the raw bytes. All integers little-endian.
//!
//! **`algebraic_root`**, scheme 1 = root of the tree (`merkle.rs`, nodes under `Domain::TensorNode`) over one leaf per
//! tensor in the same order. A tensor's leaf is `poseidon(Domain::TensorLeaf, …)` over the scheme (= 1), 5 elements of
//! its name's SHA-256, the data type code, the rank, the dimensions, and the 4 elements of its tile tree's root. That
//! tree has the tiles (`tile.rs`) row-major as leaves and nodes under `Domain::TileNode`; without a tile (a dimension is
//! 0) its root is 4 zeros.

use weighbridge_attest_types::{Digest32, Domain, Encoder, PoseidonDigest};

use crate::CommitError;
use crate::files::{TensorBytes, first_bytes};
use crate::merkle::TreeBuilder;
use crate::poseidon;
use crate::safetensors::Tensor;
use crate::tile::{Block, SCHEME, TILE, TensorHeader, name_hash};

/// Bytes of a tensor in memory at once.
pub(crate) const BUFFER_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of the shortest piece of a row: 16 of the widest elements, so that a piece is whole tiles in every type.
const LEAST_PIECE_BYTES: u64 = TILE * 8;

/// How much memory and how many threads may be used; neither changes a root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) buffer_bytes: u64,
    pub(crate) workers: u64,
}

/// Both roots while they grow.
#[derive(Debug)]
pub(crate) struct Roots {
    effort: Effort,
    fast: blake3::Hasher,
    tensors: TreeBuilder,
    buffer: Vec<u8>,
}

/// One tensor on its way into both roots.
struct Feed<'a> {
    tensor: &'a Tensor,
    header: TensorHeader,
    bytes: &'a TensorBytes<'a>,
    own: blake3::Hasher,
    tiles: TreeBuilder,
    progress: &'a mut dyn FnMut(u64),
}

/// Sixteen rows (fewer at the end) of a wide tensor.
struct Band {
    first_row: u64,
    rows: u64,
    row_bytes: u64,
    piece_bytes: u64,
}

impl Roots {
    pub(crate) fn new(effort: Effort) -> Self {
        let mut fast = blake3::Hasher::new();
        fast.update(&Domain::FastRoot.encoder().finish());
        let least = LEAST_PIECE_BYTES.saturating_mul(TILE);
        let effort = Effort { buffer_bytes: effort.buffer_bytes.max(least), ..effort };
        let buffer = vec![0u8; usize::try_from(effort.buffer_bytes).unwrap_or_default()];
        Self { effort, fast, tensors: TreeBuilder::new(Domain::TensorNode), buffer }
    }

    /// Adds the next tensor in the order of names; returns the fingerprint of the bytes that entered both roots.
    ///
    /// # Errors
    /// [`CommitError`] of the file.
    pub(crate) fn add(
        &mut self,
        tensor: &Tensor,
        bytes: &TensorBytes<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<blake3::Hash, CommitError> {
        self.fast.update(&fast_header(tensor));
        let (own, tiles) = (blake3::Hasher::new(), TreeBuilder::new(Domain::TileNode));
        let mut feed = Feed { tensor, header: TensorHeader::new(tensor), bytes, own, tiles, progress };
        if tensor.bytes > 0 {
            let band_rows = tensor.rows.min(TILE);
            if feed.row_bytes().saturating_mul(band_rows) <= self.effort.buffer_bytes {
                self.feed_bands(&mut feed)?;
            } else {
                self.feed_pieces(&mut feed)?;
            }
        }
        let Feed { own, tiles, .. } = feed;
        self.tensors.push(tensor_leaf(tensor, tiles.finish().unwrap_or_default()));
        Ok(own.finalize())
    }

    /// `fast_root` and `algebraic_root`; `None` without a tensor.
    pub(crate) fn finish(self) -> Option<(Digest32, PoseidonDigest)> {
        Some((Digest32(self.fast.finalize().into()), self.tensors.finish()?))
    }

    /// Narrow tensors: as many whole bands of 16 rows as fit are read once and serve both roots.
    fn feed_bands(&mut self, feed: &mut Feed<'_>) -> Result<(), CommitError> {
        let row_bytes = feed.row_bytes();
        let band_bytes = row_bytes.saturating_mul(TILE).max(1);
        let bands = self.effort.buffer_bytes.checked_div(band_bytes).unwrap_or_default().max(1);
        let mut row = 0u64;
        while let left @ 1.. = feed.tensor.rows.saturating_sub(row) {
            let rows = left.min(bands.saturating_mul(TILE));
            let chunk = first_bytes(&mut self.buffer, rows.saturating_mul(row_bytes));
            feed.bytes.read(row.saturating_mul(row_bytes), chunk)?;
            feed.sequential(&mut self.fast, chunk);
            let block = Block { bytes: chunk, tile_row: row / TILE, tile_col: 0, rows, cols: feed.tensor.cols };
            feed.tile(&block, self.effort.workers);
            row = row.saturating_add(rows);
        }
        Ok(())
    }

    /// Wide tensors: a band of 16 rows does not fit. It is read row by row for `fast_root` and once more piece by piece
    /// for the tiles; fingerprints of the pieces hold both readings to the same bytes.
    fn feed_pieces(&mut self, feed: &mut Feed<'_>) -> Result<(), CommitError> {
        let share = self.effort.buffer_bytes / TILE;
        let piece_bytes = share.saturating_sub(share % LEAST_PIECE_BYTES);
        let row_bytes = feed.row_bytes();
        let mut first_row = 0u64;
        while let left @ 1.. = feed.tensor.rows.saturating_sub(first_row) {
            let band = Band { first_row, rows: left.min(TILE), row_bytes, piece_bytes };
            let fingerprints = self.read_rows(feed, &band)?;
            self.read_columns(feed, &band, &fingerprints)?;
            first_row = first_row.saturating_add(band.rows);
        }
        Ok(())
    }

    /// A band in the order of its bytes; returns the fingerprint of each piece.
    fn read_rows(&mut self, feed: &mut Feed<'_>, band: &Band) -> Result<Vec<blake3::Hash>, CommitError> {
        let mut fingerprints = Vec::new();
        for row in 0..band.rows {
            for (from, width) in band.pieces() {
                let chunk = first_bytes(&mut self.buffer, width);
                feed.bytes.read(band.place(row, from), chunk)?;
                feed.sequential(&mut self.fast, chunk);
                fingerprints.push(blake3::hash(chunk));
            }
        }
        Ok(fingerprints)
    }

    /// A band in the order of its tiles: one column of pieces at a time.
    fn read_columns(
        &mut self,
        feed: &mut Feed<'_>,
        band: &Band,
        fingerprints: &[blake3::Hash],
    ) -> Result<(), CommitError> {
        let per_row = band.pieces().count();
        for (column, (from, width)) in band.pieces().enumerate() {
            let chunk = first_bytes(&mut self.buffer, width.saturating_mul(band.rows));
            let expected = fingerprints.iter().skip(column).step_by(per_row);
            let lines = chunk.chunks_exact_mut(usize::try_from(width).unwrap_or(usize::MAX));
            for ((line, expected), row) in lines.zip(expected).zip(0..band.rows) {
                feed.bytes.read(band.place(row, from), line)?;
                if blake3::hash(line) != *expected {
                    return Err(feed.bytes.changed());
                }
            }
            let elements = |bytes: u64| bytes.checked_div(feed.tensor.dtype.bytes).unwrap_or_default();
            let (tile_row, tile_col) = (band.first_row / TILE, elements(from) / TILE);
            let block = Block { bytes: chunk, tile_row, tile_col, rows: band.rows, cols: elements(width) };
            feed.tile(&block, self.effort.workers);
        }
        Ok(())
    }
}

impl Band {
    /// Where a byte of the band lies in the tensor.
    const fn place(&self, row: u64, from: u64) -> u64 {
        self.first_row.saturating_add(row).saturating_mul(self.row_bytes).saturating_add(from)
    }

    /// Pieces of one row: first byte and width, never empty.
    fn pieces(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (row_bytes, piece_bytes) = (self.row_bytes, self.piece_bytes);
        let starts = (0..row_bytes).step_by(usize::try_from(piece_bytes.max(1)).unwrap_or(usize::MAX));
        starts.map(move |from| (from, piece_bytes.min(row_bytes.saturating_sub(from))))
    }
}

impl Feed<'_> {
    fn row_bytes(&self) -> u64 {
        self.tensor.cols.saturating_mul(self.tensor.dtype.bytes)
    }

    fn sequential(&mut self, fast: &mut blake3::Hasher, chunk: &[u8]) {
        fast.update(chunk);
        self.own.update(chunk);
        (self.progress)(chunk.len() as u64);
    }

    fn tile(&mut self, block: &Block<'_>, workers: u64) {
        for leaf in self.header.leaves(block, workers) {
            self.tiles.push(leaf);
        }
    }
}

fn fast_header(tensor: &Tensor) -> Vec<u8> {
    let mut out = Encoder::new();
    out.put(&tensor.name).field(tensor.dtype.name.as_bytes()).count(tensor.shape.len());
    for extent in &tensor.shape {
        out.put(extent);
    }
    out.put(&tensor.bytes);
    out.finish()
}

fn tensor_leaf(tensor: &Tensor, tiles: PoseidonDigest) -> PoseidonDigest {
    let mut elements = vec![SCHEME];
    elements.extend(name_hash(tensor));
    elements.extend([tensor.dtype.code, tensor.shape.len() as u64]);
    elements.extend(&tensor.shape);
    elements.extend(tiles.elements());
    poseidon(Domain::TensorLeaf, &elements)
}
