//! One breaker per check (docs/CHECKS.md), each in a **re-sealed** bundle: member digests are computed again, so that
//! the check itself must refuse and not a checksum. Where only somebody with the node's key could do it, the chain is
//! built and signed again around the one false thing.

use std::sync::OnceLock;

use weighbridge_appraisal::{AppraisalTime, AssembleParts, CheckStatus, Outcome, VerifyOptions, assemble, verify_bundle};
use weighbridge_attest::{built_in_anchors, parse_anchor_file};
use weighbridge_attest_collect::Collector;
use weighbridge_attest_types::{
    Binding, Bundle, Canonical, Challenge, ChainStart, Culprit, Device, DeviceMillis, Digest32, EvidenceSet, Flops,
    NodeLedger, PoseidonDigest, Presence, RunManifest, SignedNonce, SignedReceipt, ThresholdReport, TrustAnchors,
    UnixMillis, device_evidence_digest,
};
use weighbridge_circuits::{DeclaredRelation, ThresholdPublic};
use weighbridge_tests::{SAMPLE_START, SampleRun};
use weighbridge_tests_simulator::World;

const BOUND: Flops = Flops(1_000_000_000_000_000_000);

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

fn anchors_of(world: &World) -> TrustAnchors {
    let mut anchors = built_in_anchors();
    for file in world.trust_roots() {
        parse_anchor_file(&file.bytes, &mut anchors).expect("an anchor file");
    }
    anchors
}

