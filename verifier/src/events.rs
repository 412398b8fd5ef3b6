//! **Duty.** What happened in a run besides training: reboots, gaps, restarts, idle time; each with what it does to the
//! bracket. **Knows** the report's lines. **Does not know** how any of it was found. **Spec.** COMPUTE §9.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::{Flops, ThresholdReport};

use crate::figures::{Amount, duration};

/// Hexadecimal digits by which a person tells keys and heads apart.
const SHORT: usize = 12;

/// One sentence for each thing that happened, in the order: keys, gaps, time outside the run, attempts.
pub(crate) fn events(report: &ThresholdReport) -> Vec<String> {
    let mut lines = reboots(report);
    lines.extend(gaps(report));
    lines.extend(outside_the_run(report));
    lines.extend(attempts(report));
    lines
}

fn short(text: &impl ToString) -> String {
    text.to_string().chars().take(SHORT).collect()
}

fn reboots(report: &ThresholdReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, node) in (1..).zip(&report.nodes).filter(|(_, node)| node.chains.len() > 1) {
        let chains: Vec<String> = node
            .chains
            .iter()
            .map(|chain| {
                let (key, intervals, quoted) = (short(&chain.node_key), chain.intervals, chain.quoted_through);
                let continues = chain.predecessor.map(|head| format!("continues quoted head {}; ", short(&head)));
                format!("key {key}: {}{intervals} intervals, quoted through {quoted}", continues.unwrap_or_default())
            })
            .collect();
        let count = node.chains.len();
        lines.push(format!(
            "node {number} was rebooted and had {count} keys, charged as one node: {}",
            chains.join("; ")
        ));
    }
    lines
}

/// Gaps of one cause together, with their weight in the upper figure.
fn gaps(report: &ThresholdReport) -> Vec<String> {
    let mut causes: BTreeMap<&str, (u64, Option<Flops>)> = BTreeMap::new();
    for gap in &report.gaps {
        let (millis, effect) = causes.entry(&gap.cause).or_insert((0, Some(Flops(0))));
        *millis = millis.saturating_add(gap.millis);
        *effect = effect.zip(gap.effect).and_then(|(sum, more)| sum.checked_add(more).ok());
    }
    let line = |(cause, (millis, effect)): (&str, (u64, Option<Flops>))| {
        format!("{} of device time without evidence ({cause}); {}", duration(millis), weight(effect))
    };
    causes.into_iter().map(line).collect()
}

fn outside_the_run(report: &ThresholdReport) -> Vec<String> {
    let times = [("idle", report.coverage.idle_millis), ("at other work", report.coverage.other_millis)];
    let line = |(word, millis): (&str, u64)| {
        format!("{} of device time {word}; {}", duration(millis), weight(at_ceiling(report, millis)))
    };
    times.into_iter().filter(|(_, millis)| *millis > 0).map(line).collect()
}

/// Device time at the ceiling rate, where all devices have one and the same.
fn at_ceiling(report: &ThresholdReport, millis: u64) -> Option<Flops> {
    let rates: BTreeSet<_> =
        report.nodes.iter().flat_map(|node| &node.devices).map(|device| device.ceiling_flop_per_second).collect();
    let rate = rates.first().copied().flatten().filter(|_| rates.len() == 1)?;
    Some(Flops(rate.0.checked_mul(u128::from(millis))?.div_ceil(1_000)))
}

fn weight(effect: Option<Flops>) -> String {
    match effect {
        Some(effect) => format!("{} FLOP of the upper figure", Amount::of(effect)),
        None => "its weight in the upper figure is not known".to_owned(),
    }
}

/// Attempts show in checkpoints only: how many steps of an attempt were abandoned is not public.
fn attempts(report: &ThresholdReport) -> Vec<String> {
    let mut steps: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    for checkpoint in &report.checkpoints {
        steps.entry(checkpoint.attempt).or_default().insert(checkpoint.step);
    }
    if steps.len() < 2 {
        return Vec::new();
    }
    let seen: Vec<String> = steps
        .iter()
        .map(|(attempt, steps)| {
            let steps: Vec<String> = steps.iter().map(u64::to_string).collect();
            format!("attempt {attempt} (after steps {})", steps.join(", "))
        })
        .collect();
    vec![format!(
        "the job ran in at least {} attempts, by the checkpoints: {}; steps that a later attempt did again are declared \
         work like all others, and their number is not public",
        steps.len(),
        seen.join(", ")
    )]
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::PoseidonDigest;

    use super::*;
    use crate::html::sample_report;

    #[test]
    fn every_event_is_told_with_its_weight() {
        let mut report = sample_report();
        report.gaps.truncate(0);
        (report.coverage.idle_millis, report.coverage.other_millis) = (0, 0);
        report.checkpoints.truncate(1);
        assert_eq!(events(&report), Vec::<String>::new());

        report.coverage.idle_millis = 4_000;
        let mut later = report.nodes[1].chains[0].clone();
        later.predecessor = PoseidonDigest::from_elements([1, 2, 3, 4]);
        report.nodes[1].chains.push(later);
        let mut second = report.checkpoints[0].clone();
        (second.attempt, second.step) = (second.attempt + 1, 7);
        report.checkpoints.push(second);
        let told = events(&report);
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].starts_with("node 2 was rebooted and had 2 keys, charged as one node: key "), "{}", told[0]);
        assert!(told[0].contains("continues quoted head 010000000000"), "{}", told[0]);
        assert_eq!(told[1], "4 s of device time idle; 8.6×10^15 FLOP of the upper figure");
        assert!(told[2].starts_with("the job ran in at least 2 attempts, by the checkpoints: attempt "), "{}", told[2]);
        // Without a rate for every device no weight is made up.
        report.nodes[0].devices[0].ceiling_flop_per_second = None;
        assert!(events(&report)[1].ends_with("its weight in the upper figure is not known"));
    }
}
