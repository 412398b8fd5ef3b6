//! Tiles and strips against a plain definition, and a rehearsal with a check that only looks.

use super::*;
use crate::trace::tests::{floats, small, tensors};
use serde_json::{Value, json};
use weighbridge_attest_types::sha256;

/// Multiplies in f64 and allows a rounding of F32.
struct Plain;

fn numbers(block: &Block) -> Vec<f64> {
    block.bytes.chunks(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect()
}

impl TileCheck for Plain {
    fn check(&self, cut: &Cut) -> TileVerdict {
        let (a, b, c) = (numbers(&cut.a), numbers(&cut.b), numbers(&cut.c));
        let k = usize::try_from(cut.a.cols).unwrap();
        let cols = usize::try_from(cut.c.cols).unwrap();
        for (at, found) in c.iter().enumerate() {
            let (left, right) = (&a[at / cols * k..][..k], &b[at % cols * k..][..k]);
            let wanted: f64 = left.iter().zip(right).map(|(a, b)| a * b).sum();
            if (wanted - found).abs() > 1e-5 * (1.0 + wanted.abs()) {
                return TileVerdict::Refused(format!("entry {at} is {found}, not {wanted}"));
            }
        }
        TileVerdict::Accepted
    }
}

fn rehearsed(graph: &Value, file: &Vec<u8>, draws: u64) -> Outcome {
    let trace = Trace::parse(graph.to_string().as_bytes(), file).unwrap();
    rehearse(&trace, &Plan { draws, seed: [3; 32] }, &Plain, &mut |_, _| {}).unwrap()
}

/// Two products [2, 19, 5] · [2, 5, 33] with a bias, A read through a transposed view.
fn batched() -> (Value, Vec<u8>) {
    let value = |at: usize| ((at * 37 + 11) % 23) as f32 * 0.25 - 2.0;
    let (a, b): (Vec<f32>, Vec<f32>) =
        ((0..2 * 5 * 19).map(value).collect(), (0..2 * 5 * 33).map(|at| value(at + 7)).collect());
    let bias: Vec<f32> = (0..33).map(|at| value(at + 3)).collect();
    let mut c = Vec::new();
    for product in 0..2 {
        for row in 0..19 {
            for col in 0..33 {
                let terms = (0..5).map(|k| a[product * 95 + k * 19 + row] * b[product * 165 + k * 33 + col]);
                c.push(terms.sum::<f32>() + bias[col]);
            }
        }
    }
    let file = tensors(&[
        ("a", &[2, 5, 19], floats(&a), "F32"),
        ("b", &[2, 5, 33], floats(&b), "F32"),
        ("bias", &[33], floats(&bias), "F32"),
        ("c", &[2, 19, 33], floats(&c), "F32"),
    ]);
    let tensor = |name: &str, shape: Value| json!({"name": name, "dtype": "F32", "shape": shape});
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 1, "step": 2, "rank": 3},
        "tensors_sha256": sha256(&file),
        "tensors": [tensor("a", json!([2, 5, 19])), tensor("b", json!([2, 5, 33])), tensor("bias", json!([33])),
            tensor("c", json!([2, 19, 33]))],
        "operations": [{
            "op": "matmul", "name": "p", "micro_batch": 4,
            "in": {"a": {"tensor": "a", "shape": [2, 19, 5], "strides": [95, 1, 19]}, "b": {"tensor": "b"},
                "bias": {"tensor": "bias"}},
            "out": {"c": {"tensor": "c"}},
            "with": {"phase": "other", "m": "19", "n": "33", "k": "5", "format": "F32", "accumulator": "F32"}
        }]
    });
    (graph, file)
}

