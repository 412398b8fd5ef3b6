//! **Duty.** Why a node refuses, whose turn it is, what to do; as a value for libraries and as a problem for callers.
//! **Spec.** HOUSE §5; PROTOCOL §8.

use std::error::Error;
use std::fmt::Write as _;

use thiserror::Error;
use weighbridge_attest_collect::CollectError;
use weighbridge_attest_types::{BundleError, Culprit, Device, Digest32, ManifestError};
use weighbridge_commitments::CommitError;
use weighbridge_daemon_api::{NodeState, Problem};
use weighbridge_ledger::LedgerError;

use crate::intervals::IntervalError;
use crate::keys::KeyError;
use crate::shell::{ClockError, PathError};
use crate::store::StoreError;

/// Why a node refuses.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// An event of the run.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// The durable state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The platform.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Clocks.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Checkpoint files.
    #[error(transparent)]
    Checkpoint(#[from] CommitError),
    /// Where checkpoint files lie.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The manifest by itself.
    #[error("the run manifest makes no sense")]
    Manifest(#[from] ManifestError),
    /// Our own chain does not hold.
    #[error("this node's own chain does not hold")]
    Chain(#[from] LedgerError),
    /// Not now.
    #[error("`{action}` is not legal while the node is {}", state_word(*state))]
    NotLegal {
        /// What was asked.
        action: &'static str,
        /// The node's state.
        state: NodeState,
    },
    /// A run without a quoted key.
    #[error("the node key is not quoted yet")]
    NoKeyQuote,
    /// The manifest does not fit this node.
    #[error("the roster does not fit this node: {why}")]
    Roster {
        /// What differs.
        why: String,
    },
    /// The manifest's interval length is outside this node's limits.
    #[error("the manifest asks for intervals of {asked} ms; this node allows {least} to {most} ms")]
    IntervalLimits {
        /// Asked.
        asked: u64,
        /// Least allowed.
        least: u64,
        /// Most allowed.
        most: u64,
    },
    /// Another run is open.
    #[error("another run is open under genesis {0}")]
    OtherRun(Digest32),
    /// Devices of the open run that the machine does not show.
    #[error("the open run has devices that this machine does not show now, or others: {}", devices_text(.0))]
    Devices(Vec<Device>),
    /// A receipt about something else.
    #[error("the receipt is not over this node's last head: {why}")]
    Receipt {
        /// What differs.
        why: &'static str,
    },
    /// Nothing to export.
    #[error("there is no ledger to export{}", .0)]
    NoLedger(String),
    /// More than one container holds.
    #[error("the export is larger than one container may be")]
    TooLarge(#[source] BundleError),
    /// A private thing asked by somebody else.
    #[error("the witness is handed out to the service's own user and to root, not to uid {uid}")]
    NotYours {
        /// Who asked.
        uid: u32,
    },
    /// As much is kept as the configuration allows.
    #[error("the state folder keeps {kept} bytes of entries and evidence; `state_max_bytes` is {cap}")]
    StateCap {
        /// Kept.
        kept: u64,
        /// Allowed.
        cap: u64,
    },
    /// Writing failed before; nothing more is taken.
    #[error("the state folder failed before; this service takes nothing more until it is started again")]
    Failed,
    /// A task died.
    #[error("a task of the service stopped unexpectedly")]
    Task,
}

impl NodeError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Interval(error) => error.culprit(),
            Self::Store(error) => error.culprit(),
            Self::Key(error) => error.culprit(),
            Self::Collect(error) => error.culprit(),
            Self::Checkpoint(error) => error.culprit(),
            Self::Path(error) => error.culprit(),
            Self::Clock(_) | Self::Failed | Self::StateCap { .. } | Self::Devices(_) => Culprit::Unavailable,
            Self::Manifest(_)
            | Self::NotLegal { .. }
            | Self::NoKeyQuote
            | Self::Roster { .. }
            | Self::IntervalLimits { .. }
            | Self::OtherRun(_)
            | Self::Receipt { .. }
            | Self::NoLedger(_)
            | Self::NotYours { .. } => Culprit::Usage,
            Self::TooLarge(_) => Culprit::Unsupported,
            Self::Chain(_) | Self::Task => Culprit::Internal,
        }
    }

    /// Stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Interval(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Key(_) => "node-key",
            Self::Collect(CollectError::Unavailable { .. }) => "platform-unavailable",
            Self::Collect(_) => "platform-answer",
            Self::Clock(_) => "clock-unreadable",
            Self::Checkpoint(CommitError::Io { .. }) => "checkpoint-unreadable",
            Self::Checkpoint(CommitError::Changed { .. }) => "checkpoint-changed",
            Self::Checkpoint(CommitError::Header { .. }) => "checkpoint-malformed",
            Self::Checkpoint(_) => "checkpoint-refused",
            Self::Path(error) => error.code(),
            Self::Manifest(_) => "manifest-refused",
            Self::Chain(_) => "broken-chain",
            Self::NotLegal { .. } => "not-legal-now",
            Self::NoKeyQuote => "no-key-quote",
            Self::Roster { .. } => "roster-differs",
            Self::IntervalLimits { .. } => "interval-limits",
            Self::OtherRun(_) => "other-run",
            Self::Devices(_) => "devices-differ",
            Self::Receipt { .. } => "receipt-differs",
            Self::NoLedger(_) => "no-ledger",
            Self::TooLarge(_) => "export-too-large",
            Self::NotYours { .. } => "not-yours",
            Self::StateCap { .. } => "state-cap",
            Self::Failed => "state-failed",
            Self::Task => "task-stopped",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Interval(error) => error.remedy(),
            Self::Store(error) => error.remedy(),
            Self::Collect(CollectError::Unavailable { remedy, .. }) => remedy,
            Self::Collect(_) => "update the driver or kernel, and report this answer",
            Self::Clock(_) => "mount /proc in the service's sandbox",
            Self::Path(error) => error.remedy(),
            Self::Checkpoint(CommitError::Io { .. }) => {
                "let the service's user read the file (its unit has a /tmp of its own), then report the checkpoint again; \
                 the run goes on meanwhile"
            }
            Self::Checkpoint(_) => "write the file completely, then report the checkpoint again; the run goes on",
            Self::Manifest(_) => "build the manifest from GET /v1/node of every node",
            Self::NotLegal { .. } => "look at `weighbridged status`",
            Self::NoKeyQuote => "post a time authority's nonce or a beacon round to /v1/challenge first",
            Self::Roster { .. } => "build this node's row from its GET /v1/node, after its last challenge",
            Self::IntervalLimits { .. } => {
                "change `interval_millis` in the manifest, or the limits in the configuration"
            }
            Self::OtherRun(_) => "end that run first",
            Self::Devices(_) => "bring the devices back (`nvidia-smi`, `weighbridged doctor`), then start again",
            Self::Receipt { .. } => "ask for a receipt or a timestamp over what POST /v1/end answered",
            Self::NoLedger(_) => "start a run first, or name another --node-key",
            Self::TooLarge(_) => "raise `attest_every_intervals` or `interval_millis` for runs of this length",
            Self::NotYours { .. } => "run `weighbridged export --witness` as that user or as root",
            Self::StateCap { .. } => {
                "raise `state_max_bytes` and reload, or export this node, stop it and move its state folder away; intervals \
                 are sealed and quoted meanwhile"
            }
            Self::Failed => "free or mend the disk; the service ends and is started again by systemd",
            Self::Key(_) | Self::Chain(_) | Self::Task => "report this with the service's log",
        }
    }

    /// The same for a caller.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        let detail = match self {
            // Its own text ends in the remedy, which a problem carries apart.
            Self::Collect(CollectError::Unavailable { what, why, .. }) => format!("{what} is unavailable: {why}"),
            _ => chain_text(self),
        };
        Problem::new(self.culprit(), self.code(), detail, self.remedy())
    }
}

/// An error and its sources in one line; our errors do not repeat their source.
#[must_use]
pub fn chain_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

const fn state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Waiting => "waiting for a run",
        NodeState::Running => "in a run",
        NodeState::Ended => "done with its run",
    }
}

fn devices_text(devices: &[Device]) -> String {
    devices.iter().map(|device| device.0.to_string()).collect::<Vec<_>>().join(", ")
}
