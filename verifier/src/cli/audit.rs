//! **Duty.** `weighbridge audit`: what a policy promises, what an operator tries on traces, and which leaves a challenge draws.
//! **Does not know** how tiles or links are judged. **Spec.** PROTOCOL §8.

mod draw;
mod plan;
mod policy;
mod proofs;
mod source;
mod trial;

use clap::Subcommand;

use crate::cli::Format;
use crate::cli::console::Console;
use crate::error::CliError;

/// Plans an audit, tries it on captured training steps, and draws from them
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    Plan(plan::PlanArgs),
    Draw(Box<draw::DrawArgs>),
    Trial(trial::TrialArgs),
}

impl AuditCommand {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self {
            Self::Plan(arguments) => arguments.run(console),
            Self::Draw(arguments) => arguments.run(console),
            Self::Trial(arguments) => arguments.run(console),
        }
    }

    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Plan(arguments) => arguments.format,
            Self::Draw(arguments) => arguments.format,
            Self::Trial(arguments) => arguments.format,
        }
    }
}
