//! **Duty.** What a provider states about a model beside the run that is weighed: who, which phases, which amounts by
//! which method, which plan. **Knows** the schema, its bounds and its arithmetic. **Does not know** whether any of it is
//! true: all of it is graded `declared`. **Spec.** COMPUTE §4, §5, §7, §10; docs/schemas/declarations-v1.schema.json.

mod amounts;
mod method;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use amounts::{Estimate, STATED_MARGIN, estimate_of};
pub use method::{Architecture, Attention, Hardware, Method, ParameterCount, PeakBasis, Sparsity};

use crate::by_name::from_slice_by_name;
use crate::utc::Instant;
use crate::{Culprit, Digest32, Flops, Fraction, UnixMillis, WorkClass};

const FORMAT: &str = "weighbridge/declarations/v1";
/// Bytes of the member.
pub const MAX_DECLARATIONS_BYTES: usize = 512 * 1024;
/// Entries of any list: a model has a handful of phases.
const MAX_ENTRIES: usize = 256;
/// Bytes of one text.
const MAX_TEXT: usize = 2_000;

/// Why declarations are refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeclarationsError {
    /// Longer than any statement.
    #[error("declarations have {0} bytes; at most {MAX_DECLARATIONS_BYTES} are read")]
    TooLong(usize),
    /// Not the schema, a field twice, or a number where a decimal string belongs.
    #[error("declarations do not parse")]
    Json(#[source] serde_json::Error),
    /// A text or list beyond its cap, or an empty text.
    #[error("declarations: {0}")]
    Field(&'static str),
    /// A line whose amount and method do not fit.
    #[error("declarations, lifecycle line {line}: {why}")]
    Line {
        /// Position, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

impl DeclarationsError {
    /// Inside a bundle: the bytes. Where a person named the file, the edge says `Usage`.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

/// The provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderDeclaration {
    /// Legal name.
    pub legal_name: String,
    /// Authorised representative, if there is one.
    pub representative: Option<String>,
    /// How to reach them.
    pub contact: String,
}

/// The model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDeclaration {
    /// Id; the same as in the run manifest.
    pub id: String,
    /// Versions.
    pub versions: Vec<String>,
    /// When it was or will be released.
    pub released: Option<String>,
    /// Architecture.
    pub architecture: Option<String>,
    /// Parameters, as a decimal string.
    pub parameters: Option<Flops>,
    /// What it depends on beside the base models.
    #[serde(default)]
    pub dependencies: Vec<String>,
}

/// A model whose weights this one started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseModel {
    /// Its name.
    pub name: String,
    /// Its training compute.
    pub compute: BaseCompute,
    /// Where the figure comes from.
    pub source: String,
}

/// Training compute of a base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseCompute {
    /// Known within bounds.
    Interval(Interval),
    /// Unknown, and no estimate is possible.
    CannotBeEstimated,
}

/// Inclusive bounds in FLOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Least.
    pub low: Flops,
    /// Most.
    pub high: Flops,
}

/// An amount as stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatedAmount {
    /// With bounds.
    Interval(Interval),
    /// One estimate: the margin is 30 %.
    Point(Flops),
}

/// Whether a figure follows the law's counting or what the machines executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// By the annex: without recomputation, padding and rolled-back steps.
    Counted,
    /// With them.
    Executed,
}

impl Basis {
    /// The word that is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Executed => "executed",
        }
    }
}

/// One line of the lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleLine {
    /// Name of the phase.
    pub phase: String,
    /// Class of work.
    pub class: WorkClass,
    /// Whether this is the provider's own figure for work that this bundle weighs; otherwise it comes on top.
    pub in_this_run: bool,
    /// The amount; may be left out where the method gives it.
    pub amount: Option<StatedAmount>,
    /// How it was found.
    pub method: Method,
    /// Counted or executed.
    pub basis: Basis,
    /// Remarks.
    pub note: Option<String>,
}

/// What is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Planned total of everything that counts, FLOP.
    pub total: Flops,
    /// When the plan was committed to.
    pub committed_at: Instant,
    /// When training is planned to end.
    pub ends_at: Option<Instant>,
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredPeriod {
    /// Start.
    pub from: Instant,
    /// End.
    pub to: Instant,
}

/// Energy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// Kilowatt-hours.
    pub kilowatt_hours: u64,
    /// How it was found.
    pub method: String,
}

/// A place with machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Name and place.
    pub name: String,
    /// Exact model of the accelerators.
    pub sku: String,
    /// How many.
    pub accelerators: u64,
}

