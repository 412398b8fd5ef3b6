//! **Duty.** Binary Poseidon trees, built leaf by leaf in logarithmic memory. **Knows** digests. **Does not know** what
//! a leaf holds. **Spec.** CIRCUITS §3.
//!
//! Leaves stand at level 0 in the order pushed. At each level neighbours (0,1), (2,3), … join to one node of the next
//! level, `Poseidon(domain, [level of the node, left 4, right 4])`; a last node without neighbour is carried up
//! unchanged, and the level under which it finally joins is that of the node it joins in. No padding, so a list has one
//! tree; leaf and node domains differ and the level is hashed in, so a tree has one list.

use weighbridge_attest_types::{Domain, PoseidonDigest};

use crate::poseidon;

/// Joins a run of leaves as far as it goes without knowing the leaves around it: maximal complete subtrees in order, to
/// be appended by [`TreeBuilder::push_subtree`]. `first` is the place of the first leaf in the whole list.
pub(crate) fn subtrees(
    node_domain: Domain,
    first: u64,
    leaves: impl Iterator<Item = PoseidonDigest>,
) -> Vec<(u64, PoseidonDigest)> {
    let mut leaves = leaves;
    let (mut done, mut place) = (Vec::new(), first);
    loop {
        // No tree that starts here may be larger than the place allows: the next one begins where this one is full.
        let most = 1u64.checked_shl(place.trailing_zeros()).unwrap_or(u64::MAX);
        let mut tree = TreeBuilder::new(node_domain);
        let mut taken = 0u64;
        while taken < most
            && let Some(leaf) = leaves.next()
        {
            tree.push(leaf);
            taken = taken.saturating_add(1);
        }
        done.extend(tree.into_subtrees());
        if taken < most {
            return done;
        }
        place = place.saturating_add(taken);
    }
}

/// The left edge of a growing tree: complete subtrees, the tallest first, at most one per level.
#[derive(Debug)]
pub(crate) struct TreeBuilder {
    node_domain: Domain,
    complete: Vec<(u64, PoseidonDigest)>,
}

impl TreeBuilder {
    pub(crate) const fn new(node_domain: Domain) -> Self {
        Self { node_domain, complete: Vec::new() }
    }

    /// Appends the next leaf and joins what has become complete.
    pub(crate) fn push(&mut self, leaf: PoseidonDigest) {
        self.push_subtree(0, leaf);
    }

    /// Appends a complete subtree of 2^`level` leaves, at a place that is a multiple of its size.
    pub(crate) fn push_subtree(&mut self, level: u64, root: PoseidonDigest) {
        let (mut level, mut digest) = (level, root);
        while let Some((_, left)) = self.complete.pop_if(|(top, _)| *top == level) {
            level = level.saturating_add(1);
            digest = self.node(level, left, digest);
        }
        self.complete.push((level, digest));
    }

    /// What stands alone so far, from left to right: complete subtrees with their levels.
    pub(crate) fn into_subtrees(self) -> Vec<(u64, PoseidonDigest)> {
        self.complete
    }

    /// The root: what stands alone is carried up to its left neighbour. `None` without leaves.
    pub(crate) fn finish(mut self) -> Option<PoseidonDigest> {
        let (_, mut digest) = self.complete.pop()?;
        while let Some((level, left)) = self.complete.pop() {
            digest = self.node(level.saturating_add(1), left, digest);
        }
        Some(digest)
    }

    fn node(&self, level: u64, left: PoseidonDigest, right: PoseidonDigest) -> PoseidonDigest {
        join(self.node_domain, level, left, right)
    }
}

/// One node over its two children.
pub(crate) fn join(node_domain: Domain, level: u64, left: PoseidonDigest, right: PoseidonDigest) -> PoseidonDigest {
    let mut elements = Vec::with_capacity(9);
    elements.push(level);
    elements.extend(left.elements());
    elements.extend(right.elements());
    poseidon(node_domain, &elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, level by level.
    fn naive(level: u64, nodes: &[PoseidonDigest]) -> Option<PoseidonDigest> {
        if nodes.len() <= 1 {
            return nodes.first().copied();
        }
        let join = |pair: &[PoseidonDigest]| match pair {
            [left, right] => {
                let elements: Vec<u64> =
                    [level + 1].into_iter().chain(left.elements()).chain(right.elements()).collect();
                poseidon(Domain::TileNode, &elements)
            }
            alone => alone[0],
        };
        naive(level + 1, &nodes.chunks(2).map(join).collect::<Vec<_>>())
    }

    fn leaves(count: u64) -> Vec<PoseidonDigest> {
        (0..count).map(|i| PoseidonDigest::from_elements([i, 1, 2, 3]).unwrap()).collect()
    }

    fn streamed(leaves: &[PoseidonDigest]) -> Option<PoseidonDigest> {
        let mut tree = TreeBuilder::new(Domain::TileNode);
        leaves.iter().for_each(|&leaf| tree.push(leaf));
        tree.finish()
    }

    #[test]
    fn streaming_equals_the_definition_for_every_small_count() {
        for count in 0..=130 {
            let leaves = leaves(count);
            assert_eq!(streamed(&leaves), naive(0, &leaves), "{count} leaves");
        }
    }

    #[test]
    fn runs_joined_apart_give_the_same_tree() {
        let leaves = leaves(77);
        for size in [1, 2, 3, 7, 16, 20, 76, 77] {
            let mut tree = TreeBuilder::new(Domain::TileNode);
            for (index, run) in leaves.chunks(size).enumerate() {
                for (level, root) in subtrees(Domain::TileNode, (index * size) as u64, run.iter().copied()) {
                    tree.push_subtree(level, root);
                }
            }
            assert_eq!(tree.finish(), naive(0, &leaves), "runs of {size}");
        }
    }

    #[test]
    fn order_and_count_matter() {
        let mut swapped = leaves(3);
        swapped.swap(1, 2);
        assert_ne!(streamed(&swapped), streamed(&leaves(3)));
        assert_ne!(streamed(&leaves(4)), streamed(&leaves(3)));
    }
}
