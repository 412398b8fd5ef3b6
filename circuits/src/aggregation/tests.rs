//! Agreement of `check` and circuit, and one breakage per constraint (docs/CONSTRAINTS.md).

use std::sync::OnceLock;

use plonky2::field::types::Field as _;

use super::statement::{Aggregation, AggregationPublic, AggregationSlot};
use crate::meter::{Meter, MeterPublic};
use crate::proving::prove;
use crate::statement::{Circuit, Field, Statement};
use crate::testing::{changed_element, claim_holds, digest, rows};

type Small = Meter<4>;

struct Fixture {
    meter: Circuit<Small>,
    aggregation: Circuit<Aggregation>,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let meter = Circuit::<Small>::build(&());
        let aggregation = Circuit::build(&meter.data.verifier_data());
        Fixture { meter, aggregation }
    })
}

fn slot(seed: u64, start_index: u64, count: u64) -> AggregationSlot {
    let rows = rows(count);
    let public = MeterPublic::of(digest(seed), start_index, &rows).expect("honest rows");
    let proof = prove(&fixture().meter, &public, &rows).expect("a true statement");
    AggregationSlot { public, proof }
}

fn honest() -> (AggregationPublic, [AggregationSlot; 2]) {
    let slots = [slot(1, 0, 3), slot(2, 0, 2)];
    (AggregationPublic::of(&[slots[0].public, slots[1].public]).expect("honest"), slots)
}

fn refused(public: &AggregationPublic, slots: &[AggregationSlot; 2], property: &str) {
    assert_eq!(Aggregation::check(public, slots).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(&fixture().aggregation, public, slots), "a forged proof holds: {property}");
}

#[test]
fn two_honest_meters_fold() {
    let (public, slots) = honest();
    assert_eq!(public.gflop, slots[0].public.gflop + slots[1].public.gflop);
    assert_eq!(Aggregation::check(&public, &slots), Ok(()));
    assert!(claim_holds(&fixture().aggregation, &public, &slots));
}

#[test]
fn breaks_starts_at_zero() {
    for late in 0..2 {
        let (mut public, mut slots) = honest();
        slots[late] = slot(late as u64 + 1, 4, 3);
        public.chains[late].count = slots[late].public.end_index;
        public.chains[late].end = slots[late].public.end;
        public.gflop = slots[0].public.gflop + slots[1].public.gflop;
        refused(&public, &slots, "starts-at-zero");
    }
}

#[test]
fn breaks_claims_pass() {
    let (public, slots) = honest();
    for chain in 0..2 {
        for change in 0..9 {
            let mut forged = public.clone();
            let claim = &mut forged.chains[chain];
            match change {
                0..4 => claim.start = changed_element(claim.start, change),
                4..8 => claim.end = changed_element(claim.end, change - 4),
                _ => claim.count += 1,
            }
            refused(&forged, &slots, "claims-pass");
        }
    }
    let mut swapped = public;
    swapped.chains.swap(0, 1);
    refused(&swapped, &slots, "claims-pass");
}

#[test]
fn breaks_sum_of_chains() {
    let (public, slots) = honest();
    for gflop in [public.gflop - 1, public.gflop + 1, slots[0].public.gflop] {
        refused(&AggregationPublic { gflop, ..public.clone() }, &slots, "sum-of-chains");
    }
}

#[test]
fn breaks_proof_holds_by_another_sum_of_the_inner_proof() {
    // Claims, sum and the inner proof's public inputs all agree; only the inner proof itself does not.
    for forged in 0..2 {
        let (mut public, mut slots) = honest();
        slots[forged].public.gflop += 1;
        slots[forged].proof.public_inputs[10] += Field::ONE;
        public.gflop += 1;
        assert_eq!(Aggregation::check(&public, &slots), Ok(()), "natively it is consistent");
        assert!(!claim_holds(&fixture().aggregation, &public, &slots));
    }
}

#[test]
fn breaks_proof_holds_by_a_foreign_circuit() {
    // The same statement in a circuit of another size: proofs have the same shape, but another key.
    type Foreign = Meter<5>;
    let circuit = Circuit::<Foreign>::build(&());
    let (public, mut slots) = honest();
    assert_eq!(circuit.data.common.degree(), fixture().meter.data.common.degree());
    let witness = rows(3);
    slots[0].proof = prove(&circuit, &slots[0].public, &witness).expect("a true statement");
    assert!(!claim_holds(&fixture().aggregation, &public, &slots));
}
