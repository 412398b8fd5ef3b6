//! **Duty.** Elements of an operation's operands and outputs, by role and place in their view. **Does not know** rules.

use crate::link::Why;
use crate::trace::{FloatFormat, Operand, Operation, SourceError, Trace, decode_index};

/// An operation with its trace.
pub(crate) struct Elements<'t> {
    pub(crate) trace: &'t Trace<'t>,
    pub(crate) operation: &'t Operation,
}

/// Why a rule has no answer of its own.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The entry is refused.
    Why(Why),
    /// The bytes are not to be had.
    Source(SourceError),
    /// An operand that the rule needs and the form does not have: a fault of ours, answered like unreadable bytes.
    Absent,
}

/// One element: its bytes and data type.
pub(crate) struct Cell {
    bytes: [u8; 8],
    length: usize,
    dtype: &'static str,
}

impl From<SourceError> for Fault {
    fn from(source: SourceError) -> Self {
        Self::Source(source)
    }
}

impl Cell {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// As a number; infinities and NaN are refused.
    pub(crate) fn number(&self) -> Result<f64, Fault> {
        let format = FloatFormat::of(self.dtype).ok_or(Fault::Absent)?;
        let value = format.decode(self.bytes()).ok_or(Fault::Absent)?;
        if value.is_finite() { Ok(value) } else { Err(Fault::Why(Why::NotFinite)) }
    }

    /// As an index; `None` below zero.
    pub(crate) fn index(&self) -> Option<u64> {
        decode_index(self.dtype, self.bytes())
    }
}

impl<'t> Elements<'t> {
    pub(crate) fn input(&self, role: &str) -> Result<&'t Operand, Fault> {
        self.operation.input(role).ok_or(Fault::Absent)
    }

    pub(crate) fn output(&self, role: &str) -> Result<&'t Operand, Fault> {
        self.operation.output(role).ok_or(Fault::Absent)
    }

    pub(crate) fn format(&self, operand: &Operand) -> Result<FloatFormat, Fault> {
        self.trace.tensor(operand.tensor).and_then(|tensor| FloatFormat::of(tensor.dtype)).ok_or(Fault::Absent)
    }

    /// The element at a place of the tensor.
    pub(crate) fn at(&self, operand: &Operand, place: Option<u64>) -> Result<Cell, Fault> {
        let tensor = self.trace.tensor(operand.tensor).ok_or(Fault::Absent)?;
        let length = usize::try_from(tensor.element_bytes()).unwrap_or(usize::MAX);
        let mut cell = Cell { bytes: [0; 8], length, dtype: tensor.dtype };
        let into = cell.bytes.get_mut(..length).ok_or(Fault::Absent)?;
        self.trace.read(operand.tensor, place.ok_or(Fault::Absent)?, into)?;
        Ok(cell)
    }

    /// The `index`-th element of a view.
    pub(crate) fn cell(&self, operand: &Operand, index: u64) -> Result<Cell, Fault> {
        self.at(operand, operand.view.place(index))
    }

    /// The `index`-th element of an operand, as a number.
    pub(crate) fn number(&self, role: &str, index: u64) -> Result<f64, Fault> {
        self.cell(self.input(role)?, index)?.number()
    }

    /// The `index`-th element of an output, as a number.
    pub(crate) fn result(&self, role: &str, index: u64) -> Result<f64, Fault> {
        self.cell(self.output(role)?, index)?.number()
    }
}
