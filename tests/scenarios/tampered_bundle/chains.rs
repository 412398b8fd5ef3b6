//! Breakers of a node with several keys: each chain after the first continues the last quoted head of the one before it,
//! and its devices are charged once.

use weighbridge_circuits::{ChainClaim, ChainList};
use weighbridge_tests::SampleNode;

use super::*;

/// The second chain of node 1.
const LATER: &str = "node/0001/after/0001";

/// Ten quoted intervals, a reboot of node 1 of three seconds without a tail, and what `then` makes of its new key.
fn rebooted_with(then: impl FnOnce(&mut SampleRun)) -> SampleRun {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(10);
    run.quote_all();
    run.reboot(1, 3_000);
    then(&mut run);
    run
}

/// Goes on for ten intervals to the end.
fn goes_on(run: &mut SampleRun) {
    run.advance(10);
    run.quote_all();
    run.receipts();
}

/// The newest chain of node 1 cites `predecessor`.
fn citing(predecessor: impl Fn(&SampleNode) -> Option<PoseidonDigest>) -> Bundle {
    let run = rebooted_with(|run| {
        let (row, genesis) = (run.manifest.roster[1].clone(), run.manifest.genesis());
        let cited = predecessor(&run.earlier[0].1);
        run.nodes[1].restart(genesis, &row, cited);
        goes_on(run);
    });
    resealed(&run)
}

/// Codes that fail, sorted, each once.
fn codes(bundle: &Bundle) -> Vec<&'static str> {
    let outcome = verified(bundle);
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
    assert!(outcome.report.is_none());
    let mut codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// A copy of the bundle with one folder's members under another name.
fn moved(bundle: &Bundle, from: &str, to: &str) -> Bundle {
    let mut changed = bundle.clone();
    let members: Vec<_> = bundle.below(from).filter(|(rest, _)| !rest.starts_with("after/")).collect();
    for (rest, _) in &members {
        changed.replace(&format!("{from}/{rest}"), None);
    }
    for (rest, bytes) in members {
        changed.replace(&format!("{to}/{rest}"), Some(bytes.to_vec()));
    }
    changed
}

#[test]
fn a_rebooted_node_is_accepted_and_its_devices_are_charged_once() {
    let report = accepted(&assembled(&SampleRun::rebooted(), false).expect("assembles"));
    let [whole, rebooted] = report.nodes.as_slice() else { panic!("two nodes") };
    assert_eq!((whole.chains.len(), rebooted.chains.len()), (1, 2));
    let [first, second] = rebooted.chains.as_slice() else { panic!("two chains") };
    assert_eq!((first.intervals, first.quoted_through, first.predecessor), (12, 10, None));
    assert_eq!((second.intervals, second.quoted_through, second.quotes), (10, 10, 1));
    assert!(
        second.predecessor.is_some() && second.node_key != rebooted.node_key && first.node_key == rebooted.node_key
    );

    // From 500 ms before the first interval to 500 ms after the last one of the rebooted node: 12 × 2 s + 3 s + 10 × 2 s.
    let period = 500 + 24_000 + 3_000 + 20_000 + 500;
    assert_eq!(rebooted.not_before, whole.not_before);
    assert_eq!(report.coverage.bracketed_millis, Some(2 * period));
    for node in [whole, rebooted] {
        assert_eq!(node.devices.len(), 1);
        assert_eq!(node.devices[0].charged_millis, Some(period));
    }
    let rate = 132 * 8_192 * 1_980_000_000;
    assert_eq!(report.bracket.upper, Some(Flops(2 * rate * u128::from(period) / 1_000)));

    // Of node 1: two unquoted intervals, the reboot, and the slack before, after and where node 0 ended earlier.
    let gaps: Vec<_> = report.gaps.iter().filter(|gap| gap.device == rebooted.devices[0].device).collect();
    let found: Vec<_> = gaps.iter().map(|gap| (gap.node_key == second.node_key, gap.millis)).collect();
    assert_eq!(found, [(false, 4_000), (true, 3_000), (false, 1_000)]);
    assert!(gaps[0].cause.starts_with("after the last quoted head"), "{}", gaps[0].cause);
    assert!(gaps[1].cause.starts_with("between two keys of this node: a reboot"), "{}", gaps[1].cause);
    assert_eq!(gaps[1].effect, Some(Flops(rate * 3)));
}

