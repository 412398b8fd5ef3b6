//! **Duty.** How large the parts of an answer are, before a library reads it; and the bytes of its certificates as they
//! came. **Knows** tags and lengths of DER. **Does not know** what any part means. **Spec.** X.690 §8.1, §10.1.

use super::TimestampError;
use super::token::form;

/// Parts of one value. The library sorts each SET by insertion, at the square of its parts: 8,000 of them cost seconds.
/// Source: ours; genuine tokens have at most about a dozen anywhere.
const MAX_PARTS: usize = 64;
/// Values in one answer: with [`MAX_PARTS`] a hundred thousand comparisons at most. Source: ours; a genuine answer with
/// three certificates has about 500.
const MAX_VALUES: usize = 4_096;
/// Levels. Source: ours; genuine answers have 19, at the issuer's name in a signed attribute that names the certificate.
const MAX_DEPTH: usize = 24;

const CONSTRUCTED: u8 = 0x20;
/// Low bits of a tag that goes on in further bytes.
const LONG_TAG: u8 = 0x1f;
/// Certificates of signed data: `[0] IMPLICIT`.
const CERTIFICATES: u8 = 0xa0;

/// One value: its tag, its content, and all of it.
#[derive(Clone, Copy)]
struct Value<'b> {
    tag: u8,
    content: &'b [u8],
    whole: &'b [u8],
}

/// Whether every value of some bytes is within the bounds. Octet strings are not looked into: whoever reads one asks
/// again.
///
/// # Errors
/// [`TimestampError::Form`].
pub(super) fn check(bytes: &[u8]) -> Result<(), TimestampError> {
    let mut left = MAX_VALUES;
    check_parts(bytes, MAX_DEPTH, &mut left)
}

fn check_parts(content: &[u8], depth: usize, left: &mut usize) -> Result<(), TimestampError> {
    let depth = depth.checked_sub(1).ok_or_else(|| form(format!("its values are deeper than {MAX_DEPTH} levels")))?;
    let (mut rest, mut parts) = (content, 0usize);
    while !rest.is_empty() {
        let value;
        (value, rest) = split(rest).ok_or_else(|| form("a value has no short tag and definite length".to_owned()))?;
        parts = parts.saturating_add(1);
        if parts > MAX_PARTS {
            return Err(form(format!("one of its values has more than {MAX_PARTS} parts")));
        }
        *left = left.checked_sub(1).ok_or_else(|| form(format!("it has more than {MAX_VALUES} values")))?;
        if value.tag & CONSTRUCTED != 0 && !value.content.is_empty() {
            check_parts(value.content, depth, left)?;
        }
    }
    Ok(())
}

/// The certificates of an answer, each as it came: what was signed. To encode one again would be another thing, where
/// it came in another spelling than ours.
pub(super) fn certificates(answer: &[u8]) -> Option<Vec<&[u8]>> {
    let response = parts(answer).next()?;
    let token = parts(response.content).nth(1)?;
    let wrapped = parts(token.content).nth(1)?;
    let signed = parts(wrapped.content).next()?;
    let list = parts(signed.content).find(|part| part.tag == CERTIFICATES)?;
    Some(parts(list.content).map(|part| part.whole).collect())
}

fn parts(content: &[u8]) -> impl Iterator<Item = Value<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let value;
        (value, rest) = split(rest)?;
        Some(value)
    })
}

