//! **Duty.** NVIDIA GPU attestation reports, Hopper and Blackwell: signature, device chain, firmware identity, nonce.
//! **Does not know** reference measurements yet, and cannot know whether CC mode is on: the report does not say.
//! **Spec.** EVIDENCE §1.1–1.3.

mod chain;
mod claims;
mod spdm;
mod verify;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::budget::{MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES};
use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(super) struct NvidiaGpu;

/// A parsed report with the certificates that came along.
pub(super) struct GpuEvidence<'a> {
    report: spdm::GpuReport<'a>,
    certificates: &'a [Vec<u8>],
}

impl Scheme for NvidiaGpu {
    const KIND: &'static str = EvidenceKind::NVIDIA_GPU;
    type Evidence<'a> = GpuEvidence<'a>;

    fn parse(raw: RawEvidence<'_>) -> Result<GpuEvidence<'_>, EvidenceError> {
        let total = raw.certificates.iter().fold(0usize, |total, der| total.saturating_add(der.len()));
        if raw.certificates.len() > MAX_CHAIN_CERTIFICATES || total > MAX_CHAIN_BYTES {
            let message = format!("a chain of {} certificates and {total} bytes is too long", raw.certificates.len());
            return Err(EvidenceError::Malformed(Failure::new("gpu-chain-size", message).into()));
        }
        Ok(GpuEvidence { report: spdm::GpuReport::parse(raw.body)?, certificates: raw.certificates })
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        Ok(spdm::GpuReport::parse(body)?.canonical())
    }

    fn verify(
        evidence: &GpuEvidence<'_>,
        _endorsements: &[Vec<u8>],
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError> {
        verify::verify(evidence, anchors, now)
    }
}
