//! **Duty.** One row an interval: its reading is within bounds, and its head replaces the one before if it is active.
//! **Knows** wires and base-4 limbs. **Does not know** commitments. **Spec.** PROTOCOL §3 (readings below 2⁵⁶, carried
//! remainder below 10⁹); decision 0055 (why a gate and no lookup table).

use std::ops::Range;

use plonky2::field::extension::Extendable;
use plonky2::field::packed::PackedField;
use plonky2::field::types::{Field as _, PrimeField64 as _};
use plonky2::gates::gate::Gate;
use plonky2::gates::packed_util::PackedEvaluableBase;
use plonky2::gates::util::StridedConstraintConsumer;
use plonky2::iop::ext_target::ExtensionTarget;
use plonky2::iop::generator::{GeneratedValues, WitnessGenerator, WitnessGeneratorRef};
use plonky2::iop::target::Target;
use plonky2::iop::witness::{PartitionWitness, Witness as _};
use plonky2::plonk::circuit_data::CommonCircuitData;
use plonky2::plonk::plonk_common::reduce_with_powers_ext_circuit;
use plonky2::plonk::vars::{EvaluationTargets, EvaluationVars, EvaluationVarsBaseBatch, EvaluationVarsBasePacked};
use plonky2::util::serialization::{Buffer, IoResult, Read as _, Write as _};

use crate::statement::{Builder, EXTENSION, Field};

/// Bits of every reading component (PROTOCOL §3).
pub(crate) const READING_BITS: usize = 56;
/// Largest carried remainder, in FLOP.
pub(crate) const MAX_REST: u64 = 999_999_999;

/// Each limb is 0, 1, 2 or 3: the product over these four has degree 4, and a base of 8 would need degree 8.
const BASE: u64 = 4;
const COMPONENT_LIMBS: usize = READING_BITS / 2;
/// 30 bits hold `MAX_REST`, and so does its complement.
const REST_LIMBS: usize = 15;
/// `declared`, `metered`, `energy`; behind them the remainder and what it lacks to `MAX_REST`.
const DECOMPOSED: [usize; 5] = [COMPONENT_LIMBS, COMPONENT_LIMBS, COMPONENT_LIMBS, REST_LIMBS, REST_LIMBS];
const LIMBS: usize = 3 * COMPONENT_LIMBS + 2 * REST_LIMBS;

/// The gate. Its wires, in order: reading, active flag, head before, head that follows, head after; then the limbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IntervalGate;

impl IntervalGate {
    /// declared, rest, metered, energy.
    const READING: Range<usize> = 0..4;
    const ACTIVE: usize = 4;
    const BEFORE: Range<usize> = 5..9;
    const FOLLOWS: Range<usize> = 9..13;
    const AFTER: Range<usize> = 13..17;
    const FIRST_LIMB: usize = 17;
    const WIRES: usize = Self::FIRST_LIMB + LIMBS;
    /// One for each decomposition, limb and element of a head, and one for the flag.
    const CONSTRAINTS: usize = DECOMPOSED.len() + LIMBS + 1 + 4;

    /// Adds a row; the caller connects its wires.
    pub(crate) fn add(builder: &mut Builder) -> IntervalWires {
        let row = builder.add_gate(Self, Vec::new());
        let wires = |range: Range<usize>| std::array::from_fn(|i| Target::wire(row, range.start + i));
        IntervalWires {
            reading: wires(Self::READING),
            active: Target::wire(row, Self::ACTIVE),
            before: wires(Self::BEFORE),
            follows: wires(Self::FOLLOWS),
            after: wires(Self::AFTER),
            #[cfg(test)]
            limbs: (Self::FIRST_LIMB..Self::WIRES).map(|wire| Target::wire(row, wire)).collect(),
        }
    }
}

