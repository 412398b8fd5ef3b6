//! **Duty.** A simulated disk for tests: it keeps what was synced, and of the rest whatever the dice say when its power goes.
//! A write may be kept, lost, or torn between sectors; a sync may fail and lose what it was for, as Linux does.
//! **Does not know** what is written. **Spec.** decision 0095.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No room.
    Full,
    /// Mounted for reading only.
    ReadOnly,
    /// A sync fails; what it should have kept is gone, and later syncs say nothing of it.
    Sync,
    /// The power goes.
    Power,
}

impl Fault {
    /// All.
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::ReadOnly, Self::Sync, Self::Power];
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

#[derive(Debug)]
struct State {
    /// What reads see.
    cached: Vec<u8>,
    /// What is there after the power went.
    synced: Vec<u8>,
    pending: Vec<Change>,
    fault: Option<(u64, Fault)>,
    dice: u64,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk; `seed` decides what is torn.
    pub(crate) fn new(seed: u64) -> Self {
        let (cached, synced, pending) = (Vec::new(), Vec::new(), Vec::new());
        let dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self(Arc::new(Mutex::new(State { cached, synced, pending, fault: None, dice })))
    }

    /// After so many more writes and syncs the disk fails.
    pub(crate) fn break_after(&self, operations: u64, fault: Fault) {
        self.0.lock().unwrap().fault = Some((operations, fault));
    }

    /// The power goes and comes back; nothing is broken any more.
    pub(crate) fn cut(&self) {
        let state = &mut *self.0.lock().unwrap();
        for change in std::mem::take(&mut state.pending) {
            match (state.roll() % 3, change) {
                (0, _) => {}
                (_, Change::Length(length)) => state.synced.resize(length, 0),
                (1, Change::Write(at, data)) => put(&mut state.synced, at, &data),
                (_, Change::Write(at, data)) => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        if state.roll().is_multiple_of(2) {
                            put(&mut state.synced, at + sector * SECTOR, part);
                        }
                    }
                }
            }
        }
        state.cached.clone_from(&state.synced);
        state.fault = None;
    }
}

impl State {
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 8
    }

    /// The fault that strikes at this operation.
    fn strike(&mut self) -> Option<Fault> {
        let (left, fault) = self.fault?;
        self.fault = Some((left.saturating_sub(1), fault));
        (left == 0).then_some(fault)
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        match self.strike() {
            Some(Fault::Full) => return Err(ErrorKind::StorageFull.into()),
            Some(Fault::ReadOnly) => return Err(ErrorKind::ReadOnlyFilesystem.into()),
            Some(Fault::Power) => return Err(ErrorKind::Other.into()),
            Some(Fault::Sync) | None => {}
        }
        match &change {
            Change::Length(length) => self.cached.resize(*length, 0),
            Change::Write(at, data) => put(&mut self.cached, *at, data),
        }
        self.pending.push(change);
        Ok(())
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(at + data.len()), 0);
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        let found = state.cached.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.0.lock().unwrap();
        match state.strike() {
            Some(Fault::Sync) => {
                state.pending.clear();
                return Err(ErrorKind::Other.into());
            }
            Some(Fault::Power) => return Err(ErrorKind::Other.into()),
            Some(Fault::Full | Fault::ReadOnly) | None => {}
        }
        for change in std::mem::take(&mut state.pending) {
            match change {
                Change::Length(length) => state.synced.resize(length, 0),
                Change::Write(at, data) => put(&mut state.synced, at, &data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}
