//! **Duty.** The whole path, stage by stage: platform, nodes, manifest, training, ledgers, proof, verdict. **Knows** the
//! order and what must agree between stages. **Does not know** how any stage works. **Spec.** PROTOCOL §5, §8.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use weighbridge_appraisal::{AppraisalTime, CheckStatus, Outcome, VerifyOptions, verify_bundle};
use weighbridge_attest::{built_in_anchors, parse_anchor_file};
use weighbridge_attest_collect::Collector;
use weighbridge_attest_types::{
    Bundle, Canonical, CheckpointRoots, Culprit, Flops, Gflop, MAX_INTERVAL_MILLIS, MIN_INTERVAL_MILLIS, NO_AUDIT,
    NodeWitness, RosterDevice, RosterRow, RunManifest, ThresholdReport, TrustAnchors, built_in_profiles,
};
use weighbridge_commitments::{CommitError, Effort, commit_checkpoint, commit_spec};
use weighbridge_daemon_api::{NodeDevice, NodeInfo, RunEnded};
use weighbridge_tests_simulator::World;
use weighbridge_verifier::{AssembleJob, CliError, HtmlError, ProveLimits, Statement, StatementAbout, render_html};

use crate::ambient::{Stopwatch, random, unix_now};
use crate::audit::{AUDIT_EVERY, AuditError, Auditor, Policies};
use crate::checkpoint::{checkpoint_folder, write_checkpoint};
use crate::cluster::{Cluster, ClusterError, Exported};
use crate::data::{Split, WineTable};
use crate::error::{DemoError, Fault};
use crate::model::{GemmCounter, Momentum, Perceptron};
use crate::output::{Output, OutputError};
use crate::progress::Screen;
use crate::ranks::{Attempt, Job, Sink, StepLine, TrainError, TrainingSummary, train};
use crate::reporter::{ReportError, Reported, Reporter};
use crate::spec::TrainingSpec;

const GPUS_PER_NODE: u32 = 1;
const CHECKPOINT_EVERY: u64 = 50;
/// The job dies after this share of its steps, so that what it did since the last checkpoint has to be done again.
const DIES_AT: (u64, u64) = (13, 30);
/// How long one node's service is down. The other one goes on, and its accelerator is idle.
const SERVICE_DOWN: Duration = Duration::from_secs(6);
/// How long the other node is down.
const REBOOT: Duration = Duration::from_secs(3);
const EVALUATE_EVERY: u64 = 25;
/// The profile that the demo's page leads with.
const HEADLINE: &str = "demo";

const BANNER: [&str; 3] = [
    "SIMULATED: the TEE and GPU hardware. REAL: training, hashing, ledgers, zero-knowledge proof, verification.",
    "This machine stands in for two confidential nodes with one GPU each: TDX quotes and GPU reports have their real",
    "formats and signatures, under development roots made just now. The training arithmetic runs on this CPU.",
];

/// What a demo is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Output folder.
    pub out: PathBuf,
    /// Optimizer steps.
    pub steps: u64,
    /// Pace of the job; a machine that cannot keep it does fewer steps.
    pub steps_per_second: f64,
    /// Length of a ledger interval.
    pub interval_seconds: u64,
}

/// What a demo came to.
#[derive(Debug)]
pub struct DemoOutput {
    /// The training job.
    pub training: TrainingSummary,
    /// Intervals in each chain: node by node, and of each node key by key.
    pub intervals: Vec<u64>,
    /// Where everything lies.
    pub output: Output,
    /// The report of the verified bundle.
    pub report: ThresholdReport,
    /// Verification of the bundle under the development roots.
    pub verified: Outcome,
    /// Whose fault it is that the same bundle is refused without them.
    pub refused_without_roots: Culprit,
}

/// Intervals of a whole demo that weigh at least one GFLOP on each node.
const LEAST_HEAVY_INTERVALS: usize = 30;

