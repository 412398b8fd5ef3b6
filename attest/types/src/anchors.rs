//! **Duty.** Trust anchors as data: what a Verifier starts from, each with the grade it can lend. **Does not know**
//! where they came from; built-in vendor roots live in `weighbridge-attest`. **Spec.** PROTOCOL §6.

use thiserror::Error;

use crate::{Digest32, Grade};

/// An anchor from a file that claims a grade only a release can lend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("anchor `{name}` claims grade `{}`; an injected anchor can only lend `simulated`", grade.as_str())]
pub struct AnchorGradeError {
    /// Name in the file.
    pub name: String,
    /// Grade in the file.
    pub grade: Grade,
}

/// A vendor root, pinned by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateAnchor {
    /// Name shown to people.
    pub name: String,
    /// Grade of everything below it.
    pub grade: Grade,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Digest32,
    /// The root certificate itself, where a library needs its bytes.
    pub der: Option<Vec<u8>>,
}

/// An authority whose nonces and receipts bracket time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeAnchor {
    /// Name shown to people.
    pub name: String,
    /// Grade of a bracket it signs.
    pub grade: Grade,
    /// Its Ed25519 key.
    pub key: Digest32,
}

/// How a beacon signs its rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeaconScheme {
    /// `pedersen-bls-chained`: key on G1, signature on G2 over the previous signature and the round.
    Chained,
    /// `bls-unchained-g1-rfc9380`: key on G2, signature on G1 over the round alone.
    UnchainedG1,
}

impl BeaconScheme {
    /// The name that drand gives it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chained => "pedersen-bls-chained",
            Self::UnchainedG1 => "bls-unchained-g1-rfc9380",
        }
    }

    /// Bytes of its public key.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Chained => 48,
            Self::UnchainedG1 => 96,
        }
    }
}

/// A chain of beacon rounds, pinned with everything that its hash covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeaconAnchor {
    /// Name shown to people.
    pub name: String,
    /// Grade of a bracket that starts with one of its rounds.
    pub grade: Grade,
    /// Hash of the chain's parameters: its identity.
    pub chain_hash: Digest32,
    /// Group key, compressed.
    pub public_key: Vec<u8>,
    /// Unix time of round 1, in seconds.
    pub genesis_seconds: u64,
    /// Seconds from one round to the next.
    pub period_seconds: u32,
    /// How rounds are signed.
    pub scheme: BeaconScheme,
}

/// Everything a Verifier trusts at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustAnchors {
    /// Intel SGX/TDX roots.
    pub intel: Vec<CertificateAnchor>,
    /// NVIDIA device identity roots.
    pub nvidia_device: Vec<CertificateAnchor>,
    /// NVIDIA roots for reference values (RIM).
    pub nvidia_rim: Vec<CertificateAnchor>,
    /// AMD root keys (ARK), one per product line.
    pub amd: Vec<CertificateAnchor>,
    /// Time authorities.
    pub time: Vec<TimeAnchor>,
    /// Randomness beacons.
    pub beacons: Vec<BeaconAnchor>,
    /// Roots of RFC 3161 timestamp authorities.
    pub timestamp: Vec<CertificateAnchor>,
}
