//! **Duty.** Hashes the files of a checkpoint, here and never in the training job: no digest is taken from a caller.
//! **Does not know** intervals. **Spec.** TRAINING §5 (Trust).

use weighbridge_attest_types::CheckpointCommitment;
use weighbridge_commitments::{CommitError, Effort, commit_checkpoint};
use weighbridge_daemon_api::CheckpointRequest;

/// Reads and commits; blocks for as long as the files are large.
pub(super) fn commit(request: &CheckpointRequest) -> Result<CheckpointCommitment, CommitError> {
    let mut told = 0u64;
    let digests = commit_checkpoint(&request.files, Effort::polite(), &mut |done, total| {
        // One line per tenth: a 500 GB checkpoint should not look like a hang.
        let tenth = done.saturating_mul(10).checked_div(total).unwrap_or(0);
        if tenth > told {
            told = tenth;
            tracing::debug!(step = request.step, tenths = tenth, "hashing a checkpoint");
        }
    })?;
    tracing::info!(step = request.step, tensors = digests.tensors, bytes = digests.bytes, "checkpoint hashed");
    Ok(CheckpointCommitment {
        attempt: request.attempt,
        step: request.step,
        fast_root: digests.fast_root,
        algebraic_root: digests.algebraic_root,
        files: digests.files,
    })
}
