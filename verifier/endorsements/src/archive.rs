//! **Duty.** A store as one file that crosses an air gap: the same files give the same bytes, every byte is accounted for,
//! and coming back it makes nothing older than it was. **Knows** the container. **Does not know** signatures.
//! **Spec.** PROTOCOL §7 (the container); ECOSYSTEM §3 (1: import and export).

use serde::Serialize;
use weighbridge_attest_types::{Bundle, Member, UnixMillis};

use crate::error::StoreError;
use crate::status::{FileStatus, State, status};
use crate::store::{MAX_FILE_BYTES, Store, is_name};

/// Longest archive. Source: what `attest` reads of a store, and the container's table.
pub const MAX_ARCHIVE_BYTES: u64 = 80 << 20;

/// What became of one file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: ImportOutcome,
}

/// Whether a file was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportOutcome {
    /// There was none.
    Added,
    /// It holds longer than the one that was there, or that one could not be read.
    Replaced,
    /// The same bytes were there.
    Same,
    /// The one that was there holds as long or longer.
    Kept,
}

/// Packs files; order does not matter. All must be endorsements that some kind of evidence knows.
///
/// # Errors
/// [`StoreError::Name`], [`StoreError::NoEndorsement`], [`StoreError::Archive`].
pub fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, StoreError> {
    check(files)?;
    let mut archive = Bundle::new_endorsements();
    for (name, bytes) in files {
        let member = Member { name: name.clone(), bytes: bytes.clone() };
        archive.insert(member).map_err(StoreError::Archive)?;
    }
    Ok(archive.to_bytes())
}

/// Unpacks into a store. Nothing is written unless all of it is as it must be.
///
/// # Errors
/// [`StoreError`].
pub fn unpack(bytes: &[u8], into: &Store) -> Result<Vec<Imported>, StoreError> {
    let archive = Bundle::parse_endorsements(bytes).map_err(StoreError::Archive)?;
    let files: Vec<(String, Vec<u8>)> = archive.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    let incoming = check(&files)?;
    let mut plan = Vec::new();
    for ((name, bytes), incoming) in files.into_iter().zip(&incoming) {
        let outcome = match into.read(&name)? {
            None => ImportOutcome::Added,
            Some(present) if present == bytes => ImportOutcome::Same,
            Some(present) => compare(&name, present, incoming),
        };
        plan.push((name, bytes, outcome));
    }
    let mut imported = Vec::new();
    for (name, bytes, outcome) in plan {
        if matches!(outcome, ImportOutcome::Added | ImportOutcome::Replaced) {
            into.write(&name, &bytes)?;
        }
        imported.push(Imported { name, outcome });
    }
    Ok(imported)
}

/// An old archive must not bring an old statement back: the later end stays, then the later beginning.
fn compare(name: &str, present: Vec<u8>, incoming: &FileStatus) -> ImportOutcome {
    let rows = status(&[(name.to_owned(), present)], UnixMillis(0), 0);
    let Some(present) = rows.first().filter(|row| !matches!(row.state, State::Unknown | State::Unreadable)) else {
        return ImportOutcome::Replaced;
    };
    let age = |row: &FileStatus| (row.until(), row.from());
    if age(incoming) > age(present) { ImportOutcome::Replaced } else { ImportOutcome::Kept }
}

/// Names and contents; windows are not asked about, because an archive may be kept for years.
fn check(files: &[(String, Vec<u8>)]) -> Result<Vec<FileStatus>, StoreError> {
    if let Some((name, _)) = files.iter().find(|(name, _)| !is_name(name)) {
        return Err(StoreError::Name(name.clone()));
    }
    let refused = |name: &str, why: &str| StoreError::NoEndorsement { name: name.to_owned(), why: why.to_owned() };
    if let Some((name, _)) = files.iter().find(|(_, bytes)| bytes.len() as u64 > MAX_FILE_BYTES) {
        return Err(refused(name, "longer than any endorsement"));
    }
    let rows = status(files, UnixMillis(0), 0);
    for row in &rows {
        match (&row.unreadable, row.state) {
            (Some(why), _) => return Err(refused(&row.name, why)),
            (None, State::Unknown) => return Err(refused(&row.name, "no kind of evidence here knows this file")),
            _ => {}
        }
    }
    Ok(rows)
}
