//! **Duty.** Adds up what counters say over one interval: energy, tensor operations at most, time with a kernel, and the
//! tier all of it is of. A stretch that was not seen whole has a reason instead of a sum: absent is never zero.
//! **Knows** samples and when they were taken. **Does not know** drivers, clocks or the ledger. **Spec.** COMPUTE §8.

use std::collections::BTreeMap;

use serde::Serialize;
use weighbridge_attest_collect::{Counted, DeviceSample, Missing, Tier};
use weighbridge_attest_types::{
    Device, DeviceMillis, MAX_READING, PRESENT_ENERGY, PRESENT_METERED, Presence, Reading, ReadingError,
};

use crate::effects::SealedInterval;

pub use cross_check::Flag;

mod cross_check;

/// Samples come every second; with more than this between two of them nobody saw what went on.
pub const SAMPLE_GAP_MILLIS: u64 = 5_000;
/// No board draws 10 kW; a counter that runs faster was moved. Counters are renewed about every 100 ms, so that a step may
/// hold a little more time than lies between two samples.
const MOST_MILLIJOULE_PER_MILLI: u64 = 10_000;
const RENEWAL_MILLIS: u64 = 1_000;
const FLOP_PER_GFLOP: u128 = 1_000_000_000;
const MILLIJOULE_PER_JOULE: u64 = 1_000;

/// What the open interval has counted so far, and the last sample of each device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meter {
    devices: BTreeMap<Device, Tally>,
    /// Below one joule and one GFLOP: carried into the next interval.
    rest: (u64, u128),
}

/// What one interval counted over all devices of the run. Private like the reading: it is kept and never sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metered {
    /// Energy in joule.
    #[serde(serialize_with = "counted")]
    pub energy_joule: Counted<u64>,
    /// Tensor operations at most: time with a tensor pipe in use, at the ceiling rate.
    #[serde(serialize_with = "counted")]
    pub gflop: Counted<u64>,
    /// The lowest tier of any device at any moment.
    #[serde(serialize_with = "named")]
    pub tier: Tier,
    /// Milliseconds with a kernel, device by device in the order asked.
    #[serde(skip)]
    pub busy_millis: Vec<Counted<u64>>,
    /// What does not fit together.
    pub flags: Vec<Flag>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tally {
    /// From when the sums count.
    since: u64,
    /// When the last sample was taken.
    at: u64,
    energy: Counted<u64>,
    millijoule: Counted<u64>,
    flop: Counted<u128>,
    /// In hundredths of a millisecond.
    busy: Counted<u64>,
    /// The lowest so far, and that of the last sample.
    tier: Tier,
    last_tier: Tier,
    most_flop_per_milli: Counted<u64>,
    most_flop_per_joule: Counted<u64>,
}

impl Meter {
    /// Weighs a sealed interval: puts what was counted whole into its private reading, says in its public facts what is
    /// there, and calls time with a kernel, in which the job reported no work, other work.
    ///
    /// # Errors
    /// [`ReadingError`], which no interval that could be sealed has.
    pub fn weigh(&mut self, sealed: &mut SealedInterval) -> Result<Metered, ReadingError> {
        let public = &mut sealed.public;
        let devices: Vec<Device> = public.devices.iter().map(|time| time.device).collect();
        let seen = public.devices.iter().all(|time| time.gap.0 == 0);
        let mut metered = self.seal((public.start_mono, public.end_mono), &devices, seen);
        for (time, busy) in public.devices.iter_mut().zip(&metered.busy_millis) {
            let other = busy.unwrap_or_default().min(time.idle.0);
            time.other = DeviceMillis(time.other.0.saturating_add(other));
            time.idle = DeviceMillis(time.idle.0.saturating_sub(other));
        }
        let bit = |counted: &Counted<u64>, bit: u8| if counted.is_ok() { bit } else { 0 };
        let present = bit(&metered.gflop, PRESENT_METERED) | bit(&metered.energy_joule, PRESENT_ENERGY);
        public.presence = Presence::from_bits(public.presence.bits() | present).unwrap_or(public.presence);
        let (declared, rest) = (sealed.reading.declared_gflop(), sealed.reading.declared_rest());
        let (gflop, joule) = (metered.gflop.unwrap_or_default(), metered.energy_joule.unwrap_or_default());
        sealed.reading = Reading::new(declared, rest, gflop, joule)?;
        let millis = public.end_mono.saturating_sub(public.start_mono);
        let device_millis = u64::try_from(devices.len()).unwrap_or(u64::MAX).saturating_mul(millis);
        metered.flags = self.cross_check(&metered, declared, device_millis);
        Ok(metered)
    }

