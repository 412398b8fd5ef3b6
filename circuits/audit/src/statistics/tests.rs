//! The formula, the tables of TRAINING §7, and what is said of them.

use super::*;
use crate::gemm::{TileDoubt, TileFacts, TileRefusal, TileVerdict};

#[test]
fn u_is_the_root_of_the_poisson_tail_rounded_up() {
    // −ln 0.05 = 2.995 732 27…, −ln 0.01 = 4.605 170 18…
    let u = |risk, failures| poisson_upper(risk, failures).unwrap();
    assert_eq!(u(Risk::FIVE_PERCENT, 0), 2_995_733);
    assert_eq!(u(Risk::ONE_PERCENT, 0), 4_605_171);
    // Half of chi-squared quantiles with 2(f + 1) degrees of freedom: 4.743 865, 6.295 794, 7.753 657, 9.153 519.
    let five: Vec<u64> = (1..5).map(|failures| u(Risk::FIVE_PERCENT, failures)).collect();
    assert_eq!(five, [4_743_865, 6_295_794, 7_753_657, 9_153_520]);
    assert_eq!(u(Risk::ONE_PERCENT, 1), 6_638_353);
    for failures in [0, 1, 2, 7, 30, 100] {
        let exact = |micros: u64| {
            let u = micros as f64 / 1e6;
            let mut term = (-u).exp();
            (1..=failures).fold(term, |sum, i| {
                term *= u / f64::from(i);
                sum + term
            })
        };
        let found = u(Risk::FIVE_PERCENT, failures);
        assert!(exact(found) <= 0.05 + 1e-12 && exact(found - 2) > 0.05 - 1e-9, "{failures}: {found}");
    }
}

/// −ln 0.025, and quantiles at δ/6, δ/12, δ/20 by Python's floats.
#[test]
fn u_for_whatever_comes_out_has_a_part_of_the_risk_for_each_number_of_failures() {
    let u = |risk, failures| adaptive_upper(risk, failures).unwrap();
    let five: Vec<u64> = (0..4).map(|failures| u(Risk::FIVE_PERCENT, failures)).collect();
    assert_eq!(five, [3_688_880, 6_847_715, 9_499_103, 11_887_238]);
    assert_eq!([0, 1].map(|failures| u(Risk::ONE_PERCENT, failures)), [5_298_318, 8_665_492]);
    assert_eq!(u(Risk::FIVE_PERCENT, 0), poisson_upper(Risk::new(25_000).unwrap(), 0).unwrap());
    assert!((u(Risk::new(1).unwrap(), MAX_FAILURES) as f64 / 1e6 - 1_239.990_78).abs() < 1e-4);
    assert!(adaptive_upper(Risk::FIVE_PERCENT, MAX_FAILURES + 1).is_err());
}

/// How often a claim is false whose maker hears every outcome, chooses how much of the next draw is false, and stops once
/// the false weight is beyond the bound for the failures so far: exactly, by the best choice from each state.
fn falsely_claimed(upper: &dyn Fn(u32) -> u64, most_failures: u32) -> f64 {
    const STEPS_PER_UNIT: usize = 50;
    const MICROS_PER_STEP: usize = 20_000;
    const CHOICES: [usize; 5] = [1, 2, 5, 12, 25];
    let bounds: Vec<usize> = (0..=most_failures).map(|failures| usize::try_from(upper(failures)).unwrap()).collect();
    let states = bounds.last().unwrap() / MICROS_PER_STEP + 30;
    // won[at][f]: chance from false weight at / STEPS_PER_UNIT with f failures; nothing is won beyond the last f.
    let mut won = vec![vec![0.0f64; most_failures as usize + 2]; states];
    for at in (0..states).rev() {
        for failures in (0..bounds.len()).rev() {
            let is_false = at * MICROS_PER_STEP > bounds[failures];
            let best = CHOICES.into_iter().filter(|step| at + step < states).map(|step| {
                let share = step as f64 / STEPS_PER_UNIT as f64;
                (1.0 - share) * won[at + step][failures] + share * won[at + step][failures + 1]
            });
            won[at][failures] = if is_false { 1.0 } else { best.fold(0.0, f64::max) };
        }
    }
    won[0][0]
}

