use serde_json::{Value, json};
use weighbridge_attest_types::{ClockLine, Declarations, ProfileLine, StatementLine, Trigger, Verdict};

use super::*;

const SAMPLE: &str = include_str!("../../../src/html/sample.json");
const FROM: UnixMillis = UnixMillis(1_772_366_400_000);
const TO: UnixMillis = UnixMillis(1_772_370_125_000);
const FORTNIGHT: u64 = 14 * 86_400_000;
const TEN_23: u128 = 10u128.pow(23);
const TEN_25: u128 = 10u128.pow(25);

/// The sample's run beside this statement; nothing is judged yet.
fn unjudged(edit: impl FnOnce(&mut Value)) -> ThresholdReport {
    let mut report: ThresholdReport = serde_json::from_str(SAMPLE).unwrap();
    let mut value = json!({
        "format": "weighbridge/declarations/v1",
        "provider": {"legal_name": "Example", "contact": "x"},
        "model": {"id": "m", "versions": []},
        "lifecycle_complete": true,
        "lifecycle": []
    });
    edit(&mut value);
    let content = Declarations::parse(value.to_string().as_bytes()).unwrap();
    report.statement = Some(StatementLine { sha256: Digest32::default(), content, grade: Grade::Declared });
    report.profiles = Vec::new();
    report
}

fn judged(mut report: ThresholdReport, profiles: &[ThresholdProfile]) -> ThresholdReport {
    report.estimate = work::estimate_line(&report);
    report.forecast = forecast::forecast_line(&report);
    judge_profiles(&mut report, profiles, ProfileOrigin::BuiltIn);
    report
}

fn built_in(id: &str) -> ThresholdProfile {
    built_in_profiles().into_iter().find(|profile| profile.id == id).unwrap()
}

fn line(report: ThresholdReport, profile: &ThresholdProfile) -> ProfileLine {
    judged(report, std::slice::from_ref(profile)).profiles.remove(0)
}

fn clock(report: ThresholdReport) -> ClockLine {
    line(report, &built_in("eu-ai-act-51-2")).clock.unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "literals read better as values")]
fn amount(in_this_run: bool, amount: Value) -> Value {
    json!([{
        "phase": "p", "class": "parameter-updates", "in_this_run": in_this_run, "basis": "counted",
        "amount": amount, "method": {"other": "an invoice"}
    }])
}

#[expect(clippy::needless_pass_by_value, reason = "literals read better as values")]
fn base(compute: Value) -> Value {
    json!([{"name": "b", "source": "its provider", "compute": compute}])
}

fn plan(ends_at: &str) -> Value {
    json!({"total": "1", "committed_at": "2026-01-01T00:00:00Z", "ends_at": ends_at})
}

#[test]
fn a_declared_period_in_the_future_never_moves_the_deadline() {
    let huge = (2 * TEN_25).to_string();
    for (from, expected) in [("2099-01-01T00:00:00Z", FROM), ("1970-01-01T00:00:01Z", UnixMillis(1_000))] {
        let found = clock(unjudged(|value| {
            value["lifecycle"] = amount(false, json!({"interval": {"low": huge, "high": huge}}));
            value["period"] = json!({"from": from, "to": "2099-02-01T00:00:00Z"});
        }));
        assert_eq!((found.trigger, found.triggered_at), (Some(Trigger::Declared), Some(expected)));
        assert_eq!(found.deadline, Some(UnixMillis(expected.0 + FORTNIGHT)));
    }
    // Without any period it is known by the instant of the judgement.
    let mut report = unjudged(|value| {
        value["lifecycle"] = amount(false, json!({"interval": {"low": huge, "high": huge}}));
        value["period"] = json!({"from": "2099-01-01T00:00:00Z", "to": "2099-02-01T00:00:00Z"});
    });
    report.period = None;
    let at = report.appraised_at;
    assert_eq!(clock(report).triggered_at, Some(at));
}

#[test]
fn a_plan_from_the_future_was_known_when_it_was_stated() {
    let stated = |committed: &str| {
        unjudged(|value| value["plan"] = json!({"total": (2 * TEN_25).to_string(), "committed_at": committed}))
    };
    let found = clock(stated("2099-01-01T00:00:00Z"));
    assert_eq!((found.trigger, found.triggered_at), (Some(Trigger::Plan), Some(TO)));
    assert_eq!(clock(stated("1970-01-01T00:00:01Z")).triggered_at, Some(UnixMillis(1_000)));
    let mut by_host = stated("2099-01-01T00:00:00Z");
    by_host.period.as_mut().unwrap().charged_millis = None;
    // The hosts' clocks may end a run early and a plan's knowledge with it, and never late.
    let found = clock(by_host);
    assert_eq!((found.trigger, found.triggered_at), (Some(Trigger::Plan), Some(TO)));
    assert!(found.why.contains(", by the hosts' own clocks only; 14 days"), "{}", found.why);
}

