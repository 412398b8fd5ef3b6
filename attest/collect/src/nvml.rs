//! **Duty.** NVML with its sharp edges covered: one call at a time for each GPU and a deadline for each call, sizes that a
//! driver announces held against the buffers that NVML defines, and a driver that was loaded again taken up again.
//! **Knows** the driver. **Does not know** what a report means. **Spec.** EVIDENCE §5.3.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::{Device, GpmSample, Nvml};

use crate::CollectError;
use crate::lane::{AnyJob, Lane};

pub(crate) mod counters;
mod sized;

const WHAT: &str = "the NVIDIA driver (NVML)";
/// Initialising attaches every GPU of the node.
const INITIALISATION: Duration = Duration::from_secs(30);
/// A report takes about a second on genuine GPUs (EVIDENCE §5.3).
const EVIDENCE: Duration = Duration::from_secs(10);
/// Everything else is a register or a table of the driver.
const QUESTION: Duration = Duration::from_secs(3);
/// Looks at counters come every second, one GPU after the other.
const LOOK: Duration = Duration::from_secs(1);
/// GPUs that get a thread of their own; more than an evidence set may hold are refused later.
const MAX_LANES: u32 = 64;

/// The loaded driver library.
pub(crate) struct Driver {
    /// Questions about the system as a whole.
    system: Lane<Job>,
    /// One for each GPU, by NVML's index.
    gpus: Vec<Lane<Job>>,
}

/// Where a lane's jobs sit: the library, and what one GPU keeps between two of them.
pub(crate) struct Seat<'n> {
    nvml: &'n Nvml,
    previous: Option<GpmSample<'n>>,
}

type Job = Box<dyn for<'n> FnOnce(&mut Seat<'n>) + Send>;

/// Why an answer is none.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The driver's own word.
    Nvml(NvmlError),
    /// Bytes that are not what NVML defines.
    Answer(String),
}

impl From<NvmlError> for Fault {
    fn from(error: NvmlError) -> Self {
        Self::Nvml(error)
    }
}

/// What the driver says about confidential computing. None of it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CcMode {
    /// Production mode: performance counters are withheld.
    On,
    /// Development tools are let in, and counters with them.
    Devtools,
    /// Off: there is no evidence either.
    Off,
}

impl Driver {
    /// Loads `library`, or the system's `libnvidia-ml.so.1`.
    pub(crate) fn load(library: Option<&Path>) -> Result<Self, CollectError> {
        let path: Option<PathBuf> = library.map(Path::to_owned);
        let opening: Lane<AnyJob> = Lane::plain(WHAT, "nvml-open")?;
        let initialise = move || {
            let mut builder = Nvml::builder();
            if let Some(path) = &path {
                builder.lib_path(path.as_os_str());
            }
            guard("initialisation", || Ok(builder.init()?))
        };
        let nvml = Arc::new(opening.run("initialisation", INITIALISATION, initialise)??);
        let system = seated(&nvml, "nvml")?;
        let count = ask(&system, "the device count", QUESTION, |seat| Ok(seat.nvml.device_count()?))?;
        let gpus = (0..count.min(MAX_LANES)).map(|index| seated(&nvml, &format!("nvml-{index}")));
        Ok(Self { system, gpus: gpus.collect::<Result<_, _>>()? })
    }

    /// Number of GPUs, now.
    pub(crate) fn count(&self) -> Result<u32, CollectError> {
        ask(&self.system, "the device count", QUESTION, |seat| Ok(seat.nvml.device_count()?))
    }

    /// The driver's version.
    pub(crate) fn version(&self) -> Result<String, CollectError> {
        ask(&self.system, "the driver's version", QUESTION, |seat| Ok(seat.nvml.sys_driver_version()?))
    }

    /// Product name of a GPU.
    pub(crate) fn name(&self, index: u32) -> Result<String, CollectError> {
        self.on_gpu(index, "a device name", QUESTION, |device, seat| sized::name(seat.nvml, &device))
    }

    /// PCI device id of a GPU above its vendor id.
    pub(crate) fn pci_id(&self, index: u32) -> Result<u32, CollectError> {
        self.on_gpu(index, "a PCI id", QUESTION, |device, seat| sized::pci_id(seat.nvml, &device))
    }

    /// Confidential-compute mode. The wrapper asks it of a device; the driver answers for the system.
    pub(crate) fn mode(&self) -> Result<CcMode, CollectError> {
        self.on_gpu(0, "the confidential-compute mode", QUESTION, |device, _| {
            Ok(match (device.is_cc_enabled()?, device.is_cc_dev_mode_enabled()?) {
                (_, true) => CcMode::Devtools,
                (true, false) => CcMode::On,
                (false, false) => CcMode::Off,
            })
        })
    }

