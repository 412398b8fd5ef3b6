//! Agreement of `check` and circuit, and one breakage per constraint of `wrap` and `fold` (docs/CONSTRAINTS.md).

use plonky2::field::types::Field as _;
use weighbridge_attest_types::{Digest32, PoseidonDigest};

use super::keys::{KEY_PLACES, KeySet, key_elements};
use super::shape::Shape;
use super::statement::{Child, Fold, FoldWitness, Step, Wrap};
use super::wrap::{StepTargets, WrapTargets, leaf_holds};
use crate::Violation;
use crate::meter::{Meter, Transition};
use crate::proving::prove;
use crate::statement::{Assignment, Builder, Circuit, CircuitId, Field, Proven, Statement, VerifierKey};
use crate::testing::tree::{GENESIS, SmallWrap, Tree, leaf, witnesses, wrapped};
use crate::testing::{bump, changed_element, claim_holds, digest, forged_holds, proof_holds};

fn fold_refused(public: &Step, witness: &FoldWitness, property: &str) {
    assert_eq!(Fold::check(public, witness).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(&Tree::get().fold, public, witness), "a forged fold holds: {property}");
}

fn wrap_refused(public: &Step, leaf: &Proven, property: &str) {
    assert_eq!(SmallWrap::check(public, leaf).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(&Tree::get().wrap, public, leaf), "a forged wrap holds: {property}");
}

fn honest() -> (Step, FoldWitness) {
    let tree = Tree::get();
    (tree.whole.step, tree.pair(&tree.wraps[0], &tree.wraps[1]))
}

#[test]
fn wraps_and_folds_fold_in_trees_of_any_form() {
    let tree = Tree::get();
    let (public, witness) = honest();
    assert_eq!(Fold::check(&public, &witness), Ok(()));
    assert!(claim_holds(&tree.fold, &public, &witness));
    // A fold beside a wrap that does nothing, on either side.
    let end = crate::meter::MeterWitness { from: tree.end, segments: Vec::new() };
    let idle = wrapped(&tree.wrap, &leaf(&tree.meter, &end), tree.keys.root());
    let witness = tree.pair(&tree.whole, &idle);
    assert!(claim_holds(&tree.fold, &public, &witness));
    let lopsided = prove(&tree.fold, &public, &witness).expect("a true statement");
    tree.fold.data.verify(lopsided).expect("a proof");
}

#[test]
fn breaks_leaf_holds_by_another_end_of_the_leaf() {
    // Step and the leaf's public inputs agree; only the leaf's proof does not.
    let tree = Tree::get();
    let mut leaf = tree.leaves[0].proof.clone();
    leaf.public_inputs[4] += Field::ONE;
    let to = leaf.public_inputs[4..8].iter().map(|element| element.0);
    let to: Vec<u64> = to.collect();
    let to = PoseidonDigest::from_elements([to[0], to[1], to[2], to[3]]).expect("canonical");
    let step = Step { transition: Transition { to, ..tree.leaves[0].transition }, keys: tree.keys.root() };
    assert_eq!(SmallWrap::check(&step, &leaf), Ok(()), "natively it is consistent");
    assert!(!claim_holds(&tree.wrap, &step, &leaf));
}

#[test]
fn breaks_leaf_holds_by_a_foreign_circuit() {
    // The same statement in a circuit of other segments: proofs have the same shape, but another key.
    type Foreign = Meter<4, 3>;
    let tree = Tree::get();
    let circuit = Circuit::<Foreign>::build(&());
    assert_eq!(circuit.data.common, tree.meter.data.common);
    let mut witness = witnesses(GENESIS)[0].clone();
    witness.segments[1].rows.truncate(3);
    let foreign = leaf(&circuit, &witness);
    let step = Step { transition: foreign.transition, keys: tree.keys.root() };
    assert_eq!(SmallWrap::check(&step, &foreign.proof), Ok(()), "natively it is consistent");
    assert!(!claim_holds(&tree.wrap, &step, &foreign.proof));
}

#[test]
fn breaks_step_passes() {
    let tree = Tree::get();
    let (leaf, keys) = (&tree.leaves[0], tree.keys.root());
    for element in 0..4 {
        let Transition { from, to } = leaf.transition;
        let transition = Transition { from: changed_element(from, element), to };
        wrap_refused(&Step { transition, keys }, &leaf.proof, "leaf-holds");
        let transition = Transition { from, to: changed_element(to, element) };
        wrap_refused(&Step { transition, keys }, &leaf.proof, "leaf-holds");
    }
    let swapped = Transition { from: leaf.transition.to, to: leaf.transition.from };
    wrap_refused(&Step { transition: swapped, keys }, &leaf.proof, "leaf-holds");
}

