//! One breaker per check (docs/CHECKS.md), each in a **re-sealed** bundle: member digests are computed again, so that
//! the check itself must refuse and not a checksum. Where only somebody with the node's key could do it, the chain is
//! built and signed again around the one false thing.

mod audits;
mod chains;
mod evidence;
mod ledgers;
mod levels;
mod nvidia;
mod oddities;
mod statements;
mod times;
mod tokens;

use std::sync::OnceLock;

use weighbridge_appraisal::{
    AppraisalTime, AssembleParts, CheckStatus, Outcome, VerifyOptions, assemble, verify_bundle,
};
use weighbridge_attest::built_in_anchors;
use weighbridge_attest_collect::Collector;
use weighbridge_attest_types::{
    BeaconToken, Binding, Bundle, Canonical, ChainStart, Culprit, Device, DeviceMillis, Digest32, EvidenceKind,
    EvidenceSet, Flops, NodeLedger, PoseidonDigest, Presence, RunManifest, SignedNonce, SignedReceipt, ThresholdReport,
    TrustAnchors, UnixMillis, device_evidence_digest,
};
use weighbridge_circuits::{Component, Relation, ThresholdProof, ThresholdPublic, TotalRelation};
use weighbridge_tests::{SAMPLE_START, SampleRun};
use weighbridge_tests_simulator::World;

use crate::support::{BOUND, anchors_of, assembled, collateral_of};

struct Honest {
    run: SampleRun,
    /// With a proof.
    proven: Bundle,
    /// Without: what breaks a ledger would break the proof's statement as well.
    plain: Bundle,
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let run = SampleRun::honest();
        let proven = assembled(&run, true).expect("an honest run assembles");
        let plain = assembled(&run, false).expect("an honest run assembles");
        Honest { run, proven, plain }
    })
}

fn verified(bundle: &Bundle) -> Outcome {
    let anchors = anchors_of(&honest().run.world);
    verify_bundle(&bundle.to_bytes(), &VerifyOptions { anchors, at: AppraisalTime::Archived })
}

/// The honest plain bundle with every node's members and the manifest taken from a run that misbehaves.
fn resealed(run: &SampleRun) -> Bundle {
    let mut bundle = honest().plain.clone();
    let stale: Vec<String> = bundle.below("node").map(|(name, _)| format!("node/{name}")).collect();
    for name in stale {
        bundle.replace(&name, None);
    }
    bundle.replace("run-manifest", Some(run.manifest.to_bytes()));
    for (folder, chain) in run.chains() {
        for (name, bytes) in chain.export(&run.manifest).iter().filter(|(name, _)| *name != "run-manifest") {
            bundle.replace(&format!("{folder}/{name}"), Some(bytes.to_vec()));
        }
    }
    bundle
}

/// Exactly these checks fail, in this class, and there is no report.
#[track_caller]
fn refused(bundle: &Bundle, culprit: Culprit, codes: &[&str]) {
    let outcome = verified(bundle);
    let mut found: Vec<&str> = outcome.failures().map(|check| check.code).collect();
    found.sort_unstable();
    found.dedup();
    let messages: Vec<_> =
        outcome.failures().map(|check| format!("{} {}: {}", check.path, check.code, check.message)).collect();
    assert_eq!(found, codes, "{messages:#?}");
    assert_eq!(outcome.culprit(), Some(culprit));
    assert!(outcome.report.is_none(), "a refused bundle has no report");
}

#[track_caller]
fn accepted(bundle: &Bundle) -> ThresholdReport {
    let outcome = verified(bundle);
    let failures: Vec<_> = outcome.failures().collect();
    assert!(failures.is_empty(), "{failures:#?}");
    outcome.report.expect("an accepted bundle has a report")
}

fn member<T: Canonical>(bundle: &Bundle, name: &str) -> T {
    T::from_bytes(bundle.get(name).expect("member")).expect("canonical member")
}

/// The honest plain bundle with one member changed.
fn changed<T: Canonical>(name: &str, change: impl FnOnce(&mut T)) -> Bundle {
    let mut bundle = honest().plain.clone();
    let mut value: T = member(&bundle, name);
    change(&mut value);
    bundle.replace(name, Some(value.to_bytes()));
    bundle
}

/// A run like the honest one, in which node 1 does something else at its 20th head.
fn misbehaving(at_twenty: impl FnOnce(&mut SampleRun)) -> SampleRun {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(10);
    run.quote_all();
    run.advance(10);
    run.quote_all();
    at_twenty(&mut run);
    run.advance(10);
    run.quote_all();
    run.receipts();
    run
}

