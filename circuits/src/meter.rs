//! **Duty.** `meter`: a segment of one node's ledger sums its committed interval readings.

mod circuit;
mod statement;
#[cfg(test)]
mod tests;

pub use statement::{MAX_CHAIN_GFLOP, METER_INTERVALS};
pub(crate) use statement::{Meter, MeterPublic, MeterRow};
