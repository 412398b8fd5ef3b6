//! **Duty.** What an answer comes to, from nothing but the answer, the challenged window and the run's numeric policy.
//! **Knows** the order of the checks. **Does not know** traces. **Spec.** PROTOCOL §3, §5; CIRCUITS §5 (i) to (v), §6.

use crate::answer::source::{FormSource, Store};
use crate::answer::{Answer, AnswerError, OPENED_PER_STRIP, OpenedOperation};
use crate::committed::derived::Derived;
use crate::draw::Seed;
use crate::flop_tree::{DrawnTile, Node, OpeningError, OperationRecord, TileKind, TileOpening};
use crate::gemm::{self, NumericPolicy, TileFacts, TileVerdict};
use crate::key::Key;
use crate::link::{Links, Verdict};
use crate::trace::{Kind, Matmul, OperationForm, Trace};
use crate::trial::{Cut, Strip, TILE_SIDE, Tile, format_of, strip};
use crate::window::{ChallengedWindow, Outcome};

/// What came of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judged {
    /// The outcome.
    pub outcome: Outcome,
    /// Why it did not pass; `None` where it did.
    pub why: Option<String>,
    /// Entries of operand strips by what they were opened to.
    pub opened: OpenedEntries,
    /// What an accepted tile of a product adds to the statistics.
    pub facts: Option<TileFacts>,
}

/// Entries of operand strips by what they lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenedEntries {
    /// A link, which was checked at the entry.
    pub checked: u64,
    /// A product, which is drawn by itself.
    pub product: u64,
    /// Said to be the checkpoint's or the batch's: the job's word.
    pub boundary: u64,
    /// Nothing that the answer shows.
    pub unlinked: u64,
}

/// An entry of an operand strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StripEntry {
    /// The tensor, by its place in the form.
    pub(super) tensor: usize,
    /// The element.
    pub(super) element: u64,
}

/// An operation of the answer whose record, form and path agree.
struct Shown<'a> {
    opened: &'a OpenedOperation,
    form: OperationForm,
}

/// A verdict while it can still get worse.
pub(super) struct Worst {
    pub(super) outcome: Outcome,
    pub(super) why: Option<String>,
}

impl Answer {
    /// Judges the answer.
    ///
    /// # Errors
    /// [`AnswerError`] where it does not open what was drawn, or holds anything else: then nobody answered.
    pub fn judge(&self, window: &ChallengedWindow, numeric: &NumericPolicy) -> Result<Judged, AnswerError> {
        let Self { stratum, draw, unit, root, drawn, producers, tensors } = self;
        let place = (*stratum, *draw);
        let (weight, point) = window.point(*stratum, *draw).ok_or(AnswerError::NoDraw)?;
        let inside = unit.check(window.drawn_from(), point, weight)?;
        let OpenedOperation { operation, form: _, tile, path } = drawn;
        let opening = TileOpening { root: *root, operation: operation.clone(), tile: *tile, path: path.clone() };
        let tile = opening.check(&unit.unit, unit.unit.trace, inside, weight)?;
        let drawn = Shown { opened: drawn, form: form_of(&drawn.form, operation)? };
        let producers = shown(producers, root, operation.key)?;

        let forms: Vec<OperationForm> =
            std::iter::once(&drawn).chain(&producers).map(|shown| shown.form.clone()).collect();
        let store = Store::open(tensors, &forms)?;
        let judged = judge_with(window.seed(), place, (&tile, &drawn), (&producers, &store), numeric)?;
        store.check_used()?;
        Ok(judged)
    }
}

