//! **Duty.** Whether a span of a run was replayed to the same end: to the bit under the pinned environment, or within a
//! tolerance that was committed before the run. **Knows** roots and stored numbers. **Does not know** how a step is done:
//! whoever replays hands over what came out. **Spec.** PROTOCOL §5 (mode `replayed`), TRAINING §6.
//!
//! The two are different grades and are never mixed: a span that is not equal to the bit is not "nearly" so. A tolerance
//! that a prover may choose afterwards is no tolerance: the comparison asks for the committed digest.

mod tolerance;

pub use tolerance::{
    MAX_ABSOLUTE_EXPONENT, MAX_TOLERANCES, TensorDifference, TensorTolerance, Tolerance, ToleranceError,
};

use thiserror::Error;
use weighbridge_attest_types::{Canonical, CodecError, Culprit, Decoder, Digest32, Encoder};

use crate::number::Format;

/// Longest text of an environment, in bytes: `torch 2.15.0+cpu` and its like.
pub const MAX_TEXT_BYTES: usize = 128;
/// Tensors of one state. A checkpoint has at most 400,000 (LIMITATIONS).
pub const MAX_TENSORS: usize = 400_000;

/// A tensor's movement over the span is at least this many times what its two ends lie apart: then the replayed step is
/// known to 5 %, and an end that never moved is far off.
pub const LEAST_MARGIN: u32 = 20;

/// What results depend on besides numbers: all three change bits (TRAINING §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Name and version of the library.
    pub library: String,
    /// Instruction path, such as `avx512` or `sm_90 deterministic`.
    pub instruction_path: String,
    /// Threads of the kernels.
    pub threads: u32,
}

/// A stretch between two committed states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Fast root of the state that it starts from.
    pub start: Digest32,
    /// Fast root of the state that it ends in.
    pub end: Digest32,
}

/// One tensor as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its numbers are stored.
    pub format: Format,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A state with its root. The caller computed the root from these very bytes (`weighbridge-commitments`).
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// Fast root.
    pub root: Digest32,
    /// Tensors, ascending by name.
    pub tensors: &'a [StoredTensor<'a>],
}

/// How near two ends are, and how far the span went.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Closeness {
    /// Over all tensors.
    pub difference: TensorDifference,
    /// Root mean square of end less start, of the tensor that moved least beside how far its ends lie apart. Unit: the
    /// tensor's. 0 where no tensor differs.
    pub moved: f64,
    /// Root mean square of committed less replayed end, of the same tensor.
    pub apart: f64,
}

/// How well a span was replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplayGrade {
    /// Every bit of the end is the committed one.
    BitExact,
    /// Every tensor is within its committed tolerance, and moved far more than that.
    WithinTolerance(Closeness),
}

impl ReplayGrade {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::BitExact => "bit-exact under the pinned environment",
            Self::WithinTolerance(_) => "within the declared tolerance",
        }
    }
}

/// Why a replay shows nothing, or that the span was not what was committed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ReplayRefusal {
    /// Another environment: bits may differ for that alone.
    #[error("replayed in another environment than the pinned one: {found:?} in place of {pinned:?}")]
    Environment {
        /// As committed.
        pinned: Box<Environment>,
        /// As used.
        found: Box<Environment>,
    },
    /// The replay began from another state.
    #[error("the replay started from {found}; the span starts from {committed}")]
    Start {
        /// As committed.
        committed: Digest32,
        /// As used.
        found: Digest32,
    },
    /// The replay came to another end.
    #[error("the replay ends in {found}; the span was committed to end in {committed}")]
    End {
        /// As committed.
        committed: Digest32,
        /// As replayed.
        found: Digest32,
    },
    /// The tensors that were handed over as the committed start are not.
    #[error("the tensors to measure the movement from have the root {found}; the span starts from {committed}")]
    NotTheStart {
        /// As committed.
        committed: Digest32,
        /// As handed over.
        found: Digest32,
    },
    /// The tensors that were handed over as the committed end are not.
    #[error("the tensors to compare with have the root {found}; the span ends in {committed}")]
    NotTheEnd {
        /// As committed.
        committed: Digest32,
        /// As handed over.
        found: Digest32,
    },
    /// Another tolerance than the committed one.
    #[error("the tolerance has the digest {found}; committed before the run was {committed}")]
    Tolerance {
        /// As committed.
        committed: Digest32,
        /// As handed over.
        found: Digest32,
    },
    /// The two ends do not have the same tensors.
    #[error("tensor {name:?} is in one state and not in the other, or has another format or length")]
    Tensors {
        /// The first that differs.
        name: String,
    },
    /// Not proven: the ends lie too far apart for what the span changed.
    #[error(
        "tensor {name:?} moved by {moved:e} in the root mean square and its ends lie {apart:e} apart; at least {LEAST_MARGIN} times as far is asked"
    )]
    NotProven {
        /// Which.
        name: String,
        /// Root mean square of end less start.
        moved: f64,
        /// Root mean square of committed less replayed end.
        apart: f64,
    },
    /// Too many tensors, or out of order.
    #[error("a state has at most {MAX_TENSORS} tensors, ascending by name, each once")]
    Order,
    /// A tensor beyond its tolerance.
    #[error("tensor {name:?}: {source}")]
    Beyond {
        /// Which.
        name: String,
        /// How.
        #[source]
        source: ToleranceError,
    },
}

