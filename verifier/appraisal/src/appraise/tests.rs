use weighbridge_attest::Endorsements;
use weighbridge_attest_types::{
    Digest32, FirmwareVersion, GpuFacts, MissingRim, NotChecked, NvidiaClaims, NvidiaPart, NvidiaStatus, Pdi,
    Requirement, RimSlot, SnpGuestPolicy, SwitchFacts, TcbStatus, TdAttributes, TrustAnchors, Vmpl,
};

use super::*;
use crate::policy::tests::{TCB, gpu as gpu_with, snp as bare_snp, tdx as bare_tdx, tdx_with};

fn tdx() -> PlatformClaims {
    PlatformClaims { grade: Grade::Attested, valid_until: UnixMillis(1_000), ..bare_tdx() }
}

fn snp() -> PlatformClaims {
    PlatformClaims { grade: Grade::Attested, valid_until: UnixMillis(1_000), ..bare_snp() }
}

/// Its firmware matches its manifests, and nobody knows its mode.
fn gpu() -> PlatformClaims {
    let open = NotChecked { code: "gpu-cc-mode".to_owned(), why: "no reason".to_owned() };
    PlatformClaims { not_checked: vec![open], ..gpu_with(|_| {}) }
}

fn without_manifest(claims: &mut NvidiaClaims) {
    claims.reference_values.missing = vec![MissingRim { slot: RimSlot::Driver, id: None }];
}

/// As `appraise_one` makes it of genuine evidence that answered.
fn device(claims: PlatformClaims, policy: &AppraisalPolicy) -> DeviceAppraisal {
    let mut findings = vec![DeviceFinding::pass("evidence-genuine", "x"), DeviceFinding::pass("evidence-bound", "x")];
    findings.extend(claims_findings(&claims, policy));
    DeviceAppraisal {
        name: format!("{}-0", claims.kind),
        source: "file".to_owned(),
        kind: claims.kind.clone(),
        evidence: Some(Digest32([1; 32])),
        claims: Some(claims),
        findings,
    }
}

fn refused(culprit: Culprit) -> DeviceAppraisal {
    let findings = vec![DeviceFinding::fail("x", culprit, "x")];
    DeviceAppraisal { claims: None, findings, ..device(tdx(), &AppraisalPolicy::built_in()) }
}

/// Nothing waived that is asked of these devices.
fn strict() -> AppraisalPolicy {
    let mut policy = AppraisalPolicy::built_in();
    let hex = |byte: u8, count: usize| Requirement::Equals(hex::encode(vec![byte; count]));
    policy.measurement = hex(1, 48);
    policy.sev_snp.milan.reported = Requirement::AtLeast(TCB);
    policy.sev_snp.milan.committed = Requirement::AtLeast(TCB);
    policy.sev_snp.milan.launch = Requirement::AtLeast(TCB);
    policy.sev_snp.vmpl = Requirement::Equals(Vmpl(1));
    policy.sev_snp.guest_policy = Requirement::Equals(SnpGuestPolicy(0x3_0000));
    policy.sev_snp.host_data = hex(3, 32);
    policy.sev_snp.id_key_digest = hex(0, 48);
    let tdx = &mut policy.tdx;
    tdx.advisories = Requirement::OneOf(vec![]);
    tdx.evaluation_number = Requirement::AtLeast(17);
    (tdx.rtmr0, tdx.rtmr1, tdx.rtmr2, tdx.rtmr3) = (hex(10, 48), hex(11, 48), hex(12, 48), hex(13, 48));
    (tdx.mr_config_id, tdx.mr_owner, tdx.mr_owner_config) = (hex(2, 48), hex(3, 48), hex(4, 48));
    (tdx.mrseam, tdx.event_log) = (hex(5, 48), Requirement::Equals(false));
    let nvidia = &mut policy.nvidia;
    (nvidia.firmware_identity, nvidia.revocation_status) = (Requirement::Equals(true), Requirement::Equals(true));
    nvidia.protected_pcie = Requirement::Equals(false);
    nvidia.gh100.driver = Requirement::AtLeast(FirmwareVersion("550.90.07".to_owned()));
    nvidia.gh100.vbios = Requirement::AtLeast(FirmwareVersion("96.00.9F.00.01".to_owned()));
    policy
}

