//! **Duty.** One output as constraints: C lies in the envelope of its product, and whether that says anything. **Knows** S, P, U
//! and the stored number. **Does not know** where they come from. **Spec.** docs/statements/gemm.md (Figures of one output);
//! the native meaning is `audit/src/gemm/envelope.rs`.
//!
//! In whole units of the product, with `|C| = c₁·2⁸ + c₀`, `U = u₁·2³² + u₀` and `2²⁴c₀ + γu₀ = v·2³² + y`:
//! `rounding = c₁ + γu₁ + v`, `E = rounding + U − P`, and y is the fraction below, in 2⁻³² of a unit.

use plonky2::field::types::Field as _;
use plonky2::iop::target::{BoolTarget, Target};

use super::values::{EntryValues, LEAST_MAX};
use crate::Violation;
use crate::gadgets::set;
use crate::gates::{LimbRule, OutputTargets, inverse_or_zero};
use crate::statement::{Assignment, Builder, Field};

/// distance, E − distance, |S|, rounding − 4 · cut.
const MARGINS: &[usize; 4] = &[30; 4];
/// How informative, how much above the residual, c₁, c₀, what ten fractions lack, ten fractions, residual.
const SHARES: &[usize; 7] = &[30, 30, 26, 4, 16, 2, 5];
/// u₀, u₁, y, v, what the block exponents exceed their least sum by.
const PARTS: &[usize; 5] = &[16, 14, 16, 12, 5];

/// An output's inputs.
#[derive(Debug)]
pub(super) struct EntryInputs {
    pub(super) is_negative: BoolTarget,
    pub(super) is_below: BoolTarget,
    pub(super) output: [Target; 2],
    pub(super) upper: [Target; 2],
    pub(super) carried: [Target; 2],
    pub(super) tenfold: [Target; 2],
    pub(super) is_informative: BoolTarget,
    pub(super) residual: Target,
    /// 1 / U, or anything where U is 0.
    pub(super) inverse: Target,
}

/// What one output takes.
pub(super) struct Entry {
    /// S, P and U.
    pub(super) products: [Target; 3],
    pub(super) output: OutputTargets,
    pub(super) gamma: Target,
    /// Sum of both block exponents.
    pub(super) max: Target,
}

/// Counts over the tile: informative, filled, squares.
pub(super) type Counts = [Target; 3];

impl EntryInputs {
    pub(super) fn new(builder: &mut Builder) -> Self {
        Self {
            is_negative: builder.add_virtual_bool_target_safe(),
            is_below: builder.add_virtual_bool_target_safe(),
            output: builder.add_virtual_target_arr(),
            upper: builder.add_virtual_target_arr(),
            carried: builder.add_virtual_target_arr(),
            tenfold: builder.add_virtual_target_arr(),
            is_informative: builder.add_virtual_bool_target_safe(),
            residual: builder.add_virtual_target(),
            inverse: builder.add_virtual_target(),
        }
    }

    pub(super) fn assign(
        &self,
        values: &EntryValues,
        upper: Field,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        let EntryValues {
            is_negative, is_below, output, upper: parts, carried, tenfold, is_informative, residual, ..
        } = values;
        let flags = [(self.is_negative, is_negative), (self.is_below, is_below), (self.is_informative, is_informative)];
        flags.into_iter().try_for_each(|(target, &flag)| set(assignment, target.target, u64::from(flag)))?;
        let targets = [self.output, self.upper, self.carried, self.tenfold];
        let pairs = targets.iter().flatten().zip([output, parts, carried, tenfold].into_iter().flatten());
        pairs.into_iter().try_for_each(|(&target, &value)| set(assignment, target, value))?;
        set(assignment, self.residual, *residual)?;
        assignment.target_values.insert(self.inverse, inverse_or_zero(upper));
        Ok(())
    }
}

impl Entry {
    /// All rules of one output; adds it to the counts.
    pub(super) fn hold(&self, builder: &mut Builder, inputs: &EntryInputs, counts: Counts) -> Counts {
        let [sum, _, _] = self.products;
        let rounding = self.rounding(builder, inputs);
        let cut = self.cut(builder);
        let envelope = builder.add(rounding, cut);
        // magnitude: S without its sign.
        let magnitude = signed(builder, inputs.is_negative, sum);
        // distance: C − S without its sign.
        let output = signed(builder, BoolTarget::new_unsafe(self.output.negative), self.output.magnitude);
        let difference = builder.sub(output, sum);
        let distance = signed(builder, inputs.is_below, difference);
        // inside: distance ≤ E.
        let inside = builder.sub(envelope, distance);
        // sharp: 4 · cut ≤ rounding.
        let sharp = builder.mul_const_add(-Field::from_canonical_u64(4), cut, rounding);
        LimbRule::bound(builder, MARGINS, [distance, inside, magnitude, sharp]);

        let informative = informative(builder, inputs, envelope, magnitude);
        let residual = residual_is_enough(builder, inputs, envelope, distance);
        let [high, low] = inputs.output;
        let [tens, lacking] = inputs.tenfold;
        LimbRule::bound(builder, SHARES, [informative, residual, high, low, lacking, tens, inputs.residual]);
        let filled = self.empty_is_zero(builder, inputs);
        count(builder, inputs, filled, counts)
    }

