//! **Duty.** Outputs, envelopes and the tile as a whole: figures of the forger's choice. One breakage per constraint, behind
//! the generators.

use super::super::entries::EntryInputs;
use super::super::values::{EntryValues, WholeValues};
use super::*;
use crate::testing::bump;

#[test]
fn breaks_outputs_decode() {
    let honest = Case::new().forged();
    let zeros = Case::new().zeros().forged();
    for entry in [0, 3, 77, 255] {
        let output = small().targets.outputs[entry];
        for wire in [output.magnitude, output.negative, output.mantissa, output.bytes[0], output.bytes[1]] {
            assert!(!honest.holds_with(|wires| bump(wires, wire)), "{entry}");
        }
    }
    // The bytes of a right tile, over the words of a wrong one.
    assert!(!zeros.holds_if(|forged| {
        let Forged { prepared, values, .. } = Case::new().forged();
        let words = forged.prepared.output_words.clone();
        forged.prepared = prepared;
        forged.prepared.output_words = words;
        forged.values = values;
    }));
    // Another sign.
    assert_eq!(Case::new().with_outputs(|c| -c).agreed("signs"), Err("inside"));
}

#[test]
fn breaks_output_unit() {
    // Cancelling to less than a unit of the product: the circuit has no such number, and zero is one.
    let mut case = Case::new();
    case.a[2] = (0..K).map(|place| if place % 2 == 0 { 1.0 } else { -1.0 }).collect();
    case.b[4] = vec![1.0; K];
    let case = case.computed();
    assert_eq!(case.c[2][4], 0.0);
    assert_eq!(case.agreed("zero"), Ok(()));
    let mut tiny = case.clone();
    tiny.c[2][4] = 2f32.powi(-50);
    assert_eq!(tiny.agreed("below the unit"), Err("output-unit"));
    let mut huge = case;
    huge.c[2][4] = 2f32.powi(40);
    assert_eq!(huge.agreed("far above"), Err("inside"));
}

/// An honest tile with a change of what is claimed about one output.
fn holds_with_entry(honest: &Forged, entry: usize, change: impl Fn(&mut EntryValues)) -> bool {
    honest.holds_if(|forged| change(&mut forged.values.entries[entry]))
}

#[test]
fn breaks_signs() {
    let honest = Case::new().forged();
    for entry in [0, 100] {
        assert!(!holds_with_entry(&honest, entry, |values| values.is_negative = !values.is_negative));
        assert!(!holds_with_entry(&honest, entry, |values| values.is_below = !values.is_below));
    }
}

