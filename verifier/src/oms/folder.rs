//! **Duty.** Which files of a folder a signature is about: all of them, except what the rules ignore. **Knows** the file
//! system. **Does not know** digests. **Spec.** `model-signing` 1.1.1, `_serialization/file.py`: every regular file below
//! the folder, hidden ones too; a symbolic link only where the rules allow it; folders are not followed through links.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::CliError;
use crate::oms::{MAX_MODEL_FILES, OmsError, in_order, is_below};

/// Folders inside folders. Published models have three levels.
const MAX_DEPTH: usize = 32;

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Relative to the folder, with `/`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Files below a folder in the tool's order. `ignored` are names relative to it, with everything below them.
///
/// # Errors
/// [`CliError::Read`]; [`OmsError::Folder`] for what no signature can be about.
pub(crate) fn list_folder(root: &Path, ignored: &[String], allow_symlinks: bool) -> Result<Vec<Listed>, CliError> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new(), 0usize)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let failed = |source| CliError::Read { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let refused = |why: &str| CliError::Oms { path: path.clone(), source: OmsError::Folder(why.to_owned()) };
            let name = entry.file_name().into_string().map_err(|_| refused("its name is not UTF-8; rename it"))?;
            let name = format!("{prefix}{name}");
            if ignored.iter().any(|ignored| is_below(&name, ignored)) {
                continue;
            }
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_symlink() && !allow_symlinks {
                return Err(refused("a symbolic link, which the signature does not allow"));
            }
            // Followed: a link stands for the file it leads to.
            let target = fs::metadata(&path).map_err(|source| CliError::Read { path: path.clone(), source })?;
            if target.is_dir() {
                if kind.is_symlink() {
                    return Err(refused("a link to a folder: no signature covers what is behind it"));
                }
                if depth >= MAX_DEPTH {
                    return Err(refused("more than 32 folders deep"));
                }
                folders.push((path, format!("{name}/"), depth.saturating_add(1)));
            } else if target.is_file() {
                if files.len() >= MAX_MODEL_FILES {
                    return Err(refused("one file more than the 65,536 that a model may have"));
                }
                files.push(Listed { name, path });
            } else {
                return Err(refused("neither a file nor a folder"));
            }
        }
    }
    files.sort_by(|left, right| in_order(&left.name, &right.name));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(root: &Path, ignored: &[&str], allow: bool) -> Result<Vec<String>, CliError> {
        let ignored: Vec<String> = ignored.iter().map(|name| (*name).to_owned()).collect();
        Ok(list_folder(root, &ignored, allow)?.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn all_files_below_are_listed_without_what_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b", ".git/x", "sub/.hidden", "sub/deep/f", "sub.txt", "model.sig"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
        fs::create_dir(root.join("empty")).unwrap();
        let all = [".git/x", "b", "model.sig", "sub/.hidden", "sub/deep/f", "sub.txt"];
        assert_eq!(names(root, &[], false).unwrap(), all);
        assert_eq!(names(root, &[".git", "model.sig", "sub/deep"], false).unwrap(), ["b", "sub/.hidden", "sub.txt"]);
    }

    #[test]
    fn links_need_leave_and_never_lead_into_folders() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("f"), "f").unwrap();
        symlink("f", root.join("g")).unwrap();
        assert_eq!(names(root, &[], true).unwrap(), ["f", "g"]);
        assert!(names(root, &[], false).unwrap_err().chain().contains("does not allow"));
        assert_eq!(names(root, &["g"], false).unwrap(), ["f"]);
        symlink(".", root.join("h")).unwrap();
        assert!(names(root, &[], true).unwrap_err().chain().contains("link to a folder"));
        fs::remove_file(root.join("h")).unwrap();
        symlink("/dev/null", root.join("h")).unwrap();
        assert!(names(root, &[], true).unwrap_err().chain().contains("neither a file nor a folder"));
    }
}
