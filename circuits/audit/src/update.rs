//! **Duty.** Optimizer updates at one element: SGD with momentum, and AdamW by multiplication. **Knows** the numbers that
//! the operation states. **Does not know** whether they are those of the run's schedule: see [`crate::boundary`].
//! **Spec.** CIRCUITS §6 group 3; docs/trace-format.md (Rules); the definitions of PyTorch's `SGD` and `AdamW`.
//!
//! A framework may round to the state's format after every elementary operation (the plain loops of PyTorch) or only once
//! at the end (fused kernels): the bound is that of the first. AdamW's decay is the exception: in a narrow format a bound of
//! two roundings is wider than most updates, and unchanged weights would pass; so the few numbers that a kernel can have
//! made of the decayed parameter are tried one by one, each followed by one rounding. State that was stored is taken as it
//! stands, not as it should be: its own entry is checked apart.

use crate::approx::{Approx, power};
use crate::link::elements::{Elements, Fault};
use crate::link::plain::wider;
use crate::link::{Ruled, Verdict, Why, judge};
use crate::trace::{AdamW, FloatFormat, Sgd};

/// One element of an SGD update: of the parameter, or of the momentum.
pub(crate) fn sgd(elements: &Elements<'_>, numbers: &Sgd, output: &str, entry: u64) -> Ruled {
    let Sgd { lr, momentum, dampening, weight_decay, nesterov } = *numbers;
    let format = elements.format(elements.output("param")?)?;
    let compute = wider(format);
    let parameter = Approx::exact(elements.number("param", entry)?);
    let gradient = Approx::exact(elements.number("grad", entry)?);
    let decayed = if weight_decay == 0.0 {
        gradient
    } else {
        gradient.plus(Approx::held(weight_decay, format).times(parameter).rounded(compute)).stored(format)
    };
    let mut direction = decayed;
    if momentum != 0.0 {
        let wanted = match elements.operation.input("momentum") {
            Some(_) => {
                let kept = Approx::held(momentum, format).times(Approx::exact(elements.number("momentum", entry)?));
                let added = Approx::held(1.0 - dampening, format).times(decayed).rounded(compute);
                kept.stored(format).plus(added).stored(format)
            }
            // The first update stores the direction itself.
            None => decayed,
        };
        let stored = elements.result("momentum", entry)?;
        if output == "momentum" {
            return judge(stored, wanted);
        }
        let stored = Approx::exact(stored);
        direction = if nesterov {
            decayed.plus(Approx::held(momentum, format).times(stored).rounded(compute)).stored(format)
        } else {
            stored
        };
    } else if output == "momentum" {
        return Err(Fault::Absent);
    }
    let update = Approx::held(lr, format).times(direction).rounded(compute);
    judge(elements.result("param", entry)?, parameter.minus(update).stored(format))
}

/// One element of an AdamW update: of the parameter or of a moment.
pub(crate) fn adamw(elements: &Elements<'_>, numbers: &AdamW, output: &str, entry: u64) -> Ruled {
    let AdamW { beta1, beta2, .. } = *numbers;
    let format = elements.format(elements.output("param")?)?;
    let gradient = Approx::exact(elements.number("grad", entry)?);
    // Moments that do not exist before the first update are zero.
    let before = |role: &str| match elements.operation.input(role) {
        Some(_) => elements.number(role, entry).map(Approx::exact),
        None => Ok(Approx::exact(0.0)),
    };
    match output {
        "exp_avg" => {
            let kept = Approx::held(beta1, format).times(before(output)?).stored(format);
            let added = Approx::held(1.0 - beta1, format).times(gradient).stored(format);
            judge(elements.result(output, entry)?, kept.plus(added).stored(format))
        }
        "exp_avg_sq" => {
            let kept = Approx::held(beta2, format).times(before(output)?).stored(format);
            let added = Approx::held(1.0 - beta2, format).times(gradient).stored(format).times(gradient).stored(format);
            judge(elements.result(output, entry)?, kept.plus(added).stored(format))
        }
        _ => adamw_parameter(elements, numbers, format, entry),
    }
}

