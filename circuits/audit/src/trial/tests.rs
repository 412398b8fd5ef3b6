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
