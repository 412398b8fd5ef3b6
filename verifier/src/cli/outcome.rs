//! **Duty.** An outcome as a person reads it on a terminal: the tree of checks, then the summary or the refusal.
//! **Does not know** what any check means beyond its sentence. **Spec.** PROTOCOL §6 (a refusal lists all failures), §8.

use std::collections::BTreeMap;

use weighbridge_appraisal::{Check, CheckStatus, Outcome};
use weighbridge_attest_types::{
    Culprit, ProfileLine, ProfileOrigin, SamplingEntriesLine, SamplingLine, SamplingStratumLine, ThresholdReport,
    Verdict, exact_words,
};

use crate::cli::console::Paint;
use crate::events::events;
use crate::figures::Amount;
use crate::instant;
use crate::prose::{beside, numbers, sentence, status_aside, wrapped};
use crate::visible::{cited, visible};

/// Widest column of codes: a longer code pushes its own message only.
const CODE_COLUMN: usize = 26;
/// Width of the summary's lines: a terminal of today, and a comfortable page.
const COLUMNS: usize = 100;
/// Width of a provider's words: even the narrowest terminal in use must not carry them over to its left edge.
const CITED_COLUMNS: usize = 80;
/// Where the summary's texts begin.
const HANG: usize = 11;

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
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for check in &outcome.checks {
        let place = *places.entry(&check.path).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, checks)) => checks.push(check),
            None => groups.push((&check.path, vec![check])),
        }
    }
    let mut text = String::new();
    for (path, checks) in groups {
        text.push_str(&format!("{}\n", paint.strong(&visible(path))));
        for check in checks {
            let head = format!("  {} {:<CODE_COLUMN$} ", mark(check.status, paint), check.code);
            text.push_str(&beside(&head, &visible(&check.message), COLUMNS, CODE_COLUMN + 5));
        }
    }
    text
}

/// The figures of an accepted bundle. What stands in `warning` comes before everything else, and each figure and verdict
/// carries its grade.
pub(super) fn summary(report: &ThresholdReport, paint: Paint) -> String {
    let mut text = String::new();
    if !report.warning.is_empty() {
        text.push_str(&paint.bad(wrapped(&visible(&report.warning), COLUMNS, 0).trim_end()));
        text.push_str("\n\n");
    }
    for (name, words) in [("model", &report.model_id), ("provider", &report.provider), ("phase", &report.phase)] {
        text.push_str(&declared_name(name, words, HANG));
    }
    if let Some(name) = report.other_provider() {
        text.push_str(&declared_name("stated by", name, HANG));
        text.push_str(&entry("", "The statement in the bundle is made in another name than the run manifest's."));
    }
    text.push_str(&entry("run", &report.genesis.to_string()));
    text.push_str(&entry("judged", &format!("as of {}", instant::rfc3339(report.appraised_at))));
    text.push_str(&bracket(report, paint));
    if let Some(estimate) = &report.estimate {
        let (amount, grade) = (Amount::of(estimate.flop), estimate.grade.as_str());
        text.push_str(&entry("estimate", &format!("{amount} FLOP ({grade}): {}", estimate.source)));
    }
    if let Some(forecast) = &report.forecast {
        let (amount, grade) = (Amount::of(forecast.greatest), forecast.grade.as_str());
        text.push_str(&entry("forecast", &format!("{amount} FLOP ({grade}): {}", forecast.why)));
    }
    text.push_str(&entry("level", &format!("{}: {}", report.level, report.level_basis)));
    for line in &report.declared {
        text.push_str(&entry("declared", &format!("{} ({})", line.sentence, line.grade.as_str())));
    }
    text.push_str(&entry("audit", &report.audit));
    for line in report.sampling.iter().flat_map(|sampling| &sampling.strata) {
        text.push_str(&entry("", &stratum(line)));
    }
    if let Some(words) = report.sampling.as_ref().and_then(held) {
        text.push_str(&entry("", &words));
    }
    for event in events(report) {
        text.push_str(&entry("happened", &event));
    }
    text.push_str("\nverdicts\n");
    for line in &report.profiles {
        text.push_str(&profile(line, report, paint));
    }
    text
}

