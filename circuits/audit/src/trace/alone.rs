//! **Duty.** One operation by itself, as bytes: what it computes, with its numbers, from which elements of which tensors.
//! A record of the FLOP tree commits to these bytes, and whoever has them needs no graph to judge a tile of it. **Knows**
//! one operation and its tensors. **Does not know** the rest of the trace, nor the tensors' bytes.
//! **Spec.** docs/trace-format.md (One operation by itself); decision 0070.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32, Domain, PoseidonDigest, sha256};
use weighbridge_commitments::{HeaderError, TensorGrid, TensorPlace, TensorShape};

use crate::key::Key;
use crate::trace::build::Tensors;
use crate::trace::error::TraceError;
use crate::trace::graph::{Entries, GraphOperand, GraphOperation, GraphTensor, MAX_OPERANDS, clipped};
use crate::trace::{
    AdamW, Kind, Matmul, MatmulFormat, Operand, Operation, Origin, Phase, Reduction, Sgd, Tensor, TensorSource, Trace,
    Unit,
};

/// What `format` says.
pub const OPERATION_FORMAT: &str = "weighbridge/operation/v1";
/// Longest form that is read: an operation with 200 operands of 300 bytes. Only clipping has more, and is not answered then.
pub const MAX_FORM_BYTES: usize = 64 * 1024;

/// An operation by itself, parsed: its bytes, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationForm {
    bytes: Vec<u8>,
    graph: Alone,
}

/// Bytes that are no operation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormError {
    /// More than is read.
    #[error("an operation of {found} bytes is over the cap of {MAX_FORM_BYTES}")]
    TooLarge {
        /// Bytes.
        found: usize,
    },
    /// No JSON of the form, another format, or names and counts over their caps.
    #[error("these bytes are not one operation of a trace")]
    Form(#[source] TraceError),
    /// A tensor that the operation neither reads nor writes.
    #[error("a tensor that the operation neither reads nor writes")]
    Unused,
    /// A tensor that no commitment has.
    #[error("a tensor of the operation has no root")]
    Tensor(#[source] HeaderError),
}

impl FormError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

/// The JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alone {
    format: String,
    /// Which product of a batch, or which output.
    part: u64,
    tensors: Vec<Rooted>,
    operation: GraphOperation,
}

/// A tensor with the root that it has in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rooted {
    tensor: GraphTensor,
    root: PoseidonDigest,
}

/// A tensor of an operation by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormTensor<'f> {
    /// Name, data type and dimensions.
    pub(crate) described: TensorShape<'f>,
    /// Its root.
    pub(crate) root: PoseidonDigest,
    /// Whether it is said to be the checkpoint's or the batch's: then nothing of the step computed it.
    pub(crate) is_boundary: bool,
}

impl OperationForm {
    /// Of an operation of a trace; `root_of` knows the roots of tensors by their place. `None` where it does not, or where
    /// the trace has no such operation.
    pub(crate) fn of(
        trace: &Trace<'_>,
        place: usize,
        part: u64,
        root_of: &dyn Fn(usize) -> Option<PoseidonDigest>,
    ) -> Option<Self> {
        let operation = trace.operations().get(place)?;
        let used = tensors_of(operation);
        let rooted = |at: &usize| Some(Rooted { tensor: described(trace.tensor(*at)?), root: root_of(*at)? });
        let tensors: Option<Vec<Rooted>> = used.iter().map(rooted).collect();
        let operation = raw(trace, operation)?;
        let graph = Alone { format: OPERATION_FORMAT.to_owned(), part, tensors: tensors?, operation };
        Some(Self { bytes: serde_json::to_vec(&graph).ok()?, graph })
    }

