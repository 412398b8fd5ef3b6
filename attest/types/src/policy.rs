//! **Duty.** Appraisal policy as data. A requirement has no empty variant: what is not required is waived with a reason
//! that is printed. **Spec.** PROTOCOL §6.

use serde::{Deserialize, Serialize};

use crate::{NvidiaRules, SnpRules, TcbStatus};

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Requirement<T> {
    /// Exactly this.
    Equals(T),
    /// This or more.
    AtLeast(T),
    /// One of these.
    OneOf(Vec<T>),
    /// Anything, for a reason.
    Waived {
        /// Why.
        reason: String,
    },
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
    /// TDX SEPT_VE_DISABLE.
    pub sept_ve_disable: Requirement<bool>,
    /// TDX migration or service TD; SEV-SNP migration agent.
    pub migratable: Requirement<bool>,
    /// Allowed TCB statuses, where the vendor publishes one: AMD publishes none, `sev_snp` has minima instead.
    pub tcb_status: Requirement<TcbStatus>,
    /// Launch measurement of the node image, hex.
    pub measurement: Requirement<String>,
    /// What only SEV-SNP guests are asked.
    pub sev_snp: SnpRules,
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
            sept_ve_disable: Requirement::Equals(true),
            migratable: Requirement::Equals(false),
            tcb_status: Requirement::OneOf(vec![TcbStatus::UpToDate]),
            measurement: Requirement::Waived {
                reason: "no reference values for node images are published yet: what the image says stays declared"
                    .to_owned(),
            },
            sev_snp: SnpRules::waived("AMD publishes no TCB status, and no minima or launch values are agreed on yet"),
            nvidia: NvidiaRules::built_in(),
        }
    }
}

impl<T: PartialOrd> Requirement<T> {
    /// Whether a claim meets the requirement; an absent claim meets only a waiver.
    #[must_use]
    pub fn is_met_by(&self, found: Option<&T>) -> bool {
        match (self, found) {
            (Self::Waived { .. }, _) => true,
            (_, None) => false,
            (Self::Equals(wanted), Some(found)) => found == wanted,
            (Self::AtLeast(least), Some(found)) => found >= least,
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
        assert!(!Requirement::OneOf::<u8>(vec![]).is_met_by(Some(&1)));
        assert!(Requirement::AtLeast(3).is_met_by(Some(&3)));
        assert!(Requirement::<bool>::Waived { reason: "x".into() }.is_met_by(None));
    }
}
