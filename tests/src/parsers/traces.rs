//! **Duty.** The doors of a trace: its graph, its tensors, and the captured steps that are read as traces. What is accepted
//! is written and read again, counted, and rehearsed for a moment. **Knows** public functions alone.

use serde_json::{Value, json};
use weighbridge_attest_types::sha256;
use weighbridge_audit::link::Links;
use weighbridge_audit::trace::{Trace, graph_json};
use weighbridge_audit::trial::{Cut, Plan, TileCheck, TileVerdict, rehearse};

use crate::parsers::Seen;

/// Links of an accepted trace that are tried, each at its first and last entry.
const TRIED: usize = 64;

/// Looks at sizes: a tile's blocks have the bytes that their shapes ask for.
struct Sizes;

impl TileCheck for Sizes {
    fn check(&self, cut: &Cut) -> TileVerdict {
        for block in [&cut.a, &cut.b, &cut.c] {
            let elements = usize::try_from(block.rows * block.cols).expect("a small tile");
            assert!(elements > 0 && block.bytes.len() % elements == 0, "a block without its bytes");
        }
        TileVerdict::Accepted
    }
}

fn seen(graph: &[u8], tensors: &[u8]) -> Seen {
    let Ok(trace) = Trace::parse(graph, &tensors) else { return Seen::Refused };
    let written = graph_json(graph, &tensors).expect("it was parsed before");
    assert!(graph_json(&written, &tensors).expect("what was written parses") == written, "written anew, it differs");
    let again = Trace::parse(&written, &tensors).expect("what was written parses");
    assert_eq!((again.operations(), again.tensors()), (trace.operations(), trace.tensors()));
    let mut links = Links::new(&trace);
    for (place, operation) in trace.operations().iter().enumerate().take(TRIED) {
        for (output, (_, operand)) in operation.outputs().enumerate() {
            for entry in [0, operand.view.elements() - 1] {
                links.check(place, output, entry).expect("an entry of the trace, in memory");
            }
        }
    }
    let _outcome = rehearse(&trace, &Plan { draws: 2, seed: [0; 32] }, &Sizes, &mut |_, _| ());
    Seen::Accepted
}

pub(super) fn graph(bytes: &[u8]) -> Seen {
    seen(bytes, &tensors())
}

pub(super) fn captured(bytes: &[u8]) -> Seen {
    seen(bytes, &captured_tensors())
}

/// The digest is made right, so that damage gets behind it.
pub(super) fn file(bytes: &[u8]) -> Seen {
    let mut graph: Value = serde_json::from_slice(&honest_graph()).expect("JSON");
    graph["tensors_sha256"] = json!(sha256(bytes));
    seen(graph.to_string().as_bytes(), bytes)
}

pub(super) fn graphs() -> Vec<Vec<u8>> {
    vec![honest_graph()]
}

pub(super) fn files() -> Vec<Vec<u8>> {
    vec![tensors()]
}

pub(super) fn captured_graphs() -> Vec<Vec<u8>> {
    let product = |name: &str, a: &str, a_t: bool, b: &str, b_t: bool, c: &str, mkn: [u64; 3]| json!({"op": "gemm", "name": name, "a": a, "a_t": a_t, "b": b, "b_t": b_t, "c": c, "m": mkn[0], "k": mkn[1], "n": mkn[2]});
    let graph = json!({
        "format": "captured-step/v1", "framework": "by hand", "dtype": "fp32", "seed": 1, "step": 7, "threads": 1,
        "loss": 1.5, "first_loss": 2.5, "gemm_flop": 72, "tensors_sha256": sha256(&captured_tensors()),
        "operations": [
            product("head.forward", "head.x", false, "head.w", true, "head.y", [2, 2, 3]),
            product("head.dgrad", "head.dy", false, "head.w", false, "head.dx", [2, 3, 2]),
            product("head.wgrad", "head.dy", true, "head.x", false, "head.dw", [3, 2, 2]),
            {"op": "sgd", "name": "update.head.weight", "param": "before.head.weight", "grad": "grad.head.weight",
             "out": "after.head.weight", "lr": 0.01, "elements": 6}
        ]
    });
    vec![graph.to_string().into_bytes()]
}

