//! **Duty.** Which TCB status Intel's signed statements give this platform: own evaluation, to be held against
//! dcap-qvl's. **Does not know** signatures or dates; those were checked. **Spec.** EVIDENCE §2.4.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use weighbridge_attest_types::{TcbStatus, UnixMillis};

use super::body::TdReport;
use super::pck::PckFacts;
use super::quote::QeReport;
use crate::error::{Failure, Failures};
use crate::x509::parse_date;

/// Intel's statement about one platform model.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TcbInfo {
    pub(super) id: String,
    pub(super) version: u32,
    pub(super) issue_date: String,
    pub(super) next_update: String,
    pub(super) fmspc: String,
    pub(super) pce_id: String,
    pub(super) tcb_evaluation_data_number: u32,
    tdx_module: ModuleIdentity,
    #[serde(default)]
    tdx_module_identities: Vec<ModuleIdentity>,
    tcb_levels: Vec<Level<PlatformTcb>>,
}

/// Intel's statement about the Quoting Enclave.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QeIdentity {
    pub(super) id: String,
    pub(super) version: u32,
    pub(super) issue_date: String,
    pub(super) next_update: String,
    pub(super) tcb_evaluation_data_number: u32,
    miscselect: String,
    miscselect_mask: String,
    attributes: String,
    attributes_mask: String,
    mrsigner: String,
    isvprodid: u16,
    tcb_levels: Vec<Level<EnclaveTcb>>,
}

