//! Steps captured on the spot by the client from a plain PyTorch loop (tests/python/capture_traces.py), where torch is
//! installed: the whole way from the framework to verdicts, and what of it a forger changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use weighbridge_attest_types::{Digest32, PoseidonDigest};
use weighbridge_audit::boundary::{FaultKind, Schedule, Scheduled, against_schedule, constants, lineage};
use weighbridge_audit::dataset::{
    Batch, BatchUnit, DataError, DataSet, Order, RecordOpening, check_ordered, check_row,
};
use weighbridge_audit::trace::{AdamW, Kind, Matmul, Phase, Trace};
use weighbridge_audit::trial::{Plan, rehearse};
use weighbridge_tests::{run, skipped};

use super::edit::Step;
use super::{Multiplied, check_links};

/// An interpreter that has torch: the one of `WEIGHBRIDGE_TORCH_PYTHON`, else `python3`. `None`, said aloud, without.
fn python() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where its interpreter is")]
    let named = std::env::var_os("WEIGHBRIDGE_TORCH_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import torch"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skipped("captures of PyTorch steps: no interpreter with torch (set WEIGHBRIDGE_TORCH_PYTHON)");
    None
}

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn capture(folder: &Path, options: &[&str]) -> Option<[Step; 2]> {
    let mut command = Command::new(python()?);
    command.arg("-Wignore").arg(tree("tests/python/capture_traces.py")).arg("--out").arg(folder).args(options);
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    Some([2, 3].map(|step| Step::read(&folder.join(format!("step-{step:08}")))))
}

#[test]
fn the_clients_own_tests_pass() {
    let python = python().unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.args(["-Wignore", "-m", "unittest", "discover", "-s"]).arg(tree("python/tests"));
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn captured_trainings_hold_in_both_formats_and_with_both_optimizers() {
    for options in [["--dtype", "fp32", "--optimizer", "adamw"], ["--dtype", "bf16", "--optimizer", "sgd"]] {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(steps) = capture(folder.path(), &options) else { return };
        for step in &steps {
            let (graph, file) = step.bytes();
            let trace = Trace::parse(&graph, &file).expect("what the client writes");
            let (held, refused) = check_links(&trace);
            assert!(refused.is_empty(), "{options:?}: {held} hold, and not: {}", refused.join("\n"));
            let longest = trace.operations().iter().filter_map(|operation| match operation.kind {
                Kind::Matmul(Matmul { phase: Phase::Wgrad, k, .. }) => Some(k),
                _ => None,
            });
            assert_eq!(longest.max(), Some(4096));
            let plan = Plan { draws: 200, seed: [4; 32] };
            let outcome = rehearse(&trace, &plan, &Multiplied, &mut |_, _| {}).expect("draws");
            assert!(outcome.holds(), "{options:?}: {:?}", outcome.refusals);
            assert_eq!((outcome.coverage.unlinked, outcome.coverage.link_unlinked), (0, 0));
            assert!(outcome.coverage.declared > 0, "LayerNorm and attention are not covered, and that is said");
        }
    }
}

#[test]
fn steps_in_another_order_or_with_another_schedule_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some([second, third]) = capture(folder.path(), &["--tokens", "128"]) else { return };
    let ((graph, file), (next_graph, next_file)) = (second.bytes(), third.bytes());
    let (one, two) =
        (Trace::parse(&graph, &file).expect("a trace"), Trace::parse(&next_graph, &next_file).expect("a trace"));
    assert_eq!(lineage(&one, &two).expect("bytes in memory"), []);
    let swapped = lineage(&two, &one).expect("bytes in memory");
    assert_eq!(swapped[0].why, FaultKind::OtherStep { wanted: 4, found: 2 });
    assert!(swapped.iter().any(|fault| fault.why == FaultKind::OtherBytes));
    // Renumbered, the weights still tell.
    let mut renumbered = third.clone();
    renumbered.graph["unit"]["step"] = json!(2);
    let mut earlier = second.clone();
    earlier.graph["unit"]["step"] = json!(3);
    let ((graph, file), (next_graph, next_file)) = (renumbered.bytes(), earlier.bytes());
    let (first, next) =
        (Trace::parse(&graph, &file).expect("a trace"), Trace::parse(&next_graph, &next_file).expect("a trace"));
    let faults = lineage(&first, &next).expect("bytes in memory");
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault.why == FaultKind::OtherBytes));

    let adamw = |lr, step| Kind::AdamW(AdamW { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, step });
    let allowed: Vec<Kind> = constants(&one).into_iter().map(|(kind, _)| kind).collect();
    assert!(allowed.contains(&Kind::Clip { max_norm: 0.5 }), "{allowed:?}");
    // Parameters are those that have state and a tensor of their own.
    let parameter = |name: &str| !name.starts_with("optimizer/");
    let names: Vec<String> = one.tensors().iter().filter_map(|tensor| tensor.after.clone()).collect();
    let schedule = |numbers, is_first| {
        let names = names.iter().filter(|name| parameter(name));
        let updates = names.map(|name| (name.clone(), Scheduled { numbers, is_first })).collect();
        Schedule { updates, constants: allowed.clone() }
    };
    assert_eq!(against_schedule(&one, &schedule(adamw(0.003, 3), false)), []);
    for other in [adamw(0.0, 3), adamw(0.003, 4)] {
        let faults = against_schedule(&one, &schedule(other, false));
        assert!(!faults.is_empty() && faults.iter().all(|fault| matches!(fault.why, FaultKind::OtherNumbers { .. })));
    }
    let faults = against_schedule(&one, &schedule(adamw(0.003, 3), true));
    assert!(!faults.is_empty() && faults.iter().all(|fault| matches!(fault.why, FaultKind::State { .. })));
    let unclipped = Schedule { constants: Vec::new(), ..schedule(adamw(0.003, 3), false) };
    let faults = against_schedule(&one, &unclipped);
    assert!(!faults.is_empty() && faults.iter().all(|fault| matches!(fault.why, FaultKind::Constant(_))));
}

