//! **Duty.** `weighbridge audit trial`: a rehearsal over one trace, in words and as one object. **Knows** files.
//! **Does not know** how anything is judged. **Spec.** decision 0042; docs/trace-format.md.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use weighbridge_attest_types::Culprit;
use weighbridge_audit::boundary::{Checkpoint, Fault, against_checkpoint, constants};
use weighbridge_audit::trace::{Kind, MAX_GRAPH_BYTES, TensorSource, Trace, TraceError};
use weighbridge_audit::trial::{Envelope, Outcome, Plan, Tally, TrialError, rehearse, seed_of};

use crate::cli::Format;
use crate::cli::audit::policy::{GRAPH, TENSORS};
use crate::cli::audit::proofs::{Passed, Proofs};
use crate::cli::audit::source::TensorFile;
use crate::cli::console::{Console, Paint};
use crate::cli::meter::size;
use crate::cli::object::{Reason, pretty};
use crate::error::CliError;
use crate::files::read_capped;
use crate::visible::visible;

const HELP: &str = "A trace is a folder with graph.json and tensors.safetensors, as the Python client captures it or as a \
    captured step (docs/trace-format.md). Tiles are drawn by FLOP and links by the elements that they compute. Nothing was \
    committed before the draw: what passes is no evidence.\n\n\
    Example: weighbridge audit trial --trace traces/step-00000200 --draws 1000\n\n\
    With --prove, tiles that a circuit covers are proven, and the proofs are checked under pinned circuits (not blinded: they \
    are the operator's own; docs/statements/gemm.md); of the others it is said why they are not.\n\n\
    Exit codes: 0 nothing was refused and at most 1 % of the draws is not proven; 3 the trace is malformed; 5 otherwise.";

/// Draws tiles and links from one trace and checks them
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct TrialArgs {
    /// Folder of the trace
    #[arg(long, value_name = "DIR")]
    trace: PathBuf,
    /// Tiles to draw, and as many links
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    draws: u64,
    /// Seed of the draws, 64 hexadecimal digits; without it, one that whoever made the trace could have chosen
    #[arg(long, value_name = "HEX")]
    seed: Option<SeedHex>,
    /// Also hold the tensors before the step to this checkpoint; repeatable for its files
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Also prove so many of the drawn tiles and check the proofs, which are not blinded: the first that a circuit covers
    #[arg(long, value_name = "M", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    prove: u64,
    /// Most memory that proving may take, such as 1GiB; a tile that takes more is not covered
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "prove")]
    memory: Option<u64>,
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Format,
}

/// 32 bytes.
#[derive(Debug, Clone, Copy)]
struct SeedHex([u8; 32]);

impl FromStr for SeedHex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| "a seed has 64 hexadecimal digits".to_owned())?;
        Ok(Self(bytes))
    }
}

/// What is printed.
struct Answer<'a> {
    outcome: &'a Outcome,
    faults: Vec<Fault>,
    seed: [u8; 32],
    chosen: bool,
    compared: bool,
    /// Constants that operations carry, each with the number of its operations.
    constants: Vec<(Kind, u64)>,
    /// What was proven, if that was asked for.
    proofs: Option<Proofs>,
}

/// Constants that are printed; all are counted.
const SHOWN_CONSTANTS: usize = 20;

impl TrialArgs {
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let graph = read_capped(&self.trace.join(GRAPH), MAX_GRAPH_BYTES as u64)?;
        let tensors = TensorFile::open(&self.trace.join(TENSORS))?;
        let trace = Trace::parse(&graph, &tensors).map_err(|source| self.refused(source))?;
        let faults = self.faults(&trace)?;
        let seed = self.seed.map_or_else(|| seed_of(&graph, &trace), |SeedHex(seed)| seed);
        let bar = console.draw_bar();
        let held = rehearse(&trace, &Plan { draws: self.draws, seed }, &Envelope, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let outcome = held.map_err(|source| CliError::Trial { path: self.trace.clone(), source })?;
        let plan = Plan { draws: self.draws, seed };
        let proofs = (self.prove > 0).then(|| self.proofs(&trace, &plan, console)).transpose()?;
        let compared = !self.checkpoint.is_empty();
        let constants = constants(&trace);
        let answer =
            Answer { outcome: &outcome, faults, seed, chosen: self.seed.is_some(), compared, constants, proofs };
        match self.format {
            Format::Text => console.print(&answer.text(console.out_paint()))?,
            Format::Json => console.print(&pretty(&answer.object(), "the answer")?)?,
        }
        Ok(if answer.holds() { 0 } else { Culprit::Rejected.exit_code() })
    }

