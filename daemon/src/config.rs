//! **Duty.** The configuration file, parsed once. A key that is not ours is refused by name: a misspelt limit must not
//! be a silent default. **Does not know** what a value does. **Spec.** HOUSE §7 rule 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use weighbridge_attest_collect::PlatformOptions;
use weighbridge_attest_types::{Culprit, MAX_INTERVAL_MILLIS, MIN_INTERVAL_MILLIS};

use crate::node::Limits;

/// Where the file lies when nobody names one; it may be absent.
pub const DEFAULT_CONFIG: &str = "/etc/weighbridge/weighbridged.toml";
/// A configuration is a page of text.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
/// About a day of one node with eight accelerators: less would stop a run within its first day (LIMITATIONS.md).
const MIN_STATE_BYTES: u64 = 1024 * 1024;
const ALLOWED: [&str; 14] = [
    "state_dir",
    "state_max_bytes",
    "socket",
    "allow_uids",
    "allow_gids",
    "checkpoint_roots",
    "hash_max_bytes_per_second",
    "push_socket",
    "attest_every_intervals",
    "min_interval_millis",
    "max_interval_millis",
    "tsm_report",
    "nvml_library",
    "watch",
];

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the node's durable state.
    pub state_dir: PathBuf,
    /// Kept entries and evidence beyond which no more work is taken; intervals go on.
    pub state_max_bytes: u64,
    /// Socket for training jobs.
    pub socket: PathBuf,
    /// Users who may speak, beside root and the service's own; with `allow_gids` empty too, whoever may open the socket.
    pub allow_uids: Vec<u32>,
    /// Primary groups whose members may speak.
    pub allow_gids: Vec<u32>,
    /// Folders below which checkpoints may lie.
    pub checkpoint_roots: Vec<PathBuf>,
    /// Checkpoints are read no faster than this; 0 for as fast as half of the processors hash.
    pub hash_max_bytes_per_second: u64,
    /// Socket of a verifier, or of what carries bytes to one.
    pub push_socket: Option<PathBuf>,
    /// A head is quoted at least every so many intervals.
    pub attest_every_intervals: u64,
    /// Shortest interval that a manifest may ask of this node.
    pub min_interval_millis: u64,
    /// Longest interval that a manifest may ask of this node.
    pub max_interval_millis: u64,
    /// Folder of configfs-tsm reports.
    pub tsm_report: PathBuf,
    /// NVML library, if not the system's.
    pub nvml_library: Option<PathBuf>,
    /// Folders in which checkpoints appear.
    pub watch: Vec<Watch>,
}

/// A folder in which checkpoints appear, each in a folder of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The folder.
    pub folder: PathBuf,
    /// How its checkpoints are named, and when one is whole.
    pub kind: WatchKind,
}

