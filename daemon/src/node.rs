//! **Duty.** One node: its key, its run, its durable state, moved together. Every change is kept before it is answered.
//! **Knows** the store, the keys, the chain. **Does not know** sockets, clocks (time is an argument) or how evidence is
//! collected. **Spec.** PROTOCOL §3 (Node key, RunManifest, Ledger).

use weighbridge_attest_collect::{CpuIdentity, DeviceIdentity, DeviceSample};
use weighbridge_attest_types::{
    Binding, Canonical, ChainStart, Challenge, Device, Digest32, EvidenceSet, LedgerEntry, PoseidonDigest, QuotedHead,
    RosterRow, RunManifest, WitnessRow, device_set_digest, sha256, timestamp_imprint,
};
use weighbridge_daemon_api::{
    ChallengeRequest, HeadInfo, NodeDevice, NodeInfo, NodeState, ReceiptRequest, RunEnded, RunStarted,
};
use weighbridge_ledger::head_0;

use crate::effects::{Effect, Effects};
use crate::error::NodeError;
use crate::intervals::{Event, IntervalError, IntervalRules, Intervals, Now};
use crate::keys::{NodeKeys, NodeSecrets};
use crate::meter::{Meter, Metered};
use crate::run::{NamedCheckpoint, Run};
use crate::store::{Generation, PushMark, Row, Store};

/// What the configuration allows a manifest to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Shortest interval.
    pub min_interval_millis: u64,
    /// Longest interval.
    pub max_interval_millis: u64,
    /// A head is quoted at least every so many intervals; a run keeps what it began with.
    pub attest_every: u64,
    /// Kept entries and evidence beyond which no more work is taken.
    pub state_max_bytes: u64,
}

/// Who the platform says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The CPU TEE.
    pub cpu: CpuIdentity,
    /// Accelerators, ascending by device.
    pub devices: Vec<DeviceIdentity>,
}

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Driven {
    /// For reports: whether this one changed anything.
    pub counted: bool,
    /// A head that is to be quoted, off the caller's path.
    pub quote: Option<Binding>,
    /// What counters say about the interval that was sealed.
    pub metered: Option<Metered>,
}

/// What a watcher of folders has to know of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Where the node stands.
    pub state: NodeState,
    /// The latest attempt that the job told of.
    pub attempt: u16,
    /// When the run began, in Unix milliseconds.
    pub run_start: u64,
    /// Checkpoints that the ledger names.
    pub named: Vec<NamedCheckpoint>,
}

impl Watched {
    /// Whether the ledger names these files, and they did not change since.
    #[must_use]
    pub fn has(&self, step: u64, files: &[(String, u64)], newest: u64) -> bool {
        self.named.iter().any(|named| named.step == step && named.files == files && newest <= named.sealed.0)
    }
}

/// A node.
#[derive(Debug)]
pub struct Node {
    store: Store,
    generation: Generation,
    keys: NodeKeys,
    identity: NodeIdentity,
    limits: Limits,
    key_quote: Option<Digest32>,
    run: Option<Run>,
    meter: Meter,
    failed: bool,
}

impl Node {
    /// Opens the node of this boot, or makes a new key from `fresh`: after a reboot, and after a run whose receipt or
    /// timestamp is kept.
    ///
    /// # Errors
    /// [`NodeError`]; also when an open run's devices are not those of the platform.
    pub fn open(
        store: Store,
        identity: NodeIdentity,
        limits: Limits,
        boot_id: [u8; 16],
        fresh: NodeSecrets,
    ) -> Result<Self, NodeError> {
        let last = store.generations()?.last().copied().filter(|generation| generation.boot_id == boot_id);
        let last = match last {
            Some(generation) if !store.is_closed(generation.number)? => Some(generation),
            _ => None,
        };
        match last {
            Some(generation) => Self::restore(store, generation, identity, limits),
            None => {
                let keys = NodeKeys::new(fresh)?;
                let generation = store.begin_generation(keys.node_key(), boot_id, fresh)?;
                let (key_quote, run) = (None, None);
                Ok(Self {
                    store,
                    generation,
                    keys,
                    identity,
                    limits,
                    key_quote,
                    run,
                    meter: Meter::default(),
                    failed: false,
                })
            }
        }
    }

