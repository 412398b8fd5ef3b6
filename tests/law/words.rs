//! **Duty.** Words that must not stand in the tree, and words that may stand only in one room. **Knows** text.
//! **Does not know** grammar: comments and the tests at the end of a file are left out where a rule is about code.
//! **Spec.** HOUSE §2 (walls), §6 (names), §7 rule 6; PROTOCOL §6 ("no verifier code asks").

use crate::tree::{self, TextFile};

/// This file has to spell what it forbids.
const THIS_FILE: &str = "tests/law/words.rs";

/// (word, remedy), anywhere in the tree.
const BANNED: [(&str, &str); 7] = [
    ("todo!(", "write it, or answer Unavailable with a reason"),
    ("unimplemented!(", "write it, or answer Unavailable with a reason"),
    ("FIXME", "fix it, or say it in LIMITATIONS.md"),
    ("TODO", "do it, or say it in LIMITATIONS.md"),
    ("dbg!(", "remove it, or trace it"),
    ("```ignore", "an example compiles or it goes"),
    ("/home/", "no path of somebody's machine"),
];

/// (word in code, where it may stand, why). The test tree is free.
const WALLS: [(&str, &[&str], &str); 9] = [
    (
        "plonky2::",
        &["circuits/src/", "circuits/commitments/src/poseidon.rs"],
        "the proof system lives behind the circuits wall (docs/decisions/0001)",
    ),
    ("tdx_quote::", &["attest/src/schemes/tdx/"], "the AGPL parser is confined to one room (LICENSING.md)"),
    ("dcap_qvl::", &["attest/src/schemes/tdx/"], "what it calls verified anyone can make: it never leaves its room"),
    (
        "sev::",
        &["attest/src/schemes/sev_snp/", "attest/collect/src/"],
        "what it calls verified has no date and no anchor",
    ),
    ("bergshamra_", &["attest/src/nvidia/canonical.rs"], "only its canonical form is used (docs/decisions/0030)"),
    ("uppsala::", &["attest/src/nvidia/canonical.rs"], "what it reads is not what was signed"),
    ("nvml_wrapper::", &["attest/collect/src/"], "only the Attester's hands touch drivers"),
    ("libc::", &["attest/collect/src/"], "only the Attester's hands call the C library"),
    ("unsafe {", &["attest/collect/src/"], "only the Attester's hands may be unsafe"),
];

/// Rooms that are handed their bytes, their time and their anchors.
const PURE_ROOMS: [&str; 7] = [
    "attest/src/",
    "attest/types/src/",
    "attest/ledger/src/",
    "circuits/src/",
    "circuits/audit/src/",
    "verifier/appraisal/src/",
    "daemon/api/src/",
];
const IMPURE: [&str; 8] =
    ["std::fs", "std::net", "std::env", "std::process", "std::thread::sleep", "SystemTime", "Instant::now", "tokio"];

/// Rooms that judge or gather evidence: they do not know the word. Here a fake is a different root, never a different
/// path.
const DEAF_ROOMS: [&str; 5] = ["attest/src/", "attest/collect/src/", "attest/ledger/src/", "circuits/", "daemon/"];
/// The one file there that must know it: a file can lend no other grade.
const GATE: &str = "attest/src/anchors.rs";
const SIMULATION_WORDS: [&str; 3] = ["simulat", "mock", "fake"];
/// Everywhere else nothing may depend on it, but for what is shown to a person.
const SIMULATION_BRANCHES: [&str; 6] = [
    "== Grade::Simulated",
    "!= Grade::Simulated",
    "Grade::Simulated =>",
    "if simulated",
    "is_simulated",
    "feature = \"sim",
];
const SHOWN: [(&str, &str); 2] = [
    ("verifier/src/html/", "marks the page and its lines"),
    ("verifier/appraisal/src/report/", "prints the word before everything else"),
];

const TEXT: [&str; 10] = [".rs", ".md", ".toml", ".py", ".service", ".socket", ".html", ".conf", "justfile", ".ci/run"];

