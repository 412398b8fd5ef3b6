//! Breakers of public time tokens: beacon rounds and RFC 3161 timestamps.

use weighbridge_attest_types::{Challenge, Verdict, sha256, timestamp_imprint};

use super::*;
use crate::time_tokens::{Round, rounds};

/// When round 123 of quicknet was told: 122 periods of 3 s after its first.
const ROUND_123: UnixMillis = UnixMillis((1_692_803_367 + 122 * 3) * 1_000);

/// Round 1 of "fastnet": a genuine signature of another chain.
const FASTNET_1: &str =
    "9544ddce2fdbe8688d6f5b4f98eed5d63eee3902e7e162050ac0f45905a55657714880adabe3c3096b92767d886567d0";

fn quicknet() -> BeaconToken {
    rounds().into_iter().find(|round| round.token.round() == 123).expect("a recorded round").token
}

/// A run between a recorded round and a timestamp.
fn public_run() -> SampleRun {
    let mut run = SampleRun::begin(7, 2, 1);
    run.answer_beacon(&quicknet());
    run.advance(30);
    run.quote_all();
    run.timestamps();
    run
}

/// Every status of a check.
fn statuses(outcome: &Outcome, code: &str) -> Vec<CheckStatus> {
    outcome.checks.iter().filter(|check| check.code == code).map(|check| check.status).collect()
}

fn failures(bundle: &Bundle) -> Vec<&'static str> {
    verified(bundle).failures().map(|check| check.code).collect()
}

#[test]
fn a_round_and_a_timestamp_make_an_external_bracket() {
    let run = public_run();
    let report = accepted(&assembled(&run, false).expect("assembles"));
    assert_eq!(report.bracket.clock, "external");
    for line in &report.nodes {
        assert_eq!(line.not_before, Some(ROUND_123));
        // The authority's whole second, and its accuracy of one more.
        assert_eq!(line.not_after, Some(UnixMillis(SAMPLE_START.0 + 61_000)));
        assert_eq!((line.not_before_by.as_deref(), line.not_after_by.as_deref()), (Some("beacon"), Some("timestamp")));
    }
    let anchors = report.anchors.join("\n");
    assert!(anchors.contains("drand quicknet (attested, drand chain 52db9ba7"), "{anchors}");
    assert!(anchors.contains("simulated timestamp-authority-root (simulated, key SHA-256 "), "{anchors}");
    let lines = accepted(&honest().plain).nodes;
    let named = (lines[0].not_before_by.as_deref(), lines[0].not_after_by.as_deref());
    assert_eq!(named, (Some("nonce"), Some("receipt")));
}

#[test]
fn of_a_receipt_and_a_timestamp_the_earlier_counts() {
    let mut run = public_run();
    let authority = run.world.time_authority();
    for (node, received) in run.nodes.iter_mut().zip([SAMPLE_START.0 + 60_700, SAMPLE_START.0 + 61_200]) {
        let (index, head) = node.tip();
        node.receipt = Some(authority.receipt(UnixMillis(received), node.node_key().digest(), index, head));
    }
    let report = accepted(&assembled(&run, false).expect("assembles"));
    let named: Vec<_> = report.nodes.iter().map(|line| (line.not_after, line.not_after_by.as_deref())).collect();
    let (first, second) = (UnixMillis(SAMPLE_START.0 + 60_700), UnixMillis(SAMPLE_START.0 + 61_000));
    assert_eq!(named, [(Some(first), Some("receipt")), (Some(second), Some("timestamp"))]);
}

#[test]
fn a_genuine_timestamp_over_an_earlier_head_takes_nothing_from_a_receipt_over_the_last() {
    let mut run = public_run();
    let stamps = run.world.timestamp_authority();
    let receipts = run.world.time_authority();
    let received = UnixMillis(SAMPLE_START.0 + 60_700);
    for node in &mut run.nodes {
        let key = node.node_key().digest();
        let (index, head) = node.tip();
        node.receipt = Some(receipts.receipt(received, key, index, head));
        let early = timestamp_imprint(key, 10, node.heads[10]);
        node.timestamp = Some(stamps.stamp(early, UnixMillis(SAMPLE_START.0 + 21_000)));
    }
    let report = accepted(&assembled(&run, false).expect("assembles"));
    for line in &report.nodes {
        assert_eq!((line.not_after, line.not_after_by.as_deref()), (Some(received), Some("receipt")));
    }
}

#[test]
fn breaker_time_beacon_challenge_by_a_genuine_round_and_by_a_second_answer() {
    // The key quotes answer nonces; a genuine round beside them, and instead of one.
    let mut beside = honest().plain.clone();
    beside.replace("node/0000/time/beacon", Some(quicknet().to_bytes()));
    refused(&beside, Culprit::Untrusted, &["time-beacon-challenge"]);
    beside.replace("node/0000/time/nonce", None);
    assert!(failures(&beside).contains(&"time-beacon-challenge"));
    // The key quotes answer a round; a genuine nonce beside it.
    let mut run = public_run();
    let mut bundle = resealed(&run);
    bundle.replace("node/0000/time/nonce", Some(run.nodes[0].nonce.to_bytes()));
    assert!(failures(&bundle).contains(&"time-nonce-challenge"));
    // The same bytes under the other kind of challenge are no answer.
    let binding = Binding::key(run.nodes[0].node_key().digest(), Challenge::VerifierNonce(quicknet().randomness()));
    run.nodes[0].key_set = weighbridge_attest_collect::collect_set(&run.nodes[0].platform, binding).expect("a quote");
    assert!(failures(&resealed(&run)).contains(&"time-beacon-challenge"));
}

