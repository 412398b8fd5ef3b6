//! **Duty.** The only place of this crate that reads clocks and waits. Everything else is handed a [`Clock`], so that
//! waiting for minutes takes a test no time.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weighbridge_attest_types::UnixMillis;

/// Time that passes.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Since some moment in the past; never goes back.
    fn monotonic(&self) -> Duration;
    /// What a calendar shows.
    fn wall(&self) -> UnixMillis;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// This machine's.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// Begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the door: below it time is a Clock")]
    pub fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the door: below it time is a Clock")]
    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Time that passes only when somebody waits.
    #[derive(Debug, Default)]
    pub(crate) struct Still {
        now: Mutex<Duration>,
        slept: Mutex<Vec<Duration>>,
    }

    impl Still {
        pub(crate) fn slept(&self) -> Vec<Duration> {
            self.slept.lock().unwrap().clone()
        }
    }

    impl Clock for Still {
        fn monotonic(&self) -> Duration {
            *self.now.lock().unwrap()
        }
        fn wall(&self) -> UnixMillis {
            UnixMillis(1_790_812_800_000 + u64::try_from(self.monotonic().as_millis()).unwrap())
        }
        fn sleep(&self, time: Duration) {
            *self.now.lock().unwrap() += time;
            self.slept.lock().unwrap().push(time);
        }
    }
}
