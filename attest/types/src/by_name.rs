//! **Duty.** JSON documents by strangers in the one spelling that their schemas have: structures are objects. **Knows**
//! serde. **Does not know** what is read. **Spec.** Derived readers also take a structure from an array, by position: a
//! second spelling of a document, which no schema allows and no other reader takes.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error};
use serde_json::Value;

/// Reads a document, and refuses an array where its type is written as an object. The caller bounds the bytes.
///
/// # Errors
/// What serde says, or which place is an array.
pub fn from_slice_by_name<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let read: T = serde_json::from_slice(bytes)?;
    let written = serde_json::to_value(&read)?;
    let given: Value = serde_json::from_slice(bytes)?;
    match by_position(&given, &written) {
        None => Ok(read),
        Some(place) => {
            Err(serde_json::Error::custom(format_args!("an array stands where an object belongs, at {place:?}")))
        }
    }
}

/// The place of an array that was read as an object. Documents are no deeper than serde's own bound of 128.
fn by_position(given: &Value, written: &Value) -> Option<String> {
    let below = |name: &str, given: &Value, written: &Value| Some(format!("/{name}{}", by_position(given, written)?));
    match (given, written) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Array(given), Value::Array(written)) => {
            let mut pairs = given.iter().zip(written).enumerate();
            pairs.find_map(|(at, (given, written))| below(&at.to_string(), given, written))
        }
        (Value::Object(given), Value::Object(written)) => {
            given.iter().find_map(|(name, value)| below(name, value, written.get(name)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        a: u8,
        b: Vec<u8>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        one: Inner,
        many: Vec<Inner>,
        perhaps: Option<Inner>,
    }

    #[test]
    fn structures_are_objects_at_every_depth() {
        let whole = r#"{"one":{"a":1,"b":[2]},"many":[{"a":1,"b":[]},{"a":2,"b":[3]}],"perhaps":{"a":1,"b":[]}}"#;
        assert!(from_slice_by_name::<Outer>(whole.as_bytes()).is_ok());
        for (from, to, place) in [
            (whole, r#"[{"a":1,"b":[2]},[],null]"#, "\"\""),
            (r#"{"a":1,"b":[2]}"#, "[1,[2]]", "/one"),
            (r#"{"a":2,"b":[3]}"#, "[2,[3]]", "/many/1"),
            (r#""perhaps":{"a":1,"b":[]}"#, r#""perhaps":[1,[]]"#, "/perhaps"),
        ] {
            let changed = whole.replacen(from, to, 1);
            assert!(serde_json::from_str::<Outer>(&changed).is_ok(), "{changed}");
            let refused = from_slice_by_name::<Outer>(changed.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(place), "{refused}");
        }
    }
}
