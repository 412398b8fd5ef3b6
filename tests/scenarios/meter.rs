//! `weighbridge meter` as an operator uses it: what a proof will take, a prover that is killed and goes on, a proof that
//! stands alone, and everything that is refused before time is spent.
//!
//! A few kills in every test run; `WEIGHBRIDGE_KILLS=50` (`just kills`) does as many as it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use weighbridge_attest_types::{Bundle, Canonical, NodeLedger, NodeWitness, Reading, WitnessRow};
use weighbridge_tests::{Ran, SampleRun, run};

use crate::commands::{Desk, desk};

/// A proof of the desk's run, with the finished pieces that it was made of.
struct Proven {
    folder: tempfile::TempDir,
}

impl Proven {
    fn file(&self) -> PathBuf {
        self.folder.path().join("run.proof")
    }

    fn pieces(&self) -> PathBuf {
        self.folder.path().join("pieces")
    }
}

fn proven() -> &'static Proven {
    static PROVEN: OnceLock<Proven> = OnceLock::new();
    PROVEN.get_or_init(|| {
        let proven = Proven { folder: tempfile::tempdir().expect("a temporary folder") };
        let ran = run(&mut prove(&proven.pieces(), &proven.file()));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        proven
    })
}

fn meter(word: &str, desk: &Desk) -> Command {
    let mut command = desk.command(&["meter", word]);
    command.args(&desk.exports).arg("--witness").args(&desk.witnesses);
    command
}

fn prove(pieces: &Path, out: &Path) -> Command {
    let mut command = meter("prove", desk());
    command.arg("--resume").arg(pieces).arg("--out").arg(out);
    command
}

fn check(proof: &Path, exports: &[PathBuf]) -> Ran {
    run(desk().command(&["meter", "check", "--format", "json"]).arg(proof).args(exports))
}

