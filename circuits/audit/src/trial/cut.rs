//! **Duty.** The bytes of a drawn tile: rows of A, columns of B, and C. **Knows** views. **Does not know** number formats,
//! but for the 1 that a fused bias is multiplied with. **Spec.** CIRCUITS §5 (iii); decision 0042 (bias).
//!
//! A bias that the product adds before it rounds is one more term of each dot product: A gets a column of ones, B a last
//! row that is the bias. What the check sees is a plain product of length k + 1.

use crate::trace::{FloatFormat, Kind, MatmulFormat, Operand, SourceError, Trace};
use crate::trial::tiles::{TILE_SIDE, Tile};

/// Which operand of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strip {
    /// Rows of the left one.
    A,
    /// Columns of the right one.
    B,
}

/// A matrix of elements, row by row, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Data type by its safetensors name.
    pub dtype: &'static str,
    /// Rows.
    pub rows: u64,
    /// Columns.
    pub cols: u64,
    /// Bytes of all elements.
    pub bytes: Vec<u8>,
}

/// What a tile check is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Rows of A: rows × k.
    pub a: Block,
    /// Columns of B, each as a row: columns × k.
    pub b: Block,
    /// What was computed: rows × columns.
    pub c: Block,
    /// Format in which operands entered the product.
    pub format: MatmulFormat,
    /// Format in which products were summed, by the trace's word.
    pub accumulator: FloatFormat,
    /// Tensors whose commitments must open: of A, B, C and the bias, by place.
    pub tensors: Vec<usize>,
}

impl Cut {
    /// Reads a tile's bytes.
    ///
    /// # Errors
    /// [`SourceError`], also for a tile of another trace.
    pub fn of(trace: &Trace<'_>, tile: &Tile) -> Result<Self, SourceError> {
        Self::read(trace, tile, GAP_BYTES)
    }

    /// The same, and not one element is read that the tile does not need: others may not be there.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(crate) fn exactly(trace: &Trace<'_>, tile: &Tile) -> Result<Self, SourceError> {
        Self::read(trace, tile, 0)
    }

    fn read(trace: &Trace<'_>, tile: &Tile, gap: u64) -> Result<Self, SourceError> {
        let absent = || SourceError { offset: 0, length: 0, why: "the trace has no such tile".to_owned() };
        let operation = trace.operations().get(tile.operation).ok_or_else(absent)?;
        let Kind::Matmul(matmul) = operation.kind else { return Err(absent()) };
        let (a, b) = (operation.input("a").ok_or_else(absent)?, operation.input("b").ok_or_else(absent)?);
        let c = operation.output("c").ok_or_else(absent)?;
        let bias = operation.input("bias");
        let strip = |operand: &Operand, strip| {
            let (across, k) = (tile.extent(strip), tile.k);
            let place = |entry| tile.operand_entry(operation, strip, entry).map(|(_, place)| place);
            let reader = Reader { trace, tensor: operand.tensor, gap };
            reader.block((across, k), (0..across).flat_map(|across| (0..k).map(move |k| (across, k))).map(place))
        };
        let (mut rows, mut cols) = (strip(a, Strip::A)?, strip(b, Strip::B)?);
        if let Some(bias) = bias {
            let first = tile.col.saturating_mul(TILE_SIDE);
            let places = (0..tile.cols).map(|col| bias.view.at(&[first.saturating_add(col)]));
            let bias = Reader { trace, tensor: bias.tensor, gap }.block((tile.cols, 1), places)?;
            let one = one(rows.dtype).ok_or_else(absent)?;
            rows.append(&[one.as_slice()]);
            cols.append(&bias.bytes.chunks(one.len()).collect::<Vec<_>>());
        }
        let origin = (tile.row.saturating_mul(TILE_SIDE), tile.col.saturating_mul(TILE_SIDE));
        let places = (0..tile.rows).flat_map(|row| (0..tile.cols).map(move |col| (row, col)));
        let place = |(row, col): (u64, u64)| tile.place(c, origin.0.saturating_add(row), origin.1.saturating_add(col));
        let result = Reader { trace, tensor: c.tensor, gap }.block((tile.rows, tile.cols), places.map(place))?;
        let tensors = [Some(a), Some(b), Some(c), bias].into_iter().flatten().map(|operand| operand.tensor).collect();
        let (format, accumulator) = (matmul.format, matmul.accumulator);
        Ok(Self { a: rows, b: cols, c: result, format, accumulator, tensors })
    }
}

