//! **Duty.** What a scheme found in verified evidence, in words every room shares. A plain value: only
//! `weighbridge_attest::Verified` says that it was checked. **Spec.** EVIDENCE §1–2, PROTOCOL §6.

use serde::{Deserialize, Serialize};

use crate::{Device, EvidenceKind, NvidiaClaims, SnpClaims, UnixMillis};

/// How much a line of a report may lean on. It comes from the trust anchor, never from the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Made under development roots or by a stand-in device.
    Simulated,
    /// The provider's statement.
    Declared,
    /// Hashed into an attested ledger, value software-trusted.
    Counter,
    /// Committed, drawn and proven.
    ZkSampled,
    /// Signed by hardware under a vendor's root.
    Attested,
}

impl Grade {
    /// The word that is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Declared => "declared",
            Self::Counter => "counter",
            Self::ZkSampled => "zk-sampled",
            Self::Attested => "attested",
        }
    }
}

/// Status of a platform's TCB as its vendor's signed collateral gives it, after all merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TcbStatus {
    /// Current.
    UpToDate,
    /// Current, software hardening advised.
    #[serde(rename = "SWHardeningNeeded")]
    SwHardeningNeeded,
    /// Configuration needed.
    ConfigurationNeeded,
    /// Configuration and hardening needed.
    #[serde(rename = "ConfigurationAndSWHardeningNeeded")]
    ConfigurationAndSwHardeningNeeded,
    /// Out of date.
    OutOfDate,
    /// Out of date, configuration needed.
    OutOfDateConfigurationNeeded,
    /// Not supported: no level matches.
    NotSupported,
    /// Revoked.
    Revoked,
}

/// Chip family as the *certificate chain* names it; it selects the ceiling rate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChipFamily(pub String);

/// What the evidence says it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundValue {
    /// 64 bytes of `report_data` (CPU TEEs).
    ReportData([u8; 64]),
    /// A 32-byte request nonce (GPUs).
    Nonce([u8; 32]),
}

/// A check that the scheme could not make, and why: visible, never silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// Stable code, such as `gpu-rim`.
    pub code: String,
    /// A sentence.
    pub why: String,
}

/// Normalised claims; policy speaks only these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformClaims {
    /// Evidence format.
    pub kind: EvidenceKind,
    /// The device, from certificates; `None` when the vendor masks it.
    pub device: Option<Device>,
    /// Grade of the anchor that everything hangs on.
    pub grade: Grade,
    /// Name of that anchor.
    pub anchor: String,
    /// What the evidence is about.
    pub bound_value: BoundValue,
    /// Chip family, for accelerators.
    pub chip_family: Option<ChipFamily>,
    /// TCB status, where the vendor publishes one.
    pub tcb_status: Option<TcbStatus>,
    /// Advisory ids that apply.
    pub advisories: Vec<String>,
    /// Debug or profiling allowed; `None` when the evidence does not say.
    pub debug: Option<bool>,
    /// TDX SEPT_VE_DISABLE; `None` elsewhere.
    pub sept_ve_disable: Option<bool>,
    /// TDX: a service TD is attached (MRSERVICETD ≠ 0) or migration is allowed; SEV-SNP: a migration agent is allowed;
    /// `None` elsewhere.
    pub migratable: Option<bool>,
    /// Launch measurement (MRTD), where there is one.
    pub measurement: Option<Vec<u8>>,
    /// Earliest end of everything that was used.
    pub valid_until: UnixMillis,
    /// Checks that were not made.
    pub not_checked: Vec<NotChecked>,
    /// What only SEV-SNP reports say; `None` elsewhere.
    pub snp: Option<Box<SnpClaims>>,
    /// What only NVIDIA reports say; `None` elsewhere.
    pub nvidia: Option<Box<NvidiaClaims>>,
}
