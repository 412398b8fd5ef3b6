//! Agreement of `check` and circuit, and one breakage per constraint (docs/CONSTRAINTS.md).

use std::sync::OnceLock;

use plonky2::field::types::Field as _;
use proptest::prelude::*;
use weighbridge_attest_types::{GOLDILOCKS_ORDER, Reading, sha256};
use weighbridge_commitments::{digest_elements, salt_elements};
use weighbridge_ledger::{meter_commitment, next_head};

use super::statement::{Meter, MeterPublic, MeterRow};
use crate::statement::{Assignment, Circuit, Field, Statement};
use crate::testing::{bump, changed_element, claim_holds, digest, forged_holds, holds, rows, unchecked_public};

type Small = Meter<4>;

fn small() -> &'static Circuit<Small> {
    static CIRCUIT: OnceLock<Circuit<Small>> = OnceLock::new();
    CIRCUIT.get_or_init(|| Circuit::build(&()))
}

fn honest() -> (MeterPublic, Vec<MeterRow>) {
    let rows = rows(3);
    (MeterPublic::of(digest(1), 0, &rows).expect("honest rows"), rows)
}

/// The statement is refused by `check` under this property, and no proof of it holds.
fn refused(public: &MeterPublic, rows: &[MeterRow], property: &str) {
    assert_eq!(Small::check(public, rows).map_err(|violation| violation.property), Err(property));
    assert!(!claim_holds(small(), public, rows), "a forged proof holds: {property}");
}

#[test]
fn an_honest_segment_is_proven() {
    let (public, rows) = honest();
    assert_eq!(Small::check(&public, &rows), Ok(()));
    assert!(claim_holds(small(), &public, &rows));
}

#[test]
fn an_empty_segment_changes_nothing() {
    let public = MeterPublic::of(digest(1), 5, &[]).expect("empty");
    assert_eq!((public.end, public.end_index, public.gflop), (digest(1), 5, 0));
    assert!(claim_holds(small(), &public, &[]));
}

#[test]
fn native_heads_are_those_of_the_ledger() {
    let reading = Reading::new(1234, 567, 8, 9).expect("in range");
    let (salt, public) = ([7u8; 28], sha256(b"public facts"));
    let row = MeterRow { reading: reading.elements(), salt: salt_elements(&salt), public: digest_elements(public) };
    let ours = MeterPublic::of(digest(1), 4, &[row]).expect("honest");
    let theirs = next_head(5, digest(1), meter_commitment(&reading, &salt), public);
    assert_eq!(ours.end, theirs);
}

/// Inputs with any flags, so that rows can be inactive and still hold values.
fn assigned(public: &MeterPublic, rows: &[(u64, MeterRow); 4]) -> Assignment {
    let values = rows.map(|(_, row)| row);
    let mut honest = Assignment::new();
    Small::assign(&small().targets, public, &values, &mut honest).expect("inputs can be set");
    for (targets, (flag, _)) in small().targets.rows.iter().zip(rows) {
        honest.target_values.insert(targets.active.target, Field::from_canonical_u64(*flag));
    }
    honest
}

#[test]
fn breaks_active_flag() {
    // A flag of 2 would count an interval twice: index and sum are claimed so, and the head is what the index gives.
    let three = rows(3);
    let flags = [(1, three[0]), (1, three[1]), (2, three[2]), (0, MeterRow::default())];
    let mut public = unchecked_public(digest(1), 0, &three);
    public.end_index += 1;
    public.gflop += three[2].reading[0];
    assert!(!holds(&small().data, assigned(&public, &flags), |_| ()));
    // The same inputs with a lawful flag and honest claims hold, so that only the flag is at fault.
    let flags = [(1, three[0]), (1, three[1]), (1, three[2]), (0, MeterRow::default())];
    assert!(holds(&small().data, assigned(&unchecked_public(digest(1), 0, &three), &flags), |_| ()));
}

#[test]
fn breaks_running_sum_by_an_inactive_row_that_counts() {
    let three = rows(3);
    let honest = unchecked_public(digest(1), 0, &three[..2]);
    let flags = [(1, three[0]), (1, three[1]), (0, three[2]), (0, MeterRow::default())];
    assert!(holds(&small().data, assigned(&honest, &flags), |_| ()), "an inactive row changes nothing");
    let forged = MeterPublic { gflop: honest.gflop + three[2].reading[0], ..honest };
    assert!(!holds(&small().data, assigned(&forged, &flags), |_| ()));
}

#[test]
fn breaks_reading_bounds_of_every_component() {
    for component in [0, 2, 3] {
        let mut rows = rows(3);
        rows[1].reading[component] = 1 << 56;
        refused(&unchecked_public(digest(1), 0, &rows), &rows, "reading-bounds");
    }
}

