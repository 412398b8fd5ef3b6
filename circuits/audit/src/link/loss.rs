//! **Duty.** Gradients of losses at one entry. **Knows** one row of logits. **Spec.** docs/trace-format.md (Rules): the
//! bounds follow what frameworks do, a log-softmax in F32 or in the logits' format, and its exponential.

use crate::approx::{Approx, exp_of_nonpositive, minus_ln};
use crate::link::elements::{Elements, Fault};
use crate::link::whole::Whole;
use crate::link::{Ruled, Verdict, Why, judge};
use crate::trace::{FloatFormat, Reduction};

/// An entry is informative when its bound is at most this share of it: its sign is known, and its size.
const INFORMATIVE: f64 = 0.25;
/// Or when the bound is at most this share of the gradient that a class without any chance has at its target: whatever
/// passes is as good as nothing.
const NEGLIGIBLE: f64 = 1.0 / 1024.0;

/// The upstream gradient of the loss: one number, 1 where the graph names none.
fn upstream(elements: &Elements<'_>) -> Result<f64, Fault> {
    match elements.operation.input("grad") {
        Some(grad) => elements.cell(grad, 0)?.number(),
        None => Ok(1.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of elements below 2⁵⁶, as a divisor")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// `(softmax(logits) − [class = target]) · grad / divisor`, 0 in rows whose target is below zero.
pub(super) fn cross_entropy(elements: &Elements<'_>, whole: &Whole, reduction: Reduction, entry: u64) -> Ruled {
    let (logits, out) = (elements.input("logits")?, elements.output("out")?);
    let [_, classes] = logits.view.shape() else { return Err(Fault::Absent) };
    let (row, class) = (entry.checked_div(*classes), entry.checked_rem(*classes));
    let (Some(row), Some(class)) = (row, class) else { return Err(Fault::Absent) };
    let found = elements.result("out", entry)?;
    let Some(target) = elements.cell(elements.input("targets")?, row)?.index() else {
        return judge(found, Approx::exact(0.0));
    };
    if target >= *classes {
        return Err(Fault::Why(Why::Index { found: target, rows: *classes }));
    }
    let mut row_logits = Vec::with_capacity(usize::try_from(*classes).unwrap_or_default().min(1 << 20));
    for class in 0..*classes {
        row_logits.push(elements.at(logits, logits.view.at(&[row, class]))?.number()?);
    }
    let largest = row_logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row_logits.iter().map(|logit| exp_of_nonpositive(logit - largest)).sum();
    let logit = usize::try_from(class).ok().and_then(|class| row_logits.get(class)).copied().ok_or(Fault::Absent)?;
    let share = exp_of_nonpositive(logit - largest) / sum;
    let divisor = match reduction {
        Reduction::Mean => float(whole.targets),
        Reduction::Sum => 1.0,
    };
    let scale = upstream(elements)? / divisor;

    // log-softmax: a difference, a sum of exponentials and its logarithm in F32, stored in the coarser format. What is
    // stored is the logarithm of the share, and that is known.
    let format = coarser(elements.format(logits)?, elements.format(out)?);
    let (step, own) = (FloatFormat::F32.half_step(1.0), format.half_step(1.0));
    let distance = (largest - logit) + minus_ln(1.0 / sum);
    let inner = step * (4.0 * distance + 8.0 + float(*classes).sqrt());
    let logarithm = inner + format.half_step(distance + inner);
    let hit = if class == target { 1.0 } else { 0.0 };
    let error = scale.abs() * (share * (logarithm + 8.0 * own) + hit * 4.0 * own);
    let bound = Approx { value: (share - hit) * scale, error }.stored(elements.format(out)?);
    let verdict = judge(found, bound)?;
    // Near its target a confident row's gradient is smaller than what a coarse format loses of it.
    if bound.error > INFORMATIVE * bound.value.abs() && error > NEGLIGIBLE * scale.abs() {
        return Ok(Verdict::NotProven("the gradient at the target is no larger than what rounding may lose of it"));
    }
    Ok(verdict)
}

/// `2 · (prediction − target) · grad / divisor`.
pub(super) fn mse(elements: &Elements<'_>, reduction: Reduction, entry: u64) -> Ruled {
    let out = elements.output("out")?;
    let format = elements.format(out)?;
    let (prediction, target) = (elements.number("prediction", entry)?, elements.number("target", entry)?);
    let factor = match reduction {
        Reduction::Mean => 2.0 / float(out.view.elements()),
        Reduction::Sum => 2.0,
    };
    let difference = Approx::exact(prediction).minus(Approx::exact(target)).stored(format);
    let scaled = Approx::held(factor, format).times(difference).stored(format);
    judge(elements.result("out", entry)?, scaled.times(Approx::exact(upstream(elements)?)).stored(format))
}

const fn coarser(a: FloatFormat, b: FloatFormat) -> FloatFormat {
    if a.precision() < b.precision() { a } else { b }
}
