//! **Duty.** The perceptron, its loss and its optimizer, on candle's CPU back end. **Knows** tensors. **Does not know**
//! ranks, sockets or the declared FLOP: every matrix product runs through one kernel that counts the operands it was
//! really given, so the count is independent of the spec's rule.
//!
//! candle keeps the operation behind a tensor private and, left to itself, computes a gradient for the input rows
//! that nothing reads. So the product is an operation of our own: it counts, and it skips gradients nobody tracks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, Var, bail};
use weighbridge_attest_types::Flops;

use crate::data::Rows;
use crate::seeded::SplitMix64;
use crate::spec::TrainingSpec;

const WEIGHTS: u64 = 2;

/// FLOP of all matrix products that ran so far, forward and backward.
#[derive(Debug, Clone, Default)]
pub(crate) struct GemmCounter(Arc<AtomicU64>);

/// Products of one layer's backward pass, as the kernel ran them.
#[derive(Debug, Clone)]
pub(crate) struct Backward {
    /// Gradient of the product.
    pub(crate) grad: Tensor,
    /// Gradient of the left operand, where anybody wants it.
    pub(crate) for_a: Option<Tensor>,
    /// Gradient of the right operand.
    pub(crate) for_b: Option<Tensor>,
}

/// Where the kernel writes down the products of a backward pass, in the order in which it runs them.
pub(crate) type Tape = Arc<Mutex<Vec<Backward>>>;

/// What a forward pass computed, layer by layer.
#[derive(Debug)]
pub(crate) struct Forward {
    /// What each layer multiplied.
    pub(crate) inputs: Vec<Tensor>,
    /// Products without bias.
    pub(crate) products: Vec<Tensor>,
    /// With it; the last are the logits.
    pub(crate) sums: Vec<Tensor>,
}

/// A perceptron with ReLU between its layers.
#[derive(Debug)]
pub(crate) struct Perceptron {
    layers: Vec<Layer>,
    counter: GemmCounter,
}

/// Gradient descent with momentum: velocity ← momentum · velocity + gradient; weight ← weight − rate · velocity.
#[derive(Debug)]
pub(crate) struct Momentum {
    velocity: Vec<Tensor>,
    learning_rate: f64,
    momentum: f64,
}

/// Tensors of one batch.
#[derive(Debug)]
pub(crate) struct Batch {
    features: Tensor,
    labels: Tensor,
}

#[derive(Debug)]
struct Layer {
    weight: Var,
    bias: Var,
}

/// Matrix product (m×k)·(k×n) = 2·m·k·n FLOP.
struct CountedGemm {
    counter: GemmCounter,
    tape: Option<Tape>,
}

impl GemmCounter {
    /// What was counted since this was last asked.
    #[must_use]
    pub(crate) fn take(&self) -> Flops {
        Flops(u128::from(self.0.swap(0, Ordering::Relaxed)))
    }
}

impl Forward {
    /// What the last layer computed.
    ///
    /// # Errors
    /// Of a perceptron without layers.
    pub(crate) fn logits(&self) -> Result<&Tensor> {
        match self.sums.last() {
            Some(logits) => Ok(logits),
            None => bail!("a perceptron has a layer"),
        }
    }
}

impl CustomOp2 for CountedGemm {
    fn name(&self) -> &'static str {
        "counted-gemm"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((m, k), (inner, n)) = (a_layout.shape().dims2()?, b_layout.shape().dims2()?);
        if k != inner {
            bail!("cannot multiply {m}×{k} by {inner}×{n}");
        }
        self.counter.0.fetch_add(2 * m as u64 * k as u64 * n as u64, Ordering::Relaxed);
        Ok((a.matmul(b, (1, m, n, k), a_layout, b_layout)?, Shape::from((m, n))))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _product: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let for_a = a.track_op().then(|| grad.apply_op2_no_bwd(&b.t()?, self)).transpose()?;
        let for_b = b.track_op().then(|| a.t()?.apply_op2_no_bwd(grad, self)).transpose()?;
        if let Some(tape) = &self.tape {
            let products = Backward { grad: grad.clone(), for_a: for_a.clone(), for_b: for_b.clone() };
            tape.lock().unwrap_or_else(PoisonError::into_inner).push(products);
        }
        Ok((for_a, for_b))
    }
}

