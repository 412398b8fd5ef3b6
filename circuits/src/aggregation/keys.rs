//! **Duty.** Which circuits' proofs may be folded: the root of a tree over their verifier keys. A proof made by another
//! circuit, or by one of ours with a constraint removed, has a key that is not in the tree.
//! **Does not know** which circuits those are (`catalog`, fixtures). **Spec.** PROTOCOL §4 statement 6; CIRCUITS §4.

use plonky2::field::types::PrimeField64 as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use plonky2::iop::witness::WitnessWrite as _;
use plonky2::plonk::circuit_data::VerifierCircuitTarget;
use weighbridge_attest_types::{Domain, PoseidonDigest};
use weighbridge_commitments::poseidon;

use crate::Violation;
use crate::gadgets::{select_digest, set_digest, tagged_hash};
use crate::statement::{Assignment, Builder, KeyData, config};

/// Levels of the tree,
const LEVELS: usize = 2;
/// and places in it. A free place holds zeros, which no key hashes to.
pub(crate) const KEY_PLACES: usize = 1 << LEVELS;

/// The keys in their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySet {
    leaves: [PoseidonDigest; KEY_PLACES],
}

/// A key that the prover names, with its place in the tree.
#[derive(Debug)]
pub(crate) struct KeyTargets {
    pub(crate) key: VerifierCircuitTarget,
    pub(crate) place: [BoolTarget; LEVELS],
    pub(crate) siblings: [HashOutTarget; LEVELS],
}

/// The digest of the circuit and the cap over its constants and permutations, as the circuits hash them.
pub(crate) fn key_elements(key: &KeyData) -> Vec<u64> {
    let cap = key.constants_sigmas_cap.0.iter().flat_map(|hash| hash.elements);
    key.circuit_digest.elements.into_iter().chain(cap).map(|element| element.to_canonical_u64()).collect()
}

impl KeySet {
    /// A set of at most [`KEY_PLACES`] keys, each as its elements.
    pub(crate) fn of<'a>(keys: impl IntoIterator<Item = &'a [u64]>) -> Self {
        let mut leaves = [PoseidonDigest::default(); KEY_PLACES];
        for (leaf, key) in leaves.iter_mut().zip(keys) {
            *leaf = poseidon(Domain::VerifierKey, key);
        }
        Self { leaves }
    }

    /// The root.
    pub(crate) fn root(&self) -> PoseidonDigest {
        let mut level = self.leaves.to_vec();
        while level.len() > 1 {
            level = level.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect();
        }
        level[0]
    }

    /// Where a key stands, if it does.
    pub(crate) fn place_of(&self, key: &KeyData) -> Option<usize> {
        let leaf = poseidon(Domain::VerifierKey, &key_elements(key));
        self.leaves.iter().position(|&found| found == leaf)
    }

    /// The neighbours on the way up from a place.
    pub(crate) fn siblings(&self, mut place: usize) -> [PoseidonDigest; LEVELS] {
        let mut level = self.leaves.to_vec();
        std::array::from_fn(|_| {
            let sibling = level[place ^ 1];
            level = level.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect();
            place /= 2;
            sibling
        })
    }
}

fn node(left: PoseidonDigest, right: PoseidonDigest) -> PoseidonDigest {
    poseidon(Domain::VerifierKey, &[left.elements(), right.elements()].concat())
}

impl KeyTargets {
    pub(crate) fn new(builder: &mut Builder) -> Self {
        let cap_height = config(false).fri_config.cap_height;
        Self {
            key: builder.add_virtual_verifier_data(cap_height),
            place: std::array::from_fn(|_| builder.add_virtual_bool_target_safe()),
            siblings: std::array::from_fn(|_| builder.add_virtual_hash()),
        }
    }

    /// Sets the key and its way to the root; a key outside the set gets the first place, so that constraints can be tried.
    pub(crate) fn assign(&self, key: &KeyData, keys: &KeySet, assignment: &mut Assignment) -> Result<(), Violation> {
        let failed = |error: &dyn std::fmt::Display| Violation::new("assignment", error.to_string());
        assignment.set_verifier_data_target(&self.key, key).map_err(|error| failed(&error))?;
        let place = keys.place_of(key).unwrap_or_default();
        for (level, (bit, sibling)) in self.place.iter().zip(self.siblings).enumerate() {
            assignment.set_bool_target(*bit, place >> level & 1 == 1).map_err(|error| failed(&error))?;
            set_digest(assignment, sibling, keys.siblings(place)[level])?;
        }
        Ok(())
    }
}

/// key-in-set: the key and its neighbours hash to the root. Length and domain tell a key from a node.
pub(crate) fn in_set(builder: &mut Builder, member: &KeyTargets, root: HashOutTarget) {
    let KeyTargets { key, place, siblings } = member;
    let mut elements: Vec<Target> = key.circuit_digest.elements.to_vec();
    elements.extend(key.constants_sigmas_cap.0.iter().flat_map(|hash| hash.elements));
    let mut current = tagged_hash(builder, Domain::VerifierKey, &elements);
    for (&is_right, &sibling) in place.iter().zip(siblings) {
        let left = select_digest(builder, is_right, sibling, current);
        let right = select_digest(builder, is_right, current, sibling);
        current = tagged_hash(builder, Domain::VerifierKey, &[left.elements, right.elements].concat());
    }
    builder.connect_hashes(current, root);
}
