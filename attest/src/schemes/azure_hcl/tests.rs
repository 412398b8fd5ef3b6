//! Self-made blobs around reports of a self-made AMD chain, with a self-made vTPM key: what no capture has.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::SeedableRng as _;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use weighbridge_attest_types::{
    AzureEvidence, AzureTpmQuote, Binding, BoundValue, Canonical as _, Challenge, Culprit, DeviceEvidence, Digest32,
    EvidenceEnvelope, EvidenceKind, EvidenceSet, PlatformClaims, TpmPcr, TrustAnchors, device_evidence_digest, sha256,
};

use super::super::sev_snp::tests::{NOW, Scene, milan, randomness};
use crate::endorsements::Endorsements;
use crate::error::EvidenceError;
use crate::scheme::RawEvidence;
use crate::schemes::{canonical_slice, verify};
use crate::set::verify_set;
use crate::verified::Verified;

fn kind() -> EvidenceKind {
    EvidenceKind::new(EvidenceKind::AZURE_HCL)
}

/// The vTPM's key; another number is another VM's.
fn attestation_key(number: u64) -> &'static RsaKeyPair {
    static KEYS: [OnceLock<RsaKeyPair>; 2] = [const { OnceLock::new() }; 2];
    KEYS[usize::try_from(number).unwrap()].get_or_init(|| {
        let mut random = rand::rngs::StdRng::seed_from_u64(number);
        let key = rsa::RsaPrivateKey::new(&mut random, 2048).unwrap();
        RsaKeyPair::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap()
    })
}

fn modulus(number: u64) -> Vec<u8> {
    ring::rsa::PublicKeyComponents::<Vec<u8>>::from(attestation_key(number).public()).n
}

fn jwk(name: &str, modulus: &[u8]) -> serde_json::Value {
    let n = URL_SAFE_NO_PAD.encode(modulus);
    serde_json::json!({ "kid": name, "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": n })
}

fn claims_json() -> serde_json::Value {
    let keys = [jwk("HCLAkPub", &modulus(0)), jwk("HCLEkPub", &[0x99; 256])];
    let vm = serde_json::json!({ "console-enabled": true, "secure-boot": false, "vmUniqueId": "7DF7B373" });
    serde_json::json!({ "keys": keys, "vm-configuration": vm, "user-data": "00" })
}

fn blob(version: u32, report_type: u32, report: &[u8], claims: &[u8]) -> Vec<u8> {
    let claims_size = u32::try_from(claims.len()).unwrap();
    let data_size = claims_size + 20;
    let header = [u32::from_le_bytes(*b"HCLA"), version, 0x4c0 + data_size, 2, 0, 0, 0, 0];
    let data = [data_size, 1, report_type, 1, claims_size];
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut place = report.to_vec();
    place.resize(1184, 0);
    [words(&header), place, words(&data), claims.to_vec()].concat()
}

/// A report of the self-made chain that is about these claims.
fn scene_about(claims: &[u8]) -> Scene {
    let digest = sha256(claims).0;
    milan().with_report(|report| report[0x50..0x70].copy_from_slice(&digest))
}

fn vm() -> (Scene, Vec<u8>) {
    let claims = claims_json().to_string().into_bytes();
    let scene = scene_about(&claims);
    let blob = blob(2, 2, &scene.report, &claims);
    (scene, blob)
}

fn pcrs() -> Vec<TpmPcr> {
    [0, 7, 14].map(|index| TpmPcr { index, value: Digest32([index; 32]) }).to_vec()
}

/// A quote over three PCRs.
fn attest(extra_data: &[u8]) -> Vec<u8> {
    let digest = sha256(&pcrs().iter().flat_map(|pcr| pcr.value.0).collect::<Vec<u8>>());
    let size = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let name = [&[0, 0x0b][..], &[5; 32]].concat();
    let clock = [&7u64.to_be_bytes()[..], &3u32.to_be_bytes(), &1u32.to_be_bytes(), &[1], &9u64.to_be_bytes()].concat();
    let selection = [&1u32.to_be_bytes()[..], &[0, 0x0b, 3, 0b1000_0001, 0b0100_0000, 0]].concat();
    let parts: [&[u8]; 9] = [
        b"\xffTCG\x80\x18",
        &size(&name),
        &name,
        &size(extra_data),
        extra_data,
        &clock,
        &selection,
        &[0, 32],
        &digest.0,
    ];
    parts.concat()
}

