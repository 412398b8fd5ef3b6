//! **Duty.** `fold` as constraints, one function per property of docs/CONSTRAINTS.md.

use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::Target;
use plonky2::iop::witness::WitnessWrite as _;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::keys::{KeyTargets, in_set};
use super::shape::{Shape, proof_of_shape};
use super::statement::{Fold, FoldWitness, Step};
use super::wrap::StepTargets;
use crate::Violation;
use crate::gadgets::connect_digest;
use crate::statement::{Assignment, Builder, CircuitId, EXTENSION, Statement};

#[derive(Debug)]
pub(crate) struct FoldTargets {
    pub(super) step: StepTargets,
    pub(super) children: [ChildTargets; 2],
}

/// A child's proof and key.
#[derive(Debug)]
pub(super) struct ChildTargets {
    pub(super) proof: ProofWithPublicInputsTarget<EXTENSION>,
    pub(super) member: KeyTargets,
}

impl Statement for Fold {
    const ID: CircuitId = "fold";
    const BLINDED: bool = false;
    type Public = Step;
    type Witness = FoldWitness;
    type Targets = FoldTargets;
    type Inner = Shape;

    fn check(public: &Step, witness: &FoldWitness) -> Result<(), Violation> {
        public.check_fold(witness)
    }

    fn build(builder: &mut Builder, shape: &Shape) -> FoldTargets {
        let step = StepTargets::public(builder);
        let children = [(); 2].map(|()| {
            let member = KeyTargets::new(builder);
            let proof = proof_of_shape(builder, shape, &member);
            in_set(builder, &member, step.keys);
            ChildTargets { proof, member }
        });
        let [first, second] = [0, 1].map(|child| step_of(&children[child].proof.public_inputs));
        same_keys(builder, step, [first, second]);
        states_meet(builder, first, second);
        ends_pass(builder, step, first, second);
        shape.fill(builder);
        FoldTargets { step, children }
    }

    fn assign(
        targets: &FoldTargets,
        public: &Step,
        witness: &FoldWitness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        targets.step.assign(public, assignment)?;
        for (target, child) in targets.children.iter().zip(&witness.children) {
            let set = assignment.set_proof_with_pis_target(&target.proof, &child.proof);
            set.map_err(|error| Violation::new("assignment", error.to_string()))?;
            target.member.assign(&child.key, &witness.keys, assignment)?;
        }
        Ok(())
    }
}

/// A child's public inputs, in the order of [`Step`].
pub(crate) fn step_of(inputs: &[Target]) -> StepTargets {
    let digest = |from: usize| HashOutTarget { elements: std::array::from_fn(|i| inputs[from + i]) };
    StepTargets { from: digest(0), to: digest(4), keys: digest(8) }
}

/// same-keys: both children lean on the set that the fold hands on.
fn same_keys(builder: &mut Builder, step: StepTargets, children: [StepTargets; 2]) {
    children.into_iter().for_each(|child| connect_digest(builder, child.keys, step.keys));
}

/// states-meet: the second child begins where the first ends.
fn states_meet(builder: &mut Builder, first: StepTargets, second: StepTargets) {
    connect_digest(builder, first.to, second.from);
}

/// ends-pass: the fold begins where the first child begins and ends where the second ends.
fn ends_pass(builder: &mut Builder, step: StepTargets, first: StepTargets, second: StepTargets) {
    connect_digest(builder, step.from, first.from);
    connect_digest(builder, step.to, second.to);
}
