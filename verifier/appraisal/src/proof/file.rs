//! **Duty.** A proof that stands alone, as `weighbridge meter prove` writes it: circuits, statement, proof. The same three
//! parts are members of a bundle. **Does not know** whether any of it holds. **Spec.** PROTOCOL §4, §7.

use weighbridge_attest_types::{CodecError, Decoder, Encoder};
use weighbridge_circuits::{THRESHOLD_PROOF_BYTES, ThresholdProof};

use super::circuits_member;
use crate::ingest::ProofParts;

/// How such a file begins: name and version of the form.
const MAGIC: [u8; 8] = *b"WBPROOF2";

/// A proof with its statement and the circuits that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile(ProofParts);

impl ProofFile {
    /// Most bytes of such a file: the larger form of a proof is 149,036 bytes, circuits and statement are below 2 KiB.
    pub const MAX_BYTES: u64 = 256 * 1024;

    /// A proof by the circuits of this version.
    #[must_use]
    pub fn new(proof: ThresholdProof) -> Self {
        let ThresholdProof { public, proof } = proof;
        Self(ProofParts { public, proof, circuits: circuits_member() })
    }

    /// Reads a file; nothing is checked but its form.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Decoder::new(bytes);
        if input.array()? != MAGIC {
            return Err(CodecError::NotCanonical("the beginning of a proof file"));
        }
        let circuits = input.field()?.to_vec();
        let public = input.take()?;
        // The larger of the two forms, which is longer than a field may be.
        let length = input.count("proof", THRESHOLD_PROOF_BYTES)?;
        let proof = input.raw(length)?.to_vec();
        input.end()?;
        Ok(Self(ProofParts { public, proof, circuits }))
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let ProofParts { public, proof, circuits } = &self.0;
        let mut out = Encoder::new();
        out.raw(&MAGIC).field(circuits).put(public).field(proof);
        out.finish()
    }

    /// Whether it was made for the circuits of this version.
    #[must_use]
    pub fn is_of_this_version(&self) -> bool {
        self.0.circuits == circuits_member()
    }

    /// Statement and proof.
    #[must_use]
    pub fn into_proof(self) -> ThresholdProof {
        ThresholdProof { public: self.0.public, proof: self.0.proof }
    }

    pub(super) const fn parts(&self) -> &ProofParts {
        &self.0
    }
}
