//! **Duty.** Checking a published proof. The verifier keys ship with the binary: no circuit is built here.
//! **Knows** two forms of one statement. **Does not know** how proofs are made.

use std::sync::OnceLock;

use plonky2::field::types::Field as _;
use plonky2::plonk::proof::{Proof, ProofWithPublicInputs};
use plonky2::util::serialization::{Buffer, DefaultGateSerializer, Read, Write};

use weighbridge_attest_types::GOLDILOCKS_ORDER;

use crate::statement::{Common, Config, EXTENSION, Field, FieldLayout, Proven, VerifierKey};
use crate::{ProofError, ThresholdPublic};

/// Size of a published proof in bytes: the circuit fixes it.
pub const THRESHOLD_PROOF_BYTES: usize = include!("../fixtures/threshold.proof-bytes");
/// Size of a published proof in its compact form.
pub const COMPACT_PROOF_BYTES: usize = include!("../fixtures/compact.proof-bytes");

/// A published proof with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdProof {
    /// The statement.
    pub public: ThresholdPublic,
    /// The proof, in either form.
    pub proof: Vec<u8>,
}

/// A statement whose proof was checked; the only constructor is [`check_threshold`]. By itself it says nothing about a
/// run: genesis, chains and context are whatever the prover named, until a reader compares them with recomputed ledgers.
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

/// Checks a published proof of the `threshold` statement, in either form: the size tells which.
///
/// # Errors
/// [`ProofError`]: wrong size, not canonical, public part out of range, or it does not hold.
pub fn check_threshold(public: &ThresholdPublic, proof: &[u8]) -> Result<CheckedProof, ProofError> {
    let elements = public.inputs()?.to_elements();
    if elements.iter().any(|&element| element >= GOLDILOCKS_ORDER) {
        return Err(ProofError::Public("an element is p or more"));
    }
    let (key, size) = match proof.len() {
        COMPACT_PROOF_BYTES => (compact_key()?, COMPACT_PROOF_BYTES),
        _ => (threshold_key()?, THRESHOLD_PROOF_BYTES),
    };
    let proven = parse(proof, size, &key.common, &elements)?;
    key.verify(proven).map_err(|_| ProofError::DoesNotHold)?;
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
pub(crate) fn parse(bytes: &[u8], size: usize, common: &Common, inputs: &[u64]) -> Result<Proven, ProofError> {
    if bytes.len() != size {
        return Err(ProofError::Size { found: bytes.len(), expected: size });
    }
    let proof = Buffer::new(bytes).read_proof(common).map_err(|_| ProofError::NotCanonical)?;
    if encode(&proof) != bytes {
        return Err(ProofError::NotCanonical);
    }
    let public_inputs = inputs.iter().map(|&element| Field::from_canonical_u64(element)).collect();
    Ok(ProofWithPublicInputs { proof, public_inputs })
}

/// A verifier key as it ships.
pub(crate) fn read_key(bytes: &[u8]) -> Result<VerifierKey, ProofError> {
    VerifierKey::from_bytes(bytes.to_vec(), &DefaultGateSerializer)
        .map_err(|error| ProofError::VerifierKey(format!("{error:?}")))
}

pub(crate) fn threshold_key() -> Result<&'static VerifierKey, ProofError> {
    static KEY: OnceLock<Result<VerifierKey, ProofError>> = OnceLock::new();
    KEY.get_or_init(|| read_key(include_bytes!("../fixtures/threshold.verifier"))).as_ref().map_err(Clone::clone)
}

pub(crate) fn compact_key() -> Result<&'static VerifierKey, ProofError> {
    static KEY: OnceLock<Result<VerifierKey, ProofError>> = OnceLock::new();
    KEY.get_or_init(|| read_key(include_bytes!("../fixtures/compact.verifier"))).as_ref().map_err(Clone::clone)
}
