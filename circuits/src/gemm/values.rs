//! **Duty.** All that a prover claims about a tile, in whole numbers: what `gemm` is assigned from. **Knows** bytes and the
//! policy's γ. **Does not know** targets. **Spec.** docs/statements/gemm.md (Figures of one output).
//!
//! Nothing is refused here: a false tile has values too, and the constraints find them.

use super::statement::{ENTRIES, GemmOperand, GemmPublic, GemmWitness, SIDE};
use crate::Violation;

/// Greatest F' of a finite number; what a vector of zeros claims.
pub(super) const MOST: u64 = 253;
/// Least sum of two block exponents: below it the accumulator's flush to zero would stand in the envelope.
pub(super) const LEAST_MAX: u64 = 215;
/// F' of an output less both block exponents, of which the circuit's unit is 0.
pub(super) const OUTPUT_UNIT: u64 = 165;
/// Largest shift of an output.
const MOST_SHIFT: i64 = 55;
/// Largest residual of five limbs.
const MOST_RESIDUAL: i128 = 1023;
/// The bit that the largest magnitude of a vector reaches.
const TOP: u64 = 1 << 23;

/// A strip under claimed block exponents.
#[derive(Debug, Clone)]
pub(super) struct PreparedStrip {
    /// Packed words of each tile.
    pub(super) words: Vec<Vec<u64>>,
    /// Greatest F' of each vector.
    pub(super) max: [u64; SIDE],
    /// Where it is reached.
    pub(super) top: [usize; SIDE],
    /// Whether a vector holds nothing but zeros.
    pub(super) is_quiet: [bool; SIDE],
    /// Magnitude, sign and mark of a cut, vector by vector.
    entries: Vec<Vec<Shifted>>,
    /// Whether a vector has numbers and no normal one.
    is_subnormal: bool,
}

#[derive(Debug, Clone, Copy)]
struct Shifted {
    magnitude: u64,
    is_negative: bool,
    is_cut: bool,
}

/// Both strips and the tile, under claimed exponents.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) strips: [PreparedStrip; 2],
    pub(super) output_words: Vec<u64>,
    outputs: Vec<u64>,
}

/// What is claimed about one output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EntryValues {
    /// S is below zero.
    pub(super) is_negative: bool,
    /// C is below S.
    pub(super) is_below: bool,
    /// ⌊C / 2⁸⌋ and the rest of it.
    pub(super) output: [u64; 2],
    /// ⌊U / 2³²⌋ and the rest.
    pub(super) upper: [u64; 2],
    /// ⌊(2²⁴ · rest of C + γ · rest of U) / 2³²⌋ and the rest.
    pub(super) carried: [u64; 2],
    /// 10 · (rest + 2) in 2³², rounded up, and what it lacks.
    pub(super) tenfold: [u64; 2],
    pub(super) is_informative: bool,
    /// |C − S| / E in 256ths, rounded up.
    pub(super) residual: u64,
    /// What must not be below 0: inside, sharp, residual.
    margins: [i128; 3],
}

/// Everything.
#[derive(Debug, Clone)]
pub(super) struct TileValues {
    /// S, P and U.
    pub(super) products: [Vec<i128>; 3],
    /// Σ of upper ends over each vector of A and of B.
    pub(super) sums: [[u64; SIDE]; 2],
    pub(super) entries: Vec<EntryValues>,
    pub(super) whole: WholeValues,
}

/// About the tile as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WholeValues {
    pub(super) informative: u64,
    filled: u64,
    squares: u64,
    /// ⌊2¹⁶n / 3⌋, ⌊√(2¹⁶n)⌋ and ⌊117,964 · √(2¹⁶n) / 256⌋.
    pub(super) bound: [u64; 3],
}

/// 1.8 · 2¹⁶, rounded down, as in the native audit.
pub(super) const SPREAD: u64 = 117_964;

fn packed(tile: &[u8]) -> Vec<u64> {
    weighbridge_commitments::pack7(tile)
}

fn stored(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(2).map(|pair| u64::from(pair[0]) | (u64::from(pair[1]) << 8)).collect()
}

/// Sign, F' and mantissa.
const fn decoded(stored: u64) -> (bool, u64, u64) {
    let (field, fraction) = ((stored >> 7) & 0xff, stored & 0x7f);
    let hidden = if field == 0 { 0 } else { 1 };
    (stored >> 15 == 1, field - hidden, fraction | (hidden << 7))
}

/// ⌊mantissa · 2^(16 − distance)⌋, and whether anything is cut off.
const fn shifted(stored: u64, max: u64) -> Shifted {
    let (is_negative, exponent, mantissa) = decoded(stored);
    let distance = max.wrapping_sub(exponent) & 0xff;
    let (magnitude, is_cut) = match distance {
        0..=15 => (mantissa << (16 - distance), false),
        16..=31 => (mantissa >> (distance - 16), mantissa & ((1 << (distance - 16)) - 1) != 0),
        _ => (0, mantissa != 0),
    };
    Shifted { magnitude, is_negative, is_cut }
}

