//! **Duty.** Sentences of the report made easy on the eye: a capital, a full stop, groups of three in long numbers,
//! lines that end in time.
//! **Does not know** what they say, and changes no figure.

use weighbridge_attest_types::ProfileLine;

use crate::figures::grouped;

/// Digits from which a number is grouped; years and milliseconds of a minute stay as they are.
const LONG: usize = 5;
/// Columns of a wide character.
const WIDE: usize = 2;

/// A fragment as a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut sentence = capital(&numbers(text.trim()));
    if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

/// The first letter as a capital.
pub(crate) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).collect()
}

/// Long whole numbers in groups of three. Digits that are part of a word, a digest, a decimal or a date stay alone.
pub(crate) fn numbers(text: &str) -> String {
    let is_part =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | ',' | '-' | '/' | ':');
    let text: String = text.split_inclusive(|character: char| !is_part(character)).map(word).collect();
    // A percent sign stays with its number, and without a space nothing has to hold the two together.
    text.replace(" %", "%")
}

/// The text in lines of at most `width` columns, each after `indent` spaces. A longer word is broken: whoever wrote it
/// does not choose what stands at the left edge.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let room = width.saturating_sub(indent).max(WIDE);
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for piece in text.split(' ').filter(|word| !word.is_empty()).flat_map(|word| pieces(word, room)) {
        let needed = piece.chars().map(columns).sum::<usize>();
        match lines.last_mut() {
            // Of a broken word only the last piece leaves room for this.
            Some(line) if used + 1 + needed <= room => {
                line.push(' ');
                line.push_str(&piece);
                used += 1 + needed;
            }
            _ => {
                lines.push(piece);
                used = needed;
            }
        }
    }
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// A text that hangs beside the head of its first line; the head takes `indent` columns.
pub(crate) fn beside(head: &str, text: &str, width: usize, indent: usize) -> String {
    format!("{head}{}\n", wrapped(text, width, indent).trim())
}

/// The status of a threshold, in words.
pub(crate) const fn status(line: &ProfileLine) -> &'static str {
    match line.status.as_bytes() {
        b"in-force" => "in force",
        b"future" => "not yet in force",
        b"rescinded" => "no longer in force",
        b"draft" => "draft",
        b"demonstration" => "demonstration, not a law",
        _ => "status not known",
    }
}

/// The same where it must not be missed: nothing where the threshold is in force.
pub(crate) fn status_aside(line: &ProfileLine) -> String {
    match status(line) {
        "in force" => String::new(),
        other => format!(", {other}"),
    }
}

/// A word in pieces of at most `room` columns.
fn pieces(word: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for character in word.chars() {
        if used + columns(character) > room {
            pieces.push(String::new());
            used = 0;
        }
        used += columns(character);
        pieces.last_mut().into_iter().for_each(|piece| piece.push(character));
    }
    pieces
}

/// Columns that a terminal may give to a character; it never gives more.
const fn columns(character: char) -> usize {
    if character.is_ascii() { 1 } else { WIDE }
}

/// One run of characters without a space, with what ends it.
fn word(word: &str) -> String {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = word.split_at(digits);
    // Only punctuation may follow, and then nothing of the same word.
    let alone = rest.trim_start_matches([',', '.', ':', ';', ')']).chars().all(char::is_whitespace);
    match number.parse::<u128>() {
        Ok(value) if alone && digits >= LONG && !number.starts_with('0') => format!("{}{rest}", grouped(value)),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped_and_nothing_else_is_touched() {
        let cases = [
            ("from 0 to 31890525387264000000 FLOP;", "from 0 to 31,890,525,387,264,000,000 FLOP;"),
            ("(12345)", "(12,345)"),
            ("10000, 20000.", "10,000, 20,000."),
            ("2000 ms", "2000 ms"),
            ("at 2026-03-01T12:00:00Z", "at 2026-03-01T12:00:00Z"),
            ("SHA-256 0123456789", "SHA-256 0123456789"),
            ("123456abc 12345.678 C(2025) 5045", "123456abc 12345.678 C(2025) 5045"),
            ("= 2141061120000000 FLOP/s", "= 2,141,061,120,000,000 FLOP/s"),
        ];
        for (text, expected) in cases {
            assert_eq!(numbers(text), expected);
        }
        let beyond = "9".repeat(60);
        assert_eq!(numbers(&beyond), beyond);
    }

    #[test]
    fn lines_end_in_time_and_no_word_is_lost() {
        assert_eq!(wrapped("one two three", 10, 2), "  one two\n  three\n");
        assert_eq!(wrapped("", 8, 2), "");
        assert_eq!(wrapped(&numbers("cover 99.76 %"), 11, 0), "cover\n99.76%\n");
        assert_eq!(beside("name  ", "one two three", 13, 6), "name  one two\n      three\n");
        assert_eq!(beside("name  ", "", 13, 6), "name  \n");
    }

    #[test]
    fn a_longer_word_is_broken_and_stays_indented() {
        assert_eq!(wrapped("incomprehensible it is", 10, 2), "  incompre\n  hensible\n  it is\n");
        assert_eq!(wrapped("an incomprehensible", 8, 0), "an\nincompre\nhensible\n");
        assert_eq!(wrapped("模型七模", 7, 2), "  模型\n  七模\n");
        assert_eq!(wrapped("abc", 0, 3), "   ab\n   c\n");
        let long = wrapped(&"x".repeat(1 << 16), 80, 11);
        assert!(long.lines().all(|line| line.starts_with("           x") && line.len() <= 80));
        assert_eq!(long.matches('x').count(), 1 << 16);
    }

    #[test]
    fn a_fragment_becomes_a_sentence_once() {
        assert_eq!(sentence("no steps audited yet"), "No steps audited yet.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence("école"), "École.");
        assert_eq!(sentence(""), "");
    }
}
