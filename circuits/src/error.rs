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
    /// An opening that does not fit its ledger, or a total out of range.
    #[error("nothing was proven: chain {chain} of the run, from 1, does not add up")]
    InChain {
        /// Position, from 1.
        chain: usize,
        /// What does not hold.
        #[source]
        violation: Violation,
    },
    /// Nothing to prove anything about.
    #[error("the run has no chain; give the export of every node")]
    NoChains,
    /// One chain in two places.
    #[error("chains {first} and {second} of the run, from 1, begin at one head; give the export of each node key once")]
    Repeated {
        /// Position, from 1.
        first: usize,
        /// Position, from 1.
        second: usize,
    },
    /// Openings that are missing, or too many.
    #[error(
        "chain {chain} of the run, from 1, has {openings} openings for {intervals} intervals;          give the witness that the node wrote with this export"
    )]
    Openings {
        /// Position, from 1.
        chain: usize,
        /// Openings.
        openings: usize,
        /// Intervals of the ledger.
        intervals: usize,
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
            Self::Violation(violation) | Self::InChain { violation, .. } => violation.culprit(),
            Self::NoChains | Self::Repeated { .. } | Self::Openings { .. } => Culprit::Usage,
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
