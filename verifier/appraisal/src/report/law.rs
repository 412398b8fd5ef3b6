//! **Duty.** A threshold's line: verdict about the run, and beside it what run and provider's statement come to.
//! **Knows** a report that lacks only these lines, and one profile. **Does not know** evidence.
//! **Spec.** COMPUTE §2 (modifiers), §7; decisions 0011, 0018 and 0060.

use weighbridge_attest_types::{
    BaseCompute, DeclaredVerdict, Flops, Grade, ProfileLine, ProfileOrigin, RelativeLine, Sentence, ThresholdProfile,
    ThresholdReport, Verdict, exact_words,
};

use super::{clock, rules, work};
use crate::verdict::{Bracket, Completeness, judge};

/// What every verdict is about. A threshold counts all runs of a model, whatever its quantity; a bundle weighs one.
const SCOPE: &str = "this run alone";
/// Ground of a verdict that leans on a stated base model.
const BASE_MODELS: &str = "declared:/base_models";

/// What a threshold is measured on.
#[derive(Debug, Clone, Copy)]
enum Original {
    /// The figure of the instrument.
    Own,
    /// A share of another model's compute: the least that the provider states, or the instrument's figure where it states
    /// that the compute cannot be estimated.
    Stated(Flops),
    /// A share of an amount that nobody states. Silence is not "cannot be estimated": nothing stands in for it.
    Unstated,
}

impl Original {
    fn of(report: &ThresholdReport, profile: &ThresholdProfile) -> Self {
        match (profile.relative_to, stated_original(report, profile)) {
            (None, _) => Self::Own,
            (Some(_), Some(stated)) => Self::Stated(stated),
            (Some(_), None) => Self::Unstated,
        }
    }

    /// The amount for the verdict about the run: a statement makes it stricter or leaves it.
    fn strictest(self, profile: &ThresholdProfile) -> Option<Flops> {
        match self {
            Self::Own => Some(profile.value),
            Self::Stated(stated) => Some(stated.min(profile.value)),
            Self::Unstated => None,
        }
    }
}

/// The line of one profile.
pub(super) fn profile_line(report: &ThresholdReport, profile: &ThresholdProfile, origin: ProfileOrigin) -> ProfileLine {
    let original = Original::of(report, profile);
    let bracket = Bracket { lower: report.bracket.lower, upper: report.bracket.upper };
    let (verdict, why) = verdict(report, profile, original, &bracket);
    let threshold = profile.threshold(original.strictest(profile).unwrap_or(profile.value));
    let declared = declared_verdict(report, profile, original);
    let line =
        clock::Line { profile, original: original.strictest(profile), verdict, why: &why, declared: declared.as_ref() };
    let leans = matches!(original, Original::Stated(_));
    ProfileLine {
        id: profile.id.clone(),
        version: profile.version,
        origin,
        profile_sha256: profile.digest,
        jurisdiction: profile.jurisdiction.clone(),
        instrument: profile.instrument.clone(),
        citation: profile.citation.clause.clone(),
        status: profile.status.as_str().to_owned(),
        quantity: profile.quantity,
        threshold,
        compare: profile.compare,
        verdict,
        margin: margin(verdict, &bracket, threshold),
        rounding: rounding(report, profile, threshold),
        condition: condition(profile),
        scope: SCOPE.to_owned(),
        grade: if leans { Grade::Declared.min(report.bracket.grade) } else { report.bracket.grade },
        clock: clock::clock_line(report, line),
        why,
        declared,
        relative: relative_line(report, profile, original),
    }
}

/// What evidence says about this run. Of a share the provider's word decides what it is a share of, and the line says so.
fn verdict(
    report: &ThresholdReport,
    profile: &ThresholdProfile,
    original: Original,
    bracket: &Bracket,
) -> (Verdict, Sentence) {
    let Some(amount) = original.strictest(profile) else {
        let text = "the threshold is a share of the original model's compute, and the provider states neither that amount \
                    nor that it cannot be estimated; to be treated as above";
        return (Verdict::Unknown, Sentence::on([rules::MODIFIER, rules::UNKNOWN], text));
    };
    let (verdict, why) = judge(profile, amount, bracket, &completeness(report));
    match original {
        Original::Stated(_) => {
            let text = format!("{why}; it is a share of a base model's compute, as the provider states it");
            (verdict, Sentence { text, ..why }.and([BASE_MODELS]))
        }
        Original::Own | Original::Unstated => (verdict, why),
    }
}

