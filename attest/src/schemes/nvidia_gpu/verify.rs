//! **Duty.** The steps of NVIDIA's procedure as far as this depth goes, in order: chain to a pinned root, names, report
//! signature, firmware identity. All failures are listed. **Spec.** EVIDENCE §1.1–1.3.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use weighbridge_attest_types::{NotChecked, PlatformClaims, TrustAnchors, UnixMillis};
use x509_parser::prelude::X509Certificate;

use super::GpuEvidence;
use super::chain::{NameFailure, read_fwid, read_identity};
use super::claims::{self, not_checked};
use super::spdm::{GpuReport, OPAQUE_FWID};
use crate::error::{EvidenceError, Failure, untrusted_if_any};
use crate::verified::Verified;
use crate::x509::{Curve, Window, check_path, parse_chain, public_point};

pub(super) fn verify(
    evidence: &GpuEvidence<'_>,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let report = &evidence.report;
    let certificates = parse_chain(evidence.certificates).map_err(untrusted)?;
    let mut window = Window::new(now);
    let mut failures = Vec::new();

    let path = check_path(&certificates, Curve::P384, &anchors.nvidia_device, &mut window)
        .map_err(|found| failures.extend(found))
        .ok();
    let identity = match read_identity(&certificates) {
        Ok(identity) => Some(identity),
        Err(NameFailure::Wrong(failure)) => {
            failures.push(failure);
            None
        }
        // Only a chain that holds makes an unknown chip lawful.
        Err(NameFailure::UnknownFamily(failure)) if failures.is_empty() => {
            return Err(EvidenceError::Unsupported(failure.into()));
        }
        Err(NameFailure::UnknownFamily(_)) => None,
    };
    let mut open = not_checked();
    if let Some(leaf) = certificates.first() {
        failures.extend(check_signature(report, leaf));
        match check_fwid(report, leaf) {
            Ok(unchecked) => open.extend(unchecked),
            Err(failure) => failures.push(failure),
        }
    }
    untrusted_if_any(failures)?;

    let (Some(path), Some(identity)) = (path, identity) else {
        return Err(untrusted(Failure::new("gpu-chain-length", "there is no certificate chain")));
    };
    Ok(Verified::assertion(claims::claims(report, &path, identity, &window, open)))
}

/// ECDSA P-384 over request ‖ response without signature, as received; no SPDM 1.2 prefix.
fn check_signature(report: &GpuReport<'_>, leaf: &X509Certificate<'_>) -> Option<Failure> {
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_point(leaf));
    let holds = key.verify(report.signed(), report.signature()).is_ok();
    (!holds).then(|| Failure::new("gpu-signature", "the leaf certificate's key has not signed this report"))
}

/// The running firmware must be the one that the leaf certificate was made for. Older firmware does not report it.
fn check_fwid(report: &GpuReport<'_>, leaf: &X509Certificate<'_>) -> Result<Option<NotChecked>, Failure> {
    let Some(reported) = report.opaque(OPAQUE_FWID) else {
        return Ok(Some(claims::unchecked("gpu-fwid", "this firmware does not report its identity (field 20)")));
    };
    match read_fwid(leaf) {
        Some(certified) if certified == reported => Ok(None),
        Some(certified) => {
            let (reported, certified) = (hex::encode(reported), hex::encode(certified));
            let message = format!("the report's firmware identity is {reported}, the leaf certificate's {certified}");
            Err(Failure::new("gpu-fwid-differs", message))
        }
        None => Err(Failure::new("gpu-fwid-unknown", "the leaf certificate has no readable firmware identity")),
    }
}

fn untrusted(failure: Failure) -> EvidenceError {
    EvidenceError::Untrusted(failure.into())
}
