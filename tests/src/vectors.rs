//! **Duty.** Finds the shared vectors and loads their cases. **Does not know** how a verdict is reached.
//! **Spec.** README of the vectors: `case.json`.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weighbridge_attest_types::UnixMillis;

use crate::{shared, skipped};

/// One folder of vectors.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// One file, or several that were captured together.
    pub evidence: Files,
    /// Every row of verdicts.
    pub appraisals: Vec<Appraisal>,
    /// Where the files are.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// File names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// One verdict: given these files at this time under this policy, expect this class.
#[derive(Debug, Deserialize)]
pub struct Appraisal {
    /// RFC 3339; the time handed to the verifier.
    pub at: Option<String>,
    /// The file, where the case has several.
    pub evidence: Option<String>,
    /// Endorsement files.
    #[serde(default)]
    pub endorsements: Vec<String>,
    /// File with the nonce asked for, hex.
    pub nonce: Option<String>,
    /// The nonce itself.
    pub nonce_hex: Option<String>,
    /// Changes against the assumed policy.
    #[serde(default)]
    pub policy: Value,
    /// The class.
    pub expect: String,
    /// Other classes that are right as well.
    #[serde(default)]
    pub also_acceptable: Vec<String>,
    /// The detail that must show.
    pub status: Option<String>,
    /// Indexes of measurements that must be told as different.
    pub mismatch_indexes: Option<Vec<u8>>,
    /// Advisory ids that must show.
    pub advisories: Option<Vec<String>>,
    /// Times between which the same verdict holds.
    pub window: Option<[String; 2]>,
}

impl Case {
    /// All cases of one kind, by name. Empty when the shared folder is absent: say so with [`skipped`].
    ///
    /// # Panics
    /// When a folder of vectors is not what its README promises.
    #[must_use]
    pub fn all(kind: &str) -> Vec<Self> {
        let Some(shared) = shared() else {
            skipped(&format!("{kind} vectors: no shared folder (set WEIGHBRIDGE_SHARED)"));
            return Vec::new();
        };
        let entries = fs::read_dir(shared.join("vectors").join(kind)).expect("a folder per kind");
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        folders.sort();
        folders.into_iter().map(Self::load).collect()
    }

    /// One case by kind and name.
    #[must_use]
    pub fn named(kind: &str, name: &str) -> Option<Self> {
        Self::all(kind).into_iter().find(|case| case.name == name || case.folder.ends_with(name))
    }

    fn load(folder: PathBuf) -> Self {
        let text = fs::read(folder.join("case.json")).expect("case.json");
        let case: Self = serde_json::from_slice(&text).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        Self { folder, ..case }
    }

    /// Bytes of one of its files.
    ///
    /// # Panics
    /// When the file is missing.
    #[must_use]
    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.folder.join(file)).unwrap_or_else(|why| panic!("{}/{file}: {why}", self.name))
    }

    /// The evidence that a row is about.
    ///
    /// # Panics
    /// When a case of several files has a row that names none.
    #[must_use]
    pub fn evidence_of(&self, row: &Appraisal) -> Vec<u8> {
        match (&row.evidence, &self.evidence) {
            (Some(file), _) | (None, Files::One(file)) => self.read(file),
            (None, Files::Many(_)) => panic!("{}: the row names no evidence file", self.name),
        }
    }

    /// The endorsements of a row.
    #[must_use]
    pub fn endorsements_of(&self, row: &Appraisal) -> Vec<Vec<u8>> {
        row.endorsements.iter().map(|file| self.read(file)).collect()
    }
}

/// RFC 3339 to milliseconds.
///
/// # Panics
/// When the text is no date after 1970.
#[must_use]
pub fn instant(text: &str) -> UnixMillis {
    let date = OffsetDateTime::parse(text, &Rfc3339).expect("an RFC 3339 date");
    UnixMillis(u64::try_from(date.unix_timestamp()).expect("after 1970") * 1000)
}
