//! **Duty.** What an attacker hands to the verifier to be believed, or to make it work: each attack with its exact
//! refusal. **Does not know** bundles; it attacks evidence sets, endorsements and names. **Spec.** EVIDENCE §0 rule 5,
//! PROTOCOL §3 (Binding), HOUSE §9 (5).

use weighbridge_attest::{Endorsements, EvidenceError, RawEvidence, verify, verify_set, verify_set_with, verify_with};
use weighbridge_attest_collect::collect_set;
use weighbridge_attest_types::{
    Binding, Canonical as _, Challenge, CodecError, Culprit, Digest32, EvidenceKind, EvidenceSet, RosterRow,
    TrustAnchors, UnixMillis,
};
use weighbridge_tests::SampleRun;
use weighbridge_tests_simulator::{CollateralOptions, CollateralPiece, IntelCertificate, World};

use crate::support::anchors_of;

const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
const HOUR: u64 = 3_600_000;
/// As many endorsements as are read at all.
const MOST: usize = 64;

fn world() -> World {
    World::new(77, NOW)
}

/// A node's key quote with its accelerators.
fn set_of(world: &World, node: u32, gpus: u32) -> EvidenceSet {
    let binding = Binding::key(Digest32([2; 32]), Challenge::VerifierNonce(Digest32([9; 32])));
    collect_set(&world.node(node, gpus), binding).unwrap()
}

