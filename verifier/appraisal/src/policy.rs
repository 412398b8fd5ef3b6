//! **Duty.** Appraisal: do we like what is genuine? Every rule of the policy on every evidence set, all failures named
//! with their device. **Knows** normalised claims. **Does not know** TEEs, ledgers or the network.
//! **Spec.** PROTOCOL §6 (policy is explicit), EVIDENCE §0.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use weighbridge_attest_types::{
    AppraisalPolicy, CertificateAnchor, Culprit, EvidenceKind, Grade, PlatformClaims, Requirement, Sentence, TcbStatus,
    TrustAnchors, UnixMillis, sha256,
};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::name;
use crate::nodes::{BoundEvidence, CheckedNode};
use crate::text;

/// Code by which a scheme says that it had no reference measurements of a GPU.
const GPU_REFERENCE_CODE: &str = "gpu-rim";

/// Nodes whose claims meet the policy.
#[derive(Debug)]
pub(crate) struct Appraised<'a> {
    nodes: Vec<CheckedNode<'a>>,
    policy: AppraisalPolicy,
}

impl<'a> Appraised<'a> {
    pub(crate) fn nodes(&self) -> &[CheckedNode<'a>] {
        &self.nodes
    }

    /// Name, version and digest.
    pub(crate) fn policy_line(&self) -> String {
        let AppraisalPolicy { id, version, .. } = &self.policy;
        format!("{id} v{version} sha256:{}", sha256(&policy_member(&self.policy)))
    }

    /// What the policy waives, with reasons.
    pub(crate) fn waivers(&self) -> Vec<Sentence> {
        let said = |(rule, reason)| {
            Sentence::on(["check:policy-waived", "field:/policy"], format!("{rule} is waived by policy: {reason}"))
        };
        waivers(&self.policy).map(said).collect()
    }

    /// What the schemes could not check, once per reason, with the number of reports it concerns.
    pub(crate) fn not_checked(&self) -> Vec<Sentence> {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for item in self.claims().flat_map(|claims| &claims.not_checked) {
            let count = counts.entry((&item.code, &item.why)).or_default();
            *count = count.saturating_add(1);
        }
        let said = |((code, why), count)| {
            Sentence::on(["check:evidence-genuine"], format!("{code}: {why} ({count} pieces of evidence)"))
        };
        counts.into_iter().map(said).collect()
    }

    /// Earliest end of everything that was used.
    pub(crate) fn valid_until(&self) -> UnixMillis {
        let sets = self.nodes.iter().flat_map(CheckedNode::evidence);
        sets.map(|evidence| evidence.set().valid_until()).min().unwrap_or_default()
    }

    /// The weakest anchor decides.
    pub(crate) fn grade(&self) -> Grade {
        self.nodes.iter().map(CheckedNode::grade).min().unwrap_or(Grade::Simulated)
    }

    /// Anchors that evidence hangs on: name, grade, fingerprint.
    pub(crate) fn anchor_lines(&self, anchors: &TrustAnchors) -> Vec<String> {
        let used: BTreeSet<&str> = self.graded_anchors().into_iter().map(|(_, name)| name).collect();
        let line = |anchor: &CertificateAnchor| {
            let CertificateAnchor { name, grade, spki_sha256, der: _ } = anchor;
            format!("{name} ({}, SPKI sha256:{spki_sha256})", grade.as_str())
        };
        let known = anchors.intel.iter().chain(&anchors.nvidia_device);
        known.filter(|anchor| used.contains(anchor.name.as_str())).map(line).collect()
    }

    /// Grade and name of every anchor that evidence hangs on.
    pub(crate) fn graded_anchors(&self) -> BTreeSet<(Grade, &str)> {
        self.claims().map(|claims| (claims.grade, claims.anchor.as_str())).collect()
    }

    fn claims(&self) -> impl Iterator<Item = &PlatformClaims> {
        self.nodes.iter().flat_map(CheckedNode::claims)
    }
}

/// The bytes of a policy in a bundle.
pub(crate) fn policy_member(policy: &AppraisalPolicy) -> Vec<u8> {
    text::json(policy)
}

/// The bundle names the policy it was appraised by; this version applies the built-in one and accepts no other.
pub(crate) fn check_policy_member(member: &[u8], checks: &mut Checks) {
    let policy = AppraisalPolicy::built_in();
    checks.record(name::POLICY, "policy-known", is_built_in(member, &policy));
    for (rule, reason) in waivers(&policy) {
        let finding = Finding::skipped(format!("{rule}: waived by policy: {reason}"));
        checks.record(name::POLICY, "policy-waived", Err(finding));
    }
}

