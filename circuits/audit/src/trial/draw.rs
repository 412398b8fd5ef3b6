//! **Duty.** Numbers drawn from a seed, each below a bound, and the place among weights that a number names.
//! **Does not know** what is drawn. **Spec.** PROTOCOL §5 (`self-check`): SHA-256 over the framed domain
//! `weighbridge/trial/v1`, the seed, the stream's name as a field, the draw and a counter as `u64`; the first 16 bytes x,
//! little-endian, give ⌊x · bound / 2¹²⁸⌋.

use weighbridge_attest_types::{Domain, sha256};

/// The numbers of one draw, one after the other.
#[derive(Debug)]
pub(super) struct Stream {
    prefix: Vec<u8>,
    counter: u64,
}

/// Cumulated weights.
#[derive(Debug)]
pub(super) struct Weights {
    /// Place, and the sum of all weights up to and with it; places of no weight are left out.
    ends: Vec<(usize, u64)>,
}

impl Stream {
    pub(super) fn new(seed: [u8; 32], name: &str, draw: u64) -> Self {
        let mut prefix = Domain::Trial.encoder();
        prefix.raw(&seed).field(name.as_bytes()).put(&draw);
        Self { prefix: prefix.finish(), counter: 0 }
    }

    /// The next number, below `bound`; 0 where the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let digest = sha256(&[self.prefix.as_slice(), &self.counter.to_le_bytes()].concat());
        self.counter = self.counter.saturating_add(1);
        let (first, _) = digest.0.as_chunks::<8>();
        let limb = |at: usize| first.get(at).map_or(0, |bytes| u128::from(u64::from_le_bytes(*bytes)));
        let bound = u128::from(bound);
        // Two limbs of 64 bits: no product leaves 128.
        let low = limb(0).saturating_mul(bound) >> 64;
        let scaled = limb(1).saturating_mul(bound).saturating_add(low) >> 64;
        u64::try_from(scaled).unwrap_or_default()
    }
}

impl Weights {
    pub(super) fn of(weights: impl Iterator<Item = u64>) -> Self {
        let mut ends = Vec::new();
        let mut sum = 0u64;
        for (place, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0) {
            sum = sum.saturating_add(weight);
            ends.push((place, sum));
        }
        Self { ends }
    }

    pub(super) fn total(&self) -> u64 {
        self.ends.last().map_or(0, |(_, end)| *end)
    }

    /// The place that unit `at` of the total belongs to, and which unit of that place it is.
    pub(super) fn at(&self, at: u64) -> Option<(usize, u64)> {
        let index = self.ends.partition_point(|(_, end)| *end <= at);
        let (place, _) = self.ends.get(index)?;
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| *end);
        Some((*place, at.saturating_sub(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_of_weight_has_one_place() {
        let weights = Weights::of([0, 2, 0, 3, 1].into_iter());
        let places: Vec<_> = (0..7).map(|at| weights.at(at)).collect();
        let wanted = [Some((1, 0)), Some((1, 1)), Some((3, 0)), Some((3, 1)), Some((3, 2)), Some((4, 0)), None];
        assert_eq!((places.as_slice(), weights.total()), (wanted.as_slice(), 6));
        assert_eq!(Weights::of(std::iter::empty()).at(0), None);
    }

    #[test]
    fn numbers_are_below_their_bound_and_depend_on_everything() {
        let draw = |seed: u8, name, draw| {
            let mut stream = Stream::new([seed; 32], name, draw);
            [stream.below(u64::MAX), stream.below(u64::MAX)]
        };
        let base = draw(1, "tile", 0);
        assert_ne!(base[0], base[1]);
        for other in [draw(2, "tile", 0), draw(1, "link", 0), draw(1, "tile", 1)] {
            assert_ne!(base, other);
        }
        let mut stream = Stream::new([7; 32], "tile", 0);
        let mut seen = [0u32; 10];
        (0..1000).for_each(|_| seen[usize::try_from(stream.below(10)).unwrap()] += 1);
        assert!(seen.iter().all(|count| (60..150).contains(count)), "{seen:?}");
        assert_eq!((stream.below(1), stream.below(0)), (0, 0));
    }
}
