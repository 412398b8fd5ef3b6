//! Traces as bytes: honest ones, and every lie that a parser can see.

use super::*;
use serde_json::{Value, json};
use weighbridge_attest_types::{Culprit, sha256};

/// A safetensors file of F32 tensors unless the name ends in `:i64`.
pub(crate) fn tensors(list: &[(&str, &[u64], Vec<u8>, &str)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, bytes, dtype) in list {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert((*name).to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// x [2,3] · wᵀ (w [2,3]) = y [2,2], h = relu(y).
pub(crate) fn small() -> (Value, Vec<u8>) {
    let file = tensors(&[
        ("x", &[2, 3], floats(&[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]), "F32"),
        ("w", &[2, 3], floats(&[1.0, 0.0, 1.0, -1.0, 1.0, -1.0]), "F32"),
        ("y", &[2, 2], floats(&[4.0, -2.0, -1.0, 1.5]), "F32"),
        ("h", &[2, 2], floats(&[4.0, 0.0, 0.0, 1.5]), "F32"),
    ]);
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": 3, "rank": 0},
        "tensors_sha256": sha256(&file),
        "tensors": [
            {"name": "x", "dtype": "F32", "shape": [2, 3], "batch": "x"},
            {"name": "w", "dtype": "F32", "shape": [2, 3], "before": "w", "after": "w"},
            {"name": "y", "dtype": "F32", "shape": [2, 2]},
            {"name": "h", "dtype": "F32", "shape": [2, 2]}
        ],
        "operations": [
            {"op": "matmul", "name": "l.forward",
             "in": {"a": {"tensor": "x"}, "b": {"tensor": "w", "shape": [3, 2], "strides": [1, 3]}},
             "out": {"c": {"tensor": "y"}},
             "with": {"phase": "forward", "m": "2", "n": "2", "k": "3", "format": "F32", "accumulator": "F32"}},
            {"op": "relu", "name": "act", "in": {"in": {"tensor": "y"}}, "out": {"out": {"tensor": "h"}}}
        ]
    });
    (graph, file)
}

fn refused(graph: &Value, file: &Vec<u8>) -> TraceError {
    Trace::parse(graph.to_string().as_bytes(), file).unwrap_err()
}

/// Changes the small trace at one place and returns the refusal.
fn changed(pointer: &str, value: Value) -> TraceError {
    let (mut graph, file) = small();
    *graph.pointer_mut(pointer).unwrap() = value;
    refused(&graph, &file)
}

#[test]
fn a_small_trace_is_read_and_written_again() {
    let (graph, file) = small();
    let bytes = graph.to_string();
    let trace = Trace::parse(bytes.as_bytes(), &file).unwrap();
    assert_eq!(trace.unit(), Unit { attempt: 0, step: 3, rank: 0 });
    assert_eq!(trace.operations()[0].flop(), Some(24));
    assert_eq!(trace.operations()[1].link_weight(), 4);
    let origins: Vec<_> = trace.tensors().iter().map(|tensor| tensor.origin().cloned()).collect();
    let wanted = [Origin::Batch("x".into()), Origin::Checkpoint("w".into()), Origin::Output, Origin::Output].map(Some);
    assert_eq!(origins, wanted);
    let written = graph_json(bytes.as_bytes(), &file).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), graph);
}

#[test]
fn graph_and_tensors_must_agree() {
    let differs = |error: TraceError| assert!(matches!(error, TraceError::TensorDiffers { .. }), "{error:?}");
    differs(changed("/tensors/0/dtype", json!("BF16")));
    differs(changed("/tensors/0/shape", json!([3, 2])));
    assert!(matches!(changed("/tensors/0/name", json!("z")), TraceError::NoTensor { tensor } if tensor == "z"));
    assert!(matches!(changed("/tensors/0/name", json!("w")), TraceError::TensorTwice { tensor } if tensor == "w"));
    assert!(matches!(changed("/tensors_sha256", json!("00".repeat(32))), TraceError::OtherTensors { .. }));
    let (mut graph, file) = small();
    graph["tensors"].as_array_mut().unwrap().pop();
    graph["operations"].as_array_mut().unwrap().pop();
    assert!(matches!(refused(&graph, &file), TraceError::UndescribedTensor { tensor } if tensor == "h"));
}

