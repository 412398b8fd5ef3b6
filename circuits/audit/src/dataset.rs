//! **Duty.** That a batch is the one that was committed: a data set's root, an order or a log of batches, and the opening
//! of one drawn record in all of them. **Knows** records as bytes. **Does not know** files or samplers. **Spec.** TRAINING
//! §4, PROTOCOL §3 (batches are salted); decision 0043.
//!
//! | object | Poseidon of |
//! |---|---|
//! | leaf of record i | `data-record`: i, length in bytes, `pack7` of the bytes |
//! | data set | `data-set`: number of records, root over the leaves (nodes `data-node`) |
//! | item of a batch | `batch-item`: place in the batch, i, the record's leaf |
//! | batch | `batch`: salt (4), the unit's first two key elements, number of items, root over the items (nodes `batch-node`) |
//! | entry of a log | `batch-log`: the unit's first two key elements, the batch |
//! | log | `batch-log`: attempt, first step, ranks, micro-batches, entries, root over the entries (nodes `batch-log-node`) |
//!
//! Two modes. *Order-committed*: the order's parameters are in the manifest, and anybody derives which record stands at
//! which place of which batch ([`Order`]). *Log-committed*: each batch is appended when it was used, and the log is dense,
//! so that a unit has one place in it and no other.

mod order;

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Domain, PoseidonDigest};
use weighbridge_commitments::{MerklePath, merkle_path, merkle_root, pack7, poseidon, salt_elements};

use crate::trace::{Origin, SourceError, Trace};
use crate::{Key, KeyError};

pub use order::{MAX_RECORDS, Order};

/// Longest record: 2¹⁷ tokens of eight bytes, the longest context in published training recipes.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// Most records of one unit's batch: a place is one of 2³² in the order.
pub const MAX_BATCH: u64 = 1 << 24;

/// Which batch: one unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchUnit {
    /// Attempt of the run.
    pub attempt: u16,
    /// Optimizer step.
    pub step: u64,
    /// Rank.
    pub rank: u32,
    /// Micro-batch.
    pub micro_batch: u16,
}

/// A committed data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSet {
    /// Records.
    pub records: u64,
    /// Root over their leaves.
    pub root: PoseidonDigest,
}

/// A dense log of batches: from `first_step` on, each step's ranks in order, each rank's micro-batches in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLog {
    /// Attempt that it is about.
    pub attempt: u16,
    /// Its first step.
    pub first_step: u64,
    /// Ranks of each step.
    pub ranks: u32,
    /// Micro-batches of each rank and step.
    pub micro_batches: u16,
    /// Entries.
    pub entries: u64,
    /// Root over them.
    pub root: PoseidonDigest,
}

/// One drawn record of a batch, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOpening {
    /// Its place in the batch.
    pub place: u64,
    /// Its index in the data set.
    pub index: u64,
    /// Its bytes.
    pub record: Vec<u8>,
    /// Its way to the data set's root.
    pub record_path: MerklePath,
    /// Its item's way to the batch's root.
    pub batch_path: MerklePath,
    /// Items of the batch.
    pub count: u64,
    /// The batch's salt.
    pub salt: [u8; 28],
}

