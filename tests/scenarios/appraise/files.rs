//! Evidence as it lies on people's disks: raw, hex, base64, PEM, lists, the wrong file, no file, far too much of one.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use weighbridge_tests::vectors::Case;
use weighbridge_tests::{run, skipped};

use super::{Answer, Line, line_of, path, write};
use crate::commands::weighbridge;

/// A genuine SEV-SNP report with its certificates, at a time when all of it holds.
fn snp() -> Option<(Case, String)> {
    Some((Case::named("sev-snp", "milan-v3-ms")?, "2026-10-01T00:00:00Z".to_owned()))
}

fn snp_line(case: &Case, at: &str, evidence: &PathBuf) -> Line {
    Line::new("sev-snp").with("--evidence", evidence).with("--endorsements", &case.folder).with("--at", at)
}

/// `base64` of the test tree, in lines as tools print them.
fn base64_lines(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

#[test]
fn raw_hex_and_base64_are_the_same_evidence() {
    let Some((case, at)) = snp() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = case.read("report.bin");
    let raw = snp_line(&case, &at, &path(&case, "report.bin")).run();
    assert_eq!((raw.verdict(), raw.code()), ("accepted", Some(0)), "{}", raw.ran.stderr);
    let digest = raw.object["claims"]["devices"][0]["evidence_sha256"].clone();
    assert!(digest.is_string());
    for (name, text) in [("hex", hex::encode(&report)), ("base64", base64_lines(&report))] {
        let file = write(folder.path(), name, text);
        let answer = snp_line(&case, &at, &file).run();
        assert_eq!(answer.verdict(), "accepted", "{name}: {}", answer.ran.stderr);
        assert_eq!(answer.object["claims"]["devices"][0]["evidence_sha256"], digest, "{name}");
    }
    // A certificate in PEM stands in for one in DER.
    let pem =
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", base64_lines(&case.read("vek.der")));
    let vek = write(folder.path(), "vek.pem", pem);
    let endorsements = [vek, path(&case, "ask.der"), path(&case, "ark.der")];
    let line = Line::new("sev-snp").with("--evidence", path(&case, "report.bin")).with("--at", &at);
    assert_eq!(line.all("--endorsements", &endorsements).run().verdict(), "accepted");
}

#[test]
fn empty_cut_oversized_and_foreign_files_are_malformed_in_a_sentence() {
    let Some((case, at)) = snp() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = case.read("report.bin");
    let huge = folder.path().join("huge");
    File::create(&huge).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    let quote = Case::named("tdx", "v4-coco-debug-50806f").map(|case| case.read("quote.bin")).unwrap_or_default();
    let pem = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    for (name, bytes, code) in [
        ("empty", Vec::new(), "evidence-empty"),
        ("blank", b" \n".to_vec(), "evidence-empty"),
        ("cut", report[..report.len() - 1].to_vec(), "snp-report"),
        ("longer", [report.as_slice(), &[0]].concat(), "snp-report"),
        ("cut-hex", hex::encode(&report).into_bytes()[1..].to_vec(), "evidence-encoding"),
        ("words", b"this is no evidence.".to_vec(), "evidence-encoding"),
        ("object", b"{\"report\": \"AAAA\"}".to_vec(), "evidence-json"),
        ("certificate", pem.as_bytes().to_vec(), "evidence-certificates"),
        ("of-another-kind", quote, "snp-report"),
    ] {
        let file = write(folder.path(), name, bytes);
        let answer = snp_line(&case, &at, &file).run();
        assert_eq!((answer.code(), answer.reasons()), (Some(3), vec![code]), "{name}: {}", answer.ran.stderr);
    }
    let other =
        write(folder.path(), "of-another-kind", Case::named("tdx", "v4-coco-debug-50806f").unwrap().read("quote.bin"));
    let said = snp_line(&case, &at, &other).run().ran.stderr;
    assert!(said.contains("the bytes parse as another kind: --kind tdx"), "{said}");
    let answer = snp_line(&case, &at, &huge).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(3), vec!["file-too-large"]));
    let answer = snp_line(&case, &at, &path(&case, "report.bin")).with("--endorsements", &huge).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(3), vec!["file-too-large"]));
}

#[test]
fn what_is_asked_is_answered_or_rejected_and_silence_is_not_checked() {
    // Not every genuine report answers something.
    let Some(case) = Case::named("sev-snp", "genoa-v3-veraison-tsm") else { return };
    let at = "2026-10-01T00:00:00Z";
    let report = case.read("report.bin");
    let evidence = path(&case, "report.bin");
    let ask = |flag: &str, value: &str| snp_line(&case, at, &evidence).with(flag, value).run();
    let silent = snp_line(&case, at, &evidence).run();
    assert!(silent.checks("not-checked").contains(&"evidence-bound"));
    assert_eq!(silent.tier(), "warning");
    let right = ask("--report-data", &hex::encode(&report[0x50..0x90]));
    assert_eq!(right.code(), Some(0));
    assert!(right.checks("pass").contains(&"evidence-bound"));
    let outcome = |answer: Answer| (answer.code(), answer.reasons().join(" "), answer.tier().to_owned());
    let rejected = (Some(5), "report-data-differs".to_owned(), "contraindicated".to_owned());
    assert_eq!(outcome(ask("--report-data", &"ab".repeat(64))), rejected);
    assert_eq!(outcome(ask("--report-data", &"00".repeat(64))), rejected);
    // A question that this kind cannot answer is the person's mistake, and no acceptance.
    let wrong = ask("--nonce", &"ab".repeat(32));
    assert_eq!((wrong.code(), wrong.reasons()), (Some(2), vec!["evidence-bound"]));
    for (flag, value) in [("--report-data", "ab"), ("--report-data", ""), ("--nonce", &"ab".repeat(64))] {
        let mut command = weighbridge(&["appraise", "--kind", "sev-snp", "--evidence", "x", flag, value]);
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(2), "{flag} {value:?}: {}", ran.stderr);
    }
}

