use weighbridge_attest_types::{Culprit, Digest32, FLOP_PER_GFLOP, PoseidonDigest};

use super::*;
use crate::effects::Effects;

const BOOT: [u8; 16] = [3; 16];
const WALL: u64 = 1_800_000_000_000;

/// A run under a clock that only the test moves.
struct Run {
    intervals: Intervals,
    now: Now,
}

impl Run {
    fn new(interval_millis: u64, attest_every: u64) -> Self {
        let now = Now { wall: UnixMillis(WALL), mono: 5_000, boot_id: BOOT };
        let devices = vec![Device(Digest32([1; 32])), Device(Digest32([2; 32]))];
        let rules = IntervalRules { interval_millis, attest_every, devices, audited: true };
        Self { intervals: Intervals::begin(rules, now), now }
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now.mono += millis;
        self.now.wall.0 += millis;
        self
    }

    fn on(&mut self, event: Event) -> Result<Vec<Effect>, IntervalError> {
        let mut effects = Effects::default();
        self.intervals.on(self.now, event, effects.sink())?;
        Ok(effects.drain())
    }

    fn unit(&mut self, step: u64, flop: u128) -> Result<Vec<Effect>, IntervalError> {
        let key = UnitKey { attempt: 0, step, rank: 0, micro_batch: 0 };
        self.on(Event::WorkUnit { key, flop: Flops(flop) })
    }

    /// Passes time in seconds with a tick each, so that no silence arises; what was sealed on the way.
    fn live(&mut self, seconds: u64) -> Vec<SealedInterval> {
        (0..seconds).flat_map(|_| sealed(self.pass(1_000).on(Event::Tick).unwrap())).collect()
    }

    /// The process stops, time passes, another process reads the kept state.
    fn restart_after(&mut self, millis: u64) -> Result<Vec<Effect>, IntervalError> {
        let kept = serde_json::to_vec(&self.intervals).unwrap();
        self.intervals = serde_json::from_slice(&kept).unwrap();
        self.pass(millis).on(Event::Restarted)
    }
}

fn sealed(effects: Vec<Effect>) -> Vec<SealedInterval> {
    let one = |effect| if let Effect::Append(interval) = effect { Some(*interval) } else { None };
    effects.into_iter().filter_map(one).collect()
}

fn quotes(effects: &[Effect]) -> Vec<u64> {
    let one = |effect: &Effect| if let Effect::Quote { index } = effect { Some(*index) } else { None };
    effects.iter().filter_map(one).collect()
}

/// (run, other, idle, gap) of the first device; every device has the same.
fn times(interval: &SealedInterval) -> (u64, u64, u64, u64) {
    let devices = &interval.public.devices;
    let row = |time: &DeviceTime| (time.run.0, time.other.0, time.idle.0, time.gap.0);
    assert!(devices.iter().all(|time| row(time) == row(&devices[0])));
    assert_eq!(devices[0].total(), Some(interval.public.end_mono - interval.public.start_mono));
    row(&devices[0])
}

fn commitment(step: u64) -> CheckpointCommitment {
    let (fast_root, algebraic_root) = (Digest32([7; 32]), PoseidonDigest::default());
    CheckpointCommitment { attempt: 0, step, fast_root, algebraic_root, files: vec![] }
}

#[test]
fn a_year_of_intervals_is_contiguous_and_loses_no_flop() {
    let mut run = Run::new(60_000, u64::MAX);
    let (mut whole, mut declared) = (0u128, 0u128);
    let mut previous: Option<SealedInterval> = None;
    for step in 0..525_600u64 {
        let flop = 1_234_567_891u128 * u128::from(step % 7 + 1);
        run.unit(step, flop).unwrap();
        declared += flop;
        // Minutes in 4.9 s leaps: under the silence that counts as a gap.
        for _ in 0..12 {
            run.pass(4_900).on(Event::Tick).unwrap();
        }
        let interval = sealed(run.pass(1_200).on(Event::Tick).unwrap()).remove(0);
        assert_eq!(times(&interval), (60_000, 0, 0, 0));
        whole += u128::from(interval.reading.declared_gflop());
        if let Some(before) = previous.replace(interval.clone()) {
            assert_eq!(interval.public.index, before.public.index + 1);
            assert_eq!(interval.public.start_wall, before.public.end_wall);
            assert_eq!(interval.public.start_mono, before.public.end_mono);
        }
        assert_eq!(whole * FLOP_PER_GFLOP + u128::from(interval.reading.declared_rest()), declared);
    }
}

