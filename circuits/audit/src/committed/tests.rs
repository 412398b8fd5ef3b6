//! A trace committed and drawn from: what adds up, what opens, and what a changed trace can no longer open.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weighbridge_attest_types::{Digest32, Flops, PoseidonDigest, UnixMillis, sha256};

use super::*;
use crate::flop_tree::{OpeningError, TileKind, Weight};
use crate::plan::{Cost, StratumPlan, TraceLoad};
use crate::statistics::Risk;
use crate::trace::Trace;
use crate::trace::tests::{floats, small, tensors};
use crate::trial::Tiles;
use crate::window::{
    AuditMode, AuditPolicy, ChallengedWindow, RandomnessRule, Revealed, Stratum, WindowChain, WindowError, window_root,
};

const SALTS: Salts = Salts::new([7; 32]);

/// Two products of [19, 5] by [5, 33] in one operation with a bias, their sum with themselves, and something uncovered.
fn batched() -> (Value, Vec<u8>) {
    let numbers = |count: u16| floats(&(0..count).map(|at| f32::from(at % 7)).collect::<Vec<_>>());
    let file = tensors(&[
        ("a", &[2, 19, 5], numbers(190), "F32"),
        ("b", &[2, 5, 33], numbers(330), "F32"),
        ("bias", &[33], numbers(33), "F32"),
        ("c", &[2, 19, 33], numbers(1254), "F32"),
        ("d", &[2, 19, 33], numbers(1254), "F32"),
        ("e", &[3], numbers(3), "F32"),
    ]);
    let tensor = |name: &str, shape: Value| json!({"name": name, "dtype": "F32", "shape": shape});
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 1, "step": 9, "rank": 2},
        "tensors_sha256": sha256(&file),
        "tensors": [tensor("a", json!([2, 19, 5])), tensor("b", json!([2, 5, 33])), tensor("bias", json!([33])),
            tensor("c", json!([2, 19, 33])), tensor("d", json!([2, 19, 33])), tensor("e", json!([3]))],
        "operations": [
            {"op": "opaque", "name": "softmax", "in": {"in": {"tensor": "bias"}}, "out": {"out": {"tensor": "e"}}, "with": {}},
            {"op": "matmul", "name": "scores",
             "in": {"a": {"tensor": "a"}, "b": {"tensor": "b"}, "bias": {"tensor": "bias"}}, "out": {"c": {"tensor": "c"}},
             "with": {"phase": "other", "m": "19", "n": "33", "k": "5", "format": "F32", "accumulator": "F32"}},
            {"op": "add", "name": "sum", "in": {"a": {"tensor": "c"}, "b": {"tensor": "c"}}, "out": {"out": {"tensor": "d"}},
             "with": {"alpha": "1"}}
        ]
    });
    (graph, file)
}

fn committed(graph: &Value, file: &Vec<u8>) -> TraceWindow {
    let graph = graph.to_string().into_bytes();
    let trace = Trace::parse(&graph, file).unwrap();
    TraceWindow::new(commit_trace(&trace, sha256(&graph), &SALTS).unwrap()).unwrap()
}

fn policy(draws: u32) -> AuditPolicy {
    let stratum = |weight| Stratum { weight, cap: 1 << 40, draws, risk: Risk::new(25_000).unwrap() };
    let strata = vec![stratum(Weight::Flop), stratum(Weight::Link)];
    AuditPolicy::new(AuditMode::Committed, RandomnessRule::SelfCheck, 1_000, Risk::FIVE_PERCENT, strata).unwrap()
}

fn challenged(window: &TraceWindow, draws: u32) -> ChallengedWindow {
    let mut chain = WindowChain::new(Digest32([1; 32]), Digest32([2; 32]), policy(draws)).unwrap();
    let salt = SALTS.window(0);
    let published = window_root(0, window.root(), &salt);
    let times = (UnixMillis(5), UnixMillis(5));
    chain.commit((0, published), (*window.root(), &salt), times).unwrap().challenge(&Revealed::Nothing).unwrap()
}

#[test]
fn a_tree_adds_up_to_the_flop_and_the_links_of_its_trace() {
    for (graph, file) in [small(), batched()] {
        let bytes = graph.to_string().into_bytes();
        let trace = Trace::parse(&bytes, &file).unwrap();
        let window = committed(&graph, &file);
        let sums = window.root().sums;
        assert_eq!(sums.flops(), Tiles::of(&trace).flop());
        assert_eq!(sums.flops(), Flops(TraceLoad::of(&trace, Weight::Flop).weight));
        assert_eq!(u128::from(sums.links()), TraceLoad::of(&trace, Weight::Link).weight);
        let loads = [Weight::Flop, Weight::Link].map(|weight| TraceLoad::of(&trace, weight).tiles);
        let leaves = window.units()[0].tree().leaves().len() as u64;
        assert_eq!(loads.iter().sum::<u64>(), leaves);
    }
}

