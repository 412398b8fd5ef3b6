//! A node that is served in this process over a simulated platform, and a clock that only the test moves.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weighbridge_attest_collect::{CollectError, Collector, CpuIdentity, DeviceIdentity, DeviceSample};
use weighbridge_attest_types::{
    CheckpointRoots, Device, DeviceEvidence, Digest32, EvidenceEnvelope, FLOP_PER_GFLOP, NodeWitness, PoseidonDigest,
    RosterDevice, RosterRow, RunManifest, SignedNonce, SignedReceipt, SpecCommitment, UnixMillis,
};
use weighbridge_daemon::intervals::Now;
use weighbridge_daemon::{Client, ClientError, Clock, ClockError, Config, ServeError, serve_with_clock};
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, EndRequest, NodeInfo, Problem, ReceiptRequest, RunEnded, RunStartRequest,
    RunStarted, WorkUnitReport, paths,
};
use weighbridge_tests_simulator::{SimulatedNode, World};

pub(super) const WORLD_START: UnixMillis = UnixMillis(1_793_491_200_000);
/// A loaded machine is slow, not stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A clock that only the test moves.
#[derive(Debug)]
pub(super) struct MovedClock(Mutex<Now>);

impl MovedClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Now { wall: WORLD_START, mono: 90_000, boot_id: [1; 16] })))
    }

    /// Time passes.
    pub(super) fn advance(&self, millis: u64) {
        let mut now = self.0.lock().unwrap();
        now.wall.0 += millis;
        now.mono += millis;
    }

    /// Somebody sets the wall clock ahead.
    pub(super) fn advance_wall(&self, millis: u64) {
        self.0.lock().unwrap().wall.0 += millis;
    }

    /// Somebody sets the wall clock back.
    pub(super) fn set_wall_back(&self, millis: u64) {
        self.0.lock().unwrap().wall.0 -= millis;
    }

    fn reboot(&self) {
        let mut now = self.0.lock().unwrap();
        now.wall.0 += 30_000;
        (now.mono, now.boot_id) = (4_000, [now.boot_id[0] + 1; 16]);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Result<Now, ClockError> {
        Ok(*self.0.lock().unwrap())
    }
}

/// A simulated node whose CPU quotes fail, or hang, when the test says so.
#[derive(Debug, Clone)]
pub(super) struct Flaky {
    node: SimulatedNode,
    fails: Arc<AtomicBool>,
    hangs: Arc<(Mutex<bool>, Condvar)>,
}

impl Flaky {
    pub(super) fn new(seed: u64) -> Self {
        Self { node: World::new(seed, WORLD_START).node(0, 2), fails: Arc::default(), hangs: Arc::default() }
    }

    pub(super) fn hang(&self, hangs: bool) {
        *self.hangs.0.lock().unwrap() = hangs;
        self.hangs.1.notify_all();
    }

    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }
}

impl Collector for Flaky {
    fn cpu(&self) -> Result<CpuIdentity, CollectError> {
        self.node.cpu()
    }
    fn devices(&self) -> Result<Vec<DeviceIdentity>, CollectError> {
        self.node.devices()
    }
    fn device_evidence(&self, device: Device, nonce: [u8; 32]) -> Result<DeviceEvidence, CollectError> {
        self.node.device_evidence(device, nonce)
    }
    fn quote(&self, report_data: [u8; 64]) -> Result<EvidenceEnvelope, CollectError> {
        drop(self.hangs.1.wait_while(self.hangs.0.lock().unwrap(), |hangs| *hangs).unwrap());
        if self.fails.load(Ordering::SeqCst) {
            return Err(CollectError::Unavailable {
                what: "the simulated platform",
                why: "the test told it to fail".to_owned(),
                remedy: "tell it to work again",
            });
        }
        self.node.quote(report_data)
    }
    fn sample(&self) -> Vec<DeviceSample> {
        self.node.sample()
    }
}

