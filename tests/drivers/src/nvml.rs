//! **Duty.** The functions of `libnvidia-ml.so` that the daemon calls for evidence: devices, mode, certificates, reports.
//! **Knows** NVML's C interface. **Does not know** what a report means; the simulator makes it. **Spec.** EVIDENCE §5.3.

use std::ffi::{c_char, c_uint};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nvml_wrapper_sys::bindings::{
    nvmlConfComputeGpuAttestationReport_t, nvmlConfComputeGpuCertificate_t, nvmlDevice_t, nvmlPciInfo_t,
    nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST as GPU_IS_LOST,
    nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT as INVALID_ARGUMENT,
    nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED as NOT_SUPPORTED,
    nvmlReturn_enum_NVML_ERROR_UNINITIALIZED as UNINITIALIZED, nvmlReturn_enum_NVML_SUCCESS as SUCCESS, nvmlReturn_t,
    nvmlSystemConfComputeSettings_t,
};
use weighbridge_tests_simulator::SimulatedGpu;

use crate::script::{Mode, Script};

/// NVIDIA's vendor and the device of an H100 SXM.
const H100_SXM: c_uint = 0x2330_10de;
const DRIVER: &str = "590.12-simulated";
const PEM_LINE: usize = 64;

/// The load of the driver that was initialised last, plus one; 0 before any.
static INITIALISED: AtomicU64 = AtomicU64::new(0);

/// Whatever the script tells about this function and GPU, and then the answer.
pub(crate) fn answer(function: &str, gpu: Option<u32>, act: impl FnOnce(&Script) -> nvmlReturn_t) -> nvmlReturn_t {
    let hangs = |script: &Script| {
        let meant = gpu.is_none_or(|gpu| script.hang_gpus.is_empty() || script.hang_gpus.contains(&gpu));
        meant && Script::names(&script.hang, function)
    };
    Script::hang_while(hangs);
    let script = Script::now();
    if INITIALISED.load(Ordering::SeqCst) != script.reloads + 1 {
        return UNINITIALIZED;
    }
    match gpu {
        Some(gpu) if gpu >= script.gpus => INVALID_ARGUMENT,
        Some(gpu) if script.lost.contains(&gpu) => GPU_IS_LOST,
        _ if Script::names(&script.unsupported, function) => NOT_SUPPORTED,
        _ => act(&script),
    }
}

/// Writes an answer where the caller wants it.
pub(crate) fn put<T>(to: *mut T, value: T) -> nvmlReturn_t {
    if to.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and by NVML's interface a caller's place for one value of this type.
    unsafe { to.write(value) };
    SUCCESS
}

/// A handle is the index, from 1.
pub(crate) fn index_of(device: nvmlDevice_t) -> u32 {
    u32::try_from(device.addr()).unwrap_or_default().wrapping_sub(1)
}

