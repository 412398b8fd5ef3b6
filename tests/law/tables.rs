//! **Duty.** The tables are complete: each scheme and each circuit has its folder, its line and its one constructor, and
//! the threat model names only what exists. **Knows** the layout of `attest/src/schemes` and `circuits/src`.
//! **Does not know** what a scheme or a circuit means. **Spec.** HOUSE §3 (one constructor), §4 (one folder, one line).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use weighbridge_tests::parsers::PARSERS;

use crate::tree::{self, TextFile};

const FUZZ: &str = "tests/fuzz";
const SCHEMES: &str = "attest/src/schemes";
const CIRCUITS: &str = "circuits/src";
/// Calls that mint a checked value.
const MINTS: [&str; 2] = ["Verified::assertion(", "BoundSet::assertion("];
/// The one room that joins a set.
const SET: &str = "attest/src/set/";

#[test]
fn every_scheme_has_one_line_and_mints_in_one_place() {
    let table = tree::file("attest/src/schemes.rs");
    let folders = folders_below(SCHEMES);
    let mut breaches = Vec::new();
    for folder in &folders {
        if !table.lines().any(|(_, line)| line == format!("mod {folder};")) {
            breaches.push(format!("attest/src/schemes.rs: no `mod {folder};` for {SCHEMES}/{folder}"));
        }
    }
    let entries = table.text.matches("entry::<").count();
    // One mention is the helper's own definition.
    if entries != folders.len() && entries != folders.len() + 1 {
        breaches.push(format!("attest/src/schemes.rs: {entries} entries for {} folders", folders.len()));
    }
    let minted = mints(&tree::production());
    for folder in &folders {
        let calls = minted.get(&format!("{SCHEMES}/{folder}/")).copied().unwrap_or(0);
        if calls != 1 {
            breaches
                .push(format!("{SCHEMES}/{folder}: {calls} calls of `Verified::assertion`; there is one last check"));
        }
    }
    let places = minted.keys().filter(|place| !place.starts_with(SCHEMES) && *place != SET);
    breaches.extend(places.map(|place| format!("{place}: mints a checked value outside of a scheme")));
    tree::hold("a scheme is one folder, one line, one constructor", &breaches);
}

#[test]
fn every_circuit_has_three_rooms_a_line_and_a_pinned_description() {
    let catalog = tree::file("circuits/src/catalog.rs");
    let listed: BTreeSet<&str> = catalog.lines().filter_map(|(_, line)| quoted(line.trim(), "entry!(")).collect();
    let sources: Vec<TextFile> =
        tree::production().into_iter().filter(|file| file.is_below(&["circuits/src/"])).collect();
    let mut breaches = Vec::new();
    // A circuit is where a statement becomes constraints; a room may hold several: wrap and fold are one room.
    let circuits =
        || sources.iter().filter(|file| file.text.contains("Statement for ") && file.text.contains("fn build("));
    for file in circuits() {
        let folder = file.path.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
        let own = file.path.trim_end_matches(".rs");
        let is_there = |room: String| tree::root().join(room).is_file();
        let is_room = folder == CIRCUITS || is_there(format!("{folder}/statement.rs"));
        let is_tested = is_there(format!("{folder}/tests.rs")) || is_there(format!("{own}/tests.rs"));
        if !is_room || !is_tested {
            breaches.push(format!("{}: a circuit needs statement.rs and tests.rs beside it", file.path));
        }
    }
    // A name is a constant, or the answer of `const fn id` for a size; a size that only tests build ends in `_ =>`.
    let named = circuits().chain(sources.iter().filter(|file| file.path.ends_with("/statement.rs")));
    let lines = || named.clone().flat_map(|file| file.lines().map(|(_, line)| line.trim()));
    let names = lines().filter_map(|line| quoted(line, "const ID: CircuitId = ").or_else(|| size_name(line)));
    let names: BTreeSet<&str> = names.collect();
    let differing = names.symmetric_difference(&listed);
    breaches.extend(differing.map(|name| format!("circuits/src/catalog.rs: `{name}` is no circuit, or has no line")));
    for name in &listed {
        let pinned = tree::root().join(format!("circuits/fixtures/{name}.description"));
        if !pinned.is_file() {
            breaches.push(format!("circuits/fixtures/{name}.description: missing"));
        }
    }
    tree::hold("a circuit is three rooms, one line, one pinned text", &breaches);
}

/// `WORD"name"…`: the name.
fn quoted<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word)?.strip_prefix('"')?.split('"').next()
}