/// The tile first, then the entries of its strips.
fn judge_with(
    seed: Seed,
    place: (u8, u32),
    (tile, drawn): (&DrawnTile, &Shown<'_>),
    (producers, store): (&[Shown<'_>], &Store<'_>),
    numeric: &NumericPolicy,
) -> Result<Judged, AnswerError> {
    let elements = store.of(&drawn.form);
    let source = FormSource::new(&drawn.form, &elements)?;
    let trace = drawn.form.trace(drawn.opened.operation.key, &source)?;
    agrees(&trace, &drawn.form, &drawn.opened.operation)?;
    let (mut worst, facts) = judge_tile(&trace, drawn.form.part(), tile, numeric)?;

    let mut opened = OpenedEntries::default();
    let mut used = vec![false; producers.len()];
    for entry in strip_entries(&trace, drawn.form.part(), tile, seed, place) {
        let Some(tensor) = drawn.form.tensors().nth(entry.tensor) else { continue };
        if tensor.is_boundary {
            opened.boundary = opened.boundary.saturating_add(1);
            continue;
        }
        let holds = |shown: &Shown<'_>| {
            let OpenedOperation { operation, tile, .. } = shown.opened;
            let [.., c] = operation.roots;
            c == tensor.root && tile_of(operation, shown.form.part(), entry.element) == Some(*tile)
        };
        let Some(at) = producers.iter().position(holds) else {
            opened.unlinked = opened.unlinked.saturating_add(1);
            worst.add(Outcome::NotProven, || "an operand's entry comes from no operation that is shown".to_owned());
            continue;
        };
        if let (Some(used), Some(producer)) = (used.get_mut(at), producers.get(at)) {
            *used = true;
            entry_of(producer, entry.element, store, (&mut opened, &mut worst))?;
        }
    }
    // Producers whose tensors nobody reads are in the answer for nothing.
    if used.iter().any(|used| !used) {
        return Err(AnswerError::Surplus("an operation"));
    }
    let Worst { outcome, why } = worst;
    Ok(Judged { outcome, why, opened, facts: facts.filter(|_| outcome == Outcome::Passed) })
}

/// One entry at the operation that computed it.
fn entry_of(
    producer: &Shown<'_>,
    element: u64,
    store: &Store<'_>,
    (opened, worst): (&mut OpenedEntries, &mut Worst),
) -> Result<(), AnswerError> {
    let elements = store.of(&producer.form);
    let source = FormSource::new(&producer.form, &elements)?;
    let trace = producer.form.trace(producer.opened.operation.key, &source)?;
    agrees(&trace, &producer.form, &producer.opened.operation)?;
    if let TileKind::Product { .. } = producer.opened.operation.kind {
        opened.product = opened.product.saturating_add(1);
        return Ok(());
    }
    opened.checked = opened.checked.saturating_add(1);
    worst.take(&check_entry(&trace, producer.form.part(), element)?);
    Ok(())
}

/// Operations beside the drawn one: in its unit, before it, ascending.
fn shown<'a>(producers: &'a [OpenedOperation], root: &Node, before: Key) -> Result<Vec<Shown<'a>>, AnswerError> {
    let mut last = None;
    let one = |opened: &'a OpenedOperation| {
        let OpenedOperation { operation, form, tile, path } = opened;
        let leaf = operation.leaf(*tile).map_err(OpeningError::from)?;
        if operation.key >= before || last.replace(leaf.min).is_some_and(|last| last >= leaf.min) {
            return Err(AnswerError::Order);
        }
        path.open(leaf, root).map_err(OpeningError::from)?;
        Ok(Shown { opened, form: form_of(form, operation)? })
    };
    producers.iter().map(one).collect()
}

fn form_of(bytes: &[u8], record: &OperationRecord) -> Result<OperationForm, AnswerError> {
    let form = OperationForm::parse(bytes)?;
    if form.digest() == record.form { Ok(form) } else { Err(AnswerError::OtherForm) }
}

/// Whether a record says what its form does: no field of it is its maker's word.
fn agrees(trace: &Trace<'_>, form: &OperationForm, record: &OperationRecord) -> Result<(), AnswerError> {
    let roots: Vec<_> = form.tensors().map(|tensor| tensor.root).collect();
    let [_, _, _, (_, micro_batch), ..] = record.key.parts();
    let operation = trace.operations().first().filter(|operation| u64::from(operation.micro_batch) == micro_batch);
    let derived =
        operation.and_then(|operation| Derived::of(operation, form.part(), &|tensor| roots.get(tensor).copied()));
    if derived.is_some_and(|derived| derived.is_of(record)) { Ok(()) } else { Err(AnswerError::OtherRecord) }
}

