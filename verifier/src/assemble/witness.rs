//! **Duty.** The private half: which witness belongs to which export, and whether it opens that ledger's commitments.
//! It never leaves this machine. **Spec.** PROTOCOL §2, §3 (`meter_i`); HOUSE §4: false is named before proving.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weighbridge_attest_types::{Canonical, MAX_MEMBER_BYTES, NodeKey, NodeWitness};
use weighbridge_circuits::ChainWitness;
use weighbridge_ledger::meter_commitment;

use crate::assemble::export::NodeExport;
use crate::error::CliError;
use crate::files;

/// The file in a witness folder.
const WITNESS: &str = "witness";

/// One chain per export, in the same order, each with openings that fit.
pub(super) fn open_chains(exports: &[NodeExport], witnesses: &[PathBuf]) -> Result<Vec<ChainWitness>, CliError> {
    let mut by_key = read_all(witnesses)?;
    let mut chains = Vec::with_capacity(exports.len());
    for export in exports {
        let node_key = export.node_key();
        let witness = by_key.remove(&node_key);
        let (path, witness) =
            witness.ok_or_else(|| CliError::NoWitness { export: export.path().to_owned(), node_key })?;
        chains.push(open_chain(export, &path, witness)?);
    }
    match by_key.pop_first() {
        None => Ok(chains),
        Some((node_key, (path, _))) => Err(CliError::StrayWitness { path, node_key }),
    }
}

fn read_all(paths: &[PathBuf]) -> Result<BTreeMap<NodeKey, (PathBuf, NodeWitness)>, CliError> {
    let mut by_key: BTreeMap<NodeKey, (PathBuf, NodeWitness)> = BTreeMap::new();
    for path in paths {
        let file = if path.is_dir() { path.join(WITNESS) } else { path.clone() };
        let bytes = files::read_capped(&file, MAX_MEMBER_BYTES)?;
        let witness = NodeWitness::from_bytes(&bytes).map_err(|source| CliError::Part {
            path: file.clone(),
            part: "the witness",
            source,
        })?;
        if let Some((first, _)) = by_key.get(&witness.node_key) {
            return Err(CliError::SameNode { first: first.clone(), other: file });
        }
        by_key.insert(witness.node_key, (file, witness));
    }
    Ok(by_key)
}

fn open_chain(export: &NodeExport, path: &Path, witness: NodeWitness) -> Result<ChainWitness, CliError> {
    let entries = export.ledger().entries();
    if witness.rows.len() != entries.len() {
        let (rows, intervals) = (witness.rows.len(), entries.len());
        return Err(CliError::WitnessLength { path: path.to_owned(), rows, intervals });
    }
    for (row, entry) in witness.rows.iter().zip(entries) {
        let interval = entry.public.index;
        if !entry.public.presence.declared() {
            return Err(CliError::DeclaredAbsent { path: export.path().to_owned(), interval });
        }
        if meter_commitment(&row.reading, &row.salt) != entry.meter {
            return Err(CliError::WitnessDiffers { path: path.to_owned(), interval });
        }
    }
    let publics = entries.iter().map(|entry| entry.public.digest()).collect();
    Ok(ChainWitness { start: export.start_head(), publics, rows: witness.rows })
}
