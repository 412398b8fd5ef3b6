//! `kill -9` in the middle of a run: whatever was acknowledged is counted, whatever was not is not.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use weighbridge_attest_types::{Canonical, Flops, NodeKey, NodeWitness, RunManifest};
use weighbridge_daemon::{Client, serve};
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, EndRequest, NodeInfo, NodeState, RunEnded, RunStartRequest, RunStarted,
    WorkUnitReport, paths,
};
use weighbridge_tests_simulator::World;

use super::support::{WORLD_START, config_in, eventually, manifest, total_flop};
use super::{check_quotes, parse_export};

pub(super) const SEED: u64 = 61;
pub(super) const FOLDER: &str = "WEIGHBRIDGE_TEST_NODE_IN";
pub(super) const CHILD: &str = "daemon::kill::a_node_of_its_own_process";
pub(super) const FLOP: u128 = 1_750_000_001;

/// Serves a simulated node under the machine's own clock when this binary is started again as a node; otherwise there
/// is nothing to do.
#[test]
fn a_node_of_its_own_process() {
    #[expect(clippy::disallowed_methods, reason = "how the parent test tells its child that it is one")]
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let platform = Arc::new(World::new(SEED, WORLD_START).node(0, 1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serve(config_in(Path::new(&folder)), platform, std::future::pending())).unwrap();
}

/// A node in another process, killed when it goes out of scope.
pub(super) struct NodeProcess(Child);

impl NodeProcess {
    pub(super) fn start(folder: &Path) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new(this);
        command.args(["--exact", CHILD, "--nocapture"]).env(FOLDER, folder);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// SIGKILL: no handler, no flush.
    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reports units from `first` until the daemon dies or `count` are acknowledged; the number acknowledged.
async fn report(client: &Client, first: u64, count: u64) -> u64 {
    for acknowledged in 0..count {
        let unit =
            WorkUnitReport { attempt: 0, step: first + acknowledged, rank: 0, micro_batch: 0, flop: Flops(FLOP) };
        match client.post::<_, Acknowledged>(paths::WORK_UNIT, &unit).await {
            Ok(Acknowledged { counted }) => assert!(counted, "a new unit is counted"),
            Err(_) => return acknowledged,
        }
    }
    count
}

/// Waits for the node and starts a run on it.
async fn started(client: &Client) -> (NodeKey, RunManifest) {
    eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
    let nonce = World::new(SEED, WORLD_START).time_authority().issue_nonce(WORLD_START);
    let info: NodeInfo = client.post(paths::CHALLENGE, &ChallengeRequest::Nonce(nonce)).await.unwrap();
    let manifest = manifest(&info, info.key_quote.unwrap());
    let _: RunStarted = client.post(paths::RUN_START, &RunStartRequest { manifest: manifest.clone() }).await.unwrap();
    (info.node_key, manifest)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_work_survives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(&config_in(folder.path()).socket);
    let mut node = NodeProcess::start(folder.path());
    let (node_key, manifest) = started(&client).await;

    let mut acknowledged = report(&client, 0, 40).await;
    assert_eq!(acknowledged, 40);
    // Killed while reports are on their way: the last one may have been kept and not acknowledged.
    let reporter = {
        let client = client.clone();
        tokio::spawn(async move { report(&client, 40, 1_000_000).await })
    };
    eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok()?.head.filter(|head| head.index >= 2) }).await;
    node.kill();
    acknowledged += reporter.await.unwrap();

    let mut node = NodeProcess::start(folder.path());
    let back = eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
    assert_eq!((back.state, back.node_key), (NodeState::Running, node_key));
    // The reporter repeats what it has no answer for; counted once, whichever it was.
    let unit = WorkUnitReport { attempt: 0, step: acknowledged, rank: 0, micro_batch: 0, flop: Flops(FLOP) };
    let _: Acknowledged = client.post(paths::WORK_UNIT, &unit).await.unwrap();
    acknowledged += 1;
    let ended: RunEnded = client.post(paths::END, &EndRequest {}).await.unwrap();
    let (export, ledger) = parse_export(&client.get_bytes(paths::EXPORT).await.unwrap());
    let witness = NodeWitness::from_bytes(&client.get_bytes(paths::WITNESS).await.unwrap()).unwrap();
    node.kill();

    assert_eq!(total_flop(&witness), u128::from(acknowledged) * FLOP);
    assert_eq!(ledger.last_index(), ended.index);
    ledger.check_row(manifest.genesis(), &manifest.roster[0]).unwrap();
    assert_eq!(check_quotes(&export, &ledger).last(), Some(&ended.index));
    let gaps = ledger.entries().iter().filter(|entry| entry.public.devices[0].gap.0 > 0).count();
    assert!(gaps >= 1, "the time without a process is a gap");
}

