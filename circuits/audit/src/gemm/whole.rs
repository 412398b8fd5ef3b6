//! **Duty.** What is asked of a tile as a whole: enough informative entries, and errors that are not all at the edge.
//! **Knows** judged entries. **Does not know** strips. **Spec.** CIRCUITS §5 (rule 4; the tile-level mean square);
//! decision 0045.
//!
//! **Informative.** An entry counts if `10 · E ≤ |S|`: its own envelope beside its own sum, and nobody else's. Where it
//! holds, C is the product within a tenth. Half of the entries must, of those that are not empty: an entry of nothing but
//! zeros (U = 0) is exact and shows nothing about the others.
//!
//! **Mean square.** With r = |C − S| / E in 256ths, rounded up: `Σ r² ≤ n/3 · 2¹⁶ + 1.8 · √n · 2¹⁶` over the n informative
//! entries. Errors spread evenly over their envelopes have the mean 1/3 and the standard deviation 0.3 / √n: the bound lies
//! 6 of them up. What is exact or wide by itself would thin out the others' errors, and is left out on both sides.

use crate::gemm::envelope::Entry;

/// What the entries of a tile show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Whole {
    /// Entries with an envelope small beside their sum.
    pub(crate) informative: usize,
    /// Entries that add up anything but zeros.
    pub(crate) filled: usize,
    /// Σ r² of the informative ones.
    pub(crate) squares: u64,
}

impl Whole {
    pub(crate) fn of(entries: &[Entry], fraction_bits: u32) -> Self {
        let mut whole = Self::default();
        for entry in entries.iter().filter(|entry| !entry.is_empty()) {
            whole.filled = whole.filled.saturating_add(1);
            if entry.is_informative(fraction_bits) {
                let residual = u64::from(entry.residual());
                whole.informative = whole.informative.saturating_add(1);
                whole.squares = whole.squares.saturating_add(residual.saturating_mul(residual));
            }
        }
        whole
    }

    /// Rule 4. A tile of nothing but zeros is exact, and has nothing that could be uninformative.
    pub(crate) const fn is_informative(&self) -> bool {
        self.informative.saturating_mul(2) >= self.filled
    }
}

/// Greatest Σ r² over this many informative entries, r in 256ths.
pub(crate) fn mean_square_bound(entries: usize) -> u64 {
    // 1.8 · 2¹⁶, rounded down.
    const SPREAD: u64 = 117_964;
    let entries = entries as u64;
    let third = entries.saturating_mul(1 << 16).checked_div(3).unwrap_or_default();
    third.saturating_add(SPREAD.saturating_mul((entries << 16).isqrt()) >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_mean_square_narrows_with_the_number_of_entries() {
        let mean = |entries: usize| mean_square_bound(entries) as f64 / 65_536.0 / entries as f64;
        for (entries, expected) in [(16, 0.783), (256, 0.446), (1024, 0.390), (4096, 0.361)] {
            assert!((mean(entries) - expected).abs() < 0.001, "{entries}: {}", mean(entries));
        }
        // Fewer than 8 entries are bounded by the envelope alone.
        assert!(mean(7) > 1.0 && mean(8) < 1.0);
    }

    #[test]
    fn a_tile_of_nothing_but_zeros_asks_for_nothing() {
        assert!(Whole::default().is_informative());
        let one = |informative| Whole { informative, filled: 3, squares: 0 };
        assert!(one(2).is_informative() && !one(1).is_informative());
    }
}
