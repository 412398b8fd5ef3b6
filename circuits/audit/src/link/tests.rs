//! Each rule: an honest entry, and the entry changed.

use super::*;
use crate::trace::tests::{floats, tensors};
use serde_json::{Value, json};
use weighbridge_attest_types::sha256;

type Row<'a> = (&'a str, &'a [u64], Vec<u8>, &'a str);

#[expect(clippy::cast_possible_truncation, reason = "rounding to F32 is what is meant")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

fn ints(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bf16(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

/// Verdicts on all entries of the outputs of one operation over these tensors.
fn verdicts(operation: &Value, rows: &[Row<'_>]) -> Vec<Verdict> {
    entries(operation, rows, u64::MAX)
}

/// The same on the first entries of each output.
fn entries(operation: &Value, rows: &[Row<'_>], most: u64) -> Vec<Verdict> {
    let file = tensors(rows);
    let described: Vec<Value> =
        rows.iter().map(|(name, shape, _, dtype)| json!({"name": name, "dtype": dtype, "shape": shape})).collect();
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 0, "step": 0, "rank": 0},
        "tensors_sha256": sha256(&file), "tensors": described, "operations": [operation]
    });
    let trace = Trace::parse(graph.to_string().as_bytes(), &file).unwrap();
    let mut links = Links::new(&trace);
    let outputs: Vec<u64> = trace.operations()[0].outputs().map(|(_, out)| out.view.elements()).collect();
    let mut all = Vec::new();
    for (output, elements) in outputs.into_iter().enumerate() {
        all.extend((0..elements.min(most)).map(|entry| links.check(0, output, entry).unwrap()));
    }
    all
}

fn operation(op: &str, inputs: &[&str], outputs: &[&str], with: &Value) -> Value {
    let roles = |names: &[&str]| {
        Value::Object(names.iter().map(|name| ((*name).to_owned(), json!({"tensor": name}))).collect())
    };
    json!({"op": op, "name": op, "in": roles(inputs), "out": roles(outputs), "with": with})
}

/// Honest rows pass everywhere; each named change of the last row is refused at its entry.
fn honest_and_changed(operation: &Value, rows: &[Row<'_>], changes: &[(usize, f32)]) {
    let honest = verdicts(operation, rows);
    assert!(honest.iter().all(|verdict| *verdict == Verdict::Accepted), "{honest:?}");
    for (entry, value) in changes {
        let mut rows = rows.to_vec();
        let last = rows.last_mut().unwrap();
        last.2[entry * 4..entry * 4 + 4].copy_from_slice(&value.to_le_bytes());
        let found = verdicts(operation, &rows);
        assert!(found.iter().any(|verdict| matches!(verdict, Verdict::Refused(_))), "{entry} {value}: {found:?}");
    }
}

#[test]
fn copies_keep_every_bit() {
    let transposed = json!({"op": "view", "name": "t", "out": {"out": {"tensor": "out"}},
        "in": {"in": {"tensor": "in", "shape": [3, 2], "strides": [1, 3]}}});
    let rows: [Row<'_>; 2] = [
        ("in", &[2, 3], floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "F32"),
        ("out", &[3, 2], floats(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]), "F32"),
    ];
    honest_and_changed(&transposed, &rows, &[(0, -1.0), (5, 6.000_001)]);
    let mut zero = rows.clone();
    zero[0].2 = floats(&[0.0; 6]);
    zero[1].2 = floats(&[-0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(matches!(&verdicts(&transposed, &zero)[0], Verdict::Refused(Refusal { why: Why::OtherBits, .. })));
    let joined = operation("concat", &["0", "1"], &["out"], &json!({"dim": "1"}));
    let rows: [Row<'_>; 3] = [
        ("0", &[2, 1], floats(&[1.0, 4.0]), "F32"),
        ("1", &[2, 2], floats(&[2.0, 3.0, 5.0, 6.0]), "F32"),
        ("out", &[2, 3], floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "F32"),
    ];
    honest_and_changed(&joined, &rows, &[(0, 2.0), (3, 1.0), (4, 4.0)]);
}

#[test]
fn gathered_rows_are_those_of_their_index() {
    let gather = operation("gather", &["table", "index"], &["out"], &json!({}));
    let rows: [Row<'_>; 3] = [
        ("table", &[3, 2], floats(&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0]), "F32"),
        ("index", &[2], ints(&[2, 0]), "I64"),
        ("out", &[2, 2], floats(&[20.0, 21.0, 0.0, 1.0]), "F32"),
    ];
    honest_and_changed(&gather, &rows, &[(0, 10.0), (3, 0.0)]);
    for index in [3, -1] {
        let mut rows = rows.clone();
        rows[1].2 = ints(&[index, 0]);
        assert!(matches!(
            &verdicts(&gather, &rows)[0],
            Verdict::Refused(Refusal { why: Why::Index { rows: 3, .. }, .. })
        ));
    }
}

#[test]
fn casts_and_sums_are_rounded_once() {
    let cast = operation("cast", &["in"], &["out"], &json!({}));
    let narrowed = |bits: u16| {
        let rows: [Row<'_>; 2] =
            [("in", &[1], floats(&[1.003]), "F32"), ("out", &[1], bits.to_le_bytes().to_vec(), "BF16")];
        verdicts(&cast, &rows)[0].clone()
    };
    assert_eq!(narrowed(0x3f80), Verdict::Accepted);
    assert!(matches!(narrowed(0x3f81), Verdict::Refused(_)));
    let widened: [Row<'_>; 2] = [("in", &[1], bf16(&[1.5]), "BF16"), ("out", &[1], floats(&[1.5]), "F32")];
    honest_and_changed(&cast, &widened, &[(0, 1.500_000_1)]);

    let add = operation("add", &["a", "b"], &["out"], &json!({"alpha": "0.5"}));
    let rows: [Row<'_>; 3] = [
        ("a", &[2], floats(&[1.0, 0.1]), "F32"),
        ("b", &[2], floats(&[1.0, 0.3]), "F32"),
        ("out", &[2], floats(&[1.5, 0.25]), "F32"),
    ];
    honest_and_changed(&add, &rows, &[(0, 1.500_001), (1, 0.250_000_2), (0, 1.0), (0, f32::NAN), (0, f32::INFINITY)]);
    let scale = operation("scale", &["in"], &["out"], &json!({"by": "0.25"}));
    honest_and_changed(
        &scale,
        &[rows[0].clone(), ("out", &[2], floats(&[0.25, 0.025]), "F32")]
            .map(|(name, shape, bytes, dtype)| (if name == "a" { "in" } else { name }, shape, bytes, dtype)),
        &[(0, 1.0)],
    );
    let fill = operation("fill", &[], &["out"], &json!({"value": "0.1"}));
    honest_and_changed(&fill, &[("out", &[2], floats(&[0.1, 0.1]), "F32")], &[(1, 0.100_001), (0, 0.0)]);
}

#[test]
fn relu_and_its_gradient_are_exact() {
    let relu = operation("relu", &["in"], &["out"], &json!({}));
    let rows: [Row<'_>; 2] =
        [("in", &[4], floats(&[1.5, -2.0, -0.0, 0.0]), "F32"), ("out", &[4], floats(&[1.5, 0.0, -0.0, 0.0]), "F32")];
    honest_and_changed(&relu, &rows, &[(0, 1.500_000_1), (1, -2.0), (1, 1e-30)]);
    let grad = operation("relu-grad", &["x", "grad"], &["out"], &json!({}));
    let rows: [Row<'_>; 3] = [
        ("x", &[3], floats(&[1.0, 0.0, -1.0]), "F32"),
        ("grad", &[3], floats(&[5.0, 6.0, 7.0]), "F32"),
        ("out", &[3], floats(&[5.0, 0.0, 0.0]), "F32"),
    ];
    honest_and_changed(&grad, &rows, &[(0, 0.0), (1, 6.0), (2, 7.0)]);
}

#[test]
fn column_sums_are_bounded_and_say_when_they_cannot_tell() {
    let sum = operation("column-sum", &["in"], &["out"], &json!({}));
    let column: Vec<f32> = (0..100u16).map(|row| f32::from(row) * 0.01 - 0.4).collect();
    let total: f32 = column.iter().sum();
    let rows: [Row<'_>; 2] = [("in", &[100, 1], floats(&column), "F32"), ("out", &[1], floats(&[total]), "F32")];
    honest_and_changed(&sum, &rows, &[(0, total + 0.001), (0, 0.0), (0, total * 1.001)]);
    // Two huge numbers that cancel hide everything else.
    let loud = [1e30, -1e30, 1.0, 2.0];
    let rows: [Row<'_>; 2] = [("in", &[4, 1], floats(&loud), "F32"), ("out", &[1], floats(&[3.0]), "F32")];
    assert_eq!(verdicts(&sum, &rows)[0], Verdict::Accepted);
    let many = vec![1.0f32; 300_000];
    let rows: [Row<'_>; 2] = [("in", &[300_000, 1], floats(&many), "F32"), ("out", &[1], floats(&[3e5]), "F32")];
    assert!(matches!(verdicts(&sum, &rows)[0], Verdict::NotProven(_)));
}

#[test]
fn loss_gradients_follow_their_definitions() {
    let ce = operation("cross-entropy-grad", &["logits", "targets", "grad"], &["out"], &json!({"reduction": "mean"}));
    let (logits, targets) = ([1.0f32, 2.0, 0.5, -1.0, 0.0, 3.0, 9.0, 9.0, 9.0], [1, 2, -100]);
    let mut wanted = Vec::new();
    for (row, target) in logits.chunks(3).zip(targets) {
        let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        for (class, logit) in (0i64..).zip(row) {
            let hit = if class == target { 1.0 } else { 0.0 };
            let value = (f64::from(*logit).exp() / sum - hit) * 4.0 / 2.0;
            wanted.push(if target < 0 { 0.0 } else { narrow(value) });
        }
    }
    let rows: [Row<'_>; 4] = [
        ("logits", &[3, 3], floats(&logits), "F32"),
        ("targets", &[3], ints(&targets), "I64"),
        ("grad", &[1], floats(&[4.0]), "F32"),
        ("out", &[3, 3], floats(&wanted), "F32"),
    ];
    honest_and_changed(&ce, &rows, &[(0, wanted[0] * 1.0001), (1, -wanted[1]), (8, 0.5), (3, 0.0)]);
    let mut beyond = rows.clone();
    beyond[1].2 = ints(&[3, 2, -100]);
    assert!(matches!(
        verdicts(&ce, &beyond)[0],
        Verdict::Refused(Refusal { why: Why::Index { found: 3, rows: 3 }, .. })
    ));

    let mse = operation("mse-grad", &["prediction", "target"], &["out"], &json!({"reduction": "mean"}));
    let rows: [Row<'_>; 3] = [
        ("prediction", &[2], floats(&[1.0, 3.0]), "F32"),
        ("target", &[2], floats(&[0.5, 3.5]), "F32"),
        ("out", &[2], floats(&[0.5, -0.5]), "F32"),
    ];
    honest_and_changed(&mse, &rows, &[(0, 1.0), (1, 0.5)]);
}

#[test]
fn clipped_gradients_share_one_factor() {
    let clip = json!({"op": "clip", "name": "clip", "with": {"max_norm": "1.0"},
        "in": {"0": {"tensor": "g"}, "1": {"tensor": "h"}}, "out": {"0": {"tensor": "gc"}, "1": {"tensor": "hc"}}});
    let run = |g: f32, h: f32, gc: f32, hc: f32| {
        let row = |name, value| -> Row<'_> { (name, &[1], floats(&[value]), "F32") };
        verdicts(&clip, &[row("g", g), row("h", h), row("gc", gc), row("hc", hc)])
    };
    assert_eq!(run(3.0, 4.0, 0.6, 0.8), [Verdict::Accepted, Verdict::Accepted]);
    assert_eq!(run(0.3, 0.4, 0.3, 0.4), [Verdict::Accepted, Verdict::Accepted]);
    assert!(matches!(run(3.0, 4.0, 0.3, 0.8)[0], Verdict::Refused(_)));
    assert!(matches!(run(0.3, 0.4, 0.300_001, 0.4)[0], Verdict::Refused(_)), "nothing is clipped below the norm");
    // A gradient that is no number has no norm: nobody's entry passes, not even a plausible one.
    let infinite = run(f32::INFINITY, 4.0, 0.6, 4.0);
    assert!(infinite.iter().all(|verdict| matches!(verdict, Verdict::Refused(Refusal { why: Why::NotFinite, .. }))));
}

#[test]
fn sgd_follows_its_numbers() {
    let sgd = operation("sgd", &["param", "grad", "momentum"], &[], &json!({"lr": "0.1", "momentum": "0.9"}));
    let mut sgd = sgd;
    sgd["out"] = json!({"param": {"tensor": "after"}, "momentum": {"tensor": "kept"}});
    let (param, grad, kept): (f32, f32, f32) = (1.0, 0.5, 0.25);
    let buffer = kept * 0.9 + grad;
    let rows: [Row<'_>; 5] = [
        ("param", &[1], floats(&[param]), "F32"),
        ("grad", &[1], floats(&[grad]), "F32"),
        ("momentum", &[1], floats(&[kept]), "F32"),
        ("kept", &[1], floats(&[buffer]), "F32"),
        ("after", &[1], floats(&[param - 0.1 * buffer]), "F32"),
    ];
    honest_and_changed(&sgd, &rows, &[(0, param), (0, param - 0.1 * grad), (0, param + 0.1 * buffer)]);
    let mut forgot = rows.clone();
    forgot[3].2 = floats(&[grad]);
    assert!(verdicts(&sgd, &forgot).iter().filter(|verdict| matches!(verdict, Verdict::Refused(_))).count() >= 1);
}

#[test]
fn adamw_is_checked_by_multiplication() {
    let mut adamw = operation(
        "adamw",
        &["param", "grad", "exp_avg", "exp_avg_sq"],
        &[],
        &json!({"lr": "0.003", "beta1": "0.9", "beta2": "0.999", "eps": "1e-8", "weight_decay": "0.01", "step": "2"}),
    );
    adamw["out"] = json!({"exp_avg": {"tensor": "m"}, "exp_avg_sq": {"tensor": "v"}, "param": {"tensor": "p"}});
    let (param, grad, m0, v0): (f64, f64, f64, f64) = (0.75, -0.02, 0.001, 1e-4);
    let (m, v) = (0.9 * m0 + 0.1 * grad, 0.999 * v0 + 0.001 * grad * grad);
    let step = 0.003 * (m / (1.0 - 0.81)) / ((v / (1.0 - 0.998_001)).sqrt() + 1e-8);
    let after = param * (1.0 - 0.003 * 0.01) - step;
    let row = |name, value: f64| -> Row<'_> { (name, &[1], floats(&[narrow(value)]), "F32") };
    let rows = [
        row("param", param),
        row("grad", grad),
        row("exp_avg", m0),
        row("exp_avg_sq", v0),
        row("m", m),
        row("v", v),
        row("p", after),
    ];
    honest_and_changed(
        &adamw,
        &rows,
        &[(0, narrow(param)), (0, narrow(param - step)), (0, narrow(after + 1e-6)), (0, f32::NAN)],
    );
    for (at, value) in [(4, m0), (5, v0), (5, -1e-4), (4, m * 1.001)] {
        let mut changed = rows.clone();
        changed[at].2 = floats(&[narrow(value)]);
        assert!(
            verdicts(&adamw, &changed).iter().any(|verdict| matches!(verdict, Verdict::Refused(_))),
            "{at} {value}"
        );
    }
}

fn bf16_nearest(value: f64) -> f32 {
    let bits = narrow(value).to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

/// In BF16 an update is often smaller than two roundings of its parameter: weights that nobody moved must not pass for it.
#[test]
fn weights_that_were_not_moved_are_no_update_in_bf16() {
    let mut unmoved = 0;
    for decay in [0.0, 0.01, 0.1] {
        let with = json!({"lr": "0.001", "beta1": "0.9", "beta2": "0.95", "eps": "1e-8",
            "weight_decay": decay.to_string(), "step": "1000"});
        let mut adamw = operation("adamw", &["param", "grad", "exp_avg", "exp_avg_sq"], &[], &with);
        adamw["out"] = json!({"exp_avg": {"tensor": "m"}, "exp_avg_sq": {"tensor": "v"}, "param": {"tensor": "p"}});
        for place in 1..=40u8 {
            let param = bf16_nearest(0.05 + 0.000_7 * f64::from(place));
            let (first, second) = (bf16_nearest(0.000_05 * f64::from(place)), bf16_nearest(1e-6));
            // The moments stay where they are: the gradient that leaves both has the size of their roots.
            let update = 0.001 * f64::from(first) / f64::from(second).sqrt();
            let fused = bf16_nearest(f64::from(param) * (1.0 - 0.001 * decay) - update);
            let plain = bf16_nearest(f64::from(bf16_nearest(f64::from(param) * (1.0 - 0.001 * decay))) - update);
            let said = |after: f32| {
                let row = |name, value: f32| -> Row<'_> { (name, &[1], bf16(&[value]), "BF16") };
                let rows = [
                    row("param", param),
                    row("grad", first),
                    row("exp_avg", first),
                    row("exp_avg_sq", second),
                    row("m", first),
                    row("v", second),
                    row("p", after),
                ];
                // Outputs stand in the order of their names: exp_avg, exp_avg_sq, param.
                verdicts(&adamw, &rows)[2].clone()
            };
            for honest in [fused, plain] {
                assert_eq!(said(honest), Verdict::Accepted, "{decay} {place}");
            }
            let half_step = 2f64.powi(-13);
            if fused != param && plain != param && update > 1.1 * half_step {
                unmoved += 1;
                assert!(matches!(said(param), Verdict::Refused(_)), "{decay} {place}: {update}");
            }
            if update > 0.000_5 {
                let backwards = bf16_nearest(f64::from(param) + update);
                assert!(matches!(said(backwards), Verdict::Refused(_)), "{decay} {place}");
            }
        }
    }
    assert!(unmoved > 60, "{unmoved}");
}

/// Two roundings of F32 and an update below both: the number that one rounding gives passes, and what only two of them could
/// give says nothing.
#[test]
fn an_update_below_two_roundings_proves_nothing() {
    let with =
        json!({"lr": "1e-8", "beta1": "0.9", "beta2": "0.999", "eps": "1e-8", "weight_decay": "0.1", "step": "2"});
    let mut adamw = operation("adamw", &["param", "grad", "exp_avg", "exp_avg_sq"], &[], &with);
    adamw["out"] = json!({"exp_avg": {"tensor": "m"}, "exp_avg_sq": {"tensor": "v"}, "param": {"tensor": "p"}});
    let row = |name, value: f32| -> Row<'_> { (name, &[1], floats(&[value]), "F32") };
    let said = |after: f32| {
        let rows = [
            row("param", 0.75),
            row("grad", 0.01),
            row("exp_avg", 0.01),
            row("exp_avg_sq", 1e-4),
            row("m", 0.01),
            row("v", 1e-4),
            row("p", after),
        ];
        verdicts(&adamw, &rows)[2].clone()
    };
    assert_eq!(said(0.75), Verdict::Accepted);
    let beside = f32::from_bits(0.75f32.to_bits() - 1);
    assert!(matches!(said(beside), Verdict::NotProven(_)), "{:?}", said(beside));
    let far = f32::from_bits(0.75f32.to_bits() - 9);
    assert!(matches!(said(far), Verdict::Refused(_)), "{:?}", said(far));
}

/// One row whose target has the share p among many classes, all others alike, in BF16: what PyTorch's loss gives, and zero,
/// and the other sign.
#[test]
fn gradients_at_the_target_are_told_from_nothing_or_not_proven() {
    let ce = operation("cross-entropy-grad", &["logits", "targets"], &["out"], &json!({"reduction": "sum"}));
    for classes in [256u64, 50_257] {
        for (share, is_told) in [(0.01f64, true), (0.5, true), (0.75, true), (0.95, false), (0.99, false)] {
            let mut logits = vec![0f32; usize::try_from(classes).unwrap()];
            logits[0] = bf16_nearest((share / (1.0 - share) * (classes as f64 - 1.0)).ln());
            let sum = f64::from(logits[0]).exp() + (classes as f64 - 1.0);
            let target = f64::from(logits[0]).exp() / sum - 1.0;
            let said = |at_target: f64| {
                let mut out = vec![bf16_nearest(1.0 / sum); logits.len()];
                out[0] = bf16_nearest(at_target);
                let shape: &[u64] = &[1, classes];
                let rows: [Row<'_>; 3] = [
                    ("logits", shape, bf16(&logits), "BF16"),
                    ("targets", &[1], ints(&[0]), "I64"),
                    ("out", shape, bf16(&out), "BF16"),
                ];
                entries(&ce, &rows, 2)
            };
            let honest = said(target);
            assert_eq!(honest[1], Verdict::Accepted, "{classes} {share}");
            assert_eq!(honest[0] == Verdict::Accepted, is_told, "{classes} {share}: {:?}", honest[0]);
            assert!(!matches!(honest[0], Verdict::Refused(_)), "{classes} {share}: {:?}", honest[0]);
            for forged in [0.0, -target, target * 0.5] {
                assert_ne!(said(forged)[0], Verdict::Accepted, "{classes} {share}: {forged}");
            }
        }
    }
}
