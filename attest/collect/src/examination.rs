//! **Duty.** What stands in the way of a node, as an operator asks it: drivers, mode, counters, device nodes, the bus
//! against the driver; each finding with what to do. Takes no evidence. **Knows** files and the driver. **Does not know**
//! configuration, clocks or whether a Verifier would accept the node. **Spec.** ECOSYSTEM §3 items 12, 27; §8 (a).

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use crate::nvml::{CcMode, Driver};
use crate::pci::{PCI_DEVICES, nvidia_gpus};
use crate::{CollectError, PlatformOptions, Product, Tier};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Good,
    /// Good enough to run; somebody should know.
    Note,
    /// A node does not run so, or not as it should.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the check.
    pub check: &'static str,
    /// How much it weighs.
    pub weight: Weight,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: &'static str,
}

/// Where the kernel shows devices. Tests look elsewhere.
struct Places {
    pci: PathBuf,
    dev: PathBuf,
}

/// Looks at the accelerators and everything around them.
#[must_use]
pub fn examine(options: &PlatformOptions) -> Vec<Finding> {
    let places = Places { pci: PCI_DEVICES.into(), dev: "/dev".into() };
    let bus = nvidia_gpus(&places.pci);
    let mut findings = vec![device_nodes(&places, bus)];
    match Driver::load(options.nvml_library.as_deref()) {
        Ok(driver) => findings.extend(of_driver(&driver, bus)),
        Err(error) => findings.push(fault("driver", &error)),
    }
    findings
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(check: &'static str, weight: Weight, found: impl Into<String>, remedy: &'static str) -> Self {
        Self { check, weight, found: found.into(), remedy }
    }
}

fn of_driver(driver: &Driver, bus: Option<usize>) -> Vec<Finding> {
    let version = match driver.version() {
        Ok(version) => Finding::new("driver", Weight::Good, format!("NVIDIA driver {version}"), ""),
        Err(error) => fault("driver", &error),
    };
    let count = match driver.count() {
        Ok(count) => count,
        Err(error) => return vec![version, fault("gpu-count", &error)],
    };
    let mode = driver.mode();
    let mut findings = vec![version, counted(count, bus), cc_mode(&mode)];
    findings.extend((0..count).flat_map(|index| of_gpu(driver, index)));
    findings.push(counters(driver, count, mode.ok()));
    findings
}

/// ECOSYSTEM §3 item 27: a sandbox that lacks a device name sees fewer GPUs than there are.
fn counted(driver: u32, bus: Option<usize>) -> Finding {
    let driver = usize::try_from(driver).unwrap_or(usize::MAX);
    let of = |weight, found: String, remedy| Finding::new("gpu-count", weight, found, remedy);
    match bus {
        _ if driver == 0 => of(Weight::Fault, "the driver shows no GPU".to_owned(), "look at `nvidia-smi` and `dmesg`"),
        Some(bus) if bus > driver => of(
            Weight::Fault,
            format!("the PCI bus has {bus} NVIDIA GPUs, the driver shows {driver}"),
            "let the service open every /dev/nvidia* (DeviceAllow= for char-nvidia and char-nvidia-frontend), and look at \
             `dmesg` for a GPU that fell off the bus",
        ),
        Some(bus) if bus == driver => of(Weight::Good, format!("{driver} GPUs on the bus and at the driver"), ""),
        Some(bus) => of(
            Weight::Note,
            format!("the driver shows {driver} GPUs, the PCI bus {bus}"),
            "mount /sys in the service's sandbox, so that hidden GPUs would be found",
        ),
        None => of(
            Weight::Note,
            format!("the driver shows {driver} GPUs; the PCI bus cannot be read"),
            "mount /sys in the service's sandbox, so that hidden GPUs would be found",
        ),
    }
}

/// The driver's word: it is not part of a report.
fn cc_mode(mode: &Result<CcMode, CollectError>) -> Finding {
    let of = |weight, found: &str, remedy| Finding::new("cc-mode", weight, found, remedy);
    match mode {
        Ok(CcMode::On) => of(Weight::Good, "confidential-compute mode is on (the driver's word)", ""),
        Ok(CcMode::Devtools) => of(
            Weight::Fault,
            "confidential-compute mode lets development tools in (the driver's word)",
            "on the host: `nvidia_gpu_tools.py --set-cc-mode=on --reset-after-cc-mode-switch`; policies refuse devtools",
        ),
        Ok(CcMode::Off) => of(
            Weight::Fault,
            "confidential-compute mode is off (the driver's word)",
            "on the host: `nvidia_gpu_tools.py --set-cc-mode=on --reset-after-cc-mode-switch`; Hopper or later",
        ),
        Err(error) => fault("cc-mode", error),
    }
}

/// Only what is not as it should be: eight good lines say nothing.
fn of_gpu(driver: &Driver, index: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    match driver.name(index).and_then(|name| Ok((name, driver.pci_id(index)?))) {
        Ok((name, id)) if Product::of_pci(id).is_none() => findings.push(Finding::new(
            "gpu-product",
            Weight::Note,
            format!("GPU {index} ({name}, PCI id {id:#010x}) is not in the table of products: its operations are not counted"),
            "use a build that knows it; completeness does not depend on counters",
        )),
        Ok(_) => {}
        Err(error) => findings.push(fault("gpu", &error)),
    }
    match driver.is_mig(index) {
        Ok(true) => findings.push(Finding::new(
            "gpu-mig",
            Weight::Note,
            format!(
                "GPU {index} is cut into instances (MIG): the whole GPU is charged, and utilisation is not counted"
            ),
            "switch MIG off (`nvidia-smi -mig 0`) on nodes that train",
        )),
        Ok(false) => {}
        Err(error) => findings.push(fault("gpu", &error)),
    }
    findings
}

