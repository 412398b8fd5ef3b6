//! **Duty.** The few DER shapes of the vendors' own certificate extensions. **Does not know** X.509; rcgen does.

/// SEQUENCE of already encoded parts.
pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    value(0x30, &parts.concat())
}

/// OCTET STRING.
pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    value(0x04, bytes)
}

/// INTEGER, not negative, in the fewest bytes.
pub(crate) fn integer(number: u16) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let padded = [0, bytes[0], bytes[1]];
    // A leading zero stays only where the next byte would otherwise read as a sign.
    let from = usize::from(padded[1] < 0x80) + usize::from(padded[1] == 0 && padded[2] < 0x80);
    value(0x02, &padded[from..])
}

/// ENUMERATED of one byte.
pub(crate) fn enumerated(number: u8) -> Vec<u8> {
    value(0x0a, &[number])
}

/// BOOLEAN.
pub(crate) fn boolean(truth: bool) -> Vec<u8> {
    value(0x01, &[if truth { 0xff } else { 0x00 }])
}

/// BIT STRING without unused bits.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    value(0x03, &[&[0], bytes].concat())
}

/// INTEGER of big-endian bytes, not negative.
pub(crate) fn big_integer(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign = digits.first().is_none_or(|first| *first >= 0x80);
    value(0x02, &[if sign { &[0][..] } else { &[] }, &digits].concat())
}

/// The parts of a SEQUENCE, each as it stands.
pub(crate) fn parts(sequence: &[u8]) -> Vec<&[u8]> {
    let (_, mut rest) = sequence.split_at(header_bytes(sequence));
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part;
        (part, rest) = rest.split_at(header_bytes(rest) + content_bytes(rest));
        parts.push(part);
    }
    parts
}

fn header_bytes(value: &[u8]) -> usize {
    2 + if value[1] < 0x80 { 0 } else { usize::from(value[1] & 0x7f) }
}

fn content_bytes(value: &[u8]) -> usize {
    let digits = &value[2..header_bytes(value)];
    let long = digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit));
    if digits.is_empty() { usize::from(value[1]) } else { long }
}

/// OBJECT IDENTIFIER with at least two arcs.
pub(crate) fn oid(arcs: &[u64]) -> Vec<u8> {
    let (root, rest) = arcs.split_at(2);
    let mut bytes = Vec::new();
    for arc in std::iter::once(root[0] * 40 + root[1]).chain(rest.iter().copied()) {
        let digit = |shift: u32| u8::try_from(arc >> shift & 0x7f).expect("seven bits");
        let digits = (1..10u32).take_while(|count| arc >> (7 * count) != 0).last().unwrap_or(0);
        bytes.extend((1..=digits).rev().map(|at| digit(7 * at) | 0x80));
        bytes.push(digit(0));
    }
    value(0x06, &bytes)
}

/// Any tag over its content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("extensions stay below 64 KiB");
    let [high, low] = length.to_be_bytes();
    let header = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, content.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_those_of_real_certificates() {
        // Taken from a genuine PCK certificate: OID, INTEGER 13, and the ENUMERATED type.
        assert_eq!(hex::encode(oid(&[1, 2, 840, 113_741, 1, 13, 1, 2, 17])), "060b2a864886f84d010d010211");
        assert_eq!(hex::encode(integer(13)), "02010d");
        assert_eq!(hex::encode(enumerated(1)), "0a0101");
        assert_eq!(hex::encode(oid(&[2, 16, 840, 1, 101, 3, 4, 2, 2])), "0609608648016503040202");
    }

    #[test]
    fn parts_of_a_sequence_stand_as_they_were_written() {
        let (short, long) = (integer(7), octets(&[1; 300]));
        assert_eq!(parts(&sequence(&[short.clone(), long.clone()])), [&short[..], &long]);
        assert_eq!(hex::encode(big_integer(&[0, 0x80, 1])), "0203008001");
        assert_eq!(
            (hex::encode(big_integer(&[5])), hex::encode(bits(&[9]))),
            ("020105".to_owned(), "03020009".to_owned())
        );
    }

    #[test]
    fn integers_keep_their_sign_and_lengths_their_form() {
        for (number, encoded) in
            [(0, "020100"), (127, "02017f"), (128, "02020080"), (256, "02020100"), (65535, "020300ffff")]
        {
            assert_eq!(hex::encode(integer(number)), encoded);
        }
        assert_eq!(octets(&[0; 127])[..2], [0x04, 0x7f]);
        assert_eq!(octets(&[0; 128])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(octets(&[0; 256])[..4], [0x04, 0x82, 0x01, 0x00]);
    }
}
