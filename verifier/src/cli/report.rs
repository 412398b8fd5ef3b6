//! **Duty.** `weighbridge report`: the report of a bundle as a page or as JSON, after the bundle was verified again. A
//! bundle that does not verify has no report.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::assemble::known_id;
use crate::cli::console::Console;
use crate::cli::judgement::{Judgement, OwnProfiles};
use crate::cli::object::{Object, claims, pretty, reasons};
use crate::cli::outcome::{judged, refusal};
use crate::cli::profiles;
use crate::error::CliError;
use crate::{files, html};

/// Verifies a bundle again and writes its report
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge report run.weighbridge --profile eu-ai-act-51-2 --out report.html")]
pub(super) struct ReportArgs {
    #[command(flatten)]
    judgement: Judgement,
    #[command(flatten)]
    own: OwnProfiles,
    /// Threshold profile whose verdict leads the page: an id, or a *.json file of your own; the report always holds all
    /// that ship with the program
    #[arg(long, value_name = "PROFILE|FILE")]
    profile: PathBuf,
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
        let own_file = Some(&self.profile).filter(|path| profiles::is_json(path));
        let own = self.own.load(own_file)?;
        let leading = match own_file {
            // The file of --profile is read last.
            Some(_) => own.last().map(|profile| profile.id.clone()).unwrap_or_default(),
            None => known_id(&self.profile.display().to_string(), &own)?,
        };
        let mut outcome = self.judgement.verify()?;
        outcome.judge_also(&own);
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
            ReportFormat::Html => html::render(report, &leading).map_err(CliError::Html)?,
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
