//! **Duty.** `aggregation` as constraints, one function per property of docs/CONSTRAINTS.md.

use plonky2::iop::target::Target;
use plonky2::iop::witness::WitnessWrite;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::statement::{Aggregation, AggregationPublic, AggregationWitness};
use crate::Violation;
use crate::gadgets::set;
use crate::statement::{
    Assignment, Builder, CircuitId, Config, EXTENSION, FieldLayout, Statement, VerifierKey, proof_says,
};
use crate::threshold::CHAIN_SLOTS;

/// Where a meter's public inputs stand (`MeterPublic::to_elements`).
const START: std::ops::Range<usize> = 0..4;
const START_INDEX: usize = 4;
const END: std::ops::Range<usize> = 5..9;
const END_INDEX: usize = 9;
const GFLOP: usize = 10;

#[derive(Debug)]
pub(crate) struct AggregationTargets {
    pub(super) public: Vec<Target>,
    pub(super) proofs: Vec<ProofWithPublicInputsTarget<EXTENSION>>,
}

impl Statement for Aggregation {
    const ID: CircuitId = "aggregation";
    const BLINDED: bool = false;
    type Public = AggregationPublic;
    type Witness = AggregationWitness;
    type Targets = AggregationTargets;
    type Inner = VerifierKey;

    fn check(public: &AggregationPublic, witness: &AggregationWitness) -> Result<(), Violation> {
        for slot in witness {
            proof_says("proof-holds", &slot.proof, &slot.public)?;
        }
        public.check(&witness.each_ref().map(|slot| slot.public))
    }

    fn build(builder: &mut Builder, meter: &VerifierKey) -> AggregationTargets {
        let public = builder.add_virtual_targets(CHAIN_SLOTS * 9 + 1);
        builder.register_public_inputs(&public);
        let proofs: Vec<_> = (0..CHAIN_SLOTS).map(|_| proof_holds(builder, meter)).collect();
        for (slot, proof) in proofs.iter().enumerate() {
            starts_at_zero(builder, &proof.public_inputs);
            claims_pass(builder, &proof.public_inputs, &public[slot * 9..slot * 9 + 9]);
        }
        sum_of_chains(builder, &proofs, public[CHAIN_SLOTS * 9]);
        AggregationTargets { public, proofs }
    }

    fn assign(
        targets: &AggregationTargets,
        public: &AggregationPublic,
        witness: &AggregationWitness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        for (&target, value) in targets.public.iter().zip(public.to_elements()) {
            set(assignment, target, value)?;
        }
        for (target, slot) in targets.proofs.iter().zip(witness) {
            assignment
                .set_proof_with_pis_target(target, &slot.proof)
                .map_err(|error| Violation::new("assignment", error.to_string()))?;
        }
        Ok(())
    }
}

/// proof-holds: the slot's proof checks under the one meter circuit of this version, a constant of this circuit.
fn proof_holds(builder: &mut Builder, meter: &VerifierKey) -> ProofWithPublicInputsTarget<EXTENSION> {
    let key = builder.constant_verifier_data(&meter.verifier_only);
    let proof = builder.add_virtual_proof_with_pis(&meter.common);
    builder.verify_proof::<Config>(&proof, &key, &meter.common);
    proof
}

/// starts-at-zero: a chain is counted from its `head_0`; nothing before it is left out.
fn starts_at_zero(builder: &mut Builder, meter: &[Target]) {
    builder.assert_zero(meter[START_INDEX]);
}

/// claims-pass: start, end and count are public as the meter proved them.
fn claims_pass(builder: &mut Builder, meter: &[Target], claim: &[Target]) {
    let proven = meter[START].iter().chain(&meter[END]).chain(std::iter::once(&meter[END_INDEX]));
    for (&proven, &claimed) in proven.zip(claim) {
        builder.connect(proven, claimed);
    }
}

/// sum-of-chains: the sums add up. Each is below 2⁶⁰ by the meter's own check, so that four cannot wrap.
fn sum_of_chains(builder: &mut Builder, proofs: &[ProofWithPublicInputsTarget<EXTENSION>], gflop: Target) {
    let sums: Vec<Target> = proofs.iter().map(|proof| proof.public_inputs[GFLOP]).collect();
    let total = builder.add_many(&sums);
    builder.connect(total, gflop);
}
