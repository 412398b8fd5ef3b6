//! **Duty.** What `wrap` and `fold` mean, natively. A wrap says what its leaf says. A fold of two steps leads from where
//! the first begins to where the second ends, if the first ends where the second begins; both are proofs of circuits in
//! one set of verifier keys, which the fold passes on.

use weighbridge_attest_types::PoseidonDigest;

use super::keys::KeySet;
use crate::Violation;
use crate::meter::Transition;
use crate::statement::{FieldLayout, KeyData, Proven, proof_says};

/// `wrap` of a leaf with this shape.
#[derive(Debug)]
pub(crate) struct Wrap<const SEGMENTS: usize, const INTERVALS: usize>;

/// `fold` of two steps.
#[derive(Debug)]
pub(crate) struct Fold;

/// Public inputs of wraps and folds; never published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) transition: Transition,
    /// Root of the keys that may be folded. A wrap leaves it free, a fold hands it on, and the threshold asks for the one
    /// that it was built with.
    pub(crate) keys: PoseidonDigest,
}

/// Elements of [`Step`].
#[cfg(test)]
pub(crate) const STEP_ELEMENTS: usize = 12;

/// A proof of the common shape.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) step: Step,
    pub(crate) proof: Proven,
    /// The key of the circuit that it was made by.
    pub(crate) key: KeyData,
}

/// Two children and the keys among which theirs are.
#[derive(Debug, Clone)]
pub(crate) struct FoldWitness {
    pub(crate) children: [Child; 2],
    pub(crate) keys: KeySet,
}

impl FieldLayout for Step {
    fn to_elements(&self) -> Vec<u64> {
        let mut elements = self.transition.to_elements();
        elements.extend(self.keys.elements());
        elements
    }
}

impl Child {
    /// The proof speaks of this step, and its circuit is in the set.
    pub(crate) fn check(&self, keys: &KeySet, root: PoseidonDigest) -> Result<(), Violation> {
        proof_says("proof-holds", &self.proof, &self.step)?;
        if keys.place_of(&self.key).is_none() || keys.root() != root {
            return Err(Violation::new(
                "key-in-set",
                "a proof of a circuit that is not among those that may be folded",
            ));
        }
        if self.step.keys != root {
            return Err(Violation::new("same-keys", "a proof that leans on another set of verifier keys"));
        }
        Ok(())
    }
}

impl Step {
    /// Where two steps lead together.
    pub(crate) fn then(self, next: Self) -> Result<Self, Violation> {
        if self.transition.to != next.transition.from {
            return Err(Violation::new("states-meet", "the second proof does not begin where the first ends"));
        }
        Ok(Self { transition: Transition { from: self.transition.from, to: next.transition.to }, ..self })
    }

    pub(super) fn check_fold(&self, witness: &FoldWitness) -> Result<(), Violation> {
        let [first, second] = &witness.children;
        first.check(&witness.keys, self.keys)?;
        second.check(&witness.keys, self.keys)?;
        if first.step.then(second.step)? != *self {
            return Err(Violation::new("ends-pass", "the fold claims another beginning or end than its proofs"));
        }
        Ok(())
    }
}
