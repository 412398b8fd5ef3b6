//! **Duty.** The run manifest, whose digest is the genesis of every chain. **Spec.** PROTOCOL §3 (RunManifest).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{Canonical, framed};
use crate::{
    Device, Digest32, Domain, EvidenceKind, MAX_INTERVAL_MILLIS, MIN_INTERVAL_MILLIS, NodeKey, PoseidonDigest, sha256,
};

/// What `audit_policy` says of a run that is not audited.
pub const NO_AUDIT: &str = "none";
const MAX_ROSTER: usize = 16_384;
const MAX_DEVICES: usize = 64;
const MAX_PROFILES: usize = 64;

/// A manifest that no run can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No node.
    #[error("the roster is empty")]
    EmptyRoster,
    /// One key or device in two places.
    #[error("roster: {0} appears twice")]
    Duplicate(&'static str),
    /// Interval out of range.
    #[error("interval of {0} ms; it must be {MIN_INTERVAL_MILLIS} to {MAX_INTERVAL_MILLIS} ms")]
    IntervalLength(u64),
    /// A text or list beyond what the encoding carries.
    #[error("a text or list of the manifest is over the caps of its encoding")]
    TooLarge,
    /// A policy that is neither absent nor a digest.
    #[error(
        "{0} is no SHA-256 in hex; an audited run names both of its policies by their digests, any other says `none`"
    )]
    Policy(&'static str),
    /// A spec commitment scheme that we have not learned.
    #[error("spec commitment scheme {0} is unknown; this build knows scheme 1")]
    SpecScheme(u8),
}

/// One accelerator of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterDevice {
    /// Its identity.
    pub device: Device,
    /// Evidence format it answers with.
    pub kind: EvidenceKind,
    /// Exact SKU as the operator names it: `declared`, never used to lower a bound.
    pub sku: String,
}

/// One node of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterRow {
    /// Its key.
    pub node_key: NodeKey,
    /// SHA-256 of the canonical evidence set that introduced the key.
    pub key_quote: Digest32,
    /// CPU TEE format.
    pub cpu_kind: EvidenceKind,
    /// CPU platform.
    pub cpu: Device,
    /// Accelerators, ascending by device.
    pub devices: Vec<RosterDevice>,
}

/// Commitment to the numeric spec and schedule that circuits can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecCommitment {
    /// 1 = Poseidon(domain, salt, pack7(canonical spec bytes)).
    pub scheme: u8,
    /// The commitment.
    pub digest: PoseidonDigest,
}

/// Both roots of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRoots {
    /// BLAKE3 root.
    pub fast_root: Digest32,
    /// Poseidon tile-tree root.
    pub algebraic_root: PoseidonDigest,
}

/// What a run is, said before it starts. The launcher posts the same manifest to every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// Provider's legal name.
    pub provider: String,
    /// Model id.
    pub model_id: String,
    /// Phase, such as `pre-training`.
    pub phase: String,
    /// Nodes.
    pub roster: Vec<RosterRow>,
    /// Numeric spec and schedule.
    pub spec: SpecCommitment,
    /// Root of the data set.
    pub dataset_root: Digest32,
    /// How batches are ordered.
    pub order_rule: String,
    /// Where training starts.
    pub initial_checkpoint: CheckpointRoots,
    /// Interval length in milliseconds.
    pub interval_millis: u64,
    /// Numeric policy: in words, or where the run is audited, its digest in hex.
    pub numeric_policy: String,
    /// Audit policy: its digest in hex, or `none`.
    pub audit_policy: String,
    /// Where sample randomness comes from.
    pub randomness_rule: String,
    /// Threshold profiles the run answers to.
    pub profiles: Vec<String>,
}

framed!(RosterDevice { device, kind, sku });
framed!(RosterRow { node_key, key_quote, cpu_kind, cpu, devices[MAX_DEVICES] });
framed!(SpecCommitment { scheme, digest });
framed!(CheckpointRoots { fast_root, algebraic_root });
framed!(RunManifest {
    provider,
    model_id,
    phase,
    roster[MAX_ROSTER],
    spec,
    dataset_root,
    order_rule,
    initial_checkpoint,
    interval_millis,
    numeric_policy,
    audit_policy,
    randomness_rule,
    profiles[MAX_PROFILES],
});

impl RosterRow {
    /// Devices of the row, CPU platform included: the set that `head_0` commits to.
    #[must_use]
    pub fn device_set(&self) -> Vec<Device> {
        let accelerators = self.devices.iter().map(|row| row.device);
        std::iter::once(self.cpu).chain(accelerators).collect()
    }
}

impl RunManifest {
    /// SHA-256(framed domain ‖ canonical bytes).
    #[must_use]
    pub fn genesis(&self) -> Digest32 {
        let mut out = Domain::Genesis.encoder();
        out.put(self);
        sha256(&out.finish())
    }

    /// Digest of the audit policy; `None` where the run is not audited.
    #[must_use]
    pub fn audit(&self) -> Option<Digest32> {
        digest_of(&self.audit_policy)
    }

