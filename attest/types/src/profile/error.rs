//! **Duty.** Why a threshold profile is refused, and whose fault it is. **Spec.** HOUSE §5; COMPUTE §1 item 4.

use thiserror::Error;

use crate::{Culprit, Flops};

/// Why a profile is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Not the schema.
    #[error("profile does not parse")]
    Json(#[source] serde_json::Error),
    /// Longer than any profile.
    #[error("profile has {0} bytes; at most {max} are read", max = super::MAX_PROFILE_BYTES)]
    TooLong(usize),
    /// Too small to be a law.
    #[error("profile `{id}`: threshold {value} FLOP is below 10^20; only status `demonstration` may be")]
    TooSmall {
        /// Profile.
        id: String,
        /// Its threshold.
        value: Flops,
    },
    /// A demonstration that names a law, or a field that makes no sense.
    #[error("profile `{id}`: {why}")]
    Field {
        /// Profile.
        id: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl ProfileError {
    /// Profiles come from files that the person named.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Usage
    }
}