    fn proofs(&self, trace: &Trace<'_>, plan: &Plan, console: &Console<'_>) -> Result<Proofs, CliError> {
        let bar = console.draw_bar();
        bar.set_length(self.prove);
        let mut progress = |proven| bar.set_position(proven);
        let proofs = Proofs::of((trace, &self.trace), plan, (self.prove, self.memory), &mut progress);
        bar.finish_and_clear();
        proofs
    }

    fn refused(&self, source: TraceError) -> CliError {
        CliError::Trace { path: self.trace.clone(), source }
    }

    /// What of the trace's checkpoint is not the one that was named.
    fn faults(&self, trace: &Trace<'_>) -> Result<Vec<Fault>, CliError> {
        let files: Vec<TensorFile> =
            self.checkpoint.iter().map(|path| TensorFile::open(path)).collect::<Result<_, _>>()?;
        let Some(first) = self.checkpoint.first() else { return Ok(Vec::new()) };
        let sources: Vec<&dyn TensorSource> = files.iter().map(|file| file as &dyn TensorSource).collect();
        let of_file = |source| CliError::Trace { path: first.clone(), source };
        let checkpoint = Checkpoint::parse(&sources).map_err(of_file)?;
        let unreadable = |source| CliError::Trial { path: self.trace.clone(), source: TrialError::Source(source) };
        against_checkpoint(trace, &checkpoint).map_err(unreadable)
    }
}

/// Millionths as a share, exact to the last digit that is printed.
fn share(millionths: u32) -> Value {
    json!(f64::from(millionths) / 1e6)
}

fn percent(millionths: u32) -> String {
    format!("{}.{:04} %", millionths / 10_000, millionths % 10_000)
}

