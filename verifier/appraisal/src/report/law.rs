//! **Duty.** A threshold's line: verdict about the run, and beside it what run and provider's statement come to.
//! **Knows** a report that lacks only these lines, and one profile. **Does not know** evidence.
//! **Spec.** COMPUTE §2 (modifiers), §7; decisions 0011 and 0018.

use weighbridge_attest_types::{
    BaseCompute, DeclaredVerdict, Flops, Grade, ProfileLine, ProfileOrigin, Quantity, RelativeLine, Sentence,
    ThresholdProfile, ThresholdReport, Verdict, exact_words,
};

use super::{clock, rules, work};
use crate::verdict::{Bracket, Completeness, judge};

/// Ground of a verdict that leans on a stated base model.
const BASE_MODELS: &str = "declared:/base_models";

/// The line of one profile.
pub(super) fn profile_line(report: &ThresholdReport, profile: &ThresholdProfile, origin: ProfileOrigin) -> ProfileLine {
    let relative = relative_line(report, profile);
    let original = relative.as_ref().map_or(profile.value, |relative| relative.original);
    let bracket = Bracket { lower: report.bracket.lower, upper: report.bracket.upper };
    let (verdict, why) = judge(profile, original, &bracket, &completeness(report));
    let threshold = profile.threshold(original);
    let leans = relative.as_ref().is_some_and(|relative| relative.is_declared);
    let why = match leans {
        true => {
            let text = format!("{why}; it is a share of a base model's compute, as the provider states it");
            Sentence { text, ..why }.and([BASE_MODELS])
        }
        false => why,
    };
    let stated = relative.as_ref().and_then(|_| stated_original(report, profile));
    let declared = declared_verdict(report, profile, stated);
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
        why,
        margin: margin(verdict, &bracket, threshold),
        rounding: rounding(report, profile, threshold),
        condition: condition(profile),
        scope: scope(profile.quantity).to_owned(),
        grade: if leans { Grade::Declared.min(report.bracket.grade) } else { report.bracket.grade },
        clock: clock::clock_line(report, clock::Line { profile, original }, verdict, declared.as_ref()),
        declared,
        relative,
    }
}

fn completeness(report: &ThresholdReport) -> Completeness {
    let text = report.bracket.completeness.text.clone();
    if report.bracket.complete { Completeness::Covered(text) } else { Completeness::Missing(text) }
}

/// A cumulative threshold counts all compute of a model; a bundle weighs one run of it.
const fn scope(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Training => "this run",
        Quantity::Cumulative => "this run alone",
    }
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

/// The original of a modified model: what the instrument puts in its place, or less where the provider states less. A
/// statement makes this verdict stricter or leaves it; a greater amount is weighed in the second verdict only.
fn relative_line(report: &ThresholdReport, profile: &ThresholdProfile) -> Option<RelativeLine> {
    let fraction = profile.relative_to?.fraction;
    let stated = stated_original(report, profile);
    let (original, source) = match stated {
        None => (
            profile.value,
            Sentence::on(
                [rules::MODIFIER],
                "no base model is stated; the instrument's own figure stands in for an unknown one",
            ),
        ),
        Some(stated) if stated < profile.value => (
            stated,
            Sentence::on([BASE_MODELS, rules::MODIFIER], "the least compute of a base model, as the provider states"),
        ),
        Some(_) => (
            profile.value,
            Sentence::on(
                [BASE_MODELS, rules::MODIFIER],
                "the instrument's own figure; as the provider states, no base model has less, and a statement raises \
                 nothing here",
            ),
        ),
    };
    Some(RelativeLine { fraction, original, source, is_declared: original != profile.value })
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

/// Run and statement together. A statement widens and adds; it never lowers what evidence bounds, and a *below* that
/// leans on it is no more than the provider's word.
fn declared_verdict(
    report: &ThresholdReport,
    profile: &ThresholdProfile,
    stated: Option<Flops>,
) -> Option<DeclaredVerdict> {
    let content = &report.statement.as_ref()?.content;
    let original = stated.unwrap_or(profile.value);
    let sums = work::sums(content, |class| profile.inclusion(class));
    let lower = report.bracket.lower.0.max(sums.this_run.0).saturating_add(sums.outside.0);
    let run = report.bracket.upper.map(|upper| upper.0.max(sums.this_run.1));
    let upper = run.zip(sums.outside.1).map(|(run, outside)| run.saturating_add(outside));
    let is_above = |amount: u128| profile.is_above_share(original, Flops(amount));
    let threshold = profile.threshold(original);
    let (verdict, text) = match upper {
        _ if is_above(lower) => (
            Verdict::Above,
            format!("by the provider's own figures the least is {lower} FLOP, above the threshold of {threshold} FLOP"),
        ),
        Some(upper) if is_above(upper) => (
            Verdict::Straddles,
            format!(
                "with the declared work the most is {upper} FLOP, above the threshold of {threshold} FLOP; to be treated as above"
            ),
        ),
        None => (
            Verdict::Unknown,
            "some work is beyond estimate, so there is no upper figure; to be treated as above".to_owned(),
        ),
        Some(_) if !content.lifecycle_complete => (
            Verdict::Unknown,
            "the provider does not state that these lines are all work of the model; to be treated as above".to_owned(),
        ),
        Some(_) if !report.bracket.complete => (
            Verdict::Unknown,
            format!(
                "completeness of this run is unknown, because {}; to be treated as above",
                report.bracket.completeness
            ),
        ),
        Some(upper) => (
            Verdict::Below,
            format!(
                "with the declared work the most is {upper} FLOP, not above the threshold of {threshold} FLOP; \
                 that there is no other work is the provider's word"
            ),
        ),
    };
    let basis = ["declared:/lifecycle", "field:/ledger", "field:/bracket/upper", rules::DECLARED];
    let text = match stated {
        Some(_) => format!("{text}; the threshold is a share of a base model's compute, as the provider states it"),
        None => text,
    };
    Some(DeclaredVerdict {
        scope: "this run and declared work".to_owned(),
        lower: Flops(lower),
        upper: upper.map(Flops),
        verdict,
        why: Sentence::on(basis, text).and(stated.map(|_| BASE_MODELS)),
        grade: Grade::Declared.min(report.bracket.grade),
    })
}
