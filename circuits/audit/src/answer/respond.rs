//! **Duty.** Answers from a window whose traces are at hand: the same check over the whole trace, and of its tensors the
//! tiles that the check read. **Knows** traces. **Does not know** whether the answer passes: it is given all the same.
//! **Spec.** PROTOCOL §5 (RESPOND); decision 0071.

use std::cell::RefCell;
use std::collections::BTreeMap;

use thiserror::Error;
use weighbridge_attest_types::Culprit;
use weighbridge_commitments::{TensorGrid, TensorShape};

use crate::answer::judge::{check_entry, judge_tile, strip_entries, tile_of};
use crate::answer::source::{FormSource, Recorded, Recorder};
use crate::answer::{
    Answer, AnswerError, MAX_OPENED_TENSORS, MAX_OPENED_TILES, OpenedOperation, OpenedTensor, OpenedTile,
};
use crate::committed::{CommittedOperation, CommittedUnit, TraceWindow};
use crate::flop_tree::{OpeningError, TileKind};
use crate::gemm::NumericPolicy;
use crate::trace::{MAX_FORM_BYTES, OperationForm, SourceError, Trace, tensors_of};
use crate::window::ChallengedWindow;

/// Why a draw has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// The window that was challenged is not this one.
    #[error("the window does not open the draw")]
    Opening(#[from] OpeningError),
    /// A trace that is not the unit's, or is gone.
    #[error("the trace of the drawn unit is not at hand")]
    NoTrace,
    /// More operands than an answer describes.
    #[error("the drawn operation has {found} bytes of form; an answer holds {MAX_FORM_BYTES}")]
    TooLarge {
        /// Bytes.
        found: usize,
    },
    /// More tiles or tensors than an answer opens.
    #[error("the check reads {found} tiles or tensors; an answer opens {cap}")]
    TooMany {
        /// How many.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// Bytes that cannot be read.
    #[error("the trace cannot be read")]
    Source(#[source] SourceError),
    /// A check that fails in another way than by a verdict.
    #[error("the drawn operation cannot be checked")]
    Check(#[source] AnswerError),
}

impl AnswerFault {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Opening(error) => error.culprit(),
            Self::NoTrace | Self::Source(_) => Culprit::Unavailable,
            Self::TooLarge { .. } | Self::TooMany { .. } => Culprit::Unsupported,
            Self::Check(error) => error.culprit(),
        }
    }
}

impl From<AnswerError> for AnswerFault {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Missing(source) => Self::Source(source),
            other => Self::Check(other),
        }
    }
}

impl TraceWindow {
    /// Answers one draw of a challenged window; `trace_of` has the trace of a unit by its place in the window. `None` where
    /// there is no such draw or nothing to draw from.
    ///
    /// # Errors
    /// [`AnswerFault`]: the draw stays unanswered, which counts as failed.
    pub fn answer<'t>(
        &self,
        window: &ChallengedWindow,
        (stratum, draw): (u8, u32),
        trace_of: &dyn Fn(usize) -> Option<&'t Trace<'t>>,
        numeric: &NumericPolicy,
    ) -> Result<Option<Answer>, AnswerFault> {
        let Some(located) = self.locate(window, (stratum, draw))? else { return Ok(None) };
        let unit = self.units().get(located.unit).ok_or(AnswerFault::NoTrace)?;
        let trace = trace_of(located.unit).filter(|trace| trace.tensors_digest() == unit.record().end);
        let trace = trace.ok_or(AnswerFault::NoTrace)?;
        let recorder = Recorder { trace, read: RefCell::new(BTreeMap::new()) };
        let form = form_of(trace, unit, located.operation)?;
        let elements = Recorded { recorder: &recorder, tensors: tensors_in(trace, located.operation)? };
        let source = FormSource::new(&form, &elements).map_err(AnswerError::from)?;
        let alone = form.trace(located.operation.record.key, &source).map_err(AnswerError::from)?;
        judge_tile(&alone, form.part(), &located.drawn, numeric)?;

        let mut producers: BTreeMap<_, OpenedOperation> = BTreeMap::new();
        for entry in strip_entries(&alone, form.part(), &located.drawn, window.seed(), (stratum, draw)) {
            let is_boundary = form.tensors().nth(entry.tensor).is_some_and(|tensor| tensor.is_boundary);
            let place = elements.tensors.get(entry.tensor).filter(|_| !is_boundary);
            if let Some(opened) = place.and_then(|place| producer_of(trace, unit, *place, entry.element)) {
                let opened = produced(&recorder, unit, opened, entry.element)?;
                producers.insert(opened.operation.key.with_tile(opened.tile).ok(), opened);
            }
        }
        let drawn = OpenedOperation {
            operation: located.tile.operation,
            form: form.bytes().to_vec(),
            tile: located.tile.tile,
            path: located.tile.path,
        };
        let tensors = opened_tensors(&recorder, unit)?;
        let (unit, root, producers) = (located.opening, located.tile.root, producers.into_values().collect());
        Ok(Some(Answer { stratum, draw, unit, root, drawn, producers, tensors }))
    }
}

