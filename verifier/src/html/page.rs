//! **Duty.** The report's fields, spelled as the template prints them. **Knows** words and figures. **Does not know**
//! markup (template) or positions (`drawing`). **Spec.** COMPUTE §10.

use askama::Template;
use weighbridge_attest_types::{
    AttemptLine, CheckpointLine, Compare, CoverageLine, DeclaredLine, DeclaredVerdict, DeviceLine, FleetLine, Flops,
    GapLine, Grade, Inclusion, NodeLine, ProfileLine, ProfileOrigin, SamplingLine, ThresholdReport, TotalLine,
    UnixMillis, Verdict, WorkLine, exact_words,
};

use crate::events::events;
use crate::figures::{Amount, duration, grouped};
use crate::html::drawing::Drawing;
use crate::html::form::{Field, fields};
use crate::instant;
use crate::prose::{capital, numbers, sentence, status, status_aside};
use crate::visible::{cited, described};

/// The page.
#[derive(Debug, Template)]
#[template(path = "report.html")]
pub(crate) struct Page<'a> {
    report: &'a ThresholdReport,
    version: &'static str,
    /// The report has a warning: it stands before everything else.
    warned: bool,
    appraised_at: Instant,
    valid_until: Instant,
    /// The provider's own words, short.
    model: String,
    provider: String,
    phase: String,
    /// Who makes the statement, where the manifest names somebody else.
    stated_by: Option<String>,
    headline: Threshold<'a>,
    lower: Amount,
    lower_basis: String,
    upper: Option<Amount>,
    upper_basis: String,
    width: Option<Amount>,
    clock_is_external: bool,
    drawing: Drawing,
    thresholds: Vec<Threshold<'a>>,
    ledger: Vec<Work<'a>>,
    forecast: Option<Forecast<'a>>,
    estimate: Option<Amount>,
    declared: Vec<Declared<'a>>,
    totals: Vec<Total<'a>>,
    level_basis: String,
    form: Vec<Field>,
    audit: String,
    sampling: Option<&'a SamplingLine>,
    fleet: Vec<Kind<'a>>,
    nodes: Vec<Node<'a>>,
    coverage: Vec<CoverageRow>,
    share: Option<String>,
    gaps: Vec<Gap<'a>>,
    attempts: &'a [AttemptLine],
    events: Vec<String>,
    checkpoints: &'a [CheckpointLine],
    collateral_left: Option<String>,
    not_proven: Vec<String>,
    assumptions: Vec<String>,
    not_checked: Vec<String>,
}

#[derive(Debug)]
struct Instant {
    machine: String,
    human: String,
}

#[derive(Debug)]
struct Threshold<'a> {
    line: &'a ProfileLine,
    amount: Amount,
    is_law: bool,
    /// What the profile names, short: of a reader's own profile it is the reader's word.
    instrument: String,
    citation: String,
    compare: &'static str,
    status: &'static str,
    /// The status with a comma before it, where the threshold is not in force.
    aside: String,
    /// The verdict in a few words, and the class that colours it.
    words: &'static str,
    class: &'static str,
    why: String,
    /// The grade's word, with a capital: it goes before the verdict.
    grade: String,
    /// FLOP between the deciding bound and the threshold.
    margin: Option<Amount>,
    /// What else must hold.
    condition: Option<String>,
    /// Whose share the threshold is.
    relative: Option<String>,
    /// The reader's own file.
    is_own: bool,
    /// With the provider's statement.
    with_declared: Option<WithDeclared<'a>>,
    clock: Option<Clock>,
    /// What the rounded bounds would hide.
    lower_words: Option<&'static str>,
    upper_words: Option<&'static str>,
}

/// The second verdict.
#[derive(Debug)]
struct WithDeclared<'a> {
    line: &'a DeclaredVerdict,
    grade: String,
    words: &'static str,
    class: &'static str,
    /// It says worse than evidence alone does, so it must not stand behind it.
    is_worse: bool,
    lower: Amount,
    upper: Option<Amount>,
    why: String,
}

/// Time to notify.
#[derive(Debug)]
struct Clock {
    grade: Grade,
    triggered_at: Option<Instant>,
    deadline: Option<Instant>,
    /// Whether a time is running is not known.
    is_unsure: bool,
    why: String,
}

/// A line of counted or excluded work.
#[derive(Debug)]
struct Work<'a> {
    line: &'a WorkLine,
    phase: String,
    class: &'static str,
    low: Amount,
    estimate: Option<Amount>,
    high: Option<Amount>,
    method: String,
    /// The provider's words, not ours.
    is_stated: bool,
    cumulative: &'static str,
    training: &'static str,
}

#[derive(Debug)]
struct Forecast<'a> {
    grade: &'a Grade,
    plan: Amount,
    run_rate: Option<Amount>,
    greatest: Amount,
    ends_at: Option<Instant>,
    why: String,
}

/// An exact total of an open bundle.
#[derive(Debug)]
struct Total<'a> {
    line: &'a TotalLine,
    amount: Option<Amount>,
    why: String,
}

