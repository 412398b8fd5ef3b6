//! **Duty.** Whether a pinned root stands above the certificate that signed a token, at the token's instant.
//! **Knows** webpki, which builds and checks the path under a budget of its own. **Does not know** the token's content.
//! **Spec.** RFC 5280 §6.1; RFC 3161 §2.3. Revocation is not asked for (LIMITATIONS.md).

use std::time::Duration;

use cms::cert::x509::Certificate;
use cms::cert::x509::ext::pkix::KeyUsage as Usage;
use der::Decode as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert, ring as algorithms};
use weighbridge_attest_types::CertificateAnchor;

use super::signature::{extension, is_valid};
use super::token::der_of;
use super::{TimestampError, TimestampToken, seconds};

/// `id-kp-timeStamping`: an authority in between may stand for more, not for other things alone. That the signer is for
/// this alone is checked with its signature.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
const KEY_USAGE: der::asn1::ObjectIdentifier = der::asn1::ObjectIdentifier::new_unwrap("2.5.29.15");

/// How certificates may be signed.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
];

impl TimestampToken {
    /// The root above the certificate that signed.
    ///
    /// # Errors
    /// [`TimestampError::UnknownRoot`] where none of the roots has to do with it; [`TimestampError::Path`] where the
    /// path to one of them does not hold.
    pub fn check_authority<'r>(&self, roots: &'r [CertificateAnchor]) -> Result<&'r CertificateAnchor, TimestampError> {
        let mut worst = TimestampError::UnknownRoot;
        for root in roots {
            match self.path_to(root) {
                Ok(()) => return Ok(root),
                Err(TimestampError::UnknownRoot) => {}
                Err(broken) => worst = broken,
            }
        }
        Err(worst)
    }

    fn path_to(&self, root: &CertificateAnchor) -> Result<(), TimestampError> {
        let broken = |why: String| TimestampError::Path { root: root.name.clone(), why };
        let der = CertificateDer::from(root.der.as_deref().unwrap_or_default());
        let anchor = anchor_from_trusted_cert(&der).map_err(|why| broken(why.to_string()))?;
        let ders = self.certificates.iter().map(der_of).collect::<Result<Vec<_>, _>>()?;
        let others: Vec<_> = ders.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let signer = der_of(self.signing_certificate()?)?;
        let signer = CertificateDer::from(signer);
        let signer = EndEntityCert::try_from(&signer).map_err(|why| broken(why.to_string()))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds(self.made())));
        let usage = KeyUsage::required_if_present(TIME_STAMPING);
        let anchors = [anchor];
        match signer.verify_for_usage(ALGORITHMS, &anchors, &others, at, usage, None, Some(&may_sign)) {
            Ok(_) => {}
            Err(Error::UnknownIssuer) => return Err(TimestampError::UnknownRoot),
            Err(why) => return Err(broken(why.to_string())),
        }
        // A library's anchor has no dates; ours has.
        let root = Certificate::from_der(&der).map_err(|why| broken(why.to_string()))?;
        is_valid(&root, self).map_err(|why| broken(format!("the root: {why}")))
    }
}

/// webpki leaves key usage to others: an authority in between that states it must state signing of certificates.
fn may_sign(path: &VerifiedPath<'_>) -> Result<(), Error> {
    let signs = |der: &CertificateDer<'_>| {
        let usage = Certificate::from_der(der).ok().map(|certificate| extension::<Usage>(&certificate, KEY_USAGE));
        match usage {
            Some(None) => true,
            Some(Some((_, usage))) => usage.is_some_and(|usage| usage.key_cert_sign()),
            None => false,
        }
    };
    match path.intermediate_certificates().all(|certificate| signs(&certificate.der())) {
        true => Ok(()),
        false => Err(Error::EndEntityUsedAsCa),
    }
}