/// Why a record is not the one that the commitments fix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A record that no data set of ours has.
    #[error("a record of {found} bytes; the cap is {cap}")]
    RecordTooLong {
        /// Its bytes.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// Parameters that order nothing.
    #[error("{what} of {found} is outside 1 to {cap}")]
    Extent {
        /// Which.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The largest.
        cap: u64,
    },
    /// A unit without a key.
    #[error("the unit of the batch has no key")]
    Unit(#[source] KeyError),
    /// A unit, place or index outside of what was committed.
    #[error("{what} {found} is outside of what was committed")]
    Outside {
        /// Which.
        what: &'static str,
        /// Its value.
        found: u64,
    },
    /// Another number of records than the order has.
    #[error("the batch has {found} records; the order has {wanted}")]
    Count {
        /// Found.
        found: u64,
        /// By the order.
        wanted: u64,
    },
    /// Another record than the order has at this place.
    #[error("place {place} of the batch is record {found}; the order has record {wanted} there")]
    OtherRecord {
        /// The place.
        place: u64,
        /// Opened.
        found: u64,
        /// By the order.
        wanted: u64,
    },
    /// The record is not in the data set.
    #[error("record {index} does not open to the data set's root")]
    NotInDataSet {
        /// Its index.
        index: u64,
    },
    /// The record is not in the batch.
    #[error("the record at place {place} does not open to the batch that was committed")]
    NotInBatch {
        /// Its place.
        place: u64,
    },
    /// The batch is not in the log at its unit's place.
    #[error("the batch does not open to the log at entry {entry}")]
    NotInLog {
        /// The entry.
        entry: u64,
    },
    /// The trace read other bytes.
    #[error("row {place} of the trace's batch is not the record")]
    NotInTrace {
        /// The place.
        place: u64,
    },
    /// The trace is of another unit than the batch.
    #[error("the trace is of another attempt, step, rank or micro-batch than the batch")]
    OtherUnit,
    /// No tensor of the trace is named: an empty record would be all of nothing.
    #[error("no batch tensor of the trace is named to hold the record to")]
    NoFields,
    /// The trace has no such batch tensor, or one without rows.
    #[error("the trace has no batch tensor {name:?} with that many rows")]
    NoField {
        /// Its name.
        name: String,
    },
    /// The trace's bytes cannot be read.
    #[error("the trace's batch cannot be read")]
    Source(#[source] SourceError),
}

impl DataError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::RecordTooLong { .. }
            | Self::Extent { .. }
            | Self::Unit(_)
            | Self::NoField { .. }
            | Self::NoFields => Culprit::Malformed,
            Self::Outside { .. }
            | Self::Count { .. }
            | Self::OtherRecord { .. }
            | Self::NotInDataSet { .. }
            | Self::NotInBatch { .. }
            | Self::NotInLog { .. }
            | Self::OtherUnit
            | Self::NotInTrace { .. } => Culprit::Rejected,
            Self::Source(_) => Culprit::Unavailable,
        }
    }
}

/// The leaf of one record.
///
/// # Errors
/// [`DataError::RecordTooLong`].
pub fn record_leaf(index: u64, record: &[u8]) -> Result<PoseidonDigest, DataError> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(DataError::RecordTooLong { found: record.len(), cap: MAX_RECORD_BYTES });
    }
    // pack7 pads the last element with zeros: the length tells `a` from `a\0`.
    let mut elements = vec![index, record.len() as u64];
    elements.extend(pack7(record));
    Ok(poseidon(Domain::DataRecord, &elements))
}

impl DataSet {
    /// Commits to records in their order.
    ///
    /// # Errors
    /// [`DataError::Extent`] without a record or with too many, [`DataError::RecordTooLong`].
    pub fn commit<'r>(records: impl IntoIterator<Item = &'r [u8]>) -> Result<(Self, Vec<PoseidonDigest>), DataError> {
        let leaves: Result<Vec<_>, _> =
            (0u64..).zip(records).map(|(index, record)| record_leaf(index, record)).collect();
        let leaves = leaves?;
        let records = leaves.len() as u64;
        extent("the number of records", records, MAX_RECORDS)?;
        let root = merkle_root(Domain::DataNode, leaves.iter().copied()).unwrap_or_default();
        Ok((Self { records, root }, leaves))
    }

    /// What a manifest carries.
    #[must_use]
    pub fn digest(&self) -> PoseidonDigest {
        let mut elements = vec![self.records];
        elements.extend(self.root.elements());
        poseidon(Domain::DataSet, &elements)
    }
}

/// A batch as it is committed: the records' indices and leaves, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    items: Vec<PoseidonDigest>,
    indices: Vec<u64>,
    salt: [u8; 28],
    unit: BatchUnit,
}

