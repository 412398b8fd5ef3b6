//! **Duty.** A drawn tile as a proof takes it: three tensors stored row by row, whole, and the rows that the tile is made of.
//! **Knows** views. **Does not know** circuits: which lengths there are proofs for is theirs to say. **Spec.**
//! docs/statements/gemm.md (Shape).

use crate::OperationClass;
use crate::committed::derived::class_of;
use crate::trace::{FloatFormat, Kind, Matmul, MatmulFormat, Operand, Operation, SourceError, Tensor, Trace};
use crate::trial::draw::Stream;
use crate::trial::{Cut, Plan, TILE_SIDE, Tile, Tiles};

/// One of the three tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainBlock<'t> {
    /// Its name in the trace.
    pub name: &'t str,
    /// Data type by its safetensors name.
    pub dtype: &'static str,
    /// Dimensions, outermost first.
    pub shape: &'t [u64],
    /// Sixteen rows of A or B, or the tile of C.
    pub bytes: Vec<u8>,
}

/// A tile of C = A · Bᵀ over three whole tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainTile<'t> {
    /// A, B and C.
    pub blocks: [PlainBlock<'t>; 3],
    /// Row of tiles of A and of B.
    pub place: [u64; 2],
    /// Length of the dot products.
    pub k: u64,
    /// Class of its product, by the phase that the trace names.
    pub class: OperationClass,
}

/// The tile of one draw of a rehearsal; `None` where there is nothing to draw.
#[must_use]
pub fn drawn_tile(trace: &Trace<'_>, plan: &Plan, draw: u64) -> Option<Tile> {
    let tiles = Tiles::of(trace);
    tiles.at(Stream::new(plan.seed, "tile", draw).below(tiles.total()))
}

/// The tile in this form, or why it has none.
///
/// # Errors
/// [`SourceError`] for bytes that cannot be read.
pub fn plain_tile<'t>(trace: &'t Trace<'_>, tile: &Tile) -> Result<Result<PlainTile<'t>, &'static str>, SourceError> {
    let Some(operation @ Operation { kind: Kind::Matmul(matmul), .. }) = trace.operations().get(tile.operation) else {
        return Ok(Err("no matrix product"));
    };
    let tensors = match plain_operands(trace, operation, matmul, tile) {
        Ok(tensors) => tensors,
        Err(why) => return Ok(Err(why)),
    };
    let cut = Cut::of(trace, tile)?;
    let [a, b, c] = tensors;
    let block = |tensor: &'t Tensor, bytes: Vec<u8>| {
        let Tensor { name, dtype, shape, .. } = tensor;
        PlainBlock { name, dtype, shape, bytes }
    };
    let blocks = [block(a, cut.a.bytes), block(b, cut.b.bytes), block(c, cut.c.bytes)];
    Ok(Ok(PlainTile { blocks, place: [tile.row, tile.col], k: tile.k, class: class_of(matmul.phase) }))
}

fn plain_operands<'t>(
    trace: &'t Trace<'_>,
    operation: &Operation,
    matmul: &Matmul,
    tile: &Tile,
) -> Result<[&'t Tensor; 3], &'static str> {
    let Matmul { batch, m, n, k, format, accumulator, .. } = *matmul;
    if operation.input("bias").is_some() {
        return Err("a bias is added before the product rounds");
    }
    if batch != 1 {
        return Err("one of a batch of products");
    }
    if (tile.rows, tile.cols) != (TILE_SIDE, TILE_SIDE) {
        return Err("a tile at the edge of its product");
    }
    if (format, accumulator) != (MatmulFormat::Plain(FloatFormat::Bf16), FloatFormat::F32) {
        return Err("operands other than bf16, or other sums than f32");
    }
    let whole = |operand: Option<&Operand>, shape: [u64; 2], strides: [u64; 2], row: u64| {
        let operand = operand?;
        let tensor = trace.tensor(operand.tensor)?;
        let elements = shape.iter().fold(1u64, |count, extent| count.saturating_mul(*extent));
        let is_plain = operand.view.shape() == shape
            && operand.view.strides() == strides
            && operand.view.at(&[0, 0]) == Some(0)
            && tensor.elements() == elements
            && tensor.shape.last() == Some(&row);
        (is_plain && tensor.dtype == "BF16").then_some(tensor)
    };
    let a = whole(operation.input("a"), [m, k], [k, 1], k).ok_or("A is not a whole bf16 tensor stored along K")?;
    let b = whole(operation.input("b"), [k, n], [1, k], k).ok_or("B is not a whole bf16 tensor stored along K")?;
    let c = whole(operation.output("c"), [m, n], [n, 1], n).ok_or("C is not a whole bf16 tensor stored by rows")?;
    Ok([a, b, c])
}
