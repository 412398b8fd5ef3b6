//! **Duty.** Sentences of the report made easy on the eye: a capital, a full stop, groups of three in long numbers,
//! lines that end in time.
//! **Does not know** what they say, and changes no figure.

use crate::figures::grouped;

/// Digits from which a number is grouped; years and milliseconds of a minute stay as they are.
const LONG: usize = 5;

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
    // A percent sign stays with its number.
    text.replace(" %", "\u{a0}%")
}

/// The text in lines of at most `width` characters, each after `indent` spaces; a longer word stands alone.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() + indent <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
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
        assert_eq!(wrapped("incomprehensible it is", 8, 0), "incomprehensible\nit is\n");
        assert_eq!(wrapped("", 8, 2), "");
        assert_eq!(wrapped(&numbers("cover 99.76 %"), 11, 0), "cover\n99.76\u{a0}%\n");
    }

    #[test]
    fn a_fragment_becomes_a_sentence_once() {
        assert_eq!(sentence("no steps audited yet"), "No steps audited yet.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence("école"), "École.");
        assert_eq!(sentence(""), "");
    }
}
