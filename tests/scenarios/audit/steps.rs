//! The captured steps of real trainings (../shared/traces/captured), as they are and changed.

use serde_json::{Value, json};
use weighbridge_attest_types::Culprit;
use weighbridge_audit::boundary::{
    Checkpoint, FaultKind, Schedule, Scheduled, against_checkpoint, against_schedule, constants,
};
use weighbridge_audit::trace::{Kind, Origin, Sgd, Trace, TraceError, graph_json};
use weighbridge_audit::trial::{Plan, Tiles, rehearse};
use weighbridge_tests::parsers::parser;
use weighbridge_tests::{shared, skipped};

use super::edit::Step;
use super::{Multiplied, check_links};

const STEPS: [&str; 3] = ["gpt-bf16-a", "gpt-fp32-a", "gpt-bf16-long-k"];

/// A captured step; `None`, said aloud, where the shared folder is absent.
fn captured(name: &str) -> Option<Step> {
    let Some(shared) = shared() else {
        skipped(&format!("{name}: no shared folder (set WEIGHBRIDGE_SHARED)"));
        return None;
    };
    Some(Step::read(&shared.join("traces/captured").join(name)))
}

fn refused(step: &Step) -> TraceError {
    let (graph, file) = step.bytes();
    Trace::parse(&graph, &file).expect_err("a lie")
}

/// What links say of a changed step, in one text.
fn links_of(step: &Step) -> String {
    let (graph, file) = step.bytes();
    check_links(&Trace::parse(&graph, &file).expect("still a trace")).1.join("\n")
}

/// Whether a rehearsal of many draws refuses.
fn rehearsal_refuses(step: &Step) -> bool {
    let (graph, file) = step.bytes();
    let trace = Trace::parse(&graph, &file).expect("still a trace");
    let outcome = rehearse(&trace, &Plan { draws: 600, seed: [2; 32] }, &Multiplied, &mut |_, _| {}).expect("draws");
    !outcome.refusals.is_empty() && !outcome.holds()
}

#[test]
fn captured_steps_are_read_as_they_are_and_hold() {
    for name in STEPS {
        let Some(step) = captured(name) else { return };
        let (graph, file) = step.bytes();
        let trace = Trace::parse(&graph, &file).expect(name);
        assert_eq!(u128::from(step.graph["gemm_flop"].as_u64().expect("FLOP")), Tiles::of(&trace).flop().0, "{name}");
        let (held, refused) = check_links(&trace);
        assert!(refused.is_empty(), "{name}: {held} hold, and not: {}", refused.join("\n"));
        let outcome = rehearse(&trace, &Plan { draws: 200, seed: [1; 32] }, &Multiplied, &mut |_, _| {}).expect(name);
        assert!(outcome.holds(), "{name}: {:?}", outcome.refusals);
        assert!(outcome.opened.unlinked > 0 && outcome.opened.checked > 0, "{name}: {:?}", outcome.opened);
        // The same step in our own format is the same trace.
        let ours = graph_json(&graph, &file).expect(name);
        let again = Trace::parse(&ours, &file).expect(name);
        assert_eq!((trace.operations(), trace.tensors()), (again.operations(), again.tensors()), "{name}");
        assert_eq!(graph_json(&ours, &file).expect(name), ours, "{name}");
    }
}

#[test]
fn nothing_is_linked_that_the_model_does_not_imply() {
    let Some(step) = captured("gpt-fp32-a") else { return };
    let (graph, file) = step.bytes();
    let trace = Trace::parse(&graph, &file).expect("a trace");
    let unlinked: Vec<&str> = trace
        .tensors()
        .iter()
        .filter(|tensor| matches!(tensor.origin(), Some(Origin::Unlinked { .. })))
        .map(|tensor| tensor.name.as_str())
        .filter(|name| !name.starts_with("grad."))
        .collect();
    // Through LayerNorm, attention, residual sums and the loss, which were not captured.
    let wanted = [
        "block0.attn.out.dy",
        "block0.attn.out.x",
        "block0.attn.qkv.dy",
        "block0.attn.qkv.x",
        "block0.mlp.down.dy",
        "block0.mlp.up.x",
        "head.dy",
        "head.x",
    ];
    assert_eq!(unlinked, wanted);
}

#[test]
fn a_stale_weight_is_refused() {
    let Some(mut step) = captured("gpt-fp32-a") else { return };
    // The layer computed with the weight that the step was only to produce.
    step.copy("after.head.weight", "head.w");
    let said = links_of(&step);
    assert!(said.contains("derived: head.w: entry 0 of `out` has other bits"), "{said}");
    assert!(rehearsal_refuses(&step));
}

