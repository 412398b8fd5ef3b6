//! Hostile evidence by the thousand: bit flips, cuts, splices and length fields in captured evidence of each CPU scheme and
//! in what endorses it. Nothing panics; what is still accepted has the same canonical bytes and says the same. TDX is held
//! against dcap-qvl on every one of them. `just mutate` makes 100,000 of each; here 5,000 run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weighbridge_attest::{EvidenceError, RawEvidence, Verified, built_in_anchors, canonical_slice, verify};
use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TcbStatus, UnixMillis};
use weighbridge_tests::parsers::{Form, Mutator};
use weighbridge_tests::shared;
use weighbridge_tests::vectors::{Case, instant};

const FEW: usize = 5_000;
const ALL: usize = 100_000;
const SEED: u64 = 20_261_125;

/// How many of each scheme: `WEIGHBRIDGE_MUTATIONS`, or what fits into every test run.
fn rounds() -> usize {
    #[expect(clippy::disallowed_methods, reason = "the recipe `just mutate` asks for all of them")]
    let asked = std::env::var("WEIGHBRIDGE_MUTATIONS").ok();
    if asked.as_deref() == Some("all") { ALL } else { FEW }
}

/// Captured evidence that is accepted.
struct Capture {
    evidence: Vec<u8>,
    endorsements: Vec<Vec<u8>>,
    at: UnixMillis,
    claims: PlatformClaims,
}

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

fn judge(kind: &EvidenceKind, evidence: &[u8], endorsements: &[Vec<u8>], at: UnixMillis) -> Verdict {
    let raw = RawEvidence { body: evidence, certificates: &[] };
    verify(kind, raw, endorsements, &built_in_anchors(), at)
}

fn captures(kind: &EvidenceKind, names: &[&str]) -> Vec<Capture> {
    let of = |name: &&str| {
        let case = Case::named(kind.as_str(), name)?;
        let mut rows = case.appraisals.iter();
        let row = rows.find(|row| row.expect == "accepted" && !row.endorsements.is_empty()).expect("an accepted row");
        let (evidence, endorsements) = (case.evidence_of(row), case.endorsements_of(row));
        let at = instant(row.at.as_deref().expect("a time"));
        let claims = judge(kind, &evidence, &endorsements, at).expect("accepted").claims().clone();
        Some(Capture { evidence, endorsements, at, claims })
    };
    names.iter().filter_map(of).collect()
}

/// Damages evidence and endorsements in turn; `also` looks at every judged evidence.
fn damage(
    kind: &EvidenceKind,
    captures: &[Capture],
    counted: impl Fn(&[u8]) -> Vec<u8>,
    mut also: impl FnMut(&Capture, &[u8], &Verdict),
) {
    if captures.is_empty() {
        return;
    }
    assert!(captures.len() >= 3, "{kind}: too few captures");
    let mutator =
        |number: usize| Mutator::new(SEED + number as u64, Form::Binary, vec![captures[number].evidence.clone()]);
    let mut mutators: Vec<Mutator> = (0..captures.len()).map(mutator).collect();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..rounds() {
        let number = round % captures.len();
        let capture = &captures[number];
        let mut endorsements = capture.endorsements.clone();
        let mut evidence = capture.evidence.clone();
        match round / captures.len() % 4 {
            0 => damage_one(&mut endorsements, &mut random),
            1 => splice(&mut evidence, captures, &mut random),
            _ => evidence = mutators[number].damaged(),
        }
        let judged = catch_unwind(AssertUnwindSafe(|| judge(kind, &evidence, &endorsements, capture.at)));
        let verdict = judged.unwrap_or_else(|_| panic!("{kind}, round {round}: panics"));
        if let Ok(verified) = &verdict {
            let canonical = |bytes: &[u8]| counted(canonical_slice(kind, bytes).expect("accepted, so it parses"));
            assert_eq!(canonical(&evidence), canonical(&capture.evidence), "{kind}, round {round}: accepted");
            assert_eq!(without_notes(verified.claims()), without_notes(&capture.claims), "{kind}, round {round}");
        }
        *seen.entry(verdict.as_ref().map_or_else(|error| error.culprit().verdict(), |_| "accepted")).or_default() += 1;
        if endorsements == capture.endorsements {
            also(capture, &evidence, &verdict);
        }
    }
    println!("{kind}: {seen:?}");
    assert!(seen.len() > 2, "{kind}: damage that nobody notices: {seen:?}");
}

