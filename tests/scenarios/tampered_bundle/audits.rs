//! Breakers of the audit: its policy, its windows, its answers and its draws.

use weighbridge_attest_types::{RunManifest, SamplingLine};
use weighbridge_audit::{Answers, AuditPolicy, MAX_ANSWERS_BYTES, NumericPolicy, Stratum};
use weighbridge_tests::{SAMPLE_DRAWS, sample_policies};

use super::*;

struct Audited {
    run: SampleRun,
    bundle: Bundle,
}

fn audited() -> &'static Audited {
    static AUDITED: OnceLock<Audited> = OnceLock::new();
    AUDITED.get_or_init(|| {
        let run = SampleRun::audited();
        let bundle = assembled(&run, false).expect("an audited run assembles");
        Audited { run, bundle }
    })
}

/// The audited bundle with its answers changed.
fn with_answers(change: impl FnOnce(&mut Answers)) -> Bundle {
    let mut bundle = audited().bundle.clone();
    let mut answers: Answers = member(&bundle, "audit");
    change(&mut answers);
    bundle.replace("audit", Some(answers.to_bytes()));
    bundle
}

/// The same assembled anew: what its report then says.
fn reported(change: impl FnOnce(&mut Answers)) -> (SamplingLine, ThresholdReport) {
    let mut run = SampleRun::audited();
    let mut answers = Answers::from_bytes(run.answers.as_ref().expect("answers")).expect("answers");
    change(&mut answers);
    run.answers = Some(answers.to_bytes());
    let report = accepted(&assembled(&run, false).expect("failures of draws refuse no bundle"));
    (report.sampling.clone().expect("an audited run has a table"), report)
}

#[test]
fn an_audited_run_has_a_table_and_a_self_check_moves_no_figure() {
    let report = accepted(&audited().bundle);
    let line = report.sampling.expect("a table");
    assert_eq!((line.windows, line.unquoted, line.randomness.as_deref()), (3, 0, Some("self-check")));
    assert_eq!(line.flop, Some(Flops(3 * 2 * 20 * 18 * 12)));
    for (stratum, weight) in line.strata.iter().zip(["flop", "link"]) {
        assert_eq!((stratum.weight.as_str(), stratum.draws_per_window), (weight, SAMPLE_DRAWS));
        assert_eq!((stratum.draws, stratum.passed, stratum.allowance), (12, 12, None));
    }
    let opened = line.opened.expect("entries");
    assert!(opened.boundary > 0 && opened.unlinked == 0, "{opened:?}");
    assert_eq!((report.bracket.lower, line.grade), (Flops(0), weighbridge_attest_types::Grade::Simulated));
    assert!(report.audit.starts_with("self-check: 24 of 24 draws from 3 windows passed"), "{}", report.audit);
    assert!(report.level_basis.contains("the answers of the audit show"), "{}", report.level_basis);
    // The verdicts are those of the same run without an audit.
    let plain = accepted(&honest().plain);
    let verdicts = |report: &ThresholdReport| report.profiles.iter().map(|line| line.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(&accepted(&audited().bundle)), verdicts(&plain));
    assert_eq!((plain.sampling, plain.bracket.upper), (None, report.bracket.upper));
}

#[test]
fn breaker_audit_policy_by_other_policies_than_genesis_names() {
    let (policy, _) = sample_policies();
    let fewer: Vec<Stratum> =
        policy.strata().iter().map(|stratum| Stratum { draws: stratum.draws - 1, ..*stratum }).collect();
    let randomness = *policy.randomness();
    let fewer = AuditPolicy::new(policy.mode(), randomness, policy.deadline_millis(), policy.risk(), fewer);
    let fewer = fewer.expect("a policy");
    refused(&with_answers(|answers| answers.policy = fewer), Culprit::Untrusted, &["audit-policy"]);
    let longer = AuditPolicy::new(policy.mode(), randomness, 7_200_000, policy.risk(), policy.strata().to_vec());
    let longer = longer.expect("a policy");
    refused(&with_answers(|answers| answers.policy = longer), Culprit::Untrusted, &["audit-policy"]);
    let loose = |answers: &mut Answers| {
        let bf16 =
            weighbridge_audit::OperationPolicy::of(weighbridge_audit::Format::Bf16, weighbridge_audit::Format::Bf16);
        answers.numeric = NumericPolicy::uniform(bf16);
    };
    refused(&with_answers(loose), Culprit::Untrusted, &["audit-policy"]);
}

#[test]
fn breaker_audit_policy_by_windows_that_nobody_announced() {
    let run = SampleRun::audited_as(false, 1.0, 30);
    let mut bundle = resealed(&run);
    refused(&bundle, Culprit::Untrusted, &["audit-policy"]);
    bundle.replace("audit", run.answers);
    refused(&bundle, Culprit::Untrusted, &["audit-policy"]);
    // Answers to a run without windows.
    let mut plain = honest().plain.clone();
    plain.replace("audit", audited().run.answers.clone());
    refused(&plain, Culprit::Untrusted, &["audit-policy"]);
}

