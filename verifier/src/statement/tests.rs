use ring::rand::SystemRandom;

use super::dsse::{open, seal};
use super::keys::{SigningKey, VerifyingKey, generate};
use super::*;
use crate::html::sample_report;

fn random() -> SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "a test's own shell")]
    SystemRandom::new()
}

fn keys() -> (SigningKey, VerifyingKey) {
    let pem = generate(&random()).unwrap();
    let key = SigningKey::from_pem(pem.as_bytes(), &random()).unwrap();
    let public = VerifyingKey::from_pem(key.public().to_pem().as_bytes()).unwrap();
    assert_eq!(public, key.public());
    (key, public)
}

fn statement() -> Statement {
    Statement::of(&sample_report(), b"a bundle", b"a report")
}

#[test]
fn what_is_signed_is_read_back() {
    let (key, public) = keys();
    let payload = statement().to_bytes().unwrap();
    let envelope = seal(&payload, &key, &random()).unwrap();
    let opened = open(envelope.as_bytes(), &public).unwrap();
    assert_eq!(Statement::from_bytes(&opened).unwrap(), statement());
    let (_, other) = keys();
    let refused = open(envelope.as_bytes(), &other).unwrap_err();
    assert!(matches!(refused, StatementError::Signature { .. }) && refused.culprit() == Culprit::Untrusted);
}

