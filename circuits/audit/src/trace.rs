//! **Duty.** A trace of one optimizer step on one rank: operations in the order in which they ran, and the tensors that
//! they read and wrote. **Knows** bytes that it is handed. **Does not know** files, or whether anything was computed
//! right: see [`crate::link`] and [`crate::trial`]. **Spec.** docs/trace-format.md; PROTOCOL §3 (work unit).
//!
//! A parsed trace is consistent and nothing more. What it says about where a tensor comes from (`before`, `batch`) is a
//! claim until it is compared with a checkpoint or a batch ([`crate::boundary`], [`crate::dataset`]).

mod alone;
mod build;
mod captured;
mod error;
mod format;
mod forms;
mod graph;
mod operation;
mod source;
mod view;

use std::fmt;

use sha2::{Digest as _, Sha256};
use weighbridge_attest_types::Digest32;

use crate::Key;
use crate::boundary::header_of;
use crate::trace::build::Tensors;
use crate::trace::graph::{Graph, GraphUnit};

pub(crate) use alone::tensors_of;
pub use alone::{FormError, MAX_FORM_BYTES, OPERATION_FORMAT, OperationForm};
pub use error::TraceError;
pub use format::FloatFormat;
pub(crate) use format::decode_index;
pub use graph::{MAX_GRAPH_BYTES, MAX_OPERANDS, MAX_OPERATIONS, MAX_TENSORS, TRACE_FORMAT};
pub use operation::{AdamW, Kind, Matmul, MatmulFormat, Operand, Operation, Phase, Reduction, Sgd};
pub use source::{SourceError, TensorSource};
pub use view::{MAX_VIEW_RANK, View, ViewError};

/// Bytes hashed at once.
const HASH_CHUNK: usize = 64 * 1024;

/// A trace, parsed: every operand is a view inside its tensor, every operation has the operands that it needs, and
/// nothing is read before it was computed.
pub struct Trace<'s> {
    unit: Unit,
    framework: String,
    tensors_digest: Digest32,
    tensors: Vec<Tensor>,
    operations: Vec<Operation>,
    source: &'s dyn TensorSource,
}

/// Where in a run the operations belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Attempt of the run.
    pub attempt: u16,
    /// Optimizer step.
    pub step: u64,
    /// Rank.
    pub rank: u32,
}

/// A tensor of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the trace.
    pub name: String,
    /// Data type, by its safetensors name.
    pub dtype: &'static str,
    /// Dimensions, outermost first.
    pub shape: Vec<u64>,
    /// Its name in the checkpoint after the step, if it is one of that checkpoint.
    pub after: Option<String>,
    origin: Option<Origin>,
    producer: Option<Producer>,
    element_bytes: u64,
    offset: u64,
}

/// Where a tensor comes from, as the trace says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The checkpoint before the step, under this name.
    Checkpoint(String),
    /// The batch, under this name.
    Batch(String),
    /// An operation of the trace.
    Output,
    /// Nowhere that the trace shows.
    Unlinked {
        /// The first operation that reads it.
        first_reader: String,
    },
}

/// The operation that computed a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Place of the operation in the trace.
    pub operation: usize,
    /// Which of its outputs.
    pub output: usize,
}

impl<'s> Trace<'s> {
    /// Parses a graph over its tensors, `weighbridge/trace/v1` or `captured-step/v1`.
    ///
    /// # Errors
    /// [`TraceError`] says what does not fit; nothing is read in part.
    pub fn parse(graph: &[u8], source: &'s dyn TensorSource) -> Result<Self, TraceError> {
        let (graph, tensors) = read(graph, source)?;
        Self::build(&graph, tensors, source)
    }

    fn build(graph: &Graph, mut tensors: Tensors, source: &'s dyn TensorSource) -> Result<Self, TraceError> {
        let operations = build::operations(graph, &mut tensors)?;
        let found = digest(source)?;
        if found != graph.tensors_sha256 {
            return Err(TraceError::OtherTensors { named: graph.tensors_sha256, found });
        }
        let GraphUnit { attempt, step, rank } = graph.unit;
        let trace = Self {
            unit: Unit { attempt, step, rank },
            framework: graph.framework.clone(),
            tensors_digest: found,
            tensors: tensors.list,
            operations,
            source,
        };
        trace.keys_fit()?;
        Ok(trace)
    }

