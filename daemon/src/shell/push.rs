//! **Duty.** Hands finished exports to a verifier, again and again until it has them. What is sent is named by its own
//! digest, so that sending twice is sending once. **Knows** a Unix socket: a verifier on this machine, or whatever carries
//! bytes to one; the service itself has no network. **Does not know** what a verifier makes of them. **Spec.** ECOSYSTEM
//! §8 (a), decision 0097.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weighbridge_attest_types::{Digest32, sha256};

use super::metrics::count;
use super::service::Service;
use crate::client::{Client, ClientError};
use crate::error::chain_text;
use crate::store::PushMark;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A verifier that takes longer has stopped.
const PATIENCE: Duration = Duration::from_secs(120);
const FIRST_PAUSE_MILLIS: u64 = 1_000;
/// A verifier that was away for a week has what it missed a quarter of an hour later.
const LONGEST_PAUSE_MILLIS: u64 = 15 * 60 * 1_000;

/// One export that the verifier does not have yet.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) generation: u32,
    pub(super) mark: PushMark,
    pub(super) bytes: Vec<u8>,
}

/// When to try again.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
    not_before: u64,
}

impl Backoff {
    const fn is_due(&self, mono: u64) -> bool {
        mono >= self.not_before
    }

    /// Twice as long each time, and up to a quarter longer by the parcel's own digest: a thousand nodes that lost the same
    /// verifier do not come back in the same second.
    fn failed(&mut self, mono: u64, digest: &Digest32) {
        let doubled = FIRST_PAUSE_MILLIS.checked_shl(self.failures.min(20)).unwrap_or(LONGEST_PAUSE_MILLIS);
        let pause = doubled.min(LONGEST_PAUSE_MILLIS);
        let dice = u64::from(digest.0.first().copied().unwrap_or(0) ^ self.failures.to_le_bytes()[0]);
        let jitter = pause.saturating_mul(dice).checked_div(1_024).unwrap_or(0);
        self.failures = self.failures.saturating_add(1);
        self.not_before = mono.saturating_add(pause).saturating_add(jitter);
    }
}

/// Pushes until told to stop. Nothing that goes wrong here stops the service.
pub(super) async fn run(service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        let Ok(config) = service.config() else { return };
        let Some(socket) = config.push_socket.clone() else { continue };
        if !backoff.is_due(service.mono()) {
            continue;
        }
        match service.parcel().await {
            Ok(Some(parcel)) => {
                tokio::select! {
                    () = deliver(&service, socket, parcel, &mut backoff) => {}
                    _ = stop.wait_for(|stopped| *stopped) => return,
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(event = "push-not-made", code = error.code(), %error, "an export cannot be made");
                backoff.failed(service.mono(), &Digest32::default());
            }
        }
    }
}

async fn deliver(service: &Arc<Service>, socket: PathBuf, parcel: Parcel, backoff: &mut Backoff) {
    let Parcel { generation, mark, bytes } = parcel;
    let digest = sha256(&bytes);
    let client = Client::new(&socket);
    let path = format!("/v1/exports/{digest}");
    let put = client.put_bytes(&path, bytes);
    let put = tokio::time::timeout(PATIENCE, put).await;
    let failure = match put {
        Ok(Ok(())) => match service.pushed(generation, mark).await {
            Ok(()) => None,
            Err(error) => Some(chain_text(&error)),
        },
        // It will not take this one, however often it is sent; the next quoted head makes another.
        Ok(Err(ClientError::Problem(problem))) if problem.status < 500 && problem.status != 429 => {
            tracing::error!(event = "push-refused", generation, code = %problem.code, "the verifier refuses: {problem}");
            service.pushed(generation, mark).await.err().map(|error| chain_text(&error))
        }
        Ok(Err(error)) => Some(chain_text(&error)),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    match failure {
        None => {
            count(&service.counters.pushes);
            *backoff = Backoff::default();
            tracing::info!(event = "pushed", generation, quoted = mark.quoted, %digest, "the verifier has the export");
        }
        Some(why) => {
            count(&service.counters.failed_pushes);
            if backoff.failures == 0 {
                tracing::warn!(event = "push-failed", generation, "{why}; tried again until it works");
            }
            backoff.failed(service.mono(), &digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_without_a_verifier_is_a_few_hundred_tries_and_a_quarter_of_an_hour_afterwards() {
        const WEEK: u64 = 7 * 24 * 3_600 * 1_000;
        for byte in [0, 1, 127, 255] {
            let (mut backoff, mut tries, mut mono) = (Backoff::default(), 0, 0);
            let digest = Digest32([byte; 32]);
            let mut longest = 0;
            while mono < WEEK {
                if backoff.is_due(mono) {
                    tries += 1;
                    backoff.failed(mono, &digest);
                    longest = longest.max(backoff.not_before - mono);
                }
                mono += 1_000;
            }
            assert!((500..700).contains(&tries), "{tries}");
            assert!(longest <= LONGEST_PAUSE_MILLIS + LONGEST_PAUSE_MILLIS / 4, "{longest}");
        }
    }

    #[test]
    fn nodes_do_not_come_back_together() {
        let mut waits = std::collections::BTreeSet::new();
        for byte in 0..=255 {
            let mut backoff = Backoff { failures: 12, not_before: 0 };
            backoff.failed(0, &Digest32([byte; 32]));
            waits.insert(backoff.not_before);
        }
        assert!(waits.len() > 200, "{}", waits.len());
    }
}
