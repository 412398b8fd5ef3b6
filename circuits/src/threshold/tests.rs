//! Agreement of `check` and circuit, one breakage per constraint (docs/CONSTRAINTS.md), and directed rounding.
//! These circuits are built without blinding: the constraints are the same and a proof takes a tenth of the time.

use std::sync::OnceLock;

use proptest::prelude::*;
use weighbridge_attest_types::{Canonical, Digest32, Flops};

use super::statement::{
    BOUND_BITS, ChainClaim, DeclaredRelation, Threshold, ThresholdInputs, ThresholdPublic, ThresholdWitness,
};
use crate::ProofError;
use crate::aggregation::{Aggregation, AggregationPublic, AggregationSlot};
use crate::meter::{Meter, MeterPublic};
use crate::proving::prove;
use crate::statement::{Circuit, Statement, config};
use crate::testing::{bump, claim_holds, digest, forged_holds, rows};

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
        let slots = [1, 2].map(|seed| {
            let rows = rows(seed + 1);
            let public = MeterPublic::of(digest(seed), 0, &rows).expect("honest");
            AggregationSlot { public, proof: prove(&meter, &public, &rows).expect("true") }
        });
        let public = AggregationPublic::of(&[slots[0].public, slots[1].public]).expect("honest");
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
    let public = inputs(total(), total() + 2);
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
    refused(&inputs(0, total() + 1), "high-bound");
    refused(&inputs(0, 0), "high-bound");
}

#[test]
fn breaks_bounds_out_of_range() {
    // A bound of 2⁶² or more, or one next to p, must not make a negative difference look small.
    for low in [1 << BOUND_BITS, 1 << 63, weighbridge_attest_types::GOLDILOCKS_ORDER - 1] {
        assert!(!claim_holds(&fixture().threshold, &inputs(low, total() + 2), &fixture().witness));
        assert!(!claim_holds(&fixture().threshold, &inputs(0, low), &fixture().witness));
    }
}

#[test]
fn breaks_claims_pass() {
    for change in 0..3 {
        let mut public = inputs(0, total() + 2);
        match change {
            0 => public.chains[0].count += 1,
            1 => public.chains[1].end = digest(99),
            _ => public.chains.swap(0, 1),
        }
        refused(&public, "claims-pass");
    }
}

#[test]
fn breaks_proof_holds_by_another_hidden_total() {
    let public = inputs(total() + 1, total() + 3);
    let forged =
        forged_holds(&fixture().threshold, &inputs(total(), total() + 3), &fixture().witness, |targets, wires| {
            let hidden = targets.proof.public_inputs.last().copied().expect("the total");
            bump(wires, hidden);
        });
    assert!(!forged);
    assert_eq!(Threshold::check(&public, &fixture().witness).map_err(|violation| violation.property), Err("low-bound"));
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
fn statements_without_chains_or_intervals_are_refused() {
    let mut none = statement(DeclaredRelation::Le(Flops(1)));
    none.chains.clear();
    assert!(none.inputs().is_err());
    let mut empty = statement(DeclaredRelation::Le(Flops(1)));
    empty.chains[0].count = 0;
    assert!(empty.inputs().is_err());
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
    fn circuit_bounds_imply_the_relation(gflop in 0u64..10_000, rests in (0u64..1_000_000_000, 0u64..1_000_000_000), bound in 0u128..12_000_000_000_000) {
        let flop = u128::from(gflop) * 1_000_000_000 + u128::from(rests.0) + u128::from(rests.1);
        let admitted = |relation| {
            let inputs = statement(relation).inputs().expect("in range");
            inputs.low <= gflop && gflop + 2 <= inputs.high
        };
        prop_assert!(!admitted(DeclaredRelation::Le(Flops(bound))) || flop <= bound);
        prop_assert!(!admitted(DeclaredRelation::Gt(Flops(bound))) || flop > bound);
        let within = DeclaredRelation::In { low: Flops(bound / 2), high: Flops(bound) };
        prop_assert!(!admitted(within) || (bound / 2 <= flop && flop < bound));
    }
}
