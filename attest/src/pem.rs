//! **Duty.** Certificates out of PEM, in one strict spelling, so that every library that reads the same bytes sees the
//! same certificates. **Does not know** what a certificate means. **Spec.** RFC 7468 §5, without text outside the blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::budget::{MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES};
use crate::error::{EvidenceError, Failure};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Characters of a full line (RFC 7468 §2).
const LINE: usize = 64;
/// What may stand around a line. Other white space ends no line elsewhere: a reader there would miss the next block.
const BLANK: [char; 3] = [' ', '\t', '\r'];

/// The DER certificates of a PEM chain, in order. Each boundary stands alone on its line, because other readers go by
/// lines; empty lines, blanks around a line and NUL bytes at the end are allowed, nothing else.
///
/// # Errors
/// [`EvidenceError::Malformed`]: too long, too many, or not PEM.
pub fn pem_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, EvidenceError> {
    if bytes.len() > MAX_CHAIN_BYTES {
        return Err(malformed(format!("a chain of {} bytes is over the cap of {MAX_CHAIN_BYTES}", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the chain is not text".to_owned()))?;
    let mut certificates = Vec::new();
    let mut open: Option<String> = None;
    for line in text.trim_end_matches('\0').split('\n').map(|line| line.trim_matches(BLANK)) {
        open = match (open.take(), line) {
            (None, "") => None,
            (None, BEGIN) if certificates.len() == MAX_CHAIN_CERTIFICATES => {
                return Err(malformed(format!("more than {MAX_CHAIN_CERTIFICATES} certificates in one chain")));
            }
            (None, BEGIN) => Some(String::new()),
            (Some(base64), END) => {
                certificates.push(decode(&base64, certificates.len())?);
                None
            }
            (Some(base64), line) if !line.starts_with('-') => Some(base64 + line),
            _ => return Err(not_a_block(certificates.len())),
        };
    }
    if open.is_some() { Err(not_a_block(certificates.len())) } else { Ok(certificates) }
}

/// The one spelling that Intel's tools write: 64 characters a line, line feeds, and nothing else.
pub(crate) fn spelled(certificates: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for der in certificates {
        let base64 = STANDARD.encode(der);
        let lines = base64.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok());
        for line in std::iter::once(BEGIN).chain(lines).chain([END]) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn decode(base64: &str, index: usize) -> Result<Vec<u8>, EvidenceError> {
    STANDARD.decode(base64).map_err(|why| malformed(format!("certificate {index} is not base64: {why}")))
}

fn not_a_block(index: usize) -> EvidenceError {
    malformed(format!("certificate {index} is not a PEM block"))
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

    /// Another reader, which goes by lines, sees one certificate fewer in each of these.
    #[test]
    fn a_boundary_that_does_not_stand_alone_on_its_line_is_malformed() {
        let one = |before: &str, after: &str| format!("{BEGIN}{before}AQID{after}{END}\n");
        for glue in ["", " ", "\r", "\u{b}", "\u{c}", "\u{a0}", "\u{2028}"] {
            let blocks = format!("{BEGIN}\nAQID\n{END}{glue}{BEGIN}\nBAUG\n{END}\n");
            for bad in [blocks, one(glue, "\n"), one("\n", glue)] {
                assert_eq!(pem_certificates(bad.as_bytes()).unwrap_err().code(), "pem", "{bad:?}");
            }
        }
    }
}
