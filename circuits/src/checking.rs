//! **Duty.** Checking a published proof. The verifier key ships with the binary: no circuit is built here.
//! **Knows** one circuit. **Does not know** how proofs are made.

use std::sync::OnceLock;

use plonky2::field::types::Field as _;
use plonky2::plonk::proof::{Proof, ProofWithPublicInputs};
use plonky2::util::serialization::{Buffer, DefaultGateSerializer, Read, Write};

use weighbridge_attest_types::GOLDILOCKS_ORDER;

use crate::statement::{Config, EXTENSION, Field, FieldLayout, VerifierKey};
use crate::{ProofError, ThresholdPublic};

/// Size of a published proof in bytes: the circuit fixes it.
pub const THRESHOLD_PROOF_BYTES: usize = include!("../fixtures/threshold.proof-bytes");

/// A statement whose proof was checked; the only constructor is [`check_threshold`]. By itself it says nothing about a
/// run: genesis, starts and ends are whatever the prover named, until a reader compares them with recomputed ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedProof {
    public: ThresholdPublic,
}

impl CheckedProof {
    /// What was proven.
    #[must_use]
    pub const fn public(&self) -> &ThresholdPublic {
        &self.public
    }
}

/// Checks a published proof of the `threshold` statement.
///
/// # Errors
/// [`ProofError`]: wrong size, not canonical, public part out of range, or it does not hold.
pub fn check_threshold(public: &ThresholdPublic, proof: &[u8]) -> Result<CheckedProof, ProofError> {
    let elements = public.inputs()?.to_elements();
    if elements.iter().any(|&element| element >= GOLDILOCKS_ORDER) {
        return Err(ProofError::Public("an element is p or more"));
    }
    let key = verifier_key()?;
    let proof = parse(proof, key)?;
    let public_inputs = elements.into_iter().map(Field::from_canonical_u64).collect();
    key.verify(ProofWithPublicInputs { proof, public_inputs }).map_err(|_| ProofError::DoesNotHold)?;
    Ok(CheckedProof { public: public.clone() })
}

/// The bytes of a proof without its public inputs: a reader recomputes those.
pub(crate) fn encode(proof: &Proof<Field, Config, EXTENSION>) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    // Writing to memory does not fail; a short buffer would not parse.
    let _infallible = bytes.write_proof(proof);
    bytes
}

/// The size is fixed, so that nothing is allocated by what the bytes announce; elements at or above p would give one
/// proof two encodings, so that the bytes must be what we would write.
fn parse(bytes: &[u8], key: &VerifierKey) -> Result<Proof<Field, Config, EXTENSION>, ProofError> {
    if bytes.len() != THRESHOLD_PROOF_BYTES {
        return Err(ProofError::Size { found: bytes.len(), expected: THRESHOLD_PROOF_BYTES });
    }
    let proof = Buffer::new(bytes).read_proof(&key.common).map_err(|_| ProofError::NotCanonical)?;
    if encode(&proof) == bytes { Ok(proof) } else { Err(ProofError::NotCanonical) }
}

fn verifier_key() -> Result<&'static VerifierKey, ProofError> {
    static KEY: OnceLock<Result<VerifierKey, ProofError>> = OnceLock::new();
    let read = || {
        let bytes = include_bytes!("../fixtures/threshold.verifier").to_vec();
        VerifierKey::from_bytes(bytes, &DefaultGateSerializer)
            .map_err(|error| ProofError::VerifierKey(format!("{error:?}")))
    };
    KEY.get_or_init(read).as_ref().map_err(Clone::clone)
}
