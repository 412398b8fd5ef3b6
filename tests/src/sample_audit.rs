//! **Duty.** A sample run that is audited: windows over small traces by hand, committed in the ledgers, and answers to their
//! draws. **Knows** how a job would commit and answer. **Does not know** how answers are judged: one false number is all
//! that a scenario needs.

use serde_json::{Value, json};
use weighbridge_attest_types::{Canonical, UnixMillis, WindowCommitment, sha256};
use weighbridge_audit::trace::Trace;
use weighbridge_audit::{
    Answers, AuditMode, AuditPolicy, ChainAnswers, Format, NumericPolicy, OperationPolicy, RandomnessRule, RankRange,
    Ranks, Revealed, Risk, Salts, Stratum, TraceWindow, Weight, WindowAnswers, WindowChain, commit_trace, window_root,
};

use crate::sample_run::{SAMPLE_START, SampleNode, SampleRun};

/// Draws of each stratum from each window.
pub const SAMPLE_DRAWS: u32 = 4;
/// Intervals of the run, and those whose facts hold a window: of the first node two, of the second one.
const INTERVALS: u64 = 30;
const WINDOWS: [&[u64]; 2] = [&[3, 12], &[7]];

/// How the sample run is audited.
///
/// # Panics
/// Never: the numbers are in range.
#[must_use]
pub fn sample_policies() -> (AuditPolicy, NumericPolicy) {
    let stratum =
        |weight| Stratum { weight, cap: 1 << 40, draws: SAMPLE_DRAWS, risk: Risk::new(25_000).expect("a risk") };
    let strata = vec![stratum(Weight::Flop), stratum(Weight::Link)];
    let rule = RandomnessRule::SelfCheck;
    let audit = AuditPolicy::new(AuditMode::Committed, rule, 3_600_000, Risk::FIVE_PERCENT, strata).expect("a policy");
    (audit, NumericPolicy::uniform(OperationPolicy::of(Format::F32, Format::F32)))
}

impl SampleRun {
    /// The honest run with three windows of small steps, all draws answered.
    #[must_use]
    pub fn audited() -> Self {
        Self::audited_as(true, 1.0, INTERVALS)
    }

    /// The same; `announced` says whether the manifest names the policies, `factor` what the results of products are
    /// multiplied with before they are committed, and `quoted` the last head of which there is a quote.
    ///
    /// # Panics
    /// When a trace by hand is none.
    #[must_use]
    pub fn audited_as(announced: bool, factor: f32, quoted: u64) -> Self {
        let (audit, numeric) = sample_policies();
        let mut run = Self::begin_with(
            7,
            2,
            1,
            |platform| platform,
            |manifest| {
                if announced {
                    manifest.audit_policy = hex::encode(audit.digest().0);
                    manifest.numeric_policy = hex::encode(numeric.digest().0);
                    manifest.randomness_rule = audit.randomness().grade().as_str().to_owned();
                }
            },
        );
        let genesis = run.manifest.genesis();
        let mut chains = Vec::new();
        for ((node, places), rank) in run.nodes.iter_mut().zip(WINDOWS).zip(0u32..) {
            let range = RankRange { attempts: (0, u16::MAX), ranks: (rank, rank) };
            let ranks = Ranks::new(vec![range]).expect("a range");
            let mut chain = WindowChain::new(genesis, node.node_key().digest(), audit.clone()).expect("a mode");
            let windows = places.iter().zip(1u64..).map(|(place, step)| {
                let files = step_files(step, rank, factor);
                commit_and_answer((node, quoted), &mut chain, *place, &files, &numeric)
            });
            let windows = windows.collect();
            chains.push(ChainAnswers { node_key: node.node_key(), ranks, windows });
            seal_until(node, INTERVALS, quoted);
        }
        chains.sort_by_key(|chain| chain.node_key);
        if quoted >= INTERVALS {
            run.quote_all();
        }
        run.receipts();
        run.answers = Some(Answers { policy: audit, numeric, chains }.to_bytes());
        run
    }
}

