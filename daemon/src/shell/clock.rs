//! **Duty.** The only place that reads clocks. Boot time counts suspension, so that a machine asleep is a gap.
//! **Does not know** whether the wall clock is right: the host sets it. **Spec.** PROTOCOL §3 (Interval, Time bracket).

use std::fmt::Debug;
use std::fs;
use std::io;

use rustix::time::{ClockId, Timespec, clock_gettime};
use thiserror::Error;
use weighbridge_attest_types::UnixMillis;

use crate::intervals::Now;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Why the time is not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The boot id cannot be read.
    #[error("{BOOT_ID} cannot be read")]
    BootId(#[source] io::Error),
    /// The boot id is no UUID.
    #[error("{BOOT_ID} does not hold a UUID")]
    BootIdForm,
    /// A clock before its epoch.
    #[error("the {0} clock is before its epoch")]
    BeforeEpoch(&'static str),
}

/// Where the time comes from; a test moves its own.
pub trait Clock: Debug + Send + Sync {
    /// One reading of all clocks.
    ///
    /// # Errors
    /// [`ClockError`].
    fn now(&self) -> Result<Now, ClockError>;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    boot_id: [u8; 16],
}

impl SystemClock {
    /// Reads the boot id once; it cannot change under a process.
    ///
    /// # Errors
    /// [`ClockError`].
    pub fn new() -> Result<Self, ClockError> {
        let text = fs::read_to_string(BOOT_ID).map_err(ClockError::BootId)?;
        Ok(Self { boot_id: parse_boot_id(&text).ok_or(ClockError::BootIdForm)? })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Result<Now, ClockError> {
        let wall = millis(clock_gettime(ClockId::Realtime)).ok_or(ClockError::BeforeEpoch("wall"))?;
        let mono = millis(clock_gettime(ClockId::Boottime)).ok_or(ClockError::BeforeEpoch("boot-time"))?;
        Ok(Now { wall: UnixMillis(wall), mono, boot_id: self.boot_id })
    }
}

/// Milliseconds since boot, to keep a pace by.
pub(super) fn boot_millis() -> u64 {
    millis(clock_gettime(ClockId::Boottime)).unwrap_or(0)
}

fn millis(time: Timespec) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u64::try_from(time.tv_nsec).ok()?;
    seconds.checked_mul(1_000)?.checked_add(nanos.checked_div(1_000_000)?)
}

fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    hex::decode(digits).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run_forward_in_one_boot() {
        let clock = SystemClock::new().unwrap();
        let (first, second) = (clock.now().unwrap(), clock.now().unwrap());
        assert!(second.mono >= first.mono && first.mono > 0);
        assert!(first.wall.0 > 1_700_000_000_000);
        assert_eq!(first.boot_id, second.boot_id);
        assert_eq!(parse_boot_id("00112233-4455-6677-8899-aabbccddeeff\n").unwrap()[15], 0xff);
        assert_eq!(parse_boot_id("00112233"), None);
    }
}
