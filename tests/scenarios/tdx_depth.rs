//! **Duty.** TDX to full depth under a simulated Intel-like PKI: each side of each date, each refusal of its own, TDs that
//! should be relaunched, grace, whole claims, event logs. **Does not know** captures; `real_evidence` has them.
//! **Spec.** EVIDENCE §2.2–2.7, §7.3.

use ring::digest::{SHA384, digest};
use serde_json::{Value, json};
use weighbridge_appraisal::unmet_rules;
use weighbridge_attest::{EvidenceError, RawEvidence, Verified, verify};
use weighbridge_attest_types::{
    AppraisalPolicy, Culprit, EventLogState, EvidenceKind, PlatformClaims, TcbStatus, TdxBody, TdxClaims, UnixMillis,
};
use weighbridge_tests_simulator::{
    CollateralOptions, CollateralPiece, IntelCertificate, PlatformTcb, TdxOptions, World,
};

use crate::support::anchors_of;

const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
const REPORT_DATA: [u8; 64] = [7; 64];
const BODY: usize = 48;

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

fn world() -> World {
    World::new(52, NOW)
}

fn verify_at(world: &World, quote: &[u8], endorsements: &[Vec<u8>], at: UnixMillis) -> Verdict {
    let raw = RawEvidence { body: quote, certificates: &[] };
    verify(&EvidenceKind::new(EvidenceKind::TDX), raw, endorsements, &anchors_of(world), at)
}

fn quote_of(world: &World) -> Vec<u8> {
    let node = world.node(0, 0);
    node.platform().quote(node.options(), REPORT_DATA)
}

/// Verdict on an ordinary quote under changed collateral.
fn under(change: impl Fn(&mut CollateralOptions)) -> Verdict {
    let world = world();
    let mut options = world.collateral_options();
    change(&mut options);
    verify_at(&world, &quote_of(&world), &[world.collateral_json_with(&options)], NOW)
}

