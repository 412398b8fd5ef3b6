//! **Duty.** The rules that a policy can have about NVIDIA GPUs and switches. **Does not know** how a claim came about.
//! **Spec.** EVIDENCE §1.3–1.9, PROTOCOL §6 (a requirement has no empty variant).

use serde::{Deserialize, Serialize};

use crate::{FirmwareVersion, Requirement};

/// Versions of one chip family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuVersionRules {
    /// Of the driver.
    pub driver: Requirement<FirmwareVersion>,
    /// Of the VBIOS.
    pub vbios: Requirement<FirmwareVersion>,
}

/// Rules about GPUs and switches. A measurement that differs from a manifest that was given is no rule: it is refused
/// under every policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaRules {
    /// Whether every manifest that the firmware needs was given and compared.
    pub reference_values: Requirement<bool>,
    /// Whether the firmware identity was compared with the certificate's.
    pub firmware_identity: Requirement<bool>,
    /// Whether a current revocation status of every certificate was given.
    pub revocation_status: Requirement<bool>,
    /// Whether some certificate is on hold. Waiving this trusts certificates that their issuer holds.
    pub certificate_hold: Requirement<bool>,
    /// Whether a GPU reports protected PCIe.
    pub protected_pcie: Requirement<bool>,
    /// Hopper.
    pub gh100: GpuVersionRules,
    /// Blackwell.
    pub gb100: GpuVersionRules,
    /// BIOS of NVSwitch LS10.
    pub ls10_bios: Requirement<FirmwareVersion>,
}

impl NvidiaRules {
    /// The built-in rules: reference values are required and held certificates refused; what depends on a site's
    /// inventory is waived by name.
    #[must_use]
    pub fn built_in() -> Self {
        fn waived<T>(reason: &str) -> Requirement<T> {
            Requirement::Waived { reason: reason.to_owned() }
        }
        let minimum = || waived("no minimum versions are agreed on; reference values say what is genuine");
        let versions = || GpuVersionRules { driver: minimum(), vbios: minimum() };
        Self {
            reference_values: Requirement::Equals(true),
            firmware_identity: waived("older firmware does not report its identity; where it does, it is compared"),
            revocation_status: waived("an OCSP response lives for a day; it is used where it is given"),
            certificate_hold: Requirement::Equals(false),
            protected_pcie: waived("GPUs that are passed through one by one do not use it"),
            gh100: versions(),
            gb100: versions(),
            ls10_bios: minimum(),
        }
    }
}
