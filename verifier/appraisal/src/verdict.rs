//! **Duty.** Below, above, straddles or unknown, with the sentence that says why.
//! **Knows** one bracket and one threshold. **Does not know** how either came about, and never sees a declared total.
//! **Spec.** COMPUTE §7 (verdicts); PROTOCOL §1, §3 (no external bracket, no "below").

use weighbridge_attest_types::{Compare, Flops, Sentence, ThresholdProfile, Verdict};

use crate::report::rules;

/// Whether evidence covers every device-second in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// It does; says what it rests on.
    Covered(String),
    /// It does not; says what is missing.
    Missing(String),
}

/// `lower ≤ compute`, and `compute ≤ upper` if the rate of every device is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bracket {
    pub(crate) lower: Flops,
    pub(crate) upper: Option<Flops>,
}

impl Bracket {
    /// Upper minus lower.
    pub(crate) fn width(&self) -> Option<Flops> {
        self.upper?.0.checked_sub(self.lower.0).map(Flops)
    }
}

/// Weighs exact integers against an exact threshold (of a relative one, a share of `original`); nothing rounded or
/// printed takes part.
pub(crate) fn judge(
    profile: &ThresholdProfile,
    original: Flops,
    bracket: &Bracket,
    completeness: &Completeness,
) -> (Verdict, Sentence) {
    let is_above = |amount| profile.is_above_share(original, amount);
    let threshold = threshold_words(profile, original);
    let lower = bracket.lower;
    // A lower bound above the threshold stands even where completeness is missing.
    if is_above(lower) {
        let why = format!("the lower bound of this run, {lower} FLOP, is above the threshold of {threshold}");
        return (Verdict::Above, Sentence::on(["field:/bracket/lower", "field:/bracket/lower_basis"], why));
    }
    let rests_on = match completeness {
        Completeness::Covered(rests_on) => rests_on,
        Completeness::Missing(why) => {
            let why = format!("completeness is unknown, because {why}; to be treated as above");
            return (Verdict::Unknown, Sentence::on(["field:/bracket/completeness", rules::UNKNOWN], why));
        }
    };
    let Some((upper, width)) = bracket.upper.zip(bracket.width()) else {
        let why = "no upper bound can be given; to be treated as above";
        return (Verdict::Unknown, Sentence::on(["field:/bracket/upper_basis", rules::UNKNOWN], why));
    };
    let figures = ["field:/bracket/lower", "field:/bracket/upper"];
    if is_above(upper) {
        let why = format!(
            "the threshold of {threshold} lies inside this run's bracket from {lower} to {upper} FLOP; to be treated as above"
        );
        return (Verdict::Straddles, Sentence::on(figures, why).and([rules::STRADDLES]));
    }
    let why = format!(
        "the upper bound of this run, {upper} FLOP, is not above the threshold of {threshold}; \
         the bracket is {width} FLOP wide; it rests on {rests_on}"
    );
    (Verdict::Below, Sentence::on(figures, why).and(["field:/bracket/width", "field:/bracket/completeness"]))
}

fn threshold_words(profile: &ThresholdProfile, original: Flops) -> String {
    let threshold = profile.threshold(original);
    match profile.compare {
        Compare::Gt => format!("{threshold} FLOP (only more than that is above)"),
        Compare::Ge => format!("{threshold} FLOP (that and more is above)"),
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::built_in_profiles;

    use super::*;

    fn covered() -> Completeness {
        Completeness::Covered("two devices".to_owned())
    }

    fn missing() -> Completeness {
        Completeness::Missing("the bracket is open".to_owned())
    }

    fn bracket(lower: u128, upper: Option<u128>) -> Bracket {
        Bracket { lower: Flops(lower), upper: upper.map(Flops) }
    }

    fn verdict(profile: &ThresholdProfile, bracket: &Bracket, completeness: &Completeness) -> Verdict {
        judge(profile, profile.value, bracket, completeness).0
    }

    #[test]
    fn an_upper_bound_at_the_threshold_is_below_and_one_more_straddles() {
        for profile in built_in_profiles() {
            let value = profile.threshold(profile.value).0;
            assert_eq!(profile.compare, Compare::Gt);
            assert_eq!(verdict(&profile, &bracket(0, Some(value - 1)), &covered()), Verdict::Below);
            assert_eq!(verdict(&profile, &bracket(0, Some(value)), &covered()), Verdict::Below);
            assert_eq!(verdict(&profile, &bracket(0, Some(value + 1)), &covered()), Verdict::Straddles);
        }
    }

    #[test]
    fn a_lower_bound_at_the_threshold_straddles_and_one_more_is_above() {
        for profile in built_in_profiles() {
            let value = profile.threshold(profile.value).0;
            assert_eq!(verdict(&profile, &bracket(value - 1, Some(value + 5)), &covered()), Verdict::Straddles);
            assert_eq!(verdict(&profile, &bracket(value, Some(value + 5)), &covered()), Verdict::Straddles);
            assert_eq!(verdict(&profile, &bracket(value + 1, Some(value + 5)), &covered()), Verdict::Above);
        }
    }

    #[test]
    fn strictness_comes_from_the_profile() {
        let mut profile = built_in_profiles().remove(0);
        profile.compare = Compare::Ge;
        let value = profile.value.0;
        assert_eq!(verdict(&profile, &bracket(0, Some(value - 1)), &covered()), Verdict::Below);
        assert_eq!(verdict(&profile, &bracket(0, Some(value)), &covered()), Verdict::Straddles);
        assert_eq!(verdict(&profile, &bracket(value, Some(value)), &covered()), Verdict::Above);
    }

    #[test]
    fn missing_completeness_is_unknown_unless_the_lower_bound_is_above() {
        let profile = built_in_profiles().remove(0);
        let value = profile.value.0;
        assert_eq!(verdict(&profile, &bracket(0, Some(1)), &missing()), Verdict::Unknown);
        assert_eq!(verdict(&profile, &bracket(0, Some(value + 1)), &missing()), Verdict::Unknown);
        assert_eq!(verdict(&profile, &bracket(value + 1, None), &missing()), Verdict::Above);
        assert_eq!(verdict(&profile, &bracket(0, None), &covered()), Verdict::Unknown);
        assert_eq!(verdict(&profile, &bracket(2, Some(1)), &covered()), Verdict::Unknown);
    }

    #[test]
    fn a_below_names_the_coverage_it_rests_on_and_the_width() {
        let profile = built_in_profiles().remove(0);
        let (_, why) = judge(&profile, profile.value, &bracket(3, Some(10)), &covered());
        assert_eq!(
            why.text,
            "the upper bound of this run, 10 FLOP, is not above the threshold of \
             10000000000000000000000000 FLOP (only more than that is above); \
             the bracket is 7 FLOP wide; it rests on two devices"
        );
    }
}
