//! **Duty.** A round of a public randomness beacon (drand) as *not before*: what nobody knew before its time.
//! **Knows** the lengths of compressed BLS12-381 points. **Does not know** whether a signature holds, or whose chain it
//! is; that is appraisal's. **Spec.** PROTOCOL §3 (time bracket); drand, "Security Model" and `/public/{round}`.

use serde::{Deserialize, Serialize};

use crate::codec::{Canonical, CodecError, Decoder, Encoder};
use crate::{Digest32, sha256};

/// A compressed point of G1 and of G2, in bytes.
const POINTS: [usize; 2] = [48, 96];
/// The first round of a chained beacon follows the 32-byte seed of its group.
const GROUP_SEED: usize = 32;
/// Of the three flags of a compressed point: it is compressed, and it is not the point at infinity.
const FLAGS: u8 = 0xc0;
const COMPRESSED: u8 = 0x80;

/// One beacon round. There is no value of another shape: lengths, point flags and the round number hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BeaconText", into = "BeaconText")]
pub struct BeaconToken {
    chain: Digest32,
    round: u64,
    previous: Vec<u8>,
    signature: Vec<u8>,
}

impl BeaconToken {
    /// A round of a chain; `previous` is empty where rounds are not chained.
    ///
    /// # Errors
    /// [`CodecError::NotCanonical`]: round 0, or bytes that no round has.
    pub fn new(chain: Digest32, round: u64, previous: Vec<u8>, signature: Vec<u8>) -> Result<Self, CodecError> {
        if round == 0 {
            return Err(CodecError::NotCanonical("beacon round"));
        }
        if !is_point(&signature) {
            return Err(CodecError::NotCanonical("beacon signature"));
        }
        if !(previous.is_empty() || previous.len() == GROUP_SEED || is_point(&previous)) {
            return Err(CodecError::NotCanonical("previous beacon signature"));
        }
        Ok(Self { chain, round, previous, signature })
    }

    /// Hash of the chain's parameters.
    #[must_use]
    pub const fn chain(&self) -> Digest32 {
        self.chain
    }

    /// Its number, from 1.
    #[must_use]
    pub const fn round(&self) -> u64 {
        self.round
    }

    /// Signature of the round before; empty where rounds are not chained.
    #[must_use]
    pub fn previous(&self) -> &[u8] {
        &self.previous
    }

    /// The round's signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// What a quote answers: SHA-256 of the signature, as drand defines it.
    #[must_use]
    pub fn randomness(&self) -> Digest32 {
        sha256(&self.signature)
    }
}

/// A compressed point that is not at infinity. Whether it lies on the curve is a matter for those who know curves.
fn is_point(bytes: &[u8]) -> bool {
    POINTS.contains(&bytes.len()) && bytes.first().is_some_and(|first| first & FLAGS == COMPRESSED)
}

impl Canonical for BeaconToken {
    fn encode(&self, out: &mut Encoder) {
        let Self { chain, round, previous, signature } = self;
        out.put(chain).put(round).put(previous).put(signature);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Self::new(input.take()?, input.take()?, input.take()?, input.take()?)
    }
}

/// The same in JSON: points in hex.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeaconText {
    chain_hash: Digest32,
    round: u64,
    previous_signature: String,
    signature: String,
}

impl From<BeaconToken> for BeaconText {
    fn from(token: BeaconToken) -> Self {
        let BeaconToken { chain, round, previous, signature } = token;
        let (previous_signature, signature) = (hex::encode(previous), hex::encode(signature));
        Self { chain_hash: chain, round, previous_signature, signature }
    }
}

impl TryFrom<BeaconText> for BeaconToken {
    type Error = CodecError;

    fn try_from(text: BeaconText) -> Result<Self, CodecError> {
        let BeaconText { chain_hash, round, previous_signature, signature } = text;
        let bytes = |text: &str, what| hex::decode(text).map_err(|_| CodecError::NotCanonical(what));
        let previous = bytes(&previous_signature, "previous beacon signature")?;
        Self::new(chain_hash, round, previous, bytes(&signature, "beacon signature")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(length: usize, flags: u8) -> Vec<u8> {
        let mut bytes = vec![1; length];
        bytes[0] = flags;
        bytes
    }

    fn token(round: u64, previous: Vec<u8>, signature: Vec<u8>) -> Result<BeaconToken, CodecError> {
        BeaconToken::new(Digest32([3; 32]), round, previous, signature)
    }

    #[test]
    fn only_rounds_of_the_right_shape_exist() {
        for (length, previous) in [(48, vec![]), (96, point(96, 0xa0)), (96, vec![0; 32])] {
            let token = token(7, previous, point(length, 0x80)).unwrap();
            assert_eq!(BeaconToken::from_bytes(&token.to_bytes()), Ok(token.clone()));
            let text = serde_json::to_string(&token).unwrap();
            assert_eq!(serde_json::from_str::<BeaconToken>(&text).unwrap(), token);
        }
        let refused = |what| Err(CodecError::NotCanonical(what));
        assert_eq!(token(0, vec![], point(48, 0x80)), refused("beacon round"));
        // Infinity, an uncompressed point, an over-long and an empty one.
        for signature in [point(48, 0xc0), point(96, 0x00), point(49, 0x80), vec![]] {
            assert_eq!(token(1, vec![], signature), refused("beacon signature"));
        }
        for previous in [point(96, 0xc0), vec![0; 31], point(97, 0x80)] {
            assert_eq!(token(1, previous, point(96, 0x80)), refused("previous beacon signature"));
        }
    }

    #[test]
    fn the_text_form_refuses_what_the_bytes_refuse() {
        let text = serde_json::to_string(&token(7, vec![], point(48, 0x80)).unwrap()).unwrap();
        for (from, to) in [("\"round\":7", "\"round\":0"), ("800101", "c00101"), ("800101", "80010101"), ("80", "8g")] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(serde_json::from_str::<BeaconToken>(&changed).is_err(), "{changed}");
        }
    }
}
