//! **Duty.** From the bytes of a `TimeStampResp` to one token of the only form we read: granted, one signer, SHA-256
//! imprint, no extension that we would have to understand. **Knows** RFC 3161 and CMS structures through the library.
//! **Does not know** whether anything holds. **Spec.** RFC 3161 §2.4.2, RFC 5652 §5.1.

use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::content_info::CmsVersion;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{Any, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Tag, Tagged as _};
use weighbridge_attest_types::{Digest32, MAX_TIMESTAMP_BYTES, UnixMillis};
use x509_tsp::{Accuracy, TimeStampResp, TstInfo};

use super::{TimestampError, shape};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-ct-TSTInfo`.
pub(super) const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
pub(super) const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// Certificates of one token: a signer, its root, and more between them than any public authority has.
const MAX_CERTIFICATES: usize = 8;
/// `genTime` has whole seconds: the token may have been made up to one later.
const RESOLUTION_MILLIS: u64 = 1_000;
/// An authority that knows the time no better than to a day is none.
const MAX_ACCURACY_SECONDS: u64 = 86_400;

/// A timestamp token that parses, and still a rumour.
#[derive(Debug, Clone)]
pub struct TimestampToken {
    /// The signed bytes.
    pub(super) content: Vec<u8>,
    pub(super) signer: SignerInfo,
    pub(super) certificates: Vec<Carried>,
    imprint: Digest32,
    made: UnixMillis,
    accuracy_millis: u64,
}

/// A certificate that came along.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    pub(super) parsed: Certificate,
    /// As it came: the reader takes spellings that it would not write, and what was signed is what came.
    pub(super) der: Vec<u8>,
}

impl TimestampToken {
    /// Reads a whole `TimeStampResp`, as an authority sends it.
    ///
    /// # Errors
    /// [`TimestampError::Form`]; [`TimestampError::Unread`] for a signature whose algorithm has parameters (RSA-PSS).
    pub fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        if bytes.len() > MAX_TIMESTAMP_BYTES {
            return Err(form(format!("{} bytes are over the cap of {MAX_TIMESTAMP_BYTES}", bytes.len())));
        }
        shape::check(bytes)?;
        let response = TimeStampResp::from_der(bytes).map_err(unreadable("answer"))?;
        // PKIStatus 0 is granted. With modifications would be another thing than was asked.
        if response.status.status as u8 != 0 {
            return Err(form("the authority did not grant it".to_owned()));
        }
        let token = response.time_stamp_token.ok_or_else(|| form("there is no token".to_owned()))?;
        if token.content_type != SIGNED_DATA {
            return Err(form(format!("content type {} is not signed data", token.content_type)));
        }
        let signed: SignedData = token.content.decode_as().map_err(unreadable("signed data"))?;
        Self::from_signed(signed, shape::certificates(bytes).unwrap_or_default())
    }

    fn from_signed(signed: SignedData, ders: Vec<&[u8]>) -> Result<Self, TimestampError> {
        let SignedData { version, digest_algorithms, encap_content_info, certificates, crls, signer_infos } = signed;
        let [signer] = signer_infos.0.as_slice() else {
            return Err(form(format!("{} signers instead of one", signer_infos.0.len())));
        };
        let algorithms = digest_algorithms.as_slice();
        if version != CmsVersion::V3 || crls.is_some() || signer.unsigned_attrs.is_some() {
            return Err(form(
                "the signed data has another version, revocation lists or unsigned attributes".to_owned(),
            ));
        }
        if !is_bare(signer.signature_algorithm.parameters.as_ref()) {
            return Err(TimestampError::Unread(signer.signature_algorithm.oid.to_string()));
        }
        let bare = std::iter::once(&signer.digest_alg).chain(algorithms);
        if !matches!(algorithms, [one] if one.oid == signer.digest_alg.oid)
            || !bare.into_iter().all(|one| is_bare(one.parameters.as_ref()))
        {
            return Err(form("the digest algorithms are not that of the signer alone, bare".to_owned()));
        }
        let fitting = match signer.sid {
            SignerIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V1,
            SignerIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V3,
        };
        if signer.version != fitting {
            return Err(form("the signer's version does not fit how it is named".to_owned()));
        }
        if encap_content_info.econtent_type != TST_INFO {
            return Err(form(format!("content type {} is not TSTInfo", encap_content_info.econtent_type)));
        }
        let content = encap_content_info.econtent.ok_or_else(|| form("the content is detached".to_owned()))?;
        let content = content.decode_as::<OctetStringRef<'_>>().map_err(unreadable("content"))?.as_bytes().to_vec();
        let (imprint, made, accuracy_millis) = read_info(&content)?;
        let certificates = certificates.map(|set| set.0.into_vec()).unwrap_or_default();
        if !(1..=MAX_CERTIFICATES).contains(&certificates.len()) {
            return Err(form(format!(
                "{} certificates; ask for them, and for at most {MAX_CERTIFICATES}",
                certificates.len()
            )));
        }
        if certificates.iter().any(|choice| matches!(choice, CertificateChoices::Other(_))) {
            return Err(form("a certificate is of another kind than X.509".to_owned()));
        }
        let certificates = ders.into_iter().map(Carried::read).collect::<Result<_, _>>()?;
        Ok(Self { content, signer: signer.clone(), certificates, imprint, made, accuracy_millis })
    }

    /// What the token is about.
    #[must_use]
    pub const fn imprint(&self) -> Digest32 {
        self.imprint
    }

    /// `genTime`.
    #[must_use]
    pub const fn made(&self) -> UnixMillis {
        self.made
    }

    /// The instant after which it cannot have been made: `genTime` and its accuracy, rounded up; at least one second,
    /// since `genTime` has no fractions.
    #[must_use]
    pub fn not_after(&self) -> UnixMillis {
        UnixMillis(self.made.0.saturating_add(self.accuracy_millis.max(RESOLUTION_MILLIS)))
    }
}

impl Carried {
    fn read(der: &[u8]) -> Result<Self, TimestampError> {
        let parsed = Certificate::from_der(der).map_err(unreadable("certificate"))?;
        Ok(Self { parsed, der: der.to_vec() })
    }
}

fn read_info(content: &[u8]) -> Result<(Digest32, UnixMillis, u64), TimestampError> {
    shape::check(content)?;
    // Its one version is the only one that the type has.
    let info = TstInfo::from_der(content).map_err(unreadable("TSTInfo"))?;
    let imprint = info.message_imprint;
    if imprint.hash_algorithm.oid != SHA_256 || !is_bare(imprint.hash_algorithm.parameters.as_ref()) {
        return Err(form(format!("imprint algorithm {} is not SHA-256", imprint.hash_algorithm.oid)));
    }
    let digest = imprint.hashed_message.as_bytes().try_into().map(Digest32);
    let digest = digest.map_err(|_| form("the imprint is not 32 bytes long".to_owned()))?;
    if info.extensions.iter().flatten().any(|extension| extension.critical) {
        return Err(form("TSTInfo has a critical extension".to_owned()));
    }
    let made = info.gen_time.to_unix_duration().as_secs().checked_mul(1_000).map(UnixMillis);
    let made = made.ok_or_else(|| form("genTime is beyond all time".to_owned()))?;
    Ok((digest, made, accuracy_millis(info.accuracy.as_ref())?))
}

/// Rounded up to a millisecond.
fn accuracy_millis(accuracy: Option<&Accuracy>) -> Result<u64, TimestampError> {
    let Some(&Accuracy { seconds, millis, micros }) = accuracy else { return Ok(0) };
    let part = |value: Option<i16>| match value {
        None => Some(0),
        Some(value) => u64::try_from(value).ok().filter(|value| (1..=999).contains(value)),
    };
    let seconds = seconds.unwrap_or(0);
    match (part(millis), part(micros)) {
        (Some(millis), Some(micros)) if seconds <= MAX_ACCURACY_SECONDS => {
            let fraction = millis.saturating_add(u64::from(micros > 0));
            Ok(seconds.saturating_mul(1_000).saturating_add(fraction))
        }
        _ => Err(form("the accuracy is out of range".to_owned())),
    }
}

/// Parameters of a hash algorithm: absent or NULL (RFC 5754 §2).
pub(super) fn is_bare(parameters: Option<&Any>) -> bool {
    parameters.is_none_or(|any| any.tag() == Tag::Null && any.value().is_empty())
}

pub(super) const fn form(why: String) -> TimestampError {
    TimestampError::Form(why)
}

pub(super) fn unreadable(what: &'static str) -> impl Fn(der::Error) -> TimestampError {
    move |why| form(format!("{what}: {why}"))
}
