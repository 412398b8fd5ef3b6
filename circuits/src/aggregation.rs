//! **Duty.** `aggregation`: two meters become one proof of two chains and one sum.

mod circuit;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use statement::{Aggregation, AggregationPublic, AggregationSlot};
