//! **Duty.** The circuits over tiles are the pinned ones, and their proofs hold for the tile that they are of.

use weighbridge_audit::{Format, NumericPolicy, OperationClass, OperationPolicy};

use super::{blessing, pin};
use crate::gemm::{GEMM_LONG, GEMM_SHORT, Gemm};
use crate::statement::{Circuit, Statement as _};
use crate::testing::tile::honest_tile;
use crate::{GemmPublic, ProofError, ProveError, TILES, TileProver};

fn claim(k: usize) -> (GemmPublic, crate::GemmWitness) {
    let witness = honest_tile(k);
    let policy = NumericPolicy::uniform(OperationPolicy::of(Format::Bf16, Format::Bf16));
    (GemmPublic::of(&witness, &policy, OperationClass::FORWARD).expect("blocks of its shape"), witness)
}

/// The pinned circuit, and a proof of it in earnest: of the size that is pinned.
fn pin_tile<const K: usize>(rows_log: usize) {
    let circuit = Circuit::<Gemm<K>>::build(&());
    assert_eq!(circuit.data.common.degree_bits(), rows_log, "{}", Gemm::<K>::ID);
    pin(&format!("{}.description", Gemm::<K>::ID), crate::tiles::description(&circuit).as_bytes());
    let (public, witness) = claim(K);
    let proven = crate::proving::prove(&circuit, &public, &witness).expect("an honest tile");
    let bytes = crate::checking::encode(&proven.proof).len();
    pin(&format!("{}.proof-bytes", Gemm::<K>::ID), bytes.to_string().as_bytes());
    assert!(circuit.data.verify(proven).is_ok(), "{}", Gemm::<K>::ID);
}

#[test]
fn tiles_are_pinned() {
    pin_tile::<GEMM_SHORT>(12);
    pin_tile::<GEMM_LONG>(14);
    assert_eq!(TILES.len(), crate::GEMM_K.len());
}

#[test]
fn a_tile_is_proven_and_its_proof_is_no_others() {
    if blessing() {
        return;
    }
    let prover = TileProver::default();
    let (public, witness) = claim(GEMM_SHORT);
    let proof = prover.prove(&public, &witness).expect("an honest tile");
    assert_eq!(prover.check(&public, &proof).expect("its proof").public(), &public);
    for other in &others(&public) {
        assert_eq!(prover.check(other, &proof), Err(ProofError::DoesNotHold), "{other:?}");
    }
    for other in &no_claims(&public) {
        assert!(matches!(prover.check(other, &proof), Err(ProofError::Public(_))), "{other:?}");
        let refused = prover.prove(other, &witness).expect_err("no claim of this circuit");
        assert!(matches!(refused, ProveError::Violation(_)), "{refused:?}");
    }
    let mut damaged = proof.clone();
    damaged[1_000] ^= 1;
    assert!(prover.check(&public, &damaged).is_err());
    assert!(matches!(prover.check(&public, &proof[1..]), Err(ProofError::Size { .. })));
    let long = GemmPublic { k: GEMM_LONG, ..public.clone() };
    assert!(matches!(prover.check(&GemmPublic { k: 64, ..long.clone() }, &proof), Err(ProofError::Public(_))));
    // A false tile costs no proving time.
    let mut wrong = witness;
    wrong.output.bytes.fill(0);
    let zeros = GemmPublic { blocks: claim_blocks(&wrong), ..public };
    let error = prover.prove(&zeros, &wrong).expect_err("zeros");
    assert!(matches!(error, ProveError::Violation(violation) if violation.property == "inside"));
}

/// Claims about other tiles, or under other policies.
fn others(public: &GemmPublic) -> Vec<GemmPublic> {
    let mut others: Vec<GemmPublic> = (0..6).map(|_| public.clone()).collect();
    others[0].blocks.swap(0, 1);
    (others[1].place, others[1].size) = ([0, 1], [16, 32]);
    others[2].size = [17, 16];
    others[3].class = OperationClass::DGRAD;
    others[4].policy.0[0] ^= 1;
    // Another γ under the digest of the policy: only this crate can say so.
    others[5].operation = loose();
    others.push(claimed(public, &NumericPolicy::uniform(loose()), OperationClass::FORWARD).expect("a wider policy"));
    others
}

/// What has the field elements of a claim, or nearly, and is none.
fn no_claims(public: &GemmPublic) -> Vec<GemmPublic> {
    let wide = OperationPolicy::of(Format::Bf16, Format::F32);
    assert_eq!(wide.gamma(GEMM_SHORT), public.gamma());
    let mut others: Vec<GemmPublic> = (0..4).map(|_| public.clone()).collect();
    others[0].operation = wide;
    others[1].place = [1, 0];
    others[2].place = [0, u64::MAX];
    others[3].size = [15, 16];
    others
}

fn loose() -> OperationPolicy {
    let strict = OperationPolicy::of(Format::Bf16, Format::Bf16);
    strict.with_model(weighbridge_audit::ErrorModel::OrderFree, 2).expect("in range")
}

fn claimed(public: &GemmPublic, policy: &NumericPolicy, class: OperationClass) -> Result<GemmPublic, crate::Violation> {
    GemmPublic::claimed(public.blocks, public.place, public.size, public.k, policy, class)
}

#[test]
fn class_digest_and_gamma_are_those_of_one_policy() {
    let (public, _) = claim(GEMM_SHORT);
    let refused = |policy: &NumericPolicy, class| claimed(&public, policy, class).map_err(|refused| refused.property);
    let strict = OperationPolicy::of(Format::Bf16, Format::Bf16);
    let f32_gradients = vec![
        (OperationClass::FORWARD, strict),
        (OperationClass::DGRAD, loose()),
        (OperationClass::WGRAD, OperationPolicy::of(Format::Bf16, Format::F32)),
    ];
    let mixed = NumericPolicy::new(f32_gradients).expect("ascending");
    for (class, operation) in [(OperationClass::FORWARD, strict), (OperationClass::DGRAD, loose())] {
        let of = refused(&mixed, class).expect("bf16");
        assert_eq!((of.policy(), of.class(), of.operation()), (mixed.digest(), class, &operation));
        assert_eq!(of.gamma(), operation.gamma(GEMM_SHORT));
    }
    assert_eq!(refused(&mixed, OperationClass::WGRAD), Err("policy"));
    assert_eq!(refused(&mixed, OperationClass(9)), Err("policy"));
    let larger_tiles = NumericPolicy::uniform(strict).with_side(32).expect("in range");
    assert_eq!(refused(&larger_tiles, OperationClass::FORWARD), Err("policy"));
    let beyond = GemmPublic { place: [0, 1], ..public.clone() };
    let beyond = claimed(&beyond, &NumericPolicy::uniform(strict), OperationClass::FORWARD);
    assert_eq!(beyond.map_err(|refused| refused.property), Err("header"));
}

fn claim_blocks(witness: &crate::GemmWitness) -> [weighbridge_attest_types::PoseidonDigest; 3] {
    let policy = NumericPolicy::uniform(OperationPolicy::of(Format::Bf16, Format::Bf16));
    GemmPublic::of(witness, &policy, OperationClass::FORWARD).expect("blocks of its shape").blocks
}