#[test]
fn each_product_of_a_batch_has_a_number_of_its_own_and_what_is_uncovered_has_no_leaf() {
    let (graph, file) = batched();
    let window = committed(&graph, &file);
    let [unit] = window.units() else { panic!("one micro-batch is one unit") };
    let numbers: Vec<u64> = unit.operations().iter().map(|operation| operation.record.key.parts()[4].1).collect();
    // 0 is the opaque one's.
    assert_eq!((numbers, unit.uncovered()), (vec![1, 2, 3], 1));
    let parts: Vec<_> = unit.operations().iter().map(|operation| (operation.place, operation.part)).collect();
    assert_eq!(parts, [(1, 0), (1, 1), (2, 0)]);
    let [first, _, link] = unit.operations() else { panic!("three operations") };
    assert_eq!(
        (first.record.kind, first.record.rows),
        (TileKind::Product { class: crate::OperationClass(3), k: 5, bias: true }, 19)
    );
    assert_eq!((link.record.kind, link.record.rows, link.record.cols), (TileKind::Link, 38, 33));
    // What the product computed is what the link reads: twice, so joined.
    let joined =
        weighbridge_commitments::merkle_root(weighbridge_attest_types::Domain::TensorNode, [first.record.roots[2]; 2]);
    assert_eq!(Some(link.record.roots[0]), joined);
    assert_eq!(link.record.roots[1], PoseidonDigest::default());
}

#[test]
fn every_draw_opens_to_a_leaf_and_leaves_are_drawn_by_weight() {
    let (graph, file) = batched();
    let window = committed(&graph, &file);
    let challenged = challenged(&window, 2_000);
    let mut seen = BTreeSet::new();
    let mut edge = 0u32;
    for stratum in 0..2 {
        for draw in 0..2_000 {
            let leaf = window.open(&challenged, (stratum, draw)).unwrap().unwrap();
            let expected = [Weight::Flop, Weight::Link][usize::from(stratum)];
            assert_eq!(leaf.weight, expected);
            let entries = u128::from(leaf.entries.0 * leaf.entries.1);
            let of_one = if expected == Weight::Flop { 10 } else { 1 };
            assert_eq!(leaf.amount, entries * of_one);
            edge += u32::from(stratum == 0 && leaf.entries == (3, 1));
            seen.insert(leaf.key);
        }
    }
    // Two products of 2 × 3 tiles and one link of 3 × 3: the rarest weighs 3 of 1,254.
    assert!(seen.len() >= 20, "{}", seen.len());
    // Two corners of 3 × 1 of 627 entries each: 9.6 of 2,000 draws, within six standard deviations of 3.1.
    assert!((1..29).contains(&edge), "{edge}");
    assert_eq!(window.open(&challenged, (0, 2_000)).unwrap(), None);
    assert_eq!(window.open(&challenged, (2, 0)).unwrap(), None);
}

#[test]
fn a_window_opens_no_other_windows_draws() {
    let (graph, file) = batched();
    let honest = challenged(&committed(&graph, &file), 50);
    // A number, a view and a phase changed after the commitment.
    let mut bytes = file.clone();
    *bytes.last_mut().unwrap() ^= 1;
    let mut other = graph.clone();
    other["tensors_sha256"] = json!(sha256(&bytes));
    let mut phase = graph.clone();
    phase["operations"][1]["with"]["phase"] = json!("wgrad");
    let mut name = graph.clone();
    name["operations"][1]["name"] = json!("other");
    for (graph, file) in [(&other, &bytes), (&phase, &file), (&name, &file)] {
        let forged = committed(graph, file);
        let refused = forged.open(&honest, (0, 0)).unwrap_err();
        assert!(matches!(refused, OpeningError::Path(_)), "{refused:?}");
    }
}

#[test]
fn roots_are_hidden_by_salts_of_one_secret() {
    let (graph, file) = small();
    let bytes = graph.to_string().into_bytes();
    let trace = Trace::parse(&bytes, &file).unwrap();
    let root = |secret| {
        let units = commit_trace(&trace, sha256(&bytes), &Salts::new(secret)).unwrap();
        TraceWindow::new(units).unwrap().root().digest
    };
    assert_eq!(root([1; 32]), root([1; 32]));
    assert_ne!(root([1; 32]), root([2; 32]));
    let key = trace.key(0, (0, 0)).unwrap();
    assert_ne!(SALTS.of(key, "unit"), SALTS.of(key, "operation"));
    assert_ne!(SALTS.window(0), SALTS.window(1));
    assert!(!format!("{SALTS:?}").contains('7'));
}

