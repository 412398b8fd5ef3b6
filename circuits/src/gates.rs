//! **Duty.** Gates of our own, each with a degree test and the test that its native, batched and in-circuit meanings are
//! one.

mod interval;

pub(crate) use interval::{IntervalGate, IntervalWires, MAX_REST, READING_BITS};
