//! **Duty.** Instants as people type and read them: RFC 3339 in, UTC out. **Does not know** what time it is (`clock`).

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use weighbridge_attest_types::UnixMillis;

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum InstantError {
    /// Not RFC 3339.
    #[error("`{0}` is not a time; write it as RFC 3339, such as 2026-03-01T12:00:00Z")]
    Syntax(String),
    /// Before 1970.
    #[error("`{0}` lies before 1970-01-01T00:00:00Z; no evidence is that old")]
    BeforeEpoch(String),
}

/// Reads RFC 3339 with any offset. What is finer than a millisecond is cut off.
///
/// # Errors
/// [`InstantError`].
pub(crate) fn parse(text: &str) -> Result<UnixMillis, InstantError> {
    let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InstantError::Syntax(text.to_owned()))?;
    let millis = instant.unix_timestamp_nanos().div_euclid(1_000_000);
    u64::try_from(millis).map(UnixMillis).map_err(|_| InstantError::BeforeEpoch(text.to_owned()))
}

/// RFC 3339 in UTC, which [`parse`] reads back.
#[must_use]
pub(crate) fn rfc3339(instant: UnixMillis) -> String {
    let text = date_time(instant).and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_else(|| beyond_the_calendar(instant))
}

/// Such as `2026-03-01 12:00:00 UTC`, to the second, for reading.
#[must_use]
pub(crate) fn readable(instant: UnixMillis) -> String {
    let pattern = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let text = date_time(instant).and_then(|at| at.format(&pattern).ok());
    text.unwrap_or_else(|| beyond_the_calendar(instant))
}

fn date_time(instant: UnixMillis) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(instant.0) * 1_000_000).ok()
}

fn beyond_the_calendar(instant: UnixMillis) -> String {
    format!("{} ms after 1970-01-01T00:00:00Z", instant.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_fractions_are_understood() {
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Ok(UnixMillis(1_500)));
        assert_eq!(parse("2026-03-01T13:00:00+01:00"), parse("2026-03-01T12:00:00Z"));
        assert_eq!(parse("1970-01-01T00:00:00.0019Z"), Ok(UnixMillis(1)));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "now", "2026-03-01", "2026-03-01 12:00:00", "2026-03-01T12:00:00", "2026-02-30T00:00:00Z"] {
            assert_eq!(parse(text), Err(InstantError::Syntax(text.to_owned())));
        }
        let early = "1969-12-31T23:59:59.9999Z";
        assert_eq!(parse(early), Err(InstantError::BeforeEpoch(early.to_owned())));
    }

    #[test]
    fn printing_reads_back_and_never_panics() {
        let instant = UnixMillis(1_772_366_400_123);
        assert_eq!(rfc3339(instant), "2026-03-01T12:00:00.123Z");
        assert_eq!(parse(&rfc3339(instant)), Ok(instant));
        assert_eq!(readable(instant), "2026-03-01 12:00:00 UTC");
        assert_eq!(rfc3339(UnixMillis(u64::MAX)), "18446744073709551615 ms after 1970-01-01T00:00:00Z");
    }
}