impl ReplayRefusal {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Order => Culprit::Malformed,
            Self::Environment { .. } | Self::Start { .. } | Self::NotTheStart { .. } | Self::NotTheEnd { .. } => {
                Culprit::Usage
            }
            Self::Tolerance { .. } => Culprit::Untrusted,
            _ => Culprit::Rejected,
        }
    }
}

/// Compares to the bit.
///
/// # Errors
/// [`ReplayRefusal::Environment`], [`ReplayRefusal::Start`], [`ReplayRefusal::End`].
pub fn check_bit_exact(
    committed: &Span,
    pinned: &Environment,
    replayed: &Span,
    environment: &Environment,
) -> Result<ReplayGrade, ReplayRefusal> {
    if environment != pinned {
        let (pinned, found) = (Box::new(pinned.clone()), Box::new(environment.clone()));
        return Err(ReplayRefusal::Environment { pinned, found });
    }
    starts_alike(committed, replayed.start)?;
    if replayed.end != committed.end {
        return Err(ReplayRefusal::End { committed: committed.end, found: replayed.end });
    }
    Ok(ReplayGrade::BitExact)
}

/// Compares within the committed tolerance: every tensor of the end, none left out on either side, and each of them beside
/// how far it moved from the start.
///
/// # Errors
/// [`ReplayRefusal`].
pub fn check_within_tolerance(
    committed: &Span,
    committed_tolerance: Digest32,
    tolerance: &Tolerance,
    replayed_from: Digest32,
    (start, end, replayed): (&State<'_>, &State<'_>, &State<'_>),
) -> Result<ReplayGrade, ReplayRefusal> {
    let found = tolerance.digest();
    if found != committed_tolerance {
        return Err(ReplayRefusal::Tolerance { committed: committed_tolerance, found });
    }
    starts_alike(committed, replayed_from)?;
    if start.root != committed.start {
        return Err(ReplayRefusal::NotTheStart { committed: committed.start, found: start.root });
    }
    if end.root != committed.end {
        return Err(ReplayRefusal::NotTheEnd { committed: committed.end, found: end.root });
    }
    for state in [start, end, replayed] {
        let is_ascending = state.tensors.is_sorted_by(|one, next| one.name < next.name);
        if state.tensors.len() > MAX_TENSORS || !is_ascending {
            return Err(ReplayRefusal::Order);
        }
    }
    // What the start has, the end has too: a tensor that is gone has not moved.
    if let Some(gone) = start.tensors.iter().find(|tensor| named(end, tensor.name).is_none()) {
        return Err(ReplayRefusal::Tensors { name: gone.name.to_owned() });
    }
    let mut total = Closeness::default();
    let longest = end.tensors.len().max(replayed.tensors.len());
    for place in 0..longest {
        let (one, other) = match (end.tensors.get(place), replayed.tensors.get(place)) {
            (Some(one), Some(other)) if is_comparable(one, other) => (one, other),
            (Some(one), _) => return Err(ReplayRefusal::Tensors { name: one.name.to_owned() }),
            (None, other) => {
                let name = other.map(|tensor| tensor.name.to_owned()).unwrap_or_default();
                return Err(ReplayRefusal::Tensors { name });
            }
        };
        let before = named(start, one.name);
        if before.is_some_and(|before| !is_comparable(before, one)) {
            return Err(ReplayRefusal::Tensors { name: one.name.to_owned() });
        }
        let difference = tolerance.of(one.name).compare(one.format, one.bytes, other.bytes);
        let difference = difference.map_err(|source| ReplayRefusal::Beyond { name: one.name.to_owned(), source })?;
        total.add(one.name, &difference, &Movement::of(before.map(|before| before.bytes), one, other.bytes))?;
    }
    Ok(ReplayGrade::WithinTolerance(total))
}

/// A tensor's sums of squares.
struct Movement {
    /// Σ (end − start)².
    moved: f64,
    /// Σ (committed − replayed end)².
    apart: f64,
    entries: f64,
}

impl Movement {
    fn of(before: Option<&[u8]>, end: &StoredTensor<'_>, replayed: &[u8]) -> Self {
        let (format, size) = (end.format, end.format.bytes());
        let zeros = vec![0; if before.is_none() { end.bytes.len() } else { 0 }];
        let value =
            |bytes: &[u8]| format.decode(format.bits(bytes).unwrap_or_default()).ok().map(|number| number.value());
        // What is no number on both sides is the same bits, by the comparison before; where it came from is no movement.
        let square = |one: Option<f64>, other: Option<f64>| one.zip(other).map_or(0.0, |(a, b)| (a - b) * (a - b));
        let (mut moved, mut apart, mut entries) = (0.0, 0.0, 0.0);
        let starts = before.unwrap_or(&zeros).chunks_exact(size);
        for ((start, end), replayed) in starts.zip(end.bytes.chunks_exact(size)).zip(replayed.chunks_exact(size)) {
            moved += square(value(end), value(start));
            apart += square(value(end), value(replayed));
            entries += 1.0;
        }
        Self { moved, apart, entries }
    }
}

impl Closeness {
    /// Adds a tensor that is within its tolerance.
    fn add(&mut self, name: &str, difference: &TensorDifference, movement: &Movement) -> Result<(), ReplayRefusal> {
        let Movement { moved, apart, entries } = *movement;
        let root = |squares: f64| (squares / entries.max(1.0)).sqrt();
        let (moved, apart) = (root(moved), root(apart));
        self.difference.add(difference);
        if apart == 0.0 {
            return Ok(());
        }
        // Not a number, or infinite, is not at least.
        let is_enough = moved >= f64::from(LEAST_MARGIN) * apart && moved.is_finite();
        if !is_enough {
            return Err(ReplayRefusal::NotProven { name: name.to_owned(), moved, apart });
        }
        if self.apart == 0.0 || moved / apart < self.moved / self.apart {
            (self.moved, self.apart) = (moved, apart);
        }
        Ok(())
    }
}

fn named<'a>(state: &State<'a>, name: &str) -> Option<&'a StoredTensor<'a>> {
    let place = state.tensors.binary_search_by(|tensor| tensor.name.cmp(name)).ok()?;
    state.tensors.get(place)
}

fn starts_alike(committed: &Span, found: Digest32) -> Result<(), ReplayRefusal> {
    if found == committed.start { Ok(()) } else { Err(ReplayRefusal::Start { committed: committed.start, found }) }
}

fn is_comparable(one: &StoredTensor<'_>, other: &StoredTensor<'_>) -> bool {
    (one.name, one.format, one.bytes.len()) == (other.name, other.format, other.bytes.len())
}

impl Canonical for Environment {
    fn encode(&self, out: &mut Encoder) {
        let Self { library, instruction_path, threads } = self;
        out.put(library).put(instruction_path).put(threads);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (library, instruction_path): (String, String) = (input.take()?, input.take()?);
        if [&library, &instruction_path].iter().any(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(CodecError::NotCanonical("environment"));
        }
        Ok(Self { library, instruction_path, threads: input.take()? })
    }
}

#[cfg(test)]
mod tests;
