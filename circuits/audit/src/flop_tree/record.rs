//! **Duty.** What leaves are about: a tile of an operation, or a whole work unit. Weights are computed here from shapes,
//! never taken from anybody. **Knows** shapes and roots. **Does not know** tensors. **Spec.** PROTOCOL §3 (work unit, FLOP
//! tree: the leaf's weight recomputed from edge-clipped dimensions).
//!
//! | hash | elements |
//! |---|---|
//! | `Domain::Operation` | key 3 (tile 0, 0), kind (0 product, 1 link), class, rows, columns, K (0 for a link), with a fused bias, side, A transposed, B transposed, roots of A, B and C 3 × 4, form 5, salt 4 |
//! | `Domain::FlopLeaf` | key 3, operation 4 |
//! | `Domain::UnitLeaf` | key 3, GFLOP, rest, links, start root 5, end root 5, trace root 4 (zeros if absent), salt 4 |

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32, Domain, Flops, PoseidonDigest};
use weighbridge_commitments::{digest_elements, poseidon, salt_elements};

use crate::flop_tree::{Node, Sums};
use crate::gemm::{MAX_K, MAX_SIDE, OperationClass};
use crate::key::Key;

/// Most rows or columns of an operation: 2²⁸ tiles of the smallest side.
const MAX_DIMENSION: u64 = 1 << 28;

/// What a tile is drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileKind {
    /// A tile of a matrix product, over a K of 1 to 2¹⁴. Weight: 2 · rows · columns · K FLOP.
    Product {
        /// Class of the numeric policy.
        class: OperationClass,
        /// K.
        k: u64,
        /// Whether the product adds a bias before it rounds: one more term of each dot product, and no FLOP.
        bias: bool,
    },
    /// A tile of a linking operation. Weight: its entries, and no FLOP.
    Link,
}

/// One operation of a work unit, as the leaves of its tiles commit to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    /// Where it stands; its tile is 0, 0.
    pub key: Key,
    /// Product or link.
    pub kind: TileKind,
    /// Rows of the output.
    pub rows: u64,
    /// Columns of the output.
    pub cols: u64,
    /// Side of its tiles.
    pub side: u64,
    /// Whether A and B are stored transposed.
    pub transposed: [bool; 2],
    /// Roots of A, B and C.
    pub roots: [PoseidonDigest; 3],
    /// Digest of what it computes, with its numbers, from which elements of which tensors (`OperationForm`): a record's
    /// other fields follow from it, and whoever judges a tile derives them again.
    pub form: Digest32,
    /// Hides what could be guessed.
    pub salt: [u8; 28],
}

/// A work unit as a leaf: what is known of it before anything in it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRecord {
    /// Where it stands; operation and tile are 0.
    pub key: Key,
    /// What its tiles add up to, by the committed graph.
    pub sums: Sums,
    /// Fast root of the state that it starts from.
    pub start: Digest32,
    /// Fast root of what it ends in.
    pub end: Digest32,
    /// Digest of the root of its tile tree; absent until it is replayed.
    pub trace: Option<PoseidonDigest>,
    /// Hides what could be guessed.
    pub salt: [u8; 28],
}

/// A record that no operation or unit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A dimension out of range.
    #[error("{what} is {found}; it must be {least} to {most}")]
    Dimension {
        /// Which.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Least.
        least: u64,
        /// Greatest.
        most: u64,
    },
    /// The key of an operation has a tile, or that of a unit an operation.
    #[error("the record's key is more precise than the record")]
    Key,
    /// A tile beyond the output.
    #[error("the operation has no tile at row {row}, column {col}")]
    NoTile {
        /// In tiles.
        row: u32,
        /// In tiles.
        col: u32,
    },
}

impl RecordError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

/// A trace that is not the drawn unit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The unit named another root.
    #[error("the trace has the root {found}; the unit is committed to {committed}")]
    Root {
        /// In the unit.
        committed: PoseidonDigest,
        /// Of the trace.
        found: PoseidonDigest,
    },
    /// It adds up to something else.
    #[error(
        "the trace adds up to {found} FLOP and {found_links} links; the unit was committed with {committed} and {committed_links}"
    )]
    Sums {
        /// In the unit.
        committed: Flops,
        /// Of the trace.
        found: Flops,
        /// In the unit.
        committed_links: u64,
        /// Of the trace.
        found_links: u64,
    },
    /// It holds tiles of another unit.
    #[error("the trace holds tiles of another work unit")]
    ForeignTiles,
}

impl TraceError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Untrusted
    }
}

fn within(what: &'static str, found: u64, least: u64, most: u64) -> Result<(), RecordError> {
    if (least..=most).contains(&found) { Ok(()) } else { Err(RecordError::Dimension { what, found, least, most }) }
}

