//! Agreement of `check` and circuit, one breakage per constraint (docs/CONSTRAINTS.md), and directed rounding.
//! The circuit is built without blinding: the constraints are the same and a proof takes a third of the time.

use std::sync::OnceLock;

use proptest::prelude::*;
use weighbridge_attest_types::{Canonical, Digest32, Flops, GOLDILOCKS_ORDER};

use super::relation::{Component, MAX_RELATIONS, NOTHING, Relation, Slot, TotalRelation};
use super::statement::{Threshold, ThresholdInputs, ThresholdPublic, ThresholdWitness, Trusted};
use crate::ProofError;
use crate::state::{ChainClaim, ChainList, TOTAL_BITS};
use crate::statement::{Circuit, Statement, config};
use crate::testing::tree::{GENESIS, Tree};
use crate::testing::{bump, changed_element, claim_holds, digest, forged_holds, set_wire};

const CONTEXT: Digest32 = Digest32([8; 32]);

pub(crate) fn circuit() -> &'static Circuit<Threshold> {
    static CIRCUIT: OnceLock<Circuit<Threshold>> = OnceLock::new();
    CIRCUIT.get_or_init(|| {
        let tree = Tree::get();
        let trusted = Trusted { shape: tree.shape.clone(), root: tree.keys.root() };
        Circuit::build_with(config(false), &trusted)
    })
}

pub(crate) fn witness() -> ThresholdWitness {
    let tree = Tree::get();
    ThresholdWitness { totals: tree.end.totals, child: tree.whole.clone(), keys: tree.keys.clone() }
}

pub(crate) fn inputs(slots: &[Slot]) -> ThresholdInputs {
    let mut all = [NOTHING; MAX_RELATIONS];
    all[..slots.len()].copy_from_slice(slots);
    ThresholdInputs { genesis: GENESIS, chains: Tree::get().end.closed, slots: all, context: CONTEXT }
}

fn total(component: u64) -> u64 {
    Tree::get().end.totals[usize::try_from(component).expect("small")]
}

fn chains() -> u64 {
    Tree::get().end.closed.count()
}

/// A slot whose bounds touch the total.
fn tight(component: u64) -> Slot {
    Slot { component, low: total(component), high: total(component) + chains() }
}

fn refused_with(public: &ThresholdInputs, witness: &ThresholdWitness, property: &str) {
    assert_eq!(Threshold::check(public, witness).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(circuit(), public, witness), "a forged proof holds: {property}");
}

fn refused(slots: &[Slot], property: &str) {
    refused_with(&inputs(slots), &witness(), property);
}

#[test]
fn bounds_that_touch_every_total_are_proven() {
    assert_eq!(chains(), 3);
    let slots: Vec<Slot> = (0..MAX_RELATIONS as u64).map(|slot| tight(slot % 3)).collect();
    for public in [inputs(&slots), inputs(&[])] {
        assert_eq!(Threshold::check(&public, &witness()), Ok(()));
        assert!(claim_holds(circuit(), &public, &witness()));
    }
    let proof = crate::proving::prove(circuit(), &inputs(&slots), &witness()).expect("a true statement");
    circuit().data.verify(proof).expect("a proof");
}

#[test]
fn a_run_of_one_leaf_needs_no_fold() {
    // The wrap alone, if a leaf held the whole run: here it holds half of it, and so the proof is not final.
    let tree = Tree::get();
    let half = ThresholdWitness { child: tree.wraps[1].clone(), ..witness() };
    refused_with(&inputs(&[]), &half, "from-the-beginning");
    let closed = crate::meter::MeterWitness {
        from: crate::state::State::initial(GENESIS),
        segments: vec![crate::testing::tree::witnesses(GENESIS)[0].segments[0].clone()],
    };
    let leaf = crate::testing::tree::leaf(&tree.meter, &closed);
    let child = crate::testing::tree::wrapped(&tree.wrap, &leaf, tree.keys.root());
    let end = closed.to().expect("honest");
    let one = ThresholdInputs { chains: end.closed, ..inputs(&[]) };
    let witness = ThresholdWitness { totals: end.totals, child, keys: tree.keys.clone() };
    assert_eq!(Threshold::check(&one, &witness), Ok(()));
    assert!(claim_holds(circuit(), &one, &witness));
}

