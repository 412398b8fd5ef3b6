//! **Duty.** What a Verifier starts from: the vendors' roots that a release pins, and anchors that a person hands over.
//! **Does not know** where anchor files lie. **Spec.** PROTOCOL §6: a built-in root lends `attested`, an injected one
//! only `simulated`; EVIDENCE §1.3 and §2.2 for the pins.

mod beacon;
mod timestamp;

use serde::Deserialize;
use thiserror::Error;
use weighbridge_attest_types::{
    AnchorGradeError, CertificateAnchor, Culprit, Digest32, Grade, TimeAnchor, TrustAnchors, UnixMillis,
};
use x509_parser::prelude::X509Certificate;

use crate::budget::{MAX_ANCHOR_FILE_BYTES, MAX_ANCHOR_NAME_BYTES};
use crate::error::{EvidenceError, Failure, Failures};
use crate::pem::pem_certificates;
use crate::schemes::check_amd_root;
use crate::x509::{Curve, Window, check_root, parse_chain, spki_sha256};

/// SHA-256 of the SubjectPublicKeyInfo of "Intel SGX Root CA" (2018-05-21 … 2049-12-31).
pub(crate) const INTEL_SGX_ROOT: Digest32 = Digest32([
    0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a, 0x7f, 0xc1, 0x36, 0x28, 0x63,
    0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e,
]);

/// SHA-256 of the SubjectPublicKeyInfo of "NVIDIA Device Identity CA" (… 9999-12-31). Two self-signed certificates of
/// this name and this key are in circulation, from 2020-01-01 and from 2021-11-05; a pin by key covers both.
const NVIDIA_DEVICE_ROOT: Digest32 = Digest32([
    0xa9, 0x0c, 0x4e, 0xb5, 0xac, 0xfd, 0x3e, 0x3d, 0x03, 0xa2, 0x5d, 0xb6, 0xa2, 0x6b, 0x84, 0xf7, 0x20, 0xad, 0x05,
    0x03, 0x19, 0x6c, 0x62, 0x7c, 0x21, 0xdd, 0xd4, 0x8d, 0xd8, 0x5b, 0x06, 0xa4,
]);

/// SHA-256 of the SubjectPublicKeyInfo of "NVIDIA CoRIM signing Root CA" (2023-03-16 … 2053-03-08): reference values.
const NVIDIA_RIM_ROOT: Digest32 = Digest32([
    0xde, 0xc1, 0xdc, 0x31, 0x64, 0x77, 0xaa, 0x85, 0x1e, 0xeb, 0xdf, 0x51, 0x32, 0x7a, 0xe9, 0xf8, 0x64, 0xbc, 0x8d,
    0x89, 0x25, 0x46, 0x57, 0xed, 0x1e, 0x7e, 0xb9, 0x16, 0x8a, 0xf1, 0xe1, 0xa3,
]);

/// SHA-256 of the SubjectPublicKeyInfo of "ARK-Milan" (2020-10-22 … 2045-10-22).
const AMD_MILAN_ROOT: Digest32 = Digest32([
    0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5, 0xff, 0xa8, 0x95, 0xbd, 0xfb, 0x62, 0xd1, 0x88,
    0x81, 0xfa, 0x6b, 0xed, 0x8d, 0x6f, 0x07, 0x5b, 0x02, 0x04, 0x08, 0x9c, 0xb9,
]);

/// SHA-256 of the SubjectPublicKeyInfo of "ARK-Genoa" (2022-01-26 … 2047-01-26).
const AMD_GENOA_ROOT: Digest32 = Digest32([
    0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d, 0xb5, 0xfc, 0xda, 0x9c, 0x64, 0x70, 0xef, 0x15,
    0xf8, 0xcd, 0x5a, 0x9c, 0xeb, 0xd6, 0xcb, 0xc7, 0xd9, 0x0b, 0x86, 0x38, 0x31,
]);

/// SHA-256 of the SubjectPublicKeyInfo of "ARK-Turin" (2023-05-15 … 2048-05-15).
const AMD_TURIN_ROOT: Digest32 = Digest32([
    0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56, 0xf9, 0x24, 0x3f, 0x6f, 0xe0, 0xb6, 0xf7, 0x3d,
    0xe9, 0x86, 0x03, 0xf5, 0x3f, 0x90, 0x33, 0x9c, 0x70, 0xe9, 0xd7, 0xad, 0x08,
]);

