//! **Duty.** `weighbridge report`: the report of a bundle as a page or as JSON, after the bundle was verified again. A
//! bundle that does not verify has no report.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::assemble::profile;
use crate::cli::console::Console;
use crate::cli::judgement::Judgement;
use crate::cli::object::{Object, claims, pretty, reasons};
use crate::cli::outcome::{judged, refusal};
use crate::error::CliError;
use crate::{files, html};

/// Verifies a bundle again and writes its report
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge report run.weighbridge --profile eu-ai-act-51-2 --out report.html")]
pub(super) struct ReportArgs {
    #[command(flatten)]
    judgement: Judgement,
    /// Threshold profile whose verdict leads the page; the report always holds all of them
    #[arg(long, value_parser = known_profile)]
    profile: String,
    /// A self-contained page, or the report as data
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ReportFormat {
    #[default]
    Html,
    Json,
}

impl ReportArgs {
    pub(super) fn answers_json(&self) -> bool {
        self.format == ReportFormat::Json
    }

    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let outcome = self.judgement.verify()?;
        let report = match judged(&outcome) {
            Ok(report) => report,
            Err(culprit) => {
                let hints = self.judgement.hints(culprit);
                console.tell(&refusal(&outcome, culprit, &hints, console.err_paint()))?;
                if self.answers_json() {
                    Object::refused(culprit, reasons(&outcome), claims(&outcome)).print(console)?;
                }
                return Ok(culprit.exit_code());
            }
        };
        let text = match self.format {
            ReportFormat::Html => html::render(report, &self.profile).map_err(CliError::Html)?,
            ReportFormat::Json => pretty(report, "the report")?,
        };
        match &self.out {
            None => console.print(&text)?,
            Some(path) => {
                files::write_atomically(path, text.as_bytes())?;
                console.tell(&format!("wrote {}\n", path.display()))?;
            }
        }
        Ok(0)
    }
}

fn known_profile(id: &str) -> Result<String, String> {
    profile(id).map(|profile| profile.id).map_err(|error| error.advice())
}