/// One served node.
pub(super) struct Served {
    pub(super) client: Client,
    pub(super) clock: Arc<MovedClock>,
    pub(super) config: Config,
    pub(super) folder: TempDir,
    world: World,
    seed: u64,
    first_nonce: SignedNonce,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    /// A node with two GPUs.
    pub(super) async fn start(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), seed, change).await
    }

    pub(super) async fn start_in(folder: TempDir, seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let platform = Arc::new(World::new(seed, WORLD_START).node(0, 2));
        Self::launch(folder, seed, platform, MovedClock::new(), change).await
    }

    pub(super) async fn start_on(seed: u64, platform: Flaky, change: impl FnOnce(&mut Config)) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), seed, Arc::new(platform), MovedClock::new(), change).await
    }

    async fn launch(
        folder: TempDir,
        seed: u64,
        platform: Arc<dyn Collector>,
        clock: Arc<MovedClock>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config_in(folder.path());
        change(&mut config);
        let world = World::new(seed, WORLD_START);
        let first_nonce = world.time_authority().issue_nonce(WORLD_START);
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve_with_clock(config.clone(), platform, Arc::<MovedClock>::clone(&clock), until));
        let client = Client::new(&config.socket);
        let served = Self { client, clock, config, folder, world, seed, first_nonce, stop, task };
        eventually(|| async { served.client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
        served
    }

    /// Stops in order; the state folder may be opened after this.
    pub(super) async fn stop(self) -> (PathBuf, TempDir) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        (self.config.state_dir, self.folder)
    }

    /// The same machine after a reboot.
    pub(super) async fn reboot(self) -> Self {
        self.reboot_as(|_| ()).await
    }

    /// The same with another configuration.
    pub(super) async fn reboot_as(self, change: impl FnOnce(&mut Config)) -> Self {
        let (seed, clock) = (self.seed, Arc::clone(&self.clock));
        let (_, folder) = self.stop().await;
        clock.reboot();
        let platform = Arc::new(World::new(seed, WORLD_START).node(0, 2));
        Self::launch(folder, seed, platform, clock, change).await
    }

    pub(super) async fn info(&self) -> NodeInfo {
        self.client.get(paths::NODE).await.unwrap()
    }

    /// A timestamp over any imprint.
    pub(super) fn stamp(&self, imprint: Digest32) -> Vec<u8> {
        self.world.timestamp_authority().stamp(imprint, WORLD_START)
    }

    pub(super) fn nonce(&self) -> SignedNonce {
        self.world.time_authority().issue_nonce(WORLD_START)
    }

    pub(super) fn first_nonce(&self) -> SignedNonce {
        self.first_nonce.clone()
    }

    /// A receipt over nothing of this node's.
    pub(super) fn receipt(&self) -> SignedReceipt {
        self.world.time_authority().receipt(WORLD_START, Digest32::default(), 1, PoseidonDigest::default())
    }

    pub(super) async fn challenge(&self, nonce: &SignedNonce) -> NodeInfo {
        self.client.post(paths::CHALLENGE, &ChallengeRequest::Nonce(nonce.clone())).await.unwrap()
    }

    /// Has the key quoted and builds the manifest from what the node says of itself.
    pub(super) async fn introduced(&self) -> RunManifest {
        let info = self.challenge(&self.first_nonce).await;
        let key_quote = info.key_quote.expect("a challenge quotes the key");
        manifest(&info, key_quote)
    }

    pub(super) async fn start_run(&self, manifest: &RunManifest) -> RunStarted {
        self.try_start(manifest).await.unwrap()
    }

    pub(super) async fn try_start(&self, manifest: &RunManifest) -> Result<RunStarted, Box<Problem>> {
        let request = RunStartRequest { manifest: manifest.clone() };
        told(self.client.post(paths::RUN_START, &request).await)
    }

    pub(super) async fn work(&self, unit: WorkUnitReport) -> Result<Acknowledged, Box<Problem>> {
        told(self.client.post(paths::WORK_UNIT, &unit).await)
    }

    /// One interval passes; returns when its head is sealed.
    pub(super) async fn pass_interval(&self) {
        let before = self.info().await.head.map_or(0, |head| head.index);
        self.clock.advance(1_000);
        self.wait_for_head(before + 1).await;
    }

    pub(super) async fn wait_for_head(&self, index: u64) {
        eventually(|| async { self.info().await.head.filter(|head| head.index >= index) }).await;
    }

    /// Ends the run, then hands in a receipt, twice.
    pub(super) async fn end_with_receipt(&self) -> RunEnded {
        self.clock.advance(1_000);
        let ended: RunEnded = self.client.post(paths::END, &EndRequest {}).await.unwrap();
        let authority = self.world.time_authority();
        let receipt = authority.receipt(WORLD_START, ended.node_key_digest, ended.index, ended.head);
        let request = ReceiptRequest::Receipt(receipt);
        for counted in [true, false] {
            let kept: Acknowledged = self.client.post(paths::RECEIPT, &request).await.unwrap();
            assert_eq!(kept.counted, counted);
        }
        ended
    }
}

