//! **Duty.** What a report says about a threshold: verdict, margin, deadline, forecast, and the provider's own figures
//! beside it. **Does not know** how any of it was derived. **Spec.** COMPUTE §4, §7, §10.

use serde::{Deserialize, Serialize};

use super::{Sentence, Verdict};
use crate::{Basis, Compare, Digest32, Flops, Fraction, Grade, Inclusion, Quantity, UnixMillis, WorkClass};

/// Where a profile comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileOrigin {
    /// It ships with the program.
    BuiltIn,
    /// The reader's own file: no bundle contains it.
    Reader,
}

/// One threshold's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileLine {
    /// Profile id.
    pub id: String,
    /// Profile version.
    pub version: u32,
    /// Where the profile comes from.
    pub origin: ProfileOrigin,
    /// SHA-256 of the profile's file.
    pub profile_sha256: Digest32,
    /// Jurisdiction.
    pub jurisdiction: String,
    /// Instrument; `none` for a demonstration.
    pub instrument: String,
    /// Citation.
    pub citation: String,
    /// Status of the profile.
    pub status: String,
    /// What the threshold counts.
    pub quantity: Quantity,
    /// Threshold, FLOP.
    pub threshold: Flops,
    /// Whose share the threshold is, where it is a share.
    pub relative: Option<RelativeLine>,
    /// Strictness.
    pub compare: Compare,
    /// The verdict.
    pub verdict: Verdict,
    /// A sentence that says why.
    pub why: Sentence,
    /// FLOP between the deciding bound and the threshold; `null` where no bound decides.
    pub margin: Option<Flops>,
    /// What two rounded figures would hide, in words.
    pub rounding: Option<Sentence>,
    /// What else must hold for the threshold to apply, which is not weighed.
    pub condition: Option<Sentence>,
    /// What the verdict is about: `this run alone`. Every threshold counts all runs of a model, and a bundle weighs one.
    pub scope: String,
    /// Grade of the evidence behind the verdict.
    pub grade: Grade,
    /// What this run and the provider's statement come to together.
    pub declared: Option<DeclaredVerdict>,
    /// By when to notify, where the instrument sets a time.
    pub clock: Option<ClockLine>,
}

impl ProfileLine {
    /// Whether an exact amount is above this line's threshold. Of a relative profile the printed threshold is a rounded
    /// share, rounded so that integers compare with it as with the share itself.
    #[must_use]
    pub fn is_above(&self, amount: Flops) -> bool {
        match self.compare {
            Compare::Gt => amount > self.threshold,
            Compare::Ge => amount >= self.threshold,
        }
    }
}

/// The original model of a relative threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeLine {
    /// Which share.
    pub fraction: Fraction,
    /// Of which amount.
    pub original: Flops,
    /// Where that amount comes from.
    pub source: Sentence,
    /// The amount rests on the provider's word, so the verdict leans on it. Where nothing is stated the amount is shown
    /// and not used: the verdict is unknown.
    pub is_declared: bool,
}

/// The second verdict of a threshold: it may warn, and never vouches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredVerdict {
    /// What it is about.
    pub scope: String,
    /// Least, FLOP.
    pub lower: Flops,
    /// Most, FLOP; `null` where a part cannot be bounded.
    pub upper: Option<Flops>,
    /// The provider's own least for this run, FLOP: of its statement, its readings or a proven sum the greatest.
    pub this_run_lower: Flops,
    /// The provider's own most for this run, FLOP, likewise.
    pub this_run_upper: Flops,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub why: Sentence,
    /// `declared`, or what is less.
    pub grade: Grade,
}

/// What started the time to notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A plan whose total is above the threshold was committed to.
    Plan,
    /// A forecast is above the threshold.
    Forecast,
    /// The upper figure went above the threshold.
    Upper,
    /// The provider's own figure for this run is above the threshold.
    Estimate,
    /// The provider's own figures are above the threshold, or may be.
    Declared,
}

/// Time to notify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockLine {
    /// What started it; `null` where nothing did.
    pub trigger: Option<Trigger>,
    /// When.
    pub triggered_at: Option<UnixMillis>,
    /// The latest moment.
    pub deadline: Option<UnixMillis>,
    /// Nothing that is known here started it, and what is not known may have.
    pub is_unsure: bool,
    /// In words.
    pub why: Sentence,
    /// Grade of the trigger.
    pub grade: Grade,
}

/// What will have been computed when training ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastLine {
    /// The planned total.
    pub plan: Flops,
    /// When training is planned to end.
    pub ends_at: Option<UnixMillis>,
    /// This run's figure carried on at its own rate to the planned end, or as it stands where the plan names none, with the
    /// declared work beside it.
    pub run_rate: Option<Flops>,
    /// The greater of the two.
    pub greatest: Flops,
    /// To two figures.
    pub two_figures: String,
    /// In words.
    pub why: Sentence,
    /// Grade: a plan is a declaration.
    pub grade: Grade,
}

/// One line of the ledger of counted work: this run, or a part of the lifecycle that the provider states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkLine {
    /// Phase.
    pub phase: String,
    /// Class of work.
    pub class: WorkClass,
    /// About the run that this bundle weighs, not on top of it.
    pub in_this_run: bool,
    /// Least, FLOP.
    pub low: Flops,
    /// The figure, if one is named.
    pub estimate: Option<Flops>,
    /// Most, FLOP; `null` where nobody can say.
    pub high: Option<Flops>,
    /// Counted by the law's annex, or executed by machines.
    pub basis: Basis,
    /// How it was found.
    pub method: Sentence,
    /// Whether cumulative compute includes it.
    pub cumulative: Inclusion,
    /// Whether training compute includes it.
    pub training: Inclusion,
    /// The clause that says so.
    pub clause: String,
    /// Grade.
    pub grade: Grade,
}

/// A point figure beside the bracket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EstimateLine {
    /// FLOP, exact.
    pub flop: Flops,
    /// To two figures.
    pub two_figures: String,
    /// Counted or executed.
    pub basis: Basis,
    /// Where it comes from.
    pub source: Sentence,
    /// Grade.
    pub grade: Grade,
}
