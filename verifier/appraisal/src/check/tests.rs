//! How checks add up, and that docs/CHECKS.md lists every code and no other.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_class_of_an_outcome_is_the_first_in_the_order_of_the_procedure() {
    let mut checks = Checks::default();
    checks.record("a", "one", Err(Finding::fail(Culprit::Rejected, "policy")));
    checks.record("b", "two", Err(Finding::fail(Culprit::Unavailable, "collateral")));
    assert_eq!(Checks { list: checks.list.clone(), said: 0 }.close(None).culprit(), Some(Culprit::Unavailable));
    checks.record("c", "three", Err(Finding::untrusted("signature")));
    checks.record("d", "four", Ok("fine".to_owned()));
    assert_eq!(checks.close(None).culprit(), Some(Culprit::Untrusted));
}

#[test]
fn unknown_and_skipped_are_not_failures() {
    let mut checks = Checks::default();
    assert!(checks.record("a", "one", Err(Finding::unknown("no token"))));
    assert!(checks.record("a", "two", Err(Finding::skipped("waived"))));
    assert!(!checks.any_failed());
}

#[test]
fn nothing_is_accepted_without_a_report() {
    let mut checks = Checks::default();
    checks.record("a", "one", Ok("fine".to_owned()));
    assert_eq!(checks.close(None).culprit(), Some(Culprit::Internal));
}

#[test]
fn failures_of_another_instant_are_taken_over_once() {
    let mut here = Checks::default();
    here.record("a", "one", Err(Finding::untrusted("here")));
    let mut there = Checks::default();
    there.record("a", "one", Err(Finding::untrusted("there")));
    there.record("a", "two", Err(Finding::untrusted("there")));
    there.record("a", "three", Ok("there".to_owned()));
    here.adopt_failures(there, "then");
    let messages: Vec<_> = here.into_list().into_iter().map(|check| check.message).collect();
    assert_eq!(messages, ["here", "then: there"]);
}

const TABLE: &str = include_str!("../../../../docs/CHECKS.md");

const SOURCES: [&str; 22] = [
    include_str!("../audit.rs"),
    include_str!("../check.rs"),
    include_str!("../cross.rs"),
    include_str!("../ingest.rs"),
    include_str!("../levels.rs"),
    include_str!("../nodes/chain.rs"),
    include_str!("../nodes/evidence.rs"),
    include_str!("../nodes/succession.rs"),
    include_str!("../policy.rs"),
    include_str!("../policy/nvidia.rs"),
    include_str!("../policy/rules.rs"),
    include_str!("../policy/snp.rs"),
    include_str!("../policy/tdx.rs"),
    include_str!("../proof.rs"),
    include_str!("../report.rs"),
    include_str!("../time.rs"),
    include_str!("../time/beacon.rs"),
    include_str!("../time/rows.rs"),
    include_str!("../time/timestamp.rs"),
    include_str!("../totals.rs"),
    include_str!("../verdict.rs"),
    include_str!("../verify_bundle.rs"),
];

/// Literals of these words are no codes: members, a level.
const NO_CODES: [&str; 3] = ["run-manifest", "appraised-at", "two-figures"];
/// Codes of one word: the rule below cannot tell them from other literals.
const SHORT_CODES: [&str; 6] = ["container", "members", "endorsements", "manifest", "instant", "internal"];

#[test]
fn the_table_of_checks_is_complete() {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = rows.map(|(code, _)| code).collect();
    let production = SOURCES.iter().filter_map(|source| source.split("#[cfg(test)]").next());
    let literals = production.flat_map(|source| source.split('"').skip(1).step_by(2));
    let codes = literals.filter(|text| SHORT_CODES.contains(text) || is_kebab(text) && !NO_CODES.contains(text));
    let used: BTreeSet<&str> = codes.collect();
    assert_eq!(documented.symmetric_difference(&used).collect::<Vec<_>>(), [&""; 0]);
}

fn is_kebab(text: &str) -> bool {
    text.contains('-') && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}