/// Verdict on a quote whose signed part was changed before it was signed.
fn signed(change: impl Fn(&mut Vec<u8>), edits: &[(CollateralPiece, &'static str, Value)]) -> Verdict {
    let world = world();
    let node = world.node(0, 0);
    let mut signed = node.platform().signed_part(node.options(), REPORT_DATA);
    change(&mut signed);
    let options = CollateralOptions { edits: edits.to_vec(), ..world.collateral_options() };
    verify_at(&world, &node.platform().sign(&signed), &[world.collateral_json_with(&options)], NOW)
}

fn refused(verdict: Verdict) -> (Culprit, Vec<&'static str>) {
    let error = verdict.unwrap_err();
    (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
}

fn untrusted(code: &'static str) -> (Culprit, Vec<&'static str>) {
    (Culprit::Untrusted, vec![code])
}

fn claims(verdict: Verdict) -> PlatformClaims {
    verdict.unwrap().claims().clone()
}

fn tdx(claims: &PlatformClaims) -> &TdxClaims {
    claims.tdx.as_deref().expect("claims of the kind")
}

fn seconds(at: UnixMillis, offset: i64) -> UnixMillis {
    UnixMillis(at.0.checked_add_signed(offset * 1000).unwrap())
}

/// Both ends count, and one second beyond either is refused with the piece's name.
fn check_window(what: &str, names: &[&str], judge: impl Fn(UnixMillis, UnixMillis) -> Verdict) {
    let far = 1_000_000;
    for (from, until) in [(0, far), (-far, 0), (0, 1), (-1, 0)] {
        let verdict = judge(seconds(NOW, from), seconds(NOW, until));
        assert!(verdict.is_ok(), "{what} from {from} to {until}: {verdict:?}");
    }
    for (from, until, code) in [(1, far, "not-yet-valid"), (-far, -1, "expired")] {
        let error = judge(seconds(NOW, from), seconds(NOW, until)).unwrap_err();
        let failures: Vec<_> = error.failures().iter().collect();
        assert_eq!(error.culprit(), Culprit::Untrusted, "{what}");
        assert!(failures.iter().all(|failure| failure.code == code), "{what}: {error}");
        assert!(failures.iter().all(|failure| names.iter().any(|name| failure.message.contains(name))), "{error}");
    }
}

#[test]
fn each_side_of_each_date_of_the_collateral_counts() {
    for (piece, name) in [
        (CollateralPiece::TcbInfo, "TCB info"),
        (CollateralPiece::QeIdentity, "QE identity"),
        (CollateralPiece::RootList, "the root's revocation list"),
        (CollateralPiece::PckList, "the PCK revocation list"),
    ] {
        check_window(name, &[name], |from, until| under(|options| options.windows = vec![(piece, from, until)]));
    }
}

#[test]
fn each_side_of_each_date_of_a_certificate_counts() {
    for (which, name) in [
        (IntelCertificate::Root, "Root CA"),
        (IntelCertificate::PlatformAuthority, "Platform CA"),
        (IntelCertificate::Pck, "PCK Certificate"),
        (IntelCertificate::TcbSigner, "TCB Signing"),
    ] {
        check_window(name, &[name], |from, until| {
            let world = world().with_certificate_window(which, from, until);
            verify_at(&world, &quote_of(&world), &[world.collateral_json()], NOW)
        });
    }
}

#[test]
fn the_earliest_end_of_all_is_told() {
    let usual = world().collateral_options().next_update;
    let soon = seconds(NOW, 77);
    for piece in
        [CollateralPiece::TcbInfo, CollateralPiece::QeIdentity, CollateralPiece::RootList, CollateralPiece::PckList]
    {
        let found = claims(under(|options| options.windows = vec![(piece, seconds(NOW, -9), soon)]));
        assert_eq!((found.valid_until, tdx(&found).tcb.collateral_until), (soon, soon), "{piece:?}");
    }
    for which in [IntelCertificate::Pck, IntelCertificate::TcbSigner, IntelCertificate::PlatformAuthority] {
        let world = world().with_certificate_window(which, seconds(NOW, -9), soon);
        let found = claims(verify_at(&world, &quote_of(&world), &[world.collateral_json()], NOW));
        let of_collateral = if which == IntelCertificate::TcbSigner { soon } else { usual };
        assert_eq!((found.valid_until, tdx(&found).tcb.collateral_until), (soon, of_collateral), "{which:?}");
    }
}

#[test]
fn every_revocation_is_found() {
    let serial = world().node(0, 0).platform().pck_serial();
    assert_eq!(refused(under(|options| options.revoked = vec![serial.clone()])), untrusted("revoked"));
    for (which, times) in
        [(IntelCertificate::PlatformAuthority, 1), (IntelCertificate::Root, 1), (IntelCertificate::TcbSigner, 2)]
    {
        let found = refused(under(|options| options.revoked_by_root = vec![which]));
        assert_eq!(found, (Culprit::Untrusted, vec!["revoked"; times]), "{which:?}");
    }
    let whole = |status: &str| {
        let status = json!(status);
        refused(under(|options| {
            options.edits = vec![(CollateralPiece::TcbInfo, "/tcbLevels/0/tcbStatus", status.clone())];
        }))
    };
    assert_eq!(whole("Revoked"), untrusted("tcb-revoked"));
    let enclave = (CollateralPiece::QeIdentity, "/tcbLevels/0/tcbStatus", json!("Revoked"));
    assert_eq!(refused(signed(|_| {}, &[enclave])), untrusted("tcb-revoked"));
    let module = (CollateralPiece::TcbInfo, "/tdxModuleIdentities/1/tcbLevels/0/tcbStatus", json!("Revoked"));
    assert_eq!(refused(signed(|_| {}, &[module])), untrusted("tcb-revoked"));
}

/// One row per refusal that a statement, signed as it should be, can earn.
#[test]
fn statements_about_something_else_are_refused() {
    use CollateralPiece::{QeIdentity, TcbInfo};
    let with = |piece, pointer, value: Value| refused(signed(|_| {}, &[(piece, pointer, value)]));
    for (piece, pointer, value) in [
        (TcbInfo, "/id", json!("SGX")),
        (TcbInfo, "/version", json!(2)),
        (QeIdentity, "/id", json!("QE")),
        (QeIdentity, "/version", json!(3)),
    ] {
        assert_eq!(with(piece, pointer, value), untrusted("collateral-version"), "{pointer}");
    }
    assert_eq!(with(TcbInfo, "/pceId", json!("0001")), untrusted("collateral-platform"));
    assert_eq!(with(TcbInfo, "/issueDate", json!("soon")), untrusted("collateral-date"));
    assert_eq!(with(QeIdentity, "/nextUpdate", json!("2026-13-01T00:00:00Z")), untrusted("collateral-date"));
    assert_eq!(with(TcbInfo, "/tcbLevels/0/tcbDate", json!("")), untrusted("collateral-unreadable"));
    for (pointer, value) in [
        ("/mrsigner", json!("00".repeat(32))),
        ("/isvprodid", json!(1)),
        ("/miscselect", json!("01000000")),
        ("/attributes", json!("13".to_owned() + &"00".repeat(15))),
        ("/attributesMask", json!("")),
    ] {
        assert_eq!(with(QeIdentity, pointer, value), untrusted("qe-identity"), "{pointer}");
    }
    let module = "/tdxModuleIdentities/1/mrsigner";
    assert_eq!(with(TcbInfo, module, json!("01".repeat(48))), untrusted("tdx-module-identity"));
    let foreign = (Culprit::Unavailable, vec!["collateral-missing"]);
    assert_eq!(with(TcbInfo, "/fmspc", json!("00".repeat(6))), foreign);
}

/// Where own code and dcap-qvl do not say the same, nobody is believed.
#[test]
fn two_readers_that_disagree_are_an_error_of_its_own() {
    // A SEAM attribute outside of Intel's mask: own code compares under the mask, dcap-qvl wants the rest to be zero.
    let masked = (CollateralPiece::TcbInfo, "/tdxModuleIdentities/1/attributesMask", json!("00".repeat(8)));
    let verdict = signed(|part| part[BODY + 112] = 1, std::slice::from_ref(&masked));
    let error = verdict.unwrap_err();
    assert_eq!((error.culprit(), error.code()), (Culprit::Untrusted, "tdx-readers-disagree"));
    assert!(error.to_string().contains("dcap-qvl says: ") && error.to_string().contains("own checks say: "), "{error}");
    claims(signed(|_| {}, &[masked]));
    // A status that Intel gives no module.
    let strange =
        (CollateralPiece::TcbInfo, "/tdxModuleIdentities/1/tcbLevels/0/tcbStatus", json!("ConfigurationNeeded"));
    assert_eq!(refused(signed(|_| {}, &[strange])), untrusted("tdx-readers-disagree"));
}

#[test]
fn signatures_and_chains_are_told_apart() {
    let world = world();
    let quote = quote_of(&world);
    let collateral = [world.collateral_json()];
    let changed = |at: usize| {
        let mut quote = quote.clone();
        quote[at] ^= 1;
        refused(verify_at(&world, &quote, &collateral, NOW))
    };
    let signature = 632 + 4;
    let qe_report = signature + 128 + 6;
    assert_eq!(changed(BODY + 136), untrusted("quote-signature"));
    assert_eq!(changed(signature), untrusted("quote-signature"));
    let key = changed(signature + 64);
    assert_eq!(key, (Culprit::Untrusted, vec!["qe-report-data", "quote-signature"]));
    assert_eq!(changed(qe_report), untrusted("qe-report-signature"));
    assert_eq!(changed(qe_report + 384), untrusted("qe-report-signature"));
    assert_eq!(changed(qe_report + 384 + 64 + 2), untrusted("qe-report-data"));
    // The last 32 bytes of the QE report's data are zero; a QE that says more binds something that nobody knows.
    assert_eq!(changed(qe_report + 383).1, ["qe-report-signature", "qe-report-data"]);
    assert_eq!(refused(verify_at(&world, &quote, &[], NOW)), (Culprit::Unavailable, vec!["collateral-missing"]));
    let many = vec![world.collateral_json(); 17];
    assert_eq!(refused(verify_at(&world, &quote, &many, NOW)), untrusted("collateral-too-many"));
    let raw = RawEvidence { body: &quote, certificates: &collateral };
    let beside = verify(&EvidenceKind::new("tdx"), raw, &collateral, &anchors_of(&world), NOW);
    assert_eq!(refused(beside), (Culprit::Malformed, vec!["tdx-certificates"]));
}

/// The signers of the collateral, exchanged.
#[test]
fn only_the_tcb_signer_speaks_for_intel() {
    let world = world();
    let quote = quote_of(&world);
    let code = |change: &dyn Fn(&mut Value)| {
        let mut collateral: Value = serde_json::from_slice(&world.collateral_json()).unwrap();
        change(&mut collateral);
        refused(verify_at(&world, &quote, &[collateral.to_string().into_bytes()], NOW)).1
    };
    let pck_chain = world.node(0, 0).platform().pck_chain_pem().to_owned();
    let by_pck = code(&|json| json["tcb_info_issuer_chain"] = pck_chain.clone().into());
    assert_eq!(by_pck, ["collateral-signer"]);
    assert_eq!(code(&|json| json["qe_identity_issuer_chain"] = "".into()), ["unknown-root", "collateral-signer"]);
    let root = pck_chain.rfind("-----BEGIN").map(|at| pck_chain[at..].to_owned()).unwrap();
    let alone = code(&|json| json["qe_identity_issuer_chain"] = root.clone().into());
    assert_eq!(alone[..2], ["chain-length", "collateral-signer"]);
    assert_eq!(code(&|json| json["qe_identity_issuer_chain"] = "-".into()), ["collateral-signer"]);
    assert_eq!(code(&|json| json["tcb_info_signature"] = "00".repeat(64).into()), ["collateral-signature"]);
    assert_eq!(code(&|json| json["qe_identity_signature"] = "00".repeat(63).into()), ["collateral-signature"]);
    assert_eq!(code(&|json| json["pck_crl"] = "3000".into()), ["crl-unreadable"]);
    assert_eq!(code(&|json| json["root_ca_crl"] = json["pck_crl"].clone()), ["crl-issuer", "crl-signature"]);
    let other = World::new(53, NOW);
    let theirs: Value = serde_json::from_slice(&other.collateral_json()).unwrap();
    assert_eq!(code(&|json| json["pck_crl"] = theirs["pck_crl"].clone()), ["crl-signature"]);
}

#[test]
fn no_document_is_too_long_or_nested() {
    let world = world();
    let quote = quote_of(&world);
    let long = [world.collateral_json(), vec![b' '; 256 * 1024]].concat();
    assert_eq!(refused(verify_at(&world, &quote, &[long], NOW)), untrusted("collateral-unreadable"));
    let deep = b"{\"tcb_info\":".iter().copied().chain(vec![b'['; 100_000]).collect::<Vec<u8>>();
    assert_eq!(refused(verify_at(&world, &quote, &[deep], NOW)), untrusted("collateral-unreadable"));
}

/// The version 4 signed part as a version 5 one with a TD 1.5 body that runs on another TCB now.
fn with_current(signed: &mut Vec<u8>, launch: [u8; 3], current: [u8; 3]) {
    let mut body: Vec<u8> = signed.drain(BODY..).collect();
    body[..3].copy_from_slice(&launch);
    let mut now = [0; 16];
    now[..3].copy_from_slice(&current);
    body.extend(now);
    body.extend([0; 48]);
    signed[0] = 5;
    signed.extend([3, 0]);
    signed.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    signed.extend(body);
}

#[test]
fn a_td_that_outlived_its_module_is_advised_to_relaunch() {
    let judged = |launch, current| claims(signed(|part| with_current(part, launch, current), &[]));
    let relaunch = judged([4, 1, 3], [6, 1, 3]);
    let tcb = &tdx(&relaunch).tcb;
    assert!(tcb.relaunch_advised);
    assert_eq!((tcb.status, tcb.current_status), (TcbStatus::OutOfDate, Some(TcbStatus::UpToDate)));
    assert_eq!((relaunch.tcb_status, relaunch.advisories.len()), (Some(TcbStatus::OutOfDate), 1));
    assert_eq!(tdx(&relaunch).current_tee_tcb_svn.unwrap()[..3], [6, 1, 3]);
    let built_in = AppraisalPolicy::built_in();
    let unmet: Vec<_> = unmet_rules(&relaunch, &built_in).iter().map(|rule| rule.code).collect();
    assert_eq!(unmet, ["policy-tcb-status"], "launched out of date stays so");
    // Within grace of its level (2024-03-13), which ends some 960 days before this instant, it may stand.
    let mut lenient = built_in;
    lenient.tdx.out_of_date_grace_days = 1_000;
    assert_eq!(unmet_rules(&relaunch, &lenient), []);
    lenient.tdx.out_of_date_grace_days = 900;
    assert_eq!(unmet_rules(&relaunch, &lenient).len(), 1);

    let both = judged([4, 1, 3], [4, 1, 3]);
    assert_eq!((tdx(&both).tcb.relaunch_advised, both.tcb_status), (false, Some(TcbStatus::OutOfDate)));
    let fresh = judged([6, 1, 3], [6, 1, 3]);
    assert_eq!((tdx(&fresh).tcb.relaunch_advised, fresh.tcb_status), (false, Some(TcbStatus::UpToDate)));
    // A platform that fell back: its launch alone does not speak for it.
    let fallen = judged([6, 1, 3], [4, 1, 3]);
    assert_eq!(tdx(&fallen).tcb.current_status, Some(TcbStatus::OutOfDate));
    assert_eq!(unmet_rules(&fallen, &AppraisalPolicy::built_in()).len(), 1);
}

#[test]
fn claims_say_all_that_quote_and_certificate_say() {
    let world = world();
    let node = world.node(0, 0);
    let found = claims(verify_at(&world, &quote_of(&world), &[world.collateral_json()], NOW));
    let tdx = tdx(&found);
    let options = node.options();
    assert_eq!((tdx.quote_version, tdx.body, tdx.mrtd, tdx.rtmr), (4, TdxBody::Td10, options.mrtd, options.rtmr));
    assert_eq!((tdx.module.version, tdx.module.svn), (1, 6));
    assert_eq!(tdx.tee_tcb_svn, PlatformTcb::UP_TO_DATE.tee_tcb_svn);
    let platform = &tdx.platform;
    assert_eq!(
        (platform.cpu_svn, platform.pce_svn),
        (PlatformTcb::UP_TO_DATE.cpu_svn, PlatformTcb::UP_TO_DATE.pce_svn)
    );
    assert_eq!((platform.fmspc, platform.sgx_type), (*b"SIMUL\0", 1));
    assert_eq!([platform.dynamic, platform.cached_keys, platform.smt], [Some(true), Some(false), Some(true)]);
    assert!(platform.instance.is_some());
    // 2024-11-13 for the level and the enclave.
    let recent = Some(UnixMillis(1_731_456_000_000));
    assert_eq!((tdx.tcb.level_date, tdx.tcb.enclave_date, tdx.tcb.out_of_date_level), (recent, recent, None));
    assert_eq!((tdx.tcb.evaluation_number, tdx.tcb.at), (18, NOW));
    assert_eq!(tdx.event_log.state, EventLogState::Missing);
    let lower = (CollateralPiece::QeIdentity, "/tcbEvaluationDataNumber", json!(15));
    let lower = claims(signed(|_| {}, &[lower]));
    assert_eq!(lower.tdx.unwrap().tcb.evaluation_number, 15);
}

fn sha384(bytes: &[u8]) -> [u8; 48] {
    digest(&SHA384, bytes).as_ref().try_into().unwrap()
}

/// A TCG log of (register, content), and the registers that it leads to.
fn tcg_log(events: &[(u8, &[u8])]) -> (Vec<u8>, [[u8; 48]; 4]) {
    let spec = [b"Spec ID Event03\0", &[0u8, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0c, 0, 48, 0, 0][..]].concat();
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut log = [&[1, 0, 0, 0, 3, 0, 0, 0][..], &[0; 20], &size(&spec), &spec].concat();
    let mut rtmr = [[0; 48]; 4];
    for (register, content) in events {
        let event = sha384(content);
        log.extend([*register + 1, 0, 0, 0, 0x0d, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0]);
        log.extend([&event[..], &size(content), content].concat());
        let value = &mut rtmr[usize::from(*register)];
        *value = sha384(&[&value[..], &event].concat());
    }
    (log, rtmr)
}

#[test]
fn a_log_explains_the_registers_that_it_leads_to_and_never_touches_the_quote() {
    let world = world();
    let node = world.node(0, 0);
    let (log, rtmr) = tcg_log(&[(0, b"firmware"), (1, b"kernel"), (0, b"variables"), (2, b"command line")]);
    let options = TdxOptions { rtmr, ..node.options().clone() };
    let quote = node.platform().quote(&options, REPORT_DATA);
    let judged = |logs: &[Vec<u8>]| {
        let endorsements = [&[world.collateral_json()], logs].concat();
        claims(verify_at(&world, &quote, &endorsements, NOW))
    };
    let explained = judged(std::slice::from_ref(&log));
    let claims = &tdx(&explained).event_log;
    assert_eq!((claims.state, claims.explained), (EventLogState::Replayed, [true; 4]));
    assert_eq!(
        claims.events.iter().map(|count| (count.register, count.count, count.bound)).collect::<Vec<_>>(),
        [(0, 2, 2), (1, 1, 1), (2, 1, 1)]
    );
    let open = |claims: &PlatformClaims| claims.not_checked.iter().any(|open| open.code == "tdx-event-log");
    assert!(!open(&explained));
    // Anything else about the quote is the same with and without, and with a log that lies.
    let bare = judged(&[]);
    let (lie, _) = tcg_log(&[(0, b"firmware"), (1, b"another kernel"), (0, b"variables"), (2, b"command line")]);
    let (short, _) = tcg_log(&[(0, b"firmware"), (1, b"kernel")]);
    let broken = log[..log.len() - 1].to_vec();
    for (logs, state) in [
        (vec![], EventLogState::Missing),
        (vec![lie.clone()], EventLogState::Untrusted),
        (vec![short], EventLogState::Untrusted),
        (vec![broken], EventLogState::Untrusted),
    ] {
        let found = judged(&logs);
        let events = &tdx(&found).event_log;
        assert_eq!((events.state, events.explained, events.events.len()), (state, [false; 4], 0));
        assert!(open(&found));
        let mut same = found.clone();
        same.not_checked.clone_from(&bare.not_checked);
        same.tdx.as_mut().unwrap().event_log = tdx(&bare).event_log.clone();
        assert_eq!(same, bare, "{state:?}");
    }
    // A log that is silent about a register that something extended leaves that one open, and says which.
    let (partial, _) = tcg_log(&[(0, b"firmware"), (1, b"kernel"), (0, b"variables")]);
    let found = judged(&[partial]);
    assert_eq!(tdx(&found).event_log.explained, [true, true, false, true]);
    let silent = found.not_checked.iter().find(|open| open.code == "tdx-event-log").expect("it is told");
    assert!(silent.why.ends_with("not to RTMR2"), "{}", silent.why);
    // Among the logs of a fleet each quote finds its own, in any order.
    let (other, _) = tcg_log(&[(3, b"another node")]);
    for logs in [[lie.clone(), log.clone(), other.clone()], [log, other, lie]] {
        assert_eq!(judged(&logs).tdx, explained.tdx);
    }
    let policy = |found: &PlatformClaims| {
        let mut policy = AppraisalPolicy::built_in();
        policy.tdx.event_log = weighbridge_attest_types::Requirement::Equals(true);
        unmet_rules(found, &policy).len()
    };
    assert_eq!((policy(&explained), policy(&bare)), (0, 1));
}