/// The wires of one row.
#[derive(Debug, Clone)]
pub(crate) struct IntervalWires {
    /// declared, rest, metered, energy.
    pub(crate) reading: [Target; 4],
    pub(crate) active: Target,
    pub(crate) before: [Target; 4],
    pub(crate) follows: [Target; 4],
    pub(crate) after: [Target; 4],
    #[cfg(test)]
    pub(crate) limbs: Vec<Target>,
}

/// The values whose limbs stand in the row, in the order of the limbs.
fn decomposed<T: Copy>(reading: [T; 4], complement: impl FnOnce(T) -> T) -> [T; 5] {
    let [declared, rest, metered, energy] = reading;
    [declared, metered, energy, rest, complement(rest)]
}

/// THE definition of the constraints over any algebra; the three evaluations below only bring the arithmetic.
fn constrain<T: Copy>(wires: &[T], algebra: &mut impl Algebra<T>, mut emit: impl FnMut(T)) {
    let four = |range: Range<usize>| std::array::from_fn(|i| wires[range.start + i]);
    let values = decomposed(four(IntervalGate::READING), |rest| algebra.most_rest_minus(rest));
    let mut limbs = &wires[IntervalGate::FIRST_LIMB..];
    for (value, count) in values.into_iter().zip(DECOMPOSED) {
        let (mine, rest) = limbs.split_at(count);
        let sum = algebra.base_sum(mine);
        emit(algebra.sub(sum, value));
        for &limb in mine {
            emit(algebra.limb(limb));
        }
        limbs = rest;
    }
    let active = wires[IntervalGate::ACTIVE];
    let square = algebra.mul(active, active);
    emit(algebra.sub(square, active));
    let (before, follows, after): ([T; 4], [T; 4], [T; 4]) =
        (four(IntervalGate::BEFORE), four(IntervalGate::FOLLOWS), four(IntervalGate::AFTER));
    for element in 0..4 {
        let step = algebra.sub(follows[element], before[element]);
        let step = algebra.mul(active, step);
        let moved = algebra.sub(after[element], before[element]);
        emit(algebra.sub(moved, step));
    }
}

/// What the constraints ask of the values on the wires.
trait Algebra<T> {
    fn sub(&mut self, left: T, right: T) -> T;
    fn mul(&mut self, left: T, right: T) -> T;
    /// `MAX_REST − rest`.
    fn most_rest_minus(&mut self, rest: T) -> T;
    /// `Σ limbᵢ · 4ⁱ`.
    fn base_sum(&mut self, limbs: &[T]) -> T;
    /// Zero for 0, 1, 2 and 3 alone: `x(x−3)·(x−1)(x−2) = y(y+2)` with `y = x² − 3x`.
    fn limb(&mut self, limb: T) -> T;
}

/// Natively: over the extension, over the field, or over several points at once. A field is packed one wide.
struct Native;

impl<P: PackedField> Algebra<P> for Native {
    fn sub(&mut self, left: P, right: P) -> P {
        left - right
    }
    fn mul(&mut self, left: P, right: P) -> P {
        left * right
    }
    fn most_rest_minus(&mut self, rest: P) -> P {
        P::from(P::Scalar::from_canonical_u64(MAX_REST)) - rest
    }
    fn base_sum(&mut self, limbs: &[P]) -> P {
        let base = P::Scalar::from_canonical_u64(BASE);
        limbs.iter().rev().fold(P::ZEROS, |sum, &limb| sum * base + limb)
    }
    fn limb(&mut self, limb: P) -> P {
        let y = limb * (limb - P::Scalar::from_canonical_u64(3));
        y * (y + P::Scalar::TWO)
    }
}

/// In a circuit that verifies proofs of a circuit with this gate.
struct InCircuit<'a>(&'a mut Builder);

