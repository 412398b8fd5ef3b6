//! **Duty.** `threshold` as constraints, one function per property of docs/CONSTRAINTS.md.

use plonky2::field::types::Field as _;
use plonky2::iop::target::Target;
use plonky2::iop::witness::WitnessWrite;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::statement::{BOUND_BITS, CHAIN_SLOTS, Threshold, ThresholdInputs, ThresholdWitness};
use crate::Violation;
use crate::gadgets::{assert_at_most, assert_below_power, set};
use crate::statement::{
    Assignment, Builder, CircuitId, Config, EXTENSION, Field, FieldLayout, Statement, VerifierKey, proof_says,
};

const GENESIS_ELEMENTS: usize = 5;
const CHAIN_ELEMENTS: usize = CHAIN_SLOTS * 9;

#[derive(Debug)]
pub(crate) struct ThresholdTargets {
    pub(super) public: Vec<Target>,
    pub(super) proof: ProofWithPublicInputsTarget<EXTENSION>,
}

impl Statement for Threshold {
    const ID: CircuitId = "threshold";
    const BLINDED: bool = true;
    type Public = ThresholdInputs;
    type Witness = ThresholdWitness;
    type Targets = ThresholdTargets;
    type Inner = VerifierKey;

    fn check(public: &ThresholdInputs, witness: &ThresholdWitness) -> Result<(), Violation> {
        proof_says("proof-holds", &witness.proof, &witness.public)?;
        public.check(&witness.public)
    }

    fn build(builder: &mut Builder, aggregation: &VerifierKey) -> ThresholdTargets {
        // The genesis is bound to the proof and otherwise free: `head_0` of every chain commits to it, and a reader
        // recomputes `head_0`.
        let public = builder.add_virtual_targets(GENESIS_ELEMENTS + CHAIN_ELEMENTS + 2);
        builder.register_public_inputs(&public);
        let (claims, bounds) = public[GENESIS_ELEMENTS..].split_at(CHAIN_ELEMENTS);
        let proof = proof_holds(builder, aggregation);
        let (chains, total) = proof.public_inputs.split_at(CHAIN_ELEMENTS);
        claims_pass(builder, chains, claims);
        low_bound(builder, bounds[0], total[0]);
        high_bound(builder, total[0], bounds[1]);
        ThresholdTargets { public, proof }
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
        assignment
            .set_proof_with_pis_target(&targets.proof, &witness.proof)
            .map_err(|error| Violation::new("assignment", error.to_string()))
    }
}

/// proof-holds: the hidden proof checks under the one aggregation circuit of this version.
fn proof_holds(builder: &mut Builder, aggregation: &VerifierKey) -> ProofWithPublicInputsTarget<EXTENSION> {
    let key = builder.constant_verifier_data(&aggregation.verifier_only);
    let proof = builder.add_virtual_proof_with_pis(&aggregation.common);
    builder.verify_proof::<Config>(&proof, &key, &aggregation.common);
    proof
}

/// claims-pass: the published chains are those that were summed.
fn claims_pass(builder: &mut Builder, proven: &[Target], claims: &[Target]) {
    for (&proven, &claimed) in proven.iter().zip(claims) {
        builder.connect(proven, claimed);
    }
}

/// low-bound: `low ≤ total`, both below 2⁶² (the total by the meters' own checks).
fn low_bound(builder: &mut Builder, low: Target, total: Target) {
    assert_below_power(builder, low, BOUND_BITS);
    assert_at_most(builder, low, total, BOUND_BITS);
}

/// high-bound: `total + slots ≤ high`, so that the remainders the chains carry out cannot hide above the bound.
fn high_bound(builder: &mut Builder, total: Target, high: Target) {
    assert_below_power(builder, high, BOUND_BITS);
    let total = builder.add_const(total, Field::from_canonical_usize(CHAIN_SLOTS));
    assert_at_most(builder, total, high, BOUND_BITS);
}
