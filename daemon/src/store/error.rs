//! **Duty.** Why the store cannot be used, whose turn it is and what to do. **Spec.** HOUSE §5.

use std::io;
use std::path::{Path, PathBuf};

use redb::DatabaseError;
use thiserror::Error;
use weighbridge_attest_types::Culprit;

/// Why the store cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it.
    #[error("the state folder {} is in use by another weighbridged", folder.display())]
    InUse {
        /// Folder.
        folder: PathBuf,
    },
    /// Nothing was ever kept there.
    #[error("the state folder {} holds no node", folder.display())]
    Absent {
        /// Folder.
        folder: PathBuf,
    },
    /// The folder cannot be made or entered.
    #[error("the state folder {} cannot be used", folder.display())]
    Folder {
        /// Folder.
        folder: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// Others may write to the folder.
    #[error("the state folder {} can be written to by others (mode {mode:o})", folder.display())]
    OpenFolder {
        /// Folder.
        folder: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The disk is full.
    #[error("the state folder {} could not be {act}: the disk is full", folder.display())]
    Full {
        /// What failed.
        act: &'static str,
        /// Folder.
        folder: PathBuf,
    },
    /// The disk takes nothing.
    #[error("the state folder {} could not be {act}: the disk is mounted read-only", folder.display())]
    ReadOnly {
        /// What failed.
        act: &'static str,
        /// Folder.
        folder: PathBuf,
    },
    /// The database said no.
    #[error("the state folder {} could not be {act}", folder.display())]
    Database {
        /// What failed.
        act: &'static str,
        /// Folder.
        folder: PathBuf,
        /// Its reason.
        #[source]
        source: Box<redb::Error>,
    },
    /// A row that we did not write.
    #[error("the state folder {} is damaged: table `{table}` does not read back", folder.display())]
    Damaged {
        /// Folder.
        folder: PathBuf,
        /// Table.
        table: &'static str,
    },
}

impl StoreError {
    pub(super) fn opening(folder: &Path, source: DatabaseError) -> Self {
        match source {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse { folder: folder.to_owned() },
            other => Self::failing("opened", folder, other.into()),
        }
    }

    pub(super) fn failing(act: &'static str, folder: &Path, source: redb::Error) -> Self {
        let folder = folder.to_owned();
        match &source {
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Self::Full { act, folder }
            }
            redb::Error::Io(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { act, folder }
            }
            _ => Self::Database { act, folder, source: Box::new(source) },
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::InUse { .. } | Self::Absent { .. } | Self::OpenFolder { .. } => Culprit::Usage,
            Self::Folder { .. } | Self::Full { .. } | Self::ReadOnly { .. } => Culprit::Unavailable,
            Self::Damaged { .. } => Culprit::Malformed,
            Self::Database { source, .. } => match source.as_ref() {
                redb::Error::Io(_) | redb::Error::PreviousIo => Culprit::Unavailable,
                redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => Culprit::Malformed,
                _ => Culprit::Internal,
            },
        }
    }

    /// Stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "state-in-use",
            Self::Absent { .. } => "state-absent",
            Self::Folder { .. } => "state-folder",
            Self::OpenFolder { .. } => "state-folder-open",
            Self::Full { .. } => "disk-full",
            Self::ReadOnly { .. } => "disk-read-only",
            Self::Database { .. } => "state-failed",
            Self::Damaged { .. } => "state-damaged",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "stop the other one, or give each its own `state_dir`",
            Self::Absent { .. } => "name the `state_dir` that weighbridged ran with",
            Self::Folder { .. } => "make it with `install -d -m 0700`, owned by the service's user",
            Self::OpenFolder { .. } => "run `chmod go-w` on it",
            Self::Full { .. } => "free space on that file system; nothing that was acknowledged is lost",
            Self::ReadOnly { .. } => {
                "remount it for writing, and look why it was not; nothing that was acknowledged is lost"
            }
            Self::Database { .. } => "look at the disk and the service's log, then restart weighbridged",
            Self::Damaged { .. } => "keep a copy of the folder, move it away and start a new node key",
        }
    }
}
