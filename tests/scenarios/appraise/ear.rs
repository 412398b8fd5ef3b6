//! Attestation results as others read them: JWT and CWT under both algorithms, by libraries that are not ours, and what
//! must not be claimed in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ciborium::Value as Cbor;
use coset::{CborSerializable as _, CoseSign1, TaggedCborSerializable as _, iana};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};
use weighbridge_tests::vectors::Case;
use weighbridge_tests::{run, skipped};

use super::{Answer, Line, path, write};
use crate::commands::weighbridge;

/// `SubjectPublicKeyInfo` of a P-256 key up to its point.
const P256_PUBLIC: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
/// Tag 61 of a CWT.
const CWT_TAG: &[u8] = &[0xd8, 61];

/// A private key with what a verifier needs.
struct Key {
    file: PathBuf,
    public_pem: PathBuf,
    public: Vec<u8>,
    algorithm: &'static str,
    cose: iana::Algorithm,
}

impl Key {
    fn ed25519(folder: &Path) -> Self {
        let (file, public_pem) = (folder.join("ed.pem"), folder.join("ed.pub.pem"));
        let mut keygen = weighbridge(&["statement", "keygen", "--out"]);
        let ran = run(keygen.arg(&file).arg("--public").arg(&public_pem));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let public = of_pem(&public_pem);
        let public = public[public.len() - 32..].to_vec();
        Self { file, public_pem, public, algorithm: "EdDSA", cose: iana::Algorithm::EdDSA }
    }

    #[expect(clippy::disallowed_methods, reason = "a test makes a key")]
    fn p256(folder: &Path) -> Self {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let public = pair.public_key().as_ref().to_vec();
        let spki = [hex::decode(P256_PUBLIC).expect("hex"), public.clone()].concat();
        let pem = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        };
        let file = write(folder, "p256.pem", pem("PRIVATE KEY", pkcs8.as_ref()));
        let public_pem = write(folder, "p256.pub.pem", pem("PUBLIC KEY", &spki));
        Self { file, public_pem, public, algorithm: "ES256", cose: iana::Algorithm::ES256 }
    }

    fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            "EdDSA" => UnparsedPublicKey::new(&ED25519, &self.public).verify(bytes, signature).is_ok(),
            _ => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public).verify(bytes, signature).is_ok(),
        }
    }
}

fn of_pem(file: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(file).expect("PEM");
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

/// A genuine SEV-SNP report.
fn snp(folder: &str) -> Option<Line> {
    let case = Case::named("sev-snp", folder)?;
    let line = Line::new("sev-snp").with("--evidence", path(&case, "report.bin"));
    Some(line.with("--endorsements", &case.folder).with("--at", "2026-10-01T00:00:00Z"))
}

fn token(line: Line, key: &Key, format: &str, folder: &Path) -> (Answer, Vec<u8>) {
    let file = folder.join(format!("token.{format}"));
    let answer = line.with("--ear", &file).with("--ear-format", format).with("--key", &key.file).run();
    let token = std::fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", answer.ran.stderr));
    (answer, token)
}

fn jwt_claims(token: &[u8], key: &Key) -> Value {
    let text = String::from_utf8(token.to_vec()).expect("text");
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("{text}") };
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let signed = format!("{header}.{claims}");
    assert!(key.verifies(signed.as_bytes(), &bytes(signature)), "{}", key.algorithm);
    assert!(!key.verifies(&signed.as_bytes()[1..], &bytes(signature)));
    let header: Value = serde_json::from_slice(&bytes(header)).expect("JSON");
    assert_eq!((&header["alg"], &header["typ"]), (&json!(key.algorithm), &json!("eat+jwt")));
    serde_json::from_slice(&bytes(claims)).expect("JSON")
}

fn cwt_claims(token: &[u8], key: &Key) -> Cbor {
    let sign1 = CoseSign1::from_tagged_slice(token.strip_prefix(CWT_TAG).expect("tag 61")).expect("COSE_Sign1");
    assert_eq!(sign1.protected.header.alg, Some(coset::Algorithm::Assigned(key.cose)));
    let verify = |signature: &[u8], signed: &[u8]| if key.verifies(signed, signature) { Ok(()) } else { Err(()) };
    sign1.verify_signature(b"", verify).expect("the signature holds");
    sign1.verify_signature(b"other", verify).expect_err("and not over anything else");
    Cbor::from_slice(sign1.payload.as_deref().expect("a payload")).expect("CBOR")
}

/// The value under a label of a map.
fn at(map: &Cbor, label: impl Into<Cbor>) -> Cbor {
    let label = label.into();
    let found = map.as_map().expect("a map").iter().find(|(key, _)| *key == label);
    found.unwrap_or_else(|| panic!("{label:?} in {map:?}")).1.clone()
}