#[test]
fn only_what_was_checked_whole_is_affirming() {
    let policy = strict();
    assert_eq!(device(tdx(), &policy).tier(), Tier::Affirming);
    // One waiver, one open check, an anchor that no vendor lends: each alone lowers the tier.
    assert_eq!(device(tdx(), &AppraisalPolicy::built_in()).tier(), Tier::Warning);
    let open = NotChecked { code: "tdx-event-log".to_owned(), why: "none".to_owned() };
    assert_eq!(device(PlatformClaims { not_checked: vec![open], ..tdx() }, &policy).tier(), Tier::Warning);
    assert_eq!(device(PlatformClaims { grade: Grade::Simulated, ..tdx() }, &policy).tier(), Tier::Warning);
    assert_eq!(device(PlatformClaims { debug: Some(true), ..tdx() }, &policy).tier(), Tier::Contraindicated);
    for (culprit, tier) in [
        (Culprit::Malformed, Tier::None),
        (Culprit::Unsupported, Tier::None),
        (Culprit::Unavailable, Tier::None),
        (Culprit::Usage, Tier::None),
        (Culprit::Internal, Tier::None),
        (Culprit::Untrusted, Tier::Contraindicated),
        (Culprit::Rejected, Tier::Contraindicated),
    ] {
        assert_eq!((refused(culprit).tier(), refused(culprit).culprit()), (tier, Some(culprit)));
    }
    // Silence is no acceptance.
    let silent = DeviceAppraisal { findings: vec![], ..refused(Culprit::Malformed) };
    assert_eq!((silent.culprit(), silent.tier()), (Some(Culprit::Unavailable), Tier::None));
}

#[test]
fn the_whole_is_no_better_than_its_worst_device() {
    let policy = strict();
    let of = |devices: Vec<DeviceAppraisal>, whole: Vec<DeviceFinding>| Appraisal {
        at: UnixMillis(0),
        policy: PolicyName::of(&policy),
        devices,
        whole,
        binding: DeviceBinding::None,
    };
    let good = || device(tdx(), &policy);
    assert_eq!(of(vec![good(), good()], vec![]).tier(), Tier::Affirming);
    assert_eq!(of(vec![good(), device(gpu(), &AppraisalPolicy::built_in())], vec![]).tier(), Tier::Warning);
    let absent = of(vec![good(), refused(Culprit::Unavailable)], vec![]);
    assert_eq!((absent.tier(), absent.culprit()), (Tier::None, Some(Culprit::Unavailable)));
    let bad = of(vec![refused(Culprit::Unavailable), good(), refused(Culprit::Rejected)], vec![]);
    assert_eq!((bad.tier(), bad.culprit()), (Tier::Contraindicated, Some(Culprit::Unavailable)));
    let open = of(vec![good()], vec![DeviceFinding::not_checked("x", "x")]);
    assert_eq!((open.tier(), open.culprit()), (Tier::Warning, None));
    let twice = of(vec![good()], vec![DeviceFinding::fail("x", Culprit::Untrusted, "x")]);
    assert_eq!((twice.tier(), twice.culprit()), (Tier::Contraindicated, Some(Culprit::Untrusted)));
    assert_eq!(of(vec![], vec![]).culprit(), Some(Culprit::Internal), "nothing is no acceptance");
}

fn vector(claims: PlatformClaims, policy: &AppraisalPolicy) -> Vec<(&'static str, i8)> {
    device(claims, policy).trust_vector().claims().map(|(_, name, value)| (name, value)).collect()
}

