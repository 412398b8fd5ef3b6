//! **Duty.** The meaning of the correctness half, natively: what of a training step is committed, what is drawn from it,
//! and what "this tile was computed right" says about real numbers. **Knows** numbers, tensors' bytes and commitments.
//! **Does not know** circuits, files, clocks or who asks: the circuits repeat these checks, and never the other way
//! round. **Spec.** PROTOCOL §3–5, CIRCUITS §2–6, TRAINING §4, 6, 7.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may stop at its first surprise"
    )
)]

mod answer;
mod approx;
pub mod boundary;
mod committed;
pub mod dataset;
mod draw;
mod flop_tree;
mod gemm;
mod key;
pub mod link;
mod number;
mod plan;
mod ranks;
mod replay;
mod sampling;
mod statistics;
pub mod trace;
pub mod trial;
mod update;
mod window;

pub use answer::{
    Answer, AnswerError, AnswerFault, Judged, MAX_PRODUCERS, OPENED_PER_STRIP, OpenedEntries, OpenedOperation,
    OpenedTensor, OpenedTile,
};
pub use committed::{CommittedOperation, CommittedUnit, DrawnLeaf, Salts, TraceCommitError, TraceWindow, commit_trace};
pub use draw::{Draw, Seed};
pub use flop_tree::{
    DrawnTile, FlopTree, MAX_LEAVES, MAX_PATH, MAX_SUM, Node, Opened, OpeningError, OperationRecord, Path, PathError,
    RecordError, Side, Step, Sums, SumsError, TileKind, TileOpening, TraceError, TreeBuilder, TreeError, UnitOpening,
    UnitRecord, Weight, agrees_with_ledger,
};
pub use gemm::{
    Accumulator, Encoded, ErrorModel, LooseExponent, MAX_CLASSES, MAX_FACTOR, MAX_K, MAX_PARTS, MAX_SIDE, MAX_TERMS,
    MIN_SIDE, NumericPolicy, Operand, OperationClass, OperationPolicy, PartialSums, PartsError, PolicyError,
    ShapeError, Strip, Tile, TileDoubt, TileFacts, TileRefusal, TileVerdict, WINDOW_BITS, Windows, check_claimed,
    check_tile,
};
pub use key::{Key, KeyError};
pub use number::{Format, NotFinite, Number};
pub use plan::{Cost, StratumPlan, TraceLoad};
pub use ranks::{MAX_RANK_RANGES, RankRange, Ranks, RanksError};
pub use replay::{
    Closeness, Environment, LEAST_MARGIN, MAX_ABSOLUTE_EXPONENT, MAX_TENSORS, MAX_TEXT_BYTES, MAX_TOLERANCES,
    ReplayGrade, ReplayRefusal, Span, State, StoredTensor, TensorDifference, TensorTolerance, Tolerance,
    ToleranceError, check_bit_exact, check_within_tolerance,
};
pub use sampling::{Answers, AnswersError, ChainAnswers, ChainOutcome, LedgerWindow, MAX_ANSWERS_BYTES, WindowAnswers};
pub use statistics::{
    Correctness, DrawnOperands, MAX_FAILURES, OperandCounts, Risk, Sequential, SequentialTest, StatisticsError,
    StratumOutcome, TileTotals, VectorPlace, adaptive_upper, bad_share_upper, draws_to_detect, draws_to_detect_share,
    poisson_upper,
};
pub use window::{
    AuditMode, AuditPolicy, BeaconChain, ChallengedWindow, ClosedWindow, CommittedWindow, MAX_STRATA, Outcome,
    RandomnessGrade, RandomnessRule, ReplayedWindow, Response, Revealed, Stratum, StratumCount, TraceCommitment,
    TracedWindow, WindowChain, WindowError, WindowPolicyError, window_root,
};
