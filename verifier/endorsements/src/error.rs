//! **Duty.** What can go wrong with a store or its archive. **Spec.** HOUSE §5.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use weighbridge_attest_types::{BundleError, Culprit};

/// Why a store or an archive was not read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Longer than any endorsement.
    #[error("{} has more than {cap} bytes, the most that an endorsement may have", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The cap.
        cap: u64,
    },
    /// More files, or deeper folders, than anybody reads.
    #[error("{} holds more than {most} files, or folders deeper than {depth}", path.display())]
    TooMany {
        /// Which.
        path: PathBuf,
        /// Files that are read.
        most: usize,
        /// Folders within folders.
        depth: usize,
    },
    /// A name that no file of a store has.
    #[error("{0:?} is no name of a store's file; they have a-z, 0-9, dots and hyphens, and begin with no dot")]
    Name(String),
    /// An archive that does not parse.
    #[error("the archive does not parse")]
    Archive(#[source] BundleError),
    /// A file that no kind of evidence knows, or that cannot be read.
    #[error("{name}: {why}")]
    NoEndorsement {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
}

impl StoreError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::ReadOnlyFilesystem => Culprit::Usage,
                _ => Culprit::Unavailable,
            },
            Self::TooMany { .. } => Culprit::Usage,
            Self::Archive(BundleError::Version(_)) => Culprit::Unsupported,
            Self::TooLarge { .. } | Self::Name(_) | Self::Archive(_) | Self::NoEndorsement { .. } => Culprit::Malformed,
        }
    }

    /// Stable code for `--format json`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "store-unreadable",
            Self::Write { .. } => "store-unwritable",
            Self::TooLarge { .. } | Self::TooMany { .. } => "store-too-large",
            Self::Name(_) => "store-name",
            Self::Archive(_) => "archive-malformed",
            Self::NoEndorsement { .. } => "endorsement-unknown",
        }
    }

    /// What the person can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } => "check the path, and that this account may read it",
            Self::Write { .. } => "check that the folder exists, is writable and has room",
            Self::TooLarge { .. } => "take the file out of the folder",
            Self::TooMany { .. } => "split the store",
            Self::Name(_) => "rename the file, or take it out of the folder",
            Self::Archive(_) => "ask for a fresh copy and compare its SHA-256",
            Self::NoEndorsement { .. } => "take the file out, or fetch it again",
        }
    }
}
