//! **Duty.** What `meter` means, natively.
//!
//! From head `start` at index `start_index` to head `end` at `end_index`, every interval's head follows from the one
//! before and from a commitment to a reading within bounds, and the declared GFLOP of these readings add up to `gflop`
//! without wrapping. The circuit has a fixed number of rows; those behind the last interval are inactive.

use weighbridge_attest_types::{Domain, PoseidonDigest};
use weighbridge_commitments::poseidon;

use crate::Violation;
use crate::statement::FieldLayout;

/// Intervals that one proof covers at most. 2¹³ rows at 11 rows an interval (CIRCUITS §4).
pub const METER_INTERVALS: usize = 512;
/// Sum of one chain's declared GFLOP, exclusive: four chains stay below 2⁶², so that differences are unique in the field.
pub const MAX_CHAIN_GFLOP: u64 = 1 << 60;
/// Bits of every reading component (PROTOCOL §3).
pub(super) const READING_BITS: usize = 56;
/// Bits of a chain's sum.
pub(super) const SUM_BITS: usize = 60;
/// Largest carried remainder, in FLOP.
pub(super) const MAX_REST: u64 = 999_999_999;

/// `meter` over at most `N` intervals.
#[derive(Debug)]
pub(crate) struct Meter<const N: usize = METER_INTERVALS>;

/// Public inputs of `meter`. The sum is public *inside* the recursion only: this proof is never published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MeterPublic {
    pub(crate) start: PoseidonDigest,
    pub(crate) start_index: u64,
    pub(crate) end: PoseidonDigest,
    pub(crate) end_index: u64,
    pub(crate) gflop: u64,
}

/// One interval as the circuit sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MeterRow {
    /// declared GFLOP, carried rest, metered GFLOP, joule.
    pub(crate) reading: [u64; 4],
    pub(crate) salt: [u64; 4],
    /// Packed digest of the interval's public facts.
    pub(crate) public: [u64; 5],
}

pub(crate) type MeterWitness = [MeterRow];

impl FieldLayout for MeterPublic {
    fn to_elements(&self) -> Vec<u64> {
        let Self { start, start_index, end, end_index, gflop } = self;
        let mut elements = start.elements().to_vec();
        elements.push(*start_index);
        elements.extend(end.elements());
        elements.extend([*end_index, *gflop]);
        elements
    }
}

impl MeterPublic {
    /// The true public inputs of a witness: an honest prover's.
    pub(crate) fn of(start: PoseidonDigest, start_index: u64, rows: &MeterWitness) -> Result<Self, Violation> {
        let (mut end, mut end_index, mut gflop) = (start, start_index, 0u64);
        for row in rows {
            end_index = end_index.checked_add(1).ok_or_else(|| Violation::new("head-chain", "index overflows"))?;
            reading_bounds(row, end_index)?;
            end = next_head(end_index, end, row);
            gflop = running_sum(gflop, row, end_index)?;
        }
        Ok(Self { start, start_index, end, end_index, gflop })
    }

    /// The native meaning for a circuit of `capacity` rows.
    pub(super) fn check(&self, rows: &MeterWitness, capacity: usize) -> Result<(), Violation> {
        if rows.len() > capacity {
            return Err(Violation::new("capacity", format!("{} intervals in {capacity} rows", rows.len())));
        }
        let honest = Self::of(self.start, self.start_index, rows)?;
        let differs = |property, what: &str| Err(Violation::new(property, format!("{what} is not what follows")));
        if honest.end != self.end {
            return differs("end-head", "the end head");
        }
        if honest.end_index != self.end_index {
            return differs("end-index", "the end index");
        }
        if honest.gflop != self.gflop {
            return differs("running-sum", "the sum");
        }
        Ok(())
    }
}

fn reading_bounds(row: &MeterRow, index: u64) -> Result<(), Violation> {
    let too_large = row.reading.iter().any(|&component| component >> READING_BITS != 0);
    if too_large || row.reading[1] > MAX_REST {
        return Err(Violation::new("reading-bounds", format!("interval {index}")));
    }
    Ok(())
}

fn next_head(index: u64, previous: PoseidonDigest, row: &MeterRow) -> PoseidonDigest {
    let mut reading = row.reading.to_vec();
    reading.extend(row.salt);
    let meter = poseidon(Domain::Meter, &reading);
    let mut input = vec![index];
    input.extend(previous.elements());
    input.extend(meter.elements());
    input.extend(row.public);
    poseidon(Domain::Head, &input)
}

fn running_sum(sum: u64, row: &MeterRow, index: u64) -> Result<u64, Violation> {
    sum.checked_add(row.reading[0])
        .filter(|&sum| sum < MAX_CHAIN_GFLOP)
        .ok_or_else(|| Violation::new("running-sum", format!("the sum leaves its range at interval {index}")))
}
