//! **Duty.** Real captured evidence through the production verifier: every TDX case at every time of its `case.json`,
//! and real pieces of both vendors in one set. A wrong verdict here is the worst bug there is. **Spec.** EVIDENCE §7.

use serde_json::Value;
use weighbridge_attest::{
    EvidenceError, RawEvidence, Verified, built_in_anchors, canonical_slice, pem_certificates, verify, verify_set,
};
use weighbridge_attest_types::{
    AppraisalPolicy, Binding, BoundValue, Challenge, Culprit, DeviceEvidence, Digest32, EvidenceEnvelope, EvidenceKind,
    EvidenceSet, Grade, PlatformClaims, Requirement, TcbStatus, TrustAnchors, UnixMillis,
};
use weighbridge_tests::vectors::{Appraisal, Case, instant};
use weighbridge_tests::{shared, skipped};

/// The shared folder holds at least these; fewer would mean that cases were lost.
const TDX_CASES: usize = 32;

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

fn verify_tdx(quote: &[u8], endorsements: &[Vec<u8>], at: UnixMillis) -> Verdict {
    let raw = RawEvidence { body: quote, certificates: &[] };
    verify(&EvidenceKind::new("tdx"), raw, endorsements, &built_in_anchors(), at)
}

/// The class of an error as `case.json` spells it. What a caller asked for and did not get is rejected (PROTOCOL §6).
fn class_of(error: &EvidenceError) -> &'static str {
    match error {
        EvidenceError::Unbound(_) => "rejected",
        other => match other.culprit() {
            Culprit::Unsupported => "malformed",
            culprit => culprit.verdict(),
        },
    }
}

/// EVIDENCE §2.5 with the default policy's own requirements, as changed by the row.
fn appraise_tdx(claims: &PlatformClaims, changes: &Value) -> &'static str {
    let changes = &changes["tdx"];
    let mut policy = AppraisalPolicy::built_in();
    if let Value::Array(_) = changes["allowed_tcb_statuses"] {
        policy.tcb_status =
            Requirement::OneOf(serde_json::from_value(changes["allowed_tcb_statuses"].clone()).unwrap());
    }
    if let Value::Array(_) = changes["expected_mrtd"] {
        policy.measurement = Requirement::OneOf(serde_json::from_value(changes["expected_mrtd"].clone()).unwrap());
    }
    let measurement = claims.measurement.as_ref().map(hex::encode);
    let met = policy.debug.is_met_by(claims.debug.as_ref())
        && policy.sept_ve_disable.is_met_by(claims.sept_ve_disable.as_ref())
        && policy.migratable.is_met_by(claims.migratable.as_ref())
        && policy.tcb_status.is_met_by(claims.tcb_status.as_ref())
        && policy.measurement.is_met_by(measurement.as_ref());
    if met { "accepted" } else { "rejected" }
}

/// The verdict on one TDX row.
fn judge_tdx(verdict: Verdict, row: &Appraisal) -> &'static str {
    let verified = match verdict {
        Ok(verified) => verified,
        Err(error) => return class_of(&error),
    };
    let class = appraise_tdx(verified.claims(), &row.policy);
    match row.policy["tdx"]["expected_report_data"].as_str() {
        None => class,
        Some(wanted) => {
            let wanted = hex::decode(wanted).unwrap().try_into().unwrap();
            verified.bind(&BoundValue::ReportData(wanted)).map_or_else(|error| class_of(&error), |_| class)
        }
    }
}