#[test]
fn breaker_time_beacon_signature_by_another_round_and_by_an_altered_signature() {
    let run = public_run();
    let token = quicknet();
    let other_round = BeaconToken::new(token.chain(), 124, vec![], token.signature().to_vec()).expect("a shape");
    let mut bundle = resealed(&run);
    bundle.replace("node/0000/time/beacon", Some(other_round.to_bytes()));
    assert_eq!(failures(&bundle).first(), Some(&"time-beacon-signature"));
    // Another point of the curve: the key quote does not answer it either.
    let other = hex::decode(FASTNET_1).expect("hex");
    let altered = BeaconToken::new(token.chain(), 123, vec![], other);
    bundle.replace("node/0000/time/beacon", Some(altered.expect("a shape").to_bytes()));
    let found = failures(&bundle);
    assert!(found.starts_with(&["time-beacon-signature", "time-beacon-challenge"]), "{found:?}");
}

#[test]
fn breaker_time_beacon_chain_by_a_chain_that_nobody_pins() {
    let token = quicknet();
    let foreign = BeaconToken::new(sha256(b"another chain"), 123, vec![], token.signature().to_vec()).expect("a shape");
    let mut run = public_run();
    run.nodes[0].beacon = Some(foreign);
    let outcome = verified(&assembled(&run, false).expect("assembles"));
    assert!(statuses(&outcome, "time-beacon-chain").contains(&CheckStatus::Unknown));
    assert!(statuses(&outcome, "time-beacon-signature").contains(&CheckStatus::Skipped));
    let report = outcome.report.expect("nothing failed");
    assert_eq!((report.bracket.clock.as_str(), report.nodes[0].not_before), ("host", None));
    assert!(report.profiles.iter().all(|line| line.verdict == Verdict::Unknown));
}

#[test]
fn a_round_of_another_pinned_chain_is_refused() {
    let mainnet = rounds().into_iter().map(|Round { token, .. }| token).find(|token| !token.previous().is_empty());
    let renamed = BeaconToken::new(mainnet.expect("recorded").chain(), 123, vec![], quicknet().signature().to_vec());
    let mut bundle = resealed(&public_run());
    bundle.replace("node/0000/time/beacon", Some(renamed.expect("a shape").to_bytes()));
    assert_eq!(failures(&bundle).first(), Some(&"time-beacon-signature"));
}

#[test]
fn breaker_time_timestamp_head_by_a_timestamp_of_another_node() {
    let mut run = public_run();
    run.nodes[0].timestamp = run.nodes[1].timestamp.clone();
    let found = failures(&resealed(&run));
    assert_eq!(found.first(), Some(&"time-timestamp-head"), "{found:?}");
}

#[test]
fn breaker_time_timestamp_last_by_an_early_timestamp() {
    let mut run = public_run();
    let node = &mut run.nodes[0];
    let imprint = timestamp_imprint(node.node_key().digest(), 10, node.heads[10]);
    let stamp = run.world.timestamp_authority().stamp(imprint, UnixMillis(SAMPLE_START.0 + 21_000));
    node.timestamp = Some(stamp);
    let outcome = verified(&assembled(&run, false).expect("assembles"));
    assert!(statuses(&outcome, "time-timestamp-last").contains(&CheckStatus::Unknown));
    let report = outcome.report.expect("nothing failed");
    assert_eq!((report.bracket.clock.as_str(), report.nodes[0].not_after), ("host", None));
}

#[test]
fn breaker_time_timestamp_signature_by_an_earlier_time() {
    let run = public_run();
    let mut bytes = run.nodes[0].timestamp.clone().expect("a timestamp");
    let at = bytes.windows(15).position(|window| window == b"20261101000100Z").expect("its time");
    bytes[at + 11] = b'0';
    let mut bundle = resealed(&run);
    bundle.replace("node/0000/time/timestamp", Some(bytes));
    assert_eq!(failures(&bundle).first(), Some(&"time-timestamp-signature"));
}

#[test]
fn breaker_time_timestamp_authority_by_a_foreign_root() {
    let run = public_run();
    let bundle = assembled(&run, false).expect("assembles");
    let anchors = TrustAnchors { timestamp: Vec::new(), ..anchors_of(&run.world) };
    let outcome = verify_bundle(&bundle.to_bytes(), &VerifyOptions { anchors, at: AppraisalTime::Archived });
    assert_eq!(statuses(&outcome, "time-timestamp-authority"), [CheckStatus::Unknown; 2]);
    assert_eq!(statuses(&outcome, "time-order"), [CheckStatus::Unknown; 2]);
    assert_eq!(outcome.failures().map(|check| check.code).collect::<Vec<_>>(), ["report-differs"]);
}

#[test]
fn tokens_that_do_not_parse_are_named() {
    for (name, bytes) in [("beacon", vec![0; 80]), ("timestamp", vec![0x30, 0])] {
        let mut bundle = honest().plain.clone();
        bundle.replace(&format!("node/0000/time/{name}"), Some(bytes));
        refused(&bundle, Culprit::Malformed, &["member-parses"]);
    }
}
