//! **Duty.** Arguments in, exit code out, and what to type next. **Does not know** how the demo works.
//! **Spec.** PROTOCOL §8 (exit codes).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use weighbridge_daemon::error::chain_text;
use weighbridge_verifier::render_text;

use crate::progress::Screen;
use crate::stages::{DemoOutput, Options, run};

/// Trains a small model on two simulated nodes, weighs the run, proves a statement about it and verifies the bundle.
/// Takes about two minutes.
#[derive(Debug, Parser)]
#[command(name = "weighbridge-demo", version)]
struct Arguments {
    /// Folder for everything the demo makes; one that an earlier demo made is emptied first.
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { out } = Arguments::parse();
    let screen = Screen::for_people();
    let options = Options { out, ..Options::default() };
    match run(&options, &screen) {
        Ok(done) => {
            conclude(&done, &options.out, &screen);
            ExitCode::SUCCESS
        }
        Err(error) => {
            screen.done();
            eprintln!("weighbridge-demo: {}", chain_text(&error));
            ExitCode::from(error.culprit().exit_code())
        }
    }
}

/// What the demo did to its nodes, and where a reader finds it.
const WHAT_HAPPENED: [&str; 5] = [
    "What happened, and where it shows (lines `happened` above; section “What happened” of the page):",
    "  the job died and went on from a checkpoint: both attempts are in the declared total, and in the checkpoints",
    "  node 1's service was down: a gap in its ledger, charged like all other time",
    "  node 2 was rebooted: two keys, the second continues the first one's last quoted head; the time between is a gap",
    "  accelerators stood idle: recorded as idle, and charged all the same",
];

fn conclude(done: &DemoOutput, out: &Path, screen: &Screen) {
    screen.line("");
    // The same words and figures that `weighbridge verify` prints.
    render_text(&done.report).lines().for_each(|line| screen.line(line));
    screen.line("");
    WHAT_HAPPENED.iter().for_each(|line| screen.line(line));
    screen.line("");
    next_commands(out).iter().for_each(|line| screen.line(line));
}

fn next_commands(out: &Path) -> Vec<String> {
    let bundle = out.join("run.weighbridge").display().to_string();
    let roots = out.join("trust-roots").display().to_string();
    let page = out.join("report-demo.html").display().to_string();
    let weighbridge = "cargo run --release --bin weighbridge --";
    vec![
        "What to type next:".to_owned(),
        format!("  {weighbridge} verify {bundle} --trust-roots {roots}"),
        format!("  {weighbridge} verify {bundle}     # without the development roots: untrusted, exit code 4"),
        format!("  {weighbridge} report {bundle} --trust-roots {roots} --profile demo --format html --out {page}"),
        format!("  {weighbridge} inspect {bundle}"),
    ]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_commands_name_the_folder_that_was_asked_for() {
        let lines = next_commands(Path::new("some/where"));
        let verify = "  cargo run --release --bin weighbridge -- verify some/where/run.weighbridge --trust-roots \
                      some/where/trust-roots";
        assert_eq!(lines[1], verify);
    }
}