/// Kills by name of the environment; a handful in the standard tests, a thousand in `just soak`.
const KILLS: &str = "WEIGHBRIDGE_NODE_KILLS";

/// The same at many random moments of one run, some of them while the node is still starting: every unit that was
/// acknowledged is counted once, and every head that anybody saw is in the ledger at the end.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_work_survives_kills_at_random_moments() {
    #[expect(clippy::disallowed_methods, reason = "`just soak` asks for more")]
    let kills = std::env::var(KILLS).map_or(5, |text| text.parse::<u64>().expect("a number"));
    let mut dice = StdRng::seed_from_u64(SEED);
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(&config_in(folder.path()).socket);
    let mut node = NodeProcess::start(folder.path());
    let (node_key, _) = started(&client).await;

    let began = elapsed();
    let (mut acknowledged, mut repeated, mut heads) = (0, 0, Vec::new());
    for _ in 0..kills {
        let reporter = {
            let client = client.clone();
            tokio::spawn(async move { report(&client, acknowledged, 1_000_000).await })
        };
        tokio::time::sleep(Duration::from_millis(dice.gen_range(0..400))).await;
        heads.extend(client.get::<NodeInfo>(paths::NODE).await.ok().and_then(|info| info.head));
        node.kill();
        acknowledged += reporter.await.unwrap();
        node = NodeProcess::start(folder.path());
        if dice.gen_range(0..4) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.gen_range(0..60))).await;
            node.kill();
            node = NodeProcess::start(folder.path());
        }
        let back = eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
        assert_eq!((back.state, back.node_key), (NodeState::Running, node_key));
        heads.extend(back.head);
        // Kept without an acknowledgement, or not kept: counted once either way.
        let unit = WorkUnitReport { attempt: 0, step: acknowledged, rank: 0, micro_batch: 0, flop: Flops(FLOP) };
        let Acknowledged { counted } = client.post(paths::WORK_UNIT, &unit).await.unwrap();
        repeated += u64::from(!counted);
        acknowledged += 1;
    }
    let ended: RunEnded = client.post(paths::END, &EndRequest {}).await.unwrap();
    let (export, ledger) = parse_export(&client.get_bytes(paths::EXPORT).await.unwrap());
    let witness = NodeWitness::from_bytes(&client.get_bytes(paths::WITNESS).await.unwrap()).unwrap();
    node.kill();
    println!(
        "soak: {kills} kills in {} s, {acknowledged} units acknowledged, {repeated} kept without an answer, {} heads seen, \
         {} intervals",
        began.elapsed().as_secs(),
        heads.len(),
        ended.index
    );
    assert_eq!(total_flop(&witness), u128::from(acknowledged) * FLOP);
    for seen in heads {
        assert_eq!(ledger.head(seen.index), Some(seen.head), "interval {}", seen.index);
    }
    assert_eq!((ledger.last_index(), check_quotes(&export, &ledger).last()), (ended.index, Some(&ended.index)));
}

#[expect(clippy::disallowed_methods, reason = "a test tells how long it took")]
fn elapsed() -> Instant {
    Instant::now()
}
