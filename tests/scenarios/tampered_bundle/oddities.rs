//! Ideas of a forger that never worked, kept so that they never will. No check is named for any of them.

use super::*;

/// Everything that is left out or changed is in the digest of members, and the report holds it.
#[test]
fn a_millisecond_or_a_blank_makes_another_report() {
    let later = changed("appraised-at", |at: &mut UnixMillis| at.0 += 1);
    refused(&later, Culprit::Untrusted, &["report-differs"]);
    let mut padded = honest().plain.clone();
    let mut bytes = padded.get("endorsements/0000").expect("member").to_vec();
    bytes.push(b' ');
    padded.replace("endorsements/0000", Some(bytes));
    let outcome = verified(&padded);
    assert!(outcome.report.is_none() && outcome.culprit().is_some());
}

#[test]
fn a_hundred_thousand_brackets_are_no_statement() {
    let mut bundle = honest().plain.clone();
    bundle.replace("declarations.json", Some(vec![b'['; 100_000]));
    refused(&bundle, Culprit::Malformed, &["member-parses"]);
}

#[test]
fn a_node_without_a_row_is_refused_whole_as_it_is() {
    let mut bundle = honest().plain.clone();
    let members: Vec<(String, Vec<u8>)> = bundle
        .below("node")
        .filter_map(|(name, bytes)| Some((name.strip_prefix("0001/")?.to_owned(), bytes.to_vec())))
        .collect();
    for (name, bytes) in members {
        bundle.replace(&format!("node/0002/{name}"), Some(bytes));
    }
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code == "roster-complete"), "{:#?}", outcome.checks);
    assert_eq!((outcome.culprit(), outcome.report), (Some(Culprit::Untrusted), None));
}

/// The kind says which verifier reads the bytes: none takes another's.
#[test]
fn evidence_under_another_kind_is_never_genuine() {
    let kinds = |change: fn(&mut EvidenceSet)| {
        let bundle = changed("node/0000/evidence/key", change);
        let outcome = verified(&bundle);
        let failed: Vec<&str> = outcome.failures().map(|check| check.code).collect();
        assert!(failed.contains(&"evidence-genuine"), "{failed:?}");
        assert!(outcome.report.is_none());
    };
    kinds(|set| set.cpu.kind = EvidenceKind::new(EvidenceKind::NVIDIA_GPU));
    kinds(|set| set.devices[0].kind = EvidenceKind::new(EvidenceKind::TDX));
}
