//! **Duty.** The ground floor: units, identities, framed encoding, the binding, and every object that travels between
//! a node and a Verifier. **Knows** bytes and integers. **Does not know** signatures, files, clocks or any TEE.
//! **Spec.** PROTOCOL §3: fixed arrays and integers raw little-endian, strings after a `u32` length, lists after a count.

mod anchors;
mod azure;
mod beacon;
mod binding;
mod bundle;
mod by_name;
mod challenge;
mod claims;
mod codec;
mod counters;
mod culprit;
mod declarations;
mod digest;
mod domain;
mod entry;
mod event_log;
mod evidence;
mod identity;
mod interval;
mod nvidia;
mod nvidia_rules;
mod policy;
mod profile;
mod report;
mod snp;
mod tdx;
mod training;
mod two_figures;
mod units;
mod utc;
mod witness;
mod work;

pub use anchors::{AnchorGradeError, BeaconAnchor, BeaconScheme, CertificateAnchor, TimeAnchor, TrustAnchors};
pub use azure::{AzureClaims, AzureEvidence, AzureTpmQuote, TpmPcr, TpmQuoteClaims};
pub use beacon::BeaconToken;
pub use binding::{Binding, BindingStage, device_evidence_digest};
pub use bundle::{Bundle, BundleError, MAX_BUNDLE_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS, Member, MemberDigest};
pub use by_name::from_slice_by_name;
pub use challenge::{
    Challenge, MAX_TIMESTAMP_BYTES, SignedNonce, SignedReceipt, TimestampResponse, timestamp_imprint, timestamp_query,
};
pub use claims::{BoundValue, ChipFamily, Grade, NotChecked, PlatformClaims, TcbStatus};
pub use codec::{Canonical, CodecError, Decoder, Encoder, MAX_FIELD_BYTES};
pub use counters::{MAX_READING, PRESENT_DECLARED, PRESENT_ENERGY, PRESENT_METERED, Presence, Reading, ReadingError};
pub use culprit::Culprit;
pub use declarations::{
    Architecture, Attention, BaseCompute, BaseModel, Basis, Declarations, DeclarationsError, DeclaredPeriod,
    EarlierReport, Energy, Estimate, Hardware, Interval, LifecycleLine, MAX_DECLARATIONS_BYTES, Method,
    ModelDeclaration, ParameterCount, PeakBasis, Plan, ProviderDeclaration, STATED_MARGIN, Site, Sparsity,
    StatedAmount, estimate_of,
};
pub use digest::{Digest32, GOLDILOCKS_ORDER, PoseidonDigest, sha256, sha512};
pub use domain::Domain;
pub use entry::{ChainStart, LedgerEntry, MAX_LEDGER_ENTRIES, NodeLedger, Signature64, entry_signing_bytes};
pub use event_log::{EventCount, EventLogClaims, EventLogState, NamedEvent};
pub use evidence::{DeviceEvidence, EvidenceEnvelope, EvidenceKind, EvidenceSet};
pub use identity::{Device, NodeKey, device_set_digest};
pub use interval::{
    CheckpointCommitment, DeviceTime, FileDigest, IntervalPublic, MAX_INTERVAL_MILLIS, MIN_INTERVAL_MILLIS, QuotedHead,
    WindowCommitment,
};
pub use nvidia::{
    AppliedRim, FirmwareVersion, GpuFacts, MeasurementDifference, MissingRim, NvidiaClaims, NvidiaMode, NvidiaPart,
    NvidiaRevocation, NvidiaStatus, Pdi, ReferenceStatus, ReferenceValues, RimSlot, SwitchFacts,
};
pub use nvidia_rules::{GpuVersionRules, NvidiaRules};
pub use policy::{AppraisalPolicy, Claim, Requirement};
pub use profile::{
    Citation, Compare, Counts, Deadline, Fraction, MAX_PROFILE_BYTES, OperationKind, ProfileError, ProfileStatus,
    Quantity, RelativeBase, RelativeTo, StraddlePolicy, ThresholdProfile, built_in_profiles,
};
pub use report::{
    AttemptLine, BracketLine, ChainLine, CheckpointLine, ClockLine, CoverageLine, DeclaredLine, DeclaredVerdict,
    DeviceLine, EstimateLine, FleetLine, ForecastLine, GapLine, NodeLine, PeriodLine, ProfileLine, ProfileOrigin,
    RelativeLine, SamplingEntriesLine, SamplingLine, SamplingOperandsLine, SamplingStratumLine, Sentence,
    StatementLine, ThresholdReport, TotalLine, Trigger, Verdict, WorkLine,
};
pub use snp::{SnpClaims, SnpGuestPolicy, SnpProduct, SnpRules, SnpSigner, SnpTcb, SnpTcbRules, SnpTcbs, Vmpl};
pub use tdx::{TdAttributes, TdxBody, TdxClaims, TdxExtension, TdxModule, TdxPlatform, TdxRules, TdxServiceTd, TdxTcb};
pub use training::{CheckpointRoots, ManifestError, NO_AUDIT, RosterDevice, RosterRow, RunManifest, SpecCommitment};
pub use two_figures::{TwoFigures, exact_words, two_figures};
pub use units::{DeviceMillis, FLOP_PER_GFLOP, Flops, Gflop, UnitError, UnixMillis};
pub use utc::{Instant, format_instant, parse_instant};
pub use witness::{NodeWitness, WitnessRow};
pub use work::{Inclusion, WorkClass};