/// Applies the built-in policy to every evidence set of every node.
pub(crate) fn appraise<'a>(nodes: Vec<CheckedNode<'a>>, checks: &mut Checks) -> Option<Appraised<'a>> {
    let policy = AppraisalPolicy::built_in();
    let mut met = true;
    for evidence in nodes.iter().flat_map(CheckedNode::evidence) {
        met = appraise_set(evidence, &policy, checks) && met;
    }
    met.then_some(Appraised { nodes, policy })
}

fn appraise_set(evidence: &BoundEvidence<'_>, policy: &AppraisalPolicy, checks: &mut Checks) -> bool {
    let mut failures = cpu_failures(evidence.set().cpu(), policy);
    failures.extend(evidence.set().devices().iter().flat_map(|claims| accelerator_failures(claims, policy)));
    for Failure { code, message } in &failures {
        checks.record(evidence.path(), code, Err(Finding::fail(Culprit::Rejected, message)));
    }
    if failures.is_empty() {
        checks.record(evidence.path(), "policy-met", Ok(format!("every rule of {} is met or waived", policy.id)));
    }
    failures.is_empty()
}

/// A rule that one device does not meet.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    code: &'static str,
    message: String,
}

/// All rules that the CPU platform's claims do not meet.
fn cpu_failures(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<Failure> {
    let AppraisalPolicy {
        id: _,
        version: _,
        debug,
        sept_ve_disable,
        migratable,
        tcb_status,
        measurement,
        gpu_reference_values: _,
    } = policy;
    let mut rules = Rules { claims, failures: Vec::new() };
    rules.apply("policy-debug", "debug", debug, claims.debug.as_ref());
    rules.apply("policy-tcb-status", "TCB status", tcb_status, claims.tcb_status.as_ref());
    let found = claims.measurement.as_ref().map(hex::encode);
    rules.apply("policy-measurement", "launch measurement", measurement, found.as_ref());
    if claims.kind.as_str() == EvidenceKind::TDX {
        rules.apply("policy-sept-ve-disable", "SEPT_VE_DISABLE", sept_ve_disable, claims.sept_ve_disable.as_ref());
        rules.apply("policy-migratable", "migration", migratable, claims.migratable.as_ref());
    }
    rules.failures
}

/// All rules that an accelerator's claims do not meet.
fn accelerator_failures(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<Failure> {
    let AppraisalPolicy { debug, gpu_reference_values, .. } = policy;
    let mut rules = Rules { claims, failures: Vec::new() };
    // GPU reports of today do not say whether debugging is on; one that says so is held to the rule.
    if let Some(found) = claims.debug {
        rules.apply("policy-debug", "debug", debug, Some(&found));
    }
    let has_reference = !claims.not_checked.iter().any(|item| item.code == GPU_REFERENCE_CODE);
    rules.apply("policy-gpu-reference-values", "GPU reference values", gpu_reference_values, Some(&has_reference));
    rules.failures
}

/// Applies rules to one platform's claims.
struct Rules<'a> {
    claims: &'a PlatformClaims,
    failures: Vec<Failure>,
}

impl Rules<'_> {
    fn apply<T: PartialOrd + Debug>(
        &mut self,
        code: &'static str,
        rule: &str,
        wanted: &Requirement<T>,
        found: Option<&T>,
    ) {
        if wanted.is_met_by(found) {
            return;
        }
        let device = self.claims.device.map_or_else(|| "of unknown identity".to_owned(), text::short);
        let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}"));
        let advisories = match (code, self.claims.advisories.is_empty()) {
            ("policy-tcb-status", false) => format!(" (advisories {})", text::list(&self.claims.advisories)),
            _ => String::new(),
        };
        let kind = &self.claims.kind;
        let message = format!("{kind} {device}: {rule} is {found}{advisories}; policy wants {}", wish(wanted));
        self.failures.push(Failure { code, message });
    }
}

fn wish<T: Debug>(wanted: &Requirement<T>) -> String {
    match wanted {
        Requirement::Equals(value) => format!("{value:?}"),
        Requirement::AtLeast(value) => format!("at least {value:?}"),
        Requirement::OneOf(values) => format!("one of {values:?}"),
        Requirement::Waived { reason } => format!("anything ({reason})"),
    }
}

