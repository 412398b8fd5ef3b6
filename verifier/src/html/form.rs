//! **Duty.** The fields of the model documentation form, each with its grade, or `not declared`. **Knows** a report's
//! fields. **Does not know** the form's official wording: its order follows mappings of it. **Spec.** COMPUTE §10.

use weighbridge_attest_types::{
    BaseCompute, BaseModel, Declarations, Flops, Grade, Plan, ThresholdReport, TwoFigures, two_figures,
};

use crate::figures::{duration, grouped};
use crate::instant;
use crate::visible::{cited, described};

/// One field of the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) entries: Vec<Entry>,
    /// `None` where nobody declares it.
    pub(crate) grade: Option<Grade>,
}

/// One thing that a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    /// The provider's own words: they are quoted.
    pub(crate) own: bool,
}

/// All fields, in the form's order.
pub(crate) fn fields(report: &ThresholdReport) -> Vec<Field> {
    let statement = report.statement.as_ref();
    let content = statement.map(|statement| &statement.content);
    let declared = statement.map_or(Grade::Declared.min(report.bracket.grade), |statement| statement.grade);
    let own = |name, words: Vec<&String>| field(name, words.into_iter().map(|words| quoted(words)).collect(), declared);
    let provider = content.map(|content| &content.provider);
    let model = content.map(|content| &content.model);
    vec![
        field("Last update", vec![ours(instant::readable(report.appraised_at))], report.bracket.grade),
        own("Provider, legal name", provider.map(|provider| &provider.legal_name).into_iter().collect()),
        own(
            "Authorised representative",
            provider.and_then(|provider| provider.representative.as_ref()).into_iter().collect(),
        ),
        own("Contact", provider.map(|provider| &provider.contact).into_iter().collect()),
        own("Model", model.map(|model| &model.id).into_iter().collect()),
        own("Versions", model.map(|model| model.versions.iter().collect()).unwrap_or_default()),
        field(
            "Model authenticity",
            authenticity(report),
            report.checkpoints.last().map_or(declared, |line| line.grade),
        ),
        own("Released", model.and_then(|model| model.released.as_ref()).into_iter().collect()),
        field("Base models and dependencies", content.map(bases).unwrap_or_default(), declared),
        own("Architecture", model.and_then(|model| model.architecture.as_ref()).into_iter().collect()),
        field("Parameters", model.and_then(|model| model.parameters).map(parameters).into_iter().collect(), declared),
        field("Period and phases", period(report, content), report.bracket.grade),
        field("Training time of the run", hardware_time(report), report.bracket.grade),
        field("Sites", content.map(sites).unwrap_or_default(), declared),
        field("Amount of computation, this run", amount(report), report.bracket.grade),
        field(
            "Amount of computation, estimate",
            estimate(report),
            report.estimate.as_ref().map_or(declared, |line| line.grade),
        ),
        field("Planned total", content.and_then(|content| content.plan).map(plan).into_iter().collect(), declared),
        field("How it was measured", vec![ours(report.bracket.upper_basis.text.clone())], report.bracket.grade),
        field("Executed over counted", factor(content), declared),
        field("Energy", content.map(energy).unwrap_or_default(), declared),
        field("Changes since the last report", content.map(changes).unwrap_or_default(), declared),
    ]
}

fn field(name: &'static str, entries: Vec<Entry>, grade: Grade) -> Field {
    let grade = (!entries.is_empty()).then_some(grade);
    Field { name, entries, grade }
}

/// A name from the run manifest.
fn named(words: &str) -> Entry {
    Entry { text: cited(words), own: true }
}

fn quoted(words: &str) -> Entry {
    Entry { text: described(words), own: true }
}

fn ours(text: String) -> Entry {
    Entry { text, own: false }
}

fn authenticity(report: &ThresholdReport) -> Vec<Entry> {
    let last = report
        .checkpoints
        .last()
        .map(|line| ours(format!("checkpoint of attempt {}, step {}: {}", line.attempt, line.step, line.fast_root)));
    last.into_iter().collect()
}