#[test]
fn another_steps_weights_are_refused() {
    let Some(step) = captured("gpt-bf16-a") else { return };
    let (graph, file) = step.bytes();
    let trace = Trace::parse(&graph, &file).expect("a trace");
    let under = |prefix: &'static str| move |name: &str| name.strip_prefix(prefix).map(str::to_owned);
    let faults = |checkpoint: Vec<u8>| {
        let checkpoint = Checkpoint::parse(&[&checkpoint]).expect("a checkpoint").faults(&trace);
        checkpoint.into_iter().map(|fault| (fault.tensor, fault.why)).collect::<Vec<_>>()
    };
    assert_eq!(faults(step.checkpoint(under("before."))), []);
    let other = faults(step.checkpoint(under("after.")));
    assert!(other.contains(&("head.weight".to_owned(), FaultKind::OtherBytes)), "{other:?}");
    let empty = faults(step.checkpoint(|name| (name == "batch.tokens").then(|| name.to_owned())));
    // What the trace names and the checkpoint has not, and the other way round.
    assert!(empty.iter().all(|(_, why)| *why == FaultKind::Missing) && empty.len() == 22, "{empty:?}");
    // A checkpoint with a weight that the trace is silent about.
    let more = faults(step.checkpoint(|name| {
        if name == "after.head.weight" { Some("forgotten".to_owned()) } else { under("before.")(name) }
    }));
    assert_eq!(more, [("forgotten".to_owned(), FaultKind::Missing)]);
}

trait Faults {
    fn faults(&self, trace: &Trace<'_>) -> Vec<weighbridge_audit::boundary::Fault>;
}

impl Faults for Checkpoint<'_> {
    fn faults(&self, trace: &Trace<'_>) -> Vec<weighbridge_audit::boundary::Fault> {
        against_checkpoint(trace, self).expect("bytes in memory")
    }
}

#[test]
fn an_update_that_was_not_made_is_refused() {
    let Some(mut step) = captured("gpt-fp32-a") else { return };
    step.copy("before.head.weight", "after.head.weight");
    let said = links_of(&step);
    assert!(said.contains("update.head.weight: entry 0 of `param` is"), "{said}");
    // Said openly, it is consistent: then the schedule that was committed to refuses it.
    step.operation("update.head.weight")["lr"] = json!(0.0);
    assert_eq!(links_of(&step), "");
    let (graph, file) = step.bytes();
    let trace = Trace::parse(&graph, &file).expect("a trace");
    let sgd = |lr| Kind::Sgd(Sgd { lr, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false });
    let names = trace.tensors().iter().filter_map(|tensor| tensor.after.clone());
    let updates = names.map(|name| (name, Scheduled { numbers: sgd(0.01), is_first: true })).collect();
    assert_eq!(constants(&trace), []);
    let faults = against_schedule(&trace, &Schedule { updates, constants: Vec::new() });
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(fault.tensor, "head.weight");
    assert_eq!(fault.why, FaultKind::OtherNumbers { wanted: sgd(0.01), found: sgd(0.0) });
    assert!(against_schedule(&trace, &Schedule::default()).iter().all(|fault| fault.why == FaultKind::Unscheduled));
}

#[test]
fn an_activation_that_is_not_relu_of_the_one_before_is_refused() {
    for (tensor, operation) in [
        ("block0.mlp.down.x", "derived: block0.mlp.down.x"),
        ("block0.mlp.up.dy", "derived: block0.mlp.up.dy"),
        ("grad.head.weight", "derived: grad.head.weight"),
    ] {
        let Some(mut step) = captured("gpt-bf16-a") else { return };
        step.tensor(tensor)[..2].copy_from_slice(&0x4049u16.to_le_bytes());
        let said = links_of(&step);
        assert!(said.contains(&format!("{operation}: entry 0 of `out`")), "{tensor}: {said}");
    }
}

#[test]
fn zeros_and_swapped_rows_in_products_are_refused() {
    let Some(mut step) = captured("gpt-fp32-a") else { return };
    step.tensor("block0.mlp.up.y").fill(0);
    step.tensor("block0.mlp.down.x").fill(0);
    assert!(rehearsal_refuses(&step), "zeros for a whole layer");
    let Some(mut step) = captured("gpt-bf16-a") else { return };
    let rows = step.tensor("head.dw");
    let (first, second) = rows.split_at_mut(128 * 2);
    first.swap_with_slice(&mut second[..128 * 2]);
    for row in rows.chunks_exact_mut(2 * 256).skip(1) {
        let (first, second) = row.split_at_mut(256);
        first.swap_with_slice(second);
    }
    assert!(rehearsal_refuses(&step), "rows of a gradient swapped");
}