/// Two stages that disagree.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Disagreement {
    /// Nothing was learned.
    #[error("the loss did not fall: {initial} at first, {last} at the end")]
    Loss {
        /// First loss.
        initial: f32,
        /// Final loss.
        last: f32,
    },
    /// A ledger that weighed something else than the job did.
    #[error("node {node} weighed {weighed} FLOP, but its rank declared {declared}")]
    Weight {
        /// Node.
        node: usize,
        /// By its ledger's readings.
        weighed: Flops,
        /// By its rank.
        declared: Flops,
    },
    /// A run too light for its intervals: readings of zero would show nothing.
    #[error("node {node}: {heavy} intervals weigh a GFLOP or more, and the demo promises {LEAST_HEAVY_INTERVALS}")]
    Light {
        /// Node.
        node: usize,
        /// Intervals that weigh something.
        heavy: usize,
    },
    /// Replicas that drifted apart.
    #[error("the last checkpoints of the ranks differ, though every step averaged their gradients")]
    Replicas,
    /// Verification that did not go as it must.
    #[error("verification: {0}")]
    Verdict(String),
}

/// What holds for the whole demo.
struct Stage<'a> {
    options: &'a Options,
    screen: &'a Screen,
    output: Output,
    world: World,
    spec: TrainingSpec,
    split: Split,
    data: WineTable,
    policies: Policies,
}

impl Default for Options {
    fn default() -> Self {
        Self { out: PathBuf::from("out"), steps: 300, steps_per_second: 5.0, interval_seconds: 2 }
    }
}

impl Options {
    /// Values that no run can have are refused before anything is made or removed.
    fn check(&self) -> Result<(), DemoError> {
        let paced = self.steps_per_second.is_finite() && self.steps_per_second > 0.0;
        let interval = self.interval_seconds.saturating_mul(1_000);
        let why = if self.steps == 0 || !paced {
            "the job needs at least one step and a pace above zero"
        } else if !(MIN_INTERVAL_MILLIS..=MAX_INTERVAL_MILLIS).contains(&interval) {
            "an interval has 1 to 600 seconds"
        } else {
            return Ok(());
        };
        Err(DemoError::new("options", Culprit::Usage, why))
    }
}

/// Runs the demo.
///
/// # Errors
/// [`DemoError`], which names the stage.
pub fn run(options: &Options, screen: &Screen) -> Result<DemoOutput, DemoError> {
    options.check()?;
    BANNER.iter().for_each(|line| screen.line(line));
    let clock = Stopwatch::start();
    let stage = Stage::set(options, screen)?;
    let mut cluster = stage.nodes()?;
    let manifest = stage.manifest(&cluster)?;
    let (training, reported) = stage.training(&mut cluster, &manifest)?;
    let (exported, intervals) = stage.ledgers(cluster, &training, reported)?;
    let (report, verified, refused_without_roots) = stage.proof(&exported)?;
    let output = stage.output;
    let (genesis, seconds) = (manifest.genesis(), clock.elapsed().as_secs());
    screen
        .line(&format!("run {genesis}: {seconds} s from first to last; everything is in {}", output.root().display()));
    Ok(DemoOutput { training, intervals, output, report, verified, refused_without_roots })
}

impl<'a> Stage<'a> {
    fn set(options: &'a Options, screen: &'a Screen) -> Result<Self, DemoError> {
        let fault = Fault::of("platform");
        let out = std::path::absolute(&options.out).map_err(fault.unavailable())?;
        let output = Output::claim(&out).map_err(fault.by(OutputError::culprit))?;
        let seed = random().map(u64::from_le_bytes).map_err(fault.unavailable())?;
        let world = World::new(seed, unix_now());
        world.write_trust_roots(&output.trust_roots()).map_err(fault.unavailable())?;
        let names = ["tdx-collateral.json", "gpu-driver-rim.swidtag", "gpu-vbios-rim.swidtag"];
        for (name, file) in names.iter().zip(world.endorsements()) {
            fs::write(output.endorsements().join(name), file).map_err(fault.unavailable())?;
        }
        screen.line("1 platform   development roots, collateral and manifests written (trust-roots/, endorsements/)");

        let spec = TrainingSpec::wine(options.steps);
        let data = WineTable::load();
        let split = data.split(&spec);
        let policies = Policies::new().map_err(fault.by(AuditError::culprit))?;
        Ok(Self { options, screen, output, world, spec, split, data, policies })
    }

