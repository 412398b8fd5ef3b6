//! **Duty.** `weighbridge explain`: a bundle, an archived answer or a code in plain prose. A bundle is judged again and
//! ends in its verdict’s exit code; an archived answer is retold, says that nothing was verified, and ends as `untrusted`:
//! whoever edited the file wrote what it says.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use weighbridge_appraisal::{Check, CheckStatus, Outcome};
use weighbridge_attest_types::{Bundle, BundleError, Culprit, MAX_BUNDLE_BYTES, Sentence, ThresholdReport};

use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::judgement::{At, HINT_ANCHORS, verify_bytes};
use crate::cli::object::{Object, Reason, claims, reasons};
use crate::cli::outcome::{judged, summary};
use crate::error::CliError;
use crate::explain::{self, EXPLANATIONS, Explanation};
use crate::files;
use crate::prose::{beside, sentence, wrapped};
use crate::visible::visible;

const COLUMNS: usize = 100;
const NOTICE: &str =
    "Nothing was verified: this retells an archived answer. Give the bundle or the evidence to have it judged again.";

/// Says in plain words what a bundle, an archived answer or a code means
#[derive(Debug, Args)]
#[command(after_help = "Examples: weighbridge explain run.weighbridge; weighbridge explain ledger-chain; \
    weighbridge explain codes")]
pub(super) struct ExplainArgs {
    /// A bundle, a report.json, an answer of verify or appraise --format json, a code, or `codes` for the list of all codes
    #[arg(value_name = "FILE|CODE")]
    what: PathBuf,
    /// Folder of additional trust anchors (*.anchor.json), for a bundle
    #[arg(long, value_name = "DIR")]
    trust_roots: Option<PathBuf>,
    /// Instant of the judgement of a bundle: archived, now, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "archived|now|TIME", default_value = "archived", value_parser = <At as std::str::FromStr>::from_str)]
    at: At,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// The object that `verify --format json` or `appraise --format json` printed.
#[derive(Debug, Deserialize)]
struct Answer {
    verdict: String,
    reasons: Vec<SeenReason>,
    claims: SeenClaims,
}

#[derive(Debug, Deserialize)]
struct SeenReason {
    code: String,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
struct SeenClaims {
    #[serde(default)]
    warning: Option<Sentence>,
    #[serde(default)]
    checks: Vec<SeenCheck>,
}

#[derive(Debug, Deserialize)]
struct SeenCheck {
    path: String,
    code: String,
    status: String,
    message: String,
}

impl ExplainArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let word = self.what.to_string_lossy();
        if word == "codes" {
            return self.say(&list(), json!({ "codes": all().map(|row| row.code).collect::<Vec<_>>() }), console);
        }
        if let Some(found) = explain::of(&word) {
            return self.say(&code_text(found), code_json(found), console);
        }
        let looks_like_a_code = word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
        if looks_like_a_code && word != "-" && !self.what.exists() {
            return Err(CliError::NothingToExplain { what: word.into_owned() });
        }
        let bytes = files::read_capped(&self.what, MAX_BUNDLE_BYTES)?;
        if let Ok(report) = serde_json::from_slice::<ThresholdReport>(&bytes) {
            return self.retell(&report_text(&report), console);
        }
        if let Ok(answer) = serde_json::from_slice::<Answer>(&bytes) {
            return self.retell(&answer_text(&answer), console);
        }
        match Bundle::parse_bundle(&bytes) {
            Err(BundleError::Magic(_)) => Err(CliError::NotExplainable { path: self.what.clone() }),
            _ => self.bundle(&bytes, console),
        }
    }

    fn bundle(&self, bytes: &[u8], console: &mut Console<'_>) -> Result<u8, CliError> {
        let outcome = verify_bytes(bytes, self.trust_roots.as_deref(), self.at)?;
        let culprit = judged(&outcome).err();
        let text = bundle_text(&self.what, &outcome, culprit, self.trust_roots.is_some());
        match (self.format, culprit) {
            (Format::Text, _) => console.print(&text)?,
            (Format::Json, None) => {
                console.tell(&text)?;
                Object::accepted(claims(&outcome)).print(console)?;
            }
            (Format::Json, Some(culprit)) => {
                console.tell(&text)?;
                Object::refused(culprit, reasons(&outcome), claims(&outcome)).print(console)?;
            }
        }
        Ok(culprit.map_or(0, Culprit::exit_code))
    }

    /// Nothing stands behind the file: a script that goes by verdicts or exit codes must not take it for accepted.
    fn retell(&self, text: &str, console: &mut Console<'_>) -> Result<u8, CliError> {
        let text = format!("{NOTICE}\n\n{text}");
        match self.format {
            Format::Text => console.print(&text)?,
            Format::Json => {
                console.tell(&text)?;
                let reason = Reason { code: "nothing-verified".to_owned(), message: NOTICE.to_owned() };
                Object::refused(Culprit::Untrusted, vec![reason], json!({ "verified": false })).print(console)?;
            }
        }
        Ok(Culprit::Untrusted.exit_code())
    }

    fn say(&self, text: &str, told: serde_json::Value, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self.format {
            Format::Text => console.print(text)?,
            Format::Json => Object::accepted(told).print(console)?,
        }
        Ok(0)
    }
}

fn all() -> impl Iterator<Item = &'static Explanation> {
    EXPLANATIONS.into_iter().flatten()
}

