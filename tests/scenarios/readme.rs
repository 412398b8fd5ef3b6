//! Every command that the README shows is run here, in the README's order, or stands on the list of those that cannot.

use std::path::Path;
use std::process::Command;

use weighbridge_tests::run;

use crate::commands::desk;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const CI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/run");
const PROGRAM: &str = "cargo run --release --bin weighbridge -- ";

/// Not run inside a test; `.ci/run` runs them.
const ELSEWHERE: [(&str, &str); 2] = [
    ("cargo run --release --bin weighbridge-demo", "it trains for more than a minute"),
    ("cargo test --release --workspace", "it is what runs this test"),
];

/// Lines of fenced blocks without a language, or of `sh`.
fn commands(document: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in document.lines() {
        match line.trim() {
            fence if fence.starts_with("```") => inside = !inside,
            command if inside && !command.is_empty() => found.push(command.to_owned()),
            _ => {}
        }
    }
    found
}

/// The comment behind a command may name the exit code that it expects.
fn expected_code(command: &str) -> i32 {
    let said = command.split_once("# exits with ").and_then(|(_, rest)| rest.split([' ', ':']).next()?.parse().ok());
    said.unwrap_or(0)
}

#[test]
fn every_command_of_the_readme_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    std::fs::create_dir_all(out.join("trust-roots")).expect("folders");
    std::fs::copy(&desk().bundle, out.join("run.weighbridge")).expect("copies");
    for file in std::fs::read_dir(&desk().roots).expect("roots") {
        let file = file.expect("an entry").path();
        let name = file.file_name().expect("a name");
        std::fs::copy(&file, out.join("trust-roots").join(name)).expect("copies");
    }
    // A file with one tensor stands in for the demo's checkpoint.
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    std::fs::create_dir_all(out.join("checkpoints")).expect("folders");
    std::fs::write(out.join("checkpoints/model.safetensors"), bytes).expect("writes");
    let ci = std::fs::read_to_string(CI).expect("reads");
    let program = format!("{} ", desk().weighbridge.display());
    let document = std::fs::read_to_string(README).expect("reads");
    let found = commands(&document);
    assert!(found.len() > 10, "the README shows {} commands", found.len());
    for command in found {
        if ELSEWHERE.iter().any(|(other, _)| *other == command) {
            assert!(ci.lines().any(|line| line.trim().ends_with(&command)), ".ci/run does not run `{command}`");
            continue;
        }
        let mapped = command.replace(PROGRAM, &program);
        let known = ["sed ", "jq "].iter().any(|tool| command.starts_with(tool));
        assert!(mapped != command || known, "README.md: no one runs `{command}`");
        run_in(folder.path(), &command, &mapped);
    }
}

fn run_in(folder: &Path, command: &str, mapped: &str) {
    let ran = run(Command::new("bash").args(["-o", "pipefail", "-c", mapped]).current_dir(folder));
    let expected = expected_code(command);
    assert_eq!(ran.code, Some(expected), "`{command}`: {}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_command_is_found_with_its_exit_code() {
    assert_eq!(commands("a\n```\nx y\n\nz  # exits with 4: why\n```\nb\n"), ["x y", "z  # exits with 4: why"]);
    assert_eq!((expected_code("x"), expected_code("z  # exits with 4: why")), (0, 4));
}
