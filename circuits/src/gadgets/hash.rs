//! **Duty.** The domain-tagged Poseidon of `weighbridge-commitments`, in circuit, and digests as targets.

use plonky2::field::types::Field as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::iop::target::{BoolTarget, Target};
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

/// One digest or the other.
pub(crate) fn select_digest(
    builder: &mut Builder,
    flag: BoolTarget,
    when_set: HashOutTarget,
    otherwise: HashOutTarget,
) -> HashOutTarget {
    let elements = std::array::from_fn(|i| {
        // flag · (a − b) + b: two operations.
        let difference = builder.sub(when_set.elements[i], otherwise.elements[i]);
        builder.mul_add(flag.target, difference, otherwise.elements[i])
    });
    HashOutTarget { elements }
}

/// A digest that is part of the circuit.
pub(crate) fn constant_digest(builder: &mut Builder, digest: PoseidonDigest) -> HashOutTarget {
    let elements = digest.elements().map(|element| builder.constant(Field::from_canonical_u64(element)));
    HashOutTarget { elements }
}