/// What windows hold, and what drawn operands led to.
fn held(line: &SamplingLine) -> Option<String> {
    let SamplingEntriesLine { checked, product, boundary, unlinked } = line.opened.as_ref()?;
    let (flop, unquoted) = (Amount::of(line.flop?), line.unquoted);
    Some(format!(
        "quoted windows hold {flop} FLOP, {unquoted} windows are not quoted; entries of drawn operands led to {checked} checked \
         operations, {product} products, {boundary} times to a checkpoint or batch by the job's word, {unlinked} times to nothing"
    ))
}

/// One row of the sampling table.
fn stratum(line: &SamplingStratumLine) -> String {
    let SamplingStratumLine { weight, draws_per_window, draws, passed, not_proven, refused, unanswered, .. } = line;
    format!(
        "by {weight}: {draws} draws, {draws_per_window} of each window: {passed} passed, {not_proven} not proven, {refused} \
         wrong, {unanswered} unanswered"
    )
}

/// A name, then a text that hangs beside it.
fn entry(name: &str, text: &str) -> String {
    beside(&format!("{name:<HANG$}"), &numbers(&visible(text)), COLUMNS, HANG)
}

/// The provider's own words, quoted, short, and never at the left edge, where ours stand.
pub(super) fn declared_name(name: &str, words: &str, hang: usize) -> String {
    beside(&format!("{name:<hang$}"), &format!("“{}” (declared)", cited(words)), CITED_COLUMNS, hang)
}

fn bracket(report: &ThresholdReport, paint: Paint) -> String {
    let bracket = &report.bracket;
    let grade = bracket.grade.as_str();
    let lower = Amount::of(bracket.lower);
    let Some(upper) = bracket.upper.map(Amount::of) else {
        let least = paint.strong(&format!("at least {lower} FLOP"));
        return format!("{:<HANG$}{least} ({grade}); no upper figure is known\n", "compute");
    };
    let between = paint.strong(&format!("between {lower} and {upper} FLOP"));
    let width = bracket.width.map_or_else(|| "not known".to_owned(), |width| Amount::of(width).to_string());
    let clock = visible(&bracket.clock);
    let exact = format!("exactly {} and {}; width {width}; clock: {clock}", lower.exact, upper.exact);
    format!("{:<HANG$}{between} ({grade})\n{}", "compute", wrapped(&exact, COLUMNS, HANG))
}

fn profile(line: &ProfileLine, report: &ThresholdReport, paint: Paint) -> String {
    let (word, dress) = spelled(line.verdict);
    // Only hardware's word earns a colour.
    let verdict = format!("{}: {word} — {}", line.grade.as_str(), visible(&line.scope));
    // Nor does a *below* whose threshold is a share of what the provider states.
    let leans = line.relative.as_ref().is_some_and(|relative| relative.is_declared) && line.verdict == Verdict::Below;
    let verdict = if report.warning.is_empty() && !leans { dress(paint, &verdict) } else { paint.strong(&verdict) };
    let threshold = Amount::of(line.threshold);
    let origin = if line.origin == ProfileOrigin::Reader { ", your own profile" } else { "" };
    let status = status_aside(line);
    let mut text = format!("  {verdict}  {} ({threshold} FLOP{status}{origin})\n", visible(&line.id));
    text.push_str(&wrapped(&sentence(&visible(&line.why)), COLUMNS, 6));
    let bounds = [("lower bound", Some(report.bracket.lower)), ("upper bound", report.bracket.upper)];
    for (name, bound) in bounds {
        if let Some(words) = bound.and_then(|bound| exact_words(bound, line.threshold, line.compare)) {
            let said = format!("Rounded to two figures, the {name} equals the threshold; exactly, it is {words}.");
            text.push_str(&wrapped(&said, COLUMNS, 6));
        }
    }
    if let Some(declared) = &line.declared {
        let (word, dress) = spelled(declared.verdict);
        let verdict = format!("{}: {word} — {}", declared.grade.as_str(), visible(&declared.scope));
        // What a provider says against itself is as loud as evidence; what it says for itself earns no colour.
        let loud = declared.verdict != Verdict::Below && report.warning.is_empty();
        let verdict = if loud { dress(paint, &verdict) } else { paint.strong(&verdict) };
        text.push_str(&format!("      {verdict}\n"));
        text.push_str(&wrapped(&sentence(&visible(&declared.why)), COLUMNS, 6));
    }
    if let Some(clock) = &line.clock {
        let said = format!("Time to notify ({}): {}", clock.grade.as_str(), clock.why);
        text.push_str(&wrapped(&sentence(&visible(&said)), COLUMNS, 6));
    }
    text
}