    /// Takes one look at all devices, at `now` on the monotonic clock.
    pub fn take(&mut self, now: u64, samples: &[DeviceSample]) {
        for sample in samples {
            let first = || Tally::begin(now, sample);
            self.devices.entry(sample.device).and_modify(|tally| tally.take(now, sample)).or_insert_with(first);
        }
    }

    /// Forgets what was counted so far: a run begins now.
    pub fn begin_run(&mut self) {
        self.rest = (0, 0);
        self.devices.values_mut().for_each(Tally::renew);
    }

    /// Closes the interval from `start` to `end`. `seen` is false when the daemon did not see all of it.
    fn seal(&mut self, (start, end): (u64, u64), devices: &[Device], seen: bool) -> Metered {
        let whole = |device: &Device| {
            let tally = self.devices.get(device).ok_or(Missing::Gap)?;
            let covered = tally.since <= start && end.saturating_sub(tally.at) <= SAMPLE_GAP_MILLIS;
            if seen && covered { Ok(tally) } else { Err(Missing::Gap) }
        };
        let tallies: Vec<Counted<&Tally>> = devices.iter().map(whole).collect();
        let (joule_rest, flop_rest) = self.rest;
        let millijoule = sum(&tallies, |tally| tally.millijoule.map(u128::from), u128::from(joule_rest));
        let flop = sum(&tallies, |tally| tally.flop, flop_rest);
        let energy_joule = whole_units(millijoule, u128::from(MILLIJOULE_PER_JOULE));
        let gflop = whole_units(flop, FLOP_PER_GFLOP);
        let metered = Metered {
            energy_joule: energy_joule.map(|(joule, _)| joule),
            gflop: gflop.map(|(gflop, _)| gflop),
            tier: tallies.iter().map(|tally| tally.map_or(Tier::Time, |tally| tally.tier)).min().unwrap_or(Tier::Time),
            busy_millis: tallies.iter().map(|tally| tally.and_then(|tally| tally.busy_millis(start, end))).collect(),
            flags: Vec::new(),
        };
        let joule_rest = energy_joule.ok().and_then(|(_, rest)| u64::try_from(rest).ok());
        self.rest = (joule_rest.unwrap_or_default(), gflop.map_or(0, |(_, rest)| rest));
        self.devices.values_mut().for_each(Tally::renew);
        metered
    }

    /// Holds what was counted against what the job declares. Nothing is refused for it: flags are for people.
    fn cross_check(&self, metered: &Metered, declared_gflop: u64, device_millis: u64) -> Vec<Flag> {
        let fastest = self.devices.values().map(|tally| tally.most_flop_per_milli).max();
        let thriftiest = self.devices.values().map(|tally| tally.most_flop_per_joule).max();
        let corners = cross_check::Corners {
            declared_gflop,
            metered_gflop: metered.gflop.ok(),
            energy_joule: metered.energy_joule.ok(),
            device_millis,
            most_flop_per_milli: fastest.and_then(Result::ok),
            most_flop_per_joule: thriftiest.and_then(Result::ok),
        };
        corners.flags()
    }
}

impl Tally {
    /// The first sample of a device says where its counters stand, and nothing of what was before.
    fn begin(now: u64, sample: &DeviceSample) -> Self {
        Self {
            since: now,
            at: now,
            energy: sample.counters.energy_millijoule,
            millijoule: Ok(0),
            flop: Ok(0),
            busy: Ok(0),
            tier: sample.counters.tier(),
            last_tier: sample.counters.tier(),
            most_flop_per_milli: sample.most_flop_per_milli,
            most_flop_per_joule: sample.most_flop_per_joule,
        }
    }

