//! **Duty.** Judges all tiles of a product and counts the verdicts. **Knows** the tile check's answer. **Does not know**
//! what it ought to be.

use std::collections::BTreeMap;

use weighbridge_audit::{
    ErrorModel, Format, OperationPolicy, TileDoubt, TileRefusal, TileTotals, TileVerdict, check_tile,
};

use super::MatrixProduct;

/// Verdicts over many tiles.
#[derive(Debug, Clone, Default)]
pub struct Count {
    /// Sums of facts, and verdicts.
    pub totals: TileTotals,
    /// Entries outside of their envelopes, of refused tiles.
    pub outside: u64,
    /// Entries of all tiles.
    pub all_entries: u64,
    /// Refused and not proven, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

/// The default policy over the formats of a product, or the order-free one with κ = 1.
///
/// # Panics
/// Never: both are in range.
#[must_use]
pub fn policy_of(product: &MatrixProduct, is_order_free: bool) -> OperationPolicy {
    let policy = OperationPolicy::of(product.a.format, product.c.format);
    if is_order_free { policy.with_model(ErrorModel::OrderFree, 1).expect("in range") } else { policy }
}

impl Count {
    /// Adds the verdicts about all tiles of one side.
    pub fn add(&mut self, product: &MatrixProduct, side: usize, policy: &OperationPolicy) {
        for place in product.places(side) {
            let (a, b, c) = product.tile(side, place);
            self.all_entries += (c.rows() * c.cols()) as u64;
            let verdict = check_tile(&a, &b, &c, policy);
            self.totals.add(&verdict);
            let reason = match verdict {
                TileVerdict::Accepted(_) => continue,
                TileVerdict::Refused(TileRefusal::Outside { outside, .. }) => {
                    self.outside += outside as u64;
                    "outside"
                }
                TileVerdict::Refused(_) => "malformed",
                TileVerdict::NotProven(TileDoubt::Cut { .. }) => "cut",
                TileVerdict::NotProven(TileDoubt::Uninformative { .. }) => "uninformative",
                TileVerdict::NotProven(_) => "mean square",
            };
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        let (ours, theirs) = (&mut self.totals, &other.totals);
        ours.tiles += theirs.tiles;
        ours.accepted += theirs.accepted;
        ours.refused += theirs.refused;
        ours.not_proven += theirs.not_proven;
        ours.wide += theirs.wide;
        ours.entries += theirs.entries;
        ours.informative += theirs.informative;
        ours.empty += theirs.empty;
        ours.zeros += theirs.zeros;
        ours.operand_entries += theirs.operand_entries;
        ours.repeated += theirs.repeated;
        ours.worst = ours.worst.max(theirs.worst);
        ours.squares += theirs.squares;
        ours.signed += theirs.signed;
        ours.outward += theirs.outward;
        self.outside += other.outside;
        self.all_entries += other.all_entries;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }

    /// Mean of (|C − S| / E)² over the entries of accepted tiles.
    #[must_use]
    pub fn mean_square(&self) -> f64 {
        self.totals.squares as f64 / 65_536.0 / (self.totals.entries.max(1)) as f64
    }
}

/// A short name of a pair of formats.
#[must_use]
pub fn formats(operands: Format, output: Format) -> String {
    format!("{operands} → {output}")
}
