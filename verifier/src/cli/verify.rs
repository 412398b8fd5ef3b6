//! **Duty.** `weighbridge verify`: every check of a bundle, then what it comes to. No network, no other file.

use std::str::FromStr;

use clap::Args;
use weighbridge_appraisal::Outcome;
use weighbridge_attest_types::{Culprit, ThresholdReport, Verdict};

use crate::assemble::profile;
use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::judgement::Judgement;
use crate::cli::object::{Object, Reason, claims, reasons};
use crate::cli::outcome::{judged, last_line, refusal, summary, tree};
use crate::error::CliError;

/// Goes through every check of a bundle and says what it comes to
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    judgement: Judgement,
    /// Fail with exit code 5 unless the verdict is this one; may be repeated
    #[arg(long, value_name = "PROFILE=below|above", value_parser = Required::from_str)]
    require: Vec<Required>,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// A verdict that the person needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Required {
    profile: String,
    verdict: Verdict,
}

impl VerifyArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let outcome = self.judgement.verify()?;
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
                    text.push_str(&format!("{} {}\n", paint.bad("✗"), reason.message));
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
    /// The reason, if the report does not say what is required.
    fn unmet(&self, report: &ThresholdReport) -> Option<Reason> {
        let Self { profile, verdict } = self;
        let found = report.profiles.iter().find(|line| line.id == *profile).map(|line| line.verdict);
        if found == Some(*verdict) {
            return None;
        }
        let found = found.map_or("that this run does not answer to this profile", word);
        let message = format!("--require {profile}={}: the report says {found}", word(*verdict));
        Some(Reason { code: "require-not-met".to_owned(), message })
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Below => "below",
        Verdict::Above => "above",
        Verdict::Straddles => "straddles",
        Verdict::Unknown => "unknown",
    }
}

impl FromStr for Required {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let syntax = || format!("`{text}` is not a requirement; write PROFILE=below or PROFILE=above");
        let (id, verdict) = text.split_once('=').ok_or_else(syntax)?;
        let verdict = match verdict {
            "below" => Verdict::Below,
            "above" => Verdict::Above,
            _ => return Err(syntax()),
        };
        let profile = profile(id).map_err(|error| error.advice())?;
        Ok(Self { profile: profile.id, verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::sample_report;
    use serde_json::{Value, json};
    use weighbridge_appraisal::{Check, CheckStatus};

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
        let mut report = sample_report();
        let required: Required = "demo=above".parse().unwrap();
        for (verdict, met) in
            [(Verdict::Above, true), (Verdict::Straddles, false), (Verdict::Below, false), (Verdict::Unknown, false)]
        {
            for line in &mut report.profiles {
                line.verdict = verdict;
            }
            assert_eq!(required.unmet(&report).is_none(), met, "{verdict:?}");
        }
        report.profiles.clear();
        let reason = required.unmet(&report).unwrap();
        let expected = "--require demo=above: the report says that this run does not answer to this profile";
        assert_eq!((reason.code.as_str(), reason.message.as_str()), ("require-not-met", expected));
        assert!("demo=straddles".parse::<Required>().is_err());
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
