//! What a user meets who mistypes, or asks: errors that say what, to what, and what to do; help, pages, completions.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use weighbridge_tests::{Ran, program, run, skipped};

use crate::commands::desk;

/// Provoked once each: (command line, exit code, the message as it stands on standard error, to its last letter).
/// `BUNDLE`, `EXPORT`, `ROOTS`, `TEXT`, `EMPTY` and `FOLDER` stand for paths.
const PROVOKED: &[(&str, i32, &str)] = &[
    (
        "verify no/such",
        2,
        "error: cannot read no/such: No such file or directory (os error 2)\n  check the path, and that this account may read it\n",
    ),
    (
        "verify FOLDER",
        2,
        "error: cannot read FOLDER: Is a directory (os error 21)\n  this is a folder; name a file in it\n",
    ),
    (
        "verify BUNDLE --trust-roots no/such",
        2,
        "error: cannot read no/such: No such file or directory (os error 2)\n  check the path, and that this account may read it\n",
    ),
    (
        "verify BUNDLE --trust-roots TEXT",
        2,
        "error: TEXT is not a folder\n  name the folder that holds the *.anchor.json files\n",
    ),
    (
        "verify BUNDLE --trust-roots FOLDER",
        2,
        "error: FOLDER holds no file whose name ends in .anchor.json\n  name a folder with anchor files, or leave --trust-roots out\n",
    ),
    (
        "inspect EMPTY",
        3,
        "error: EMPTY does not parse: this is not a Weighbridge bundle (magic bytes differ)\n  check that this is the file you meant\n",
    ),
    (
        "report BUNDLE --trust-roots ROOTS --profile demo --out no/such/page",
        2,
        "error: cannot write no/such/page: No such file or directory (os error 2)\n  check that the folder exists, is writable and has room\n",
    ),
    (
        "explain no-such-code",
        2,
        "error: `no-such-code` is neither a file nor a code that weighbridge prints\n  check the path, or list all codes: weighbridge explain codes\n",
    ),
    (
        "explain TEXT",
        3,
        "error: TEXT is neither a bundle, nor a report, nor a JSON answer of verify or appraise\n  give a bundle, its report.json, or what verify or appraise printed as JSON\n",
    ),
    (
        "explain EMPTY",
        3,
        "error: EMPTY is neither a bundle, nor a report, nor a JSON answer of verify or appraise\n  give a bundle, its report.json, or what verify or appraise printed as JSON\n",
    ),
    (
        "statement verify TEXT --key TEXT",
        2,
        "error: TEXT: this is not one PEM block `PUBLIC KEY`\n  make a key with `weighbridge statement keygen`, or turn yours into PKCS #8: openssl pkcs8 -topk8 -nocrypt\n",
    ),
];

/// Provoked once each: (command line, exit code, what the message must say).
const SAID: &[(&str, i32, &str)] = &[
    ("verify", 2, "required arguments were not provided"),
    ("verify BUNDLE stray", 2, "unexpected argument 'stray'"),
    ("verify BUNDLE --frobnicate", 2, "unexpected argument '--frobnicate'"),
    (
        "verify BUNDLE --at yesterday",
        2,
        "`yesterday` is not a time; write it as RFC 3339, such as 2026-03-01T12:00:00Z",
    ),
    ("verify BUNDLE --format yaml", 2, "[possible values: text, json]"),
    ("report BUNDLE --profile eu", 2, "there is no threshold profile `eu`\n  use one of: eu-ai-act-51-2"),
    ("report BUNDLE", 2, "--profile <PROFILE|FILE>"),
    ("report EXPORT --profile demo", 3, "container: "),
    ("commit EMPTY", 3, "EMPTY"),
    ("bundle assemble no/such --out FOLDER/x", 2, "cannot read no/such"),
    ("meter plan EXPORT --witness FOLDER", 2, "one export per node of the run"),
    ("meter prove EXPORT --witness FOLDER --out FOLDER/x --memory 3KB", 2, "`3KB` is no size; write for example 4GiB"),
    ("meter check TEXT EXPORT", 3, "TEXT"),
    ("frobnicate", 2, "unrecognized subcommand 'frobnicate'"),
    ("statement sign BUNDLE --key no/such --out FOLDER/x", 2, "cannot read no/such"),
];

