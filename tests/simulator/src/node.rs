//! **Duty.** A simulated node behind the collector trait: one TDX platform that leads, and its GPUs. **Does not know**
//! bindings or ledgers; it quotes what it is given.

use weighbridge_attest_collect::{
    CollectError, Collector, Counters, CpuIdentity, DeviceIdentity, DeviceSample, Missing,
};
use weighbridge_attest_types::{Device, DeviceEvidence, EvidenceEnvelope, EvidenceKind};

use crate::nvidia::SimulatedGpu;
use crate::tdx::{TdxOptions, TdxPlatform};

/// A node whose evidence has every real format and signature, and the word `simulated` wherever a person looks.
#[derive(Debug, Clone)]
pub struct SimulatedNode {
    platform: TdxPlatform,
    options: TdxOptions,
    gpus: Vec<SimulatedGpu>,
}

impl SimulatedNode {
    pub(crate) fn new(platform: TdxPlatform, options: TdxOptions, mut gpus: Vec<SimulatedGpu>) -> Self {
        gpus.sort_by_key(SimulatedGpu::device);
        Self { platform, options, gpus }
    }

    /// The same node, its TD launched in debug mode or not.
    #[must_use]
    pub fn with_debug(mut self, debug: bool) -> Self {
        self.options.debug = debug;
        self
    }

    /// The same node with another TD on it.
    #[must_use]
    pub fn with_options(mut self, options: TdxOptions) -> Self {
        self.options = options;
        self
    }

    /// What its TD is.
    #[must_use]
    pub fn options(&self) -> &TdxOptions {
        &self.options
    }

    /// Its CPU platform, which quotes anything.
    #[must_use]
    pub fn platform(&self) -> &TdxPlatform {
        &self.platform
    }

    /// Its GPUs, ascending by device.
    #[must_use]
    pub fn gpus(&self) -> &[SimulatedGpu] {
        &self.gpus
    }
}

impl Collector for SimulatedNode {
    fn cpu(&self) -> Result<CpuIdentity, CollectError> {
        Ok(CpuIdentity { kind: EvidenceKind::new(EvidenceKind::TDX), device: self.platform.device() })
    }

    fn devices(&self) -> Result<Vec<DeviceIdentity>, CollectError> {
        let identity = |gpu: &SimulatedGpu| DeviceIdentity {
            device: gpu.device(),
            kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
            name: gpu.name().to_owned(),
        };
        Ok(self.gpus.iter().map(identity).collect())
    }

    fn device_evidence(&self, device: Device, nonce: [u8; 32]) -> Result<DeviceEvidence, CollectError> {
        let gpu = self.gpus.iter().find(|gpu| gpu.device() == device);
        let absent = || CollectError::Unavailable {
            what: "simulated GPU",
            why: format!("this node has no device {}", device.0),
            remedy: "ask for one of the devices that the node lists",
        };
        gpu.map(|gpu| gpu.evidence(nonce)).ok_or_else(absent)
    }

    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError> {
        let body = self.platform.quote(&self.options, report_data);
        Ok(EvidenceEnvelope { kind: EvidenceKind::new(EvidenceKind::TDX), body })
    }

    /// It has no counters; tests/drivers has.
    fn sample(&self) -> Vec<DeviceSample> {
        let none = |gpu: &SimulatedGpu| DeviceSample {
            device: gpu.device(),
            most_flop_per_milli: Err(Missing::UnknownProduct),
            most_flop_per_joule: Err(Missing::UnknownProduct),
            counters: Counters::missing(Missing::NotSupported),
        };
        self.gpus.iter().map(none).collect()
    }
}
