//! **Duty.** Real captured SEV-SNP reports through the production verifier: every case at every time of its
//! `case.json`, and thousands of changed ones. **Spec.** EVIDENCE §3, §7.

use serde_json::Value;
use weighbridge_attest::{EvidenceError, RawEvidence, Verified, built_in_anchors, canonical_slice, verify};
use weighbridge_attest_types::{
    AppraisalPolicy, BoundValue, Culprit, Device, EvidenceKind, Grade, PlatformClaims, Requirement, SnpClaims,
    SnpSigner, SnpTcb, TrustAnchors, UnixMillis, Vmpl,
};
use weighbridge_tests::vectors::{Appraisal, Case, instant};

/// The shared folder holds at least these; fewer would mean that cases were lost.
const CASES: usize = 31;
/// Any instant, for cases whose endorsements nobody published.
const SOME_TIME: UnixMillis = UnixMillis(1_790_812_800_000);

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

fn verify_under(report: &[u8], endorsements: &[Vec<u8>], anchors: &TrustAnchors, at: UnixMillis) -> Verdict {
    let raw = RawEvidence { body: report, certificates: &[] };
    verify(&EvidenceKind::new(EvidenceKind::SEV_SNP), raw, endorsements, anchors, at)
}

fn verify_snp(report: &[u8], endorsements: &[Vec<u8>], at: UnixMillis) -> Verdict {
    verify_under(report, endorsements, &built_in_anchors(), at)
}

fn at_of(row: &Appraisal) -> UnixMillis {
    row.at.as_deref().map_or(SOME_TIME, instant)
}

fn snp_of(claims: &PlatformClaims) -> &SnpClaims {
    claims.snp.as_deref().expect("claims of the kind")
}

/// Minima in neutral words: what a row leaves out has none.
fn minimum(row: &Value, product_has_fmc: bool) -> Requirement<SnpTcb> {
    let part = |name: &str| u8::try_from(row[name].as_u64().unwrap_or(0)).unwrap();
    Requirement::AtLeast(SnpTcb {
        fmc: product_has_fmc.then(|| part("fmc")),
        bootloader: part("bootloader"),
        tee: part("tee"),
        snp: part("snp"),
        microcode: part("microcode"),
    })
}

/// EVIDENCE §3.3 with the default policy's own requirements, as changed by the row; the rules that fail.
fn appraise(claims: &PlatformClaims, changes: &Value) -> Vec<&'static str> {
    let (changes, snp) = (&changes["snp"], snp_of(claims));
    let mut policy = AppraisalPolicy::built_in();
    let mut reported = policy.sev_snp.tcb(snp.product).reported.clone();
    if changes["min_reported_tcb"].is_object() {
        reported = minimum(&changes["min_reported_tcb"], snp.tcb.reported.fmc.is_some());
    }
    if let Some(most) = changes["max_vmpl"].as_u64() {
        policy.sev_snp.vmpl = Requirement::OneOf((0..=u32::try_from(most).unwrap()).map(Vmpl).collect());
    }
    if changes["expected_measurement"].is_array() {
        policy.measurement =
            Requirement::OneOf(serde_json::from_value(changes["expected_measurement"].clone()).unwrap());
    }
    let measurement = claims.measurement.as_ref().map(hex::encode);
    let rules = [
        ("debug", policy.debug.is_met_by(claims.debug.as_ref())),
        ("migration", policy.migratable.is_met_by(claims.migratable.as_ref())),
        ("tcb-below-minimum", reported.is_met_by(Some(&snp.tcb.reported))),
        ("vmpl", policy.sev_snp.vmpl.is_met_by(Some(&Vmpl(snp.vmpl)))),
        ("measurement-mismatch", policy.measurement.is_met_by(measurement.as_ref())),
    ];
    rules.into_iter().filter(|(_, met)| !met).map(|(rule, _)| rule).collect()
}

/// Class and status of one row, in the words of `case.json`.
fn judge(verdict: Verdict, row: &Appraisal) -> (&'static str, Option<&'static str>) {
    let verified = match verdict {
        Ok(verified) => verified,
        Err(error) => return (class_of(&error), status_of(&error)),
    };
    let failed = appraise(verified.claims(), &row.policy);
    if let Some(first) = failed.first() {
        return ("rejected", Some(first));
    }
    let Some(wanted) = row.policy["snp"]["expected_report_data"].as_str() else {
        return ("accepted", None);
    };
    let wanted = hex::decode(wanted).unwrap().try_into().unwrap();
    match verified.bind(&BoundValue::ReportData(wanted)) {
        Ok(_) => ("accepted", None),
        Err(EvidenceError::Unbound(_)) => ("rejected", Some("report-data-mismatch")),
        Err(error) => (class_of(&error), None),
    }
}

