//! **Duty.** `weighbridge verify`: every check of a bundle, then what it comes to. No network, no other file.

use std::str::FromStr;

use clap::Args;
use weighbridge_appraisal::Outcome;
use weighbridge_attest_types::{Culprit, ProfileLine, ThresholdReport, Verdict};

use crate::assemble::known_id;
use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::judgement::{Judgement, OwnProfiles};
use crate::cli::object::{Object, Reason, claims, reasons};
use crate::cli::outcome::{failure, judged, last_line, refusal, summary, tree, word};
use crate::error::CliError;

/// Goes through every check of a bundle and says what it comes to
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge verify run.weighbridge --require demo=below-this-run")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    judgement: Judgement,
    #[command(flatten)]
    own: OwnProfiles,
    /// Fail with exit code 5 unless the verdict is this one; may be repeated. Every threshold counts all runs of a model,
    /// and a bundle weighs one, so no bundle meets below: where one run is what you mean, write below-this-run
    #[arg(long, value_name = "PROFILE=below|above|below-this-run", value_parser = Required::from_str)]
    require: Vec<Required>,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// A verdict that the person needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Required {
    /// Profile id.
    id: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All that the threshold counts is below it: more than one bundle can say.
    Below,
    /// What the bundle weighs is above the threshold, so all is.
    Above,
    /// What the bundle weighs is below the threshold, whatever else there is.
    BelowThisRun,
}

impl VerifyArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let own = self.own.load(None)?;
        for required in &self.require {
            known_id(&required.id, &own)?;
        }
        let mut outcome = self.judgement.verify()?;
        outcome.judge_also(&own);
        let (culprit, unmet) = match judged(&outcome) {
            Err(culprit) => (Some(culprit), Vec::new()),
            Ok(report) => {
                let unmet: Vec<Reason> = self.require.iter().filter_map(|required| required.unmet(report)).collect();
                ((!unmet.is_empty()).then_some(Culprit::Rejected), unmet)
            }
        };
        match self.format {
            Format::Text => self.print_text(&outcome, culprit, &unmet, console)?,
            Format::Json => self.print_json(&outcome, culprit, unmet, console)?,
        }
        Ok(culprit.map_or(0, Culprit::exit_code))
    }

    fn print_text(
        &self,
        outcome: &Outcome,
        culprit: Option<Culprit>,
        unmet: &[Reason],
        console: &mut Console<'_>,
    ) -> Result<(), CliError> {
        let paint = console.out_paint();
        let mut text = tree(outcome, paint);
        text.push('\n');
        match (&outcome.report, culprit) {
            (Some(report), None) => {
                text.push_str(&summary(report, paint));
                text.push_str(&format!("{}\n", paint.good("accepted")));
            }
            (Some(report), Some(culprit)) => {
                text.push_str(&summary(report, paint));
                for reason in unmet {
                    text.push_str(&failure(&reason.message, paint));
                }
                let verdict = paint.bad(culprit.verdict());
                text.push_str(&format!(
                    "{verdict}: genuine, but --require is not met (exit code {})\n",
                    culprit.exit_code()
                ));
            }
            (None, culprit) => {
                let culprit = culprit.unwrap_or(Culprit::Internal);
                text.push_str(&last_line(outcome, culprit, &self.judgement.hints(culprit), paint));
            }
        }
        console.print(&text)
    }

    fn print_json(
        &self,
        outcome: &Outcome,
        culprit: Option<Culprit>,
        unmet: Vec<Reason>,
        console: &mut Console<'_>,
    ) -> Result<(), CliError> {
        let paint = console.err_paint();
        let Some(culprit) = culprit else {
            if let Some(report) = &outcome.report {
                console.tell(&summary(report, paint))?;
            }
            return Object::accepted(claims(outcome)).print(console);
        };
        let reasons = if outcome.report.is_some() { unmet } else { reasons(outcome) };
        match outcome.report {
            Some(_) => {
                let lines: Vec<&str> = reasons.iter().map(|reason| reason.message.as_str()).collect();
                console.tell(&format!("{}\n", lines.join("\n")))?;
            }
            None => console.tell(&refusal(outcome, culprit, &self.judgement.hints(culprit), paint))?,
        }
        Object::refused(culprit, reasons, claims(outcome)).print(console)
    }
}

