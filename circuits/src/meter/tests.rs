//! Agreement of `check` and circuit, and one breakage per constraint (docs/CONSTRAINTS.md).

mod agreement;
mod breaks;
mod raw;

use std::sync::OnceLock;

use weighbridge_attest_types::{Digest32, PoseidonDigest};

use super::statement::{Meter, MeterWitness, Segment, Transition};
use crate::state::State;
use crate::statement::{Circuit, Statement};
use crate::testing::{claim_holds, digest, rows};

/// Three segments of at most four intervals: 2⁷ rows.
type Small = Meter<3, 4>;

fn small() -> &'static Circuit<Small> {
    static CIRCUIT: OnceLock<Circuit<Small>> = OnceLock::new();
    CIRCUIT.get_or_init(|| Circuit::build(&()))
}

const GENESIS: Digest32 = Digest32([5; 32]);

/// A chain of six intervals over two segments, and one of three.
fn honest() -> MeterWitness {
    let rows = rows(9);
    MeterWitness {
        from: State::initial(GENESIS),
        segments: vec![
            Segment { begins: Some(digest(1)), rows: rows[..4].to_vec(), ends: false },
            Segment { begins: None, rows: rows[4..6].to_vec(), ends: true },
            Segment { begins: Some(digest(2)), rows: rows[6..].to_vec(), ends: true },
        ],
    }
}

/// The statement is refused by `check` under this property, and no assignment of it satisfies the circuit.
fn refused(public: &Transition, witness: &MeterWitness, property: &str) {
    assert_eq!(Small::check(public, witness).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(small(), public, witness), "a forged witness holds: {property}");
}

fn transition(witness: &MeterWitness) -> Transition {
    witness.transition().expect("an honest witness")
}

#[test]
fn honest_chains_are_proven() {
    let witness = honest();
    let public = transition(&witness);
    assert_eq!(Small::check(&public, &witness), Ok(()));
    assert!(claim_holds(small(), &public, &witness));
    let proof = crate::proving::prove(small(), &public, &witness).expect("a true statement");
    small().data.verify(proof).expect("a proof");
}

#[test]
fn a_leaf_without_work_changes_nothing() {
    for from in [State::initial(GENESIS), open()] {
        let witness = MeterWitness { from, segments: Vec::new() };
        let public = transition(&witness);
        assert_eq!(public.from, public.to);
        assert!(claim_holds(small(), &public, &witness));
    }
}

#[test]
fn a_chain_without_an_interval_begins_and_ends() {
    let segment = Segment { begins: Some(digest(1)), rows: Vec::new(), ends: true };
    let witness = MeterWitness { from: State::initial(GENESIS), segments: vec![segment] };
    assert_eq!(witness.to().expect("honest").closed.count(), 1);
    assert!(claim_holds(small(), &transition(&witness), &witness));
}

#[test]
fn a_leaf_goes_on_where_another_stopped() {
    let segments = vec![Segment { begins: None, rows: rows(2), ends: true }];
    let witness = MeterWitness { from: open(), segments };
    assert!(claim_holds(small(), &transition(&witness), &witness));
}

#[test]
fn more_than_fits_is_refused_natively() {
    let capacity = |witness: &MeterWitness| {
        let public = Transition { from: PoseidonDigest::default(), to: PoseidonDigest::default() };
        Small::check(&public, witness).map_err(|violation| violation.property)
    };
    let mut witness = honest();
    witness.segments[0].rows = rows(5);
    assert_eq!(capacity(&witness), Err("capacity"));
    let mut witness = honest();
    witness.segments.push(Segment::default());
    assert_eq!(capacity(&witness), Err("capacity"));
}

/// A state with an open chain after two intervals.
fn open() -> State {
    let segment = Segment { begins: Some(digest(1)), rows: rows(2), ends: false };
    State::initial(GENESIS).through(&segment).expect("honest")
}
