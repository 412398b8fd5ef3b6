//! Events in order pass; out of order they are errors, or cannot be said.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::{Canonical, Challenge, CodecError, Digest32};

use super::*;
use crate::flop_tree::{
    FlopTree, OpeningError, OperationRecord, PathError, TileKind, TileOpening, UnitOpening, UnitRecord, Weight,
};
use crate::gemm::{NumericPolicy, OperationClass, OperationPolicy, Strip, Tile, TileDoubt, TileRefusal, TileVerdict};
use crate::key::Key;
use crate::number::Format;
use crate::ranks::{RankRange, Ranks};
use crate::statistics::{Risk, StatisticsError};

const GENESIS: Digest32 = Digest32([1; 32]);
const NODE: Digest32 = Digest32([2; 32]);
const SALT: [u8; 28] = [3; 28];
const CHAIN: Digest32 = Digest32([4; 32]);

/// A round every 3 s, the first at second 1,000.
const BEACON: BeaconChain = BeaconChain { chain: CHAIN, genesis: UnixMillis(1_000_000), period_millis: 3_000 };
const QUOTED: UnixMillis = UnixMillis(2_000_500);
const WITNESSED: UnixMillis = UnixMillis(2_001_000);
const DELTA: u64 = 10_000;
const DEADLINE: u64 = 60_000;

fn stratum(weight: Weight, cap: u128, draws: u32) -> Stratum {
    Stratum { weight, cap, draws, risk: Risk::new(25_000).unwrap() }
}

fn policy(mode: AuditMode, randomness: RandomnessRule) -> AuditPolicy {
    let strata = vec![stratum(Weight::Flop, 10_000_000, 40), stratum(Weight::Link, 10_000, 5)];
    AuditPolicy::new(mode, randomness, DEADLINE, Risk::FIVE_PERCENT, strata).unwrap()
}

const fn beacon() -> RandomnessRule {
    RandomnessRule::Beacon { chain: BEACON, delta_millis: DELTA }
}

fn round(number: u64) -> Revealed {
    Revealed::Round { chain: CHAIN, round: number, value: Digest32([7; 32]) }
}

/// Units with their tile trees, from a first step on.
struct Work {
    units: Vec<UnitRecord>,
    trees: Vec<FlopTree>,
    operations: Vec<Vec<OperationRecord>>,
    window: FlopTree,
}

impl Work {
    fn new(first_step: u64, is_traced: bool) -> Self {
        let (mut units, mut trees, mut operations) = (Vec::new(), Vec::new(), Vec::new());
        for step in first_step..first_step + 4 {
            let record = |number: u32, kind| OperationRecord {
                key: Key::new((0, step), (0, 0, number), (0, 0)).unwrap(),
                kind,
                rows: 20,
                cols: 40,
                side: 16,
                transposed: [false; 2],
                roots: [PoseidonDigest::default(); 3],
                form: Digest32([4; 32]),
                salt: [0; 28],
            };
            let product = |k| TileKind::Product { class: OperationClass::FORWARD, k, bias: false };
            let records = vec![record(0, product(8 + step)), record(1, TileKind::Link), record(2, product(3))];
            let leaves =
                records.iter().flat_map(|record| record.leaves().unwrap().map(Result::unwrap).collect::<Vec<_>>());
            let tree = FlopTree::new(leaves.collect()).unwrap();
            let root = *tree.root();
            units.push(UnitRecord {
                key: root.min.unit(),
                sums: root.sums,
                start: Digest32([5; 32]),
                end: Digest32([6; 32]),
                trace: is_traced.then_some(root.digest),
                salt: [0; 28],
            });
            trees.push(tree);
            operations.push(records);
        }
        let window = FlopTree::new(units.iter().map(|unit| unit.leaf().unwrap()).collect()).unwrap();
        Self { units, trees, operations, window }
    }

    fn published(&self, index: u64) -> (u64, PoseidonDigest) {
        (index, window_root(index, self.window.root(), &SALT))
    }

    fn commit(&self, chain: &mut WindowChain, index: u64) -> Result<CommittedWindow, WindowError> {
        chain.commit(self.published(index), (*self.window.root(), &SALT), (QUOTED, WITNESSED))
    }

    fn open_unit(&self, point: u128, weight: Weight) -> (usize, UnitOpening) {
        let place = self.window.find(point, weight).unwrap();
        (place, UnitOpening { unit: self.units[place].clone(), path: self.window.path(place).unwrap() })
    }

    fn open_tile(&self, unit: usize, point: u128, weight: Weight) -> TileOpening {
        let tree = &self.trees[unit];
        let place = tree.find(point, weight).unwrap();
        let key = tree.leaves()[place].min;
        let operation = self.operations[unit].iter().find(|operation| operation.key == key.operation()).unwrap();
        let path = tree.path(place).unwrap();
        TileOpening { root: *tree.root(), operation: operation.clone(), tile: key.tile(), path }
    }
}

fn chain(mode: AuditMode, randomness: RandomnessRule) -> WindowChain {
    WindowChain::new(GENESIS, NODE, policy(mode, randomness)).unwrap()
}

