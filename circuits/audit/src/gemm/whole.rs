//! **Duty.** What is asked of a tile as a whole: enough informative entries, and errors that are not all at the edge.
//! **Knows** judged entries. **Does not know** strips. **Spec.** CIRCUITS §5 (rule 4; the tile-level mean square).
//!
//! **Informative.** An entry counts if 20 · E ≤ the root mean square of S over its row, and over its column, in the tile;
//! an empty entry (U = 0) always counts. Entries of a row have different units, so both sides are brought to the unit
//! 2^h of that row, with h such that the row's largest |S| has 28 bits: |S| rounded down, E rounded up. Then
//! `400 · n · E² ≤ Σ S²` over n entries: all below 2⁶², and never in favour of the prover.
//!
//! **Mean square.** With r = |C − S| / E in 256ths, rounded up: `Σ r² ≤ n/3 · 2¹⁶ + 1.8 · √n · 2¹⁶` over n entries. Errors
//! spread evenly over their envelopes have the mean 1/3 and the standard deviation 0.3 / √n: the bound lies 6 of them up.

use crate::gemm::envelope::Entry;

/// Bits of the largest |S| of a line.
const LINE_BITS: i32 = 28;
/// E beyond this is far from informative: n ≤ 64 squares of 28 bits are below 2⁶², and 400 · (2³⁰)² is not.
const UNINFORMATIVE: u128 = 1 << 30;
/// 1 / (5 %)².
const INFORMATIVE_SQUARED: u128 = 400;

/// What a line of entries (a row or a column) says about each of them.
fn informative_in_line<'e>(entries: impl Iterator<Item = &'e Entry> + Clone, fraction_bits: i32) -> Vec<bool> {
    let top = |entry: &Entry| {
        let highest = i32::try_from(entry.product.sum.unsigned_abs().checked_ilog2()?).ok()?;
        Some(highest.saturating_add(entry.product.unit))
    };
    let unit = entries.clone().filter_map(top).max().map(|top| top.saturating_sub(LINE_BITS.saturating_sub(1)));
    let Some(unit) = unit else {
        // All sums are zero: there is nothing that an envelope could be small beside.
        return entries.map(Entry::is_empty).collect();
    };
    let mut squares = 0u128;
    let mut count = 0u128;
    for entry in entries.clone() {
        let sum = shifted_down(entry.product.sum.unsigned_abs(), entry.product.unit.saturating_sub(unit));
        squares = squares.saturating_add(sum.saturating_mul(sum));
        count = count.saturating_add(1);
    }
    let is_informative = |entry: &Entry| {
        let shift = entry.product.unit.saturating_sub(fraction_bits).saturating_sub(unit);
        let envelope = shifted_up(entry.envelope, shift);
        let asked = envelope.saturating_mul(envelope).saturating_mul(count).saturating_mul(INFORMATIVE_SQUARED);
        entry.is_empty() || asked <= squares
    };
    entries.map(is_informative).collect()
}

/// ⌊value · 2^shift⌋: below 2²⁸, by the choice of the unit.
fn shifted_down(value: u128, shift: i32) -> u128 {
    match u32::try_from(shift) {
        Ok(up) => value.checked_shl(up).unwrap_or_default(),
        Err(_) => value.checked_shr(shift.unsigned_abs()).unwrap_or_default(),
    }
}

/// ⌈value · 2^shift⌉, at most [`UNINFORMATIVE`].
fn shifted_up(value: u128, shift: i32) -> u128 {
    let bits = u128::BITS.saturating_sub(value.leading_zeros());
    match u32::try_from(shift) {
        Ok(up) if up.saturating_add(bits) <= 30 => value << up,
        Ok(_) if value == 0 => 0,
        Ok(_) => UNINFORMATIVE,
        Err(_) => {
            let down = shift.unsigned_abs();
            let whole = value.checked_shr(down).unwrap_or_default();
            let is_exact = whole.checked_shl(down).unwrap_or_default() == value;
            whole.saturating_add(u128::from(!is_exact)).min(UNINFORMATIVE)
        }
    }
}

/// Informative entries of a tile of `cols` columns, row by row.
pub(crate) fn informative(entries: &[Entry], cols: usize, fraction_bits: u32) -> usize {
    let fraction_bits = i32::try_from(fraction_bits).unwrap_or_default();
    let cols = cols.max(1);
    let rows = entries.chunks_exact(cols);
    let by_row: Vec<bool> = rows.flat_map(|row| informative_in_line(row.iter(), fraction_bits)).collect();
    let column = |col: usize| entries.iter().skip(col).step_by(cols);
    let by_column: Vec<Vec<bool>> = (0..cols).map(|col| informative_in_line(column(col), fraction_bits)).collect();
    let in_column = |index: usize| {
        let (row, col) = (index.checked_div(cols).unwrap_or_default(), index.checked_rem(cols).unwrap_or_default());
        by_column.get(col).and_then(|column| column.get(row)).copied().unwrap_or_default()
    };
    by_row.iter().enumerate().filter(|(index, in_row)| **in_row && in_column(*index)).count()
}

/// Greatest Σ r² of a tile with this many entries, r in 256ths.
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
    fn shifts_round_in_the_stated_direction() {
        assert_eq!((shifted_down(7, -1), shifted_down(7, 2), shifted_down(7, -200)), (3, 28, 0));
        assert_eq!((shifted_up(7, -1), shifted_up(7, 2), shifted_up(7, -200), shifted_up(0, 300)), (4, 28, 1, 0));
        assert_eq!(
            (shifted_up(1, 30), shifted_up(1, 29), shifted_up(u128::MAX, -3)),
            (UNINFORMATIVE, 1 << 29, UNINFORMATIVE)
        );
    }
}