fn class_of(error: &EvidenceError) -> &'static str {
    match error.culprit() {
        Culprit::Unsupported => "malformed",
        culprit => culprit.verdict(),
    }
}

/// The date failures have names in `case.json`; where another failure stands beside them the date alone is not the why.
fn status_of(error: &EvidenceError) -> Option<&'static str> {
    let codes: Vec<&str> = error.failures().iter().map(|failure| failure.code).collect();
    match codes.as_slice() {
        ["expired"] => Some("expired-endorsement"),
        ["not-yet-valid"] => Some("endorsement-not-yet-valid"),
        _ => None,
    }
}

#[test]
fn every_snp_case_gets_its_verdict_at_every_time() {
    let cases = Case::all("sev-snp");
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for case in &cases {
        for row in &case.appraisals {
            let verdict = verify_snp(&case.evidence_of(row), &case.endorsements_of(row), at_of(row));
            let shown = verdict.as_ref().map_or_else(ToString::to_string, |ok| format!("{:?}", ok.claims()));
            let (class, status) = judge(verdict, row);
            // What nobody published endorsements for has no verdict; it must never be accepted.
            let unpublished = row.expect == "not-appraisable" && class == "unavailable";
            let fits = class == row.expect || row.also_acceptable.iter().any(|other| other == class) || unpublished;
            if !fits || (row.status.is_some() && row.status.as_deref() != status) {
                wrong.push(format!("{} at {:?}: {class} {status:?}, not {row:?}: {shown}", case.name, row.at));
            }
            rows += 1;
        }
    }
    println!("{rows} rows of {} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.is_empty() || cases.len() >= CASES, "{} cases", cases.len());
}

/// An accepted row of each product line, and one under a VLEK.
fn accepted() -> Vec<(Vec<u8>, Vec<Vec<u8>>, UnixMillis)> {
    let of = |name| {
        let case = Case::named("sev-snp", name)?;
        let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
        Some((case.evidence_of(row), case.endorsements_of(row), at_of(row)))
    };
    ["milan-v3-ms", "siena-v5-lunal-evidence", "turin-v5-ms", "milan-v3-coco-aws-VLEK"]
        .into_iter()
        .filter_map(of)
        .collect()
}

#[test]
fn claims_say_what_the_report_says() {
    let all: Vec<PlatformClaims> = accepted()
        .into_iter()
        .map(|(report, endorsements, at)| verify_snp(&report, &endorsements, at).unwrap().claims().clone())
        .collect();
    let Some([milan, siena, turin, vlek]) = all.first_chunk() else { return };
    for claims in &all {
        assert_eq!((claims.grade, claims.debug, claims.migratable), (Grade::Attested, Some(false), Some(false)));
        assert_eq!((claims.tcb_status, claims.sept_ve_disable), (None, None));
        let open: Vec<&str> = claims.not_checked.iter().map(|open| open.code.as_str()).collect();
        assert_eq!(open, ["snp-crl"]);
    }
    let names = [milan, siena, turin, vlek].map(|claims| claims.anchor.as_str());
    assert_eq!(names, ["AMD ARK-Milan", "AMD ARK-Genoa", "AMD ARK-Turin", "AMD ARK-Milan"]);
    let tcb = SnpTcb { fmc: Some(1), bootloader: 1, tee: 1, snp: 4, microcode: 81 };
    assert_eq!(snp_of(turin).tcb.reported, tcb);
    let tcb = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 217 };
    assert_eq!(snp_of(vlek).tcb.reported, tcb);
    assert_eq!((snp_of(vlek).signer, snp_of(vlek).vmpl), (SnpSigner::Vlek, 1));
    assert_eq!(snp_of(vlek).csp_id.as_deref(), Some("CN=cc-us-east-2.amazonaws.com"));
    let devices: Vec<Option<Device>> = all.iter().map(|claims| claims.device).collect();
    assert!(devices[..3].iter().all(Option::is_some) && devices[3].is_none());
    // 2025-12-10T22:14:21Z, the end of the VLEK's year.
    assert_eq!(vlek.valid_until, UnixMillis(1_765_404_861_000));
}

