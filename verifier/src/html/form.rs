//! **Duty.** The fields of the model documentation form, each entry with its grade, or `not declared`. **Knows** a report's
//! fields. **Does not know** the form's official wording: its order follows mappings of it. **Spec.** COMPUTE §10.

use weighbridge_attest_types::{
    BaseCompute, BaseModel, CheckpointLine, Declarations, Flops, Grade, Plan, ThresholdReport, TwoFigures, two_figures,
};

use crate::figures::{duration, grouped};
use crate::instant;
use crate::visible::{cited, described};

/// One field of the form; without an entry where nobody declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) entries: Vec<Entry>,
}

/// One thing that a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    /// The provider's own words: they are quoted.
    pub(crate) own: bool,
    /// What stands side by side in a field may rest on different things.
    pub(crate) grade: Grade,
}

/// The two grades that entries have: what evidence says, and what somebody says.
#[derive(Debug, Clone, Copy)]
struct Grades {
    evidence: Grade,
    declared: Grade,
}

/// All fields, in the form's order.
pub(crate) fn fields(report: &ThresholdReport) -> Vec<Field> {
    let statement = report.statement.as_ref();
    let content = statement.map(|statement| &statement.content);
    let evidence = report.bracket.grade;
    let grades = Grades { evidence, declared: Grade::Declared.min(evidence) };
    let own = |name, words: Vec<&String>| field(name, words.into_iter().map(|words| grades.quoted(words)).collect());
    let provider = content.map(|content| &content.provider);
    let model = content.map(|content| &content.model);
    vec![
        // The instant of the appraisal is the word of whoever assembled the bundle.
        field("Last update", vec![grades.word(instant::readable(report.appraised_at))]),
        own("Provider, legal name", provider.map(|provider| &provider.legal_name).into_iter().collect()),
        own(
            "Authorised representative",
            provider.and_then(|provider| provider.representative.as_ref()).into_iter().collect(),
        ),
        own("Contact", provider.map(|provider| &provider.contact).into_iter().collect()),
        own("Model", model.map(|model| &model.id).into_iter().collect()),
        own("Versions", model.map(|model| model.versions.iter().collect()).unwrap_or_default()),
        field("Model authenticity", authenticity(report)),
        own("Released", model.and_then(|model| model.released.as_ref()).into_iter().collect()),
        field("Base models and dependencies", content.map(|content| grades.bases(content)).unwrap_or_default()),
        own("Architecture", model.and_then(|model| model.architecture.as_ref()).into_iter().collect()),
        field(
            "Parameters",
            model.and_then(|model| model.parameters).map(|count| grades.parameters(count)).into_iter().collect(),
        ),
        field("Period and phases", grades.period(report, content)),
        field("Training time of the run", grades.hardware_time(report)),
        field("Sites", content.map(|content| grades.sites(content)).unwrap_or_default()),
        field("Amount of computation, this run", vec![grades.amount(report)]),
        field("Amount of computation, estimate", estimate(report)),
        field(
            "Planned total",
            content.and_then(|content| content.plan).map(|plan| grades.plan(plan)).into_iter().collect(),
        ),
        field("How it was measured", vec![grades.shown(report.bracket.upper_basis.text.clone())]),
        field("Executed over counted", grades.factor(content)),
        field("Energy", content.map(|content| grades.energy(content)).unwrap_or_default()),
        field("Changes since the last report", content.map(|content| grades.changes(content)).unwrap_or_default()),
    ]
}

const fn field(name: &'static str, entries: Vec<Entry>) -> Field {
    Field { name, entries }
}

/// The last state of the model: the greatest step of the greatest attempt, whichever node recorded it. Nodes that recorded
/// different ones are all told.
fn authenticity(report: &ThresholdReport) -> Vec<Entry> {
    let place = |line: &CheckpointLine| (line.attempt, line.step);
    let last = report.checkpoints.iter().map(place).max();
    let lines = report.checkpoints.iter().filter(|line| Some(place(line)) == last);
    let mut entries: Vec<Entry> = lines
        .map(|line| Entry {
            text: format!("checkpoint of attempt {}, step {}: {}", line.attempt, line.step, line.fast_root),
            own: false,
            grade: line.grade,
        })
        .collect();
    entries.sort_by(|left, right| left.text.cmp(&right.text));
    entries.dedup();
    entries
}

fn estimate(report: &ThresholdReport) -> Vec<Entry> {
    let line = report.estimate.iter().map(|line| Entry {
        text: format!("{} FLOP ({}): {}", line.two_figures, line.basis.as_str(), line.source),
        own: false,
        grade: line.grade,
    });
    let declared = report.declared.iter().filter(|line| line.statement.starts_with("declared_"));
    let grid = declared.filter_map(|line| {
        let text = format!("{} FLOP (declared readings, sum proven)", line.two_figures.as_ref()?);
        Some(Entry { text, own: false, grade: line.grade })
    });
    line.chain(grid).collect()
}

impl Grades {
    /// What evidence says, in our words.
    const fn shown(self, text: String) -> Entry {
        Entry { text, own: false, grade: self.evidence }
    }

    /// What somebody says, in our words.
    const fn word(self, text: String) -> Entry {
        Entry { text, own: false, grade: self.declared }
    }

    /// A name from the run manifest.
    fn named(self, words: &str) -> Entry {
        Entry { text: cited(words), own: true, grade: self.declared }
    }

