//! **Duty.** Finished pieces as files: each under its name, written so that it is there whole or not at all, checked when
//! it is read. **Does not know** what a piece means. The pieces are private: an inner proof is not blinded.
//! **Spec.** CIRCUITS §4 (resumable).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use weighbridge_circuits::{Job, JobId};

use crate::error::CliError;
use crate::files;

/// The end of a finished piece's name.
const PIECE: &str = "piece";
/// A name, and the largest proof there is.
const MAX_PIECE_BYTES: u64 = 1024 * 1024;
/// For the owner alone.
const PRIVATE: u32 = 0o700;

/// Where finished pieces are.
#[derive(Debug)]
pub(super) enum Store {
    /// In memory, for as long as the process lives.
    Memory(Mutex<BTreeMap<JobId, Vec<u8>>>),
    /// In a folder.
    Folder(PathBuf),
}

/// What was found under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// A piece that says to be this one.
    Piece(Vec<u8>),
    /// A file that does not even say so.
    Foreign(PathBuf, String),
}

impl Store {
    /// The folder is made if it is not there, and what a killed process left half written is removed.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, CliError> {
        let Some(folder) = folder else { return Ok(Self::Memory(Mutex::default())) };
        let failed = |source| CliError::Write { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(folder).map_err(failed)?;
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if weighbridge_endorsements::is_abandoned(&entry.file_name()) {
                // Whoever wrote it is gone; a file that cannot be removed does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self::Folder(folder.to_owned()))
    }

    /// Where a piece is kept.
    pub(super) fn path(&self, job: &Job) -> PathBuf {
        match self {
            Self::Memory(_) => PathBuf::new(),
            Self::Folder(folder) => folder.join(format!("{}.{PIECE}", job.id)),
        }
    }

    /// Looks a piece up. Whether it is the proof it says to be is for the prover to check.
    pub(super) fn find(&self, job: &Job) -> Result<Found, CliError> {
        match self {
            Self::Memory(pieces) => {
                let pieces = pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(pieces.get(&job.id).map_or(Found::Absent, |piece| Found::Piece(piece.clone())))
            }
            Self::Folder(_) => {
                let path = self.path(job);
                let bytes = match files::read_capped(&path, MAX_PIECE_BYTES) {
                    Err(CliError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                        return Ok(Found::Absent);
                    }
                    Err(CliError::TooLarge { path, .. }) => return Ok(Found::Foreign(path, "too large".to_owned())),
                    bytes => bytes?,
                };
                Ok(match bytes.strip_prefix(&job.id.0) {
                    Some(piece) => Found::Piece(piece.to_vec()),
                    None => Found::Foreign(path, "it is not the piece that its name says".to_owned()),
                })
            }
        }
    }

    /// Keeps a finished piece: written beside, synced, renamed.
    pub(super) fn keep(&self, job: &Job, piece: &[u8]) -> Result<(), CliError> {
        match self {
            Self::Memory(pieces) => {
                let mut pieces = pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                pieces.insert(job.id, piece.to_vec());
                Ok(())
            }
            Self::Folder(_) => files::write_atomically_in_private(&self.path(job), &[&job.id.0, piece].concat()),
        }
    }
}
