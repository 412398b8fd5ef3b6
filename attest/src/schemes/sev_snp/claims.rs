//! **Duty.** From a checked report to normalised claims. **Spec.** EVIDENCE §3.1, §3.3; PROTOCOL §3 (device = product
//! and chip id; under a VLEK the device is unknown).

use weighbridge_attest_types::{BoundValue, Device, EvidenceKind, PlatformClaims, SnpClaims, SnpProduct, SnpSigner};

use super::report::SnpReport;
use super::verify::Checked;

pub(super) fn claims(report: &SnpReport<'_>, checked: Checked<'_, '_>) -> PlatformClaims {
    let Checked { links: _, facts, anchor, window, tcb, not_checked } = checked;
    let device = match facts.signer {
        SnpSigner::Vcek => Some(device_of(facts.product, &report.chip_id)),
        // A provider's key vouches for all of its chips alike; what the report says about one is not certified.
        SnpSigner::Vlek => None,
    };
    PlatformClaims {
        kind: EvidenceKind::new(EvidenceKind::SEV_SNP),
        device,
        grade: anchor.grade,
        anchor: anchor.name.clone(),
        bound_value: BoundValue::ReportData(report.report_data),
        chip_family: None,
        tcb_status: None,
        advisories: Vec::new(),
        debug: Some(report.policy.debug()),
        sept_ve_disable: None,
        migratable: Some(report.policy.migration_agent()),
        measurement: Some(report.measurement.to_vec()),
        valid_until: window.until(),
        not_checked,
        snp: Some(Box::new(SnpClaims {
            product: facts.product,
            signer: facts.signer,
            csp_id: facts.csp_id,
            version: report.version,
            guest_svn: report.guest_svn,
            family_id: report.family_id,
            image_id: report.image_id,
            vmpl: report.vmpl,
            policy: report.policy,
            platform_info: report.platform_info,
            tcb,
            host_data: report.host_data,
            id_key_digest: report.id_key_digest,
            author_key_digest: report.author_key.then_some(report.author_key_digest),
            mitigations: report.mitigations,
        })),
        nvidia: None,
    }
}

/// The name of the line and 64 bytes of chip id: the length of the latter keeps both apart.
fn device_of(product: SnpProduct, chip_id: &[u8; 64]) -> Device {
    let kind = EvidenceKind::new(EvidenceKind::SEV_SNP);
    Device::derive(&kind, &[product.as_str().as_bytes(), chip_id].concat())
}