#[test]
fn a_result_is_the_same_in_both_forms_and_holds_under_both_algorithms() {
    if snp("milan-v3-ms").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for key in [Key::ed25519(folder.path()), Key::p256(folder.path())] {
        let (answer, jwt) = token(snp("milan-v3-ms").expect("a case"), &key, "jwt", folder.path());
        assert_eq!((answer.verdict(), answer.tier()), ("accepted", "warning"), "{}", answer.ran.stderr);
        let json = jwt_claims(&jwt, &key);
        assert_eq!(json["eat_profile"], "urn:weighbridge:ear:v1");
        assert_eq!((&json["ear_status"], &json["iat"]), (&json!("warning"), &json!(1_790_812_800)));
        assert!(json["exp"].as_i64().is_some_and(|end| end > 1_790_812_800) && json["ear_verifier_id"].is_object());
        let device = &json["submods"]["sev-snp-0"];
        assert_eq!(device["ear_status"], "warning");
        // Firmware was compared with nothing, and what was launched neither: nothing is claimed of either.
        let vector = json!({ "instance-identity": 2, "configuration": 3, "runtime-opaque": 2 });
        assert_eq!(device["ear_trustworthiness_vector"], vector);
        let ours = &json["ear_weighbridge_appraisal"];
        assert_eq!((&ours["verdict"], &ours["grade"]), (&json!("accepted"), &json!("attested")));
        let open = device["ear_verifier_claims"]["checks"].as_array().expect("checks").iter();
        assert!(open.clone().any(|check| check["code"] == "evidence-bound" && check["status"] == "not-checked"));
        assert_eq!(device["ear_attester_claims"]["grade"], Value::Null, "no device grades itself");

        let (_, cwt) = token(snp("milan-v3-ms").expect("a case"), &key, "cwt", folder.path());
        let cbor = cwt_claims(&cwt, &key);
        assert_eq!(at(&cbor, 265), Cbor::from("urn:weighbridge:ear:v1"));
        assert_eq!((at(&cbor, 6), at(&cbor, 1000)), (Cbor::from(1_790_812_800), Cbor::from(32)));
        let device = at(&at(&cbor, 266), "sev-snp-0");
        let vector = at(&device, 1001);
        let pairs: Vec<(Cbor, Cbor)> = [(0, 2), (1, 3), (5, 2)].map(|(key, value)| (key.into(), value.into())).into();
        assert_eq!((at(&device, 1000), vector), (Cbor::from(32), Cbor::Map(pairs)));
        assert_eq!(at(&at(&cbor, 1004), 0), Cbor::from("urn:weighbridge"));
        oracle_agrees(&write(folder.path(), "oracle.jwt", &jwt), &key, &json);
    }
}

/// What the `ear` crate reads in a token; the program is built by `just ear-oracle`.
#[expect(clippy::disallowed_methods, reason = "the program is named by whoever runs the tests")]
fn oracle_agrees(token: &Path, key: &Key, ours: &Value) {
    let Some(oracle) = std::env::var_os("WEIGHBRIDGE_EAR_ORACLE") else {
        return skipped("attestation results by another project's library: WEIGHBRIDGE_EAR_ORACLE names no program");
    };
    let ran = run(Command::new(oracle).arg(token).arg(&key.public_pem));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let theirs: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    for claim in ["eat_profile", "iat", "ear_verifier_id", "ear_status"] {
        assert_eq!(theirs[claim], ours[claim], "{claim}");
    }
    for (name, device) in ours["submods"].as_object().expect("submods") {
        for claim in ["ear_status", "ear_appraisal_policy_ids"] {
            assert_eq!(theirs["submods"][name][claim], device[claim], "{name}: {claim}");
        }
        // It writes out every claim of the vector, 0 for none.
        for (aspect, value) in device["ear_trustworthiness_vector"].as_object().into_iter().flatten() {
            assert_eq!(&theirs["submods"][name]["ear_trustworthiness_vector"][aspect], value, "{name}: {aspect}");
        }
    }
}

#[test]
fn a_refusal_is_written_too_and_claims_nothing_good() {
    let Some(case) = Case::named("sev-snp", "milan-v3-ms") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = Key::ed25519(folder.path());
    let asked = |line: Line| token(line, &key, "jwt", folder.path());
    // Genuine, and of another question.
    let other = snp("milan-v3-ms").expect("a case").with("--report-data", "11".repeat(64));
    let (answer, jwt) = asked(other);
    assert_eq!((answer.code(), answer.tier()), (Some(5), "contraindicated"));
    let claims = jwt_claims(&jwt, &key);
    assert_eq!(
        (&claims["ear_status"], &claims["ear_weighbridge_appraisal"]["verdict"]),
        (&json!("contraindicated"), &json!("rejected"))
    );
    // Forged.
    let mut forged = case.read("report.bin");
    forged[0x50] ^= 1;
    let forged = write(folder.path(), "forged", forged);
    let line = Line::new("sev-snp").with("--evidence", forged).with("--endorsements", &case.folder);
    let (answer, jwt) = asked(line.with("--at", "2026-10-01T00:00:00Z"));
    assert_eq!((answer.code(), answer.tier()), (Some(4), "contraindicated"));
    let device = jwt_claims(&jwt, &key)["submods"]["sev-snp-0"].clone();
    assert_eq!(device["ear_trustworthiness_vector"], json!({ "instance-identity": 99, "hardware": 99 }));
    assert!(device["ear_attester_claims"].is_null() && device["eat_nonce"].is_null(), "{device}");
    // Nothing to judge it by.
    let line = Line::new("sev-snp").with("--evidence", path(&case, "report.bin"));
    let (answer, jwt) = asked(line.with("--at", "2026-10-01T00:00:00Z"));
    assert_eq!((answer.code(), answer.tier()), (Some(6), "none"));
    let device = jwt_claims(&jwt, &key)["submods"]["sev-snp-0"].clone();
    assert_eq!((&device["ear_status"], &device["ear_trustworthiness_vector"]), (&json!("none"), &Value::Null));
}
