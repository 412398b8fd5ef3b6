//! **Duty.** Gates of our own, each with a degree test and the test that its native, batched and in-circuit meanings are
//! one.

mod algebra;
mod combine;
mod interval;
mod limbs;
mod outputs;
mod rule;
mod words;

pub(crate) use combine::CombineRule;
pub(crate) use interval::{IntervalGate, IntervalWires, MAX_REST, READING_BITS};
pub(crate) use limbs::LimbRule;
pub(crate) use outputs::{OUTPUTS, OutputRule, OutputTargets};
pub(crate) use rule::inverse_or_zero;
pub(crate) use words::{EntryTargets, WordRule};
