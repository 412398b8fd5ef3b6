//! **Duty.** The one shape that all proofs in the tree have, so that a fold can verify wraps and folds alike: rows, gates
//! and number of public inputs. **Does not know** what the proofs say. **Spec.** CIRCUITS §4; decision 0055.

use plonky2::gates::gate::GateRef;
use plonky2::gates::noop::NoopGate;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::keys::KeyTargets;
use crate::statement::{Builder, Common, Config, EXTENSION, Field};

/// Rows of the shape: two verifications of a proof of the same shape fit.
const ROWS_LOG: usize = 13;

/// The shape, as it is known to whoever verifies proofs of it in circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    common: Common,
}

impl Shape {
    /// The shape of a key that ships.
    pub(crate) const fn of(common: Common) -> Self {
        Self { common }
    }

    pub(crate) const fn common(&self) -> &Common {
        &self.common
    }

    /// Gives a circuit the gates and the rows of the shape.
    pub(crate) fn fill(&self, builder: &mut Builder) {
        fill(builder, &self.common.gates);
    }
}

fn fill(builder: &mut Builder, gates: &[GateRef<Field, EXTENSION>]) {
    gates.iter().for_each(|gate| builder.add_gate_to_gate_set(gate.clone()));
    while builder.num_gates() <= 1 << (ROWS_LOG - 1) {
        builder.add_gate(NoopGate, Vec::new());
    }
}

/// proof-holds: a proof of the shape checks under a key that the prover names; whoever calls this asks where that key is
/// from.
pub(crate) fn proof_of_shape(
    builder: &mut Builder,
    shape: &Shape,
    member: &KeyTargets,
) -> ProofWithPublicInputsTarget<EXTENSION> {
    let proof = builder.add_virtual_proof_with_pis(&shape.common);
    builder.verify_proof::<Config>(&proof, &member.key, &shape.common);
    proof
}

/// Finding the shape anew: rows and public inputs are chosen, the gates are those that a circuit needs in order to verify
/// a proof of just this shape. Twice around is enough, since the gates do not depend on each other.
#[cfg(test)]
mod found {
    use plonky2::gates::constant::ConstantGate;

    use super::*;
    use crate::aggregation::statement::STEP_ELEMENTS;
    use crate::statement::config;

    impl Shape {
        pub(crate) fn new() -> Self {
            let plain = Self::with_gates(&[]);
            let once = Self::with_gates(&plain.gates_to_verify());
            let twice = Self::with_gates(&once.gates_to_verify());
            assert_eq!(once, twice);
            twice
        }

        /// An otherwise empty circuit. Only its description is wanted: no commitments are computed.
        fn with_gates(gates: &[GateRef<Field, EXTENSION>]) -> Self {
            let mut builder = Builder::new(config(false));
            let inputs = builder.add_virtual_targets(STEP_ELEMENTS);
            builder.register_public_inputs(&inputs);
            fill(&mut builder, gates);
            Self { common: builder.mock_build::<Config>().common }
        }

        fn gates_to_verify(&self) -> Vec<GateRef<Field, EXTENSION>> {
            let mut builder = Builder::new(config(false));
            let member = KeyTargets::new(&mut builder);
            let proof = proof_of_shape(&mut builder, self, &member);
            builder.register_public_inputs(&proof.public_inputs);
            // A wrap holds its leaf's key as constants.
            builder.add_gate_to_gate_set(GateRef::new(ConstantGate::new(config(false).num_constants)));
            builder.mock_build::<Config>().common.gates
        }
    }
}
