//! **Duty.** Native commitments: Poseidon with domain tags, packing, and the roots of checkpoints. **Knows** files and
//! safetensors. **Does not know** the circuit builder: a node can commit without a prover. **Spec.** PROTOCOL §3,
//! CIRCUITS §3.

mod poseidon;

pub use poseidon::{digest_elements, pack7, poseidon, salt_elements};
