//! **Duty.** DSSE envelopes: the bytes that are signed, and a strict reading of what carries them. **Knows** DSSE v1.
//! **Does not know** what is stated, nor whose key is good. **Spec.** DSSE protocol v1.0 (PAE), envelope v1.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::StatementError;
use super::keys::{SigningKey, VerifyingKey};
use crate::strict;

/// The one payload type that is written and read.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// A statement lists a run's checkpoints; ten thousand of them stay below.
pub(crate) const MAX_ENVELOPE_BYTES: u64 = 8 << 20;
/// Signatures of one envelope that are looked at.
const MAX_SIGNATURES: usize = 16;

/// The envelope as it stands in a file. DSSE lets readers ignore fields; an unknown one is refused here, because nobody
/// signed it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    #[serde(deserialize_with = "strict::objects_at_most::<MAX_SIGNATURES, _, _>")]
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    /// A hint that nobody signed: every signature is tried whatever it says.
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`.
pub(crate) fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// One signature over a payload, as a file.
pub(crate) fn seal(
    payload: &[u8],
    key: &SigningKey,
    random: &dyn ring::rand::SecureRandom,
) -> Result<String, StatementError> {
    let sig = key.sign(&pae(PAYLOAD_TYPE, payload), random)?;
    let signature = EnvelopeSignature { keyid: key.public().id(), sig: STANDARD.encode(sig) };
    let envelope = Envelope {
        payload: STANDARD.encode(payload),
        payload_type: PAYLOAD_TYPE.to_owned(),
        signatures: vec![signature],
    };
    let mut text = serde_json::to_string(&envelope).map_err(StatementError::Envelope)?;
    text.push('\n');
    Ok(text)
}

/// The payload, once one signature over it is by this key. Nothing of the payload is read before.
pub(crate) fn open(bytes: &[u8], key: &VerifyingKey) -> Result<Vec<u8>, StatementError> {
    let envelope: Envelope = strict::from_slice(bytes).map_err(StatementError::Envelope)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(StatementError::PayloadType(envelope.payload_type));
    }
    if envelope.signatures.is_empty() {
        return Err(StatementError::SignatureCount(envelope.signatures.len()));
    }
    let decoded = |text: &str| STANDARD.decode(text).map_err(StatementError::Base64);
    let payload = decoded(&envelope.payload)?;
    let signed = pae(PAYLOAD_TYPE, &payload);
    let mut good = false;
    for signature in &envelope.signatures {
        good |= key.verifies(&signed, &decoded(&signature.sig)?);
    }
    if good { Ok(payload) } else { Err(StatementError::Signature { key: key.id() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_bytes_are_those_of_the_dsse_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }
}
