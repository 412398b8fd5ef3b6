//! **Duty.** An outcome as a person reads it on a terminal: the tree of checks, then the summary or the refusal.
//! **Does not know** what any check means beyond its sentence. **Spec.** PROTOCOL §6 (a refusal lists all failures), §8.

use weighbridge_appraisal::{Check, CheckStatus, Outcome};
use weighbridge_attest_types::{Culprit, ProfileLine, ThresholdReport, Verdict};

use crate::cli::console::Paint;
use crate::figures::{Amount, exact_words};
use crate::instant;
use crate::visible::visible;

/// Widest column of codes: a longer code pushes its own message only.
const CODE_COLUMN: usize = 26;

/// What a verification came to: a report, or whose fault it is that there is none.
pub(super) fn judged(outcome: &Outcome) -> Result<&ThresholdReport, Culprit> {
    match (outcome.culprit(), &outcome.report) {
        (None, Some(report)) => Ok(report),
        (Some(culprit), _) => Err(culprit),
        // Nothing failed and there is no report: appraisal broke its promise, and nothing is accepted on that.
        (None, None) => Err(Culprit::Internal),
    }
}

/// Every check, grouped by what it looks at.
pub(super) fn tree(outcome: &Outcome, paint: Paint) -> String {
    let mut groups: Vec<(&str, Vec<&Check>)> = Vec::new();
    for check in &outcome.checks {
        match groups.iter_mut().find(|(path, _)| *path == check.path) {
            Some((_, checks)) => checks.push(check),
            None => groups.push((&check.path, vec![check])),
        }
    }
    let mut text = String::new();
    for (path, checks) in groups {
        text.push_str(&format!("{}\n", paint.strong(&visible(path))));
        for check in checks {
            let mark = mark(check.status, paint);
            let message = visible(&check.message);
            text.push_str(&format!("  {mark} {:<CODE_COLUMN$} {message}\n", check.code));
        }
    }
    text
}

/// The figures of an accepted bundle. What stands in `warning` comes before everything else, and each figure and verdict
/// carries its grade.
pub(super) fn summary(report: &ThresholdReport, paint: Paint) -> String {
    let mut text = String::new();
    if !report.warning.is_empty() {
        text.push_str(&format!("{}\n", paint.bad(&visible(&report.warning))));
    }
    let about = format!("{} by {}, {}", report.model_id, report.provider, report.phase);
    text.push_str(&format!("model      {} (declared)\n", visible(&about)));
    text.push_str(&format!("run        {}\n", report.genesis));
    text.push_str(&format!("judged     as of {}\n", instant::rfc3339(report.appraised_at)));
    text.push_str(&bracket(report, paint));
    for line in &report.declared {
        text.push_str(&format!("declared   {} ({})\n", visible(&line.sentence), line.grade.as_str()));
    }
    text.push_str(&format!("audit      {}\n", visible(&report.audit)));
    text.push_str("thresholds\n");
    for line in &report.profiles {
        text.push_str(&profile(line, report, paint));
    }
    text
}

fn bracket(report: &ThresholdReport, paint: Paint) -> String {
    let bracket = &report.bracket;
    let grade = bracket.grade.as_str();
    let lower = Amount::of(bracket.lower);
    let Some(upper) = bracket.upper.map(Amount::of) else {
        let least = paint.strong(&format!("at least {lower} FLOP"));
        return format!("compute    {least} ({grade}); no upper figure is known: {}\n", visible(&bracket.upper_basis));
    };
    let between = paint.strong(&format!("between {lower} and {upper} FLOP"));
    let width = bracket.width.map_or_else(|| "not known".to_owned(), |width| Amount::of(width).to_string());
    let clock = visible(&bracket.clock);
    format!(
        "compute    {between} ({grade})\n           exactly {} and {}; width {width}; clock: {clock}\n",
        lower.exact, upper.exact
    )
}

fn profile(line: &ProfileLine, report: &ThresholdReport, paint: Paint) -> String {
    let (word, dress): (_, fn(Paint, &str) -> String) = match line.verdict {
        Verdict::Below => ("below", Paint::good),
        Verdict::Above => ("above", Paint::bad),
        Verdict::Straddles => ("straddles", Paint::bad),
        Verdict::Unknown => ("unknown", Paint::doubt),
    };
    let word = dress(paint, &format!("{word:<9}"));
    let grade = line.grade.as_str();
    let threshold = Amount::of(line.threshold);
    let mut text = format!("  {word} {grade:<10} {} ({threshold} FLOP): {}\n", visible(&line.id), visible(&line.why));
    let bounds = [("lower bound", Some(report.bracket.lower)), ("upper bound", report.bracket.upper)];
    for (name, bound) in bounds {
        if let Some(words) = bound.and_then(|bound| exact_words(bound, line.threshold, line.compare)) {
            text.push_str(&format!("            rounded, the {name} equals the threshold; exactly, it is {words}\n"));
        }
    }
    text
}

/// Why nothing is accepted: all failures, then what can be done about each class.
pub(super) fn refusal(outcome: &Outcome, culprit: Culprit, anchors_named: bool, paint: Paint) -> String {
    let mut text = String::new();
    for check in outcome.failures() {
        let (path, message) = (visible(&check.path), visible(&check.message));
        text.push_str(&format!("{} {path}: {}: {message}\n", mark(check.status, paint), check.code));
    }
    text.push_str(&last_line(outcome, culprit, anchors_named, paint));
    text
}

/// The verdict on the bundle, in one line, with the remedies.
pub(super) fn last_line(outcome: &Outcome, culprit: Culprit, anchors_named: bool, paint: Paint) -> String {
    let (failed, all) = (outcome.failures().count(), outcome.checks.len());
    let verdict = paint.bad(culprit.verdict());
    let mut text = format!("{verdict}: {failed} of {all} checks failed (exit code {})\n", culprit.exit_code());
    let mut classes: Vec<Culprit> = outcome.failures().filter_map(|check| check.culprit).collect();
    classes.push(culprit);
    classes.sort_unstable();
    classes.dedup();
    for class in classes {
        text.push_str(&format!("  {}\n", remedy(class)));
    }
    if culprit == Culprit::Untrusted && !anchors_named {
        text.push_str("  if it was made under development roots, name their folder: --trust-roots DIR\n");
    }
    text
}

fn mark(status: CheckStatus, paint: Paint) -> String {
    match status {
        CheckStatus::Pass => paint.good("✓"),
        CheckStatus::Fail => paint.bad("✗"),
        CheckStatus::Unknown => paint.doubt("?"),
        CheckStatus::Skipped => paint.quiet("–"),
    }
}

const fn remedy(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::Internal => "this is a fault of weighbridge; please report it with the output above",
        Culprit::Usage => "check the command line",
        Culprit::Malformed => "malformed: ask the sender for a fresh copy and compare its SHA-256",
        Culprit::Unsupported => "unsupported: a newer weighbridge may know this form of evidence",
        Culprit::Untrusted => "untrusted: do not rely on this bundle; the provider must send evidence that holds",
        Culprit::Rejected => "rejected: the evidence is genuine, but the policy does not accept what it says",
        Culprit::Unavailable => "unavailable: something the check needs is missing for now; try again with it",
    }
}
