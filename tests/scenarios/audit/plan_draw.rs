//! `weighbridge audit plan` and `audit draw` as an operator types them: the order of events, and what a file can say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weighbridge_tests::parsers::parser;
use weighbridge_tests::{Ran, run, shared, skipped};

use crate::commands::desk;

const SCHEMA: &str = include_str!("../../../docs/schemas/audit-policy-v1.schema.json");

/// A folder with the sample trace (five products and what lies between them) and a policy.
struct Bench {
    folder: tempfile::TempDir,
    policy: Value,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("writes");
        write("graph.json", &(parser("trace-graph").samples)()[0]);
        write("tensors.safetensors", &(parser("trace-tensors").samples)()[0]);
        let stratum = |weight: &str, cap: &str, draws: u32| json!({"weight": weight, "cap": cap, "draws": draws, "risk_millionths": 25_000});
        let policy = json!({
            "format": "weighbridge/audit-policy/v1", "mode": "committed", "randomness": {"kind": "self-check"},
            "deadline_millis": 60_000, "risk_millionths": 50_000,
            "strata": [stratum("flop", "1000000000000", 40), stratum("link", "1000000", 10)],
        });
        Self { folder, policy }
    }

    fn policy_file(&self) -> PathBuf {
        let path = self.folder.path().join("policy.json");
        fs::write(&path, self.policy.to_string()).expect("writes");
        path
    }

    fn plan(&self, more: &[&str]) -> Ran {
        run(desk().command(&["audit", "plan", "--policy"]).arg(self.policy_file()).args(more))
    }

    fn draw(&self, trace: &Path, more: &[&str]) -> Ran {
        let (genesis, node) = ("11".repeat(32), "22".repeat(32));
        let mut command = desk().command(&["audit", "draw", "--genesis", &genesis, "--node", &node, "--trace"]);
        let command = command.arg(trace).arg("--policy").arg(self.policy_file());
        let window: &[&str] = if more.contains(&"--window") { &[] } else { &["--window", "0"] };
        run(command.args(window).args(["--format", "json"]).args(more))
    }
}

fn object(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|why| panic!("{why}: {}{}", ran.stdout, ran.stderr))
}

fn code(ran: &Ran) -> (Option<i32>, Value) {
    (ran.code, object(ran)["reasons"][0]["code"].clone())
}

