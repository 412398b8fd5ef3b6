//! Agreement of `check` and circuit, and one breakage per constraint (docs/CONSTRAINTS.md).

use std::sync::OnceLock;

use plonky2::field::types::Field as _;
use proptest::prelude::*;
use weighbridge_attest_types::{Digest32, Reading, sha256};
use weighbridge_commitments::{digest_elements, salt_elements};

use super::statement::{Meter, MeterPublic, MeterRow};
use crate::gadgets::set;
use crate::statement::{Assignment, Circuit, Field, Statement};
use crate::testing::{bump, claim_holds, digest, forged_holds, holds, overwrite, rows, unchecked_public};

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
    // The same interval through the ledger's own types: one definition of head and meter in two places.
    let reading = Reading::new(1234, 567, 8, 9).expect("in range");
    let (salt, public) = ([7u8; 28], sha256(b"public facts"));
    let row = MeterRow { reading: reading.elements(), salt: salt_elements(&salt), public: digest_elements(public) };
    let ours = MeterPublic::of(digest(1), 0, &[row]).expect("honest");
    assert_ne!(
        ours.end,
        MeterPublic::of(digest(1), 0, &[MeterRow { public: digest_elements(Digest32([0; 32])), ..row }])
            .expect("honest")
            .end
    );
    assert_eq!(ours, unchecked_public(digest(1), 0, &[row]));
}

#[test]
fn breaks_active_flag() {
    // A flag of 2 would count an interval twice.
    let (mut public, rows) = honest();
    public.end_index += 1;
    public.gflop += rows[2].reading[0];
    let mut assignment = Assignment::new();
    let targets = &small().targets;
    set(&mut assignment, targets.start_index, 0).expect("set");
    for (row, values) in targets.rows.iter().zip(rows.iter().copied().chain([MeterRow::default()])) {
        for (target, value) in row.reading.iter().zip(values.reading) {
            set(&mut assignment, *target, value).expect("set");
        }
        for (target, value) in row.salt.iter().zip(values.salt) {
            set(&mut assignment, *target, value).expect("set");
        }
        for (target, value) in row.public.iter().zip(values.public) {
            set(&mut assignment, *target, value).expect("set");
        }
    }
    crate::gadgets::set_digest(&mut assignment, targets.start, public.start).expect("set");
    for (row, flag) in targets.rows.iter().zip([1, 1, 2, 0]) {
        set(&mut assignment, row.active.target, flag).expect("set");
    }
    assert!(!holds(&small().data, assignment, |_| ()));
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
    let mut rows = rows(3);
    rows[1].reading[1] = 1_000_000_000;
    refused(&unchecked_public(digest(1), 0, &rows), &rows, "reading-bounds");
}

#[test]
fn breaks_meter_commitment() {
    let (public, rows) = honest();
    for component in 0..4 {
        assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(
            wires,
            targets.rows[1].reading[component]
        )));
        assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.rows[1].salt[component])));
    }
}

#[test]
fn breaks_head_chain_by_a_skipped_interval() {
    // Interval 2 of 3 left out, its index skipped with it.
    let (public, rows) = honest();
    let skipped = [rows[0], rows[2]];
    let forged = MeterPublic { gflop: rows[0].reading[0] + rows[2].reading[0], ..public };
    refused(&forged, &skipped, "end-head");
}

#[test]
fn breaks_head_chain_by_swapped_intervals() {
    let (public, rows) = honest();
    refused(&public, &[rows[1], rows[0], rows[2]], "end-head");
}

#[test]
fn breaks_head_chain_behind_the_generators() {
    let (public, rows) = honest();
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.rows[1].public[0])));
    for element in 0..4 {
        assert!(!forged_holds(small(), &public, &rows, |targets, wires| {
            bump(wires, targets.rows[1].results.0.elements[element]);
        }));
        assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.start.elements[element])));
    }
}

#[test]
fn breaks_end_head() {
    let (public, rows) = honest();
    for element in 0..4 {
        assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.end.elements[element])));
    }
}

#[test]
fn breaks_end_index() {
    let (public, rows) = honest();
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.end_index)));
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.start_index)));
}

#[test]
fn breaks_running_sum() {
    let (public, rows) = honest();
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.gflop)));
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| bump(wires, targets.rows[1].results.1)));
    assert!(!forged_holds(small(), &public, &rows, |targets, wires| overwrite(wires, targets.gflop, Field::ZERO)));
}

#[test]
fn breaks_running_sum_by_leaving_its_range() {
    // 32 readings of 2⁵⁶ − 1 stay below 2⁶¹; the 33rd leaves it.
    type Wide = Meter<40>;
    let circuit = Circuit::<Wide>::build(&());
    let mut rows = rows(33);
    for row in &mut rows {
        row.reading[0] = (1 << 56) - 1;
    }
    let fits = unchecked_public(digest(1), 0, &rows[..32]);
    assert!(claim_holds(&circuit, &fits, &rows[..32]));
    let leaves = unchecked_public(digest(1), 0, &rows);
    assert_eq!(Wide::check(&leaves, &rows).map_err(|violation| violation.property), Err("running-sum"));
    assert!(!claim_holds(&circuit, &leaves, &rows));
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
