//! **Duty.** Whether a pinned root stands above the certificate that signed a token, at the token's instant.
//! **Knows** webpki, which builds and checks the path under a budget of its own. **Does not know** the token's content.
//! **Spec.** RFC 5280 §6.1; RFC 3161 §2.3. Revocation is not asked for (LIMITATIONS.md).

use std::time::Duration;

use cms::cert::x509::Certificate;
use cms::cert::x509::ext::pkix::{BasicConstraints, KeyUsage as Usage};
use der::Decode as _;
use der::asn1::ObjectIdentifier;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert, ring as algorithms};
use weighbridge_attest_types::CertificateAnchor;

use super::signature::{extension, is_valid};
use super::{TimestampError, TimestampToken, seconds};

/// `id-kp-timeStamping`: an authority in between may stand for more, not for other things alone. That the signer is for
/// this alone is checked with its signature.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");

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
        let others: Vec<_> = self.certificates.iter().map(|one| CertificateDer::from(one.der.as_slice())).collect();
        let signer = CertificateDer::from(self.signing_certificate()?.der.as_slice());
        let signer = EndEntityCert::try_from(&signer).map_err(|why| broken(why.to_string()))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds(self.made())));
        let usage = KeyUsage::required_if_present(TIME_STAMPING);
        let anchors = [anchor];
        let path = match signer.verify_for_usage(ALGORITHMS, &anchors, &others, at, usage, None, Some(&may_sign)) {
            Ok(path) => path,
            Err(Error::UnknownIssuer) => return Err(TimestampError::UnknownRoot),
            Err(why) => return Err(broken(why.to_string())),
        };
        // A library's anchor has neither dates nor a length of its paths; ours has. What else is critical in a root was
        // refused when it was loaded.
        let root = Certificate::from_der(&der).map_err(|why| broken(why.to_string()))?;
        allows(&root, path.intermediate_certificates().count()).map_err(broken)?;
        is_valid(&root, self).map_err(|why| broken(format!("the root: {why}")))
    }
}

/// Whether a root lets so many authorities stand below it.
fn allows(root: &Certificate, below: usize) -> Result<(), String> {
    let Some((_, Some(constraints))) = extension::<BasicConstraints>(root, BASIC_CONSTRAINTS) else {
        return Err("the root does not say that it is an authority".to_owned());
    };
    match constraints.path_len_constraint.map(usize::from) {
        Some(most) if below > most => Err(format!("the root allows {most} authorities below it, there are {below}")),
        _ => Ok(()),
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).unwrap();
        let header = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [header, content].concat()
    }

    /// Nothing but what a reader asks for, and these basic constraints.
    pub(in super::super) fn root_der(constraints: &[u8]) -> Vec<u8> {
        let algorithm = der(0x30, &[b"\x06\x03\x2a\x03\x04"]);
        let bits: &[u8] = b"\x03\x02\x00\x00";
        let date = der(0x17, &[b"260101000000Z"]);
        let extension = der(0x30, &[b"\x06\x03\x55\x1d\x13\x01\x01\xff", &der(4, &[constraints])]);
        let name: &[u8] = b"\x30\x00";
        let tbs = der(
            0x30,
            &[
                b"\xa0\x03\x02\x01\x02\x02\x01\x01",
                &algorithm,
                name,
                &der(0x30, &[&date, &date]),
                name,
                &der(0x30, &[&algorithm, bits]),
                &der(0xa3, &[&der(0x30, &[&extension])]),
            ],
        );
        der(0x30, &[&tbs, &algorithm, bits])
    }

    fn root(constraints: &[u8]) -> Certificate {
        Certificate::from_der(&root_der(constraints)).unwrap()
    }

    #[test]
    fn a_root_says_how_many_authorities_stand_below_it() {
        let none = root(b"\x30\x06\x01\x01\xff\x02\x01\x00");
        assert_eq!(allows(&none, 0), Ok(()));
        assert_eq!(allows(&none, 1), Err("the root allows 0 authorities below it, there are 1".to_owned()));
        let one = root(b"\x30\x06\x01\x01\xff\x02\x01\x01");
        assert_eq!((allows(&one, 1).is_ok(), allows(&one, 2).is_ok()), (true, false));
        assert_eq!(allows(&root(b"\x30\x03\x01\x01\xff"), 7), Ok(()));
        assert!(allows(&root(b"\x04\x00"), 0).is_err());
    }
}