/// Judges the drawn tile over an operation by itself.
pub(super) fn judge_tile(
    trace: &Trace<'_>,
    part: u64,
    drawn: &DrawnTile,
    numeric: &NumericPolicy,
) -> Result<(Worst, Option<TileFacts>), AnswerError> {
    let record = drawn.operation();
    let mut worst = Worst { outcome: Outcome::Passed, why: None };
    let (found, expected) = (record.side, numeric.side());
    if found != expected {
        worst.add(Outcome::Refused, || format!("tiles have a side of {found}; the numeric policy says {expected}"));
        return Ok((worst, None));
    }
    if found != TILE_SIDE {
        worst.add(Outcome::NotProven, || format!("tiles with a side of {found} are not cut; {TILE_SIDE} is"));
        return Ok((worst, None));
    }
    match record.kind {
        TileKind::Product { .. } => judge_product(trace, part, drawn, numeric),
        TileKind::Link => judge_link(trace, part, drawn, worst).map(|worst| (worst, None)),
    }
}

fn judge_product(
    trace: &Trace<'_>,
    part: u64,
    drawn: &DrawnTile,
    numeric: &NumericPolicy,
) -> Result<(Worst, Option<TileFacts>), AnswerError> {
    let absent = || AnswerError::OtherRecord;
    let cut = Cut::exactly(trace, &tile_in(drawn, part).ok_or_else(absent)?).map_err(AnswerError::Missing)?;
    let blocks = || -> Result<_, String> {
        let format = format_of(&cut.c)?;
        let [rows, cols] = [cut.c.rows, cut.c.cols].map(|extent| usize::try_from(extent).unwrap_or(usize::MAX));
        let tile = gemm::Tile::new(format, rows, cols, cut.c.bytes.clone()).map_err(|error| error.to_string())?;
        Ok((strip(&cut.a)?, strip(&cut.b)?, tile))
    };
    let (a, b, c) = match blocks() {
        Ok(blocks) => blocks,
        Err(why) => return Ok((Worst { outcome: Outcome::NotProven, why: Some(why) }, None)),
    };
    let verdict = drawn.judge(numeric, (&a, &b, &c))?;
    let (why, facts) = match &verdict {
        TileVerdict::Accepted(facts) => (None, Some(*facts)),
        TileVerdict::NotProven(doubt) => (Some(doubt.to_string()), None),
        TileVerdict::Refused(refusal) => (Some(refusal.to_string()), None),
    };
    Ok((Worst { outcome: Outcome::from(&verdict), why }, facts))
}

/// Every entry of a link's tile.
fn judge_link(trace: &Trace<'_>, part: u64, drawn: &DrawnTile, mut worst: Worst) -> Result<Worst, AnswerError> {
    let record = drawn.operation();
    let ((rows, cols), (tile_row, tile_col)) = (drawn.entries(), drawn.tile());
    let first = |tile: u32| u64::from(tile).saturating_mul(record.side);
    let output = usize::try_from(part).map_err(|_| AnswerError::OtherRecord)?;
    let mut links = Links::new(trace);
    for row in 0..rows {
        for col in 0..cols {
            let row = first(tile_row).saturating_add(row);
            let entry = row.saturating_mul(record.cols).saturating_add(first(tile_col)).saturating_add(col);
            worst.take(&links.check(0, output, entry).map_err(AnswerError::Missing)?);
        }
    }
    Ok(worst)
}

/// One entry of a link.
pub(super) fn check_entry(trace: &Trace<'_>, part: u64, entry: u64) -> Result<Verdict, AnswerError> {
    let output = usize::try_from(part).map_err(|_| AnswerError::OtherRecord)?;
    Links::new(trace).check(0, output, entry).map_err(AnswerError::Missing)
}

