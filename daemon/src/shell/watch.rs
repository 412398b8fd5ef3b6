//! **Duty.** Finds checkpoints that a job wrote below a watched folder and has them hashed, without a word from the job. It
//! looks by itself every few seconds: notices of the kernel do not come over network file systems. **Does not know** what a
//! checkpoint holds: safetensors are hashed, pickles are passed over and told of. **Spec.** TRAINING §1, §2.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use weighbridge_daemon_api::{CheckpointRequest, NodeState};

use super::service::Service;
use crate::config::{Config, Watch, WatchKind};
use crate::node::Watched;

/// Between two looks; a checkpoint has to look the same twice.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Entries of one folder that are looked at: a run keeps tens of checkpoints, and a checkpoint has hundreds of files.
const MAX_ENTRIES: usize = 16_384;

/// One file as it looks from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// One checkpoint's folder at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    step: u64,
    files: Vec<Look>,
    opaque: u64,
}

/// What was seen, and what is done.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    last: BTreeMap<PathBuf, Found>,
    done: BTreeMap<PathBuf, Found>,
    told: BTreeSet<PathBuf>,
}

/// Looks until told to stop. Nothing that goes wrong here stops the service.
pub(super) async fn run(service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut watcher = Watcher::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        let Ok(config) = service.config() else { return };
        if config.watch.is_empty() {
            continue;
        }
        let Ok(watched) = service.watched().await else { continue };
        if watched.state != NodeState::Running {
            continue;
        }
        let looked = spawn_blocking(move || {
            let ready = watcher.look(&config, &watched);
            (watcher, ready)
        });
        let Ok((kept, ready)) = looked.await else { return };
        watcher = kept;
        for request in ready {
            let (step, folder) =
                (request.step, request.files.first().and_then(|file| file.parent().map(Path::to_owned)));
            // The answer is in the log and in the ledger; nobody waits for it.
            if let Err(error) = service.commit_watched(request).await {
                let folder = folder.unwrap_or_default();
                let (event, code) = ("watched-checkpoint-refused", error.code());
                tracing::warn!(event, step, folder = %folder.display(), code, %error, "a watched checkpoint is not taken");
            }
        }
    }
}

impl Watcher {
    /// Checkpoints that are new, whole, and looked the same at the last look.
    fn look(&mut self, config: &Config, watched: &Watched) -> Vec<CheckpointRequest> {
        let mut now = BTreeMap::new();
        for watch in &config.watch {
            match checkpoints(watch) {
                Ok(found) => now.extend(found),
                Err(error) => self.tell(&watch.folder, &format!("it cannot be looked at: {error}")),
            }
        }
        let mut ready = Vec::new();
        for (folder, found) in &now {
            let stable = self.last.get(folder) == Some(found) && self.done.get(folder) != Some(found);
            if !stable
                || found.is_older_than(watched.run_start)
                || watched.has(found.step, &found.named(), found.newest())
            {
                continue;
            }
            self.done.insert(folder.clone(), found.clone());
            if found.files.is_empty() {
                self.tell(folder, &format!("{} files that are not safetensors, which are not hashed", found.opaque));
                continue;
            }
            let files = found.files.iter().map(|look| look.path.clone()).collect();
            ready.push(CheckpointRequest { attempt: watched.attempt, step: found.step, files });
        }
        self.done.retain(|folder, _| now.contains_key(folder));
        self.last = now;
        ready
    }

    /// Once for each folder.
    fn tell(&mut self, folder: &Path, what: &str) {
        if self.told.len() < MAX_ENTRIES && self.told.insert(folder.to_owned()) {
            tracing::warn!(event = "watched-folder-odd", folder = %folder.display(), "{what}");
        }
    }
}

impl Found {
    fn named(&self) -> Vec<(String, u64)> {
        let name = |look: &Look| look.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.files.iter().map(|look| (name(look), look.bytes)).collect()
    }

    /// Unix milliseconds of the latest change.
    fn newest(&self) -> u64 {
        let millis = |look: &Look| u64::try_from(look.changed.0).unwrap_or(0).saturating_mul(1_000);
        self.files.iter().map(millis).max().unwrap_or(0)
    }

    /// Whether it lay there before the run began; a second is the step of some file systems.
    fn is_older_than(&self, run_start: u64) -> bool {
        !self.files.is_empty() && self.newest().saturating_add(1_000) < run_start
    }
}

/// The checkpoints below a watched folder that are whole by their kind's rule.
fn checkpoints(watch: &Watch) -> io::Result<BTreeMap<PathBuf, Found>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&watch.folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        // The kind of the entry itself: a link to a folder is not one.
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let name = entry.file_name();
        let Some(step) = name.to_str().and_then(|name| step_of(watch.kind, name)) else { continue };
        // It may go while it is looked at: the next look tells.
        if let Ok(Some(one)) = one(watch.kind, &entry.path(), step) {
            found.insert(entry.path(), one);
        }
    }
    Ok(found)
}

