//! **Duty.** The answer to one draw: everything that a stranger needs to judge the drawn tile who has no trace, only the
//! committed root of the window. **Knows** records, forms, tiles and their paths. **Does not know** which roots a ledger
//! holds, or who vouches for the challenge. **Spec.** PROTOCOL §5 (RESPOND, mode `committed`); CIRCUITS §5, §6; decision 0071.
//!
//! An answer opens, from the window's root down: the unit that the draw falls on, the tile of one operation in it, the form
//! of that operation, and of its tensors the tiles that the check reads. Of a product, [`OPENED_PER_STRIP`] entries of each
//! operand strip, named by the seed, are opened to what computed them: another operation of the unit, which is then in the
//! answer with its own form and path.
//!
//! - A link among these is checked at the entry; a product is not, since it is drawn by itself.
//! - What is said to be the checkpoint's or the batch's is counted as such, and is the job's word.
//! - What neither is so nor has an operation behind it makes the draw *not proven*.
//!
//! Nothing is in an answer that the check does not read, and everything in it has one order: there is one answer to a draw.
//! Whoever answers runs the same check over the whole trace and opens what it read.

mod codec;
mod judge;
mod respond;
mod source;

pub use judge::{Judged, OpenedEntries};
pub use respond::AnswerFault;

use thiserror::Error;
use weighbridge_attest_types::{Culprit, PoseidonDigest};
use weighbridge_commitments::MerklePath;

use crate::flop_tree::{Node, OpeningError, OperationRecord, Path, UnitOpening};
use crate::trace::{FormError, SourceError};

/// Entries of each operand strip that are opened to their producer (CIRCUITS §5 v).
pub use crate::trial::OPENED_PER_STRIP;

/// Operations of one answer beside the drawn one: each entry of two strips may have another.
pub const MAX_PRODUCERS: usize = 2 * OPENED_PER_STRIP as usize;
/// Tensors of one answer.
const MAX_OPENED_TENSORS: usize = 256;
/// Tiles of one tensor in one answer: a strip over the longest K crosses 1,024 of them, a column of a batch as many again.
const MAX_OPENED_TILES: usize = 4_096;

/// The answer to one draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which stratum, by its place in the policy.
    pub stratum: u8,
    /// Which draw of it.
    pub draw: u32,
    /// The unit, up to the window's root.
    pub unit: UnitOpening,
    /// Root of the unit's tree.
    pub root: Node,
    /// The operation and its drawn tile.
    pub drawn: OpenedOperation,
    /// Operations that computed the opened entries, ascending by key, each tile once.
    pub producers: Vec<OpenedOperation>,
    /// Tiles of the operations' tensors, ascending by root.
    pub tensors: Vec<OpenedTensor>,
}

/// One tile of one operation, up to the root of its unit's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedOperation {
    /// The record.
    pub operation: OperationRecord,
    /// What the record's form digest is of.
    pub form: Vec<u8>,
    /// Row and column, in tiles.
    pub tile: (u32, u32),
    /// From its leaf to the unit's root.
    pub path: Path,
}

/// Tiles of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedTensor {
    /// Its root, which a form names.
    pub root: PoseidonDigest,
    /// Ascending by number.
    pub tiles: Vec<OpenedTile>,
}

/// One tile of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedTile {
    /// Its number, row by row.
    pub tile: u64,
    /// Its elements, row by row.
    pub bytes: Vec<u8>,
    /// From its leaf to the tensor's tiles.
    pub path: MerklePath,
}

/// An answer that shows nothing: it does not open what was drawn, or does not hold together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The window has no such draw.
    #[error("the window has no such draw")]
    NoDraw,
    /// Unit or tile.
    #[error("the answer does not open what was drawn")]
    Opening(#[from] OpeningError),
    /// A form that is none.
    #[error("an operation of the answer has no readable form")]
    Form(#[from] FormError),
    /// A form that is not the record's.
    #[error("an operation's form is not the one that its record was committed with")]
    OtherForm,
    /// A record whose fields do not follow from its form: a class, an extent or a root of its maker's choice.
    #[error("an operation's record says something else than its form")]
    OtherRecord,
    /// An operation that cannot have computed an operand of the drawn one.
    #[error("an operation of the answer comes after the drawn one, or is in another unit")]
    Order,
    /// A tile that does not open to its tensor.
    #[error("tile {tile} does not open to the root of its tensor")]
    Tile {
        /// Its number.
        tile: u64,
    },
    /// Something that nobody asked for, or that stands twice or out of order.
    #[error("{0} that the check does not need, or out of order")]
    Surplus(&'static str),
    /// An element that the check needs and the answer does not open.
    #[error("the answer does not open what the check needs")]
    Missing(#[source] SourceError),
}

impl AnswerError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Opening(error) => error.culprit(),
            Self::Form(error) => error.culprit(),
            _ => Culprit::Untrusted,
        }
    }
}

#[cfg(test)]
mod tests;
