//! **Duty.** What the simulated drivers do, as a file that a test writes and may change while the daemon runs.
//! **Does not know** any interface. The file is read again when its time or length changes.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use weighbridge_attest_types::UnixMillis;
use weighbridge_tests_simulator::{SimulatedNode, World};

/// Names the script's file.
const SCRIPT: &str = "WEIGHBRIDGE_SIMULATED_DRIVERS";
/// A call that hangs comes back long after every deadline, so that a test's process can end.
const HANG: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The driver's confidential-compute mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    On,
    Off,
    Devtools,
}

/// How requests for a CPU quote end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quote {
    Good,
    Busy,
    Hang,
    Garbage,
    /// Somebody else writes into every entry.
    Raced,
}

/// The whole script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) now: u64,
    pub(crate) gpus: u32,
    pub(crate) mode: Mode,
    /// MIG is on, with this many instances on every GPU.
    pub(crate) mig: u32,
    /// Announced size of every certificate chain.
    pub(crate) certificate_size: Option<u32>,
    /// Announced size of every report.
    pub(crate) report_size: Option<u32>,
    /// GPUs that fell off the bus.
    pub(crate) lost: Vec<u32>,
    /// NVML functions that do not come back, by the end of their names.
    pub(crate) hang: Vec<String>,
    /// GPUs that hang; empty means all.
    pub(crate) hang_gpus: Vec<u32>,
    /// NVML functions that are not supported, by the end of their names.
    pub(crate) unsupported: Vec<String>,
    /// How often the driver was loaded again: every call fails until it is initialised anew, and energy begins at zero.
    pub(crate) reloads: u64,
    /// How often the GPUs were reset: energy begins at zero.
    pub(crate) resets: u64,
    /// Milliwatts that every GPU draws.
    pub(crate) power: u32,
    /// Percent of time with a kernel.
    pub(crate) busy: u32,
    /// Percent of time with a tensor pipe in use; not a number where absent.
    pub(crate) tensor: Option<f64>,
    pub(crate) quote: Quote,
    /// Who serves configfs-tsm.
    pub(crate) provider: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 9,
            now: 1_793_491_200_000,
            gpus: 8,
            mode: Mode::On,
            mig: 0,
            certificate_size: None,
            report_size: None,
            lost: Vec::new(),
            hang: Vec::new(),
            hang_gpus: Vec::new(),
            unsupported: Vec::new(),
            reloads: 0,
            resets: 0,
            power: 700_000,
            busy: 90,
            tensor: Some(40.0),
            quote: Quote::Good,
            provider: "tdx_guest".to_owned(),
        }
    }
}

impl Script {
    /// The script in force. A file that is half written leaves the last one in force.
    pub(crate) fn now() -> Arc<Self> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let state = kept.get_or_insert_with(Kept::default);
        if let Some((stamp, file)) = stamp().filter(|(stamp, _)| Some(*stamp) != state.stamp)
            && let Some(script) = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok())
        {
            (state.script, state.stamp) = (Arc::new(script), Some(stamp));
        }
        Arc::clone(&state.script)
    }

    /// Whether calls of this function are on the list.
    pub(crate) fn names(list: &[String], function: &str) -> bool {
        list.iter().any(|name| function.ends_with(name))
    }

    /// Waits until the script no longer tells this function to hang.
    pub(crate) fn hang_while(told: impl Fn(&Self) -> bool) {
        let mut waited = Duration::ZERO;
        while told(&Self::now()) && waited < HANG {
            std::thread::sleep(LOOK_AGAIN);
            waited += LOOK_AGAIN;
        }
    }

    /// The node that the script grows.
    pub(crate) fn node(&self) -> Arc<SimulatedNode> {
        let wanted = (self.seed, self.now, self.gpus);
        let mut grown = GROWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, node)) = grown.as_ref().filter(|(of, _)| *of == wanted) {
            let _ = of;
            return Arc::clone(node);
        }
        let node = Arc::new(World::new(self.seed, UnixMillis(self.now)).node(0, self.gpus));
        *grown = Some((wanted, Arc::clone(&node)));
        node
    }
}

#[derive(Default)]
struct Kept {
    stamp: Option<(SystemTime, u64)>,
    script: Arc<Script>,
}

type Grown = Option<((u64, u64, u32), Arc<SimulatedNode>)>;

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
static GROWN: Mutex<Grown> = Mutex::new(None);

fn stamp() -> Option<((SystemTime, u64), PathBuf)> {
    let file = PathBuf::from(variable(SCRIPT)?);
    let metadata = fs::metadata(&file).ok()?;
    Some(((metadata.modified().ok()?, metadata.len()), file))
}

/// One variable of the environment of whatever program loaded this.
#[expect(clippy::disallowed_methods, reason = "how a test tells the simulated drivers where their script lies")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