    fn restore(
        store: Store,
        generation: Generation,
        identity: NodeIdentity,
        limits: Limits,
    ) -> Result<Self, NodeError> {
        let number = generation.number;
        let keys = NodeKeys::new(store.secrets(number)?.ok_or_else(|| store.damaged("secrets"))?)?;
        if keys.node_key() != generation.node_key {
            return Err(store.damaged("secrets").into());
        }
        let key_quote = store.key_evidence(number)?.map(|set| sha256(&set));
        let run = match store.start(number)? {
            None => None,
            Some(start) => {
                let intervals = store.intervals(number)?.ok_or_else(|| store.damaged("intervals"))?;
                if !intervals.has_ended() && start.device_set != identity.device_set() {
                    return Err(NodeError::Devices(identity.differing(intervals.devices())));
                }
                Some(Run::restore(start, store.entries(number)?, intervals)?)
            }
        };
        Ok(Self { store, generation, keys, identity, limits, key_quote, run, meter: Meter::default(), failed: false })
    }

    /// All that is public.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        let device = |identity: &DeviceIdentity| NodeDevice {
            device: identity.device,
            kind: identity.kind.clone(),
            name: identity.name.clone(),
        };
        NodeInfo {
            node_key: self.keys.node_key(),
            state: self.state(),
            cpu_kind: self.identity.cpu.kind.clone(),
            cpu: self.identity.cpu.device,
            devices: self.identity.devices.iter().map(device).collect(),
            key_quote: self.key_quote,
            genesis: self.run.as_ref().map(|run| run.chain.start().genesis),
            head: self.run.as_ref().map(|run| HeadInfo { index: run.chain.last_index(), head: run.chain.head() }),
        }
    }

    /// What a watcher of folders has to know.
    #[must_use]
    pub fn watched(&self) -> Watched {
        let state = self.state();
        let run = self.run.as_ref();
        Watched {
            state,
            attempt: run.map_or(0, |run| run.intervals.last_attempt()),
            run_start: run.map_or(0, |run| run.began.0),
            named: run.map_or_else(Vec::new, |run| run.named.clone()),
        }
    }

    /// Where the node stands.
    #[must_use]
    pub fn state(&self) -> NodeState {
        match &self.run {
            None => NodeState::Waiting,
            Some(run) if run.intervals.has_ended() => NodeState::Ended,
            Some(_) => NodeState::Running,
        }
    }

    /// What a key quote has to be about.
    #[must_use]
    pub fn key_binding(&self, challenge: Challenge) -> Binding {
        Binding::key(self.keys.node_key().digest(), challenge)
    }

    /// What a quote over the last sealed head has to be about.
    ///
    /// # Errors
    /// [`NodeError::NotLegal`] without a run.
    pub fn head_binding(&self, challenge: Challenge) -> Result<Binding, NodeError> {
        let Run { chain, .. } = self.open_run("quote")?;
        let key = self.keys.node_key().digest();
        Ok(Binding::head(chain.start().genesis, key, chain.head(), chain.last_index(), challenge))
    }

    /// Keeps the evidence that introduces the node key, and the nonce or beacon round it answers.
    ///
    /// # Errors
    /// [`NodeError`]; when a run has started meanwhile, its roster already names the older quote.
    pub fn keep_key_quote(&mut self, answered: &ChallengeRequest, set: &EvidenceSet) -> Result<(), NodeError> {
        if self.run.is_some() {
            return Err(NodeError::NotLegal { action: "challenge", state: self.state() });
        }
        let set = set.to_bytes();
        self.keep(&[Row::KeyQuote { set: &set, answered }])?;
        self.key_quote = Some(sha256(&set));
        Ok(())
    }

    /// Opens the run. The same manifest again answers the same.
    ///
    /// # Errors
    /// [`NodeError`]: no key quote, a manifest that makes no sense, or one that does not fit this node.
    pub fn start_run(&mut self, manifest: &RunManifest, now: Now) -> Result<RunStarted, NodeError> {
        let genesis = manifest.genesis();
        if let Some(run) = &self.run {
            let start = run.chain.start();
            let same = start.genesis == genesis;
            return if same { Ok(started(start)) } else { Err(NodeError::OtherRun(start.genesis)) };
        }
        let key_quote = self.key_quote.ok_or(NodeError::NoKeyQuote)?;
        self.refuse_beyond_cap()?;
        manifest.check()?;
        let (least, most) = (self.limits.min_interval_millis, self.limits.max_interval_millis);
        if !(least..=most).contains(&manifest.interval_millis) {
            return Err(NodeError::IntervalLimits { asked: manifest.interval_millis, least, most });
        }
        let continued = self.continued(genesis)?;
        let row = self.own_row(manifest, key_quote, continued.is_some())?;
        let start = ChainStart {
            genesis,
            node_key: self.keys.node_key(),
            device_set: device_set_digest(&row.device_set()),
            predecessor: continued.flatten(),
        };
        let devices = self.identity.devices.iter().map(|identity| identity.device).collect();
        let rules = IntervalRules {
            interval_millis: manifest.interval_millis,
            attest_every: self.limits.attest_every,
            devices,
            audited: manifest.audit().is_some(),
        };
        let intervals = Intervals::begin(rules, now);
        self.keep(&[Row::Run { manifest, start: &start }, Row::Intervals(&intervals)])?;
        self.run = Some(Run::begin(start, intervals));
        self.meter.begin_run();
        Ok(started(&start))
    }

    /// Takes one look at the accelerators' counters.
    pub fn sampled(&mut self, now: Now, samples: &[DeviceSample]) {
        self.meter.take(now.mono, samples);
    }

    /// The oldest ledger of which a verifier does not have the last quote or closing: its generation, and the mark that
    /// stands for having it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn to_push(&self) -> Result<Option<(Generation, PushMark)>, NodeError> {
        for generation in self.store.generations()? {
            let mark = self.store.push_mark(generation.number)?;
            if let Some(mark) = mark.filter(|mark| mark.quoted > 0)
                && self.store.pushed(generation.number)? != Some(mark)
            {
                return Ok(Some((generation, mark)));
            }
        }
        Ok(None)
    }

    /// A verifier has it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn keep_pushed(&mut self, generation: u32, mark: PushMark) -> Result<(), NodeError> {
        self.keep_of(generation, &[Row::Pushed(mark)])
    }

    /// What the configuration says from now on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes one event of the run; what it changes is durable when this returns.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn drive(&mut self, now: Now, event: Event) -> Result<Driven, NodeError> {
        if matches!(event, Event::Step { .. } | Event::WorkUnit { .. } | Event::Checkpoint(_)) {
            self.refuse_beyond_cap()?;
        }
        self.drive_with(now, event, None)
    }

    /// Keeps the evidence over a head; the next sealed interval names it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn keep_quote(&mut self, now: Now, set: &EvidenceSet) -> Result<(), NodeError> {
        let (index, bytes) = (set.binding.index, set.to_bytes());
        let event = Event::Quoted(QuotedHead { index, evidence: sha256(&bytes) });
        self.drive_with(now, event, Some(Row::Evidence { index, set: &bytes })).map(drop)
    }

    /// Whether a head is still worth quoting: the run is open and no later head is quoted.
    #[must_use]
    pub fn wants_quote(&self, index: u64) -> bool {
        let open = self.run.as_ref().filter(|run| !run.intervals.has_ended());
        open.is_some_and(|run| run.intervals.last_quoted() < index)
    }

    /// Length of the open run's intervals; 0 without a run.
    #[must_use]
    pub fn interval_millis(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.intervals.interval_millis())
    }

    /// Index of the last head of the run that was quoted; 0 before any was.
    #[must_use]
    pub fn last_quoted(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.intervals.last_quoted())
    }

    /// Whether the last sealed head has no quote yet.
    #[must_use]
    pub fn has_unquoted_head(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.intervals.last_quoted() < run.chain.last_index())
    }

    /// Whether a quote waits for the next sealed interval to name it.
    #[must_use]
    pub fn has_unnamed_quote(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.intervals.has_unnamed_quote())
    }

    /// The last head once the run has ended, and whether it is quoted.
    #[must_use]
    pub fn ended(&self) -> Option<(RunEnded, bool)> {
        let run = self.run.as_ref().filter(|run| run.intervals.has_ended())?;
        let (index, head) = (run.chain.last_index(), run.chain.head());
        let node_key_digest = self.keys.node_key().digest();
        Some((RunEnded { index, head, node_key_digest }, run.intervals.last_quoted() == index))
    }

    /// Keeps the receipt or the timestamp over the last head; false when one was kept before. Who signed it, a Verifier
    /// judges: of a timestamp only the imprint is looked for.
    ///
    /// # Errors
    /// [`NodeError::Receipt`] when it is about something else.
    pub fn keep_receipt(&mut self, request: &ReceiptRequest) -> Result<bool, NodeError> {
        let (ended, _) = self.ended().ok_or(NodeError::NotLegal { action: "receipt", state: self.state() })?;
        let differs = |why| Err(NodeError::Receipt { why });
        let RunEnded { index, head, node_key_digest } = ended;
        let number = self.generation.number;
        let (row, counted) = match request {
            ReceiptRequest::Receipt(receipt) if receipt.node_key_digest != node_key_digest => {
                return differs("it names another node key");
            }
            ReceiptRequest::Receipt(receipt) if (receipt.index, receipt.head) != (index, head) => {
                return differs("it names another head");
            }
            ReceiptRequest::Timestamp(answer) if !answer.mentions(timestamp_imprint(node_key_digest, index, head)) => {
                return differs("its imprint is not the one that `weighbridged head` prints");
            }
            ReceiptRequest::Receipt(receipt) => (Row::Receipt(receipt), self.store.receipt(number)?.is_none()),
            ReceiptRequest::Timestamp(answer) => (Row::Timestamp(answer), self.store.timestamp(number)?.is_none()),
        };
        self.keep(&[row])?;
        Ok(counted)
    }

    /// The durable state, for reading it out.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Whether writing failed: nothing more can be acknowledged.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    fn drive_with(&mut self, now: Now, event: Event, extra: Option<Row<'_>>) -> Result<Driven, NodeError> {
        let run = self.run.as_mut().ok_or(NodeError::NotLegal { action: "report", state: NodeState::Waiting })?;
        // Changes are made to a copy and take its place when they are durable.
        let mut next = run.intervals.clone();
        let mut effects = Effects::default();
        if let Err(error) = next.on(now, event, effects.sink()) {
            // An error changes nothing that was acknowledged, only what is known of the clock.
            run.intervals = next;
            return Err(error.into());
        }
        self.perform(next, effects.drain(), extra)
    }

    fn perform(&mut self, next: Intervals, effects: Vec<Effect>, extra: Option<Row<'_>>) -> Result<Driven, NodeError> {
        let (mut driven, mut keep, mut quote) = (Driven::default(), false, false);
        let mut appended: Option<(LedgerEntry, WitnessRow)> = None;
        // Like the intervals, it takes its place when what it weighed is durable.
        let mut meter = self.meter.clone();
        for effect in effects {
            match effect {
                Effect::Keep => keep = true,
                Effect::Acknowledge { counted } => driven.counted = counted,
                Effect::Append(mut interval) => {
                    driven.metered = Some(meter.weigh(&mut interval).map_err(|_| IntervalError::Broken("metered"))?);
                    appended = Some(self.open_run("seal")?.sign(&self.keys, *interval)?);
                }
                Effect::Quote { .. } => quote = true,
            }
        }
        let mut rows: Vec<Row<'_>> = extra.into_iter().collect();
        if let Some((entry, witness)) = &appended {
            rows.push(Row::Entry { entry, witness });
            let metered = driven.metered.as_ref();
            rows.extend(metered.map(|metered| Row::Counters { index: entry.public.index, metered }));
        }
        if keep || appended.is_some() {
            rows.push(Row::Intervals(&next));
            self.keep(&rows)?;
        }
        drop(rows);
        self.meter = meter;
        if let Some(run) = self.run.as_mut() {
            run.intervals = next;
            if let Some((entry, _)) = appended {
                run.append(entry)?;
            }
        }
        if quote {
            driven.quote = Some(self.head_binding(Challenge::None)?);
        }
        Ok(driven)
    }

    fn keep(&mut self, rows: &[Row<'_>]) -> Result<(), NodeError> {
        self.keep_of(self.generation.number, rows)
    }

    fn keep_of(&mut self, generation: u32, rows: &[Row<'_>]) -> Result<(), NodeError> {
        if self.failed {
            return Err(NodeError::Failed);
        }
        let kept = self.store.keep(generation, rows);
        // After a failed write the database takes no other until it is opened anew.
        self.failed = kept.is_err();
        Ok(kept?)
    }

    /// Intervals are still sealed and quoted: what was acknowledged must reach a quoted head.
    fn refuse_beyond_cap(&self) -> Result<(), NodeError> {
        let (kept, cap) = (self.store.kept_bytes(), self.limits.state_max_bytes);
        if kept > cap { Err(NodeError::StateCap { kept, cap }) } else { Ok(()) }
    }

    fn open_run(&self, action: &'static str) -> Result<&Run, NodeError> {
        self.run.as_ref().ok_or(NodeError::NotLegal { action, state: NodeState::Waiting })
    }

    /// Whether an earlier key of this node had the same run, and the last head of it that was quoted. A predecessor is
    /// cited only then: another manifest is another run. A key of which nothing was quoted attests nothing that could be
    /// continued: the key before it is.
    fn continued(&self, genesis: Digest32) -> Result<Option<Option<PoseidonDigest>>, NodeError> {
        let mut continued = None;
        for earlier in self.store.generations()?.iter().rev() {
            let manifest = self.store.manifest(earlier.number)?;
            if manifest.is_some_and(|manifest| manifest.genesis() == genesis) {
                let quoted = self.store.evidence(earlier.number)?;
                continued = Some(None);
                let Some((_, set)) = quoted.last() else { continue };
                let set = EvidenceSet::from_bytes(set).map_err(|_| self.store.damaged("evidence"))?;
                return Ok(Some(Some(set.binding.head)));
            }
        }
        Ok(continued)
    }

    /// The roster's row for this node: by key, or after a reboot within the run by CPU platform.
    fn own_row<'m>(
        &self,
        manifest: &'m RunManifest,
        key_quote: Digest32,
        continuing: bool,
    ) -> Result<&'m RosterRow, NodeError> {
        let (node_key, identity) = (self.keys.node_key(), &self.identity);
        let refuse = |why: String| Err(NodeError::Roster { why });
        let by_key = manifest.roster.iter().find(|row| row.node_key == node_key);
        let by_cpu = || manifest.roster.iter().find(|row| continuing && row.cpu == identity.cpu.device);
        let Some(row) = by_key.or_else(by_cpu) else {
            return refuse(format!("it has no row for node key {node_key}"));
        };
        if row.node_key == node_key && row.key_quote != key_quote {
            return refuse(format!("it names key quote {}, the last one is {key_quote}", row.key_quote));
        }
        if (row.cpu, &row.cpu_kind) != (identity.cpu.device, &identity.cpu.kind) {
            return refuse(format!("it names CPU platform {}, this is {}", row.cpu.0, identity.cpu.device.0));
        }
        let named: Vec<_> = row.devices.iter().map(|device| (device.device, &device.kind)).collect();
        let here: Vec<_> = identity.devices.iter().map(|device| (device.device, &device.kind)).collect();
        if named != here {
            return refuse(format!("it names {} devices, this node has {}, or not the same", named.len(), here.len()));
        }
        Ok(row)
    }
}

impl NodeIdentity {
    fn device_set(&self) -> Digest32 {
        let accelerators = self.devices.iter().map(|identity| identity.device);
        device_set_digest(&std::iter::once(self.cpu.device).chain(accelerators).collect::<Vec<_>>())
    }

    /// Devices of a run that are not here, or, when all are, the CPU platform that must have changed.
    fn differing(&self, of_run: &[Device]) -> Vec<Device> {
        let here: Vec<Device> = self.devices.iter().map(|identity| identity.device).collect();
        let missing: Vec<Device> = of_run.iter().copied().filter(|device| !here.contains(device)).collect();
        let added = here.into_iter().filter(|device| !of_run.contains(device));
        let differing: Vec<Device> = missing.into_iter().chain(added).collect();
        if differing.is_empty() { vec![self.cpu.device] } else { differing }
    }
}

fn started(start: &ChainStart) -> RunStarted {
    RunStarted { genesis: start.genesis, head: head_0(start) }
}

#[cfg(test)]
mod tests;
