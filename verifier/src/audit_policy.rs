//! **Duty.** An audit policy as a file that a person writes: one JSON object, strictly. **Knows** names and units.
//! **Does not know** ranges: [`AuditPolicy::new`] has them. **Spec.** PROTOCOL §5; docs/schemas/audit-policy-v1.schema.json;
//! decision 0064.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32, Flops, UnixMillis};
use weighbridge_audit::{
    AuditMode, AuditPolicy, BeaconChain, MAX_STRATA, RandomnessRule, Risk, StatisticsError, Stratum, Weight,
    WindowPolicyError,
};

use crate::strict;

const FORMAT: &str = "weighbridge/audit-policy/v1";
/// Bytes of the file: a policy of two strata has some 600.
pub const MAX_AUDIT_POLICY_BYTES: usize = 16 * 1024;

/// Why a file is no audit policy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditPolicyError {
    /// Longer than any policy.
    #[error("an audit policy of {0} bytes; at most {MAX_AUDIT_POLICY_BYTES} are read")]
    TooLong(usize),
    /// Not the schema, a field twice, or a number where a decimal string belongs.
    #[error("an audit policy does not parse")]
    Json(#[source] serde_json::Error),
    /// A word that the schema does not have there.
    #[error("{field} is {found:?}; it must be one of: {known}")]
    Word {
        /// Which field.
        field: &'static str,
        /// As it stands there.
        found: String,
        /// What may stand there.
        known: &'static str,
    },
    /// A field that belongs to another kind of randomness, or one that is missing.
    #[error("randomness of the kind {kind} has exactly the fields: {fields}")]
    Randomness {
        /// The kind.
        kind: String,
        /// Its fields.
        fields: &'static str,
    },
    /// A risk out of range.
    #[error("a risk of the audit policy is out of range")]
    Risk(#[source] StatisticsError),
    /// It makes no sense as a whole.
    #[error("the audit policy makes no sense")]
    Policy(#[source] WindowPolicyError),
}

impl AuditPolicyError {
    /// The bytes; where a person named the file, the edge says whose file it is.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    format: String,
    mode: String,
    #[serde(deserialize_with = "strict::object")]
    randomness: RawRandomness,
    deadline_millis: u64,
    risk_millionths: u32,
    #[serde(deserialize_with = "strata")]
    strata: Vec<RawStratum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRandomness {
    kind: String,
    #[serde(default, deserialize_with = "present")]
    chain: Option<Digest32>,
    #[serde(default, deserialize_with = "present")]
    genesis_millis: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    period_millis: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    delta_millis: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    verifier: Option<Digest32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStratum {
    weight: String,
    cap: Flops,
    draws: u32,
    risk_millionths: u32,
}

/// A field that is there: `null` is no way to say that it is not.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn strata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RawStratum>, D::Error> {
    strict::objects_at_most::<MAX_STRATA, _, _>(deserializer)
}

/// Reads an audit policy.
///
/// # Errors
/// [`AuditPolicyError`].
pub fn read_audit_policy(bytes: &[u8]) -> Result<AuditPolicy, AuditPolicyError> {
    if bytes.len() > MAX_AUDIT_POLICY_BYTES {
        return Err(AuditPolicyError::TooLong(bytes.len()));
    }
    let raw: RawPolicy = strict::from_slice(bytes).map_err(AuditPolicyError::Json)?;
    let RawPolicy { format, mode, randomness, deadline_millis, risk_millionths, strata } = raw;
    if format != FORMAT {
        return Err(AuditPolicyError::Word { field: "format", found: format, known: FORMAT });
    }
    let mode = match mode.as_str() {
        "committed" => AuditMode::Committed,
        "replayed" => AuditMode::Replayed,
        "surprise" => AuditMode::Surprise,
        _ => {
            let known = "committed, replayed, surprise";
            return Err(AuditPolicyError::Word { field: "mode", found: mode, known });
        }
    };
    let risk = |millionths| Risk::new(millionths).map_err(AuditPolicyError::Risk);
    let strata: Result<Vec<Stratum>, AuditPolicyError> = strata.into_iter().map(stratum).collect();
    AuditPolicy::new(mode, randomness.rule()?, deadline_millis, risk(risk_millionths)?, strata?)
        .map_err(AuditPolicyError::Policy)
}

fn stratum(raw: RawStratum) -> Result<Stratum, AuditPolicyError> {
    let RawStratum { weight, cap: Flops(cap), draws, risk_millionths } = raw;
    let weight = match weight.as_str() {
        "flop" => Weight::Flop,
        "link" => Weight::Link,
        _ => return Err(AuditPolicyError::Word { field: "weight", found: weight, known: "flop, link" }),
    };
    Ok(Stratum { weight, cap, draws, risk: Risk::new(risk_millionths).map_err(AuditPolicyError::Risk)? })
}

impl RawRandomness {
    fn rule(self) -> Result<RandomnessRule, AuditPolicyError> {
        let Self { kind, chain, genesis_millis, period_millis, delta_millis, verifier } = self;
        let fields = match (kind.as_str(), chain, genesis_millis, period_millis, delta_millis, verifier) {
            ("beacon", Some(chain), Some(genesis), Some(period_millis), Some(delta_millis), None) => {
                let chain = BeaconChain { chain, genesis: UnixMillis(genesis), period_millis };
                return Ok(RandomnessRule::Beacon { chain, delta_millis });
            }
            ("verifier", None, None, None, None, Some(verifier)) => return Ok(RandomnessRule::Verifier { verifier }),
            ("self-check", None, None, None, None, None) => return Ok(RandomnessRule::SelfCheck),
            ("beacon", ..) => "kind, chain, genesis_millis, period_millis, delta_millis",
            ("verifier", ..) => "kind, verifier",
            ("self-check", ..) => "kind",
            _ => {
                let known = "beacon, verifier, self-check";
                return Err(AuditPolicyError::Word { field: "kind", found: kind, known });
            }
        };
        Err(AuditPolicyError::Randomness { kind, fields })
    }
}

/// The policy as such a file, which [`read_audit_policy`] reads back.
#[must_use]
pub fn audit_policy_json(policy: &AuditPolicy) -> Value {
    let randomness = match policy.randomness() {
        RandomnessRule::Beacon { chain: BeaconChain { chain, genesis, period_millis }, delta_millis } => json!({
            "kind": "beacon", "chain": chain, "genesis_millis": genesis.0, "period_millis": period_millis,
            "delta_millis": delta_millis,
        }),
        RandomnessRule::Verifier { verifier } => json!({"kind": "verifier", "verifier": verifier}),
        RandomnessRule::SelfCheck => json!({"kind": "self-check"}),
    };
    let strata = policy.strata().iter().map(|Stratum { weight, cap, draws, risk }| {
        json!({
            "weight": weight_name(*weight), "cap": Flops(*cap), "draws": draws, "risk_millionths": risk.millionths(),
        })
    });
    json!({
        "format": FORMAT,
        "mode": mode_name(policy.mode()),
        "randomness": randomness,
        "deadline_millis": policy.deadline_millis(),
        "risk_millionths": policy.risk().millionths(),
        "strata": strata.collect::<Vec<_>>(),
    })
}

/// As a policy file spells it.
pub(crate) const fn weight_name(weight: Weight) -> &'static str {
    match weight {
        Weight::Flop => "flop",
        Weight::Link => "link",
    }
}

/// As a policy file spells it.
pub(crate) const fn mode_name(mode: AuditMode) -> &'static str {
    match mode {
        AuditMode::Committed => "committed",
        AuditMode::Replayed => "replayed",
        AuditMode::Surprise => "surprise",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        json!({
            "format": FORMAT, "mode": "committed", "randomness": {"kind": "self-check"},
            "deadline_millis": 60_000, "risk_millionths": 50_000,
            "strata": [{"weight": "flop", "cap": "1000000000000", "draws": 300, "risk_millionths": 50_000}],
        })
    }

    fn read(value: &Value) -> Result<AuditPolicy, AuditPolicyError> {
        read_audit_policy(value.to_string().as_bytes())
    }

    #[test]
    fn every_kind_of_randomness_is_read_and_written() {
        let digest = "0a".repeat(32);
        let beacon = json!({"kind": "beacon", "chain": digest, "genesis_millis": 1_000, "period_millis": 3_000, "delta_millis": 10});
        for randomness in [json!({"kind": "self-check"}), json!({"kind": "verifier", "verifier": digest}), beacon] {
            for mode in ["committed", "replayed", "surprise"] {
                let mut value = sample();
                value["randomness"] = randomness.clone();
                value["mode"] = json!(mode);
                assert_eq!(audit_policy_json(&read(&value).unwrap()), value);
            }
        }
    }

    #[test]
    fn a_policy_has_one_spelling_and_every_field() {
        for field in ["format", "mode", "randomness", "deadline_millis", "risk_millionths", "strata"] {
            let mut value = sample();
            value.as_object_mut().unwrap().remove(field);
            assert!(read(&value).is_err(), "without {field}");
        }
        let changes: [(&str, Value); 14] = [
            ("/format", json!("weighbridge/audit-policy/v2")),
            ("/mode", json!("none")),
            ("/randomness", json!(["self-check", null, null, null, null, null])),
            ("/randomness", json!({"kind": "self-check", "verifier": null})),
            ("/randomness", json!({"kind": "self-check", "delta_millis": 1})),
            ("/randomness", json!({"kind": "beacon"})),
            ("/randomness", json!({"kind": "dice"})),
            ("/deadline_millis", json!(0)),
            ("/risk_millionths", json!(0)),
            ("/risk_millionths", json!(49_999)),
            ("/strata", json!([])),
            ("/strata/0/weight", json!("entry")),
            ("/strata/0/cap", json!(1_000)),
            ("/strata/0/draws", json!(0)),
        ];
        for (place, found) in changes {
            let mut value = sample();
            *value.pointer_mut(place).unwrap() = found.clone();
            assert!(read(&value).is_err(), "{place}: {found}");
        }
        let text = sample().to_string();
        assert!(read_audit_policy(text.replacen('{', "{\"mode\": \"committed\",", 1).as_bytes()).is_err());
        assert!(matches!(read_audit_policy(&[b' '; 20_000]), Err(AuditPolicyError::TooLong(20_000))));
    }
}