fn assembled(run: &SampleRun, proven: bool) -> Result<Bundle, String> {
    let parts = AssembleParts {
        exports: run.exports(),
        endorsements: vec![run.world.collateral_json()],
        proof: proven.then(|| run.prove(BOUND)),
        at: run.appraisal_instant(),
        anchors: anchors_of(&run.world),
    };
    assemble(parts).map_err(|error| error.to_string())
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
    for (number, export) in run.exports().iter().enumerate() {
        for (name, bytes) in export.iter().filter(|(name, _)| *name != "run-manifest") {
            bundle.replace(&format!("node/{number:04}/{name}"), Some(bytes.to_vec()));
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
    let messages: Vec<_> = outcome.failures().map(|check| format!("{} {}: {}", check.path, check.code, check.message)).collect();
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

// Evidence.

#[test]
fn breaker_replayed_quote_under_the_old_name() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let old = node.evidence[&10].clone();
        node.keep_quote(20, old);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-head", "evidence-index"]);
}

#[test]
fn breaker_replayed_quote_with_a_new_binding() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let old = node.evidence[&10].clone();
        let set = EvidenceSet { binding: node.evidence[&20].binding.clone(), ..old };
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_replayed_gpu_report_in_a_fresh_quote() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let binding = node.evidence[&20].binding.clone();
        let devices = node.evidence[&10].devices.clone();
        let cpu = node.platform.quote(binding.report_data(device_evidence_digest(&devices))).expect("quote");
        node.keep_quote(20, EvidenceSet { binding, cpu, devices });
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_quote_of_another_run() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let old = node.evidence[&20].binding.clone();
        let binding = Binding { genesis: Digest32([9; 32]), ..old };
        let set = weighbridge_attest_collect::collect_set(&node.platform, binding).expect("set");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genesis"]);
}

#[test]
fn breaker_quote_for_another_node_key() {
    let run = misbehaving(|run| {
        let other = run.nodes[0].node_key().digest();
        let node = &mut run.nodes[1];
        let old = node.evidence[&20].binding.clone();
        let binding = Binding { node_key_digest: other, ..old };
        let set = weighbridge_attest_collect::collect_set(&node.platform, binding).expect("set");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-node-key"]);
}

#[test]
fn breaker_key_quote_in_place_of_a_head_quote() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let set = node.key_set.clone();
        node.keep_quote(20, set);
    });
    let outcome = verified(&resealed(&run));
    assert!(outcome.failures().any(|check| check.code == "evidence-stage"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_key_quote_that_the_roster_does_not_name() {
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform, |manifest| manifest.roster[1].key_quote = Digest32([1; 32]));
    refused(&finished(run), Culprit::Untrusted, &["key-quote-roster"]);
}

#[test]
fn breaker_evidence_of_a_node_without_its_tee() {
    // The quote of node 0's CPU over node 1's binding: genuine, but another platform than the roster's.
    let run = misbehaving(|run| {
        let platform = run.nodes[0].platform.clone();
        let node = &mut run.nodes[1];
        let EvidenceSet { binding, devices, .. } = node.evidence[&20].clone();
        let cpu = platform.quote(binding.report_data(device_evidence_digest(&devices))).expect("quote");
        node.keep_quote(20, EvidenceSet { binding, cpu, devices });
    });
    refused(&resealed(&run), Culprit::Untrusted, &["devices-distinct", "evidence-cpu"]);
}

#[test]
fn breaker_one_bit_of_a_quote() {
    let bundle = changed("node/0001/evidence/00000030", |set: &mut EvidenceSet| set.cpu.body[200] ^= 1);
    // Head 30 is the last, so that no interval names its digest: only the signature can tell.
    refused(&bundle, Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_one_gpu_answering_for_two() {
    let run = misbehaving(|run| {
        let gpu = run.nodes[0].platform.gpus()[0].clone();
        let node = &mut run.nodes[1];
        let mut set = node.evidence[&20].clone();
        let claimed = set.devices[0].device;
        let mut report = gpu.evidence(set.binding.gpu_nonce(claimed).0);
        report.device = claimed;
        set.devices = vec![report];
        set.cpu = node.platform.quote(set.binding.report_data(device_evidence_digest(&set.devices))).expect("quote");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_one_gpu_under_its_own_name_on_two_nodes() {
    let run = misbehaving(|run| {
        let gpu = run.nodes[0].platform.gpus()[0].clone();
        let node = &mut run.nodes[1];
        let mut set = node.evidence[&20].clone();
        set.devices = vec![gpu.evidence(set.binding.gpu_nonce(gpu.device()).0)];
        set.cpu = node.platform.quote(set.binding.report_data(device_evidence_digest(&set.devices))).expect("quote");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["devices-distinct", "evidence-devices"]);
}

#[test]
fn breaker_device_missing_from_the_evidence() {
    let mut run = SampleRun::begin(7, 2, 2);
    run.advance(30);
    run.quote_all();
    let node = &mut run.nodes[1];
    let mut set = node.evidence[&30].clone();
    set.devices.pop();
    set.cpu = node.platform.quote(set.binding.report_data(device_evidence_digest(&set.devices))).expect("quote");
    node.keep_quote(30, set);
    run.receipts();
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-devices"]);
}

#[test]
fn breaker_device_missing_from_the_roster() {
    let drop_one = |manifest: &mut RunManifest| {
        manifest.roster[1].devices.pop();
    };
    let run = SampleRun::begin_with(7, 2, 2, |platform| platform, drop_one);
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"evidence-devices"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_device_added_to_the_roster() {
    let add_one = |manifest: &mut RunManifest| {
        let mut extra = manifest.roster[1].devices[0].clone();
        extra.device = Device(Digest32([0xee; 32]));
        manifest.roster[1].devices.push(extra);
        manifest.roster[1].devices.sort_by_key(|row| row.device);
    };
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform, add_one);
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"evidence-devices"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_one_device_in_two_roster_rows() {
    let twice = |manifest: &mut RunManifest| {
        manifest.roster[1].devices[0].device = manifest.roster[0].devices[0].device;
    };
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform, twice);
    let outcome = verified(&finished(run));
    assert!(outcome.failures().any(|check| check.code == "manifest"));
    assert_eq!(outcome.culprit(), Some(Culprit::Malformed));
}

/// The run goes through its 30 intervals and is sealed again.
fn finished(mut run: SampleRun) -> Bundle {
    run.advance(30);
    run.quote_all();
    run.receipts();
    resealed(&run)
}

// Ledgers.

#[test]
fn breaker_dropped_interval() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| {
        ledger.entries.remove(14);
    });
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert_eq!(codes, ["ledger-chain"], "what hangs on the chain is skipped, not guessed");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_dropped_tail() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| ledger.entries.truncate(25));
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"evidence-head"), "the quote of a head that is gone: {codes:?}");
    assert!(codes.contains(&"time-receipt-head"), "the receipt of a head that is gone: {codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_late_start() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| {
        ledger.entries.drain(..5);
    });
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert_eq!(codes, ["ledger-chain"]);
}

#[test]
fn breaker_reordered_intervals() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| ledger.entries.swap(3, 4));
    let outcome = verified(&bundle);
    assert!(outcome.failures().all(|check| check.code == "ledger-chain"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_forked_ledger() {
    // Two branches after head 20: the ledger shows one, the quote over head 30 is about the other.
    let run = misbehaving(|_| ());
    let mut other = misbehaving(|run| run.nodes[1].seal(|public| public.presence = Presence::default()));
    let mut bundle = resealed(&run);
    let foreign = other.nodes[1].evidence.remove(&31).expect("the other branch's last quote");
    let binding = Binding { index: 30, ..foreign.binding };
    let set = weighbridge_attest_collect::collect_set(&other.nodes[1].platform, binding).expect("set");
    bundle.replace("node/0001/evidence/00000030", Some(set.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["evidence-head"]);
}

#[test]
fn breaker_two_chains_of_one_node() {
    // Node 1's folder holds node 0's chain once more.
    let mut bundle = honest().plain.clone();
    let ledger = bundle.get("node/0000/ledger").expect("ledger").to_vec();
    bundle.replace("node/0001/ledger", Some(ledger));
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-row") && codes.contains(&"ledger-forks"), "{codes:?}");
}

#[test]
fn breaker_swapped_nodes() {
    let mut bundle = honest().plain.clone();
    let members: Vec<(String, Vec<u8>)> =
        bundle.below("node").map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    for (name, bytes) in members {
        let (number, rest) = name.split_once('/').expect("node/NNNN/…");
        let other = if number == "0000" { "0001" } else { "0000" };
        bundle.replace(&format!("node/{other}/{rest}"), Some(bytes));
    }
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-row") && codes.contains(&"key-quote-roster"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_chain_with_a_predecessor_that_is_not_there() {
    let mut run = SampleRun::begin(7, 2, 1);
    let row = run.manifest.roster[1].clone();
    let genesis = run.manifest.genesis();
    run.nodes[1].restart(genesis, &row, PoseidonDigest::from_elements([1, 2, 3, 4]));
    refused(&finished(run), Culprit::Unsupported, &["ledger-predecessor"]);
}

#[test]
fn breaker_chain_of_another_genesis() {
    let mut run = SampleRun::begin(7, 2, 1);
    let row = run.manifest.roster[1].clone();
    run.nodes[1].restart(Digest32([3; 32]), &row, None);
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-row"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_false_signature() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| ledger.entries[29].signature.0[5] ^= 1);
    refused(&bundle, Culprit::Untrusted, &["ledger-chain"]);
}

#[test]
fn breaker_false_start() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| {
        ledger.start = ChainStart { device_set: Digest32([7; 32]), ..ledger.start };
    });
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code.starts_with("ledger-")));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_dropped_quote() {
    let mut bundle = honest().plain.clone();
    bundle.replace("node/0000/evidence/00000020", None);
    refused(&bundle, Culprit::Untrusted, &["ledger-quotes"]);
}

#[test]
fn breaker_device_time_that_does_not_add_up() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.nodes[1].seal(|public| public.devices[0].run = DeviceMillis(public.devices[0].run.0 - 1));
    run.nodes[0].seal(|_| ());
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-chain"), "{codes:?}");
}

