//! **Duty.** `weighbridge meter plan|prove|check`: what a proof over a whole run will take, the proof itself, and whether
//! a proof that stands alone is about these ledgers. **Does not know** how anything is proven or checked.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weighbridge_appraisal::{ProofFile, check_proof_file};
use weighbridge_circuits::{Component, Weighed};

use crate::assemble::{RunExports, Statement, StatementAbout, open_run, read_proof, state};
use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::object::{Object, claims, reasons};
use crate::cli::outcome::{refusal, tree};
use crate::error::CliError;
use crate::figures::grouped;
use crate::files;
use crate::meter::{Event, Prepared, ProveLimits, rough};

/// Proves the totals of a run's committed readings, and checks such a proof
#[derive(Debug, Subcommand)]
pub(super) enum MeterCommand {
    /// Says what a proof will take: pieces, rows, time, memory and disk, each an estimate
    Plan(PlanArgs),
    /// Proves; with --resume, an interrupted run goes on where it stopped
    Prove(ProveArgs),
    /// Checks a proof against the ledgers of its run
    Check(CheckArgs),
}

/// What is stated.
#[derive(Debug, Clone, Args)]
pub(super) struct StatementArgs {
    /// What to prove about the declared total: le=PROFILE, gt=PROFILE, in=PROFILE..PROFILE, two-figures or none;
    /// repeatable; by default le with the smallest threshold for which it is true
    #[arg(long, value_name = "STATEMENT", value_parser = Statement::parse)]
    declared: Vec<Statement>,
    /// The same about the operations that counters saw; repeatable
    #[arg(long, value_name = "STATEMENT", value_parser = Statement::parse)]
    metered: Vec<Statement>,
    /// What to prove about the energy that counters saw: two-figures or none
    #[arg(long, value_name = "STATEMENT", value_parser = Statement::parse_energy)]
    energy: Option<Statement>,
}

/// Limits of proving.
#[derive(Debug, Clone, Args)]
pub(super) struct LimitArgs {
    /// Most memory that proving may take, such as 4GiB; by default nine tenths of what is free
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Pieces proven at a time; by default as many as there are processors and the memory allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    jobs: Option<u16>,
    /// Folder in which finished pieces are kept: the same command goes on from there. They are private
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Wrap the proof once more into half the bytes: 4 GiB of memory and half a minute
    #[arg(long)]
    compact: bool,
}

/// Which run.
#[derive(Debug, Args)]
struct RunArgs {
    /// Node exports: one file per node of the run, and one more for each later key of a node that was rebooted
    #[arg(required = true, value_name = "EXPORT")]
    exports: Vec<PathBuf>,
    /// Private witnesses of the nodes: folders with *.witness files, or such files
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    witness: Vec<PathBuf>,
    #[command(flatten)]
    statements: StatementArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge meter plan node-*.export --witness witness --memory 8GiB")]
pub(super) struct PlanArgs {
    #[command(flatten)]
    run: RunArgs,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge meter prove node-*.export --witness witness --resume pieces \
    --declared le=eu-ai-act-51-2 --out run.proof")]
pub(super) struct ProveArgs {
    #[command(flatten)]
    run: RunArgs,
    /// The proof to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge meter check run.proof node-*.export")]
pub(super) struct CheckArgs {
    /// The proof
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    /// Node exports: all of the run
    #[arg(required = true, value_name = "EXPORT")]
    exports: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl StatementArgs {
    /// Everything that was named, or the default.
    pub(super) fn all(&self) -> Vec<StatementAbout> {
        let named = self.named();
        match named.is_empty() {
            true => vec![StatementAbout::declared(Statement::SmallestThreshold)],
            false => named,
        }
    }

    pub(super) const fn names_declared(&self) -> bool {
        !self.declared.is_empty()
    }

    /// What was named, and this about the declared total.
    pub(super) fn with_declared(&self, statement: Statement) -> Vec<StatementAbout> {
        let mut all = vec![StatementAbout::declared(statement)];
        all.extend(self.named());
        all
    }

    fn named(&self) -> Vec<StatementAbout> {
        let of = |component, statements: &[Statement]| {
            let about = |statement: &Statement| StatementAbout { component, statement: statement.clone() };
            statements.iter().map(about).collect::<Vec<_>>()
        };
        let energy: Vec<Statement> = self.energy.iter().cloned().collect();
        [of(Component::Declared, &self.declared), of(Component::Metered, &self.metered), of(Component::Energy, &energy)]
            .concat()
    }
}

impl LimitArgs {
    pub(super) fn limits(&self) -> ProveLimits {
        ProveLimits {
            memory: self.memory,
            jobs: self.jobs.map(usize::from),
            resume: self.resume.clone(),
            compact: self.compact,
        }
    }
}

impl MeterCommand {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self {
            Self::Plan(arguments) => arguments.run(console),
            Self::Prove(arguments) => arguments.run(console),
            Self::Check(arguments) => arguments.run(console),
        }
    }

    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Plan(arguments) => arguments.format,
            Self::Prove(arguments) => arguments.format,
            Self::Check(arguments) => arguments.format,
        }
    }
}

impl RunArgs {
    /// Reads the run, holds it together natively, plans, and hands the plan on.
    fn prepare<T>(&self, then: impl FnOnce(&Prepared<'_>, &Weighed<'_>) -> Result<T, CliError>) -> Result<T, CliError> {
        let statements = self.statements.all();
        if statements.iter().all(|about| about.statement == Statement::Omitted) {
            return Err(CliError::Relations("nothing is stated, so that there is nothing to prove"));
        }
        let run = RunExports::read(&self.exports)?;
        let chains = open_run(&run, &self.witness, &statements)?;
        let weighed = Weighed::of(run.manifest().genesis(), &chains).map_err(CliError::Prove)?;
        let statement = state(&run, &weighed, &statements)?;
        let limits = self.limits.limits();
        let prepared = limits.prepare(&weighed, &statement)?;
        then(&prepared, &weighed)
    }
}

impl PlanArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        self.run.prepare(|prepared, weighed| {
            match self.format {
                Format::Text => console.print(&plan_text(prepared, weighed))?,
                Format::Json => Object::accepted(plan_claims(prepared, weighed)).print(console)?,
            }
            Ok(0)
        })
    }
}

