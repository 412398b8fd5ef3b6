//! **Duty.** Roots of lists and the paths that open one place of them. **Knows** digests in memory. **Does not know**
//! what a leaf holds. **Spec.** `merkle.rs` has the tree: neighbours join, a last node without neighbour is carried up,
//! the level of the joint is hashed in.
//!
//! A path is read together with the number of leaves. Together with the place it fixes at which levels there is a
//! neighbour and on which side, so that a path carries digests alone and has one meaning.

use weighbridge_attest_types::{Canonical, CodecError, Decoder, Domain, Encoder, PoseidonDigest};

use crate::merkle::{TreeBuilder, join};

/// Longest path: a list of at most 2⁵⁶ leaves, so that every place is one packed field element.
pub const MAX_PATH: usize = 56;

/// The neighbours on the way from one leaf to the root, from below.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MerklePath(pub Vec<PoseidonDigest>);

/// A list with all nodes above it, for whoever opens many of its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTree {
    /// Leaves first; a last node without neighbour stands in the next level as well.
    levels: Vec<Vec<PoseidonDigest>>,
}

impl MerkleTree {
    /// Over the leaves, in order.
    #[must_use]
    pub fn new(node_domain: Domain, leaves: Vec<PoseidonDigest>) -> Self {
        let (mut level, mut levels) = (0u64, vec![leaves]);
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            level = level.saturating_add(1);
            let joined = below.chunks(2).map(|pair| match pair {
                [left, right] => join(node_domain, level, *left, *right),
                alone => alone.first().copied().unwrap_or_default(),
            });
            let joined = joined.collect();
            levels.push(joined);
        }
        Self { levels }
    }

    /// The root; `None` of an empty list.
    #[must_use]
    pub fn root(&self) -> Option<PoseidonDigest> {
        self.levels.last().and_then(|top| top.first()).copied()
    }

    /// The path of the leaf at `place`; `None` where there is no such leaf.
    #[must_use]
    pub fn path(&self, place: u64) -> Option<MerklePath> {
        let leaves = self.levels.first()?;
        let mut at = usize::try_from(place).ok().filter(|at| *at < leaves.len())?;
        let mut path = Vec::new();
        for nodes in &self.levels {
            path.extend(nodes.get(at ^ 1));
            at /= 2;
        }
        Some(MerklePath(path))
    }
}

/// The root of a list; `None` of an empty one.
#[must_use]
pub fn merkle_root(node_domain: Domain, leaves: impl IntoIterator<Item = PoseidonDigest>) -> Option<PoseidonDigest> {
    let mut tree = TreeBuilder::new(node_domain);
    leaves.into_iter().for_each(|leaf| tree.push(leaf));
    tree.finish()
}

/// The path of the leaf at `place`; `None` where there is no such leaf.
#[must_use]
pub fn merkle_path(node_domain: Domain, leaves: &[PoseidonDigest], place: u64) -> Option<MerklePath> {
    MerkleTree::new(node_domain, leaves.to_vec()).path(place)
}

impl MerklePath {
    /// The root that this path gives to a leaf at `place` of `count`; `None` when the path has not exactly the
    /// neighbours that the place has.
    #[must_use]
    pub fn root(
        &self,
        node_domain: Domain,
        (place, count): (u64, u64),
        leaf: PoseidonDigest,
    ) -> Option<PoseidonDigest> {
        if place >= count || self.0.len() > MAX_PATH {
            return None;
        }
        let (mut at, mut last, mut level, mut digest) = (place, count.checked_sub(1)?, 0u64, leaf);
        let mut neighbours = self.0.iter();
        while last > 0 {
            level = level.checked_add(1)?;
            // The last of an odd number is carried up; every other node has a neighbour.
            if at < last || at % 2 == 1 {
                let neighbour = *neighbours.next()?;
                let (left, right) = if at.is_multiple_of(2) { (digest, neighbour) } else { (neighbour, digest) };
                digest = join(node_domain, level, left, right);
            }
            at /= 2;
            last /= 2;
        }
        neighbours.next().is_none().then_some(digest)
    }
}

impl Canonical for MerklePath {
    fn encode(&self, out: &mut Encoder) {
        out.count(self.0.len());
        self.0.iter().for_each(|neighbour| {
            out.put(neighbour);
        });
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let count = input.count("path", MAX_PATH)?;
        let neighbours: Result<_, CodecError> = (0..count).map(|_| input.take()).collect();
        neighbours.map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<PoseidonDigest> {
        (0..count).map(|i| PoseidonDigest::from_elements([i, 7, 7, 7]).unwrap()).collect()
    }

    #[test]
    fn every_place_of_every_small_list_opens_to_its_root_and_to_no_other() {
        for count in 1..=40u64 {
            let leaves = leaves(count);
            let root = merkle_root(Domain::TileNode, leaves.iter().copied()).unwrap();
            for place in 0..count {
                let path = merkle_path(Domain::TileNode, &leaves, place).unwrap();
                let opens = |place, count, leaf| path.root(Domain::TileNode, (place, count), leaf) == Some(root);
                let leaf = leaves[usize::try_from(place).unwrap()];
                assert!(opens(place, count, leaf), "{place} of {count}");
                assert!(!(0..count).any(|other| other != place && opens(other, count, leaf)), "{place} of {count}");
                assert!(!opens(place, count, PoseidonDigest::default()));
                let longer = MerklePath([path.0.clone(), vec![root]].concat());
                assert_eq!(longer.root(Domain::TileNode, (place, count), leaf), None);
            }
            assert_eq!(merkle_path(Domain::TileNode, &leaves, count), None);
        }
    }

    #[test]
    fn another_domain_or_a_path_too_long_opens_nothing() {
        let leaves = leaves(3);
        let root = merkle_root(Domain::TileNode, leaves.iter().copied());
        let path = merkle_path(Domain::TileNode, &leaves, 1).unwrap();
        assert_eq!(path.root(Domain::TileNode, (1, 3), leaves[1]), root);
        assert_ne!(path.root(Domain::TensorNode, (1, 3), leaves[1]), root);
        assert_eq!(merkle_root(Domain::TileNode, []), None);
        assert_eq!(MerklePath(vec![leaves[0]; 57]).root(Domain::TileNode, (0, u64::MAX), leaves[0]), None);
    }
}
