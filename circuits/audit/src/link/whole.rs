//! **Duty.** What a rule needs of whole tensors: how many targets count, the common norm of gradients; and the rule of
//! clipping, which needs little else. **Spec.** docs/trace-format.md (Rules).

use crate::approx::Approx;
use crate::link::elements::{Elements, Fault};
use crate::link::{Ruled, Why, judge};
use crate::trace::{Kind, Operand, SourceError};

/// Added to the norm before dividing, as PyTorch's `clip_grad_norm_` does.
const NORM_FLOOR: f64 = 1e-6;

/// Sums over whole tensors of one operation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Whole {
    /// Targets that are not below zero.
    pub(super) targets: u64,
    /// √Σx² over all operands; NaN when one is not finite.
    norm: f64,
}

impl Whole {
    pub(super) fn of(elements: &Elements<'_>) -> Result<Self, SourceError> {
        let summed = match elements.operation.kind {
            Kind::CrossEntropyGrad(_) => targets(elements).map(|targets| Self { targets, ..Self::default() }),
            Kind::Clip { .. } => norm(elements).map(|norm| Self { norm, ..Self::default() }),
            _ => Ok(Self::default()),
        };
        match summed {
            Ok(whole) => Ok(whole),
            Err(Fault::Source(source)) => Err(source),
            // Entries that are no numbers refuse each entry that depends on them.
            Err(Fault::Why(_) | Fault::Absent) => Ok(Self { targets: 0, norm: f64::NAN }),
        }
    }
}

fn targets(elements: &Elements<'_>) -> Result<u64, Fault> {
    let targets = elements.input("targets")?;
    let mut count = 0u64;
    for index in 0..targets.view.elements() {
        count = count.saturating_add(u64::from(elements.cell(targets, index)?.index().is_some()));
    }
    Ok(count)
}

fn norm(elements: &Elements<'_>) -> Result<f64, Fault> {
    let mut squares = 0.0;
    for (_, operand) in elements.operation.inputs() {
        squares += squares_of(elements, operand)?;
    }
    Ok(squares.sqrt())
}

fn squares_of(elements: &Elements<'_>, operand: &Operand) -> Result<f64, Fault> {
    let mut squares = 0.0;
    for index in 0..operand.view.elements() {
        let value = elements.cell(operand, index)?.number()?;
        squares += value * value;
    }
    Ok(squares)
}

/// `in · min(1, max_norm / (norm + 10⁻⁶))`.
pub(super) fn clip(elements: &Elements<'_>, whole: &Whole, max_norm: f64, output: &str, entry: u64) -> Ruled {
    let format = elements.format(elements.output(output)?)?;
    if !whole.norm.is_finite() {
        return Err(Fault::Why(Why::NotFinite));
    }
    let ratio = max_norm / (whole.norm + NORM_FLOOR);
    // Norms of tensors, their common norm, the sum with the floor and the quotient are each rounded to the format.
    let relative = 8.0 * format.half_step(1.0) + f64::from(f32::EPSILON) * 8.0;
    let (value, found) = (elements.number(output, entry)?, elements.result(output, entry)?);
    let coefficient = if ratio > 1.0 + relative {
        Approx::exact(1.0)
    } else {
        Approx { value: ratio.min(1.0), error: ratio.min(1.0) * relative }
    };
    let bound = Approx::exact(value).times(coefficient);
    judge(found, if coefficient.error == 0.0 { bound } else { bound.stored(format) })
}
