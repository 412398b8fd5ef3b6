//! **Duty.** What the pinned circuits prove and refuse, from openings to published bytes.

use std::sync::OnceLock;

use weighbridge_attest_types::{Canonical as _, Digest32, Flops, GOLDILOCKS_ORDER, Reading, WitnessRow, sha256};

use super::{blessing, fixture, pin};
use crate::testing::digest;
use crate::{
    CATALOG, COMPACT_PROOF_BYTES, ChainClaim, ChainList, ChainWitness, Component, JobKind, LeafChoice, Plan,
    ProofError, Prover, Relation, THRESHOLD_PROOF_BYTES, ThresholdPublic, TotalRelation, Weighed, check_threshold,
};

const GENESIS: Digest32 = Digest32([42; 32]);
const CONTEXT: Digest32 = Digest32([43; 32]);

fn chain(seed: u64, count: u64) -> ChainWitness {
    let row = |i| WitnessRow { reading: Reading::new(100 + i, 5, 50, i).expect("in range"), salt: [9; 28] };
    let publics = (0..count).map(|i| sha256(&i.to_le_bytes())).collect();
    ChainWitness { start: digest(seed), publics, rows: (0..count).map(row).collect() }
}

/// A chain over several segments, one without an interval, and enough of them that a run has 13 segments: two short
/// leaves, two wraps, one fold.
fn sample_chains() -> Vec<ChainWitness> {
    let mut chains = vec![chain(1, 150), chain(2, 31), chain(3, 0), chain(4, 64)];
    chains.extend((5..12).map(|seed| chain(seed, 7)));
    chains
}

fn sample_relations() -> Vec<TotalRelation> {
    vec![
        TotalRelation::declared(Relation::Le(Flops(100_000_000_000_000))),
        TotalRelation::declared(Relation::Gt(Flops(10_000_000_000_000))),
        TotalRelation { component: Component::Metered, relation: Relation::Le(Flops(15_000_000_000_000)) },
        TotalRelation {
            component: Component::Energy,
            relation: Relation::In { low: Flops(10_000), high: Flops(20_000) },
        },
    ]
}

/// Every piece of a plan, in order.
fn prove_all(prover: &Prover, plan: &Plan<'_>) -> Vec<Vec<u8>> {
    let mut proofs: Vec<Vec<u8>> = Vec::new();
    for job in plan.jobs() {
        let inputs: Vec<&[u8]> = job.inputs.iter().map(|&input| proofs[input].as_slice()).collect();
        proofs.push(prover.prove(plan, job, &inputs).expect("a true statement"));
    }
    proofs
}

/// The same without looking at sizes: while fixtures are written anew, those that are compiled in are of old circuits.
fn prove_and_pin(prover: &Prover, plan: &Plan<'_>) {
    let mut proofs = Vec::new();
    for job in plan.jobs() {
        let taken = job.inputs.iter().map(|&input: &usize| Clone::clone(&proofs[input])).collect();
        let proven = prover.prove_taken(plan, job, taken).expect("a true statement");
        let bytes = crate::checking::encode(&proven.proof);
        let id = job.kind.circuit();
        pin(&format!("{id}.proof-bytes"), bytes.len().to_string().as_bytes());
        if matches!(job.kind, JobKind::Threshold | JobKind::Compact) {
            pin(&format!("{id}.proof"), &bytes);
        }
        proofs.push(proven);
    }
}

fn sample() -> &'static (Vec<ChainWitness>, ThresholdPublic) {
    static SAMPLE: OnceLock<(Vec<ChainWitness>, ThresholdPublic)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let chains = sample_chains();
        let public = Weighed::of(GENESIS, &chains).expect("adds up").statement(&sample_relations(), CONTEXT);
        (chains, public.expect("true"))
    })
}

/// A long leaf has no place in a run of seconds; its size is pinned by a run of its own while blessing.
fn pin_a_long_leaf(prover: &Prover) {
    let chains = [chain(1, 23 * 64)];
    let weighed = Weighed::of(GENESIS, &chains).expect("adds up");
    let relation = TotalRelation::declared(Relation::Le(Flops(10u128.pow(16))));
    let public = weighed.statement(&[relation], CONTEXT).expect("true");
    let plan = weighed.plan(&public, LeafChoice::Any, false).expect("a plan");
    assert_eq!(plan.jobs()[0].kind, JobKind::MeterLong);
    let leaf = prover.prove_taken(&plan, &plan.jobs()[0], Vec::new()).expect("true");
    let bytes = crate::checking::encode(&leaf.proof).len();
    pin("meter-long.proof-bytes", bytes.to_string().as_bytes());
    let wrap = prover.prove_taken(&plan, &plan.jobs()[1], vec![leaf]).expect("true");
    pin("wrap-long.proof-bytes", crate::checking::encode(&wrap.proof).len().to_string().as_bytes());
}

