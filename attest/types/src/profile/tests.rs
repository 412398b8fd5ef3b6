use super::*;

#[test]
fn every_profile_is_strict_at_its_threshold() {
    for profile in built_in_profiles() {
        let value = profile.threshold(profile.value).0;
        assert!(!profile.is_above(Flops(value - 1)), "{}", profile.id);
        assert_eq!(profile.is_above(Flops(value)), profile.compare == Compare::Ge, "{}", profile.id);
        assert!(profile.is_above(Flops(value + 1)), "{}", profile.id);
    }
}

#[test]
fn the_list_of_profiles_is_this_one() {
    let expected = [
        ("eu-ai-act-51-2", 10u128.pow(25)),
        ("eu-gpai-2-1", 10u128.pow(23)),
        ("eu-modifier-systemic", 10u128.pow(25) / 3),
        ("eu-modifier-gpai", 10u128.pow(23) / 3),
        ("us-ca-sb-53", 10u128.pow(26)),
        ("us-ny-raise", 10u128.pow(26)),
        ("us-eo-14110", 10u128.pow(26)),
        ("demo", 10u128.pow(18)),
    ];
    let found: Vec<_> = built_in_profiles()
        .into_iter()
        .map(|profile| (profile.id.clone(), profile.threshold(profile.value).0))
        .collect();
    assert_eq!(found, expected.map(|(id, value)| (id.to_owned(), value)));
}

#[test]
fn no_two_profiles_of_one_instrument_overlap_in_time() {
    let profiles = built_in_profiles();
    for (place, one) in profiles.iter().enumerate() {
        for other in &profiles[place + 1..] {
            assert!(!one.overlaps(other), "{} and {}", one.id, other.id);
        }
    }
    let mut ended = profiles[0].clone();
    assert!(profiles[0].overlaps(&ended));
    ended.valid_to = Some("2025-08-01".to_owned());
    ended.valid_from = Some("2025-01-01".to_owned());
    assert!(!profiles[0].overlaps(&ended) && !ended.overlaps(&profiles[0]));
    ended.valid_to = Some("2025-08-02".to_owned());
    assert!(profiles[0].overlaps(&ended), "one day in common");
}

#[test]
fn a_lost_superscript_is_refused() {
    let json = include_str!("../../profiles/eu-ai-act-51-2.json").replace("\"10000000000000000000000000\"", "\"1025\"");
    assert!(matches!(ThresholdProfile::parse(&json), Err(ProfileError::TooSmall { .. })));
    let unknown = json.replacen('{', "{\"extra\": 1,", 1);
    assert!(matches!(ThresholdProfile::parse(&unknown), Err(ProfileError::Json(_))));
}

