//! **Duty.** `weighbridge endorsements`: what lies in a folder of vendors' statements and until when it holds; one archive of
//! it, out and in. No network: `weighbridge-fetch` fills a folder. **Does not know** whether a statement is signed.
//! **Spec.** ECOSYSTEM §3 (14–16); docs/endorsements.md.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weighbridge_attest::VendorStatement;
use weighbridge_attest_types::{Culprit, UnixMillis, sha256};
use weighbridge_endorsements::{
    FileStatus, ImportOutcome, MAX_ARCHIVE_BYTES, State, Store, pack, parse_span, status, unpack,
};

use crate::cli::Format;
use crate::cli::appraise::At;
use crate::cli::console::{Console, Paint};
use crate::cli::object::{Object, Reason};
use crate::error::CliError;
use crate::files;
use crate::instant;
use crate::prose::beside;
use crate::visible::visible;

const COLUMNS: usize = 100;

/// Shows, exports and imports folders of vendors' statements
#[derive(Debug, Subcommand)]
pub(super) enum EndorsementsCommand {
    Status(StatusArgs),
    Export(ExportArgs),
    Import(ImportArgs),
}

/// Says what each file of a folder is, for whom, and until when it holds; fails when something has ended
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge endorsements status store --within 7d\n\n\
    Nothing is verified: signatures are checked whenever evidence is judged.")]
pub(super) struct StatusArgs {
    /// The folder
    store: PathBuf,
    /// Fail also for what ends within this time, such as 12h or 7d
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_span)]
    within: Duration,
    /// Instant to judge at: now, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "now|TIME", default_value = "now", value_parser = At::parse)]
    at: At,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Writes a folder as one file; the same folder gives the same bytes
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge endorsements export store --out endorsements.archive")]
pub(super) struct ExportArgs {
    /// The folder
    store: PathBuf,
    /// The archive to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Takes the files of an archive into a folder, but for those that hold no longer than the ones that are there
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge endorsements import endorsements.archive --into store")]
pub(super) struct ImportArgs {
    /// The archive
    archive: PathBuf,
    /// The folder
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl EndorsementsCommand {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self {
            Self::Status(arguments) => arguments.run(console),
            Self::Export(arguments) => arguments.run(console),
            Self::Import(arguments) => arguments.run(console),
        }
    }

    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Status(arguments) => arguments.format,
            Self::Export(arguments) => arguments.format,
            Self::Import(arguments) => arguments.format,
        }
    }
}

impl StatusArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let at = self.at.instant()?;
        let files = Store::at(&self.store).files().map_err(CliError::Store)?;
        let within = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        let rows = status(&files, at, within);
        let culprit = rows.iter().filter_map(|row| reason(row).map(|(culprit, _, _)| culprit)).min();
        match self.format {
            Format::Text => {
                let text = text(&rows, at, culprit, console.out_paint());
                console.print(&text)?;
            }
            Format::Json => object(&rows, at, culprit).print(console)?,
        }
        Ok(culprit.map_or(0, Culprit::exit_code))
    }
}

/// Why a file is not simply good: who has to act, a code and a sentence.
fn reason(row: &FileStatus) -> Option<(Culprit, &'static str, String)> {
    let until = || row.until().map_or_else(|| "a time it does not say".to_owned(), instant::rfc3339);
    let (culprit, code, why) = match row.state {
        State::Valid => return None,
        State::Ending => (Culprit::Unavailable, "endorsement-ending", format!("ends at {}", until())),
        State::Ended => (Culprit::Unavailable, "endorsement-ended", format!("ended at {}", until())),
        State::NotYet => (Culprit::Unavailable, "endorsement-not-yet", "does not hold yet".to_owned()),
        State::Undated => (Culprit::Unavailable, "endorsement-undated", "does not say until when it holds".to_owned()),
        State::Unreadable => (Culprit::Malformed, "endorsement-unreadable", row.unreadable.clone().unwrap_or_default()),
        State::Unknown => {
            let why = row.unreadable.clone().unwrap_or_else(|| "no kind of evidence here knows this file".to_owned());
            (Culprit::Malformed, "endorsement-unknown", why)
        }
    };
    Some((culprit, code, format!("{}: {why}", row.name)))
}

