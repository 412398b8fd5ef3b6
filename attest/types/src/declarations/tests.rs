use serde_json::{Value, json};

use super::*;
use crate::built_in_profiles;

fn hardware(units: u64, seconds: u64, peak: u128, basis_points: u32) -> Method {
    let h_basis = PeakBasis {
        precision: "bf16".to_owned(),
        sparsity: Sparsity::Dense,
        sku: "as the annex names it".to_owned(),
        source: "annex".to_owned(),
    };
    Method::Hardware(Hardware {
        units,
        seconds,
        peak_flop_per_second: Flops(peak),
        h_basis,
        utilisation_basis_points: basis_points,
        u_definition: "average utilisation".to_owned(),
    })
}

fn architecture(parameters: u64, tokens: u64, epochs: u32) -> Method {
    let parameter_count = ParameterCount::Dense;
    Method::Architecture(Architecture { parameters, parameter_count, tokens, epochs, attention: None })
}

fn line(method: Method, amount: Option<StatedAmount>) -> LifecycleLine {
    LifecycleLine {
        phase: "pre-training".to_owned(),
        class: WorkClass::ParameterUpdates,
        in_this_run: false,
        amount,
        method,
        basis: Basis::Counted,
        note: None,
    }
}

/// COMPUTE §6: exact product beside the printed value, which is within 8 % (D, G and H are printed truncated).
#[test]
fn the_examples_of_annex_a_3_come_out_exactly() {
    let billion = 1_000_000_000;
    let tera = 1_000_000_000_000u128;
    let examples = [
        ("A", architecture(3_800_000_000, 3_300 * billion, 1), 7_524 * 10u128.pow(19), 75 * 10u128.pow(21)),
        ("B", hardware(200_000, 3_600, 300 * tera, 5_000), 108 * 10u128.pow(21), 10u128.pow(23)),
        ("C", architecture(600_000_000, 36_000 * billion, 1), 1_296 * 10u128.pow(20), 13 * 10u128.pow(22)),
        ("D", architecture(1_540_000_000, 18_000 * billion, 1), 16_632 * 10u128.pow(19), 16 * 10u128.pow(22)),
        ("E", architecture(1_700_000_000, 36_000 * billion, 1), 3_672 * 10u128.pow(20), 37 * 10u128.pow(22)),
        ("F", architecture(2_500_000_000, 12_000 * billion, 1), 18 * 10u128.pow(22), 18 * 10u128.pow(22)),
        ("G", architecture(2_600_000_000, 61 * billion, 164), 1_560_624 * 10u128.pow(17), 15 * 10u128.pow(22)),
        ("H", hardware(370_000, 3_600, 989 * tera, 5_000), 658_674 * 10u128.pow(18), 65 * 10u128.pow(22)),
    ];
    for (name, method, exact, printed) in examples {
        let estimate = estimate_of(&line(method, None)).unwrap();
        assert_eq!(estimate.estimate, Some(Flops(exact)), "{name}");
        assert!(exact.abs_diff(printed) * 100 <= exact * 8, "{name}: {exact} is printed as {printed}");
        assert_eq!(estimate.low, Flops(exact * 7 / 10), "{name}");
        assert_eq!(estimate.high, Flops((exact * 13).div_ceil(10)), "{name}");
    }
}

/// COMPUTE §6: 6,000 H100 for 30 days: above 10²⁵ by every occupancy, below by every model utilisation.
#[test]
fn the_definition_of_utilisation_decides() {
    let product = |basis_points| {
        let method = hardware(6_000, 30 * 86_400, 989_400_000_000_000, basis_points);
        estimate_of(&line(method, None)).unwrap().estimate.unwrap().0
    };
    assert_eq!(product(10_000), 15_387_148_800_000_000_000_000_000);
    let profile = built_in_profiles().remove(0);
    assert!([9_000, 9_500, 9_900].iter().all(|&points| profile.is_above(Flops(product(points)))));
    assert!([2_000, 3_000, 4_000, 5_000].iter().all(|&points| !profile.is_above(Flops(product(points)))));
}

