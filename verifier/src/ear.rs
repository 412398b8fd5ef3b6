//! **Duty.** An appraisal as an EAT Attestation Result: one submodule per device, a tier for each and for all, AR4SI's
//! vector, signed as JWT or CWT. **Knows** the claims of the draft and ours. **Does not know** how a tier comes about, nor
//! whose key signs. **Spec.** draft-ietf-rats-ear-04, RFC 9711; docs/ear.md.

mod cbor;
mod token;
mod value;

use serde_json::json;
use weighbridge_appraisal::{Appraisal, DeviceAppraisal, DeviceBinding, DeviceFinding};
use weighbridge_attest_types::{BoundValue, Culprit, Digest32};

pub(crate) use token::{EarFormat, sign};
use value::{Label, Value};

use crate::instant;

/// Names what the claims of this token mean, beyond the draft.
pub(crate) const PROFILE: &str = "urn:weighbridge:ear:v1";
const DEVELOPER: &str = "urn:weighbridge";
const BUILD: &str = concat!("weighbridge ", env!("CARGO_PKG_VERSION"));
/// What is ours, beside the draft's: a private key (RFC 8392 §9.1) and a name that nobody else takes.
const OURS: Label = Label::of(-71_001, "ear_weighbridge_appraisal");

/// The claims of RFC 8392, RFC 9711 and the draft.
const EXPIRES: Label = Label::of(4, "exp");
const ISSUED: Label = Label::of(6, "iat");
const NONCE: Label = Label::of(10, "eat_nonce");
const EAT_PROFILE: Label = Label::of(265, "eat_profile");
const SUBMODULES: Label = Label::of(266, "submods");
const STATUS: Label = Label::of(1000, "ear_status");
const VECTOR: Label = Label::of(1001, "ear_trustworthiness_vector");
const POLICIES: Label = Label::of(1003, "ear_appraisal_policy_ids");
const VERIFIER: Label = Label::of(1004, "ear_verifier_id");
const ATTESTER_CLAIMS: Label = Label::of(1005, "ear_attester_claims");
const VERIFIER_CLAIMS: Label = Label::of(1006, "ear_verifier_claims");
const TOPOLOGY: Label = Label::of(1007, "ear_device_topology");
/// Claims of ours that the device does not make itself.
const OF_THE_VERIFIER: [&str; 6] = ["grade", "anchor", "valid_until", "not_checked", "tcb_status", "advisories"];
/// Within the verifier's id.
const ID_DEVELOPER: Label = Label::of(0, "developer");
const ID_BUILD: Label = Label::of(1, "build");

/// The claims. `iat` is the instant of the appraisal: the same evidence at the same instant gives the same claims. What
/// was used ends at `exp`.
fn claims(appraisal: &Appraisal, endorsements: &[Digest32]) -> Value {
    let mut claims = vec![
        (EAT_PROFILE, Value::text(PROFILE)),
        (ISSUED, Value::seconds(appraisal.at())),
        (VERIFIER, Value::Map(vec![(ID_DEVELOPER, Value::text(DEVELOPER)), (ID_BUILD, Value::text(BUILD))])),
        (STATUS, Value::Tier(appraisal.tier())),
    ];
    claims.extend(appraisal.valid_until().map(|until| (EXPIRES, Value::seconds(until))));
    let policy = format!("{}:{}", "urn:weighbridge:appraisal-policy:sha256", appraisal.policy().sha256);
    let submodule = |device: &DeviceAppraisal| (Label::named(device.name()), submodule(device, &policy));
    claims.push((SUBMODULES, Value::Map(appraisal.devices().iter().map(submodule).collect())));
    claims.extend(topology(appraisal).map(|topology| (TOPOLOGY, topology)));
    claims.push((OURS, ours(appraisal, endorsements)));
    Value::Map(claims)
}

fn submodule(device: &DeviceAppraisal, policy: &str) -> Value {
    let mut claims = vec![(STATUS, Value::Tier(device.tier()))];
    let vector: Vec<_> = device.trust_vector().claims().collect();
    if !vector.is_empty() {
        let claim =
            |(key, name, value): (i8, &'static str, i8)| (Label::of(key.into(), name), Value::Int(value.into()));
        claims.push((VECTOR, Value::Map(vector.into_iter().map(claim).collect())));
    }
    claims.push((POLICIES, Value::List(vec![Value::text(policy)])));
    if let Some(found) = device.claims() {
        claims.extend(bound_bytes(&found.bound_value).map(|bytes| (NONCE, Value::Bytes(bytes))));
        let mut said = json!(found);
        if let Some(fields) = said.as_object_mut() {
            // Said by the Verifier and not by the device.
            fields.retain(|name, _| !OF_THE_VERIFIER.contains(&name.as_str()));
        }
        claims.push((ATTESTER_CLAIMS, Value::of_json(&said)));
    }
    claims.push((VERIFIER_CLAIMS, verifier_claims(device)));
    Value::Map(claims)
}

/// What this Verifier adds about a device: its verdict and all that was and was not checked.
fn verifier_claims(device: &DeviceAppraisal) -> Value {
    let found = device.claims();
    let said = json!({
        "verdict": device.culprit().map_or("accepted", Culprit::verdict),
        "kind": device.kind(),
        "evidence_sha256": device.evidence(),
        "grade": found.map(|claims| claims.grade),
        "anchor": found.map(|claims| &claims.anchor),
        "valid_until": found.map(|claims| instant::rfc3339(claims.valid_until)),
        "tcb_status": found.and_then(|claims| claims.tcb_status),
        "advisories": found.map(|claims| &claims.advisories),
        "checks": device.findings().iter().map(check).collect::<Vec<_>>(),
    });
    Value::of_json(&said)
}

/// Codes and no sentences: they are stable, and `weighbridge explain` knows them.
fn check(finding: &DeviceFinding) -> serde_json::Value {
    json!({ "code": finding.code, "status": finding.status, "rule": finding.rule })
}

/// The CPU quote leads: it speaks for its accelerators.
fn topology(appraisal: &Appraisal) -> Option<Value> {
    let [leader, others @ ..] = appraisal.devices() else { return None };
    if appraisal.binding() != DeviceBinding::NonceChained || others.is_empty() {
        return None;
    }
    let others = others.iter().map(|device| Value::text(device.name())).collect();
    Some(Value::Map(vec![(Label::named(leader.name()), Value::List(others))]))
}

fn ours(appraisal: &Appraisal, endorsements: &[Digest32]) -> Value {
    let policy = appraisal.policy();
    let said = json!({
        "verdict": appraisal.culprit().map_or("accepted", Culprit::verdict),
        "appraised_at": instant::rfc3339(appraisal.at()),
        "grade": appraisal.grade(),
        "policy": { "id": policy.id, "version": policy.version, "sha256": policy.sha256 },
        "device_binding": appraisal.binding(),
        "relay_limit": appraisal.relay_limit(),
        "checks": appraisal.whole().iter().map(check).collect::<Vec<_>>(),
        "endorsements_sha256": endorsements,
    });
    Value::of_json(&said)
}

/// What the evidence answers; zeros answer nothing.
fn bound_bytes(value: &BoundValue) -> Option<Vec<u8>> {
    let bytes = match value {
        BoundValue::ReportData(bytes) => bytes.to_vec(),
        BoundValue::Nonce(bytes) => bytes.to_vec(),
        BoundValue::ExtraData(bytes) => bytes.clone(),
        BoundValue::Nothing => return None,
    };
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}
