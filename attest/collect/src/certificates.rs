//! **Duty.** Certificate chains as the platform hands them out: PEM text to DER, bounded. **Knows** PEM and X.509
//! syntax. **Does not know** issuers, dates or signatures. **Spec.** EVIDENCE §0 rule 5.

use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use crate::CollectError;

/// PEM text of one chain, in bytes (EVIDENCE §0 rule 5).
const MAX_PEM_BYTES: usize = 16 * 1024;
/// Certificates in one chain (EVIDENCE §0 rule 5).
const MAX_CERTIFICATES: usize = 10;

/// The DER certificates of a PEM chain, in the order given. `what` names the interface that gave it.
///
/// # Errors
/// [`CollectError::Answer`] when the text is over its bounds, holds no certificate or one that does not parse.
pub fn certificates_of_pem(what: &'static str, text: &[u8]) -> Result<Vec<Vec<u8>>, CollectError> {
    let answer = |why: String| CollectError::Answer { what, why };
    if text.len() > MAX_PEM_BYTES {
        return Err(answer(format!("a certificate chain of {} bytes, over {MAX_PEM_BYTES}", text.len())));
    }
    let mut chain = Vec::new();
    for block in Pem::iter_from_buffer(text) {
        let block = block.map_err(|error| answer(format!("a certificate chain that is not PEM ({error})")))?;
        if chain.len() == MAX_CERTIFICATES {
            return Err(answer(format!("a chain of more than {MAX_CERTIFICATES} certificates")));
        }
        parse_certificate(what, &block.contents)?;
        chain.push(block.contents);
    }
    if chain.is_empty() { Err(answer("a certificate chain without a certificate".to_owned())) } else { Ok(chain) }
}

/// Parses one DER certificate that must fill its bytes.
pub(crate) fn parse_certificate<'a>(what: &'static str, der: &'a [u8]) -> Result<X509Certificate<'a>, CollectError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(CollectError::Answer { what, why: "bytes after a certificate".to_owned() }),
        Err(error) => Err(CollectError::Answer { what, why: format!("a certificate that does not parse ({error})") }),
    }
}
