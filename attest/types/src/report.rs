//! **Duty.** The compute-threshold report as data: what JSON and HTML both show. Every figure carries its grade.
//! **Does not know** how any of it was derived (`weighbridge-appraisal`). **Spec.** COMPUTE §7–10.

mod law;
mod sampling;
mod sentence;

use serde::{Deserialize, Serialize};

pub use law::{
    ClockLine, DeclaredVerdict, EstimateLine, ForecastLine, ProfileLine, ProfileOrigin, RelativeLine, Trigger, WorkLine,
};
pub use sampling::{SamplingEntriesLine, SamplingLine, SamplingOperandsLine, SamplingStratumLine};
pub use sentence::Sentence;

use crate::{Declarations, Device, Digest32, Flops, Grade, NodeKey, PoseidonDigest, UnixMillis};

/// Where an amount stands to a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The upper bound is not above the threshold and completeness evidence covers the inventory.
    Below,
    /// The lower bound is above the threshold.
    Above,
    /// The threshold lies inside the bracket; to be treated as above.
    Straddles,
    /// Completeness evidence is missing.
    Unknown,
}

/// `lower ≤ compute ≤ upper`, each side with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BracketLine {
    /// Lower bound, FLOP.
    pub lower: Flops,
    /// Lower bound to two figures.
    pub lower_two_figures: String,
    /// What the lower bound rests on.
    pub lower_basis: Sentence,
    /// Upper bound, FLOP; `null` when no ceiling rate is known for a device.
    pub upper: Option<Flops>,
    /// Upper bound to two figures.
    pub upper_two_figures: Option<String>,
    /// What the upper bound rests on.
    pub upper_basis: Sentence,
    /// Upper minus lower.
    pub width: Option<Flops>,
    /// Grade of the upper figure.
    pub grade: Grade,
    /// `external` or `host`: whose clock bounds the time.
    pub clock: String,
    /// Whether evidence covers every device-second in scope; without it no verdict is `below`.
    pub complete: bool,
    /// What completeness rests on, or what is missing.
    pub completeness: Sentence,
}

/// The period that was weighed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodLine {
    /// Start.
    pub from: UnixMillis,
    /// End.
    pub to: UnixMillis,
    /// Length that is charged to each accelerator, if any is.
    pub charged_millis: Option<u64>,
}

/// Accelerators of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetLine {
    /// Chip family from certificates.
    pub chip_family: String,
    /// Exact model as the provider names it.
    pub sku: String,
    /// How many.
    pub count: u64,
    /// Milliseconds of all of them together in the period.
    pub device_millis: Option<u64>,
}

/// Sum of one component of the readings, which an `open` bundle shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotalLine {
    /// `declared`, `metered` or `energy`.
    pub component: String,
    /// `FLOP` or `J`.
    pub unit: String,
    /// Exact sum; `null` where an interval has no reading of it, because absent is not zero.
    pub total: Option<Flops>,
    /// To two figures.
    pub two_figures: Option<String>,
    /// In words.
    pub why: Sentence,
    /// Grade.
    pub grade: Grade,
}

/// One attempt of the run, as the checkpoints show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptLine {
    /// Attempt.
    pub attempt: u16,
    /// Checkpoints seen of it.
    pub checkpoints: u64,
    /// Least step.
    pub first_step: u64,
    /// Greatest step.
    pub last_step: u64,
    /// Grade.
    pub grade: Grade,
}

/// The provider's statement as the bundle holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementLine {
    /// SHA-256 of the member.
    pub sha256: Digest32,
    /// Its content.
    pub content: Declarations,
    /// Grade of all of it.
    pub grade: Grade,
}

/// One zero-knowledge statement about a total of committed readings. It never moves a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredLine {
    /// Name of the relation, such as `declared_le`.
    pub statement: String,
    /// Lower bound of the relation: FLOP, or joule where the name begins with `energy_`.
    pub low: Option<Flops>,
    /// Upper bound of the relation, in the same unit.
    pub high: Option<Flops>,
    /// Least and most to two figures, for a statement on that grid.
    pub two_figures: Option<String>,
    /// The sentence that is printed.
    pub sentence: Sentence,
    /// Always `declared` or `simulated`.
    pub grade: Grade,
}

/// One node of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeLine {
    /// The key that the roster names.
    pub node_key: NodeKey,
    /// CPU TEE format.
    pub cpu_kind: String,
    /// Devices with chip family (from certificates) and declared SKU.
    pub devices: Vec<DeviceLine>,
    /// The chains of its keys, in order: more than one after a reboot.
    pub chains: Vec<ChainLine>,
    /// Intervals in all its chains.
    pub intervals: u64,
    /// Index of the last quoted head of its last chain.
    pub quoted_through: u64,
    /// Quotes over heads of all its chains.
    pub quotes: u64,
    /// External *not before* of the node's bracket.
    pub not_before: Option<UnixMillis>,
    /// External *not after* of the node's bracket.
    pub not_after: Option<UnixMillis>,
    /// What says *not before*: `nonce` or `beacon`.
    #[serde(default)]
    pub not_before_by: Option<String>,
    /// What says *not after*: `receipt` or `timestamp`.
    #[serde(default)]
    pub not_after_by: Option<String>,
    /// Grade of its evidence.
    pub grade: Grade,
}

