//! Appraisal policies as files: one spelling, a schema that is the types, and what a change of policy would change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weighbridge_appraisal::{PolicyName, parse_policy};
use weighbridge_attest_types::AppraisalPolicy;
use weighbridge_tests::vectors::Case;
use weighbridge_tests::{Ran, run};

use crate::commands::weighbridge;

const POLICY_SCHEMA: &str = include_str!("../../docs/schemas/appraisal-policy-v1.schema.json");
const CASES_SCHEMA: &str = include_str!("../../docs/schemas/policy-cases-v1.schema.json");

fn policy(arguments: &[&str], paths: &[&Path]) -> Ran {
    run(weighbridge(&["policy"]).args(arguments).args(paths))
}

fn object(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", ran.stdout, ran.stderr))
}

/// The built-in policy under another name, changed at a place.
fn own(folder: &Path, place: &str, rule: Value) -> PathBuf {
    let mut policy = json!(AppraisalPolicy::built_in());
    policy["id"] = json!("mine");
    *policy.pointer_mut(place).unwrap_or_else(|| panic!("no rule {place}")) = rule;
    let file = folder.join("mine.json");
    std::fs::write(&file, policy.to_string()).expect("writes");
    file
}

#[test]
fn what_is_shown_is_what_is_read_and_hashed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shown = policy(&["show"], &[]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert_eq!(parse_policy(shown.stdout.as_bytes()).expect("a policy"), AppraisalPolicy::built_in());
    let file = folder.path().join("shown.json");
    std::fs::write(&file, &shown.stdout).expect("writes");
    assert_eq!(policy(&["show"], &[&file]).stdout, shown.stdout);
    let checked = object(&policy(&["check", "--format", "json"], &[&file]));
    let name = PolicyName::of(&AppraisalPolicy::built_in());
    assert_eq!(checked["claims"]["policy"], json!(name));
    assert_eq!(
        name.sha256.to_string(),
        weighbridge_attest_types::sha256(shown.stdout.as_bytes()).to_string(),
        "the digest is that of what is shown"
    );
    let text = policy(&["check"], &[&file]).stdout;
    assert!(text.contains("required") && text.contains("waived") && text.contains("/tdx/tcb_status"), "{text}");
}

#[test]
fn what_is_no_policy_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (place, rule, said) in [
        ("/debug", json!({ "equal": false }), "not an appraisal policy"),
        ("/debug", json!({ "waived": {} }), "not an appraisal policy"),
        ("/tdx/tcb_status", json!({ "at-least": "UpToDate" }), "have a least one"),
        ("/id", json!("weighbridge-default "), "printable"),
        ("/measurement", json!({ "equals": "AB" .repeat(48) }), "lower case"),
    ] {
        let ran = policy(&["check"], &[&own(folder.path(), place, rule)]);
        assert_eq!(ran.code, Some(2), "{place}: {}", ran.stdout);
        assert!(ran.stderr.contains(said), "{place}: {}", ran.stderr);
    }
    let mut unknown = json!(AppraisalPolicy::built_in());
    unknown["id"] = json!("mine");
    unknown["tdx"]["tcb_statuses"] = json!({ "equals": "UpToDate" });
    let file = folder.path().join("unknown.json");
    std::fs::write(&file, unknown.to_string()).expect("writes");
    let ran = policy(&["check"], &[&file]);
    assert!(ran.code == Some(2) && ran.stderr.contains("tcb_statuses"), "{}", ran.stderr);
}

