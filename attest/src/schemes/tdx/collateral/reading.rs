//! **Duty.** What dcap-qvl says about a quote, in our words. **Does not know** whether we say the same.
//! **Spec.** EVIDENCE §2.6.

use std::collections::BTreeSet;

use dcap_qvl::quote::{Report, TDReport10, TDReport15Ex};
use dcap_qvl::{PckCertFlag, QuoteClaims};
use weighbridge_attest_types::{TcbStatus, TdAttributes, TdxExtension, TdxServiceTd, UnixMillis};

use crate::schemes::tdx::body::{Td10, Td15, TdReport};
use crate::schemes::tdx::pck::PckFacts;

/// What dcap-qvl says about a quote, in our words, to be held against our own reading.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::schemes::tdx) struct DcapReading {
    /// After its merges; a TD that should be relaunched keeps the status it launched with.
    pub(in crate::schemes::tdx) status: TcbStatus,
    pub(in crate::schemes::tdx) relaunch_advised: bool,
    pub(in crate::schemes::tdx) advisories: BTreeSet<String>,
    /// Of the platform's level and the module's, the older.
    pub(in crate::schemes::tdx) level_date: Option<UnixMillis>,
    pub(in crate::schemes::tdx) evaluation_number: u32,
    pub(in crate::schemes::tdx) pck: PckFacts,
    pub(in crate::schemes::tdx) report: TdReport,
    /// Earliest end of everything that was used, in seconds.
    pub(in crate::schemes::tdx) until: u64,
}

/// In our words; every field that both readers have.
pub(super) fn reading(claims: &QuoteClaims) -> Result<DcapReading, String> {
    use dcap_qvl::TcbStatus::{TDRelaunchAdvised, TDRelaunchAdvisedConfigurationNeeded};
    let platform = &claims.platform;
    Ok(DcapReading {
        status: status(claims.tcb.status),
        relaunch_advised: matches!(claims.tcb.status, TDRelaunchAdvised | TDRelaunchAdvisedConfigurationNeeded),
        advisories: claims.tcb.advisory_ids.iter().cloned().collect(),
        level_date: platform.tcb_date_tag.checked_mul(1000).map(UnixMillis),
        evaluation_number: claims.tcb.eval_data_number,
        pck: pck_facts(&platform.pck)?,
        report: td_report(&claims.report)?,
        until: claims.earliest_expiration_date,
    })
}

fn pck_facts(pck: &dcap_qvl::PckIdentity) -> Result<PckFacts, String> {
    let flag = |flag: PckCertFlag| match flag {
        PckCertFlag::True => Some(true),
        PckCertFlag::False => Some(false),
        PckCertFlag::Undefined => None,
    };
    Ok(PckFacts {
        ppid: pck.ppid.as_slice().try_into().map_err(|_| "its PPID is not 16 bytes")?,
        fmspc: pck.fmspc,
        pce_id: pck.pce_id.as_slice().try_into().map_err(|_| "its PCEID is not 2 bytes")?,
        pce_svn: pck.pce_svn,
        sgx_svn: pck.cpu_svn,
        sgx_type: pck.sgx_type,
        instance: pck.platform_instance_id,
        dynamic: flag(pck.dynamic_platform),
        cached_keys: flag(pck.cached_keys),
        smt: flag(pck.smt_enabled),
    })
}

fn td_report(report: &Report) -> Result<TdReport, String> {
    let td10 = report.as_td10().ok_or("it read something else than a TD report")?;
    let td15 = report.as_td15().map(|td15| Td15 { tee_tcb_svn2: td15.tee_tcb_svn2, mr_service_td: td15.mr_service_td });
    Ok(TdReport { td10: own_td10(td10), td15, extension: report.as_td15_ex().map(own_extension) })
}

const fn own_td10(theirs: &TDReport10) -> Td10 {
    Td10 {
        tee_tcb_svn: theirs.tee_tcb_svn,
        mrseam: theirs.mr_seam,
        mr_signer_seam: theirs.mr_signer_seam,
        seam_attributes: theirs.seam_attributes,
        attributes: TdAttributes(u64::from_le_bytes(theirs.td_attributes)),
        xfam: u64::from_le_bytes(theirs.xfam),
        mrtd: theirs.mr_td,
        mr_config_id: theirs.mr_config_id,
        mr_owner: theirs.mr_owner,
        mr_owner_config: theirs.mr_owner_config,
        rtmr: [theirs.rt_mr0, theirs.rt_mr1, theirs.rt_mr2, theirs.rt_mr3],
        report_data: theirs.report_data,
    }
}

fn own_extension(theirs: &TDReport15Ex) -> TdxExtension {
    let service = |hash, attributes| TdxServiceTd { hash, attributes };
    TdxExtension {
        vmid: theirs.vmid,
        td_id: theirs.td_id,
        dev_info: theirs.dev_info,
        initial_service_td: service(theirs.init_service_td_hash, theirs.init_service_td_attributes),
        current_service_td: service(theirs.cur_service_td_hash, theirs.cur_service_td_attributes),
        initial_cpu_svn: theirs.init_cpu_svn,
        initial_tee_tcb_svn: theirs.init_tee_tcb_svn,
        initial_fmspc: theirs.init_tee_fmspc,
    }
}

/// In the words of every room. "Relaunch advised" means launched out of date: that stays the status.
const fn status(theirs: dcap_qvl::TcbStatus) -> TcbStatus {
    use dcap_qvl::TcbStatus as Theirs;
    match theirs {
        Theirs::UpToDate => TcbStatus::UpToDate,
        Theirs::SWHardeningNeeded => TcbStatus::SwHardeningNeeded,
        Theirs::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Theirs::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSwHardeningNeeded,
        Theirs::OutOfDate | Theirs::TDRelaunchAdvised => TcbStatus::OutOfDate,
        Theirs::OutOfDateConfigurationNeeded | Theirs::TDRelaunchAdvisedConfigurationNeeded => {
            TcbStatus::OutOfDateConfigurationNeeded
        }
        Theirs::Revoked => TcbStatus::Revoked,
    }
}
