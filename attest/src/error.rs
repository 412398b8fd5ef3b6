//! **Duty.** Why evidence was refused: one class, and every failure of that class that was found. **Does not know** exit
//! codes; those derive from [`Culprit`]. **Spec.** EVIDENCE §0, PROTOCOL §6 and §8.

use std::fmt;

use thiserror::Error;
use weighbridge_attest_types::Culprit;

/// One failed check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable, kebab-case; scripts may rely on it.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// All failures of one refusal: never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    first: Failure,
    rest: Vec<Failure>,
}

/// Why evidence was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The bytes are not what their kind promises.
    #[error("malformed evidence: {0}")]
    Malformed(Failures),
    /// Lawful, but nothing here has learned it.
    #[error("unsupported evidence: {0}")]
    Unsupported(Failures),
    /// A signature, chain, date, revocation or inner binding fails, or an endorsement does not fit.
    #[error("untrusted evidence: {0}")]
    Untrusted(Failures),
    /// Genuine, but about something else than it was asked for.
    #[error("evidence about something else: {0}")]
    Unbound(Failures),
    /// An endorsement that is needed to decide was not given.
    #[error("no verdict without more endorsements: {0}")]
    Unavailable(Failures),
    /// Genuine, and refused by a rule that no policy can waive.
    #[error("rejected evidence: {0}")]
    Rejected(Failures),
}

impl EvidenceError {
    /// Code of the first failure.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.failures().first.code
    }

    /// Every failure found in this class.
    #[must_use]
    pub const fn failures(&self) -> &Failures {
        match self {
            Self::Malformed(all)
            | Self::Unsupported(all)
            | Self::Untrusted(all)
            | Self::Unbound(all)
            | Self::Unavailable(all)
            | Self::Rejected(all) => all,
        }
    }

    /// Who has to act. Evidence about something else is the signer's affair inside a bundle; a caller that asked for a
    /// value of its own choice (`appraise`) treats [`EvidenceError::Unbound`] as rejected (PROTOCOL §6).
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Malformed(_) => Culprit::Malformed,
            Self::Unsupported(_) => Culprit::Unsupported,
            Self::Untrusted(_) | Self::Unbound(_) => Culprit::Untrusted,
            Self::Unavailable(_) => Culprit::Unavailable,
            Self::Rejected(_) => Culprit::Rejected,
        }
    }

    /// The worst class among several members' refusals, with all failures of that class, each naming its member.
    pub(crate) fn worst(refusals: &[(String, Self)]) -> Option<Self> {
        let rank = refusals.iter().map(|(_, error)| error.rank()).min()?;
        let worst = refusals.iter().find(|(_, error)| error.rank() == rank)?.1.class();
        let failures = refusals.iter().filter(|(_, error)| error.rank() == rank).flat_map(|(member, error)| {
            let named = move |failure: &Failure| Failure::new(failure.code, format!("{member}: {}", failure.message));
            error.failures().iter().map(named)
        });
        Failures::collect(failures).map(worst)
    }

    /// The order in which PROTOCOL §0 and §6 name the classes: what comes first hides what comes later.
    const fn rank(&self) -> u8 {
        match self {
            Self::Malformed(_) => 0,
            Self::Unsupported(_) => 1,
            Self::Untrusted(_) => 2,
            Self::Unbound(_) => 3,
            Self::Unavailable(_) => 4,
            Self::Rejected(_) => 5,
        }
    }

    const fn class(&self) -> fn(Failures) -> Self {
        match self {
            Self::Malformed(_) => Self::Malformed,
            Self::Unsupported(_) => Self::Unsupported,
            Self::Untrusted(_) => Self::Untrusted,
            Self::Unbound(_) => Self::Unbound,
            Self::Unavailable(_) => Self::Unavailable,
            Self::Rejected(_) => Self::Rejected,
        }
    }
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Failures {
    /// In the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Failure> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Whether a code is among them.
    #[must_use]
    pub fn contains(&self, code: &str) -> bool {
        self.iter().any(|failure| failure.code == code)
    }

    /// One and more.
    pub(crate) const fn of(first: Failure, rest: Vec<Failure>) -> Self {
        Self { first, rest }
    }

    /// `None` when there is nothing to report.
    pub(crate) fn collect(failures: impl IntoIterator<Item = Failure>) -> Option<Self> {
        let mut failures = failures.into_iter();
        let first = failures.next()?;
        Some(Self::of(first, failures.collect()))
    }
}

impl From<Failure> for Failures {
    fn from(first: Failure) -> Self {
        Self::of(first, Vec::new())
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.first.message, self.first.code)?;
        self.rest.iter().try_for_each(|failure| write!(f, "; {} [{}]", failure.message, failure.code))
    }
}

/// Refuses as untrusted when any check failed.
pub(crate) fn untrusted_if_any(failures: Vec<Failure>) -> Result<(), EvidenceError> {
    Failures::collect(failures).map_or(Ok(()), |all| Err(EvidenceError::Untrusted(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_class_hides_the_others_and_lists_all_its_failures() {
        let untrusted = |code| EvidenceError::Untrusted(Failure::new(code, "fails").into());
        let refusals = vec![
            ("cpu".to_owned(), EvidenceError::Unavailable(Failure::new("no-collateral", "none").into())),
            ("gpu 0".to_owned(), untrusted("first")),
            ("gpu 1".to_owned(), untrusted("second")),
        ];
        let worst = EvidenceError::worst(&refusals).unwrap();
        assert_eq!(worst.to_string(), "untrusted evidence: gpu 0: fails [first]; gpu 1: fails [second]");
        assert_eq!((worst.code(), worst.culprit()), ("first", Culprit::Untrusted));
        assert_eq!(EvidenceError::worst(&[]), None);
    }
}