// Time.

#[test]
fn breaker_clock_shifted() {
    const HOUR: u64 = 3_600_000;
    let mut run = SampleRun::begin(7, 2, 1);
    for _ in 0..30 {
        run.nodes[0].seal(|_| ());
        run.nodes[1].seal(|public| {
            let first = public.index == 1;
            public.start_wall = UnixMillis(public.start_wall.0 + if first { HOUR } else { 0 });
            public.end_wall = UnixMillis(public.start_mono + 2_000 + SAMPLE_START.0 + HOUR);
            public.start_wall = UnixMillis(public.start_mono + SAMPLE_START.0 + HOUR);
        });
    }
    run.quote_all();
    run.receipts();
    let authority = run.world.time_authority();
    let (index, head) = run.nodes[1].tip();
    let received = UnixMillis(run.nodes[0].wall_end().0 + 500);
    run.nodes[1].receipt = Some(authority.receipt(received, run.nodes[1].node_key().digest(), index, head));
    refused(&resealed(&run), Culprit::Untrusted, &["clock-shifted"]);
}

#[test]
fn breaker_forged_time_tokens() {
    let later = |receipt: &mut SignedReceipt| receipt.received = UnixMillis(receipt.received.0 - 10_000);
    refused(&changed("node/0000/time/receipt", later), Culprit::Untrusted, &["time-receipt-signature"]);
    let earlier = |nonce: &mut SignedNonce| nonce.issued = UnixMillis(nonce.issued.0 + 10_000);
    refused(&changed("node/0000/time/nonce", earlier), Culprit::Untrusted, &["time-nonce-signature"]);
}

