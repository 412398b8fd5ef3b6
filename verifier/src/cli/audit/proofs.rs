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

/// Why a draw has no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Passed {
    /// No circuit is about it.
    NotCovered,
    /// A circuit is about such tiles and does not accept this one: nor does the native check, but for a hair at the edge.
    NotAccepted,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Proofs that were made,
    pub(super) proven: u64,
    /// and those that hold.
    pub(super) checked: u64,
    /// Draws that were passed over, by reason.
    passed_over: BTreeMap<(Passed, String), u64>,
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
                Err(why) => proofs.pass_over(Passed::NotCovered, why.to_owned()),
            }
            progress(proofs.proven);
        }
        Ok(proofs)
    }

    fn prove(&mut self, prover: &TileProver, tile: PlainTile<'_>, memory: Option<u64>) -> Result<(), CliError> {
        let k = tile.k;
        let Some(needed) = tile_memory(k) else {
            self.pass_over(Passed::NotCovered, format!("no circuit has dot products of {k}"));
            return Ok(());
        };
        if memory.is_some_and(|memory| memory < needed) {
            let why = format!("dot products of {k} take {} MiB, more than --memory", needed >> 20);
            self.pass_over(Passed::NotCovered, why);
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
            // to the last fraction of a unit, the circuit has no room for. All else is a fault of ours.
            Err(error) => {
                let (passed, property) = passed_for(&error).ok_or(CliError::Prove(error))?;
                self.pass_over(passed, format!("`{property}` does not hold"));
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, passed: Passed, why: String) {
        let count = self.passed_over.entry((passed, why)).or_default();
        *count += 1;
    }

    /// Reasons with the number of draws.
    pub(super) fn passed_over(&self, wanted: Passed) -> Value {
        let rows = self.passed_over.iter().filter(|((passed, _), _)| *passed == wanted);
        rows.map(|((_, reason), draws)| json!({"reason": reason, "draws": draws})).collect()
    }

    /// The same in words.
    pub(super) fn lines(&self) -> Vec<String> {
        let first = format!("tiles proven                   {}, {} proofs checked\n", self.proven, self.checked);
        let passed = |((passed, why), draws): (&(Passed, String), &u64)| match passed {
            Passed::NotCovered => format!("not covered by a proof         {draws} drawn tiles: {why}\n"),
            Passed::NotAccepted => format!("not accepted, so not proven    {draws} drawn tiles: {why}\n"),
        };
        [first].into_iter().chain(self.passed_over.iter().map(passed)).collect()
    }
}

/// Properties of the tile itself, without which there is nothing to prove; `None` for what is no fault of the tile.
fn passed_for(error: &ProveError) -> Option<(Passed, &'static str)> {
    let ProveError::Violation(Violation { property, .. }) = error else { return None };
    let passed = match *property {
        "covered" | "flush" | "output-unit" | "sharp" | "policy" | "residual" | "block-exponent" => Passed::NotCovered,
        "inside" | "finite" | "half-informative" | "mean-square" => Passed::NotAccepted,
        _ => return None,
    };
    Some((passed, *property))
}

/// The policy of a rehearsal: the default error model over bf16, whatever the phase of a product.
fn policy() -> Result<NumericPolicy, Violation> {
    let classes = [OperationClass::FORWARD, OperationClass::DGRAD, OperationClass::WGRAD, OperationClass::OTHER];
    let bf16 = OperationPolicy::of(Format::Bf16, Format::Bf16);
    let policy = NumericPolicy::new(classes.map(|class| (class, bf16)).to_vec());
    policy.map_err(|error| Violation { property: "policy", detail: error.to_string() })
}

/// A tile's claim under the policy of a rehearsal.
fn claim(tile: PlainTile<'_>) -> Result<(GemmPublic, GemmWitness), Violation> {
    let PlainTile { blocks, place, class, .. } = tile;
    let operand = |block: weighbridge_audit::trial::PlainBlock<'_>| {
        let described = TensorShape { name: block.name, dtype: block.dtype, shape: block.shape };
        GemmOperand::new(described, block.bytes)
    };
    let [left, right, output] = blocks.map(operand);
    let witness = GemmWitness { left: left?, right: right?, output: output?, place };
    let public = GemmPublic::of(&witness, &policy()?, class)?;
    Ok((public, witness))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_a_tile_is_passed_over() {
        let passed = |property| {
            let violation = Violation { property, detail: String::new() };
            passed_for(&ProveError::Violation(violation)).map(|(passed, _)| passed)
        };
        assert_eq!(passed("sharp"), Some(Passed::NotCovered));
        assert_eq!(passed("inside"), Some(Passed::NotAccepted));
        for ours in ["left-opens", "right-opens", "output-opens", "header", "shape", "anything"] {
            assert_eq!(passed(ours), None, "{ours}");
        }
        assert_eq!(passed_for(&ProveError::Prover { circuit: "gemm", detail: String::new() }), None);
    }

    #[test]
    fn every_phase_has_its_class_in_the_policy() {
        let policy = policy().expect("four classes");
        for class in [OperationClass::FORWARD, OperationClass::DGRAD, OperationClass::WGRAD, OperationClass::OTHER] {
            assert!(policy.of(class).is_some(), "{class:?}");
        }
    }
}
