//! **Duty.** Attacks on the check itself. Each of them broke some earlier rule in a trial, or is the cheapest thing to try.

use super::*;

/// Exponents of a channel that is louder than the rest.
const OUTLIERS: [i32; 12] = [8, 16, 20, 24, 28, 32, 40, 48, 64, 80, 100, 120];

/// What a forger would commit in place of the product; each must differ from it.
fn forgeries(honest: &Case) -> Vec<(&'static str, Case)> {
    let outputs = |change: &dyn Fn(f32) -> f32| {
        let mut forged = honest.clone();
        forged.c.iter_mut().flatten().for_each(|c| *c = bf16(change(*c)));
        forged
    };
    let mut rotated = honest.clone();
    rotated.c.rotate_left(1);
    let all = [
        ("zeros", honest.clone().zeros()),
        ("negated", outputs(&|c| -c)),
        ("half", outputs(&|c| c / 2.0)),
        ("C × 1.1", outputs(&|c| c * 1.1)),
        ("rows moved", rotated),
    ];
    // One row alone has nowhere to move.
    all.into_iter().filter(|(_, forged)| forged.c != honest.c).collect()
}

fn refused_or_doubted(honest: &Case, what: &str) {
    for (name, forged) in forgeries(honest) {
        assert!(!forged.is_accepted(), "{what}: {name} was accepted");
    }
    let honest = honest.check();
    assert!(!matches!(honest, TileVerdict::Refused(_)), "{what}: honest work was refused: {honest:?}");
}

/// One dead channel: loud in A, zero in B. By norms of rows and columns it would excuse everything.
#[test]
fn a_dead_outlier_in_one_operand_excuses_nothing() {
    for bits in OUTLIERS {
        for k in [64, 256, 1024] {
            let mut case = Case::bf16(k);
            case.a.iter_mut().for_each(|row| row[0] = bf16(2f32.powi(bits)));
            case.b.iter_mut().for_each(|column| column[0] = 0.0);
            refused_or_doubted(&case.computed(), &format!("2^{bits}, K = {k}"));
        }
    }
}

#[test]
fn a_dead_outlier_in_both_operands_excuses_nothing() {
    for bits in OUTLIERS {
        for k in [64, 256, 1024] {
            let mut case = Case::bf16(k);
            case.a.iter_mut().for_each(|row| (row[0], row[1]) = (bf16(2f32.powi(bits)), 0.0));
            case.b.iter_mut().for_each(|column| (column[0], column[1]) = (0.0, bf16(-2f32.powi(bits))));
            refused_or_doubted(&case.computed(), &format!("2^{bits}, K = {k}"));
        }
    }
}

/// Loud and alive: the product is the outlier's, and must be.
#[test]
fn a_live_outlier_must_be_computed() {
    for bits in OUTLIERS.into_iter().filter(|bits| *bits < 60) {
        let mut case = Case::bf16(256);
        case.a.iter_mut().for_each(|row| row[0] = bf16(row[1] * 2f32.powi(bits)));
        case.b.iter_mut().for_each(|column| column[0] = bf16(column[1] * 2f32.powi(bits)));
        refused_or_doubted(&case.computed(), &format!("2^{bits}"));
    }
}

/// Outliers that cancel out exactly leave a small sum under a large envelope.
#[test]
fn outliers_that_cancel_leave_nothing_proven() {
    for bits in OUTLIERS.into_iter().filter(|bits| (12..60).contains(bits)) {
        let mut case = Case::bf16(256);
        for row in &mut case.a {
            (row[0], row[1]) = (bf16(2f32.powi(bits)), bf16(-2f32.powi(bits)));
        }
        case.b.iter_mut().for_each(|column| column[1] = column[0]);
        for (name, forged) in forgeries(&case.clone().computed()) {
            assert!(!forged.is_accepted(), "2^{bits}: {name}");
        }
    }
}

#[test]
fn loose_exponents_are_refused_wherever_they_stand() {
    let case = Case::bf16(256);
    let (a, b, c) = case.strips();
    let tight = |strip, operand| Encoded::tight(strip, operand, Windows::One).unwrap().exponents();
    let (left, right) = (tight(&a, Operand::Left), tight(&b, Operand::Right));
    let check = |case: &Case, left: &[i32], right: &[i32]| {
        let (_, _, c) = case.strips();
        check_claimed((&a, Windows::One, left), (&b, Windows::One, right), &c, &case.policy())
    };
    assert_eq!(check(&case, &left, &right), check_tile(&a, &b, &c, &case.policy()));
    for looser in [1, 16, -1, 200] {
        for vector in [0, 15] {
            let mut loose = left.clone();
            loose[vector] += looser;
            let source = LooseExponent { vector, claimed: loose[vector], tight: left[vector] };
            let refused = TileVerdict::Refused(TileRefusal::LooseExponent { operand: Operand::Left, source });
            // The same for honest outputs and for zeros.
            assert_eq!(check(&case, &loose, &right), refused);
            assert_eq!(check(&case.clone().zeros(), &loose, &right), refused);
            let mut loose = right.clone();
            loose[vector] += looser;
            let verdict = check(&case, &left, &loose);
            assert!(matches!(
                verdict,
                TileVerdict::Refused(TileRefusal::LooseExponent { operand: Operand::Right, .. })
            ));
        }
    }
}

