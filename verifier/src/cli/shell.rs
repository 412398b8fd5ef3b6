//! **Duty.** What a shell and `man` need to know of the commands: completions and manual pages, made from the same
//! definitions as `--help`. **Does not know** where a system keeps them.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::console::Console;
use crate::error::CliError;
use crate::files;

/// Prints a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge completions bash > \
    ~/.local/share/bash-completion/completions/weighbridge")]
pub(super) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the manual page, or writes the pages of all commands
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge man --out man1; man -l man1/weighbridge-verify.1")]
pub(super) struct ManArgs {
    /// Write one page per command into this folder instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl CompletionsArgs {
    pub(super) fn run(&self, mut command: Command, console: &mut Console<'_>) -> Result<u8, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "weighbridge", &mut script);
        console.print(&String::from_utf8_lossy(&script))?;
        Ok(0)
    }
}

impl ManArgs {
    pub(super) fn run(&self, mut command: Command, console: &mut Console<'_>) -> Result<u8, CliError> {
        command.build();
        let Some(folder) = &self.out else {
            console.print(&page(&command)?)?;
            return Ok(0);
        };
        let written = write_pages(&command, folder)?;
        console.tell(&format!("wrote {written} pages to {}\n", folder.display()))?;
        Ok(0)
    }
}

/// A page per command, named as `man` wants it: `weighbridge-bundle-assemble.1`.
fn write_pages(command: &Command, folder: &Path) -> Result<usize, CliError> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    files::write_atomically(&folder.join(format!("{name}.1")), page(command)?.as_bytes())?;
    let mut written = 1;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        written += write_pages(inner, folder)?;
    }
    Ok(written)
}

fn page(command: &Command) -> Result<String, CliError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(CliError::Output)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