#[test]
fn the_vector_claims_what_was_compared_and_nothing_else() {
    let (built_in, policy) = (AppraisalPolicy::built_in(), strict());
    let identity = ("instance-identity", 2);
    let opaque = ("runtime-opaque", 2);
    let all = vec![identity, ("configuration", 3), ("executables", 3), ("hardware", 2), opaque];
    assert_eq!(vector(tdx(), &policy), all);
    assert_eq!(vector(snp(), &policy), all);
    assert_eq!(vector(tdx(), &built_in), [identity, ("configuration", 3), ("hardware", 2), opaque]);
    // AMD publishes no status: without minima nothing is said about firmware.
    assert_eq!(vector(snp(), &built_in), [identity, ("configuration", 3), opaque]);
    let masked = PlatformClaims { device: None, ..snp() };
    assert_eq!(vector(masked, &built_in), [("configuration", 3), opaque]);
    // A TD's firmware alone is not all that was launched.
    let firmware = AppraisalPolicy { measurement: policy.measurement.clone(), ..AppraisalPolicy::built_in() };
    assert_eq!(vector(tdx(), &firmware), [identity, ("configuration", 3), ("hardware", 2), opaque]);
    // A GPU's report does not show its configuration.
    let matched = [("executables", 3), ("hardware", 2)];
    for policy in [&policy, &built_in] {
        assert_eq!(vector(gpu(), policy), [&[identity, ("configuration", 36)], &matched[..]].concat());
        assert_eq!(vector(gpu_with(|_| {}), policy), [&[identity], &matched[..]].concat());
    }
    let mut waived = AppraisalPolicy::built_in();
    waived.nvidia.reference_values = Requirement::Waived { reason: "for a test".to_owned() };
    assert_eq!(vector(gpu_with(without_manifest), &waived), [identity]);
}

#[test]
fn the_vector_warns_of_what_does_not_hold() {
    let policy = strict();
    let has = |claims: PlatformClaims, wanted: (&'static str, i8)| {
        let vector = vector(claims, &policy);
        assert!(vector.contains(&wanted), "{wanted:?} is not in {vector:?}");
    };
    has(PlatformClaims { debug: Some(true), ..tdx() }, ("configuration", 96));
    has(PlatformClaims { debug: Some(true), ..tdx() }, ("runtime-opaque", 96));
    has(PlatformClaims { migratable: Some(true), ..snp() }, ("configuration", 96));
    has(PlatformClaims { measurement: Some(vec![2; 48]), ..tdx() }, ("executables", 33));
    has(PlatformClaims { tcb_status: Some(TcbStatus::OutOfDate), ..tdx() }, ("hardware", 32));
    has(PlatformClaims { tcb_status: Some(TcbStatus::NotSupported), ..tdx() }, ("hardware", 97));
    has(PlatformClaims { tcb_status: Some(TcbStatus::ConfigurationNeeded), ..tdx() }, ("configuration", 32));
    has(PlatformClaims { tcb_status: Some(TcbStatus::Revoked), ..tdx() }, ("hardware", 96));
    has(tdx_with(|claims| claims.attributes = TdAttributes((1 << 28) | (1 << 4))), ("configuration", 96));
    has(tdx_with(|claims| claims.tcb.current_status = Some(TcbStatus::OutOfDate)), ("hardware", 32));
    has(tdx_with(|claims| claims.rtmr[1] = [0; 48]), ("executables", 33));
    has(gpu_with(without_manifest), ("executables", 33));
    has(gpu_with(without_manifest), ("hardware", 32));
    has(gpu_with(|claims| claims.revocation.held = vec!["x".to_owned()]), ("instance-identity", 96));
    let mut old = snp();
    old.snp.as_mut().unwrap().tcb.reported.microcode = 1;
    has(old, ("hardware", 32));
    // Nothing is read from what does not verify.
    let of = |culprit| refused(culprit).trust_vector().claims().map(|(key, _, value)| (key, value)).collect::<Vec<_>>();
    assert_eq!(of(Culprit::Untrusted), [(0, 99), (4, 99)]);
    assert_eq!(of(Culprit::Malformed), [(0, 1), (4, 1)]);
    assert_eq!(of(Culprit::Unavailable), []);
}

