//! **Duty.** One entry of a tile: the exact product of its two vectors, the envelope around it, and the distance of the
//! committed output. **Knows** encoded vectors. **Does not know** its neighbours. **Spec.** CIRCUITS §5 (envelope; rule 1:
//! a second exact product over magnitudes; rule 3: what was cut is at most a quarter of the rounding part).
//!
//! With the units 2^g of the product and F fraction bits, in whole numbers of 2^(g − F):
//!
//! | | |
//! |---|---|
//! | S | Σ of signed products |
//! | P, U | Σ of products of magnitudes, and of magnitudes plus cuts: Σ\|a\|\|b\| lies in \[P, U\] |
//! | rounding | ⌊\|C\| · u_out⌋ + ⌊γ · U⌋ |
//! | cut | U − P, exactly: bounds \|Σab − S\| |
//! | flush | ⌊K · 2⁻¹²⁶⌋: products and sums that the accumulator flushes to zero |
//! | E | rounding + cut + flush + 2; the 2 are the floors of \|C\| and of the rounding part, 2^(1 − F) of a unit |
//!
//! `|C − S| ≤ E` is then necessary for every honest result under the policy's error model. Where U = 0 every product is
//! exactly zero, and so is C.

use crate::gemm::encoding::{Vector, Windows};
use crate::gemm::policy::{GAMMA_BITS, OperationPolicy};
use crate::number::Number;

/// The smallest normal number of the accumulator.
const FLUSH_EXPONENT: i32 = -126;
/// No envelope is counted beyond this: it is wider than any product, and nothing under it is informative.
const WIDEST: u128 = 1 << 126;
/// An informative entry's sum is this many envelopes away from zero.
const INFORMATIVE: u128 = 10;

/// What all entries of a tile share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    windows: Windows,
    k: usize,
    gamma: u64,
    output_roundoff_bits: u32,
}

/// Three exact sums over K, in units of 2^g.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product {
    /// g: the sum of both units.
    pub(crate) unit: i32,
    /// S.
    pub(crate) sum: i128,
    /// P.
    pub(crate) lower: u128,
    /// U.
    pub(crate) upper: u128,
}

/// An entry with its envelope, in whole numbers of 2^(g − F).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) product: Product,
    /// |C − S|; `None` where C is beyond everything that the product can reach.
    pub(crate) distance: Option<u128>,
    /// Whether C is above S.
    pub(crate) is_above: bool,
    /// E.
    pub(crate) envelope: u128,
    /// The part of E that rounding explains.
    rounding: u128,
    /// The part of E that the encoding lost.
    cut: u128,
}

impl Product {
    /// The three sums. One window: at most 2⁶², in one word each. Two windows: at most 2¹¹⁰.
    pub(crate) fn of(left: &Vector, right: &Vector, windows: Windows) -> Self {
        let unit = left.unit.saturating_add(right.unit);
        let is_cut = left.is_cut || right.is_cut;
        let signed = || left.signed.iter().zip(&right.signed);
        let upper = || left.upper.iter().zip(&right.upper);
        let (sum, lower, upper) = match windows {
            Windows::One => {
                let (mut sum, mut lower) = (0i64, 0u64);
                for (a, b) in signed() {
                    let product = a.wrapping_mul(*b);
                    sum = sum.wrapping_add(product);
                    lower = lower.wrapping_add(product.unsigned_abs());
                }
                let with_cuts = || upper().fold(0u64, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(*b)));
                (i128::from(sum), u128::from(lower), is_cut.then(with_cuts).map(u128::from))
            }
            Windows::Two => {
                let (mut sum, mut lower) = (0i128, 0u128);
                for (a, b) in signed() {
                    let product = i128::from(*a).wrapping_mul(i128::from(*b));
                    sum = sum.wrapping_add(product);
                    lower = lower.wrapping_add(product.unsigned_abs());
                }
                let product = |a: u64, b: u64| u128::from(a).wrapping_mul(u128::from(b));
                let with_cuts = || upper().fold(0u128, |sum, (a, b)| sum.wrapping_add(product(*a, *b)));
                (sum, lower, is_cut.then(with_cuts))
            }
        };
        // Without cuts the two are the same.
        let upper = upper.unwrap_or(lower);
        Self { unit, sum, lower, upper }
    }
}

impl Scale {
    pub(crate) fn new(policy: &OperationPolicy, windows: Windows, k: usize) -> Self {
        let output_roundoff_bits = policy.output().roundoff_bits();
        Self { windows, k, gamma: policy.gamma(k), output_roundoff_bits }
    }

    pub(crate) const fn fraction_bits(&self) -> u32 {
        self.windows.fraction_bits()
    }

