//! **Duty.** Totals over all drawn tiles: verdicts, zeros and repeats, and on which side errors lie. **Knows** facts of
//! tiles. **Does not know** which tiles they were. **Spec.** PROTOCOL §1 (statistics on zeros and repeats); CIRCUITS §5
//! (signed residuals aggregated over all draws).

use crate::gemm::{TileFacts, TileVerdict};

/// Counts of all tiles of a sample; nothing is left out of `tiles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TileTotals {
    /// Tiles that were judged.
    pub tiles: u64,
    /// Those that passed.
    pub accepted: u64,
    /// Those that were not computed right.
    pub refused: u64,
    /// Those about which too little is known.
    pub not_proven: u64,
    /// Accepted tiles that needed two windows.
    pub wide: u64,
    /// Outputs of accepted tiles.
    pub entries: u64,
    /// Outputs with an envelope of at most a tenth of their sum.
    pub informative: u64,
    /// Outputs that are a sum of nothing but zeros.
    pub empty: u64,
    /// Zeros among the operands' entries.
    pub zeros: u64,
    /// The operands' entries.
    pub operand_entries: u64,
    /// Rows and columns that stood earlier in their strip.
    pub repeated: u64,
    /// Greatest |C − S| / E, in 256ths.
    pub worst: u32,
    /// Σ (|C − S| / E)², in 2⁻¹⁶.
    pub squares: u64,
    /// Σ (C − S) / E, in 256ths.
    pub signed: i64,
    /// Σ ± |C − S| / E, positive away from zero, in 256ths.
    pub outward: i64,
}

/// Rounding to nearest has no side; but an envelope grows with |C|, so that errors away from zero count for a little less:
/// below 1/256 of E for bf16. What leans by more than this many 256ths of E per entry is something else.
const LEANING: i64 = 4;
/// And by more standard deviations than this.
const DEVIATIONS: u64 = 6;

impl TileTotals {
    /// Adds one verdict.
    pub fn add(&mut self, verdict: &TileVerdict) {
        self.tiles = self.tiles.saturating_add(1);
        match verdict {
            TileVerdict::Accepted(facts) => self.add_facts(facts),
            TileVerdict::Refused(_) => self.refused = self.refused.saturating_add(1),
            TileVerdict::NotProven(_) => self.not_proven = self.not_proven.saturating_add(1),
        }
    }

    fn add_facts(&mut self, facts: &TileFacts) {
        let add = |total: &mut u64, count: u32| *total = total.saturating_add(u64::from(count));
        add(&mut self.accepted, 1);
        add(&mut self.wide, u32::from(facts.is_wide));
        add(&mut self.entries, facts.entries);
        add(&mut self.informative, facts.informative);
        add(&mut self.empty, facts.empty);
        add(&mut self.zeros, facts.left_zeros);
        add(&mut self.zeros, facts.right_zeros);
        add(&mut self.operand_entries, facts.left_entries);
        add(&mut self.operand_entries, facts.right_entries);
        add(&mut self.repeated, facts.repeated_rows);
        add(&mut self.repeated, facts.repeated_columns);
        self.worst = self.worst.max(facts.worst);
        self.squares = self.squares.saturating_add(facts.squares);
        self.signed = self.signed.saturating_add(facts.signed);
        self.outward = self.outward.saturating_add(facts.outward);
    }

    /// Whether errors lie on one side as rounding to nearest does not leave them: up or down, or away from zero or towards
    /// it. A finding to look into, and no refusal: kernels that truncate are honest too.
    #[must_use]
    pub fn leans(&self) -> bool {
        let spread = self.squares.isqrt().saturating_mul(DEVIATIONS);
        // An empty output has no error, and so no part in what the others may have.
        let filled = self.entries.saturating_sub(self.empty);
        let entries = i64::try_from(filled).unwrap_or(i64::MAX);
        let most = i64::try_from(spread).unwrap_or(i64::MAX).saturating_add(entries.saturating_mul(LEANING));
        [self.signed, self.outward].iter().any(|sum| sum.saturating_abs() > most)
    }
}
