//! **Duty.** What a sample says about the whole: the one formula of an audit, and what goes beside it.
//! **Knows** counts. **Does not know** tiles, trees or challenges. **Spec.** PROTOCOL §1, §5; TRAINING §7; decision 0048.
//!
//! **The formula.** Windows close at or before a cap F of declared weight, each gets the same number k of draws in
//! proportion to weight, and f of all draws of all windows fail. Then with confidence 1 − δ the false weight of the whole
//! run is at most `F · U / k`.
//!
//! **Which U.** For a number f of failures that was fixed before, U_f is the least U with `Σ_{i ≤ f} e^−U · U^i / i! ≤ δ`:
//! 3.00, 4.74, 6.30 for f = 0, 1, 2 at 95 % ([`poisson_upper`]). But f is what came out, and a prover hears each outcome
//! before the next window: who cheats until the false weight passes U_f for the f so far, and then stops, makes the claim
//! false far more often than δ. So every f gets a part of δ, `δ_f = δ / ((f + 1)(f + 2))`, whose sum over all f is δ, and
//! an allowance is `F · U_f(δ_f) / k`: 3.69, 6.85, 9.50 at 95 % ([`adaptive_upper`]). Whenever the prover stops, the
//! claim of one f is false: that the false weight passed U_f with f failures or fewer, which is as rare as δ_f.
//!
//! Failures are binomial in many small trials; while U_f ≥ f + 1 their tail lies below Poisson's (Hoeffding 1956; Anderson
//! and Samuels 1967), and a δ for which it does not is refused.
//!
//! **Rounding.** U in millionths, upwards; the allowance upwards; the lower figure and the share downwards. Whatever is
//! unanswered, late, refused or not proven is a failure. A draw is never made again.

mod detection;
mod operands;
mod tiles;
mod up;

pub use detection::{Sequential, SequentialTest, bad_share_upper, draws_to_detect, draws_to_detect_share};
pub use operands::{DrawnOperands, OperandCounts, VectorPlace};
pub use tiles::TileTotals;

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Flops};

use crate::flop_tree::Weight;
use crate::statistics::up::Up;

const MILLION: u64 = 1_000_000;
/// Failures beyond this leave nothing to say: U would be above 1,000.
pub const MAX_FAILURES: u32 = 1_000;
/// U is looked for below this, in millionths.
const MAX_U: u64 = 2_000 * MILLION;

/// A probability of being wrong, in millionths: 50,000 for 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Risk(u32);

/// What cannot be concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// A risk of nothing, or of more than 30 %: then U_0 < 1.
    #[error("a risk of {0} millionths; it must be 1 to 300,000")]
    Risk(u32),
    /// Parts of a risk that come to more than the whole.
    #[error("parts of the risk come to {parts} millionths; the whole is {whole}")]
    Split {
        /// Their sum.
        parts: u64,
        /// The whole.
        whole: u32,
    },
    /// No draw.
    #[error("nothing was drawn, so nothing follows")]
    NoDraws,
    /// More failures than draws, or than can be reckoned with.
    #[error("{failures} failures of {draws} draws")]
    Failures {
        /// How many failed.
        failures: u32,
        /// Of how many.
        draws: u32,
    },
    /// The tail bound does not hold for this risk and number of failures.
    #[error("with {failures} failures a risk of {risk} millionths bounds nothing: U is below {}", failures.saturating_add(1))]
    TailBound {
        /// Failures.
        failures: u32,
        /// δ.
        risk: u32,
    },
}

impl StatisticsError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Risk(_) | Self::Split { .. } => Culprit::Malformed,
            _ => Culprit::Rejected,
        }
    }
}

impl Risk {
    /// 5 %: 95 % confidence.
    pub const FIVE_PERCENT: Self = Self(50_000);
    /// 1 %: 99 % confidence.
    pub const ONE_PERCENT: Self = Self(10_000);

    /// A risk in millionths.
    ///
    /// # Errors
    /// [`StatisticsError::Risk`].
    pub fn new(millionths: u32) -> Result<Self, StatisticsError> {
        if (1..=300_000).contains(&millionths) { Ok(Self(millionths)) } else { Err(StatisticsError::Risk(millionths)) }
    }

    /// In millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Whether parts come to no more than the whole: what several strata say then holds at once.
    ///
    /// # Errors
    /// [`StatisticsError::Split`].
    pub fn check_split(self, parts: impl IntoIterator<Item = Self>) -> Result<(), StatisticsError> {
        let parts = parts.into_iter().fold(0u64, |sum, part| sum.saturating_add(u64::from(part.0)));
        if parts <= u64::from(self.0) { Ok(()) } else { Err(StatisticsError::Split { parts, whole: self.0 }) }
    }

