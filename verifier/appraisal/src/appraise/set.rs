//! **Duty.** A CPU quote with the accelerators that it covers: every member genuine and bound to the others, all liked by
//! the policy, all distinct and exactly those that were named. **Does not know** ledgers: what the set is about is what
//! it says itself. **Spec.** PROTOCOL §3 (Binding), EVIDENCE §1.9.

use weighbridge_attest::{Bound, EvidenceError, SetMember, SetMembers, canonical_slice, verify_members};
use weighbridge_attest_types::{
    Binding, BindingStage, Challenge, Culprit, Device, Digest32, EvidenceKind, EvidenceSet, PlatformClaims, RosterRow,
    RunManifest, sha256,
};

use super::{
    Appraisal, Asked, DeviceAppraisal, DeviceBinding, DeviceFinding, Grounds, PolicyName, Roster, claims_findings,
    whole_findings,
};
use crate::text;

/// Appraises a set. `digest` is SHA-256 of its bytes as received; `manifest` is the run that it should belong to.
#[must_use]
pub fn appraise_set(
    set: &EvidenceSet,
    digest: Digest32,
    asked: Option<Asked>,
    roster: Option<&Roster>,
    manifest: Option<&RunManifest>,
    grounds: &Grounds<'_>,
) -> Appraisal {
    let SetMembers { refusals, cpu, devices: bound } =
        verify_members(set, grounds.endorsements, grounds.anchors, grounds.at);
    let about = About { binding: &set.binding, refusals: &refusals, grounds };
    let cpu = about.member("cpu", SetMember::Cpu, &set.cpu.kind, &set.cpu.body, cpu.as_ref());
    let mut devices = vec![cpu];
    for (at, evidence) in set.devices.iter().enumerate() {
        let member = SetMember::Device(evidence.device);
        let found = bound.iter().find(|bound| bound.claims().device == Some(evidence.device));
        devices.push(about.member(&format!("device-{at}"), member, &evidence.kind, &evidence.report, found));
    }
    let mut whole: Vec<DeviceFinding> = Vec::new();
    for (_, error) in refusals.iter().filter(|(member, _)| *member == SetMember::Set) {
        whole.extend(DeviceFinding::of_refusal(error));
    }
    whole.push(asked_finding(&set.binding, devices.first().and_then(DeviceAppraisal::claims), asked));
    let row = manifest.map(|manifest| {
        row_of(manifest, &set.binding, &set.devices.iter().map(|evidence| evidence.device).collect::<Vec<_>>())
    });
    if let (Some(manifest), Some(found)) = (manifest, &row) {
        whole.push(run_finding(manifest, found.as_ref(), &set.binding, digest));
    }
    let roster = row.flatten().map(Roster::Row).or_else(|| roster.cloned());
    whole.extend(whole_findings(&devices, roster.as_ref()));
    Appraisal {
        at: grounds.at,
        policy: PolicyName::of(grounds.policy),
        devices,
        whole,
        binding: if set.devices.is_empty() { DeviceBinding::None } else { DeviceBinding::NonceChained },
    }
}

/// What every member is looked at with.
struct About<'a> {
    binding: &'a Binding,
    refusals: &'a [(SetMember, EvidenceError)],
    grounds: &'a Grounds<'a>,
}

impl About<'_> {
    fn member(
        &self,
        name: &str,
        member: SetMember,
        kind: &EvidenceKind,
        body: &[u8],
        bound: Option<&Bound<PlatformClaims>>,
    ) -> DeviceAppraisal {
        let mut findings: Vec<DeviceFinding> = Vec::new();
        for (_, error) in self.refusals.iter().filter(|(refused, _)| *refused == member) {
            findings.extend(DeviceFinding::of_refusal(error));
        }
        let claims = bound.map(Bound::claims).filter(|_| findings.is_empty()).cloned();
        if let Some(claims) = &claims {
            let until = text::instant(claims.valid_until);
            let genuine = format!("genuine under {}; what was used is valid until {until}", claims.anchor);
            findings.push(DeviceFinding::pass("evidence-genuine", genuine));
            findings.push(DeviceFinding::pass("evidence-bound", said(self.binding)));
            findings.extend(claims_findings(claims, self.grounds.policy));
        } else if findings.is_empty() {
            let message = "not looked at, because the set is not well formed";
            findings.push(DeviceFinding::not_checked("evidence-genuine", message));
        }
        DeviceAppraisal {
            name: format!("{kind}-{name}"),
            source: match member {
                SetMember::Device(device) => device.0.to_string(),
                SetMember::Cpu | SetMember::Set => name.to_owned(),
            },
            kind: kind.clone(),
            evidence: canonical_slice(kind, body).ok().map(sha256),
            claims,
            findings,
        }
    }
}

