//! **Duty.** SEV-SNP reports through configfs-tsm, or through `/dev/sev-guest` where the kernel is older, and the chip's
//! identity out of the report. **Knows** where fields stand in a report and a host's certificate table. **Does not know**
//! whether the signature holds, nor whether a certificate is AMD's. **Spec.** EVIDENCE §3.1, §3.4, §5.1, §5.2.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sev::firmware::guest::Firmware;
use weighbridge_attest_types::{CodecError, Decoder, Device, EvidenceEnvelope, EvidenceKind, SnpProduct};

use super::{CpuTee, Entry, Opener};
use crate::lane::{AnyJob, Lane};
use crate::tsm::{KernelFiles, TsmFiles, fetch, provider};
use crate::{CollectError, CpuIdentity, PlatformOptions};

pub(crate) const ENTRY: Entry = Entry { name: "sev-snp", probe, open: Opener::Cpu(open) };

const WHAT: &str = "the SEV-SNP report interface";
const DEVICE: &str = "the SEV-SNP guest device";
const PROVIDER: &str = "sev_guest";
/// A report has this size and no other (EVIDENCE §3.1).
const REPORT_BYTES: usize = 1184;
/// The firmware answers in milliseconds, a host that throttles its guests in seconds.
const REPORT: Duration = Duration::from_secs(30);

/// The CPU platform's identity: product and chip id, as the report names them.
///
/// # Errors
/// [`CollectError::Answer`] when the bytes are not a report; [`CollectError::Unavailable`] when a report names no chip.
pub fn chip_of_report(report: &[u8]) -> Result<Device, CollectError> {
    let parts = parts_of_report(report)?;
    let nameless = |why: &str, remedy| CollectError::Unavailable { what: WHAT, why: why.to_owned(), remedy };
    if parts.chip_id == [0; 64] || parts.signer != 0 {
        let why = "its reports name no chip: the host masks it, or signs with a key of the provider's (VLEK)";
        return Err(nameless(why, "ask the provider for a host whose reports are signed by the chip's own key (VCEK)"));
    }
    let product = parts.product.ok_or_else(|| {
        nameless("its reports do not say the product (version 2)", "ask the provider for current firmware")
    })?;
    let id = [product.as_str().as_bytes(), &parts.chip_id].concat();
    Ok(Device::derive(&EvidenceKind::new(EvidenceKind::SEV_SNP), &id))
}

