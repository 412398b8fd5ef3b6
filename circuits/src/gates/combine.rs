//! **Duty.** One position of sixteen vectors, in three kinds, as three polynomials at a point of the extension. **Knows** wires.
//! **Does not know** how the point was drawn. **Spec.** CIRCUITS §2 (Freivalds in the extension); decision 0080.
//!
//! `signed = Σ sᵢ λⁱ`, `magnitude = Σ qᵢ λⁱ`, `upper = λ¹⁶ + Σ uᵢ λⁱ`: the leading 1 makes the sums of each vector come along
//! with the products (docs/statements/gemm.md).

use plonky2::field::extension::Extendable;
use plonky2::field::types::Field as _;
use plonky2::iop::ext_target::ExtensionTarget;
use plonky2::iop::target::Target;

use super::algebra::{Algebra, Native};
use super::rule::{Row, Rule, RuleGate};
use crate::statement::{Builder, EXTENSION, Field};

/// Vectors of a strip: the side of a tile.
const SIDE: usize = 16;
/// Signed, magnitude, upper.
const KINDS: usize = 3;
/// Powers of the point that are given: λ to λ⁴.
const POWERS: usize = 4;
const VALUES: usize = 2 * POWERS;
const OUT: usize = VALUES + KINDS * SIDE;
const BETWEEN: usize = OUT + 2 * KINDS;
const STEPS: usize = SIDE / POWERS;
const WIRES: usize = BETWEEN + 2 * KINDS * (STEPS - 1);

/// Wires: four powers of the point; sixteen values of each kind; three results; partial sums.
#[derive(Debug, Clone)]
pub(crate) struct CombineRule;

type Pair<T> = [T; EXTENSION];

impl CombineRule {
    /// Adds a row over `values[kind][vector]`; gives the three results.
    pub(crate) fn add(
        builder: &mut Builder,
        powers: &[ExtensionTarget<EXTENSION>; POWERS],
        values: [&[Target; SIDE]; KINDS],
    ) -> [ExtensionTarget<EXTENSION>; KINDS] {
        let row = RuleGate::add(builder, Self);
        let powers = powers.iter().flat_map(|power| power.0);
        powers.enumerate().for_each(|(wire, value)| row.take(builder, wire, value));
        let values = values.into_iter().flatten();
        values.enumerate().for_each(|(place, &value)| row.take(builder, VALUES + place, value));
        let pair = |row: Row, wire: usize| ExtensionTarget([row.wire(wire), row.wire(wire + 1)]);
        std::array::from_fn(|kind| pair(row, OUT + 2 * kind))
    }

    /// Where the sum of a kind after a step stands: the last is the result.
    const fn sum_after(kind: usize, step: usize) -> usize {
        if step + 1 == STEPS { OUT + 2 * kind } else { BETWEEN + 2 * (kind * (STEPS - 1) + step) }
    }

    /// `sum · λ⁴ + x₃λ³ + x₂λ² + x₁λ + x₀`, from the highest values down.
    fn step<T: Copy>(wires: &[T], kind: usize, step: usize, algebra: &mut impl Algebra<T>) -> Pair<T> {
        let power = |exponent: usize| [wires[2 * (exponent - 1)], wires[2 * exponent - 1]];
        let first = SIDE - POWERS * (step + 1);
        let value = |place: usize| wires[VALUES + kind * SIDE + first + place];
        let mut sum = if step > 0 {
            let before = Self::sum_after(kind, step - 1);
            multiply([wires[before], wires[before + 1]], power(POWERS), algebra)
        } else if kind + 1 == KINDS {
            power(POWERS)
        } else {
            [algebra.constant(0), algebra.constant(0)]
        };
        for place in 1..POWERS {
            let [low, high] = power(place);
            let (low, high) = (algebra.mul(low, value(place)), algebra.mul(high, value(place)));
            sum = [algebra.add(sum[0], low), algebra.add(sum[1], high)];
        }
        [algebra.add(sum[0], value(0)), sum[1]]
    }
}

/// In the extension by the root of W.
fn multiply<T: Copy>([a, b]: Pair<T>, [c, d]: Pair<T>, algebra: &mut impl Algebra<T>) -> Pair<T> {
    use plonky2::field::types::PrimeField64 as _;
    let w = <Field as Extendable<EXTENSION>>::W.to_canonical_u64();
    let (ac, bd) = (algebra.mul(a, c), algebra.mul(b, d));
    let bd = algebra.times(w, bd);
    let (ad, bc) = (algebra.mul(a, d), algebra.mul(b, c));
    [algebra.add(ac, bd), algebra.add(ad, bc)]
}

impl Rule for CombineRule {
    fn id(&self) -> String {
        "weighbridge combine: 16 vectors of 3 kinds at a point".to_owned()
    }
    fn wires(&self) -> usize {
        WIRES
    }
    fn constraints(&self) -> usize {
        2 * KINDS * STEPS
    }
    fn degree(&self) -> usize {
        2
    }

    fn constrain<T: Copy>(&self, wires: &[T], algebra: &mut impl Algebra<T>, emit: &mut impl FnMut(T)) {
        for kind in 0..KINDS {
            for step in 0..STEPS {
                let after = Self::sum_after(kind, step);
                let [low, high] = Self::step(wires, kind, step, algebra);
                emit(algebra.sub(low, wires[after]));
                emit(algebra.sub(high, wires[after + 1]));
            }
        }
    }

    fn given(&self) -> Vec<usize> {
        (0..OUT).collect()
    }

    fn fill(&self, given: &dyn Fn(usize) -> Field, put: &mut dyn FnMut(usize, Field)) {
        let mut wires = [Field::ZERO; WIRES];
        wires[..OUT].iter_mut().enumerate().for_each(|(wire, value)| *value = given(wire));
        for kind in 0..KINDS {
            for step in 0..STEPS {
                let after = Self::sum_after(kind, step);
                let sum = Self::step(&wires, kind, step, &mut Native);
                wires[after..after + 2].copy_from_slice(&sum);
                put(after, sum[0]);
                put(after + 1, sum[1]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::rule::tests::{every_wire_is_bound, filled, is_one_gate};
    use plonky2::field::extension::FieldExtension as _;
    use plonky2::field::types::Sample as _;

    type Extended = <Field as Extendable<EXTENSION>>::Extension;

    #[test]
    fn a_combination_is_one_gate() {
        is_one_gate(&CombineRule);
    }

    #[test]
    fn results_are_the_polynomials_and_every_wire_counts() {
        use plonky2::field::types::PrimeField64 as _;
        let point = Extended::rand();
        let mut given = Vec::new();
        for exponent in 1..=POWERS {
            let power: [Field; EXTENSION] = point.exp_u64(exponent as u64).to_basefield_array();
            given.extend(power.iter().enumerate().map(|(i, x)| (2 * (exponent - 1) + i, x.to_canonical_u64())));
        }
        let values: Vec<Field> = Field::rand_vec(KINDS * SIDE);
        given.extend(values.iter().enumerate().map(|(i, x)| (VALUES + i, x.to_canonical_u64())));
        let row = filled(&CombineRule, &given);
        for kind in 0..KINDS {
            let leading = if kind + 1 == KINDS { Extended::ONE } else { Extended::ZERO };
            let of_kind = values[kind * SIDE..][..SIDE].iter().rev();
            let expected = of_kind.fold(leading, |sum, &value| sum * point + value.into());
            let expected: [Field; EXTENSION] = expected.to_basefield_array();
            assert_eq!(row[OUT + 2 * kind..][..2], expected, "{kind}");
        }
        every_wire_is_bound(&CombineRule, &row, &[]);
    }
}
