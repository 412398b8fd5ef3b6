//! **Duty.** Opened paths: from a leaf to the root, every rule checked on the way. **Knows** nodes. **Does not know** the
//! tree's other leaves. **Spec.** PROTOCOL §3: on an opened path at every level left.min ≤ left.max < right.min ≤ right.max,
//! node.min = left.min, node.max = right.max, leaf min = max = its key, both children's sums range-checked.

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use crate::flop_tree::{Node, Sums, SumsError, Weight};

/// Longest path: 2⁶⁴ leaves.
pub const MAX_PATH: usize = 64;

/// On which side of the path a neighbour stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left of it: what the neighbour adds up to comes before.
    Left,
    /// Right of it.
    Right,
}

/// One join on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Level of the node that it makes.
    pub level: u8,
    /// Where the neighbour stands.
    pub side: Side,
    /// The neighbour.
    pub neighbour: Node,
}

/// The joins from a leaf to the root, in that order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    /// Each join.
    pub steps: Vec<Step>,
}

/// A leaf whose path holds, with what stands left of it. Only [`Path::open`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    leaf: Node,
    before: Sums,
}

/// A path that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// More joins than any tree has.
    #[error("a path of {found} joins; the longest has {MAX_PATH}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// A leaf with a range of keys.
    #[error("a leaf has one key, and this one has two")]
    LeafKeys,
    /// Levels that do not ascend.
    #[error("a join of level {level} follows one of level {below}")]
    Level {
        /// Of the join.
        level: u8,
        /// Of the one before; 0 is a leaf.
        below: u8,
    },
    /// Keys out of order: twice the same leaf, or a neighbour turned inside out.
    #[error("at level {level} the keys of the two sides do not ascend")]
    KeyOrder {
        /// Where.
        level: u8,
    },
    /// Sums that leave their range.
    #[error("at level {level} sums leave their range")]
    Sums {
        /// Where.
        level: u8,
        /// How.
        #[source]
        source: SumsError,
    },
    /// Another root.
    #[error("the path leads to another root than the committed one")]
    Root,
}

impl PathError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::TooLong { .. } | Self::Level { .. } => Culprit::Malformed,
            _ => Culprit::Untrusted,
        }
    }
}

impl Path {
    /// Follows the path from a leaf; its end must be the root in digest, sums and keys.
    ///
    /// The leaf's digest, sums and key must come from a record ([`crate::OperationRecord::leaf`]), which computes its weight.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn open(&self, leaf: Node, root: &Node) -> Result<Opened, PathError> {
        if self.steps.len() > MAX_PATH {
            return Err(PathError::TooLong { found: self.steps.len() });
        }
        if leaf.min != leaf.max {
            return Err(PathError::LeafKeys);
        }
        let (mut node, mut before, mut below) = (leaf, Sums::default(), 0);
        for Step { level, side, neighbour } in &self.steps {
            let level = *level;
            if level <= below {
                return Err(PathError::Level { level, below });
            }
            below = level;
            node = match side {
                Side::Left => {
                    before = neighbour.sums.checked_add(before).map_err(|source| PathError::Sums { level, source })?;
                    Node::join(level, neighbour, &node)?
                }
                Side::Right => Node::join(level, &node, neighbour)?,
            };
        }
        if node == *root { Ok(Opened { leaf, before }) } else { Err(PathError::Root) }
    }
}

impl Opened {
    /// The leaf.
    #[must_use]
    pub const fn leaf(&self) -> &Node {
        &self.leaf
    }

    /// Whether a point of the tree's weight falls on this leaf: `before ≤ point < before + weight`.
    #[must_use]
    pub fn holds(&self, point: u128, weight: Weight) -> bool {
        self.within(point, weight).is_some()
    }

    /// The point's distance from the leaf's beginning, where it falls on this leaf: how it goes on in a unit's own tree.
    #[must_use]
    pub fn within(&self, point: u128, weight: Weight) -> Option<u128> {
        let inside = point.checked_sub(self.before.weight(weight))?;
        (inside < self.leaf.sums.weight(weight)).then_some(inside)
    }
}
