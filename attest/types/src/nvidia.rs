//! **Duty.** What a report of an NVIDIA GPU or NVSwitch says beyond the claims that all TEEs share, and what it was held
//! against: reference values and revocation. **Does not know** bytes of a report, keys, certificates or manifests, nor
//! whether anybody likes it (`nvidia_rules`). **Spec.** EVIDENCE §1.2–1.9.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Grade;

/// Most parts of a version that are compared. Source: ours; NVIDIA's have five.
const MAX_VERSION_PARTS: usize = 8;
/// Most digits of one part: a `u32` in hexadecimal.
const MAX_PART_DIGITS: usize = 8;

/// Per-device identifier, in the byte order of the BROM certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pdi(pub [u8; 8]);

impl Pdi {
    /// The other byte order: GPUs list their switches in it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self(u64::from_be_bytes(self.0).to_le_bytes())
    }
}

impl fmt::Display for Pdi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Version of a driver (`550.90.07`) or of a VBIOS (`96.00.9F.00.01`). Equal without regard to case. Ordered part by
/// part as numbers, a missing part being 0. Parts are read as hexadecimal, which orders decimal numbers as well; a
/// version with any other part is neither less nor more than another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FirmwareVersion(pub String);

impl FirmwareVersion {
    /// As it stands in the report or in the policy.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> Option<[u32; MAX_VERSION_PARTS]> {
        let mut parts = [0; MAX_VERSION_PARTS];
        for (index, text) in self.0.split('.').enumerate() {
            let plain = text.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !plain || text.len() > MAX_PART_DIGITS {
                return None;
            }
            *parts.get_mut(index)? = u32::from_str_radix(text, 16).ok()?;
        }
        Some(parts)
    }
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for FirmwareVersion {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for FirmwareVersion {}

impl PartialOrd for FirmwareVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        // Two spellings of one number are not the same version, and none of them is the lower one.
        self.parts()?.partial_cmp(&other.parts()?).filter(|order| order.is_ne())
    }
}

/// A switch of the firmware: 0xAA on, 0x55 off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NvidiaStatus {
    /// On.
    On,
    /// Off.
    Off,
    /// A byte without a published meaning: neither.
    Other(u8),
}

/// How GPUs are given to a VM (field 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NvidiaMode {
    /// One by one.
    SingleGpu,
    /// Several, passed through.
    MultiGpuPassthrough,
    /// Several with their switches, on a protected bus.
    ProtectedPcie,
    /// A number without a published meaning.
    Other(u16),
}

/// What only GPUs report. Older firmware leaves fields out: `None` is "not reported", never "off".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GpuFacts {
    /// Driver (field 3).
    pub driver_version: Option<FirmwareVersion>,
    /// Chip (field 35), such as `GB100`.
    pub chip_info: Option<String>,
    /// Board (field 14).
    pub board_id: Option<[u8; 4]>,
    /// Chip SKU (15).
    pub chip_sku: Option<String>,
    /// Modifier of the chip SKU (16).
    pub chip_sku_modifier: Option<String>,
    /// Project (17).
    pub project: Option<String>,
    /// Project SKU (18).
    pub project_sku: Option<String>,
    /// Modifier of the project SKU (19).
    pub project_sku_modifier: Option<String>,
    /// Video decoder 0 (11): off, its measurement says nothing.
    pub nvdec0: Option<NvidiaStatus>,
    /// Protected PCIe (21).
    pub protected_pcie: Option<NvidiaStatus>,
    /// How the GPU is given to the VM (36).
    pub mode: Option<NvidiaMode>,
    /// Switches behind its 18 links (22), as reported: byte-reversed against the switches' own words.
    pub switch_pdis: Vec<Pdi>,
}