#[test]
fn tiles_cover_the_flop_once_and_ascend() {
    let (graph, file) = batched();
    let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
    let tiles = Tiles::of(&trace);
    let all: Vec<(Tile, Flops)> = tiles.iter().collect();
    assert_eq!(all.len(), 2 * 2 * 3);
    assert_eq!(all.iter().map(|(_, flop)| flop.0).sum::<u128>(), 2 * 2 * 19 * 33 * 5);
    assert!(all.array_windows().all(|[(left, _), (right, _)]| left.key < right.key));
    assert_eq!((all[11].0.rows, all[11].0.cols, all[11].0.to_string()), (3, 1, "1:1,2".to_owned()));
    let mut flop = 0;
    for (tile, weight) in &all {
        for at in [flop, flop + u64::try_from(weight.0).unwrap() - 1] {
            assert_eq!(tiles.at(at), Some(*tile), "FLOP {at}");
        }
        flop += u64::try_from(weight.0).unwrap();
    }
    assert_eq!(tiles.at(flop), None);
}

#[test]
fn strips_of_every_tile_multiply_to_its_entries() {
    let (graph, file) = batched();
    let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
    for (tile, _) in Tiles::of(&trace).iter() {
        let cut = Cut::of(&trace, &tile).unwrap();
        assert_eq!((cut.a.rows, cut.a.cols, cut.b.rows, cut.b.cols), (tile.rows, 6, tile.cols, 6));
        assert_eq!(Plain.check(&cut), TileVerdict::Accepted, "{tile}");
        assert_eq!(cut.tensors.len(), 4);
    }
}

#[test]
fn an_honest_trace_is_accepted_and_a_changed_one_is_not() {
    let (graph, file) = small();
    let outcome = rehearsed(&graph, &file, 20);
    assert!(outcome.holds(), "{outcome:?}");
    assert_eq!((outcome.tiles.accepted, outcome.links.accepted), (20, 20));
    assert_eq!(outcome.opened, Opened { boundary: 20 * 16, ..Opened::default() });
    assert_eq!(outcome.coverage.covered_flop_millionths(), Some(1_000_000));
    assert_eq!(outcome.coverage.unlinked_millionths(), 0);

    for (at, code) in [(file.len() - 32, "tile"), (file.len() - 16, "link")] {
        let mut changed = file.clone();
        changed[at..at + 4].copy_from_slice(&4.25f32.to_le_bytes());
        let mut graph = graph.clone();
        graph["tensors_sha256"] = json!(sha256(&changed));
        let outcome = rehearsed(&graph, &changed, 20);
        assert!(!outcome.holds());
        assert_eq!(outcome.refusals.iter().any(|refused| refused.tile.is_some()), code == "tile", "{outcome:?}");
    }
}

#[test]
fn operands_from_nowhere_and_unstated_flop_are_counted() {
    let (mut graph, file) = small();
    graph["tensors"][0].as_object_mut().unwrap().remove("batch");
    graph["operations"][1] =
        json!({"op": "opaque", "name": "act", "in": {"x": {"tensor": "y"}}, "out": {"y": {"tensor": "h"}}});
    let outcome = rehearsed(&graph, &file, 5);
    assert_eq!(outcome.coverage.unlinked_millionths(), 500_000);
    assert_eq!(outcome.coverage.covered_flop_millionths(), None, "what is not stated is not 0");
    assert_eq!((outcome.links.draws, outcome.coverage.covered_link_millionths()), (0, 0));
    graph["operations"][1]["with"] = json!({"flop": "24"});
    assert_eq!(rehearsed(&graph, &file, 1).coverage.covered_flop_millionths(), Some(500_000));
    // Nobody looks into it, and 0 is the easiest thing to say.
    graph["operations"][1]["with"] = json!({"flop": "0"});
    let outcome = rehearsed(&graph, &file, 1);
    assert_eq!((outcome.coverage.covered_flop_millionths(), outcome.coverage.unstated), (None, 1));
    graph["operations"].as_array_mut().unwrap().remove(0);
    let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
    let refused = rehearse(&trace, &Plan { draws: 1, seed: [0; 32] }, &Plain, &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, TrialError::NoProduct));
}

