//! **Duty.** Freshness from outside: the challenge inside a quote, and the tokens that bracket time.
//! **Does not know** whether a signature holds; that is appraisal's. **Spec.** PROTOCOL §3 (time bracket).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{Canonical, CodecError, Decoder, Encoder, framed};
use crate::{Digest32, Domain, PoseidonDigest, Signature64, UnixMillis, sha256};

/// What a quote answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", content = "bytes", rename_all = "kebab-case")]
pub enum Challenge {
    /// A Verifier's nonce.
    VerifierNonce(Digest32),
    /// A public randomness beacon's round output.
    BeaconRound(Digest32),
    /// Nothing: the quote is not fresh against anybody.
    #[default]
    None,
}

impl Canonical for Challenge {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::VerifierNonce(bytes) => out.raw(&[0]).field(&bytes.0),
            Self::BeaconRound(bytes) => out.raw(&[1]).field(&bytes.0),
            Self::None => out.raw(&[2]).field(&[]),
        };
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let kind: u8 = input.take()?;
        let bytes = input.field()?;
        let digest =
            |bytes: &[u8]| bytes.try_into().map(Digest32).map_err(|_| CodecError::NotCanonical("challenge bytes"));
        match kind {
            0 => Ok(Self::VerifierNonce(digest(bytes)?)),
            1 => Ok(Self::BeaconRound(digest(bytes)?)),
            2 if bytes.is_empty() => Ok(Self::None),
            _ => Err(CodecError::NotCanonical("challenge")),
        }
    }
}

/// *Not before*: an authority's fresh nonce with the time at which it was first told to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedNonce {
    /// Ed25519 key of the authority.
    pub authority: Digest32,
    /// When the nonce was made.
    pub issued: UnixMillis,
    /// 32 random bytes.
    pub nonce: Digest32,
    /// Ed25519 over [`SignedNonce::signing_bytes`].
    pub signature: Signature64,
}

/// *Not after*: an authority's word that it saw a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// Ed25519 key of the authority.
    pub authority: Digest32,
    /// When the head arrived.
    pub received: UnixMillis,
    /// Digest of the node key whose chain this is.
    pub node_key_digest: Digest32,
    /// Index of the head.
    pub index: u64,
    /// The head.
    pub head: PoseidonDigest,
    /// Ed25519 over [`SignedReceipt::signing_bytes`].
    pub signature: Signature64,
}

/// Longest answer of a timestamp authority that is read. Public ones send 3 to 8 KiB, with all certificates.
pub const MAX_TIMESTAMP_BYTES: usize = 32 * 1024;

/// An RFC 3161 answer as its authority sent it: one DER SEQUENCE of a bounded length, and nothing else is known of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimestampResponse(Vec<u8>);

impl TimestampResponse {
    /// Takes the bytes.
    ///
    /// # Errors
    /// [`CodecError`]: longer than [`MAX_TIMESTAMP_BYTES`], or not one SEQUENCE.
    pub fn new(bytes: Vec<u8>) -> Result<Self, CodecError> {
        if bytes.len() > MAX_TIMESTAMP_BYTES {
            let (found, cap) = (bytes.len() as u64, MAX_TIMESTAMP_BYTES as u64);
            return Err(CodecError::TooLong { what: "timestamp", found, cap });
        }
        let length = match bytes.as_slice() {
            [0x30, 0x82, high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest.len()),
            [0x30, 0x81, length, rest @ ..] => (u16::from(*length), rest.len()),
            [0x30, length @ ..=0x7f, rest @ ..] => (u16::from(*length), rest.len()),
            _ => return Err(CodecError::NotCanonical("timestamp")),
        };
        if usize::from(length.0) == length.1 { Ok(Self(bytes)) } else { Err(CodecError::NotCanonical("timestamp")) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it holds these 32 bytes in a row: a token over an imprint does.
    #[must_use]
    pub fn mentions(&self, imprint: Digest32) -> bool {
        self.0.windows(imprint.0.len()).any(|window| window == imprint.0)
    }
}

impl fmt::Debug for TimestampResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimestampResponse({} bytes)", self.0.len())
    }
}

