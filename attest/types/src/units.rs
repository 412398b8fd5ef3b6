//! **Duty.** Quantities that cannot meet by accident. FLOP are exact integers; JSON carries them as decimal strings,
//! because a 64-bit float already misses 10²⁵ (COMPUTE §1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::codec::{Canonical, CodecError, Decoder, Encoder};

/// FLOP in one GFLOP: the unit in which readings are proven.
pub const FLOP_PER_GFLOP: u128 = 1_000_000_000;

/// Arithmetic that would not be exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnitError {
    /// A sum or product left the type.
    #[error("{0} is too large to add up exactly")]
    Overflow(&'static str),
}

/// Floating-point (or integer) operations, one multiply-accumulate = 2. Unit: FLOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Flops(pub u128);

/// Whole billions of FLOP, below 2⁵⁶ in a reading. Unit: GFLOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gflop(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// Milliseconds of one device's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceMillis(pub u64);

impl Flops {
    /// Exact sum.
    ///
    /// # Errors
    /// [`UnitError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, UnitError> {
        self.0.checked_add(other.0).map(Self).ok_or(UnitError::Overflow("FLOP"))
    }

    /// Splits an amount plus a carried remainder into whole GFLOP and the new remainder (< 10⁹).
    ///
    /// # Errors
    /// [`UnitError::Overflow`] when the amount does not fit `u64` GFLOP.
    pub fn carry(self, rest: u32) -> Result<(Gflop, u32), UnitError> {
        let total = self.0.checked_add(u128::from(rest)).ok_or(UnitError::Overflow("FLOP"))?;
        let whole = u64::try_from(total / FLOP_PER_GFLOP).map_err(|_| UnitError::Overflow("GFLOP"))?;
        let rest = u32::try_from(total % FLOP_PER_GFLOP).map_err(|_| UnitError::Overflow("remainder"))?;
        Ok((Gflop(whole), rest))
    }
}

impl From<Gflop> for Flops {
    fn from(gflop: Gflop) -> Self {
        Self(u128::from(gflop.0) * FLOP_PER_GFLOP)
    }
}

impl UnixMillis {
    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for Flops {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Flops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let canonical =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if !canonical {
            return Err(D::Error::custom("FLOP are a decimal string without sign, point or exponent"));
        }
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

macro_rules! framed_unit {
    ($($type:ident),*) => {$(
        impl Canonical for $type {
            fn encode(&self, out: &mut Encoder) {
                out.put(&self.0);
            }
            fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
                Ok(Self(input.take()?))
            }
        }
    )*};
}
framed_unit!(Flops, Gflop, UnixMillis, DeviceMillis);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_carry_and_nothing_is_lost() {
        let mut rest = 0;
        let mut whole = 0u128;
        let amount = Flops(1_500_000_001);
        for _ in 0..1000 {
            let (gflop, left) = amount.carry(rest).unwrap();
            whole += u128::from(gflop.0);
            rest = left;
        }
        assert_eq!(whole * FLOP_PER_GFLOP + u128::from(rest), 1000 * amount.0);
    }

    #[test]
    fn thresholds_survive_json_exactly() {
        let value = Flops(10u128.pow(25));
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(text, "\"10000000000000000000000000\"");
        assert_eq!(serde_json::from_str::<Flops>(&text).unwrap(), value);
        assert!(serde_json::from_str::<Flops>("\"1e25\"").is_err());
        assert!(serde_json::from_str::<Flops>("\"+5\"").is_err());
    }

    #[test]
    fn a_carry_beyond_u64_gflop_is_an_error() {
        assert_eq!(Flops(u128::MAX).carry(1), Err(UnitError::Overflow("FLOP")));
        assert_eq!(Flops(u128::MAX - 5).carry(0), Err(UnitError::Overflow("GFLOP")));
    }
}
