//! **Duty.** Whether the certificate inside a token signed it, as RFC 3161 wants it: content type, digest and the
//! certificate itself among the signed attributes. **Knows** ring's algorithms through webpki. **Does not know** who
//! stands above the certificate. **Spec.** RFC 5652 §5.4, RFC 5816, RFC 3161 §2.3 and §2.4.2.

use cms::cert::x509::Certificate;
use cms::cert::x509::ext::pkix::name::{GeneralName, GeneralNames};
use cms::cert::x509::ext::pkix::{KeyUsage, SubjectKeyIdentifier};
use cms::cert::x509::serial_number::SerialNumber;
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::signed_data::SignerIdentifier;
use der::asn1::{Any, ObjectIdentifier, OctetString};
use der::{Decode, Encode as _, Sequence};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;
use webpki::ring as algorithms;

use super::token::{Carried, SHA_256, TST_INFO, is_bare, unreadable};
use super::{TimestampError, TimestampToken, seconds};

const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const ECDSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

/// `ESSCertID`: the digest is SHA-1.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct CertId {
    cert_hash: OctetString,
    #[asn1(optional = "true")]
    issuer_serial: Option<IssuerSerial>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct SigningCertificate {
    certs: Vec<CertId>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

/// `ESSCertIDv2`.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct CertIdV2 {
    /// SHA-256 where it is absent.
    #[asn1(optional = "true")]
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    cert_hash: OctetString,
    #[asn1(optional = "true")]
    issuer_serial: Option<IssuerSerial>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct SigningCertificateV2 {
    certs: Vec<CertIdV2>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct IssuerSerial {
    issuer: GeneralNames,
    serial_number: SerialNumber,
}

impl TimestampToken {
    /// Whether the certificate in the token signed it, and may sign timestamps at that time.
    ///
    /// # Errors
    /// [`TimestampError::Signature`], [`TimestampError::Certificate`]; [`TimestampError::Unread`] where nothing else is
    /// wrong but the algorithm is none of ours.
    pub fn check_signature(&self) -> Result<(), TimestampError> {
        let certificate = self.signing_certificate()?;
        let unread = || TimestampError::Unread(self.signer.digest_alg.oid.to_string());
        let hash = hash_of(&self.signer.digest_alg).ok_or_else(unread)?;
        let content_type: ObjectIdentifier = self.attribute(CONTENT_TYPE)?.ok_or_else(|| broken("no content type"))?;
        let found: OctetString = self.attribute(MESSAGE_DIGEST)?.ok_or_else(|| broken("no message digest"))?;
        if content_type != TST_INFO {
            return Err(broken("another content type was signed"));
        }
        if found.as_bytes() != digest(hash, &self.content).as_ref() {
            return Err(broken("another content was signed"));
        }
        self.names_certificate(certificate)?;
        if !self.is_signed_by(&CertificateDer::from(certificate.der.as_slice()))? {
            return Err(broken("the key of its certificate did not make it"));
        }
        may_stamp(&certificate.parsed)?;
        is_valid(&certificate.parsed, self).map_err(TimestampError::Certificate)
    }

    /// The one certificate that the signer names.
    pub(super) fn signing_certificate(&self) -> Result<&Carried, TimestampError> {
        let is_named = |carried: &&Carried| match &self.signer.sid {
            SignerIdentifier::IssuerAndSerialNumber(named) => {
                let tbs = &carried.parsed.tbs_certificate;
                (&tbs.issuer, &tbs.serial_number) == (&named.issuer, &named.serial_number)
            }
            SignerIdentifier::SubjectKeyIdentifier(named) => key_identifier(&carried.parsed).as_ref() == Some(named),
        };
        let mut named = self.certificates.iter().filter(is_named);
        match (named.next(), named.next()) {
            (Some(certificate), None) => Ok(certificate),
            _ => Err(broken("its signer names none or several of its certificates")),
        }
    }

    /// The value of a signed attribute. One that is there twice, or with several values, is refused.
    fn attribute<T: for<'a> Decode<'a>>(&self, oid: ObjectIdentifier) -> Result<Option<T>, TimestampError> {
        let mut found = self.signer.signed_attrs.iter().flat_map(|all| all.iter()).filter(|one| one.oid == oid);
        let (Some(first), None) = (found.next(), found.next()) else {
            let absent = self.signer.signed_attrs.iter().flat_map(|all| all.iter()).all(|one| one.oid != oid);
            return if absent { Ok(None) } else { Err(broken("a signed attribute is there twice")) };
        };
        let [value] = first.values.as_slice() else { return Err(broken("a signed attribute has not one value")) };
        let der = value.to_der().map_err(unreadable("signed attribute"))?;
        T::from_der(&der).map(Some).map_err(unreadable("signed attribute"))
    }

    /// ESS: the certificate is among what was signed, so that no other one of the same key can take its place.
    fn names_certificate(&self, Carried { parsed: certificate, der }: &Carried) -> Result<(), TimestampError> {
        let old: Option<SigningCertificate> = self.attribute(SIGNING_CERTIFICATE)?;
        let new: Option<SigningCertificateV2> = self.attribute(SIGNING_CERTIFICATE_V2)?;
        if old.is_none() && new.is_none() {
            return Err(broken("its certificate was not signed along"));
        }
        // The first of each list is the signer's.
        let old = old.is_none_or(|list| {
            list.certs.first().is_some_and(|id| {
                let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
                hash.as_ref() == id.cert_hash.as_bytes() && is_issuer(id.issuer_serial.as_ref(), certificate)
            })
        });
        let new = new.is_none_or(|list| {
            list.certs.first().is_some_and(|id| {
                let hash = id.hash_algorithm.as_ref().map_or(Some(&SHA256), hash_of).map(|hash| digest(hash, der));
                hash.is_some_and(|hash| hash.as_ref() == id.cert_hash.as_bytes())
                    && is_issuer(id.issuer_serial.as_ref(), certificate)
            })
        });
        if old && new { Ok(()) } else { Err(broken("another certificate was signed along")) }
    }

    fn is_signed_by(&self, certificate: &CertificateDer<'_>) -> Result<bool, TimestampError> {
        let attributes = self.signer.signed_attrs.as_ref().ok_or_else(|| broken("nothing was signed"))?;
        // The signature is over the attributes as a SET, not under their implicit tag (RFC 5652 §5.4).
        let signed = attributes.to_der().map_err(unreadable("signed attributes"))?;
        let key = EndEntityCert::try_from(certificate).map_err(|why| TimestampError::Certificate(why.to_string()))?;
        let candidates = algorithms_of(&self.signer.signature_algorithm.oid, &self.signer.digest_alg.oid);
        let signature = self.signer.signature.as_bytes();
        let mut of_this_key = false;
        for algorithm in candidates {
            match key.verify_signature(algorithm, &signed, signature) {
                Ok(()) => return Ok(true),
                Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
                Err(_) => of_this_key = true,
            }
        }
        // Nothing was tried: that is not a forgery yet.
        if of_this_key {
            Ok(false)
        } else {
            Err(TimestampError::Unread(self.signer.signature_algorithm.oid.to_string()))
        }
    }
}

fn hash_of(algorithm: &AlgorithmIdentifierOwned) -> Option<&'static Algorithm> {
    match algorithm.oid {
        _ if !is_bare(algorithm.parameters.as_ref()) => None,
        SHA_256 => Some(&SHA256),
        SHA_384 => Some(&SHA384),
        SHA_512 => Some(&SHA512),
        _ => None,
    }
}

/// What may have made the signature; the certificate's key decides among them.
fn algorithms_of(
    signature: &ObjectIdentifier,
    hash: &ObjectIdentifier,
) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    match (*signature, *hash) {
        (ECDSA_SHA_256, SHA_256) => vec![algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        (ECDSA_SHA_384, SHA_384) => vec![algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384],
        (RSA | RSA_SHA_256, SHA_256) => vec![algorithms::RSA_PKCS1_2048_8192_SHA256],
        (RSA | RSA_SHA_384, SHA_384) => vec![algorithms::RSA_PKCS1_2048_8192_SHA384],
        (RSA | RSA_SHA_512, SHA_512) => vec![algorithms::RSA_PKCS1_2048_8192_SHA512],
        _ => Vec::new(),
    }
}

fn is_issuer(named: Option<&IssuerSerial>, certificate: &Certificate) -> bool {
    let tbs = &certificate.tbs_certificate;
    named.is_none_or(|IssuerSerial { issuer, serial_number }| {
        let names = matches!(issuer.as_slice(), [GeneralName::DirectoryName(name)] if *name == tbs.issuer);
        names && *serial_number == tbs.serial_number
    })
}

/// An extension's value, where it is there.
pub(super) fn extension<T: for<'a> Decode<'a>>(
    certificate: &Certificate,
    oid: ObjectIdentifier,
) -> Option<(bool, Option<T>)> {
    let mut all = certificate.tbs_certificate.extensions.iter().flatten();
    let found = all.find(|extension| extension.extn_id == oid)?;
    Some((found.critical, T::from_der(found.extn_value.as_bytes()).ok()))
}

fn key_identifier(certificate: &Certificate) -> Option<SubjectKeyIdentifier> {
    const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
    extension(certificate, OID)?.1
}

/// A certificate for timestamps and for nothing else (RFC 3161 §2.3).
fn may_stamp(certificate: &Certificate) -> Result<(), TimestampError> {
    const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
    let refused = |why: &str| Err(TimestampError::Certificate(why.to_owned()));
    match extension::<Vec<ObjectIdentifier>>(certificate, EXTENDED_KEY_USAGE) {
        Some((true, Some(purposes))) if purposes == [TIME_STAMPING] => {}
        Some((false, _)) => return refused("its extended key usage is not critical"),
        Some(_) => return refused("its extended key usage is not timestamping alone"),
        None => return refused("it has no extended key usage"),
    }
    match extension::<KeyUsage>(certificate, KEY_USAGE) {
        None => Ok(()),
        Some((_, Some(usage))) => {
            let signs = usage.digital_signature() || usage.non_repudiation();
            if signs && !usage.key_cert_sign() { Ok(()) } else { refused("its key usage is not signing of data alone") }
        }
        Some((_, None)) => refused("its key usage is unreadable"),
    }
}

/// Whether a certificate's dates hold at the token's instant, both ends included.
pub(super) fn is_valid(certificate: &Certificate, token: &TimestampToken) -> Result<(), String> {
    let validity = &certificate.tbs_certificate.validity;
    let made = seconds(token.made());
    let (from, until) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    match (from.as_secs()..=until.as_secs()).contains(&made) {
        true => Ok(()),
        false => Err("its dates do not hold at the time that the token says".to_owned()),
    }
}

fn broken(why: &str) -> TimestampError {
    TimestampError::Signature(why.to_owned())
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::Culprit;

    use super::super::authority::tests::root_der;
    use super::super::shape::tests::answer_by;
    use super::*;

    #[test]
    fn an_algorithm_that_is_not_read_is_no_forgery() {
        // Its key is of an algorithm that nobody has.
        let certificate = root_der(b"\x30\x03\x01\x01\xff");
        let judged = |algorithm: &[u8]| {
            let token = TimestampToken::parse(&answer_by(algorithm, 1, &certificate))?;
            token.is_signed_by(&CertificateDer::from(certificate.as_slice()))
        };
        let unread = |oid: &str| Err(TimestampError::Unread(oid.to_owned()));
        let rsa = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
        assert_eq!(judged(rsa), unread("1.2.840.113549.1.1.1"));
        let ecdsa_sha_512 = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
        assert_eq!(judged(ecdsa_sha_512), unread("1.2.840.10045.4.3.4"));
        let ed25519 = b"\x30\x05\x06\x03\x2b\x65\x70";
        assert_eq!(judged(ed25519), unread("1.3.101.112"));
        let rsa_pss = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x00";
        assert_eq!(judged(rsa_pss), unread("1.2.840.113549.1.1.10"));
        let error = TimestampError::Unread("1.3.101.112".to_owned());
        assert_eq!(error.culprit(), Culprit::Unsupported);
        assert!(error.to_string().starts_with("algorithm not read: "), "{error}");
    }
}