/// One chain of a node: a key's life from a boot to the end of the run or the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainLine {
    /// The key that signs it.
    pub node_key: NodeKey,
    /// The quoted head of the chain before it that this one continues.
    pub predecessor: Option<PoseidonDigest>,
    /// Intervals.
    pub intervals: u64,
    /// Index of the last quoted head; what follows is declared, and its time a gap.
    pub quoted_through: u64,
    /// Quotes over heads.
    pub quotes: u64,
    /// Start of the first interval, by the node's clock.
    pub starts: Option<UnixMillis>,
    /// End of the last interval, by the node's clock.
    pub ends: Option<UnixMillis>,
    /// External *not before* of this key.
    pub not_before: Option<UnixMillis>,
}

/// One accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceLine {
    /// Identity.
    pub device: Device,
    /// Chip family from the certificate chain.
    pub chip_family: String,
    /// SKU as declared in the roster.
    pub sku: String,
    /// Ceiling rate charged, FLOP per second.
    pub ceiling_flop_per_second: Option<Flops>,
    /// Milliseconds charged: the external bracket.
    pub charged_millis: Option<u64>,
}

/// Device time in milliseconds, summed over all accelerators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoverageLine {
    /// Inside the external bracket.
    pub bracketed_millis: Option<u64>,
    /// Accounted for by quoted intervals (run, other, idle).
    pub covered_millis: u64,
    /// In the run.
    pub run_millis: u64,
    /// At other work.
    pub other_millis: u64,
    /// Idle.
    pub idle_millis: u64,
    /// Gaps that the ledgers themselves record, and time after the last quoted head.
    pub recorded_gap_millis: u64,
    /// Inside the bracket and in no quoted interval.
    pub uncovered_millis: Option<u64>,
    /// Covered share of the bracket in hundredths of a percent, rounded down.
    pub covered_basis_points: Option<u32>,
}

/// Time without evidence; it is charged at the ceiling rate like all other time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapLine {
    /// Node.
    pub node_key: NodeKey,
    /// Device.
    pub device: Device,
    /// Length.
    pub millis: u64,
    /// Cause in words.
    pub cause: String,
    /// What it adds to the upper figure, FLOP.
    pub effect: Option<Flops>,
}

/// A checkpoint that a ledger committed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointLine {
    /// Node whose daemon hashed it.
    pub node_key: NodeKey,
    /// Attempt.
    pub attempt: u16,
    /// Step.
    pub step: u64,
    /// BLAKE3 root.
    pub fast_root: Digest32,
    /// Poseidon root.
    pub algebraic_root: PoseidonDigest,
    /// Grade.
    pub grade: Grade,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdReport {
    /// `weighbridge/report/v1`.
    pub format: String,
    /// `SIMULATED …` or empty; printed before everything else.
    pub warning: Sentence,
    /// Disclosure level: `open`, `sealed` or `two-figures`, as the members show it.
    pub level: String,
    /// What the members at that level show.
    pub level_basis: Sentence,
    /// Provider (declared).
    pub provider: String,
    /// Model (declared).
    pub model_id: String,
    /// Phase (declared).
    pub phase: String,
    /// The run.
    pub genesis: Digest32,
    /// Digest of all other members of the bundle.
    pub members: Digest32,
    /// The instant of appraisal.
    pub appraised_at: UnixMillis,
    /// Earliest end of all endorsements used.
    pub endorsements_valid_until: UnixMillis,
    /// Policy id and digest.
    pub policy: String,
    /// Trust anchors used: name, grade, fingerprint.
    pub anchors: Vec<String>,
    /// The period.
    pub period: Option<PeriodLine>,
    /// Accelerators by kind.
    pub fleet: Vec<FleetLine>,
    /// The bracket.
    pub bracket: BracketLine,
    /// A point figure for this run, if anybody names one.
    pub estimate: Option<EstimateLine>,
    /// Verdict per profile.
    pub profiles: Vec<ProfileLine>,
    /// Included and excluded work.
    pub ledger: Vec<WorkLine>,
    /// Forecast, if a plan is declared.
    pub forecast: Option<ForecastLine>,
    /// The provider's statement.
    pub statement: Option<StatementLine>,
    /// Exact totals, at level `open`.
    pub totals: Vec<TotalLine>,
    /// Zero-knowledge statements about declared quantities.
    pub declared: Vec<DeclaredLine>,
    /// Audit sentence.
    pub audit: Sentence,
    /// Sampling table, of an audited run.
    pub sampling: Option<SamplingLine>,
    /// Nodes.
    pub nodes: Vec<NodeLine>,
    /// Coverage.
    pub coverage: CoverageLine,
    /// Gaps.
    pub gaps: Vec<GapLine>,
    /// Attempts that the checkpoints show.
    pub attempts: Vec<AttemptLine>,
    /// Checkpoints.
    pub checkpoints: Vec<CheckpointLine>,
    /// Checks that were not made, with reasons.
    pub not_checked: Vec<Sentence>,
    /// Assumptions.
    pub assumptions: Vec<Sentence>,
    /// What this report does not prove.
    pub not_proven: Vec<Sentence>,
    /// What to type to check all of it again; `BUNDLE` and `DIR` are the reader's.
    pub verify_command: String,
}

impl ThresholdReport {
    /// Who makes the statement, where it is in another name than the run manifest's provider.
    #[must_use]
    pub fn other_provider(&self) -> Option<&str> {
        let stated = &self.statement.as_ref()?.content.provider.legal_name;
        (*stated != self.provider).then_some(stated)
    }
}
