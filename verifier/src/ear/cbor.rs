//! **Duty.** CBOR in its one deterministic encoding. **Does not know** claims. **Spec.** RFC 8949 §4.2.1: shortest numbers,
//! definite lengths, keys of a map in bytewise order.

use super::value::{Label, Value};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

/// A value.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    match value {
        Value::Int(value) => int(*value),
        Value::Bool(value) => vec![if *value { TRUE } else { FALSE }],
        Value::Text(text) => self::text(text),
        Value::Bytes(bytes) => self::bytes(bytes),
        Value::Tier(tier) => int(tier.number().into()),
        Value::List(values) => array(&values.iter().map(encode).collect::<Vec<_>>()),
        Value::Map(fields) => {
            map(fields.iter().map(|(label, value)| (self::label(label), encode(value))).collect::<Vec<_>>())
        }
    }
}

/// An integer.
pub(super) fn int(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(UNSIGNED, value),
        Err(_) => head(NEGATIVE, value.unsigned_abs() - 1),
    }
}

/// A byte string.
pub(super) fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(BYTES, bytes.len() as u64), bytes.to_vec()].concat()
}

/// A text string.
pub(super) fn text(text: &str) -> Vec<u8> {
    [head(TEXT, text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// An array of encoded items.
pub(super) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(ARRAY, items.len() as u64), items.concat()].concat()
}

/// A map of encoded keys and values.
pub(super) fn map(mut fields: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    fields.sort();
    let body: Vec<u8> = fields.iter().flat_map(|(key, value)| [key.as_slice(), value].concat()).collect();
    [head(MAP, fields.len() as u64), body].concat()
}

/// A tagged item.
pub(super) fn tagged(tag: u64, item: &[u8]) -> Vec<u8> {
    [head(TAG, tag), item.to_vec()].concat()
}

fn label(label: &Label) -> Vec<u8> {
    label.key.map_or_else(|| text(&label.name), int)
}

fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    let [.., a, b, c, d] = value.to_be_bytes();
    match value {
        0..=23 => vec![major | d],
        24..=0xff => vec![major | 24, d],
        0x100..=0xffff => vec![major | 25, c, d],
        0x1_0000..=0xffff_ffff => vec![major | 26, a, b, c, d],
        _ => [vec![major | 27], value.to_be_bytes().to_vec()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8949, appendix A.
    #[test]
    fn the_examples_of_the_standard() {
        for (value, expected) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (100, "1864"),
            (1_000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (-1, "20"),
            (-100, "3863"),
            (-1_000, "3903e7"),
            (i64::MIN, "3b7fffffffffffffff"),
        ] {
            assert_eq!(hex::encode(int(value)), expected);
        }
        assert_eq!(hex::encode(bytes(&[1, 2, 3, 4])), "4401020304");
        assert_eq!(hex::encode(text("ü")), "62c3bc");
        assert_eq!(hex::encode(array(&[int(1), array(&[int(2), int(3)])])), "8201820203");
        assert_eq!(hex::encode(tagged(1, &int(1_363_896_240))), "c11a514b67b0");
        assert_eq!(hex::encode(encode(&Value::Bool(true))), "f5");
        let fields = vec![
            (Label::named("b"), Value::Int(1)),
            (Label::of(-1, "c"), Value::Int(2)),
            (Label::of(10, "a"), Value::Int(3)),
        ];
        assert_eq!(hex::encode(encode(&Value::Map(fields))), "a30a032002616201");
    }
}