impl Batch {
    /// A batch of records with these indices and leaves.
    ///
    /// # Errors
    /// [`DataError::Extent`] of an empty or too large one.
    pub fn new(unit: BatchUnit, salt: [u8; 28], records: &[(u64, PoseidonDigest)]) -> Result<Self, DataError> {
        extent("the number of records of a batch", records.len() as u64, MAX_BATCH)?;
        let items = (0u64..).zip(records).map(|(place, (index, leaf))| item(place, *index, *leaf)).collect();
        Ok(Self { items, indices: records.iter().map(|(index, _)| *index).collect(), salt, unit })
    }

    /// The commitment.
    ///
    /// # Errors
    /// [`DataError::Unit`].
    pub fn digest(&self) -> Result<PoseidonDigest, DataError> {
        let root = merkle_root(Domain::BatchNode, self.items.iter().copied()).unwrap_or_default();
        batch_digest(self.unit, &self.salt, self.items.len() as u64, root)
    }

    /// Opens one place; `leaves` are those of the whole data set, `record` the bytes.
    #[must_use]
    pub fn open(&self, place: u64, leaves: &[PoseidonDigest], record: Vec<u8>) -> Option<RecordOpening> {
        let index = *self.indices.get(usize::try_from(place).ok()?)?;
        Some(RecordOpening {
            place,
            index,
            record,
            record_path: merkle_path(Domain::DataNode, leaves, index)?,
            batch_path: merkle_path(Domain::BatchNode, &self.items, place)?,
            count: self.items.len() as u64,
            salt: self.salt,
        })
    }
}

/// Holds an opened record to the data set and to the batch that was committed for its unit.
///
/// # Errors
/// [`DataError`] names what does not open.
pub fn check_record(
    set: &DataSet,
    unit: BatchUnit,
    batch: PoseidonDigest,
    opening: &RecordOpening,
) -> Result<(), DataError> {
    let RecordOpening { place, index, record, record_path, batch_path, count, salt } = opening;
    let leaf = record_leaf(*index, record)?;
    if record_path.root(Domain::DataNode, (*index, set.records), leaf) != Some(set.root) {
        return Err(DataError::NotInDataSet { index: *index });
    }
    let not_in_batch = DataError::NotInBatch { place: *place };
    extent("the number of records of a batch", *count, MAX_BATCH)?;
    let root = batch_path.root(Domain::BatchNode, (*place, *count), item(*place, *index, leaf));
    let root = root.ok_or_else(|| not_in_batch.clone())?;
    if batch_digest(unit, salt, *count, root)? == batch { Ok(()) } else { Err(not_in_batch) }
}

/// Order-committed: the record at this place is also the one that the order has there.
///
/// # Errors
/// [`DataError`].
pub fn check_ordered(
    (set, order): (&DataSet, &Order),
    unit: BatchUnit,
    batch: PoseidonDigest,
    opening: &RecordOpening,
) -> Result<(), DataError> {
    if order.records() != set.records {
        return Err(DataError::Outside { what: "an order over a number of records", found: order.records() });
    }
    if opening.count != order.batch() {
        return Err(DataError::Count { found: opening.count, wanted: order.batch() });
    }
    let wanted = order.record(unit, opening.place)?;
    if opening.index != wanted {
        return Err(DataError::OtherRecord { place: opening.place, found: opening.index, wanted });
    }
    check_record(set, unit, batch, opening)
}

impl BatchLog {
    /// Commits to the batches of whole steps, in their order.
    ///
    /// # Errors
    /// [`DataError::Extent`] when they do not come to whole steps, [`DataError::Unit`].
    pub fn commit(
        (attempt, first_step): (u16, u64),
        (ranks, micro_batches): (u32, u16),
        batches: &[PoseidonDigest],
    ) -> Result<(Self, Vec<PoseidonDigest>), DataError> {
        let entries = batches.len() as u64;
        extent("the number of entries of a log", entries, MAX_RECORDS)?;
        let mut log = Self { attempt, first_step, ranks, micro_batches, entries, root: PoseidonDigest::default() };
        let per_step = log.per_step()?;
        if entries.checked_rem(per_step) != Some(0) {
            return Err(DataError::Outside { what: "a log with part of a step: entries", found: entries });
        }
        let leaf = |(entry, batch): (u64, &PoseidonDigest)| log_leaf(log.unit(entry, per_step)?, *batch);
        let leaves: Vec<PoseidonDigest> = (0u64..).zip(batches).map(leaf).collect::<Result<_, _>>()?;
        log.root = merkle_root(Domain::BatchLogNode, leaves.iter().copied()).unwrap_or_default();
        Ok((log, leaves))
    }

