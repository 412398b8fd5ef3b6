//! **Duty.** The node's durable memory: one redb file in the state folder. What was committed here survives `kill -9`;
//! nothing is acknowledged before. Each transaction is synced before it counts (decision 0095). **Knows** rows and
//! transactions. **Does not know** what an interval means.
//! **Spec.** PROTOCOL §3 (Node key): a generation is one node key and all that hangs on it; an old generation stays
//! exportable, its secrets are erased when a new key is made.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use weighbridge_attest_types::{
    BeaconToken, Canonical, ChainStart, LedgerEntry, NodeKey, RunManifest, SignedNonce, SignedReceipt,
    TimestampResponse, WitnessRow,
};
use weighbridge_daemon_api::ChallengeRequest;

pub use error::StoreError;

use crate::intervals::Intervals;
use crate::keys::NodeSecrets;
use crate::meter::Metered;

mod error;

const FILE_NAME: &str = "node.redb";
/// The default cache would be a gigabyte; this file is small.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

type Table = TableDefinition<'static, u32, &'static [u8]>;
type ChainTable = TableDefinition<'static, (u32, u64), &'static [u8]>;

const GENERATIONS: Table = Table::new("generations");
const SECRETS: Table = Table::new("secrets");
const KEY_EVIDENCE: Table = Table::new("key-evidence");
const NONCES: Table = Table::new("nonces");
const MANIFESTS: Table = Table::new("manifests");
const STARTS: Table = Table::new("starts");
const INTERVALS: Table = Table::new("intervals");
const RECEIPTS: Table = Table::new("receipts");
const BEACONS: Table = Table::new("beacons");
const TIMESTAMPS: Table = Table::new("timestamps");
const PUSHED: Table = Table::new("pushed");
const ENTRIES: ChainTable = ChainTable::new("entries");
const WITNESSES: ChainTable = ChainTable::new("witnesses");
const EVIDENCE: ChainTable = ChainTable::new("evidence");
const COUNTERS: ChainTable = ChainTable::new("counters");
const CHAIN_TABLES: [ChainTable; 4] = [ENTRIES, WITNESSES, EVIDENCE, COUNTERS];

/// One node key's place in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Number, from 1.
    pub number: u32,
    /// The key.
    pub node_key: NodeKey,
    /// Boot in which it was made.
    pub boot_id: [u8; 16],
}

/// How much of a ledger somebody has: its last quote, and whether it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushMark {
    /// Index of the last quoted head; 0 before any is.
    pub quoted: u64,
    /// Whether a receipt or a timestamp over the last head is kept.
    pub closed: bool,
}

