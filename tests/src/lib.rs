//! **Duty.** What scenarios share: sample runs, and the one place that finds captured evidence.
//! **Does not know** production internals; it uses what a user's program could use.

pub mod figures;
pub mod parsers;
pub mod pieces;
mod program;
pub mod rates;
mod sample_audit;
mod sample_run;
pub mod scale;
pub mod tiles;
pub mod vectors;

use std::path::{Path, PathBuf};

pub use program::{Ran, drivers, program, run};
pub use sample_audit::{SAMPLE_DRAWS, sample_policies};
pub use sample_run::{SAMPLE_INTERVAL, SAMPLE_START, SampleNode, SampleRun};

/// The folder with captured evidence and traces: `WEIGHBRIDGE_SHARED`, else `../shared` beside the tree. `None` on a
/// machine that does not have it; the test then says what it skipped through [`skipped`].
#[must_use]
pub fn shared() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the one place that looks for captured evidence")]
    let named = std::env::var_os("WEIGHBRIDGE_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = named.unwrap_or(beside);
    folder.is_dir().then_some(folder)
}

/// Says what a test did not do, and why.
pub fn skipped(what: &str) {
    println!("skipped: {what}");
}
