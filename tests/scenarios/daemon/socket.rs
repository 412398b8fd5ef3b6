//! The socket's own manners: what its published description says is what it does, and nobody hangs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use weighbridge_attest_types::{CheckpointCommitment, Flops};
use weighbridge_daemon::Client;
use weighbridge_daemon_api::{Acknowledged, CheckpointRequest, GapReport, NodeInfo, WorkUnitReport, paths};

use super::support::{Served, problem, safetensors};
use super::{parse_export, unit};

const OPENAPI: &str = include_str!("../../../daemon/api/openapi.json");
const PATHS: &str = include_str!("../../../daemon/api/src/paths.rs");

fn openapi() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// (path, method) of everything described.
fn described() -> BTreeMap<String, String> {
    let document = openapi();
    let paths = document["paths"].as_object().unwrap();
    let method = |item: &Value| item.as_object().unwrap().keys().next().unwrap().to_uppercase();
    paths.iter().map(|(path, item)| (path.clone(), method(item))).collect()
}

/// Status and body of one request, by hand: no client of ours decides what is sent.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> (u16, Value) {
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(socket, text.as_bytes());
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may hang up in the middle of what it does not want.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The schema of one component, with all components beside it.
fn schema(name: &str) -> jsonschema::Validator {
    let document = openapi();
    let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn holds<T: serde::Serialize>(name: &str, value: &T) {
    let value = serde_json::to_value(value).unwrap();
    let wrong: Vec<String> = schema(name).iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}: {value}");
}

