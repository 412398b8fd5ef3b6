//! **Duty.** The statements that can be proven, and nothing else. **Knows** numbers, Poseidon and plonky2.
//! **Does not know** TEEs, files or the network: a circuit knows numbers, not who signed them.
//! **Spec.** PROTOCOL §4, CIRCUITS §1, 4, 7. docs/CONSTRAINTS.md lists every constraint with the test that breaks it.

mod aggregation;
mod catalog;
mod checking;
mod compact;
mod constraints;
mod error;
mod gadgets;
mod gates;
mod gemm;
mod meter;
#[cfg(test)]
mod pinned;
mod plan;
mod proving;
mod state;
mod statement;
#[cfg(test)]
mod testing;
mod threshold;
mod tiles;

pub use catalog::{CATALOG, CircuitEntry, TILES, circuit_digests};
pub use checking::{COMPACT_PROOF_BYTES, CheckedProof, THRESHOLD_PROOF_BYTES, ThresholdProof, check_threshold};
pub use error::{ProofError, ProveError};
pub use gemm::{GEMM_K, GemmOperand, GemmPublic, GemmWitness};
pub use plan::{ChainWitness, Job, JobId, JobKind, LeafChoice, Plan, Weighed};
pub use proving::Prover;
pub use state::{ChainClaim, ChainList};
pub use statement::{CircuitId, Violation};
pub use threshold::{Component, MAX_RELATIONS, Relation, ThresholdPublic, TotalRelation};
pub use tiles::{CheckedTile, TileProver, tile_memory};
