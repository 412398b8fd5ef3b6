//! **Duty.** The methods of the guidelines' Annex A.2 as integers, each ambiguity named: a peak has a basis, a
//! utilisation a definition. **Does not know** margins. **Spec.** COMPUTE §5, §7.

use serde::{Deserialize, Serialize};

use crate::Flops;

const WHOLE_IN_BASIS_POINTS: u128 = 10_000;
const BEYOND: &str = "the method's product is beyond 128 bits";

/// How an amount was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Annex A.2.1: units × seconds × peak × utilisation.
    Hardware(Hardware),
    /// Annex A.2.2: passes over an architecture.
    Architecture(Architecture),
    /// Read from counters.
    Counter(String),
    /// Something else, described.
    Other(String),
}

/// Annex A.2.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// N: accelerators.
    pub units: u64,
    /// L: seconds.
    pub seconds: u64,
    /// H: FLOP per second at the peak of the stated basis.
    pub peak_flop_per_second: Flops,
    /// What H is a peak of: the candidates of one accelerator differ by a factor of eight.
    pub h_basis: PeakBasis,
    /// U in hundredths of a percent.
    pub utilisation_basis_points: u32,
    /// What U is a share of: occupancy, tensor activity or model utilisation differ by a factor of five.
    pub u_definition: String,
}

/// What a peak rate is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeakBasis {
    /// Such as `bf16`.
    pub precision: String,
    /// Dense or sparse.
    pub sparsity: Sparsity,
    /// Exact model of the accelerator.
    pub sku: String,
    /// Where the figure is printed.
    pub source: String,
}

/// Whether skipped zeros are counted in a peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sparsity {
    /// They are not.
    Dense,
    /// They are.
    Sparse,
}

/// Annex A.2.2 for a dense transformer: 6·P·D per pass, and 12·layers·width·context per token for attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// P.
    pub parameters: u64,
    /// Which parameters P are, where experts are mixed.
    pub parameter_count: ParameterCount,
    /// D: tokens of one pass over the data.
    pub tokens: u64,
    /// Passes over the data.
    pub epochs: u32,
    /// The term that is left out where P is much greater than context/12.
    pub attention: Option<Attention>,
}

/// Which parameters are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterCount {
    /// A dense model: all of them work on every token.
    Dense,
    /// Mixture of experts, all parameters.
    Total,
    /// Mixture of experts, those that work on a token.
    Active,
}

/// Attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Layers.
    pub layers: u32,
    /// Width.
    pub d_model: u32,
    /// Context, tokens.
    pub context: u64,
}

/// What a method's factors come to: the exact product lies between, and a fraction of a FLOP is rounded outwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    /// Rounded down.
    pub(super) low: Flops,
    /// Rounded up.
    pub(super) high: Flops,
}

impl Method {
    /// The product, for methods that have one.
    pub(super) fn product(&self) -> Result<Option<Product>, &'static str> {
        match self {
            Self::Hardware(hardware) => hardware.product().map(Some),
            Self::Architecture(architecture) => {
                let exact = architecture.product().ok_or(BEYOND)?;
                Ok(Some(Product { low: exact, high: exact }))
            }
            Self::Counter(_) | Self::Other(_) => Ok(None),
        }
    }

    /// In words, with the annex section.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Hardware(Hardware {
                units,
                seconds,
                peak_flop_per_second,
                h_basis,
                utilisation_basis_points,
                u_definition,
            }) => {
                let PeakBasis { precision, sparsity, sku, source } = h_basis;
                let sparsity = if *sparsity == Sparsity::Dense { "dense" } else { "sparse" };
                let (whole, part) = (utilisation_basis_points / 100, utilisation_basis_points % 100);
                format!(
                    "Annex A.2.1: {units} units × {seconds} s × {peak_flop_per_second} FLOP/s ({precision} {sparsity}, {sku}; {source}) \
                     × {whole}.{part:02} % ({u_definition})"
                )
            }
            Self::Architecture(Architecture { parameters, parameter_count, tokens, epochs, attention }) => {
                let which = match parameter_count {
                    ParameterCount::Dense => "dense",
                    ParameterCount::Total => "all experts",
                    ParameterCount::Active => "active per token",
                };
                let attention = attention.map_or_else(String::new, |Attention { layers, d_model, context }| {
                    format!(" + 12 × {layers} layers × {d_model} × {context} per token")
                });
                format!(
                    "Annex A.2.2: 6 × {parameters} parameters ({which}) × {tokens} tokens × {epochs} passes over the data{attention}"
                )
            }
            Self::Counter(words) => format!("counters: {words}"),
            Self::Other(words) => words.clone(),
        }
    }

    pub(super) fn texts(&self) -> Vec<&String> {
        match self {
            Self::Hardware(Hardware { h_basis: PeakBasis { precision, sku, source, .. }, u_definition, .. }) => {
                vec![precision, sku, source, u_definition]
            }
            Self::Architecture(_) => Vec::new(),
            Self::Counter(words) | Self::Other(words) => vec![words],
        }
    }
}

impl Hardware {
    fn product(&self) -> Result<Product, &'static str> {
        if u128::from(self.utilisation_basis_points) > WHOLE_IN_BASIS_POINTS {
            return Err("a utilisation is at most 10,000 basis points");
        }
        let product = u128::from(self.units)
            .checked_mul(u128::from(self.seconds))
            .and_then(|seconds| seconds.checked_mul(self.peak_flop_per_second.0))
            .and_then(|peak| peak.checked_mul(u128::from(self.utilisation_basis_points)))
            .ok_or(BEYOND)?;
        let (low, high) = (product / WHOLE_IN_BASIS_POINTS, product.div_ceil(WHOLE_IN_BASIS_POINTS));
        Ok(Product { low: Flops(low), high: Flops(high) })
    }
}

impl Architecture {
    fn product(&self) -> Option<Flops> {
        let tokens = u128::from(self.tokens).checked_mul(u128::from(self.epochs))?;
        let per_token = u128::from(self.parameters).checked_mul(6)?;
        let attention = match self.attention {
            None => 0,
            Some(Attention { layers, d_model, context }) => u128::from(layers)
                .checked_mul(12)?
                .checked_mul(u128::from(d_model))?
                .checked_mul(u128::from(context))?,
        };
        Some(Flops(per_token.checked_add(attention)?.checked_mul(tokens)?))
    }
}
