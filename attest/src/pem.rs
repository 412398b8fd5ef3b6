//! **Duty.** Certificates out of PEM, in one strict spelling, so that every library that reads the same bytes sees the
//! same certificates. **Does not know** what a certificate means. **Spec.** RFC 7468 §5, without text outside the blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::budget::{MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES};
use crate::error::{EvidenceError, Failure};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The DER certificates of a PEM chain, in order. White space between blocks and NUL bytes at the end are allowed,
/// nothing else.
///
/// # Errors
/// [`EvidenceError::Malformed`]: too long, too many, or not PEM.
pub fn pem_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, EvidenceError> {
    if bytes.len() > MAX_CHAIN_BYTES {
        return Err(malformed(format!("a chain of {} bytes is over the cap of {MAX_CHAIN_BYTES}", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the chain is not text".to_owned()))?;
    let mut rest = text.trim_end_matches('\0').trim();
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        let block = rest.strip_prefix(BEGIN).and_then(|rest| rest.split_once(END));
        let Some((body, after)) = block else {
            return Err(malformed(format!("certificate {} is not a PEM block", certificates.len())));
        };
        certificates.push(decode(body, certificates.len())?);
        rest = after.trim_start();
        if certificates.len() > MAX_CHAIN_CERTIFICATES {
            return Err(malformed(format!("more than {MAX_CHAIN_CERTIFICATES} certificates in one chain")));
        }
    }
    Ok(certificates)
}

fn decode(body: &str, index: usize) -> Result<Vec<u8>, EvidenceError> {
    let base64: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(base64).map_err(|why| malformed(format!("certificate {index} is not base64: {why}")))
}

fn malformed(message: String) -> EvidenceError {
    EvidenceError::Malformed(Failure::new("pem", message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_in_order_and_a_final_nul_is_allowed() {
        let pem = format!("{BEGIN}\nAQID\n{END}\r\n{BEGIN}\nBA\nUG\n{END}\n\0");
        assert_eq!(pem_certificates(pem.as_bytes()).unwrap(), [vec![1, 2, 3], vec![4, 5, 6]]);
        assert!(pem_certificates(b"").unwrap().is_empty());
    }

    #[test]
    fn text_between_blocks_bad_base64_and_too_many_are_malformed() {
        let one = format!("{BEGIN}\nAQID\n{END}\n");
        let headers = format!("{BEGIN}\nProc-Type: 4\n\nAQID\n{END}\n");
        for bad in
            [format!("{one}note\n{one}"), headers, format!("{BEGIN}\nAQID\n"), one.repeat(11), "\u{e9}".repeat(9000)]
        {
            assert_eq!(pem_certificates(bad.as_bytes()).unwrap_err().code(), "pem");
        }
        assert_eq!(pem_certificates(&[0xff]).unwrap_err().code(), "pem");
    }
}
