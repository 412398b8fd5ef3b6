//! **Duty.** The report's fields, spelled as the template prints them. **Knows** words and figures. **Does not know**
//! markup (template) or positions (`drawing`). **Spec.** COMPUTE §10.

use std::collections::BTreeMap;

use askama::Template;
use weighbridge_attest_types::{
    CheckpointLine, Compare, CoverageLine, DeclaredLine, DeviceLine, Flops, GapLine, NodeLine, ProfileLine, Quantity,
    ThresholdReport, UnixMillis, Verdict, built_in_profiles,
};

use crate::events::events;
use crate::figures::{Amount, duration, exact_words, grouped};
use crate::html::drawing::Drawing;
use crate::instant;
use crate::prose::{capital, numbers, sentence};
use crate::visible::cited;

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
    headline: Threshold<'a>,
    lower: Amount,
    lower_basis: String,
    upper: Option<Amount>,
    upper_basis: String,
    width: Option<Amount>,
    clock_is_external: bool,
    drawing: Drawing,
    thresholds: Vec<Threshold<'a>>,
    declared: Vec<Declared<'a>>,
    audit: String,
    fleet: Vec<Kind<'a>>,
    nodes: Vec<Node<'a>>,
    coverage: Vec<CoverageRow>,
    share: Option<String>,
    gaps: Vec<Gap<'a>>,
    events: Vec<String>,
    checkpoints: &'a [CheckpointLine],
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
    compare: &'static str,
    status: &'static str,
    /// The verdict in a few words, and the class that colours it.
    words: &'static str,
    class: &'static str,
    /// The threshold counts all runs of the model.
    is_cumulative: bool,
    why: String,
    /// The grade's word, with a capital: it goes before the verdict.
    grade: String,
    /// What the rounded bounds would hide.
    lower_words: Option<&'static str>,
    upper_words: Option<&'static str>,
}

#[derive(Debug)]
struct Declared<'a> {
    line: &'a DeclaredLine,
    sentence: String,
    low: Option<Amount>,
    high: Option<Amount>,
}

/// Accelerators of one kind.
#[derive(Debug)]
struct Kind<'a> {
    count: String,
    chip: &'a str,
    sku: String,
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
            lower: Amount::of(bracket.lower),
            lower_basis: sentence(&bracket.lower_basis),
            upper: bracket.upper.map(Amount::of),
            upper_basis: sentence(&bracket.upper_basis),
            width: bracket.width.map(Amount::of),
            clock_is_external: bracket.clock == "external",
            drawing: Drawing::new(bracket, &report.profiles, &headline.line.id),
            headline,
            thresholds: report.profiles.iter().map(threshold).collect(),
            declared: report.declared.iter().map(Declared::new).collect(),
            audit: sentence(&report.audit),
            fleet: fleet(&report.nodes),
            nodes: report.nodes.iter().enumerate().map(Node::new).collect(),
            coverage: coverage(&report.coverage),
            share: report.coverage.covered_basis_points.map(|share| format!("{}.{:02}%", share / 100, share % 100)),
            gaps: report.gaps.iter().map(Gap::new).collect(),
            events: events(report).iter().map(|line| numbers(&sentence(line))).collect(),
            checkpoints: &report.checkpoints,
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
        let (verdict, class) = match line.verdict {
            Verdict::Below => ("below the threshold", "below"),
            Verdict::Above => ("above the threshold", "above"),
            Verdict::Straddles => ("straddles the threshold", "straddles"),
            Verdict::Unknown => ("no verdict", "unknown"),
        };
        Self {
            line,
            amount: Amount::of(line.threshold),
            is_law: line.status != "demonstration",
            compare: match line.compare {
                Compare::Gt => "more than",
                Compare::Ge => "at least",
            },
            status: match line.status.as_str() {
                "in-force" => "in force",
                "future" => "not yet in force",
                "rescinded" => "no longer in force",
                "draft" => "draft",
                "demonstration" => "demonstration, not a law",
                _ => "status not known",
            },
            words: verdict,
            class,
            is_cumulative: is_cumulative(&line.id),
            why: sentence(&line.why),
            grade: capital(line.grade.as_str()),
            lower_words: words(lower),
            upper_words: upper.and_then(words),
        }
    }
}

impl<'a> Declared<'a> {
    fn new(line: &'a DeclaredLine) -> Self {
        Self {
            line,
            sentence: sentence(&line.sentence),
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

/// How many accelerators of which kind.
fn fleet(nodes: &[NodeLine]) -> Vec<Kind<'_>> {
    let mut kinds: BTreeMap<(&str, &str), u128> = BTreeMap::new();
    for device in nodes.iter().flat_map(|node| &node.devices) {
        *kinds.entry((&device.chip_family, &device.sku)).or_default() += 1;
    }
    let kind = |((chip, sku), count)| Kind { count: grouped(count), chip, sku: cited(sku) };
    kinds.into_iter().map(kind).collect()
}

/// Whether a threshold counts more than one run. Where nothing is known of it, it may.
fn is_cumulative(id: &str) -> bool {
    !built_in_profiles().iter().any(|profile| profile.id == id && profile.quantity == Quantity::Training)
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
