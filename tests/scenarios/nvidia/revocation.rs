//! Revocation by OCSP and by lists. NVIDIA's own answers were never captured: all of it is under self-made authorities.

use weighbridge_attest::verify_set;
use weighbridge_attest_collect::collect_set;
use weighbridge_attest_types::{Binding, Challenge, Digest32};
use weighbridge_tests_simulator::{Certified, OcspHash, OcspOptions, OcspSigner, OcspStatus};

use super::*;

const ALL: [Certified; 6] = [
    Certified::Brom(0, 0),
    Certified::Provisioner,
    Certified::Identity,
    Certified::RimSigner,
    Certified::RimIntermediate,
    Certified::RimAuthority,
];

/// One answer about the provisioner, changed before it is signed.
fn with_answer(change: impl FnOnce(&mut OcspOptions)) -> Scene {
    let scene = Scene::new();
    let mut options = scene.world.ocsp_options();
    change(&mut options);
    let answer = scene.world.ocsp(Certified::Provisioner, &options);
    scene.and(answer)
}

#[test]
fn answers_about_every_certificate_leave_nothing_open() {
    let mut scene = Scene::new();
    for certified in ALL {
        let answer = scene.world.ocsp(certified, &scene.world.ocsp_options());
        scene.endorsements.push(answer);
    }
    assert_eq!(scene.open(), ["ocsp-nonce", "gpu-cc-mode"]);
    let revocation = scene.claims().revocation;
    // Both manifests have one chain: its certificates are asked once.
    assert_eq!((revocation.good.len(), revocation.open.len(), revocation.held.len()), (6, 0, 0));
    assert_eq!(revocation.good[0], "GH100 A01 GSP BROM");
    let until = scene.world.ocsp_options().next_update.unwrap();
    assert_eq!(scene.verify().unwrap().claims().valid_until, until);
    // One less, and it is named.
    scene.endorsements.pop();
    assert_eq!(scene.open(), ["gpu-ocsp", "ocsp-nonce", "gpu-cc-mode"]);
    assert_eq!(scene.claims().revocation.open, ["NVIDIA Reference Value GH100 CA"]);
}

#[test]
fn issuers_are_named_by_each_digest_and_responders_by_name_or_key() {
    for hash in [OcspHash::Sha1, OcspHash::Sha256, OcspHash::Sha384] {
        for by_key in [false, true] {
            for signer in [OcspSigner::Delegate, OcspSigner::Authority] {
                let scene = with_answer(|options| {
                    (options.hash, options.by_key, options.signer) = (hash, by_key, signer);
                });
                assert_eq!(scene.claims().revocation.good, ["NVIDIA GH100 Provisioner ICA 1"], "{hash:?} {signer:?}");
            }
        }
    }
}

#[test]
fn revoked_and_unknown_are_not_trusted_and_a_hold_is_a_claim() {
    let stands = |status| with_answer(|options| options.status = status);
    assert_eq!(stands(OcspStatus::Revoked).refused(), ["revoked"]);
    assert_eq!(stands(OcspStatus::Unknown).refused(), ["ocsp-unknown"]);
    let held = stands(OcspStatus::OnHold).claims().revocation;
    assert_eq!((held.held, held.good.len()), (vec!["NVIDIA GH100 Provisioner ICA 1".to_owned()], 0));
    // Whoever waives a hold relies on the answer as long as it lasts.
    let soon = UnixMillis(NOW.0 + HOUR);
    let brief = with_answer(|options| (options.status, options.next_update) = (OcspStatus::OnHold, Some(soon)));
    assert_eq!(brief.verify().unwrap().claims().valid_until, soon);
    // Every certificate counts, of the manifests' chains as well.
    for certified in ALL {
        for (status, code) in [(OcspStatus::Revoked, "revoked"), (OcspStatus::Unknown, "ocsp-unknown")] {
            let scene = Scene::new();
            let options = OcspOptions { status, ..scene.world.ocsp_options() };
            let answer = scene.world.ocsp(certified, &options);
            assert_eq!(scene.and(answer).refused(), [code], "{certified:?}");
        }
    }
}

