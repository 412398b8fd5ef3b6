//! **Duty.** NVIDIA GPU attestation reports, Hopper and Blackwell: signature, device chain, firmware identity, nonce.
//! **Does not know** reference measurements yet, and cannot know whether CC mode is on: the report does not say.
//! **Spec.** EVIDENCE §1.1–1.3.

mod chain;
mod claims;
mod spdm;
mod verify;

use std::convert::Infallible;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::budget::{MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES};
use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

/// Leaf, BROM, provisioner, identity, root.
const CHAIN_CERTIFICATES: usize = 5;

pub(super) struct NvidiaGpu;

/// A parsed report with the certificates that came along.
pub(super) struct GpuEvidence<'a> {
    report: spdm::GpuReport<'a>,
    certificates: &'a [Vec<u8>],
}

impl Scheme for NvidiaGpu {
    const KIND: &'static str = EvidenceKind::NVIDIA_GPU;
    const CHAIN_BESIDE: bool = true;
    type Evidence<'a> = GpuEvidence<'a>;
    /// Reference measurements are not read yet.
    type Endorsement = Infallible;

    fn parse(raw: RawEvidence<'_>) -> Result<GpuEvidence<'_>, EvidenceError> {
        let total = raw.certificates.iter().fold(0usize, |total, der| total.saturating_add(der.len()));
        if raw.certificates.len() > MAX_CHAIN_CERTIFICATES || total > MAX_CHAIN_BYTES {
            let message = format!("a chain of {} certificates and {total} bytes is too long", raw.certificates.len());
            return Err(EvidenceError::Malformed(Failure::new("gpu-chain-size", message).into()));
        }
        let report = spdm::GpuReport::parse(raw.body)?;
        // A chain of another length cannot hold, whatever is signed in it.
        if raw.certificates.len() != CHAIN_CERTIFICATES || raw.certificates.iter().any(Vec::is_empty) {
            let sizes: Vec<usize> = raw.certificates.iter().map(Vec::len).collect();
            let message = format!("a device chain has {CHAIN_CERTIFICATES} certificates, this one has sizes {sizes:?}");
            return Err(EvidenceError::Untrusted(Failure::new("gpu-chain-length", message).into()));
        }
        Ok(GpuEvidence { report, certificates: raw.certificates })
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        Ok(spdm::GpuReport::parse(body)?.canonical())
    }

    fn recognise(_bytes: &[u8]) -> Option<Result<Infallible, Failure>> {
        None
    }

    fn describe(endorsement: &Infallible) -> Vec<VendorStatement> {
        match *endorsement {}
    }

    fn verify(
        evidence: &GpuEvidence<'_>,
        _endorsements: &Endorsements,
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError> {
        verify::verify(evidence, anchors, now)
    }
}
