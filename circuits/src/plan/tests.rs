//! Random runs, honest and corrupted: natively all of them, in circuit as many as time allows. `WEIGHBRIDGE_LEDGERS=all`
//! takes 1,000 of each natively, 50 honest ones proven and 200 corrupted ones forged; otherwise a tenth.

mod corrupted;
mod ledgers;

use weighbridge_attest_types::{Digest32, Flops};

use super::cut::{LONG, LeafShape, SHORT, leaves_of};
use super::{ChainWitness, JobKind, LeafChoice, Plan, Weighed};
use crate::{Component, ProveError, Relation, TotalRelation};
use ledgers::{Random, run};

const GENESIS: Digest32 = Digest32([3; 32]);
const CONTEXT: Digest32 = Digest32([4; 32]);
/// The leaf of `testing::tree`.
const SMALL: LeafShape = LeafShape { is_long: false, segments: 3, intervals: 4 };

/// How many of a thousand are tried.
#[expect(clippy::disallowed_methods, reason = "the one switch for large counts")]
fn of_all(all: u64) -> u64 {
    let is_all = std::env::var("WEIGHBRIDGE_LEDGERS").is_ok_and(|value| value == "all");
    if is_all { all } else { all / 10 }
}

fn within() -> TotalRelation {
    TotalRelation::declared(Relation::Le(Flops(46 * 10u128.pow(26))))
}

fn plan<'a>(weighed: &Weighed<'a>, choice: LeafChoice) -> Plan<'a> {
    let public = weighed.statement(&[within()], CONTEXT).expect("true");
    weighed.plan(&public, choice, false).expect("a plan")
}

#[test]
fn leaves_follow_each_other_from_the_first_state_to_the_last() {
    for seed in 0..of_all(1_000) {
        let chains = run(&mut Random::new(seed), 6, 30);
        let weighed = Weighed::of(GENESIS, &chains).expect("honest");
        let leaves = leaves_of(&weighed, |_| SMALL).expect("honest");
        let initial = crate::state::State::initial(GENESIS);
        let mut at = initial.digest();
        for leaf in &leaves {
            assert_eq!(leaf.transition.from, at);
            at = leaf.transition.to;
        }
        let end = crate::state::State { closed: weighed.list(), totals: weighed.totals(), ..initial };
        assert_eq!(at, end.digest());
        // Native totals are those of the readings.
        let rows = || chains.iter().flat_map(|chain| &chain.rows);
        let sums = [0, 2, 3].map(|component| rows().map(|row| row.reading.elements()[component]).sum::<u64>());
        assert_eq!(Component::ALL.map(|component| weighed.total(component)), sums);
    }
}

#[test]
fn a_plan_takes_long_leaves_and_short_ones_for_the_rest() {
    let kinds = |intervals: u64, choice| {
        let chains = [ledgers::chain(&mut Random::new(1), 1, intervals)];
        let weighed = Weighed::of(GENESIS, &chains).expect("honest");
        let plan = plan(&weighed, choice);
        let leaves: Vec<JobKind> =
            plan.jobs().iter().map(|job| job.kind).filter(|kind| *kind < JobKind::WrapLong).collect();
        let folds = plan.jobs().iter().filter(|job| job.kind == JobKind::Fold).count();
        assert_eq!(folds + 1, leaves.len());
        assert_eq!(plan.jobs().last().map(|job| job.kind), Some(JobKind::Threshold));
        leaves
    };
    let (long, short) = (JobKind::MeterLong, JobKind::MeterShort);
    let of = |segments: usize| (segments * 64) as u64;
    assert_eq!(kinds(1, LeafChoice::Any), [short]);
    assert_eq!(kinds(of(SHORT.segments), LeafChoice::Any), [short]);
    assert_eq!(kinds(of(2 * SHORT.segments), LeafChoice::Any), [short, short]);
    assert_eq!(kinds(of(2 * SHORT.segments) + 1, LeafChoice::Any), [long]);
    assert_eq!(kinds(of(LONG.segments) + 1, LeafChoice::Any), [long, short]);
    assert_eq!(kinds(of(2 * SHORT.segments) + 1, LeafChoice::Short), [short, short, short]);
}

