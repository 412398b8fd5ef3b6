//! **Duty.** From a checked report to claims, normalised and NVIDIA's own. **Spec.** EVIDENCE §1.2–1.9.

use weighbridge_attest_types::{
    BoundValue, ChipFamily, Device, EvidenceKind, NotChecked, NvidiaClaims, NvidiaRevocation, PlatformClaims,
    ReferenceValues,
};

use super::chain::DeviceIdentity;
use super::part::Part;
use super::report::MeasurementReport;
use crate::x509::{TrustedPath, Window};

/// Everything that was found out about a report.
#[derive(Debug)]
pub(super) struct Checked<'c, 'a> {
    pub(super) path: TrustedPath<'c, 'a>,
    pub(super) identity: DeviceIdentity,
    pub(super) window: Window,
    pub(super) compared: ReferenceValues,
    pub(super) revocation: NvidiaRevocation,
    pub(super) open: Vec<NotChecked>,
}

pub(super) fn claims(part: Part, report: &MeasurementReport<'_>, checked: Checked<'_, '_>) -> PlatformClaims {
    let Checked { path, identity, window, compared, revocation, open } = checked;
    let kind = EvidenceKind::new(part.kind());
    // Reference values are worth what their own anchor is worth: the weaker of both decides.
    let grades = compared.applied.iter().map(|rim| rim.grade);
    let grade = grades.fold(path.anchor().grade, Ord::min);
    PlatformClaims {
        device: Some(Device::derive(&kind, &identity.pdi.0)),
        kind,
        grade,
        anchor: path.anchor().name.clone(),
        bound_value: BoundValue::Nonce(report.nonce()),
        chip_family: Some(ChipFamily(identity.family.in_certificates.to_owned())),
        tcb_status: None,
        advisories: Vec::new(),
        debug: None,
        sept_ve_disable: None,
        migratable: None,
        measurement: None,
        valid_until: window.until(),
        not_checked: open,
        snp: None,
        nvidia: Some(Box::new(own_claims(report, identity, compared, revocation))),
    }
}

fn own_claims(
    report: &MeasurementReport<'_>,
    identity: DeviceIdentity,
    reference_values: ReferenceValues,
    revocation: NvidiaRevocation,
) -> NvidiaClaims {
    let opaque = report.opaque();
    NvidiaClaims {
        pdi: identity.pdi,
        hw_model: identity.hw_model,
        ueid: identity.ueid,
        vbios_version: opaque.vbios_version.clone(),
        fwid: opaque.fwid,
        opaque_version: opaque.opaque_version,
        measurements: report.measurements().to_vec(),
        extend_counters: opaque.extend_counters.clone(),
        uninterpreted: opaque.uninterpreted(),
        part: opaque.part.clone(),
        reference_values,
        revocation,
    }
}

pub(super) fn unchecked(code: &str, why: &str) -> NotChecked {
    NotChecked { code: code.to_owned(), why: why.to_owned() }
}
