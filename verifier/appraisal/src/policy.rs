//! **Duty.** Appraisal: do we like what is genuine? Every rule of the policy on every evidence set, all failures named
//! with their device. **Knows** normalised claims. **Does not know** TEEs, ledgers or the network.
//! **Spec.** PROTOCOL §6 (policy is explicit), EVIDENCE §0.

mod nvidia;
mod rules;
mod snp;
mod tdx;

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::{
    AppraisalPolicy, CertificateAnchor, Culprit, EvidenceKind, Grade, PlatformClaims, Sentence, TrustAnchors,
    UnixMillis, sha256,
};

pub use self::rules::UnmetRule;

pub(crate) use self::nvidia::{culprit, reference_anchors};
pub(crate) use self::rules::{Ruling, Turned};

use self::rules::{Rules, reason};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::name;
use crate::nodes::{BoundEvidence, CheckedNode};
use crate::text;

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
        let nvidia = anchors.nvidia_device.iter().chain(&anchors.nvidia_rim);
        let known = anchors.intel.iter().chain(nvidia).chain(&anchors.amd);
        known.filter(|anchor| used.contains(anchor.name.as_str())).map(line).collect()
    }

    /// Grade and name of every anchor that evidence hangs on.
    pub(crate) fn graded_anchors(&self) -> BTreeSet<(Grade, &str)> {
        let own = self.claims().map(|claims| (claims.grade, claims.anchor.as_str()));
        own.chain(self.claims().flat_map(nvidia::reference_anchors)).collect()
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
    let mut unmet = unmet_rules(evidence.set().cpu(), policy);
    unmet.extend(evidence.set().devices().iter().flat_map(|claims| accelerator_rules(claims, policy).unmet()));
    if let Some(why) = not_applicable(evidence.set().cpu()) {
        checks.record(evidence.path(), "policy-not-applicable", Err(Finding::skipped(why)));
    }
    for UnmetRule { code, message } in &unmet {
        checks.record(evidence.path(), code, Err(Finding::fail(nvidia::culprit(code), message)));
    }
    if unmet.is_empty() {
        checks.record(evidence.path(), "policy-met", Ok(format!("every rule of {} is met or waived", policy.id)));
    }
    unmet.is_empty()
}

/// All rules of a policy that the CPU platform's claims do not meet. Which rules apply is decided by the kind, and the
/// kind is the scheme's that verified the evidence: a TD cannot say that it is none. An Azure VM is held to the rules of
/// the platform that its scheme found inside. A kind that is not known here is held to every rule, and fails those it
/// has no claim for.
#[must_use]
pub fn unmet_rules(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<UnmetRule> {
    cpu_rules(claims, policy).unmet()
}

/// Every rule that is asked of one platform, with how it turned out. Only accelerators have a chip family: whatever has
/// none is held to the rules of CPU platforms, and fails those it has no claim for.
pub(crate) fn rulings(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<Ruling> {
    match claims.chip_family {
        Some(_) => accelerator_rules(claims, policy).rulings(),
        None => cpu_rules(claims, policy).rulings(),
    }
}

fn cpu_rules<'a>(claims: &'a PlatformClaims, policy: &AppraisalPolicy) -> Rules<'a> {
    let AppraisalPolicy { id: _, version: _, debug, migratable, measurement, sev_snp, tdx, nvidia: _ } = policy;
    let mut rules = Rules::about(claims);
    rules.apply("policy-debug", "debug", debug, claims.debug.as_ref());
    let found = claims.measurement.as_ref().map(hex::encode);
    rules.apply("policy-measurement", "launch measurement", measurement, found.as_ref());
    rules.apply("policy-migratable", "migration", migratable, claims.migratable.as_ref());
    let platform = Platform::of(claims);
    if platform != Platform::SevSnp {
        tdx::apply(tdx, &mut rules);
    }
    if platform != Platform::Tdx {
        snp::apply(sev_snp, &mut rules);
    }
    rules
}

/// Whose rules a CPU platform is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    Tdx,
    SevSnp,
    /// Every rule.
    Unknown,
}

impl Platform {
    fn of(claims: &PlatformClaims) -> Self {
        match (claims.kind.as_str(), claims.tdx.is_some(), claims.snp.is_some()) {
            (EvidenceKind::TDX, _, _) | (EvidenceKind::AZURE_HCL, true, false) => Self::Tdx,
            (EvidenceKind::SEV_SNP, _, _) | (EvidenceKind::AZURE_HCL, false, true) => Self::SevSnp,
            _ => Self::Unknown,
        }
    }
}

/// Rules that say nothing about a kind of CPU evidence, in words; `None` where all apply.
fn not_applicable(claims: &PlatformClaims) -> Option<&'static str> {
    match Platform::of(claims) {
        Platform::SevSnp => Some(
            "the rules of `tdx` do not apply to SEV-SNP: SEPT_VE_DISABLE, service TDs and run-time registers exist in \
             TDX alone, and AMD publishes no TCB status; the rules of `sev_snp` about TCBs stand in its place",
        ),
        Platform::Tdx | Platform::Unknown => None,
    }
}

/// All rules that an accelerator's claims do not meet.
fn accelerator_rules<'a>(claims: &'a PlatformClaims, policy: &AppraisalPolicy) -> Rules<'a> {
    let AppraisalPolicy { debug, nvidia, .. } = policy;
    let mut rules = Rules::about(claims);
    // GPU reports of today do not say whether debugging is on; one that says so is held to the rule.
    if let Some(found) = claims.debug {
        rules.apply("policy-debug", "debug", debug, Some(&found));
    }
    // There are no other accelerators; one would have none of these claims, and fail.
    nvidia::apply(nvidia, &mut rules);
    rules
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

fn waivers(policy: &AppraisalPolicy) -> impl Iterator<Item = (String, &str)> {
    let AppraisalPolicy { id: _, version: _, debug, migratable, measurement, sev_snp, tdx, nvidia } = policy;
    let rules =
        [("debug", reason(debug)), ("migration", reason(migratable)), ("launch measurement", reason(measurement))];
    let one = rules.into_iter().filter_map(|(rule, reason)| Some((rule.to_owned(), reason?)));
    one.chain(tdx::waivers(tdx)).chain(snp::waivers(sev_snp)).chain(nvidia::waivers(nvidia))
}

#[cfg(test)]
pub(crate) mod tests;
