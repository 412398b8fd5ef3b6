//! **Duty.** How a command ends when it does not end well: one culprit, one code, one text. **Spec.** HOUSE §5.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error as ThisError;
use weighbridge_attest_types::Culprit;

use super::{ClientError, NodeError, ServeError, chain_text};
use crate::config::ConfigError;
use crate::export::WriteError;

/// Why a command failed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum CommandError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Serving.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The running service.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The state folder.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Writing a file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The runtime or its signals.
    #[error("the service's runtime does not start")]
    Runtime(#[source] io::Error),
    /// A configuration that cannot be printed.
    #[error("the configuration cannot be printed")]
    Render(#[source] toml::ser::Error),
    /// A token file that cannot be read.
    #[error("{} could not be read", path.display())]
    TokenUnreadable {
        /// File.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A token file that is not what it should be.
    #[error("{} is not {what}: {why}", path.display())]
    Token {
        /// File.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        why: String,
    },
    /// No head to stamp.
    #[error("the node has no head yet; start a run first")]
    NoHead,
    /// Manual pages that could not be written.
    #[error("cannot write manual pages to {}; name a folder that exists", folder.display())]
    Man {
        /// Where.
        folder: std::path::PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Neither export was asked for.
    #[error("name --out FILE or --witness DIR")]
    NothingAsked,
    /// A witness too short for its key.
    #[error("the service sent a witness without a node key")]
    WitnessBytes,
    /// A machine without a whole set of interfaces.
    #[error("this machine lacks an evidence interface that a node needs: a CPU TEE and accelerators")]
    Incomplete,
    /// A machine with all interfaces and something wrong.
    #[error("{faults} finding{} in the way of a node", if *faults == 1 { " stands" } else { "s stand" })]
    Ailing {
        /// How many.
        faults: usize,
    },
}

impl CommandError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Config(error) => error.culprit(),
            Self::Serve(error) => error.culprit(),
            Self::Client(error) => error.culprit(),
            Self::Node(error) => error.culprit(),
            Self::Write(error) => error.culprit(),
            Self::Runtime(_) | Self::Incomplete | Self::Ailing { .. } => Culprit::Unavailable,
            Self::Render(_) => Culprit::Internal,
            Self::NothingAsked | Self::NoHead | Self::TokenUnreadable { .. } | Self::Man { .. } => Culprit::Usage,
            Self::WitnessBytes | Self::Token { .. } => Culprit::Malformed,
        }
    }

    /// Stable reason code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Config(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::Client(error) => error.code(),
            Self::Node(error) => error.code(),
            Self::Write(_) | Self::Man { .. } => "not-written",
            Self::Runtime(_) => "runtime",
            Self::Render(_) => "render",
            Self::TokenUnreadable { .. } => "token-unreadable",
            Self::Token { .. } => "token-malformed",
            Self::NoHead => "no-head",
            Self::NothingAsked => "nothing-asked",
            Self::WitnessBytes => "answer-malformed",
            Self::Incomplete => "interfaces-missing",
            Self::Ailing { .. } => "doctor-faults",
        }
    }

    /// The error with its sources and, where it is not in the message, the remedy.
    #[must_use]
    pub fn text(&self) -> String {
        let remedy = match self {
            Self::Serve(error) => error.remedy(),
            Self::Node(error) => error.remedy(),
            _ => "",
        };
        let text = chain_text(self as &dyn Error);
        if remedy.is_empty() || text.ends_with(remedy) { text } else { format!("{text}; {remedy}") }
    }
}
