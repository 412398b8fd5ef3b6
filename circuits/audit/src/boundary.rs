//! **Duty.** What lies around a trace: the checkpoint that it starts from, the step after it, and the numbers of the
//! schedule. **Knows** traces and checkpoints as bytes. **Does not know** who committed to them. **Spec.** PROTOCOL §4
//! (for every unit: W_out(t) = W_in(t+1) along the lineage), CIRCUITS §6 (lr, schedule and optimizer from genesis).
//!
//! These checks are made for every unit and never sampled: each returns all that is wrong. What a trace does not name is
//! wrong, not absent: the other side says which names there are.

mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use weighbridge_commitments::{TensorPlace, header_length, tensor_places};

use crate::trace::{Kind, Origin, SourceError, Tensor, TensorSource, Trace, TraceError};

pub use schedule::{Schedule, Scheduled, against_schedule, constants};

/// Bytes compared at once.
const CHUNK: u64 = 64 * 1024;

/// Something about a tensor that does not fit what lies around the trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The checkpoint's name of the tensor, or the name of an operation for a constant.
    pub tensor: String,
    /// What is wrong.
    pub why: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The other side has no such tensor.
    Missing,
    /// Another data type or shape.
    OtherForm,
    /// Other bytes.
    OtherBytes,
    /// An update with other numbers than the schedule has for it.
    OtherNumbers {
        /// By the schedule.
        wanted: Kind,
        /// By the trace.
        found: Kind,
    },
    /// An update that the schedule does not know.
    Unscheduled,
    /// State that an update lacks though it is not the first, or has though it is.
    State {
        /// Which.
        role: &'static str,
        /// By the schedule.
        is_first: bool,
    },
    /// State that the update leaves and the next checkpoint does not have.
    StateLost {
        /// Which.
        role: &'static str,
    },
    /// An update whose gradient comes from constants, the checkpoint or the batch alone.
    NoGradient,
    /// A constant that was not committed to.
    Constant(Kind),
    /// Two steps that name no tensor of a checkpoint.
    Nothing,
    /// A tensor of the next checkpoint that no update computed from the one of that name before.
    NoUpdate,
    /// The second trace is not of the step after the first.
    OtherStep {
        /// The step that was to follow.
        wanted: u64,
        /// The step that does.
        found: u64,
    },
    /// Another attempt or rank.
    OtherUnit,
}

/// Reads bytes from a place on.
type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> Result<(), SourceError> + 'a;

/// A checkpoint's tensors by name, from one or several safetensors files.
pub struct Checkpoint<'s> {
    tensors: BTreeMap<String, (TensorPlace, &'s dyn TensorSource, u64)>,
}

impl<'s> Checkpoint<'s> {
    /// Reads the headers of its files.
    ///
    /// # Errors
    /// [`TraceError::Header`] and [`TraceError::Source`]; [`TraceError::TensorTwice`] for one name in two files.
    pub fn parse(sources: &[&'s dyn TensorSource]) -> Result<Self, TraceError> {
        let mut tensors = BTreeMap::new();
        for source in sources {
            let (places, data) = header_of(*source)?;
            for place in places {
                let name = place.name.clone();
                if tensors.insert(name.clone(), (place, *source, data)).is_some() {
                    return Err(TraceError::TensorTwice { tensor: name });
                }
            }
        }
        Ok(Self { tensors })
    }
}

impl fmt::Debug for Checkpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("tensors", &self.tensors.keys()).finish()
    }
}

