//! **Duty.** One of the two statements that Intel signs, with the chain of its signer. What depends on neither time nor
//! anchors nor lists is worked out once, however many quotes are held against it. **Does not know** what it says.
//! **Spec.** EVIDENCE §2.3.

use std::sync::OnceLock;

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use weighbridge_attest_types::CertificateAnchor;
use x509_parser::prelude::X509Certificate;

use super::REVOKED;
use super::lists::Revocations;
use crate::error::Failure;
use crate::pem::pem_certificates;
use crate::x509::{Curve, Window, check_links, check_path, common_name, parse_chain, public_point};

/// Common name of the certificate that signs TCB info and identities.
const TCB_SIGNER: &str = "Intel SGX TCB Signing";

/// A statement as received.
#[derive(Debug)]
pub(super) struct Signed {
    what: &'static str,
    text: String,
    signature: Vec<u8>,
    /// DER, signer first; or why there is none.
    chain: Result<Vec<Vec<u8>>, String>,
    known: OnceLock<Known>,
}

/// What is the same for every quote.
#[derive(Debug)]
struct Known {
    /// Failures of the chain's links.
    links: Vec<Failure>,
    /// Whether the first certificate's key signed the text.
    is_signed: bool,
}

impl Signed {
    /// Nothing is checked yet.
    pub(super) fn read(what: &'static str, text: &str, signature: &[u8], chain: &str) -> Self {
        let chain = pem_certificates(chain.as_bytes()).map_err(|error| error.to_string());
        let (text, signature) = (text.to_owned(), signature.to_vec());
        Self { what, text, signature, chain, known: OnceLock::new() }
    }

    /// The signer stands directly below `anchor`; the signature is over the text as received.
    pub(super) fn check(
        &self,
        anchor: &CertificateAnchor,
        revocations: &Revocations<'_>,
        window: &mut Window,
    ) -> Vec<Failure> {
        let what = self.what;
        let unreadable = |why: &str| Failure::new("collateral-signer", format!("the signer of the {what}: {why}"));
        let certificates = match self.chain.as_deref().map(parse_chain) {
            Ok(Ok(certificates)) => certificates,
            Ok(Err(failure)) => return vec![unreadable(&failure.message)],
            Err(why) => return vec![unreadable(why)],
        };
        let known = self.known.get_or_init(|| self.look(&certificates));
        let path = check_path(&certificates, &known.links, std::slice::from_ref(anchor), window);
        let mut failures = path.err().unwrap_or_default();
        let [signer, _root] = certificates.as_slice() else {
            failures.push(unreadable(&format!("{} certificates instead of signer and root", certificates.len())));
            return failures;
        };
        if common_name(signer) != Some(TCB_SIGNER) {
            failures.push(unreadable(&format!("it is {:?}, not {TCB_SIGNER:?}", common_name(signer))));
        }
        if revocations.revokes_below_root(signer) {
            failures.push(Failure::new(REVOKED, format!("the signer of the {what} is revoked")));
        }
        if !known.is_signed {
            failures.push(Failure::new("collateral-signature", format!("the signature of the {what} does not hold")));
        }
        failures
    }

    fn look(&self, certificates: &[X509Certificate<'_>]) -> Known {
        let point = certificates.first().map(public_point).unwrap_or_default();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let is_signed = key.verify(self.text.as_bytes(), &self.signature).is_ok();
        Known { links: check_links(certificates, Curve::P256), is_signed }
    }
}