#[test]
fn what_a_forger_changes_in_a_trace_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some([step, _]) = capture(folder.path(), &["--tokens", "128", "--optimizer", "sgd"]) else { return };
    let said = |step: &Step| {
        let (graph, file) = step.bytes();
        check_links(&Trace::parse(&graph, &file).expect("still a trace")).1.join("\n")
    };
    assert_eq!(said(&step), "");
    // One number of one output of each kind of link.
    for op in ["view", "add", "relu", "relu-grad", "gather", "cross-entropy-grad", "column-sum", "clip", "sgd"] {
        let mut changed = step.clone();
        let operation = changed.first(op);
        let outputs = operation["out"].as_object().expect("outputs");
        let tensor = outputs.values().next().expect("an output")["tensor"].as_str().expect("a name").to_owned();
        let name = operation["name"].as_str().expect("a name").to_owned();
        changed.tensor(&tensor)[..4].copy_from_slice(&1234.5f32.to_le_bytes());
        assert!(said(&changed).contains(&format!("{name}: entry 0 of")), "{op}: {}", said(&changed));
    }
    // Momentum that is left out, and a learning rate that is not the one that was used.
    for (key, value) in [("momentum", "0.5"), ("lr", "0.0"), ("weight_decay", "0.1")] {
        let mut changed = step.clone();
        changed.first("sgd")["with"][key] = json!(value);
        assert!(said(&changed).contains("update."), "{key}");
    }
    // A product that reads another view of the same tensor has other operands, and its tiles say so.
    let mut turned = step.clone();
    let a = turned.first("matmul")["in"]["a"].clone();
    let shape = a["shape"].clone();
    turned.first("matmul")["in"]["a"] = json!({"tensor": a["tensor"], "offset": 0, "shape": shape, "strides": [0, 1]});
    let (graph, file) = turned.bytes();
    let trace = Trace::parse(&graph, &file).expect("still a trace");
    let outcome = rehearse(&trace, &Plan { draws: 400, seed: [5; 32] }, &Multiplied, &mut |_, _| {}).expect("draws");
    assert!(!outcome.holds());
}