impl Block {
    /// Its rows, each with the bytes of one element and its own.
    pub(super) fn vectors(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let [rows, cols] = [self.rows, self.cols].map(|extent| usize::try_from(extent).unwrap_or(usize::MAX));
        let size = self.bytes.len().checked_div(rows.saturating_mul(cols)).unwrap_or_default();
        self.bytes.chunks_exact(size.saturating_mul(cols).max(1)).map(move |vector| (size, vector))
    }

    /// One more column; a single element serves all rows.
    fn append(&mut self, column: &[&[u8]]) {
        let width =
            usize::try_from(self.cols).unwrap_or_default().saturating_mul(column.first().map_or(0, |one| one.len()));
        let lines = self.bytes.chunks(width.max(1)).zip(column.iter().cycle());
        self.bytes = lines.flat_map(|(line, added)| [line, added].concat()).collect();
        self.cols = self.cols.saturating_add(1);
    }
}

/// 1 in a format.
fn one(dtype: &str) -> Option<Vec<u8>> {
    Some(match FloatFormat::of(dtype)? {
        FloatFormat::Bf16 => 0x3f80u16.to_le_bytes().to_vec(),
        FloatFormat::F16 => 0x3c00u16.to_le_bytes().to_vec(),
        FloatFormat::F32 => 1f32.to_le_bytes().to_vec(),
        FloatFormat::F64 => 1f64.to_le_bytes().to_vec(),
    })
}

/// Elements that are this close are read together with what lies between: reading that costs less than asking again.
const GAP_BYTES: u64 = 512;
/// Most bytes that are read at once.
const READ_BYTES: u64 = 1 << 20;

struct Reader<'t> {
    trace: &'t Trace<'t>,
    tensor: usize,
    /// Bytes that may lie between two elements that are read together.
    gap: u64,
}

impl Reader<'_> {
    /// Elements at these places, whatever their order: what lies close together in the tensor is read at once.
    fn block(&self, (rows, cols): (u64, u64), places: impl Iterator<Item = Option<u64>>) -> Result<Block, SourceError> {
        let absent = || SourceError { offset: 0, length: 0, why: "a tile leaves its tensor".to_owned() };
        let tensor = self.trace.tensor(self.tensor).ok_or_else(absent)?;
        let size = usize::try_from(tensor.element_bytes()).map_err(|_| absent())?;
        let numbered = places.enumerate().map(|(at, place)| Some((place?, at)));
        let mut wanted: Vec<(u64, usize)> = numbered.collect::<Option<_>>().ok_or_else(absent)?;
        // In the order of memory: a strip across the rows of its tensor has its neighbours across, not along k.
        wanted.sort_unstable();
        let mut bytes = vec![0; wanted.len().saturating_mul(size)];
        // The next element is always near enough.
        let near = self.gap.checked_div(tensor.element_bytes()).unwrap_or_default().max(1);
        let mut rest = wanted.as_slice();
        while let Some(&(first, _)) = rest.first() {
            let most = first.saturating_add(READ_BYTES.checked_div(tensor.element_bytes()).unwrap_or_default());
            let close = |[(one, _), (next, _)]: &[(u64, usize); 2]| next.saturating_sub(*one) <= near && *next < most;
            let run = rest.array_windows().take_while(|pair| close(pair)).count().saturating_add(1);
            let (read, later) = rest.split_at_checked(run).ok_or_else(absent)?;
            self.scatter(read, size, &mut bytes)?;
            rest = later;
        }
        Ok(Block { dtype: tensor.dtype, rows, cols, bytes })
    }

    /// Reads from the first to the last of these places, and puts each where it belongs.
    fn scatter(&self, wanted: &[(u64, usize)], size: usize, bytes: &mut [u8]) -> Result<(), SourceError> {
        let (Some((first, _)), Some((last, _))) = (wanted.first(), wanted.last()) else { return Ok(()) };
        let start = |place: usize| place.saturating_mul(size);
        let within = |place: u64| start(usize::try_from(place.saturating_sub(*first)).unwrap_or_default());
        let mut read = vec![0; within(*last).saturating_add(size)];
        self.trace.read(self.tensor, *first, &mut read)?;
        for (place, at) in wanted {
            let from = read.get(within(*place)..).and_then(|from| from.get(..size));
            let to = bytes.get_mut(start(*at)..).and_then(|to| to.get_mut(..size));
            if let Some((from, to)) = from.zip(to) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }
}
