//! **Duty.** Certificate authorities that sign with seeded keys. **Knows** X.509 through rcgen. **Does not know** any
//! vendor's names or extensions. Every subject carries [`ORGANISATION`], so that nobody takes one for genuine.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, RevocationReason,
    RevokedCertParams, SerialNumber, SigningKey, string::PrintableString,
};
use time::OffsetDateTime;
use weighbridge_attest_types::{UnixMillis, sha256};

/// The organisation in every simulated certificate.
pub(crate) const ORGANISATION: &str = "SIMULATED Weighbridge development PKI";

/// `serialNumber` in a subject (X.520).
const SUBJECT_SERIAL: [u64; 4] = [2, 5, 4, 5];

/// From when to when something holds, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) from: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

/// A certificate with the key that signs below it.
#[derive(Debug, Clone)]
pub(crate) struct CertificateAuthority<K> {
    params: CertificateParams,
    key: K,
    certificate: Certificate,
}

impl<K: SigningKey> CertificateAuthority<K> {
    /// Signs itself.
    pub(crate) fn root(params: CertificateParams, key: K) -> Self {
        let certificate = params.self_signed(&key).expect("parameters of our own making");
        Self { params, key, certificate }
    }

    /// An authority directly below this one.
    pub(crate) fn subordinate(&self, params: CertificateParams, key: K) -> Self {
        let certificate = self.issue(&params, &key);
        Self { params, key, certificate }
    }

    /// A certificate directly below this authority.
    pub(crate) fn issue(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Certificate {
        params.signed_by(key, &self.issuer()).expect("parameters of our own making")
    }

    /// A DER revocation list of this authority.
    pub(crate) fn revocation_list(&self, validity: Validity, revoked: &[Vec<u8>]) -> Vec<u8> {
        self.revocation_list_for(validity, revoked, RevocationReason::KeyCompromise)
    }

    /// The same for another reason.
    pub(crate) fn revocation_list_for(
        &self,
        validity: Validity,
        revoked: &[Vec<u8>],
        reason: RevocationReason,
    ) -> Vec<u8> {
        let revoke = |serial: &Vec<u8>| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: validity.from,
            reason_code: Some(reason),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: validity.from,
            next_update: validity.until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(revoke).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer()).expect("parameters of our own making").der().to_vec()
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key that signs below it.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Its certificate as DER.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    fn issuer(&self) -> Issuer<'_, &K> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// What authorities have in common: they sign certificates and revocation lists.
pub(crate) fn authority_params(
    subject: DistinguishedName,
    key: &impl PublicKeyData,
    validity: Validity,
    constraints: BasicConstraints,
) -> CertificateParams {
    let mut params = certificate_params(subject, key, validity);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What all certificates have in common: a serial number from the key, and the issuer's key identifier.
pub(crate) fn certificate_params(
    subject: DistinguishedName,
    key: &impl PublicKeyData,
    validity: Validity,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = validity.from;
    params.not_after = validity.until;
    params.serial_number = Some(SerialNumber::from_slice(&serial_of(key)));
    params.use_authority_key_identifier_extension = true;
    params
}

/// A positive 20-byte serial number from a key.
pub(crate) fn serial_of(key: &impl PublicKeyData) -> [u8; 20] {
    let mut serial = [0; 20];
    serial.copy_from_slice(&sha256(key.der_bytes()).0[..20]);
    // The sign bit must be clear (RFC 5280 §4.1.2.2); the next one is set so that the length is always 20.
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// Common name, then [`ORGANISATION`].
pub(crate) fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name.push(DnType::OrganizationName, ORGANISATION);
    name
}

/// Serial number, [`ORGANISATION`], common name: the order in which NVIDIA's device certificates have them.
pub(crate) fn device_subject(serial: &str, common_name: &str) -> DistinguishedName {
    let serial = PrintableString::try_from(serial).expect("hex is printable");
    let mut name = DistinguishedName::new();
    name.push(DnType::CustomDnType(SUBJECT_SERIAL.to_vec()), DnValue::PrintableString(serial));
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::CommonName, common_name);
    name
}

/// Where a revocation list would be fetched, on a host that cannot exist (RFC 2606).
pub(crate) fn distribution_point(path: &str) -> CrlDistributionPoint {
    CrlDistributionPoint { uris: vec![format!("https://simulated.invalid/{path}")] }
}

/// Whole seconds: certificates carry nothing finer.
pub(crate) fn instant(at: UnixMillis) -> OffsetDateTime {
    let seconds = i64::try_from(at.seconds()).expect("an instant before the year 9999");
    OffsetDateTime::from_unix_timestamp(seconds).expect("an instant before the year 9999")
}
