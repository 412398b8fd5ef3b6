//! **Duty.** A claim that is written both as JSON and as CBOR, each with its own names. **Does not know** which claims there
//! are. **Spec.** RFC 9711 §4 (names and keys), §7.2 (bytes are base64url in JSON).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json};
use weighbridge_appraisal::Tier;
use weighbridge_attest_types::UnixMillis;

/// What a claim is called: a name in JSON; in CBOR a number, or the name where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) key: Option<i64>,
    pub(super) name: std::borrow::Cow<'static, str>,
}

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// A word in JSON, a number in CBOR.
    Tier(Tier),
    List(Vec<Self>),
    Map(Vec<(Label, Self)>),
}

impl Label {
    pub(super) const fn of(key: i64, name: &'static str) -> Self {
        Self { key: Some(key), name: std::borrow::Cow::Borrowed(name) }
    }

    pub(super) fn named(name: &str) -> Self {
        Self { key: None, name: std::borrow::Cow::Owned(name.to_owned()) }
    }
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Seconds since 1970, as both kinds of token have them. What lies beyond all calendars stays at their end.
    pub(super) fn seconds(at: UnixMillis) -> Self {
        Self::Int(i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX))
    }

    /// What is null is left out: absent says the same, and the draft knows no null.
    pub(super) fn of_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Map(Vec::new()),
            Json::Bool(value) => Self::Bool(*value),
            // Nothing of ours is a fraction; a number beyond 63 bits is written out.
            Json::Number(number) => number.as_i64().map_or_else(|| Self::Text(number.to_string()), Self::Int),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(values) => Self::List(values.iter().map(Self::of_json).collect()),
            Json::Object(fields) => {
                let told = fields.iter().filter(|(_, value)| !value.is_null());
                Self::Map(told.map(|(name, value)| (Label::named(name), Self::of_json(value))).collect())
            }
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Int(value) => Json::from(*value),
            Self::Bool(value) => Json::from(*value),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Bytes(bytes) => Json::from(URL_SAFE_NO_PAD.encode(bytes)),
            Self::Tier(tier) => Json::from(tier.as_str()),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
            Self::Map(fields) => {
                let fields = fields.iter().map(|(label, value)| (label.name.clone().into_owned(), value.to_json()));
                Json::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}
