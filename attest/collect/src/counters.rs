//! **Duty.** What one look at an accelerator's counters gives: each value, or why there is none. Absent is never zero.
//! **Knows** lawful ranges. **Does not know** drivers, time or what adds up. None of it is signed: it is the driver's word.
//! **Spec.** COMPUTE §8; EVIDENCE §5.4.

use weighbridge_attest_types::Device;

/// Why a counter gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The driver does not offer it here; in confidential-compute mode performance counters are withheld so.
    NotSupported,
    /// This process may not read it.
    NotPermitted,
    /// The device is lost, or wants a reset.
    DeviceLost,
    /// The driver does not answer, or is gone.
    NoAnswer,
    /// The driver answers with something that no device can do.
    Implausible,
    /// It takes two samples, and this was the first.
    FirstSample,
    /// Nobody has a sourced row for this product.
    UnknownProduct,
    /// The counter began anew: a reset, or a driver that was loaded again.
    Restarted,
    /// Samples are missing: the daemon or the machine was down, asleep or late.
    Gap,
}

/// A value, or why there is none.
pub type Counted<T> = Result<T, Missing>;

/// What a driver says of one accelerator at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Energy since the counter began, in millijoule.
    pub energy_millijoule: Counted<u64>,
    /// Power drawn, in milliwatt.
    pub power_milliwatt: Counted<u32>,
    /// Clock of the multiprocessors, in megahertz.
    pub clock_megahertz: Counted<u32>,
    /// Share of time with a kernel, in percent.
    pub busy_percent: Counted<u32>,
    /// Share of time with a tensor pipe in use since the last sample, in tenths of a percent.
    pub tensor_permille: Counted<u32>,
}

/// The counters of one accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSample {
    /// Which accelerator.
    pub device: Device,
    /// The most operations that it could do in a millisecond; from the table of products.
    pub most_flop_per_milli: Counted<u64>,
    /// The most operations that it does for a joule, at its product's dense peak and board power.
    pub most_flop_per_joule: Counted<u64>,
    /// What the driver says.
    pub counters: Counters,
}

impl Counters {
    /// Nothing, for one reason.
    #[must_use]
    pub const fn missing(why: Missing) -> Self {
        Self {
            energy_millijoule: Err(why),
            power_milliwatt: Err(why),
            clock_megahertz: Err(why),
            busy_percent: Err(why),
            tensor_permille: Err(why),
        }
    }

    /// The best tier that this look supports.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        match self {
            Self { tensor_permille: Ok(_) | Err(Missing::FirstSample), .. } => Tier::TensorActivity,
            Self { busy_percent: Ok(_), .. } | Self { energy_millijoule: Ok(_), .. } => Tier::Activity,
            Self { power_milliwatt: Ok(_), .. } | Self { clock_megahertz: Ok(_), .. } => Tier::Activity,
            _ => Tier::Time,
        }
    }
}

/// How much the counters of an accelerator can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Nothing but that time passed.
    Time,
    /// Utilisation, clocks, power or energy: whether it worked, not what.
    Activity,
    /// Tensor-pipe activity: an upper estimate of executed tensor operations.
    TensorActivity,
}

impl Tier {
    /// Its name in messages and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Activity => "activity",
            Self::TensorActivity => "tensor-activity",
        }
    }
}

impl Missing {
    /// Its name in messages and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSupported => "not-supported",
            Self::NotPermitted => "not-permitted",
            Self::DeviceLost => "device-lost",
            Self::NoAnswer => "no-answer",
            Self::Implausible => "implausible",
            Self::FirstSample => "first-sample",
            Self::UnknownProduct => "unknown-product",
            Self::Restarted => "restarted",
            Self::Gap => "gap",
        }
    }
}