#[test]
fn the_honest_run_is_accepted_and_says_simulated() {
    let report = accepted(&honest().proven);
    assert!(report.warning.starts_with("SIMULATED"), "{}", report.warning);
    assert_eq!(report.bracket.lower, Flops(0));
    assert_eq!(report.declared.len(), 1);
    assert_eq!(report.declared[0].statement, "declared_le");
    accepted(&honest().plain);
}

#[test]
fn without_the_development_roots_nothing_is_trusted() {
    let options = VerifyOptions { anchors: built_in_anchors(), at: AppraisalTime::Archived };
    let outcome = verify_bundle(&honest().proven.to_bytes(), &options);
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
    let why: Vec<_> = outcome.failures().map(|check| &check.message).collect();
    assert!(why.iter().any(|message| message.contains("--trust-roots")), "{why:#?}");
}

#[test]
fn foreign_development_roots_are_not_these() {
    let anchors = anchors_of(&World::new(8, SAMPLE_START));
    let outcome = verify_bundle(&honest().proven.to_bytes(), &VerifyOptions { anchors, at: AppraisalTime::Archived });
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

/// The run goes through its 30 intervals and is sealed again.
fn finished(mut run: SampleRun) -> Bundle {
    run.advance(30);
    run.quote_all();
    run.receipts();
    resealed(&run)
}

#[test]
fn a_consistently_dropped_tail_is_a_shorter_period_with_uncovered_time() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(20);
    run.quote_all();
    // Ten more intervals happened; the operator asks for the receipt after them, over the head before them.
    let authority = run.world.time_authority();
    for node in &mut run.nodes {
        let (index, head) = node.tip();
        let received = UnixMillis(SAMPLE_START.0 + 60_500);
        node.receipt = Some(authority.receipt(received, node.node_key().digest(), index, head));
    }
    let report = accepted(&assembled(&run, false).expect("assembles"));
    let whole = accepted(&honest().plain);
    assert_eq!(report.coverage.bracketed_millis, whole.coverage.bracketed_millis);
    assert_eq!(report.bracket.upper, whole.bracket.upper, "uncovered time is charged like covered time");
    assert!(report.coverage.uncovered_millis > whole.coverage.uncovered_millis);
    assert!(report.coverage.uncovered_millis >= Some(2 * 20_000));
    // With a receipt that was fetched early the period itself is shorter, and the report says which period it is.
    run.receipts();
    let shorter = accepted(&assembled(&run, false).expect("assembles"));
    assert!(shorter.coverage.bracketed_millis < whole.coverage.bracketed_millis);
    assert!(shorter.nodes[0].not_after < whole.nodes[0].not_after);
}

#[test]
fn a_consistently_late_start_shows_as_uncovered_time() {
    let mut run = SampleRun::begin(7, 2, 1);
    for index in 0..20 {
        for node in &mut run.nodes {
            node.seal(|public| {
                let shift = 20_000 + 2_000 * index;
                public.start_mono = shift;
                public.end_mono = shift + 2_000;
                public.start_wall = UnixMillis(SAMPLE_START.0 + shift);
                public.end_wall = UnixMillis(SAMPLE_START.0 + shift + 2_000);
            });
        }
    }
    run.quote_all();
    run.receipts();
    let report = accepted(&assembled(&run, false).expect("assembles"));
    let whole = accepted(&honest().plain);
    assert_eq!(report.bracket.upper, whole.bracket.upper);
    assert!(report.coverage.uncovered_millis >= Some(2 * 20_000));
    assert!(report.gaps.iter().any(|gap| gap.millis >= 20_000), "{:?}", report.gaps);
}

#[test]
fn every_check_is_in_the_table_and_every_breaker_of_the_table_exists() {
    let table = include_str!("../../docs/CHECKS.md");
    for check in &verified(&honest().proven).checks {
        assert!(table.contains(&format!("`{}`", check.code)), "{} is not in docs/CHECKS.md", check.code);
        assert_ne!(check.status, CheckStatus::Fail);
    }
    let sources = [
        include_str!("tampered_bundle/audits.rs"),
        include_str!("tampered_bundle/chains.rs"),
        include_str!("tampered_bundle/evidence.rs"),
        include_str!("tampered_bundle/ledgers.rs"),
        include_str!("tampered_bundle/levels.rs"),
        include_str!("tampered_bundle/nvidia.rs"),
        include_str!("tampered_bundle/statements.rs"),
        include_str!("tampered_bundle/times.rs"),
        include_str!("tampered_bundle/tokens.rs"),
    ];
    for breaker in table.split('`').filter(|word| word.starts_with("breaker_")) {
        let defined = sources.iter().any(|source| source.contains(&format!("fn {breaker}(")));
        assert!(defined, "docs/CHECKS.md names {breaker}, which no test is");
    }
}
