//! **Duty.** The domain strings that separate one hash use from another. **Spec.** PROTOCOL §3.

/// One use of a hash or signature; no two uses share a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The run manifest.
    Genesis,
    /// The public facts of an interval.
    Public,
    /// The private reading of an interval.
    Meter,
    /// The start of a chain.
    Head0,
    /// A later head of a chain.
    Head,
    /// The signature over a ledger entry.
    Entry,
    /// `report_data` of a CPU quote over a head.
    ReportData,
    /// `report_data` of the CPU quote that binds a node key.
    ReportDataKey,
    /// Nonce of a GPU report over a head.
    GpuNonce,
    /// Nonce of a GPU report that goes with a key quote.
    GpuNonceKey,
    /// The set of device evidence inside a quote.
    Evidence,
    /// A device identity.
    Device,
    /// A set of devices.
    DeviceSet,
    /// The salt of a reading.
    Salt,
    /// A window root.
    Window,
    /// A sample seed.
    Seed,
    /// A signed nonce (*not before*).
    TimeNonce,
    /// A signed receipt over a head (*not after*).
    TimeReceipt,
    /// What an RFC 3161 timestamp over a head is about (*not after*).
    TimeStamp,
    /// A salted commitment to the numeric spec and schedule.
    Spec,
    /// A leaf of the algebraic checkpoint tree: one tile.
    TileLeaf,
    /// An inner node of a tensor's tile tree.
    TileNode,
    /// A leaf of the tree over tensors: one tensor.
    TensorLeaf,
    /// An inner node of the tree over tensors.
    TensorNode,
    /// The BLAKE3 root over canonical tensors.
    FastRoot,
    /// CPU evidence of an Azure VM with what belongs to it.
    AzureEvidence,
    /// Where a proof over ledgers begins or ends.
    MeterState,
    /// One more chain in the list of closed chains.
    ChainList,
    /// A verifier key among those that may be folded.
    VerifierKey,
    /// What a threshold statement is about beside its chains.
    StatementContext,
    /// Name of one piece of proving work.
    ProofJob,
    /// Draws of a rehearsal of an audit.
    Trial,
    /// A leaf of a data set's tree: one record.
    DataRecord,
    /// An inner node of a data set's tree.
    DataNode,
    /// A data set: its tree and the number of its records.
    DataSet,
    /// The committed order of records, and its permutations.
    DataOrder,
    /// A leaf of a batch's tree: one record at its place.
    BatchItem,
    /// An inner node of a batch's tree.
    BatchNode,
    /// A batch: its unit, its tree and a salt.
    Batch,
    /// A leaf of the log of batches: one unit and its batch.
    BatchLog,
    /// An inner node of the log of batches.
    BatchLogNode,
    /// A numeric policy: formats and error models by class of operation.
    NumericPolicy,
    /// An audit policy: modes, strata, deadlines.
    AuditPolicy,
    /// A tolerance of replays.
    Tolerance,
    /// One operation of a work unit, as the leaves of its tiles name it.
    Operation,
    /// What an operation computes, from which elements of which tensors.
    OperationForm,
    /// A leaf of the FLOP tree: one tile.
    FlopLeaf,
    /// A leaf of the FLOP tree over work units: one unit.
    UnitLeaf,
    /// An inner node of a FLOP tree.
    FlopNode,
    /// One draw of a sample.
    Draw,
    /// The trace roots of a window's replayed units.
    Traces,
    /// What the point is drawn from at which a tile's products are compared.
    TileTranscript,
}

impl Domain {
    /// The string that is hashed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Genesis => "weighbridge/genesis/v1",
            Self::Public => "weighbridge/public/v2",
            Self::Meter => "weighbridge/meter/v1",
            Self::Head0 => "weighbridge/head0/v1",
            Self::Head => "weighbridge/head/v1",
            Self::Entry => "weighbridge/entry/v1",
            Self::ReportData => "weighbridge/report-data/v1",
            Self::ReportDataKey => "weighbridge/report-data/key/v1",
            Self::GpuNonce => "weighbridge/gpu-nonce/v1",
            Self::GpuNonceKey => "weighbridge/gpu-nonce/key/v1",
            Self::Evidence => "weighbridge/evidence/v1",
            Self::Device => "weighbridge/device/v1",
            Self::DeviceSet => "weighbridge/device-set/v1",
            Self::Salt => "weighbridge/salt/v1",
            Self::Window => "weighbridge/window/v1",
            Self::Seed => "weighbridge/seed/v1",
            Self::TimeNonce => "weighbridge/time-nonce/v1",
            Self::TimeReceipt => "weighbridge/time-receipt/v1",
            Self::TimeStamp => "weighbridge/timestamp/v1",
            Self::Spec => "weighbridge/spec/v1",
            Self::TileLeaf => "weighbridge/tile-leaf/v1",
            Self::TileNode => "weighbridge/tile-node/v1",
            Self::TensorLeaf => "weighbridge/tensor-leaf/v1",
            Self::TensorNode => "weighbridge/tensor-node/v1",
            Self::FastRoot => "weighbridge/fast-root/v1",
            Self::AzureEvidence => "weighbridge/azure-evidence/v1",
            Self::MeterState => "weighbridge/meter-state/v1",
            Self::ChainList => "weighbridge/chain-list/v1",
            Self::VerifierKey => "weighbridge/verifier-key/v1",
            Self::StatementContext => "weighbridge/statement-context/v1",
            Self::ProofJob => "weighbridge/proof-job/v1",
            Self::Trial => "weighbridge/trial/v1",
            Self::DataRecord => "weighbridge/data-record/v1",
            Self::DataNode => "weighbridge/data-node/v1",
            Self::DataSet => "weighbridge/data-set/v1",
            Self::DataOrder => "weighbridge/data-order/v1",
            Self::BatchItem => "weighbridge/batch-item/v1",
            Self::BatchNode => "weighbridge/batch-node/v1",
            Self::Batch => "weighbridge/batch/v1",
            Self::BatchLog => "weighbridge/batch-log/v1",
            Self::BatchLogNode => "weighbridge/batch-log-node/v1",
            Self::NumericPolicy => "weighbridge/numeric-policy/v1",
            Self::AuditPolicy => "weighbridge/audit-policy/v1",
            Self::Tolerance => "weighbridge/tolerance/v1",
            Self::Operation => "weighbridge/operation/v2",
            Self::OperationForm => "weighbridge/operation-form/v1",
            Self::FlopLeaf => "weighbridge/flop-leaf/v1",
            Self::UnitLeaf => "weighbridge/unit-leaf/v1",
            Self::FlopNode => "weighbridge/flop-node/v1",
            Self::Draw => "weighbridge/draw/v1",
            Self::Traces => "weighbridge/traces/v1",
            Self::TileTranscript => "weighbridge/tile-transcript/v1",
        }
    }

    /// An encoder that already holds the framed domain.
    #[must_use]
    pub fn encoder(self) -> crate::Encoder {
        let mut out = crate::Encoder::new();
        out.field(self.as_str().as_bytes());
        out
    }

    /// The domain as one field element below 2⁵⁶: the first seven bytes of its SHA-256, little-endian (PROTOCOL §3).
    #[must_use]
    pub fn element(self) -> u64 {
        let digest = crate::sha256(self.as_str().as_bytes());
        let mut bytes = [0u8; 8];
        bytes[..7].copy_from_slice(&digest.0[..7]);
        u64::from_le_bytes(bytes)
    }
}
