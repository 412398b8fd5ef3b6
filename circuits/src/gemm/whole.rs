//! **Duty.** The tile as a whole, as constraints: enough informative outputs, and errors that are not all at the edge.
//! **Knows** counts. **Does not know** outputs. **Spec.** CIRCUITS §5 (rule 4); the native meaning is
//! `audit/src/gemm/whole.rs`.

use plonky2::field::types::Field as _;
use plonky2::iop::target::Target;

use super::entries::Counts;
use super::values::{SPREAD, WholeValues};
use crate::Violation;
use crate::gadgets::{assert_at_most, assert_below_power, set};
use crate::statement::{Assignment, Builder, Field};

/// Bits of every figure here: 256 · 2²⁰ at most.
const BITS: usize = 40;

/// A third of the count, its root and the spread, all claimed.
#[derive(Debug)]
pub(super) struct WholeTargets {
    pub(super) bound: [Target; 3],
}

impl WholeTargets {
    pub(super) fn new(builder: &mut Builder, [informative, filled, squares]: Counts) -> Self {
        let whole = Self { bound: builder.add_virtual_target_arr() };
        // half-informative: at least half of those that are not empty.
        let twice = builder.mul_const(Field::TWO, informative);
        assert_at_most(builder, filled, twice, BITS);
        whole.bounds_squares(builder, informative, squares);
        whole
    }

    /// mean-square: Σ r² ≤ ⌊2¹⁶n / 3⌋ + ⌊1.8 · 2¹⁶ · √n⌋, each part at most what it is named.
    fn bounds_squares(&self, builder: &mut Builder, informative: Target, squares: Target) {
        let [third, root, spread] = self.bound;
        self.bound.iter().for_each(|&part| assert_below_power(builder, part, BITS / 2 + 4));
        let scaled = builder.mul_const(Field::from_canonical_u64(1 << 16), informative);
        let thrice = builder.mul_const(Field::from_canonical_u64(3), third);
        assert_at_most(builder, thrice, scaled, BITS);
        let square = builder.mul(root, root);
        assert_at_most(builder, square, scaled, 2 * BITS - 20);
        let shifted = builder.mul_const(Field::from_canonical_u64(1 << 8), spread);
        let most = builder.mul_const(Field::from_canonical_u64(SPREAD), root);
        assert_at_most(builder, shifted, most, BITS + 2);
        let bound = builder.add(third, spread);
        assert_at_most(builder, squares, bound, BITS);
    }

    pub(super) fn assign(&self, values: &WholeValues, assignment: &mut Assignment) -> Result<(), Violation> {
        self.bound.iter().zip(values.bound).try_for_each(|(&target, value)| set(assignment, target, value))
    }
}
