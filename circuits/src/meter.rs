//! **Duty.** `meter`: from one state of a run to another along its ledgers. The leaf of every proof.

mod circuit;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use statement::{
    LONG_ROWS_LOG, LONG_SEGMENTS, Meter, MeterRow, MeterWitness, SEGMENT_INTERVALS, SHORT_ROWS_LOG, SHORT_SEGMENTS,
    Segment, Transition,
};
