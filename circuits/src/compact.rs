//! **Duty.** `compact`: a published threshold proof in half the bytes. It verifies the *blinded* proof and says the same;
//! what it could tell about its witness is what that proof tells anyway. **Knows** another rate: fewer queries of a
//! longer code. **Does not know** totals. **Spec.** CIRCUITS §7; decision 0057 (the same bits, conjectured and provable).

#[cfg(test)]
mod tests;

use plonky2::fri::FriConfig;
use plonky2::fri::reduction_strategies::FriReductionStrategy;
use plonky2::iop::target::Target;
use plonky2::iop::witness::WitnessWrite as _;
use plonky2::plonk::circuit_data::CircuitConfig;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use crate::Violation;
use crate::gadgets::set;
use crate::statement::{
    Assignment, Builder, CircuitId, Config, EXTENSION, FieldLayout, Proven, Statement, VerifierKey, config, proof_says,
};
use crate::threshold::ThresholdInputs;

/// `compact` over one threshold proof.
#[derive(Debug)]
pub(crate) struct Compact;

#[derive(Debug)]
pub(crate) struct CompactTargets {
    public: Vec<Target>,
    proof: ProofWithPublicInputsTarget<EXTENSION>,
}

/// Twelve queries at rate 1/128: 12 · 7 + 16 bits, as many as 28 · 3 + 16 in the other layers.
pub(crate) fn compact_config() -> CircuitConfig {
    let fri_config = FriConfig {
        rate_bits: 7,
        num_query_rounds: 12,
        reduction_strategy: FriReductionStrategy::MinSize(None),
        ..config(false).fri_config
    };
    CircuitConfig { fri_config, ..config(false) }
}

impl Statement for Compact {
    const ID: CircuitId = "compact";
    const BLINDED: bool = false;
    type Public = ThresholdInputs;
    type Witness = Proven;
    type Targets = CompactTargets;
    type Inner = VerifierKey;

    fn check(public: &ThresholdInputs, threshold: &Proven) -> Result<(), Violation> {
        proof_says("threshold-holds", threshold, public)
    }

    fn build(builder: &mut Builder, threshold: &VerifierKey) -> CompactTargets {
        let proof = threshold_holds(builder, threshold);
        // inputs-pass: the public inputs are those of the threshold proof.
        let public = proof.public_inputs.clone();
        builder.register_public_inputs(&public);
        CompactTargets { public, proof }
    }

    fn assign(
        targets: &CompactTargets,
        public: &ThresholdInputs,
        threshold: &Proven,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        // The claim first: where the proof speaks of something else, that shows as a contradiction.
        for (&target, value) in targets.public.iter().zip(public.to_elements()) {
            set(assignment, target, value)?;
        }
        let failed = |error: &dyn std::fmt::Display| Violation::new("assignment", error.to_string());
        assignment.set_proof_target(&targets.proof.proof, &threshold.proof).map_err(|error| failed(&error))
    }
}

/// threshold-holds: the proof checks under the key of the one threshold circuit, a constant.
fn threshold_holds(builder: &mut Builder, threshold: &VerifierKey) -> ProofWithPublicInputsTarget<EXTENSION> {
    let key = builder.constant_verifier_data(&threshold.verifier_only);
    let proof = builder.add_virtual_proof_with_pis(&threshold.common);
    builder.verify_proof::<Config>(&proof, &key, &threshold.common);
    proof
}
