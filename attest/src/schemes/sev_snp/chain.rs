//! **Duty.** AMD's chain: a root key (ARK) pinned by its SPKI, the signing key of one product line and one kind of VEK
//! (ASK or ASVK), the VEK. All algorithms are fixed: RSA-4096 PSS with SHA-384 above, P-384 below.
//! **Does not know** reports. **Spec.** EVIDENCE §3.2, §0 rules 2 and 6; RFC 5280 §6.1 as far as AMD uses it.

use ring::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use weighbridge_attest_types::{CertificateAnchor, SnpProduct, SnpSigner};
use x509_parser::asn1_rs::{BitString, Oid, Tag, oid};
use x509_parser::prelude::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::endorsement::AmdCertificate;
use crate::error::Failure;
use crate::x509::{
    Curve, KeyRole, Window, common_name, der, find_anchor, may, millis, path_length, unknown_or_repeated_extension,
    unknown_root,
};

const RSA_BYTES: usize = 512;
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
/// RSASSA-PSS-params of RFC 4055: SHA-384, MGF1 with SHA-384, 48 bytes of salt; AMD's roots also spell the default
/// trailer field out.
const PSS_PARAMETERS: [&[u8]; 2] = [
    b"\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
      \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
      \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
      \xa2\x03\x02\x01\x30",
    b"\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
      \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
      \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
      \xa2\x03\x02\x01\x30\xa3\x03\x02\x01\x01",
];

/// Three certificates that name each other as issuers; nothing is checked yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links<'c> {
    pub(super) vek: &'c X509Certificate<'c>,
    pub(super) issuer: &'c X509Certificate<'c>,
    pub(super) root: &'c X509Certificate<'c>,
    pub(super) files: Files<'c>,
}

/// The same three as files: they remember what was asked about them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'c> {
    pub(super) vek: &'c AmdCertificate,
    pub(super) issuer: &'c AmdCertificate,
    pub(super) root: &'c AmdCertificate,
}

/// Something signed in its unsigned wrapping.
pub(super) struct Envelope<'e> {
    pub(super) whole: &'e [u8],
    pub(super) tbs: &'e [u8],
    pub(super) inner: &'e AlgorithmIdentifier<'e>,
    pub(super) signature: &'e BitString<'e>,
}

/// Every link up to an anchor, for this product line and kind of key; all failures are listed.
pub(super) fn check<'a>(
    links: Links<'_>,
    product: SnpProduct,
    signer: SnpSigner,
    anchors: &'a [CertificateAnchor],
    window: &mut Window,
    failures: &mut Vec<Failure>,
) -> Option<&'a CertificateAnchor> {
    let Links { vek, issuer, root, files } = links;
    check_vek(vek, window, failures);
    check_signature(vek, issuer, files.vek.is_signed_by(files.issuer), failures);
    let name = issuer_name(product, signer);
    if common_name(issuer) != Some(&name) {
        let found = shown(issuer);
        let message = format!("a {signer:?} of {} is issued by {name:?}, this one by {found:?}", product.as_str());
        failures.push(Failure::new("vek-issuer-name", message));
    }
    check_authority(issuer, 0, window, failures);
    check_signature(issuer, root, files.issuer.is_signed_by(files.root), failures);
    check_authority(root, 1, window, failures);
    check_signature(root, root, files.root.is_signed_by(files.root), failures);
    let anchor = find_anchor(root, anchors);
    if anchor.is_none() {
        failures.push(unknown_root(std::slice::from_ref(root)));
    }
    anchor
}

/// What a certificate must be to stand at the end of a chain: a self-signed authority with a key of the one kind.
pub(crate) fn check_root(root: &X509Certificate<'_>, window: &mut Window) -> Vec<Failure> {
    let mut failures = Vec::new();
    check_authority(root, 1, window, &mut failures);
    check_signature(root, root, signs(root, root), &mut failures);
    failures
}

/// The name under which AMD issues VEKs of one kind and product line.
fn issuer_name(product: SnpProduct, signer: SnpSigner) -> String {
    match signer {
        SnpSigner::Vcek => format!("SEV-{}", product.as_str()),
        SnpSigner::Vlek => format!("SEV-VLEK-{}", product.as_str()),
    }
}