fn object(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

fn codes(ran: &Ran) -> Vec<String> {
    let reasons = object(ran)["reasons"].as_array().cloned().unwrap_or_default();
    reasons.iter().filter_map(|reason| reason["code"].as_str().map(str::to_owned)).collect()
}

/// Pieces in a folder: name of the file, when it was written, what is in it.
type Files = BTreeMap<PathBuf, (SystemTime, Vec<u8>)>;

fn files(folder: &Path) -> Files {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let pieces = paths.filter(|path| path.extension().is_some_and(|end| end == "piece"));
    let file = |path: PathBuf| {
        let written = std::fs::metadata(&path).and_then(|data| data.modified()).expect("a time");
        let bytes = std::fs::read(&path).expect("reads");
        (path, (written, bytes))
    };
    pieces.map(file).collect()
}

#[test]
fn a_plan_says_what_a_proof_will_take_and_that_it_is_an_estimate() {
    let ran = run(meter("plan", desk()).args(["--format", "json", "--memory", "4GiB", "--jobs", "2"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let plan = &object(&ran)["claims"];
    assert_eq!((&plan["is_estimate"], &plan["chains"], &plan["at_a_time"]), (&true.into(), &2.into(), &2.into()));
    assert_eq!(plan["pieces"], serde_json::json!({ "meter-short": 1, "wrap-short": 1, "threshold": 1 }));
    assert_eq!(plan["rows"], (1 << 12) + (1 << 13) + (1 << 14));
    let figure = |name: &str| plan[name].as_u64().unwrap_or_else(|| panic!("{name}"));
    assert!(figure("memory_bytes") <= figure("memory_cap_bytes") && figure("processor_seconds") > 0);
    assert!(figure("disk_bytes") > 149_036);
    let text = run(&mut meter("plan", desk())).stdout;
    assert!(text.contains("estimate") && text.contains("wrap-short") && text.contains("MiB with --resume"), "{text}");
}

#[test]
fn a_proof_stands_alone_and_enters_a_bundle() {
    let proof = proven().file();
    let ran = check(&proof, &desk().exports);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    // The order in which exports are named is nobody's statement.
    let backwards: Vec<PathBuf> = desk().exports.iter().rev().cloned().collect();
    assert_eq!(check(&proof, &backwards).code, Some(0));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run.weighbridge");
    let made = desk().assemble(&[], &out, &["--proof", &proof.display().to_string()]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let ran = run(desk().command(&["verify"]).arg(&out).arg("--trust-roots").arg(&desk().roots));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("declared, sum proven"), "{}", ran.stdout);
}

#[test]
fn a_proof_of_another_run_or_with_a_changed_bit_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let others = SampleRun::rebooted().exports();
    let others = others.iter().enumerate().map(|(number, export)| write(&format!("{number}"), &export.to_bytes()));
    let ran = check(&proven().file(), &others.collect::<Vec<_>>());
    assert_eq!(ran.code, Some(4), "{}", ran.stdout);
    let mut found = codes(&ran);
    found.sort();
    assert_eq!(found, ["proof-chains", "proof-context"]);

    let honest = std::fs::read(proven().file()).expect("reads");
    let changed = |at: usize| {
        let mut bytes = honest.clone();
        bytes[at] ^= 1;
        check(&write("changed", &bytes), &desk().exports)
    };
    let ran = changed(honest.len() - 5_000);
    assert!([Some(3), Some(4)].contains(&ran.code), "{:?}", ran.code);
    assert_eq!(codes(&ran), ["proof-holds"]);
    // Behind the magic and the length: the first circuit's name.
    let ran = changed(12);
    assert_eq!((ran.code, codes(&ran)), (Some(3), vec!["proof-of-another-version".to_owned()]), "{}", ran.stderr);
    for bytes in [&honest[..honest.len() - 1], &[honest.as_slice(), &[0]].concat(), b"no proof"] {
        assert_eq!(check(&write("changed", bytes), &desk().exports).code, Some(3));
    }
    assert_eq!(codes(&check(&proven().file(), &desk().exports[..1])), ["export-missing"]);
}

#[test]
fn a_piece_that_is_not_what_its_name_says_is_named_and_made_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (pieces, out) = (folder.path().join("pieces"), folder.path().join("run.proof"));
    std::fs::create_dir(&pieces).expect("a folder");
    let mut largest = (0, PathBuf::new());
    for (path, (_, bytes)) in files(&proven().pieces()) {
        let copy = pieces.join(path.file_name().expect("a name"));
        std::fs::write(&copy, &bytes).expect("writes");
        largest = largest.max((bytes.len(), copy));
    }
    let whole = files(&pieces);
    assert_eq!(whole.len(), 3);
    // Nothing to do: the same proof, and no file is written again.
    let ran = run(&mut prove(&pieces, &out));
    assert_eq!((ran.code, files(&pieces) == whole), (Some(0), true), "{}", ran.stderr);
    assert_eq!(std::fs::read(&out).expect("reads"), std::fs::read(proven().file()).expect("reads"));
    // The last piece with one bit changed, and under its name another piece.
    let (_, last) = largest;
    let (_, mut bytes) = whole[&last].clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&last, &bytes).expect("writes");
    let ran = run(&mut prove(&pieces, &out));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("made again") && ran.stderr.contains(&last.display().to_string()), "{}", ran.stderr);
    let after = files(&pieces);
    let untouched = after.iter().filter(|(path, file)| whole.get(*path) == Some(file)).count();
    assert_eq!((after.len(), untouched), (3, 2), "the two pieces below it stay as they are");
    assert_eq!(check(&out, &desk().exports).code, Some(0));
}

/// How often the prover is killed.
#[expect(clippy::disallowed_methods, reason = "the one switch for many kills")]
fn kills() -> u64 {
    std::env::var("WEIGHBRIDGE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(2)
}

#[test]
fn a_killed_prover_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (pieces, out) = (folder.path().join("pieces"), folder.path().join("run.proof"));
    let mut random = 0x5eed_u64;
    let mut kept = Files::new();
    for kill in 0..kills() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut prover = prove(&pieces, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis((random >> 33) % 6_000));
        prover.kill().expect("is killed, or is gone");
        let ended = prover.wait().expect("ends");
        let found = files(&pieces);
        for (path, file) in &kept {
            assert!(found.get(path) == Some(file), "kill {kill}: {} was made again", path.display());
        }
        kept = found;
        if ended.success() {
            assert_eq!(check(&out, &desk().exports).code, Some(0), "kill {kill} came too late");
            std::fs::remove_dir_all(&pieces).expect("removes");
            std::fs::remove_file(&out).expect("removes");
            kept.clear();
        } else {
            assert!(!out.exists(), "kill {kill}: a proof is there whole or not at all");
        }
    }
    let ran = run(&mut prove(&pieces, &out));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let found = files(&pieces);
    assert!(kept.iter().all(|(path, file)| found.get(path) == Some(file)));
    let halves = std::fs::read_dir(&pieces).expect("reads").count();
    assert_eq!((found.len(), halves), (3, 3), "nothing half written is left");
    let ran = check(&out, &desk().exports);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Blinding differs; what is said is the same.
    assert_eq!(object(&ran)["claims"], object(&check(&proven().file(), &desk().exports))["claims"]);
}