#[test]
fn breaks_low_bound_by_one() {
    for component in 0..3 {
        let slot = tight(component);
        refused(&[Slot { low: slot.low + 1, high: slot.high + 9, ..slot }], "low-bound");
        // In the last slot as well.
        let mut slots = [NOTHING; MAX_RELATIONS];
        slots[MAX_RELATIONS - 1] = Slot { low: slot.low + 1, high: slot.high + 9, ..slot };
        refused(&slots, "low-bound");
    }
}

#[test]
fn breaks_low_bound_by_far() {
    let most = (1 << TOTAL_BITS) - 1;
    refused(&[Slot { component: 0, low: most, high: most }], "low-bound");
}

#[test]
fn breaks_high_bound_by_one() {
    for component in 0..3 {
        let slot = tight(component);
        refused(&[Slot { low: 0, high: slot.high - 1, ..slot }], "high-bound");
        refused(&[Slot { low: 0, high: 0, ..slot }], "high-bound");
    }
}

#[test]
fn breaks_bounds_out_of_range() {
    // A bound of 2⁶² or more, 2⁶³, or one next to p, must not make a negative difference look small.
    for bound in [1 << TOTAL_BITS, 1 << 63, (1 << 63) + 1, GOLDILOCKS_ORDER - 1] {
        refused(&[Slot { component: 0, low: bound, high: total(0) + chains() }], "bounds");
        refused(&[Slot { component: 0, low: 0, high: bound }], "bounds");
    }
    // And as a total: T = 2⁶³ reached by a hidden total that no leaf can leave behind.
    let witness = ThresholdWitness { totals: [1 << 63, 0, 0], ..witness() };
    refused_with(&inputs(&[Slot { component: 0, low: 1 << 61, high: NOTHING.high }]), &witness, "to-the-end");
}

#[test]
fn breaks_component_choice() {
    // Energy is below metered GFLOP here, and both below the declared ones: a bound that holds for one only.
    assert!(total(2) < total(1) && total(1) < total(0));
    let between = Slot { component: 0, low: 0, high: total(1) + chains() };
    refused(&[between], "high-bound");
    let public = inputs(&[between]);
    for (metered, energy) in [(1, 0), (0, 1), (1, 1), (2, GOLDILOCKS_ORDER - 1)] {
        assert!(
            !forged_holds(circuit(), &public, &witness(), |targets, wires| {
                set_wire(wires, targets.choices[0][0].target, metered);
                set_wire(wires, targets.choices[0][1].target, energy);
            }),
            "{metered} {energy}"
        );
    }
    for component in [3, 4, GOLDILOCKS_ORDER - 1] {
        refused(&[Slot { component, low: 0, high: NOTHING.high }], "component-choice");
    }
}

#[test]
fn breaks_from_the_beginning() {
    // The second half of the run alone, offered as all of it.
    let late = ThresholdWitness { child: Tree::get().wraps[1].clone(), ..witness() };
    refused_with(&inputs(&[]), &late, "from-the-beginning");
    // Another run.
    refused_with(&ThresholdInputs { genesis: Digest32([6; 32]), ..inputs(&[]) }, &witness(), "from-the-beginning");
}

#[test]
fn breaks_to_the_end_by_a_proof_that_is_not_final() {
    // The first half ends with a chain open. Its closed chain and its totals are claimed as they are.
    let tree = Tree::get();
    let half = crate::testing::tree::witnesses(GENESIS)[0].to().expect("honest");
    let witness = ThresholdWitness { totals: half.totals, child: tree.wraps[0].clone(), keys: tree.keys.clone() };
    refused_with(&ThresholdInputs { chains: half.closed, ..inputs(&[]) }, &witness, "to-the-end");
}

