//! **Duty.** AR4SI: in which tier a result stands, and what is claimed about each aspect of a device. What was not checked
//! lowers the tier and claims nothing. **Knows** the numbers of AR4SI. **Does not know** tokens.
//! **Spec.** draft-ietf-rats-ar4si-10 §2.3, draft-ietf-rats-ear-04 §3; docs/ear.md has the table.

use serde::Serialize;
use weighbridge_attest_types::{Culprit, PlatformClaims, TcbStatus};

use super::{DeviceAppraisal, DeviceFinding, FindingStatus, worst};

/// How far a Relying Party may lean on a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Nothing is claimed.
    None,
    /// All that was asked was checked and holds.
    Affirming,
    /// What was checked holds; something was not checked.
    Warning,
    /// Something does not hold.
    Contraindicated,
}

impl Tier {
    /// The number of the tier in CBOR.
    #[must_use]
    pub const fn number(self) -> i8 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// The word of the tier in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// Of two tiers the one that may be leaned on less.
    pub(super) fn worse(self, other: Self) -> Self {
        if self.badness() >= other.badness() { self } else { other }
    }

    /// Bytes that do not parse and endorsements that are missing claim nothing; what is not genuine or not liked is
    /// contraindicated.
    pub(super) fn of(findings: &[DeviceFinding]) -> Self {
        match worst(findings) {
            Some(Culprit::Untrusted | Culprit::Rejected) => Self::Contraindicated,
            Some(_) => Self::None,
            None if findings.iter().any(|finding| finding.status == FindingStatus::NotChecked) => Self::Warning,
            None => Self::Affirming,
        }
    }

    const fn badness(self) -> u8 {
        match self {
            Self::Affirming => 0,
            Self::Warning => 1,
            Self::None => 2,
            Self::Contraindicated => 3,
        }
    }
}

/// AR4SI's claims about one device; `None` claims nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrustVector {
    /// Which instance it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_identity: Option<i8>,
    /// Debugging, migration and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<i8>,
    /// What was launched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executables: Option<i8>,
    /// Chip and firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<i8>,
    /// Whether memory is closed to the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_opaque: Option<i8>,
}

/// Common to all claims.
const UNEXPECTED: i8 = 1;
const CRYPTO_FAILED: i8 = 99;
/// Of the instance.
const RECOGNISED: i8 = 2;
const NOT_TRUSTWORTHY: i8 = 96;
/// Of the configuration.
const NO_KNOWN_VULNERABILITY: i8 = 3;
const UNSAFE: i8 = 32;
const UNAVAILABLE: i8 = 36;
const UNSUPPORTABLE: i8 = 96;
/// Of executables.
const APPROVED_BOOT: i8 = 3;
const UNRECOGNISED_RUNTIME: i8 = 33;
/// Of hardware.
const GENUINE: i8 = 2;
const CONTRAINDICATED_HARDWARE: i8 = 96;
const UNRECOGNISED_HARDWARE: i8 = 97;
/// Of memory.
const ENCRYPTED_MEMORY: i8 = 2;
const VISIBLE_MEMORY: i8 = 96;

/// Rules that speak about the configuration.
const CONFIGURATION: [&str; 6] =
    ["debug", "migration", "SEPT_VE_DISABLE", "profiling", "a service TD", "reserved attribute bits"];
/// Checks that only a device makes which keeps its configuration out of its report.
const CONFIGURATION_UNSEEN: [&str; 1] = ["gpu-cc-mode"];
/// Rules that compare what was launched. All that are asked of a device must be met: a TD's firmware says nothing about
/// its kernel.
const EXECUTABLES: [&str; 5] = ["launch measurement", "RTMR0", "RTMR1", "RTMR2", REFERENCE_VALUES];
/// The rule that compares an accelerator's firmware with its vendor's manifests, and the one that they match.
const REFERENCE_VALUES: &str = "comparison with reference values";
const MEASUREMENTS: &str = "measurements";
/// The rule that compares firmware of SEV-SNP, of which AMD publishes no status.
const SNP_FIRMWARE_RULE: &str = "reported TCB";
/// Rules about the status of a TCB.
const TCB_STATUS: [&str; 2] = ["TCB status", "TCB status now"];

impl TrustVector {
    /// All claims that are made, with AR4SI's key and name.
    pub fn claims(&self) -> impl Iterator<Item = (i8, &'static str, i8)> {
        let Self { instance_identity, configuration, executables, hardware, runtime_opaque } = *self;
        [
            (0, "instance-identity", instance_identity),
            (1, "configuration", configuration),
            (2, "executables", executables),
            (4, "hardware", hardware),
            (5, "runtime-opaque", runtime_opaque),
        ]
        .into_iter()
        .filter_map(|(key, name, value)| Some((key, name, value?)))
    }