/// One TDX module, the base one without id or levels.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModuleIdentity {
    #[serde(default)]
    id: String,
    mrsigner: String,
    attributes: String,
    attributes_mask: String,
    #[serde(default)]
    tcb_levels: Vec<Level<EnclaveTcb>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Level<T> {
    tcb: T,
    #[serde(deserialize_with = "date")]
    tcb_date: UnixMillis,
    tcb_status: TcbStatus,
    #[serde(default, rename = "advisoryIDs")]
    advisory_ids: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct PlatformTcb {
    #[serde(rename = "sgxtcbcomponents")]
    sgx: [Component; 16],
    #[serde(rename = "tdxtcbcomponents")]
    tdx: [Component; 16],
    pcesvn: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Component {
    svn: u8,
}

#[derive(Debug, Clone, Deserialize)]
struct EnclaveTcb {
    isvsvn: u16,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evaluation {
    /// After all merges. `Revoked` when any part is; `NotSupported` when any part matches no level.
    pub(super) status: TcbStatus,
    /// The same, read as if nothing were out of date.
    pub(super) without_age: TcbStatus,
    /// Of the launch TCB, the module and the enclave.
    pub(super) advisories: BTreeSet<String>,
    /// Oldest date of the platform's level and the module's.
    pub(super) level_date: Option<UnixMillis>,
    /// Date of the enclave's level.
    pub(super) enclave_date: Option<UnixMillis>,
    /// Oldest date of the parts that are out of date.
    pub(super) out_of_date_level: Option<UnixMillis>,
    /// Of a TD that was kept running through a module update.
    pub(super) current: Option<Current>,
    /// Launched out of date, and current by now.
    pub(super) relaunch_advised: bool,
}

/// Standing of the TCB that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) status: TcbStatus,
    pub(super) without_age: TcbStatus,
    pub(super) advisories: BTreeSet<String>,
}

/// Standing of one part, or of several merged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    status: TcbStatus,
    without_age: TcbStatus,
    advisories: BTreeSet<String>,
    /// Oldest of all levels in it.
    date: Option<UnixMillis>,
    /// Oldest of all that are out of date.
    out_of_date: Option<UnixMillis>,
}

/// Evaluates; fails where the statements are about another module or enclave than the one that signed.
pub(super) fn evaluate(
    info: &TcbInfo,
    identity: &QeIdentity,
    pck: &PckFacts,
    report: &TdReport,
    qe: &QeReport,
) -> Result<Evaluation, Failures> {
    if let Some(failures) = Failures::collect(check_module(info, report).into_iter().chain(check_enclave(identity, qe)))
    {
        return Err(failures);
    }
    let enclave = enclave_level(&identity.tcb_levels, qe.isv_svn);
    let platform = platform_part(info, pck, &report.td10.tee_tcb_svn);
    let launch = platform.clone().merge(&enclave);
    let current = report.td15.as_ref().map(|td15| platform_part(info, pck, &td15.tee_tcb_svn2).merge(&enclave));
    let now = current.as_ref().unwrap_or(&launch);
    Ok(Evaluation {
        status: with_current(launch.status, now.status),
        without_age: with_current(launch.without_age, now.without_age),
        level_date: platform.date,
        enclave_date: enclave.date,
        out_of_date_level: oldest(launch.out_of_date, now.out_of_date),
        relaunch_advised: is_out_of_date(launch.status) && is_current(now.status),
        advisories: launch.advisories,
        current: current.map(|part| Current {
            status: part.status,
            without_age: part.without_age,
            advisories: part.advisories,
        }),
    })
}

/// A TD that launched out of date on a module that is current by now is advised to relaunch: what it launched with
/// stays its status, so the answer is the launch status, or worse.
fn with_current(launch: TcbStatus, current: TcbStatus) -> TcbStatus {
    use TcbStatus::{
        ConfigurationAndSwHardeningNeeded, ConfigurationNeeded, NotSupported, OutOfDate, OutOfDateConfigurationNeeded,
        Revoked,
    };
    match (launch, current) {
        (Revoked, _) | (_, Revoked) => Revoked,
        (NotSupported, _) | (_, NotSupported) => NotSupported,
        (OutOfDate, ConfigurationNeeded | ConfigurationAndSwHardeningNeeded) => OutOfDateConfigurationNeeded,
        (launch, _) => launch,
    }
}

/// The platform's level for one set of TDX SVNs, merged with the level of the module that they name.
fn platform_part(info: &TcbInfo, pck: &PckFacts, svn: &[u8; 16]) -> Part {
    // Highest first by own sort: JSON order is not promised.
    let mut levels: Vec<&Level<PlatformTcb>> = info.tcb_levels.iter().collect();
    levels.sort_by_key(|level| Reverse((level.tcb.sgx, level.tcb.pcesvn, level.tcb.tdx)));
    let [module_svn, module_version, ..] = *svn;
    // A module with a version of its own is judged by its identity, not by TDX components 0 and 1.
    let skipped = if module_version > 0 { 2 } else { 0 };
    let met = |level: &&&Level<PlatformTcb>| {
        let sgx = pck.sgx_svn.iter().zip(&level.tcb.sgx).all(|(have, needs)| *have >= needs.svn);
        let tdx = svn.iter().zip(&level.tcb.tdx).skip(skipped).all(|(have, needs)| *have >= needs.svn);
        sgx && tdx && pck.pce_svn >= level.tcb.pcesvn
    };
    let platform = levels.iter().find(met).map_or_else(Part::not_supported, |level| Part::of(level));
    match module_identity(info, module_version) {
        Some(module) if module_version > 0 => platform.merge(&enclave_level(&module.tcb_levels, u16::from(module_svn))),
        Some(_) => platform,
        None => platform.merge(&Part::not_supported()),
    }
}

/// Version 0 is the base module; another version has an identity of its own, or is not supported.
fn module_identity(info: &TcbInfo, version: u8) -> Option<&ModuleIdentity> {
    if version == 0 {
        return Some(&info.tdx_module);
    }
    let wanted = format!("TDX_{version:02X}");
    info.tdx_module_identities.iter().find(|module| module.id.eq_ignore_ascii_case(&wanted))
}

/// The highest level that an enclave or module meets.
fn enclave_level(levels: &[Level<EnclaveTcb>], isv_svn: u16) -> Part {
    let met = levels.iter().filter(|level| level.tcb.isvsvn <= isv_svn);
    met.max_by_key(|level| level.tcb.isvsvn).map_or_else(Part::not_supported, Part::of)
}

/// The launched module's signer and attributes.
fn check_module(info: &TcbInfo, report: &TdReport) -> Option<Failure> {
    let [_, version, ..] = report.td10.tee_tcb_svn;
    let module = module_identity(info, version)?;
    let fits = is_hex(&module.mrsigner, &report.td10.mr_signer_seam)
        && fits_under_mask(&module.attributes, &module.attributes_mask, &report.td10.seam_attributes);
    let message = format!("the TDX module is not the one that Intel's TCB info calls version {version}");
    (!fits).then(|| Failure::new("tdx-module-identity", message))
}

/// The Quoting Enclave's signer, product, miscselect and attributes.
fn check_enclave(identity: &QeIdentity, qe: &QeReport) -> Option<Failure> {
    let fits = is_hex(&identity.mrsigner, &qe.mr_signer)
        && identity.isvprodid == qe.isv_prod_id
        && fits_under_mask(&identity.miscselect, &identity.miscselect_mask, &qe.misc_select)
        && fits_under_mask(&identity.attributes, &identity.attributes_mask, &qe.attributes);
    (!fits).then(|| Failure::new("qe-identity", "the Quoting Enclave is not the one of Intel's QE identity"))
}

fn is_hex(wanted: &str, found: &[u8]) -> bool {
    hex::decode(wanted).is_ok_and(|wanted| wanted == found)
}

fn fits_under_mask(wanted: &str, mask: &str, found: &[u8]) -> bool {
    let (Ok(wanted), Ok(mask)) = (hex::decode(wanted), hex::decode(mask)) else {
        return false;
    };
    wanted.len() == found.len()
        && mask.len() == found.len()
        && wanted.iter().zip(&mask).zip(found).all(|((wanted, mask), found)| wanted & mask == found & mask)
}

impl Part {
    fn of<T>(level: &Level<T>) -> Self {
        Self {
            status: level.tcb_status,
            without_age: without_age(level.tcb_status),
            advisories: level.advisory_ids.iter().cloned().collect(),
            date: Some(level.tcb_date),
            out_of_date: is_out_of_date(level.tcb_status).then_some(level.tcb_date),
        }
    }

    fn not_supported() -> Self {
        let status = TcbStatus::NotSupported;
        Self { status, without_age: status, advisories: BTreeSet::new(), date: None, out_of_date: None }
    }

    /// Takes a module's or enclave's standing in; advisories are united.
    fn merge(mut self, component: &Self) -> Self {
        self.status = merged(self.status, component.status);
        self.without_age = merged(self.without_age, component.without_age);
        self.advisories.extend(component.advisories.iter().cloned());
        self.date = oldest(self.date, component.date);
        self.out_of_date = oldest(self.out_of_date, component.out_of_date);
        self
    }
}

/// EVIDENCE §2.4 (Merge).
const fn merged(platform: TcbStatus, component: TcbStatus) -> TcbStatus {
    use TcbStatus::{
        ConfigurationAndSwHardeningNeeded, ConfigurationNeeded, NotSupported, OutOfDate, OutOfDateConfigurationNeeded,
        Revoked, SwHardeningNeeded, UpToDate,
    };
    match (component, platform) {
        (Revoked, _) | (_, Revoked) => Revoked,
        (NotSupported, _) | (_, NotSupported) => NotSupported,
        (OutOfDate, UpToDate | SwHardeningNeeded) => OutOfDate,
        (OutOfDate, ConfigurationNeeded | ConfigurationAndSwHardeningNeeded) => OutOfDateConfigurationNeeded,
        (_, status) => status,
    }
}

const fn is_out_of_date(status: TcbStatus) -> bool {
    matches!(status, TcbStatus::OutOfDate | TcbStatus::OutOfDateConfigurationNeeded)
}

const fn is_current(status: TcbStatus) -> bool {
    !is_out_of_date(status) && !matches!(status, TcbStatus::Revoked | TcbStatus::NotSupported)
}

/// What a status says beside age.
const fn without_age(status: TcbStatus) -> TcbStatus {
    match status {
        TcbStatus::OutOfDate => TcbStatus::UpToDate,
        TcbStatus::OutOfDateConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        other => other,
    }
}

/// The earlier of those that there are.
fn oldest(one: Option<UnixMillis>, other: Option<UnixMillis>) -> Option<UnixMillis> {
    one.into_iter().chain(other).min()
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_date(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no date")))
}

#[cfg(test)]
mod tests;
