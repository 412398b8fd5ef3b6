//! **Duty.** The private reading of one interval. Absent is not zero: which components are present is public, and a sum
//! over an absent component is refused. **Spec.** PROTOCOL §3.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{Canonical, CodecError, Decoder, Encoder};
use crate::units::FLOP_PER_GFLOP;

/// Every component is below this, so that x and x + p can never be confused in the field.
pub const MAX_READING: u64 = 1 << 56;
/// Presence bit of the declared FLOP.
pub const PRESENT_DECLARED: u8 = 1;
/// Presence bit of the metered FLOP (counter tier).
pub const PRESENT_METERED: u8 = 2;
/// Presence bit of the energy counter.
pub const PRESENT_ENERGY: u8 = 4;

/// A reading that no interval can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadingError {
    /// A component is 2⁵⁶ or more.
    #[error("reading component {0} is 2^56 or more")]
    TooLarge(&'static str),
    /// The carried remainder is a whole GFLOP or more.
    #[error("carried remainder is 10^9 FLOP or more")]
    RestTooLarge,
}

/// Which components of a reading were measured or declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Presence(u8);

impl Presence {
    /// From bits; `None` when a bit has no meaning.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !(PRESENT_DECLARED | PRESENT_METERED | PRESENT_ENERGY) == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether declared FLOP are present.
    #[must_use]
    pub const fn declared(self) -> bool {
        self.0 & PRESENT_DECLARED != 0
    }
}

/// What one node's interval weighed. Never leaves the operator, and so is not printed by `Debug` either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reading {
    declared_gflop: u64,
    declared_rest: u32,
    metered_gflop: u64,
    energy_joule: u64,
}

impl Reading {
    /// A reading within bounds. `declared_rest` is the remainder carried *out* of this interval, in FLOP.
    ///
    /// # Errors
    /// [`ReadingError`].
    pub fn new(
        declared_gflop: u64,
        declared_rest: u32,
        metered_gflop: u64,
        energy_joule: u64,
    ) -> Result<Self, ReadingError> {
        let components =
            [("declared_gflop", declared_gflop), ("metered_gflop", metered_gflop), ("energy_joule", energy_joule)];
        for (name, value) in components {
            if value >= MAX_READING {
                return Err(ReadingError::TooLarge(name));
            }
        }
        if u128::from(declared_rest) >= FLOP_PER_GFLOP {
            return Err(ReadingError::RestTooLarge);
        }
        Ok(Self { declared_gflop, declared_rest, metered_gflop, energy_joule })
    }

    /// Declared GFLOP completed in this interval, remainder carried in included.
    #[must_use]
    pub const fn declared_gflop(self) -> u64 {
        self.declared_gflop
    }

    /// Remainder carried out, in FLOP, below 10⁹.
    #[must_use]
    pub const fn declared_rest(self) -> u32 {
        self.declared_rest
    }

    /// The four components in the order in which they are hashed.
    #[must_use]
    pub fn elements(self) -> [u64; 4] {
        [self.declared_gflop, u64::from(self.declared_rest), self.metered_gflop, self.energy_joule]
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading(private)")
    }
}

impl Canonical for Presence {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Self::from_bits(input.take()?).ok_or(CodecError::NotCanonical("presence bits"))
    }
}

impl Canonical for Reading {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.declared_gflop).put(&self.declared_rest).put(&self.metered_gflop).put(&self.energy_joule);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Self::new(input.take()?, input.take()?, input.take()?, input.take()?)
            .map_err(|_| CodecError::NotCanonical("reading"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_at_the_bound_is_refused() {
        assert!(Reading::new(MAX_READING - 1, 999_999_999, 0, 0).is_ok());
        assert_eq!(Reading::new(MAX_READING, 0, 0, 0), Err(ReadingError::TooLarge("declared_gflop")));
        assert_eq!(Reading::new(0, 1_000_000_000, 0, 0), Err(ReadingError::RestTooLarge));
        assert_eq!(Presence::from_bits(8), None);
    }
}
