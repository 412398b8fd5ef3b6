//! Breakers of shown readings and of the provider's statement.

use weighbridge_attest_types::{NodeWitness, Reading};

use super::*;
use crate::report::statement;
use crate::support::assembled_with;

fn open() -> &'static Bundle {
    static OPEN: OnceLock<Bundle> = OnceLock::new();
    OPEN.get_or_init(|| assembled_with(&honest().run, false, None, true).expect("an honest run assembles"))
}

#[test]
fn readings_that_are_shown_add_up_to_the_declared_total() {
    let report = accepted(open());
    assert_eq!(report.level, "open");
    // 15 intervals of 3 and 15 of 4 GFLOP on each node, and a carried remainder of half a GFLOP each.
    let total = 2 * (15 * 3 + 15 * 4) * 1_000_000_000 + 2 * 500_000_000;
    assert_eq!(report.totals[0].total, Some(Flops(total)));
    assert_eq!((report.totals[1].total, report.totals[2].total), (None, None), "absent is not zero");
    assert_eq!(report.estimate.expect("an exact total").flop, Flops(total));
    assert_eq!(accepted(&honest().proven).level, "sealed");
}

#[test]
fn breaker_readings_open_by_a_smaller_reading() {
    let mut bundle = open().clone();
    let mut readings: NodeWitness = member(&bundle, "node/0001/readings");
    readings.rows[6].reading = Reading::new(1, 500_000_000, 0, 0).expect("in range");
    bundle.replace("node/0001/readings", Some(readings.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["readings-open"]);
    readings.rows.truncate(29);
    bundle.replace("node/0001/readings", Some(readings.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["readings-open"]);
}

#[test]
fn breaker_readings_open_by_another_nodes_readings() {
    let mut bundle = open().clone();
    let other = bundle.get("node/0000/readings").expect("member").to_vec();
    bundle.replace("node/0001/readings", Some(other));
    refused(&bundle, Culprit::Untrusted, &["readings-open"]);
}

#[test]
fn breaker_readings_complete_by_one_node_that_stays_silent() {
    let mut bundle = open().clone();
    bundle.replace("node/0001/readings", None);
    refused(&bundle, Culprit::Malformed, &["readings-complete"]);
    bundle.replace("node/0000/readings", None);
    // What is left is a sealed bundle with an open one's report.
    refused(&bundle, Culprit::Untrusted, &["report-differs"]);
}

#[test]
fn breaker_declarations_model_by_another_models_statement() {
    let mut bundle = honest().plain.clone();
    let other = statement(|value| value["model"]["id"] = "other-model".into());
    bundle.replace("declarations.json", Some(other));
    refused(&bundle, Culprit::Untrusted, &["declarations-model"]);
}

#[test]
fn a_statement_that_is_added_or_taken_away_changes_the_report() {
    let mut added = honest().plain.clone();
    added.replace("declarations.json", Some(statement(|_| ())));
    refused(&added, Culprit::Untrusted, &["report-differs"]);
    let mut taken = assembled_with(&honest().run, false, Some(statement(|_| ())), false).expect("assembles");
    accepted(&taken);
    taken.replace("declarations.json", None);
    refused(&taken, Culprit::Untrusted, &["report-differs"]);
}

#[test]
fn breaker_member_parses_by_an_ambiguous_declaration() {
    let mut bundle = honest().plain.clone();
    for missing in ["u_definition", "h_basis"] {
        let ambiguous = statement(|value| {
            let hardware = value.pointer_mut("/lifecycle/0/method/hardware").expect("a hardware line");
            hardware.as_object_mut().expect("an object").remove(missing);
        });
        bundle.replace("declarations.json", Some(ambiguous));
        refused(&bundle, Culprit::Malformed, &["member-parses"]);
    }
}

/// A name can be written in several ways: another one refuses nothing, and is told where a reader looks.
#[test]
fn breaker_declarations_provider_by_another_name() {
    let told = |name: Option<&str>| {
        let statement = statement(|value| {
            value["provider"]["legal_name"] = name.unwrap_or(&honest().run.manifest.provider).into();
        });
        let bundle = assembled_with(&honest().run, false, Some(statement), false).expect("assembles");
        let outcome = verified(&bundle);
        let check = outcome.checks.iter().find(|check| check.code == "declarations-provider").expect("is made");
        let status = check.status;
        (status, accepted(&bundle))
    };
    let (status, report) = told(None);
    assert_eq!((status, report.other_provider()), (CheckStatus::Pass, None));
    let (status, report) = told(Some("Somebody Else GmbH"));
    assert_eq!((status, report.other_provider()), (CheckStatus::Unknown, Some("Somebody Else GmbH")));
    assert!(report.not_proven.iter().any(|line| line.basis.contains(&"check:declarations-provider".to_owned())));
}
