use weighbridge_attest_types::{
    AppliedRim, BoundValue, ChipFamily, Device, Digest32, EventLogClaims, EventLogState, FirmwareVersion, GpuFacts,
    NvidiaClaims, NvidiaPart, NvidiaRevocation, NvidiaStatus, Pdi, ReferenceValues, Requirement, RimSlot, SnpClaims,
    SnpGuestPolicy, SnpProduct, SnpRules, SnpSigner, SnpTcb, SnpTcbs, TcbStatus, TdAttributes, TdxBody, TdxClaims,
    TdxModule, TdxPlatform, TdxRules, TdxTcb, Vmpl,
};

use super::*;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// When the claims were verified.
const AT: UnixMillis = UnixMillis(1_000 * DAY);

fn tdx_claims() -> TdxClaims {
    TdxClaims {
        quote_version: 5,
        body: TdxBody::Td15,
        attributes: TdAttributes(1 << 28),
        xfam: 0xe7,
        mrtd: [1; 48],
        rtmr: [[10; 48], [11; 48], [12; 48], [13; 48]],
        mr_config_id: [2; 48],
        mr_owner: [3; 48],
        mr_owner_config: [4; 48],
        module: TdxModule { mrseam: [5; 48], mr_signer_seam: [0; 48], attributes: [0; 8], version: 1, svn: 6 },
        tee_tcb_svn: [6; 16],
        current_tee_tcb_svn: Some([6; 16]),
        mr_service_td: Some([0; 48]),
        extension: None,
        tcb: TdxTcb {
            status: TcbStatus::UpToDate,
            status_without_age: TcbStatus::UpToDate,
            current_status: Some(TcbStatus::UpToDate),
            current_status_without_age: Some(TcbStatus::UpToDate),
            relaunch_advised: false,
            level_date: Some(UnixMillis(900 * DAY)),
            enclave_date: Some(UnixMillis(900 * DAY)),
            out_of_date_level: None,
            evaluation_number: 17,
            collateral_until: UnixMillis(1_010 * DAY),
            at: AT,
        },
        platform: TdxPlatform {
            fmspc: [0; 6],
            pce_id: [0; 2],
            pce_svn: 13,
            cpu_svn: [3; 16],
            sgx_type: 1,
            instance: None,
            dynamic: None,
            cached_keys: None,
            smt: None,
        },
        event_log: EventLogClaims::none(EventLogState::Missing),
    }
}

pub(crate) fn tdx_with(change: impl Fn(&mut TdxClaims)) -> PlatformClaims {
    let mut claims = tdx_claims();
    change(&mut claims);
    PlatformClaims {
        kind: EvidenceKind::new(EvidenceKind::TDX),
        device: Some(Device(Digest32([0xab; 32]))),
        grade: Grade::Simulated,
        anchor: "root".to_owned(),
        bound_value: BoundValue::ReportData([0; 64]),
        chip_family: None,
        tcb_status: Some(claims.tcb.status),
        advisories: vec![],
        debug: Some(false),
        sept_ve_disable: Some(claims.attributes.sept_ve_disable()),
        migratable: Some(false),
        measurement: Some(vec![1; 48]),
        valid_until: UnixMillis(0),
        not_checked: vec![],
        snp: None,
        tdx: Some(Box::new(claims)),
        azure: None,
        nvidia: None,
    }
}

pub(crate) fn tdx() -> PlatformClaims {
    tdx_with(|_| {})
}

pub(crate) const TCB: SnpTcb = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };

pub(crate) fn snp() -> PlatformClaims {
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
    PlatformClaims { kind, tcb_status: None, sept_ve_disable: None, snp: Some(Box::new(claims)), tdx: None, ..tdx() }
}

pub(crate) fn version(text: &str) -> FirmwareVersion {
    FirmwareVersion(text.to_owned())
}