fn list() -> String {
    let [checks, errors, daemon, evidence, nvidia] = EXPLANATIONS;
    let lines = |rows: &[Explanation]| -> String {
        rows.iter().map(|row| beside(&format!("  {:<28}", row.code), row.looks_at, COLUMNS, 30)).collect()
    };
    let tables = [
        ("checks of a bundle", checks),
        ("what is found about evidence", evidence),
        ("what is found about GPUs and switches", nvidia),
        ("errors of commands", errors),
        ("errors of weighbridged and its socket", daemon),
    ];
    tables.into_iter().map(|(title, rows)| format!("{title}\n{}", lines(rows))).collect()
}

fn code_text(found: &Explanation) -> String {
    let Explanation { code, looks_at, failure, who, remedy, .. } = found;
    let rows = [("looks at", looks_at), ("a failure", failure), ("who acts", who), ("what to do", remedy)];
    let lines: String = rows.iter().map(|(name, text)| beside(&format!("{name:<12}"), text, COLUMNS, 12)).collect();
    format!("{code}\n{lines}")
}

fn code_json(found: &Explanation) -> serde_json::Value {
    let Explanation { code, looks_at, failure, who, remedy, .. } = found;
    json!({ "code": code, "looks_at": looks_at, "failure": failure, "who": who, "remedy": remedy })
}

fn bundle_text(path: &Path, outcome: &Outcome, culprit: Option<Culprit>, roots_named: bool) -> String {
    let mut text = String::new();
    match (&outcome.report, culprit) {
        (Some(report), None) => text.push_str(&report_text(report)),
        (_, culprit) => {
            let culprit = culprit.unwrap_or(Culprit::Internal);
            text.push_str(&format!(
                "{} is not accepted: {} (exit code {}). No figure of it counts.\n",
                visible(&path.display().to_string()),
                culprit.verdict(),
                culprit.exit_code()
            ));
            if culprit == Culprit::Untrusted && !roots_named {
                text.push_str(&wrapped(&sentence(HINT_ANCHORS), COLUMNS, 0));
            }
        }
    }
    for (status, title) in [
        (CheckStatus::Fail, "What failed"),
        (CheckStatus::Unknown, "What is not known"),
        (CheckStatus::Skipped, "What was not looked at"),
    ] {
        let found: Vec<&Check> = outcome.checks.iter().filter(|check| check.status == status).collect();
        text.push_str(&section(
            title,
            found.iter().map(|check| (check.code, check.path.as_str(), check.message.as_str())),
        ));
    }
    let passed = outcome.checks.iter().filter(|check| check.status == CheckStatus::Pass).count();
    text.push_str(&format!("\n{passed} of {} checks passed; weighbridge verify lists them.\n", outcome.checks.len()));
    text
}

/// Each code is explained once, however many members it concerns.
fn section<'a>(title: &str, checks: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> String {
    let mut text = String::new();
    let mut explained: Vec<&str> = Vec::new();
    for (code, path, message) in checks {
        if text.is_empty() {
            text.push_str(&format!("\n{title}\n"));
        }
        text.push_str(&wrapped(&visible(&format!("{path}: {code}: {message}")), COLUMNS, 2));
        if explained.contains(&code) {
            continue;
        }
        explained.push(code);
        if let Some(found) = explain::of(code) {
            let what = format!("{} {} To do: {} {}", found.looks_at, found.failure, found.who, found.remedy);
            text.push_str(&wrapped(&what, COLUMNS, 6));
        }
    }
    text
}

fn report_text(report: &ThresholdReport) -> String {
    let mut text = summary(report, crate::cli::console::Paint::plain());
    text.push_str("\nWhat the verdict rests on\n");
    text.push_str(&wrapped(
        &format!(
            "The lower figure: {}. The upper figure: {}. {} nodes; policy {}.",
            visible(&report.bracket.lower_basis),
            visible(&report.bracket.upper_basis),
            report.nodes.len(),
            visible(&report.policy)
        ),
        COLUMNS,
        2,
    ));
    let texts = |sentences: &[Sentence]| sentences.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
    for (title, lines) in [
        ("Under these trust roots", report.anchors.clone()),
        ("What was not checked", texts(&report.not_checked)),
        ("What is assumed", texts(&report.assumptions)),
        ("What is not proven", texts(&report.not_proven)),
    ] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
        }
        let lines = &lines;
        for line in lines {
            text.push_str(&beside("  - ", &sentence(&visible(line)), COLUMNS, 4));
        }
    }
    text
}

fn answer_text(answer: &Answer) -> String {
    let mut text = String::new();
    if let Some(warning) = answer.claims.warning.as_ref().filter(|warning| !warning.is_empty()) {
        text.push_str(&wrapped(&visible(warning), COLUMNS, 0));
        text.push('\n');
    }
    text.push_str(&format!("The answer was: {}\n", visible(&answer.verdict)));
    let seen = |status: &'static str| answer.claims.checks.iter().filter(move |check| check.status == status);
    if seen("fail").next().is_none() {
        let reasons = answer.reasons.iter().map(|reason| (reason.code.as_str(), "reason", reason.message.as_str()));
        text.push_str(&section("Why", reasons));
    }
    for (status, title) in [
        ("fail", "What failed"),
        ("unknown", "What is not known"),
        ("skipped", "What was not looked at"),
        ("not-checked", "What was not checked"),
    ] {
        let found = seen(status).map(|check| (check.code.as_str(), check.path.as_str(), check.message.as_str()));
        text.push_str(&section(title, found));
    }
    text
}
