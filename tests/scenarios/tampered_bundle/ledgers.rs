//! Breakers of ledgers and rosters.

use super::*;

#[test]
fn breaker_ledger_chain_by_a_dropped_interval() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| {
        ledger.entries.remove(14);
    });
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert_eq!(codes, ["ledger-chain"], "what hangs on the chain is skipped, not guessed");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_time_receipt_head_by_a_dropped_tail() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| ledger.entries.truncate(25));
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"evidence-head"), "the quote of a head that is gone: {codes:?}");
    assert!(codes.contains(&"time-receipt-head"), "the receipt of a head that is gone: {codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_ledger_chain_by_a_late_start() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| {
        ledger.entries.drain(..5);
    });
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert_eq!(codes, ["ledger-chain"]);
}

#[test]
fn breaker_ledger_chain_by_reordered_intervals() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| ledger.entries.swap(3, 4));
    let outcome = verified(&bundle);
    assert!(outcome.failures().all(|check| check.code == "ledger-chain"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_ledger_forks_by_two_chains_of_one_node() {
    // Node 1's folder holds node 0's chain once more.
    let mut bundle = honest().plain.clone();
    let ledger = bundle.get("node/0000/ledger").expect("ledger").to_vec();
    bundle.replace("node/0001/ledger", Some(ledger));
    let outcome = verified(&bundle);
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-row") && codes.contains(&"ledger-forks"), "{codes:?}");
}

#[test]
fn breaker_ledger_row_by_swapped_nodes() {
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
fn breaker_ledger_predecessor_by_a_successor_without_its_predecessor() {
    let mut run = SampleRun::begin(7, 2, 1);
    let row = run.manifest.roster[1].clone();
    let genesis = run.manifest.genesis();
    run.nodes[1].restart(genesis, &row, PoseidonDigest::from_elements([1, 2, 3, 4]));
    refused(&finished(run), Culprit::Untrusted, &["ledger-predecessor"]);
}

#[test]
fn breaker_ledger_row_by_another_genesis() {
    let mut run = SampleRun::begin(7, 2, 1);
    let row = run.manifest.roster[1].clone();
    run.nodes[1].restart(Digest32([3; 32]), &row, None);
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-row"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_ledger_chain_by_a_false_signature() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| ledger.entries[29].signature.0[5] ^= 1);
    refused(&bundle, Culprit::Untrusted, &["ledger-chain"]);
}

#[test]
fn breaker_ledger_chain_by_a_false_start() {
    let bundle = changed("node/0000/ledger", |ledger: &mut NodeLedger| {
        ledger.start = ChainStart { device_set: Digest32([7; 32]), ..ledger.start };
    });
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code.starts_with("ledger-")));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_ledger_quotes_by_a_dropped_quote() {
    let mut bundle = honest().plain.clone();
    bundle.replace("node/0000/evidence/00000020", None);
    refused(&bundle, Culprit::Untrusted, &["ledger-quotes"]);
}

#[test]
fn breaker_ledger_chain_by_device_time_that_does_not_add_up() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.nodes[1].seal(|public| public.devices[0].run = DeviceMillis(public.devices[0].run.0 - 1));
    run.nodes[0].seal(|_| ());
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"ledger-chain"), "{codes:?}");
}

#[test]
fn breaker_roster_complete_by_a_node_left_out() {
    let mut bundle = honest().plain.clone();
    let names: Vec<String> = bundle.below("node/0001").map(|(name, _)| format!("node/0001/{name}")).collect();
    for name in names {
        bundle.replace(&name, None);
    }
    refused(&bundle, Culprit::Untrusted, &["roster-complete"]);
}

#[test]
fn breaker_ledger_quoted_by_a_run_without_quotes() {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(30);
    run.receipts();
    refused(&resealed(&run), Culprit::Untrusted, &["ledger-quoted"]);
}
