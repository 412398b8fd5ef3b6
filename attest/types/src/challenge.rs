//! **Duty.** Freshness from outside: the challenge inside a quote, and the tokens that bracket time.
//! **Does not know** whether a signature holds; that is appraisal's. **Spec.** PROTOCOL §3 (time bracket).

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