#[test]
fn a_trace_is_in_a_window_once_and_long_products_are_not_committed() {
    let (graph, file) = small();
    let bytes = graph.to_string().into_bytes();
    let trace = Trace::parse(&bytes, &file).unwrap();
    let unit = commit_trace(&trace, sha256(&bytes), &SALTS).unwrap();
    let twice = TraceWindow::new([unit.clone(), unit].concat()).unwrap_err();
    assert!(matches!(twice, TraceCommitError::Tree(_)), "{twice}");
    assert!(matches!(TraceWindow::new(Vec::new()), Err(TraceCommitError::Tree(_))));

    let long = 16_385;
    let zeros = vec![0u8; long * 4];
    let file = tensors(&[
        ("x", &[1, 16_385], zeros.clone(), "F32"),
        ("w", &[16_385, 1], zeros, "F32"),
        ("y", &[1, 1], vec![0; 4], "F32"),
    ]);
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": 0, "rank": 0},
        "tensors_sha256": sha256(&file),
        "tensors": [{"name": "x", "dtype": "F32", "shape": [1, long]}, {"name": "w", "dtype": "F32", "shape": [long, 1]},
            {"name": "y", "dtype": "F32", "shape": [1, 1]}],
        "operations": [{"op": "matmul", "name": "long", "in": {"a": {"tensor": "x"}, "b": {"tensor": "w"}},
            "out": {"c": {"tensor": "y"}},
            "with": {"phase": "wgrad", "m": "1", "n": "1", "k": long.to_string(), "format": "F32", "accumulator": "F32"}}]
    });
    let bytes = graph.to_string().into_bytes();
    let trace = Trace::parse(&bytes, &file).unwrap();
    let refused = commit_trace(&trace, sha256(&bytes), &SALTS).unwrap_err();
    assert!(matches!(&refused, TraceCommitError::Record { operation, .. } if operation == "long"), "{refused}");
    assert_eq!(refused.culprit(), weighbridge_attest_types::Culprit::Unsupported);
}

#[test]
fn a_later_window_continues_a_chain_and_keeps_its_order() {
    let (graph, file) = batched();
    let window = committed(&graph, &file);
    let last = window.root().max;
    let (genesis, node) = (Digest32([1; 32]), Digest32([2; 32]));
    let commit = |index: u64, last| {
        let mut chain = WindowChain::continued(genesis, node, policy(1), (3, last)).unwrap();
        let salt = SALTS.window(index);
        let published = window_root(index, window.root(), &salt);
        chain
            .commit((index, published), (*window.root(), &salt), (UnixMillis(5), UnixMillis(5)))
            .map(|_| chain.committed())
    };
    assert_eq!(commit(3, None).unwrap(), 4);
    assert!(matches!(commit(0, None), Err(WindowError::Index { expected: 3, found: 0 })));
    assert!(matches!(commit(3, Some(last)), Err(WindowError::Keys { index: 3 })));
}

#[test]
fn a_plan_tells_the_allowances_for_a_prover_who_hears_each_outcome() {
    let [flop, _] = &StratumPlan::of(&policy(300))[..] else { panic!("two strata") };
    let cap = 1u128 << 40;
    // U at 97.5 %, of which 0, 1, 2 failures have a half, a sixth and a twelfth: 4.382, 7.636, 10.346 (decision 0048).
    for ((failures, allowance), least, most) in [
        (&flop.allowances[0], 4_381, 4_383),
        (&flop.allowances[1], 7_635, 7_638),
        (&flop.allowances[2], 10_345, 10_347),
    ]
    .map(|(row, least, most)| (row, least, most))
    {
        let thousandths = allowance.as_ref().unwrap() * 300 * 1_000 / cap;
        assert!((least..=most).contains(&thousandths), "{failures} failures: {thousandths}");
    }
    let [single, _] = &StratumPlan::of(&policy(1))[..] else { panic!("two strata") };
    assert!(single.allowances[2].1.is_err(), "one draw does not fail twice");
}

#[test]
fn a_load_is_a_mean_over_draws() {
    let (graph, file) = small();
    let bytes = graph.to_string().into_bytes();
    let trace = Trace::parse(&bytes, &file).unwrap();
    // One tile of 2 × 2 over K = 3: 24 FLOP; strips of 2 · 3 and 2 · 3 numbers and 4 outputs.
    let flop = TraceLoad::of(&trace, Weight::Flop);
    assert_eq!(flop, TraceLoad { tiles: 1, weight: 24, per_draw: Cost { terms: 24, bytes: (6 + 6 + 4) * 4 } });
    assert_eq!(
        TraceLoad::of(&trace, Weight::Link),
        TraceLoad { tiles: 1, weight: 4, per_draw: Cost { terms: 4, bytes: 16 } }
    );
    assert_eq!((flop.millionths_of(24), flop.millionths_of(72)), (1_000_000, 333_334));
}
