//! **Duty.** Completions and manual pages, from the definitions of `--help`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use weighbridge_attest_types::Culprit;
use weighbridge_endorsements::write_atomically;

use super::output::said;

/// Prints a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge-fetch completions bash")]
pub(super) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the manual page, or writes the pages of all commands
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge-fetch man --out man1")]
pub(super) struct ManArgs {
    /// Write one page per command into this folder instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl CompletionsArgs {
    pub(super) fn run(&self, mut command: clap::Command, out: &mut dyn Write) -> u8 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "weighbridge-fetch", &mut script);
        said(out, &String::from_utf8_lossy(&script))
    }
}

impl ManArgs {
    pub(super) fn run(&self, mut command: clap::Command, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        command.build();
        let Some(folder) = &self.out else { return said(out, &page(&command)) };
        let inner = command.get_subcommands().filter(|inner| inner.get_name() != "help");
        for page_of in std::iter::once(&command).chain(inner) {
            let name = page_of.get_display_name().unwrap_or_else(|| page_of.get_name());
            let path = folder.join(format!("{name}.1"));
            if let Err(error) = write_atomically(&path, page(page_of).as_bytes()) {
                let _ = writeln!(err, "error: cannot write {}: {error}", path.display());
                return Culprit::Usage.exit_code();
            }
        }
        0
    }
}

fn page(command: &clap::Command) -> String {
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = clap_mangen::Man::new(command.clone()).render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}
