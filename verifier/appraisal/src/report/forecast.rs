//! **Duty.** What will have been computed when training ends: the greater of the declared plan and this run carried on
//! at its own rate. **Does not know** thresholds. **Spec.** COMPUTE §7 (forecast).

use weighbridge_attest_types::{
    Flops, ForecastLine, Grade, Quantity, Sentence, ThresholdReport, format_instant, two_figures,
};

use super::{rules, work};

/// `None` without a declared plan: nobody else knows when training ends.
pub(super) fn forecast_line(report: &ThresholdReport) -> Option<ForecastLine> {
    let content = &report.statement.as_ref()?.content;
    let plan = content.plan?;
    let ends_at = content.planned_end();
    let (run_rate, how) = run_rate(report).map_or((None, ""), |(flop, how)| (Some(flop), how));
    let greatest = run_rate.map_or(plan.total, |rate| rate.max(plan.total));
    let text = match (run_rate, ends_at) {
        (Some(rate), Some(end)) => format!(
            "the plan comes to {} FLOP; {how}, carried on at the same rate to {}, and the declared work beside it come \
             to {rate} FLOP; the greater of the two is the forecast",
            plan.total,
            format_instant(end)
        ),
        _ => format!(
            "the plan comes to {} FLOP; without a planned end or an upper figure no rate is carried on",
            plan.total
        ),
    };
    Some(ForecastLine {
        plan: plan.total,
        ends_at,
        run_rate,
        greatest,
        two_figures: two_figures(greatest.0),
        why: Sentence::on(["declared:/plan", "field:/bracket/upper", rules::FORECAST], text),
        grade: Grade::Declared.min(report.bracket.grade),
    })
}

/// The run's point figure, or its upper figure where nobody names one, carried on, rounded up; with the most of the
/// declared work beside it.
fn run_rate(report: &ThresholdReport) -> Option<(Flops, &'static str)> {
    let content = &report.statement.as_ref()?.content;
    let period = report.period.as_ref()?;
    let elapsed = period.to.0.checked_sub(period.from.0).filter(|&elapsed| elapsed > 0)?;
    let remaining = content.planned_end()?.0.saturating_sub(period.to.0);
    let (figure, how) = match (&report.estimate, report.bracket.upper) {
        (Some(estimate), _) => (estimate.flop, "the point figure of this run"),
        (None, Some(upper)) => (upper, "the upper figure of this run by device time"),
        (None, None) => return None,
    };
    let beside = work::sums(content, |class| class.inclusion(Quantity::Cumulative)).outside.1?;
    // Whole parts first, so that the product stays inside 128 bits.
    let (elapsed, remaining) = (u128::from(elapsed), u128::from(remaining));
    let (whole, rest) = (figure.0.checked_div(elapsed)?, figure.0.checked_rem(elapsed)?);
    let more = whole.checked_mul(remaining)?.checked_add(rest.checked_mul(remaining)?.div_ceil(elapsed))?;
    Some((Flops(figure.0.checked_add(more)?.checked_add(beside)?), how))
}
