//! **Duty.** Where every device's time went: run, other, idle, and gaps with cause and effect.
//! **Knows** intervals and the length of the bracket. **Does not know** who attested them; it is handed quoted indexes.
//! **Spec.** COMPUTE §8–9 ("report gap seconds, cause, effect in FLOP"); PROTOCOL §3 (Interval).
//!
//! Coverage lowers nothing: a covered and an uncovered millisecond are both charged at the ceiling rate.

use weighbridge_attest_types::{CoverageLine, Device, Flops, GapLine, IntervalPublic, NodeKey};

use crate::totals::inventory_bound;

const WHOLE_IN_BASIS_POINTS: u128 = 10_000;

const RECORDED: &str = "recorded by the ledger: the daemon did not run or the machine was suspended";
const AFTER_LAST_QUOTE: &str = "after the last quoted head: the node's word only";
const OUTSIDE_INTERVALS: &str =
    "inside the external bracket, but in no interval: before the first, between two, or after the last";
const BETWEEN_KEYS: &str = "between two keys of this node: a reboot, as long as the node's clock says";

/// One chain as coverage sees it.
#[derive(Debug)]
pub(crate) struct ChainTime<'a> {
    pub(crate) node_key: NodeKey,
    pub(crate) intervals: Vec<&'a IntervalPublic>,
    /// Index of the last quoted head.
    pub(crate) quoted_through: u64,
}

/// One node as coverage sees it: the chains of its keys, in order. Its devices are the same in all of them.
#[derive(Debug)]
pub(crate) struct NodeTime<'a> {
    pub(crate) chains: Vec<ChainTime<'a>>,
    /// Accelerators with their ceiling rates.
    pub(crate) devices: Vec<(Device, Option<Flops>)>,
}

/// Milliseconds of one device.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    run: u64,
    other: u64,
    idle: u64,
    /// Recorded in quoted intervals.
    gap: u64,
    /// All time after the last quoted head.
    after: u64,
}

impl Sums {
    fn covered(self) -> u64 {
        self.run.saturating_add(self.other).saturating_add(self.idle)
    }

    fn recorded_gap(self) -> u64 {
        self.gap.saturating_add(self.after)
    }
}

