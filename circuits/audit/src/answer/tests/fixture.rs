//! **Duty.** A small step by hand: two layers, the first with a fused bias, a column sum and one gradient; committed and
//! challenged. **Does not know** what is asked of it.

use serde_json::{Value, json};
use weighbridge_attest_types::{Digest32, NodeKey, UnixMillis, sha256};

use super::super::*;
use crate::committed::{Salts, TraceWindow, commit_trace};
use crate::flop_tree::Weight;
use crate::gemm::{NumericPolicy, OperationPolicy};
use crate::number::Format;
use crate::ranks::Ranks;
use crate::sampling::{Answers, AnswersError, ChainAnswers, ChainOutcome, LedgerWindow, WindowAnswers};
use crate::statistics::Risk;
use crate::trace::Trace;
use crate::trace::tests::{floats, tensors};
use crate::window::{
    AuditMode, AuditPolicy, ChallengedWindow, RandomnessRule, Revealed, Stratum, WindowChain, window_root,
};

const SALTS: Salts = Salts::new([9; 32]);
pub(super) const GENESIS: Digest32 = Digest32([1; 32]);
pub(super) const NODE: NodeKey = NodeKey([2; 32]);
pub(super) const DRAWS: u32 = 40;

/// Tensors by name, and whether the activation is one that no rule covers.
pub(super) struct Numbers {
    list: Vec<(&'static str, Vec<u64>, Vec<f32>)>,
    is_hidden: bool,
}

/// A committed and challenged window over one step.
pub(super) struct Job {
    graph: Vec<u8>,
    file: Vec<u8>,
    pub(super) window: TraceWindow,
    pub(super) challenged: ChallengedWindow,
    pub(super) numeric: NumericPolicy,
}

impl Numbers {
    fn honest() -> Self {
        let mut state = 7u32;
        let mut random = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
                })
                .collect()
        };
        let (x, w1, b1, w2) = (random(160), random(192), random(24), random(192));
        let z =
            product(&x, &w1, (20, 24, 8), true).iter().enumerate().map(|(at, z)| z + b1[at % 24]).collect::<Vec<_>>();
        let h: Vec<f32> = z.iter().map(|z| z.max(0.0)).collect();
        let y = product(&h, &w2, (20, 8, 24), true);
        let dh = product(&y, &w2, (20, 24, 8), false);
        let g = (0..8).map(|col| (0..20).map(|row| y[row * 8 + col]).sum()).collect();
        let list = vec![
            ("x", vec![20, 8], x),
            ("w1", vec![24, 8], w1),
            ("b1", vec![24], b1),
            ("z", vec![20, 24], z),
            ("h", vec![20, 24], h),
            ("w2", vec![8, 24], w2),
            ("y", vec![20, 8], y),
            ("g", vec![8], g),
            ("dh", vec![20, 24], dh),
        ];
        Self { list, is_hidden: false }
    }

    /// Everything in one tensor by a factor, and nothing after it.
    pub(super) fn scale(&mut self, name: &str, factor: f32) {
        let found = self.list.iter_mut().find(|(found, _, _)| *found == name).unwrap();
        found.2.iter_mut().for_each(|value| *value *= factor);
    }

    pub(super) fn hide_relu(&mut self) {
        self.is_hidden = true;
    }

    fn files(&self) -> (Vec<u8>, Vec<u8>) {
        let rows: Vec<(&str, &[u64], Vec<u8>, &str)> =
            self.list.iter().map(|(name, shape, values)| (*name, shape.as_slice(), floats(values), "F32")).collect();
        let file = tensors(&rows);
        let described: Vec<Value> = self
            .list
            .iter()
            .map(|(name, shape, _)| match *name {
                "x" => json!({"name": name, "dtype": "F32", "shape": shape, "batch": "x"}),
                "w1" | "w2" | "b1" => json!({"name": name, "dtype": "F32", "shape": shape, "before": name}),
                _ => json!({"name": name, "dtype": "F32", "shape": shape}),
            })
            .collect();
        let whole = |tensor: &str| json!({"tensor": tensor});
        let turned =
            |tensor: &str, rows: u64, cols: u64| json!({"tensor": tensor, "shape": [rows, cols], "strides": [1, rows]});
        let with = |phase: &str, m: u64, n: u64, k: u64| {
            json!({"phase": phase, "m": m.to_string(), "n": n.to_string(), "k": k.to_string(), "format": "F32",
                "accumulator": "F32"})
        };
        let activation = if self.is_hidden { "opaque" } else { "relu" };
        let graph = json!({
            "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": 5, "rank": 1},
            "tensors_sha256": sha256(&file), "tensors": described,
            "operations": [
                {"op": "matmul", "name": "first", "in": {"a": whole("x"), "b": turned("w1", 8, 24), "bias": whole("b1")},
                 "out": {"c": whole("z")}, "with": with("forward", 20, 24, 8)},
                {"op": activation, "name": "act", "in": {"in": whole("z")}, "out": {"out": whole("h")}},
                {"op": "matmul", "name": "second", "in": {"a": whole("h"), "b": turned("w2", 24, 8)},
                 "out": {"c": whole("y")}, "with": with("forward", 20, 8, 24)},
                {"op": "column-sum", "name": "sum", "in": {"in": whole("y")}, "out": {"out": whole("g")}},
                {"op": "matmul", "name": "third", "in": {"a": whole("y"), "b": whole("w2")},
                 "out": {"c": whole("dh")}, "with": with("dgrad", 20, 24, 8)},
            ]
        });
        (graph.to_string().into_bytes(), file)
    }
}