/// Every field of the types is in the schema and the other way round; what the reader refuses, the schema refuses.
#[test]
fn the_schema_is_the_types() {
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let built_in = json!(AppraisalPolicy::built_in());
    let errors: Vec<String> = validator.iter_errors(&built_in).map(|error| format!("{error}")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let (mut wanted, mut found) = (BTreeSet::new(), BTreeSet::new());
    rules_of_schema(&schema, &schema, "", &mut wanted);
    rules_of_value(&built_in, "", &mut found);
    assert_eq!(wanted, found);
    for (place, wrong) in [
        ("/debug", json!({ "equal": false })),
        ("/debug", json!({ "waived": { "reason": " " } })),
        ("/debug", json!({ "at-least": false })),
        ("/sev_snp/vmpl", json!({ "at-least": 0 })),
        ("/tdx/reserved_attributes", json!({ "at-least": 0 })),
        ("/tdx/tcb_status", json!({ "one-of": ["Fine"] })),
        ("/tdx/tcb_status", json!({ "one-of": [] })),
        ("/measurement", json!({ "equals": "AB".repeat(48) })),
        ("/version", json!(-1)),
        ("/more", json!(1)),
    ] {
        let mut policy = built_in.clone();
        match policy.pointer_mut(place) {
            Some(rule) => *rule = wrong,
            None => policy["more"] = wrong,
        }
        policy["id"] = json!("mine");
        assert!(!validator.is_valid(&policy), "the schema takes {place}");
        assert!(parse_policy(policy.to_string().as_bytes()).is_err(), "the reader takes {place}");
    }
}

/// Whatever minimum is asked of whatever rule, schema and reader take it or refuse it together.
#[test]
fn schema_and_reader_know_the_same_minima() {
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut built_in = json!(AppraisalPolicy::built_in());
    built_in["id"] = json!("mine");
    let mut places = BTreeSet::new();
    rules_of_value(&built_in, "", &mut places);
    let (mut rules, mut taken) = (0, BTreeSet::new());
    for place in places {
        let rule = built_in.pointer(&place).expect("a rule");
        if !["equals", "one-of", "waived"].iter().any(|form| rule.get(form).is_some()) {
            continue;
        }
        rules += 1;
        let tcb = json!({ "fmc": null, "bootloader": 1, "tee": 0, "snp": 2, "microcode": 3 });
        for least in [json!(0), json!("96.00.9F.00.01"), tcb, json!(true), json!("ab".repeat(48)), json!("UpToDate")] {
            let mut policy = built_in.clone();
            *policy.pointer_mut(&place).expect("a rule") = json!({ "at-least": least });
            let read = parse_policy(policy.to_string().as_bytes()).is_ok();
            assert_eq!(validator.is_valid(&policy), read, "{place} at least {least}");
            if read {
                taken.insert(place.clone());
            }
        }
    }
    let versions = ["gb100/driver", "gb100/vbios", "gh100/driver", "gh100/vbios", "ls10_bios"];
    let tcbs = ["milan", "genoa", "turin"]
        .into_iter()
        .flat_map(|line| ["reported", "committed", "launch"].map(|part| format!("/sev_snp/{line}/{part}")));
    let others = ["/sev_snp/guest_policy", "/tdx/evaluation_number"].map(str::to_owned);
    let wanted = tcbs.chain(others).chain(versions.map(|rule| format!("/nvidia/{rule}"))).collect();
    assert_eq!((rules > 40, taken), (true, wanted));
}

/// Places of all objects and values above requirements.
fn rules_of_schema(root: &Value, schema: &Value, place: &str, found: &mut BTreeSet<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => root.pointer(name.trim_start_matches('#')).expect("a definition"),
        None => schema,
    };
    let Some(fields) = schema["properties"].as_object() else { return };
    for (name, field) in fields {
        let place = format!("{place}/{name}");
        rules_of_schema(root, field, &place, found);
        found.insert(place);
    }
}

fn rules_of_value(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    for (name, field) in value.as_object().into_iter().flatten() {
        if ["equals", "at-least", "one-of", "waived"].contains(&name.as_str()) {
            continue;
        }
        let place = format!("{place}/{name}");
        rules_of_value(field, &place, found);
        found.insert(place);
    }
}

