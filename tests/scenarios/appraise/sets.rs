//! Several devices: captured sets of GPUs under one nonce, and a CPU quote with its accelerators under this project's
//! binding. The failing device is named.

use std::path::{Path, PathBuf};

use serde_json::Value;
use weighbridge_attest_collect::Collector as _;
use weighbridge_attest_types::{Canonical as _, EvidenceSet, RunManifest, device_evidence_digest};
use weighbridge_tests::SampleRun;
use weighbridge_tests::vectors::{Appraisal, Case};

use super::{Answer, Line, path, without_manifests, write};

/// A captured board: reports and chains of eight or four GPUs, and the nonce that all answer.
struct Board {
    case: Case,
    reports: Vec<PathBuf>,
    chains: Vec<PathBuf>,
    nonce: String,
    at: String,
}

fn board(name: &str) -> Option<Board> {
    let case = Case::named("nvidia-gpu", name)?;
    let mut rows: Vec<&Appraisal> = case.appraisals.iter().collect();
    rows.sort_by_key(|row| row.evidence.clone());
    rows.dedup_by_key(|row| row.evidence.clone());
    let file = |row: &Appraisal, name: Option<&String>| path(&case, name.unwrap_or_else(|| panic!("{row:?}")));
    let reports = rows.iter().map(|row| file(row, row.evidence.as_ref())).collect();
    let chains =
        rows.iter().map(|row| file(row, row.endorsements.iter().find(|name| name.starts_with("chain")))).collect();
    let nonce = rows[0].nonce_hex.clone().unwrap_or_else(|| {
        String::from_utf8(case.read(rows[0].nonce.as_ref().expect("a nonce"))).expect("hex").trim().to_owned()
    });
    let at = rows[0].at.clone().expect("a time");
    Some(Board { reports, chains, nonce, at, case })
}

impl Board {
    fn line(&self) -> Line {
        Line::new("nvidia-gpu")
            .with("--nonce", &self.nonce)
            .with("--at", &self.at)
            .with("--policy", without_manifests())
    }
}

fn devices(answer: &Answer) -> Vec<String> {
    let devices = answer.object["claims"]["devices"].as_array().expect("devices").iter();
    devices.filter_map(|device| device["claims"]["device"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_board_is_accepted_in_whatever_order_its_files_come() {
    let Some(board) = board("hgx-h100-590.12-ppcie-8gpu") else { return };
    let in_order = board.line().all("--evidence", &board.reports).all("--evidence", &board.chains).run();
    assert_eq!(in_order.code(), Some(0), "{}", in_order.ran.stderr);
    assert!(in_order.checks("pass").contains(&"devices-distinct"));
    assert_eq!(devices(&in_order).len(), 8);
    assert!(in_order.object["claims"]["relay_limit"].as_str().is_some_and(|limit| limit.contains("elsewhere")));
    let mut chains = board.chains.clone();
    chains.reverse();
    chains.rotate_left(3);
    let shuffled = board.line().all("--evidence", &board.reports).all("--endorsements", &chains).run();
    assert_eq!(shuffled.code(), Some(0), "{}", shuffled.ran.stderr);
    assert_eq!(devices(&shuffled), devices(&in_order));
    // Its folder holds all of it, whatever else lies there.
    let all = board.line().all("--evidence", &board.reports).with("--endorsements", &board.case.folder).run();
    assert_eq!(devices(&all), devices(&in_order));
}

#[test]
fn the_list_that_nvidias_tools_write_is_read() {
    let Some(board) = board("h100-590.12-ppcie-4gpu") else { return };
    let listed = board.line().with("--evidence", path(&board.case, "evidence.json")).run();
    assert_eq!(listed.code(), Some(0), "{}", listed.ran.stderr);
    let apart = board.line().all("--evidence", &board.reports).all("--evidence", &board.chains).run();
    let digests = |answer: &Answer| -> Vec<Value> {
        let devices = answer.object["claims"]["devices"].as_array().expect("devices").iter();
        devices.map(|device| device["evidence_sha256"].clone()).collect()
    };
    assert_eq!(digests(&listed), digests(&apart));
}

#[test]
fn one_bad_device_fails_the_board_and_is_named() {
    let Some(board) = board("h100-590.12-ppcie-4gpu") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bytes = std::fs::read(&board.reports[2]).expect("a report");
    let last = bytes.len() - 1 - usize::from(bytes.last() == Some(&0));
    bytes[last] ^= 1;
    let mut reports = board.reports.clone();
    reports[2] = write(folder.path(), "changed", bytes);
    let answer = board.line().all("--evidence", &reports).all("--evidence", &board.chains).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(4), vec!["gpu-signature"]));
    let reason = answer.object["reasons"][0]["message"].as_str().expect("a message");
    assert!(reason.starts_with("nvidia-gpu-2: "), "{reason}");
    let verdicts = answer.object["claims"]["devices"].as_array().expect("devices").iter();
    let verdicts: Vec<&str> = verdicts.map(|device| device["verdict"].as_str().expect("a verdict")).collect();
    assert_eq!(verdicts, ["accepted", "accepted", "untrusted", "accepted"]);
    // No chain at all for one of them.
    let answer = board.line().all("--evidence", &board.reports).all("--evidence", &board.chains[..3]).run();
    assert_eq!(answer.code(), Some(4), "{}", answer.ran.stderr);
    let answer = board.line().all("--evidence", &board.reports).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(6), vec!["device-chain-missing"; 4]));
}

