//! Breakers of members, proofs, policy and report.

use super::*;

fn with_public(change: impl FnOnce(&mut ThresholdPublic)) -> Bundle {
    let mut bundle = honest().proven.clone();
    let mut public: ThresholdPublic = member(&bundle, "proof/threshold.public");
    change(&mut public);
    bundle.replace("proof/threshold.public", Some(public.to_bytes()));
    bundle
}

#[test]
fn breaker_proof_genesis_and_proof_chains_by_another_runs_proof() {
    let other = {
        let mut run =
            SampleRun::begin_with(7, 2, 1, |platform| platform, |manifest| "other".clone_into(&mut manifest.model_id));
        run.advance(2);
        run.prove(BOUND)
    };
    let mut bundle = honest().proven.clone();
    bundle.replace("proof/threshold", Some(other.proof));
    bundle.replace("proof/threshold.public", Some(other.public.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["proof-chains", "proof-context", "proof-genesis"]);
}

#[test]
fn breaker_proof_holds_by_another_statement() {
    let of = |relation| move |public: &mut ThresholdPublic| public.relations = vec![TotalRelation::declared(relation)];
    let stronger = with_public(of(Relation::Le(Flops(1_000_000_000))));
    refused(&stronger, Culprit::Untrusted, &["proof-holds"]);
    let profile = Flops(100_000_000_000_000_000_000_000);
    let other = with_public(of(Relation::Gt(profile)));
    refused(&other, Culprit::Untrusted, &["proof-holds"]);
    let more = with_public(|public| public.relations.push(public.relations[0]));
    refused(&more, Culprit::Untrusted, &["proof-holds"]);
    let none = with_public(|public| public.relations.clear());
    refused(&none, Culprit::Malformed, &["proof-holds"]);
}

#[test]
fn breaker_proof_holds_by_one_bit() {
    let mut bundle = honest().proven.clone();
    let mut proof = bundle.get("proof/threshold").expect("proof").to_vec();
    proof[70_000] ^= 1;
    bundle.replace("proof/threshold", Some(proof));
    let outcome = verified(&bundle);
    assert!(outcome.failures().all(|check| check.code == "proof-holds"));
    assert!(outcome.report.is_none());
}

/// The honest bundle with another proof and its statement.
fn with_proof(proof: ThresholdProof) -> Bundle {
    let mut bundle = honest().proven.clone();
    bundle.replace("proof/threshold", Some(proof.proof));
    bundle.replace("proof/threshold.public", Some(proof.public.to_bytes()));
    bundle
}

#[test]
fn breaker_proof_context_by_a_proof_in_another_context() {
    // All else is this run's: only what the proof binds beside the chains is another.
    let relation = TotalRelation::declared(Relation::Le(BOUND));
    let elsewhere = honest().run.prove_as(&[relation], Digest32([7; 32]));
    refused(&with_proof(elsewhere), Culprit::Untrusted, &["proof-context"]);
}

#[test]
fn breaker_proof_presence_by_a_component_that_nobody_read() {
    // Counters were absent, their readings are zeros, and a proof about them is true and means nothing.
    for component in [Component::Metered, Component::Energy] {
        let relation = TotalRelation { component, relation: Relation::Le(Flops(1_000_000_000_000)) };
        let proof = honest().run.prove_as(&[relation], honest().run.context());
        refused(&with_proof(proof), Culprit::Untrusted, &["proof-presence"]);
    }
}

#[test]
fn several_profiles_are_one_proof() {
    let relations =
        [TotalRelation::declared(Relation::Le(BOUND)), TotalRelation::declared(Relation::Gt(Flops(100_000_000_000)))];
    let proof = honest().run.prove_as(&relations, honest().run.context());
    let mut bundle = with_proof(proof);
    // The report of the honest bundle has one line; all other checks hold.
    refused(&bundle, Culprit::Untrusted, &["report-differs"]);
    bundle.replace("report.json", None);
    let outcome = verified(&bundle);
    let holds = outcome.checks.iter().find(|check| check.code == "proof-holds").expect("checked");
    assert!(holds.message.contains("declared total ≤") && holds.message.contains("declared total >"));
}

#[test]
fn breaker_proof_presence_by_an_absent_component() {
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
fn breaker_report_differs_by_an_edited_report() {
    let mut bundle = honest().proven.clone();
    let text = String::from_utf8(bundle.get("report.json").expect("report").to_vec()).expect("UTF-8");
    let edited = text.replace("Example Provider", "Another Provider");
    assert_ne!(edited, text);
    bundle.replace("report.json", Some(edited.into_bytes()));
    refused(&bundle, Culprit::Untrusted, &["report-differs"]);
}

#[test]
fn breaker_policy_known_by_a_softened_policy() {
    let mut bundle = honest().plain.clone();
    let text = String::from_utf8(bundle.get("policy.json").expect("policy").to_vec()).expect("UTF-8");
    let softened = text.replacen("UpToDate", "OutOfDate", 1);
    assert_ne!(softened, text);
    bundle.replace("policy.json", Some(softened.into_bytes()));
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code == "policy-known"));
}

