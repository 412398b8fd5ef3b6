//! **Duty.** The committed order of records, rule 1: in each epoch a permutation that anybody can evaluate at one place.
//! **Knows** SHA-256 and integers. **Does not know** records. **Spec.** decision 0043; the Python client has the same.
//!
//! Record number p of the run, counted over steps, ranks, micro-batches and places, is record π_e(p mod n) with
//! e = ⌊p / n⌋. π_e is a Feistel network of ten rounds over 2·h bits, h = max(1, ⌈bits(n − 1) / 2⌉), applied again until
//! the value is below n. Round r of (left, right) gives (right, left xor F), F = the first 8 bytes, little-endian, modulo 2^h, of
//! SHA-256(framed `weighbridge/data-order/v1` ‖ seed ‖ e as u64 ‖ r as u8 ‖ right as u64).

use weighbridge_attest_types::{Digest32, Domain, PoseidonDigest, sha256};
use weighbridge_commitments::{digest_elements, poseidon};

use crate::dataset::{BatchUnit, DataError, MAX_BATCH, extent};

/// Most records: a place is one packed field element, and half of a place fits 28 bits.
pub const MAX_RECORDS: u64 = 1 << 56;
/// The rule that is implemented here.
const RULE: u64 = 1;
const ROUNDS: u8 = 10;
/// At least a quarter of all values are below n: so many walks fail with probability below 2⁻¹⁶⁰⁰.
const MAX_WALKS: u32 = 4_096;

/// The order's parameters: with them the manifest fixes every batch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    seed: Digest32,
    records: u64,
    batch: u64,
    ranks: u32,
    micro_batches: u16,
}

impl Order {
    /// Parameters, in range.
    ///
    /// # Errors
    /// [`DataError::Extent`].
    pub fn new(
        seed: Digest32,
        records: u64,
        batch: u64,
        (ranks, micro_batches): (u32, u16),
    ) -> Result<Self, DataError> {
        extent("the number of records", records, MAX_RECORDS)?;
        extent("the number of records of a batch", batch, MAX_BATCH)?;
        extent("the number of ranks", u64::from(ranks), 1 << 20)?;
        extent("the number of micro-batches", u64::from(micro_batches), u64::from(u16::MAX))?;
        Ok(Self { seed, records, batch, ranks, micro_batches })
    }

    /// Records of the data set.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Records of one unit's batch.
    #[must_use]
    pub const fn batch(&self) -> u64 {
        self.batch
    }

    /// What a manifest carries: Poseidon over rule, seed (5), records, batch, ranks, micro-batches.
    #[must_use]
    pub fn digest(&self) -> PoseidonDigest {
        let mut elements = vec![RULE];
        elements.extend(digest_elements(self.seed));
        elements.extend([self.records, self.batch, u64::from(self.ranks), u64::from(self.micro_batches)]);
        poseidon(Domain::DataOrder, &elements)
    }

    /// The record at a place of a unit's batch. The attempt does not matter: a step that is done again reads the same.
    ///
    /// # Errors
    /// [`DataError::Outside`] of a unit or place that the order does not have.
    pub fn record(&self, unit: BatchUnit, place: u64) -> Result<u64, DataError> {
        let BatchUnit { step, rank, micro_batch, .. } = unit;
        for (what, found, end) in [
            ("rank", u64::from(rank), u64::from(self.ranks)),
            ("micro-batch", u64::from(micro_batch), u64::from(self.micro_batches)),
            ("place", place, self.batch),
        ] {
            if found >= end {
                return Err(DataError::Outside { what, found });
            }
        }
        let along = |sum: u64, (extent, at): (u64, u64)| sum.checked_mul(extent)?.checked_add(at);
        let extents = [
            (u64::from(self.ranks), u64::from(rank)),
            (u64::from(self.micro_batches), u64::from(micro_batch)),
            (self.batch, place),
        ];
        let outside = DataError::Outside { what: "step", found: step };
        let number = extents.into_iter().try_fold(step, along).ok_or_else(|| outside.clone())?;
        let (epoch, at) = (number.checked_div(self.records), number.checked_rem(self.records));
        let (epoch, at) = epoch.zip(at).ok_or_else(|| outside.clone())?;
        self.permuted(epoch, at).ok_or(outside)
    }