fn challenged() -> (Work, ChallengedWindow) {
    let work = Work::new(0, true);
    let committed = work.commit(&mut chain(AuditMode::Committed, beacon()), 0).unwrap();
    (work, committed.challenge(&round(338)).unwrap())
}

fn response(stratum: u8, draw: u32, received: u64, outcome: Outcome) -> Response {
    Response { stratum, draw, received: UnixMillis(received), outcome }
}

#[test]
fn committed_units_are_drawn_opened_and_counted() {
    let (work, window) = challenged();
    let mut responses = Vec::new();
    for (stratum, draws) in [(0u8, 40), (1, 5)] {
        for draw in 0..draws {
            let (weight, point) = window.point(stratum, draw).unwrap();
            let (place, opening) = work.open_unit(point, weight);
            let inside = opening.check(window.drawn_from(), point, weight).unwrap();
            let tile = work.open_tile(place, inside, weight);
            let drawn = tile.check(&opening.unit, opening.unit.trace, inside, weight).unwrap();
            assert_eq!(drawn.terms().is_some(), weight == Weight::Flop);
            assert!(drawn.entries().0 <= 16 && drawn.tile().1 < 3 && drawn.operation().rows == 20);
            responses.push(response(stratum, draw, 2_012_000, Outcome::Passed));
        }
        assert_eq!(window.point(stratum, draws), None);
    }
    assert_eq!(window.point(2, 0), None);
    // The round at or after 2,010.5 s comes at 2,011 s.
    assert_eq!(window.deadline(), UnixMillis(2_011_000 + DEADLINE));
    let closed = window.close(&responses).unwrap();
    assert_eq!((closed.index, closed.grade), (0, RandomnessGrade::Beacon));
    assert!(closed.grade.is_a_sample());
    let counts: Vec<_> = closed.counts.iter().map(|count| (count.passed, count.failures())).collect();
    assert_eq!(counts, [(40, 0), (5, 0)]);

    let second = later(&closed, 1);
    let committed = BTreeMap::from([(NODE, 2)]);
    let (outcome, grade) = ClosedWindow::outcome(&[closed.clone(), second.clone()], &committed, Weight::Flop).unwrap();
    assert_eq!((outcome.windows, outcome.draws, outcome.failures), (2, 40, 0));
    assert_eq!(grade, RandomnessGrade::Beacon);
    // 10⁷ · 4.382027 / 40: half of 5 % for this stratum, and half of that for no failure.
    let declared = Flops(2 * work.window.root().sums.flops().0);
    let correctness = ClosedWindow::conclude(&[closed, second], &committed, declared).unwrap();
    assert_eq!(correctness.allowance, Flops(1_095_507));
}

/// The same window again, as if it were a later one with later work.
fn later(closed: &ClosedWindow, index: u64) -> ClosedWindow {
    let at = |step| Key::new((0, step), (0, 0, 0), (0, 0)).unwrap();
    ClosedWindow { index, units: (at(4 * index), at(4 * index + 3)), ..closed.clone() }
}

#[test]
fn unanswered_late_and_doubtful_draws_are_failures() {
    let (_, window) = challenged();
    let deadline = window.deadline().0;
    let responses = [
        response(0, 0, deadline, Outcome::Passed),
        response(0, 1, deadline + 1, Outcome::Passed),
        response(0, 2, deadline, Outcome::NotProven),
        response(0, 3, deadline, Outcome::Refused),
        response(0, 4, deadline + 1, Outcome::Refused),
    ];
    let closed = window.close(&responses).unwrap();
    let [flop, link] = closed.counts[..] else { panic!("two strata") };
    assert_eq!((flop.passed, flop.not_proven, flop.refused, flop.unanswered), (1, 1, 2, 36));
    assert_eq!((flop.failures(), link.unanswered, link.failures()), (39, 5, 5));
}

#[test]
fn no_window_is_left_out_and_the_lowest_grade_counts() {
    let (_, window) = challenged();
    let closed = window.close(&[]).unwrap();
    let at = |index: u64| later(&closed, index);
    let outcome = |windows: &[ClosedWindow], committed: u64| {
        ClosedWindow::outcome(windows, &BTreeMap::from([(NODE, committed)]), Weight::Link)
    };
    let (both, _) = outcome(&[at(0), at(1)], 2).unwrap();
    assert_eq!((both.failures, both.windows), (10, 2));
    let refused = |committed, found| Err(WindowError::Windows { committed, found });
    // The one that went badly is missing, or another is there in its place, or twice.
    assert_eq!(outcome(&[at(0)], 2), refused(2, 1));
    assert_eq!(outcome(&[at(0), at(0)], 2), refused(2, 1));
    assert_eq!(outcome(&[at(0), at(2)], 2), refused(2, 2));
    assert_eq!(outcome(&[at(0), at(1)], 1), refused(1, 2));
    assert_eq!(outcome(&[], 0), refused(0, 0));
    let foreign = ClosedWindow { node_key_digest: GENESIS, ..at(1) };
    assert_eq!(outcome(&[at(0), foreign], 2), refused(2, 2));

    let mut other = at(1);
    other.counts[1].stratum.draws += 1;
    assert_eq!(outcome(&[at(0), other], 2), Err(WindowError::Strata));
    let one = ClosedWindow { counts: vec![closed.counts[0]], ..at(1) };
    assert_eq!(outcome(&[at(0), one], 2), Err(WindowError::Strata));
    let rehearsed = ClosedWindow { grade: RandomnessGrade::SelfCheck, ..at(1) };
    assert_eq!(outcome(&[at(0), rehearsed], 2).unwrap().1, RandomnessGrade::SelfCheck);
}

