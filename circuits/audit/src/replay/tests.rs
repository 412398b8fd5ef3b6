//! Equal to the bit, or within what was said before; anything else is refused by its own name.

use proptest::prelude::*;

use super::*;

const START: Digest32 = Digest32([1; 32]);
const END: Digest32 = Digest32([2; 32]);
const SPAN: Span = Span { start: START, end: END };
const LOOSE: TensorTolerance = TensorTolerance { ulps: 2, absolute_exponent: Some(-20), differing: 500_000 };

fn environment() -> Environment {
    Environment { library: "torch 2.15.0".to_owned(), instruction_path: "avx512".to_owned(), threads: 1 }
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn to_the_bit_needs_environment_start_and_end() {
    let check = |replayed: Span, environment: &Environment| {
        check_bit_exact(&SPAN, &super::tests::environment(), &replayed, environment)
    };
    assert_eq!(check(SPAN, &environment()), Ok(ReplayGrade::BitExact));
    assert_eq!(ReplayGrade::BitExact.as_str(), "bit-exact under the pinned environment");
    let other = Digest32([9; 32]);
    let start = ReplayRefusal::Start { committed: START, found: other };
    assert_eq!(check(Span { start: other, end: END }, &environment()), Err(start));
    let end = ReplayRefusal::End { committed: END, found: other };
    assert_eq!(check(Span { start: START, end: other }, &environment()), Err(end));
    for change in [
        |environment: &mut Environment| environment.threads = 2,
        |environment: &mut Environment| environment.library.push('1'),
        |environment: &mut Environment| environment.instruction_path.clear(),
    ] {
        let mut changed = environment();
        change(&mut changed);
        assert!(matches!(check(SPAN, &changed), Err(ReplayRefusal::Environment { .. })));
        assert_eq!(Environment::from_bytes(&changed.to_bytes()), Ok(changed));
    }
    let long = Environment { library: "x".repeat(129), ..environment() };
    assert_eq!(Environment::from_bytes(&long.to_bytes()), Err(CodecError::NotCanonical("environment")));
}

#[test]
fn a_tolerance_is_the_committed_one_and_covers_every_tensor() {
    let tolerance = Tolerance::new(TensorTolerance::EXACT, vec![("w".to_owned(), LOOSE)]).unwrap();
    let (a, b) = (f32s(&[1.0, 2.0]), f32s(&[1.0, f32::from_bits(2f32.to_bits() + 2)]));
    let tensor = |name, bytes| StoredTensor { name, format: Format::F32, bytes };
    let end = [tensor("b", &a), tensor("w", &a)];
    let zeros = f32s(&[0.0, 0.0]);
    let before = [tensor("b", &zeros), tensor("w", &zeros)];
    let check = |committed: Digest32, tolerance: &Tolerance, from, root, replayed: &[StoredTensor<'_>]| {
        let start = State { root: START, tensors: &before };
        let states = (&start, &State { root, tensors: &end }, &State { root: Digest32([7; 32]), tensors: replayed });
        check_within_tolerance(&SPAN, committed, tolerance, from, states)
    };
    let digest = tolerance.digest();
    let near = [tensor("b", &a), tensor("w", &b)];
    let difference = TensorDifference { entries: 4, differing: 1, greatest_ulps: 2 };
    let grade = check(digest, &tolerance, START, END, &near).unwrap();
    let ReplayGrade::WithinTolerance(closeness) = grade else { panic!("{grade:?}") };
    assert_eq!(closeness.difference, difference);
    // √((1 + 4) / 2), and 2 units at 2 over two entries.
    assert!((closeness.moved - 2.5f64.sqrt()).abs() < 1e-12);
    assert!((closeness.apart - 2f64.powi(-21) / 2f64.sqrt()).abs() < 1e-12);
    assert_eq!(grade.as_str(), "within the declared tolerance");

    // A wider tolerance, chosen afterwards.
    let wider = Tolerance::new(LOOSE, Vec::new()).unwrap();
    let refused = ReplayRefusal::Tolerance { committed: digest, found: wider.digest() };
    assert_eq!(check(digest, &wider, START, END, &near), Err(refused));
    let refused = ReplayRefusal::Start { committed: START, found: END };
    assert_eq!(check(digest, &tolerance, END, END, &near), Err(refused));
    let refused = ReplayRefusal::NotTheEnd { committed: END, found: START };
    assert_eq!(check(digest, &tolerance, START, START, &near), Err(refused));
    // The other tensor must be exact.
    let wrong = [tensor("b", &b), tensor("w", &a)];
    let source = ToleranceError::Entry { entry: 1, ulps: 2, allowed: 0 };
    let refused = ReplayRefusal::Beyond { name: "b".to_owned(), source };
    assert_eq!(check(digest, &tolerance, START, END, &wrong), Err(refused));
    // Left out, added, renamed, another format, another length, out of order.
    let longer = f32s(&[1.0, 2.0, 3.0]);
    let bf16 = StoredTensor { format: Format::Bf16, ..near[1] };
    for (wrong, name) in [
        (vec![near[0]], "w"),
        (vec![near[0], near[1], tensor("x", &a)], "x"),
        (vec![near[0], tensor("v", &b)], "w"),
        (vec![near[0], bf16], "w"),
        (vec![near[0], tensor("w", &longer)], "w"),
    ] {
        let refused = ReplayRefusal::Tensors { name: name.to_owned() };
        assert_eq!(check(digest, &tolerance, START, END, &wrong), Err(refused));
    }
    assert_eq!(check(digest, &tolerance, START, END, &[near[1], near[0]]), Err(ReplayRefusal::Order));
}

/// A tolerance that is wider than the step: whoever ends where the span began would pass.
#[test]
fn an_end_that_never_moved_is_within_no_tolerance() {
    let wide = TensorTolerance { ulps: 1 << 13, absolute_exponent: Some(-8), differing: 1_000_000 };
    let tolerance = Tolerance::new(wide, Vec::new()).unwrap();
    let check = |start: &[(&str, &[f32])], end: &[(&str, &[f32])], replayed: &[(&str, &[f32])]| {
        let own = |tensors: &[(&str, &[f32])]| -> Vec<(String, Vec<u8>)> {
            tensors.iter().map(|(name, values)| ((*name).to_owned(), f32s(values))).collect()
        };
        let (start, end, replayed) = (own(start), own(end), own(replayed));
        let [start, end, replayed] = [&start, &end, &replayed].map(|tensors| {
            let one = |(name, bytes)| StoredTensor { name, format: Format::F32, bytes };
            tensors.iter().map(|(name, bytes)| one((name.as_str(), bytes.as_slice()))).collect::<Vec<_>>()
        });
        let states = (
            &State { root: START, tensors: &start },
            &State { root: END, tensors: &end },
            &State { root: Digest32([7; 32]), tensors: &replayed },
        );
        check_within_tolerance(&SPAN, tolerance.digest(), &tolerance, START, states)
    };
    let (w, moved, near) = ([1.0, -2.0], [1.001, -2.001], [1.001_01, -2.001]);
    let not_proven = |grade| matches!(grade, Err(ReplayRefusal::NotProven { name, .. }) if name == "w");
    // The prover committed the start as the end; the replay moved, by less than the tolerance.
    assert!(not_proven(check(&[("w", &w)], &[("w", &w)], &[("w", &moved)])));
    // The replay did nothing; the run moved.
    assert!(not_proven(check(&[("w", &w)], &[("w", &moved)], &[("w", &w)])));
    // Half of a step, and a step in the other direction.
    assert!(not_proven(check(&[("w", &w)], &[("w", &moved)], &[("w", &[1.0005, -2.0005])])));
    assert!(not_proven(check(&[("w", &w)], &[("w", &moved)], &[("w", &[0.999, -1.999])])));
    assert!(check(&[("w", &w)], &[("w", &moved)], &[("w", &near)]).is_ok());
    // One tensor that moved a lot speaks for no other.
    let loud = [("v", &[5.0f32, 9.0][..]), ("w", &w[..])];
    assert!(not_proven(check(&[("v", &w), ("w", &w)], &loud, &[("v", &[5.0, 9.0]), ("w", &moved)])));
    // What is frozen stays the same to the bit; what is new moved from zero; what is gone is refused.
    assert!(check(&[("w", &w)], &[("w", &w)], &[("w", &w)]).is_ok());
    assert!(check(&[], &[("w", &moved)], &[("w", &near)]).is_ok());
    let gone = check(&[("a", &w), ("w", &w)], &[("w", &moved)], &[("w", &near)]);
    assert_eq!(gone, Err(ReplayRefusal::Tensors { name: "a".to_owned() }));
    let longer = check(&[("w", &[1.0])], &[("w", &moved)], &[("w", &near)]);
    assert_eq!(longer, Err(ReplayRefusal::Tensors { name: "w".to_owned() }));
}

#[test]
fn the_start_that_is_measured_from_is_the_committed_one() {
    let tolerance = Tolerance::new(LOOSE, Vec::new()).unwrap();
    let state = |root| State { root, tensors: &[] };
    let states = (&state(END), &state(END), &state(END));
    let refused = ReplayRefusal::NotTheStart { committed: START, found: END };
    assert_eq!(check_within_tolerance(&SPAN, tolerance.digest(), &tolerance, START, states), Err(refused));
}

#[test]
fn a_tolerance_leaves_a_number_its_size() {
    let of = |ulps, absolute_exponent| TensorTolerance { ulps, absolute_exponent, differing: 1_000_000 };
    for wide in [of(u32::MAX, None), of((1 << 13) + 1, None), of(0, Some(-7)), of(0, Some(127))] {
        assert_eq!(Tolerance::new(wide, Vec::new()), Err(ToleranceError::Policy), "{wide:?}");
    }
    for (format, most) in [(Format::F32, 1 << 13), (Format::Bf16, 8), (Format::E4m3, 1)] {
        let bytes = vec![0; format.bytes()];
        assert!(of(most, None).compare(format, &bytes, &bytes).is_ok());
        let refused = ToleranceError::Units { found: most + 1, most, format };
        assert_eq!(of(most + 1, None).compare(format, &bytes, &bytes), Err(refused));
    }
}

#[test]
fn units_absolute_distance_and_share_are_each_a_limit() {
    let compare = |tolerance: TensorTolerance, one: &[f32], other: &[f32]| {
        tolerance.compare(Format::F32, &f32s(one), &f32s(other))
    };
    let next = |value: f32, ulps: u32| f32::from_bits(value.to_bits() + ulps);
    let of = |entries, differing, greatest_ulps| Ok(TensorDifference { entries, differing, greatest_ulps });
    assert_eq!(compare(LOOSE, &[1.0, 1.0], &[1.0, next(1.0, 2)]), of(2, 1, 2));
    // 16 units at 1 are 2⁻¹⁹: beyond 2 units and beyond 2⁻²⁰; 8 are at the absolute edge.
    assert_eq!(compare(LOOSE, &[1.0, 1.0], &[1.0, next(1.0, 8)]), of(2, 1, 8));
    let beyond = ToleranceError::Entry { entry: 1, ulps: 9, allowed: 2 };
    assert_eq!(compare(LOOSE, &[1.0, 1.0], &[1.0, next(1.0, 9)]), Err(beyond));
    // Signs around zero: far in units, near in distance.
    let tiny = f32::from_bits(40);
    assert_eq!(compare(LOOSE, &[tiny, 0.0], &[-tiny, 0.0]), of(2, 1, 80));
    let strict = TensorTolerance { absolute_exponent: None, ..LOOSE };
    let beyond = ToleranceError::Entry { entry: 0, ulps: 80, allowed: 2 };
    assert_eq!(compare(strict, &[tiny, 0.0], &[-tiny, 0.0]), Err(beyond));
    // −0 and 0 are the same number in other bits.
    assert_eq!(compare(strict, &[0.0, 1.0], &[-0.0, 1.0]), of(2, 1, 0));
    let all = ToleranceError::Differing { differing: 2, entries: 2, allowed: 1 };
    assert_eq!(compare(LOOSE, &[1.0, 1.0], &[next(1.0, 1), next(1.0, 1)]), Err(all));
    let exact = ToleranceError::Differing { differing: 1, entries: 1, allowed: 0 };
    assert_eq!(compare(TensorTolerance::EXACT, &[0.0], &[-0.0]), Err(exact));
}

#[test]
fn what_is_no_number_must_be_the_same_bits() {
    let compare = |one: f32, other: f32| LOOSE.compare(Format::F32, &f32s(&[one, 0.0]), &f32s(&[other, 0.0]));
    assert!(compare(f32::NAN, f32::NAN).is_ok());
    for (one, other) in
        [(f32::NAN, 0.0), (0.0, f32::NAN), (f32::INFINITY, f32::MAX), (f32::NAN, f32::from_bits(0x7fc0_0001))]
    {
        assert_eq!(compare(one, other), Err(ToleranceError::NotFinite { entry: 0 }));
    }
    assert_eq!(LOOSE.compare(Format::F32, &[0; 6], &[0; 6]), Err(ToleranceError::Bytes));
    assert_eq!(LOOSE.compare(Format::F32, &[0; 8], &[0; 4]), Err(ToleranceError::Bytes));
}

proptest! {
    #[test]
    fn absolute_distances_are_exact(one in prop::num::f32::ANY, other in prop::num::f32::ANY, exponent in -149i16..=127) {
        prop_assume!(one.is_finite() && other.is_finite());
        // An f64 rounds the difference; where that could matter, the case says nothing.
        let distance = (f64::from(one) - f64::from(other)).abs();
        let allowed = 2f64.powi(i32::from(exponent));
        prop_assume!((distance / allowed - 1.0).abs() > 1e-9 || distance == 0.0);
        let tolerance = TensorTolerance { ulps: 0, absolute_exponent: Some(exponent), differing: 1_000_000 };
        let found = tolerance.compare(Format::F32, &f32s(&[one]), &f32s(&[other]));
        prop_assert_eq!(found.is_ok(), distance <= allowed, "{} {} 2^{}", one, other, exponent);
    }
}

#[test]
fn tolerances_have_one_encoding_and_a_range() {
    let tensors = vec![("a".to_owned(), LOOSE), ("b".to_owned(), TensorTolerance::EXACT)];
    let tolerance = Tolerance::new(LOOSE, tensors).unwrap();
    assert_eq!(Tolerance::from_bytes(&tolerance.to_bytes()), Ok(tolerance.clone()));
    assert_eq!((tolerance.of("b"), tolerance.of("c")), (&TensorTolerance::EXACT, &LOOSE));
    let refused = Err(ToleranceError::Policy);
    let two = |one: &str, other: &str| vec![(one.to_owned(), LOOSE), (other.to_owned(), LOOSE)];
    assert_eq!(Tolerance::new(LOOSE, two("b", "a")), refused);
    assert_eq!(Tolerance::new(LOOSE, two("a", "a")), refused);
    let wide = TensorTolerance { absolute_exponent: Some(128), ..LOOSE };
    assert_eq!(Tolerance::new(wide, Vec::new()), refused);
    let more_than_all = TensorTolerance { differing: 1_000_001, ..LOOSE };
    assert_eq!(Tolerance::new(LOOSE, vec![("a".to_owned(), more_than_all)]), refused);
    let mut bytes = tolerance.to_bytes();
    bytes[4] = 2;
    assert_eq!(Tolerance::from_bytes(&bytes), Err(CodecError::NotCanonical("option tag")));
}
