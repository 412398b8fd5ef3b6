//! **Duty.** The ledger of included and excluded work, and what the provider's statement comes to beside the run.
//! **Knows** classes, margins and the recompute factor. **Does not know** thresholds but for what a profile counts.
//! **Spec.** COMPUTE §4, §5 (counted is not executed), §7; decisions 0018 and 0060.

use weighbridge_attest_types::{
    BaseCompute, BaseModel, Basis, Declarations, DeclaredLine, EstimateLine, Flops, Fraction, Grade, Inclusion,
    LifecycleLine, Quantity, Sentence, ThresholdReport, WorkClass, WorkLine, estimate_of, two_figures,
};

use super::rules;

/// What the provider's own figures come to for one way of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeclaredSums {
    /// For this run: least and most.
    pub(super) this_run: (u128, u128),
    /// Work beside this run.
    pub(super) outside: Outside,
}

/// Work beside the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outside {
    /// Least.
    pub(super) least: u128,
    /// The most of those parts that somebody bounds. What nobody bounds comes on top, and erases nothing.
    pub(super) known_most: u128,
    /// Every part that is stated has a bound.
    pub(super) is_bounded: bool,
    /// It is stated that no part is missing.
    pub(super) is_complete: bool,
}

impl Outside {
    /// The most, where it is bounded.
    pub(super) fn most(&self) -> Option<u128> {
        self.is_bounded.then_some(self.known_most)
    }

    /// Nothing can come on top of the known most, by the provider's word.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_bounded && self.is_complete
    }

    fn add(&mut self, (low, high): (u128, Option<u128>)) {
        self.least = self.least.saturating_add(low);
        self.known_most = self.known_most.saturating_add(high.unwrap_or(low));
        self.is_bounded &= high.is_some();
    }
}

/// One line for the run itself, then base models, then the lines of the statement in their order.
pub(super) fn work_lines(report: &ThresholdReport) -> Vec<WorkLine> {
    let evidence = report.bracket.grade;
    let run = WorkLine {
        phase: report.phase.clone(),
        class: WorkClass::ParameterUpdates,
        in_this_run: true,
        low: report.bracket.lower,
        estimate: None,
        high: report.bracket.upper,
        basis: Basis::Executed,
        method: Sentence::on(
            ["field:/bracket/lower", "field:/bracket/upper", rules::DEVICE_TIME],
            "weighed here: device time at the ceiling rate",
        ),
        cumulative: WorkClass::ParameterUpdates.inclusion(Quantity::Cumulative),
        training: WorkClass::ParameterUpdates.inclusion(Quantity::Training),
        clause: WorkClass::ParameterUpdates.clause().to_owned(),
        grade: evidence,
    };
    let Some(statement) = &report.statement else { return vec![run] };
    let grade = Grade::Declared.min(evidence);
    let bases = statement.content.base_models.iter().enumerate().map(|(at, base)| base_line(at, base, grade));
    let lines = statement.content.lifecycle.iter().enumerate().map(|(at, line)| declared_line(at, line, grade));
    std::iter::once(run).chain(bases).chain(lines).collect()
}

fn base_line(at: usize, base: &BaseModel, grade: Grade) -> WorkLine {
    let (low, high) = base_bounds(base);
    let class = WorkClass::InitialWeights;
    WorkLine {
        phase: format!("base model {}", base.name),
        class,
        in_this_run: false,
        low: Flops(low),
        estimate: None,
        high: high.map(Flops),
        basis: Basis::Counted,
        method: Sentence {
            text: base.source.clone(),
            basis: vec![format!("declared:/base_models/{at}"), rules::ANNEX_A1.to_owned()],
        },
        cumulative: class.inclusion(Quantity::Cumulative),
        training: class.inclusion(Quantity::Training),
        clause: class.clause().to_owned(),
        grade,
    }
}

fn declared_line(at: usize, line: &LifecycleLine, grade: Grade) -> WorkLine {
    // A line that does not come to an amount was refused at the door.
    let estimate = estimate_of(line).ok();
    WorkLine {
        phase: line.phase.clone(),
        class: line.class,
        in_this_run: line.in_this_run,
        low: estimate.map_or(Flops(0), |estimate| estimate.low),
        estimate: estimate.and_then(|estimate| estimate.estimate),
        high: estimate.map(|estimate| estimate.high),
        basis: line.basis,
        method: Sentence {
            text: line.method.words(),
            basis: vec![format!("declared:/lifecycle/{at}"), rules::ANNEX_A2.to_owned()],
        },
        cumulative: line.class.inclusion(Quantity::Cumulative),
        training: line.class.inclusion(Quantity::Training),
        clause: line.class.clause().to_owned(),
        grade,
    }
}

fn base_bounds(base: &BaseModel) -> (u128, Option<u128>) {
    match base.compute {
        BaseCompute::Interval(bounds) => (bounds.low.0, Some(bounds.high.0)),
        BaseCompute::CannotBeEstimated => (0, None),
    }
}

