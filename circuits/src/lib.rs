//! **Duty.** The statements that can be proven, and nothing else. **Knows** numbers, Poseidon and plonky2.
//! **Does not know** TEEs, files or the network: a circuit knows numbers, not who signed them.
//! **Spec.** PROTOCOL §4, CIRCUITS §1, 4, 7. docs/CONSTRAINTS.md lists every constraint with the test that breaks it.

mod aggregation;
mod catalog;
mod checking;
mod error;
mod gadgets;
mod meter;
#[cfg(test)]
mod pinned;
mod proving;
mod statement;
#[cfg(test)]
mod testing;
mod threshold;

pub use catalog::{CATALOG, CircuitEntry, circuit_digests};
pub use checking::{CheckedProof, THRESHOLD_PROOF_BYTES, check_threshold};
pub use error::{ProofError, ProveError};
pub use meter::{MAX_CHAIN_GFLOP, METER_INTERVALS};
pub use proving::{ChainWitness, ThresholdProof, check_witness, prove_threshold};
pub use statement::{CircuitId, Violation};
pub use threshold::{CHAIN_SLOTS, ChainClaim, DeclaredRelation, ThresholdPublic};
