//! **Duty.** The one object that `--format json` prints. **Spec.** PROTOCOL §8:
//! `{"verdict", "reasons": [{"code", "message"}…], "claims": {…}}`.

use serde::Serialize;
use serde_json::{Map, Value, json};
use weighbridge_appraisal::{Check, Outcome};
use weighbridge_attest_types::Culprit;

use crate::cli::console::Console;
use crate::error::CliError;

/// One reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// Stable code.
    pub(super) code: String,
    /// A sentence.
    pub(super) message: String,
}

/// The object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Object {
    verdict: &'static str,
    reasons: Vec<Reason>,
    claims: Value,
}

impl Object {
    /// No claims.
    pub(super) fn nothing() -> Value {
        Value::Object(Map::new())
    }

    pub(super) fn accepted(claims: Value) -> Self {
        Self { verdict: "accepted", reasons: Vec::new(), claims }
    }

    pub(super) fn refused(culprit: Culprit, reasons: Vec<Reason>, claims: Value) -> Self {
        Self { verdict: culprit.verdict(), reasons, claims }
    }

    pub(super) fn print(&self, console: &mut Console<'_>) -> Result<(), CliError> {
        console.print(&pretty(self, "the answer")?)
    }
}

/// JSON over several lines, with a line end.
pub(super) fn pretty(value: &impl Serialize, what: &'static str) -> Result<String, CliError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|source| CliError::Json(what, source))?;
    text.push('\n');
    Ok(text)
}

/// What a verification claims. Without a report every figure is absent: nobody can read a bracket off a bundle that was
/// not accepted.
pub(super) fn claims(outcome: &Outcome) -> Value {
    let report = outcome.report.as_ref();
    json!({
        "warning": report.map(|report| &report.warning),
        "bracket": report.map(|report| &report.bracket),
        "profiles": report.map(|report| report.profiles.as_slice()).unwrap_or_default(),
        "grade": report.map(|report| report.bracket.grade),
        "checks": outcome.checks,
    })
}

/// All failed checks.
pub(super) fn reasons(outcome: &Outcome) -> Vec<Reason> {
    let reason =
        |check: &Check| Reason { code: check.code.to_owned(), message: format!("{}: {}", check.path, check.message) };
    outcome.failures().map(reason).collect()
}
