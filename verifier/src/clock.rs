//! **Duty.** The only place of this crate that reads the clock. Everything below is handed the instant.

use std::num::NonZeroU64;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weighbridge_attest_types::UnixMillis;

use crate::error::CliError;

/// This machine's time.
///
/// # Errors
/// [`CliError::Clock`] when the clock stands before 1970.
#[expect(clippy::disallowed_methods, reason = "the door: below it the instant is an argument")]
pub(crate) fn now() -> Result<UnixMillis, CliError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| CliError::Clock)?;
    u64::try_from(since.as_millis()).map(UnixMillis).map_err(|_| CliError::Clock)
}

/// Time since a beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the door: progress says how long is left")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Keeps reading at a rate: who is ahead waits.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: NonZeroU64,
    began: Instant,
}

impl Pace {
    #[expect(clippy::disallowed_methods, reason = "the door: a pace is held against the machine's clock")]
    pub(crate) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, began: Instant::now() }
    }

    /// Waits until `bytes` since the beginning are no more than the rate allows.
    pub(crate) fn keep(&mut self, bytes: u64) {
        sleep(lead(bytes, self.bytes_per_second, self.began.elapsed()));
    }
}

/// How long it is until `bytes` are due.
fn lead(bytes: u64, bytes_per_second: NonZeroU64, elapsed: Duration) -> Duration {
    let nanos = u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(bytes_per_second.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ahead_waits_and_who_is_late_does_not() {
        let rate = NonZeroU64::new(500_000_000).unwrap();
        assert_eq!(lead(1_000_000_000, rate, Duration::from_millis(500)), Duration::from_millis(1_500));
        assert_eq!(lead(1_000_000_000, rate, Duration::from_secs(3)), Duration::ZERO);
        assert_eq!(lead(u64::MAX, NonZeroU64::MIN, Duration::ZERO), Duration::from_nanos(u64::MAX));
    }
}