fn signed_by(number: u64, attest: Vec<u8>) -> AzureTpmQuote {
    let mut signature = vec![0; 256];
    attestation_key(number).sign(&RSA_PKCS1_SHA256, &randomness(), &attest, &mut signature).unwrap();
    AzureTpmQuote { attest, signature, pcrs: pcrs() }
}

fn composed(blob: &[u8], tpm_quote: Option<AzureTpmQuote>) -> Vec<u8> {
    AzureEvidence { blob: blob.to_vec(), tpm_quote, td_quote: None }.to_bytes()
}

fn judge(scene: &Scene, body: &[u8]) -> Result<Verified<PlatformClaims>, EvidenceError> {
    verify(&kind(), RawEvidence { body, certificates: &[] }, &scene.endorsements, &scene.anchors, NOW)
}

fn refused(scene: &Scene, body: &[u8]) -> (Culprit, Vec<&'static str>) {
    let error = judge(scene, body).unwrap_err();
    (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
}

const REPORT_DATA: [u8; 64] = [7; 64];

fn extra_data() -> Vec<u8> {
    sha256(&REPORT_DATA).0.to_vec()
}

#[test]
fn a_blob_alone_proves_a_vm_and_answers_nobody() {
    let (scene, blob) = vm();
    let verified = judge(&scene, &blob).unwrap();
    let claims = verified.claims();
    let inner = scene_about(claims_json().to_string().as_bytes());
    let raw = RawEvidence { body: &scene.report, certificates: &[] };
    let snp = EvidenceKind::new(EvidenceKind::SEV_SNP);
    let platform = verify(&snp, raw, &inner.endorsements, &inner.anchors, NOW).unwrap();
    assert_eq!((claims.device, &claims.snp), (platform.claims().device, &platform.claims().snp));
    assert_eq!((claims.kind.as_str(), claims.grade), ("azure-hcl", platform.claims().grade));
    assert_eq!(claims.bound_value, BoundValue::Nothing);
    let azure = claims.azure.as_deref().unwrap();
    assert_eq!((azure.version, azure.attestation_key), (2, sha256(&modulus(0))));
    assert_eq!((azure.vm_id.as_deref(), azure.secure_boot, azure.tpm_persisted), (Some("7DF7B373"), Some(false), None));
    assert!(azure.tpm_quote.is_none());
    let open: Vec<&str> = claims.not_checked.iter().map(|open| open.code.as_str()).collect();
    assert_eq!(open, ["snp-crl", "azure-tpm-quote"]);
    let error = verified.bind(&BoundValue::ReportData(REPORT_DATA)).unwrap_err();
    assert!(matches!(&error, EvidenceError::Unbound(_)) && error.to_string().contains("answers nobody"), "{error}");
    // Zeros behind the used part do not count; the older blobs are shorter.
    let padded = [&blob[..], &[0; 300]].concat();
    assert_eq!(judge(&scene, &padded), judge(&scene, &blob));
    assert_eq!(canonical_slice(&kind(), &padded), Ok(&blob[..]));
    assert!(refused(&scene, &[&blob[..], &[0, 1]].concat()) == (Culprit::Malformed, vec!["hcl-blob"]));
}

#[test]
fn a_tpm_quote_makes_the_blob_answer() {
    let (scene, blob) = vm();
    let body = composed(&blob, Some(signed_by(0, attest(&extra_data()))));
    assert_eq!(canonical_slice(&kind(), &body), Ok(&body[..]));
    let verified = judge(&scene, &body).unwrap();
    let quote = verified.claims().azure.as_deref().unwrap().tpm_quote.clone().unwrap();
    assert_eq!((quote.selection, quote.pcrs), (vec![0, 7, 14], Some(pcrs())));
    assert_eq!((quote.clock, quote.reset_count, quote.restart_count, quote.firmware_version), (7, 3, 1, 9));
    assert!(!verified.claims().not_checked.iter().any(|open| open.code.starts_with("azure")));
    assert!(verified.clone().bind(&BoundValue::ReportData(REPORT_DATA)).is_ok());
    for other in [BoundValue::ReportData([8; 64]), BoundValue::Nonce([7; 32]), BoundValue::ReportData([0; 64])] {
        assert!(matches!(verified.clone().bind(&other), Err(EvidenceError::Unbound(_))), "{other:?}");
    }
    let asked = judge(&scene, &composed(&blob, Some(signed_by(0, attest(&[6; 32]))))).unwrap();
    assert!(asked.bind(&BoundValue::Nonce([6; 32])).is_ok());
    let without_values = AzureTpmQuote { pcrs: vec![], ..signed_by(0, attest(&extra_data())) };
    let verified = judge(&scene, &composed(&blob, Some(without_values))).unwrap();
    assert_eq!(verified.claims().not_checked.last().unwrap().code, "azure-tpm-pcrs");
}

/// A quote that another implementation made: software TPM and its command-line tools.
#[test]
fn a_quote_by_another_tpm_implementation_is_read_and_verified() {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/tpm-quote.json")).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let pcr = |pcr: &serde_json::Value| TpmPcr {
        index: u8::try_from(pcr["index"].as_u64().unwrap()).unwrap(),
        value: Digest32(bytes(&pcr["value"]).try_into().unwrap()),
    };
    let pcrs: Vec<TpmPcr> = vector["pcrs"].as_array().unwrap().iter().map(pcr).collect();
    let claims = serde_json::json!({ "keys": [jwk("HCLAkPub", &bytes(&vector["modulus"]))] }).to_string().into_bytes();
    let scene = scene_about(&claims);
    let blob = blob(1, 2, &scene.report, &claims);
    let quote = AzureTpmQuote { attest: bytes(&vector["attest"]), signature: bytes(&vector["signature"]), pcrs };
    let verified = judge(&scene, &composed(&blob, Some(quote.clone()))).unwrap();
    let found = verified.claims().azure.as_deref().unwrap().tpm_quote.clone().unwrap();
    assert_eq!((found.selection, found.pcrs.as_ref()), (vec![0, 7, 14], Some(&quote.pcrs)));
    assert!(verified.bind(&BoundValue::ReportData(REPORT_DATA)).is_ok());
    for bit in 0..quote.attest.len() * 8 {
        let mut changed = quote.clone();
        changed.attest[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(&scene, &composed(&blob, Some(changed))).is_err(), "bit {bit}");
    }
}

