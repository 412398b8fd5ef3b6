//! **Duty.** What must hold between chains: no fork, and a chain after a reboot continues where evidence ended.
//! **Knows** checked ledgers. **Does not know** which heads were quoted; the caller has verified that.
//! **Spec.** PROTOCOL §3 (RunManifest, Ledger).

use std::collections::BTreeMap;

use crate::{CheckedLedger, LedgerError};

/// Refuses two ledgers of one node key and two chains that continue one head.
///
/// # Errors
/// [`LedgerError::TwoLedgers`], [`LedgerError::Fork`].
pub fn check_forks(ledgers: &[&CheckedLedger]) -> Result<(), LedgerError> {
    let mut keys = BTreeMap::new();
    let mut continued = BTreeMap::new();
    for ledger in ledgers {
        let node_key = ledger.start().node_key;
        if keys.insert(node_key, ()).is_some() {
            return Err(LedgerError::TwoLedgers { node_key });
        }
        if let Some(head) = ledger.start().predecessor
            && let Some(first) = continued.insert(head, node_key)
        {
            return Err(LedgerError::Fork { head, first, second: node_key });
        }
    }
    Ok(())
}

/// Whether `next` continues `previous` after a reboot: same run and devices, another key, no step back of the wall
/// clock, and as predecessor exactly the last head of `previous` that evidence quotes. `quoted` lists the indices of the
/// heads whose evidence holds, in any order.
///
/// # Errors
/// [`LedgerError::ForeignGenesis`], [`LedgerError::ForeignDeviceSet`], [`LedgerError::TwoLedgers`],
/// [`LedgerError::LostPredecessor`], [`LedgerError::WallBack`].
pub fn check_succession(next: &CheckedLedger, previous: &CheckedLedger, quoted: &[u64]) -> Result<(), LedgerError> {
    let (start, before) = (next.start(), previous.start());
    if start.genesis != before.genesis {
        return Err(LedgerError::ForeignGenesis { expected: before.genesis, found: start.genesis });
    }
    if start.device_set != before.device_set {
        return Err(LedgerError::ForeignDeviceSet { expected: before.device_set, found: start.device_set });
    }
    if start.node_key == before.node_key {
        return Err(LedgerError::TwoLedgers { node_key: start.node_key });
    }
    let last_quoted = quoted.iter().filter_map(|&index| Some((index, previous.head(index)?))).max();
    let expected = last_quoted.map(|(_, head)| head);
    if expected.is_none() || start.predecessor != expected {
        return Err(LedgerError::LostPredecessor { cited: start.predecessor, quoted: expected });
    }
    // Up to the quoted head the old chain is attested; the new one cannot have begun before that.
    let covered = last_quoted.map_or(0, |(index, _)| index);
    let ended = previous.entries().iter().rfind(|entry| entry.public.index <= covered);
    if let (Some(ended), Some(first)) = (ended, next.entries().first())
        && first.public.start_wall < ended.public.end_wall
    {
        let (previous, found) = (ended.public.end_wall, first.public.start_wall);
        return Err(LedgerError::WallBack { index: first.public.index, previous, found });
    }
    Ok(())
}
