//! Agreement of `check` and circuit, and one breakage per constraint (docs/CONSTRAINTS.md).

use std::sync::OnceLock;

use plonky2::field::types::Field as _;

use weighbridge_attest_types::PoseidonDigest;

use super::statement::{Aggregation, AggregationPublic, AggregationSlot, AggregationWitness};
use crate::meter::{Meter, MeterPublic};
use crate::proving::prove;
use crate::statement::{Circuit, Field, Statement};
use crate::testing::{changed_element, claim_holds, digest, rows};
use crate::threshold::CHAIN_SLOTS;

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

fn of(slots: &AggregationWitness) -> AggregationPublic {
    AggregationPublic::of(&slots.each_ref().map(|slot| slot.public)).expect("honest")
}

/// Three chains of different lengths and a slot without one, proven once: every test changes a copy.
fn honest() -> (AggregationPublic, AggregationWitness) {
    static HONEST: OnceLock<AggregationWitness> = OnceLock::new();
    let empty = || {
        let public = MeterPublic::of(PoseidonDigest::default(), 0, &[]).expect("nothing");
        AggregationSlot { public, proof: prove(&fixture().meter, &public, &[]).expect("a true statement") }
    };
    let slots = HONEST.get_or_init(|| [slot(1, 0, 3), slot(2, 0, 2), slot(3, 0, 4), empty()]).clone();
    (of(&slots), slots)
}

fn sum(slots: &AggregationWitness) -> u64 {
    slots.iter().map(|slot| slot.public.gflop).sum()
}

fn refused(public: &AggregationPublic, slots: &AggregationWitness, property: &str) {
    assert_eq!(Aggregation::check(public, slots).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(&fixture().aggregation, public, slots), "a forged proof holds: {property}");
}

#[test]
fn honest_meters_and_an_empty_slot_fold() {
    let (public, slots) = honest();
    assert_eq!(public.gflop, sum(&slots));
    assert_eq!(Aggregation::check(&public, &slots), Ok(()));
    assert!(claim_holds(&fixture().aggregation, &public, &slots));
}

#[test]
fn breaks_starts_at_zero() {
    for late in 0..CHAIN_SLOTS {
        let (mut public, mut slots) = honest();
        slots[late] = slot(late as u64 + 1, 4, 3);
        public.chains[late].count = slots[late].public.end_index;
        public.chains[late].end = slots[late].public.end;
        public.chains[late].start = slots[late].public.start;
        public.gflop = sum(&slots);
        refused(&public, &slots, "starts-at-zero");
    }
}

#[test]
fn breaks_claims_pass() {
    let (public, slots) = honest();
    for chain in 0..CHAIN_SLOTS {
        // Every element of the first chain; of the others one of the start, one of the end, and the count.
        for change in (0..9).step_by(if chain == 0 { 1 } else { 4 }) {
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
    swapped.chains.swap(1, 2);
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
    for forged in 0..CHAIN_SLOTS {
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