impl PreparedStrip {
    fn new(operand: &GemmOperand, k: usize, claimed: Option<[u64; SIDE]>) -> Self {
        let vectors: Vec<Vec<u64>> = operand.bytes.chunks_exact(2 * k).map(stored).collect();
        let of = |vector: &Vec<u64>| vector.iter().map(|&stored| decoded(stored)).collect::<Vec<_>>();
        let numbers: Vec<_> = vectors.iter().map(of).collect();
        let normal = |number: &(bool, u64, u64)| number.2 >= 1 << 7;
        let is_quiet = std::array::from_fn(|vector| numbers[vector].iter().all(|number| number.2 == 0));
        let tight = |vector: usize| {
            let greatest = numbers[vector].iter().filter(|number| normal(number)).map(|number| number.1).max();
            greatest.unwrap_or(if is_quiet[vector] { MOST } else { 0 })
        };
        let max = claimed.unwrap_or_else(|| std::array::from_fn(tight));
        let shift = |vector: usize| vectors[vector].iter().map(|&stored| shifted(stored, max[vector])).collect();
        let entries: Vec<Vec<Shifted>> = (0..SIDE).map(shift).collect();
        let top = |vector: usize| entries[vector].iter().position(|entry| entry.magnitude >= TOP).unwrap_or_default();
        let is_subnormal = (0..SIDE).any(|vector| !is_quiet[vector] && !numbers[vector].iter().any(normal));
        let words = operand.tiles(k).map(|tile| packed(&tile)).collect();
        Self { words, max, top: std::array::from_fn(top), is_quiet, entries, is_subnormal }
    }

    /// Magnitude, sign and cut mark of an entry.
    #[cfg(test)]
    pub(super) fn entry(&self, vector: usize, place: usize) -> (u64, bool, bool) {
        let Shifted { magnitude, is_negative, is_cut } = self.entries[vector][place];
        (magnitude, is_negative, is_cut)
    }

    fn sum(&self, vector: usize) -> u64 {
        self.entries[vector].iter().map(|entry| entry.magnitude + u64::from(entry.is_cut)).sum()
    }
}

impl Prepared {
    /// Under the tight exponents.
    pub(super) fn tight(witness: &GemmWitness, k: usize) -> Self {
        Self::claimed(witness, k, [None, None])
    }

    /// Under whatever is claimed.
    pub(super) fn claimed(witness: &GemmWitness, k: usize, max: [Option<[u64; SIDE]>; 2]) -> Self {
        let [left, right] = max;
        let strips = [PreparedStrip::new(&witness.left, k, left), PreparedStrip::new(&witness.right, k, right)];
        Self { strips, output_words: packed(&witness.output.bytes), outputs: stored(&witness.output.bytes) }
    }

    /// Bytes of the outputs, low and high.
    pub(super) fn output_bytes(&self) -> impl Iterator<Item = [u64; 2]> + '_ {
        self.outputs.iter().map(|stored| [stored & 0xff, stored >> 8])
    }

    /// Shift of an output above the unit of its product.
    fn shift(&self, entry: usize) -> i64 {
        let [left, right] = &self.strips;
        let (_, exponent, _) = decoded(self.outputs[entry]);
        let small = |value: u64| i64::try_from(value).unwrap_or_default();
        small(exponent) + small(OUTPUT_UNIT) - small(left.max[entry / SIDE]) - small(right.max[entry % SIDE])
    }

    /// What this circuit has no room for: `covered`, `flush`, `output-unit`.
    pub(super) fn check_covered(&self) -> Result<(), Violation> {
        let [left, right] = &self.strips;
        if left.is_subnormal || right.is_subnormal {
            return Err(Violation::new("covered", "a vector has no normal number; this circuit does not cover it"));
        }
        for entry in 0..ENTRIES {
            let (row, col) = (entry / SIDE, entry % SIDE);
            if left.max[row] + right.max[col] < LEAST_MAX {
                let detail = format!("C[{row}][{col}]: products so small are flushed to zero; not covered");
                return Err(Violation::new("flush", detail));
            }
            let (_, _, mantissa) = decoded(self.outputs[entry]);
            if mantissa != 0 && !(0..=MOST_SHIFT).contains(&self.shift(entry)) {
                let detail = format!("C[{row}][{col}] is smaller than a unit of its product; not covered");
                return Err(Violation::new("output-unit", detail));
            }
        }
        Ok(())
    }

    /// S, P and U of one output.
    fn products(&self, entry: usize) -> [i128; 3] {
        let [left, right] = &self.strips;
        let pairs = left.entries[entry / SIDE].iter().zip(&right.entries[entry % SIDE]);
        pairs.fold([0; 3], |[sum, lower, upper], (a, b)| {
            let product = i128::from(a.magnitude) * i128::from(b.magnitude);
            let signed = if a.is_negative == b.is_negative { product } else { -product };
            let end = |x: &Shifted| i128::from(x.magnitude) + i128::from(x.is_cut);
            [sum + signed, lower + product, upper + end(a) * end(b)]
        })
    }

    /// C in units of its product; 0 where it has no such number.
    fn output(&self, entry: usize) -> i128 {
        let (is_negative, _, mantissa) = decoded(self.outputs[entry]);
        let shift = self.shift(entry);
        let in_range = mantissa != 0 && (0..=MOST_SHIFT).contains(&shift);
        let magnitude = if in_range { i128::from(mantissa) << shift } else { 0 };
        if is_negative { -magnitude } else { magnitude }
    }
}