fn matched() -> ReferenceValues {
    let rim = |slot, text: &str| AppliedRim {
        slot,
        id: None,
        version: version(text),
        anchor: "rim root".to_owned(),
        grade: Grade::Attested,
    };
    let applied = vec![rim(RimSlot::Driver, "550.90.07"), rim(RimSlot::Vbios, "96.00.9F.00.01")];
    ReferenceValues { applied, missing: vec![], matched: 33, differences: vec![] }
}

pub(crate) fn gpu(change: impl FnOnce(&mut NvidiaClaims)) -> PlatformClaims {
    let facts = GpuFacts {
        driver_version: Some(version("550.90.07")),
        protected_pcie: Some(NvidiaStatus::Off),
        ..GpuFacts::default()
    };
    let mut claims = NvidiaClaims {
        pdi: Pdi([1; 8]),
        hw_model: "GH100 A01 GSP BROM".to_owned(),
        ueid: "7".to_owned(),
        vbios_version: Some(version("96.00.9F.00.01")),
        fwid: Some([3; 48]),
        opaque_version: None,
        measurements: vec![[0; 48]; 64],
        extend_counters: vec![],
        uninterpreted: BTreeMap::new(),
        part: NvidiaPart::Gpu(Box::new(facts)),
        reference_values: matched(),
        revocation: NvidiaRevocation::default(),
    };
    change(&mut claims);
    PlatformClaims {
        kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
        device: Some(Device(Digest32([0xab; 32]))),
        grade: Grade::Attested,
        anchor: "device root".to_owned(),
        bound_value: BoundValue::Nonce([0; 32]),
        chip_family: Some(ChipFamily("GH100".to_owned())),
        tcb_status: None,
        advisories: vec![],
        debug: None,
        sept_ve_disable: None,
        migratable: None,
        measurement: None,
        valid_until: UnixMillis(0),
        not_checked: vec![],
        snp: None,
        tdx: None,
        azure: None,
        nvidia: Some(Box::new(claims)),
    }
}

fn codes(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<&'static str> {
    unmet_rules(claims, policy).iter().map(|failure| failure.code).collect()
}

#[test]
fn rules_of_tdx_do_not_apply_to_snp_and_only_the_kind_says_so() {
    let policy = AppraisalPolicy::built_in();
    assert_eq!(unmet_rules(&snp(), &policy), []);
    assert!(not_applicable(&snp()).is_some() && not_applicable(&tdx()).is_none());
    // A TD gains nothing by claims of the other kind, and a kind that nobody knows by claims that it lacks.
    let dressed = PlatformClaims { kind: tdx().kind, ..snp() };
    assert_eq!(codes(&dressed, &policy), ["policy-tdx"]);
    let unknown = PlatformClaims { kind: EvidenceKind::new("sev-snp2"), ..snp() };
    assert_eq!(codes(&unknown, &policy), ["policy-tdx"]);
    let undressed = PlatformClaims { snp: None, ..snp() };
    assert_eq!(codes(&undressed, &policy), ["policy-snp"]);
    // Debugging and migration are asked of both.
    let open = PlatformClaims { debug: Some(true), migratable: Some(true), ..snp() };
    assert_eq!(codes(&open, &policy), ["policy-debug", "policy-migratable"]);
    let silent = PlatformClaims { debug: None, migratable: None, ..snp() };
    assert_eq!(codes(&silent, &policy), ["policy-debug", "policy-migratable"]);
}