    /// π_e(at), for `at` below the number of records.
    fn permuted(&self, epoch: u64, at: u64) -> Option<u64> {
        let bits = u64::BITS.checked_sub(self.records.checked_sub(1)?.leading_zeros())?;
        let half = bits.div_ceil(2).max(1);
        let mut value = at;
        for _ in 0..MAX_WALKS {
            value = self.network(epoch, half, value)?;
            if value < self.records {
                return Some(value);
            }
        }
        None
    }

    fn network(&self, epoch: u64, half: u32, value: u64) -> Option<u64> {
        let mask = 1u64.checked_shl(half)?.checked_sub(1)?;
        let (mut left, mut right) = (value.checked_shr(half)? & mask, value & mask);
        for round in 0..ROUNDS {
            let mut input = Domain::DataOrder.encoder();
            input.put(&self.seed).put(&epoch).put(&round).put(&right);
            let digest = sha256(&input.finish());
            let first = digest.0.first_chunk::<8>().copied().map(u64::from_le_bytes)?;
            (left, right) = (right, left ^ (first & mask));
        }
        Some(left.checked_shl(half)? | right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(records: u64, batch: u64) -> Order {
        Order::new(sha256(b"seed"), records, batch, (2, 3)).unwrap()
    }

    fn unit(step: u64, rank: u32, micro_batch: u16) -> BatchUnit {
        BatchUnit { attempt: 0, step, rank, micro_batch }
    }

    #[test]
    fn every_epoch_is_a_permutation_and_no_two_are_alike() {
        for records in [1, 2, 3, 4, 5, 16, 17, 255, 257, 1000] {
            let order = order(records, 1);
            let epochs: Vec<Vec<u64>> =
                (0..2).map(|epoch| (0..records).map(|at| order.permuted(epoch, at).unwrap()).collect()).collect();
            for epoch in &epochs {
                let mut sorted = epoch.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..records).collect::<Vec<_>>(), "{records} records");
            }
            assert!(records < 16 || epochs[0] != epochs[1]);
        }
    }

    #[test]
    fn units_follow_one_another_without_gap_or_overlap() {
        let order = order(29, 5);
        let mut read = Vec::new();
        for step in 0..3 {
            for rank in 0..2 {
                for micro_batch in 0..3 {
                    read.extend((0..5).map(|place| order.record(unit(step, rank, micro_batch), place).unwrap()));
                }
            }
        }
        for (epoch, records) in read.chunks_exact(29).enumerate() {
            let mut sorted = records.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..29).collect::<Vec<_>>(), "epoch {epoch}");
        }
        let again = BatchUnit { attempt: 7, ..unit(1, 1, 1) };
        assert_eq!(order.record(again, 2), order.record(unit(1, 1, 1), 2));
    }

    #[test]
    fn what_the_order_does_not_have_is_outside() {
        let order = order(29, 5);
        for (unit, place) in [(unit(0, 2, 0), 0), (unit(0, 0, 3), 0), (unit(0, 0, 0), 5), (unit(u64::MAX, 0, 0), 0)] {
            assert!(matches!(order.record(unit, place), Err(DataError::Outside { .. })), "{unit:?} {place}");
        }
        for (records, batch) in [(0, 1), (1, 0), (MAX_RECORDS + 1, 1), (1, MAX_BATCH + 1)] {
            assert!(matches!(Order::new(Digest32([0; 32]), records, batch, (1, 1)), Err(DataError::Extent { .. })));
        }
    }

    /// The same values stand in the Python client's tests.
    #[test]
    fn the_published_order_holds() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/vectors/order.json")).unwrap();
        for row in vectors["rows"].as_array().unwrap() {
            let number = |key: &str| row[key].as_u64().unwrap();
            let seed: Digest32 = serde_json::from_value(row["seed"].clone()).unwrap();
            let order = Order::new(seed, number("records"), 1, (1, 1)).unwrap();
            let found: Vec<u64> = (0..8).map(|at| order.permuted(number("epoch"), at).unwrap()).collect();
            assert_eq!(serde_json::json!(found), row["first_eight"], "{row}");
        }
    }
}
