//! **Duty.** `threshold`: the hidden declared total of a run's chains lies inside public bounds. The only proof that is
//! published, and so the only blinded one.

mod circuit;
mod statement;
#[cfg(test)]
mod tests;

pub use statement::{CHAIN_SLOTS, ChainClaim, DeclaredRelation, ThresholdPublic};
pub(crate) use statement::{Threshold, ThresholdInputs, ThresholdWitness};