fn plan_text(prepared: &Prepared<'_>, weighed: &Weighed<'_>) -> String {
    let estimate = &prepared.estimate;
    let chains = weighed.list().count();
    let mut text = format!(
        "{} intervals of {chains} chains; every figure below is an estimate from a table measured on another machine\n",
        grouped(weighed.intervals() as u128)
    );
    for (kind, count) in &estimate.pieces {
        let _ = writeln!(text, "  {:<12} {count:>7} × 2^{} rows", kind.circuit(), kind.rows_log());
    }
    let mib = |bytes: u64| grouped(u128::from(bytes >> 20));
    let _ = writeln!(text, "rows       {}", grouped(u128::from(estimate.rows)));
    let _ = writeln!(text, "processor  {}", rough(estimate.processor));
    let _ = writeln!(text, "time       {}, {} at a time", rough(estimate.wall), prepared.workers);
    let _ = writeln!(text, "memory     {} MiB of {} MiB", mib(estimate.memory), mib(prepared.memory));
    let _ = writeln!(text, "disk       {} MiB with --resume", mib(estimate.bytes));
    text
}

fn plan_claims(prepared: &Prepared<'_>, weighed: &Weighed<'_>) -> Value {
    let estimate = &prepared.estimate;
    let pieces: serde_json::Map<String, Value> =
        estimate.pieces.iter().map(|(kind, count)| (kind.circuit().to_owned(), json!(count))).collect();
    json!({
        "is_estimate": true,
        "intervals": weighed.intervals(),
        "chains": weighed.list().count(),
        "pieces": pieces,
        "rows": estimate.rows,
        "processor_seconds": estimate.processor.as_secs(),
        "wall_seconds": estimate.wall.as_secs(),
        "at_a_time": prepared.workers,
        "memory_bytes": estimate.memory,
        "memory_cap_bytes": prepared.memory,
        "disk_bytes": estimate.bytes,
    })
}

impl ProveArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        files::check_folder_of(&self.out)?;
        let spinner = console.spinner();
        let mut refused: Vec<String> = Vec::new();
        let proof = self.run.prepare(|prepared, _| {
            prepared.prove(&mut |event| match &event {
                Event::Refused { .. } => refused.push(event.text()),
                Event::Progress { .. } => spinner.set_message(event.text()),
            })
        });
        spinner.finish_and_clear();
        for line in &refused {
            console.tell(&format!("{line}\n"))?;
        }
        let proof = proof?;
        let relations: Vec<&str> = proof.public.relations.iter().map(|relation| relation.name()).collect();
        let claims =
            json!({ "statements": relations, "chains": proof.public.chains.count(), "bytes": proof.proof.len() });
        files::write_atomically(&self.out, &ProofFile::new(proof).to_bytes())?;
        console.tell(&format!("wrote {}\n", self.out.display()))?;
        if self.format == Format::Json {
            Object::accepted(claims).print(console)?;
        }
        Ok(0)
    }
}

impl CheckArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let file = read_proof(&self.proof)?;
        let run = RunExports::read(&self.exports)?;
        let outcome = check_proof_file(&file, run.manifest(), &run.ledgers());
        let culprit = outcome.culprit();
        if self.format == Format::Text {
            console.print(&tree(&outcome, console.out_paint()))?;
        }
        match culprit {
            None if self.format == Format::Json => Object::accepted(claims(&outcome)).print(console)?,
            None => {
                console.print("the proof holds and is about these ledgers; nothing was asked about their evidence\n")?
            }
            Some(culprit) => {
                console.tell(&refusal(&outcome, culprit, &[], console.err_paint()))?;
                if self.format == Format::Json {
                    Object::refused(culprit, reasons(&outcome), claims(&outcome)).print(console)?;
                }
            }
        }
        Ok(culprit.map_or(0, |culprit| culprit.exit_code()))
    }
}

/// A number of bytes with a unit: `4GiB`, `512MiB`, `3000000000`.
pub(in crate::cli) fn size(text: &str) -> Result<u64, String> {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("GB", 1_000_000_000), ("MB", 1_000_000), ("", 1)];
    let parsed = units.into_iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(bytes)
    });
    parsed.filter(|&bytes| bytes > 0).ok_or_else(|| format!("`{text}` is no size; write for example 4GiB or 900MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_are_not_zero() {
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("3GB"), Ok(3_000_000_000));
        assert_eq!(size("77"), Ok(77));
        for wrong in ["", "0", "GiB", "-1GiB", "4 gib", "99999999999GiB", "1.5GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
