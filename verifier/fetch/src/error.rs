//! **Duty.** What can go wrong between a vendor's service and a store. **Spec.** HOUSE §5.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error as ThisError;
use weighbridge_attest_types::Culprit;
use weighbridge_endorsements::{KeyError, StoreError};

use crate::http::HttpError;

/// Why something was not fetched.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer after all tries.
    #[error("{url}: no answer after {tries} tries")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// How often.
        tries: u32,
        /// What went wrong the last time.
        #[source]
        source: HttpError,
    },
    /// An answer that says: not now.
    #[error("{url}: status {status} after {tries} tries")]
    Busy {
        /// What was asked.
        url: String,
        /// The last status.
        status: u16,
        /// How often.
        tries: u32,
    },
    /// The service wants to be left alone for longer than anybody waits.
    #[error("{url}: asked to wait {seconds} s, longer than --max-wait")]
    Wait {
        /// What was asked.
        url: String,
        /// How long.
        seconds: u64,
    },
    /// The vendor has no such statement.
    #[error("{url}: the vendor knows no such thing (status {status})")]
    NotThere {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
    },
    /// An answer that is not what was asked for.
    #[error("{url}: the answer is not what was asked for: {why}")]
    Answer {
        /// What was asked.
        url: String,
        /// Why.
        why: String,
    },
    /// Words or files that make no request.
    #[error("{0}")]
    Words(String),
    /// A key that nothing can lie under.
    #[error("this makes no request")]
    Key(#[source] KeyError),
    /// A file that was named.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error("the store")]
    Store(#[source] StoreError),
    /// Standard output.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl FetchError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::NoAnswer { source: HttpError::TooLong(_), .. } | Self::Answer { .. } => Culprit::Malformed,
            Self::NoAnswer { .. } | Self::Busy { .. } | Self::Wait { .. } | Self::NotThere { .. } | Self::Output(_) => {
                Culprit::Unavailable
            }
            Self::Words(_) | Self::Key(_) | Self::File { .. } => Culprit::Usage,
            Self::Store(source) => source.culprit(),
        }
    }

    /// Stable code for `--format json`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAnswer { .. } => "fetch-no-answer",
            Self::Busy { .. } | Self::Wait { .. } => "fetch-busy",
            Self::NotThere { .. } => "fetch-not-there",
            Self::Answer { .. } => "fetch-answer",
            Self::Words(_) | Self::Key(_) | Self::File { .. } => "fetch-request",
            Self::Store(source) => source.code(),
            Self::Output(_) => "output-unwritable",
        }
    }

    /// What the person can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoAnswer { .. } => "check the network, and whether a proxy stands between",
            Self::Busy { .. } | Self::Wait { .. } => "try again later; what was fetched stays",
            Self::NotThere { .. } => "check the ids; a chip or firmware may be too new for the vendor's service",
            Self::Answer { .. } => "check that the URL is the vendor's, or a mirror that passes answers on unchanged",
            Self::Words(_) | Self::Key(_) => "read --help",
            Self::File { .. } => "check the path, and that this account may read it",
            Self::Store(source) => source.remedy(),
            Self::Output(_) => "check where the output goes",
        }
    }

    /// The message with everything behind it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}
