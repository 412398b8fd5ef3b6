//! Every row of captured evidence through the built program, one process each: class, exit code and the detail that the row
//! names. Rows of kinds that this build does not know are counted and listed; they run as soon as it does.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use weighbridge_attest::kinds;
use weighbridge_attest_types::AppraisalPolicy;
use weighbridge_tests::vectors::{Appraisal, Case};
use weighbridge_tests::{shared, skipped};

use super::{Answer, line_of, write};

/// The shared folder holds at least these; fewer would mean that rows were lost.
const ROWS: usize = 234;

/// The policy of a row as a file of ours: the built-in one asks what the README of the vectors assumes.
fn policy_of(row: &Appraisal) -> Option<Value> {
    let changes = &row.policy;
    let mut policy = serde_json::to_value(AppraisalPolicy::built_in()).expect("a policy is JSON");
    policy["id"] = json!("row");
    let mut changed = false;
    let mut set = |place: &str, rule: Value| {
        *policy.pointer_mut(place).unwrap_or_else(|| panic!("no rule {place}")) = rule;
        changed = true;
    };
    if let Value::Array(statuses) = &changes["tdx"]["allowed_tcb_statuses"] {
        set("/tdx/tcb_status", json!({ "one-of": statuses }));
    }
    for expected in [&changes["tdx"]["expected_mrtd"], &changes["snp"]["expected_measurement"]] {
        if let Value::Array(measurements) = expected {
            set("/measurement", json!({ "one-of": measurements }));
        }
    }
    if let Some(most) = changes["snp"]["max_vmpl"].as_u64() {
        set("/sev_snp/vmpl", json!({ "one-of": (0..=most).collect::<Vec<_>>() }));
    }
    if let Value::Object(least) = &changes["snp"]["min_reported_tcb"] {
        let part = |name: &str| least.get(name).and_then(Value::as_u64).unwrap_or(0);
        for (product, fmc) in [("milan", Value::Null), ("genoa", Value::Null), ("turin", json!(part("fmc")))] {
            let tcb = json!({
                "fmc": fmc, "bootloader": part("bootloader"), "tee": part("tee"), "snp": part("snp"),
                "microcode": part("microcode")
            });
            set(&format!("/sev_snp/{product}/reported"), json!({ "at-least": tcb }));
        }
    }
    if changes["nvidia"]["require_reference_values"] == json!(false) {
        set("/nvidia/reference_values", json!({ "waived": { "reason": "the row does without" } }));
    }
    changed.then_some(policy)
}

fn appraise(kind: &str, case: &Case, row: &Appraisal, folder: &Path) -> Answer {
    let mut line = line_of(kind, case, row);
    if let Some(policy) = policy_of(row) {
        line = line.with("--policy", write(folder, "policy.json", policy.to_string()));
    }
    for expected in [&row.policy["tdx"]["expected_report_data"], &row.policy["snp"]["expected_report_data"]] {
        if let Some(hex) = expected.as_str() {
            line = line.with("--report-data", hex);
        }
    }
    let from_file = row.nonce.as_ref().map(|file| String::from_utf8(case.read(file)).expect("hex"));
    if let Some(nonce) = row.nonce_hex.clone().or(from_file) {
        line = line.with("--nonce", nonce.trim());
    }
    line.run()
}

/// The exit code that a class has (PROTOCOL §8).
fn exit_code(class: &str) -> Option<i32> {
    Some(match class {
        "accepted" => 0,
        "malformed" | "unsupported" => 3,
        "untrusted" => 4,
        "rejected" => 5,
        "unavailable" => 6,
        _ => return None,
    })
}

