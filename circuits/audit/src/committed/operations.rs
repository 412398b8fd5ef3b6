//! **Duty.** The units of a trace with their trees. **Knows** views, shapes and phases. **Does not know** windows.
//! **Spec.** PROTOCOL §3 (work unit); decision 0070.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32, PoseidonDigest};
use weighbridge_commitments::{HeaderError, TensorShape, TensorTiles};

use crate::committed::Salts;
use crate::committed::derived::{Derived, parts_of};
use crate::flop_tree::{FlopTree, Node, OperationRecord, RecordError, TreeError, UnitRecord};
use crate::key::{Key, KeyError};
use crate::trace::{Kind, OperationForm, SourceError, Trace};
use crate::trial::TILE_SIDE;

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
    /// Of its trace, by place: shared by the units of one trace.
    tensors: Arc<BTreeMap<usize, TensorTiles>>,
}

/// Commits a trace: one unit for each of its micro-batches, in order. `graph` is the SHA-256 of the graph's bytes.
///
/// # Errors
/// [`TraceCommitError`].
pub fn commit_trace(trace: &Trace<'_>, graph: Digest32, salts: &Salts) -> Result<Vec<CommittedUnit>, TraceCommitError> {
    let mut hashed = Hashed { trace, found: BTreeMap::new() };
    let mut growing: BTreeMap<u16, Growing> = BTreeMap::new();
    let mut number = 0u32;
    for (place, operation) in trace.operations().iter().enumerate() {
        let unit = growing.entry(operation.micro_batch).or_default();
        if let Kind::Opaque { .. } = operation.kind {
            unit.uncovered = unit.uncovered.saturating_add(1);
            number = number.saturating_add(1);
            continue;
        }
        for (part, mut record) in (0u64..).zip(hashed.records(place, number)?) {
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
    let (tensors, ends) = (Arc::new(hashed.found), (graph, trace.tensors_digest()));
    let units: Result<Vec<_>, _> = units.map(|unit| unit.finish(ends, salts, Arc::clone(&tensors))).collect();
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

    /// Roots of the trace's tensors by place, those that a covered operation has.
    pub(crate) fn root_of(&self, tensor: usize) -> Option<PoseidonDigest> {
        self.tensors.get(&tensor).map(TensorTiles::root)
    }

    /// A tensor's tiles, by its place in the trace.
    pub(crate) fn tiles_of(&self, tensor: usize) -> Option<&TensorTiles> {
        self.tensors.get(&tensor)
    }

    /// The place of one tile's leaf, of an operation by its number.
    pub(crate) fn leaf_of(&self, key: Key) -> Option<usize> {
        self.tree.leaves().binary_search_by_key(&key, |leaf| leaf.min).ok()
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
    fn finish(
        self,
        (start, end): (Digest32, Digest32),
        salts: &Salts,
        tensors: Arc<BTreeMap<usize, TensorTiles>>,
    ) -> Result<CommittedUnit, TraceCommitError> {
        let Self { leaves, operations, uncovered } = self;
        let tree = FlopTree::new(leaves)?;
        let root = tree.root();
        let key = root.min.unit();
        let (sums, trace) = (root.sums, Some(root.digest));
        let record = UnitRecord { key, sums, start, end, trace, salt: salts.of(key, "unit") };
        Ok(CommittedUnit { record, tree, operations, uncovered, tensors })
    }
}

/// Tensors, each hashed once.
struct Hashed<'t> {
    trace: &'t Trace<'t>,
    found: BTreeMap<usize, TensorTiles>,
}

impl Hashed<'_> {
    fn add(&mut self, place: usize) -> Result<(), TraceCommitError> {
        if self.found.contains_key(&place) {
            return Ok(());
        }
        let Some(tensor) = self.trace.tensor(place) else { return Err(TraceCommitError::Nothing) };
        let described = TensorShape { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape };
        let size = tensor.element_bytes().max(1);
        let read =
            |from: u64, into: &mut [u8]| self.trace.read(place, from.checked_div(size).unwrap_or_default(), into);
        let tiles = TensorTiles::of(described, read)
            .map_err(|source| TraceCommitError::Tensor { tensor: tensor.name.clone(), source })?
            .map_err(|source| TraceCommitError::Source { tensor: tensor.name.clone(), source })?;
        self.found.insert(place, tiles);
        Ok(())
    }

    /// The records of one operation of the trace, from a number on, unsalted.
    fn records(&mut self, place: usize, number: u32) -> Result<Vec<OperationRecord>, TraceCommitError> {
        let trace = self.trace;
        let Some(operation) = trace.operations().get(place) else { return Err(TraceCommitError::Nothing) };
        for (_, operand) in operation.inputs().chain(operation.outputs()) {
            self.add(operand.tensor)?;
        }
        let root_of = |tensor: usize| self.found.get(&tensor).map(TensorTiles::root);
        let unit = trace.unit();
        let record = |part: u64| {
            let number = u32::try_from(part).ok().and_then(|part| number.checked_add(part)).unwrap_or(u32::MAX);
            let key = Key::new((unit.attempt, unit.step), (unit.rank, operation.micro_batch, number), (0, 0))
                .map_err(|source| TraceCommitError::Key { operation: operation.name.clone(), source })?;
            let derived = Derived::of(operation, part, &root_of).ok_or(TraceCommitError::Nothing)?;
            let form = OperationForm::of(trace, place, part, &root_of).ok_or(TraceCommitError::Nothing)?.digest();
            let Derived { kind, rows, cols, transposed, roots } = derived;
            Ok(OperationRecord { key, kind, rows, cols, side: TILE_SIDE, transposed, roots, form, salt: [0; 28] })
        };
        (0..parts_of(operation)).map(record).collect()
    }
}
