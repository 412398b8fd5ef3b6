//! **Duty.** Pins circuits as text, the verifier key and a proof as bytes: a changed constraint cannot hide in a
//! refactor, and an old proof must fail against a new circuit. With `WEIGHBRIDGE_BLESS=1` the fixtures are written anew.

use std::fmt::Write as _;
use std::path::Path;

use plonky2::util::serialization::DefaultGateSerializer;
use weighbridge_attest_types::{Canonical as _, Digest32, Flops, GOLDILOCKS_ORDER, Reading, WitnessRow, sha256};

use crate::proving::circuits;
use crate::statement::{Circuit, Statement};
use crate::testing::digest;
use crate::{
    CATALOG, ChainClaim, ChainWitness, DeclaredRelation, ProofError, ProveError, THRESHOLD_PROOF_BYTES, ThresholdProof,
    check_threshold, prove_threshold,
};

#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites fixtures")]
fn blessing() -> bool {
    std::env::var("WEIGHBRIDGE_BLESS").is_ok_and(|value| value == "1")
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn pin(name: &str, bytes: &[u8]) {
    let path = fixture(name);
    if blessing() {
        std::fs::write(&path, bytes).expect("fixtures are writable");
    }
    let pinned = std::fs::read(&path).expect("fixture exists");
    assert_eq!(
        sha256(&pinned),
        sha256(bytes),
        "{name} differs from what the circuits give; WEIGHBRIDGE_BLESS=1 rewrites it"
    );
}

/// Gates, shape and digest of a circuit as text.
fn describe<S: Statement>(circuit: &Circuit<S>) -> String {
    let common = &circuit.data.common;
    let mut text =
        format!("circuit: {}\nblinded: {}\nrows before blinding and padding: {}\n", S::ID, S::BLINDED, circuit.rows);
    let _ = writeln!(text, "degree: 2^{}", common.degree_bits());
    let _ = writeln!(text, "public inputs: {}", common.num_public_inputs);
    let _ = writeln!(text, "constants: {}", common.num_constants);
    let _ = writeln!(text, "config: {:?}", common.config);
    let gates: Vec<String> = common.gates.iter().map(|gate| gate.0.id()).collect();
    let _ = writeln!(text, "gates:\n  {}", gates.join("\n  "));
    let elements = circuit.data.verifier_only.circuit_digest.elements;
    let _ = writeln!(text, "digest: {elements:?}");
    text
}

fn chain(seed: u64, count: u64) -> ChainWitness {
    let row = |i| WitnessRow { reading: Reading::new(100 + i, 5, 0, 0).expect("in range"), salt: [9; 28] };
    let publics = (0..count).map(|i| sha256(&i.to_le_bytes())).collect();
    ChainWitness { start: digest(seed), publics, rows: (0..count).map(row).collect() }
}

const GENESIS: Digest32 = Digest32([42; 32]);

fn prove_sample() -> ThresholdProof {
    let chains = [chain(1, 30), chain(2, 31), chain(3, 7)];
    let relation = DeclaredRelation::Le(Flops(10_000_000_000_000));
    prove_threshold(GENESIS, &chains, relation, &mut |_| ()).expect("a true statement")
}

#[test]
fn circuits_keys_and_a_proof_are_pinned() {
    let circuits = circuits();
    let descriptions = [describe(&circuits.meter), describe(&circuits.aggregation), describe(&circuits.threshold)];
    for (entry, description) in CATALOG.iter().zip(&descriptions) {
        pin(&format!("{}.description", entry.id), description.as_bytes());
    }
    let key = circuits.threshold.data.verifier_data().to_bytes(&DefaultGateSerializer).expect("writes to memory");
    pin("threshold.verifier", &key);
    let sample = prove_sample();
    pin("threshold.proof-bytes", sample.proof.len().to_string().as_bytes());
    if blessing() {
        std::fs::write(fixture("threshold.proof"), &sample.proof).expect("fixtures are writable");
    } else {
        assert_eq!(check_threshold(&sample.public, &sample.proof).expect("a fresh proof").public(), &sample.public);
    }
}

/// The pinned proof with the statement it was made for.
fn pinned() -> ThresholdProof {
    let proof = std::fs::read(fixture("threshold.proof")).expect("fixture exists");
    let relation = DeclaredRelation::Le(Flops(10_000_000_000_000));
    let public =
        crate::proving::check_witness(GENESIS, &[chain(1, 30), chain(2, 31), chain(3, 7)], relation).expect("true");
    ThresholdProof { public, proof }
}

#[test]
fn every_relation_is_proven_and_only_where_it_holds() {
    // 30 intervals of 100 to 129 GFLOP: 3,435 GFLOP and a remainder below one.
    let chain = [chain(1, 30)];
    let relations = [
        DeclaredRelation::Gt(Flops(3_434_999_999_999)),
        DeclaredRelation::In { low: Flops(3_435_000_000_000), high: Flops(3_439_000_000_000) },
    ];
    for relation in relations {
        let proof = prove_threshold(GENESIS, &chain, relation, &mut |_| ()).expect("a true statement");
        assert_eq!(check_threshold(&proof.public, &proof.proof).expect("a fresh proof").public().relation, relation);
        let mut stronger = proof.public;
        stronger.relation = DeclaredRelation::Gt(Flops(3_435_000_000_000));
        assert_eq!(check_threshold(&stronger, &proof.proof), Err(ProofError::DoesNotHold));
    }
}

#[test]
fn a_pinned_proof_of_this_version_still_checks() {
    let ThresholdProof { public, proof } = pinned();
    // The statement as bytes, so that whoever attacks the proof's parser need not make a proof first.
    pin("threshold.public", &public.to_bytes());
    assert_eq!(check_threshold(&public, &proof).expect("pinned").public(), &public);
}

#[test]
fn a_proof_of_one_statement_is_no_proof_of_another() {
    let ThresholdProof { public, proof } = pinned();
    let mut others = vec![public.clone(); 8];
    others[0].genesis = Digest32([43; 32]);
    others[1].chains[0].count += 1;
    others[2].chains[1].end = digest(5);
    others[3].chains.swap(0, 1);
    others[4].relation = DeclaredRelation::Le(Flops(9_000_000_000_000));
    others[5].relation = DeclaredRelation::Gt(Flops(1));
    others[6].chains.pop();
    others[7].chains.push(ChainClaim { start: digest(4), end: digest(4), count: 1 });
    for other in others {
        assert_eq!(check_threshold(&other, &proof), Err(ProofError::DoesNotHold), "{other:?}");
    }
    // A count that is the same field element,
    let mut alias = public.clone();
    alias.chains[0].count += GOLDILOCKS_ORDER;
    assert!(matches!(check_threshold(&alias, &proof), Err(ProofError::Public(_))));
}

#[test]
fn changed_cut_or_padded_proofs_are_refused() {
    let ThresholdProof { public, proof } = pinned();
    for position in (0..proof.len()).step_by(proof.len() / 97) {
        for mask in [1u8, 0x80, 0xff] {
            let mut changed = proof.clone();
            changed[position] ^= mask;
            assert!(check_threshold(&public, &changed).is_err(), "byte {position} is free");
        }
    }
    let size = |found| Err(ProofError::Size { found, expected: THRESHOLD_PROOF_BYTES });
    assert_eq!(check_threshold(&public, &proof[..proof.len() - 1]), size(proof.len() - 1));
    assert_eq!(check_threshold(&public, &[proof.as_slice(), &[0]].concat()), size(proof.len() + 1));
    assert_eq!(check_threshold(&public, &[]), size(0));
    // An element of p or more would give one proof two encodings.
    let mut alias = proof.clone();
    let last = alias.len() - 8;
    alias[last..].copy_from_slice(&(GOLDILOCKS_ORDER + 5).to_le_bytes());
    assert_eq!(check_threshold(&public, &alias), Err(ProofError::NotCanonical));
    assert!(check_threshold(&public, &vec![0xff; proof.len()]).is_err());
    assert!(check_threshold(&public, &vec![0; proof.len()]).is_err());
}

#[test]
fn false_statements_and_foreign_shapes_are_named_before_proving() {
    let error =
        |chains: &[ChainWitness], relation| prove_threshold(GENESIS, chains, relation, &mut |_| ()).unwrap_err();
    let above = error(&[chain(1, 3)], DeclaredRelation::Gt(Flops(1_000_000_000_000)));
    assert!(matches!(above, ProveError::Violation(violation) if violation.property == "low-bound"));
    let long = error(&[chain(1, 513)], DeclaredRelation::Le(Flops(1_000_000_000_000)));
    assert!(matches!(long, ProveError::Shape { found: 513, most: 512, .. }));
    let many: Vec<ChainWitness> = (1..=5).map(|seed| chain(seed, 1)).collect();
    let many = error(&many, DeclaredRelation::Le(Flops(1_000_000_000_000)));
    assert!(matches!(many, ProveError::Shape { found: 5, most: 4, .. }));
    let empty = error(&[chain(1, 3), chain(2, 0)], DeclaredRelation::Le(Flops(1_000_000_000_000)));
    assert!(matches!(empty, ProveError::EmptyChain { chain: 2 }));
    let twice = error(&[chain(1, 3), chain(1, 3)], DeclaredRelation::Gt(Flops(500_000_000_000)));
    assert!(matches!(twice, ProveError::Violation(violation) if violation.property == "bounds"), "one chain twice");
    let mut short = chain(1, 3);
    short.publics.pop();
    let short = error(&[short], DeclaredRelation::Le(Flops(1_000_000_000_000)));
    assert!(matches!(short, ProveError::Violation(violation) if violation.property == "capacity"));
}
