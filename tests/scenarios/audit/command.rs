//! `weighbridge audit trial` as an operator types it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weighbridge_tests::parsers::parser;
use weighbridge_tests::{Ran, run, shared, skipped};

use super::edit::Step;
use crate::commands::desk;

fn trial(trace: &Path, more: &[&str]) -> Ran {
    run(desk().command(&["audit", "trial", "--trace"]).arg(trace).args(more))
}

fn object(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|why| panic!("{why}: {}{}", ran.stdout, ran.stderr))
}

fn write(folder: &Path, step: &Step) {
    let (graph, file) = step.bytes();
    fs::write(folder.join("graph.json"), graph).expect("writes");
    fs::write(folder.join("tensors.safetensors"), file).expect("writes");
}

#[test]
fn captured_steps_pass_a_trial_and_changed_ones_do_not() {
    let Some(shared) = shared() else { return skipped("audit trial: no shared folder (set WEIGHBRIDGE_SHARED)") };
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["gpt-bf16-a", "gpt-fp32-a", "gpt-bf16-long-k"] {
        let captured = shared.join("traces/captured").join(name);
        let ran = trial(&captured, &["--draws", "100", "--format", "json"]);
        let answer = object(&ran);
        assert_eq!((ran.code, &answer["verdict"]), (Some(0), &json!("accepted")), "{name}: {}", ran.stdout);
        assert_eq!((&answer["draws"], &answer["refused"], &answer["refusals"]), (&json!(100), &json!(0), &json!([])));
        assert_eq!(answer["covered_flop_share"], json!(1.0));
        assert!(answer["unlinked_share"].as_f64().is_some_and(|share| share > 0.3 && share < 0.7), "{name}: {answer}");

        let mut changed = Step::read(&captured);
        changed.copy("after.head.weight", "head.w");
        changed.tensor("block0.mlp.up.y").fill(0);
        write(folder.path(), &changed);
        let ran = trial(folder.path(), &["--draws", "200", "--format", "json"]);
        let answer = object(&ran);
        assert_eq!((ran.code, &answer["verdict"]), (Some(5), &json!("rejected")), "{name}: {}", ran.stdout);
        let first = &answer["refusals"][0];
        assert!(first["operation"].is_string() && first["reason"].is_string(), "{first}");
        let words = trial(folder.path(), &["--draws", "200"]);
        assert_eq!(words.code, Some(5));
        assert!(
            words.stdout.starts_with("rejected, in a rehearsal") && words.stdout.contains("\nrefused "),
            "{}",
            words.stdout
        );
    }
}

/// Draws that were passed over, in all.
fn passed_over(answer: &Value) -> u64 {
    let rows = |list: &str| answer[list].as_array().expect("a list").iter();
    let both = rows("not_covered").chain(rows("not_accepted"));
    both.map(|row| row["draws"].as_u64().expect("a number")).sum()
}

#[test]
fn drawn_tiles_are_proven_and_what_no_circuit_covers_is_said() {
    let Some(shared) = shared() else { return skipped("audit trial: no shared folder (set WEIGHBRIDGE_SHARED)") };
    let captured = |name: &str| shared.join("traces/captured").join(name);
    let proven = |name: &str, more: &[&str]| {
        let ran = trial(&captured(name), &[&["--draws", "40", "--format", "json"], more].concat());
        assert_eq!(ran.code, Some(0), "{name}: {}{}", ran.stdout, ran.stderr);
        object(&ran)
    };
    let answer = proven("gpt-bf16-a", &["--prove", "2"]);
    assert_eq!((&answer["proven"], &answer["proofs_checked"]), (&json!(2), &json!(2)), "{answer}");
    // Another format; less memory than a proof takes; not asked for.
    let answer = proven("gpt-fp32-a", &["--prove", "2"]);
    assert_eq!((&answer["proven"], passed_over(&answer)), (&json!(0), 40), "{answer}");
    let answer = proven("gpt-bf16-a", &["--prove", "2", "--memory", "1MiB"]);
    assert_eq!((&answer["proven"], passed_over(&answer)), (&json!(0), 40), "{answer}");
    assert!(answer["not_covered"].to_string().contains("--memory"), "{answer}");
    let answer = proven("gpt-bf16-a", &[]);
    assert_eq!((&answer["proven"], &answer["not_covered"]), (&Value::Null, &Value::Null));
    let words = trial(&captured("gpt-fp32-a"), &["--draws", "5", "--prove", "1"]);
    assert!(
        words.stdout.contains("0, 0 proofs checked") && words.stdout.contains("not covered by a proof"),
        "{}",
        words.stdout
    );
}

#[test]
fn the_same_seed_draws_the_same_and_a_checkpoint_is_compared() {
    let Some(shared) = shared() else { return skipped("audit trial: no shared folder (set WEIGHBRIDGE_SHARED)") };
    let captured = shared.join("traces/captured/gpt-fp32-a");
    let seed = "ab".repeat(32);
    let more = ["--draws", "20", "--format", "json", "--seed", &seed];
    let (one, two) = (trial(&captured, &more), trial(&captured, &more));
    assert_eq!((one.code, &one.stdout), (Some(0), &two.stdout));
    assert_eq!(object(&one)["randomness"], "given");
    let other = object(&trial(&captured, &["--draws", "20", "--format", "json"]));
    assert_eq!((&other["randomness"], &other["checkpoint_compared"]), (&json!("self-check"), &json!(false)));

    let folder = tempfile::tempdir().expect("a folder");
    let step = Step::read(&captured);
    for (prefix, code) in [("before.", 0), ("after.", 5)] {
        let path = folder.path().join("model.safetensors");
        fs::write(&path, step.checkpoint(|name| name.strip_prefix(prefix).map(str::to_owned))).expect("writes");
        let path = path.display().to_string();
        let ran = trial(&captured, &["--draws", "5", "--format", "json", "--checkpoint", &path]);
        assert_eq!(ran.code, Some(code), "{prefix}: {}", ran.stdout);
        assert_eq!(object(&ran)["reasons"].as_array().is_some_and(Vec::is_empty), code == 0);
    }
}

#[test]
fn what_is_no_trace_is_malformed_and_what_is_mistyped_is_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = trial(folder.path(), &[]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("writes");
    write("graph.json", &(parser("trace-graph").samples)()[0]);
    write("tensors.safetensors", b"no tensors");
    let ran = trial(folder.path(), &["--format", "json"]);
    assert_eq!((ran.code, &object(&ran)["reasons"][0]["code"]), (Some(3), &json!("trace-refused")), "{}", ran.stderr);
    write("tensors.safetensors", &(parser("trace-tensors").samples)()[0]);
    let zeros = trial(folder.path(), &["--format", "json", "--draws", "50"]);
    assert_eq!(zeros.code, Some(5), "the sample's numbers are no products of one another: {}", zeros.stdout);
    let mut graph: Value = serde_json::from_slice(&(parser("trace-graph").samples)()[0]).expect("JSON");
    graph["operations"][0]["op"] = json!("softmax");
    write("graph.json", graph.to_string().as_bytes());
    let unknown = trial(folder.path(), &[]);
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("this build knows no operation \"softmax\""), "{}", unknown.stderr);
    for line in [["--draws", "0"], ["--seed", "abc"], ["--format", "yaml"]] {
        assert_eq!(trial(folder.path(), &line).code, Some(2), "{line:?}");
    }
}