#[test]
fn an_unknown_base_model_does_not_silence_the_forecast() {
    let with = |compute: Option<Value>| {
        let report = unjudged(|value| {
            value["plan"] = plan("2126-01-01T00:00:00Z");
            value["base_models"] = compute.map_or(json!([]), base);
        });
        judged(report, &[built_in("eu-ai-act-51-2")])
    };
    let rate = |report: &ThresholdReport| report.forecast.as_ref().and_then(|line| line.run_rate);
    let (known, unknown) = (with(None), with(Some(json!("cannot-be-estimated"))));
    assert!(rate(&known).is_some_and(|rate| rate.0 > TEN_25));
    assert_eq!(rate(&unknown), rate(&known));
    let said = |report: &ThresholdReport| report.forecast.as_ref().unwrap().why.text.clone();
    assert!(said(&unknown).contains("(not all of it is known, and the rest comes on top) come to at least 2"));
    assert!(!said(&known).contains("at least"));
    let triggers: Vec<_> = [&known, &unknown].map(|report| report.profiles[0].clock.clone().unwrap().trigger).into();
    assert_eq!(triggers, [Some(Trigger::Forecast); 2]);
    let most = with(Some(json!({"interval": {"low": "1", "high": u128::MAX.to_string()}})));
    assert_eq!(rate(&most), Some(Flops(u128::MAX)));
    assert!(said(&most).contains(&format!("come to at least {} FLOP", u128::MAX)));
}

#[test]
fn a_forecast_without_a_rate_says_why() {
    let report = unjudged(|value| value["plan"] = json!({"total": "7", "committed_at": "2026-01-01T00:00:00Z"}));
    let why = judged(report, &[]).forecast.unwrap().why.text;
    assert_eq!(
        why,
        "the plan comes to 7 FLOP; the upper figure of this run by device time as it stands, because the plan names no end, \
         and the declared work beside it come to 31901810688000000000 FLOP; the greater of the two is the forecast"
    );
    let mut report = unjudged(|value| value["plan"] = plan("2126-01-01T00:00:00Z"));
    report.bracket.upper = None;
    let why = judged(report, &[]).forecast.unwrap().why.text;
    assert!(why.ends_with("because this run has neither an upper figure nor a point figure"), "{why}");
}

#[test]
fn a_tiny_declared_estimate_does_not_hide_the_projection_by_device_time() {
    let stated = |end: &str| {
        let report = unjudged(|value| {
            value["lifecycle"] = amount(true, json!({"point": "1"}));
            value["plan"] = plan(end);
        });
        judged(report, &[built_in("eu-ai-act-51-2")])
    };
    let hidden = stated("2126-01-01T00:00:00Z");
    let line = hidden.forecast.as_ref().unwrap();
    assert!(line.greatest.0 < TEN_23, "the forecast itself stays what the provider's figure gives");
    assert!(line.why.contains("by device time at the ceiling rate, instead of the point figure, it is at most 2"));
    let clock = hidden.profiles[0].clock.as_ref().unwrap();
    assert_eq!((clock.trigger, clock.triggered_at), (Some(Trigger::Forecast), Some(TO)));
    assert!(clock.why.starts_with("the forecast by device time at the ceiling rate, which is the most that it can be"));
    assert!(clock.why.contains("may have begun earlier than the end of the period"));
    assert_eq!(stated("2026-04-01T00:00:00Z").profiles[0].clock.as_ref().unwrap().trigger, None);
}

#[test]
fn a_stated_base_model_never_turns_straddles_into_below() {
    let profile = built_in("eu-modifier-gpai");
    let with = |low: Option<u128>| {
        let mut report = unjudged(|value| {
            let bounds = |low: u128| base(json!({"interval": {"low": low.to_string(), "high": low.to_string()}}));
            value["base_models"] = low.map_or(json!([]), bounds);
        });
        report.bracket.upper = Some(Flops(TEN_23));
        line(report, &profile)
    };
    let silent = with(None);
    assert_eq!((silent.verdict, silent.threshold), (Verdict::Unknown, Flops(TEN_23 / 3)));
    let great = with(Some(9 * TEN_25));
    assert_eq!((great.verdict, great.threshold), (Verdict::Straddles, Flops(TEN_23 / 3)));
    let second = great.declared.unwrap();
    assert_eq!(second.verdict, Verdict::Below);
    assert!(second.why.contains("as the provider states it"));
    let small = with(Some(100));
    assert_eq!((small.verdict, small.threshold), (Verdict::Straddles, Flops(33)));
}

#[test]
fn why_names_the_declared_original() {
    let report = unjudged(|value| value["base_models"] = base(json!({"interval": {"low": "100", "high": "200"}})));
    let small = line(report, &built_in("eu-modifier-gpai"));
    for why in [&small.why, &small.declared.as_ref().unwrap().why] {
        assert!(why.text.contains("share of a base model's compute, as the provider states it"), "{why}");
        assert!(why.basis.iter().any(|ground| ground == "declared:/base_models"), "{:?}", why.basis);
    }
    assert!(small.relative.is_some_and(|relative| relative.is_declared));
}

#[test]
fn a_relative_threshold_starts_its_clock_by_the_same_share() {
    let mut profile = built_in("eu-modifier-gpai");
    profile.deadline = built_in("eu-ai-act-51-2").deadline;
    let report = unjudged(|value| value["base_models"] = base(json!({"interval": {"low": "100", "high": "200"}})));
    let line = line(report, &profile);
    assert_eq!(line.verdict, Verdict::Straddles);
    let clock = line.clock.unwrap();
    assert_eq!((clock.trigger, clock.triggered_at), (Some(Trigger::Upper), Some(FROM)));
}

#[test]
fn an_instant_by_the_hosts_clocks_is_said_to_be_one() {
    let mut report = unjudged(|_| ());
    report.bracket.upper = Some(Flops(2 * TEN_25));
    assert!(!clock(report.clone()).why.contains("hosts"));
    report.period.as_mut().unwrap().charged_millis = None;
    let found = clock(report);
    assert_eq!(found.trigger, Some(Trigger::Upper));
    assert!(found.why.contains(", by the hosts' own clocks only; 14 days"), "{}", found.why);
}

/// The tests above start from what a provider states; these from what it leaves out.
mod silence;
