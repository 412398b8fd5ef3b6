//! **Duty.** The shape of DER before a library reads it: every length inside its surroundings, so that nothing is
//! allocated on the word of a length alone, and few enough parts that a library may sort them. **Knows** tags and lengths.
//! **Does not know** what any value means. **Spec.** X.690 §8.1 and §10.1.

/// Levels. Source: ours; an OCSP response has 12, in the names of its responder's certificate.
const MAX_DEPTH: usize = 24;
/// Parts of a SET: the library sorts them by insertion. Source: ours; names have one or two.
const MAX_SET_PARTS: usize = 16;
/// Parts of anything else. Source: ours; a responder that answers for a whole site at once.
const MAX_PARTS: usize = 1_024;

const CONSTRUCTED: u8 = 0x20;
const SET: u8 = 0x31;
/// Low bits of a tag that goes on in further bytes.
const LONG_TAG: u8 = 0x1f;

/// One value: its tag, its content, and all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'b> {
    pub(crate) tag: u8,
    pub(crate) content: &'b [u8],
    pub(crate) whole: &'b [u8],
}

impl<'b> Value<'b> {
    /// The values inside; what does not split ends the list. After [`check`] everything splits.
    pub(crate) fn parts(self) -> impl Iterator<Item = Self> {
        let mut rest: &'b [u8] = self.content;
        std::iter::from_fn(move || {
            let (value, after) = split(rest)?;
            rest = after;
            Some(value)
        })
    }
}

/// The one value that fills some bytes, if all that is in it is in bounds. Octet strings are not looked into.
pub(crate) fn check(bytes: &[u8]) -> Option<Value<'_>> {
    let (value, rest) = split(bytes)?;
    (rest.is_empty() && is_in_bounds(value, MAX_DEPTH)).then_some(value)
}

fn is_in_bounds(value: Value<'_>, depth: usize) -> bool {
    if value.tag & CONSTRUCTED == 0 {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let most = if value.tag == SET { MAX_SET_PARTS } else { MAX_PARTS };
    let (mut rest, mut parts) = (value.content, 0usize);
    while !rest.is_empty() {
        let Some((part, after)) = split(rest) else { return false };
        parts = parts.saturating_add(1);
        if parts > most || !is_in_bounds(part, depth) {
            return false;
        }
        rest = after;
    }
    true
}

/// The first value, and what follows it. Short tags, definite lengths of at most two bytes: below the caps of endorsements
/// no length needs a third.
fn split(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&[tag, first], after) = bytes.split_first_chunk()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81 => after.split_first().map(|(&only, after)| (usize::from(only), after))?,
        0x82 => after.split_first_chunk().map(|(&two, after)| (usize::from(u16::from_be_bytes(two)), after))?,
        _ => return None,
    };
    let (content, rest) = after.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len().checked_sub(rest.len())?)?;
    (tag & LONG_TAG != LONG_TAG).then_some((Value { tag, content, whole }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::der;

    #[test]
    fn values_are_split_and_kept_whole() {
        let inner = [der(0x02, &[7]), der(0x04, &[9; 200])].concat();
        let bytes = der(0x30, &inner);
        let value = check(&bytes).unwrap();
        assert_eq!((value.tag, value.content, value.whole), (0x30, &inner[..], &bytes[..]));
        let parts: Vec<_> = value.parts().map(|part| (part.tag, part.whole.len())).collect();
        assert_eq!(parts, [(0x02, 3), (0x04, 203)]);
    }

    #[test]
    fn a_length_beyond_its_surroundings_and_what_follows_are_refused() {
        let octets = |length: &[u8]| der(0x30, &[&[0x04], length, &[1; 4]].concat());
        assert!(check(&octets(&[4])).is_some());
        for length in [&[5][..], &[0x82, 0xff, 0xff], &[0x84, 0x0f, 0xff, 0xff, 0xff], &[0x80]] {
            assert_eq!(check(&octets(length)), None, "{length:x?}");
        }
        for bytes in [&b""[..], b"\x30", b"\x30\x00\x00", b"\x1f\x01\x00", b"\x3f\x00"] {
            assert_eq!(check(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn depth_and_parts_are_bounded() {
        let deep = |levels: usize| (0..levels).fold(der(0x05, &[]), |inner, _| der(0x30, &inner));
        assert!(check(&deep(MAX_DEPTH)).is_some() && check(&deep(MAX_DEPTH + 1)).is_none());
        let many = |tag: u8, count: usize| der(tag, &[5, 0].repeat(count));
        assert!(check(&many(SET, MAX_SET_PARTS)).is_some() && check(&many(SET, MAX_SET_PARTS + 1)).is_none());
        assert!(check(&many(0x30, MAX_PARTS)).is_some() && check(&many(0x30, MAX_PARTS + 1)).is_none());
    }
}