    /// Confidence in percent, as people write it: `95`, `99`, `97.5`.
    #[must_use]
    pub fn confidence(self) -> String {
        let left = 1_000_000u32.saturating_sub(self.0);
        let (percent, rest) =
            (left.checked_div(10_000).unwrap_or_default(), left.checked_rem(10_000).unwrap_or_default());
        let text = format!("{percent}.{rest:04}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// U_f in millionths, rounded up, for a number of failures that was fixed before anything was drawn. What came out of draws
/// is [`adaptive_upper`]'s.
///
/// # Errors
/// [`StatisticsError::Failures`] beyond [`MAX_FAILURES`]; [`StatisticsError::TailBound`].
pub fn poisson_upper(risk: Risk, failures: u32) -> Result<u64, StatisticsError> {
    upper(risk, failures, 1)
}

/// U_f at `δ / ((f + 1)(f + 2))` in millionths, rounded up: whatever f comes out, of a prover who hears every outcome and
/// may stop at any of them.
///
/// # Errors
/// [`StatisticsError::Failures`] beyond [`MAX_FAILURES`].
pub fn adaptive_upper(risk: Risk, failures: u32) -> Result<u64, StatisticsError> {
    let next = u64::from(failures).saturating_add(1);
    upper(risk, failures, next.saturating_mul(next.saturating_add(1)))
}

/// U_f at δ / `parts`.
fn upper(risk: Risk, failures: u32, parts: u64) -> Result<u64, StatisticsError> {
    if failures > MAX_FAILURES {
        return Err(StatisticsError::Failures { failures, draws: failures });
    }
    // At most 10⁶ · 1,001 · 1,002.
    let whole = MILLION.saturating_mul(parts);
    let holds = |micros: u64| {
        let mut term = Up::exp_of_minus(micros);
        let mut tail = term;
        for i in 1..=u64::from(failures) {
            term = term.times(Up::ratio(micros, i.saturating_mul(MILLION)));
            tail = tail.plus(term);
        }
        tail.is_at_most(u64::from(risk.0), whole)
    };
    let upper = least(0, MAX_U, holds).unwrap_or(MAX_U);
    if upper < u64::from(failures).saturating_add(1).saturating_mul(MILLION) {
        return Err(StatisticsError::TailBound { failures, risk: risk.0 });
    }
    Ok(upper)
}

/// The least number in a range for which something holds that holds for all greater ones.
fn least(from: u64, to: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (from, to);
    if !holds(high) {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    Some(high)
}

/// All draws of one stratum over all windows of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StratumOutcome {
    /// What was drawn in proportion to.
    pub weight: Weight,
    /// F: most weight of a window.
    pub cap: u128,
    /// k: draws of each window.
    pub draws: u32,
    /// Windows.
    pub windows: u32,
    /// Draws of all windows that did not pass.
    pub failures: u32,
    /// Its part of δ.
    pub risk: Risk,
}

impl StratumOutcome {
    /// Most weight that can be false, however the prover went on after each outcome: ⌈F · U_f(δ_f) / k⌉.
    ///
    /// # Errors
    /// [`StatisticsError`].
    pub fn allowance(&self) -> Result<u128, StatisticsError> {
        let Self { cap, draws, windows, failures, risk, weight: _ } = *self;
        if draws == 0 || windows == 0 {
            return Err(StatisticsError::NoDraws);
        }
        let all = draws.saturating_mul(windows);
        if failures > all {
            return Err(StatisticsError::Failures { failures, draws: all });
        }
        let upper = u128::from(adaptive_upper(risk, failures)?);
        let divisor = u128::from(draws).saturating_mul(u128::from(MILLION));
        // Sums are below 2⁸⁶ and U below 2³¹.
        Ok(cap.saturating_mul(upper).div_ceil(divisor))
    }
}

/// How much of the declared operations has correct results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Correctness {
    /// By the ledgers.
    pub declared: Flops,
    /// F · U_f(δ_f) / k, rounded up.
    pub allowance: Flops,
    /// Declared less allowance; 0 where nothing is left.
    pub lower: Flops,
    /// The same as a share, in millionths, rounded down.
    pub share: u32,
    /// Its δ.
    pub risk: Risk,
}

impl Correctness {
    /// From what was declared and how the FLOP stratum came out. That it is a sample of these windows, without refusals, is
    /// for [`crate::ClosedWindow::conclude`] to hold.
    ///
    /// # Errors
    /// [`StatisticsError`].
    pub(crate) fn conclude(declared: Flops, stratum: &StratumOutcome) -> Result<Self, StatisticsError> {
        let allowance = Flops(stratum.allowance()?);
        let lower = Flops(declared.0.saturating_sub(allowance.0));
        // Declared totals are below 2¹⁰⁸: 10⁶ times one fits.
        let share = lower.0.saturating_mul(u128::from(MILLION)).checked_div(declared.0).unwrap_or_default();
        let share = u32::try_from(share.min(u128::from(MILLION))).unwrap_or_default();
        Ok(Self { declared, allowance, lower, share, risk: stratum.risk })
    }

    /// The sentence of PROTOCOL §1. It never says that work was done, or that a run is below anything.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (percent, rest) =
            (self.share.checked_div(10_000).unwrap_or_default(), self.share.checked_rem(10_000).unwrap_or_default());
        let share = format!("{percent}.{:02}", rest.checked_div(100).unwrap_or_default());
        let confidence = self.risk.confidence();
        format!(
            "with {confidence} % confidence at least a share of {share} % of the declared operations has correct results"
        )
    }
}

#[cfg(test)]
mod tests;