#[test]
fn breaker_genuine_nonce_of_another_quote() {
    let nonce = honest().run.world.time_authority().issue_nonce(UnixMillis(SAMPLE_START.0 - 100));
    let bundle = changed("node/0000/time/nonce", |token: &mut SignedNonce| *token = nonce);
    refused(&bundle, Culprit::Untrusted, &["time-nonce-challenge"]);
}

#[test]
fn breaker_genuine_receipt_of_another_node() {
    let mut bundle = honest().plain.clone();
    let other = bundle.get("node/0001/time/receipt").expect("receipt").to_vec();
    bundle.replace("node/0000/time/receipt", Some(other));
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"time-receipt-node"), "{codes:?}");
}

#[test]
fn without_time_tokens_nothing_is_below() {
    let mut run = SampleRun::honest();
    for node in &mut run.nodes {
        node.receipt = None;
    }
    let bundle = assembled(&run, false).expect("a run without receipts assembles");
    let report = accepted(&bundle);
    assert_eq!(report.bracket.clock, "host");
    assert!(report.profiles.iter().all(|line| line.verdict == weighbridge_attest_types::Verdict::Unknown));
}

// Proof, policy, report.

fn with_public(change: impl FnOnce(&mut ThresholdPublic)) -> Bundle {
    let mut bundle = honest().proven.clone();
    let mut public: ThresholdPublic = member(&bundle, "proof/threshold.public");
    change(&mut public);
    bundle.replace("proof/threshold.public", Some(public.to_bytes()));
    bundle
}

#[test]
fn breaker_proof_of_another_run() {
    let other = {
        let mut run = SampleRun::begin_with(7, 2, 1, |platform| platform, |manifest| "other".clone_into(&mut manifest.model_id));
        run.advance(2);
        run.prove(BOUND)
    };
    let mut bundle = honest().proven.clone();
    bundle.replace("proof/threshold", Some(other.proof));
    bundle.replace("proof/threshold.public", Some(other.public.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["proof-chains", "proof-genesis"]);
}

#[test]
fn breaker_proof_of_another_statement() {
    let stronger = with_public(|public| public.relation = DeclaredRelation::Le(Flops(1_000_000_000)));
    refused(&stronger, Culprit::Untrusted, &["proof-bounds", "proof-holds"]);
    let profile = Flops(100_000_000_000_000_000_000_000);
    let other = with_public(|public| public.relation = DeclaredRelation::Gt(profile));
    refused(&other, Culprit::Untrusted, &["proof-holds"]);
}

#[test]
fn breaker_changed_proof() {
    let mut bundle = honest().proven.clone();
    let mut proof = bundle.get("proof/threshold").expect("proof").to_vec();
    proof[70_000] ^= 1;
    bundle.replace("proof/threshold", Some(proof));
    let outcome = verified(&bundle);
    assert!(outcome.failures().all(|check| check.code == "proof-holds"));
    assert!(outcome.report.is_none());
}

#[test]
fn breaker_proof_over_an_absent_component() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.nodes[0].seal(|_| ());
    run.nodes[1].seal(|public| public.presence = Presence::default());
    run.quote_all();
    run.receipts();
    let proof = run.prove(BOUND);
    let mut bundle = resealed(&run);
    bundle.replace("proof/threshold", Some(proof.proof));
    bundle.replace("proof/threshold.public", Some(proof.public.to_bytes()));
    bundle.replace("circuits", honest().proven.get("circuits").map(<[u8]>::to_vec));
    refused(&bundle, Culprit::Untrusted, &["proof-presence"]);
}

