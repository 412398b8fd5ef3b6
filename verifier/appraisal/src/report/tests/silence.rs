//! **Duty.** Silence gains nothing over honesty: what a provider leaves out, or hides behind a small figure, lowers no
//! verdict and moves no deadline later. **Spec.** Decision 0060.

use weighbridge_attest_types::{DeclaredLine, TotalLine};

use super::*;

const NINE_24: u128 = 9 * 10u128.pow(24);

fn point(value: u128) -> Value {
    json!({"point": value.to_string()})
}

fn total(component: &str, total: u128) -> TotalLine {
    TotalLine {
        component: component.to_owned(),
        unit: "FLOP".to_owned(),
        total: Some(Flops(total)),
        two_figures: None,
        why: Sentence::on(["check:readings-open"], "a sum"),
        grade: Grade::Declared,
    }
}

fn proven(low: Option<u128>, high: Option<u128>) -> DeclaredLine {
    DeclaredLine {
        statement: "declared".to_owned(),
        low: low.map(Flops),
        high: high.map(Flops),
        two_figures: None,
        sentence: Sentence::on(["check:proof-holds"], "a sum"),
        grade: Grade::Declared,
    }
}

/// The sample's run without any statement.
fn silent() -> ThresholdReport {
    let mut report = unjudged(|_| ());
    report.statement = None;
    report
}

fn weighed(report: ThresholdReport) -> ProfileLine {
    line(report, &built_in("eu-ai-act-51-2"))
}

#[test]
fn an_unstated_original_is_not_one_that_cannot_be_estimated() {
    for id in ["eu-modifier-gpai", "eu-modifier-systemic"] {
        let profile = built_in(id);
        let said = |report| {
            let line = line(report, &profile);
            (line.verdict, line.relative.unwrap().is_declared, line.grade, line.declared.map(|line| line.verdict))
        };
        let evidence = silent().bracket.grade;
        assert_eq!(said(silent()), (Verdict::Unknown, false, evidence, None), "{id}");
        assert_eq!(said(unjudged(|_| ())), (Verdict::Unknown, false, evidence, Some(Verdict::Unknown)), "{id}");
        let mut attested = unjudged(|value| value["base_models"] = base(json!("cannot-be-estimated")));
        attested.bracket.grade = Grade::Attested;
        assert_eq!(said(attested), (Verdict::Below, true, Grade::Declared, Some(Verdict::Below)), "{id}");
    }
}

#[test]
fn an_unstated_original_begins_no_time_too_late() {
    let mut profile = built_in("eu-modifier-gpai");
    profile.deadline = built_in("eu-ai-act-51-2").deadline;
    for report in [silent(), unjudged(|_| ())] {
        let clock = line(report, &profile).clock.unwrap();
        assert_eq!((clock.trigger, clock.triggered_at), (Some(Trigger::Upper), Some(FROM)));
        assert!(clock.why.contains("nobody states of which amount it is a share"), "{}", clock.why);
    }
}

#[test]
fn an_unknown_part_erases_no_known_one() {
    let stated = |unknown: bool| {
        unjudged(|value| {
            value["lifecycle"] = amount(false, point(NINE_24));
            value["base_models"] = if unknown { base(json!("cannot-be-estimated")) } else { json!([]) };
        })
    };
    let known = weighed(stated(false));
    assert_eq!(known.declared.as_ref().map(|line| line.verdict), Some(Verdict::Straddles));
    let unknown = weighed(stated(true));
    let declared = unknown.declared.as_ref().unwrap();
    assert_eq!((declared.verdict, declared.upper), (Verdict::Straddles, None));
    assert!(declared.why.contains("and more is not known"), "{}", declared.why);
    let clocks = [&known, &unknown].map(|line| line.clock.clone().unwrap());
    assert!(clocks.iter().all(|clock| (clock.trigger, clock.triggered_at) == (Some(Trigger::Declared), Some(FROM))));
    // Nor does a run whose own upper figure is not known.
    let mut open_ended = stated(false);
    open_ended.bracket.upper = None;
    let found = weighed(open_ended);
    assert_eq!(found.declared.as_ref().map(|line| (line.verdict, line.upper)), Some((Verdict::Straddles, None)));
    assert_eq!(found.clock.unwrap().deadline, Some(UnixMillis(FROM.0 + FORTNIGHT)));
    // And with less known work it is the known figure that is told.
    let little = weighed(unjudged(|value| {
        value["lifecycle"] = amount(false, point(100));
        value["base_models"] = base(json!("cannot-be-estimated"));
    }));
    let declared = little.declared.unwrap();
    assert_eq!(declared.verdict, Verdict::Unknown);
    let known = 31_901_810_688_000_000_000u128 + 130;
    assert!(declared.why.contains(&format!("beyond estimate; what is known comes to at most {known} FLOP")));
}

