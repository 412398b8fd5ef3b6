//! **Duty.** Each attack on an answer, one at a time. **Knows** what a forger could change or commit to.

use weighbridge_attest_types::{Canonical, Digest32, PoseidonDigest, UnixMillis, sha256};

use super::super::*;
use super::fixture::{GENESIS, Job, challenge, judge, policy};
use crate::flop_tree::{FlopTree, OperationRecord, PathError, TileKind, UnitRecord};
use crate::gemm::OperationClass;
use crate::sampling::AnswersError;
use crate::trace::{FormError, OperationForm};
use crate::window::{Outcome, WindowError, window_root};

/// An answer of one kind to tamper with: of a product with a link before it, and of a link.
fn samples(job: &Job) -> Vec<Answer> {
    let product = job
        .places()
        .map(|place| job.answer(place))
        .find(|answer| matches!(answer.drawn.operation.kind, TileKind::Product { .. }) && answer.producers.len() > 1);
    let link = job.answer((1, 0));
    vec![product.unwrap(), link]
}

/// Every byte behind the number of the draw: none can be changed and the answer still be one.
#[test]
fn no_byte_of_an_answer_is_free() {
    let job = Job::honest();
    for answer in samples(&job) {
        let bytes = answer.to_bytes();
        let mut judged_so_far = 0;
        for at in (5..bytes.len()).step_by(bytes.len() / 700 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let Ok(read) = Answer::from_bytes(&changed) else { continue };
            judged_so_far += 1;
            assert!(judge(&job, &read).is_err(), "byte {at} of {}", bytes.len());
        }
        assert!(judged_so_far > 100);
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(Answer::from_bytes(&bytes[..cut]).is_err());
        }
    }
}