#[test]
fn the_grade_is_the_first_field_of_the_predicate_and_cannot_be_left_out() {
    let payload = String::from_utf8(statement().to_bytes().unwrap()).unwrap();
    assert!(payload.contains(r#""predicate":{"grade":"simulated","warning":"SIMULATED"#), "{payload}");
    let stripped = payload.replacen(r#""grade":"simulated","#, "", 1);
    let refused = Statement::from_bytes(stripped.as_bytes()).unwrap_err();
    assert!(matches!(&refused, StatementError::Payload(error) if error.to_string().contains("missing field `grade`")));
    let raised = payload.replacen(r#""grade":"simulated""#, r#""grade":"attested""#, 1);
    assert!(matches!(Statement::from_bytes(raised.as_bytes()), Err(StatementError::Contradiction(_))));
}

#[test]
fn unknown_and_repeated_fields_and_other_types_are_refused() {
    let (key, public) = keys();
    let payload = String::from_utf8(statement().to_bytes().unwrap()).unwrap();
    for (from, to) in [
        (r#"{"_type""#, r#"{"more":1,"_type""#),
        (r#""predicate":{"#, r#""predicate":{"grade":"simulated","#),
        (r#""bracket":{"#, r#""bracket":{"more":1,"#),
    ] {
        let changed = payload.replacen(from, to, 1);
        assert_ne!(changed, payload);
        assert!(matches!(Statement::from_bytes(changed.as_bytes()), Err(StatementError::Payload(_))), "{to}");
    }
    for field in [STATEMENT_TYPE, PREDICATE_TYPE] {
        let changed = payload.replacen(field, "urn:other", 1);
        assert!(matches!(Statement::from_bytes(changed.as_bytes()), Err(StatementError::Type { .. })));
    }
    let envelope = seal(payload.as_bytes(), &key, &random()).unwrap();
    let refused = |from: &str, to: &str| {
        let changed = envelope.replacen(from, to, 1);
        assert_ne!(changed, envelope);
        open(changed.as_bytes(), &public).unwrap_err()
    };
    assert!(matches!(refused("{\"payload\"", "{\"more\":1,\"payload\""), StatementError::Envelope(_)));
    assert!(matches!(refused("vnd.in-toto+json", "json"), StatementError::PayloadType(_)));
    assert!(matches!(refused("\"sig\":\"", "\"sig\":\"_"), StatementError::Base64(_)));
    assert!(matches!(refused("\"payload\":\"", "\"payload\":\"AAAA"), StatementError::Signature { .. }));
    let none = r#"{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}"#;
    assert!(matches!(open(none.as_bytes(), &public), Err(StatementError::SignatureCount(0))));
}

#[test]
fn another_bundle_is_told_by_its_fields() {
    let refused = statement().is_that_of(&Statement::of(&sample_report(), b"another", b"a report")).unwrap_err();
    let expected = "the statement is not what this bundle says; it differs in: predicate.bundle, subject";
    assert_eq!(refused.to_string(), expected);
    assert!(statement().is_that_of(&statement()).is_ok());
}

#[test]
fn nothing_that_speaks_against_a_verdict_can_be_left_out() {
    let payload = String::from_utf8(statement().to_bytes().unwrap()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&payload).unwrap();
    let places = [
        ("", ["period", "checkpoints"].as_slice()),
        ("/verdicts/0", &["status", "condition", "declared", "clock"]),
        ("/verdicts/0/clock", &["trigger", "triggeredAt", "deadline", "isUnsure"]),
    ];
    for (place, fields) in places {
        for field in fields {
            let mut less = value.clone();
            let object = less["predicate"].pointer_mut(place).unwrap().as_object_mut().unwrap();
            assert!(object.remove(*field).is_some(), "{place}/{field}");
            let refused = Statement::from_bytes(less.to_string().as_bytes()).unwrap_err();
            assert!(matches!(&refused, StatementError::Payload(_)), "{place}/{field}: {refused}");
        }
    }
}

#[test]
fn the_grade_is_that_of_the_weakest_figure_whichever_it_is() {
    let mut attested = sample_report();
    attested.bracket.grade = Grade::Attested;
    attested.checkpoints.iter_mut().for_each(|line| line.grade = Grade::Attested);
    for line in &mut attested.profiles {
        line.grade = Grade::Attested;
        line.clock.iter_mut().for_each(|clock| clock.grade = Grade::Attested);
        line.declared.iter_mut().for_each(|declared| declared.grade = Grade::Attested);
    }
    let grade = |change: fn(&mut ThresholdReport)| {
        let mut report = attested.clone();
        change(&mut report);
        let statement = Statement::of(&report, b"a bundle", b"a report");
        let payload = statement.to_bytes().unwrap();
        assert_eq!(Statement::from_bytes(&payload).unwrap(), statement);
        statement.predicate.grade
    };
    assert_eq!(grade(|_| ()), Grade::Attested);
    assert_eq!(grade(|report| report.checkpoints[0].grade = Grade::Declared), Grade::Declared);
    assert_eq!(grade(|report| report.profiles[0].clock.as_mut().unwrap().grade = Grade::Declared), Grade::Declared);
    assert_eq!(grade(|report| report.profiles[1].grade = Grade::Counter), Grade::Counter);
}

#[test]
fn subjects_are_the_checkpoints_that_are_counted() {
    let mut statement = statement();
    assert_eq!(
        statement.predicate.checkpoints.as_ref().map(|line| line.count),
        Some(statement.subject.len() as u64 - 1)
    );
    statement.subject.pop();
    let refused = Statement::from_bytes(&statement.to_bytes().unwrap()).unwrap_err();
    assert!(matches!(refused, StatementError::Contradiction(_)), "{refused}");
}

#[test]
fn another_time_to_notify_is_another_statement() {
    let mut later = sample_report();
    let clock = later.profiles[0].clock.as_mut().unwrap();
    clock.is_unsure = !clock.is_unsure;
    let refused = Statement::of(&later, b"a bundle", b"a report").is_that_of(&statement()).unwrap_err();
    assert_eq!(refused.to_string(), "the statement is not what this bundle says; it differs in: predicate.verdicts");
}

/// A published key, a published report, and the one envelope that they give.
#[test]
fn the_published_vector_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/statement");
    let key = SigningKey::from_pem(&std::fs::read(folder.join("ed25519.pem")).unwrap(), &random()).unwrap();
    let envelope = seal(&statement().to_bytes().unwrap(), &key, &random()).unwrap();
    let files = [("ed25519.pub.pem", key.public().to_pem()), ("envelope.json", envelope)];
    #[expect(clippy::disallowed_methods, reason = "the convention of all golden files")]
    let blessing = std::env::var_os("WEIGHBRIDGE_BLESS").is_some();
    for (name, expected) in files {
        if blessing {
            std::fs::write(folder.join(name), &expected).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), expected, "{name}; `just bless` if it should");
    }
}

#[test]
fn an_envelope_is_an_object_with_few_signatures() {
    let (key, public) = keys();
    let envelope = seal(&statement().to_bytes().unwrap(), &key, &random()).unwrap();
    open(envelope.as_bytes(), &public).unwrap();
    let value: serde_json::Value = serde_json::from_str(&envelope).unwrap();
    let array = serde_json::json!([value["payload"], value["payloadType"], value["signatures"]]);
    assert!(matches!(open(array.to_string().as_bytes(), &public), Err(StatementError::Envelope(_))));
    let mut many = value.clone();
    many["signatures"] = vec![value["signatures"][0].clone(); 16].into();
    open(many.to_string().as_bytes(), &public).unwrap();
    many["signatures"] = vec![value["signatures"][0].clone(); 17].into();
    assert!(matches!(open(many.to_string().as_bytes(), &public), Err(StatementError::Envelope(_))));
}