    /// Digest of the numeric policy, where it is named by one.
    #[must_use]
    pub fn numeric(&self) -> Option<Digest32> {
        digest_of(&self.numeric_policy)
    }

    /// Whether the manifest makes sense by itself: every key and device once, lengths in range.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.roster.is_empty() {
            return Err(ManifestError::EmptyRoster);
        }
        if !(MIN_INTERVAL_MILLIS..=MAX_INTERVAL_MILLIS).contains(&self.interval_millis) {
            return Err(ManifestError::IntervalLength(self.interval_millis));
        }
        if self.spec.scheme != 1 {
            return Err(ManifestError::SpecScheme(self.spec.scheme));
        }
        if self.audit_policy != NO_AUDIT && self.audit().is_none() {
            return Err(ManifestError::Policy("the audit policy"));
        }
        if self.audit().is_some() && self.numeric().is_none() {
            return Err(ManifestError::Policy("the numeric policy"));
        }
        // What cannot be read back must not start a run.
        if Self::from_bytes(&self.to_bytes()).as_ref() != Ok(self) {
            return Err(ManifestError::TooLarge);
        }
        let distinct = |mut items: Vec<Digest32>, what| {
            items.sort_unstable();
            if items.windows(2).any(|pair| pair.first() == pair.last()) {
                Err(ManifestError::Duplicate(what))
            } else {
                Ok(())
            }
        };
        distinct(self.roster.iter().map(|row| Digest32(row.node_key.0)).collect(), "a node key")?;
        distinct(self.roster.iter().flat_map(RosterRow::device_set).map(|device| device.0).collect(), "a device")
    }
}

/// 64 lowercase hex digits.
fn digest_of(text: &str) -> Option<Digest32> {
    let digest = Digest32(hex::decode(text).ok()?.try_into().ok()?);
    (hex::encode(digest.0) == text).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> RunManifest {
        let row = RosterRow {
            node_key: NodeKey([1; 32]),
            key_quote: Digest32([2; 32]),
            cpu_kind: EvidenceKind::new(EvidenceKind::TDX),
            cpu: Device(Digest32([3; 32])),
            devices: Vec::new(),
        };
        let roots = CheckpointRoots { fast_root: Digest32([4; 32]), algebraic_root: PoseidonDigest::default() };
        RunManifest {
            provider: "provider".to_owned(),
            model_id: "model".to_owned(),
            phase: "pre-training".to_owned(),
            roster: vec![row],
            spec: SpecCommitment { scheme: 1, digest: PoseidonDigest::default() },
            dataset_root: Digest32([5; 32]),
            order_rule: "sequential".to_owned(),
            initial_checkpoint: roots,
            interval_millis: 60_000,
            numeric_policy: "none".to_owned(),
            audit_policy: "none".to_owned(),
            randomness_rule: "none".to_owned(),
            profiles: vec!["demo".to_owned()],
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_read_back_is_refused_before_a_run_starts() {
        assert_eq!(manifest().check(), Ok(()));
        let most = RunManifest { profiles: vec!["demo".to_owned(); MAX_PROFILES], ..manifest() };
        assert_eq!(most.check(), Ok(()));
        let many = RunManifest { profiles: vec!["demo".to_owned(); MAX_PROFILES + 1], ..manifest() };
        assert_eq!(many.check(), Err(ManifestError::TooLarge));
        let long = RunManifest { order_rule: "x".repeat(crate::MAX_FIELD_BYTES + 1), ..manifest() };
        assert_eq!(long.check(), Err(ManifestError::TooLarge));
    }

    #[test]
    fn a_manifest_that_makes_no_sense_says_why() {
        let refused = |change: fn(&mut RunManifest)| {
            let mut changed = manifest();
            change(&mut changed);
            changed.check().unwrap_err()
        };
        assert_eq!(refused(|manifest| manifest.roster.clear()), ManifestError::EmptyRoster);
        assert_eq!(refused(|manifest| manifest.interval_millis = 999), ManifestError::IntervalLength(999));
        assert_eq!(refused(|manifest| manifest.spec.scheme = 2), ManifestError::SpecScheme(2));
        let policy = |what: &'static str| ManifestError::Policy(what);
        for audit in ["", "None", "ab", &"AB".repeat(32)] {
            let changed = RunManifest { audit_policy: audit.to_owned(), ..manifest() };
            assert_eq!(changed.check(), Err(policy("the audit policy")), "{audit}");
        }
        let audited = RunManifest { audit_policy: "ab".repeat(32), ..manifest() };
        assert_eq!(audited.check(), Err(policy("the numeric policy")));
        let whole = RunManifest { numeric_policy: "cd".repeat(32), ..audited };
        assert_eq!((whole.check(), whole.audit()), (Ok(()), Some(Digest32([0xab; 32]))));
        let twice = |manifest: &mut RunManifest| manifest.roster.extend(manifest.roster.clone());
        assert_eq!(refused(twice), ManifestError::Duplicate("a node key"));
    }
}
