//! **Duty.** `--max-rate`: bytes a second, as people write them. **Does not know** the clock.

use std::num::NonZeroU64;
use std::str::FromStr;

use crate::clock::Pace;

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate(NonZeroU64);

const UNITS: [(&str, u64); 5] =
    [("kB/s", 1_000), ("MB/s", 1_000_000), ("GB/s", 1_000_000_000), ("TB/s", 1_000_000_000_000), ("B/s", 1)];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = UNITS.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)));
        let (number, unit) = found.ok_or("a rate is a whole number and kB/s, MB/s or GB/s, such as 500MB/s")?;
        let number: u64 = number.trim_end().parse().map_err(|_| "the rate is no whole number")?;
        let bytes = number.checked_mul(unit).and_then(NonZeroU64::new);
        bytes.map(Self).ok_or_else(|| "the rate is zero or too large".to_owned())
    }
}

impl Rate {
    pub(super) fn pace(self) -> Pace {
        Pace::new(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_whole_numbers_with_a_unit() {
        let rate = |text: &str| text.parse::<Rate>().map(|Rate(bytes)| bytes.get());
        assert_eq!((rate("500MB/s"), rate("2 GB/s"), rate("7B/s")), (Ok(500_000_000), Ok(2_000_000_000), Ok(7)));
        for wrong in ["", "500", "MB/s", "0MB/s", "-1MB/s", "1.5GB/s", "500mb/s", "99999999999TB/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
