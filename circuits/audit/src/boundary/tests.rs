//! A step of one weight with momentum, honest in its graph, and what a forger leaves out of it or puts in. Numbers do not
//! matter here: links and tiles judge them.

use super::*;
use crate::trace::tests::{floats, tensors};
use crate::trace::{Sgd, Trace};
use serde_json::{Value, json};
use weighbridge_attest_types::sha256;

const VELOCITY: &str = "optimizer/w/momentum_buffer";

/// Tensors of the step, all [2, 2].
const TENSORS: [&str; 10] = ["x", "t", "w", "v", "y", "dy", "dw", "clipped", "w1", "v1"];

fn file() -> Vec<u8> {
    let list: Vec<_> = TENSORS.iter().map(|name| (*name, [2, 2])).collect();
    let list: Vec<_> =
        list.iter().map(|(name, shape)| (*name, shape.as_slice(), floats(&[0.5, 1.0, -1.0, 2.0]), "F32")).collect();
    tensors(&list)
}

/// w is a weight with its velocity: y = x·w, dy of the mean square error, dw = xᵀ·dy clipped, an SGD update.
fn graph() -> Value {
    let whole = |name: &str| json!({"tensor": name});
    let turned = |name: &str| json!({"tensor": name, "shape": [2, 2], "strides": [1, 2]});
    let product = |name: &str, a: Value, b: &str, c: &str, phase: &str| {
        json!({"op": "matmul", "name": name, "in": {"a": a, "b": whole(b)}, "out": {"c": whole(c)},
            "with": {"phase": phase, "m": "2", "n": "2", "k": "2", "format": "F32", "accumulator": "F32"}})
    };
    let mut tensors: Vec<Value> =
        TENSORS.iter().map(|name| json!({"name": name, "dtype": "F32", "shape": [2, 2]})).collect();
    for (place, role, name) in [
        (0, "batch", "x"),
        (1, "batch", "t"),
        (2, "before", "w"),
        (3, "before", VELOCITY),
        (8, "after", "w"),
        (9, "after", VELOCITY),
    ] {
        tensors[place][role] = json!(name);
    }
    json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": 7, "rank": 0},
        "tensors_sha256": sha256(&file()), "tensors": tensors,
        "operations": [
            product("l.forward", whole("x"), "w", "y", "forward"),
            {"op": "mse-grad", "name": "loss", "in": {"prediction": whole("y"), "target": whole("t")},
                "out": {"out": whole("dy")}, "with": {"reduction": "mean"}},
            product("l.wgrad", turned("x"), "dy", "dw", "wgrad"),
            {"op": "clip", "name": "clip", "in": {"0": whole("dw")}, "out": {"0": whole("clipped")},
                "with": {"max_norm": "0.5"}},
            {"op": "sgd", "name": "update.w",
                "in": {"param": whole("w"), "grad": whole("clipped"), "momentum": whole("v")},
                "out": {"param": whole("w1"), "momentum": whole("v1")}, "with": {"lr": "0.1", "momentum": "0.9"}}
        ]
    })
}

fn sgd(lr: f64) -> Kind {
    Kind::Sgd(Sgd { lr, momentum: 0.9, dampening: 0.0, weight_decay: 0.0, nesterov: false })
}

fn schedule(is_first: bool) -> Schedule {
    let updates = BTreeMap::from([("w".to_owned(), Scheduled { numbers: sgd(0.1), is_first })]);
    Schedule { updates, constants: vec![Kind::Clip { max_norm: 0.5 }] }
}

/// The faults of the changed step against its schedule.
fn scheduled(schedule: &Schedule, change: impl FnOnce(&mut Value)) -> Vec<FaultKind> {
    let (mut graph, file) = (graph(), file());
    change(&mut graph);
    let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
    against_schedule(&trace, schedule).into_iter().map(|fault| fault.why).collect()
}

fn silence(graph: &mut Value, place: usize, role: &str) {
    graph["tensors"][place].as_object_mut().unwrap().remove(role);
}

