//! **Duty.** `wrap` as constraints: a leaf of any size becomes a proof of the common shape.

use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::Target;
use plonky2::iop::witness::WitnessWrite as _;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::shape::Shape;
use super::statement::{Step, Wrap};
use crate::Violation;
use crate::gadgets::{public_digest, set_digest};
use crate::meter::{LONG_SEGMENTS, SEGMENT_INTERVALS, SHORT_SEGMENTS};
use crate::statement::{Assignment, Builder, CircuitId, Config, EXTENSION, Proven, Statement, VerifierKey, proof_says};

#[derive(Debug)]
pub(crate) struct WrapTargets {
    pub(super) step: StepTargets,
    pub(super) proof: ProofWithPublicInputsTarget<EXTENSION>,
}

/// [`Step`] among the public inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepTargets {
    pub(crate) from: HashOutTarget,
    pub(crate) to: HashOutTarget,
    pub(crate) keys: HashOutTarget,
}

impl StepTargets {
    pub(super) fn public(builder: &mut Builder) -> Self {
        Self { from: public_digest(builder), to: public_digest(builder), keys: public_digest(builder) }
    }

    pub(super) fn assign(&self, step: &Step, assignment: &mut Assignment) -> Result<(), Violation> {
        set_digest(assignment, self.from, step.transition.from)?;
        set_digest(assignment, self.to, step.transition.to)?;
        set_digest(assignment, self.keys, step.keys)
    }
}

const fn id(segments: usize, intervals: usize) -> CircuitId {
    match (segments, intervals) {
        (LONG_SEGMENTS, SEGMENT_INTERVALS) => "wrap-long",
        (SHORT_SEGMENTS, SEGMENT_INTERVALS) => "wrap-short",
        _ => "wrap",
    }
}

impl<const SEGMENTS: usize, const INTERVALS: usize> Statement for Wrap<SEGMENTS, INTERVALS> {
    const ID: CircuitId = id(SEGMENTS, INTERVALS);
    const BLINDED: bool = false;
    type Public = Step;
    type Witness = Proven;
    type Targets = WrapTargets;
    type Inner = (Shape, VerifierKey);

    fn check(public: &Step, leaf: &Proven) -> Result<(), Violation> {
        proof_says("leaf-holds", leaf, &public.transition)
    }

    fn build(builder: &mut Builder, (shape, leaf): &(Shape, VerifierKey)) -> WrapTargets {
        let step = StepTargets::public(builder);
        let proof = leaf_holds(builder, leaf);
        step_passes(builder, &proof.public_inputs, step);
        shape.fill(builder);
        WrapTargets { step, proof }
    }

    fn assign(
        targets: &WrapTargets,
        public: &Step,
        leaf: &Proven,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        targets.step.assign(public, assignment)?;
        let set = assignment.set_proof_with_pis_target(&targets.proof, leaf);
        set.map_err(|error| Violation::new("assignment", error.to_string()))
    }
}

/// leaf-holds: the proof checks under the key of the one leaf circuit, a constant.
pub(super) fn leaf_holds(builder: &mut Builder, leaf: &VerifierKey) -> ProofWithPublicInputsTarget<EXTENSION> {
    let key = builder.constant_verifier_data(&leaf.verifier_only);
    let proof = builder.add_virtual_proof_with_pis(&leaf.common);
    builder.verify_proof::<Config>(&proof, &key, &leaf.common);
    proof
}

/// step-passes: beginning and end are the leaf's.
fn step_passes(builder: &mut Builder, leaf: &[Target], step: StepTargets) {
    let passed = step.from.elements.into_iter().chain(step.to.elements);
    leaf.iter().zip(passed).for_each(|(&proven, claimed)| builder.connect(proven, claimed));
}
