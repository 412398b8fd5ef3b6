//! **Duty.** Opens files of a training job below allowed folders, step by step: a link on the way, a pipe at the end or a
//! way out is refused, also when it is put there between two looks. **Does not know** what the files hold.
//! **Spec.** TRAINING §1 (pitfalls), §5 (trust).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use thiserror::Error;
use weighbridge_attest_types::Culprit;
use weighbridge_commitments::OpenedFile;

/// Why a path is not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PathError {
    /// Not below an allowed folder, or not a plain absolute path.
    #[error("{} is not below a folder of `checkpoint_roots`", path.display())]
    Outside {
        /// Path.
        path: PathBuf,
    },
    /// A symbolic link on the way.
    #[error("{} leads over a symbolic link", path.display())]
    Link {
        /// Path.
        path: PathBuf,
    },
    /// A folder, pipe, socket or device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// Path.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}

/// Opens a regular file below one of `roots`. The roots themselves are the operator's, and may be links.
///
/// # Errors
/// [`PathError`].
pub(super) fn open(roots: &[PathBuf], path: &Path) -> Result<OpenedFile, PathError> {
    let outside = || PathError::Outside { path: path.to_owned() };
    let refused = |error: Errno| PathError::Io { path: path.to_owned(), source: error.into() };
    let (root, below) =
        roots.iter().find_map(|root| Some((root, path.strip_prefix(root).ok()?))).ok_or_else(outside)?;
    let mut folder = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(outside()) };
        let here = folder.map_err(refused)?;
        // Opening a device or a pipe can do something by itself: its kind is asked for first, without following links.
        let kind = FileType::from_raw_mode(statat(&here, name, AtFlags::SYMLINK_NOFOLLOW).map_err(refused)?.st_mode);
        let is_last = parts.peek().is_none();
        match kind {
            FileType::Symlink => return Err(PathError::Link { path: path.to_owned() }),
            FileType::RegularFile if is_last => return open_file(&here, name.as_ref(), path),
            _ if is_last => return Err(PathError::NotAFile { path: path.to_owned() }),
            _ => {}
        }
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder = openat(&here, name, step, Mode::empty());
    }
    Err(PathError::NotAFile { path: path.to_owned() })
}

/// What the last part of a path is by now: a link fails, a pipe does not wait.
fn open_file(folder: &OwnedFd, name: &Path, path: &Path) -> Result<OpenedFile, PathError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map(File::from);
    let file = file.map_err(|error| match error {
        Errno::LOOP => PathError::Link { path: path.to_owned() },
        other => PathError::Io { path: path.to_owned(), source: other.into() },
    })?;
    let seen = file.metadata().map_err(|source| PathError::Io { path: path.to_owned(), source })?;
    if !seen.is_file() {
        return Err(PathError::NotAFile { path: path.to_owned() });
    }
    Ok(OpenedFile { path: path.to_owned(), file })
}

impl PathError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Io { .. } => Culprit::Unavailable,
            Self::Outside { .. } | Self::Link { .. } | Self::NotAFile { .. } => Culprit::Usage,
        }
    }

    /// Stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Outside { .. } => "path-outside-roots",
            Self::Link { .. } => "path-link",
            Self::NotAFile { .. } => "path-not-a-file",
            Self::Io { .. } => "checkpoint-unreadable",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Outside { .. } => "write checkpoints below an allowed folder, or add theirs to `checkpoint_roots`",
            Self::Link { .. } => "name the file itself, without links on the way",
            Self::NotAFile { .. } => "name the checkpoint's files",
            Self::Io { .. } => {
                "let the service's user read the file (its unit has a /tmp of its own), then report the checkpoint again; \
                 the run goes on meanwhile"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_plain_files_below_a_root_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("run/step")).unwrap();
        std::fs::write(root.join("run/step/w"), "weights").unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("step", root.join("run/latest")).unwrap();
        symlink("w", root.join("run/step/link")).unwrap();
        symlink("../../secret", root.join("run/out")).unwrap();
        let _socket = UnixListener::bind(root.join("run/socket")).unwrap();
        assert!(Command::new("mkfifo").arg(root.join("run/pipe")).status().unwrap().success());
        let roots = [folder.path().join("other"), root.clone()];

        let mut text = String::new();
        let mut opened = open(&roots, &root.join("run/step/w")).unwrap();
        opened.file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "weights");
        let refused = |path: &str| open(&roots, &root.join(path)).unwrap_err().code();
        for (path, code) in [
            ("run/latest/w", "path-link"),
            ("run/step/link", "path-link"),
            ("run/out", "path-link"),
            ("run/pipe", "path-not-a-file"),
            ("run/socket", "path-not-a-file"),
            ("run/step", "path-not-a-file"),
            ("", "path-not-a-file"),
            ("run/absent", "checkpoint-unreadable"),
            ("run/step/w/x", "checkpoint-unreadable"),
            ("../secret", "path-outside-roots"),
            ("run/../run/step/w", "path-outside-roots"),
        ] {
            assert_eq!(refused(path), code, "{path}");
        }
        let outside = open(&roots, &folder.path().join("secret")).unwrap_err();
        assert_eq!((outside.code(), outside.culprit()), ("path-outside-roots", Culprit::Usage));
        assert_eq!(open(&roots, Path::new("root/run/step/w")).unwrap_err().code(), "path-outside-roots");
        assert_eq!(open(&["/".into()], &root.join("run/step/w")).unwrap().path, root.join("run/step/w"));
    }
}
