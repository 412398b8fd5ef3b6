//! **Duty.** From files to everything a ledger says about a checkpoint: both roots and the digest of each file.
//! **Knows** the order of work. **Does not know** attempts, steps or intervals. **Spec.** PROTOCOL §3, TRAINING §3.
//!
//! The unit is the tensor, not the file: the same tensors give the same roots in one file or in many, in any order.
//! Every byte is read twice: in the order of the file (SHA-256) and in the order of names (both roots). A fingerprint
//! per tensor holds the two readings to the same bytes, whatever the file's times say.

use std::fs::File;
use std::path::PathBuf;
use std::thread::available_parallelism;

use weighbridge_attest_types::{Digest32, FileDigest, PoseidonDigest};

use crate::CommitError;
use crate::files::Shard;
use crate::roots::{BUFFER_BYTES, Effort, Roots};
use crate::safetensors::Tensor;

/// Files of one checkpoint: what an interval's public facts can carry.
const MAX_FILES: usize = 8_192;
/// Headers of all files together. The largest published checkpoints have about 10⁵ tensors, 10 MB of headers.
const MAX_HEADERS_BYTES: u64 = 64 * 1024 * 1024;
/// Hashing shares the machine with a training job: at most half of the processors, and no more than this.
const MAX_WORKERS: u64 = 16;

/// A committed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDigests {
    /// BLAKE3 root over canonical tensors.
    pub fast_root: Digest32,
    /// Poseidon tile-tree root over the same tensors.
    pub algebraic_root: PoseidonDigest,
    /// Files, ascending by name.
    pub files: Vec<FileDigest>,
    /// Number of tensors.
    pub tensors: u64,
    /// Bytes of all tensors together.
    pub bytes: u64,
}

/// One tensor, where it lies and what its bytes were at the first reading.
struct Located<'a> {
    tensor: &'a Tensor,
    shard: &'a Shard,
    fingerprint: blake3::Hash,
}

/// Commits to the safetensors files of one checkpoint.
///
/// Memory stays within a few megabytes plus the parsed headers. `progress` hears of bytes done and bytes in total;
/// each byte counts at both readings.
///
/// # Errors
/// [`CommitError`]; a file that changes while it is read is [`CommitError::Changed`].
pub fn commit_checkpoint(
    files: &[PathBuf],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckpointDigests, CommitError> {
    let processors = available_parallelism().map_or(1, |count| count.get() as u64);
    let workers = processors.div_ceil(2).min(MAX_WORKERS);
    commit_with(files, Effort { buffer_bytes: BUFFER_BYTES, workers }, progress)
}

pub(crate) fn commit_with(
    files: &[PathBuf],
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckpointDigests, CommitError> {
    let shards = open_all(files)?;
    let tensors = shards.iter().flat_map(|shard| &shard.tensors);
    let (count, bytes) = tensors
        .fold((0u64, 0u64), |(count, bytes), tensor| (count.saturating_add(1), bytes.saturating_add(tensor.bytes)));
    let total = shards.iter().fold(bytes, |sum, shard| sum.saturating_add(shard.length()));
    let mut done = 0u64;
    let mut advance = |more: u64| {
        done = done.saturating_add(more);
        progress(done, total);
    };

    let mut digests = Vec::with_capacity(shards.len());
    let mut located = Vec::new();
    for shard in &shards {
        let (digest, fingerprints) = shard.digest(&mut advance)?;
        digests.push(digest);
        let tensors = shard.tensors.iter().zip(fingerprints);
        located.extend(tensors.map(|(tensor, fingerprint)| Located { tensor, shard, fingerprint }));
    }
    located.sort_by(|left, right| left.tensor.name.as_bytes().cmp(right.tensor.name.as_bytes()));
    let (fast_root, algebraic_root) = roots(&located, effort, &mut advance)?;
    for shard in &shards {
        shard.confirm()?;
    }
    Ok(CheckpointDigests { fast_root, algebraic_root, files: digests, tensors: count, bytes })
}

/// Opens every file and reads its header; nothing large is read before all headers are found good.
fn open_all(files: &[PathBuf]) -> Result<Vec<Shard>, CommitError> {
    if files.is_empty() {
        return Err(CommitError::NoFiles);
    }
    if files.len() > MAX_FILES {
        return Err(CommitError::TooManyFiles { found: files.len(), cap: MAX_FILES });
    }
    let mut shards = Vec::with_capacity(files.len());
    let mut headers = 0u64;
    for path in files {
        let shard = Shard::open(path)?;
        headers = headers.saturating_add(shard.header_bytes());
        if headers > MAX_HEADERS_BYTES {
            return Err(CommitError::HeadersTooLarge { found: headers, cap: MAX_HEADERS_BYTES });
        }
        shards.push(shard);
    }
    shards.sort_by(|left, right| left.name().cmp(right.name()));
    if let Some([first, _]) = shards.array_windows().find(|[left, right]| left.name() == right.name()) {
        return Err(CommitError::DuplicateFile { name: first.name().to_owned() });
    }
    refuse_shared_names(&shards)?;
    Ok(shards)
}

fn refuse_shared_names(shards: &[Shard]) -> Result<(), CommitError> {
    let names = shards.iter().flat_map(|shard| shard.tensors.iter().map(move |tensor| (&tensor.name, shard)));
    let mut names: Vec<(&String, &Shard)> = names.collect();
    names.sort_by_key(|(name, _)| *name);
    match names.array_windows().find(|[(left, _), (right, _)]| left == right) {
        None => Ok(()),
        Some([(tensor, first), (_, second)]) => Err(CommitError::DuplicateTensor {
            tensor: (*tensor).clone(),
            first: first.path().to_owned(),
            second: second.path().to_owned(),
        }),
    }
}

/// Feeds tensors in the order of their names; keeps one file open, since neighbours usually share it.
fn roots(
    located: &[Located<'_>],
    effort: Effort,
    progress: &mut dyn FnMut(u64),
) -> Result<(Digest32, PoseidonDigest), CommitError> {
    let mut roots = Roots::new(effort);
    let mut open: Option<(&str, File)> = None;
    for Located { tensor, shard, fingerprint } in located {
        let file = match open.take() {
            Some((name, file)) if name == shard.name() => file,
            _ => shard.reopen()?,
        };
        if roots.add(tensor, &shard.tensor_bytes(&file, tensor), progress)? != *fingerprint {
            return Err(shard.changed());
        }
        open = Some((shard.name(), file));
    }
    roots.finish().ok_or(CommitError::NoTensors)
}
