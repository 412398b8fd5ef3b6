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

/// Everything a Verifier trusts at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustAnchors {
    /// Intel SGX/TDX roots.
    pub intel: Vec<CertificateAnchor>,
    /// NVIDIA device identity roots.
    pub nvidia_device: Vec<CertificateAnchor>,
    /// AMD root keys (ARK), one per product line.
    pub amd: Vec<CertificateAnchor>,
    /// Time authorities.
    pub time: Vec<TimeAnchor>,
}
