//! Breakers of time tokens and clocks.

use weighbridge_attest_types::Verdict;

use super::*;

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
fn breaker_time_receipt_signature_and_time_nonce_signature() {
    let later = |receipt: &mut SignedReceipt| receipt.received = UnixMillis(receipt.received.0 - 10_000);
    refused(&changed("node/0000/time/receipt", later), Culprit::Untrusted, &["time-receipt-signature"]);
    let earlier = |nonce: &mut SignedNonce| nonce.issued = UnixMillis(nonce.issued.0 + 10_000);
    refused(&changed("node/0000/time/nonce", earlier), Culprit::Untrusted, &["time-nonce-signature"]);
}

#[test]
fn breaker_time_nonce_challenge_by_a_genuine_nonce() {
    let nonce = honest().run.world.time_authority().issue_nonce(UnixMillis(SAMPLE_START.0 - 100));
    let bundle = changed("node/0000/time/nonce", |token: &mut SignedNonce| *token = nonce);
    refused(&bundle, Culprit::Untrusted, &["time-nonce-challenge"]);
}

#[test]
fn breaker_time_receipt_node_by_a_genuine_receipt() {
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
    assert!(report.profiles.iter().all(|line| line.verdict == Verdict::Unknown));
}

#[test]
fn breaker_instant_before_the_run_ended() {
    let bundle = changed("appraised-at", |at: &mut UnixMillis| *at = UnixMillis(SAMPLE_START.0));
    refused(&bundle, Culprit::Untrusted, &["instant"]);
}

/// The status of one check of an outcome.
fn status(outcome: &Outcome, code: &str) -> Vec<CheckStatus> {
    outcome.checks.iter().filter(|check| check.code == code).map(|check| check.status).collect()
}

/// Without this member of node 0 nothing is refused, the check is unknown, and no verdict leans on the clock.
fn unknown_without(change: impl Fn(&mut SampleRun), code: &str) {
    let mut run = SampleRun::honest();
    change(&mut run);
    let outcome = verified(&assembled(&run, false).expect("assembles"));
    assert!(status(&outcome, code).contains(&CheckStatus::Unknown), "{code}");
    let report = outcome.report.expect("nothing failed");
    assert_eq!(report.bracket.clock, "host");
    assert!(report.profiles.iter().all(|line| line.verdict == Verdict::Unknown));
}

#[test]
fn breaker_time_receipt_by_its_absence() {
    unknown_without(|run| run.nodes[0].receipt = None, "time-receipt");
}

#[test]
fn breaker_time_receipt_last_by_an_early_receipt() {
    let early = |run: &mut SampleRun| {
        let node = &run.nodes[0];
        let received = UnixMillis(SAMPLE_START.0 + 20_500);
        let receipt = run.world.time_authority().receipt(received, node.node_key().digest(), 10, node.heads[10]);
        run.nodes[0].receipt = Some(receipt);
    };
    unknown_without(early, "time-receipt-last");
}

#[test]
fn breaker_time_nonce_by_its_absence() {
    // An export without the nonce: the key quote still answers it, but nobody says when it was told.
    let run = SampleRun::honest();
    let mut exports = run.exports();
    exports[0].replace("time/nonce", None);
    let parts = AssembleParts {
        exports,
        endorsements: run.world.endorsements(),
        proof: None,
        readings: Vec::new(),
        declarations: None,
        answers: None,
        at: run.appraisal_instant(),
        anchors: anchors_of(&run.world),
    };
    let outcome = verified(&assemble(parts).expect("assembles"));
    assert!(status(&outcome, "time-nonce").contains(&CheckStatus::Unknown));
    assert_eq!(outcome.report.expect("nothing failed").bracket.clock, "host");
}