#[test]
fn no_changed_bit_of_a_report_is_accepted() {
    for (report, endorsements, at) in accepted() {
        for bit in 0..report.len() * 8 {
            let mut changed = report.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = verify_snp(&changed, &endorsements, at).expect_err(&format!("bit {bit}"));
            let known = matches!(error, EvidenceError::Malformed(_) | EvidenceError::Untrusted(_));
            assert!(known, "bit {bit}: {error}");
        }
        for length in (0..report.len()).chain([report.len() + 1, 2 * report.len(), 1 << 20]) {
            let mut resized = report.clone();
            resized.resize(length, 0);
            let error = verify_snp(&resized, &endorsements, at).unwrap_err();
            assert!(matches!(error, EvidenceError::Malformed(_)), "length {length}: {error}");
        }
        assert_eq!(canonical_slice(&EvidenceKind::new("sev-snp"), &report), Ok(&report[..]));
    }
}

#[test]
fn no_splice_of_two_reports_is_accepted() {
    let all = accepted();
    for (report, endorsements, at) in &all {
        for (other, others, _) in all.iter().filter(|(other, ..)| other != report) {
            for cut in (0..report.len()).step_by(16).filter(|cut| *cut > 0) {
                let spliced = [&report[..cut], &other[cut..]].concat();
                // Only the zeros behind the signature are the same in both.
                if spliced == *report || spliced == *other {
                    continue;
                }
                let both = [endorsements.clone(), others.clone()].concat();
                assert!(verify_snp(&spliced, &both, *at).is_err(), "cut at {cut}");
            }
        }
    }
}

#[test]
fn no_changed_bit_of_a_vek_certificate_is_accepted() {
    for (report, endorsements, at) in accepted() {
        for bit in (0..endorsements[0].len() * 8).step_by(5) {
            let mut changed = endorsements.clone();
            changed[0][bit / 8] ^= 1 << (bit % 8);
            let error = verify_snp(&report, &changed, at).expect_err(&format!("bit {bit}"));
            // A file that no longer looks like AMD's is as good as absent.
            let known = matches!(error, EvidenceError::Untrusted(_) | EvidenceError::Unavailable(_));
            assert!(known, "bit {bit}: {error}");
        }
    }
}

#[test]
fn crossed_certificates_and_roots_are_refused() {
    let all = accepted();
    let Some([milan, _, turin, vlek]) = all.first_chunk() else { return };
    let codes = |report: &[u8], endorsements: &[Vec<u8>], at| {
        let error = verify_snp(report, endorsements, at).unwrap_err();
        (error.culprit(), error.failures().iter().map(|failure| failure.code).collect::<Vec<_>>())
    };
    // Another product's VEK and chain, all genuine.
    let (culprit, found) = codes(&milan.0, &turin.1, milan.2);
    assert_eq!(culprit, Culprit::Untrusted);
    assert!(found.contains(&"report-signature") && found.contains(&"vek-tcb-differs"), "{found:?}");
    // Another chip's VEK of the same TCB.
    let other = Case::named("sev-snp", "milan-v3-azure-coco-v2").unwrap();
    let crossed = codes(&milan.0, &other.endorsements_of(&other.appraisals[0]), milan.2);
    assert_eq!(crossed, (Culprit::Untrusted, vec!["vek-chip-differs", "report-signature"]));
    // The other product's issuers beside the right VEK.
    let mixed = [milan.1[0].clone(), turin.1[1].clone(), turin.1[2].clone()];
    assert_eq!(codes(&milan.0, &mixed, milan.2), (Culprit::Untrusted, vec!["chain-of-another-product"]));
    // A year is over for the VLEK while chips' keys go on.
    assert_eq!(codes(&vlek.0, &vlek.1, milan.2), (Culprit::Untrusted, vec!["expired"]));
    let error = verify_under(&milan.0, &milan.1, &TrustAnchors::default(), milan.2).unwrap_err();
    assert_eq!((error.code(), error.culprit()), ("unknown-root", Culprit::Untrusted));
    // All of them at once: each report finds its own.
    let fleet: Vec<Vec<u8>> = all.iter().flat_map(|(_, endorsements, _)| endorsements.clone()).collect();
    for (report, endorsements, at) in &all {
        assert_eq!(verify_snp(report, &fleet, *at), verify_snp(report, endorsements, *at));
    }
}