/// The word of a verdict, and how it is dressed.
const fn spelled(verdict: Verdict) -> (&'static str, fn(Paint, &str) -> String) {
    let dress = match verdict {
        Verdict::Below => Paint::good,
        Verdict::Above | Verdict::Straddles => Paint::bad,
        Verdict::Unknown => Paint::doubt,
    };
    (word(verdict), dress)
}

/// A verdict in one word.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Below => "below",
        Verdict::Above => "above",
        Verdict::Straddles => "straddles",
        Verdict::Unknown => "unknown",
    }
}

/// Why nothing is accepted: all failures, then what can be done about each class.
pub(super) fn refusal(outcome: &Outcome, culprit: Culprit, hints: &[&str], paint: Paint) -> String {
    let mut text = String::new();
    for check in outcome.failures() {
        text.push_str(&failure(&format!("{}: {}: {}", check.path, check.code, check.message), paint));
    }
    text.push_str(&last_line(outcome, culprit, hints, paint));
    text
}

/// One reason of a refusal.
pub(super) fn failure(reason: &str, paint: Paint) -> String {
    beside(&format!("{} ", mark(CheckStatus::Fail, paint)), &visible(reason), COLUMNS, 2)
}

/// The verdict on the bundle, in one line, with the remedies.
pub(super) fn last_line(outcome: &Outcome, culprit: Culprit, hints: &[&str], paint: Paint) -> String {
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
    for hint in hints {
        text.push_str(&format!("  {hint}\n"));
    }
    text
}

/// How a status is drawn.
pub(super) fn mark(status: CheckStatus, paint: Paint) -> String {
    match status {
        CheckStatus::Pass => paint.good("✓"),
        CheckStatus::Fail => paint.bad("✗"),
        CheckStatus::Unknown => paint.doubt("?"),
        CheckStatus::Skipped => paint.quiet("–"),
    }
}

