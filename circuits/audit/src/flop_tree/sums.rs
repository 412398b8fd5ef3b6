//! **Duty.** What leaves add up to, in limbs that a circuit can range-check: FLOP as GFLOP and rest with carry, and the
//! weight of linking operations apart from them. **Knows** bounds. **Does not know** trees.
//! **Spec.** PROTOCOL §3 (sums are two limbs with carry checks), §4 (links carry their own draw weight).

use thiserror::Error;
use weighbridge_attest_types::{Culprit, FLOP_PER_GFLOP, Flops, Gflop};

/// GFLOP and link weights stay below 2⁵⁶, like readings: x and x + p cannot be confused, and no sum of two wraps.
pub const MAX_SUM: u64 = 1 << 56;
const REST: u64 = 1_000_000_000;

/// What a draw is proportional to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// FLOP of matrix products.
    Flop,
    /// Entries of linking operations.
    Link,
}

/// Sums of a subtree. Every value is in range: there is no other constructor than the checked ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    gflop: u64,
    rest: u32,
    links: u64,
}

/// Sums out of range, or that do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SumsError {
    /// GFLOP of 2⁵⁶ or more: negative ones look like this in a field.
    #[error("{0} GFLOP; a sum is below 2^56")]
    Gflop(u64),
    /// A rest of 10⁹ or more.
    #[error("a rest of {0} FLOP; it is below 10^9")]
    Rest(u64),
    /// A link weight of 2⁵⁶ or more.
    #[error("a link weight of {0}; a sum is below 2^56")]
    Links(u64),
    /// A tree claims another amount than the ledger declares.
    #[error("the tree adds up to {tree} FLOP and the ledger declares {ledger}")]
    Ledger {
        /// By the tree.
        tree: Flops,
        /// By the ledger's readings.
        ledger: Flops,
    },
    /// The rest at the end is below the one at the start by more than the GFLOP between them.
    #[error("the ledger's remainders do not go with its GFLOP: less than nothing was declared")]
    Remainder,
}

impl SumsError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Ledger { .. } | Self::Remainder => Culprit::Untrusted,
            _ => Culprit::Malformed,
        }
    }
}

impl Sums {
    /// Sums from limbs.
    ///
    /// # Errors
    /// [`SumsError`] for a limb out of range.
    pub fn new(gflop: u64, rest: u64, links: u64) -> Result<Self, SumsError> {
        if gflop >= MAX_SUM {
            return Err(SumsError::Gflop(gflop));
        }
        if links >= MAX_SUM {
            return Err(SumsError::Links(links));
        }
        let rest = u32::try_from(rest).ok().filter(|rest| u64::from(*rest) < REST).ok_or(SumsError::Rest(rest))?;
        Ok(Self { gflop, rest, links })
    }

    /// An amount of FLOP and a link weight.
    ///
    /// # Errors
    /// [`SumsError`] when one of them is out of range.
    pub fn of(flops: Flops, links: u64) -> Result<Self, SumsError> {
        let (Gflop(gflop), rest) = flops.carry(0).map_err(|_| SumsError::Gflop(u64::MAX))?;
        Self::new(gflop, u64::from(rest), links)
    }

    /// The sum of two, with carry.
    ///
    /// # Errors
    /// [`SumsError`] when a limb leaves its range.
    pub fn checked_add(self, other: Self) -> Result<Self, SumsError> {
        // Limbs are below 2⁵⁶ and 10⁹: no sum of two leaves its type.
        let rest = u64::from(self.rest).saturating_add(u64::from(other.rest));
        let (carry, rest) = if rest >= REST { (1, rest.saturating_sub(REST)) } else { (0, rest) };
        let gflop = self.gflop.saturating_add(other.gflop).saturating_add(carry);
        Self::new(gflop, rest, self.links.saturating_add(other.links))
    }

    /// The FLOP.
    #[must_use]
    pub fn flops(self) -> Flops {
        Flops(u128::from(self.gflop).saturating_mul(FLOP_PER_GFLOP).saturating_add(u128::from(self.rest)))
    }

    /// Weight of linking operations.
    #[must_use]
    pub const fn links(self) -> u64 {
        self.links
    }

    /// What a draw by this weight is proportional to: below 2⁸⁶.
    #[must_use]
    pub fn weight(self, weight: Weight) -> u128 {
        match weight {
            Weight::Flop => self.flops().0,
            Weight::Link => u128::from(self.links),
        }
    }

    /// As they are hashed: GFLOP, rest, links.
    #[must_use]
    pub fn elements(self) -> [u64; 3] {
        [self.gflop, u64::from(self.rest), self.links]
    }
}

/// Whether a tree's FLOP are what a stretch of a ledger declares: `10⁹ · Σ declared_gflop + rest(end) − rest(start)`, with
/// the GFLOP of each interval of the stretch, the rest in its last reading and the one in the reading before its first.
///
/// # Errors
/// [`SumsError::Ledger`] when it is not; [`SumsError::Remainder`], [`SumsError::Gflop`], [`SumsError::Rest`] for readings that
/// no ledger has.
pub fn agrees_with_ledger(
    sums: Sums,
    declared: impl IntoIterator<Item = Gflop>,
    rest_start: u32,
    rest_end: u32,
) -> Result<(), SumsError> {
    if let Some(rest) = [rest_start, rest_end].into_iter().find(|rest| u64::from(*rest) >= REST) {
        return Err(SumsError::Rest(u64::from(rest)));
    }
    let mut total = 0u128;
    for Gflop(gflop) in declared {
        if gflop >= MAX_SUM {
            return Err(SumsError::Gflop(gflop));
        }
        // At most 2⁶⁴ intervals of 2⁵⁶ GFLOP come near: an iterator of a ledger has at most 2²⁰.
        total = total.saturating_add(u128::from(gflop));
    }
    let total = total.checked_mul(FLOP_PER_GFLOP).and_then(|flop| flop.checked_add(u128::from(rest_end)));
    let ledger = total.and_then(|flop| flop.checked_sub(u128::from(rest_start))).ok_or(SumsError::Remainder)?;
    let (tree, ledger) = (sums.flops(), Flops(ledger));
    if tree == ledger { Ok(()) } else { Err(SumsError::Ledger { tree, ledger }) }
}