/// A second spelling of a profile would be a second digest of the same rule, against its schema.
#[test]
fn a_profile_is_written_by_name_and_not_by_position() {
    let json = include_str!("../../profiles/us-ny-raise.json");
    let citation = r#"{"clause": "definition of frontier model", "document": null, "retrieved_sha256": null}"#;
    let changed = json.replacen(citation, r#"["definition of frontier model", null, null]"#, 1);
    assert_ne!(changed, json);
    let Err(ProfileError::Json(why)) = ThresholdProfile::parse(&changed) else { panic!("it was read") };
    assert!(why.to_string().contains("an array stands where an object belongs, at \"/citation\""), "{why}");
}

#[test]
fn silence_repetition_and_nonsense_are_refused() {
    let json = include_str!("../../profiles/eu-ai-act-51-2.json");
    let refusal = |from: &str, to: &str| {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        ThresholdProfile::parse(&changed).unwrap_err().to_string()
    };
    let parses_not = "profile does not parse";
    assert_eq!(refusal("\"valid_to\": null,", ""), parses_not);
    assert_eq!(refusal("\"relative_to\": null,", ""), parses_not);
    assert_eq!(refusal("\"retrieved_sha256\": null", "\"more\": null"), parses_not);
    assert_eq!(refusal("\"version\": ", "\"version\": 1, \"version\": "), parses_not);
    assert_eq!(refusal("\"10000000000000000000000000\"", "1e25"), parses_not);
    assert_eq!(refusal("2025-08-02", "2025-02-30"), "profile `eu-ai-act-51-2`: write days as 2026-03-01");
    assert_eq!(
        refusal("\"numerator\": 30", "\"numerator\": 0"),
        "profile `eu-ai-act-51-2`: a fraction is two integers, the first from 1 to the second"
    );
    assert_eq!(refusal("\"days\": 14", "\"days\": 0"), "profile `eu-ai-act-51-2`: a deadline has 1 to 3,660 days");
    assert!(refusal("\"in-force\"", "\"demonstration\"").contains("may not name a law"));
    assert_eq!(refusal("\"gt\"", "\"gte\""), parses_not);
    let long = format!("{json}{}", " ".repeat(MAX_PROFILE_BYTES));
    assert!(matches!(ThresholdProfile::parse(&long), Err(ProfileError::TooLong(_))));
}

/// COMPUTE §2: `3·C > C_original`, no division; 3.33e24 and 3.33e22 stand in where the original is not known.
#[test]
fn a_modifier_is_weighed_by_multiplication() {
    let profiles = built_in_profiles();
    let profile = profiles.iter().find(|profile| profile.id == "eu-modifier-systemic").unwrap();
    let third = 3_333_333_333_333_333_333_333_333;
    assert_eq!(profile.threshold(profile.value), Flops(third));
    assert!(!profile.is_above(Flops(third)) && profile.is_above(Flops(third + 1)));
    for original in [9, 10, 11, 10u128.pow(24) + 1] {
        for amount in [original / 3 - 1, original / 3, original / 3 + 1] {
            let above = profile.is_above_share(Flops(original), Flops(amount));
            assert_eq!(above, 3 * amount > original, "{amount} of {original}");
            assert_eq!(above, Flops(amount) > profile.threshold(Flops(original)), "{amount} of {original}");
        }
    }
    // Thirty per cent, which a well-known product uses, is another answer.
    assert!(!profile.is_above_share(Flops(1_000), Flops(301)));
    assert!(profile.is_above_share(Flops(1_000), Flops(u128::MAX)), "what leaves the integers is above");
}

#[test]
fn classes_count_as_the_profile_says() {
    let profiles = built_in_profiles();
    let of = |id: &str, class| profiles.iter().find(|profile| profile.id == id).unwrap().inclusion(class);
    for (class, cumulative, training) in [
        (WorkClass::ParameterUpdates, Inclusion::Included, Inclusion::Included),
        (WorkClass::PrivateSyntheticData, Inclusion::Included, Inclusion::Excluded),
        (WorkClass::InitialWeights, Inclusion::Included, Inclusion::Excluded),
        (WorkClass::PublicSyntheticData, Inclusion::Excluded, Inclusion::Excluded),
        (WorkClass::Diagnostics, Inclusion::Excluded, Inclusion::Excluded),
        (WorkClass::ExploratoryResearch, Inclusion::Excluded, Inclusion::Excluded),
        (WorkClass::DistillationParent, Inclusion::Excluded, Inclusion::Excluded),
        (WorkClass::AuxiliaryModels, Inclusion::Excluded, Inclusion::Excluded),
        (WorkClass::Recomputation, Inclusion::Excluded, Inclusion::Excluded),
        (WorkClass::RolledBackSteps, Inclusion::UpperOnly, Inclusion::UpperOnly),
    ] {
        assert_eq!(of("eu-ai-act-51-2", class), cumulative, "{class:?}");
        assert_eq!(of("eu-gpai-2-1", class), training, "{class:?}");
        assert_eq!(
            (class.inclusion(Quantity::Cumulative), class.inclusion(Quantity::Training)),
            (cumulative, training)
        );
    }
}
