//! **Duty.** Replays the stored steps of a real PyTorch run with other kernels, from each committed state: never to the bit,
//! always within a tolerance that was said before; and a step that is not the committed one is within none.
//! **Knows** a perceptron and AdamW. **Does not know** how ends are compared. **Spec.** TRAINING §6.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use weighbridge_attest_types::{Digest32, sha256};
use weighbridge_audit::{
    Environment, Format, ReplayGrade, ReplayRefusal, Span, State, StoredTensor, TensorTolerance, Tolerance,
    check_bit_exact, check_within_tolerance,
};
use weighbridge_tests::{shared, skipped};

const BATCH: usize = 16;
const INPUTS: usize = 64;
const HIDDEN: usize = 32;
const CLASSES: usize = 10;

type Tensors = BTreeMap<String, Vec<f32>>;

fn load(file: &Path) -> (Tensors, Vec<i64>) {
    let bytes = std::fs::read(file).expect("a file of the trace");
    let mut floats = Tensors::new();
    let mut labels = Vec::new();
    for (name, tensor) in SafeTensors::deserialize(&bytes).expect("safetensors").iter() {
        if tensor.dtype() == safetensors::Dtype::F32 {
            let values = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            floats.insert(name.to_owned(), values);
        } else if name == "y" {
            labels = tensor.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        }
    }
    (floats, labels)
}

/// rows × k times the transpose of cols × k, added up from the end.
fn product(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).rev().fold(0f32, |sum, (a, b)| a * b + sum);
    a.chunks_exact(k).flat_map(|a| b.chunks_exact(k).map(move |b| dot(a, b))).collect()
}

fn transposed(a: &[f32], cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|col| a.iter().skip(col).step_by(cols)).copied().collect()
}

/// Gradients of both layers for the mean cross-entropy of a batch.
fn gradients(model: &Tensors, x: &[f32], labels: &[i64]) -> [Vec<f32>; 2] {
    let (first, second) = (&model["l1.weight"], &model["l2.weight"]);
    let before = product(x, first, INPUTS);
    let hidden: Vec<f32> = before.iter().map(|value| value.max(0.0)).collect();
    let mut logits = product(&hidden, second, HIDDEN);
    for (row, label) in logits.chunks_exact_mut(CLASSES).zip(labels) {
        let most = row.iter().fold(f32::MIN, |most, value| most.max(*value));
        row.iter_mut().for_each(|value| *value = (*value - most).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
        row[usize::try_from(*label).expect("a digit")] -= 1.0;
        row.iter_mut().for_each(|value| *value /= BATCH as f32);
    }
    let by_class = transposed(&logits, CLASSES);
    let for_second = product(&by_class, &transposed(&hidden, HIDDEN), BATCH);
    let mut for_hidden = product(&logits, &transposed(second, HIDDEN), CLASSES);
    for (gradient, before) in for_hidden.iter_mut().zip(&before) {
        *gradient *= f32::from(u8::from(*before > 0.0));
    }
    let for_first = product(&transposed(&for_hidden, HIDDEN), &transposed(x, INPUTS), BATCH);
    [for_first, for_second]
}

/// One step of AdamW as PyTorch's `foreach=False` does it.
fn step(state: &Path, number: usize, learning_rate: f64) -> Tensors {
    let (mut model, _) = load(&state.join("model.safetensors"));
    let (moments, _) = load(&state.join("optim.safetensors"));
    let (batch, labels) = load(&state.join("batch.safetensors"));
    let gradients = gradients(&model, &batch["x"], &labels);
    let count = i32::try_from(number + 1).expect("few steps");
    let [first_correction, second_correction] = [0.9f64, 0.999].map(|beta| 1.0 - beta.powi(count));
    let narrow = |value: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "PyTorch's scalars are rounded to the tensor's type")]
        let narrow = value as f32;
        narrow
    };
    let (decay, size) = (narrow(1.0 - learning_rate * 0.01), narrow(learning_rate / first_correction));
    let root = narrow(second_correction.sqrt());
    for (name, gradient) in ["l1.weight", "l2.weight"].into_iter().zip(gradients) {
        let none = vec![0.0; gradient.len()];
        let moment = |kind: &str| moments.get(&format!("{name}.{kind}")).unwrap_or(&none);
        let (means, squares) = (moment("exp_avg"), moment("exp_avg_sq"));
        let weights = model.get_mut(name).expect("a layer");
        for (((weight, gradient), mean), square) in weights.iter_mut().zip(gradient).zip(means).zip(squares) {
            let mean = mean + 0.1 * (gradient - mean);
            let square = square * 0.999 + narrow(0.001) * gradient * gradient;
            *weight = *weight * decay - size * mean / (square.sqrt() / root + 1e-8);
        }
    }
    model
}

