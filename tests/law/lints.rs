//! **Duty.** Every crate stands under the workspace's lints, exceptions carry a reason, and no test sleeps.
//! **Spec.** HOUSE §8.

use toml::{Table, Value};

use crate::source::{self, RustFile};
use crate::tree::{self, TextFile};

/// Crates whose input comes from strangers, by the file that is their head.
const UNTRUSTED_HEADS: [&str; 4] =
    ["attest/src/lib.rs", "attest/ledger/src/lib.rs", "circuits/audit/src/lib.rs", "verifier/appraisal/src/lib.rs"];
const UNTRUSTED_LINTS: [&str; 4] = ["unwrap_used", "expect_used", "indexing_slicing", "arithmetic_side_effects"];
/// The only crates with `unsafe`, the second in the test tree: Cargo cannot override an inherited table, so they spell
/// their own.
const HANDS: [&str; 2] = ["attest/collect", "tests/drivers"];

fn manifest(path: &str) -> Table {
    tree::file(path).text.parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn members() -> Vec<String> {
    let workspace = manifest("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("workspace.members").clone();
    members.iter().map(|member| member.as_str().expect("a path").to_owned()).collect()
}

#[test]
fn every_member_inherits_the_workspace_lints() {
    let inherits = |manifest: &Table| manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
    let breaches: Vec<String> = members()
        .iter()
        .filter(|member| !HANDS.contains(&member.as_str()))
        .map(|member| format!("{member}/Cargo.toml"))
        .filter(|path| inherits(&manifest(path)) != Some(true))
        .map(|path| format!("{path}: add `[lints] workspace = true`"))
        .collect();
    tree::hold("every member inherits the workspace's lints", &breaches);
}

#[test]
fn the_hands_differ_only_by_unsafe() {
    let lints = |path: &str, of: &dyn Fn(&Table) -> Value| of(&manifest(path)).as_table().expect("a table").clone();
    let mut wanted = lints("Cargo.toml", &|root| root["workspace"]["lints"].clone());
    let group = |table: &mut Table, name: &str, lint: &str, level: &str| {
        let group = table.get_mut(name).and_then(Value::as_table_mut).expect("a lint group");
        group.insert(lint.to_owned(), Value::String(level.to_owned()));
    };
    group(&mut wanted, "rust", "unsafe_code", "allow");
    group(&mut wanted, "clippy", "undocumented_unsafe_blocks", "deny");
    for hands in HANDS {
        let found = lints(&format!("{hands}/Cargo.toml"), &|own| own["lints"].clone());
        assert_eq!(found, wanted, "{hands}/Cargo.toml [lints]: copy the workspace's table, but for unsafe_code");
    }
}

#[test]
fn untrusted_crates_deny_panics_at_their_head() {
    let mut breaches = Vec::new();
    let files = source::rust_files();
    for head in UNTRUSTED_HEADS {
        let marks = files.iter().filter(|rust| rust.file.path == head).flat_map(|rust| &rust.marks);
        let denied: String =
            marks.filter(|mark| ["deny", "forbid"].contains(&mark.name.as_str())).map(|mark| &*mark.tokens).collect();
        for lint in UNTRUSTED_LINTS.iter().filter(|lint| !denied.contains(**lint)) {
            breaches.push(format!("{head}:1: add `#![deny(clippy::{lint})]`: its bytes come from strangers"));
        }
    }
    tree::hold("crates on untrusted floors deny what can panic", &breaches);
}

#[test]
fn no_test_is_ignored_and_every_exception_has_a_reason() {
    let breaches: Vec<String> = source::rust_files().iter().flat_map(silenced).collect();
    tree::hold("no test is ignored, no lint silenced without a reason", &breaches);
}

fn silenced(rust: &RustFile) -> Vec<String> {
    let mut breaches = Vec::new();
    for mark in &rust.marks {
        let place = format!("{}:{}", rust.file.path, mark.line);
        let is_exception = match mark.name.as_str() {
            "allow" | "expect" => true,
            "cfg_attr" => mark.tokens.contains("allow") || mark.tokens.contains("expect"),
            _ => false,
        };
        if mark.name == "ignore" {
            breaches.push(format!("{place}: a test runs or it goes; hardware tests are a target of their own"));
        } else if is_exception && !mark.tokens.contains("reason =") {
            breaches.push(format!("{place}: `{}` needs `reason = \"…\"`", mark.name));
        }
    }
    breaches
}

#[test]
fn a_silent_exception_is_found() {
    let text = "#![cfg_attr(test, allow(clippy::unwrap_used))]\n#[ignore]\nfn f() {}\n\
                #[expect(dead_code, reason = \"x\")]\nfn g() {}\n#[allow(dead_code)]\nfn h() {}\n";
    let found = silenced(&source::parse(TextFile { path: "x.rs".to_owned(), text: text.to_owned() }));
    let lines: Vec<&str> = found.iter().filter_map(|breach| breach.split(": ").next()).collect();
    assert_eq!(lines, ["x.rs:1", "x.rs:2", "x.rs:6"]);
}

#[test]
fn every_dependency_is_used_and_says_what_it_is_for() {
    let workspace = tree::file("Cargo.toml");
    let lines = workspace.lines().skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    let lines = lines.take_while(|(_, line)| !line.starts_with('['));
    let manifests: Vec<Table> = members().iter().map(|member| manifest(&format!("{member}/Cargo.toml"))).collect();
    let breaches: Vec<String> = lines
        .filter_map(|(number, line)| Some((number, line, line.split_once(" = ")?.0)))
        .filter(|(_, line, _)| !line.starts_with('#'))
        .filter_map(|(number, line, name)| {
            let ours = name.starts_with("weighbridge-");
            let used = manifests.iter().any(|manifest| depends_on(manifest, name));
            let why = line.split_once(" # ").is_some_and(|(_, why)| why.len() > 2);
            match (used, ours || why) {
                (false, _) => Some(format!("Cargo.toml:{number}: no member uses `{name}`: remove it")),
                (true, false) => Some(format!("Cargo.toml:{number}: say behind `{name}` what it is for: ` # …`")),
                (true, true) => None,
            }
        })
        .collect();
    tree::hold("no dependency without a use and a reason", &breaches);
}

fn depends_on(manifest: &Table, name: &str) -> bool {
    let within = |table: &Table| {
        ["dependencies", "dev-dependencies", "build-dependencies"]
            .iter()
            .any(|kind| table.get(*kind).and_then(Value::as_table).is_some_and(|table| table.contains_key(name)))
    };
    let targets = manifest.get("target").and_then(Value::as_table);
    within(manifest) || targets.is_some_and(|targets| targets.values().filter_map(Value::as_table).any(within))
}