#[test]
fn responses_to_nothing_and_second_responses_are_refused() {
    for (wrong, place) in [
        (vec![response(0, 40, 0, Outcome::Passed)], (0, 40)),
        (vec![response(2, 0, 0, Outcome::Passed)], (2, 0)),
        (vec![response(0, 7, 0, Outcome::Refused), response(0, 7, 0, Outcome::Passed)], (0, 7)),
        // Late first, in time afterwards: still the second.
        (vec![response(1, 1, u64::MAX, Outcome::Passed), response(1, 1, 0, Outcome::Passed)], (1, 1)),
    ] {
        let (stratum, draw) = place;
        assert_eq!(challenged().1.close(&wrong), Err(WindowError::Response { stratum, draw }));
    }
}

#[test]
fn a_window_has_one_root_and_work_is_in_one_window() {
    let mut chain = chain(AuditMode::Committed, beacon());
    let (first, second) = (Work::new(0, true), Work::new(4, true));
    assert!(matches!(first.commit(&mut chain, 1), Err(WindowError::Index { expected: 0, found: 1 })));
    assert!(first.commit(&mut chain, 0).is_ok());
    // Another root for the same window, and the same work in the next one.
    assert!(matches!(second.commit(&mut chain, 0), Err(WindowError::Index { expected: 1, found: 0 })));
    assert!(matches!(first.commit(&mut chain, 1), Err(WindowError::Keys { index: 1 })));
    // The last unit's tiles as leaves of a window of their own: later keys, the same work.
    let tiles = FlopTree::new(first.trees[3].leaves()[1..].to_vec()).unwrap();
    let root = *tiles.root();
    let published = (1, window_root(1, &root, &SALT));
    let again = chain.commit(published, (root, &SALT), (QUOTED, WITNESSED));
    assert!(matches!(again, Err(WindowError::Keys { index: 1 })));
    let committed = second.commit(&mut chain, 1).unwrap();
    assert_eq!((committed.index(), committed.root()), (1, second.window.root()));
}

#[test]
fn a_published_root_binds_index_sums_keys_and_salt() {
    let work = Work::new(0, true);
    let root = *work.window.root();
    let published = work.published(0);
    let commit = |root: Node, salt: &[u8; 28]| {
        chain(AuditMode::Committed, beacon()).commit(published, (root, salt), (QUOTED, WITNESSED)).map(|_| ())
    };
    assert_eq!(commit(root, &SALT), Ok(()));
    let less = crate::flop_tree::Sums::default();
    for other in [Node { sums: less, ..root }, Node { max: root.min, ..root }] {
        assert_eq!(commit(other, &SALT), Err(WindowError::Root { index: 0 }));
    }
    assert_eq!(commit(root, &[0; 28]), Err(WindowError::Root { index: 0 }));
    let other_index = (0, window_root(1, &root, &SALT));
    let mut chain = chain(AuditMode::Committed, beacon());
    assert!(matches!(chain.commit(other_index, (root, &SALT), (QUOTED, WITNESSED)), Err(WindowError::Root { .. })));
}

#[test]
fn a_window_over_its_cap_is_refused() {
    let work = Work::new(0, true);
    let root = *work.window.root();
    let total = root.sums.flops().0;
    for (weight, cap, is_over) in [
        (Weight::Flop, total, false),
        (Weight::Flop, total - 1, true),
        (Weight::Link, 3200, false),
        (Weight::Link, 3199, true),
    ] {
        let strata = vec![stratum(weight, cap, 1)];
        let policy = AuditPolicy::new(AuditMode::Committed, beacon(), DEADLINE, Risk::FIVE_PERCENT, strata).unwrap();
        let mut chain = WindowChain::new(GENESIS, NODE, policy).unwrap();
        let committed = work.commit(&mut chain, 0).map(|_| ());
        let found = Flops(root.sums.weight(weight));
        let expected = if is_over { Err(WindowError::OverCap { index: 0, found, cap: Flops(cap) }) } else { Ok(()) };
        assert_eq!(committed, expected);
    }
}

