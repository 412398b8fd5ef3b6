//! **Duty.** Replays a span of the demo's own training from its committed checkpoint and compares the ends: the audit's
//! two grades on a real trainer. **Knows** the job and its checkpoints. **Does not know** how ends are compared.
//! **Spec.** PROTOCOL §5 (mode `replayed`), TRAINING §6.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use weighbridge_attest_types::Digest32;
use weighbridge_audit::{
    Environment, Format, ReplayGrade, ReplayRefusal, Span, State, StoredTensor, TensorTolerance, Tolerance,
    check_bit_exact, check_within_tolerance,
};
use weighbridge_commitments::{Effort, fast_root};

use crate::data::WineTable;
use crate::ranks::{Attempt, Job, Sink, train};
use crate::spec::TrainingSpec;

const FROM: u64 = 16;
const TO: u64 = 32;

fn spec() -> TrainingSpec {
    TrainingSpec { widths: vec![11, 32, 32, 11], micro_batch: 64, ranks: 2, ..TrainingSpec::wine(TO) }
}

fn pinned(threads: u32) -> Environment {
    Environment { library: "candle-core 0.11".to_owned(), instruction_path: "baseline".to_owned(), threads }
}

/// Trains and returns rank 0's folder.
fn run(spec: &TrainingSpec, folder: &Path, resumes: Option<&Path>) -> PathBuf {
    let folders: Vec<PathBuf> = (0..spec.ranks).map(|rank| folder.join(rank.to_string())).collect();
    let split = WineTable::load().split(spec);
    let resumes = resumes.map(|from| (FROM, from.join(format!("checkpoint-{FROM:06}"))));
    let attempt = Attempt { number: 0, resumes, dies_after: None };
    let (checkpoint_every, evaluate_every) = (FROM, 100);
    let job = Job {
        spec,
        split: &split,
        steps_per_second: None,
        checkpoint_every,
        evaluate_every,
        audit_every: None,
        folders: &folders,
        attempt,
    };
    let sinks = folders.iter().map(|_| Box::new(|_| {}) as Sink<'_>).collect();
    train(&job, sinks, &|_| {}).unwrap();
    folders[0].clone()
}

fn files(folder: &Path, step: u64) -> Vec<PathBuf> {
    let place = folder.join(format!("checkpoint-{step:06}"));
    ["model.safetensors", "optimizer.safetensors"].map(|file| place.join(file)).to_vec()
}

fn root(folder: &Path, step: u64) -> Digest32 {
    fast_root(&files(folder, step), Effort::threads(1), &mut |_, _| ()).unwrap()
}

/// Every tensor of a checkpoint, model and optimizer.
fn tensors(folder: &Path, step: u64) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for file in files(folder, step) {
        let bytes = std::fs::read(file).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        all.extend(tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())));
    }
    all.sort();
    all
}

fn stored(tensors: &[(String, Vec<u8>)]) -> Vec<StoredTensor<'_>> {
    tensors.iter().map(|(name, bytes)| StoredTensor { name, format: Format::F32, bytes }).collect()
}

/// A committed run and what somebody replayed of it.
struct Replayed {
    span: Span,
    found: Span,
    start: Vec<(String, Vec<u8>)>,
    committed: Vec<(String, Vec<u8>)>,
    ends: Vec<(String, Vec<u8>)>,
}

fn replayed(change: fn(&mut TrainingSpec)) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let committed = run(&spec(), &folder.path().join("run"), None);
    let mut changed = spec();
    change(&mut changed);
    let again = run(&changed, &folder.path().join("replay"), Some(&committed));
    let span = Span { start: root(&committed, FROM), end: root(&committed, TO) };
    let last = changed.steps;
    Replayed {
        span,
        found: Span { start: span.start, end: root(&again, last) },
        start: tensors(&committed, FROM),
        committed: tensors(&committed, TO),
        ends: tensors(&again, last),
    }
}

fn within(replayed: &Replayed) -> Result<ReplayGrade, ReplayRefusal> {
    let tensor = TensorTolerance { ulps: 4, absolute_exponent: Some(-14), differing: 1_000_000 };
    let tolerance = Tolerance::new(tensor, Vec::new()).unwrap();
    let (before, one, other) = (stored(&replayed.start), stored(&replayed.committed), stored(&replayed.ends));
    let start = State { root: replayed.span.start, tensors: &before };
    let end = State { root: replayed.span.end, tensors: &one };
    let found = State { root: replayed.found.end, tensors: &other };
    check_within_tolerance(&replayed.span, tolerance.digest(), &tolerance, replayed.found.start, (&start, &end, &found))
}

#[test]
fn the_same_span_in_the_same_environment_ends_in_the_same_bits() {
    let replayed = replayed(|_| ());
    assert_ne!(replayed.span.start, replayed.span.end);
    let found = check_bit_exact(&replayed.span, &pinned(2), &replayed.found, &pinned(2));
    assert_eq!(found, Ok(ReplayGrade::BitExact));
}

/// One rank with the whole batch adds up in another order: other bits, near values, another grade.
#[test]
fn another_order_of_additions_is_within_tolerance_and_not_exact() {
    let replayed = replayed(|spec| (spec.ranks, spec.micro_batch) = (1, 128));
    let refused = check_bit_exact(&replayed.span, &pinned(2), &replayed.found, &pinned(1));
    assert!(matches!(refused, Err(ReplayRefusal::Environment { .. })));
    // Whoever claims the pinned environment all the same is found out by the end.
    let refused = check_bit_exact(&replayed.span, &pinned(2), &replayed.found, &pinned(2));
    assert!(matches!(refused, Err(ReplayRefusal::End { .. })));
    match within(&replayed) {
        Ok(ReplayGrade::WithinTolerance(closeness)) => {
            println!("{closeness:?}");
            let difference = closeness.difference;
            assert!(difference.differing > 0 && difference.entries > 1_000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_span_is_within_no_tolerance() {
    let changes: [fn(&mut TrainingSpec); 3] =
        [|spec| spec.learning_rate = 0.0, |spec| spec.steps = TO - 1, |spec| spec.learning_rate *= 1.05];
    for change in changes {
        let replayed = replayed(change);
        let refused = check_bit_exact(&replayed.span, &pinned(2), &replayed.found, &pinned(2));
        assert!(matches!(refused, Err(ReplayRefusal::End { .. })));
        let refused = within(&replayed);
        assert!(matches!(refused, Err(ReplayRefusal::Beyond { .. } | ReplayRefusal::NotProven { .. })), "{refused:?}");
    }
}
