//! **Duty.** Why a checkpoint cannot be committed, and whose fault that is. **Spec.** HOUSE §5.

use std::path::PathBuf;

use thiserror::Error;
use weighbridge_attest_types::Culprit;

/// Why files are not a checkpoint that we can commit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing to commit.
    #[error("no checkpoint file was given; name at least one safetensors file")]
    NoFiles,
    /// More files than an interval can carry.
    #[error("{found} checkpoint files; one checkpoint has at most {cap}")]
    TooManyFiles {
        /// Files given.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// A path without a name in UTF-8.
    #[error("{}: the file name is not UTF-8; rename the file", file.display())]
    FileName {
        /// The path.
        file: PathBuf,
    },
    /// Two paths end in the same name.
    #[error("two checkpoint files are named {name:?}; give each file once, under its own name")]
    DuplicateFile {
        /// The name.
        name: String,
    },
    /// A folder, socket or device.
    #[error("{}: not a regular file; name the safetensors files themselves", file.display())]
    NotAFile {
        /// The path.
        file: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot be read", file.display())]
    Io {
        /// The path.
        file: PathBuf,
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
    /// Other bytes than before.
    #[error("{}: changed while it was being read; commit again when the writer is done", file.display())]
    Changed {
        /// The path.
        file: PathBuf,
    },
    /// Not a safetensors file that we accept.
    #[error("{}: not an acceptable safetensors file", file.display())]
    Header {
        /// The path.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: HeaderError,
    },
    /// One tensor in two files.
    #[error("tensor {tensor:?} is in {} and in {}; each tensor may be there once", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Headers of all files together are over the cap.
    #[error("the headers of all files have {found} bytes together; the cap is {cap}")]
    HeadersTooLarge {
        /// Bytes found.
        found: u64,
        /// The cap.
        cap: u64,
    },
    /// More tensors than we keep in memory.
    #[error("{found} tensors in all files together; the cap is {cap}")]
    TooManyTensors {
        /// Tensors found so far.
        found: u64,
        /// The cap.
        cap: u64,
    },
    /// Files without a single tensor.
    #[error("the files hold no tensor; an empty checkpoint commits to nothing")]
    NoTensors,
}

/// What is wrong inside one safetensors file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file ends before its header or its data does.
    #[error("the file ends {missing} bytes early")]
    Truncated {
        /// Bytes that are missing.
        missing: u64,
    },
    /// Bytes follow the last tensor.
    #[error("{extra} bytes follow the last tensor")]
    Trailing {
        /// How many.
        extra: u64,
    },
    /// The header is larger than we read.
    #[error("a header of {found} bytes is over the cap of {cap}; split the checkpoint into more files")]
    TooLarge {
        /// Bytes announced.
        found: u64,
        /// The cap.
        cap: u64,
    },
    /// The header is not JSON of the format's form.
    #[error("the header is not a safetensors header")]
    Json(#[source] serde_json::Error),
    /// The header starts with something else than `{`.
    #[error("the header does not start with an opening brace")]
    NoBrace,
    /// One name twice in one header.
    #[error("the name {name:?} is in the header twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A data type that the format does not know.
    #[error("tensor {tensor:?}: data type {dtype:?} is unknown to this build")]
    UnknownDtype {
        /// The tensor.
        tensor: String,
        /// The type's name, clipped.
        dtype: String,
    },
    /// Elements of less than a byte that do not come to whole bytes.
    #[error("tensor {tensor:?}: {elements} elements of {dtype} do not come to whole bytes")]
    PartByte {
        /// The tensor.
        tensor: String,
        /// The type.
        dtype: &'static str,
        /// Elements of the shape.
        elements: u64,
    },
    /// A dimension or a product of dimensions that does not fit.
    #[error("tensor {tensor:?}: its shape is too large to count exactly")]
    Shape {
        /// The tensor.
        tensor: String,
    },
    /// The offsets do not span what shape and data type need.
    #[error("tensor {tensor:?} needs {needed} bytes but its offsets are [{begin}, {end}]")]
    Size {
        /// The tensor.
        tensor: String,
        /// Bytes that shape and data type need.
        needed: u64,
        /// First offset.
        begin: u64,
        /// Second offset.
        end: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("tensor {tensor:?} begins at {begin}, but the one before it ends at {expected}: bytes of no tensor")]
    Gap {
        /// The tensor after the gap.
        tensor: String,
        /// Where it begins.
        begin: u64,
        /// Where it should.
        expected: u64,
    },
    /// Bytes that belong to two tensors.
    #[error("tensor {tensor:?} begins at {begin}, but the one before it ends at {expected}: they overlap")]
    Overlap {
        /// The second tensor.
        tensor: String,
        /// Where it begins.
        begin: u64,
        /// Where it should.
        expected: u64,
    },
}

impl CommitError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::NoFiles
            | Self::TooManyFiles { .. }
            | Self::FileName { .. }
            | Self::DuplicateFile { .. }
            | Self::NotAFile { .. } => Culprit::Usage,
            Self::Io { .. } | Self::Changed { .. } => Culprit::Unavailable,
            Self::Header { source, .. } => source.culprit(),
            Self::DuplicateTensor { .. } | Self::NoTensors => Culprit::Malformed,
            Self::HeadersTooLarge { .. } | Self::TooManyTensors { .. } => Culprit::Unsupported,
        }
    }
}

impl HeaderError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::TooLarge { .. } | Self::UnknownDtype { .. } => Culprit::Unsupported,
            Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Json(_)
            | Self::NoBrace
            | Self::DuplicateName { .. }
            | Self::PartByte { .. }
            | Self::Shape { .. }
            | Self::Size { .. }
            | Self::Gap { .. }
            | Self::Overlap { .. } => Culprit::Malformed,
        }
    }
}