#[test]
fn a_revocation_cannot_be_outvoted_and_an_old_one_does_not_count() {
    let scene = Scene::new();
    let world = &scene.world;
    let answer = |change: &dyn Fn(&mut OcspOptions)| {
        let mut options = world.ocsp_options();
        change(&mut options);
        world.ocsp(Certified::Provisioner, &options)
    };
    let good = answer(&|_| {});
    let later = |options: &mut OcspOptions| options.next_update = options.next_update.map(|at| UnixMillis(at.0 + DAY));
    let revoked = answer(&|options| options.status = OcspStatus::Revoked);
    let held = answer(&|options| options.status = OcspStatus::OnHold);
    let judged = |files: &[&Vec<u8>]| {
        let mut scene = Scene::new();
        scene.endorsements.extend(files.iter().map(|file| (*file).clone()));
        scene
    };
    let better = answer(&later);
    for files in [[&good, &revoked], [&revoked, &good], [&better, &revoked], [&held, &revoked]] {
        assert_eq!(judged(&files).refused(), ["revoked"]);
    }
    for files in [[&good, &held], [&held, &better]] {
        assert_eq!(judged(&files).claims().revocation.held.len(), 1);
    }
    // An answer that ended says nothing beside one that holds, and alone it is no answer.
    let ended = |options: &mut OcspOptions| {
        options.this_update = UnixMillis(NOW.0 - 3 * DAY);
        (options.produced, options.next_update) = (options.this_update, Some(UnixMillis(NOW.0 - 1)));
    };
    let old = answer(&|options| {
        ended(options);
        options.status = OcspStatus::Revoked;
    });
    assert_eq!(judged(&[&old, &good]).claims().revocation.good.len(), 1);
    assert_eq!(judged(&[&old]).refused(), ["expired"]);
    assert_eq!(judged(&[&answer(&ended)]).refused(), ["expired"]);
    let nine: Vec<Vec<u8>> = (0..9u64)
        .map(|more| {
            answer(&|options| options.next_update = options.next_update.map(|at| UnixMillis(at.0 + 1_000 * more)))
        })
        .collect();
    assert_eq!(judged(&nine.iter().collect::<Vec<_>>()).refused(), ["status-too-many"]);
    assert_eq!(judged(&nine[1..].iter().collect::<Vec<_>>()).claims().revocation.good.len(), 1);
}

#[test]
fn dates_signers_and_extensions_are_checked() {
    let refused = |change: &dyn Fn(&mut OcspOptions)| with_answer(|options| change(options)).refused();
    assert_eq!(refused(&|options| options.this_update = UnixMillis(NOW.0 + 1_000)), ["not-yet-valid"]);
    assert_eq!(refused(&|options| options.produced = UnixMillis(NOW.0 + 1_000)), ["not-yet-valid"]);
    assert_eq!(refused(&|options| options.next_update = None), ["ocsp-without-end"]);
    assert_eq!(refused(&|options| options.critical = true), ["ocsp-extension"]);
    assert_eq!(refused(&|options| options.signer = OcspSigner::Unauthorised), ["ocsp-responder"]);
    let foreign = refused(&|options| options.signer = OcspSigner::Foreign);
    assert_eq!(foreign, ["certificate-issuer", "certificate-signature"]);
    // The last byte of an answer without certificates is the signature's.
    let mut forged = with_answer(|options| options.signer = OcspSigner::Authority);
    *forged.endorsements.last_mut().unwrap().last_mut().unwrap() ^= 1;
    assert_eq!(forged.refused(), ["ocsp-signature"]);
    // By somebody whose certificate is not there.
    let mut unnamed = with_answer(|options| options.by_key = true);
    let answer = unnamed.endorsements.last_mut().unwrap();
    let key = answer.windows(4).position(|window| window == [0xa2, 22, 0x04, 20]).unwrap();
    answer[key + 4] ^= 1;
    assert_eq!(unnamed.refused(), ["ocsp-responder"]);
    // A delegate of the device's root does not answer for the provisioner's authority, nor another world's responder.
    let other = World::new(42, NOW);
    let answer = other.ocsp(Certified::Provisioner, &other.ocsp_options());
    assert_eq!(Scene::new().and(answer).refused(), ["ocsp-of-another"]);
    let exact = with_answer(|options| options.next_update = Some(NOW));
    assert_eq!(exact.verify().unwrap().claims().valid_until, NOW);
}

#[test]
fn one_changed_byte_of_an_answer_is_never_good() {
    let scene = Scene::new();
    let answer = scene.world.ocsp(Certified::Provisioner, &scene.world.ocsp_options());
    for byte in 0..answer.len() {
        let mut changed = answer.clone();
        changed[byte] ^= 1;
        let scene = Scene::new().and(changed);
        // A file that no longer looks like an answer is as good as absent.
        let good =
            scene.verify().map_or(0, |verified| verified.claims().nvidia.as_ref().unwrap().revocation.good.len());
        assert_eq!(good, 0, "byte {byte}");
    }
    for length in 0..answer.len() {
        let scene = Scene::new().and(&answer[..length]);
        let good =
            scene.verify().map_or(0, |verified| verified.claims().nvidia.as_ref().unwrap().revocation.good.len());
        assert_eq!(good, 0, "length {length}");
    }
}