/// What all members agree on: their own words.
fn said(binding: &Binding) -> String {
    let Binding { stage, genesis, node_key_digest, head: _, index, challenge: _ } = binding;
    match stage {
        BindingStage::Key => format!("bound to the introduction of node key {node_key_digest}"),
        BindingStage::Head => format!("bound to head {index} of node key {node_key_digest} in run {genesis}"),
    }
}

/// Whether the set answers the caller's question. Inside, its members answer each other whatever was asked.
fn asked_finding(binding: &Binding, cpu: Option<&PlatformClaims>, asked: Option<Asked>) -> DeviceFinding {
    let rejected = |message: String| DeviceFinding::fail("challenge-differs", Culprit::Rejected, message);
    match (asked, &binding.challenge) {
        (None, _) => {
            let message = "no --nonce was given: the set may be of any time and for anybody";
            DeviceFinding::not_checked("challenge-differs", message)
        }
        (Some(Asked::Nonce(nonce)), _) if nonce == [0; 32] => {
            rejected("zeros answer no question; ask for a value that did not exist before".to_owned())
        }
        (Some(Asked::Nonce(nonce)), Challenge::VerifierNonce(found)) if found.0 == nonce => {
            DeviceFinding::pass("challenge-differs", "answers the nonce of --nonce")
        }
        (Some(Asked::Nonce(nonce)), found) => {
            rejected(format!("the set answers {found:?}, asked was {}", hex::encode(nonce)))
        }
        (Some(asked @ Asked::ReportData(_)), _) => match cpu {
            Some(cpu) if cpu.bound_value == asked.value() => {
                DeviceFinding::pass("challenge-differs", "the CPU quote carries the value of --report-data")
            }
            Some(_) => rejected("the CPU quote carries another value than --report-data".to_owned()),
            None => DeviceFinding::not_checked("challenge-differs", "only genuine evidence answers anything"),
        },
    }
}

/// The row that the set speaks for: its key's, or that of its devices under a later key.
fn row_of(manifest: &RunManifest, binding: &Binding, devices: &[Device]) -> Option<RosterRow> {
    let by_key = manifest.roster.iter().find(|row| row.node_key.digest() == binding.node_key_digest);
    let is_of = |row: &&RosterRow| row.devices.iter().map(|device| device.device).eq(devices.iter().copied());
    by_key.or_else(|| manifest.roster.iter().filter(|_| !devices.is_empty()).find(is_of)).cloned()
}

/// Run, key and, for the quote that introduced the row's key, the digest that the roster cites.
fn run_finding(manifest: &RunManifest, row: Option<&RosterRow>, binding: &Binding, digest: Digest32) -> DeviceFinding {
    let untrusted = |message: String| DeviceFinding::fail("evidence-genesis", Culprit::Untrusted, message);
    let Some(row) = row else {
        return untrusted("the run's roster has neither this node key nor these devices".to_owned());
    };
    let is_rows_key = row.node_key.digest() == binding.node_key_digest;
    match binding.stage {
        BindingStage::Head if binding.genesis != manifest.genesis() => {
            untrusted(format!("is about run {}, not {}", binding.genesis, manifest.genesis()))
        }
        BindingStage::Key if is_rows_key && row.key_quote != digest => {
            untrusted(format!("has digest {digest}; the roster cites {}", row.key_quote))
        }
        _ if is_rows_key => DeviceFinding::pass("evidence-genesis", "is of a node of the run"),
        _ => DeviceFinding::not_checked(
            "evidence-genesis",
            "is of devices of the run under a later node key; only its ledger tells whether that key follows",
        ),
    }
}