#[test]
fn a_device_counts_once_and_the_roster_is_exact() {
    let Some(board) = board("h100-590.12-ppcie-4gpu") else { return };
    let mut twice = board.reports.clone();
    twice[3] = twice[0].clone();
    let answer = board.line().all("--evidence", &twice).all("--evidence", &board.chains).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(4), vec!["device-repeated", "topology-repeated"]));
    let all = || board.line().all("--evidence", &board.reports).all("--evidence", &board.chains);
    let names = devices(&all().run());
    let with = |names: &[String]| names.iter().fold(all(), |line, name| line.with("--device", name)).run();
    let exact = with(&names);
    assert_eq!(exact.code(), Some(0), "{}", exact.ran.stderr);
    assert!(exact.checks("pass").contains(&"devices-roster"));
    let fewer = with(&names[1..]);
    assert_eq!((fewer.code(), fewer.reasons()), (Some(4), vec!["devices-roster"]));
    assert!(
        fewer.object["reasons"][0]["message"]
            .as_str()
            .unwrap()
            .contains(&format!("{} is not in the roster", &names[0][..16]))
    );
    let more = with(&[names.clone(), vec!["ab".repeat(32)]].concat());
    assert_eq!((more.code(), more.reasons()), (Some(4), vec!["devices-roster"]));
    assert!(more.object["reasons"][0]["message"].as_str().unwrap().contains("abababababababab did not answer"));
}

#[test]
fn another_nonce_rejects_every_device() {
    let Some(board) = board("h100-590.12-ppcie-4gpu") else { return };
    let line = Line::new("nvidia-gpu").with("--at", &board.at).with("--policy", without_manifests());
    let line = line.with("--nonce", "ab".repeat(32));
    let answer = line.all("--evidence", &board.reports).all("--evidence", &board.chains).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(5), vec!["nonce-differs"; 4]));
    assert_eq!(answer.tier(), "contraindicated");
}

/// A simulated node's sets on disk, with everything that they are judged with.
struct Simulated {
    run: SampleRun,
    folder: tempfile::TempDir,
    at: String,
}

