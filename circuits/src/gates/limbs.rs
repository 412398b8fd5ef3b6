//! **Duty.** Several range checks in a row: each value is the sum of a number of base-4 limbs. **Knows** wires. **Does not
//! know** what is bounded. **Spec.** CIRCUITS §1 (why no large table); decision 0080.
//!
//! A value below 4ⁿ with n ≤ 31 has one decomposition in the field, because 2⁶² < p.

use plonky2::field::types::{Field as _, PrimeField64 as _};
use plonky2::iop::target::Target;

use super::algebra::Algebra;
use super::rule::{Row, Rule, RuleGate};
use crate::statement::{Builder, Field};

/// Limbs beyond which a decomposition is not unique.
const MOST_LIMBS: usize = 31;

/// One number of limbs for each value. Wires: the values, then the limbs of each, lowest first.
#[derive(Debug, Clone)]
pub(crate) struct LimbRule {
    counts: &'static [usize],
}

impl LimbRule {
    /// Adds a row that holds each value below 4 to the power of its number of limbs.
    ///
    /// # Panics
    /// When a circuit asks for what is not unique or does not fit: a fault of the circuit, found when it is built.
    pub(crate) fn bound<const N: usize>(
        builder: &mut Builder,
        counts: &'static [usize; N],
        values: [Target; N],
    ) -> Row {
        assert!(counts.iter().all(|&count| count <= MOST_LIMBS), "limbs are not unique");
        let row = RuleGate::add(builder, Self { counts });
        values.into_iter().enumerate().for_each(|(wire, value)| row.take(builder, wire, value));
        row
    }

    fn split<'a, T>(&self, wires: &'a [T]) -> impl Iterator<Item = (&'a T, &'a [T])> {
        let (values, mut limbs) = wires.split_at(self.counts.len());
        values.iter().zip(self.counts).map(move |(value, &count)| {
            let (mine, rest) = limbs.split_at(count);
            limbs = rest;
            (value, mine)
        })
    }
}

impl Rule for LimbRule {
    fn id(&self) -> String {
        format!("weighbridge limbs: values below 4 to the power of {:?}", self.counts)
    }
    fn wires(&self) -> usize {
        self.counts.len() + self.counts.iter().sum::<usize>()
    }
    fn constraints(&self) -> usize {
        self.wires()
    }
    fn degree(&self) -> usize {
        4
    }

    fn constrain<T: Copy>(&self, wires: &[T], algebra: &mut impl Algebra<T>, emit: &mut impl FnMut(T)) {
        for (&value, limbs) in self.split(wires) {
            let sum = algebra.number(limbs, 4);
            emit(algebra.sub(sum, value));
            limbs.iter().for_each(|&limb| emit(algebra.digit(limb)));
        }
    }

    fn given(&self) -> Vec<usize> {
        (0..self.counts.len()).collect()
    }

    /// A value that is too large gets limbs that do not add up to it.
    fn fill(&self, given: &dyn Fn(usize) -> Field, put: &mut dyn FnMut(usize, Field)) {
        let mut wire = self.counts.len();
        for (place, &count) in self.counts.iter().enumerate() {
            let mut left = given(place).to_canonical_u64();
            for _ in 0..count {
                put(wire, Field::from_canonical_u64(left % 4));
                left /= 4;
                wire += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::rule::tests::{broken, every_wire_is_bound, filled, is_one_gate};
    use weighbridge_attest_types::GOLDILOCKS_ORDER;

    const RULE: LimbRule = LimbRule { counts: &[30, 5, 2] };

    #[test]
    fn limbs_are_one_gate() {
        is_one_gate(&RULE);
    }

    #[test]
    fn values_below_their_bounds_have_limbs_and_no_others() {
        let row = filled(&RULE, &[(0, (1 << 60) - 1), (1, 1023), (2, 0)]);
        every_wire_is_bound(&RULE, &row, &[]);
        for (place, value) in [(0, 1 << 60), (0, GOLDILOCKS_ORDER - 1), (1, 1024), (2, 16), (2, GOLDILOCKS_ORDER - 1)] {
            assert!(!broken(&RULE, &filled(&RULE, &[(place, value)])).is_empty(), "{place} {value}");
        }
    }
}
