//! **Duty.** What `aggregation` means, natively: each slot's chain starts at index 0, its claims are those of a valid
//! meter proof, and the sums add up without wrapping.

use plonky2::plonk::proof::ProofWithPublicInputs;

use crate::Violation;
use crate::meter::{MAX_CHAIN_GFLOP, MeterPublic};
use crate::statement::{Config, EXTENSION, Field, FieldLayout};
use crate::threshold::{CHAIN_SLOTS, ChainClaim};

/// `aggregation` of [`CHAIN_SLOTS`] meters, whatever number of rows they have.
#[derive(Debug)]
pub(crate) struct Aggregation;

/// Public inputs of `aggregation`; never published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AggregationPublic {
    pub(crate) chains: [ChainClaim; CHAIN_SLOTS],
    pub(crate) gflop: u64,
}

/// One slot: the claims and the proof behind them.
#[derive(Debug, Clone)]
pub(crate) struct AggregationSlot {
    pub(crate) public: MeterPublic,
    pub(crate) proof: ProofWithPublicInputs<Field, Config, EXTENSION>,
}

pub(crate) type AggregationWitness = [AggregationSlot; CHAIN_SLOTS];

impl FieldLayout for AggregationPublic {
    fn to_elements(&self) -> Vec<u64> {
        let mut elements: Vec<u64> = self.chains.iter().flat_map(ChainClaim::elements).collect();
        elements.push(self.gflop);
        elements
    }
}

impl AggregationPublic {
    /// The true public inputs over given meters.
    pub(crate) fn of(meters: &[MeterPublic; CHAIN_SLOTS]) -> Result<Self, Violation> {
        let mut gflop = 0u64;
        for meter in meters {
            if meter.start_index != 0 {
                return Err(Violation::new("starts-at-zero", format!("a chain starts at {}", meter.start_index)));
            }
            if meter.gflop >= MAX_CHAIN_GFLOP {
                return Err(Violation::new("sum-of-chains", "a chain's sum is out of range"));
            }
            gflop += meter.gflop;
        }
        let chains = meters.map(|meter| ChainClaim { start: meter.start, end: meter.end, count: meter.end_index });
        Ok(Self { chains, gflop })
    }

    pub(super) fn check(&self, meters: &[MeterPublic; CHAIN_SLOTS]) -> Result<(), Violation> {
        let honest = Self::of(meters)?;
        if honest.chains != self.chains {
            return Err(Violation::new("claims-pass", "the chains are not those of the meters"));
        }
        if honest.gflop != self.gflop {
            return Err(Violation::new("sum-of-chains", "the sum is not that of the meters"));
        }
        Ok(())
    }
}