/// The report before this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierReport {
    /// SHA-256 of its `report.json`.
    pub sha256: Digest32,
    /// What changed since.
    pub changes: Vec<String>,
}

/// The whole statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declarations {
    /// `weighbridge/declarations/v1`.
    pub format: String,
    /// Who states it.
    pub provider: ProviderDeclaration,
    /// About which model.
    pub model: ModelDeclaration,
    /// What it started from; empty when it started from nothing.
    #[serde(default)]
    pub base_models: Vec<BaseModel>,
    /// Period of the whole lifecycle so far.
    pub period: Option<DeclaredPeriod>,
    /// Whether the lines, together with this run, are all work of the lifecycle so far.
    pub lifecycle_complete: bool,
    /// The lines.
    #[serde(default)]
    pub lifecycle: Vec<LifecycleLine>,
    /// The plan.
    pub plan: Option<Plan>,
    /// Energy of the lifecycle.
    pub energy: Option<Energy>,
    /// Executed over counted, where recomputation was used; both integers.
    pub recompute_factor: Option<Fraction>,
    /// Sites.
    #[serde(default)]
    pub sites: Vec<Site>,
    /// The report before this one.
    pub earlier_report: Option<EarlierReport>,
}

impl Declarations {
    /// Parses and checks the member. Serde refuses a field that stands twice.
    ///
    /// # Errors
    /// [`DeclarationsError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DeclarationsError> {
        if bytes.len() > MAX_DECLARATIONS_BYTES {
            return Err(DeclarationsError::TooLong(bytes.len()));
        }
        let declarations: Self = from_slice_by_name(bytes).map_err(DeclarationsError::Json)?;
        declarations.check()?;
        Ok(declarations)
    }

    fn check(&self) -> Result<(), DeclarationsError> {
        let fault = DeclarationsError::Field;
        if self.format != FORMAT {
            return Err(fault("format is not `weighbridge/declarations/v1`"));
        }
        let lists = [
            self.model.versions.len(),
            self.model.dependencies.len(),
            self.base_models.len(),
            self.lifecycle.len(),
            self.sites.len(),
            self.earlier_report.as_ref().map_or(0, |earlier| earlier.changes.len()),
        ];
        if lists.into_iter().any(|entries| entries > MAX_ENTRIES) {
            return Err(fault("a list has more than 256 entries"));
        }
        if self.texts().any(|text| text.trim().is_empty() || text.len() > MAX_TEXT) {
            return Err(fault("a text is empty or has more than 2,000 bytes"));
        }
        if self.period.is_some_and(|period| period.from > period.to) {
            return Err(fault("the period ends before it begins"));
        }
        if self.plan.is_some_and(|plan| plan.ends_at.is_some_and(|end| end < plan.committed_at)) {
            return Err(fault("the plan ends before it was committed to"));
        }
        let factor = self.recompute_factor;
        if factor.is_some_and(|Fraction { numerator, denominator }| denominator == 0 || numerator < denominator) {
            return Err(fault("recompute_factor is executed over counted: the first integer is not below the second"));
        }
        let reversed =
            |base: &BaseModel| matches!(base.compute, BaseCompute::Interval(bounds) if bounds.low > bounds.high);
        if self.base_models.iter().any(reversed) {
            return Err(fault("the interval of a base model is reversed"));
        }
        for (position, line) in self.lifecycle.iter().enumerate() {
            estimate_of(line).map_err(|why| DeclarationsError::Line { line: position + 1, why })?;
        }
        Ok(())
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let Self { provider, model, base_models, lifecycle, sites, earlier_report, energy, .. } = self;
        let optional = [&provider.representative, &model.released, &model.architecture];
        let own = [&provider.legal_name, &provider.contact, &model.id].into_iter();
        own.chain(optional.into_iter().flatten())
            .chain(&model.versions)
            .chain(&model.dependencies)
            .chain(base_models.iter().flat_map(|base| [&base.name, &base.source]))
            .chain(lifecycle.iter().flat_map(|line| line.note.iter().chain([&line.phase]).chain(line.method.texts())))
            .chain(energy.iter().map(|energy| &energy.method))
            .chain(sites.iter().flat_map(|site| [&site.name, &site.sku]))
            .chain(earlier_report.iter().flat_map(|earlier| &earlier.changes))
            .map(String::as_str)
    }

    /// When the planned end is, in milliseconds.
    #[must_use]
    pub fn planned_end(&self) -> Option<UnixMillis> {
        self.plan?.ends_at.map(|end| end.0)
    }
}

#[cfg(test)]
mod tests;