/// [m, k] · [k, n], the right one stored as [n, k] or as [k, n].
fn product(a: &[f32], b: &[f32], (m, n, k): (usize, usize, usize), is_turned: bool) -> Vec<f32> {
    let right = |row: usize, col: usize| if is_turned { b[col * k + row] } else { b[row * n + col] };
    let entry = |at: usize| (0..k).map(|term| a[at / n * k + term] * right(term, at % n)).sum();
    (0..m * n).map(entry).collect()
}

pub(super) fn policy(draws: u32) -> AuditPolicy {
    let stratum = |weight| Stratum { weight, cap: 1 << 40, draws, risk: Risk::new(25_000).unwrap() };
    let strata = vec![stratum(Weight::Flop), stratum(Weight::Link)];
    AuditPolicy::new(AuditMode::Committed, RandomnessRule::SelfCheck, 1_000, Risk::FIVE_PERCENT, strata).unwrap()
}

pub(super) fn numeric() -> NumericPolicy {
    NumericPolicy::uniform(OperationPolicy::of(Format::F32, Format::F32))
}

/// The window of a tree's root, challenged.
pub(super) fn challenge(root: &Node, index: u64) -> ChallengedWindow {
    let mut chain = WindowChain::continued(GENESIS, NODE.digest(), policy(DRAWS), (index, None)).unwrap();
    let salt = SALTS.window(index);
    let published = window_root(index, root, &salt);
    let times = (UnixMillis(5), UnixMillis(5));
    chain.commit((index, published), (*root, &salt), times).unwrap().challenge(&Revealed::Nothing).unwrap()
}

pub(super) fn judge(job: &Job, answer: &Answer) -> Result<Judged, AnswerError> {
    answer.judge(&job.challenged, &job.numeric)
}

impl Job {
    pub(super) fn honest() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl Fn(&mut Numbers)) -> Self {
        let mut numbers = Numbers::honest();
        change(&mut numbers);
        let (graph, file) = numbers.files();
        let window = {
            let trace = Trace::parse(&graph, &file).unwrap();
            TraceWindow::new(commit_trace(&trace, sha256(&graph), &SALTS).unwrap()).unwrap()
        };
        let challenged = challenge(window.root(), 0);
        Self { graph, file, window, challenged, numeric: numeric() }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (u8, u32)> {
        (0..2).flat_map(|stratum| (0..DRAWS).map(move |draw| (stratum, draw)))
    }

    pub(super) fn answer(&self, place: (u8, u32)) -> Answer {
        let trace = Trace::parse(&self.graph, &self.file).unwrap();
        self.answer_from(&trace, place).unwrap().unwrap()
    }

    pub(super) fn answer_from<'t>(
        &self,
        trace: &'t Trace<'t>,
        place: (u8, u32),
    ) -> Result<Option<Answer>, AnswerFault> {
        self.window.answer(&self.challenged, place, &|_| Some(trace), &self.numeric)
    }

    /// All answers as a run's, and the ledger's one window.
    pub(super) fn run(&self, answered: UnixMillis) -> (Answers, Vec<LedgerWindow>) {
        let salt = SALTS.window(0);
        let answers = self.places().map(|place| self.answer(place)).collect();
        let windows = vec![WindowAnswers { root: *self.window.root(), salt, answered, answers }];
        let chains = vec![ChainAnswers { node_key: NODE, ranks: Ranks::all(), windows }];
        let answers = Answers { policy: policy(DRAWS), numeric: numeric(), chains };
        let root = window_root(0, self.window.root(), &salt);
        (answers, vec![LedgerWindow { index: 0, root, quoted: UnixMillis(5) }])
    }

    pub(super) fn judge_run(&self, answers: &Answers, ledger: &[LedgerWindow]) -> Result<ChainOutcome, AnswersError> {
        answers.judge(&answers.chains[0], GENESIS, ledger)
    }
}