impl Algebra<ExtensionTarget<EXTENSION>> for InCircuit<'_> {
    fn sub(
        &mut self,
        left: ExtensionTarget<EXTENSION>,
        right: ExtensionTarget<EXTENSION>,
    ) -> ExtensionTarget<EXTENSION> {
        self.0.sub_extension(left, right)
    }
    fn mul(
        &mut self,
        left: ExtensionTarget<EXTENSION>,
        right: ExtensionTarget<EXTENSION>,
    ) -> ExtensionTarget<EXTENSION> {
        self.0.mul_extension(left, right)
    }
    fn most_rest_minus(&mut self, rest: ExtensionTarget<EXTENSION>) -> ExtensionTarget<EXTENSION> {
        let most = self.0.constant_extension(Field::from_canonical_u64(MAX_REST).into());
        self.0.sub_extension(most, rest)
    }
    fn base_sum(&mut self, limbs: &[ExtensionTarget<EXTENSION>]) -> ExtensionTarget<EXTENSION> {
        let base = self.0.constant(Field::from_canonical_u64(BASE));
        reduce_with_powers_ext_circuit(self.0, limbs, base)
    }
    fn limb(&mut self, limb: ExtensionTarget<EXTENSION>) -> ExtensionTarget<EXTENSION> {
        let y = self.0.arithmetic_extension(Field::ONE, -Field::from_canonical_u64(3), limb, limb, limb);
        self.0.arithmetic_extension(Field::ONE, Field::TWO, y, y, y)
    }
}

impl Gate<Field, EXTENSION> for IntervalGate {
    fn id(&self) -> String {
        "weighbridge interval: 3 readings below 2^56, a remainder below 10^9, one head".to_owned()
    }

    fn serialize(&self, _out: &mut Vec<u8>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<()> {
        Ok(())
    }

    fn deserialize(_input: &mut Buffer<'_>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<Self> {
        Ok(Self)
    }

    fn eval_unfiltered(
        &self,
        vars: EvaluationVars<'_, Field, EXTENSION>,
    ) -> Vec<<Field as Extendable<EXTENSION>>::Extension> {
        let mut constraints = Vec::with_capacity(Self::CONSTRAINTS);
        constrain(&vars.local_wires[..Self::WIRES], &mut Native, |constraint| constraints.push(constraint));
        constraints
    }

    fn eval_unfiltered_base_batch(&self, vars: EvaluationVarsBaseBatch<'_, Field>) -> Vec<Field> {
        self.eval_unfiltered_base_batch_packed(vars)
    }

    fn eval_unfiltered_circuit(
        &self,
        builder: &mut Builder,
        vars: EvaluationTargets<'_, EXTENSION>,
    ) -> Vec<ExtensionTarget<EXTENSION>> {
        let mut constraints = Vec::with_capacity(Self::CONSTRAINTS);
        let wires = &vars.local_wires[..Self::WIRES];
        constrain(wires, &mut InCircuit(builder), |constraint| constraints.push(constraint));
        constraints
    }

    fn generators(&self, row: usize, _constants: &[Field]) -> Vec<WitnessGeneratorRef<Field, EXTENSION>> {
        vec![WitnessGeneratorRef::new(IntervalGenerator { row })]
    }

    fn num_wires(&self) -> usize {
        Self::WIRES
    }

    fn num_constants(&self) -> usize {
        0
    }

    /// A limb's.
    fn degree(&self) -> usize {
        4
    }

    fn num_constraints(&self) -> usize {
        Self::CONSTRAINTS
    }
}

impl PackedEvaluableBase<Field, EXTENSION> for IntervalGate {
    fn eval_unfiltered_base_packed<P: PackedField<Scalar = Field>>(
        &self,
        vars: EvaluationVarsBasePacked<'_, P>,
        mut yield_constraint: StridedConstraintConsumer<'_, P>,
    ) {
        let wires: [P; Self::WIRES] = std::array::from_fn(|wire| vars.local_wires[wire]);
        constrain(&wires, &mut Native, |constraint| yield_constraint.one(constraint));
    }
}

/// Fills the limbs and the head after. A reading out of bounds gets limbs that do not add up to it.
#[derive(Debug, Default)]
struct IntervalGenerator {
    row: usize,
}

impl IntervalGenerator {
    fn wires(&self, range: Range<usize>) -> impl Iterator<Item = Target> + use<> {
        let row = self.row;
        range.map(move |wire| Target::wire(row, wire))
    }
}

impl WitnessGenerator<Field, EXTENSION> for IntervalGenerator {
    fn id(&self) -> String {
        "IntervalGenerator".to_owned()
    }

