//! **Duty.** OpenSSF Model Signing (OMS): the one digest over the files of a model, as the reference tool computes it,
//! and its signature bundles in key mode. **Knows** bundle, statement and file lists. **Does not know** the network,
//! certificates or transparency logs. **Spec.** OMS v1.0 (`https://model_signing/signature/v1.0`), held to
//! `model-signing` 1.1.1; decision 0013.

mod bundle;
mod folder;
mod key;

use weighbridge_attest_types::{Digest32, sha256};

pub(crate) use bundle::{MAX_SIGNATURE_BYTES, SignedFiles};
pub(crate) use folder::{Listed, list_folder};
pub(crate) use key::{MAX_KEY_BYTES, PublicKey};

use thiserror::Error;
use weighbridge_attest_types::Culprit;

/// Files of one model: what a signature of 32 MiB can name.
const MAX_MODEL_FILES: usize = 65_536;

/// One file of a model: its name relative to the model, with `/` between folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFile {
    pub(crate) name: String,
    pub(crate) sha256: Digest32,
}

/// SHA-256 over the digests of all files, one after the other in the tool's order.
pub(crate) fn model_digest(files: &[ModelFile]) -> Digest32 {
    let mut files: Vec<&ModelFile> = files.iter().collect();
    files.sort_by(|left, right| in_order(&left.name, &right.name));
    sha256(&files.iter().flat_map(|file| file.sha256.0).collect::<Vec<u8>>())
}

/// The tool compares paths folder by folder: `a/b` comes before `a.txt`.
fn in_order(left: &str, right: &str) -> std::cmp::Ordering {
    left.split('/').cmp(right.split('/'))
}

/// Whether a path is the ignored one or lies below it.
fn is_below(name: &str, ignored: &str) -> bool {
    name.strip_prefix(ignored).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path that stays inside the model and has one spelling.
fn is_plain_path(name: &str) -> bool {
    !name.contains('\0') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Why a model's files or their signature are not accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OmsError {
    /// Not JSON of the bundle's form.
    #[error("the {0} is not of the form that the format gives it")]
    Json(&'static str, #[source] serde_json::Error),
    /// A part that is not base64.
    #[error("the {0} is not base64")]
    Base64(&'static str),
    /// JSON of the right form with a meaning that cannot be.
    #[error("the statement is inconsistent: {0}")]
    Statement(String),
    /// Text where nobody signed and nobody needs it: it could be meant for another reader of the same file.
    #[error("the unsigned part of the bundle holds {0}")]
    Unsigned(&'static str),
    /// What is left out of the model must be the signature itself, not what a link leads to.
    #[error("the signature is a symbolic link inside the model; name a signature that is a file of its own")]
    Link,
    /// Lawful, but not what this command verifies.
    #[error("{0}")]
    Unsupported(String),
    /// No public key that we can use.
    #[error("not a public key in PEM (SubjectPublicKeyInfo of P-256, P-384 or P-521, uncompressed)")]
    Key,
    /// The bundle names another key.
    #[error("the signature was made by another key: the bundle names {named}, the given key is {given}")]
    OtherKey {
        /// What the bundle says.
        named: String,
        /// The hint of the given key.
        given: String,
    },
    /// The signature does not verify.
    #[error("the signature does not verify under the given key")]
    Signature,
    /// The folder holds other files than those signed.
    #[error("the files are not those that were signed: {0}")]
    Differ(String),
    /// Weights that the signature does not cover.
    #[error("{0} is among the weights, but the signature leaves it out")]
    Uncovered(String),
    /// A file name or kind that no signature can hold.
    #[error("{0}")]
    Folder(String),
}

impl OmsError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Json(..) | Self::Base64(_) | Self::Statement(_) | Self::Unsigned(_) => Culprit::Malformed,
            Self::Unsupported(_) => Culprit::Unsupported,
            Self::Key => Culprit::Usage,
            Self::OtherKey { .. } | Self::Signature | Self::Link | Self::Differ(_) | Self::Uncovered(_) => {
                Culprit::Untrusted
            }
            Self::Folder(_) => Culprit::Malformed,
        }
    }

    /// Stable code for `--format json`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(..) | Self::Base64(_) | Self::Statement(_) | Self::Unsigned(_) => "oms-signature-malformed",
            Self::Unsupported(_) => "oms-signature-unsupported",
            Self::Key => "oms-key-unusable",
            Self::OtherKey { .. } | Self::Signature | Self::Link => "oms-signature-untrusted",
            Self::Differ(_) => "oms-files-differ",
            Self::Uncovered(_) => "oms-weights-not-signed",
            Self::Folder(_) => "oms-folder-refused",
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod paths {
    use super::*;

    #[test]
    fn folders_are_compared_part_by_part() {
        let mut names = ["b", "a.txt", "a/b", "a/.x", "a", ".hidden", "a/b/c"];
        names.sort_by(|left, right| in_order(left, right));
        assert_eq!(names, [".hidden", "a", "a/.x", "a/b", "a/b/c", "a.txt", "b"]);
    }

    #[test]
    fn ignoring_a_folder_ignores_what_is_below_and_nothing_beside() {
        assert!(is_below(".git", ".git") && is_below(".git/x", ".git"));
        assert!(!is_below(".gitignore", ".git") && !is_below("x/.git", ".git"));
    }

    #[test]
    fn paths_stay_inside_the_model() {
        for name in ["", ".", "..", "/a", "a//b", "a/../b", "./a", "a/", "a\0"] {
            assert!(!is_plain_path(name), "{name:?}");
        }
        assert!(is_plain_path("a/b.c/..d"));
    }
}
