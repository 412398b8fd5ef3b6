//! **Duty.** When a head that is due is quoted: a moment later than its seal, another on each node, so that the nodes of a
//! cluster do not ask one host's quote service at once; and ever later while quotes fail. **Knows** randomness and failures.
//! **Does not know** quotes. A quote that somebody waits for is never held up here. **Spec.** ECOSYSTEM §8 (a).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::randomness::random_below;

/// A tenth of the interval, and no more than this.
const MOST_JITTER_MILLIS: u64 = 10_000;
/// Below this a node is tried out, not one of a cluster.
const LEAST_INTERVAL_MILLIS: u64 = 10_000;
/// Waits double from the first to the last.
const FIRST_WAIT_MILLIS: u64 = 1_000;
const LAST_WAIT_MILLIS: u64 = 300_000;

/// How fast heads are quoted.
#[derive(Debug)]
pub(super) struct Pace {
    failures: AtomicU32,
    stopped: watch::Sender<bool>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { failures: AtomicU32::new(0), stopped: watch::Sender::new(false) }
    }
}

impl Pace {
    /// Hears how a quote ended.
    pub(super) fn hear(&self, good: bool) {
        if good {
            self.failures.store(0, Ordering::Relaxed);
        } else {
            let _ = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |failed| failed.checked_add(1));
        }
    }

    /// Waits until it is time; false when the service stops first.
    pub(super) async fn wait(&self, interval_millis: u64) -> bool {
        let millis = wait_millis(self.failures.load(Ordering::Relaxed), interval_millis, random_below);
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(millis)) => !*self.stopped.borrow(),
            _ = stopped.wait_for(|stopped| *stopped) => false,
        }
    }

    /// Ends every wait.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

/// With failures: between half of the wait and all of it. Without: somewhere in the first tenth of an interval.
fn wait_millis(failures: u32, interval_millis: u64, random_below: impl Fn(u64) -> u64) -> u64 {
    if failures == 0 {
        let most = interval_millis.checked_div(10).unwrap_or_default().min(MOST_JITTER_MILLIS);
        return if interval_millis < LEAST_INTERVAL_MILLIS { 0 } else { random_below(most) };
    }
    let doubled = 2_u64.saturating_pow(failures.saturating_sub(1));
    let wait = FIRST_WAIT_MILLIS.saturating_mul(doubled).min(LAST_WAIT_MILLIS);
    let half = wait.checked_div(2).unwrap_or_default();
    half.saturating_add(random_below(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_five_minutes_and_are_never_the_same_for_all() {
        let least = |failures| wait_millis(failures, 60_000, |_| 0);
        let most = |failures| wait_millis(failures, 60_000, |below| below - 1);
        assert_eq!(
            [1, 2, 3, 9, 10, 1_000, u32::MAX].map(least),
            [500, 1_000, 2_000, 128_000, 150_000, 150_000, 150_000]
        );
        assert_eq!([1, 2, 9, u32::MAX].map(most), [999, 1_999, 255_999, 299_999]);
    }

    #[test]
    fn a_quote_that_is_due_waits_a_tenth_of_an_interval_at_most() {
        let most = |interval| wait_millis(0, interval, |below| below.saturating_sub(1));
        assert_eq!([0, 1_000, 9_999, 10_000, 60_000, 600_000].map(most), [0, 0, 0, 999, 5_999, 9_999]);
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_service_stops() {
        let pace = Pace::default();
        assert!(pace.wait(0).await);
        (0..20).for_each(|_| pace.hear(false));
        pace.stop();
        assert!(!pace.wait(0).await);
        pace.hear(true);
        assert!(!pace.wait(0).await, "stopped for good");
    }
}
