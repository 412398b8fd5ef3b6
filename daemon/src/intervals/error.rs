//! **Duty.** Why an event of a run is refused, whose turn it is and what to do. **Spec.** HOUSE §5.

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use super::{MAX_CHECKPOINTS, MAX_RANKS, MAX_WINDOWS, UnitKey};

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntervalError {
    /// The wall clock is before the end of the last interval.
    #[error("the wall clock went back: it is {by_millis} ms before the end of the last interval")]
    ClockWentBack {
        /// By how much.
        by_millis: u64,
    },
    /// Another boot, or a boot-time clock that runs backwards.
    #[error("the boot-time clock or boot id changed under a running daemon")]
    ForeignBoot,
    /// A key that does not follow the last one.
    #[error("work unit {found} does not follow {last}, which was acknowledged for this rank")]
    UnitOrder {
        /// Last acknowledged.
        last: UnitKey,
        /// What came.
        found: UnitKey,
    },
    /// The same key with another amount.
    #[error("work unit {0} was acknowledged with another amount of FLOP")]
    UnitConflict(UnitKey),
    /// A step of an attempt before the last one.
    #[error("step {found:?} (attempt, step) is of an earlier attempt than {last:?}, which was acknowledged")]
    StepOrder {
        /// Last acknowledged.
        last: (u16, u64),
        /// What came.
        found: (u16, u64),
    },
    /// More FLOP than a reading can carry.
    #[error("this work unit would take the interval to 2^56 GFLOP or more")]
    TooMuchWork,
    /// Too many ranks.
    #[error("a node meters at most {MAX_RANKS} ranks")]
    TooManyRanks,
    /// Too many checkpoints.
    #[error("an interval carries at most {MAX_CHECKPOINTS} checkpoints")]
    TooManyCheckpoints,
    /// A window of a run whose manifest announces no audit.
    #[error("the run's manifest announces no audit, so that no window can be committed")]
    NotAudited,
    /// A window that does not follow the last one.
    #[error("window {found} cannot be committed: window {expected} is the next of this node key")]
    WindowOrder {
        /// The next one.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The same window with another root.
    #[error("window {0} was committed with another root, and each has one")]
    WindowConflict(u64),
    /// Too many windows.
    #[error("an interval carries at most {MAX_WINDOWS} windows")]
    TooManyWindows,
    /// An interval shorter than the shortest lawful one.
    #[error("the interval may be sealed in {wait_millis} ms")]
    TooEarly {
        /// How long to wait.
        wait_millis: u64,
    },
    /// The run is over.
    #[error("the run has ended")]
    Ended,
    /// A sum that cannot be.
    #[error("an interval's facts do not add up: {0}")]
    Broken(&'static str),
}

impl IntervalError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::ClockWentBack { .. } | Self::TooEarly { .. } => Culprit::Unavailable,
            Self::UnitOrder { .. }
            | Self::UnitConflict(_)
            | Self::StepOrder { .. }
            | Self::TooMuchWork
            | Self::TooManyRanks
            | Self::TooManyCheckpoints
            | Self::NotAudited
            | Self::WindowOrder { .. }
            | Self::WindowConflict(_)
            | Self::TooManyWindows
            | Self::Ended => Culprit::Usage,
            Self::ForeignBoot | Self::Broken(_) => Culprit::Internal,
        }
    }

    /// Stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ClockWentBack { .. } => "clock-went-back",
            Self::ForeignBoot => "foreign-boot",
            Self::UnitOrder { .. } => "work-unit-order",
            Self::UnitConflict(_) => "work-unit-conflict",
            Self::StepOrder { .. } => "step-order",
            Self::TooMuchWork => "too-much-work",
            Self::TooManyRanks => "too-many-ranks",
            Self::TooManyCheckpoints => "too-many-checkpoints",
            Self::NotAudited => "window-not-announced",
            Self::WindowOrder { .. } => "window-order",
            Self::WindowConflict(_) => "window-conflict",
            Self::TooManyWindows => "too-many-windows",
            Self::TooEarly { .. } => "interval-too-short",
            Self::Ended => "run-ended",
            Self::Broken(_) => "broken-invariant",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::ClockWentBack { .. } => {
                "set the clock right; work that was acknowledged is kept, and this call may be repeated then"
            }
            Self::UnitOrder { .. } | Self::StepOrder { .. } => {
                "report each rank in ascending order of attempt, step, micro-batch; after a restart raise the attempt"
            }
            Self::UnitConflict(_) => "repeat a work unit unchanged, or report the next one",
            Self::TooMuchWork => "look at the FLOP rule: no node computes that in an interval",
            Self::TooManyRanks => "number ranks by processes, not by work units",
            Self::TooManyCheckpoints => "report checkpoints as they appear, not in bulk",
            Self::NotAudited => "name the digest of an audit policy in the manifest before the run starts",
            Self::WindowOrder { .. } => "commit windows in their order, each once; a new node key counts from 0 again",
            Self::WindowConflict(_) => "repeat a window unchanged, or commit the next one",
            Self::TooManyWindows => "commit windows as they close, not in bulk",
            Self::TooEarly { .. } => "try again",
            Self::Ended => "start another run under a new node key",
            Self::ForeignBoot | Self::Broken(_) => "report this with the service's log",
        }
    }
}