#[test]
fn breaks_reading_bounds_of_the_rest() {
    for rest in [1_000_000_000, 1 << 30, GOLDILOCKS_ORDER - 1] {
        let mut rows = rows(3);
        rows[1].reading[1] = rest;
        refused(&unchecked_public(digest(1), 0, &rows), &rows, "reading-bounds");
    }
}

#[test]
fn breaks_meter_commitment() {
    // Another salt under the head that was claimed.
    let (public, rows) = honest();
    for component in 0..4 {
        let mut other = rows.clone();
        other[1].salt[component] += 1;
        refused(&public, &other, "end-head");
    }
    // Another reading, with the sum that goes with it.
    let mut other = rows;
    other[1].reading[0] += 1;
    refused(&MeterPublic { gflop: public.gflop + 1, ..public }, &other, "end-head");
}

#[test]
fn breaks_head_chain_by_a_skipped_interval() {
    // Interval 2 of 3 left out; index and sum are claimed to match, so that only the head can tell.
    let (public, rows) = honest();
    let skipped = [rows[0], rows[2]];
    let forged = MeterPublic { end: public.end, ..unchecked_public(digest(1), 0, &skipped) };
    refused(&forged, &skipped, "end-head");
}

#[test]
fn breaks_head_chain_by_swapped_intervals() {
    let (public, rows) = honest();
    refused(&public, &[rows[1], rows[0], rows[2]], "end-head");
}

#[test]
fn breaks_head_chain_by_another_start() {
    let (public, rows) = honest();
    for element in 0..4 {
        refused(&MeterPublic { start: changed_element(public.start, element), ..public }, &rows, "end-head");
    }
    let later = MeterPublic { start_index: 1, end_index: 4, ..public };
    refused(&later, &rows, "end-head");
}

#[test]
fn breaks_head_chain_behind_the_generators() {
    let (public, rows) = honest();
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.rows[1].public[0])));
    for element in 0..4 {
        assert!(!forged_holds(small(), &public, &rows, |targets, wires| {
            bump(wires, targets.rows[1].results.0.elements[element]);
        }));
    }
}

#[test]
fn breaks_end_head() {
    let (public, rows) = honest();
    for element in 0..4 {
        refused(&MeterPublic { end: changed_element(public.end, element), ..public }, &rows, "end-head");
    }
}

#[test]
fn breaks_end_index() {
    let (public, rows) = honest();
    for end_index in [0, 2, 4] {
        refused(&MeterPublic { end_index, ..public }, &rows, "end-index");
    }
}

#[test]
fn breaks_running_sum() {
    let (public, rows) = honest();
    for gflop in [public.gflop + 1, public.gflop - 1, 0] {
        refused(&MeterPublic { gflop, ..public }, &rows, "running-sum");
    }
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.rows[1].results.1)));
}

#[test]
fn breaks_running_sum_by_wrapping_around_the_field() {
    // 257 readings of 2⁵⁶ − 1 are more than p: the sum in the field is small again.
    type Wide = Meter<257>;
    let circuit = Circuit::<Wide>::build(&());
    let mut rows = rows(257);
    for row in &mut rows {
        row.reading[0] = (1 << 56) - 1;
    }
    // 16 of them stay below 2⁶⁰; the 17th leaves the range.
    let fits = unchecked_public(digest(1), 0, &rows[..16]);
    assert!(claim_holds(&circuit, &fits, &rows[..16]));
    for count in [17, 257] {
        let leaves = unchecked_public(digest(1), 0, &rows[..count]);
        assert!(count != 257 || leaves.gflop < 1 << 57, "wrapped");
        assert_eq!(Wide::check(&leaves, &rows[..count]).map_err(|violation| violation.property), Err("running-sum"));
        assert!(!claim_holds(&circuit, &leaves, &rows[..count]));
    }
}

#[test]
fn more_intervals_than_rows_are_refused_natively() {
    let rows = rows(5);
    let public = unchecked_public(digest(1), 0, &rows);
    assert_eq!(Small::check(&public, &rows).map_err(|violation| violation.property), Err("capacity"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Random readings, sometimes out of range, and sometimes a false claim: `check` and circuit say the same.
    #[test]
    fn native_and_circuit_agree(
        readings in proptest::collection::vec((0u64..1 << 57, 0u64..1_100_000_000, 0u64..1 << 57), 0..=4),
        start_index in 0u64..1000,
        lie in 0u64..3,
    ) {
        let row = |(declared, rest, metered)| MeterRow { reading: [declared, rest, metered, 1], ..MeterRow::default() };
        let rows: Vec<_> = readings.into_iter().map(row).collect();
        let mut public = unchecked_public(digest(9), start_index, &rows);
        public.gflop += u64::from(lie == 0);
        prop_assert_eq!(Small::check(&public, &rows).is_ok(), claim_holds(small(), &public, &rows));
    }
}
