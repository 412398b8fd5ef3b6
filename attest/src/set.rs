//! **Duty.** A node is a composite device: its CPU quote leads, and every accelerator report must be bound to the same
//! node key, head and challenge. **Does not know** which devices the roster wants. **Spec.** PROTOCOL §3, EVIDENCE §1.9.

use weighbridge_attest_types::{
    BoundValue, DeviceEvidence, EvidenceSet, PlatformClaims, TrustAnchors, UnixMillis, device_evidence_digest,
};

use crate::error::{EvidenceError, Failure};
use crate::scheme::RawEvidence;
use crate::schemes::{canonical_slice, verify};
use crate::verified::{Bound, BoundSet};

/// Verifies and binds every member. A refusal names each member that failed in the worst class found.
///
/// # Errors
/// [`EvidenceError`].
pub fn verify_set(
    set: &EvidenceSet,
    endorsements: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<BoundSet, EvidenceError> {
    let mut refusals: Vec<(String, EvidenceError)> =
        check_order(set).into_iter().map(|error| ("set".to_owned(), error)).collect();
    let cpu = bind_cpu(set, endorsements, anchors, now);
    refusals.extend(cpu.as_ref().err().map(|error| ("cpu".to_owned(), error.clone())));
    let mut devices = Vec::new();
    for evidence in &set.devices {
        match bind_device(set, evidence, endorsements, anchors, now) {
            Ok(bound) => devices.push(bound),
            Err(error) => refusals.push((format!("device {}", evidence.device.0), error)),
        }
    }
    match (cpu, EvidenceError::worst(&refusals)) {
        (Ok(cpu), None) => Ok(BoundSet::assertion(set.binding.clone(), cpu, devices)),
        (_, Some(error)) | (Err(error), None) => Err(error),
    }
}

/// What can be said before any signature: the binding's own rule, and each device once, ascending.
fn check_order(set: &EvidenceSet) -> Vec<EvidenceError> {
    let mut errors = Vec::new();
    if !set.binding.is_consistent() {
        let message = "a key quote's binding speaks of a run, a head or an index".to_owned();
        errors.push(malformed("binding-inconsistent", message));
    }
    for (earlier, later) in set.devices.iter().zip(set.devices.iter().skip(1)) {
        if earlier.device == later.device {
            let message = format!("device {} appears twice", later.device.0);
            errors.push(EvidenceError::Untrusted(Failure::new("device-repeated", message).into()));
        } else if earlier.device > later.device {
            errors.push(malformed("devices-not-ascending", format!("device {} is out of order", later.device.0)));
        }
    }
    errors
}

fn bind_cpu(
    set: &EvidenceSet,
    endorsements: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Bound<PlatformClaims>, EvidenceError> {
    let raw = RawEvidence { body: &set.cpu.body, certificates: &[] };
    let verified = verify(&set.cpu.kind, raw, endorsements, anchors, now)?;
    let report_data = set.binding.report_data(device_evidence_digest(&set.devices));
    verified.bind(&BoundValue::ReportData(report_data))
}

fn bind_device(
    set: &EvidenceSet,
    evidence: &DeviceEvidence,
    endorsements: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Bound<PlatformClaims>, EvidenceError> {
    // A digest is taken over the report, so only one spelling of a report may stand in a set.
    let canonical = canonical_slice(&evidence.kind, &evidence.report)?;
    if canonical.len() != evidence.report.len() {
        let message = "bytes follow the report; collectors cut them off".to_owned();
        return Err(malformed("report-not-canonical", message));
    }
    let raw = RawEvidence { body: &evidence.report, certificates: &evidence.certificates };
    let verified = verify(&evidence.kind, raw, endorsements, anchors, now)?;
    // The device comes from the certificates; what the set says is only a claim about it.
    if verified.claims().device != Some(evidence.device) {
        let found = verified.claims().device.map_or("no device".to_owned(), |device| device.0.to_string());
        let message = format!("the certificates name {found}, the set says {}", evidence.device.0);
        return Err(EvidenceError::Untrusted(Failure::new("device-differs", message).into()));
    }
    verified.bind(&BoundValue::Nonce(set.binding.gpu_nonce(evidence.device).0))
}

fn malformed(code: &'static str, message: String) -> EvidenceError {
    EvidenceError::Malformed(Failure::new(code, message).into())
}
