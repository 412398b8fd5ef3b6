//! **Duty.** Legal thresholds as data. A threshold below 10²⁰ FLOP is refused unless the profile is a demonstration:
//! a scraper that loses a superscript reads 10²⁵ as "1025". **Knows** the schema and exact comparison.
//! **Does not know** any amount of a run. **Spec.** COMPUTE §1–3; docs/schemas/profile-v1.schema.json.

mod built_in;
mod error;
mod rules;

use serde::{Deserialize, Deserializer, Serialize};

pub use built_in::built_in_profiles;
pub use error::ProfileError;
pub use rules::{
    Compare, Counts, Deadline, Fraction, OperationKind, ProfileStatus, Quantity, RelativeBase, RelativeTo,
    StraddlePolicy,
};

use crate::by_name::from_slice_by_name;
use crate::utc::parse_day;
use crate::{Digest32, Flops, Inclusion, WorkClass, sha256};

const LEAST_LEGAL_THRESHOLD: u128 = 10u128.pow(20);
/// Bytes of a profile file. The built-in ones have a twentieth of it.
pub const MAX_PROFILE_BYTES: usize = 64 * 1024;
const MAX_ID: usize = 64;

/// Where a threshold is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citation {
    /// Article, section or annex.
    pub clause: String,
    /// Id of the document; `null` where none is known here.
    #[serde(deserialize_with = "explicit")]
    pub document: Option<String>,
    /// SHA-256 of the text as retrieved; `null` where no copy was kept.
    #[serde(deserialize_with = "explicit")]
    pub retrieved_sha256: Option<Digest32>,
}

/// One threshold of one instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdProfile {
    /// Id that people type.
    pub id: String,
    /// Version of this data.
    pub version: u32,
    /// Jurisdiction.
    pub jurisdiction: String,
    /// Instrument.
    pub instrument: String,
    /// Article or section, document, digest.
    pub citation: Citation,
    /// First day, `YYYY-MM-DD`; `null` where it is not established.
    #[serde(deserialize_with = "explicit")]
    pub valid_from: Option<String>,
    /// Last day; `null` while there is none, or none is established.
    #[serde(deserialize_with = "explicit")]
    pub valid_to: Option<String>,
    /// Whether it is in force.
    pub status: ProfileStatus,
    /// What is counted.
    pub quantity: Quantity,
    /// Threshold, exact; of a relative one the amount that stands in for an unknown original.
    pub value: Flops,
    /// Strictness.
    pub compare: Compare,
    /// Classes of work and kinds of operations that count.
    pub counts: Counts,
    /// Modalities that the instrument names; empty where it names none.
    pub modalities: Vec<String>,
    /// Set where the threshold is a share of another model's compute.
    #[serde(deserialize_with = "explicit")]
    pub relative_to: Option<RelativeTo>,
    /// Error that the instrument allows an estimate.
    #[serde(deserialize_with = "explicit")]
    pub error_margin: Option<Fraction>,
    /// Time to notify.
    #[serde(deserialize_with = "explicit")]
    pub deadline: Option<Deadline>,
    /// What a bracket around the threshold means.
    pub straddle_policy: StraddlePolicy,
    /// Remarks.
    pub notes: String,
    /// SHA-256 of the file this was read from.
    #[serde(skip)]
    pub digest: Digest32,
}

/// A field that must be written even where it is `null`: silence is no answer.
fn explicit<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

