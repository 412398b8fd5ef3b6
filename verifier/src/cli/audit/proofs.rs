//! **Duty.** Proofs of drawn tiles in a rehearsal: which of the draws a circuit covers, their proofs made and checked, and why the
//! others were passed over. **Knows** draws and circuits. **Does not know** how a tile is judged. **Spec.**
//! docs/statements/gemm.md; decision 0082.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use weighbridge_audit::trace::Trace;
use weighbridge_audit::trial::{PlainTile, Plan, TrialError, drawn_tile, plain_tile};
use weighbridge_audit::{Format, NumericPolicy, OperationClass, OperationPolicy};
use weighbridge_circuits::{GemmOperand, GemmPublic, GemmWitness, ProveError, TileProver, Violation, tile_memory};
use weighbridge_commitments::TensorShape;

use crate::error::CliError;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Proofs that were made,
    pub(super) proven: u64,
    /// and those that hold.
    pub(super) checked: u64,
    /// Draws that were passed over, by reason.
    passed_over: BTreeMap<String, u64>,
}

impl Proofs {
    /// Takes the draws in their order until so many tiles are proven; `progress` hears how many are.
    ///
    /// # Errors
    /// [`CliError::Trial`] for bytes that cannot be read; [`CliError::Prove`] where a true statement is not proven.
    pub(super) fn of(
        (trace, path): (&Trace<'_>, &Path),
        plan: &Plan,
        (wanted, memory): (u64, Option<u64>),
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, CliError> {
        let (prover, mut proofs) = (TileProver::default(), Self::default());
        let draws = (0..plan.draws).map_while(|draw| drawn_tile(trace, plan, draw));
        for tile in draws {
            if proofs.proven >= wanted {
                break;
            }
            let unreadable = |source| CliError::Trial { path: path.to_owned(), source: TrialError::Source(source) };
            match plain_tile(trace, &tile).map_err(unreadable)? {
                Ok(plain) => proofs.prove(&prover, plain, memory)?,
                Err(why) => proofs.pass_over(why.to_owned()),
            }
            progress(proofs.proven);
        }
        Ok(proofs)
    }

    fn prove(&mut self, prover: &TileProver, tile: PlainTile<'_>, memory: Option<u64>) -> Result<(), CliError> {
        let k = tile.k;
        let Some(needed) = tile_memory(k) else {
            self.pass_over(format!("no circuit has dot products of {k}"));
            return Ok(());
        };
        if memory.is_some_and(|memory| memory < needed) {
            self.pass_over(format!("dot products of {k} take {} MiB, more than --memory", needed >> 20));
            return Ok(());
        }
        let (public, witness) = claim(tile).map_err(ProveError::Violation).map_err(CliError::Prove)?;
        match prover.prove(&public, &witness) {
            Ok(proof) => {
                self.proven += 1;
                let held = prover.check(&public, &proof);
                let detail = |error: weighbridge_circuits::ProofError| error.to_string();
                held.map_err(|error| ProveError::Prover { circuit: "gemm", detail: detail(error) })
                    .map_err(CliError::Prove)?;
                self.checked += 1;
            }
            // What the native check does not accept is counted by the rehearsal itself; what it accepts in two windows, or
            // to the last fraction of a unit, the circuit has no room for.
            Err(ProveError::Violation(violation)) => self.pass_over(format!("`{}` does not hold", violation.property)),
            Err(other) => return Err(CliError::Prove(other)),
        }
        Ok(())
    }

    fn pass_over(&mut self, why: String) {
        let count = self.passed_over.entry(why).or_default();
        *count += 1;
    }

    /// Reasons with the number of draws.
    pub(super) fn not_covered(&self) -> Value {
        self.passed_over.iter().map(|(reason, draws)| json!({"reason": reason, "draws": draws})).collect()
    }

    /// The same in words.
    pub(super) fn lines(&self) -> Vec<String> {
        let first = format!("tiles proven                   {}, {} proofs checked\n", self.proven, self.checked);
        let passed =
            |(why, draws): (&String, &u64)| format!("not covered by a proof         {draws} drawn tiles: {why}\n");
        [first].into_iter().chain(self.passed_over.iter().map(passed)).collect()
    }
}

/// A tile's claim under the policy of a rehearsal: the default error model over bf16.
fn claim(tile: PlainTile<'_>) -> Result<(GemmPublic, GemmWitness), Violation> {
    let PlainTile { blocks, place, .. } = tile;
    let operand = |block: weighbridge_audit::trial::PlainBlock<'_>| {
        let described = TensorShape { name: block.name, dtype: block.dtype, shape: block.shape };
        GemmOperand::new(described, block.bytes)
    };
    let [left, right, output] = blocks.map(operand);
    let witness = GemmWitness { left: left?, right: right?, output: output?, place };
    let policy = NumericPolicy::uniform(OperationPolicy::of(Format::Bf16, Format::Bf16));
    let public = GemmPublic::of(&witness, &policy, OperationClass::FORWARD)?;
    Ok((public, witness))
}
