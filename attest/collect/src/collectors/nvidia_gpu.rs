//! **Duty.** NVIDIA GPUs in confidential-compute mode: identity from the BROM certificate, the canonical report.
//! **Knows** where a report ends and where a PDI stands. **Does not know** whether a report's signature holds.
//! **Spec.** EVIDENCE §1.1, §1.3, §5.3.

use std::path::Path;

use weighbridge_attest_types::{CodecError, Decoder, Device, DeviceEvidence, EvidenceKind};
use x509_parser::oid_registry::OID_X509_SERIALNUMBER;

use super::{Accelerators, Entry, Opener};
use crate::certificates::{certificates_of_pem, parse_certificate};
use crate::nvml::Driver;
use crate::pci::{PCI_DEVICES, nvidia_gpus};
use crate::{CollectError, Counters, DeviceIdentity, DeviceSample, Missing, PlatformOptions, Product};

pub(crate) const ENTRY: Entry = Entry { name: "nvidia-gpu", probe, open: Opener::Accelerators(open) };

const WHAT: &str = "the NVIDIA driver";
/// Request before the response (EVIDENCE §1.1): 4 fixed bytes, nonce 32, slot 1.
const REQUEST_HEADER_BYTES: usize = 4;
const SIGNATURE_BYTES: usize = 96;
/// A report's size in bytes (EVIDENCE §0 rule 5).
const MAX_REPORT_BYTES: usize = 8 * 1024;
/// Devices of one node that an evidence set may hold.
const MAX_GPUS: u32 = 64;

/// The GPU's identity: the PDI in the subject of certificate 1 (BROM).
///
/// # Errors
/// [`CollectError::Answer`] when there is no such certificate or its serial number is not "41" and a PDI.
pub fn gpu_of_chain(certificates: &[Vec<u8>]) -> Result<Device, CollectError> {
    let brom = certificates.get(1).ok_or_else(|| answer("a certificate chain without a BROM certificate"))?;
    let certificate = parse_certificate(WHAT, brom)?;
    let serial = certificate.subject().iter_by_oid(&OID_X509_SERIALNUMBER).next().and_then(|name| name.as_str().ok());
    let pdi = serial.and_then(pdi_of_serial).ok_or_else(|| answer("a BROM certificate whose subject names no PDI"))?;
    Ok(Device::derive(&EvidenceKind::new(EvidenceKind::NVIDIA_GPU), &pdi))
}

/// The canonical report: request, response and signature by the lengths in the structure. One zero byte after it, which
/// some drivers' buffers have, is dropped; anything else is refused. The request nonce must be the one asked.
///
/// # Errors
/// [`CollectError::Answer`].
pub fn canonical_gpu_report(mut bytes: Vec<u8>, nonce: [u8; 32]) -> Result<Vec<u8>, CollectError> {
    if bytes.len() > MAX_REPORT_BYTES {
        return Err(answer(&format!("a report of {} bytes, over {MAX_REPORT_BYTES}", bytes.len())));
    }
    let (extra, found) =
        slice_report(&bytes).map_err(|error| answer(&format!("bytes that are not a report ({error})")))?;
    match (extra, bytes.last()) {
        (0, _) => {}
        (1, Some(0)) => drop(bytes.pop()),
        _ => return Err(answer("bytes after the report's signature")),
    }
    if found == nonce { Ok(bytes) } else { Err(answer("a report that answers another nonce than asked")) }
}

#[derive(Debug)]
struct NvidiaGpus {
    driver: Driver,
    gpus: Vec<Gpu>,
}

#[derive(Debug)]
struct Gpu {
    index: u32,
    identity: DeviceIdentity,
    product: Option<&'static Product>,
}

fn probe(options: &PlatformOptions) -> Result<String, CollectError> {
    let gpus = find(&Driver::load(options.nvml_library.as_deref())?)?;
    let names: Vec<&str> = gpus.iter().map(|gpu| gpu.identity.name.as_str()).collect();
    Ok(format!("{} with an attestation certificate: {}", gpus.len(), names.join(", ")))
}