    /// The provider's own words.
    fn quoted(self, words: &str) -> Entry {
        Entry { text: described(words), own: true, grade: self.declared }
    }

    fn bases(self, content: &Declarations) -> Vec<Entry> {
        let base = |base: &BaseModel| {
            let compute = match base.compute {
                BaseCompute::Interval(bounds) => {
                    format!("{} to {} FLOP", two_figures(bounds.low.0), two_figures(bounds.high.0))
                }
                BaseCompute::CannotBeEstimated => "compute cannot be estimated".to_owned(),
            };
            [self.quoted(&base.name), self.word(compute), self.quoted(&base.source)]
        };
        let dependencies = content.model.dependencies.iter().map(|words| self.quoted(words));
        content.base_models.iter().flat_map(base).chain(dependencies).collect()
    }

    fn parameters(self, count: Flops) -> Entry {
        self.word(TwoFigures::round(count.0).map_or_else(|| "0".to_owned(), |figures| figures.to_string()))
    }

    fn period(self, report: &ThresholdReport, content: Option<&Declarations>) -> Vec<Entry> {
        let between = |from, to| format!("{} to {}", instant::readable(from), instant::readable(to));
        let run = report.period.as_ref().map(|period| self.shown(between(period.from, period.to)));
        let whole = content
            .and_then(|content| content.period)
            .map(|period| self.word(format!("whole lifecycle, declared: {}", between(period.from.0, period.to.0))));
        run.into_iter().chain([self.named(&report.phase)]).chain(whole).collect()
    }

    fn hardware_time(self, report: &ThresholdReport) -> Vec<Entry> {
        let lines = report.fleet.iter().flat_map(|line| {
            let time = line.device_millis.map_or_else(
                || "time not known".to_owned(),
                |millis| format!("{} of accelerator time", duration(millis)),
            );
            let kind = format!("{} × {}", grouped(u128::from(line.count)), line.chip_family);
            [self.shown(kind), self.named(&line.sku), self.shown(time)]
        });
        lines.collect()
    }

    fn sites(self, content: &Declarations) -> Vec<Entry> {
        let lines = content.sites.iter().flat_map(|site| {
            let count = format!("{} ×", grouped(u128::from(site.accelerators)));
            [self.quoted(&site.name), self.word(count), self.quoted(&site.sku)]
        });
        lines.collect()
    }

    fn amount(self, report: &ThresholdReport) -> Entry {
        let lower = &report.bracket.lower_two_figures;
        self.shown(match &report.bracket.upper_two_figures {
            Some(upper) => format!("{lower} to {upper} FLOP"),
            None => format!("at least {lower} FLOP; no upper figure is known"),
        })
    }

    fn plan(self, plan: Plan) -> Entry {
        let committed = instant::readable(plan.committed_at.0);
        self.word(format!("{} FLOP, committed to on {committed}", two_figures(plan.total.0)))
    }

    fn factor(self, content: Option<&Declarations>) -> Vec<Entry> {
        let factor = content.and_then(|content| content.recompute_factor);
        let words = factor.map(|factor| self.word(format!("{} : {}", factor.numerator, factor.denominator)));
        words.into_iter().collect()
    }

    fn energy(self, content: &Declarations) -> Vec<Entry> {
        let lines = content.energy.iter().flat_map(|energy| {
            let amount = format!("{} kWh", grouped(u128::from(energy.kilowatt_hours)));
            [self.word(amount), self.quoted(&energy.method)]
        });
        lines.collect()
    }

    fn changes(self, content: &Declarations) -> Vec<Entry> {
        let lines = content.earlier_report.iter().flat_map(|earlier| {
            let report = self.word(format!("since the report {}", earlier.sha256));
            std::iter::once(report).chain(earlier.changes.iter().map(move |words| self.quoted(words)))
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::sample_report;

    fn grades_of(report: &ThresholdReport, name: &str) -> Vec<Grade> {
        let found = fields(report).into_iter().find(|field| field.name == name).unwrap();
        found.entries.iter().map(|entry| entry.grade).collect()
    }

    #[test]
    fn no_word_of_anybody_carries_the_grade_of_evidence() {
        let mut report = sample_report();
        report.bracket.grade = Grade::Attested;
        let (shown, word) = (Grade::Attested, Grade::Declared);
        assert_eq!(grades_of(&report, "Last update"), [word]);
        assert_eq!(grades_of(&report, "Period and phases"), [shown, word]);
        assert_eq!(grades_of(&report, "Training time of the run"), [shown, word, shown]);
        assert_eq!(grades_of(&report, "Amount of computation, this run"), [shown]);
    }

    #[test]
    fn the_last_checkpoint_is_that_of_the_greatest_step_and_not_of_the_last_node() {
        let mut report = sample_report();
        let line = report.checkpoints[0].clone();
        let at = |attempt, step| CheckpointLine { attempt, step, ..line.clone() };
        report.checkpoints = vec![at(1, 5), at(1, 9), at(0, 90), at(1, 9), at(1, 2)];
        let told =
            |report: &ThresholdReport| authenticity(report).into_iter().map(|entry| entry.text).collect::<Vec<_>>();
        assert_eq!(told(&report), [format!("checkpoint of attempt 1, step 9: {}", line.fast_root)]);
        report.checkpoints[3].fast_root = weighbridge_attest_types::Digest32([0xab; 32]);
        assert_eq!(told(&report).len(), 2, "nodes that disagree are both told");
        report.checkpoints.clear();
        assert!(told(&report).is_empty());
    }
}
