//! **Duty.** One error for the whole path: which stage, whose fault, why. **Does not know** how it is printed.

use std::error::Error;

use thiserror::Error;
use weighbridge_attest_types::Culprit;

type Source = Box<dyn Error + Send + Sync>;

/// A stage that failed; what came before it is in the output folder.
#[derive(Debug, Error)]
#[error("stage `{stage}` failed")]
pub struct DemoError {
    stage: &'static str,
    culprit: Culprit,
    #[source]
    source: Source,
}

/// Makes errors of one stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault(&'static str);

impl DemoError {
    pub(crate) fn new(stage: &'static str, culprit: Culprit, source: impl Into<Source>) -> Self {
        Self { stage, culprit, source: source.into() }
    }

    /// Name of the stage.
    #[must_use]
    pub const fn stage(&self) -> &'static str {
        self.stage
    }

    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        self.culprit
    }
}

impl Fault {
    pub(crate) const fn of(stage: &'static str) -> Self {
        Self(stage)
    }

    /// The error itself says whose fault it is.
    pub(crate) fn by<E: Into<Source>>(self, culprit: impl Fn(&E) -> Culprit) -> impl FnOnce(E) -> DemoError {
        move |error| {
            let culprit = culprit(&error);
            DemoError::new(self.0, culprit, error)
        }
    }

    /// Ours.
    pub(crate) fn internal<E: Into<Source>>(self) -> impl FnOnce(E) -> DemoError {
        self.by(|_| Culprit::Internal)
    }

    /// The file system's, or the machine's.
    pub(crate) fn unavailable<E: Into<Source>>(self) -> impl FnOnce(E) -> DemoError {
        self.by(|_| Culprit::Unavailable)
    }

    /// The bytes'.
    pub(crate) fn malformed<E: Into<Source>>(self) -> impl FnOnce(E) -> DemoError {
        self.by(|_| Culprit::Malformed)
    }
}