/// One row to keep; several go into one durable transaction.
#[derive(Debug)]
pub enum Row<'a> {
    /// The key quote's canonical set and the nonce or beacon round it answers; the last one counts.
    KeyQuote {
        /// Canonical evidence set.
        set: &'a [u8],
        /// What it answers.
        answered: &'a ChallengeRequest,
    },
    /// The run.
    Run {
        /// The manifest.
        manifest: &'a RunManifest,
        /// Where the chain starts.
        start: &'a ChainStart,
    },
    /// The open interval.
    Intervals(&'a Intervals),
    /// A sealed, signed interval with its opening.
    Entry {
        /// The entry.
        entry: &'a LedgerEntry,
        /// The opening of its meter commitment.
        witness: &'a WitnessRow,
    },
    /// What counters say about a sealed interval.
    Counters {
        /// Index of the interval.
        index: u64,
        /// Sums or reasons, tier, flags.
        metered: &'a Metered,
    },
    /// A canonical evidence set over a head.
    Evidence {
        /// Index of the head.
        index: u64,
        /// Canonical evidence set.
        set: &'a [u8],
    },
    /// The receipt over the last head.
    Receipt(&'a SignedReceipt),
    /// The timestamp over the last head.
    Timestamp(&'a TimestampResponse),
    /// A verifier has the ledger up to this mark.
    Pushed(PushMark),
}

/// The opened store.
#[derive(Debug)]
pub struct Store {
    database: Database,
    folder: PathBuf,
    /// Bytes of the rows that only ever grow in number: entries, openings, evidence.
    kept_bytes: AtomicU64,
}

impl Store {
    /// Opens the store of a state folder, or makes it: the folder for its owner alone, the file likewise.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process holds it, and others.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let file = folder.join(FILE_NAME);
        let create = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file);
        let refused = |source| StoreError::Folder { folder: folder.to_owned(), source };
        create.map_err(refused)?;
        // A synced file whose name is not on the disk is lost all the same.
        for folder in [Some(folder), folder.parent()].into_iter().flatten() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused)?;
        }
        let opened = builder().create(&file).map_err(|source| StoreError::opening(folder, source))?;
        Self::ready(opened, folder)
    }

    /// Opens a store that is already there, for reading it out.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none; otherwise as [`Store::open`].
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        if !folder.join(FILE_NAME).exists() {
            return Err(StoreError::Absent { folder: folder.to_owned() });
        }
        Self::open(folder)
    }

    /// A store on a disk of the tests.
    #[cfg(test)]
    pub(crate) fn on(disk: &disk::Disk, folder: &Path) -> Result<Self, StoreError> {
        let opened = builder().create_with_backend(disk.clone());
        Self::ready(opened.map_err(|source| StoreError::opening(folder, source))?, folder)
    }

    fn ready(database: Database, folder: &Path) -> Result<Self, StoreError> {
        let store = Self { database, folder: folder.to_owned(), kept_bytes: AtomicU64::new(0) };
        store.write(|batch| {
            let tables = [GENERATIONS, SECRETS, KEY_EVIDENCE, NONCES, MANIFESTS, STARTS, INTERVALS, RECEIPTS];
            tables.into_iter().try_for_each(|table| batch.open_table(table).map(drop))?;
            [BEACONS, TIMESTAMPS, PUSHED].into_iter().try_for_each(|table| batch.open_table(table).map(drop))?;
            CHAIN_TABLES.into_iter().try_for_each(|table| batch.open_table(table).map(drop))?;
            Ok(())
        })?;
        store.kept_bytes.store(store.read(chain_bytes)?, Ordering::Relaxed);
        Ok(store)
    }

    /// Bytes of all entries, openings and evidence sets. The file is larger: by the pages of the tree, and because it
    /// grows ahead.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    /// Starts a generation; the secrets of all earlier ones are erased.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_generation(
        &self,
        node_key: NodeKey,
        boot_id: [u8; 16],
        secrets: NodeSecrets,
    ) -> Result<Generation, StoreError> {
        let last = self.generations()?.last().map_or(0, |generation| generation.number);
        let number = last.checked_add(1).ok_or_else(|| self.damaged("generations"))?;
        let generation = Generation { number, node_key, boot_id };
        let json = serde_json::to_vec(&generation).map_err(|_| self.damaged("generations"))?;
        let both = [secrets.seed, secrets.salt_secret].concat();
        self.write(|batch| {
            batch.open_table(GENERATIONS)?.insert(number, json.as_slice())?;
            let mut table = batch.open_table(SECRETS)?;
            table.retain(|_, _| false)?;
            table.insert(number, both.as_slice())?;
            Ok(())
        })?;
        Ok(generation)
    }

    /// Keeps rows of one generation, all or none; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, generation: u32, rows: &[Row<'_>]) -> Result<(), StoreError> {
        self.write(|batch| rows.iter().try_for_each(|row| put(batch, generation, row)))?;
        let added = rows.iter().fold(0u64, |sum, row| sum.saturating_add(chain_row_bytes(row)));
        self.kept_bytes.fetch_add(added, Ordering::Relaxed);
        Ok(())
    }

    /// All generations, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        let rows = self.read(|view| {
            let table = view.open_table(GENERATIONS)?;
            let row =
                |item: Result<(_, redb::AccessGuard<'_, &[u8]>), _>| item.map(|(_, value)| value.value().to_vec());
            Ok(table.iter()?.map(row).collect::<Result<Vec<_>, redb::StorageError>>()?)
        })?;
        rows.iter().map(|json| serde_json::from_slice(json).map_err(|_| self.damaged("generations"))).collect()
    }

    /// Secrets of a generation; `None` when a later one erased them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn secrets(&self, generation: u32) -> Result<Option<NodeSecrets>, StoreError> {
        let Some(bytes) = self.get(SECRETS, generation)? else { return Ok(None) };
        let halves = bytes.split_first_chunk::<32>().and_then(|(seed, rest)| Some((*seed, rest.try_into().ok()?)));
        let (seed, salt_secret) = halves.ok_or_else(|| self.damaged("secrets"))?;
        Ok(Some(NodeSecrets { seed, salt_secret }))
    }

    /// The key quote's canonical evidence set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_evidence(&self, generation: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(KEY_EVIDENCE, generation)
    }

    /// The beacon round that the key quote answers, if it answers one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn beacon(&self, generation: u32) -> Result<Option<BeaconToken>, StoreError> {
        self.canonical(BEACONS, generation, "beacons")
    }

    /// The timestamp over the last head.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn timestamp(&self, generation: u32) -> Result<Option<TimestampResponse>, StoreError> {
        let Some(bytes) = self.get(TIMESTAMPS, generation)? else { return Ok(None) };
        TimestampResponse::new(bytes).map(Some).map_err(|_| self.damaged("timestamps"))
    }

    /// Whether somebody else's word about the last head is kept: the run of this key is over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_closed(&self, generation: u32) -> Result<bool, StoreError> {
        Ok(self.receipt(generation)?.is_some() || self.timestamp(generation)?.is_some())
    }

    /// The nonce that the key quote answers, if it answers one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn nonce(&self, generation: u32) -> Result<Option<SignedNonce>, StoreError> {
        self.canonical(NONCES, generation, "nonces")
    }

    /// The run's manifest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn manifest(&self, generation: u32) -> Result<Option<RunManifest>, StoreError> {
        self.canonical(MANIFESTS, generation, "manifests")
    }

    /// Where the chain starts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn start(&self, generation: u32) -> Result<Option<ChainStart>, StoreError> {
        self.canonical(STARTS, generation, "starts")
    }

    /// The receipt over the last head.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipt(&self, generation: u32) -> Result<Option<SignedReceipt>, StoreError> {
        self.canonical(RECEIPTS, generation, "receipts")
    }

    /// The open interval.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn intervals(&self, generation: u32) -> Result<Option<Intervals>, StoreError> {
        let Some(json) = self.get(INTERVALS, generation)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|_| self.damaged("intervals"))
    }

    /// How much there is of a ledger; `None` without one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn push_mark(&self, generation: u32) -> Result<Option<PushMark>, StoreError> {
        if self.start(generation)?.is_none() {
            return Ok(None);
        }
        let last = self.read(|view| {
            let table = view.open_table(EVIDENCE)?;
            let last = table.range((generation, 0)..=(generation, u64::MAX))?.next_back().transpose()?;
            Ok(last.map(|(key, _)| key.value().1))
        })?;
        Ok(Some(PushMark { quoted: last.unwrap_or(0), closed: self.is_closed(generation)? }))
    }

    /// How much of a ledger a verifier has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pushed(&self, generation: u32) -> Result<Option<PushMark>, StoreError> {
        let Some(json) = self.get(PUSHED, generation)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|_| self.damaged("pushed"))
    }

    /// Ledger entries, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entries(&self, generation: u32) -> Result<Vec<LedgerEntry>, StoreError> {
        self.chain_rows(ENTRIES, generation, "entries")
    }

    /// Openings, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn witnesses(&self, generation: u32) -> Result<Vec<WitnessRow>, StoreError> {
        self.chain_rows(WITNESSES, generation, "witnesses")
    }

    /// Canonical evidence sets by index of their head, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evidence(&self, generation: u32) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.indexed(EVIDENCE, generation)
    }

    /// What counters say, as JSON by index of their interval, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counters(&self, generation: u32) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.indexed(COUNTERS, generation)
    }

    fn indexed(&self, definition: ChainTable, generation: u32) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|view| {
            let table = view.open_table(definition)?;
            let mut rows = Vec::new();
            for item in table.range((generation, 0)..=(generation, u64::MAX))? {
                let (key, value) = item?;
                rows.push((key.value().1, value.value().to_vec()));
            }
            Ok(rows)
        })
    }

    fn chain_rows<T: Canonical>(
        &self,
        definition: ChainTable,
        generation: u32,
        name: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.read(|view| {
            let table = view.open_table(definition)?;
            let mut rows = Vec::new();
            for item in table.range((generation, 0)..=(generation, u64::MAX))? {
                rows.push(item?.1.value().to_vec());
            }
            Ok(rows)
        })?;
        rows.iter().map(|bytes| T::from_bytes(bytes).map_err(|_| self.damaged(name))).collect()
    }

    fn canonical<T: Canonical>(
        &self,
        definition: Table,
        generation: u32,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(definition, generation)? else { return Ok(None) };
        T::from_bytes(&bytes).map(Some).map_err(|_| self.damaged(name))
    }

    fn get(&self, definition: Table, generation: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|view| Ok(view.open_table(definition)?.get(generation)?.map(|value| value.value().to_vec())))
    }

    fn read<T>(&self, act: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let view = self.database.begin_read().map_err(redb::Error::from);
        view.and_then(|view| act(&view)).map_err(|source| StoreError::failing("read", &self.folder, source))
    }

    fn write(&self, act: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), StoreError> {
        let committed = || -> Result<(), redb::Error> {
            let mut batch = self.database.begin_write()?;
            batch.set_durability(Durability::Immediate)?;
            act(&batch)?;
            Ok(batch.commit()?)
        };
        committed().map_err(|source| StoreError::failing("written", &self.folder, source))
    }

    /// A table that does not hold what it should.
    #[must_use]
    pub fn damaged(&self, table: &'static str) -> StoreError {
        StoreError::Damaged { folder: self.folder.clone(), table }
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn put(batch: &WriteTransaction, generation: u32, row: &Row<'_>) -> Result<(), redb::Error> {
    let plain = |table: Table, bytes: &[u8]| -> Result<(), redb::Error> {
        batch.open_table(table)?.insert(generation, bytes)?;
        Ok(())
    };
    let linked = |table: ChainTable, index: u64, bytes: &[u8]| -> Result<(), redb::Error> {
        batch.open_table(table)?.insert((generation, index), bytes)?;
        Ok(())
    };
    match row {
        Row::KeyQuote { set, answered } => {
            plain(KEY_EVIDENCE, set)?;
            // One quote answers one question: what an earlier quote answered goes with it.
            let (table, other, bytes) = match answered {
                ChallengeRequest::Nonce(nonce) => (NONCES, BEACONS, nonce.to_bytes()),
                ChallengeRequest::Beacon(round) => (BEACONS, NONCES, round.to_bytes()),
            };
            batch.open_table(other)?.remove(generation)?;
            plain(table, &bytes)
        }
        Row::Run { manifest, start } => {
            plain(MANIFESTS, &manifest.to_bytes())?;
            plain(STARTS, &start.to_bytes())
        }
        Row::Intervals(intervals) => {
            let json = serde_json::to_vec(intervals).map_err(std::io::Error::from)?;
            plain(INTERVALS, &json)
        }
        Row::Entry { entry, witness } => {
            linked(ENTRIES, entry.public.index, &entry.to_bytes())?;
            linked(WITNESSES, entry.public.index, &witness.to_bytes())
        }
        Row::Counters { index, metered } => {
            let json = serde_json::to_vec(metered).map_err(std::io::Error::from)?;
            linked(COUNTERS, *index, &json)
        }
        Row::Evidence { index, set } => linked(EVIDENCE, *index, set),
        Row::Receipt(receipt) => plain(RECEIPTS, &receipt.to_bytes()),
        Row::Timestamp(answer) => plain(TIMESTAMPS, answer.as_bytes()),
        Row::Pushed(mark) => {
            let json = serde_json::to_vec(mark).map_err(std::io::Error::from)?;
            plain(PUSHED, &json)
        }
    }
}

fn chain_bytes(view: &ReadTransaction) -> Result<u64, redb::Error> {
    let mut sum = 0u64;
    for table in CHAIN_TABLES {
        for item in view.open_table(table)?.iter()? {
            sum = sum.saturating_add(item?.1.value().len() as u64);
        }
    }
    Ok(sum)
}

fn chain_row_bytes(row: &Row<'_>) -> u64 {
    match row {
        Row::Entry { entry, witness } => {
            (entry.to_bytes().len() as u64).saturating_add(witness.to_bytes().len() as u64)
        }
        Row::Counters { metered, .. } => serde_json::to_vec(metered).map_or(0, |json| json.len() as u64),
        Row::Evidence { set, .. } => set.len() as u64,
        Row::KeyQuote { .. }
        | Row::Run { .. }
        | Row::Intervals(_)
        | Row::Receipt(_)
        | Row::Timestamp(_)
        | Row::Pushed(_) => 0,
    }
}

/// A new folder is its owner's alone; one that others can write to is refused, since they could swap the file.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let refused = |source| StoreError::Folder { folder: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
    let mode = fs::metadata(folder).map_err(refused)?.mode();
    if mode & 0o022 != 0 {
        return Err(StoreError::OpenFolder { folder: folder.to_owned(), mode: mode & 0o777 });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
mod tests;