    /// What a ledger carries. Entries have six elements and this has nine: the length tells them apart.
    #[must_use]
    pub fn digest(&self) -> PoseidonDigest {
        let Self { attempt, first_step, ranks, micro_batches, entries, root } = *self;
        let mut elements = vec![u64::from(attempt), first_step, u64::from(ranks), u64::from(micro_batches), entries];
        elements.extend(root.elements());
        poseidon(Domain::BatchLog, &elements)
    }

    fn per_step(&self) -> Result<u64, DataError> {
        extent("the number of ranks", u64::from(self.ranks), 1 << 20)?;
        extent("the number of micro-batches", u64::from(self.micro_batches), u64::from(u16::MAX))?;
        Ok(u64::from(self.ranks).saturating_mul(u64::from(self.micro_batches)))
    }

    fn unit(&self, entry: u64, per_step: u64) -> Result<BatchUnit, DataError> {
        let outside = || DataError::Outside { what: "entry", found: entry };
        let (steps, rest) = (entry.checked_div(per_step), entry.checked_rem(per_step));
        let (steps, rest) = steps.zip(rest).ok_or_else(outside)?;
        let micro_batches = u64::from(self.micro_batches);
        let rank = rest.checked_div(micro_batches).and_then(|rank| u32::try_from(rank).ok()).ok_or_else(outside)?;
        let micro_batch =
            rest.checked_rem(micro_batches).and_then(|rest| u16::try_from(rest).ok()).ok_or_else(outside)?;
        let step = self.first_step.checked_add(steps).ok_or_else(outside)?;
        Ok(BatchUnit { attempt: self.attempt, step, rank, micro_batch })
    }

    /// The one place of a unit.
    ///
    /// # Errors
    /// [`DataError::Outside`] of a unit that the log does not have.
    pub fn entry(&self, unit: BatchUnit) -> Result<u64, DataError> {
        let outside = |what, found| DataError::Outside { what, found };
        let per_step = self.per_step()?;
        if unit.attempt != self.attempt {
            return Err(outside("attempt", u64::from(unit.attempt)));
        }
        if unit.rank >= self.ranks {
            return Err(outside("rank", u64::from(unit.rank)));
        }
        if unit.micro_batch >= self.micro_batches {
            return Err(outside("micro-batch", u64::from(unit.micro_batch)));
        }
        let steps = unit.step.checked_sub(self.first_step).ok_or_else(|| outside("step", unit.step))?;
        let in_step = u64::from(unit.rank)
            .saturating_mul(u64::from(self.micro_batches))
            .saturating_add(u64::from(unit.micro_batch));
        let entry = steps.checked_mul(per_step).and_then(|entry| entry.checked_add(in_step));
        entry.filter(|entry| *entry < self.entries).ok_or_else(|| outside("step", unit.step))
    }

    /// Holds a batch to the log.
    ///
    /// # Errors
    /// [`DataError::Outside`], [`DataError::NotInLog`].
    pub fn check(&self, unit: BatchUnit, batch: PoseidonDigest, path: &MerklePath) -> Result<(), DataError> {
        let entry = self.entry(unit)?;
        let root = path.root(Domain::BatchLogNode, (entry, self.entries), log_leaf(unit, batch)?);
        if root == Some(self.root) { Ok(()) } else { Err(DataError::NotInLog { entry }) }
    }
}

