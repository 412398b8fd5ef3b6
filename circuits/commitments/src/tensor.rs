//! **Duty.** The algebraic commitment of one tensor by itself: the leaf that a checkpoint's tree has for it. **Knows** a
//! description and a reader of bytes. **Does not know** files or other tensors. **Spec.** CIRCUITS §3; the layout is that
//! of `roots.rs`, so that a tensor of a trace and the same tensor of a checkpoint have one root.

use weighbridge_attest_types::{Domain, PoseidonDigest};

use crate::HeaderError;
use crate::merkle::TreeBuilder;
use crate::roots::tensor_leaf;
use crate::safetensors::Tensor;
use crate::tile::{Block, TILE, TensorHeader};

/// What a tensor's root covers beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorShape<'a> {
    /// Its name.
    pub name: &'a str,
    /// Data type by its safetensors name.
    pub dtype: &'a str,
    /// Dimensions, outermost first; none for a scalar.
    pub shape: &'a [u64],
}

/// The root of one tensor. `read` fills a buffer with the tensor's bytes from a place on; sixteen rows are held at once.
///
/// # Errors
/// The outer one: [`HeaderError`] for a description that no tensor has. The inner one is the reader's.
pub fn tensor_root<E>(
    described: TensorShape<'_>,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Result<PoseidonDigest, E>, HeaderError> {
    let TensorShape { name, dtype, shape } = described;
    let tensor = Tensor::alone(name, dtype, shape)?;
    let header = TensorHeader::new(&tensor);
    let (stored, mut tree) = (tensor.stored, TreeBuilder::new(Domain::TileNode));
    let (mut row, mut bytes) = (0u64, Vec::new());
    // A tensor without bytes has no tile, whatever its rows.
    while let left @ 1.. = stored.rows.saturating_sub(row)
        && tensor.bytes > 0
    {
        let rows = left.min(TILE);
        let length = stored.row_bytes().saturating_mul(rows);
        bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
        if let Err(error) = read(row.saturating_mul(stored.row_bytes()), &mut bytes) {
            return Ok(Err(error));
        }
        let block = Block { tile_row: row / TILE, tile_col: 0, rows, cols: stored.cols };
        header.subtrees(block, &bytes).into_iter().for_each(|(level, root)| tree.push_subtree(level, root));
        row = row.saturating_add(rows);
    }
    Ok(Ok(tensor_leaf(&tensor, tree.finish().unwrap_or_default())))
}
