//! **Duty.** Evidence and endorsements as files: read under a cap, told apart by content, brought from hex, base64, PEM and
//! lists into the bytes that schemes read. **Knows** encodings. **Does not know** what evidence says.
//! **Spec.** PROTOCOL §8 (`appraise`), EVIDENCE §0 rule 5.

mod error;
mod files;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use weighbridge_attest::{canonical_slice, kinds, pem_certificates};
use weighbridge_attest_types::EvidenceKind;

pub use error::EvidenceFileError;
pub(crate) use files::{EndorsementFiles, read_endorsements, read_evidence, read_set};

/// Base64 as people paste it: with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const PEM: &str = "-----BEGIN ";
/// Pieces in one file. Source: accelerators of one node, as `MAX_EVIDENCE`.
const MAX_LISTED: usize = 64;

/// What one file of evidence holds.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    /// One quote or report.
    Piece(Vec<u8>),
    /// A device's certificate chain, DER, leaf first.
    Chain(Vec<Vec<u8>>),
    /// Several reports, each with its chain.
    Listed(Vec<(Vec<u8>, Vec<Vec<u8>>)>),
}

/// One line of the list that NVIDIA's own tools write.
#[derive(Deserialize)]
struct Listed {
    evidence: String,
    certificate: String,
}

/// Brings a file into bytes. Binary stays as it is: a quote or report always has bytes that no text has.
fn content(bytes: Vec<u8>) -> Result<Content, EvidenceFileError> {
    if bytes.is_empty() {
        return Err(EvidenceFileError::Empty);
    }
    let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if !is_text {
        return Ok(Content::Piece(bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    match text.trim_start() {
        "" => Err(EvidenceFileError::Empty),
        pem if pem.starts_with(PEM) => chain(&bytes),
        json if json.starts_with('[') => listed(json),
        json if json.starts_with('{') => Err(EvidenceFileError::Json),
        other => decoded(other).map(Content::Piece),
    }
}

fn chain(pem: &[u8]) -> Result<Content, EvidenceFileError> {
    match pem_certificates(pem) {
        Ok(ders) => Ok(Content::Chain(ders)),
        Err(source) => Err(EvidenceFileError::Pem(source)),
    }
}

/// Hex first: whatever is hex is base64 too, and nobody pastes that.
fn decoded(text: &str) -> Result<Vec<u8>, EvidenceFileError> {
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return hex::decode(digits).map_err(|_| EvidenceFileError::OddHex);
    }
    STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)).map_err(|_| EvidenceFileError::Text)
}

fn listed(json: &str) -> Result<Content, EvidenceFileError> {
    let list: Vec<Listed> = serde_json::from_str(json).map_err(|_| EvidenceFileError::Json)?;
    if list.is_empty() || list.len() > MAX_LISTED {
        return Err(EvidenceFileError::Count { found: list.len(), most: MAX_LISTED });
    }
    let read = |item: Listed| {
        let certificate = decoded(&item.certificate)?;
        match chain(&certificate)? {
            Content::Chain(ders) => Ok((decoded(&item.evidence)?, ders)),
            Content::Piece(_) | Content::Listed(_) => Err(EvidenceFileError::Json),
        }
    };
    list.into_iter().map(read).collect::<Result<_, _>>().map(Content::Listed)
}

/// The kinds as which bytes would parse: a hint for somebody who named another.
pub(crate) fn parses_as(bytes: &[u8]) -> Vec<&'static str> {
    kinds().filter(|kind| canonical_slice(&EvidenceKind::new(kind), bytes).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose;

    const PEM_OF_ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

    fn of(text: impl AsRef<[u8]>) -> Result<Content, &'static str> {
        content(text.as_ref().to_vec()).map_err(|error| error.code())
    }

    #[test]
    fn raw_hex_and_base64_give_the_same_bytes() {
        let raw: Vec<u8> = (0..=255).collect();
        let piece = Ok(Content::Piece(raw.clone()));
        let (hex, base64) = (hex::encode(&raw), general_purpose::STANDARD.encode(&raw));
        let lines =
            |text: &str| text.as_bytes().chunks(64).map(|line| [line, b"\r\n"].concat()).collect::<Vec<_>>().concat();
        assert_eq!(of(&raw), piece);
        for text in [hex.clone(), hex.to_uppercase(), format!("0x{hex}\n"), base64.clone()] {
            assert_eq!(of(&text), piece, "{text}");
            assert_eq!(of(lines(&text)), piece, "{text}");
        }
        assert_eq!(of(general_purpose::STANDARD_NO_PAD.encode(&raw)), piece);
        assert_eq!(of(general_purpose::URL_SAFE.encode(&raw)), piece);
        assert_eq!(of(general_purpose::URL_SAFE_NO_PAD.encode(&raw)), piece);
    }

    #[test]
    fn what_is_nothing_of_it_is_refused_by_name() {
        for (text, code) in [
            ("", "evidence-empty"),
            (" \n\t", "evidence-empty"),
            ("abc", "evidence-encoding"),
            ("no evidence at all!", "evidence-encoding"),
            ("{\"quote\": \"00\"}", "evidence-json"),
            ("[]", "evidence-count"),
            ("[{\"evidence\": \"00\"}]", "evidence-json"),
            ("-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n", "evidence-pem"),
        ] {
            assert_eq!(of(text), Err(code), "{text}");
        }
    }

    #[test]
    fn a_chain_and_a_list_are_told_apart_from_evidence() {
        assert_eq!(of(PEM_OF_ONE), Ok(Content::Chain(vec![vec![1, 2, 3]])));
        let base64 = general_purpose::STANDARD.encode(PEM_OF_ONE);
        let list = format!("[{{\"arch\": \"HOPPER\", \"evidence\": \"BAUG\", \"certificate\": \"{base64}\"}}]");
        assert_eq!(of(list), Ok(Content::Listed(vec![(vec![4, 5, 6], vec![vec![1, 2, 3]])])));
        let many = format!("[{}]", vec!["{\"evidence\": \"00\", \"certificate\": \"00\"}"; MAX_LISTED + 1].join(","));
        assert_eq!(of(many), Err("evidence-count"));
    }
}