    fn take(&mut self, now: u64, sample: &DeviceSample) {
        let (span, counters) = (now.saturating_sub(self.at), &sample.counters);
        let watched = if span <= SAMPLE_GAP_MILLIS { Ok(span) } else { Err(Missing::Gap) };
        let step = watched.and_then(|span| energy_step(self.energy, counters.energy_millijoule, span));
        self.millijoule = add(self.millijoule, step);
        let step = watched.and_then(|span| {
            let most = u128::from(span).saturating_mul(u128::from(sample.most_flop_per_milli?));
            Ok(most.saturating_mul(u128::from(counters.tensor_permille?)).div_ceil(1_000))
        });
        self.flop = match (self.flop, step) {
            (Ok(so_far), Ok(step)) => Ok(so_far.saturating_add(step)),
            (Err(why), _) | (_, Err(why)) => Err(why),
        };
        let step = watched.and_then(|span| Ok(span.saturating_mul(u64::from(counters.busy_percent?))));
        self.busy = add(self.busy, step);
        self.last_tier = counters.tier();
        self.tier = self.tier.min(self.last_tier);
        (self.at, self.energy) = (now, counters.energy_millijoule);
        (self.most_flop_per_milli, self.most_flop_per_joule) = (sample.most_flop_per_milli, sample.most_flop_per_joule);
    }

    /// Time with a kernel, rounded up; never more than the interval has.
    fn busy_millis(&self, start: u64, end: u64) -> Counted<u64> {
        self.busy.map(|hundredths| hundredths.div_ceil(100).min(end.saturating_sub(start)))
    }

    /// The next interval goes on from the last sample of this one, so that nothing falls between two intervals.
    fn renew(&mut self) {
        (self.millijoule, self.flop, self.busy) = (Ok(0), Ok(0), Ok(0));
        (self.since, self.tier) = (self.at, self.last_tier);
    }
}

/// What a counter grew by. One that fell began anew: the driver was loaded again, or the device was reset.
fn energy_step(before: Counted<u64>, after: Counted<u64>, span: u64) -> Counted<u64> {
    let (before, after) = (before?, after?);
    let step = after.checked_sub(before).ok_or(Missing::Restarted)?;
    let most = span.saturating_add(RENEWAL_MILLIS).saturating_mul(MOST_MILLIJOULE_PER_MILLI);
    if step <= most { Ok(step) } else { Err(Missing::Implausible) }
}

/// The first reason of an interval stays.
fn add(so_far: Counted<u64>, step: Counted<u64>) -> Counted<u64> {
    Ok(so_far?.saturating_add(step?))
}

fn sum(tallies: &[Counted<&Tally>], of: impl Fn(&Tally) -> Counted<u128>, rest: u128) -> Counted<u128> {
    if tallies.is_empty() {
        return Err(Missing::Gap);
    }
    tallies.iter().try_fold(rest, |total, tally| Ok(total.saturating_add(of((*tally)?)?)))
}

/// Whole units and what is left; a number that no reading can hold is none that a node can count.
fn whole_units(total: Counted<u128>, unit: u128) -> Counted<(u64, u128)> {
    let total = total?;
    let (whole, rest) = (total.checked_div(unit), total.checked_rem(unit));
    let whole = whole.and_then(|whole| u64::try_from(whole).ok()).filter(|whole| *whole < MAX_READING);
    whole.zip(rest).ok_or(Missing::Implausible)
}

fn counted<S: serde::Serializer>(value: &Counted<u64>, out: S) -> Result<S::Ok, S::Error> {
    match value {
        Ok(value) => out.serialize_u64(*value),
        Err(why) => out.serialize_str(why.as_str()),
    }
}

fn named<S: serde::Serializer>(tier: &Tier, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(tier.as_str())
}

#[cfg(test)]
mod tests;