/// The data set, the order, and one opened record of a step's micro-batch, as its trace read it.
struct Opened {
    set: DataSet,
    order: Order,
    batch: PoseidonDigest,
    opening: RecordOpening,
}

fn opened(folder: &Path, unit: BatchUnit, place: u64) -> Opened {
    let text = std::fs::read(folder.join("data.json")).expect("data.json");
    let data: Value = serde_json::from_slice(&text).expect("JSON");
    let record = |row: &Value| hex::decode(row.as_str().expect("a record")).expect("hex");
    let records: Vec<Vec<u8>> = data["records"].as_array().expect("records").iter().map(record).collect();
    let (set, leaves) = DataSet::commit(records.iter().map(Vec::as_slice)).expect("a data set");
    let seed: Digest32 = serde_json::from_value(data["seed"].clone()).expect("a seed");
    let size = data["batch"].as_u64().expect("a size");
    let order = Order::new(seed, set.records, size, (1, 2)).expect("an order");
    let at = |index: u64| usize::try_from(index).expect("small");
    let indices: Vec<u64> = (0..size).map(|place| order.record(unit, place).expect("in the order")).collect();
    let items: Vec<_> = indices.iter().map(|index| (*index, leaves[at(*index)])).collect();
    let batch = Batch::new(unit, [6; 28], &items).expect("a batch");
    let opening = batch.open(place, &leaves, records[at(indices[at(place)])].clone()).expect("an opening");
    Opened { set, order, batch: batch.digest().expect("a unit"), opening }
}

#[test]
fn the_drawn_input_is_the_record_that_the_order_has_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some([step, _]) = capture(folder.path(), &["--tokens", "128"]) else { return };
    let (graph, file) = step.bytes();
    let trace = Trace::parse(&graph, &file).expect("a trace");
    for micro_batch in 0..2u16 {
        let unit = BatchUnit { attempt: 0, step: 2, rank: 0, micro_batch };
        let names = [format!("{micro_batch}/tokens"), format!("{micro_batch}/targets")];
        let fields = [names[0].as_str(), names[1].as_str()];
        for place in 0..4 {
            let Opened { set, order, batch, opening } = opened(folder.path(), unit, place);
            assert_eq!(check_ordered((&set, &order), unit, batch, &opening), Ok(()));
            assert_eq!(check_row(&trace, (unit, &fields), &opening), Ok(()));
            // The batch of another step: it opens to its own unit, and the trace did not read it.
            let other = BatchUnit { step: 9, ..unit };
            let foreign = opened(folder.path(), other, place);
            assert!(check_ordered((&set, &order), unit, foreign.batch, &foreign.opening).is_err());
            assert_eq!(check_row(&trace, (unit, &fields), &foreign.opening), Err(DataError::NotInTrace { place }));
            assert_eq!(check_row(&trace, (other, &fields), &foreign.opening), Err(DataError::OtherUnit));
        }
    }
    // A trace that trained on something else than what was committed for its step.
    let mut poisoned = step.clone();
    let tokens =
        poisoned.graph["tensors"].as_array().expect("tensors").iter().find(|tensor| tensor["batch"] == "0/tokens");
    let name = tokens.expect("the batch")["name"].as_str().expect("a name").to_owned();
    poisoned.tensor(&name)[0] ^= 1;
    let (graph, file) = poisoned.bytes();
    let trace = Trace::parse(&graph, &file).expect("still a trace");
    let unit = BatchUnit { attempt: 0, step: 2, rank: 0, micro_batch: 0 };
    let Opened { opening, .. } = opened(folder.path(), unit, 0);
    assert_eq!(
        check_row(&trace, (unit, &["0/tokens", "0/targets"]), &opening),
        Err(DataError::NotInTrace { place: 0 })
    );
}