#[test]
fn jobs_have_stable_names_and_each_depends_on_what_it_is_about() {
    let chains = run(&mut Random::new(7), 3, 900);
    let weighed = Weighed::of(GENESIS, &chains).expect("honest");
    let ids = |plan: &Plan<'_>| plan.jobs().iter().map(|job| job.id).collect::<Vec<_>>();
    let names = ids(&plan(&weighed, LeafChoice::Short));
    assert_eq!(names, ids(&plan(&weighed, LeafChoice::Short)));
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), names.len());
    // Another salt in the last interval: the first leaf keeps its name, and so do wrap and nothing else of the way up.
    let mut other = chains.clone();
    other.last_mut().and_then(|chain| chain.rows.last_mut()).expect("an interval").salt[0] ^= 1;
    let other = Weighed::of(GENESIS, &other).map(|weighed| ids(&plan(&weighed, LeafChoice::Short))).expect("adds up");
    assert_eq!((other[0], other[1]), (names[0], names[1]));
    assert!(other.iter().skip(names.len() - 2).all(|id| !names.contains(id)));
    // Another statement: only the last piece is another.
    let public = weighed.statement(&[within(), within()], CONTEXT).expect("true");
    let second = ids(&weighed.plan(&public, LeafChoice::Short, false).expect("a plan"));
    assert_eq!(second[..second.len() - 1], names[..names.len() - 1]);
    assert_ne!(second.last(), names.last());
}

#[test]
fn false_statements_are_named_before_anything_is_proven() {
    let mut chains = vec![ledgers::chain(&mut Random::new(2), 1, 20)];
    let reading = weighbridge_attest_types::Reading::new(100, 0, 0, 0).expect("in range");
    chains[0].rows.iter_mut().for_each(|row| row.reading = reading);
    let weighed = Weighed::of(GENESIS, &chains).expect("honest");
    let refused = |relation: Relation| match weighed.statement(&[TotalRelation::declared(relation)], CONTEXT) {
        Err(ProveError::Violation(violation)) => violation.property,
        other => panic!("{other:?}"),
    };
    // 2,000 GFLOP, and a remainder of one chain.
    assert_eq!(refused(Relation::Gt(Flops(2_000_000_000_000))), "low-bound");
    assert_eq!(refused(Relation::Le(Flops(2_000_999_999_999))), "high-bound");
    assert_eq!(refused(Relation::Le(Flops(u128::MAX))), "bounds");
    let mut other = weighed.statement(&[within()], CONTEXT).expect("true");
    other.genesis = Digest32([9; 32]);
    let error = weighed.plan(&other, LeafChoice::Any, false).map(|_| ()).expect_err("another run");
    assert!(matches!(error, ProveError::Violation(violation) if violation.property == "claims-pass"));
}

#[test]
fn runs_that_do_not_add_up_are_named_with_their_chain() {
    let honest = || vec![ledgers::chain(&mut Random::new(1), 1, 5), ledgers::chain(&mut Random::new(2), 2, 5)];
    let refused = |chains: &[ChainWitness]| Weighed::of(GENESIS, chains).expect_err("does not add up");
    assert!(matches!(refused(&[]), ProveError::NoChains));
    let mut chains = honest();
    chains[1].start = chains[0].start;
    assert!(matches!(refused(&chains), ProveError::Repeated { first: 1, second: 2 }));
    let mut chains = honest();
    chains[1].rows.pop();
    assert!(matches!(refused(&chains), ProveError::Openings { chain: 2, openings: 4, intervals: 5 }));
    // A total that leaves its range: 65 readings of the greatest size.
    let mut long = ledgers::chain(&mut Random::new(3), 3, 66);
    let greatest = weighbridge_attest_types::Reading::new((1 << 56) - 1, 0, 0, 0).expect("in range");
    long.rows.iter_mut().for_each(|row| row.reading = greatest);
    let error = refused(&[honest()[0].clone(), long]);
    assert!(
        matches!(&error, ProveError::InChain { chain: 2, violation } if violation.property == "running-totals"),
        "{error:?}"
    );
}