#[test]
fn formats_are_the_policys_and_not_the_tiles() {
    let case = Case::bf16(64);
    let (a, b, c) = case.strips();
    let policies = [
        (OperationPolicy::of(Format::Bf16, Format::F32), Operand::Output),
        (OperationPolicy::of(Format::F32, Format::Bf16), Operand::Left),
        (case.policy().with_right(Format::E4m3), Operand::Right),
    ];
    for (policy, expected) in policies {
        match check_tile(&a, &b, &c, &policy) {
            TileVerdict::Refused(TileRefusal::Format { operand, .. }) => assert_eq!(operand, expected),
            other => panic!("{other:?}"),
        }
    }
    // A coarser output would have a wider envelope: fp8 outputs under a bf16 policy.
    let coarse = Tile::new(Format::E4m3, 16, 16, vec![0x30; 256]).unwrap();
    let expected = TileRefusal::Format { operand: Operand::Output, expected: Format::Bf16, found: Format::E4m3 };
    assert_eq!(check_tile(&a, &b, &coarse, &case.policy()), TileVerdict::Refused(expected));
}

#[test]
fn what_is_no_number_is_refused_in_every_block() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for operands in [Format::Bf16, Format::F32] {
            let honest = Case::new((16, 64, 16), operands, operands);
            let operand = |case: Case| match case.check() {
                TileVerdict::Refused(TileRefusal::NotFinite { operand, vector, .. }) => (operand, vector),
                other => panic!("{other:?}"),
            };
            let mut case = honest.clone();
            case.a[2][63] = wrong;
            assert_eq!(operand(case), (Operand::Left, 2));
            let mut case = honest.clone();
            case.b[15][0] = wrong;
            assert_eq!(operand(case), (Operand::Right, 15));
            let mut case = honest;
            case.c[1][1] = wrong;
            assert_eq!(operand(case), (Operand::Output, 0));
        }
    }
}

#[test]
fn subnormals_hide_nothing() {
    // Products far above the flush: subnormal operands are exact.
    let mut case = Case::new((16, 128, 16), Format::F32, Format::F32);
    case.a.iter_mut().flatten().for_each(|a| *a *= 2f32.powi(-128));
    case.b.iter_mut().flatten().for_each(|b| *b *= 2f32.powi(100));
    let case = case.computed();
    assert!(case.is_accepted());
    assert!(!case.clone().zeros().is_accepted());
    // Products at the flush: an accumulator may lose them all, so nothing is proven by them, whatever C is.
    let mut case = Case::bf16(128);
    case.a.iter_mut().flatten().for_each(|a| *a = bf16(*a * 2f32.powi(-127)));
    let case = case.computed();
    for case in [case.clone(), case.zeros()] {
        assert!(matches!(case.check(), TileVerdict::NotProven(TileDoubt::Uninformative { .. })), "{:?}", case.check());
    }
}

/// A median over the tile would let the quiet rows go.
#[test]
fn one_loud_row_does_not_excuse_the_others() {
    for loud in [10, 20, 30, 60] {
        let mut case = Case::bf16(256);
        case.a[0].iter_mut().for_each(|a| *a *= 2f32.powi(loud));
        let case = case.computed();
        assert!(case.is_accepted());
        let mut quiet_zeros = case.clone();
        quiet_zeros.c.iter_mut().skip(1).flatten().for_each(|c| *c = 0.0);
        assert_eq!(quiet_zeros.outside(), 240, "2^{loud}");
        // The same with one loud column.
        let mut case = Case::bf16(256);
        case.b[0].iter_mut().for_each(|b| *b *= 2f32.powi(loud));
        let mut case = case.computed();
        case.c.iter_mut().for_each(|row| row[1..].fill(0.0));
        assert_eq!(case.outside(), 240, "2^{loud}");
    }
}

/// Pairs of channels that cancel out exactly: a small sum under a wide envelope, in these rows of A.
fn with_cancelling_rows(rows: std::ops::Range<usize>) -> Case {
    let mut case = Case::bf16(256);
    for row in &mut case.a[rows] {
        (row[0], row[1]) = (bf16(2f32.powi(16)), bf16(-2f32.powi(16)));
    }
    case.b.iter_mut().for_each(|column| (column[0], column[1]) = (1.0, 1.0));
    case
}