/// `(LONG_SEGMENTS, …) => "name",` or `GEMM_LONG => "name",`: the name.
fn size_name(line: &str) -> Option<&str> {
    let (sizes, name) = line.split_once(" => ")?;
    quoted(name, "").filter(|_| sizes.contains("SEGMENT_INTERVALS") || sizes.starts_with("GEMM_"))
}

#[test]
fn every_parser_has_a_fuzz_target_and_every_target_a_parser() {
    let parsers: BTreeSet<&str> = PARSERS.iter().map(|parser| parser.name).collect();
    let manifest = tree::file(&format!("{FUZZ}/Cargo.toml")).text;
    let files = fs::read_dir(tree::root().join(FUZZ).join("targets")).expect("readable folder");
    let files = files.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
    let targets: BTreeSet<String> = files.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect();
    let mut breaches = Vec::new();
    for name in parsers.iter().filter(|name| !targets.contains(**name)) {
        breaches.push(format!("{FUZZ}/targets/{name}.rs: missing, and tests/src/parsers.rs has the row"));
    }
    for name in &targets {
        let text = tree::file(&format!("{FUZZ}/targets/{name}.rs")).text;
        if !parsers.contains(name.as_str()) || !text.contains(&format!("parser(\"{name}\")")) {
            breaches.push(format!("{FUZZ}/targets/{name}.rs: must feed row `{name}` of tests/src/parsers.rs"));
        }
        if !manifest.contains(&format!("name = \"{name}\"\npath = \"targets/{name}.rs\"\n")) {
            breaches.push(format!("{FUZZ}/Cargo.toml: no [[bin]] for {name}"));
        }
    }
    let bins = manifest.matches("[[bin]]").count();
    if bins != targets.len() {
        breaches.push(format!("{FUZZ}/Cargo.toml: {bins} [[bin]] for {} targets", targets.len()));
    }
    tree::hold("one parser, one row, one fuzz target", &breaches);
}

/// Rooms whose every refusal is named by a test: CPU evidence and what it shares.
const REFUSING: [&str; 7] = [
    "attest/src/schemes/azure_hcl",
    "attest/src/schemes/sev_snp",
    "attest/src/schemes/tdx",
    "attest/src/event_log",
    "attest/src/endorsements.rs",
    "attest/src/x509.rs",
    "attest/src/pem.rs",
];

#[test]
fn every_refusal_of_cpu_evidence_has_a_case() {
    let production: Vec<TextFile> = tree::production();
    let refusing = |file: &&TextFile| REFUSING.iter().any(|room| file.path.starts_with(room));
    let codes: BTreeMap<String, &str> = production
        .iter()
        .filter(refusing)
        .flat_map(|file| codes_of(file).into_iter().map(|code| (code, file.path.as_str())))
        .collect();
    let mut cases = String::new();
    for file in tree::files(&[".rs"]) {
        if file.is_below(&["tests/scenarios/"]) || !production.iter().any(|other| other.path == file.path) {
            cases.push_str(&file.text);
        } else if let Some((_, tests)) = file.text.split_once("#[cfg(test)]\nmod tests {") {
            cases.push_str(tests);
        }
    }
    let missing = codes.iter().filter(|(code, _)| !cases.contains(&format!("\"{code}\"")));
    let breaches: Vec<String> =
        missing.map(|(code, path)| format!("{path}: no test names the refusal `{code}`")).collect();
    assert!(codes.len() > 50, "only {} codes were found", codes.len());
    tree::hold("every refusal of CPU evidence has a rejected case", &breaches);
}

/// Kebab-case literals that stand where a failure is made, or that are a room's code.
fn codes_of(file: &TextFile) -> Vec<String> {
    let code: String = file.code_lines().map(|(_, line)| line.trim()).collect();
    let starts = ["Failure::new(\"", "CODE: &str = \"", "unavailable(\"", "malformed(\"", "UNREADABLE: &str = \""];
    let is_code =
        |text: &&str| text.contains('-') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let found = starts.iter().flat_map(|start| code.split(start).skip(1).filter_map(|rest| rest.split('"').next()));
    found.filter(is_code).map(str::to_owned).collect()
}

#[test]
fn every_name_in_the_tables_of_the_documents_exists() {
    let sources: Vec<TextFile> = tree::files(&[".rs", ".toml", ".json", ".service"]);
    let last = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
    let stands = |word: &str| sources.iter().any(|file| file.text.contains(word));
    let exists = |name: &str| stands(&last(name)) || tree::root().join(name).exists();
    let mut breaches = Vec::new();
    for path in ["THREAT_MODEL.md", "docs/CHECKS.md", "docs/CONSTRAINTS.md"] {
        let document = tree::file(path);
        for (number, line) in document.lines().filter(|(_, line)| line.starts_with('|')) {
            let missing = names(line).filter(|name| !exists(name));
            breaches.extend(missing.map(|name| format!("{path}:{number}: `{name}` is nowhere in the source")));
        }
    }
    tree::hold("tables name only types, codes and tests that exist", &breaches);
}

