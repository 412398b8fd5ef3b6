//! **Duty.** Rules of operations whose entries depend on few others: copies, casts, sums, products, ReLU, column sums.
//! **Spec.** docs/trace-format.md (Rules).

use crate::approx::Approx;
use crate::link::elements::{Cell, Elements, Fault};
use crate::link::{Ruled, Verdict, Why, judge};
use crate::trace::FloatFormat;

/// λ·κ of the probabilistic model of CIRCUITS §5, for sums that a framework makes in F32 in an order of its own.
const SUM_FACTOR: f64 = 24.0;
/// An entry is informative when its bound is at most this share of what a sum of random signs would have.
const INFORMATIVE: f64 = 0.05;

fn same(wanted: &Cell, found: &Cell) -> Ruled {
    if wanted.bytes() == found.bytes() { Ok(Verdict::Accepted) } else { Err(Fault::Why(Why::OtherBits)) }
}

pub(super) fn view(elements: &Elements<'_>, entry: u64) -> Ruled {
    let found = elements.cell(elements.output("out")?, entry)?;
    same(&elements.cell(elements.input("in")?, entry)?, &found)
}

pub(super) fn gather(elements: &Elements<'_>, entry: u64) -> Ruled {
    let table = elements.input("table")?;
    let [rows, width] = table.view.shape() else { return Err(Fault::Absent) };
    let (at, column) = (entry.checked_div(*width), entry.checked_rem(*width));
    let (Some(at), Some(column)) = (at, column) else { return Err(Fault::Absent) };
    let row = elements.cell(elements.input("index")?, at)?.index().unwrap_or(u64::MAX);
    if row >= *rows {
        return Err(Fault::Why(Why::Index { found: row, rows: *rows }));
    }
    let found = elements.cell(elements.output("out")?, entry)?;
    same(&elements.at(table, table.view.at(&[row, column]))?, &found)
}

pub(super) fn concat(elements: &Elements<'_>, dim: usize, entry: u64) -> Ruled {
    let out = elements.output("out")?;
    let mut coordinates = Vec::with_capacity(out.view.shape().len());
    let mut rest = entry;
    for extent in out.view.shape().iter().rev() {
        coordinates.push(rest.checked_rem(*extent).ok_or(Fault::Absent)?);
        rest = rest.checked_div(*extent).ok_or(Fault::Absent)?;
    }
    coordinates.reverse();
    for (_, part) in elements.operation.inputs() {
        let length = part.view.shape().get(dim).copied().ok_or(Fault::Absent)?;
        let along = coordinates.get_mut(dim).ok_or(Fault::Absent)?;
        if *along < length {
            let wanted = elements.at(part, part.view.at(&coordinates))?;
            return same(&wanted, &elements.cell(out, entry)?);
        }
        *along = along.saturating_sub(length);
    }
    Err(Fault::Absent)
}

pub(super) fn cast(elements: &Elements<'_>, entry: u64) -> Ruled {
    let (input, out) = (elements.input("in")?, elements.output("out")?);
    let (from, to) = (elements.format(input)?, elements.format(out)?);
    let value = Approx::exact(elements.cell(input, entry)?.number()?);
    // Each number of a narrower format is one of a wider format too; F16 reaches below no other, and BF16 beyond F16.
    let keeps = from == to
        || to == FloatFormat::F64
        || (to == FloatFormat::F32 && matches!(from, FloatFormat::Bf16 | FloatFormat::F16));
    judge(elements.result("out", entry)?, if keeps { value } else { value.rounded(to) })
}

pub(super) fn fill(elements: &Elements<'_>, value: f64, entry: u64) -> Ruled {
    let format = elements.format(elements.output("out")?)?;
    judge(elements.result("out", entry)?, Approx::exact(value).stored(format))
}

pub(super) fn add(elements: &Elements<'_>, alpha: f64, entry: u64) -> Ruled {
    let format = elements.format(elements.output("out")?)?;
    let (a, b) = (elements.number("a", entry)?, elements.number("b", entry)?);
    let other = if alpha.abs() == 1.0 {
        Approx::exact(alpha * b)
    } else {
        Approx::held(alpha, format).times(Approx::exact(b)).rounded(wider(format))
    };
    judge(elements.result("out", entry)?, Approx::exact(a).plus(other).stored(format))
}

pub(super) fn scale(elements: &Elements<'_>, by: Option<f64>, entry: u64) -> Ruled {
    let format = elements.format(elements.output("out")?)?;
    let factor = match by {
        Some(by) => Approx::held(by, format),
        None => Approx::exact(elements.number("factor", entry)?),
    };
    judge(elements.result("out", entry)?, Approx::exact(elements.number("in", entry)?).times(factor).stored(format))
}

pub(super) fn relu(elements: &Elements<'_>, entry: u64) -> Ruled {
    let value = elements.number("in", entry)?;
    judge(elements.result("out", entry)?, Approx::exact(value.max(0.0)))
}

pub(super) fn relu_grad(elements: &Elements<'_>, entry: u64) -> Ruled {
    let (x, grad) = (elements.number("x", entry)?, elements.number("grad", entry)?);
    judge(elements.result("out", entry)?, Approx::exact(if x > 0.0 { grad } else { 0.0 }))
}

pub(super) fn column_sum(elements: &Elements<'_>, entry: u64) -> Ruled {
    let input = elements.input("in")?;
    let [rows, _] = input.view.shape() else { return Err(Fault::Absent) };
    let (mut sum, mut magnitude, mut squares) = (0.0f64, 0.0f64, 0.0f64);
    for row in 0..*rows {
        let value = elements.at(input, input.view.at(&[row, entry]))?.number()?;
        sum += value;
        magnitude += value.abs();
        squares += value * value;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of rows below 2⁵⁶ whose root is taken")]
    let count = *rows as f64;
    let error = SUM_FACTOR * count.sqrt() * FloatFormat::F32.half_step(1.0) * magnitude;
    let bound = Approx { value: sum, error }.stored(elements.format(elements.output("out")?)?);
    let verdict = judge(elements.result("out", entry)?, bound)?;
    // A sum of so many terms that any small number would pass says nothing.
    if error > INFORMATIVE * squares.sqrt() {
        return Ok(Verdict::NotProven("the sum has too many terms for its bound to tell it from others"));
    }
    Ok(verdict)
}

/// The format in which a framework computes what it stores in `format`.
pub(crate) const fn wider(format: FloatFormat) -> FloatFormat {
    match format {
        FloatFormat::F64 => FloatFormat::F64,
        _ => FloatFormat::F32,
    }
}
