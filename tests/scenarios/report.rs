//! The report over real bundles: its schema, its grounds, and what a provider's statement may and may not do.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weighbridge_appraisal::{AppraisalTime, Outcome, RULES, VerifyOptions, verify_bundle};
use weighbridge_attest_types::{Bundle, Flops, ThresholdProfile, ThresholdReport, Trigger, UnixMillis, Verdict};
use weighbridge_tests::{SAMPLE_START, SampleRun};

use crate::support::{anchors_of, assembled, assembled_with};

const REPORT_SCHEMA: &str = include_str!("../../docs/schemas/threshold-report-v1.schema.json");
const DECLARATIONS_SCHEMA: &str = include_str!("../../docs/schemas/declarations-v1.schema.json");
const PROFILE_SCHEMA: &str = include_str!("../../docs/schemas/profile-v1.schema.json");
const TEN_25: u128 = 10u128.pow(25);

/// A provider's statement with every field, changed before it is written.
pub(crate) fn statement(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = json!({
        "format": "weighbridge/declarations/v1",
        "provider": {"legal_name": "Example Provider", "representative": "Example Rep", "contact": "compute@example.org"},
        "model": {
            "id": "sample-model", "versions": ["1.0"], "released": "2027-01-15", "architecture": "dense transformer",
            "parameters": "7000000000", "dependencies": ["a tokenizer"]
        },
        "base_models": [{
            "name": "an older model", "source": "its provider's model card",
            "compute": {"interval": {"low": "100000000000000000000", "high": "200000000000000000000"}}
        }],
        "period": {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:02:00Z"},
        "lifecycle_complete": true,
        "lifecycle": [
            {
                "phase": "fine-tuning", "class": "parameter-updates", "in_this_run": false, "basis": "counted",
                "amount": null, "note": null,
                "method": {"hardware": {
                    "units": 8, "seconds": 3600, "peak_flop_per_second": "989400000000000",
                    "h_basis": {"precision": "bf16", "sparsity": "dense", "sku": "H100 SXM", "source": "datasheet"},
                    "utilisation_basis_points": 4000, "u_definition": "model FLOP utilisation"
                }}
            },
            {
                "phase": "evaluation", "class": "diagnostics", "in_this_run": false, "basis": "executed",
                "amount": {"interval": {"low": "4", "high": "5000000000000000000"}}, "method": {"other": "an invoice"},
                "note": "kept"
            },
            {
                "phase": "data", "class": "private-synthetic-data", "in_this_run": false, "basis": "executed",
                "amount": {"point": "5000000000000000000"}, "method": {"counter": "tensor activity, logged"}
            },
            {
                "phase": "pre-training", "class": "parameter-updates", "in_this_run": true, "basis": "counted",
                "method": {"architecture": {
                    "parameters": 1000, "parameter_count": "dense", "tokens": 20000, "epochs": 1,
                    "attention": {"layers": 2, "d_model": 8, "context": 16}
                }}
            }
        ],
        "plan": {"total": "900000000000000000000", "committed_at": "2026-10-01T00:00:00Z", "ends_at": "2026-11-02T00:00:00Z"},
        "energy": {"kilowatt_hours": 12, "method": "meter at the rack"},
        "recompute_factor": {"numerator": 4, "denominator": 3},
        "sites": [{"name": "a hall", "sku": "H100 SXM", "accelerators": 8}],
        "earlier_report": {"sha256": "11".repeat(32), "changes": ["one more phase"]}
    });
    change(&mut value);
    serde_json::to_vec_pretty(&value).expect("JSON")
}

fn verified(run: &SampleRun, bundle: &Bundle) -> Outcome {
    verify_bundle(&bundle.to_bytes(), &VerifyOptions { anchors: anchors_of(&run.world), at: AppraisalTime::Archived })
}

fn report(run: &SampleRun, declarations: Option<Vec<u8>>, open: bool) -> ThresholdReport {
    let bundle = assembled_with(run, false, declarations, open).expect("assembles");
    verified(run, &bundle).report.expect("an accepted bundle has a report")
}

fn stated(change: impl FnOnce(&mut Value)) -> ThresholdReport {
    report(&SampleRun::honest(), Some(statement(change)), false)
}

/// One line beside the run, of this many FLOP, and nothing else.
fn beside(low: u128, high: u128) -> impl FnOnce(&mut Value) {
    move |value| {
        value["base_models"] = json!([]);
        value["plan"] = Value::Null;
        value["lifecycle"] = json!([{
            "phase": "elsewhere", "class": "parameter-updates", "in_this_run": false, "basis": "counted",
            "amount": {"interval": {"low": low.to_string(), "high": high.to_string()}}, "method": {"other": "an invoice"}
        }]);
    }
}

#[test]
fn real_reports_and_all_files_obey_the_published_schemas() {
    let schema: Value = serde_json::from_str(REPORT_SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let run = SampleRun::honest();
    let full = json!(report(&run, Some(statement(|_| ())), true));
    let proven = verified(&run, &assembled(&run, true).expect("assembles")).report.expect("report");
    for report in [&full, &json!(proven)] {
        let errors: Vec<String> =
            validator.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    let mut more = full.clone();
    more["bracket"]["more"] = json!(1);
    assert!(!validator.is_valid(&more), "an unknown field is refused");
    more = full.clone();
    more["bracket"]["upper"] = json!(1e25);
    assert!(!validator.is_valid(&more), "a float is refused");
    let of = |schema: &str| jsonschema::validator_for(&serde_json::from_str(schema).expect("JSON")).expect("a schema");
    let (declarations, profile) = (of(DECLARATIONS_SCHEMA), of(PROFILE_SCHEMA));
    assert!(declarations.is_valid(&serde_json::from_slice(&statement(|_| ())).expect("JSON")));
    assert!(!declarations.is_valid(&json!({"format": "weighbridge/declarations/v1"})));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../attest/types/profiles");
    for file in std::fs::read_dir(folder).expect("a folder") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("UTF-8");
        assert!(profile.is_valid(&serde_json::from_str(&text).expect("JSON")), "{text}");
        ThresholdProfile::parse(&text).expect("a profile");
    }
}

/// Every field of the types is in the schema, and every field of the schema is in a report that has them all.
#[test]
fn schema_and_types_have_the_same_fields() {
    let schema: Value = serde_json::from_str(REPORT_SCHEMA).expect("JSON");
    let run = SampleRun::honest();
    let mut full = json!(report(&run, Some(statement(|_| ())), true));
    // What one run cannot show at once: every optional part in some line.
    let proven = json!(verified(&run, &assembled(&run, true).expect("assembles")).report.expect("report"));
    full["declared"] = proven["declared"].clone();
    let audited = SampleRun::audited();
    full["sampling"] =
        json!(verified(&audited, &assembled(&audited, false).expect("assembles")).report.expect("report").sampling);
    full["attempts"] = json!([{"attempt": 0, "checkpoints": 1, "first_step": 0, "last_step": 0, "grade": "declared"}]);
    full["profiles"][0]["rounding"] = full["audit"].clone();
    let (mut wanted, mut found) = (BTreeSet::new(), BTreeSet::new());
    fields_of_schema(&schema, &schema, "", &mut wanted);
    fields_of_value(&full, "", &mut found);
    let missing: Vec<_> =
        wanted.difference(&found).filter(|path| !path.contains("/checkpoints/") && !path.contains("/gaps/")).collect();
    assert!(missing.is_empty(), "in the schema and in no report: {missing:#?}");
    let unknown: Vec<_> = found.difference(&wanted).collect();
    assert!(unknown.is_empty(), "in a report and not in the schema: {unknown:#?}");
}

fn fields_of_schema(root: &Value, schema: &Value, path: &str, fields: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).expect("a definition");
        return fields_of_schema(root, target, path, fields);
    }
    for choice in ["anyOf", "oneOf"].iter().filter_map(|key| schema[key].as_array()).flatten() {
        fields_of_schema(root, choice, path, fields);
    }
    if schema["items"].is_object() {
        fields_of_schema(root, &schema["items"], &format!("{path}/*"), fields);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        fields.insert(path.clone());
        fields_of_schema(root, property, &path, fields);
    }
}

