//! **Duty.** What leaves a node: the public export (one container) and, as a separate act, the private witness. Files
//! appear whole or not at all. **Does not know** what a Verifier makes of them. **Spec.** PROTOCOL §7.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use weighbridge_attest_types::{Bundle, Canonical, Culprit, Member, NodeKey, NodeLedger, NodeWitness};

use crate::error::NodeError;
use crate::store::{Generation, Store};

const PUBLIC_MODE: u32 = 0o644;
const PRIVATE_MODE: u32 = 0o600;

/// A private file with its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Witness {
    /// `<node key>.witness`, `<node key>.counters.jsonl`.
    pub file_name: String,
    /// Canonical `NodeWitness`; or the records.
    pub bytes: Vec<u8>,
}

/// Why a file could not be written.
#[derive(Debug, Error)]
#[error("{} could not be written; name a folder that is there and writable", path.display())]
pub struct WriteError {
    /// Path.
    pub path: PathBuf,
    /// The operating system's reason.
    #[source]
    pub source: io::Error,
}

/// The public export of the named node key, or of the newest one that has a ledger.
///
/// # Errors
/// [`NodeError::NoLedger`], [`NodeError::Store`].
pub fn public(store: &Store, node_key: Option<NodeKey>) -> Result<Vec<u8>, NodeError> {
    let generation = choose(store, node_key)?.number;
    let start = store.start(generation)?.ok_or_else(|| store.damaged("starts"))?;
    let manifest = store.manifest(generation)?.ok_or_else(|| store.damaged("manifests"))?;
    let key = store.key_evidence(generation)?.ok_or_else(|| store.damaged("key-evidence"))?;
    let (nonce, beacon) = (store.nonce(generation)?, store.beacon(generation)?);
    if nonce.is_none() && beacon.is_none() {
        return Err(store.damaged("nonces").into());
    }
    let ledger = NodeLedger { start, entries: store.entries(generation)? };

    let mut export = Bundle::new_export();
    let mut insert = |name: String, bytes: Vec<u8>| -> Result<(), NodeError> {
        export.insert(Member { name, bytes }).map_err(NodeError::TooLarge)
    };
    insert("run-manifest".to_owned(), manifest.to_bytes())?;
    insert("ledger".to_owned(), ledger.to_bytes())?;
    insert("evidence/key".to_owned(), key)?;
    if let Some(nonce) = nonce {
        insert("time/nonce".to_owned(), nonce.to_bytes())?;
    }
    if let Some(beacon) = beacon {
        insert("time/beacon".to_owned(), beacon.to_bytes())?;
    }
    if let Some(receipt) = store.receipt(generation)? {
        insert("time/receipt".to_owned(), receipt.to_bytes())?;
    }
    if let Some(timestamp) = store.timestamp(generation)? {
        insert("time/timestamp".to_owned(), timestamp.as_bytes().to_vec())?;
    }
    for (index, set) in store.evidence(generation)? {
        insert(format!("evidence/{index:08}"), set)?;
    }
    Ok(export.to_bytes())
}

/// The private witness of the named node key, or of the newest one that has a ledger.
///
/// # Errors
/// [`NodeError::NoLedger`], [`NodeError::Store`].
pub fn witness(store: &Store, node_key: Option<NodeKey>) -> Result<Witness, NodeError> {
    let Generation { number, node_key, .. } = choose(store, node_key)?;
    let bytes = NodeWitness { node_key, rows: store.witnesses(number)? }.to_bytes();
    Ok(Witness { file_name: witness_name(node_key), bytes })
}

/// What counters say about each interval of the named node key, one JSON object on a line. Private like the witness.
///
/// # Errors
/// [`NodeError::NoLedger`], [`NodeError::Store`].
pub fn counters(store: &Store, node_key: Option<NodeKey>) -> Result<Witness, NodeError> {
    let Generation { number, node_key, .. } = choose(store, node_key)?;
    let mut bytes = Vec::new();
    for (index, json) in store.counters(number)? {
        let mut record: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&json).map_err(|_| store.damaged("counters"))?;
        record.insert("index".to_owned(), index.into());
        bytes.extend(serde_json::Value::from(record).to_string().into_bytes());
        bytes.push(b'\n');
    }
    Ok(Witness { file_name: format!("{node_key}.counters.jsonl"), bytes })
}

/// The file name of a node key's witness.
#[must_use]
pub fn witness_name(node_key: NodeKey) -> String {
    format!("{node_key}.witness")
}

/// Writes a public export.
///
/// # Errors
/// [`WriteError`].
pub fn write_public(bytes: &[u8], out: &Path) -> Result<(), WriteError> {
    write_whole(out, bytes, PUBLIC_MODE)
}

/// Writes a private witness into a folder, which is made for its owner alone if it is not there.
///
/// # Errors
/// [`WriteError`].
pub fn write_witness(witness: &Witness, folder: &Path) -> Result<PathBuf, WriteError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| WriteError { path: folder.to_owned(), source })?;
    let path = folder.join(&witness.file_name);
    write_whole(&path, &witness.bytes, PRIVATE_MODE)?;
    Ok(path)
}

fn choose(store: &Store, node_key: Option<NodeKey>) -> Result<Generation, NodeError> {
    for generation in store.generations()?.into_iter().rev() {
        let named = node_key.is_none_or(|wanted| wanted == generation.node_key);
        if named && store.start(generation.number)?.is_some() {
            return Ok(generation);
        }
    }
    Err(NodeError::NoLedger(node_key.map(|key| format!(" under node key {key}")).unwrap_or_default()))
}

/// A sibling file is written, synced and renamed: readers see the old bytes or the new ones.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let written = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        let sibling = folder.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let done = write_sibling(&sibling, bytes, mode).and_then(|()| fs::rename(&sibling, path));
        if done.is_err() {
            let _ = fs::remove_file(&sibling);
        }
        done?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|source| WriteError { path: path.to_owned(), source })
}

/// A new file of ours: one that somebody else made there first would keep its owner and its readers.
fn write_sibling(sibling: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(sibling)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl WriteError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Usage
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("file_name", &self.file_name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_appear_whole_with_their_mode_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let private = folder.path().join("private");
        let witness = Witness { file_name: "k.witness".to_owned(), bytes: vec![1, 2] };
        let path = write_witness(&witness, &private).unwrap();
        write_witness(&witness, &private).unwrap();
        assert_eq!((mode(&private), mode(&path), fs::read(&path).unwrap()), (0o700, 0o600, vec![1, 2]));
        assert_eq!(fs::read_dir(&private).unwrap().count(), 1);
        let refused = write_public(b"x", &folder.path().join("absent/out")).unwrap_err();
        assert!(
            refused.to_string().ends_with("absent/out could not be written; name a folder that is there and writable")
        );
    }

    #[test]
    fn nothing_to_export_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let refused = public(&store, None).unwrap_err();
        assert_eq!(refused.to_string(), "there is no ledger to export");
        let named = witness(&store, Some(NodeKey([0xab; 32]))).unwrap_err();
        assert_eq!(named.to_string(), format!("there is no ledger to export under node key {}", "ab".repeat(32)));
        assert_eq!(named.culprit().exit_code(), 2);
    }
}