#[test]
fn only_the_key_in_the_blob_answers_for_it() {
    let (scene, blob) = vm();
    let with = |quote: AzureTpmQuote| refused(&scene, &composed(&blob, Some(quote)));
    let unsigned = (Culprit::Untrusted, vec!["tpm-quote-signature"]);
    assert_eq!(with(signed_by(1, attest(&extra_data()))), unsigned, "another VM's key");
    let genuine = signed_by(0, attest(&extra_data()));
    for at in [50, 60, 70, genuine.attest.len() - 40] {
        let mut attest = genuine.attest.clone();
        attest[at] ^= 1;
        let changed = with(AzureTpmQuote { attest, ..genuine.clone() });
        assert!(changed.1.contains(&"tpm-quote-signature") || changed.0 == Culprit::Malformed, "{at}: {changed:?}");
    }
    let mut signature = genuine.signature.clone();
    signature[0] ^= 1;
    assert_eq!(with(AzureTpmQuote { signature, ..genuine.clone() }), unsigned);
    let mut pcrs = genuine.pcrs.clone();
    pcrs[1].value.0[0] ^= 1;
    assert_eq!(with(AzureTpmQuote { pcrs, ..genuine.clone() }), (Culprit::Untrusted, vec!["tpm-pcrs-differ"]));
    let pcrs = genuine.pcrs[..2].to_vec();
    assert_eq!(with(AzureTpmQuote { pcrs, ..genuine }), (Culprit::Malformed, vec!["tpm-quote"]));
    // Another VM's genuine blob does not lend its platform to this key.
    let other = serde_json::json!({ "keys": [jwk("HCLAkPub", &modulus(1))] }).to_string().into_bytes();
    let swapped = super::tests::blob(2, 2, &scene.report, &other);
    let all = composed(&swapped, Some(signed_by(1, attest(&extra_data()))));
    assert_eq!(refused(&scene, &all), (Culprit::Untrusted, vec!["hcl-claims-differ"]));
}

