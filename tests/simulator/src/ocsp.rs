//! **Duty.** OCSP responses as a vendor's responder gives them: by a delegate that an authority has certified for this.
//! **Knows** RFC 6960's bytes. **Does not know** requests. **Spec.** EVIDENCE §1.7.

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData as _};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest};
use time::OffsetDateTime;
use time::macros::format_description;
use weighbridge_attest_types::UnixMillis;

use crate::der;
use crate::keys::{P384Key, Seed};
use crate::pki::{self, CertificateAuthority, Validity};

const BASIC: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
const ECDSA_SHA384: [u64; 7] = [1, 2, 840, 10045, 4, 3, 3];

/// A certificate's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspStatus {
    /// Not revoked.
    Good,
    /// Revoked for good.
    Revoked,
    /// Revoked for now: certificateHold.
    OnHold,
    /// Not known.
    Unknown,
}

/// The digest that names an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspHash {
    /// SHA-1, as most clients ask.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384, as NVIDIA's own tool asks.
    Sha384,
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspSigner {
    /// A delegate of the authority, for OCSP alone.
    Delegate,
    /// The authority itself.
    Authority,
    /// Somebody whom the authority has certified, though not for this.
    Unauthorised,
    /// A delegate of another authority.
    Foreign,
}

/// What a response says: knobs that a breaker turns before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspOptions {
    /// Standing of the certificate.
    pub status: OcspStatus,
    /// Digest in the CertID.
    pub hash: OcspHash,
    /// When it was made.
    pub produced: UnixMillis,
    /// From when it holds.
    pub this_update: UnixMillis,
    /// Until when; `None` leaves it out.
    pub next_update: Option<UnixMillis>,
    /// Who signs.
    pub signer: OcspSigner,
    /// Whether the responder is named by its key instead of its name.
    pub by_key: bool,
    /// Added to the last byte of the serial number: another certificate of the same authority.
    pub serial_off_by: u8,
    /// Whether an unknown critical extension narrows the answer.
    pub critical: bool,
}

/// The certificate that is asked about.
pub(crate) struct Asked<'a> {
    pub(crate) issuer: &'a CertificateAuthority<P384Key>,
    pub(crate) serial: Vec<u8>,
    /// Whose delegate signs where the right one does not.
    pub(crate) foreign: &'a CertificateAuthority<P384Key>,
}

/// A signed response.
pub(crate) fn response(seed: Seed, asked: &Asked<'_>, options: &OcspOptions, validity: Validity) -> Vec<u8> {
    let delegate = Delegate::grow(seed, asked, options.signer, validity);
    let responder = match options.by_key {
        true => der::value(0xa2, &der::octets(hash_of(OcspHash::Sha1, delegate.key.der_bytes()).as_ref())),
        false => der::value(0xa1, subject_of(&delegate.certificate)),
    };
    let single = der::sequence(&[single(asked, options)]);
    let tbs = der::sequence(&[responder, generalized(options.produced), single]);
    let algorithm = der::sequence(&[der::oid(&ECDSA_SHA384)]);
    let signature = rcgen::SigningKey::sign(&delegate.key, &tbs).expect("a P-384 key signs");
    let mut basic = vec![tbs, algorithm, der::bits(&signature)];
    if options.signer != OcspSigner::Authority {
        basic.push(der::value(0xa0, &der::sequence(&[delegate.certificate])));
    }
    let body = der::sequence(&[der::oid(&BASIC), der::octets(&der::sequence(&basic))]);
    der::sequence(&[der::enumerated(0), der::value(0xa0, &body)])
}

/// A response that answers nothing, such as `unauthorized` (6).
pub(crate) fn refusal(status: u8) -> Vec<u8> {
    der::sequence(&[der::enumerated(status)])
}

fn single(asked: &Asked<'_>, options: &OcspOptions) -> Vec<u8> {
    let issuer = asked.issuer.der();
    let mut serial = asked.serial.clone();
    if let Some(last) = serial.last_mut() {
        *last = last.wrapping_add(options.serial_off_by);
    }
    let oid: &[u64] = match options.hash {
        OcspHash::Sha1 => &[1, 3, 14, 3, 2, 26],
        OcspHash::Sha256 => &[2, 16, 840, 1, 101, 3, 4, 2, 1],
        OcspHash::Sha384 => &[2, 16, 840, 1, 101, 3, 4, 2, 2],
    };
    let id = der::sequence(&[
        der::sequence(&[der::oid(oid), vec![0x05, 0x00]]),
        der::octets(hash_of(options.hash, subject_of(&issuer)).as_ref()),
        der::octets(hash_of(options.hash, asked.issuer.key().der_bytes()).as_ref()),
        der::big_integer(&serial),
    ]);
    let revoked = |reason: u8| {
        let reason = der::value(0xa0, &der::enumerated(reason));
        der::value(0xa1, &[generalized(options.this_update), reason].concat())
    };
    let status = match options.status {
        OcspStatus::Good => vec![0x80, 0x00],
        OcspStatus::Revoked => revoked(1),
        OcspStatus::OnHold => revoked(6),
        OcspStatus::Unknown => vec![0x82, 0x00],
    };
    let mut parts = vec![id, status, generalized(options.this_update)];
    parts.extend(options.next_update.map(|until| der::value(0xa0, &generalized(until))));
    if options.critical {
        let extension = der::sequence(&[der::oid(&[1, 2, 3, 4]), der::boolean(true), der::octets(&[0x05, 0x00])]);
        parts.push(der::value(0xa1, &der::sequence(&[extension])));
    }
    der::sequence(&parts)
}

struct Delegate {
    key: P384Key,
    certificate: Vec<u8>,
}

impl Delegate {
    fn grow(seed: Seed, asked: &Asked<'_>, signer: OcspSigner, validity: Validity) -> Self {
        if signer == OcspSigner::Authority {
            return Self { key: asked.issuer.key().clone(), certificate: asked.issuer.der() };
        }
        let issuer = if signer == OcspSigner::Foreign { asked.foreign } else { asked.issuer };
        let key = P384Key::derive(seed, &format!("nvidia/ocsp/{}", hex::encode(issuer.key().der_bytes())));
        let mut params = pki::certificate_params(pki::subject("NVIDIA OCSP responder"), &key, validity);
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if signer != OcspSigner::Unauthorised {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        }
        let certificate = issuer.issue(&params, &key).der().to_vec();
        Self { key, certificate }
    }
}

/// The subject of a certificate, as it stands there: the sixth part of what is signed.
fn subject_of(certificate: &[u8]) -> &[u8] {
    der::parts(der::parts(certificate)[0])[5]
}

fn hash_of(hash: OcspHash, bytes: &[u8]) -> ring::digest::Digest {
    let algorithm: &Algorithm = match hash {
        OcspHash::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
        OcspHash::Sha256 => &SHA256,
        OcspHash::Sha384 => &SHA384,
    };
    digest(algorithm, bytes)
}

fn generalized(at: UnixMillis) -> Vec<u8> {
    let date: OffsetDateTime = pki::instant(at);
    let form = format_description!("[year][month][day][hour][minute][second]Z");
    der::value(0x18, date.format(&form).expect("a year of four digits").as_bytes())
}