#[test]
fn breaker_audit_windows_by_roots_that_the_ledgers_do_not_hold() {
    let broken: [fn(&mut Answers); 8] = [
        |answers| answers.chains[0].windows[0].salt[0] ^= 1,
        |answers| answers.chains[0].windows[0].root.sums = weighbridge_audit::Sums::new(0, 7, 7).expect("sums"),
        |answers| answers.chains[0].windows[0].root.digest = PoseidonDigest::default(),
        // One window left out, one invented, two changed places, and a chain's without its answers.
        |answers| drop(answers.chains[0].windows.pop()),
        |answers| {
            let again = answers.chains[0].windows[0].clone();
            answers.chains[0].windows.push(again);
        },
        |answers| answers.chains.iter_mut().for_each(|chain| chain.windows.reverse()),
        |answers| drop(answers.chains.pop()),
        // Answered before the root was committed to.
        |answers| answers.chains[0].windows[0].answered = SAMPLE_START,
    ];
    for (number, change) in broken.into_iter().enumerate() {
        let mut outcome = verified(&with_answers(change));
        outcome.checks.retain(|check| check.status == CheckStatus::Fail);
        let codes: Vec<&str> = outcome.checks.iter().map(|check| check.code).collect();
        assert_eq!(codes, ["audit-windows"], "{number}: {:#?}", outcome.checks);
    }
    // A rank that is another node's.
    let swapped = |answers: &mut Answers| {
        let [first, second] = &mut answers.chains[..] else { panic!("two chains") };
        std::mem::swap(&mut first.ranks, &mut second.ranks);
    };
    refused(&with_answers(swapped), Culprit::Untrusted, &["audit-windows"]);
}