#[test]
fn every_check_is_explained_and_every_explanation_is_of_a_check() {
    let document = tree::file("docs/CHECKS.md");
    let rows = document.lines().filter_map(|(_, line)| line.strip_prefix("| `")?.split_once("` |"));
    let listed: BTreeSet<&str> = rows.map(|(code, _)| code).collect();
    let [checks, ..] = weighbridge_verifier::EXPLANATIONS;
    let explained: BTreeSet<&str> = checks.iter().map(|row| row.code).collect();
    let table = "verifier/src/explain/checks.rs";
    let mut breaches: Vec<String> = Vec::new();
    breaches.extend(listed.difference(&explained).map(|code| format!("{table}: no row explains `{code}`")));
    breaches.extend(explained.difference(&listed).map(|code| format!("docs/CHECKS.md: no row lists `{code}`")));
    tree::hold("docs/CHECKS.md and `weighbridge explain` know the same checks", &breaches);
}

#[test]
fn every_code_of_the_daemon_is_explained_and_no_other() {
    let sources = tree::production();
    let given: BTreeSet<&str> =
        sources.iter().filter(|file| file.path.starts_with("daemon/")).flat_map(|file| codes(&file.text)).collect();
    let [_, errors, daemon, ..] = weighbridge_verifier::EXPLANATIONS;
    let explained: BTreeSet<&str> = daemon.iter().map(|row| row.code).collect();
    // What a node and a desk can both run into is explained once.
    let shared: BTreeSet<&str> = errors.iter().map(|row| row.code).collect();
    let table = "verifier/src/explain/daemon.rs";
    let mut breaches: Vec<String> = Vec::new();
    let missing = given.difference(&explained).filter(|code| !shared.contains(**code));
    breaches.extend(missing.map(|code| format!("{table}: no row explains `{code}`")));
    breaches.extend(explained.difference(&given).map(|code| format!("{table}: nothing prints `{code}`")));
    tree::hold("`weighbridge explain` knows every code of the daemon", &breaches);
}

#[test]
fn every_event_of_the_nodes_log_is_in_its_table_and_no_other() {
    let sources = tree::production();
    let daemon = sources.iter().filter(|file| file.path.starts_with("daemon/src/"));
    let given: BTreeSet<String> =
        daemon.flat_map(|file| file.code_lines().flat_map(|(_, line)| events(line))).collect();
    let document = tree::file("docs/node-service.md");
    let (_, table) = document.text.split_once("| event |").expect("a table of events");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let listed: BTreeSet<String> = rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect();
    let breaches: Vec<String> = given
        .symmetric_difference(&listed)
        .map(|event| format!("docs/node-service.md: `{event}` on one side only"))
        .collect();
    assert!(given.len() > 8, "{given:?}");
    tree::hold("every event of the node's log is in its table", &breaches);
}

/// `event = "name"` and `let event = "name"` and `let (event, …) = ("name", …`.
fn events(line: &str) -> Vec<String> {
    let (after, starts) = match line.split_once("event = \"") {
        Some((_, rest)) => (rest, true),
        None => line
            .split_once("(event, ")
            .and_then(|(_, rest)| rest.split_once("(\""))
            .map_or(("", false), |(_, rest)| (rest, true)),
    };
    after.split('"').next().filter(|_| starts).map(str::to_owned).into_iter().collect()
}

/// Files of `attest` whose kebab-case words are no codes of evidence: names in anchor files.
const OTHER_WORDS: [&str; 2] = ["attest/src/anchors.rs", "attest/src/anchors/"];
/// Codes of one word.
const ONE_WORD: [&str; 3] = ["expired", "pem", "revoked"];

