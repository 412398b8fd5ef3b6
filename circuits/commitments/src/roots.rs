//! **Duty.** Both roots of a checkpoint: the lead reads tensors in the order of their names and cuts them into jobs, the
//! crew hashes tiles, the lead folds. **Knows** the two layouts. **Does not know** how tensors are spread over files.
//! **Spec.** PROTOCOL §3 (Checkpoint commitment), CIRCUITS §3; decision 0012 for the division of work.
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
use crate::crew::{Crew, window};
use crate::files::{TensorBytes, first_bytes};
use crate::merkle::TreeBuilder;
use crate::poseidon;
use crate::safetensors::Tensor;
use crate::tile::{Block, SCHEME, TILE, TensorHeader, name_hash};

/// The shortest piece of a row: 16 of the widest elements, so that a piece is whole tiles in every type.
const LEAST_PIECE_BYTES: u64 = TILE * 8;
/// The largest job: some 30 ms of Poseidon, so that nobody waits long at the end.
const MAX_JOB_BYTES: u64 = 1024 * 1024;
/// All jobs in flight together.
const IN_FLIGHT_BYTES: u64 = 48 * 1024 * 1024;
/// A band of 16 rows that is read at once although it is more than a job: rows of up to 512 KiB.
const MAX_BAND_BYTES: u64 = 8 * 1024 * 1024;
/// A tile of a vector costs as much as a full one, whatever its bytes: jobs are bounded by tiles too.
const MAX_JOB_TILES: u64 = 4_096;

/// How much is held in memory; no root depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers {
    job_bytes: u64,
    band_bytes: u64,
}

/// Which roots are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fast: bool,
    pub(crate) algebraic: bool,
    /// Whether the bytes are held to fingerprints of an earlier reading.
    pub(crate) fingerprints: bool,
}

/// Some blocks of some tensors, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Job<'a> {
    bytes: Vec<u8>,
    items: Vec<Item<'a>>,
    tiles: u64,
}

/// One block of a job; its bytes begin at `from`.
#[derive(Debug)]
struct Item<'a> {
    tensor: &'a Tensor,
    block: Block,
    from: usize,
}

/// What became of a job, and its buffer for the next one.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    parts: Vec<(&'a Tensor, Part)>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    /// The tensor was whole: its leaf.
    Leaf(PoseidonDigest),
    /// Complete subtrees of the tensor's tile tree.
    Subtrees { tiles: u64, subtrees: Vec<(u64, PoseidonDigest)> },
}

/// Both roots while they grow, at the lead.
pub(crate) struct Roots<'a, 'c, 's> {
    buffers: Buffers,
    wanted: Wanted,
    crew: &'c mut Crew<'s, Job<'a>, Done<'a>>,
    fast: blake3::Hasher,
    job: Job<'a>,
    spare: Vec<Vec<u8>>,
    band: Vec<u8>,
    fold: Fold,
}

/// Results in the order of tensors and tiles.
struct Fold {
    tensors: TreeBuilder,
    tiles: TreeBuilder,
    tiles_done: u64,
}

/// One tensor on its way into both roots.
struct Feed<'a, 'f> {
    tensor: &'a Tensor,
    bytes: &'f TensorBytes<'f>,
    own: blake3::Hasher,
    wanted: Wanted,
    progress: &'f mut dyn FnMut(u64),
}

/// Sixteen rows (fewer at the end) of a wide tensor.
struct Band {
    first_row: u64,
    rows: u64,
    row_bytes: u64,
    piece_bytes: u64,
}

impl Buffers {
    /// As large as the bound on memory allows beside that many threads.
    pub(crate) fn for_threads(threads: usize) -> Self {
        let jobs = window(threads).saturating_add(2) as u64;
        let job_bytes = IN_FLIGHT_BYTES.checked_div(jobs).unwrap_or_default().min(MAX_JOB_BYTES);
        Self::new(job_bytes, MAX_BAND_BYTES)
    }

    pub(crate) fn new(job_bytes: u64, band_bytes: u64) -> Self {
        Self { job_bytes: job_bytes.max(LEAST_PIECE_BYTES * TILE), band_bytes }
    }
}

