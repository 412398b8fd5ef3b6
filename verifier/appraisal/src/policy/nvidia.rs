//! **Duty.** The rules about NVIDIA GPUs and switches: reference values, firmware identity, revocation, protected PCIe,
//! versions. A measurement that differs and a certificate on hold are looked at first. **Knows** claims. **Does not
//! know** reports, manifests or responders. **Spec.** EVIDENCE §1.3–1.9, docs/decisions/0031.

use weighbridge_attest_types::{
    Culprit, GpuVersionRules, Grade, MeasurementDifference, NvidiaClaims, NvidiaRules, NvidiaStatus, PlatformClaims,
};

use super::rules::{Rules, reason, together};

const CODE: &str = "policy-nvidia";
const MEASUREMENTS: &str = "policy-gpu-measurements";

/// A certificate on hold is not trusted, unless policy says so: what fails here is not liked later, it is not believed.
const HOLD: &str = "policy-nvidia-hold";

/// Whose fault it is that a rule is not met.
pub(crate) fn culprit(code: &str) -> Culprit {
    match code {
        HOLD => Culprit::Untrusted,
        _ => Culprit::Rejected,
    }
}

/// Anchors that reference values hang on, beside the device's own.
pub(crate) fn reference_anchors(claims: &PlatformClaims) -> impl Iterator<Item = (Grade, &str)> {
    let applied = claims.nvidia.iter().flat_map(|nvidia| &nvidia.reference_values.applied);
    applied.map(|rim| (rim.grade, rim.anchor.as_str()))
}

/// Every rule; claims of NVIDIA's kinds always carry the answers.
pub(super) fn apply(wanted: &NvidiaRules, rules: &mut Rules<'_>) {
    let NvidiaRules {
        reference_values,
        firmware_identity,
        revocation_status,
        certificate_hold,
        protected_pcie,
        gh100: _,
        gb100: _,
        ls10_bios,
    } = wanted;
    let Some(claims) = rules.claims().nvidia.as_deref() else {
        return rules.refuse(CODE, "claims of NVIDIA", "the evidence has none of the claims of NVIDIA's kinds");
    };
    refuse_mismatch(claims, rules);
    let compared = claims.reference_values.is_complete();
    let rule = "comparison with reference values";
    rules.apply("policy-gpu-reference-values", rule, reference_values, Some(&compared));
    let identified = claims.fwid.is_some();
    rules.apply(CODE, "comparison of the firmware identity", firmware_identity, Some(&identified));
    let known = claims.revocation.open.is_empty();
    rules.apply(CODE, "known revocation status", revocation_status, Some(&known));
    let held = !claims.revocation.held.is_empty();
    rules.apply(HOLD, "certificate on hold", certificate_hold, Some(&held));
    let Some(gpu) = claims.gpu() else {
        return rules.apply(CODE, "switch BIOS", ls10_bios, claims.vbios_version.as_ref());
    };
    let protected = gpu.protected_pcie.map(|status| status == NvidiaStatus::On);
    rules.apply(CODE, "protected PCIe", protected_pcie, protected.as_ref());
    for GpuVersionRules { driver, vbios } in versions(wanted, rules.claims()) {
        rules.apply(CODE, "driver", driver, gpu.driver_version.as_ref());
        rules.apply(CODE, "VBIOS", vbios, claims.vbios_version.as_ref());
    }
}

/// A scheme names no other family than these; one that did would be held to both.
fn versions<'a>(wanted: &'a NvidiaRules, claims: &PlatformClaims) -> Vec<&'a GpuVersionRules> {
    match claims.chip_family.as_ref().map(|family| family.0.as_str()) {
        Some("GH100") => vec![&wanted.gh100],
        Some("GB100") => vec![&wanted.gb100],
        _ => vec![&wanted.gh100, &wanted.gb100],
    }
}

/// No rule waives this: a manifest was given, and the firmware is not what it says.
fn refuse_mismatch(claims: &NvidiaClaims, rules: &mut Rules<'_>) {
    let differences = &claims.reference_values.differences;
    if !differences.is_empty() {
        let each: Vec<String> = differences.iter().map(shown).collect();
        let what = format!("measurements differ from the vendor's manifest: {}", each.join("; "));
        rules.refuse(MEASUREMENTS, "measurements", &what);
    }
}

