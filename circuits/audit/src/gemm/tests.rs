//! Honest tiles pass, and a forger's do not: refused or not proven, never accepted.

mod excuses;
mod forgers;
mod honest;

use super::*;

/// Two operands by vectors of K, and an output, as f32 values that their format holds.
#[derive(Debug, Clone)]
struct Case {
    a: Vec<Vec<f32>>,
    b: Vec<Vec<f32>>,
    c: Vec<Vec<f32>>,
    operands: Format,
    output: Format,
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest single is what is wanted")]
const fn nearest(value: f64) -> f32 {
    value as f32
}

fn bf16(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

fn rounded(format: Format, value: f32) -> f32 {
    match format {
        Format::Bf16 => bf16(value),
        Format::F32 => value,
        Format::E4m3 => panic!("fp8 tiles are made of bits"),
    }
}

fn stored(format: Format, values: &[f32]) -> Vec<u8> {
    match format {
        Format::Bf16 => values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        Format::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Format::E4m3 => panic!("fp8 tiles are made of bits"),
    }
}

/// Repeatable numbers, close to normal: twelve uniform ones, less 6.
struct Numbers(u64);

impl Numbers {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}

impl Case {
    /// A product of near-normal operands, computed in f32.
    fn new((rows, k, cols): (usize, usize, usize), operands: Format, output: Format) -> Self {
        let mut numbers = Numbers(7);
        let mut vector = || (0..k).map(|_| rounded(operands, numbers.normal())).collect::<Vec<f32>>();
        let a = (0..rows).map(|_| vector()).collect();
        let b = (0..cols).map(|_| vector()).collect();
        Self { a, b, c: Vec::new(), operands, output }.computed()
    }

    fn bf16(k: usize) -> Self {
        Self::new((16, k, 16), Format::Bf16, Format::Bf16)
    }

    /// With the output that the operands have.
    fn computed(mut self) -> Self {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0f32, |sum, (a, b)| a.mul_add(*b, sum));
        let row = |a: &Vec<f32>| self.b.iter().map(|b| rounded(self.output, dot(a, b))).collect();
        self.c = self.a.iter().map(row).collect();
        self
    }

    fn zeros(mut self) -> Self {
        self.c.iter_mut().flatten().for_each(|c| *c = 0.0);
        self
    }

    fn strips(&self) -> (Strip, Strip, Tile) {
        let k = self.a[0].len();
        let strip = |vectors: &[Vec<f32>]| {
            Strip::new(self.operands, vectors.len(), k, stored(self.operands, &vectors.concat())).unwrap()
        };
        let c = Tile::new(self.output, self.c.len(), self.c[0].len(), stored(self.output, &self.c.concat())).unwrap();
        (strip(&self.a), strip(&self.b), c)
    }

    fn policy(&self) -> OperationPolicy {
        OperationPolicy::of(self.operands, self.output)
    }

    fn check(&self) -> TileVerdict {
        let (a, b, c) = self.strips();
        check_tile(&a, &b, &c, &self.policy())
    }

    fn accepted(&self) -> TileFacts {
        match self.check() {
            TileVerdict::Accepted(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    fn is_accepted(&self) -> bool {
        matches!(self.check(), TileVerdict::Accepted(_))
    }

    /// Entries outside of their envelopes.
    fn outside(&self) -> usize {
        match self.check() {
            TileVerdict::Refused(TileRefusal::Outside { outside, .. }) => outside,
            other => panic!("{other:?}"),
        }
    }
}
