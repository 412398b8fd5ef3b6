//! **Duty.** Simulated evidence through the production verifier: what no captured piece shows (a bound set, a revoked
//! PCK, quotes of odd trust domains), made under development roots and judged under anchors handed over by name.
//! **Spec.** EVIDENCE §7.3, PROTOCOL §3 (Binding), HOUSE §9 (5): from a good case, break one thing.

use weighbridge_attest::{
    EvidenceError, RawEvidence, Verified, built_in_anchors, parse_anchor_file, verify, verify_set,
};
use weighbridge_attest_collect::{Collector, collect_set};
use weighbridge_attest_types::{
    Binding, BoundValue, Challenge, ChipFamily, Culprit, Digest32, EvidenceKind, EvidenceSet, Grade, PlatformClaims,
    PoseidonDigest, TcbStatus, TrustAnchors, UnixMillis,
};
use weighbridge_tests_simulator::{CollateralOptions, GpuReportOptions, PlatformTcb, SimulatedNode, TdxOptions, World};

const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
/// Where the TD report starts in a version 4 quote, and some of its fields.
const BODY: usize = 48;
const ATTRIBUTES: usize = BODY + 120;
const REPORT_DATA: [u8; 64] = [7; 64];

fn world() -> World {
    World::new(41, NOW)
}

fn anchors(world: &World) -> TrustAnchors {
    let mut anchors = built_in_anchors();
    for file in world.trust_roots() {
        parse_anchor_file(&file.bytes, &mut anchors).unwrap();
    }
    anchors
}

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

fn verify_tdx(world: &World, quote: &[u8], collateral: Vec<u8>) -> Verdict {
    let raw = RawEvidence { body: quote, certificates: &[] };
    verify(&EvidenceKind::new("tdx"), raw, &[collateral], &anchors(world), NOW)
}

/// The verdict on a quote whose signed part was changed before it was signed.
fn verify_signed(change: impl Fn(&mut Vec<u8>)) -> Verdict {
    let world = world();
    let node = world.node(0, 0);
    let mut signed = node.platform().signed_part(node.options(), REPORT_DATA);
    change(&mut signed);
    verify_tdx(&world, &node.platform().sign(&signed), world.collateral_json())
}

