//! **Duty.** Performs actions on the node: keeps its lock short, reads the clock under it, and runs everything that
//! blocks off the reactor. A training call never waits for attestation or hashing. **Does not know** HTTP.
//! **Spec.** TRAINING §5; PROTOCOL §3 (re-attest).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde::Serialize;
use tokio::task::{JoinSet, spawn_blocking};
use weighbridge_attest_collect::{Collector, collect_set};
use weighbridge_attest_types::{Binding, Challenge, CheckpointCommitment, EvidenceSet, NodeKey, WindowCommitment};
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, CheckpointRequest, GapReport, NodeInfo, NodeState, RunEnded, RunStarted,
    StepReport, WindowReport, WorkUnitReport,
};

use super::access::Peer;
use super::clock::Clock;
use super::metrics::{Counters, Gauges, add, count, page};
use super::pace::Pace;
use super::push::Parcel;
use super::{checkpoint_files, refusals::Refusals};
use crate::action::Action;
use crate::config::Config;
use crate::error::NodeError;
use crate::export;
use crate::intervals::{Event, IntervalError, Now, UnitKey};
use crate::node::{Driven, Node, Watched};
use crate::store::PushMark;

/// What an action answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Node(NodeInfo),
    Started(RunStarted),
    Acknowledged(Acknowledged),
    Checkpoint(CheckpointCommitment),
    Ended(RunEnded),
    Bytes(Vec<u8>),
    Page(String),
}

/// How the run is, for the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It goes on, or there is none.
    Good(NodeState),
    /// Nothing is taken until somebody acts.
    Halted(String),
}

#[derive(Debug)]
pub(super) struct Service {
    node: Mutex<Node>,
    platform: Arc<dyn Collector>,
    clock: Arc<dyn Clock>,
    /// One evidence collection at a time (EVIDENCE §5.3).
    attesting: tokio::sync::Mutex<()>,
    /// One checkpoint at a time: hashing shares the machine with the training job.
    hashing: tokio::sync::Mutex<()>,
    quotes: Mutex<JoinSet<()>>,
    pace: Pace,
    config: RwLock<Arc<Config>>,
    pub(super) counters: Counters,
    pub(super) refusals: Refusals,
}

impl Service {
    pub(super) fn new(node: Node, platform: Arc<dyn Collector>, clock: Arc<dyn Clock>, config: Config) -> Arc<Self> {
        Arc::new(Self {
            node: Mutex::new(node),
            platform,
            clock,
            attesting: tokio::sync::Mutex::default(),
            hashing: tokio::sync::Mutex::default(),
            quotes: Mutex::default(),
            pace: Pace::default(),
            config: RwLock::new(Arc::new(config)),
            counters: Counters::default(),
            refusals: Refusals::default(),
        })
    }

    /// What is in force now.
    pub(super) fn config(&self) -> Result<Arc<Config>, NodeError> {
        self.config.read().map(|config| Arc::clone(&config)).map_err(|_| NodeError::Task)
    }

    /// Takes a configuration while running; what is fixed at the start is kept and told of.
    pub(super) async fn reload(self: &Arc<Self>, config: Config) -> Result<(), NodeError> {
        let current = self.config()?;
        let (config, fixed) = config.keeping_fixed(&current);
        let limits = config.limits();
        self.on_node(move |node, _| {
            node.set_limits(limits);
            Ok(())
        })
        .await?;
        *self.config.write().map_err(|_| NodeError::Task)? = Arc::new(config);
        count(&self.counters.reloads);
        if fixed.is_empty() {
            tracing::info!(event = "config-reloaded", "the configuration was read anew");
        } else {
            let fixed = fixed.join(", ");
            tracing::warn!(event = "config-reloaded", "read anew but for `{fixed}`, which take a restart");
        }
        Ok(())
    }

