//! **Duty.** Appraisal: do we like what is genuine? Every rule of the policy on every evidence set, all failures named
//! with their device. **Knows** normalised claims. **Does not know** TEEs, ledgers or the network.
//! **Spec.** PROTOCOL §6 (policy is explicit), EVIDENCE §0.

mod nvidia;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use weighbridge_attest_types::{
    AppraisalPolicy, CertificateAnchor, Culprit, EvidenceKind, Grade, PlatformClaims, Requirement, Sentence, SnpRules,
    TcbStatus, TrustAnchors, UnixMillis, sha256,
};

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
    let mut failures = cpu_failures(evidence.set().cpu(), policy);
    failures.extend(evidence.set().devices().iter().flat_map(|claims| accelerator_failures(claims, policy)));
    if let Some(why) = not_applicable(&evidence.set().cpu().kind) {
        checks.record(evidence.path(), "policy-not-applicable", Err(Finding::skipped(why)));
    }
    for Failure { code, message } in &failures {
        checks.record(evidence.path(), code, Err(Finding::fail(nvidia::culprit(code), message)));
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

/// All rules that the CPU platform's claims do not meet. What does not apply is decided by the kind alone, and the kind
/// is the scheme's that verified the evidence: a TD cannot say that it is none. A kind that is not known here is held to
/// every rule, and fails those it has no claim for.
fn cpu_failures(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<Failure> {
    let AppraisalPolicy {
        id: _,
        version: _,
        debug,
        sept_ve_disable,
        migratable,
        tcb_status,
        measurement,
        sev_snp,
        nvidia: _,
    } = policy;
    let mut rules = Rules { claims, failures: Vec::new() };
    rules.apply("policy-debug", "debug", debug, claims.debug.as_ref());
    let is_snp = claims.kind.as_str() == EvidenceKind::SEV_SNP;
    if !is_snp {
        rules.apply("policy-tcb-status", "TCB status", tcb_status, claims.tcb_status.as_ref());
    }
    let found = claims.measurement.as_ref().map(hex::encode);
    rules.apply("policy-measurement", "launch measurement", measurement, found.as_ref());
    if !is_snp {
        rules.apply("policy-sept-ve-disable", "SEPT_VE_DISABLE", sept_ve_disable, claims.sept_ve_disable.as_ref());
    }
    rules.apply("policy-migratable", "migration", migratable, claims.migratable.as_ref());
    if is_snp {
        rules.apply_snp(sev_snp);
    }
    rules.failures
}

/// Rules that say nothing about a kind of CPU evidence, in words; `None` where all apply.
fn not_applicable(kind: &EvidenceKind) -> Option<&'static str> {
    (kind.as_str() == EvidenceKind::SEV_SNP).then_some(
        "SEPT_VE_DISABLE and TCB status do not apply to SEV-SNP: the first exists in TDX alone, and AMD publishes no \
         status; the rules of `sev_snp` about TCBs stand in its place",
    )
}

/// All rules that an accelerator's claims do not meet.
fn accelerator_failures(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<Failure> {
    let AppraisalPolicy { debug, nvidia, .. } = policy;
    let mut rules = Rules { claims, failures: Vec::new() };
    // GPU reports of today do not say whether debugging is on; one that says so is held to the rule.
    if let Some(found) = claims.debug {
        rules.apply("policy-debug", "debug", debug, Some(&found));
    }
    // There are no other accelerators; one would have none of these claims, and fail.
    rules.apply_nvidia(nvidia);
    rules.failures
}

/// Applies rules to one platform's claims.
struct Rules<'a> {
    claims: &'a PlatformClaims,
    failures: Vec<Failure>,
}

impl Rules<'_> {
    fn device(&self) -> String {
        self.claims.device.map_or_else(|| "of unknown identity".to_owned(), text::short)
    }

    /// What only SEV-SNP guests are asked; claims of that kind always carry the answers.
    fn apply_snp(&mut self, rules: &SnpRules) {
        let Some(claims) = self.claims.snp.as_deref() else {
            let message = format!("{}: the evidence has none of the claims of its kind", self.claims.kind);
            self.failures.push(Failure { code: "policy-snp", message });
            return;
        };
        let tcb = rules.tcb(claims.product);
        self.apply("policy-snp", "reported TCB", &tcb.reported, Some(&claims.tcb.reported));
        self.apply("policy-snp", "committed TCB", &tcb.committed, Some(&claims.tcb.committed));
        self.apply("policy-snp", "launch TCB", &tcb.launch, Some(&claims.tcb.launch));
        self.apply("policy-snp", "VMPL", &rules.vmpl, Some(&claims.vmpl));
        self.apply("policy-snp", "guest policy", &rules.guest_policy, Some(&claims.policy));
        let host_data = hex::encode(claims.host_data);
        self.apply("policy-snp", "host data", &rules.host_data, Some(&host_data));
        let id_key = hex::encode(claims.id_key_digest);
        self.apply("policy-snp", "identity key digest", &rules.id_key_digest, Some(&id_key));
        let author_key = claims.author_key_digest.map(hex::encode);
        self.apply("policy-snp", "author key digest", &rules.author_key_digest, author_key.as_ref());
    }

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
        let device = self.device();
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

fn waivers(policy: &AppraisalPolicy) -> impl Iterator<Item = (String, &str)> {
    let AppraisalPolicy {
        id: _,
        version: _,
        debug,
        sept_ve_disable,
        migratable,
        tcb_status,
        measurement,
        sev_snp,
        nvidia,
    } = policy;
    let rules = [
        ("debug", reason::<bool>(debug)),
        ("SEPT_VE_DISABLE", reason::<bool>(sept_ve_disable)),
        ("migration", reason::<bool>(migratable)),
        ("TCB status", reason::<TcbStatus>(tcb_status)),
        ("launch measurement", reason::<String>(measurement)),
    ];
    let one = rules.into_iter().filter_map(|(rule, reason)| Some((rule.to_owned(), reason?)));
    let grouped = |vendor: &'static str| {
        move |(reason, rules): (_, Vec<String>)| (format!("{vendor} {}", rules.join(", ")), reason)
    };
    let nvidia = nvidia::waivers(nvidia).into_iter().map(grouped("NVIDIA"));
    one.chain(snp_waivers(sev_snp).into_iter().map(grouped("SEV-SNP"))).chain(nvidia)
}

