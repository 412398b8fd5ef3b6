//! Agreement of `check` and circuit, one breakage per constraint (docs/CONSTRAINTS.md), and directed rounding.
//! These circuits are built without blinding: the constraints are the same and a proof takes a tenth of the time.

use std::sync::OnceLock;

use plonky2::field::types::Field as _;
use proptest::prelude::*;
use weighbridge_attest_types::{Canonical, Digest32, Flops, GOLDILOCKS_ORDER};

use super::statement::{
    BOUND_BITS, CHAIN_SLOTS, ChainClaim, DeclaredRelation, Threshold, ThresholdInputs, ThresholdPublic,
    ThresholdWitness,
};
use crate::ProofError;
use crate::aggregation::{Aggregation, AggregationPublic, AggregationSlot};
use crate::meter::{Meter, MeterPublic};
use crate::proving::prove;
use crate::statement::{Circuit, Field, Statement, config};
use crate::testing::{changed_element, claim_holds, digest, rows};

const SLOTS: u64 = CHAIN_SLOTS as u64;

struct Fixture {
    threshold: Circuit<Threshold>,
    witness: ThresholdWitness,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let meter = Circuit::<Meter<4>>::build(&());
        let aggregation = Circuit::<Aggregation>::build(&meter.data.verifier_data());
        let threshold = Circuit::build_with(config(false), &aggregation.data.verifier_data());
        let slots = [1, 2, 3, 4].map(|seed| {
            let rows = rows(seed % 4 + 1);
            let public = MeterPublic::of(digest(seed), 0, &rows).expect("honest");
            AggregationSlot { public, proof: prove(&meter, &public, &rows).expect("true") }
        });
        let public = AggregationPublic::of(&slots.each_ref().map(|slot| slot.public)).expect("honest");
        let proof = prove(&aggregation, &public, &slots).expect("true");
        Fixture { threshold, witness: ThresholdWitness { public, proof } }
    })
}

fn total() -> u64 {
    fixture().witness.public.gflop
}

fn inputs(low: u64, high: u64) -> ThresholdInputs {
    ThresholdInputs { genesis: Digest32([3; 32]), chains: fixture().witness.public.chains, low, high }
}

fn refused(public: &ThresholdInputs, property: &str) {
    let witness = &fixture().witness;
    assert_eq!(Threshold::check(public, witness).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(&fixture().threshold, public, witness), "a forged proof holds: {property}");
}

#[test]
fn bounds_that_touch_the_total_are_proven() {
    let public = inputs(total(), total() + SLOTS);
    assert_eq!(Threshold::check(&public, &fixture().witness), Ok(()));
    assert!(claim_holds(&fixture().threshold, &public, &fixture().witness));
}

#[test]
fn breaks_low_bound_by_one() {
    refused(&inputs(total() + 1, total() + 9), "low-bound");
}

#[test]
fn breaks_low_bound_by_far() {
    refused(&inputs((1 << BOUND_BITS) - 1, (1 << BOUND_BITS) - 1), "low-bound");
}

#[test]
fn breaks_high_bound_by_one() {
    refused(&inputs(0, total() + SLOTS - 1), "high-bound");
    refused(&inputs(0, 0), "high-bound");
}

#[test]
fn breaks_bounds_out_of_range() {
    // A bound of 2⁶² or more, or one next to p, must not make a negative difference look small.
    for bound in [1 << BOUND_BITS, 1 << 63, GOLDILOCKS_ORDER - 1] {
        refused(&inputs(bound, total() + SLOTS), "bounds");
        refused(&inputs(0, bound), "bounds");
    }
}

#[test]
fn breaks_claims_pass() {
    for chain in 0..CHAIN_SLOTS {
        // Every element of the first chain; of the others one of the start, one of the end, and the count.
        for change in (0..9).step_by(if chain == 0 { 1 } else { 4 }) {
            let mut public = inputs(0, total() + SLOTS);
            let claim = &mut public.chains[chain];
            match change {
                0..4 => claim.start = changed_element(claim.start, change),
                4..8 => claim.end = changed_element(claim.end, change - 4),
                _ => claim.count += 1,
            }
            refused(&public, "claims-pass");
        }
    }
    let mut swapped = inputs(0, total() + SLOTS);
    swapped.chains.swap(1, 2);
    refused(&swapped, "claims-pass");
}

#[test]
fn breaks_proof_holds_by_another_hidden_total() {
    // Bounds, hidden total and the inner proof's public inputs all agree; only the inner proof itself does not.
    let mut witness = fixture().witness.clone();
    witness.public.gflop += 1;
    if let Some(hidden) = witness.proof.public_inputs.last_mut() {
        *hidden += Field::ONE;
    }
    let public = inputs(total() + 1, total() + 1 + SLOTS);
    assert_eq!(Threshold::check(&public, &witness), Ok(()), "natively it is consistent");
    assert!(!claim_holds(&fixture().threshold, &public, &witness));
}