#[test]
fn where_no_time_is_known_to_run_the_cause_is_named() {
    let said = |report: ThresholdReport| {
        let clock = clock(report);
        assert_eq!((clock.trigger, clock.deadline), (None, None));
        (clock.is_unsure, clock.why.text.clone())
    };
    let (is_unsure, why) = said(unjudged(|_| ()));
    assert!(!is_unsure && why == "nothing on this page begins the time to notify", "{why}");
    let begins = |(is_unsure, why): (bool, String), cause: &str| {
        let start = "whether the time to notify has begun cannot be said: ";
        assert!(is_unsure && why.starts_with(start) && why.contains(cause), "{why}");
    };
    begins(said(silent()), "the provider states nothing of the others");
    begins(
        said(unjudged(|value| value["lifecycle_complete"] = json!(false))),
        "does not state that these lines are all",
    );
    begins(said(unjudged(|value| value["base_models"] = base(json!("cannot-be-estimated")))), "beyond estimate");
    let mut open_ended = unjudged(|_| ());
    open_ended.bracket.upper = None;
    begins(said(open_ended), "no upper bound can be given");
}

#[test]
fn shown_readings_and_proven_sums_count_as_the_providers_own_figures() {
    let over = TEN_25 + 1;
    type Change = fn(&mut ThresholdReport);
    let shown: Change = |report| report.totals.push(total("declared", TEN_25 + 1));
    let metered: Change = |report| report.totals.push(total("metered", TEN_25 + 1));
    let greater: Change = |report| report.declared = vec![proven(Some(TEN_25), None)];
    let within: Change = |report| report.declared = vec![proven(Some(TEN_25 + 1), Some(TEN_25 + 5))];
    for (change, own, verdict, trigger) in [
        (shown, (over, over), Verdict::Above, Trigger::Estimate),
        (metered, (0, over), Verdict::Straddles, Trigger::Declared),
        (greater, (over, over), Verdict::Above, Trigger::Estimate),
        (within, (over, TEN_25 + 4), Verdict::Above, Trigger::Estimate),
    ] {
        for mut report in [silent(), unjudged(|_| ())] {
            change(&mut report);
            let line = weighed(report);
            assert_eq!(line.verdict, Verdict::Below, "evidence says what it said");
            let declared = line.declared.unwrap();
            assert_eq!((declared.this_run_lower, declared.this_run_upper), (Flops(own.0), Flops(own.1)));
            assert_eq!(declared.verdict, verdict);
            let clock = line.clock.unwrap();
            assert_eq!((clock.trigger, clock.triggered_at), (Some(trigger), Some(FROM)));
            assert_eq!(clock.deadline, Some(UnixMillis(FROM.0 + FORTNIGHT)));
        }
    }
    // A bound from above claims no amount, exactly the threshold is not above it, and what warns of nothing is no line.
    for quiet in [proven(None, Some(2 * TEN_25)), proven(Some(1), Some(TEN_25 + 1))] {
        let mut report = silent();
        report.declared = vec![quiet];
        let line = weighed(report);
        assert_eq!((line.declared, line.clock.unwrap().trigger), (None, None));
    }
}