/// What only switches report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchFacts {
    /// Its own identifier (22); the certificates say the same.
    pub pdi: Option<Pdi>,
    /// GPUs that it connects (26), as reported.
    pub gpu_pdis: Vec<Pdi>,
    /// Which GPU stands behind each of its ports (26).
    pub port_map: Vec<u8>,
    /// Ports that are switched off (23).
    pub disabled_ports: Option<u16>,
    /// Its place on the board (24).
    pub position: Option<u16>,
    /// Locked against changes (25): 1.
    pub lock_status: Option<u16>,
}

/// What a report says by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NvidiaPart {
    /// A GPU.
    Gpu(Box<GpuFacts>),
    /// An NVSwitch.
    Switch(Box<SwitchFacts>),
}

/// Which firmware a reference manifest (RIM) is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RimSlot {
    /// A GPU's driver, with the firmware that it loads.
    Driver,
    /// A GPU's VBIOS.
    Vbios,
    /// A switch's BIOS.
    SwitchBios,
}

impl RimSlot {
    /// The word that is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Vbios => "VBIOS",
            Self::SwitchBios => "switch BIOS",
        }
    }
}

/// A manifest that was given, holds, and was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedRim {
    /// What it is for.
    pub slot: RimSlot,
    /// The id under which NVIDIA's service has it; `None` where the report's words cannot make one.
    pub id: Option<String>,
    /// Version, as in the manifest.
    pub version: FirmwareVersion,
    /// Name of the anchor that it hangs on.
    pub anchor: String,
    /// Grade of that anchor.
    pub grade: Grade,
}

/// A manifest that is needed and was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRim {
    /// What it would be for.
    pub slot: RimSlot,
    /// The id under which NVIDIA's service would have it.
    pub id: Option<String>,
}

/// A measurement that is not what its manifest allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasurementDifference {
    /// Index as in manifests: 0 is the report's block 1.
    pub index: u8,
    /// Which manifest speaks of it.
    pub slot: RimSlot,
    /// What it allows.
    pub allowed: Vec<[u8; 48]>,
    /// What the report says; `None` when it has no such block.
    pub found: Option<[u8; 48]>,
    /// What is known to cause a difference here, as a sentence.
    pub known_cause: Option<&'static str>,
}

/// How the measurements compare with the vendor's reference values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceStatus {
    /// Every manifest that the firmware needs was given, and every measurement is one that it allows.
    Matched,
    /// A manifest was not given; what was given matches.
    Missing,
    /// Some measurement is not allowed, whatever else is missing.
    Mismatch,
}

/// Measurements held against reference values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReferenceValues {
    /// Manifests that were compared.
    pub applied: Vec<AppliedRim>,
    /// Manifests that were not given.
    pub missing: Vec<MissingRim>,
    /// Number of measurements that are as they should be.
    pub matched: usize,
    /// Those that are not, ascending by index.
    pub differences: Vec<MeasurementDifference>,
}

impl ReferenceValues {
    /// Whether every manifest that the firmware needs was given and compared. Nothing compared is nothing matched.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && (self.matched > 0 || !self.differences.is_empty())
    }

    /// One word for all of it.
    #[must_use]
    pub fn status(&self) -> ReferenceStatus {
        match (self.differences.is_empty(), self.is_complete()) {
            (false, _) => ReferenceStatus::Mismatch,
            (true, false) => ReferenceStatus::Missing,
            (true, true) => ReferenceStatus::Matched,
        }
    }

    /// The indexes that differ, ascending.
    #[must_use]
    pub fn mismatch_indexes(&self) -> Vec<u8> {
        self.differences.iter().map(|difference| difference.index).collect()
    }
}

/// What is known about revocation of the certificates below the roots. The device's own leaf is left out: nobody answers
/// for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NvidiaRevocation {
    /// Certificates with a current "not revoked".
    pub good: Vec<String>,
    /// Certificates about which nothing was given.
    pub open: Vec<String>,
    /// Certificates that their issuer holds for now: trusted only under a policy that says so.
    pub held: Vec<String>,
}

