//! **Duty.** What was computed right passes, at every edge, and the integers say what the formula says.

use super::*;
use proptest::prelude::*;

#[test]
fn products_in_f32_pass_in_both_formats_for_every_shape() {
    for shape in [(1, 1, 1), (1, 64, 16), (16, 3, 1), (3, 300, 5), (16, 1024, 16), (64, 100, 64), (2, MAX_K, 2)] {
        for (operands, output) in [
            (Format::Bf16, Format::Bf16),
            (Format::Bf16, Format::F32),
            (Format::F32, Format::F32),
            (Format::F32, Format::Bf16),
        ] {
            let facts = Case::new(shape, operands, output).accepted();
            assert_eq!(facts.entries as usize, shape.0 * shape.2);
            assert_eq!(facts.is_wide, operands == Format::F32);
            assert!(facts.informative * 2 >= facts.entries);
        }
    }
}

/// The largest entry of an operand times the largest of the other, for as long as one piece may be: nothing wraps.
#[test]
fn the_largest_sums_do_not_wrap() {
    for operands in [Format::Bf16, Format::F32] {
        let largest = if operands == Format::Bf16 { 255.0 } else { 16_777_215.0 };
        let mut case = Case::new((1, MAX_K, 1), operands, Format::F32);
        case.a[0].fill(largest);
        case.b[0].fill(-largest);
        let facts = case.computed().accepted();
        assert_eq!((facts.informative, facts.empty), (1, 0));
    }
}

#[test]
fn zeros_and_negative_zeros_are_the_same_and_an_empty_sum_is_exact() {
    let mut case = Case::bf16(64);
    case.a[3].fill(-0.0);
    case.b[5].fill(0.0);
    let mut case = case.computed();
    case.c[3][7] = -0.0;
    let facts = case.accepted();
    assert_eq!((facts.empty, facts.left_zeros, facts.right_zeros), (31, 64, 64));
    // The smallest number there is lies outside of nothing.
    case.c[3][7] = f32::from_bits(1 << 16);
    assert_eq!(case.outside(), 1);
}

#[test]
fn fp8_operands_are_decoded_exactly() {
    // 1.75 · 2 − 0.5 · 448 in e4m3; the output is f32.
    let a = Strip::new(Format::E4m3, 1, 2, vec![0x3e, 0xb0]).unwrap();
    let b = Strip::new(Format::E4m3, 1, 2, vec![0x40, 0x7e]).unwrap();
    let c = |value: f32| Tile::new(Format::F32, 1, 1, value.to_le_bytes().to_vec()).unwrap();
    let policy = OperationPolicy::of(Format::E4m3, Format::F32);
    assert!(matches!(check_tile(&a, &b, &c(3.5 - 224.0), &policy), TileVerdict::Accepted(_)));
    assert!(matches!(check_tile(&a, &b, &c(3.5 - 224.1), &policy), TileVerdict::Refused(_)));
}

#[test]
fn repeated_rows_and_columns_and_zeros_are_counted() {
    let mut case = Case::bf16(64);
    let row = case.a[0].clone();
    case.a[1..9].fill(row);
    let column = case.b[2].clone();
    case.b[3] = column;
    for k in 0..16 {
        case.a.iter_mut().for_each(|row| row[k] = 0.0);
    }
    let facts = case.computed().accepted();
    assert_eq!((facts.repeated_rows, facts.repeated_columns), (8, 1));
    assert_eq!((facts.left_zeros, facts.left_entries, facts.right_zeros), (256, 1024, 0));
}

/// Cheap and honest: a product of rank 1 is computed right. It shows in the statistics, and nowhere else.
#[test]
fn operands_of_rank_one_pass_and_show_where_rows_repeat() {
    let mut case = Case::bf16(128);
    let row = case.a[0].clone();
    case.a.fill(row);
    let column = case.b[0].clone();
    case.b.iter_mut().enumerate().for_each(|(col, b)| {
        b.iter_mut().zip(&column).for_each(|(b, first)| *b = bf16(first * (1.0 + 0.03 * col as f32)));
    });
    let facts = case.computed().accepted();
    assert_eq!(facts.repeated_rows, 15);
}

#[test]
fn a_dead_outlier_takes_two_windows_once_it_is_loud() {
    for (bits, is_wide) in [(8, false), (24, true)] {
        let mut case = Case::bf16(256);
        case.a.iter_mut().for_each(|row| row[0] = bf16(2f32.powi(bits)));
        case.b.iter_mut().for_each(|column| column[0] = 0.0);
        assert_eq!(case.computed().accepted().is_wide, is_wide, "2^{bits}");
    }
}