#[derive(Debug)]
struct Declared<'a> {
    line: &'a DeclaredLine,
    sentence: String,
    unit: &'static str,
    low: Option<Amount>,
    high: Option<Amount>,
}

/// Accelerators of one kind.
#[derive(Debug)]
struct Kind<'a> {
    count: String,
    chip: &'a str,
    sku: String,
    time: Option<String>,
}

#[derive(Debug)]
struct Node<'a> {
    number: usize,
    line: &'a NodeLine,
    not_before: Option<Instant>,
    not_after: Option<Instant>,
    devices: Vec<Accelerator<'a>>,
}

#[derive(Debug)]
struct Accelerator<'a> {
    line: &'a DeviceLine,
    sku: String,
    ceiling: Option<Amount>,
    charged: Option<String>,
}

#[derive(Debug)]
struct CoverageRow {
    name: &'static str,
    time: String,
    meaning: &'static str,
}

#[derive(Debug)]
struct Gap<'a> {
    line: &'a GapLine,
    cause: String,
    length: String,
    effect: Option<Amount>,
}

impl<'a> Page<'a> {
    /// The page of a report; `None` when it has no line for the leading profile.
    pub(crate) fn new(report: &'a ThresholdReport, headline: &str) -> Option<Self> {
        let bracket = &report.bracket;
        let threshold = |line: &'a ProfileLine| Threshold::new(line, bracket.lower, bracket.upper);
        let headline = report.profiles.iter().find(|line| line.id == headline).map(threshold)?;
        Some(Self {
            report,
            version: env!("CARGO_PKG_VERSION"),
            warned: !report.warning.is_empty(),
            appraised_at: Instant::new(report.appraised_at),
            valid_until: Instant::new(report.endorsements_valid_until),
            model: cited(&report.model_id),
            provider: cited(&report.provider),
            phase: cited(&report.phase),
            stated_by: report.other_provider().map(cited),
            lower: Amount::of(bracket.lower),
            lower_basis: sentence(&bracket.lower_basis),
            upper: bracket.upper.map(Amount::of),
            upper_basis: sentence(&bracket.upper_basis),
            width: bracket.width.map(Amount::of),
            clock_is_external: bracket.clock == "external",
            drawing: Drawing::new(bracket, headline.line, &report.profiles),
            headline,
            thresholds: report.profiles.iter().map(threshold).collect(),
            ledger: report.ledger.iter().map(Work::new).collect(),
            forecast: report.forecast.as_ref().map(|line| Forecast {
                grade: &line.grade,
                plan: Amount::of(line.plan),
                run_rate: line.run_rate.map(Amount::of),
                greatest: Amount::of(line.greatest),
                ends_at: line.ends_at.map(Instant::new),
                why: sentence(&line.why),
            }),
            estimate: report.estimate.as_ref().map(|line| Amount::of(line.flop)),
            declared: report.declared.iter().map(Declared::new).collect(),
            totals: report.totals.iter().map(Total::new).collect(),
            level_basis: sentence(&report.level_basis),
            form: fields(report),
            audit: sentence(&report.audit),
            sampling: report.sampling.as_ref(),
            fleet: report.fleet.iter().map(Kind::new).collect(),
            nodes: report.nodes.iter().enumerate().map(Node::new).collect(),
            coverage: coverage(&report.coverage),
            share: report.coverage.covered_basis_points.map(|share| format!("{}.{:02}%", share / 100, share % 100)),
            gaps: report.gaps.iter().map(Gap::new).collect(),
            attempts: &report.attempts,
            events: events(report).iter().map(|line| numbers(&sentence(line))).collect(),
            checkpoints: &report.checkpoints,
            collateral_left: report.endorsements_valid_until.0.checked_sub(report.appraised_at.0).map(duration),
            not_proven: report.not_proven.iter().map(|line| sentence(line)).collect(),
            assumptions: report.assumptions.iter().map(|line| sentence(line)).collect(),
            not_checked: report.not_checked.iter().map(|line| numbers(line)).collect(),
        })
    }
}

impl Instant {
    fn new(at: UnixMillis) -> Self {
        Self { machine: instant::rfc3339(at), human: instant::readable(at) }
    }
}

impl<'a> Threshold<'a> {
    fn new(line: &'a ProfileLine, lower: Flops, upper: Option<Flops>) -> Self {
        let words = |figure: Flops| exact_words(figure, line.threshold, line.compare);
        let (verdict, class) = spelled(line.verdict);
        // A *below* whose threshold is a share of what the provider states earns no colour.
        let leans = line.relative.as_ref().is_some_and(|relative| relative.is_declared);
        let class = if leans && line.verdict == Verdict::Below { "stated" } else { class };
        Self {
            line,
            amount: Amount::of(line.threshold),
            is_law: line.status != "demonstration",
            instrument: cited(&line.instrument),
            citation: cited(&line.citation),
            compare: match line.compare {
                Compare::Gt => "more than",
                Compare::Ge => "at least",
            },
            status: status(line),
            aside: status_aside(line),
            words: verdict,
            class,
            margin: line.margin.map(Amount::of),
            condition: line.condition.as_ref().map(|words| sentence(words)),
            relative: line.relative.as_ref().map(|relative| {
                let (part, whole) = (relative.fraction.numerator, relative.fraction.denominator);
                format!("{part}/{whole} of {} FLOP; {}", grouped(relative.original.0), relative.source)
            }),
            is_own: line.origin == ProfileOrigin::Reader,
            with_declared: line.declared.as_ref().map(|declared| WithDeclared::new(declared, line.verdict)),
            clock: line.clock.as_ref().map(|clock| Clock {
                grade: clock.grade,
                triggered_at: clock.triggered_at.map(Instant::new),
                deadline: clock.deadline.map(Instant::new),
                is_unsure: clock.is_unsure,
                why: sentence(&clock.why),
            }),
            why: sentence(&line.why),
            grade: capital(line.grade.as_str()),
            lower_words: words(lower),
            upper_words: upper.and_then(words),
        }
    }
}

