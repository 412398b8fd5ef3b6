//! **Duty.** An appraisal policy from a file: one spelling, no unknown field, no waiver without a reason, no digest that
//! nothing can equal. **Knows** JSON. **Does not know** which rules there are: a new one needs no line here.
//! **Spec.** PROTOCOL §6 (policy is explicit); docs/schemas/appraisal-policy-v1.schema.json.

use serde::Deserialize as _;
use serde_json::Value;
use thiserror::Error;
use weighbridge_attest_types::{AppraisalPolicy, Culprit};

/// Longest policy file. Source: ours; the built-in one has 3 KiB, a list of a thousand measurements 100 KiB.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;
/// Longest id: it stands in every result. Source: ours, as anchors' names.
const MAX_ID: usize = 120;
/// How a minimum is written.
const AT_LEAST: &str = "at-least";
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
    /// A minimum of something of which more is not better.
    #[error(
        "{0}: only numbers that grow, TCBs, guest policies and versions such as 550.90.07 have a least one; use \
        `equals` or `one-of`"
    )]
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
    let read: Value = serde_json::from_slice(bytes).map_err(PolicyFileError::Json)?;
    let built_in = AppraisalPolicy::built_in();
    if let Some(place) = minimum_of_the_unordered(&built_in, &read).map_err(PolicyFileError::Json)? {
        return Err(PolicyFileError::Order(place));
    }
    let policy: AppraisalPolicy = serde_json::from_slice(bytes).map_err(PolicyFileError::Json)?;
    let written = serde_json::to_value(&policy).map_err(PolicyFileError::Json)?;
    // serde also takes a struct from an array, by position: two spellings of one policy.
    if let Some(place) = difference("", &read, &written) {
        return Err(PolicyFileError::Spelling(place));
    }
    let printable = policy.id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && policy.id.trim() == policy.id;
    if !printable || !(1..=MAX_ID).contains(&policy.id.len()) {
        return Err(PolicyFileError::Id(policy.id));
    }
    if policy.id.eq_ignore_ascii_case(&built_in.id) && policy != built_in {
        return Err(PolicyFileError::TakenId(policy.id));
    }
    check_values("", &read)?;
    Ok(policy)
}

/// The place of an `at-least` that its rule's type does not read: the type knows whether more of it is better. The
/// requirement alone is put into a policy that is sound, so that nothing else in the file can hide it.
fn minimum_of_the_unordered(built_in: &AppraisalPolicy, read: &Value) -> Result<Option<String>, serde_json::Error> {
    let mut sound = serde_json::to_value(built_in)?;
    for place in minima("", read) {
        let (Some(wanted), Some(rule)) = (read.pointer(&place), sound.pointer_mut(&place)) else { continue };
        let before = std::mem::replace(rule, wanted.clone());
        let is_read = AppraisalPolicy::deserialize(&sound).is_ok();
        if !is_read || !has_order(wanted) {
            return Ok(Some(format!("{place}/{AT_LEAST}")));
        }
        if let Some(rule) = sound.pointer_mut(&place) {
            *rule = before;
        }
    }
    Ok(None)
}

/// Places of all objects that say `at-least`.
fn minima(place: &str, value: &Value) -> Vec<String> {
    let Value::Object(fields) = value else { return Vec::new() };
    let own = fields.contains_key(AT_LEAST).then(|| place.to_owned());
    let below = fields.iter().flat_map(|(name, value)| minima(&format!("{place}/{name}"), value));
    own.into_iter().chain(below).collect()
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

/// A version that is none can be neither less nor more than another.
fn has_order(requirement: &Value) -> bool {
    let version = |text: &str| text.contains('.') && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.');
    requirement.get(AT_LEAST).and_then(Value::as_str).is_none_or(version)
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
            // Everything has a level of at least 0, and level 3 has the least privilege.
            ("/sev_snp/vmpl", json!(0)),
            ("/tdx/reserved_attributes", json!(0)),
            ("/tdx/event_log", json!(true)),
            ("/nvidia/gh100/driver", json!("latest")),
            ("/tdx/evaluation_number", json!("17")),
        ] {
            let said = own(|value| *value.pointer_mut(place).unwrap() = json!({ "at-least": least }));
            assert!(said.starts_with(&format!("{place}/at-least: only numbers that grow, TCBs")), "{said}");
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
