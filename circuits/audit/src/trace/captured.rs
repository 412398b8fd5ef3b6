//! **Duty.** Reads `captured-step/v1`: matrix products and SGD updates of one step of a known model, their tensors by
//! name. Facts that the model's definition implies become operations, which are then checked like any other: a layer's
//! `w` is the checkpoint's, the second half of a feed-forward block reads ReLU of the first and hands its gradient back
//! through it, a parameter's gradient is its layer's `dw`. What it does not imply stays unlinked. **Knows** names.
//! **Does not know** bytes: nothing is linked because it happens to be equal. **Spec.** docs/trace-format.md (Captured
//! steps).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use weighbridge_attest_types::Digest32;
use weighbridge_commitments::TensorPlace;

use crate::trace::error::TraceError;
use crate::trace::graph::{
    Entries, Graph, GraphOperand, GraphOperation, GraphTensor, GraphUnit, MAX_GRAPH_BYTES, MAX_OPERATIONS, TRACE_FORMAT,
};

const CAPTURED_FORMAT: &str = "captured-step/v1";
/// Suffix of a layer, and of the parameter that is its weight.
const LAYERS: [(&str, &str); 4] =
    [(".attn.qkv", ".qkv"), (".attn.out", ".o"), (".mlp.up", ".up"), (".mlp.down", ".down")];

/// A captured step as it stands in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Captured {
    #[serde(rename = "format")]
    _format: String,
    framework: String,
    dtype: String,
    #[serde(rename = "seed")]
    _seed: IgnoredAny,
    step: u64,
    #[serde(rename = "threads")]
    _threads: IgnoredAny,
    #[serde(rename = "loss")]
    _loss: IgnoredAny,
    #[serde(rename = "first_loss")]
    _first_loss: IgnoredAny,
    gemm_flop: u64,
    operations: Vec<CapturedOperation>,
    tensors_sha256: Digest32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapturedOperation {
    op: String,
    name: String,
    a: Option<String>,
    a_t: Option<bool>,
    b: Option<String>,
    b_t: Option<bool>,
    c: Option<String>,
    m: Option<u64>,
    k: Option<u64>,
    n: Option<u64>,
    param: Option<String>,
    grad: Option<String>,
    out: Option<String>,
    lr: Option<f64>,
    elements: Option<u64>,
}

/// Only the format, to tell which reader is meant.
#[derive(Deserialize)]
struct Head {
    format: String,
}

/// A graph that grows.
struct Growing<'a> {
    places: &'a [TensorPlace],
    /// The same by name.
    by_name: BTreeMap<&'a str, &'a TensorPlace>,
    operations: Vec<GraphOperation>,
    flop: u128,
    dtype: String,
}

impl Captured {
    /// `Some` when the bytes say that they are a captured step.
    pub(super) fn sniff(bytes: &[u8]) -> Result<Option<Self>, TraceError> {
        if bytes.len() > MAX_GRAPH_BYTES {
            return Err(TraceError::TooLarge { found: bytes.len(), cap: MAX_GRAPH_BYTES });
        }
        let Head { format } = serde_json::from_slice(bytes).map_err(TraceError::Json)?;
        if format != CAPTURED_FORMAT {
            return Ok(None);
        }
        serde_json::from_slice(bytes).map(Some).map_err(TraceError::Json)
    }

    /// The same step in our format.
    pub(super) fn graph(self, places: &[TensorPlace]) -> Result<Graph, TraceError> {
        // Each may bring two more.
        let (found, cap) = (self.operations.len(), MAX_OPERATIONS.div_euclid(4));
        if found > cap {
            return Err(TraceError::TooMany { what: "operations", found, cap });
        }
        let dtype = self.dtype()?;
        let by_name = places.iter().map(|place| (place.name.as_str(), place)).collect();
        let mut growing = Growing { places, by_name, operations: Vec::new(), flop: 0, dtype };
        growing.weights();
        for operation in &self.operations {
            growing.push(operation)?;
        }
        if growing.flop != u128::from(self.gemm_flop) {
            return Err(TraceError::OtherFlop { named: self.gemm_flop, found: growing.flop });
        }
        let described = |place: &TensorPlace| {
            let under = |prefix: &str| place.name.strip_prefix(prefix).map(str::to_owned);
            GraphTensor {
                name: place.name.clone(),
                dtype: place.dtype.to_owned(),
                shape: place.shape.clone(),
                before: under("before."),
                after: under("after."),
                batch: under("batch."),
            }
        };
        let graph = Graph {
            format: TRACE_FORMAT.to_owned(),
            framework: self.framework,
            unit: GraphUnit { attempt: 0, step: self.step, rank: 0 },
            tensors_sha256: self.tensors_sha256,
            tensors: places.iter().map(described).collect(),
            operations: growing.operations,
        };
        graph.bound()?;
        Ok(graph)
    }