fn completeness(report: &ThresholdReport) -> Completeness {
    let text = report.bracket.completeness.text.clone();
    if report.bracket.complete { Completeness::Covered(text) } else { Completeness::Missing(text) }
}

/// The least compute that the provider states for a base model; `None` where it states none.
fn stated_original(report: &ThresholdReport, profile: &ThresholdProfile) -> Option<Flops> {
    let amount = |compute: BaseCompute| match compute {
        BaseCompute::Interval(bounds) => bounds.low,
        BaseCompute::CannotBeEstimated => profile.value,
    };
    let bases = &report.statement.as_ref()?.content.base_models;
    bases.iter().map(|base| amount(base.compute)).min()
}

/// Whose share a relative threshold is.
fn relative_line(report: &ThresholdReport, profile: &ThresholdProfile, original: Original) -> Option<RelativeLine> {
    let fraction = profile.relative_to?.fraction;
    let amount = original.strictest(profile);
    let source = match (original, amount) {
        (Original::Stated(_), Some(amount)) if amount < profile.value => {
            Sentence::on([BASE_MODELS, rules::MODIFIER], "the least compute of a base model, as the provider states")
        }
        (Original::Stated(_), _) if cannot_be_estimated(report) => Sentence::on(
            [BASE_MODELS, rules::MODIFIER],
            "the instrument's own figure stands in for an original that, as the provider states, cannot be estimated",
        ),
        (Original::Stated(_), _) => Sentence::on(
            [BASE_MODELS, rules::MODIFIER],
            "the instrument's own figure; as the provider states, no base model has less, and a statement raises nothing \
             here",
        ),
        (Original::Own | Original::Unstated, _) => Sentence::on(
            [rules::MODIFIER],
            "the original's compute is not stated; the instrument's own figure is shown, and stands in only for an \
             original that cannot be estimated",
        ),
    };
    let is_declared = amount.is_some();
    Some(RelativeLine { fraction, original: amount.unwrap_or(profile.value), source, is_declared })
}

fn cannot_be_estimated(report: &ThresholdReport) -> bool {
    let bases = report.statement.iter().flat_map(|statement| &statement.content.base_models);
    bases.into_iter().any(|base| base.compute == BaseCompute::CannotBeEstimated)
}

/// What else must hold, which nobody weighs here.
fn condition(profile: &ThresholdProfile) -> Option<Sentence> {
    if profile.relative_to.is_some() {
        let text = "applies only where the run modifies somebody else's model; whether it does is not weighed here";
        return Some(Sentence::on([rules::MODIFIER], text));
    }
    (!profile.modalities.is_empty()).then(|| {
        let modalities = profile.modalities.join(", ");
        Sentence::on(
            [rules::MODALITIES],
            format!("applies together with a modality, which is not weighed here: {modalities}"),
        )
    })
}

fn margin(verdict: Verdict, bracket: &Bracket, threshold: Flops) -> Option<Flops> {
    let distance = match verdict {
        Verdict::Below => threshold.0.checked_sub(bracket.upper?.0),
        Verdict::Above => bracket.lower.0.checked_sub(threshold.0),
        Verdict::Straddles | Verdict::Unknown => None,
    };
    distance.map(Flops)
}

fn rounding(report: &ThresholdReport, profile: &ThresholdProfile, threshold: Flops) -> Option<Sentence> {
    let bounds = [("lower", Some(report.bracket.lower)), ("upper", report.bracket.upper)];
    let said = bounds.into_iter().filter_map(|(name, bound)| {
        let words = exact_words(bound?, threshold, profile.compare)?;
        Some(format!("rounded to two figures, the {name} bound equals the threshold; exactly, it is {words}"))
    });
    let said: Vec<String> = said.collect();
    let basis = ["field:/bracket/lower", "field:/bracket/upper", rules::ROUNDING];
    (!said.is_empty()).then(|| Sentence::on(basis, said.join("; ")))
}