    /// Does what a caller asks.
    pub(super) async fn perform(self: &Arc<Self>, action: Action, peer: Peer) -> Result<Answer, NodeError> {
        let (name, asked) = (action.name(), action.clone());
        let legal = move |node: &mut Node, _| {
            let state = node.state();
            if asked.is_legal(state) { Ok(()) } else { Err(NodeError::NotLegal { action: name, state }) }
        };
        self.on_node(legal).await?;
        match action {
            Action::Describe => self.describe().await,
            Action::Challenge(asked) => self.to_the_end(|service| async move { service.challenge(asked).await }).await,
            Action::StartRun(manifest) => {
                self.on_node(move |node, now| node.start_run(&manifest, now)).await.map(Answer::Started)
            }
            Action::Step(StepReport { attempt, step }) => {
                self.report(Event::Step { attempt, step }, &self.counters.steps).await
            }
            Action::WorkUnit(WorkUnitReport { attempt, step, rank, micro_batch, flop }) => {
                let key = UnitKey { attempt, step, rank, micro_batch };
                self.report(Event::WorkUnit { key, flop }, &self.counters.work_units).await
            }
            Action::Gap(report) => self.gap(report).await,
            Action::Window(WindowReport { index, root }) => {
                self.report(Event::Window(WindowCommitment { index, root }), &self.counters.windows).await
            }
            Action::Checkpoint(request) => {
                self.to_the_end(|service| async move { service.checkpoint(request).await }).await
            }
            Action::End => self.to_the_end(|service| async move { service.end().await }).await,
            Action::Receipt(receipt) => {
                let counted = self.on_node(move |node, _| node.keep_receipt(&receipt)).await?;
                Ok(Answer::Acknowledged(Acknowledged { counted }))
            }
            Action::Export(node_key) => self.export(node_key).await,
            Action::Witness(node_key) => self.witness(node_key, peer).await,
            Action::Metrics => self.metrics().await,
        }
    }

    /// Goes on when the caller hangs up: a quote or a hash that was begun is finished, told of, and kept.
    async fn to_the_end<F>(self: &Arc<Self>, begin: impl FnOnce(Arc<Self>) -> F) -> Result<Answer, NodeError>
    where
        F: Future<Output = Result<Answer, NodeError>> + Send + 'static,
    {
        tokio::spawn(begin(Arc::clone(self))).await.map_err(|_| NodeError::Task)?
    }

