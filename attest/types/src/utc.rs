//! **Duty.** Instants as people write them in files: `2026-03-01T12:00:00Z` and `2026-03-01`, one spelling each.
//! **Knows** the Gregorian calendar. **Does not know** any clock or time zone but UTC. **Spec.** RFC 3339.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::UnixMillis;

const MILLIS_PER_DAY: u64 = 86_400_000;

/// Reads `YYYY-MM-DDTHH:MM:SSZ`, from 1970 to 9999.
#[must_use]
pub fn parse_instant(text: &str) -> Option<UnixMillis> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.split(':').map(|part| two(part).filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(UnixMillis(parse_day(date)? * MILLIS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1_000))
}

/// Days from 1970-01-01 to `YYYY-MM-DD`.
#[must_use]
pub(crate) fn parse_day(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let (year, month, day) = (two(year)?, two(month)?, two(day)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before: u64 = length.iter().take(usize::try_from(month.checked_sub(1)?).ok()?).sum();
    let last = *length.get(usize::try_from(month - 1).ok()?)?;
    if year < 1970 || !(1..=last).contains(&day) {
        return None;
    }
    let past = year - 1;
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    Some((year - 1970) * 365 + leaps(past) - leaps(1969) + before + day - 1)
}

/// Digits only: a sign or a space is another spelling.
fn two(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Writes what [`parse_instant`] reads; milliseconds are cut off.
#[must_use]
pub fn format_instant(at: UnixMillis) -> String {
    let (days, seconds) = (at.0 / MILLIS_PER_DAY, at.0 % MILLIS_PER_DAY / 1_000);
    let (mut year, mut rest) = (1970, days);
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = if leap { 366 } else { 365 };
        // Beyond the calendar of RFC 3339 the year only stops growing.
        if rest < length || year == 9_999 {
            break;
        }
        (year, rest) = (year + 1, rest - length);
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut month = 1;
    for length in [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < length {
            break;
        }
        (month, rest) = (month + 1, rest - length);
    }
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", rest + 1)
}

/// An instant that a file spells as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub UnixMillis);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_instant(self.0))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_instant(&text).map(Self).ok_or_else(|| D::Error::custom("write times as 2026-03-01T12:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_one_spelling_and_come_back() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-01T00:00:00Z", 1_793_491_200_000),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
        ] {
            assert_eq!(parse_instant(text), Some(UnixMillis(millis)), "{text}");
            assert_eq!(format_instant(UnixMillis(millis)), text);
        }
        for wrong in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+00:00",
            "+026-01-01T00:00:00Z",
            "2026-01-01T0:00:00Z",
            "1969-12-31T00:00:00Z",
            "",
        ] {
            assert_eq!(parse_instant(wrong), None, "{wrong}");
        }
    }
}
