//! **Duty.** The links between products: whether one entry of an operation's output is what its operands give. **Knows**
//! the rules of identity-like operations, sums, activations, loss gradients, clipping and updates. **Does not know**
//! which entries are asked: see [`crate::trial`]. **Spec.** CIRCUITS §6 groups 1–3; docs/trace-format.md (Rules);
//! decision 0041.
//!
//! Identity-like operations keep every bit. All others are held to the number that they stand for, within the roundings
//! that a framework makes on the way (`Approx`). An operation that is not covered is answered [`Verdict::Declared`].

pub(crate) mod elements;
mod loss;
pub(crate) mod plain;
mod whole;

use std::collections::BTreeMap;
use std::fmt;

use crate::approx::Approx;
use crate::link::elements::{Elements, Fault};
use crate::link::whole::Whole;
use crate::trace::{Kind, Operation, SourceError, Trace};
use crate::update;

/// What a check of one entry comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is what the operands give.
    Accepted,
    /// It is not.
    Refused(Refusal),
    /// The bound is too wide to say.
    NotProven(&'static str),
    /// The operation is not covered: `declared`.
    Declared,
}

/// Why an entry is not what its operands give.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The operation.
    pub operation: String,
    /// Which of its outputs.
    pub output: String,
    /// Which element of it.
    pub entry: u64,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// Other bits than those that were to be kept.
    OtherBits,
    /// Another number.
    Differs {
        /// The entry.
        found: f64,
        /// What the operands give.
        wanted: f64,
        /// How far it may lie from that.
        allowed: f64,
    },
    /// An infinity or NaN, in the entry or in what it depends on.
    NotFinite,
    /// An index beyond its table or its classes.
    Index {
        /// The index.
        found: u64,
        /// Rows or classes.
        rows: u64,
    },
}

/// Checks entries of one trace; sums over whole tensors are made once.
#[derive(Debug)]
pub struct Links<'t> {
    trace: &'t Trace<'t>,
    wholes: BTreeMap<usize, Whole>,
}

/// What a rule says of an entry, or that reading failed.
pub(crate) type Ruled = Result<Verdict, Fault>;

impl<'t> Links<'t> {
    /// Nothing summed yet.
    #[must_use]
    pub const fn new(trace: &'t Trace<'t>) -> Self {
        Self { trace, wholes: BTreeMap::new() }
    }

    /// Whether element `entry` of an output is what the operation's operands give. A product's entries are not answered
    /// here but with their tile: they are [`Verdict::Declared`] to this check.
    ///
    /// # Errors
    /// [`SourceError`] when the tensors cannot be read; `None` of an operation, output or entry that the trace does not
    /// have is an error of the same kind.
    pub fn check(&mut self, operation: usize, output: usize, entry: u64) -> Result<Verdict, SourceError> {
        let absent = || SourceError { offset: entry, length: 0, why: "the trace has no such entry".to_owned() };
        let found = self.trace.operations().get(operation).ok_or_else(absent)?;
        let (role, operand) = found.outputs().nth(output).ok_or_else(absent)?;
        if entry >= operand.view.elements() {
            return Err(absent());
        }
        let whole = self.whole(operation, found)?;
        let elements = Elements { trace: self.trace, operation: found };
        let ruled = rule(&elements, &whole, role, entry);
        let refused = |why| {
            let (operation, output) = (found.name.clone(), role.to_owned());
            Ok(Verdict::Refused(Refusal { operation, output, entry, why }))
        };
        match ruled {
            Ok(Verdict::Refused(refusal)) => refused(refusal.why),
            Ok(verdict) => Ok(verdict),
            Err(Fault::Why(why)) => refused(why),
            Err(Fault::Source(source)) => Err(source),
            Err(Fault::Absent) => Err(absent()),
        }
    }

    fn whole(&mut self, place: usize, operation: &Operation) -> Result<Whole, SourceError> {
        if let Some(whole) = self.wholes.get(&place) {
            return Ok(*whole);
        }
        let whole = Whole::of(&Elements { trace: self.trace, operation })?;
        self.wholes.insert(place, whole);
        Ok(whole)
    }
}

fn rule(elements: &Elements<'_>, whole: &Whole, output: &str, entry: u64) -> Ruled {
    match elements.operation.kind {
        Kind::View => plain::view(elements, entry),
        Kind::Gather => plain::gather(elements, entry),
        Kind::Concat { dim } => plain::concat(elements, dim, entry),
        Kind::Cast => plain::cast(elements, entry),
        Kind::Fill { value } => plain::fill(elements, value, entry),
        Kind::Add { alpha } => plain::add(elements, alpha, entry),
        Kind::Scale { by } => plain::scale(elements, by, entry),
        Kind::Relu => plain::relu(elements, entry),
        Kind::ReluGrad => plain::relu_grad(elements, entry),
        Kind::ColumnSum => plain::column_sum(elements, entry),
        Kind::CrossEntropyGrad(reduction) => loss::cross_entropy(elements, whole, reduction, entry),
        Kind::MseGrad(reduction) => loss::mse(elements, reduction, entry),
        Kind::Clip { max_norm } => whole::clip(elements, whole, max_norm, output, entry),
        Kind::Sgd(numbers) => update::sgd(elements, &numbers, output, entry),
        Kind::AdamW(numbers) => update::adamw(elements, &numbers, output, entry),
        Kind::Matmul(_) | Kind::Opaque { .. } => Ok(Verdict::Declared),
    }
}

/// The verdict on a number.
pub(crate) fn judge(found: f64, bound: Approx) -> Ruled {
    if !found.is_finite() || !bound.value.is_finite() || !bound.error.is_finite() {
        return Err(Fault::Why(Why::NotFinite));
    }
    if bound.holds(found) {
        return Ok(Verdict::Accepted);
    }
    Err(Fault::Why(Why::Differs { found, wanted: bound.value, allowed: bound.error }))
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBits => f.write_str("has other bits than what it is a copy of"),
            Self::Differs { found, wanted, allowed } => {
                write!(f, "is {found:e}; its operands give {wanted:e}, give or take {allowed:e}")
            }
            Self::NotFinite => f.write_str("is infinite or no number, or depends on one"),
            Self::Index { found, rows } => write!(f, "has index {found} into {rows} rows"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, output, entry, why } = self;
        write!(f, "{operation}: entry {entry} of `{output}` {why}")
    }
}

#[cfg(test)]
mod tests;
