//! **Duty.** THE table of platforms that this build can look for: one line each. A new TEE adds one file and one line.

use std::fmt::Debug;

use weighbridge_attest_types::{Device, DeviceEvidence, EvidenceEnvelope};

use crate::{CollectError, CpuIdentity, DeviceIdentity, DeviceSample, PlatformOptions};

pub(crate) mod nvidia_gpu;
pub(crate) mod sev_snp;
pub(crate) mod tdx;

/// A CPU TEE that leads a composite device.
pub(crate) trait CpuTee: Debug + Send + Sync {
    /// Who it is.
    fn identity(&self) -> CpuIdentity;

    /// A quote that carries `report_data`.
    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError>;
}

/// All accelerators of one vendor's driver.
pub(crate) trait Accelerators: Debug + Send + Sync {
    /// Who they are, ascending by device.
    fn identities(&self) -> Vec<DeviceIdentity>;

    /// A report of one of them that answers `nonce`.
    fn evidence(&self, device: Device, nonce: [u8; 32]) -> Result<DeviceEvidence, CollectError>;

    /// The counters of each, now, in the order of their identities.
    fn sample(&self) -> Vec<DeviceSample>;
}

/// How a platform of one kind is opened.
pub(crate) enum Opener {
    /// Leads.
    Cpu(fn(&PlatformOptions) -> Result<Box<dyn CpuTee>, CollectError>),
    /// Follows.
    Accelerators(fn(&PlatformOptions) -> Result<Box<dyn Accelerators>, CollectError>),
}

/// One row of the table.
pub(crate) struct Entry {
    /// The name people read in `doctor`.
    pub(crate) name: &'static str,
    /// Looks without taking evidence; says what it found.
    pub(crate) probe: fn(&PlatformOptions) -> Result<String, CollectError>,
    /// Opens for use.
    pub(crate) open: Opener,
}

/// The table.
pub(crate) static COLLECTORS: &[Entry] = &[tdx::ENTRY, sev_snp::ENTRY, nvidia_gpu::ENTRY];