impl Answer<'_> {
    fn holds(&self) -> bool {
        self.outcome.holds() && self.faults.is_empty()
    }

    fn reasons(&self) -> Vec<Reason> {
        let reason = |code: &str, message: String| Reason { code: code.to_owned(), message };
        let Outcome { tiles, links, .. } = self.outcome;
        let mut reasons: Vec<Reason> =
            self.faults.iter().map(|fault| reason("boundary-differs", fault.to_string())).collect();
        for (what, Tally { refused, .. }) in [("tiles", tiles), ("links", links)] {
            if *refused > 0 {
                reasons.push(reason("trial-refused", format!("{refused} {what} were refused")));
            }
        }
        for (what, tally) in [("tiles", tiles), ("links", links)] {
            if tally.too_many_not_proven() {
                let message = format!("{} of {} {what} are not proven", tally.not_proven, tally.draws);
                reasons.push(reason("trial-not-proven", message));
            }
        }
        reasons
    }

    /// Refused draws and faults of the boundary, in one list.
    fn refusals(&self) -> Vec<Value> {
        let draws = self
            .outcome
            .refusals
            .iter()
            .map(|refused| json!({"operation": refused.operation, "tile": refused.tile, "reason": refused.reason}));
        let faults =
            self.faults.iter().map(|fault| json!({"operation": null, "tile": null, "reason": fault.to_string()}));
        draws.chain(faults).collect()
    }

    /// What operations scale, fill, clip and add with: nothing here says that a run committed to it.
    fn constants(&self) -> Vec<String> {
        let word = |(kind, count): &(Kind, u64)| {
            let constant = match kind {
                Kind::Fill { value } => format!("fill {value:e}"),
                Kind::Add { alpha } => format!("add alpha {alpha:e}"),
                Kind::Scale { by: Some(by) } => format!("scale by {by:e}"),
                Kind::Clip { max_norm } => format!("clip max_norm {max_norm:e}"),
                other => format!("{other:?}"),
            };
            format!("{constant}, in {count} operations")
        };
        let mut words: Vec<String> = self.constants.iter().take(SHOWN_CONSTANTS).map(word).collect();
        if let more @ 1.. = self.constants.len().saturating_sub(SHOWN_CONSTANTS) {
            words.push(format!("and {more} more"));
        }
        words
    }

    fn object(&self) -> Value {
        let Outcome { tiles, links, opened, operands, coverage, .. } = self.outcome;
        let tally = |tally: &Tally| {
            let Tally { draws, accepted, refused, not_proven } = tally;
            json!({"draws": draws, "accepted": accepted, "refused": refused, "not_proven": not_proven})
        };
        json!({
            "verdict": if self.holds() { "accepted" } else { Culprit::Rejected.verdict() },
            "reasons": self.reasons(),
            "draws": tiles.draws,
            "accepted": tiles.accepted,
            "refused": tiles.refused,
            "not_proven": tiles.not_proven,
            "links": tally(links),
            "refusals": self.refusals(),
            "covered_flop_share": coverage.covered_flop_millionths().map(share),
            "unlinked_share": share(coverage.unlinked_millionths()),
            "declared_share": share(coverage.declared_millionths()),
            "batch_share": share(coverage.batch_millionths()),
            "declared_flop": coverage.declared_flop.to_string(),
            "unstated_operations": coverage.unstated,
            "covered_link_share": share(coverage.covered_link_millionths()),
            "unlinked_link_share": share(coverage.unlinked_link_millionths()),
            "declared_link_share": share(coverage.declared_link_millionths()),
            "constants": self.constants(),
            "opened": {
                "checked": opened.checked, "product": opened.product, "boundary": opened.boundary,
                "declared": opened.declared, "unlinked": opened.unlinked
            },
            "operands": {
                "entries": operands.entries, "zeros": operands.zeros, "vectors": operands.vectors,
                "repeated": operands.repeated, "not_compared": operands.not_compared
            },
            "proven": self.proofs.as_ref().map(|proofs| proofs.proven),
            "proofs_checked": self.proofs.as_ref().map(|proofs| proofs.checked),
            "not_covered": self.proofs.as_ref().map(|proofs| proofs.passed_over(Passed::NotCovered)),
            "not_accepted": self.proofs.as_ref().map(|proofs| proofs.passed_over(Passed::NotAccepted)),
            "checkpoint_compared": self.compared,
            "seed": hex::encode(self.seed),
            "randomness": if self.chosen { "given" } else { "self-check" },
        })
    }

    fn text(&self, paint: Paint) -> String {
        let Outcome { tiles, links, opened, operands, coverage, refusals } = self.outcome;
        let verdict = if self.holds() { paint.good("accepted") } else { paint.bad("rejected") };
        let mut text = format!("{verdict}, in a rehearsal: nothing was committed before the draw\n\n");
        let line = |name: &str, tally: &Tally| {
            let Tally { draws, accepted, refused, not_proven } = tally;
            format!("{name}  {draws} drawn, {accepted} accepted, {refused} refused, {not_proven} not proven\n")
        };
        text.push_str(&line("tiles", tiles));
        text.push_str(&line("links", links));
        let covered = coverage
            .covered_flop_millionths()
            .map_or_else(|| format!("unknown: {} operations state no FLOP", coverage.unstated), percent);
        text.push_str(&format!("\nFLOP in products               {covered}\n"));
        for (name, millionths) in [
            ("operands from nowhere        ", coverage.unlinked_millionths()),
            ("operands that are declared   ", coverage.declared_millionths()),
            ("operands of a batch, in float", coverage.batch_millionths()),
            ("links' operands from nowhere ", coverage.unlinked_link_millionths()),
            ("links' operands, declared    ", coverage.declared_link_millionths()),
            ("elements between, covered    ", coverage.covered_link_millionths()),
        ] {
            text.push_str(&format!("{name}  {}\n", percent(millionths)));
        }
        text.push_str(&format!(
            "entries of operands opened     {} checked, {} at checkpoint or batch, {} declared, {} from nowhere\n",
            opened.checked.saturating_add(opened.product),
            opened.boundary,
            opened.declared,
            opened.unlinked
        ));
        for constant in self.constants() {
            text.push_str(&format!("constant, not compared         {constant}\n"));
        }
        text.push_str(&format!(
            "zeros, repeats of operands     {} of {} entries, {} of {} rows and columns\n",
            operands.zeros, operands.entries, operands.repeated, operands.vectors
        ));
        for line in self.proofs.iter().flat_map(Proofs::lines) {
            text.push_str(&line);
        }
        if !self.compared {
            text.push_str(&paint.quiet("the checkpoint before the step was not compared: --checkpoint FILE\n"));
        }
        let randomness = if self.chosen { "as given" } else { "of the trace itself" };
        text.push_str(&format!("seed                           {} ({randomness})\n", hex::encode(self.seed)));
        for refused in refusals {
            let tile = refused.tile.as_ref().map(|tile| format!(" tile {tile}")).unwrap_or_default();
            text.push_str(&format!(
                "\n{} {}{tile}: {}",
                paint.bad("refused"),
                visible(&refused.operation),
                visible(&refused.reason)
            ));
        }
        for fault in &self.faults {
            text.push_str(&format!("\n{} {}", paint.bad("refused"), visible(&fault.to_string())));
        }
        for Reason { message, .. } in self.reasons().iter().filter(|reason| reason.code == "trial-not-proven") {
            text.push_str(&format!("\n{} {message}", paint.doubt("doubt")));
        }
        if !self.holds() {
            text.push('\n');
        }
        text
    }
}
