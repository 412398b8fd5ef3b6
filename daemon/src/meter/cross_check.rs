//! **Duty.** The triangle: what the job declares, what counters saw, what the energy allows. Corners that do not fit are
//! flags for people, never verdicts. **Knows** three numbers and their bases. **Does not know** who is right.
//! **Spec.** COMPUTE §8 (cross-check triangle).

use serde::Serialize;

const FLOP_PER_GFLOP: u128 = 1_000_000_000;
/// Recomputation explains counters up to this much above the declaration (COMPUTE §8: 1.0 to 1.6), in tenths.
const EXPLAINED_TENTHS: u128 = 16;
/// The energy counter misses up to this part of run time, so that energy alone says "impossible" only above it, in tenths.
const ENERGY_TENTHS: u128 = 13;

/// What does not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// More is declared than the tensor pipes were in use for: an over-claim, or counters that miss work.
    DeclaredAboveCounters,
    /// The pipes were in use for far more than is declared: work outside of the run, or heavy recomputation.
    CountersAboveDeclared,
    /// More is declared than the devices could do in the time.
    DeclaredAboveCeiling,
    /// More is declared than the energy allows at the best rate: an over-claim, or a counter that was held down.
    DeclaredAboveEnergy,
}

/// The corners, as far as they are known.
pub(super) struct Corners {
    /// Counted by the committed rule; the job's word.
    pub(super) declared_gflop: u64,
    /// Executed, at most; the driver's word.
    pub(super) metered_gflop: Option<u64>,
    /// The driver's word.
    pub(super) energy_joule: Option<u64>,
    /// Of all devices together.
    pub(super) device_millis: u64,
    /// Of the fastest device.
    pub(super) most_flop_per_milli: Option<u64>,
    /// Of the thriftiest device.
    pub(super) most_flop_per_joule: Option<u64>,
}

impl Corners {
    pub(super) fn flags(&self) -> Vec<Flag> {
        let declared = u128::from(self.declared_gflop).saturating_mul(FLOP_PER_GFLOP);
        let mut flags = Vec::new();
        if let Some(metered) = self.metered_gflop {
            let metered = u128::from(metered).saturating_mul(FLOP_PER_GFLOP);
            let explained = declared.saturating_mul(EXPLAINED_TENTHS);
            flags.extend((declared > metered).then_some(Flag::DeclaredAboveCounters));
            flags.extend((metered.saturating_mul(10) > explained).then_some(Flag::CountersAboveDeclared));
        }
        if let Some(most) = self.most_flop_per_milli {
            let ceiling = u128::from(self.device_millis).saturating_mul(u128::from(most));
            flags.extend((declared > ceiling).then_some(Flag::DeclaredAboveCeiling));
        }
        if let (Some(joule), Some(most)) = (self.energy_joule, self.most_flop_per_joule) {
            let allowed = u128::from(joule).saturating_mul(u128::from(most)).saturating_mul(ENERGY_TENTHS);
            flags.extend((declared.saturating_mul(10) > allowed).then_some(Flag::DeclaredAboveEnergy));
        }
        flags
    }
}

impl Flag {
    /// Its name in messages and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeclaredAboveCounters => "declared-above-counters",
            Self::CountersAboveDeclared => "counters-above-declared",
            Self::DeclaredAboveCeiling => "declared-above-ceiling",
            Self::DeclaredAboveEnergy => "declared-above-energy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One H100 for one minute, its tensor pipes in use for two fifths of it, at full power.
    fn honest() -> Corners {
        Corners {
            declared_gflop: 40_000_000,
            metered_gflop: Some(51_000_000),
            energy_joule: Some(42_000),
            device_millis: 60_000,
            most_flop_per_milli: Some(2_141_000_000_000),
            most_flop_per_joule: Some(2_827_000_000_000),
        }
    }

    #[test]
    fn corners_that_fit_raise_no_flag_and_neither_do_corners_that_are_not_known() {
        assert_eq!(honest().flags(), []);
        let unknown = Corners {
            metered_gflop: None,
            energy_joule: None,
            most_flop_per_milli: None,
            most_flop_per_joule: None,
            ..honest()
        };
        assert_eq!(Corners { declared_gflop: u64::MAX, ..unknown }.flags(), []);
    }

    #[test]
    fn each_corner_that_does_not_fit_raises_its_flag() {
        let flags = |change: fn(&mut Corners)| {
            let mut corners = honest();
            change(&mut corners);
            corners.flags()
        };
        assert_eq!(flags(|corners| corners.declared_gflop = 51_000_001), [Flag::DeclaredAboveCounters]);
        assert_eq!(flags(|corners| corners.declared_gflop = 31_000_000), [Flag::CountersAboveDeclared]);
        assert_eq!(flags(|corners| corners.energy_joule = Some(10_000)), [Flag::DeclaredAboveEnergy]);
        assert_eq!(flags(|corners| corners.device_millis = 18_000), [Flag::DeclaredAboveCeiling]);
    }
}
