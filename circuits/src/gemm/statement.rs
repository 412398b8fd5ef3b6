//! **Duty.** What `gemm` means, natively.
//!
//! The tile's 256 outputs were computed right from 16 rows of A and 16 of B, each K long, all bf16 and stored row by row
//! (C = A · Bᵀ): `check_tile` of the native audit accepts them under the policy, with one window. What the circuit's shape
//! has no room for is no statement of this circuit (`covered`, `flush`, `output-unit`), and is never proven.

use weighbridge_attest_types::{Digest32, Domain, PoseidonDigest};
use weighbridge_audit::{
    Format, NumericPolicy, OperationClass, OperationPolicy, Strip, Tile, TileDoubt, TileRefusal, TileVerdict,
    check_tile,
};
use weighbridge_commitments::{TensorShape, TileHeader, digest_elements, merkle_root};

use super::values::{Prepared, TileValues};
use crate::Violation;
use crate::statement::{CircuitId, FieldLayout};

/// Lengths of the dot products of the circuits that have pinned descriptions.
pub const GEMM_K: [usize; 2] = [GEMM_SHORT, GEMM_LONG];
pub(crate) const GEMM_SHORT: usize = 128;
pub(crate) const GEMM_LONG: usize = 1024;
/// Rows and columns of a tile: those of the commitments.
pub(crate) const SIDE: usize = 16;
/// Entries of a tile.
pub(super) const ENTRIES: usize = SIDE * SIDE;
/// Bytes of a tile.
const TILE_BYTES: usize = 2 * ENTRIES;
/// γ is below 2 to this, in units of 2⁻³²: no sum of the circuit wraps (docs/statements/gemm.md).
pub(super) const GAMMA_BITS: usize = 22;

/// `gemm` over dot products of K terms, a power of two from 16 to 1,024.
#[derive(Debug)]
pub(crate) struct Gemm<const K: usize>;

/// What a reader of a proof learns: which committed blocks belong together, where they stand, and under which policy. The only
/// constructor is [`Self::claimed`]: class, digest and γ are those of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GemmPublic {
    pub(crate) blocks: [PoseidonDigest; 3],
    pub(crate) place: [u64; 2],
    pub(crate) size: [u64; 2],
    pub(crate) policy: Digest32,
    pub(crate) class: OperationClass,
    pub(crate) operation: OperationPolicy,
    pub(crate) k: usize,
}

/// One of the three tensors: what its leaves say of it, and the bytes that the tile is judged on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GemmOperand {
    /// Name, data type and extents of the tensor.
    pub header: TileHeader,
    /// Of A and B sixteen whole rows, of C the tile, row by row.
    pub bytes: Vec<u8>,
}

/// What only the prover knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GemmWitness {
    /// Sixteen rows of A.
    pub left: GemmOperand,
    /// Sixteen rows of B.
    pub right: GemmOperand,
    /// The tile of C.
    pub output: GemmOperand,
    /// Row of tiles of A and of B.
    pub place: [u64; 2],
}

impl GemmPublic {
    /// What is claimed of three blocks (root of the tiles of A's strip, of B's, leaf of C's tile) whose tile stands at `place` of
    /// a product of `size`, under the policy of a run.
    ///
    /// # Errors
    /// [`Violation`] where the policy has tiles of another side, no such class, or one that this circuit is not about, and where
    /// the tile leaves its tensors.
    pub fn claimed(
        blocks: [PoseidonDigest; 3],
        place: [u64; 2],
        size: [u64; 2],
        k: usize,
        policy: &NumericPolicy,
        class: OperationClass,
    ) -> Result<Self, Violation> {
        if policy.side() != SIDE as u64 {
            let detail = format!("the policy's tiles have a side of {}; this circuit has {SIDE}", policy.side());
            return Err(Violation::new("policy", detail));
        }
        let operation = *policy.of(class).ok_or_else(|| Violation::new("policy", "the policy has no such class"))?;
        let public = Self { blocks, place, size, policy: policy.digest(), class, operation, k };
        public.check_form()?;
        Ok(public)
    }

