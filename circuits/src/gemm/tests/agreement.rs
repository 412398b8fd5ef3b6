//! **Duty.** Native meaning and circuit say the same: honest tiles, the adversarial set of the native audit, and random ones.

use proptest::prelude::*;

use super::*;
use crate::statement::FieldLayout as _;
use crate::testing::proof_holds;

#[test]
fn an_honest_tile_is_proven_in_earnest() {
    let (public, witness) = Case::new().claim();
    assert_eq!(Small::check(&public, &witness), Ok(()));
    assert!(proof_holds(small(), &public, &witness, |_, _| ()));
    assert_eq!(small().data.common.num_public_inputs, public.to_elements().len());
    assert_eq!(small().data.common.degree_bits(), 12);
    // A proof in earnest is refused where the rows are.
    let (public, zeros) = Case::new().zeros().claim();
    assert!(!proof_holds(small(), &public, &zeros, |_, _| ()));
}

/// What a forger would commit in place of the product.
fn forgeries(honest: &Case) -> Vec<(&'static str, Case)> {
    let mut rotated = honest.clone();
    rotated.c.rotate_left(1);
    let mut one = honest.clone();
    one.c[7][9] = bf16(one.c[7][9] * 1.25 + 1.0);
    let all = [
        ("zeros", honest.zeros()),
        ("negated", honest.with_outputs(|c| -c)),
        ("C × 1.1", honest.with_outputs(|c| c * 1.1)),
        ("rows moved", rotated),
        ("one wrong", one),
    ];
    all.into_iter().filter(|(_, forged)| forged.c != honest.c).collect()
}

/// Forgeries of this case are refused by both; of the honest tile both say the same.
fn fought(case: Case, what: &str) -> Result<(), &'static str> {
    let honest = case.computed();
    for (name, forged) in forgeries(&honest) {
        assert_ne!(forged.agreed(&format!("{what}: {name}")), Ok(()), "{what}: {name}");
    }
    honest.agreed(what)
}

#[test]
fn plain_tiles() {
    assert_eq!(fought(Case::new(), "plain"), Ok(()));
    for seed in 20..28 {
        assert_eq!(Case::seeded(seed).agreed("seeded"), Ok(()), "{seed}");
    }
}

/// Loud channels: dead in one operand, dead in both, alive, cancelling.
#[test]
fn outliers() {
    for bits in [4, 8, 12, 16, 20, 24, 40, 100] {
        let loud = bf16(2f32.powi(bits));
        let mut case = Case::new();
        case.a.iter_mut().for_each(|row| row[0] = loud);
        case.b.iter_mut().for_each(|column| column[0] = 0.0);
        let dead = fought(case.clone(), &format!("dead 2^{bits}"));
        assert!(bits > 8 || dead.is_ok(), "{bits}: {dead:?}");
        case.b.iter_mut().for_each(|column| (column[0], column[1]) = (0.0, -loud));
        case.a.iter_mut().for_each(|row| row[1] = 0.0);
        let _either = fought(case, &format!("dead 2^{bits} in both"));
        let mut case = Case::new();
        case.a.iter_mut().for_each(|row| (row[0], row[1]) = (loud, -loud));
        case.b.iter_mut().for_each(|column| column[1] = column[0]);
        let _either = fought(case, &format!("cancelling 2^{bits}"));
    }
    for bits in [8, 20, 40] {
        let mut case = Case::new();
        case.a.iter_mut().for_each(|row| row[0] = bf16(row[1] * 2f32.powi(bits)));
        case.b.iter_mut().for_each(|column| column[0] = bf16(column[1] * 2f32.powi(bits)));
        let _either = fought(case, &format!("alive 2^{bits}"));
    }
}

#[test]
fn zeros_of_either_sign_and_empty_lines() {
    let mut case = Case::new();
    case.a[3].fill(0.0);
    case.b[15].fill(-0.0);
    case.a[5][7] = -0.0;
    assert_eq!(fought(case.clone(), "empty lines"), Ok(()));
    let case = case.computed();
    let mut signed = case.clone();
    (signed.c[3][0], signed.c[4][15]) = (-0.0, -0.0);
    assert_eq!(signed.agreed("−0 of an empty sum"), Ok(()));
    for tiny in [f32::from_bits(1 << 16), -f32::MIN_POSITIVE, 1e-30, 1.0] {
        let mut wrong = case.clone();
        wrong.c[3][7] = bf16(tiny);
        assert_eq!(wrong.agreed("an empty sum of something"), Err("inside"), "{tiny:e}");
    }
    let mut nothing = Case::new();
    nothing.a.iter_mut().flatten().for_each(|a| *a = 0.0);
    assert_eq!(nothing.computed().agreed("nothing but zeros"), Ok(()));
    // Half of the rows empty: the others must be informative.
    let mut half = Case::new();
    half.a[..8].iter_mut().for_each(|row| row.fill(0.0));
    assert_eq!(half.computed().agreed("half empty"), Ok(()));
}

