//! **Duty.** Positive numbers that are never too small: 64 bits and an exponent, every operation rounded up. Probabilities of
//! missing something are bounded with them. **Does not know** what they mean. **Spec.** decision 0048.

use std::cmp::Ordering;

/// A number from above: mantissa · 2^exponent, its highest bit set unless it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Up {
    mantissa: u64,
    exponent: i64,
}

/// ⌈2⁶⁴ · e^(−10⁻⁶)⌉.
const EXP_OF_A_MILLIONTH: u64 = 18_446_725_626_974_701_276;

impl Up {
    pub(crate) const ONE: Self = Self { mantissa: 1 << 63, exponent: -63 };

    fn of(mantissa: u128, exponent: i64) -> Self {
        let down = 64u32.saturating_sub(mantissa.leading_zeros());
        let whole = mantissa >> down;
        let is_exact = whole << down == mantissa;
        // Rounding up may carry into a 65th bit.
        let (whole, down) = match whole.saturating_add(u128::from(!is_exact)) {
            carried if carried >> 64 != 0 => (carried >> 1, down.saturating_add(1)),
            whole => (whole, down),
        };
        let up = whole.checked_ilog2().map_or(0, |top| 63u32.saturating_sub(top));
        let mantissa = u64::try_from(whole << up).unwrap_or(u64::MAX);
        Self { mantissa, exponent: exponent.saturating_add(i64::from(down)).saturating_sub(i64::from(up)) }
    }

    /// numerator / denominator; a denominator of 0 gives the numerator.
    pub(crate) fn ratio(numerator: u64, denominator: u64) -> Self {
        Self::of(u128::from(numerator), 0).over(denominator)
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let product = u128::from(self.mantissa).saturating_mul(u128::from(other.mantissa));
        Self::of(product, self.exponent.saturating_add(other.exponent))
    }

    pub(crate) fn over(self, divisor: u64) -> Self {
        let scaled = u128::from(self.mantissa) << 64;
        Self::of(scaled.div_ceil(u128::from(divisor.max(1))), self.exponent.saturating_sub(64))
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        if small.mantissa == 0 {
            return large;
        }
        if large.mantissa == 0 {
            return small;
        }
        let apart = large.exponent.saturating_sub(small.exponent);
        let down = u32::try_from(apart).unwrap_or(u32::MAX);
        // What lies far below still counts as one unit in the last place.
        let small = (u128::from(small.mantissa) << 62).checked_shr(down).unwrap_or_default().saturating_add(1);
        let sum = (u128::from(large.mantissa) << 62).saturating_add(small);
        Self::of(sum, large.exponent.saturating_sub(62))
    }

    pub(crate) fn power(self, exponent: u64) -> Self {
        let (mut result, mut square, mut left) = (Self::ONE, self, exponent);
        while left > 0 {
            if left & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            left >>= 1;
        }
        result
    }

    /// e^(−micros / 10⁶).
    pub(crate) fn exp_of_minus(micros: u64) -> Self {
        Self::of(u128::from(EXP_OF_A_MILLIONTH), -64).power(micros)
    }

    /// Whether it is at most numerator / denominator: exactly, on the rounded number.
    pub(crate) fn is_at_most(self, numerator: u64, denominator: u64) -> bool {
        // mantissa · denominator · 2^exponent ≤ numerator
        let left = u128::from(self.mantissa).saturating_mul(u128::from(denominator));
        let (numerator, exponent) = (u128::from(numerator), self.exponent);
        let Ok(up) = u32::try_from(exponent) else {
            let down = u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX);
            // left ≤ numerator · 2^down; a left side of 128 bits is below anything that does not fit.
            return match numerator.checked_shl(down).filter(|shifted| shifted >> down.min(127) == numerator) {
                Some(right) => left.cmp(&right) != Ordering::Greater,
                None => numerator > 0,
            };
        };
        left.checked_shl(up).filter(|shifted| shifted >> up.min(127) == left).is_some_and(|left| left <= numerator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(up: Up) -> f64 {
        up.mantissa as f64 * 2f64.powi(i32::try_from(up.exponent).unwrap())
    }

    proptest! {
        #[test]
        fn operations_round_up_and_by_little(a in 1u64.., b in 1u64.., c in 1u64.., d in 1u64..) {
            let (one, two) = (Up::ratio(a, b), Up::ratio(c, d));
            let (x, y) = (a as f64 / b as f64, c as f64 / d as f64);
            for (found, exact) in [(one, x), (one.times(two), x * y), (one.plus(two), x + y), (one.over(d), x / d as f64)] {
                prop_assert!((value(found) / exact - 1.0).abs() < 1e-14, "{} {}", value(found), exact);
            }
            // A ratio is at most itself only if it is exact, and always at most a little more.
            let is_exact = a % b == 0;
            prop_assert!(!is_exact || one.is_at_most(a, b));
            prop_assert!(b > u64::MAX / 2 || !Up::ratio(b + 1, b).is_at_most(1, 1));
            prop_assert_eq!(one.is_at_most(1, 1), a <= b);
        }
    }

    #[test]
    fn sums_never_lose_what_is_far_below() {
        let tiny = Up::ONE.over(u64::MAX).over(u64::MAX).over(u64::MAX);
        assert!(!Up::ONE.plus(tiny).is_at_most(1, 1));
        assert!(Up::ONE.is_at_most(1, 1));
        assert!(tiny.is_at_most(1, u64::MAX));
        assert!(!Up::ratio(7, 1).power(40).is_at_most(u64::MAX, 1));
    }

    /// By long division: e^−x < 1 − x + x²/2 − x³/6 + x⁴/24 for x = 10⁻⁶, and the next term is below 2⁻⁶⁴.
    #[test]
    fn the_constant_is_the_exponential_of_a_millionth() {
        let million = 1_000_000u128;
        let denominator = 24 * million.pow(4);
        let mut rest = denominator - 24 * million.pow(3) + 12 * million.pow(2) - 4 * million + 1;
        let mut quotient = 0u64;
        for _ in 0..64 {
            rest *= 2;
            let bit = rest >= denominator;
            rest -= if bit { denominator } else { 0 };
            quotient = (quotient << 1) | u64::from(bit);
        }
        assert_eq!(quotient + 1, EXP_OF_A_MILLIONTH);
    }

    #[test]
    fn the_exponential_is_bounded_from_above_within_a_billionth() {
        for micros in [1, 1_000_000, 2_995_732, 30_000_000, 600_000_000] {
            let exact = (-(micros as f64) / 1e6).exp();
            let found = value(Up::exp_of_minus(micros));
            assert!(found >= exact * (1.0 - 1e-13) && found < exact * (1.0 + 1e-9), "{micros}: {found} {exact}");
        }
    }
}