#[test]
fn a_prover_who_stops_when_it_suits_is_found_as_often_as_promised() {
    let by = |upper: fn(Risk, u32) -> Result<u64, StatisticsError>, most| {
        falsely_claimed(&|failures| upper(Risk::FIVE_PERCENT, failures).unwrap(), most)
    };
    for most in [0, 1, 2, 5, 30] {
        assert!(by(adaptive_upper, most) <= 0.05, "{most} failures: {}", by(adaptive_upper, most));
    }
    // The bound for a number that was fixed before is not for a number that came out.
    assert!(by(poisson_upper, 0) <= 0.05);
    assert!(by(poisson_upper, 1) > 0.07 && by(poisson_upper, 30) > 0.15);
}

#[test]
fn the_familiar_one_percent() {
    // One window of F, 300 draws, all clean: 1.23 % of F; 0.9986 % for a run that has but this one outcome to tell.
    let cap = 10u128.pow(24);
    let stratum =
        StratumOutcome { weight: Weight::Flop, cap, draws: 300, windows: 1, failures: 0, risk: Risk::FIVE_PERCENT };
    assert_eq!(stratum.allowance(), Ok((3_688_880 * 10u128.pow(24)).div_ceil(300_000_000)));
    let correctness = Correctness::conclude(Flops(cap), &stratum).unwrap();
    assert_eq!(correctness.lower.0 + correctness.allowance.0, cap);
    assert_eq!(correctness.share, 987_703);
    assert_eq!(
        correctness.sentence(),
        "with 95 % confidence at least a share of 98.77 % of the declared operations has correct results"
    );
    // The allowance is that of one window however many there were.
    let many = StratumOutcome { windows: 1000, failures: 2, ..stratum };
    assert_eq!(many.allowance(), Ok((cap * 9_499_103).div_ceil(300_000_000)));
    let share = Correctness::conclude(Flops(1000 * cap), &many).unwrap().share;
    assert_eq!(share, 999_968);
}

#[test]
fn figures_are_rounded_against_the_claim_and_never_below_nothing() {
    let stratum = |cap, draws| StratumOutcome {
        weight: Weight::Flop,
        cap,
        draws,
        windows: 1,
        failures: 0,
        risk: Risk::FIVE_PERCENT,
    };
    // 10 · 3.688880 / 3 = 12.29…
    assert_eq!(stratum(10, 3).allowance(), Ok(13));
    assert_eq!(stratum(0, 3).allowance(), Ok(0));
    let nothing = Correctness::conclude(Flops(5), &stratum(10, 3)).unwrap();
    assert_eq!((nothing.lower, nothing.share), (Flops(0), 0));
    assert_eq!(Correctness::conclude(Flops(0), &stratum(10, 3)).unwrap().share, 0);
    let largest = stratum((1 << 86) - 1, 1);
    assert_eq!(largest.allowance().unwrap(), (((1u128 << 86) - 1) * 3_688_880).div_ceil(1_000_000));
    assert_eq!(stratum(10, 0).allowance(), Err(StatisticsError::NoDraws));
    let none = StratumOutcome { windows: 0, ..stratum(10, 3) };
    assert_eq!(none.allowance(), Err(StatisticsError::NoDraws));
    let more = StratumOutcome { failures: 4, ..stratum(10, 3) };
    assert_eq!(more.allowance(), Err(StatisticsError::Failures { failures: 4, draws: 3 }));
}