/// What to do about a class.
pub(super) const fn remedy(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::Internal => "this is a fault of weighbridge; please report it with the output above",
        Culprit::Usage => "check the command line",
        Culprit::Malformed => "malformed: ask the sender for a fresh copy and compare its SHA-256",
        Culprit::Unsupported => "unsupported: a newer weighbridge may know this form of evidence",
        Culprit::Untrusted => "untrusted: do not rely on it; whoever sent it must send evidence that holds",
        Culprit::Rejected => "rejected: the evidence is genuine, but the policy does not accept what it says",
        Culprit::Unavailable => "unavailable: something the check needs is missing for now; try again with it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::sample_report;

    const PLAIN: Paint = Paint::plain();

    #[test]
    fn the_warning_is_the_first_line_and_every_verdict_has_its_grade() {
        let text = summary(&sample_report(), PLAIN);
        assert!(text.starts_with("SIMULATED: "));
        assert!(text.contains("compute    between 0 and 3.2×10^19 FLOP (simulated)\n"));
        assert!(
            text.contains("           exactly 0 and 31,901,810,688,000,000,000; width 3.2×10^19; clock: external\n")
        );
        for verdict in [
            "below — this run alone  eu-ai-act-51-2 (1.0×10^25 FLOP)",
            "below — this run alone  eu-gpai-2-1 (1.0×10^23 FLOP)",
            "straddles — this run alone  demo (1.0×10^18 FLOP, demonstration, not a law)",
        ] {
            assert!(text.contains(&format!("\n  simulated: {verdict}\n")), "{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn hidden_characters_of_a_name_reach_no_terminal() {
        let mut report = sample_report();
        report.model_id = "a\u{1b}[2Jb".to_owned();
        let text = summary(&report, PLAIN);
        assert!(text.contains("model      “a\\u{1b}[2Jb” (declared)\n"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn no_name_stands_where_a_verdict_or_a_label_of_ours_stands() {
        let known = [
            "SIMULATED: ",
            "model ",
            "provider ",
            "phase ",
            "run ",
            "judged ",
            "compute ",
            "level ",
            "declared ",
            "audit ",
            "happened ",
        ];
        for name in [
            "Attested: below the threshold".to_owned(),
            format!("x{}Attested: below the threshold", "\u{a0}".repeat(100)),
            format!("x{}Attested: below the threshold", " ".repeat(100)),
            "אבג Attested: below the threshold".to_owned(),
            "模".repeat(100) + "Attested: below the threshold",
            "Attested:below-the-threshold".repeat(1 << 12),
            "x” (declared)\nverdicts\n  attested: below".to_owned(),
        ] {
            let mut report = sample_report();
            (report.model_id, report.provider, report.phase) = (name.clone(), name.clone(), name.clone());
            let text = summary(&report, PLAIN);
            let ours = text.strip_prefix(&*report.warning).unwrap_or(&text);
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(' ') && *line != "verdicts") {
                assert!(known.iter().any(|label| line.starts_with(label)) || report.warning.contains(line), "{line}");
            }
            assert!(ours.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            assert_eq!(text.matches("” (declared)\n").count(), 3, "{text}");
            assert_eq!(text.matches("\nverdicts\n").count(), 1, "{text}");
            assert!(text.len() < summary(&sample_report(), PLAIN).len() + 3 * 1_000, "{}", text.len());
        }
    }

    #[test]
    fn a_name_wraps_before_the_narrowest_terminal_does() {
        let text = declared_name("model", &"模x".repeat(200), HANG);
        let mut lines = text.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("model      “模x")));
        let mut rest = 0;
        for line in lines {
            let columns: usize = line.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum();
            assert!(line.starts_with("           ") && columns <= CITED_COLUMNS, "{line}");
            rest += 1;
        }
        assert_eq!(rest, 2);
    }

    #[test]
    fn checks_are_grouped_by_what_they_look_at() {
        let check = |path: &str, code, status| Check {
            path: path.to_owned(),
            code,
            status,
            message: "why".to_owned(),
            culprit: (status == CheckStatus::Fail).then_some(Culprit::Rejected),
        };
        let checks = vec![
            check("a", "one", CheckStatus::Pass),
            check("b", "two", CheckStatus::Fail),
            check("a", "three", CheckStatus::Unknown),
            check("b", "four", CheckStatus::Skipped),
        ];
        let outcome = Outcome { checks, report: None };
        let expected = "a\n  ✓ one                        why\n  ? three                      why\n\
                        b\n  ✗ two                        why\n  – four                       why\n";
        assert_eq!(tree(&outcome, PLAIN), expected);
        let expected = "rejected: 1 of 4 checks failed (exit code 5)\n  \
                        rejected: the evidence is genuine, but the policy does not accept what it says\n  a hint\n";
        assert_eq!(last_line(&outcome, Culprit::Rejected, &["a hint"], PLAIN), expected);
    }
}