#[test]
fn a_run_of_two_leaves_is_proven_piece_by_piece() {
    let prover = Prover::new().expect("shipped keys");
    let (chains, public) = sample();
    let weighed = Weighed::of(GENESIS, chains).expect("adds up");
    let plan = weighed.plan(public, LeafChoice::Any, true).expect("a plan");
    let kinds: Vec<JobKind> = plan.jobs().iter().map(|job| job.kind).collect();
    let (leaf, wrap) = (JobKind::MeterShort, JobKind::WrapShort);
    assert_eq!(kinds, [leaf, wrap, leaf, wrap, JobKind::Fold, JobKind::Threshold, JobKind::Compact]);
    pin("threshold.public", &public.to_bytes());
    if blessing() {
        prove_and_pin(&prover, &plan);
        pin_a_long_leaf(&prover);
        return;
    }
    let proofs = prove_all(&prover, &plan);
    for (job, proof) in plan.jobs().iter().zip(&proofs) {
        assert_eq!(prover.check(&plan, job, proof), Ok(()), "{:?}", job.kind);
    }
    for published in &proofs[5..] {
        assert_eq!(check_threshold(public, published).expect("a fresh proof").public(), public);
    }
    // A piece of another job, and a damaged one.
    assert_eq!(prover.check(&plan, &plan.jobs()[0], &proofs[2]), Err(ProofError::DoesNotHold));
    assert_eq!(prover.check(&plan, &plan.jobs()[4], &proofs[1]), Err(ProofError::DoesNotHold));
    let mut damaged = proofs[1].clone();
    damaged[1_000] ^= 1;
    assert!(prover.check(&plan, &plan.jobs()[1], &damaged).is_err());
    let error = prover.prove(&plan, &plan.jobs()[4], &[&damaged, &proofs[3]]).expect_err("a child that does not hold");
    assert!(matches!(error, crate::ProveError::Prover { circuit: "fold", .. }), "{error:?}");
}

fn pinned(form: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("{form}.proof"))).expect("fixture exists")
}

#[test]
fn pinned_proofs_of_this_version_still_check() {
    let (_, public) = sample();
    for form in ["threshold", "compact"] {
        assert_eq!(check_threshold(public, &pinned(form)).expect("pinned").public(), public, "{form}");
    }
}

#[test]
fn a_compact_proof_is_small() {
    const { assert!(COMPACT_PROOF_BYTES <= 70 * 1024 && THRESHOLD_PROOF_BYTES <= 160_000) };
    let sizes = CATALOG.iter().map(|entry| entry.proof_bytes);
    assert!(sizes.into_iter().all(|size| (50_000..170_000).contains(&size)));
}

/// A change of a statement's public part.
type Change = (&'static str, fn(&mut ThresholdPublic));

const CHANGES: &[Change] = &[
    ("another run", |public| public.genesis = Digest32([44; 32])),
    ("another context", |public| public.context = Digest32([44; 32])),
    ("no last chain", |public| public.chains = list(&sample_chains()[..10])),
    ("no first chain", |public| public.chains = list(&sample_chains()[1..])),
    ("one chain more", |public| public.chains.push(&ChainClaim { start: digest(77), end: digest(78), count: 1 })),
    ("chains swapped", |public| {
        let mut chains = sample_chains();
        chains.swap(0, 1);
        public.chains = list(&chains);
    }),
    ("a tail dropped", |public| {
        let mut chains = sample_chains();
        chains[1].rows.pop();
        chains[1].publics.pop();
        public.chains = list(&chains);
    }),
    ("a stronger bound", |public| public.relations[0].relation = Relation::Le(Flops(20_000_000_000_000))),
    ("another relation", |public| public.relations[0].relation = Relation::Gt(Flops(1))),
    ("another component", |public| public.relations[1].component = Component::Metered),
    ("a relation less", |public| public.relations.truncate(3)),
    ("a relation more", |public| public.relations.push(TotalRelation::declared(Relation::Le(Flops(10u128.pow(20)))))),
    ("relations swapped", |public| public.relations.swap(0, 2)),
];

fn list(chains: &[ChainWitness]) -> ChainList {
    Weighed::of(GENESIS, chains).expect("adds up").list()
}

#[test]
fn a_proof_of_one_statement_is_no_proof_of_another() {
    let (_, public) = sample();
    for form in ["threshold", "compact"] {
        let proof = pinned(form);
        for (what, change) in CHANGES {
            let mut other = public.clone();
            change(&mut other);
            assert_eq!(check_threshold(&other, &proof), Err(ProofError::DoesNotHold), "{form}: {what}");
        }
    }
}

#[test]
fn changed_cut_or_padded_proofs_are_refused() {
    let (_, public) = sample();
    for (form, whole) in [("threshold", THRESHOLD_PROOF_BYTES), ("compact", COMPACT_PROOF_BYTES)] {
        let proof = pinned(form);
        for position in (0..proof.len()).step_by(proof.len() / 97) {
            for mask in [1u8, 0x80, 0xff] {
                let mut changed = proof.clone();
                changed[position] ^= mask;
                assert!(check_threshold(public, &changed).is_err(), "{form}: byte {position} is free");
            }
        }
        let size = |found| Err(ProofError::Size { found, expected: THRESHOLD_PROOF_BYTES });
        assert_eq!(check_threshold(public, &proof[..whole - 1]), size(whole - 1));
        assert_eq!(check_threshold(public, &[proof.as_slice(), &[0]].concat()), size(whole + 1));
        // An element of p or more would give one proof two encodings.
        let mut alias = proof.clone();
        let last = alias.len() - 8;
        alias[last..].copy_from_slice(&(GOLDILOCKS_ORDER + 5).to_le_bytes());
        assert_eq!(check_threshold(public, &alias), Err(ProofError::NotCanonical));
        assert!(check_threshold(public, &vec![0xff; whole]).is_err());
        assert!(check_threshold(public, &vec![0; whole]).is_err());
    }
    assert!(check_threshold(public, &[]).is_err());
}

#[test]
fn a_proof_of_an_earlier_version_is_refused() {
    // Of four chains in one proof: the size is still that of ours, and the circuit is another.
    let (_, public) = sample();
    let earlier = std::fs::read(fixture("earlier.proof")).expect("fixture exists");
    assert_eq!(earlier.len(), THRESHOLD_PROOF_BYTES);
    assert_eq!(check_threshold(public, &earlier), Err(ProofError::DoesNotHold));
}
