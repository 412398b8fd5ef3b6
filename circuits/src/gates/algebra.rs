//! **Duty.** The arithmetic that a rule's constraints are written in, once for values and once for targets. **Knows** field
//! operations. **Does not know** any rule. **Spec.** decision 0080.

use plonky2::field::packed::PackedField;
use plonky2::field::types::Field as _;
use plonky2::iop::ext_target::ExtensionTarget;
use plonky2::plonk::plonk_common::reduce_with_powers_ext_circuit;

use crate::statement::{Builder, EXTENSION, Field};

/// What constraints ask of the values on the wires. Constants are below p.
pub(crate) trait Algebra<T: Copy> {
    fn constant(&mut self, value: u64) -> T;
    fn add(&mut self, left: T, right: T) -> T;
    fn sub(&mut self, left: T, right: T) -> T;
    fn mul(&mut self, left: T, right: T) -> T;
    /// `Σ digitᵢ · baseⁱ`.
    fn number(&mut self, digits: &[T], base: u64) -> T;

    fn times(&mut self, factor: u64, value: T) -> T {
        let factor = self.constant(factor);
        self.mul(factor, value)
    }

    /// `1 − value`.
    fn complement(&mut self, value: T) -> T {
        let one = self.constant(1);
        self.sub(one, value)
    }

    /// Zero for 0 and 1 alone.
    fn bit(&mut self, value: T) -> T {
        let square = self.mul(value, value);
        self.sub(square, value)
    }

    /// Zero for 0, 1, 2 and 3 alone: `y(y + 2)` with `y = x² − 3x`.
    fn digit(&mut self, value: T) -> T {
        let three = self.constant(3);
        let lower = self.sub(value, three);
        let y = self.mul(value, lower);
        let two = self.constant(2);
        let upper = self.add(y, two);
        self.mul(y, upper)
    }

    /// `left ∨ right` of two bits.
    fn or(&mut self, left: T, right: T) -> T {
        let (sum, both) = (self.add(left, right), self.mul(left, right));
        self.sub(sum, both)
    }

    /// 2 to the power of a number given by at most six bits, the lowest first: of degree one in each bit.
    fn power_of_two(&mut self, bits: &[T]) -> T {
        let mut product = self.constant(1);
        for (place, &bit) in bits.iter().enumerate() {
            // 2^(2^place) − 1: at most 2³² − 1.
            let grown = self.times((1u64 << (1u32 << place)) - 1, bit);
            let grown = self.mul(grown, product);
            product = self.add(product, grown);
        }
        product
    }
}

/// Natively: over the extension, over the field, or over several points at once. A field is packed one wide.
pub(crate) struct Native;

impl<P: PackedField> Algebra<P> for Native {
    fn constant(&mut self, value: u64) -> P {
        P::from(P::Scalar::from_canonical_u64(value))
    }
    fn add(&mut self, left: P, right: P) -> P {
        left + right
    }
    fn sub(&mut self, left: P, right: P) -> P {
        left - right
    }
    fn mul(&mut self, left: P, right: P) -> P {
        left * right
    }
    fn number(&mut self, digits: &[P], base: u64) -> P {
        let base = P::Scalar::from_canonical_u64(base);
        digits.iter().rev().fold(P::ZEROS, |sum, &digit| sum * base + digit)
    }
}

/// In a circuit that verifies proofs of a circuit with the gate.
pub(crate) struct InCircuit<'a>(pub(crate) &'a mut Builder);

type Extended = ExtensionTarget<EXTENSION>;

impl Algebra<Extended> for InCircuit<'_> {
    fn constant(&mut self, value: u64) -> Extended {
        self.0.constant_extension(Field::from_canonical_u64(value).into())
    }
    fn add(&mut self, left: Extended, right: Extended) -> Extended {
        self.0.add_extension(left, right)
    }
    fn sub(&mut self, left: Extended, right: Extended) -> Extended {
        self.0.sub_extension(left, right)
    }
    fn mul(&mut self, left: Extended, right: Extended) -> Extended {
        self.0.mul_extension(left, right)
    }
    fn number(&mut self, digits: &[Extended], base: u64) -> Extended {
        let base = self.0.constant(Field::from_canonical_u64(base));
        reduce_with_powers_ext_circuit(self.0, digits, base)
    }
    fn times(&mut self, factor: u64, value: Extended) -> Extended {
        self.0.mul_const_extension(Field::from_canonical_u64(factor), value)
    }
}