#[test]
fn a_proof_covers_every_chain_of_a_node() {
    let run = SampleRun::rebooted();
    let mut bundle = assembled(&run, true).expect("assembles");
    assert_eq!(accepted(&bundle).declared.len(), 1);
    let public: ThresholdPublic = member(&bundle, "proof/threshold.public");
    let claim = |(_, chain): (String, &SampleNode)| {
        let (count, end) = chain.tip();
        ChainClaim { start: chain.heads[0], end, count }
    };
    let chains: Vec<ChainClaim> = run.chains().map(claim).collect();
    assert_eq!(public.chains, ChainList::of(&chains));
    let later_left_out = &chains[..2];
    let order_changed = [chains[1], chains[0], chains[2]];
    let mut tail_dropped = chains.clone();
    tail_dropped[1].count -= 1;
    for others in [later_left_out, &order_changed, &tail_dropped] {
        let public = ThresholdPublic { chains: ChainList::of(others), ..public.clone() };
        bundle.replace("proof/threshold.public", Some(public.to_bytes()));
        assert_eq!(codes(&bundle), ["proof-chains", "proof-holds"]);
    }
}

#[test]
fn breaker_ledger_forks_by_two_chains_that_continue_one_head() {
    let run = rebooted_with(|run| {
        run.advance(5);
        run.quote_all();
        run.reboot(1, 3_000);
        let (row, genesis) = (run.manifest.roster[1].clone(), run.manifest.genesis());
        let first = run.earlier[1].1.ledger.start.predecessor;
        run.nodes[1].restart(genesis, &row, first);
        goes_on(run);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["ledger-forks", "ledger-predecessor"]);
}

#[test]
fn breaker_ledger_predecessor_by_a_head_that_is_not_the_last_quoted_one() {
    refused(&citing(|previous| previous.heads.get(5).copied()), Culprit::Untrusted, &["ledger-predecessor"]);
    refused(&citing(|_| None), Culprit::Untrusted, &["ledger-predecessor"]);
    refused(&citing(|_| PoseidonDigest::from_elements([1, 2, 3, 4])), Culprit::Untrusted, &["ledger-predecessor"]);
    accepted(&assembled(&rebooted_with(goes_on), false).expect("the last quoted head is what has to be cited"));
}

#[test]
fn breaker_ledger_predecessor_by_a_head_of_the_unquoted_tail() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(10);
    run.quote_all();
    run.advance(2);
    run.reboot(1, 3_000);
    let (row, genesis) = (run.manifest.roster[1].clone(), run.manifest.genesis());
    let tail = run.earlier[0].1.heads.last().copied();
    run.nodes[1].restart(genesis, &row, tail);
    goes_on(&mut run);
    refused(&resealed(&run), Culprit::Untrusted, &["ledger-predecessor"]);
}

#[test]
fn breaker_ledger_predecessor_by_a_dropped_quote() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(5);
    run.quote_all();
    run.advance(5);
    run.quote_all();
    run.reboot(1, 3_000);
    goes_on(&mut run);
    let mut bundle = resealed(&run);
    // No interval of the first chain names the quote over its last head; the chain that continues this head does.
    bundle.replace("node/0001/evidence/00000010", None);
    refused(&bundle, Culprit::Untrusted, &["ledger-predecessor"]);
}

