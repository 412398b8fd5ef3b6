//! **Duty.** Reads the counters of one GPU: tensor activity by GPM where it is offered, then utilisation, clock, power and
//! energy. What a driver withholds or makes up has a reason instead of a value. **Knows** NVML's traps: the greatest
//! integer for "unknown", not-a-number, percents above a hundred. **Does not know** time. **Spec.** COMPUTE §8.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::gpm_metrics_get;

use super::Seat;
use crate::counters::{Counted, Missing};

pub(crate) use crate::counters::Counters;

/// No board draws 10 kW, and none clocks to 10 GHz.
const MOST_MILLIWATT: u32 = 10_000_000;
const MOST_MEGAHERTZ: u32 = 10_000;
/// A board at 10 kW for thirty years.
const MOST_MILLIJOULE: u64 = 10_000_000_000_000_000;

/// One look.
pub(super) fn read<'n>(device: &Device<'n>, seat: &mut Seat<'n>) -> Counters {
    Counters {
        energy_millijoule: within(device.total_energy_consumption(), MOST_MILLIJOULE),
        power_milliwatt: within(device.power_usage(), MOST_MILLIWATT),
        clock_megahertz: within(device.clock_info(Clock::SM), MOST_MEGAHERTZ),
        busy_percent: within(device.utilization_rates().map(|rates| rates.gpu), 100),
        tensor_permille: tensor(device, seat),
    }
}

/// Two samples bracket a stretch; the later one is kept for the next.
fn tensor<'n>(device: &Device<'n>, seat: &mut Seat<'n>) -> Counted<u32> {
    if !device.gpm_support().map_err(|error| reason(&error))? {
        return Err(Missing::NotSupported);
    }
    let sample = device.gpm_sample().map_err(|error| reason(&error))?;
    let previous = seat.previous.take();
    let measured = match &previous {
        None => Err(Missing::FirstSample),
        Some(previous) => {
            let metrics = gpm_metrics_get(seat.nvml, previous, &sample, &[GpmMetricId::AnyTensorUtil]);
            let metric = metrics.map_err(|error| reason(&error))?.into_iter().next().ok_or(Missing::Implausible)?;
            permille(metric.map_err(|error| reason(&error))?.value)
        }
    };
    seat.previous = Some(sample);
    measured
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000, checked in the line above")]
fn permille(percent: f64) -> Counted<u32> {
    let tenths = (percent * 10.0).ceil();
    if (0.0..=1000.0).contains(&tenths) { Ok(tenths as u32) } else { Err(Missing::Implausible) }
}

fn within<T: PartialOrd + Copy>(read: Result<T, NvmlError>, most: T) -> Counted<T> {
    let value = read.map_err(|error| reason(&error))?;
    if value <= most { Ok(value) } else { Err(Missing::Implausible) }
}

fn reason(error: &NvmlError) -> Missing {
    match error {
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            Missing::NotSupported
        }
        NvmlError::NoPermission => Missing::NotPermitted,
        NvmlError::GpuLost | NvmlError::ResetRequired => Missing::DeviceLost,
        _ => Missing::NoAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_device_can_do_has_a_reason_instead_of_a_value() {
        for percent in [f64::NAN, f64::INFINITY, -0.2, 100.1] {
            assert_eq!(permille(percent), Err(Missing::Implausible), "{percent}");
        }
        assert_eq!((permille(0.0), permille(39.91), permille(100.0)), (Ok(0), Ok(400), Ok(1000)));
        assert_eq!(within(Ok(u32::MAX), MOST_MILLIWATT), Err(Missing::Implausible));
        assert_eq!(within(Err::<u32, _>(NvmlError::NotSupported), 100), Err(Missing::NotSupported));
        assert_eq!(within(Err::<u32, _>(NvmlError::GpuLost), 100), Err(Missing::DeviceLost));
    }
}