#[test]
fn no_banned_word_stands_in_the_tree() {
    let texts = tree::files(&TEXT);
    let breaches: Vec<String> = texts.iter().filter(|file| file.path != THIS_FILE).flat_map(banned).collect();
    tree::hold("some words do not stand in the tree", &breaches);
}

#[test]
fn walled_crates_are_named_only_in_their_room() {
    let breaches: Vec<String> = tree::production().iter().flat_map(through_a_wall).collect();
    tree::hold("walled crates are named only in their room", &breaches);
}

#[test]
fn pure_rooms_touch_no_file_clock_network_or_environment() {
    let breaches: Vec<String> = tree::production().iter().flat_map(impure).collect();
    tree::hold("pure rooms are handed bytes, time and anchors", &breaches);
}

#[test]
fn no_production_code_asks_whether_something_is_simulated() {
    let breaches: Vec<String> = tree::production().iter().flat_map(simulating).collect();
    tree::hold("no production code asks whether something is simulated", &breaches);
}

fn banned(file: &TextFile) -> Vec<String> {
    let words = |line: &str| BANNED.iter().filter(|(word, _)| line.contains(word)).collect::<Vec<_>>();
    let found = file.lines().flat_map(|(number, line)| words(line).into_iter().map(move |row| (number, row)));
    found.map(|(number, (word, remedy))| format!("{}:{number}: `{word}`: {remedy}", file.path)).collect()
}

fn through_a_wall(file: &TextFile) -> Vec<String> {
    let mut breaches = Vec::new();
    for (number, line) in file.code_lines() {
        let broken = WALLS.iter().filter(|(word, rooms, _)| line.contains(word) && !file.is_below(rooms));
        breaches.extend(broken.map(|(word, _, why)| format!("{}:{number}: `{word}`: {why}", file.path)));
    }
    breaches
}

fn impure(file: &TextFile) -> Vec<String> {
    let mut breaches = Vec::new();
    for (number, line) in file.code_lines().filter(|_| file.is_below(&PURE_ROOMS)) {
        let touched = IMPURE.iter().filter(|word| line.contains(**word));
        breaches.extend(touched.map(|word| format!("{}:{number}: `{word}`: take it as an argument", file.path)));
    }
    breaches
}

fn simulating(file: &TextFile) -> Vec<String> {
    let is_deaf = file.is_below(&DEAF_ROOMS) && file.path != GATE;
    let is_shown = SHOWN.iter().any(|(place, _)| file.is_below(&[*place]));
    let mut breaches = Vec::new();
    for (number, line) in file.code_lines() {
        let lower = line.to_lowercase();
        let said = SIMULATION_WORDS.iter().filter(|word| is_deaf && lower.contains(**word));
        let asked = SIMULATION_BRANCHES.iter().filter(|word| !is_shown && file.path != GATE && line.contains(**word));
        let remedy = "a fake is a different root, never a different code path";
        breaches.extend(said.chain(asked).take(1).map(|word| format!("{}:{number}: `{word}`: {remedy}", file.path)));
    }
    breaches
}

#[test]
fn each_rule_about_words_can_fail() {
    let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
    let code = "// std::fs is named in a comment\nuse std::fs;\n\n#[cfg(test)]\nmod tests {\n    use std::env;\n}\n";
    assert_eq!(impure(&file("attest/src/x.rs", code)), ["attest/src/x.rs:2: `std::fs`: take it as an argument"]);
    assert!(impure(&file("daemon/src/shell/x.rs", code)).is_empty());
    assert_eq!(through_a_wall(&file("daemon/src/x.rs", "let x = plonky2::x();")).len(), 1);
    assert!(through_a_wall(&file("circuits/src/x.rs", "let x = plonky2::x();")).is_empty());
    assert_eq!(simulating(&file("attest/src/x.rs", "if grade == Grade::Simulated {}")).len(), 1);
    assert!(simulating(&file("verifier/src/html/x.rs", "marked: grade == Grade::Simulated")).is_empty());
    assert_eq!(banned(&file("x.md", "fine\nFIXME\n")), ["x.md:2: `FIXME`: fix it, or say it in LIMITATIONS.md"]);
}
