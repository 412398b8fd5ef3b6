//! **Duty.** What each file of a store says, and how it stands at an instant. **Knows** windows. **Does not know** whether
//! a statement is signed: a forged file may show any dates here, and moves no verdict. **Spec.** ECOSYSTEM §3 (15, 16).

use std::time::Duration;

use serde::Serialize;
use weighbridge_attest::{Endorsements, VendorStatement};
use weighbridge_attest_types::UnixMillis;

/// How a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All it says holds, and goes on holding.
    Valid,
    /// Something in it ends before the time that was asked about.
    Ending,
    /// Something in it has ended.
    Ended,
    /// Something in it does not hold yet.
    NotYet,
    /// Something in it says no dates.
    Undated,
    /// Some kind of evidence knows it, and cannot read it.
    Unreadable,
    /// No kind of evidence knows it.
    Unknown,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// Its name.
    pub name: String,
    /// The kind of evidence that it is for.
    pub kind: Option<&'static str>,
    /// All it says.
    pub statements: Vec<VendorStatement>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
    /// How it stands.
    pub state: State,
}

impl FileStatus {
    /// The first instant at which all it says holds.
    #[must_use]
    pub fn from(&self) -> Option<UnixMillis> {
        self.statements.iter().filter_map(|statement| statement.from).max()
    }

    /// The last instant at which all it says holds; `None` where a part does not say.
    #[must_use]
    pub fn until(&self) -> Option<UnixMillis> {
        let mut until = None;
        for statement in self.statements.iter().filter(|statement| !statement.is_timeless) {
            let end = statement.until?;
            until = Some(until.map_or(end, |earlier: UnixMillis| earlier.min(end)));
        }
        until
    }
}

/// Looks at files, each with its name. What ends at or before `now + within_millis` is ending.
#[must_use]
pub fn status(files: &[(String, Vec<u8>)], now: UnixMillis, within_millis: u64) -> Vec<FileStatus> {
    let contents: Vec<Vec<u8>> = files.iter().map(|(_, bytes)| bytes.clone()).collect();
    let recognised = Endorsements::recognise_store(&contents);
    let mut rows: Vec<FileStatus> = files
        .iter()
        .map(|(name, _)| FileStatus {
            name: name.clone(),
            kind: None,
            statements: Vec::new(),
            unreadable: recognised.within_budget().err().map(|error| error.to_string()),
            state: State::Unknown,
        })
        .collect();
    for (place, kind, said) in recognised.described() {
        let Some(row) = rows.get_mut(place) else { continue };
        row.kind = Some(kind);
        match said {
            Ok(statements) => row.statements = statements,
            Err(failure) => row.unreadable = Some(failure.message.clone()),
        }
        row.state = state(row, now, within_millis);
    }
    rows
}

fn state(row: &FileStatus, now: UnixMillis, within_millis: u64) -> State {
    if row.unreadable.is_some() {
        return State::Unreadable;
    }
    let ends = || row.statements.iter().filter_map(|statement| statement.until);
    let is_timeless = !row.statements.is_empty() && row.statements.iter().all(|statement| statement.is_timeless);
    let soon = now.0.saturating_add(within_millis);
    if ends().any(|end| end < now) {
        State::Ended
    } else if row.from().is_some_and(|from| from > now) {
        State::NotYet
    } else if within_millis > 0 && ends().any(|end| end.0 <= soon) {
        State::Ending
    } else if row.until().is_none() && !is_timeless {
        State::Undated
    } else {
        State::Valid
    }
}

/// A length of time as people write it: seconds, minutes, hours, days or weeks, such as `12h` or `7d`.
///
/// # Errors
/// A sentence with the syntax.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let syntax = || format!("`{text}` is no length of time; write 30s, 5m, 12h, 7d or 2w");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(syntax)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(syntax()),
    };
    // A sign or a space is another spelling.
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits).ok_or_else(syntax)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_one_form() {
        assert_eq!(parse_span("2w"), Ok(Duration::from_secs(1_209_600)));
        assert_eq!(parse_span("0s"), Ok(Duration::ZERO));
        for wrong in ["", "s", "5", "-1s", "+1s", "1y", "1.5h", "99999999999999999999d", "18446744073709551615w", "5é"]
        {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    fn row(ends: &[Option<u64>]) -> FileStatus {
        let statement = |end: &Option<u64>| VendorStatement {
            what: "certificate",
            about: "x".to_owned(),
            from: Some(UnixMillis(100)),
            until: end.map(UnixMillis),
            is_timeless: false,
        };
        FileStatus {
            name: "x".to_owned(),
            kind: Some("tdx"),
            statements: ends.iter().map(statement).collect(),
            unreadable: None,
            state: State::Unknown,
        }
    }

    #[test]
    fn the_earliest_end_decides_and_both_ends_count() {
        let at = |ends: &[Option<u64>], now, within| state(&row(ends), UnixMillis(now), within);
        let two = [Some(1_000), Some(500)];
        assert_eq!(row(&two).until(), Some(UnixMillis(500)));
        assert_eq!(at(&two, 99, 0), State::NotYet);
        assert_eq!(at(&two, 100, 0), State::Valid);
        assert_eq!(at(&two, 500, 0), State::Valid);
        assert_eq!(at(&two, 501, 0), State::Ended);
        assert_eq!(at(&two, 400, 99), State::Valid);
        assert_eq!(at(&two, 400, 100), State::Ending);
        assert_eq!(at(&[Some(1_000), None], 100, 0), State::Undated);
        assert_eq!(at(&[Some(1_000), None], 1_001, 0), State::Ended);
        assert_eq!(at(&[], 100, 0), State::Undated);
        let mut timeless = row(&[None]);
        timeless.statements[0].is_timeless = true;
        assert_eq!(state(&timeless, UnixMillis(100), u64::MAX), State::Valid);
        timeless.statements.extend(row(&[Some(500), None]).statements);
        assert_eq!(timeless.until(), None);
        assert_eq!(state(&timeless, UnixMillis(100), 0), State::Undated);
        assert_eq!(at(&[Some(u64::MAX)], 100, u64::MAX), State::Ending);
    }

    #[test]
    fn junk_is_unknown_and_what_looks_right_and_is_not_is_unreadable() {
        let files = [("a", "junk"), ("b", " {\"tcb_info\": 3}")].map(|(name, text)| (name.to_owned(), text.into()));
        let rows = status(&files, UnixMillis(0), 0);
        let states: Vec<State> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Unknown, State::Unreadable]);
        assert_eq!((rows[0].kind, rows[1].kind), (None, Some("tdx")));
    }
}