#[test]
fn a_repeated_unit_is_acknowledged_and_not_counted_and_nothing_goes_back() {
    let mut run = Run::new(1_000, 10);
    assert_eq!(run.unit(4, 2_000_000_000).unwrap(), [Effect::Keep, Effect::Acknowledge { counted: true }]);
    assert_eq!(run.unit(4, 2_000_000_000).unwrap(), [Effect::Acknowledge { counted: false }]);
    let key = |step| UnitKey { attempt: 0, step, rank: 0, micro_batch: 0 };
    assert_eq!(run.unit(4, 1), Err(IntervalError::UnitConflict(key(4))));
    assert_eq!(run.unit(3, 2_000_000_000), Err(IntervalError::UnitOrder { last: key(4), found: key(3) }));
    assert_eq!(run.live(1)[0].reading.declared_gflop(), 2);
    // The order outlives the interval and the process.
    run.restart_after(10).unwrap();
    assert_eq!(run.unit(4, 2_000_000_000).unwrap(), [Effect::Acknowledge { counted: false }]);
    assert_eq!(run.unit(3, 1).unwrap_err().culprit().exit_code(), 2);
    let attempt_1 = UnitKey { attempt: 1, step: 0, rank: 0, micro_batch: 0 };
    assert!(run.on(Event::WorkUnit { key: attempt_1, flop: Flops(5) }).is_ok());
}

#[test]
fn more_than_a_reading_can_carry_is_refused_and_changes_nothing() {
    let mut run = Run::new(1_000, 10);
    let limit = u128::from(MAX_READING) * FLOP_PER_GFLOP;
    assert_eq!(run.unit(1, limit), Err(IntervalError::TooMuchWork));
    assert_eq!(run.unit(1, u128::MAX), Err(IntervalError::TooMuchWork));
    run.unit(1, limit - 1).unwrap();
    assert_eq!(run.unit(2, 1), Err(IntervalError::TooMuchWork));
    let interval = run.live(1).remove(0);
    assert_eq!(interval.reading.declared_gflop(), MAX_READING - 1);
    assert_eq!(interval.reading.declared_rest(), 999_999_999);
}

#[test]
fn an_interval_without_a_step_or_unit_is_idle() {
    let mut run = Run::new(2_000, 10);
    assert_eq!(run.on(Event::Step { attempt: 0, step: 1 }).unwrap()[1], Effect::Acknowledge { counted: true });
    assert_eq!(times(&run.live(2)[0]), (2_000, 0, 0, 0));
    // The same step again is old news.
    assert_eq!(run.on(Event::Step { attempt: 0, step: 1 }).unwrap(), [Effect::Acknowledge { counted: false }]);
    assert_eq!(times(&run.live(2)[0]), (0, 0, 2_000, 0));
    // Another rank tells of it later; an earlier attempt is over.
    assert_eq!(run.on(Event::Step { attempt: 0, step: 0 }).unwrap(), [Effect::Acknowledge { counted: false }]);
    run.on(Event::Step { attempt: 1, step: 0 }).unwrap();
    let refused = run.on(Event::Step { attempt: 0, step: 2 }).unwrap_err();
    assert_eq!(refused, IntervalError::StepOrder { last: (1, 0), found: (0, 2) });
}

#[test]
fn windows_are_committed_in_their_order_once_and_stand_in_the_interval_that_took_them() {
    let mut run = Run::new(2_000, 100);
    let root = |first| PoseidonDigest::from_elements([first, 0, 0, 1]).unwrap();
    let window = |index, first| WindowCommitment { index, root: root(first) };
    let commit = |run: &mut Run, index, first| run.on(Event::Window(window(index, first)));
    let refused = commit(&mut run, 1, 7).unwrap_err();
    assert_eq!(refused, IntervalError::WindowOrder { expected: 0, found: 1 });
    assert_eq!(commit(&mut run, 0, 7).unwrap()[1], Effect::Acknowledge { counted: true });
    // A retry is no second window; another root for it is refused, and so is one left out.
    assert_eq!(commit(&mut run, 0, 7).unwrap(), [Effect::Acknowledge { counted: false }]);
    assert_eq!(commit(&mut run, 0, 8), Err(IntervalError::WindowConflict(0)));
    assert_eq!(commit(&mut run, 2, 9), Err(IntervalError::WindowOrder { expected: 1, found: 2 }));
    commit(&mut run, 1, 9).unwrap();
    run.live(1);
    let effects = run.pass(1_000).on(Event::Tick).unwrap();
    assert_eq!(quotes(&effects), [1], "a head with a window is quoted at once");
    assert_eq!(sealed(effects)[0].public.windows, [window(0, 7), window(1, 9)]);
    // After the seal as well, and over a restart.
    let kept = serde_json::to_vec(&run.intervals).unwrap();
    run.intervals = serde_json::from_slice(&kept).unwrap();
    assert_eq!(commit(&mut run, 0, 7), Err(IntervalError::WindowOrder { expected: 2, found: 0 }));
    assert_eq!(commit(&mut run, 1, 9).unwrap(), [Effect::Acknowledge { counted: false }]);
    commit(&mut run, 2, 3).unwrap();
    assert_eq!(run.live(2)[0].public.windows, [window(2, 3)]);
    run.pass(2_000).on(Event::End).unwrap();
    assert_eq!(commit(&mut run, 3, 3), Err(IntervalError::Ended));
}