#[test]
fn an_honest_step_keeps_to_its_schedule() {
    assert_eq!(scheduled(&schedule(false), |_| {}), []);
    let first = |graph: &mut Value| {
        silence(graph, 3, "before");
        graph["operations"][4]["in"].as_object_mut().unwrap().remove("momentum");
    };
    assert_eq!(scheduled(&schedule(true), first), []);
}

#[test]
fn a_weight_that_is_called_a_batch_is_missing_everywhere() {
    let (honest, file) = (graph(), file());
    let checkpoint: Vec<u8> = tensors(&[
        ("w", &[2, 2], floats(&[0.5, 1.0, -1.0, 2.0]), "F32"),
        (VELOCITY, &[2, 2], floats(&[0.5, 1.0, -1.0, 2.0]), "F32"),
    ]);
    let checkpoint = Checkpoint::parse(&[&checkpoint]).unwrap();
    let missing = |tensor: &str| Fault { tensor: tensor.to_owned(), why: FaultKind::Missing };
    let faults = |graph: &Value| {
        let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
        against_checkpoint(&trace, &checkpoint).unwrap()
    };
    assert_eq!(faults(&honest), []);
    for role in [None, Some("batch")] {
        let mut silent = honest.clone();
        silence(&mut silent, 2, "before");
        silence(&mut silent, 8, "after");
        if let Some(role) = role {
            silent["tensors"][2][role] = json!("w");
        }
        assert_eq!(faults(&silent), [missing("w")]);
        let trace = Trace::parse(silent.to_string().as_bytes(), &file).unwrap();
        let faults = against_schedule(&trace, &schedule(false));
        assert!(faults.contains(&missing("w")), "{faults:?}");
    }
}

#[test]
fn two_silent_steps_are_no_lineage() {
    let (mut first, file) = (graph(), file());
    let lineage_of = |first: &Value, next: &Value| {
        let mut next = next.clone();
        next["unit"]["step"] = json!(8);
        let (first, next) = (first.to_string(), next.to_string());
        let parse = |graph: &str| Trace::parse(graph.as_bytes(), &file).unwrap();
        let faults = lineage(&parse(&first), &parse(&next)).unwrap();
        faults.into_iter().map(|fault| (fault.tensor, fault.why)).collect::<Vec<_>>()
    };
    assert_eq!(lineage_of(&first, &first), []);
    // Dropped on the way, by both.
    let mut dropped = first.clone();
    silence(&mut dropped, 8, "after");
    let mut next = first.clone();
    silence(&mut next, 2, "before");
    assert_eq!(lineage_of(&dropped, &next), [("w".to_owned(), FaultKind::Missing)]);
    for (place, role) in [(2, "before"), (3, "before"), (8, "after"), (9, "after")] {
        silence(&mut first, place, role);
    }
    assert_eq!(lineage_of(&first, &first), [(String::new(), FaultKind::Nothing)]);
}

#[test]
fn a_scheduled_update_is_made_kept_and_has_the_numbers() {
    let only = |why| vec![why];
    let other = FaultKind::OtherNumbers { wanted: sgd(0.1), found: sgd(0.0) };
    assert_eq!(scheduled(&schedule(false), |graph| graph["operations"][4]["with"]["lr"] = json!("0")), only(other));
    // after = before.
    let frozen = |graph: &mut Value| {
        silence(graph, 8, "after");
        graph["tensors"][2]["after"] = json!("w");
    };
    let faults = scheduled(&schedule(false), frozen);
    assert!(faults.contains(&FaultKind::NoUpdate), "{faults:?}");
    // State under the parameter's name.
    let swapped = |graph: &mut Value| {
        graph["tensors"][8]["after"] = json!(VELOCITY);
        graph["tensors"][9]["after"] = json!("w");
    };
    let faults = scheduled(&schedule(false), swapped);
    assert!(faults.contains(&FaultKind::NoUpdate), "{faults:?}");
    // State goes on under a name of its own, so that two parameters' could be exchanged.
    let renamed = |graph: &mut Value| {
        for (place, role) in [(3, "before"), (9, "after")] {
            graph["tensors"][place][role] = json!("optimizer/other/momentum_buffer");
        }
    };
    let lost = FaultKind::StateLost { role: "momentum" };
    assert_eq!(scheduled(&schedule(false), renamed), [lost, FaultKind::NoUpdate]);
    let faults = scheduled(&Schedule { updates: BTreeMap::new(), ..schedule(false) }, |_| {});
    assert_eq!(faults, vec![FaultKind::Unscheduled; 2]);
}

