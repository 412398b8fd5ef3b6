//! **Duty.** THE table of circuits: id, pinned description, size of a proof. Digest tests walk it.

use weighbridge_attest_types::{Digest32, sha256};

use crate::CircuitId;

/// One circuit of this version.
#[derive(Debug, Clone, Copy)]
pub struct CircuitEntry {
    /// Its name.
    pub id: CircuitId,
    /// Its pinned description: gates, shape and plonky2's digest of the circuit, as text.
    pub description: &'static str,
    /// Bytes of a proof without its public inputs: the circuit fixes them.
    pub proof_bytes: usize,
}

/// A row of the table: the files of a circuit have its name.
macro_rules! entry {
    ($id:literal) => {
        CircuitEntry {
            id: $id,
            description: include_str!(concat!("../fixtures/", $id, ".description")),
            proof_bytes: include!(concat!("../fixtures/", $id, ".proof-bytes")),
        }
    };
}

/// All circuits, inner ones first.
pub static CATALOG: &[CircuitEntry] = &[
    entry!("meter-long"),
    entry!("meter-short"),
    entry!("wrap-long"),
    entry!("wrap-short"),
    entry!("fold"),
    entry!("threshold"),
    entry!("compact"),
];

/// Circuits over single tiles. Their proofs are no part of a bundle yet, so that they stand in a table of their own: the
/// other one's digests are in what a bundle's proof is bound to. Their descriptions end with a digest of their constraints, which
/// the other table's have not.
pub static TILES: &[CircuitEntry] = &[
    // One line each: the law reads them.
    entry!("gemm-128"),
    entry!("gemm-1024"),
];

/// SHA-256 of every pinned description: which circuits a bundle was proven with.
#[must_use]
pub fn circuit_digests() -> Vec<(CircuitId, Digest32)> {
    CATALOG.iter().map(|entry| (entry.id, sha256(entry.description.as_bytes()))).collect()
}
