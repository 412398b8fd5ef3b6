//! **Duty.** From randomness to what is audited: the seed of a window, its draws, and the points that they fall on.
//! **Knows** totals. **Does not know** where randomness comes from (`window.rs`) or what is drawn. **Spec.** PROTOCOL §5
//! (seed), CIRCUITS §5 (i) (r = ⌊seed_i · total / 2¹⁸⁰⌋), TRAINING §7 (distinct indices without modulo bias).
//!
//! | | |
//! |---|---|
//! | seed | SHA-256(framed `Domain::Seed`, genesis, node key digest, window index u64, root, challenge) |
//! | draw i of a stratum | `Poseidon(Domain::Draw, [seed 5, stratum, i, 0, 0])` |
//! | entry j of an operand strip of draw i | `Poseidon(Domain::Draw, [seed 5, stratum, i, 1 + operand, j])` |
//!
//! Of each of the four elements the low 45 bits are taken, the first ones lowest: 180 bits, as six limbs of 30. Elements are
//! uniform below p, so a limb's distribution is within 2⁻³² of uniform. A point below a total is `⌊draw · total / 2¹⁸⁰⌋`: no
//! modulo, and a bias below total / 2¹⁸⁰.

use std::collections::BTreeMap;

use weighbridge_attest_types::{Challenge, Digest32, Domain, PoseidonDigest, sha256};
use weighbridge_commitments::{digest_elements, poseidon};

use crate::gemm::Operand;

/// Bits of a limb.
const LIMB_BITS: u32 = 30;
/// Limbs of a draw.
const DRAW_LIMBS: usize = 6;
/// Limbs of a total: 90 bits, and sums of FLOP stay below 2⁸⁶.
const TOTAL_LIMBS: usize = 3;
/// The bits that fit into them.
const TOTAL_BITS: u32 = 3 * LIMB_BITS;
/// Low bits of an element that are used.
const ELEMENT_BITS: u32 = 45;

/// The seed of a window: a function of what was committed and of randomness that came later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(Digest32);

/// 180 random bits, as a circuit has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw([u32; DRAW_LIMBS]);

impl Seed {
    /// The seed over a committed root, in one window of one node of one run. Only `window.rs` makes seeds: nobody draws
    /// before the root is committed.
    pub(crate) fn derive(
        genesis: Digest32,
        node_key_digest: Digest32,
        window: u64,
        root: PoseidonDigest,
        challenge: &Challenge,
    ) -> Self {
        let mut out = Domain::Seed.encoder();
        out.put(&genesis).put(&node_key_digest).put(&window).put(&root).put(challenge);
        Self(sha256(&out.finish()))
    }

    /// As it is published.
    #[must_use]
    pub const fn digest(self) -> Digest32 {
        self.0
    }

    /// Draw `index` of a stratum.
    #[must_use]
    pub fn draw(self, stratum: u8, index: u32) -> Draw {
        self.squeeze([u64::from(stratum), u64::from(index), 0, 0])
    }

    /// `count` distinct entries of an operand strip with `entries` of them, for one draw: those that are opened to their
    /// producer.
    #[must_use]
    pub fn strip_entries(self, (stratum, index): (u8, u32), operand: Operand, entries: u64, count: u32) -> Vec<u64> {
        let operand = match operand {
            Operand::Left => 1,
            Operand::Right => 2,
            Operand::Output => 3,
        };
        let draw = |entry: u32| self.squeeze([u64::from(stratum), u64::from(index), operand, u64::from(entry)]);
        distinct(entries, count, draw)
    }

    /// `count` distinct indices below `total`, in the order in which they are drawn: where leaves weigh all the same and
    /// none may come twice. All of them where there are no more.
    #[must_use]
    pub fn distinct(self, stratum: u8, total: u64, count: u32) -> Vec<u64> {
        distinct(total, count, |index| self.draw(stratum, index))
    }

    fn squeeze(self, place: [u64; 4]) -> Draw {
        let elements = [&digest_elements(self.0)[..], &place[..]].concat();
        Draw::of(poseidon(Domain::Draw, &elements))
    }
}