type Change = (&'static str, fn(&mut EntryValues));

#[test]
fn breaks_rounding_by_parts_that_do_not_add_up() {
    let honest = Case::new().forged();
    let changes: [Change; 9] = [
        ("a part of C", |values| values.output[0] += 1),
        ("C from below", |values| values.output = [values.output[0] - 1, values.output[1] + 256]),
        ("a part of U", |values| values.upper[0] += 1),
        ("U from below", |values| values.upper = [values.upper[0] - 1, values.upper[1] + (1 << 32)]),
        ("more is carried", |values| values.carried[0] += 1),
        ("carried less", |values| values.carried = [values.carried[0] - 1, values.carried[1] + (1 << 32)]),
        ("another fraction", |values| values.carried[1] ^= 1),
        ("ten fractions", |values| values.tenfold[0] += 1),
        ("ten more fractions", |values| values.tenfold = [values.tenfold[0] + 1, values.tenfold[1] + (1 << 32)]),
    ];
    for (what, change) in changes {
        for entry in [1, 200] {
            assert!(!holds_with_entry(&honest, entry, change), "{what} {entry}");
        }
    }
}

#[test]
fn breaks_inside() {
    for (row, col) in [(0, 0), (7, 9), (15, 15)] {
        let mut case = Case::new();
        case.c[row][col] = bf16(case.c[row][col] * 1.25 + 1.0);
        assert_eq!(case.agreed("outside"), Err("inside"));
        // A prover who names another distance, or parts that make an envelope.
        let forged = case.forged();
        let entry = SIDE * row + col;
        assert!(!holds_with_entry(&forged, entry, |values| values.is_below = !values.is_below));
        assert!(!holds_with_entry(&forged, entry, |values| values.output[0] += 1 << 50));
        assert!(!holds_with_entry(&forged, entry, |values| values.carried[0] += 1 << 20));
    }
}

#[test]
fn breaks_sharp() {
    // A dead channel so loud that a window cuts more than the rounding has room for.
    let mut case = Case::new();
    case.a.iter_mut().for_each(|row| row[0] = bf16(2f32.powi(24)));
    case.b.iter_mut().for_each(|row| row[0] = 0.0);
    let case = case.computed();
    assert_eq!(case.agreed("two windows"), Err("sharp"));
    assert_ne!(case.zeros().agreed("zeros"), Ok(()));
    // Without the rule the cut itself would excuse zeros in a window that lost everything.
    let mut lost = case;
    lost.a.iter_mut().for_each(|row| row[0] = bf16(2f32.powi(60)));
    assert_ne!(lost.computed().zeros().agreed("all cut"), Ok(()));
}

#[test]
fn breaks_empty_is_zero() {
    let mut case = Case::new();
    case.a[3].fill(0.0);
    let honest = case.computed();
    let mut wrong = honest.clone();
    wrong.c[3][7] = 1.0;
    assert_eq!(wrong.agreed("something of nothing"), Err("inside"));
    // Said to be filled, or a filled one said to be empty.
    let inverse = |entry: usize| small().targets.entries[entry].inverse;
    assert!(!wrong.forged().holds_with(|wires| bump(wires, inverse(3 * SIDE + 7))));
    assert!(!honest.forged().holds_with(|wires| crate::testing::set_wire(wires, inverse(0), 0)));
    // The inverse of nothing is nobody's, and nothing stays nothing.
    assert!(honest.forged().holds_with(|wires| bump(wires, inverse(3 * SIDE))));
}

/// Two channels that cancel out exactly: a small sum under a wide envelope, in these rows of A.
fn cancelling(rows: std::ops::Range<usize>) -> Case {
    let mut case = Case::new();
    for row in &mut case.a[rows] {
        (row[0], row[1]) = (bf16(2f32.powi(16)), bf16(-2f32.powi(16)));
    }
    case.b.iter_mut().for_each(|row| (row[0], row[1]) = (1.0, 1.0));
    case.computed()
}

fn renewed(forged: &mut Forged) {
    let filled = forged.values.products[2].iter().filter(|&&upper| upper != 0).count() as u64;
    forged.values.whole = WholeValues::of(&forged.values.entries, filled);
}

#[test]
fn breaks_informative_by_flags_of_the_forgers_choice() {
    let honest = cancelling(0..4).forged();
    assert!(honest.holds());
    let flags = |informative: bool| {
        let found = honest.values.entries.iter().position(|entry| entry.is_informative == informative);
        found.expect("of both kinds")
    };
    for informative in [true, false] {
        let entry = flags(informative);
        assert!(!honest.holds_if(|forged| {
            forged.values.entries[entry].is_informative = !informative;
            renewed(forged);
        }));
    }
}

#[test]
fn breaks_half_informative() {
    assert_eq!(cancelling(0..6).agreed("most are informative"), Ok(()));
    let few = cancelling(0..12);
    assert_eq!(few.agreed("too few are"), Err("half-informative"));
    assert_eq!(few.zeros().agreed("zeros"), Err("inside"));
    assert!(!few.forged().holds_if(|forged| {
        forged.values.entries.iter_mut().for_each(|entry| entry.is_informative = true);
        renewed(forged);
    }));
    // Empty rows fill no quota.
    let mut case = few;
    case.a[12..].iter_mut().for_each(|row| row.fill(0.0));
    assert_eq!(case.computed().agreed("only empty ones beside them"), Err("half-informative"));
}

#[test]
fn breaks_residual() {
    let honest = Case::new().forged();
    for entry in (0..256).step_by(37) {
        assert!(!holds_with_entry(&honest, entry, |values| values.residual -= 1), "{entry}");
        assert!(!holds_with_entry(&honest, entry, |values| values.residual = 1024), "{entry}");
    }
    // More than it is harms nobody but the prover.
    assert!(honest.holds_if(|forged| {
        forged.values.entries[5].residual += 1;
        renewed(forged);
    }));
    // A sum of squares that is another one's.
    assert!(!honest.holds_if(|forged| forged.values.whole.bound = [0; 3]));
}

/// Wide envelopes: two channels that cancel out, under a γ as large as the circuit has room for. Outputs near the edges, half of
/// them above and half below.
fn at_the_edge(gamma: u64) -> Case {
    let mut case = Case::new();
    case.a.iter_mut().for_each(|row| (row[0], row[1]) = (64.0, -64.0));
    case.b.iter_mut().for_each(|row| (row[0], row[1]) = (1.0, 1.0));
    let (a, b) = (case.a.clone(), case.b.clone());
    for (entry, c) in case.c.iter_mut().flatten().enumerate() {
        let products = || a[entry / SIDE].iter().zip(&b[entry % SIDE]).map(|(a, b)| f64::from(*a) * f64::from(*b));
        let (sum, upper) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
        let envelope = sum.abs() / 256.0 + gamma as f64 / 2f64.powi(32) * upper;
        let sign = if entry % 2 == 0 { 1.0 } else { -1.0 };
        #[expect(clippy::cast_possible_truncation, reason = "the nearest single is what is wanted")]
        let moved = |share: u32| bf16((sum + sign * f64::from(share) / 100.0 * envelope) as f32);
        // As near as bf16 has a number that is not beyond it.
        let inside = |c: &f32| (f64::from(*c) - sum).abs() <= 0.95 * envelope;
        *c = (0..96).rev().map(moved).find(inside).unwrap_or(*c);
    }
    case
}

#[test]
fn breaks_mean_square() {
    let model = weighbridge_audit::ErrorModel::Probabilistic { lambda: 32 };
    let operation = policy().of(OperationClass::FORWARD).expect("a class").with_model(model, 60).expect("in range");
    let (mut public, witness) = at_the_edge(operation.gamma(K)).claim();
    public.operation = operation;
    assert_eq!(agreed(&public, &witness, "errors at the edge"), Err("mean-square"));
    let prepared = Prepared::tight(&witness, K);
    let values = TileValues::of(&public, &prepared);
    mean_square_is_forged(&Forged { public, witness, prepared, values });
}

fn mean_square_is_forged(forged: &Forged) {
    // The worst left out, or said to be smaller, or a wider bound.
    assert!(!forged.holds_if(|forged| {
        let worst = forged.values.entries.iter_mut().filter(|entry| entry.is_informative);
        worst.filter(|entry| entry.residual > 200).for_each(|entry| entry.is_informative = false);
        renewed(forged);
    }));
    assert!(!forged.holds_if(|forged| {
        forged.values.entries.iter_mut().for_each(|entry| entry.residual = entry.residual.min(100));
        renewed(forged);
    }));
    for part in 0..3 {
        for more in [1, 1 << 10, 1 << 23] {
            assert!(!forged.holds_if(|forged| forged.values.whole.bound[part] += more));
        }
    }
}

#[test]
fn breaks_mean_square_by_bounds_of_the_forgers_choice() {
    let honest = Case::new().forged();
    for part in 0..3 {
        for more in [1, 1 << 22, 1 << 40] {
            assert!(!honest.holds_if(|forged| forged.values.whole.bound[part] += more), "{part} {more}");
        }
    }
}

#[test]
fn breaks_flush() {
    let mut case = Case::new();
    case.a.iter_mut().flatten().for_each(|a| *a = bf16(*a * 2f32.powi(-43)));
    // Block exponents of 215 and less in all.
    let case = case.computed();
    let least = {
        let forged = case.forged();
        let [left, right] = [0, 1].map(|side| *forged.prepared.strips[side].max.iter().min().expect("sixteen"));
        left + right
    };
    let expected = if least < 215 { Err("flush") } else { Ok(()) };
    assert_eq!(expected, Err("flush"), "{least}");
    assert_eq!(case.agreed("products at the flush"), expected);
}

/// Every input of every output counts: moved by one, it breaks something.
#[test]
fn no_input_of_an_output_is_free() {
    let honest = Case::new().forged();
    let EntryInputs { is_negative, is_below, output, upper, carried, tenfold, is_informative, residual: _, inverse } =
        &small().targets.entries[42];
    let flags = [is_negative, is_below, is_informative].map(|flag| flag.target);
    let parts = [output, upper, carried, tenfold].into_iter().flatten().copied();
    for target in flags.into_iter().chain(parts).chain([*inverse]) {
        assert!(!honest.holds_with(|wires| bump(wires, target)));
    }
}
