//! **Duty.** Chooses the manifests that are for a report's firmware, holds the measurements against them, and says what
//! differs. **Knows** ids, products, versions. **Does not know** policy: a difference is a claim here, and a missing
//! manifest too. **Spec.** EVIDENCE §1.4, §1.6.

use std::collections::BTreeMap;

use weighbridge_attest_types::{
    AppliedRim, CertificateAnchor, FirmwareVersion, MeasurementDifference, MissingRim, NvidiaPart, ReferenceValues,
    RimSlot,
};

use super::endorsement::Given;
use super::part::{Family, Part};
use super::report::{Measurement, MeasurementReport};
use super::rim::{Rim, is_plain};
use crate::budget::MAX_RIM_CANDIDATES;
use crate::error::Failure;
use crate::x509::Window;

/// The one index that a switched-off decoder leaves without meaning.
const NVDEC0_INDEX: u8 = 35;
/// What NVIDIA's service calls every switch BIOS: project, project SKU, chip SKU.
const SWITCH_BIOS: &str = "NV_SWITCH_BIOS_5612_0002_890";
/// The chip of Blackwell firmware that does not name one (field 35).
const DEFAULT_BLACKWELL: &str = "GB100";

/// What is known to cause a difference at an index. Sources: EVIDENCE §1.6 (9, 35); users' reports (52).
const KNOWN_CAUSES: [(u8, &str); 3] = [
    (9, "an older manifest of this version may lack a value that later ones have: fetch it anew"),
    (NVDEC0_INDEX, "firmware of video decoder 0, which this GPU does not report as off"),
    (52, "seen after confidential mode was switched off and on again; a reboot of the host cured it"),
];

/// The outcome, and the manifests that it rests on.
#[derive(Debug)]
pub(super) struct Compared<'e> {
    pub(super) values: ReferenceValues,
    pub(super) rims: Vec<&'e Rim>,
}

/// A manifest that a report's firmware needs.
struct Needed<'r> {
    slot: RimSlot,
    version: Option<&'r FirmwareVersion>,
    id: Option<String>,
}

/// A manifest that holds.
struct Applied<'e> {
    slot: RimSlot,
    rim: &'e Rim,
}

/// Holds a report whose signature was checked against what was given. Anything wrong with a manifest for this firmware
/// is a failure; nothing given is a gap.
pub(super) fn compare<'e>(
    report: &MeasurementReport<'_>,
    part: Part,
    family: &Family,
    given: &Given<'e>,
    anchors: &[CertificateAnchor],
    window: &mut Window,
) -> Result<Compared<'e>, Vec<Failure>> {
    let (mut values, mut failures, mut applied) = (ReferenceValues::default(), Vec::new(), Vec::new());
    for Needed { slot, version, id } in needed(report, part, family) {
        match choose(part, family, version, given, anchors, window) {
            Ok(Some((rim, anchor))) => {
                let version = rim.values.version.clone();
                let (anchor, grade) = (anchor.name.clone(), anchor.grade);
                values.applied.push(AppliedRim { slot, id, version, anchor, grade });
                applied.push(Applied { slot, rim });
            }
            Ok(None) => values.missing.push(MissingRim { slot, id }),
            Err(found) => failures.extend(found),
        }
    }
    // What was handed over for this report and is for another endorses something else.
    if given.addressed && !values.missing.is_empty() {
        let unused = given.rims.iter().filter(|rim| !applied.iter().any(|used| used.rim.digest == rim.digest));
        failures.extend(unused.flat_map(|rim| why_not(rim, part, family, anchors, window)));
    }
    match golden(&applied) {
        Ok(golden) if failures.is_empty() => hold(report, &golden, &mut values),
        Ok(_) => return Err(failures),
        Err(failure) => {
            failures.push(failure);
            return Err(failures);
        }
    }
    Ok(Compared { values, rims: applied.into_iter().map(|applied| applied.rim).collect() })
}

fn needed<'r>(report: &'r MeasurementReport<'_>, part: Part, family: &Family) -> Vec<Needed<'r>> {
    let opaque = report.opaque();
    let vbios = opaque.vbios_version.as_ref();
    let joined = |words: &[Option<&str>]| {
        let words: Option<Vec<&str>> = words.iter().copied().collect();
        words.filter(|words| words.iter().all(|word| is_plain(word))).map(|words| words.join("_"))
    };
    let compact = vbios.map(|version| version.as_str().replace('.', "").to_uppercase());
    match (part, &opaque.part) {
        (Part::Gpu, NvidiaPart::Gpu(gpu)) => {
            let driver = gpu.driver_version.as_ref();
            let chip = gpu.chip_info.as_deref().unwrap_or(DEFAULT_BLACKWELL);
            let word = driver.map(FirmwareVersion::as_str);
            let driver_id = match family.in_manifests {
                "GH100" => joined(&[Some("NV_GPU_DRIVER_GH100"), word]),
                _ if is_chip(chip) => joined(&[Some("NV_GPU_CC_DRIVER"), Some(chip), word]),
                _ => None,
            };
            let board = [gpu.project.as_deref(), gpu.project_sku.as_deref(), gpu.chip_sku.as_deref()];
            let vbios_id = joined(&[&[Some("NV_GPU_VBIOS")], &board[..], &[compact.as_deref()]].concat());
            vec![
                Needed { slot: RimSlot::Driver, version: driver, id: driver_id },
                Needed { slot: RimSlot::Vbios, version: vbios, id: vbios_id },
            ]
        }
        _ => {
            let id = joined(&[Some(SWITCH_BIOS), compact.as_deref()]);
            vec![Needed { slot: RimSlot::SwitchBios, version: vbios, id }]
        }
    }
}