/// One endorsement with some bytes changed, cut or swapped for another.
fn damage_one(endorsements: &mut [Vec<u8>], random: &mut StdRng) {
    let chosen = random.gen_range(0..endorsements.len());
    let mut mutator = Mutator::new(random.r#gen(), Form::Binary, vec![endorsements[chosen].clone()]);
    endorsements[chosen] = mutator.damaged();
}

/// The front of one capture and the end of another, at one place.
fn splice(evidence: &mut Vec<u8>, captures: &[Capture], random: &mut StdRng) {
    let other = &captures[random.gen_range(0..captures.len())].evidence;
    let at = random.gen_range(0..=evidence.len().min(other.len()));
    evidence.truncate(at);
    evidence.extend_from_slice(&other[at..]);
    // Spliced where both still agree it is the whole of another capture, which may well be genuine here.
    if captures.iter().any(|capture| capture.evidence == *evidence) {
        evidence.truncate(evidence.len() / 2);
    }
}

/// What an endorsement that was not used cannot change.
fn without_notes(claims: &PlatformClaims) -> PlatformClaims {
    PlatformClaims { not_checked: Vec::new(), ..claims.clone() }
}

#[test]
fn no_damaged_snp_report_is_accepted() {
    let kind = EvidenceKind::new(EvidenceKind::SEV_SNP);
    let names = ["milan-v3-ms", "siena-v5-lunal-evidence", "turin-v5-ms", "milan-v3-coco-aws-VLEK"];
    damage(&kind, &captures(&kind, &names), <[u8]>::to_vec, |_, _, _| ());
}

#[test]
fn no_damaged_azure_blob_is_accepted() {
    let kind = EvidenceKind::new(EvidenceKind::AZURE_HCL);
    let names = ["hcl-snp-12afe089", "hcl-snp-47a66c13", "hcl-snp-80af4373", "hcl-tdx-380fa191"];
    // CPUSVN and MAC of a TDREPORT can be checked by the CPU alone that made it; the TDX quote stands for both.
    let counted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if bytes.get(0x4c8) == Some(&4) {
            bytes[0x20 + 16..0x20 + 32].fill(0);
            bytes[0x20 + 224..0x20 + 256].fill(0);
        }
        bytes
    };
    damage(&kind, &captures(&kind, &names), counted, |_, _, _| ());
}

#[test]
fn no_damaged_tdx_quote_is_accepted_and_dcap_qvl_agrees() {
    let kind = EvidenceKind::new(EvidenceKind::TDX);
    let names = ["v4-azure-live-90c06f", "v5-google-90c06f", "v5-td15ex-b0c06f-2026", "v4-gcp-cos113-00806f05"];
    let mut lenient: BTreeMap<&str, usize> = BTreeMap::new();
    damage(&kind, &captures(&kind, &names), <[u8]>::to_vec, |capture, evidence, verdict| {
        compare([&capture.evidence, evidence], &capture.endorsements[0], capture.at, verdict, &mut lenient);
    });
    println!("dcap-qvl takes what own code refuses: {lenient:?}");
}

/// dcap-qvl by itself, as nobody here uses it for a verdict.
fn dcap(evidence: &[u8], collateral: &[u8], at: UnixMillis) -> Result<dcap_qvl::TcbStatus, String> {
    let collateral: QuoteCollateralV3 = serde_json::from_slice(collateral).map_err(|why| why.to_string())?;
    let verifier = QuoteVerifier::new_prod().allow_debug(true).allow_service_td(true);
    let claims =
        verifier.verify_with_policy(evidence, collateral, at.seconds(), &QuotePolicy::claims_only(at.seconds()));
    claims.map(|claims| claims.tcb.status).map_err(|refusal| refusal.root_cause().to_string())
}

/// What is accepted here, dcap-qvl accepts with the same status or refuses for what policy here decides about. What it
/// accepts beyond that is spelled otherwise or padded inside, or has another root in its text: it brings its own and does
/// not read that one.
fn compare(
    [original, evidence]: [&[u8]; 2],
    collateral: &[u8],
    at: UnixMillis,
    verdict: &Verdict,
    lenient: &mut BTreeMap<&'static str, usize>,
) {
    match (verdict, dcap(evidence, collateral, at)) {
        (Ok(verified), Ok(theirs)) => {
            let ours = verified.claims().tcb_status.expect("a status");
            let name = theirs.to_string();
            let relaunch = verified.claims().tdx.as_deref().is_some_and(|tdx| tdx.tcb.relaunch_advised);
            let own = serde_json::to_value(ours).unwrap();
            assert!(relaunch || own == name.as_str(), "{ours:?} here, {name} there");
        }
        (Ok(verified), Err(refusal)) => {
            let claims = verified.claims();
            let unsupported = claims.tcb_status == Some(TcbStatus::NotSupported);
            let attributes = claims.sept_ve_disable != Some(true) || claims.migratable != Some(false);
            assert!(unsupported || attributes, "accepted here; dcap-qvl: {refusal}");
        }
        (Err(error), Ok(_)) => {
            let known = ["tdx-quote", "pem", "not-yet-valid", "expired"];
            let up_to_root = before_root(original);
            let only_root = up_to_root.len() < original.len() && evidence.starts_with(up_to_root);
            assert!(known.contains(&error.code()) || only_root, "dcap-qvl accepts; here: {error}");
            *lenient.entry(error.code()).or_default() += 1;
        }
        (Err(_), Err(_)) => {}
    }
}

/// A quote up to the last certificate of its chain.
fn before_root(quote: &[u8]) -> &[u8] {
    let begin = b"-----BEGIN ";
    let last = quote.windows(begin.len()).rposition(|window| window == begin);
    last.map_or(quote, |at| &quote[..at])
}

#[test]
fn dcap_qvl_says_the_same_about_every_captured_quote_at_every_time() {
    let kind = EvidenceKind::new(EvidenceKind::TDX);
    let (mut rows, mut lenient) = (0, BTreeMap::new());
    for case in Case::all("tdx") {
        for row in case.appraisals.iter().filter(|row| !row.endorsements.is_empty()) {
            let (evidence, endorsements) = (case.evidence_of(row), case.endorsements_of(row));
            let at = instant(row.at.as_deref().expect("a time"));
            let verdict = judge(&kind, &evidence, &endorsements, at);
            compare([&evidence, &evidence], &endorsements[0], at, &verdict, &mut lenient);
            rows += 1;
        }
    }
    println!("{rows} rows; dcap-qvl takes what own code refuses: {lenient:?}");
    assert!(shared().is_none() || rows > 60, "only {rows} rows");
}
