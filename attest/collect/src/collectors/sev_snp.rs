//! **Duty.** Says honestly what this version does on an SEV-SNP guest: it sees the device and does not quote.
//! **Knows** `/dev/sev-guest`. **Does not know** how to ask for a report yet. **Spec.** EVIDENCE §5.2.

use std::io;

use sev::firmware::guest::Firmware;

use super::{CpuTee, Entry, Opener};
use crate::{CollectError, PlatformOptions};

pub(crate) const ENTRY: Entry = Entry { name: "sev-snp", probe, open: Opener::Cpu(open) };

const WHAT: &str = "the SEV-SNP guest device";

fn probe(_: &PlatformOptions) -> Result<String, CollectError> {
    Err(explain(Firmware::open()))
}

fn open(_: &PlatformOptions) -> Result<Box<dyn CpuTee>, CollectError> {
    Err(explain(Firmware::open()))
}

fn explain(opened: io::Result<Firmware>) -> CollectError {
    let (why, remedy) = match opened {
        Ok(_) => (
            "/dev/sev-guest opens, but this version does not collect SEV-SNP reports yet".to_owned(),
            "run the node in a TDX guest",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ("/dev/sev-guest does not exist".to_owned(), "on an SEV-SNP guest run `modprobe sev-guest`")
        }
        Err(error) => (
            format!("/dev/sev-guest does not open ({error})"),
            "let the service's user open /dev/sev-guest (DeviceAllow= and file mode)",
        ),
    };
    CollectError::Unavailable { what: WHAT, why, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_told_from_a_closed_one() {
        let missing = explain(Err(io::Error::from(io::ErrorKind::NotFound))).to_string();
        assert_eq!(
            missing,
            "the SEV-SNP guest device is unavailable: /dev/sev-guest does not exist; \
             on an SEV-SNP guest run `modprobe sev-guest`"
        );
        let closed = explain(Err(io::Error::from(io::ErrorKind::PermissionDenied))).to_string();
        assert!(closed.contains("does not open (permission denied); let the service's user open"), "{closed}");
    }
}