/// Serves until it stops by itself; for configurations that are refused.
pub(super) async fn serve_once(config: Config, seed: u64) -> Result<(), ServeError> {
    let platform = Arc::new(World::new(seed, WORLD_START).node(0, 2));
    serve_with_clock(config, platform, MovedClock::new(), std::future::pending()).await
}

pub(super) fn config_in(folder: &Path) -> Config {
    Config { state_dir: folder.join("state"), socket: folder.join("node.sock"), ..Config::default() }
}

/// A manifest of one node from what the node says of itself.
pub(super) fn manifest(info: &NodeInfo, key_quote: Digest32) -> RunManifest {
    let device = |device: &weighbridge_daemon_api::NodeDevice| RosterDevice {
        device: device.device,
        kind: device.kind.clone(),
        sku: "simulated".to_owned(),
    };
    let row = RosterRow {
        node_key: info.node_key,
        key_quote,
        cpu_kind: info.cpu_kind.clone(),
        cpu: info.cpu,
        devices: info.devices.iter().map(device).collect(),
    };
    RunManifest { roster: vec![row], ..empty_manifest() }
}

/// A manifest without nodes.
pub(super) fn empty_manifest() -> RunManifest {
    let roots = CheckpointRoots { fast_root: Digest32::default(), algebraic_root: PoseidonDigest::default() };
    RunManifest {
        provider: "Example Oy".to_owned(),
        model_id: "simulated-1".to_owned(),
        phase: "pre-training".to_owned(),
        roster: vec![],
        spec: SpecCommitment { scheme: 1, digest: PoseidonDigest::default() },
        dataset_root: Digest32::default(),
        order_rule: "as-listed".to_owned(),
        initial_checkpoint: roots,
        interval_millis: 1_000,
        numeric_policy: "fp32".to_owned(),
        audit_policy: "none".to_owned(),
        randomness_rule: "none".to_owned(),
        profiles: vec![],
    }
}

/// A whole safetensors file with one tensor.
pub(super) fn safetensors(values: &[f32]) -> Vec<u8> {
    let bytes = values.len() * 4;
    let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{bytes}]}}}}"#, values.len());
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    file
}

/// All FLOP of a chain: whole GFLOP of every interval and the remainder of the last.
pub(super) fn total_flop(witness: &NodeWitness) -> u128 {
    let whole: u128 = witness.rows.iter().map(|row| u128::from(row.reading.declared_gflop())).sum();
    let rest = witness.rows.last().map_or(0, |row| row.reading.declared_rest());
    whole * FLOP_PER_GFLOP + u128::from(rest)
}

/// The problem of a request that must fail.
pub(super) fn problem<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Box<Problem> {
    told(answer).unwrap_err()
}

fn told<T>(answer: Result<T, ClientError>) -> Result<T, Box<Problem>> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(ClientError::Problem(problem)) => Err(problem),
        Err(error) => panic!("{}", weighbridge_daemon::error::chain_text(&error)),
    }
}

/// Looks again until there is an answer.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    found.await.expect("it happens within a minute")
}