#[test]
fn a_head_counts_as_quoted_only_if_its_evidence_holds() {
    let mut bundle = resealed(&rebooted_with(goes_on));
    let mut set: EvidenceSet = member(&bundle, "node/0001/evidence/00000010");
    set.cpu.body[200] ^= 1;
    bundle.replace("node/0001/evidence/00000010", Some(set.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["evidence-genuine"]);
    let outcome = verified(&bundle);
    let succession =
        outcome.checks.iter().find(|check| check.path.starts_with(LATER) && check.code == "ledger-predecessor");
    assert_eq!(succession.map(|check| check.status), Some(CheckStatus::Skipped));
}

#[test]
fn breaker_ledger_predecessor_by_a_clock_that_steps_back_into_the_quoted_part() {
    let run = |down: u64, back: u64| {
        let mut run = SampleRun::begin(7, 2, 1);
        run.advance(10);
        run.quote_all();
        run.reboot(1, down);
        for _ in 0..10 {
            run.nodes[0].seal(|_| ());
            run.nodes[1].seal(|public| {
                public.start_wall.0 -= back;
                public.end_wall.0 -= back;
            });
        }
        run.quote_all();
        run.receipts();
        run
    };
    refused(&resealed(&run(0, 1_000)), Culprit::Untrusted, &["ledger-predecessor"]);
    accepted(&assembled(&run(1_000, 1_000), false).expect("it may begin where the quoted part ends"));
}

#[test]
fn breaker_ledger_predecessor_by_a_chain_in_between_that_hides_the_end_of_the_first() {
    let run = |back: u64| {
        let mut run = SampleRun::begin(7, 2, 1);
        run.advance(10);
        run.quote_all();
        // Of the second key only its start is quoted.
        run.reboot(1, 0);
        run.nodes[1].quote();
        run.reboot(1, 0);
        for _ in 0..10 {
            run.nodes[0].seal(|_| ());
            run.nodes[1].seal(|public| {
                public.start_wall.0 -= back;
                public.end_wall.0 -= back;
            });
        }
        run.quote_all();
        run.receipts();
        run
    };
    refused(&resealed(&run(1_000)), Culprit::Untrusted, &["ledger-predecessor"]);
    // Without the step back only the honest run's report does not fit.
    refused(&resealed(&run(0)), Culprit::Untrusted, &["report-differs"]);
}

#[test]
fn breaker_ledger_predecessor_by_a_dropped_middle_chain() {
    let run = rebooted_with(|run| {
        run.advance(5);
        run.quote_all();
        run.reboot(1, 3_000);
        goes_on(run);
    });
    let whole = resealed(&run);
    assert_eq!(accepted(&assembled(&run, false).expect("assembles")).nodes[1].chains.len(), 3);
    // Dropped, and the last one moved up into its place.
    let mut dropped = whole.clone();
    for (rest, _) in whole.below(LATER) {
        dropped.replace(&format!("{LATER}/{rest}"), None);
    }
    let moved_up = moved(&dropped, "node/0001/after/0002", LATER);
    refused(&moved_up, Culprit::Untrusted, &["ledger-predecessor"]);
    // Left where it was.
    refused(&dropped, Culprit::Malformed, &["member-missing"]);
    let outcome = verified(&dropped);
    assert!(outcome.failures().any(|check| check.path == format!("{LATER}/ledger")), "{:?}", outcome.checks);
}

#[test]
fn a_later_chain_alone_is_not_the_rosters() {
    let mut bundle = resealed(&SampleRun::rebooted());
    let whole = bundle.clone();
    for (rest, _) in whole.below("node/0001").filter(|(rest, _)| !rest.starts_with("after/")) {
        bundle.replace(&format!("node/0001/{rest}"), None);
    }
    refused(&bundle, Culprit::Malformed, &["member-missing"]);
    let found = codes(&moved(&bundle, LATER, "node/0001"));
    for code in ["evidence-node-key", "key-quote-roster", "ledger-predecessor", "ledger-row", "time-receipt-node"] {
        assert!(found.contains(&code), "{code}: {found:?}");
    }
}

#[test]
fn breaker_ledger_row_by_a_later_chain_of_another_row() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(10);
    run.quote_all();
    run.reboot(0, 3_000);
    goes_on(&mut run);
    let foreign = moved(&resealed(&run), "node/0000/after/0001", LATER);
    let found = codes(&foreign);
    for code in ["evidence-cpu", "evidence-devices", "ledger-row"] {
        assert!(found.contains(&code), "{code}: {found:?}");
    }
}

