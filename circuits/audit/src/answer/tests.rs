//! Answers of an honest trace pass by themselves, and everything that a forger can change in one is noticed.

mod fixture;
mod forgers;

use weighbridge_attest_types::{Canonical, UnixMillis};

use super::*;
use crate::flop_tree::{TileKind, Weight};
use crate::window::Outcome;
use fixture::{Job, judge};

#[test]
fn every_draw_of_an_honest_window_passes_without_its_trace() {
    let job = Job::honest();
    let (mut opened, mut products, mut biased) = (OpenedEntries::default(), 0u32, 0u32);
    for place in job.places() {
        let answer = job.answer(place);
        let bytes = answer.to_bytes();
        let read = Answer::from_bytes(&bytes).unwrap();
        assert_eq!(read, answer);
        // No trace is in reach of the judge.
        let judged = judge(&job, &read).unwrap();
        assert_eq!((judged.outcome, &judged.why), (Outcome::Passed, &None), "{place:?}");
        let TileKind::Product { bias, .. } = answer.drawn.operation.kind else {
            assert_eq!((judged.facts, judged.opened), (None, OpenedEntries::default()));
            continue;
        };
        products += 1;
        biased += u32::from(bias);
        assert!(judged.facts.unwrap().entries > 0);
        opened.checked += judged.opened.checked;
        opened.product += judged.opened.product;
        opened.boundary += judged.opened.boundary;
        assert_eq!(judged.opened.unlinked, 0);
        // Eight entries of each strip, less those that fall on the ones beside a bias: A has none there.
        let all = judged.opened.checked + judged.opened.product + judged.opened.boundary;
        assert_eq!(all, 2 * u64::from(OPENED_PER_STRIP));
    }
    assert!(products == 40 && biased > 5, "{products} products, {biased} with a bias");
    assert!(opened.checked > 0 && opened.product > 0 && opened.boundary > 0, "{opened:?}");
}

#[test]
fn an_answer_opens_what_the_check_reads_and_little_else() {
    let job = Job::honest();
    for place in job.places() {
        let answer = job.answer(place);
        let tiles: usize = answer.tensors.iter().map(|tensor| tensor.tiles.len()).sum();
        // Strips of 24 cross two tiles, and there are at most sixteen producers.
        assert!(tiles <= 12 && answer.to_bytes().len() < 40_000, "{tiles} tiles");
    }
}

#[test]
fn wrong_results_are_refused_wherever_they_are_drawn() {
    for (tensor, weight) in [("z", Weight::Flop), ("y", Weight::Flop), ("h", Weight::Link)] {
        let job = Job::with(|numbers| numbers.scale(tensor, 1.01));
        let refused = job.places().filter(|(stratum, _)| usize::from(*stratum) == weight as usize).filter(|place| {
            let answer = job.answer(*place);
            matches!(judge(&job, &answer).unwrap().outcome, Outcome::Refused)
        });
        assert!(refused.count() > 5, "{tensor}");
    }
}

/// Each operand of a drawn product is a checkpoint's, a batch's, or the output of a committed operation: one that no rule
/// covers is none of these.
#[test]
fn an_operand_from_nowhere_is_not_proven() {
    let job = Job::with(|numbers| numbers.hide_relu());
    let mut doubted = 0;
    for place in job.places() {
        let judged = judge(&job, &job.answer(place)).unwrap();
        if judged.opened.unlinked > 0 {
            assert_eq!(judged.outcome, Outcome::NotProven);
            assert!(judged.why.unwrap().contains("comes from no operation"));
            doubted += 1;
        }
    }
    assert!(doubted > 5, "{doubted}");
}

#[test]
fn a_policy_that_has_no_class_or_another_side_proves_nothing() {
    let job = Job::honest();
    let place = job.places().next().unwrap();
    let answer = job.answer(place);
    let numeric = job.numeric.clone().with_side(32).unwrap();
    let judged = answer.judge(&job.challenged, &numeric);
    // What the check does not read must not be there: the answer is one to another policy.
    assert!(matches!(judged, Err(AnswerError::Surplus(_))), "{judged:?}");
}

#[test]
fn answers_of_a_run_are_judged_in_the_order_of_the_audit() {
    let job = Job::honest();
    let (answers, ledger) = job.run(UnixMillis(50));
    let bytes = answers.to_bytes();
    let read = crate::Answers::from_bytes(&bytes).unwrap();
    assert_eq!(read, answers);
    let outcome = job.judge_run(&read, &ledger).unwrap();
    let [window] = &outcome.closed[..] else { panic!("one window") };
    for count in &window.counts {
        assert_eq!((count.passed, count.refused, count.not_proven, count.unanswered), (40, 0, 0, 0));
    }
    assert_eq!(outcome.judged.len(), 80);
    assert_eq!(outcome.of(Outcome::Refused).count(), 0);
}
