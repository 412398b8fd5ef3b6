//! **Duty.** When the time to notify began, and when it ends. **Knows** the triggers. **Does not know** holidays: days
//! are 24 hours in UTC, without any extension. **Spec.** COMPUTE §7 (clock); EU AI Act, Article 52(1); decision 0060.

use weighbridge_attest_types::{
    ClockLine, DeclaredVerdict, Flops, Grade, Sentence, ThresholdProfile, ThresholdReport, Trigger, UnixMillis,
    Verdict, format_instant,
};

use super::{forecast, rules, work};

const MILLIS_PER_DAY: u64 = 86_400_000;
const MILLIS_PER_SECOND: u128 = 1_000;

/// One threshold with what was found about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) profile: &'a ThresholdProfile,
    /// Of a relative profile the amount whose share it is; `None` where nobody states one.
    pub(super) original: Option<Flops>,
    /// What evidence says about the run.
    pub(super) verdict: Verdict,
    pub(super) why: &'a Sentence,
    /// What it comes to with the provider's figures.
    pub(super) declared: Option<&'a DeclaredVerdict>,
}

impl Line<'_> {
    fn is_above(self, amount: u128) -> bool {
        self.profile.is_above_share(self.least_original(), Flops(amount))
    }

    /// An original that nobody states may be of any size: nothing begins too late.
    fn least_original(self) -> Flops {
        self.original.unwrap_or(Flops(0))
    }

    fn sums(self, report: &ThresholdReport) -> work::DeclaredSums {
        work::declared_sums(report, |class| self.profile.inclusion(class))
    }
}

/// `None` where the instrument sets no time.
pub(super) fn clock_line(report: &ThresholdReport, line: Line<'_>) -> Option<ClockLine> {
    let days = u64::from(line.profile.deadline.as_ref()?.days);
    let weak = Grade::Declared.min(report.bracket.grade);
    let found = [
        planned(report, line).map(|at| (at, Trigger::Plan, weak)),
        forecast(report, line).map(|at| (at, Trigger::Forecast, weak)),
        upper(report, line).map(|(at, grade)| (at, Trigger::Upper, grade)),
        estimated(report, line).map(|at| (at, Trigger::Estimate, weak)),
        stated(report, line).map(|at| (at, Trigger::Declared, weak)),
    ];
    // Whatever this page knows, it knows by the instant at which it was judged: nothing stated moves a trigger past it.
    let known = found.into_iter().flatten().map(|(at, trigger, grade)| (at.min(report.appraised_at), trigger, grade));
    let basis = ["field:/period", "field:/bracket/upper", "field:/forecast", rules::NOTIFY];
    let Some((at, trigger, grade)) = known.min_by_key(|(at, trigger, _)| (*at, *trigger)) else {
        let grade = if line.declared.is_some() { weak } else { report.bracket.grade };
        let (is_unsure, text) = match doubt(line) {
            Some(why) => (true, format!("whether the time to notify has begun cannot be said: {why}")),
            None => (false, "nothing on this page begins the time to notify".to_owned()),
        };
        let why = Sentence::on(basis, text);
        return Some(ClockLine { trigger: None, triggered_at: None, deadline: None, is_unsure, why, grade });
    };
    let deadline = UnixMillis(at.0.saturating_add(days.saturating_mul(MILLIS_PER_DAY)));
    let text = format!(
        "{}{}: {}{}; {days} days of 24 hours later, without any extension, it is {}",
        words(report, line, trigger),
        if line.original.is_some() {
            ""
        } else {
            "; nobody states of which amount it is a share, so any may be above it"
        },
        format_instant(at),
        if is_external(report) { "" } else { ", by the hosts' own clocks only" },
        format_instant(deadline)
    );
    let why = Sentence::on(basis, text).and(line.declared.is_some().then_some("field:/statement"));
    let (triggered_at, deadline) = (Some(at), Some(deadline));
    Some(ClockLine { trigger: Some(trigger), triggered_at, deadline, is_unsure: false, why, grade })
}

/// What keeps this page from saying that no time is running; each cause by its own words.
fn doubt(line: Line<'_>) -> Option<String> {
    let of_run = (line.verdict == Verdict::Unknown).then(|| line.why.text.clone());
    let of_all = match line.declared {
        None => {
            Some("the threshold counts all runs of the model, and the provider states nothing of the others".to_owned())
        }
        Some(declared) => (declared.verdict == Verdict::Unknown).then(|| declared.why.text.clone()),
    };
    match (of_run, of_all) {
        (Some(run), Some(all)) if run != all => Some(format!("{run}; {all}")),
        (run, all) => run.or(all),
    }
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
        Trigger::Upper if line.sums(report).outside.is_whole() => {
            "the upper figure by device time may have gone above the threshold, at the earliest"
        }
        Trigger::Upper => {
            "the upper figure by device time is above the threshold, and it is not known how much other work there was \
             before, so that the time to notify may have begun with the run, or earlier"
        }
        Trigger::Estimate => {
            "the provider's own figure for this run may have gone above the threshold, at the earliest"
        }
        Trigger::Declared => "the declared work with this run may have gone above the threshold, at the earliest",
    }
}

