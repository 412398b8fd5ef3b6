//! **Duty.** Legal thresholds as data. A threshold below 10²⁰ FLOP is refused unless the profile is a demonstration:
//! a scraper that loses a superscript reads 10²⁵ as "1025". **Spec.** COMPUTE §1–3.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Flops;

const LEAST_LEGAL_THRESHOLD: u128 = 10u128.pow(20);

/// Why a profile is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Not the schema.
    #[error("profile does not parse")]
    Json(#[source] serde_json::Error),
    /// Too small to be a law.
    #[error("profile `{id}`: threshold {value} FLOP is below 10^20; only status `demonstration` may be")]
    TooSmall {
        /// Profile.
        id: String,
        /// Its threshold.
        value: Flops,
    },
    /// A demonstration that names a law, or an empty field.
    #[error("profile `{id}`: {why}")]
    Field {
        /// Profile.
        id: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Strictness of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// Strictly greater is above.
    Gt,
    /// Greater or equal is above.
    Ge,
}

/// Which quantity the law counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Compute directly contributing to parameter updates.
    Training,
    /// All compute that contributed to capabilities.
    Cumulative,
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
    /// Article or section.
    pub citation: String,
    /// First day, `YYYY-MM-DD`.
    pub valid_from: String,
    /// Last day, if any.
    pub valid_to: Option<String>,
    /// `in-force`, `future`, `rescinded`, `draft` or `demonstration`.
    pub status: String,
    /// What is counted.
    pub quantity: Quantity,
    /// Threshold, exact.
    pub value: Flops,
    /// Strictness.
    pub compare: Compare,
    /// Remarks.
    pub notes: String,
}

impl ThresholdProfile {
    /// Parses and checks one profile.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(json: &str) -> Result<Self, ProfileError> {
        let profile: Self = serde_json::from_str(json).map_err(ProfileError::Json)?;
        let demonstration = profile.status == "demonstration";
        let field = |why| ProfileError::Field { id: profile.id.clone(), why };
        if profile.value.0 < LEAST_LEGAL_THRESHOLD && !demonstration {
            return Err(ProfileError::TooSmall { id: profile.id, value: profile.value });
        }
        if demonstration && profile.instrument != "none" {
            return Err(field("a demonstration may not name a law: instrument must be `none`"));
        }
        if !["in-force", "future", "rescinded", "draft", "demonstration"].contains(&profile.status.as_str()) {
            return Err(field("unknown status"));
        }
        Ok(profile)
    }

    /// Whether an exact amount is above the threshold.
    #[must_use]
    pub fn is_above(&self, amount: Flops) -> bool {
        match self.compare {
            Compare::Gt => amount > self.value,
            Compare::Ge => amount >= self.value,
        }
    }
}

/// The profiles that ship with this version, in the order in which reports list them.
///
/// # Panics
/// Never in a build whose tests passed: the data files are part of the source.
#[must_use]
pub fn built_in_profiles() -> Vec<ThresholdProfile> {
    const FILES: [&str; 4] = [
        include_str!("../profiles/eu-ai-act-51-2.json"),
        include_str!("../profiles/eu-gpai-2-1.json"),
        include_str!("../profiles/us-ca-sb-53.json"),
        include_str!("../profiles/demo.json"),
    ];
    #[expect(clippy::expect_used, reason = "compiled-in data, parsed by a test")]
    FILES.iter().map(|json| ThresholdProfile::parse(json).expect("built-in profile")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_strict_at_its_threshold() {
        for profile in built_in_profiles() {
            let value = profile.value.0;
            assert!(!profile.is_above(Flops(value - 1)));
            assert_eq!(profile.is_above(Flops(value)), profile.compare == Compare::Ge);
            assert!(profile.is_above(Flops(value + 1)));
        }
    }

    #[test]
    fn a_lost_superscript_is_refused() {
        let json =
            include_str!("../profiles/eu-ai-act-51-2.json").replace("\"10000000000000000000000000\"", "\"1025\"");
        assert!(matches!(ThresholdProfile::parse(&json), Err(ProfileError::TooSmall { .. })));
        let unknown = json.replacen('{', "{\"extra\": 1,", 1);
        assert!(matches!(ThresholdProfile::parse(&unknown), Err(ProfileError::Json(_))));
    }
}
