//! Device chains that no capture has: Blackwell with its manifests, chips that nobody knows, names and firmware ids that do
//! not fit.

use weighbridge_attest_types::{FirmwareVersion, Requirement};
use weighbridge_tests_simulator::{DeviceModel, FwidForm, RimOptions};

use super::*;

/// The verdict on a GPU whose certificates say that it is this.
fn verify_as(model: &DeviceModel, endorsements: &[Vec<u8>], change: impl Fn(&mut GpuReportOptions)) -> Verdict {
    let world = World::new(41, NOW);
    let gpu = world.gpu_of(model, 0, 0);
    let mut options = gpu.options().clone();
    change(&mut options);
    let report = gpu.report_with(&options, NONCE);
    let raw = RawEvidence { body: &report, certificates: gpu.certificates() };
    verify(&EvidenceKind::new("nvidia-gpu"), raw, endorsements, &anchors_of(&world), NOW)
}

#[track_caller]
fn found(verdict: Verdict) -> (Culprit, Vec<&'static str>) {
    let error = verdict.unwrap_err();
    (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
}

fn untrusted(codes: &[&'static str]) -> (Culprit, Vec<&'static str>) {
    (Culprit::Untrusted, codes.to_vec())
}

#[test]
fn blackwell_is_judged_by_manifests_of_its_own() {
    let world = World::new(41, NOW);
    let blackwell = DeviceModel::blackwell();
    let rims = |product: &str| {
        let of = |options: RimOptions| RimOptions { product: product.to_owned(), ..options };
        world.gpu_rims().map(|options| world.rim_signer().rim(&of(options))).to_vec()
    };
    for chip in [None, Some("GB100")] {
        let verdict = verify_as(&blackwell, &rims("GB100"), |options| options.chip_info = chip.map(str::to_owned));
        let claims = verdict.unwrap().claims().clone();
        assert_eq!(claims.chip_family.as_ref().map(|family| family.0.as_str()), Some("GB100"));
        let values = claims.nvidia.unwrap().reference_values;
        assert_eq!(values.status(), ReferenceStatus::Matched);
        let ids: Vec<&str> = values.applied.iter().filter_map(|rim| rim.id.as_deref()).collect();
        assert_eq!(ids, ["NV_GPU_CC_DRIVER_GB100_590.12-simulated", "NV_GPU_VBIOS_SIM_000_SIM_9600000000"]);
    }
    // A Hopper-style id answers with a validly signed manifest of Hopper: it is another product's.
    assert_eq!(found(verify_as(&blackwell, &rims("GH100"), |_| {})), untrusted(&["rim-product"; 2]));
    assert_eq!(found(verify_as(&DeviceModel::hopper(), &rims("GB100"), |_| {})), untrusted(&["rim-product"; 2]));
    // A chip that no id can hold has none.
    for chip in ["GB1000", "gb100", "../../x", ""] {
        let verdict = verify_as(&blackwell, &[], |options| options.chip_info = Some(chip.to_owned()));
        let missing = verdict.unwrap().claims().nvidia.clone().unwrap().reference_values.missing;
        assert_eq!((missing[0].id.as_deref(), missing[1].id.is_some()), (None, true), "{chip:?}");
    }
}

#[test]
fn chains_of_unknown_chips_are_unsupported_and_misnamed_ones_untrusted() {
    let named = |chip: &str| DeviceModel { chip: chip.to_owned(), ..DeviceModel::blackwell() };
    let unknown = found(verify_as(&named("GB202"), &[], |_| {}));
    assert_eq!(unknown, (Culprit::Unsupported, vec!["gpu-family-unknown"]));
    // Only a chain that holds makes an unknown chip lawful.
    let world = World::new(42, NOW);
    let gpu = world.gpu_of(&named("GB202"), 0, 0);
    let raw = RawEvidence { body: &gpu.report(NONCE), certificates: gpu.certificates() };
    let error = verify(&EvidenceKind::new("nvidia-gpu"), raw, &[], &anchors_of(&World::new(41, NOW)), NOW).unwrap_err();
    assert_eq!((error.culprit(), error.code()), (Culprit::Untrusted, "unknown-root"));
    assert_eq!(found(verify_as(&named("gb100"), &[], |_| {})), untrusted(&["gpu-chain-names"]));
    let switch = found(verify_as(&DeviceModel::switch(), &[], |_| {}));
    assert_eq!(switch, untrusted(&["gpu-chain-names"]));
    let prefix = DeviceModel { pdi_prefix: 0x50, ..DeviceModel::hopper() };
    assert_eq!(found(verify_as(&prefix, &[], |_| {})), untrusted(&["gpu-pdi"]));
    // A switch's chip below the GPU's processor, and a GPU's chip under a switch's identity, are neither.
    let mixed = DeviceModel { processor: "GSP".to_owned(), ..DeviceModel::switch() };
    let mixed = found(verify_as(&mixed, &[], |options| options.fwid = None));
    assert_eq!(mixed, (Culprit::Unsupported, vec!["gpu-family-unknown"]));
}

#[test]
fn firmware_ids_are_where_their_family_has_them_or_not_reported() {
    for fwid in [FwidForm::Hopper, FwidForm::Dice] {
        let model = DeviceModel { fwid, ..DeviceModel::hopper() };
        assert!(verify_as(&model, &[], |_| {}).unwrap().claims().nvidia.as_ref().unwrap().fwid.is_some());
        let other = found(verify_as(&model, &[], |options| options.fwid = Some([1; 48])));
        assert_eq!(other, untrusted(&["gpu-fwid-differs"]));
    }
    let missing = DeviceModel { fwid: FwidForm::Missing, ..DeviceModel::hopper() };
    assert_eq!(found(verify_as(&missing, &[], |_| {})), untrusted(&["gpu-fwid-unknown"]));
    let old = verify_as(&missing, &[], |options| options.fwid = None).unwrap();
    assert_eq!(old.claims().not_checked[0].code, "gpu-fwid");
}

#[test]
fn versions_from_reports_meet_minima_of_a_policy() {
    let claims = Scene::new().claims();
    let driver = claims.gpu().unwrap().driver_version.clone().unwrap();
    let least = |text: &str| Requirement::AtLeast(FirmwareVersion(text.to_owned())).is_met_by(Some(&driver));
    // The version of no real driver has a word in it: it is neither less nor more than any.
    assert!(!least("1.0") && !least("999.0"));
    let vbios = claims.vbios_version.unwrap();
    let least = |text: &str| Requirement::AtLeast(FirmwareVersion(text.to_owned())).is_met_by(Some(&vbios));
    assert!(least("96.00.00.00.00") && least("95.FF.00.00.00") && !least("96.00.00.00.01"));
}
