//! **Duty.** THE definition of meter commitments and heads; the meter circuit repeats exactly these inputs.

use weighbridge_attest_types::{ChainStart, Digest32, Domain, PoseidonDigest, Reading};
use weighbridge_commitments::{digest_elements, poseidon, salt_elements};

/// `meter_i = Poseidon(domain, reading_i, salt_i)`.
#[must_use]
pub fn meter_commitment(reading: &Reading, salt: &[u8; 28]) -> PoseidonDigest {
    let mut elements = reading.elements().to_vec();
    elements.extend(salt_elements(salt));
    poseidon(Domain::Meter, &elements)
}

/// `head_0 = Poseidon(domain, genesis, node key digest, device set digest, predecessor head or 0)`.
#[must_use]
pub fn head_0(start: &ChainStart) -> PoseidonDigest {
    let ChainStart { genesis, node_key, device_set, predecessor } = start;
    let mut elements = Vec::with_capacity(19);
    elements.extend(digest_elements(*genesis));
    elements.extend(digest_elements(node_key.digest()));
    elements.extend(digest_elements(*device_set));
    elements.extend(predecessor.unwrap_or_default().elements());
    poseidon(Domain::Head0, &elements)
}

/// `head_i = Poseidon(domain, i, head_{i−1}, meter_i, pack(SHA-256(public_i)))`.
#[must_use]
pub fn next_head(index: u64, previous: PoseidonDigest, meter: PoseidonDigest, public: Digest32) -> PoseidonDigest {
    let mut elements = Vec::with_capacity(14);
    elements.push(index);
    elements.extend(previous.elements());
    elements.extend(meter.elements());
    elements.extend(digest_elements(public));
    poseidon(Domain::Head, &elements)
}