#[test]
fn half_of_the_entries_must_be_informative() {
    let informative = |rows: usize| with_cancelling_rows(0..rows).computed().check();
    assert!(
        matches!(informative(7), TileVerdict::Accepted(TileFacts { informative: 140..=150, .. })),
        "{:?}",
        informative(7)
    );
    assert!(
        matches!(
            informative(10),
            TileVerdict::NotProven(TileDoubt::Uninformative { informative: ..=110, entries: 256 })
        ),
        "{:?}",
        informative(10)
    );
}

#[test]
fn an_output_beyond_all_that_a_product_can_reach_is_outside() {
    for operands in [Format::Bf16, Format::F32] {
        for huge in [1e30, -3e38] {
            let mut case = Case::new((16, 64, 16), operands, Format::F32);
            case.c[4][5] = huge;
            let expected = TileRefusal::Outside { row: 4, col: 5, outside: 1 };
            assert_eq!(case.check(), TileVerdict::Refused(expected));
        }
    }
}

#[test]
fn a_single_wrong_entry_is_found() {
    for (row, col) in [(0, 0), (7, 9), (15, 15)] {
        let mut case = Case::bf16(1024);
        let rms = (case.c.iter().flatten().map(|c| c * c).sum::<f32>() / 256.0).sqrt();
        case.c[row][col] = bf16(case.c[row][col] + 0.2 * rms);
        let expected = TileRefusal::Outside { row, col, outside: 1 };
        assert_eq!(case.check(), TileVerdict::Refused(expected));
    }
}

#[test]
fn an_edge_tile_is_no_way_out() {
    for shape in [(1, 256, 1), (1, 256, 16), (16, 256, 1), (3, 256, 2)] {
        let case = Case::new(shape, Format::Bf16, Format::Bf16);
        assert!(case.is_accepted());
        refused_or_doubted(&case, &format!("{shape:?}"));
    }
}

/// Every error near the edge of its envelope, half of them up and half down: no rounding does that.
#[test]
fn errors_that_all_sit_at_the_edge_are_not_proven() {
    let mut case = Case::new((16, 64, 16), Format::Bf16, Format::F32);
    for (row, a) in case.c.iter_mut().zip(&case.a) {
        for (col, (c, b)) in row.iter_mut().zip(&case.b).enumerate() {
            let products = || a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            let envelope = 24.0 * 8.0 * 2f64.powi(-24) * products().map(f64::abs).sum::<f64>();
            let up = if col % 2 == 0 { 0.9 } else { -0.9 };
            *c = nearest(products().sum::<f64>() + up * envelope);
        }
    }
    let verdict = case.check();
    assert!(matches!(verdict, TileVerdict::NotProven(TileDoubt::MeanSquare { entries: 256, .. })), "{verdict:?}");
}

#[test]
fn blocks_that_do_not_belong_together_are_malformed() {
    let (a, b, c) = Case::bf16(64).strips();
    let (longer, _, _) = Case::bf16(65).strips();
    let policy = OperationPolicy::of(Format::Bf16, Format::Bf16);
    let small = Tile::new(Format::Bf16, 15, 16, vec![0; 480]).unwrap();
    for verdict in [check_tile(&longer, &b, &c, &policy), check_tile(&a, &b, &small, &policy)] {
        match verdict {
            TileVerdict::Refused(refusal @ TileRefusal::Shape { .. }) => {
                assert_eq!(refusal.culprit(), Culprit::Malformed);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tf32_is_judged_only_where_the_policy_has_it() {
    // Operands truncated to 11 significant bits before the product, as a tensor core reads them.
    let truncated = |case: &Case| {
        let mut cut = case.clone();
        let cut_bits = |value: &mut f32| *value = f32::from_bits(value.to_bits() & 0xffff_e000);
        cut.a.iter_mut().flatten().for_each(cut_bits);
        cut.b.iter_mut().flatten().for_each(cut_bits);
        Case { c: cut.computed().c, ..case.clone() }
    };
    let case = truncated(&Case::new((16, 64, 16), Format::F32, Format::F32));
    let (a, b, c) = case.strips();
    let with = case.policy().with_tf32(true).unwrap();
    assert!(matches!(check_tile(&a, &b, &c, &with), TileVerdict::Accepted(_)));
    assert!(matches!(case.check(), TileVerdict::Refused(TileRefusal::Outside { .. })));
    // Over long K the wider envelope says too little.
    let (a, b, c) = truncated(&Case::new((16, 8192, 16), Format::F32, Format::F32)).strips();
    assert!(matches!(check_tile(&a, &b, &c, &with), TileVerdict::NotProven(TileDoubt::Uninformative { .. })));
}
