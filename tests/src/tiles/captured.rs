//! **Duty.** Captured steps as products, and their tiles. **Knows** `graph.json` and safetensors. **Does not know** rules.

use std::path::Path;

use safetensors::SafeTensors;
use serde::Deserialize;
use weighbridge_audit::{Format, Strip, Tile};

use crate::{shared, skipped};

/// A matrix in row-major order, every number as the f32 that it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Row by row.
    pub values: Vec<f32>,
    /// How the values are stored; each has no more bits than this.
    pub format: Format,
}

/// C = A·B as somebody computed it. B is kept transposed: both operands by vectors of K.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixProduct {
    /// Name of the operation.
    pub name: String,
    /// m × k.
    pub a: Matrix,
    /// n × k: the columns of B.
    pub b: Matrix,
    /// m × n.
    pub c: Matrix,
}

/// One captured optimizer step.
#[derive(Debug, Clone)]
pub struct CapturedStep {
    /// Name of its folder.
    pub name: String,
    /// Products in the order of execution.
    pub products: Vec<MatrixProduct>,
}

#[derive(Deserialize)]
struct Graph {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Gemm { name: String, a: String, a_t: bool, b: String, b_t: bool, c: String },
    Sgd {},
}

/// All captured steps, by name. Empty, and says so, where they are absent.
///
/// # Panics
/// When a folder is not what its README promises.
#[must_use]
pub fn captured_steps() -> Vec<CapturedStep> {
    let Some(folder) = shared().map(|shared| shared.join("traces/captured")).filter(|folder| folder.is_dir()) else {
        skipped("captured steps: no shared folder (set WEIGHBRIDGE_SHARED)");
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).expect("a folder of steps");
    let mut folders: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().map(|folder| CapturedStep::read(folder)).collect()
}

impl CapturedStep {
    fn read(folder: &Path) -> Self {
        let graph = std::fs::read(folder.join("graph.json")).expect("graph.json");
        let graph: Graph = serde_json::from_slice(&graph).expect("captured-step/v1");
        let bytes = std::fs::read(folder.join("tensors.safetensors")).expect("tensors.safetensors");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let products = graph.operations.into_iter().filter_map(|operation| match operation {
            Operation::Gemm { name, a, a_t, b, b_t, c } => {
                let [a, b, c] = [a, b, c].map(|tensor| Matrix::read(&tensors, &tensor));
                let (a, b) = (if a_t { a.transposed() } else { a }, if b_t { b } else { b.transposed() });
                Some(MatrixProduct { name, a, b, c })
            }
            Operation::Sgd {} => None,
        });
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        Self { name, products: products.collect() }
    }
}

impl Matrix {
    fn read(tensors: &SafeTensors<'_>, name: &str) -> Self {
        let tensor = tensors.tensor(name).expect("a tensor that the graph names");
        let &[rows, cols] = tensor.shape() else { panic!("{name} is no matrix") };
        let (format, values) = match tensor.dtype() {
            safetensors::Dtype::BF16 => (Format::Bf16, tensor.data().chunks_exact(2).map(bf16).collect()),
            safetensors::Dtype::F32 => {
                (Format::F32, tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
            other => panic!("{name} has the type {other:?}"),
        };
        Self { rows, cols, values, format }
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let values = (0..self.cols).flat_map(|col| self.values.iter().skip(col).step_by(self.cols)).copied().collect();
        Self { rows: self.cols, cols: self.rows, values, format: self.format }
    }

    /// One row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.cols..(row + 1) * self.cols]
    }

    /// Values as they are stored.
    #[must_use]
    pub fn stored(format: Format, values: &[f32]) -> Vec<u8> {
        match format {
            Format::Bf16 => values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect(),
            Format::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Format::E4m3 => panic!("no captured step stores fp8"),
        }
    }
}

fn bf16(bytes: &[u8]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16)
}

impl MatrixProduct {
    /// K.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.a.cols
    }

    /// Places of all tiles of a side, the last ones of a row or column clipped at the edge.
    #[must_use]
    pub fn places(&self, side: usize) -> Vec<(usize, usize)> {
        let (rows, cols) = (self.c.rows.div_ceil(side), self.c.cols.div_ceil(side));
        (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))).collect()
    }

    /// Strips and tile of one place.
    ///
    /// # Panics
    /// When there is no such place.
    #[must_use]
    pub fn tile(&self, side: usize, (row, col): (usize, usize)) -> (Strip, Strip, Tile) {
        let rows = row * side..self.c.rows.min((row + 1) * side);
        let cols = col * side..self.c.cols.min((col + 1) * side);
        let strip = |matrix: &Matrix, range: std::ops::Range<usize>| {
            let values = &matrix.values[range.start * matrix.cols..range.end * matrix.cols];
            Strip::new(matrix.format, range.len(), matrix.cols, Matrix::stored(matrix.format, values)).expect("a strip")
        };
        let block: Vec<f32> = rows.clone().flat_map(|row| self.c.row(row)[cols.clone()].iter().copied()).collect();
        let tile =
            Tile::new(self.c.format, rows.len(), cols.len(), Matrix::stored(self.c.format, &block)).expect("a tile");
        (strip(&self.a, rows), strip(&self.b, cols), tile)
    }
}