fn fields_of_value(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    for item in value.as_array().into_iter().flatten() {
        fields_of_value(item, &format!("{path}/*"), fields);
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        fields.insert(path.clone());
        fields_of_value(value, &path, fields);
    }
}

#[test]
fn every_sentence_rests_on_something_that_exists() {
    let run = SampleRun::honest();
    let table = include_str!("../../docs/CHECKS.md");
    let proven = verified(&run, &assembled(&run, true).expect("assembles")).report.expect("report");
    let mut seen = 0;
    for report in [report(&run, Some(statement(|_| ())), true), stated(beside(TEN_25, TEN_25)), proven] {
        let value = json!(report);
        let mut sentences = Vec::new();
        gather(&value, &mut sentences);
        for sentence in sentences {
            let grounds = sentence["basis"].as_array().expect("a list");
            assert!(!grounds.is_empty(), "{sentence}");
            for ground in grounds {
                let ground = ground.as_str().expect("a text");
                seen += 1;
                match ground.split_once(':').expect("kind:place") {
                    ("check", code) => assert!(table.contains(&format!("| `{code}` |")), "{ground}"),
                    ("field", pointer) => assert!(value.pointer(pointer).is_some(), "{ground}"),
                    ("declared", pointer) => {
                        assert!(value.pointer(&format!("/statement/content{pointer}")).is_some(), "{ground}");
                    }
                    ("rule", _) => assert!(RULES.contains(&ground), "{ground}"),
                    _ => panic!("{ground}"),
                }
            }
        }
    }
    assert!(seen > 100, "{seen} grounds");
}

