//! **Duty.** A window's tree over the units of traces, and its draws. **Knows** units. **Does not know** how tiles are
//! judged. **Spec.** PROTOCOL §5 (mode `committed`); CIRCUITS §5 (i), (ii).

use crate::committed::operations::{CommittedOperation, CommittedUnit, TraceCommitError};
use crate::flop_tree::{DrawnTile, FlopTree, Node, OpeningError, TileOpening, UnitOpening, Weight};
use crate::key::Key;
use crate::window::ChallengedWindow;

/// A window that can be opened.
#[derive(Debug, Clone)]
pub struct TraceWindow {
    tree: FlopTree,
    units: Vec<CommittedUnit>,
}

/// The leaf that a draw fell on, opened from the window's root to the tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnLeaf {
    /// In proportion to what it was drawn.
    pub weight: Weight,
    /// Its unit, by place in the window.
    pub unit: usize,
    /// Place of its operation in the unit's trace.
    pub operation: usize,
    /// Which product of a batch, or which output of a link.
    pub part: u64,
    /// Its key, tile included.
    pub key: Key,
    /// Its weight.
    pub amount: u128,
    /// Rows and columns of its entries.
    pub entries: (u64, u64),
}

/// Where a draw fell, with its openings.
pub(crate) struct Located<'w> {
    pub(crate) weight: Weight,
    pub(crate) unit: usize,
    pub(crate) operation: &'w CommittedOperation,
    pub(crate) opening: UnitOpening,
    pub(crate) tile: TileOpening,
    pub(crate) drawn: DrawnTile,
}

impl TraceWindow {
    /// Over units in ascending order of their keys.
    ///
    /// # Errors
    /// [`TraceCommitError`] for no unit, units out of order or twice, or sums out of range.
    pub fn new(units: Vec<CommittedUnit>) -> Result<Self, TraceCommitError> {
        let leaves: Result<Vec<Node>, _> = units.iter().map(|unit| unit.record.leaf()).collect();
        let leaves = leaves.map_err(|source| TraceCommitError::Record { operation: "the unit".to_owned(), source })?;
        Ok(Self { tree: FlopTree::new(leaves)?, units })
    }

    /// The root that is committed, under a salt.
    #[must_use]
    pub const fn root(&self) -> &Node {
        self.tree.root()
    }

    /// The units.
    #[must_use]
    pub fn units(&self) -> &[CommittedUnit] {
        &self.units
    }

    /// Opens one draw of a challenged window; `None` where there is no such draw or nothing to draw from.
    ///
    /// # Errors
    /// [`OpeningError`] where the window that was challenged is not this one.
    pub fn open(
        &self,
        window: &ChallengedWindow,
        (stratum, draw): (u8, u32),
    ) -> Result<Option<DrawnLeaf>, OpeningError> {
        let Some(located) = self.locate(window, (stratum, draw))? else { return Ok(None) };
        let Located { weight, unit, operation, tile, drawn, .. } = located;
        let node = operation.record.leaf(tile.tile)?;
        Ok(Some(DrawnLeaf {
            weight,
            unit,
            operation: operation.place,
            part: operation.part,
            key: node.min,
            amount: node.sums.weight(weight),
            entries: drawn.entries(),
        }))
    }

    /// The same with all that opens it.
    pub(crate) fn locate(
        &self,
        window: &ChallengedWindow,
        (stratum, draw): (u8, u32),
    ) -> Result<Option<Located<'_>>, OpeningError> {
        let Some((weight, point)) = window.point(stratum, draw) else { return Ok(None) };
        let at = self.tree.find(point, weight).ok_or(OpeningError::Elsewhere)?;
        let (Some(unit), Some(path)) = (self.units.get(at), self.tree.path(at)) else {
            return Err(OpeningError::Elsewhere);
        };
        let opening = UnitOpening { unit: unit.record.clone(), path };
        let inside = opening.check(window.drawn_from(), point, weight)?;
        let leaf = unit.tree.find(inside, weight).ok_or(OpeningError::Elsewhere)?;
        let ((operation, tile), Some(path)) = (unit.at(leaf).ok_or(OpeningError::Elsewhere)?, unit.tree.path(leaf))
        else {
            return Err(OpeningError::Elsewhere);
        };
        let tile = TileOpening { root: *unit.tree.root(), operation: operation.record.clone(), tile, path };
        let drawn = tile.check(&unit.record, unit.record.trace, inside, weight)?;
        Ok(Some(Located { weight, unit: at, operation, opening, tile, drawn }))
    }
}