#[test]
fn an_azure_vm_is_held_to_the_rules_of_the_platform_inside() {
    let policy = AppraisalPolicy::built_in();
    let kind = || EvidenceKind::new(EvidenceKind::AZURE_HCL);
    assert_eq!(codes(&PlatformClaims { kind: kind(), ..tdx() }, &policy), [""; 0]);
    assert_eq!(codes(&PlatformClaims { kind: kind(), ..snp() }, &policy), [""; 0]);
    let old = tdx_with(|claims| claims.attributes = TdAttributes(0));
    assert_eq!(codes(&PlatformClaims { kind: kind(), ..old }, &policy), ["policy-sept-ve-disable"]);
    // Neither or both: every rule.
    let neither = PlatformClaims { kind: kind(), tdx: None, ..tdx() };
    assert_eq!(codes(&neither, &policy), ["policy-tdx", "policy-snp"]);
    let both =
        PlatformClaims { kind: kind(), snp: snp().snp, ..tdx_with(|claims| claims.attributes = TdAttributes(0)) };
    assert_eq!(codes(&both, &policy), ["policy-sept-ve-disable"]);
}

#[test]
fn minima_are_those_of_the_product_and_every_part_counts() {
    let with = |change: &dyn Fn(&mut SnpRules)| {
        let mut policy = AppraisalPolicy::built_in();
        change(&mut policy.sev_snp);
        unmet_rules(&snp(), &policy).into_iter().map(|failure| failure.message).collect::<Vec<_>>()
    };
    let at_least = |tcb| Requirement::AtLeast(tcb);
    assert!(with(&|rules| rules.milan.reported = at_least(TCB)).is_empty());
    let higher = SnpTcb { bootloader: 0, microcode: 220, ..TCB };
    assert!(with(&|rules| rules.genoa.reported = at_least(higher)).is_empty(), "another product's minimum");
    for change in [
        &(|rules: &mut SnpRules| rules.milan.reported = at_least(higher)) as &dyn Fn(&mut SnpRules),
        &|rules| rules.milan.committed = at_least(higher),
        &|rules| rules.milan.launch = at_least(higher),
        &|rules| rules.vmpl = Requirement::Equals(Vmpl(0)),
        &|rules| rules.guest_policy = Requirement::AtLeast(SnpGuestPolicy(1 << 20)),
        &|rules| rules.host_data = Requirement::Equals("00".to_owned()),
        &|rules| rules.id_key_digest = Requirement::OneOf(vec![]),
        &|rules| rules.author_key_digest = Requirement::Equals("00".repeat(48)),
    ] {
        assert_eq!(with(change).len(), 1);
    }
    let message = with(&|rules| rules.vmpl = Requirement::OneOf(vec![Vmpl(0)])).remove(0);
    assert_eq!(message, "sev-snp abababababababab: VMPL is 1; policy wants one of [0]");
}

#[test]
fn waived_rules_of_one_reason_stand_on_one_line() {
    let policy = AppraisalPolicy::built_in();
    let all: Vec<String> = waivers(&policy).map(|(rule, _)| rule).collect();
    let snp: Vec<&String> = all.iter().filter(|rule| rule.starts_with("SEV")).collect();
    assert_eq!(snp.len(), 1);
    assert!(snp[0].starts_with("SEV-SNP reported TCB of Milan, ") && snp[0].ends_with(", author key"), "{snp:?}");
    let tdx: Vec<&String> = all.iter().filter(|rule| rule.starts_with("TDX")).collect();
    assert_eq!(tdx.len(), 3, "advisories, evaluation number, reference values: {tdx:?}");
}

#[test]
fn every_failed_rule_is_listed_and_names_the_device() {
    let policy = AppraisalPolicy::built_in();
    assert_eq!(unmet_rules(&tdx(), &policy), []);
    let bad = PlatformClaims {
        debug: Some(true),
        migratable: Some(true),
        advisories: vec!["INTEL-SA-1".to_owned()],
        ..tdx_with(|claims| {
            claims.tcb.status = TcbStatus::OutOfDate;
            claims.tcb.current_status = None;
            claims.attributes = TdAttributes(0);
        })
    };
    let found = unmet_rules(&bad, &policy);
    let codes: Vec<_> = found.iter().map(|failure| failure.code).collect();
    assert_eq!(codes, ["policy-debug", "policy-migratable", "policy-tcb-status", "policy-sept-ve-disable"]);
    assert_eq!(
        found[2].message,
        "tdx abababababababab: TCB status is OutOfDate (advisories INTEL-SA-1); policy wants one of [UpToDate]"
    );
    assert_eq!(found[3].message, "tdx abababababababab: SEPT_VE_DISABLE is false; policy wants true");
}