#[test]
fn a_risk_is_split_and_never_grows() {
    let part = |millionths| Risk::new(millionths).unwrap();
    assert_eq!(Risk::FIVE_PERCENT.check_split([part(40_000), part(10_000)]), Ok(()));
    let refused = Risk::FIVE_PERCENT.check_split([part(40_000), part(10_001)]);
    assert_eq!(refused, Err(StatisticsError::Split { parts: 50_001, whole: 50_000 }));
    assert_eq!(Risk::new(0), Err(StatisticsError::Risk(0)));
    assert_eq!(Risk::new(300_001), Err(StatisticsError::Risk(300_001)));
    // A smaller part costs more draws.
    let u = |risk| poisson_upper(risk, 0).unwrap();
    assert!(u(part(25_000)) > u(Risk::FIVE_PERCENT));
    assert_eq!(u(part(25_000)), 3_688_880);
    let texts = [part(50_000), part(10_000), part(25_000), part(1)].map(Risk::confidence);
    assert_eq!(texts, ["95", "99", "97.5", "99.9999"]);
    // Poisson's tail bounds the binomial's only from f + 1 on.
    for failures in 0..200 {
        assert!(poisson_upper(Risk::FIVE_PERCENT, failures).is_ok());
    }
    assert!(matches!(poisson_upper(part(300_000), 0), Ok(1_203_973)));
    assert_eq!(poisson_upper(Risk::FIVE_PERCENT, 1001), Err(StatisticsError::Failures { failures: 1001, draws: 1001 }));
}

/// The bound against the thing itself: a cheater who spreads false weight over windows as it likes.
#[test]
fn the_false_weight_of_a_whole_run_is_missed_as_rarely_as_promised() {
    let (draws, cap) = (50u32, 1.0f64);
    for failures in [0u32, 1, 2] {
        let allowed = poisson_upper(Risk::FIVE_PERCENT, failures).unwrap() as f64 / 1e6 * cap / f64::from(draws);
        for windows in [1usize, 2, 7, 100] {
            // Even, and as uneven as can be.
            let even = vec![(allowed / windows as f64).min(1.0); windows];
            let mut uneven = vec![0.0; windows];
            uneven[0] = allowed.min(1.0);
            for shares in [even, uneven] {
                // Distribution of the number of failed draws, up to `failures`.
                let mut at = vec![0.0; failures as usize + 1];
                at[0] = 1.0;
                for share in shares {
                    for _ in 0..draws {
                        for count in (0..at.len()).rev() {
                            let carried = if count > 0 { at[count - 1] * share } else { 0.0 };
                            at[count] = at[count] * (1.0 - share) + carried;
                        }
                    }
                }
                assert!(at.iter().sum::<f64>() <= 0.05 + 1e-9, "{failures} failures, {windows} windows");
            }
        }
    }
}

/// TRAINING §7, the table of draws without replacement.
#[test]
fn the_table_of_draws_is_exact() {
    let row = |total: u64| {
        [10, 20, 100, 1_000, 10_000].map(|one_in| {
            let of = |risk| draws_to_detect(total, total / one_in, risk).unwrap();
            (of(Risk::FIVE_PERCENT), of(Risk::ONE_PERCENT))
        })
    };
    assert_eq!(row(10_000), [(29, 44), (59, 90), (294, 448), (2_588, 3_689), (9_501, 9_901)]);
    assert_eq!(row(100_000), [(29, 44), (59, 90), (298, 458), (2_950, 4_499), (25_886, 36_903)]);
    assert_eq!(row(1_000_000), [(29, 44), (59, 90), (299, 459), (2_990, 4_593), (29_512, 45_006)]);
    assert_eq!(draws_to_detect(100, 0, Risk::FIVE_PERCENT), None);
    assert_eq!(draws_to_detect(100, 101, Risk::FIVE_PERCENT), None);
    assert_eq!(draws_to_detect(100, 100, Risk::FIVE_PERCENT), Some(1));
    assert_eq!(draws_to_detect(3, 1, Risk::FIVE_PERCENT), Some(3));
}