/// How checkpoints are named, and when one is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchKind {
    /// `NAME-STEP` with safetensors files; whole when it stays as it is.
    Safetensors,
    /// `checkpoint-STEP` of Hugging Face's Trainer; whole with its `trainer_state.json`.
    HfTrainer,
    /// `NAME-STEP` of PyTorch's distributed checkpoints; whole with its `.metadata`.
    Dcp,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", file.display())]
    Io {
        /// File.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// Not TOML, or a value of the wrong type.
    #[error("the configuration {} does not parse", file.display())]
    Toml {
        /// File.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that is not ours.
    #[error("unknown key `{key}` in {}; allowed keys: {}", file.display(), ALLOWED.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// File.
        file: PathBuf,
    },
    /// A value out of range.
    #[error("`{key}` in {}: {why}", file.display())]
    Value {
        /// The key.
        key: &'static str,
        /// File.
        file: PathBuf,
        /// What is wrong and what would be right.
        why: String,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/weighbridge".into(),
            state_max_bytes: 4 * 1024 * 1024 * 1024,
            socket: "/run/weighbridge/weighbridged.sock".into(),
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
            checkpoint_roots: vec!["/".into()],
            hash_max_bytes_per_second: 0,
            push_socket: None,
            attest_every_intervals: 10,
            min_interval_millis: MIN_INTERVAL_MILLIS,
            max_interval_millis: MAX_INTERVAL_MILLIS,
            tsm_report: PlatformOptions::default().tsm_report,
            nvml_library: None,
            watch: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the named file; without a name, the default file or, if there is none, the defaults.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let file = named.unwrap_or(Path::new(DEFAULT_CONFIG));
        let text = match read_bounded(file) {
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|source| ConfigError::Io { file: file.to_owned(), source })?,
        };
        Self::parse(&text, file)
    }

    /// Parses a file's text; `file` is named in errors.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let broken = |source| ConfigError::Toml { file: file.to_owned(), source: Box::new(source) };
        let table: toml::Table = text.parse().map_err(broken)?;
        if let Some(key) = table.keys().find(|key| !ALLOWED.contains(&key.as_str())) {
            return Err(ConfigError::UnknownKey { key: key.clone(), file: file.to_owned() });
        }
        // From the text, not the table: the error then shows the line.
        let config: Self = toml::from_str(text).map_err(broken)?;
        config.check(file)?;
        Ok(config)
    }

    /// What a manifest may ask, and how much is kept.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            min_interval_millis: self.min_interval_millis,
            max_interval_millis: self.max_interval_millis,
            attest_every: self.attest_every_intervals,
            state_max_bytes: self.state_max_bytes,
        }
    }

    /// The same, but with what a running service cannot change taken from `current`; the keys that differed there.
    #[must_use]
    pub fn keeping_fixed(mut self, current: &Self) -> (Self, Vec<&'static str>) {
        let mut fixed = Vec::new();
        let mut keep = |key, mine: &mut PathBuf, theirs: &PathBuf| {
            if mine != theirs {
                fixed.push(key);
                mine.clone_from(theirs);
            }
        };
        keep("state_dir", &mut self.state_dir, &current.state_dir);
        keep("socket", &mut self.socket, &current.socket);
        keep("tsm_report", &mut self.tsm_report, &current.tsm_report);
        if self.nvml_library != current.nvml_library {
            fixed.push("nvml_library");
            self.nvml_library.clone_from(&current.nvml_library);
        }
        (self, fixed)
    }

    /// Where evidence is looked for.
    #[must_use]
    pub fn platform(&self) -> PlatformOptions {
        PlatformOptions { tsm_report: self.tsm_report.clone(), nvml_library: self.nvml_library.clone() }
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let refuse = |key, why| Err(ConfigError::Value { key, file: file.to_owned(), why });
        let single = [("state_dir", &self.state_dir), ("socket", &self.socket), ("tsm_report", &self.tsm_report)];
        let roots = self.checkpoint_roots.iter().map(|root| ("checkpoint_roots", root));
        let watched = self.watch.iter().map(|watch| ("watch", &watch.folder));
        let pushed = self.push_socket.iter().map(|socket| ("push_socket", socket));
        for (key, path) in single.into_iter().chain(roots).chain(watched).chain(pushed) {
            if !path.is_absolute() {
                return refuse(key, format!("`{}` must be an absolute path", path.display()));
            }
        }
        if self.checkpoint_roots.is_empty() {
            return refuse("checkpoint_roots", "must name a folder, or \"/\" for all".to_owned());
        }
        if self.state_max_bytes < MIN_STATE_BYTES {
            return refuse("state_max_bytes", format!("{} must be {MIN_STATE_BYTES} or more", self.state_max_bytes));
        }
        if self.attest_every_intervals == 0 {
            return refuse("attest_every_intervals", "must be 1 or more".to_owned());
        }
        let lawful = MIN_INTERVAL_MILLIS..=MAX_INTERVAL_MILLIS;
        for (key, millis) in
            [("min_interval_millis", self.min_interval_millis), ("max_interval_millis", self.max_interval_millis)]
        {
            if !lawful.contains(&millis) {
                return refuse(key, format!("{millis} must be {MIN_INTERVAL_MILLIS} to {MAX_INTERVAL_MILLIS}"));
            }
        }
        if self.min_interval_millis > self.max_interval_millis {
            return refuse("min_interval_millis", "must not be above `max_interval_millis`".to_owned());
        }
        Ok(())
    }
}