    /// The true public inputs of a tile: what an honest prover claims under a run's policy.
    ///
    /// # Errors
    /// [`Violation`] as [`Self::claimed`], and where the blocks have another shape.
    pub fn of(witness: &GemmWitness, policy: &NumericPolicy, class: OperationClass) -> Result<Self, Violation> {
        let k = usize::try_from(witness.left.header.cols).unwrap_or(usize::MAX);
        let size = [witness.left.header.rows, witness.right.header.rows];
        Self::claimed(witness.blocks(k)?, witness.place, size, k, policy, class)
    }

    /// What the circuit leaves to whoever reads a proof: formats and γ that it has room for, and a full tile.
    pub(crate) fn check_form(&self) -> Result<(), Violation> {
        check_policy(self)?;
        let end = |place: u64| place.checked_add(1).and_then(|tiles| tiles.checked_mul(SIDE as u64));
        let leaves = |(&place, &rows): (&u64, &u64)| end(place).is_none_or(|end| end > rows);
        match self.place.iter().zip(&self.size).any(leaves) {
            true => Err(Violation::new("header", "the tile leaves its tensors")),
            false => Ok(()),
        }
    }

    /// Root of the tiles of A's strip, of B's strip, and the leaf of C's tile.
    #[must_use]
    pub const fn blocks(&self) -> &[PoseidonDigest; 3] {
        &self.blocks
    }

    /// Row of tiles of A and of B; so row and column of the tile of C.
    #[must_use]
    pub const fn place(&self) -> [u64; 2] {
        self.place
    }

    /// Rows of A and of B; so rows and columns of C.
    #[must_use]
    pub const fn size(&self) -> [u64; 2] {
        self.size
    }

    /// Digest of the run's numeric policy.
    #[must_use]
    pub const fn policy(&self) -> Digest32 {
        self.policy
    }

    /// Class of the operation in the policy.
    #[must_use]
    pub const fn class(&self) -> OperationClass {
        self.class
    }

    /// What the policy says of the class.
    #[must_use]
    pub const fn operation(&self) -> &OperationPolicy {
        &self.operation
    }

    /// Length of the dot products.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// γ, in units of 2⁻³².
    pub(crate) fn gamma(&self) -> u64 {
        self.operation.gamma(self.k)
    }
}

impl FieldLayout for GemmPublic {
    fn to_elements(&self) -> Vec<u64> {
        let mut elements: Vec<u64> = self.blocks.iter().flat_map(|digest| digest.elements()).collect();
        elements.extend(self.place);
        elements.extend(self.size);
        elements.extend(digest_elements(self.policy));
        elements.extend([u64::from(self.class.0), self.gamma()]);
        elements
    }
}

impl GemmOperand {
    /// Takes a tensor by its description.
    ///
    /// # Errors
    /// [`Violation`] for a description that no tensor has.
    pub fn new(described: TensorShape<'_>, bytes: Vec<u8>) -> Result<Self, Violation> {
        let header = TileHeader::of(described).map_err(|error| Violation::new("shape", error.to_string()))?;
        Ok(Self { header, bytes })
    }

    /// The tiles of sixteen rows of `k` numbers, each row by row.
    pub(super) fn tiles(&self, k: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
        let (row, tile) = (2 * k, 2 * SIDE);
        (0..k / SIDE).map(move |place| {
            let rows = self.bytes.chunks_exact(row.max(1));
            rows.flat_map(|bytes| bytes[tile * place..tile * (place + 1)].to_vec()).collect()
        })
    }

    /// Root of the tiles of a strip.
    fn strip_root(&self, place: u64, k: usize) -> PoseidonDigest {
        let size = (SIDE as u64, SIDE as u64);
        let leaf = |(column, tile): (u64, Vec<u8>)| self.header.leaf((place, column), size, &tile);
        merkle_root(Domain::TileNode, (0..).zip(self.tiles(k)).map(leaf)).unwrap_or_default()
    }
}

impl GemmWitness {
    /// The digests of the three blocks.
    fn blocks(&self, k: usize) -> Result<[PoseidonDigest; 3], Violation> {
        let lengths = [&self.left, &self.right, &self.output].map(|block| block.bytes.len());
        if !k.is_power_of_two() || !(SIDE..=1024).contains(&k) || lengths != [2 * SIDE * k, 2 * SIDE * k, TILE_BYTES] {
            let detail = format!("blocks of {lengths:?} bytes for dot products of {k}");
            return Err(Violation::new("shape", detail));
        }
        let [row, col] = self.place;
        let output = self.output.header.leaf((row, col), (SIDE as u64, SIDE as u64), &self.output.bytes);
        Ok([self.left.strip_root(row, k), self.right.strip_root(col, k), output])
    }