#[test]
fn failures_of_blob_quote_and_platform_are_listed_together() {
    let (scene, blob) = vm();
    let mut changed = blob.clone();
    changed[0x20 + 0x50] ^= 1;
    let body = composed(&changed, Some(signed_by(1, attest(&extra_data()))));
    let all = (Culprit::Untrusted, vec!["hcl-claims-differ", "tpm-quote-signature", "report-signature"]);
    assert_eq!(refused(&scene, &body), all);
    // Bad binding is not hidden by an endorsement that is missing.
    let bare = Scene { endorsements: vec![], ..scene.clone() };
    assert_eq!(refused(&bare, &blob), (Culprit::Unavailable, vec!["vek-missing"]));
    assert_eq!(refused(&bare, &changed), (Culprit::Untrusted, vec!["hcl-claims-differ"]));
    let foreign = Scene { anchors: TrustAnchors::default(), ..scene };
    assert_eq!(refused(&foreign, &blob), (Culprit::Untrusted, vec!["unknown-root"]));
    // A report that the guest asked for by itself, above the paravisor, is about whatever it likes.
    let claims = claims_json().to_string().into_bytes();
    let above = scene_about(&claims).with_report(|report| report[0x30] = 2);
    let above_blob = super::tests::blob(2, 2, &above.report, &claims);
    assert_eq!(refused(&above, &above_blob), (Culprit::Untrusted, vec!["hcl-vmpl"]));
    // What follows the digest in report_data is zero.
    let claims = claims_json().to_string().into_bytes();
    let tail = scene_about(&claims).with_report(|report| report[0x8f] = 1);
    let tail_blob = super::tests::blob(1, 2, &tail.report, &claims);
    assert_eq!(refused(&tail, &tail_blob), (Culprit::Untrusted, vec!["hcl-claims-differ"]));
}

#[test]
fn every_size_and_field_of_a_blob_is_looked_at() {
    let (scene, blob) = vm();
    let malformed = (Culprit::Malformed, vec!["hcl-blob"]);
    // Magic, version, used size, request, reserved bytes; data size, version, type, algorithm, claims' size.
    for at in [0, 4, 8, 12, 16, 31, 0x4c0, 0x4c4, 0x4c8, 0x4cc, 0x4d0, 0x4d3] {
        let mut changed = blob.clone();
        changed[at] ^= 0x41;
        assert_eq!(refused(&scene, &changed), malformed, "{at:#x}");
    }
    for length in (0..blob.len()).step_by(7).chain([blob.len() - 1]) {
        assert_eq!(refused(&scene, &blob[..length]), malformed, "{length}");
    }
    assert_eq!(refused(&scene, &[&blob[..], &[0; 4096]].concat()), malformed);
    assert_eq!(refused(&scene, &vec![0; 64 * 1024]), (Culprit::Malformed, vec!["hcl-size"]));
    let mut version_9 = blob.clone();
    version_9[0x20] = 9;
    assert_eq!(refused(&scene, &version_9), (Culprit::Malformed, vec!["snp-report-version"]));
    let raw = RawEvidence { body: &blob, certificates: &scene.endorsements };
    assert_eq!(verify(&kind(), raw, &[], &scene.anchors, NOW).unwrap_err().code(), "hcl-certificates");
}

