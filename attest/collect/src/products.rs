//! **Duty.** THE table of accelerators whose greatest rates are known, as data with sources. A product that is not here has
//! no rate: nothing is guessed. **Knows** PCI device ids. **Does not know** what a device is doing. **Spec.** COMPUTE §8, §9.

/// NVIDIA's PCI vendor id.
const NVIDIA: u16 = 0x10de;

/// One product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// PCI device id under NVIDIA's vendor id.
    pub device_id: u16,
    /// Name.
    pub name: &'static str,
    /// Streaming multiprocessors that are switched on.
    pub multiprocessors: u32,
    /// Operations of the fastest dense precision that one multiprocessor does in one clock.
    pub flop_per_clock: u32,
    /// Greatest clock of the multiprocessors, in megahertz.
    pub clock_megahertz: u32,
    /// Dense BF16 peak of the data sheet, in GFLOP per second.
    pub bf16_gflop_per_second: u32,
    /// Dense peak of the fastest precision of the data sheet, in GFLOP (or integer operations) per second.
    pub fastest_gflop_per_second: u32,
    /// Power that the board may draw, in watt.
    pub board_watt: u32,
    /// Where the numbers are from.
    pub source: &'static str,
}

/// The table, ascending by id.
pub static PRODUCTS: &[Product] = &[
    Product {
        device_id: 0x20b0,
        name: "A100 SXM4 40GB",
        multiprocessors: 108,
        flop_per_clock: 4_096,
        clock_megahertz: 1_410,
        bf16_gflop_per_second: 312_000,
        fastest_gflop_per_second: 624_000,
        board_watt: 400,
        source: "NVIDIA A100 Tensor Core GPU architecture white paper (2020), table 1; INT8 is the fastest precision",
    },
    Product {
        device_id: 0x20b2,
        name: "A100 SXM4 80GB",
        multiprocessors: 108,
        flop_per_clock: 4_096,
        clock_megahertz: 1_410,
        bf16_gflop_per_second: 312_000,
        fastest_gflop_per_second: 624_000,
        board_watt: 400,
        source: "NVIDIA A100 Tensor Core GPU architecture white paper (2020), table 1; INT8 is the fastest precision",
    },
    Product {
        device_id: 0x2330,
        name: "H100 SXM5 80GB",
        multiprocessors: 132,
        flop_per_clock: 8_192,
        clock_megahertz: 1_980,
        bf16_gflop_per_second: 989_400,
        fastest_gflop_per_second: 1_978_900,
        board_watt: 700,
        source: "NVIDIA H100 data sheet; greatest clock as the driver gives it, which is above the data sheet's 1,830 MHz",
    },
    Product {
        device_id: 0x2335,
        name: "H200 SXM 141GB",
        multiprocessors: 132,
        flop_per_clock: 8_192,
        clock_megahertz: 1_980,
        bf16_gflop_per_second: 989_400,
        fastest_gflop_per_second: 1_978_900,
        board_watt: 700,
        source: "NVIDIA H200 data sheet; greatest clock as the driver gives it",
    },
];

impl Product {
    /// The product that NVML's `pciDeviceId` names: device id above vendor id.
    #[must_use]
    pub fn of_pci(id: u32) -> Option<&'static Self> {
        let [vendor_low, vendor_high, device_low, device_high] = id.to_le_bytes();
        let vendor = u16::from_le_bytes([vendor_low, vendor_high]);
        let device = u16::from_le_bytes([device_low, device_high]);
        PRODUCTS.iter().find(|product| vendor == NVIDIA && product.device_id == device)
    }

    /// The most operations in a millisecond: the ceiling rate, not the data sheet's peak.
    #[must_use]
    pub fn most_flop_per_milli(&self) -> u64 {
        let per_clock = u64::from(self.multiprocessors).saturating_mul(u64::from(self.flop_per_clock));
        per_clock.saturating_mul(u64::from(self.clock_megahertz)).saturating_mul(1_000)
    }

    /// The most operations for a joule, at the fastest dense peak and full board power.
    #[must_use]
    pub fn most_flop_per_joule(&self) -> u64 {
        let per_second = u64::from(self.fastest_gflop_per_second).saturating_mul(1_000_000_000);
        per_second.checked_div(u64::from(self.board_watt)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ascending_and_its_ceilings_are_above_its_peaks() {
        assert!(PRODUCTS.is_sorted_by(|a, b| a.device_id < b.device_id));
        for product in PRODUCTS {
            let (ceiling, peak) = (product.most_flop_per_milli(), u64::from(product.fastest_gflop_per_second));
            // A peak in GFLOP per second is as many millions of FLOP in a millisecond.
            let peak = peak * 1_000_000;
            assert!(ceiling >= peak - peak / 1_000 && ceiling < peak + peak / 4, "{}: {ceiling} {peak}", product.name);
            assert!(product.bf16_gflop_per_second < product.fastest_gflop_per_second && !product.source.is_empty());
        }
    }

    #[test]
    fn the_ceiling_of_an_h100_is_the_verifiers() {
        let h100 = Product::of_pci(0x2330_10de).unwrap();
        assert_eq!(h100.most_flop_per_milli(), 132 * 8_192 * 1_980_000);
        assert_eq!(Product::of_pci(0x2330_1002), None);
        assert_eq!(Product::of_pci(0xffff_10de), None);
    }
}