    /// header: A and B have the rows that C has as rows and columns, K columns, and all are bf16.
    fn check_headers(&self, public: &GemmPublic) -> Result<(), Violation> {
        let [rows, cols] = public.size;
        let k = public.k as u64;
        let expected = [(&self.left, rows, k), (&self.right, cols, k), (&self.output, rows, cols)];
        let differs = |(block, rows, cols): &(&GemmOperand, u64, u64)| {
            let TileHeader { dtype, rows: found_rows, cols: found_cols, .. } = block.header;
            (dtype, found_rows, found_cols) != (BF16, *rows, *cols)
        };
        if expected.iter().any(differs) || self.place != public.place {
            return Err(Violation::new("header", "the three tensors have other types, extents or places"));
        }
        Ok(())
    }

    /// What the native audit says of the tile.
    fn judge(&self, public: &GemmPublic) -> Result<(), Violation> {
        let shape = |error: weighbridge_audit::ShapeError| Violation::new("shape", error.to_string());
        let strip = |block: &GemmOperand| Strip::new(Format::Bf16, SIDE, public.k, block.bytes.clone()).map_err(shape);
        let tile = Tile::new(Format::Bf16, SIDE, SIDE, self.output.bytes.clone()).map_err(shape)?;
        match check_tile(&strip(&self.left)?, &strip(&self.right)?, &tile, &public.operation) {
            TileVerdict::Accepted(facts) if facts.is_wide => {
                Err(Violation::new("sharp", "the tile takes two windows, and this circuit has one"))
            }
            TileVerdict::Accepted(_) => Ok(()),
            TileVerdict::Refused(refusal) => Err(Violation::new(refused_by(&refusal), refusal.to_string())),
            TileVerdict::NotProven(doubt) => Err(Violation::new(doubted_by(&doubt), doubt.to_string())),
        }
    }

    /// The native meaning.
    pub(super) fn check(&self, public: &GemmPublic) -> Result<(), Violation> {
        public.check_form()?;
        let blocks = self.blocks(public.k)?;
        let openings = ["left-opens", "right-opens", "output-opens"];
        let names = blocks.iter().zip(&public.blocks).zip(openings);
        if let Some((_, property)) = names.into_iter().find(|((found, claimed), _)| found != claimed) {
            return Err(Violation::new(property, "the bytes are not those that are committed"));
        }
        self.check_headers(public)?;
        self.judge(public)?;
        let prepared = Prepared::tight(self, public.k);
        prepared.check_covered()?;
        TileValues::of(public, &prepared).check()
    }
}

/// The name of a size in the catalog.
pub(super) const fn id(k: usize) -> CircuitId {
    match k {
        GEMM_LONG => "gemm-1024",
        GEMM_SHORT => "gemm-128",
        _ => "gemm",
    }
}

/// Code of bf16 in the commitments.
pub(super) const BF16: u64 = 12;

/// policy: bf16 throughout, and a γ that no sum of the circuit wraps under.
fn check_policy(public: &GemmPublic) -> Result<(), Violation> {
    let policy = &public.operation;
    let formats = [policy.left(), policy.right(), policy.output()];
    if formats != [Format::Bf16; 3] {
        return Err(Violation::new("policy", format!("formats {formats:?}; this circuit has bf16")));
    }
    if public.gamma() >> GAMMA_BITS != 0 {
        let detail = format!("γ is {} / 2³²; this circuit has room below 2^{GAMMA_BITS} of them", public.gamma());
        return Err(Violation::new("policy", detail));
    }
    Ok(())
}

const fn refused_by(refusal: &TileRefusal) -> &'static str {
    match refusal {
        TileRefusal::NotFinite { .. } => "finite",
        TileRefusal::Outside { .. } => "inside",
        TileRefusal::LooseExponent { .. } => "block-exponent",
        TileRefusal::Format { .. } | TileRefusal::Side { .. } => "policy",
        _ => "shape",
    }
}

const fn doubted_by(doubt: &TileDoubt) -> &'static str {
    match doubt {
        TileDoubt::Cut { .. } => "sharp",
        TileDoubt::Uninformative { .. } => "half-informative",
        TileDoubt::MeanSquare { .. } => "mean-square",
        _ => "policy",
    }
}