    /// rounding: ⌊|C| · 2⁻⁸ + γ · U⌋, from parts that are bounded; flush: none of the envelope.
    fn rounding(&self, builder: &mut Builder, inputs: &EntryInputs) -> Target {
        let [output_high, output_low] = inputs.output;
        let [upper_high, upper_low] = inputs.upper;
        let [carry, fraction] = inputs.carried;
        let power = |bits: usize| Field::from_canonical_u64(1 << bits);
        let output = builder.mul_const_add(power(8), output_high, output_low);
        builder.connect(output, self.output.magnitude);
        let upper = builder.mul_const_add(power(32), upper_high, upper_low);
        builder.connect(upper, self.products[2]);
        let low = builder.mul(self.gamma, upper_low);
        let low = builder.mul_const_add(power(24), output_low, low);
        let carried = builder.mul_const_add(power(32), carry, fraction);
        builder.connect(low, carried);
        let least = builder.constant(Field::from_canonical_u64(LEAST_MAX));
        let room = builder.sub(self.max, least);
        LimbRule::bound(builder, PARTS, [upper_low, upper_high, fraction, carry, room]);
        let high = builder.mul_add(self.gamma, upper_high, output_high);
        builder.add(high, carry)
    }

    /// U − P: exactly what the encoding lost at most.
    fn cut(&self, builder: &mut Builder) -> Target {
        let [_, lower, upper] = self.products;
        builder.sub(upper, lower)
    }

    /// empty-is-zero: where every product is zero, so is C. Gives 1 where one is not.
    fn empty_is_zero(&self, builder: &mut Builder, inputs: &EntryInputs) -> Target {
        let upper = self.products[2];
        let filled = builder.mul(upper, inputs.inverse);
        for value in [upper, self.output.mantissa] {
            let kept = builder.mul(filled, value);
            builder.connect(kept, value);
        }
        filled
    }
}

/// `value`, or its negative where the flag is set.
fn signed(builder: &mut Builder, negative: BoolTarget, value: Target) -> Target {
    builder.arithmetic(-Field::TWO, Field::ONE, negative.target, value, value)
}

/// informative: 10 · E ≤ |S|, to the last fraction, if and only if the flag is set. Gives what must not be negative.
fn informative(builder: &mut Builder, inputs: &EntryInputs, envelope: Target, magnitude: Target) -> Target {
    let [tens, lacking] = inputs.tenfold;
    let [_, fraction] = inputs.carried;
    // 10 · (y + 2) = tens · 2³² − lacking: the 2 are the floors of the native envelope.
    let ten = Field::from_canonical_u64(10);
    let tenfold = builder.mul_const_add(ten, fraction, lacking);
    let tenfold = builder.add_const(tenfold, Field::from_canonical_u64(20));
    let rounded = builder.mul_const(Field::from_canonical_u64(1 << 32), tens);
    builder.connect(tenfold, rounded);
    let wide = builder.mul_const_add(ten, envelope, tens);
    let margin = builder.sub(magnitude, wide);
    // margin, or −margin − 1.
    let twice =
        builder.arithmetic(Field::TWO, Field::ONE, inputs.is_informative.target, margin, inputs.is_informative.target);
    let rest = builder.add_const(margin, Field::ONE);
    builder.sub(twice, rest)
}

/// residual: `4 · residual − 1` of 1,024ths of E are at least the distance. Gives what must not be negative.
fn residual_is_enough(builder: &mut Builder, inputs: &EntryInputs, envelope: Target, distance: Target) -> Target {
    let quarters = builder.mul_const(Field::from_canonical_u64(4), inputs.residual);
    let quarters = builder.add_const(quarters, Field::NEG_ONE);
    let reached = builder.mul(quarters, envelope);
    builder.mul_const_add(-Field::from_canonical_u64(1 << 10), distance, reached)
}

/// counts: informative outputs, those that are not empty, and squares of the informative ones.
fn count(builder: &mut Builder, inputs: &EntryInputs, filled: Target, [n, all, squares]: Counts) -> Counts {
    let flag = inputs.is_informative.target;
    let counted = builder.mul(flag, inputs.residual);
    let squares = builder.mul_add(counted, inputs.residual, squares);
    [builder.add(n, flag), builder.add(all, filled), squares]
}