#[test]
fn breaks_ends_pass() {
    let (public, witness) = honest();
    for element in 0..4 {
        let Transition { from, to } = public.transition;
        let transition = Transition { from: changed_element(from, element), to };
        fold_refused(&Step { transition, ..public }, &witness, "ends-pass");
        let transition = Transition { from, to: changed_element(to, element) };
        fold_refused(&Step { transition, ..public }, &witness, "ends-pass");
    }
    // Half of the run claimed to be the whole, either way.
    let [first, second] = witness.children.each_ref().map(|child| child.step);
    fold_refused(&first, &witness, "ends-pass");
    fold_refused(&second, &witness, "ends-pass");
}

#[test]
fn breaks_states_meet() {
    let tree = Tree::get();
    let [first, second] = &tree.wraps;
    let (public, _) = honest();
    // Swapped order, a leaf twice, a fold whose second half is there already.
    fold_refused(&public, &tree.pair(second, first), "states-meet");
    fold_refused(&Step { transition: first.step.transition, ..public }, &tree.pair(first, first), "states-meet");
    fold_refused(&public, &tree.pair(&tree.whole, second), "states-meet");
}

#[test]
fn breaks_states_meet_by_mixed_runs() {
    // The second half of another run that did just the same.
    let tree = Tree::get();
    let other = leaf(&tree.meter, &witnesses(Digest32([6; 32]))[1]);
    let other = wrapped(&tree.wrap, &other, tree.keys.root());
    let (public, _) = honest();
    let transition = Transition { to: other.step.transition.to, ..public.transition };
    fold_refused(&Step { transition, ..public }, &tree.pair(&tree.wraps[0], &other), "states-meet");
}

#[test]
fn breaks_states_meet_by_totals_that_are_not_carried_along() {
    // The second leaf starts from the right chains and smaller totals: the first leaf's work would be lost.
    let tree = Tree::get();
    let mut second = witnesses(GENESIS)[1].clone();
    second.from.totals = [0; 3];
    let light = wrapped(&tree.wrap, &leaf(&tree.meter, &second), tree.keys.root());
    let (public, _) = honest();
    let transition = Transition { to: light.step.transition.to, ..public.transition };
    fold_refused(&Step { transition, ..public }, &tree.pair(&tree.wraps[0], &light), "states-meet");
}

#[test]
fn breaks_same_keys() {
    // A child that leans on a set that the prover chose, below which anything could be folded.
    let tree = Tree::get();
    let (public, _) = honest();
    for side in 0..2 {
        let mut children = tree.wraps.clone();
        children[side] = wrapped(&tree.wrap, &tree.leaves[side], digest(99));
        let witness = FoldWitness { children, keys: tree.keys.clone() };
        fold_refused(&public, &witness, "same-keys");
    }
}

#[test]
fn breaks_proof_holds_by_another_end_of_a_child() {
    let tree = Tree::get();
    let (public, mut witness) = honest();
    let child = &mut witness.children[1];
    child.proof.public_inputs[7] += Field::ONE;
    let mut elements = child.step.transition.to.elements();
    elements[3] += 1;
    child.step.transition.to = PoseidonDigest::from_elements(elements).expect("canonical");
    let public = Step { transition: Transition { to: child.step.transition.to, ..public.transition }, ..public };
    assert_eq!(Fold::check(&public, &witness), Ok(()), "natively it is consistent");
    assert!(!claim_holds(&tree.fold, &public, &witness));
}

/// A wrap with one constraint removed: it says any step of any leaf.
#[derive(Debug)]
struct Lax;

impl Statement for Lax {
    const ID: CircuitId = "lax";
    const BLINDED: bool = false;
    type Public = Step;
    type Witness = Proven;
    type Targets = WrapTargets;
    type Inner = (Shape, VerifierKey);

    fn check(_: &Step, _: &Proven) -> Result<(), Violation> {
        Ok(())
    }
    fn build(builder: &mut Builder, (shape, leaf): &(Shape, VerifierKey)) -> WrapTargets {
        let step = StepTargets::public(builder);
        let proof = leaf_holds(builder, leaf);
        shape.fill(builder);
        WrapTargets { step, proof }
    }
    fn assign(
        targets: &WrapTargets,
        public: &Step,
        leaf: &Proven,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        Wrap::<3, 4>::assign(targets, public, leaf, assignment)
    }
}

