//! **Duty.** The append side of a chain: nothing is sealed that a checker would refuse. **Knows** the rules (`tip.rs`).
//! **Does not know** the node's private key, files or clocks. **Spec.** PROTOCOL §3 (Ledger).

use weighbridge_attest_types::{
    Canonical as _, ChainStart, IntervalPublic, LedgerEntry, NodeLedger, PoseidonDigest, Signature64,
    entry_signing_bytes,
};

use crate::LedgerError;
use crate::signer::{check_key, check_signature};
use crate::tip::Tip;

/// A chain that grows.
#[derive(Debug, Clone)]
pub struct Chain {
    ledger: NodeLedger,
    tip: Tip,
}

/// An interval that follows the chain's tip and waits for its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    public: IntervalPublic,
    meter: PoseidonDigest,
    head: PoseidonDigest,
    signing_bytes: Vec<u8>,
}

impl Chain {
    /// A chain without intervals.
    #[must_use]
    pub fn new(start: ChainStart) -> Self {
        Self { tip: Tip::start(&start), ledger: NodeLedger { start, entries: Vec::new() } }
    }

    /// Closes an interval: computes the head that the node key has to sign. The chain does not change.
    ///
    /// # Errors
    /// [`LedgerError`]: everything that [`crate::CheckedLedger::check`] would refuse, and facts over a codec cap.
    pub fn seal(&self, public: IntervalPublic, meter: PoseidonDigest) -> Result<Sealed, LedgerError> {
        let Tip { index, head, .. } = self.tip.next(&public, meter)?;
        // What the decoder's caps refuse must not enter a chain either: nobody could read it again.
        IntervalPublic::from_bytes(&public.to_bytes()).map_err(LedgerError::Encoding)?;
        let signing_bytes = entry_signing_bytes(self.ledger.start.genesis, index, head);
        Ok(Sealed { public, meter, head, signing_bytes })
    }

    /// Appends a signed entry.
    ///
    /// # Errors
    /// [`LedgerError`]; the chain is then unchanged.
    pub fn append(&mut self, entry: LedgerEntry) -> Result<(), LedgerError> {
        let ChainStart { genesis, node_key, .. } = self.ledger.start;
        check_key(node_key)?;
        let tip = self.tip.next(&entry.public, entry.meter)?;
        check_signature(node_key, genesis, tip.index, tip.head, &entry.signature)?;
        self.ledger.entries.push(entry);
        self.tip = tip;
        Ok(())
    }

    /// Where the chain starts.
    #[must_use]
    pub const fn start(&self) -> &ChainStart {
        &self.ledger.start
    }

    /// Index of the last interval; 0 before the first.
    #[must_use]
    pub const fn last_index(&self) -> u64 {
        self.tip.index
    }

    /// The head after the last interval.
    #[must_use]
    pub const fn head(&self) -> PoseidonDigest {
        self.tip.head
    }

    /// The chain as it travels.
    #[must_use]
    pub const fn ledger(&self) -> &NodeLedger {
        &self.ledger
    }
}

impl Sealed {
    /// Index of the interval.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.public.index
    }

    /// The head after the interval.
    #[must_use]
    pub const fn head(&self) -> PoseidonDigest {
        self.head
    }

    /// What the node key has to sign.
    #[must_use]
    pub fn signing_bytes(&self) -> &[u8] {
        &self.signing_bytes
    }

    /// The entry with its signature, ready to append.
    #[must_use]
    pub fn signed(self, signature: Signature64) -> LedgerEntry {
        let Self { public, meter, head: _, signing_bytes: _ } = self;
        LedgerEntry { public, meter, signature }
    }
}
