//! **Duty.** Checkpoint files on disk: opened once, read by position into bounded buffers, and the same file at the end
//! as at the start. **Knows** the file system. **Does not know** roots. **Spec.** CIRCUITS §3: no memory map, since a
//! file that shrinks must be an error and not a signal.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use crate::safetensors::{Tensor, header_length, parse_header};
use crate::{CommitError, HeaderError};

/// `O_NONBLOCK`: opening a pipe then returns at once; it changes nothing for regular files. The value is that of Linux
/// (include/uapi/asm-generic/fcntl.h) and of macOS (sys/fcntl.h); elsewhere the flag is left out.
const WITHOUT_WAITING: i32 =
    if cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))) {
        0o4000
    } else if cfg!(target_os = "macos") {
        4
    } else {
        0
    };

/// What tells one state of a file from another. The change time cannot be set by the file's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that somebody else opened, and said where it lay: whatever the path leads to later, these bytes are read.
#[derive(Debug)]
pub struct OpenedFile {
    /// Where it lay; its last part names it.
    pub path: PathBuf,
    /// The file, open for reading.
    pub file: File,
}

/// A file as it was when it was first seen.
pub(crate) struct Source {
    path: PathBuf,
    name: String,
    identity: Identity,
    /// Open already; otherwise the path is opened at each need.
    held: Option<File>,
}

/// One safetensors file with its header read.
pub(crate) struct Shard {
    pub(crate) source: Source,
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

impl Source {
    /// Looks at a file. Symbolic links are followed; whatever is not a regular file is refused before it is opened,
    /// because opening a pipe would wait.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn of(path: &Path) -> Result<Self, CommitError> {
        let seen = std::fs::metadata(path).map_err(|source| io(path, source))?;
        Self::seen(path, &seen, None)
    }

    /// The same for an open file.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn held(opened: OpenedFile) -> Result<Self, CommitError> {
        let OpenedFile { path, file } = opened;
        let seen = file.metadata().map_err(|source| io(&path, source))?;
        Self::seen(&path, &seen, Some(file))
    }

    fn seen(path: &Path, seen: &Metadata, held: Option<File>) -> Result<Self, CommitError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| CommitError::FileName { file: path.to_owned() })?.to_owned();
        if !seen.is_file() {
            return Err(CommitError::NotAFile { file: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), name, identity: Identity::of(seen), held })
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

    /// Opens the file; it must be the one that was seen first. A pipe that was put in its place since is opened without
    /// waiting for a writer, and found to be another file.
    ///
    /// # Errors
    /// [`CommitError::Io`], [`CommitError::Changed`].
    pub(crate) fn open(&self) -> Result<File, CommitError> {
        let file = match &self.held {
            // All reading is by position: clones do not disturb one another.
            Some(file) => file.try_clone(),
            None => File::options().read(true).custom_flags(WITHOUT_WAITING).open(&self.path),
        };
        let file = file.map_err(|source| io(&self.path, source))?;
        let now = file.metadata().map_err(|source| io(&self.path, source))?;
        if Identity::of(&now) == self.identity { Ok(file) } else { Err(self.changed()) }
    }

    /// Whether the path still leads to the same, unchanged file; of an open file, whether it is unchanged.
    ///
    /// # Errors
    /// [`CommitError::Io`], [`CommitError::Changed`].
    pub(crate) fn confirm(&self) -> Result<(), CommitError> {
        let now = match &self.held {
            Some(file) => file.metadata(),
            None => std::fs::metadata(&self.path),
        };
        let now = now.map_err(|source| io(&self.path, source))?;
        if Identity::of(&now) == self.identity { Ok(()) } else { Err(self.changed()) }
    }

    pub(crate) fn changed(&self) -> CommitError {
        CommitError::Changed { file: self.path.clone() }
    }

    /// Fills `buffer` from `offset` of the file.
    ///
    /// # Errors
    /// [`CommitError::Changed`] when the file ends early, [`CommitError::Io`].
    pub(crate) fn read(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), CommitError> {
        read_exactly(file, &self.path, buffer, offset)
    }
}

impl Shard {
    /// Reads the header.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn open(source: Source) -> Result<Self, CommitError> {
        let file = source.open()?;
        let path = source.path.clone();
        let malformed = |source| CommitError::Header { file: path.clone(), source };

        let mut prefix = [0u8; 8];
        if let missing @ 1.. = 8u64.saturating_sub(source.length()) {
            return Err(malformed(HeaderError::Truncated { missing }));
        }
        source.read(&file, 0, &mut prefix)?;
        let length = header_length(prefix, source.length()).map_err(malformed)?;
        let mut header = vec![0u8; usize::try_from(length).unwrap_or_default()];
        source.read(&file, 8, &mut header)?;
        let data_start = length.saturating_add(8);
        let tensors = parse_header(&header, source.length().saturating_sub(data_start)).map_err(malformed)?;

        let mut digest = Context::new(&SHA256);
        digest.update(&prefix);
        digest.update(&header);
        Ok(Self { source, data_start, digest, tensors })
    }

    /// Bytes before the data.
    pub(crate) const fn header_bytes(&self) -> u64 {
        self.data_start
    }

    /// SHA-256 of everything before the data.
    pub(crate) fn header_digest(&self) -> Context {
        self.digest.clone()
    }

    pub(crate) fn tensor_bytes<'a>(&'a self, file: &'a File, tensor: &Tensor) -> TensorBytes<'a> {
        TensorBytes { file, path: &self.source.path, start: self.data_start.saturating_add(tensor.offset) }
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

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pipe_in_place_of_a_file_never_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "f").unwrap();
        let source = Source::of(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (done, answer) = mpsc::channel();
        std::thread::spawn(move || done.send(source.open()));
        let opened = answer.recv_timeout(Duration::from_secs(20)).expect("opening waits for a writer");
        assert!(matches!(opened, Err(CommitError::Changed { file }) if file == path));
    }
}