    /// The envelope of one entry and the place of C in it.
    pub(crate) fn entry(&self, product: Product, output: Number) -> Entry {
        let fraction_bits = self.windows.fraction_bits();
        let magnitude = self.output(product.unit, output);
        let rounding = (magnitude.unwrap_or_default() >> self.output_roundoff_bits)
            .saturating_add(self.accumulation(product.upper));
        // Below 2¹¹⁰⁺¹⁶, or 2⁶²⁺³².
        let cut = product.upper.saturating_sub(product.lower) << fraction_bits;
        let sum = product.sum.unsigned_abs() << fraction_bits;
        let is_opposite = output.negative != (product.sum < 0);
        // |C| < 2¹²⁷ and |S| ≤ 2¹²⁶.
        let distance = match magnitude {
            Some(magnitude) if is_opposite => Some(sum.saturating_add(magnitude)),
            Some(magnitude) => Some(sum.abs_diff(magnitude)),
            None => None,
        };
        let is_above = match magnitude {
            Some(magnitude) if !is_opposite => (magnitude > sum) != output.negative,
            _ => !output.negative,
        };
        let slack = cut.saturating_add(self.flush(product.unit)).saturating_add(2);
        let envelope = if product.upper == 0 { 0 } else { rounding.saturating_add(slack).min(WIDEST) };
        let distance = match distance {
            // Nothing is lost where nothing is added: C must be zero itself, and not only smaller than a fraction.
            Some(_) if product.upper == 0 => Some(u128::from(output.mantissa)),
            other => other,
        };
        Entry { product, distance, is_above, envelope, rounding, cut }
    }

    /// |C| in whole numbers of 2^(g − F), rounded down; `None` from 2¹²⁷ on.
    fn output(&self, unit: i32, output: Number) -> Option<u128> {
        let mantissa = u128::from(output.mantissa);
        if mantissa == 0 {
            return Some(0);
        }
        let shift = i32::from(output.exponent).saturating_sub(unit).saturating_add(self.fraction());
        match u32::try_from(shift) {
            Ok(up) if up.saturating_add(mantissa.checked_ilog2().unwrap_or_default()) < 127 => Some(mantissa << up),
            Ok(_) => None,
            Err(_) => Some(mantissa.checked_shr(shift.unsigned_abs()).unwrap_or_default()),
        }
    }

    /// ⌊γ · U⌋. γ is below 2⁻³ and has 32 bits of fraction; the product is taken in two halves where it would not fit.
    fn accumulation(&self, upper: u128) -> u128 {
        let gamma = u128::from(self.gamma);
        let below = GAMMA_BITS.saturating_sub(self.windows.fraction_bits());
        let (high, low) = (upper >> below, upper & (1u128 << below).saturating_sub(1));
        high.saturating_mul(gamma).saturating_add(low.saturating_mul(gamma) >> below)
    }

    /// ⌊K · 2⁻¹²⁶⌋ in whole numbers of 2^(g − F), at most [`WIDEST`].
    fn flush(&self, unit: i32) -> u128 {
        let shift = FLUSH_EXPONENT.saturating_sub(unit).saturating_add(self.fraction());
        let k = self.k as u128;
        match u32::try_from(shift) {
            // K has at most 15 bits.
            Ok(up) if up < 112 => k << up,
            Ok(_) => WIDEST,
            Err(_) => k.checked_shr(shift.unsigned_abs()).unwrap_or_default(),
        }
    }

    fn fraction(&self) -> i32 {
        i32::try_from(self.windows.fraction_bits()).unwrap_or_default()
    }
}

impl Entry {
    /// Rule 3: what was cut is at most a quarter of what rounding explains.
    pub(crate) const fn is_sharp(&self) -> bool {
        self.cut <= self.rounding / 4
    }

    /// Whether C lies in the envelope.
    pub(crate) fn is_inside(&self) -> bool {
        self.distance.is_some_and(|distance| distance <= self.envelope)
    }

    /// Rule 4: `10 · E ≤ |S|`. An envelope too wide to be multiplied is wider than any sum.
    pub(crate) fn is_informative(&self, fraction_bits: u32) -> bool {
        !self.is_empty()
            && self.envelope.saturating_mul(INFORMATIVE) <= self.product.sum.unsigned_abs() << fraction_bits
    }

    /// Every product is exactly zero.
    pub(crate) const fn is_empty(&self) -> bool {
        self.product.upper == 0
    }

    /// |C − S| / E in 256ths, rounded up: 0 to 256 for an entry inside. E is taken to 40 bits.
    pub(crate) fn residual(&self) -> u32 {
        let Some(distance @ 1..) = self.distance else { return 0 };
        let down = self.envelope.checked_ilog2().unwrap_or_default().saturating_sub(39);
        let (envelope, whole) = (self.envelope >> down, distance >> down);
        let distance = whole.saturating_add(u128::from(whole << down != distance));
        // An envelope of 0 admits no distance but 0.
        let ratio = distance.saturating_mul(256).checked_add(envelope.saturating_sub(1));
        let ratio = ratio.and_then(|scaled| scaled.checked_div(envelope)).unwrap_or(256);
        u32::try_from(ratio).unwrap_or(256).min(256)
    }
}