#[test]
fn a_fused_bias_is_opened_like_the_strips() {
    let (mut graph, file) = batched();
    assert!(rehearsed(&graph, &file, 10).holds());
    // The products are right for the bias that is there, and it is not the one that the trace says was made.
    let fill =
        json!({"op": "fill", "name": "made", "in": {}, "out": {"out": {"tensor": "bias"}}, "with": {"value": "7"}});
    graph["operations"].as_array_mut().unwrap().insert(0, fill);
    let outcome = rehearsed(&graph, &file, 10);
    assert_eq!((outcome.tiles.refused, outcome.holds()), (10, false));
    assert!(outcome.refusals[0].reason.starts_with("its operand: made: entry "), "{:?}", outcome.refusals[0]);
}

/// A link in between makes nothing of what comes from nowhere, from an uncovered operation, or from floats of a batch.
#[test]
fn origins_are_followed_through_links() {
    let (honest, _) = small();
    let file = tensors(&[
        ("x", &[2, 3], floats(&[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]), "F32"),
        ("w", &[2, 3], floats(&[1.0, 0.0, 1.0, -1.0, 1.0, -1.0]), "F32"),
        ("y", &[2, 2], floats(&[4.0, -2.0, -1.0, 1.5]), "F32"),
        ("h", &[2, 2], floats(&[4.0, 0.0, 0.0, 1.5]), "F32"),
        ("copy", &[2, 3], floats(&[1.0, 0.0, 1.0, -1.0, 1.0, -1.0]), "F32"),
        ("again", &[2, 3], floats(&[1.0, 0.0, 1.0, -1.0, 1.0, -1.0]), "F32"),
    ]);
    let mut graph = honest;
    graph["tensors_sha256"] = json!(sha256(&file));
    for name in ["copy", "again"] {
        graph["tensors"].as_array_mut().unwrap().push(json!({"name": name, "dtype": "F32", "shape": [2, 3]}));
    }
    let view = |from: &str, to: &str| json!({"op": "view", "name": to, "in": {"in": {"tensor": from}}, "out": {"out": {"tensor": to}}});
    let operations = graph["operations"].as_array_mut().unwrap();
    operations[0]["in"]["b"]["tensor"] = json!("again");
    operations.insert(0, view("copy", "again"));
    operations.insert(0, view("w", "copy"));
    let shares = |graph: &Value| {
        let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
        let found = coverage(&trace);
        (found.unlinked_millionths(), found.declared_millionths(), found.batch_millionths())
    };
    assert_eq!(shares(&graph), (0, 0, 500_000), "x is a batch, w is the checkpoint's");
    let mut nowhere = graph.clone();
    nowhere["tensors"][1].as_object_mut().unwrap().remove("before");
    nowhere["tensors"][1].as_object_mut().unwrap().remove("after");
    assert_eq!(shares(&nowhere), (500_000, 0, 500_000));
    let mut batch = nowhere;
    batch["tensors"][1]["batch"] = json!("w");
    assert_eq!(shares(&batch), (0, 0, 1_000_000));
    let mut declared = graph;
    declared["operations"][0]["op"] = json!("opaque");
    assert_eq!(shares(&declared), (0, 500_000, 500_000));
    let trace = Trace::parse(declared.to_string().as_bytes(), &file).unwrap();
    let found = coverage(&trace);
    assert_eq!((found.link_declared, found.link_operands, found.link_unlinked), (6, 10, 0));
}

/// Counts what is asked of it.
#[derive(Debug)]
struct Counting {
    bytes: Vec<u8>,
    reads: std::sync::atomic::AtomicUsize,
}

impl crate::trace::TensorSource for Counting {
    fn length(&self) -> u64 {
        self.bytes.length()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.bytes.read(offset, into)
    }
}

