//! **Duty.** A rehearsal of an audit over one trace: tiles drawn by FLOP and checked, entries of their operands opened to
//! what computed them, links drawn by their own weight. **Knows** everything in the trace, which an audit in zero
//! knowledge hides. **Does not know** how a tile is judged: a [`TileCheck`] says that. **Spec.** CIRCUITS §5, §6;
//! PROTOCOL §3 (weights), §5 (`self-check`); decision 0042.
//!
//! What a rehearsal accepts is no evidence: nobody committed to anything before the draw.

mod coverage;
mod cut;
mod draw;
mod envelope;
mod plain;
mod tiles;

use thiserror::Error;
use weighbridge_attest_types::{Domain, Flops, sha256};

use crate::gemm::MAX_K;
use crate::link::{Links, Verdict};
use crate::statistics::{DrawnOperands, OperandCounts};
use crate::trace::{Kind, Operand, Operation, Origin, SourceError, Trace};
use crate::trial::draw::Stream;

pub use coverage::{Coverage, coverage};
pub use cut::{Block, Cut, Strip};
pub use envelope::Envelope;
pub(crate) use envelope::{format_of, strip};
pub use plain::{PlainBlock, PlainTile, drawn_tile, plain_tile};
pub use tiles::{TILE_SIDE, Tile, Tiles};

/// Entries of each operand strip that are opened to their producer (CIRCUITS §5 v).
pub const OPENED_PER_STRIP: u32 = 8;
/// Longest dot products that are read: no envelope tells anything about a longer one ([`MAX_K`]).
pub const MAX_TERMS: u64 = MAX_K as u64;
/// Refusals that are kept word by word; all are counted.
pub const MAX_REFUSALS: usize = 100;

/// Judges one tile: rows of A, columns of B, and what the framework computed of them.
pub trait TileCheck {
    /// The verdict.
    fn check(&self, cut: &Cut) -> TileVerdict;
}

/// What a tile check comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TileVerdict {
    /// Within the envelope.
    Accepted,
    /// Outside, for this reason.
    Refused(String),
    /// The envelope cannot tell, for this reason: counts like unanswered.
    NotProven(String),
}

/// What to draw.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Draws of tiles, and as many of links.
    pub draws: u64,
    /// Whatever the draws are made from.
    pub seed: [u8; 32],
}

/// What came of a rehearsal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Tiles drawn.
    pub tiles: Tally,
    /// Links drawn.
    pub links: Tally,
    /// Entries of drawn strips, by what they were opened to.
    pub opened: Opened,
    /// Zeros and repeats of the drawn strips, over all draws: right is not useful.
    pub operands: OperandCounts,
    /// What was refused, the first [`MAX_REFUSALS`].
    pub refusals: Vec<Refused>,
    /// Of what a trace has, how much is covered.
    pub coverage: Coverage,
}

/// Verdicts counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Drawn.
    pub draws: u64,
    /// Accepted.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
    /// Not proven.
    pub not_proven: u64,
}

/// Entries of operand strips by what they lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opened {
    /// A covered operation, which was checked at the entry.
    pub checked: u64,
    /// A product, which is drawn by itself.
    pub product: u64,
    /// A checkpoint or batch: a claim until it is compared with one.
    pub boundary: u64,
    /// An operation that is not covered.
    pub declared: u64,
    /// Nothing.
    pub unlinked: u64,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The operation.
    pub operation: String,
    /// Tile, as `row,column` or `product:row,column`; `None` for a link.
    pub tile: Option<String>,
    /// Why.
    pub reason: String,
}

/// Why a rehearsal could not be held.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrialError {
    /// Nothing to draw.
    #[error("the trace has no matrix product; there is no tile to draw")]
    NoProduct,
    /// Bytes that cannot be read.
    #[error("a drawn tile cannot be read")]
    Source(#[source] SourceError),
}

impl TrialError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> weighbridge_attest_types::Culprit {
        match self {
            Self::NoProduct => weighbridge_attest_types::Culprit::Malformed,
            Self::Source(_) => weighbridge_attest_types::Culprit::Unavailable,
        }
    }
}

/// A seed for whoever has none: of the trace itself, and so of whoever made it (PROTOCOL §5, `self-check`).
#[must_use]
pub fn seed_of(graph: &[u8], trace: &Trace<'_>) -> [u8; 32] {
    let mut input = Domain::Trial.encoder();
    input.field(b"seed").put(&sha256(graph)).put(&trace.tensors_digest());
    sha256(&input.finish()).0
}