fn asked(folder: &Path, line: &str) -> (Ran, impl Fn(&str) -> String) {
    let desk = desk();
    let inside = folder.join("folder");
    let (text, empty) = (folder.join("text"), folder.join("empty"));
    std::fs::create_dir_all(&inside).expect("a folder");
    std::fs::write(&text, "no bundle").expect("writes");
    std::fs::write(&empty, "").expect("writes");
    let names = [
        ("BUNDLE", desk.bundle.clone()),
        ("EXPORT", desk.exports[0].clone()),
        ("ROOTS", desk.roots.clone()),
        ("TEXT", text),
        ("EMPTY", empty),
        ("FOLDER", inside),
    ];
    let filled = move |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, path)| text.replace(name, &path.display().to_string()))
    };
    let words = filled(line);
    (run(Command::new(&desk.weighbridge).args(words.split(' '))), filled)
}

#[test]
fn every_provoked_error_says_what_to_what_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (line, code, expected) in PROVOKED {
        let (ran, filled) = asked(folder.path(), line);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(*code), filled(expected).as_str()), "weighbridge {line}");
        assert_eq!(ran.stdout, "", "weighbridge {line}");
    }
    for (line, code, expected) in SAID {
        let (ran, filled) = asked(folder.path(), line);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(*code), "weighbridge {line}: {said}");
        assert!(said.contains(&filled(expected)), "weighbridge {line}: {said}");
    }
}

#[test]
fn errors_are_one_json_object_for_every_command_that_speaks_json() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for line in [
        "verify no/such",
        "report no/such --profile demo",
        "commit no/such",
        "audit plan --policy no/such",
        "bundle assemble no/such --out FOLDER/x",
        "meter plan no/such --witness no/such",
        "meter prove no/such --witness no/such --out FOLDER/x",
        "meter check no/such no/such",
        "explain no/such",
        "statement sign no/such --key no/such --out FOLDER/x",
        "statement verify no/such --key no/such",
        "statement keygen --out no/such/x --public no/such/y",
        "frobnicate",
    ] {
        let (ran, _) = asked(folder.path(), &format!("{line} --format json"));
        assert_eq!(ran.code, Some(2), "{line}: {}", ran.stderr);
        let object: serde_json::Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(object["verdict"], "usage", "{line}");
        assert!(object["reasons"][0]["code"].is_string() && object["claims"].is_object(), "{line}: {object}");
    }
}

#[test]
fn a_full_disk_is_no_acceptance() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut command = desk().command(&["verify"]);
    let out = command.arg(&desk().bundle).arg("--trust-roots").arg(&desk().roots).stdout(full).output().expect("runs");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(6), "{said}");
    assert_eq!(said, "error: cannot write to standard output: No space left on device (os error 28)\n");
}

/// An edited report and an edited answer say what their editor likes: no word of the machine's own repeats it.
#[test]
fn what_is_retold_is_never_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut report = desk().command(&["report", "--profile", "demo", "--format", "json"]);
    let report = run(report.arg(&desk().bundle).arg("--trust-roots").arg(&desk().roots)).stdout;
    let forged = report.replace("\"simulated\"", "\"attested\"");
    assert_ne!(forged, report);
    let answer = r#"{"verdict": "accepted", "reasons": [], "claims": {}}"#;
    for (name, text) in [("report.json", forged.as_str()), ("answer.json", answer)] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("writes");
        let ran = run(desk().command(&["explain", "--format", "json"]).arg(&file));
        assert_eq!(ran.code, Some(4), "{name}: {}", ran.stderr);
        let said: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
        assert_eq!((&said["verdict"], &said["reasons"][0]["code"]), (&"untrusted".into(), &"nothing-verified".into()));
        assert_eq!(said["claims"], serde_json::json!({ "verified": false }), "{name}");
    }
}