/// Those of one reason stand together: most policies have one for all.
fn snp_waivers(rules: &SnpRules) -> BTreeMap<&str, Vec<String>> {
    let SnpRules { milan, genoa, turin, vmpl, guest_policy, host_data, id_key_digest, author_key_digest } = rules;
    let mut waived: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let lines = [("Milan", milan), ("Genoa", genoa), ("Turin", turin)];
    let tcbs = lines.into_iter().flat_map(|(line, tcb)| {
        let parts = [("reported", &tcb.reported), ("committed", &tcb.committed), ("launch", &tcb.launch)];
        parts.into_iter().map(move |(part, wanted)| (format!("{part} TCB of {line}"), reason(wanted)))
    });
    let others = [
        ("VMPL", reason(vmpl)),
        ("guest policy", reason(guest_policy)),
        ("host data", reason(host_data)),
        ("identity key", reason(id_key_digest)),
        ("author key", reason(author_key_digest)),
    ];
    for (rule, reason) in tcbs.chain(others.map(|(rule, reason)| (rule.to_owned(), reason))) {
        if let Some(reason) = reason {
            waived.entry(reason).or_default().push(rule);
        }
    }
    waived
}

fn reason<T>(wanted: &Requirement<T>) -> Option<&str> {
    match wanted {
        Requirement::Waived { reason } => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{
        BoundValue, Device, Digest32, SnpClaims, SnpGuestPolicy, SnpProduct, SnpSigner, SnpTcb, SnpTcbs,
    };

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
            snp: None,
            nvidia: None,
        }
    }

    const TCB: SnpTcb = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };

    fn snp() -> PlatformClaims {
        let claims = SnpClaims {
            product: SnpProduct::Milan,
            signer: SnpSigner::Vcek,
            csp_id: None,
            version: 3,
            guest_svn: 0,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 1,
            policy: SnpGuestPolicy(0x3_0000),
            platform_info: 0,
            tcb: SnpTcbs { current: TCB, committed: TCB, reported: TCB, launch: TCB },
            host_data: [3; 32],
            id_key_digest: [0; 48],
            author_key_digest: None,
            mitigations: None,
        };
        let kind = EvidenceKind::new(EvidenceKind::SEV_SNP);
        PlatformClaims { kind, tcb_status: None, sept_ve_disable: None, snp: Some(Box::new(claims)), ..tdx() }
    }

    fn codes(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<&'static str> {
        cpu_failures(claims, policy).iter().map(|failure| failure.code).collect()
    }

    #[test]
    fn rules_of_tdx_do_not_apply_to_snp_and_only_the_kind_says_so() {
        let policy = AppraisalPolicy::built_in();
        assert_eq!(cpu_failures(&snp(), &policy), []);
        assert!(not_applicable(&snp().kind).is_some() && not_applicable(&tdx().kind).is_none());
        // A TD gains nothing by claims of the other kind, and a kind that nobody knows by claims that it lacks.
        let dressed = PlatformClaims { kind: tdx().kind, ..snp() };
        assert_eq!(codes(&dressed, &policy), ["policy-tcb-status", "policy-sept-ve-disable"]);
        let unknown = PlatformClaims { kind: EvidenceKind::new("sev-snp2"), ..snp() };
        assert_eq!(codes(&unknown, &policy), ["policy-tcb-status", "policy-sept-ve-disable"]);
        let undressed = PlatformClaims { snp: None, ..snp() };
        assert_eq!(codes(&undressed, &policy), ["policy-snp"]);
        // Debugging and migration are asked of both.
        let open = PlatformClaims { debug: Some(true), migratable: Some(true), ..snp() };
        assert_eq!(codes(&open, &policy), ["policy-debug", "policy-migratable"]);
        let silent = PlatformClaims { debug: None, migratable: None, ..snp() };
        assert_eq!(codes(&silent, &policy), ["policy-debug", "policy-migratable"]);
    }

    #[test]
    fn minima_are_those_of_the_product_and_every_part_counts() {
        let with = |change: &dyn Fn(&mut SnpRules)| {
            let mut policy = AppraisalPolicy::built_in();
            change(&mut policy.sev_snp);
            cpu_failures(&snp(), &policy).into_iter().map(|failure| failure.message).collect::<Vec<_>>()
        };
        let at_least = |tcb| Requirement::AtLeast(tcb);
        assert!(with(&|rules| rules.milan.reported = at_least(TCB)).is_empty());
        let higher = SnpTcb { bootloader: 0, microcode: 220, ..TCB };
        assert!(with(&|rules| rules.genoa.reported = at_least(higher)).is_empty(), "another product's minimum");
        for change in [
            &(|rules: &mut SnpRules| rules.milan.reported = at_least(higher)) as &dyn Fn(&mut SnpRules),
            &|rules| rules.milan.committed = at_least(higher),
            &|rules| rules.milan.launch = at_least(higher),
            &|rules| rules.vmpl = Requirement::Equals(0),
            &|rules| rules.guest_policy = Requirement::AtLeast(SnpGuestPolicy(1 << 20)),
            &|rules| rules.host_data = Requirement::Equals("00".to_owned()),
            &|rules| rules.id_key_digest = Requirement::OneOf(vec![]),
            &|rules| rules.author_key_digest = Requirement::Equals("00".repeat(48)),
        ] {
            assert_eq!(with(change).len(), 1);
        }
        let message = with(&|rules| rules.vmpl = Requirement::OneOf(vec![0])).remove(0);
        assert_eq!(message, "sev-snp abababababababab: VMPL is 1; policy wants one of [0]");
    }

    #[test]
    fn waived_rules_of_one_reason_stand_on_one_line() {
        let policy = AppraisalPolicy::built_in();
        let snp: Vec<String> = waivers(&policy).map(|(rule, _)| rule).filter(|rule| rule.starts_with("SEV")).collect();
        assert_eq!(snp.len(), 1);
        assert!(snp[0].starts_with("SEV-SNP reported TCB of Milan, ") && snp[0].ends_with(", author key"), "{snp:?}");
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
    fn another_policy_is_rejected_and_no_policy_is_malformed() {
        let built_in = AppraisalPolicy::built_in();
        assert!(is_built_in(&policy_member(&built_in), &built_in).is_ok());
        let lax = AppraisalPolicy { debug: Requirement::Waived { reason: "trust me".to_owned() }, ..built_in.clone() };
        let rejected = is_built_in(&policy_member(&lax), &built_in).unwrap_err();
        assert_eq!(
            rejected,
            Finding::fail(
                Culprit::Rejected,
                "the bundle names policy weighbridge-default v3; this version applies only its own"
            )
        );
        let mut spaced = policy_member(&built_in);
        spaced.push(b' ');
        assert!(is_built_in(&spaced, &built_in).is_err());
    }
}