impl Required {
    /// The reason, if the report does not say what is required. What leans on the provider's word meets nothing, and what
    /// the provider leaves out helps no more than what it says.
    fn unmet(&self, report: &ThresholdReport) -> Option<Reason> {
        let id = &self.id;
        let line = report.profiles.iter().find(|line| line.id == *id);
        let (code, why) = match (self.wanted, line, line.map(|line| line.verdict)) {
            (Wanted::Above, Some(line), Some(Verdict::Above)) => ("require-declared", leaning(line)?),
            (Wanted::BelowThisRun, Some(line), Some(Verdict::Below)) => {
                ("require-declared", leaning(line).or_else(|| contradiction(line))?)
            }
            (Wanted::Below, Some(line), Some(Verdict::Below)) => match leaning(line) {
                Some(why) => ("require-declared", why),
                None => (
                    "require-cumulative",
                    format!(
                        "the threshold counts all runs of the model and this bundle weighs one; if one run is what you \
                         mean, write {id}={}",
                        Wanted::BelowThisRun.word()
                    ),
                ),
            },
            _ => ("require-not-met", format!("the report says {}", line.map_or_else(silence, said))),
        };
        Some(Reason { code: code.to_owned(), message: format!("--require {id}={}: {why}", self.wanted.word()) })
    }
}

/// A share of what only the provider states, however it states it.
fn leaning(line: &ProfileLine) -> Option<String> {
    let leans = line.relative.is_some();
    leans.then(|| "the threshold is a share of an amount that nobody but the provider states".to_owned())
}

/// The provider's own figures for this run: its statement, its readings, a sum that it proves. Where they may be above the
/// threshold, evidence and word contradict each other.
fn contradiction(line: &ProfileLine) -> Option<String> {
    let (lower, upper) = line.declared.as_ref().map(|declared| (declared.this_run_lower, declared.this_run_upper))?;
    if !line.is_above(lower.max(upper)) {
        return None;
    }
    let above = if line.is_above(lower) { "are above the threshold" } else { "reach above the threshold" };
    Some(format!("the provider's own figures for this run, {lower} to {upper} FLOP, {above}"))
}

impl Wanted {
    const ALL: [Self; 3] = [Self::Below, Self::Above, Self::BelowThisRun];

    const fn word(self) -> &'static str {
        match self {
            Self::Below => "below",
            Self::Above => "above",
            Self::BelowThisRun => "below-this-run",
        }
    }
}

fn silence() -> String {
    "that this run does not answer to this profile".to_owned()
}

/// A verdict never goes without its grade.
fn said(line: &ProfileLine) -> String {
    format!("{}: {} — {}", line.grade.as_str(), word(line.verdict), line.scope)
}

