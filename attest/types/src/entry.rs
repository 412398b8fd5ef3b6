//! **Duty.** What a ledger consists of, as bytes. **Does not know** how heads are computed (`weighbridge-ledger`).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::codec::{Canonical, CodecError, Decoder, Encoder, framed};
use crate::digest::hex_text;
use crate::{Digest32, Domain, IntervalPublic, NodeKey, PoseidonDigest};

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature64(pub [u8; 64]);

/// What `head_0` commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainStart {
    /// The run.
    pub genesis: Digest32,
    /// The key that signs this chain.
    pub node_key: NodeKey,
    /// Digest of the node's device set.
    pub device_set: Digest32,
    /// Last *quoted* head of the chain this one continues after a reboot.
    pub predecessor: Option<PoseidonDigest>,
}

/// One interval in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Public facts.
    pub public: IntervalPublic,
    /// Commitment to the private reading.
    pub meter: PoseidonDigest,
    /// Ed25519 over [`entry_signing_bytes`].
    pub signature: Signature64,
}

/// What a node key signs for an entry: framed domain, genesis, index, head.
#[must_use]
pub fn entry_signing_bytes(genesis: Digest32, index: u64, head: PoseidonDigest) -> Vec<u8> {
    let mut out = Domain::Entry.encoder();
    out.put(&genesis).put(&index).put(&head);
    out.finish()
}

/// One node's chain as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLedger {
    /// Where it starts.
    pub start: ChainStart,
    /// Intervals, from index 1.
    pub entries: Vec<LedgerEntry>,
}

/// Intervals of one chain. 2²⁰ intervals of 60 s are two years.
pub const MAX_LEDGER_ENTRIES: usize = 1 << 20;

framed!(NodeLedger { start, entries[MAX_LEDGER_ENTRIES] });
framed!(LedgerEntry { public, meter, signature });

impl Canonical for ChainStart {
    fn encode(&self, out: &mut Encoder) {
        let Self { genesis, node_key, device_set, predecessor } = self;
        out.put(genesis).put(node_key).put(device_set).put(predecessor);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let start = Self {
            genesis: input.take()?,
            node_key: input.take()?,
            device_set: input.take()?,
            predecessor: input.take()?,
        };
        // `head_0` hashes zeros where there is no predecessor: a predecessor of zeros would be a second spelling of it.
        match start.predecessor {
            Some(head) if head == PoseidonDigest::default() => Err(CodecError::NotCanonical("predecessor")),
            _ => Ok(start),
        }
    }
}

impl Canonical for Signature64 {
    fn encode(&self, out: &mut Encoder) {
        out.raw(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.array()?))
    }
}

hex_text!(Signature64, |s: &Signature64| s.0, |b| Some(Signature64(b)));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_predecessor_has_one_spelling() {
        let start = |predecessor| ChainStart {
            genesis: Digest32([1; 32]),
            node_key: NodeKey([2; 32]),
            device_set: Digest32([3; 32]),
            predecessor,
        };
        for lawful in [None, PoseidonDigest::from_elements([0, 0, 0, 1])].map(start) {
            assert_eq!(ChainStart::from_bytes(&lawful.to_bytes()), Ok(lawful));
        }
        let zero = start(Some(PoseidonDigest::default()));
        assert_eq!(ChainStart::from_bytes(&zero.to_bytes()), Err(CodecError::NotCanonical("predecessor")));
    }
}
