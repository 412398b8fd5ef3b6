//! **Duty.** Errors as RFC 9457 problems: what happened, whose turn it is, what to do. **Does not know** any cause.
//! **Spec.** ECOSYSTEM §4 (HTTP); PROTOCOL §8 (culprits).

use std::fmt;

use serde::{Deserialize, Serialize};
use weighbridge_attest_types::Culprit;

/// Media type of a problem.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";
const TYPE_PREFIX: &str = "tag:weighbridge,2026:problem/";

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Identifies the code; not a place to fetch.
    #[serde(rename = "type")]
    pub kind: String,
    /// The culprit's word.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, for a person.
    pub detail: String,
    /// Stable reason code.
    pub code: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A problem of one culprit.
    #[must_use]
    pub fn new(culprit: Culprit, code: &str, detail: String, remedy: &str) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{code}"),
            title: culprit.verdict().to_owned(),
            status: status_of(culprit),
            detail,
            code: code.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    /// The same problem under another HTTP status, for what HTTP itself names better (404, 405, 413).
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Who has to act; read from the title, and for a foreign title from the class of the status.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        let known = CULPRITS.into_iter().find(|culprit| culprit.verdict() == self.title);
        known.unwrap_or(if self.status >= 500 { Culprit::Unavailable } else { Culprit::Usage })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}); {}", self.detail, self.code, self.remedy)
    }
}

impl std::error::Error for Problem {}

const CULPRITS: [Culprit; 7] = [
    Culprit::Internal,
    Culprit::Usage,
    Culprit::Malformed,
    Culprit::Unsupported,
    Culprit::Untrusted,
    Culprit::Rejected,
    Culprit::Unavailable,
];

const fn status_of(culprit: Culprit) -> u16 {
    match culprit {
        Culprit::Internal => 500,
        Culprit::Usage => 409,
        Culprit::Malformed => 400,
        Culprit::Unsupported => 501,
        Culprit::Untrusted => 403,
        Culprit::Rejected => 422,
        Culprit::Unavailable => 503,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_culprit_survives_the_wire() {
        for culprit in CULPRITS {
            let problem = Problem::new(culprit, "some-code", "it broke".to_owned(), "mend it");
            let text = serde_json::to_string(&problem).unwrap();
            assert_eq!(serde_json::from_str::<Problem>(&text).unwrap().culprit(), culprit);
        }
    }

    #[test]
    fn a_problem_reads_as_a_sentence_with_its_remedy() {
        let problem = Problem::new(Culprit::Unavailable, "clock-went-back", "the clock went back".to_owned(), "fix it");
        assert_eq!(problem.to_string(), "the clock went back (clock-went-back); fix it");
        assert_eq!((problem.status, problem.kind.as_str()), (503, "tag:weighbridge,2026:problem/clock-went-back"));
    }
}