/// Holds the rehearsal; `progress` hears how many of all draws are done.
///
/// # Errors
/// [`TrialError`].
pub fn rehearse(
    trace: &Trace<'_>,
    plan: &Plan,
    check: &dyn TileCheck,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Outcome, TrialError> {
    let tiles = Tiles::of(trace);
    if tiles.flop() == Flops(0) {
        return Err(TrialError::NoProduct);
    }
    let all = plan.draws.saturating_mul(2);
    let (outcome, drawn) = (Outcome::default(), DrawnOperands::default());
    let mut trial = Trial { trace, links: Links::new(trace), outcome, drawn, seed: plan.seed };
    trial.outcome.coverage = coverage(trace);
    for draw in 0..plan.draws {
        trial.tile(&tiles, draw, check)?;
        progress(draw.saturating_add(1), all);
    }
    let weights = draw::Weights::of(trace.operations().iter().map(link_weight));
    for draw in 0..plan.draws {
        trial.link(&weights, draw)?;
        progress(plan.draws.saturating_add(draw).saturating_add(1), all);
    }
    Ok(trial.outcome)
}

/// Products are weighed by FLOP, and nothing is drawn of what is not covered.
fn link_weight(operation: &Operation) -> u64 {
    match operation.kind {
        Kind::Matmul(_) | Kind::Opaque { .. } => 0,
        _ => operation.link_weight(),
    }
}

struct Trial<'t> {
    trace: &'t Trace<'t>,
    links: Links<'t>,
    outcome: Outcome,
    drawn: DrawnOperands,
    seed: [u8; 32],
}

impl Trial<'_> {
    fn tile(&mut self, tiles: &Tiles<'_>, draw: u64, check: &dyn TileCheck) -> Result<(), TrialError> {
        let mut stream = Stream::new(self.seed, "tile", draw);
        let Some(tile) = tiles.at(stream.below(tiles.total())) else { return Err(TrialError::NoProduct) };
        let Some(operation) = self.trace.operations().get(tile.operation) else { return Err(TrialError::NoProduct) };
        let judged = if tile.k > MAX_TERMS {
            TileVerdict::NotProven(format!("dot products of {} terms; at most {MAX_TERMS} are read", tile.k))
        } else {
            let cut = Cut::of(self.trace, &tile).map_err(TrialError::Source)?;
            self.count_operands(operation, &tile, &cut);
            check.check(&cut)
        };
        let mut verdict = match judged {
            TileVerdict::Accepted => Verdict::Accepted,
            TileVerdict::NotProven(_) => Verdict::NotProven("the tile's envelope cannot tell"),
            TileVerdict::Refused(reason) => {
                self.refuse(operation, Some(tile.to_string()), reason);
                self.outcome.tiles.count_refused();
                return Ok(());
            }
        };
        for (operand, place) in opened_entries(operation, &tile, &mut stream) {
            match self.open(operand, place)? {
                Verdict::Refused(refusal) => {
                    let reason = format!("its operand: {refusal}");
                    self.refuse(operation, Some(tile.to_string()), reason);
                    self.outcome.tiles.count_refused();
                    return Ok(());
                }
                Verdict::NotProven(why) => verdict = Verdict::NotProven(why),
                Verdict::Accepted | Verdict::Declared => {}
            }
        }
        self.outcome.tiles.count(&verdict);
        Ok(())
    }

    /// Zeros and repeats of the two strips: each vector stands where its first element does.
    fn count_operands(&mut self, operation: &Operation, tile: &Tile, cut: &Cut) {
        for (strip, block) in [(Strip::A, &cut.a), (Strip::B, &cut.b)] {
            for (across, (size, bytes)) in (0u64..).zip(block.vectors()) {
                if let Some((operand, place)) = tile.operand_entry(operation, strip, (across, 0)) {
                    self.drawn.add((u64::try_from(operand.tensor).unwrap_or(u64::MAX), place), size, bytes);
                }
            }
        }
        self.outcome.operands = self.drawn.counts();
    }

    /// Opens one element to whatever computed it.
    fn open(&mut self, operand: &Operand, place: u64) -> Result<Verdict, TrialError> {
        let opened = &mut self.outcome.opened;
        match source_of(self.trace, operand) {
            Source::Link { operation, output } => {
                opened.checked = opened.checked.saturating_add(1);
                return self.links.check(operation, output, place).map_err(TrialError::Source);
            }
            Source::Product => opened.product = opened.product.saturating_add(1),
            Source::Boundary => opened.boundary = opened.boundary.saturating_add(1),
            Source::Declared => opened.declared = opened.declared.saturating_add(1),
            Source::Nowhere => opened.unlinked = opened.unlinked.saturating_add(1),
        }
        Ok(Verdict::Declared)
    }

    fn link(&mut self, weights: &draw::Weights, draw: u64) -> Result<(), TrialError> {
        let mut stream = Stream::new(self.seed, "link", draw);
        // A trace without links has none to draw.
        let Some((operation, entry)) = weights.at(stream.below(weights.total())) else { return Ok(()) };
        let Some(found) = self.trace.operations().get(operation) else { return Ok(()) };
        let mut entry = entry;
        for (output, (_, operand)) in found.outputs().enumerate() {
            let elements = operand.view.elements();
            if entry < elements {
                let verdict = self.links.check(operation, output, entry).map_err(TrialError::Source)?;
                if let Verdict::Refused(refusal) = &verdict {
                    self.refuse(found, None, refusal.to_string());
                }
                self.outcome.links.count(&verdict);
                return Ok(());
            }
            entry = entry.saturating_sub(elements);
        }
        Ok(())
    }

    fn refuse(&mut self, operation: &Operation, tile: Option<String>, reason: String) {
        if self.outcome.refusals.len() < MAX_REFUSALS {
            self.outcome.refusals.push(Refused { operation: operation.name.clone(), tile, reason });
        }
    }
}

