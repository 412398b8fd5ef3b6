//! **Duty.** The order of events of an audit as types: commit, challenge, respond. **Knows** roots, instants and the
//! policy. **Does not know** clocks, signatures or tensors: who vouches for an instant or a beacon round is appraisal's.
//! **Spec.** PROTOCOL §5 (order of events, three modes, randomness grades); decision 0049.
//!
//! ```text
//! WindowChain::commit ─▶ CommittedWindow ─ challenge ─▶ ChallengedWindow ─ close ─▶ ClosedWindow
//!   one root per index     no seed yet                    seed, draws, deadline       counts: unanswered = failed
//!
//! replayed:  ChallengedWindow ─ commit_traces ─▶ TracedWindow ─ challenge ─▶ ReplayedWindow ─ close ─▶ ClosedWindow
//!              draws of units                      one root per unit           draws of tiles
//! ```
//!
//! Each arrow takes its value away: a window cannot be challenged twice, and no seed exists before a root is committed,
//! because only these functions make one. A chain that has seen an index refuses a second root for it.

mod chain;
mod policy;
mod round;
mod traces;

pub use chain::{ChallengedWindow, ClosedWindow, CommittedWindow, Outcome, Response, StratumCount, WindowChain};
pub use policy::{AuditMode, AuditPolicy, MAX_STRATA, RandomnessRule, Stratum, WindowPolicyError};
pub use round::{BeaconChain, RandomnessGrade, Revealed};
pub use traces::{ReplayedWindow, TraceCommitment, TracedWindow};

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Domain, Flops, PoseidonDigest, UnixMillis};
use weighbridge_commitments::{poseidon, salt_elements};

use crate::flop_tree::Node;
use crate::statistics::StatisticsError;

/// What is published of a window's tree: it binds digest, sums and keys of the root, and hides them behind a salt.
///
/// `Poseidon(Domain::Window, [window index, root 13, salt 4])`.
#[must_use]
pub fn window_root(index: u64, root: &Node, salt: &[u8; 28]) -> PoseidonDigest {
    let mut elements = vec![index];
    elements.extend(root.elements());
    elements.extend(salt_elements(salt));
    poseidon(Domain::Window, &elements)
}

/// Events that do not come in this order, or not in time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WindowError {
    /// Lawful, and not there yet.
    #[error("audit mode `{0}` is described and not implemented")]
    NotImplemented(&'static str),
    /// The policy makes no sense.
    #[error("the audit policy makes no sense")]
    Policy(#[from] WindowPolicyError),
    /// A root for an index that has one, or an index that is not the next.
    #[error("window {found} cannot be committed: window {expected} is the next, and each has one root")]
    Index {
        /// The next one.
        expected: u64,
        /// The one offered.
        found: u64,
    },
    /// Keys that do not grow from window to window.
    #[error("window {index} holds keys at or before the last window's: work is counted once")]
    Keys {
        /// The window.
        index: u64,
    },
    /// Work that another node declares too, or may.
    #[error("window {index} holds work of ranks that are another node's: work is counted once")]
    Ranks {
        /// The window.
        index: u64,
    },
    /// Windows of different runs, or under different policies.
    #[error("the windows are not of one run under one policy")]
    Runs,
    /// Draws from randomness that the prover had in hand.
    #[error("the lowest randomness is `{}`: nothing was sampled", .0.as_str())]
    NotASample(RandomnessGrade),
    /// Draws that do not hold: no figure follows from the others.
    #[error("{0} draws were refused: what they show has to be explained first")]
    Refused(u64),
    /// A ledger that declares something else than the windows hold.
    #[error("the ledgers declare {declared}, and the windows hold {found}")]
    Declared {
        /// By the ledgers.
        declared: Flops,
        /// In the windows.
        found: Flops,
    },
    /// Nothing follows from the draws.
    #[error("nothing can be concluded")]
    Statistics(#[from] StatisticsError),
    /// More weight than one window may have: the bound rests on the cap.
    #[error("window {index} holds {found}; the cap is {cap}")]
    OverCap {
        /// The window.
        index: u64,
        /// Its weight, in FLOP or entries of links.
        found: Flops,
        /// The cap, in the same unit.
        cap: Flops,
    },
    /// The published root is not that of the tree.
    #[error("window {index} was published with another root than its tree has")]
    Root {
        /// The window.
        index: u64,
    },
    /// The root was witnessed before it was quoted, or not until the challenge was out.
    #[error("the commitment was witnessed at {} ms; it had to be after {} ms and before the challenge at {} ms", witnessed.0, quoted.0, revealed.0)]
    Witnessed {
        /// When the head with the root was quoted, at the earliest.
        quoted: UnixMillis,
        /// When somebody else saw it.
        witnessed: UnixMillis,
        /// When the challenge became known.
        revealed: UnixMillis,
    },
    /// Another round than the rule names.
    #[error("beacon round {found}; by the rule it is {expected}")]
    Round {
        /// By the rule.
        expected: u64,
        /// As offered.
        found: u64,
    },
    /// Randomness of another kind or source than the policy's.
    #[error("the randomness is not of the kind and source that the policy names")]
    RandomnessSource,
    /// A draw that does not exist, or twice the same.
    #[error("a response to draw {draw} of stratum {stratum}: there is no such draw, or it has one already")]
    Response {
        /// Stratum.
        stratum: u8,
        /// Draw.
        draw: u32,
    },
    /// Two traces for one unit, or a key that is no unit's.
    #[error("a work unit has two traces, or a trace is named by a key that is no work unit's")]
    Trace,
    /// The second challenge was known before the last trace was due.
    #[error("the second challenge was known at {} ms, and traces were due until {} ms", revealed.0, deadline.0)]
    Early {
        /// When it became known.
        revealed: UnixMillis,
        /// When the last trace was due.
        deadline: UnixMillis,
    },
    /// Windows that are missing, twice there, or were never committed.
    #[error(
        "{found} different closed windows for {committed} committed ones: each must be there once, answered or not"
    )]
    Windows {
        /// How many were committed, over all nodes.
        committed: u64,
        /// How many different ones are there.
        found: u64,
    },
    /// Windows with other strata.
    #[error("the windows do not have the same stratum, with one cap and one number of draws")]
    Strata,
    /// The mode has no such step.
    #[error("the audit mode `{0}` has no such step")]
    Mode(&'static str),
}

impl WindowError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::NotImplemented(_) => Culprit::Unsupported,
            Self::Policy(_) | Self::Response { .. } => Culprit::Malformed,
            Self::Mode(_) => Culprit::Usage,
            Self::NotASample(_) | Self::Refused(_) => Culprit::Rejected,
            Self::Statistics(error) => error.culprit(),
            _ => Culprit::Untrusted,
        }
    }
}

#[cfg(test)]
mod tests;
