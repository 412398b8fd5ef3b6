//! **Duty.** Trees from leaves: the root in logarithmic memory, or the whole tree where paths are wanted.
//! **Knows** leaves in the order of their keys. **Does not know** what they are about. **Spec.** PROTOCOL §3.

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use crate::flop_tree::{MAX_PATH, Node, Path, PathError, Side, Step, Weight};

/// Leaves of a tree that is kept whole: 2²² nodes of 176 bytes, twice, are 1.5 GB. Units beyond are cut, or only their
/// root is computed.
pub const MAX_LEAVES: usize = 1 << 22;

/// Leaves that make no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// None at all.
    #[error("a tree without leaves has no root")]
    Empty,
    /// Too many to be kept.
    #[error("more than {MAX_LEAVES} leaves; compute the root alone, or cut the unit")]
    TooMany,
    /// A leaf with a range of keys.
    #[error("leaf {index} has two keys")]
    LeafKeys {
        /// Which, from 0.
        index: u64,
    },
    /// A join that no path may have: keys out of order, or sums out of range.
    #[error("leaf {index} cannot follow the one before it")]
    Join {
        /// Which, from 0.
        index: u64,
        /// Why.
        #[source]
        source: PathError,
    },
}

impl TreeError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

/// The left edge of a growing tree: complete subtrees, the tallest first, at most one of each level.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    complete: Vec<(u8, Node)>,
    leaves: u64,
}

impl TreeBuilder {
    /// Without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the next leaf and joins what has become complete.
    ///
    /// # Errors
    /// [`TreeError`]; the tree is then of no use.
    pub fn push(&mut self, leaf: Node) -> Result<(), TreeError> {
        let index = self.leaves;
        if leaf.min != leaf.max {
            return Err(TreeError::LeafKeys { index });
        }
        // Order is checked here as well as in the join: a tree that fails does so at the leaf that is to blame.
        if self.complete.last().is_some_and(|(_, last)| last.max >= leaf.min) {
            return Err(TreeError::Join { index, source: PathError::KeyOrder { level: 1 } });
        }
        let (mut level, mut node) = (0u8, leaf);
        while let Some((_, left)) = self.complete.pop_if(|(top, _)| *top == level) {
            level = level.saturating_add(1);
            node = Node::join(level, &left, &node).map_err(|source| TreeError::Join { index, source })?;
        }
        self.complete.push((level, node));
        self.leaves = self.leaves.saturating_add(1);
        Ok(())
    }

    /// The root: what stands alone is carried up to its left neighbour.
    ///
    /// # Errors
    /// [`TreeError::Empty`]; [`TreeError::Join`] when the sums leave their range.
    pub fn finish(mut self) -> Result<Node, TreeError> {
        let (_, mut node) = self.complete.pop().ok_or(TreeError::Empty)?;
        while let Some((level, left)) = self.complete.pop() {
            let joined = Node::join(level.saturating_add(1), &left, &node);
            node = joined.map_err(|source| TreeError::Join { index: self.leaves, source })?;
        }
        Ok(node)
    }
}

/// A tree that is kept whole: paths can be opened, and points found.
#[derive(Debug, Clone)]
pub struct FlopTree {
    /// Leaves first; a last node without neighbour stands in the next level as well.
    levels: Vec<Vec<Node>>,
    root: Node,
}

impl FlopTree {
    /// Builds the tree.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn new(leaves: Vec<Node>) -> Result<Self, TreeError> {
        if leaves.len() > MAX_LEAVES {
            return Err(TreeError::TooMany);
        }
        if let Some(index) = leaves.iter().position(|leaf| leaf.min != leaf.max) {
            return Err(TreeError::LeafKeys { index: index as u64 });
        }
        let mut levels = vec![leaves];
        loop {
            let level = u8::try_from(levels.len()).unwrap_or(u8::MAX);
            match levels.last().map(Vec::as_slice) {
                None | Some([]) => return Err(TreeError::Empty),
                Some([root]) => {
                    let root = *root;
                    return Ok(Self { levels, root });
                }
                Some(below) => {
                    let joined: Result<Vec<Node>, TreeError> =
                        below.chunks(2).enumerate().map(|(place, pair)| join(level, place, pair)).collect();
                    levels.push(joined?);
                }
            }
        }
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> &Node {
        &self.root
    }

    /// The leaves.
    #[must_use]
    pub fn leaves(&self) -> &[Node] {
        self.levels.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// The leaf on which a point of the tree's weight falls, by its place; `None` from the total on.
    #[must_use]
    pub fn find(&self, point: u128, weight: Weight) -> Option<usize> {
        let mut left = point;
        if point >= self.root.sums.weight(weight) {
            return None;
        }
        let mut place = 0usize;
        for level in self.levels.iter().rev().skip(1) {
            place = place.saturating_mul(2);
            let first = level.get(place)?.sums.weight(weight);
            // A carried node has no neighbour: the point is in it.
            if left >= first {
                left = left.checked_sub(first)?;
                place = place.saturating_add(1);
            }
        }
        Some(place)
    }

    /// The path of a leaf; `None` where there is no such leaf.
    #[must_use]
    pub fn path(&self, leaf: usize) -> Option<Path> {
        self.leaves().get(leaf)?;
        let mut place = leaf;
        let mut steps = Vec::new();
        for (below, nodes) in self.levels.iter().enumerate().take(MAX_PATH) {
            let level = u8::try_from(below.checked_add(1)?).ok()?;
            let side = if place & 1 == 1 { Side::Left } else { Side::Right };
            if let Some(neighbour) = nodes.get(place ^ 1) {
                steps.push(Step { level, side, neighbour: *neighbour });
            }
            place >>= 1;
        }
        Some(Path { steps })
    }
}

/// One node of a level from the one or two below it.
fn join(level: u8, place: usize, pair: &[Node]) -> Result<Node, TreeError> {
    match pair {
        [left, right] => {
            // The first leaf of the right side.
            let below = u32::from(level.saturating_sub(1));
            let right_place = (place as u64).saturating_mul(2).saturating_add(1);
            let index = right_place.checked_shl(below).unwrap_or(u64::MAX);
            Node::join(level, left, right).map_err(|source| TreeError::Join { index, source })
        }
        [alone] => Ok(*alone),
        _ => Err(TreeError::Empty),
    }
}