/// `checkpoint-N` of the Trainer; otherwise whatever ends in a number.
fn step_of(kind: WatchKind, name: &str) -> Option<u64> {
    let digits = match kind {
        WatchKind::HfTrainer => name.strip_prefix("checkpoint-")?,
        WatchKind::Safetensors | WatchKind::Dcp => name.trim_start_matches(|c: char| !c.is_ascii_digit()),
    };
    let plain = !digits.is_empty() && digits.len() <= 19 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn one(kind: WatchKind, folder: &Path, step: u64) -> io::Result<Option<Found>> {
    let (mut files, mut opaque, mut names) = (Vec::new(), 0u64, BTreeSet::new());
    for entry in fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let (path, seen) = (entry.path(), entry.metadata()?);
        names.insert(entry.file_name());
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            let changed = (seen.mtime(), seen.mtime_nsec());
            files.push(Look { path, inode: seen.ino(), bytes: seen.len(), changed });
        } else {
            opaque = opaque.saturating_add(1);
        }
    }
    files.sort();
    let last_written = match kind {
        WatchKind::HfTrainer => Some("trainer_state.json"),
        // Written under another name, synced, renamed by the coordinator when every rank is done.
        WatchKind::Dcp => Some(".metadata"),
        WatchKind::Safetensors => None,
    };
    let whole = last_written.is_none_or(|name| names.contains(std::ffi::OsStr::new(name)));
    let empty = files.is_empty() && opaque == 0;
    Ok((whole && !empty).then_some(Found { step, files, opaque }))
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::UnixMillis;

    use super::*;
    use crate::run::NamedCheckpoint;

    fn watched() -> Watched {
        Watched { state: NodeState::Running, attempt: 3, run_start: 0, named: Vec::new() }
    }

    fn config(kind: WatchKind, folder: &Path) -> Config {
        Config { watch: vec![Watch { folder: folder.to_owned(), kind }], ..Config::default() }
    }

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_checkpoint_is_taken_once_when_it_looks_the_same_twice() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(WatchKind::HfTrainer, folder.path());
        let mut watcher = Watcher::default();
        let shard = folder.path().join("checkpoint-30/model.safetensors");
        write(shard.clone(), "half");
        write(folder.path().join("checkpoint-30/optimizer.pt"), "pickle");
        write(folder.path().join("runs-5/model.safetensors"), "not a checkpoint");
        for _ in 0..3 {
            assert_eq!(watcher.look(&config, &watched()), [], "without trainer_state.json it is not whole");
        }
        write(folder.path().join("checkpoint-30/trainer_state.json"), "{}");
        assert_eq!(watcher.look(&config, &watched()), []);
        let request = CheckpointRequest { attempt: 3, step: 30, files: vec![shard.clone()] };
        assert_eq!(watcher.look(&config, &watched()), std::slice::from_ref(&request));
        assert_eq!(watcher.look(&config, &watched()), []);
        // A restarted job writes the same step again.
        write(shard, "another");
        assert_eq!(watcher.look(&config, &watched()), []);
        assert_eq!(watcher.look(&config, &watched()), [request]);
    }

    #[test]
    fn what_the_ledger_names_and_what_is_older_than_the_run_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(WatchKind::Safetensors, folder.path());
        write(folder.path().join("step-7/w.safetensors"), "weights");
        let looked = |watched: &Watched| {
            let mut watcher = Watcher::default();
            watcher.look(&config, watched);
            watcher.look(&config, watched).len()
        };
        assert_eq!(looked(&watched()), 1);
        let files = vec![("w.safetensors".to_owned(), 7)];
        let named = |end| Watched {
            named: vec![NamedCheckpoint { step: 7, files: files.clone(), sealed: UnixMillis(end) }],
            ..watched()
        };
        assert_eq!(looked(&named(u64::MAX)), 0);
        assert_eq!(looked(&named(5)), 1, "it was written again after that interval");
        assert_eq!(looked(&Watched { run_start: u64::MAX, ..watched() }), 0);
    }

    #[test]
    fn dcp_is_whole_when_its_metadata_is_there_and_pickles_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(WatchKind::Dcp, folder.path());
        let mut watcher = Watcher::default();
        write(folder.path().join("step_12/shard-00001.safetensors"), "weights");
        write(folder.path().join("step_12/.metadata.tmp"), "pickle");
        write(folder.path().join("step_13/__0_0.distcp"), "pickle");
        write(folder.path().join("step_13/.metadata"), "pickle");
        for _ in 0..2 {
            assert_eq!(watcher.look(&config, &watched()), []);
        }
        assert!(watcher.told.contains(&folder.path().join("step_13")));
        fs::rename(folder.path().join("step_12/.metadata.tmp"), folder.path().join("step_12/.metadata")).unwrap();
        watcher.look(&config, &watched());
        let ready = watcher.look(&config, &watched());
        assert_eq!((ready.len(), ready[0].step), (1, 12));
    }

    #[test]
    fn steps_are_read_from_names_and_from_nothing_else() {
        for (kind, name, step) in [
            (WatchKind::HfTrainer, "checkpoint-500", Some(500)),
            (WatchKind::HfTrainer, "checkpoint-", None),
            (WatchKind::HfTrainer, "checkpoint-5-best", None),
            (WatchKind::HfTrainer, "step-5", None),
            (WatchKind::Dcp, "step_12", Some(12)),
            (WatchKind::Dcp, "12", Some(12)),
            (WatchKind::Safetensors, "run7-step12", None),
            (WatchKind::Safetensors, "99999999999999999999", None),
        ] {
            assert_eq!(step_of(kind, name), step, "{name}");
        }
    }

    #[test]
    fn links_and_pipes_are_not_looked_through() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        write(elsewhere.path().join("w.safetensors"), "weights");
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("step-1")).unwrap();
        fs::create_dir(folder.path().join("step-2")).unwrap();
        let link = folder.path().join("step-2/w.safetensors");
        std::os::unix::fs::symlink(elsewhere.path().join("w.safetensors"), link).unwrap();
        let config = config(WatchKind::Safetensors, folder.path());
        let mut watcher = Watcher::default();
        for _ in 0..2 {
            assert_eq!(watcher.look(&config, &watched()), []);
        }
    }
}