/// How the answer differs from what the row expects.
fn differs(kind: &str, answer: &Answer, row: &Appraisal) -> Option<String> {
    // What is not learned and what is damaged are one class to the rows.
    let class = if answer.verdict() == "unsupported" { "malformed" } else { answer.verdict() };
    // Without endorsements, all that can be said of a blob that binds its claims is that they are missing.
    let binds = row.scope.as_deref() == Some("binding") && row.expect == "accepted" && class == "unavailable";
    let unpublished = binds || row.expect == "not-appraisable" && class == "unavailable";
    let allowed = class == row.expect || row.also_acceptable.iter().any(|other| other == class) || unpublished;
    if !allowed || answer.code() != exit_code(answer.verdict()) {
        return Some(format!("{class} ({:?}), not {}", answer.code(), row.expect));
    }
    let is_accepted = class == "accepted";
    if is_accepted != answer.reasons().is_empty() {
        return Some(format!("{class} with reasons {:?}", answer.reasons()));
    }
    let status = row.status.as_deref().filter(|_| class == row.expect)?;
    let shows = match kind {
        "tdx" | "azure-hcl" => tdx_shows(answer, status, row),
        _ => shows(answer, status) && row.mismatch_indexes.as_ref().is_none_or(|indexes| differ_at(answer, indexes)),
    };
    (!shows).then(|| format!("{class}, without the detail {status:?}"))
}

/// TCB status and advisories of what is genuine; the date of what is not.
fn tdx_shows(answer: &Answer, status: &str, row: &Appraisal) -> bool {
    if status == "PckNotYetValid" {
        return answer.reasons() == ["not-yet-valid"];
    }
    let claims = &answer.object["claims"]["devices"][0]["claims"];
    let mut advisories = row.advisories.clone().unwrap_or_default();
    advisories.sort();
    claims["tcb_status"] == status && (row.advisories.is_none() || claims["advisories"] == json!(advisories))
}

/// Exactly these measurements are told as different.
fn differ_at(answer: &Answer, indexes: &[u8]) -> bool {
    let found = &answer.object["claims"]["devices"][0]["claims"]["nvidia"]["reference_values"]["differences"];
    let found = found.as_array().expect("differences").iter().map(|difference| difference["index"].as_u64());
    found.eq(indexes.iter().map(|index| Some(u64::from(*index))))
}

fn shows(answer: &Answer, status: &str) -> bool {
    let reasons = answer.reasons();
    let only = |code: &str| !reasons.is_empty() && reasons.iter().all(|reason| *reason == code);
    let snp_rule = |rule: &str| {
        let reasons = answer.object["reasons"].as_array().expect("reasons");
        only("policy-snp") && reasons[0]["message"].as_str().is_some_and(|message| message.contains(rule))
    };
    match status {
        "expired-endorsement" => only("expired"),
        "endorsement-not-yet-valid" => only("not-yet-valid"),
        "tcb-below-minimum" => snp_rule("reported TCB"),
        "vmpl" => snp_rule("VMPL"),
        "measurement-mismatch" => only("policy-measurement") || reasons.contains(&"policy-gpu-measurements"),
        "report-data-mismatch" => only("report-data-differs"),
        "rim-version-mismatch" => only("rim-version"),
        "nonce-mismatch" => reasons.contains(&"nonce-differs"),
        "no-reference-values" => only("policy-gpu-reference-values"),
        "signature" => reasons.iter().any(|code| code.ends_with("-signature")),
        rim if rim.starts_with("rim-") => reasons.iter().any(|code| code.starts_with("rim-")),
        other => panic!("a status that this test does not know: {other}"),
    }
}

#[test]
fn every_row_of_captured_evidence_gets_its_verdict_from_the_program() {
    let Some(shared) = shared() else {
        return skipped("appraisal of vectors by the program: no shared folder (set WEIGHBRIDGE_SHARED)");
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let known: Vec<&str> = kinds().collect();
    let (mut wrong, mut unknown) = (Vec::new(), BTreeMap::new());
    let mut rows = 0;
    for kind in folders(&shared.join("vectors")) {
        for case in Case::all(&kind) {
            if !known.contains(&kind.as_str()) {
                *unknown.entry(kind.clone()).or_insert(0) += case.appraisals.len();
                continue;
            }
            for row in &case.appraisals {
                rows += 1;
                let answer = appraise(&kind, &case, row, folder.path());
                let verdict = differs(&kind, &answer, row);
                let name = format!("{kind}/{} at {:?} {:?}", case.name, row.at, row.status);
                wrong.extend(verdict.map(|why| format!("{name}: {why}: {:?}", answer.object["reasons"])));
            }
        }
    }
    println!("{rows} rows; of kinds not known yet: {unknown:?}");
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= ROWS, "{rows} rows");
}

/// Names of the folders that are kinds of evidence.
fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).expect("vectors").map(|entry| entry.expect("an entry"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with(['_', '.']));
    names.sort();
    names
}
