//! Agreement of `check` and circuit, and one breakage per constraint (docs/CONSTRAINTS.md).

use std::sync::OnceLock;

use super::statement::{Aggregation, AggregationPublic, AggregationSlot};
use crate::meter::{Meter, MeterPublic};
use crate::proving::prove;
use crate::statement::{Circuit, Statement};
use crate::testing::{bump, claim_holds, digest, forged_holds, rows};

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
    let (mut public, slots) = honest();
    let late = slot(1, 4, 3);
    public.chains[0].count = late.public.end_index;
    public.chains[0].end = late.public.end;
    refused(&public, &[late, slots[1].clone()], "starts-at-zero");
}

#[test]
fn breaks_claims_pass() {
    let (public, slots) = honest();
    for change in 0..3 {
        let mut forged = public.clone();
        match change {
            0 => forged.chains[0].count += 1,
            1 => forged.chains[1].end = digest(77),
            _ => forged.chains[1].start = digest(78),
        }
        refused(&forged, &slots, "claims-pass");
    }
    let mut swapped = public;
    swapped.chains.swap(0, 1);
    refused(&swapped, &slots, "claims-pass");
}

#[test]
fn breaks_sum_of_chains() {
    let (mut public, slots) = honest();
    public.gflop -= 1;
    refused(&public, &slots, "sum-of-chains");
}

#[test]
fn breaks_proof_holds_by_a_changed_claim_of_the_inner_proof() {
    let (public, slots) = honest();
    for position in 0..slots[0].proof.public_inputs.len() {
        let tampered = forged_holds(&fixture().aggregation, &public, &slots, |targets, wires| {
            bump(wires, targets.proofs[0].public_inputs[position]);
        });
        assert!(!tampered, "public input {position} of the inner proof is free");
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