fn bases(content: &Declarations) -> Vec<Entry> {
    let base = |base: &BaseModel| {
        let compute = match base.compute {
            BaseCompute::Interval(bounds) => {
                format!("{} to {} FLOP", two_figures(bounds.low.0), two_figures(bounds.high.0))
            }
            BaseCompute::CannotBeEstimated => "compute cannot be estimated".to_owned(),
        };
        [quoted(&base.name), ours(compute), quoted(&base.source)]
    };
    let dependencies = content.model.dependencies.iter().map(|words| quoted(words));
    content.base_models.iter().flat_map(base).chain(dependencies).collect()
}

fn parameters(count: Flops) -> Entry {
    ours(TwoFigures::round(count.0).map_or_else(|| "0".to_owned(), |figures| figures.to_string()))
}

fn period(report: &ThresholdReport, content: Option<&Declarations>) -> Vec<Entry> {
    let between = |from, to| ours(format!("{} to {}", instant::readable(from), instant::readable(to)));
    let run = report.period.as_ref().map(|period| between(period.from, period.to));
    let whole = content
        .and_then(|content| content.period)
        .map(|period| ours(format!("whole lifecycle, declared: {}", between(period.from.0, period.to.0).text)));
    run.into_iter().chain([named(&report.phase)]).chain(whole).collect()
}

fn hardware_time(report: &ThresholdReport) -> Vec<Entry> {
    let lines = report.fleet.iter().flat_map(|line| {
        let time = line
            .device_millis
            .map_or_else(|| "time not known".to_owned(), |millis| format!("{} of accelerator time", duration(millis)));
        [ours(format!("{} × {}", grouped(u128::from(line.count)), line.chip_family)), named(&line.sku), ours(time)]
    });
    lines.collect()
}

fn sites(content: &Declarations) -> Vec<Entry> {
    let lines = content.sites.iter().flat_map(|site| {
        [quoted(&site.name), ours(format!("{} ×", grouped(u128::from(site.accelerators)))), quoted(&site.sku)]
    });
    lines.collect()
}

fn amount(report: &ThresholdReport) -> Vec<Entry> {
    let lower = &report.bracket.lower_two_figures;
    let text = match &report.bracket.upper_two_figures {
        Some(upper) => format!("{lower} to {upper} FLOP"),
        None => format!("at least {lower} FLOP; no upper figure is known"),
    };
    vec![ours(text)]
}

fn estimate(report: &ThresholdReport) -> Vec<Entry> {
    let line = report.estimate.iter();
    let line = line.map(|line| ours(format!("{} FLOP ({}): {}", line.two_figures, line.basis.as_str(), line.source)));
    let declared = report.declared.iter().filter(|line| line.statement.starts_with("declared_"));
    let grid = declared.filter_map(|line| line.two_figures.as_ref());
    line.chain(grid.map(|cell| ours(format!("{cell} FLOP (declared readings, sum proven)")))).collect()
}

fn plan(plan: Plan) -> Entry {
    ours(format!("{} FLOP, committed to on {}", two_figures(plan.total.0), instant::readable(plan.committed_at.0)))
}

fn factor(content: Option<&Declarations>) -> Vec<Entry> {
    let factor = content.and_then(|content| content.recompute_factor);
    factor.map(|factor| ours(format!("{} : {}", factor.numerator, factor.denominator))).into_iter().collect()
}

fn energy(content: &Declarations) -> Vec<Entry> {
    let lines = content.energy.iter().flat_map(|energy| {
        [ours(format!("{} kWh", grouped(u128::from(energy.kilowatt_hours)))), quoted(&energy.method)]
    });
    lines.collect()
}

fn changes(content: &Declarations) -> Vec<Entry> {
    let lines = content.earlier_report.iter().flat_map(|earlier| {
        let report = ours(format!("since the report {}", earlier.sha256));
        std::iter::once(report).chain(earlier.changes.iter().map(|words| quoted(words)))
    });
    lines.collect()
}
