//! **Duty.** OCSP responses: what they say about certificates, who signed them, when they hold. **Knows** RFC 6960 as far
//! as NVIDIA's responder uses it. **Does not know** whose certificates are asked about; it makes no request, so that no
//! nonce of ours is in an answer. **Spec.** EVIDENCE §1.7, RFC 6960 §3.2, §4.2.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest};
use ring::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use weighbridge_attest_types::{UnixMillis, sha256};
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus, ResponderId, ResponseData,
    SingleResponse,
};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
};
use x509_parser::prelude::X509Certificate;

use crate::budget::MAX_OCSP_BYTES;
use crate::crl::Current;
use crate::error::Failure;
use crate::memo::Memo;
use crate::shape;
use crate::x509::{Curve, KeyRole, Window, check_link, may, millis, parse_chain, public_point, unexpected_extension};

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// Digests that name an issuer: NVIDIA uses SHA-1 and SHA-384. SHA-1 only names here: the answer is signed by the issuer
/// that was meant, or it is refused.
const CERT_ID_HASHES: [(ObjectIdentifier, &Algorithm); 3] = [
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.26"), &SHA1_FOR_LEGACY_USE_ONLY),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), &SHA256),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), &SHA384),
];
/// CRLReason certificateHold.
const ON_HOLD: u32 = 6;
const SEQUENCE: u8 = 0x30;
const ENUMERATED: u8 = 0x0a;
/// `certs`.
const CERTIFICATES: u8 = 0xa0;
/// Most certificates beside an answer. Source: ours; NVIDIA sends one.
const MAX_CERTIFICATES: usize = 4;

/// A response, parsed; nobody vouches for it yet.
#[derive(Debug)]
pub(crate) struct OcspFile {
    /// What the signature covers, as received.
    tbs: Vec<u8>,
    signature: Vec<u8>,
    responder: Responder,
    produced: UnixMillis,
    pub(super) answers: Vec<Answer>,
    certificates: Vec<Vec<u8>>,
    has_critical: bool,
    /// From when to when the signer may sign, by issuer.
    signer: Memo<Result<Current, Vec<Failure>>>,
}

/// Who says that it answers.
#[derive(Debug)]
enum Responder {
    Name(Vec<u8>),
    /// SHA-1 of its key.
    Key(Vec<u8>),
}

/// What a response says about one certificate.
#[derive(Debug)]
pub(super) struct Answer {
    hash: &'static Algorithm,
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
    pub(super) status: CertificateStatus,
    from: UnixMillis,
    until: Option<UnixMillis>,
    has_critical: bool,
}

/// A certificate's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateStatus {
    /// Not revoked.
    Good,
    /// Revoked for good.
    Revoked,
    /// Revoked for now.
    OnHold,
    /// The responder does not know it.
    Unknown,
}

/// Whether some bytes begin as a response does: a SEQUENCE whose first value is an ENUMERATED.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let after_length = match bytes {
        [SEQUENCE, 0x81, _, rest @ ..] | [SEQUENCE, 0x82, _, _, rest @ ..] | [SEQUENCE, 0x83, _, _, _, rest @ ..] => {
            rest
        }
        [SEQUENCE, _, rest @ ..] => rest,
        _ => return false,
    };
    after_length.first() == Some(&ENUMERATED)
}

