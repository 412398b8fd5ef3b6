//! **Duty.** When the time to notify began, and when it ends. **Knows** the triggers. **Does not know** holidays: days
//! are 24 hours in UTC, without any extension. **Spec.** COMPUTE §7 (clock); EU AI Act, Article 52(1).

use weighbridge_attest_types::{
    ClockLine, DeclaredVerdict, Flops, Grade, Sentence, ThresholdProfile, ThresholdReport, Trigger, UnixMillis,
    Verdict, format_instant,
};

use super::{forecast, rules, work};

const MILLIS_PER_DAY: u64 = 86_400_000;
const MILLIS_PER_SECOND: u128 = 1_000;

/// One threshold: of a relative profile the same share as its verdict.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) profile: &'a ThresholdProfile,
    pub(super) original: Flops,
}

impl Line<'_> {
    fn is_above(self, amount: u128) -> bool {
        self.profile.is_above_share(self.original, Flops(amount))
    }
}

/// `None` where the instrument sets no time.
pub(super) fn clock_line(
    report: &ThresholdReport,
    line: Line<'_>,
    verdict: Verdict,
    declared: Option<&DeclaredVerdict>,
) -> Option<ClockLine> {
    let days = u64::from(line.profile.deadline.as_ref()?.days);
    let weak = Grade::Declared.min(report.bracket.grade);
    let found = [
        planned(report, line).map(|at| (at, Trigger::Plan, weak)),
        forecast(report, line).map(|at| (at, Trigger::Forecast, weak)),
        upper(report, line, 0).map(|at| (at, Trigger::Upper, report.bracket.grade)),
        stated(report, line, declared).map(|at| (at, Trigger::Declared, weak)),
    ];
    // Whatever this page knows, it knows by the instant at which it was judged: nothing stated moves a trigger past it.
    let known = found.into_iter().flatten().map(|(at, trigger, grade)| (at.min(report.appraised_at), trigger, grade));
    let basis = ["field:/period", "field:/bracket/upper", "field:/forecast", rules::NOTIFY];
    let Some((at, trigger, grade)) = known.min_by_key(|(at, trigger, _)| (*at, *trigger)) else {
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
    let text = format!(
        "{}: {}{}; {days} days of 24 hours later, without any extension, it is {}",
        words(report, line, trigger),
        format_instant(at),
        if trigger != Trigger::Plan && !is_external(report) { ", by the hosts' own clocks only" } else { "" },
        format_instant(deadline)
    );
    let why = Sentence::on(basis, text).and(declared.is_some().then_some("field:/statement"));
    Some(ClockLine { trigger: Some(trigger), triggered_at: Some(at), deadline: Some(deadline), why, grade })
}

fn words(report: &ThresholdReport, line: Line<'_>, trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Plan => "a plan above the threshold was known, at the latest",
        Trigger::Forecast if is_above_by_own_rate(report, line) => {
            "the forecast is above the threshold; it may have been before, so that the time to notify may have begun \
             earlier than the end of the period"
        }
        Trigger::Forecast => {
            "the forecast by device time at the ceiling rate, which is the most that it can be, is above the threshold; \
             it may have been before, so that the time to notify may have begun earlier than the end of the period"
        }
        Trigger::Upper => "the upper figure by device time may have gone above the threshold, at the earliest",
        Trigger::Declared => "the declared work with this run may have gone above the threshold, at the earliest",
    }
}

fn is_external(report: &ThresholdReport) -> bool {
    report.period.as_ref().is_some_and(|period| period.charged_millis.is_some())
}

/// Whoever shows a plan knew it when the bundle was judged, and when its period ended, whatever date the plan bears.
fn planned(report: &ThresholdReport, line: Line<'_>) -> Option<UnixMillis> {
    let plan = report.statement.as_ref()?.content.plan?;
    let end = report.period.as_ref().filter(|_| is_external(report)).map(|period| period.to);
    let known = end.map_or(plan.committed_at.0, |end| end.min(plan.committed_at.0));
    line.is_above(plan.total.0).then_some(known)
}

/// This report's own forecast: it is made from all of the period, so it is known at its end.
fn forecast(report: &ThresholdReport, line: Line<'_>) -> Option<UnixMillis> {
    let by_time = || forecast::by_device_time(report).is_some_and(|flop| line.is_above(flop.0));
    let at = report.period.as_ref()?.to;
    (is_above_by_own_rate(report, line) || by_time()).then_some(at)
}

fn is_above_by_own_rate(report: &ThresholdReport, line: Line<'_>) -> bool {
    let rate = report.forecast.as_ref().and_then(|forecast| forecast.run_rate);
    report.estimate.is_some() && rate.is_some_and(|rate| line.is_above(rate.0))
}

/// The instant before which device time at the ceiling rate, on top of `beside`, cannot have passed the threshold:
/// from + (T − beside) / Σ rate, rounded down.
fn upper(report: &ThresholdReport, line: Line<'_>, beside: u128) -> Option<UnixMillis> {
    let total = report.bracket.upper?.0.saturating_add(beside);
    let period = report.period.as_ref().filter(|_| line.is_above(total))?;
    let threshold = line.profile.threshold(line.original).0;
    let room = threshold.saturating_sub(beside).saturating_mul(MILLIS_PER_SECOND);
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

fn stated(report: &ThresholdReport, line: Line<'_>, declared: Option<&DeclaredVerdict>) -> Option<UnixMillis> {
    declared.filter(|line| matches!(line.verdict, Verdict::Above | Verdict::Straddles))?;
    let content = &report.statement.as_ref()?.content;
    // A declared period may begin before the run and not after it: the run's own start is evidence.
    let own = report.period.as_ref().map(|period| period.from);
    let start = content.period.map(|period| period.from.0).into_iter().chain(own).min();
    let start = start.unwrap_or(report.appraised_at);
    let sums = work::sums(content, |class| line.profile.inclusion(class));
    let within_device_time = report.bracket.upper.is_some_and(|upper| sums.this_run.1 <= upper.0);
    match sums.outside.1 {
        // Only this run takes the sum over the line, so it cannot have been before device time did.
        Some(beside) if within_device_time && !line.is_above(beside) => {
            Some(upper(report, line, beside).unwrap_or(start))
        }
        _ => Some(start),
    }
}
