//! **Duty.** Where each request goes. A path never changes its meaning within `/v1`.

/// `GET` → [`crate::NodeInfo`].
pub const NODE: &str = "/v1/node";
/// `POST` [`crate::ChallengeRequest`] → [`crate::NodeInfo`].
pub const CHALLENGE: &str = "/v1/challenge";
/// `POST` [`crate::RunStartRequest`] → [`crate::RunStarted`].
pub const RUN_START: &str = "/v1/run/start";
/// `POST` [`crate::StepReport`] → [`crate::Acknowledged`].
pub const STEP: &str = "/v1/step";
/// `POST` [`crate::WorkUnitReport`] → [`crate::Acknowledged`].
pub const WORK_UNIT: &str = "/v1/work-unit";
/// `POST` [`crate::GapReport`] → [`crate::Acknowledged`].
pub const GAP: &str = "/v1/gap";
/// `POST` [`crate::CheckpointRequest`] → `CheckpointCommitment`.
pub const CHECKPOINT: &str = "/v1/checkpoint";
/// `POST` [`crate::WindowReport`] → [`crate::Acknowledged`].
pub const WINDOW: &str = "/v1/window";
/// `POST` [`crate::EndRequest`] → [`crate::RunEnded`].
pub const END: &str = "/v1/end";
/// `POST` [`crate::ReceiptRequest`] → [`crate::Acknowledged`].
pub const RECEIPT: &str = "/v1/receipt";
/// `GET` → the node's public export, as bytes.
pub const EXPORT: &str = "/v1/export";
/// `GET` → the node's private witness, as bytes; only for the daemon's own user and root.
pub const WITNESS: &str = "/v1/witness";
/// `GET` → counts and states, as Prometheus reads them.
pub const METRICS: &str = "/v1/metrics";
