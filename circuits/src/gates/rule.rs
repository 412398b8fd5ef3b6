//! **Duty.** A gate from a rule: whoever writes constraints once gets the gate in its native, batched and in-circuit
//! meaning, and the generator that fills it. **Knows** wires. **Does not know** what they mean. **Spec.** decision 0080.

use std::fmt::Debug;

use plonky2::field::extension::Extendable;
use plonky2::field::packed::PackedField;
use plonky2::field::types::Field as _;
use plonky2::gates::gate::Gate;
use plonky2::gates::packed_util::PackedEvaluableBase;
use plonky2::gates::util::StridedConstraintConsumer;
use plonky2::iop::ext_target::ExtensionTarget;
use plonky2::iop::generator::{GeneratedValues, WitnessGenerator, WitnessGeneratorRef};
use plonky2::iop::target::Target;
use plonky2::iop::witness::{PartitionWitness, Witness as _};
use plonky2::plonk::circuit_data::CommonCircuitData;
use plonky2::plonk::vars::{EvaluationTargets, EvaluationVars, EvaluationVarsBaseBatch, EvaluationVarsBasePacked};
use plonky2::util::serialization::{Buffer, IoError, IoResult};

use super::algebra::{Algebra, InCircuit, Native};
use crate::statement::{Builder, EXTENSION, Field};

/// Wires of a row, and those of them that can be connected with others.
const WIRES: usize = 135;
pub(crate) const ROUTED: usize = 80;

/// Constraints over one row, and how an honest prover fills it.
pub(crate) trait Rule: Debug + Clone + Send + Sync + 'static {
    /// Tells this rule from all others, sizes included.
    fn id(&self) -> String;
    fn wires(&self) -> usize;
    fn constraints(&self) -> usize;
    fn degree(&self) -> usize;
    /// THE definition of the constraints.
    fn constrain<T: Copy>(&self, wires: &[T], algebra: &mut impl Algebra<T>, emit: &mut impl FnMut(T));
    /// Wires whose values come from elsewhere.
    fn given(&self) -> Vec<usize>;
    /// Values of all others. What is given and breaks the rule is filled with something that breaks a constraint.
    fn fill(&self, given: &dyn Fn(usize) -> Field, put: &mut dyn FnMut(usize, Field));
}

/// The gate of a rule.
#[derive(Debug, Clone)]
pub(crate) struct RuleGate<R>(R);

impl<R: Rule> RuleGate<R> {
    /// Adds a row; the caller connects its wires.
    pub(crate) fn add(builder: &mut Builder, rule: R) -> Row {
        assert!(rule.wires() <= WIRES, "{} has more wires than a row", rule.id());
        Row(builder.add_gate(Self(rule), Vec::new()))
    }
}

/// A row of a circuit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row(usize);

impl Row {
    pub(crate) const fn wire(self, wire: usize) -> Target {
        Target::wire(self.0, wire)
    }

    /// Connects a wire with a value of the circuit.
    pub(crate) fn take(self, builder: &mut Builder, wire: usize, value: Target) {
        assert!(wire < ROUTED, "wire {wire} cannot be connected");
        builder.connect(self.wire(wire), value);
    }
}

impl<R: Rule> Gate<Field, EXTENSION> for RuleGate<R> {
    fn id(&self) -> String {
        self.0.id()
    }

    /// No circuit with such a gate is stored: its verifier key is compared by digest.
    fn serialize(&self, _out: &mut Vec<u8>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<()> {
        Err(IoError)
    }

    fn deserialize(_input: &mut Buffer<'_>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<Self> {
        Err(IoError)
    }

    fn eval_unfiltered(
        &self,
        vars: EvaluationVars<'_, Field, EXTENSION>,
    ) -> Vec<<Field as Extendable<EXTENSION>>::Extension> {
        let mut constraints = Vec::with_capacity(self.0.constraints());
        self.0.constrain(vars.local_wires, &mut Native, &mut |constraint| constraints.push(constraint));
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
        let mut constraints = Vec::with_capacity(self.0.constraints());
        let emit = &mut |constraint| constraints.push(constraint);
        self.0.constrain(vars.local_wires, &mut InCircuit(builder), emit);
        constraints
    }

    fn generators(&self, row: usize, _constants: &[Field]) -> Vec<WitnessGeneratorRef<Field, EXTENSION>> {
        vec![WitnessGeneratorRef::new(RuleGenerator { rule: self.0.clone(), row })]
    }

    fn num_wires(&self) -> usize {
        self.0.wires()
    }

    fn num_constants(&self) -> usize {
        0
    }

    fn degree(&self) -> usize {
        self.0.degree()
    }

    fn num_constraints(&self) -> usize {
        self.0.constraints()
    }
}

impl<R: Rule> PackedEvaluableBase<Field, EXTENSION> for RuleGate<R> {
    fn eval_unfiltered_base_packed<P: PackedField<Scalar = Field>>(
        &self,
        vars: EvaluationVarsBasePacked<'_, P>,
        mut yield_constraint: StridedConstraintConsumer<'_, P>,
    ) {
        let mut wires = [P::ZEROS; WIRES];
        let count = self.0.wires();
        for (wire, value) in wires[..count].iter_mut().enumerate() {
            *value = vars.local_wires[wire];
        }
        self.0.constrain(&wires[..count], &mut Native, &mut |constraint| yield_constraint.one(constraint));
    }
}

#[derive(Debug)]
struct RuleGenerator<R> {
    rule: R,
    row: usize,
}

impl<R: Rule> WitnessGenerator<Field, EXTENSION> for RuleGenerator<R> {
    fn id(&self) -> String {
        format!("{}: values", self.rule.id())
    }

