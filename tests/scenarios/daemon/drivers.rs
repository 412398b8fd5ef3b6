//! The shipped `weighbridged`, unchanged, over simulated drivers: the library that it loads as `nvml_library`, and a folder
//! that behaves like configfs-tsm because the same library is preloaded. What the drivers do stands in a script that a
//! scenario changes while the program runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weighbridge_attest::verify_set;
use weighbridge_attest_types::{
    Canonical, EvidenceSet, Flops, Grade, LedgerEntry, NodeWitness, RunManifest, UnixMillis,
};
use weighbridge_daemon::{Client, ClientError};
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, EndRequest, NodeInfo, NodeState, Problem, RunEnded, RunStartRequest, RunStarted,
    WorkUnitReport, paths,
};
use weighbridge_tests::{Ran, drivers, program, run};
use weighbridge_tests_simulator::World;

use super::support::{eventually, manifest, total_flop};
use super::{check_quotes, parse_export};
use crate::support::anchors_of;

const SEED: u64 = 77;
const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
const DECLARED: u8 = 1;
const METERED: u8 = 2;
const ENERGY: u8 = 4;

/// A folder with configuration, script and simulated configfs-tsm.
pub(super) struct Machine {
    folder: TempDir,
    program: PathBuf,
    library: PathBuf,
}

impl Machine {
    pub(super) fn new(script: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder, program: program("weighbridged"), library: drivers() };
        fs::create_dir(machine.path("tsm")).unwrap();
        let text = format!(
            "state_dir = {:?}\nsocket = {:?}\ntsm_report = {:?}\nnvml_library = {:?}\nattest_every_intervals = 2\n",
            machine.path("state"),
            machine.path("node.sock"),
            machine.path("tsm"),
            machine.library
        );
        fs::write(machine.path("weighbridged.toml"), text).unwrap();
        machine.script(script);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another script is in force when this returns.
    fn script(&self, mut script: Value) {
        script["seed"] = json!(SEED);
        script["now"] = json!(NOW.0);
        let part = self.path("script.part");
        // Spaces, so that no two scripts have one length at one time of the file system's clock.
        let (text, number) = (script.to_string(), fs::metadata(self.path("script.json")).map_or(0, |old| old.len()));
        fs::write(&part, format!("{text}{}", " ".repeat(usize::try_from(number % 7).unwrap() + 1))).unwrap();
        fs::rename(part, self.path("script.json")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.path("weighbridged.toml"))
            .args(words)
            .env("LD_PRELOAD", &self.library)
            .env("WEIGHBRIDGE_SIMULATED_TSM", self.path("tsm"))
            .env("WEIGHBRIDGE_SIMULATED_DRIVERS", self.path("script.json"));
        command
    }

    fn ran(&self, words: &[&str]) -> Ran {
        run(&mut self.command(words))
    }

    /// What `doctor` found, by the name of the check.
    fn doctor(&self) -> (Option<i32>, Vec<(String, String, String)>) {
        let ran = self.ran(&["--format", "json", "doctor"]);
        let object: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = object["claims"]["findings"].as_array().unwrap().clone();
        let rows = rows.iter().map(|row| (text(row, "check"), text(row, "weight"), text(row, "found")));
        (ran.code, rows.collect())
    }

