//! `weighbridge appraise` as people type it: files in, one verdict out.

mod ear;
mod files;
mod sets;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use weighbridge_attest_types::{AppraisalPolicy, Requirement};
use weighbridge_tests::vectors::{Appraisal, Case};
use weighbridge_tests::{Ran, run};

use crate::commands::weighbridge;

/// One command line, to be filled in.
pub(crate) struct Line {
    command: Command,
}

impl Line {
    pub(crate) fn new(kind: &str) -> Self {
        let mut command = weighbridge(&["appraise", "--format", "json", "--kind", kind]);
        command.env_remove("SOURCE_DATE_EPOCH");
        Self { command }
    }

    pub(crate) fn with(mut self, flag: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(flag).arg(value);
        self
    }

    pub(crate) fn all<'a>(self, flag: &str, values: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        values.into_iter().fold(self, |line, value| line.with(flag, value))
    }

    pub(crate) fn run(mut self) -> Answer {
        let ran = run(&mut self.command);
        let object = serde_json::from_str(&ran.stdout);
        let object = object.unwrap_or_else(|error| panic!("{error}: {} {}", ran.stdout, ran.stderr));
        Answer { object, ran }
    }
}

/// What the program said.
pub(crate) struct Answer {
    pub(crate) object: Value,
    pub(crate) ran: Ran,
}

impl Answer {
    pub(crate) fn verdict(&self) -> &str {
        self.object["verdict"].as_str().expect("a verdict")
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.ran.code
    }

    /// Codes of all reasons.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        let reasons = self.object["reasons"].as_array().expect("reasons").iter();
        reasons.map(|reason| reason["code"].as_str().expect("a code")).collect()
    }

    /// Codes of the checks with a status.
    pub(crate) fn checks(&self, status: &str) -> Vec<&str> {
        let checks = self.object["claims"]["checks"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let checks = checks.filter(|check| check["status"] == status);
        checks.map(|check| check["code"].as_str().expect("a code")).collect()
    }

    pub(crate) fn tier(&self) -> &str {
        self.object["claims"]["tier"].as_str().expect("a tier")
    }
}

/// A policy that lets boards pass whose manifests nobody captured.
pub(crate) fn without_manifests() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut policy = AppraisalPolicy::built_in();
        policy.id = "without-manifests".to_owned();
        policy.nvidia.reference_values = Requirement::Waived { reason: "no manifests were captured".to_owned() };
        write(folder.path(), "policy.json", serde_json::to_vec(&policy).expect("a policy is JSON"));
        folder
    });
    folder.path().join("policy.json")
}

/// Path of a file of a case.
pub(crate) fn path(case: &Case, file: &str) -> PathBuf {
    case.folder.join(file)
}

/// A row's evidence, endorsements and time; without what it asks and its policy.
pub(crate) fn line_of(kind: &str, case: &Case, row: &Appraisal) -> Line {
    let evidence = match (&row.evidence, &case.evidence) {
        (Some(file), _) | (None, weighbridge_tests::vectors::Files::One(file)) => file,
        (None, weighbridge_tests::vectors::Files::Many(_)) => panic!("{}: the row names no evidence", case.name),
    };
    let endorsements: Vec<PathBuf> = row.endorsements.iter().map(|file| path(case, file)).collect();
    let at = row.at.as_deref().unwrap_or("2026-10-01T00:00:00Z");
    Line::new(kind).with("--evidence", path(case, evidence)).all("--endorsements", &endorsements).with("--at", at)
}

pub(crate) fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the folder can be written");
    path
}