#[test]
fn momentum_is_not_thrown_away() {
    let without = |graph: &mut Value| {
        graph["operations"][4]["in"].as_object_mut().unwrap().remove("momentum");
    };
    let lacks = FaultKind::State { role: "momentum", is_first: false };
    let faults = scheduled(&schedule(false), without);
    assert!(faults.contains(&lacks), "{faults:?}");
    // The checkpoint has it, and the first update of the schedule does not read it.
    assert_eq!(scheduled(&schedule(true), without), [FaultKind::NoUpdate]);
    // Nobody names it.
    let nameless = |graph: &mut Value| {
        without(graph);
        silence(graph, 3, "before");
    };
    assert_eq!(scheduled(&schedule(false), nameless), [lacks]);
    let invented = FaultKind::State { role: "momentum", is_first: true };
    assert_eq!(scheduled(&schedule(true), |_| {}), [invented]);
    let lost = FaultKind::StateLost { role: "momentum" };
    assert_eq!(scheduled(&schedule(false), |graph| silence(graph, 9, "after")), [lost]);
}

/// A gradient of nothing, by operations that are covered one by one.
#[test]
fn a_gradient_that_comes_from_nothing_is_refused() {
    let made = |operation: Value| {
        move |graph: &mut Value| {
            let operations = graph["operations"].as_array_mut().unwrap();
            operations[3] = operation;
            operations[3]["name"] = json!("made");
            operations[3]["out"] = json!({"out": {"tensor": "clipped"}});
        }
    };
    let (dw, w) = (json!({"tensor": "dw"}), json!({"tensor": "w"}));
    let fill = json!({"op": "fill", "in": {}, "with": {"value": "0"}});
    let zero = json!({"op": "scale", "in": {"in": dw}, "with": {"by": "0"}});
    for (operation, kind) in [(fill, Kind::Fill { value: 0.0 }), (zero, Kind::Scale { by: Some(0.0) })] {
        let faults = scheduled(&schedule(false), made(operation));
        assert_eq!(faults, [FaultKind::NoGradient, FaultKind::Constant(kind)]);
    }
    // It reaches the product, and the constant is not the run's.
    let tiny = json!({"op": "scale", "in": {"in": dw}, "with": {"by": "1e-12"}});
    let scale = Kind::Scale { by: Some(1e-12) };
    assert_eq!(scheduled(&schedule(false), made(tiny)), [FaultKind::Constant(scale)]);
    let none = json!({"op": "add", "in": {"a": w, "b": dw}, "with": {"alpha": "0"}});
    let faults = scheduled(&schedule(false), made(none));
    assert_eq!(faults, [FaultKind::NoGradient, FaultKind::Constant(Kind::Add { alpha: 0.0 })]);
    let clip = |graph: &mut Value| graph["operations"][3]["with"]["max_norm"] = json!("1e-30");
    assert_eq!(scheduled(&schedule(false), clip), [FaultKind::Constant(Kind::Clip { max_norm: 1e-30 })]);
    // A column sum of constants, a copy of the weight, a tensor of the batch, an activation.
    for tensor in ["w", "x", "y"] {
        let copied = json!({"op": "view", "in": {"in": {"tensor": tensor}}});
        assert_eq!(scheduled(&schedule(false), made(copied)), [FaultKind::NoGradient], "{tensor}");
    }
    // From something that is not covered: counted as declared, and no fault of the boundary.
    let opaque = json!({"op": "opaque", "in": {"in": dw}});
    assert_eq!(scheduled(&schedule(false), made(opaque)), []);
    let trace = graph().to_string();
    let file = file();
    let trace = Trace::parse(trace.as_bytes(), &file).unwrap();
    assert_eq!(constants(&trace), [(Kind::Clip { max_norm: 0.5 }, 1)]);
}