/// Two looks, because tensor activity takes two samples.
fn counters(driver: &Driver, count: u32, mode: Option<CcMode>) -> Finding {
    let look = |index| driver.counters(index).map(|counters| (counters.tier(), counters.tensor_permille));
    let looks: Vec<_> =
        (0..count).map(look).chain((0..count).map(look)).skip(usize::try_from(count).unwrap_or(0)).collect();
    let worst =
        looks.iter().map(|look| look.as_ref().map_or(Tier::Time, |(tier, _)| *tier)).min().unwrap_or(Tier::Time);
    let reason = looks.iter().find_map(|look| look.as_ref().ok()?.1.err()).map_or("", |why| why.as_str());
    match (worst, mode) {
        (Tier::TensorActivity, _) => Finding::new("counters", Weight::Good, "tensor activity is counted", ""),
        (Tier::Activity, Some(CcMode::On)) => Finding::new(
            "counters",
            Weight::Good,
            format!(
                "energy and utilisation are counted; tensor activity is withheld ({reason}), as it is in this mode"
            ),
            "",
        ),
        (Tier::Activity, _) => Finding::new(
            "counters",
            Weight::Note,
            format!("energy and utilisation are counted, tensor activity is not ({reason})"),
            "Hopper or later with a current driver counts it, outside of confidential-compute mode",
        ),
        (Tier::Time, _) => Finding::new(
            "counters",
            Weight::Note,
            "nothing but time is counted for at least one GPU",
            "look at `nvidia-smi`; completeness does not depend on counters",
        ),
    }
}

/// Every GPU on the bus has a node that this process may open.
fn device_nodes(places: &Places, bus: Option<usize>) -> Finding {
    let gpus = bus.unwrap_or_default();
    let nodes = (0..gpus).map(|index| places.dev.join(format!("nvidia{index}")));
    let mut wanted: Vec<PathBuf> = nodes.collect();
    if gpus > 0 {
        wanted.push(places.dev.join("nvidiactl"));
    }
    let refused = |node: &PathBuf| opened(node).err().map(|error| (node.clone(), error));
    match wanted.iter().find_map(refused) {
        None if gpus == 0 => {
            Finding::new("device-nodes", Weight::Note, "no NVIDIA GPU on the PCI bus, no node to open", "")
        }
        None => Finding::new("device-nodes", Weight::Good, format!("{} nodes can be opened", wanted.len()), ""),
        Some((node, error)) if error.kind() == io::ErrorKind::NotFound => Finding::new(
            "device-nodes",
            Weight::Fault,
            format!("{} does not exist", node.display()),
            "run `modprobe nvidia` and `nvidia-modprobe -c 0 -u`, or start nvidia-persistenced",
        ),
        Some((node, error)) => Finding::new(
            "device-nodes",
            Weight::Fault,
            format!("{} does not open ({error})", node.display()),
            "the unit needs DeviceAllow= for char-nvidia and char-nvidia-frontend: the driver's age decides the name",
        ),
    }
}

fn opened(node: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).write(true).open(node).map(drop)
}

fn fault(check: &'static str, error: &CollectError) -> Finding {
    match error {
        CollectError::Unavailable { what, why, remedy } => {
            Finding::new(check, Weight::Fault, format!("{what}: {why}"), remedy)
        }
        CollectError::Answer { .. } => {
            Finding::new(check, Weight::Fault, error.to_string(), "update the driver or kernel, and report this answer")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_every_gpu_on_the_bus_must_be_there_and_open() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { pci: PCI_DEVICES.into(), dev: folder.path().to_owned() };
        assert_eq!(device_nodes(&places, Some(0)).weight, Weight::Note);
        let missing = device_nodes(&places, Some(1));
        assert_eq!(missing.weight, Weight::Fault);
        assert!(missing.found.ends_with("/nvidia0 does not exist"), "{}", missing.found);
        for node in ["nvidia0", "nvidiactl"] {
            std::fs::write(folder.path().join(node), "").unwrap();
        }
        assert_eq!(device_nodes(&places, Some(1)).found, "2 nodes can be opened");
        assert!(device_nodes(&places, Some(2)).found.ends_with("/nvidia1 does not exist"));
    }

    #[test]
    fn the_bus_is_held_against_the_driver() {
        let weights = [(8, Some(8)), (7, Some(8)), (8, Some(0)), (8, None), (0, Some(0))]
            .map(|(driver, bus)| counted(driver, bus).weight);
        assert_eq!(weights, [Weight::Good, Weight::Fault, Weight::Note, Weight::Note, Weight::Fault]);
    }

    #[test]
    fn a_mode_in_which_there_is_no_evidence_is_a_fault_with_the_next_command() {
        assert_eq!(cc_mode(&Ok(CcMode::On)).weight, Weight::Good);
        for mode in [CcMode::Off, CcMode::Devtools] {
            let finding = cc_mode(&Ok(mode));
            assert_eq!(finding.weight, Weight::Fault);
            assert!(finding.remedy.contains("--set-cc-mode=on"));
        }
    }

    #[test]
    fn without_a_driver_that_is_the_finding() {
        let options =
            PlatformOptions { nvml_library: Some("/nonexistent/nvml.so".into()), ..PlatformOptions::default() };
        let findings = examine(&options);
        let driver = findings.iter().find(|finding| finding.check == "driver").unwrap();
        assert_eq!(driver.weight, Weight::Fault);
        assert!(driver.found.contains("/nonexistent/nvml.so"), "{}", driver.found);
    }
}