impl OperationRecord {
    /// Whether the shape is one that can be cut into tiles and judged.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn check(&self) -> Result<(), RecordError> {
        if self.key != self.key.operation() {
            return Err(RecordError::Key);
        }
        within("side", self.side, 1, MAX_SIDE as u64)?;
        within("rows", self.rows, 1, MAX_DIMENSION)?;
        within("columns", self.cols, 1, MAX_DIMENSION)?;
        match self.kind {
            TileKind::Product { k, .. } => within("K", k, 1, MAX_K as u64),
            TileKind::Link => Ok(()),
        }
    }

    /// What its leaves name.
    #[must_use]
    pub fn digest(&self) -> PoseidonDigest {
        let Self { key, kind, rows, cols, side, transposed: [a, b], roots, form, salt } = self;
        let (kind, class, k, bias) = match kind {
            TileKind::Product { class: OperationClass(class), k, bias } => (0, u64::from(*class), *k, u64::from(*bias)),
            TileKind::Link => (1, 0, 0, 0),
        };
        let mut elements = key.elements().to_vec();
        elements.extend([kind, class, *rows, *cols, k, bias, *side, u64::from(*a), u64::from(*b)]);
        elements.extend(roots.iter().flat_map(|root| root.elements()));
        elements.extend(digest_elements(*form));
        elements.extend(salt_elements(salt));
        poseidon(Domain::Operation, &elements)
    }

    /// Rows and columns of one tile, clipped at the edges.
    ///
    /// # Errors
    /// [`RecordError`] of the record, or [`RecordError::NoTile`].
    pub fn clipped(&self, (row, col): (u32, u32)) -> Result<(u64, u64), RecordError> {
        self.check()?;
        let side = self.side;
        let left = |of: u64, tile: u32| of.checked_sub(u64::from(tile).saturating_mul(side)).filter(|left| *left > 0);
        let (rows, cols) = (left(self.rows, row), left(self.cols, col));
        let (Some(rows), Some(cols)) = (rows, cols) else { return Err(RecordError::NoTile { row, col }) };
        Ok((rows.min(side), cols.min(side)))
    }

    /// The leaf of one tile, its weight computed from the record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn leaf(&self, tile: (u32, u32)) -> Result<Node, RecordError> {
        self.leaf_of(self.digest(), tile)
    }

    /// The leaves of all tiles, row by row: in the order of their keys. The record is hashed once.
    ///
    /// # Errors
    /// [`RecordError`]; the iterator's as well, for a tile that no key has room for.
    pub fn leaves(&self) -> Result<impl Iterator<Item = Result<Node, RecordError>> + '_, RecordError> {
        self.check()?;
        let digest = self.digest();
        let tiles = |of: u64| u32::try_from(of.div_ceil(self.side.max(1))).unwrap_or(u32::MAX);
        let (rows, cols) = (tiles(self.rows), tiles(self.cols));
        let places = (0..rows).flat_map(move |row| (0..cols).map(move |col| (row, col)));
        Ok(places.map(move |tile| self.leaf_of(digest, tile)))
    }

    fn leaf_of(&self, digest: PoseidonDigest, (row, col): (u32, u32)) -> Result<Node, RecordError> {
        let (rows, cols) = self.clipped((row, col))?;
        let key = self.key.with_tile((row, col)).map_err(|_| RecordError::NoTile { row, col })?;
        let entries = rows.saturating_mul(cols);
        // At most 2 · 64 · 64 · 2¹⁴ = 2²⁷ FLOP: below one GFLOP, so no leaf's sums are out of range.
        let sums = match self.kind {
            TileKind::Product { k, .. } => Sums::new(0, entries.saturating_mul(k).saturating_mul(2), 0),
            TileKind::Link => Sums::new(0, 0, entries),
        };
        let sums = sums.map_err(|_| RecordError::NoTile { row, col })?;
        let mut elements = key.elements().to_vec();
        elements.extend(digest.elements());
        Ok(Node { digest: poseidon(Domain::FlopLeaf, &elements), sums, min: key, max: key })
    }
}

impl UnitRecord {
    /// The leaf of the unit.
    ///
    /// # Errors
    /// [`RecordError::Key`].
    pub fn leaf(&self) -> Result<Node, RecordError> {
        let Self { key, sums, start, end, trace, salt } = self;
        if *key != key.unit() {
            return Err(RecordError::Key);
        }
        let mut elements = key.elements().to_vec();
        elements.extend(sums.elements());
        elements.extend(digest_elements(*start));
        elements.extend(digest_elements(*end));
        elements.extend(trace.unwrap_or_default().elements());
        elements.extend(salt_elements(salt));
        Ok(Node { digest: poseidon(Domain::UnitLeaf, &elements), sums: *sums, min: *key, max: *key })
    }

    /// Whether a tile tree is this unit's: its tiles are the unit's own, it adds up to what was committed before anything
    /// was drawn, and it is the committed one, where there is one.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn check_trace(&self, root: &Node) -> Result<(), TraceError> {
        if let Some(committed) = self.trace.filter(|committed| *committed != root.digest) {
            return Err(TraceError::Root { committed, found: root.digest });
        }
        if root.sums != self.sums {
            return Err(TraceError::Sums {
                committed: self.sums.flops(),
                found: root.sums.flops(),
                committed_links: self.sums.links(),
                found_links: root.sums.links(),
            });
        }
        if root.min > root.max || root.min.unit() != self.key || root.max.unit() != self.key {
            return Err(TraceError::ForeignTiles);
        }
        Ok(())
    }
}
