//! **Duty.** Why an audit was not planned or drawn, each with who has to act. **Spec.** HOUSE §5.

use std::path::PathBuf;

use thiserror::Error;
use weighbridge_attest_types::Culprit;
use weighbridge_audit::{OpeningError, TraceCommitError, WindowError};

use crate::audit_policy::AuditPolicyError;

/// What `audit plan` and `audit draw` can meet beside files that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditFailure {
    /// A file that is no audit policy.
    #[error("{} is no audit policy", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: AuditPolicyError,
    },
    /// A trace that is not committed.
    #[error("{} cannot be committed", path.display())]
    Commit {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: TraceCommitError,
    },
    /// Traces that make no window.
    #[error("the traces make no window")]
    Window(#[from] TraceCommitError),
    /// Events that do not come in their order.
    #[error("nothing was drawn")]
    Order(#[from] WindowError),
    /// A draw that does not open.
    #[error("a draw does not open")]
    Opening(#[from] OpeningError),
    /// A secret of another length.
    #[error("{} has {found} bytes; a secret has 32", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
}

impl AuditFailure {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Policy { source, .. } => source.culprit(),
            Self::Commit { source, .. } | Self::Window(source) => source.culprit(),
            Self::Order(source) => source.culprit(),
            // The window that was challenged is the one that is opened: only a fault of ours tells them apart.
            Self::Opening(_) => Culprit::Internal,
            Self::Secret { .. } => Culprit::Usage,
        }
    }

    /// Stable code for `--format json`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Policy { .. } => "audit-policy-refused",
            _ => "audit-not-drawn",
        }
    }

    /// What the person can do about it.
    #[must_use]
    pub const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Policy { .. } => Some("docs/schemas/audit-policy-v1.schema.json says what a policy holds"),
            Self::Commit { .. } => Some("capture the step again, or cut its long products"),
            Self::Window(_) => Some("name each trace once, in the order of steps and ranks"),
            Self::Order(WindowError::Mode(_)) => {
                Some("units are replayed before their tiles are drawn; use a policy of the mode `committed`")
            }
            Self::Order(WindowError::RandomnessSource) => {
                Some("give the randomness that the policy names: nothing, --nonce, or --beacon-value with --round")
            }
            Self::Order(WindowError::OverCap { .. }) => Some("put fewer traces into one window"),
            Self::Order(_) => Some("commit first, have it witnessed, and only then take the challenge"),
            Self::Opening(_) => None,
            Self::Secret { .. } => Some("make one: head -c 32 /dev/urandom"),
        }
    }
}
