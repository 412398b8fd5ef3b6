//! **Duty.** The sampling table from closed windows. **Knows** counts. **Does not know** answers.
//! **Spec.** TRAINING §7 (printed table); COMPUTE §10 item 14.

use weighbridge_attest_types::{
    Digest32, Flops, Grade, RunManifest, SamplingEntriesLine, SamplingLine, SamplingOperandsLine, SamplingStratumLine,
    Sentence,
};
use weighbridge_audit::{AuditMode, ClosedWindow, RandomnessGrade, Weight, WindowError};

use crate::audit::{ChainWindows, Judged, draws_hold};
use crate::check::CheckResult;

/// What the table of an audit rests on.
const BASIS: [&str; 5] =
    ["check:audit-policy", "check:audit-windows", "check:audit-answers", "check:audit-draws", "check:ledger-quoted"];

/// Without answers nothing is known but that an audit was announced, and how many windows there are.
pub(super) fn unanswered(
    manifest: &RunManifest,
    policy: Digest32,
    windows: &[ChainWindows],
    said: String,
) -> SamplingLine {
    SamplingLine {
        policy,
        numeric_policy: manifest.numeric(),
        answered: false,
        mode: None,
        randomness: None,
        windows: quoted(windows),
        unquoted: unquoted(windows),
        flop: None,
        risk_millionths: None,
        strata: Vec::new(),
        opened: None,
        operands: None,
        why: Sentence::on(["check:audit-answers", "check:ledger-quoted"], said),
        grade: Grade::Declared,
    }
}

/// The table, and what its draws come to.
pub(super) fn answered(
    judged: &Judged<'_>,
    windows: &[ChainWindows],
) -> Result<(SamplingLine, CheckResult), WindowError> {
    let (closed, policy) = (judged.closed(), &judged.answers.policy);
    let grade = policy.randomness().grade();
    let strata = policy.strata().iter().map(|stratum| stratum_line(judged, &closed, stratum.weight));
    let strata: Vec<SamplingStratumLine> = strata.collect::<Result<_, _>>()?;
    let sum = |of: fn(&SamplingStratumLine) -> u64| strata.iter().map(of).fold(0, u64::saturating_add);
    let counts =
        [sum(|line| line.passed), sum(|line| line.not_proven), sum(|line| line.refused), sum(|line| line.unanswered)];
    let counted = closed.iter().filter(|window| judged.is_quoted(window.node_key_digest, window.index));
    let flop = counted.fold(0u128, |sum, window| sum.saturating_add(window.sums.flops().0));
    let line = SamplingLine {
        policy: policy.digest(),
        numeric_policy: Some(judged.answers.numeric.digest()),
        answered: true,
        mode: Some(mode_name(policy.mode()).to_owned()),
        randomness: Some(grade.as_str().to_owned()),
        windows: quoted(windows),
        unquoted: unquoted(windows),
        flop: Some(Flops(flop)),
        risk_millionths: Some(policy.risk().millionths()),
        strata,
        opened: Some(opened(judged)),
        operands: Some(operands(judged)),
        why: Sentence::on(BASIS, words(grade, closed.len(), counts)),
        grade: Grade::Declared,
    };
    Ok((line, draws_hold(judged, counts)))
}

