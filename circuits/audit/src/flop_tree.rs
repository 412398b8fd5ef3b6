//! **Duty.** The FLOP tree: a Merkle tree whose nodes carry sums, so that one tree adds the claim up and is what gets
//! drawn from. **Knows** leaves with keys and weights. **Does not know** tensors, and not who draws.
//! **Spec.** PROTOCOL §3 (FLOP tree), §5 (two phases); decision 0047.
//!
//! A node is its digest, its sums (FLOP as GFLOP and rest, and apart from them the weight of linking operations) and the
//! least and greatest key below it: 13 elements. Two neighbours join to
//! `Poseidon(Domain::FlopNode, [level of the node, left 13, right 13])`; a node's own sums and keys are no part of its
//! digest, because both children's are. Levels count from 1 above the leaves; a last node without neighbour is carried up,
//! and there is no padding.
//!
//! Two kinds of leaves, both hashed under domains of their own (`record.rs`): tiles, and whole work units, each of which
//! is the root of a tree over its tiles.

mod build;
mod opening;
mod path;
mod record;
mod sums;

pub use build::{FlopTree, MAX_LEAVES, TreeBuilder, TreeError};
pub use opening::{DrawnTile, OpeningError, TileOpening, UnitOpening};
pub use path::{MAX_PATH, Opened, Path, PathError, Side, Step};
pub use record::{OperationRecord, RecordError, TileKind, TraceError, UnitRecord};
pub use sums::{MAX_SUM, Sums, SumsError, Weight, agrees_with_ledger};

use weighbridge_attest_types::{Domain, PoseidonDigest};
use weighbridge_commitments::poseidon;

use crate::key::Key;

/// A subtree from outside: everything that its parent hashes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its digest.
    pub digest: PoseidonDigest,
    /// What its leaves add up to.
    pub sums: Sums,
    /// Least key below it.
    pub min: Key,
    /// Greatest key below it.
    pub max: Key,
}

impl Node {
    /// As it is hashed into its parent, and into a window root: digest, GFLOP, rest, links, least key, greatest key.
    #[must_use]
    pub fn elements(&self) -> [u64; 13] {
        let Self { digest, sums, min, max } = self;
        let [d0, d1, d2, d3] = digest.elements();
        let [gflop, rest, links] = sums.elements();
        let ([a, b, c], [x, y, z]) = (min.elements(), max.elements());
        [d0, d1, d2, d3, gflop, rest, links, a, b, c, x, y, z]
    }

    /// Joins two neighbours to a node of a level.
    ///
    /// # Errors
    /// [`PathError::KeyOrder`] unless left.min ≤ left.max < right.min ≤ right.max; [`PathError::Sums`].
    pub fn join(level: u8, left: &Self, right: &Self) -> Result<Self, PathError> {
        let is_ordered = left.min <= left.max && left.max < right.min && right.min <= right.max;
        if !is_ordered {
            return Err(PathError::KeyOrder { level });
        }
        let sums = left.sums.checked_add(right.sums).map_err(|source| PathError::Sums { level, source })?;
        let mut elements = Vec::with_capacity(27);
        elements.push(u64::from(level));
        elements.extend(left.elements());
        elements.extend(right.elements());
        Ok(Self { digest: poseidon(Domain::FlopNode, &elements), sums, min: left.min, max: right.max })
    }
}

#[cfg(test)]
mod tests;
