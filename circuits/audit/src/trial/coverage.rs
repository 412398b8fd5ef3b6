//! **Duty.** How much of a trace is covered, in FLOP and in elements: a fact of its graph, whatever is drawn. **Knows** what
//! every operand goes back to. **Does not know** verdicts. **Spec.** PROTOCOL §1 (grades are not mixed); decision 0042.
//!
//! An operand is followed through covered links to products and to the edge of the trace. A link in between makes nothing
//! of a tensor from nowhere: all of what it computes counts as from nowhere.

use crate::trace::{FloatFormat, Kind, Operation, Origin, Tensor, Trace};

/// How much of a trace is covered, in FLOP and in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// FLOP of products.
    pub product_flop: u128,
    /// FLOP that uncovered operations state.
    pub declared_flop: u128,
    /// Uncovered operations that state none, or 0: where there is one, no share of FLOP is known.
    pub unstated: u64,
    /// Elements of all operands of products.
    pub operands: u128,
    /// Those that go back to no origin.
    pub unlinked: u128,
    /// Those that go back to an uncovered operation.
    pub declared: u128,
    /// Those that go back to floats of a batch: right for inputs, and where a weight could hide.
    pub batch: u128,
    /// Elements of all operands of covered links.
    pub link_operands: u128,
    /// Those that go back to no origin.
    pub link_unlinked: u128,
    /// Those that go back to an uncovered operation.
    pub link_declared: u128,
    /// Elements that covered links compute.
    pub linked_outputs: u128,
    /// Elements that uncovered operations compute.
    pub declared_outputs: u128,
}

/// What a tensor goes back to through links, besides checkpoint and products.
#[derive(Debug, Clone, Copy, Default)]
struct Roots {
    nowhere: bool,
    declared: bool,
    batch: bool,
}

impl Roots {
    fn of(tensor: &Tensor) -> Self {
        let is_float = FloatFormat::of(tensor.dtype).is_some();
        let nowhere = matches!(tensor.origin(), Some(Origin::Unlinked { .. }));
        Self { nowhere, declared: false, batch: is_float && matches!(tensor.origin(), Some(Origin::Batch(_))) }
    }

    const fn or(self, other: Self) -> Self {
        Self {
            nowhere: self.nowhere || other.nowhere,
            declared: self.declared || other.declared,
            batch: self.batch || other.batch,
        }
    }

    /// Of an operation's outputs. A product's operands are counted where it reads them.
    fn made_by(operation: &Operation, roots: &[Self]) -> Self {
        match operation.kind {
            Kind::Matmul(_) => Self::default(),
            Kind::Opaque { .. } => Self { declared: true, ..Self::default() },
            _ => {
                let inputs = operation.inputs().filter_map(|(_, operand)| roots.get(operand.tensor));
                inputs.fold(Self::default(), |all, one| all.or(*one))
            }
        }
    }
}

/// How much of a trace is covered: a fact of its graph, whatever is drawn.
#[must_use]
pub fn coverage(trace: &Trace<'_>) -> Coverage {
    let mut covered = Coverage::default();
    let mut roots: Vec<Roots> = trace.tensors().iter().map(Roots::of).collect();
    for operation in trace.operations() {
        covered.add(operation, &roots);
        let made = Roots::made_by(operation, &roots);
        for (_, output) in operation.outputs() {
            if let Some(slot) = roots.get_mut(output.tensor) {
                *slot = made;
            }
        }
    }
    covered
}

fn add(sum: &mut u128, elements: u128) {
    *sum = sum.saturating_add(elements);
}

impl Coverage {
    fn add(&mut self, operation: &Operation, roots: &[Roots]) {
        let outputs = u128::from(operation.link_weight());
        match (operation.kind, operation.flop()) {
            (Kind::Opaque { .. }, flop) => {
                add(&mut self.declared_outputs, outputs);
                match flop {
                    Some(flop) => add(&mut self.declared_flop, flop),
                    None => self.unstated = self.unstated.saturating_add(1),
                }
                return;
            }
            (Kind::Matmul(_), flop) => add(&mut self.product_flop, flop.unwrap_or_default()),
            _ => add(&mut self.linked_outputs, outputs),
        }
        for (_, operand) in operation.inputs() {
            let elements = u128::from(operand.view.elements());
            let found = roots.get(operand.tensor).copied().unwrap_or_default();
            let is_product = matches!(operation.kind, Kind::Matmul(_));
            let (all, nowhere, declared) = if is_product {
                (&mut self.operands, &mut self.unlinked, &mut self.declared)
            } else {
                (&mut self.link_operands, &mut self.link_unlinked, &mut self.link_declared)
            };
            add(all, elements);
            for (sum, is) in [(nowhere, found.nowhere), (declared, found.declared)] {
                if is {
                    add(sum, elements);
                }
            }
            if is_product && found.batch {
                add(&mut self.batch, elements);
            }
        }
    }

    /// Share of FLOP in products, in millionths, rounded down; `None` where an uncovered operation states none.
    #[must_use]
    pub fn covered_flop_millionths(&self) -> Option<u32> {
        let all = self.product_flop.saturating_add(self.declared_flop);
        (self.unstated == 0).then(|| millionths_down(self.product_flop, all))
    }

    /// Share of products' operands that go back to nowhere, in millionths, rounded up.
    #[must_use]
    pub fn unlinked_millionths(&self) -> u32 {
        millionths_up(self.unlinked, self.operands)
    }

    /// Share of products' operands that go back to floats of a batch, in millionths, rounded up.
    #[must_use]
    pub fn batch_millionths(&self) -> u32 {
        millionths_up(self.batch, self.operands)
    }

    /// Share of links' operands that go back to nowhere, in millionths, rounded up.
    #[must_use]
    pub fn unlinked_link_millionths(&self) -> u32 {
        millionths_up(self.link_unlinked, self.link_operands)
    }

    /// Share of links' operands that go back to an uncovered operation, in millionths, rounded up.
    #[must_use]
    pub fn declared_link_millionths(&self) -> u32 {
        millionths_up(self.link_declared, self.link_operands)
    }

    /// Share of products' operands that go back to an uncovered operation, in millionths, rounded up.
    #[must_use]
    pub fn declared_millionths(&self) -> u32 {
        millionths_up(self.declared, self.operands)
    }

    /// Share of elements between products that covered links compute, in millionths, rounded down.
    #[must_use]
    pub fn covered_link_millionths(&self) -> u32 {
        millionths_down(self.linked_outputs, self.linked_outputs.saturating_add(self.declared_outputs))
    }
}

const MILLION: u128 = 1_000_000;

fn millionths_down(part: u128, whole: u128) -> u32 {
    let share = part.saturating_mul(MILLION).checked_div(whole).unwrap_or_default();
    u32::try_from(share).unwrap_or(u32::MAX)
}

fn millionths_up(part: u128, whole: u128) -> u32 {
    u32::try_from(part.saturating_mul(MILLION).div_ceil(whole.max(1))).unwrap_or(u32::MAX)
}
