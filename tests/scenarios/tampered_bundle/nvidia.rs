//! Breakers of what policy says about accelerators: manifests left out, manifests of other values, authorities on hold.

use weighbridge_tests_simulator::{Certified, OcspOptions, OcspStatus};

use super::*;

/// The honest bundle with other endorsements, in the one order that a bundle has.
fn with_endorsements(mut files: Vec<Vec<u8>>) -> Bundle {
    let mut bundle = honest().plain.clone();
    let stale: Vec<String> = bundle.below("endorsements").map(|(name, _)| format!("endorsements/{name}")).collect();
    for name in stale {
        bundle.replace(&name, None);
    }
    files.sort();
    for (number, file) in files.into_iter().enumerate() {
        bundle.replace(&format!("endorsements/{number:04}"), Some(file));
    }
    bundle
}

#[test]
fn breaker_policy_gpu_reference_values_by_a_missing_manifest() {
    let [collateral, driver, vbios] = honest().run.world.endorsements().try_into().expect("three files");
    for kept in [driver, vbios] {
        let bundle = with_endorsements(vec![collateral.clone(), kept]);
        refused(&bundle, Culprit::Rejected, &["policy-gpu-reference-values"]);
    }
    let none = with_endorsements(vec![collateral]);
    refused(&none, Culprit::Rejected, &["policy-gpu-reference-values"]);
}

#[test]
fn breaker_policy_gpu_measurements_by_a_manifest_of_other_values() {
    let world = &honest().run.world;
    let [collateral, driver, _] = world.endorsements().try_into().expect("three files");
    let [_, mut vbios] = world.gpu_rims();
    vbios.resources[9].alternatives = vec![[7; 48], [8; 48]];
    let bundle = with_endorsements(vec![collateral, driver, world.rim_signer().rim(&vbios)]);
    refused(&bundle, Culprit::Rejected, &["policy-gpu-measurements"]);
    let outcome = verified(&bundle);
    let message = &outcome.failures().next().expect("it failed").message;
    assert!(message.contains("index 9 (VBIOS)") && message.contains("fetch it anew"), "{message}");
}

#[test]
fn breaker_policy_nvidia_hold_by_an_authority_on_hold() {
    let world = &honest().run.world;
    let held = OcspOptions { status: OcspStatus::OnHold, ..world.ocsp_options() };
    let mut files = world.endorsements();
    files.push(world.ocsp(Certified::Provisioner, &held));
    refused(&with_endorsements(files), Culprit::Untrusted, &["policy-nvidia-hold"]);
}

#[test]
fn breaker_evidence_genuine_by_a_revoked_authority_of_accelerators() {
    let world = &honest().run.world;
    let revoked = OcspOptions { status: OcspStatus::Revoked, ..world.ocsp_options() };
    let mut files = world.endorsements();
    files.push(world.ocsp(Certified::RimIntermediate, &revoked));
    refused(&with_endorsements(files), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn a_bundle_whose_certificates_all_have_a_status_says_so() {
    let world = &honest().run.world;
    let good = world.ocsp_options();
    let above = [
        Certified::Brom(0, 0),
        Certified::Brom(1, 0),
        Certified::Provisioner,
        Certified::Identity,
        Certified::RimSigner,
        Certified::RimIntermediate,
        Certified::RimAuthority,
    ];
    let mut files = world.endorsements();
    files.extend(above.map(|certified| world.ocsp(certified, &good)));
    let outcome = verified(&with_endorsements(files));
    // Another archived report is the only thing that is wrong.
    let codes: Vec<&str> = outcome.failures().map(|check| check.code).collect();
    assert_eq!(codes, ["report-differs"]);
    let honest = accepted(&honest().plain);
    let says = |text: &str| honest.not_checked.iter().any(|sentence| sentence.text.starts_with(text));
    assert!(says("gpu-ocsp: ") && !says("gpu-rim: "));
}