#[test]
fn only_the_round_of_the_rule_challenges_and_only_what_was_witnessed_before_it() {
    let challenge = |times: (UnixMillis, UnixMillis), revealed: &Revealed| {
        let work = Work::new(0, true);
        let mut chain = chain(AuditMode::Committed, beacon());
        let committed = chain.commit(work.published(0), (*work.window.root(), &SALT), times).unwrap();
        committed.challenge(revealed).map(|window| window.deadline())
    };
    let usual = (QUOTED, WITNESSED);
    assert_eq!(challenge(usual, &round(338)), Ok(UnixMillis(2_071_000)));
    for found in [337, 339, 0, u64::MAX] {
        assert_eq!(challenge(usual, &round(found)), Err(WindowError::Round { expected: 338, found }));
    }
    let other = Revealed::Round { chain: NODE, round: 338, value: GENESIS };
    let nonce = Revealed::Nonce { verifier: NODE, issued: UnixMillis(u64::MAX), value: GENESIS };
    for wrong in [other, nonce, Revealed::Nothing] {
        assert_eq!(challenge(usual, &wrong), Err(WindowError::RandomnessSource));
    }
    // Witnessed when the round was out, or before it was quoted.
    let revealed = UnixMillis(2_011_000);
    for (witnessed, is_taken) in [(2_010_999, true), (2_011_000, false), (2_000_500, true), (2_000_499, false)] {
        let witnessed = UnixMillis(witnessed);
        let expected = WindowError::Witnessed { quoted: QUOTED, witnessed, revealed };
        assert_eq!(challenge((QUOTED, witnessed), &round(338)).err(), (!is_taken).then_some(expected));
    }
}

#[test]
fn rounds_are_counted_from_one_and_none_is_before_its_instant() {
    assert_eq!(BEACON.round_at_or_after(UnixMillis(0)), 1);
    for (instant, expected) in [(1_000_000, 1), (1_000_001, 2), (1_003_000, 2), (1_003_001, 3)] {
        let round = BEACON.round_at_or_after(UnixMillis(instant));
        assert_eq!(round, expected);
        assert!(BEACON.instant_of(round).0 >= instant);
    }
}

#[test]
fn a_verifiers_nonce_comes_after_what_it_saw() {
    let rule = RandomnessRule::Verifier { verifier: NODE };
    let challenge = |verifier, issued| {
        let committed = Work::new(0, true).commit(&mut chain(AuditMode::Committed, rule), 0).unwrap();
        committed.challenge(&Revealed::Nonce { verifier, issued: UnixMillis(issued), value: GENESIS })
    };
    let window = challenge(NODE, 2_001_001).unwrap();
    assert_eq!(window.close(&[]).unwrap().grade, RandomnessGrade::VerifierTrusted);
    assert!(matches!(challenge(NODE, 2_001_000), Err(WindowError::Witnessed { .. })));
    assert_eq!(challenge(GENESIS, 2_001_001).map(|_| ()), Err(WindowError::RandomnessSource));
}

#[test]
fn a_self_check_is_no_sample() {
    let mut chain = chain(AuditMode::Committed, RandomnessRule::SelfCheck);
    let window = Work::new(0, true).commit(&mut chain, 0).unwrap().challenge(&Revealed::Nothing).unwrap();
    let closed = window.close(&[]).unwrap();
    assert_eq!(closed.grade.as_str(), "self-check");
    assert!(!closed.grade.is_a_sample());
    assert!(RandomnessGrade::SelfCheck < RandomnessGrade::VerifierTrusted);
}

#[test]
fn surprise_is_said_and_refused() {
    let policy = policy(AuditMode::Surprise, beacon());
    let refused = WindowChain::new(GENESIS, NODE, policy).unwrap_err();
    assert_eq!(refused.to_string(), "audit mode `surprise` is described and not implemented");
    assert_eq!(refused.culprit(), Culprit::Unsupported);
}

#[test]
fn seeds_differ_by_window_and_by_what_was_published() {
    let seed = |index: u64, first_step: u64| {
        let mut chain = chain(AuditMode::Committed, RandomnessRule::SelfCheck);
        for earlier in 0..index {
            Work::new(earlier * 4, true).commit(&mut chain, earlier).unwrap();
        }
        let window = Work::new(first_step, true).commit(&mut chain, index).unwrap();
        window.challenge(&Revealed::Nothing).unwrap().seed().digest()
    };
    assert_eq!(seed(0, 8), seed(0, 8));
    assert!(seed(0, 8) != seed(1, 8) && seed(1, 8) != seed(1, 12));
    assert_eq!(Revealed::Nothing.challenge(), Challenge::None);
}

fn replayed() -> (Work, ChallengedWindow) {
    let work = Work::new(0, false);
    let committed = work.commit(&mut chain(AuditMode::Replayed, beacon()), 0).unwrap();
    (work, committed.challenge(&round(338)).unwrap())
}

fn trace(work: &Work, unit: usize, witnessed: u64) -> TraceCommitment {
    let root = work.trees[unit].root().digest;
    TraceCommitment { unit: work.units[unit].key, root, witnessed: UnixMillis(witnessed) }
}

/// Traces are due at 2,071 s; the second round is the first at or after 2,081 s.
const SECOND: u64 = 362;

