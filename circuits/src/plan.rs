//! **Duty.** From a run's chains to pieces of proving work: leaves of 64-interval segments, a wrap for each, a tree of
//! folds, one threshold. Everything false is named here, natively, before any proving time is spent. **Knows** openings
//! and states. **Does not know** circuits, threads or files. **Spec.** PROTOCOL §4, CIRCUITS §4; decision 0055, 0056.

mod cut;
mod job;
#[cfg(test)]
mod tests;
mod weighed;

pub use cut::LeafChoice;
pub(crate) use job::Work;
pub use job::{Job, JobId, JobKind, Plan};
pub use weighed::{ChainWitness, Weighed};