/// Two letters, three digits: what may stand in an id as a chip.
fn is_chip(chip: &str) -> bool {
    let (letters, digits) = chip.split_at_checked(2).unwrap_or_default();
    digits.len() == 3
        && letters.bytes().all(|byte| byte.is_ascii_uppercase())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a manifest is for this firmware.
fn fits(rim: &Rim, part: Part, family: &Family, version: Option<&FirmwareVersion>) -> bool {
    rim.values.part == part && rim.values.product == family.in_manifests && version == Some(&rim.values.version)
}

/// Among those for one version, the one that was signed last and holds: later ones may have taken a value back.
fn choose<'e, 'a>(
    part: Part,
    family: &Family,
    version: Option<&FirmwareVersion>,
    given: &Given<'e>,
    anchors: &'a [CertificateAnchor],
    window: &mut Window,
) -> Result<Option<(&'e Rim, &'a CertificateAnchor)>, Vec<Failure>> {
    let fitting = given.rims.iter().copied().filter(|rim| fits(rim, part, family, version));
    let mut candidates: Vec<(u64, &Rim)> = fitting.map(|rim| (rim.signed_from(), rim)).collect();
    candidates.sort_by_key(|(from, rim)| (std::cmp::Reverse(*from), rim.digest));
    if candidates.len() > MAX_RIM_CANDIDATES {
        let message = format!("{} manifests of one version were given, over {MAX_RIM_CANDIDATES}", candidates.len());
        return Err(vec![Failure::new("rim-too-many", message)]);
    }
    let mut failures = Vec::new();
    for (_, rim) in candidates {
        let mut alone = Window::new(window.now());
        match rim.check(anchors, &mut alone) {
            Ok(anchor) => {
                window.narrow(&alone);
                return Ok(Some((rim, anchor)));
            }
            Err(found) => failures.extend(found),
        }
    }
    if failures.is_empty() { Ok(None) } else { Err(failures) }
}

/// What is wrong with a manifest that is for another report.
fn why_not(rim: &Rim, part: Part, family: &Family, anchors: &[CertificateAnchor], window: &Window) -> Vec<Failure> {
    if let Err(failures) = rim.check(anchors, &mut Window::new(window.now())) {
        return failures;
    }
    let failure = match rim.values.part == part && rim.values.product == family.in_manifests {
        true => Failure::new("rim-version", "it is for another version of the firmware than the report names"),
        false => Failure::new("rim-product", "it is for another product than the certificates name"),
    };
    vec![rim.named(&failure)]
}

type Golden<'e> = BTreeMap<u8, (RimSlot, &'e [Measurement])>;

/// All active indexes. None may be active twice: two manifests would contradict each other.
fn golden<'e>(applied: &[Applied<'e>]) -> Result<Golden<'e>, Failure> {
    let mut golden = BTreeMap::new();
    for Applied { slot, rim } in applied {
        for (index, allowed) in &rim.values.golden {
            if golden.insert(*index, (*slot, allowed.as_slice())).is_some() {
                let message = format!("measurement {index} is active in two manifests");
                return Err(Failure::new("rim-index-twice", message));
            }
        }
    }
    Ok(golden)
}

/// Each active index must be one of its alternatives.
fn hold(report: &MeasurementReport<'_>, golden: &Golden<'_>, values: &mut ReferenceValues) {
    let skip_nvdec0 = report.opaque().nvdec0_is_off();
    for (&index, &(slot, allowed)) in golden.iter().filter(|(index, _)| !(skip_nvdec0 && **index == NVDEC0_INDEX)) {
        let found = report.measurements().get(usize::from(index)).copied();
        if found.is_some_and(|found| allowed.contains(&found)) {
            values.matched = values.matched.saturating_add(1);
            continue;
        }
        let known_cause = KNOWN_CAUSES.iter().find(|(at, _)| *at == index).map(|(_, cause)| *cause);
        let allowed = allowed.to_vec();
        values.differences.push(MeasurementDifference { index, slot, allowed, found, known_cause });
    }
}