#[test]
fn replayed_units_are_drawn_first_and_their_tiles_by_a_second_seed() {
    let (work, window) = replayed();
    let drawn = (0..40).map(|draw| window.point(0, draw).unwrap());
    let units: BTreeSet<usize> = drawn.map(|(weight, point)| work.open_unit(point, weight).0).collect();
    let (first_seed, traced) = {
        let seed = window.seed();
        let traces: Vec<_> = units.iter().map(|unit| trace(&work, *unit, 2_070_000)).collect();
        (seed, window.commit_traces(&traces).unwrap())
    };
    let window = traced.challenge(&round(SECOND)).unwrap();
    assert_ne!(window.seed(), first_seed);
    assert_eq!(window.deadline(), UnixMillis(2_083_000 + DEADLINE));
    let mut responses = Vec::new();
    for draw in 0..40 {
        let probe = window.points(0, draw, &work.units[0]).unwrap();
        let (place, opening) = work.open_unit(probe.1, probe.0);
        let (weight, in_window, in_unit) = window.points(0, draw, &opening.unit).unwrap();
        opening.check(window.drawn_from(), in_window, weight).unwrap();
        let tile = work.open_tile(place, in_unit, weight);
        tile.check(&opening.unit, window.trace(opening.unit.key), in_unit, weight).unwrap();
        responses.push(response(0, draw, 2_084_000, Outcome::Passed));
    }
    assert_eq!(window.points(0, 40, &work.units[0]), None);
    let closed = window.close(&responses).unwrap();
    assert_eq!(closed.counts[0].failures(), 0);
}

#[test]
fn a_late_trace_is_none_and_a_second_one_is_refused() {
    let (work, window) = replayed();
    let deadline = window.deadline().0;
    let traces = [trace(&work, 0, deadline), trace(&work, 1, deadline + 1)];
    let window = window.commit_traces(&traces).unwrap().challenge(&round(SECOND)).unwrap();
    assert_eq!(window.trace(work.units[0].key), Some(work.trees[0].root().digest));
    assert_eq!(window.trace(work.units[1].key), None);
    let (weight, _, point) = window.points(0, 0, &work.units[1]).unwrap();
    let opening = work.open_tile(1, point, weight);
    let refused = opening.check(&work.units[1], window.trace(work.units[1].key), point, weight);
    assert_eq!(refused, Err(OpeningError::NoTrace));

    let (work, window) = replayed();
    let twice = [trace(&work, 0, 0), trace(&work, 0, u64::MAX)];
    assert_eq!(window.commit_traces(&twice).map(|_| ()), Err(WindowError::Trace));
    let tile = TraceCommitment { unit: Key::new((0, 0), (0, 0, 1), (0, 0)).unwrap(), ..trace(&work, 0, 0) };
    assert_eq!(replayed().1.commit_traces(&[tile]).map(|_| ()), Err(WindowError::Trace));
}

#[test]
fn the_second_challenge_is_over_the_traces_and_later_than_all_of_them() {
    let second = |traces: fn(&Work) -> Vec<TraceCommitment>, number| {
        let (work, window) = replayed();
        window.commit_traces(&traces(&work)).unwrap().challenge(&round(number)).map(|window| window.seed().digest())
    };
    let one = |work: &Work| vec![trace(work, 0, 0)];
    let two = |work: &Work| vec![trace(work, 0, 0), trace(work, 1, 0)];
    assert_ne!(second(one, SECOND), second(two, SECOND));
    assert_eq!(second(one, 338), Err(WindowError::Round { expected: SECOND, found: 338 }));

    let rule = RandomnessRule::Verifier { verifier: NODE };
    let nonce = |issued| Revealed::Nonce { verifier: NODE, issued: UnixMillis(issued), value: GENESIS };
    let second = |issued| {
        let committed = Work::new(0, false).commit(&mut chain(AuditMode::Replayed, rule), 0).unwrap();
        let traced = committed.challenge(&nonce(2_002_000)).unwrap().commit_traces(&[]).unwrap();
        traced.challenge(&nonce(issued)).map(|_| ())
    };
    let deadline = UnixMillis(2_002_000 + DEADLINE);
    assert_eq!(second(deadline.0 + 1), Ok(()));
    assert_eq!(second(deadline.0), Err(WindowError::Early { revealed: deadline, deadline }));
}

#[test]
fn modes_are_not_mixed() {
    assert_eq!(challenged().1.commit_traces(&[]).map(|_| ()), Err(WindowError::Mode("committed")));
    assert_eq!(replayed().1.close(&[]), Err(WindowError::Mode("replayed")));
}

