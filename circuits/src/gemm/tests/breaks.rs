//! **Duty.** Encoding and products: block exponents, windows, cut marks, and products that are not those of the strips. One
//! breakage per constraint, behind the generators.

use plonky2::field::extension::{Extendable, FieldExtension as _};
use plonky2::field::types::{Field as _, PrimeField64 as _};
use weighbridge_attest_types::{Domain, GOLDILOCKS_ORDER};
use weighbridge_commitments::poseidon;

use super::*;
use crate::statement::EXTENSION;
use crate::testing::{bump, set_wire};

type Extended = <Field as Extendable<EXTENSION>>::Extension;

#[test]
fn an_honest_prover_claims_the_same() {
    assert!(Case::new().forged().holds());
    assert!(Case::new().forged().with_exponents(|_| ()).holds());
    assert!(Case::new().forged().with_products(|_| ()).holds());
}

#[test]
fn breaks_block_exponent_by_a_loose_one() {
    for case in [Case::new(), Case::new().zeros()] {
        for looser in [1u64, 4, 16, 40] {
            for (side, vector) in [(0, 0), (0, 15), (1, 7)] {
                assert!(!case.forged().with_exponents(|max| max[side][vector] += looser).holds(), "{looser}");
            }
        }
        // All of them: the envelope would be the widest.
        let all = case.forged().with_exponents(|max| max.iter_mut().flatten().for_each(|max| *max += 16));
        assert!(!all.holds());
    }
    // Too tight: an entry is above it.
    assert!(!Case::new().forged().with_exponents(|max| max[0][3] -= 1).holds());
}

#[test]
fn breaks_block_exponent_by_a_vector_that_is_not_quiet() {
    let loose = || Case::new().zeros().forged().with_exponents(|max| max[0].iter_mut().for_each(|max| *max += 30));
    assert!(!loose().holds_if(|forged| forged.prepared.strips[0].is_quiet = [true; SIDE]));
    // With sums that are said to be zero as well.
    assert!(!loose().holds_if(|forged| {
        forged.prepared.strips[0].is_quiet = [true; SIDE];
        forged.values.sums[0] = [0; SIDE];
    }));
    // A quiet vector may have any exponent: nothing is counted in it.
    let mut case = Case::new();
    case.a[3].fill(0.0);
    let quiet = case.computed().forged();
    assert!(quiet.holds());
    assert!(quiet.clone().with_exponents(|max| max[0][3] = 200).holds());
    // It is quiet all the same: no entry of it reaches the top.
    assert!(!quiet.holds_if(|forged| forged.prepared.strips[0].is_quiet[3] = false));
    // An exponent that no finite number has.
    assert!(!quiet.with_exponents(|max| max[0][3] = 254).holds());
}

#[test]
fn breaks_block_exponent_by_another_top() {
    let honest = Case::new().forged();
    let strip = &honest.prepared.strips[1];
    let lower = (0..K).find(|&place| strip.entry(5, place).0 < 1 << 23).expect("an entry below the top");
    for place in [lower, K, K + strip.top[5], 1 << 20] {
        let forged = honest.holds_if(|forged| forged.prepared.strips[1].top[5] = place);
        // Beyond the strip there is one chunk, so that its number says nothing.
        assert_eq!(forged, place >= K && strip.entry(5, place % K).0 >= 1 << 23, "{place}");
    }
}

#[test]
fn breaks_window_and_cut_mark_behind_the_generators() {
    let mut case = Case::new();
    // Exact, cut in part, cut off, far below, zero.
    for (place, value) in
        [1.0, 129.0 / 128.0 * 2f32.powi(-19), 2f32.powi(-27), 2f32.powi(-60), 0.0].into_iter().enumerate()
    {
        case.a[0][place] = bf16(value);
    }
    case.b.iter_mut().for_each(|row| row[1..5].fill(0.5));
    let honest = case.computed().forged();
    assert!(honest.holds());
    for place in 0..5 {
        let entry = &small().targets.strips[0].entries.inner[0][place];
        let is_cut = honest.prepared.strips[0].entry(0, place).2;
        for (inner, &wire) in entry.inner.iter().enumerate() {
            // The inverse of nothing is nobody's.
            let is_free = inner + 1 == entry.inner.len() && !is_cut;
            assert_eq!(honest.holds_with(|wires| bump(wires, wire)), is_free, "entry {place}, wire {inner}");
        }
        for wire in [entry.signed, entry.magnitude, entry.upper] {
            assert!(!honest.holds_with(|wires| bump(wires, wire)), "entry {place}");
        }
        // A cut that is not told, and one that is not there.
        let (mark, inverse, cut) = (entry.inner[24], entry.inner[25], entry.inner[23]);
        assert!(!honest.holds_with(|wires| {
            let flipped = u64::from(!is_cut);
            set_wire(wires, mark, flipped);
            set_wire(wires, inverse, flipped);
            set_wire(wires, entry.upper, honest.prepared.strips[0].entry(0, place).0 + flipped);
        }));
        assert!(!honest.holds_with(|wires| set_wire(wires, cut, if is_cut { 0 } else { 1 })));
    }
}