fn statement(relation: DeclaredRelation) -> ThresholdPublic {
    let chain = ChainClaim { start: digest(1), end: digest(2), count: 3 };
    ThresholdPublic { genesis: Digest32([1; 32]), chains: vec![chain], relation }
}

#[test]
fn relations_round_against_the_claim() {
    let bounds = |relation| statement(relation).inputs().map(|inputs| (inputs.low, inputs.high));
    let most = (1 << BOUND_BITS) - 1;
    assert_eq!(bounds(DeclaredRelation::Le(Flops(5_999_999_999))), Ok((0, 5)));
    assert_eq!(bounds(DeclaredRelation::Gt(Flops(5_000_000_000))), Ok((6, most)));
    assert_eq!(bounds(DeclaredRelation::Gt(Flops(5_999_999_999))), Ok((6, most)));
    let within = DeclaredRelation::In { low: Flops(5_000_000_001), high: Flops(9_999_999_999) };
    assert_eq!(bounds(within), Ok((6, 9)));
    let huge = bounds(DeclaredRelation::Le(Flops(u128::MAX)));
    assert_eq!(huge, Err(ProofError::Public("a bound is above 2^62 GFLOP")));
    let overflow = bounds(DeclaredRelation::In { low: Flops(u128::MAX), high: Flops(u128::MAX) });
    assert_eq!(overflow, Err(ProofError::Public("a bound is above 2^62 GFLOP")));
}

#[test]
fn statements_about_no_too_many_or_repeated_chains_are_refused() {
    let chain = |seed, count| ChainClaim { start: digest(seed), end: digest(9), count };
    let of = |chains| ThresholdPublic { chains, ..statement(DeclaredRelation::Le(Flops(1_000_000_000))) }.inputs();
    let distinct = |count: u64| (1..=count).map(|seed| chain(seed, 1)).collect::<Vec<_>>();
    assert!((1..=4).all(|count| of(distinct(count)).is_ok()));
    assert_eq!(of(vec![]), Err(ProofError::Public("1 to 4 chains")));
    assert_eq!(of(distinct(5)), Err(ProofError::Public("1 to 4 chains")));
    // Any two of them, wherever they stand.
    for (first, second) in [(0, 1), (0, 3), (1, 2), (2, 3)] {
        let mut chains = distinct(4);
        chains[second] = ChainClaim { count: 512, ..chains[first] };
        assert_eq!(of(chains), Err(ProofError::Public("two chains have one start")), "{first} {second}");
    }
    for count in [0, 513, GOLDILOCKS_ORDER, GOLDILOCKS_ORDER + 3] {
        assert_eq!(of(vec![chain(1, count)]), Err(ProofError::Public("a chain has 1 to 512 intervals")));
    }
}

proptest! {
    #[test]
    fn statements_round_trip(low in any::<u128>(), high in any::<u128>(), kind in 0u8..3) {
        let relation = match kind {
            0 => DeclaredRelation::Le(Flops(low)),
            1 => DeclaredRelation::Gt(Flops(low)),
            _ => DeclaredRelation::In { low: Flops(low), high: Flops(high) },
        };
        let public = statement(relation);
        prop_assert_eq!(ThresholdPublic::from_bytes(&public.to_bytes()), Ok(public));
    }

    /// Whatever total in FLOP a relation's circuit bounds admit, the relation over FLOP holds.
    #[test]
    fn circuit_bounds_imply_the_relation(gflop in 0u64..10_000, rests in [0u64..1_000_000_000, 0u64..1_000_000_000, 0u64..1_000_000_000, 0u64..1_000_000_000], bound in 0u128..12_000_000_000_000) {
        let flop = u128::from(gflop) * 1_000_000_000 + rests.into_iter().map(u128::from).sum::<u128>();
        let admitted = |relation| {
            let inputs = statement(relation).inputs().expect("in range");
            inputs.low <= gflop && gflop + SLOTS <= inputs.high
        };
        prop_assert!(!admitted(DeclaredRelation::Le(Flops(bound))) || flop <= bound);
        prop_assert!(!admitted(DeclaredRelation::Gt(Flops(bound))) || flop > bound);
        let within = DeclaredRelation::In { low: Flops(bound / 2), high: Flops(bound) };
        prop_assert!(!admitted(within) || (bound / 2 <= flop && flop < bound));
    }
}