fn safetensors(rows: &[(&str, &[u64], &str)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, dtype) in rows {
        let size = if *dtype == "I64" { 8 } else { 4 };
        let from = data.len();
        for at in 0..shape.iter().product::<u64>() {
            let small = u16::try_from(at % 3).expect("small");
            match *dtype {
                "I64" => data.extend(i64::from(small).to_le_bytes()),
                _ => data.extend((f32::from(small) * 0.5 - 0.25).to_le_bytes()),
            }
        }
        assert_eq!((data.len() - from) % size, 0);
        header.insert((*name).to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [from, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn tensors() -> Vec<u8> {
    let rows: [(&str, &[u64], &str); 22] = [
        ("x", &[4, 3], "F32"),
        ("w", &[5, 3], "F32"),
        ("bias", &[5], "F32"),
        ("y", &[4, 5], "F32"),
        ("h", &[4, 5], "F32"),
        ("gh", &[4, 5], "F32"),
        ("targets", &[4], "I64"),
        ("index", &[2], "I64"),
        ("gy", &[4, 5], "F32"),
        ("gw", &[5, 3], "F32"),
        ("gb", &[5], "F32"),
        ("clipped", &[5, 3], "F32"),
        ("m", &[5, 3], "F32"),
        ("v", &[5, 3], "F32"),
        ("w2", &[5, 3], "F32"),
        ("bias2", &[5], "F32"),
        ("rows", &[2, 3], "F32"),
        ("both", &[6, 3], "F32"),
        ("flat", &[3, 4], "F32"),
        ("half", &[4, 3], "F32"),
        ("sum", &[4, 3], "F32"),
        ("other", &[4, 5], "F32"),
    ];
    safetensors(&rows)
}

fn captured_tensors() -> Vec<u8> {
    safetensors(&[
        ("head.x", &[2, 2], "F32"),
        ("head.w", &[3, 2], "F32"),
        ("head.y", &[2, 3], "F32"),
        ("head.dy", &[2, 3], "F32"),
        ("head.dx", &[2, 2], "F32"),
        ("head.dw", &[3, 2], "F32"),
        ("before.head.weight", &[3, 2], "F32"),
        ("grad.head.weight", &[3, 2], "F32"),
        ("after.head.weight", &[3, 2], "F32"),
    ])
}

/// One operation of almost every kind.
fn honest_graph() -> Vec<u8> {
    let file = tensors();
    let whole = |name: &str| json!({"tensor": name});
    let described = |name: &str, shape: &[u64]| {
        let dtype = if ["targets", "index"].contains(&name) { "I64" } else { "F32" };
        let mut row = json!({"name": name, "dtype": dtype, "shape": shape});
        match name {
            "w" | "bias" => row["before"] = json!(name),
            "w2" | "bias2" => row["after"] = json!(name.trim_end_matches('2')),
            "x" | "targets" | "index" => row["batch"] = json!(name),
            _ => {}
        }
        row
    };
    let length = usize::try_from(u64::from_le_bytes(*file.first_chunk().expect("a prefix"))).expect("small");
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&file[8..8 + length]).expect("a header");
    let shape =
        |row: &Value| row["shape"].as_array().expect("a shape").iter().filter_map(Value::as_u64).collect::<Vec<_>>();
    let listed: Vec<Value> = header.iter().map(|(name, row)| described(name, &shape(row))).collect();
    let one = |op: &str, inputs: Value, out: &str, with: Value| json!({"op": op, "name": op, "in": inputs, "out": {"out": whole(out)}, "with": with});
    let numbers = json!({"phase": "forward", "m": "4", "n": "5", "k": "3", "format": "F32", "accumulator": "F32"});
    let turned = json!({"phase": "wgrad", "m": "5", "n": "3", "k": "4", "format": "F32", "accumulator": "F32"});
    let adamw =
        json!({"lr": "0.001", "beta1": "0.9", "beta2": "0.999", "eps": "1e-08", "weight_decay": "0.01", "step": "1"});
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 1, "step": 2, "rank": 3},
        "tensors_sha256": sha256(&file), "tensors": listed,
        "operations": [
            {"op": "matmul", "name": "forward", "in": {"a": whole("x"), "bias": whole("bias"),
                "b": {"tensor": "w", "shape": [3, 5], "strides": [1, 3]}}, "out": {"c": whole("y")}, "with": numbers},
            one("relu", json!({"in": whole("y")}), "h", json!({})),
            one("cross-entropy-grad", json!({"logits": whole("h"), "targets": whole("targets")}), "gh", json!({"reduction": "mean"})),
            one("relu-grad", json!({"x": whole("y"), "grad": whole("gh")}), "gy", json!({})),
            {"op": "matmul", "name": "wgrad", "in": {"a": {"tensor": "gy", "shape": [5, 4], "strides": [1, 5]}, "b": whole("x")},
                "out": {"c": whole("gw")}, "with": turned},
            one("column-sum", json!({"in": whole("gy")}), "gb", json!({})),
            {"op": "clip", "name": "clip", "in": {"0": whole("gw")}, "out": {"0": whole("clipped")}, "with": {"max_norm": "1.0"}},
            one("gather", json!({"table": whole("w"), "index": whole("index")}), "rows", json!({})),
            one("concat", json!({"0": whole("rows"), "1": whole("x")}), "both", json!({"dim": "0"})),
            one("view", json!({"in": {"tensor": "x", "shape": [3, 4], "strides": [1, 3]}}), "flat", json!({})),
            one("scale", json!({"in": whole("x")}), "half", json!({"by": "0.5"})),
            one("add", json!({"a": whole("x"), "b": {"tensor": "w", "offset": 3, "shape": [4, 3], "strides": [0, 1]}}), "sum", json!({})),
            {"op": "opaque", "name": "other", "micro_batch": 1, "in": {"q": whole("y")}, "out": {"r": whole("other")}, "with": {"flop": "7"}},
            {"op": "adamw", "name": "update.w", "micro_batch": 1, "in": {"param": whole("w"), "grad": whole("clipped")},
                "out": {"param": whole("w2"), "exp_avg": whole("m"), "exp_avg_sq": whole("v")}, "with": adamw},
            {"op": "sgd", "name": "update.bias", "micro_batch": 1, "in": {"param": whole("bias"), "grad": whole("gb")},
                "out": {"param": whole("bias2")}, "with": {"lr": "0.1"}}
        ]
    });
    graph.to_string().into_bytes()
}