fn is_external(report: &ThresholdReport) -> bool {
    report.period.as_ref().is_some_and(|period| period.charged_millis.is_some())
}

/// Whoever shows a plan knew it when the bundle was judged, and when its period ended, whatever date the plan bears.
fn planned(report: &ThresholdReport, line: Line<'_>) -> Option<UnixMillis> {
    let plan = report.statement.as_ref()?.content.plan?;
    let end = report.period.as_ref().map(|period| period.to);
    let known = end.map_or(plan.committed_at.0, |end| end.min(plan.committed_at.0));
    line.is_above(plan.total.0).then_some(known)
}

/// This report's own forecast: it is made from all of the period, so it is known at its end.
fn forecast(report: &ThresholdReport, line: Line<'_>) -> Option<UnixMillis> {
    let at = report.period.as_ref()?.to;
    let carried = forecast::carried(report, |class| line.profile.inclusion(class))?;
    let by_time = carried.by_device_time.is_some_and(|most| line.is_above(most.0));
    (line.is_above(carried.own.0) || by_time).then_some(at)
}

fn is_above_by_own_rate(report: &ThresholdReport, line: Line<'_>) -> bool {
    let carried = forecast::carried(report, |class| line.profile.inclusion(class));
    carried.is_some_and(|carried| carried.has_point && line.is_above(carried.own.0))
}

/// Device time of this run alone. Other work that nobody bounds may have come before: then the run's start is taken.
fn upper(report: &ThresholdReport, line: Line<'_>) -> Option<(UnixMillis, Grade)> {
    let at = by_device_time(report, line, 0)?;
    Some(match line.sums(report).outside.is_whole() {
        true => (at, Grade::Declared.min(report.bracket.grade)),
        false => (start(report), report.bracket.grade),
    })
}

/// The instant before which device time at the ceiling rate, on top of `beside`, cannot have passed the threshold:
/// from + (T − beside) / Σ rate, rounded down.
fn by_device_time(report: &ThresholdReport, line: Line<'_>, beside: u128) -> Option<UnixMillis> {
    let total = report.bracket.upper?.0.saturating_add(beside);
    let period = report.period.as_ref().filter(|_| line.is_above(total))?;
    let threshold = line.profile.threshold(line.least_original()).0;
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

/// The provider's own figure for this run alone: a point, or the least of what it says.
fn estimated(report: &ThresholdReport, line: Line<'_>) -> Option<UnixMillis> {
    let sums = line.sums(report);
    let point = report.estimate.as_ref().map_or(0, |estimate| estimate.flop.0);
    let figure = point.max(sums.this_run.0);
    line.is_above(figure).then(|| earliest(report, line, &sums.outside, figure, 0))
}

fn stated(report: &ThresholdReport, line: Line<'_>) -> Option<UnixMillis> {
    line.declared.filter(|declared| matches!(declared.verdict, Verdict::Above | Verdict::Straddles))?;
    let sums = line.sums(report);
    Some(earliest(report, line, &sums.outside, sums.this_run.1, sums.outside.known_most))
}

/// Where all other work is bounded, only this run takes the sum over the line: not before device time did. Otherwise it
/// may have been at the start.
fn earliest(
    report: &ThresholdReport,
    line: Line<'_>,
    outside: &work::Outside,
    this_run: u128,
    beside: u128,
) -> UnixMillis {
    let within_device_time = report.bracket.upper.is_some_and(|upper| this_run <= upper.0);
    let is_bounded = outside.is_whole() && within_device_time && !line.is_above(beside);
    let by_time = by_device_time(report, line, beside).filter(|_| is_bounded);
    by_time.unwrap_or_else(|| start(report))
}

/// A declared period may begin before the run and not after it: the run's own start is evidence.
fn start(report: &ThresholdReport) -> UnixMillis {
    let own = report.period.as_ref().map(|period| period.from);
    let stated = report.statement.as_ref().and_then(|statement| statement.content.period);
    stated.map(|period| period.from.0).into_iter().chain(own).min().unwrap_or(report.appraised_at)
}
