//! **Duty.** One step of one rank as a trace: the products as the kernel ran them, what lies between them, and the update.
//! **Knows** the perceptron's layers. **Does not know** windows or draws. **Spec.** docs/trace-format.md; PROTOCOL §3 (work
//! unit).
//!
//! The average over ranks is not covered by any rule: it stands in the trace as `opaque`, and is the job's word.

use candle_core::{DType, Result, Tensor};
use serde_json::{Value, json};
use weighbridge_attest_types::sha256;

use crate::model::{Backward, Batch, Forward};
use crate::spec::TrainingSpec;

/// A trace as its two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Captured {
    /// The graph.
    pub(crate) graph: Vec<u8>,
    /// The tensors, as safetensors.
    pub(crate) tensors: Vec<u8>,
}

/// Parameters and velocities at one moment, copied.
pub(crate) struct State {
    /// Values, in the order of the model's variables.
    pub(crate) parameters: Vec<Tensor>,
    /// Velocities, in the same order.
    pub(crate) velocities: Vec<Tensor>,
}

/// Everything of one step.
pub(crate) struct Step<'a> {
    /// Attempt, step and rank.
    pub(crate) unit: (u16, u64, usize),
    /// The rows.
    pub(crate) batch: &'a Batch,
    /// Forward pass.
    pub(crate) forward: &'a Forward,
    /// Products of the backward pass, last layer first.
    pub(crate) backward: &'a [Backward],
    /// Gradients of the biases, first layer first.
    pub(crate) bias_gradients: Vec<Tensor>,
    /// Names of the parameters.
    pub(crate) names: Vec<String>,
    /// The mean over all ranks, in the order of the parameters.
    pub(crate) mean: Vec<Tensor>,
    /// Before the update.
    pub(crate) before: State,
    /// After it.
    pub(crate) after: State,
}

/// A graph while it grows.
#[derive(Default)]
struct Growing {
    header: serde_json::Map<String, Value>,
    data: Vec<u8>,
    described: Vec<Value>,
    operations: Vec<Value>,
}

impl Step<'_> {
    /// Writes the trace.
    ///
    /// # Errors
    /// candle's, on tensors that cannot be read.
    pub(crate) fn capture(&self, spec: &TrainingSpec) -> Result<Captured> {
        let mut growing = Growing::default();
        growing.tensor("x", &self.batch.features(), &json!({"batch": "x"}))?;
        growing.tensor("y", &self.batch.labels().to_dtype(DType::I64)?, &json!({"batch": "y"}))?;
        for (name, (value, velocity)) in
            self.names.iter().zip(self.before.parameters.iter().zip(&self.before.velocities))
        {
            growing.tensor(name, value, &json!({"before": name}))?;
            let velocity_name = format!("velocity.{name}");
            growing.tensor(&velocity_name, velocity, &json!({"before": velocity_name}))?;
        }
        self.forward(&mut growing)?;
        self.backward(&mut growing)?;
        self.update(&mut growing, spec)?;
        let (attempt, step, rank) = self.unit;
        Ok(growing.finish(&json!({"attempt": attempt, "step": step, "rank": rank})))
    }

    fn layers(&self) -> usize {
        self.forward.products.len()
    }

    /// What a layer multiplies: the rows, or what the layer before it left.
    fn input_of(layer: usize) -> String {
        if layer == 0 { "x".to_owned() } else { format!("h{}", layer - 1) }
    }

    fn forward(&self, growing: &mut Growing) -> Result<()> {
        for (layer, (product, sum)) in self.forward.products.iter().zip(&self.forward.sums).enumerate() {
            let (p, z) = (format!("p{layer}"), format!("z{layer}"));
            growing.tensor(&p, product, &json!({}))?;
            growing.tensor(&z, sum, &json!({}))?;
            let (rows, outputs) = product.dims2()?;
            let inputs = self.forward.inputs[layer].dim(1)?;
            let weight = view(&format!("layers.{layer}.weight"), [inputs, outputs], [1, inputs]);
            let a = whole(&Self::input_of(layer));
            growing.product("forward", &format!("layers.{layer}"), [&a, &weight], &p, [rows, outputs, inputs]);
            let bias = view(&format!("layers.{layer}.bias"), [rows, outputs], [0, 1]);
            growing.link("add", &format!("layers.{layer}.add"), &json!({"a": whole(&p), "b": bias}), &z, &json!({}));
            if layer + 1 < self.layers() {
                growing.tensor(&format!("h{layer}"), &self.forward.inputs[layer + 1], &json!({}))?;
                let name = format!("layers.{layer}.relu");
                growing.link("relu", &name, &json!({"in": whole(&z)}), &format!("h{layer}"), &json!({}));
            }
        }
        Ok(())
    }

    /// From the loss to the first layer: the gradient that enters a layer's product is `d`, that of its input `dh`.
    fn backward(&self, growing: &mut Growing) -> Result<()> {
        for (layer, products) in (0..self.layers()).rev().zip(self.backward) {
            let d = format!("d{layer}");
            growing.tensor(&d, &products.grad, &json!({}))?;
            let z = whole(&format!("z{layer}"));
            if layer + 1 == self.layers() {
                let inputs = json!({"logits": z, "targets": whole("y")});
                growing.link("cross-entropy-grad", "loss", &inputs, &d, &json!({"reduction": "mean"}));
            } else {
                let inputs = json!({"x": z, "grad": whole(&format!("dh{layer}"))});
                growing.link("relu-grad", &format!("layers.{layer}.relu.grad"), &inputs, &d, &json!({}));
            }
            self.layer_backward(growing, layer, products)?;
        }
        Ok(())
    }

    fn layer_backward(&self, growing: &mut Growing, layer: usize, products: &Backward) -> Result<()> {
        let d = format!("d{layer}");
        let (rows, outputs) = products.grad.dims2()?;
        let inputs = self.forward.inputs[layer].dim(1)?;
        let name = format!("layers.{layer}");
        if let Some(for_a) = &products.for_a {
            let dh = format!("dh{}", layer.saturating_sub(1));
            growing.tensor(&dh, for_a, &json!({}))?;
            let weight = whole(&format!("{name}.weight"));
            growing.product("dgrad", &format!("{name}.dgrad"), [&whole(&d), &weight], &dh, [rows, inputs, outputs]);
        }
        if let Some(for_b) = &products.for_b {
            let t = format!("t{layer}");
            growing.tensor(&t, for_b, &json!({}))?;
            let a = view(&Self::input_of(layer), [inputs, rows], [1, inputs]);
            growing.product("wgrad", &format!("{name}.wgrad"), [&a, &whole(&d)], &t, [inputs, outputs, rows]);
        }
        let g = format!("g{layer}.bias");
        growing.tensor(&g, &self.bias_gradients[layer], &json!({}))?;
        growing.link("column-sum", &format!("{name}.bias.grad"), &json!({"in": whole(&d)}), &g, &json!({}));
        Ok(())
    }

    fn update(&self, growing: &mut Growing, spec: &TrainingSpec) -> Result<()> {
        for (at, name) in self.names.iter().enumerate() {
            let (layer, is_bias) = (at / 2, at % 2 == 1);
            let (mean, next, moved) = (format!("mean.{name}"), format!("next.{name}"), format!("moved.{name}"));
            growing.tensor(&mean, &self.mean[at], &json!({}))?;
            growing.tensor(&next, &self.after.parameters[at], &json!({"after": name}))?;
            growing.tensor(&moved, &self.after.velocities[at], &json!({"after": format!("velocity.{name}")}))?;
            let own = if is_bias {
                whole(&format!("g{layer}.bias"))
            } else {
                // The kernel made the gradient of the transposed weight.
                let (outputs, inputs) = self.after.parameters[at].dims2()?;
                view(&format!("t{layer}"), [outputs, inputs], [1, outputs])
            };
            growing.operation(
                "opaque",
                &format!("all-reduce.{name}"),
                &json!({"own": own}),
                &json!({"mean": whole(&mean)}),
                &json!({}),
            );
            let inputs =
                json!({"param": whole(name), "grad": whole(&mean), "momentum": whole(&format!("velocity.{name}"))});
            let outputs = json!({"param": whole(&next), "momentum": whole(&moved)});
            let numbers = json!({"lr": spec.learning_rate.to_string(), "momentum": spec.momentum.to_string()});
            growing.operation("sgd", &format!("sgd.{name}"), &inputs, &outputs, &numbers);
        }
        Ok(())
    }
}

