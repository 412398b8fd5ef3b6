//! **Duty.** The signed part of an SPDM 1.1 measurement report as a Hopper GPU or an LS10 switch gives it. **Does not know** keys or
//! certificates. **Spec.** EVIDENCE §1.1–1.2.

use weighbridge_attest_types::{Encoder, sha256};

use crate::keys::Seed;

/// GET_MEASUREMENTS, SPDM 1.1, signature requested, all measurements.
const REQUEST: [u8; 4] = [0x11, 0xe0, 0x01, 0xff];
const RESPONSE: [u8; 4] = [0x11, 0x60, 0x00, 0x00];
const BLOCKS: usize = 64;
/// Blocks above these are zero on genuine Hopper GPUs too.
const MEASURED_BLOCKS: usize = 40;

/// Blocks of a switch.
const SWITCH_BLOCKS: usize = 31;
/// Links of a GPU, and GPUs of a switch.
const GPU_LINKS: usize = 18;
const SWITCH_GPUS: usize = 8;

const ON: u8 = 0xaa;
const OFF: u8 = 0x55;

/// What a report says: knobs that a breaker turns before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReportOptions {
    /// Field 3, without the final zero.
    pub driver_version: String,
    /// Field 6.
    pub vbios_version: [u8; 8],
    /// Field 11.
    pub nvdec_on: bool,
    /// Field 20; `None` leaves it out, as older firmware does.
    pub fwid: Option<[u8; 48]>,
    /// Field 21; field 36 says the same.
    pub protected_pcie: bool,
    /// Field 36, where it is to say something else.
    pub mode: Option<u16>,
    /// Field 35; `None` leaves it out.
    pub chip_info: Option<String>,
    /// Switches behind the links, as they name themselves (field 22); none leaves the field out.
    pub switches: Vec<[u8; 8]>,
    /// The 64 measurement values, in order of their index.
    pub measurements: Vec<[u8; 48]>,
}

impl GpuReportOptions {
    /// What every GPU of a world runs.
    pub(crate) fn production(seed: Seed) -> Self {
        let measurement = |block: usize| match block {
            1..MEASURED_BLOCKS => seed.measurement(&format!("nvidia/measurement/{block}")),
            _ => [0; 48],
        };
        Self {
            driver_version: "590.12-simulated".to_owned(),
            // Read as 96.00.00.00.00, which no board carries.
            vbios_version: [0x00, 0x00, 0x00, 0x96, 0x00, 0x00, 0x00, 0x00],
            nvdec_on: false,
            fwid: Some(seed.measurement("nvidia/fwid")),
            protected_pcie: false,
            mode: None,
            chip_info: None,
            switches: Vec::new(),
            measurements: (0..BLOCKS).map(measurement).collect(),
        }
    }

    /// The VBIOS version as manifests write it.
    #[must_use]
    pub fn vbios_text(&self) -> String {
        let [d, c, b, a, e, ..] = self.vbios_version;
        format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}")
    }
}

/// What a switch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchReportOptions {
    /// Field 6.
    pub bios_version: String,
    /// GPUs behind its ports (field 26), as their certificates name them.
    pub gpus: Vec<[u8; 8]>,
    /// Field 25.
    pub lock_status: u16,
    /// Field 22, where it is to name another switch.
    pub pdi: Option<[u8; 8]>,
    /// The 31 measurement values, in order of their index.
    pub measurements: Vec<[u8; 48]>,
}

impl SwitchReportOptions {
    /// What every switch of a world runs; it connects nothing yet.
    pub(crate) fn production(seed: Seed) -> Self {
        let measurement = |block: usize| seed.measurement(&format!("nvidia/switch-measurement/{block}"));
        Self {
            // No board carries this version.
            bios_version: "96.10.00.00.00".to_owned(),
            gpus: Vec::new(),
            lock_status: 1,
            pdi: None,
            measurements: (0..SWITCH_BLOCKS).map(measurement).collect(),
        }
    }
}

/// Request and response of a GPU up to the signature.
pub(crate) fn signed_part(options: &GpuReportOptions, nonce: [u8; 32], pdi: [u8; 8]) -> Vec<u8> {
    message(&options.measurements, &opaque(options), nonce, pdi)
}

