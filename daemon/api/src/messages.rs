//! **Duty.** One type per message. Unknown fields are refused, so that a misspelt field is an answer and not silence.
//! What a training job reports is a *claim*; nothing here converts to evidence. **Spec.** TRAINING §5.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use weighbridge_attest_types::{
    BeaconToken, Challenge, Device, Digest32, EvidenceKind, Flops, NodeKey, PoseidonDigest, RunManifest, SignedNonce,
    SignedReceipt, TimestampResponse,
};

/// Where a node stands. A node key has one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// No run yet.
    Waiting,
    /// In a run.
    Running,
    /// The run is over; its last head is sealed.
    Ended,
}

/// A head and its place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadInfo {
    /// Index; 0 before the first interval is sealed.
    pub index: u64,
    /// The head.
    pub head: PoseidonDigest,
}

/// One accelerator of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDevice {
    /// Identity.
    pub device: Device,
    /// Evidence format.
    pub kind: EvidenceKind,
    /// Product name as the driver gives it.
    pub name: String,
}

/// All that is public about a node: what a launcher needs for a roster row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeInfo {
    /// The key that signs this node's chain.
    pub node_key: NodeKey,
    /// Where it stands.
    pub state: NodeState,
    /// Evidence format of the CPU TEE.
    pub cpu_kind: EvidenceKind,
    /// CPU platform.
    pub cpu: Device,
    /// Accelerators, ascending by device.
    pub devices: Vec<NodeDevice>,
    /// SHA-256 of the canonical evidence set that introduced the key; absent until a nonce was posted.
    pub key_quote: Option<Digest32>,
    /// The run.
    pub genesis: Option<Digest32>,
    /// Last sealed head.
    pub head: Option<HeadInfo>,
}

/// What a quote is to answer, so that it cannot be older. In JSON an object with exactly one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeRequest {
    /// A time authority's nonce, as signed.
    Nonce(SignedNonce),
    /// A round of a public randomness beacon.
    Beacon(BeaconToken),
}

impl ChallengeRequest {
    /// What goes into the quote.
    #[must_use]
    pub fn challenge(&self) -> Challenge {
        match self {
            Self::Nonce(token) => Challenge::VerifierNonce(token.nonce),
            Self::Beacon(token) => Challenge::BeaconRound(token.randomness()),
        }
    }
}

/// Starts the run; every node gets the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStartRequest {
    /// The manifest.
    pub manifest: RunManifest,
}

/// The chain is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// Digest of the manifest.
    pub genesis: Digest32,
    /// `head_0` of this node's chain.
    pub head: PoseidonDigest,
}

/// An optimizer step was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepReport {
    /// Attempt (restart) number.
    pub attempt: u16,
    /// Optimizer step.
    pub step: u64,
}

/// A work unit was completed. Its key must be greater than the last one's; the last one may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkUnitReport {
    /// Attempt (restart) number.
    pub attempt: u16,
    /// Optimizer step.
    pub step: u64,
    /// Rank.
    pub rank: u32,
    /// Micro-batch of the step.
    pub micro_batch: u16,
    /// Declared FLOP, as a decimal string.
    pub flop: Flops,
}

/// The job lost reports of its own: its queue was full, or the daemon was away for longer than its spool reaches. The
/// interval that is open is marked as a gap. A repetition (same attempt, rank and last step) changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapReport {
    /// Attempt (restart) number.
    pub attempt: u16,
    /// Rank.
    pub rank: u32,
    /// First step of which a report was lost.
    pub first_step: u64,
    /// Last step of which a report was lost.
    pub last_step: u64,
    /// How many reports.
    pub lost: u64,
}

/// The daemon holds it durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// `false` for a repetition of what was acknowledged before.
    pub counted: bool,
}

/// A checkpoint was written; the daemon reads and hashes the files itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRequest {
    /// Attempt (restart) number.
    pub attempt: u16,
    /// Optimizer step after which it was written.
    pub step: u64,
    /// Absolute paths of its safetensors files.
    pub files: Vec<PathBuf>,
}

/// A window of an audit was closed: work whose tree nothing can change any more. Indices count from 0 under each node key;
/// the last window may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowReport {
    /// Position among the windows of this node key.
    pub index: u64,
    /// Salted root of its tree.
    pub root: PoseidonDigest,
}

/// Ends the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRequest {}

/// The last head, for a time authority's receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnded {
    /// Index of the last head.
    pub index: u64,
    /// The last head; it is quoted.
    pub head: PoseidonDigest,
    /// Digest of the node key.
    pub node_key_digest: Digest32,
}

/// Somebody else's word that it saw the last head. In JSON an object with exactly one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptRequest {
    /// A time authority's receipt, as signed.
    Receipt(SignedReceipt),
    /// The answer of an RFC 3161 timestamp authority, in hex.
    Timestamp(TimestampResponse),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_unit_spells_its_flop_as_a_string_and_no_other_field() {
        let unit = WorkUnitReport { attempt: 0, step: 3, rank: 1, micro_batch: 2, flop: Flops(1 << 70) };
        let text = serde_json::to_string(&unit).unwrap();
        assert_eq!(text, r#"{"attempt":0,"step":3,"rank":1,"micro_batch":2,"flop":"1180591620717411303424"}"#);
        assert_eq!(serde_json::from_str::<WorkUnitReport>(&text).unwrap(), unit);
        let misspelt = text.replace("micro_batch", "microbatch");
        let error = serde_json::from_str::<WorkUnitReport>(&misspelt).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `microbatch`, expected one of"), "{error}");
    }

    #[test]
    fn an_empty_end_takes_no_fields() {
        assert_eq!(serde_json::from_str::<EndRequest>("{}").unwrap(), EndRequest {});
        assert!(serde_json::from_str::<EndRequest>(r#"{"force":true}"#).is_err());
    }
}
