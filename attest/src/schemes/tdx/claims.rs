//! **Duty.** From a checked quote to normalised claims. **Spec.** EVIDENCE §2.1, §2.4, §2.7; PROTOCOL §3 (device = PPID).

use weighbridge_attest_types::{
    BoundValue, Device, EventLogClaims, EventLogState, EvidenceKind, NotChecked, PlatformClaims, TdxClaims,
    TdxPlatform, TdxTcb,
};

use super::collateral::CheckedCollateral;
use super::pck::PckFacts;
use super::quote::TdxQuote;
use super::tcb::Evaluation;
use crate::x509::{TrustedPath, Window};

/// What holds about a quote.
pub(super) struct Checked<'q, 'p, 'c> {
    pub(super) quote: &'q TdxQuote<'q>,
    pub(super) path: &'q TrustedPath<'p, 'c>,
    pub(super) pck: &'q PckFacts,
    /// Of the PCK chain.
    pub(super) window: &'q Window,
    pub(super) collateral: &'q CheckedCollateral<'q>,
    pub(super) evaluation: Evaluation,
    pub(super) event_log: EventLogClaims,
}

pub(super) fn claims(checked: Checked<'_, '_, '_>, mut not_checked: Vec<NotChecked>) -> PlatformClaims {
    let kind = EvidenceKind::new(EvidenceKind::TDX);
    let td10 = &checked.quote.report.td10;
    not_checked.extend(open_log(checked.event_log.state));
    let current = checked.evaluation.current.iter().flat_map(|current| &current.advisories);
    let advisories = checked.evaluation.advisories.iter().chain(current).collect::<std::collections::BTreeSet<_>>();
    PlatformClaims {
        device: Some(Device::derive(&kind, &checked.pck.ppid)),
        kind,
        grade: checked.path.anchor().grade,
        anchor: checked.path.anchor().name.clone(),
        bound_value: BoundValue::ReportData(td10.report_data),
        chip_family: None,
        tcb_status: Some(checked.evaluation.status),
        advisories: advisories.into_iter().cloned().collect(),
        debug: Some(td10.attributes.debug() || td10.attributes.profiling()),
        sept_ve_disable: Some(td10.attributes.sept_ve_disable()),
        migratable: Some(td10.attributes.migratable()),
        measurement: Some(td10.mrtd.to_vec()),
        valid_until: checked.window.until().min(checked.collateral.window.until()),
        not_checked,
        snp: None,
        tdx: Some(Box::new(tdx_claims(checked))),
        azure: None,
        nvidia: None,
    }
}

fn tdx_claims(checked: Checked<'_, '_, '_>) -> TdxClaims {
    let report = &checked.quote.report;
    let td10 = &report.td10;
    TdxClaims {
        quote_version: checked.quote.version,
        body: report.body(),
        attributes: td10.attributes,
        xfam: td10.xfam,
        mrtd: td10.mrtd,
        rtmr: td10.rtmr,
        mr_config_id: td10.mr_config_id,
        mr_owner: td10.mr_owner,
        mr_owner_config: td10.mr_owner_config,
        module: report.module(),
        tee_tcb_svn: td10.tee_tcb_svn,
        current_tee_tcb_svn: report.td15.as_ref().map(|td15| td15.tee_tcb_svn2),
        mr_service_td: report.td15.as_ref().map(|td15| td15.mr_service_td),
        extension: report.extension.clone().map(Box::new),
        tcb: tcb(&checked.evaluation, checked.collateral),
        platform: platform(checked.pck),
        event_log: checked.event_log,
    }
}

fn tcb(evaluation: &Evaluation, collateral: &CheckedCollateral<'_>) -> TdxTcb {
    TdxTcb {
        status: evaluation.status,
        status_without_age: evaluation.without_age,
        current_status: evaluation.current.as_ref().map(|current| current.status),
        current_status_without_age: evaluation.current.as_ref().map(|current| current.without_age),
        relaunch_advised: evaluation.relaunch_advised,
        level_date: evaluation.level_date,
        enclave_date: evaluation.enclave_date,
        out_of_date_level: evaluation.out_of_date_level,
        evaluation_number: collateral.evaluation_number(),
        collateral_until: collateral.window.until(),
        at: collateral.window.now(),
    }
}

fn platform(pck: &PckFacts) -> TdxPlatform {
    let PckFacts { ppid: _, fmspc, pce_id, pce_svn, sgx_svn, sgx_type, instance, dynamic, cached_keys, smt } = *pck;
    TdxPlatform { fmspc, pce_id, pce_svn, cpu_svn: sgx_svn, sgx_type, instance, dynamic, cached_keys, smt }
}

/// Without a log that counts, nobody knows what the registers were extended with.
fn open_log(state: EventLogState) -> Option<NotChecked> {
    let why = match state {
        EventLogState::Replayed => return None,
        EventLogState::Missing => "no event log was replayed over the runtime registers",
        EventLogState::Untrusted => {
            "the event log that was given does not lead to the runtime registers, or cannot be read: nothing of it counts"
        }
    };
    Some(NotChecked { code: "tdx-event-log".to_owned(), why: why.to_owned() })
}
