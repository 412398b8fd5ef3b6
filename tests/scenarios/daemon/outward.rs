//! What a node does of its own accord: pushes exports, takes checkpoints from watched folders, reads its configuration anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};
use weighbridge_attest_types::{CheckpointCommitment, sha256};
use weighbridge_daemon::config::{Watch, WatchKind};
use weighbridge_daemon::{Client, Config, serve_reloading};
use weighbridge_daemon_api::{NodeInfo, StepReport, paths};
use weighbridge_tests_simulator::World;

use super::support::{Served, WORLD_START, config_in, eventually, safetensors};
use super::{parse_export, unit};

/// A stub of a verifier: it answers the first requests as told, then takes everything.
#[derive(Clone, Default)]
struct StubVerifier(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    requests: Vec<String>,
    exports: BTreeMap<String, Vec<u8>>,
}

/// How the stub treats one request.
#[derive(Clone, Copy, PartialEq)]
enum Treat {
    /// Reads it, keeps it, and hangs up without a word: the answer is lost.
    LoseAnswer,
    Busy,
    Refuse,
}

impl StubVerifier {
    fn listen(&self, socket: &Path, mut treats: Vec<Treat>) {
        let listener = UnixListener::bind(socket).unwrap();
        let stub = self.clone();
        treats.reverse();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let (mut first, mut length) = (String::new(), 0);
                let _ = reader.read_line(&mut first);
                loop {
                    let mut line = String::new();
                    let _ = reader.read_line(&mut line);
                    match line.trim().to_ascii_lowercase().strip_prefix("content-length:") {
                        Some(value) => length = value.trim().parse().unwrap(),
                        None if line.trim().is_empty() => break,
                        None => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let treat = treats.pop();
                let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut kept = stub.0.lock().unwrap();
                kept.requests.push(first.trim().to_owned());
                if matches!(treat, None | Some(Treat::LoseAnswer)) {
                    kept.exports.insert(path, body);
                }
                let (status, text) = match treat {
                    Some(Treat::LoseAnswer) => continue,
                    Some(Treat::Busy) => (
                        "503 Busy",
                        r#"{"type":"t","title":"unavailable","status":503,"detail":"d","code":"busy","remedy":"r"}"#,
                    ),
                    Some(Treat::Refuse) => (
                        "422 No",
                        r#"{"type":"t","title":"rejected","status":422,"detail":"d","code":"no","remedy":"r"}"#,
                    ),
                    None => ("201 Created", ""),
                };
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
    }

    fn requests(&self) -> usize {
        self.0.lock().unwrap().requests.len()
    }

    fn exports(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().exports.clone()
    }
}

/// The test's clock decides about intervals and pauses; only the loops' own second is real.
async fn pushing(served: &Served, wanted: usize, stub: &StubVerifier) {
    eventually(|| async {
        served.clock.advance(1_000);
        (stub.requests() >= wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_reach_a_verifier_that_was_away_and_lost_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("verifier.sock");
    let push = socket.clone();
    let served = Served::start(91, move |config| config.push_socket = Some(push)).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.work(unit(1, 5_000_000_000)).await.unwrap();
    served.pass_interval().await;
    let ended = served.end_with_receipt().await;
    // Nobody is there at first.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let stub = StubVerifier::default();
    stub.listen(&socket, vec![Treat::LoseAnswer, Treat::Busy]);
    pushing(&served, 3, &stub).await;
    let exports = stub.exports();
    assert_eq!(exports.len(), 1, "the same export is the same name: {:?}", exports.keys());
    let (path, bytes) = exports.first_key_value().unwrap();
    assert_eq!(*path, format!("/v1/exports/{}", sha256(bytes)));
    let (export, ledger) = parse_export(bytes);
    assert_eq!(ledger.last_index(), ended.index);
    assert!(export.get("time/receipt").is_some());
    assert_eq!(*bytes, served.client.get_bytes(paths::EXPORT).await.unwrap());

    // What it has it is not sent again, also not by the next process.
    let sent = stub.requests();
    eventually(|| async {
        let page = String::from_utf8(served.client.get_bytes(paths::METRICS).await.unwrap()).unwrap();
        page.contains("weighbridge_pushes_total{outcome=\"made\"} 1\n").then_some(())
    })
    .await;
    let served = served.reboot_as(|config| config.push_socket = Some(socket.clone())).await;
    for _ in 0..3 {
        served.clock.advance(60_000);
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    assert_eq!(stub.requests(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_a_verifier_will_never_take_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("verifier.sock");
    let stub = StubVerifier::default();
    stub.listen(&socket, vec![Treat::Refuse]);
    let served = Served::start(92, move |config| {
        config.push_socket = Some(socket);
        config.attest_every_intervals = 1;
    })
    .await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.pass_interval().await;
    pushing(&served, 2, &stub).await;
    let exports = stub.exports();
    assert_eq!(exports.len(), 1);
    assert!(parse_export(exports.values().next().unwrap()).1.last_index() >= 2);
}

fn shard(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join("model.safetensors");
    fs::write(&path, safetensors(&[1.0, 2.0])).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_in_a_watched_folder_enters_the_ledger_without_a_word_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let watched = folder.path().to_owned();
    let served = Served::start(93, move |config| {
        config.watch = vec![Watch { folder: watched, kind: WatchKind::HfTrainer }];
        config.hash_max_bytes_per_second = 50_000_000;
    })
    .await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    let report = StepReport { attempt: 2, step: 41 };
    let _: weighbridge_daemon_api::Acknowledged = served.client.post(paths::STEP, &report).await.unwrap();
    let path = shard(&folder.path().join("checkpoint-40"));
    fs::write(folder.path().join("checkpoint-40/trainer_state.json"), "{}").unwrap();
    eventually(|| async {
        let page = String::from_utf8(served.client.get_bytes(paths::METRICS).await.unwrap()).unwrap();
        page.contains("weighbridge_reports_total{kind=\"checkpoint\"} 1\n").then_some(())
    })
    .await;
    served.pass_interval().await;
    served.end_with_receipt().await;
    let (_, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    let named: Vec<&CheckpointCommitment> =
        ledger.entries().iter().flat_map(|entry| &entry.public.checkpoints).collect();
    assert_eq!((named.len(), named[0].attempt, named[0].step), (1, 2, 40));
    assert_eq!(named[0].files[0].sha256, sha256(&fs::read(path).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_taken_while_running_but_for_what_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let (send, reloads) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let platform = Arc::new(World::new(94, WORLD_START).node(0, 1));
    let until = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(serve_reloading(config.clone(), platform, reloads, until));
    let client = Client::new(&config.socket);
    eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
    let other = Config { state_max_bytes: 5_000_000, socket: folder.path().join("other.sock"), ..config.clone() };
    send.send(other.clone()).await.unwrap();
    eventually(|| async {
        let page = String::from_utf8(client.get_bytes(paths::METRICS).await.unwrap()).unwrap();
        page.contains("weighbridge_state_max_bytes 5000000\n").then_some(())
    })
    .await;
    assert!(!other.socket.exists());
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    assert!(!config.socket.exists());
}