#[test]
fn a_plan_tells_allowances_and_costs() {
    let bench = Bench::new();
    let trace = bench.folder.path().display().to_string();
    let ran = bench.plan(&["--trace", &trace, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let claims = &object(&ran)["claims"];
    let flop = &claims["strata"][0];
    // 10^12 · U / 40, U at 97.5 % in parts of a half, a sixth, a twelfth: 4.382027, 7.636655, 10.346131, rounded up.
    let most: Vec<&str> = (0..3).map(|at| flop["allowances"][at]["most_false"].as_str().expect("a string")).collect();
    for (found, thousandths) in most.iter().zip(["109550", "190916", "258653"]) {
        assert!(found.starts_with(thousandths) && found.len() == thousandths.len() + 6, "{most:?}");
    }
    assert_eq!((&claims["randomness"], &claims["is_a_sample"]), (&json!("self-check"), &json!(false)));
    assert!(flop["trace"]["tiles"].as_u64().is_some_and(|tiles| tiles >= 1), "{flop}");
    let words = bench.plan(&[]);
    assert_eq!(words.code, Some(0), "{}", words.stderr);
    for part in ["flop: at most 1000000000000 FLOP in a window, 40 draws", "0 failures", "what it draws is no sample"] {
        assert!(words.stdout.contains(part), "{part}: {}", words.stdout);
    }
    assert!(!words.stdout.contains("this trace"), "{}", words.stdout);
}

#[test]
fn a_self_check_draws_the_same_leaves_again_and_others_elsewhere() {
    let bench = Bench::new();
    let draw = |more: &[&str]| {
        let ran = bench.draw(bench.folder.path(), more);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        object(&ran)["claims"].clone()
    };
    let one = draw(&[]);
    assert_eq!(one, draw(&[]));
    assert_eq!(one["draws"].as_array().map(Vec::len), Some(50));
    assert_eq!((&one["is_a_sample"], &one["is_salted"]), (&json!(false), &json!(false)));
    // One operation of the sample is covered by no rule.
    assert_eq!(one["uncovered_operations"], 1);
    for leaf in one["draws"].as_array().expect("draws") {
        let amount: u64 = leaf["amount"].as_str().and_then(|text| text.parse().ok()).expect("an amount");
        assert!(amount > 0 && leaf["key"]["step"].is_u64(), "{leaf}");
    }
    let secret = bench.folder.path().join("secret");
    fs::write(&secret, [9; 32]).expect("writes");
    let secret = secret.display().to_string();
    let salted = draw(&["--secret", &secret]);
    let roots: BTreeSet<String> =
        [&one, &salted, &draw(&["--window", "1"]), &draw(&["--window", "1", "--secret", &secret])]
            .into_iter()
            .flat_map(|claims| [claims["window_root"].to_string(), claims["seed"].to_string()])
            .collect();
    assert_eq!(roots.len(), 8, "a root and a seed for each window and each salt");
    assert_eq!(salted["flop"], one["flop"]);
}

#[test]
fn a_challenge_is_the_policys_and_later_than_the_commitment() {
    let mut bench = Bench::new();
    let trace = bench.folder.path().to_owned();
    let value = "ab".repeat(32);
    let times = ["--quoted", "2026-03-01T12:00:00Z", "--witnessed", "2026-03-01T12:00:01Z"];
    let nonce = |issued: &str| {
        [&times[..], &["--nonce", &value, "--issued", issued]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let beacon = |round: &str| {
        [&times[..], &["--beacon-value", &value, "--round", round]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let draw =
        |bench: &Bench, more: &[String]| bench.draw(&trace, &more.iter().map(String::as_str).collect::<Vec<_>>());
    let refused = (Some(4), json!("audit-not-drawn"));
    // Under a self-check nobody may bring randomness of their own.
    assert_eq!(code(&draw(&bench, &nonce("2026-03-01T12:00:02Z"))), refused);

    bench.policy["randomness"] = json!({"kind": "verifier", "verifier": "0b".repeat(32)});
    let ran = draw(&bench, &nonce("2026-03-01T12:00:02Z"));
    assert_eq!((ran.code, &object(&ran)["claims"]["is_a_sample"]), (Some(0), &json!(true)), "{}", ran.stderr);
    assert_eq!(object(&ran)["claims"]["not_checked"][0], "that the nonce is the verifier's");
    // A nonce that was known before the root was witnessed, or that nobody gave.
    for more in [nonce("2026-03-01T12:00:01Z"), nonce("2026-03-01T11:59:59Z"), Vec::new(), beacon("100")] {
        assert_eq!(code(&draw(&bench, &more)), refused, "{more:?}");
    }
    // Round 1 at 12:00:00, one every 3 s, Δ = 10 s: the first at or after 12:00:10 is round 5.
    bench.policy["randomness"] = json!({
        "kind": "beacon", "chain": "0c".repeat(32), "genesis_millis": 1_772_366_400_000_u64, "period_millis": 3_000, "delta_millis": 10_000
    });
    assert_eq!(draw(&bench, &beacon("5")).code, Some(0));
    for round in ["4", "6", "0"] {
        assert_eq!(code(&draw(&bench, &beacon(round))), refused, "round {round}");
    }
    for line in [vec!["--nonce", &value], vec!["--beacon-value", &value], vec!["--round", "5"]] {
        assert_eq!(bench.draw(&trace, &line).code, Some(2), "{line:?}");
    }
}

#[test]
fn windows_have_caps_and_traces_are_in_them_once() {
    let mut bench = Bench::new();
    let trace = bench.folder.path().to_owned();
    let twice = bench.draw(&trace, &["--trace", &trace.display().to_string()]);
    assert_eq!(code(&twice), (Some(3), json!("audit-not-drawn")));
    let short = trace.join("short");
    fs::write(&short, [9; 31]).expect("writes");
    assert_eq!(
        code(&bench.draw(&trace, &["--secret", &short.display().to_string()])),
        (Some(2), json!("audit-not-drawn"))
    );
    bench.policy["strata"][0]["cap"] = json!("1");
    assert_eq!(code(&bench.draw(&trace, &[])), (Some(4), json!("audit-not-drawn")));
    for mode in ["replayed", "surprise"] {
        bench.policy["mode"] = json!(mode);
        let ran = bench.draw(&trace, &[]);
        assert!(matches!(ran.code, Some(2 | 3)), "{mode}: {}", ran.stdout);
    }
    bench.policy["mode"] = json!("sometimes");
    for ran in [bench.draw(&trace, &[]), bench.plan(&["--format", "json"])] {
        assert_eq!(code(&ran), (Some(3), json!("audit-policy-refused")));
    }
}

#[test]
fn captured_steps_are_planned_and_drawn() {
    let Some(shared) = shared() else { return skipped("audit draw: no shared folder (set WEIGHBRIDGE_SHARED)") };
    let mut bench = Bench::new();
    bench.policy["strata"][1]["cap"] = json!("1000000000");
    for name in ["gpt-bf16-a", "gpt-fp32-a", "gpt-bf16-long-k"] {
        let trace = shared.join("traces/captured").join(name);
        let plan = bench.plan(&["--trace", &trace.display().to_string(), "--format", "json"]);
        let planned = object(&plan)["claims"]["strata"].clone();
        let ran = bench.draw(&trace, &[]);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        let claims = &object(&ran)["claims"];
        assert_eq!(claims["flop"], planned[0]["trace"]["weight"], "{name}");
        assert_eq!(claims["links"].to_string(), planned[1]["trace"]["weight"].as_str().expect("a string"), "{name}");
        let keys: BTreeSet<String> =
            claims["draws"].as_array().expect("draws").iter().map(|leaf| leaf["key"].to_string()).collect();
        assert!(keys.len() > 45, "{name}: {} different leaves of 50 draws", keys.len());
    }
}

#[test]
fn policies_that_are_read_obey_the_published_schema() {
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).expect("JSON")).expect("a schema");
    for sample in (parser("audit-policy-file").samples)() {
        let value: Value = serde_json::from_slice(&sample).expect("JSON");
        assert!(validator.is_valid(&value), "{value}");
    }
    let mut unknown = Bench::new().policy;
    assert!(validator.is_valid(&unknown));
    unknown["randomness"]["verifier"] = json!("0b".repeat(32));
    assert!(!validator.is_valid(&unknown));
}
