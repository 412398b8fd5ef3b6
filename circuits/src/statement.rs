//! **Duty.** The contract of a statement: a native meaning, a circuit that says the same, and one definition of where
//! each public input stands. **Does not know** any particular statement.

use std::fmt::Debug;

use plonky2::field::goldilocks_field::GoldilocksField;
use plonky2::field::types::PrimeField64;
use plonky2::iop::witness::PartialWitness;
use plonky2::plonk::circuit_builder::CircuitBuilder;
use plonky2::plonk::circuit_data::{
    CircuitConfig, CircuitData, CommonCircuitData, VerifierCircuitData, VerifierOnlyCircuitData,
};
use plonky2::plonk::config::PoseidonGoldilocksConfig;
use plonky2::plonk::proof::ProofWithPublicInputs;
use thiserror::Error;
use weighbridge_attest_types::Culprit;

/// The field of all circuits.
pub(crate) type Field = GoldilocksField;
/// Degree of the extension in which challenges are drawn.
pub(crate) const EXTENSION: usize = 2;
/// Hashes of all circuits.
pub(crate) type Config = PoseidonGoldilocksConfig;
/// A circuit under construction.
pub(crate) type Builder = CircuitBuilder<Field, EXTENSION>;
/// Values for a circuit's inputs.
pub(crate) type Assignment = PartialWitness<Field>;
/// A built circuit.
pub(crate) type Built = CircuitData<Field, Config, EXTENSION>;
/// What it takes to check proofs of a built circuit.
pub(crate) type VerifierKey = VerifierCircuitData<Field, Config, EXTENSION>;
/// The part of it that tells one circuit of a shape from another,
pub(crate) type KeyData = VerifierOnlyCircuitData<Config, EXTENSION>;
/// and the part that all circuits of a shape share.
pub(crate) type Common = CommonCircuitData<Field, EXTENSION>;
/// A proof with its public inputs.
pub(crate) type Proven = ProofWithPublicInputs<Field, Config, EXTENSION>;

/// Names a circuit in the catalog.
pub type CircuitId = &'static str;

/// The property that does not hold, by its name in docs/CONSTRAINTS.md.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("property `{property}` does not hold: {detail}")]
pub struct Violation {
    /// Name of the property.
    pub property: &'static str,
    /// Where and how.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, detail: impl Into<String>) -> Self {
        Self { property, detail: detail.into() }
    }

    /// Who has to act: the statement is false, so policy says no before any proving time is spent.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Rejected
    }
}

/// Public inputs that stand at fixed positions.
pub(crate) trait FieldLayout: Sized {
    /// The elements, in the order in which the circuit registers them.
    fn to_elements(&self) -> Vec<u64>;
}

/// One thing that can be proven. `check` is the meaning; `build` must say the same, and the tests hold them to it.
pub(crate) trait Statement {
    /// Name in the catalog.
    const ID: CircuitId;
    /// Whether proofs of this statement are published, and so must be blinded.
    const BLINDED: bool;
    /// What a reader of the proof learns.
    type Public: FieldLayout;
    /// What only the prover knows.
    type Witness: ?Sized;
    /// Inputs of the built circuit.
    type Targets: Debug;
    /// What the circuit verifies recursively: the verifier key of another statement, or `()`.
    type Inner;

    /// The native meaning.
    fn check(public: &Self::Public, witness: &Self::Witness) -> Result<(), Violation>;
    /// The same as constraints.
    fn build(builder: &mut Builder, inner: &Self::Inner) -> Self::Targets;
    /// Sets the inputs; refuses nothing that is false, so that the constraints can be tried.
    fn assign(
        targets: &Self::Targets,
        public: &Self::Public,
        witness: &Self::Witness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation>;
}

/// One parameter set for all layers: a chain of recursion is as strong as its weakest (CIRCUITS §7).
pub(crate) fn config(blinded: bool) -> CircuitConfig {
    if blinded { CircuitConfig::standard_recursion_zk_config() } else { CircuitConfig::standard_recursion_config() }
}

/// An inner proof speaks of the public inputs that the witness names.
pub(crate) fn proof_says(property: &'static str, proof: &Proven, public: &impl FieldLayout) -> Result<(), Violation> {
    let named = public.to_elements();
    let says: Vec<u64> = proof.public_inputs.iter().map(PrimeField64::to_canonical_u64).collect();
    if says == named { Ok(()) } else { Err(Violation::new(property, "the inner proof speaks of something else")) }
}

/// A statement's circuit with its input targets.
#[derive(Debug)]
pub(crate) struct Circuit<S: Statement> {
    pub(crate) data: Built,
    pub(crate) targets: S::Targets,
    /// Rows before blinding and padding.
    pub(crate) rows: usize,
}

impl<S: Statement> Circuit<S> {
    pub(crate) fn build(inner: &S::Inner) -> Self {
        Self::build_with(config(S::BLINDED), inner)
    }

    /// Builds under another parameter set; tests of constraints do without blinding.
    pub(crate) fn build_with(config: CircuitConfig, inner: &S::Inner) -> Self {
        let mut builder = Builder::new(config);
        let targets = S::build(&mut builder, inner);
        let rows = builder.num_gates();
        Self { data: builder.build::<Config>(), targets, rows }
    }

    /// Gates, shape and digest as text: what is pinned.
    pub(crate) fn describe(&self) -> String {
        let common = &self.data.common;
        let gates: Vec<String> = common.gates.iter().map(|gate| gate.0.id()).collect();
        let lines = [
            format!("circuit: {}", S::ID),
            format!("blinded: {}", S::BLINDED),
            format!("rows before blinding and padding: {}", self.rows),
            format!("degree: 2^{}", common.degree_bits()),
            format!("public inputs: {}", common.num_public_inputs),
            format!("constants: {}", common.num_constants),
            format!("config: {:?}", common.config),
            format!("gates:\n  {}", gates.join("\n  ")),
            format!("digest: {:?}\n", self.data.verifier_only.circuit_digest.elements),
        ];
        lines.join("\n")
    }
}