#[test]
fn breaker_time_nonce_authority_and_time_receipt_authority_by_a_foreign_authority() {
    let anchors = TrustAnchors { time: Vec::new(), ..anchors_of(&honest().run.world) };
    let options = VerifyOptions { anchors, at: AppraisalTime::Archived };
    let outcome = verify_bundle(&honest().plain.to_bytes(), &options);
    for code in ["time-nonce-authority", "time-receipt-authority", "time-order"] {
        assert!(status(&outcome, code).iter().all(|status| *status == CheckStatus::Unknown), "{code}");
    }
    // The archived report leans on the bracket; without its anchor it is not what these anchors give.
    assert_eq!(outcome.failures().map(|check| check.code).collect::<Vec<_>>(), ["report-differs"]);
}

#[test]
fn breaker_time_order_by_a_receipt_before_the_nonce() {
    let mut run = SampleRun::honest();
    let authority = run.world.time_authority();
    let (index, head) = run.nodes[0].tip();
    let received = UnixMillis(SAMPLE_START.0 - 10_000);
    run.nodes[0].receipt = Some(authority.receipt(received, run.nodes[0].node_key().digest(), index, head));
    let outcome = verified(&resealed(&run));
    assert!(outcome.failures().any(|check| check.code == "time-order"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_clock_overfull_by_more_device_time_than_the_bracket_has() {
    // Wall clock squeezed to half speed: the intervals fit the bracket on paper, the monotonic clock tells.
    let mut run = SampleRun::begin(7, 2, 1);
    for index in 0..30 {
        for node in &mut run.nodes {
            node.seal(|public| {
                public.start_wall = UnixMillis(SAMPLE_START.0 + 1_000 * index);
                public.end_wall = UnixMillis(SAMPLE_START.0 + 1_000 * (index + 1));
            });
        }
    }
    run.quote_all();
    run.receipts();
    refused(&resealed(&run), Culprit::Untrusted, &["clock-overfull"]);
}

/// Every verdict of an accepted bundle.
fn verdicts(report: &ThresholdReport) -> Vec<Verdict> {
    report.profiles.iter().map(|line| line.verdict).collect()
}

#[test]
fn a_run_without_a_quoted_interval_is_never_below() {
    // Quote and receipt over head 0: genuine, and about nothing.
    let mut run = SampleRun::begin(7, 2, 1);
    run.quote_all();
    run.receipts();
    let report = accepted(&assembled(&run, false).expect("assembles"));
    assert!(verdicts(&report).iter().all(|verdict| *verdict == Verdict::Unknown));
    // One node that was never quoted is enough.
    let mut run = SampleRun::honest();
    let (row, genesis) = (run.manifest.roster[1].clone(), run.manifest.genesis());
    run.nodes[1].restart(genesis, &row, None);
    run.nodes[1].quote();
    run.receipts();
    let report = accepted(&assembled(&run, false).expect("assembles"));
    assert!(verdicts(&report).iter().all(|verdict| *verdict == Verdict::Unknown));
}

#[test]
fn what_the_ledger_counts_is_charged_even_where_the_bracket_is_shorter() {
    // One interval of two seconds on the monotonic clock, none on the wall clock, and a receipt at the nonce's instant.
    let mut run = SampleRun::begin(7, 2, 1);
    for node in &mut run.nodes {
        node.seal(|public| public.end_wall = public.start_wall);
    }
    run.quote_all();
    let authority = run.world.time_authority();
    for node in &mut run.nodes {
        let (index, head) = node.tip();
        node.receipt = Some(authority.receipt(node.nonce.issued, node.node_key().digest(), index, head));
    }
    let report = accepted(&assembled(&run, false).expect("assembles"));
    let two_seconds_of_two_gpus = Flops(2 * 2 * 132 * 8192 * 1_980_000_000);
    assert_eq!(report.bracket.upper, Some(two_seconds_of_two_gpus));
}

#[test]
fn breaker_instant_before_the_hosts_own_end() {
    // Without tokens the host's clock is all there is; an instant before even that would choose older collateral.
    let mut run = SampleRun::honest();
    run.nodes.iter_mut().for_each(|node| node.receipt = None);
    let mut bundle = assembled(&run, false).expect("assembles");
    bundle.replace("appraised-at", Some(UnixMillis(SAMPLE_START.0 - 3_600_000).to_bytes()));
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code == "instant"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}
