//! **Duty.** One draw opened all the way: from a point of the window's weight to the unit, and from there to one tile of one
//! operation. **Knows** both levels of trees. **Does not know** the tile's numbers. **Spec.** CIRCUITS §5 (i), (ii).
//!
//! The leaves of a window are units, always: a tile that stands in a window's tree by itself is refused, or a unit and its
//! tiles could stand beside one another and be counted twice.

use thiserror::Error;
use weighbridge_attest_types::{Culprit, PoseidonDigest};

use crate::flop_tree::{Node, OperationRecord, Path, PathError, RecordError, TileKind, TraceError, UnitRecord, Weight};
use crate::gemm::{NumericPolicy, Strip, Tile, TileDoubt, TileRefusal, TileVerdict, check_tile};
use crate::ranks::Ranks;

/// A unit with its path to the window's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitOpening {
    /// The unit.
    pub unit: UnitRecord,
    /// From its leaf to the root.
    pub path: Path,
}

/// A tile with its path to the root of its unit's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileOpening {
    /// Root of the unit's tree.
    pub root: Node,
    /// The operation.
    pub operation: OperationRecord,
    /// Row and column of the tile, in tiles.
    pub tile: (u32, u32),
    /// From its leaf to the unit's root.
    pub path: Path,
}

/// An opening that does not show what was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// A record that makes no leaf.
    #[error("the opened record makes no leaf")]
    Record(#[from] RecordError),
    /// A path.
    #[error("the path does not hold")]
    Path(#[from] PathError),
    /// Work of another node.
    #[error("the drawn unit is of a rank that is not on this node")]
    OtherNode,
    /// The trace is not the unit's.
    #[error("the trace is not the drawn unit's")]
    Trace(#[from] TraceError),
    /// The draw falls elsewhere.
    #[error("the draw falls on another leaf")]
    Elsewhere,
    /// A linking operation, where a product was expected.
    #[error("the drawn tile is one of a linking operation")]
    NotAProduct,
    /// Strips and tile of another shape than the leaf says.
    #[error("strips and tile have another shape than the drawn leaf")]
    Shape,
    /// No trace root was committed in time.
    #[error("the drawn unit has no committed trace")]
    NoTrace,
}

impl OpeningError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Record(error) => error.culprit(),
            Self::Path(error) => error.culprit(),
            Self::Trace(error) => error.culprit(),
            Self::Elsewhere | Self::OtherNode | Self::NoTrace | Self::Shape => Culprit::Untrusted,
            Self::NotAProduct => Culprit::Usage,
        }
    }
}

/// What a draw came to. Only [`TileOpening::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnTile {
    operation: OperationRecord,
    tile: (u32, u32),
    rows: u64,
    cols: u64,
}

impl UnitOpening {
    /// Whether a point of the window's weight falls on this unit; how far into it. `ranks` are those of the window's node: a
    /// unit of any other would count on two nodes.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn check(&self, (window, ranks): (&Node, &Ranks), point: u128, weight: Weight) -> Result<u128, OpeningError> {
        if !ranks.hold(self.unit.key) {
            return Err(OpeningError::OtherNode);
        }
        let opened = self.path.open(self.unit.leaf()?, window)?;
        opened.within(point, weight).ok_or(OpeningError::Elsewhere)
    }
}

impl TileOpening {
    /// Whether a point of a unit's weight falls on this tile. `trace` is the committed root of the unit's tree: the one in
    /// the unit's leaf, or the one that was committed after its replay.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn check(
        &self,
        unit: &UnitRecord,
        trace: Option<PoseidonDigest>,
        point: u128,
        weight: Weight,
    ) -> Result<DrawnTile, OpeningError> {
        let committed = trace.ok_or(OpeningError::NoTrace)?;
        unit.check_trace(&self.root)?;
        if committed != self.root.digest {
            return Err(TraceError::Root { committed, found: self.root.digest }.into());
        }
        let opened = self.path.open(self.operation.leaf(self.tile)?, &self.root)?;
        if !opened.holds(point, weight) {
            return Err(OpeningError::Elsewhere);
        }
        let (rows, cols) = self.operation.clipped(self.tile)?;
        Ok(DrawnTile { operation: self.operation.clone(), tile: self.tile, rows, cols })
    }
}

impl DrawnTile {
    /// The operation: class, shape, roots of its operands.
    #[must_use]
    pub const fn operation(&self) -> &OperationRecord {
        &self.operation
    }

    /// Row and column, in tiles.
    #[must_use]
    pub const fn tile(&self) -> (u32, u32) {
        self.tile
    }

    /// Rows and columns of its entries.
    #[must_use]
    pub const fn entries(&self) -> (u64, u64) {
        (self.rows, self.cols)
    }

    /// Judges the drawn tile of a product: its side is the run's, strips and tile have the leaf's shape, and the policy is
    /// the one of its class. Where the product adds a bias, each row of A ends in a 1 and each column of B in its bias.
    ///
    /// Whether their bytes are those under the record's roots is for whoever opens them.
    ///
    /// # Errors
    /// [`OpeningError::NotAProduct`], [`OpeningError::Shape`].
    pub fn judge(
        &self,
        policy: &NumericPolicy,
        (a, b, c): (&Strip, &Strip, &Tile),
    ) -> Result<TileVerdict, OpeningError> {
        let TileKind::Product { class, .. } = self.operation.kind else { return Err(OpeningError::NotAProduct) };
        let terms = self.terms().ok_or(OpeningError::NotAProduct)?;
        let (expected, side) = (policy.side(), self.operation.side);
        if side != expected {
            return Ok(TileVerdict::Refused(TileRefusal::Side { expected, found: side }));
        }
        let found = [a.vectors(), a.k(), b.vectors(), b.k(), c.rows(), c.cols()].map(|size| size as u64);
        if found != [self.rows, terms, self.cols, terms, self.rows, self.cols] {
            return Err(OpeningError::Shape);
        }
        Ok(match policy.of(class) {
            Some(policy) => check_tile(a, b, c, policy),
            None => TileVerdict::NotProven(TileDoubt::NoPolicy { class }),
        })
    }

    /// Terms of each dot product, where it is one: K, and one more with a fused bias.
    #[must_use]
    pub const fn terms(&self) -> Option<u64> {
        match self.operation.kind {
            TileKind::Product { k, bias: false, .. } => Some(k),
            TileKind::Product { k, bias: true, .. } => Some(k.saturating_add(1)),
            TileKind::Link => None,
        }
    }
}