    fn dtype(&self) -> Result<String, TraceError> {
        match self.dtype.as_str() {
            "bf16" => Ok("BF16".to_owned()),
            "fp32" => Ok("F32".to_owned()),
            _ => Err(field("the step", "dtype", "is neither bf16 nor fp32")),
        }
    }
}

fn field(operation: &str, field: &str, why: &'static str) -> TraceError {
    TraceError::Field { operation: operation.to_owned(), field: field.to_owned(), why }
}

/// The checkpoint's name of a layer's weight.
fn parameter_of(layer: &str) -> Option<String> {
    if layer == "head" {
        return Some("head.weight".to_owned());
    }
    let (block, parameter) =
        LAYERS.iter().find_map(|(suffix, parameter)| Some((layer.strip_suffix(suffix)?, parameter)))?;
    let number = block.strip_prefix("block")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("blocks.{number}{parameter}.weight"))
}

impl<'a> Growing<'a> {
    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// # Errors
    /// [`TraceError::NoTensor`].
    fn place(&self, name: &str) -> Result<&'a TensorPlace, TraceError> {
        self.by_name.get(name).copied().ok_or_else(|| TraceError::NoTensor { tensor: super::graph::clipped(name) })
    }

    fn derive(&mut self, op: &str, out: &str, inputs: &[(&str, &str)]) {
        if !self.has(out) || !inputs.iter().all(|(_, tensor)| self.has(tensor)) {
            return;
        }
        let inputs = inputs.iter().map(|(role, tensor)| ((*role).to_owned(), GraphOperand::whole(tensor)));
        self.operations.push(GraphOperation {
            op: op.to_owned(),
            name: format!("derived: {out}"),
            micro_batch: 0,
            inputs: Entries(inputs.collect()),
            outputs: Entries(vec![("out".to_owned(), GraphOperand::whole(out))]),
            parameters: Entries::default(),
        });
    }

    /// Each layer's `w` is the weight of the checkpoint before the step.
    fn weights(&mut self) {
        for place in self.places {
            if let Some(layer) = place.name.strip_suffix(".w")
                && let Some(parameter) = parameter_of(layer)
            {
                self.derive("view", &place.name, &[("in", &format!("before.{parameter}"))]);
            }
        }
    }

    fn push(&mut self, operation: &CapturedOperation) -> Result<(), TraceError> {
        match operation.op.as_str() {
            "gemm" => self.product(operation),
            "sgd" => self.update(operation),
            op => {
                let op = super::graph::clipped(op);
                Err(TraceError::UnknownOperation { operation: operation.name.clone(), op })
            }
        }
    }

    fn product(&mut self, operation: &CapturedOperation) -> Result<(), TraceError> {
        let CapturedOperation { name, a, a_t, b, b_t, c, m, k, n, param, grad, out, lr, elements, .. } = operation;
        let (Some(a), Some(a_t), Some(b), Some(b_t), Some(c)) = (a, a_t, b, b_t, c) else {
            return Err(field(name, "a, a_t, b, b_t, c", "belong to a product"));
        };
        let (Some(m), Some(k), Some(n)) = (*m, *k, *n) else {
            return Err(field(name, "m, k, n", "belong to a product"));
        };
        if param.is_some() || grad.is_some() || out.is_some() || lr.is_some() || elements.is_some() {
            return Err(field(name, "param, grad, out, lr, elements", "do not belong to a product"));
        }
        for (tensor, transposed, rows, cols) in [(a, *a_t, m, k), (b, *b_t, k, n), (c, false, m, n)] {
            let wanted = if transposed { [cols, rows] } else { [rows, cols] };
            if self.place(tensor)?.shape != wanted {
                return Err(field(name, tensor, "has another shape than m, k, n say"));
            }
        }
        let flop = [m, k, n].iter().try_fold(2u128, |product, extent| product.checked_mul(u128::from(*extent)));
        self.flop = flop.and_then(|flop| self.flop.checked_add(flop)).ok_or(TraceError::TooMuch)?;
        let phase = ["forward", "dgrad", "wgrad"].into_iter().find(|phase| name.ends_with(&format!(".{phase}")));
        let text = |key: &str, value: String| (key.to_owned(), value);
        let parameters = vec![
            text("phase", phase.unwrap_or("other").to_owned()),
            text("m", m.to_string()),
            text("n", n.to_string()),
            text("k", k.to_string()),
            text("format", self.dtype.clone()),
            text("accumulator", "F32".to_owned()),
        ];
        let operands = vec![("a".to_owned(), matrix(a, *a_t, (m, k))), ("b".to_owned(), matrix(b, *b_t, (k, n)))];
        self.operations.push(GraphOperation {
            op: "matmul".to_owned(),
            name: name.clone(),
            micro_batch: 0,
            inputs: Entries(operands),
            outputs: Entries(vec![("c".to_owned(), matrix(c, false, (m, n)))]),
            parameters: Entries(parameters),
        });
        self.after_product(c);
        Ok(())
    }

    /// What follows from the tensor that was just computed.
    fn after_product(&mut self, c: &str) {
        if let Some(block) = c.strip_suffix(".mlp.up.y") {
            self.derive("relu", &format!("{block}.mlp.down.x"), &[("in", c)]);
        }
        if let Some(block) = c.strip_suffix(".mlp.down.dx") {
            let x = format!("{block}.mlp.up.y");
            self.derive("relu-grad", &format!("{block}.mlp.up.dy"), &[("x", &x), ("grad", c)]);
        }
        if let Some(parameter) = c.strip_suffix(".dw").and_then(parameter_of) {
            self.derive("view", &format!("grad.{parameter}"), &[("in", c)]);
        }
    }

    fn update(&mut self, operation: &CapturedOperation) -> Result<(), TraceError> {
        let CapturedOperation { name, a, a_t, b, b_t, c, m, k, n, param, grad, out, lr, elements, .. } = operation;
        let (Some(param), Some(grad), Some(out), Some(lr), Some(elements)) = (param, grad, out, lr, elements) else {
            return Err(field(name, "param, grad, out, lr, elements", "belong to an update"));
        };
        let product = a.is_some() || a_t.is_some() || b.is_some() || b_t.is_some() || c.is_some();
        if product || m.is_some() || k.is_some() || n.is_some() {
            return Err(field(name, "a, a_t, b, b_t, c, m, k, n", "do not belong to an update"));
        }
        let found = super::view::count(&self.place(param)?.shape);
        if found != Some(*elements) {
            return Err(field(name, "elements", "is not the number of the parameter's elements"));
        }
        let operand = |role: &str, tensor: &String| (role.to_owned(), GraphOperand::whole(tensor));
        self.operations.push(GraphOperation {
            op: "sgd".to_owned(),
            name: name.clone(),
            micro_batch: 0,
            inputs: Entries(vec![operand("param", param), operand("grad", grad)]),
            outputs: Entries(vec![operand("param", out)]),
            parameters: Entries(vec![("lr".to_owned(), lr.to_string())]),
        });
        Ok(())
    }
}

/// A tensor as a matrix of this shape; its transpose has it the other way round in memory.
fn matrix(tensor: &str, transposed: bool, (rows, cols): (u64, u64)) -> GraphOperand {
    let strides = if transposed { vec![1, rows] } else { vec![cols, 1] };
    let shape = Some(vec![rows, cols]);
    GraphOperand { tensor: tensor.to_owned(), offset: 0, shape, strides: Some(strides) }
}
