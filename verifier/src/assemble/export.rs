//! **Duty.** Node exports as they come from the nodes, put into the order of their common roster.
//! **Does not know** whether any signature holds: appraisal looks at everything again.

use std::path::{Path, PathBuf};

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
    /// Keys of the run's nodes, and where this one stands among them.
    roster: Vec<NodeKey>,
    position: usize,
}

/// Reads the exports of one run, in roster order.
pub(super) fn read_run(paths: &[PathBuf]) -> Result<Vec<NodeExport>, CliError> {
    let mut exports: Vec<NodeExport> = paths.iter().map(|path| NodeExport::read(path)).collect::<Result<_, _>>()?;
    if let Some(first) = exports.first()
        && let Some(other) = exports.iter().find(|export| export.genesis != first.genesis)
    {
        return Err(CliError::OtherRun { first: first.path.clone(), other: other.path.clone() });
    }
    exports.sort_by_key(|export| export.position);
    if let Some([first, other]) = exports.array_windows().find(|[first, other]| first.position == other.position) {
        return Err(CliError::SameNode { first: first.path.clone(), other: other.path.clone() });
    }
    // Ascending and distinct: the first row that is not at its own place is missing.
    let roster = exports.first().map(|export| export.roster.as_slice()).unwrap_or_default();
    let stands = |row: usize| exports.get(row).is_some_and(|export| export.position == row);
    match roster.iter().enumerate().find(|(row, _)| !stands(*row)) {
        None => Ok(exports),
        Some((_, &node_key)) => Err(CliError::NoExport { rows: roster.len(), node_key }),
    }
}

impl NodeExport {
    fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = files::read_capped(path, MAX_BUNDLE_BYTES)?;
        let container =
            Bundle::parse_export(&bytes).map_err(|source| CliError::Container { path: path.to_owned(), source })?;
        let manifest: RunManifest = member(&container, path, "run-manifest")?;
        let ledger: NodeLedger = member(&container, path, "ledger")?;
        let ledger = CheckedLedger::check(&ledger)
            .map_err(|source| CliError::Ledger { path: path.to_owned(), source: Box::new(source) })?;
        let node_key = ledger.start().node_key;
        let roster: Vec<NodeKey> = manifest.roster.iter().map(|row| row.node_key).collect();
        let position = roster.iter().position(|key| *key == node_key);
        let position = position.ok_or_else(|| CliError::NotInRoster { path: path.to_owned(), node_key })?;
        Ok(Self { path: path.to_owned(), container, genesis: manifest.genesis(), ledger, roster, position })
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