#[test]
fn waivers_of_one_reason_stand_together_and_each_rule_is_said_once() {
    let device = device(snp(), &AppraisalPolicy::built_in());
    let waived: Vec<&DeviceFinding> =
        device.findings().iter().filter(|finding| finding.status == FindingStatus::NotChecked).collect();
    let codes: Vec<&str> = waived.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["policy-measurement", "policy-snp"]);
    let rules = waived[1].rule.as_deref().unwrap();
    assert_eq!(rules.split(", ").count(), 8, "{rules}");
    assert!(waived[1].message.starts_with(rules) && waived[1].message.contains(": waived by policy: AMD publishes"));
}

#[test]
fn evidence_of_a_kind_that_nobody_knows_is_unsupported_and_hostile_words_are_cut() {
    let (anchors, endorsements, policy) =
        (TrustAnchors::default(), Endorsements::default(), AppraisalPolicy::built_in());
    let grounds = Grounds { endorsements: &endorsements, anchors: &anchors, policy: &policy, at: UnixMillis(0) };
    let piece = EvidencePiece { source: "x".to_owned(), body: vec![1, 2, 3] };
    let appraise = |kind: &str| {
        let kind = EvidenceKind::new(kind);
        appraise_devices(&kind, std::slice::from_ref(&piece), &[], None, None, &grounds)
    };
    assert_eq!(appraise("sgx").culprit(), Some(Culprit::Unsupported));
    assert_eq!(appraise("tdx").culprit(), Some(Culprit::Malformed));
    let long = DeviceFinding::pass("x", "é".repeat(1 << 16));
    assert_eq!(long.message.chars().count(), MAX_MESSAGE + 1);
}

#[test]
fn devices_are_told_apart_by_identity_or_by_their_evidence() {
    let policy = strict();
    let other = PlatformClaims { device: Some(Device(Digest32([2; 32]))), ..tdx() };
    let named = |claims: PlatformClaims, name: &str, evidence: u8| DeviceAppraisal {
        name: name.to_owned(),
        evidence: Some(Digest32([evidence; 32])),
        ..device(claims, &policy)
    };
    let codes = |devices: &[DeviceAppraisal]| {
        whole_findings(devices, None).into_iter().map(|finding| (finding.code, finding.status)).collect::<Vec<_>>()
    };
    let says = |code: &str, status| vec![(code.to_owned(), status)];
    let (a, b) = (named(tdx(), "a", 1), named(other, "b", 2));
    assert_eq!(codes(&[a.clone(), b]), says("devices-distinct", FindingStatus::Pass));
    assert_eq!(codes(&[a.clone(), named(tdx(), "b", 2)]), says("device-repeated", FindingStatus::Fail));
    assert_eq!(codes(std::slice::from_ref(&a)), []);
    let masked = |name: &str, evidence| named(PlatformClaims { device: None, ..snp() }, name, evidence);
    assert_eq!(codes(&[a.clone(), masked("b", 2)]), says("devices-distinct", FindingStatus::NotChecked));
    assert_eq!(codes(&[masked("a", 2), masked("b", 2)]), says("device-repeated", FindingStatus::Fail));
}

