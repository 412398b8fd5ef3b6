//! **Duty.** Why bytes are not a trace, and whose fault that is. **Spec.** HOUSE §5.

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32};
use weighbridge_commitments::HeaderError;

use crate::KeyError;
use crate::trace::source::SourceError;
use crate::trace::view::ViewError;

/// Why a graph and its tensors are no trace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The graph is longer than we read.
    #[error("a graph of {found} bytes is over the cap of {cap}; capture fewer operations")]
    TooLarge {
        /// Bytes.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// Too many of something.
    #[error("{found} {what}; the cap is {cap}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// Not JSON of the form.
    #[error("the graph is not JSON of the form that its format has")]
    Json(#[source] serde_json::Error),
    /// Another format.
    #[error("the graph says format {found:?}; this build reads weighbridge/trace/v1 and captured-step/v1")]
    Format {
        /// Its start.
        found: String,
    },
    /// The tensors' file has no acceptable header.
    #[error("the tensors are not an acceptable safetensors file")]
    Header(#[source] HeaderError),
    /// Reading failed.
    #[error("the tensors cannot be read")]
    Source(#[source] SourceError),
    /// Graph and tensors are of two captures.
    #[error("the graph is about tensors with SHA-256 {named}; these have {found}")]
    OtherTensors {
        /// What the graph says.
        named: Digest32,
        /// What was computed.
        found: Digest32,
    },
    /// One tensor described twice.
    #[error("tensor {tensor:?} is described twice")]
    TensorTwice {
        /// The tensor.
        tensor: String,
    },
    /// A tensor of the graph that the file does not have.
    #[error("tensor {tensor:?} is in the graph and not in the file")]
    NoTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor of the file that the graph does not describe.
    #[error("tensor {tensor:?} is in the file and not in the graph")]
    UndescribedTensor {
        /// The tensor.
        tensor: String,
    },
    /// Graph and file disagree about a tensor.
    #[error("tensor {tensor:?}: the graph says {named}, the file has {found}")]
    TensorDiffers {
        /// The tensor.
        tensor: String,
        /// By the graph.
        named: String,
        /// By the file.
        found: String,
    },
    /// Two tensors with one meaning, or one with two that exclude each other.
    #[error("tensor {tensor:?}: {why}")]
    TensorRole {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        why: &'static str,
    },
    /// An operation that this build has not learned.
    #[error("operation {operation:?}: this build knows no operation {op:?}; what is not covered is called opaque")]
    UnknownOperation {
        /// Its name.
        operation: String,
        /// What it says it is.
        op: String,
    },
    /// An operand, output or parameter that is missing, stray or of a wrong form.
    #[error("operation {operation:?}: {field:?} {why}")]
    Field {
        /// Its name.
        operation: String,
        /// Which field.
        field: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A view that the tensor does not have.
    #[error("operation {operation:?}: {role:?} is no view of its tensor")]
    View {
        /// Its name.
        operation: String,
        /// Which operand.
        role: String,
        /// What is wrong.
        #[source]
        source: ViewError,
    },
    /// Shapes or formats that do not fit the operation.
    #[error("operation {operation:?}: {why}")]
    Misfit {
        /// Its name.
        operation: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The order of operations is not one in which they can have run.
    #[error("operation {operation:?} reads tensor {tensor:?} before it was computed")]
    TooEarly {
        /// Its name.
        operation: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor that is computed twice.
    #[error("operation {operation:?} computes tensor {tensor:?}, which has a value already")]
    ComputedTwice {
        /// Its name.
        operation: String,
        /// The tensor.
        tensor: String,
    },
    /// Micro-batches out of order.
    #[error("operation {operation:?} belongs to micro-batch {found}, after one of micro-batch {last}")]
    MicroBatch {
        /// Its name.
        operation: String,
        /// Its micro-batch.
        found: u16,
        /// That of the operation before.
        last: u16,
    },
    /// A place that no key has room for.
    #[error("operation {operation:?} has no key")]
    Key {
        /// Its name.
        operation: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A sum that does not fit.
    #[error("the FLOP of the trace are too many to count")]
    TooMuch,
    /// A sum that a captured step states and does not have.
    #[error("the graph says {named} FLOP; its operations have {found}")]
    OtherFlop {
        /// What it says.
        named: u64,
        /// What they have.
        found: u128,
    },
}

impl TraceError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::Format { .. } | Self::UnknownOperation { .. } => {
                Culprit::Unsupported
            }
            Self::Source(_) => Culprit::Unavailable,
            Self::Header(source) => source.culprit(),
            Self::Json(_)
            | Self::OtherTensors { .. }
            | Self::TensorTwice { .. }
            | Self::NoTensor { .. }
            | Self::UndescribedTensor { .. }
            | Self::TensorDiffers { .. }
            | Self::TensorRole { .. }
            | Self::Field { .. }
            | Self::View { .. }
            | Self::Misfit { .. }
            | Self::TooEarly { .. }
            | Self::ComputedTwice { .. }
            | Self::MicroBatch { .. }
            | Self::Key { .. }
            | Self::TooMuch
            | Self::OtherFlop { .. } => Culprit::Malformed,
        }
    }
}
