//! **Duty.** `weighbridge bundle assemble`: exports, witnesses and endorsements become one bundle.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use weighbridge_appraisal::{AssembleError, Check, Outcome};
use weighbridge_attest_types::{Culprit, UnixMillis};

use crate::assemble::{AssembleJob, Statement};
use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::judgement::HINT_ANCHORS;
use crate::cli::meter::{LimitArgs, StatementArgs};
use crate::cli::object::{Object, claims, reasons};
use crate::cli::outcome::{refusal, summary};
use crate::error::CliError;
use crate::{clock, instant};

/// Makes bundles
#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Makes one bundle from the exports of all nodes of a run
    Assemble(AssembleArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge bundle assemble node-*.export --witness witness \
    --endorsements collateral.json --out run.weighbridge")]
pub(super) struct AssembleArgs {
    /// Node exports: one file per node of the run, and one more for each later key of a node that was rebooted
    #[arg(required = true, value_name = "EXPORT")]
    exports: Vec<PathBuf>,
    /// Private witnesses of the nodes: folders with *.witness files, or such files; they do not enter the bundle
    #[arg(long, value_name = "DIR", num_args = 1..)]
    witness: Vec<PathBuf>,
    /// Endorsements: files or folders of collateral, certificates and revocation lists
    #[arg(long, value_name = "PATH", num_args = 1..)]
    endorsements: Vec<PathBuf>,
    /// Folder of additional trust anchors (*.anchor.json)
    #[arg(long, value_name = "DIR")]
    trust_roots: Option<PathBuf>,
    /// The bundle to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Instant of appraisal: now, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "now|TIME", default_value = "now", value_parser = instant_or_now)]
    at: Instant,
    #[command(flatten)]
    statements: StatementArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// A proof that `weighbridge meter prove` wrote about these exports, instead of proving now
    #[arg(long, value_name = "FILE", conflicts_with_all = ["declared", "metered", "energy", "resume", "compact"])]
    proof: Option<PathBuf>,
    /// How much the bundle shows: verdicts (sealed), the declared total to two figures as well (two-figures), or every
    /// reading (open)
    #[arg(long, value_enum, default_value_t)]
    level: DisclosureLevel,
    /// The provider's statement about the model and all its work, as JSON; it enters the bundle and is graded declared
    #[arg(long, value_name = "FILE")]
    declarations: Option<PathBuf>,
    /// Answers to the draws of the run's audit, as the training job wrote them; they enter the bundle
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// How much a bundle shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum DisclosureLevel {
    /// Every reading, and so the exact totals.
    Open,
    /// Verdicts; readings and totals stay with the operator.
    #[default]
    Sealed,
    /// The declared total to two figures.
    TwoFigures,
}

/// `None` is now.
type Instant = Option<UnixMillis>;

impl AssembleArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let statements = match self.level {
            DisclosureLevel::TwoFigures if self.statements.names_declared() || self.proof.is_some() => {
                return Err(CliError::LevelAndStatement);
            }
            DisclosureLevel::TwoFigures => self.statements.with_declared(Statement::TwoFigures),
            DisclosureLevel::Open | DisclosureLevel::Sealed => self.statements.all(),
        };
        let limits = self.limits.limits();
        let job = AssembleJob {
            exports: &self.exports,
            witnesses: &self.witness,
            endorsements: &self.endorsements,
            trust_roots: self.trust_roots.as_deref(),
            at: self.at.map_or_else(clock::now, Ok)?,
            statements: &statements,
            limits: &limits,
            proof: self.proof.as_deref(),
            declarations: self.declarations.as_deref(),
            answers: self.answers.as_deref(),
            open: self.level == DisclosureLevel::Open,
            out: &self.out,
        };
        let spinner = console.spinner();
        let report = job.run(&mut |stage| spinner.set_message(stage.to_owned()));
        spinner.finish_and_clear();
        let report = match report {
            // Every failed check is listed, as `verify` would list it.
            Err(CliError::Assemble(AssembleError::Refused(checks))) => return self.refuse(checks, console),
            report => report?,
        };
        match self.format {
            Format::Text => {
                let mut text = summary(&report, console.out_paint());
                text.push_str(&format!("wrote {}\n", self.out.display()));
                console.print(&text)?;
            }
            Format::Json => {
                console.tell(&format!("wrote {}\n", self.out.display()))?;
                let outcome = Outcome { checks: Vec::new(), report: Some(report) };
                Object::accepted(claims(&outcome)).print(console)?;
            }
        }
        Ok(0)
    }
}

impl AssembleArgs {
    fn refuse(&self, checks: Vec<Check>, console: &mut Console<'_>) -> Result<u8, CliError> {
        let outcome = Outcome { checks, report: None };
        let culprit = outcome.culprit().unwrap_or(Culprit::Internal);
        let paint = console.err_paint();
        let hints: &[&str] = match &self.trust_roots {
            None if culprit == Culprit::Untrusted => &[HINT_ANCHORS],
            _ => &[],
        };
        console.tell(&refusal(&outcome, culprit, hints, paint))?;
        console.tell("no bundle was written, because this one would not verify\n")?;
        if self.format == Format::Json {
            Object::refused(culprit, reasons(&outcome), claims(&outcome)).print(console)?;
        }
        Ok(culprit.exit_code())
    }
}

fn instant_or_now(text: &str) -> Result<Instant, String> {
    match text {
        "now" => Ok(None),
        _ => instant::parse(text).map(Some).map_err(|error| error.to_string()),
    }
}
