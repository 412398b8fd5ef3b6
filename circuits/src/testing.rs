//! **Duty.** Breaking a witness *behind* the generators: an honest generator that refuses proves nothing about
//! soundness, so these tests run the generators, overwrite wires, and ask whether the proof still holds.

pub(crate) mod tile;
pub(crate) mod tree;

use std::panic::{AssertUnwindSafe, catch_unwind};

use plonky2::field::types::{Field as _, PrimeField64};
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::iop::generator::GeneratedValues;
use plonky2::iop::target::Target;
use plonky2::iop::witness::{PartitionWitness, Witness as _, WitnessWrite};
use plonky2::plonk::config::Hasher as _;
use plonky2::plonk::prover::prove_with_partition_witness;
use plonky2::plonk::vars::EvaluationVars;
use plonky2::util::timing::TimingTree;
use weighbridge_attest_types::PoseidonDigest;

use crate::meter::MeterRow;
use crate::statement::{Assignment, Built, Circuit, Field, Statement};

/// Adds one to a wire and all its copies. Of use only on wires that no public input is merged with: plonky2 hashes the
/// public inputs in circuit, and a change behind that hash contradicts it whatever the constraints are. False *claims*
/// go through [`claim_holds`], which sets them before the generators run.
pub(crate) fn bump(witness: &mut PartitionWitness<'_, Field>, target: Target) {
    let index = target.index(witness.num_wires, witness.degree);
    let value = &mut witness.values[witness.representative_map[index]];
    *value = value.map(|value| value + Field::ONE);
}

/// Puts a value on a wire and all its copies.
pub(crate) fn set_wire(witness: &mut PartitionWitness<'_, Field>, target: Target, value: u64) {
    let index = target.index(witness.num_wires, witness.degree);
    witness.values[witness.representative_map[index]] = Some(Field::from_noncanonical_u64(value));
}

/// Runs all generators, and where one computes another value than an input that is already set, the input stays: what a
/// prover with a patched library does. plonky2's own loop would stop with an error, which says nothing about soundness.
fn forced_witness(data: &Built, inputs: Assignment) -> PartitionWitness<'_, Field> {
    let (prover, common) = (&data.prover_only, &data.common);
    let mut witness = PartitionWitness::new(common.config.num_wires, common.degree(), &prover.representative_map);
    // Where inputs contradict each other because the circuit merged them, the public claim wins: the other way round
    // the proof would speak of something else than what is claimed.
    let claims: Vec<_> =
        prover.public_inputs.iter().filter_map(|target| Some((*target, *inputs.target_values.get(target)?))).collect();
    for (target, value) in claims.into_iter().chain(inputs.target_values) {
        let _contradicted = witness.set_target(target, value);
    }
    let mut finished = vec![false; prover.generators.len()];
    let mut pending: Vec<usize> = (0..prover.generators.len()).collect();
    let mut produced = GeneratedValues::empty();
    while !pending.is_empty() {
        let mut woken = Vec::new();
        for index in std::mem::take(&mut pending) {
            if finished[index] {
                continue;
            }
            finished[index] = prover.generators[index].0.run(&witness, &mut produced);
            for (target, value) in produced.target_values.drain(..) {
                if let Ok(Some(representative)) = witness.set_target_returning_rep(target, value) {
                    woken.extend(
                        prover.generator_indices_by_watches.get(&representative).into_iter().flatten().copied(),
                    );
                }
            }
        }
        pending = woken;
    }
    assert!(finished.iter().all(|&done| done), "every generator ran: the inputs are complete");
    witness
}

