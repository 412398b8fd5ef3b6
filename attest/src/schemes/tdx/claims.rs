//! **Duty.** From a checked quote to normalised claims. **Spec.** EVIDENCE §2.1, §2.4; PROTOCOL §3 (device = PPID).

use weighbridge_attest_types::{BoundValue, Device, EvidenceKind, NotChecked, PlatformClaims};

use super::pck::PckFacts;
use super::quote::TdxQuote;
use super::tcb::Evaluation;
use crate::x509::{TrustedPath, Window};

pub(super) fn claims(
    quote: &TdxQuote<'_>,
    path: &TrustedPath<'_, '_>,
    pck: &PckFacts,
    window: &Window,
    evaluation: &Evaluation,
    mut not_checked: Vec<NotChecked>,
) -> PlatformClaims {
    let kind = EvidenceKind::new(EvidenceKind::TDX);
    let attributes = quote.report.attributes;
    let service_td = attributes.service_td() || quote.report.td15.as_ref().is_some_and(|td15| td15.service_td);
    not_checked.push(NotChecked {
        code: "tdx-event-log".to_owned(),
        why: "no event log was replayed over the runtime registers".to_owned(),
    });
    PlatformClaims {
        device: Some(Device::derive(&kind, &pck.ppid)),
        kind,
        grade: path.anchor().grade,
        anchor: path.anchor().name.clone(),
        bound_value: BoundValue::ReportData(quote.report.report_data),
        chip_family: None,
        tcb_status: Some(evaluation.status),
        advisories: evaluation.advisories.union(&evaluation.current_advisories).cloned().collect(),
        debug: Some(attributes.debug()),
        sept_ve_disable: Some(attributes.sept_ve_disable()),
        migratable: Some(attributes.migratable() || service_td),
        measurement: Some(quote.report.mrtd.to_vec()),
        valid_until: window.until(),
        not_checked,
        snp: None,
        nvidia: None,
    }
}