#[test]
fn breaker_audit_answers_by_anything_that_was_not_committed() {
    let first = |answers: &mut Answers, change: fn(&mut weighbridge_audit::Answer)| {
        answers
            .chains
            .iter_mut()
            .flat_map(|chain| &mut chain.windows)
            .for_each(|window| change(&mut window.answers[0]));
    };
    let changes: [fn(&mut weighbridge_audit::Answer); 9] = [
        |answer| answer.tensors[0].tiles[0].bytes[0] ^= 1,
        |answer| answer.tensors[0].tiles[0].path = weighbridge_commitments::MerklePath::default(),
        |answer| answer.tensors[0].root = PoseidonDigest::default(),
        |answer| drop(answer.tensors.pop()),
        |answer| answer.drawn.operation.rows += 1,
        |answer| answer.drawn.form[20] ^= 1,
        |answer| answer.drawn.path.steps[0].neighbour.sums = weighbridge_audit::Sums::default(),
        |answer| answer.unit.unit.end = Digest32::default(),
        |answer| answer.root.digest = PoseidonDigest::default(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let outcome = verified(&with_answers(|answers| first(answers, change)));
        let codes: Vec<&str> = outcome.failures().map(|check| check.code).collect();
        assert_eq!(codes, ["audit-answers"], "{number}");
        assert!(outcome.report.is_none());
    }
    // The answer to another draw, and to another window.
    let shifted = |answers: &mut Answers| {
        let window = &mut answers.chains[0].windows[0];
        let first = window.answers[0].clone();
        // Two draws that fall on one tile may have one answer.
        let is_other = |answer: &&weighbridge_audit::Answer| answer.drawn != first.drawn;
        let mut other = window.answers.iter().find(is_other).expect("another tile").clone();
        (other.stratum, other.draw) = (0, 0);
        window.answers[0] = other;
    };
    let outcome = verified(&with_answers(shifted));
    assert!(outcome.failures().all(|check| check.code == "audit-answers") && outcome.culprit().is_some());
    let exchanged = |answers: &mut Answers| {
        let longer = answers.chains.iter_mut().find(|chain| chain.windows.len() == 2).expect("two windows");
        let [one, next] = &mut longer.windows[..] else { panic!("two windows") };
        std::mem::swap(&mut one.answers, &mut next.answers);
    };
    refused(&with_answers(exchanged), Culprit::Untrusted, &["audit-answers"]);
    let mut bundle = audited().bundle.clone();
    bundle.replace("audit", Some(vec![0; MAX_ANSWERS_BYTES + 1]));
    refused(&bundle, Culprit::Malformed, &["member-parses"]);
}

#[test]
fn breaker_audit_answers_by_an_audit_that_was_dropped() {
    // The member alone: the archived report says otherwise.
    let mut bundle = audited().bundle.clone();
    bundle.replace("audit", None);
    refused(&bundle, Culprit::Untrusted, &["report-differs"]);
    // With a report of its own the bundle says what is missing: it is never silently fine.
    let mut run = SampleRun::audited();
    run.answers = None;
    let bundle = assembled(&run, false).expect("assembles");
    let report = accepted(&bundle);
    let line = report.sampling.expect("a table");
    assert_eq!((line.answered, line.windows, line.strata.len()), (false, 3, 0));
    assert!(report.audit.contains("answers none of their draws"), "{}", report.audit);
    let outcome = verified(&bundle);
    let unknown = outcome.checks.iter().filter(|check| check.status == CheckStatus::Unknown);
    assert!(unknown.clone().any(|check| check.code == "audit-answers"));
    // An announced audit without a single window is told as well.
    let mut silent = SampleRun::begin_with(
        7,
        2,
        1,
        |platform| platform,
        |manifest| {
            manifest.clone_from(&RunManifest { roster: manifest.roster.clone(), ..audited().run.manifest.clone() });
        },
    );
    silent.advance(10);
    silent.quote_all();
    silent.receipts();
    let report = accepted(&assembled(&silent, false).expect("assembles"));
    assert_eq!(report.sampling.map(|line| (line.answered, line.windows)), Some((false, 0)));
    // Answers of no chain are no better than none.
    let mut answers = Answers::from_bytes(audited().run.answers.as_ref().expect("answers")).expect("answers");
    answers.chains.clear();
    silent.answers = Some(answers.to_bytes());
    let outcome = verified(&assembled(&silent, false).expect("assembles"));
    let unknown = outcome.checks.iter().filter(|check| check.status == CheckStatus::Unknown);
    let unknown: Vec<&str> = unknown.map(|check| check.code).collect();
    assert!(["audit-windows", "audit-draws"].iter().all(|code| unknown.contains(code)), "{unknown:?}");
}

#[test]
fn a_ledger_that_is_there_twice_is_not_judged_twice() {
    let mut bundle = audited().bundle.clone();
    for (rest, bytes) in audited().bundle.below("node/0001") {
        bundle.replace(&format!("node/0001/after/0001/{rest}"), Some(bytes.to_vec()));
    }
    let outcome = verified(&bundle);
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
    assert!(outcome.checks.iter().all(|check| check.code != "audit-draws"), "{:?}", outcome.checks);
}

#[test]
fn breaker_audit_draws_by_silence_and_by_lateness() {
    // Draws without an answer are draws: k is the policy's.
    let (line, report) = reported(|answers| answers.chains[0].windows[0].answers.truncate(3));
    let sums: Vec<_> = line.strata.iter().map(|stratum| (stratum.draws, stratum.passed, stratum.unanswered)).collect();
    assert_eq!(sums, [(12, 11, 1), (12, 8, 4)]);
    assert!(report.audit.contains("5 count as failed (0 refused, 0 not proven, 5 unanswered)"), "{}", report.audit);
    let late = |answers: &mut Answers| answers.chains[0].windows[0].answered = UnixMillis(SAMPLE_START.0 + 7_200_000);
    let (line, _) = reported(late);
    assert!(line.strata.iter().all(|stratum| stratum.unanswered == 4 && stratum.passed == 8));
    // One answer twice does not stand for two.
    let twice = |answers: &mut Answers| {
        let window = &mut answers.chains[0].windows[0];
        let first = window.answers[0].clone();
        let place = window.answers.iter().position(|answer| answer.drawn != first.drawn).expect("another tile");
        let (stratum, draw) = (window.answers[place].stratum, window.answers[place].draw);
        window.answers[place] = weighbridge_audit::Answer { stratum, draw, ..first };
    };
    let codes: Vec<&str> = verified(&with_answers(twice)).failures().map(|check| check.code).collect();
    assert_eq!(codes, ["audit-answers"]);
}

#[test]
fn breaker_audit_draws_by_a_wrong_result() {
    let run = SampleRun::audited_as(true, 1.01, 30);
    let mut bundle = resealed(&run);
    bundle.replace("audit", run.answers.clone());
    refused(&bundle, Culprit::Rejected, &["audit-draws"]);
    let refusal = assembled(&run, false).expect_err("no bundle of it");
    assert!(refusal.contains("show a wrong result"), "{refusal}");
}

#[test]
fn breaker_audit_windows_by_a_window_behind_the_last_quoted_head() {
    let run = SampleRun::audited_as(true, 1.0, 10);
    let bundle = assembled(&run, false).expect("assembles");
    let line = accepted(&bundle).sampling.expect("a table");
    assert_eq!((line.windows, line.unquoted), (2, 1));
    assert!(line.strata.iter().all(|stratum| (stratum.passed, stratum.unanswered) == (8, 4)), "{line:?}");
    // Nor does it hold anything, or lead anywhere.
    assert_eq!(line.flop, Some(Flops(2 * 2 * 20 * 18 * 12)));
    let all = accepted(&audited().bundle).sampling.expect("a table");
    let (opened, of_all) = (line.opened.expect("entries"), all.opened.expect("entries"));
    assert!(opened.boundary < of_all.boundary, "{opened:?} of {of_all:?}");
    assert!(line.operands.expect("operands").entries < all.operands.expect("operands").entries);
    let unknown = verified(&bundle);
    let unknown = unknown.checks.iter().filter(|check| check.status == CheckStatus::Unknown);
    assert!(unknown.clone().any(|check| check.code == "audit-windows"));
}
