//! **Duty.** Who and what is weighed: devices and node keys. **Does not know** certificates; schemes read stable ids.

use serde::{Deserialize, Serialize};

use crate::codec::{Canonical, CodecError, Decoder, Encoder};
use crate::digest::hex_text;
use crate::{Digest32, Domain, EvidenceKind, sha256};

/// A device by its vendor's stable id: SHA-256(framed domain, kind, stable id). Not a leaf certificate: those change
/// with firmware. GPU: PDI of its BROM certificate; TDX: PPID; SNP: product and chip id (PROTOCOL §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Device(pub Digest32);

/// A node's Ed25519 public key, made inside the confidential VM at boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub [u8; 32]);

impl Device {
    /// Derives the identity.
    #[must_use]
    pub fn derive(kind: &EvidenceKind, stable_id: &[u8]) -> Self {
        let mut out = Domain::Device.encoder();
        out.put(kind).field(stable_id);
        Self(sha256(&out.finish()))
    }
}

impl NodeKey {
    /// SHA-256 of the 32 raw key bytes: what heads and bindings carry.
    #[must_use]
    pub fn digest(self) -> Digest32 {
        sha256(&self.0)
    }
}

/// SHA-256(framed domain, count, devices in ascending order). The caller passes a set; order does not matter.
#[must_use]
pub fn device_set_digest(devices: &[Device]) -> Digest32 {
    let mut sorted = devices.to_vec();
    sorted.sort_unstable();
    let mut out = Domain::DeviceSet.encoder();
    crate::codec::put_list(&mut out, &sorted);
    sha256(&out.finish())
}

hex_text!(NodeKey, |k: &NodeKey| k.0, |b| Some(NodeKey(b)));
use std::fmt;

use serde::{Deserializer, Serializer, de::Error as _};

impl Canonical for Device {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.take()?))
    }
}

impl Canonical for NodeKey {
    fn encode(&self, out: &mut Encoder) {
        out.raw(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.array()?))
    }
}
