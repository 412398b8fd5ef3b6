//! **Duty.** Counts NVIDIA GPUs on the PCI bus, to find those that the driver does not show to this process.
//! **Does not know** the driver. **Spec.** ECOSYSTEM §3 item 27: a sandbox that lacks a device name sees no GPU at all.

use std::fs;
use std::path::Path;

/// Where the kernel lists PCI devices.
pub(crate) const PCI_DEVICES: &str = "/sys/bus/pci/devices";

const NVIDIA: &str = "0x10de";
/// Display controllers: VGA compatible (00) and 3D (02).
const GPU_CLASSES: [&str; 2] = ["0x0300", "0x0302"];

/// NVIDIA GPUs on the bus; `None` when the bus cannot be read.
pub(crate) fn nvidia_gpus(devices: &Path) -> Option<usize> {
    let entries = fs::read_dir(devices).ok()?;
    let is_gpu = |folder: &Path| {
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        read("vendor").trim() == NVIDIA && GPU_CLASSES.iter().any(|class| read("class").starts_with(class))
    };
    Some(entries.flatten().filter(|entry| is_gpu(&entry.path())).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_and_bridges_and_other_vendors_are_not() {
        let bus = tempfile::tempdir().unwrap();
        let devices = [
            ("0x10de\n", "0x030200\n"),
            ("0x10de\n", "0x030000\n"),
            ("0x10de\n", "0x068000\n"),
            ("0x1002\n", "0x030000\n"),
        ];
        for (slot, (vendor, class)) in devices.iter().enumerate() {
            let folder = bus.path().join(format!("0000:00:{slot:02}.0"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("vendor"), vendor).unwrap();
            fs::write(folder.join("class"), class).unwrap();
        }
        assert_eq!(nvidia_gpus(bus.path()), Some(2));
        assert_eq!(nvidia_gpus(&bus.path().join("absent")), None);
    }
}
