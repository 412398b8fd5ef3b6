//! **Duty.** The words that travel over the daemon's socket: paths, messages, problems. **Knows** JSON. **Does not
//! know** sockets, async runtimes or the server: clients never link it. **Spec.** PROTOCOL §3, ECOSYSTEM §4 (HTTP).

mod messages;
pub mod paths;
mod problem;

pub use messages::{
    Acknowledged, ChallengeRequest, CheckpointRequest, EndRequest, GapReport, HeadInfo, NodeDevice, NodeInfo,
    NodeState, ReceiptRequest, RunEnded, RunStartRequest, RunStarted, StepReport, WindowReport, WorkUnitReport,
};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem};
