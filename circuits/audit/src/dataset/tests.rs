//! A small data set in both modes, and every way to put another record in a batch's place.

use super::*;
use crate::trace::tests::tensors;
use serde_json::json;
use weighbridge_attest_types::sha256;

const UNIT: BatchUnit = BatchUnit { attempt: 0, step: 2, rank: 1, micro_batch: 0 };
const SALT: [u8; 28] = [9; 28];

struct Run {
    records: Vec<Vec<u8>>,
    leaves: Vec<PoseidonDigest>,
    set: DataSet,
    order: Order,
}

fn run() -> Run {
    let records: Vec<Vec<u8>> = (0..23u8).map(|at| vec![at; 8]).collect();
    let (set, leaves) = DataSet::commit(records.iter().map(Vec::as_slice)).unwrap();
    let order = Order::new(sha256(b"order"), 23, 4, (2, 1)).unwrap();
    Run { records, leaves, set, order }
}

impl Run {
    fn batch(&self, unit: BatchUnit, indices: &[u64]) -> Batch {
        let row = |index: &u64| (*index, self.leaves[usize::try_from(*index).unwrap()]);
        Batch::new(unit, SALT, &indices.iter().map(row).collect::<Vec<_>>()).unwrap()
    }

    fn ordered(&self, unit: BatchUnit) -> Vec<u64> {
        (0..4).map(|place| self.order.record(unit, place).unwrap()).collect()
    }

    fn opening(&self, batch: &Batch, place: u64) -> RecordOpening {
        let index = batch.indices[usize::try_from(place).unwrap()];
        batch.open(place, &self.leaves, self.records[usize::try_from(index).unwrap()].clone()).unwrap()
    }

    fn check(&self, batch: PoseidonDigest, opening: &RecordOpening) -> Result<(), DataError> {
        check_ordered((&self.set, &self.order), UNIT, batch, opening)
    }
}

#[test]
fn every_place_of_an_ordered_batch_opens() {
    let run = run();
    let batch = run.batch(UNIT, &run.ordered(UNIT));
    for place in 0..4 {
        assert_eq!(run.check(batch.digest().unwrap(), &run.opening(&batch, place)), Ok(()));
    }
    assert_eq!(batch.open(4, &run.leaves, vec![]), None);
}

#[test]
fn a_wrong_batch_does_not_open() {
    let run = run();
    let ordered = run.ordered(UNIT);
    let honest = run.batch(UNIT, &ordered);
    let digest = honest.digest().unwrap();
    let opening = run.opening(&honest, 1);

    // Other records, honestly committed: an adversarial batch.
    let mut chosen = ordered.clone();
    chosen[1] = (0..23).find(|index| !ordered.contains(index)).unwrap();
    let other = run.batch(UNIT, &chosen);
    let refused = run.check(other.digest().unwrap(), &run.opening(&other, 1));
    assert_eq!(refused, Err(DataError::OtherRecord { place: 1, found: chosen[1], wanted: ordered[1] }));
    // The right records in another order, and the batch of another step.
    let mut swapped = ordered.clone();
    swapped.swap(0, 1);
    let other = run.batch(UNIT, &swapped);
    assert!(matches!(run.check(other.digest().unwrap(), &run.opening(&other, 1)), Err(DataError::OtherRecord { .. })));
    let earlier = BatchUnit { step: 1, ..UNIT };
    let replayed = run.batch(earlier, &run.ordered(earlier));
    assert!(matches!(
        run.check(replayed.digest().unwrap(), &run.opening(&replayed, 1)),
        Err(DataError::OtherRecord { .. })
    ));
    // The same records under another unit's commitment.
    let foreign = run.batch(earlier, &ordered);
    assert_eq!(run.check(foreign.digest().unwrap(), &opening), Err(DataError::NotInBatch { place: 1 }));
    // A shorter batch, a changed record, a changed salt, a place that is not the opened one.
    let short = run.batch(UNIT, &ordered[..3]);
    assert_eq!(
        run.check(short.digest().unwrap(), &run.opening(&short, 1)),
        Err(DataError::Count { found: 3, wanted: 4 })
    );
    let changed = RecordOpening { record: vec![0xff; 8], ..opening.clone() };
    assert_eq!(run.check(digest, &changed), Err(DataError::NotInDataSet { index: ordered[1] }));
    let longer = RecordOpening { record: [opening.record.clone(), vec![0]].concat(), ..opening.clone() };
    assert_eq!(run.check(digest, &longer), Err(DataError::NotInDataSet { index: ordered[1] }));
    let salted = RecordOpening { salt: [8; 28], ..opening.clone() };
    assert_eq!(run.check(digest, &salted), Err(DataError::NotInBatch { place: 1 }));
    let moved = RecordOpening { place: 2, ..opening.clone() };
    assert!(matches!(run.check(digest, &moved), Err(DataError::OtherRecord { .. })));
    let beyond = RecordOpening { place: 4, ..opening };
    assert_eq!(run.check(digest, &beyond), Err(DataError::Outside { what: "place", found: 4 }));
}

#[test]
fn commitments_to_sets_and_orders_depend_on_everything() {
    let run = run();
    let (fewer, _) = DataSet::commit(run.records[..22].iter().map(Vec::as_slice)).unwrap();
    assert_ne!(run.set.digest(), fewer.digest());
    assert_ne!(run.set.digest(), DataSet { records: 22, ..run.set }.digest());
    let orders =
        [(1u64, 23, 4, 2, 1), (2, 23, 4, 2, 1), (1, 22, 4, 2, 1), (1, 23, 3, 2, 1), (1, 23, 4, 1, 1), (1, 23, 4, 2, 2)];
    let digests: std::collections::BTreeSet<_> = orders
        .into_iter()
        .map(|(seed, records, batch, ranks, micro)| {
            Order::new(sha256(&seed.to_le_bytes()), records, batch, (ranks, micro)).unwrap().digest()
        })
        .collect();
    assert_eq!(digests.len(), orders.len());
    assert!(matches!(record_leaf(0, &vec![0; MAX_RECORD_BYTES + 1]), Err(DataError::RecordTooLong { .. })));
    assert!(matches!(DataSet::commit([]), Err(DataError::Extent { .. })));
}

