//! **Duty.** Subcommands, and the one edge where an outcome becomes text, JSON and an exit code.
//! **Does not know** how anything is checked. **Spec.** PROTOCOL §8; ECOSYSTEM §4 (exit codes, CLI).

mod appraise;
mod audit;
mod bundle;
mod commit;
mod console;
mod endorsements;
mod explain;
mod inspect;
mod judgement;
mod meter;
mod object;
mod outcome;
mod policy;
mod profiles;
mod report;
mod shell;
mod statement;
mod verify;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use weighbridge_attest_types::{Culprit, ThresholdReport};

use crate::cli::console::Console;
use crate::cli::object::{Object, Reason};
use crate::error::CliError;

const LICENCE: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nThe source is under Apache-2.0. This program links tdx-quote and is therefore distributed under\n",
    "AGPL-3.0-or-later; LICENSING.md says what that means."
);
const EXIT_CODES: &str = "Exit codes: 0 accepted; 1 a fault of ours; 2 usage; 3 malformed or unsupported; \
    4 untrusted; 5 rejected by policy or by what was required; 6 unavailable for now.";

/// Weighs a training run: how much compute it used, against a legal threshold, without opening the model, the data
/// or the code.
#[derive(Debug, Parser)]
#[command(name = "weighbridge", version, long_version = LICENCE, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(verify::VerifyArgs),
    Appraise(Box<appraise::AppraiseArgs>),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Endorsements(endorsements::EndorsementsCommand),
    Report(report::ReportArgs),
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    #[command(subcommand)]
    Meter(meter::MeterCommand),
    Commit(commit::CommitArgs),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Inspect(inspect::InspectArgs),
    Explain(explain::ExplainArgs),
    #[command(subcommand)]
    Statement(statement::StatementCommand),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object on standard output; messages for people go to standard error.
    Json,
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let (out_is_terminal, err_is_terminal) = (out.is_terminal(), err.is_terminal());
    let colour = console::colour_is_wanted();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        out_colour: colour && out_is_terminal,
        err_colour: colour && err_is_terminal,
        err_is_terminal,
    };
    ExitCode::from(run(std::env::args_os(), &mut console))
}

/// The summary that `verify` prints of an accepted bundle, without colours: whoever shows a report elsewhere shows the
/// same words and figures.
#[must_use]
pub fn render_text(report: &ThresholdReport) -> String {
    outcome::summary(report, console::Paint::plain())
}

/// The definition behind `--help`, manual pages and completions; every command says its exit codes.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command().mut_subcommands(with_exit_codes)
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(with_exit_codes);
    if command.has_subcommands() {
        return command.after_help(EXIT_CODES);
    }
    let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command.after_help(format!("{example}\n\n{EXIT_CODES}"))
}

/// Runs one command line and returns the exit code.
fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = command_line().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let (answered, json) = match parsed {
        Ok(Cli { command }) => {
            let json = command.answers_json();
            (command.run(console), json)
        }
        Err(error) if error.use_stderr() => (usage(&error, console, asks_for_json(&arguments)), false),
        Err(help) => (console.print(&help.render().to_string()).map(|()| 0), false),
    };
    match answered {
        Ok(code) => code,
        // Whoever closed the pipe needs no message; but an answer that nobody got is no acceptance.
        Err(error) if is_closed_pipe(&error) => error.culprit().exit_code(),
        Err(error) => fail(&error, console, json),
    }
}

impl Command {
    fn run(self, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self {
            Self::Verify(arguments) => arguments.run(console),
            Self::Appraise(arguments) => arguments.run(console),
            Self::Policy(arguments) => arguments.run(console),
            Self::Endorsements(arguments) => arguments.run(console),
            Self::Report(arguments) => arguments.run(console),
            Self::Bundle(bundle::BundleCommand::Assemble(arguments)) => arguments.run(console),
            Self::Meter(command) => command.run(console),
            Self::Commit(arguments) => arguments.run(console),
            Self::Audit(command) => command.run(console),
            Self::Inspect(arguments) => arguments.run(console),
            Self::Explain(arguments) => arguments.run(console),
            Self::Statement(arguments) => arguments.run(console),
            Self::Completions(arguments) => arguments.run(command_line(), console),
            Self::Man(arguments) => arguments.run(command_line(), console),
        }
    }

    fn answers_json(&self) -> bool {
        let format = match self {
            Self::Verify(arguments) => arguments.format,
            Self::Appraise(arguments) => arguments.format,
            Self::Policy(arguments) => arguments.format(),
            Self::Endorsements(arguments) => arguments.format(),
            Self::Report(arguments) => return arguments.answers_json(),
            Self::Bundle(bundle::BundleCommand::Assemble(arguments)) => arguments.format,
            Self::Meter(command) => command.format(),
            Self::Commit(arguments) => arguments.format,
            Self::Audit(command) => command.format(),
            Self::Explain(arguments) => arguments.format,
            Self::Statement(arguments) => arguments.format(),
            // Whoever reads JSON wants a verdict, and these commands have none to give.
            Self::Inspect(_) | Self::Completions(_) | Self::Man(_) => return false,
        };
        format == Format::Json
    }
}

