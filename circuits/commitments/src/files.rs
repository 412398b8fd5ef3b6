//! **Duty.** Checkpoint files on disk: opened once, read by position into bounded buffers, and the same file at the end
//! as at the start. **Knows** the file system. **Does not know** roots. **Spec.** CIRCUITS §3: no memory map, since a
//! file that shrinks must be an error and not a signal.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use weighbridge_attest_types::{Digest32, FileDigest};

use crate::safetensors::{Tensor, header_length, parse_header};
use crate::{CommitError, HeaderError};

/// Bytes read at once while a whole file is hashed.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What tells one state of a file from another. The change time cannot be set by the file's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// One safetensors file with its header read.
pub(crate) struct Shard {
    path: PathBuf,
    name: String,
    identity: Identity,
    data_start: u64,
    /// SHA-256 of everything before the data: the very bytes that were parsed.
    digest: Context,
    /// In the order of their bytes.
    pub(crate) tensors: Vec<Tensor>,
}

/// The bytes of one tensor.
#[derive(Debug)]
pub(crate) struct TensorBytes<'a> {
    file: &'a File,
    path: &'a Path,
    start: u64,
}

impl Shard {
    /// Reads the header. Symbolic links are followed; whatever is not a regular file is refused before it is opened,
    /// because opening a pipe would wait.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn open(path: &Path) -> Result<Self, CommitError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| CommitError::FileName { file: path.to_owned() })?.to_owned();
        let seen = std::fs::metadata(path).map_err(|source| io(path, source))?;
        if !seen.is_file() {
            return Err(CommitError::NotAFile { file: path.to_owned() });
        }
        let identity = Identity::of(&seen);
        let file = open_unchanged(path, identity)?;
        let malformed = |source| CommitError::Header { file: path.to_owned(), source };

        let mut prefix = [0u8; 8];
        if let missing @ 1.. = 8u64.saturating_sub(identity.length) {
            return Err(malformed(HeaderError::Truncated { missing }));
        }
        read_exactly(&file, path, &mut prefix, 0)?;
        let length = header_length(prefix, identity.length).map_err(malformed)?;
        let mut header = vec![0u8; usize::try_from(length).unwrap_or_default()];
        read_exactly(&file, path, &mut header, 8)?;
        let data_start = length.saturating_add(8);
        let tensors = parse_header(&header, identity.length.saturating_sub(data_start)).map_err(malformed)?;

        let mut digest = Context::new(&SHA256);
        digest.update(&prefix);
        digest.update(&header);
        Ok(Self { path: path.to_owned(), name, identity, data_start, digest, tensors })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Length of the file in bytes.
    pub(crate) const fn length(&self) -> u64 {
        self.identity.length
    }

    /// Bytes before the data.
    pub(crate) const fn header_bytes(&self) -> u64 {
        self.data_start
    }

    /// Opens the file again; it must be the one whose header was read.
    ///
    /// # Errors
    /// [`CommitError::Io`], [`CommitError::Changed`].
    pub(crate) fn reopen(&self) -> Result<File, CommitError> {
        open_unchanged(&self.path, self.identity)
    }

    /// Whether the path still leads to the same, unchanged file.
    ///
    /// # Errors
    /// [`CommitError::Io`], [`CommitError::Changed`].
    pub(crate) fn confirm(&self) -> Result<(), CommitError> {
        let now = std::fs::metadata(&self.path).map_err(|source| io(&self.path, source))?;
        if Identity::of(&now) == self.identity { Ok(()) } else { Err(self.changed()) }
    }

    pub(crate) fn changed(&self) -> CommitError {
        CommitError::Changed { file: self.path.clone() }
    }

    pub(crate) fn tensor_bytes<'a>(&'a self, file: &'a File, tensor: &Tensor) -> TensorBytes<'a> {
        TensorBytes { file, path: &self.path, start: self.data_start.saturating_add(tensor.offset) }
    }

    /// SHA-256 of the whole file, and beside it a fingerprint of each tensor's bytes in the order of `tensors`: both
    /// roots must later see these same bytes.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn digest(&self, progress: &mut dyn FnMut(u64)) -> Result<(FileDigest, Vec<blake3::Hash>), CommitError> {
        let file = self.reopen()?;
        let mut whole = self.digest.clone();
        let mut fingerprints = Vec::with_capacity(self.tensors.len());
        let mut buffer = vec![0u8; CHUNK_BYTES];
        progress(self.data_start);
        for tensor in &self.tensors {
            let bytes = self.tensor_bytes(&file, tensor);
            let mut own = blake3::Hasher::new();
            let mut offset = 0u64;
            while let left @ 1.. = tensor.bytes.saturating_sub(offset) {
                let chunk = first_bytes(&mut buffer, left);
                bytes.read(offset, chunk)?;
                whole.update(chunk);
                own.update(chunk);
                offset = offset.saturating_add(chunk.len() as u64);
                progress(chunk.len() as u64);
            }
            fingerprints.push(own.finalize());
        }
        let sha256 = Digest32(whole.finish().as_ref().try_into().unwrap_or_default());
        Ok((FileDigest { name: self.name.clone(), bytes: self.identity.length, sha256 }, fingerprints))
    }
}

impl TensorBytes<'_> {
    /// Fills `buffer` from `offset` of the tensor.
    ///
    /// # Errors
    /// [`CommitError::Changed`] when the file ends early, [`CommitError::Io`].
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CommitError> {
        read_exactly(self.file, self.path, buffer, self.start.saturating_add(offset))
    }

    /// Other bytes came than at the first reading.
    pub(crate) fn changed(&self) -> CommitError {
        CommitError::Changed { file: self.path.to_owned() }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// At most `length` bytes at the front of a buffer.
pub(crate) fn first_bytes(buffer: &mut [u8], length: u64) -> &mut [u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_at_mut(length).0
}

fn open_unchanged(path: &Path, identity: Identity) -> Result<File, CommitError> {
    let file = File::open(path).map_err(|source| io(path, source))?;
    let now = file.metadata().map_err(|source| io(path, source))?;
    if Identity::of(&now) == identity { Ok(file) } else { Err(CommitError::Changed { file: path.to_owned() }) }
}

fn read_exactly(file: &File, path: &Path, buffer: &mut [u8], offset: u64) -> Result<(), CommitError> {
    file.read_exact_at(buffer, offset).map_err(|source| match source.kind() {
        // The length was checked before: the file has shrunk since.
        std::io::ErrorKind::UnexpectedEof => CommitError::Changed { file: path.to_owned() },
        _ => io(path, source),
    })
}

fn io(path: &Path, source: std::io::Error) -> CommitError {
    CommitError::Io { file: path.to_owned(), source }
}