fn form_of(
    trace: &Trace<'_>,
    unit: &CommittedUnit,
    operation: &CommittedOperation,
) -> Result<OperationForm, AnswerFault> {
    let form = OperationForm::of(trace, operation.place, operation.part, &|tensor| unit.root_of(tensor));
    let form = form.filter(|form| form.digest() == operation.record.form).ok_or(AnswerFault::NoTrace)?;
    match form.bytes().len() {
        found if found > MAX_FORM_BYTES => Err(AnswerFault::TooLarge { found }),
        _ => Ok(form),
    }
}

fn tensors_in(trace: &Trace<'_>, operation: &CommittedOperation) -> Result<Vec<usize>, AnswerFault> {
    trace.operations().get(operation.place).map(tensors_of).ok_or(AnswerFault::NoTrace)
}

/// The numbered operation that computed an element, and its tile there; `None` of what no covered operation of the unit
/// computed.
fn producer_of<'u>(
    trace: &Trace<'_>,
    unit: &'u CommittedUnit,
    tensor: usize,
    element: u64,
) -> Option<(&'u CommittedOperation, (u32, u32))> {
    let producer = trace.tensor(tensor)?.producer()?;
    let computes = |operation: &&CommittedOperation| {
        let is_output = match operation.record.kind {
            TileKind::Product { .. } => true,
            TileKind::Link => operation.part == producer.output as u64,
        };
        operation.place == producer.operation && is_output
    };
    let mut parts = unit.operations().iter().filter(computes);
    parts.find_map(|operation| Some((operation, tile_of(&operation.record, operation.part, element)?)))
}

/// Opens a producer's tile; the rule of a link is run over the recorded trace, so that what it reads is opened.
fn produced(
    recorder: &Recorder<'_>,
    unit: &CommittedUnit,
    (operation, tile): (&CommittedOperation, (u32, u32)),
    element: u64,
) -> Result<OpenedOperation, AnswerFault> {
    let form = form_of(recorder.trace, unit, operation)?;
    if operation.record.kind == TileKind::Link {
        let elements = Recorded { recorder, tensors: tensors_in(recorder.trace, operation)? };
        let source = FormSource::new(&form, &elements).map_err(AnswerError::from)?;
        let alone = form.trace(operation.record.key, &source).map_err(AnswerError::from)?;
        check_entry(&alone, form.part(), element)?;
    }
    let key = operation.record.key.with_tile(tile).map_err(|_| OpeningError::Elsewhere)?;
    let path = unit.leaf_of(key).and_then(|leaf| unit.tree().path(leaf)).ok_or(OpeningError::Elsewhere)?;
    Ok(OpenedOperation { operation: operation.record.clone(), form: form.bytes().to_vec(), tile, path })
}

/// The tiles that were read, each with its path.
fn opened_tensors(recorder: &Recorder<'_>, unit: &CommittedUnit) -> Result<Vec<OpenedTensor>, AnswerFault> {
    let mut opened = Vec::new();
    let read = recorder.read.take();
    let capped = |found: usize, cap: usize| if found > cap { Err(AnswerFault::TooMany { found, cap }) } else { Ok(()) };
    capped(read.len(), MAX_OPENED_TENSORS)?;
    for (place, tiles) in read {
        capped(tiles.len(), MAX_OPENED_TILES)?;
        let (Some(tensor), Some(hashed)) = (recorder.trace.tensor(place), unit.tiles_of(place)) else {
            return Err(AnswerFault::NoTrace);
        };
        let described = TensorShape { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape };
        let grid = TensorGrid::of(described).map_err(|_| AnswerFault::NoTrace)?;
        let size = usize::try_from(tensor.element_bytes()).unwrap_or_default();
        let open = |tile: u64| {
            let mut bytes = Vec::new();
            for element in grid.elements(tile) {
                let mut one = vec![0; size];
                recorder.trace.read(place, element, &mut one).map_err(AnswerFault::Source)?;
                bytes.extend(one);
            }
            Ok(OpenedTile { tile, bytes, path: hashed.path(tile).ok_or(AnswerFault::NoTrace)? })
        };
        let tiles: Result<Vec<OpenedTile>, AnswerFault> = tiles.into_iter().map(open).collect();
        opened.push(OpenedTensor { root: hashed.root(), tiles: tiles? });
    }
    opened.sort_by_key(|tensor| tensor.root.elements());
    Ok(opened)
}