fn split(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&tag, after) = bytes.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81 => after.split_first().map(|(&only, after)| (usize::from(only), after))?,
        // Two bytes of length are enough below the cap of an answer.
        0x82 => after.split_first_chunk().map(|(&two, after)| (usize::from(u16::from_be_bytes(two)), after))?,
        _ => return None,
    };
    let (content, rest) = after.split_at_checked(length)?;
    let (whole, _) = bytes.split_at_checked(bytes.len().checked_sub(rest.len())?)?;
    (tag & LONG_TAG != LONG_TAG).then_some((Value { tag, content, whole }, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::TimestampToken;
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        let header = match length {
            0..=0x7f => vec![tag, u8::try_from(length).unwrap()],
            0x80..=0xff => vec![tag, 0x81, u8::try_from(length).unwrap()],
            _ => [vec![tag, 0x82], length.to_be_bytes().to_vec()].concat(),
        };
        [&header, content].concat()
    }

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        der(0x30, &parts.concat())
    }

    const RSA: &[u8] = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

    fn answer(values: u16, certificates: &[u8]) -> Vec<u8> {
        answer_by(RSA, values, certificates)
    }

    /// An answer signed by this algorithm, whose only signed attribute has this many values, each smaller than the one
    /// before, and whose certificates are these.
    pub(in super::super) fn answer_by(algorithm: &[u8], values: u16, certificates: &[u8]) -> Vec<u8> {
        let sha = sequence(&[b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"]);
        let imprint = sequence(&[&sha, &der(4, &[0; 32])]);
        let made = der(0x18, b"20260101000000Z");
        let info = sequence(&[b"\x02\x01\x01", b"\x06\x03\x2a\x03\x04", &imprint, b"\x02\x01\x01", &made]);
        let values: Vec<u8> = (0..values).rev().flat_map(|value| der(4, &value.to_be_bytes())).collect();
        let attribute = sequence(&[b"\x06\x03\x2a\x03\x05", &der(0x31, &values)]);
        let named = [b"\x02\x01\x03", &b"\x80\x01\x01"[..], &sha].concat();
        let signer = sequence(&[&named, &der(0xa0, &attribute), algorithm, b"\x04\x01\x00"]);
        let content = der(0xa0, &der(4, &info));
        let encapsulated = sequence(&[b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04", &content]);
        let lists = [der(0x31, &sha), encapsulated, der(0xa0, certificates), der(0x31, &signer)].concat();
        let signed = sequence(&[b"\x02\x01\x03", &lists]);
        let token = sequence(&[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", &der(0xa0, &signed)]);
        sequence(&[&sequence(&[b"\x02\x01\x00"]), &token])
    }

    fn refused(bytes: &[u8]) -> TimestampError {
        TimestampToken::parse(bytes).unwrap_err()
    }

    #[test]
    fn a_timestamp_of_thousands_of_small_values_is_refused_at_once() {
        // Without the bound it goes on to another refusal, seconds later.
        let many = form("one of its values has more than 64 parts".to_owned());
        for values in [8_000, 65] {
            assert_eq!(refused(&answer(values, &[])), many);
        }
        // One fewer is read, up to what it lacks.
        let bare = form("0 certificates; ask for them, and for at most 8".to_owned());
        assert_eq!(refused(&answer(64, &[])), bare);
        assert_eq!(check(&answer(64, &[])), Ok(()));
    }

    #[test]
    fn values_are_counted_and_levels_too() {
        let wide = sequence(&[&sequence(&[b"\x05\x00"; 63].map(|null| &null[..])).repeat(64)]);
        assert_eq!(check(&wide), Err(form("it has more than 4096 values".to_owned())));
        let deep = |levels: usize| (0..levels).fold(Vec::new(), |inner, _| der(0x30, &inner));
        assert_eq!(check(&deep(24)), Ok(()));
        assert_eq!(check(&deep(25)), Err(form("its values are deeper than 24 levels".to_owned())));
        let shapeless = Err(form("a value has no short tag and definite length".to_owned()));
        for bytes in [&b"\x30\x80\x00\x00"[..], b"\x1f\x01\x00", b"\x30", b"\x30\x02\x00", b"\x30\x83\x00\x00\x00"] {
            assert_eq!(check(bytes), shapeless.clone(), "{bytes:x?}");
        }
    }

    #[test]
    fn certificates_are_taken_as_they_came() {
        // FALSE spelled out, which a reader drops.
        let odd = sequence(&[b"\x01\x01\x00", b"\x02\x01\x07"]);
        let answer = answer(1, &[odd.clone(), sequence(&[])].concat());
        assert_eq!(certificates(&answer), Some(vec![odd.as_slice(), b"\x30\x00"]));
        assert_eq!(certificates(b"\x30\x00"), None);
    }
}
