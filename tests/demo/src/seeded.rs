//! **Duty.** Repeatable numbers for initial weights and batch order. **Knows** one published generator, SplitMix64, so
//! that anyone can derive the same batches from the committed spec. **Does not know** what they are used for; never
//! used for keys, salts or nonces.

/// SplitMix64 (Steele, Lea, Flood 2014): state + 0x9E3779B97F4A7C15, then two xor-shift multiplications.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A stream of its own for each (seed, purpose) pair.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut mixer = Self { state: seed };
        Self { state: mixer.next() ^ purpose }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; the bias of the remainder is below 2⁻⁴⁰ for the row counts of this demo.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// Uniform in [-1, 1), from the top 16 bits, exact in `f32`.
    pub(crate) fn symmetric(&mut self) -> f32 {
        let top = u16::try_from(self.next() >> 48).unwrap_or_default();
        f32::from(top) / 32_768.0 - 1.0
    }

    /// Fisher–Yates from the last row down.
    pub(crate) fn permutation(&mut self, rows: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..rows).collect();
        for last in (1..rows).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs of SplitMix64 from state 1234567, as its reference implementation prints them.
        let mut generator = SplitMix64 { state: 1_234_567 };
        assert_eq!(generator.next(), 6_457_827_717_110_365_317);
        assert_eq!(generator.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_permutation_holds_every_row_once() {
        let mut order = SplitMix64::new(1, 2).permutation(1_000);
        assert_ne!(order, (0..1_000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1_000).collect::<Vec<_>>());
    }
}
