//! **Duty.** When the time to notify began, and when it ends. **Knows** the triggers. **Does not know** holidays: days
//! are 24 hours in UTC, without any extension. **Spec.** COMPUTE §7 (clock); EU AI Act, Article 52(1).

use weighbridge_attest_types::{
    ClockLine, DeclaredVerdict, Flops, Grade, Sentence, ThresholdProfile, ThresholdReport, Trigger, UnixMillis,
    Verdict, format_instant,
};

use super::{rules, work};

const MILLIS_PER_DAY: u64 = 86_400_000;
const MILLIS_PER_SECOND: u128 = 1_000;

/// `None` where the instrument sets no time.
pub(super) fn clock_line(
    report: &ThresholdReport,
    profile: &ThresholdProfile,
    verdict: Verdict,
    declared: Option<&DeclaredVerdict>,
) -> Option<ClockLine> {
    let days = u64::from(profile.deadline.as_ref()?.days);
    let weak = Grade::Declared.min(report.bracket.grade);
    let found = [
        planned(report, profile).map(|at| (at, Trigger::Plan, weak)),
        forecast(report, profile).map(|at| (at, Trigger::Forecast, weak)),
        upper(report, profile, 0).map(|at| (at, Trigger::Upper, report.bracket.grade)),
        stated(report, profile, declared).map(|at| (at, Trigger::Declared, weak)),
    ];
    let first = found.into_iter().flatten().min_by_key(|(at, trigger, _)| (*at, *trigger));
    let basis = ["field:/period", "field:/bracket/upper", "field:/forecast", rules::NOTIFY];
    let Some((at, trigger, grade)) = first else {
        let unsure = verdict == Verdict::Unknown || declared.is_some_and(|line| line.verdict == Verdict::Unknown);
        let text = match unsure {
            true => "whether the time to notify has begun cannot be said: evidence that a verdict needs is missing",
            false => "nothing on this page begins the time to notify",
        };
        let grade = if declared.is_some() { weak } else { report.bracket.grade };
        let why = Sentence::on(basis, text);
        return Some(ClockLine { trigger: None, triggered_at: None, deadline: None, why, grade });
    };
    let deadline = UnixMillis(at.0.saturating_add(days.saturating_mul(MILLIS_PER_DAY)));
    let what = match trigger {
        Trigger::Plan => "a plan above the threshold was committed to",
        Trigger::Forecast => "the forecast is above the threshold, as of the end of the period",
        Trigger::Upper => "the upper figure by device time may have gone above the threshold, at the earliest",
        Trigger::Declared => "the declared work with this run may have gone above the threshold, at the earliest",
    };
    let text = format!(
        "{what}: {}; {days} days of 24 hours later, without any extension, it is {}",
        format_instant(at),
        format_instant(deadline)
    );
    let why = Sentence::on(basis, text).and(declared.is_some().then_some("field:/statement"));
    Some(ClockLine { trigger: Some(trigger), triggered_at: Some(at), deadline: Some(deadline), why, grade })
}

fn planned(report: &ThresholdReport, profile: &ThresholdProfile) -> Option<UnixMillis> {
    let plan = report.statement.as_ref()?.content.plan?;
    profile.is_above(plan.total).then_some(plan.committed_at.0)
}

/// This report's own forecast: it is made from all of the period, so it is known at its end.
fn forecast(report: &ThresholdReport, profile: &ThresholdProfile) -> Option<UnixMillis> {
    let rate = report.forecast.as_ref()?.run_rate?;
    let at = report.period.as_ref()?.to;
    profile.is_above(rate).then_some(at)
}

/// The instant before which device time at the ceiling rate, on top of `beside`, cannot have passed the threshold:
/// from + (T − beside) / Σ rate, rounded down.
fn upper(report: &ThresholdReport, profile: &ThresholdProfile, beside: u128) -> Option<UnixMillis> {
    let total = report.bracket.upper?.0.saturating_add(beside);
    let period = report.period.as_ref().filter(|_| profile.is_above(Flops(total)))?;
    let room = profile.value.0.saturating_sub(beside).saturating_mul(MILLIS_PER_SECOND);
    // Without a rate the whole period is suspect, from its first moment.
    let millis = rate(report).and_then(|rate| room.checked_div(rate)).unwrap_or(0);
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    Some(UnixMillis(period.from.0.saturating_add(millis).min(period.to.0)))
}

/// Rates of all accelerators together; `None` where one is unknown.
fn rate(report: &ThresholdReport) -> Option<u128> {
    let devices = report.nodes.iter().flat_map(|node| &node.devices);
    devices.map(|device| device.ceiling_flop_per_second).try_fold(0u128, |sum, rate| sum.checked_add(rate?.0))
}

fn stated(
    report: &ThresholdReport,
    profile: &ThresholdProfile,
    declared: Option<&DeclaredVerdict>,
) -> Option<UnixMillis> {
    declared.filter(|line| matches!(line.verdict, Verdict::Above | Verdict::Straddles))?;
    let content = &report.statement.as_ref()?.content;
    let start = content.period.map(|period| period.from.0).or(report.period.as_ref().map(|period| period.from))?;
    let sums = work::sums(content, |class| profile.inclusion(class));
    match sums.outside.1 {
        // Only this run takes the sum over the line, so it cannot have been before device time did.
        Some(beside) if !profile.is_above(Flops(beside)) => {
            let by_time = upper(report, profile, beside);
            Some(by_time.unwrap_or(start))
        }
        _ => Some(start),
    }
}
