//! **Duty.** What the run says about itself before it starts: model, schedule, batch order, and the rule that turns
//! shapes into FLOP. **Knows** numbers. **Does not know** tensors: the rule must not be read off the thing it declares.
//! **Spec.** COMPUTE §1 (one multiply-accumulate = 2), PROTOCOL §3 (work unit: FLOP by rule from the committed template).

use serde_json::json;
use weighbridge_attest_types::Flops;

/// The numeric spec and schedule; its canonical bytes are committed to in the run manifest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainingSpec {
    /// Widths of the perceptron, input first, classes last.
    pub(crate) widths: Vec<usize>,
    /// Rows of one rank's micro-batch.
    pub(crate) micro_batch: usize,
    /// Data-parallel ranks.
    pub(crate) ranks: usize,
    /// Rows held out of training.
    pub(crate) held_out_rows: usize,
    /// Seed of initial weights and batch order.
    pub(crate) seed: u64,
    /// Optimizer steps planned; a slow machine may do fewer.
    pub(crate) steps: u64,
    /// Step size.
    pub(crate) learning_rate: f64,
    /// Momentum of the gradient descent.
    pub(crate) momentum: f64,
}

impl TrainingSpec {
    /// The demo's model on the wine data: 11 features, classes 0 to 10.
    #[must_use]
    pub(crate) fn wine(steps: u64) -> Self {
        Self {
            widths: vec![11, 512, 512, 11],
            micro_batch: 256,
            ranks: 2,
            held_out_rows: 319,
            seed: 20_260_101,
            steps,
            learning_rate: 0.02,
            momentum: 0.9,
        }
    }

    /// The bytes that the run commits to: JSON without spaces, keys in the order written here.
    #[must_use]
    pub(crate) fn canonical_json(&self) -> Vec<u8> {
        let value = json!({
            "format": "weighbridge/demo-spec/v1",
            "model": { "kind": "perceptron", "widths": self.widths, "activation": "relu", "dtype": "f32" },
            "initial_weights": "splitmix64, uniform ±1/sqrt(inputs)",
            "loss": "mean cross-entropy",
            "optimizer": {
                "kind": "sgd", "learning_rate": self.learning_rate, "momentum": self.momentum, "schedule": "constant",
            },
            "data": {
                "name": "UCI Wine Quality (red)", "held_out_rows": self.held_out_rows,
                "standardised": "per feature, over training rows",
            },
            "order": self.order_rule(),
            "seed": self.seed,
            "ranks": self.ranks,
            "micro_batch": self.micro_batch,
            "micro_batches_per_step": 1,
            "steps": self.steps,
            "flop_rule": {
                "multiply_accumulate": 2,
                "linear_forward": "2*rows*in*out",
                "linear_weight_gradient": "2*rows*in*out",
                "linear_input_gradient": "2*rows*in*out, none for the first layer",
                "elementwise": "not counted",
            },
        });
        value.to_string().into_bytes()
    }

    /// How batches are ordered, for the run manifest.
    #[must_use]
    pub(crate) fn order_rule(&self) -> String {
        let global_batch = self.micro_batch * self.ranks;
        format!("splitmix64-fisher-yates-per-epoch/v1 seed={} global-batch={global_batch}", self.seed)
    }

    /// FLOP of forward and backward of one micro-batch, by the rule above.
    #[must_use]
    pub(crate) fn micro_batch_flop(&self) -> Flops {
        let gemms = |layer: usize| if layer == 0 { 2 } else { 3 };
        let total = self.layer_flop(self.micro_batch).enumerate().map(|(layer, gemm)| gemms(layer) * gemm).sum();
        Flops(total)
    }

    /// FLOP of a forward pass alone over `rows` rows.
    #[must_use]
    pub(crate) fn forward_flop(&self, rows: usize) -> Flops {
        Flops(self.layer_flop(rows).sum())
    }

    /// FLOP of one multiplication of each layer, first layer first.
    fn layer_flop(&self, rows: usize) -> impl Iterator<Item = u128> {
        self.widths
            .windows(2)
            .map(move |pair| 2 * rows as u128 * pair.iter().map(|&width| width as u128).product::<u128>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_counts_what_a_pencil_counts() {
        let spec = TrainingSpec { widths: vec![3, 5, 2], micro_batch: 7, ..TrainingSpec::wine(1) };
        // 3→5: forward and weight gradient; 5→2: forward, weight gradient and input gradient.
        assert_eq!(spec.micro_batch_flop(), Flops(2 * (2 * 7 * 3 * 5) + 3 * (2 * 7 * 5 * 2)));
        assert_eq!(spec.forward_flop(4), Flops(2 * 4 * 3 * 5 + 2 * 4 * 5 * 2));
    }

    #[test]
    fn every_choice_changes_the_committed_bytes() {
        let base = TrainingSpec::wine(400);
        let mut changed = vec![base.clone(); 8];
        changed[0].widths[1] = 513;
        changed[1].micro_batch = 255;
        changed[2].ranks = 1;
        changed[3].held_out_rows = 320;
        changed[4].seed = 1;
        changed[5].steps = 401;
        changed[6].learning_rate = 0.03;
        changed[7].momentum = 0.8;
        for other in changed {
            assert_ne!(other.canonical_json(), base.canonical_json(), "{other:?}");
        }
        assert_eq!(base.canonical_json(), TrainingSpec::wine(400).canonical_json());
    }
}