/// The elements of a tile's operands that are opened: as many of A's strip, of B's, and of a fused bias.
fn opened_entries<'o>(operation: &'o Operation, tile: &Tile, stream: &mut Stream) -> Vec<(&'o Operand, u64)> {
    let mut entries = Vec::new();
    for _ in 0..OPENED_PER_STRIP {
        for strip in [Strip::A, Strip::B] {
            let entry = (stream.below(tile.extent(strip)), stream.below(tile.k));
            entries.extend(tile.operand_entry(operation, strip, entry));
        }
        if let Some(bias) = operation.input("bias") {
            let col = tile.col.saturating_mul(TILE_SIDE).saturating_add(stream.below(tile.cols));
            entries.extend(bias.view.at(&[col]).map(|place| (bias, place)));
        }
    }
    entries
}

/// Where the elements of an operand come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Link { operation: usize, output: usize },
    Product,
    Boundary,
    Declared,
    Nowhere,
}

fn source_of(trace: &Trace<'_>, operand: &Operand) -> Source {
    let Some(tensor) = trace.tensor(operand.tensor) else { return Source::Nowhere };
    match (tensor.origin(), tensor.producer()) {
        (Some(Origin::Checkpoint(_) | Origin::Batch(_)), _) => Source::Boundary,
        (_, Some(producer)) => match trace.operations().get(producer.operation).map(|operation| operation.kind) {
            Some(Kind::Matmul(_)) => Source::Product,
            Some(Kind::Opaque { .. }) | None => Source::Declared,
            Some(_) => Source::Link { operation: producer.operation, output: producer.output },
        },
        _ => Source::Nowhere,
    }
}

impl Tally {
    const fn count_refused(&mut self) {
        self.draws = self.draws.saturating_add(1);
        self.refused = self.refused.saturating_add(1);
    }

    const fn count(&mut self, verdict: &Verdict) {
        self.draws = self.draws.saturating_add(1);
        let counter = match verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Refused(_) => &mut self.refused,
            Verdict::NotProven(_) | Verdict::Declared => &mut self.not_proven,
        };
        *counter = counter.saturating_add(1);
    }

    /// Whether more than one in a hundred draws is not proven.
    #[must_use]
    pub const fn too_many_not_proven(&self) -> bool {
        self.not_proven.saturating_mul(100) > self.draws
    }
}

impl Outcome {
    /// Nothing refused, and at most one in a hundred of each kind not proven.
    #[must_use]
    pub const fn holds(&self) -> bool {
        let Self { tiles, links, .. } = self;
        tiles.refused == 0 && links.refused == 0 && !tiles.too_many_not_proven() && !links.too_many_not_proven()
    }
}

#[cfg(test)]
mod tests;
