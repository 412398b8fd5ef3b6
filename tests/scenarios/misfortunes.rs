//! A run in which everything happens that a weighed run must not hide: the job is restarted, a service is down, a node is
//! rebooted, an accelerator stands idle or does other work. Each shows in the report, with its weight in the bracket.

use weighbridge_appraisal::{AppraisalTime, VerifyOptions, verify_bundle};
use weighbridge_attest_types::{
    CheckpointCommitment, DeviceMillis, Flops, IntervalPublic, PoseidonDigest, ThresholdReport, Verdict, sha256,
};
use weighbridge_tests::{SAMPLE_INTERVAL, SampleRun};
use weighbridge_verifier::{render_html, render_text};

use crate::support::{anchors_of, assembled};

/// FLOP per second at which a device of the sample is charged.
const RATE: u128 = 132 * 8_192 * 1_980_000_000;

fn checkpoint(attempt: u16, step: u64) -> impl FnOnce(&mut IntervalPublic) {
    move |public| {
        let algebraic_root = PoseidonDigest::from_elements([step, u64::from(attempt), 1, 1]).expect("small elements");
        let fast_root = sha256(&step.to_le_bytes());
        public.checkpoints.push(CheckpointCommitment { attempt, step, fast_root, algebraic_root, files: Vec::new() });
    }
}

/// The whole interval of every device in another state.
fn all_in(
    state: impl Fn(&mut weighbridge_attest_types::DeviceTime) -> &mut DeviceMillis,
) -> impl Fn(&mut IntervalPublic) {
    move |public| {
        for device in &mut public.devices {
            device.run = DeviceMillis(0);
            *state(device) = DeviceMillis(SAMPLE_INTERVAL);
        }
    }
}

/// Attempt 0 to step 130 with a checkpoint after step 100; node 0's service down for two intervals; node 1 idle for two,
/// then at other work for one, then down for three seconds under a new key; attempt 1 from step 100.
fn eventful() -> SampleRun {
    let mut run = SampleRun::begin(7, 2, 1);
    run.advance(5);
    run.nodes[0].seal(checkpoint(0, 100));
    run.nodes[1].seal(|_| ());
    for _ in 0..2 {
        run.nodes[0].seal(all_in(|device| &mut device.gap));
        run.nodes[1].seal(all_in(|device| &mut device.idle));
    }
    run.nodes[1].seal(all_in(|device| &mut device.other));
    run.nodes[0].seal(|_| ());
    run.quote_all();
    run.reboot(1, 3_000);
    run.advance(5);
    run.nodes[0].seal(checkpoint(1, 150));
    run.nodes[1].seal(|_| ());
    run.quote_all();
    run.receipts();
    run
}

fn judged(run: &SampleRun) -> ThresholdReport {
    let bundle = assembled(run, false).expect("assembles");
    let options = VerifyOptions { anchors: anchors_of(&run.world), at: AppraisalTime::Archived };
    let outcome = verify_bundle(&bundle.to_bytes(), &options);
    assert_eq!(outcome.failures().collect::<Vec<_>>(), Vec::<&weighbridge_appraisal::Check>::new());
    outcome.report.expect("accepted")
}

#[test]
fn everything_that_happens_is_charged_like_all_other_time() {
    let report = judged(&eventful());
    // Node 1: nine intervals, three seconds, six intervals; half a second before and after.
    let period: u64 = 1_000 + 15 * SAMPLE_INTERVAL + 3_000;
    assert_eq!(report.coverage.bracketed_millis, Some(2 * period));
    assert_eq!(report.bracket.upper, Some(Flops(2 * RATE * u128::from(period) / 1_000)));
    assert_eq!(report.coverage.idle_millis, 2 * SAMPLE_INTERVAL);
    assert_eq!(report.coverage.other_millis, SAMPLE_INTERVAL);
    assert_eq!(report.coverage.recorded_gap_millis, 2 * SAMPLE_INTERVAL);
    let attempts: Vec<_> = report.checkpoints.iter().map(|line| (line.attempt, line.step)).collect();
    assert_eq!(attempts, [(0, 100), (1, 150)]);
    assert_eq!(report.nodes[1].chains.len(), 2);
    // The same run without any of it, over the same period: the same upper figure, and so the same verdicts.
    let mut plain = SampleRun::begin(7, 2, 1);
    plain.advance(9);
    plain.nodes.iter_mut().for_each(|node| {
        node.seal(|public| {
            public.end_mono += 1_000;
            public.end_wall.0 += 1_000;
            public.devices.iter_mut().for_each(|device| device.run.0 += 1_000);
        })
    });
    plain.advance(6);
    plain.quote_all();
    plain.receipts();
    let plain = judged(&plain);
    assert_eq!(plain.bracket.upper, report.bracket.upper);
    let verdicts = |report: &ThresholdReport| report.profiles.iter().map(|line| line.verdict).collect::<Vec<Verdict>>();
    assert_eq!(verdicts(&plain), verdicts(&report));
}

#[test]
fn each_event_is_told_by_verify_and_on_the_page() {
    let report = judged(&eventful());
    let text = render_text(&report).split_whitespace().collect::<Vec<_>>().join(" ");
    let page = render_html(&report, "demo").expect("a page");
    for told in [
        "node 2 was rebooted and had 2 keys, charged as one node: key ",
        "intervals, quoted through 9; key ",
        "continues quoted head ",
        "4 s of device time without evidence (recorded by the ledger: the daemon did not run or the machine was suspended)",
        "3 s of device time without evidence (between two keys of this node: a reboot, as long as the node's clock says); \
         6.4×10^15 FLOP of the upper figure",
        "4 s of device time idle; 8.6×10^15 FLOP of the upper figure",
        "2 s of device time at other work; 4.3×10^15 FLOP of the upper figure",
        "the job ran in at least 2 attempts, by the checkpoints: attempt 0 (after steps 100), attempt 1 (after steps 150)",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    assert!(page.contains("<h3>What happened</h3>") && page.contains("Node 2 was rebooted"), "the page tells it too");
    assert!(!render_text(&judged(&SampleRun::honest())).contains("rebooted"));
}