impl Simulated {
    fn new() -> Self {
        let mut run = SampleRun::begin(7, 2, 2);
        run.advance(3);
        run.quote_all();
        let folder = tempfile::tempdir().expect("a temporary folder");
        run.world.write_trust_roots(&folder.path().join("roots")).expect("anchors are written");
        let endorsements = folder.path().join("endorsements");
        std::fs::create_dir(&endorsements).expect("a folder");
        for (number, file) in run.world.endorsements().into_iter().enumerate() {
            write(&endorsements, &number.to_string(), file);
        }
        write(folder.path(), "run-manifest", run.manifest.to_bytes());
        let at = "2026-11-01T00:10:00Z".to_owned();
        Self { run, folder, at }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn line(&self, set: &EvidenceSet) -> Line {
        Line::new("evidence-set")
            .with("--evidence", write(self.path(), "set", set.to_bytes()))
            .with("--endorsements", self.path().join("endorsements"))
            .with("--trust-roots", self.path().join("roots"))
            .with("--at", &self.at)
    }

    fn manifest(&self, line: Line) -> Answer {
        line.with("--manifest", self.path().join("run-manifest")).run()
    }

    fn head_set(&self) -> EvidenceSet {
        self.run.nodes[0].evidence[&3].clone()
    }
}

#[test]
fn a_composite_is_accepted_as_one_and_says_what_ties_it() {
    let desk = Simulated::new();
    for set in [desk.run.nodes[0].key_set.clone(), desk.head_set()] {
        let answer = desk.manifest(desk.line(&set));
        assert_eq!(answer.code(), Some(0), "{}", answer.ran.stderr);
        let claims = &answer.object["claims"];
        assert_eq!((&claims["device_binding"], &claims["grade"]), (&"nonce-chained".into(), &"simulated".into()));
        assert_eq!(answer.tier(), "warning");
        assert_eq!(claims["devices"].as_array().map(Vec::len), Some(3));
        assert!(claims["relay_limit"].is_string());
        for check in ["devices-distinct", "devices-roster", "evidence-genesis", "evidence-bound"] {
            assert!(answer.checks("pass").contains(&check), "{check}: {answer:?}", answer = answer.object);
        }
        assert!(answer.ran.stderr.starts_with("SIMULATED: "), "{}", answer.ran.stderr);
    }
    // Without the development roots it hangs on nothing.
    let set = write(desk.path(), "set", desk.head_set().to_bytes());
    let line = Line::new("evidence-set").with("--evidence", set).with("--at", &desk.at);
    let answer = line.with("--endorsements", desk.path().join("endorsements")).run();
    assert_eq!(answer.code(), Some(4));
}

#[test]
fn a_composite_answers_the_nonce_that_it_was_made_for() {
    let desk = Simulated::new();
    let node = &desk.run.nodes[0];
    let ask = |nonce: String| desk.line(&node.key_set).with("--nonce", nonce).run();
    let right = ask(node.nonce.nonce.to_string());
    assert_eq!(right.code(), Some(0), "{}", right.ran.stderr);
    assert!(right.checks("pass").contains(&"challenge-differs"));
    for wrong in ["ab".repeat(32), "00".repeat(32)] {
        let answer = ask(wrong);
        assert_eq!((answer.code(), answer.reasons()), (Some(5), vec!["challenge-differs"]));
    }
    let silent = desk.line(&node.key_set).run();
    assert!(silent.checks("not-checked").contains(&"challenge-differs"));
}

#[test]
fn a_composite_with_one_false_member_is_refused_by_that_member() {
    let desk = Simulated::new();
    let set = desk.head_set();
    let refused = |change: &dyn Fn(&mut EvidenceSet)| {
        let mut set = set.clone();
        change(&mut set);
        let answer = desk.line(&set).run();
        let reasons: Vec<String> = answer.object["reasons"]
            .as_array()
            .expect("reasons")
            .iter()
            .map(|reason| {
                reason["message"].as_str().expect("a message").split(": ").next().unwrap_or_default().to_owned()
            })
            .collect();
        (answer.code(), answer.reasons().join(" "), reasons)
    };
    let (code, codes, who) = refused(&|set| {
        let last = set.devices[1].report.len() - 1;
        set.devices[1].report[last] ^= 1;
    });
    assert_eq!((code, codes.as_str()), (Some(4), "report-data-differs gpu-signature"));
    assert!(who[0].starts_with("tdx-cpu") && who[1].starts_with("nvidia-gpu-device-1"), "{who:?}");
    // One device left out: the CPU quote speaks of another set.
    let (code, codes, _) = refused(&|set| drop(set.devices.pop()));
    assert_eq!((code, codes.as_str()), (Some(4), "report-data-differs"));
    // The same device twice, padded, or bytes after the end.
    let (code, codes, _) = refused(&|set| set.devices[1] = set.devices[0].clone());
    assert!(code == Some(4) && codes.split(' ').all(|code| code == "device-repeated"), "{code:?} {codes}");
    let (code, codes, _) = refused(&|set| set.devices[0].report.push(0));
    assert_eq!((code, codes.as_str()), (Some(3), "report-not-canonical"));
    let cut = write(desk.path(), "cut", &set.to_bytes()[..100]);
    let answer = Line::new("evidence-set").with("--evidence", cut).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(3), vec!["evidence-set"]));
}

