//! **Duty.** Files in and out: reading under a cap, before anything is loaded whole, and writing so that a reader sees
//! either the old file or the complete new one. **Does not know** what any file means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// Reads a whole file of at most `cap` bytes; `-` is standard input.
///
/// # Errors
/// [`CliError::Read`], [`CliError::TooLarge`].
pub(crate) fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let input: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut bytes = Vec::new();
    // One byte more than allowed tells "exactly at the cap" from "longer", whatever the file system claims.
    input.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > cap {
        return Err(CliError::TooLarge { path: path.to_owned(), cap });
    }
    Ok(bytes)
}

/// The file itself, or the plain files of a folder in ascending order of name; names that start with a dot are left
/// out, folders inside are not entered.
///
/// # Errors
/// [`CliError::Read`].
pub(crate) fn files_at(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file can be written beside others in its folder: asked before long work, not after it.
///
/// # Errors
/// [`CliError::Write`].
pub(crate) fn check_folder_of(path: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: path.to_owned(), source };
    let is_folder = fs::metadata(folder_of(path)).map_err(failed)?.is_dir();
    if is_folder { Ok(()) } else { Err(failed(io::Error::from(io::ErrorKind::NotADirectory))) }
}

/// Writes a file through a temporary neighbour: written, synced, then renamed over the name.
///
/// # Errors
/// [`CliError::Write`].
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    weighbridge_endorsements::write_atomically(path, bytes)
        .map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// The same for what its owner alone may read.
///
/// # Errors
/// [`CliError::Write`].
pub(crate) fn write_atomically_in_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    weighbridge_endorsements::write_atomically_in_private(path, bytes)
        .map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// Writes a private key: for its owner alone, and never over a file that is there.
///
/// # Errors
/// [`CliError::Write`].
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| CliError::Write { path: path.to_owned(), source })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_attest_types::Culprit;

    #[test]
    fn one_byte_over_the_cap_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_capped(&path, 10).unwrap(), [7; 10]);
        let refused = read_capped(&path, 9).unwrap_err();
        assert!(matches!(refused, CliError::TooLarge { cap: 9, .. }));
        assert_eq!(refused.culprit(), Culprit::Malformed);
    }

    #[test]
    fn a_missing_file_is_the_callers_mistake() {
        let refused = read_capped(Path::new("no/such/file"), 1).unwrap_err();
        assert_eq!(refused.culprit(), Culprit::Usage);
        assert_eq!(refused.to_string(), "cannot read no/such/file");
    }

    #[test]
    fn folders_list_plain_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".hidden"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("c")).unwrap();
        let files = files_at(folder.path()).unwrap();
        assert_eq!(files, [folder.path().join("a"), folder.path().join("b")]);
        assert_eq!(files_at(&files[0]).unwrap(), [files[0].clone()]);
    }

    #[test]
    fn writing_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(check_folder_of(&path).is_ok());
        assert!(check_folder_of(&folder.path().join("none/out")).is_err());
        assert!(check_folder_of(&path.join("out")).is_err());
        let refused = write_atomically(&folder.path().join("none/out"), b"x").unwrap_err();
        assert_eq!(refused.culprit(), Culprit::Usage);
    }
}
