//! **Duty.** What lies around a trace: the checkpoint that it starts from, the step after it, and the numbers of the
//! schedule. **Knows** traces and checkpoints as bytes. **Does not know** who committed to them. **Spec.** PROTOCOL §4
//! (for every unit: W_out(t) = W_in(t+1) along the lineage), CIRCUITS §6 (lr, schedule and optimizer from genesis).
//!
//! These checks are made for every unit and never sampled: each returns all that is wrong.

use std::collections::BTreeMap;
use std::fmt;

use weighbridge_commitments::{TensorPlace, header_length, tensor_places};

use crate::trace::{Kind, Operation, Origin, SourceError, Tensor, TensorSource, Trace, TraceError};

/// Bytes compared at once.
const CHUNK: u64 = 64 * 1024;

/// Something about a tensor that does not fit what lies around the trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The checkpoint's name of the tensor.
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

/// Holds every tensor that a trace calls its checkpoint's to that checkpoint.
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
    Ok(faults)
}

/// Holds the step after a step to it: what the one leaves is what the next begins with.
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
    let begun: BTreeMap<&str, usize> = named(next, |tensor| match tensor.origin() {
        Some(Origin::Checkpoint(name)) => Some(name),
        _ => None,
    });
    for (name, place) in &left {
        let why = match begun.get(name) {
            None => Some(FaultKind::Missing),
            Some(other) => differ(first, *place, next, *other)?,
        };
        faults.extend(why.map(|why| Fault { tensor: (*name).to_owned(), why }));
    }
    let new = begun.keys().filter(|name| !left.contains_key(*name));
    faults.extend(new.map(|name| Fault { tensor: (*name).to_owned(), why: FaultKind::Missing }));
    Ok(faults)
}

/// Holds the updates of a trace to the numbers that the run committed to: `scheduled` gives those of a parameter at this
/// step, or `None` for one that is not trained. Every tensor of the next checkpoint must come from an update of the
/// tensor that had its name, or be that tensor.
#[must_use]
pub fn against_schedule(trace: &Trace<'_>, scheduled: &dyn Fn(&str) -> Option<Kind>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, place) in named(trace, |tensor| tensor.after.as_deref()) {
        let Some(tensor) = trace.tensor(place) else { continue };
        let mut fault = |why| faults.push(Fault { tensor: name.to_owned(), why });
        if tensor.origin() == Some(&Origin::Checkpoint(name.to_owned())) {
            // Left as it was: right for what is not trained.
            if scheduled(name).is_some() {
                fault(FaultKind::NoUpdate);
            }
            continue;
        }
        let Some((parameter, found)) = update_of(trace, tensor, name) else {
            fault(FaultKind::NoUpdate);
            continue;
        };
        match scheduled(&parameter) {
            None => fault(FaultKind::Unscheduled),
            Some(wanted) if wanted != found => fault(FaultKind::OtherNumbers { wanted, found }),
            Some(_) => {}
        }
    }
    faults
}

/// The parameter whose update computed this tensor in its own place: a parameter from the parameter of that name, state
/// from state of that name or from none.
fn update_of(trace: &Trace<'_>, tensor: &Tensor, name: &str) -> Option<(String, Kind)> {
    let producer = tensor.producer()?;
    let operation: &Operation = trace.operations().get(producer.operation)?;
    if !matches!(operation.kind, Kind::Sgd(_) | Kind::AdamW(_)) {
        return None;
    }
    let whole = |role: &str| {
        let operand = operation.input(role)?;
        let tensor = trace.tensor(operand.tensor)?;
        match tensor.origin() {
            Some(Origin::Checkpoint(name)) if operand.view.is_whole(tensor.elements()) => Some(name.clone()),
            _ => None,
        }
    };
    let (role, _) = operation.outputs().nth(producer.output)?;
    let parameter = whole("param")?;
    let own = match operation.input(role) {
        Some(_) => whole(role)? == name,
        None => true,
    };
    own.then_some((parameter, operation.kind))
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
            FaultKind::NoUpdate => write!(f, "tensor {tensor:?} of the next checkpoint comes from no update of it"),
            FaultKind::OtherStep { wanted, found } => write!(f, "step {found} follows where step {wanted} was to"),
            FaultKind::OtherUnit => f.write_str("the two steps are of different attempts or ranks"),
        }
    }
}
