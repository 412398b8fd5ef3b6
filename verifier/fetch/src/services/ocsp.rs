//! **Duty.** Questions about certificates in the form of RFC 6960, and the first look at an answer. **Does not know** whose
//! signature an answer needs: a scheme checks that. **Spec.** RFC 6960 §4.1, §4.2.1; RFC 9654 (nonce of 32 bytes).

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// AlgorithmIdentifier of SHA-1 with NULL: names of certificates, not a signature. NVIDIA's responder asks for it.
const SHA1: &[u8] = &[0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00];
/// id-pkix-ocsp-nonce.
const NONCE: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
/// [2] EXPLICIT of a TBSRequest: its extensions.
const EXTENSIONS: u8 = 0xa2;

/// A question about one certificate under its issuer, with a nonce.
pub(crate) fn request(certificate: &[u8], issuer: &[u8], nonce: [u8; 32]) -> Result<Vec<u8>, String> {
    let parse = |der| X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(|why| why.to_string());
    let (subject, issuer): (X509Certificate<'_>, X509Certificate<'_>) = (parse(certificate)?, parse(issuer)?);
    if subject.issuer().as_raw() != issuer.subject().as_raw() {
        return Err("the next certificate of the chain is not its issuer".to_owned());
    }
    let name = der(OCTETS, &sha1(issuer.subject().as_raw()));
    let key = der(OCTETS, &sha1(&issuer.public_key().subject_public_key.data));
    let serial = der(INTEGER, subject.raw_serial());
    let id = der(SEQUENCE, &[SHA1, &name, &key, &serial].concat());
    let list = der(SEQUENCE, &der(SEQUENCE, &id));
    let nonce = der(SEQUENCE, &[NONCE, &der(OCTETS, &der(OCTETS, &nonce))].concat());
    let extensions = der(EXTENSIONS, &der(SEQUENCE, &nonce));
    Ok(der(SEQUENCE, &der(SEQUENCE, &[list, extensions].concat())))
}

/// Whether an answer says anything: its first field is the responder's status.
pub(crate) fn check_answer(answer: &[u8]) -> Result<(), String> {
    let status = match answer {
        [SEQUENCE, 0x82, _, _, ENUMERATED, 1, status, ..]
        | [SEQUENCE, 0x81, _, ENUMERATED, 1, status, ..]
        | [SEQUENCE, _, ENUMERATED, 1, status, ..] => *status,
        _ => return Err("it is no OCSP response".to_owned()),
    };
    match status {
        0 => Ok(()),
        1 => Err("the responder calls the request malformed".to_owned()),
        2 => Err("the responder has a fault of its own".to_owned()),
        3 => Err("the responder asks to try later".to_owned()),
        6 => Err("the responder does not speak about this certificate (unauthorized)".to_owned()),
        other => Err(format!("the responder refuses with status {other}")),
    }
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(bytes);
    context.finish().as_ref().to_vec()
}

/// One DER value. Nothing here is longer than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
    let mut bytes = vec![tag];
    match (content.len(), digits.len()) {
        (..0x80, _) => bytes.push(digits.first().copied().unwrap_or(0)),
        (_, count) => {
            bytes.push(0x80 | u8::try_from(count).unwrap_or(8));
            bytes.extend(&digits);
        }
    }
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(check_answer(&[0x30, 3, 0x0a, 1, 0]), Ok(()));
        assert_eq!(check_answer(&[0x30, 0x82, 1, 0, 0x0a, 1, 0]), Ok(()));
        assert!(check_answer(&[0x30, 3, 0x0a, 1, 6]).unwrap_err().contains("unauthorized"));
        assert!(check_answer(&[0x30, 3, 0x0a, 1, 3]).unwrap_err().contains("later"));
        for wrong in [&b""[..], b"<html>", &[0x30, 0], &[0x30, 3, 0x02, 1, 0]] {
            assert_eq!(check_answer(wrong), Err("it is no OCSP response".to_owned()));
        }
    }

    #[test]
    fn what_is_no_certificate_makes_no_question() {
        assert!(request(b"junk", b"junk", [0; 32]).is_err());
    }
}