    fn keys_fit(&self) -> Result<(), TraceError> {
        let mut total = 0u128;
        for (place, operation) in self.operations.iter().enumerate() {
            self.key(place, (0, 0)).map_err(|source| TraceError::Key { operation: operation.name.clone(), source })?;
            total = operation.flop().map_or(Some(total), |flop| total.checked_add(flop)).ok_or(TraceError::TooMuch)?;
        }
        // Draws are made over 64 bits: 2⁶⁴ FLOP are more than one step of one rank has.
        if total > u128::from(u64::MAX) { Err(TraceError::TooMuch) } else { Ok(()) }
    }

    /// The key of a tile of an operation.
    ///
    /// # Errors
    /// [`crate::KeyError`] when a part does not fit.
    pub fn key(&self, operation: usize, tile: (u32, u32)) -> Result<Key, crate::KeyError> {
        let micro_batch = self.operations.get(operation).map(|operation| operation.micro_batch).unwrap_or_default();
        let place = u32::try_from(operation).unwrap_or(u32::MAX);
        Key::new((self.unit.attempt, self.unit.step), (self.unit.rank, micro_batch, place), tile)
    }

    /// Where in a run it belongs.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// What captured it, by its own word.
    #[must_use]
    pub fn framework(&self) -> &str {
        &self.framework
    }

    /// SHA-256 of the tensors' file.
    #[must_use]
    pub const fn tensors_digest(&self) -> Digest32 {
        self.tensors_digest
    }

    /// Its operations, in the order in which they ran.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Its tensors, in the order of the file.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// A tensor by its place.
    #[must_use]
    pub fn tensor(&self, place: usize) -> Option<&Tensor> {
        self.tensors.get(place)
    }

    /// The bytes of some elements of a tensor, one after the other; `into` says how many.
    ///
    /// # Errors
    /// [`SourceError`], also for elements that the tensor does not have.
    pub fn read(&self, tensor: usize, first: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let length = into.len() as u64;
        let refused = |offset, why: &str| SourceError { offset, length, why: why.to_owned() };
        let Some(tensor) = self.tensors.get(tensor) else { return Err(refused(0, "there is no such tensor")) };
        let from = first.checked_mul(tensor.element_bytes);
        let end = from.and_then(|from| from.checked_add(length));
        match (from, end) {
            (Some(from), Some(end)) if end <= tensor.bytes() => {
                self.source.read(tensor.offset.saturating_add(from), into)
            }
            _ => Err(refused(tensor.offset, "the tensor ends before")),
        }
    }
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, framework, tensors_digest, tensors, operations, source } = self;
        f.debug_struct("Trace")
            .field("unit", unit)
            .field("framework", framework)
            .field("tensors_digest", tensors_digest)
            .field("tensors", tensors)
            .field("operations", operations)
            .field("source_bytes", &source.length())
            .finish()
    }
}

impl Tensor {
    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        view::count(&self.shape).unwrap_or_default()
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn element_bytes(&self) -> u64 {
        self.element_bytes
    }

    /// Bytes of all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.element_bytes)
    }

    /// Where it comes from; `None` for a tensor that no operation reads or computes.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The operation that computed it.
    #[must_use]
    pub const fn producer(&self) -> Option<Producer> {
        self.producer
    }
}

/// The graph of either format as `weighbridge/trace/v1` JSON, after the same checks as [`Trace::parse`].
///
/// # Errors
/// [`TraceError`].
pub fn graph_json(graph: &[u8], source: &dyn TensorSource) -> Result<Vec<u8>, TraceError> {
    let (graph, tensors) = read(graph, source)?;
    Trace::build(&graph, tensors, source)?;
    serde_json::to_vec(&graph).map_err(TraceError::Json)
}

fn read(graph: &[u8], source: &dyn TensorSource) -> Result<(Graph, Tensors), TraceError> {
    let captured = captured::Captured::sniff(graph)?;
    let (places, data) = header_of(source)?;
    let graph = match captured {
        Some(captured) => captured.graph(&places)?,
        None => Graph::parse(graph)?,
    };
    let tensors = Tensors::join(&graph.tensors, places, data)?;
    Ok((graph, tensors))
}

/// SHA-256 of everything that a source has.
fn digest(source: &dyn TensorSource) -> Result<Digest32, TraceError> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0u8; HASH_CHUNK];
    let (mut at, length) = (0u64, source.length());
    while let left @ 1.. = length.saturating_sub(at) {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(HASH_CHUNK);
        let part = chunk.get_mut(..size).unwrap_or_default();
        source.read(at, part).map_err(TraceError::Source)?;
        hash.update(&*part);
        at = at.saturating_add(size as u64);
    }
    Ok(Digest32(hash.finalize().into()))
}

#[cfg(test)]
pub(crate) mod tests;
