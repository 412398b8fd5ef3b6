//! **Duty.** The tensors of an operation's form as a source of bytes: on one side the tiles that an answer opens, on the
//! other a whole trace whose read tiles are written down. **Knows** tiles and elements. **Does not know** rules.
//! **Spec.** decision 0071: whoever answers and whoever judges read through the same code.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::PoseidonDigest;
use weighbridge_commitments::{TensorGrid, TensorPlace, TensorShape, tile_root};

use crate::answer::{AnswerError, OpenedTensor};
use crate::trace::{FormError, OperationForm, SourceError, TensorSource, Trace};

/// Elements that are read for each element that is opened: an entry of a loss gradient reads its whole row.
const READS_PER_ELEMENT: u64 = 32;
/// And a few whatever is opened.
const LEAST_READS: u64 = 4_096;

/// Where elements of a form's tensors come from.
pub(super) trait Elements {
    /// Fills `into` with one element: of the form's tensor by its place, at a place in the tensor and in its tile.
    fn element(&self, tensor: usize, element: u64, tile: (u64, u64), into: &mut [u8]) -> Result<(), SourceError>;
}

/// The tensors of a form, one after the other.
pub(super) struct FormSource<'e> {
    places: Vec<(TensorPlace, TensorGrid)>,
    elements: &'e dyn Elements,
}

impl<'e> FormSource<'e> {
    pub(super) fn new(form: &OperationForm, elements: &'e dyn Elements) -> Result<Self, FormError> {
        Ok(Self { places: form.places()?, elements })
    }
}

impl TensorSource for FormSource<'_> {
    fn length(&self) -> u64 {
        self.places.last().map_or(0, |(place, _)| place.offset.saturating_add(place.bytes))
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let refused =
            || SourceError { offset, length: into.len() as u64, why: "the operation has no such elements".to_owned() };
        let after = self.places.partition_point(|(place, _)| place.offset <= offset);
        let tensor = after.checked_sub(1).ok_or_else(refused)?;
        let (place, grid) = self.places.get(tensor).ok_or_else(refused)?;
        let size = place.bits.div_euclid(8).max(1);
        let first = offset.saturating_sub(place.offset).checked_div(size).ok_or_else(refused)?;
        let whole = usize::try_from(size).map_err(|_| refused())?;
        for (element, chunk) in (first..).zip(into.chunks_mut(whole)) {
            let tile = grid.place(element).ok_or_else(|| SourceError {
                offset,
                length: size,
                why: "the tensor ends before".to_owned(),
            })?;
            self.elements.element(tensor, element, tile, chunk)?;
        }
        Ok(())
    }
}

/// A whole trace; what is read of it is written down.
pub(super) struct Recorder<'t> {
    pub(super) trace: &'t Trace<'t>,
    /// Tiles that were read, by the tensor's place in the trace.
    pub(super) read: RefCell<BTreeMap<usize, BTreeSet<u64>>>,
}

/// The tensors of one form of a recorded trace.
pub(super) struct Recorded<'r> {
    pub(super) recorder: &'r Recorder<'r>,
    /// Places in the trace, in the form's order.
    pub(super) tensors: Vec<usize>,
}

impl Elements for Recorded<'_> {
    fn element(&self, tensor: usize, element: u64, (tile, _): (u64, u64), into: &mut [u8]) -> Result<(), SourceError> {
        let absent = || SourceError { offset: element, length: 1, why: "the trace has no such tensor".to_owned() };
        let place = *self.tensors.get(tensor).ok_or_else(absent)?;
        self.recorder.read.borrow_mut().entry(place).or_default().insert(tile);
        self.recorder.trace.read(place, element, into)
    }
}

/// One opened tile, and whether anything was read of it.
struct Held<'a> {
    bytes: &'a [u8],
    is_read: Cell<bool>,
}