/// The beginning of a random permutation (Fisher and Yates): every list of distinct indices is equally likely.
fn distinct(total: u64, count: u32, draw: impl Fn(u32) -> Draw) -> Vec<u64> {
    let count = u32::try_from(total).map_or(count, |total| total.min(count));
    // Only places that differ from the identity are kept.
    let mut moved: BTreeMap<u64, u64> = BTreeMap::new();
    let mut drawn = Vec::new();
    for index in 0..count {
        let first = u64::from(index);
        let left = u128::from(total.saturating_sub(first));
        // Below `left`, so it fits.
        let offset = u64::try_from(draw(index).point(left).unwrap_or_default()).unwrap_or_default();
        let place = first.saturating_add(offset);
        let at = |place: u64| moved.get(&place).copied().unwrap_or(place);
        let (chosen, displaced) = (at(place), at(first));
        drawn.push(chosen);
        moved.insert(place, displaced);
    }
    drawn
}

impl Draw {
    fn of(digest: PoseidonDigest) -> Self {
        let mask = (1u128 << ELEMENT_BITS).saturating_sub(1);
        let [a, b, c, d] = digest.elements().map(|element| u128::from(element) & mask);
        // 90 bits in each half.
        let halves = [a | (b << ELEMENT_BITS), c | (d << ELEMENT_BITS)];
        let mut limbs = halves.into_iter().flat_map(|half| (0..3u32).map(move |limb| limb_of(half, limb)));
        Self(std::array::from_fn(|_| limbs.next().unwrap_or_default()))
    }

    /// The limbs, lowest first, each below 2³⁰.
    #[must_use]
    pub const fn limbs(self) -> [u32; DRAW_LIMBS] {
        self.0
    }

    /// ⌊draw · total / 2¹⁸⁰⌋: a point in 0 ≤ r < total. `None` where there is nothing to draw from, or where the total has
    /// more than 90 bits, which no tree's has.
    #[must_use]
    pub fn point(self, total: u128) -> Option<u128> {
        if total == 0 || total.checked_shr(TOTAL_BITS).unwrap_or_default() != 0 {
            return None;
        }
        let total: [u64; TOTAL_LIMBS] = [0, 1, 2].map(|limb| u64::from(limb_of(total, limb)));
        // School-book columns: at most three products of 60 bits and a carry, below 2⁶² < p.
        let mut columns = [0u64; DRAW_LIMBS + TOTAL_LIMBS];
        for (low, limb) in self.0.into_iter().enumerate() {
            for (column, factor) in columns.iter_mut().skip(low).zip(total) {
                *column = column.saturating_add(u64::from(limb).saturating_mul(factor));
            }
        }
        let mut carry = 0u64;
        let mut limbs = columns.map(|column| {
            let column = column.saturating_add(carry);
            carry = column >> LIMB_BITS;
            column & (1u64 << LIMB_BITS).saturating_sub(1)
        });
        limbs.reverse();
        // Limbs 6 to 8 are what is above 2¹⁸⁰.
        Some(limbs.iter().take(TOTAL_LIMBS).fold(0u128, |point, limb| (point << LIMB_BITS) | u128::from(*limb)))
    }
}

