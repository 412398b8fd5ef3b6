//! **Duty.** Whose fault an error is; exit codes derive from this alone. **Spec.** PROTOCOL §8.

use serde::{Deserialize, Serialize};

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Culprit {
    /// Us: a broken invariant.
    Internal,
    /// The person at the keyboard, or the configuration file.
    Usage,
    /// The bytes.
    Malformed,
    /// Lawful bytes that we have not learned.
    Unsupported,
    /// The signer, or genuine evidence about something else.
    Untrusted,
    /// Policy says no.
    Rejected,
    /// The world, for now.
    Unavailable,
}

impl Culprit {
    /// The process exit code (PROTOCOL §8).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Malformed | Self::Unsupported => 3,
            Self::Untrusted => 4,
            Self::Rejected => 5,
            Self::Unavailable => 6,
        }
    }

    /// The word used in `--format json` as the verdict.
    #[must_use]
    pub const fn verdict(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Untrusted => "untrusted",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
        }
    }
}