impl OcspFile {
    /// Reads one response.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.len() > MAX_OCSP_BYTES {
            return Err(unreadable(&format!("{} bytes are over the cap of {MAX_OCSP_BYTES}", bytes.len())));
        }
        shape::check(bytes).ok_or_else(|| unreadable("its values are not DER, or too many"))?;
        let response = OcspResponse::from_der(bytes).map_err(|why| unreadable(&why.to_string()))?;
        let body = match (response.response_status, response.response_bytes) {
            (OcspResponseStatus::Successful, Some(body)) if body.response_type == BASIC => body,
            (status, _) => return Err(unreadable(&format!("the responder did not answer ({status:?}); leave it out"))),
        };
        Self::read_basic(body.response.as_bytes())
    }

    fn read_basic(bytes: &[u8]) -> Result<Self, Failure> {
        let shapeless = || unreadable("its values are not DER, or too many");
        let basic = shape::check(bytes).ok_or_else(shapeless)?;
        // The library's own copy of the signed part is not used: what is read is what is verified.
        let tbs = basic.parts().next().ok_or_else(shapeless)?.whole;
        let list = basic.parts().find(|part| part.tag == CERTIFICATES).and_then(|wrapped| wrapped.parts().next());
        let certificates: Vec<Vec<u8>> =
            list.map_or_else(Vec::new, |list| list.parts().map(|certificate| certificate.whole.to_vec()).collect());
        let outer = BasicOcspResponse::from_der(bytes).map_err(|why| unreadable(&why.to_string()))?;
        let algorithm = &outer.signature_algorithm;
        if algorithm.oid != ECDSA_SHA384 || algorithm.parameters.is_some() || certificates.len() > MAX_CERTIFICATES {
            return Err(unreadable("it is not signed with ECDSA and SHA-384, or has too many certificates"));
        }
        let signature = outer.signature.as_bytes().ok_or_else(shapeless)?.to_vec();
        let data = ResponseData::from_der(tbs).map_err(|why| unreadable(&why.to_string()))?;
        let responder = match &data.responder_id {
            ResponderId::ByName(name) => Responder::Name(name.to_der().map_err(|why| unreadable(&why.to_string()))?),
            ResponderId::ByKey(key) => Responder::Key(key.as_bytes().to_vec()),
        };
        let extensions = data.response_extensions.unwrap_or_default();
        Ok(Self {
            tbs: tbs.to_vec(),
            signature,
            responder,
            produced: instant(data.produced_at),
            answers: data.responses.iter().map(Answer::read).collect::<Result<_, _>>()?,
            certificates,
            has_critical: extensions.iter().any(|extension| extension.critical),
            signer: Memo::default(),
        })
    }

    /// Whether an answer of this response holds at `now`, by the issuer of the certificate that it is about.
    pub(super) fn check(
        &self,
        answer: &Answer,
        issuer: &X509Certificate<'_>,
        now: UnixMillis,
    ) -> Result<Current, Vec<Failure>> {
        let mut failures = Vec::new();
        let signer = self.signer.get_or(sha256(issuer.as_raw()), || self.check_signer(issuer));
        let signer = signer.map_err(|found| failures.extend(found)).ok();
        // A critical extension narrows what is said: none is understood here.
        if self.has_critical || answer.has_critical {
            failures.push(Failure::new("ocsp-extension", "an OCSP response has a critical extension"));
        }
        if self.produced > now {
            failures
                .push(Failure::new("not-yet-valid", "an OCSP response was made later than the instant asked about"));
        }
        let Some(until) = answer.until else {
            failures.push(Failure::new("ocsp-without-end", "an OCSP response names no next update"));
            return Err(failures);
        };
        let mut window = Window::new(now);
        failures.extend(window.admit("an OCSP response", answer.from, until));
        let Some(signer) = signer else { return Err(failures) };
        failures.extend(window.admit("the certificate of an OCSP responder", signer.from, signer.until));
        match failures.is_empty() {
            true => Ok(Current { from: answer.from.max(signer.from), until: window.until() }),
            false => Err(failures),
        }
    }

    /// The issuer itself, or whom it has certified for this (RFC 6960 §4.2.2.2). Dates are checked elsewhere.
    fn check_signer(&self, issuer: &X509Certificate<'_>) -> Result<Current, Vec<Failure>> {
        let certificates = parse_chain(&self.certificates).map_err(|failure| vec![failure])?;
        let delegate = certificates.iter().find(|certificate| self.responder.is(certificate));
        let delegate = delegate.filter(|delegate| delegate.as_raw() != issuer.as_raw());
        let mut failures = Vec::new();
        let signer = match delegate {
            Some(delegate) => {
                failures.extend(check_delegate(delegate, issuer));
                delegate
            }
            None if self.responder.is(issuer) => issuer,
            None => return Err(vec![Failure::new("ocsp-responder", "an OCSP response is by none that it shows")]),
        };
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public_point(signer));
        if !Curve::P384.is_key_of(signer.public_key()) || key.verify(&self.tbs, &self.signature).is_err() {
            failures.push(Failure::new("ocsp-signature", "the signature of an OCSP response does not hold"));
        }
        let validity = signer.validity();
        match failures.is_empty() {
            true => Ok(Current { from: millis(validity.not_before), until: millis(validity.not_after) }),
            false => Err(failures),
        }
    }
}

