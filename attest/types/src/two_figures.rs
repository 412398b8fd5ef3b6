//! **Duty.** An amount to two significant figures, rounded half to even, as the forms of the law ask for it.
//! **Knows** integers only: a float already misses 10²⁵. **Does not know** thresholds: no printed figure is compared.
//! **Spec.** COMPUTE §1 (integers), §7 (print half to even, no truncation).

use std::fmt;

use crate::{Compare, Flops};

/// Below this an exact integer is shorter than its rounded form, and is printed instead.
const SHORT: u128 = 10_000;

/// A positive amount rounded half to even to two significant figures: `tenths/10 × 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoFigures {
    tenths: u8,
    exponent: u32,
}

impl TwoFigures {
    /// Rounds; `None` for zero, which has no significant figure.
    #[must_use]
    pub fn round(value: u128) -> Option<Self> {
        let exponent = value.checked_ilog10()?;
        let tenths = if exponent == 0 { value * 10 } else { half_to_even(value, 10u128.pow(exponent - 1)) };
        // 99.5 and more carry into the next power of ten.
        let (tenths, exponent) = if tenths == 100 { (10, exponent + 1) } else { (tenths, exponent) };
        Some(Self { tenths: u8::try_from(tenths).ok()?, exponent })
    }

    /// The greatest amount of two figures that is not above `value`; `None` for zero.
    #[must_use]
    pub fn floor(value: u128) -> Option<Self> {
        let exponent = value.checked_ilog10()?;
        let tenths = if exponent == 0 { value * 10 } else { value / 10u128.pow(exponent - 1) };
        Some(Self { tenths: u8::try_from(tenths).ok()?, exponent })
    }

    /// The next greater amount of two figures.
    #[must_use]
    pub const fn next(self) -> Self {
        // Amounts below ten are whole, so there the next one is ten tenths away.
        let step = if self.exponent == 0 { 10 } else { 1 };
        match self.tenths + step {
            100 => Self { tenths: 10, exponent: self.exponent + 1 },
            tenths => Self { tenths, exponent: self.exponent },
        }
    }

    /// The number that the printed form stands for; `None` beyond `u128`. What [`TwoFigures::round`] gave always fits.
    #[must_use]
    pub fn checked_value(self) -> Option<u128> {
        let tenths = u128::from(self.tenths);
        if self.exponent == 0 { Some(tenths / 10) } else { tenths.checked_mul(10u128.checked_pow(self.exponent - 1)?) }
    }

    /// Such as `2.3`.
    #[must_use]
    pub fn mantissa(self) -> String {
        format!("{}.{}", self.tenths / 10, self.tenths % 10)
    }

    /// The power of ten.
    #[must_use]
    pub const fn exponent(self) -> u32 {
        self.exponent
    }
}

impl fmt::Display for TwoFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×10^{}", self.mantissa(), self.exponent)
    }
}

/// `2.3×10^25`, and `0` for nothing.
#[must_use]
pub fn two_figures(value: u128) -> String {
    TwoFigures::round(value).map_or_else(|| "0".to_owned(), |figures| figures.to_string())
}

/// Words for the case in which the two printed figures would mislead: where comparing them says something else than
/// comparing the exact integers, the exact answer is said (COMPUTE §7: 1.04e25 prints as 1.0×10^25).
#[must_use]
pub fn exact_words(amount: Flops, threshold: Flops, compare: Compare) -> Option<&'static str> {
    let printed = |flops: Flops| {
        let rounded = TwoFigures::round(flops.0).and_then(TwoFigures::checked_value);
        rounded.filter(|_| flops.0 >= SHORT).map_or(flops, Flops)
    };
    let above = |left: Flops, right: Flops| match compare {
        Compare::Gt => left > right,
        Compare::Ge => left >= right,
    };
    let exact = above(amount, threshold);
    if exact == above(printed(amount), printed(threshold)) {
        return None;
    }
    Some(if exact { "above the threshold" } else { "not above the threshold" })
}

fn half_to_even(value: u128, scale: u128) -> u128 {
    let (quotient, rest) = (value / scale, value % scale);
    // A scale of one leaves no rest; every larger power of ten is even, so its half is exact.
    let half = scale / 2;
    let up = rest > half || (rest == half && rest > 0 && quotient % 2 == 1);
    quotient + u128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: u128) -> String {
        TwoFigures::round(value).unwrap().to_string()
    }

    #[test]
    fn ties_go_to_the_even_figure_and_nothing_is_truncated() {
        assert_eq!(printed(125), "1.2×10^2");
        assert_eq!(printed(135), "1.4×10^2");
        assert_eq!(printed(1_251), "1.3×10^3");
        assert_eq!(printed(1_250_000_000_000_000_000_000_001), "1.3×10^24");
        assert_eq!(printed(1_249_999_999_999_999_999_999_999), "1.2×10^24");
        assert_eq!(printed(994), "9.9×10^2");
        assert_eq!(printed(995), "1.0×10^3");
        assert_eq!(printed(7), "7.0×10^0");
        assert_eq!(printed(10), "1.0×10^1");
        assert_eq!(printed(99), "9.9×10^1");
        assert_eq!((TwoFigures::round(0), two_figures(0)), (None, "0".to_owned()));
    }

    #[test]
    fn the_ends_of_the_range_round_without_overflow() {
        assert_eq!(printed(u128::MAX), "3.4×10^38");
        assert_eq!(TwoFigures::round(u128::MAX).unwrap().checked_value(), Some(34 * 10u128.pow(37)));
        for value in [1, 9, 10, 11, 95, 99, 100, 101, 999, 1_000, 10u128.pow(25), 10u128.pow(38)] {
            let rounded = TwoFigures::round(value).unwrap();
            assert_eq!(TwoFigures::round(rounded.checked_value().unwrap()), Some(rounded), "{value}");
        }
    }

    #[test]
    fn the_grid_has_every_amount_between_a_floor_and_the_next() {
        for value in [1, 7, 9, 10, 99, 100, 101, 995, 999, 1_000, 123_456, 10u128.pow(25) - 1, 10u128.pow(25)] {
            let floor = TwoFigures::floor(value).unwrap();
            let (low, high) = (floor.checked_value().unwrap(), floor.next().checked_value().unwrap());
            assert!(low <= value && value < high, "{low} {value} {high}");
            assert_eq!(TwoFigures::round(high), Some(floor.next()));
        }
        // 34 × 10³⁷ fits u128, 35 × 10³⁷ does not.
        assert_eq!(TwoFigures::floor(u128::MAX).unwrap().next().checked_value(), None);
    }

    #[test]
    fn a_crossing_by_rounding_is_said_in_words() {
        let threshold = Flops(10u128.pow(25));
        let words = |amount, compare| exact_words(Flops(amount), threshold, compare);
        assert_eq!(words(104 * 10u128.pow(23), Compare::Gt), Some("above the threshold"));
        assert_eq!(words(105 * 10u128.pow(23), Compare::Gt), Some("above the threshold"));
        assert_eq!(words(106 * 10u128.pow(23), Compare::Gt), None);
        assert_eq!(words(threshold.0, Compare::Gt), None);
        assert_eq!(words(threshold.0 - 1, Compare::Gt), None);
        assert_eq!(words(threshold.0 - 1, Compare::Ge), Some("not above the threshold"));
        assert_eq!(words(threshold.0 + 1, Compare::Gt), Some("above the threshold"));
    }
}
