//! **Duty.** Captured blobs of Azure's confidential VMs through the production verifier: every case at every time of its
//! `case.json`, the captured vTPM quote, and blobs put together wrongly. **Spec.** EVIDENCE §4, §7.

use weighbridge_appraisal::unmet_rules;
use weighbridge_attest::{EvidenceError, RawEvidence, Verified, built_in_anchors, canonical_slice, verify};
use weighbridge_attest_types::{
    AppraisalPolicy, AzureEvidence, AzureTpmQuote, BoundValue, Canonical as _, Culprit, EvidenceKind, Grade,
    PlatformClaims, TcbStatus, UnixMillis,
};
use weighbridge_tests::vectors::{Appraisal, Case, instant};

/// The shared folder holds at least these; fewer would mean that cases were lost.
const CASES: usize = 12;
/// Any instant, for rows without one.
const SOME_TIME: UnixMillis = UnixMillis(1_790_812_800_000);

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

fn kind() -> EvidenceKind {
    EvidenceKind::new(EvidenceKind::AZURE_HCL)
}

fn verify_hcl(body: &[u8], endorsements: &[Vec<u8>], at: UnixMillis) -> Verdict {
    verify(&kind(), RawEvidence { body, certificates: &[] }, endorsements, &built_in_anchors(), at)
}

fn at_of(row: &Appraisal) -> UnixMillis {
    row.at.as_deref().map_or(SOME_TIME, instant)
}

/// Class of a row. A row of scope `binding` has no endorsements: what can be said without any is that the blob parses and
/// its report is about its claims; then only the endorsements are missing.
fn class_of(verdict: &Verdict, row: &Appraisal) -> &'static str {
    match verdict {
        Ok(verified) if unmet_rules(verified.claims(), &AppraisalPolicy::built_in()).is_empty() => "accepted",
        Ok(_) => "rejected",
        Err(EvidenceError::Unavailable(_)) if row.scope.as_deref() == Some("binding") => "accepted",
        Err(error) if error.culprit() == Culprit::Unsupported => "malformed",
        Err(error) => error.culprit().verdict(),
    }
}

