//! **Duty.** The zero-knowledge statement about declared totals: that it is about exactly these chains, and that its
//! proof holds. **Knows** public inputs. **Does not know** circuits (`weighbridge-circuits`), and never moves a verdict.
//! **Spec.** PROTOCOL §4 (threshold), CIRCUITS §4, §7.

use weighbridge_attest_types::{
    Culprit, DeclaredLine, Digest32, Flops, Grade, Sentence, built_in_profiles, two_figures,
};
use weighbridge_circuits::{
    ChainClaim, CheckedProof, DeclaredRelation, ThresholdPublic, check_threshold, circuit_digests,
};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{ProofParts, name};
use crate::levels::is_two_figure_cell;
use crate::nodes::NodeChain;
use crate::text;

/// A proof that holds, about exactly the chains of this bundle.
#[derive(Debug)]
pub(crate) struct CheckedDeclared {
    proof: CheckedProof,
}

/// Checks the statement and its proof; the proof is checked even if the statement is about something else.
///
/// `chains` holds, row by row, one slot per chain; an empty slot is a chain that is missing or does not hold together.
pub(crate) fn check_declared(
    parts: &ProofParts,
    genesis: Digest32,
    chains: &[&Option<NodeChain<'_>>],
    checks: &mut Checks,
) -> Option<CheckedDeclared> {
    let public = &parts.public;
    let found = [
        (name::CIRCUITS, "proof-circuits", knows_circuits(&parts.circuits)),
        (name::PROOF_PUBLIC, "proof-genesis", is_about_run(public, genesis)),
        (name::PROOF_PUBLIC, "proof-chains", is_about_chains(public, chains)),
        (name::PROOF_PUBLIC, "proof-presence", adds_present(chains)),
        (name::PROOF_PUBLIC, "proof-bounds", has_lawful_bounds(&public.relation)),
    ];
    let mut holds = true;
    for (path, code, result) in found {
        holds = checks.record(path, code, result) && holds;
    }
    match check_threshold(public, &parts.proof) {
        Ok(proof) => {
            checks.record(name::PROOF, "proof-holds", Ok(sentence(&public.relation)));
            holds.then_some(CheckedDeclared { proof })
        }
        Err(error) => {
            checks.record(name::PROOF, "proof-holds", Err(Finding::fail(error.culprit(), text::chain(&error))));
            None
        }
    }
}

impl CheckedDeclared {
    /// The report's line. `evidence` is the grade of the quotes over the chains.
    pub(crate) fn line(&self, evidence: Grade) -> DeclaredLine {
        let relation = &self.proof.public().relation;
        let is_cell = is_two_figure_cell(relation);
        let (low, high) = bounds(relation);
        DeclaredLine {
            statement: relation.name().to_owned(),
            low,
            high,
            two_figures: low
                .zip(high)
                .filter(|_| is_cell)
                .map(|(low, high)| format!("{} to {}", two_figures(low.0), two_figures(high.0))),
            sentence: Sentence::on(
                ["check:proof-holds", "check:proof-chains", "check:proof-bounds"],
                sentence(relation),
            ),
            grade: Grade::Declared.min(evidence),
        }
    }
}

/// The circuits of this build, one `name digest` a line.
pub(crate) fn circuits_member() -> Vec<u8> {
    let lines: Vec<String> = circuit_digests().iter().map(|(name, digest)| format!("{name} {digest}\n")).collect();
    lines.concat().into_bytes()
}

fn knows_circuits(member: &[u8]) -> CheckResult {
    match member == circuits_member() {
        true => Ok("made for the circuits of this version".to_owned()),
        false => Err(Finding::fail(
            Culprit::Unsupported,
            "made for other circuits than this version has; verify with the version that assembled the bundle",
        )),
    }
}

fn is_about_run(public: &ThresholdPublic, genesis: Digest32) -> CheckResult {
    match public.genesis == genesis {
        true => Ok("is about this run".to_owned()),
        false => Err(Finding::untrusted(format!("is about run {}, not {genesis}", public.genesis))),
    }
}

/// One claim per chain, in roster order and then in the order of a node's keys, from head 0 to the last head: no chain and
/// no interval is left out.
fn is_about_chains(public: &ThresholdPublic, chains: &[&Option<NodeChain<'_>>]) -> CheckResult {
    let Some(wanted) = chains.iter().map(|chain| chain.as_ref().and_then(claim)).collect::<Option<Vec<_>>>() else {
        return Err(Finding::skipped("a ledger does not hold together, so the statement has nothing to be about"));
    };
    let differs = |(place, (found, wanted)): (usize, (&ChainClaim, &ChainClaim))| (found != wanted).then_some(place);
    let wrong: Vec<usize> = public.chains.iter().zip(&wanted).enumerate().filter_map(differs).collect();
    match (public.chains.len() == wanted.len(), wrong.is_empty()) {
        (true, true) => Ok(format!("is about all {} chains, from first to last head", wanted.len())),
        (false, _) => {
            let (found, wanted) = (public.chains.len(), wanted.len());
            Err(Finding::untrusted(format!("is about {found} chains; the bundle has {wanted}")))
        }
        (true, false) => {
            let places = text::list(wrong);
            let message = format!("is about another chain, or a part of it, in place of chain {places} (from 0)");
            Err(Finding::untrusted(message))
        }
    }
}

fn claim(chain: &NodeChain<'_>) -> Option<ChainClaim> {
    let ledger = chain.ledger();
    let last = ledger.last_index();
    Some(ChainClaim { start: ledger.head(0)?, end: ledger.head(last)?, count: last })
}

/// A sum over an absent component is refused: absent is not 0.
fn adds_present(chains: &[&Option<NodeChain<'_>>]) -> CheckResult {
    let entries = chains.iter().copied().flatten().flat_map(|chain| chain.ledger().entries());
    let absent = entries.filter(|entry| !entry.public.presence.declared()).count();
    match absent {
        0 => Ok("every interval has a declared reading".to_owned()),
        _ => Err(Finding::untrusted(format!("{absent} intervals have no declared reading: absent is not 0"))),
    }
}

/// Free bounds would let a reader close in on the hidden total: only profile values and figures of two significant
/// digits may be named (PROTOCOL §4).
fn has_lawful_bounds(relation: &DeclaredRelation) -> CheckResult {
    let (low, high) = bounds(relation);
    let legal: Vec<Flops> = built_in_profiles().into_iter().map(|profile| profile.value).collect();
    let free: Vec<Flops> =
        [low, high].into_iter().flatten().filter(|bound| !legal.contains(bound) && !is_two_figures(*bound)).collect();
    match free.is_empty() {
        true => Ok("bounds are profile values or have two significant figures".to_owned()),
        false => {
            let free = text::list(free);
            Err(Finding::fail(Culprit::Rejected, format!("{free} FLOP is neither a profile's value nor two figures")))
        }
    }
}

fn is_two_figures(amount: Flops) -> bool {
    let mut rest = amount.0;
    while rest >= 100 {
        if rest.checked_rem(10) != Some(0) {
            return false;
        }
        rest = rest.div_euclid(10);
    }
    true
}

fn bounds(relation: &DeclaredRelation) -> (Option<Flops>, Option<Flops>) {
    match relation {
        DeclaredRelation::Le(high) => (None, Some(*high)),
        DeclaredRelation::Gt(low) => (Some(*low), None),
        DeclaredRelation::In { low, high } => (Some(*low), Some(*high)),
    }
}

fn sentence(relation: &DeclaredRelation) -> String {
    match relation {
        DeclaredRelation::Le(high) => format!("declared total ≤ {high} FLOP: declared, sum proven"),
        DeclaredRelation::Gt(low) => format!("declared total > {low} FLOP: declared, sum proven"),
        DeclaredRelation::In { low, high } => {
            format!("{low} ≤ declared total < {high} FLOP: declared, sum proven")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckStatus;

    #[test]
    fn two_figures_are_two_figures() {
        for lawful in [0, 7, 99, 100, 1_000, 2_300_000_000, 10u128.pow(25)] {
            assert!(is_two_figures(Flops(lawful)), "{lawful}");
        }
        for free in [101, 1_010, 10u128.pow(25) + 1, 123 * 10u128.pow(20)] {
            assert!(!is_two_figures(Flops(free)), "{free}");
        }
    }

    #[test]
    fn sentences_say_declared_and_never_below() {
        let relations = [
            DeclaredRelation::Le(Flops(10)),
            DeclaredRelation::Gt(Flops(10)),
            DeclaredRelation::In { low: Flops(10), high: Flops(20) },
        ];
        let sentences = relations.map(|relation| sentence(&relation));
        assert_eq!(
            sentences,
            [
                "declared total ≤ 10 FLOP: declared, sum proven",
                "declared total > 10 FLOP: declared, sum proven",
                "10 ≤ declared total < 20 FLOP: declared, sum proven",
            ]
        );
    }

    #[test]
    fn circuits_of_another_version_are_unsupported() {
        let mut checks = Checks::default();
        let mut other = circuits_member();
        checks.record("circuits", "proof-circuits", knows_circuits(&other));
        other.push(b'\n');
        checks.record("circuits", "proof-circuits", knows_circuits(&other));
        let found: Vec<_> = checks.into_list().into_iter().map(|check| (check.status, check.culprit)).collect();
        assert_eq!(found, [(CheckStatus::Pass, None), (CheckStatus::Fail, Some(Culprit::Unsupported))]);
    }
}