/// The tensors of a safetensors file, and where its data begins.
pub(crate) fn header_of(source: &dyn TensorSource) -> Result<(Vec<TensorPlace>, u64), TraceError> {
    const PREFIX: u64 = 8;
    let length = source.length();
    if length < PREFIX {
        let missing = PREFIX.saturating_sub(length);
        return Err(TraceError::Header(weighbridge_commitments::HeaderError::Truncated { missing }));
    }
    let mut prefix = [0u8; 8];
    source.read(0, &mut prefix).map_err(TraceError::Source)?;
    let header_bytes = header_length(prefix, length).map_err(TraceError::Header)?;
    let mut header = vec![0u8; usize::try_from(header_bytes).unwrap_or_default()];
    source.read(PREFIX, &mut header).map_err(TraceError::Source)?;
    let data = PREFIX.saturating_add(header_bytes);
    let places = tensor_places(&header, length.saturating_sub(data)).map_err(TraceError::Header)?;
    Ok((places, data))
}

/// Holds a trace to the checkpoint before its step: each tensor that it calls the checkpoint's is there, alike, and each
/// tensor of the checkpoint is one of the trace's. What a job does not touch has to be captured all the same, or weights
/// could pass as a batch.
///
/// # Errors
/// [`SourceError`] when bytes cannot be read.
pub fn against_checkpoint(trace: &Trace<'_>, checkpoint: &Checkpoint<'_>) -> Result<Vec<Fault>, SourceError> {
    let mut faults = Vec::new();
    for (place, tensor) in trace.tensors().iter().enumerate() {
        let Some(Origin::Checkpoint(name)) = tensor.origin() else { continue };
        let mut fault = |why| faults.push(Fault { tensor: name.clone(), why });
        let Some((found, source, data)) = checkpoint.tensors.get(name) else {
            fault(FaultKind::Missing);
            continue;
        };
        if found.dtype != tensor.dtype || found.shape != tensor.shape {
            fault(FaultKind::OtherForm);
            continue;
        }
        let read = |at: u64, into: &mut [u8]| source.read(data.saturating_add(found.offset).saturating_add(at), into);
        if !equal(trace, place, tensor, &read)? {
            fault(FaultKind::OtherBytes);
        }
    }
    let said: BTreeMap<&str, usize> = named(trace, before);
    let silent = checkpoint.tensors.keys().filter(|name| !said.contains_key(name.as_str()));
    faults.extend(silent.map(|name| Fault { tensor: name.clone(), why: FaultKind::Missing }));
    Ok(faults)
}

/// Holds the step after a step to it: what the one leaves is what the next begins with, and nothing is dropped. With
/// [`against_checkpoint`] at the first step of a lineage every tensor is then followed to its end.
///
/// # Errors
/// [`SourceError`] when bytes cannot be read.
pub fn lineage(first: &Trace<'_>, next: &Trace<'_>) -> Result<Vec<Fault>, SourceError> {
    let mut faults = Vec::new();
    let (one, two) = (first.unit(), next.unit());
    if (one.attempt, one.rank) != (two.attempt, two.rank) {
        faults.push(Fault { tensor: String::new(), why: FaultKind::OtherUnit });
    }
    if one.step.checked_add(1) != Some(two.step) {
        let why = FaultKind::OtherStep { wanted: one.step.saturating_add(1), found: two.step };
        faults.push(Fault { tensor: String::new(), why });
    }
    let left: BTreeMap<&str, usize> = named(first, |tensor| tensor.after.as_deref());
    let begun: BTreeMap<&str, usize> = named(next, before);
    if left.is_empty() && begun.is_empty() {
        faults.push(Fault { tensor: String::new(), why: FaultKind::Nothing });
    }
    for (name, place) in &left {
        let why = match begun.get(name) {
            None => Some(FaultKind::Missing),
            Some(other) => differ(first, *place, next, *other)?,
        };
        faults.extend(why.map(|why| Fault { tensor: (*name).to_owned(), why }));
    }
    // New in the next step, or there before this one and dropped by both.
    let had = named(first, before);
    let silent: BTreeSet<&str> =
        begun.keys().chain(had.keys()).copied().filter(|name| !left.contains_key(name)).collect();
    faults.extend(silent.into_iter().map(|name| Fault { tensor: name.to_owned(), why: FaultKind::Missing }));
    Ok(faults)
}

