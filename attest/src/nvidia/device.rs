//! **Duty.** The steps of NVIDIA's procedure, for GPUs and switches alike, in order: structure, chain to a pinned root,
//! names, report signature, identities; then, of genuine evidence only, manifests and revocation. All failures of a step
//! are listed. **Does not know** policy. **Spec.** EVIDENCE §0 rule 1, §1.1–1.7.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use weighbridge_attest_types::{NotChecked, NvidiaPart, Pdi, PlatformClaims, TrustAnchors, UnixMillis};
use x509_parser::prelude::X509Certificate;

use super::chain::{DeviceIdentity, NameFailure, read_fwid, read_identity};
use super::claims::{self, Checked, unchecked};
use super::endorsement::{Given, NvidiaFile};
use super::part::Part;
use super::report::MeasurementReport;
use super::{reference, revocation};
use crate::budget::{MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES};
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure, untrusted_if_any};
use crate::known_chains::KnownChains;
use crate::scheme::RawEvidence;
use crate::x509::{Curve, TrustedPath, Window, parse_chain, public_point};

/// Leaf, BROM, provisioner, identity, root.
const CHAIN_CERTIFICATES: usize = 5;
/// The first certificate that a responder answers for; for the leaf, nobody does.
const FIRST_ANSWERED: usize = 1;

/// A parsed report with the certificates that came along.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    part: Part,
    report: MeasurementReport<'a>,
    certificates: &'a [Vec<u8>],
}

impl<'a> Evidence<'a> {
    /// Structure and sizes.
    pub(crate) fn parse(part: Part, raw: RawEvidence<'a>) -> Result<Self, EvidenceError> {
        let total = raw.certificates.iter().fold(0usize, |total, der| total.saturating_add(der.len()));
        if raw.certificates.len() > MAX_CHAIN_CERTIFICATES || total > MAX_CHAIN_BYTES {
            let message = format!("a chain of {} certificates and {total} bytes is too long", raw.certificates.len());
            return Err(EvidenceError::Malformed(Failure::new(part.codes().chain_size, message).into()));
        }
        let report = MeasurementReport::parse(part, raw.body)?;
        // A chain of another length cannot hold, whatever is signed in it.
        if raw.certificates.len() != CHAIN_CERTIFICATES || raw.certificates.iter().any(Vec::is_empty) {
            let sizes: Vec<usize> = raw.certificates.iter().map(Vec::len).collect();
            let message = format!("a device chain has {CHAIN_CERTIFICATES} certificates, this one has sizes {sizes:?}");
            return Err(EvidenceError::Untrusted(Failure::new(part.codes().chain_length, message).into()));
        }
        Ok(Self { part, report, certificates: raw.certificates })
    }

