//! **Duty.** The opaque data of a report: types, lengths and what they mean, as claims. **Does not know** whether the
//! report is signed. **Spec.** EVIDENCE §1.2: any order, an unknown type is skipped, a type twice or an overrun is
//! malformed, a field that older firmware lacks is absent and not an error.

use std::collections::BTreeMap;

use weighbridge_attest_types::{FirmwareVersion, GpuFacts, NvidiaMode, NvidiaPart, NvidiaStatus, Pdi, SwitchFacts};

use super::part::Part;
use crate::budget::MAX_NVIDIA_TEXT_BYTES;
use crate::error::EvidenceError;
use crate::reader::Reader;

/// Links of a GPU, each with the switch behind it.
const GPU_LINKS: usize = 18;
/// GPUs that a switch connects.
const SWITCH_GPUS: usize = 8;
const PORT_MAP_BYTES: usize = 64;
const ON: u8 = 0xaa;
const OFF: u8 = 0x55;

/// Everything that the opaque data says.
#[derive(Debug)]
pub(super) struct OpaqueFields<'a> {
    raw: BTreeMap<u16, &'a [u8]>,
    /// VBIOS or BIOS.
    pub(super) vbios_version: Option<FirmwareVersion>,
    /// Firmware identity; absent in older firmware.
    pub(super) fwid: Option<[u8; 48]>,
    /// Version of the layout.
    pub(super) opaque_version: Option<u16>,
    /// How often each measurement was extended.
    pub(super) extend_counters: Vec<u32>,
    /// What depends on the kind.
    pub(super) part: NvidiaPart,
}

/// Types that have a layout, and those that are kept as they are.
mod field {
    pub(super) const DRIVER_VERSION: u16 = 3;
    pub(super) const VBIOS_VERSION: u16 = 6;
    pub(super) const NVDEC0_STATUS: u16 = 11;
    pub(super) const EXTEND_COUNTERS: u16 = 12;
    pub(super) const BOARD_ID: u16 = 14;
    pub(super) const CHIP_SKU: u16 = 15;
    pub(super) const CHIP_SKU_MODIFIER: u16 = 16;
    pub(super) const PROJECT: u16 = 17;
    pub(super) const PROJECT_SKU: u16 = 18;
    pub(super) const PROJECT_SKU_MODIFIER: u16 = 19;
    pub(super) const FWID: u16 = 20;
    pub(super) const PROTECTED_PCIE: u16 = 21;
    pub(super) const SWITCH_PDI: u16 = 22;
    pub(super) const DISABLED_PORTS: u16 = 23;
    pub(super) const POSITION: u16 = 24;
    pub(super) const LOCK_STATUS: u16 = 25;
    pub(super) const GPU_PDIS: u16 = 26;
    pub(super) const OPAQUE_VERSION: u16 = 34;
    pub(super) const CHIP_INFO: u16 = 35;
    pub(super) const FEATURE_FLAG: u16 = 36;
    /// GPU info, SKU, manufacturer, tamper, SMC, VPR, CPR, ports, link connections, system enable status.
    pub(super) const UNINTERPRETED: [u16; 10] = [4, 5, 7, 8, 9, 10, 13, 27, 32, 33];
}

impl<'a> OpaqueFields<'a> {
    /// Reads all fields and every one that has a layout.
    pub(super) fn parse(part: Part, bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let fields = Fields::split(part, bytes)?;
        let said = match part {
            Part::Gpu => NvidiaPart::Gpu(Box::new(fields.gpu()?)),
            Part::Switch => NvidiaPart::Switch(Box::new(fields.switch()?)),
        };
        Ok(Self {
            vbios_version: fields.vbios_version()?,
            fwid: fields.array(field::FWID, "the firmware identity")?,
            opaque_version: fields.number(field::OPAQUE_VERSION, "the version of the opaque data")?,
            extend_counters: fields.counters()?,
            part: said,
            raw: fields.all,
        })
    }

    /// Fields whose layout nobody published.
    pub(super) fn uninterpreted(&self) -> BTreeMap<u16, Vec<u8>> {
        let known = field::UNINTERPRETED.iter();
        known.filter_map(|kind| Some((*kind, self.raw.get(kind)?.to_vec()))).collect()
    }