#[test]
fn breaks_products_agree_by_products_of_the_forgers_choice() {
    let zeros = Case::new().zeros().forged();
    // S said to be zero, so that C = 0 is right.
    assert!(!zeros.clone().with_products(|[sum, _, _]| sum.fill(0)).holds());
    // Magnitudes said to be large, so that every envelope is wide.
    let wide = |[_, lower, upper]: &mut [Vec<i128>; 3]| {
        upper.iter_mut().for_each(|upper| *upper <<= 9);
        lower.copy_from_slice(upper);
    };
    assert!(!zeros.clone().with_products(wide).holds());
    assert!(!zeros.with_products(|[_, _, upper]| upper.iter_mut().for_each(|upper| *upper += 1 << 40)).holds());
    // One of each, by one unit, of an honest tile: upwards, downwards, all three.
    let honest = Case::new().forged();
    for kind in 0..3 {
        for (entry, change) in [(0, 1), (17, -1), (255, 1 << 20)] {
            assert!(
                !honest.clone().with_products(|products| products[kind][entry] += change).holds(),
                "{kind} {entry}"
            );
        }
    }
    assert!(!honest.clone().with_products(|products| products.iter_mut().for_each(|all| all[3] += 1)).holds());
    // Outputs of two entries change places.
    assert!(!honest.clone().with_products(|products| products.iter_mut().for_each(|all| all.swap(0, 16))).holds());
    assert!(!honest.with_products(|products| products.iter_mut().for_each(|all| all.swap(1, 2))).holds());
}

#[test]
fn breaks_products_agree_by_a_cut_that_is_hidden() {
    let mut case = Case::new();
    case.a.iter_mut().for_each(|row| row[0] = 129.0 / 128.0 * 2f32.powi(-19));
    let honest = case.computed().forged();
    assert!(honest.holds());
    assert!(honest.values.products[1] != honest.values.products[2], "something is cut");
    assert!(!honest.clone().with_products(|[_, lower, upper]| upper.copy_from_slice(lower)).holds());
    assert!(!honest.with_products(|[_, lower, upper]| lower.copy_from_slice(upper)).holds());
}

#[test]
fn breaks_sums_agree() {
    let honest = Case::new().forged();
    for (side, vector) in [(0, 0), (0, 15), (1, 4)] {
        for change in [1u64, GOLDILOCKS_ORDER - 1] {
            assert!(!honest.holds_if(|forged| {
                let sum = &mut forged.values.sums[side][vector];
                *sum = (Field::from_noncanonical_u64(*sum) + Field::from_noncanonical_u64(change)).to_canonical_u64();
            }));
        }
    }
    // What one side has too much the other has too little.
    assert!(!honest.holds_if(|forged| {
        forged.values.sums[0][0] += 5;
        forged.values.sums[1][0] -= 5;
    }));
}

fn canonical(value: i128) -> u64 {
    u64::try_from(value.rem_euclid(i128::from(GOLDILOCKS_ORDER))).expect("below p")
}

/// λ and ρ of some claims.
fn points(forged: &Forged) -> [Extended; 2] {
    let Forged { public, prepared, values, .. } = forged;
    let mut elements: Vec<u64> = public.blocks.iter().flat_map(|block| block.elements()).collect();
    elements.push(public.gamma());
    elements.extend(prepared.strips.iter().flat_map(|strip| strip.max));
    elements.extend(values.sums.iter().flatten());
    let products = values.products.iter().flatten();
    elements.extend(products.map(|product| canonical(*product)));
    let [a, b, c, d] = poseidon(Domain::TileTranscript, &elements).elements().map(Field::from_canonical_u64);
    [Extended::from_basefield_array([a, b]), Extended::from_basefield_array([c, d])]
}

fn at(products: &[Field], [lambda, rho]: [Extended; 2]) -> Extended {
    let rows = products.chunks(SIDE).map(|row| row.iter().rev().fold(Extended::ZERO, |sum, &x| sum * rho + x.into()));
    rows.rev().fold(Extended::ZERO, |sum, row| sum * lambda + row)
}

/// Products that are wrong and agree at the point that the true ones have: they have another point.
#[test]
fn breaks_transcript_by_claims_that_fit_a_known_point() {
    let honest = Case::new().forged();
    let point = points(&honest);
    let field = |value: i128| Field::from_canonical_u64(canonical(value));
    for kind in 0..3 {
        let products: Vec<Field> = honest.values.products[kind].iter().map(|&value| field(value)).collect();
        let truth = at(&products, point);
        // One unit more in the last output; the first two of the second row make up for it.
        let mut wrong = products.clone();
        wrong[255] += Field::ONE;
        let [p, q] = (at(&wrong, point) - truth).to_basefield_array();
        let weight = |entry: usize| {
            let mut one = vec![Field::ZERO; 256];
            one[entry] = Field::ONE;
            at(&one, point).to_basefield_array()
        };
        let ([a, b], [c, d]) = (weight(16), weight(17));
        let scale = (a * d - b * c).inverse();
        wrong[16] -= (p * d - q * c) * scale;
        wrong[17] -= (q * a - p * b) * scale;
        assert_eq!(at(&wrong, point), truth);
        let forged = honest.clone().with_products(|products| {
            products[kind]
                .iter_mut()
                .zip(&wrong)
                .for_each(|(product, wrong)| *product = wrong.to_canonical_u64().into());
        });
        assert_ne!(points(&forged), point);
        assert!(!forged.holds());
    }
    // Whatever is claimed moves the point.
    let moved = [
        Case::seeded(8).forged(),
        honest.clone().with_exponents(|max| max[1][15] += 1),
        honest.clone().with_products(|[sum, _, _]| sum[255] += 1),
        honest.clone().with_products(|[_, lower, _]| lower[0] += 1),
        honest.clone().with_products(|[_, _, upper]| upper[0] += 1),
    ];
    for other in moved {
        assert_ne!(points(&other), point);
    }
}