#[test]
fn truncated_tensors_are_malformed() {
    let (graph, file) = small();
    for length in [0, 7, 8, 40, file.len() - 1] {
        let error = refused(&graph, &file[..length].to_vec());
        assert_eq!(error.culprit(), Culprit::Malformed, "{length}: {error}");
    }
    let longer = [file, vec![0]].concat();
    assert!(matches!(refused(&graph, &longer), TraceError::Header(_)));
}

#[test]
fn an_unknown_operation_is_named() {
    let error = changed("/operations/1/op", json!("softmax"));
    assert_eq!(error.culprit(), Culprit::Unsupported);
    let said = "operation \"act\": this build knows no operation \"softmax\"; what is not covered is called opaque";
    assert_eq!(error.to_string(), said);
}

#[test]
fn nothing_stands_twice() {
    let (graph, file) = small();
    let text = graph.to_string();
    for (once, twice) in [
        (
            "\"format\":\"weighbridge/trace/v1\"",
            "\"format\":\"weighbridge/trace/v1\",\"format\":\"weighbridge/trace/v1\"",
        ),
        ("\"op\":\"relu\"", "\"op\":\"relu\",\"op\":\"relu\""),
        ("\"in\":{\"in\":{\"tensor\":\"y\"}}", "\"in\":{\"in\":{\"tensor\":\"y\"},\"in\":{\"tensor\":\"x\"}}"),
        ("\"k\":\"3\"", "\"k\":\"3\",\"k\":\"4\""),
        ("\"step\":3", "\"step\":3,\"extra\":3"),
    ] {
        let changed = text.replacen(once, twice, 1);
        assert_ne!(changed, text, "{once} stands in the sample");
        let error = Trace::parse(changed.as_bytes(), &file).unwrap_err();
        assert!(matches!(error, TraceError::Json(_)), "{twice}: {error}");
    }
}

#[test]
fn operations_have_what_they_need_and_nothing_else() {
    let missing = changed("/operations/0/with", json!({"phase": "forward"}));
    assert!(matches!(missing, TraceError::Field { field, why: "is missing", .. } if field == "m"));
    let (mut graph, file) = small();
    graph["operations"][1]["with"] = json!({"lr": "0.1"});
    let stray = refused(&graph, &file);
    assert!(matches!(stray, TraceError::Field { field, .. } if field == "lr"));
    for (number, field) in [("02", "m"), ("+2", "m"), ("", "m"), ("2.0", "m")] {
        let error = changed("/operations/0/with/m", json!(number));
        assert!(matches!(error, TraceError::Field { field: found, .. } if found == field), "{number}");
    }
    let misfit = |pointer: &str, value: Value| {
        let error = changed(pointer, value);
        assert!(matches!(error, TraceError::Misfit { .. }), "{pointer}: {error:?}");
    };
    misfit("/operations/0/with/k", json!("4"));
    misfit("/operations/0/with/m", json!("1"));
    misfit("/operations/0/with/format", json!("BF16"));
    misfit("/operations/0/in/b", json!({"tensor": "w"}));
    misfit("/operations/1/in/in", json!({"tensor": "y", "shape": [2]}));
    // A length that no operand has: k terms out of one element each.
    let (mut graph, file) = small();
    graph["operations"][0]["in"] = json!({"a": {"tensor": "x", "shape": [2, 1u64 << 40], "strides": [3, 0]},
        "b": {"tensor": "w", "shape": [1u64 << 40, 2], "strides": [0, 3]}});
    graph["operations"][0]["with"]["k"] = json!((1u64 << 40).to_string());
    let why = "along k, `a` or `b` takes one element again and again";
    assert!(matches!(refused(&graph, &file), TraceError::Misfit { why: found, .. } if found == why));
    let outside = changed("/operations/0/in/b", json!({"tensor": "w", "shape": [3, 2], "strides": [1, 4]}));
    assert!(matches!(outside, TraceError::View { source: ViewError::Outside { last: 6, elements: 6 }, .. }));
}

