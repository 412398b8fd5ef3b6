//! One breakage per constraint. The circuit is built at the usual rate and over a threshold without blinding: the
//! constraints are the same.

use std::sync::OnceLock;

use plonky2::field::types::Field as _;

use super::{Compact, compact_config};
use crate::statement::{Circuit, Field, Proven, Statement, config};
use crate::testing::claim_holds;
use crate::testing::tree::Tree;
use crate::threshold::tests::{circuit as threshold, inputs, witness};
use crate::threshold::{Threshold, Trusted};

fn circuit() -> &'static (Circuit<Compact>, Proven) {
    static CIRCUIT: OnceLock<(Circuit<Compact>, Proven)> = OnceLock::new();
    CIRCUIT.get_or_init(|| {
        let proof = crate::proving::prove(threshold(), &inputs(&[]), &witness()).expect("a true statement");
        (Circuit::build_with(config(false), &threshold().data.verifier_data()), proof)
    })
}

#[test]
fn a_threshold_proof_is_wrapped_and_says_the_same() {
    let (circuit, proof) = circuit();
    assert_eq!(Compact::check(&inputs(&[]), proof), Ok(()));
    assert!(claim_holds(circuit, &inputs(&[]), proof));
}

#[test]
fn breaks_threshold_holds_by_another_statement() {
    let (circuit, proof) = circuit();
    let mut other = inputs(&[]);
    other.slots[0].high -= 1;
    assert_eq!(Compact::check(&other, proof).map_err(|violation| violation.property), Err("threshold-holds"));
    assert!(!claim_holds(circuit, &other, proof));
    // The proof's own public inputs agree with the claim; the proof does not.
    let mut forged = proof.clone();
    let high = 5 + 5 + 2;
    forged.public_inputs[high] -= Field::ONE;
    assert_eq!(Compact::check(&other, &forged), Ok(()), "natively it is consistent");
    assert!(!claim_holds(circuit, &other, &forged));
}

#[test]
fn breaks_threshold_holds_by_a_foreign_circuit() {
    // The same statement under another root of verifier keys.
    let tree = Tree::get();
    let trusted = Trusted { shape: tree.shape.clone(), root: crate::testing::digest(3) };
    let foreign = Circuit::<Threshold>::build_with(config(false), &trusted);
    assert_eq!(foreign.data.common, threshold().data.common);
    assert_ne!(foreign.data.verifier_only, threshold().data.verifier_only);
    let (circuit, proof) = circuit();
    let compact = Circuit::<Compact>::build_with(config(false), &foreign.data.verifier_data());
    assert!(!claim_holds(&compact, &inputs(&[]), proof));
    assert!(claim_holds(circuit, &inputs(&[]), proof));
}

#[test]
fn every_layer_has_the_same_conjectured_and_provable_bits() {
    let bits = |config: &plonky2::plonk::circuit_data::CircuitConfig| {
        let fri = &config.fri_config;
        let (queries, rate) = (fri.num_query_rounds, fri.rate_bits);
        (queries * rate + fri.proof_of_work_bits as usize, queries * rate / 2 + fri.proof_of_work_bits as usize)
    };
    for config in [config(false), config(true), compact_config()] {
        assert_eq!(bits(&config), (100, 58));
        assert_eq!((config.num_challenges, config.security_bits), (2, 100));
    }
}