#[test]
fn breaks_to_the_end_by_other_chains() {
    let honest = inputs(&[]);
    // Any element of the list, or its length: a missing node, a late start, a dropped tail, another order.
    let mut lists: Vec<ChainList> = (0..4)
        .map(|element| {
            let mut bytes = honest.chains.to_bytes();
            bytes[..32].copy_from_slice(&changed_element(honest.chains.digest(), element).as_bytes());
            ChainList::from_bytes(&bytes).expect("canonical")
        })
        .collect();
    for count in [0u64, 2, 4] {
        let mut bytes = honest.chains.to_bytes();
        bytes[32..].copy_from_slice(&count.to_le_bytes());
        lists.push(ChainList::from_bytes(&bytes).expect("canonical"));
    }
    for chains in lists {
        refused_with(&ThresholdInputs { chains, ..honest.clone() }, &witness(), "to-the-end");
    }
}

#[test]
fn breaks_to_the_end_by_another_hidden_total() {
    for component in 0..3 {
        for change in [1, GOLDILOCKS_ORDER - 1] {
            let mut other = witness();
            other.totals[component] = (other.totals[component] + change) % GOLDILOCKS_ORDER;
            refused_with(&inputs(&[]), &other, "to-the-end");
        }
    }
    let mut swapped = witness();
    swapped.totals.swap(0, 1);
    refused_with(&inputs(&[]), &swapped, "to-the-end");
    let public = inputs(&[]);
    assert!(!forged_holds(circuit(), &public, &witness(), |targets, wires| bump(wires, targets.totals[0])));
}

#[test]
fn breaks_proof_holds_by_another_end() {
    // Hidden totals and the inner proof's public inputs agree; only the inner proof itself does not.
    let mut other = witness();
    other.totals[0] -= 900;
    let mut end = Tree::get().end;
    end.totals = other.totals;
    other.child.step.transition.to = end.digest();
    for (input, element) in other.child.proof.public_inputs[4..8].iter_mut().zip(end.digest().elements()) {
        *input = plonky2::field::types::Field::from_canonical_u64(element);
    }
    let public = inputs(&[Slot { component: 0, low: 0, high: total(0) - 100 }]);
    assert_eq!(Threshold::check(&public, &other), Ok(()), "natively it is consistent");
    assert!(!claim_holds(circuit(), &public, &other));
}

#[test]
fn breaks_keys_are_ours() {
    // A whole tree under a set of one's own: natively consistent with that set, and not the constant.
    let tree = Tree::get();
    let keys = crate::aggregation::KeySet::of(std::iter::once(
        crate::aggregation::key_elements(&tree.wrap.data.verifier_only).as_slice(),
    ));
    let leaf = &tree.leaves[0];
    let child = crate::testing::tree::wrapped(&tree.wrap, leaf, keys.root());
    let own = ThresholdWitness { child, keys, ..witness() };
    assert!(!claim_holds(circuit(), &inputs(&[]), &own));
    // The honest tree, its root exchanged.
    let mut child = witness().child;
    child.step.keys = digest(9);
    let other = ThresholdWitness { child, ..witness() };
    assert!(Threshold::check(&inputs(&[]), &other).is_err());
    // A foreign circuit's key beside an honest proof.
    let mut child = witness().child;
    child.key = tree.meter.data.verifier_only.clone();
    refused_with(&inputs(&[]), &ThresholdWitness { child, ..witness() }, "key-in-set");
}

fn statement(relations: Vec<TotalRelation>) -> ThresholdPublic {
    let chains = ChainList::of(&[ChainClaim { start: digest(1), end: digest(2), count: 3 }]);
    ThresholdPublic { genesis: Digest32([1; 32]), chains, relations, context: CONTEXT }
}

