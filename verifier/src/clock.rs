//! **Duty.** The only place of this crate that reads the clock. Everything below is handed the instant.

use std::time::{SystemTime, UNIX_EPOCH};

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