/// The crew's part: tiles to subtrees.
pub(crate) fn hash_tiles(job: Job<'_>) -> Done<'_> {
    let Job { bytes, items, .. } = job;
    let hash = |Item { tensor, block, from }: Item<'_>| {
        let subtrees = TensorHeader::new(tensor).subtrees(block, bytes.get(from..).unwrap_or_default());
        if block.tiles() < tensor.stored.tiles() {
            return Part::Subtrees { tiles: block.tiles(), subtrees };
        }
        let mut tree = TreeBuilder::new(Domain::TileNode);
        subtrees.into_iter().for_each(|(level, root)| tree.push_subtree(level, root));
        Part::Leaf(tensor_leaf(tensor, tree.finish().unwrap_or_default()))
    };
    let parts = items.into_iter().map(|item| (item.tensor, hash(item))).collect();
    Done { parts, buffer: bytes }
}

impl<'a> Job<'a> {
    /// Adds a block; its bytes are for the caller to fill in.
    fn push(&mut self, tensor: &'a Tensor, block: Block) -> &mut [u8] {
        let from = self.bytes.len();
        let length = block.rows.saturating_mul(block.cols).saturating_mul(tensor.stored.element_bytes);
        self.bytes.resize(from.saturating_add(usize::try_from(length).unwrap_or_default()), 0);
        self.items.push(Item { tensor, block, from });
        self.tiles = self.tiles.saturating_add(block.tiles().max(1));
        self.bytes.get_mut(from..).unwrap_or_default()
    }
}

impl<'a, 'c, 's> Roots<'a, 'c, 's> {
    pub(crate) fn new(buffers: Buffers, wanted: Wanted, crew: &'c mut Crew<'s, Job<'a>, Done<'a>>) -> Self {
        let mut fast = blake3::Hasher::new();
        fast.update(&Domain::FastRoot.encoder().finish());
        let tree = TreeBuilder::new;
        let fold = Fold { tensors: tree(Domain::TensorNode), tiles: tree(Domain::TileNode), tiles_done: 0 };
        Self { buffers, wanted, crew, fast, job: Job::default(), spare: Vec::new(), band: Vec::new(), fold }
    }

