use serde_json::json;
use weighbridge_attest_types::Declarations;

use super::*;

fn statement(lines: &serde_json::Value, factor: &serde_json::Value) -> Declarations {
    let statement = json!({
        "format": "weighbridge/declarations/v1",
        "provider": {"legal_name": "Example", "contact": "x"},
        "model": {"id": "m", "versions": []},
        "lifecycle_complete": true,
        "lifecycle": lines,
        "recompute_factor": factor
    });
    Declarations::parse(statement.to_string().as_bytes()).unwrap()
}

fn line(class: &str, in_this_run: bool, basis: &str, low: u128, high: u128) -> serde_json::Value {
    json!({
        "phase": "p", "class": class, "in_this_run": in_this_run, "basis": basis,
        "amount": {"interval": {"low": low.to_string(), "high": high.to_string()}}, "method": {"other": "an invoice"}
    })
}

fn cumulative(statement: &Declarations) -> DeclaredSums {
    sums(statement, |class| class.inclusion(Quantity::Cumulative))
}

fn outside(least: u128, known_most: u128, is_bounded: bool) -> Outside {
    Outside { least, known_most, is_bounded, is_complete: true }
}

#[test]
fn classes_decide_what_is_added_and_what_is_only_kept() {
    let lines = json!([
        line("parameter-updates", false, "counted", 10, 20),
        line("private-synthetic-data", false, "counted", 100, 200),
        line("diagnostics", false, "counted", 1_000, 2_000),
        line("rolled-back-steps", false, "counted", 10_000, 20_000),
        line("parameter-updates", true, "counted", 7, 9),
    ]);
    let statement = statement(&lines, &serde_json::Value::Null);
    assert_eq!(cumulative(&statement), DeclaredSums { this_run: (7, 9), outside: outside(110, 20_220, true) });
    let training = sums(&statement, |class| class.inclusion(Quantity::Training));
    assert_eq!(training, DeclaredSums { this_run: (7, 9), outside: outside(10, 20_020, true) });
}

#[test]
fn executed_work_is_counted_only_by_a_declared_factor() {
    let lines = json!([line("parameter-updates", false, "executed", 400, 800)]);
    assert_eq!(cumulative(&statement(&lines, &serde_json::Value::Null)).outside, outside(0, 800, true));
    let factor = json!({"numerator": 4, "denominator": 3});
    assert_eq!(cumulative(&statement(&lines, &factor)).outside, outside(300, 800, true));
}

#[test]
fn a_base_model_beyond_estimate_leaves_no_upper_figure_and_erases_no_known_one() {
    let mut statement = statement(&json!([]), &serde_json::Value::Null);
    let base = |compute| BaseModel { name: "b".to_owned(), compute, source: "its provider".to_owned() };
    let bounds = weighbridge_attest_types::Interval { low: Flops(5), high: Flops(6) };
    statement.base_models = vec![base(BaseCompute::Interval(bounds))];
    assert_eq!(cumulative(&statement).outside, outside(5, 6, true));
    assert_eq!(sums(&statement, |class| class.inclusion(Quantity::Training)).outside, outside(0, 0, true));
    statement.base_models.push(base(BaseCompute::CannotBeEstimated));
    assert_eq!(cumulative(&statement).outside, outside(5, 6, false));
    assert_eq!(cumulative(&statement).outside.most(), None);
}

#[test]
fn sums_beyond_the_integers_stay_at_their_end() {
    let huge = line("parameter-updates", false, "counted", u128::MAX, u128::MAX);
    let statement = statement(&json!([huge.clone(), huge]), &serde_json::Value::Null);
    assert_eq!(cumulative(&statement).outside, outside(u128::MAX, u128::MAX, true));
}
