//! **Duty.** Hashes the files of a checkpoint, here and never in the training job: no digest is taken from a caller.
//! **Does not know** intervals. **Spec.** TRAINING §5 (Trust).

use std::path::PathBuf;

use weighbridge_attest_types::CheckpointCommitment;
use weighbridge_commitments::{Effort, commit_opened};
use weighbridge_daemon_api::CheckpointRequest;

use super::confined;
use crate::error::NodeError;

/// Reads and commits; blocks for as long as the files are large.
pub(super) fn commit(request: &CheckpointRequest, roots: &[PathBuf]) -> Result<CheckpointCommitment, NodeError> {
    let opened = request.files.iter().map(|path| confined::open(roots, path)).collect::<Result<_, _>>()?;
    let mut told = 0u64;
    let digests = commit_opened(opened, Effort::polite(), &mut |done, total| {
        // One line per tenth: a 500 GB checkpoint should not look like a hang.
        let tenth = done.saturating_mul(10).checked_div(total).unwrap_or(0);
        if tenth > told {
            told = tenth;
            tracing::debug!(step = request.step, tenths = tenth, "hashing a checkpoint");
        }
    })?;
    let (tensors, bytes) = (digests.tensors, digests.bytes);
    tracing::info!(event = "checkpoint-hashed", step = request.step, tensors, bytes, "checkpoint hashed");
    Ok(CheckpointCommitment {
        attempt: request.attempt,
        step: request.step,
        fast_root: digests.fast_root,
        algebraic_root: digests.algebraic_root,
        files: digests.files,
    })
}
