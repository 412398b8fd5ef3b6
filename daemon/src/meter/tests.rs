use weighbridge_attest_collect::Counters;
use weighbridge_attest_types::{DeviceTime, Digest32, IntervalPublic, PRESENT_DECLARED, UnixMillis};

use super::*;

/// What an H100 does at most in a millisecond.
const MOST: u64 = 2_141_000_000_000;

fn device(number: u8) -> Device {
    Device(Digest32([number; 32]))
}

/// A device at 700 W, with a kernel for nine tenths of the time and the tensor pipes in use for two fifths.
fn sample(number: u8, millijoule: u64) -> DeviceSample {
    DeviceSample {
        device: device(number),
        most_flop_per_milli: Ok(MOST),
        most_flop_per_joule: Ok(2_827_000_000_000),
        counters: Counters {
            energy_millijoule: Ok(millijoule),
            power_milliwatt: Ok(700_000),
            clock_megahertz: Ok(1_755),
            busy_percent: Ok(90),
            tensor_permille: Ok(400),
        },
    }
}

fn changed(number: u8, millijoule: u64, change: impl Fn(&mut Counters)) -> DeviceSample {
    let mut sample = sample(number, millijoule);
    change(&mut sample.counters);
    sample
}

/// Ten seconds of two devices, one look a second; `look` makes the sample at that second.
fn ten_seconds(look: impl Fn(u8, u64) -> Option<DeviceSample>) -> Meter {
    let mut meter = Meter::default();
    for second in 0..=10 {
        let samples: Vec<_> = (1..=2).filter_map(|number| look(number, second)).collect();
        meter.take(second * 1_000, &samples);
    }
    meter
}

fn sealed(gap: u64, run: u64) -> SealedInterval {
    let time = |number| DeviceTime {
        device: device(number),
        run: DeviceMillis(run),
        other: DeviceMillis(0),
        idle: DeviceMillis(10_000 - gap - run),
        gap: DeviceMillis(gap),
    };
    SealedInterval {
        public: IntervalPublic {
            index: 1,
            boot_id: [1; 16],
            start_wall: UnixMillis(0),
            end_wall: UnixMillis(10_000),
            start_mono: 0,
            end_mono: 10_000,
            presence: Presence::from_bits(PRESENT_DECLARED).unwrap(),
            devices: vec![time(1), time(2)],
            checkpoints: Vec::new(),
            windows: Vec::new(),
            quoted: None,
        },
        reading: Reading::new(5_000, 7, 0, 0).unwrap(),
    }
}

fn weighed(mut meter: Meter) -> (Metered, SealedInterval) {
    let mut interval = sealed(0, 10_000);
    (meter.weigh(&mut interval).unwrap(), interval)
}

#[test]
fn a_whole_interval_is_added_up_over_its_devices() {
    let (metered, interval) = weighed(ten_seconds(|number, second| Some(sample(number, second * 700_000))));
    // Two devices at 700 W for ten seconds; two fifths of the ceiling.
    let gflop = MOST * 10_000 / 1_000 * 400 * 2 / 1_000_000_000;
    assert_eq!((metered.energy_joule, metered.gflop), (Ok(14_000), Ok(gflop)));
    assert_eq!((metered.tier, metered.busy_millis), (Tier::TensorActivity, vec![Ok(9_000), Ok(9_000)]));
    assert_eq!(interval.reading.elements(), [5_000, 7, gflop, 14_000]);
    assert_eq!(interval.public.presence.bits(), 7);
    // The pipes were in use for far more than the job declares.
    assert_eq!(metered.flags, [Flag::CountersAboveDeclared]);
}