#[test]
fn a_check_that_sees_a_part_needs_more_draws() {
    let draws = |seen| draws_to_detect_share(10_000, seen, Risk::ONE_PERCENT).unwrap();
    assert_eq!((draws(1_000_000), draws(500_000), draws(100_000)), (459, 919, 4_603));
    assert_eq!(draws(31_250), 14_735);
    assert_eq!(draws_to_detect_share(0, 1_000_000, Risk::ONE_PERCENT), None);
    assert_eq!(draws_to_detect_share(1_000_000, 1_000_000, Risk::ONE_PERCENT), Some(1));
}

#[test]
fn shares_that_failures_leave_open() {
    // 300 draws: 0.99, 1.57, 2.08, 3.47 %; 1,000 draws: 0.30, 0.47, 0.63, 1.05 %.
    let percent = |draws, failures| (bad_share_upper(draws, failures, Risk::FIVE_PERCENT).unwrap() + 50) / 100;
    assert_eq!([0, 1, 2, 5].map(|failures| percent(300, failures)), [99, 157, 208, 347]);
    assert_eq!([0, 1, 2, 5].map(|failures| percent(1000, failures)), [30, 47, 63, 105]);
    // k clean draws: 1 − δ^(1/k).
    assert_eq!(bad_share_upper(3000, 0, Risk::FIVE_PERCENT), Ok(999));
    assert_eq!(bad_share_upper(1, 1, Risk::FIVE_PERCENT), Ok(1_000_000));
    assert_eq!(bad_share_upper(0, 0, Risk::FIVE_PERCENT), Err(StatisticsError::NoDraws));
    let refused = Err(StatisticsError::Failures { failures: 3, draws: 2 });
    assert_eq!(bad_share_upper(2, 3, Risk::FIVE_PERCENT), refused);
}

#[test]
fn the_sequential_test_accepts_after_462_clean_and_rejects_after_one_failure() {
    let test = SequentialTest {
        good_share: 100,
        bad_share: 10_000,
        reject_good: Risk::ONE_PERCENT,
        accept_bad: Risk::ONE_PERCENT,
    };
    assert_eq!(test.after(461, 0), Sequential::GoOn);
    assert_eq!(test.after(462, 0), Sequential::Accept);
    assert_eq!(test.after(0, 1), Sequential::Reject);
    assert_eq!(test.after(2, 1), Sequential::GoOn);
}

#[test]
fn totals_leave_no_tile_out() {
    let facts = |signed, outward| TileFacts {
        entries: 256,
        informative: 250,
        empty: 2,
        left_zeros: 5,
        right_zeros: 6,
        left_entries: 1024,
        right_entries: 1024,
        repeated_rows: 1,
        repeated_columns: 2,
        is_wide: true,
        worst: 200,
        squares: 2_500_000,
        signed,
        outward,
    };
    let mut totals = TileTotals::default();
    totals.add(&TileVerdict::Accepted(facts(10, -20)));
    totals.add(&TileVerdict::Accepted(facts(-30, 40)));
    totals.add(&TileVerdict::Refused(TileRefusal::Outside { row: 0, col: 0, outside: 1 }));
    totals.add(&TileVerdict::NotProven(TileDoubt::Cut { row: 0, col: 0 }));
    let expected = TileTotals {
        tiles: 4,
        accepted: 2,
        refused: 1,
        not_proven: 1,
        wide: 2,
        entries: 512,
        informative: 500,
        empty: 4,
        zeros: 22,
        operand_entries: 4096,
        repeated: 6,
        worst: 200,
        squares: 5_000_000,
        signed: -20,
        outward: 20,
    };
    assert_eq!(totals, expected);
    assert!(!totals.leans());
    // Half an envelope on one side, tile after tile.
    for _ in 0..10 {
        totals.add(&TileVerdict::Accepted(facts(0, -128 * 256)));
    }
    assert!(totals.leans());
}
