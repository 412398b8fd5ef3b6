//! **Duty.** Single tiles of a tensor, opened to its root. **Knows** a description, tiles and paths. **Does not know** files,
//! or why a tile is asked for. **Spec.** CIRCUITS §3, §5 (iii); the layout is that of `tile.rs` and `roots.rs`.

use weighbridge_attest_types::{Domain, PoseidonDigest};

use crate::roots::tensor_leaf;
use crate::safetensors::{Stored, Tensor};
use crate::tile::{Block, MAX_TILE_BYTES, TILE, TensorHeader};
use crate::{HeaderError, MerklePath, MerkleTree, TensorPlace, TensorShape};

/// How the elements of a tensor lie in its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorGrid {
    stored: Stored,
}

/// The tiles of one tensor, hashed and kept, so that any of them can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorTiles {
    root: PoseidonDigest,
    tree: MerkleTree,
}

impl TensorPlace {
    /// A tensor by its description alone, as if it began at `offset` of a file.
    ///
    /// # Errors
    /// [`HeaderError`] for a description that no tensor has.
    pub fn alone(described: TensorShape<'_>, offset: u64) -> Result<Self, HeaderError> {
        let Tensor { name, dtype, shape, bytes, .. } = Tensor::alone(described.name, described.dtype, described.shape)?;
        let (name, shape) = (String::from(name), shape.into_vec());
        Ok(Self { name, dtype: dtype.name, bits: dtype.bits, shape, offset, bytes })
    }
}

impl TensorGrid {
    /// Of a tensor.
    ///
    /// # Errors
    /// [`HeaderError`] for a description that no tensor has.
    pub fn of(described: TensorShape<'_>) -> Result<Self, HeaderError> {
        Ok(Self { stored: Tensor::alone(described.name, described.dtype, described.shape)?.stored })
    }

    /// Number of tiles.
    #[must_use]
    pub const fn tiles(self) -> u64 {
        self.stored.tiles()
    }

    /// The tile of an element, and the element's place in that tile, row by row; `None` beyond the tensor.
    #[must_use]
    pub fn place(self, element: u64) -> Option<(u64, u64)> {
        let Stored { rows, cols, .. } = self.stored;
        let (row, col) = (element.checked_div(cols)?, element.checked_rem(cols)?);
        if row >= rows {
            return None;
        }
        let tile = (row / TILE).checked_mul(cols.div_ceil(TILE))?.checked_add(col / TILE)?;
        let (_, _, tile_cols) = self.tile(tile)?;
        let within = (row % TILE).checked_mul(tile_cols)?.checked_add(col % TILE)?;
        Some((tile, within))
    }

    /// The elements of a tile, by their places in the tensor, row by row; none of a tile that the tensor does not have.
    pub fn elements(self, tile: u64) -> impl Iterator<Item = u64> {
        let Stored { cols, .. } = self.stored;
        let ((tile_row, tile_col), rows, tile_cols) = self.tile(tile).unwrap_or_default();
        let (first_row, first_col) = (tile_row.saturating_mul(TILE), tile_col.saturating_mul(TILE));
        let places = (0..rows).flat_map(move |row| (0..tile_cols).map(move |col| (row, col)));
        places.map(move |(row, col)| {
            let row = first_row.saturating_add(row).saturating_mul(cols);
            row.saturating_add(first_col).saturating_add(col)
        })
    }

    /// Place of a tile in tiles, and its true rows and columns.
    fn tile(self, tile: u64) -> Option<((u64, u64), u64, u64)> {
        let Stored { rows, cols, .. } = self.stored;
        let across = cols.div_ceil(TILE);
        let (row, col) = (tile.checked_div(across)?, tile.checked_rem(across)?);
        let left = |of: u64, tile: u64| of.checked_sub(tile.checked_mul(TILE)?).filter(|left| *left > 0);
        Some(((row, col), left(rows, row)?.min(TILE), left(cols, col)?.min(TILE)))
    }
}

impl TensorTiles {
    /// Hashes a tensor. `read` fills a buffer with the tensor's bytes from a place on; sixteen rows are held at once.
    ///
    /// # Errors
    /// The outer one: [`HeaderError`] for a description that no tensor has. The inner one is the reader's.
    pub fn of<E>(
        described: TensorShape<'_>,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Result<Self, E>, HeaderError> {
        let TensorShape { name, dtype, shape } = described;
        let tensor = Tensor::alone(name, dtype, shape)?;
        let (header, stored) = (TensorHeader::new(&tensor), tensor.stored);
        let (mut row, mut bytes, mut leaves) = (0u64, Vec::new(), Vec::new());
        let mut tile = [0u8; MAX_TILE_BYTES];
        while let left @ 1.. = stored.rows.saturating_sub(row)
            && tensor.bytes > 0
        {
            let rows = left.min(TILE);
            bytes.resize(usize::try_from(stored.row_bytes().saturating_mul(rows)).unwrap_or_default(), 0);
            if let Err(error) = read(row.saturating_mul(stored.row_bytes()), &mut bytes) {
                return Ok(Err(error));
            }
            let block = Block { tile_row: row / TILE, tile_col: 0, rows, cols: stored.cols };
            leaves.extend((0..stored.cols.div_ceil(TILE)).map(|col| header.leaf(block, &bytes, (0, col), &mut tile)));
            row = row.saturating_add(rows);
        }
        let tree = MerkleTree::new(Domain::TileNode, leaves);
        Ok(Ok(Self { root: tensor_leaf(&tensor, tree.root().unwrap_or_default()), tree }))
    }

