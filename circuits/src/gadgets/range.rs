//! **Duty.** Bounds on field elements. **Spec.** A value below 2ⁿ with n ≤ 63 has one n-bit decomposition in the
//! field, because 2⁶³ < p: x and x + p cannot be confused.

use plonky2::iop::target::Target;

use crate::statement::Builder;

/// Most bits that a unique decomposition can have.
const MAX_BITS: usize = 63;

/// `value < 2^bits`, one row.
///
/// # Panics
/// When a circuit asks for more bits than are unique: a fault of the circuit, found when it is built.
pub(crate) fn assert_below_power(builder: &mut Builder, value: Target, bits: usize) {
    assert!(bits <= MAX_BITS, "a {bits}-bit decomposition is not unique in the field");
    builder.range_check(value, bits);
}

/// `small ≤ large`, both known to be below 2^bits with bits ≤ 62: a negative difference is p − d with d < 2⁶², which is
/// above 2⁶², so that it cannot pass the range check.
///
/// # Panics
/// When asked for more than 62 bits.
pub(crate) fn assert_at_most(builder: &mut Builder, small: Target, large: Target, bits: usize) {
    assert!(bits < MAX_BITS, "differences of {bits}-bit values are not unique in the field");
    let difference = builder.sub(large, small);
    assert_below_power(builder, difference, bits);
}
