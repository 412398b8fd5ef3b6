//! **Duty.** Runs the product's own programs, as built by the profile of the running test.

use std::path::PathBuf;
use std::process::{Command, Output};

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Path of a program of the workspace, built first if need be. Tests of another package's program cannot name it
/// through Cargo, so this asks Cargo to build it into the folder that the running test was built into.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    built(&["--bin", name]).join(name)
}

/// Path of the simulated drivers, `libnvidia-ml.so` and configfs-tsm in one library, built likewise.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn drivers() -> PathBuf {
    built(&["--example", "weighbridge_simulated_drivers"]).join("examples/libweighbridge_simulated_drivers.so")
}

/// Has Cargo build it, and says into which folder.
fn built(what: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let profile = folder.file_name().and_then(|name| name.to_str()).expect("a profile folder");
    let profile = if profile == "debug" { "dev" } else { profile };
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let built = Command::new(cargo)
        // Without `--package`: that would resolve other features, and half of the dependencies would compile again.
        .args(["build", "--quiet", "--profile", profile])
        .args(what)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "{what:?} does not build");
    folder.to_owned()
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
