//! **Duty.** Native meaning and circuit say the same on random runs, true and false; and the native heads are the ledger's.

use proptest::prelude::*;
use weighbridge_attest_types::{Reading, WitnessRow, sha256};
use weighbridge_ledger::{meter_commitment, next_head};

use super::raw::{Raw, TOTALS};
use super::{GENESIS, Small, small};
use crate::meter::{MeterRow, MeterWitness, Segment, Transition};
use crate::state::State;
use crate::statement::Statement as _;
use crate::testing::{claim_holds, digest};

#[test]
fn native_heads_are_those_of_the_ledger() {
    let reading = Reading::new(1234, 567, 8, 9).expect("in range");
    let (salt, public) = ([7u8; 28], sha256(b"public facts"));
    let row = MeterRow::of(&WitnessRow { reading, salt }, public);
    let theirs = next_head(5, digest(1), meter_commitment(&reading, &salt), public);
    assert_eq!(row.next_head(5, digest(1)), theirs);
}

/// Readings that are mostly in range, any flags, any order of begins and ends.
fn segment() -> impl Strategy<Value = Segment> {
    let reading = (0u64..1 << 57, 0u64..1_050_000_000, 0u64..1 << 57, 0u64..1 << 20);
    let row = reading.prop_map(|(declared, rest, metered, energy)| MeterRow {
        reading: [declared >> 1, rest, metered >> u32::from(declared % 8 != 0), energy],
        salt: [declared % 97, 1, 2, 3],
        public: [rest % 89, 5, 6, 7, 8],
    });
    let rows = proptest::collection::vec(row, 0..=4);
    (proptest::option::weighted(0.7, 1u64..50), rows, proptest::bool::weighted(0.7))
        .prop_map(|(begins, rows, ends)| Segment { begins: begins.map(digest), rows, ends })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn native_and_circuit_agree(
        segments in proptest::collection::vec(segment(), 0..=3),
        total in prop_oneof![Just(0u64), Just((1 << 62) - 1), 0u64..1 << 61],
        lie in 0usize..8,
    ) {
        let mut from = State::initial(GENESIS);
        from.totals = [total, total / 2, total / 3];
        let witness = MeterWitness { from, segments };
        let raw = Raw::from(&witness);
        let mut to = raw.to();
        if let Some(total) = to.get_mut(TOTALS + lie) {
            *total = total.saturating_sub(1);
        }
        let public: Transition = raw.claiming(&to);
        prop_assert_eq!(Small::check(&public, &witness).is_ok(), claim_holds(small(), &public, &witness));
    }
}
