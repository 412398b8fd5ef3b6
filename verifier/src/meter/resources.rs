//! **Duty.** How much memory and disk there is: asked before long work, not after it. **Does not know** what needs them.

use std::fs;
use std::path::Path;

use crate::error::CliError;

/// Where the kernel says what is free.
const MEMORY: &str = "/proc/meminfo";
/// Of the free memory, what a prover takes by itself: the rest is for whatever else goes on.
const SHARE: (u64, u64) = (9, 10);

/// What may be used of this machine's memory, in bytes.
///
/// # Errors
/// [`CliError::Read`], [`CliError::NoMemoryFigure`].
pub(super) fn free_memory() -> Result<u64, CliError> {
    let text = fs::read_to_string(MEMORY).map_err(|source| CliError::Read { path: MEMORY.into(), source })?;
    available(&text).map(|bytes| bytes / SHARE.1 * SHARE.0).ok_or(CliError::NoMemoryFigure)
}

fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether a folder's file system has room for so many bytes.
///
/// # Errors
/// [`CliError::Disk`], [`CliError::Write`].
pub(super) fn check_room(folder: &Path, needed: u64) -> Result<(), CliError> {
    let failed = |error: rustix::io::Errno| CliError::Write { path: folder.to_owned(), source: error.into() };
    let system = rustix::fs::statvfs(folder).map_err(failed)?;
    has_room(folder, system.f_bavail.saturating_mul(system.f_frsize), needed)
}

fn has_room(folder: &Path, free: u64, needed: u64) -> Result<(), CliError> {
    match free >= needed {
        true => Ok(()),
        false => Err(CliError::Disk { path: folder.to_owned(), free, needed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_attest_types::Culprit;

    #[test]
    fn the_kernels_figure_is_read_in_bytes() {
        assert_eq!(available("MemTotal: 24 kB\nMemAvailable:   1000 kB\n"), Some(1_024_000));
        for text in ["", "MemAvailable: many kB", "MemAvailable: 7", "MemFree: 7 kB"] {
            assert_eq!(available(text), None, "{text}");
        }
        assert!(free_memory().is_ok_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_full_disk_is_named_before_anything_is_proven() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_room(folder.path(), 1).is_ok());
        let refused = check_room(folder.path(), u64::MAX).unwrap_err();
        assert!(matches!(refused, CliError::Disk { needed: u64::MAX, .. }));
        assert_eq!(refused.culprit(), Culprit::Unavailable);
        assert!(has_room(folder.path(), 10, 10).is_ok() && has_room(folder.path(), 9, 10).is_err());
        assert!(check_room(&folder.path().join("none"), 1).is_err());
    }
}