/// Two genuine quotes, one of a debuggable TD.
fn cases(folder: &Path, expected: [&str; 2]) -> Option<PathBuf> {
    let mut cases = Vec::new();
    for (name, verdict) in ["v4-coco-debug-50806f", "v4-dstack-quote-report-90c06f"].into_iter().zip(expected) {
        let case = Case::named("tdx", name)?;
        let wanted = if name.contains("debug") { "rejected" } else { "accepted" };
        let row = case.appraisals.iter().find(|row| row.expect == wanted).expect("such a row");
        let paths: Vec<PathBuf> = row.endorsements.iter().map(|file| case.folder.join(file)).collect();
        cases.push(json!({
            "name": name, "kind": "tdx", "evidence": [case.folder.join("quote.bin")], "endorsements": paths,
            "at": row.at, "expect": { "verdict": verdict },
        }));
    }
    cases[0]["expect"]["reasons"] = json!(["policy-debug"]);
    let file = json!({ "format": "weighbridge/policy-cases/v1", "cases": cases });
    let schema = jsonschema::validator_for(&serde_json::from_str(CASES_SCHEMA).expect("JSON")).expect("a schema");
    assert!(schema.is_valid(&file), "{file}");
    let path = folder.join("cases.json");
    std::fs::write(&path, file.to_string()).expect("writes");
    Some(path)
}

#[test]
fn cases_are_held_to_expectations_and_a_change_shows_before_it_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(file) = cases(folder.path(), ["rejected", "accepted"]) else { return };
    let flag = Path::new("--case");
    let same = own(folder.path(), "/version", json!(3));
    let met = policy(&["test"], &[&same, flag, &file]);
    assert_eq!(met.code, Some(0), "{}{}", met.stdout, met.stderr);
    assert!(met.stdout.contains("as expected"), "{}", met.stdout);
    let lax = own(folder.path(), "/debug", json!({ "waived": { "reason": "a laboratory" } }));
    let changed = policy(&["test", "--format", "json", "--against", "built-in"], &[&lax, flag, &file]);
    assert_eq!(changed.code, Some(5), "{}", changed.stdout);
    let answer = object(&changed);
    assert_eq!(answer["reasons"][0]["code"], "policy-case-differs");
    let [debug, good] = answer["claims"]["cases"].as_array().expect("cases").as_slice() else { panic!("{answer}") };
    assert_eq!((&debug["before"]["verdict"], &debug["as_expected"]), (&json!("rejected"), &json!(false)));
    let change =
        json!({ "path": "tdx-0", "code": "policy-debug", "rule": "debug", "from": "fail", "to": "not-checked" });
    assert!(debug["changes"].as_array().expect("changes").contains(&change), "{debug}");
    // Waiving a rule lowers what may be said of those that met it.
    let change =
        json!({ "path": "tdx-0", "code": "policy-debug", "rule": "debug", "from": "pass", "to": "not-checked" });
    assert_eq!((&good["verdict"], &good["changes"]), (&json!("accepted"), &json!([change])));
    let text = policy(&["test", "--against", "built-in"], &[&lax, flag, &file]).stdout;
    assert!(text.contains("was rejected") || text.contains("fail → not-checked"), "{text}");
}

#[test]
fn a_file_of_cases_has_one_form() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let same = own(folder.path(), "/version", json!(3));
    let file = folder.path().join("cases.json");
    for (text, said) in [
        ("{}", "format"),
        (r#"{"format": "weighbridge/policy-cases/v2", "cases": []}"#, "not \"weighbridge/policy-cases/v1\""),
        (r#"{"format": "weighbridge/policy-cases/v1", "cases": []}"#, "no case"),
        (
            r#"{"format": "weighbridge/policy-cases/v1", "cases": [{"name": "x", "kind": "sgx", "evidence": ["x"], "at": "2026-01-01T00:00:00Z"}]}"#,
            "\"sgx\" is not known",
        ),
        (
            r#"{"format": "weighbridge/policy-cases/v1", "cases": [{"name": "x", "kind": "tdx", "evidence": ["x"], "at": "soon"}]}"#,
            "soon",
        ),
        (r#"{"format": "weighbridge/policy-cases/v1", "more": 1, "cases": []}"#, "more"),
    ] {
        std::fs::write(&file, text).expect("writes");
        let ran = policy(&["test"], &[&same, Path::new("--case"), &file]);
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.stdout);
        assert!(ran.stderr.contains(said), "{text}: {}", ran.stderr);
    }
}
