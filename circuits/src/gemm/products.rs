//! **Duty.** The claimed products are those of the strips: three exact matrix products compared at a point that is drawn
//! from everything they could depend on. **Knows** claims and entries. **Does not know** envelopes. **Spec.** CIRCUITS §2
//! (Freivalds in the extension), §5 (rule 1); docs/statements/gemm.md (Products).
//!
//! `Σ_k A_k(λ) · B_k(ρ)` over the entries is `Σ_ij C_ij λ^i ρ^j` over the products. The upper ends have a leading 1 in both
//! polynomials, so that their identity also holds the sums of each vector: with α_k, β_k for the upper ends,
//! `Σ_k (α_k + λ¹⁶)(β_k + ρ¹⁶) = U(λ,ρ) + ρ¹⁶ Σ_i a_i λ^i + λ¹⁶ Σ_j b_j ρ^j + K λ¹⁶ρ¹⁶`.

use plonky2::field::types::Field as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::ext_target::ExtensionTarget;
use plonky2::iop::target::Target;
use plonky2::util::reducing::ReducingFactorTarget;
use weighbridge_attest_types::Domain;

use super::statement::SIDE;
use super::strips::StripTargets;
use crate::gadgets::tagged_hash;
use crate::gates::CombineRule;
use crate::statement::{Builder, EXTENSION, Field};

type Extended = ExtensionTarget<EXTENSION>;

/// What the products were claimed to be before the point was drawn.
pub(super) struct Claims<'a> {
    pub(super) blocks: [HashOutTarget; 3],
    pub(super) gamma: Target,
    pub(super) strips: [&'a StripTargets; 2],
    /// S, P and U of every output, row by row.
    pub(super) products: &'a [Vec<Target>; 3],
}

/// A point with its powers 1 to 4.
struct Point {
    powers: [Extended; 4],
}

impl Point {
    fn new(builder: &mut Builder, value: Extended) -> Self {
        let square = builder.square_extension(value);
        let cube = builder.mul_extension(square, value);
        let fourth = builder.square_extension(square);
        Self { powers: [value, square, cube, fourth] }
    }

    /// To the power of 16.
    fn sixteenth(&self, builder: &mut Builder) -> Extended {
        let eighth = builder.square_extension(self.powers[3]);
        builder.square_extension(eighth)
    }

    /// `Σ valueᵢ · pointⁱ`.
    fn at(&self, builder: &mut Builder, values: &[Target]) -> Extended {
        ReducingFactorTarget::new(self.powers[0]).reduce_base(values, builder)
    }
}

impl Claims<'_> {
    /// transcript: both points come from the blocks, the policy's γ, the block exponents and every claim.
    fn points(&self, builder: &mut Builder) -> [Point; 2] {
        let mut elements: Vec<Target> = self.blocks.iter().flat_map(|block| block.elements).collect();
        elements.push(self.gamma);
        elements.extend(self.strips.iter().flat_map(|strip| strip.max));
        elements.extend(self.strips.iter().flat_map(|strip| strip.sums));
        elements.extend(self.products.iter().flatten());
        let [a, b, c, d] = tagged_hash(builder, Domain::TileTranscript, &elements).elements;
        [[a, b], [c, d]].map(|value| Point::new(builder, ExtensionTarget(value)))
    }

    /// products-agree, sums-agree.
    pub(super) fn agree(&self, builder: &mut Builder) {
        let [lambda, rho] = self.points(builder);
        let computed = self.of_entries(builder, &lambda, &rho);
        for (kind, computed) in computed.into_iter().enumerate() {
            let mut claimed = of_outputs(builder, &self.products[kind], &lambda, &rho);
            if kind == 2 {
                claimed = self.with_sums(builder, claimed, &lambda, &rho);
            }
            builder.connect_extension(computed, claimed);
        }
    }

    /// `Σ_k A_k(λ) · B_k(ρ)` of the three kinds.
    fn of_entries(&self, builder: &mut Builder, lambda: &Point, rho: &Point) -> [Extended; 3] {
        let mut sums = [builder.zero_extension(); 3];
        for position in 0..self.positions() {
            let [left, right] = [(self.strips[0], lambda), (self.strips[1], rho)].map(|(strip, point)| {
                let values = std::array::from_fn(|kind| &strip.entries.kinds[kind][position]);
                CombineRule::add(builder, &point.powers, values)
            });
            for (sum, (left, right)) in sums.iter_mut().zip(left.into_iter().zip(right)) {
                *sum = builder.mul_add_extension(left, right, *sum);
            }
        }
        sums
    }

    fn positions(&self) -> usize {
        self.strips[0].entries.kinds[0].len()
    }

    /// The terms that the leading 1 of both polynomials adds.
    fn with_sums(&self, builder: &mut Builder, products: Extended, lambda: &Point, rho: &Point) -> Extended {
        let [left, right] = self.strips;
        let (rows, cols) = (lambda.at(builder, &left.sums), rho.at(builder, &right.sums));
        let (row_power, col_power) = (lambda.sixteenth(builder), rho.sixteenth(builder));
        let total = builder.mul_add_extension(rows, col_power, products);
        let total = builder.mul_add_extension(cols, row_power, total);
        let both = builder.mul_extension(row_power, col_power);
        builder.mul_const_add_extension(Field::from_canonical_usize(self.positions()), both, total)
    }
}

/// `Σ_ij C_ij λ^i ρ^j`.
fn of_outputs(builder: &mut Builder, outputs: &[Target], lambda: &Point, rho: &Point) -> Extended {
    let rows: Vec<Extended> = outputs.chunks(SIDE).map(|row| rho.at(builder, row)).collect();
    ReducingFactorTarget::new(lambda.powers[0]).reduce(&rows, builder)
}
