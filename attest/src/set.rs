//! **Duty.** A node is a composite device: its CPU quote leads, and every accelerator report must be bound to the same
//! node key, head and challenge. **Does not know** which devices the roster wants. **Spec.** PROTOCOL §3, EVIDENCE §1.9.

use std::fmt;

use weighbridge_attest_types::{
    BoundValue, Device, DeviceEvidence, EvidenceKind, EvidenceSet, PlatformClaims, TrustAnchors, UnixMillis,
    device_evidence_digest,
};

use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::scheme::RawEvidence;
use crate::schemes::{check_structure, verify_with};
use crate::verified::{Bound, BoundSet};

/// Kinds that lead a set and are never led.
const CPU_KINDS: [&str; 3] = [EvidenceKind::AZURE_HCL, EvidenceKind::SEV_SNP, EvidenceKind::TDX];

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
    verify_set_with(set, &Endorsements::recognise(endorsements), anchors, now)
}

/// The same with endorsements that were parsed once, for many sets. What can be refused without a signature is refused
/// first, over all members.
///
/// # Errors
/// [`EvidenceError`].
pub fn verify_set_with(
    set: &EvidenceSet,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<BoundSet, EvidenceError> {
    verify_members(set, endorsements, anchors, now).join(set)
}

/// Whom a refusal within a set is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetMember {
    /// The set as a whole.
    Set,
    /// Its CPU evidence.
    Cpu,
    /// One accelerator, by what the set says it is.
    Device(Device),
}

/// What became of each member of a set.
#[derive(Debug)]
pub struct SetMembers {
    /// Every refusal. Where a member is refused before any signature, no signature of any member was looked at.
    pub refusals: Vec<(SetMember, EvidenceError)>,
    /// The CPU platform, if its evidence holds and is bound.
    pub cpu: Option<Bound<PlatformClaims>>,
    /// The accelerators whose evidence holds and is bound, in the order of the set.
    pub devices: Vec<Bound<PlatformClaims>>,
}

/// Verifies and binds every member, and says of each what became of it. What can be refused without a signature is
/// refused first, over all members.
#[must_use]
pub fn verify_members(
    set: &EvidenceSet,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> SetMembers {
    let mut members = SetMembers { refusals: check_structures(set), cpu: None, devices: Vec::new() };
    members.refusals.extend(endorsements.within_budget().err().map(|error| (SetMember::Set, error)));
    if !members.refusals.is_empty() {
        return members;
    }
    match bind_cpu(set, endorsements, anchors, now) {
        Ok(cpu) => members.cpu = Some(cpu),
        Err(error) => members.refusals.push((SetMember::Cpu, error)),
    }
    for evidence in &set.devices {
        match bind_device(set, evidence, endorsements, anchors, now) {
            Ok(bound) => members.devices.push(bound),
            Err(error) => members.refusals.push((SetMember::Device(evidence.device), error)),
        }
    }
    members
}

impl SetMembers {
    /// All members, or the worst class of refusals with each member named.
    fn join(self, set: &EvidenceSet) -> Result<BoundSet, EvidenceError> {
        let Self { refusals, cpu, devices } = self;
        let named: Vec<_> = refusals.into_iter().map(|(member, error)| (member.to_string(), error)).collect();
        match (cpu, EvidenceError::worst(&named)) {
            (_, Some(error)) => Err(error),
            (Some(cpu), None) => Ok(BoundSet::assertion(set.binding.clone(), cpu, devices)),
            // Nothing was refused and nothing holds: [`verify_members`] broke its promise.
            (None, None) => Err(malformed("cpu-missing", "the set has no CPU evidence".to_owned())),
        }
    }
}

impl fmt::Display for SetMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set => f.write_str("set"),
            Self::Cpu => f.write_str("cpu"),
            Self::Device(device) => write!(f, "device {}", device.0),
        }
    }
}

/// The order, and the structure of each member.
fn check_structures(set: &EvidenceSet) -> Vec<(SetMember, EvidenceError)> {
    let order = check_order(set).into_iter().map(|error| (SetMember::Set, error));
    let cpu = check_member(&set.cpu.kind, raw_cpu(set)).err().map(|error| (SetMember::Cpu, error));
    let devices = set.devices.iter().filter_map(|evidence| {
        let error = check_member(&evidence.kind, raw_device(evidence)).err()?;
        Some((SetMember::Device(evidence.device), error))
    });
    order.chain(cpu).chain(devices).collect()
}

/// Digests are taken over quotes and reports, so only one spelling of each may stand in a set.
fn check_member(kind: &EvidenceKind, raw: RawEvidence<'_>) -> Result<(), EvidenceError> {
    let canonical = check_structure(kind, raw)?;
    if canonical.len() == raw.body.len() {
        return Ok(());
    }
    let message = "bytes follow the quote or report; collectors cut them off".to_owned();
    Err(malformed("report-not-canonical", message))
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
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Bound<PlatformClaims>, EvidenceError> {
    let verified = verify_with(&set.cpu.kind, raw_cpu(set), endorsements, anchors, now)?;
    let report_data = set.binding.report_data(device_evidence_digest(&set.devices));
    verified.bind(&BoundValue::ReportData(report_data))
}

fn bind_device(
    set: &EvidenceSet,
    evidence: &DeviceEvidence,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Bound<PlatformClaims>, EvidenceError> {
    // A VM's evidence could answer the nonce of a device; it is a CPU all the same.
    if CPU_KINDS.contains(&evidence.kind.as_str()) {
        let message = format!("evidence of kind {} comes from a CPU, and no accelerator", evidence.kind);
        return Err(EvidenceError::Untrusted(Failure::new("device-kind", message).into()));
    }
    let verified = verify_with(&evidence.kind, raw_device(evidence), endorsements, anchors, now)?;
    // The device comes from the certificates; what the set says is only a claim about it.
    if verified.claims().device != Some(evidence.device) {
        let found = verified.claims().device.map_or("no device".to_owned(), |device| device.0.to_string());
        let message = format!("the certificates name {found}, the set says {}", evidence.device.0);
        return Err(EvidenceError::Untrusted(Failure::new("device-differs", message).into()));
    }
    verified.bind(&BoundValue::Nonce(set.binding.gpu_nonce(evidence.device).0))
}

fn raw_cpu(set: &EvidenceSet) -> RawEvidence<'_> {
    RawEvidence { body: &set.cpu.body, certificates: &[] }
}

fn raw_device(evidence: &DeviceEvidence) -> RawEvidence<'_> {
    RawEvidence { body: &evidence.report, certificates: &evidence.certificates }
}

fn malformed(code: &'static str, message: String) -> EvidenceError {
    EvidenceError::Malformed(Failure::new(code, message).into())
}
