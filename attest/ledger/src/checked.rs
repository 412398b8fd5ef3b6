//! **Duty.** A ledger whose every rule, head and signature was checked: the type says so. **Knows** the rules
//! (`tip.rs`). **Does not know** evidence: whether a head was quoted is appraisal's. **Spec.** PROTOCOL §3; HOUSE §3.

use weighbridge_attest_types::{
    ChainStart, Device, Digest32, LedgerEntry, NodeLedger, PoseidonDigest, RosterRow, device_set_digest,
};

use crate::LedgerError;
use crate::signer::{check_key, check_signature};
use crate::tip::Tip;
use crate::{head_0, next_head};

/// A ledger that holds by itself. Only [`CheckedLedger::check`] and [`CheckedLedger::check_for`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLedger {
    ledger: NodeLedger,
    head_0: PoseidonDigest,
    heads: Vec<PoseidonDigest>,
}

impl CheckedLedger {
    /// Replays the whole chain: first key, order, clocks, device times and quotes of all intervals, which cost nothing;
    /// then heads and signatures. It is copied only after all of it holds.
    ///
    /// # Errors
    /// The first [`LedgerError`] along the chain: of a rule, and if all rules hold, of a signature.
    pub fn check(ledger: &NodeLedger) -> Result<Self, LedgerError> {
        let NodeLedger { start, entries } = ledger;
        check_key(start.node_key)?;
        check_order(entries)?;
        let mut place = Tip::start(start);
        for LedgerEntry { public, .. } in entries {
            place = place.follow(public)?;
        }
        let head_0 = head_0(start);
        let mut head = head_0;
        let mut heads = Vec::with_capacity(entries.len());
        for LedgerEntry { public, meter, signature } in entries {
            head = next_head(public.index, head, *meter, public.digest());
            check_signature(start.node_key, start.genesis, public.index, head, signature)?;
            heads.push(head);
        }
        Ok(Self { ledger: ledger.clone(), head_0, heads })
    }

    /// [`CheckedLedger::check_row`] first, then [`CheckedLedger::check`]: a stranger's chain costs no signature.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn check_for(ledger: &NodeLedger, genesis: Digest32, row: &RosterRow) -> Result<Self, LedgerError> {
        is_of_row(ledger, genesis, row)?;
        Self::check(ledger)
    }

    /// Whether this is the chain of one roster row of the run: genesis, node key, device set, and in every interval
    /// exactly the row's accelerators.
    ///
    /// # Errors
    /// [`LedgerError::ForeignGenesis`], [`LedgerError::ForeignKey`], [`LedgerError::ForeignDeviceSet`],
    /// [`LedgerError::ForeignDevices`].
    pub fn check_row(&self, genesis: Digest32, row: &RosterRow) -> Result<(), LedgerError> {
        is_of_row(&self.ledger, genesis, row)
    }

    /// Whether this can be the chain of a later key of one roster row: genesis, device set and accelerators are the
    /// row's; the key is its own. Whether it continues the row's chain is [`crate::check_succession`]'s.
    ///
    /// # Errors
    /// [`LedgerError::ForeignGenesis`], [`LedgerError::TwoLedgers`] for the row's own key,
    /// [`LedgerError::ForeignDeviceSet`], [`LedgerError::ForeignDevices`].
    pub fn check_later_key(&self, genesis: Digest32, row: &RosterRow) -> Result<(), LedgerError> {
        let node_key = self.ledger.start.node_key;
        if node_key == row.node_key {
            return Err(LedgerError::TwoLedgers { node_key });
        }
        is_of_run_and_devices(&self.ledger, genesis, row)
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

fn is_of_row(ledger: &NodeLedger, genesis: Digest32, row: &RosterRow) -> Result<(), LedgerError> {
    let ChainStart { genesis: found, node_key, .. } = ledger.start;
    // The order of refusals: another run is named before another node of it.
    if found == genesis && node_key != row.node_key {
        return Err(LedgerError::ForeignKey { expected: row.node_key, found: node_key });
    }
    is_of_run_and_devices(ledger, genesis, row)
}

fn is_of_run_and_devices(ledger: &NodeLedger, genesis: Digest32, row: &RosterRow) -> Result<(), LedgerError> {
    let NodeLedger { start, entries } = ledger;
    let ChainStart { genesis: found, node_key: _, device_set, predecessor: _ } = *start;
    if found != genesis {
        return Err(LedgerError::ForeignGenesis { expected: genesis, found });
    }
    let expected = device_set_digest(&row.device_set());
    if device_set != expected {
        return Err(LedgerError::ForeignDeviceSet { expected, found: device_set });
    }
    let mut accelerators: Vec<Device> = row.devices.iter().map(|row| row.device).collect();
    accelerators.sort_unstable();
    for LedgerEntry { public, .. } in entries {
        if !public.devices.iter().map(|time| &time.device).eq(&accelerators) {
            return Err(LedgerError::ForeignDevices { index: public.index });
        }
    }
    Ok(())
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
