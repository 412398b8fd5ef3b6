//! **Duty.** The documents are true where a machine can tell: commands are the ones CI runs, links resolve, every module
//! says its duty. **Spec.** HOUSE §1 (four words), §10 (rot nobody runs).

use std::collections::BTreeSet;

use crate::tree;

/// The README's two commands.
const DEMO: &str = "cargo run --release --bin weighbridge-demo";
const TEST: &str = "cargo test --release --workspace";

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "THREAT_MODEL.md",
    "LIMITATIONS.md",
    "GLOSSARY.md",
    "LICENSING.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
];

#[test]
fn the_readme_gives_the_commands_that_ci_runs() {
    let readme = tree::file("README.md");
    let staged: Vec<String> = stages().into_iter().map(|(_, command)| command).collect();
    let mut breaches = Vec::new();
    for command in [DEMO, TEST] {
        if !readme.lines().any(|(_, line)| line.trim() == command) {
            breaches.push(format!("README.md: `{command}` must stand on a line of its own"));
        }
        if !staged.iter().any(|staged| staged == command) {
            breaches.push(format!(".ci/run: no stage runs `{command}`"));
        }
    }
    tree::hold("the README's two commands are the ones that CI runs", &breaches);
}

#[test]
fn ci_runs_the_same_recipes_as_people() {
    let recipes = tree::file("justfile").text;
    let missing = |(name, command): &(String, String)| {
        let recipe = recipes.split("\n\n").find(|part| part.lines().any(|line| line == format!("{name}:")));
        !recipe.is_some_and(|recipe| recipe.lines().any(|line| line.trim() == command))
    };
    let breaches: Vec<String> = stages()
        .iter()
        .filter(|stage| missing(stage))
        .map(|(name, command)| format!("justfile: recipe `{name}` must run `{command}`, as .ci/run does"))
        .collect();
    tree::hold(".ci/run and justfile agree", &breaches);
}

#[test]
fn the_table_of_figures_is_the_one_that_was_measured() {
    use weighbridge_tests::figures::{BEGIN, END, committed, table};
    let readme = tree::file("README.md").text;
    let between = readme.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let (found, _) = between.expect("README.md has both markers");
    let wanted = table(&committed().expect("tests/benches/figures.json"));
    assert_eq!(found.trim_start_matches('\n'), wanted, "README.md: `just figures` writes this table; do not edit it");
}

/// (name, command) of each `stage` line of `.ci/run`.
fn stages() -> Vec<(String, String)> {
    let ci = tree::file(".ci/run");
    let staged = ci.lines().filter_map(|(_, line)| line.trim_start().strip_prefix("stage "));
    staged
        .filter_map(|rest| rest.split_once(' '))
        .map(|(name, command)| (name.to_owned(), command.to_owned()))
        .collect()
}

#[test]
fn every_relative_link_resolves() {
    let mut breaches = Vec::new();
    for file in tree::files(&[".md"]) {
        for (number, line) in file.lines() {
            for target in links(line) {
                let path = target.split('#').next().unwrap_or_default();
                let folder = tree::root().join(&file.path).parent().map(|folder| folder.join(path)).unwrap_or_default();
                if !path.is_empty() && !target.contains("://") && !target.starts_with("mailto:") && !folder.exists() {
                    breaches.push(format!("{}:{number}: `{target}` leads nowhere", file.path));
                }
            }
        }
    }
    tree::hold("every relative link resolves", &breaches);
}

#[test]
fn every_module_says_its_duty() {
    let breaches: Vec<String> = tree::files(&[".rs"])
        .iter()
        .filter(|file| opening(&file.path).is_some_and(|opening| !file.text.starts_with(opening)))
        .map(|file| format!("{}:1: open with `//! **Duty.** …` (Knows, Does not know, Spec)", file.path))
        .collect();
    tree::hold("every module opens with its duty", &breaches);
}

/// How a file must begin. Unit tests beside their module need no words; programs and scenarios choose their own.
fn opening(path: &str) -> Option<&'static str> {
    let below = |places: &[&str]| places.iter().any(|place| path.contains(place));
    match path {
        _ if below(&["/tests.rs", "/src/tests/"]) => None,
        _ if below(&["/src/bin/", "tests/scenarios/"]) => Some("//! "),
        _ if below(&["/src/", "tests/law/"]) => Some("//! **Duty.** "),
        _ => None,
    }
}

#[test]
fn the_root_documents_exist_and_decisions_are_numbered() {
    let mut breaches: Vec<String> = Vec::new();
    let present = |name: &&str| tree::root().join(name).is_file();
    breaches.extend(DOCUMENTS.iter().filter(|name| !present(name)).map(|name| format!("{name}: missing")));
    let mut numbers = BTreeSet::new();
    for note in tree::files(&[".md"]).iter().filter(|file| file.is_below(&["docs/decisions/"])) {
        let number = note.path.trim_start_matches("docs/decisions/").chars().take(4).collect::<String>();
        if !numbers.insert(number.clone()) {
            breaches.push(format!("{}: number {number} is taken", note.path));
        }
        let parts = ["## Context", "## Decision", "## Consequences"];
        let missing = parts.iter().filter(|part| !note.text.contains(**part));
        breaches.extend(missing.map(|part| format!("{}: has no `{part}`", note.path)));
    }
    tree::hold("root documents exist; decisions are numbered and have three parts", &breaches);
}

/// Targets of `[text](target)` in one line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn a_link_is_found() {
    assert_eq!(links("see [a](x.md#y) and [b](https://z)").collect::<Vec<_>>(), ["x.md#y", "https://z"]);
}