/// The details that a row names: TCB status and advisories of what verified, the date failure of what did not.
fn details_differ(verdict: &Verdict, row: &Appraisal) -> Option<String> {
    match (verdict, row.status.as_deref()) {
        (_, None) => None,
        (Err(error), Some("PckNotYetValid")) => {
            (!error.failures().contains("not-yet-valid")).then(|| error.to_string())
        }
        (Err(error), Some(status)) => Some(format!("status {status} expected, refused: {error}")),
        (Ok(verified), Some(status)) => {
            let claims = verified.claims();
            let wanted: TcbStatus = serde_json::from_value(status.into()).unwrap();
            let mut advisories = row.advisories.clone().unwrap_or_else(|| claims.advisories.clone());
            advisories.sort();
            let same = claims.tcb_status == Some(wanted) && claims.advisories == advisories;
            (!same).then(|| format!("{:?} {:?}, not {status} {advisories:?}", claims.tcb_status, claims.advisories))
        }
    }
}

#[test]
fn every_tdx_case_gets_its_verdict_at_every_time() {
    let cases = Case::all("tdx");
    let mut wrong = Vec::new();
    let mut rows = 0;
    for case in &cases {
        for row in &case.appraisals {
            let at = instant(row.at.as_deref().expect("every TDX row names a time"));
            let verdict = verify_tdx(&case.evidence_of(row), &case.endorsements_of(row), at);
            let shown =
                verdict.as_ref().map_or_else(ToString::to_string, |verified| format!("{:?}", verified.claims()));
            wrong.extend(details_differ(&verdict, row).map(|why| format!("{} at {:?}: {why}", case.name, row.at)));
            let class = judge_tdx(verdict, row);
            // What nobody published endorsements for has no verdict; it must never be accepted.
            let unpublished = row.expect == "not-appraisable" && class == "unavailable";
            if class != row.expect && !row.also_acceptable.iter().any(|other| other == class) && !unpublished {
                wrong.push(format!("{} at {:?}: {class}, not {}: {shown}", case.name, row.at, row.expect));
            }
            rows += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.is_empty() || cases.len() >= TDX_CASES, "{} cases", cases.len());
}

#[test]
fn a_tdx_verdict_holds_exactly_within_its_window() {
    let mut checked = 0;
    for case in Case::all("tdx") {
        for row in &case.appraisals {
            let (Some([from, until]), quote, endorsements) =
                (&row.window, case.evidence_of(row), case.endorsements_of(row))
            else {
                continue;
            };
            let at = |offset: i64, text: &str| UnixMillis(instant(text).0.checked_add_signed(offset).unwrap());
            let Ok(inside) = verify_tdx(&quote, &endorsements, instant(row.at.as_deref().unwrap())) else {
                continue;
            };
            let claims = inside.claims();
            assert_eq!((claims.valid_until, claims.grade), (instant(until), Grade::Attested), "{}", case.name);
            let end = verify_tdx(&quote, &endorsements, at(0, until));
            assert_eq!(end.as_ref().map(Verified::claims), Ok(claims), "{} at {until}", case.name);
            // A window speaks of the collateral; a PCK certificate may be younger.
            match verify_tdx(&quote, &endorsements, at(0, from)) {
                Ok(start) => assert_eq!(start.claims(), claims, "{} at {from}", case.name),
                Err(error) => {
                    let all: Vec<_> = error.failures().iter().collect();
                    let pck = all.iter().all(|failure| failure.message.contains("Intel SGX PCK Certificate"));
                    assert!(pck && all.len() == 1 && error.code() == "not-yet-valid", "{}: {error}", case.name);
                }
            }
            for (outside, code) in [(at(-1, from), "not-yet-valid"), (at(1, until), "expired")] {
                let error = verify_tdx(&quote, &endorsements, outside).unwrap_err();
                assert!(
                    matches!(&error, EvidenceError::Untrusted(all) if all.contains(code)),
                    "{}: {error}",
                    case.name
                );
            }
            checked += 1;
        }
    }
    assert!(shared().is_none() || checked > 20, "only {checked} windows");
}

#[test]
fn several_collaterals_at_once_do_not_change_a_verdict() {
    for case in Case::all("tdx") {
        let all: Vec<Vec<u8>> = case.appraisals.iter().flat_map(|row| case.endorsements_of(row)).collect();
        for row in case.appraisals.iter().filter(|row| row.expect == "accepted") {
            let at = instant(row.at.as_deref().unwrap());
            let claims = |endorsements: &[Vec<u8>]| {
                let verdict = verify_tdx(&case.evidence_of(row), endorsements, at).unwrap();
                (verdict.claims().tcb_status, verdict.claims().device)
            };
            assert_eq!(claims(&all), claims(&case.endorsements_of(row)), "{}", case.name);
        }
    }
}

/// A version 4 and a version 5 quote with the collateral that accepts them.
fn accepted_quotes() -> Vec<(Vec<u8>, Vec<Vec<u8>>, UnixMillis)> {
    let of = |name| {
        let case = Case::named("tdx", name)?;
        let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
        let at = instant(row.at.as_deref().unwrap());
        Some((case.evidence_of(row), case.endorsements_of(row), at))
    };
    ["v4-azure-live-90c06f", "v5-google-90c06f"].into_iter().filter_map(of).collect()
}

#[test]
fn no_changed_bit_of_a_quote_is_accepted_as_the_same_quote() {
    let kind = EvidenceKind::new("tdx");
    for (quote, endorsements, at) in accepted_quotes() {
        let canonical = canonical_slice(&kind, &quote).unwrap().len();
        let pem = quote.windows(11).position(|window| window == b"-----BEGIN ").unwrap();
        for bit in 0..pem * 8 {
            let mut changed = quote.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = verify_tdx(&changed, &endorsements, at).expect_err(&format!("bit {bit}"));
            let known = matches!(error, EvidenceError::Malformed(_) | EvidenceError::Untrusted(_));
            assert!(known, "bit {bit}: {error}");
        }
        // The chain is not signed as text: a changed bit there may not give another platform, and mostly gives nothing.
        let device = verify_tdx(&quote, &endorsements, at).unwrap().claims().device;
        for byte in pem..canonical {
            let mut changed = quote.clone();
            changed[byte] ^= 4;
            if let Ok(verified) = verify_tdx(&changed, &endorsements, at) {
                assert_eq!(verified.claims().device, device, "byte {byte}");
            }
        }
        for length in 0..canonical - 1 {
            let error = verify_tdx(&quote[..length], &endorsements, at).unwrap_err();
            assert!(matches!(error, EvidenceError::Malformed(_)), "length {length}: {error}");
        }
    }
}

#[test]
fn padding_behind_a_quote_is_ignored_and_a_foreign_root_is_unknown() {
    for (quote, endorsements, at) in accepted_quotes() {
        let claims = verify_tdx(&quote, &endorsements, at).unwrap();
        let padded = [&quote[..], &[7; 39]].concat();
        assert_eq!(verify_tdx(&padded, &endorsements, at), Ok(claims));
        let raw = RawEvidence { body: &quote, certificates: &[] };
        let error = verify(&EvidenceKind::new("tdx"), raw, &endorsements, &TrustAnchors::default(), at).unwrap_err();
        assert_eq!((error.code(), error.culprit()), ("unknown-root", Culprit::Untrusted));
    }
}

#[test]
fn crossed_collateral_is_refused() {
    let Some(shared) = shared() else { return skipped("crossed collateral: no shared folder") };
    let case = Case::named("tdx", "v4-azure-live-90c06f").unwrap();
    let row = &case.appraisals[3];
    let (quote, at) = (case.evidence_of(row), instant(row.at.as_deref().unwrap()));
    let genuine: Value = serde_json::from_slice(&case.endorsements_of(row)[0]).unwrap();
    let code = |change: &dyn Fn(&mut Value)| {
        let mut collateral = genuine.clone();
        change(&mut collateral);
        let error = verify_tdx(&quote, &[collateral.to_string().into_bytes()], at).unwrap_err();
        (error.code(), error.culprit())
    };
    // The other authority's list tells nothing about this PCK, although it is genuine and current.
    let processor = std::fs::read(shared.join("vectors/_pool/intel-collateral/crl_processor_2026-01-12_6c7a9f.der"));
    let processor = hex::encode(processor.unwrap());
    assert_eq!(code(&|json| json["pck_crl"] = processor.clone().into()), ("crl-issuer", Culprit::Untrusted));
    assert_eq!(code(&|json| json["root_ca_crl"] = json["pck_crl"].clone()), ("crl-issuer", Culprit::Untrusted));
    // The signer of a quote's own chain may not sign collateral.
    let swapped: &dyn Fn(&mut Value) = &|json| json["tcb_info_issuer_chain"] = json["pck_crl_issuer_chain"].clone();
    assert_eq!(code(swapped), ("certificate-role", Culprit::Untrusted));
    assert_eq!(code(&|json| json["tcb_info"] = "{}".into()), ("collateral-unreadable", Culprit::Untrusted));

    let other = Case::named("tdx", "v4-gcp-cos113-00806f05").unwrap();
    let foreign = other.endorsements_of(&other.appraisals[0]);
    let error = verify_tdx(&quote, &foreign, at).unwrap_err();
    assert_eq!((error.code(), error.culprit()), ("collateral-missing", Culprit::Unavailable));
}

#[test]
fn genuine_evidence_about_something_else_does_not_bind_a_set() {
    let Some(gpu) = Case::named("nvidia-gpu", "h100-550.90.07-full") else { return };
    let (quote, endorsements, at) = accepted_quotes().remove(0);
    let row = &gpu.appraisals[0];
    let (report, chain) = (gpu.evidence_of(row), gpu.read("chain.pem"));
    let (certificates, kind) = (pem_certificates(&chain).unwrap(), EvidenceKind::new("nvidia-gpu"));
    let raw = RawEvidence { body: &report, certificates: &certificates };
    let verified = verify(&kind, raw, &[], &built_in_anchors(), at).unwrap();
    let device = DeviceEvidence { device: verified.claims().device.unwrap(), kind, report, certificates };
    let set = EvidenceSet {
        binding: Binding::key(Digest32([1; 32]), Challenge::None),
        cpu: EvidenceEnvelope { kind: EvidenceKind::new("tdx"), body: quote },
        devices: vec![device],
    };
    let codes = |change: &dyn Fn(&mut EvidenceSet)| {
        let mut set = set.clone();
        change(&mut set);
        let error = verify_set(&set, &endorsements, &built_in_anchors(), at).unwrap_err();
        let codes: Vec<_> = error.failures().iter().map(|failure| failure.code).collect();
        (error.culprit(), codes)
    };
    let bound_elsewhere = codes(&|_| {});
    assert_eq!(bound_elsewhere, (Culprit::Untrusted, vec!["report-data-differs", "nonce-differs"]));
    let padded = codes(&|set| set.devices[0].report.push(0));
    assert_eq!(padded, (Culprit::Malformed, vec!["report-not-canonical"]));
    let padded = codes(&|set| set.cpu.body.push(0));
    assert_eq!(padded, (Culprit::Malformed, vec!["report-not-canonical"]));
    let twice = codes(&|set| set.devices.push(set.devices[0].clone()));
    assert_eq!(twice, (Culprit::Untrusted, vec!["device-repeated"]));
    let renamed = codes(&|set| set.devices[0].device.0 = Digest32([0; 32]));
    assert_eq!(renamed, (Culprit::Untrusted, vec!["device-differs"]));
    let of_a_run = codes(&|set| set.binding.index = 3);
    assert_eq!(of_a_run, (Culprit::Malformed, vec!["binding-inconsistent"]));
    let swapped = codes(&|set| set.cpu.kind = EvidenceKind::new("sev-snp"));
    assert_eq!(swapped, (Culprit::Malformed, vec!["snp-report"]));
    let foreign = codes(&|set| set.cpu.kind = EvidenceKind::new("sgx"));
    assert_eq!(foreign, (Culprit::Unsupported, vec!["kind-unknown"]));
}
