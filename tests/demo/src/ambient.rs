//! **Duty.** The demo's only look at clocks and randomness. **Does not know** why anybody asks.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::SystemRandom;
use weighbridge_attest_types::UnixMillis;

/// Time since it was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this module is the demo's clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The wall clock; a machine whose clock lies before 1970 reads as 1970 and then fails appraisal.
#[expect(clippy::disallowed_methods, reason = "this module is the demo's clock")]
pub(crate) fn unix_now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Random bytes from the operating system.
///
/// # Errors
/// When the operating system has none.
#[expect(clippy::disallowed_methods, reason = "this module is the demo's source of randomness")]
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]>
where
    [u8; N]: ring::rand::RandomlyConstructable,
{
    let bytes = ring::rand::generate(&SystemRandom::new()).map(ring::rand::Random::expose);
    bytes.map_err(|_| io::Error::other("the operating system gives no random bytes"))
}
