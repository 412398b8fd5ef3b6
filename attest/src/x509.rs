//! **Duty.** Certificate paths and revocation lists, checked from the given chain alone: no path building, so hostile
//! input has nothing to spend. **Knows** X.509, ECDSA and dates. **Does not know** whose certificates these are.
//! **Spec.** RFC 5280 §6.1 and §6.3 as far as the vendors use them, EVIDENCE §0 rules 2 and 6.

use std::collections::BTreeSet;

use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weighbridge_attest_types::{CertificateAnchor, Digest32, UnixMillis, sha256};
use x509_parser::asn1_rs::{BitString, Oid};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE, OID_X509_SERIALNUMBER,
};
use x509_parser::prelude::{
    ASN1Time, AlgorithmIdentifier, CertificateRevocationList, FromDer as _, SubjectPublicKeyInfo, X509Certificate,
    X509Extension, X509Version,
};

use crate::error::Failure;

/// The one algorithm that a vendor's chain uses throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// ECDSA P-256 with SHA-256: Intel.
    P256,
    /// ECDSA P-384 with SHA-384: NVIDIA.
    P384,
}

/// The instant that is asked about, and the earliest end of everything admitted so far.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    now: UnixMillis,
    until: UnixMillis,
}

/// A chain whose every link was checked up to an anchor. Made by [`check_path`] only.
#[derive(Debug)]
pub(crate) struct TrustedPath<'c, 'a> {
    certificates: &'c [X509Certificate<'c>],
    anchor: &'a CertificateAnchor,
}

/// Parses a chain, leaf first.
pub(crate) fn parse_chain(ders: &[Vec<u8>]) -> Result<Vec<X509Certificate<'_>>, Failure> {
    let named = |(index, der)| {
        let unreadable = |why| Failure::new("certificate-unreadable", format!("certificate {index}: {why}"));
        parse_certificate(der).map_err(unreadable)
    };
    ders.iter().map(Vec::as_slice).enumerate().map(named).collect()
}

/// Checks a chain, leaf first, root last: dates, and the root's key against the anchors. `links` is what [`check_links`] says
/// about exactly these certificates. All failures are listed.
pub(crate) fn check_path<'c, 'a>(
    certificates: &'c [X509Certificate<'c>],
    links: &[Failure],
    anchors: &'a [CertificateAnchor],
    window: &mut Window,
) -> Result<TrustedPath<'c, 'a>, Vec<Failure>> {
    let mut failures = check_chain_dates(certificates, window);
    failures.extend(links.iter().cloned());
    let anchor = certificates.last().and_then(|root| find_anchor(root, anchors));
    match (anchor, certificates) {
        (Some(anchor), [_, _, ..]) if failures.is_empty() => Ok(TrustedPath { certificates, anchor }),
        (Some(_), [_, _, ..]) => Err(failures),
        (Some(_), _) => Err(vec![Failure::new("chain-length", "the chain has no certificate below its root")]),
        (None, _) => {
            failures.push(unknown_root(certificates));
            Err(failures)
        }
    }
}

/// What a certificate must be to stand at the end of a chain: a self-signed authority.
pub(crate) fn check_root(root: &X509Certificate<'_>, curve: Curve, window: &mut Window) -> Vec<Failure> {
    let mut failures: Vec<Failure> = check_dates(root, 1, window).into_iter().collect();
    check_certificate(root, 1, curve, &mut failures);
    check_link(root, root, curve, &mut failures);
    failures
}

/// What of a chain does not depend on time or anchors, leaf first, root last: names, signatures, constraints, key usage.
/// Whoever keeps the answer checks dates and anchor with [`check_chain_dates`] and [`find_anchor`].
pub(crate) fn check_links(certificates: &[X509Certificate<'_>], curve: Curve) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (index, certificate) in certificates.iter().enumerate() {
        check_certificate(certificate, index, curve, &mut failures);
        let issuer = certificates.get(index.saturating_add(1)).unwrap_or(certificate);
        check_link(certificate, issuer, curve, &mut failures);
    }
    failures
}

