//! **Duty.** The life of a run's intervals as a state machine: Open (work adds up) → Sealed (facts fixed) → Appended
//! (signed and durable) → Attested (its head quoted). An interval is appended before it is attested, so that a platform
//! that cannot quote for a while loses no work; what is not attested is charged as declared. **Knows** time as a value.
//! **Does not know** clocks, files, keys or sockets. **Spec.** PROTOCOL §3 (Interval); HOUSE §4, §7 rule 3.
//!
//! An error leaves everything acknowledged as it was.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};
use weighbridge_attest_types::{
    CheckpointCommitment, Device, DeviceMillis, DeviceTime, Flops, IntervalPublic, MAX_INTERVAL_MILLIS, MAX_READING,
    MIN_INTERVAL_MILLIS, PRESENT_DECLARED, Presence, QuotedHead, Reading, UnixMillis, WindowCommitment,
};

pub use error::IntervalError;

use crate::effects::{Effect, EffectSink, SealedInterval};

mod error;

/// A daemon that was silent for longer was stopped or suspended: that time is a gap. The shell ticks every second.
pub const SILENCE_MILLIS: u64 = 5_000;
/// Ranks that one node can hold: eight GPUs with room for every way of splitting them.
const MAX_RANKS: usize = 1_024;
/// Checkpoints that one interval's public facts can carry.
const MAX_CHECKPOINTS: usize = 1_024;
/// Windows that one interval's public facts can carry.
const MAX_WINDOWS: usize = 1_024;

/// One reading of all clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock; the host sets it.
    pub wall: UnixMillis,
    /// Milliseconds since boot, suspension included.
    pub mono: u64,
    /// Kernel boot id.
    pub boot_id: [u8; 16],
}

/// What the run's manifest and this node's configuration fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntervalRules {
    /// Interval length.
    pub interval_millis: u64,
    /// A head is quoted at least every so many intervals.
    pub attest_every: u64,
    /// Accelerators, ascending.
    pub devices: Vec<Device>,
    /// Whether the manifest announces an audit.
    #[serde(default)]
    pub audited: bool,
}

/// Orders work units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitKey {
    /// Attempt (restart) number.
    pub attempt: u16,
    /// Optimizer step.
    pub step: u64,
    /// Rank.
    pub rank: u32,
    /// Micro-batch.
    pub micro_batch: u16,
}

/// What can happen to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The daemon started again within the same boot.
    Restarted,
    /// Time passed.
    Tick,
    /// An optimizer step was completed.
    Step {
        /// Attempt.
        attempt: u16,
        /// Step.
        step: u64,
    },
    /// A work unit was completed.
    WorkUnit {
        /// Which.
        key: UnitKey,
        /// Declared FLOP.
        flop: Flops,
    },
    /// The job lost reports of its own: (attempt, rank, last step lost) tells one loss from the next.
    ReportsLost {
        /// Which loss.
        key: (u16, u32, u64),
    },
    /// A checkpoint was hashed.
    Checkpoint(CheckpointCommitment),
    /// A window of an audit was committed.
    Window(WindowCommitment),
    /// Somebody waits for a fresh head and will quote it.
    SealNow,
    /// The run is over.
    End,
    /// The evidence over a head is about to be kept.
    Quoted(QuotedHead),
    /// A head could not be quoted.
    QuoteFailed,
}

/// The open interval and all that later intervals depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervals {
    rules: IntervalRules,
    boot_id: [u8; 16],
    /// Index of the open interval, from 1.
    index: u64,
    start_wall: UnixMillis,
    start_mono: u64,
    /// Remainder carried out of the last sealed interval.
    rest: u32,
    open: OpenInterval,
    /// Last acknowledged work unit of each rank: every rank reports in its own order, by itself.
    last_units: BTreeMap<u32, (UnitKey, Flops)>,
    last_step: Option<(u16, u64)>,
    /// Last loss of each rank that was told of.
    #[serde(default)]
    last_losses: BTreeMap<u32, (u16, u64)>,
    /// Last acknowledged window of this chain.
    #[serde(default)]
    last_window: Option<WindowCommitment>,
    /// Quotes that no interval has named yet.
    unnamed: VecDeque<QuotedHead>,
    last_quoted: u64,
    quote_wanted: bool,
    ended: bool,
    #[serde(skip)]
    quoting: bool,
    /// When the daemon was last known to run under a good clock.
    #[serde(skip)]
    alive_mono: u64,
    #[serde(skip)]
    clock_is_back: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenInterval {
    flop: Flops,
    active: bool,
    gap_millis: u64,
    checkpoints: Vec<CheckpointCommitment>,
    #[serde(default)]
    windows: Vec<WindowCommitment>,
}

