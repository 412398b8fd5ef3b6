//! **Duty.** Entries of a bf16 tile of C, four in a row: decoded, and counted in units of their product. **Knows** wires.
//! **Does not know** products. **Spec.** CIRCUITS §5 (envelope); the native meaning is `Scale::output` in
//! `audit/src/gemm/envelope.rs`; decision 0080.
//!
//! With `h`, `F'` and `m` as in `words.rs`, and `base` such that a unit of the product is 2^base of a mantissa's:
//! `magnitude = m · 2^(F' − base)`, a whole number, for `0 ≤ F' − base < 56`. A zero has the magnitude 0 whatever its base;
//! anything else below the unit, or that far above it, has no row.

use std::ops::Range;

use plonky2::field::types::{Field as _, PrimeField64 as _};
use plonky2::iop::target::Target;

use super::algebra::Algebra;
use super::rule::{Row, Rule, RuleGate, inverse_or_zero};
use crate::statement::{Builder, Field};

/// Entries in a row.
pub(crate) const OUTPUTS: usize = 4;
/// Low byte, high byte, base, magnitude, sign, mantissa.
const OUTER: usize = 6;
const INNER: usize = 26;
const CONSTRAINTS: usize = 33;

/// The rule. Wires: the outer ones of each entry, then the inner ones.
#[derive(Debug, Clone)]
pub(crate) struct OutputRule;

/// An entry's wires on the outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputTargets {
    /// As stored, the low one first.
    pub(crate) bytes: [Target; 2],
    pub(crate) magnitude: Target,
    pub(crate) negative: Target,
    pub(crate) mantissa: Target,
}

impl OutputRule {
    /// Adds a row over four entries, each with its base.
    pub(crate) fn add(builder: &mut Builder, bases: [Target; OUTPUTS]) -> [OutputTargets; OUTPUTS] {
        let row = RuleGate::add(builder, Self);
        std::array::from_fn(|place| {
            let first = outer(place).start;
            row.take(builder, first + 2, bases[place]);
            let wire = |wire: usize| Row::wire(row, first + wire);
            OutputTargets { bytes: [wire(0), wire(1)], magnitude: wire(3), negative: wire(4), mantissa: wire(5) }
        })
    }
}

const fn outer(place: usize) -> Range<usize> {
    OUTER * place..OUTER * (place + 1)
}

const fn inner(place: usize) -> Range<usize> {
    let first = OUTER * OUTPUTS + INNER * place;
    first..first + INNER
}

impl Rule for OutputRule {
    fn id(&self) -> String {
        "weighbridge outputs: 4 bf16 in units of their products".to_owned()
    }
    fn wires(&self) -> usize {
        inner(OUTPUTS).start
    }
    fn constraints(&self) -> usize {
        OUTPUTS * CONSTRAINTS
    }
    fn degree(&self) -> usize {
        6
    }

    fn constrain<T: Copy>(&self, wires: &[T], algebra: &mut impl Algebra<T>, emit: &mut impl FnMut(T)) {
        for place in 0..OUTPUTS {
            output(&wires[outer(place)], &wires[inner(place)], algebra, emit);
        }
    }

    fn given(&self) -> Vec<usize> {
        (0..OUTPUTS).flat_map(|place| outer(place).take(3)).collect()
    }

    fn fill(&self, given: &dyn Fn(usize) -> Field, put: &mut dyn FnMut(usize, Field)) {
        for place in 0..OUTPUTS {
            let [low, high, base] = std::array::from_fn(|i| given(outer(place).start + i));
            let (low, high) = (low.to_canonical_u64() & 0xff, high.to_canonical_u64() & 0xff);
            fill_output(low, high, base, (outer(place).start, inner(place).start), put);
        }
    }
}

/// Inner wires: bits of both bytes, hidden bit, inverses of the exponent field and of what it lacks to 255, bits of the
/// shift, its power.
fn output<T: Copy>(outer: &[T], inner: &[T], algebra: &mut impl Algebra<T>, emit: &mut impl FnMut(T)) {
    let (low, high, shift) = (&inner[..8], &inner[8..16], &inner[19..25]);
    let (hidden, inverse, lacking, power) = (inner[16], inner[17], inner[18], inner[25]);
    low.iter().chain(high).chain(shift).for_each(|&bit| emit(algebra.bit(bit)));
    for (byte, bits) in outer.iter().zip([low, high]) {
        let sum = algebra.number(bits, 2);
        emit(algebra.sub(sum, *byte));
    }
    // hidden-bit: of every exponent field but 0.
    let field = algebra.number(&high[..7], 2);
    let field = algebra.times(2, field);
    let field = algebra.add(field, low[7]);
    let is_normal = algebra.mul(field, inverse);
    emit(algebra.sub(hidden, is_normal));
    let subnormal = algebra.complement(hidden);
    emit(algebra.mul(field, subnormal));
    // finite: no field is 255.
    let most = algebra.constant(255);
    let lacks = algebra.sub(most, field);
    let lacks = algebra.mul(lacks, lacking);
    let one = algebra.constant(1);
    emit(algebra.sub(lacks, one));
    // output-unit: a shift of 0 to 55, unless the entry is zero.
    let fraction = algebra.number(&low[..7], 2);
    let leading = algebra.times(1 << 7, hidden);
    let mantissa = algebra.add(fraction, leading);
    let above = algebra.mul(shift[3], shift[4]);
    emit(algebra.mul(above, shift[5]));
    let claimed = algebra.number(shift, 2);
    let exponent = algebra.sub(field, hidden);
    let expected = algebra.sub(exponent, outer[2]);
    let difference = algebra.sub(claimed, expected);
    emit(algebra.mul(mantissa, difference));
    let expected = algebra.power_of_two(shift);
    emit(algebra.sub(power, expected));
    // magnitude, sign, mantissa.
    let expected = algebra.mul(mantissa, power);
    emit(algebra.sub(outer[3], expected));
    emit(algebra.sub(outer[4], high[7]));
    emit(algebra.sub(outer[5], mantissa));
}