/// The dates of a whole chain.
pub(crate) fn check_chain_dates(certificates: &[X509Certificate<'_>], window: &mut Window) -> Vec<Failure> {
    let dates = certificates.iter().enumerate();
    dates.filter_map(|(index, certificate)| check_dates(certificate, index, window)).collect()
}

impl<'c, 'a> TrustedPath<'c, 'a> {
    /// The anchor that the chain ends in; it names the grade.
    pub(crate) const fn anchor(&self) -> &'a CertificateAnchor {
        self.anchor
    }

    /// The certificates, leaf first.
    pub(crate) const fn certificates(&self) -> &'c [X509Certificate<'c>] {
        self.certificates
    }
}

impl Window {
    /// Asks about `now`; nothing admitted yet.
    pub(crate) const fn new(now: UnixMillis) -> Self {
        Self { now, until: UnixMillis(u64::MAX) }
    }

    /// Admits something that holds from `from` to `until`, both ends included (EVIDENCE §0 rule 2).
    pub(crate) fn admit(&mut self, what: &str, from: UnixMillis, until: UnixMillis) -> Option<Failure> {
        self.until = self.until.min(until);
        if self.now < from {
            return Some(Failure::new("not-yet-valid", format!("{what} is not valid before {}", show(from))));
        }
        (self.now > until).then(|| Failure::new("expired", format!("{what} ended at {}", show(until))))
    }

    /// Takes over the end of what was admitted elsewhere, at the same instant.
    pub(crate) fn narrow(&mut self, other: &Self) {
        self.until = self.until.min(other.until);
    }

    /// The instant asked about.
    pub(crate) const fn now(&self) -> UnixMillis {
        self.now
    }

    /// The earliest end.
    pub(crate) const fn until(&self) -> UnixMillis {
        self.until
    }
}

impl Curve {
    /// Checks an ASN.1 signature by a certificate's key.
    fn verifies(self, key: &SubjectPublicKeyInfo<'_>, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA384_ASN1,
        };
        UnparsedPublicKey::new(algorithm, &key.subject_public_key.data).verify(message, signature).is_ok()
    }

    fn signature_oid(self) -> Oid<'static> {
        match self {
            Self::P256 => OID_SIG_ECDSA_WITH_SHA256,
            Self::P384 => OID_SIG_ECDSA_WITH_SHA384,
        }
    }

    fn curve_oid(self) -> Oid<'static> {
        match self {
            Self::P256 => OID_EC_P256,
            Self::P384 => OID_NIST_EC_P384,
        }
    }

    pub(crate) fn is_key_of(self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let parameters = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
            && parameters == Some(self.curve_oid())
            && key.subject_public_key.unused_bits == 0
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo: how anchors are pinned.
pub(crate) fn spki_sha256(certificate: &X509Certificate<'_>) -> Digest32 {
    sha256(certificate.public_key().raw)
}

/// The raw point of a certificate's key.
pub(crate) fn public_point<'c>(certificate: &'c X509Certificate<'_>) -> &'c [u8] {
    &certificate.public_key().subject_public_key.data
}

/// The subject's only common name.
pub(crate) fn common_name<'c>(certificate: &'c X509Certificate<'_>) -> Option<&'c str> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(name)
}

/// The subject's only `serialNumber` attribute.
pub(crate) fn subject_serial<'c>(certificate: &'c X509Certificate<'_>) -> Option<&'c str> {
    let mut serials = certificate.subject().iter_by_oid(&OID_X509_SERIALNUMBER);
    let serial = serials.next()?.as_str().ok()?;
    serials.next().is_none().then_some(serial)
}

/// The value of an extension, if it is there; [`check_path`] has refused duplicates.
pub(crate) fn extension<'c>(certificate: &'c X509Certificate<'_>, oid: &Oid<'_>) -> Option<&'c [u8]> {
    certificate.extensions().iter().find(|extension| extension.oid == *oid).map(|extension| extension.value)
}