    fn nodes(&self) -> Result<Cluster, DemoError> {
        let nodes = u32::try_from(self.spec.ranks).unwrap_or(u32::MAX);
        let platform = |index| Arc::new(self.world.node(index, GPUS_PER_NODE)) as Arc<dyn Collector>;
        let fault = Fault::of("nodes");
        let cluster = Cluster::start((0..nodes).map(platform).collect(), &self.output);
        let cluster = cluster.map_err(fault.by(ClusterError::culprit))?;
        self.screen.line(&format!("2 nodes      {nodes} daemon cores answer on their Unix sockets"));
        Ok(cluster)
    }

    /// One manifest for all nodes, after each has quoted its key under the time authority's nonce.
    fn manifest(&self, cluster: &Cluster) -> Result<RunManifest, DemoError> {
        let fault = Fault::of("manifest");
        let authority = self.world.time_authority();
        let nodes = cluster.challenge(|| authority.issue_nonce(unix_now())).map_err(fault.by(ClusterError::culprit))?;
        let roster: Option<Vec<RosterRow>> = nodes.iter().map(roster_row).collect();
        let roster = roster.ok_or("a node has no key quote after its challenge").map_err(fault.internal())?;

        let salt: [u8; 28] = random().map_err(fault.unavailable())?;
        let json = self.spec.canonical_json();
        let private = self.output.private();
        fs::write(private.join("spec.json"), &json).map_err(fault.unavailable())?;
        fs::write(private.join("spec.salt"), hex::encode(salt)).map_err(fault.unavailable())?;
        let mut manifest = RunManifest {
            provider: "Weighbridge demonstration (no company)".to_owned(),
            model_id: "wine-quality-perceptron".to_owned(),
            phase: "pre-training".to_owned(),
            roster,
            spec: commit_spec(&salt, &json),
            dataset_root: self.data.root(),
            order_rule: self.spec.order_rule(),
            initial_checkpoint: self.initial_checkpoint()?,
            interval_millis: self.options.interval_seconds.saturating_mul(1_000),
            numeric_policy: String::new(),
            audit_policy: NO_AUDIT.to_owned(),
            randomness_rule: NO_AUDIT.to_owned(),
            profiles: built_in_profiles().into_iter().map(|profile| profile.id).collect(),
        };
        self.policies.announce(&mut manifest);
        cluster.begin_run(&manifest).map_err(fault.by(ClusterError::culprit))?;
        self.screen.line(&format!(
            "3 manifest   key quotes under fresh nonces; the same manifest on every node: genesis {}",
            manifest.genesis()
        ));
        Ok(manifest)
    }

    fn initial_checkpoint(&self) -> Result<CheckpointRoots, DemoError> {
        let fault = Fault::of("manifest");
        let model = Perceptron::new(&self.spec, GemmCounter::default()).map_err(fault.internal())?;
        let optimizer = Momentum::new(&model, &self.spec).map_err(fault.internal())?;
        let files = write_checkpoint(&self.output.node(0), 0, &model, &optimizer).map_err(fault.unavailable())?;
        let digests =
            commit_checkpoint(&files, Effort::polite(), &mut |_, _| {}).map_err(fault.by(CommitError::culprit))?;
        Ok(CheckpointRoots { fast_root: digests.fast_root, algebraic_root: digests.algebraic_root })
    }