/// The longest product whose strips have no two elements beside one another: few questions, whatever the view.
#[test]
fn a_strip_is_read_in_few_pieces_and_a_longer_one_not_at_all() {
    let k = MAX_TERMS;
    let rehearsed = |k: u64| {
        // A and B share one tensor in which every second element is taken, last row first in memory.
        let length = 2 * 16 * k;
        let width = usize::try_from(length).unwrap();
        let zeros = |elements: usize| vec![0u8; 4 * elements];
        let bytes = tensors(&[("a", &[length], zeros(width), "F32"), ("c", &[16, 16], zeros(256), "F32")]);
        let graph = json!({
            "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": 0, "rank": 0},
            "tensors_sha256": sha256(&bytes),
            "tensors": [{"name": "a", "dtype": "F32", "shape": [length], "batch": "a"},
                {"name": "c", "dtype": "F32", "shape": [16, 16]}],
            "operations": [{
                "op": "matmul", "name": "p",
                "in": {"a": {"tensor": "a", "shape": [16, k], "strides": [2, 32]},
                    "b": {"tensor": "a", "shape": [k, 16], "strides": [2, 2 * k]}},
                "out": {"c": {"tensor": "c"}},
                "with": {"phase": "other", "m": "16", "n": "16", "k": k.to_string(), "format": "F32",
                    "accumulator": "F32"}
            }]
        });
        let source = Counting { bytes, reads: std::sync::atomic::AtomicUsize::new(0) };
        let trace = Trace::parse(graph.to_string().as_bytes(), &source).unwrap();
        let before = source.reads.load(std::sync::atomic::Ordering::Relaxed);
        let outcome = rehearse(&trace, &Plan { draws: 1, seed: [1; 32] }, &Plain, &mut |_, _| {}).unwrap();
        (outcome.tiles, source.reads.load(std::sync::atomic::Ordering::Relaxed) - before)
    };
    let (tiles, reads) = rehearsed(k);
    assert_eq!((tiles.accepted, tiles.draws), (1, 1));
    assert!(reads <= 16, "{reads} reads");
    let (tiles, reads) = rehearsed(k + 1);
    assert_eq!((tiles.not_proven, tiles.draws, reads), (1, 1, 0));
}

/// One product passed off as two: rows of the second stand in the first, and every draw alone is right.
#[test]
fn repeats_show_over_all_draws_and_not_only_within_a_strip() {
    let (graph, file) = batched();
    let once = rehearsed(&graph, &file, 200).operands;
    // Two products of 19 rows and 33 columns, all drawn; A repeats itself every 23 elements of its making, and not by rows.
    assert_eq!((once.vectors, once.not_compared), (2 * (19 + 33), 0));
    let mut again = graph;
    for (operand, strides) in [("a", json!([0, 1, 19])), ("b", json!([0, 33, 1]))] {
        let shape = if operand == "a" { json!([2, 19, 5]) } else { json!([2, 5, 33]) };
        again["operations"][0]["in"][operand] = json!({"tensor": operand, "shape": shape, "strides": strides});
    }
    // Read from one place they are one vector, drawn twice.
    assert_eq!(rehearsed(&again, &file, 200).operands.vectors, 19 + 33);
    // Copied to another place they are repeats.
    let mut copied = file.clone();
    let tensor = |name: &str, file: &[u8]| {
        let header = u64::from_le_bytes(file[..8].try_into().unwrap());
        let header = usize::try_from(header).unwrap();
        let text: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
        let [from, to] = [0, 1].map(|end| usize::try_from(text[name]["data_offsets"][end].as_u64().unwrap()).unwrap());
        (8 + header + from, 8 + header + to)
    };
    for name in ["a", "b"] {
        let (from, to) = tensor(name, &file);
        let half = (to - from) / 2;
        copied.copy_within(from..from + half, from + half);
    }
    let (mut graph, _) = batched();
    graph["tensors_sha256"] = json!(sha256(&copied));
    let twice = rehearsed(&graph, &copied, 200).operands;
    assert!(twice.repeated >= 19 + 33 && twice.vectors == 2 * (19 + 33), "{twice:?} {once:?}");
    assert!(once.repeated < 19 + 33, "{once:?}");
    assert!(once.zeros > 0 && once.zeros < once.entries / 4, "{once:?}");
}