/// Whether a list, in its one DER spelling, is signed by this key.
pub(crate) fn is_list_signed(list: &CertificateRevocationList<'_>, issuer: &X509Certificate<'_>, curve: Curve) -> bool {
    let (tbs, inner) = (list.tbs_cert_list.as_ref(), &list.tbs_cert_list.signature);
    let envelope = Envelope { whole: list.as_raw(), tbs, inner, signature: &list.signature_value };
    envelope.is_signed_by(curve, issuer.public_key())
}

/// RFC 3339, for sentences.
pub(crate) fn show(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.seconds()).ok();
    let date = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} ms after 1970", at.0))
}

fn parse_certificate(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("bytes follow the certificate".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

fn check_dates(certificate: &X509Certificate<'_>, index: usize, window: &mut Window) -> Option<Failure> {
    let validity = certificate.validity();
    let (from, until) = (millis(validity.not_before), millis(validity.not_after));
    window.admit(&display_name(certificate, index), from, until)
}

fn check_certificate(certificate: &X509Certificate<'_>, index: usize, curve: Curve, failures: &mut Vec<Failure>) {
    let name = display_name(certificate, index);
    if certificate.version() != X509Version::V3 || !curve.is_key_of(certificate.public_key()) {
        failures.push(Failure::new("certificate-algorithm", format!("{name} is not version 3 with a {curve:?} key")));
    }
    if let Some(oid) = unknown_or_repeated_extension(certificate.extensions()) {
        failures.push(Failure::new("certificate-extension", format!("{name}: extension {oid} is repeated or unknown")));
    }
    let role = if index == 0 { KeyRole::DataSigner } else { KeyRole::Authority };
    if !may(certificate, role) {
        failures.push(Failure::new("certificate-role", format!("{name} may not act as {}", role.as_str())));
    }
    if let Some(limit) = path_length(certificate)
        && limit < index.saturating_sub(1)
    {
        failures.push(Failure::new("path-length", format!("{name} allows {limit} authorities below it")));
    }
}

/// RFC 5280 §6.1.3 (a): the issuer's name and signature. A root is its own issuer.
pub(crate) fn check_link(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    curve: Curve,
    failures: &mut Vec<Failure>,
) {
    let (name, by) = (text(certificate.subject()), text(issuer.subject()));
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        failures.push(Failure::new("certificate-issuer", format!("{name:?} does not name {by:?} as its issuer")));
    }
    let (tbs, inner) = (certificate.tbs_certificate.as_ref(), &certificate.tbs_certificate.signature);
    let envelope = Envelope { whole: certificate.as_raw(), tbs, inner, signature: &certificate.signature_value };
    if !envelope.is_signed_by(curve, issuer.public_key()) {
        failures.push(Failure::new("certificate-signature", format!("{by:?} has not signed {name:?}")));
    }
}

/// A signed object in its unsigned wrapping: SEQUENCE { to be signed, algorithm, signature }.
struct Envelope<'e> {
    whole: &'e [u8],
    tbs: &'e [u8],
    inner: &'e AlgorithmIdentifier<'e>,
    signature: &'e BitString<'e>,
}

impl Envelope<'_> {
    /// The wrapping must be the one DER spelling with the signed algorithm (RFC 5280 §4.1.1.2), so that nobody without a
    /// key can spell it otherwise; but for the signature itself: beside (r, s) stands (r, n − s), and both verify. No
    /// identity may rest on the digest of a whole certificate, and none does: devices are named by their stable ids,
    /// anchors by the digest of their key.
    fn is_signed_by(&self, curve: Curve, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let signature = der(0x03, &[&[0], &self.signature.data[..]].concat());
        let algorithm = der(0x30, &der(0x06, curve.signature_oid().as_bytes()));
        let canonical = der(0x30, &[self.tbs, &algorithm, &signature].concat());
        canonical == self.whole
            && self.inner.algorithm == curve.signature_oid()
            && self.inner.parameters.is_none()
            && curve.is_key_of(key)
            && curve.verifies(key, self.tbs, &self.signature.data)
    }
}

