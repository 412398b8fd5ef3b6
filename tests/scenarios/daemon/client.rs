//! The Python client: a loop that reports to a real node which is killed meanwhile. Its own tests run in audit/torch.rs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use weighbridge_attest_types::{Canonical, CheckpointCommitment, NodeWitness, sha256};
use weighbridge_daemon::Client;
use weighbridge_daemon_api::{ChallengeRequest, EndRequest, NodeInfo, RunEnded, RunStartRequest, RunStarted, paths};
use weighbridge_tests_simulator::World;

use super::kill::{FLOP, NodeProcess, SEED};
use super::parse_export;
use super::support::{WORLD_START, config_in, eventually, manifest, safetensors, total_flop};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../python");

/// A training loop of plain Python that has no idea of the node's troubles.
const LOOP: &str = "
import sys, time
from weighbridge_client import Reporter
socket, spool, flop, shard, steps = sys.argv[1:]
reporter = Reporter(socket, spool, environment={'RANK': '0', 'WORLD_SIZE': '1'})
slowest = 0.0
for step in range(int(steps)):
    time.sleep(0.004)
    began = time.perf_counter()
    assert reporter.step(step, int(flop))
    slowest = max(slowest, time.perf_counter() - began)
    if step == 20:
        assert reporter.checkpoint(step, [shard])
reporter.close(30)
print(len(reporter.reports.losses), reporter.reports.refused, bool(reporter.reports.queue), slowest < 0.5)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_python_loop_loses_nothing_to_a_node_that_is_killed() {
    const STEPS: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let socket = config_in(folder.path()).socket;
    let client = Client::new(&socket);
    let mut node = NodeProcess::start(folder.path());
    eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
    let nonce = World::new(SEED, WORLD_START).time_authority().issue_nonce(WORLD_START);
    let info: NodeInfo = client.post(paths::CHALLENGE, &ChallengeRequest::Nonce(nonce)).await.unwrap();
    let manifest = manifest(&info, info.key_quote.unwrap());
    let _: RunStarted = client.post(paths::RUN_START, &RunStartRequest { manifest }).await.unwrap();

    let shard = folder.path().join("w.safetensors");
    fs::write(&shard, safetensors(&[1.0, 2.0])).unwrap();
    let words: [&Path; 2] = [&socket, &folder.path().join("spool")];
    let mut command = Command::new("python3");
    command.args(["-c", LOOP]).args(words).arg(FLOP.to_string()).arg(&shard).arg(STEPS.to_string());
    command.env("PYTHONPATH", PYTHON).env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::piped());
    let job = command.spawn().unwrap();
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        node.kill();
        node = NodeProcess::start(folder.path());
    }
    let ran = tokio::task::spawn_blocking(move || job.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), "0 0 False True");
    let page = String::from_utf8(client.get_bytes(paths::METRICS).await.unwrap()).unwrap();
    assert!(page.contains("weighbridge_lost_reports_total 0\n"), "{page}");
    let _: RunEnded = client.post(paths::END, &EndRequest {}).await.unwrap();
    let (_, ledger) = parse_export(&client.get_bytes(paths::EXPORT).await.unwrap());
    let witness = NodeWitness::from_bytes(&client.get_bytes(paths::WITNESS).await.unwrap()).unwrap();
    assert_eq!(total_flop(&witness), u128::from(STEPS) * FLOP);
    let named: Vec<&CheckpointCommitment> =
        ledger.entries().iter().flat_map(|entry| &entry.public.checkpoints).collect();
    assert!(!named.is_empty() && named.iter().all(|found| found.files[0].sha256 == sha256(&fs::read(&shard).unwrap())));
}
