//! **Duty.** Why a ledger does not hold, each reason by its own name. **Spec.** PROTOCOL §3; HOUSE §5.

use thiserror::Error;
use weighbridge_attest_types::{
    CodecError, Culprit, Device, Digest32, MAX_INTERVAL_MILLIS, MAX_LEDGER_ENTRIES, NodeKey, PoseidonDigest, UnixMillis,
};

/// What is wrong with a chain, or with several chains together. `index` is the interval's place in its chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// An interval is missing.
    #[error("interval {expected} is missing: {found} follows in its place")]
    Gap {
        /// Index due.
        expected: u64,
        /// Index found.
        found: u64,
    },
    /// An index comes a second time, or is 0.
    #[error("interval {found} stands where {expected} is due: the index goes back")]
    IndexBack {
        /// Index due.
        expected: u64,
        /// Index found.
        found: u64,
    },
    /// All intervals are there, in another order.
    #[error("interval {found} stands where {expected} is due: the intervals are all there, but reordered")]
    Reordered {
        /// Index due.
        expected: u64,
        /// Index found.
        found: u64,
    },
    /// The chain belongs to another run.
    #[error("the chain starts from genesis {found}; this run's is {expected}")]
    ForeignGenesis {
        /// The run's genesis.
        expected: Digest32,
        /// The chain's.
        found: Digest32,
    },
    /// The chain belongs to another node.
    #[error("the chain is signed by node key {found}; the roster row has {expected}")]
    ForeignKey {
        /// The row's key.
        expected: NodeKey,
        /// The chain's.
        found: NodeKey,
    },
    /// The chain starts from other devices than its roster row.
    #[error("the chain starts from device set {found}; the roster row's is {expected}")]
    ForeignDeviceSet {
        /// Digest of the row's set.
        expected: Digest32,
        /// The chain's.
        found: Digest32,
    },
    /// An interval accounts for other devices than the roster row.
    #[error("interval {index} accounts for other accelerators than the roster row names")]
    ForeignDevices {
        /// Interval.
        index: u64,
    },
    /// The wall clock went back.
    #[error("interval {index}: the wall clock goes back from {} to {} ms", previous.0, found.0)]
    WallBack {
        /// Interval.
        index: u64,
        /// The earlier reading.
        previous: UnixMillis,
        /// The later reading.
        found: UnixMillis,
    },
    /// The monotonic clock went back within one boot.
    #[error("interval {index}: the monotonic clock goes back from {previous} to {found} ms within one boot")]
    MonoBack {
        /// Interval.
        index: u64,
        /// The earlier reading.
        previous: u64,
        /// The later reading.
        found: u64,
    },
    /// Time between two intervals that no interval accounts for.
    #[error("interval {index} starts at {found} ms, the one before it ended at {previous} ms: time without account")]
    NotContiguous {
        /// Interval.
        index: u64,
        /// End of the one before.
        previous: u64,
        /// Start of this one.
        found: u64,
    },
    /// A long interval that is not all gap.
    #[error("interval {index} has {millis} ms; over {MAX_INTERVAL_MILLIS} ms every device's time must be gap")]
    TooLong {
        /// Interval.
        index: u64,
        /// Its length.
        millis: u64,
    },
    /// A device's four counters do not add up to the interval.
    #[error("interval {index}: the times of device {} add up to {found} ms; the interval has {millis} ms", device.0)]
    DeviceTime {
        /// Interval.
        index: u64,
        /// Device.
        device: Device,
        /// Sum of its counters.
        found: u64,
        /// Length of the interval.
        millis: u64,
    },
    /// A device's four counters leave 64 bits.
    #[error("interval {index}: the times of device {} do not add up within 64 bits", device.0)]
    SumOverflow {
        /// Interval.
        index: u64,
        /// Device.
        device: Device,
    },
    /// The machine booted inside a chain.
    #[error("interval {index} has another boot id: a reboot makes a new key and a new chain")]
    BootChanged {
        /// Interval.
        index: u64,
    },
    /// Devices are not ascending, or one is there twice.
    #[error("interval {index}: devices are not ascending, each once")]
    DevicesNotAscending {
        /// Interval.
        index: u64,
    },
    /// Devices differ from those of the interval before.
    #[error("interval {index} accounts for other devices than the one before it")]
    DevicesChanged {
        /// Interval.
        index: u64,
    },
    /// An interval cites the quote of a head that did not exist yet.
    #[error("interval {index} cites a quote of head {quoted}, which did not exist before it")]
    QuotedFuture {
        /// Interval.
        index: u64,
        /// Index of the quoted head.
        quoted: u64,
    },
    /// An interval cites the quote of an earlier head than an interval before it did.
    #[error("interval {index} cites a quote of head {quoted} after one of head {previous}")]
    QuotedBack {
        /// Interval.
        index: u64,
        /// The head cited before.
        previous: u64,
        /// The head cited now.
        quoted: u64,
    },
    /// A window of an audit out of its place: twice, or with one left out before it.
    #[error("interval {index} commits to window {found}; window {expected} is the next of this chain")]
    WindowOrder {
        /// Interval.
        index: u64,
        /// The next one.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// A signature does not hold.
    #[error("the signature of interval {index} does not hold under the chain's node key")]
    BadSignature {
        /// Interval.
        index: u64,
    },
    /// A key under which signatures bind nobody.
    #[error("node key {node_key} has small order or a second spelling: its signatures bind nobody")]
    BadKey {
        /// The key.
        node_key: NodeKey,
    },
    /// Two chains continue one head.
    #[error("the chains of node keys {first} and {second} both continue head {head}: a fork")]
    Fork {
        /// The head.
        head: PoseidonDigest,
        /// One key.
        first: NodeKey,
        /// The other.
        second: NodeKey,
    },
    /// Two ledgers of one key.
    #[error("node key {node_key} has two ledgers: a fork, or one ledger counted twice")]
    TwoLedgers {
        /// The key.
        node_key: NodeKey,
    },
    /// A chain does not continue its predecessor's last quoted head.
    #[error("the chain cites {} as its predecessor; the last quoted head is {}", shown(*cited), shown(*quoted))]
    LostPredecessor {
        /// What the chain cites.
        cited: Option<PoseidonDigest>,
        /// The predecessor's last quoted head.
        quoted: Option<PoseidonDigest>,
    },
    /// The chain is as long as a ledger can be.
    #[error("the chain has {MAX_LEDGER_ENTRIES} intervals, the most a ledger can carry; start a new chain")]
    Full,
    /// Public facts that no reader would accept.
    #[error("the public facts of the interval cannot be encoded")]
    Encoding(#[source] CodecError),
}

impl LedgerError {
    /// Who has to act. What a signed ledger says of itself and gets wrong is its signer's fault.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Full | Self::Encoding(_) => Culprit::Malformed,
            _ => Culprit::Untrusted,
        }
    }
}

fn shown(head: Option<PoseidonDigest>) -> String {
    head.map_or_else(|| "no head".to_owned(), |head| format!("head {head}"))
}