/// A change of the rules.
type Change<'a> = &'a dyn Fn(&mut TdxRules);

#[test]
fn each_rule_about_tdx_is_asked_and_can_be_waived() {
    let refusals = |claims: &PlatformClaims, change: Change<'_>| {
        let mut policy = AppraisalPolicy::built_in();
        change(&mut policy.tdx);
        unmet_rules(claims, &policy).into_iter().map(|rule| rule.message).collect::<Vec<_>>()
    };
    let waived = || Requirement::Waived { reason: "x".to_owned() };
    // Default rules that a claim breaks, each with the waiver that lets it stand.
    let profiled = tdx_with(|claims| claims.attributes.0 |= 0x20);
    let reserved = tdx_with(|claims| claims.attributes.0 |= 1 << 40);
    let extended = tdx_with(|claims| claims.attributes.0 |= 1 << 17);
    let served = tdx_with(|claims| claims.mr_service_td = Some([1; 48]));
    let open = tdx_with(|claims| claims.attributes = TdAttributes(0));
    let cases: [(&PlatformClaims, Change<'_>); 5] = [
        (&profiled, &|rules| rules.profiling = waived()),
        (&reserved, &|rules| rules.reserved_attributes = Requirement::OneOf(vec![0, 1 << 40])),
        (&extended, &|rules| rules.service_td = waived()),
        (&served, &|rules| rules.service_td = waived()),
        (&open, &|rules| rules.sept_ve_disable = waived()),
    ];
    for (claims, waiver) in cases {
        assert_eq!((refusals(claims, &|_| {}).len(), refusals(claims, waiver).len()), (1, 0), "{claims:?}");
    }
    // Rules that a policy can add, each unmet by these claims and met by their own value.
    let equals = |value: [u8; 48]| Requirement::Equals(hex::encode(value));
    let added: [(Change<'_>, Change<'_>); 10] = [
        (&|rules| rules.mrseam = equals([9; 48]), &|rules| rules.mrseam = equals([5; 48])),
        (&|rules| rules.rtmr0 = equals([9; 48]), &|rules| rules.rtmr0 = equals([10; 48])),
        (&|rules| rules.rtmr1 = equals([9; 48]), &|rules| rules.rtmr1 = equals([11; 48])),
        (&|rules| rules.rtmr2 = equals([9; 48]), &|rules| rules.rtmr2 = equals([12; 48])),
        (&|rules| rules.rtmr3 = equals([9; 48]), &|rules| rules.rtmr3 = equals([13; 48])),
        (&|rules| rules.mr_config_id = equals([9; 48]), &|rules| rules.mr_config_id = equals([2; 48])),
        (&|rules| rules.mr_owner = equals([9; 48]), &|rules| rules.mr_owner = equals([3; 48])),
        (&|rules| rules.mr_owner_config = equals([9; 48]), &|rules| rules.mr_owner_config = equals([4; 48])),
        (&|rules| rules.evaluation_number = Requirement::AtLeast(18), &|rules| {
            rules.evaluation_number = Requirement::AtLeast(17);
        }),
        (&|rules| rules.event_log = Requirement::Equals(true), &|rules| {
            rules.event_log = Requirement::Equals(false);
        }),
    ];
    for (number, (unmet, met)) in added.into_iter().enumerate() {
        assert_eq!((refusals(&tdx(), unmet).len(), refusals(&tdx(), met).len()), (1, 0), "rule {number}");
    }
    // Each advisory is asked about; none at all meets everything.
    let advised = PlatformClaims { advisories: vec!["A".to_owned(), "B".to_owned()], ..tdx() };
    let none = |rules: &mut TdxRules| rules.advisories = Requirement::OneOf(vec![]);
    assert!(refusals(&advised, &|_| {}).is_empty() && refusals(&tdx(), &none).is_empty());
    assert_eq!(refusals(&advised, &none).len(), 2);
    let one = |rules: &mut TdxRules| rules.advisories = Requirement::OneOf(vec!["A".to_owned()]);
    assert_eq!(refusals(&advised, &one), ["tdx abababababababab: an advisory is \"B\"; policy wants one of [\"A\"]"]);
}

