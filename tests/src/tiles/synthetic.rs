//! **Duty.** Products over made-up operands with outlier columns, as the design's trial had them, for any K and format.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weighbridge_audit::Format;

use super::kernels::rounded;
use super::{KERNELS, Matrix, MatrixProduct};

/// A product m × k × n of a seed: activations with one channel in a hundred 30 times louder, weights of scale 1/√K, both
/// rounded to the operands' format; the output by f32 FMA.
#[must_use]
pub fn synthetic((m, k, n): (usize, usize, usize), operands: Format, output: Format, seed: u64) -> MatrixProduct {
    let mut random = StdRng::seed_from_u64(seed);
    // The sum of twelve uniform numbers, less 6, is close to normal.
    let mut normal = |scale: f32| ((0..12).map(|_| random.r#gen::<f32>()).sum::<f32>() - 6.0) * scale;
    let loud: Vec<f32> = (0..k).map(|channel| if channel % 100 == 7 { 30.0 } else { 1.0 }).collect();
    let weight_scale = 1.0 / (k as f32).sqrt();
    let a = (0..m * k).map(|i| rounded(operands, normal(loud[i % k]))).collect();
    let b = (0..n * k).map(|_| rounded(operands, normal(weight_scale))).collect();
    let a = Matrix { rows: m, cols: k, values: a, format: operands };
    let b = Matrix { rows: n, cols: k, values: b, format: operands };
    let c = Matrix { rows: m, cols: n, values: vec![0.0; m * n], format: output };
    KERNELS[0].compute(&MatrixProduct { name: format!("synthetic, K = {k}"), a, b, c })
}