fn refused(verdict: Verdict) -> (Culprit, Vec<&'static str>) {
    let error = verdict.unwrap_err();
    (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
}

fn claims(verdict: Verdict) -> PlatformClaims {
    verdict.unwrap().claims().clone()
}

fn open(claims: &PlatformClaims) -> Vec<&str> {
    claims.not_checked.iter().map(|open| open.code.as_str()).collect()
}

#[test]
fn a_simulated_quote_gives_whole_claims_of_its_anchors_grade() {
    let world = world();
    let node = world.node(0, 0);
    let quote = node.platform().quote(node.options(), REPORT_DATA);
    let found = claims(verify_tdx(&world, &quote, world.collateral_json()));
    let expected = PlatformClaims {
        kind: EvidenceKind::new("tdx"),
        device: Some(node.platform().device()),
        grade: Grade::Simulated,
        anchor: "simulated intel-sgx-root".to_owned(),
        bound_value: BoundValue::ReportData(REPORT_DATA),
        chip_family: None,
        tcb_status: Some(TcbStatus::UpToDate),
        advisories: Vec::new(),
        debug: Some(false),
        sept_ve_disable: Some(true),
        migratable: Some(false),
        measurement: Some(node.options().mrtd.to_vec()),
        valid_until: world.collateral_options().next_update,
        not_checked: found.not_checked.clone(),
        snp: None,
        nvidia: None,
    };
    assert_eq!(found, expected);
    assert_eq!(open(&found), ["tdx-second-chain", "tdx-event-log"]);

    let raw = RawEvidence { body: &quote, certificates: &[] };
    let by_default = verify(&EvidenceKind::new("tdx"), raw, &[world.collateral_json()], &built_in_anchors(), NOW);
    assert_eq!(refused(by_default), (Culprit::Untrusted, vec!["unknown-root"]));
}

#[test]
fn policy_and_not_a_library_decides_about_attributes() {
    let world = world();
    let claims_of = |change: fn(&mut TdxOptions)| {
        let node = world.node(0, 0);
        let mut options = node.options().clone();
        change(&mut options);
        let found = claims(verify_tdx(&world, &node.platform().quote(&options, REPORT_DATA), world.collateral_json()));
        assert_eq!(found.tcb_status, Some(TcbStatus::UpToDate));
        [found.debug, found.sept_ve_disable, found.migratable].map(Option::unwrap)
    };
    assert_eq!(claims_of(|options| options.debug = true), [true, true, false]);
    assert_eq!(claims_of(|options| options.sept_ve_disable = false), [false, false, false]);
    assert_eq!(claims_of(|options| options.migratable = true), [false, true, true]);
    let all: fn(&mut TdxOptions) =
        |options| (options.debug, options.sept_ve_disable, options.migratable) = (true, false, true);
    assert_eq!(claims_of(all), [true, false, true]);
    // Profiling opens a TD as debug does; a service TD is as good as migration. No policy knows a reserved bit.
    assert_eq!(claims(verify_signed(|signed| signed[ATTRIBUTES] |= 0x20)).debug, Some(true));
    assert_eq!(claims(verify_signed(|signed| signed[ATTRIBUTES + 2] |= 0x02)).migratable, Some(true));
    let reserved = refused(verify_signed(|signed| signed[ATTRIBUTES + 5] |= 1));
    assert_eq!(reserved, (Culprit::Rejected, vec!["td-attributes-reserved"]));
}

#[test]
fn tcb_levels_are_claims_and_no_level_is_one_too() {
    let world = world();
    let node = world.node_with_tcb(0, 0, PlatformTcb::OUT_OF_DATE);
    let quote = node.platform().quote(node.options(), REPORT_DATA);
    let found = claims(verify_tdx(&world, &quote, world.collateral_json()));
    assert_eq!((found.tcb_status, found.advisories.len()), (Some(TcbStatus::OutOfDate), 1));
    // A module version that the TCB info does not list.
    let unknown = claims(verify_signed(|signed| signed[BODY + 1] = 9));
    assert_eq!(unknown.tcb_status, Some(TcbStatus::NotSupported));
    // Component 2 below every level.
    let old = verify_signed(|signed| signed[BODY..BODY + 16].fill(0));
    assert_eq!(claims(old).tcb_status, Some(TcbStatus::NotSupported));
    let another_signer = refused(verify_signed(|signed| signed[BODY + 64] = 1));
    assert_eq!(another_signer, (Culprit::Untrusted, vec!["tdx-module-identity"]));
}

/// The version 4 signed part as a version 5 one with a body of another type.
fn as_version_5(signed: &mut Vec<u8>, kind: u16, extension: &[u8]) {
    let body: Vec<u8> = signed.drain(BODY..).chain(extension.iter().copied()).collect();
    signed[0] = 5;
    signed.extend(kind.to_le_bytes());
    signed.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    signed.extend(body);
}

#[test]
fn version_5_bodies_of_every_type_are_read() {
    let td10 = claims(verify_signed(|signed| as_version_5(signed, 2, &[])));
    assert_eq!(open(&td10), ["tdx-second-parser", "tdx-second-chain", "tdx-event-log"]);
    assert_eq!((td10.tcb_status, td10.migratable), (Some(TcbStatus::UpToDate), Some(false)));
    let td15 = |service_td: u8| {
        move |signed: &mut Vec<u8>| {
            let mut extension = signed[BODY..BODY + 16].to_vec();
            extension.extend([service_td; 48]);
            as_version_5(signed, 3, &extension);
        }
    };
    assert_eq!(claims(verify_signed(td15(0))).migratable, Some(false));
    assert_eq!(claims(verify_signed(td15(1))).migratable, Some(true));
    let extended = |signed: &mut Vec<u8>| {
        let extension = [&signed[BODY..BODY + 16], &[0; 285]].concat();
        as_version_5(signed, 4, &extension);
    };
    let extended = claims(verify_signed(extended));
    assert_eq!((extended.tcb_status, extended.migratable), (Some(TcbStatus::UpToDate), Some(false)));
    // The current TCB must be appraisable too.
    let without_current = claims(verify_signed(|signed| as_version_5(signed, 3, &[0; 64])));
    assert_eq!(without_current.tcb_status, Some(TcbStatus::NotSupported));
    let unknown = refused(verify_signed(|signed| as_version_5(signed, 5, &[])));
    assert_eq!(unknown, (Culprit::Malformed, vec!["tdx-quote"]));
}

#[test]
fn revoked_stale_and_missing_collateral_is_told_apart() {
    let world = world();
    let node = world.node(0, 0);
    let quote = node.platform().quote(node.options(), REPORT_DATA);
    let under = |change: &dyn Fn(&mut CollateralOptions)| {
        let mut options = world.collateral_options();
        change(&mut options);
        refused(verify_tdx(&world, &quote, world.collateral_json_with(&options)))
    };
    let revoked = under(&|options| options.revoked = vec![node.platform().pck_serial()]);
    assert_eq!(revoked, (Culprit::Untrusted, vec!["revoked"]));
    let (before, after) = (UnixMillis(NOW.0 - 1000), UnixMillis(NOW.0 + 1000));
    assert_eq!(under(&|options| options.next_update = before), (Culprit::Untrusted, vec!["expired"; 2]));
    assert_eq!(under(&|options| options.issued = after), (Culprit::Untrusted, vec!["not-yet-valid"; 2]));
    assert_eq!(under(&|options| options.crl_next_update = before), (Culprit::Untrusted, vec!["expired"; 2]));
    assert_eq!(under(&|options| options.crl_issued = after), (Culprit::Untrusted, vec!["not-yet-valid"; 2]));
    let other_neighbour = world.node(1, 0).platform().pck_serial();
    let options = CollateralOptions { revoked: vec![other_neighbour], ..world.collateral_options() };
    claims(verify_tdx(&world, &quote, world.collateral_json_with(&options)));
    let ended_now = CollateralOptions { next_update: NOW, crl_next_update: NOW, ..world.collateral_options() };
    assert_eq!(claims(verify_tdx(&world, &quote, world.collateral_json_with(&ended_now))).valid_until, NOW);

    assert_eq!(refused(verify_tdx(&world, &quote, Vec::new())), (Culprit::Unavailable, vec!["collateral-missing"]));
    // Genuine collateral of another world does not endorse this one.
    let elsewhere = refused(verify_tdx(&world, &quote, World::new(42, NOW).collateral_json()));
    assert_eq!(elsewhere.0, Culprit::Untrusted);
    // Neither does collateral that brings a PCK chain of its own change what is verified.
    let mut smuggled: serde_json::Value = serde_json::from_slice(&world.collateral_json()).unwrap();
    smuggled["pck_certificate_chain"] = world.node(1, 0).platform().pck_chain_pem().into();
    let found = claims(verify_tdx(&world, &quote, smuggled.to_string().into_bytes()));
    assert_eq!(found.device, Some(node.platform().device()));
}

fn verify_gpu(world: &World, change: impl Fn(&mut GpuReportOptions)) -> Verdict {
    let gpu = world.gpu(0, 0);
    let mut options = gpu.options().clone();
    change(&mut options);
    let report = gpu.report_with(&options, [3; 32]);
    let raw = RawEvidence { body: &report, certificates: gpu.certificates() };
    verify(&EvidenceKind::new("nvidia-gpu"), raw, &[], &anchors(world), NOW)
}

#[test]
fn a_simulated_gpu_report_is_judged_by_its_firmware_identity_too() {
    let world = world();
    let found = claims(verify_gpu(&world, |_| {}));
    assert_eq!((found.device, found.grade), (Some(world.gpu(0, 0).device()), Grade::Simulated));
    assert_eq!(found.chip_family, Some(ChipFamily("GH100".to_owned())));
    // One manifest is missing for the driver, and one for the VBIOS.
    assert_eq!(open(&found), ["gpu-rim", "gpu-rim", "gpu-ocsp", "gpu-cc-mode"]);
    let older = claims(verify_gpu(&world, |options| options.fwid = None));
    assert_eq!(open(&older), ["gpu-fwid", "gpu-rim", "gpu-rim", "gpu-ocsp", "gpu-cc-mode"]);
    let other = refused(verify_gpu(&world, |options| options.fwid = Some([1; 48])));
    assert_eq!(other, (Culprit::Untrusted, vec!["gpu-fwid-differs"]));
    let blocks = refused(verify_gpu(&world, |options| options.measurements.truncate(63)));
    assert_eq!(blocks, (Culprit::Malformed, vec!["gpu-report"]));
}

fn bindings() -> [Binding; 2] {
    let head = PoseidonDigest::from_elements([1, 2, 3, 4]).unwrap();
    let challenge = Challenge::VerifierNonce(Digest32([9; 32]));
    let of_a_head = Binding::head(Digest32([1; 32]), Digest32([2; 32]), head, 12, challenge.clone());
    [Binding::key(Digest32([2; 32]), challenge), of_a_head]
}

fn collect(node: &SimulatedNode, binding: &Binding) -> EvidenceSet {
    collect_set(node as &dyn Collector, binding.clone()).unwrap()
}

#[test]
fn a_whole_set_is_bound_to_one_key_head_and_challenge() {
    let world = world();
    let node = world.node(0, 3);
    for binding in bindings() {
        let set = collect(&node, &binding);
        let bound = verify_set(&set, &[world.collateral_json()], &anchors(&world), NOW).unwrap();
        assert_eq!(bound.binding(), &binding);
        assert_eq!(bound.cpu().device, Some(node.platform().device()));
        let found: Vec<_> = bound.devices().iter().map(|claims| claims.device.unwrap()).collect();
        let expected: Vec<_> = set.devices.iter().map(|evidence| evidence.device).collect();
        assert_eq!((found, bound.devices().len()), (expected, 3));
        assert_eq!(bound.valid_until(), world.collateral_options().next_update);
    }
}

#[test]
fn each_change_of_a_bound_set_unbinds_it() {
    let world = world();
    let [key, head] = bindings();
    let good = collect(&world.node(0, 2), &head);
    let other = collect(&world.node(1, 2), &head);
    let verify = |set: &EvidenceSet| {
        let error = verify_set(set, &[world.collateral_json()], &anchors(&world), NOW).unwrap_err();
        assert_eq!(error.culprit(), Culprit::Untrusted, "{error}");
        error.failures().iter().map(|failure| failure.code).collect::<Vec<_>>()
    };
    let broken = |change: &dyn Fn(&mut EvidenceSet)| {
        let mut set = good.clone();
        change(&mut set);
        verify(&set)
    };
    let everything = vec!["report-data-differs", "nonce-differs", "nonce-differs"];
    assert_eq!(broken(&|set| set.binding.index += 1), everything);
    assert_eq!(broken(&|set| set.binding.genesis = Digest32([8; 32])), everything);
    assert_eq!(broken(&|set| set.binding.challenge = Challenge::None), everything);
    assert_eq!(broken(&|set| set.binding = key.clone()), everything);
    // A device that is dropped, or taken from a neighbour, shows in the CPU quote.
    assert_eq!(broken(&|set| drop(set.devices.pop())), ["report-data-differs"]);
    let relayed = broken(&|set| {
        set.devices[0] = other.devices[0].clone();
        set.devices.sort_by_key(|evidence| evidence.device);
    });
    assert_eq!(relayed, ["report-data-differs"]);
    // A genuine report under another chain, and the chain of one device under another's name.
    let chains = broken(&|set| set.devices[0].certificates = set.devices[1].certificates.clone());
    assert!(chains.contains(&"gpu-signature"), "{chains:?}");
    assert_eq!(broken(&|set| set.cpu = other.cpu.clone()), ["report-data-differs"]);
    assert_eq!(broken(&|set| set.devices[0].report = set.devices[1].report.clone())[0], "gpu-signature");
}