impl From<TimestampResponse> for String {
    fn from(response: TimestampResponse) -> Self {
        hex::encode(response.0)
    }
}

impl TryFrom<String> for TimestampResponse {
    type Error = CodecError;

    fn try_from(text: String) -> Result<Self, CodecError> {
        Self::new(hex::decode(text).map_err(|_| CodecError::NotCanonical("timestamp"))?)
    }
}

/// The `TimeStampReq` for an imprint, with a wish for certificates and without a nonce: what any RFC 3161 authority takes.
#[must_use]
pub fn timestamp_query(imprint: Digest32) -> Vec<u8> {
    // SEQUENCE { version 1, { { SHA-256, NULL }, imprint }, certReq TRUE }
    const BEFORE: [u8; 24] = [
        0x30, 0x39, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
        0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
    ];
    [&BEFORE[..], &imprint.0, &[0x01, 0x01, 0xff]].concat()
}

/// *Not after*, by an RFC 3161 timestamp: the message imprint over a head. SHA-256 of framed domain, node key digest,
/// index, head; the token itself says the time, and the head holds the run's genesis.
#[must_use]
pub fn timestamp_imprint(node_key_digest: Digest32, index: u64, head: PoseidonDigest) -> Digest32 {
    let mut out = Domain::TimeStamp.encoder();
    out.put(&node_key_digest).put(&index).put(&head);
    sha256(&out.finish())
}

impl SignedNonce {
    /// What the authority signs: framed domain, time, nonce.
    #[must_use]
    pub fn signing_bytes(issued: UnixMillis, nonce: Digest32) -> Vec<u8> {
        let mut out = Domain::TimeNonce.encoder();
        out.put(&issued).put(&nonce);
        out.finish()
    }
}

impl SignedReceipt {
    /// What the authority signs: framed domain, time, node key digest, index, head.
    #[must_use]
    pub fn signing_bytes(received: UnixMillis, node_key_digest: Digest32, index: u64, head: PoseidonDigest) -> Vec<u8> {
        let mut out = Domain::TimeReceipt.encoder();
        out.put(&received).put(&node_key_digest).put(&index).put(&head);
        out.finish()
    }
}

framed!(SignedNonce { authority, issued, nonce, signature });
framed!(SignedReceipt { authority, received, node_key_digest, index, head, signature });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_answer_is_one_whole_sequence_of_bounded_length() {
        let refused = Err(CodecError::NotCanonical("timestamp"));
        for bytes in [vec![], vec![0x30], vec![0x30, 1], vec![0x31, 0], vec![0x30, 0, 0], vec![0x30, 0x80, 0, 0]] {
            assert_eq!(TimestampResponse::new(bytes), refused);
        }
        let long = vec![0x30; MAX_TIMESTAMP_BYTES + 1];
        assert!(matches!(TimestampResponse::new(long), Err(CodecError::TooLong { what: "timestamp", .. })));
        for (header, length) in [(vec![0x30, 3], 3), (vec![0x30, 0x81, 200], 200), (vec![0x30, 0x82, 1, 2], 258)] {
            let answer = TimestampResponse::new([header, vec![7; length]].concat()).unwrap();
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<TimestampResponse>(&text).unwrap(), answer);
            assert_eq!(answer.mentions(Digest32([7; 32])), length >= 32);
            assert!(!answer.mentions(Digest32([8; 32])));
        }
        assert!(serde_json::from_str::<TimestampResponse>("\"3g00\"").is_err());
    }

    #[test]
    fn a_query_is_what_openssl_writes() {
        // openssl ts -query -digest … -sha256 -no_nonce -cert
        let expected = "30390201013031300d060960864801650304020105000420\
                        5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be030101ff";
        let imprint = crate::sha256(b"hello\n");
        assert_eq!(hex::encode(timestamp_query(imprint)), expected);
    }
}