/// The drawn tile as one of the operation by itself.
fn tile_in(drawn: &DrawnTile, part: u64) -> Option<Tile> {
    let record = drawn.operation();
    let TileKind::Product { k, .. } = record.kind else { return None };
    let ((rows, cols), (row, col)) = (drawn.entries(), drawn.tile());
    // A tile of another side was refused before.
    (record.side == TILE_SIDE).then_some(())?;
    let key = record.key.with_tile(drawn.tile()).ok()?;
    Some(Tile { operation: 0, product: part, row: u64::from(row), col: u64::from(col), rows, cols, k, key })
}

/// The entries of a drawn product's strips that the seed names, each an element of one of the form's tensors. With a bias
/// each column of B has one term more; the ones that A is given for it are nobody's.
pub(super) fn strip_entries(
    trace: &Trace<'_>,
    part: u64,
    drawn: &DrawnTile,
    seed: Seed,
    place: (u8, u32),
) -> Vec<StripEntry> {
    let (Some(operation), Some(tile)) = (trace.operations().first(), tile_in(drawn, part)) else { return Vec::new() };
    let Kind::Matmul(Matmul { k, .. }) = operation.kind else { return Vec::new() };
    let terms = drawn.terms().unwrap_or(k);
    let mut entries = Vec::new();
    for (strip, operand, length) in [(Strip::A, gemm::Operand::Left, k), (Strip::B, gemm::Operand::Right, terms)] {
        let total = tile.extent(strip).saturating_mul(length);
        for drawn in seed.strip_entries(place, operand, total, OPENED_PER_STRIP) {
            let (across, term) = (drawn.checked_div(length), drawn.checked_rem(length));
            let (Some(across), Some(term)) = (across, term) else { continue };
            let found = if term == k {
                let col = tile.col.saturating_mul(TILE_SIDE).saturating_add(across);
                operation.input("bias").and_then(|bias| Some((bias, bias.view.at(&[col])?)))
            } else {
                tile.operand_entry(operation, strip, (across, term))
            };
            entries.extend(found.map(|(operand, element)| StripEntry { tensor: operand.tensor, element }));
        }
    }
    entries
}

/// The tile of an operation in which an element of its output stands; `None` where the part does not compute it.
pub(super) fn tile_of(record: &OperationRecord, part: u64, element: u64) -> Option<(u32, u32)> {
    let within = match record.kind {
        TileKind::Product { .. } => {
            let size = record.rows.checked_mul(record.cols)?;
            element.checked_sub(part.checked_mul(size)?).filter(|within| *within < size)?
        }
        TileKind::Link => element,
    };
    let (row, col) = (within.checked_div(record.cols)?, within.checked_rem(record.cols)?);
    let tile = |at: u64| u32::try_from(at.checked_div(record.side)?).ok();
    Some((tile(row)?, tile(col)?))
}

impl Worst {
    /// A refusal stays one; what is not proven is worse than what passed.
    pub(super) fn add(&mut self, outcome: Outcome, why: impl FnOnce() -> String) {
        let is_worse = match (self.outcome, outcome) {
            (Outcome::Passed, Outcome::NotProven | Outcome::Refused) | (Outcome::NotProven, Outcome::Refused) => true,
            (_, Outcome::Passed) | (Outcome::NotProven, Outcome::NotProven) | (Outcome::Refused, _) => false,
        };
        if is_worse {
            (self.outcome, self.why) = (outcome, Some(why()));
        }
    }

    fn take(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accepted => {}
            Verdict::Refused(refusal) => self.add(Outcome::Refused, || refusal.to_string()),
            Verdict::NotProven(why) => self.add(Outcome::NotProven, || (*why).to_owned()),
            Verdict::Declared => self.add(Outcome::NotProven, || "no rule covers the operation".to_owned()),
        }
    }
}