/// One DER value.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    let mut bytes = vec![tag];
    match (content.len(), u8::try_from(digits.len())) {
        (..0x80, _) => bytes.push(digits.first().copied().unwrap_or(0)),
        (_, Ok(count)) => bytes.extend([&[0x80 | count], digits.as_slice()].concat()),
        (_, Err(_)) => {}
    }
    bytes.extend(content);
    bytes
}

/// What a certificate's key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyRole {
    DataSigner,
    Authority,
    ListSigner,
}

impl KeyRole {
    const fn as_str(self) -> &'static str {
        match self {
            Self::DataSigner => "the signer of data",
            Self::Authority => "a certificate authority",
            Self::ListSigner => "the signer of revocation lists",
        }
    }
}

/// Basic constraints and key usage (RFC 5280 §4.2.1.3, §4.2.1.9). Both vendors always state key usage: absence fails.
pub(crate) fn may(certificate: &X509Certificate<'_>, role: KeyRole) -> bool {
    let (Ok(constraints), Ok(Some(usage))) = (certificate.basic_constraints(), certificate.key_usage()) else {
        return false;
    };
    let authority = constraints.is_some_and(|constraints| constraints.value.ca);
    match role {
        KeyRole::DataSigner => !authority && usage.value.digital_signature() && !usage.value.key_cert_sign(),
        KeyRole::Authority => authority && usage.value.key_cert_sign(),
        KeyRole::ListSigner => authority && usage.value.crl_sign(),
    }
}

pub(crate) fn path_length(certificate: &X509Certificate<'_>) -> Option<usize> {
    let limit = certificate.basic_constraints().ok()??.value.path_len_constraint?;
    usize::try_from(limit).ok()
}

pub(crate) fn unknown_or_repeated_extension<'c>(extensions: &'c [X509Extension<'c>]) -> Option<&'c Oid<'c>> {
    unexpected_extension(extensions, &[OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE])
}

/// An extension that is repeated, or critical and not among those that the caller understands (RFC 5280 §4.2).
pub(crate) fn unexpected_extension<'c>(
    extensions: &'c [X509Extension<'c>],
    understood: &[Oid<'_>],
) -> Option<&'c Oid<'c>> {
    let mut seen: BTreeSet<&[u8]> = BTreeSet::new();
    for extension in extensions {
        if seen.contains(extension.oid.as_bytes()) || (extension.critical && !understood.contains(&extension.oid)) {
            return Some(&extension.oid);
        }
        seen.insert(extension.oid.as_bytes());
    }
    None
}

pub(crate) fn find_anchor<'a>(
    root: &X509Certificate<'_>,
    anchors: &'a [CertificateAnchor],
) -> Option<&'a CertificateAnchor> {
    let pin = spki_sha256(root);
    anchors.iter().find(|anchor| anchor.spki_sha256 == pin)
}

pub(crate) fn unknown_root(certificates: &[X509Certificate<'_>]) -> Failure {
    let found = certificates.last().map_or_else(
        || "there is no certificate".to_owned(),
        |root| format!("the chain ends in {:?} with key {}", text(root.subject()), spki_sha256(root)),
    );
    let remedy = "no trust anchor has this key; give its anchor file with --trust-roots if you mean to trust it";
    Failure::new("unknown-root", format!("{found}; {remedy}"))
}

fn display_name(certificate: &X509Certificate<'_>, index: usize) -> String {
    format!("certificate {index} {:?}", common_name(certificate).unwrap_or("without a name"))
}

pub(crate) fn text(name: &x509_parser::x509::X509Name<'_>) -> String {
    name.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or("without a name").to_owned()
}

pub(crate) fn millis(time: ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}

/// RFC 3339 text to milliseconds; fractions are dropped.
pub(crate) fn parse_date(text: &str) -> Option<UnixMillis> {
    let seconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
    u64::try_from(seconds).ok()?.checked_mul(1000).map(UnixMillis)
}

#[cfg(test)]
mod tests;
