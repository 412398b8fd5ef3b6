//! **Duty.** `weighbridge commit`: the roots and file digests of a checkpoint, as a ledger would record them; whether they
//! are the expected ones; and whether a model's signature covers them. **Does not know** how anything is computed.

mod expected;
mod model;
mod rate;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use weighbridge_attest_types::{Culprit, FileDigest};
use weighbridge_commitments::{CheckpointDigests, Effort, algebraic_root, commit_checkpoint, fast_root};

use crate::cli::Format;
use crate::cli::commit::expected::{Expected, Found, Kind};
use crate::cli::commit::model::{Model, OmsAnswer};
use crate::cli::commit::rate::Rate;
use crate::cli::console::Console;
use crate::cli::object::{Object, Reason};
use crate::error::CliError;
use crate::figures::grouped;
use crate::files;
use crate::visible::visible;

const HELP: &str = "A folder stands for the safetensors files directly in it (roots), and for all files below it \
    (OMS digest; .git, .github, .gitattributes and .gitignore at its top are left out, as the OpenSSF tool does). \
    Several files have the OMS digest of a folder that holds them and nothing else.\n\n\
    Example: weighbridge commit model-00001.safetensors model-00002.safetensors\n\n\
    Exit codes: 0; 3 files or signature malformed; 4 the signature does not hold, or files differ from what was signed; \
    5 a --check differs.";