    /// Whether a GPU is cut into instances.
    pub(crate) fn is_mig(&self, index: u32) -> Result<bool, CollectError> {
        self.on_gpu(index, "the MIG mode", QUESTION, |device, _| match device.mig_mode() {
            Ok(mode) => Ok(mode.current == 1),
            Err(NvmlError::NotSupported) => Ok(false),
            Err(error) => Err(error.into()),
        })
    }

    /// PEM chain of the attestation key, leaf first.
    pub(crate) fn certificate_chain(&self, index: u32) -> Result<Vec<u8>, CollectError> {
        self.on_gpu(index, "an attestation certificate", EVIDENCE, |device, seat| {
            sized::certificate_chain(seat.nvml, &device)
        })
    }

    /// A report that answers `nonce`.
    pub(crate) fn report(&self, index: u32, nonce: [u8; 32]) -> Result<Vec<u8>, CollectError> {
        self.on_gpu(index, "an attestation report", EVIDENCE, move |device, seat| {
            sized::report(seat.nvml, &device, nonce)
        })
    }

    /// The counters of a GPU.
    pub(crate) fn counters(&self, index: u32) -> Result<counters::Counters, CollectError> {
        self.on_gpu(index, "the counters", LOOK, |device, seat| Ok(counters::read(&device, seat)))
    }

    fn on_gpu<T: Send + 'static>(
        &self,
        index: u32,
        asked: &'static str,
        limit: Duration,
        act: impl for<'n> Fn(Device<'n>, &mut Seat<'n>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CollectError> {
        let lane = usize::try_from(index).ok().and_then(|index| self.gpus.get(index));
        let lane = lane.ok_or_else(|| CollectError::Unavailable {
            what: WHAT,
            why: format!("{asked}: there is no GPU {index}"),
            remedy: "look at `nvidia-smi`; a node has at most 64 GPUs",
        })?;
        ask(lane, asked, limit, move |seat| {
            let device = seat.nvml.device_by_index(index)?;
            act(device, seat)
        })
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("gpus", &self.gpus.len()).finish_non_exhaustive()
    }
}

fn seated(nvml: &Arc<Nvml>, name: &str) -> Result<Lane<Job>, CollectError> {
    let nvml = Arc::clone(nvml);
    Lane::start(WHAT, name, move |jobs: Receiver<Job>| {
        let mut seat = Seat { nvml: &nvml, previous: None };
        jobs.into_iter().for_each(|job| job(&mut seat));
    })
}

fn ask<T: Send + 'static>(
    lane: &Lane<Job>,
    asked: &'static str,
    limit: Duration,
    act: impl for<'n> Fn(&mut Seat<'n>) -> Result<T, Fault> + Send + 'static,
) -> Result<T, CollectError> {
    lane.ask(asked, limit, |reply| {
        Box::new(move |seat: &mut Seat<'_>| reply.give(guard(asked, || taken_up(seat, &act))))
    })?
}

/// A driver that was loaded again knows nobody: it is initialised once more, and asked once more.
fn taken_up<'n, T>(seat: &mut Seat<'n>, act: &impl Fn(&mut Seat<'n>) -> Result<T, Fault>) -> Result<T, Fault> {
    match act(seat) {
        Err(Fault::Nvml(NvmlError::Uninitialized)) => {
            // What an earlier load sampled says nothing about this one.
            seat.previous = None;
            let initialise = nvml_sym(seat.nvml.lib().nvmlInit_v2.as_ref())?;
            // SAFETY: the library is loaded as long as `Nvml` lives, and this call takes nothing.
            nvml_try(unsafe { initialise() })?;
            act(seat)
        }
        answered => answered,
    }
}

/// What panics inside of the wrapper is an error outside. No state of ours is behind the unwind boundary: every call asks
/// the driver anew.
fn guard<T>(asked: &str, ask: impl FnOnce() -> Result<T, Fault>) -> Result<T, CollectError> {
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Fault::Nvml(error))) => Err(explain(asked, &error)),
        Ok(Err(Fault::Answer(why))) => Err(CollectError::Answer { what: WHAT, why: format!("{asked}: {why}") }),
        Err(_) => Err(CollectError::Answer {
            what: WHAT,
            why: format!("{asked}: the driver's answer is outside of what NVML defines"),
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
        NvmlError::DriverNotLoaded | NvmlError::Uninitialized => "run `modprobe nvidia`, then look at `dmesg`",
        NvmlError::NoPermission => "let the service open /dev/nvidia* (DeviceAllow=)",
        NvmlError::GpuLost => "the GPU fell off the bus: look at `dmesg` for Xid 79, then reboot the guest",
        NvmlError::ResetRequired => "end the job, then reset the GPU (`nvidia-smi --gpu-reset`)",
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
             the driver's answer is outside of what NVML defines"
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