/// Request and response of a switch up to the signature.
pub(crate) fn switch_signed_part(options: &SwitchReportOptions, nonce: [u8; 32], pdi: [u8; 8]) -> Vec<u8> {
    let places = options.gpus.iter().copied().chain(std::iter::repeat([0; 8])).take(SWITCH_GPUS);
    let ports = [&places.flatten().collect::<Vec<u8>>()[..], &[0xff; 64]].concat();
    let opaque = encoded(&[
        (6, options.bios_version.as_bytes().to_vec()),
        (22, options.pdi.unwrap_or(pdi).to_vec()),
        (12, vec![0; 104]),
        (26, ports),
        (23, vec![0, 0]),
        (24, vec![0, 0]),
        (25, options.lock_status.to_le_bytes().to_vec()),
    ]);
    message(&options.measurements, &opaque, nonce, pdi)
}

fn message(measurements: &[[u8; 48]], opaque: &[u8], nonce: [u8; 32], pdi: [u8; 8]) -> Vec<u8> {
    let record: Vec<u8> = (1u8..).zip(measurements).flat_map(|(index, value)| block(index, value)).collect();
    let count = u8::try_from(measurements.len()).expect("at most 255 blocks");
    let record_length = u32::try_from(record.len()).expect("a few KiB").to_le_bytes();

    let mut out = Vec::with_capacity(4096);
    out.extend(REQUEST);
    out.extend(nonce);
    out.push(0); // slot
    out.extend(RESPONSE);
    out.push(count);
    out.extend(&record_length[..3]);
    out.extend(record);
    out.extend(device_nonce(nonce, pdi));
    out.extend(length(opaque));
    out.extend(opaque);
    out
}

/// Index, DMTF specification, outer size; type 1 (mutable firmware digest), inner size, value.
fn block(index: u8, value: &[u8; 48]) -> Vec<u8> {
    [&[index, 1, 51, 0, 1, 48, 0], &value[..]].concat()
}

/// Fields in the order in which a genuine driver lists them.
fn opaque(options: &GpuReportOptions) -> Vec<u8> {
    let status = |on: bool| vec![if on { ON } else { OFF }];
    let driver = [options.driver_version.as_bytes(), &[0]].concat();
    let mut fields: Vec<(u16, Vec<u8>)> = vec![
        (6, options.vbios_version.to_vec()),
        (14, vec![0; 4]),
        (15, b"SIM\0\0\0\0\0\0".to_vec()),
        (16, b"0\0\0\0\0".to_vec()),
        (17, b"SIM\0\0".to_vec()),
        (18, b"000\0\0".to_vec()),
        (19, vec![0; 2]),
        (3, driver),
        (4, vec![0x80, 1, 0, 0, 0, 0, 0, 0]),
        (12, vec![0; 4 * BLOCKS]),
        (13, vec![0, 0xc0, 1, 0]),
        (11, status(options.nvdec_on)),
    ];
    fields.extend(options.fwid.map(|fwid| (20, fwid.to_vec())));
    fields.push((21, status(options.protected_pcie)));
    if !options.switches.is_empty() {
        // A GPU turns the identifiers around.
        let turned = options.switches.iter().map(|pdi| u64::from_be_bytes(*pdi).to_le_bytes());
        fields.push((22, turned.collect::<Vec<_>>().into_iter().cycle().take(GPU_LINKS).flatten().collect()));
    }
    fields.push((34, vec![1, 0]));
    fields.extend(options.chip_info.as_ref().map(|chip| (35, [chip.as_bytes(), &[0]].concat())));
    let mode = options.mode.unwrap_or(if options.protected_pcie { 2 } else { 0 });
    fields.push((36, mode.to_le_bytes().to_vec()));
    encoded(&fields)
}

fn encoded(fields: &[(u16, Vec<u8>)]) -> Vec<u8> {
    fields.iter().flat_map(|(kind, data)| [&kind.to_le_bytes(), &length(data)[..], data].concat()).collect()
}

/// The device's own nonce. A genuine one is random; this one is different for every question and device.
fn device_nonce(nonce: [u8; 32], pdi: [u8; 8]) -> [u8; 32] {
    let mut out = Encoder::new();
    out.field(b"weighbridge/simulator/device-nonce/v1").raw(&pdi).raw(&nonce);
    sha256(&out.finish()).0
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("a few hundred bytes").to_le_bytes()
}
