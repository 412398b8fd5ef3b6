//! **Duty.** Runs from a seed, and the honest ones proven.

use weighbridge_attest_types::{PoseidonDigest, Reading, WitnessRow, sha256};

use super::{GENESIS, SMALL, leaves_of, of_all};
use crate::plan::{ChainWitness, Weighed};
use crate::proving::prove;
use crate::statement::Statement as _;
use crate::testing::tree::{SmallMeter, Tree};

/// A small generator: the same seed, the same run, on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    pub(super) fn next(&mut self) -> u64 {
        let bytes = sha256(&self.0.to_le_bytes()).0;
        self.0 = self.0.wrapping_add(1);
        u64::from_le_bytes(std::array::from_fn(|i| bytes[i]))
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Readings of all sizes: most are small, some are at the bounds.
fn reading(random: &mut Random) -> Reading {
    let mut component = || match random.below(200) {
        0 => (1 << 56) - 1,
        bits => random.next() >> (64 - 4 * (bits % 12)).min(63),
    };
    let (declared, metered, energy) = (component(), component(), component());
    let rest = [0, 1, 999_999_999, 500_000_000][usize::try_from(random.below(4)).expect("small")];
    Reading::new(declared, rest, metered, energy).expect("in range")
}

pub(super) fn chain(random: &mut Random, seed: u64, intervals: u64) -> ChainWitness {
    let start: [u64; 4] = std::array::from_fn(|_| random.next() >> 1);
    let start = PoseidonDigest::from_elements([start[0], start[1], start[2], seed]).expect("below 2^63");
    let mut row = || {
        let salt = sha256(&random.next().to_le_bytes()).0;
        WitnessRow { reading: reading(random), salt: std::array::from_fn(|i| salt[i]) }
    };
    let rows = (0..intervals).map(|_| row()).collect();
    let publics = (0..intervals).map(|i| sha256(&[seed.to_le_bytes(), i.to_le_bytes()].concat())).collect();
    ChainWitness { start, publics, rows }
}

/// 1 to `chains` chains of 0 to `intervals` intervals.
pub(super) fn run(random: &mut Random, chains: u64, intervals: u64) -> Vec<ChainWitness> {
    let count = 1 + random.below(chains);
    (0..count)
        .map(|seed| {
            let length = random.below(intervals + 1);
            chain(random, seed, length)
        })
        .collect()
}

#[test]
fn honest_runs_are_proven_in_small_leaves() {
    let circuit = &Tree::get().meter;
    for seed in 0..of_all(50) {
        let chains = run(&mut Random::new(seed), 4, 12);
        let weighed = Weighed::of(GENESIS, &chains).expect("honest");
        for leaf in leaves_of(&weighed, |_| SMALL).expect("honest") {
            let witness = leaf.witness(&chains);
            assert_eq!(SmallMeter::check(&leaf.transition, &witness), Ok(()));
            let proof = prove(circuit, &leaf.transition, &witness).expect("a true statement");
            circuit.data.verify(proof).expect("a proof");
        }
    }
}