fn open(options: &PlatformOptions) -> Result<Box<dyn Accelerators>, CollectError> {
    let driver = Driver::load(options.nvml_library.as_deref())?;
    let gpus = find(&driver)?;
    Ok(Box::new(NvidiaGpus { driver, gpus }))
}

/// Every GPU the driver shows must name itself: a set with a nameless member would under-count.
fn find(driver: &Driver) -> Result<Vec<Gpu>, CollectError> {
    let count = driver.count()?;
    all_are_shown(usize::try_from(count).unwrap_or_default(), nvidia_gpus(Path::new(PCI_DEVICES)))?;
    if count == 0 || count > MAX_GPUS {
        return Err(CollectError::Unavailable {
            what: WHAT,
            why: format!("it shows {count} GPUs"),
            remedy: "compare `nvidia-smi` inside and outside the service's sandbox; a node has 1 to 64 GPUs",
        });
    }
    let mut gpus = Vec::new();
    for index in 0..count {
        let chain = certificates_of_pem(WHAT, &driver.certificate_chain(index)?)?;
        let kind = EvidenceKind::new(EvidenceKind::NVIDIA_GPU);
        let identity = DeviceIdentity { device: gpu_of_chain(&chain)?, kind, name: driver.name(index)? };
        // A product that cannot be told has no rates; its evidence does not depend on that.
        let product = driver.pci_id(index).ok().and_then(Product::of_pci);
        gpus.push(Gpu { index, identity, product });
    }
    gpus.sort_by_key(|gpu| gpu.identity.device);
    if gpus.windows(2).any(|pair| matches!(pair, [a, b] if a.identity.device == b.identity.device)) {
        return Err(answer("two GPUs with one PDI"));
    }
    Ok(gpus)
}

/// A GPU on the bus that the driver hides from this process would compute unweighed.
fn all_are_shown(driver: usize, bus: Option<usize>) -> Result<(), CollectError> {
    match bus {
        Some(bus) if bus > driver => Err(CollectError::Unavailable {
            what: WHAT,
            why: format!("the PCI bus has {bus} NVIDIA GPUs, the driver shows {driver}"),
            remedy: "let the service open every /dev/nvidia* (DeviceAllow= for char-nvidia and char-nvidia-frontend), \
                     and look at `dmesg` for a GPU that fell off the bus",
        }),
        _ => Ok(()),
    }
}

impl Accelerators for NvidiaGpus {
    fn identities(&self) -> Vec<DeviceIdentity> {
        self.gpus.iter().map(|gpu| gpu.identity.clone()).collect()
    }

    fn evidence(&self, device: Device, nonce: [u8; 32]) -> Result<DeviceEvidence, CollectError> {
        let gpu = self.gpus.iter().find(|gpu| gpu.identity.device == device);
        let gpu = gpu.ok_or_else(|| answer("no GPU of that identity"))?;
        let certificates = certificates_of_pem(WHAT, &self.driver.certificate_chain(gpu.index)?)?;
        // Indexes can move after a driver reload; the identity is read again from the chain that travels.
        if gpu_of_chain(&certificates)? != device {
            return Err(answer("another GPU at this GPU's index; restart weighbridged"));
        }
        let report = canonical_gpu_report(self.driver.report(gpu.index, nonce)?, nonce)?;
        Ok(DeviceEvidence { device, kind: gpu.identity.kind.clone(), report, certificates })
    }

    fn sample(&self) -> Vec<DeviceSample> {
        let sample = |gpu: &Gpu| DeviceSample {
            device: gpu.identity.device,
            most_flop_per_milli: gpu.product.map(Product::most_flop_per_milli).ok_or(Missing::UnknownProduct),
            most_flop_per_joule: gpu.product.map(Product::most_flop_per_joule).ok_or(Missing::UnknownProduct),
            // A GPU whose call hangs costs one deadline; until it comes back its lane refuses at once.
            counters: self.driver.counters(gpu.index).unwrap_or(Counters::missing(Missing::NoAnswer)),
        };
        self.gpus.iter().map(sample).collect()
    }
}

/// "41" and eight bytes of PDI, in hex.
fn pdi_of_serial(serial: &str) -> Option<[u8; 8]> {
    let digits = serial.strip_prefix("41").filter(|rest| rest.len() == 16)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok().map(u64::to_be_bytes)
}

