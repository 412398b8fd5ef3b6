//! **Duty.** `weighbridge statement`: keys, and signing and checking the statement of a bundle. **Does not know** how a
//! bundle is judged. **Spec.** docs/predicates/compute-threshold-v1.md.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ring::rand::SystemRandom;
use serde_json::json;
use weighbridge_appraisal::Outcome;
use weighbridge_attest_types::{Bundle, Grade, ThresholdReport};

use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::judgement::{At, Judgement, verify_file};
use crate::cli::object::{Object, claims, reasons};
use crate::cli::outcome::{judged, refusal, word};
use crate::error::CliError;
use crate::files;
use crate::statement::dsse::{self, MAX_ENVELOPE_BYTES};
use crate::statement::keys::{self, MAX_KEY_BYTES, SigningKey, VerifyingKey};
use crate::statement::{StatedClock, StatedVerdict, Statement, StatementError};
use crate::visible::visible;

const REPORT: &str = "report.json";

/// Signs what a verified bundle says, or checks such a statement
#[derive(Debug, Subcommand)]
pub(super) enum StatementCommand {
    Keygen(KeygenArgs),
    Sign(SignArgs),
    Verify(CheckArgs),
}

/// Makes an Ed25519 key that signs statements
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge statement keygen --out key.pem --public key.pub.pem")]
pub(super) struct KeygenArgs {
    /// Private key to write, readable by you alone; a file that is there is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Public key to write, for those who check
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Verifies a bundle, then signs a statement of its verdicts (in-toto in DSSE)
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge statement sign run.weighbridge --key key.pem --out run.statement.json")]
pub(super) struct SignArgs {
    #[command(flatten)]
    judgement: Judgement,
    /// Private key: Ed25519 or ECDSA P-256 in PKCS #8 PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The statement to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Checks the signature of a statement and, with --bundle, that the bundle says the same
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge statement verify run.statement.json --key key.pub.pem \
    --bundle run.weighbridge")]
pub(super) struct CheckArgs {
    /// The statement
    statement: PathBuf,
    /// Public key of the signer, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Also verify this bundle and compare
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Folder of additional trust anchors (*.anchor.json) for the bundle
    #[arg(long, value_name = "DIR", requires = "bundle")]
    trust_roots: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl StatementCommand {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self {
            Self::Keygen(arguments) => arguments.run(console),
            Self::Sign(arguments) => arguments.run(console),
            Self::Verify(arguments) => arguments.run(console),
        }
    }

    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Keygen(arguments) => arguments.format,
            Self::Sign(arguments) => arguments.format,
            Self::Verify(arguments) => arguments.format,
        }
    }
}

impl KeygenArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let refused = of_file(&self.out);
        let random = randomness();
        let private = keys::generate(&random).map_err(&refused)?;
        let public = SigningKey::from_pem(private.as_bytes(), &random).map_err(&refused)?.public();
        files::check_folder_of(&self.public)?;
        files::write_private(&self.out, private.as_bytes())?;
        files::write_atomically(&self.public, public.to_pem().as_bytes())?;
        let id = public.id();
        match self.format {
            Format::Text => console.print(&format!(
                "key     {id}\nprivate {}\npublic  {}\n",
                self.out.display(),
                self.public.display()
            ))?,
            Format::Json => Object::accepted(json!({ "key": id })).print(console)?,
        }
        Ok(0)
    }
}

impl SignArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let random = randomness();
        let pem = files::read_capped(&self.key, MAX_KEY_BYTES)?;
        let key = SigningKey::from_pem(&pem, &random).map_err(of_file(&self.key))?;
        let (outcome, bundle) = self.judgement.verify_with_bytes()?;
        let path = self.judgement.path();
        let statement = match judged(&outcome) {
            Ok(report) => stated(report, &bundle, path)?,
            Err(culprit) => return refuse(&outcome, culprit, path, self.format, console),
        };
        let payload = statement.to_bytes().map_err(of_file(path))?;
        let envelope = dsse::seal(&payload, &key, &random).map_err(of_file(&self.out))?;
        files::write_atomically(&self.out, envelope.as_bytes())?;
        match self.format {
            Format::Text => console.print(&format!("{}wrote {}\n", text(&statement), self.out.display()))?,
            Format::Json => Object::accepted(json!(statement)).print(console)?,
        }
        Ok(0)
    }
}

impl CheckArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let key = files::read_capped(&self.key, MAX_KEY_BYTES)?;
        let key = VerifyingKey::from_pem(&key).map_err(of_file(&self.key))?;
        let refused = of_file(&self.statement);
        let envelope = files::read_capped(&self.statement, MAX_ENVELOPE_BYTES)?;
        let payload = dsse::open(&envelope, &key).map_err(&refused)?;
        let statement = Statement::from_bytes(&payload).map_err(&refused)?;
        let rests_on = match &self.bundle {
            None => "Only the signature was checked: the verdicts are the signer’s word. Add --bundle to check them.",
            Some(bundle) => {
                let (outcome, bytes) = verify_file(bundle, self.trust_roots.as_deref(), At::Archived)?;
                match judged(&outcome) {
                    Ok(report) => statement.is_that_of(&stated(report, &bytes, bundle)?).map_err(&refused)?,
                    Err(culprit) => return refuse(&outcome, culprit, bundle, self.format, console),
                }
                "The bundle was verified and says the same."
            }
        };
        match self.format {
            Format::Text => console.print(&format!(
                "{}signed     by the key {}\n{rests_on}\naccepted\n",
                text(&statement),
                key.id()
            ))?,
            Format::Json => {
                console.tell(&format!("{rests_on}\n"))?;
                let compared = self.bundle.is_some();
                let claims = json!({ "key": key.id(), "compared_with_bundle": compared, "statement": statement });
                Object::accepted(claims).print(console)?;
            }
        }
        Ok(0)
    }
}