const FORMAT: &str = "weighbridge/trust-anchor/v1";

/// Why an anchor file was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnchorFileError {
    /// Too long, or not the JSON of this format.
    #[error("not a {FORMAT} file: {0}")]
    Format(String),
    /// It claims a grade that a file cannot lend.
    #[error(transparent)]
    Grade(#[from] AnchorGradeError),
    /// Its name could not be told from another on a printed line.
    #[error("anchor name {name}: use 1 to {MAX_ANCHOR_NAME_BYTES} printable ASCII characters, no space at either end")]
    Name {
        /// Name in the file, escaped.
        name: String,
    },
    /// Its name is the one of an anchor that is already there, up to the case of letters.
    #[error("anchor `{name}` has the name of another anchor; give each its own")]
    NameRepeated {
        /// Name in the file.
        name: String,
    },
    /// Its certificate or key is not one that can anchor this kind.
    #[error("anchor `{name}`: {why}")]
    Anchor {
        /// Name in the file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Its key is already trusted, perhaps under another grade.
    #[error("anchor `{name}` has the key of `{earlier}`; remove one of them")]
    Repeated {
        /// Name in the file.
        name: String,
        /// Name of the anchor that is already there.
        earlier: String,
    },
}

impl AnchorFileError {
    /// Who has to act: the person who handed the file over.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Usage
    }
}

/// The vendors' roots of this release, pinned by key, and two public beacons, grade attested. No time authority and no
/// timestamp authority is built in.
#[must_use]
pub fn built_in_anchors() -> TrustAnchors {
    let pinned = |name: &str, spki_sha256| CertificateAnchor {
        name: name.to_owned(),
        grade: Grade::Attested,
        spki_sha256,
        der: None,
    };
    TrustAnchors {
        intel: vec![pinned("Intel SGX Root CA", INTEL_SGX_ROOT)],
        nvidia_device: vec![pinned("NVIDIA Device Identity CA", NVIDIA_DEVICE_ROOT)],
        nvidia_rim: vec![pinned("NVIDIA CoRIM signing Root CA", NVIDIA_RIM_ROOT)],
        amd: vec![
            pinned("AMD ARK-Milan", AMD_MILAN_ROOT),
            pinned("AMD ARK-Genoa", AMD_GENOA_ROOT),
            pinned("AMD ARK-Turin", AMD_TURIN_ROOT),
        ],
        time: Vec::new(),
        beacons: beacon::built_in(),
        timestamp: Vec::new(),
    }
}

/// Adds the one anchor of a `*.anchor.json` file.
///
/// # Errors
/// [`AnchorFileError`]; `into` is unchanged then.
pub fn parse_anchor_file(bytes: &[u8], into: &mut TrustAnchors) -> Result<(), AnchorFileError> {
    if bytes.len() > MAX_ANCHOR_FILE_BYTES {
        let message = format!("{} bytes are over the cap of {MAX_ANCHOR_FILE_BYTES}", bytes.len());
        return Err(AnchorFileError::Format(message));
    }
    let file: AnchorFile = serde_json::from_slice(bytes).map_err(|why| AnchorFileError::Format(why.to_string()))?;
    if file.format != FORMAT {
        return Err(AnchorFileError::Format(format!("format is {:?}", file.format)));
    }
    check_name(&file.name, into)?;
    if file.grade != Grade::Simulated {
        return Err(AnchorGradeError { name: file.name, grade: file.grade }.into());
    }
    match file.kind {
        AnchorKind::IntelSgxRoot => add_root(file, |root, at| check_root(root, Curve::P256, at), &mut into.intel),
        AnchorKind::NvidiaDeviceRoot => {
            add_root(file, |root, at| check_root(root, Curve::P384, at), &mut into.nvidia_device)
        }
        AnchorKind::NvidiaRimRoot => add_root(file, |root, at| check_root(root, Curve::P384, at), &mut into.nvidia_rim),
        AnchorKind::AmdRoot => add_root(file, check_amd_root, &mut into.amd),
        AnchorKind::TimeAuthority => add_authority(file, &mut into.time),
        AnchorKind::DrandChain => beacon::add(file, &mut into.beacons),
        AnchorKind::TimestampAuthorityRoot => timestamp::add(file, &mut into.timestamp),
    }
}