/// AdamW without its moments: after the first update it is no trace, and the first update is the schedule's to name.
#[test]
fn moments_are_absent_at_the_first_update_alone() {
    let adamw = |step: u64, moments: bool| {
        let mut graph = graph();
        let whole = |name: &str| json!({"tensor": name});
        let mut inputs = json!({"param": whole("w"), "grad": whole("clipped")});
        if moments {
            inputs["exp_avg"] = whole("v");
            inputs["exp_avg_sq"] = whole("v");
        }
        silence(&mut graph, 3, "before");
        // The second moment is kept; the first stands where nothing else was left to compute.
        graph["tensors"][9]["after"] = json!("optimizer/w/exp_avg_sq");
        graph["operations"][4] = json!({"op": "adamw", "name": "update.w", "in": inputs,
            "out": {"param": whole("w1"), "exp_avg": whole("m1"), "exp_avg_sq": whole("v1")},
            "with": {"lr": "0.1", "beta1": "0.9", "beta2": "0.99", "eps": "1e-8", "weight_decay": "0",
                "step": step.to_string()}});
        graph["tensors"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "m1", "dtype": "F32", "shape": [2, 2], "after": "optimizer/w/exp_avg"}));
        graph
    };
    let numbers = [0.5, 1.0, -1.0, 2.0];
    let list: Vec<_> =
        TENSORS.iter().chain(&["m1"]).map(|name| (*name, [2u64, 2].to_vec(), floats(&numbers))).collect();
    let list: Vec<_> = list.iter().map(|(name, shape, data)| (*name, shape.as_slice(), data.clone(), "F32")).collect();
    let file = tensors(&list);
    let parsed = |step, moments, is_first| {
        let mut graph = adamw(step, moments);
        graph["tensors_sha256"] = json!(sha256(&file));
        let text = graph.to_string();
        let trace = Trace::parse(text.as_bytes(), &file)?;
        let numbers = trace.operations()[4].kind;
        let updates = BTreeMap::from([("w".to_owned(), Scheduled { numbers, is_first })]);
        let schedule = Schedule { updates, constants: vec![Kind::Clip { max_norm: 0.5 }] };
        Ok::<_, TraceError>(against_schedule(&trace, &schedule).into_iter().map(|fault| fault.why).collect::<Vec<_>>())
    };
    assert_eq!(parsed(1, false, true).unwrap(), []);
    assert!(matches!(parsed(2, false, true), Err(TraceError::Misfit { .. })));
    let lacks = |role| FaultKind::State { role, is_first: false };
    assert_eq!(parsed(1, false, false).unwrap(), [lacks("exp_avg"), lacks("exp_avg_sq")]);
}

#[test]
fn steps_follow_one_another_on_one_rank() {
    let file = file();
    let why = |change: fn(&mut Value)| {
        let (first, mut next) = (graph(), graph());
        next["unit"]["step"] = json!(8);
        change(&mut next);
        let (first, next) = (first.to_string(), next.to_string());
        let parse = |graph: &str| Trace::parse(graph.as_bytes(), &file).unwrap();
        lineage(&parse(&first), &parse(&next)).unwrap().into_iter().map(|fault| fault.why).collect::<Vec<_>>()
    };
    assert_eq!(why(|_| {}), []);
    assert_eq!(why(|next| next["unit"]["step"] = json!(6)), [FaultKind::OtherStep { wanted: 8, found: 6 }]);
    assert_eq!(why(|next| next["unit"]["rank"] = json!(1)), [FaultKind::OtherUnit]);
    assert_eq!(why(|next| next["unit"]["attempt"] = json!(1)), [FaultKind::OtherUnit]);
}