/// Directly below the authority that it answers for, and for nothing else than answering.
fn check_delegate(delegate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Vec<Failure> {
    let mut failures = Vec::new();
    check_link(delegate, issuer, Curve::P384, &mut failures);
    let usage = delegate.extended_key_usage().ok().flatten();
    let answers = usage.is_some_and(|usage| usage.value.ocsp_signing) && may(delegate, KeyRole::DataSigner);
    let understood = [OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_EXTENDED_KEY_USAGE];
    if !answers || unexpected_extension(delegate.extensions(), &understood).is_some() {
        failures.push(Failure::new("ocsp-responder", "the certificate of an OCSP responder is not for OCSP alone"));
    }
    failures
}

impl Responder {
    fn is(&self, certificate: &X509Certificate<'_>) -> bool {
        match self {
            Self::Name(name) => name == certificate.subject().as_raw(),
            Self::Key(key) => key == digest(&SHA1_FOR_LEGACY_USE_ONLY, public_point(certificate)).as_ref(),
        }
    }
}

impl Answer {
    fn read(single: &SingleResponse) -> Result<Self, Failure> {
        let id = &single.cert_id;
        let known = CERT_ID_HASHES.iter().find(|(oid, _)| *oid == id.hash_algorithm.oid);
        let (_, hash) = known.ok_or_else(|| unreadable("it names an issuer by a digest not known here"))?;
        let extensions = single.single_extensions.as_deref().unwrap_or_default();
        let status = match &single.cert_status {
            CertStatus::Good(_) => CertificateStatus::Good,
            CertStatus::Unknown(_) => CertificateStatus::Unknown,
            CertStatus::Revoked(info) => match info.revocation_reason {
                Some(reason) if reason as u32 == ON_HOLD => CertificateStatus::OnHold,
                _ => CertificateStatus::Revoked,
            },
        };
        Ok(Self {
            hash,
            issuer_name: id.issuer_name_hash.as_bytes().to_vec(),
            issuer_key: id.issuer_key_hash.as_bytes().to_vec(),
            serial: id.serial_number.as_bytes().to_vec(),
            status,
            from: instant(single.this_update),
            until: single.next_update.map(instant),
            has_critical: extensions.iter().any(|extension| extension.critical),
        })
    }

    /// Whether it is about this certificate: serial number, and the issuer by name and key.
    pub(super) fn is_about(&self, certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
        let without_zeros = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        without_zeros(&self.serial) == certificate.tbs_certificate.serial.to_bytes_be()
            && digest(self.hash, issuer.subject().as_raw()).as_ref() == self.issuer_name
            && digest(self.hash, public_point(issuer)).as_ref() == self.issuer_key
    }
}

fn instant(time: OcspGeneralizedTime) -> UnixMillis {
    UnixMillis(time.0.to_unix_duration().as_secs().saturating_mul(1_000))
}

fn unreadable(why: &str) -> Failure {
    Failure::new("ocsp-unreadable", format!("OCSP response: {why}"))
}
