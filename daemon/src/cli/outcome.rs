//! **Duty.** How a command ends when it does not end well: one culprit, one code, one text. **Spec.** HOUSE §5.

use std::error::Error;
use std::io;

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
            Self::Runtime(_) | Self::Incomplete => Culprit::Unavailable,
            Self::Render(_) => Culprit::Internal,
            Self::NothingAsked | Self::Man { .. } => Culprit::Usage,
            Self::WitnessBytes => Culprit::Malformed,
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
            Self::NothingAsked => "nothing-asked",
            Self::WitnessBytes => "answer-malformed",
            Self::Incomplete => "interfaces-missing",
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
