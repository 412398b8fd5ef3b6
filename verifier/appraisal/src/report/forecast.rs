//! **Duty.** What will have been computed when training ends: the greater of the declared plan and this run carried on
//! at its own rate. It is never less than what is there already. **Does not know** thresholds.
//! **Spec.** COMPUTE §7 (forecast); decision 0060.

use weighbridge_attest_types::{
    Flops, ForecastLine, Grade, Inclusion, Quantity, Sentence, ThresholdReport, UnixMillis, WorkClass, format_instant,
    two_figures,
};

use super::{rules, work};

/// `None` without a declared plan: nobody else knows when training ends.
pub(super) fn forecast_line(report: &ThresholdReport) -> Option<ForecastLine> {
    let content = &report.statement.as_ref()?.content;
    let plan = content.plan?;
    let carried = carried(report, |class| class.inclusion(Quantity::Cumulative));
    let greatest = carried.as_ref().map_or(plan.total, |carried| carried.own.max(plan.total));
    let text = match &carried {
        Some(carried) => carried.words(plan.total),
        None => format!(
            "the plan comes to {} FLOP; nothing is carried on, because this run has neither an upper figure nor a point \
             figure",
            plan.total
        ),
    };
    Some(ForecastLine {
        plan: plan.total,
        ends_at: content.planned_end(),
        run_rate: carried.map(|carried| carried.own),
        greatest,
        two_figures: two_figures(greatest.0),
        why: Sentence::on(["declared:/plan", "field:/bracket/upper", rules::FORECAST], text),
        grade: Grade::Declared.min(report.bracket.grade),
    })
}

/// This run carried on to the planned end, with the declared work beside it.
#[derive(Debug)]
pub(super) struct Carried {
    /// From the run's own figure.
    pub(super) own: Flops,
    /// From the most that device time at the ceiling rate allows: a small own figure must not hide it.
    pub(super) by_device_time: Option<Flops>,
    /// There is an own figure that is not device time itself.
    pub(super) has_point: bool,
    /// The own figure, in words.
    how: &'static str,
    span: Span,
}

/// `None` without a plan, or where there is nothing to carry on.
pub(super) fn carried(report: &ThresholdReport, inclusion: impl Fn(WorkClass) -> Inclusion) -> Option<Carried> {
    report.statement.as_ref()?.content.plan?;
    let sums = work::declared_sums(report, inclusion);
    let (least, most) = sums.this_run;
    let upper = report.bracket.upper;
    let (figure, how) = match (&report.estimate, upper) {
        (Some(estimate), _) if estimate.flop.0 >= least => (estimate.flop.0, "the point figure of this run"),
        (Some(_), _) => (least, "the provider's own least for this run"),
        (None, Some(upper)) if upper.0 >= most => (upper.0, "the upper figure of this run by device time"),
        (None, _) if most > 0 => (most, "the provider's own most for this run"),
        (None, _) => return None,
    };
    let span = Span::of(report, &sums.outside);
    Some(Carried {
        own: span.carry_on(figure),
        by_device_time: upper.map(|upper| span.carry_on(upper.0)),
        has_point: report.estimate.is_some(),
        how,
        span,
    })
}

impl Carried {
    fn words(&self, plan: Flops) -> String {
        let Self { own, by_device_time, has_point, how, span } = self;
        let least = if span.is_least || own.0 == u128::MAX { "at least " } else { "" };
        let unknown = if span.is_least { " (not all of it is known, and the rest comes on top)" } else { "" };
        let carried = match &span.rest {
            Ok(rest) => format!(", carried on at the same rate to {},", format_instant(rest.end)),
            Err(why) => format!(" as it stands, because {why},"),
        };
        let by_time = by_device_time.filter(|_| *has_point).map(|most| {
            let unknown = if span.is_least { ", and what is not known on top" } else { "" };
            format!(
                "; by device time at the ceiling rate, instead of the point figure, it is at most {most} FLOP{unknown}"
            )
        });
        format!(
            "the plan comes to {plan} FLOP; {how}{carried} and the declared work beside it{unknown} come to {least}{own} \
             FLOP; the greater of the two is the forecast{}",
            by_time.unwrap_or_default()
        )
    }
}

/// How far a rate is carried on, and what comes beside it.
#[derive(Debug)]
struct Span {
    /// Or why the figure is not carried on: it stands all the same.
    rest: Result<Rest, &'static str>,
    /// The most of the declared work beside the run that is known.
    beside: u128,
    /// Some of it is not: an unknown amount lowers nothing.
    is_least: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    end: UnixMillis,
    elapsed: u128,
    remaining: u128,
}

impl Span {
    fn of(report: &ThresholdReport, outside: &work::Outside) -> Self {
        Self { rest: Rest::of(report), beside: outside.known_most, is_least: !outside.is_whole() }
    }

    /// Rounded up; what leaves the integers stays at their end, where it is above every threshold.
    fn carry_on(&self, figure: u128) -> Flops {
        let more = self.rest.map_or(0, |rest| rest.share(figure));
        Flops(figure.saturating_add(more).saturating_add(self.beside))
    }
}

impl Rest {
    fn of(report: &ThresholdReport) -> Result<Self, &'static str> {
        let end = report.statement.as_ref().and_then(|statement| statement.content.planned_end());
        let end = end.ok_or("the plan names no end")?;
        let period = report.period.as_ref().ok_or("this run has no period")?;
        let elapsed = period.to.0.checked_sub(period.from.0).filter(|&elapsed| elapsed > 0);
        let elapsed = u128::from(elapsed.ok_or("the period of this run has no length")?);
        Ok(Self { end, elapsed, remaining: u128::from(end.0.saturating_sub(period.to.0)) })
    }

    /// What the remaining time adds.
    fn share(self, figure: u128) -> u128 {
        let Self { elapsed, remaining, .. } = self;
        // Whole parts first, so that the product stays inside 128 bits.
        let whole = figure.checked_div(elapsed).unwrap_or(u128::MAX);
        let rest = figure.checked_rem(elapsed).unwrap_or(0).saturating_mul(remaining);
        let rest = rest.checked_add(elapsed.saturating_sub(1)).and_then(|rest| rest.checked_div(elapsed));
        whole.saturating_mul(remaining).saturating_add(rest.unwrap_or(u128::MAX))
    }
}
