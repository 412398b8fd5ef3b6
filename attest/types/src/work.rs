//! **Duty.** What kinds of work there are when compute is counted, and what the law's annex says about each.
//! **Knows** the classes and their clause. **Does not know** amounts or thresholds. **Spec.** COMPUTE §4.

use serde::{Deserialize, Serialize};

use crate::Quantity;

/// What a phase of a model's life is, by the guidelines' annex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkClass {
    /// Pre-training, fine-tuning, reinforcement learning: anything that updates parameters.
    ParameterUpdates,
    /// Forward passes for synthetic data that are not public, discarded samples included.
    PrivateSyntheticData,
    /// Training compute of merged, averaged or initialising weights.
    InitialWeights,
    /// Synthetic data that are public.
    PublicSyntheticData,
    /// Evaluations, red-teaming.
    Diagnostics,
    /// Exploratory research and failed experiments.
    ExploratoryResearch,
    /// Training of the model that was distilled from.
    DistillationParent,
    /// Value and reward models.
    AuxiliaryModels,
    /// Activations computed again to save memory.
    Recomputation,
    /// Steps rolled back after a crash.
    RolledBackSteps,
}

/// Whether a class counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inclusion {
    /// It counts.
    Included,
    /// The annex does not require it; the amount is kept, so that a stricter reader can add it back.
    Excluded,
    /// The law is silent: it counts in the upper figure only.
    UpperOnly,
}

impl WorkClass {
    /// All of them, in the order of the annex.
    pub const ALL: [Self; 10] = [
        Self::ParameterUpdates,
        Self::PrivateSyntheticData,
        Self::InitialWeights,
        Self::PublicSyntheticData,
        Self::Diagnostics,
        Self::ExploratoryResearch,
        Self::DistillationParent,
        Self::AuxiliaryModels,
        Self::Recomputation,
        Self::RolledBackSteps,
    ];

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ParameterUpdates => "parameter updates",
            Self::PrivateSyntheticData => "forward passes for non-public synthetic data, discarded samples included",
            Self::InitialWeights => "training of merged, averaged or initialising weights",
            Self::PublicSyntheticData => "public synthetic data",
            Self::Diagnostics => "diagnostics",
            Self::ExploratoryResearch => "exploratory research and failed experiments",
            Self::DistillationParent => "distillation parent",
            Self::AuxiliaryModels => "auxiliary models",
            Self::Recomputation => "recomputation of activations",
            Self::RolledBackSteps => "steps rolled back after a crash",
        }
    }

    /// Whether the annex counts the class towards a quantity.
    #[must_use]
    pub const fn inclusion(self, quantity: Quantity) -> Inclusion {
        match (self, quantity) {
            (Self::ParameterUpdates, _) | (Self::PrivateSyntheticData | Self::InitialWeights, Quantity::Cumulative) => {
                Inclusion::Included
            }
            (Self::RolledBackSteps, _) => Inclusion::UpperOnly,
            _ => Inclusion::Excluded,
        }
    }

    /// The clause that says so.
    #[must_use]
    pub const fn clause(self) -> &'static str {
        match self {
            Self::RolledBackSteps => {
                "EU guidelines, Annex A.1, are silent; counted in the upper figure as our own rule"
            }
            Self::ParameterUpdates | Self::PrivateSyntheticData | Self::InitialWeights => {
                "EU guidelines, Annex A.1: included"
            }
            _ => "EU guidelines, Annex A.1: not required",
        }
    }
}