#[test]
fn an_answer_is_to_its_own_draw_and_window() {
    let job = Job::honest();
    let answers: Vec<Answer> = job.places().map(|place| job.answer(place)).collect();
    let mut elsewhere = 0;
    for (one, next) in answers.iter().zip(answers.iter().skip(1)) {
        let moved = Answer { stratum: next.stratum, draw: next.draw, ..one.clone() };
        match judge(&job, &moved) {
            Err(AnswerError::Opening(OpeningError::Elsewhere)) => elsewhere += 1,
            // The same tile twice, and of a product other entries.
            Err(AnswerError::Missing(_) | AnswerError::Surplus(_)) => {}
            // Two draws that fall on one tile have one answer, where they read the same of it.
            Ok(_) => assert_eq!((one.drawn.operation.key, one.drawn.tile), (next.drawn.operation.key, next.drawn.tile)),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(elsewhere > 20);
    for place in [(0, 40), (2, 0)] {
        let beyond = Answer { stratum: place.0, draw: place.1, ..answers[0].clone() };
        assert!(matches!(judge(&job, &beyond), Err(AnswerError::NoDraw)));
    }
    // The same work as another window has another seed, and another run's root does not open.
    let other = challenge(job.window.root(), 1);
    let passed = answers.iter().filter(|answer| answer.judge(&other, &job.numeric).is_ok()).count();
    assert!(passed < answers.len() / 2, "{passed} of {} fall on the same tile of a link", answers.len());
    let foreign = Job::with(|numbers| numbers.scale("z", 2.0));
    for answer in &answers {
        let refused = judge(&foreign, answer);
        assert!(matches!(refused, Err(AnswerError::Opening(OpeningError::Path(PathError::Root)))), "{refused:?}");
    }
}

/// A unit of one operation, committed by a forger: the record says what he likes, and everything is consistent.
fn forged(
    job: &Job,
    answer: &Answer,
    change: impl Fn(&mut OperationRecord),
    form: Option<Vec<u8>>,
) -> Result<Judged, AnswerError> {
    let mut operation = answer.drawn.operation.clone();
    if let Some(form) = &form {
        operation.form = OperationForm::parse(form).unwrap().digest();
    }
    change(&mut operation);
    let leaves: Vec<Node> = operation.leaves().unwrap().map(Result::unwrap).collect();
    let tree = FlopTree::new(leaves).unwrap();
    let root = *tree.root();
    let key = root.min.unit();
    let (start, end) = (Digest32([3; 32]), Digest32([4; 32]));
    let unit = UnitRecord { key, sums: root.sums, start, end, trace: Some(root.digest), salt: [0; 28] };
    let window = FlopTree::new(vec![unit.leaf().unwrap()]).unwrap();
    let challenged = challenge(window.root(), 0);
    let stratum = u8::from(operation.kind == TileKind::Link);
    for draw in 0..40 {
        let (weight, point) = challenged.point(stratum, draw).expect("it holds something of its weight");
        let place = tree.find(point, weight).unwrap();
        if tree.leaves()[place].min.tile() != answer.drawn.tile {
            continue;
        }
        let opened = OpenedOperation {
            operation,
            form: form.unwrap_or_else(|| answer.drawn.form.clone()),
            tile: answer.drawn.tile,
            path: tree.path(place).unwrap(),
        };
        let unit = UnitOpening { unit, path: window.path(0).unwrap() };
        let answer = Answer { stratum, draw, unit, root, drawn: opened, ..answer.clone() };
        return answer.judge(&challenged, &job.numeric);
    }
    panic!("forty draws miss the tile");
}

/// The record's kind, class, extents, orientation and roots follow from its form: none is its maker's word, though the
/// forger committed to it before the draw.
#[test]
fn a_record_says_nothing_that_its_form_does_not() {
    let job = Job::honest();
    let link = job.answer((1, 0));
    assert!(forged(&job, &link, |_| (), None).is_ok(), "the forger's tools work");
    let product = job
        .places()
        .map(|place| job.answer(place))
        .find(|answer| matches!(answer.drawn.operation.kind, TileKind::Product { bias: true, .. }));
    let product = product.unwrap();
    let class = |class, k, bias| move |record: &mut OperationRecord| record.kind = TileKind::Product { class, k, bias };
    type Change = Box<dyn Fn(&mut OperationRecord)>;
    let (forward, dgrad) = (OperationClass::FORWARD, OperationClass::DGRAD);
    let of_products: Vec<Change> = vec![
        // A looser class, a longer product that weighs more, and a bias that is none.
        Box::new(class(dgrad, 8, true)),
        Box::new(class(forward, 9, true)),
        Box::new(class(forward, 8, false)),
        Box::new(|record| record.rows += 16),
        Box::new(|record| record.cols += 16),
        Box::new(|record| record.transposed = [true, true]),
        Box::new(|record| record.roots[0] = PoseidonDigest::default()),
        Box::new(|record| record.roots[1] = record.roots[0]),
        Box::new(|record| record.roots[2] = record.roots[0]),
    ];
    for (number, change) in of_products.iter().enumerate() {
        let refused = forged(&job, &product, change, None);
        assert!(matches!(refused, Err(AnswerError::OtherRecord)), "{number}: {refused:?}");
    }
    let of_links: Vec<Change> = vec![
        Box::new(class(forward, 8, false)),
        Box::new(|record| record.rows += 16),
        Box::new(|record| record.roots[0] = record.roots[2]),
        Box::new(|record| record.roots[1] = record.roots[2]),
    ];
    for (number, change) in of_links.iter().enumerate() {
        let refused = forged(&job, &link, change, None);
        assert!(matches!(refused, Err(AnswerError::OtherRecord)), "{number}: {refused:?}");
    }
}

/// A form has no tensor that its operation leaves alone: opened under one shape and read under another, entries would change
/// places.
#[test]
fn a_form_has_no_decoy() {
    let job = Job::honest();
    let link = job.answer((1, 0));
    let with_decoy = |at: usize| {
        let mut form: serde_json::Value = serde_json::from_slice(&link.drawn.form).unwrap();
        let tensors = form["tensors"].as_array_mut().unwrap();
        let mut decoy = tensors[0].clone();
        decoy["tensor"]["name"] = "decoy".into();
        tensors.insert(at, decoy);
        serde_json::to_vec(&form).unwrap()
    };
    for at in [0, 1] {
        let refused = forged(&job, &link, |_| (), Some(with_decoy(at)));
        assert!(matches!(refused, Err(AnswerError::OtherForm)), "one root, two descriptions: {refused:?}");
    }
    let mut form: serde_json::Value = serde_json::from_slice(&link.drawn.form).unwrap();
    let tensors = form["tensors"].as_array_mut().unwrap();
    let mut unread = tensors[0].clone();
    unread["tensor"]["name"] = "unread".into();
    unread["root"] = serde_json::json!(PoseidonDigest::from_elements([1, 2, 3, 4]).unwrap());
    tensors.push(unread);
    let refused = forged(&job, &link, |_| (), Some(serde_json::to_vec(&form).unwrap()));
    assert!(matches!(refused, Err(AnswerError::Form(FormError::Unused))), "{refused:?}");
}

/// A form is of its record's micro-batch.
#[test]
fn a_form_is_of_its_micro_batch() {
    let job = Job::honest();
    let link = job.answer((1, 0));
    let mut form: serde_json::Value = serde_json::from_slice(&link.drawn.form).unwrap();
    form["operation"]["micro_batch"] = 1.into();
    let refused = forged(&job, &link, |_| (), Some(serde_json::to_vec(&form).unwrap()));
    assert!(matches!(refused, Err(AnswerError::OtherRecord)), "{refused:?}");
}

/// A link is of the kind, and has the numbers, that were committed: after the draw nobody makes a copy of a sum.
#[test]
fn a_link_keeps_its_kind_and_its_numbers() {
    let job = Job::with(|numbers| numbers.scale("h", 0.5));
    let link = job
        .places()
        .map(|place| job.answer(place))
        .find(|answer| String::from_utf8_lossy(&answer.drawn.form).contains(r#""op":"relu""#));
    let link = link.unwrap();
    assert_eq!(judge(&job, &link).unwrap().outcome, Outcome::Refused);
    // The same numbers are half of the input wherever that is positive: as a product with a constant some would pass.
    let text = String::from_utf8(link.drawn.form.clone()).unwrap();
    let scaled = text.replace(r#""op":"relu""#, r#""op":"scale""#);
    // The operation and the form end after its outputs.
    let open = scaled.strip_suffix("}}").unwrap();
    let with = |by: &str| format!(r#"{open},"with":{{"by":"{by}"}}}}}}"#);
    let half = with("0.5");
    OperationForm::parse(half.as_bytes()).unwrap();
    // After the draw: the record names another form.
    let mut changed = link.clone();
    changed.drawn.form = half.clone().into_bytes();
    assert!(matches!(judge(&job, &changed), Err(AnswerError::OtherForm)));
    // With the record: its leaf is not in the tree.
    changed.drawn.operation.form = OperationForm::parse(half.as_bytes()).unwrap().digest();
    let refused = judge(&job, &changed);
    assert!(matches!(refused, Err(AnswerError::Opening(OpeningError::Path(PathError::Root)))), "{refused:?}");
    // Before the draw it is what he committed to: a scale, which a ReLU's output is not, and which shows in the form.
    assert!(forged(&job, &link, |_| (), Some(half.into_bytes())).is_ok());
    assert_ne!(
        OperationForm::parse(with("0.5").as_bytes()).unwrap().digest(),
        OperationForm::parse(with("0.25").as_bytes()).unwrap().digest()
    );
}

#[test]
fn nothing_is_left_out_of_an_answer_and_nothing_added() {
    let job = Job::honest();
    let [product, link] = &samples(&job)[..] else { panic!("two") };
    for honest in [product, link] {
        let refused = |change: &dyn Fn(&mut Answer)| {
            let mut changed = honest.clone();
            change(&mut changed);
            judge(&job, &changed).unwrap_err()
        };
        let missing = refused(&|answer| {
            answer.tensors[0].tiles.pop();
        });
        assert!(matches!(missing, AnswerError::Missing(_)), "{missing}");
        assert!(matches!(refused(&|answer| answer.tensors.reverse()), AnswerError::Surplus("tensors")));
        let twice = refused(&|answer| {
            let tile = answer.tensors[0].tiles[0].clone();
            answer.tensors[0].tiles.push(tile);
        });
        assert!(matches!(twice, AnswerError::Surplus("tiles")));
        // A tile that is the tensor's and that nobody reads: there is room for one in the wider tensors.
        let strange = OpenedTensor { root: PoseidonDigest::default(), tiles: Vec::new() };
        let added = refused(&|answer| answer.tensors.insert(0, strange.clone()));
        assert!(matches!(added, AnswerError::Surplus("a tensor")), "{added}");
    }
    let refused = |change: &dyn Fn(&mut Answer)| {
        let mut changed = product.clone();
        change(&mut changed);
        judge(&job, &changed)
    };
    // Without its producer an entry comes from nowhere; the tiles that it was read with are then too many.
    let dropped = refused(&|answer| {
        answer.producers.pop();
    });
    assert!(matches!(dropped, Err(AnswerError::Surplus(_))), "{dropped:?}");
    let late = refused(&|answer| {
        let drawn = answer.drawn.clone();
        answer.producers.push(drawn);
    });
    assert!(matches!(late, Err(AnswerError::Order)), "{late:?}");
    assert!(matches!(refused(&|answer| answer.producers.reverse()), Err(AnswerError::Order)));
}

#[test]
fn whoever_changes_a_trace_after_the_commitment_has_no_answer() {
    let job = Job::honest();
    let other = Job::with(|numbers| numbers.scale("y", 1.5));
    let place = (0, 0);
    let forged = other.answer(place);
    let refused = judge(&job, &forged);
    assert!(matches!(refused, Err(AnswerError::Opening(OpeningError::Path(PathError::Root)))), "{refused:?}");
}

#[test]
fn windows_and_answers_agree_in_number_order_and_time() {
    let job = Job::honest();
    let (answers, ledger) = job.run(UnixMillis(50));
    let judged = |change: &dyn Fn(&mut crate::Answers)| {
        let mut changed = answers.clone();
        change(&mut changed);
        job.judge_run(&changed, &ledger)
    };
    let index =
        |source| matches!(source, Err(AnswersError::Window { index: 0, source: WindowError::Root { index: 0 } }));
    assert!(index(judged(&|answers| answers.chains[0].windows[0].salt[3] ^= 1)), "another salt");
    assert!(index(judged(&|answers| answers.chains[0].windows[0].root.digest = PoseidonDigest::default())));
    let none = judged(&|answers| answers.chains[0].windows.clear());
    assert!(matches!(none, Err(AnswersError::Windows { expected: 1, found: 0 })));
    let early = judged(&|answers| answers.chains[0].windows[0].answered = UnixMillis(4));
    assert!(matches!(early, Err(AnswersError::Early { index: 0 })));
    // What is left out, and what comes late, is unanswered: it is never fewer draws.
    let left_out = judged(&|answers| answers.chains[0].windows[0].answers.truncate(30)).unwrap();
    let counts: Vec<_> = left_out.closed[0].counts.iter().map(|count| (count.passed, count.unanswered)).collect();
    assert_eq!(counts, [(30, 10), (0, 40)]);
    let late = judged(&|answers| answers.chains[0].windows[0].answered = UnixMillis(1_006)).unwrap();
    assert!(late.closed[0].counts.iter().all(|count| (count.passed, count.unanswered) == (0, 40)));
    // One answer twice, and fewer draws than the policy asks for.
    let twice = judged(&|answers| {
        let again = answers.chains[0].windows[0].answers[0].clone();
        answers.chains[0].windows[0].answers.insert(1, again);
    });
    assert!(matches!(twice, Err(AnswersError::Window { source: WindowError::Response { .. }, .. })), "{twice:?}");
    let fewer = crate::Answers { policy: policy(30), ..answers.clone() };
    assert_ne!(fewer.policy.digest(), answers.policy.digest());
    let mut disorderly = answers.clone();
    disorderly.chains[0].windows[0].answers.swap(0, 1);
    assert!(crate::Answers::from_bytes(&disorderly.to_bytes()).is_err());
    // The seed is of this run, this key, this index and this root: another run's draws fall elsewhere.
    let elsewhere = answers.judge(&answers.chains[0], Digest32([7; 32]), &ledger);
    assert!(matches!(elsewhere, Err(AnswersError::Answer { .. })), "{elsewhere:?}");
    assert_ne!(GENESIS, Digest32([7; 32]));
    let moved = window_root(1, job.window.root(), &answers.chains[0].windows[0].salt);
    let other = [crate::LedgerWindow { root: moved, ..ledger[0] }];
    assert!(index(answers.judge(&answers.chains[0], GENESIS, &other)));
    assert_eq!(sha256(&answers.to_bytes()), sha256(&answers.to_bytes()));
}
