//! **Duty.** A simulated RFC 3161 timestamp authority: granted answers over any imprint, at any time. **Does not know**
//! what an imprint is of. **Spec.** RFC 3161 §2.4.2, RFC 5652 §5, RFC 5816.

use rcgen::{BasicConstraints, CustomExtension, KeyUsagePurpose, SigningKey as _};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use weighbridge_attest_types::{Digest32, UnixMillis, sha256};

use crate::der::{integer, octets, oid, sequence, value};
use crate::keys::{P256Key, Seed};
use crate::pki::{self, CertificateAuthority, Validity};

const KEY_IDENTIFIER: [u8; 20] = [0x75; 20];
const GENERALIZED: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]Z");

/// Signs when it was shown an imprint.
#[derive(Debug, Clone)]
pub struct TimestampAuthority {
    root: CertificateAuthority<P256Key>,
    key: P256Key,
    certificate: Vec<u8>,
}

impl TimestampAuthority {
    pub(crate) fn grow(seed: Seed, validity: Validity) -> Self {
        let key = P256Key::derive(seed, "timestamp/root");
        let subject = pki::subject("SIMULATED timestamp root");
        let params = pki::authority_params(subject, &key, validity, BasicConstraints::Unconstrained);
        let root = CertificateAuthority::root(params, key);
        let key = P256Key::derive(seed, "timestamp/signer");
        let mut params = pki::certificate_params(pki::subject("SIMULATED timestamp signer"), &key, validity);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let purpose = sequence(&[oid(&[1, 3, 6, 1, 5, 5, 7, 3, 8])]);
        let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], purpose);
        usage.set_criticality(true);
        let identifier = CustomExtension::from_oid_content(&[2, 5, 29, 14], octets(&KEY_IDENTIFIER));
        params.custom_extensions = vec![usage, identifier];
        let certificate = root.issue(&params, &key).der().to_vec();
        Self { root, key, certificate }
    }

    /// Its root, which an anchor file names.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.root.certificate().pem()
    }

    /// A granted answer with one second of accuracy.
    #[must_use]
    pub fn stamp(&self, imprint: Digest32, made: UnixMillis) -> Vec<u8> {
        let tst_info = oid(&[1, 2, 840, 113_549, 1, 9, 16, 1, 4]);
        let sha_256 = sequence(&[oid(&[2, 16, 840, 1, 101, 3, 4, 2, 1])]);
        let ecdsa = sequence(&[oid(&[1, 2, 840, 10045, 4, 3, 2])]);
        let made = pki::instant(made).format(GENERALIZED).expect("an instant before the year 9999");
        let content = sequence(&[
            integer(1),
            oid(&[1, 2, 3, 4, 1]),
            sequence(&[sha_256.clone(), octets(&imprint.0)]),
            integer(1),
            value(0x18, made.as_bytes()),
            sequence(&[integer(1)]),
        ]);
        let named = sequence(&[octets(&sha256(&self.certificate).0)]);
        let attribute = |arcs: &[u64], one: Vec<u8>| sequence(&[oid(arcs), value(0x31, &one)]);
        let mut attributes = [
            attribute(&[1, 2, 840, 113_549, 1, 9, 3], tst_info.clone()),
            attribute(&[1, 2, 840, 113_549, 1, 9, 4], octets(&sha256(&content).0)),
            attribute(&[1, 2, 840, 113_549, 1, 9, 16, 2, 47], sequence(&[sequence(&[named])])),
        ];
        attributes.sort_unstable();
        let signature = self.key.sign(&value(0x31, &attributes.concat())).expect("a key that signs");
        let signer = sequence(&[
            integer(3),
            value(0x80, &KEY_IDENTIFIER),
            sha_256.clone(),
            value(0xa0, &attributes.concat()),
            ecdsa,
            octets(&signature),
        ]);
        let signed = sequence(&[
            integer(3),
            value(0x31, &sha_256),
            sequence(&[tst_info, value(0xa0, &octets(&content))]),
            value(0xa0, &self.certificate),
            value(0x31, &signer),
        ]);
        let token = sequence(&[oid(&[1, 2, 840, 113_549, 1, 7, 2]), value(0xa0, &signed)]);
        sequence(&[sequence(&[integer(0)]), token])
    }
}