    /// The live job: it dies, much goes wrong, and a second attempt goes on from the last checkpoint.
    fn training(
        &self,
        cluster: &mut Cluster,
        manifest: &RunManifest,
    ) -> Result<(TrainingSummary, Vec<Reported>), DemoError> {
        let fault = Fault::of("training");
        self.announce_training();
        let dies_after = (self.spec.steps * DIES_AT.0 / DIES_AT.1).max(1);
        let ranks = u32::try_from(self.spec.ranks).unwrap_or(u32::MAX);
        let auditors = (0..ranks).map(|rank| Auditor::new(self.policies.clone(), rank));
        let first = Attempt { dies_after: Some(dies_after), ..Attempt::default() };
        let (died, mut before) = self.attempt(cluster, first, auditors.map(Some).collect())?;
        let steps = before.iter().flat_map(|node| &node.checkpoints).map(|checkpoint| checkpoint.step);
        let resumed = steps.max().unwrap_or_default();
        self.screen.line(&format!(
            "             the job died after step {}: what followed the checkpoint after step {resumed} has to be done again",
            died.steps
        ));
        self.misfortune(cluster, manifest)?;
        let resumes = Some((resumed, checkpoint_folder(&self.output.node(0), resumed)));
        let auditors = before.iter_mut().map(|node| node.auditor.take()).collect();
        let last = Attempt { number: 1, resumes, dies_after: None };
        let (ended, mut reported) = self.attempt(cluster, last, auditors)?;
        let training = died.then(ended, resumed).map_err(fault.by(TrainError::culprit))?;
        for (node, earlier) in reported.iter_mut().zip(before) {
            node.messages += earlier.messages;
            node.checkpoints.splice(..0, earlier.checkpoints);
        }
        self.judge_training(&training, &reported)?;
        Ok((training, reported))
    }

    /// What no node can hide: one service is down for a while, one machine is rebooted, and accelerators stand idle.
    fn misfortune(&self, cluster: &mut Cluster, manifest: &RunManifest) -> Result<(), DemoError> {
        let fault = Fault::of("misfortune");
        let authority = self.world.time_authority();
        // A fresh quote of both heads, as a verifier may ask for at any time: what a rebooted node continues from.
        cluster.challenge(|| authority.issue_nonce(unix_now())).map_err(fault.by(ClusterError::culprit))?;
        self.screen.line(&format!(
            "             node 1: the service is down for {} s; node 2 stands idle meanwhile",
            SERVICE_DOWN.as_secs()
        ));
        cluster.interrupt(0, SERVICE_DOWN).map_err(fault.by(ClusterError::culprit))?;
        let nonce = || authority.issue_nonce(unix_now());
        let started = cluster.reboot(1, REBOOT, nonce, manifest).map_err(fault.by(ClusterError::culprit))?;
        self.screen.line(&format!(
            "             node 2: rebooted, down for {} s; its new key starts from head {}",
            REBOOT.as_secs(),
            started.head
        ));
        Ok(())
    }

