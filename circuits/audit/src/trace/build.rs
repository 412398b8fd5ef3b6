//! **Duty.** From a graph and the header of its tensors to a [`Trace`]: every name resolved, every view inside its tensor,
//! every operation after those that it reads. **Knows** both forms. **Does not know** a tensor's bytes.
//! **Spec.** docs/trace-format.md.

use std::collections::BTreeMap;

use weighbridge_commitments::TensorPlace;

use crate::trace::error::TraceError;
use crate::trace::format::FloatFormat;
use crate::trace::forms::form_of;
use crate::trace::graph::{Entries, Graph, GraphOperand, GraphOperation, GraphTensor};
use crate::trace::operation::{AdamW, Kind, Matmul, MatmulFormat, Operand, Operation, Phase, Reduction, Sgd};
use crate::trace::view::{View, count};
use crate::trace::{Origin, Producer, Tensor};

/// The tensors of a graph, resolved.
pub(super) struct Tensors {
    pub(super) list: Vec<Tensor>,
    by_name: BTreeMap<String, usize>,
}

impl Tensors {
    /// Joins what the graph says with what the file has: each tensor on both sides, alike.
    pub(super) fn join(described: &[GraphTensor], places: Vec<TensorPlace>, data: u64) -> Result<Self, TraceError> {
        let mut by_name = BTreeMap::new();
        let mut list = Vec::with_capacity(places.len());
        for place in places {
            by_name.insert(place.name.clone(), list.len());
            list.push(Tensor {
                name: place.name,
                dtype: place.dtype,
                element_bytes: place.bits.div_euclid(8),
                shape: place.shape,
                offset: data.saturating_add(place.offset),
                origin: None,
                after: None,
                producer: None,
            });
        }
        let mut tensors = Self { list, by_name };
        let mut seen = vec![false; tensors.list.len()];
        for tensor in described {
            let Some(&at) = tensors.by_name.get(&tensor.name) else {
                return Err(TraceError::NoTensor { tensor: tensor.name.clone() });
            };
            if seen.get_mut(at).is_none_or(|seen| std::mem::replace(seen, true)) {
                return Err(TraceError::TensorTwice { tensor: tensor.name.clone() });
            }
            if let Some(found) = tensors.list.get_mut(at) {
                found.describe(tensor)?;
            }
        }
        if let Some((tensor, _)) = tensors.list.iter().zip(&seen).find(|(_, seen)| !**seen) {
            return Err(TraceError::UndescribedTensor { tensor: tensor.name.clone() });
        }
        tensors.distinct("two tensors of one name before the step", |tensor| match &tensor.origin {
            Some(Origin::Checkpoint(name)) => Some(name),
            _ => None,
        })?;
        tensors.distinct("two tensors of one name after the step", |tensor| tensor.after.as_ref())?;
        tensors.distinct("two tensors of one name in the batch", |tensor| match &tensor.origin {
            Some(Origin::Batch(name)) => Some(name),
            _ => None,
        })?;
        Ok(tensors)
    }

    fn distinct(&self, why: &'static str, name: impl Fn(&Tensor) -> Option<&String>) -> Result<(), TraceError> {
        let mut names: Vec<(&String, &Tensor)> =
            self.list.iter().filter_map(|tensor| Some((name(tensor)?, tensor))).collect();
        names.sort_by_key(|(name, _)| *name);
        match names.array_windows().find(|[(left, _), (right, _)]| left == right) {
            Some([_, (_, tensor)]) => Err(TraceError::TensorRole { tensor: tensor.name.clone(), why }),
            None => Ok(()),
        }
    }

    fn operand(&self, operation: &str, role: &str, raw: &GraphOperand) -> Result<Operand, TraceError> {
        let Some(&tensor) = self.by_name.get(&raw.tensor) else {
            return Err(TraceError::NoTensor { tensor: raw.tensor.clone() });
        };
        let shape = self.list.get(tensor).map(|found| found.shape.clone()).unwrap_or_default();
        let elements = count(&shape).unwrap_or_default();
        let view = match (&raw.shape, &raw.strides) {
            (None, None) if raw.offset == 0 => View::contiguous(0, shape, elements),
            (Some(shape), None) => View::contiguous(raw.offset, shape.clone(), elements),
            (Some(shape), Some(strides)) => View::new(raw.offset, shape.clone(), strides.clone(), elements),
            (None, _) => {
                let why = "gives an offset or strides without a shape";
                return Err(TraceError::Field { operation: operation.to_owned(), field: role.to_owned(), why });
            }
        };
        let view =
            view.map_err(|source| TraceError::View { operation: operation.to_owned(), role: role.to_owned(), source })?;
        Ok(Operand { tensor, view })
    }

    fn operands(
        &self,
        operation: &str,
        Entries(list): &Entries<GraphOperand>,
    ) -> Result<Vec<(Box<str>, Operand)>, TraceError> {
        let one =
            |(role, raw): &(String, GraphOperand)| Ok((role.as_str().into(), self.operand(operation, role, raw)?));
        list.iter().map(one).collect()
    }