/// The desk's run with one part of it changed.
struct Changed {
    folder: tempfile::TempDir,
    exports: Vec<PathBuf>,
    witnesses: Vec<PathBuf>,
}

impl Changed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, exports: desk().exports.clone(), witnesses: desk().witnesses.clone() }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    }

    /// Exit code and the first reason; nothing may be left behind.
    fn refused(&self, more: &[&str]) -> (i32, String) {
        let (pieces, out) = (self.folder.path().join("pieces"), self.folder.path().join("run.proof"));
        let mut command = desk().command(&["meter", "prove", "--format", "json"]);
        command.args(&self.exports).arg("--witness").args(&self.witnesses).args(more);
        let ran = run(command.arg("--resume").arg(&pieces).arg("--out").arg(&out));
        assert!(!out.exists() && files(&pieces).is_empty(), "nothing is proven: {}", ran.stderr);
        assert!(ran.stderr.trim_end().lines().count() >= 2, "a remedy: {}", ran.stderr);
        (ran.code.expect("an exit code"), codes(&ran).remove(0))
    }
}

fn refusal(code: i32, reason: &str) -> (i32, String) {
    (code, reason.to_owned())
}

#[test]
fn what_belongs_to_no_true_statement_is_named_before_anything_is_proven() {
    let mut changed = Changed::new();
    assert_eq!(changed.refused(&["--memory", "64MiB"]), refusal(2, "memory-too-small"));
    assert_eq!(changed.refused(&["--declared", "none"]), refusal(2, "statement-not-possible"));
    assert_eq!(changed.refused(&["--declared", "gt=eu-ai-act-51-2"]), refusal(5, "not-proven"));
    assert_eq!(changed.refused(&["--energy", "two-figures"]), refusal(5, "reading-absent"));
    assert_eq!(changed.refused(&["--metered", "le=eu-ai-act-51-2"]), refusal(5, "reading-absent"));
    for wrong in [
        ["--memory", "much"],
        ["--jobs", "0"],
        ["--declared", "le=nobody"],
        ["--declared", "le=123456"],
        ["--energy", "le=demo"],
    ] {
        let (code, _) = changed.refused(&wrong);
        assert_eq!(code, 2, "{wrong:?}");
    }
    changed.exports.pop();
    changed.witnesses.pop();
    assert_eq!(changed.refused(&[]), refusal(2, "export-missing"));
    changed.exports = vec![desk().exports[0].clone(); 2];
    assert_eq!(changed.refused(&[]), refusal(2, "node-given-twice"));
}

#[test]
fn openings_that_are_lost_or_changed_are_named_before_anything_is_proven() {
    let mut changed = Changed::new();
    changed.witnesses.truncate(1);
    assert_eq!(changed.refused(&[]), refusal(2, "witness-missing"));
    let witness = NodeWitness::from_bytes(&std::fs::read(&desk().witnesses[1]).expect("reads")).expect("a witness");
    let changes: [fn(&mut NodeWitness); 4] = [
        |witness| witness.rows[2].salt[0] ^= 1,
        |witness| {
            let salt = witness.rows[3].salt;
            witness.rows[3] = WitnessRow { reading: Reading::new(1, 1, 0, 0).expect("in range"), salt };
        },
        |witness| witness.rows.swap(0, 1),
        |witness| witness.rows.truncate(witness.rows.len() - 1),
    ];
    for change in changes {
        let mut other = witness.clone();
        change(&mut other);
        let path = changed.write("other.witness", &other.to_bytes());
        changed.witnesses = vec![desk().witnesses[0].clone(), path];
        assert_eq!(changed.refused(&[]), refusal(5, "witness-differs"));
    }
}

#[test]
fn a_ledger_with_a_gap_is_named_before_anything_is_proven() {
    let mut changed = Changed::new();
    let mut export = Bundle::parse_export(&std::fs::read(&desk().exports[1]).expect("reads")).expect("an export");
    let mut ledger = NodeLedger::from_bytes(export.get("ledger").expect("a member")).expect("a ledger");
    ledger.entries.remove(3);
    export.replace("ledger", Some(ledger.to_bytes()));
    changed.exports[1] = changed.write("gap.export", &export.to_bytes());
    let (code, reason) = changed.refused(&[]);
    assert!(code >= 3 && reason.contains("ledger"), "{code} {reason}");
}
