//! **Duty.** The output folder: where everything lies, and that only a folder of our own is ever removed.
//! **Knows** paths. **Does not know** contents.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use weighbridge_attest_types::Culprit;

const MARKER: &str = ".weighbridge-demo";
const MARKER_TEXT: &str =
    "The next weighbridge-demo with this --out removes this folder. Delete this file to keep it.\n";

/// An output folder that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// Somebody else's files.
    #[error(
        "{} exists and was not made by weighbridge-demo (no {MARKER} in it); move it away or choose another --out",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The file system.
    #[error("cannot use {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The output folder of one demo.
#[derive(Debug, Clone)]
pub struct Output {
    root: PathBuf,
}

impl OutputError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Foreign(_) => Culprit::Usage,
            Self::Io { .. } => Culprit::Unavailable,
        }
    }
}

impl Output {
    /// Takes `root` for this demo: a folder that is missing, empty, or left by an earlier demo (then it is emptied).
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn claim(root: &Path) -> Result<Self, OutputError> {
        let io = |source| OutputError::Io { path: root.to_owned(), source };
        match fs::symlink_metadata(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
            // A link may lead anywhere: it is never followed into a removal.
            Ok(found) if !found.is_dir() => return Err(OutputError::Foreign(root.to_owned())),
            Ok(_) if root.join(MARKER).is_file() => fs::remove_dir_all(root).map_err(io)?,
            Ok(_) if fs::read_dir(root).map_err(io)?.next().is_none() => {}
            Ok(_) => return Err(OutputError::Foreign(root.to_owned())),
        }
        let output = Self { root: root.to_owned() };
        for folder in [output.trust_roots(), output.endorsements()] {
            fs::create_dir_all(folder).map_err(io)?;
        }
        DirBuilder::new().mode(0o700).create(output.private()).map_err(io)?;
        fs::write(root.join(MARKER), MARKER_TEXT).map_err(io)?;
        Ok(output)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Development roots of the simulated platform.
    #[must_use]
    pub fn trust_roots(&self) -> PathBuf {
        self.root.join("trust-roots")
    }

    /// Vendor collateral of the simulated platform.
    #[must_use]
    pub fn endorsements(&self) -> PathBuf {
        self.root.join("endorsements")
    }

    /// What never leaves the operator.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.root.join("private")
    }

    /// State and checkpoints of one node.
    #[must_use]
    pub fn node(&self, index: usize) -> PathBuf {
        self.root.join(format!("node-{index}"))
    }

    /// A node's public export: of its first key, or of the key after its `reboot`-th reboot.
    #[must_use]
    pub fn export(&self, index: usize, reboot: usize) -> PathBuf {
        self.root.join(match reboot {
            0 => format!("node-{index}.export"),
            _ => format!("node-{index}.after-{reboot}.export"),
        })
    }

    /// A node's private witness folder.
    #[must_use]
    pub fn witness(&self, index: usize) -> PathBuf {
        self.private().join(format!("node-{index}"))
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.root.join("run.weighbridge")
    }

    /// Answers to the draws of the audit.
    #[must_use]
    pub fn answers(&self) -> PathBuf {
        self.root.join("run.answers")
    }

    /// The report in one of its forms.
    #[must_use]
    pub fn report(&self, form: &str) -> PathBuf {
        self.root.join(format!("report.{form}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_our_own_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let output = Output::claim(&root).unwrap();
        fs::write(output.bundle(), b"old").unwrap();
        assert!(!Output::claim(&root).unwrap().bundle().exists());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(output.private()).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);

        fs::write(root.join("thesis.txt"), b"years of work").unwrap();
        fs::remove_file(root.join(MARKER)).unwrap();
        let error = Output::claim(&root).unwrap_err();
        assert!(matches!(&error, OutputError::Foreign(path) if *path == root), "{error:?}");
        assert_eq!(error.culprit(), Culprit::Usage);
        assert!(root.join("thesis.txt").exists());
    }

    #[test]
    fn a_link_to_a_marked_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        Output::claim(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(Output::claim(&link), Err(OutputError::Foreign(_))));
        assert!(real.join(MARKER).exists());
    }
}