/// Claims of one report. A plain value; the scheme vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaClaims {
    /// From the BROM certificate.
    pub pdi: Pdi,
    /// Name of the BROM certificate, such as `GH100 A01 GSP BROM`.
    pub hw_model: String,
    /// Serial number of the leaf certificate, decimal.
    pub ueid: String,
    /// VBIOS (GPU) or BIOS (switch), as text (field 6).
    pub vbios_version: Option<FirmwareVersion>,
    /// Firmware identity (20); when present it is the leaf certificate's.
    pub fwid: Option<[u8; 48]>,
    /// Version of the fields' layout (34).
    pub opaque_version: Option<u16>,
    /// All measurements; position is the index as in manifests.
    pub measurements: Vec<[u8; 48]>,
    /// How often measurements were extended (12).
    pub extend_counters: Vec<u32>,
    /// Fields whose layout nobody published, by type, as received.
    pub uninterpreted: BTreeMap<u16, Vec<u8>>,
    /// What depends on the kind.
    pub part: NvidiaPart,
    /// Measurements against manifests.
    pub reference_values: ReferenceValues,
    /// Certificates against responders and lists.
    pub revocation: NvidiaRevocation,
}

impl NvidiaClaims {
    /// What a GPU says; `None` for a switch.
    #[must_use]
    pub const fn gpu(&self) -> Option<&GpuFacts> {
        match &self.part {
            NvidiaPart::Gpu(facts) => Some(facts),
            NvidiaPart::Switch(_) => None,
        }
    }

    /// What a switch says; `None` for a GPU.
    #[must_use]
    pub const fn switch(&self) -> Option<&SwitchFacts> {
        match &self.part {
            NvidiaPart::Gpu(_) => None,
            NvidiaPart::Switch(facts) => Some(facts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(left: &str, right: &str) -> Option<Ordering> {
        FirmwareVersion(left.to_owned()).partial_cmp(&FirmwareVersion(right.to_owned()))
    }

    #[test]
    fn versions_are_compared_part_by_part_as_numbers() {
        for (lower, higher) in [
            ("550.90.07", "550.144.03"),
            ("535.86.09", "550.90.07"),
            ("96.00.9F.00.01", "96.00.A5.00.01"),
            ("96.00.9f.00.01", "96.00.9F.00.0A"),
            ("590.12", "590.12.01"),
        ] {
            assert_eq!(order(lower, higher), Some(Ordering::Less), "{lower} {higher}");
            assert_eq!(order(higher, lower), Some(Ordering::Greater), "{higher} {lower}");
        }
        assert_eq!(order("96.00.9f.00.01", "96.00.9F.00.01"), Some(Ordering::Equal));
        for odd in ["590.12-dev", "", "590..12", "+1", "999999999.1", "1.2.3.4.5.6.7.8.9", "590.012", "590.12.0"] {
            assert_eq!((order(odd, "590.12"), order("590.12", odd)), (None, None), "{odd}");
        }
    }

    #[test]
    fn nothing_compared_is_nothing_matched_and_a_difference_outweighs_a_gap() {
        let difference = MeasurementDifference {
            index: 9,
            slot: RimSlot::Vbios,
            allowed: vec![[1; 48]],
            found: Some([2; 48]),
            known_cause: None,
        };
        let missing = vec![MissingRim { slot: RimSlot::Driver, id: None }];
        let mut values = ReferenceValues::default();
        assert_eq!(values.status(), ReferenceStatus::Missing);
        values.matched = 12;
        assert_eq!(values.status(), ReferenceStatus::Matched);
        values.missing = missing;
        assert_eq!(values.status(), ReferenceStatus::Missing);
        values.differences = vec![difference];
        assert_eq!((values.status(), values.mismatch_indexes()), (ReferenceStatus::Mismatch, vec![9]));
    }

    #[test]
    fn a_pdi_has_two_byte_orders() {
        let pdi = Pdi([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            (pdi.to_string(), pdi.reversed().to_string()),
            ("0102030405060708".into(), "0807060504030201".into())
        );
        assert_eq!(pdi.reversed().reversed(), pdi);
    }
}
