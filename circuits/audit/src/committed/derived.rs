//! **Duty.** What a record says of an operation, from the operation itself: kind, extents, orientation and roots. Whoever
//! commits a trace and whoever judges a tile derive it by this one function. **Knows** shapes and roots. **Does not know**
//! keys or salts. **Spec.** decisions 0064, 0070.

use weighbridge_attest_types::{Domain, PoseidonDigest};
use weighbridge_commitments::merkle_root;

use crate::flop_tree::{OperationRecord, TileKind};
use crate::gemm::OperationClass;
use crate::trace::{Kind, Matmul, Operand, Operation, Phase};

/// A record without key, side, form and salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Derived {
    pub(crate) kind: TileKind,
    pub(crate) rows: u64,
    pub(crate) cols: u64,
    pub(crate) transposed: [bool; 2],
    pub(crate) roots: [PoseidonDigest; 3],
}

/// How many numbered operations one operation of a trace is: the products of a batch, or the outputs of a link. None of
/// what no rule covers.
pub(crate) fn parts_of(operation: &Operation) -> u64 {
    match operation.kind {
        Kind::Matmul(Matmul { batch, .. }) => batch,
        Kind::Opaque { .. } => 0,
        _ => operation.outputs().count() as u64,
    }
}

impl Derived {
    /// Of one part of an operation; `root_of` knows the roots of its tensors. `None` where the operation has no such part,
    /// or a root is missing.
    pub(crate) fn of(
        operation: &Operation,
        part: u64,
        root_of: &dyn Fn(usize) -> Option<PoseidonDigest>,
    ) -> Option<Self> {
        if part >= parts_of(operation) {
            return None;
        }
        let of = |operand: &Operand| root_of(operand.tensor);
        // One alone is itself, none is absent.
        let join = |operands: &[&Operand]| -> Option<PoseidonDigest> {
            let roots: Option<Vec<_>> = operands.iter().map(|operand| of(operand)).collect();
            Some(merkle_root(Domain::TensorNode, roots?).unwrap_or_default())
        };
        if let Kind::Matmul(Matmul { phase, m, n, k, .. }) = operation.kind {
            let (a, b, c) = (operation.input("a")?, operation.input("b")?, operation.output("c")?);
            let bias = operation.input("bias");
            let right: Vec<&Operand> = [Some(b), bias].into_iter().flatten().collect();
            let kind = TileKind::Product { class: class_of(phase), k, bias: bias.is_some() };
            let (transposed, roots) = ([is_transposed(a), is_transposed(b)], [of(a)?, join(&right)?, of(c)?]);
            return Some(Self { kind, rows: m, cols: n, transposed, roots });
        }
        let (_, output) = operation.outputs().nth(usize::try_from(part).ok()?)?;
        let operands: Vec<&Operand> = operation.inputs().map(|(_, operand)| operand).collect();
        let cols = output.view.shape().last().copied().unwrap_or(1);
        let rows = output.view.elements().checked_div(cols)?;
        let roots = [join(&operands)?, PoseidonDigest::default(), of(output)?];
        Some(Self { kind: TileKind::Link, rows, cols, transposed: [false; 2], roots })
    }

    /// Whether a record says the same.
    pub(crate) fn is_of(&self, record: &OperationRecord) -> bool {
        let OperationRecord { key: _, kind, rows, cols, side: _, transposed, roots, form: _, salt: _ } = record;
        *self == Self { kind: *kind, rows: *rows, cols: *cols, transposed: *transposed, roots: *roots }
    }
}

/// The class in which a product is committed.
pub(crate) const fn class_of(phase: Phase) -> OperationClass {
    match phase {
        Phase::Forward => OperationClass::FORWARD,
        Phase::Dgrad => OperationClass::DGRAD,
        Phase::Wgrad => OperationClass::WGRAD,
        Phase::Other => OperationClass::OTHER,
    }
}

/// Whether neighbours in memory are neighbours down a column.
fn is_transposed(operand: &Operand) -> bool {
    let mut strides = operand.view.strides().iter().rev();
    strides.next() > strides.next()
}
