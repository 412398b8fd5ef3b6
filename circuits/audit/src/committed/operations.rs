//! **Duty.** The units of a trace with their trees. **Knows** views, shapes and phases. **Does not know** windows.
//! **Spec.** PROTOCOL §3 (work unit).

use std::collections::BTreeMap;

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32, Domain, PoseidonDigest};
use weighbridge_commitments::{HeaderError, TensorShape, merkle_root, tensor_root};

use crate::committed::Salts;
use crate::flop_tree::{FlopTree, Node, OperationRecord, RecordError, TileKind, TreeError, UnitRecord};
use crate::gemm::OperationClass;
use crate::key::{Key, KeyError};
use crate::trace::{Kind, Matmul, Operand, Operation, Phase, SourceError, Trace};
use crate::trial::TILE_SIDE;

/// Products whose phase the trace does not tell.
const OTHER: OperationClass = OperationClass(3);

/// Why a trace is not committed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceCommitError {
    /// Bytes that cannot be read.
    #[error("tensor {tensor:?} cannot be read")]
    Source {
        /// Which.
        tensor: String,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// A tensor that no commitment has.
    #[error("tensor {tensor:?} has no root")]
    Tensor {
        /// Which.
        tensor: String,
        /// Why.
        #[source]
        source: HeaderError,
    },
    /// More operations than keys.
    #[error("operation {operation:?} has no key")]
    Key {
        /// Which.
        operation: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// An operation that cannot be cut into tiles, such as a product with longer dot products than one tile is judged over.
    #[error("operation {operation:?} cannot be cut into tiles")]
    Record {
        /// Which.
        operation: String,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// A tree that cannot be built.
    #[error("the leaves make no tree")]
    Tree(#[from] TreeError),
    /// Nothing to draw from.
    #[error("the trace has no operation that a rule covers")]
    Nothing,
}

impl TraceCommitError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Source { .. } => Culprit::Unavailable,
            // Lawful, and not there yet: long products are committed as partial sums, which no trace has.
            Self::Record { .. } => Culprit::Unsupported,
            Self::Tensor { .. } | Self::Key { .. } | Self::Tree(_) | Self::Nothing => Culprit::Malformed,
        }
    }
}

/// One numbered operation: a product of a batch, or an output of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOperation {
    /// What its leaves commit to.
    pub record: OperationRecord,
    /// Place of the operation in the trace.
    pub place: usize,
    /// Which product of a batch, or which output.
    pub part: u64,
    first_leaf: usize,
}

/// A unit, kept whole so that it can be opened.
#[derive(Debug, Clone)]
pub struct CommittedUnit {
    pub(super) record: UnitRecord,
    pub(super) tree: FlopTree,
    operations: Vec<CommittedOperation>,
    uncovered: u64,
}

/// Commits a trace: one unit for each of its micro-batches, in order. `graph` is the SHA-256 of the graph's bytes.
///
/// # Errors
/// [`TraceCommitError`].
pub fn commit_trace(trace: &Trace<'_>, graph: Digest32, salts: &Salts) -> Result<Vec<CommittedUnit>, TraceCommitError> {
    let mut roots = Roots { trace, found: BTreeMap::new() };
    let mut growing: BTreeMap<u16, Growing> = BTreeMap::new();
    let mut number = 0u32;
    for (place, operation) in trace.operations().iter().enumerate() {
        let unit = growing.entry(operation.micro_batch).or_default();
        if let Kind::Opaque { .. } = operation.kind {
            unit.uncovered = unit.uncovered.saturating_add(1);
            number = number.saturating_add(1);
            continue;
        }
        for (part, mut record) in (0u64..).zip(roots.records(trace, operation, number)?) {
            record.salt = salts.of(record.key, "operation");
            let refused = |source| TraceCommitError::Record { operation: operation.name.clone(), source };
            let first_leaf = unit.leaves.len();
            for leaf in record.leaves().map_err(refused)? {
                unit.leaves.push(leaf.map_err(refused)?);
            }
            unit.operations.push(CommittedOperation { record, place, part, first_leaf });
            number = number.saturating_add(1);
        }
    }
    let units = growing.into_values().filter(|unit| !unit.leaves.is_empty());
    let units: Result<Vec<_>, _> = units.map(|unit| unit.finish((graph, trace.tensors_digest()), salts)).collect();
    units.and_then(|units| if units.is_empty() { Err(TraceCommitError::Nothing) } else { Ok(units) })
}

impl CommittedUnit {
    /// The unit's leaf in a window, in full.
    #[must_use]
    pub const fn record(&self) -> &UnitRecord {
        &self.record
    }

    /// The tree over its tiles.
    #[must_use]
    pub const fn tree(&self) -> &FlopTree {
        &self.tree
    }

    /// Its operations, in the order of their keys.
    #[must_use]
    pub fn operations(&self) -> &[CommittedOperation] {
        &self.operations
    }

    /// Operations without a leaf: no rule covers them.
    #[must_use]
    pub const fn uncovered(&self) -> u64 {
        self.uncovered
    }

