//! **Duty.** What a check is, how checks are gathered, and which class of failure an outcome as a whole has.
//! **Knows** paths, codes and culprits. **Does not know** what any check looks at.
//! **Spec.** PROTOCOL §6 (pass, fail, unknown, skipped), §8 (exit codes); docs/CHECKS.md.

use std::collections::BTreeSet;

use serde::Serialize;
use weighbridge_attest_types::{Culprit, ProfileOrigin, ThresholdProfile, ThresholdReport};

use crate::report::judge_profiles;
use crate::text;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It holds.
    Pass,
    /// It does not hold; the bundle is not accepted.
    Fail,
    /// What it needs is absent: the report says so and no verdict leans on it.
    Unknown,
    /// It was not made, because policy waives it or because what it looks at failed an earlier check.
    Skipped,
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Member of the bundle, or `bundle` for the container itself.
    pub path: String,
    /// Stable code.
    pub code: &'static str,
    /// Result.
    pub status: CheckStatus,
    /// A sentence.
    pub message: String,
    /// Who has to act; present exactly when the check failed.
    pub culprit: Option<Culprit>,
}

/// All checks of one bundle and, if none failed, its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Checks in the order in which they were made.
    pub checks: Vec<Check>,
    /// Present exactly when no check failed.
    pub report: Option<ThresholdReport>,
}

impl Outcome {
    /// `None` = accepted; otherwise the class that failed first in the order of the procedure: ours, malformed or
    /// unsupported, untrusted, unavailable, rejected.
    #[must_use]
    pub fn culprit(&self) -> Option<Culprit> {
        self.failures().filter_map(|check| check.culprit).min_by_key(|culprit| rank(*culprit))
    }

    /// Weighs the run against thresholds of the reader's own as well. Their lines are marked, and no bundle holds them.
    pub fn judge_also(&mut self, profiles: &[ThresholdProfile]) {
        if let Some(report) = &mut self.report {
            judge_profiles(report, profiles, ProfileOrigin::Reader);
        }
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.status == CheckStatus::Fail)
    }
}

/// Bytes before signatures, signatures before endorsements, policy last: a later class says nothing about a bundle
/// that fails an earlier one.
pub(crate) const fn rank(culprit: Culprit) -> u8 {
    match culprit {
        Culprit::Internal => 0,
        Culprit::Usage => 1,
        Culprit::Malformed => 2,
        Culprit::Unsupported => 3,
        Culprit::Untrusted => 4,
        Culprit::Unavailable => 5,
        Culprit::Rejected => 6,
    }
}

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    status: CheckStatus,
    culprit: Option<Culprit>,
    message: String,
}

impl Finding {
    pub(crate) fn fail(culprit: Culprit, message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Fail, culprit: Some(culprit), message: message.into() }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::fail(Culprit::Malformed, message)
    }

    pub(crate) fn untrusted(message: impl Into<String>) -> Self {
        Self::fail(Culprit::Untrusted, message)
    }

    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Unknown, culprit: None, message: message.into() }
    }

    pub(crate) fn skipped(message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Skipped, culprit: None, message: message.into() }
    }
}

/// The sentence of a check that holds, or the finding.
pub(crate) type CheckResult = Result<String, Finding>;

/// Gathers checks; nothing can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    list: Vec<Check>,
    /// Bytes of all sentences.
    said: usize,
}

/// Characters of one sentence. The longest honest one names eight devices.
const MAX_MESSAGE: usize = 2_000;
/// Bytes of all sentences: ten thousand intervals with evidence stay below.
const MAX_SAID: usize = 8 * 1024 * 1024;

impl Checks {
    /// Writes a check down and says whether it did not fail.
    pub(crate) fn record(&mut self, path: &str, code: &'static str, result: CheckResult) -> bool {
        let (status, culprit, message) = match result {
            Ok(message) => (CheckStatus::Pass, None, message),
            Err(Finding { status, culprit, message }) => (status, culprit, message),
        };
        self.push(Check { path: path.to_owned(), code, status, message, culprit });
        status != CheckStatus::Fail
    }

    /// What a bundle makes us say about it stays small: each sentence, and all of them together.
    fn push(&mut self, mut check: Check) {
        check.message = text::cut(check.message, MAX_MESSAGE);
        self.said = self.said.saturating_add(check.message.len());
        if self.said > MAX_SAID {
            check.message = "…".to_owned();
        }
        self.list.push(check);
    }

    pub(crate) fn any_failed(&self) -> bool {
        self.list.iter().any(|check| check.status == CheckStatus::Fail)
    }

    /// Takes over what failed at another instant and not here.
    pub(crate) fn adopt_failures(&mut self, other: Self, when: &str) {
        let failed = |check: &Check| check.status == CheckStatus::Fail;
        let mine = self.list.iter().filter(|check| failed(check));
        let known: BTreeSet<_> = mine.map(|check| (check.path.clone(), check.code)).collect();
        for mut check in other.list.into_iter().filter(failed) {
            if !known.contains(&(check.path.clone(), check.code)) {
                check.message = format!("{when}: {}", check.message);
                self.push(check);
            }
        }
    }

    /// Ends the gathering. A report leaves this room only when nothing failed, and nothing is accepted without one.
    pub(crate) fn close(mut self, report: Option<ThresholdReport>) -> Outcome {
        let report = report.filter(|_| !self.any_failed());
        if report.is_none() && !self.any_failed() {
            let finding = Finding::fail(Culprit::Internal, "no check failed, and yet no report was issued");
            self.record("bundle", "internal", Err(finding));
        }
        Outcome { checks: self.list, report }
    }

    pub(crate) fn into_list(self) -> Vec<Check> {
        self.list
    }
}

#[cfg(test)]
mod tests;
