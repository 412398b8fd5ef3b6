//! **Duty.** Text from outside, made harmless to look at: control characters and invisible direction marks are spelled
//! out, so that a provider's name cannot repaint a terminal or reorder a sentence. **Does not know** markup.

/// The text with every character that does not show itself written as `\u{…}`.
#[must_use]
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Controls, and the characters that change direction or take no room (Unicode UAX #9 §2, and the byte order mark).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(character, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_for_terminals_and_direction_marks_lose_their_power() {
        assert_eq!(visible("a\u{1b}[31mred"), "a\\u{1b}[31mred");
        assert_eq!(visible("below\u{202e}evoba"), "below\\u{202e}evoba");
        assert_eq!(visible("line\nbreak"), "line\\u{a}break");
    }

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        for text in ["Šumava a. s.", "模型 七", "×10²⁵ – “ok”", "𝛑 & <tag>"] {
            assert_eq!(visible(text), text);
        }
    }
}