    /// Resolves one operation and makes it the producer of its outputs.
    pub(super) fn operation(&mut self, place: usize, raw: &GraphOperation) -> Result<Operation, TraceError> {
        form_of(raw)?;
        let inputs = self.operands(&raw.name, &raw.inputs)?;
        let outputs = self.operands(&raw.name, &raw.outputs)?;
        let shape = inputs.first().map(|(_, operand)| operand.view.shape().to_vec()).unwrap_or_default();
        let kind = Numbers(raw).kind(&shape)?;
        let operation = Operation { name: raw.name.clone(), micro_batch: raw.micro_batch, kind, inputs, outputs };
        for (_, operand) in operation.inputs() {
            self.readable(&operation.name, operand.tensor)?;
        }
        operation.hold(&|tensor| self.list.get(tensor).map_or("", |tensor| tensor.dtype))?;
        for (output, (role, operand)) in operation.outputs.iter().enumerate() {
            self.produce(&operation.name, role, operand, Producer { operation: place, output })?;
        }
        Ok(operation)
    }

    /// Operations run in the order of the graph: what is computed later, or by nobody and later claimed, is not there yet.
    fn readable(&mut self, operation: &str, tensor: usize) -> Result<(), TraceError> {
        if let Some(tensor) = self.list.get_mut(tensor)
            && tensor.origin.is_none()
        {
            tensor.origin = Some(Origin::Unlinked { first_reader: operation.to_owned() });
        }
        Ok(())
    }

    fn produce(
        &mut self,
        operation: &str,
        role: &str,
        operand: &Operand,
        producer: Producer,
    ) -> Result<(), TraceError> {
        let Some(tensor) = self.list.get_mut(operand.tensor) else { return Ok(()) };
        let elements = count(&tensor.shape).unwrap_or_default();
        if !operand.view.is_whole(elements) {
            let (operation, field) = (operation.to_owned(), role.to_owned());
            return Err(TraceError::Field { operation, field, why: "is no whole tensor in its own order" });
        }
        match &tensor.origin {
            None => {
                tensor.origin = Some(Origin::Output);
                tensor.producer = Some(producer);
                Ok(())
            }
            Some(Origin::Unlinked { first_reader }) => {
                Err(TraceError::TooEarly { operation: first_reader.clone(), tensor: tensor.name.clone() })
            }
            Some(Origin::Output | Origin::Checkpoint(_) | Origin::Batch(_)) => {
                Err(TraceError::ComputedTwice { operation: operation.to_owned(), tensor: tensor.name.clone() })
            }
        }
    }
}

impl Tensor {
    fn describe(&mut self, described: &GraphTensor) -> Result<(), TraceError> {
        if described.dtype != self.dtype || described.shape != self.shape {
            let say = |dtype: &str, shape: &[u64]| format!("{dtype} {shape:?}");
            return Err(TraceError::TensorDiffers {
                tensor: self.name.clone(),
                named: say(&described.dtype, &described.shape),
                found: say(self.dtype, &self.shape),
            });
        }
        let refused = |why| TraceError::TensorRole { tensor: described.name.clone(), why };
        if count(&self.shape).is_none() {
            return Err(refused("it has no element, or more than can be counted"));
        }
        if self.element_bytes == 0 || self.element_bytes > 8 {
            return Err(refused("its elements are no whole bytes"));
        }
        self.origin = match (&described.before, &described.batch) {
            (Some(_), Some(_)) => return Err(refused("it cannot be of the checkpoint and of the batch")),
            (Some(name), None) => Some(Origin::Checkpoint(name.clone())),
            (None, Some(name)) => Some(Origin::Batch(name.clone())),
            (None, None) => None,
        };
        self.after.clone_from(&described.after);
        Ok(())
    }
}

/// The parameters of one operation.
struct Numbers<'a>(&'a GraphOperation);