/// A proof that the run is over after its first leaf, by a circuit without `step-passes`.
fn lax_child(keys: PoseidonDigest) -> Child {
    let tree = Tree::get();
    let circuit = Circuit::<Lax>::build(&(tree.shape.clone(), tree.meter.data.verifier_data()));
    assert_eq!(&circuit.data.common, tree.shape.common());
    let transition = Transition { from: tree.wraps[1].step.transition.from, to: digest(66) };
    let step = Step { transition, keys };
    let proof = prove(&circuit, &step, &tree.leaves[0].proof).expect("nothing is asked");
    circuit.data.verify(proof.clone()).expect("a proof of its own circuit");
    Child { step, proof, key: circuit.data.verifier_only }
}

#[test]
fn breaks_key_in_set_by_a_circuit_with_one_constraint_removed() {
    let tree = Tree::get();
    let lax = lax_child(tree.keys.root());
    let public = tree.wraps[0].step.then(lax.step).expect("they meet");
    let witness = tree.pair(&tree.wraps[0], &lax);
    fold_refused(&public, &witness, "key-in-set");
    // Its key with the way of an honest one, and with that of a free place.
    for place in 0..KEY_PLACES {
        assert!(!forged_holds(&tree.fold, &public, &witness, |targets, wires| {
            let member = &targets.children[1].member;
            for (level, sibling) in tree.keys.siblings(place).into_iter().enumerate() {
                crate::testing::set_wire(wires, member.place[level].target, (place >> level & 1) as u64);
                for (&wire, value) in member.siblings[level].elements.iter().zip(sibling.elements()) {
                    crate::testing::set_wire(wires, wire, value);
                }
            }
        }));
    }
    // An honest key in place of its own: then its proof does not hold.
    let mut disguised = witness;
    disguised.children[1].key = tree.wrap.data.verifier_only.clone();
    assert_eq!(Fold::check(&public, &disguised), Ok(()), "natively it is consistent");
    assert!(!claim_holds(&tree.fold, &public, &disguised));
}

#[test]
fn breaks_key_in_set_by_a_set_of_ones_own() {
    // With its key in a set, it folds: under another root, which the threshold does not know.
    let tree = Tree::get();
    let lax = lax_child(tree.keys.root());
    let elements = [key_elements(&tree.wrap.data.verifier_only), key_elements(&lax.key)];
    let own = KeySet::of(elements.iter().map(Vec::as_slice));
    assert_ne!(own.root(), tree.keys.root());
    let public = tree.wraps[0].step.then(lax.step).expect("they meet");
    let witness = FoldWitness { children: [tree.wraps[0].clone(), lax], keys: own };
    fold_refused(&public, &witness, "key-in-set");
}

#[test]
fn breaks_key_in_set_by_half_a_key() {
    // The circuit digest of an honest key with the cap of another, and the reverse.
    let tree = Tree::get();
    let lax = lax_child(tree.keys.root());
    let public = tree.wraps[0].step.then(lax.step).expect("they meet");
    let honest = &tree.wrap.data.verifier_only;
    for half in 0..2 {
        let mut mixed = lax.clone();
        match half {
            0 => mixed.key.circuit_digest = honest.circuit_digest,
            _ => mixed.key.constants_sigmas_cap = honest.constants_sigmas_cap.clone(),
        }
        fold_refused(&public, &tree.pair(&tree.wraps[0], &mixed), "key-in-set");
    }
}

#[test]
fn every_key_of_a_set_has_a_way_to_the_root() {
    let keys: Vec<Vec<u64>> = (0..KEY_PLACES as u64).map(|seed| vec![seed; 68]).collect();
    let full = KeySet::of(keys.iter().map(Vec::as_slice));
    let two = KeySet::of(keys[..2].iter().map(Vec::as_slice));
    let mut other = keys.clone();
    other.swap(2, 3);
    let other = KeySet::of(other.iter().map(Vec::as_slice));
    assert!(full.root() != two.root() && full.root() != other.root());
    let tree = Tree::get();
    assert_eq!(tree.keys.place_of(&tree.wrap.data.verifier_only), Some(0));
    assert_eq!(tree.keys.place_of(&tree.fold.data.verifier_only), Some(1));
}

#[test]
fn fold_and_proof_refuse_alike() {
    let tree = Tree::get();
    let (public, witness) = honest();
    let wire = |targets: &super::fold::FoldTargets| targets.children[0].proof.public_inputs[1];
    assert!(!proof_holds(&tree.fold, &public, &witness, |targets, wires| bump(wires, wire(targets))));
    assert!(!forged_holds(&tree.fold, &public, &witness, |targets, wires| bump(wires, wire(targets))));
    let swapped = tree.pair(&tree.wraps[1], &tree.wraps[0]);
    assert!(!proof_holds(&tree.fold, &public, &swapped, |_, _| ()));
}