#[test]
fn relations_round_against_the_claim() {
    let bounds = |relation| TotalRelation::declared(relation).slot().map(|slot| (slot.low, slot.high));
    let most = (1 << TOTAL_BITS) - 1;
    assert_eq!(bounds(Relation::Le(Flops(5_999_999_999))), Ok((0, 5)));
    assert_eq!(bounds(Relation::Gt(Flops(5_000_000_000))), Ok((6, most)));
    assert_eq!(bounds(Relation::Gt(Flops(5_999_999_999))), Ok((6, most)));
    assert_eq!(bounds(Relation::In { low: Flops(5_000_000_001), high: Flops(9_999_999_999) }), Ok((6, 9)));
    let huge = Err(ProofError::Public("a bound is above 2^62 GFLOP or joule"));
    assert_eq!(bounds(Relation::Le(Flops(u128::MAX))), huge);
    assert_eq!(bounds(Relation::In { low: Flops(u128::MAX), high: Flops(u128::MAX) }), huge);
    let energy = TotalRelation { component: Component::Energy, relation: Relation::Gt(Flops(7)) };
    assert_eq!(energy.slot(), Ok(Slot { component: 2, low: 8, high: most }));
}

#[test]
fn statements_without_or_with_too_many_relations_or_chains_are_refused() {
    let relation = TotalRelation::declared(Relation::Le(Flops(1_000_000_000)));
    for count in [0, MAX_RELATIONS + 1] {
        let refused = statement(vec![relation; count]).inputs();
        assert_eq!(refused, Err(ProofError::Public("1 to 8 relations")));
    }
    assert!(statement(vec![relation; MAX_RELATIONS]).inputs().is_ok());
    for count in [0, 1 << 32, GOLDILOCKS_ORDER + 3] {
        let mut public = statement(vec![relation]);
        let mut bytes = public.chains.to_bytes();
        bytes[32..].copy_from_slice(&u64::to_le_bytes(count));
        public.chains = ChainList::from_bytes(&bytes).expect("canonical");
        assert_eq!(public.inputs(), Err(ProofError::Public("1 to 2^32 chains")));
    }
}

fn any_relation() -> impl Strategy<Value = TotalRelation> {
    (0usize..3, 0u8..3, any::<u128>(), any::<u128>()).prop_map(|(component, kind, low, high)| {
        let relation = match kind {
            0 => Relation::Le(Flops(low)),
            1 => Relation::Gt(Flops(low)),
            _ => Relation::In { low: Flops(low), high: Flops(high) },
        };
        TotalRelation { component: Component::ALL[component], relation }
    })
}

proptest! {
    #[test]
    fn statements_round_trip(relations in proptest::collection::vec(any_relation(), 0..=8)) {
        let public = statement(relations);
        prop_assert_eq!(ThresholdPublic::from_bytes(&public.to_bytes()), Ok(public));
    }

    /// Whatever total in FLOP a relation's circuit bounds admit, the relation over FLOP holds.
    #[test]
    fn circuit_bounds_imply_the_relation(
        gflop in 0u64..10_000,
        rests in proptest::collection::vec(0u128..1_000_000_000, 1..6),
        bound in 0u128..12_000_000_000_000,
    ) {
        let flop = u128::from(gflop) * 1_000_000_000 + rests.iter().sum::<u128>();
        let chains = rests.len() as u64;
        let admitted = |relation| {
            let slot = TotalRelation::declared(relation).slot().expect("in range");
            slot.low <= gflop && gflop + chains <= slot.high
        };
        prop_assert!(!admitted(Relation::Le(Flops(bound))) || flop <= bound);
        prop_assert!(!admitted(Relation::Gt(Flops(bound))) || flop > bound);
        let within = Relation::In { low: Flops(bound / 2), high: Flops(bound) };
        prop_assert!(!admitted(within) || (bound / 2 <= flop && flop < bound));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Random bounds around the totals: `check` and circuit say the same.
    #[test]
    fn native_and_circuit_agree(
        slots in proptest::collection::vec((0u64..4, -3i64..4, -3i64..8), 1..=8),
    ) {
        let slots: Vec<Slot> = slots.into_iter().map(|(component, low, high)| {
            let total = total(component % 3);
            Slot {
                component,
                low: total.saturating_add_signed(low.min(0)).saturating_add_signed(i64::from(low == 3)),
                high: (total + chains()).saturating_add_signed(high.max(-1)),
            }
        }).collect();
        let public = inputs(&slots);
        prop_assert_eq!(Threshold::check(&public, &witness()).is_ok(), claim_holds(circuit(), &public, &witness()));
    }
}