impl FromStr for Required {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let syntax =
            || format!("`{text}` is not a requirement; write PROFILE=below, PROFILE=above or PROFILE=below-this-run");
        let (id, word) = text.split_once('=').ok_or_else(syntax)?;
        let wanted = Wanted::ALL.into_iter().find(|wanted| wanted.word() == word).ok_or_else(syntax)?;
        Ok(Self { id: id.to_owned(), wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::sample_report;
    use serde_json::{Value, json};
    use weighbridge_appraisal::{Check, CheckStatus};
    use weighbridge_attest_types::{Compare, DeclaredVerdict, Flops, Fraction, Grade, RelativeLine, Sentence};

    fn outcome(report: Option<ThresholdReport>) -> Outcome {
        let check = |status, culprit| Check {
            path: "node/0000/evidence/key".to_owned(),
            code: "quote-signature",
            status,
            message: "a sentence".to_owned(),
            culprit,
        };
        let checks = match report {
            Some(_) => vec![check(CheckStatus::Pass, None), check(CheckStatus::Skipped, None)],
            None => vec![check(CheckStatus::Pass, None), check(CheckStatus::Fail, Some(Culprit::Untrusted))],
        };
        Outcome { checks, report }
    }

    #[test]
    fn only_the_named_verdict_meets_a_requirement() {
        use Verdict::{Above, Below, Straddles, Unknown};
        for (required, meets) in [
            ("demo=above", Some(Above)),
            ("demo=below-this-run", Some(Below)),
            ("eu-gpai-2-1=below-this-run", Some(Below)),
            ("eu-gpai-2-1=below", None),
            ("demo=below", None),
            ("eu-ai-act-51-2=below", None),
        ] {
            let required: Required = required.parse().unwrap();
            for verdict in [Above, Straddles, Below, Unknown] {
                let reason = required.unmet(&all_say(verdict));
                assert_eq!(reason.is_none(), Some(verdict) == meets, "{required:?} {verdict:?}");
            }
        }
        assert!("demo=straddles".parse::<Required>().is_err());
        assert!("demo".parse::<Required>().is_err());
    }

    fn all_say(verdict: Verdict) -> ThresholdReport {
        let mut report = sample_report();
        report.profiles.iter_mut().for_each(|line| line.verdict = verdict);
        report
    }

    #[test]
    fn one_run_below_is_not_a_model_below() {
        let reason = |required: &str, report: &ThresholdReport| {
            let Reason { code, message } = required.parse::<Required>().unwrap().unmet(report).unwrap();
            (code, message)
        };
        let said = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        let expected = "--require demo=below: the threshold counts all runs of the model and this bundle weighs one; \
                        if one run is what you mean, write demo=below-this-run";
        assert_eq!(reason("demo=below", &all_say(Verdict::Below)), said("require-cumulative", expected));
        let expected = "--require demo=below: the report says simulated: unknown — this run alone";
        assert_eq!(reason("demo=below", &all_say(Verdict::Unknown)), said("require-not-met", expected));
        let expected = "--require eu-gpai-2-1=below-this-run: the report says simulated: straddles — this run alone";
        let straddles = all_say(Verdict::Straddles);
        assert_eq!(reason("eu-gpai-2-1=below-this-run", &straddles), said("require-not-met", expected));
        let mut silent = sample_report();
        silent.profiles.clear();
        let expected = "--require demo=above: the report says that this run does not answer to this profile";
        assert_eq!(reason("demo=above", &silent), said("require-not-met", expected));
    }

    /// Every line is below, with the provider's own figures for the run beside it.
    fn with_own_figures(lower: u128, upper: u128) -> ThresholdReport {
        let mut report = all_say(Verdict::Below);
        for line in &mut report.profiles {
            line.declared = Some(DeclaredVerdict {
                scope: "this run and declared work".to_owned(),
                lower: Flops(lower),
                upper: None,
                this_run_lower: Flops(lower),
                this_run_upper: Flops(upper),
                verdict: Verdict::Unknown,
                why: Sentence::on(["field:/ledger"], "a sentence"),
                grade: Grade::Declared,
            });
        }
        report
    }

    #[test]
    fn own_figures_that_reach_above_meet_no_below() {
        let required: Required = "eu-ai-act-51-2=below-this-run".parse().unwrap();
        let threshold = 10u128.pow(25);
        let code = |report: &ThresholdReport| required.unmet(report).map(|reason| reason.code);
        assert_eq!(code(&with_own_figures(0, threshold)), None, "exactly the threshold is not above it");
        for (lower, upper) in [(0, threshold + 1), (threshold + 1, threshold + 1)] {
            assert_eq!(code(&with_own_figures(lower, upper)).as_deref(), Some("require-declared"), "{lower} {upper}");
        }
        let mut reached = with_own_figures(0, threshold);
        reached.profiles.iter_mut().for_each(|line| line.compare = Compare::Ge);
        assert_eq!(code(&reached).as_deref(), Some("require-declared"), "at least the threshold is above it");
    }

    #[test]
    fn a_share_meets_nothing_whether_its_original_is_stated_or_not() {
        for is_declared in [false, true] {
            for (verdict, word) in
                [(Verdict::Below, "below"), (Verdict::Below, "below-this-run"), (Verdict::Above, "above")]
            {
                let mut report = all_say(verdict);
                report.profiles.iter_mut().for_each(|line| {
                    line.relative = Some(RelativeLine {
                        fraction: Fraction { numerator: 1, denominator: 3 },
                        original: Flops(1),
                        source: Sentence::on(["rule:a share"], "a sentence"),
                        is_declared,
                    });
                });
                let required: Required = format!("demo={word}").parse().unwrap();
                assert_eq!(required.unmet(&report).map(|reason| reason.code).as_deref(), Some("require-declared"));
            }
        }
    }

    #[test]
    fn claims_of_an_accepted_bundle_carry_bracket_profiles_grade_and_checks() {
        let report = sample_report();
        let claims = claims(&outcome(Some(report.clone())));
        assert_eq!(claims["bracket"], serde_json::to_value(&report.bracket).unwrap());
        assert_eq!(claims["profiles"][0]["verdict"], "below");
        assert_eq!(claims["grade"], "simulated");
        assert_eq!(claims["warning"], json!(report.warning));
        assert_eq!(
            claims["checks"][1],
            json!({
                "path": "node/0000/evidence/key", "code": "quote-signature", "status": "skipped",
                "message": "a sentence", "culprit": null
            })
        );
    }

    #[test]
    fn a_refused_bundle_claims_no_figure() {
        let refused = outcome(None);
        let claims = claims(&refused);
        assert_eq!((&claims["bracket"], &claims["grade"]), (&Value::Null, &Value::Null));
        assert_eq!(claims["profiles"], json!([]));
        let message = "node/0000/evidence/key: a sentence".to_owned();
        assert_eq!(reasons(&refused), [Reason { code: "quote-signature".to_owned(), message }]);
        assert_eq!(judged(&refused).unwrap_err(), Culprit::Untrusted);
    }
}