fn is_closed_pipe(error: &CliError) -> bool {
    matches!(error, CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
}

/// A command line that does not parse cannot say its format; what was typed is looked at instead.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.windows(2).any(|pair| pair == ["--format", "json"]);
    pairs || arguments.iter().any(|argument| argument == "--format=json")
}

fn usage(error: &clap::Error, console: &mut Console<'_>, json: bool) -> Result<u8, CliError> {
    let text = error.render().to_string();
    console.tell(&text)?;
    if json {
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let reasons = vec![Reason { code: "command-line".to_owned(), message }];
        Object::refused(Culprit::Usage, reasons, Object::nothing()).print(console)?;
    }
    Ok(Culprit::Usage.exit_code())
}

/// The last resort: what goes wrong while saying what went wrong cannot be said.
fn fail(error: &CliError, console: &mut Console<'_>, json: bool) -> u8 {
    let culprit = error.culprit();
    let _ = console.tell(&console::failure(error, console.err_paint()));
    if json {
        let reasons = vec![Reason { code: error.code().to_owned(), message: error.chain() }];
        let _ = Object::refused(culprit, reasons, Object::nothing()).print(console);
    }
    culprit.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(line: &str) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console =
            Console { out: &mut out, err: &mut err, out_colour: false, err_colour: false, err_is_terminal: false };
        let code = run(line.split_whitespace().map(OsString::from), &mut console);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command_line().debug_assert();
    }

    #[test]
    fn the_version_names_the_licence_of_the_binary() {
        let (code, out, err) = answer("weighbridge --version");
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("AGPL-3.0-or-later") && out.contains("LICENSING.md"), "{out}");
    }

    #[test]
    fn a_wrong_command_line_is_usage_in_both_formats() {
        let (code, out, err) = answer("weighbridge verify");
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("<BUNDLE>"), "{err}");
        let (code, out, _) = answer("weighbridge verify x --at yesterday --format json");
        assert_eq!(code, 2);
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&object["verdict"], &object["claims"]), (&json!("usage"), &json!({})));
        assert_eq!(object["reasons"][0]["code"], "command-line");
    }

    #[test]
    fn an_answer_that_nobody_reads_is_no_acceptance() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut err = Vec::new();
        let mut console =
            Console { out: &mut Closed, err: &mut err, out_colour: false, err_colour: false, err_is_terminal: false };
        let line = ["weighbridge", "--version"].map(OsString::from);
        assert_eq!((run(line, &mut console), err.as_slice()), (6, b"".as_slice()));
    }

    #[test]
    fn a_missing_bundle_names_the_file_and_the_remedy() {
        let (code, out, err) = answer("weighbridge verify no/such/bundle");
        assert_eq!((code, out.as_str()), (2, ""));
        let expected = "error: cannot read no/such/bundle: No such file or directory (os error 2)\n  \
                        check the path, and that this account may read it\n";
        assert_eq!(err, expected);
    }

    #[test]
    fn errors_are_one_json_object_too() {
        let (code, out, _) = answer("weighbridge commit no/such/bundle --format json");
        let message = "cannot read no/such/bundle: No such file or directory (os error 2)";
        let expected = json!({
            "verdict": "usage",
            "reasons": [{"code": "file-unreadable", "message": message}],
            "claims": {}
        });
        assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (2, expected));
    }

    #[test]
    fn an_unknown_profile_lists_the_known_ones() {
        let known = "use one of: eu-ai-act-51-2, eu-gpai-2-1, eu-modifier-systemic, eu-modifier-gpai, us-ca-sb-53, \
                     us-ny-raise, us-eo-14110, demo";
        let (code, _, err) = answer("weighbridge report x --profile eu");
        assert_eq!(code, 2);
        assert!(err.contains("there is no threshold profile `eu`") && err.contains(known), "{err}");
        let (code, _, err) = answer("weighbridge verify x --require eu=below");
        assert_eq!(code, 2);
        assert!(err.contains("there is no threshold profile `eu`") && err.contains(known), "{err}");
    }

    #[test]
    fn bytes_that_are_no_bundle_are_malformed_and_claim_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not a bundle").unwrap();
        let (code, out, err) = answer(&format!("weighbridge verify {} --format json", file.path().display()));
        assert_eq!(code, 3, "{err}");
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(object["verdict"], "malformed");
        assert_eq!(object["claims"]["bracket"], Value::Null);
        assert_eq!(object["claims"]["profiles"], json!([]));
        assert!(!object["reasons"].as_array().unwrap().is_empty());
    }
}