impl ConfigError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Usage
    }

    /// Stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "config-unreadable",
            Self::Toml { .. } => "config-malformed",
            Self::UnknownKey { .. } => "config-unknown-key",
            Self::Value { .. } => "config-value",
        }
    }
}

fn read_bounded(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > MAX_CONFIG_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_CONFIG_BYTES} bytes")));
    }
    fs::read_to_string(file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/w.toml"))
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_the_allowed_ones() {
        let refused = parse("state_dir = \"/s\"\nattest_every = 3\n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unknown key `attest_every` in /etc/w.toml; allowed keys: state_dir, state_max_bytes, socket, allow_uids, \
             allow_gids, checkpoint_roots, hash_max_bytes_per_second, push_socket, \
             attest_every_intervals, min_interval_millis, max_interval_millis, \
             tsm_report, nvml_library, watch"
        );
        assert_eq!(refused.culprit().exit_code(), 2);
    }

    #[test]
    fn every_allowed_key_is_a_field_and_every_field_is_allowed() {
        let full = Config {
            nvml_library: Some("/x.so".into()),
            push_socket: Some("/p".into()),
            watch: vec![Watch { folder: "/w".into(), kind: WatchKind::HfTrainer }],
            ..Config::default()
        };
        let text = toml::to_string(&full).unwrap();
        assert_eq!(parse(&text).unwrap(), full);
        let table: toml::Table = text.parse().unwrap();
        let fields: BTreeSet<&str> = table.keys().map(String::as_str).collect();
        assert_eq!(fields, ALLOWED.into());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let cases = [
            ("attest_every_intervals = 0", "`attest_every_intervals` in /etc/w.toml: must be 1 or more"),
            ("state_max_bytes = 5", "`state_max_bytes` in /etc/w.toml: 5 must be 1048576 or more"),
            ("checkpoint_roots = []", "`checkpoint_roots` in /etc/w.toml: must name a folder, or \"/\" for all"),
            ("checkpoint_roots = [\"a\"]", "`checkpoint_roots` in /etc/w.toml: `a` must be an absolute path"),
            ("socket = \"run/x\"", "`socket` in /etc/w.toml: `run/x` must be an absolute path"),
            ("max_interval_millis = 600001", "`max_interval_millis` in /etc/w.toml: 600001 must be 1000 to 600000"),
            (
                "min_interval_millis = 5000\nmax_interval_millis = 4000",
                "`min_interval_millis` in /etc/w.toml: must not be above `max_interval_millis`",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
        assert_eq!(parse("socket = 5").unwrap_err().code(), "config-malformed");
    }

    #[test]
    fn a_reload_keeps_what_is_fixed_at_the_start() {
        let running = Config::default();
        let asked = Config { socket: "/other".into(), attest_every_intervals: 3, ..Config::default() };
        let (taken, fixed) = asked.keeping_fixed(&running);
        assert_eq!((taken, fixed), (Config { attest_every_intervals: 3, ..running.clone() }, vec!["socket"]));
        let asked = Config { nvml_library: Some("/x".into()), ..running.clone() };
        assert_eq!(asked.keeping_fixed(&running), (running, vec!["nvml_library"]));
    }

    #[test]
    fn a_named_file_must_be_there() {
        let absent = Config::load(Some(Path::new("/nonexistent/w.toml"))).unwrap_err();
        assert_eq!(absent.to_string(), "the configuration /nonexistent/w.toml cannot be read");
    }
}