/// One index in words, with the beginning of both values: enough to find them again.
fn shown(difference: &MeasurementDifference) -> String {
    const SHOWN_BYTES: usize = 8;
    let MeasurementDifference { index, slot, allowed, found, known_cause } = difference;
    let start = |value: &[u8; 48]| format!("{}…", hex::encode(value.get(..SHOWN_BYTES).unwrap_or_default()));
    let found = found.as_ref().map_or_else(|| "nothing".to_owned(), start);
    let allowed: Vec<String> = allowed.iter().map(start).collect();
    let cause = known_cause.map_or_else(String::new, |cause| format!(" ({cause})"));
    format!("index {index} ({}) is {found}, allowed {}{cause}", slot.as_str(), allowed.join(" or "))
}

pub(super) fn waivers(rules: &NvidiaRules) -> Vec<(String, &str)> {
    let NvidiaRules {
        reference_values,
        firmware_identity,
        revocation_status,
        certificate_hold,
        protected_pcie,
        gh100,
        gb100,
        ls10_bios,
    } = rules;
    let rules = [
        ("reference values", reason(reference_values)),
        ("firmware identity", reason(firmware_identity)),
        ("revocation status", reason(revocation_status)),
        ("certificates on hold", reason(certificate_hold)),
        ("protected PCIe", reason(protected_pcie)),
        ("driver of GH100", reason(&gh100.driver)),
        ("VBIOS of GH100", reason(&gh100.vbios)),
        ("driver of GB100", reason(&gb100.driver)),
        ("VBIOS of GB100", reason(&gb100.vbios)),
        ("BIOS of LS10", reason(ls10_bios)),
    ];
    together("NVIDIA", rules.map(|(rule, reason)| (rule.to_owned(), reason)))
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{
        AppraisalPolicy, EvidenceKind, GpuFacts, MissingRim, NvidiaPart, ReferenceValues, Requirement, RimSlot,
    };

    use super::super::accelerator_rules;
    use super::super::tests::{gpu, version};
    use super::*;

    fn codes(claims: &PlatformClaims, change: impl FnOnce(&mut NvidiaRules)) -> Vec<&'static str> {
        let mut policy = AppraisalPolicy::built_in();
        change(&mut policy.nvidia);
        accelerator_rules(claims, &policy).unmet().iter().map(|failure| failure.code).collect()
    }

    fn waived<T>() -> Requirement<T> {
        Requirement::Waived { reason: "for a test".to_owned() }
    }

    fn difference(index: u8) -> MeasurementDifference {
        let (allowed, known_cause) = (vec![[1; 48], [2; 48]], Some("known"));
        MeasurementDifference { index, slot: RimSlot::Vbios, allowed, found: Some([9; 48]), known_cause }
    }

    #[test]
    fn reference_values_are_required_unless_waived_and_a_mismatch_never_is() {
        assert_eq!(codes(&gpu(|_| {}), |_| {}), [""; 0]);
        let missing = |claims: &mut NvidiaClaims| {
            claims.reference_values.missing = vec![MissingRim { slot: RimSlot::Driver, id: None }];
        };
        assert_eq!(codes(&gpu(missing), |_| {}), ["policy-gpu-reference-values"]);
        assert_eq!(codes(&gpu(missing), |rules| rules.reference_values = waived()), [""; 0]);
        let nothing = |claims: &mut NvidiaClaims| claims.reference_values = ReferenceValues::default();
        assert_eq!(codes(&gpu(nothing), |_| {}), ["policy-gpu-reference-values"]);
        let differs = |claims: &mut NvidiaClaims| claims.reference_values.differences = vec![difference(9)];
        assert_eq!(codes(&gpu(differs), |_| {}), ["policy-gpu-measurements"]);
        let both = gpu(|claims| {
            missing(claims);
            differs(claims);
        });
        assert_eq!(codes(&both, |_| {}), ["policy-gpu-measurements", "policy-gpu-reference-values"]);
        assert_eq!(codes(&both, |rules| rules.reference_values = waived()), ["policy-gpu-measurements"]);
    }

    #[test]
    fn every_differing_index_is_named_with_both_values_and_its_known_cause() {
        let claims = gpu(|claims| claims.reference_values.differences = vec![difference(9), difference(52)]);
        let failures = accelerator_rules(&claims, &AppraisalPolicy::built_in()).unmet();
        let index = |index: u8| {
            format!(
                "index {index} (VBIOS) is 0909090909090909…, allowed 0101010101010101… or 0202020202020202… (known)"
            )
        };
        let start = "nvidia-gpu abababababababab: measurements differ from the vendor's manifest";
        assert_eq!(failures[0].message, format!("{start}: {}; {}", index(9), index(52)));
    }

    #[test]
    fn a_held_certificate_is_not_trusted_and_only_a_waiver_lets_it_pass() {
        let held = gpu(|claims| claims.revocation.held = vec!["NVIDIA GH100 Provisioner ICA 1".to_owned()]);
        assert_eq!(codes(&held, |_| {}), [HOLD]);
        assert_eq!((culprit(HOLD), culprit("policy-gpu-measurements")), (Culprit::Untrusted, Culprit::Rejected));
        assert_eq!(codes(&held, |rules| rules.certificate_hold = waived()), [""; 0]);
        assert_eq!(codes(&held, |rules| rules.certificate_hold = Requirement::OneOf(vec![false, true])), [""; 0]);
    }

    #[test]
    fn each_rule_about_gpus_can_fail_by_itself() {
        let failing: [&dyn Fn(&mut NvidiaRules); 5] = [
            &|rules| rules.revocation_status = Requirement::Equals(true),
            &|rules| rules.firmware_identity = Requirement::Equals(true),
            &|rules| rules.protected_pcie = Requirement::Equals(true),
            &|rules| rules.gh100.driver = Requirement::AtLeast(version("550.144.03")),
            &|rules| rules.gh100.vbios = Requirement::OneOf(vec![version("96.00.A5.00.01")]),
        ];
        let claims = gpu(|claims| {
            claims.revocation.open = vec!["x".to_owned()];
            claims.fwid = None;
        });
        for change in failing {
            assert_eq!(codes(&claims, change), ["policy-nvidia"]);
        }
        let good = gpu(|_| {});
        let all = |rules: &mut NvidiaRules| {
            rules.revocation_status = Requirement::Equals(true);
            rules.firmware_identity = Requirement::Equals(true);
            rules.protected_pcie = Requirement::Equals(false);
            rules.gh100.driver = Requirement::AtLeast(version("550.54.14"));
            rules.gh100.vbios = Requirement::OneOf(vec![version("96.00.9f.00.01")]);
            rules.gb100.vbios = Requirement::AtLeast(version("97.00.00.00.00"));
            rules.ls10_bios = Requirement::OneOf(vec![]);
        };
        assert_eq!(codes(&good, all), [""; 0]);
        // What firmware does not report meets only a waiver, and a byte without a meaning is not "on".
        for status in [None, Some(NvidiaStatus::Other(1))] {
            let odd = gpu(|claims| {
                claims.part = NvidiaPart::Gpu(Box::new(GpuFacts { protected_pcie: status, ..GpuFacts::default() }));
            });
            let wants = |rules: &mut NvidiaRules| rules.protected_pcie = Requirement::Equals(true);
            assert_eq!(codes(&odd, wants), ["policy-nvidia"]);
        }
    }

    #[test]
    fn switches_have_a_bios_and_strangers_have_no_claims() {
        let switch = |claims: &mut NvidiaClaims| {
            claims.part = NvidiaPart::Switch(Box::default());
            claims.vbios_version = Some(version("96.10.55.00.01"));
        };
        let claims = PlatformClaims { kind: EvidenceKind::new("nvidia-nvswitch"), ..gpu(switch) };
        let least = |text: &str| {
            let wanted = Requirement::AtLeast(version(text));
            codes(&claims, |rules| rules.ls10_bios = wanted)
        };
        assert_eq!((least("96.10.55.00.00"), least("96.10.56.00.00")), (vec![], vec!["policy-nvidia"]));
        let stranger = PlatformClaims { nvidia: None, ..gpu(|_| {}) };
        assert_eq!(codes(&stranger, |rules| rules.reference_values = waived()), ["policy-nvidia"]);
        // An unknown family is held to the rules of all.
        let unknown = PlatformClaims { chip_family: None, ..gpu(|_| {}) };
        let newer = |rules: &mut NvidiaRules| rules.gb100.vbios = Requirement::AtLeast(version("97.00.00.00.00"));
        assert_eq!(codes(&unknown, newer), ["policy-nvidia"]);
    }

    #[test]
    fn an_accelerator_that_admits_debugging_is_refused() {
        let debugged = PlatformClaims { debug: Some(true), ..gpu(|_| {}) };
        assert_eq!(codes(&debugged, |_| {}), ["policy-debug"]);
    }

    #[test]
    fn reference_values_have_anchors_of_their_own() {
        let claims = gpu(|_| {});
        let anchors: Vec<_> = reference_anchors(&claims).collect();
        assert_eq!(anchors, [(Grade::Attested, "rim root"); 2]);
    }
}
