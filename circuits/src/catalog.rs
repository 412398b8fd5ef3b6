//! **Duty.** THE table of circuits: id and pinned description. Digest tests walk it.

use weighbridge_attest_types::{Digest32, sha256};

use crate::CircuitId;

/// One circuit of this version.
#[derive(Debug, Clone, Copy)]
pub struct CircuitEntry {
    /// Its name.
    pub id: CircuitId,
    /// Its pinned description: gates, shape and plonky2's digest of the circuit, as text.
    pub description: &'static str,
}

/// All circuits, inner ones first.
pub static CATALOG: &[CircuitEntry] = &[
    CircuitEntry { id: "meter", description: include_str!("../fixtures/meter.description") },
    CircuitEntry { id: "aggregation", description: include_str!("../fixtures/aggregation.description") },
    CircuitEntry { id: "threshold", description: include_str!("../fixtures/threshold.description") },
];

/// SHA-256 of every pinned description: which circuits a bundle was proven with.
#[must_use]
pub fn circuit_digests() -> Vec<(CircuitId, Digest32)> {
    CATALOG.iter().map(|entry| (entry.id, sha256(entry.description.as_bytes()))).collect()
}
