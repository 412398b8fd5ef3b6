//! **Duty.** The zero-knowledge statement about hidden totals: that it is about exactly these chains, and that its proof
//! holds. **Knows** public inputs. **Does not know** circuits (`weighbridge-circuits`), and never moves a verdict.
//! **Spec.** PROTOCOL §4 (threshold), CIRCUITS §4, §7.

mod file;
mod subject;

use weighbridge_attest_types::{
    Culprit, DeclaredLine, Flops, Grade, RunManifest, Sentence, built_in_profiles, two_figures,
};
use weighbridge_circuits::{
    CheckedProof, Component, Relation, ThresholdPublic, TotalRelation, check_threshold, circuit_digests,
};
use weighbridge_ledger::CheckedLedger;

use crate::check::{CheckResult, Checks, Finding, Outcome};
use crate::ingest::{ProofParts, name};
use crate::levels::is_two_figure_cell;
use crate::nodes::NodeChain;
use crate::text;

pub use file::ProofFile;
pub use subject::{STATEMENT_SET, StatementSubject};

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
    manifest: &RunManifest,
    chains: &[&Option<NodeChain<'_>>],
    checks: &mut Checks,
) -> Option<CheckedDeclared> {
    let ledgers = chains.iter().map(|chain| chain.as_ref().map(NodeChain::ledger)).collect::<Option<Vec<_>>>();
    let subject = ledgers.map(|ledgers| StatementSubject::of(manifest, &ledgers));
    check_about(parts, subject.as_ref(), checks)
}

/// Checks a proof that stands alone against the ledgers of its run, in roster order and then in the order of a node's
/// keys: what [`crate::verify_bundle()`] asks of the proof in a bundle, and nothing about evidence.
#[must_use]
pub fn check_proof_file(file: &ProofFile, manifest: &RunManifest, ledgers: &[&CheckedLedger]) -> Outcome {
    let mut checks = Checks::default();
    let subject = StatementSubject::of(manifest, ledgers);
    check_about(file.parts(), Some(&subject), &mut checks);
    // No report belongs to a proof alone; what is asked about evidence is asked of a bundle.
    Outcome { checks: checks.into_list(), report: None }
}

/// Everything about a statement and its proof; without a subject, there is nothing that it could be about.
fn check_about(parts: &ProofParts, subject: Option<&StatementSubject>, checks: &mut Checks) -> Option<CheckedDeclared> {
    let public = &parts.public;
    let about = |check: fn(&ThresholdPublic, &StatementSubject) -> CheckResult| match subject {
        Some(subject) => check(public, subject),
        None => Err(Finding::skipped("a ledger does not hold together, so the statement has nothing to be about")),
    };
    let found = [
        (name::CIRCUITS, "proof-circuits", knows_circuits(&parts.circuits)),
        (name::PROOF_PUBLIC, "proof-genesis", about(is_about_run)),
        (name::PROOF_PUBLIC, "proof-chains", about(is_about_chains)),
        (name::PROOF_PUBLIC, "proof-context", about(is_in_context)),
        (name::PROOF_PUBLIC, "proof-presence", about(adds_present)),
        (name::PROOF_PUBLIC, "proof-bounds", has_lawful_bounds(&public.relations)),
    ];
    let mut holds = true;
    for (path, code, result) in found {
        holds = checks.record(path, code, result) && holds;
    }
    match check_threshold(public, &parts.proof) {
        Ok(proof) => {
            checks.record(name::PROOF, "proof-holds", Ok(text::list(public.relations.iter().map(sentence))));
            holds.then_some(CheckedDeclared { proof })
        }
        Err(error) => {
            checks.record(name::PROOF, "proof-holds", Err(Finding::fail(error.culprit(), text::chain(&error))));
            None
        }
    }
}

impl CheckedDeclared {
    /// The report's lines, one for each relation. `evidence` is the grade of the quotes over the chains.
    pub(crate) fn lines(&self, evidence: Grade) -> Vec<DeclaredLine> {
        self.proof.public().relations.iter().map(|relation| line(relation, evidence)).collect()
    }
}

