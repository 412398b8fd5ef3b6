//! **Duty.** Node exports as they come from the nodes, put into the order of their common roster and of each node's keys.
//! **Does not know** whether any signature holds: appraisal looks at everything again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weighbridge_appraisal::{ChainOrder, StatementSubject};
use weighbridge_attest_types::{
    Bundle, Canonical, Digest32, MAX_BUNDLE_BYTES, NodeKey, NodeLedger, PoseidonDigest, RunManifest,
};
use weighbridge_ledger::CheckedLedger;

use crate::error::CliError;
use crate::files;

/// The exports of one run, in the order in which a bundle holds their chains.
#[derive(Debug)]
pub(crate) struct RunExports {
    manifest: RunManifest,
    exports: Vec<NodeExport>,
}

/// One export with what the later stages need of it.
#[derive(Debug)]
pub(super) struct NodeExport {
    path: PathBuf,
    container: Bundle,
    genesis: Digest32,
    ledger: CheckedLedger,
    order: ChainOrder,
}

impl RunExports {
    /// Reads the exports of one run: every row of the roster has one, and each key only one.
    ///
    /// # Errors
    /// [`CliError`].
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, CliError> {
        let mut run: Option<RunManifest> = None;
        let mut exports: Vec<NodeExport> = Vec::with_capacity(paths.len());
        for path in paths {
            let (export, manifest) = NodeExport::read(path)?;
            match exports.first().filter(|first| first.genesis != export.genesis) {
                Some(first) => {
                    return Err(CliError::OtherRun { first: first.path.clone(), other: export.path });
                }
                None => exports.push(export),
            }
            run.get_or_insert(manifest);
        }
        let manifest = run.ok_or(CliError::NoExports)?;
        let mut keys: BTreeMap<NodeKey, &NodeExport> = BTreeMap::new();
        for export in &exports {
            if let Some(first) = keys.insert(export.node_key(), export) {
                return Err(CliError::SameNode { first: first.path.clone(), other: export.path.clone() });
            }
        }
        if let Some(row) = manifest.roster.iter().find(|row| !keys.contains_key(&row.node_key)) {
            return Err(CliError::NoExport { rows: manifest.roster.len(), node_key: row.node_key });
        }
        exports.sort_by_key(|export| export.order);
        Ok(Self { manifest, exports })
    }

    /// As the exports have it; that the ledgers say the same is appraisal's check.
    pub(crate) const fn manifest(&self) -> &RunManifest {
        &self.manifest
    }

    pub(super) fn exports(&self) -> &[NodeExport] {
        &self.exports
    }

    /// The ledgers in order.
    pub(crate) fn ledgers(&self) -> Vec<&CheckedLedger> {
        self.exports.iter().map(|export| &export.ledger).collect()
    }

    /// What a statement about these ledgers is about.
    pub(crate) fn subject(&self) -> StatementSubject {
        StatementSubject::of(&self.manifest, &self.ledgers())
    }

    pub(super) fn into_containers(self) -> Vec<Bundle> {
        self.exports.into_iter().map(|export| export.container).collect()
    }
}

impl NodeExport {
    fn read(path: &Path) -> Result<(Self, RunManifest), CliError> {
        let bytes = files::read_capped(path, MAX_BUNDLE_BYTES)?;
        let container =
            Bundle::parse_export(&bytes).map_err(|source| CliError::Container { path: path.to_owned(), source })?;
        let manifest: RunManifest = member(&container, path, "run-manifest")?;
        let raw: NodeLedger = member(&container, path, "ledger")?;
        let ledger = CheckedLedger::check(&raw)
            .map_err(|source| CliError::Ledger { path: path.to_owned(), source: Box::new(source) })?;
        let node_key = ledger.start().node_key;
        let order = ChainOrder::of(&manifest, &raw);
        let order = order.ok_or_else(|| CliError::NotInRoster { path: path.to_owned(), node_key })?;
        let genesis = manifest.genesis();
        Ok((Self { path: path.to_owned(), container, genesis, ledger, order }, manifest))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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
}

fn member<T: Canonical>(container: &Bundle, path: &Path, name: &'static str) -> Result<T, CliError> {
    let bytes = container.get(name).ok_or_else(|| CliError::NoMember { path: path.to_owned(), member: name })?;
    T::from_bytes(bytes).map_err(|source| CliError::Part { path: path.to_owned(), part: name, source })
}
