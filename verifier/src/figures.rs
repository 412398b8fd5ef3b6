//! **Duty.** Amounts as people read them: exact integers in groups of three, and two significant figures.
//! **Knows** integers only: a float already misses 10²⁵. **Does not know** markup. **Spec.** COMPUTE §1 and §7.

use std::fmt;

use weighbridge_attest_types::{Compare, Flops};

/// Below this an exact integer is shorter than its rounded form.
const SHORT: u128 = 10_000;

/// A positive amount rounded half to even to two significant figures: `tenths/10 × 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TwoFigures {
    tenths: u8,
    exponent: u32,
}

/// An amount in both spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Groups of three.
    pub(crate) exact: String,
    /// Two significant figures; `None` where the exact integer is as short.
    pub(crate) rounded: Option<TwoFigures>,
}

impl TwoFigures {
    /// Rounds; `None` for zero, which has no significant figure.
    #[must_use]
    pub(crate) fn round(value: u128) -> Option<Self> {
        let exponent = value.checked_ilog10()?;
        let tenths = if exponent == 0 { value * 10 } else { half_to_even(value, 10u128.pow(exponent - 1)) };
        // 99.5 and more carry into the next power of ten.
        let (tenths, exponent) = if tenths == 100 { (10, exponent + 1) } else { (tenths, exponent) };
        Some(Self { tenths: u8::try_from(tenths).ok()?, exponent })
    }

    /// The number that the printed form stands for. It always fits: the largest `u128` rounds down.
    #[must_use]
    pub(crate) fn value(self) -> u128 {
        let tenths = u128::from(self.tenths);
        if self.exponent == 0 { tenths / 10 } else { tenths * 10u128.pow(self.exponent - 1) }
    }

    /// Such as `2.3`.
    #[must_use]
    pub(crate) fn mantissa(self) -> String {
        format!("{}.{}", self.tenths / 10, self.tenths % 10)
    }

    /// The power of ten.
    #[must_use]
    pub(crate) const fn exponent(self) -> u32 {
        self.exponent
    }
}

impl Amount {
    /// Both spellings of an amount.
    #[must_use]
    pub(crate) fn of(flops: Flops) -> Self {
        let rounded = if flops.0 < SHORT { None } else { TwoFigures::round(flops.0) };
        Self { exact: grouped(flops.0), rounded }
    }

    /// Such as `2.3`, or the whole exact integer.
    #[must_use]
    pub(crate) fn mantissa(&self) -> String {
        self.rounded.map_or_else(|| self.exact.clone(), TwoFigures::mantissa)
    }

    /// The power of ten, where there is one.
    #[must_use]
    pub(crate) fn exponent(&self) -> Option<u32> {
        self.rounded.map(TwoFigures::exponent)
    }
}

impl fmt::Display for TwoFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×10^{}", self.mantissa(), self.exponent)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rounded {
            Some(rounded) => rounded.fmt(f),
            None => f.write_str(&self.exact),
        }
    }
}

/// `1234567` as `1,234,567`.
#[must_use]
pub(crate) fn grouped(value: u128) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Words for the case in which the two printed figures would mislead: where comparing them says something else than
/// comparing the exact integers, the exact answer is said (COMPUTE §7: 1.04e25 prints as 1.0×10^25).
#[must_use]
pub(crate) fn exact_words(amount: Flops, threshold: Flops, compare: Compare) -> Option<&'static str> {
    let printed = |flops: Flops| Amount::of(flops).rounded.map_or(flops, |rounded| Flops(rounded.value()));
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

/// A length of time such as `2 h 03 min 04.5 s`; whole units only, nothing is rounded away.
#[must_use]
pub(crate) fn duration(millis: u64) -> String {
    let (hours, minutes, seconds, rest) =
        (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60, millis % 1_000);
    let fraction = match rest {
        0 => String::new(),
        _ => format!(".{rest:03}").trim_end_matches('0').to_owned(),
    };
    if hours > 0 {
        format!("{} h {minutes:02} min {seconds:02}{fraction} s", grouped(u128::from(hours)))
    } else if minutes > 0 {
        format!("{minutes} min {seconds:02}{fraction} s")
    } else {
        format!("{seconds}{fraction} s")
    }
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
        assert_eq!(TwoFigures::round(0), None);
    }

    #[test]
    fn the_ends_of_the_range_round_without_overflow() {
        assert_eq!(printed(u128::MAX), "3.4×10^38");
        assert_eq!(TwoFigures::round(u128::MAX).unwrap().value(), 34 * 10u128.pow(37));
        for value in [1, 9, 10, 11, 95, 99, 100, 101, 999, 1_000, 10u128.pow(25), 10u128.pow(38)] {
            let rounded = TwoFigures::round(value).unwrap();
            assert_eq!(TwoFigures::round(rounded.value()), Some(rounded), "{value}");
        }
    }

    #[test]
    fn thresholds_survive_printing() {
        for exponent in 17..=38 {
            let value = 10u128.pow(exponent);
            assert_eq!(TwoFigures::round(value).unwrap().value(), value);
        }
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

    #[test]
    fn small_amounts_stay_exact() {
        assert_eq!(Amount::of(Flops(0)).to_string(), "0");
        assert_eq!(Amount::of(Flops(9_999)).to_string(), "9,999");
        assert_eq!(Amount::of(Flops(10_000)).to_string(), "1.0×10^4");
        assert_eq!(Amount::of(Flops(10u128.pow(25))).exact, "10,000,000,000,000,000,000,000,000");
    }

    #[test]
    fn durations_keep_every_millisecond() {
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(1_500), "1.5 s");
        assert_eq!(duration(61_001), "1 min 01.001 s");
        assert_eq!(duration(3_600_000 * 1_234 + 62_000), "1,234 h 01 min 02 s");
    }
}