/// The tiles that an answer opens, each shown to be its tensor's.
pub(super) struct Store<'a> {
    tensors: BTreeMap<[u64; 4], BTreeMap<u64, Held<'a>>>,
    reads_left: Cell<u64>,
}

/// The tensors of one form in an answer.
pub(super) struct Stored<'s> {
    store: &'s Store<'s>,
    roots: Vec<PoseidonDigest>,
}

impl<'a> Store<'a> {
    /// Opens all tiles; a tensor is described by the form that names its root.
    pub(super) fn open(tensors: &'a [OpenedTensor], forms: &[OperationForm]) -> Result<Self, AnswerError> {
        let (mut store, mut last, mut elements) = (BTreeMap::new(), None, 0u64);
        for OpenedTensor { root, tiles } in tensors {
            let key = root.elements();
            if last.replace(key).is_some_and(|last| last >= key) {
                return Err(AnswerError::Surplus("tensors"));
            }
            let mut named = forms.iter().flat_map(OperationForm::tensors).filter(|tensor| tensor.root == *root);
            let described = named.next().ok_or(AnswerError::Surplus("a tensor"))?.described;
            // Tiles are opened under one description and read under that of each form: they have to be the same.
            let is_same = |other: TensorShape<'_>| {
                (other.name, other.dtype, other.shape) == (described.name, described.dtype, described.shape)
            };
            if !named.all(|tensor| is_same(tensor.described)) {
                return Err(AnswerError::OtherForm);
            }
            let mut held = BTreeMap::new();
            for opened in tiles {
                if held.last_key_value().is_some_and(|(last, _)| *last >= opened.tile) {
                    return Err(AnswerError::Surplus("tiles"));
                }
                let found = tile_root(described, opened.tile, &opened.bytes, &opened.path);
                if found.map_err(FormError::Tensor)? != Some(*root) {
                    return Err(AnswerError::Tile { tile: opened.tile });
                }
                elements = elements.saturating_add(opened.bytes.len() as u64);
                held.insert(opened.tile, Held { bytes: &opened.bytes, is_read: Cell::new(false) });
            }
            store.insert(key, held);
        }
        let reads = elements.saturating_mul(READS_PER_ELEMENT).saturating_add(LEAST_READS);
        Ok(Self { tensors: store, reads_left: Cell::new(reads) })
    }

    pub(super) fn of(&self, form: &OperationForm) -> Stored<'_> {
        Stored { store: self, roots: form.tensors().map(|tensor| tensor.root).collect() }
    }

    /// Whether every tile was read: nothing is in an answer that it does not need.
    pub(super) fn check_used(&self) -> Result<(), AnswerError> {
        let all = self.tensors.values().all(|tiles| !tiles.is_empty() && tiles.values().all(|tile| tile.is_read.get()));
        if all { Ok(()) } else { Err(AnswerError::Surplus("a tile")) }
    }
}

impl Elements for Stored<'_> {
    fn element(
        &self,
        tensor: usize,
        element: u64,
        (tile, within): (u64, u64),
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let length = into.len() as u64;
        let refused = |why: &str| SourceError { offset: element, length, why: why.to_owned() };
        let left = self.store.reads_left.get();
        self.store.reads_left.set(left.checked_sub(1).ok_or_else(|| refused("too much is read of what is opened"))?);
        let root = self.roots.get(tensor).ok_or_else(|| refused("the form has no such tensor"))?;
        let held = self.store.tensors.get(&root.elements()).and_then(|tiles| tiles.get(&tile));
        let held = held.ok_or_else(|| refused("its tile is not opened"))?;
        let start = usize::try_from(within).ok().and_then(|within| within.checked_mul(into.len()));
        let range = start.and_then(|start| Some(start..start.checked_add(into.len())?));
        let bytes = range.and_then(|range| held.bytes.get(range)).ok_or_else(|| refused("its tile ends before"))?;
        into.copy_from_slice(bytes);
        held.is_read.set(true);
        Ok(())
    }
}
