//! **Duty.** `weighbridge commit`: the roots and file digests of a checkpoint, as a ledger would record them.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use weighbridge_commitments::{CheckpointDigests, commit_checkpoint};

use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::object::Object;
use crate::error::CliError;
use crate::figures::grouped;
use crate::files;
use crate::visible::visible;

/// Prints the roots of a checkpoint, to compare with those in a report
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge commit model-00001.safetensors model-00002.safetensors")]
pub(super) struct CommitArgs {
    /// Safetensors files of one checkpoint, or a folder of them
    #[arg(required = true, value_name = "CHECKPOINT")]
    checkpoints: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl CommitArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let files = self.files()?;
        let bar = console.byte_bar();
        let digests = commit_checkpoint(&files, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let digests = digests.map_err(CliError::Commit)?;
        match self.format {
            Format::Text => console.print(&text(&digests))?,
            Format::Json => {
                let CheckpointDigests { fast_root, algebraic_root, files, tensors, bytes } = digests;
                let claims = json!({
                    "fast_root": fast_root,
                    "algebraic_root": algebraic_root,
                    "tensors": tensors,
                    "bytes": bytes,
                    "files": files,
                });
                Object::accepted(claims).print(console)?;
            }
        }
        Ok(0)
    }

    /// Folders stand for the safetensors files in them; a path that is not there is the person's to mend.
    fn files(&self) -> Result<Vec<PathBuf>, CliError> {
        let mut files = Vec::new();
        for path in &self.checkpoints {
            let metadata = fs::metadata(path).map_err(|source| CliError::Read { path: path.clone(), source })?;
            if metadata.is_dir() {
                let inside = files::files_at(path)?;
                files
                    .extend(inside.into_iter().filter(|file| file.extension().is_some_and(|end| end == "safetensors")));
            } else {
                files.push(path.clone());
            }
        }
        Ok(files)
    }
}

fn text(digests: &CheckpointDigests) -> String {
    let CheckpointDigests { fast_root, algebraic_root, files, tensors, bytes } = digests;
    let mut text = format!("fast root       {fast_root}\nalgebraic root  {algebraic_root}\n");
    text.push_str(&format!("tensors         {tensors}, {} bytes\n", grouped(u128::from(*bytes))));
    text.push_str("files           SHA-256, bytes, name\n");
    for file in files {
        text.push_str(&format!("  {}  {}  {}\n", file.sha256, grouped(u128::from(file.bytes)), visible(&file.name)));
    }
    text
}