/// Out of date, of a level of some days ago, and otherwise of some status.
fn aged(status: TcbStatus, without_age: TcbStatus, days: u64) -> PlatformClaims {
    tdx_with(|claims| {
        (claims.tcb.status, claims.tcb.status_without_age) = (status, without_age);
        (claims.tcb.current_status, claims.tcb.current_status_without_age) = (None, None);
        claims.tcb.out_of_date_level = Some(UnixMillis(AT.0 - days * DAY));
    })
}

#[test]
fn grace_is_counted_from_the_levels_date_and_forgives_age_alone() {
    use TcbStatus::{
        ConfigurationNeeded, NotSupported, OutOfDate, OutOfDateConfigurationNeeded, SwHardeningNeeded, UpToDate,
    };
    let met = |claims: &PlatformClaims, days: u16, allowed: &[TcbStatus]| {
        let mut policy = AppraisalPolicy::built_in();
        policy.tdx.out_of_date_grace_days = days;
        policy.tdx.tcb_status = Requirement::OneOf(allowed.to_vec());
        unmet_rules(claims, &policy).is_empty()
    };
    let old = aged(OutOfDate, UpToDate, 30);
    for (days, expected) in [(0, false), (29, false), (30, true), (31, true), (u16::MAX, true)] {
        assert_eq!(met(&old, days, &[UpToDate]), expected, "{days} days");
    }
    // To the millisecond, the last day included.
    let moved = |millis: i64| {
        let mut claims = old.clone();
        let tcb = &mut claims.tdx.as_mut().unwrap().tcb;
        tcb.at = UnixMillis(tcb.at.0.checked_add_signed(millis).unwrap());
        claims
    };
    assert_eq!([met(&moved(0), 30, &[UpToDate]), met(&moved(1), 30, &[UpToDate])], [true, false]);
    // A level of today has no age, and still no grace of zero days forgives it.
    assert!(!met(&aged(OutOfDate, UpToDate, 0), 0, &[UpToDate]));
    // What is wrong beside age stays wrong.
    assert!(!met(&aged(OutOfDateConfigurationNeeded, ConfigurationNeeded, 3), 30, &[UpToDate]));
    assert!(met(&aged(OutOfDateConfigurationNeeded, ConfigurationNeeded, 3), 30, &[UpToDate, ConfigurationNeeded]));
    assert!(!met(&aged(OutOfDate, SwHardeningNeeded, 3), 30, &[UpToDate]));
    assert!(!met(&aged(NotSupported, NotSupported, 3), 30, &[UpToDate]));
    let undated = tdx_with(|claims| {
        (claims.tcb.status, claims.tcb.status_without_age) = (OutOfDate, UpToDate);
        claims.tcb.current_status = None;
    });
    assert!(!met(&undated, u16::MAX, &[UpToDate]), "no date, no grace");
    // An allowed status needs no grace.
    assert!(met(&old, 0, &[UpToDate, OutOfDate]));
    let mut policy = AppraisalPolicy::built_in();
    policy.tdx.out_of_date_grace_days = 7;
    let message = unmet_rules(&old, &policy).remove(0).message;
    assert!(
        message.ends_with("one of [UpToDate], or its level's date 1972-08-28T00:00:00Z at most 7 days back"),
        "{message}"
    );
}