/// Thirty bits of a number.
fn limb_of(value: u128, limb: u32) -> u32 {
    let shifted = value.checked_shr(LIMB_BITS.saturating_mul(limb)).unwrap_or_default();
    u32::try_from(shifted & (1u128 << LIMB_BITS).saturating_sub(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn seed(byte: u8) -> Seed {
        let nonce = Challenge::VerifierNonce(Digest32([byte; 32]));
        Seed::derive(Digest32([1; 32]), Digest32([2; 32]), 3, PoseidonDigest::default(), &nonce)
    }

    #[test]
    fn everything_is_in_the_seed() {
        let root = |first| PoseidonDigest::from_elements([first, 0, 0, 0]).unwrap();
        let (genesis, node) = (Digest32([1; 32]), Digest32([2; 32]));
        let beacon = |byte| Challenge::BeaconRound(Digest32([byte; 32]));
        let nonce = Challenge::VerifierNonce(Digest32([5; 32]));
        let seeds = [
            Seed::derive(genesis, node, 3, root(4), &beacon(5)),
            Seed::derive(node, genesis, 3, root(4), &beacon(5)),
            Seed::derive(genesis, node, 4, root(4), &beacon(5)),
            Seed::derive(genesis, node, 3, root(5), &beacon(5)),
            Seed::derive(genesis, node, 3, root(4), &beacon(6)),
            Seed::derive(genesis, node, 3, root(4), &nonce),
            Seed::derive(genesis, node, 3, root(4), &Challenge::None),
        ];
        let distinct: BTreeSet<Digest32> = seeds.iter().map(|seed| seed.digest()).collect();
        assert_eq!(distinct.len(), seeds.len());
        let mut draws = BTreeSet::new();
        for stratum in 0..3 {
            for index in 0..100 {
                assert!(draws.insert(seeds[0].draw(stratum, index).limbs()));
            }
        }
        // An operand's entries are drawn apart from the tiles and from one another.
        let entries = |operand| seeds[0].strip_entries((0, 0), operand, 1 << 40, 4);
        let operands = [Operand::Left, Operand::Right, Operand::Output].map(entries);
        assert!(operands[0] != operands[1] && operands[1] != operands[2]);
        assert_ne!(operands[0], seeds[0].distinct(0, 1 << 40, 4));
    }

    #[test]
    fn points_lie_below_the_total_and_reach_both_ends() {
        let all_ones = Draw([(1 << 30) - 1; 6]);
        let none = Draw([0; 6]);
        for total in [1, 2, 3, 1 << 30, (1 << 86) - 1, (1 << 90) - 1] {
            assert_eq!(all_ones.point(total), Some(total - 1));
            assert_eq!(none.point(total), Some(0));
        }
        let half = Draw([0, 0, 0, 0, 0, 1 << 29]);
        assert_eq!(half.point(1001), Some(500));
        assert_eq!(half.point(0), None);
        assert_eq!(half.point(1 << 90), None);
    }

    proptest! {
        /// Against the quotient as it is written, in two halves of the draw.
        #[test]
        fn a_point_is_the_quotient(limbs in prop::array::uniform6(0u32..1 << 30), total in 1u128..1 << 64) {
            let draw = Draw(limbs);
            let half = |limbs: &[u32]| limbs.iter().rev().fold(0u128, |all, limb| (all << 30) | u128::from(*limb));
            let (low, high) = (half(&limbs[..2]), half(&limbs[2..]));
            // draw = high · 2⁶⁰ + low, with total < 2⁶⁴: only high · total needs more than 128 bits.
            let (t1, t0) = (total >> 32, total & 0xffff_ffff);
            let carried = (low * total) >> 60;
            let (h1, h0) = (high >> 60, high & ((1 << 60) - 1));
            let lower = h0 * t0 + ((h0 * t1) << 32) + carried;
            let upper = h1 * total + (lower >> 60);
            prop_assert_eq!(draw.point(total), Some(upper >> 60));
        }
    }

    #[test]
    fn points_are_spread_evenly() {
        let mut counts = [0u32; 10];
        for index in 0..10_000 {
            counts[usize::try_from(seed(1).draw(0, index).point(10).unwrap()).unwrap()] += 1;
        }
        // Six standard deviations of 30.
        assert!(counts.iter().all(|count| (820..1180).contains(count)), "{counts:?}");
    }

    #[test]
    fn distinct_indices_are_a_permutation_and_every_one_is_as_likely_first() {
        let all = seed(2).distinct(0, 500, 500);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 500);
        assert!(all.iter().all(|index| *index < 500));
        assert_eq!(seed(2).distinct(0, 500, 20), all[..20]);
        assert_eq!(seed(2).distinct(0, 5, 20).len(), 5);
        assert_eq!(seed(2).distinct(0, 0, 3), Vec::<u64>::new());
        let far = seed(2).distinct(0, u64::MAX, 3);
        assert!(far.iter().all(|index| *index > 1 << 50));
        let mut last = [0u32; 5];
        for byte in 0..250 {
            last[usize::try_from(seed(byte).distinct(1, 5, 5)[4]).unwrap()] += 1;
        }
        assert!(last.iter().all(|count| (15..85).contains(count)), "{last:?}");
    }
}
