//! **Duty.** How findings and report lines are worded: instants, shortened digests, lists, error chains, JSON members.
//! **Knows** formatting. **Does not know** what anything means.

use std::error::Error;
use std::fmt::Display;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weighbridge_attest_types::{Device, UnixMillis};

/// An instant as RFC 3339 in UTC; an instant outside the calendar as its milliseconds.
pub(crate) fn instant(at: UnixMillis) -> String {
    let nanos = i128::from(at.0).saturating_mul(1_000_000);
    let formatted = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|at| at.format(&Rfc3339).ok());
    formatted.unwrap_or_else(|| format!("{} ms after 1970", at.0))
}

/// The first eight bytes of a device identity: enough to find it in the roster.
pub(crate) fn short(device: Device) -> String {
    device.0.to_string().chars().take(16).collect()
}

/// `a, b and 3 more`: at most eight items are spelled out.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const SPELLED: usize = 8;
    let mut items = items.into_iter();
    let spelled: Vec<String> = items.by_ref().take(SPELLED).map(|item| cut(item.to_string(), MAX_ITEM)).collect();
    match (spelled.join(", "), items.count()) {
        (spelled, 0) => spelled,
        (spelled, more) => format!("{spelled} and {more} more"),
    }
}

/// Characters of one listed item.
const MAX_ITEM: usize = 200;

/// At most `most` characters: what a hostile bundle says must not swell the answer about it.
pub(crate) fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// An error with everything behind it; no `Display` of ours repeats its source.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Deterministic, readable JSON with a last newline; empty only if a value cannot be JSON, which ours can.
pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_utc_and_never_panic() {
        assert_eq!(instant(UnixMillis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(instant(UnixMillis(1_767_225_600_500)), "2026-01-01T00:00:00.5Z");
        assert_eq!(instant(UnixMillis(u64::MAX)), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("αβγ".to_owned(), 3), "αβγ");
        assert_eq!(cut("αβγδ".to_owned(), 3), "αβγ…");
        assert_eq!(list(["x".repeat(300)]), format!("{}…", "x".repeat(200)));
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(list(["a", "b"]), "a, b");
        assert_eq!(list(0..10), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
