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
            "the bundle names policy weighbridge-default v2; this version applies only its own"
        )
    );
    let mut spaced = policy_member(&built_in);
    spaced.push(b' ');
    assert!(is_built_in(&spaced, &built_in).is_err());
}
