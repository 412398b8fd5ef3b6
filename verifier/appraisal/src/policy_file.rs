//! **Duty.** An appraisal policy from a file: one spelling, no unknown field, no waiver without a reason, no digest that
//! nothing can equal. **Knows** JSON. **Does not know** which rules there are: a new one needs no line here.
//! **Spec.** PROTOCOL §6 (policy is explicit); docs/schemas/appraisal-policy-v1.schema.json.

use serde_json::Value;
use thiserror::Error;
use weighbridge_attest_types::{AppraisalPolicy, Culprit};

/// Longest policy file. Source: ours; the built-in one has 3 KiB, a list of a thousand measurements 100 KiB.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;
/// Longest id: it stands in every result. Source: ours, as anchors' names.
const MAX_ID: usize = 120;
/// From so many hex digits on a text is a digest or data of a report.
const MIN_HEX: usize = 40;
/// Lengths in hex digits of what reports carry: 32, 48 and 64 bytes.
const HEX_LENGTHS: [usize; 3] = [64, 96, 128];

/// Why a file is no policy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// Over the cap.
    #[error("{0} bytes; a policy has at most {MAX_POLICY_BYTES}")]
    TooLong(usize),
    /// Not the JSON of a policy.
    #[error("not an appraisal policy")]
    Json(#[source] serde_json::Error),
    /// Something that is read, and written otherwise.
    #[error("{0}: write it as `weighbridge policy show` does")]
    Spelling(String),
    /// The name.
    #[error("id {0:?}: use 1 to {MAX_ID} printable ASCII characters, no space at either end")]
    Id(String),
    /// The name of the built-in policy on another one.
    #[error("id {0:?} is that of the built-in policy, and this is another one; give it an id of its own")]
    TakenId(String),
    /// A waiver that gives no reason.
    #[error("{0}: a rule is waived for a reason; say it")]
    Reason(String),
    /// Hex that no evidence can equal.
    #[error("{0}: hex is written in lower case, and has 64, 96 or 128 digits")]
    Hex(String),
    /// A minimum of something that has no order.
    #[error("{0}: only numbers, TCBs and versions such as 550.90.07 have a least one; use `equals` or `one-of`")]
    Order(String),
    /// A choice among nothing.
    #[error("{0}: `one-of` names nothing, so nothing can meet it")]
    Nothing(String),
}

impl PolicyFileError {
    /// Who has to act: whoever wrote the file.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Usage
    }
}

/// Reads a policy.
///
/// # Errors
/// [`PolicyFileError`].
pub fn parse_policy(bytes: &[u8]) -> Result<AppraisalPolicy, PolicyFileError> {
    if bytes.len() > MAX_POLICY_BYTES {
        return Err(PolicyFileError::TooLong(bytes.len()));
    }
    let policy: AppraisalPolicy = serde_json::from_slice(bytes).map_err(PolicyFileError::Json)?;
    let read: Value = serde_json::from_slice(bytes).map_err(PolicyFileError::Json)?;
    let written = serde_json::to_value(&policy).map_err(PolicyFileError::Json)?;
    // serde also takes a struct from an array, by position: two spellings of one policy.
    if let Some(place) = difference("", &read, &written) {
        return Err(PolicyFileError::Spelling(place));
    }
    let printable = policy.id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && policy.id.trim() == policy.id;
    if !printable || !(1..=MAX_ID).contains(&policy.id.len()) {
        return Err(PolicyFileError::Id(policy.id));
    }
    let built_in = AppraisalPolicy::built_in();
    if policy.id.eq_ignore_ascii_case(&built_in.id) && policy != built_in {
        return Err(PolicyFileError::TakenId(policy.id));
    }
    check_values("", &read)?;
    Ok(policy)
}

/// Where two values part; the order of fields does not count.
fn difference(place: &str, read: &Value, written: &Value) -> Option<String> {
    let here = || Some(if place.is_empty() { "the policy" } else { place }.to_owned());
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            if read.len() != written.len() {
                return here();
            }
            read.iter().find_map(|(name, value)| {
                let place = format!("{place}/{name}");
                written.get(name).map_or_else(|| Some(place.clone()), |other| difference(&place, value, other))
            })
        }
        (Value::Array(read), Value::Array(written)) if read.len() == written.len() => {
            read.iter().zip(written).find_map(|(read, written)| difference(place, read, written))
        }
        _ if read == written => None,
        _ => here(),
    }
}