/// AMD's VEKs state neither key usage nor basic constraints; one that calls itself an authority is none of AMD's.
fn check_vek(vek: &X509Certificate<'_>, window: &mut Window, failures: &mut Vec<Failure>) {
    check_frame(vek, Curve::P384.is_key_of(vek.public_key()), window, failures);
    let authority = vek.basic_constraints().map_or(true, |found| found.is_some_and(|found| found.value.ca));
    if authority {
        failures.push(Failure::new("certificate-role", format!("{:?} may not act as an authority", shown(vek))));
    }
}

fn check_authority(certificate: &X509Certificate<'_>, below: usize, window: &mut Window, failures: &mut Vec<Failure>) {
    check_frame(certificate, is_rsa_4096(certificate.public_key()), window, failures);
    if !may(certificate, KeyRole::Authority) {
        let message = format!("{:?} may not act as a certificate authority", shown(certificate));
        failures.push(Failure::new("certificate-role", message));
    }
    if let Some(limit) = path_length(certificate)
        && limit < below
    {
        let message = format!("{:?} allows {limit} authorities below it", shown(certificate));
        failures.push(Failure::new("path-length", message));
    }
}

/// Dates, version, key and extensions.
fn check_frame(certificate: &X509Certificate<'_>, key_fits: bool, window: &mut Window, failures: &mut Vec<Failure>) {
    let name = shown(certificate);
    let validity = certificate.validity();
    let (from, until) = (millis(validity.not_before), millis(validity.not_after));
    failures.extend(window.admit(&format!("certificate {name:?}"), from, until));
    if certificate.version() != X509Version::V3 || !key_fits {
        let message = format!("{name:?} is not version 3 with a key of the kind that AMD uses there");
        failures.push(Failure::new("certificate-algorithm", message));
    }
    if let Some(oid) = unknown_or_repeated_extension(certificate.extensions()) {
        let message = format!("{name:?}: extension {oid} is repeated or unknown");
        failures.push(Failure::new("certificate-extension", message));
    }
}

fn check_signature(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    is_signed: bool,
    failures: &mut Vec<Failure>,
) {
    let (name, by) = (shown(certificate), shown(issuer));
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        failures.push(Failure::new("certificate-issuer", format!("{name:?} does not name {by:?} as its issuer")));
    }
    if !is_signed {
        failures.push(Failure::new("certificate-signature", format!("{by:?} has not signed {name:?}")));
    }
}

/// Whether one certificate's key has signed another.
pub(super) fn signs(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    let (tbs, inner) = (certificate.tbs_certificate.as_ref(), &certificate.tbs_certificate.signature);
    let envelope = Envelope { whole: certificate.as_raw(), tbs, inner, signature: &certificate.signature_value };
    envelope.is_signed_by(issuer.public_key())
}

impl Envelope<'_> {
    /// The wrapping must be the one DER spelling with the signed algorithm (RFC 5280 §4.1.1.2).
    pub(super) fn is_signed_by(&self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let pss: Oid<'_> = oid!(1.2.840.113549.1.1.10);
        let found = self.inner.parameters.as_ref().filter(|found| found.header.tag() == Tag::Sequence);
        let known = found.and_then(|found| PSS_PARAMETERS.into_iter().find(|known| *known == found.data));
        let Some(parameters) = known.filter(|_| self.inner.algorithm == pss) else {
            return false;
        };
        let algorithm = der(0x30, &[der(0x06, pss.as_bytes()), der(0x30, parameters)].concat());
        let signature = der(0x03, &[&[0], &self.signature.data[..]].concat());
        let canonical = der(0x30, &[self.tbs, &algorithm, &signature].concat());
        let point = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, &key.subject_public_key.data);
        canonical == self.whole && is_rsa_4096(key) && point.verify(self.tbs, &self.signature.data).is_ok()
    }
}

fn is_rsa_4096(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let rsa: Oid<'_> = oid!(1.2.840.113549.1.1.1);
    let null = key.algorithm.parameters.as_ref().is_some_and(|found| found.header.tag() == Tag::Null);
    let Ok(PublicKey::RSA(parsed)) = key.parsed() else {
        return false;
    };
    let modulus: Vec<u8> = parsed.modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
    let long = modulus.len() == RSA_BYTES && modulus.first().is_some_and(|high| *high >= 0x80);
    key.algorithm.algorithm == rsa
        && null
        && long
        && parsed.exponent == RSA_EXPONENT
        && key.subject_public_key.unused_bits == 0
}

fn shown<'c>(certificate: &'c X509Certificate<'_>) -> &'c str {
    common_name(certificate).unwrap_or("without a name")
}