fn line(relation: &TotalRelation, evidence: Grade) -> DeclaredLine {
    let is_cell = is_two_figure_cell(relation);
    let (low, high) = relation.bounds();
    DeclaredLine {
        statement: relation.name().to_owned(),
        low,
        high,
        two_figures: low
            .zip(high)
            .filter(|_| is_cell)
            .map(|(low, high)| format!("{} to {}", two_figures(low.0), two_figures(high.0))),
        sentence: Sentence::on(["check:proof-holds", "check:proof-chains", "check:proof-bounds"], sentence(relation)),
        grade: Grade::Declared.min(evidence),
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

fn is_about_run(public: &ThresholdPublic, subject: &StatementSubject) -> CheckResult {
    match public.genesis == subject.genesis() {
        true => Ok("is about this run".to_owned()),
        false => Err(Finding::untrusted(format!("is about run {}, not {}", public.genesis, subject.genesis()))),
    }
}

/// All chains, in roster order and then in the order of a node's keys, each from head 0 to the last head with all its
/// intervals, as one digest that is recomputed from the ledgers: no chain and no interval is left out.
fn is_about_chains(public: &ThresholdPublic, subject: &StatementSubject) -> CheckResult {
    let (found, wanted) = (public.chains, subject.chains());
    match (found.count() == wanted.count(), found == wanted) {
        (_, true) => Ok(format!("is about all {} chains, from first to last head", wanted.count())),
        (false, false) => {
            Err(Finding::untrusted(format!("is about {} chains; the bundle has {}", found.count(), wanted.count())))
        }
        (true, false) => Err(Finding::untrusted(
            "is about as many chains, and one of them is another, a part of one, or in another place",
        )),
    }
}

/// Statement set, roster, period and presence are bound by the proof as one digest.
fn is_in_context(public: &ThresholdPublic, subject: &StatementSubject) -> CheckResult {
    match public.context == subject.context() {
        true => Ok("binds this roster, period and presence of readings".to_owned()),
        false => Err(Finding::untrusted(
            "binds another roster, period, presence of readings or set of statements than these ledgers have",
        )),
    }
}

/// A sum over an absent component is refused: absent is not 0.
fn adds_present(public: &ThresholdPublic, subject: &StatementSubject) -> CheckResult {
    let summed = Component::ALL.into_iter();
    let summed = summed.filter(|&component| public.relations.iter().any(|relation| relation.component == component));
    let absent: Vec<String> = summed
        .filter(|&component| subject.absent(component) > 0)
        .map(|component| format!("{} intervals have no {} reading", subject.absent(component), component.as_str()))
        .collect();
    match absent.is_empty() {
        true => Ok("every interval has a reading of what is summed".to_owned()),
        false => Err(Finding::untrusted(format!("{}: absent is not 0", text::list(absent)))),
    }
}

/// Free bounds would let a reader close in on the hidden total: only profile values and figures of two significant
/// digits may be named (PROTOCOL §4). A profile's value is an amount of FLOP.
fn has_lawful_bounds(relations: &[TotalRelation]) -> CheckResult {
    let legal: Vec<Flops> = built_in_profiles().into_iter().map(|profile| profile.value).collect();
    let is_legal = |component: Component, bound: Flops| component != Component::Energy && legal.contains(&bound);
    let bounds = relations.iter().flat_map(|relation| {
        let (low, high) = relation.bounds();
        [low, high].into_iter().flatten().map(|bound| (relation.component, bound))
    });
    let free = bounds.filter(|(component, bound)| !is_legal(*component, *bound) && !is_two_figures(*bound));
    let free: Vec<String> = free.map(|(component, bound)| format!("{bound} {}", component.unit())).collect();
    match free.is_empty() {
        true => Ok("bounds are profile values or have two significant figures".to_owned()),
        false => {
            let free = text::list(free);
            Err(Finding::fail(Culprit::Rejected, format!("neither a profile's value nor two figures: {free}")))
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

fn sentence(relation: &TotalRelation) -> String {
    let (what, unit) = (relation.component.as_str(), relation.component.unit());
    match relation.relation {
        Relation::Le(high) => format!("{what} total ≤ {high} {unit}: declared, sum proven"),
        Relation::Gt(low) => format!("{what} total > {low} {unit}: declared, sum proven"),
        Relation::In { low, high } => format!("{low} ≤ {what} total < {high} {unit}: declared, sum proven"),
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
        let relations =
            [Relation::Le(Flops(10)), Relation::Gt(Flops(10)), Relation::In { low: Flops(10), high: Flops(20) }];
        let sentences = relations.map(|relation| sentence(&TotalRelation::declared(relation)));
        assert_eq!(
            sentences,
            [
                "declared total ≤ 10 FLOP: declared, sum proven",
                "declared total > 10 FLOP: declared, sum proven",
                "10 ≤ declared total < 20 FLOP: declared, sum proven",
            ]
        );
        let energy = TotalRelation { component: Component::Energy, relation: Relation::Le(Flops(10)) };
        assert_eq!(sentence(&energy), "energy total ≤ 10 J: declared, sum proven");
    }

    #[test]
    fn a_profile_value_bounds_operations_and_no_energy() {
        let value = built_in_profiles().remove(0).value;
        let of = |component, bound| TotalRelation { component, relation: Relation::Le(bound) };
        assert!(has_lawful_bounds(&[of(Component::Declared, value), of(Component::Metered, value)]).is_ok());
        assert!(has_lawful_bounds(&[of(Component::Energy, Flops(4_700))]).is_ok());
        let odd = Flops(123_456);
        for component in Component::ALL {
            // One free bound among lawful ones.
            let mut checks = Checks::default();
            let relations = [of(Component::Declared, value), of(component, odd)];
            checks.record("bounds", "proof-bounds", has_lawful_bounds(&relations));
            let message = checks.into_list().remove(0).message;
            assert!(message.contains(&format!("123456 {}", component.unit())), "{message}");
        }
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
