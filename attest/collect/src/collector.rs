//! **Duty.** The one contract a platform meets, and the one way to gather a composite set.

use std::fmt::Debug;

use thiserror::Error;
use weighbridge_attest_types::{
    Binding, Culprit, Device, DeviceEvidence, EvidenceEnvelope, EvidenceKind, EvidenceSet, device_evidence_digest,
};

use crate::counters::DeviceSample;

/// Why evidence could not be collected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The machine does not offer this, for now or at all; says what to do.
    #[error("{what} is unavailable: {why}; {remedy}")]
    Unavailable {
        /// Which interface.
        what: &'static str,
        /// What was found.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The platform answered with bytes that are not what it promises.
    #[error("{what} answered with unusable bytes: {why}")]
    Answer {
        /// Which interface.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl CollectError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Unavailable { .. } => Culprit::Unavailable,
            Self::Answer { .. } => Culprit::Malformed,
        }
    }
}

/// The CPU platform that leads a composite device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuIdentity {
    /// Evidence format of its quotes.
    pub kind: EvidenceKind,
    /// Its identity.
    pub device: Device,
}

/// One accelerator of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Its identity.
    pub device: Device,
    /// Evidence format of its reports.
    pub kind: EvidenceKind,
    /// Product name as the driver gives it.
    pub name: String,
}

/// A platform that can give evidence. Calls block; callers run them off the reactor.
pub trait Collector: Debug + Send + Sync {
    /// The CPU TEE.
    ///
    /// # Errors
    /// [`CollectError`].
    fn cpu(&self) -> Result<CpuIdentity, CollectError>;

    /// The accelerators, ascending by device.
    ///
    /// # Errors
    /// [`CollectError`].
    fn devices(&self) -> Result<Vec<DeviceIdentity>, CollectError>;

    /// A report of one accelerator that answers `nonce`.
    ///
    /// # Errors
    /// [`CollectError`].
    fn device_evidence(&self, device: Device, nonce: [u8; 32]) -> Result<DeviceEvidence, CollectError>;

    /// A CPU quote that carries `report_data`.
    ///
    /// # Errors
    /// [`CollectError`].
    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError>;

    /// The counters of every accelerator, now. What cannot be read says why instead of a value.
    fn sample(&self) -> Vec<DeviceSample>;
}

/// Gathers every accelerator's report under its own nonce, then the CPU quote over all of them.
///
/// # Errors
/// [`CollectError`] of the first device that fails: a set is whole or absent.
pub fn collect_set(platform: &dyn Collector, binding: Binding) -> Result<EvidenceSet, CollectError> {
    let mut devices = Vec::new();
    for identity in platform.devices()? {
        let nonce = binding.gpu_nonce(identity.device);
        devices.push(platform.device_evidence(identity.device, nonce.0)?);
    }
    devices.sort_by_key(|evidence| evidence.device);
    let report_data = binding.report_data(device_evidence_digest(&devices));
    let cpu = platform.quote(report_data)?;
    Ok(EvidenceSet { binding, cpu, devices })
}
