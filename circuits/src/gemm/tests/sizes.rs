//! **Duty.** What dot products of 64 do not show: several chunks of a strip, and the largest figures that there are.

use super::*;
use crate::gemm::{GEMM_LONG, GEMM_SHORT};
use crate::testing::bump;
use crate::testing::tile::honest_tile;

fn forged<const N: usize>(public: GemmPublic, witness: GemmWitness) -> Forged {
    let prepared = Prepared::tight(&witness, N);
    let values = TileValues::of(&public, &prepared);
    Forged { public, witness, prepared, values }
}

fn holds_in<const N: usize>(circuit: &Circuit<Gemm<N>>, forged: &Forged) -> bool {
    holds_with(circuit, forged, |_| ())
}

fn holds_with<const N: usize>(
    circuit: &Circuit<Gemm<N>>,
    forged: &Forged,
    tamper: impl FnOnce(&mut PartitionWitness<'_, Field>),
) -> bool {
    let mut assignment = Assignment::new();
    let values = (&forged.prepared, &forged.values);
    circuit.targets.assign(&forged.public, &forged.witness, values, &mut assignment).expect("inputs can be set");
    satisfied(&circuit.data, assignment, tamper)
}

#[test]
fn breaks_block_exponent_by_a_top_in_another_chunk() {
    let circuit = Circuit::<Gemm<GEMM_SHORT>>::build(&());
    let witness = honest_tile(GEMM_SHORT);
    let honest = forged::<GEMM_SHORT>(public(&witness), witness);
    assert!(holds_in(&circuit, &honest));
    let strip = honest.prepared.strips[1].clone();
    // The same place of the other chunk does not reach the top, whichever is the right one.
    let below = |vector: &usize| strip.entry(*vector, strip.top[*vector] ^ 64).0 < 1 << 23;
    let of_chunk = |chunk| (0..SIDE).filter(below).find(|&vector| strip.top[vector] / 64 == chunk).expect("of both");
    for vector in [of_chunk(0), of_chunk(1)] {
        let top = strip.top[vector];
        let mut other = honest.clone();
        other.prepared.strips[1].top[vector] = top ^ 64;
        assert!(!holds_in(&circuit, &other), "vector {vector}: {} for {top}", top ^ 64);
        // The chunk after it: of the second one, one that is not there.
        let wire = circuit.targets.strips[1].top[vector][1];
        assert!(!holds_with(&circuit, &honest, |wires| bump(wires, wire)), "vector {vector}: the chunk after its own");
    }
}

/// 1,024 entries of ±255 that add up, under the greatest γ that a policy can have here; some outputs a step too low.
fn largest() -> Forged {
    let sign = |place: usize| if place.is_multiple_of(3) { -255.0 } else { 255.0 };
    let rows = vec![(0..GEMM_LONG).map(sign).collect::<Vec<f32>>(); SIDE];
    // 255² · 1,024 is 254 steps of 2¹⁸ and a little more.
    let step = 2f32.powi(18);
    let mut outputs = vec![vec![254.0 * step; SIDE]; SIDE];
    (outputs[0][0], outputs[9][4], outputs[15][15]) = (253.0 * step, 253.0 * step, 255.0 * step);
    let operand = |name, shape: [u64; 2], values: &[Vec<f32>]| {
        GemmOperand::new(TensorShape { name, dtype: "BF16", shape: &shape }, stored(values)).expect("a tensor")
    };
    let k = GEMM_LONG as u64;
    let left = operand("x", [16, k], &rows);
    let witness = GemmWitness {
        right: operand("w", [16, k], &rows),
        output: operand("y", [16, 16], &outputs),
        left,
        place: [0, 0],
    };
    let model = weighbridge_audit::ErrorModel::Probabilistic { lambda: 10 };
    let operation = OperationPolicy::of(Format::Bf16, Format::Bf16).with_model(model, 51).expect("in range");
    let policy = NumericPolicy::uniform(operation);
    forged::<GEMM_LONG>(GemmPublic::of(&witness, &policy, OperationClass::FORWARD).expect("its shape"), witness)
}

#[test]
fn the_largest_figures_wrap_nowhere() {
    let circuit = Circuit::<Gemm<GEMM_LONG>>::build(&());
    let honest = largest();
    assert!(honest.public.gamma() >> 21 == 1, "{}", honest.public.gamma());
    assert_eq!(Gemm::<GEMM_LONG>::check(&honest.public, &honest.witness), Ok(()));
    assert!(holds_in(&circuit, &honest));
    for entry in [0, 1, 9 * SIDE + 4] {
        let mut other = honest.clone();
        other.values.entries[entry].residual -= 1;
        assert!(!holds_in(&circuit, &other), "{entry}");
    }
}