#[test]
fn breaker_ledger_forks_by_one_key_in_two_places() {
    let mut bundle = resealed(&SampleRun::honest());
    let whole = bundle.clone();
    for (rest, bytes) in whole.below("node/0001") {
        bundle.replace(&format!("{LATER}/{rest}"), Some(bytes.to_vec()));
    }
    assert_eq!(codes(&bundle), ["clock-overfull", "ledger-forks", "ledger-row"]);
}

#[test]
fn breaker_evidence_node_key_by_one_key_quote_for_two_chains() {
    let mut bundle = resealed(&SampleRun::rebooted());
    let first = bundle.get("node/0001/evidence/key").expect("key quote").to_vec();
    bundle.replace(&format!("{LATER}/evidence/key"), Some(first));
    refused(&bundle, Culprit::Untrusted, &["evidence-node-key", "time-nonce-challenge"]);
    let mut bundle = resealed(&SampleRun::rebooted());
    let first = bundle.get("node/0001/evidence/00000010").expect("head quote").to_vec();
    bundle.replace(&format!("{LATER}/evidence/00000010"), Some(first));
    refused(&bundle, Culprit::Untrusted, &["evidence-head", "evidence-node-key"]);
}

#[test]
fn breaker_member_missing_by_a_later_chain_without_a_key_quote() {
    let mut bundle = resealed(&SampleRun::rebooted());
    bundle.replace(&format!("{LATER}/evidence/key"), None);
    refused(&bundle, Culprit::Malformed, &["member-missing"]);
}

#[test]
fn breaker_evidence_cpu_by_a_later_key_on_another_machine() {
    let mut run = SampleRun::rebooted();
    let platform = run.nodes[0].platform.clone();
    let node = &mut run.nodes[1];
    let EvidenceSet { binding, devices, .. } = node.key_set.clone();
    let cpu = platform.quote(binding.report_data(device_evidence_digest(&devices))).expect("quote");
    node.key_set = EvidenceSet { binding, cpu, devices };
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-cpu"]);
}

#[test]
fn breaker_ledger_quoted_by_a_later_chain_without_quotes() {
    let run = rebooted_with(|run| {
        run.advance(10);
        run.nodes[0].quote();
        run.receipts();
    });
    refused(&resealed(&run), Culprit::Untrusted, &["ledger-quoted"]);
}

#[test]
fn breaker_clock_overfull_by_two_chains_that_only_fit_alone() {
    // The wall clock of node 1 runs at half speed. Each chain counts 20 s and would fit into the 21 s of the bracket.
    let mut run = SampleRun::begin(7, 2, 1);
    let half_speed = |node: &mut SampleNode, from: u64| {
        for index in 0..10 {
            node.seal(|public| {
                public.start_wall = UnixMillis(SAMPLE_START.0 + from + 1_000 * index);
                public.end_wall = UnixMillis(SAMPLE_START.0 + from + 1_000 * (index + 1));
            });
        }
    };
    half_speed(&mut run.nodes[1], 0);
    run.nodes[1].quote();
    run.reboot(1, 0);
    half_speed(&mut run.nodes[1], 10_000);
    (0..10).for_each(|_| run.nodes[0].seal(|_| ()));
    run.quote_all();
    run.receipts();
    let mut bundle = resealed(&run);
    // The later key's own nonce would tell by itself.
    refused(&bundle, Culprit::Untrusted, &["clock-overfull"]);
    bundle.replace(&format!("{LATER}/time/nonce"), None);
    refused(&bundle, Culprit::Untrusted, &["clock-overfull"]);
    let outcome = verified(&bundle);
    let failed: Vec<_> = outcome.failures().map(|check| check.path.as_str()).collect();
    assert_eq!(failed, ["node/0001/time"], "only both chains together count too much");
}

#[test]
fn breaker_clock_shifted_by_a_later_key_that_claims_time_before_its_nonce() {
    let mut run = rebooted_with(|_| ());
    for _ in 0..10 {
        run.nodes[0].seal(|_| ());
        // Its nonce was issued 2.5 s after the first key's last interval; it claims the time between as well.
        run.nodes[1].seal(|public| {
            let first = public.index == 1;
            public.start_wall.0 -= if first { 3_000 } else { 0 };
        });
    }
    run.quote_all();
    run.receipts();
    refused(&resealed(&run), Culprit::Untrusted, &["clock-shifted"]);
}