/// COMPUTE §6: the first estimate whose +30 % exceeds 10²⁵ is just above 10²⁵/1.3; its −30 % exceeds it above 10²⁵/0.7.
#[test]
fn the_edges_of_straddling_are_exact() {
    let threshold = 10u128.pow(25);
    let around = |point| Estimate::around(Flops(point)).unwrap();
    let first_above = threshold * 10 / 13 + 1;
    assert_eq!(first_above, 7_692_307_692_307_692_307_692_308);
    assert!(around(first_above).high.0 > threshold && around(first_above - 1).high.0 <= threshold);
    let surely_above = (threshold + 1) * 10 / 7 + 1;
    assert_eq!(surely_above, 14_285_714_285_714_285_714_285_716);
    assert!(around(surely_above).low.0 > threshold && around(surely_above - 2).low.0 <= threshold);
    assert_eq!(Estimate::around(Flops(u128::MAX)), None);
}

/// COMPUTE §6: a published 3.8e25 FLOP over 30.84 million device-hours imply 34.6 % of the dense BF16 peak.
#[test]
fn a_published_run_implies_a_plausible_utilisation() {
    let seconds = 30_840_000u128 * 3_600;
    let peak = seconds * 989_400_000_000_000;
    let basis_points = 38 * 10u128.pow(24) * 10_000 / peak;
    assert_eq!(basis_points, 3_459);
    let flop_per_joule = 38 * 10u128.pow(24) / (seconds * 700);
    assert_eq!(flop_per_joule / 10_000_000_000, 48, "4.9e11 printed");
}

/// COMPUTE §6: at 40 % of BF16, 10²³ are 7·10⁴ hours of one H100, 10²⁵ are 7·10⁶, 10²⁶ are 7·10⁷.
#[test]
fn the_scale_of_time_is_right() {
    for (exponent, hours) in [(23, 70_000u64), (25, 7_000_000), (26, 70_000_000)] {
        let method = hardware(1, hours * 3_600, 989_400_000_000_000, 4_000);
        let product = estimate_of(&line(method, None)).unwrap().estimate.unwrap().0;
        assert!(product.abs_diff(10u128.pow(exponent)) * 100 < 10u128.pow(exponent), "{product}");
    }
}

#[test]
fn attention_is_added_per_token() {
    let attention = Some(Attention { layers: 10, d_model: 100, context: 1_000 });
    let parameter_count = ParameterCount::Active;
    let method =
        Method::Architecture(Architecture { parameters: 1_000, parameter_count, tokens: 7, epochs: 2, attention });
    let expected = (6 * 1_000 + 12 * 10 * 100 * 1_000) * 14;
    assert_eq!(estimate_of(&line(method, None)).unwrap().estimate, Some(Flops(expected)));
}

#[test]
fn amount_and_method_must_fit() {
    let product = 6 * 10 * 10;
    let of = |amount| estimate_of(&line(architecture(10, 10, 1), amount));
    let interval = |low, high| Some(StatedAmount::Interval(Interval { low: Flops(low), high: Flops(high) }));
    assert_eq!(
        of(interval(500, 700)),
        Ok(Estimate { low: Flops(500), estimate: Some(Flops(product)), high: Flops(700) })
    );
    assert_eq!(of(interval(601, 700)), Err("the interval does not hold what the method gives"));
    assert_eq!(of(interval(700, 500)), Err("the interval is reversed"));
    assert_eq!(of(Some(StatedAmount::Point(Flops(601)))), Err("the amount is not what the method gives"));
    let other = |amount| estimate_of(&line(Method::Other("an invoice".to_owned()), amount));
    assert_eq!(other(None), Err("this method gives no amount, so one has to be stated"));
    assert_eq!(other(Some(StatedAmount::Point(Flops(10)))).unwrap().high, Flops(13));
    assert_eq!(
        estimate_of(&line(hardware(1, 1, 1, 10_001), None)),
        Err("a utilisation is at most 10,000 basis points")
    );
    assert_eq!(
        estimate_of(&line(hardware(u64::MAX, u64::MAX, 10, 1), None)),
        Err("the method's product is beyond 128 bits")
    );
}

