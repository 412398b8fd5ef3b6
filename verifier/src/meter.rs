//! **Duty.** Proving a run: what it takes beforehand, pieces of work on several threads under a memory cap, finished
//! pieces kept so that an interrupted run goes on. **Knows** files, threads and the clock. **Does not know** circuits
//! (`weighbridge-circuits`) or who belongs to whom (`assemble`). **Spec.** CIRCUITS §4; decisions 0055, 0056.

mod estimate;
mod resources;
mod runner;
mod schedule;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use weighbridge_circuits::{JobKind, LeafChoice, Plan, ThresholdProof, ThresholdPublic, Weighed};

use crate::error::CliError;

pub(crate) use estimate::{Estimate, rough};

/// Under which limits a run is proven, and where finished pieces are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProveLimits {
    /// Most memory, in bytes; without it, nine tenths of what is free.
    pub memory: Option<u64>,
    /// Most pieces at a time; without it, one for each processor.
    pub jobs: Option<usize>,
    /// Folder of finished pieces; without it they are kept in memory and lost with the process.
    pub resume: Option<PathBuf>,
    /// Whether the published proof is the compact one.
    pub compact: bool,
}

/// What is heard while pieces are proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file in the folder that is not the piece its name says: it is made again.
    Refused {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Where the work stands.
    Progress {
        /// Finished pieces, those found in the folder included.
        done: usize,
        /// All of them.
        of: usize,
        /// What is being made.
        now: JobKind,
        /// By what the pieces took so far; nothing before the first one.
        left: Option<Duration>,
    },
}

/// A run with its limits applied: which leaves, how many at a time.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) plan: Plan<'a>,
    pub(crate) memory: u64,
    pub(crate) workers: usize,
    pub(crate) estimate: Estimate,
    resume: Option<&'a Path>,
}

impl ProveLimits {
    /// Plans a true statement about weighed chains, and asks beforehand whether memory and disk are enough.
    ///
    /// # Errors
    /// [`CliError::Memory`], [`CliError::Disk`], [`CliError::Prove`].
    pub(crate) fn prepare<'a>(
        &'a self,
        weighed: &Weighed<'a>,
        statement: &ThresholdPublic,
    ) -> Result<Prepared<'a>, CliError> {
        let memory = self.memory.map_or_else(resources::free_memory, Ok)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let plan = |leaves| weighed.plan(statement, leaves, self.compact).map_err(CliError::Prove);
        // Long leaves where they fit; short ones take an eighth of the memory.
        let mut chosen = plan(LeafChoice::Any)?;
        if Estimate::least_memory(&chosen) > memory {
            chosen = plan(LeafChoice::Short)?;
        }
        let least = Estimate::least_memory(&chosen);
        if least > memory {
            return Err(CliError::Memory { cap: memory, needed: least });
        }
        let most = self.jobs.unwrap_or(cores).max(1);
        let estimate = Estimate::of(&chosen, memory, most, cores);
        let resume = self.resume.as_deref();
        Ok(Prepared { workers: estimate.workers, plan: chosen, memory, estimate, resume })
    }
}

impl Prepared<'_> {
    /// Proves what is not finished yet.
    ///
    /// # Errors
    /// [`CliError`]: the folder, the disk, a fault of ours. What was finished before stays.
    pub(crate) fn prove(&self, hear: &mut dyn FnMut(Event)) -> Result<ThresholdProof, CliError> {
        let store = store::Store::open(self.resume)?;
        if let Some(folder) = self.resume {
            resources::check_room(folder, self.estimate.bytes)?;
        }
        let proof = runner::run(self, &store, hear)?;
        Ok(ThresholdProof { public: self.plan.statement().clone(), proof })
    }
}

impl Event {
    /// In words, for a line of progress.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Refused { path, why } => format!("{}: {why}; it is made again", path.display()),
            Self::Progress { done, of, now, left } => {
                let left = left.map(|left| format!(", about {} left", estimate::rough(left)));
                format!("proving {done} of {of} ({}){}", now.circuit(), left.unwrap_or_default())
            }
        }
    }
}