#[test]
fn breaker_time_receipt_head_by_a_receipt_over_a_predecessor() {
    let receipt = |run: &mut SampleRun, head: PoseidonDigest, after: u64| {
        let authority = run.world.time_authority();
        let previous = &mut run.earlier[0].1;
        let received = UnixMillis(previous.wall_end().0 + after);
        previous.receipt = Some(authority.receipt(received, previous.node_key().digest(), 10, head));
    };
    let plain = accepted(&assembled(&rebooted_with(goes_on), false).expect("assembles"));
    // A predecessor needs no receipt. One that holds changes nothing, unless it came after the last chain's.
    for (after, longer) in [(500, 0), (40_000, 40_000 - 3_000 - 20_000 - 500)] {
        let mut run = rebooted_with(goes_on);
        let head = run.earlier[0].1.heads[10];
        receipt(&mut run, head, after);
        let report = accepted(&assembled(&run, false).expect("assembles"));
        let period = |report: &ThresholdReport| report.nodes[1].devices[0].charged_millis.expect("external");
        assert_eq!(period(&report), period(&plain) + longer);
    }
    let mut run = rebooted_with(goes_on);
    receipt(&mut run, PoseidonDigest::default(), 500);
    refused(&resealed(&run), Culprit::Untrusted, &["time-receipt-head"]);
}

#[test]
fn a_node_whose_last_chain_has_no_receipt_has_no_outer_end() {
    let mut run = SampleRun::rebooted();
    run.nodes[1].receipt = None;
    let report = accepted(&assembled(&run, false).expect("assembles"));
    assert_eq!(report.bracket.clock, "host");
    assert!(report.profiles.iter().all(|line| line.verdict == weighbridge_attest_types::Verdict::Unknown));
}

#[test]
fn a_later_chain_left_out_by_whoever_assembles_gains_nothing() {
    let first_alone = || {
        let mut run = SampleRun::rebooted();
        let (_, first) = run.earlier.remove(0);
        run.nodes[1] = first;
        run
    };
    // The first key never had a receipt: without the later chain nothing says when the run ended.
    let report = accepted(&assembled(&first_alone(), false).expect("assembles"));
    assert_eq!(report.bracket.clock, "host");
    assert!(report.profiles.iter().all(|line| line.verdict == weighbridge_attest_types::Verdict::Unknown));

    // With one over its last head, its devices are charged until the other node's end: 12 × 2 s + 10 × 2 s + 1 s.
    let mut run = first_alone();
    let authority = run.world.time_authority();
    let first = &mut run.nodes[1];
    let (received, head) = (UnixMillis(first.wall_end().0 + 500), first.heads[12]);
    first.receipt = Some(authority.receipt(received, first.node_key().digest(), 12, head));
    let report = accepted(&assembled(&run, false).expect("assembles"));
    assert_eq!(charged(&report), [Some(45_000), Some(45_000)]);
    assert!(report.gaps.iter().any(|gap| gap.node_key == report.nodes[1].node_key && gap.millis >= 20_000));
}

#[test]
fn a_last_key_without_intervals_shortens_nothing() {
    // Its authority gives it a receipt over the chain's start, and the other node goes on for ten intervals.
    let mut run = rebooted_with(|_| ());
    (0..10).for_each(|_| run.nodes[0].seal(|_| ()));
    run.quote_all();
    run.receipts();
    let report = accepted(&assembled(&run, false).expect("assembles"));
    assert_eq!(charged(&report), [Some(41_000), Some(41_000)]);
    let said = &report.bracket.completeness.text;
    assert!(said.ends_with("the last key of 1 of the nodes has no quoted interval"), "{said}");
}

/// Milliseconds for which the first device of each node is charged.
fn charged(report: &ThresholdReport) -> Vec<Option<u64>> {
    report.nodes.iter().map(|node| node.devices[0].charged_millis).collect()
}
