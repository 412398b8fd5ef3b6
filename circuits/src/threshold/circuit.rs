//! **Duty.** `threshold` as constraints, one function per property of docs/CONSTRAINTS.md.

use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use plonky2::iop::witness::WitnessWrite as _;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::relation::MAX_RELATIONS;
use super::statement::{Threshold, ThresholdInputs, ThresholdWitness, Trusted};
use crate::Violation;
use crate::aggregation::{KeyTargets, StepTargets, in_set, proof_of_shape, step_of};
use crate::gadgets::{assert_at_most, assert_below_power, connect_digest, constant_digest, set};
use crate::state::{COMPONENTS, StateTargets, TOTAL_BITS};
use crate::statement::{Assignment, Builder, CircuitId, EXTENSION, FieldLayout, Statement};

const GENESIS_ELEMENTS: usize = 5;
const CHAIN_ELEMENTS: usize = 5;
const SLOT_ELEMENTS: usize = 3;
const CONTEXT_ELEMENTS: usize = 5;
const INPUTS: usize = GENESIS_ELEMENTS + CHAIN_ELEMENTS + MAX_RELATIONS * SLOT_ELEMENTS + CONTEXT_ELEMENTS;

#[derive(Debug)]
pub(crate) struct ThresholdTargets {
    pub(super) public: Vec<Target>,
    pub(super) totals: [Target; COMPONENTS],
    pub(super) choices: Vec<[BoolTarget; 2]>,
    pub(super) proof: ProofWithPublicInputsTarget<EXTENSION>,
    pub(super) member: KeyTargets,
}

impl Statement for Threshold {
    const ID: CircuitId = "threshold";
    const BLINDED: bool = true;
    type Public = ThresholdInputs;
    type Witness = ThresholdWitness;
    type Targets = ThresholdTargets;
    type Inner = Trusted;

    fn check(public: &ThresholdInputs, witness: &ThresholdWitness) -> Result<(), Violation> {
        public.check(witness)
    }

    fn build(builder: &mut Builder, trusted: &Trusted) -> ThresholdTargets {
        // The context is bound to the proof and otherwise free: a reader recomputes it.
        let public = builder.add_virtual_targets(INPUTS);
        builder.register_public_inputs(&public);
        let (genesis, rest) = public.split_at(GENESIS_ELEMENTS);
        let (chains, rest) = rest.split_at(CHAIN_ELEMENTS);
        let genesis: [Target; GENESIS_ELEMENTS] = std::array::from_fn(|i| genesis[i]);
        let list = HashOutTarget { elements: std::array::from_fn(|i| chains[i]) };
        let count = chains[CHAIN_ELEMENTS - 1];
        let totals = builder.add_virtual_target_arr();

        let member = KeyTargets::new(builder);
        let proof = proof_of_shape(builder, &trusted.shape, &member);
        let step = step_of(&proof.public_inputs);
        keys_are_ours(builder, &member, step, trusted);
        from_the_beginning(builder, step, genesis);
        to_the_end(builder, step, genesis, list, count, totals);
        let slots = rest[..MAX_RELATIONS * SLOT_ELEMENTS].chunks_exact(SLOT_ELEMENTS);
        let choices = slots.map(|slot| relation(builder, slot, totals, count)).collect();
        ThresholdTargets { public, totals, choices, proof, member }
    }

    fn assign(
        targets: &ThresholdTargets,
        public: &ThresholdInputs,
        witness: &ThresholdWitness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        for (&target, value) in targets.public.iter().zip(public.to_elements()) {
            set(assignment, target, value)?;
        }
        for (&target, value) in targets.totals.iter().zip(witness.totals) {
            set(assignment, target, value)?;
        }
        for ([metered, energy], slot) in targets.choices.iter().zip(&public.slots) {
            set(assignment, metered.target, u64::from(slot.component == 1))?;
            set(assignment, energy.target, u64::from(slot.component == 2))?;
        }
        targets.member.assign(&witness.child.key, &witness.keys, assignment)?;
        let set = assignment.set_proof_with_pis_target(&targets.proof, &witness.child.proof);
        set.map_err(|error| Violation::new("assignment", error.to_string()))
    }
}

/// key-in-set, same-keys: the proof's circuit is in the set, and the set is the one of this version, a constant: so are
/// those of all proofs below, since each fold hands the set on.
fn keys_are_ours(builder: &mut Builder, member: &KeyTargets, step: StepTargets, trusted: &Trusted) {
    let root = constant_digest(builder, trusted.root);
    in_set(builder, member, root);
    connect_digest(builder, step.keys, root);
}

/// from-the-beginning: the proof begins at the run's initial state.
fn from_the_beginning(builder: &mut Builder, step: StepTargets, genesis: [Target; GENESIS_ELEMENTS]) {
    let zero = builder.zero();
    let nothing = HashOutTarget { elements: [zero; 4] };
    let initial = StateTargets::closed(builder, genesis, nothing, zero, [zero; COMPONENTS]).digest(builder);
    connect_digest(builder, step.from, initial);
}

/// to-the-end: it ends where the published chains are closed and none is open, with the hidden totals.
fn to_the_end(
    builder: &mut Builder,
    step: StepTargets,
    genesis: [Target; GENESIS_ELEMENTS],
    list: HashOutTarget,
    count: Target,
    totals: [Target; COMPONENTS],
) {
    let end = StateTargets::closed(builder, genesis, list, count, totals).digest(builder);
    connect_digest(builder, step.to, end);
}

/// One relation: which total it is about, and its bounds.
fn relation(builder: &mut Builder, slot: &[Target], totals: [Target; COMPONENTS], count: Target) -> [BoolTarget; 2] {
    let (component, low, high) = (slot[0], slot[1], slot[2]);
    let (choice, total) = component_choice(builder, component, totals);
    low_bound(builder, low, total);
    high_bound(builder, total, count, high);
    choice
}

/// component-choice: 0 is declared, 1 metered, 2 energy; at most one of the two flags is set, so that each component has
/// one choice.
fn component_choice(
    builder: &mut Builder,
    component: Target,
    totals: [Target; COMPONENTS],
) -> ([BoolTarget; 2], Target) {
    let (metered, energy) = (builder.add_virtual_bool_target_safe(), builder.add_virtual_bool_target_safe());
    let both = builder.mul(metered.target, energy.target);
    builder.assert_zero(both);
    let two = builder.two();
    let named = builder.mul_add(two, energy.target, metered.target);
    builder.connect(named, component);
    let [declared, of_counters, joule] = totals;
    let total = builder.select(metered, of_counters, declared);
    ([metered, energy], builder.select(energy, joule, total))
}

/// low-bound: `low ≤ total`, both below 2⁶² (the total by the leaves' own checks).
fn low_bound(builder: &mut Builder, low: Target, total: Target) {
    assert_below_power(builder, low, TOTAL_BITS);
    assert_at_most(builder, low, total, TOTAL_BITS);
}

/// high-bound: `total + chains ≤ high`, so that the remainders the chains carry out cannot hide above the bound.
fn high_bound(builder: &mut Builder, total: Target, count: Target, high: Target) {
    assert_below_power(builder, high, TOTAL_BITS);
    let total = builder.add(total, count);
    assert_at_most(builder, total, high, TOTAL_BITS);
}
