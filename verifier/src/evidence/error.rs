//! **Duty.** Why a file cannot be evidence, before any scheme looks at it. **Spec.** HOUSE §5.

use thiserror::Error;
use weighbridge_attest::EvidenceError;
use weighbridge_attest_types::{CodecError, Culprit};

/// Why a file of evidence was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvidenceFileError {
    /// No bytes, or white space.
    #[error("the file is empty")]
    Empty,
    /// An odd number of hex digits.
    #[error("an odd number of hex digits: the text was cut")]
    OddHex,
    /// Text in no encoding that evidence has.
    #[error("the text is neither hex nor base64")]
    Text,
    /// An object, or another list than the one that is read.
    #[error("JSON of an unknown form; a list of objects with `evidence` and `certificate` in base64 is read")]
    Json,
    /// None, or too many at once.
    #[error("{found} pieces of evidence; give 1 to {most}")]
    Count {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// PEM of something else than certificates.
    #[error("PEM, but not of certificates")]
    Pem(#[source] EvidenceError),
    /// A certificate chain where evidence of this kind has none.
    #[error("a certificate chain; evidence of kind {kind} carries its own, and its endorsements go to --endorsements")]
    ChainForKind {
        /// The kind that was named.
        kind: String,
    },
    /// Certificates and nothing that they could belong to.
    #[error("only certificates were given as evidence")]
    OnlyChains,
    /// A set that does not parse.
    #[error("the evidence set does not parse")]
    Set(#[source] CodecError),
    /// More than one set.
    #[error("several files; an evidence set is one file with all devices in it")]
    OneSet,
    /// A folder with more than anybody reads.
    #[error("more than {most} files, or folders deeper than {depth}")]
    Folder {
        /// Files that are read.
        most: usize,
        /// Folders within folders.
        depth: usize,
    },
}

impl EvidenceFileError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::OneSet | Self::OnlyChains | Self::Folder { .. } => Culprit::Usage,
            Self::Empty
            | Self::OddHex
            | Self::Text
            | Self::Json
            | Self::Count { .. }
            | Self::Pem(_)
            | Self::ChainForKind { .. }
            | Self::Set(_) => Culprit::Malformed,
        }
    }

    /// Stable code for `--format json`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "evidence-empty",
            Self::OddHex | Self::Text => "evidence-encoding",
            Self::Json => "evidence-json",
            Self::Count { .. } => "evidence-count",
            Self::Pem(_) => "evidence-pem",
            Self::ChainForKind { .. } | Self::OnlyChains => "evidence-certificates",
            Self::Set(_) | Self::OneSet => "evidence-set",
            Self::Folder { .. } => "endorsements-folder",
        }
    }

    /// What the person can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "collect the evidence again",
            Self::OddHex | Self::Text => "give the raw bytes, hex or base64, and nothing else in the file",
            Self::Json => "take the evidence out of the JSON and give it as a file of its own",
            Self::Count { .. } => "appraise one node at a time",
            Self::Pem(_) | Self::ChainForKind { .. } => "give certificates and lists with --endorsements",
            Self::OnlyChains => "give the report as well: --evidence REPORT --evidence CHAIN",
            Self::Set(_) => "take the member evidence/… out of a node export again",
            Self::OneSet => "appraise each set by itself",
            Self::Folder { .. } => "name the folders or files that are needed",
        }
    }
}