    fn watch_list(&self) -> Vec<Target> {
        self.wires(0..IntervalGate::AFTER.start).collect()
    }

    fn run(&self, witness: &PartitionWitness<'_, Field>, out: &mut GeneratedValues<Field>) -> bool {
        if !witness.contains_all(&self.watch_list()) {
            return false;
        }
        let value = |wire: usize| witness.get_target(Target::wire(self.row, wire));
        let reading = std::array::from_fn(|i| value(IntervalGate::READING.start + i));
        let values = decomposed(reading, |rest| Field::from_canonical_u64(MAX_REST) - rest);
        let mut limbs = self.wires(IntervalGate::FIRST_LIMB..IntervalGate::WIRES);
        for (value, count) in values.into_iter().zip(DECOMPOSED) {
            let mut left = value.to_canonical_u64();
            for limb in limbs.by_ref().take(count) {
                out.target_values.push((limb, Field::from_canonical_u64(left % BASE)));
                left /= BASE;
            }
        }
        let active = value(IntervalGate::ACTIVE);
        for (element, after) in self.wires(IntervalGate::AFTER).enumerate() {
            let before = value(IntervalGate::BEFORE.start + element);
            let follows = value(IntervalGate::FOLLOWS.start + element);
            out.target_values.push((after, before + active * (follows - before)));
        }
        true
    }

    fn serialize(&self, out: &mut Vec<u8>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<()> {
        out.write_usize(self.row)
    }

    fn deserialize(input: &mut Buffer<'_>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<Self> {
        Ok(Self { row: input.read_usize()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Config;
    use plonky2::field::types::Sample as _;
    use plonky2::gates::gate_testing::{test_eval_fns, test_low_degree};
    use plonky2::hash::hash_types::HashOut;
    use plonky2::plonk::vars::EvaluationVarsBaseBatch;

    #[test]
    fn constraints_have_the_degree_that_is_claimed() {
        test_low_degree::<Field, _, EXTENSION>(IntervalGate);
    }

    #[test]
    fn native_and_in_circuit_constraints_are_one() {
        test_eval_fns::<Field, Config, _, EXTENSION>(IntervalGate).expect("the same constraints");
    }

    #[test]
    fn many_points_at_once_are_the_same_as_one_by_one() {
        // 37 points: several packed ones and some left over, whatever the width.
        let points = 37;
        let wires = Field::rand_vec(points * IntervalGate::WIRES);
        let hash = HashOut::rand();
        let batch = IntervalGate.eval_unfiltered_base_batch(EvaluationVarsBaseBatch::new(points, &[], &wires, &hash));
        for point in 0..points {
            let local: Vec<_> = (0..IntervalGate::WIRES).map(|wire| wires[wire * points + point].into()).collect();
            let vars = EvaluationVars { local_constants: &[], local_wires: &local, public_inputs_hash: &hash };
            let alone = IntervalGate.eval_unfiltered(vars);
            assert_eq!(alone.len(), IntervalGate::CONSTRAINTS);
            for (constraint, value) in alone.into_iter().enumerate() {
                assert_eq!(value, batch[constraint * points + point].into(), "point {point}, {constraint}");
            }
        }
    }

    #[test]
    fn a_limb_is_one_of_four_digits_and_nothing_else() {
        let zeros: Vec<u64> = (0..100).filter(|&x| Native.limb(Field::from_canonical_u64(x)) == Field::ZERO).collect();
        assert_eq!(zeros, [0, 1, 2, 3]);
        assert_ne!(Native.limb(Field::NEG_ONE), Field::ZERO);
    }
}