fn fill_output(low: u64, high: u64, base: Field, (outer, inner): (usize, usize), put: &mut dyn FnMut(usize, Field)) {
    let bits = |byte: u64, count: u64| (0..count).map(move |bit| Field::from_canonical_u64((byte >> bit) & 1));
    let field = ((high & 0x7f) << 1) | (low >> 7);
    let hidden = u64::from(field != 0);
    let mantissa = (low & 0x7f) | (hidden << 7);
    // A shift that is out of range is cut, and differs from the one that is asked for.
    let shift = (Field::from_canonical_u64(field - hidden) - base).to_canonical_u64();
    let shift = if mantissa == 0 { 0 } else { shift & 63 };
    let power = Field::from_canonical_u64(1 << shift);
    let number = Field::from_canonical_u64;
    let mut values: Vec<Field> = bits(low, 8).chain(bits(high, 8)).collect();
    values.extend([number(hidden), inverse_or_zero(number(field)), inverse_or_zero(number(255 - field))]);
    values.extend(bits(shift, 6));
    values.push(power);
    values.into_iter().enumerate().for_each(|(place, value)| put(inner + place, value));
    put(outer + 3, number(mantissa) * power);
    put(outer + 4, number(high >> 7));
    put(outer + 5, number(mantissa));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::rule::tests::{broken, every_wire_is_bound, filled, is_one_gate};
    use weighbridge_attest_types::GOLDILOCKS_ORDER;

    #[test]
    fn four_outputs_are_one_gate() {
        is_one_gate(&OutputRule);
    }

    /// F' of a stored number.
    fn exponent_of(stored: u64) -> i64 {
        let field = (stored >> 7) & 0xff;
        i64::try_from(field.saturating_sub(1)).expect("8 bits")
    }

    /// Four times one entry.
    fn four(stored: u64, base: i64) -> Vec<Field> {
        let base = if base < 0 { GOLDILOCKS_ORDER - base.unsigned_abs() } else { base.unsigned_abs() };
        let of = |place: usize| {
            let first = outer(place).start;
            [(first, stored & 0xff), (first + 1, stored >> 8), (first + 2, base)]
        };
        filled(&OutputRule, &(0..OUTPUTS).flat_map(of).collect::<Vec<_>>())
    }

    #[test]
    fn every_number_counts_its_units_and_what_is_no_number_has_no_row() {
        for stored in 0..1u64 << 16 {
            let field = (stored >> 7) & 0xff;
            let hidden = u64::from(field > 0);
            let mantissa = stored & 0x7f | (hidden << 7);
            for shift in [0u32, 1, 23, 47, 48, 55] {
                let row = four(stored, exponent_of(stored) - i64::from(shift));
                let broken = broken(&OutputRule, &row);
                assert_eq!(broken.is_empty(), field != 255, "{stored:#x} {shift}");
                if field != 255 {
                    let number = Field::from_canonical_u64;
                    let expected = [number(mantissa << shift), number(stored >> 15), number(mantissa)];
                    assert_eq!(row[3..6], expected, "{stored:#x} {shift}");
                }
            }
        }
    }

    #[test]
    fn what_is_below_the_unit_or_far_above_has_no_row_unless_it_is_zero() {
        for shift in [-1i64, -200, 56, 57, 63, 64, 200] {
            for (stored, is_zero) in [(0x3f80, false), (0x0001, false), (0x8000, true), (0, true)] {
                let row = four(stored, exponent_of(stored) - shift);
                assert_eq!(broken(&OutputRule, &row).is_empty(), is_zero, "{stored:#x} {shift}");
            }
        }
    }

    #[test]
    fn no_wire_of_an_output_is_free() {
        // The inverse of a field that is 0 is bound by nothing.
        for (stored, free) in [(0x3f81, None), (0xbfff, None), (0x0003, Some(17))] {
            let row = four(stored, 0);
            let free: Vec<usize> =
                free.into_iter().flat_map(|i| (0..OUTPUTS).map(move |p| inner(p).start + i)).collect();
            let exponent = exponent_of(stored);
            let row = if exponent > 55 { four(stored, exponent - 20) } else { row };
            every_wire_is_bound(&OutputRule, &row, &free);
        }
    }
}