/// The checkpoint's name of a tensor before the step.
fn before(tensor: &Tensor) -> Option<&str> {
    match tensor.origin() {
        Some(Origin::Checkpoint(name)) => Some(name),
        _ => None,
    }
}

fn named<'t>(trace: &'t Trace<'_>, name: impl Fn(&'t Tensor) -> Option<&'t str>) -> BTreeMap<&'t str, usize> {
    let places = trace.tensors().iter().enumerate();
    places.filter_map(|(place, tensor)| Some((name(tensor)?, place))).collect()
}

fn differ(first: &Trace<'_>, place: usize, next: &Trace<'_>, other: usize) -> Result<Option<FaultKind>, SourceError> {
    let (Some(one), Some(two)) = (first.tensor(place), next.tensor(other)) else { return Ok(Some(FaultKind::Missing)) };
    if one.dtype != two.dtype || one.shape != two.shape {
        return Ok(Some(FaultKind::OtherForm));
    }
    let read =
        |at: u64, into: &mut [u8]| next.read(other, at.checked_div(two.element_bytes()).unwrap_or_default(), into);
    Ok((!equal(first, place, one, &read)?).then_some(FaultKind::OtherBytes))
}

/// Whether a tensor has these bytes; the reader takes a place in bytes, always a whole number of elements.
fn equal(trace: &Trace<'_>, place: usize, tensor: &Tensor, read: &ReadAt<'_>) -> Result<bool, SourceError> {
    let (mut at, bytes) = (0u64, tensor.bytes());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    while let left @ 1.. = bytes.saturating_sub(at) {
        let size = usize::try_from(left.min(CHUNK)).unwrap_or_default();
        ours.resize(size, 0);
        theirs.resize(size, 0);
        trace.read(place, at.checked_div(tensor.element_bytes()).unwrap_or_default(), &mut ours)?;
        read(at, &mut theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        at = at.saturating_add(left.min(CHUNK));
    }
    Ok(true)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensor = &self.tensor;
        match &self.why {
            FaultKind::Missing => write!(f, "tensor {tensor:?} is on one side only"),
            FaultKind::OtherForm => write!(f, "tensor {tensor:?} has another data type or shape on the other side"),
            FaultKind::OtherBytes => write!(f, "tensor {tensor:?} has other bytes on the other side"),
            FaultKind::OtherNumbers { wanted, found } => {
                write!(f, "tensor {tensor:?} was updated with {found:?}; the schedule has {wanted:?}")
            }
            FaultKind::Unscheduled => write!(f, "tensor {tensor:?} was updated and is not scheduled to be"),
            FaultKind::State { role, is_first: true } => {
                write!(f, "tensor {tensor:?} is updated for the first time and has {role} already")
            }
            FaultKind::State { role, is_first: false } => {
                write!(f, "tensor {tensor:?} was updated without its {role}, and it is not the first update")
            }
            FaultKind::StateLost { role } => {
                write!(f, "the next checkpoint does not have the {role} that the update of {tensor:?} left")
            }
            FaultKind::NoGradient => {
                write!(
                    f,
                    "tensor {tensor:?} was updated with a gradient that comes from no product and no sum of the step"
                )
            }
            FaultKind::Constant(kind) => {
                write!(f, "operation {tensor:?} has a constant that was not committed to: {kind:?}")
            }
            FaultKind::Nothing => f.write_str("the two steps name no tensor of a checkpoint: nothing follows"),
            FaultKind::NoUpdate => write!(f, "tensor {tensor:?} of the next checkpoint comes from no update of it"),
            FaultKind::OtherStep { wanted, found } => write!(f, "step {found} follows where step {wanted} was to"),
            FaultKind::OtherUnit => f.write_str("the two steps are of different attempts or ranks"),
        }
    }
}

#[cfg(test)]
mod tests;