/// All windows together: each once, none missing, under one policy, of work that stands in no two of them.
fn stratum_line(
    judged: &Judged<'_>,
    closed: &[ClosedWindow],
    weight: Weight,
) -> Result<SamplingStratumLine, WindowError> {
    let committed = judged.committed();
    let (cap, draws_per_window, allowance) = if closed.is_empty() {
        let stratum = judged.answers.policy.strata().iter().find(|stratum| stratum.weight == weight);
        (stratum.map_or(0, |stratum| stratum.cap), stratum.map_or(0, |stratum| stratum.draws), None)
    } else {
        let (outcome, grade) = ClosedWindow::outcome(closed, &committed, weight)?;
        // What was drawn by the prover's own randomness bounds nothing.
        let allowance = if grade.is_a_sample() { Some(Flops(outcome.allowance()?)) } else { None };
        (outcome.cap, outcome.draws, allowance)
    };
    let counts = closed.iter().flat_map(|window| &window.counts).filter(|count| count.stratum.weight == weight);
    let sum = |of: fn(&weighbridge_audit::StratumCount) -> u32| {
        counts.clone().map(|count| u64::from(of(count))).fold(0, u64::saturating_add)
    };
    let [passed, not_proven] = [sum(|count| count.passed), sum(|count| count.not_proven)];
    let [refused, unanswered] = [sum(|count| count.refused), sum(|count| count.unanswered)];
    let draws = [passed, not_proven, refused, unanswered].into_iter().fold(0, u64::saturating_add);
    let weight = match weight {
        Weight::Flop => "flop",
        Weight::Link => "link",
    };
    let cap = Flops(cap);
    let weight = weight.to_owned();
    Ok(SamplingStratumLine { weight, cap, draws_per_window, draws, passed, not_proven, refused, unanswered, allowance })
}

fn opened(judged: &Judged<'_>) -> SamplingEntriesLine {
    let mut sum = SamplingEntriesLine { checked: 0, product: 0, boundary: 0, unlinked: 0 };
    for found in judged.counted() {
        sum.checked = sum.checked.saturating_add(found.opened.checked);
        sum.product = sum.product.saturating_add(found.opened.product);
        sum.boundary = sum.boundary.saturating_add(found.opened.boundary);
        sum.unlinked = sum.unlinked.saturating_add(found.opened.unlinked);
    }
    sum
}

fn operands(judged: &Judged<'_>) -> SamplingOperandsLine {
    let mut sum = SamplingOperandsLine { entries: 0, zeros: 0, repeated: 0 };
    for facts in judged.counted().filter_map(|found| found.facts) {
        let pairs = [
            (&mut sum.entries, facts.left_entries, facts.right_entries),
            (&mut sum.zeros, facts.left_zeros, facts.right_zeros),
            (&mut sum.repeated, facts.repeated_rows, facts.repeated_columns),
        ];
        for (sum, left, right) in pairs {
            *sum = sum.saturating_add(u64::from(left)).saturating_add(u64::from(right));
        }
    }
    sum
}

fn words(grade: RandomnessGrade, windows: usize, [passed, not_proven, refused, unanswered]: [u64; 4]) -> String {
    let all = [passed, not_proven, refused, unanswered].into_iter().fold(0, u64::saturating_add);
    let failed = match all.saturating_sub(passed) {
        0 => String::new(),
        failed => {
            format!("; {failed} count as failed ({refused} refused, {not_proven} not proven, {unanswered} unanswered)")
        }
    };
    let drawn = format!("{passed} of {all} draws from {windows} windows passed{failed}");
    match grade {
        RandomnessGrade::SelfCheck => format!(
            "self-check: {drawn}; the prover drew for itself and could have drawn again, so that nothing was sampled and no \
             figure moves"
        ),
        RandomnessGrade::VerifierTrusted | RandomnessGrade::Beacon => format!("{}: {drawn}", grade.as_str()),
    }
}

const fn mode_name(mode: AuditMode) -> &'static str {
    match mode {
        AuditMode::Committed => "committed",
        AuditMode::Replayed => "replayed",
        AuditMode::Surprise => "surprise",
    }
}

fn quoted(windows: &[ChainWindows]) -> u64 {
    windows.iter().map(|chain| chain.quoted).fold(0, u64::saturating_add)
}

fn unquoted(windows: &[ChainWindows]) -> u64 {
    let all = windows.iter().map(|chain| chain.windows.len() as u64).fold(0, u64::saturating_add);
    all.saturating_sub(quoted(windows))
}
