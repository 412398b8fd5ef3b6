//! **Duty.** Amounts as people read them: exact integers in groups of three, and two significant figures.
//! **Knows** integers only: a float already misses 10²⁵. **Does not know** markup. **Spec.** COMPUTE §1 and §7.

use std::fmt;

use weighbridge_attest_types::{Flops, TwoFigures};

/// Below this an exact integer is shorter than its rounded form.
const SHORT: u128 = 10_000;

/// An amount in both spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Groups of three.
    pub(crate) exact: String,
    /// Two significant figures; `None` where the exact integer is as short.
    pub(crate) rounded: Option<TwoFigures>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_survive_printing() {
        for exponent in 17..=38 {
            let value = 10u128.pow(exponent);
            assert_eq!(TwoFigures::round(value).unwrap().checked_value(), Some(value));
        }
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