/// Whether a proof over these inputs, with wires overwritten after all generators ran, is accepted. A prover that
/// finds the quotient not to be a polynomial has evaluated the constraints: that is a refusal too.
pub(crate) fn holds(
    data: &Built,
    assignment: Assignment,
    tamper: impl FnOnce(&mut PartitionWitness<'_, Field>),
) -> bool {
    let mut witness = forced_witness(data, assignment);
    tamper(&mut witness);
    let prove = || prove_with_partition_witness(&data.prover_only, &data.common, witness, &mut TimingTree::default());
    match catch_unwind(AssertUnwindSafe(prove)) {
        Ok(proof) => proof.and_then(|proof| data.verify(proof)).is_ok(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(text.contains("Quotient has failed"), "the prover failed before its constraints: {text}");
            false
        }
    }
}

/// Whether every constraint of every row holds over these inputs, with wires overwritten after all generators ran: what
/// [`holds`] asks, without committing to anything. Copies of a wire share one value here, so that copy constraints hold
/// by construction; `rows_and_proofs_refuse_alike` compares both ways.
pub(crate) fn satisfied(
    data: &Built,
    assignment: Assignment,
    tamper: impl FnOnce(&mut PartitionWitness<'_, Field>),
) -> bool {
    let mut witness = forced_witness(data, assignment);
    tamper(&mut witness);
    Rows::of(data).all_hold(data, witness)
}

/// The constants of every row, which choose its gate.
struct Rows {
    constants: Vec<Vec<Field>>,
}

impl Rows {
    fn of(data: &Built) -> Self {
        let polynomials = &data.prover_only.constants_sigmas_commitment.polynomials;
        let constants = polynomials[..data.common.num_constants].iter();
        Self { constants: constants.map(|polynomial| polynomial.clone().fft().values).collect() }
    }

    fn all_hold(&self, data: &Built, witness: PartitionWitness<'_, Field>) -> bool {
        let inputs = witness.get_targets(&data.prover_only.public_inputs);
        let public_inputs_hash = PoseidonHash::hash_no_pad(&inputs);
        let wires = witness.full_witness();
        let selectors = data.common.selectors_info.num_selectors();
        (0..data.common.degree()).all(|row| {
            let constants: Vec<_> = self.constants.iter().map(|column| column[row]).collect();
            let chosen: Vec<u64> = constants[..selectors].iter().map(PrimeField64::to_canonical_u64).collect();
            let chosen = chosen.into_iter().find(|&gate| gate != UNUSED_SELECTOR).expect("every row has a gate");
            let gate = &data.common.gates[usize::try_from(chosen).expect("a position")];
            let local_constants: Vec<_> = constants[selectors..].iter().map(|&value| value.into()).collect();
            let columns = 0..data.common.config.num_wires;
            let local_wires: Vec<_> = columns.map(|column| wires.get_wire(row, column).into()).collect();
            let vars = EvaluationVars {
                local_constants: &local_constants,
                local_wires: &local_wires,
                public_inputs_hash: &public_inputs_hash,
            };
            gate.0.eval_unfiltered(vars).into_iter().all(|constraint| constraint.is_zero())
        })
    }
}

/// What a selector holds where another one chooses the gate (plonky2's own constant is private).
const UNUSED_SELECTOR: u64 = u32::MAX as u64;

/// [`satisfied`] for a statement's own assignment, without its native check.
pub(crate) fn claim_holds<S: Statement>(circuit: &Circuit<S>, public: &S::Public, witness: &S::Witness) -> bool {
    forged_holds(circuit, public, witness, |_, _| ())
}

/// [`satisfied`] for a statement's own assignment with wires overwritten.
pub(crate) fn forged_holds<S: Statement>(
    circuit: &Circuit<S>,
    public: &S::Public,
    witness: &S::Witness,
    tamper: impl FnOnce(&S::Targets, &mut PartitionWitness<'_, Field>),
) -> bool {
    let mut assignment = Assignment::new();
    S::assign(&circuit.targets, public, witness, &mut assignment).expect("inputs can be set");
    satisfied(&circuit.data, assignment, |wires| tamper(&circuit.targets, wires))
}

/// [`holds`], a proof in earnest, for a statement's own assignment with wires overwritten.
pub(crate) fn proof_holds<S: Statement>(
    circuit: &Circuit<S>,
    public: &S::Public,
    witness: &S::Witness,
    tamper: impl FnOnce(&S::Targets, &mut PartitionWitness<'_, Field>),
) -> bool {
    let mut assignment = Assignment::new();
    S::assign(&circuit.targets, public, witness, &mut assignment).expect("inputs can be set");
    holds(&circuit.data, assignment, |wires| tamper(&circuit.targets, wires))
}

/// Some digest.
pub(crate) fn digest(seed: u64) -> PoseidonDigest {
    PoseidonDigest::from_elements([seed, 2, 3, 4]).expect("small elements")
}

/// Some rows.
pub(crate) fn rows(count: u64) -> Vec<MeterRow> {
    let row = |i| MeterRow { reading: [1000 + i, 999_999_999 - i, 7, i], salt: [i, 1, 2, 3], public: [i, 5, 6, 7, 8] };
    (0..count).map(row).collect()
}

/// A digest with one element changed.
pub(crate) fn changed_element(digest: PoseidonDigest, element: usize) -> PoseidonDigest {
    let mut elements = digest.elements();
    elements[element] ^= 1;
    PoseidonDigest::from_elements(elements).expect("canonical")
}