#[test]
fn an_answer_about_another_certificate_leaves_a_gap_and_is_refused() {
    assert_eq!(with_answer(|options| options.serial_off_by = 1).refused(), ["ocsp-of-another"]);
    // Another GPU's authority: a neighbour's, once nothing is open.
    let scene = Scene::new();
    let neighbour = scene.world.ocsp(Certified::Brom(0, 1), &scene.world.ocsp_options());
    let mut alone = scene.and(neighbour);
    assert_eq!(alone.refused(), ["ocsp-of-another"]);
    for certified in ALL {
        let answer = alone.world.ocsp(certified, &alone.world.ocsp_options());
        alone.endorsements.push(answer);
    }
    assert_eq!(alone.claims().revocation.good.len(), 6);
}

#[test]
fn what_is_no_answer_is_refused() {
    for status in [1, 3, 6] {
        let scene = Scene::new();
        let refusal = scene.world.ocsp_refusal(status);
        assert_eq!(scene.and(refusal).refused(), ["ocsp-unreadable"]);
    }
    let scene = Scene::new();
    let mut long = scene.world.ocsp(Certified::Provisioner, &scene.world.ocsp_options());
    long.push(0);
    assert_eq!(scene.and(long).refused(), ["ocsp-unreadable"]);
    assert_eq!(Scene::new().and(b"\x30\x83\x01\x00\x05\x0a\x01\x00".to_vec()).refused(), ["ocsp-unreadable"]);
}

#[test]
fn lists_by_the_issuer_count_as_answers_do() {
    let listed = |about, status| {
        let scene = Scene::new();
        let list = scene.world.nvidia_crl(about, status);
        scene.and(list)
    };
    for certified in ALL {
        assert_eq!(listed(certified, OcspStatus::Revoked).refused(), ["revoked"], "{certified:?}");
        let held = listed(certified, OcspStatus::OnHold).claims().revocation.held;
        assert_eq!(held.len(), 1, "{certified:?}");
        assert_eq!(listed(certified, OcspStatus::Good).claims().revocation.good.len(), 1, "{certified:?}");
    }
    // Nobody outvotes a list, and no responder answered.
    let scene = listed(Certified::Provisioner, OcspStatus::Revoked);
    let good = scene.world.ocsp(Certified::Provisioner, &scene.world.ocsp_options());
    assert_eq!(scene.and(good).refused(), ["revoked"]);
    assert_eq!(listed(Certified::Provisioner, OcspStatus::Good).open(), ["gpu-ocsp", "gpu-cc-mode"]);
    // The leaf's own issuer publishes for nobody: such a list is not asked for, and a forged one is refused.
    let mut forged = listed(Certified::Provisioner, OcspStatus::Good);
    *forged.endorsements.last_mut().unwrap().last_mut().unwrap() ^= 1;
    assert_eq!(forged.refused(), ["crl-signature"]);
    let mut ended = listed(Certified::Provisioner, OcspStatus::Good);
    ended.at = UnixMillis(NOW.0 + 31 * DAY);
    assert_eq!(ended.refused(), ["expired"]);
}

#[test]
fn in_a_fleet_statements_may_be_a_neighbours() {
    let world = World::new(41, NOW);
    let binding = Binding::key(Digest32([2; 32]), Challenge::VerifierNonce(Digest32([9; 32])));
    let set = collect_set(&world.node(0, 1), binding).unwrap();
    let mut other = world.gpu_rims()[0].clone();
    other.version = "590.13-simulated".to_owned();
    let files = [
        world.collateral_json(),
        world.rim_signer().rim(&other),
        world.ocsp(Certified::Brom(9, 9), &world.ocsp_options()),
    ];
    let bound = verify_set(&set, &files, &anchors_of(&world), NOW).unwrap();
    let claims = bound.devices()[0].nvidia.as_deref().unwrap();
    assert_eq!((claims.reference_values.missing.len(), claims.revocation.open.len()), (2, 3));
    // The same files, handed over for that one report alone.
    let evidence = &set.devices[0];
    let raw = RawEvidence { body: &evidence.report, certificates: &evidence.certificates };
    let error = verify(&evidence.kind, raw, &files, &anchors_of(&world), NOW).unwrap_err();
    let codes: Vec<_> = error.failures().iter().map(|failure| failure.code).collect();
    assert_eq!(codes, ["rim-version", "ocsp-of-another"]);
}