/// Where reports come from. A test puts files behind it that behave like configfs.
trait Source: fmt::Debug + Send + Sync {
    fn report(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, CollectError>;
}

#[derive(Debug)]
struct Tsm<F> {
    files: F,
    root: std::path::PathBuf,
}

#[derive(Debug)]
struct GuestDevice;

struct SevSnp {
    source: Arc<dyn Source>,
    lane: Lane<AnyJob>,
    device: Device,
}

fn probe(options: &PlatformOptions) -> Result<String, CollectError> {
    if is_served(&KernelFiles, &options.tsm_report)? {
        let served = format!("provider {PROVIDER} at {}", options.tsm_report.display());
        return Ok(format!("{served}; {}", certificates(&KernelFiles, &options.tsm_report)?));
    }
    match Firmware::open() {
        Ok(_) => {
            Ok("/dev/sev-guest; the kernel has no configfs-tsm, so that reports come without certificates".to_owned())
        }
        Err(error) => Err(explain(&error)),
    }
}

fn open(options: &PlatformOptions) -> Result<Box<dyn CpuTee>, CollectError> {
    let source: Arc<dyn Source> = if is_served(&KernelFiles, &options.tsm_report)? {
        Arc::new(Tsm { files: KernelFiles, root: options.tsm_report.clone() })
    } else {
        drop(Firmware::open().map_err(|error| explain(&error))?);
        Arc::new(GuestDevice)
    };
    Ok(Box::new(SevSnp::open(source)?))
}

/// What the host hands over beside a report. It travels apart: certificates are endorsements, and anybody can fetch them.
fn certificates(files: &dyn TsmFiles, root: &Path) -> Result<String, CollectError> {
    let table = fetch(files, root, &[0; 64], REPORT_BYTES)?.auxblob;
    match pieces(&table).map_err(|error| answer(&format!("a certificate table that does not parse ({error})")))? {
        0 => Ok("the host hands over no certificates: fetch them with `weighbridge-fetch`".to_owned()),
        count => Ok(format!("the host hands over {count} certificates")),
    }
}

/// Pieces of a host's table: GUID, offset and length of each, a zero GUID at the end (EVIDENCE §3.4).
fn pieces(table: &[u8]) -> Result<usize, CodecError> {
    let (mut input, mut count) = (Decoder::new(table), 0_usize);
    while !table.is_empty() {
        let guid: [u8; 16] = input.array()?;
        let (offset, length): (u32, u32) = (input.take()?, input.take()?);
        if guid == [0; 16] {
            break;
        }
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        if end.is_none_or(|end| end > table.len()) {
            return Err(CodecError::NotCanonical("a piece outside of the table"));
        }
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// Whether configfs-tsm is there and AMD's. Where it is another TEE's, this is no SEV-SNP guest at all.
fn is_served(files: &dyn TsmFiles, root: &Path) -> Result<bool, CollectError> {
    match provider(files, root) {
        Ok(found) if found == PROVIDER => Ok(true),
        Ok(found) => Err(CollectError::Unavailable {
            what: WHAT,
            why: format!("configfs-tsm is served by `{found}`, not `{PROVIDER}`"),
            remedy: "run on an SEV-SNP guest",
        }),
        Err(_) => Ok(false),
    }
}

impl SevSnp {
    /// Takes one report over zeros, because only a report names the chip, and throws it away.
    fn open(source: Arc<dyn Source>) -> Result<Self, CollectError> {
        let lane = Lane::plain(WHAT, "sev-snp")?;
        let body = report(&lane, &source, [0; 64])?;
        Ok(Self { device: chip_of_report(&body)?, source, lane })
    }
}

impl CpuTee for SevSnp {
    fn identity(&self) -> CpuIdentity {
        CpuIdentity { kind: EvidenceKind::new(EvidenceKind::SEV_SNP), device: self.device }
    }

    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError> {
        let body = report(&self.lane, &self.source, report_data)?;
        Ok(EvidenceEnvelope { kind: EvidenceKind::new(EvidenceKind::SEV_SNP), body })
    }
}

impl fmt::Debug for SevSnp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SevSnp").field("source", &self.source).field("device", &self.device).finish_non_exhaustive()
    }
}

fn report(lane: &Lane<AnyJob>, source: &Arc<dyn Source>, report_data: [u8; 64]) -> Result<Vec<u8>, CollectError> {
    let source = Arc::clone(source);
    let body = lane.run("a report", REPORT, move || source.report(&report_data))??;
    if parts_of_report(&body)?.report_data != report_data {
        return Err(answer("a report about other report_data than asked"));
    }
    Ok(body)
}

impl<F: TsmFiles + fmt::Debug> Source for Tsm<F> {
    fn report(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, CollectError> {
        let answered = fetch(&self.files, &self.root, report_data, REPORT_BYTES)?;
        if answered.provider != PROVIDER {
            return Err(answer("another provider than before"));
        }
        Ok(answered.outblob)
    }
}

impl Source for GuestDevice {
    /// One attempt: after a doubtful answer the kernel gives the key of the channel up rather than use a number twice.
    fn report(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, CollectError> {
        let mut device = Firmware::open().map_err(|error| explain(&error))?;
        device.get_report(None, Some(*report_data), None).map_err(|error| CollectError::Unavailable {
            what: DEVICE,
            why: format!("it gives no report ({error})"),
            remedy: "look at `dmesg`; when it says that the VMPCK is disabled, reboot the guest",
        })
    }
}

/// What is read out of a report; everything else is the Verifier's.
struct ReportParts {
    report_data: [u8; 64],
    chip_id: [u8; 64],
    /// 0 is the chip's own key.
    signer: u32,
    /// Versions 3 and later.
    product: Option<SnpProduct>,
}

fn parts_of_report(report: &[u8]) -> Result<ReportParts, CollectError> {
    if report.len() != REPORT_BYTES {
        return Err(answer(&format!("{} bytes; a report has {REPORT_BYTES}", report.len())));
    }
    slice_report(report).map_err(|error| answer(&format!("bytes that are not a report ({error})")))
}

/// EVIDENCE §3.1.
fn slice_report(report: &[u8]) -> Result<ReportParts, CodecError> {
    let mut input = Decoder::new(report);
    let version: u32 = input.take()?;
    if !(2..=5).contains(&version) {
        return Err(CodecError::NotCanonical("report version"));
    }
    input.raw(0x44)?;
    let flags: u32 = input.take()?;
    input.raw(4)?;
    let report_data = input.array()?;
    input.raw(0x188_usize.saturating_sub(0x90))?;
    let [family, model, _] = input.array()?;
    input.raw(0x1a0_usize.saturating_sub(0x18b))?;
    let product = if version >= 3 { product_of(family, model) } else { None };
    Ok(ReportParts { report_data, chip_id: input.array()?, signer: (flags >> 2) & 7, product })
}

/// Siena and Bergamo are certified as Genoa.
const fn product_of(family: u8, model: u8) -> Option<SnpProduct> {
    match (family, model) {
        (0x19, 0x00..=0x0f) => Some(SnpProduct::Milan),
        (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(SnpProduct::Genoa),
        (0x1a, _) => Some(SnpProduct::Turin),
        _ => None,
    }
}

fn explain(error: &io::Error) -> CollectError {
    let (why, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (
            "neither configfs-tsm nor /dev/sev-guest is there".to_owned(),
            "on an SEV-SNP guest run `modprobe sev-guest` and mount configfs",
        ),
        _ => (
            format!("/dev/sev-guest does not open ({error})"),
            "let the service's user open /dev/sev-guest (DeviceAllow= and file mode)",
        ),
    };
    CollectError::Unavailable { what: DEVICE, why, remedy }
}

fn answer(why: &str) -> CollectError {
    CollectError::Answer { what: WHAT, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of a report of a Milan, without a signature.
    fn shaped(report_data: [u8; 64]) -> Vec<u8> {
        let mut report = vec![0; REPORT_BYTES];
        report[0] = 3;
        report[0x50..0x90].copy_from_slice(&report_data);
        report[0x188..0x18b].copy_from_slice(&[0x19, 1, 1]);
        report[0x1a0..0x1e0].fill(0xab);
        report
    }

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl Source for Bytes {
        fn report(&self, _: &[u8; 64]) -> Result<Vec<u8>, CollectError> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn a_report_is_about_what_was_asked_and_names_its_chip() {
        let opened = SevSnp::open(Arc::new(Bytes(shaped([0; 64])))).unwrap();
        let id = [&b"Milan"[..], &[0xab; 64]].concat();
        assert_eq!(opened.identity().device, Device::derive(&EvidenceKind::new(EvidenceKind::SEV_SNP), &id));
        assert_eq!(opened.quote([0; 64]).unwrap().body, shaped([0; 64]));
        let other = opened.quote([1; 64]).unwrap_err().to_string();
        assert!(other.ends_with("a report about other report_data than asked"), "{other}");
    }

    #[test]
    fn lengths_and_versions_that_no_firmware_has_are_refused() {
        for length in [0, 1, 0x1df, REPORT_BYTES - 1, REPORT_BYTES + 1] {
            let mut report = shaped([0; 64]);
            report.resize(length, 0);
            assert!(matches!(chip_of_report(&report), Err(CollectError::Answer { .. })), "{length}");
        }
        for version in [0, 1, 6, 255] {
            let mut report = shaped([0; 64]);
            report[0] = version;
            assert!(matches!(chip_of_report(&report), Err(CollectError::Answer { .. })), "{version}");
        }
    }

    #[test]
    fn a_report_that_names_no_chip_cannot_lead_a_node() {
        let refused = |change: fn(&mut Vec<u8>)| {
            let mut report = shaped([0; 64]);
            change(&mut report);
            chip_of_report(&report).unwrap_err().to_string()
        };
        assert!(refused(|report| report[0x1a0..0x1e0].fill(0)).contains("name no chip"));
        assert!(refused(|report| report[0x48] = 1 << 2).contains("VLEK"));
        assert!(refused(|report| report[0] = 2).contains("do not say the product"));
    }

    #[test]
    fn a_hosts_table_is_counted_and_held_to_its_bytes() {
        let entry = |guid: u8, offset: u32, length: u32| {
            [&[guid; 16][..], &offset.to_le_bytes(), &length.to_le_bytes()].concat()
        };
        let table = [entry(7, 48, 3), entry(0, 0, 0), vec![1, 2, 3]].concat();
        assert_eq!((pieces(&table), pieces(&[])), (Ok(1), Ok(0)));
        for broken in [entry(7, 48, 4), entry(7, u32::MAX, 2), entry(7, 0, 1)[..20].to_vec()] {
            assert!(pieces(&broken).is_err(), "{broken:?}");
        }
        assert!(pieces(&entry(7, 0, 1)).is_err(), "no end");
    }

    #[test]
    fn a_missing_device_is_told_from_a_closed_one() {
        let missing = explain(&io::Error::from(io::ErrorKind::NotFound)).to_string();
        assert_eq!(
            missing,
            "the SEV-SNP guest device is unavailable: neither configfs-tsm nor /dev/sev-guest is there; \
             on an SEV-SNP guest run `modprobe sev-guest` and mount configfs"
        );
        let closed = explain(&io::Error::from(io::ErrorKind::PermissionDenied)).to_string();
        assert!(closed.contains("does not open (permission denied); let the service's user open"), "{closed}");
    }
}
