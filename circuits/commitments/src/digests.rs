//! **Duty.** The first reading: SHA-256 of whole files, several at once, and beside it a fingerprint of each tensor, to
//! which the second reading is held. **Knows** files in slices. **Does not know** roots. **Spec.** TRAINING §3, §10.

use std::fs::File;

use ring::digest::{Context, SHA256};
use weighbridge_attest_types::{Digest32, FileDigest};

use crate::CommitError;
use crate::crew::{Crew, with_crew};
use crate::files::{Shard, Source, first_bytes};

/// Bytes read at once: they are still in the processor's cache when the second hash wants them.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of a file between two looks of the lead: progress, and a throttle's pace.
const SLICE_BYTES: u64 = 4 * 1024 * 1024;

/// A file to be read from front to back.
pub(crate) struct Reading<'a> {
    source: &'a Source,
    sha256: Context,
    /// Where the data begins: what stands before is in `sha256` already.
    start: u64,
    /// Lengths of the tensors, in order; `None` for a file without tensors.
    tensors: Option<Vec<u64>>,
}

/// What one file came to.
pub(crate) struct Read {
    pub(crate) digest: FileDigest,
    /// One of each tensor.
    pub(crate) fingerprints: Vec<blake3::Hash>,
}

/// A file between two slices.
struct Progress<'a> {
    index: usize,
    reading: Reading<'a>,
    file: File,
    at: u64,
    /// Bytes left of the tensor at hand, and its hash so far.
    tensor_left: u64,
    own: blake3::Hasher,
    fingerprints: Vec<blake3::Hash>,
    buffer: Vec<u8>,
    /// Bytes of the last slice.
    sliced: u64,
}

impl<'a> Reading<'a> {
    /// A safetensors file whose header was parsed.
    pub(crate) fn of_shard(shard: &'a Shard) -> Self {
        let tensors = Some(shard.tensors.iter().map(|tensor| tensor.bytes).collect());
        Self { source: &shard.source, sha256: shard.header_digest(), start: shard.header_bytes(), tensors }
    }

    /// Any file.
    pub(crate) fn of_file(source: &'a Source) -> Self {
        Self { source, sha256: Context::new(&SHA256), start: 0, tensors: None }
    }
}

/// Reads all files with a crew; results come in the order of the files.
///
/// # Errors
/// [`CommitError`] of the first file that fails.
pub(crate) fn read_all(
    readings: Vec<Reading<'_>>,
    threads: usize,
    slice_bytes: Option<u64>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Read>, CommitError> {
    let slice_bytes = slice_bytes.unwrap_or(SLICE_BYTES);
    let work = slicing(slice_bytes);
    let mut results: Vec<Option<Read>> = readings.iter().map(|_| None).collect();
    let mut waiting = readings.into_iter().enumerate();
    with_crew(threads, &work, |crew| {
        let mut ready = Vec::new();
        let mut open = 0usize;
        loop {
            // As many files at once as there are threads: one thread reads file after file.
            while open < threads
                && let Some((index, reading)) = waiting.next()
            {
                open = open.saturating_add(1);
                progress(reading.start);
                ready.extend(start(crew, index, reading)?);
            }
            if ready.is_empty() {
                ready.extend(crew.finish());
            }
            if ready.is_empty() {
                return Ok(results.into_iter().flatten().collect());
            }
            for state in std::mem::take(&mut ready) {
                let state = state?;
                progress(state.sliced);
                if state.at < state.reading.source.length() {
                    ready.extend(crew.submit(state));
                    continue;
                }
                open = open.saturating_sub(1);
                let index = state.index;
                if let Some(result) = results.get_mut(index) {
                    *result = Some(state.finish());
                }
            }
        }
    })
}

type Slices<'c, 'a> = Crew<'c, Progress<'a>, Result<Progress<'a>, CommitError>>;

/// Names the one lifetime that comes in and goes out.
fn slicing<'a>(most: u64) -> impl Fn(Progress<'a>) -> Result<Progress<'a>, CommitError> + Sync {
    move |state| state.slice(most)
}

fn start<'a>(
    crew: &mut Slices<'_, 'a>,
    index: usize,
    reading: Reading<'a>,
) -> Result<Vec<Result<Progress<'a>, CommitError>>, CommitError> {
    let file = reading.source.open()?;
    let (at, buffer) = (reading.start, vec![0u8; CHUNK_BYTES]);
    let (own, fingerprints) = (blake3::Hasher::new(), Vec::new());
    let tensor_left = reading.tensors.as_ref().and_then(|tensors| tensors.first()).copied().unwrap_or_default();
    Ok(crew.submit(Progress { index, reading, file, at, tensor_left, own, fingerprints, buffer, sliced: 0 }))
}

impl Progress<'_> {
    /// Reads on for at most `most` bytes.
    fn slice(mut self, most: u64) -> Result<Self, CommitError> {
        let length = self.reading.source.length();
        self.sliced = 0;
        self.close_tensors();
        while self.at < length && self.sliced < most {
            let left = length.saturating_sub(self.at).min(most.saturating_sub(self.sliced));
            let left = if self.reading.tensors.is_some() { left.min(self.tensor_left) } else { left };
            let chunk = first_bytes(&mut self.buffer, left);
            self.reading.source.read(&self.file, self.at, chunk)?;
            self.reading.sha256.update(chunk);
            let bytes = chunk.len() as u64;
            if self.reading.tensors.is_some() {
                self.own.update(chunk);
                self.tensor_left = self.tensor_left.saturating_sub(bytes);
            }
            self.at = self.at.saturating_add(bytes);
            self.sliced = self.sliced.saturating_add(bytes);
            self.close_tensors();
        }
        Ok(self)
    }

    /// Takes the fingerprint of the tensor that has ended, and of empty ones after it.
    fn close_tensors(&mut self) {
        let Some(tensors) = &self.reading.tensors else { return };
        while self.tensor_left == 0 && self.fingerprints.len() < tensors.len() {
            self.fingerprints.push(self.own.finalize());
            self.own.reset();
            self.tensor_left = tensors.get(self.fingerprints.len()).copied().unwrap_or_default();
        }
    }

    fn finish(mut self) -> Read {
        self.close_tensors();
        let Self { reading: Reading { source, sha256, .. }, fingerprints, .. } = self;
        let sha256 = Digest32(sha256.finish().as_ref().try_into().unwrap_or_default());
        Read { digest: FileDigest { name: source.name().to_owned(), bytes: source.length(), sha256 }, fingerprints }
    }
}