fn found(error: &EvidenceError) -> (Culprit, Vec<&'static str>) {
    (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
}

fn refused(world: &World, set: &EvidenceSet, endorsements: &[Vec<u8>]) -> (Culprit, Vec<&'static str>) {
    found(&verify_set(set, endorsements, &anchors_of(world), NOW).unwrap_err())
}

#[test]
fn endorsements_are_read_once_for_any_number_of_sets() {
    let world = world();
    let files = [b"junk".to_vec(), world.collateral_json(), b"{\"tcb_info\":1}".to_vec(), Vec::new()];
    let endorsements = Endorsements::recognise(&files);
    assert_eq!(endorsements.unrecognised(), [0, 3]);
    let unreadable: Vec<_> = endorsements.unreadable().map(|failure| failure.code).collect();
    assert_eq!(unreadable, ["collateral-unreadable"]);
    let anchors = anchors_of(&world);
    for node in 0..3 {
        let set = set_of(&world, node, 1);
        let bound = verify_set_with(&set, &endorsements, &anchors, NOW);
        assert_eq!(bound, verify_set(&set, &files, &anchors, NOW));
        assert_eq!(bound.unwrap().cpu().device, Some(world.node(node, 0).platform().device()));
    }
}

/// Signatures of statements, lists and their signers are asked once for all evidence; dates, anchors, revocation and the
/// quote itself each time (decision 0065).
#[test]
fn kept_answers_are_those_of_a_fresh_look() {
    let world = world();
    let quote = set_of(&world, 0, 0).cpu.body;
    let mut damaged = quote.clone();
    damaged[60] ^= 1;
    let good = world.collateral_json();
    let text = String::from_utf8(good.clone()).unwrap();
    let broken = |field: &str| {
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let hex = json[field].as_str().unwrap().to_owned();
        let (rest, last) = hex.split_at(hex.len() - 1);
        json[field] = format!("{rest}{}", if last == "0" { '1' } else { '0' }).into();
        json.to_string().into_bytes()
    };
    let fields = ["tcb_info_signature", "qe_identity_signature", "root_ca_crl", "pck_crl"];
    let (theirs, nobody) = (anchors_of(&world), weighbridge_attest::built_in_anchors());
    let late = UnixMillis(NOW.0 * 2);
    for files in std::iter::once(vec![good.clone()]).chain(fields.map(|field| vec![broken(field)])) {
        let kept = Endorsements::recognise(&files);
        let judge = |endorsements: &Endorsements, body: &[u8], anchors: &TrustAnchors, at: UnixMillis| {
            let raw = RawEvidence { body, certificates: &[] };
            verify_with(&EvidenceKind::new(EvidenceKind::TDX), raw, endorsements, anchors, at)
        };
        for (anchors, at) in [(&nobody, NOW), (&theirs, late), (&theirs, NOW), (&nobody, late), (&theirs, NOW)] {
            for body in [&damaged, &quote] {
                let fresh = judge(&Endorsements::recognise(&files), body, anchors, at);
                assert_eq!(judge(&kept, body, anchors, at), fresh);
            }
        }
        assert_eq!(judge(&kept, &quote, &theirs, NOW).is_ok(), files[0] == good);
    }
}

#[test]
fn a_flood_of_endorsements_is_refused_unread() {
    let world = world();
    let set = set_of(&world, 0, 1);
    let mut files = vec![world.collateral_json()];
    files.resize(MOST, b"junk".to_vec());
    verify_set(&set, &files, &anchors_of(&world), NOW).unwrap();
    files.push(Vec::new());
    let too_many = (Culprit::Untrusted, vec!["endorsements-too-many"]);
    assert_eq!(refused(&world, &set, &files), too_many);
    let long = [world.collateral_json(), vec![b' '; 4 * 1024 * 1024]];
    assert_eq!(refused(&world, &set, &long), too_many);
    assert_eq!(
        Endorsements::recognise(&long).within_budget().map_err(|error| error.code()),
        Err("endorsements-too-many")
    );
    let raw = RawEvidence { body: &set.cpu.body, certificates: &[] };
    let alone = verify(&set.cpu.kind, raw, &files, &anchors_of(&world), NOW).unwrap_err();
    assert_eq!(found(&alone), too_many);
    // Collateral whose platform is no platform is not carried along.
    let mut nowhere: serde_json::Value = serde_json::from_slice(&world.collateral_json()).unwrap();
    let info = nowhere["tcb_info"].as_str().unwrap().replace("\"fmspc\":\"", "\"fmspc\":\"zz");
    nowhere["tcb_info"] = info.into();
    let nowhere = refused(&world, &set, &[nowhere.to_string().into_bytes()]);
    assert_eq!(nowhere, (Culprit::Untrusted, vec!["collateral-unreadable"]));
}

#[test]
fn a_revocation_cannot_be_outvoted_by_other_collateral() {
    let world = world();
    let set = set_of(&world, 0, 0);
    let pck = world.node(0, 0).platform().pck_serial();
    let clean = world.collateral_json();
    let revoking = |hours_later: i64| {
        let options = world.collateral_options();
        let issued = UnixMillis(options.issued.0.checked_add_signed(hours_later * 3_600_000).unwrap());
        world.collateral_json_with(&CollateralOptions {
            issued,
            crl_issued: issued,
            revoked: vec![pck.clone()],
            ..options
        })
    };
    let revoked = (Culprit::Untrusted, vec!["revoked"]);
    for hours in [-1, 0, 1] {
        assert_eq!(refused(&world, &set, &[clean.clone(), revoking(hours)]), revoked, "{hours}");
        assert_eq!(refused(&world, &set, &[revoking(hours), clean.clone()]), revoked, "{hours}");
    }
    // Lists are an authority's: one that came along for another platform model counts as well.
    let other = |options: &CollateralOptions| {
        let edits = vec![(CollateralPiece::TcbInfo, "/fmspc", serde_json::json!("90c06f000000"))];
        world.collateral_json_with(&CollateralOptions { edits, ..options.clone() })
    };
    let options = world.collateral_options();
    let revoking_other = other(&CollateralOptions { revoked: vec![pck.clone()], ..options.clone() });
    assert_eq!(refused(&world, &set, &[clean.clone(), revoking_other.clone()]), revoked);
    assert_eq!(refused(&world, &set, &[revoking_other, clean.clone()]), revoked);
    verify_set(&set, &[clean.clone(), other(&options)], &anchors_of(&world), NOW).unwrap();
    // So is the root's: what it takes back there signs no statement here, and certifies no platform.
    for (which, times) in [(IntelCertificate::TcbSigner, 2), (IntelCertificate::PlatformAuthority, 1)] {
        let revoked_by_root = vec![which];
        let taken_back = other(&CollateralOptions { revoked_by_root, ..options.clone() });
        let found = refused(&world, &set, &[clean.clone(), taken_back]);
        assert_eq!(found, (Culprit::Untrusted, vec!["revoked"; times]), "{which:?}");
    }
    // Beside a collateral that fails by itself, only the revocation is told.
    let ended = UnixMillis(NOW.0 - HOUR);
    let stale = CollateralOptions { next_update: ended, ..world.collateral_options() };
    let stale = world.collateral_json_with(&stale);
    assert_eq!(refused(&world, &set, &[clean.clone(), stale.clone(), revoking(0)]), revoked);
    // A list that is no longer current revokes nothing, and neither does one that nobody signed.
    let options = world.collateral_options();
    let old = CollateralOptions { crl_next_update: ended, revoked: vec![pck.clone()], ..options.clone() };
    let mut forged: serde_json::Value = serde_json::from_slice(&revoking(0)).unwrap();
    let list = forged["pck_crl"].as_str().unwrap().to_owned();
    let (rest, last) = list.split_at(list.len() - 1);
    forged["pck_crl"] = format!("{rest}{}", if last == "0" { '1' } else { '0' }).into();
    let beside = [world.collateral_json_with(&old), forged.to_string().into_bytes(), stale, clean];
    verify_set(&set, &beside, &anchors_of(&world), NOW).unwrap();
}

#[test]
fn a_padded_quote_does_not_stand_in_a_set() {
    let world = world();
    let mut set = set_of(&world, 0, 1);
    set.cpu.body.push(0);
    let padded = refused(&world, &set, &[world.collateral_json()]);
    assert_eq!(padded, (Culprit::Malformed, vec!["report-not-canonical"]));
    let raw = RawEvidence { body: &set.cpu.body, certificates: &[] };
    assert!(verify(&set.cpu.kind, raw, &[world.collateral_json()], &anchors_of(&world), NOW).is_ok());
    set.devices[0].report.push(0);
    let padded = refused(&world, &set, &[world.collateral_json()]);
    assert_eq!(padded, (Culprit::Malformed, vec!["report-not-canonical"; 2]));
}

#[test]
fn a_device_chain_of_another_shape_costs_no_signature() {
    let world = world();
    let shaped = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut set = set_of(&world, 0, 2);
        change(&mut set.devices[1].certificates);
        // The quote's signature fails too, but nobody gets that far.
        set.cpu.body[60] ^= 1;
        refused(&world, &set, &[world.collateral_json()])
    };
    assert_eq!(shaped(&|_| {}), (Culprit::Untrusted, vec!["quote-signature"]));
    let shape = (Culprit::Untrusted, vec!["gpu-chain-length"]);
    assert_eq!(shaped(&Vec::clear), shape);
    assert_eq!(shaped(&|chain| drop(chain.pop())), shape);
    assert_eq!(shaped(&|chain| chain.push(chain[4].clone())), shape);
    assert_eq!(shaped(&|chain| chain[2].clear()), shape);
    assert_eq!(shaped(&|chain| chain.resize(11, vec![1])), (Culprit::Malformed, vec!["gpu-chain-size"]));
}

#[test]
fn a_kind_cannot_carry_text_into_a_report() {
    let world = world();
    for name in ["tdx\n node/0000 ok", "\u{1b}[2J", "TDX", "", "an-evidence-kind-of-33-characters"] {
        let mut set = set_of(&world, 0, 0);
        set.cpu.kind = EvidenceKind::new(name);
        let refused = Err(CodecError::NotCanonical("evidence kind"));
        assert_eq!(EvidenceSet::from_bytes(&set.to_bytes()).map(drop), refused, "{name:?}");
        let row = SampleRun::begin(77, 1, 1).manifest.roster[0].clone();
        let row = RosterRow { cpu_kind: EvidenceKind::new(name), ..row };
        let json = serde_json::from_str::<RosterRow>(&serde_json::to_string(&row).unwrap());
        assert!(json.unwrap_err().to_string().contains("an evidence kind is 1 to 32 of a-z, 0-9 and -"), "{name:?}");
    }
}