/// The lowest bits of a number that is not negative.
fn low(value: i128) -> u64 {
    u64::try_from(value & i128::from(u64::MAX >> 1)).unwrap_or_default()
}

fn halves(value: i128, bits: u32) -> [u64; 2] {
    [low(value >> bits), low(value & ((1 << bits) - 1))]
}

impl EntryValues {
    /// Of an output C with the products S, P and U.
    pub(super) fn of(output: i128, [sum, lower, upper]: [i128; 3], gamma: u64) -> Self {
        let gamma = i128::from(gamma);
        let magnitude = output.abs();
        let (c, u) = (halves(magnitude, 8), halves(upper, 32));
        let carried = (i128::from(c[1]) << 24) + gamma * i128::from(u[1]);
        let carried = halves(carried, 32);
        let rounding = i128::from(c[0]) + gamma * i128::from(u[0]) + i128::from(carried[0]);
        let envelope = rounding + upper - lower;
        let distance = (output - sum).abs();
        let tenfold = 10 * (i128::from(carried[1]) + 2);
        let tens = (tenfold + (1 << 32) - 1) >> 32;
        let informative = sum.abs() - 10 * envelope - tens;
        let residual = match envelope {
            1.. => (((distance << 10) + 5 * envelope - 1) / (4 * envelope)).min(MOST_RESIDUAL),
            _ => 0,
        };
        let residue = (4 * residual - 1) * envelope - (distance << 10);
        Self {
            is_negative: sum < 0,
            is_below: output < sum,
            output: c,
            upper: u,
            carried,
            tenfold: [low(tens), low((tens << 32) - tenfold)],
            is_informative: informative >= 0,
            residual: low(residual),
            margins: [envelope - distance, rounding - 4 * (upper - lower), residue],
        }
    }

    fn check(&self, (row, col): (usize, usize)) -> Result<(), Violation> {
        let names = ["inside", "sharp", "residual"];
        match self.margins.iter().zip(names).find(|(margin, _)| **margin < 0) {
            Some((_, property)) => {
                Err(Violation::new(property, format!("C[{row}][{col}], to the last fraction of a unit")))
            }
            None => Ok(()),
        }
    }
}

impl TileValues {
    pub(super) fn of(public: &GemmPublic, prepared: &Prepared) -> Self {
        let mut products = [const { Vec::new() }; 3];
        for entry in 0..ENTRIES {
            let of_entry = prepared.products(entry);
            products.iter_mut().zip(of_entry).for_each(|(all, product)| all.push(product));
        }
        Self::with_products(public, prepared, products)
    }

    /// With products of the caller's choice.
    pub(super) fn with_products(public: &GemmPublic, prepared: &Prepared, products: [Vec<i128>; 3]) -> Self {
        let of = |entry: usize| {
            let product = std::array::from_fn(|kind| products[kind][entry]);
            EntryValues::of(prepared.output(entry), product, public.gamma())
        };
        let entries: Vec<EntryValues> = (0..ENTRIES).map(of).collect();
        let sums = [0, 1].map(|side: usize| std::array::from_fn(|vector| prepared.strips[side].sum(vector)));
        let filled = products[2].iter().filter(|&&upper| upper != 0).count() as u64;
        Self { products, sums, whole: WholeValues::of(&entries, filled), entries }
    }

    /// inside, sharp and residual to the last fraction, then the tile as a whole.
    pub(super) fn check(&self) -> Result<(), Violation> {
        for (place, entry) in self.entries.iter().enumerate() {
            entry.check((place / SIDE, place % SIDE))?;
        }
        let WholeValues { informative, filled, squares, bound } = self.whole;
        if 2 * informative < filled {
            return Err(Violation::new("half-informative", format!("{informative} of {filled}")));
        }
        if squares > bound[0] + bound[2] {
            return Err(Violation::new("mean-square", format!("{squares} of {}", bound[0] + bound[2])));
        }
        Ok(())
    }
}

impl WholeValues {
    pub(super) fn of(entries: &[EntryValues], filled: u64) -> Self {
        let counted = || entries.iter().filter(|entry| entry.is_informative);
        let informative = counted().count() as u64;
        let squares = counted().map(|entry| entry.residual * entry.residual).sum();
        let scaled = informative << 16;
        let root = scaled.isqrt();
        Self { informative, filled, squares, bound: [scaled / 3, root, (SPREAD * root) >> 8] }
    }
}
