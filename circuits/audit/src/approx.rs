//! **Duty.** A number and how far a framework's result may lie from it: each rounding that the framework makes adds its
//! half step. **Knows** f64 arithmetic, whose own rounding (2⁻⁵³) is far below any half step here. **Does not know** which
//! operation is computed. **Spec.** CIRCUITS §6; docs/trace-format.md (Rules).
//!
//! Nothing infinite and no NaN is ever within a bound.

use crate::trace::FloatFormat;

/// A value with a bound on the error of whoever computed it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Approx {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

impl Approx {
    /// A stored number.
    pub(crate) const fn exact(value: f64) -> Self {
        Self { value, error: 0.0 }
    }

    /// A constant of the program, which a framework may hold in this format: PyTorch on CPU rounds the factor of what is
    /// added to a BF16 tensor to BF16, its earlier versions every factor. One that the format has is held exactly.
    pub(crate) fn held(value: f64, format: FloatFormat) -> Self {
        let half = format.half_step(value);
        let has = (value / half / 2.0).fract() == 0.0;
        Self { value, error: if has { 0.0 } else { half } }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, error: self.error + other.error }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { value: self.value - other.value, error: self.error + other.error }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let error = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        Self { value: self.value * other.value, error }
    }

    /// Rounded to nearest in a format, by a processor that may flush subnormal numbers.
    pub(crate) fn rounded(self, format: FloatFormat) -> Self {
        let largest = self.value.abs() + self.error;
        Self { value: self.value, error: self.error + format.half_step(largest) + format.flushed() }
    }

    /// Computed in F32 (F64 where the result is F64) and then rounded to the result's format: what frameworks do with
    /// narrow formats.
    pub(crate) fn stored(self, format: FloatFormat) -> Self {
        match format {
            FloatFormat::Bf16 | FloatFormat::F16 => self.rounded(FloatFormat::F32).rounded(format),
            FloatFormat::F32 | FloatFormat::F64 => self.rounded(format),
        }
    }

    /// The number that rounding to nearest gives, ties to even, as one candidate of several: where a processor flushes
    /// subnormal numbers it may lose that much. The value is taken as exact.
    pub(crate) fn nearest(self, format: FloatFormat) -> Self {
        let step = format.half_step(self.value) * 2.0;
        Self { value: (self.value / step).round_ties_even() * step, error: format.flushed() }
    }

    /// Whether a result lies within the bound.
    pub(crate) fn holds(self, found: f64) -> bool {
        self.error.is_finite() && self.value.is_finite() && (found - self.value).abs() <= self.error
    }

    /// Whether two such values can be one number.
    pub(crate) fn meets(self, other: Self) -> bool {
        Self { value: self.value, error: self.error + other.error }.holds(other.value)
    }
}

/// base^exponent by squaring: the same on every machine.
pub(crate) fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}

/// e^x for x ≤ 0, within 2⁻⁵⁰ relative; the same on every machine, which the system's own is not.
pub(crate) fn exp_of_nonpositive(x: f64) -> f64 {
    /// ln 2 in two parts: the first has few bits, so that its multiples are exact.
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x.is_nan() || x > 0.0 {
        return f64::NAN;
    }
    if x < -700.0 {
        return 0.0;
    }
    let turns = (x / std::f64::consts::LN_2).round();
    let rest = (x - turns * LN2_HIGH) - turns * LN2_LOW;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + rest / f64::from(n) * sum);
    // At most 1010 halvings; a power by squaring is exact.
    let mut halvings = -turns;
    let mut result = series;
    while halvings >= 1.0 {
        let step = halvings.min(512.0);
        result *= (0..10).fold((1.0, step, 0.5), halving).0;
        halvings -= step;
    }
    result
}