#[test]
fn a_run_without_an_audit_takes_no_window_and_an_interval_not_any_number() {
    let mut run = Run::new(2_000, 100);
    let window = |index| Event::Window(WindowCommitment { index, root: PoseidonDigest::default() });
    for index in 0..1_024 {
        run.on(window(index)).unwrap();
    }
    assert_eq!(run.on(window(1_024)), Err(IntervalError::TooManyWindows));
    run.intervals.rules.audited = false;
    assert_eq!(run.on(window(1_024)), Err(IntervalError::NotAudited));
    assert_eq!(IntervalError::NotAudited.culprit(), Culprit::Usage);
}

#[test]
fn ranks_of_one_node_report_each_in_its_own_order() {
    let mut run = Run::new(1_000, 10);
    let unit = |rank, step| Event::WorkUnit {
        key: UnitKey { attempt: 0, step, rank, micro_batch: 0 },
        flop: Flops(1_000_000_000),
    };
    for (rank, step) in [(0, 1), (0, 2), (1, 1), (2, 1), (1, 2), (0, 3)] {
        assert_eq!(run.on(unit(rank, step)).unwrap()[1], Effect::Acknowledge { counted: true });
    }
    assert!(matches!(run.on(unit(1, 1)), Err(IntervalError::UnitOrder { .. })));
    assert_eq!(run.on(unit(2, 1)).unwrap(), [Effect::Acknowledge { counted: false }]);
    assert_eq!(run.live(1)[0].reading.declared_gflop(), 6);
    for rank in 3..1_024 {
        run.on(unit(rank, 1)).unwrap();
    }
    assert_eq!(run.on(unit(1_024, 1)), Err(IntervalError::TooManyRanks));
}

#[test]
fn after_a_restart_all_time_since_the_last_end_is_one_gap_and_no_work_is_lost() {
    let mut run = Run::new(60_000, 100);
    run.unit(1, 3_000_000_005).unwrap();
    run.live(30);
    let gap = sealed(run.restart_after(7_200_000).unwrap()).remove(0);
    assert_eq!(times(&gap), (0, 0, 0, 7_230_000));
    assert_eq!((gap.public.index, gap.reading.declared_gflop(), gap.reading.declared_rest()), (1, 3, 5));
    run.unit(2, 999_999_995).unwrap();
    let next = run.live(60).remove(0);
    assert_eq!(times(&next), (60_000, 0, 0, 0));
    assert_eq!((next.public.index, next.reading.declared_gflop(), next.reading.declared_rest()), (2, 1, 0));
}

#[test]
fn a_restart_within_a_second_joins_the_open_interval_as_a_gap() {
    let mut run = Run::new(2_000, 100);
    assert_eq!(run.restart_after(400).unwrap(), []);
    assert_eq!(times(&run.live(2)[0]), (0, 0, 2_000, 400));
}

#[test]
fn silence_is_a_gap_and_a_long_one_takes_the_whole_interval() {
    let mut run = Run::new(60_000, 100);
    run.unit(1, 1).unwrap();
    run.live(20);
    let suspended = sealed(run.pass(50_000).on(Event::Tick).unwrap()).remove(0);
    assert_eq!(times(&suspended), (20_000, 0, 0, 50_000));
    run.unit(2, 1).unwrap();
    run.live(20);
    let overnight = sealed(run.pass(28_800_000).on(Event::Tick).unwrap()).remove(0);
    assert_eq!(times(&overnight), (0, 0, 0, 28_820_000));
}

