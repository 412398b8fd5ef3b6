//! **Duty.** Numbers for tiles, and an honest tile of any length.

use weighbridge_commitments::TensorShape;

use crate::{GemmOperand, GemmWitness};

/// Repeatable numbers, close to normal: twelve uniform ones, less 6.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A whole number below another one.
    pub(crate) fn below(&mut self, most: i32) -> i32 {
        let _moved = self.uniform();
        i32::try_from(self.0 >> 40).expect("24 bits") % most
    }

    pub(crate) fn place(&mut self, most: i32) -> usize {
        usize::try_from(self.below(most)).expect("not negative")
    }

    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}

/// The nearest bf16.
pub(crate) fn bf16(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

/// As stored.
pub(crate) fn stored(values: &[Vec<f32>]) -> Vec<u8> {
    values.iter().flatten().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

/// A tile of near-normal rows, the first of each tensor.
pub(crate) fn honest_tile(k: usize) -> GemmWitness {
    let mut numbers = Numbers(11);
    let mut strip = || -> Vec<Vec<f32>> { (0..16).map(|_| (0..k).map(|_| bf16(numbers.normal())).collect()).collect() };
    let (a, b) = (strip(), strip());
    let dot = |a: &[f32], b: &[f32]| bf16(a.iter().zip(b).fold(0f32, |sum, (a, b)| a.mul_add(*b, sum)));
    let c: Vec<Vec<f32>> = a.iter().map(|a| b.iter().map(|b| dot(a, b)).collect()).collect();
    let operand = |name, shape: [u64; 2], values: &[Vec<f32>]| {
        GemmOperand::new(TensorShape { name, dtype: "BF16", shape: &shape }, stored(values)).expect("a tensor")
    };
    let cols = k as u64;
    GemmWitness {
        left: operand("x", [16, cols], &a),
        right: operand("w", [16, cols], &b),
        output: operand("y", [16, 16], &c),
        place: [0, 0],
    }
}
