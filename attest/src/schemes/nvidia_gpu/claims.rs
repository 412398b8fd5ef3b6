//! **Duty.** From a checked report to normalised claims, with everything that was not checked said aloud.
//! **Spec.** EVIDENCE §1.3–1.9.

use weighbridge_attest_types::{BoundValue, Device, EvidenceKind, NotChecked, PlatformClaims};

use super::chain::DeviceIdentity;
use super::spdm::GpuReport;
use crate::x509::{TrustedPath, Window};

pub(super) fn claims(
    report: &GpuReport<'_>,
    path: &TrustedPath<'_, '_>,
    identity: DeviceIdentity,
    window: &Window,
    not_checked: Vec<NotChecked>,
) -> PlatformClaims {
    let kind = EvidenceKind::new(EvidenceKind::NVIDIA_GPU);
    PlatformClaims {
        device: Some(Device::derive(&kind, &identity.pdi)),
        kind,
        grade: path.anchor().grade,
        anchor: path.anchor().name.clone(),
        bound_value: BoundValue::Nonce(report.nonce()),
        chip_family: Some(identity.family),
        tcb_status: None,
        advisories: Vec::new(),
        debug: None,
        sept_ve_disable: None,
        migratable: None,
        measurement: None,
        valid_until: window.until(),
        not_checked,
        snp: None,
        tdx: None,
        azure: None,
    }
}

/// What no report of any GPU gets at this depth.
pub(super) fn not_checked() -> Vec<NotChecked> {
    vec![
        unchecked("gpu-rim", "the measurements are not compared with NVIDIA's reference values yet"),
        unchecked("gpu-ocsp", "no revocation status of the device chain was given"),
        unchecked("gpu-cc-mode", "CC mode and developer mode are asserted by the driver; the report does not say"),
    ]
}

pub(super) fn unchecked(code: &str, why: &str) -> NotChecked {
    NotChecked { code: code.to_owned(), why: why.to_owned() }
}
