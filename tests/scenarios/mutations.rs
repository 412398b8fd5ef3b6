//! Hostile bundles: random one-byte changes and truncations, of the file as it is through the shipped program, and of
//! single members re-sealed under fresh digests through the library. Nothing is accepted, nothing panics, and every
//! answer comes in bounded time and memory. `just mutate` runs all 2,200; here 200 of each kind run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weighbridge_appraisal::{AppraisalTime, VerifyOptions, verify_bundle};
use weighbridge_attest_types::{Bundle, TrustAnchors};
use weighbridge_tests::{SampleRun, program, run};

use crate::support::{anchors_of, assembled};

/// Most address space that a verification may have.
const MOST_KIBIBYTES: u64 = 512 * 1024;
/// Processor seconds after which the kernel ends it: a hang is a failure. What it really takes is printed, not asserted.
const MOST_PROCESSOR_SECONDS: u64 = 20;

/// How many of each: `WEIGHBRIDGE_MUTATIONS`, or what fits into every test run.
fn rounds(of: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "the recipe `just mutate` asks for all of them")]
    let asked = std::env::var("WEIGHBRIDGE_MUTATIONS").ok();
    if asked.as_deref() == Some("all") { of } else { of.min(200) }
}

fn sample() -> (Bundle, TrustAnchors, SampleRun) {
    let sample = SampleRun::honest();
    let bundle = assembled(&sample, true).expect("an honest run assembles");
    (bundle, anchors_of(&sample.world), sample)
}

/// Runs `weighbridge verify` under limits and gives its exit code and how long it took.
fn verify(weighbridge: &Path, bundle: &Path, roots: &Path) -> (i32, Duration) {
    let limited = format!(
        "ulimit -v {MOST_KIBIBYTES}; ulimit -t {MOST_PROCESSOR_SECONDS}; \
         exec \"$0\" verify \"$1\" --trust-roots \"$2\" --format json"
    );
    #[expect(clippy::disallowed_methods, reason = "the time it takes is printed for the dated result")]
    let start = Instant::now();
    let ran = run(Command::new("sh").arg("-c").arg(limited).arg(weighbridge).arg(bundle).arg(roots));
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    (ran.code.unwrap_or_else(|| panic!("ended by a signal: {}", ran.stderr)), start.elapsed())
}

#[test]
fn no_changed_or_cut_bundle_is_accepted_by_the_program() {
    let (bundle, _, sample) = sample();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let roots = folder.path().join("trust-roots");
    sample.world.write_trust_roots(&roots).expect("anchors are written");
    let weighbridge = program("weighbridge");
    let file = folder.path().join("run.weighbridge");
    let bytes = bundle.to_bytes();
    std::fs::write(&file, &bytes).expect("writes");
    assert_eq!(verify(&weighbridge, &file, &roots).0, 0, "the honest bundle is accepted");

    let mut random = StdRng::seed_from_u64(20_261_122);
    let mut codes: BTreeMap<i32, usize> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    let mut attempt = |changed: &[u8], what: &str| {
        std::fs::write(&file, changed).expect("writes");
        let (code, took) = verify(&weighbridge, &file, &roots);
        longest = longest.max(took);
        assert!([3, 4, 5, 6].contains(&code), "{what}: exit {code}");
        *codes.entry(code).or_default() += 1;
    };
    for _ in 0..rounds(2_000) {
        let position = random.gen_range(0..bytes.len());
        let mut changed = bytes.clone();
        changed[position] ^= random.gen_range(1..=255u8);
        attempt(&changed, &format!("byte {position}"));
    }
    for _ in 0..rounds(200) {
        let length = random.gen_range(0..bytes.len());
        attempt(&bytes[..length], &format!("cut to {length}"));
    }
    println!("exit codes: {codes:?}; longest {longest:?}");
}

#[test]
fn no_resealed_change_of_a_member_is_accepted() {
    let (bundle, anchors, _) = sample();
    let members: Vec<(String, Vec<u8>)> =
        bundle.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..rounds(2_000) {
        let (name, bytes) = &members[random.gen_range(0..members.len())];
        let mut changed = bytes.clone();
        let position = random.gen_range(0..bytes.len());
        changed[position] ^= random.gen_range(1..=255u8);
        if round % 10 == 0 {
            changed.truncate(position);
        }
        let mut forged = bundle.clone();
        forged.replace(name, Some(changed));
        let options = VerifyOptions { anchors: anchors.clone(), at: AppraisalTime::Archived };
        let verified = catch_unwind(AssertUnwindSafe(|| verify_bundle(&forged.to_bytes(), &options)));
        let outcome = verified.unwrap_or_else(|_| panic!("{name}: byte {position} makes it panic"));
        assert!(outcome.report.is_none(), "{name}: byte {position} is free");
        let code = outcome.culprit().map(weighbridge_attest_types::Culprit::exit_code);
        assert!(matches!(code, Some(3..=6)), "{name}: byte {position}: {code:?}");
    }
}