/// Bytes that are no policy are malformed; another policy is simply not ours.
fn is_built_in(member: &[u8], policy: &AppraisalPolicy) -> CheckResult {
    if member == policy_member(policy) {
        return Ok(format!("{} v{}, the policy of this version", policy.id, policy.version));
    }
    match serde_json::from_slice::<AppraisalPolicy>(member) {
        Ok(other) => Err(Finding::fail(
            Culprit::Rejected,
            format!("the bundle names policy {} v{}; this version applies only its own", other.id, other.version),
        )),
        Err(error) => Err(Finding::malformed(text::chain(&error))),
    }
}

fn waivers(policy: &AppraisalPolicy) -> impl Iterator<Item = (&'static str, &str)> {
    fn reason<T>(wanted: &Requirement<T>) -> Option<&str> {
        match wanted {
            Requirement::Waived { reason } => Some(reason),
            _ => None,
        }
    }
    let AppraisalPolicy {
        id: _,
        version: _,
        debug,
        sept_ve_disable,
        migratable,
        tcb_status,
        measurement,
        gpu_reference_values,
    } = policy;
    let rules = [
        ("debug", reason::<bool>(debug)),
        ("SEPT_VE_DISABLE", reason::<bool>(sept_ve_disable)),
        ("migration", reason::<bool>(migratable)),
        ("TCB status", reason::<TcbStatus>(tcb_status)),
        ("launch measurement", reason::<String>(measurement)),
        ("GPU reference values", reason::<bool>(gpu_reference_values)),
    ];
    rules.into_iter().filter_map(|(rule, reason)| Some((rule, reason?)))
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{BoundValue, Device, Digest32};

    use super::*;

    fn tdx() -> PlatformClaims {
        PlatformClaims {
            kind: EvidenceKind::new(EvidenceKind::TDX),
            device: Some(Device(Digest32([0xab; 32]))),
            grade: Grade::Simulated,
            anchor: "root".to_owned(),
            bound_value: BoundValue::ReportData([0; 64]),
            chip_family: None,
            tcb_status: Some(TcbStatus::UpToDate),
            advisories: vec![],
            debug: Some(false),
            sept_ve_disable: Some(true),
            migratable: Some(false),
            measurement: Some(vec![1; 48]),
            valid_until: UnixMillis(0),
            not_checked: vec![],
        }
    }

    #[test]
    fn every_failed_rule_is_listed_and_names_the_device() {
        let policy = AppraisalPolicy::built_in();
        assert_eq!(cpu_failures(&tdx(), &policy), []);
        let bad = PlatformClaims {
            debug: Some(true),
            sept_ve_disable: None,
            migratable: Some(true),
            tcb_status: Some(TcbStatus::OutOfDate),
            advisories: vec!["INTEL-SA-1".to_owned()],
            ..tdx()
        };
        let found = cpu_failures(&bad, &policy);
        let codes: Vec<_> = found.iter().map(|failure| failure.code).collect();
        assert_eq!(codes, ["policy-debug", "policy-tcb-status", "policy-sept-ve-disable", "policy-migratable"]);
        assert_eq!(
            found[1].message,
            "tdx abababababababab: TCB status is OutOfDate (advisories INTEL-SA-1); policy wants one of [UpToDate]"
        );
        assert_eq!(found[2].message, "tdx abababababababab: SEPT_VE_DISABLE is nothing; policy wants true");
    }

    #[test]
    fn an_accelerator_that_admits_debugging_is_refused() {
        let policy = AppraisalPolicy::built_in();
        let gpu = PlatformClaims { kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU), debug: None, ..tdx() };
        assert_eq!(accelerator_failures(&gpu, &policy), []);
        let debugged = PlatformClaims { debug: Some(true), ..gpu };
        assert_eq!(accelerator_failures(&debugged, &policy)[0].code, "policy-debug");
    }

    #[test]
    fn another_policy_is_rejected_and_no_policy_is_malformed() {
        let built_in = AppraisalPolicy::built_in();
        assert!(is_built_in(&policy_member(&built_in), &built_in).is_ok());
        let lax = AppraisalPolicy { debug: Requirement::Waived { reason: "trust me".to_owned() }, ..built_in.clone() };
        let rejected = is_built_in(&policy_member(&lax), &built_in).unwrap_err();
        assert_eq!(
            rejected,
            Finding::fail(
                Culprit::Rejected,
                "the bundle names policy weighbridge-default v1; this version applies only its own"
            )
        );
        let mut spaced = policy_member(&built_in);
        spaced.push(b' ');
        assert!(is_built_in(&spaced, &built_in).is_err());
    }
}
