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
        let absent = || SourceError { offset: 0, length: 0, why: "the trace has no such tile".to_owned() };
        let operation = trace.operations().get(tile.operation).ok_or_else(absent)?;
        let Kind::Matmul(matmul) = operation.kind else { return Err(absent()) };
        let (a, b) = (operation.input("a").ok_or_else(absent)?, operation.input("b").ok_or_else(absent)?);
        let c = operation.output("c").ok_or_else(absent)?;
        let bias = operation.input("bias");
        let strip = |operand: &Operand, strip| {
            let (across, k) = (tile.extent(strip), tile.k);
            let place = |entry| tile.operand_entry(operation, strip, entry).map(|(_, place)| place);
            let reader = Reader { trace, tensor: operand.tensor };
            // In the order of memory: a strip across the rows of its tensor has its neighbours across, not along k.
            let next = |entry| place((0, 0)).zip(place(entry)).and_then(|(first, next)| next.checked_sub(first));
            if across > 1 && k > 1 && next((1, 0)) < next((0, 1)) {
                let places = (0..k).flat_map(|k| (0..across).map(move |across| (across, k)));
                return reader.block((k, across), places.map(place)).map(Block::transposed);
            }
            reader.block((across, k), (0..across).flat_map(|across| (0..k).map(move |k| (across, k))).map(place))
        };
        let (mut rows, mut cols) = (strip(a, Strip::A)?, strip(b, Strip::B)?);
        if let Some(bias) = bias {
            let first = tile.col.saturating_mul(TILE_SIDE);
            let places = (0..tile.cols).map(|col| bias.view.at(&[first.saturating_add(col)]));
            let bias = Reader { trace, tensor: bias.tensor }.block((tile.cols, 1), places)?;
            let one = one(rows.dtype).ok_or_else(absent)?;
            rows.append(&[one.as_slice()]);
            cols.append(&bias.bytes.chunks(one.len()).collect::<Vec<_>>());
        }
        let origin = (tile.row.saturating_mul(TILE_SIDE), tile.col.saturating_mul(TILE_SIDE));
        let places = (0..tile.rows).flat_map(|row| (0..tile.cols).map(move |col| (row, col)));
        let place = |(row, col): (u64, u64)| tile.place(c, origin.0.saturating_add(row), origin.1.saturating_add(col));
        let result = Reader { trace, tensor: c.tensor }.block((tile.rows, tile.cols), places.map(place))?;
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

    /// Rows as columns.
    fn transposed(self) -> Self {
        let Self { dtype, rows, cols, bytes } = self;
        let (width, height) = (usize::try_from(cols).unwrap_or_default(), usize::try_from(rows).unwrap_or_default());
        let size = bytes.len().checked_div(width.saturating_mul(height)).unwrap_or_default().max(1);
        let mut turned = Vec::with_capacity(bytes.len());
        for col in 0..width {
            turned.extend(bytes.chunks_exact(size).skip(col).step_by(width.max(1)).flatten());
        }
        Self { dtype, rows: cols, cols: rows, bytes: turned }
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

struct Reader<'t> {
    trace: &'t Trace<'t>,
    tensor: usize,
}

impl Reader<'_> {
    /// Elements at these places; neighbours in the tensor are read at once.
    fn block(&self, (rows, cols): (u64, u64), places: impl Iterator<Item = Option<u64>>) -> Result<Block, SourceError> {
        let absent = || SourceError { offset: 0, length: 0, why: "a tile leaves its tensor".to_owned() };
        let tensor = self.trace.tensor(self.tensor).ok_or_else(absent)?;
        let size = usize::try_from(tensor.element_bytes()).map_err(|_| absent())?;
        let mut bytes = Vec::new();
        let mut run: Option<(u64, u64)> = None;
        for place in places {
            let place = place.ok_or_else(absent)?;
            run = match run {
                Some((first, count)) if first.checked_add(count) == Some(place) => {
                    Some((first, count.saturating_add(1)))
                }
                done => {
                    self.take(done, size, &mut bytes)?;
                    Some((place, 1))
                }
            };
        }
        self.take(run, size, &mut bytes)?;
        Ok(Block { dtype: tensor.dtype, rows, cols, bytes })
    }

    fn take(&self, run: Option<(u64, u64)>, size: usize, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
        let Some((first, count)) = run else { return Ok(()) };
        let from = bytes.len();
        let length = usize::try_from(count).unwrap_or_default().saturating_mul(size);
        bytes.resize(from.saturating_add(length), 0);
        self.trace.read(self.tensor, first, bytes.get_mut(from..).unwrap_or_default())
    }
}