/// A member that is genuine and bound, on a node that has it not.
#[test]
fn a_composite_has_exactly_the_devices_of_its_row() {
    let desk = Simulated::new();
    let (run, set) = (&desk.run, desk.head_set());
    let with_manifest = |manifest: &RunManifest| {
        write(desk.path(), "run-manifest", manifest.to_bytes());
        desk.manifest(desk.line(&set))
    };
    let honest = with_manifest(&run.manifest);
    assert_eq!(honest.code(), Some(0), "{}", honest.ran.stderr);
    // A manifest is another run as soon as a byte of it changes, so a key quote is held against it.
    let mut fewer = run.manifest.clone();
    fewer.roster[0].devices.pop();
    let key = |manifest: &RunManifest| {
        write(desk.path(), "run-manifest", manifest.to_bytes());
        desk.manifest(desk.line(&run.nodes[0].key_set))
    };
    assert_eq!((key(&fewer).code(), key(&fewer).reasons()), (Some(4), vec!["devices-roster"]));
    let mut other = run.manifest.clone();
    other.roster[0].cpu = other.roster[1].cpu;
    assert_eq!((key(&other).code(), key(&other).reasons()), (Some(4), vec!["devices-roster"]));
    let mut other = run.manifest.clone();
    other.roster[0].key_quote = other.roster[1].key_quote;
    assert_eq!((key(&other).code(), key(&other).reasons()), (Some(4), vec!["evidence-genesis"]));
    let mut other = run.manifest.clone();
    other.model_id.push('x');
    assert_eq!((with_manifest(&other).code(), with_manifest(&other).reasons()), (Some(4), vec!["evidence-genesis"]));
    let mut stranger = run.manifest.clone();
    stranger.roster.remove(0);
    assert_eq!((key(&stranger).code(), key(&stranger).reasons()), (Some(4), vec!["evidence-genesis"]));
    // And by name: the CPU platform may be named and need not be.
    let names: Vec<String> = set.devices.iter().map(|device| device.device.0.to_string()).collect();
    let cpu = run.manifest.roster[0].cpu.0.to_string();
    let named = |names: &[&String]| names.iter().fold(desk.line(&set), |line, name| line.with("--device", name)).run();
    assert_eq!(named(&[&names[0], &names[1]]).code(), Some(0));
    assert_eq!(named(&[&names[0], &names[1], &cpu]).code(), Some(0));
    assert_eq!(named(&[&names[0], &cpu]).reasons(), ["devices-roster"]);
    assert_eq!(named(&[&cpu]).reasons(), ["devices-roster"]);
}

/// Everything consistent, but for a CPU quote that somebody with the node's hands made over other devices.
#[test]
fn a_device_of_another_node_does_not_stand_in() {
    let desk = Simulated::new();
    let mut set = desk.head_set();
    let stranger = desk.run.nodes[1].platform.gpus()[0].clone();
    let nonce = set.binding.gpu_nonce(stranger.device());
    set.devices[1] = stranger.evidence(nonce.0);
    set.devices.sort_by_key(|evidence| evidence.device);
    let report_data = set.binding.report_data(device_evidence_digest(&set.devices));
    set.cpu = desk.run.nodes[0].platform.quote(report_data).expect("a quote");
    let alone = desk.line(&set).run();
    assert_eq!(alone.code(), Some(0), "by itself nothing speaks against it: {}", alone.ran.stderr);
    let answer = desk.manifest(desk.line(&set));
    assert_eq!((answer.code(), answer.reasons()), (Some(4), vec!["devices-roster"]));
}