/// Run and the provider's figures together. They widen and add; they never lower what evidence bounds, and a *below*
/// that leans on them is no more than the provider's word. Without a statement there is a line only where readings or a
/// proven sum warn.
fn declared_verdict(
    report: &ThresholdReport,
    profile: &ThresholdProfile,
    original: Original,
) -> Option<DeclaredVerdict> {
    let sums = work::declared_sums(report, |class| profile.inclusion(class));
    let (least, most) = sums.this_run;
    let lower = report.bracket.lower.0.max(least).saturating_add(sums.outside.least);
    let known_most =
        report.bracket.upper.unwrap_or(report.bracket.lower).0.max(most).saturating_add(sums.outside.known_most);
    let upper = report.bracket.upper.zip(sums.outside.most()).map(|_| known_most);
    let (verdict, text) = with_declared(report, profile, original, &sums.outside, (lower, known_most, upper));
    let is_warning = matches!(verdict, Verdict::Above | Verdict::Straddles);
    if report.statement.is_none() && !is_warning {
        return None;
    }
    let basis = ["field:/ledger", "field:/totals", "field:/declared", "field:/bracket/upper", rules::DECLARED];
    let (text, leans) = match original {
        Original::Stated(_) => {
            (format!("{text}; the threshold is a share of a base model's compute, as the provider states it"), true)
        }
        Original::Own | Original::Unstated => (text, false),
    };
    let stated = report.statement.is_some().then_some("declared:/lifecycle");
    Some(DeclaredVerdict {
        scope: "this run and declared work".to_owned(),
        lower: Flops(lower),
        upper: upper.map(Flops),
        this_run_lower: Flops(least),
        this_run_upper: Flops(most),
        verdict,
        why: Sentence::on(basis, text).and(stated).and(leans.then_some(BASE_MODELS)),
        grade: Grade::Declared.min(report.bracket.grade),
    })
}

/// The second verdict in words. What is known is weighed before what is not: an unknown part on top makes nothing less.
fn with_declared(
    report: &ThresholdReport,
    profile: &ThresholdProfile,
    original: Original,
    outside: &work::Outside,
    (lower, known_most, upper): (u128, u128, Option<u128>),
) -> (Verdict, String) {
    let unknown = |why: String| (Verdict::Unknown, format!("{why}; to be treated as above"));
    let original = match original {
        Original::Own => profile.value,
        Original::Stated(stated) => stated,
        Original::Unstated => {
            return unknown("the provider states no base model, of whose compute the threshold is a share".to_owned());
        }
    };
    let is_above = |amount: u128| profile.is_above_share(original, Flops(amount));
    let threshold = profile.threshold(original);
    let more = if upper.is_some() { "" } else { ", and more is not known" };
    match upper {
        _ if is_above(lower) => (
            Verdict::Above,
            format!("by the provider's own figures the least is {lower} FLOP, above the threshold of {threshold} FLOP"),
        ),
        _ if is_above(known_most) => (
            Verdict::Straddles,
            format!(
                "with the declared work the most is {known_most} FLOP{more}, above the threshold of {threshold} FLOP; to be \
                 treated as above"
            ),
        ),
        None if !outside.is_bounded => {
            unknown(format!("some declared work is beyond estimate; what is known comes to at most {known_most} FLOP"))
        }
        None => unknown("no upper figure of this run is known".to_owned()),
        Some(_) if report.statement.is_none() => unknown("the provider states nothing about other work".to_owned()),
        Some(_) if !outside.is_complete => {
            unknown("the provider does not state that these lines are all work of the model".to_owned())
        }
        Some(_) if !report.bracket.complete => {
            unknown(format!("completeness of this run is unknown, because {}", report.bracket.completeness))
        }
        Some(upper) => (
            Verdict::Below,
            format!(
                "with the declared work the most is {upper} FLOP, not above the threshold of {threshold} FLOP; \
                 that there is no other work is the provider's word"
            ),
        ),
    }
}
