//! **Duty.** The private half: which witness belongs to which export, and whether it opens that ledger's commitments.
//! It never leaves this machine. **Spec.** PROTOCOL §2, §3 (`meter_i`); HOUSE §4: false is named before proving.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weighbridge_appraisal::StatementSubject;
use weighbridge_attest_types::{Canonical, MAX_MEMBER_BYTES, NodeKey, NodeWitness};
use weighbridge_circuits::{ChainWitness, Component};
use weighbridge_ledger::meter_commitment;

use crate::assemble::export::{NodeExport, RunExports};
use crate::error::CliError;
use crate::files;

/// What a node calls the file: `<node key>.witness`; `witness` alone will do.
const WITNESS: &str = "witness";

/// A witness, where it lies, and whether the person named the very file.
struct Found {
    path: PathBuf,
    witness: NodeWitness,
    by_name: bool,
}

/// One chain per export, in the same order, each with openings that fit and readings of these components. A folder may
/// hold witnesses of earlier keys of the node; a file that was named must be needed.
pub(super) fn open_chains(
    run: &RunExports,
    witnesses: &[PathBuf],
    components: &[Component],
) -> Result<Vec<ChainWitness>, CliError> {
    let chains = open_all(run.exports(), witnesses)?;
    for export in run.exports() {
        components.iter().try_for_each(|&component| has_readings(export, component))?;
    }
    Ok(chains)
}

fn open_all(exports: &[NodeExport], witnesses: &[PathBuf]) -> Result<Vec<ChainWitness>, CliError> {
    let mut by_key = read_all(witnesses)?;
    let mut chains = Vec::with_capacity(exports.len());
    for export in exports {
        let node_key = export.node_key();
        let found = by_key.remove(&node_key);
        let found = found.ok_or_else(|| CliError::NoWitness { export: export.path().to_owned(), node_key })?;
        chains.push(open_chain(export, &found.path, found.witness)?);
    }
    match by_key.into_iter().find(|(_, found)| found.by_name) {
        None => Ok(chains),
        Some((node_key, Found { path, .. })) => Err(CliError::StrayWitness { path, node_key }),
    }
}

fn read_all(paths: &[PathBuf]) -> Result<BTreeMap<NodeKey, Found>, CliError> {
    let mut by_key: BTreeMap<NodeKey, Found> = BTreeMap::new();
    for path in paths {
        let mut files = files::files_at(path)?;
        let by_name = files.iter().any(|file| file == path);
        files.retain(|file| by_name || is_witness(file));
        if files.is_empty() {
            return Err(CliError::NoWitnessFile { path: path.clone() });
        }
        for path in files {
            let bytes = files::read_capped(&path, MAX_MEMBER_BYTES)?;
            let witness = NodeWitness::from_bytes(&bytes);
            let part = "the witness";
            let witness = witness.map_err(|source| CliError::Part { path: path.clone(), part, source })?;
            if let Some(first) = by_key.get(&witness.node_key) {
                return Err(CliError::SameNode { first: first.path.clone(), other: path });
            }
            by_key.insert(witness.node_key, Found { path, witness, by_name });
        }
    }
    Ok(by_key)
}

fn is_witness(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == WITNESS) || file.extension().is_some_and(|end| end == WITNESS)
}

fn open_chain(export: &NodeExport, path: &Path, witness: NodeWitness) -> Result<ChainWitness, CliError> {
    let entries = export.ledger().entries();
    if witness.rows.len() != entries.len() {
        let (rows, intervals) = (witness.rows.len(), entries.len());
        return Err(CliError::WitnessLength { path: path.to_owned(), rows, intervals });
    }
    for (row, entry) in witness.rows.iter().zip(entries) {
        let interval = entry.public.index;
        if meter_commitment(&row.reading, &row.salt) != entry.meter {
            return Err(CliError::WitnessDiffers { path: path.to_owned(), interval });
        }
    }
    let publics = entries.iter().map(|entry| entry.public.digest()).collect();
    Ok(ChainWitness { start: export.start_head(), publics, rows: witness.rows })
}

/// A sum over an absent component is refused: absent is not 0.
fn has_readings(export: &NodeExport, component: Component) -> Result<(), CliError> {
    let bit = StatementSubject::presence_bit(component);
    let absent = export.ledger().entries().iter().find(|entry| entry.public.presence.bits() & bit == 0);
    absent.map_or(Ok(()), |entry| {
        Err(CliError::Absent { path: export.path().to_owned(), interval: entry.public.index, component })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use weighbridge_attest_types::{Reading, WitnessRow};

    fn witness(key: u8) -> Vec<u8> {
        let row = WitnessRow { reading: Reading::new(1, 0, 0, 0).unwrap(), salt: [key; 28] };
        NodeWitness { node_key: NodeKey([key; 32]), rows: vec![row] }.to_bytes()
    }

    #[test]
    fn folders_may_hold_witnesses_of_earlier_keys_but_named_files_must_be_needed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("witness"), witness(1)).unwrap();
        fs::write(folder.path().join("aa.witness"), witness(2)).unwrap();
        fs::write(folder.path().join("spec.json"), "{}").unwrap();
        let found = read_all(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [NodeKey([1; 32]), NodeKey([2; 32])]);
        assert!(open_all(&[], &[folder.path().to_owned()]).unwrap().is_empty());
        let named = folder.path().join("aa.witness");
        assert!(matches!(open_all(&[], &[named]), Err(CliError::StrayWitness { .. })));
    }

    #[test]
    fn empty_folders_repetitions_and_other_bytes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |paths: &[PathBuf]| read_all(paths).err().map(|error| error.code());
        assert_eq!(refusal(&[folder.path().to_owned()]), Some("witness-missing"));
        let (one, other) = (folder.path().join("1"), folder.path().join("2"));
        fs::write(&one, witness(1)).unwrap();
        fs::write(&other, witness(1)).unwrap();
        assert_eq!(refusal(&[one.clone(), other]), Some("node-given-twice"));
        fs::write(&one, b"other bytes").unwrap();
        assert_eq!(refusal(&[one]), Some("member-malformed"));
    }
}