fn gather<'a>(value: &'a Value, sentences: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, sentences)),
        Value::Object(fields) if fields.len() == 2 && fields.contains_key("text") && fields.contains_key("basis") => {
            sentences.push(value);
        }
        Value::Object(fields) => fields.values().for_each(|value| gather(value, sentences)),
        _ => {}
    }
}

#[test]
fn a_statement_can_warn_and_never_vouches() {
    let line = |report: &ThresholdReport| report.profiles[0].clone();
    let plain = line(&report(&SampleRun::honest(), None, false));
    assert_eq!((plain.id.as_str(), plain.verdict), ("eu-ai-act-51-2", Verdict::Below));
    assert!(plain.declared.is_none());
    let declared = |change: Box<dyn FnOnce(&mut Value)>| {
        let line = line(&stated(change));
        assert_eq!(line.verdict, plain.verdict, "evidence about the run alone says what it said");
        line.declared.expect("a second verdict")
    };
    let above = declared(Box::new(beside(TEN_25 + 1, TEN_25 + 2)));
    assert_eq!((above.verdict, above.lower), (Verdict::Above, Flops(TEN_25 + 1)));
    assert_eq!(declared(Box::new(beside(0, TEN_25))).verdict, Verdict::Straddles, "with this run it is more");
    let below = declared(Box::new(beside(0, TEN_25 / 2)));
    assert_eq!((below.verdict, below.grade.as_str()), (Verdict::Below, "simulated"));
    let partial = declared(Box::new(|value| {
        beside(0, 5)(value);
        value["lifecycle_complete"] = json!(false);
    }));
    assert_eq!(partial.verdict, Verdict::Unknown);
    let unknown = declared(Box::new(|value| {
        beside(0, 5)(value);
        value["base_models"] = json!([{"name": "x", "source": "y", "compute": "cannot-be-estimated"}]);
    }));
    assert_eq!((unknown.verdict, unknown.upper), (Verdict::Unknown, None));
    // The provider's own figure for this run widens the run's bracket, and a small one does not narrow it.
    let within = |point: u128| -> Box<dyn FnOnce(&mut Value)> {
        Box::new(move |value| {
            beside(0, 0)(value);
            value["lifecycle"][0]["in_this_run"] = json!(true);
            value["lifecycle"][0]["amount"] = json!({"point": point.to_string()});
        })
    };
    assert_eq!(declared(within(2 * TEN_25)).verdict, Verdict::Above);
    assert_eq!(declared(within(TEN_25 * 10 / 13 + 1)).verdict, Verdict::Straddles);
    let small = declared(within(1));
    let run = report(&SampleRun::honest(), None, false).bracket.upper;
    assert_eq!((small.verdict, small.upper), (Verdict::Below, run));
}

