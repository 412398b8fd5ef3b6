//! **Duty.** Zeros, and vectors that stand in several places, over the operands of all draws. **Knows** stored bytes of rows
//! and columns, and where each stands. **Does not know** verdicts. **Spec.** PROTOCOL §1 (statistics on zeros and repeats).
//!
//! Within one strip a repeat is seen by comparing neighbours. But whoever computes one tile and passes it off as many makes
//! whole strips alike, in other rows and other products; so vectors are compared over all draws, by their digests. The same
//! vector drawn twice is no repeat: what counts is that the same bytes stand in another place.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::{Digest32, sha256};

/// Vectors whose digests are kept: those of 2¹⁵ draws of two strips of 16. Beyond, they are counted as not compared.
const MAX_VECTORS: usize = 1 << 20;

/// Where a row or column stands: the operand that it is of, and which one of it; numbers of the caller's own.
pub type VectorPlace = (u64, u64);

/// Counts over the operands of all draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OperandCounts {
    /// Entries, each vector once.
    pub entries: u64,
    /// Those that are zero, of either sign.
    pub zeros: u64,
    /// Rows and columns, each once.
    pub vectors: u64,
    /// Those whose bytes were drawn in another place before.
    pub repeated: u64,
    /// Those that were not compared: there were too many.
    pub not_compared: u64,
}

/// The operands of all draws.
#[derive(Debug, Clone, Default)]
pub struct DrawnOperands {
    places: BTreeSet<VectorPlace>,
    seen: BTreeMap<Digest32, VectorPlace>,
    counts: OperandCounts,
}

impl DrawnOperands {
    /// Adds a drawn row or column of entries of `size` bytes, little-endian, the sign in the highest bit.
    pub fn add(&mut self, place: VectorPlace, size: usize, bytes: &[u8]) {
        if self.places.len() >= MAX_VECTORS {
            self.counts.not_compared = self.counts.not_compared.saturating_add(1);
            return;
        }
        if !self.places.insert(place) {
            return;
        }
        let counts = &mut self.counts;
        for entry in bytes.chunks_exact(size.max(1)) {
            let is_zero = entry.split_last().is_some_and(|(top, rest)| top & 0x7f == 0 && rest.iter().all(|b| *b == 0));
            counts.entries = counts.entries.saturating_add(1);
            counts.zeros = counts.zeros.saturating_add(u64::from(is_zero));
        }
        counts.vectors = counts.vectors.saturating_add(1);
        if *self.seen.entry(sha256(bytes)).or_insert(place) != place {
            counts.repeated = counts.repeated.saturating_add(1);
        }
    }

    /// The counts so far.
    #[must_use]
    pub const fn counts(&self) -> OperandCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_in_another_place_are_a_repeat_and_the_same_place_is_none() {
        let mut drawn = DrawnOperands::default();
        drawn.add((0, 0), 2, &[0x80, 0x3f, 0, 0]);
        drawn.add((0, 0), 2, &[0x80, 0x3f, 0, 0]);
        let counts = drawn.counts();
        assert_eq!((counts.entries, counts.zeros, counts.vectors, counts.repeated), (2, 1, 1, 0));
        // Another row, another operand, and other bytes; a zero of either sign.
        drawn.add((0, 1), 2, &[0x80, 0x3f, 0, 0]);
        drawn.add((7, 0), 2, &[0x80, 0x3f, 0, 0]);
        drawn.add((7, 1), 2, &[0x80, 0x3f, 0, 0x80]);
        let counts = drawn.counts();
        assert_eq!((counts.entries, counts.zeros, counts.vectors, counts.repeated), (8, 4, 4, 2));
    }
}