#[test]
fn breaker_member_unknown_and_member_missing() {
    let mut extra = honest().plain.clone();
    extra.replace("node/0000/notes", Some(b"hello".to_vec()));
    refused(&extra, Culprit::Malformed, &["member-unknown"]);
    let mut missing = honest().plain.clone();
    missing.replace("node/0000/evidence/key", None);
    refused(&missing, Culprit::Malformed, &["member-missing"]);
}

#[test]
fn breaker_container_by_a_changed_byte_of_the_table() {
    let mut bytes = honest().plain.to_bytes();
    bytes[40] ^= 1;
    let options = VerifyOptions { anchors: built_in_anchors(), at: AppraisalTime::Archived };
    let outcome = verify_bundle(&bytes, &options);
    assert_eq!(outcome.failures().map(|check| check.code).collect::<Vec<_>>(), ["container"]);
    assert_eq!(outcome.culprit(), Some(Culprit::Malformed));
    let mut version = honest().plain.to_bytes();
    version[8] = 9;
    assert_eq!(verify_bundle(&version, &options).culprit(), Some(Culprit::Unsupported));
}

#[test]
fn breaker_member_parses_by_a_trailing_byte() {
    let mut bundle = honest().plain.clone();
    for name in ["run-manifest", "node/0000/ledger", "node/0001/evidence/key", "node/0000/time/receipt"] {
        let mut bytes = bundle.get(name).expect("member").to_vec();
        bytes.push(0);
        bundle.replace(name, Some(bytes));
    }
    let outcome = verified(&bundle);
    assert_eq!(outcome.failures().filter(|check| check.code == "member-parses").count(), 4);
    refused(&bundle, Culprit::Malformed, &["member-parses"]);
}

#[test]
fn breaker_proof_circuits_by_another_version() {
    let mut bundle = honest().proven.clone();
    let mut text = bundle.get("circuits").expect("circuits").to_vec();
    text[10] ^= 1;
    bundle.replace("circuits", Some(text));
    refused(&bundle, Culprit::Unsupported, &["proof-circuits"]);
}

#[test]
fn breaker_proof_bounds_by_a_bound_that_tells_too_much() {
    let run = &honest().run;
    let proof = run.prove(Flops(123_456_000_000_000));
    refused(&with_proof(proof), Culprit::Rejected, &["proof-bounds"]);
}

#[test]
fn breaker_report_differs_by_a_report_that_swells() {
    // Not parsed when it is far longer than what it must be.
    let mut bundle = honest().plain.clone();
    let text = String::from_utf8(bundle.get("report.json").expect("report").to_vec()).expect("UTF-8");
    let swollen = text.replace("\"assumptions\": [", &format!("\"assumptions\": [{}", "\"\",".repeat(3_000_000)));
    bundle.replace("report.json", Some(swollen.into_bytes()));
    refused(&bundle, Culprit::Untrusted, &["report-differs"]);
}

#[test]
fn breaker_member_parses_by_a_report_with_an_unknown_field() {
    let mut bundle = honest().plain.clone();
    let text = String::from_utf8(bundle.get("report.json").expect("report").to_vec()).expect("UTF-8");
    bundle.replace("report.json", Some(text.replacen('{', "{\"more\": 1,", 1).into_bytes()));
    refused(&bundle, Culprit::Malformed, &["member-parses"]);
}

#[test]
fn breaker_endorsements_by_junk_and_by_order() {
    let mut junk = honest().plain.clone();
    junk.replace("endorsements/0003", Some(b"{\"hello\": 1}".to_vec()));
    let outcome = verified(&junk);
    assert!(outcome.failures().all(|check| check.code == "endorsements"));
    assert_eq!(outcome.culprit(), Some(Culprit::Malformed));
    let mut twice = honest().plain.clone();
    twice.replace("endorsements/0003", twice.get("endorsements/0002").map(<[u8]>::to_vec));
    refused(&twice, Culprit::Malformed, &["endorsements"]);
    // Known by its content and unreadable; in its sorted place, before the genuine ones.
    let mut unreadable = honest().plain.clone();
    for number in (0..3).rev() {
        let genuine = unreadable.get(&format!("endorsements/{number:04}")).map(<[u8]>::to_vec);
        unreadable.replace(&format!("endorsements/{:04}", number + 1), genuine);
    }
    unreadable.replace("endorsements/0000", Some(b"\n{\"tcb_info\": 3}".to_vec()));
    refused(&unreadable, Culprit::Untrusted, &["endorsements"]);
    let mut many = honest().plain.clone();
    for number in 0..65 {
        many.replace(&format!("endorsements/{number:04}"), Some(format!("{{\"tcb_info\": {number:04}}}").into_bytes()));
    }
    let outcome = verified(&many);
    assert!(outcome.failures().any(|check| check.code == "endorsements"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}