    /// The operation of a leaf and the leaf's tile.
    pub(super) fn at(&self, leaf: usize) -> Option<(&CommittedOperation, (u32, u32))> {
        let after = self.operations.partition_point(|operation| operation.first_leaf <= leaf);
        let operation = self.operations.get(after.checked_sub(1)?)?;
        Some((operation, self.tree.leaves().get(leaf)?.min.tile()))
    }
}

/// A unit while its operations come.
#[derive(Default)]
struct Growing {
    leaves: Vec<Node>,
    operations: Vec<CommittedOperation>,
    uncovered: u64,
}

impl Growing {
    fn finish(self, (start, end): (Digest32, Digest32), salts: &Salts) -> Result<CommittedUnit, TraceCommitError> {
        let Self { leaves, operations, uncovered } = self;
        let tree = FlopTree::new(leaves)?;
        let root = tree.root();
        let key = root.min.unit();
        let (sums, trace) = (root.sums, Some(root.digest));
        let record = UnitRecord { key, sums, start, end, trace, salt: salts.of(key, "unit") };
        Ok(CommittedUnit { record, tree, operations, uncovered })
    }
}

/// Roots of tensors, each computed once.
struct Roots<'t> {
    trace: &'t Trace<'t>,
    found: BTreeMap<usize, PoseidonDigest>,
}

impl Roots<'_> {
    fn of(&mut self, operand: &Operand) -> Result<PoseidonDigest, TraceCommitError> {
        let place = operand.tensor;
        if let Some(root) = self.found.get(&place) {
            return Ok(*root);
        }
        let Some(tensor) = self.trace.tensor(place) else { return Err(TraceCommitError::Nothing) };
        let described = TensorShape { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape };
        let size = tensor.element_bytes().max(1);
        let read =
            |from: u64, into: &mut [u8]| self.trace.read(place, from.checked_div(size).unwrap_or_default(), into);
        let root = tensor_root(described, read)
            .map_err(|source| TraceCommitError::Tensor { tensor: tensor.name.clone(), source })?
            .map_err(|source| TraceCommitError::Source { tensor: tensor.name.clone(), source })?;
        self.found.insert(place, root);
        Ok(root)
    }

    /// Several roots as one; one alone is itself, none is absent.
    fn join(&mut self, operands: &[&Operand]) -> Result<PoseidonDigest, TraceCommitError> {
        let roots: Result<Vec<_>, _> = operands.iter().map(|operand| self.of(operand)).collect();
        Ok(merkle_root(Domain::TensorNode, roots?).unwrap_or_default())
    }

    /// The records of one operation of the trace, from a number on, unsalted.
    fn records(
        &mut self,
        trace: &Trace<'_>,
        operation: &Operation,
        number: u32,
    ) -> Result<Vec<OperationRecord>, TraceCommitError> {
        let unit = trace.unit();
        let key = |part: u64| {
            let number = u32::try_from(part).ok().and_then(|part| number.checked_add(part)).unwrap_or(u32::MAX);
            Key::new((unit.attempt, unit.step), (unit.rank, operation.micro_batch, number), (0, 0))
                .map_err(|source| TraceCommitError::Key { operation: operation.name.clone(), source })
        };
        let blank = |key, kind, rows, cols, transposed, roots| {
            let (side, salt) = (TILE_SIDE, [0; 28]);
            OperationRecord { key, kind, rows, cols, side, transposed, roots, salt }
        };
        if let Kind::Matmul(Matmul { phase, batch, m, n, k, .. }) = operation.kind {
            let (Some(a), Some(b), Some(c)) = (operation.input("a"), operation.input("b"), operation.output("c"))
            else {
                return Err(TraceCommitError::Nothing);
            };
            let right: Vec<&Operand> = [Some(b), operation.input("bias")].into_iter().flatten().collect();
            let roots = [self.of(a)?, self.join(&right)?, self.of(c)?];
            let kind = TileKind::Product { class: class_of(phase), k };
            let transposed = [is_transposed(a), is_transposed(b)];
            return (0..batch).map(|part| Ok(blank(key(part)?, kind, m, n, transposed, roots))).collect();
        }
        let operands: Vec<&Operand> = operation.inputs().map(|(_, operand)| operand).collect();
        let from = self.join(&operands)?;
        let outputs: Vec<&Operand> = operation.outputs().map(|(_, operand)| operand).collect();
        let mut records = Vec::new();
        for (part, output) in (0u64..).zip(outputs) {
            let cols = output.view.shape().last().copied().unwrap_or(1);
            let rows = output.view.elements().checked_div(cols).unwrap_or_default();
            let roots = [from, PoseidonDigest::default(), self.of(output)?];
            records.push(blank(key(part)?, TileKind::Link, rows, cols, [false; 2], roots));
        }
        Ok(records)
    }
}

const fn class_of(phase: Phase) -> OperationClass {
    match phase {
        Phase::Forward => OperationClass::FORWARD,
        Phase::Dgrad => OperationClass::DGRAD,
        Phase::Wgrad => OperationClass::WGRAD,
        Phase::Other => OTHER,
    }
}

/// Whether neighbours in memory are neighbours down a column.
fn is_transposed(operand: &Operand) -> bool {
    let mut strides = operand.view.strides().iter().rev();
    strides.next() > strides.next()
}
