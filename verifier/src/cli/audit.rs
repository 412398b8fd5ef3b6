//! **Duty.** `weighbridge audit`: what an operator tries on traces before anything is committed or proven. **Does not know**
//! how tiles or links are judged. **Spec.** PROTOCOL §8.

mod source;
mod trial;

use clap::Subcommand;

/// Tries the audit on captured training steps
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    Trial(trial::TrialArgs),
}
