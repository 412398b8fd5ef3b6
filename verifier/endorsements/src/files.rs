//! **Duty.** Files in and out: under a cap, before anything is loaded whole; written so that a reader sees either the old
//! file or the complete new one. **Does not know** what any file means.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Files of a folder with all folders below. Source: what `attest` reads of a store at most.
pub const FOLDER_FILES: usize = 4_096;
/// Folders within folders. Source: the store's own layout has four.
pub const FOLDER_DEPTH: usize = 6;

/// Reads a whole file of at most `cap` bytes; `None` when it is longer.
///
/// # Errors
/// What the system says.
pub fn read_capped(path: &Path, cap: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells "exactly at the cap" from "longer", whatever the file system claims.
    File::open(path)?.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= cap).then_some(bytes))
}

/// Writes a file through a temporary neighbour: written, synced, then renamed over the name.
///
/// # Errors
/// What the system says.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_through_neighbour(path, bytes, 0o666)
}

/// The same for what its owner alone may read.
///
/// # Errors
/// What the system says.
pub fn write_atomically_in_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_through_neighbour(path, bytes, 0o600)
}

/// Whether this is the temporary neighbour of a process that is gone: killed while it wrote.
#[must_use]
pub fn is_abandoned(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.'));
    let process = parts.and_then(|(rest, number)| number.parse::<u64>().ok().and(rest.rsplit_once('.')));
    process.is_some_and(|(_, process)| {
        process.parse::<u32>().is_ok_and(|process| !Path::new("/proc").join(process.to_string()).exists())
    })
}

fn write_through_neighbour(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = folder.join(temporary_name(name));
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The name carries this process and thread: nobody else's file is removed.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // The new name must survive a power cut as well as the bytes do.
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// Every plain file below a folder, ascending by path; `None` when there are more, or deeper folders, than anybody reads.
/// Links to folders are not followed; names with a dot before them are left out.
///
/// # Errors
/// What the system says.
pub fn walk(root: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), depth + 1));
            } else if entry.path().is_file() {
                found.push(entry.path());
            }
            if found.len() > FOLDER_FILES || folders.len() > FOLDER_FILES || depth > FOLDER_DEPTH {
                return Ok(None);
            }
        }
    }
    found.sort_unstable();
    Ok(Some(found))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Two threads that write one name write two temporary files: `.NAME.PROCESS.NUMBER.tmp`.
fn temporary_name(name: &OsStr) -> OsString {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let mut temporary = OsStr::new(".").to_owned();
    temporary.push(name);
    temporary.push(format!(".{}.{}.tmp", std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed)));
    temporary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_over_the_cap_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_capped(&path, 10).unwrap(), Some(vec![7; 10]));
        assert_eq!(read_capped(&path, 9).unwrap(), None);
    }

    #[test]
    fn writing_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomically(&folder.path().join("none/out"), b"x").is_err());
    }

    #[test]
    fn half_a_file_of_a_process_that_is_gone_is_known() {
        let own = temporary_name(OsStr::new("out"));
        assert!(!is_abandoned(&own), "this process lives");
        assert!(is_abandoned(OsStr::new(".out.4294967295.0.tmp")));
        for other in ["out", ".out.tmp", ".out.x.0.tmp", ".out.4294967295.x.tmp", "out.4294967295.0.tmp", ".hidden"] {
            assert!(!is_abandoned(OsStr::new(other)), "{other}");
        }
    }

    #[test]
    fn a_private_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_atomically_in_private(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_without_an_end_is_not_walked_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "").unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/c"), "").unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let found = walk(folder.path()).unwrap().unwrap();
        assert_eq!(found, [folder.path().join("a/c"), folder.path().join("b")]);
        fs::create_dir_all(folder.path().join(["x"; FOLDER_DEPTH + 2].join("/")).join("y")).unwrap();
        assert_eq!(walk(folder.path()).unwrap(), None);
    }
}
