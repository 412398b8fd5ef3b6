//! The commands of `weighbridged` as an operator types them: text, JSON and exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use weighbridge_tests::{Ran, program, run};

use super::support::{Served, config_in};

fn weighbridged() -> Command {
    Command::new(program("weighbridged"))
}

/// A configuration that looks for devices where no machine has any.
pub(super) fn nowhere(folder: &Path, extra: &str) -> PathBuf {
    let config = config_in(folder);
    let text = format!(
        "state_dir = {:?}\nsocket = {:?}\ntsm_report = \"/nonexistent/tsm/report\"\n\
         nvml_library = \"/nonexistent/libnvidia-ml.so.1\"\n{extra}",
        config.state_dir, config.socket
    );
    let file = folder.join("weighbridged.toml");
    fs::write(&file, text).unwrap();
    file
}

pub(super) fn with_config(file: &Path, words: &[&str]) -> Ran {
    run(weighbridged().arg("--config").arg(file).args(words))
}

pub(super) fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

#[test]
fn without_a_tee_run_stops_with_6_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = nowhere(folder.path(), "");
    let ran = with_config(&file, &["run"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stderr.contains("a CPU TEE is unavailable: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("/nonexistent/tsm/report does not exist"), "{}", ran.stderr);
    assert!(!config_in(folder.path()).state_dir.exists(), "nothing is made before a platform answers");
    let ran = with_config(&file, &["--format", "json", "run"]);
    let object = json(&ran);
    assert_eq!((object["verdict"].as_str(), ran.code), (Some("unavailable"), Some(6)));
    assert_eq!(object["reasons"][0]["code"], "platform-unavailable");
}

#[test]
fn doctor_lists_every_interface_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = nowhere(folder.path(), "");
    let ran = with_config(&file, &["doctor"]);
    assert_eq!(ran.code, Some(6));
    assert!(ran.stderr.contains("lacks an evidence interface that a node needs"), "{}", ran.stderr);
    for part in ["tdx ", "sev-snp ", "nvidia-gpu ", "`modprobe tdx_guest`", "`nvml_library` in the configuration"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let object = json(&with_config(&file, &["--format", "json", "doctor"]));
    assert_eq!(
        (object["verdict"].as_str(), object["reasons"][0]["code"].as_str()),
        (Some("unavailable"), Some("interfaces-missing"))
    );
    let names: Vec<_> =
        object["claims"]["interfaces"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["tdx", "sev-snp", "nvidia-gpu"]);
}

#[test]
fn a_wrong_key_in_the_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = nowhere(folder.path(), "interval_seconds = 60\n");
    let ran = with_config(&file, &["config", "check"]);
    assert_eq!(ran.code, Some(2));
    let expected = format!(
        "weighbridged: unknown key `interval_seconds` in {}; allowed keys: state_dir, state_max_bytes, socket, \
         allow_uids, allow_gids, checkpoint_roots, hash_max_bytes_per_second, push_socket, \
             attest_every_intervals, min_interval_millis, max_interval_millis, \
         tsm_report, nvml_library, watch",
        file.display()
    );
    assert_eq!(ran.stderr.trim(), expected);
    let good = with_config(&nowhere(folder.path(), "attest_every_intervals = 4\n"), &["config", "check"]);
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    assert!(good.stdout.contains("attest_every_intervals = 4"), "{}", good.stdout);
}

#[test]
fn a_missing_socket_is_told_from_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let file = nowhere(folder.path(), "");
    let ran = with_config(&file, &["status"]);
    assert_eq!(ran.code, Some(6));
    let socket = config_in(folder.path()).socket;
    assert!(
        ran.stderr.contains(&format!("no weighbridged answers on {}; start it", socket.display())),
        "{}",
        ran.stderr
    );
    let object = json(&with_config(&file, &["--format", "json", "status"]));
    assert_eq!(object["reasons"][0]["code"], "socket-absent");
}

#[test]
fn an_export_without_a_node_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = nowhere(folder.path(), "");
    let out = folder.path().join("node.export");
    let ran = with_config(&file, &["export", "--out", out.to_str().unwrap()]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("holds no node; name the `state_dir` that weighbridged ran with"), "{}", ran.stderr);
    assert!(!out.exists());
    let both = with_config(&file, &["export", "--out", "a", "--witness", "b"]);
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_both_exports_work_beside_the_service_and_after_it() {
    let served = Served::start(71, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.end_with_receipt().await;
    let file = nowhere(served.folder.path(), "");
    let path = |name: &str| served.folder.path().join(name);
    let key = served.info().await.node_key.to_string();

    let status = with_config(&file, &["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(status.stdout.contains(&format!("node key  {key}")) && status.stdout.contains("run ended"));
    assert_eq!(json(&with_config(&file, &["--format", "json", "status"]))["claims"]["node_key"], key);
    let export = |words: [&str; 2]| {
        let ran = with_config(&file, &["export", words[0], path(words[1]).to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    export(["--out", "live.export"]);
    export(["--witness", "live"]);
    let (_, folder) = {
        let witness = path("live").join(format!("{key}.witness"));
        assert!(witness.exists());
        served.stop().await
    };
    let path = |name: &str| folder.path().join(name);
    for words in [["--out", "later.export"], ["--witness", "later"]] {
        let ran = with_config(&file, &["export", words[0], path(words[1]).to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let read = |name: &str| fs::read(path(name)).unwrap();
    assert_eq!(read("live.export"), read("later.export"));
    let witness = format!("{key}.witness");
    assert_eq!(read(&format!("live/{witness}")), read(&format!("later/{witness}")));
}