#[test]
fn graph_and_tensors_of_two_steps_do_not_go_together() {
    let (Some(one), Some(other)) = (captured("gpt-bf16-a"), captured("gpt-fp32-a")) else { return };
    let ((graph, _), (_, file)) = (one.bytes(), other.bytes());
    let error = Trace::parse(&graph, &file).expect_err("of two steps");
    assert_eq!(error.culprit(), Culprit::Malformed, "{error}");
    // Same shapes, other bytes.
    let (graph, mut file) = one.bytes();
    *file.last_mut().expect("bytes") ^= 1;
    assert!(matches!(Trace::parse(&graph, &file), Err(TraceError::OtherTensors { .. })));
}

#[test]
fn lies_about_types_and_shapes_are_refused() {
    let Some(step) = captured("gpt-bf16-a") else { return };
    let mut longer = step.clone();
    longer.operation("head.forward")["k"] = json!(129);
    assert!(matches!(refused(&longer), TraceError::Field { why: "has another shape than m, k, n say", .. }));
    let mut shorter = step.clone();
    shorter.operation("head.forward")["m"] = json!(128);
    assert!(matches!(refused(&shorter), TraceError::Field { .. }), "a part of a tensor passed off as all of it");
    let mut turned = step.clone();
    turned.operation("head.forward")["b_t"] = json!(false);
    assert!(matches!(refused(&turned), TraceError::Field { .. }));
    let mut relabelled = step.clone();
    relabelled.described("head.x")["dtype"] = json!("F16");
    assert!(matches!(refused(&relabelled), TraceError::Misfit { .. }));
    let mut other = step.clone();
    other.graph["dtype"] = json!("fp32");
    assert!(matches!(refused(&other), TraceError::Misfit { .. }));
    let mut fewer = step.clone();
    fewer.operation("update.head.weight")["elements"] = json!(1);
    assert!(matches!(refused(&fewer), TraceError::Field { .. }));
    let mut cheap = step.clone();
    cheap.graph["gemm_flop"] = json!(654_311_425u64);
    assert!(matches!(refused(&cheap), TraceError::OtherFlop { found: 654_311_424, .. }));
    let mut unknown = step.clone();
    unknown.first("gemm")["op"] = json!("conv");
    assert!(matches!(refused(&unknown), TraceError::UnknownOperation { op, .. } if op == "conv"));
    let mut stray = step;
    stray.first("gemm")["lr"] = json!(0.1);
    assert!(matches!(refused(&stray), TraceError::Field { .. }));
}

#[test]
fn truncated_tensors_are_refused_everywhere() {
    let Some(step) = captured("gpt-fp32-a") else { return };
    let (graph, file) = step.bytes();
    for length in [0, 7, 8, 1000, file.len() / 2, file.len() - 1] {
        let error = Trace::parse(&graph, &file[..length].to_vec()).expect_err("cut");
        assert_eq!(error.culprit(), Culprit::Malformed, "{length}: {error}");
    }
}

/// The published schema and the parser know the same operations, and real graphs obey it.
#[test]
fn graphs_obey_the_published_schema() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schemas/trace-v1.schema.json")).expect("a schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let obeys = |graph: &Value| validator.iter_errors(graph).map(|error| error.to_string()).collect::<Vec<_>>();
    for sample in (parser("trace-graph").samples)() {
        let graph: Value = serde_json::from_slice(&sample).expect("JSON");
        assert_eq!(obeys(&graph), Vec::<String>::new());
        for (pointer, value) in [
            ("/operations/0/op", json!("softmax")),
            ("/operations/0/with/lr", json!("0.1")),
            ("/operations/0/with/m", json!("04")),
            ("/operations/0/in/q", json!({"tensor": "x"})),
            ("/tensors/0/dtypes", json!("F32")),
            ("/unit/step", json!(-1)),
        ] {
            let mut changed = graph.clone();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            changed.pointer_mut(parent).expect("a place")[key] = value;
            assert!(!obeys(&changed).is_empty(), "{pointer}");
        }
    }
    for name in STEPS {
        let Some(step) = captured(name) else { return };
        let (graph, file) = step.bytes();
        let ours = graph_json(&graph, &file).expect(name);
        assert_eq!(obeys(&serde_json::from_slice(&ours).expect("JSON")), Vec::<String>::new(), "{name}");
    }
}