/// `(p·(1 − lr·decay) − out) · (√v/√(1 − β₂ᵗ) + ε) = m · lr/(1 − β₁ᵗ)`: no division by what may be small.
fn adamw_parameter(elements: &Elements<'_>, numbers: &AdamW, format: FloatFormat, entry: u64) -> Ruled {
    let AdamW { lr, beta1, beta2, eps, weight_decay, step } = *numbers;
    let parameter = Approx::exact(elements.number("param", entry)?);
    let found = elements.result("param", entry)?;
    let (first, second) = (elements.result("exp_avg", entry)?, elements.result("exp_avg_sq", entry)?);
    if second < 0.0 {
        return Err(Fault::Why(Why::NotFinite));
    }
    let root = Approx::exact(second.sqrt()).stored(format);
    let corrected = root.times(Approx::held(1.0 / (1.0 - power(beta2, step)).sqrt(), format)).stored(format);
    let denominator = corrected.plus(Approx::held(eps, format)).stored(format);
    let numerator =
        Approx::exact(first).times(Approx::held(lr / (1.0 - power(beta1, step)), format)).stored(format).stored(format);
    let mut refused = None;
    for decayed in decayed(parameter, 1.0 - lr * weight_decay, format) {
        // The last addition was rounded at the size of what it added to, or of its result.
        let size = decayed.value.abs().max(found.abs()) + decayed.error;
        let last = Approx { value: size, error: 0.0 }.stored(format).error;
        let moved = decayed.minus(Approx::exact(found));
        let left = Approx { value: moved.value, error: moved.error + last }.times(denominator);
        let is_finite = |approx: Approx| approx.value.is_finite() && approx.error.is_finite();
        if !is_finite(left) || !is_finite(numerator) {
            return Err(Fault::Why(Why::NotFinite));
        }
        // For a person: what the update should have been, where dividing is harmless.
        let update = numerator.value / denominator.value;
        let allowed = (left.error + numerator.error) / denominator.value;
        if left.meets(numerator) {
            // One rounding is all that a format lets anybody know; two of them are too many for a smaller update.
            let is_sharp = decayed.error < last / 2.0 || update.abs() >= allowed;
            return Ok(if is_sharp {
                Verdict::Accepted
            } else {
                Verdict::NotProven("the update is smaller than what rounding may lose of it")
            });
        }
        refused = refused.or(Some(Why::Differs { found, wanted: decayed.value - update, allowed }));
    }
    Err(refused.map_or(Fault::Absent, Fault::Why))
}

/// What a kernel can have made of a parameter by decay, with errors far below a rounding in a narrow format: the factor as
/// it is, in F32, or in the format; the product as it is in F32 (fused), or stored. A factor of 1 changes nothing.
fn decayed(parameter: Approx, factor: f64, format: FloatFormat) -> Vec<Approx> {
    if factor == 1.0 {
        return vec![parameter];
    }
    let exact = Approx::exact(factor);
    let bound = parameter.times(Approx::held(factor, format)).stored(format);
    match format {
        FloatFormat::F64 => return vec![bound],
        // One rounding, of the product with either factor; where another order rounded a tie the other way, the bound.
        FloatFormat::F32 => {
            let products = [exact, exact.nearest(format)].map(|factor| Approx::exact(parameter.value * factor.value));
            return products.into_iter().map(|product| product.nearest(format)).chain([bound]).collect();
        }
        FloatFormat::Bf16 | FloatFormat::F16 => {}
    }
    let factors = [exact, exact.nearest(FloatFormat::F32), exact.nearest(format)];
    let products = factors.map(|factor| Approx::exact(parameter.value * factor.value));
    products.iter().flat_map(|product| [product.rounded(FloatFormat::F32), stored_once(*product, format)]).collect()
}

/// Rounded to F32 and then to the format, to nearest both times.
fn stored_once(product: Approx, format: FloatFormat) -> Approx {
    let Approx { value, error } = product.nearest(FloatFormat::F32);
    let stored = Approx::exact(value).nearest(format);
    Approx { error: stored.error + error, ..stored }
}
