//! **Duty.** From files to everything a ledger says about a checkpoint: both roots and the digest of each file.
//! **Knows** the order of work. **Does not know** attempts, steps or intervals. **Spec.** PROTOCOL §3, TRAINING §3.
//!
//! The unit is the tensor, not the file: the same tensors give the same roots in one file or in many, in any order.
//! Every byte is read twice: in the order of the file (SHA-256) and in the order of names (both roots). A fingerprint
//! per tensor holds the two readings to the same bytes, whatever the file's times say.

use std::fs::File;
use std::path::{Path, PathBuf};

use weighbridge_attest_types::{Digest32, FileDigest, PoseidonDigest};

use crate::crew::{Effort, with_crew};
use crate::digests::{Read, Reading, read_all};
use crate::files::{OpenedFile, Shard, Source};
use crate::roots::{Buffers, Roots, Wanted, hash_tiles};
use crate::safetensors::Tensor;
use crate::{CommitError, fast};

/// Files of one checkpoint: what an interval's public facts can carry.
const MAX_FILES: usize = 8_192;
/// Files that are hashed beside one another without being a checkpoint: all files of a model folder.
const MAX_HASHED_FILES: usize = 65_536;
/// Headers of all files together. The largest published checkpoints have about 10⁵ tensors, 10 MB of headers.
const MAX_HEADERS_BYTES: u64 = 64 * 1024 * 1024;
/// Tensors of all files together: each takes about 300 bytes of memory while a checkpoint is committed.
const MAX_TENSORS: u64 = 400_000;

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
pub(crate) struct Located<'a> {
    pub(crate) tensor: &'a Tensor,
    pub(crate) shard: &'a Shard,
    fingerprint: Option<blake3::Hash>,
}

/// How the work is cut; tests cut it smaller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) threads: usize,
    pub(crate) buffers: Buffers,
    pub(crate) slice_bytes: Option<u64>,
}

impl Cut {
    fn of(effort: Effort) -> Self {
        let threads = effort.thread_count();
        Self { threads, buffers: Buffers::for_threads(threads), slice_bytes: None }
    }
}