/// A verdict in a few words, and the class that colours it.
const fn spelled(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Below => ("below the threshold", "below"),
        Verdict::Above => ("above the threshold", "above"),
        Verdict::Straddles => ("straddles the threshold", "straddles"),
        Verdict::Unknown => ("no verdict", "unknown"),
    }
}

impl<'a> WithDeclared<'a> {
    fn new(line: &'a DeclaredVerdict, beside: Verdict) -> Self {
        let (words, class) = spelled(line.verdict);
        Self {
            line,
            grade: capital(line.grade.as_str()),
            words,
            class,
            is_worse: line.verdict != Verdict::Below && line.verdict != beside,
            lower: Amount::of(line.lower),
            upper: line.upper.map(Amount::of),
            why: sentence(&line.why),
        }
    }
}

impl<'a> Work<'a> {
    fn new(line: &'a WorkLine) -> Self {
        let included = |inclusion| match inclusion {
            Inclusion::Included => "yes",
            Inclusion::Excluded => "no",
            Inclusion::UpperOnly => "upper figure only",
        };
        Self {
            line,
            phase: cited(&line.phase),
            class: line.class.words(),
            low: Amount::of(line.low),
            estimate: line.estimate.map(Amount::of),
            high: line.high.map(Amount::of),
            method: described(&numbers(&line.method)),
            is_stated: line.method.basis.iter().any(|ground| ground.starts_with("declared:")),
            cumulative: included(line.cumulative),
            training: included(line.training),
        }
    }
}

impl<'a> Total<'a> {
    fn new(line: &'a TotalLine) -> Self {
        Self { line, amount: line.total.map(Amount::of), why: sentence(&line.why) }
    }
}

impl<'a> Kind<'a> {
    fn new(line: &'a FleetLine) -> Self {
        let count = grouped(u128::from(line.count));
        Self { count, chip: &line.chip_family, sku: cited(&line.sku), time: line.device_millis.map(duration) }
    }
}

impl<'a> Declared<'a> {
    fn new(line: &'a DeclaredLine) -> Self {
        Self {
            line,
            sentence: sentence(&line.sentence),
            unit: if line.statement.starts_with("energy_") { "J" } else { "FLOP" },
            low: line.low.map(Amount::of),
            high: line.high.map(Amount::of),
        }
    }
}

impl<'a> Node<'a> {
    fn new((position, line): (usize, &'a NodeLine)) -> Self {
        let device = |line: &'a DeviceLine| Accelerator {
            line,
            sku: cited(&line.sku),
            ceiling: line.ceiling_flop_per_second.map(Amount::of),
            charged: line.charged_millis.map(duration),
        };
        Self {
            number: position + 1,
            line,
            not_before: line.not_before.map(Instant::new),
            not_after: line.not_after.map(Instant::new),
            devices: line.devices.iter().map(device).collect(),
        }
    }
}

impl<'a> Gap<'a> {
    fn new(line: &'a GapLine) -> Self {
        Self { line, cause: numbers(&line.cause), length: duration(line.millis), effect: line.effect.map(Amount::of) }
    }
}

fn coverage(line: &CoverageLine) -> Vec<CoverageRow> {
    let CoverageLine {
        bracketed_millis,
        covered_millis,
        run_millis,
        other_millis,
        idle_millis,
        recorded_gap_millis,
        uncovered_millis,
        covered_basis_points: _,
    } = line;
    let time = |millis: Option<u64>| millis.map_or_else(|| "not known".to_owned(), duration);
    let row = |name, millis, meaning| CoverageRow { name, time: time(millis), meaning };
    vec![
        row("Between the outside time stamps", *bracketed_millis, "all of it is counted at the greatest rate"),
        row("Accounted for", Some(*covered_millis), "in the signed records, up to the last one the hardware signed"),
        row("of which in this run", Some(*run_millis), "as the node recorded it"),
        row("of which at other work", Some(*other_millis), "as the node recorded it"),
        row("of which idle", Some(*idle_millis), "as the node recorded it"),
        row("Recorded as a gap", Some(*recorded_gap_millis), "the node itself could not account for it"),
        row("Not in any record", *uncovered_millis, "counted like all other time"),
    ]
}