impl Intervals {
    /// Opens interval 1.
    #[must_use]
    pub fn begin(rules: IntervalRules, now: Now) -> Self {
        Self {
            rules,
            boot_id: now.boot_id,
            index: 1,
            start_wall: now.wall,
            start_mono: now.mono,
            rest: 0,
            open: OpenInterval::default(),
            last_units: BTreeMap::new(),
            last_step: None,
            last_losses: BTreeMap::new(),
            last_window: None,
            unnamed: VecDeque::new(),
            last_quoted: 0,
            quote_wanted: false,
            ended: false,
            quoting: false,
            alive_mono: now.mono,
            clock_is_back: false,
        }
    }

    /// Takes one event; effects are to be performed before the caller hears of success.
    ///
    /// # Errors
    /// [`IntervalError`].
    pub fn on(&mut self, now: Now, event: Event, effects: &mut EffectSink) -> Result<(), IntervalError> {
        match event {
            Event::Quoted(quoted) => return self.quoted(quoted, effects),
            Event::QuoteFailed => return self.quote_failed(effects),
            Event::Tick | Event::Restarted if self.ended => return Ok(()),
            _ if self.ended => return Err(IntervalError::Ended),
            Event::Restarted => self.distrust_since_start(),
            _ => {}
        }
        let now = match self.account(now) {
            // The last interval cannot wait for the clock: the run ends at its start on the wall clock, and the time is
            // a gap, so that acknowledged work is sealed all the same.
            Err(IntervalError::ClockWentBack { .. }) if event == Event::End => {
                self.open.gap_millis = u64::MAX;
                Now { wall: self.start_wall, ..now }
            }
            accounted => accounted.map(|()| now)?,
        };
        match event {
            Event::Restarted => self.after_restart(now, effects),
            Event::Tick => self.tick(now, effects),
            Event::Step { attempt, step } => self.step((attempt, step), effects),
            Event::WorkUnit { key, flop } => self.work_unit(key, flop, effects),
            Event::ReportsLost { key } => self.reports_lost(key, effects),
            Event::Checkpoint(commitment) => self.checkpoint(commitment, effects),
            Event::Window(commitment) => self.window(commitment, effects),
            Event::SealNow => self.seal_for_quote(now, false, effects),
            Event::End => self.seal_for_quote(now, true, effects),
            Event::Quoted(_) | Event::QuoteFailed => Ok(()),
        }
    }

    /// Whether the run is over.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Index of the last head that was quoted; 0 before any was.
    #[must_use]
    pub const fn last_quoted(&self) -> u64 {
        self.last_quoted
    }

    /// Whether a quote waits for the next sealed interval to name it.
    #[must_use]
    pub fn has_unnamed_quote(&self) -> bool {
        !self.unnamed.is_empty()
    }

    /// Boot in which the run lives.
    #[must_use]
    pub const fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// Length of an interval.
    #[must_use]
    pub const fn interval_millis(&self) -> u64 {
        self.rules.interval_millis
    }

    /// When the open interval began, by the wall clock.
    #[must_use]
    pub const fn start_wall(&self) -> UnixMillis {
        self.start_wall
    }

    /// The latest attempt that the job told of; 0 before it told of any.
    #[must_use]
    pub fn last_attempt(&self) -> u16 {
        let units = self.last_units.values().map(|(key, _)| key.attempt);
        units.chain(self.last_step.map(|(attempt, _)| attempt)).max().unwrap_or(0)
    }