    /// The firmware turned video decoder 0 off.
    pub(super) fn nvdec0_is_off(&self) -> bool {
        matches!(&self.part, NvidiaPart::Gpu(gpu) if gpu.nvdec0 == Some(NvidiaStatus::Off))
    }
}

/// Fields by type, each once.
struct Fields<'a> {
    part: Part,
    all: BTreeMap<u16, &'a [u8]>,
}

impl<'a> Fields<'a> {
    fn split(part: Part, bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let mut input = Reader::new(bytes, part.codes().report);
        let mut all = BTreeMap::new();
        while !input.rest().is_empty() {
            let kind = input.u16("an opaque field's type")?;
            let length = input.u16("an opaque field's length")?;
            let data = input.take(usize::from(length), "an opaque field")?;
            if all.insert(kind, data).is_some() {
                return Err(input.malformed(format!("opaque field {kind} appears twice")));
            }
        }
        Ok(Self { part, all })
    }

    fn gpu(&self) -> Result<GpuFacts, EvidenceError> {
        let mode = self.number(field::FEATURE_FLAG, "the feature flag")?.map(|flag| match flag {
            0 => NvidiaMode::SingleGpu,
            1 => NvidiaMode::MultiGpuPassthrough,
            2 => NvidiaMode::ProtectedPcie,
            other => NvidiaMode::Other(other),
        });
        Ok(GpuFacts {
            driver_version: self.text(field::DRIVER_VERSION, "the driver version")?.map(FirmwareVersion),
            chip_info: self.text(field::CHIP_INFO, "the chip info")?,
            board_id: self.array(field::BOARD_ID, "the board id")?,
            chip_sku: self.text(field::CHIP_SKU, "the chip SKU")?,
            chip_sku_modifier: self.text(field::CHIP_SKU_MODIFIER, "the chip SKU's modifier")?,
            project: self.text(field::PROJECT, "the project")?,
            project_sku: self.text(field::PROJECT_SKU, "the project SKU")?,
            project_sku_modifier: self.text(field::PROJECT_SKU_MODIFIER, "the project SKU's modifier")?,
            nvdec0: self.status(field::NVDEC0_STATUS, "the NVDEC0 status")?,
            protected_pcie: self.status(field::PROTECTED_PCIE, "the protected PCIe status")?,
            mode,
            switch_pdis: self
                .array(field::SWITCH_PDI, "the switch PDIs")?
                .map_or_else(Vec::new, pdis::<{ 8 * GPU_LINKS }>),
        })
    }

    fn switch(&self) -> Result<SwitchFacts, EvidenceError> {
        const BOTH: usize = 8 * SWITCH_GPUS + PORT_MAP_BYTES;
        let both: Option<[u8; BOTH]> = self.array(field::GPU_PDIS, "the GPU PDIs and the port map")?;
        let (gpu_pdis, port_map) = both.as_ref().and_then(|both| both.split_first_chunk()).map_or_else(
            || (Vec::new(), Vec::new()),
            |(first, ports)| (pdis::<{ 8 * SWITCH_GPUS }>(*first), ports.to_vec()),
        );
        Ok(SwitchFacts {
            pdi: self.array(field::SWITCH_PDI, "the switch's PDI")?.map(Pdi),
            gpu_pdis,
            port_map,
            disabled_ports: self.number(field::DISABLED_PORTS, "the disabled ports")?,
            position: self.number(field::POSITION, "the position")?,
            lock_status: self.number(field::LOCK_STATUS, "the lock status")?,
        })
    }

