//! **Duty.** Node exports as they come from the nodes, put into the order of their common roster and of each node's keys.
//! **Does not know** whether any signature holds: appraisal looks at everything again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weighbridge_appraisal::ChainOrder;
use weighbridge_attest_types::{
    Bundle, Canonical, Digest32, MAX_BUNDLE_BYTES, NodeKey, NodeLedger, PoseidonDigest, RunManifest,
};
use weighbridge_ledger::CheckedLedger;

use crate::error::CliError;
use crate::files;

/// One export with what the later stages need of it.
#[derive(Debug)]
pub(super) struct NodeExport {
    path: PathBuf,
    container: Bundle,
    genesis: Digest32,
    ledger: CheckedLedger,
    /// Keys of the run's nodes, as the roster names them.
    roster: Vec<NodeKey>,
    order: ChainOrder,
}

/// Reads the exports of one run, in the order in which a bundle holds their chains.
pub(super) fn read_run(paths: &[PathBuf]) -> Result<Vec<NodeExport>, CliError> {
    let mut exports: Vec<NodeExport> = paths.iter().map(|path| NodeExport::read(path)).collect::<Result<_, _>>()?;
    if let Some(first) = exports.first()
        && let Some(other) = exports.iter().find(|export| export.genesis != first.genesis)
    {
        return Err(CliError::OtherRun { first: first.path.clone(), other: other.path.clone() });
    }
    let mut keys: BTreeMap<NodeKey, &NodeExport> = BTreeMap::new();
    for export in &exports {
        if let Some(first) = keys.insert(export.node_key(), export) {
            return Err(CliError::SameNode { first: first.path.clone(), other: export.path.clone() });
        }
    }
    let roster = exports.first().map(|export| export.roster.as_slice()).unwrap_or_default();
    if let Some(&node_key) = roster.iter().find(|key| !keys.contains_key(key)) {
        return Err(CliError::NoExport { rows: roster.len(), node_key });
    }
    exports.sort_by_key(|export| export.order);
    Ok(exports)
}

impl NodeExport {
    fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = files::read_capped(path, MAX_BUNDLE_BYTES)?;
        let container =
            Bundle::parse_export(&bytes).map_err(|source| CliError::Container { path: path.to_owned(), source })?;
        let manifest: RunManifest = member(&container, path, "run-manifest")?;
        let raw: NodeLedger = member(&container, path, "ledger")?;
        let ledger = CheckedLedger::check(&raw)
            .map_err(|source| CliError::Ledger { path: path.to_owned(), source: Box::new(source) })?;
        let node_key = ledger.start().node_key;
        let roster: Vec<NodeKey> = manifest.roster.iter().map(|row| row.node_key).collect();
        let order = ChainOrder::of(&manifest, &raw);
        let order = order.ok_or_else(|| CliError::NotInRoster { path: path.to_owned(), node_key })?;
        Ok(Self { path: path.to_owned(), container, genesis: manifest.genesis(), ledger, roster, order })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn genesis(&self) -> Digest32 {
        // Read from the manifest; that the ledger says the same is appraisal's check.
        self.genesis
    }

    pub(super) fn node_key(&self) -> NodeKey {
        self.ledger.start().node_key
    }

    pub(super) const fn ledger(&self) -> &CheckedLedger {
        &self.ledger
    }

    pub(super) fn start_head(&self) -> PoseidonDigest {
        weighbridge_ledger::head_0(self.ledger.start())
    }

    pub(super) fn into_container(self) -> Bundle {
        self.container
    }
}

fn member<T: Canonical>(container: &Bundle, path: &Path, name: &'static str) -> Result<T, CliError> {
    let bytes = container.get(name).ok_or_else(|| CliError::NoMember { path: path.to_owned(), member: name })?;
    T::from_bytes(bytes).map_err(|source| CliError::Part { path: path.to_owned(), part: name, source })
}