fn root(tensors: &Tensors) -> Digest32 {
    let bytes = tensors.iter().flat_map(|(name, values)| {
        name.bytes().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect::<Vec<u8>>()
    });
    sha256(&bytes.collect::<Vec<u8>>())
}

/// Compares one replayed model with the stored next one.
fn compare(before: &Tensors, committed: &Tensors, replayed: &Tensors) -> Result<ReplayGrade, ReplayRefusal> {
    // Updates are of the size of the learning rate, 3·10⁻³; 2⁻²² is a twelve-thousandth of it.
    let tensor = TensorTolerance { ulps: 2, absolute_exponent: Some(-22), differing: 1_000_000 };
    let tolerance = Tolerance::new(tensor, Vec::new()).expect("in range");
    let bytes = |tensors: &Tensors| {
        let one = |(name, values): (&String, &Vec<f32>)| {
            (name.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
        };
        tensors.iter().map(one).collect::<Vec<_>>()
    };
    let (begin, end, found) = (bytes(before), bytes(committed), bytes(replayed));
    let begin_views: Vec<StoredTensor<'_>> =
        begin.iter().map(|(name, bytes)| StoredTensor { name, format: Format::F32, bytes }).collect();
    let end_views: Vec<StoredTensor<'_>> =
        end.iter().map(|(name, bytes)| StoredTensor { name, format: Format::F32, bytes }).collect();
    let found_views: Vec<StoredTensor<'_>> =
        found.iter().map(|(name, bytes)| StoredTensor { name, format: Format::F32, bytes }).collect();
    let start = root(before);
    let span = Span { start, end: root(committed) };
    let environment =
        |threads| Environment { library: "torch 2.15.0".to_owned(), instruction_path: "avx512".to_owned(), threads };
    let exact = check_bit_exact(&span, &environment(1), &Span { start, end: root(replayed) }, &environment(1));
    assert_eq!(exact.is_ok(), committed == replayed);
    let states = (
        &State { root: start, tensors: &begin_views },
        &State { root: span.end, tensors: &end_views },
        &State { root: root(replayed), tensors: &found_views },
    );
    check_within_tolerance(&span, tolerance.digest(), &tolerance, start, states)
}

#[test]
fn stored_steps_of_pytorch_are_replayed_within_tolerance_and_no_others_are() {
    let Some(trace) = shared().map(|shared| shared.join("traces/digits-fp32")).filter(|folder| folder.is_dir()) else {
        skipped("digits-fp32: no shared folder (set WEIGHBRIDGE_SHARED)");
        return;
    };
    let state = |number: usize| trace.join(format!("step_{number:05}"));
    let mut greatest = 0;
    for number in 0..40 {
        let (before, _) = load(&state(number).join("model.safetensors"));
        let (next, _) = load(&state(number + 1).join("model.safetensors"));
        let replayed = step(&state(number), number, 3e-3);
        match compare(&before, &next, &replayed) {
            Ok(ReplayGrade::WithinTolerance(closeness)) => {
                let difference = closeness.difference;
                assert!(closeness.moved > 100.0 * closeness.apart, "step {number}: {closeness:?}");
                assert_eq!(difference.entries, 2_368);
                assert!(difference.differing > 0, "step {number}: other kernels, other bits");
                greatest = greatest.max(difference.differing);
            }
            other => panic!("step {number}: {other:?}"),
        }
        // Another step's result, a step that does nothing, and another learning rate.
        let forged =
            [step(&state((number + 1) % 40), number, 3e-3), before.clone(), step(&state(number), number, 3.03e-3)];
        for forged in forged {
            assert!(matches!(compare(&before, &next, &forged), Err(ReplayRefusal::Beyond { .. })), "step {number}");
        }
    }
    println!("at most {greatest} of 2,368 weights differ in a step");
}