/// Adds up all devices of all nodes. `bracket_millis` is the length of the external bracket, if there is one.
pub(crate) fn cover(nodes: &[NodeTime<'_>], bracket_millis: Option<u64>) -> (CoverageLine, Vec<GapLine>) {
    let mut all = Sums::default();
    let mut uncovered = 0u64;
    let mut devices = 0u64;
    let mut gaps = Vec::new();
    for node in nodes {
        for (device, rate) in &node.devices {
            let sums = node.chains.iter().map(|chain| sum_device(chain, *device)).fold(Sums::default(), add);
            all = add(all, sums);
            devices = devices.saturating_add(1);
            uncovered = uncovered.saturating_add(bracket_millis.unwrap_or_default().saturating_sub(sums.covered()));
            gaps.extend(gap_lines(node, (*device, *rate), sums, bracket_millis));
        }
    }
    let bracketed = bracket_millis.map(|millis| millis.saturating_mul(devices));
    let line = CoverageLine {
        bracketed_millis: bracketed,
        covered_millis: all.covered(),
        run_millis: all.run,
        other_millis: all.other,
        idle_millis: all.idle,
        recorded_gap_millis: all.recorded_gap(),
        uncovered_millis: bracketed.map(|_| uncovered),
        covered_basis_points: bracketed.and_then(|bracketed| share(all.covered(), bracketed)),
    };
    (line, gaps)
}

fn sum_device(chain: &ChainTime<'_>, device: Device) -> Sums {
    let mut sums = Sums::default();
    for public in &chain.intervals {
        for time in public.devices.iter().filter(|time| time.device == device) {
            if public.index > chain.quoted_through {
                sums.after = sums.after.saturating_add(time.total().unwrap_or(u64::MAX));
            } else {
                let (run, other) = (time.run.0, time.other.0);
                sums = add(sums, Sums { run, other, idle: time.idle.0, gap: time.gap.0, after: 0 });
            }
        }
    }
    sums
}

fn add(left: Sums, right: Sums) -> Sums {
    Sums {
        run: left.run.saturating_add(right.run),
        other: left.other.saturating_add(right.other),
        idle: left.idle.saturating_add(right.idle),
        gap: left.gap.saturating_add(right.gap),
        after: left.after.saturating_add(right.after),
    }
}

/// The kinds of gap of one device, each millisecond of it in one of them: of every chain what it recorded and what no
/// quote followed, then the time between two keys, then what is left of the bracket.
fn gap_lines(
    node: &NodeTime<'_>,
    (device, rate): (Device, Option<Flops>),
    sums: Sums,
    bracket_millis: Option<u64>,
) -> Vec<GapLine> {
    let mut outside =
        bracket_millis.map(|millis| millis.saturating_sub(sums.covered()).saturating_sub(sums.recorded_gap()));
    let mut found: Vec<(NodeKey, u64, &str)> = Vec::new();
    for chain in &node.chains {
        let Sums { gap, after, .. } = sum_device(chain, device);
        found.extend([(chain.node_key, gap, RECORDED), (chain.node_key, after, AFTER_LAST_QUOTE)]);
    }
    for [previous, next] in node.chains.array_windows() {
        // By the node's clock, and so never more than the bracket has left.
        let between = between(previous, next).min(outside.unwrap_or(u64::MAX));
        outside = outside.map(|outside| outside.saturating_sub(between));
        found.push((next.node_key, between, BETWEEN_KEYS));
    }
    found.extend(node.chains.first().map(|chain| (chain.node_key, outside.unwrap_or_default(), OUTSIDE_INTERVALS)));
    let line = |(node_key, millis, cause): (NodeKey, u64, &str)| GapLine {
        node_key,
        device,
        millis,
        cause: cause.to_owned(),
        effect: inventory_bound([rate], millis),
    };
    found.into_iter().filter(|(_, millis, _)| *millis > 0).map(line).collect()
}

/// Milliseconds from the end of one chain to the start of the next, by the node's clock.
fn between(previous: &ChainTime<'_>, next: &ChainTime<'_>) -> u64 {
    let (ended, starts) = (previous.intervals.last(), next.intervals.first());
    let ends = ended.zip(starts).map(|(ended, starts)| starts.start_wall.0.saturating_sub(ended.end_wall.0));
    ends.unwrap_or_default()
}

/// Hundredths of a percent, rounded down: a coverage is never overstated.
fn share(covered: u64, bracketed: u64) -> Option<u32> {
    let part = u128::from(covered.min(bracketed)).checked_mul(WHOLE_IN_BASIS_POINTS)?;
    u32::try_from(part.checked_div(u128::from(bracketed))?).ok()
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{DeviceMillis, DeviceTime, Digest32, Presence, UnixMillis};

    use super::*;

    const DEVICE: Device = Device(Digest32([7; 32]));
    const KEY: NodeKey = NodeKey([1; 32]);
    const RATE: u128 = 1_000_000;

    fn interval(index: u64, [run, other, idle, gap]: [u64; 4]) -> IntervalPublic {
        let times = DeviceTime {
            device: DEVICE,
            run: DeviceMillis(run),
            other: DeviceMillis(other),
            idle: DeviceMillis(idle),
            gap: DeviceMillis(gap),
        };
        IntervalPublic {
            index,
            boot_id: [0; 16],
            start_wall: UnixMillis(0),
            end_wall: UnixMillis(0),
            start_mono: 0,
            end_mono: 0,
            presence: Presence::default(),
            devices: vec![times],
            checkpoints: vec![],
            windows: vec![],
            quoted: None,
        }
    }

    fn cover_one(
        intervals: &[IntervalPublic],
        quoted_through: u64,
        bracket: Option<u64>,
    ) -> (CoverageLine, Vec<GapLine>) {
        cover(&[node(&[(KEY, intervals, quoted_through)])], bracket)
    }

    fn node<'a>(chains: &[(NodeKey, &'a [IntervalPublic], u64)]) -> NodeTime<'a> {
        let chain = |&(node_key, intervals, quoted_through): &(NodeKey, &'a [IntervalPublic], u64)| ChainTime {
            node_key,
            intervals: intervals.iter().collect(),
            quoted_through,
        };
        NodeTime { chains: chains.iter().map(chain).collect(), devices: vec![(DEVICE, Some(Flops(RATE)))] }
    }

    fn at(start: u64, end: u64, public: IntervalPublic) -> IntervalPublic {
        IntervalPublic { start_wall: UnixMillis(start), end_wall: UnixMillis(end), ..public }
    }

    #[test]
    fn the_time_between_two_keys_is_a_gap_of_its_own_and_no_millisecond_is_counted_twice() {
        let later = NodeKey([2; 32]);
        // The first chain's second interval has no quote after it; then 300 ms pass before the next key's first.
        let first = [at(0, 500, interval(1, [500, 0, 0, 0])), at(500, 600, interval(2, [100, 0, 0, 0]))];
        let second = [at(900, 1_500, interval(1, [0, 50, 540, 10]))];
        let rebooted = node(&[(KEY, &first, 1), (later, &second, 1)]);
        let (line, gaps) = cover(&[rebooted], Some(2_000));
        assert_eq!((line.run_millis, line.other_millis, line.idle_millis), (500, 50, 540));
        assert_eq!((line.bracketed_millis, line.covered_millis), (Some(2_000), 1_090));
        assert_eq!((line.recorded_gap_millis, line.uncovered_millis), (110, Some(910)));
        let found: Vec<_> = gaps.iter().map(|gap| (gap.node_key, gap.millis, gap.cause.as_str())).collect();
        let expected = [
            (KEY, 100, AFTER_LAST_QUOTE),
            (later, 10, RECORDED),
            (later, 300, BETWEEN_KEYS),
            (KEY, 500, OUTSIDE_INTERVALS),
        ];
        assert_eq!(found, expected);
        assert_eq!(gaps.iter().map(|gap| gap.millis).sum::<u64>(), 910);
        // Charged once for the device: as much as one chain over the same bracket.
        let one = cover(&[node(&[(KEY, &first, 1)])], Some(2_000)).0;
        assert_eq!(one.bracketed_millis, line.bracketed_millis);
    }

    #[test]
    fn a_clock_that_claims_a_long_reboot_gets_no_more_than_the_bracket_has_left() {
        let first = [at(0, 500, interval(1, [500, 0, 0, 0]))];
        let second = [at(90_000, 90_500, interval(1, [500, 0, 0, 0]))];
        let chains = [(KEY, first.as_slice(), 1), (NodeKey([2; 32]), second.as_slice(), 1)];
        let gaps = |bracket| cover(&[node(&chains)], bracket).1.iter().map(|gap| gap.millis).collect::<Vec<_>>();
        assert_eq!(gaps(Some(1_200)), [200]);
        // Without a bracket there is only the clock's word.
        assert_eq!(gaps(None), [89_500]);
    }

    #[test]
    fn every_millisecond_of_the_bracket_is_covered_or_a_gap() {
        let intervals = [interval(1, [600, 100, 200, 50]), interval(2, [300, 0, 0, 0])];
        let (line, gaps) = cover_one(&intervals, 1, Some(2_000));
        assert_eq!(
            line,
            CoverageLine {
                bracketed_millis: Some(2_000),
                covered_millis: 900,
                run_millis: 600,
                other_millis: 100,
                idle_millis: 200,
                recorded_gap_millis: 350,
                uncovered_millis: Some(1_100),
                covered_basis_points: Some(4_500),
            }
        );
        let gap = |millis: u64, cause: &str| GapLine {
            node_key: KEY,
            device: DEVICE,
            millis,
            cause: cause.to_owned(),
            effect: Some(Flops(u128::from(millis) * RATE / 1_000)),
        };
        assert_eq!(gaps, [gap(50, RECORDED), gap(300, AFTER_LAST_QUOTE), gap(750, OUTSIDE_INTERVALS)]);
        let lost: u64 = gaps.iter().map(|gap| gap.millis).sum();
        assert_eq!(Some(lost), line.uncovered_millis);
    }

    #[test]
    fn a_full_bracket_has_no_gap_and_a_hair_less_is_not_full() {
        let (line, gaps) = cover_one(&[interval(1, [30_000, 0, 0, 0])], 1, Some(30_000));
        assert_eq!((line.covered_basis_points, line.uncovered_millis, gaps.len()), (Some(10_000), Some(0), 0));
        let (line, gaps) = cover_one(&[interval(1, [29_999, 0, 0, 0])], 1, Some(30_000));
        assert_eq!((line.covered_basis_points, line.uncovered_millis, gaps.len()), (Some(9_999), Some(1), 1));
    }

    #[test]
    fn without_a_bracket_nothing_is_said_about_what_is_not_covered() {
        let (line, gaps) = cover_one(&[interval(1, [10, 0, 0, 5])], 1, None);
        assert_eq!((line.bracketed_millis, line.uncovered_millis, line.covered_basis_points), (None, None, None));
        assert_eq!(gaps.iter().map(|gap| gap.millis).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_device_without_a_rate_has_gaps_without_effect() {
        let publics = [interval(1, [0, 0, 0, 9])];
        let node = NodeTime { devices: vec![(DEVICE, None)], ..node(&[(KEY, &publics, 1)]) };
        assert_eq!(cover(&[node], None).1[0].effect, None);
    }

    #[test]
    fn an_empty_bracket_has_no_share() {
        assert_eq!(share(0, 0), None);
        assert_eq!(share(5, 4), Some(10_000));
    }
}
