//! **Duty.** The real platform: a CPU TEE that leads and the accelerators it owns, behind [`Collector`].
//! **Does not know** any fake: what is not there is an error. **Spec.** HOUSE §7 rule 6.

use std::path::PathBuf;

use weighbridge_attest_types::{Device, DeviceEvidence, EvidenceEnvelope};

use crate::collectors::{Accelerators, COLLECTORS, CpuTee, Opener};
use crate::tsm::TSM_REPORT;
use crate::{CollectError, Collector, CpuIdentity, DeviceIdentity, DeviceSample};

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformOptions {
    /// Folder of configfs-tsm reports.
    pub tsm_report: PathBuf,
    /// NVML library, if not the system's.
    pub nvml_library: Option<PathBuf>,
}

/// An opened composite device.
#[derive(Debug)]
pub struct Platform {
    cpu: Box<dyn CpuTee>,
    accelerators: Box<dyn Accelerators>,
}

impl Default for PlatformOptions {
    fn default() -> Self {
        Self { tsm_report: PathBuf::from(TSM_REPORT), nvml_library: None }
    }
}

impl Platform {
    /// Opens the first CPU TEE that answers, and the accelerators. A node without either has nothing to weigh with.
    ///
    /// # Errors
    /// [`CollectError`]: when no CPU TEE answers, the reasons of all of them.
    pub fn open(options: &PlatformOptions) -> Result<Self, CollectError> {
        let mut reasons = Vec::new();
        let mut accelerators = Vec::new();
        let mut cpu = None;
        for entry in COLLECTORS {
            match entry.open {
                Opener::Cpu(open) if cpu.is_none() => match open(options) {
                    Ok(found) => cpu = Some(found),
                    Err(error) => reasons.push(error.to_string()),
                },
                Opener::Cpu(_) => {}
                Opener::Accelerators(open) => accelerators.push(open),
            }
        }
        let cpu = cpu.ok_or_else(|| CollectError::Unavailable {
            what: "a CPU TEE",
            why: reasons.join(". "),
            remedy: "run weighbridged inside a confidential VM; `weighbridged doctor` lists what was looked for",
        })?;
        // One accelerator driver in the table: two would need a merged, ascending set.
        let open = accelerators.first().ok_or_else(|| CollectError::Unavailable {
            what: "an accelerator",
            why: "this build knows no accelerator".to_owned(),
            remedy: "use a build with NVML",
        })?;
        Ok(Self { cpu, accelerators: open(options)? })
    }
}

impl Collector for Platform {
    fn cpu(&self) -> Result<CpuIdentity, CollectError> {
        Ok(self.cpu.identity())
    }

    fn devices(&self) -> Result<Vec<DeviceIdentity>, CollectError> {
        Ok(self.accelerators.identities())
    }

    fn device_evidence(&self, device: Device, nonce: [u8; 32]) -> Result<DeviceEvidence, CollectError> {
        self.accelerators.evidence(device, nonce)
    }

    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError> {
        self.cpu.quote(report_data)
    }

    fn sample(&self) -> Vec<DeviceSample> {
        self.accelerators.sample()
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::Culprit;

    use super::*;

    #[test]
    fn without_a_tee_there_is_no_platform_and_every_reason_is_told() {
        let options = PlatformOptions { tsm_report: "/nonexistent/tsm/report".into(), nvml_library: None };
        let error = Platform::open(&options).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.culprit(), Culprit::Unavailable);
        assert!(text.starts_with("a CPU TEE is unavailable: "), "{text}");
        assert!(text.contains("/nonexistent/tsm/report does not exist"), "{text}");
        assert!(text.contains("SEV-SNP"), "{text}");
        assert!(text.ends_with("`weighbridged doctor` lists what was looked for"), "{text}");
    }
}