#[test]
fn an_interval_at_the_upper_limit_is_not_lost_to_a_late_tick() {
    let mut run = Run::new(600_000, 100);
    run.unit(1, 1).unwrap();
    let mut found = vec![];
    while found.is_empty() {
        found = sealed(run.pass(1_300).on(Event::Tick).unwrap());
    }
    let (ran, _, _, gap) = times(&found[0]);
    assert!((595_000..=600_000).contains(&ran), "{ran}");
    assert_eq!(gap, 0);
}

#[test]
fn a_clock_that_went_back_stops_the_run_until_it_is_right_and_the_time_is_a_gap() {
    let mut run = Run::new(10_000, 100);
    run.unit(1, 4_000_000_000).unwrap();
    run.live(10);
    run.unit(2, 5_000_000_000).unwrap();
    run.live(2);
    run.now.wall.0 -= 60_000;
    let back = IntervalError::ClockWentBack { by_millis: 58_000 };
    assert_eq!(run.on(Event::Tick), Err(back.clone()));
    assert_eq!(run.unit(3, 6_000_000_000), Err(back.clone()));
    assert_eq!(back.to_string(), "the wall clock went back: it is 58000 ms before the end of the last interval");
    assert_eq!(back.culprit(), Culprit::Unavailable);
    assert!(back.remedy().starts_with("set the clock right; work that was acknowledged is kept"));
    // Somebody mends the clock three seconds later: less than the silence that is a gap by itself.
    run.pass(3_000).now.wall.0 += 60_000;
    assert_eq!(run.unit(3, 6_000_000_000).unwrap()[1], Effect::Acknowledge { counted: true });
    let interval = run.live(5).remove(0);
    assert_eq!(times(&interval), (7_000, 0, 0, 3_000));
    assert_eq!(interval.reading.declared_gflop(), 11);
    assert!(interval.public.end_wall > interval.public.start_wall);
}

#[test]
fn a_restart_under_a_clock_that_is_back_waits_and_then_records_one_gap() {
    let mut run = Run::new(10_000, 100);
    run.unit(1, 4_000_000_000).unwrap();
    run.now.wall.0 -= 500_000;
    assert_eq!(run.restart_after(100_000), Err(IntervalError::ClockWentBack { by_millis: 400_000 }));
    assert!(run.pass(1_000).on(Event::Tick).is_err());
    run.now.wall.0 += 500_000;
    let gap = sealed(run.pass(1_000).on(Event::Tick).unwrap()).remove(0);
    assert_eq!(times(&gap), (0, 0, 0, 102_000));
    assert_eq!(gap.reading.declared_gflop(), 4);
}

#[test]
fn another_boot_or_a_boot_clock_that_runs_back_is_our_fault() {
    let mut run = Run::new(10_000, 100);
    run.now.mono -= 1;
    assert_eq!(run.on(Event::Tick), Err(IntervalError::ForeignBoot));
    run.now.mono += 1;
    run.now.boot_id = [4; 16];
    assert_eq!(run.on(Event::Tick).unwrap_err().culprit(), Culprit::Internal);
}

#[test]
fn heads_are_quoted_every_so_often_and_the_next_interval_names_the_quote() {
    let mut run = Run::new(1_000, 3);
    let asked: Vec<u64> = (0..3).flat_map(|_| quotes(&run.pass(1_000).on(Event::Tick).unwrap())).collect();
    assert_eq!(asked, [3]);
    // While a quote is being made, no other is asked for.
    assert_eq!(quotes(&run.pass(1_000).on(Event::Tick).unwrap()), [] as [u64; 0]);
    let quoted = QuotedHead { index: 3, evidence: Digest32([9; 32]) };
    assert_eq!(run.on(Event::Quoted(quoted)).unwrap(), [Effect::Keep]);
    assert_eq!(run.live(1)[0].public.quoted, Some(quoted));
    let effects = run.pass(1_000).on(Event::Tick).unwrap();
    assert_eq!(quotes(&effects), [6]);
    assert_eq!(sealed(effects)[0].public.quoted, None);
    // A failure is tried again with the very next head.
    run.on(Event::QuoteFailed).unwrap();
    assert_eq!(quotes(&run.pass(1_000).on(Event::Tick).unwrap()), [7]);
    let old = QuotedHead { index: 3, evidence: Digest32([8; 32]) };
    assert_eq!(run.on(Event::Quoted(old)).unwrap_err().culprit(), Culprit::Internal);
}