/// How many bytes follow the report by its own lengths, and the request nonce (EVIDENCE §1.1).
fn slice_report(bytes: &[u8]) -> Result<(usize, [u8; 32]), CodecError> {
    let mut input = Decoder::new(bytes);
    if input.raw(REQUEST_HEADER_BYTES)? != [0x11, 0xe0, 0x01, 0xff] {
        return Err(CodecError::NotCanonical("SPDM request header"));
    }
    let nonce = input.array()?;
    input.raw(1)?;
    if input.raw(4)? != [0x11, 0x60, 0, 0] {
        return Err(CodecError::NotCanonical("SPDM response header"));
    }
    input.raw(1)?;
    let [low, middle, high] = input.array()?;
    let record = usize::try_from(u32::from_le_bytes([low, middle, high, 0]));
    let record = record.map_err(|_| CodecError::NotCanonical("measurement record length"))?;
    input.raw(record)?;
    input.raw(32)?;
    let opaque: u16 = input.take()?;
    input.raw(usize::from(opaque))?;
    input.raw(SIGNATURE_BYTES)?;
    match input.end() {
        Ok(()) => Ok((0, nonce)),
        Err(CodecError::Trailing { extra }) => Ok((extra, nonce)),
        Err(error) => Err(error),
    }
}

fn answer(why: &str) -> CollectError {
    CollectError::Answer { what: WHAT, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up report of the right shape: no vendor's bytes.
    fn shaped(nonce: [u8; 32]) -> Vec<u8> {
        let mut bytes = vec![0x11, 0xe0, 0x01, 0xff];
        bytes.extend(nonce);
        bytes.extend([0, 0x11, 0x60, 0, 0, 1, 5, 0, 0]);
        bytes.extend([7; 5 + 32]);
        bytes.extend([3, 0, 1, 2, 3]);
        bytes.extend([9; SIGNATURE_BYTES]);
        bytes
    }

    #[test]
    fn one_zero_byte_is_dropped_and_nothing_else() {
        let nonce = [4; 32];
        let report = shaped(nonce);
        assert_eq!(canonical_gpu_report(report.clone(), nonce).unwrap(), report);
        let with = |tail: &[u8]| [report.as_slice(), tail].concat();
        assert_eq!(canonical_gpu_report(with(&[0]), nonce).unwrap(), report);
        for tail in [&[1u8][..], &[0, 0]] {
            let refused = canonical_gpu_report(with(tail), nonce).unwrap_err().to_string();
            assert_eq!(refused, "the NVIDIA driver answered with unusable bytes: bytes after the report's signature");
        }
    }

    #[test]
    fn truncation_and_a_foreign_nonce_are_refused() {
        let report = shaped([4; 32]);
        for length in 0..report.len() {
            assert!(canonical_gpu_report(report[..length].to_vec(), [4; 32]).is_err(), "{length}");
        }
        let foreign = canonical_gpu_report(report, [5; 32]).unwrap_err().to_string();
        assert!(foreign.ends_with("a report that answers another nonce than asked"), "{foreign}");
    }

    #[test]
    fn a_gpu_that_the_driver_hides_stops_the_node() {
        assert!(
            all_are_shown(8, Some(8)).is_ok() && all_are_shown(1, Some(0)).is_ok() && all_are_shown(0, None).is_ok()
        );
        let hidden = all_are_shown(7, Some(8)).unwrap_err().to_string();
        let expected = "the NVIDIA driver is unavailable: the PCI bus has 8 NVIDIA GPUs, the driver shows 7; let the";
        assert!(hidden.starts_with(expected), "{hidden}");
    }

    #[test]
    fn a_pdi_is_eight_bytes_after_41() {
        assert_eq!(pdi_of_serial("412921CE551E4EEDA3"), Some([0x29, 0x21, 0xce, 0x55, 0x1e, 0x4e, 0xed, 0xa3]));
        for other in ["502921CE551E4EEDA3", "412921CE551E4EEDA", "41+921CE551E4EEDA3", ""] {
            assert_eq!(pdi_of_serial(other), None, "{other}");
        }
    }
}