/// Reports name the anchor that a verdict rests on: one name, one anchor, whatever its kind, built in or not.
fn check_name(name: &str, anchors: &TrustAnchors) -> Result<(), AnchorFileError> {
    let printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let fits = (1..=MAX_ANCHOR_NAME_BYTES).contains(&name.len()) && printable && name.trim() == name;
    if !fits {
        return Err(AnchorFileError::Name { name: name.escape_default().to_string() });
    }
    let TrustAnchors { intel, nvidia_device, nvidia_rim, amd, time, beacons, timestamp } = anchors;
    let certified = intel.iter().chain(nvidia_device).chain(nvidia_rim).chain(amd).chain(timestamp);
    let certified = certified.map(|anchor| &anchor.name);
    let clocks = time.iter().map(|anchor| &anchor.name).chain(beacons.iter().map(|anchor| &anchor.name));
    let mut taken = certified.chain(clocks);
    match taken.any(|taken| taken.eq_ignore_ascii_case(name)) {
        true => Err(AnchorFileError::NameRepeated { name: name.to_owned() }),
        false => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorFile {
    format: String,
    name: String,
    grade: Grade,
    kind: AnchorKind,
    certificate_pem: Option<String>,
    key: Option<Digest32>,
    chain: Option<beacon::ChainFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AnchorKind {
    IntelSgxRoot,
    NvidiaDeviceRoot,
    NvidiaRimRoot,
    AmdRoot,
    TimeAuthority,
    DrandChain,
    TimestampAuthorityRoot,
}

/// What makes a certificate one vendor's kind of root.
type RootCheck = fn(&X509Certificate<'_>, &mut Window) -> Vec<Failure>;

fn add_root(file: AnchorFile, check: RootCheck, into: &mut Vec<CertificateAnchor>) -> Result<(), AnchorFileError> {
    let AnchorFile { name, grade, certificate_pem: Some(pem), key: None, chain: None, .. } = file else {
        return Err(AnchorFileError::Format("a root has `certificate_pem` and neither `key` nor `chain`".to_owned()));
    };
    let (der, pin) = read_root(&pem, check).map_err(|why| AnchorFileError::Anchor { name: name.clone(), why })?;
    if let Some(earlier) = into.iter().find(|anchor| anchor.spki_sha256 == pin) {
        return Err(AnchorFileError::Repeated { name, earlier: earlier.name.clone() });
    }
    into.push(CertificateAnchor { name, grade, spki_sha256: pin, der: Some(der) });
    Ok(())
}

/// One self-signed authority. Its dates are checked whenever a chain ends in it, at that chain's instant.
fn read_root(pem: &str, check: RootCheck) -> Result<(Vec<u8>, Digest32), String> {
    let ders = pem_certificates(pem.as_bytes()).map_err(|error: EvidenceError| error.to_string())?;
    let [der] = <[Vec<u8>; 1]>::try_from(ders).map_err(|all| format!("{} certificates instead of one", all.len()))?;
    let chain = std::slice::from_ref(&der);
    let certificates = parse_chain(chain).map_err(|failure: Failure| failure.message)?;
    let [root] = certificates.as_slice() else {
        return Err("it has no certificate".to_owned());
    };
    let failures = check(root, &mut Window::new(UnixMillis(0)));
    let lasting = failures.into_iter().filter(|failure| failure.code != "not-yet-valid");
    let pin = spki_sha256(root);
    match Failures::collect(lasting) {
        Some(failures) => Err(failures.to_string()),
        None => Ok((der.clone(), pin)),
    }
}

fn add_authority(file: AnchorFile, into: &mut Vec<TimeAnchor>) -> Result<(), AnchorFileError> {
    let AnchorFile { name, grade, certificate_pem: None, key: Some(key), chain: None, .. } = file else {
        let shape = "a time authority has `key` and neither `certificate_pem` nor `chain`";
        return Err(AnchorFileError::Format(shape.to_owned()));
    };
    if let Some(earlier) = into.iter().find(|anchor| anchor.key == key) {
        return Err(AnchorFileError::Repeated { name, earlier: earlier.name.clone() });
    }
    into.push(TimeAnchor { name, grade, key });
    Ok(())
}

#[cfg(test)]
mod tests;
