//! **Duty.** The public key of a signer, and the one signature check. **Knows** PEM and three curves.
//! **Does not know** what is signed. **Spec.** RFC 5480 (SubjectPublicKeyInfo), RFC 7468 (PEM); the reference tool pairs
//! P-256 with SHA-256, P-384 with SHA-384 and P-521 with SHA-512.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p521::ecdsa::signature::Verifier as _;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm};
use weighbridge_attest_types::sha256;

use crate::oms::OmsError;

/// Longest key file: a P-521 key in PEM has 268 bytes; comments may stand before it.
pub(crate) const MAX_KEY_BYTES: u64 = 16 * 1024;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Characters of base64 on a line of PEM.
const LINE: usize = 64;

/// DER up to the point, and the bytes of an uncompressed point: no other encoding of such a key is in DER.
const P256: (&[u8], usize) =
    (b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00", 65);
const P384: (&[u8], usize) =
    (b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00", 97);
const P521: (&[u8], usize) =
    (b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00", 133);

/// A signer's key.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    curve: Curve,
    point: Vec<u8>,
    hint: String,
}

#[derive(Debug, Clone, Copy)]
enum Curve {
    P256,
    P384,
    P521,
}

impl PublicKey {
    /// Reads the first public key of a PEM file.
    ///
    /// # Errors
    /// [`OmsError::Key`].
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, OmsError> {
        let text = std::str::from_utf8(pem).map_err(|_| OmsError::Key)?;
        let (_, rest) = text.split_once(BEGIN).ok_or(OmsError::Key)?;
        let (body, _) = rest.split_once(END).ok_or(OmsError::Key)?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| OmsError::Key)?;
        let known = [(P256, Curve::P256), (P384, Curve::P384), (P521, Curve::P521)];
        let found = known.into_iter().find_map(|((head, length), curve)| {
            let point = der.strip_prefix(head).filter(|point| point.len() == length && point.first() == Some(&4))?;
            Some((curve, point.to_vec()))
        });
        let (curve, point) = found.ok_or(OmsError::Key)?;
        Ok(Self { curve, point, hint: hint(&der) })
    }

    /// SHA-256 of the key's PEM in hex: how a bundle names its key.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether these bytes are this key and nothing else: in DER, or in PEM as the tool writes it.
    pub(crate) fn is_written(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 <= MAX_KEY_BYTES && (hint(bytes) == self.hint || sha256(bytes).to_string() == self.hint)
    }

    /// Checks an ECDSA signature in DER.
    ///
    /// # Errors
    /// [`OmsError::Signature`].
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), OmsError> {
        let by_ring = |algorithm: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, &self.point).verify(message, signature).is_ok()
        };
        let holds = match self.curve {
            Curve::P256 => by_ring(&ECDSA_P256_SHA256_ASN1),
            Curve::P384 => by_ring(&ECDSA_P384_SHA384_ASN1),
            // ring has no P-521.
            Curve::P521 => verify_p521(&self.point, message, signature).is_some(),
        };
        if holds { Ok(()) } else { Err(OmsError::Signature) }
    }
}

fn verify_p521(point: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = p521::ecdsa::DerSignature::try_from(signature).ok()?;
    key.verify(message, &p521::ecdsa::Signature::try_from(signature).ok()?).ok()
}

/// The tool hashes the PEM that it writes itself, whatever the file looked like.
fn hint(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    for (place, letter) in body.chars().enumerate() {
        pem.push(letter);
        if place % LINE == LINE - 1 {
            pem.push('\n');
        }
    }
    if !pem.ends_with('\n') {
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    sha256(pem.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keys_and_encodings_are_refused() {
        let pem = |der: &[u8]| format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der));
        let refused = |text: &str| matches!(PublicKey::parse(text.as_bytes()), Err(OmsError::Key));
        let key = |(head, length): (&[u8], usize), first: u8| [head, &[first], &vec![7; length - 1]].concat();
        assert!(PublicKey::parse(pem(&key(P256, 4)).as_bytes()).is_ok());
        assert!(refused("") && refused(BEGIN) && refused(&format!("{BEGIN}!{END}")));
        assert!(refused(&pem(b"")));
        assert!(refused(&pem(&key(P256, 2))), "compressed");
        assert!(refused(&pem(&[key(P256, 4), vec![0]].concat())), "a byte more");
        assert!(refused(&pem(&key((P384.0, P256.1), 4))), "a point of another curve");
        assert!(PublicKey::parse(b"\xff").is_err());
    }
}