    /// A GPU has the first four bytes of its version in reverse, then the fifth; a switch has text already.
    fn vbios_version(&self) -> Result<Option<FirmwareVersion>, EvidenceError> {
        const WHAT: &str = "the VBIOS version";
        match self.part {
            Part::Switch => Ok(self.text(field::VBIOS_VERSION, WHAT)?.map(FirmwareVersion)),
            Part::Gpu => {
                let bytes: Option<[u8; 8]> = self.array(field::VBIOS_VERSION, WHAT)?;
                let text = bytes.map(|[d, c, b, a, e, ..]| format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"));
                Ok(text.map(FirmwareVersion))
            }
        }
    }

    fn counters(&self) -> Result<Vec<u32>, EvidenceError> {
        let data = self.all.get(&field::EXTEND_COUNTERS).copied().unwrap_or_default();
        let (counters, rest) = data.as_chunks::<4>();
        match rest {
            [] => Ok(counters.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()),
            _ => Err(self.malformed(format!("the extend counters have {} bytes", data.len()))),
        }
    }

    fn status(&self, kind: u16, what: &str) -> Result<Option<NvidiaStatus>, EvidenceError> {
        let byte: Option<[u8; 1]> = self.array(kind, what)?;
        Ok(byte.map(|byte| match byte {
            [ON] => NvidiaStatus::On,
            [OFF] => NvidiaStatus::Off,
            [other] => NvidiaStatus::Other(other),
        }))
    }

    fn number(&self, kind: u16, what: &str) -> Result<Option<u16>, EvidenceError> {
        Ok(self.array(kind, what)?.map(u16::from_le_bytes))
    }

    fn array<const N: usize>(&self, kind: u16, what: &str) -> Result<Option<[u8; N]>, EvidenceError> {
        let Some(data) = self.all.get(&kind) else { return Ok(None) };
        let wrong = || self.malformed(format!("{what} has {} bytes, not {N}", data.len()));
        <[u8; N]>::try_from(*data).map(Some).map_err(|_| wrong())
    }

    /// Printable ASCII up to the first zero byte, and zeros after it: the text stands in messages.
    fn text(&self, kind: u16, what: &str) -> Result<Option<String>, EvidenceError> {
        let Some(data) = self.all.get(&kind) else { return Ok(None) };
        let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (text, padding) = data.split_at_checked(end).unwrap_or_default();
        let printable = text.iter().all(|byte| (b' '..=b'~').contains(byte));
        if data.len() > MAX_NVIDIA_TEXT_BYTES || !printable || padding.iter().any(|byte| *byte != 0) {
            return Err(self.malformed(format!("{what} is no short printable text: {}", hex::encode(text))));
        }
        Ok(String::from_utf8(text.to_vec()).ok())
    }

    fn malformed(&self, message: String) -> EvidenceError {
        Reader::new(&[], self.part.codes().report).malformed(message)
    }
}

fn pdis<const BYTES: usize>(bytes: [u8; BYTES]) -> Vec<Pdi> {
    bytes.as_chunks::<8>().0.iter().copied().map(Pdi).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fields: &[(u16, &[u8])]) -> Vec<u8> {
        let length = |data: &[u8]| u16::try_from(data.len()).unwrap().to_le_bytes();
        fields.iter().flat_map(|(kind, data)| [&kind.to_le_bytes(), &length(data)[..], data].concat()).collect()
    }

    fn parse(part: Part, fields: &[(u16, &[u8])]) -> Result<NvidiaPart, EvidenceError> {
        OpaqueFields::parse(part, &encoded(fields)).map(|found| found.part)
    }

    fn gpu(fields: &[(u16, &[u8])]) -> GpuFacts {
        match parse(Part::Gpu, fields).unwrap() {
            NvidiaPart::Gpu(facts) => *facts,
            NvidiaPart::Switch(_) => panic!("a switch"),
        }
    }