#[test]
fn an_opening_of_anything_but_what_was_drawn_is_refused() {
    let (work, window) = challenged();
    let (weight, point) = window.point(0, 0).unwrap();
    let (place, opening) = work.open_unit(point, weight);
    let inside = opening.check(window.drawn_from(), point, weight).unwrap();
    let tile = work.open_tile(place, inside, weight);
    let unit = &opening.unit;

    // Another unit, or another tile of the right one.
    let other = (place + 1) % 4;
    let elsewhere = UnitOpening { unit: work.units[other].clone(), path: work.window.path(other).unwrap() };
    assert_eq!(elsewhere.check(window.drawn_from(), point, weight), Err(OpeningError::Elsewhere));
    let total = unit.sums.weight(weight);
    let neighbour = work.open_tile(place, (inside + total / 2) % total, weight);
    assert_eq!(neighbour.check(unit, unit.trace, inside, weight), Err(OpeningError::Elsewhere));
    // A tile of a unit that was not drawn.
    let foreign = work.open_tile(other, 0, weight);
    assert!(matches!(foreign.check(unit, unit.trace, 0, weight), Err(OpeningError::Trace(_))));
    // Another shape under the same path: the weight is recomputed, and the leaf is another.
    let mut inflated = tile.clone();
    inflated.operation.rows = 40;
    assert_eq!(inflated.check(unit, unit.trace, inside, weight), Err(OpeningError::Path(PathError::Root)));
    let mut edge = tile.clone();
    edge.tile = (9, 9);
    assert!(matches!(edge.check(unit, unit.trace, inside, weight), Err(OpeningError::Record(_))));
    let other_trace = Some(work.trees[other].root().digest);
    assert!(matches!(tile.check(unit, other_trace, inside, weight), Err(OpeningError::Trace(_))));
    assert!(tile.check(unit, unit.trace, inside, weight).is_ok());
}

/// What is judged has the shape and the class of the drawn leaf, whatever the strips say of themselves.
#[test]
fn a_drawn_tile_is_judged_in_its_own_shape_and_class() {
    let (work, window) = challenged();
    let (weight, point) = window.point(0, 0).unwrap();
    let (place, opening) = work.open_unit(point, weight);
    let inside = opening.check(window.drawn_from(), point, weight).unwrap();
    let tile = work.open_tile(place, inside, weight);
    let drawn = tile.check(&opening.unit, opening.unit.trace, inside, weight).unwrap();
    let ((rows, cols), k) = (drawn.entries(), drawn.terms().unwrap());
    let [rows, cols, k] = [rows, cols, k].map(|size| usize::try_from(size).unwrap());
    let zeros = |rows: usize, k: usize| Strip::new(Format::Bf16, rows, k, vec![0; 2 * rows * k]).unwrap();
    let output = |rows: usize, cols: usize| Tile::new(Format::Bf16, rows, cols, vec![0; 2 * rows * cols]).unwrap();
    let policy = NumericPolicy::uniform(OperationPolicy::of(Format::Bf16, Format::Bf16));
    let verdict = drawn.judge(&policy, (&zeros(rows, k), &zeros(cols, k), &output(rows, cols))).unwrap();
    assert_eq!(Outcome::from(&verdict), Outcome::Passed);
    // The tiles are 16 × 16 by the record; what they had to be was said before the run.
    let larger = policy.clone().with_side(32).unwrap();
    let verdict = drawn.judge(&larger, (&zeros(rows, k), &zeros(cols, k), &output(rows, cols))).unwrap();
    assert_eq!(verdict, TileVerdict::Refused(TileRefusal::Side { expected: 32, found: 16 }));
    assert_eq!(Outcome::from(&verdict), Outcome::Refused);
    // A smaller tile, or a shorter product, would be cheaper.
    let shorter = drawn.judge(&policy, (&zeros(rows, k - 1), &zeros(cols, k - 1), &output(rows, cols)));
    assert_eq!(shorter, Err(OpeningError::Shape));
    let smaller = drawn.judge(&policy, (&zeros(1, k), &zeros(1, k), &output(1, 1)));
    assert_eq!(smaller, Err(OpeningError::Shape));
    // A class of which nothing was said.
    let other = NumericPolicy::new(vec![(OperationClass(9), OperationPolicy::of(Format::Bf16, Format::Bf16))]).unwrap();
    let verdict = drawn.judge(&other, (&zeros(rows, k), &zeros(cols, k), &output(rows, cols))).unwrap();
    assert_eq!(verdict, TileVerdict::NotProven(TileDoubt::NoPolicy { class: OperationClass::FORWARD }));
    assert_eq!(Outcome::from(&verdict), Outcome::NotProven);

    let (weight, point) = window.point(1, 0).unwrap();
    let (place, opening) = work.open_unit(point, weight);
    let inside = opening.check(window.drawn_from(), point, weight).unwrap();
    let link = work.open_tile(place, inside, weight);
    let drawn = link.check(&opening.unit, opening.unit.trace, inside, weight).unwrap();
    let judged = drawn.judge(&policy, (&zeros(1, 1), &zeros(1, 1), &output(1, 1)));
    assert_eq!(judged, Err(OpeningError::NotAProduct));
}