    /// Adds the next tensor in the order of names; returns the fingerprint of the bytes that entered the roots (of no
    /// meaning when fingerprints are not wanted).
    ///
    /// # Errors
    /// [`CommitError`] of the file.
    pub(crate) fn add(
        &mut self,
        tensor: &'a Tensor,
        bytes: &TensorBytes<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<blake3::Hash, CommitError> {
        if self.wanted.fast {
            self.fast.update(&fast_header(tensor));
        }
        let mut feed = Feed { tensor, bytes, own: blake3::Hasher::new(), wanted: self.wanted, progress };
        let stored = tensor.stored;
        let band_bytes = stored.row_bytes().saturating_mul(stored.rows.min(TILE));
        if tensor.bytes == 0 {
            self.make_room();
            self.job.push(tensor, stored.whole());
        } else if band_bytes <= self.buffers.job_bytes && stored.cols.div_ceil(TILE) <= MAX_JOB_TILES {
            self.feed_bands(&mut feed)?;
        } else {
            self.feed_wide(&mut feed)?;
        }
        Ok(feed.own.finalize())
    }

    /// `fast_root` and `algebraic_root`, where wanted; `None` without a tensor.
    pub(crate) fn finish(mut self) -> Option<(Digest32, PoseidonDigest)> {
        self.submit();
        for done in self.crew.finish() {
            self.fold.add(done);
        }
        let fast_root = Digest32(self.fast.finalize().into());
        let algebraic_root =
            if self.wanted.algebraic { self.fold.tensors.finish()? } else { PoseidonDigest::default() };
        Some((fast_root, algebraic_root))
    }

    /// Narrow tensors: as many whole bands of 16 rows as fit into a job are read at once and serve both roots.
    fn feed_bands(&mut self, feed: &mut Feed<'a, '_>) -> Result<(), CommitError> {
        let stored = feed.tensor.stored;
        let row_bytes = stored.row_bytes();
        let mut row = 0u64;
        while let left @ 1.. = stored.rows.saturating_sub(row) {
            self.make_room();
            // A tensor of fewer than 16 rows is one band; it is only cut off where it ends.
            let (bytes, tiles) = (row_bytes.saturating_mul(TILE.min(left)), stored.cols.div_ceil(TILE));
            let by_bytes = self.room_bytes().checked_div(bytes).unwrap_or_default();
            let by_tiles = MAX_JOB_TILES.saturating_sub(self.job.tiles).checked_div(tiles).unwrap_or_default();
            let rows = left.min(by_bytes.min(by_tiles).saturating_mul(TILE));
            if rows == 0 {
                self.submit();
                continue;
            }
            let block = Block { tile_row: row / TILE, tile_col: 0, rows, cols: stored.cols };
            let chunk = self.job.push(feed.tensor, block);
            feed.bytes.read(row.saturating_mul(row_bytes), chunk)?;
            feed.sequential(&mut self.fast, chunk);
            row = row.saturating_add(rows);
        }
        Ok(())
    }

    /// Wide tensors: a band of 16 rows is more than a job and is cut into pieces of columns. A vector is its pieces in
    /// order; a band that fits into memory is read once; a wider one is read row by row for `fast_root` and once more
    /// piece by piece for the tiles, and fingerprints of the pieces hold both readings to the same bytes.
    fn feed_wide(&mut self, feed: &mut Feed<'a, '_>) -> Result<(), CommitError> {
        let stored = feed.tensor.stored;
        let row_bytes = stored.row_bytes();
        let mut first_row = 0u64;
        while let left @ 1.. = stored.rows.saturating_sub(first_row) {
            let rows = left.min(TILE);
            let by_tiles = MAX_JOB_TILES.saturating_mul(TILE).saturating_mul(stored.element_bytes);
            let share = self.buffers.job_bytes.checked_div(rows).unwrap_or_default().min(by_tiles);
            let piece_bytes = share.saturating_sub(share % LEAST_PIECE_BYTES);
            let band = Band { first_row, rows, row_bytes, piece_bytes };
            if !self.wanted.algebraic {
                self.read_rows(feed, &band)?;
            } else if rows > 1 && row_bytes.saturating_mul(rows) <= self.buffers.band_bytes {
                self.read_band(feed, &band)?;
            } else {
                let one_reading = rows == 1 || !(self.wanted.fast || self.wanted.fingerprints);
                let fingerprints = if one_reading { None } else { Some(self.read_rows(feed, &band)?) };
                self.read_pieces(feed, &band, fingerprints.as_deref())?;
            }
            first_row = first_row.saturating_add(rows);
        }
        Ok(())
    }

    /// A band that fits into memory.
    fn read_band(&mut self, feed: &mut Feed<'a, '_>, band: &Band) -> Result<(), CommitError> {
        self.band.resize(usize::try_from(band.row_bytes.saturating_mul(band.rows)).unwrap_or_default(), 0);
        feed.bytes.read(band.place(0, 0), &mut self.band)?;
        feed.sequential(&mut self.fast, &self.band);
        for (from, width) in band.pieces() {
            self.make_room_for(width.saturating_mul(band.rows));
            let chunk = self.job.push(feed.tensor, band.block(feed.tensor, from, width));
            let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            let lines = chunk.chunks_exact_mut(size(width)).zip(self.band.chunks_exact(size(band.row_bytes)));
            for (line, row) in lines {
                let piece = row.get(size(from)..size(from.saturating_add(width))).unwrap_or_default();
                line.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    /// A band in the order of its bytes; returns the fingerprint of each piece.
    fn read_rows(&mut self, feed: &mut Feed<'a, '_>, band: &Band) -> Result<Vec<blake3::Hash>, CommitError> {
        let mut fingerprints = Vec::new();
        self.band.resize(usize::try_from(band.piece_bytes).unwrap_or_default(), 0);
        for row in 0..band.rows {
            for (from, width) in band.pieces() {
                let chunk = first_bytes(&mut self.band, width);
                feed.bytes.read(band.place(row, from), chunk)?;
                feed.sequential(&mut self.fast, chunk);
                fingerprints.push(blake3::hash(chunk));
            }
        }
        Ok(fingerprints)
    }

    /// A band in the order of its tiles: one column of pieces at a time. Without fingerprints this is the only reading.
    fn read_pieces(
        &mut self,
        feed: &mut Feed<'a, '_>,
        band: &Band,
        fingerprints: Option<&[blake3::Hash]>,
    ) -> Result<(), CommitError> {
        let per_row = band.pieces().count();
        for (column, (from, width)) in band.pieces().enumerate() {
            self.make_room_for(width.saturating_mul(band.rows));
            let chunk = self.job.push(feed.tensor, band.block(feed.tensor, from, width));
            let lines = chunk.chunks_exact_mut(usize::try_from(width).unwrap_or(usize::MAX));
            for (line, row) in lines.zip(0..band.rows) {
                feed.bytes.read(band.place(row, from), line)?;
                let Some(fingerprints) = fingerprints else {
                    feed.sequential(&mut self.fast, line);
                    continue;
                };
                let place = usize::try_from(row).unwrap_or(usize::MAX).saturating_mul(per_row).saturating_add(column);
                if fingerprints.get(place) != Some(&blake3::hash(line)) {
                    return Err(feed.bytes.changed());
                }
            }
        }
        Ok(())
    }

    fn room_bytes(&self) -> u64 {
        self.buffers.job_bytes.saturating_sub(self.job.bytes.len() as u64)
    }

    /// Leaves room for one more tile at least.
    fn make_room(&mut self) {
        if self.room_bytes() == 0 || self.job.tiles >= MAX_JOB_TILES {
            self.submit();
        }
    }

    fn make_room_for(&mut self, bytes: u64) {
        if self.room_bytes() < bytes || self.job.tiles >= MAX_JOB_TILES {
            self.submit();
        }
    }

    /// Hands the job to the crew and begins another.
    fn submit(&mut self) {
        let mut next = Job { bytes: self.spare.pop().unwrap_or_default(), ..Job::default() };
        next.bytes.clear();
        let job = std::mem::replace(&mut self.job, next);
        if !self.wanted.algebraic || job.items.is_empty() {
            self.spare.push(job.bytes);
            return;
        }
        for done in self.crew.submit(job) {
            let buffer = self.fold.add(done);
            self.spare.push(buffer);
        }
    }
}

impl Fold {
    /// Returns the buffer of the job.
    fn add(&mut self, done: Done<'_>) -> Vec<u8> {
        for (tensor, part) in done.parts {
            match part {
                Part::Leaf(leaf) => self.tensors.push(leaf),
                Part::Subtrees { tiles, subtrees } => {
                    subtrees.into_iter().for_each(|(level, root)| self.tiles.push_subtree(level, root));
                    self.tiles_done = self.tiles_done.saturating_add(tiles);
                    if self.tiles_done >= tensor.stored.tiles() {
                        let tree = std::mem::replace(&mut self.tiles, TreeBuilder::new(Domain::TileNode));
                        self.tensors.push(tensor_leaf(tensor, tree.finish().unwrap_or_default()));
                        self.tiles_done = 0;
                    }
                }
            }
        }
        done.buffer
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

    fn block(&self, tensor: &Tensor, from: u64, width: u64) -> Block {
        let elements = |bytes: u64| bytes.checked_div(tensor.stored.element_bytes).unwrap_or_default();
        let (tile_row, tile_col) = (self.first_row / TILE, elements(from) / TILE);
        Block { tile_row, tile_col, rows: self.rows, cols: elements(width) }
    }
}

impl Feed<'_, '_> {
    /// Bytes of the tensor in their order, each once.
    fn sequential(&mut self, fast: &mut blake3::Hasher, chunk: &[u8]) {
        if self.wanted.fast {
            fast.update(chunk);
        }
        if self.wanted.fingerprints {
            self.own.update(chunk);
        }
        (self.progress)(chunk.len() as u64);
    }
}

/// What stands before a tensor's bytes in the stream of `fast_root`.
pub(crate) fn fast_header(tensor: &Tensor) -> Vec<u8> {
    let mut out = Encoder::new();
    out.field(tensor.name.as_bytes()).field(tensor.dtype.name.as_bytes()).count(tensor.shape.len());
    for extent in &tensor.shape {
        out.put(extent);
    }
    out.put(&tensor.bytes);
    out.finish()
}

/// The leaf of a tensor in the tree of its checkpoint.
pub(crate) fn tensor_leaf(tensor: &Tensor, tiles: PoseidonDigest) -> PoseidonDigest {
    let mut elements = vec![SCHEME];
    elements.extend(name_hash(tensor));
    elements.extend([tensor.dtype.code, tensor.shape.len() as u64]);
    elements.extend(&tensor.shape);
    elements.extend(tiles.elements());
    poseidon(Domain::TensorLeaf, &elements)
}
