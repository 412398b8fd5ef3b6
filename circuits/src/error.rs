//! **Duty.** plonky2's bare errors, translated: who is at fault and what to do.

use thiserror::Error;
use weighbridge_attest_types::Culprit;

use crate::Violation;

/// Why no proof was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The statement is false.
    #[error("nothing was proven, because the statement is false")]
    Violation(#[source] Violation),
    /// The run does not fit the fixed shape of this version's circuits.
    #[error("{what}: {found}, but the circuits of this version prove at most {most}; assemble without a proof")]
    Shape {
        /// What does not fit.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many fit.
        most: usize,
    },
    /// A node key that recorded nothing: the circuits have no empty chain.
    #[error(
        "chain {chain} of the run has no interval, and the circuits of this version prove no empty chain; assemble without a proof"
    )]
    EmptyChain {
        /// Position, from 1.
        chain: usize,
    },
    /// A true statement that the prover could not prove: ours.
    #[error("the prover failed on circuit `{circuit}`: {detail}")]
    Prover {
        /// Which circuit.
        circuit: &'static str,
        /// What plonky2 said.
        detail: String,
    },
}

/// Why a proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not the size of a proof of this circuit.
    #[error("the proof has {found} bytes; a proof of this circuit has {expected}")]
    Size {
        /// Found.
        found: usize,
        /// Expected.
        expected: usize,
    },
    /// Not the one encoding of a proof.
    #[error("the proof is not in canonical form")]
    NotCanonical,
    /// Public parts that no statement of this circuit can have.
    #[error("the statement's public part is out of range: {0}")]
    Public(&'static str),
    /// The proof does not hold for this statement.
    #[error("the proof does not hold for this statement and this version's circuit")]
    DoesNotHold,
    /// Our own verifier key is unreadable.
    #[error("the built-in verifier key does not parse: {0}")]
    VerifierKey(String),
}

impl ProveError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Violation(violation) => violation.culprit(),
            Self::Shape { .. } | Self::EmptyChain { .. } => Culprit::Unsupported,
            Self::Prover { .. } => Culprit::Internal,
        }
    }
}

impl ProofError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Size { .. } | Self::NotCanonical | Self::Public(_) => Culprit::Malformed,
            Self::DoesNotHold => Culprit::Untrusted,
            Self::VerifierKey(_) => Culprit::Internal,
        }
    }
}
