//! **Duty.** Text from outside, made harmless to look at: what does not show itself is spelled out, and a provider's
//! words are cut short, so that they cannot repaint a terminal, reorder a sentence or pass for ours.
//! **Does not know** markup.

use std::ops::RangeInclusive;

/// Characters of one name that are shown.
const CITED: usize = 120;
/// Characters of one description that are shown.
const DESCRIBED: usize = 480;

/// `Default_Ignorable_Code_Point` of Unicode 16.0 (`DerivedCoreProperties.txt`) below U+40000: soft hyphen, joiners,
/// direction marks, Hangul fillers, variation selectors.
const IGNORABLE: [RangeInclusive<char>; 16] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fff8}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
];

/// The other format characters, `General_Category` Cf of Unicode 16.0 (`DerivedGeneralCategory.txt`).
const FORMAT: [RangeInclusive<char>; 9] = [
    '\u{600}'..='\u{605}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
];

/// Characters whose picture is blank or nobody's: empty Braille cell, object replacement, Khitan filler, null note head,
/// private use, noncharacters, and the planes from U+40000 on, which hold tags, selectors, private use and nothing else.
const BLANK: [RangeInclusive<char>; 10] = [
    '\u{2800}'..='\u{2800}',
    '\u{e000}'..='\u{f8ff}',
    '\u{fdd0}'..='\u{fdef}',
    '\u{fffc}'..='\u{fffc}',
    '\u{fffe}'..='\u{ffff}',
    '\u{16fe4}'..='\u{16fe4}',
    '\u{1d159}'..='\u{1d159}',
    '\u{1fffe}'..='\u{1ffff}',
    '\u{2fffe}'..='\u{2ffff}',
    '\u{3fffe}'..='\u{10ffff}',
];

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

/// A provider's words as they may stand between “ and ”: visible, short, and unable to close the quotation.
#[must_use]
pub(crate) fn cited(text: &str) -> String {
    cited_within(text, CITED)
}

/// The same for a description, such as a method with its factors.
#[must_use]
pub(crate) fn described(text: &str) -> String {
    cited_within(text, DESCRIBED)
}

fn cited_within(text: &str, mut room: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let is_spelled = is_hidden(character) || matches!(character, '“' | '”');
        let length = if is_spelled { character.escape_unicode().len() } else { 1 };
        let Some(rest) = room.checked_sub(length) else {
            out.push('…');
            break;
        };
        room = rest;
        if is_spelled {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Controls, every `White_Space` (`PropList.txt`) but the plain space, and the tables above.
fn is_hidden(character: char) -> bool {
    let is_in = |table: &[RangeInclusive<char>]| table.iter().any(|range| range.contains(&character));
    let is_odd_space = character != ' ' && character.is_whitespace();
    !character.is_ascii_graphic()
        && (character.is_control() || is_odd_space || is_in(&IGNORABLE) || is_in(&FORMAT) || is_in(&BLANK))
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
    fn every_character_that_takes_room_or_none_unseen_is_spelled() {
        let spaces = "\t\u{b}\u{85}\u{a0}\u{1680}\u{2000}\u{2003}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
        let ignorable = "\u{ad}\u{34f}\u{115f}\u{1160}\u{17b5}\u{180b}\u{180e}\u{200b}\u{200d}\u{2066}\u{3164}\u{fe0f}";
        let others = "\u{feff}\u{ffa0}\u{fff9}\u{fffc}\u{2800}\u{600}\u{13430}\u{1d159}\u{1d173}\u{e000}\u{ffff}";
        let beyond = "\u{4ffff}\u{e0001}\u{e0100}\u{f0000}\u{10ffff}";
        for character in [spaces, ignorable, others, beyond].concat().chars() {
            let expected = character.escape_unicode().to_string();
            assert_eq!(visible(&character.to_string()), expected);
            assert_eq!(cited(&character.to_string()), expected);
        }
    }

    #[test]
    fn the_tables_are_in_order() {
        for table in [&IGNORABLE[..], &FORMAT, &BLANK] {
            assert!(table.windows(2).all(|pair| pair[0].end() < pair[1].start()));
            assert!(table.iter().all(|range| range.start() <= range.end()));
        }
    }

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        for text in ["Šumava a. s.", "模型 七", "×10²⁵ – “ok”", "𝛑 & <tag>", "مدل ۷", "दो मॉडल", "한글"]
        {
            assert_eq!(visible(text), text);
        }
    }

    /// Marks that stack are letters' own and are not spelled; a tower of them is cut where every citation is.
    #[test]
    fn a_tower_of_combining_marks_is_cut() {
        let tower = format!("e{}", "\u{301}".repeat(240));
        assert_eq!(cited(&tower).chars().count(), CITED + 1);
    }

    #[test]
    fn a_citation_is_short_and_stays_between_its_marks() {
        assert_eq!(cited("example-7b"), "example-7b");
        let full = "x".repeat(CITED);
        assert_eq!(cited(&full), full);
        assert_eq!(cited(&"é".repeat(1 << 15)), format!("{}…", "é".repeat(CITED)));
        assert_eq!(cited("a” by “b"), "a\\u{201d} by \\u{201c}b");
        assert_eq!(cited(&"\u{a0}".repeat(1 << 15)), format!("{}…", "\\u{a0}".repeat(CITED / 6)));
    }
}