/// Seals intervals up to an index, quoting every tenth.
fn seal_until(node: &mut SampleNode, last: u64, quoted: u64) {
    while node.tip().0 < last {
        if (1..=quoted).contains(&node.tip().0) && node.tip().0.is_multiple_of(10) {
            node.quote();
        }
        node.seal(|_| ());
    }
}

/// One window in the facts of one interval, and its answers.
fn commit_and_answer(
    (node, quoted): (&mut SampleNode, u64),
    chain: &mut WindowChain,
    place: u64,
    (graph, file): &(Vec<u8>, Vec<u8>),
    numeric: &NumericPolicy,
) -> WindowAnswers {
    let salts = Salts::new(sha256(graph).0);
    let trace = Trace::parse(graph, file).expect("a trace");
    let units = commit_trace(&trace, sha256(graph), &salts).expect("covered operations");
    let window = TraceWindow::new(units).expect("one unit");
    let (index, salt) = (chain.committed(), salts.window(chain.committed()));
    let root = window_root(index, window.root(), &salt);
    seal_until(node, place - 1, quoted);
    node.seal(|public| public.windows = vec![WindowCommitment { index, root }]);
    let times = (UnixMillis(0), UnixMillis(0));
    let committed = chain.commit((index, root), (*window.root(), &salt), times).expect("the next window");
    let challenged = committed.challenge(&Revealed::Nothing).expect("a self-check");
    let places = (0..2u8).flat_map(|stratum| (0..SAMPLE_DRAWS).map(move |draw| (stratum, draw)));
    let answer =
        |place| window.answer(&challenged, place, &|_| Some(&trace), numeric).expect("a draw").expect("an answer");
    let answers = places.map(answer).collect();
    WindowAnswers { root: *window.root(), salt, answered: UnixMillis(SAMPLE_START.0 + 120_000), answers }
}

/// h = relu(x · wᵀ): twenty rows, twelve terms, eighteen columns.
fn step_files(step: u64, rank: u32, factor: f32) -> (Vec<u8>, Vec<u8>) {
    let value = |at: usize, salt: u64| {
        let digest = sha256(
            &[step.to_le_bytes(), u64::from(rank).to_le_bytes(), salt.to_le_bytes(), (at as u64).to_le_bytes()]
                .concat(),
        );
        f32::from(digest.0[0]) / 128.0 - 1.0
    };
    let x: Vec<f32> = (0..240).map(|at| value(at, 1)).collect();
    let w: Vec<f32> = (0..216).map(|at| value(at, 2)).collect();
    let dot = |at: usize| (0..12).map(|term| x[at / 18 * 12 + term] * w[at % 18 * 12 + term]).sum::<f32>();
    let y: Vec<f32> = (0..360).map(|at| dot(at) * factor).collect();
    let h: Vec<f32> = y.iter().map(|y| y.max(0.0)).collect();
    let list: [(&str, [u64; 2], &[f32]); 4] =
        [("x", [20, 12], &x), ("w", [18, 12], &w), ("y", [20, 18], &y), ("h", [20, 18], &h)];
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in list {
        let from = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(name.to_owned(), json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]}));
    }
    let header = Value::Object(header).to_string().into_bytes();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    let whole = |tensor: &str| json!({"tensor": tensor});
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": step, "rank": rank},
        "tensors_sha256": sha256(&file),
        "tensors": [
            {"name": "x", "dtype": "F32", "shape": [20, 12], "batch": "x"},
            {"name": "w", "dtype": "F32", "shape": [18, 12], "before": "w"},
            {"name": "y", "dtype": "F32", "shape": [20, 18]},
            {"name": "h", "dtype": "F32", "shape": [20, 18]},
        ],
        "operations": [
            {"op": "matmul", "name": "layer",
             "in": {"a": whole("x"), "b": {"tensor": "w", "shape": [12, 18], "strides": [1, 12]}}, "out": {"c": whole("y")},
             "with": {"phase": "forward", "m": "20", "n": "18", "k": "12", "format": "F32", "accumulator": "F32"}},
            {"op": "relu", "name": "act", "in": {"in": whole("y")}, "out": {"out": whole("h")}},
        ],
    });
    (graph.to_string().into_bytes(), file)
}
