//! **Duty.** Appraisal policy as data. A requirement has no empty variant: what is not required is waived with a reason
//! that is printed. **Spec.** PROTOCOL §6.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{FirmwareVersion, NvidiaRules, SnpGuestPolicy, SnpRules, SnpTcb, TcbStatus, TdxRules, Vmpl};

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement<T> {
    /// Exactly this.
    Equals(T),
    /// This or more. Where more is not better ([`Claim::IS_ORDERED`]) nothing meets it, and no file can say it.
    AtLeast(T),
    /// One of these.
    OneOf(Vec<T>),
    /// Anything, for a reason.
    Waived {
        /// Why.
        reason: String,
    },
}

/// A requirement as it is written, whether or not it means something.
#[derive(Deserialize)]
#[serde(rename = "Requirement", rename_all = "kebab-case", deny_unknown_fields)]
enum Written<T> {
    Equals(T),
    AtLeast(T),
    OneOf(Vec<T>),
    Waived { reason: String },
}

impl<'de, T: Claim + Deserialize<'de>> Deserialize<'de> for Requirement<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::AtLeast(_) if !T::IS_ORDERED => {
                return Err(D::Error::custom("`at-least` is said of something of which more is not better"));
            }
            Written::AtLeast(least) => Self::AtLeast(least),
            Written::Equals(wanted) => Self::Equals(wanted),
            Written::OneOf(allowed) => Self::OneOf(allowed),
            Written::Waived { reason } => Self::Waived { reason },
        })
    }
}

/// The rules for one node's composite evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppraisalPolicy {
    /// Name.
    pub id: String,
    /// Version.
    pub version: u32,
    /// Debug or profiling state of the CPU TEE.
    pub debug: Requirement<bool>,
    /// TDX migration; SEV-SNP migration agent.
    pub migratable: Requirement<bool>,
    /// Launch measurement of the node image, hex: MRTD of TDX, `measurement` of SEV-SNP.
    pub measurement: Requirement<String>,
    /// What only SEV-SNP guests are asked.
    pub sev_snp: SnpRules,
    /// What only TDX guests are asked.
    pub tdx: TdxRules,
    /// What NVIDIA GPUs and switches are asked.
    pub nvidia: NvidiaRules,
}

impl AppraisalPolicy {
    /// The built-in default (PROTOCOL §6). What this depth cannot check is waived by name, and printed.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            id: "weighbridge-default".to_owned(),
            version: 3,
            debug: Requirement::Equals(false),
            migratable: Requirement::Equals(false),
            measurement: Requirement::Waived {
                reason: "no reference values for node images are published yet: what the image says stays declared"
                    .to_owned(),
            },
            sev_snp: SnpRules::waived("AMD publishes no TCB status, and no minima or launch values are agreed on yet"),
            tdx: TdxRules::built_in(
                "no reference values for TDX modules, run-time registers and owners are published yet",
            ),
            nvidia: NvidiaRules::built_in(),
        }
    }
}

/// What a requirement can be about.
pub trait Claim: PartialOrd {
    /// Whether more of it is better. A digest has no order, and neither `true` nor a status is more than another.
    const IS_ORDERED: bool;
}

macro_rules! claims {
    ($($claim:ty: $ordered:literal),+ $(,)?) => {
        $(impl Claim for $claim { const IS_ORDERED: bool = $ordered; })+
    };
}

// Reserved bits (u64) are flags; of privilege levels the lower is the stronger.
claims! {
    bool: false,
    String: false,
    TcbStatus: false,
    u64: false,
    u32: true,
    Vmpl: false,
    SnpTcb: true,
    SnpGuestPolicy: true,
    FirmwareVersion: true,
}

impl<T: Claim> Requirement<T> {
    /// Whether a claim meets the requirement; an absent claim meets only a waiver.
    #[must_use]
    pub fn is_met_by(&self, found: Option<&T>) -> bool {
        match (self, found) {
            (Self::Waived { .. }, _) => true,
            (_, None) => false,
            (Self::Equals(wanted), Some(found)) => found == wanted,
            (Self::AtLeast(least), Some(found)) => T::IS_ORDERED && found >= least,
            (Self::OneOf(allowed), Some(found)) => allowed.contains(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_meets_only_a_waiver() {
        assert!(!Requirement::Equals(false).is_met_by(None));
        assert!(!Requirement::OneOf::<u32>(vec![]).is_met_by(Some(&1)));
        assert!(Requirement::AtLeast(3u32).is_met_by(Some(&3)));
        // What has no order is never at least something.
        assert!(!Requirement::AtLeast(TcbStatus::UpToDate).is_met_by(Some(&TcbStatus::NotSupported)));
        assert!(!Requirement::AtLeast(false).is_met_by(Some(&true)));
        assert!(!Requirement::AtLeast("00".to_owned()).is_met_by(Some(&"ff".to_owned())));
        assert!(!Requirement::AtLeast(0u64).is_met_by(Some(&1)));
        assert!(!Requirement::AtLeast(Vmpl(0)).is_met_by(Some(&Vmpl(3))));
        assert!(Requirement::<bool>::Waived { reason: "x".into() }.is_met_by(None));
    }

    #[test]
    fn what_has_no_order_has_no_least_one_in_any_file() {
        fn reads<T: Claim + for<'de> Deserialize<'de>>(json: &str) -> bool {
            serde_json::from_str::<Requirement<T>>(json).is_ok()
        }
        assert!(
            reads::<u32>("{\"at-least\": 3}") && reads::<u64>("{\"equals\": 3}") && reads::<Vmpl>("{\"one-of\": [3]}")
        );
        assert!(!reads::<u64>("{\"at-least\": 3}") && !reads::<Vmpl>("{\"at-least\": 0}"));
        assert!(!reads::<bool>("{\"at-least\": false}") && !reads::<String>("{\"at-least\": \"x\"}"));
        assert!(!reads::<TcbStatus>("{\"at-least\": \"UpToDate\"}"));
        assert!(!reads::<u32>("{\"at-most\": 3}") && !reads::<u32>("{\"equals\": 3, \"at-least\": 3}"));
    }
}
