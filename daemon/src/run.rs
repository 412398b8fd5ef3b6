//! **Duty.** One open run: its chain and its intervals, kept in step. **Knows** how a sealed interval becomes a signed
//! entry. **Does not know** files or sockets. **Spec.** PROTOCOL §3 (Ledger).

use weighbridge_attest_types::{ChainStart, LedgerEntry, WitnessRow};
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
}

impl Run {
    /// A chain without intervals.
    pub(crate) fn begin(start: ChainStart, intervals: Intervals) -> Self {
        Self { chain: Chain::new(start), intervals }
    }

    /// Replays a kept chain; every rule and signature is checked again on the way.
    pub(crate) fn restore(
        start: ChainStart,
        entries: Vec<LedgerEntry>,
        intervals: Intervals,
    ) -> Result<Self, LedgerError> {
        let mut chain = Chain::new(start);
        entries.into_iter().try_for_each(|entry| chain.append(entry))?;
        Ok(Self { chain, intervals })
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
