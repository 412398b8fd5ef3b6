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
const UNRECOGNISED_HARDWARE: i8 = 97;
/// Of memory.
const ENCRYPTED_MEMORY: i8 = 2;
const VISIBLE_MEMORY: i8 = 96;

/// Checks that speak about the configuration.
const CONFIGURATION: [&str; 3] = ["policy-debug", "policy-migratable", "policy-sept-ve-disable"];
/// Checks that only a device makes which keeps its configuration out of its report.
const CONFIGURATION_UNSEEN: [&str; 1] = ["gpu-cc-mode"];
/// Checks that compare what was launched.
const EXECUTABLES: [&str; 2] = ["policy-measurement", "policy-gpu-reference-values"];
/// The rule that compares firmware of SEV-SNP, of which AMD publishes no status.
const SNP_FIRMWARE_RULE: &str = "reported TCB";

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
            instance_identity: claims.device.map(|_| RECOGNISED),
            configuration: configuration(claims, findings),
            executables: compared(findings, &EXECUTABLES)
                .map(|met| if met { APPROVED_BOOT } else { UNRECOGNISED_RUNTIME }),
            hardware: hardware(claims, findings),
            runtime_opaque: match (claims.chip_family.is_some(), claims.debug) {
                (false, Some(false)) => Some(ENCRYPTED_MEMORY),
                (_, Some(true)) => Some(VISIBLE_MEMORY),
                _ => None,
            },
        }
    }
}

fn configuration(claims: &PlatformClaims, findings: &[DeviceFinding]) -> Option<i8> {
    let has = |codes: &[&str], status| {
        findings.iter().any(|finding| finding.status == status && codes.contains(&finding.code.as_str()))
    };
    let needs_configuration = matches!(
        claims.tcb_status,
        Some(
            TcbStatus::ConfigurationNeeded
                | TcbStatus::ConfigurationAndSwHardeningNeeded
                | TcbStatus::OutOfDateConfigurationNeeded
        )
    );
    if has(&CONFIGURATION, FindingStatus::Fail) {
        return Some(UNSUPPORTABLE);
    }
    if needs_configuration {
        return Some(UNSAFE);
    }
    if has(&CONFIGURATION_UNSEEN, FindingStatus::NotChecked) || has(&CONFIGURATION, FindingStatus::NotChecked) {
        return Some(UNAVAILABLE);
    }
    has(&CONFIGURATION, FindingStatus::Pass).then_some(NO_KNOWN_VULNERABILITY)
}

/// Whether comparisons were made and all hold; `None` if one was not made.
fn compared(findings: &[DeviceFinding], codes: &[&str]) -> Option<bool> {
    let mut asked = findings.iter().filter(|finding| codes.contains(&finding.code.as_str())).peekable();
    asked.peek()?;
    let mut met = true;
    for finding in asked {
        match finding.status {
            FindingStatus::Pass => {}
            FindingStatus::Fail => met = false,
            FindingStatus::NotChecked => return None,
        }
    }
    Some(met)
}

/// Genuine is claimed only together with firmware that was compared with something.
fn hardware(claims: &PlatformClaims, findings: &[DeviceFinding]) -> Option<i8> {
    match claims.tcb_status {
        Some(TcbStatus::UpToDate) => return Some(GENUINE),
        Some(TcbStatus::NotSupported) => return Some(UNRECOGNISED_HARDWARE),
        Some(_) => return Some(UNSAFE),
        None => {}
    }
    let firmware = findings.iter().find(|finding| finding.rule.as_deref() == Some(SNP_FIRMWARE_RULE));
    match firmware.map(|finding| finding.status) {
        Some(FindingStatus::Pass) => Some(GENUINE),
        Some(FindingStatus::Fail) => Some(UNSAFE),
        Some(FindingStatus::NotChecked) => None,
        None => compared(findings, &EXECUTABLES[1..]).map(|met| if met { GENUINE } else { UNSAFE }),
    }
}
