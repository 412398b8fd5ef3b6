//! **Duty.** NVML through nvml-wrapper, with its sharp edges covered: one call at a time, and a driver that announces
//! more bytes than the wrapper's fixed arrays hold is an error, not a panic. **Knows** the driver. **Does not know**
//! what a report means. **Spec.** EVIDENCE §5.3.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::CollectError;

const WHAT: &str = "the NVIDIA driver (NVML)";

/// The loaded driver library. Calls are serial: attestation calls of one GPU may not overlap.
pub(crate) struct Driver {
    nvml: Mutex<Nvml>,
}

impl Driver {
    /// Loads `library`, or the system's `libnvidia-ml.so.1`.
    pub(crate) fn load(library: Option<&Path>) -> Result<Self, CollectError> {
        let mut builder = Nvml::builder();
        if let Some(path) = library {
            builder.lib_path(path.as_os_str());
        }
        let loaded = guard("initialisation", || builder.init())?;
        Ok(Self { nvml: Mutex::new(loaded) })
    }

    /// Number of GPUs.
    pub(crate) fn count(&self) -> Result<u32, CollectError> {
        self.call("the device count", Nvml::device_count)
    }

    /// Product name of a GPU.
    pub(crate) fn name(&self, index: u32) -> Result<String, CollectError> {
        self.call("a device name", |nvml| nvml.device_by_index(index)?.name())
    }

    /// PEM chain of the attestation key, leaf first.
    pub(crate) fn certificate_chain(&self, index: u32) -> Result<Vec<u8>, CollectError> {
        self.call("an attestation certificate", |nvml| {
            let chain = nvml.device_by_index(index)?.confidential_compute_gpu_certificate()?;
            Ok(chain.attestation_cert_chain)
        })
    }

    /// A report that answers `nonce`.
    pub(crate) fn report(&self, index: u32, nonce: [u8; 32]) -> Result<Vec<u8>, CollectError> {
        self.call("an attestation report", |nvml| {
            let report = nvml.device_by_index(index)?.confidential_compute_gpu_attestation_report(nonce)?;
            Ok(report.attestation_report)
        })
    }

    fn call<T>(&self, asked: &str, ask: impl FnOnce(&Nvml) -> Result<T, NvmlError>) -> Result<T, CollectError> {
        let nvml = self.nvml.lock().unwrap_or_else(PoisonError::into_inner);
        guard(asked, || ask(&nvml))
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// The wrapper slices its fixed arrays by sizes that the driver announces: a bad size panics inside (EVIDENCE §5.3).
/// No state of ours is behind the unwind boundary: every call asks the driver anew.
fn guard<T>(asked: &str, ask: impl FnOnce() -> Result<T, NvmlError>) -> Result<T, CollectError> {
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(explain(asked, &error)),
        Err(_) => Err(CollectError::Answer {
            what: WHAT,
            why: format!("{asked}: it announces a size outside the buffer that NVML defines"),
        }),
    }
}

fn explain(asked: &str, error: &NvmlError) -> CollectError {
    let remedy = match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            "install the NVIDIA driver in this guest, or name its library as `nvml_library` in the configuration"
        }
        NvmlError::NotSupported => {
            "switch the GPU to confidential-compute mode (host: `nvidia_gpu_tools.py --set-cc-mode=on`); Hopper or later"
        }
        NvmlError::DriverNotLoaded => "run `modprobe nvidia`, then look at `dmesg`",
        NvmlError::NoPermission => "let the service open /dev/nvidia* (DeviceAllow=)",
        _ => "look at `nvidia-smi` and `dmesg`, then run `weighbridged doctor`",
    };
    CollectError::Unavailable { what: WHAT, why: format!("{asked}: {error}"), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_the_wrapper_is_an_error() {
        let sizes = [0u8; 4];
        let announced = std::hint::black_box(9);
        let caught = guard("an attestation report", || Ok(sizes[..announced].to_vec())).unwrap_err();
        assert_eq!(
            caught.to_string(),
            "the NVIDIA driver (NVML) answered with unusable bytes: an attestation report: \
             it announces a size outside the buffer that NVML defines"
        );
    }

    #[test]
    fn a_missing_library_is_named_with_the_remedy() {
        let missing = Driver::load(Some(Path::new("/nonexistent/libnvidia-ml.so.1"))).unwrap_err();
        let text = missing.to_string();
        assert!(text.contains("/nonexistent/libnvidia-ml.so.1"), "{text}");
        assert!(text.contains("`nvml_library` in the configuration"), "{text}");
        assert_eq!(missing.culprit(), weighbridge_attest_types::Culprit::Unavailable);
    }
}