#[test]
fn every_azure_case_gets_its_verdict_at_every_time() {
    let cases = Case::all("azure-hcl");
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for case in &cases {
        for row in &case.appraisals {
            let verdict = verify_hcl(&case.evidence_of(row), &case.endorsements_of(row), at_of(row));
            let class = class_of(&verdict, row);
            // What nobody published endorsements for has no verdict; it must never be accepted.
            let unpublished = row.expect == "not-appraisable" && class == "unavailable";
            let fits = class == row.expect || row.also_acceptable.iter().any(|other| other == class) || unpublished;
            let status = verdict.as_ref().ok().and_then(|verified| verified.claims().tcb_status);
            let wanted: Option<TcbStatus> =
                row.status.as_ref().map(|status| serde_json::from_value(status.as_str().into()).unwrap());
            if !fits || (wanted.is_some() && wanted != status) {
                let shown = verdict.as_ref().map_or_else(ToString::to_string, |ok| format!("{:?}", ok.claims()));
                wrong.push(format!("{} at {:?}: {class}, not {row:?}: {shown}", case.name, row.at));
            }
            rows += 1;
        }
    }
    println!("{rows} rows of {} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.is_empty() || cases.len() >= CASES, "{} cases", cases.len());
}

/// The row with all endorsements.
fn full(name: &str) -> Option<(Vec<u8>, Vec<Vec<u8>>, UnixMillis)> {
    let case = Case::named("azure-hcl", name)?;
    let mut rows = case.appraisals.iter();
    let row = rows.find(|row| row.expect == "accepted" && !row.endorsements.is_empty()).expect("a whole row");
    Some((case.evidence_of(row), case.endorsements_of(row), at_of(row)))
}

#[test]
fn claims_are_those_of_the_platform_inside_and_of_the_paravisor() {
    let Some((blob, endorsements, at)) = full("hcl-snp-80af4373") else { return };
    let claims = verify_hcl(&blob, &endorsements, at).unwrap().claims().clone();
    assert_eq!(
        (claims.kind.as_str(), claims.grade, claims.anchor.as_str()),
        ("azure-hcl", Grade::Attested, "AMD ARK-Genoa")
    );
    let azure = claims.azure.as_deref().unwrap();
    assert_eq!(azure.vm_id.as_deref(), Some("390CBCF5-6C67-4D9B-98EF-C3F1699CC8FC"));
    assert_eq!((azure.version, azure.secure_boot, azure.tpm_persisted), (2, Some(true), Some(true)));
    assert!(claims.snp.is_some() && claims.tdx.is_none() && claims.device.is_some());
    assert_eq!(claims.bound_value, BoundValue::Nothing);
    let (blob, endorsements, at) = full("hcl-tdx-380fa191").unwrap();
    let claims = verify_hcl(&blob, &endorsements, at).unwrap().claims().clone();
    assert_eq!((claims.anchor.as_str(), claims.tcb_status), ("Intel SGX Root CA", Some(TcbStatus::UpToDate)));
    assert!(claims.snp.is_none() && claims.tdx.is_some() && claims.device.is_some());
    // The same claims where the quote comes in the evidence instead of beside it.
    let (quote, collateral) = endorsements.split_first().unwrap();
    let used = canonical_slice(&kind(), &blob).unwrap().to_vec();
    let quote = canonical_slice(&EvidenceKind::new("tdx"), quote).unwrap().to_vec();
    let body = AzureEvidence { blob: used, tpm_quote: None, td_quote: Some(quote) }.to_bytes();
    assert_eq!(verify_hcl(&body, collateral, at).unwrap().claims(), &claims);
    assert_eq!(verify_hcl(&body, &[], at).unwrap_err().code(), "collateral-missing");
}

/// The captured quote is genuine and by the vTPM of a VM whose blob nobody published: it reads, and answers for no blob
/// that we have. (A quote by a software TPM under a key in a blob is among the tests of the scheme.)
#[test]
fn a_captured_vtpm_quote_is_read_and_answers_for_no_other_vm() {
    let Some(case) = Case::named("azure-hcl", "hcl-snp-5145bacd") else { return };
    let (attest, signature) = (case.read("tpm-quote.msg"), case.read("tpm-quote.sig"));
    for name in ["hcl-snp-5145bacd", "hcl-snp-47a66c13", "hcl-snp-12afe089", "hcl-snp-80af4373"] {
        let (blob, endorsements, at) = full(name).unwrap();
        let used = canonical_slice(&kind(), &blob).unwrap().to_vec();
        let with = |attest: Vec<u8>| {
            let quote = AzureTpmQuote { attest, signature: signature.clone(), pcrs: vec![] };
            let body = AzureEvidence { blob: used.clone(), tpm_quote: Some(quote), td_quote: None }.to_bytes();
            verify_hcl(&body, &endorsements, at).unwrap_err()
        };
        let error = with(attest.clone());
        let codes: Vec<_> = error.failures().iter().map(|failure| failure.code).collect();
        assert_eq!((error.culprit(), codes), (Culprit::Untrusted, vec!["tpm-quote-signature"]), "{name}");
        for length in 0..attest.len() {
            assert_eq!(with(attest[..length].to_vec()).code(), "tpm-quote", "{length}");
        }
    }
}

#[test]
fn a_blob_and_a_quote_that_do_not_belong_together_are_refused() {
    let Some((blob, endorsements, at)) = full("hcl-tdx-380fa191") else { return };
    let used = canonical_slice(&kind(), &blob).unwrap().to_vec();
    let alone = verify_hcl(&blob, &endorsements[1..], at).unwrap_err();
    assert_eq!((alone.code(), alone.culprit()), ("td-quote-missing", Culprit::Unavailable));
    // A genuine quote of another TD is none of this blob's, beside it or in it.
    let other = Case::named("tdx", "v4-dstack-quote-report-90c06f").unwrap();
    let row = other.appraisals.iter().find(|row| at_of(row) == at).expect("a row of the same time");
    let beside = [vec![other.evidence_of(row)], other.endorsements_of(row)].concat();
    assert_eq!(verify_hcl(&blob, &beside, at).unwrap_err().code(), "td-quote-missing");
    let foreign = canonical_slice(&EvidenceKind::new("tdx"), &beside[0]).unwrap().to_vec();
    let inside = AzureEvidence { blob: used.clone(), tpm_quote: None, td_quote: Some(foreign) }.to_bytes();
    let error = verify_hcl(&inside, &beside[1..], at).unwrap_err();
    assert_eq!((error.code(), error.culprit()), ("td-report-differs", Culprit::Untrusted));
    // Neither may the report in the blob say anything else than the quote: module, attributes, registers, hashes.
    let report = 0x20;
    for at_byte in [32, 79, 80, 127, 256, 264, 280, 400, 512, 520, 528, 719, 720, 911, 1023] {
        let mut changed = used.clone();
        changed[report + at_byte] ^= 1;
        let error = verify_hcl(&changed, &endorsements, at).unwrap_err();
        assert_eq!(error.code(), "td-report-differs", "byte {at_byte}");
    }
}