    /// One attempt of the job. Reports travel beside it; one that was dropped ends the demo.
    fn attempt(
        &self,
        cluster: &Cluster,
        attempt: Attempt,
        auditors: Vec<Option<Auditor>>,
    ) -> Result<(TrainingSummary, Vec<Reported>), DemoError> {
        let fault = Fault::of("training");
        let number = attempt.number;
        let reporters: Result<Vec<Reporter>, _> =
            cluster.sockets().zip(auditors).map(|(socket, auditor)| Reporter::start(socket, number, auditor)).collect();
        let mut reporters = reporters.map_err(fault.by(ReportError::culprit))?;
        let folders: Vec<PathBuf> = (0..self.spec.ranks).map(|rank| self.output.node(rank)).collect();
        let job = Job {
            spec: &self.spec,
            split: &self.split,
            steps_per_second: Some(self.options.steps_per_second),
            checkpoint_every: CHECKPOINT_EVERY,
            evaluate_every: EVALUATE_EVERY,
            audit_every: Some(AUDIT_EVERY),
            folders: &folders,
            attempt,
        };
        self.screen.counted(self.spec.steps);
        let sinks = reporters.iter_mut().map(|to| Box::new(|event| to.report(event)) as Sink<'_>).collect();
        let trained = train(&job, sinks, &|line| self.screen.at(line.step, &step_text(line)));
        self.screen.done();
        let training = trained.map_err(fault.by(TrainError::culprit))?;
        let reported: Result<Vec<Reported>, _> = reporters.into_iter().map(Reporter::finish).collect();
        let reported = reported.map_err(fault.by(ReportError::culprit))?;
        Ok((training, reported))
    }

    fn announce_training(&self) {
        let TrainingSpec { widths, ranks, micro_batch, .. } = &self.spec;
        let widths = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("→");
        let (rows, held_out) = (self.split.train.len(), self.split.held_out.len());
        self.screen.line(&format!(
            "4 training   perceptron {widths}, {ranks} data-parallel ranks, UCI Wine Quality (Cortez et al. 2009, CC BY 4.0)"
        ));
        self.screen.line(&format!(
            "             {rows} rows, {held_out} more held out; {} FLOP per micro-batch of {micro_batch} by the committed rule,",
            self.spec.micro_batch_flop()
        ));
        self.screen.line("             held against the count of the multiplying kernel at every step");
    }

    fn judge_training(&self, training: &TrainingSummary, reported: &[Reported]) -> Result<(), DemoError> {
        let fault = Fault::of("training");
        let (initial, last) = (training.initial_loss, training.final_loss);
        if last.is_nan() || last >= initial {
            return Err(Disagreement::Loss { initial, last }).map_err(fault.internal());
        }
        let mut finals = reported.iter().map(|node| {
            let last = node.checkpoints.last().filter(|checkpoint| checkpoint.step == training.steps);
            last.map(|checkpoint| (checkpoint.fast_root, checkpoint.algebraic_root))
        });
        let first = finals.next().flatten();
        if first.is_none() || finals.any(|other| other != first) {
            return Err(Disagreement::Replicas).map_err(fault.internal());
        }
        let messages: u64 = reported.iter().map(|node| node.messages).sum();
        self.screen.line(&format!(
            "             {} steps and {} done again: loss {initial:.3} → {last:.3}, accuracy on held-out rows {:.1} % → {:.1} %",
            training.steps,
            training.abandoned,
            100.0 * training.initial_accuracy,
            100.0 * training.final_accuracy
        ));
        self.screen.line(&format!(
            "             {messages} reports, none dropped; both nodes hashed the same last checkpoint"
        ));
        Ok(())
    }

    /// Ends the run, brackets it from outside, exports, and holds the ledgers against what the ranks declared.
    fn ledgers(
        &self,
        cluster: Cluster,
        training: &TrainingSummary,
        reported: Vec<Reported>,
    ) -> Result<(Vec<Exported>, Vec<u64>), DemoError> {
        let fault = Fault::of("ledgers");
        let authority = self.world.time_authority();
        let receipt = |ended: &RunEnded| authority.receipt(unix_now(), ended.node_key_digest, ended.index, ended.head);
        cluster.end_run(receipt).map_err(fault.by(ClusterError::culprit))?;
        let exported = cluster.export(&self.output).map_err(fault.by(ClusterError::culprit))?;
        cluster.stop().map_err(fault.by(ClusterError::culprit))?;
        let checkpoints: usize = reported.iter().map(|node| node.checkpoints.len()).sum();
        let answered = self.answers(reported)?;
        let mut intervals = Vec::new();
        for (node, &declared) in training.declared.iter().enumerate() {
            let (mut weight, mut heavy) = (Flops(0), 0);
            for files in exported.iter().filter(|files| files.node == node) {
                let chain = weighed(&files.witness).map_err(fault.malformed())?;
                weight = weight.checked_add(chain.flop).map_err(fault.internal())?;
                heavy += chain.heavy;
                intervals.push(chain.intervals);
            }
            let weighed = weight;
            if self.options.steps >= Options::default().steps && heavy < LEAST_HEAVY_INTERVALS {
                return Err(Disagreement::Light { node, heavy }).map_err(fault.internal());
            }
            if weighed != declared {
                return Err(Disagreement::Weight { node, weighed, declared }).map_err(fault.internal());
            }
        }
        let chains = exported.len();
        self.screen.line(&format!(
            "5 ledgers    {chains} chains of {intervals:?} signed intervals, {checkpoints} checkpoints; readings add up to what\n             \
             the ranks declared in both attempts"
        ));
        self.screen.line(&answered);
        Ok((exported, intervals))
    }

    /// Writes all answers of the audit, now that the heads with the windows' roots are quoted.
    fn answers(&self, reported: Vec<Reported>) -> Result<String, DemoError> {
        let fault = Fault::of("audit");
        let auditors: Vec<Auditor> = reported.into_iter().filter_map(|node| node.auditor).collect();
        let windows: usize = auditors.iter().map(Auditor::windows).sum();
        let answers = self.policies.answers(auditors, unix_now()).map_err(fault.by(AuditError::culprit))?;
        let draws: usize =
            answers.chains.iter().flat_map(|chain| &chain.windows).map(|window| window.answers.len()).sum();
        let bytes = answers.to_bytes();
        fs::write(self.output.answers(), &bytes).map_err(fault.unavailable())?;
        Ok(format!(
            "             {draws} draws from {windows} windows of audited steps answered in {} kB; self-check: it drew for itself",
            bytes.len().div_ceil(1_000)
        ))
    }

    fn proof(&self, exported: &[Exported]) -> Result<(ThresholdReport, Outcome, Culprit), DemoError> {
        let fault = Fault::of("proof");
        self.screen.line("6 proof      zero-knowledge proof about the declared total; readings stay with the operator");
        self.screen.open_ended();
        let exports: Vec<PathBuf> = exported.iter().map(|files| files.public.clone()).collect();
        let witnesses: Vec<PathBuf> = exported.iter().map(|files| files.witness.clone()).collect();
        let (roots, bundle) = (self.output.trust_roots(), self.output.bundle());
        let mut progress = |now: &str| self.screen.now(now);
        let endorsements = [self.output.endorsements()];
        let job = AssembleJob {
            exports: &exports,
            witnesses: &witnesses,
            endorsements: &endorsements,
            trust_roots: Some(&roots),
            at: unix_now(),
            statements: &[StatementAbout::declared(Statement::SmallestThreshold)],
            limits: &ProveLimits::default(),
            proof: None,
            declarations: None,
            answers: Some(&self.output.answers()),
            open: false,
            out: &bundle,
        };
        let assembled = job.run(&mut progress);
        self.screen.done();
        assembled.map_err(fault.by(CliError::culprit))?;

        let fault = Fault::of("verification");
        let bytes = fs::read(&bundle).map_err(fault.unavailable())?;
        let anchors = load_anchors(&roots)?;
        let outcome = |anchors| verify_bundle(&bytes, &VerifyOptions { anchors, at: AppraisalTime::Archived });
        let verified = outcome(anchors);
        let report = accepted(&verified).map_err(|(culprit, error)| DemoError::new("verification", culprit, error))?;
        let Some(refused) = outcome(built_in_anchors()).culprit() else {
            let error = Disagreement::Verdict("the bundle was accepted without the development roots".to_owned());
            return Err(error).map_err(fault.internal());
        };
        self.screen.line(&verification_text(&verified, refused));
        self.write_reports(&bytes, &report)?;
        Ok((report, verified, refused))
    }

    fn write_reports(&self, bundle: &[u8], report: &ThresholdReport) -> Result<(), DemoError> {
        let fault = Fault::of("report");
        let page = render_html(report, HEADLINE).map_err(fault.by(HtmlError::culprit))?;
        fs::write(self.output.report("html"), page).map_err(fault.unavailable())?;
        let bundle = Bundle::parse_bundle(bundle).map_err(fault.malformed())?;
        let json = bundle.get("report.json").ok_or("the bundle has no report").map_err(fault.malformed())?;
        fs::write(self.output.report("json"), json).map_err(fault.unavailable())
    }
}

fn step_text(line: StepLine) -> String {
    let StepLine { loss, accuracy, held_out_accuracy, .. } = line;
    let (accuracy, held_out) = (100.0 * accuracy, 100.0 * held_out_accuracy);
    format!("steps  loss {loss:.3}  right: batch {accuracy:.0} %, held-out {held_out:.1} %")
}

fn verification_text(verified: &Outcome, refused: Culprit) -> String {
    let count = |status| verified.checks.iter().filter(|check| check.status == status).count();
    format!(
        "7 verified   {} checks pass, {} are unknown, {} are skipped; without the development roots: {} (exit code {})",
        count(CheckStatus::Pass),
        count(CheckStatus::Unknown),
        count(CheckStatus::Skipped),
        refused.verdict(),
        refused.exit_code()
    )
}

fn roster_row(info: &NodeInfo) -> Option<RosterRow> {
    let device =
        |found: &NodeDevice| RosterDevice { device: found.device, kind: found.kind.clone(), sku: found.name.clone() };
    Some(RosterRow {
        node_key: info.node_key,
        key_quote: info.key_quote?,
        cpu_kind: info.cpu_kind.clone(),
        cpu: info.cpu,
        devices: info.devices.iter().map(device).collect(),
    })
}

/// What a chain weighs.
#[derive(Debug, PartialEq, Eq)]
struct Weighed {
    /// Whole GFLOP of every interval and the remainder carried out of the last.
    flop: Flops,
    intervals: u64,
    /// Intervals in which a whole GFLOP was completed.
    heavy: usize,
}

fn weighed(witness: &Path) -> Result<Weighed, Box<dyn std::error::Error + Send + Sync>> {
    let rows = NodeWitness::from_bytes(&fs::read(witness)?)?.rows;
    let rest = rows.last().map(|row| Flops(u128::from(row.reading.declared_rest()))).unwrap_or_default();
    let whole = rows.iter().map(|row| Flops::from(Gflop(row.reading.declared_gflop())));
    let heavy = rows.iter().filter(|row| row.reading.declared_gflop() > 0).count();
    let sum = whole.into_iter().try_fold(rest, Flops::checked_add)?;
    Ok(Weighed { flop: sum, intervals: rows.len() as u64, heavy })
}

fn load_anchors(folder: &Path) -> Result<TrustAnchors, DemoError> {
    let fault = Fault::of("verification");
    let mut anchors = built_in_anchors();
    for entry in fs::read_dir(folder).map_err(fault.unavailable())? {
        let bytes = fs::read(entry.map_err(fault.unavailable())?.path()).map_err(fault.unavailable())?;
        parse_anchor_file(&bytes, &mut anchors).map_err(fault.internal())?;
    }
    Ok(anchors)
}

/// The report, or the class and a list of all failures.
fn accepted(outcome: &Outcome) -> Result<ThresholdReport, (Culprit, Disagreement)> {
    match (outcome.culprit(), &outcome.report) {
        (None, Some(report)) => Ok(report.clone()),
        (culprit, _) => {
            let failures = outcome.checks.iter().filter(|check| check.status == CheckStatus::Fail);
            let lines: Vec<String> =
                failures.map(|check| format!("{}: {}: {}", check.path, check.code, check.message)).collect();
            Err((culprit.unwrap_or(Culprit::Internal), Disagreement::Verdict(lines.join("; "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{NodeKey, Reading, WitnessRow};

    use super::*;

    #[test]
    fn a_witness_weighs_its_whole_gflop_and_the_last_remainder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("witness");
        let row = |gflop, rest| WitnessRow { reading: Reading::new(gflop, rest, 0, 0).unwrap(), salt: [0; 28] };
        let witness = NodeWitness { node_key: NodeKey([1; 32]), rows: vec![row(2, 999_999_999), row(3, 7)] };
        fs::write(&path, witness.to_bytes()).unwrap();
        let expected = Weighed { flop: Flops(5_000_000_007), intervals: 2, heavy: 2 };
        assert_eq!(weighed(&path).unwrap(), expected);
    }

    #[test]
    fn impossible_options_are_refused_before_a_folder_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let base = Options { out: folder.path().join("out"), ..Options::default() };
        let cases = [
            Options { steps: 0, ..base.clone() },
            Options { steps_per_second: f64::NAN, ..base.clone() },
            Options { steps_per_second: 0.0, ..base.clone() },
            Options { interval_seconds: 0, ..base.clone() },
            Options { interval_seconds: u64::MAX, ..base.clone() },
        ];
        for options in cases {
            let error = run(&options, &Screen::silent()).unwrap_err();
            assert_eq!((error.stage(), error.culprit()), ("options", Culprit::Usage), "{options:?}");
        }
        assert!(!base.out.exists());
    }

    #[test]
    fn every_failed_check_is_named_and_the_first_class_decides() {
        let refused =
            verify_bundle(b"no bundle", &VerifyOptions { anchors: built_in_anchors(), at: AppraisalTime::Archived });
        let (culprit, error) = accepted(&refused).unwrap_err();
        assert_eq!(culprit, Culprit::Malformed);
        assert_eq!(
            error.to_string(),
            "verification: bundle: container: this is not a Weighbridge bundle (magic bytes differ)"
        );
    }
}