/// Prints the roots of a checkpoint, to compare with those in a report
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct CommitArgs {
    /// Safetensors files of one checkpoint, or a model's folder
    #[arg(required = true, value_name = "CHECKPOINT")]
    checkpoints: Vec<PathBuf>,
    /// Exit with 5 unless this root or digest is found: 64 hexadecimal digits, repeatable. With `fast:`, `algebraic:` or
    /// `oms:` before it, only that kind is computed
    #[arg(long, value_name = "ROOT")]
    check: Vec<Expected>,
    /// Verify an OpenSSF model signature (Sigstore bundle v0.3, made with a key) over the folder or file
    #[arg(long, value_name = "FILE", requires = "oms_public_key")]
    oms_signature: Option<PathBuf>,
    /// The signer's public key in PEM (P-256, P-384 or P-521)
    #[arg(long, value_name = "FILE", requires = "oms_signature")]
    oms_public_key: Option<PathBuf>,
    /// Leave a file or folder out of the OMS digest: its name relative to the folder, repeatable. A signature brings its
    /// own list
    #[arg(long, value_name = "NAME", conflicts_with = "oms_signature")]
    oms_ignore: Vec<String>,
    /// Threads; without it, one for each processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Read no faster than this, such as 500MB/s
    #[arg(long, value_name = "RATE")]
    max_rate: Option<Rate>,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// What was computed.
#[derive(Default)]
struct Answer {
    found: Found,
    tensors: Option<(u64, u64)>,
    files: Vec<FileDigest>,
    oms: Option<OmsAnswer>,
}

impl CommitArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let weights = self.weights()?;
        let model = self.model(&weights)?;
        let bar = console.byte_bar();
        let answer = {
            let mut pace = self.max_rate.map(Rate::pace);
            let mut read_before = 0u64;
            let mut progress = |done: u64, total: u64| {
                // A new stage counts from the start again.
                if done < bar.position() {
                    read_before = read_before.saturating_add(bar.position());
                    bar.reset_eta();
                }
                bar.set_length(total);
                bar.set_position(done);
                if let Some(pace) = &mut pace {
                    pace.keep(read_before.saturating_add(done));
                }
            };
            self.compute(&weights, &model, &mut progress)
        };
        bar.finish_and_clear();
        self.print(&answer?, console)
    }

    fn compute(
        &self,
        weights: &[PathBuf],
        model: &Model,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Answer, CliError> {
        let effort = self.jobs.map_or_else(Effort::all_cores, |jobs| Effort::threads(usize::from(jobs)));
        let mut answer = Answer::default();
        if let Some(kinds) = self.only() {
            if kinds.contains(&Kind::Fast) {
                answer.found.fast = Some(fast_root(weights, effort, progress).map_err(CliError::Commit)?);
            }
            if kinds.contains(&Kind::Algebraic) {
                answer.found.algebraic = Some(algebraic_root(weights, effort, progress).map_err(CliError::Commit)?);
            }
            if kinds.contains(&Kind::Oms) {
                answer.oms = Some(model.digest(weights, &[], effort, progress)?);
            }
        } else {
            // A signature over other files is known before anything large is read.
            model.hold_names(weights)?;
            let digests = commit_checkpoint(weights, effort, progress).map_err(CliError::Commit)?;
            let CheckpointDigests { fast_root, algebraic_root, files, tensors, bytes } = digests;
            let oms = model.digest(weights, &files, effort, progress);
            let wanted = self.oms_signature.is_some() || self.check.iter().any(|check| check.kind.is_none());
            answer.oms = Some(match oms {
                Err(CliError::Oms { path, source }) if !wanted => OmsAnswer::NotComputed { path, source },
                oms => oms?,
            });
            answer.found = Found { fast: Some(fast_root), algebraic: Some(algebraic_root), oms: None };
            (answer.tensors, answer.files) = (Some((tensors, bytes)), files);
        }
        answer.found.oms = answer.oms.as_ref().and_then(OmsAnswer::digest);
        Ok(answer)
    }

    /// The kinds that suffice: those named by `--check`. A signature and roots must be about the same reading.
    fn only(&self) -> Option<Vec<Kind>> {
        let kinds: Option<Vec<Kind>> = self.check.iter().map(|check| check.kind).collect();
        kinds.filter(|kinds| !kinds.is_empty() && self.oms_signature.is_none())
    }

    fn print(&self, answer: &Answer, console: &mut Console<'_>) -> Result<u8, CliError> {
        let failed: Vec<&Expected> = self.check.iter().filter(|check| !check.holds(&answer.found)).collect();
        let message = |check: &&Expected| format!("{check} was expected; found {}", answer.found.of(check.kind));
        match self.format {
            Format::Text => {
                console.print(&answer.text(&self.check))?;
                for check in &failed {
                    let paint = console.err_paint();
                    console.tell(&format!("{} {}\n", paint.bad("error:"), message(check)))?;
                }
            }
            Format::Json => {
                let claims = answer.claims(&self.check);
                let reason = |check| Reason { code: "root-differs".to_owned(), message: message(check) };
                let object = if failed.is_empty() {
                    Object::accepted(claims)
                } else {
                    Object::refused(Culprit::Rejected, failed.iter().map(reason).collect(), claims)
                };
                object.print(console)?;
            }
        }
        Ok(if failed.is_empty() { 0 } else { Culprit::Rejected.exit_code() })
    }

    /// Folders stand for the safetensors files in them; a path that is not there is the person's to mend.
    fn weights(&self) -> Result<Vec<PathBuf>, CliError> {
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

    fn model(&self, weights: &[PathBuf]) -> Result<Model, CliError> {
        let signature = self.oms_signature.as_deref().zip(self.oms_public_key.as_deref());
        Model::of(&self.checkpoints, weights, signature, &self.oms_ignore)
    }
}

impl Answer {
    fn text(&self, checks: &[Expected]) -> String {
        let mut text = String::new();
        let Found { fast, algebraic, .. } = &self.found;
        if let Some(root) = fast {
            text.push_str(&format!("fast root       {root}\n"));
        }
        if let Some(root) = algebraic {
            text.push_str(&format!("algebraic root  {root}\n"));
        }
        if let Some(oms) = &self.oms {
            text.push_str(&oms.text());
        }
        if let Some((tensors, bytes)) = self.tensors {
            text.push_str(&format!("tensors         {}, {} bytes\n", grouped(tensors.into()), grouped(bytes.into())));
            text.push_str("files           SHA-256, bytes, name\n");
        }
        for file in &self.files {
            text.push_str(&format!(
                "  {}  {}  {}\n",
                file.sha256,
                grouped(u128::from(file.bytes)),
                visible(&file.name)
            ));
        }
        for check in checks {
            let verdict = if check.holds(&self.found) { "equal" } else { "DIFFERS" };
            text.push_str(&format!("check           {check}  {verdict}\n"));
        }
        text
    }

    fn claims(&self, checks: &[Expected]) -> Value {
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        if let Some(root) = self.found.fast {
            claim("fast_root", json!(root));
        }
        if let Some(root) = self.found.algebraic {
            claim("algebraic_root", json!(root));
        }
        if let Some((tensors, bytes)) = self.tensors {
            claim("tensors", json!(tensors));
            claim("bytes", json!(bytes));
            claim("files", json!(self.files));
        }
        if let Some(oms) = &self.oms {
            claim("oms", oms.claims());
        }
        if !checks.is_empty() {
            let check = |check: &Expected| json!({"expected": check.to_string(), "equal": check.holds(&self.found)});
            claim("checks", Value::Array(checks.iter().map(check).collect()));
        }
        Value::Object(claims)
    }
}