impl Perceptron {
    /// Weights from the spec's seed, uniform in ±1/√inputs.
    ///
    /// # Errors
    /// candle's, on shapes that do not fit.
    pub(crate) fn new(spec: &TrainingSpec, counter: GemmCounter) -> Result<Self> {
        let mut generator = SplitMix64::new(spec.seed, WEIGHTS);
        let mut layers = Vec::new();
        for pair in spec.widths.windows(2) {
            let &[inputs, outputs] = pair else { continue };
            let bound = 1.0 / (inputs as f32).sqrt();
            let mut uniform = |count: usize| (0..count).map(|_| generator.symmetric() * bound).collect::<Vec<f32>>();
            let weight = Var::from_vec(uniform(inputs * outputs), (outputs, inputs), &Device::Cpu)?;
            let bias = Var::from_vec(uniform(outputs), outputs, &Device::Cpu)?;
            layers.push(Layer { weight, bias });
        }
        Ok(Self { layers, counter })
    }

    /// Logits of a batch.
    ///
    /// # Errors
    /// candle's, on shapes that do not fit.
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor> {
        self.forward_on(batch, None)?.logits().cloned()
    }

    /// The same, with all that was computed on the way; what its backward pass multiplies is written on the tape.
    ///
    /// # Errors
    /// candle's, on shapes that do not fit.
    pub(crate) fn forward_on(&self, batch: &Batch, tape: Option<&Tape>) -> Result<Forward> {
        let mut kept = Forward { inputs: Vec::new(), products: Vec::new(), sums: Vec::new() };
        let mut activations = batch.features.clone();
        for (position, layer) in self.layers.iter().enumerate() {
            if position > 0 {
                activations = activations.relu()?;
            }
            let kernel = CountedGemm { counter: self.counter.clone(), tape: tape.cloned() };
            let product = activations.apply_op2(&layer.weight.t()?, kernel)?;
            kept.inputs.push(activations);
            activations = product.broadcast_add(&layer.bias)?;
            kept.products.push(product);
            kept.sums.push(activations.clone());
        }
        Ok(kept)
    }

    /// Weights and biases in a fixed order.
    #[must_use]
    pub(crate) fn variables(&self) -> Vec<&Var> {
        self.layers.iter().flat_map(|layer| [&layer.weight, &layer.bias]).collect()
    }

