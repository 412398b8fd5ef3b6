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
    pin(&format!("{}.description", Gemm::<K>::ID), circuit.describe().as_bytes());
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
    let mut others: Vec<GemmPublic> = (0..6).map(|_| public.clone()).collect();
    others[0].blocks.swap(0, 1);
    others[1].place = [0, 1];
    others[2].size = [17, 16];
    others[3].class = OperationClass::DGRAD;
    others[4].policy.0[0] ^= 1;
    let model = weighbridge_audit::ErrorModel::OrderFree;
    others[5].operation = others[5].operation.with_model(model, 1).expect("in range");
    for other in &others {
        assert_eq!(prover.check(other, &proof), Err(ProofError::DoesNotHold), "{other:?}");
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

fn claim_blocks(witness: &crate::GemmWitness) -> [weighbridge_attest_types::PoseidonDigest; 3] {
    let policy = NumericPolicy::uniform(OperationPolicy::of(Format::Bf16, Format::Bf16));
    GemmPublic::of(witness, &policy, OperationClass::FORWARD).expect("blocks of its shape").blocks
}
