//! **Duty.** Proving drawn tiles, one by one, and checking such proofs. Circuits are built when they are first needed, and must be
//! those that are pinned. **Does not know** files, threads or draws. **Spec.** docs/statements/gemm.md; decision 0081.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crate::catalog::{CircuitEntry, TILES};
use crate::checking::{encode, parse};
use crate::constraints::constraints_digest;
use crate::gemm::{GEMM_LONG, GEMM_SHORT, Gemm, GemmPublic, GemmWitness};
use crate::proving::prove;
use crate::statement::{Circuit, FieldLayout as _, Statement};
use crate::{ProofError, ProveError};

/// Proves tiles of the lengths in [`crate::GEMM_K`].
#[derive(Debug, Default)]
pub struct TileProver {
    short: OnceLock<Circuit<Gemm<GEMM_SHORT>>>,
    long: OnceLock<Circuit<Gemm<GEMM_LONG>>>,
}

/// Memory that proving a tile of such dot products takes, in bytes, circuit included: measured peaks, rounded up. `None` where
/// there is no circuit.
#[must_use]
pub const fn tile_memory(k: u64) -> Option<u64> {
    match k {
        128 => Some(256 << 20),
        1024 => Some(768 << 20),
        _ => None,
    }
}

/// A tile whose proof was checked; the only constructor is [`TileProver::check`]. It says that the blocks which the public
/// inputs name belong together; that they are a run's, and were drawn, is for others to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTile {
    public: GemmPublic,
}

impl CheckedTile {
    /// What was proven.
    #[must_use]
    pub const fn public(&self) -> &GemmPublic {
        &self.public
    }
}

impl TileProver {
    /// Proves one tile; a false one is refused by name before any proving time is spent.
    ///
    /// # Errors
    /// [`ProveError::Violation`]; [`ProveError::Prover`] is ours.
    pub fn prove(&self, public: &GemmPublic, witness: &GemmWitness) -> Result<Vec<u8>, ProveError> {
        // plonky2 asserts what it does not expect: that must not end a long piece of work without a word.
        let proven = catch_unwind(AssertUnwindSafe(|| match public.k {
            GEMM_SHORT => prove(self.short().map_err(|error| ours(&error))?, public, witness),
            GEMM_LONG => prove(self.long().map_err(|error| ours(&error))?, public, witness),
            other => Err(ProveError::Violation(no_circuit(other))),
        }));
        let proven = proven.map_err(|_| ours(&"the prover panicked"))?;
        Ok(encode(&proven?.proof))
    }

    /// Checks a proof against what it is said to prove.
    ///
    /// # Errors
    /// [`ProofError`]: wrong size, not canonical, public part out of range, or it does not hold.
    pub fn check(&self, public: &GemmPublic, proof: &[u8]) -> Result<CheckedTile, ProofError> {
        public.check_form().map_err(|_| ProofError::Public("no claim that this circuit is about"))?;
        match public.k {
            GEMM_SHORT => holds(self.short()?, public, proof)?,
            GEMM_LONG => holds(self.long()?, public, proof)?,
            _ => return Err(ProofError::Public("no circuit has dot products of this length")),
        }
        Ok(CheckedTile { public: public.clone() })
    }

    fn short(&self) -> Result<&Circuit<Gemm<GEMM_SHORT>>, ProofError> {
        is_pinned(self.short.get_or_init(|| Circuit::build(&())))
    }

    fn long(&self) -> Result<&Circuit<Gemm<GEMM_LONG>>, ProofError> {
        is_pinned(self.long.get_or_init(|| Circuit::build(&())))
    }
}

fn no_circuit(k: usize) -> crate::Violation {
    crate::Violation::new("shape", format!("dot products of {k}; circuits have {:?}", crate::GEMM_K))
}

fn ours(detail: &impl ToString) -> ProveError {
    ProveError::Prover { circuit: "gemm", detail: detail.to_string() }
}

fn entry<const K: usize>() -> Option<&'static CircuitEntry> {
    TILES.iter().find(|entry| entry.id == Gemm::<K>::ID)
}

/// What is pinned of a circuit over tiles: its description, and what its gates demand.
pub(crate) fn description<const K: usize>(circuit: &Circuit<Gemm<K>>) -> String {
    format!("{}constraints: {:?}\n", circuit.describe(), constraints_digest(&circuit.data.common))
}

/// A circuit that this machine built must be the one that is pinned, gates, wiring and constraints: else its proofs would be
/// checked against something else.
fn is_pinned<const K: usize>(circuit: &Circuit<Gemm<K>>) -> Result<&Circuit<Gemm<K>>, ProofError> {
    match entry::<K>() {
        Some(entry) if entry.description == description(circuit) => Ok(circuit),
        _ => Err(ProofError::VerifierKey(format!("circuit `{}` is not the pinned one", Gemm::<K>::ID))),
    }
}

fn holds<const K: usize>(circuit: &Circuit<Gemm<K>>, public: &GemmPublic, proof: &[u8]) -> Result<(), ProofError> {
    let size = entry::<K>().map(|entry| entry.proof_bytes).unwrap_or_default();
    let elements = public.to_elements();
    if elements.iter().any(|&element| element >= weighbridge_attest_types::GOLDILOCKS_ORDER) {
        return Err(ProofError::Public("an element is p or more"));
    }
    let proven = parse(proof, size, &circuit.data.common, &elements)?;
    circuit.data.verify(proven).map_err(|_| ProofError::DoesNotHold)
}