#[test]
fn small_readings_do_not_replace_a_larger_estimate() {
    let stated = |readings: u128| {
        let mut report = unjudged(|value| value["lifecycle"] = amount(true, point(2 * TEN_25)));
        report.totals.push(total("declared", readings));
        judged(report, &[built_in("eu-ai-act-51-2")])
    };
    let small = stated(1);
    let estimate = small.estimate.as_ref().unwrap();
    assert_eq!(estimate.flop, Flops(2 * TEN_25));
    assert!(estimate.source.contains("the readings that this bundle shows come to less"), "{}", estimate.source);
    assert_eq!(small.profiles[0].declared.as_ref().unwrap().this_run_lower, Flops(2 * TEN_25 * 7 / 10));
    let great = stated(3 * TEN_25).estimate.unwrap();
    assert_eq!((great.flop, great.source.basis.contains(&"check:readings-open".to_owned())), (Flops(3 * TEN_25), true));
}

/// An interval is a figure too, whether or not it names a point.
#[test]
fn an_interval_for_this_run_is_the_providers_own_figure() {
    let of = |low: u128, high: u128| {
        let report = unjudged(|value| {
            value["lifecycle"] = amount(true, json!({"interval": {"low": low.to_string(), "high": high.to_string()}}));
        });
        assert_eq!(work::estimate_line(&report), None);
        weighed(report)
    };
    let reaching = of(1, TEN_25 + 1);
    assert!(reaching.is_above(reaching.declared.as_ref().unwrap().this_run_upper));
    assert_eq!(reaching.clock.unwrap().trigger, Some(Trigger::Declared));
    let above = of(TEN_25 + 1, TEN_25 + 1);
    assert_eq!(above.clock.unwrap().trigger, Some(Trigger::Estimate));
    let exact = of(1, TEN_25);
    assert!(
        !exact.is_above(exact.declared.as_ref().unwrap().this_run_upper),
        "strictly more than the threshold is above"
    );
}

#[test]
fn a_forecast_is_never_less_than_what_is_there() {
    let stated = |compute: Value| {
        let report = unjudged(|value| {
            value["plan"] = json!({"total": "1", "committed_at": "2026-01-01T00:00:00Z"});
            value["lifecycle"] = amount(true, point(NINE_24));
            value["base_models"] = base(compute);
        });
        judged(report, &[built_in("eu-ai-act-51-2")])
    };
    let two_24 = 2 * 10u128.pow(24);
    let report = stated(json!({"interval": {"low": "0", "high": two_24.to_string()}}));
    let line = report.forecast.as_ref().unwrap();
    assert_eq!(
        (line.plan, line.run_rate, line.greatest),
        (Flops(1), Some(Flops(NINE_24 + two_24)), Flops(NINE_24 + two_24))
    );
    let said = "the point figure of this run as it stands, because the plan names no end, and the declared work beside it come";
    assert!(line.why.contains(said), "{}", line.why);
    let unknown = stated(json!("cannot-be-estimated"));
    assert_eq!(unknown.forecast.unwrap().greatest, Flops(NINE_24));
    // Nor without a point, a period or a ceiling rate.
    let mut bare = unjudged(|value| {
        value["plan"] = plan("2126-01-01T00:00:00Z");
        value["lifecycle"] = amount(true, json!({"interval": {"low": "1", "high": NINE_24.to_string()}}));
    });
    (bare.bracket.upper, bare.period) = (None, None);
    assert_eq!(judged(bare, &[]).forecast.unwrap().greatest, Flops(NINE_24));
}

/// Other work that nobody bounds may have come before the run: its start is then the moment, and not a later one.
#[test]
fn silence_about_other_work_moves_no_deadline_later() {
    let clock_of = |mut report: ThresholdReport| {
        report.bracket.upper = Some(Flops(4 * TEN_25));
        let node = &mut report.nodes[0];
        node.devices.truncate(1);
        node.devices[0].ceiling_flop_per_second = Some(Flops(TEN_25 / 1_000));
        report.nodes.truncate(1);
        clock(report)
    };
    let complete = clock_of(unjudged(|_| ()));
    assert_eq!((complete.trigger, complete.triggered_at), (Some(Trigger::Upper), Some(UnixMillis(FROM.0 + 1_000_000))));
    assert!(complete.grade <= Grade::Declared, "the moment rests on the provider's word");
    for report in [silent(), unjudged(|value| value["lifecycle_complete"] = json!(false))] {
        let found = clock_of(report);
        assert_eq!((found.trigger, found.triggered_at), (Some(Trigger::Upper), Some(FROM)));
        assert!(found.why.contains("may have begun with the run, or earlier"), "{}", found.why);
    }
}