    /// Parses and bounds.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > MAX_FORM_BYTES {
            return Err(FormError::TooLarge { found: bytes.len() });
        }
        let graph: Alone = serde_json::from_slice(bytes).map_err(|error| FormError::Form(TraceError::Json(error)))?;
        let Alone { format, part: _, tensors, operation } = &graph;
        if format != OPERATION_FORMAT {
            return Err(FormError::Form(TraceError::Format { found: clipped(format) }));
        }
        // Every operand may be of a tensor of its own, and none is there that nobody reads.
        let most = MAX_OPERANDS.saturating_mul(2);
        if tensors.len() > most {
            let found = tensors.len();
            return Err(FormError::Form(TraceError::TooMany { what: "tensors", found, cap: most }));
        }
        operation.bound().map_err(FormError::Form)?;
        tensors.iter().try_for_each(|rooted| rooted.tensor.bound()).map_err(FormError::Form)?;
        Ok(Self { bytes: bytes.to_vec(), graph })
    }

    /// As it travels.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256(framed domain, the bytes as a field): what a record names.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let mut out = Domain::OperationForm.encoder();
        out.field(&self.bytes);
        sha256(&out.finish())
    }

    /// Which product of a batch, or which output.
    #[must_use]
    pub const fn part(&self) -> u64 {
        self.graph.part
    }

    /// Its tensors, in the order in which [`Self::trace`] has them.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = FormTensor<'_>> {
        self.graph.tensors.iter().map(|Rooted { tensor, root }| FormTensor {
            described: TensorShape { name: &tensor.name, dtype: &tensor.dtype, shape: &tensor.shape },
            root: *root,
            is_boundary: tensor.before.is_some() || tensor.batch.is_some(),
        })
    }

    /// Where its tensors lie in the source that [`Self::trace`] reads from: one after the other.
    ///
    /// # Errors
    /// [`FormError::Tensor`].
    pub(crate) fn places(&self) -> Result<Vec<(TensorPlace, TensorGrid)>, FormError> {
        let mut offset = 0u64;
        let place = |tensor: FormTensor<'_>| {
            let place = TensorPlace::alone(tensor.described, offset).map_err(FormError::Tensor)?;
            offset = offset.saturating_add(place.bytes);
            Ok((place, TensorGrid::of(tensor.described).map_err(FormError::Tensor)?))
        };
        self.tensors().map(place).collect()
    }

    /// The operation as a trace of itself alone, at a place in a run; the same checks as for a whole one.
    ///
    /// # Errors
    /// [`FormError`].
    pub(crate) fn trace<'s>(&self, key: Key, source: &'s dyn TensorSource) -> Result<Trace<'s>, FormError> {
        let described: Vec<GraphTensor> = self.graph.tensors.iter().map(|rooted| rooted.tensor.clone()).collect();
        let places = self.places()?.into_iter().map(|(place, _)| place).collect();
        let mut tensors = Tensors::join(&described, places, 0).map_err(FormError::Form)?;
        let operation = tensors.operation(0, &self.graph.operation).map_err(FormError::Form)?;
        if !tensors_of(&operation).into_iter().eq(0..self.graph.tensors.len()) {
            return Err(FormError::Unused);
        }
        let [(_, attempt), (_, step), (_, rank), ..] = key.parts();
        let unit = Unit {
            attempt: u16::try_from(attempt).unwrap_or(u16::MAX),
            step,
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
        };
        let framework = String::new();
        let (tensors, operations) = (tensors.list, vec![operation]);
        Ok(Trace { unit, framework, tensors_digest: Digest32::default(), tensors, operations, source })
    }
}

