//! **Duty.** TDX quotes through configfs-tsm, and the platform's identity (PPID) out of the quote's own certificate.
//! **Knows** where lengths stand in a quote. **Does not know** whether any signature in it holds.
//! **Spec.** EVIDENCE §2.1, §2.3, §5.1.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weighbridge_attest_types::{CodecError, Decoder, Device, EvidenceEnvelope, EvidenceKind};
use x509_parser::der_parser::{oid, parse_der};

use super::{CpuTee, Entry, Opener};
use crate::certificates::{certificates_of_pem, parse_certificate};
use crate::lane::{AnyJob, Lane};
use crate::tsm::{KernelFiles, TsmAnswer, TsmFiles, fetch, provider};
use crate::{CollectError, CpuIdentity, PlatformOptions};

pub(crate) const ENTRY: Entry = Entry { name: "tdx", probe, open: Opener::Cpu(open) };

const WHAT: &str = "the TDX quote interface";
const PROVIDER: &str = "tdx_guest";
/// A quote's size in bytes (EVIDENCE §0 rule 5).
const MAX_QUOTE_BYTES: usize = 16 * 1024;
/// The kernel itself waits 30 s for the host's quote service; a call that outlasts this hangs.
const QUOTE: Duration = Duration::from_secs(35);
const PPID_BYTES: usize = 16;
/// Offset of `report_data` in every TD body (EVIDENCE §2.1).
const REPORT_DATA_OFFSET: usize = 520;

/// The CPU platform's identity: the PPID in the PCK certificate of its quote.
///
/// # Errors
/// [`CollectError::Answer`] when the bytes are not a quote with a certificate chain that names a PPID.
pub fn platform_of_quote(quote: &[u8]) -> Result<Device, CollectError> {
    let parts = parts_of_quote(quote)?;
    let chain = certificates_of_pem(WHAT, parts.chain_pem)?;
    let leaf = chain.first().ok_or_else(|| answer("a quote without a PCK certificate"))?;
    Ok(Device::derive(&EvidenceKind::new(EvidenceKind::TDX), &ppid(leaf)?))
}

struct Tdx<F> {
    files: Arc<F>,
    root: PathBuf,
    lane: Lane<AnyJob>,
    device: Device,
}

fn open(options: &PlatformOptions) -> Result<Box<dyn CpuTee>, CollectError> {
    Ok(Box::new(open_with(KernelFiles, options.tsm_report.clone())?))
}

fn probe(options: &PlatformOptions) -> Result<String, CollectError> {
    let found = provider(&KernelFiles, &options.tsm_report)?;
    check_provider(&found)?;
    Ok(format!("provider {found} at {}", options.tsm_report.display()))
}

/// Takes one quote, because the PPID is only there; its `report_data` is zero and it is thrown away.
fn open_with<F: TsmFiles + 'static>(files: F, root: PathBuf) -> Result<Tdx<F>, CollectError> {
    let (files, lane) = (Arc::new(files), Lane::plain(WHAT, "tdx")?);
    let device = platform_of_quote(&quote_in_time(&lane, &files, &root, [0; 64])?)?;
    Ok(Tdx { files, root, lane, device })
}

impl<F: TsmFiles + 'static> CpuTee for Tdx<F> {
    fn identity(&self) -> CpuIdentity {
        CpuIdentity { kind: EvidenceKind::new(EvidenceKind::TDX), device: self.device }
    }

    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError> {
        let body = quote_in_time(&self.lane, &self.files, &self.root, report_data)?;
        Ok(EvidenceEnvelope { kind: EvidenceKind::new(EvidenceKind::TDX), body })
    }
}

impl<F> fmt::Debug for Tdx<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tdx").field("root", &self.root).field("device", &self.device).finish_non_exhaustive()
    }
}

fn quote_in_time<F: TsmFiles + 'static>(
    lane: &Lane<AnyJob>,
    files: &Arc<F>,
    root: &Path,
    report_data: [u8; 64],
) -> Result<Vec<u8>, CollectError> {
    let (files, root) = (Arc::clone(files), root.to_owned());
    lane.run("a quote", QUOTE, move || quote_bytes(files.as_ref(), &root, report_data))?
}

fn quote_bytes(files: &dyn TsmFiles, root: &Path, report_data: [u8; 64]) -> Result<Vec<u8>, CollectError> {
    let TsmAnswer { provider, mut outblob, .. } = fetch(files, root, &report_data, MAX_QUOTE_BYTES)?;
    check_provider(&provider)?;
    let parts = parts_of_quote(&outblob)?;
    if parts.report_data != report_data {
        return Err(answer("a quote about other report_data than asked"));
    }
    // What follows is padding of a driver's buffer; a set holds the quote alone, in its one spelling.
    let length = parts.length;
    outblob.truncate(length);
    Ok(outblob)
}

fn check_provider(found: &str) -> Result<(), CollectError> {
    if found == PROVIDER {
        return Ok(());
    }
    Err(CollectError::Unavailable {
        what: WHAT,
        why: format!("configfs-tsm is served by `{found}`, not `{PROVIDER}`"),
        remedy: "run on a TDX guest",
    })
}

/// What is read out of a quote; everything else is the Verifier's.
struct QuoteParts<'a> {
    report_data: &'a [u8],
    chain_pem: &'a [u8],
    /// Bytes up to the end of the signature section.
    length: usize,
}