    pub(super) async fn serve(&self) -> Shipped {
        let mut command = self.command(&["run"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let served = Shipped { child, client: Client::new(&self.path("node.sock")) };
        served.info().await;
        served
    }
}

/// The program at work; killed when it goes out of scope.
pub(super) struct Shipped {
    child: Child,
    client: Client,
}

impl Drop for Shipped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shipped {
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    async fn info(&self) -> NodeInfo {
        eventually(|| async { self.client.get::<NodeInfo>(paths::NODE).await.ok() }).await
    }

    pub(super) async fn challenge(&self) -> Result<NodeInfo, Box<Problem>> {
        let nonce = World::new(SEED, NOW).time_authority().issue_nonce(NOW);
        match self.client.post(paths::CHALLENGE, &ChallengeRequest::Nonce(nonce)).await {
            Ok(info) => Ok(info),
            Err(ClientError::Problem(problem)) => Err(problem),
            Err(error) => panic!("{error}"),
        }
    }

    async fn start(&self) -> RunManifest {
        let info = self.challenge().await.unwrap();
        let manifest = manifest(&info, info.key_quote.unwrap());
        let request = RunStartRequest { manifest: manifest.clone() };
        let _: RunStarted = self.client.post(paths::RUN_START, &request).await.unwrap();
        manifest
    }

    async fn work(&self, step: u64) {
        let unit = WorkUnitReport { attempt: 0, step, rank: 0, micro_batch: 0, flop: Flops(5_000_000_000) };
        let kept: Acknowledged = self.client.post(paths::WORK_UNIT, &unit).await.unwrap();
        assert!(kept.counted);
    }

    /// Waits until this many intervals are sealed, with a unit of work in each.
    async fn work_until(&self, index: u64, steps: &mut u64) {
        while self.info().await.head.is_none_or(|head| head.index < index) {
            self.work(*steps).await;
            *steps += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn end(&self) -> RunEnded {
        self.client.post(paths::END, &EndRequest {}).await.unwrap()
    }

    async fn entries(&self) -> Vec<LedgerEntry> {
        let (_, ledger) = parse_export(&self.client.get_bytes(paths::EXPORT).await.unwrap());
        ledger.entries().to_vec()
    }

    async fn witness(&self) -> NodeWitness {
        NodeWitness::from_bytes(&self.client.get_bytes(paths::WITNESS).await.unwrap()).unwrap()
    }
}

fn presence(entries: &[LedgerEntry]) -> Vec<u8> {
    entries.iter().map(|entry| entry.public.presence.bits()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_eight_gpus_is_quoted_weighed_and_verified() {
    let machine = Machine::new(json!({}));
    let served = machine.serve().await;
    let manifest = served.start().await;
    assert_eq!(manifest.roster[0].devices.len(), 8);
    let mut steps = 0;
    served.work_until(4, &mut steps).await;
    let ended = served.end().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    ledger.check_row(manifest.genesis(), &manifest.roster[0]).unwrap();
    let quoted = check_quotes(&export, &ledger);
    assert_eq!(quoted.last(), Some(&ended.index));
    // The Verifier binds each GPU's report to its nonce, and the CPU's quote to all of the reports.
    let world = World::new(SEED, NOW);
    for (name, set) in export.below("evidence") {
        let set = EvidenceSet::from_bytes(set).unwrap();
        let bound = verify_set(&set, &world.endorsements(), &anchors_of(&world), NOW);
        let bound = bound.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((bound.devices().len(), bound.cpu().grade), (8, Grade::Simulated), "{name}");
    }
    // In confidential-compute mode tensor activity is withheld; energy is not. Absent is not zero.
    let witness = served.witness().await;
    assert_eq!(total_flop(&witness), u128::from(steps) * 5_000_000_000);
    let bits = presence(ledger.entries());
    assert!(bits.iter().all(|bits| bits & METERED == 0), "{bits:?}");
    assert!(bits[1..].iter().all(|bits| *bits == DECLARED | ENERGY), "{bits:?}");
    // Eight GPUs at 700 W, over every interval but perhaps the first.
    let millis: u64 = ledger.entries()[1..].iter().map(|entry| entry.public.end_mono - entry.public.start_mono).sum();
    let joule: u64 = witness.rows[1..].iter().map(|row| row.reading.elements()[3]).sum();
    assert!(joule.abs_diff(millis * 56 / 10) <= 2 * 5_600, "{joule} J in {millis} ms");
    assert_eq!(fs::read_dir(machine.path("tsm")).unwrap().count(), 0, "every entry is taken away");
    drop(served);
    let folder = machine.path("private");
    let ran = machine.ran(&["export", "--witness", folder.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let key = manifest.roster[0].node_key;
    let records = fs::read_to_string(folder.join(format!("{key}.counters.jsonl"))).unwrap();
    let last: Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
    let said = (last["index"].as_u64(), last["gflop"].as_str(), last["tier"].as_str());
    assert_eq!(said, (Some(ended.index), Some("not-supported"), Some("activity")), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_development_tools_tensor_activity_is_counted_and_a_reload_is_told() {
    let machine = Machine::new(json!({ "mode": "devtools", "gpus": 2 }));
    let served = machine.serve().await;
    served.start().await;
    let mut steps = 0;
    served.work_until(3, &mut steps).await;
    machine.script(json!({ "mode": "devtools", "gpus": 2, "reloads": 1 }));
    served.work_until(8, &mut steps).await;
    let bits = presence(&served.entries().await);
    assert!(bits[1..3].contains(&(DECLARED | METERED | ENERGY)), "{bits:?}");
    // The driver was loaded again: energy began anew, and no interval spans that.
    assert!(bits[3..].iter().any(|bits| bits & ENERGY == 0), "{bits:?}");
    assert_eq!(bits.last(), Some(&(DECLARED | METERED | ENERGY)), "{bits:?}");
    assert!(served.challenge().await.is_ok(), "the daemon takes the driver up again by itself");
    // Two fifths of what two H100 can do: 1,712,800 GFLOP in a second.
    let gflop: Vec<u64> = served.witness().await.rows.iter().map(|row| row.reading.elements()[2]).collect();
    assert!(gflop.iter().all(|gflop| *gflop <= 3 * 1_712_800) && gflop.iter().sum::<u64>() >= 1_712_800, "{gflop:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_hangs_holds_up_its_own_report_and_nothing_else() {
    let machine = Machine::new(json!({ "gpus": 3 }));
    let served = machine.serve().await;
    served.start().await;
    let mut steps = 0;
    served.work_until(2, &mut steps).await;
    machine.script(json!({ "gpus": 3, "hang": ["AttestationReport"], "hang_gpus": [1] }));
    let both = async { tokio::join!(served.challenge(), served.work_until(6, &mut steps)) };
    let (refused, ()) = tokio::time::timeout(Duration::from_secs(40), both).await.expect("neither waits for the other");
    let refused = refused.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (503, "platform-unavailable"), "{}", refused.detail);
    assert!(refused.detail.contains("an attestation report: "), "{}", refused.detail);
    machine.script(json!({ "gpus": 3 }));
    eventually(|| async { served.challenge().await.ok() }).await;
    assert_eq!(served.info().await.state, NodeState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_gpu_is_named_and_its_counters_are_absent() {
    let machine = Machine::new(json!({ "gpus": 2 }));
    let served = machine.serve().await;
    served.start().await;
    let mut steps = 0;
    served.work_until(2, &mut steps).await;
    machine.script(json!({ "gpus": 2, "lost": [1] }));
    let refused = served.challenge().await.unwrap_err();
    assert!(refused.detail.contains("fell off the bus"), "{}", refused.detail);
    assert!(refused.remedy.contains("Xid 79"), "{}", refused.remedy);
    let last = served.info().await.head.unwrap().index;
    served.work_until(last + 3, &mut steps).await;
    assert_eq!(served.entries().await.last().unwrap().public.presence.bits(), DECLARED);
    machine.script(json!({ "gpus": 2 }));
    let last = served.info().await.head.unwrap().index;
    served.work_until(last + 3, &mut steps).await;
    assert_eq!(served.entries().await.last().unwrap().public.presence.bits(), DECLARED | ENERGY);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_a_driver_makes_up_are_refused_and_nothing_panics() {
    for size in [0, 5_121, u32::MAX] {
        let machine = Machine::new(json!({ "gpus": 1, "certificate_size": size }));
        let ran = machine.ran(&["run"]);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        let told = format!("it announces {size} bytes; 1 to 5120 are possible");
        assert!(ran.stderr.contains(&told) && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    let machine = Machine::new(json!({ "gpus": 1 }));
    let served = machine.serve().await;
    for size in [0, 7, 8_193, u32::MAX] {
        machine.script(json!({ "gpus": 1, "report_size": size }));
        let refused = served.challenge().await.unwrap_err();
        assert_eq!(refused.code, "platform-answer", "{size}: {}", refused.detail);
    }
    machine.script(json!({ "gpus": 1 }));
    assert!(served.challenge().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_service_that_is_busy_raced_or_broken_is_asked_again() {
    let machine = Machine::new(json!({ "gpus": 1 }));
    let served = machine.serve().await;
    for (quote, told) in [
        ("busy", "`outblob` is busy"),
        ("raced", "another writer raced for the entry"),
        ("garbage", "bytes that are not a TDX quote"),
    ] {
        machine.script(json!({ "gpus": 1, "quote": quote }));
        let refused = served.challenge().await.unwrap_err();
        assert!(refused.detail.contains(told), "{quote}: {}", refused.detail);
        assert_eq!(fs::read_dir(machine.path("tsm")).unwrap().count(), 0, "{quote}");
    }
    machine.script(json!({ "gpus": 1 }));
    served.start().await;
    let mut steps = 0;
    machine.script(json!({ "gpus": 1, "quote": "busy" }));
    served.work_until(4, &mut steps).await;
    machine.script(json!({ "gpus": 1 }));
    eventually(|| async {
        let (export, _) = parse_export(&served.client.get_bytes(paths::EXPORT).await.ok()?);
        export.below("evidence").any(|(name, _)| name != "key").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_snp_guest_is_led_by_its_report() {
    let machine = Machine::new(json!({ "gpus": 1, "provider": "sev_guest" }));
    let served = machine.serve().await;
    assert_eq!(served.info().await.cpu_kind.as_str(), "sev-snp");
    served.start().await;
    served.work_until(1, &mut 0).await;
    served.end().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    check_quotes(&export, &ledger);
    for (name, set) in export.below("evidence") {
        let set = EvidenceSet::from_bytes(set).unwrap();
        let report_data = set.binding.report_data(weighbridge_attest_types::device_evidence_digest(&set.devices));
        assert_eq!((set.cpu.kind.as_str(), &set.cpu.body[0x50..0x90]), ("sev-snp", &report_data[..]), "{name}");
    }
}

/// Weight and text of a check.
fn finding<'f>(findings: &'f [(String, String, String)], check: &str) -> (&'f str, &'f str) {
    let found = findings.iter().find(|(name, ..)| name == check);
    let (_, weight, text) = found.unwrap_or_else(|| panic!("no `{check}` in {findings:?}"));
    (weight, text)
}

#[test]
fn doctor_looks_at_drivers_mode_counters_and_paths() {
    let machine = Machine::new(json!({}));
    let (code, findings) = machine.doctor();
    assert_eq!(code, Some(0), "{findings:?}");
    assert_eq!(finding(&findings, "driver"), ("good", "NVIDIA driver 590.12-simulated"));
    assert_eq!(finding(&findings, "cc-mode").0, "good");
    let counters =
        "energy and utilisation are counted; tensor activity is withheld (not-supported), as it is in this mode";
    assert_eq!(finding(&findings, "counters"), ("good", counters));
    assert_eq!(finding(&findings, "clock").0, "good");
    assert!(finding(&findings, "state-folder").1.contains("can be made"));
    assert_eq!(finding(&findings, "socket").0, "note");

    let faults = |script: Value| {
        machine.script(script);
        let (code, findings) = machine.doctor();
        assert_eq!(code, Some(6), "{findings:?}");
        findings
    };
    let devtools = faults(json!({ "mode": "devtools", "mig": 2 }));
    assert_eq!(finding(&devtools, "cc-mode").0, "fault");
    assert_eq!(finding(&devtools, "counters"), ("good", "tensor activity is counted"));
    assert_eq!(finding(&devtools, "gpu-mig").0, "note");
    let off = faults(json!({ "mode": "off" }));
    assert_eq!(finding(&off, "cc-mode"), ("fault", "confidential-compute mode is off (the driver's word)"));
    let lost = faults(json!({ "lost": [5] }));
    assert!(finding(&lost, "gpu").1.contains("fell off the bus"));
    let hung = faults(json!({ "hang": ["DeviceGetCount_v2"] }));
    assert!(finding(&hung, "driver").1.contains("the device count: no answer within 3 s"), "{hung:?}");
    let ran = machine.ran(&["doctor"]);
    assert!(!ran.stdout.contains("panicked") && !ran.stderr.contains("panicked"), "{}", ran.stderr);
}