#[test]
fn claims_name_one_key_of_the_one_kind() {
    let judged = |claims: &[u8]| {
        let scene = scene_about(claims);
        judge(&scene, &super::tests::blob(2, 2, &scene.report, claims)).map(drop).map_err(|error| error.code())
    };
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = claims_json();
        change(&mut claims);
        judged(claims.to_string().as_bytes())
    };
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(with(&|claims| drop(claims.as_object_mut().unwrap().remove("vm-configuration"))), Ok(()));
    let refused = Err("hcl-claims");
    assert_eq!(judged(b"{\"keys\":"), refused);
    assert_eq!(with(&|claims| claims["keys"] = serde_json::json!([])), refused);
    assert_eq!(with(&|claims| claims["keys"][1] = claims["keys"][0].clone()), refused);
    assert_eq!(with(&|claims| claims["keys"][0]["e"] = "Aw".into()), refused);
    assert_eq!(with(&|claims| claims["keys"][0]["kty"] = "EC".into()), refused);
    assert_eq!(with(&|claims| claims["keys"][0]["n"] = "!!".into()), refused);
    assert_eq!(with(&|claims| claims["keys"][0] = jwk("HCLAkPub", &[0x99; 255])), refused);
    assert_eq!(with(&|claims| claims["keys"][0] = jwk("HCLAkPub", &[[0].as_slice(), &[0x99; 255]].concat())), refused);
}

#[test]
fn a_tpm_quote_has_one_form() {
    let (scene, blob) = vm();
    let with = |attest: Vec<u8>| {
        let quote = AzureTpmQuote { pcrs: vec![], ..signed_by(0, attest) };
        judge(&scene, &composed(&blob, Some(quote))).map(drop).map_err(|error| error.code())
    };
    let good = attest(&extra_data());
    assert_eq!(with(good.clone()), Ok(()));
    // Magic, type, sizes of name and extraData, the safe flag, number of banks, bank, selection's size, digest's size.
    let clock_at = 6 + 2 + 34 + 2 + 32;
    let safe_at = clock_at + 16;
    let banks_at = safe_at + 1 + 8;
    for at in [0, 4, 5, 6, 42, safe_at, banks_at, banks_at + 3, banks_at + 5, banks_at + 6, good.len() - 33] {
        let mut changed = good.clone();
        changed[at] ^= 0x52;
        assert_eq!(with(changed), Err("tpm-quote"), "{at}");
    }
    for length in 0..good.len() {
        assert_eq!(with(good[..length].to_vec()), Err("tpm-quote"), "{length}");
    }
    assert_eq!(with([&good[..], &[0]].concat()), Err("tpm-quote"));
    assert_eq!(with(attest(&[1; 66])), Ok(()));
    assert_eq!(with(attest(&[1; 67])), Err("tpm-quote"));
    let short = AzureTpmQuote { signature: vec![1; 255], ..signed_by(0, good) };
    assert_eq!(refused(&scene, &composed(&blob, Some(short))), (Culprit::Malformed, vec!["tpm-quote"]));
}

#[test]
fn composed_evidence_has_one_spelling() {
    let (scene, blob) = vm();
    let good = composed(&blob, Some(signed_by(0, attest(&extra_data()))));
    let malformed = |body: &[u8]| assert_eq!(refused(&scene, body), (Culprit::Malformed, vec!["azure-evidence"]));
    malformed(&[&good[..], &[0]].concat());
    malformed(&good[..good.len() - 1]);
    malformed(&composed(&[&blob[..], &[0]].concat(), None));
    let nested = composed(&good, None);
    assert_eq!(refused(&scene, &nested), (Culprit::Malformed, vec!["hcl-blob"]));
    // What nothing looks at could be anything: a TDX quote belongs to a TDREPORT only.
    let beside = |blob: Vec<u8>| AzureEvidence { blob, tpm_quote: None, td_quote: Some(vec![4, 0, 2, 0]) }.to_bytes();
    malformed(&beside(blob));
    let claims = claims_json().to_string().into_bytes();
    let td = super::tests::blob(2, 4, &td_report(&sha256(&claims).0), &claims);
    assert_eq!(refused(&scene, &beside(td)), (Culprit::Malformed, vec!["tdx-quote"]));
}

/// A TDREPORT with some `report_data`.
fn td_report(report_data: &[u8]) -> Vec<u8> {
    let mut report = vec![0; 1024];
    report[0] = 0x81;
    report[128..128 + report_data.len()].copy_from_slice(report_data);
    report
}