/// Every failure is listed, as `verify` would; nothing is written.
fn refuse(
    outcome: &Outcome,
    culprit: weighbridge_attest_types::Culprit,
    path: &Path,
    format: Format,
    console: &mut Console<'_>,
) -> Result<u8, CliError> {
    let hint = CliError::NotAccepted { path: path.to_owned(), culprit }.advice();
    console.tell(&refusal(outcome, culprit, &[&visible(&hint)], console.err_paint()))?;
    if format == Format::Json {
        Object::refused(culprit, reasons(outcome), claims(outcome)).print(console)?;
    }
    Ok(culprit.exit_code())
}

fn stated(report: &ThresholdReport, bundle: &[u8], path: &Path) -> Result<Statement, CliError> {
    let refused = |source| CliError::Container { path: path.to_owned(), source };
    let members = Bundle::parse_bundle(bundle).map_err(refused)?;
    let member = members.get(REPORT).ok_or_else(|| CliError::NoMember { path: path.to_owned(), member: REPORT })?;
    Ok(Statement::of(report, bundle, member))
}

/// The warning first, and no verdict without its grade.
fn text(statement: &Statement) -> String {
    let predicate = &statement.predicate;
    let mut text = String::new();
    if !predicate.warning.is_empty() {
        text.push_str(&format!("{}\n\n", visible(&predicate.warning)));
    }
    text.push_str(&format!("period     {}\n", visible(&predicate.weighed())));
    predicate.verdicts.iter().for_each(|line| text.push_str(&threshold(line)));
    text.push_str(&format!("subjects   the bundle and {} checkpoints\n", statement.subject.len().saturating_sub(1)));
    text
}

/// The verdict about the run, and all that may speak against resting on it.
fn threshold(line: &StatedVerdict) -> String {
    let said =
        |grade: Grade, verdict, scope: &str| format!("{}: {} — {}", grade.as_str(), word(verdict), visible(scope));
    let status = if line.status == "in-force" { String::new() } else { format!(" ({})", visible(&line.status)) };
    let verdict = said(line.grade, line.verdict, &line.scope);
    let mut text = format!("verdict    {verdict}  {}{status}\n", visible(&line.profile));
    if let Some(declared) = &line.declared {
        text.push_str(&format!("  beside   {}\n", said(declared.grade, declared.verdict, &declared.scope)));
    }
    if let Some(condition) = &line.condition {
        text.push_str(&format!("  if       {}\n", visible(condition)));
    }
    if let Some(clock) = &line.clock {
        text.push_str(&format!("  notify   {}: {}\n", clock.grade.as_str(), visible(&notify(clock))));
    }
    text
}

fn notify(clock: &StatedClock) -> String {
    match &clock.deadline {
        Some(deadline) => format!("by {deadline}"),
        None if clock.is_unsure => "it is not known whether a time to notify is running".to_owned(),
        None => "nothing begins a time to notify".to_owned(),
    }
}

fn of_file(path: &Path) -> impl Fn(StatementError) -> CliError {
    move |source| CliError::Statement { path: path.to_owned(), source }
}

#[expect(clippy::disallowed_methods, reason = "the door: keys and ECDSA signatures need the system's randomness")]
pub(super) fn randomness() -> SystemRandom {
    SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::sample_report;
    use weighbridge_attest_types::{DeclaredVerdict, Flops, Sentence, UnixMillis, Verdict};

    #[test]
    fn what_is_signed_is_shown_with_all_that_speaks_against_it() {
        let said = |report: &ThresholdReport| text(&Statement::of(report, b"a bundle", b"a report"));
        let mut report = sample_report();
        let silent = said(&report);
        assert!(silent.contains("notify   simulated: it is not known whether a time to notify is running"), "{silent}");
        assert!(silent.contains("period     ") && !silent.contains("beside   "), "{silent}");
        let line = &mut report.profiles[0];
        line.status = "future".to_owned();
        line.condition = Some(Sentence::on(["rule:a share"], "applies only somewhere"));
        line.clock.as_mut().unwrap().deadline = Some(UnixMillis(0));
        line.declared = Some(DeclaredVerdict {
            scope: "this run and declared work".to_owned(),
            lower: Flops(0),
            upper: None,
            this_run_lower: Flops(0),
            this_run_upper: Flops(0),
            verdict: Verdict::Straddles,
            why: Sentence::on(["field:/ledger"], "a sentence"),
            grade: Grade::Declared,
        });
        let told = said(&report);
        for words in [
            "(future)\n",
            "beside   declared: straddles — this run and declared work\n",
            "if       applies only somewhere\n",
            "notify   simulated: by 1970-01-01T00:00:00Z\n",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