/// A unit and its own tiles as neighbours in one window: every key ascends, and the work would count twice. The draws
/// that fall on the tiles cannot be opened as units.
#[test]
fn a_tile_among_the_units_of_a_window_has_no_opening() {
    let work = Work::new(0, true);
    let mut leaves = vec![work.window.leaves()[0]];
    leaves.extend(&work.trees[0].leaves()[1..]);
    let window = FlopTree::new(leaves).unwrap();
    let honest = work.units[0].sums.flops().0;
    assert!(window.root().sums.flops().0 > honest + honest / 2);
    let place = window.find(honest + 1, Weight::Flop).unwrap();
    let path = window.path(place).unwrap();
    let tile = window.leaves()[place];
    let unit = UnitRecord { key: tile.min, sums: tile.sums, ..work.units[0].clone() };
    let opening = UnitOpening { unit, path: path.clone() };
    assert!(matches!(
        opening.check((window.root(), &Ranks::all()), honest + 1, Weight::Flop),
        Err(OpeningError::Record(_))
    ));
    let unit = UnitRecord { key: tile.min.unit(), sums: tile.sums, ..work.units[0].clone() };
    assert!(UnitOpening { unit, path }.check((window.root(), &Ranks::all()), honest + 1, Weight::Flop).is_err());
}

#[test]
fn a_policy_has_one_encoding_and_refuses_what_makes_no_sense() {
    for (mode, randomness) in [
        (AuditMode::Committed, beacon()),
        (AuditMode::Replayed, RandomnessRule::Verifier { verifier: NODE }),
        (AuditMode::Surprise, RandomnessRule::SelfCheck),
    ] {
        let policy = policy(mode, randomness);
        assert_eq!(AuditPolicy::from_bytes(&policy.to_bytes()), Ok(policy.clone()));
        let mut bytes = policy.to_bytes();
        bytes[0] = 3;
        assert_eq!(AuditPolicy::from_bytes(&bytes), Err(CodecError::NotCanonical("audit mode")));
    }
    let new = |randomness, deadline, strata: Vec<Stratum>| {
        AuditPolicy::new(AuditMode::Committed, randomness, deadline, Risk::FIVE_PERCENT, strata)
    };
    let one = || vec![stratum(Weight::Flop, 1, 1)];
    let range = |what| Err(WindowPolicyError::Range { what });
    assert_eq!(new(beacon(), 0, one()), range("deadline"));
    assert_eq!(new(beacon(), u64::MAX, one()), range("deadline"));
    let delta = |delta_millis| RandomnessRule::Beacon { chain: BEACON, delta_millis };
    assert_eq!(new(delta(0), 1, one()), range("delta"));
    let still = RandomnessRule::Beacon { chain: BeaconChain { period_millis: 0, ..BEACON }, delta_millis: 1 };
    assert_eq!(new(still, 1, one()), range("beacon period"));
    assert_eq!(new(beacon(), 1, vec![stratum(Weight::Flop, 0, 1)]), range("cap"));
    assert_eq!(new(beacon(), 1, vec![stratum(Weight::Flop, 1 << 86, 1)]), range("cap"));
    assert_eq!(new(beacon(), 1, vec![stratum(Weight::Flop, 1, 0)]), range("draws"));
    let twice = vec![stratum(Weight::Flop, 1, 1); 2];
    assert_eq!(new(beacon(), 1, twice), Err(WindowPolicyError::Strata));
    assert_eq!(new(beacon(), 1, Vec::new()), Err(WindowPolicyError::Strata));
    let risky = vec![stratum(Weight::Flop, 1, 1), Stratum { risk: Risk::FIVE_PERCENT, ..stratum(Weight::Link, 1, 1) }];
    assert_eq!(new(beacon(), 1, risky), Err(WindowPolicyError::Risk));
    assert_ne!(policy(AuditMode::Committed, beacon()).digest(), policy(AuditMode::Replayed, beacon()).digest());
}

/// A figure is concluded from a sample without refusals over just what the ledgers declare, and from nothing less.
#[test]
fn a_figure_needs_a_sample_no_refusals_and_what_is_declared() {
    let (work, window) = challenged();
    let deadline = window.deadline().0;
    let flops = work.window.root().sums.flops();
    let all = |outcome| -> Vec<_> {
        let of = |stratum, draws| (0..draws).map(move |draw| response(stratum, draw, deadline, Outcome::Passed));
        let mut all: Vec<_> = of(0u8, 40).chain(of(1, 5)).collect();
        all[44].outcome = outcome;
        all
    };
    let committed = BTreeMap::from([(NODE, 1)]);
    let conclude = |window: ClosedWindow, declared| ClosedWindow::conclude(&[window], &committed, declared);
    let closed = window.close(&all(Outcome::Passed)).unwrap();
    assert!(conclude(closed.clone(), flops).is_ok());
    for declared in [Flops(flops.0 + 1), Flops(flops.0 - 1), Flops(0)] {
        assert_eq!(conclude(closed.clone(), declared), Err(WindowError::Declared { declared, found: flops }));
    }
    let rehearsed = ClosedWindow { grade: RandomnessGrade::SelfCheck, ..closed };
    assert_eq!(conclude(rehearsed, flops), Err(WindowError::NotASample(RandomnessGrade::SelfCheck)));
    // A refused link is no failure among others.
    let refused = challenged().1.close(&all(Outcome::Refused)).unwrap();
    assert_eq!(conclude(refused, flops), Err(WindowError::Refused(1)));
    // Unanswered draws are: more than 40 of 40 cannot fail, and 39 leave little.
    let unanswered = challenged().1.close(&[]).unwrap();
    assert_eq!(conclude(unanswered, flops).unwrap().lower, Flops(0));
    assert_eq!(WindowError::from(StatisticsError::NoDraws).culprit(), Culprit::Rejected);
}