#[test]
fn breaker_edited_report() {
    let mut bundle = honest().proven.clone();
    let text = String::from_utf8(bundle.get("report.json").expect("report").to_vec()).expect("UTF-8");
    let edited = text.replace("Example Provider", "Another Provider");
    assert_ne!(edited, text);
    bundle.replace("report.json", Some(edited.into_bytes()));
    refused(&bundle, Culprit::Untrusted, &["report-differs"]);
}

#[test]
fn breaker_softened_policy() {
    let mut bundle = honest().plain.clone();
    let text = String::from_utf8(bundle.get("policy.json").expect("policy").to_vec()).expect("UTF-8");
    let softened = text.replacen("UpToDate", "OutOfDate", 1);
    assert_ne!(softened, text);
    bundle.replace("policy.json", Some(softened.into_bytes()));
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code == "policy-known"));
}

#[test]
fn breaker_debug_guest() {
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform.with_debug(true), |_| ());
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.iter().all(|code| *code == "policy-debug") && !codes.is_empty(), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Rejected));
}

#[test]
fn breaker_expired_endorsements() {
    let month = 40 * 24 * 3_600_000;
    let bundle = changed("appraised-at", |at: &mut UnixMillis| at.0 += month);
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code == "evidence-genuine"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_missing_endorsements() {
    let mut bundle = honest().plain.clone();
    bundle.replace("endorsements/0000", None);
    let outcome = verified(&bundle);
    assert!(outcome.failures().all(|check| check.code == "evidence-genuine"));
    assert_eq!(outcome.culprit(), Some(Culprit::Unavailable));
}

#[test]
fn breaker_appraised_before_the_run_ended() {
    let bundle = changed("appraised-at", |at: &mut UnixMillis| *at = UnixMillis(SAMPLE_START.0));
    refused(&bundle, Culprit::Untrusted, &["instant"]);
}

#[test]
fn breaker_unknown_and_missing_members() {
    let mut extra = honest().plain.clone();
    extra.replace("node/0000/notes", Some(b"hello".to_vec()));
    refused(&extra, Culprit::Malformed, &["member-unknown"]);
    let mut missing = honest().plain.clone();
    missing.replace("node/0000/evidence/key", None);
    refused(&missing, Culprit::Malformed, &["member-missing"]);
}

#[test]
fn breaker_node_left_out() {
    let mut bundle = honest().plain.clone();
    let names: Vec<String> = bundle.below("node/0001").map(|(name, _)| format!("node/0001/{name}")).collect();
    for name in names {
        bundle.replace(&name, None);
    }
    refused(&bundle, Culprit::Untrusted, &["roster-complete"]);
}

// What is not refused, and is not claimed to be.

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
fn every_check_that_can_fail_is_listed_with_its_breaker() {
    // docs/CHECKS.md is the table; a code that fails nowhere in it is not documented.
    let table = include_str!("../../docs/CHECKS.md");
    let outcome = verified(&honest().proven);
    for check in &outcome.checks {
        assert!(table.contains(&format!("`{}`", check.code)), "{} is not in docs/CHECKS.md", check.code);
        assert_ne!(check.status, CheckStatus::Fail);
    }
    let _unused_challenge = Challenge::None;
}