#[test]
fn zeros_in_the_evidence_bind_nothing() {
    let zeros = |case: &Case| case.read("report.bin")[0x50..0x90] == [0; 64];
    let found = Case::all("sev-snp").into_iter().find(|case| {
        case.folder.join("report.bin").is_file()
            && zeros(case)
            && case.appraisals.iter().any(|row| row.expect == "accepted")
    });
    let Some(case) = found else {
        return skipped("zeros that bind nothing: no genuine report about zeros");
    };
    let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
    let answer = line_of("sev-snp", &case, row).with("--report-data", "00".repeat(64)).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(5), vec!["report-data-differs"]));
}

#[test]
fn missing_endorsements_are_unavailable_and_others_untrusted() {
    let Some((case, at)) = snp() else { return };
    let evidence = path(&case, "report.bin");
    let bare = Line::new("sev-snp").with("--evidence", &evidence).with("--at", &at).run();
    assert_eq!((bare.code(), bare.reasons(), bare.tier()), (Some(6), vec!["vek-missing"], "none"));
    assert!(bare.object["claims"]["grade"].is_null() && bare.object["claims"]["devices"][0]["claims"].is_null());
    // A file that was named and that nobody can read is not merely missing; a folder may hold anything.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let damaged = write(folder.path(), "vek.der", &case.read("vek.der")[1..]);
    let line = || Line::new("sev-snp").with("--evidence", &evidence).with("--at", &at);
    let answer = line().with("--endorsements", &damaged).run();
    assert_eq!((answer.code(), answer.reasons()), (Some(4), vec!["vek-missing", "endorsement-unrecognised"]));
    assert_eq!(line().with("--endorsements", folder.path()).run().reasons(), ["vek-missing"]);
    let files = ["vek.der", "ask.der", "ark.der"].map(|file| path(&case, file));
    let beside = line().all("--endorsements", &files).with("--endorsements", &damaged).run();
    assert_eq!((beside.code(), beside.tier()), (Some(0), "warning"));
    assert!(beside.checks("not-checked").contains(&"endorsement-unrecognised"));
    let late = snp_line(&case, "2050-01-01T00:00:00Z", &evidence).run();
    assert_eq!(late.code(), Some(4));
    assert!(late.ran.stderr.contains("--at judges at the time"), "{}", late.ran.stderr);
    let absent = snp_line(&case, &at, &PathBuf::from("no/such")).run();
    assert_eq!((absent.code(), absent.reasons()), (Some(2), vec!["file-unreadable"]));
}

#[test]
fn it_judges_without_any_network() {
    let Some((case, at)) = snp() else { return };
    let alone = ["unshare", "-rn", "true"];
    if !Command::new(alone[0]).args(&alone[1..]).output().is_ok_and(|out| out.status.success()) {
        return skipped("appraise without a network: unshare -rn is not allowed here");
    }
    let mut command = Command::new("unshare");
    command.arg("-rn").arg(weighbridge(&[]).get_program()).args(["appraise", "--kind", "sev-snp", "--at", &at]);
    command.arg("--evidence").arg(path(&case, "report.bin")).arg("--endorsements").arg(&case.folder);
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.ends_with("accepted (exit code 0)\n"), "{}", ran.stdout);
}

#[test]
fn an_answer_is_explained() {
    let Some((case, at)) = snp() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answer = snp_line(&case, &at, &path(&case, "report.bin")).run();
    let file = write(folder.path(), "answer.json", answer.ran.stdout);
    let told = run(weighbridge(&["explain"]).arg(&file));
    // It is told and not verified.
    assert_eq!(told.code, Some(4), "{}", told.stderr);
    for part in
        ["The answer was: accepted", "What was not checked", "snp-crl", "nobody looked whether AMD took a key back"]
    {
        assert!(told.stdout.replace("\n      ", " ").contains(part), "{part}: {}", told.stdout);
    }
}

/// Hostile names in an answer must not repaint a terminal.
#[test]
fn names_of_files_are_made_visible() {
    let Some((case, at)) = snp() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(folder.path(), "a\u{1b}[2Jaccepted", case.read("report.bin"));
    let mut command = weighbridge(&["appraise", "--kind", "sev-snp", "--at", &at, "--evidence"]);
    let ran = run(command.arg(&file).arg("--endorsements").arg(&case.folder));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.contains("\\u{1b}[2J"), "{}", ran.stdout);
}
