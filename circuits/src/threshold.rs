//! **Duty.** `threshold`: the hidden totals of a run's chains lie inside public bounds. The only proof that is published,
//! and so the only blinded one.

mod circuit;
mod relation;
mod statement;
#[cfg(test)]
pub(crate) mod tests;

pub use relation::{Component, MAX_RELATIONS, Relation, TotalRelation};
pub use statement::ThresholdPublic;
pub(crate) use statement::{Threshold, ThresholdInputs, ThresholdWitness, Trusted};