#[test]
fn the_status_of_today_is_asked_beside_that_of_launch() {
    use TcbStatus::{OutOfDate, UpToDate};
    let codes_of = |launch, current, days: u16| {
        let claims = tdx_with(|claims| {
            let tcb = &mut claims.tcb;
            (tcb.status, tcb.status_without_age) = (launch, UpToDate);
            (tcb.current_status, tcb.current_status_without_age) = (Some(current), Some(UpToDate));
            tcb.out_of_date_level = Some(UnixMillis(AT.0 - 5 * DAY));
        });
        let mut policy = AppraisalPolicy::built_in();
        policy.tdx.out_of_date_grace_days = days;
        codes(&claims, &policy)
    };
    assert_eq!(codes_of(UpToDate, UpToDate, 0), [""; 0]);
    for (launch, current) in [(OutOfDate, UpToDate), (UpToDate, OutOfDate), (OutOfDate, OutOfDate)] {
        assert_eq!(codes_of(launch, current, 0), ["policy-tcb-status"], "{launch:?} {current:?}");
        assert_eq!(codes_of(launch, current, 5), [""; 0], "{launch:?} {current:?}");
    }
}

/// Launched under one status, running under another: whoever reads a refusal learns of both.
#[test]
fn each_status_that_is_not_allowed_is_told_once() {
    use TcbStatus::{ConfigurationNeeded, OutOfDate, SwHardeningNeeded, UpToDate};
    let told = |launch: [TcbStatus; 2], current: [TcbStatus; 2]| {
        let claims = tdx_with(|claims| {
            let tcb = &mut claims.tcb;
            [tcb.status, tcb.status_without_age] = launch;
            [tcb.current_status, tcb.current_status_without_age] = current.map(Some);
            tcb.out_of_date_level = Some(UnixMillis(AT.0 - DAY));
        });
        let unmet = unmet_rules(&claims, &AppraisalPolicy::built_in());
        let said = |rule: UnmetRule| rule.message.split("; ").next().unwrap_or_default().to_owned();
        unmet.into_iter().map(said).collect::<Vec<_>>()
    };
    let (launch, now) = ("tdx abababababababab: TCB status is OutOfDate", "tdx abababababababab: TCB status now is ");
    let both = told([OutOfDate, UpToDate], [ConfigurationNeeded; 2]);
    assert_eq!(both, [launch.to_owned(), format!("{now}ConfigurationNeeded")]);
    // The same word is not said again for what it would be without its age.
    assert_eq!(told([OutOfDate, UpToDate], [OutOfDate, SwHardeningNeeded]), [launch]);
    assert_eq!(told([UpToDate; 2], [OutOfDate, UpToDate]), [format!("{now}OutOfDate")]);
}

#[test]
fn two_statuses_that_look_alike_are_both_read_without_their_age() {
    use TcbStatus::{OutOfDate, SwHardeningNeeded, UpToDate};
    let mut policy = AppraisalPolicy::built_in();
    policy.tdx.out_of_date_grace_days = 5;
    let codes_of = |launch, current| {
        let claims = tdx_with(|claims| {
            let tcb = &mut claims.tcb;
            (tcb.status, tcb.status_without_age) = (OutOfDate, launch);
            (tcb.current_status, tcb.current_status_without_age) = (Some(OutOfDate), Some(current));
            tcb.out_of_date_level = Some(UnixMillis(AT.0 - DAY));
        });
        codes(&claims, &policy)
    };
    assert_eq!(codes_of(UpToDate, UpToDate), [""; 0]);
    for (launch, current) in
        [(UpToDate, SwHardeningNeeded), (SwHardeningNeeded, UpToDate), (SwHardeningNeeded, SwHardeningNeeded)]
    {
        assert_eq!(codes_of(launch, current), ["policy-tcb-status"], "{launch:?} {current:?}");
    }
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