    pub(super) fn of(device: &DeviceAppraisal) -> Self {
        let findings = device.findings();
        let Some(claims) = device.claims() else {
            let value = match worst(findings) {
                Some(Culprit::Untrusted) => Some(CRYPTO_FAILED),
                Some(Culprit::Malformed | Culprit::Unsupported) => Some(UNEXPECTED),
                _ => None,
            };
            return Self { instance_identity: value, hardware: value, ..Self::default() };
        };
        Self {
            // Genuine claims are untrusted only where a key is on hold.
            instance_identity: match worst(findings) {
                Some(Culprit::Untrusted) => Some(NOT_TRUSTWORTHY),
                _ => claims.device.map(|_| RECOGNISED),
            },
            configuration: configuration(claims, findings),
            executables: executables(findings),
            hardware: hardware(claims, findings),
            runtime_opaque: match (claims.chip_family.is_some(), claims.debug) {
                (false, Some(false)) => Some(ENCRYPTED_MEMORY),
                (_, Some(true)) => Some(VISIBLE_MEMORY),
                _ => None,
            },
        }
    }
}

fn executables(findings: &[DeviceFinding]) -> Option<i8> {
    let met = compared(findings, &EXECUTABLES)?;
    let differ = compared(findings, &[MEASUREMENTS]) == Some(false);
    Some(if met && !differ { APPROVED_BOOT } else { UNRECOGNISED_RUNTIME })
}

fn configuration(claims: &PlatformClaims, findings: &[DeviceFinding]) -> Option<i8> {
    let needs_configuration = matches!(
        claims.tcb_status,
        Some(
            TcbStatus::ConfigurationNeeded
                | TcbStatus::ConfigurationAndSwHardeningNeeded
                | TcbStatus::OutOfDateConfigurationNeeded
        )
    );
    let met = compared(findings, &CONFIGURATION);
    if met == Some(false) {
        return Some(UNSUPPORTABLE);
    }
    if needs_configuration {
        return Some(UNSAFE);
    }
    let is_open = |finding: &DeviceFinding| {
        let is_about = CONFIGURATION_UNSEEN.contains(&finding.code.as_str()) || is_of(finding, &CONFIGURATION);
        is_about && finding.status == FindingStatus::NotChecked
    };
    if findings.iter().any(is_open) {
        return Some(UNAVAILABLE);
    }
    met.map(|_| NO_KNOWN_VULNERABILITY)
}

/// Whether a finding is about one of these rules. Waived rules of one reason stand together.
fn is_of(finding: &DeviceFinding, rules: &[&str]) -> bool {
    let parts = finding.rule.as_deref().unwrap_or_default().split(", ");
    parts.into_iter().any(|part| rules.contains(&part))
}

/// Whether comparisons were made and all hold; `None` if none failed and one was not made, or none was asked for.
fn compared(findings: &[DeviceFinding], rules: &[&str]) -> Option<bool> {
    let asked: Vec<FindingStatus> =
        findings.iter().filter(|finding| is_of(finding, rules)).map(|finding| finding.status).collect();
    if asked.contains(&FindingStatus::Fail) {
        return Some(false);
    }
    let all = !asked.is_empty() && asked.iter().all(|status| *status == FindingStatus::Pass);
    all.then_some(true)
}

/// Genuine is claimed only together with firmware that was compared with something.
fn hardware(claims: &PlatformClaims, findings: &[DeviceFinding]) -> Option<i8> {
    match claims.tcb_status {
        Some(TcbStatus::UpToDate) if compared(findings, &TCB_STATUS) == Some(false) => return Some(UNSAFE),
        Some(TcbStatus::UpToDate) => return Some(GENUINE),
        Some(TcbStatus::NotSupported) => return Some(UNRECOGNISED_HARDWARE),
        Some(TcbStatus::Revoked) => return Some(CONTRAINDICATED_HARDWARE),
        Some(_) => return Some(UNSAFE),
        None => {}
    }
    let (snp, accelerator) = (compared(findings, &[SNP_FIRMWARE_RULE]), compared(findings, &[REFERENCE_VALUES]));
    let differ = compared(findings, &[MEASUREMENTS]) == Some(false);
    snp.or(accelerator).map(|met| if met && !differ { GENUINE } else { UNSAFE })
}
