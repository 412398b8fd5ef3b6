//! **Duty.** Many proofs become one of constant size: every leaf is wrapped into one common shape, and two proofs of that
//! shape fold into a third one of it.

mod fold;
mod keys;
mod shape;
mod statement;
#[cfg(test)]
mod tests;
mod wrap;

pub(crate) use fold::step_of;
pub(crate) use keys::{KeySet, KeyTargets, in_set, key_elements};
pub(crate) use shape::{Shape, proof_of_shape};
pub(crate) use statement::{Child, Fold, FoldWitness, Step, Wrap};
pub(crate) use wrap::StepTargets;
