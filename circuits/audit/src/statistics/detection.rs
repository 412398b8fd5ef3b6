//! **Duty.** How many draws find what, and what draws have not excluded: the tables of an audit plan.
//! **Knows** counts and risks. **Does not know** weights: here every item is as likely. **Spec.** TRAINING §7.
//!
//! Every probability of missing something is bounded from above (`up.rs`): a plan never promises too much. Results are
//! rounded against the claim: draws upwards, shares that may be bad upwards.

use crate::statistics::up::Up;
use crate::statistics::{MAX_FAILURES, MILLION, Risk, StatisticsError, least};

/// Draws in one plan: beyond, check everything.
const MAX_DRAWS: u64 = 1 << 32;

/// Draws without replacement that find at least one of `bad` among `total` items: the least k with
/// `C(total − bad, k) / C(total, k) ≤ δ`. `None` where nothing is bad.
#[must_use]
pub fn draws_to_detect(total: u64, bad: u64, risk: Risk) -> Option<u64> {
    let good = total.checked_sub(bad)?;
    if bad == 0 {
        return None;
    }
    let mut miss = Up::ONE;
    for drawn in 0..=good {
        if miss.is_at_most(u64::from(risk.millionths()), MILLION) {
            return Some(drawn);
        }
        miss = miss.times(Up::ratio(good.saturating_sub(drawn), total.saturating_sub(drawn)));
    }
    // All good ones are drawn: the next is bad.
    good.checked_add(1)
}

/// Draws with replacement that find a share `bad` (in millionths) by a check that sees a share `seen` of each bad item (in
/// millionths): the least k with `(1 − bad · seen)^k ≤ δ`. `None` where there is nothing to see.
#[must_use]
pub fn draws_to_detect_share(bad: u32, seen: u32, risk: Risk) -> Option<u64> {
    let whole = MILLION.saturating_mul(MILLION);
    let found = u64::from(bad).saturating_mul(u64::from(seen));
    if found == 0 || found > whole {
        return None;
    }
    let miss = Up::ratio(whole.saturating_sub(found), whole);
    least(1, MAX_DRAWS, |draws| miss.power(draws).is_at_most(u64::from(risk.millionths()), MILLION))
}

/// The greatest share of bad items that `failures` among `draws` have not excluded, in millionths (Clopper and Pearson): the
/// least p with `Σ_{i ≤ f} C(k, i) · p^i · (1 − p)^(k − i) ≤ δ`.
///
/// # Errors
/// [`StatisticsError`].
pub fn bad_share_upper(draws: u32, failures: u32, risk: Risk) -> Result<u32, StatisticsError> {
    if draws == 0 {
        return Err(StatisticsError::NoDraws);
    }
    if failures > draws || failures > MAX_FAILURES {
        return Err(StatisticsError::Failures { failures, draws });
    }
    let (draws, failures) = (u64::from(draws), u64::from(failures));
    let holds = |share: u64| {
        let (bad, good) = (Up::ratio(share, MILLION), Up::ratio(MILLION.saturating_sub(share), MILLION));
        let (mut ways, mut tail) = (Up::ONE, good.power(draws));
        for i in 1..=failures {
            let place = draws.saturating_sub(i);
            ways = ways.times(Up::ratio(place.saturating_add(1), i));
            tail = tail.plus(ways.times(bad.power(i)).times(good.power(place)));
        }
        tail.is_at_most(u64::from(risk.millionths()), MILLION)
    };
    let share = least(0, MILLION, holds).unwrap_or(MILLION);
    Ok(u32::try_from(share).unwrap_or(u32::MAX))
}

/// A sequential test (Wald) between two shares of bad items, both in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequentialTest {
    /// A share that would be accepted.
    pub good_share: u32,
    /// A share that must be found.
    pub bad_share: u32,
    /// Risk of rejecting a good run.
    pub reject_good: Risk,
    /// Risk of accepting a bad one.
    pub accept_bad: Risk,
}

/// Where a sequential test stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequential {
    /// Neither yet.
    GoOn,
    /// The bad share is excluded.
    Accept,
    /// The good share is.
    Reject,
}

impl SequentialTest {
    /// After so many clean and failed draws: the likelihood ratio of bad to good against β / (1 − α) and (1 − β) / α.
    #[must_use]
    pub fn after(&self, clean: u32, failed: u32) -> Sequential {
        let (p0, p1) = (u64::from(self.good_share), u64::from(self.bad_share));
        let not = |share: u64| MILLION.saturating_sub(share);
        let (alpha, beta) = (u64::from(self.reject_good.millionths()), u64::from(self.accept_bad.millionths()));
        // Each ratio is bounded from above by itself, so that neither end is reached too early.
        let of = |clean_ratio: Up, failed_ratio: Up| {
            clean_ratio.power(u64::from(clean)).times(failed_ratio.power(u64::from(failed)))
        };
        if of(Up::ratio(not(p1), not(p0)), Up::ratio(p1, p0)).is_at_most(beta, not(alpha)) {
            return Sequential::Accept;
        }
        if of(Up::ratio(not(p0), not(p1)), Up::ratio(p0, p1)).is_at_most(alpha, not(beta)) {
            return Sequential::Reject;
        }
        Sequential::GoOn
    }
}