impl Numbers<'_> {
    fn kind(&self, first_shape: &[u64]) -> Result<Kind, TraceError> {
        Ok(match self.0.op.as_str() {
            "matmul" => Kind::Matmul(self.matmul(first_shape)?),
            "view" => Kind::View,
            "cast" => Kind::Cast,
            "gather" => Kind::Gather,
            "concat" => Kind::Concat { dim: usize::try_from(self.whole("dim")?).unwrap_or(usize::MAX) },
            "fill" => Kind::Fill { value: self.real("value")? },
            "add" => Kind::Add { alpha: self.real_or("alpha", 1.0)? },
            "scale" if self.text("by").is_some() => Kind::Scale { by: Some(self.real("by")?) },
            "scale" => Kind::Scale { by: None },
            "relu" => Kind::Relu,
            "relu-grad" => Kind::ReluGrad,
            "cross-entropy-grad" => Kind::CrossEntropyGrad(self.reduction()?),
            "mse-grad" => Kind::MseGrad(self.reduction()?),
            "column-sum" => Kind::ColumnSum,
            "clip" => Kind::Clip { max_norm: self.positive("max_norm")? },
            "sgd" => Kind::Sgd(Sgd {
                lr: self.real("lr")?,
                momentum: self.real_or("momentum", 0.0)?,
                dampening: self.real_or("dampening", 0.0)?,
                weight_decay: self.real_or("weight_decay", 0.0)?,
                nesterov: self.flag("nesterov")?,
            }),
            "adamw" => Kind::AdamW(AdamW {
                lr: self.real("lr")?,
                beta1: self.share("beta1")?,
                beta2: self.share("beta2")?,
                eps: self.positive("eps")?,
                weight_decay: self.real("weight_decay")?,
                step: self.step()?,
            }),
            "opaque" => Kind::Opaque { flop: self.text("flop").map(|_| self.whole("flop")).transpose()? },
            op => {
                return Err(TraceError::UnknownOperation { operation: self.0.name.clone(), op: op.to_owned() });
            }
        })
    }

    fn matmul(&self, shape: &[u64]) -> Result<Matmul, TraceError> {
        let batch = match shape {
            [batch, _, _] => *batch,
            _ => 1,
        };
        let format = match self.text("format") {
            Some("TF32") => MatmulFormat::Tf32,
            _ => MatmulFormat::Plain(self.float("format")?),
        };
        let phase = match self.text("phase").unwrap_or_default() {
            "forward" => Phase::Forward,
            "dgrad" => Phase::Dgrad,
            "wgrad" => Phase::Wgrad,
            "other" => Phase::Other,
            _ => return Err(self.refused("phase", "is none of forward, dgrad, wgrad, other")),
        };
        let (m, n, k) = (self.whole("m")?, self.whole("n")?, self.whole("k")?);
        Ok(Matmul { phase, batch, m, n, k, format, accumulator: self.float("accumulator")? })
    }

    fn refused(&self, field: &str, why: &'static str) -> TraceError {
        TraceError::Field { operation: self.0.name.clone(), field: field.to_owned(), why }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.parameters.0.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// A decimal without sign or leading zeros.
    fn whole(&self, key: &str) -> Result<u64, TraceError> {
        let text = self.text(key).unwrap_or_default();
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse() {
            Ok(value) if plain => Ok(value),
            _ => Err(self.refused(key, "is no whole number in decimal")),
        }
    }

    fn real(&self, key: &str) -> Result<f64, TraceError> {
        let text = self.text(key).unwrap_or_default();
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
        match text.parse::<f64>() {
            Ok(value) if plain && value.is_finite() => Ok(value),
            _ => Err(self.refused(key, "is no finite number in decimal")),
        }
    }

    fn real_or(&self, key: &str, absent: f64) -> Result<f64, TraceError> {
        if self.text(key).is_some() { self.real(key) } else { Ok(absent) }
    }

    fn positive(&self, key: &str) -> Result<f64, TraceError> {
        let value = self.real(key)?;
        if value > 0.0 { Ok(value) } else { Err(self.refused(key, "is not above 0")) }
    }

    /// A decay: not below 0, below 1.
    fn share(&self, key: &str) -> Result<f64, TraceError> {
        let value = self.real(key)?;
        if (0.0..1.0).contains(&value) { Ok(value) } else { Err(self.refused(key, "is not in 0 ≤ x < 1")) }
    }

    fn step(&self) -> Result<u64, TraceError> {
        match self.whole("step")? {
            step @ 1..=0xffff_ffff => Ok(step),
            _ => Err(self.refused("step", "is not in 1 ≤ step < 2³²")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, TraceError> {
        match self.text(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.refused(key, "is neither true nor false")),
        }
    }

    fn float(&self, key: &str) -> Result<FloatFormat, TraceError> {
        FloatFormat::of(self.text(key).unwrap_or_default())
            .ok_or_else(|| self.refused(key, "is none of BF16, F16, F32, F64"))
    }

    fn reduction(&self) -> Result<Reduction, TraceError> {
        match self.text("reduction") {
            Some("mean") => Ok(Reduction::Mean),
            Some("sum") => Ok(Reduction::Sum),
            _ => Err(self.refused("reduction", "is neither mean nor sum")),
        }
    }
}

/// Resolves all operations, in their order.
pub(super) fn operations(graph: &Graph, tensors: &mut Tensors) -> Result<Vec<Operation>, TraceError> {
    let mut list: Vec<Operation> = Vec::with_capacity(graph.operations.len());
    for (place, raw) in graph.operations.iter().enumerate() {
        let operation = tensors.operation(place, raw)?;
        let last = list.last().map_or(0, |last| last.micro_batch);
        if operation.micro_batch < last {
            let Operation { name, micro_batch, .. } = operation;
            return Err(TraceError::MicroBatch { operation: name, found: micro_batch, last });
        }
        list.push(operation);
    }
    Ok(list)
}