/// Commits to the safetensors files of one checkpoint.
///
/// Memory stays below 256 MiB whatever the files' sizes. `progress` hears of bytes done and bytes in total; each byte
/// counts at both readings. It is called from the calling thread: while it waits, the work waits, which is how a caller
/// with a clock keeps a rate.
///
/// # Errors
/// [`CommitError`]; a file that changes while it is read is [`CommitError::Changed`].
pub fn commit_checkpoint(
    files: &[PathBuf],
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckpointDigests, CommitError> {
    commit_with(files, Cut::of(effort), progress)
}

/// The same for files that the caller opened: what a path leads to meanwhile does not matter.
///
/// # Errors
/// As [`commit_checkpoint`].
pub fn commit_opened(
    files: Vec<OpenedFile>,
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckpointDigests, CommitError> {
    commit_shards(&open_sources(files.into_iter().map(Source::held))?, Cut::of(effort), progress)
}

/// `fast_root` alone, without the other digests: each byte is read once.
///
/// # Errors
/// As [`commit_checkpoint`].
pub fn fast_root(
    files: &[PathBuf],
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Digest32, CommitError> {
    let shards = open_all(files)?;
    let located = locate(&shards, Vec::new());
    if located.is_empty() {
        return Err(CommitError::NoTensors);
    }
    let root = fast::fast_root(&located, effort.thread_count(), progress)?;
    shards.iter().try_for_each(|shard| shard.source.confirm())?;
    Ok(root)
}

/// `algebraic_root` alone, without the other digests.
///
/// # Errors
/// As [`commit_checkpoint`].
pub fn algebraic_root(
    files: &[PathBuf],
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PoseidonDigest, CommitError> {
    algebraic_with(files, Cut::of(effort), progress)
}

pub(crate) fn algebraic_with(
    files: &[PathBuf],
    cut: Cut,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PoseidonDigest, CommitError> {
    let shards = open_all(files)?;
    let located = locate(&shards, Vec::new());
    let total = located.iter().fold(0u64, |sum, located| sum.saturating_add(located.tensor.bytes));
    let mut advance = counter(total, progress);
    let wanted = Wanted { fast: false, algebraic: true, fingerprints: false };
    let (_, root) = roots(&located, cut, wanted, &mut advance)?;
    shards.iter().try_for_each(|shard| shard.source.confirm())?;
    Ok(root)
}

/// SHA-256 of files of any kind, in the order given; a name may come more than once. Symbolic links are followed.
///
/// # Errors
/// As [`commit_checkpoint`], without anything about headers.
pub fn file_digests<P: AsRef<Path>>(
    files: &[P],
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<FileDigest>, CommitError> {
    if files.len() > MAX_HASHED_FILES {
        return Err(CommitError::TooManyFiles { found: files.len(), cap: MAX_HASHED_FILES });
    }
    digest_sources(files.iter().map(|path| Source::of(path.as_ref())), effort, progress)
}

/// The same for files that the caller opened.
///
/// # Errors
/// As [`file_digests`].
pub fn opened_digests(
    files: Vec<OpenedFile>,
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<FileDigest>, CommitError> {
    if files.len() > MAX_HASHED_FILES {
        return Err(CommitError::TooManyFiles { found: files.len(), cap: MAX_HASHED_FILES });
    }
    digest_sources(files.into_iter().map(Source::held), effort, progress)
}

fn digest_sources(
    sources: impl Iterator<Item = Result<Source, CommitError>>,
    effort: Effort,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<FileDigest>, CommitError> {
    let sources: Vec<Source> = sources.collect::<Result<_, _>>()?;
    let total = sources.iter().fold(0u64, |sum, source| sum.saturating_add(source.length()));
    let readings = sources.iter().map(Reading::of_file).collect();
    let read = read_all(readings, effort.thread_count(), None, &mut counter(total, progress))?;
    sources.iter().try_for_each(Source::confirm)?;
    Ok(read.into_iter().map(|read| read.digest).collect())
}

pub(crate) fn commit_with(
    files: &[PathBuf],
    cut: Cut,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckpointDigests, CommitError> {
    commit_shards(&open_all(files)?, cut, progress)
}

fn commit_shards(
    shards: &[Shard],
    cut: Cut,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckpointDigests, CommitError> {
    let tensors = shards.iter().flat_map(|shard| &shard.tensors);
    let (count, bytes) = tensors
        .fold((0u64, 0u64), |(count, bytes), tensor| (count.saturating_add(1), bytes.saturating_add(tensor.bytes)));
    let total = shards.iter().fold(bytes, |sum, shard| sum.saturating_add(shard.source.length()));
    let mut advance = counter(total, progress);

    let readings = shards.iter().map(Reading::of_shard).collect();
    let read = read_all(readings, cut.threads, cut.slice_bytes, &mut advance)?;
    let (files, fingerprints) = read.into_iter().map(|Read { digest, fingerprints }| (digest, fingerprints)).unzip();
    let located = locate(shards, fingerprints);
    let wanted = Wanted { fast: true, algebraic: true, fingerprints: true };
    let (fast_root, algebraic_root) = roots(&located, cut, wanted, &mut advance)?;
    shards.iter().try_for_each(|shard| shard.source.confirm())?;
    Ok(CheckpointDigests { fast_root, algebraic_root, files, tensors: count, bytes })
}

/// Adds up what is done.
fn counter(total: u64, progress: &mut dyn FnMut(u64, u64)) -> impl FnMut(u64) {
    let mut done = 0u64;
    move |more: u64| {
        done = done.saturating_add(more);
        progress(done, total);
    }
}

/// All tensors in bytewise order of their names, with their fingerprints where there are some.
fn locate<'a>(shards: &'a [Shard], fingerprints: Vec<Vec<blake3::Hash>>) -> Vec<Located<'a>> {
    let fingerprints = fingerprints.into_iter().map(Some).chain(std::iter::repeat(None));
    let mut located = Vec::new();
    for (shard, fingerprints) in shards.iter().zip(fingerprints) {
        let mut fingerprints = fingerprints.into_iter().flatten();
        let tensors = shard.tensors.iter();
        located.extend(tensors.map(|tensor| Located { tensor, shard, fingerprint: fingerprints.next() }));
    }
    located.sort_by(|left, right| left.tensor.name.as_bytes().cmp(right.tensor.name.as_bytes()));
    located
}

/// Opens every file and reads its header; nothing large is read before all headers are found good.
fn open_all(files: &[PathBuf]) -> Result<Vec<Shard>, CommitError> {
    open_sources(files.iter().map(|path| Source::of(path)))
}

fn open_sources(files: impl ExactSizeIterator<Item = Result<Source, CommitError>>) -> Result<Vec<Shard>, CommitError> {
    if files.len() == 0 {
        return Err(CommitError::NoFiles);
    }
    if files.len() > MAX_FILES {
        return Err(CommitError::TooManyFiles { found: files.len(), cap: MAX_FILES });
    }
    let mut shards = Vec::with_capacity(files.len());
    let (mut headers, mut tensors) = (0u64, 0u64);
    for source in files {
        let shard = Shard::open(source?)?;
        headers = headers.saturating_add(shard.header_bytes());
        if headers > MAX_HEADERS_BYTES {
            return Err(CommitError::HeadersTooLarge { found: headers, cap: MAX_HEADERS_BYTES });
        }
        tensors = tensors.saturating_add(shard.tensors.len() as u64);
        if tensors > MAX_TENSORS {
            return Err(CommitError::TooManyTensors { found: tensors, cap: MAX_TENSORS });
        }
        shards.push(shard);
    }
    shards.sort_by(|left, right| left.source.name().cmp(right.source.name()));
    if let Some([first, _]) = shards.array_windows().find(|[left, right]| left.source.name() == right.source.name()) {
        return Err(CommitError::DuplicateFile { name: first.source.name().to_owned() });
    }
    refuse_shared_names(&shards)?;
    Ok(shards)
}

fn refuse_shared_names(shards: &[Shard]) -> Result<(), CommitError> {
    let names = shards.iter().flat_map(|shard| shard.tensors.iter().map(move |tensor| (&tensor.name, shard)));
    let mut names: Vec<(&Box<str>, &Shard)> = names.collect();
    names.sort_by_key(|(name, _)| *name);
    match names.array_windows().find(|[(left, _), (right, _)]| left == right) {
        None => Ok(()),
        Some([(tensor, first), (_, second)]) => Err(CommitError::DuplicateTensor {
            tensor: tensor.to_string(),
            first: first.source.path().to_owned(),
            second: second.source.path().to_owned(),
        }),
    }
}

/// Feeds tensors in the order of their names; keeps one file open, since neighbours usually share it.
fn roots(
    located: &[Located<'_>],
    cut: Cut,
    wanted: Wanted,
    progress: &mut dyn FnMut(u64),
) -> Result<(Digest32, PoseidonDigest), CommitError> {
    with_crew(cut.threads, &hash_tiles, |crew| {
        let mut roots = Roots::new(cut.buffers, wanted, crew);
        let mut open: Option<(&str, File)> = None;
        for Located { tensor, shard, fingerprint } in located {
            let source = &shard.source;
            let file = match open.take() {
                Some((name, file)) if name == source.name() => file,
                _ => source.open()?,
            };
            let found = roots.add(tensor, &shard.tensor_bytes(&file, tensor), progress)?;
            // A tensor without a fingerprint is held to nothing: as bad as one that differs.
            if wanted.fingerprints && *fingerprint != Some(found) {
                return Err(source.changed());
            }
            open = Some((source.name(), file));
        }
        roots.finish().ok_or(CommitError::NoTensors)
    })
}
