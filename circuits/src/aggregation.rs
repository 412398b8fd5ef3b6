//! **Duty.** `aggregation`: four meters become one proof of four chains and one sum.

mod circuit;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use statement::{Aggregation, AggregationPublic, AggregationSlot};
