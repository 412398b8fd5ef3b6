//! **Duty.** A file as a source of tensors: read at places, never mapped, so that one that shrinks is an error.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use weighbridge_audit::trace::{SourceError, TensorSource};

use crate::error::CliError;

/// An open file and the length that it had.
pub(super) struct TensorFile {
    file: File,
    length: u64,
}

impl TensorFile {
    /// Opens a plain file.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { file, length: metadata.len() })
    }
}

impl TensorSource for TensorFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let length = into.len() as u64;
        self.file.read_exact_at(into, offset).map_err(|error| SourceError { offset, length, why: error.to_string() })
    }
}
