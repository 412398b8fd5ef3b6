//! **Duty.** Products of two vectors as hardware and libraries add them up: in f32, in many orders. **Knows** IEEE
//! arithmetic of the processor. **Does not know** tiles. **Spec.** CIRCUITS §5 ("kernel, split-K and atomics choose").

use weighbridge_audit::Format;

use super::{Matrix, MatrixProduct};

/// One order of additions.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// Its name.
    pub name: &'static str,
    dot: fn(&[f32], &[f32]) -> f32,
}

/// All of them. Each is honest: f32 accumulators, rounding to nearest, every product once.
pub const KERNELS: [Kernel; 7] = [
    Kernel { name: "f32 FMA, one after the other", dot: fma },
    Kernel { name: "reversed", dot: reversed },
    Kernel { name: "split-K by 4", dot: |a, b| split(a, b, 4) },
    Kernel { name: "split-K by 32, partial sums from the last", dot: |a, b| split(a, b, 32) },
    Kernel { name: "blocked by 16, products rounded", dot: blocked },
    Kernel { name: "pairwise", dot: pairwise },
    Kernel { name: "f64, rounded once", dot: f64_then_rounded },
];

fn fma(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

fn reversed(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).rev().fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

/// Every part by itself; partial sums are added from the last to the first, as atomics might.
fn split(a: &[f32], b: &[f32], parts: usize) -> f32 {
    let size = a.len().div_ceil(parts);
    a.chunks(size).zip(b.chunks(size)).map(|(a, b)| fma(a, b)).rev().fold(0.0, |sum, part| sum + part)
}

/// Sixteen lanes, each with rounded products, added at the end: what a vector unit without FMA does.
fn blocked(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().fold(0.0, |sum, lane| sum + lane)
}

fn pairwise(a: &[f32], b: &[f32]) -> f32 {
    match a.len() {
        0..=4 => fma(a, b),
        length => {
            let half = length / 2;
            pairwise(&a[..half], &b[..half]) + pairwise(&a[half..], &b[half..])
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it rounds to nearest: that is what the kernel does")]
fn f64_then_rounded(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

/// An f32 rounded to the nearest number of a format, ties to even.
#[must_use]
pub(super) fn rounded(format: Format, value: f32) -> f32 {
    match format {
        Format::F32 => value,
        Format::Bf16 => {
            let bits = value.to_bits();
            f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
        }
        Format::E4m3 => {
            // 4 significant bits down to 2⁻⁹, at most 448.
            let exponent = value.abs().max(f32::MIN_POSITIVE).log2().floor().max(-6.0);
            let unit = (exponent - 3.0).exp2();
            ((value / unit).round_ties_even() * unit).clamp(-448.0, 448.0)
        }
    }
}

impl Kernel {
    /// The product computed again.
    #[must_use]
    pub fn compute(&self, product: &MatrixProduct) -> MatrixProduct {
        let MatrixProduct { name, a, b, c } = product;
        let rows = (0..c.rows).flat_map(|row| (0..c.cols).map(move |col| (row, col)));
        let values = rows.map(|(row, col)| rounded(c.format, (self.dot)(a.row(row), b.row(col)))).collect();
        let c = Matrix { values, ..c.clone() };
        MatrixProduct { name: name.clone(), a: a.clone(), b: b.clone(), c }
    }
}
