//! The command `weighbridge` as people use it, over one bundle that it assembled itself: exit codes, words, JSON.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use weighbridge_attest_types::{Bundle, Canonical, NodeWitness, Reading, WitnessRow};
use weighbridge_tests::{Ran, SampleRun, program, run};

pub(crate) struct Desk {
    _folder: tempfile::TempDir,
    pub(crate) weighbridge: PathBuf,
    pub(crate) exports: Vec<PathBuf>,
    pub(crate) witnesses: Vec<PathBuf>,
    pub(crate) endorsements: PathBuf,
    pub(crate) roots: PathBuf,
    pub(crate) bundle: PathBuf,
    at: String,
}

impl Desk {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.weighbridge);
        command.args(arguments);
        command
    }

    pub(crate) fn assemble(&self, witnesses: &[PathBuf], out: &Path, more: &[&str]) -> Ran {
        let mut command = self.command(&["bundle", "assemble"]);
        command.args(&self.exports);
        for witness in witnesses {
            command.arg("--witness").arg(witness);
        }
        command.arg("--endorsements").arg(&self.endorsements).arg("--trust-roots").arg(&self.roots);
        command.args(["--at", &self.at]).arg("--out").arg(out).args(more);
        run(&mut command)
    }

    fn verify(&self, more: &[&str]) -> Ran {
        run(self.command(&["verify"]).arg(&self.bundle).arg("--trust-roots").arg(&self.roots).args(more))
    }
}

/// The program alone, for what needs no bundle.
pub(crate) fn weighbridge(arguments: &[&str]) -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(|| program("weighbridge")));
    command.args(arguments);
    command
}

pub(crate) fn desk() -> &'static Desk {
    static DESK: OnceLock<Desk> = OnceLock::new();
    DESK.get_or_init(|| {
        let sample = SampleRun::honest();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: String, bytes: Vec<u8>| {
            std::fs::write(path(&name), bytes).expect("writes");
            path(&name)
        };
        let exports = sample.exports().into_iter().map(|export| export.to_bytes()).enumerate();
        let exports = exports.map(|(number, bytes)| write(format!("node-{number}.export"), bytes)).collect();
        let witness = |(number, node): (usize, &weighbridge_tests::SampleNode)| {
            let witness = NodeWitness { node_key: node.node_key(), rows: node.rows.clone() };
            write(format!("node-{number}.witness"), witness.to_bytes())
        };
        let witnesses = sample.nodes.iter().enumerate().map(witness).collect();
        let endorsements = path("endorsements");
        std::fs::create_dir(&endorsements).expect("a folder");
        for (number, file) in sample.world.endorsements().into_iter().enumerate() {
            write(format!("endorsements/{number}"), file);
        }
        sample.world.write_trust_roots(&path("trust-roots")).expect("anchors are written");
        let desk = Desk {
            weighbridge: program("weighbridge"),
            exports,
            witnesses,
            endorsements,
            roots: path("trust-roots"),
            bundle: path("run.weighbridge"),
            at: "2026-11-01T01:00:00Z".to_owned(),
            _folder: folder,
        };
        let made = desk.assemble(&desk.witnesses, &desk.bundle, &[]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        desk
    })
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

#[test]
fn verify_accepts_under_the_named_roots_and_says_simulated_first() {
    let ran = desk().verify(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("SIMULATED") && ran.stdout.contains("width"), "{}", ran.stdout);
    assert!(ran.stdout.contains("declared, sum proven"), "{}", ran.stdout);
}

#[test]
fn verify_without_roots_exits_4_and_says_why() {
    let ran = run(desk().command(&["verify"]).arg(&desk().bundle));
    assert_eq!(ran.code, Some(4));
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("untrusted") && said.contains("--trust-roots"), "{said}");
}

#[test]
fn json_is_one_object_with_verdict_reasons_and_claims() {
    let accepted = json(&desk().verify(&["--format", "json"]));
    assert_eq!(accepted["verdict"], "accepted");
    assert_eq!(accepted["reasons"], serde_json::json!([]));
    assert_eq!(accepted["claims"]["bracket"]["lower"], "0");
    let ran = run(desk().command(&["verify", "--format", "json"]).arg(&desk().bundle));
    assert_eq!(ran.code, Some(4));
    let refused = json(&ran);
    assert_eq!(refused["verdict"], "untrusted");
    assert!(refused["reasons"].as_array().is_some_and(|reasons| {
        reasons.iter().all(|reason| reason["code"].is_string() && reason["message"].is_string()) && !reasons.is_empty()
    }));
}

