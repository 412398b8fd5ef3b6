//! **Duty.** What will have been computed when training ends: the greater of the declared plan and this run carried on
//! at its own rate. **Does not know** thresholds. **Spec.** COMPUTE §7 (forecast).

use weighbridge_attest_types::{
    BaseCompute, Flops, ForecastLine, Grade, Quantity, Sentence, ThresholdReport, UnixMillis, format_instant,
    two_figures,
};

use super::{rules, work};

/// `None` without a declared plan: nobody else knows when training ends.
pub(super) fn forecast_line(report: &ThresholdReport) -> Option<ForecastLine> {
    let content = &report.statement.as_ref()?.content;
    let plan = content.plan?;
    let ends_at = content.planned_end();
    let (rate, text) = match run_rate(report) {
        Ok(found) => found,
        Err(why) => (None, format!("the plan comes to {} FLOP; no rate is carried on, because {why}", plan.total)),
    };
    let greatest = rate.map_or(plan.total, |rate| rate.max(plan.total));
    Some(ForecastLine {
        plan: plan.total,
        ends_at,
        run_rate: rate,
        greatest,
        two_figures: two_figures(greatest.0),
        why: Sentence::on(["declared:/plan", "field:/bracket/upper", rules::FORECAST], text),
        grade: Grade::Declared.min(report.bracket.grade),
    })
}

/// The most that device time at the ceiling rate, carried on to the planned end, comes to with the declared work beside
/// it: a small point figure must not hide it.
pub(super) fn by_device_time(report: &ThresholdReport) -> Option<Flops> {
    let upper = report.bracket.upper?;
    Span::of(report).ok().map(|span| span.carry_on(upper))
}

/// The run's point figure, or its upper figure where nobody names one, carried on, and the sentence about it.
fn run_rate(report: &ThresholdReport) -> Result<(Option<Flops>, String), &'static str> {
    let statement = report.statement.as_ref().ok_or("nothing is stated")?;
    let plan = statement.content.plan.ok_or("nothing is planned")?.total;
    let span = Span::of(report)?;
    let (figure, how) = match (&report.estimate, report.bracket.upper) {
        (Some(estimate), _) => (estimate.flop, "the point figure of this run"),
        (None, Some(upper)) => (upper, "the upper figure of this run by device time"),
        (None, None) => return Err("this run has neither an upper figure nor a point figure"),
    };
    let rate = span.carry_on(figure);
    let least = if span.is_least || rate.0 == u128::MAX { "at least " } else { "" };
    let unknown = if span.is_least { " (a base model's is not known and comes on top)" } else { "" };
    let by_time = report.estimate.as_ref().and(by_device_time(report)).map(|most| {
        format!("; by device time at the ceiling rate, instead of the point figure, it is at most {most} FLOP{unknown}")
    });
    let text = format!(
        "the plan comes to {plan} FLOP; {how}, carried on at the same rate to {}, and the declared work beside it{unknown} \
         come to {least}{rate} FLOP; the greater of the two is the forecast{}",
        format_instant(span.end),
        by_time.unwrap_or_default()
    );
    Ok((Some(rate), text))
}

/// How far a rate is carried on, and what comes beside it.
struct Span {
    end: UnixMillis,
    elapsed: u128,
    remaining: u128,
    /// The most of the declared work beside the run that is known.
    beside: u128,
    /// Some of it is not: an unknown amount lowers nothing.
    is_least: bool,
}

impl Span {
    fn of(report: &ThresholdReport) -> Result<Self, &'static str> {
        let content = &report.statement.as_ref().ok_or("nothing is stated")?.content;
        let end = content.planned_end().ok_or("the plan names no end")?;
        let period = report.period.as_ref().ok_or("this run has no period")?;
        let elapsed = period.to.0.checked_sub(period.from.0).filter(|&elapsed| elapsed > 0);
        let elapsed = u128::from(elapsed.ok_or("the period of this run has no length")?);
        let remaining = u128::from(end.0.saturating_sub(period.to.0));
        let mut known = content.clone();
        known.base_models.retain(|base| base.compute != BaseCompute::CannotBeEstimated);
        let is_least = known.base_models.len() < content.base_models.len();
        let (least, most) = work::sums(&known, |class| class.inclusion(Quantity::Cumulative)).outside;
        Ok(Self { end, elapsed, remaining, beside: most.unwrap_or(least), is_least })
    }

    /// Rounded up; what leaves the integers stays at their end, where it is above every threshold.
    fn carry_on(&self, figure: Flops) -> Flops {
        let Self { elapsed, remaining, beside, .. } = *self;
        // Whole parts first, so that the product stays inside 128 bits.
        let whole = figure.0.checked_div(elapsed).unwrap_or(u128::MAX);
        let rest = figure.0.checked_rem(elapsed).unwrap_or(0).saturating_mul(remaining);
        let rest = rest.checked_add(elapsed.saturating_sub(1)).and_then(|rest| rest.checked_div(elapsed));
        let more = whole.saturating_mul(remaining).saturating_add(rest.unwrap_or(u128::MAX));
        Flops(figure.0.saturating_add(more).saturating_add(beside))
    }
}