    /// Accelerators of the run, ascending.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.rules.devices
    }

    /// Every millisecond is either one in which the daemon ran under a good clock, or gap.
    fn account(&mut self, now: Now) -> Result<(), IntervalError> {
        let silence = now.mono.checked_sub(self.alive_mono).filter(|_| now.boot_id == self.boot_id);
        let silence = silence.ok_or(IntervalError::ForeignBoot)?;
        if let by_millis @ 1.. = self.start_wall.0.saturating_sub(now.wall.0) {
            self.clock_is_back = true;
            return Err(IntervalError::ClockWentBack { by_millis });
        }
        if self.clock_is_back || silence > SILENCE_MILLIS {
            self.open.gap_millis = self.open.gap_millis.saturating_add(silence);
        }
        self.clock_is_back = false;
        self.alive_mono = now.mono;
        Ok(())
    }

    /// When the last process stopped is not known: nothing since the last seal is vouched for.
    fn distrust_since_start(&mut self) {
        self.open.gap_millis = 0;
        self.alive_mono = self.start_mono;
        self.clock_is_back = true;
    }

    fn after_restart(&mut self, now: Now, effects: &mut EffectSink) -> Result<(), IntervalError> {
        if self.elapsed(now)? < MIN_INTERVAL_MILLIS {
            return Ok(());
        }
        self.seal(now, effects)?;
        self.want_quote(effects);
        Ok(())
    }

    fn tick(&mut self, now: Now, effects: &mut EffectSink) -> Result<(), IntervalError> {
        // A tick comes a little late; an interval at the upper limit is sealed early rather than lost to a gap.
        let due = self.rules.interval_millis.min(MAX_INTERVAL_MILLIS.saturating_sub(SILENCE_MILLIS));
        if self.elapsed(now)? < due {
            return Ok(());
        }
        self.seal(now, effects)?;
        self.want_quote(effects);
        Ok(())
    }

    fn step(&mut self, found: (u16, u64), effects: &mut EffectSink) -> Result<(), IntervalError> {
        if let Some(last) = self.last_step.filter(|last| last.0 > found.0) {
            return Err(IntervalError::StepOrder { last, found });
        }
        // Ranks of one node tell of the same steps, each in its own time.
        let counted = self.last_step.is_none_or(|last| last < found);
        if counted {
            self.last_step = Some(found);
            self.open.active = true;
            effects.push(Effect::Keep);
        }
        effects.push(Effect::Acknowledge { counted });
        Ok(())
    }

    fn work_unit(&mut self, found: UnitKey, flop: Flops, effects: &mut EffectSink) -> Result<(), IntervalError> {
        match self.last_units.get(&found.rank).copied() {
            Some((last, amount)) if last == found && amount == flop => {
                effects.push(Effect::Acknowledge { counted: false });
                return Ok(());
            }
            Some((last, _)) if last == found => return Err(IntervalError::UnitConflict(found)),
            Some((last, _)) if last > found => return Err(IntervalError::UnitOrder { last, found }),
            None if self.last_units.len() >= MAX_RANKS => return Err(IntervalError::TooManyRanks),
            _ => {}
        }
        let total = self.open.flop.checked_add(flop).map_err(|_| IntervalError::TooMuchWork)?;
        let (whole, _) = total.carry(self.rest).map_err(|_| IntervalError::TooMuchWork)?;
        if whole.0 >= MAX_READING {
            return Err(IntervalError::TooMuchWork);
        }
        self.open.flop = total;
        self.open.active = true;
        self.last_units.insert(found.rank, (found, flop));
        effects.push(Effect::Keep);
        effects.push(Effect::Acknowledge { counted: true });
        Ok(())
    }

    /// What the open interval declares is known not to be all: all of it counts as a gap.
    fn reports_lost(
        &mut self,
        (attempt, rank, step): (u16, u32, u64),
        effects: &mut EffectSink,
    ) -> Result<(), IntervalError> {
        let counted = self.last_losses.get(&rank).is_none_or(|last| *last < (attempt, step));
        if counted {
            if self.last_losses.len() >= MAX_RANKS && !self.last_losses.contains_key(&rank) {
                return Err(IntervalError::TooManyRanks);
            }
            self.last_losses.insert(rank, (attempt, step));
            self.open.gap_millis = u64::MAX;
            effects.push(Effect::Keep);
        }
        effects.push(Effect::Acknowledge { counted });
        Ok(())
    }

    fn checkpoint(&mut self, commitment: CheckpointCommitment, effects: &mut EffectSink) -> Result<(), IntervalError> {
        let counted = !self.open.checkpoints.contains(&commitment);
        if counted {
            if self.open.checkpoints.len() >= MAX_CHECKPOINTS {
                return Err(IntervalError::TooManyCheckpoints);
            }
            self.open.checkpoints.push(commitment);
            // A published checkpoint is quoted with the interval that names it.
            self.quote_wanted = true;
            effects.push(Effect::Keep);
        }
        effects.push(Effect::Acknowledge { counted });
        Ok(())
    }

    /// Windows come in their order, each with one root. The last one may be repeated: callers retry. Its head is quoted, so
    /// that nobody waits long for a challenge.
    fn window(&mut self, found: WindowCommitment, effects: &mut EffectSink) -> Result<(), IntervalError> {
        if !self.rules.audited {
            return Err(IntervalError::NotAudited);
        }
        let expected = match self.last_window {
            Some(last) if last == found => {
                effects.push(Effect::Acknowledge { counted: false });
                return Ok(());
            }
            Some(last) if last.index == found.index => return Err(IntervalError::WindowConflict(found.index)),
            Some(last) => last.index.saturating_add(1),
            None => 0,
        };
        if found.index != expected {
            return Err(IntervalError::WindowOrder { expected, found: found.index });
        }
        if self.open.windows.len() >= MAX_WINDOWS {
            return Err(IntervalError::TooManyWindows);
        }
        self.open.windows.push(found);
        self.last_window = Some(found);
        self.quote_wanted = true;
        effects.push(Effect::Keep);
        effects.push(Effect::Acknowledge { counted: true });
        Ok(())
    }

    fn seal_for_quote(&mut self, now: Now, last: bool, effects: &mut EffectSink) -> Result<(), IntervalError> {
        if let wait_millis @ 1.. = MIN_INTERVAL_MILLIS.saturating_sub(self.elapsed(now)?) {
            return Err(IntervalError::TooEarly { wait_millis });
        }
        self.seal(now, effects)?;
        self.ended = last;
        self.quoting = true;
        self.quote_wanted = false;
        Ok(())
    }

    fn seal(&mut self, now: Now, effects: &mut EffectSink) -> Result<(), IntervalError> {
        let (gflop, rest) = self.open.flop.carry(self.rest).map_err(|_| IntervalError::Broken("declared FLOP"))?;
        let reading = Reading::new(gflop.0, rest, 0, 0).map_err(|_| IntervalError::Broken("declared GFLOP"))?;
        let presence = Presence::from_bits(PRESENT_DECLARED).ok_or(IntervalError::Broken("presence"))?;
        let devices = self.device_times(self.elapsed(now)?);
        let open = std::mem::take(&mut self.open);
        let public = IntervalPublic {
            index: self.index,
            boot_id: self.boot_id,
            start_wall: self.start_wall,
            end_wall: now.wall,
            start_mono: self.start_mono,
            end_mono: now.mono,
            presence,
            devices,
            checkpoints: open.checkpoints,
            windows: open.windows,
            quoted: self.unnamed.pop_front(),
        };
        self.index = self.index.checked_add(1).ok_or(IntervalError::Broken("index"))?;
        (self.start_wall, self.start_mono, self.rest) = (now.wall, now.mono, rest);
        effects.push(Effect::Append(Box::new(SealedInterval { public, reading })));
        Ok(())
    }

    /// Run, idle and gap add up to `total`. Only an interval that is all gap may be longer than the longest lawful one.
    fn device_times(&self, total: u64) -> Vec<DeviceTime> {
        let gap = if total > MAX_INTERVAL_MILLIS { total } else { self.open.gap_millis.min(total) };
        let busy = total.saturating_sub(gap);
        let (run, idle) = if self.open.active { (busy, 0) } else { (0, busy) };
        let time = |&device: &Device| DeviceTime {
            device,
            run: DeviceMillis(run),
            other: DeviceMillis(0),
            idle: DeviceMillis(idle),
            gap: DeviceMillis(gap),
        };
        self.rules.devices.iter().map(time).collect()
    }

    fn want_quote(&mut self, effects: &mut EffectSink) {
        let index = self.index.saturating_sub(1);
        let overdue = index.saturating_sub(self.last_quoted) >= self.rules.attest_every;
        if !self.quoting && (overdue || self.quote_wanted) {
            self.quoting = true;
            self.quote_wanted = false;
            effects.push(Effect::Quote { index });
        }
    }

    fn quoted(&mut self, quoted: QuotedHead, effects: &mut EffectSink) -> Result<(), IntervalError> {
        if quoted.index >= self.index || quoted.index <= self.last_quoted {
            return Err(IntervalError::Broken("a quote over a head that is not sealed, or is quoted"));
        }
        self.quoting = false;
        self.last_quoted = quoted.index;
        self.unnamed.push_back(quoted);
        effects.push(Effect::Keep);
        Ok(())
    }

    fn quote_failed(&mut self, effects: &mut EffectSink) -> Result<(), IntervalError> {
        self.quoting = false;
        self.quote_wanted = true;
        effects.push(Effect::Keep);
        Ok(())
    }

    fn elapsed(&self, now: Now) -> Result<u64, IntervalError> {
        now.mono.checked_sub(self.start_mono).ok_or(IntervalError::ForeignBoot)
    }
}

impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, step, rank, micro_batch } = self;
        write!(f, "(attempt {attempt}, step {step}, rank {rank}, micro-batch {micro_batch})")
    }
}

#[cfg(test)]
mod tests;
