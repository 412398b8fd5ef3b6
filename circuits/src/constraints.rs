//! **Duty.** What the gates of a circuit demand, as a digest. plonky2's own covers which gate stands in which row and how wires are
//! connected, and knows a gate by its name alone. **Does not know** any particular gate. **Spec.** decision 0081.

use plonky2::field::extension::quadratic::QuadraticExtension;
use plonky2::field::types::{Field as _, PrimeField64 as _};
use plonky2::hash::hash_types::HashOut;
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::plonk::config::Hasher as _;
use plonky2::plonk::vars::EvaluationVars;

use crate::statement::{Common, Field};

type Extension = QuadraticExtension<Field>;

/// What a fixed point is drawn for.
const WIRES: u64 = 1;
const CONSTANTS: u64 = 2;
const INPUTS: u64 = 3;

/// Poseidon of the values of all constraints of all gates at one fixed point: a constraint that is left out, added, moved or
/// changed changes it, unless somebody looked for one that does not.
pub(crate) fn constraints_digest(common: &Common) -> [u64; 4] {
    let wires = point(WIRES, common.config.num_wires);
    let constants = point(CONSTANTS, common.num_constants);
    let public_inputs_hash = &drawn(INPUTS, 0);
    let vars = EvaluationVars { local_constants: &constants, local_wires: &wires, public_inputs_hash };
    let mut elements = Vec::new();
    for gate in &common.gates {
        let values = gate.0.eval_unfiltered(vars);
        elements.push(Field::from_noncanonical_u64(values.len() as u64));
        elements.extend(values.iter().flat_map(|QuadraticExtension(parts)| *parts));
    }
    PoseidonHash::hash_no_pad(&elements).elements.map(|element| element.to_canonical_u64())
}

fn drawn(what: u64, place: usize) -> HashOut<Field> {
    PoseidonHash::hash_no_pad(&[what, place as u64].map(Field::from_noncanonical_u64))
}

fn point(what: u64, len: usize) -> Vec<Extension> {
    let one = |place| {
        let [first, second, ..] = drawn(what, place).elements;
        QuadraticExtension([first, second])
    };
    (0..len).map(one).collect()
}
