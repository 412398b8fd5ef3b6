//! **Duty.** The audit policy and the traces that a command names, as files. **Does not know** what they are used for.

use std::path::{Path, PathBuf};

use weighbridge_attest_types::{Digest32, sha256};
use weighbridge_audit::AuditPolicy;
use weighbridge_audit::trace::{MAX_GRAPH_BYTES, Trace};

use crate::audit_failure::AuditFailure;
use crate::audit_policy::{MAX_AUDIT_POLICY_BYTES, read_audit_policy};
use crate::cli::audit::source::TensorFile;
use crate::error::CliError;
use crate::files::read_capped;

pub(super) const GRAPH: &str = "graph.json";
pub(super) const TENSORS: &str = "tensors.safetensors";

/// Reads a policy file.
pub(super) fn policy(path: &Path) -> Result<AuditPolicy, CliError> {
    let bytes = read_capped(path, MAX_AUDIT_POLICY_BYTES as u64)?;
    read_audit_policy(&bytes)
        .map_err(|source| CliError::Audit(Box::new(AuditFailure::Policy { path: path.to_owned(), source })))
}

/// A trace's folder: its graph in memory, its tensors open.
pub(super) struct TraceFolder {
    path: PathBuf,
    graph: Vec<u8>,
    tensors: TensorFile,
}

impl TraceFolder {
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let graph = read_capped(&path.join(GRAPH), MAX_GRAPH_BYTES as u64)?;
        Ok(Self { path: path.to_owned(), graph, tensors: TensorFile::open(&path.join(TENSORS))? })
    }

    pub(super) fn trace(&self) -> Result<Trace<'_>, CliError> {
        Trace::parse(&self.graph, &self.tensors).map_err(|source| CliError::Trace { path: self.path.clone(), source })
    }

    /// SHA-256 of the graph's bytes.
    pub(super) fn graph_digest(&self) -> Digest32 {
        sha256(&self.graph)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