#[test]
fn a_bundle_an_answer_and_a_code_are_explained() {
    let explain = |more: &[&Path]| run(desk().command(&["explain"]).args(more));
    let roots = [desk().bundle.as_path(), Path::new("--trust-roots"), &desk().roots];
    let ran = explain(&roots);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in ["SIMULATED", "What the verdict rests on", "What was not looked at", "What is not proven"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let refused = explain(&roots[..1]);
    assert_eq!(refused.code, Some(4));
    for part in ["is not accepted: untrusted (exit code 4)", "What failed", "evidence-genuine", "--trust-roots DIR"] {
        assert!(refused.stdout.contains(part), "{part}: {}", refused.stdout);
    }
    let answer = run(desk().command(&["verify", "--format", "json"]).arg(&desk().bundle));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("answer.json");
    std::fs::write(&file, answer.stdout).expect("writes");
    let retold = explain(&[&file]);
    assert_eq!(retold.code, Some(4), "{}", retold.stderr);
    assert!(retold.stdout.starts_with("Nothing was verified"), "{}", retold.stdout);
    assert!(retold.stdout.contains("The answer was: untrusted"), "{}", retold.stdout);
    let code = explain(&[Path::new("ledger-chain")]);
    let expected = "ledger-chain\n\
                    looks at    A node’s log: every entry, its order, its clocks and its signature.\n\
                    a failure   An entry was dropped, moved, changed or invented after the fact.\n\
                    who acts    The provider of the run.\n\
                    what to do  Do not rely on the bundle; ask the provider for evidence that holds.\n";
    assert_eq!((code.code, code.stdout.as_str()), (Some(0), expected));
}

#[test]
fn every_command_has_a_page_an_example_and_its_exit_codes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ran = run(desk().command(&["man", "--out"]).arg(folder.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let lint = Command::new("mandoc").arg("-V").output().is_ok();
    for line in [
        "",
        "verify",
        "appraise",
        "policy",
        "policy show",
        "policy check",
        "policy test",
        "endorsements",
        "endorsements status",
        "endorsements export",
        "endorsements import",
        "report",
        "bundle",
        "bundle assemble",
        "meter",
        "meter plan",
        "meter prove",
        "meter check",
        "commit",
        "audit",
        "audit plan",
        "audit draw",
        "audit trial",
        "inspect",
        "explain",
        "statement",
        "statement keygen",
        "statement sign",
        "statement verify",
        "completions",
        "man",
    ] {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let name = std::iter::once("weighbridge").chain(words.iter().copied()).collect::<Vec<_>>().join("-");
        let page = folder.path().join(format!("{name}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}.1: {error}"));
        assert!(text.contains(".SH SYNOPSIS") && text.contains("Exit codes"), "{name}.1: {text}");
        let help = run(desk().command(&words).arg("--help")).stdout;
        assert!(help.contains("Exit codes: 0 accepted"), "{name} --help: {help}");
        let leaf = !["", "audit", "bundle", "endorsements", "meter", "policy", "statement"].contains(&line);
        assert!(!leaf || help.contains("Example"), "{name} --help has no example: {help}");
        if lint {
            let shown = run(Command::new("mandoc").args(["-T", "utf8", "-W", "error"]).arg(&page));
            assert_eq!(shown.code, Some(0), "{name}.1: {}", shown.stderr);
        }
    }
    if !lint {
        skipped("pages as mandoc shows them: no mandoc");
    }
}

#[test]
fn both_programs_complete_in_bash_and_have_pages() {
    for name in ["weighbridge", "weighbridged", "weighbridge-fetch"] {
        let path = program(name);
        let script = run(Command::new(&path).args(["completions", "bash"]));
        assert_eq!(script.code, Some(0), "{}", script.stderr);
        assert!(script.stdout.contains(&format!("_{}()", name.replace('-', "__"))), "{}", script.stdout);
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash starts");
        bash.stdin.take().expect("a pipe").write_all(script.stdout.as_bytes()).expect("writes");
        assert!(bash.wait().expect("ends").success(), "bash -n refuses the completions of {name}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ran = run(Command::new(program("weighbridged")).args(["man", "--out"]).arg(folder.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for page in ["weighbridged", "weighbridged-run", "weighbridged-doctor", "weighbridged-config-check"] {
        assert!(folder.path().join(format!("{page}.1")).is_file(), "{page}.1");
    }
}