#[test]
fn what_is_missing_for_one_device_at_one_moment_is_absent_with_its_reason() {
    let at = |missing: fn(&mut Counters)| {
        weighed(ten_seconds(|number, second| {
            let change = |counters: &mut Counters| {
                if (number, second) == (2, 4) {
                    missing(counters)
                }
            };
            Some(changed(number, second * 700_000, change))
        }))
    };
    let (metered, interval) = at(|counters| counters.energy_millijoule = Err(Missing::NotSupported));
    assert_eq!((metered.energy_joule, metered.gflop.is_ok()), (Err(Missing::NotSupported), true));
    assert_eq!(interval.public.presence.bits(), 3);
    let (metered, interval) = at(|counters| counters.tensor_permille = Err(Missing::Implausible));
    assert_eq!((metered.energy_joule, metered.gflop), (Ok(14_000), Err(Missing::Implausible)));
    assert_eq!((interval.public.presence.bits(), metered.tier), (5, Tier::Activity));
    let (metered, interval) = at(|counters| *counters = Counters::missing(Missing::DeviceLost));
    assert_eq!((metered.energy_joule, metered.gflop), (Err(Missing::DeviceLost), Err(Missing::DeviceLost)));
    assert_eq!((interval.public.presence.bits(), metered.tier), (1, Tier::Time));
    assert_eq!(interval.reading.elements(), [5_000, 7, 0, 0]);
}

#[test]
fn a_counter_that_begins_anew_or_runs_too_fast_is_not_added() {
    let energies =
        |of: fn(u64) -> u64| weighed(ten_seconds(|number, second| Some(sample(number, of(second))))).0.energy_joule;
    assert_eq!(energies(|second| if second < 5 { second * 700_000 } else { 3 }), Err(Missing::Restarted));
    assert_eq!(energies(|second| second * 25_000_000), Err(Missing::Implausible));
    assert_eq!(energies(|_| 8), Ok(0));
}

#[test]
fn an_interval_that_nobody_saw_whole_counts_nothing() {
    let all = |number, second: u64| Some(sample(number, second * 700_000));
    let lone = ten_seconds(|number, second| all(number, second).filter(|_| number == 1));
    assert_eq!(weighed(lone).0.energy_joule, Err(Missing::Gap));
    let late = ten_seconds(|number, second| all(number, second).filter(|_| second >= 2));
    assert_eq!(weighed(late).0.energy_joule, Err(Missing::Gap));
    let asleep = ten_seconds(|number, second| all(number, second).filter(|_| second <= 1 || second >= 8));
    assert_eq!(weighed(asleep).0.gflop, Err(Missing::Gap));
    let stopped = ten_seconds(|number, second| all(number, second).filter(|_| second <= 3));
    assert_eq!(weighed(stopped).0.energy_joule, Err(Missing::Gap));
    let mut with_gap = sealed(2_000, 8_000);
    let metered = ten_seconds(all).weigh(&mut with_gap).unwrap();
    assert_eq!((metered.energy_joule, with_gap.public.presence.bits()), (Err(Missing::Gap), 1));
}

#[test]
fn the_next_interval_goes_on_where_the_last_one_stopped() {
    let mut meter = ten_seconds(|number, second| Some(sample(number, second * 700_333)));
    meter.weigh(&mut sealed(0, 10_000)).unwrap();
    let mut next = sealed(0, 10_000);
    (next.public.start_mono, next.public.end_mono) = (10_000, 20_000);
    for second in 11..=20 {
        meter.take(second * 1_000, &[sample(1, second * 700_333), sample(2, second * 700_333)]);
    }
    // 2 × 7,003,330 mJ, and 660 mJ that the first interval left.
    assert_eq!(meter.weigh(&mut next).unwrap().energy_joule, Ok(14_007));
}

#[test]
fn kernels_without_reported_work_are_other_work() {
    let mut quiet = sealed(0, 0);
    ten_seconds(|number, second| Some(sample(number, second))).weigh(&mut quiet).unwrap();
    let time = quiet.public.devices[0];
    assert_eq!((time.run.0, time.other.0, time.idle.0, time.total()), (0, 9_000, 1_000, Some(10_000)));
}

#[test]
fn a_record_says_numbers_or_reasons() {
    let (metered, _) = weighed(ten_seconds(|number, second| {
        Some(changed(number, second * 700_000, |counters| counters.tensor_permille = Err(Missing::NotSupported)))
    }));
    let json = serde_json::to_string(&metered).unwrap();
    assert_eq!(json, r#"{"energy_joule":14000,"gflop":"not-supported","tier":"activity","flags":[]}"#);
}