/// Products without a link between them: links are left out, and nothing of them can be drawn.
#[test]
fn links_that_are_left_out_are_failures() {
    let work = Work::new(0, true);
    let bare: Vec<UnitRecord> = (work.units.iter())
        .map(|unit| UnitRecord { sums: crate::flop_tree::Sums::of(unit.sums.flops(), 0).unwrap(), ..unit.clone() })
        .collect();
    let tree = FlopTree::new(bare.iter().map(|unit| unit.leaf().unwrap()).collect()).unwrap();
    let challenged = || {
        let mut chain = chain(AuditMode::Committed, beacon());
        let published = (0, window_root(0, tree.root(), &SALT));
        let committed = chain.commit(published, (*tree.root(), &SALT), (QUOTED, WITNESSED)).unwrap();
        committed.challenge(&round(338)).unwrap()
    };
    assert_eq!(challenged().point(1, 0), None);
    let closed = challenged().close(&[]).unwrap();
    assert_eq!((closed.counts[1].unanswered, closed.counts[1].failures()), (5, 5));
    // No answer makes up for them: there is no such draw.
    let answer = response(1, 0, challenged().deadline().0, Outcome::Passed);
    assert_eq!(challenged().close(&[answer]).map(|_| ()), Err(WindowError::Response { stratum: 1, draw: 0 }));
}

fn ranks(attempts: (u16, u16), ranks: (u32, u32)) -> Ranks {
    Ranks::new(vec![RankRange { attempts, ranks }]).unwrap()
}

/// Two nodes that declare the same ranks of the same steps, and what tells them apart.
#[test]
fn work_is_counted_on_one_node() {
    let other = Digest32([9; 32]);
    let closed = |node, ranks: Option<Ranks>, first_step| {
        let mut chain = WindowChain::new(GENESIS, node, policy(AuditMode::Committed, beacon())).unwrap();
        if let Some(ranks) = ranks {
            chain = chain.with_ranks(ranks);
        }
        let committed = Work::new(first_step, true).commit(&mut chain, 0)?;
        committed.challenge(&round(338))?.close(&[])
    };
    let outcome = |one: &ClosedWindow, two: &ClosedWindow| {
        let committed = BTreeMap::from([(NODE, 1), (other, 1)]);
        ClosedWindow::outcome(&[one.clone(), two.clone()], &committed, Weight::Flop).map(|_| ())
    };
    let here = closed(NODE, None, 0).unwrap();
    let twice = Err(WindowError::Ranks { index: 0 });
    assert_eq!(outcome(&here, &closed(other, None, 0).unwrap()), twice);
    assert_eq!(outcome(&here, &closed(other, None, 3).unwrap()), twice);
    // A node that goes on where another stopped, as after a reboot.
    assert_eq!(outcome(&here, &closed(other, None, 4).unwrap()), Ok(()));
    let rank = |rank| Some(ranks((0, 9), (rank, rank)));
    assert_eq!(outcome(&closed(NODE, rank(0), 0).unwrap(), &closed(other, rank(0), 1).unwrap()), twice);
    // Other ranks: then this work, of rank 0, is not theirs to declare.
    assert_eq!(closed(other, rank(1), 0), twice.clone().map(|()| here.clone()));
    let apart = ClosedWindow { ranks: ranks((0, 9), (1, 1)), node_key_digest: other, ..here.clone() };
    assert_eq!(outcome(&ClosedWindow { ranks: ranks((0, 9), (0, 0)), ..here.clone() }, &apart), Ok(()));

    // Of one run, under one policy, and each unit of a node in one window.
    let other_run = ClosedWindow { genesis: NODE, ..apart.clone() };
    assert_eq!(outcome(&here, &other_run), Err(WindowError::Runs));
    let other_policy = ClosedWindow { policy: NODE, ..apart };
    assert_eq!(outcome(&here, &other_policy), Err(WindowError::Runs));
    let again = ClosedWindow { index: 1, ..here.clone() };
    let refused = ClosedWindow::outcome(&[here, again], &BTreeMap::from([(NODE, 2)]), Weight::Flop);
    assert_eq!(refused.map(|_| ()), Err(WindowError::Keys { index: 1 }));
}

/// A unit of another node's rank in the middle of a window: the ends of the window do not show it, a draw does.
#[test]
fn a_unit_of_another_nodes_rank_is_refused_when_it_is_drawn() {
    let (work, window) = challenged();
    let (weight, point) = window.point(0, 0).unwrap();
    let (_, opening) = work.open_unit(point, weight);
    let check = |ranks: &Ranks| opening.check((window.root(), ranks), point, weight);
    assert!(check(&ranks((0, 0), (0, 0))).is_ok());
    assert_eq!(check(&ranks((0, 0), (1, 7))), Err(OpeningError::OtherNode));
    assert_eq!(check(&ranks((1, 3), (0, 0))), Err(OpeningError::OtherNode));
}