#[test]
fn every_code_of_evidence_is_explained_and_no_other() {
    let sources = tree::production();
    let mut given: BTreeSet<&str> = BTreeSet::from(ONE_WORD);
    for file in &sources {
        let is_scheme = file.is_below(&["attest/src/"]) && !file.is_below(&OTHER_WORDS);
        let is_appraisal = file.is_below(&["verifier/appraisal/src/appraise/", "verifier/appraisal/src/appraise.rs"]);
        let lines = file.code_lines().map(|(_, line)| line);
        match (is_scheme, is_appraisal) {
            (true, _) => given.extend(lines.flat_map(kebab_words)),
            (_, true) => given.extend(findings(&file.text)),
            _ => {}
        }
    }
    let [.., evidence, nvidia] = weighbridge_verifier::EXPLANATIONS;
    let all: BTreeSet<&str> = weighbridge_verifier::EXPLANATIONS.into_iter().flatten().map(|row| row.code).collect();
    let table = "verifier/src/explain/{evidence,nvidia}.rs";
    let mut breaches: Vec<String> = Vec::new();
    breaches.extend(given.difference(&all).map(|code| format!("{table}: no row explains `{code}`")));
    let stray = evidence.iter().chain(nvidia).filter(|row| !given.contains(row.code));
    breaches.extend(stray.map(|row| format!("{table}: nothing prints `{}`", row.code)));
    tree::hold("`weighbridge explain` knows every code of evidence", &breaches);
}

/// Literals of two or more lower-case words with hyphens between them.
fn kebab_words(line: &str) -> impl Iterator<Item = &str> {
    let is_code = |word: &&str| {
        let mut parts = word.split('-');
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        word.contains('-') && parts.all(plain) && !["kebab-case", "vm-configuration"].contains(word)
    };
    line.split('"').skip(1).step_by(2).filter(is_code)
}

/// First arguments of the findings that a file makes.
fn findings(source: &str) -> Vec<&str> {
    let made = ["DeviceFinding::pass(", "DeviceFinding::fail(", "DeviceFinding::not_checked("];
    let after = made.into_iter().flat_map(|call| source.split(call).skip(1));
    after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

#[test]
fn codes_of_evidence_are_found_in_literals_and_findings() {
    assert_eq!(kebab_words(r#"x("a-b", "a b-c", "A-b", "kebab-case", "c-d2")"#).collect::<Vec<_>>(), ["a-b", "c-d2"]);
    assert_eq!(findings("DeviceFinding::fail(\n  \"a-b\", x); DeviceFinding::pass(ruling.code, y)"), ["a-b"]);
}

/// Codes that a file gives: the answers of its `code` functions, and those of problems that it makes itself.
fn codes(source: &str) -> Vec<&str> {
    let functions = source.split("fn code(&self)").skip(1).filter_map(|rest| rest.split("\n    }\n").next());
    let answers = functions.flat_map(|body| body.split("=> \"").skip(1));
    let made =
        source.split("Problem::new(Culprit::").skip(1).filter_map(|rest| rest.split_once(", \"").map(|(_, rest)| rest));
    answers.chain(made).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn codes_are_found_in_functions_and_in_problems() {
    let source = "fn code(&self) -> &str {\n  match self {\n  A => \"a-b\",\n    }\n    }\nProblem::new(Culprit::Usage, \"c-d\", x)";
    assert_eq!(codes(source), ["a-b", "c-d"]);
}

/// Names of the folders directly below a path.
fn folders_below(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(tree::root().join(path)).expect("readable folder").map(|entry| entry.expect("entry"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Minting calls by folder, tests left out.
fn mints(files: &[TextFile]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("attest/")) {
        let place = match file.path.strip_prefix("attest/src/schemes/").and_then(|rest| rest.split_once('/')) {
            Some((scheme, _)) => format!("{SCHEMES}/{scheme}/"),
            None => format!("{}/", file.path.trim_end_matches(".rs")),
        };
        let calls = file.code_lines().filter(|(_, line)| MINTS.iter().any(|call| line.contains(call))).count();
        if calls > 0 {
            *found.entry(place).or_default() += calls;
        }
    }
    found
}

/// Words in backticks that look like one name: no spaces. Members of a bundle are data, not source.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let is_member = |name: &str| ["node/", "evidence/", "time/", "proof/"].iter().any(|start| name.starts_with(start));
    line.split('`').skip(1).step_by(2).filter(move |name| !name.is_empty() && !name.contains(' ') && !is_member(name))
}

#[test]
fn a_minting_call_in_the_wrong_place_is_found() {
    let file = |path: &str| TextFile { path: path.to_owned(), text: "let x = Verified::assertion(y);\n".to_owned() };
    let found = mints(&[file("attest/src/schemes/tdx/verify.rs"), file("attest/src/x509.rs"), file("daemon/src/x.rs")]);
    let places: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(places, ["attest/src/schemes/tdx/", "attest/src/x509/"]);
    assert_eq!(names("| a `b-c` and `d e` | `f` | `node/N/x` |").collect::<Vec<_>>(), ["b-c", "f"]);
}
