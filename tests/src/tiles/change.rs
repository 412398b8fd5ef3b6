//! **Duty.** Products changed as a forger would: the table of CIRCUITS §5. **Knows** operands and outputs.
//! **Does not know** envelopes.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weighbridge_audit::Format;

use super::kernels::rounded;
use super::{KERNELS, Matrix, MatrixProduct};

/// One way to compute something else and commit to the operands all the same.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Its name.
    pub name: &'static str,
    make: fn(&MatrixProduct) -> MatrixProduct,
}

/// The rows of the trial.
pub const CHANGES: [Change; 6] = [
    Change { name: "fp8 operands (scaled e4m3)", make: fp8_operands },
    Change { name: "two rows of B swapped", make: swapped_rows },
    Change { name: "C × 1.01", make: |product| outputs(product, |c| c * 1.01) },
    Change { name: "W stale by noise of 0.5 %", make: stale },
    Change { name: "zeros", make: |product| outputs(product, |_| 0.0) },
    Change { name: "C of another tile", make: shifted },
];

impl Change {
    /// Operands as committed, the output of what was really computed.
    #[must_use]
    pub fn apply(&self, product: &MatrixProduct) -> MatrixProduct {
        (self.make)(product)
    }
}

/// The same operands with an output computed from others.
fn computed_from(product: &MatrixProduct, a: Matrix, b: Matrix) -> MatrixProduct {
    let other = MatrixProduct { name: product.name.clone(), a, b, c: product.c.clone() };
    MatrixProduct { c: KERNELS[0].compute(&other).c, ..product.clone() }
}

fn outputs(product: &MatrixProduct, change: impl Fn(f32) -> f32) -> MatrixProduct {
    let values = product.c.values.iter().map(|value| rounded(product.c.format, change(*value))).collect();
    MatrixProduct { c: Matrix { values, ..product.c.clone() }, ..product.clone() }
}

fn scaled_fp8(matrix: &Matrix) -> Matrix {
    let most = matrix.values.iter().fold(0f32, |most, value| most.max(value.abs()));
    let scale = if most > 0.0 { (448.0 / most).log2().floor().exp2() } else { 1.0 };
    let values = matrix.values.iter().map(|value| rounded(Format::E4m3, value * scale) / scale).collect();
    Matrix { values, ..matrix.clone() }
}

fn fp8_operands(product: &MatrixProduct) -> MatrixProduct {
    computed_from(product, scaled_fp8(&product.a), scaled_fp8(&product.b))
}

/// Entries k and k + 1 of every column of B exchanged, at the two places of K where A is largest.
fn swapped_rows(product: &MatrixProduct) -> MatrixProduct {
    let k = product.k();
    let weight = |at: usize| (0..product.a.rows).map(|row| product.a.row(row)[at].abs()).sum::<f32>();
    let mut by_weight: Vec<usize> = (0..k).collect();
    by_weight.sort_by(|one, other| weight(*other).total_cmp(&weight(*one)));
    let mut b = product.b.clone();
    for row in b.values.chunks_exact_mut(k) {
        row.swap(by_weight[0], by_weight[1]);
    }
    computed_from(product, product.a.clone(), b)
}

fn stale(product: &MatrixProduct) -> MatrixProduct {
    let mut random = StdRng::seed_from_u64(5);
    let squares = product.b.values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
    #[expect(clippy::cast_possible_truncation, reason = "a scale of noise")]
    let scale = (squares / product.b.values.len() as f64).sqrt() as f32 * 0.005 * 3f32.sqrt();
    let mut noisy = |value: f32| rounded(product.b.format, value + scale * (2.0 * random.r#gen::<f32>() - 1.0));
    let values = product.b.values.iter().map(|value| noisy(*value)).collect();
    computed_from(product, product.a.clone(), Matrix { values, ..product.b.clone() })
}

/// Rows of C move on by sixteen: each tile holds its neighbour's outputs.
fn shifted(product: &MatrixProduct) -> MatrixProduct {
    let mut c = product.c.clone();
    let by = 16 * c.cols % c.values.len().max(1);
    c.values.rotate_left(by);
    MatrixProduct { c, ..product.clone() }
}
