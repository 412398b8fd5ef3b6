//! **Duty.** The rules about NVIDIA GPUs and switches: reference values, firmware identity, revocation, protected PCIe,
//! versions. A measurement that differs and a certificate on hold are looked at first. **Knows** claims. **Does not
//! know** reports, manifests or responders. **Spec.** EVIDENCE §1.3–1.9, docs/decisions/0031.

use std::collections::BTreeMap;

use weighbridge_attest_types::{
    Culprit, GpuVersionRules, Grade, MeasurementDifference, NvidiaClaims, NvidiaRules, NvidiaStatus, PlatformClaims,
};

use super::{Failure, Rules, reason};

/// A certificate on hold is not trusted, unless policy says so: what fails here is not liked later, it is not believed.
const HOLD: &str = "policy-nvidia-hold";

/// Whose fault it is that a rule is not met.
pub(super) fn culprit(code: &str) -> Culprit {
    match code {
        HOLD => Culprit::Untrusted,
        _ => Culprit::Rejected,
    }
}

/// Anchors that reference values hang on, beside the device's own.
pub(super) fn reference_anchors(claims: &PlatformClaims) -> impl Iterator<Item = (Grade, &str)> {
    let applied = claims.nvidia.iter().flat_map(|nvidia| &nvidia.reference_values.applied);
    applied.map(|rim| (rim.grade, rim.anchor.as_str()))
}

impl Rules<'_> {
    /// Every rule; claims of NVIDIA's kinds always carry the answers.
    pub(super) fn apply_nvidia(&mut self, rules: &NvidiaRules) {
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
        let Some(claims) = self.claims.nvidia.as_deref() else {
            let message = format!("{}: the evidence has none of the claims of its kind", self.claims.kind);
            self.failures.push(Failure { code: "policy-nvidia", message });
            return;
        };
        self.refuse_mismatch(claims);
        let compared = claims.reference_values.is_complete();
        self.apply(
            "policy-gpu-reference-values",
            "comparison with reference values",
            reference_values,
            Some(&compared),
        );
        self.apply(
            "policy-nvidia",
            "comparison of the firmware identity",
            firmware_identity,
            Some(&claims.fwid.is_some()),
        );
        let known = claims.revocation.open.is_empty();
        self.apply("policy-nvidia", "known revocation status", revocation_status, Some(&known));
        let held = !claims.revocation.held.is_empty();
        self.apply(HOLD, "certificate on hold", certificate_hold, Some(&held));
        let vbios = claims.vbios_version.as_ref();
        let Some(gpu) = claims.gpu() else {
            self.apply("policy-nvidia", "switch BIOS", ls10_bios, vbios);
            return;
        };
        let protected = gpu.protected_pcie.map(|status| status == NvidiaStatus::On);
        self.apply("policy-nvidia", "protected PCIe", protected_pcie, protected.as_ref());
        let family = self.claims.chip_family.as_ref().map(|family| family.0.as_str());
        // A scheme names no other family; one that did would be held to both.
        let versions: Vec<&GpuVersionRules> = match family {
            Some("GH100") => vec![gh100],
            Some("GB100") => vec![gb100],
            _ => vec![gh100, gb100],
        };
        for GpuVersionRules { driver, vbios: wanted } in versions {
            self.apply("policy-nvidia", "driver", driver, gpu.driver_version.as_ref());
            self.apply("policy-nvidia", "VBIOS", wanted, vbios);
        }
    }

    /// No rule waives this: a manifest was given, and the firmware is not what it says.
    fn refuse_mismatch(&mut self, claims: &NvidiaClaims) {
        let differences = &claims.reference_values.differences;
        if differences.is_empty() {
            return;
        }
        let each: Vec<String> = differences.iter().map(shown).collect();
        let (device, kind) = (self.device(), &self.claims.kind);
        let message = format!("{kind} {device}: measurements differ from the vendor's manifest: {}", each.join("; "));
        self.failures.push(Failure { code: "policy-gpu-measurements", message });
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

/// Those of one reason stand together.
pub(super) fn waivers(rules: &NvidiaRules) -> BTreeMap<&str, Vec<String>> {
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
    let mut waived: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (rule, reason) in rules {
        if let Some(reason) = reason {
            waived.entry(reason).or_default().push(rule.to_owned());
        }
    }
    waived
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{
        AppliedRim, AppraisalPolicy, BoundValue, ChipFamily, Device, Digest32, EvidenceKind, FirmwareVersion, GpuFacts,
        MissingRim, NvidiaPart, NvidiaRevocation, Pdi, ReferenceValues, Requirement, RimSlot, UnixMillis,
    };

    use super::super::accelerator_failures;
    use super::*;

    fn version(text: &str) -> FirmwareVersion {
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

    fn gpu(change: impl FnOnce(&mut NvidiaClaims)) -> PlatformClaims {
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
            nvidia: Some(Box::new(claims)),
        }
    }

    fn codes(claims: &PlatformClaims, change: impl FnOnce(&mut NvidiaRules)) -> Vec<&'static str> {
        let mut policy = AppraisalPolicy::built_in();
        change(&mut policy.nvidia);
        accelerator_failures(claims, &policy).iter().map(|failure| failure.code).collect()
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
        let failures = accelerator_failures(&claims, &AppraisalPolicy::built_in());
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