    fn watch_list(&self) -> Vec<Target> {
        self.rule.given().into_iter().map(|wire| Target::wire(self.row, wire)).collect()
    }

    fn run(&self, witness: &PartitionWitness<'_, Field>, out: &mut GeneratedValues<Field>) -> bool {
        if !witness.contains_all(&self.watch_list()) {
            return false;
        }
        let given = |wire: usize| witness.get_target(Target::wire(self.row, wire));
        let mut put = |wire: usize, value: Field| out.target_values.push((Target::wire(self.row, wire), value));
        self.rule.fill(&given, &mut put);
        true
    }

    fn serialize(&self, _out: &mut Vec<u8>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<()> {
        Err(IoError)
    }

    fn deserialize(_input: &mut Buffer<'_>, _common: &CommonCircuitData<Field, EXTENSION>) -> IoResult<Self> {
        Err(IoError)
    }
}

/// `1 / value`; 0 for 0.
pub(crate) fn inverse_or_zero(value: Field) -> Field {
    value.try_inverse().unwrap_or(Field::ZERO)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::statement::Config;
    use plonky2::field::types::Sample as _;
    use plonky2::gates::gate_testing::{test_eval_fns, test_low_degree};
    use plonky2::hash::hash_types::HashOut;

    /// The degree is the one that is claimed, and native, batched and in-circuit constraints are one.
    pub(crate) fn is_one_gate(rule: &impl Rule) {
        let gate = || RuleGate(rule.clone());
        test_low_degree::<Field, _, EXTENSION>(gate());
        test_eval_fns::<Field, Config, _, EXTENSION>(gate()).expect("the same constraints");
        // 37 points: several packed ones and some left over, whatever the width.
        let (points, wires) = (37, rule.wires());
        let values = Field::rand_vec(points * wires);
        let hash = HashOut::rand();
        let batch = gate().eval_unfiltered_base_batch(EvaluationVarsBaseBatch::new(points, &[], &values, &hash));
        for point in 0..points {
            let local: Vec<_> = (0..wires).map(|wire| values[wire * points + point].into()).collect();
            let vars = EvaluationVars { local_constants: &[], local_wires: &local, public_inputs_hash: &hash };
            let alone = gate().eval_unfiltered(vars);
            assert_eq!(alone.len(), rule.constraints());
            for (constraint, value) in alone.into_iter().enumerate() {
                assert_eq!(value, batch[constraint * points + point].into(), "point {point}, {constraint}");
            }
        }
    }

    /// A row as an honest prover fills it.
    pub(crate) fn filled(rule: &impl Rule, given: &[(usize, u64)]) -> Vec<Field> {
        let mut row = vec![Field::ZERO; rule.wires()];
        given.iter().for_each(|&(wire, value)| row[wire] = Field::from_noncanonical_u64(value));
        let before = row.clone();
        rule.fill(&|wire| before[wire], &mut |wire, value| row[wire] = value);
        row
    }

    /// Places of the constraints that a row breaks.
    pub(crate) fn broken(rule: &impl Rule, row: &[Field]) -> Vec<usize> {
        let mut constraints = Vec::new();
        rule.constrain(row, &mut Native, &mut |constraint: Field| constraints.push(constraint));
        (0..constraints.len()).filter(|&place| constraints[place] != Field::ZERO).collect()
    }

    /// Every single wire of an honest row, moved by one, breaks a constraint.
    pub(crate) fn every_wire_is_bound(rule: &impl Rule, row: &[Field], but: &[usize]) {
        assert_eq!(broken(rule, row), Vec::<usize>::new());
        for wire in (0..rule.wires()).filter(|wire| !but.contains(wire)) {
            for change in [Field::ONE, Field::NEG_ONE, Field::from_canonical_u64(1 << 40)] {
                let mut other = row.to_vec();
                other[wire] += change;
                assert!(!broken(rule, &other).is_empty(), "{}: wire {wire} is free", rule.id());
            }
        }
    }
}