#[test]
fn a_checkpoint_is_named_once_and_its_interval_quoted() {
    let mut run = Run::new(1_000, 1_000);
    assert_eq!(run.on(Event::Checkpoint(commitment(5))).unwrap()[1], Effect::Acknowledge { counted: true });
    assert_eq!(run.on(Event::Checkpoint(commitment(5))).unwrap(), [Effect::Acknowledge { counted: false }]);
    let effects = run.pass(1_000).on(Event::Tick).unwrap();
    assert_eq!(quotes(&effects), [1]);
    assert_eq!(sealed(effects)[0].public.checkpoints, [commitment(5)]);
}

#[test]
fn too_many_checkpoints_in_one_interval_are_refused() {
    let mut run = Run::new(1_000, 1_000);
    for step in 0..1_024 {
        run.on(Event::Checkpoint(commitment(step))).unwrap();
    }
    assert_eq!(run.on(Event::Checkpoint(commitment(1_024))), Err(IntervalError::TooManyCheckpoints));
}

#[test]
fn an_interval_is_never_shorter_than_a_second_and_a_run_ends_once() {
    let mut run = Run::new(60_000, 1_000);
    run.unit(1, 7).unwrap();
    assert_eq!(run.pass(300).on(Event::End), Err(IntervalError::TooEarly { wait_millis: 700 }));
    assert_eq!(run.on(Event::SealNow), Err(IntervalError::TooEarly { wait_millis: 700 }));
    let fresh = run.pass(700).on(Event::SealNow).unwrap();
    assert_eq!((sealed(fresh.clone()).len(), quotes(&fresh).len()), (1, 0));
    let last = sealed(run.pass(1_000).on(Event::End).unwrap()).remove(0);
    assert_eq!((last.public.index, last.reading.declared_rest()), (2, 7));
    assert!(run.intervals.has_ended());
    assert_eq!(run.unit(2, 1), Err(IntervalError::Ended));
    assert_eq!(run.on(Event::End), Err(IntervalError::Ended));
    assert_eq!(run.pass(100_000).on(Event::Tick), Ok(vec![]));
    let quoted = QuotedHead { index: 2, evidence: Digest32([9; 32]) };
    assert_eq!(run.on(Event::Quoted(quoted)), Ok(vec![Effect::Keep]));
}

#[test]
fn a_run_can_end_under_a_clock_that_went_back_and_its_work_is_sealed() {
    let mut run = Run::new(2_000, 100);
    run.live(2);
    run.unit(1, 3_000_000_000).unwrap();
    run.pass(1_500);
    run.now.wall.0 -= 86_400_000;
    assert!(matches!(run.on(Event::Tick), Err(IntervalError::ClockWentBack { .. })));
    let last = sealed(run.on(Event::End).unwrap()).remove(0);
    assert_eq!(last.public.start_wall, last.public.end_wall);
    assert_eq!(times(&last), (0, 0, 0, 1_500));
    assert_eq!(last.reading.declared_gflop(), 3);
    assert_eq!(run.on(Event::Tick), Ok(vec![]));
}

#[test]
fn reports_that_the_job_lost_make_the_open_interval_a_gap_once() {
    let mut run = Run::new(10_000, 100);
    run.unit(1, 4_000_000_000).unwrap();
    let lost = |step| Event::ReportsLost { key: (0, 0, step) };
    assert_eq!(run.on(lost(9)).unwrap(), [Effect::Keep, Effect::Acknowledge { counted: true }]);
    assert_eq!(run.on(lost(9)).unwrap(), [Effect::Acknowledge { counted: false }]);
    let gap = run.live(10).remove(0);
    assert_eq!((times(&gap), gap.reading.declared_gflop()), ((0, 0, 0, 10_000), 4));
    // Told again after the seal: the next interval is not marked for it.
    assert_eq!(run.on(lost(9)).unwrap(), [Effect::Acknowledge { counted: false }]);
    assert_eq!(times(&run.live(10)[0]), (0, 0, 10_000, 0));
    for rank in 1..1_024 {
        run.on(Event::ReportsLost { key: (0, rank, 1) }).unwrap();
    }
    assert_eq!(run.on(Event::ReportsLost { key: (0, 1_024, 1) }), Err(IntervalError::TooManyRanks));
}