/// All that the provider says in figures: its statement, the readings that the bundle shows, the sum that it proves. For
/// the run the greatest of them counts: no small figure hides a larger one.
pub(super) fn declared_sums(report: &ThresholdReport, inclusion: impl Fn(WorkClass) -> Inclusion) -> DeclaredSums {
    let stated = report.statement.as_ref().map(|statement| sums(&statement.content, inclusion));
    // Nothing is stated about other work: nothing of it is known.
    let silence = Outside { least: 0, known_most: 0, is_bounded: true, is_complete: false };
    let mut sums = stated.unwrap_or(DeclaredSums { this_run: (0, 0), outside: silence });
    let proven = report.declared.iter().filter_map(proven);
    for (low, high) in shown(report).chain(proven) {
        let (least, most) = sums.this_run;
        sums.this_run = (least.max(low), most.max(high));
    }
    sums
}

/// Totals of the readings. What counters saw was executed, so it bounds what counts from above only.
fn shown(report: &ThresholdReport) -> impl Iterator<Item = (u128, u128)> {
    report.totals.iter().filter_map(|line| match (line.component.as_str(), line.total) {
        ("declared", Some(total)) => Some((total.0, total.0)),
        ("metered", Some(total)) => Some((0, total.0)),
        _ => None,
    })
}

/// `total > low`, or `low ≤ total < high`. A bound from above alone claims no amount.
fn proven(line: &DeclaredLine) -> Option<(u128, u128)> {
    match (line.low?.0, line.high) {
        (low, None) => Some((low.saturating_add(1), low.saturating_add(1))),
        (low, Some(high)) => Some((low, high.0.saturating_sub(1))),
    }
}

/// Adds up what counts in a statement. What does not fit 128 bits is pushed to their end, where it is above every
/// threshold.
fn sums(statement: &Declarations, inclusion: impl Fn(WorkClass) -> Inclusion) -> DeclaredSums {
    let is_complete = statement.lifecycle_complete;
    let outside = Outside { least: 0, known_most: 0, is_bounded: true, is_complete };
    let mut sums = DeclaredSums { this_run: (0, 0), outside };
    if inclusion(WorkClass::InitialWeights) == Inclusion::Included {
        for base in &statement.base_models {
            sums.outside.add(base_bounds(base));
        }
    }
    for line in &statement.lifecycle {
        let (low, high) = counted(line, statement.recompute_factor);
        let amounts = match inclusion(line.class) {
            Inclusion::Included => (low, high),
            Inclusion::UpperOnly => (0, high),
            Inclusion::Excluded => continue,
        };
        if line.in_this_run {
            let (least, most) = sums.this_run;
            sums.this_run = (least.saturating_add(amounts.0), most.saturating_add(amounts.1.unwrap_or(u128::MAX)));
        } else {
            sums.outside.add(amounts);
        }
    }
    sums
}

/// Bounds of what is counted. Executed work includes recomputation: its least is divided by the declared factor, and is
/// nothing where none is declared; its most stays.
fn counted(line: &LifecycleLine, factor: Option<Fraction>) -> (u128, Option<u128>) {
    let Ok(estimate) = estimate_of(line) else { return (0, None) };
    let low = match (line.basis, factor) {
        (Basis::Counted, _) => estimate.low.0,
        (Basis::Executed, None) => 0,
        (Basis::Executed, Some(Fraction { numerator, denominator })) => {
            let scaled = estimate.low.0.checked_mul(u128::from(denominator));
            scaled.and_then(|scaled| scaled.checked_div(u128::from(numerator))).unwrap_or(0)
        }
    };
    (low, Some(estimate.high.0))
}

/// The point figure for this run: the total of the readings where the bundle shows it, or the provider's estimate,
/// whichever is greater.
pub(super) fn estimate_line(report: &ThresholdReport) -> Option<EstimateLine> {
    let grade = Grade::Declared.min(report.bracket.grade);
    let line = |flop: Flops, source| EstimateLine {
        flop,
        two_figures: two_figures(flop.0),
        basis: Basis::Counted,
        source,
        grade,
    };
    let shown = report.totals.iter().find(|total| total.component == "declared").and_then(|total| total.total);
    let shown = shown.map(|flop| {
        let text = "sum of the operations that the training job declared in this run, which this bundle shows";
        line(flop, Sentence::on(["check:readings-open", "field:/totals/0"], text))
    });
    let stated = stated_points(report).map(|flop| {
        let text = "the provider's own estimate of this run, as it states it; not weighed";
        line(flop, Sentence::on(["declared:/lifecycle", rules::ANNEX_A2], text))
    });
    match (shown, stated) {
        (Some(shown), Some(stated)) if stated.flop > shown.flop => {
            let text = format!("{}; the readings that this bundle shows come to less", stated.source);
            let source = Sentence { text, ..stated.source }.and(["field:/totals/0"]);
            Some(EstimateLine { source, ..stated })
        }
        (shown, stated) => shown.or(stated),
    }
}

/// Sum of the points that the statement names for this run; `None` where a line has none.
fn stated_points(report: &ThresholdReport) -> Option<Flops> {
    let of_run = report
        .statement
        .as_ref()?
        .content
        .lifecycle
        .iter()
        .filter(|line| line.in_this_run && line.class.inclusion(Quantity::Cumulative) == Inclusion::Included);
    let points: Option<Vec<u128>> = of_run.map(|line| Some(estimate_of(line).ok()?.estimate?.0)).collect();
    let points = points.filter(|points| !points.is_empty())?;
    Some(Flops(points.into_iter().fold(0, u128::saturating_add)))
}

#[cfg(test)]
mod tests;