#[test]
fn the_description_has_every_path_and_no_other() {
    let named: BTreeSet<&str> = PATHS.split('"').filter(|word| word.starts_with("/v1/")).collect();
    let described = described();
    assert_eq!(described.keys().map(String::as_str).collect::<BTreeSet<_>>(), named);
    let document = openapi();
    for (path, item) in document["paths"].as_object().unwrap() {
        let content = &item["post"]["requestBody"]["content"]["application/json"];
        if let Some(name) = content["schema"]["$ref"].as_str().filter(|_| !content["example"].is_null()) {
            let name = name.rsplit('/').next().unwrap();
            assert!(schema(name).is_valid(&content["example"]), "{path}: its example");
        }
    }
    assert!(!schema("StepReport").is_valid(&json!({ "attempt": 0, "stop": 2 })));
    assert!(
        !schema("WorkUnitReport").is_valid(&json!({ "attempt": 0, "step": 1, "rank": 0, "micro_batch": 0, "flop": 5 }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_what_the_socket_does() {
    let served = Served::start(81, |_| ()).await;
    let socket = served.config.socket.clone();
    for (path, method) in described() {
        let other = if method == "GET" { "POST" } else { "GET" };
        let (status, answer) = ask(&socket, other, &path, "{}");
        assert_eq!((status, &answer["code"]), (405, &json!("other-method")), "{other} {path}");
        holds("Problem", &answer);
        let (status, answer) = ask(&socket, &method, &path, "{\"nothing-of-ours\":1}");
        let allowed = if method == "GET" { !matches!(status, 404 | 405) } else { status == 400 };
        assert!(allowed, "{method} {path}: {status} {answer}");
    }
    let (status, answer) = ask(&socket, "GET", "/v2/node", "");
    assert_eq!((status, &answer["code"]), (404, &json!("version-unknown")));
    holds("Problem", &answer);

    holds("NodeInfo", &served.info().await);
    let manifest = served.introduced().await;
    holds("ChallengeRequest", &json!({ "nonce": served.first_nonce() }));
    holds("RunStartRequest", &json!({ "manifest": manifest }));
    holds("RunStarted", &served.start_run(&manifest).await);
    holds("WorkUnitReport", &unit(1, 1 << 70));
    holds("Acknowledged", &served.work(unit(1, 5)).await.unwrap());
    let file = served.folder.path().join("w.safetensors");
    fs::write(&file, safetensors(&[1.0])).unwrap();
    let request = CheckpointRequest { attempt: 0, step: 1, files: vec![file] };
    holds("CheckpointRequest", &request);
    let commitment: CheckpointCommitment = served.client.post(paths::CHECKPOINT, &request).await.unwrap();
    holds("CheckpointCommitment", &commitment);
    let ended = served.end_with_receipt().await;
    holds("RunEnded", &ended);
    holds("ReceiptRequest", &json!({ "receipt": served.receipt() }));
    holds("NodeInfo", &served.info().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_reports_are_a_gap_in_the_ledger_and_on_the_metrics_page() {
    let served = Served::start(82, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.work(unit(1, 5)).await.unwrap();
    let report = GapReport { attempt: 0, rank: 0, first_step: 2, last_step: 4, lost: 3 };
    holds("GapReport", &report);
    for counted in [true, false] {
        assert_eq!(served.client.post::<_, Acknowledged>(paths::GAP, &report).await.unwrap(), Acknowledged { counted });
    }
    served.pass_interval().await;
    served.pass_interval().await;
    let page = String::from_utf8(served.client.get_bytes(paths::METRICS).await.unwrap()).unwrap();
    for line in [
        "weighbridge_lost_reports_total 3",
        "weighbridge_node_state{state=\"running\"} 1",
        "weighbridge_reports_total{kind=\"work-unit\"} 1",
        "weighbridge_devices 2",
        "weighbridge_halted 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
    served.end_with_receipt().await;
    let (_, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    let gaps: Vec<u64> = ledger.entries().iter().map(|entry| entry.public.devices[0].gap.0).collect();
    assert_eq!(gaps[..2], [1_000, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_read_below_their_roots_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed).unwrap();
    let served = Served::start(83, |config| config.checkpoint_roots = vec![allowed.clone()]).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    fs::write(allowed.join("w.safetensors"), safetensors(&[1.0])).unwrap();
    fs::write(folder.path().join("w.safetensors"), safetensors(&[2.0])).unwrap();
    symlink(folder.path().join("w.safetensors"), allowed.join("link.safetensors")).unwrap();
    assert!(Command::new("mkfifo").arg(allowed.join("pipe")).status().unwrap().success());
    let request = |path: std::path::PathBuf| CheckpointRequest { attempt: 0, step: 1, files: vec![path] };
    for (path, code) in [
        (folder.path().join("w.safetensors"), "path-outside-roots"),
        (allowed.join("../w.safetensors"), "path-outside-roots"),
        (allowed.join("link.safetensors"), "path-link"),
        (allowed.join("pipe"), "path-not-a-file"),
        (allowed.join("absent"), "checkpoint-unreadable"),
    ] {
        let refused =
            problem(served.client.post::<_, CheckpointCommitment>(paths::CHECKPOINT, &request(path.clone())).await);
        assert_eq!(refused.code, code, "{}", path.display());
    }
    let good = request(allowed.join("w.safetensors"));
    let hashed: CheckpointCommitment = served.client.post(paths::CHECKPOINT, &good).await.unwrap();
    assert_eq!(hashed.files[0].name, "w.safetensors");
}

/// Half a request, a body that never comes, bytes that are no HTTP, and a full queue of such callers: the next one is
/// answered all the same.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_stop_in_the_middle_hold_nobody_up() {
    let served = Served::start(84, |_| ()).await;
    let socket = &served.config.socket;
    let mut stuck = Vec::new();
    for bytes in ["POST /v1/st", "POST /v1/step HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"a", "\0\u{1}\u{2}"]
    {
        for _ in 0..40 {
            let mut stream = UnixStream::connect(socket).unwrap();
            let _ = stream.write_all(bytes.as_bytes());
            stuck.push(stream);
        }
    }
    assert_eq!(served.client.get::<NodeInfo>(paths::NODE).await.unwrap().head, None);
    let huge = format!("POST /v1/step HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    let answer = raw(socket, huge.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{}", &answer[..40.min(answer.len())]);
    assert_eq!(served.client.get::<NodeInfo>(paths::NODE).await.unwrap().head, None);
}

/// A job of another user: only where this test is root can it become one.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_the_configuration_does_not_name_is_refused() {
    let served = Served::start(85, |config| config.allow_uids = vec![1]).await;
    let folder = served.folder.path();
    if fs::metadata(folder).unwrap().uid() != 0 {
        return weighbridge_tests::skipped("another user's call: the test is not root");
    }
    for (uid, expected) in [(1, "200"), (2, "403")] {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        fs::set_permissions(&served.config.socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let script = format!(
            "import os,socket\nos.setgid({uid})\nos.setuid({uid})\ns=socket.socket(socket.AF_UNIX)\n\
             s.connect({:?})\ns.sendall(b'GET /v1/node HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n\
             print(s.makefile().read())",
            served.config.socket
        );
        let ran = weighbridge_tests::run(Command::new("python3").args(["-c", &script]));
        assert_eq!(ran.stdout.split(' ').nth(1), Some(expected), "{uid}: {} {}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.contains("peer-not-allowed"), uid == 2);
    }
}

/// What the socket takes; `just soak` prints it, the standard run only holds it to be complete.
#[tokio::test(flavor = "multi_thread")]
async fn many_reports_over_one_connection_are_all_counted() {
    let served = Served::start(86, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    let (socket, count) = (served.config.socket.clone(), 400_u64);
    let sent = tokio::task::spawn_blocking(move || send_units(&socket, count)).await.unwrap();
    assert_eq!(sent, count);
    let last = WorkUnitReport { attempt: 0, step: count - 1, rank: 0, micro_batch: 0, flop: Flops(7) };
    assert_eq!(served.work(last).await, Ok(Acknowledged { counted: false }));
}

/// One connection, one request after the other, as the Python client does it.
fn send_units(socket: &Path, count: u64) -> u64 {
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut answered = 0;
    for step in 0..count {
        let body = format!("{{\"attempt\":0,\"step\":{step},\"rank\":0,\"micro_batch\":0,\"flop\":\"7\"}}");
        let text = format!("POST /v1/work-unit HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended");
            answer.extend_from_slice(&buffer[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        answered += u64::from(answer.ends_with(b"{\"counted\":true}"));
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_answers_a_client_that_keeps_its_connection() {
    let served = Served::start(87, |_| ()).await;
    let mut stream = UnixStream::connect(&served.config.socket).unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /v1/metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut buffer = [0; 16 * 1024];
        let read = stream.read(&mut buffer).unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    }
    let other: NodeInfo = Client::new(&served.config.socket).get(paths::NODE).await.unwrap();
    assert_eq!(other.head, None);
}