    /// Accounts for the time in which no process of ours ran, before anything else happens.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<(), NodeError> {
        if self.on_node(|node, _| Ok(node.state())).await? != NodeState::Running {
            return Ok(());
        }
        match self.drive(Event::Restarted).await {
            Ok(_) => {
                let event = "run-resumed";
                tracing::info!(event, "an open run was found; the time since its last interval is a gap");
            }
            // The run halts until the clock is right; the loop says so.
            Err(NodeError::Interval(IntervalError::ClockWentBack { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Lets time pass.
    pub(super) async fn tick(self: &Arc<Self>) -> Result<Health, NodeError> {
        let state = self.on_node(|node, _| if node.has_failed() { Err(NodeError::Failed) } else { Ok(node.state()) });
        let state = state.await?;
        if state != NodeState::Running {
            return Ok(Health::Good(state));
        }
        let ticked = self.drive(Event::Tick).await;
        let halted = matches!(&ticked, Err(NodeError::Interval(IntervalError::ClockWentBack { .. })));
        self.counters.halted.store(u64::from(halted), Ordering::Relaxed);
        match ticked {
            Ok(_) => Ok(Health::Good(state)),
            Err(NodeError::Interval(error @ IntervalError::ClockWentBack { .. })) => {
                Ok(Health::Halted(format!("{error}; {}", error.remedy())))
            }
            // The run ended, or was never there, between two looks.
            Err(NodeError::NotLegal { .. }) => Ok(Health::Good(state)),
            Err(error) => Err(error),
        }
    }

    /// Looks at the accelerators' counters once. A driver that hangs holds up this look and nothing else.
    pub(super) async fn sample(self: &Arc<Self>) -> Result<(), NodeError> {
        let platform = Arc::clone(&self.platform);
        let samples = spawn_blocking(move || platform.sample()).await.map_err(|_| NodeError::Task)?;
        let take = move |node: &mut Node, now| {
            node.sampled(now, &samples);
            Ok(())
        };
        self.on_node(take).await
    }

    /// Waits for quotes that are being made; nothing holds the store after this but `self`.
    pub(super) async fn settle(&self) {
        self.pace.stop();
        // Without the lock's own error, so that the future can be spawned on any thread.
        let quotes = self.quotes.lock().ok().map(|mut quotes| std::mem::take(&mut *quotes));
        if let Some(quotes) = quotes {
            quotes.join_all().await;
        }
    }

    async fn describe(self: &Arc<Self>) -> Result<Answer, NodeError> {
        self.on_node(|node, _| Ok(Answer::Node(node.info()))).await
    }

    async fn report(self: &Arc<Self>, event: Event, counter: &AtomicU64) -> Result<Answer, NodeError> {
        let Driven { counted, .. } = self.drive(event).await?;
        add(counter, u64::from(counted));
        Ok(Answer::Acknowledged(Acknowledged { counted }))
    }

    /// The job lost reports: what it declared since is not all, and the open interval says so.
    async fn gap(self: &Arc<Self>, report: GapReport) -> Result<Answer, NodeError> {
        let GapReport { attempt, rank, first_step, last_step, lost } = report;
        let Driven { counted, .. } = self.drive(Event::ReportsLost { key: (attempt, rank, last_step) }).await?;
        if counted {
            add(&self.counters.lost_reports, lost);
            let event = "reports-lost";
            tracing::warn!(event, attempt, rank, first_step, last_step, lost, "the training job lost reports");
        }
        Ok(Answer::Acknowledged(Acknowledged { counted }))
    }

    async fn metrics(self: &Arc<Self>) -> Result<Answer, NodeError> {
        let state_max_bytes = self.config()?.state_max_bytes;
        let gauges = move |node: &mut Node, _| {
            let info = node.info();
            Ok(Gauges {
                state: info.state,
                interval_index: info.head.map_or(0, |head| head.index),
                quoted_index: node.last_quoted(),
                devices: info.devices.len() as u64,
                state_bytes: node.store().kept_bytes(),
                state_max_bytes,
            })
        };
        Ok(Answer::Page(page(&self.counters, &self.on_node(gauges).await?)))
    }

    async fn challenge(self: &Arc<Self>, asked: ChallengeRequest) -> Result<Answer, NodeError> {
        let _turn = self.attesting.lock().await;
        let challenge = asked.challenge();
        if self.on_node(|node, _| Ok(node.state())).await? == NodeState::Waiting {
            let binding = self.on_node(move |node, _| Ok(node.key_binding(challenge))).await?;
            let set = self.collect(binding).await?;
            self.on_node(move |node, _| node.keep_key_quote(&asked, &set)).await?;
        } else {
            let fresh = move |node: &mut Node, now| {
                // The last head will do unless it is quoted already: one head, one quote. Where a quote waits to be
                // named, sealing names it, so that no quote stays unnamed.
                if !node.has_unquoted_head() || node.has_unnamed_quote() {
                    node.drive(now, Event::SealNow)?;
                }
                node.head_binding(challenge.clone())
            };
            let binding = self.when_long_enough(fresh).await?;
            self.quote(binding).await?;
        }
        self.describe().await
    }

    /// What a watcher of folders has to know.
    pub(super) async fn watched(self: &Arc<Self>) -> Result<Watched, NodeError> {
        self.on_node(|node, _| Ok(node.watched())).await
    }

    /// A checkpoint that a watcher found.
    pub(super) async fn commit_watched(self: &Arc<Self>, request: CheckpointRequest) -> Result<(), NodeError> {
        self.to_the_end(|service| async move { service.checkpoint(request).await }).await.map(drop)
    }

    /// An export that the verifier does not have.
    pub(super) async fn parcel(self: &Arc<Self>) -> Result<Option<Parcel>, NodeError> {
        self.on_node(|node, _| {
            let Some((generation, mark)) = node.to_push()? else { return Ok(None) };
            let bytes = export::public(node.store(), Some(generation.node_key))?;
            Ok(Some(Parcel { generation: generation.number, mark, bytes }))
        })
        .await
    }

    /// The verifier has it, or will never take it.
    pub(super) async fn pushed(self: &Arc<Self>, generation: u32, mark: PushMark) -> Result<(), NodeError> {
        self.on_node(move |node, _| node.keep_pushed(generation, mark)).await
    }

    async fn checkpoint(self: &Arc<Self>, request: CheckpointRequest) -> Result<Answer, NodeError> {
        let _turn = self.hashing.lock().await;
        let config = self.config()?;
        let hashed = spawn_blocking(move || checkpoint_files::commit(&request, &config)).await;
        let commitment = hashed.map_err(|_| NodeError::Task)??;
        self.report(Event::Checkpoint(commitment.clone()), &self.counters.checkpoints).await?;
        Ok(Answer::Checkpoint(commitment))
    }

    async fn end(self: &Arc<Self>) -> Result<Answer, NodeError> {
        let _turn = self.attesting.lock().await;
        let last = |node: &mut Node, now| {
            if node.state() == NodeState::Running {
                node.drive(now, Event::End)?;
            }
            let state = node.state();
            let (ended, quoted) = node.ended().ok_or(NodeError::NotLegal { action: "end", state })?;
            Ok((ended, quoted, node.head_binding(Challenge::None)?))
        };
        let (ended, quoted, binding) = self.when_long_enough(last).await?;
        if !quoted {
            self.quote(binding).await?;
        }
        Ok(Answer::Ended(ended))
    }

    async fn export(self: &Arc<Self>, node_key: Option<NodeKey>) -> Result<Answer, NodeError> {
        self.on_node(move |node, _| Ok(Answer::Bytes(export::public(node.store(), node_key)?))).await
    }

    async fn witness(self: &Arc<Self>, node_key: Option<NodeKey>, peer: Peer) -> Result<Answer, NodeError> {
        if !peer.is_owner() {
            return Err(NodeError::NotYours { uid: peer.uid });
        }
        self.on_node(move |node, _| Ok(Answer::Bytes(export::witness(node.store(), node_key)?.bytes))).await
    }

    async fn drive(self: &Arc<Self>, event: Event) -> Result<Driven, NodeError> {
        let driven = self.on_node(move |node, now| node.drive(now, event)).await?;
        if let Some(metered) = driven.metered.as_ref().filter(|metered| !metered.flags.is_empty()) {
            // Names alone: what was counted is private, like the reading.
            let flags: Vec<&str> = metered.flags.iter().map(|flag| flag.as_str()).collect();
            tracing::warn!(
                flags = flags.join(","),
                tier = metered.tier.as_str(),
                "counters and declaration do not fit"
            );
        }
        if let Some(binding) = &driven.quote {
            self.quote_later(binding.index)?;
        }
        Ok(driven)
    }

    /// Repeats what comes too early for an interval of the least lawful length.
    async fn when_long_enough<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl Fn(&mut Node, Now) -> Result<T, NodeError> + Clone + Send + 'static,
    ) -> Result<T, NodeError> {
        loop {
            match self.on_node(act.clone()).await {
                Err(NodeError::Interval(IntervalError::TooEarly { wait_millis })) => {
                    tokio::time::sleep(Duration::from_millis(wait_millis)).await;
                }
                done => return done,
            }
        }
    }

    fn quote_later(self: &Arc<Self>, index: u64) -> Result<(), NodeError> {
        let service = Arc::clone(self);
        let mut quotes = self.quotes.lock().map_err(|_| NodeError::Task)?;
        while quotes.try_join_next().is_some() {}
        quotes.spawn(async move {
            let interval_millis = service.on_node(|node, _| Ok(node.interval_millis())).await.unwrap_or_default();
            if !service.pace.wait(interval_millis).await {
                // The next start wants it.
                let _ = service.on_node(|node, now| node.drive(now, Event::QuoteFailed)).await;
                return;
            }
            let _turn = service.attesting.lock().await;
            // The newest head by now: a wait may have been long.
            let newest = move |node: &mut Node, _| match node.wants_quote(index) {
                true => node.head_binding(Challenge::None).map(Some),
                false => Ok(None),
            };
            let quoted = match service.on_node(newest).await {
                Ok(Some(binding)) => service.quote(binding).await,
                other => other.map(drop),
            };
            if let Err(error) = quoted {
                // Not fatal, and never a fake: the next interval is quoted instead.
                let (event, code) = ("head-not-quoted", error.code());
                tracing::warn!(event, index, code, %error, "a head could not be quoted");
            }
        });
        Ok(())
    }

    /// Collects evidence over a head and keeps it; a failure makes the next sealed head wanted.
    async fn quote(self: &Arc<Self>, binding: Binding) -> Result<(), NodeError> {
        let index = binding.index;
        let collected = self.collect(binding).await;
        self.pace.hear(collected.is_ok());
        match collected {
            Ok(set) => {
                self.on_node(move |node, now| node.keep_quote(now, &set)).await?;
                tracing::info!(event = "head-quoted", index, "head quoted");
                Ok(())
            }
            Err(error) => {
                self.on_node(|node, now| node.drive(now, Event::QuoteFailed)).await?;
                Err(error)
            }
        }
    }

    async fn collect(&self, binding: Binding) -> Result<EvidenceSet, NodeError> {
        let platform = Arc::clone(&self.platform);
        let collected = spawn_blocking(move || collect_set(platform.as_ref(), binding)).await;
        let collected = collected.map_err(|_| NodeError::Task)?;
        count(if collected.is_ok() { &self.counters.quotes } else { &self.counters.failed_quotes });
        Ok(collected?)
    }

    /// Milliseconds since boot, for what only needs an order; 0 without a clock.
    pub(super) fn mono(&self) -> u64 {
        self.clock.now().map_or(0, |now| now.mono)
    }

    /// The clock is read under the lock: events reach the node in the order of their times.
    async fn on_node<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Node, Now) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let service = Arc::clone(self);
        let acted = spawn_blocking(move || {
            let mut node = service.node.lock().map_err(|_| NodeError::Task)?;
            let now = service.clock.now()?;
            act(&mut node, now)
        });
        acted.await.map_err(|_| NodeError::Task)?
    }
}