    /// The tensor's root: that of [`crate::tensor_root`].
    #[must_use]
    pub const fn root(&self) -> PoseidonDigest {
        self.root
    }

    /// The path of a tile; `None` where there is no such tile.
    #[must_use]
    pub fn path(&self, tile: u64) -> Option<MerklePath> {
        self.tree.path(tile)
    }
}

/// The root of the tensor that a tile with this path belongs to. `bytes` are the tile's elements row by row, as many as it
/// truly has. `None` for a tile that the tensor does not have, bytes that do not fill it, or a path of another length.
///
/// # Errors
/// [`HeaderError`] for a description that no tensor has.
pub fn tile_root(
    described: TensorShape<'_>,
    tile: u64,
    bytes: &[u8],
    path: &MerklePath,
) -> Result<Option<PoseidonDigest>, HeaderError> {
    let tensor = Tensor::alone(described.name, described.dtype, described.shape)?;
    let grid = TensorGrid { stored: tensor.stored };
    let Some(((tile_row, tile_col), rows, cols)) = grid.tile(tile) else { return Ok(None) };
    let size = rows.saturating_mul(cols).saturating_mul(tensor.stored.element_bytes);
    if bytes.len() as u64 != size {
        return Ok(None);
    }
    let block = Block { tile_row, tile_col, rows, cols };
    let leaf = TensorHeader::new(&tensor).leaf(block, bytes, (0, 0), &mut [0; MAX_TILE_BYTES]);
    Ok(path.root(Domain::TileNode, (tile, grid.tiles()), leaf).map(|tiles| tensor_leaf(&tensor, tiles)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_root;

    fn described(shape: &[u64]) -> TensorShape<'_> {
        TensorShape { name: "layer.weight", dtype: "F32", shape }
    }

    fn bytes_of(shape: &[u64]) -> Vec<u8> {
        let count = shape.iter().product::<u64>();
        (0..count).flat_map(|at| u32::try_from(at).unwrap().to_le_bytes()).collect()
    }

    fn hashed(shape: &[u64], bytes: &[u8]) -> TensorTiles {
        let read = |from: u64, into: &mut [u8]| {
            let from = usize::try_from(from).unwrap();
            into.copy_from_slice(&bytes[from..from + into.len()]);
            Ok::<(), ()>(())
        };
        let tiles = TensorTiles::of(described(shape), read).unwrap().unwrap();
        assert_eq!(tiles.root(), tensor_root(described(shape), read).unwrap().unwrap());
        tiles
    }

    fn cut(grid: TensorGrid, tile: u64, bytes: &[u8]) -> Vec<u8> {
        let element = |at: u64| usize::try_from(at).unwrap() * 4;
        grid.elements(tile).flat_map(|at| bytes[element(at)..element(at) + 4].to_vec()).collect()
    }

    #[test]
    fn every_tile_of_every_shape_opens_to_the_root_of_its_tensor() {
        for shape in [&[][..], &[1], &[33], &[16, 16], &[17, 5], &[40, 33], &[2, 19, 20]] {
            let (bytes, grid) = (bytes_of(shape), TensorGrid::of(described(shape)).unwrap());
            let tiles = hashed(shape, &bytes);
            let mut seen = 0;
            for tile in 0..grid.tiles() {
                for (within, element) in (0u64..).zip(grid.elements(tile)) {
                    assert_eq!(grid.place(element), Some((tile, within)), "{shape:?}");
                    seen += 1;
                }
                let (own, path) = (cut(grid, tile, &bytes), tiles.path(tile).unwrap());
                let open = |shape: &[u64], tile, bytes: &[u8], path: &MerklePath| {
                    tile_root(described(shape), tile, bytes, path).unwrap() == Some(tiles.root())
                };
                assert!(open(shape, tile, &own, &path), "{shape:?}: tile {tile}");
                let mut other = own.clone();
                other[0] ^= 1;
                assert!(!open(shape, tile, &other, &path));
                assert!(!open(shape, tile ^ 1, &own, &path) && !open(shape, tile, &own[1..], &path));
                assert!(!open(&[shape, &[1]].concat(), tile, &own, &path), "another shape");
                let renamed = TensorShape { name: "layer.bias", ..described(shape) };
                assert_ne!(tile_root(renamed, tile, &own, &path).unwrap(), Some(tiles.root()));
            }
            assert_eq!(seen, shape.iter().product::<u64>());
            assert_eq!((grid.place(seen), grid.elements(grid.tiles()).count()), (None, 0));
            assert_eq!(tiles.path(grid.tiles()), None);
        }
    }
}