/// What a type cannot say about the values of requirements, wherever they stand.
fn check_values(place: &str, value: &Value) -> Result<(), PolicyFileError> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let place = format!("{place}/{name}");
            match (name.as_str(), value) {
                ("reason", Value::String(reason)) if reason.trim().is_empty() => Err(PolicyFileError::Reason(place)),
                ("one-of", Value::Array(values)) if values.is_empty() => Err(PolicyFileError::Nothing(place)),
                ("at-least", value) if !has_order(value) => Err(PolicyFileError::Order(place)),
                ("reason" | "id", Value::String(_)) => Ok(()),
                _ => check_values(&place, value),
            }
        }),
        Value::Array(values) => values.iter().try_for_each(|value| check_values(place, value)),
        Value::String(text) if looks_like_hex(text) && !is_canonical_hex(text) => {
            Err(PolicyFileError::Hex(place.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Words and digests can be sorted, and a status that comes later in the alphabet of statuses is no better one.
fn has_order(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Object(_) => true,
        Value::String(text) => text.contains('.') && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.'),
        Value::Null | Value::Bool(_) | Value::Array(_) => false,
    }
}

/// Long, and of nothing but hex digits, with or without what people put before and between them.
fn looks_like_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let hex = |character: char| character.is_ascii_hexdigit() || matches!(character, ' ' | ':' | '-');
    digits.len() >= MIN_HEX && digits.chars().all(hex)
}

fn is_canonical_hex(text: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    HEX_LENGTHS.contains(&text.len()) && text.bytes().all(lower)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn built_in() -> Value {
        serde_json::to_value(AppraisalPolicy::built_in()).unwrap()
    }

    fn own(change: impl FnOnce(&mut Value)) -> String {
        let mut value = built_in();
        value["id"] = json!("mine");
        change(&mut value);
        match parse_policy(value.to_string().as_bytes()) {
            Ok(policy) => format!("read {}", policy.id),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_built_in_policy_reads_back_and_its_name_is_taken() {
        assert_eq!(parse_policy(built_in().to_string().as_bytes()).unwrap(), AppraisalPolicy::built_in());
        assert_eq!(own(|_| {}), "read mine");
        let taken = "id \"Weighbridge-Default\" is that of the built-in policy, and this is another one; give it an id of its own";
        assert_eq!(own(|value| value["id"] = json!("Weighbridge-Default")), taken);
    }

    #[test]
    fn unknown_missing_and_repeated_fields_are_errors() {
        let no_policy = "not an appraisal policy";
        assert_eq!(own(|value| value["debgu"] = json!({"equals": false})), no_policy);
        assert_eq!(own(|value| value["debug"] = json!({"equal": false})), no_policy);
        assert_eq!(own(|value| value["debug"] = json!({"waived": {"reason": "x", "until": 3}})), no_policy);
        assert_eq!(own(|value| drop(value.as_object_mut().unwrap().remove("debug"))), no_policy);
        let twice =
            built_in().to_string().replacen("{\"id\":", "{\"debug\":{\"waived\":{\"reason\":\"x\"}},\"id\":", 1);
        assert!(matches!(parse_policy(twice.as_bytes()), Err(PolicyFileError::Json(_))));
        assert!(matches!(parse_policy(&vec![b' '; MAX_POLICY_BYTES + 1]), Err(PolicyFileError::TooLong(_))));
    }

    #[test]
    fn there_is_one_spelling_and_no_value_that_nothing_equals() {
        let tcb = json!({"at-least": [null, 4, 0, 24, 219]});
        let spelled = own(|value| value["sev_snp"]["milan"]["reported"] = tcb);
        assert_eq!(spelled, "/sev_snp/milan/reported/at-least: write it as `weighbridge policy show` does");
        assert_eq!(
            own(|value| value["debug"] = json!({"waived": {"reason": " "}})),
            "/debug/waived/reason: a rule is waived for a reason; say it"
        );
        assert_eq!(
            own(|value| value["tdx"]["tcb_status"] = json!({"one-of": []})),
            "/tdx/tcb_status/one-of: `one-of` names nothing, so nothing can meet it"
        );
        for (place, least) in [
            ("/debug", json!(false)),
            ("/measurement", json!("ab".repeat(48))),
            ("/tdx/tcb_status", json!("UpToDate")),
            ("/tdx/advisories", json!("INTEL-SA-00000")),
        ] {
            let said = own(|value| *value.pointer_mut(place).unwrap() = json!({ "at-least": least }));
            assert!(said.starts_with(&format!("{place}/at-least: only numbers, TCBs and versions")), "{said}");
        }
        for (place, least) in [("/tdx/evaluation_number", json!(17)), ("/nvidia/gh100/vbios", json!("96.00.9F.00.01"))]
        {
            assert_eq!(own(|value| *value.pointer_mut(place).unwrap() = json!({ "at-least": least })), "read mine");
        }
        let hex = |text: String| own(|value| value["measurement"] = json!({"one-of": [text]}));
        assert_eq!(hex("ab".repeat(48)), "read mine");
        for wrong in
            ["AB".repeat(48), "ab".repeat(47), format!("{}a", "ab".repeat(47)), format!("0x{}", "ab".repeat(48))]
        {
            assert!(hex(wrong.clone()).starts_with("/measurement/one-of: hex is written"), "{wrong}");
        }
    }
}