/// The GPU at NVML's index: the order of the bus, not of identities.
fn gpu_at(script: &Script, index: u32) -> Option<SimulatedGpu> {
    let node = script.node();
    let mut gpus = node.gpus().to_vec();
    gpus.sort_by_key(SimulatedGpu::pdi);
    gpus.get(usize::try_from(index).ok()?).cloned()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    Script::hang_while(|script| Script::names(&script.hang, "Init_v2"));
    INITIALISED.store(Script::now().reloads + 1, Ordering::SeqCst);
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    answer("SystemGetDriverVersion", None, |_| put_text(version, length, DRIVER))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    answer("DeviceGetCount_v2", None, |script| put(count, script.gpus))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    answer("DeviceGetHandleByIndex_v2", Some(index), |_| {
        put(device, std::ptr::without_provenance_mut(usize::try_from(index).unwrap_or_default() + 1))
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetName(device: nvmlDevice_t, name: *mut c_char, length: c_uint) -> nvmlReturn_t {
    let index = index_of(device);
    answer("DeviceGetName", Some(index), |script| match gpu_at(script, index) {
        Some(gpu) => put_text(name, length, gpu.name()),
        None => INVALID_ARGUMENT,
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, info: *mut nvmlPciInfo_t) -> nvmlReturn_t {
    let index = index_of(device);
    answer("DeviceGetPciInfo_v3", Some(index), |_| {
        put(
            info,
            nvmlPciInfo_t {
                busIdLegacy: [0; 16],
                domain: 0,
                bus: index,
                device: 0,
                pciDeviceId: H100_SXM,
                pciSubSystemId: 0,
                busId: [0; 32],
            },
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMigMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) -> nvmlReturn_t {
    answer("DeviceGetMigMode", Some(index_of(device)), |script| {
        let on = u32::from(script.mig > 0);
        put(current, on).max(put(pending, on))
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetConfComputeSettings(settings: *mut nvmlSystemConfComputeSettings_t) -> nvmlReturn_t {
    answer("SystemGetConfComputeSettings", None, |script| {
        let (feature, devtools) = match script.mode {
            Mode::On => (1, 0),
            Mode::Devtools => (1, 1),
            Mode::Off => (0, 0),
        };
        // An environment of production would claim what no simulated machine is: this says SIM.
        let value = nvmlSystemConfComputeSettings_t {
            version: 0,
            environment: 1,
            ccFeature: feature,
            devToolsMode: devtools,
            multiGpuMode: 0,
        };
        put(settings, value)
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetConfComputeGpuCertificate(
    device: nvmlDevice_t,
    certificate: *mut nvmlConfComputeGpuCertificate_t,
) -> nvmlReturn_t {
    let index = index_of(device);
    answer("DeviceGetConfComputeGpuCertificate", Some(index), |script| {
        let gpu = gpu_at(script, index).filter(|_| script.mode != Mode::Off);
        let Some(gpu) = gpu else { return NOT_SUPPORTED };
        let chain: String = gpu.certificates().iter().map(|der| pem(der)).collect();
        let mut value = nvmlConfComputeGpuCertificate_t {
            certChainSize: 0,
            attestationCertChainSize: 0,
            certChain: [0; 4096],
            attestationCertChain: [0; 5120],
        };
        let size = fill(&mut value.attestationCertChain, chain.as_bytes());
        value.attestationCertChainSize = script.certificate_size.unwrap_or(size);
        put(certificate, value)
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetConfComputeGpuAttestationReport(
    device: nvmlDevice_t,
    report: *mut nvmlConfComputeGpuAttestationReport_t,
) -> nvmlReturn_t {
    let index = index_of(device);
    answer("DeviceGetConfComputeGpuAttestationReport", Some(index), |script| {
        let gpu = gpu_at(script, index).filter(|_| script.mode != Mode::Off);
        let Some(gpu) = gpu.filter(|_| !report.is_null()) else { return NOT_SUPPORTED };
        // SAFETY: not null, and by NVML's interface the caller's own structure with the nonce filled in.
        let value = unsafe { &mut *report };
        let signed = gpu.report(value.nonce);
        let size = fill(&mut value.attestationReport, &signed);
        value.attestationReportSize = script.report_size.unwrap_or(size);
        SUCCESS
    })
}

fn fill(buffer: &mut [u8], bytes: &[u8]) -> u32 {
    buffer[..bytes.len()].copy_from_slice(bytes);
    u32::try_from(bytes.len()).expect("a few KiB")
}

fn put_text(to: *mut c_char, length: c_uint, text: &str) -> nvmlReturn_t {
    let Some(room) = usize::try_from(length).ok().filter(|room| *room > text.len() && !to.is_null()) else {
        return INVALID_ARGUMENT;
    };
    let bytes = text.bytes().chain(std::iter::repeat(0)).take(room);
    for (at, byte) in bytes.enumerate() {
        // SAFETY: `at` is below the length that the caller gave with its buffer.
        unsafe { to.add(at).write(c_char::from_ne_bytes([byte])) };
    }
    SUCCESS
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(PEM_LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
