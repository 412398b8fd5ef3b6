//! **Duty.** What a statement says about one threshold: all that a report would have a reader act on. **Knows** a profile's
//! line. **Does not know** signatures. **Spec.** docs/predicates/compute-threshold-v1.md; decision 0061.

use serde::{Deserialize, Serialize};
use weighbridge_attest_types::{
    ClockLine, Compare, DeclaredVerdict, Flops, Grade, ProfileLine, Trigger, UnixMillis, Verdict,
};

use crate::instant;
use crate::strict;

/// One threshold: the verdict about the run never goes without the second one and the time to notify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatedVerdict {
    pub(crate) grade: Grade,
    pub(crate) profile: String,
    version: u32,
    pub(crate) status: String,
    threshold: Flops,
    compare: Compare,
    pub(crate) verdict: Verdict,
    pub(crate) scope: String,
    why: String,
    /// Null where the threshold applies to every run.
    #[serde(deserialize_with = "stated")]
    pub(crate) condition: Option<String>,
    #[serde(deserialize_with = "strict::optional_object")]
    pub(crate) declared: Option<StatedDeclared>,
    #[serde(deserialize_with = "strict::optional_object")]
    pub(crate) clock: Option<StatedClock>,
}

/// The run with the provider's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatedDeclared {
    pub(crate) grade: Grade,
    pub(crate) verdict: Verdict,
    pub(crate) scope: String,
    lower: Flops,
    #[serde(deserialize_with = "stated")]
    upper: Option<Flops>,
    why: String,
}

/// The time to notify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StatedClock {
    pub(crate) grade: Grade,
    #[serde(deserialize_with = "stated")]
    trigger: Option<Trigger>,
    #[serde(deserialize_with = "stated")]
    triggered_at: Option<String>,
    #[serde(deserialize_with = "stated")]
    pub(crate) deadline: Option<String>,
    /// Whether a time is running is not known.
    pub(crate) is_unsure: bool,
    why: String,
}

/// A field that is always there: null is said, and leaving it out says nothing.
fn stated<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

impl StatedVerdict {
    pub(super) fn of(line: &ProfileLine) -> Self {
        Self {
            grade: line.grade,
            profile: line.id.clone(),
            version: line.version,
            status: line.status.clone(),
            threshold: line.threshold,
            compare: line.compare,
            verdict: line.verdict,
            scope: line.scope.clone(),
            why: line.why.text.clone(),
            condition: line.condition.as_ref().map(|words| words.text.clone()),
            declared: line.declared.as_ref().map(StatedDeclared::of),
            clock: line.clock.as_ref().map(StatedClock::of),
        }
    }

    /// Grades of all that is said here.
    pub(super) fn grades(&self) -> impl Iterator<Item = Grade> {
        let declared = self.declared.as_ref().map(|line| line.grade);
        let clock = self.clock.as_ref().map(|line| line.grade);
        [Some(self.grade), declared, clock].into_iter().flatten()
    }
}

impl StatedDeclared {
    fn of(line: &DeclaredVerdict) -> Self {
        Self {
            grade: line.grade,
            verdict: line.verdict,
            scope: line.scope.clone(),
            lower: line.lower,
            upper: line.upper,
            why: line.why.text.clone(),
        }
    }
}

impl StatedClock {
    fn of(line: &ClockLine) -> Self {
        let instant = |at: Option<UnixMillis>| at.map(instant::rfc3339);
        Self {
            grade: line.grade,
            trigger: line.trigger,
            triggered_at: instant(line.triggered_at),
            deadline: instant(line.deadline),
            is_unsure: line.is_unsure,
            why: line.why.text.clone(),
        }
    }
}
