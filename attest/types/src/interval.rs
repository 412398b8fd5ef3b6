//! **Duty.** The public facts of one interval. Every second of a device's life on the node is accounted for.
//! **Does not know** readings (private) or heads (ledger). **Spec.** PROTOCOL §3 (Interval).

use serde::{Deserialize, Serialize};

use crate::codec::framed;
use crate::{Device, DeviceMillis, Digest32, Domain, PoseidonDigest, Presence, UnixMillis, sha256};

/// Shortest interval, in milliseconds.
pub const MIN_INTERVAL_MILLIS: u64 = 1_000;
/// Longest interval, in milliseconds; only an interval that is all gap may be longer.
pub const MAX_INTERVAL_MILLIS: u64 = 600_000;
const MAX_DEVICES: usize = 64;
const MAX_CHECKPOINTS: usize = 1_024;
const MAX_FILES: usize = 8_192;
/// Windows that one interval can hold: one for each of the most ranks of a node.
const MAX_WINDOWS: usize = 1_024;

/// How one device spent an interval. The four add up to the interval's length on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTime {
    /// Which device.
    pub device: Device,
    /// In the run.
    pub run: DeviceMillis,
    /// At other work.
    pub other: DeviceMillis,
    /// Idle.
    pub idle: DeviceMillis,
    /// Unaccounted for: daemon down, machine suspended.
    pub gap: DeviceMillis,
}

/// One file of a checkpoint as it lay on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// File name without folders.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Digest32,
}

/// A checkpoint that appeared in an interval, hashed by the daemon itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCommitment {
    /// Attempt (restart) number.
    pub attempt: u16,
    /// Optimizer step after which it was written.
    pub step: u64,
    /// BLAKE3 root over canonical tensors.
    pub fast_root: Digest32,
    /// Poseidon tile-tree root over the same tensors.
    pub algebraic_root: PoseidonDigest,
    /// Files, ascending by name.
    pub files: Vec<FileDigest>,
}

/// A window of an audit: work whose tree was fixed before anything could be drawn from it. The root is the job's word; that
/// it was given by then is the ledger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowCommitment {
    /// Position among the windows of this chain, from 0.
    pub index: u64,
    /// Salted root of its tree.
    pub root: PoseidonDigest,
}

/// The evidence that quoted the previous head: a dropped quote shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedHead {
    /// Index of the quoted head.
    pub index: u64,
    /// SHA-256 of the canonical evidence set.
    pub evidence: Digest32,
}

/// Public facts; `SHA-256(framed domain, …)` of them enters the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalPublic {
    /// Position in the chain, from 1.
    pub index: u64,
    /// Kernel boot id.
    pub boot_id: [u8; 16],
    /// Start on the wall clock (the host sets it).
    pub start_wall: UnixMillis,
    /// End on the wall clock.
    pub end_wall: UnixMillis,
    /// Start on the monotonic clock of this boot, milliseconds.
    pub start_mono: u64,
    /// End on the monotonic clock of this boot, milliseconds.
    pub end_mono: u64,
    /// Which components of the private reading are present.
    pub presence: Presence,
    /// Device times, ascending by device.
    pub devices: Vec<DeviceTime>,
    /// Checkpoints that appeared.
    pub checkpoints: Vec<CheckpointCommitment>,
    /// Windows that were committed, ascending without a hole along the chain.
    pub windows: Vec<WindowCommitment>,
    /// The quote over an earlier head, in the first interval after it was made.
    pub quoted: Option<QuotedHead>,
}

framed!(DeviceTime { device, run, other, idle, gap });
framed!(FileDigest { name, bytes, sha256 });
framed!(CheckpointCommitment { attempt, step, fast_root, algebraic_root, files[MAX_FILES] });
framed!(WindowCommitment { index, root });
framed!(QuotedHead { index, evidence });
framed!(IntervalPublic {
    index,
    boot_id,
    start_wall,
    end_wall,
    start_mono,
    end_mono,
    presence,
    devices[MAX_DEVICES],
    checkpoints[MAX_CHECKPOINTS],
    windows[MAX_WINDOWS],
    quoted,
});

impl IntervalPublic {
    /// SHA-256(framed domain, canonical bytes): what the head packs.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let mut out = Domain::Public.encoder();
        out.put(self);
        sha256(&out.finish())
    }
}

impl DeviceTime {
    /// Sum of the four counters; `None` on overflow.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        let Self { device: _, run, other, idle, gap } = self;
        run.0.checked_add(other.0)?.checked_add(idle.0)?.checked_add(gap.0)
    }
}