#[test]
fn operations_run_in_order_and_compute_each_tensor_once() {
    let (mut graph, file) = small();
    graph["operations"].as_array_mut().unwrap().reverse();
    assert!(matches!(refused(&graph, &file), TraceError::TooEarly { tensor, .. } if tensor == "y"));
    let twice = changed("/operations/1/out/out", json!({"tensor": "y"}));
    assert!(matches!(twice, TraceError::ComputedTwice { ref tensor, .. } if tensor == "y"), "{twice}");
    let itself = changed("/operations/1/in/in", json!({"tensor": "h"}));
    assert!(matches!(itself, TraceError::TooEarly { ref tensor, .. } if tensor == "h"), "{itself}");
    let (mut graph, file) = small();
    let again = graph["operations"][1].clone();
    graph["operations"].as_array_mut().unwrap().push(again);
    assert!(matches!(refused(&graph, &file), TraceError::ComputedTwice { tensor, .. } if tensor == "h"));
    let over = changed("/operations/1/out/out", json!({"tensor": "w", "shape": [2, 2]}));
    assert!(matches!(over, TraceError::Field { .. }));
    let (mut graph, file) = small();
    graph["tensors"][2]["before"] = json!("y");
    let part = refused(&graph, &file);
    assert!(matches!(part, TraceError::ComputedTwice { tensor, .. } if tensor == "y"));
}

#[test]
fn names_and_keys_are_bounded() {
    assert!(matches!(changed("/framework", json!("x".repeat(1025))), TraceError::TooMany { .. }));
    assert!(matches!(changed("/unit/step", json!(1u64 << 40)), TraceError::Key { .. }));
    assert!(matches!(changed("/unit/rank", json!(1u64 << 20)), TraceError::Key { .. }));
    assert!(matches!(changed("/format", json!("weighbridge/trace/v2")), TraceError::Format { .. }));
    let (mut graph, file) = small();
    graph["operations"][0]["micro_batch"] = json!(1);
    assert!(matches!(refused(&graph, &file), TraceError::MicroBatch { found: 0, last: 1, .. }));
    let long = vec![b' '; MAX_GRAPH_BYTES + 1];
    assert!(matches!(Trace::parse(&long, &file).unwrap_err(), TraceError::TooLarge { .. }));
}

/// A captured step that names what it does not have, in a product or in an update.
#[test]
fn a_captured_step_names_only_what_it_has() {
    let file = tensors(&[
        ("before.w", &[1, 1], floats(&[2.0]), "F32"),
        ("g", &[1, 1], floats(&[0.0]), "F32"),
        ("after.w", &[1, 1], floats(&[2.0]), "F32"),
        ("y", &[1, 1], floats(&[0.0]), "F32"),
    ]);
    let step = json!({
        "format": "captured-step/v1", "framework": "by hand", "dtype": "fp32", "seed": 0, "step": 1, "threads": 1,
        "loss": 0.0, "first_loss": 0.0, "gemm_flop": 2, "tensors_sha256": sha256(&file),
        "operations": [
            {"op": "gemm", "name": "l.forward", "a": "before.w", "a_t": false, "b": "g", "b_t": false, "c": "y",
                "m": 1, "k": 1, "n": 1},
            {"op": "sgd", "name": "update.w", "param": "before.w", "grad": "g", "out": "after.w", "lr": 0.1, "elements": 1}
        ]
    });
    assert!(Trace::parse(step.to_string().as_bytes(), &file).is_ok());
    for pointer in ["/operations/0/a", "/operations/0/c", "/operations/1/param"] {
        let mut changed = step.clone();
        *changed.pointer_mut(pointer).unwrap() = json!("nobody");
        let refused = refused(&changed, &file);
        assert!(matches!(&refused, TraceError::NoTensor { tensor } if tensor == "nobody"), "{pointer}: {refused}");
    }
}