    #[test]
    fn fields_of_a_gpu_come_in_any_order_and_absent_ones_say_nothing() {
        let links: Vec<u8> = (0..144).collect();
        let facts = gpu(&[
            (36, &[2, 0]),
            (35, b"GB100\0"),
            (3, b"590.12\0"),
            (22, &links),
            (14, &[1, 2, 3, 4]),
            (18, b"0200\0"),
            (19, &[0, 0]),
            (21, &[0xaa]),
            (11, &[0x54]),
            (999, &[1]),
        ]);
        assert_eq!((facts.mode, facts.chip_info.as_deref()), (Some(NvidiaMode::ProtectedPcie), Some("GB100")));
        assert_eq!(facts.driver_version, Some(FirmwareVersion("590.12".to_owned())));
        assert_eq!((facts.switch_pdis.len(), facts.switch_pdis[1]), (18, Pdi([8, 9, 10, 11, 12, 13, 14, 15])));
        assert_eq!((facts.project_sku.as_deref(), facts.project_sku_modifier.as_deref()), (Some("0200"), Some("")));
        assert_eq!((facts.protected_pcie, facts.nvdec0), (Some(NvidiaStatus::On), Some(NvidiaStatus::Other(0x54))));
        assert_eq!(gpu(&[]), GpuFacts::default());
        assert_eq!(gpu(&[(36, &[3, 1])]).mode, Some(NvidiaMode::Other(259)));
    }

    #[test]
    fn a_switch_names_itself_its_gpus_and_its_ports() {
        let both: Vec<u8> = (0..128).collect();
        let fields: [(u16, &[u8]); 5] = [(22, &[1; 8]), (26, &both), (23, &[0xec, 0]), (24, &[2, 0]), (25, &[1, 0])];
        let NvidiaPart::Switch(facts) = parse(Part::Switch, &fields).unwrap() else { panic!("a GPU") };
        assert_eq!((facts.pdi, facts.gpu_pdis.len(), facts.port_map.len()), (Some(Pdi([1; 8])), 8, 64));
        assert_eq!((facts.gpu_pdis[7], facts.port_map[0]), (Pdi([56, 57, 58, 59, 60, 61, 62, 63]), 64));
        let rest = (facts.disabled_ports, facts.position, facts.lock_status);
        assert_eq!(rest, (Some(0xec), Some(2), Some(1)));
    }

    #[test]
    fn the_vbios_is_text_for_a_switch_and_turned_around_for_a_gpu() {
        let version = |part, data: &[u8]| {
            let bytes = encoded(&[(6, data)]);
            OpaqueFields::parse(part, &bytes).unwrap().vbios_version.unwrap().0
        };
        assert_eq!(version(Part::Gpu, &[0, 0x9f, 0, 0x96, 1, 0, 0, 0]), "96.00.9F.00.01");
        assert_eq!(version(Part::Switch, b"96.10.55.00.01"), "96.10.55.00.01");
    }

    #[test]
    fn counters_versions_and_fields_without_a_layout_are_kept() {
        let bytes =
            encoded(&[(12, &[1, 0, 0, 0, 2, 1, 0, 0]), (34, &[1, 0]), (4, &[7; 128]), (2, &[9]), (20, &[3; 48])]);
        let found = OpaqueFields::parse(Part::Switch, &bytes).unwrap();
        assert_eq!((found.extend_counters.as_slice(), found.opaque_version), (&[1, 258][..], Some(1)));
        assert_eq!((found.uninterpreted(), found.fwid), (BTreeMap::from([(4, vec![7; 128])]), Some([3; 48])));
    }

    #[test]
    fn repeated_overrunning_misshapen_and_unprintable_fields_are_malformed() {
        let bad: [&[(u16, &[u8])]; 12] = [
            &[(3, b"a\0"), (3, b"a\0")],
            &[(999, b""), (999, b"")],
            &[(20, &[1; 47])],
            &[(6, &[0; 5])],
            &[(11, &[0xaa, 0])],
            &[(22, &[0; 8])],
            &[(36, &[0])],
            &[(12, &[0; 6])],
            &[(14, &[0; 3])],
            &[(3, b"590\n12\0")],
            &[(3, b"590.12\0x")],
            &[(3, &[b'9'; 65])],
        ];
        for fields in bad {
            assert_eq!(parse(Part::Gpu, fields).unwrap_err().code(), "gpu-report", "{fields:?}");
        }
        for bytes in [&[3, 0, 5, 0, 1][..], &[3, 0, 1], &[3]] {
            assert_eq!(OpaqueFields::parse(Part::Gpu, bytes).unwrap_err().code(), "gpu-report");
        }
        assert_eq!(parse(Part::Switch, &[(22, &[0; 144])]).unwrap_err().code(), "switch-report");
    }
}