/// Places of the tensors that an operation reads and writes: those of its form, in the form's order.
pub(crate) fn tensors_of(operation: &Operation) -> Vec<usize> {
    let operands = operation.inputs().chain(operation.outputs());
    let mut used: Vec<usize> = operands.map(|(_, operand)| operand.tensor).collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// A tensor as a graph describes it.
fn described(tensor: &Tensor) -> GraphTensor {
    let (before, batch) = match tensor.origin() {
        Some(Origin::Checkpoint(name)) => (Some(name.clone()), None),
        Some(Origin::Batch(name)) => (None, Some(name.clone())),
        _ => (None, None),
    };
    let (name, dtype, shape) = (tensor.name.clone(), tensor.dtype.to_owned(), tensor.shape.clone());
    GraphTensor { name, dtype, shape, before, after: tensor.after.clone(), batch }
}

/// An operation as a graph has it, every view and every number spelled out.
fn raw(trace: &Trace<'_>, operation: &Operation) -> Option<GraphOperation> {
    let operand = |(role, Operand { tensor, view }): (&str, &Operand)| {
        let tensor = trace.tensor(*tensor)?.name.clone();
        let (shape, strides) = (Some(view.shape().to_vec()), Some(view.strides().to_vec()));
        Some((role.to_owned(), GraphOperand { tensor, offset: view.offset(), shape, strides }))
    };
    let inputs: Option<Vec<_>> = operation.inputs().map(operand).collect();
    let outputs: Option<Vec<_>> = operation.outputs().map(operand).collect();
    let (op, parameters) = numbers(&operation.kind);
    let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(GraphOperation {
        op: op.to_owned(),
        name: operation.name.clone(),
        micro_batch: operation.micro_batch,
        inputs: Entries(inputs?),
        outputs: Entries(outputs?),
        parameters: Entries(parameters),
    })
}

/// The name of a kind and its parameters. A float is spelled by the fewest digits that give it back.
fn numbers(kind: &Kind) -> (&'static str, Vec<(&'static str, String)>) {
    let real = |value: f64| format!("{value:e}");
    match kind {
        Kind::Matmul(matmul) => ("matmul", matmul_numbers(matmul)),
        Kind::View => ("view", Vec::new()),
        Kind::Cast => ("cast", Vec::new()),
        Kind::Gather => ("gather", Vec::new()),
        Kind::Concat { dim } => ("concat", vec![("dim", dim.to_string())]),
        Kind::Fill { value } => ("fill", vec![("value", real(*value))]),
        Kind::Add { alpha } => ("add", vec![("alpha", real(*alpha))]),
        Kind::Scale { by } => ("scale", by.iter().map(|by| ("by", real(*by))).collect()),
        Kind::Relu => ("relu", Vec::new()),
        Kind::ReluGrad => ("relu-grad", Vec::new()),
        Kind::ColumnSum => ("column-sum", Vec::new()),
        Kind::CrossEntropyGrad(reduction) => ("cross-entropy-grad", vec![("reduction", name_of(*reduction))]),
        Kind::MseGrad(reduction) => ("mse-grad", vec![("reduction", name_of(*reduction))]),
        Kind::Clip { max_norm } => ("clip", vec![("max_norm", real(*max_norm))]),
        Kind::Sgd(Sgd { lr, momentum, dampening, weight_decay, nesterov }) => {
            let reals = [("lr", lr), ("momentum", momentum), ("dampening", dampening), ("weight_decay", weight_decay)];
            let mut list: Vec<_> = reals.into_iter().map(|(name, value)| (name, real(*value))).collect();
            list.push(("nesterov", nesterov.to_string()));
            ("sgd", list)
        }
        Kind::AdamW(AdamW { lr, beta1, beta2, eps, weight_decay, step }) => {
            let reals = [("lr", lr), ("beta1", beta1), ("beta2", beta2), ("eps", eps), ("weight_decay", weight_decay)];
            let mut list: Vec<_> = reals.into_iter().map(|(name, value)| (name, real(*value))).collect();
            list.push(("step", step.to_string()));
            ("adamw", list)
        }
        Kind::Opaque { flop } => ("opaque", flop.iter().map(|flop| ("flop", flop.to_string())).collect()),
    }
}

fn matmul_numbers(Matmul { phase, batch: _, m, n, k, format, accumulator }: &Matmul) -> Vec<(&'static str, String)> {
    let phase = match phase {
        Phase::Forward => "forward",
        Phase::Dgrad => "dgrad",
        Phase::Wgrad => "wgrad",
        Phase::Other => "other",
    };
    let format = match format {
        MatmulFormat::Plain(format) => format.name(),
        MatmulFormat::Tf32 => "TF32",
    };
    vec![
        ("phase", phase.to_owned()),
        ("m", m.to_string()),
        ("n", n.to_string()),
        ("k", k.to_string()),
        ("format", format.to_owned()),
        ("accumulator", accumulator.name().to_owned()),
    ]
}

fn name_of(reduction: Reduction) -> String {
    match reduction {
        Reduction::Mean => "mean".to_owned(),
        Reduction::Sum => "sum".to_owned(),
    }
}

#[cfg(test)]
mod tests;
