//! **Duty.** The domain-tagged Poseidon of `weighbridge-commitments`, in circuit, and digests as targets.

use plonky2::field::types::Field as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::iop::target::Target;
use plonky2::iop::witness::WitnessWrite;
use weighbridge_attest_types::{Domain, GOLDILOCKS_ORDER, PoseidonDigest};

use crate::Violation;
use crate::statement::{Assignment, Builder, Field};

/// Poseidon over `[domain element, number of elements, elements…]`: the twin of `weighbridge_commitments::poseidon`.
pub(crate) fn tagged_hash(builder: &mut Builder, domain: Domain, elements: &[Target]) -> HashOutTarget {
    let mut input = Vec::with_capacity(elements.len() + 2);
    input.push(builder.constant(Field::from_canonical_u64(domain.element())));
    input.push(builder.constant(Field::from_canonical_usize(elements.len())));
    input.extend_from_slice(elements);
    builder.hash_n_to_hash_no_pad::<PoseidonHash>(input)
}

/// A digest among the public inputs.
pub(crate) fn public_digest(builder: &mut Builder) -> HashOutTarget {
    builder.add_virtual_hash_public_input()
}

/// Both digests are the same.
pub(crate) fn connect_digest(builder: &mut Builder, left: HashOutTarget, right: HashOutTarget) {
    builder.connect_hashes(left, right);
}

/// Sets a digest input.
pub(crate) fn set_digest(
    assignment: &mut Assignment,
    target: HashOutTarget,
    digest: PoseidonDigest,
) -> Result<(), Violation> {
    for (target, element) in target.elements.into_iter().zip(digest.elements()) {
        set(assignment, target, element)?;
    }
    Ok(())
}

/// Sets one input; a value of p or more would be another value's alias.
pub(crate) fn set(assignment: &mut Assignment, target: Target, value: u64) -> Result<(), Violation> {
    if value >= GOLDILOCKS_ORDER {
        return Err(Violation::new("assignment", format!("{value} is no canonical field element")));
    }
    let value = Field::from_canonical_u64(value);
    assignment.set_target(target, value).map_err(|error| Violation::new("assignment", error.to_string()))
}