#[test]
fn subnormal_entries_and_small_products() {
    let mut case = Case::new();
    (case.a[0][0], case.a[1][1], case.b[2][2]) = (f32::from_bits(3 << 16), -f32::from_bits(0x7f << 16), 1e-38);
    assert_eq!(fought(case, "subnormal entries"), Ok(()));
    let mut case = Case::new();
    case.a[4].iter_mut().for_each(|a| *a = f32::from_bits((a.to_bits() >> 16 & 0x3f) << 16));
    assert_eq!(case.computed().agreed("a subnormal row"), Err("covered"));
    for (shift, expected) in [(-30, Ok(())), (-60, Err("flush")), (-120, Err("half-informative"))] {
        let mut case = Case::new();
        case.a.iter_mut().flatten().for_each(|a| *a = bf16(*a * 2f32.powi(shift)));
        assert_eq!(case.computed().agreed("small products"), expected, "2^{shift}");
    }
}

#[test]
fn what_is_no_number_is_refused_in_every_block() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let wrong = f32::from_bits(wrong.to_bits() & 0xffff_0000);
        let honest = Case::new();
        for place in 0..3 {
            let mut case = honest.clone();
            [&mut case.a, &mut case.b, &mut case.c][place][2][9] = wrong;
            assert_eq!(case.agreed("no number"), Err("finite"), "{wrong} {place}");
        }
    }
    // The largest number is one.
    let largest = f32::from_bits(0x7f7f << 16);
    let mut case = Case::new();
    case.a[0].iter_mut().for_each(|a| *a = 0.0);
    case.a[0][0] = largest;
    case.b.iter_mut().for_each(|b| b[0] = 0.5);
    assert_eq!(case.computed().agreed("the largest number"), Ok(()));
}

#[test]
fn loud_lines_excuse_no_others() {
    for loud in [10, 30, 60] {
        let mut case = Case::new();
        case.a[0].iter_mut().for_each(|a| *a *= 2f32.powi(loud));
        let case = case.computed();
        assert_eq!(case.agreed("a loud row"), Ok(()));
        let mut quiet = case.clone();
        quiet.c.iter_mut().skip(1).flatten().for_each(|c| *c = 0.0);
        assert_eq!(quiet.agreed("zeros beside it"), Err("inside"));
    }
}

/// Outputs within a hair of the edge, on both sides.
#[test]
fn the_edge_of_the_envelope_is_where_it_is_natively() {
    let honest = Case::new();
    let mut last = (0, 0);
    for steps in 0..12i32 {
        for sign in [1, -1] {
            let mut case = honest.clone();
            let bits = case.c[2][3].to_bits() >> 16;
            case.c[2][3] = f32::from_bits(bits.wrapping_add_signed(sign * steps) << 16);
            match case.agreed("near the edge") {
                Ok(()) => last.0 += 1,
                Err(property) => {
                    assert_eq!(property, "inside", "{steps}");
                    last.1 += 1;
                }
            }
        }
    }
    assert!(last.0 >= 2 && last.1 >= 10, "{last:?}");
}

#[test]
fn exact_integers_and_powers_of_two() {
    // Sums of few bits, some of them small beside their unit.
    let mut numbers = Numbers(3);
    let mut case = Case::new();
    let mut whole = || (numbers.uniform() * 9.0).floor() - 4.0;
    case.a.iter_mut().chain(&mut case.b).flatten().for_each(|value| *value = whole());
    let _either = fought(case, "small integers");
    let mut case = Case::new();
    case.a.iter_mut().flatten().for_each(|a| *a = a.signum());
    case.b.iter_mut().flatten().for_each(|b| *b = if b.abs() < 1.0 { 1.0 } else { 2.0 });
    let _either = fought(case, "powers of two");
    // As large as magnitudes can be.
    let mut case = Case::new();
    case.a.iter_mut().chain(&mut case.b).flatten().for_each(|value| *value = 255.0);
    assert_eq!(fought(case, "all bits set"), Ok(()));
}

/// A tile of any exponents, with an output near the product or anything else.
fn any_case() -> impl Strategy<Value = Case> {
    let spread = prop_oneof![Just(0i32), 1i32..4, 4i32..30];
    (any::<u64>(), spread, 0usize..40, -6i32..=6, any::<bool>()).prop_map(|(seed, spread, zeros, steps, far)| {
        let mut numbers = Numbers(seed);
        let mut case = Case::seeded(seed ^ 1);
        for value in case.a.iter_mut().chain(&mut case.b).flatten() {
            *value = bf16(*value / 2f32.powi(numbers.below(spread + 1)));
        }
        for _ in 0..zeros {
            let [row, position] = [16, 64].map(|most| numbers.place(most));
            case.a[row][position] = 0.0;
        }
        let mut case = case.computed();
        let [row, col] = [16, 16].map(|most| numbers.place(most));
        let entry = &mut case.c[row][col];
        let bits = (entry.to_bits() >> 16).wrapping_add_signed(if far { steps * 700 } else { steps });
        *entry = f32::from_bits(bits << 16);
        case
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn native_and_circuit_agree(case in any_case()) {
        let (public, witness) = case.claim();
        let native = Small::check(&public, &witness);
        prop_assert_eq!(native.is_ok(), claim_holds(small(), &public, &witness), "{:?}", native);
    }
}