/// Holds one row of a trace's batch tensors to a record: a record is the rows of the named tensors, one after the other,
/// as the job read them. `unit` is the one that the opening was held to ([`check_ordered`], [`BatchLog::check`]); a field
/// `MICRO-BATCH/NAME` is of that micro-batch.
///
/// # Errors
/// [`DataError::OtherUnit`], [`DataError::NoFields`], [`DataError::NoField`], [`DataError::NotInTrace`], [`DataError::Source`].
pub fn check_row(
    trace: &Trace<'_>,
    (unit, fields): (BatchUnit, &[&str]),
    opening: &RecordOpening,
) -> Result<(), DataError> {
    let of_trace = trace.unit();
    let is_of_unit = (of_trace.attempt, of_trace.step, of_trace.rank) == (unit.attempt, unit.step, unit.rank);
    if !is_of_unit || !fields.iter().all(|name| micro_batch_of(name).is_none_or(|found| found == unit.micro_batch)) {
        return Err(DataError::OtherUnit);
    }
    if fields.is_empty() {
        return Err(DataError::NoFields);
    }
    let mut row = Vec::new();
    for name in fields {
        let is_field = |origin: Option<&Origin>| matches!(origin, Some(Origin::Batch(found)) if found == name);
        let found = trace.tensors().iter().enumerate().find(|(_, tensor)| is_field(tensor.origin()));
        let rows = found.and_then(|(place, tensor)| Some((place, tensor, *tensor.shape.first()?)));
        let Some((place, tensor, _)) = rows.filter(|(_, _, rows)| *rows == opening.count && opening.place < *rows)
        else {
            return Err(DataError::NoField { name: (*name).to_owned() });
        };
        let width = tensor.elements().checked_div(opening.count).unwrap_or_default();
        let bytes = usize::try_from(width.saturating_mul(tensor.element_bytes())).unwrap_or(usize::MAX);
        if bytes > MAX_RECORD_BYTES {
            return Err(DataError::RecordTooLong { found: bytes, cap: MAX_RECORD_BYTES });
        }
        let mut part = vec![0u8; bytes];
        trace.read(place, opening.place.saturating_mul(width), &mut part).map_err(DataError::Source)?;
        row.extend(part);
    }
    if row == opening.record { Ok(()) } else { Err(DataError::NotInTrace { place: opening.place }) }
}

/// The micro-batch that a batch tensor's name begins with, where it does.
fn micro_batch_of(name: &str) -> Option<u16> {
    name.split_once('/')?.0.parse().ok()
}

fn item(place: u64, index: u64, leaf: PoseidonDigest) -> PoseidonDigest {
    let mut elements = vec![place, index];
    elements.extend(leaf.elements());
    poseidon(Domain::BatchItem, &elements)
}

fn unit_elements(unit: BatchUnit) -> Result<[u64; 2], DataError> {
    let BatchUnit { attempt, step, rank, micro_batch } = unit;
    let key = Key::new((attempt, step), (rank, micro_batch, 0), (0, 0)).map_err(DataError::Unit)?;
    let [first, second, _] = key.elements();
    Ok([first, second])
}

fn batch_digest(
    unit: BatchUnit,
    salt: &[u8; 28],
    count: u64,
    root: PoseidonDigest,
) -> Result<PoseidonDigest, DataError> {
    let mut elements = salt_elements(salt).to_vec();
    elements.extend(unit_elements(unit)?);
    elements.push(count);
    elements.extend(root.elements());
    Ok(poseidon(Domain::Batch, &elements))
}

fn log_leaf(unit: BatchUnit, batch: PoseidonDigest) -> Result<PoseidonDigest, DataError> {
    let mut elements = unit_elements(unit)?.to_vec();
    elements.extend(batch.elements());
    Ok(poseidon(Domain::BatchLog, &elements))
}

const fn extent(what: &'static str, found: u64, cap: u64) -> Result<(), DataError> {
    if found == 0 || found > cap { Err(DataError::Extent { what, found, cap }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