/// Half of 19 FLOP is 9.5: the margin is taken from 9 downwards and from 10 upwards.
#[test]
fn a_fraction_of_a_flop_is_rounded_outwards_on_each_side() {
    let half = |amount| estimate_of(&line(hardware(1, 1, 19, 5_000), amount));
    let expected = Estimate { low: Flops(6), estimate: Some(Flops(10)), high: Flops(13) };
    assert_eq!(half(None), Ok(expected));
    assert_eq!(half(Some(StatedAmount::Point(Flops(10)))), Ok(expected));
    let interval = |low, high| half(Some(StatedAmount::Interval(Interval { low: Flops(low), high: Flops(high) })));
    assert!(interval(9, 10).is_ok());
    for (low, high) in [(10, 20), (1, 9)] {
        assert_eq!(interval(low, high), Err("the interval does not hold what the method gives"));
    }
}

fn sample() -> Value {
    json!({
        "format": "weighbridge/declarations/v1",
        "provider": {"legal_name": "Example Provider", "contact": "compute@example.org"},
        "model": {"id": "sample-model", "versions": ["1"]},
        "lifecycle_complete": true,
        "lifecycle": [{
            "phase": "fine-tuning", "class": "parameter-updates", "in_this_run": false, "basis": "counted",
            "method": {"hardware": {
                "units": 8, "seconds": 3600, "peak_flop_per_second": "989400000000000",
                "h_basis": {"precision": "bf16", "sparsity": "dense", "sku": "H100 SXM", "source": "datasheet"},
                "utilisation_basis_points": 4000, "u_definition": "model FLOP utilisation"
            }}
        }]
    })
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut value = sample();
    change(&mut value);
    let error = Declarations::parse(value.to_string().as_bytes()).unwrap_err();
    let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

#[test]
fn a_statement_parses_and_comes_back() {
    let declarations = Declarations::parse(sample().to_string().as_bytes()).unwrap();
    let again = serde_json::to_vec(&declarations).unwrap();
    assert_eq!(Declarations::parse(&again).unwrap(), declarations);
    let words = declarations.lifecycle[0].method.words();
    assert!(words.contains("40.00 % (model FLOP utilisation)") && words.contains("bf16 dense, H100 SXM"), "{words}");
}

#[test]
fn a_statement_is_written_by_name_and_not_by_position() {
    let said = refusal(|value| {
        let period = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"});
        value["period"] = json!([period["from"], period["to"]]);
    });
    assert!(said.contains("an array stands where an object belongs, at \"/period\""), "{said}");
}

#[test]
fn an_ambiguous_or_loose_statement_is_refused() {
    let hardware = "/lifecycle/0/method/hardware";
    for missing in ["h_basis", "u_definition", "units"] {
        let said = refusal(|value| {
            value.pointer_mut(hardware).and_then(Value::as_object_mut).map(|fields| fields.remove(missing));
        });
        assert!(said.contains(&format!("missing field `{missing}`")), "{said}");
    }
    let said = refusal(|value| *value.pointer_mut(&format!("{hardware}/peak_flop_per_second")).unwrap() = json!(1e15));
    assert!(said.contains("expected a string"), "{said}");
    let said = refusal(|value| *value.pointer_mut(&format!("{hardware}/u_definition")).unwrap() = json!(" "));
    assert_eq!(said, "declarations: a text is empty or has more than 2,000 bytes");
    let said = refusal(|value| value["more"] = json!(1));
    assert!(said.contains("unknown field `more`"), "{said}");
    let said = refusal(|value| value["format"] = json!("weighbridge/declarations/v2"));
    assert_eq!(said, "declarations: format is not `weighbridge/declarations/v1`");
    let said = refusal(|value| {
        value["plan"] = json!({"total": "1", "committed_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"})
    });
    assert_eq!(said, "declarations: the plan ends before it was committed to");
    let said = refusal(|value| value["lifecycle"][0]["amount"] = json!({"point": "1"}));
    assert_eq!(said, "declarations, lifecycle line 1: the amount is not what the method gives");
    let line = sample()["lifecycle"][0].clone();
    let said = refusal(|value| value["lifecycle"] = Value::Array(vec![line; 257]));
    assert_eq!(said, "declarations: a list has more than 256 entries");
    let twice = sample().to_string().replacen(
        "\"lifecycle_complete\":true",
        "\"lifecycle_complete\":false,\"lifecycle_complete\":true",
        1,
    );
    let error = Declarations::parse(twice.as_bytes()).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("duplicate field"));
    assert!(matches!(Declarations::parse(&vec![b' '; MAX_DECLARATIONS_BYTES + 1]), Err(DeclarationsError::TooLong(_))));
}