    /// The part of a body that counts.
    pub(crate) fn canonical(part: Part, body: &'a [u8]) -> Result<&'a [u8], EvidenceError> {
        Ok(MeasurementReport::parse(part, body)?.canonical())
    }
}

/// All checks; the scheme that asked makes what they found a `Verified`.
pub(crate) fn check(
    evidence: &Evidence<'_>,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<PlatformClaims, EvidenceError> {
    let Evidence { part, report, certificates } = evidence;
    untrusted_if_any(endorsements.unreadable_as::<NvidiaFile>().cloned().collect())?;
    let chain = parse_chain(certificates).map_err(untrusted)?;
    let mut window = Window::new(now);
    let (path, identity, mut open) =
        check_device(*part, report, &chain, (endorsements.known_chains(), anchors), &mut window)?;

    let given = Given::read(endorsements);
    let mut failures = Vec::new();
    let compared = reference::compare(report, *part, identity.family, &given, &anchors.nvidia_rim, &mut window);
    let compared = compared.map_err(|found| failures.extend(found)).ok();
    let rims = compared.as_ref().map_or(&[][..], |compared| &compared.rims);
    let signers: Vec<Vec<X509Certificate<'_>>> = rims.iter().filter_map(|rim| rim.chain().ok()).collect();
    let mut links = revocation::links(&chain, FIRST_ANSWERED);
    links.extend(signers.iter().flat_map(|chain| revocation::links(chain, 0)));
    let found = revocation::check(&links, &given, &mut window);
    let found = found.map_err(|found| failures.extend(found)).ok();
    untrusted_if_any(failures)?;
    let (Some(compared), Some(found)) = (compared, found) else {
        return Err(untrusted(Failure::new(part.codes().rim, "endorsements were not judged")));
    };
    open.extend(not_checked(*part, &compared.values, &found));
    let checked = Checked { path, identity, window, compared: compared.values, revocation: found.revocation, open };
    Ok(claims::claims(*part, report, checked))
}

/// What the report itself must hold, before any endorsement is looked at: nothing is read from unsigned bytes.
fn check_device<'c, 'a>(
    part: Part,
    report: &MeasurementReport<'_>,
    chain: &'c [X509Certificate<'c>],
    (known, anchors): (&KnownChains, &'a TrustAnchors),
    window: &mut Window,
) -> Result<(TrustedPath<'c, 'a>, DeviceIdentity, Vec<NotChecked>), EvidenceError> {
    let mut failures = Vec::new();
    let path = known.check_path(chain, Curve::P384, &anchors.nvidia_device, window);
    let path = path.map_err(|found| failures.extend(found)).ok();
    let identity = match read_identity(part, chain) {
        Ok(identity) => Some(identity),
        Err(NameFailure::Wrong(failure)) => {
            failures.push(failure);
            None
        }
        // Only a chain that holds makes an unknown chip lawful.
        Err(NameFailure::UnknownFamily(failure)) if failures.is_empty() => {
            return Err(EvidenceError::Unsupported(failure.into()));
        }
        Err(NameFailure::UnknownFamily(_)) => None,
    };
    let mut open = Vec::new();
    if let Some(leaf) = chain.first() {
        failures.extend(check_signature(part, report, leaf));
        match check_fwid(part, report, leaf) {
            Ok(unchecked) => open.extend(unchecked),
            Err(failure) => failures.push(failure),
        }
    }
    failures.extend(identity.as_ref().and_then(|identity| check_own_pdi(report, identity.pdi)));
    untrusted_if_any(failures)?;
    match (path, identity) {
        (Some(path), Some(identity)) => Ok((path, identity, open)),
        _ => Err(untrusted(Failure::new(part.codes().chain_length, "there is no certificate chain"))),
    }
}

/// ECDSA P-384 over request ‖ response without signature, as received; no SPDM 1.2 prefix.
fn check_signature(part: Part, report: &MeasurementReport<'_>, leaf: &X509Certificate<'_>) -> Option<Failure> {
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_point(leaf));
    let holds = key.verify(report.signed(), report.signature()).is_ok();
    let message = "the leaf certificate's key has not signed this report";
    (!holds).then(|| Failure::new(part.codes().signature, message))
}

/// The running firmware must be the one that the leaf certificate was made for. Older firmware does not report it.
fn check_fwid(
    part: Part,
    report: &MeasurementReport<'_>,
    leaf: &X509Certificate<'_>,
) -> Result<Option<NotChecked>, Failure> {
    let codes = part.codes();
    let Some(reported) = report.opaque().fwid else {
        return Ok(Some(unchecked(codes.fwid, "this firmware does not report its identity (field 20)")));
    };
    match read_fwid(leaf) {
        Some(certified) if certified == reported => Ok(None),
        Some(certified) => {
            let (reported, certified) = (hex::encode(reported), hex::encode(certified));
            let message = format!("the report's firmware identity is {reported}, the leaf certificate's {certified}");
            Err(Failure::new(codes.fwid_differs, message))
        }
        None => Err(Failure::new(codes.fwid_unknown, "the leaf certificate has no readable firmware identity")),
    }
}

/// A switch reports its own identifier: it must be the certificate's.
fn check_own_pdi(report: &MeasurementReport<'_>, certified: Pdi) -> Option<Failure> {
    let NvidiaPart::Switch(facts) = &report.opaque().part else { return None };
    let reported = facts.pdi.filter(|pdi| *pdi != certified)?;
    let message = format!("the report is by switch {reported}, the certificates are of {certified}");
    Some(Failure::new("switch-pdi-differs", message))
}

/// What nothing was said about, aloud.
fn not_checked(
    part: Part,
    values: &weighbridge_attest_types::ReferenceValues,
    found: &revocation::Found,
) -> Vec<NotChecked> {
    let codes = part.codes();
    let mut open = Vec::new();
    for missing in &values.missing {
        let id = missing.id.as_deref().unwrap_or("of a version that makes no id");
        let why = format!("no reference manifest of the {} was given ({id})", missing.slot.as_str());
        open.push(unchecked(codes.rim, &why));
    }
    if !found.revocation.open.is_empty() {
        let why = format!("no revocation status was given of {}", found.revocation.open.join(", "));
        open.push(unchecked(codes.ocsp, &why));
    }
    if found.by_ocsp {
        let why = "archived OCSP responses answer no nonce of ours; they are held to their dates";
        open.push(unchecked("ocsp-nonce", why));
    }
    if part == Part::Gpu {
        let why = "CC mode and developer mode are asserted by the driver; the report does not say";
        open.push(unchecked("gpu-cc-mode", why));
    }
    open
}

fn untrusted(failure: Failure) -> EvidenceError {
    EvidenceError::Untrusted(failure.into())
}
