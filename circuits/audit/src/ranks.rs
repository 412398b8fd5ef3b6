//! **Duty.** The ranks whose work is on one node: what that node may declare, and no other. **Knows** keys. **Does not know**
//! nodes, or who says which ranks are where. **Spec.** PROTOCOL §3 (work is counted once); decision 0049.

use std::sync::Arc;

use thiserror::Error;
use weighbridge_attest_types::{Canonical, CodecError, Culprit, Decoder, Encoder};

use crate::key::Key;

/// Most ranges of one node: a node takes reports of at most 1,024 ranks.
pub const MAX_RANK_RANGES: usize = 1_024;

/// Ranks of some attempts, from the first to the last of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankRange {
    /// First and last attempt.
    pub attempts: (u16, u16),
    /// First and last rank.
    pub ranks: (u32, u32),
}

/// The ranks of one node. All its windows share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranks(Arc<[RankRange]>);

/// Ranges that name no ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RanksError {
    /// None, or too many.
    #[error("{found} ranges of ranks; a node has 1 to {MAX_RANK_RANGES}")]
    Count {
        /// How many.
        found: usize,
    },
    /// One that ends before it begins.
    #[error("a range of ranks or attempts that ends before it begins")]
    Backwards,
}

impl RanksError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

impl Ranks {
    /// All ranks of all attempts: for a run on one node. It has nothing left for a second one.
    #[must_use]
    pub fn all() -> Self {
        Self([RankRange { attempts: (0, u16::MAX), ranks: (0, u32::MAX) }].into())
    }

    /// Some ranks.
    ///
    /// # Errors
    /// [`RanksError`].
    pub fn new(ranges: Vec<RankRange>) -> Result<Self, RanksError> {
        if ranges.is_empty() || ranges.len() > MAX_RANK_RANGES {
            return Err(RanksError::Count { found: ranges.len() });
        }
        let is_backwards = |range: &RankRange| range.attempts.0 > range.attempts.1 || range.ranks.0 > range.ranks.1;
        if ranges.iter().any(is_backwards) { Err(RanksError::Backwards) } else { Ok(Self(ranges.into())) }
    }

    /// Whether work under this key is theirs.
    #[must_use]
    pub fn hold(&self, key: Key) -> bool {
        let (attempt, rank) = (key.attempt(), key.rank());
        let holds = |range: &RankRange| {
            (range.attempts.0..=range.attempts.1).contains(&attempt) && (range.ranks.0..=range.ranks.1).contains(&rank)
        };
        self.0.iter().any(holds)
    }

    /// How many ranges.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// Whether two nodes have a rank of one attempt in common.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> bool {
        let meet = |one: &RankRange, two: &RankRange| {
            let attempts = one.attempts.0 <= two.attempts.1 && two.attempts.0 <= one.attempts.1;
            attempts && one.ranks.0 <= two.ranks.1 && two.ranks.0 <= one.ranks.1
        };
        self.0.iter().any(|one| other.0.iter().any(|two| meet(one, two)))
    }
}

impl Canonical for Ranks {
    fn encode(&self, out: &mut Encoder) {
        out.count(self.0.len());
        for RankRange { attempts, ranks } in self.0.iter() {
            out.put(&attempts.0).put(&attempts.1).put(&ranks.0).put(&ranks.1);
        }
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let count = input.count("ranges of ranks", MAX_RANK_RANGES)?;
        let range = |input: &mut Decoder<'_>| {
            Ok(RankRange { attempts: (input.take()?, input.take()?), ranks: (input.take()?, input.take()?) })
        };
        let ranges: Result<Vec<RankRange>, CodecError> = (0..count).map(|_| range(input)).collect();
        Self::new(ranges?).map_err(|_| CodecError::NotCanonical("ranges of ranks"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Range = ((u16, u16), (u32, u32));

    fn ranks(ranges: &[Range]) -> Result<Ranks, RanksError> {
        Ranks::new(ranges.iter().map(|(attempts, ranks)| RankRange { attempts: *attempts, ranks: *ranks }).collect())
    }

    #[test]
    fn ranks_are_apart_or_in_common_by_attempt() {
        let low = ranks(&[((0, 3), (0, 7))]).unwrap();
        let high = ranks(&[((0, 3), (8, 15))]).unwrap();
        assert!(!low.overlap(&high) && !high.overlap(&low) && low.overlap(&low));
        // Moved in a later attempt, and in an earlier one.
        assert!(!low.overlap(&ranks(&[((4, 9), (0, 7))]).unwrap()));
        assert!(low.overlap(&ranks(&[((4, 9), (0, 7)), ((3, 3), (7, 7))]).unwrap()));
        assert!(low.overlap(&Ranks::all()));
        let key = |attempt, rank| Key::new((attempt, 5), (rank, 0, 0), (0, 0)).unwrap();
        let held = [key(0, 0), key(3, 7), key(4, 0), key(0, 8)].map(|key| low.hold(key));
        assert_eq!(held, [true, true, false, false]);
        assert!(Ranks::all().hold(key(u16::MAX, (1 << 20) - 1)));
    }

    #[test]
    fn ranges_that_name_nothing_are_refused() {
        assert_eq!(ranks(&[]), Err(RanksError::Count { found: 0 }));
        assert_eq!(ranks(&[((0, 0), (0, 0)); MAX_RANK_RANGES + 1]), Err(RanksError::Count { found: 1_025 }));
        assert_eq!(ranks(&[((1, 0), (0, 0))]), Err(RanksError::Backwards));
        assert_eq!(ranks(&[((0, 0), (1, 0))]), Err(RanksError::Backwards));
    }
}