#[test]
fn a_td_report_alone_is_never_accepted() {
    let claims = claims_json().to_string().into_bytes();
    let report = td_report(&sha256(&claims).0);
    let body = blob(2, 4, &report, &claims);
    let scene = milan();
    assert_eq!(refused(&scene, &body), (Culprit::Unavailable, vec!["td-quote-missing"]));
    let with_quote = composed(&body, Some(signed_by(0, attest(&extra_data()))));
    assert_eq!(refused(&scene, &with_quote), (Culprit::Unavailable, vec!["td-quote-missing"]));
    assert_eq!(
        refused(&scene, &blob(2, 4, &td_report(&[1]), &claims)),
        (Culprit::Untrusted, vec!["hcl-claims-differ"])
    );
    // Type, reserved bytes, padding.
    for at in [0, 1, 3, 4, 15, 192, 223, 495, 511] {
        let mut report = report.clone();
        report[at] ^= 0x10;
        let found = refused(&scene, &blob(2, 4, &report, &claims));
        assert_eq!(found, (Culprit::Malformed, vec!["td-report"]), "{at}");
    }
    let mut padded = report;
    padded.resize(1184, 1);
    assert_eq!(refused(&scene, &blob(2, 4, &padded, &claims)), (Culprit::Malformed, vec!["td-report"]));
    // What looks like a quote among the endorsements and is none.
    let junk = Scene { endorsements: vec![vec![4, 0, 2, 0, 0x81, 0, 0, 0, 1]], ..scene };
    let read = Endorsements::recognise(&junk.endorsements);
    assert_eq!(read.unreadable().map(|failure| failure.code).collect::<Vec<_>>(), ["td-quote-unreadable"]);
    assert_eq!(refused(&junk, &body), (Culprit::Untrusted, vec!["td-quote-unreadable"]));
}

#[test]
fn a_set_is_bound_through_the_vtpm_and_only_so() {
    let (scene, blob) = vm();
    let binding = Binding::key(Digest32([3; 32]), Challenge::VerifierNonce(Digest32([4; 32])));
    let report_data = binding.report_data(device_evidence_digest(&[]));
    let set = |body: Vec<u8>| EvidenceSet {
        binding: binding.clone(),
        cpu: EvidenceEnvelope { kind: kind(), body },
        devices: vec![],
    };
    let quoted = |extra_data: &[u8]| composed(&blob, Some(signed_by(0, attest(extra_data))));
    let judge = |set: &EvidenceSet| {
        let judged = verify_set(set, &scene.endorsements, &scene.anchors, NOW);
        judged.map(drop).map_err(|error| (error.culprit(), error.code()))
    };
    let good = set(quoted(&sha256(&report_data).0));
    assert_eq!(judge(&good), Ok(()));
    let unbound = Err((Culprit::Untrusted, "report-data-differs"));
    assert_eq!(judge(&set(blob.clone())), unbound, "a blob alone");
    assert_eq!(judge(&set(quoted(&report_data))), unbound, "the whole report_data instead of its digest");
    assert_eq!(judge(&set(quoted(&sha256(b"other").0))), unbound);
    assert_eq!(judge(&set([&blob[..], &[0; 8]].concat())), Err((Culprit::Malformed, "report-not-canonical")));
    // A VM is no accelerator, though its TPM would answer the nonce of one.
    let platform = super::tests::judge(&scene, &blob).unwrap().claims().device.unwrap();
    let report = quoted(&binding.gpu_nonce(platform).0);
    let posing = DeviceEvidence { device: platform, kind: kind(), report, certificates: vec![] };
    let posing = EvidenceSet { devices: vec![posing], ..good.clone() };
    let error = verify_set(&posing, &scene.endorsements, &scene.anchors, NOW).unwrap_err();
    assert!(error.failures().contains("device-kind"), "{error}");
    let other_head = EvidenceSet { binding: Binding::key(Digest32([5; 32]), Challenge::None), ..good };
    assert_eq!(judge(&other_head), unbound);
}