    /// Names of [`Self::variables`], in the same order.
    #[must_use]
    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.layers.len()).flat_map(|i| [format!("layers.{i}.weight"), format!("layers.{i}.bias")]).collect()
    }

    /// Gradients of the biases, first layer first.
    ///
    /// # Errors
    /// A bias without one.
    pub(crate) fn bias_gradients(&self, grads: &GradStore) -> Result<Vec<Tensor>> {
        let one = |layer: &Layer| match grads.get(&layer.bias) {
            Some(grad) => Ok(grad.clone()),
            None => bail!("a variable has no gradient"),
        };
        self.layers.iter().map(one).collect()
    }

    /// All gradients laid end to end in the order of [`Self::variables`].
    ///
    /// # Errors
    /// candle's; a variable without a gradient is an error.
    pub(crate) fn flat_gradients(&self, grads: &GradStore) -> Result<Vec<f32>> {
        let mut flat = Vec::new();
        for variable in self.variables() {
            let Some(grad) = grads.get(variable) else { bail!("a variable has no gradient") };
            flat.extend(grad.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(flat)
    }
}

impl Momentum {
    /// Starts at rest.
    ///
    /// # Errors
    /// candle's.
    pub(crate) fn new(model: &Perceptron, spec: &TrainingSpec) -> Result<Self> {
        let velocity = model.variables().iter().map(|variable| variable.zeros_like()).collect::<Result<_>>()?;
        Ok(Self { velocity, learning_rate: spec.learning_rate, momentum: spec.momentum })
    }

    /// Gradients laid end to end as tensors of the model's variables, in their order.
    ///
    /// # Errors
    /// candle's, when there are fewer gradients than weights.
    pub(crate) fn cut(model: &Perceptron, flat: &[f32]) -> Result<Vec<Tensor>> {
        let mut rest = flat;
        let one = |variable: &Var| {
            let Some((own, others)) = rest.split_at_checked(variable.elem_count()) else {
                bail!("gradients are missing")
            };
            rest = others;
            Tensor::from_slice(own, variable.shape(), &Device::Cpu)
        };
        model.variables().into_iter().map(one).collect()
    }

    /// One optimizer step from gradients laid end to end.
    ///
    /// # Errors
    /// candle's, when there are fewer gradients than weights.
    pub(crate) fn step(&mut self, model: &Perceptron, flat: &[f32]) -> Result<()> {
        let gradients = Self::cut(model, flat)?;
        for ((variable, velocity), grad) in model.variables().into_iter().zip(&mut self.velocity).zip(gradients) {
            *velocity = ((&*velocity * self.momentum)? + grad)?;
            variable.set(&(variable.as_tensor() - (&*velocity * self.learning_rate)?)?)?;
        }
        Ok(())
    }

    /// Goes on with the velocities of a checkpoint, in the order of the model's variables.
    ///
    /// # Errors
    /// When there is not one for each variable.
    pub(crate) fn restore(&mut self, velocity: Vec<Tensor>) -> Result<()> {
        if velocity.len() != self.velocity.len() {
            bail!("a checkpoint has {} velocities for {} variables", velocity.len(), self.velocity.len());
        }
        self.velocity = velocity;
        Ok(())
    }

    /// Velocities in the order of the model's variables.
    #[must_use]
    pub(crate) fn state(&self) -> &[Tensor] {
        &self.velocity
    }
}

impl Batch {
    /// Copies rows into tensors.
    ///
    /// # Errors
    /// candle's.
    pub(crate) fn new(rows: &Rows) -> Result<Self> {
        let features = Tensor::from_slice(&rows.features, (rows.len(), rows.columns), &Device::Cpu)?;
        Ok(Self { features, labels: Tensor::from_slice(&rows.labels, rows.len(), &Device::Cpu)? })
    }

    /// Its rows.
    pub(crate) fn features(&self) -> Tensor {
        self.features.clone()
    }

    /// Their classes.
    pub(crate) fn labels(&self) -> Tensor {
        self.labels.clone()
    }

    /// Mean cross-entropy of logits.
    ///
    /// # Errors
    /// candle's.
    pub(crate) fn loss(&self, logits: &Tensor) -> Result<Tensor> {
        candle_nn::loss::cross_entropy(logits, &self.labels)
    }

    /// Share of rows whose greatest logit is their class.
    ///
    /// # Errors
    /// candle's.
    pub(crate) fn accuracy(&self, logits: &Tensor) -> Result<f64> {
        let hits = logits.argmax(1)?.eq(&self.labels)?.to_dtype(DType::F64)?;
        hits.mean_all()?.to_scalar()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::WineTable;

    fn first_batch(spec: &TrainingSpec) -> Batch {
        let train = WineTable::load().split(spec).train;
        Batch::new(&train.pick(&(0..spec.micro_batch).collect::<Vec<_>>())).unwrap()
    }

    #[test]
    fn the_kernels_count_equals_the_declared_flop() {
        let spec = TrainingSpec::wine(1);
        let counter = GemmCounter::default();
        let model = Perceptron::new(&spec, counter.clone()).unwrap();
        let batch = first_batch(&spec);
        let logits = model.forward(&batch).unwrap();
        assert_eq!(counter.take(), spec.forward_flop(spec.micro_batch));
        batch.loss(&logits).unwrap().backward().unwrap();
        let backward = spec.micro_batch_flop().0 - spec.forward_flop(spec.micro_batch).0;
        assert_eq!(counter.take(), Flops(backward));
    }

    #[test]
    fn the_counted_product_has_candles_own_values_and_gradients() {
        let spec = TrainingSpec { widths: vec![11, 16, 11], micro_batch: 32, ..TrainingSpec::wine(1) };
        let model = Perceptron::new(&spec, GemmCounter::default()).unwrap();
        let batch = first_batch(&spec);
        let ours = batch.loss(&model.forward(&batch).unwrap()).unwrap();

        let [first, second] = &model.layers[..] else { panic!("two layers") };
        let linear = |x: &Tensor, layer: &Layer| x.matmul(&layer.weight.t()?)?.broadcast_add(&layer.bias);
        let hidden = linear(&batch.features, first).unwrap().relu().unwrap();
        let theirs = batch.loss(&linear(&hidden, second).unwrap()).unwrap();

        assert_eq!(ours.to_scalar::<f32>().unwrap(), theirs.to_scalar::<f32>().unwrap());
        let (ours, theirs) = (ours.backward().unwrap(), theirs.backward().unwrap());
        assert_eq!(model.flat_gradients(&ours).unwrap(), model.flat_gradients(&theirs).unwrap());
    }

    #[test]
    fn momentum_follows_its_formula() {
        let spec = TrainingSpec { widths: vec![1, 1], learning_rate: 0.5, momentum: 0.5, ..TrainingSpec::wine(1) };
        let model = Perceptron::new(&spec, GemmCounter::default()).unwrap();
        model.variables()[0].set(&Tensor::new(&[[8f32]], &Device::Cpu).unwrap()).unwrap();
        let mut optimizer = Momentum::new(&model, &spec).unwrap();
        optimizer.step(&model, &[2.0, 0.0]).unwrap();
        optimizer.step(&model, &[2.0, 0.0]).unwrap();
        // Velocities 2 and 3, so 8 − 1 − 1.5.
        assert_eq!(model.variables()[0].to_vec2::<f32>().unwrap(), [[5.5]]);
        assert!(optimizer.step(&model, &[2.0]).is_err());
    }
}