#[test]
fn signed_residuals_tell_truncation_from_rounding() {
    let mut case = Case::bf16(64);
    let honest = case.accepted();
    // Towards zero in place of to nearest: still inside of every envelope, always on one side.
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0f32, |sum, (a, b)| a.mul_add(*b, sum));
    for (row, a) in case.c.iter_mut().zip(&case.a) {
        for (c, b) in row.iter_mut().zip(&case.b) {
            *c = f32::from_bits(dot(a, b).to_bits() & 0xffff_0000);
        }
    }
    match case.check() {
        TileVerdict::Accepted(facts) => assert!(facts.outward < honest.outward - 10_000, "{facts:?} {honest:?}"),
        // A truncated result is up to 2u away: outside is as good an answer.
        TileVerdict::Refused(TileRefusal::Outside { .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// CIRCUITS §5 in f64, for operands whose exact products f64 can hold.
fn by_the_formula(case: &Case, (row, col): (usize, usize)) -> (f64, f64) {
    let (a, b) = (&case.a[row], &case.b[col]);
    let products = || a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    let (sum, magnitudes): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
    let k = a.len() as f64;
    let gamma = 24.0 * k.sqrt() * 2f64.powi(-24);
    let c = f64::from(case.c[row][col]);
    ((c - sum).abs(), c.abs() / 256.0 + gamma * magnitudes + k * 2f64.powi(-126))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One entry moved to a multiple of its envelope: the integers refuse exactly what the formula refuses.
    #[test]
    fn the_integers_agree_with_the_formula(
        k in 1usize..200,
        place in (0usize..4, 0usize..4),
        multiple in -3.0f64..3.0,
    ) {
        let mut case = Case::new((4, k, 4), Format::Bf16, Format::Bf16);
        let (_, envelope) = by_the_formula(&case, place);
        let (row, col) = place;
        case.c[row][col] = bf16(nearest(f64::from(case.c[row][col]) + multiple * envelope));
        let (distance, envelope) = by_the_formula(&case, place);
        prop_assume!((distance / envelope - 1.0).abs() > 1e-3);
        let is_outside = matches!(case.check(), TileVerdict::Refused(TileRefusal::Outside { .. }));
        prop_assert_eq!(is_outside, distance > envelope, "{} of {}", distance, envelope);
    }
}

#[test]
fn partial_sums_add_up_or_are_refused() {
    let piece = |seed: usize| {
        let mut case = Case::new((16, 100 + seed, 16), Format::Bf16, Format::F32);
        case.a.iter_mut().flatten().for_each(|a| *a *= if seed == 1 { 0.5 } else { -1.0 });
        case.computed()
    };
    let (one, two) = (piece(1), piece(2));
    let tile = |case: &Case| case.strips().2;
    let sum: Vec<f32> = one.c.concat().iter().zip(two.c.concat()).map(|(one, two)| one + two).collect();
    let output = |format, values: &[f32]| Tile::new(format, 16, 16, stored(format, values)).unwrap();
    let parts = PartialSums::new(vec![tile(&one), tile(&two)]).unwrap();
    for format in [Format::F32, Format::Bf16] {
        let policy = OperationPolicy::of(Format::Bf16, format);
        let rounded: Vec<f32> = sum.iter().map(|value| rounded(format, *value)).collect();
        match parts.check(&output(format, &rounded), &policy) {
            TileVerdict::Accepted(facts) => assert_eq!((facts.left_zeros, facts.left_entries), (0, 512)),
            other => panic!("{other:?}"),
        }
        // A part left out, zeros, and the sum of another scale.
        for wrong in [one.c.concat(), vec![0.0; 256], rounded.iter().map(|value| value * 1.01).collect()] {
            let wrong: Vec<f32> = wrong.iter().map(|value| super::rounded(format, *value)).collect();
            let verdict = parts.check(&output(format, &wrong), &policy);
            assert!(matches!(verdict, TileVerdict::Refused(TileRefusal::Outside { .. })), "{verdict:?}");
        }
    }
    let policy = OperationPolicy::of(Format::Bf16, Format::F32);
    // Parts that are zero are counted like operands that are.
    let nothing = output(Format::F32, &[0.0; 256]);
    match PartialSums::new(vec![tile(&one), nothing]).unwrap().check(&tile(&one), &policy) {
        TileVerdict::Accepted(facts) => assert_eq!((facts.left_zeros, facts.left_entries), (256, 512)),
        other => panic!("{other:?}"),
    }
    let narrow = output(Format::Bf16, &sum);
    assert!(matches!(parts.check(&narrow, &policy), TileVerdict::Refused(TileRefusal::Format { .. })));
    let small = Tile::new(Format::F32, 1, 16, vec![0; 64]).unwrap();
    assert!(matches!(parts.check(&small, &policy), TileVerdict::Refused(TileRefusal::Shape { .. })));
    assert_eq!(PartialSums::new(vec![tile(&one)]), Err(PartsError::Count { found: 1 }));
    assert_eq!(PartialSums::new(vec![tile(&one), small]), Err(PartsError::Shape { part: 1 }));
    let format = PartsError::Format { part: 1, found: Format::Bf16 };
    assert_eq!(PartialSums::new(vec![tile(&one), narrow]), Err(format));
}