impl Growing {
    /// Adds a tensor as it lies: row by row.
    fn tensor(&mut self, name: &str, tensor: &Tensor, role: &Value) -> Result<()> {
        let flat = tensor.contiguous()?.flatten_all()?;
        let (dtype, bytes): (&str, Vec<u8>) = match tensor.dtype() {
            DType::I64 => ("I64", flat.to_vec1::<i64>()?.iter().flat_map(|value| value.to_le_bytes()).collect()),
            _ => ("F32", flat.to_vec1::<f32>()?.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        let offsets = [self.data.len(), self.data.len() + bytes.len()];
        self.header.insert(name.to_owned(), json!({"dtype": dtype, "shape": tensor.dims(), "data_offsets": offsets}));
        let mut described = json!({"name": name, "dtype": dtype, "shape": tensor.dims()});
        if let (Some(described), Some(role)) = (described.as_object_mut(), role.as_object()) {
            described.extend(role.clone());
        }
        self.described.push(described);
        self.data.extend(bytes);
        Ok(())
    }

    fn product(&mut self, phase: &str, name: &str, [a, b]: [&Value; 2], c: &str, extents: [usize; 3]) {
        let [m, n, k] = extents.map(|extent| extent.to_string());
        let numbers = json!({"phase": phase, "m": m, "n": n, "k": k, "format": "F32", "accumulator": "F32"});
        self.operation("matmul", name, &json!({"a": a, "b": b}), &json!({"c": whole(c)}), &numbers);
    }

    fn link(&mut self, op: &str, name: &str, inputs: &Value, out: &str, numbers: &Value) {
        self.operation(op, name, inputs, &json!({"out": whole(out)}), numbers);
    }

    fn operation(&mut self, op: &str, name: &str, inputs: &Value, outputs: &Value, numbers: &Value) {
        self.operations.push(json!({"op": op, "name": name, "in": inputs, "out": outputs, "with": numbers}));
    }

    fn finish(self, unit: &Value) -> Captured {
        let header = Value::Object(self.header).to_string().into_bytes();
        let tensors = [&(header.len() as u64).to_le_bytes()[..], &header, &self.data].concat();
        let graph = json!({
            "format": "weighbridge/trace/v1", "framework": "candle on CPU", "unit": unit,
            "tensors_sha256": sha256(&tensors), "tensors": self.described, "operations": self.operations,
        });
        Captured { graph: graph.to_string().into_bytes(), tensors }
    }
}

fn whole(tensor: &str) -> Value {
    json!({"tensor": tensor})
}

fn view(tensor: &str, shape: [usize; 2], strides: [usize; 2]) -> Value {
    json!({"tensor": tensor, "shape": shape, "strides": strides})
}
