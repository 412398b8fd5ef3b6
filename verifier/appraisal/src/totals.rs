//! **Duty.** The inventory bound: devices × bracketed time × ceiling rate, exact and rounded up.
//! **Knows** chip families and their ceiling rates. **Does not know** where the time comes from, or any threshold.
//! **Spec.** COMPUTE §1 (integers, directed rounding), §9 (ceiling rate, device time is the currency).

use weighbridge_attest_types::{ChipFamily, Device, Flops};

use crate::check::{CheckResult, Checks, Finding};
use crate::nodes::CheckedNode;
use crate::text;

/// The greatest rate at which a family's greatest member can work, whatever the precision. The datasheet's peak is
/// lower and serves utilisation figures only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CeilingRate {
    /// As the certificate chain names it.
    chip_family: &'static str,
    multiprocessors: u64,
    /// Per multiprocessor in the fastest dense precision.
    flop_per_clock: u64,
    /// Greatest clock.
    clock_hertz: u64,
}

/// Sourced rows only (COMPUTE §9). H100 and H200 SXM: 132 SM × 8192 FLOP/clock (FP8 dense) × 1.98 GHz. GB100 has no
/// row until a measured clock is published.
const CEILING_RATES: [CeilingRate; 1] =
    [CeilingRate { chip_family: "GH100", multiprocessors: 132, flop_per_clock: 8_192, clock_hertz: 1_980_000_000 }];

const MILLIS_PER_SECOND: u128 = 1_000;

impl CeilingRate {
    /// The row of a family; `None` means that no upper bound can be given.
    pub(crate) fn of(family: &ChipFamily) -> Option<&'static Self> {
        CEILING_RATES.iter().find(|row| row.chip_family == family.0)
    }

    /// FLOP per second, exact.
    pub(crate) fn flop_per_second(&self) -> Flops {
        let product = u128::from(self.multiprocessors)
            .saturating_mul(u128::from(self.flop_per_clock))
            .saturating_mul(u128::from(self.clock_hertz));
        Flops(product)
    }

    /// The product in words.
    pub(crate) fn basis(&self) -> String {
        let Self { chip_family, multiprocessors, flop_per_clock, clock_hertz } = self;
        let rate = self.flop_per_second();
        format!("{chip_family}: {multiprocessors} SM × {flop_per_clock} FLOP/clock × {clock_hertz} Hz = {rate} FLOP/s")
    }
}

/// Says for every node whether each of its accelerators has a ceiling rate; without one the upper bound stays open.
pub(crate) fn check_rates(nodes: &[CheckedNode<'_>], checks: &mut Checks) {
    for node in nodes {
        checks.record(node.folder(), "ceiling-rate", has_rates(node));
    }
}

fn has_rates(node: &CheckedNode<'_>) -> CheckResult {
    let devices = &node.row().devices;
    let unknown = devices.iter().filter(|row| ceiling_of(node, row.device).is_none());
    let unknown: Vec<String> = unknown.map(|row| text::short(row.device)).collect();
    match (devices.is_empty(), unknown.is_empty()) {
        (true, _) => Err(Finding::unknown("this node has no accelerator: there is nothing to weigh")),
        (_, true) => Ok("the chip family of every accelerator has a ceiling rate".to_owned()),
        (_, false) => {
            let unknown = text::list(unknown);
            Err(Finding::unknown(format!("no ceiling rate is established for the chip family of {unknown}")))
        }
    }
}

/// The row of an accelerator, chosen by its certificate's chip family and never by the roster's SKU: that is the
/// operator's word.
pub(crate) fn ceiling_of(node: &CheckedNode<'_>, device: Device) -> Option<&'static CeilingRate> {
    CeilingRate::of(node.chip_family(device)?)
}

/// Most that devices of these rates can do in `millis`: Σ rate × ms / 1000, rounded up once. `None` when a rate is
/// unknown, when there is no device to weigh, or when the product leaves `u128`.
pub(crate) fn inventory_bound(rates: impl IntoIterator<Item = Option<Flops>>, millis: u64) -> Option<Flops> {
    let mut total: Option<u128> = None;
    for rate in rates {
        total = Some(total.unwrap_or_default().checked_add(rate?.0)?);
    }
    Some(Flops(total?.checked_mul(u128::from(millis))?.div_ceil(MILLIS_PER_SECOND)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GH100: u128 = 2_141_061_120_000_000;

    fn gh100() -> Option<Flops> {
        CeilingRate::of(&ChipFamily("GH100".to_owned())).map(CeilingRate::flop_per_second)
    }

    #[test]
    fn the_rate_is_the_ceiling_and_not_the_datasheet_peak() {
        assert_eq!(gh100(), Some(Flops(GH100)));
        const { assert!(GH100 > 1_978_900_000_000_000, "above FP8 of the datasheet") };
        let row = CeilingRate::of(&ChipFamily("GH100".to_owned())).unwrap();
        assert_eq!(row.basis(), "GH100: 132 SM × 8192 FLOP/clock × 1980000000 Hz = 2141061120000000 FLOP/s");
        for unknown in ["GB100", "gh100", "", "GH100 "] {
            assert_eq!(CeilingRate::of(&ChipFamily(unknown.to_owned())), None, "{unknown}");
        }
    }

    /// COMPUTE §6: 6,000 H100 × 30 days are 1.5387e25 at the BF16 peak; at the ceiling rate 2.164× as much, exactly.
    #[test]
    fn six_thousand_devices_for_thirty_days() {
        let millis = 30 * 24 * 3_600 * 1_000;
        let bound = inventory_bound(std::iter::repeat_n(gh100(), 6_000), millis).unwrap();
        assert_eq!(bound, Flops(33_297_782_538_240_000_000_000_000));
        assert_eq!(bound.0, 6_000 * GH100 * 30 * 24 * 3_600);
    }

    #[test]
    fn a_fraction_is_rounded_up_once_over_all_devices() {
        // 3 × 7 FLOP/s over 1 ms are 0.021 FLOP: at most one, not three.
        assert_eq!(inventory_bound(vec![Some(Flops(7)); 3], 1), Some(Flops(1)));
        assert_eq!(inventory_bound([Some(Flops(1_000))], 1), Some(Flops(1)));
        assert_eq!(inventory_bound([Some(Flops(1_001))], 1), Some(Flops(2)));
        assert_eq!(inventory_bound([Some(Flops(1_000))], 0), Some(Flops(0)));
    }

    #[test]
    fn one_unknown_device_or_none_at_all_leaves_no_bound() {
        assert_eq!(inventory_bound([gh100(), None], 1), None);
        assert_eq!(inventory_bound([], 1), None);
        assert_eq!(inventory_bound([Some(Flops(u128::MAX))], 2), None);
        assert_eq!(inventory_bound([Some(Flops(u128::MAX)), Some(Flops(1))], 1), None);
    }

    proptest! {
        #[test]
        fn the_bound_is_never_below_the_exact_product_and_less_than_one_above(
            rate in 0u128..1 << 58, devices in 1usize..64, millis in 0u64..1 << 60,
        ) {
            let bound = inventory_bound(vec![Some(Flops(rate)); devices], millis).unwrap().0;
            let exact = rate * devices as u128 * u128::from(millis);
            prop_assert!(bound * 1_000 >= exact);
            prop_assert!(bound * 1_000 < exact + 1_000);
        }
    }
}
