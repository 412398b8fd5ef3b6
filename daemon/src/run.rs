//! **Duty.** One open run: its chain and its intervals, kept in step. **Knows** how a sealed interval becomes a signed
//! entry. **Does not know** files or sockets. **Spec.** PROTOCOL §3 (Ledger).

use weighbridge_attest_types::{ChainStart, IntervalPublic, LedgerEntry, UnixMillis, WitnessRow};
use weighbridge_ledger::{Chain, LedgerError, meter_commitment};

use crate::effects::SealedInterval;
use crate::error::NodeError;
use crate::intervals::Intervals;
use crate::keys::NodeKeys;

/// An open or ended run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) chain: Chain,
    pub(crate) intervals: Intervals,
    /// When the first interval began.
    pub(crate) began: UnixMillis,
    /// Every checkpoint that a sealed interval names.
    pub(crate) named: Vec<NamedCheckpoint>,
}

/// A checkpoint in the ledger: its step, its files by name and length, and the end of the interval that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCheckpoint {
    /// Optimizer step.
    pub step: u64,
    /// Files by name and length, ascending.
    pub files: Vec<(String, u64)>,
    /// Wall clock at the end of the interval.
    pub sealed: UnixMillis,
}

impl Run {
    /// A chain without intervals.
    pub(crate) fn begin(start: ChainStart, intervals: Intervals) -> Self {
        let began = intervals.start_wall();
        Self { chain: Chain::new(start), intervals, began, named: Vec::new() }
    }

    /// Replays a kept chain; every rule and signature is checked again on the way.
    pub(crate) fn restore(
        start: ChainStart,
        entries: Vec<LedgerEntry>,
        intervals: Intervals,
    ) -> Result<Self, LedgerError> {
        let mut run = Self::begin(start, intervals);
        if let Some(first) = entries.first() {
            run.began = first.public.start_wall;
        }
        entries.into_iter().try_for_each(|entry| run.append(entry))?;
        Ok(run)
    }

    /// One more signed interval.
    pub(crate) fn append(&mut self, entry: LedgerEntry) -> Result<(), LedgerError> {
        self.named.extend(named_in(&entry.public));
        self.chain.append(entry)
    }

    /// Commits to the reading and signs the head; the chain does not change.
    pub(crate) fn sign(
        &self,
        keys: &NodeKeys,
        interval: SealedInterval,
    ) -> Result<(LedgerEntry, WitnessRow), NodeError> {
        let SealedInterval { public, reading } = interval;
        let salt = keys.salt(public.index);
        let sealed = self.chain.seal(public, meter_commitment(&reading, &salt))?;
        let signature = keys.sign(sealed.signing_bytes())?;
        Ok((sealed.signed(signature), WitnessRow { reading, salt }))
    }
}

fn named_in(public: &IntervalPublic) -> impl Iterator<Item = NamedCheckpoint> {
    public.checkpoints.iter().map(|checkpoint| NamedCheckpoint {
        step: checkpoint.step,
        files: checkpoint.files.iter().map(|file| (file.name.clone(), file.bytes)).collect(),
        sealed: public.end_wall,
    })
}