#[test]
fn a_requirement_that_is_not_met_exits_5() {
    assert_eq!(desk().verify(&["--require", "demo=below-this-run"]).code, Some(0));
    let ran = desk().verify(&["--require", "demo=below", "--format", "json"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    let refused = json(&ran);
    assert_eq!(
        (&refused["verdict"], &refused["reasons"][0]["code"]),
        (&"rejected".into(), &"require-cumulative".into())
    );
    let ran = desk().verify(&["--require", "demo=above", "--format", "json"]);
    assert_eq!(ran.code, Some(5));
    assert_eq!(json(&ran)["verdict"], "rejected");
    assert_eq!(desk().verify(&["--require", "demo=perhaps"]).code, Some(2));
}

#[test]
fn another_instant_is_another_question() {
    let ran = desk().verify(&["--at", "2030-01-01T00:00:00Z"]);
    assert_eq!(ran.code, Some(4), "the collateral of 2026 has ended by then");
}

#[test]
fn report_is_the_archived_one_and_html_stands_alone() {
    let report = |format: &str| {
        let mut command = desk().command(&["report", "--profile", "demo", "--format", format]);
        run(command.arg(&desk().bundle).arg("--trust-roots").arg(&desk().roots))
    };
    let bytes = std::fs::read(&desk().bundle).expect("reads");
    let bundle = Bundle::parse_bundle(&bytes).expect("a bundle");
    let member = String::from_utf8(bundle.get("report.json").expect("member").to_vec()).expect("UTF-8");
    assert_eq!(report("json").stdout.trim(), member.trim());
    let html = report("html").stdout;
    assert!(html.contains("SIMULATED") && html.contains("<svg") && html.contains("o steps audited yet"), "{html}");
    for outside in ["<script", "src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!html.contains(outside), "the page is not self-contained: {outside}");
    }
}

#[test]
fn report_without_roots_is_refused_like_verify() {
    let ran = run(desk().command(&["report", "--profile", "demo", "--format", "json"]).arg(&desk().bundle));
    assert_eq!(ran.code, Some(4));
    let refused = json(&ran);
    assert_eq!(refused["verdict"], "untrusted");
    assert!(refused["claims"]["bracket"].is_null(), "no figure of an untrusted bundle");
}

#[test]
fn a_witness_that_does_not_open_the_ledger_is_refused_before_proving() {
    let bytes = std::fs::read(&desk().witnesses[1]).expect("reads");
    let mut witness = NodeWitness::from_bytes(&bytes).expect("a witness");
    let salt = witness.rows[6].salt;
    witness.rows[6] = WitnessRow { reading: Reading::new(1, 1, 0, 0).expect("in range"), salt };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let forged = folder.path().join("forged.witness");
    std::fs::write(&forged, witness.to_bytes()).expect("writes");
    let out = folder.path().join("run.weighbridge");
    let ran = desk().assemble(&[desk().witnesses[0].clone(), forged], &out, &[]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert!(ran.stderr.contains("interval 7"), "{}", ran.stderr);
    assert!(!out.exists(), "nothing is written");
}

#[test]
fn what_cannot_be_read_is_named_with_a_remedy() {
    let ran = run(&mut desk().command(&["verify", "/nowhere/run.weighbridge"]));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("/nowhere/run.weighbridge"), "{}", ran.stderr);
    let text = run(desk().command(&["verify"]).arg(desk().endorsements.join("0")));
    assert_eq!(text.code, Some(3), "a file that is no bundle");
}

/// A threshold of the reader's own in two commands: it leads the page, and `--require` knows it.
#[test]
fn a_readers_own_threshold_is_weighed_and_marked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let law = include_str!("../../attest/types/profiles/us-ny-raise.json");
    let copy = law.replace("us-ny-raise", "mine").replace("\"cumulative\"", "\"training\"");
    let mine = copy.replace("RAISE Act", "House rule");
    let file = folder.path().join("mine.json");
    std::fs::write(&file, mine).expect("writes");
    let report = |profile: &str, format: &str| {
        let mut command = desk().command(&["report", "--profile", profile, "--format", format]);
        run(command.arg(&desk().bundle).arg("--trust-roots").arg(&desk().roots))
    };
    let page = report(&file.display().to_string(), "html");
    assert_eq!(page.code, Some(0), "{}", page.stderr);
    assert!(page.stdout.contains("The reader’s own profile “mine”, in no bundle and not part of this program"));
    let title = page.stdout.split("</title>").next().expect("a title");
    assert!(title.contains("by the reader’s own profile mine"), "{title}");
    let own = json(&report(&file.display().to_string(), "json"));
    let line = own["profiles"].as_array().and_then(|lines| lines.last()).expect("a line");
    assert_eq!((&line["id"], &line["origin"]), (&"mine".into(), &"reader".into()));
    assert_eq!(own["profiles"].as_array().map(Vec::len), Some(9));
    let path = file.display().to_string();
    assert_eq!(desk().verify(&["--require", "mine=below-this-run", "--profiles", &path]).code, Some(0));
    let ran = desk().verify(&["--require", "mine=below", "--profiles", &path, "--format", "json"]);
    assert_eq!(json(&ran)["reasons"][0]["code"], "require-cumulative", "one run of many, whatever is counted");
    let ran = desk().verify(&["--require", "mine=above", "--profiles", &path]);
    assert_eq!(ran.code, Some(5));
    assert!(ran.stdout.contains("your own profile"), "{}", ran.stdout);
    assert_eq!(desk().verify(&["--require", "mine=below"]).code, Some(2), "nobody knows it without its file");
    std::fs::write(&file, copy).expect("writes");
    assert_eq!(report(&path, "html").code, Some(2), "nor under another id");
    let law = folder.path().join("law.json");
    std::fs::write(&law, include_str!("../../attest/types/profiles/us-ny-raise.json")).expect("writes");
    assert_eq!(report(&law.display().to_string(), "html").code, Some(2), "a file may not pass for a built-in law");
}

/// The three levels and the provider's statement, from the command line to the page.
#[test]
fn levels_and_a_statement_go_from_the_command_line_to_the_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let statement = folder.path().join("declarations.json");
    std::fs::write(&statement, crate::report::statement(|_| ())).expect("writes");
    let (open, cell) = (folder.path().join("open"), folder.path().join("two-figures"));
    let path = statement.display().to_string();
    let made =
        desk().assemble(&desk().witnesses, &open, &["--level", "open", "--declared", "none", "--declarations", &path]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("level      open: "), "{}", made.stdout);
    let made = desk().assemble(&desk().witnesses, &cell, &["--level", "two-figures"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let page = |bundle: &Path, format: &str| {
        let mut command = desk().command(&["report", "--profile", "eu-ai-act-51-2", "--format", format]);
        run(command.arg(bundle).arg("--trust-roots").arg(&desk().roots))
    };
    let report = json(&page(&cell, "json"));
    assert_eq!((&report["level"], &report["declared"][0]["statement"]), (&"two-figures".into(), &"declared_in".into()));
    // Two nodes of 105 GFLOP and half a GFLOP each: the cell of 211 GFLOP.
    assert_eq!(report["declared"][0]["two_figures"], "2.1×10^11 to 2.2×10^11");
    let shown = page(&open, "html").stdout;
    for words in [
        "Totals of the readings",
        "“<bdi>Example Rep</bdi>”",
        "Forecast",
        "this run and declared work",
        "meter at the rack",
    ] {
        assert!(shown.contains(words), "{words}");
    }
    let clash = desk().assemble(&desk().witnesses, &cell, &["--level", "two-figures", "--declared", "le=demo"]);
    assert_eq!(clash.code, Some(2));
    let ambiguous = String::from_utf8(crate::report::statement(|_| ())).expect("UTF-8").replace("u_definition", "u");
    std::fs::write(&statement, ambiguous).expect("writes");
    let refused = desk().assemble(&desk().witnesses, &cell, &["--declared", "none", "--declarations", &path]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("declarations"), "{}", refused.stderr);
}