fn parts_of_quote(quote: &[u8]) -> Result<QuoteParts<'_>, CollectError> {
    slice_quote(quote).map_err(|error| answer(&format!("bytes that are not a TDX quote ({error})")))
}

/// EVIDENCE §2.1, by the lengths in the structure; bytes after the signature section are normal and do not count.
fn slice_quote(quote: &[u8]) -> Result<QuoteParts<'_>, CodecError> {
    let mut input = Decoder::new(quote);
    let version: u16 = input.take()?;
    input.raw(46)?;
    let body_bytes = match version {
        4 => 584,
        5 => match (input.take::<u16>()?, input.take::<u32>()?) {
            (2, 584) => 584,
            (3, 648) => 648,
            (4, 885) => 885,
            _ => return Err(CodecError::NotCanonical("body descriptor")),
        },
        _ => return Err(CodecError::NotCanonical("quote version")),
    };
    let mut body = Decoder::new(input.raw(body_bytes)?);
    body.raw(REPORT_DATA_OFFSET)?;
    let report_data = body.raw(64)?;
    let mut signature = Decoder::new(counted(&mut input)?);
    let length = input.offset();
    signature.raw(128)?;
    let mut certification = Decoder::new(typed(&mut signature, 6)?);
    certification.raw(448)?;
    let auth_bytes: u16 = certification.take()?;
    certification.raw(usize::from(auth_bytes))?;
    let chain_pem = typed(&mut certification, 5)?;
    Ok(QuoteParts { report_data, chain_pem, length })
}

fn typed<'a>(input: &mut Decoder<'a>, wanted: u16) -> Result<&'a [u8], CodecError> {
    if input.take::<u16>()? == wanted { counted(input) } else { Err(CodecError::NotCanonical("certification type")) }
}

fn counted<'a>(input: &mut Decoder<'a>) -> Result<&'a [u8], CodecError> {
    input.field()
}

/// PCK extension 1.2.840.113741.1.13.1: a sequence of (OID, value); `.1` is the PPID (EVIDENCE §2.3).
fn ppid(pck: &[u8]) -> Result<[u8; PPID_BYTES], CollectError> {
    let certificate = parse_certificate(WHAT, pck)?;
    let sgx = oid!(1.2.840.113741.1.13.1);
    let extension = certificate
        .get_extension_unique(&sgx)
        .ok()
        .flatten()
        .ok_or_else(|| answer("a PCK certificate without Intel's SGX extension"))?;
    ppid_of_extension(extension.value).ok_or_else(|| answer("a PCK certificate without a PPID"))
}

fn ppid_of_extension(value: &[u8]) -> Option<[u8; PPID_BYTES]> {
    let wanted = oid!(1.2.840.113741.1.13.1.1);
    let (rest, list) = parse_der(value).ok()?;
    let fields = list.as_sequence().ok().filter(|_| rest.is_empty())?;
    fields.iter().find_map(|field| match field.as_sequence().ok()?.as_slice() {
        [id, found] if *id.as_oid().ok()? == wanted => found.as_slice().ok()?.try_into().ok(),
        _ => None,
    })
}

fn answer(why: &str) -> CollectError {
    CollectError::Answer { what: WHAT, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use weighbridge_attest_types::Encoder;

    use super::*;

    /// A simulated driver's buffer: every request is answered with these bytes.
    struct SimulatedBuffer {
        bytes: Vec<u8>,
        generation: AtomicU32,
    }

    impl TsmFiles for SimulatedBuffer {
        fn make_entry(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
            self.generation.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
            Ok(match path.file_name().and_then(|name| name.to_str()) {
                Some("outblob") => self.bytes.clone(),
                Some("provider") => b"tdx_guest\n".to_vec(),
                _ => self.generation.load(Ordering::Relaxed).to_string().into_bytes(),
            })
        }
        fn remove_entry(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn pause(&self, _: Duration) {}
    }

    /// The structure of a quote about zeros, without a signature or certificate in it.
    fn quote(version: u16) -> Vec<u8> {
        let mut certification = Encoder::new();
        certification.raw(&[0; 448]).put(&0u16).put(&5u16).field(b"chain");
        let mut signature = Encoder::new();
        signature.raw(&[0; 128]).put(&6u16).field(&certification.finish());
        let mut quote = Encoder::new();
        quote.put(&version).raw(&[0; 46]);
        if version == 5 {
            quote.put(&2u16).put(&584u32);
        }
        quote.raw(&[0; 584]).field(&signature.finish());
        quote.finish()
    }

    #[test]
    fn a_quote_is_cut_to_its_structure() {
        for version in [4, 5] {
            let quote = quote(version);
            for padding in [0, 1, 4096] {
                let padded = [&quote[..], &vec![0; padding]].concat();
                let buffer = SimulatedBuffer { bytes: padded, generation: AtomicU32::new(0) };
                assert_eq!(quote_bytes(&buffer, Path::new("/tsm"), [0; 64]).unwrap(), quote, "padding {padding}");
                let other = quote_bytes(&buffer, Path::new("/tsm"), [1; 64]).unwrap_err();
                assert!(other.to_string().contains("a quote about other report_data than asked"), "{other}");
            }
        }
    }
}
