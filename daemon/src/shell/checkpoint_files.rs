//! **Duty.** Hashes the files of a checkpoint, here and never in the training job: no digest is taken from a caller.
//! **Does not know** intervals. **Spec.** TRAINING §5 (Trust).

use std::time::Duration;

use weighbridge_attest_types::CheckpointCommitment;
use weighbridge_commitments::{Effort, commit_opened};
use weighbridge_daemon_api::CheckpointRequest;

use super::clock::boot_millis;
use super::confined;
use crate::config::Config;
use crate::error::NodeError;

/// Between two looks at the clock.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Reads and commits; blocks for as long as the files are large.
pub(super) fn commit(request: &CheckpointRequest, config: &Config) -> Result<CheckpointCommitment, NodeError> {
    let roots = &config.checkpoint_roots;
    let opened = request.files.iter().map(|path| confined::open(roots, path)).collect::<Result<_, _>>()?;
    let (mut told, began) = (0u64, boot_millis());
    let digests = commit_opened(opened, Effort::polite(), &mut |done, total| {
        // While this waits, the reading waits.
        std::thread::sleep(ahead(done, config.hash_max_bytes_per_second, boot_millis().saturating_sub(began)));
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

/// How long to wait so that `done` bytes after `millis` are not more than the rate allows; 0 is no rate.
fn ahead(done: u64, bytes_per_second: u64, millis: u64) -> Duration {
    let due = u128::from(done).saturating_mul(1_000).checked_div(u128::from(bytes_per_second)).unwrap_or(0);
    let wait = due.saturating_sub(u128::from(millis));
    Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_none_is_none() {
        let millis = |done, rate, millis| ahead(done, rate, millis).as_millis();
        assert_eq!(millis(5_000_000, 0, 0), 0);
        assert_eq!(millis(5_000_000, 1_000_000, 4_400), 600);
        assert_eq!(millis(5_000_000, 1_000_000, 5_000), 0);
        assert_eq!(millis(u64::MAX, 1, 0), 10_000, "never longer than the service's patience at its end");
    }
}