#[test]
fn a_log_has_one_place_for_a_unit() {
    let run = run();
    let units: Vec<BatchUnit> =
        (5..8).flat_map(|step| (0..2).map(move |rank| BatchUnit { attempt: 3, step, rank, micro_batch: 0 })).collect();
    let batches: Vec<PoseidonDigest> =
        units.iter().map(|unit| run.batch(*unit, &[unit.step, 1, 2]).digest().unwrap()).collect();
    let (log, leaves) = BatchLog::commit((3, 5), (2, 1), &batches).unwrap();
    for (entry, unit) in (0u64..).zip(&units) {
        let path = merkle_path(Domain::BatchLogNode, &leaves, entry).unwrap();
        let at = usize::try_from(entry).unwrap();
        assert_eq!(log.check(*unit, batches[at], &path), Ok(()));
        // Another step's batch with its own path, and another batch with this one's.
        let other = (at + 1) % units.len();
        let elsewhere = merkle_path(Domain::BatchLogNode, &leaves, other as u64).unwrap();
        assert_eq!(log.check(*unit, batches[other], &elsewhere), Err(DataError::NotInLog { entry }));
        assert_eq!(log.check(*unit, batches[other], &path), Err(DataError::NotInLog { entry }));
    }
    for (what, unit) in [
        ("attempt", BatchUnit { attempt: 2, ..units[0] }),
        ("rank", BatchUnit { rank: 2, ..units[0] }),
        ("micro-batch", BatchUnit { micro_batch: 1, ..units[0] }),
        ("step", BatchUnit { step: 4, ..units[0] }),
        ("step", BatchUnit { step: 8, ..units[0] }),
    ] {
        assert!(matches!(log.entry(unit), Err(DataError::Outside { what: found, .. }) if found == what), "{unit:?}");
    }
    assert!(BatchLog::commit((3, 5), (2, 1), &batches[..5]).is_err(), "part of a step");
    assert_ne!(log.digest(), BatchLog { ranks: 1, micro_batches: 2, ..log }.digest());
}

#[test]
fn what_the_trace_read_is_the_record() {
    let run = run();
    let batch = run.batch(UNIT, &run.ordered(UNIT));
    let rows = |record: &dyn Fn(u64) -> Vec<u8>| (0..4).flat_map(record).collect::<Vec<u8>>();
    let of = |place| run.opening(&batch, place).record;
    let trace_of = |x: Vec<u8>, y: Vec<u8>| {
        let file = tensors(&[("t", &[4, 6], x, "U8"), ("u", &[4, 2], y, "U8")]);
        let graph = json!({
            "format": "weighbridge/trace/v1", "framework": "", "unit": {"attempt": UNIT.attempt, "step": UNIT.step, "rank": UNIT.rank},
            "tensors_sha256": sha256(&file), "operations": [],
            "tensors": [{"name": "t", "dtype": "U8", "shape": [4, 6], "batch": "x"},
                {"name": "u", "dtype": "U8", "shape": [4, 2], "batch": "y"}]
        });
        (graph.to_string(), file)
    };
    let (graph, file) = trace_of(rows(&|place| of(place)[..6].to_vec()), rows(&|place| of(place)[6..].to_vec()));
    let trace = Trace::parse(graph.as_bytes(), &file).unwrap();
    for place in 0..4 {
        let opening = run.opening(&batch, place);
        assert_eq!(check_row(&trace, (UNIT, &["x", "y"]), &opening), Ok(()));
        assert_eq!(check_row(&trace, (UNIT, &["x"]), &opening), Err(DataError::NotInTrace { place }));
        assert_eq!(check_row(&trace, (UNIT, &["z"]), &opening), Err(DataError::NoField { name: "z".into() }));
        // The opening was held to another unit than the trace is of.
        for unit in [
            BatchUnit { attempt: UNIT.attempt + 1, ..UNIT },
            BatchUnit { step: UNIT.step + 1, ..UNIT },
            BatchUnit { rank: UNIT.rank + 1, ..UNIT },
        ] {
            assert_eq!(check_row(&trace, (unit, &["x", "y"]), &opening), Err(DataError::OtherUnit));
        }
        let elsewhere = format!("{}/x", UNIT.micro_batch + 1);
        assert_eq!(check_row(&trace, (UNIT, &[&elsewhere]), &opening), Err(DataError::OtherUnit));
        // Nothing is not a record, also where the record has nothing.
        let empty = RecordOpening { record: Vec::new(), ..opening.clone() };
        assert_eq!(check_row(&trace, (UNIT, &[]), &empty), Err(DataError::NoFields));
        let count = RecordOpening { count: 3, ..opening };
        assert_eq!(check_row(&trace, (UNIT, &["x", "y"]), &count), Err(DataError::NoField { name: "x".into() }));
    }
    let (graph, file) = trace_of(rows(&|place| of(place)[..6].to_vec()), vec![0xee; 8]);
    let trace = Trace::parse(graph.as_bytes(), &file).unwrap();
    assert_eq!(
        check_row(&trace, (UNIT, &["x", "y"]), &run.opening(&batch, 0)),
        Err(DataError::NotInTrace { place: 0 })
    );
}
