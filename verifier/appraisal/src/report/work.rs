//! **Duty.** The ledger of included and excluded work, and what the provider's statement comes to beside the run.
//! **Knows** classes, margins and the recompute factor. **Does not know** thresholds but for what a profile counts.
//! **Spec.** COMPUTE §4, §5 (counted is not executed), §7; decision 0018.

use weighbridge_attest_types::{
    BaseCompute, BaseModel, Basis, Declarations, EstimateLine, Flops, Fraction, Grade, Inclusion, LifecycleLine,
    Quantity, Sentence, ThresholdReport, WorkClass, WorkLine, estimate_of, two_figures,
};

use super::rules;

/// What a statement comes to for one way of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeclaredSums {
    /// The provider's own figure for this run: least and most.
    pub(super) this_run: (u128, u128),
    /// Work beside this run: least, and most where nothing is beyond estimate.
    pub(super) outside: (u128, Option<u128>),
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

/// Adds up what counts. What does not fit 128 bits is pushed to their end, where it is above every threshold.
pub(super) fn sums(statement: &Declarations, inclusion: impl Fn(WorkClass) -> Inclusion) -> DeclaredSums {
    let mut sums = DeclaredSums { this_run: (0, 0), outside: (0, Some(0)) };
    if inclusion(WorkClass::InitialWeights) == Inclusion::Included {
        for base in &statement.base_models {
            sums.add_outside(base_bounds(base));
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
            sums.add_outside(amounts);
        }
    }
    sums
}

impl DeclaredSums {
    fn add_outside(&mut self, (low, high): (u128, Option<u128>)) {
        let (least, most) = self.outside;
        let most = most.zip(high).map(|(most, high)| most.saturating_add(high));
        self.outside = (least.saturating_add(low), most);
    }
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

/// The point figure for this run: the readings' own total where the bundle shows it, else the provider's estimate.
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
    if let Some(flop) = shown {
        let text = "sum of the operations that the training job declared in this run, which this bundle shows";
        return Some(line(flop, Sentence::on(["check:readings-open", "field:/totals/0"], text)));
    }
    let statement = report.statement.as_ref()?;
    let stated = statement
        .content
        .lifecycle
        .iter()
        .filter(|line| line.in_this_run && line.class.inclusion(Quantity::Cumulative) == Inclusion::Included);
    let points: Option<Vec<u128>> = stated.map(|line| Some(estimate_of(line).ok()?.estimate?.0)).collect();
    let points = points.filter(|points| !points.is_empty())?;
    let flop = Flops(points.into_iter().fold(0, u128::saturating_add));
    let text = "the provider's own estimate of this run, as it states it; not weighed";
    Some(line(flop, Sentence::on(["declared:/lifecycle", rules::ANNEX_A2], text)))
}

#[cfg(test)]
mod tests;
