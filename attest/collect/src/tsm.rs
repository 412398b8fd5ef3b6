//! **Duty.** One request to the kernel's configfs-tsm report interface: its own entry, in-blob, out-blob, provider,
//! generation, and the entry removed whatever happened. **Knows** files and retries. **Does not know** quotes.
//! **Spec.** EVIDENCE §5.1.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::CollectError;

/// Where the kernel puts the interface.
pub(crate) const TSM_REPORT: &str = "/sys/kernel/config/tsm/report";

const WHAT: &str = "the kernel's report interface (configfs-tsm)";
/// Attempts before giving up; pauses double from 10 ms, so that the whole takes at most about 2.5 s.
const ATTEMPTS: u32 = 9;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// A host's table: a few certificates of 2 KiB each, and one revocation list.
const MAX_AUX_BYTES: usize = 64 * 1024;
/// Attributes other than blobs are one short line.
const MAX_LINE_BYTES: usize = 256;

/// What a request answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TsmAnswer {
    /// `tdx_guest`, `sev_guest`, ….
    pub(crate) provider: String,
    /// The quote or report.
    pub(crate) outblob: Vec<u8>,
    /// What the host hands over beside it: AMD's certificate table. Empty where there is none.
    pub(crate) auxblob: Vec<u8>,
}

/// The file operations that configfs needs; a test puts a folder behind them that behaves like it.
pub(crate) trait TsmFiles: Send + Sync {
    /// `mkdir`: the kernel fills the new folder with attributes.
    fn make_entry(&self, path: &Path) -> io::Result<()>;
    /// One `write` to an existing attribute.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Reads an attribute of at most `limit` bytes.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// `rmdir`: the kernel removes the attributes with it.
    fn remove_entry(&self, path: &Path) -> io::Result<()>;
    /// Waits before another attempt.
    fn pause(&self, time: Duration);
}

/// The kernel's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelFiles;

/// Asks for a report over `inblob`; an out-blob over `limit` bytes is refused.
pub(crate) fn fetch(
    files: &dyn TsmFiles,
    root: &Path,
    inblob: &[u8; 64],
    limit: usize,
) -> Result<TsmAnswer, CollectError> {
    retried(files, || {
        let entry = Entry::make(files, root)?;
        let before = entry.generation()?;
        entry.write("inblob", inblob)?;
        let outblob = entry.read("outblob", limit)?;
        let auxblob = entry.optional("auxblob", MAX_AUX_BYTES)?;
        let provider = entry.line("provider")?;
        // Every write counts. Another count than ours means that somebody else wrote: this blob may answer theirs.
        if before.checked_add(1) != Some(entry.generation()?) {
            return Err(Fault::Again("another writer raced for the entry".to_owned()));
        }
        Ok(TsmAnswer { provider, outblob, auxblob })
    })
}

/// Asks only who serves the interface.
pub(crate) fn provider(files: &dyn TsmFiles, root: &Path) -> Result<String, CollectError> {
    retried(files, || Entry::make(files, root)?.line("provider"))
}

/// A fault of one attempt.
enum Fault {
    /// Another attempt may do better.
    Again(String),
    /// It will not.
    Final(CollectError),
}

fn retried<T>(files: &dyn TsmFiles, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, CollectError> {
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(answer) => return Ok(answer),
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Again(why)) => last = why,
        }
        files.pause(pause);
        pause = pause.saturating_mul(2);
    }
    Err(unavailable(
        format!("{ATTEMPTS} attempts failed, the last one because {last}"),
        "the host's quote service may be down: look at `dmesg` in the guest and ask the host's operator",
    ))
}

/// One entry folder; removed when it goes out of scope, also on the way of an error.
struct Entry<'a> {
    files: &'a dyn TsmFiles,
    path: PathBuf,
}

impl<'a> Entry<'a> {
    fn make(files: &'a dyn TsmFiles, root: &Path) -> Result<Self, Fault> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("weighbridge-{}-{number}", std::process::id()));
        match files.make_entry(&path) {
            Ok(()) => Ok(Self { files, path }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Fault::Again("an entry of that name is there".to_owned()))
            }
            Err(error) => Err(at_root(root, &error)),
        }
    }

    fn write(&self, attribute: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.files.write(&self.path.join(attribute), bytes).map_err(|error| at_attribute("write", attribute, &error))
    }

    fn read(&self, attribute: &str, limit: usize) -> Result<Vec<u8>, Fault> {
        let read = self.files.read(&self.path.join(attribute), limit);
        let bytes = read.map_err(|error| at_attribute("read", attribute, &error))?;
        if bytes.is_empty() || bytes.len() > limit {
            let why = format!("`{attribute}` has {} bytes; 1 to {limit} are expected", bytes.len());
            return Err(Fault::Final(CollectError::Answer { what: WHAT, why }));
        }
        Ok(bytes)
    }

    /// The same for what some providers do not have, and others have empty.
    fn optional(&self, attribute: &str, limit: usize) -> Result<Vec<u8>, Fault> {
        match self.files.read(&self.path.join(attribute), limit) {
            Ok(bytes) if bytes.len() <= limit => Ok(bytes),
            Ok(bytes) => {
                let why = format!("`{attribute}` has {} bytes or more; at most {limit} are expected", bytes.len());
                Err(Fault::Final(CollectError::Answer { what: WHAT, why }))
            }
            Err(error) if may_pass(&error) => Err(at_attribute("read", attribute, &error)),
            Err(_) => Ok(Vec::new()),
        }
    }

    fn line(&self, attribute: &str) -> Result<String, Fault> {
        let bytes = self.read(attribute, MAX_LINE_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn generation(&self) -> Result<u64, Fault> {
        let line = self.line("generation")?;
        let refused = |_| CollectError::Answer { what: WHAT, why: format!("`generation` is {line:?}") };
        line.parse().map_err(refused).map_err(Fault::Final)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // An entry that stays is a leak, not a wrong answer; the next request makes its own.
        let _ = self.files.remove_entry(&self.path);
    }
}

fn at_root(root: &Path, error: &io::Error) -> Fault {
    if may_pass(error) {
        return Fault::Again(format!("{} is busy", root.display()));
    }
    let place = root.display();
    Fault::Final(match error.kind() {
        ErrorKind::NotFound => unavailable(
            format!("{place} does not exist"),
            "on a TDX guest (kernel 6.7 or later) run `modprobe tdx_guest` and mount configfs",
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => unavailable(
            format!("{place} does not take a new entry ({error})"),
            "the unit needs ReadWritePaths= for it and CAP_DAC_OVERRIDE: see systemd/weighbridged.service",
        ),
        _ => unavailable(format!("{place}: {error}"), "look at `dmesg` in the guest"),
    })
}

fn at_attribute(act: &str, attribute: &str, error: &io::Error) -> Fault {
    if may_pass(error) {
        return Fault::Again(format!("`{attribute}` is busy"));
    }
    let why = format!("{act} of `{attribute}`: {error}");
    Fault::Final(unavailable(why, "look at `dmesg` in the guest: the quote service may be missing on the host"))
}

/// EBUSY and EINTR pass by themselves; EWOULDBLOCK says that the entry changed while it was read.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

fn unavailable(why: String, remedy: &'static str) -> CollectError {
    CollectError::Unavailable { what: WHAT, why, remedy }
}

impl TsmFiles for KernelFiles {
    fn make_entry(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // No O_CREAT and no O_TRUNC: attributes exist, and configfs takes one write as one value.
        OpenOptions::new().write(true).open(path)?.write_all(bytes)
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path)?.take(bound).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn remove_entry(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(test)]
mod tests;