/// −ln x for 2⁻¹⁰⁰⁰ ≤ x ≤ 1, within 2⁻⁴⁰; the same on every machine. NaN elsewhere.
pub(crate) fn minus_ln(x: f64) -> f64 {
    if !(1e-301..=1.0).contains(&x) {
        return f64::NAN;
    }
    // From below, by less than ln 2: each of Newton's steps on the exponential stays below and squares what is missing.
    let mut halvings = 0.0;
    let mut rest = x;
    while rest < 0.5 {
        rest *= 2.0;
        halvings += 1.0;
    }
    (0..6).fold(halvings * std::f64::consts::LN_2, |y, _| y + 1.0 - x / exp_of_nonpositive(-y))
}

/// One bit of 0.5^step, from below.
fn halving((result, step, square): (f64, f64, f64), _: i32) -> (f64, f64, f64) {
    let half = (step / 2.0).floor();
    let odd = step - 2.0 * half;
    (if odd > 0.0 { result * square } else { result }, half, square * square)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::cast_possible_truncation, reason = "rounding to F32 is what is meant")]
    const fn narrow(value: f64) -> f32 {
        value as f32
    }

    proptest! {
        #[test]
        fn a_correctly_rounded_sum_is_within_and_its_neighbours_are_not(a in any::<f32>(), b in any::<f32>()) {
            let sum = a + b;
            prop_assume!(sum.is_normal() && sum.abs() > 1e-30);
            let bound = Approx::exact(f64::from(a)).plus(Approx::exact(f64::from(b))).stored(FloatFormat::F32);
            prop_assert!(bound.holds(f64::from(sum)));
            for bits in [sum.to_bits().wrapping_add(2), sum.to_bits().wrapping_sub(2)] {
                prop_assert!(!bound.holds(f64::from(f32::from_bits(bits))));
            }
        }

        #[test]
        fn our_exponential_is_the_systems(x in -699.0f64..=0.0) {
            let (ours, system) = (exp_of_nonpositive(x), x.exp());
            prop_assert!((ours - system).abs() <= system * 4e-15, "{x}: {ours} {system}");
        }

        #[test]
        fn our_logarithm_is_the_systems(exponent in -690.0f64..=0.0) {
            let x = exponent.exp();
            prop_assert!((minus_ln(x) + x.ln()).abs() <= 1e-12 * (1.0 - exponent), "{x}: {} {}", minus_ln(x), x.ln());
        }

        #[test]
        fn the_nearest_number_is_the_processors(value in any::<f32>()) {
            let wide = f64::from(value) * 1.000_000_123_4;
            prop_assume!(value.is_normal() && narrow(wide).is_normal());
            prop_assert_eq!(Approx::exact(wide).nearest(FloatFormat::F32).value, f64::from(narrow(wide)));
        }

        #[test]
        fn powers_by_squaring(base in 0.0f64..1.0, exponent in 0u32..5_000) {
            let (ours, system) = (power(base, u64::from(exponent)), base.powf(f64::from(exponent)));
            prop_assert!((ours - system).abs() <= system * 1e-11 + 1e-300, "{base} {exponent}");
        }
    }

    #[test]
    fn nothing_infinite_is_within_a_bound() {
        for (value, error) in [(f64::INFINITY, 1.0), (0.0, f64::INFINITY), (f64::NAN, 1.0), (0.0, f64::NAN)] {
            assert!(!Approx { value, error }.holds(0.0));
            assert!(!Approx { value, error }.holds(f64::INFINITY));
        }
        assert!(!Approx::exact(0.0).holds(f64::NAN));
        assert_eq!(Approx::held(0.75, FloatFormat::Bf16).error, 0.0);
        assert!(Approx::held(0.01, FloatFormat::Bf16).holds(0.010_009_765_625));
        assert!(!Approx::held(0.01, FloatFormat::F32).holds(0.010_009_765_625));
        assert!(Approx::exact(0.0).holds(-0.0));
        assert_eq!((exp_of_nonpositive(0.0), exp_of_nonpositive(-1e9)), (1.0, 0.0));
        assert!(exp_of_nonpositive(1.0).is_nan() && exp_of_nonpositive(f64::NAN).is_nan());
        assert_eq!(minus_ln(1.0), 0.0);
        assert!([0.0, -1.0, 1.1, f64::NAN].into_iter().all(|x| minus_ln(x).is_nan()));
    }
}
