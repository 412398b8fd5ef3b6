//! **Duty.** The closed vocabularies of a threshold profile: strictness, quantity, status, what counts, shares, deadlines.
//! **Does not know** any profile. **Spec.** COMPUTE §3, §4, §7.

use serde::{Deserialize, Serialize};

use crate::WorkClass;

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

/// Whether an instrument binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileStatus {
    /// It is in force.
    InForce,
    /// It will be.
    Future,
    /// It was.
    Rescinded,
    /// It is a draft.
    Draft,
    /// No law: it shows how a profile works.
    Demonstration,
}

impl ProfileStatus {
    /// As files spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Future => "future",
            Self::Rescinded => "rescinded",
            Self::Draft => "draft",
            Self::Demonstration => "demonstration",
        }
    }
}

/// Kinds of operations that an instrument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Floating-point operations of any precision.
    FloatingPoint,
    /// Integer operations, one for one.
    Integer,
}

/// What counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Classes of work.
    pub classes: Vec<WorkClass>,
    /// Kinds of operations.
    pub operations: Vec<OperationKind>,
}

/// A share as two integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fraction {
    /// Upper integer.
    pub numerator: u32,
    /// Lower integer.
    pub denominator: u32,
}

impl Fraction {
    /// Above nothing and at most one.
    #[must_use]
    pub const fn is_proper(self) -> bool {
        self.numerator >= 1 && self.numerator <= self.denominator
    }
}

/// A threshold that is a share of another model's compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeTo {
    /// Whose compute.
    pub what: RelativeBase,
    /// Which share. `value` of the profile stands in where the base is unknown and cannot be estimated.
    pub fraction: Fraction,
}

/// Whose compute a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelativeBase {
    /// The model that was modified.
    BaseModel,
}

/// Time to notify, counted in days of 24 hours in UTC, without holidays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// Days.
    pub days: u32,
    /// Who says so.
    pub clause: String,
}

/// What a bracket around a threshold means. The law does not say; this is our rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StraddlePolicy {
    /// Act as if above.
    TreatAsAbove,
}