fn text(rows: &[FileStatus], at: UnixMillis, culprit: Option<Culprit>, paint: Paint) -> String {
    let mut text = String::new();
    for row in rows {
        let word = state_word(row.state);
        let word = match row.state {
            State::Valid => paint.good(word),
            State::Ending | State::Undated => paint.doubt(word),
            _ => paint.bad(word),
        };
        let kind = row.kind.map_or_else(String::new, |kind| format!("  for {kind}"));
        text.push_str(&format!("{}  {word}{kind}\n", paint.strong(&visible(&row.name))));
        if let Some(why) = &row.unreadable {
            text.push_str(&beside("  ", &visible(why), COLUMNS, 2));
        }
        for statement in &row.statements {
            let VendorStatement { what, about, from: _, until, is_timeless: _ } = statement;
            let until = until.map_or_else(|| "no end".to_owned(), |until| format!("until {}", instant::rfc3339(until)));
            text.push_str(&beside(&format!("  {what:<17} {until:<27} "), &visible(about), COLUMNS, 48));
        }
    }
    let last = match culprit {
        None => paint.good("all of it holds"),
        Some(culprit) => format!("{} (exit code {})", paint.bad("not all of it holds"), culprit.exit_code()),
    };
    text + &format!("{} files as of {}: {last}\n", rows.len(), instant::rfc3339(at))
}

const fn state_word(state: State) -> &'static str {
    match state {
        State::Valid => "valid",
        State::Ending => "ending",
        State::Ended => "ended",
        State::NotYet => "not yet valid",
        State::Undated => "undated",
        State::Unreadable => "unreadable",
        State::Unknown => "unknown",
    }
}

fn object(rows: &[FileStatus], at: UnixMillis, culprit: Option<Culprit>) -> Object {
    let time = |at: Option<UnixMillis>| at.map(instant::rfc3339);
    let statement = |statement: &VendorStatement| {
        let VendorStatement { what, about, from, until, is_timeless } = statement;
        json!({ "what": what, "about": about, "from": time(*from), "until": time(*until), "timeless": is_timeless })
    };
    let file = |row: &FileStatus| -> Value {
        json!({
            "file": row.name,
            "kind": row.kind,
            "state": row.state,
            "from": time(row.from()),
            "until": time(row.until()),
            "statements": row.statements.iter().map(statement).collect::<Vec<_>>(),
        })
    };
    let claims = json!({ "as_of": instant::rfc3339(at), "files": rows.iter().map(file).collect::<Vec<_>>() });
    let reasons = rows.iter().filter_map(reason).map(|(_, code, message)| Reason { code: code.to_owned(), message });
    match culprit {
        None => Object::accepted(claims),
        Some(culprit) => Object::refused(culprit, reasons.collect(), claims),
    }
}

impl ExportArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let files = Store::at(&self.store).files().map_err(CliError::Store)?;
        let archive = pack(&files).map_err(CliError::Store)?;
        files::write_atomically(&self.out, &archive)?;
        let digest = sha256(&archive);
        match self.format {
            Format::Text => {
                console.print(&format!(
                    "wrote {} with {} files\nsha256:{digest}\n",
                    self.out.display(),
                    files.len()
                ))?;
            }
            Format::Json => Object::accepted(json!({ "files": files.len(), "sha256": digest })).print(console)?,
        }
        Ok(0)
    }
}

impl ImportArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let bytes = files::read_capped(&self.archive, MAX_ARCHIVE_BYTES)?;
        let imported = unpack(&bytes, &Store::at(&self.into)).map_err(CliError::Store)?;
        let word = |outcome: ImportOutcome| match outcome {
            ImportOutcome::Added => "added",
            ImportOutcome::Replaced => "replaced",
            ImportOutcome::Same => "same",
            ImportOutcome::Kept => "kept",
        };
        match self.format {
            Format::Text => {
                let line =
                    |file: &weighbridge_endorsements::Imported| format!("{:<9} {}\n", word(file.outcome), file.name);
                console.print(&imported.iter().map(line).collect::<String>())?;
                if imported.iter().any(|file| file.outcome == ImportOutcome::Kept) {
                    console.tell("kept: what was there holds as long or longer\n")?;
                }
            }
            Format::Json => {
                let file =
                    |file: &weighbridge_endorsements::Imported| json!({ "file": file.name, "outcome": file.outcome });
                Object::accepted(json!({ "files": imported.iter().map(file).collect::<Vec<_>>() })).print(console)?;
            }
        }
        Ok(0)
    }
}
