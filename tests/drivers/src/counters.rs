//! **Duty.** The functions of `libnvidia-ml.so` that the daemon reads counters with. **Knows** NVML's C interface.
//! **Does not know** what the daemon concludes. In confidential-compute mode performance counters are withheld, as genuine
//! drivers withhold them. **Spec.** EVIDENCE §5.4; COMPUTE §8.

use std::ffi::{c_uint, c_ulonglong};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t,
    nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT as INVALID_ARGUMENT,
    nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED as NOT_SUPPORTED, nvmlReturn_enum_NVML_SUCCESS as SUCCESS, nvmlReturn_t,
    nvmlUtilization_t,
};

use crate::nvml::{answer, index_of, put};
use crate::script::{Mode, Script};

/// Megahertz of an H100 at work, and at most.
const CLOCK: c_uint = 1_755;
const MOST: c_uint = 1_980;

/// When the energy counters began, and after which reload and reset.
static ENERGY: Mutex<Option<(u64, u64, Instant)>> = Mutex::new(None);

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, energy: *mut c_ulonglong) -> nvmlReturn_t {
    answer("DeviceGetTotalEnergyConsumption", Some(index_of(device)), |script| {
        put(energy, u64::from(script.power).saturating_mul(running_millis(script)) / 1_000)
    })
}

#[expect(clippy::disallowed_methods, reason = "a simulated counter runs with the machine's time, like a real one")]
fn running_millis(script: &Script) -> u64 {
    let mut kept = ENERGY.lock().unwrap_or_else(PoisonError::into_inner);
    let since = match *kept {
        Some((reloads, resets, since)) if (reloads, resets) == (script.reloads, script.resets) => since,
        _ => kept.insert((script.reloads, script.resets, Instant::now())).2,
    };
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPowerUsage(device: nvmlDevice_t, power: *mut c_uint) -> nvmlReturn_t {
    answer("DeviceGetPowerUsage", Some(index_of(device)), |script| put(power, script.power))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, rates: *mut nvmlUtilization_t) -> nvmlReturn_t {
    answer("DeviceGetUtilizationRates", Some(index_of(device)), |script| match script.mig {
        // With MIG on, genuine drivers give no utilisation of the whole.
        0 => put(rates, nvmlUtilization_t { gpu: script.busy, memory: 0 }),
        _ => NOT_SUPPORTED,
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetClockInfo(device: nvmlDevice_t, _kind: c_uint, clock: *mut c_uint) -> nvmlReturn_t {
    answer("DeviceGetClockInfo", Some(index_of(device)), |_| put(clock, CLOCK))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMaxClockInfo(device: nvmlDevice_t, _kind: c_uint, clock: *mut c_uint) -> nvmlReturn_t {
    answer("DeviceGetMaxClockInfo", Some(index_of(device)), |_| put(clock, MOST))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, support: *mut nvmlGpmSupport_t) -> nvmlReturn_t {
    answer("GpmQueryDeviceSupport", Some(index_of(device)), |script| {
        let supported = u32::from(script.mode != Mode::On);
        put(support, nvmlGpmSupport_t { version: 1, isSupportedDevice: supported })
    })
}

/// A sample holds nothing; its place stays the caller's until it is freed.
#[unsafe(no_mangle)]
extern "C" fn nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) -> nvmlReturn_t {
    put(sample, Box::into_raw(Box::new(0_u64)).cast())
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> nvmlReturn_t {
    if sample.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: by NVML's interface a sample that `nvmlGpmSampleAlloc` made and nobody freed.
    drop(unsafe { Box::from_raw(sample.cast::<u64>()) });
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) -> nvmlReturn_t {
    answer("GpmSampleGet", Some(index_of(device)), |script| match script.mode {
        Mode::On => NOT_SUPPORTED,
        _ => put(sample.cast::<u64>(), 1),
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    answer("GpmMetricsGet", None, |script| {
        if request.is_null() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: not null, and by NVML's interface the caller's own request.
        let request = unsafe { &mut *request };
        let count = usize::try_from(request.numMetrics).unwrap_or_default();
        for metric in request.metrics.iter_mut().take(count) {
            metric.nvmlReturn = SUCCESS;
            metric.value = script.tensor.unwrap_or(f64::NAN);
        }
        SUCCESS
    })
}