#[test]
fn excluded_work_keeps_its_amount_and_counts_nowhere() {
    let report = stated(|value| {
        beside(7, 9)(value);
        value["lifecycle"][0]["class"] = json!("diagnostics");
    });
    let line = &report.ledger[1];
    assert_eq!((line.low, line.high), (Flops(7), Some(Flops(9))));
    let declared = report.profiles[0].declared.as_ref().expect("a second verdict");
    assert_eq!((declared.lower, declared.upper), (Flops(0), report.bracket.upper));
}

#[test]
fn two_weeks_run_from_the_earliest_trigger() {
    const FORTNIGHT: u64 = 14 * 86_400_000;
    let clock = |change: Box<dyn FnOnce(&mut Value)>| stated(change).profiles[0].clock.clone().expect("a clock");
    let none = clock(Box::new(beside(0, 0)));
    assert_eq!((none.trigger, none.deadline), (None, None));
    let planned = clock(Box::new(|value| {
        beside(0, 0)(value);
        value["plan"] =
            json!({"total": (TEN_25 + 1).to_string(), "committed_at": "2026-10-05T00:00:00Z", "ends_at": null});
    }));
    let committed = UnixMillis(SAMPLE_START.0 - 27 * 86_400_000);
    assert_eq!((planned.trigger, planned.triggered_at), (Some(Trigger::Plan), Some(committed)));
    assert_eq!(planned.deadline, Some(UnixMillis(committed.0 + FORTNIGHT)));
    let exact = clock(Box::new(|value| {
        beside(0, 0)(value);
        value["plan"] = json!({"total": TEN_25.to_string(), "committed_at": "2026-10-05T00:00:00Z", "ends_at": null});
    }));
    assert_eq!(exact.trigger, None, "exactly the threshold is not above");
    let forecast = clock(Box::new(|value| {
        beside(0, 0)(value);
        value["plan"] =
            json!({"total": "1", "committed_at": "2026-10-05T00:00:00Z", "ends_at": "2126-11-01T00:00:00Z"});
    }));
    assert_eq!(forecast.trigger, Some(Trigger::Forecast), "two devices for a century: {}", forecast.why.text);
    // Room for half of what the run may have done: device time passes the line half-way through the run.
    let upper = report(&SampleRun::honest(), None, false).bracket.upper.expect("an upper figure").0;
    let half = clock(Box::new(beside(0, TEN_25 - upper / 2)));
    assert_eq!(half.trigger, Some(Trigger::Declared));
    let expected = SAMPLE_START.0 - 500 + 30_500;
    assert!(half.triggered_at.is_some_and(|at| at.0.abs_diff(expected) <= 1), "{half:?}");
}

#[test]
fn a_modifier_is_weighed_against_the_stated_original() {
    let line = |low: &str| {
        let low = low.to_owned();
        let report = stated(move |value| {
            beside(0, 0)(value);
            value["base_models"] = json!([{
                "name": "x", "source": "y", "compute": {"interval": {"low": low, "high": "90000000000000000000000000"}}
            }]);
        });
        report.profiles.into_iter().find(|line| line.id == "eu-modifier-systemic").expect("a line")
    };
    let small = line("100");
    assert_eq!((small.threshold, small.verdict), (Flops(33), Verdict::Straddles));
    let great = line("90000000000000000000000000");
    assert_eq!((great.threshold, great.verdict), (Flops(TEN_25 / 3), Verdict::Below));
    assert_eq!(great.relative.map(|relative| relative.original), Some(Flops(TEN_25)), "a statement raises nothing");
    // Nobody states an original: nothing stands in for it, and silence gains nothing.
    let silent = stated(beside(0, 0)).profiles.into_iter().find(|line| line.id == "eu-modifier-systemic");
    assert_eq!(silent.map(|line| line.verdict), Some(Verdict::Unknown));
}