#[test]
fn a_roster_is_exact_in_both_directions() {
    let policy = strict();
    let gpu_named = |byte: u8| DeviceAppraisal {
        name: format!("gpu-{byte}"),
        evidence: Some(Digest32([byte; 32])),
        ..device(PlatformClaims { device: Some(Device(Digest32([byte; 32]))), ..gpu() }, &policy)
    };
    let cpu = || device(tdx(), &policy);
    let of = |devices: &[DeviceAppraisal], named: &[u8]| {
        let named = named.iter().map(|byte| Device(Digest32([*byte; 32]))).collect();
        Roster::Devices(named).finding(devices).status
    };
    let (pass, fail) = (FindingStatus::Pass, FindingStatus::Fail);
    assert_eq!(of(&[cpu(), gpu_named(1), gpu_named(2)], &[1, 2]), pass);
    assert_eq!(of(&[cpu(), gpu_named(1), gpu_named(2)], &[1, 2, 0xab]), pass);
    assert_eq!(of(&[cpu(), gpu_named(1), gpu_named(2)], &[1]), fail);
    assert_eq!(of(&[cpu(), gpu_named(1)], &[1, 2]), fail);
    assert_eq!(of(&[cpu(), gpu_named(1)], &[0xab]), fail);
    assert_eq!(of(&[cpu()], &[0xab]), pass);
    assert_eq!(of(&[cpu()], &[0xac]), fail);
    assert_eq!(
        of(&[cpu(), device(PlatformClaims { device: Some(Device(Digest32([3; 32]))), ..tdx() }, &policy)], &[0xab]),
        fail
    );
    let masked = device(PlatformClaims { device: None, ..snp() }, &policy);
    assert_eq!(of(&[masked, gpu_named(1)], &[1]), FindingStatus::NotChecked);
    assert_eq!(of(&[refused(Culprit::Untrusted)], &[0xab]), fail);
}

/// One of NVIDIA's, told apart by a byte.
fn part(byte: u8, change: impl Fn(&mut GpuFacts)) -> DeviceAppraisal {
    let claims = gpu_with(|claims| {
        claims.pdi = Pdi([byte; 8]);
        if let NvidiaPart::Gpu(facts) = &mut claims.part {
            change(facts);
        }
    });
    let claims = PlatformClaims { device: Some(Device(Digest32([byte; 32]))), ..claims };
    DeviceAppraisal { name: format!("gpu-{byte}"), ..device(claims, &strict()) }
}

fn protected(facts: &mut GpuFacts) {
    facts.protected_pcie = Some(NvidiaStatus::On);
    facts.switch_pdis = vec![Pdi([9; 8])];
}

fn switch(gpus: Vec<Pdi>) -> DeviceAppraisal {
    let facts = SwitchFacts { gpu_pdis: gpus, lock_status: Some(1), ..SwitchFacts::default() };
    let claims = gpu_with(|claims| {
        claims.pdi = Pdi([9; 8]);
        claims.part = NvidiaPart::Switch(Box::new(facts.clone()));
    });
    let claims = PlatformClaims { device: Some(Device(Digest32([9; 32]))), ..claims };
    DeviceAppraisal { name: "switch".to_owned(), ..device(claims, &strict()) }
}

#[test]
fn gpus_and_switches_of_a_board_name_each_other_or_nobody_says_that_they_do() {
    let codes = |devices: &[DeviceAppraisal]| {
        topology_findings(devices).into_iter().map(|finding| (finding.code, finding.status)).collect::<Vec<_>>()
    };
    let says = |code: &str, status| vec![(code.to_owned(), status)];
    let open = says("nvidia-topology", FindingStatus::NotChecked);
    assert_eq!(codes(&[device(tdx(), &strict())]), []);
    assert_eq!(codes(&[part(1, |_| {}), part(2, |_| {})]), []);
    // One report is no board; several without their switches are half of one.
    assert_eq!(codes(&[part(1, |_| {})]), []);
    assert_eq!(codes(&[part(1, protected)]), open);
    assert_eq!(codes(&[part(1, protected), part(2, protected)]), open);
    let gpus = || vec![Pdi([1; 8]), Pdi([2; 8])];
    assert_eq!(codes(&[switch(gpus())]), open);
    let board = [part(1, protected), part(2, protected), switch(gpus())];
    assert_eq!(codes(&board), says("nvidia-topology", FindingStatus::Pass));
    // A third GPU that the switch does not know, one in another mode, and one that is not genuine.
    let more = [&board[..], &[part(3, protected)]].concat();
    assert_eq!(codes(&more), says("topology-gpus", FindingStatus::Fail));
    assert_eq!(codes(&[part(1, protected), part(2, |_| {})])[0].0, "topology-mode");
    assert_eq!(codes(&[&board[..], &[refused(Culprit::Untrusted)]].concat()), open);
}