impl ThresholdProfile {
    /// Parses and checks one profile.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(json: &str) -> Result<Self, ProfileError> {
        if json.len() > MAX_PROFILE_BYTES {
            return Err(ProfileError::TooLong(json.len()));
        }
        let mut profile: Self = from_slice_by_name(json.as_bytes()).map_err(ProfileError::Json)?;
        profile.digest = sha256(json.as_bytes());
        let demonstration = profile.status == ProfileStatus::Demonstration;
        if profile.value.0 < LEAST_LEGAL_THRESHOLD && !demonstration {
            return Err(ProfileError::TooSmall { id: profile.id, value: profile.value });
        }
        match profile.fault() {
            None => Ok(profile),
            Some(why) => Err(ProfileError::Field { id: profile.id, why }),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let demonstration = self.status == ProfileStatus::Demonstration;
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = (1..=MAX_ID).contains(&self.id.len()) && self.id.bytes().all(named);
        let days = [&self.valid_from, &self.valid_to];
        let is_day = |day: &&Option<String>| day.as_deref().is_none_or(|day| parse_day(day).is_some());
        let fractions = [self.relative_to.map(|relative| relative.fraction), self.error_margin];
        match () {
            () if demonstration && self.instrument != "none" => {
                Some("a demonstration may not name a law: instrument must be `none`")
            }
            () if !is_id => Some("the id has lower-case letters, digits and dashes, at most 64"),
            () if self.value.0 == 0 || self.value.0 > u128::from(u64::MAX).pow(2) / 8 => {
                Some("the threshold is zero, or too large to be compared exactly")
            }
            () if !days.iter().all(is_day) => Some("write days as 2026-03-01"),
            () if matches!((&self.valid_from, &self.valid_to), (Some(from), Some(to)) if from > to) => {
                Some("valid_to is before valid_from")
            }
            () if fractions.into_iter().flatten().any(|fraction| !fraction.is_proper()) => {
                Some("a fraction is two integers, the first from 1 to the second")
            }
            () if self.deadline.as_ref().is_some_and(|deadline| deadline.days == 0 || deadline.days > 3_660) => {
                Some("a deadline has 1 to 3,660 days")
            }
            () => None,
        }
    }

    /// Whether an exact amount is above the threshold.
    #[must_use]
    pub fn is_above(&self, amount: Flops) -> bool {
        self.is_above_share(self.value, amount)
    }

    /// The same against a share of `original`, where the threshold is relative: both sides are multiplied, nothing is
    /// divided. An amount that leaves the integers is above.
    #[must_use]
    pub fn is_above_share(&self, original: Flops, amount: Flops) -> bool {
        let Fraction { numerator, denominator } = self.share();
        let left = amount.0.checked_mul(u128::from(denominator));
        let right = original.0.checked_mul(u128::from(numerator));
        match (left, right, self.compare) {
            (None, _, _) => true,
            // What no integer holds is greater than any amount that one does.
            (Some(_), None, _) => false,
            (Some(left), Some(right), Compare::Gt) => left > right,
            (Some(left), Some(right), Compare::Ge) => left >= right,
        }
    }

    /// The threshold as one integer, for print: an amount is above exactly if it compares so with this.
    #[must_use]
    pub fn threshold(&self, original: Flops) -> Flops {
        let Fraction { numerator, denominator } = self.share();
        let product = original.0.saturating_mul(u128::from(numerator));
        let denominator = u128::from(denominator.max(1));
        Flops(match self.compare {
            Compare::Gt => product / denominator,
            Compare::Ge => product.div_ceil(denominator),
        })
    }

    fn share(&self) -> Fraction {
        self.relative_to.map_or(Fraction { numerator: 1, denominator: 1 }, |relative| relative.fraction)
    }

    /// Whether a class of work counts.
    #[must_use]
    pub fn inclusion(&self, class: WorkClass) -> Inclusion {
        match class {
            _ if self.counts.classes.contains(&class) => Inclusion::Included,
            // Silent law: our own rule keeps it in the upper figure.
            WorkClass::RolledBackSteps => Inclusion::UpperOnly,
            _ => Inclusion::Excluded,
        }
    }

    /// Whether two profiles say different things about one threshold at one time.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let same = self.instrument == other.instrument
            && self.citation.clause == other.citation.clause
            && self.quantity == other.quantity
            && self.status != ProfileStatus::Demonstration;
        // An open start is the beginning of time, an open end has not come yet.
        let starts_before_end = |from: &Option<String>, to: &Option<String>| match (from, to) {
            (Some(from), Some(to)) => from <= to,
            _ => true,
        };
        same && starts_before_end(&self.valid_from, &other.valid_to)
            && starts_before_end(&other.valid_from, &self.valid_to)
    }
}

#[cfg(test)]
mod tests;
