//! **Duty.** The sampling table of a report: what an audit drew, and what came of it. **Does not know** how a draw is judged
//! (`weighbridge-audit`). **Spec.** PROTOCOL §5; TRAINING §7 (printed table); COMPUTE §10 item 14.

use serde::{Deserialize, Serialize};

use crate::{Digest32, Flops, Grade, Sentence};

/// The audit of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingLine {
    /// Digest of the audit policy that the manifest names.
    pub policy: Digest32,
    /// Digest of the numeric policy that the manifest names.
    pub numeric_policy: Option<Digest32>,
    /// Whether the bundle holds answers.
    pub answered: bool,
    /// What is committed before the draw; `null` without answers, and so all that follows from the policy.
    pub mode: Option<String>,
    /// Grade of the randomness: `self-check` is no sample.
    pub randomness: Option<String>,
    /// Windows that quoted heads commit to.
    pub windows: u64,
    /// Windows that stand behind the last quoted head: their draws count as unanswered.
    pub unquoted: u64,
    /// FLOP that the windows hold, by their trees; what a run did outside of windows is not drawn from.
    pub flop: Option<Flops>,
    /// δ of the whole run, in millionths.
    pub risk_millionths: Option<u32>,
    /// Draws by what they are in proportion to.
    pub strata: Vec<SamplingStratumLine>,
    /// Entries of drawn operands, by what they were opened to.
    pub opened: Option<SamplingEntriesLine>,
    /// Zeros and repeats of drawn operands: what is right is not yet useful.
    pub operands: Option<SamplingOperandsLine>,
    /// In words.
    pub why: Sentence,
    /// Grade.
    pub grade: Grade,
}

/// Draws of one stratum over all windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingStratumLine {
    /// `flop` or `link`.
    pub weight: String,
    /// Most weight of a window.
    pub cap: Flops,
    /// Draws of each window.
    pub draws_per_window: u32,
    /// Draws of all windows.
    pub draws: u64,
    /// Those that passed.
    pub passed: u64,
    /// Those of which the check says too little: they count as failed.
    pub not_proven: u64,
    /// Those that were computed wrong.
    pub refused: u64,
    /// Those without an answer in time: they count as failed.
    pub unanswered: u64,
    /// Most weight of the run that can be false at the stratum's part of δ; `null` where nothing was sampled.
    pub allowance: Option<Flops>,
}

/// Entries of operand strips by what they lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingEntriesLine {
    /// A linking operation, which was checked at the entry.
    pub checked: u64,
    /// A product, which is drawn by itself.
    pub product: u64,
    /// The checkpoint or the batch, by the job's word.
    pub boundary: u64,
    /// Nothing that is shown.
    pub unlinked: u64,
}

/// Counts over the operand strips of accepted tiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingOperandsLine {
    /// Entries.
    pub entries: u64,
    /// Those that are zero.
    pub zeros: u64,
    /// Rows and columns that stood earlier in their strip.
    pub repeated: u64,
}
