//! **Duty.** A ledger whose every rule, head and signature was checked: the type says so. **Knows** the rules
//! (`tip.rs`). **Does not know** evidence: whether a head was quoted is appraisal's. **Spec.** PROTOCOL §3; HOUSE §3.

use weighbridge_attest_types::{
    ChainStart, Device, Digest32, LedgerEntry, NodeLedger, PoseidonDigest, RosterRow, device_set_digest,
};

use crate::LedgerError;
use crate::head_0;
use crate::signer::{check_key, check_signature};
use crate::tip::Tip;

/// A ledger that holds by itself. Only [`CheckedLedger::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLedger {
    ledger: NodeLedger,
    head_0: PoseidonDigest,
    heads: Vec<PoseidonDigest>,
}

impl CheckedLedger {
    /// Replays the whole chain: key, order, clocks, device times, quotes, heads and signatures.
    ///
    /// # Errors
    /// The first [`LedgerError`] along the chain.
    pub fn check(ledger: &NodeLedger) -> Result<Self, LedgerError> {
        let NodeLedger { start, entries } = ledger;
        check_key(start.node_key)?;
        check_order(entries)?;
        let mut tip = Tip::start(start);
        let mut heads = Vec::with_capacity(entries.len());
        for LedgerEntry { public, meter, signature } in entries {
            tip = tip.next(public, *meter)?;
            check_signature(start.node_key, start.genesis, tip.index, tip.head, signature)?;
            heads.push(tip.head);
        }
        Ok(Self { ledger: ledger.clone(), head_0: head_0(start), heads })
    }

    /// Whether this is the chain of one roster row of the run: genesis, node key, device set, and in every interval
    /// exactly the row's accelerators.
    ///
    /// # Errors
    /// [`LedgerError::ForeignGenesis`], [`LedgerError::ForeignKey`], [`LedgerError::ForeignDeviceSet`],
    /// [`LedgerError::ForeignDevices`].
    pub fn check_row(&self, genesis: Digest32, row: &RosterRow) -> Result<(), LedgerError> {
        let ChainStart { genesis: found, node_key, device_set, predecessor: _ } = *self.start();
        if found != genesis {
            return Err(LedgerError::ForeignGenesis { expected: genesis, found });
        }
        if node_key != row.node_key {
            return Err(LedgerError::ForeignKey { expected: row.node_key, found: node_key });
        }
        let expected = device_set_digest(&row.device_set());
        if device_set != expected {
            return Err(LedgerError::ForeignDeviceSet { expected, found: device_set });
        }
        let mut accelerators: Vec<Device> = row.devices.iter().map(|row| row.device).collect();
        accelerators.sort_unstable();
        for LedgerEntry { public, .. } in self.entries() {
            if !public.devices.iter().map(|time| &time.device).eq(&accelerators) {
                return Err(LedgerError::ForeignDevices { index: public.index });
            }
        }
        Ok(())
    }

    /// Where the chain starts.
    #[must_use]
    pub const fn start(&self) -> &ChainStart {
        &self.ledger.start
    }

    /// Intervals, from index 1.
    #[must_use]
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.ledger.entries
    }

    /// `heads()[i]` is the head after `entries()[i]`; `head_0` is apart ([`CheckedLedger::head`]).
    #[must_use]
    pub fn heads(&self) -> &[PoseidonDigest] {
        &self.heads
    }

    /// Index of the last interval; 0 without one.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.heads.len() as u64
    }

    /// The head after interval `index`; `head(0)` is `head_0`.
    #[must_use]
    pub fn head(&self, index: u64) -> Option<PoseidonDigest> {
        match index.checked_sub(1) {
            None => Some(self.head_0),
            Some(place) => self.heads.get(usize::try_from(place).ok()?).copied(),
        }
    }
}

/// Tells a shuffled ledger from one with a hole, which the step-by-step rules cannot.
fn check_order(entries: &[LedgerEntry]) -> Result<(), LedgerError> {
    let found = || entries.iter().map(|entry| entry.public.index);
    let mut sorted: Vec<u64> = found().collect();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(1..=entries.len() as u64) {
        return Ok(());
    }
    match (1..).zip(found()).find(|(expected, found)| expected != found) {
        Some((expected, found)) => Err(LedgerError::Reordered { expected, found }),
        None => Ok(()),
    }
}
