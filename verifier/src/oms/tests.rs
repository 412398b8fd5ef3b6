//! Bundles of our own making: every lie that a signer or a stranger could write, each with its exact refusal. What the
//! reference tool makes is read in the scenarios.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use weighbridge_attest_types::{Culprit, Digest32};

use super::*;

/// A named change of a statement or of a bundle.
type Breaker = (&'static str, fn(&mut Value), &'static str);

struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    key: PublicKey,
}

impl Signer {
    #[expect(clippy::disallowed_methods, reason = "a test makes a key that nobody keeps")]
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        let der = [head.as_slice(), pair.public_key().as_ref()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        Self { pair, random, key: PublicKey::parse(pem.as_bytes()).unwrap() }
    }

    fn sign(&self, payload: &[u8]) -> Value {
        let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
        let signature = self.pair.sign(&self.random, &[head.as_bytes(), payload].concat()).unwrap();
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": self.key.hint()}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": STANDARD.encode(signature.as_ref()), "keyid": ""}],
            },
        })
    }

    fn verify(&self, bundle: &Value) -> Result<SignedFiles, OmsError> {
        SignedFiles::verify(bundle.to_string().as_bytes(), &self.key)
    }
}

fn files() -> Vec<ModelFile> {
    let file = |name: &str, byte| ModelFile { name: name.to_owned(), sha256: Digest32([byte; 32]) };
    vec![file("a/b", 1), file("a.txt", 2), file("c", 3)]
}

fn statement(files: &[ModelFile]) -> Value {
    let resource =
        |file: &ModelFile| json!({"name": file.name, "algorithm": "sha256", "digest": file.sha256.to_string()});
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": model_digest(files).to_string()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": [".git"],
            },
            "resources": files.iter().map(resource).collect::<Vec<_>>(),
            "later": "for verifiers of v1.0 to ignore",
        },
    })
}

#[test]
fn a_signed_list_is_read_and_holds_exactly_its_files() {
    let signer = Signer::new();
    let signed = signer.verify(&signer.sign(statement(&files()).to_string().as_bytes())).unwrap();
    assert_eq!((signed.subject(), signed.count(), signed.digest()), ("model", 3, model_digest(&files())));
    assert_eq!(
        (signed.rules().ignored.as_slice(), signed.rules().allow_symlinks),
        ([".git".to_owned()].as_slice(), false)
    );
    signed.hold(&files()).unwrap();
    type Breaker = (&'static str, fn(&mut Vec<ModelFile>), &'static str);
    let breakers: [Breaker; 4] = [
        ("one is missing", |files| drop(files.pop()), r#"missing: "c""#),
        ("one more", |files| files.push(ModelFile { name: "d".to_owned(), ..files[0].clone() }), r#"not signed: "d""#),
        ("other bytes", |files| files[1].sha256.0[31] ^= 1, r#"other bytes: "a.txt""#),
        ("renamed", |files| files[2].name = "C".to_owned(), r#"missing: "c"; not signed: "C""#),
    ];
    for (what, breaker, message) in breakers {
        let mut other = files();
        breaker(&mut other);
        let error = signed.hold(&other).unwrap_err();
        assert_eq!(error.culprit(), Culprit::Untrusted, "{what}");
        assert_eq!(error.to_string(), format!("the files are not those that were signed: {message}"), "{what}");
    }
}

/// Each ignored path is held against each file of the folder: a list without an end would be work without an end.
#[test]
fn ignored_paths_are_few_and_each_is_there_once() {
    let signer = Signer::new();
    let ignoring = |paths: Vec<String>| {
        let mut statement = statement(&files());
        statement["predicate"]["serialization"]["ignore_paths"] = json!(paths);
        signer.verify(&signer.sign(statement.to_string().as_bytes()))
    };
    let paths = |count: usize| (0..count).map(|number| format!("p{number:04}")).collect::<Vec<_>>();
    assert_eq!(ignoring(paths(1_024)).unwrap().rules().ignored, paths(1_024));
    let twice = ignoring([paths(9), paths(9)].concat()).unwrap();
    assert_eq!(twice.rules().ignored, paths(9));
    let refused = ignoring(vec!["p".to_owned(); 1_025]).unwrap_err();
    assert_eq!(refused.culprit(), Culprit::Malformed);
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("a list of more than 1024"), "{cause}");
}

#[test]
fn statements_that_cannot_be_are_refused_although_signed() {
    let signer = Signer::new();
    let breakers: [Breaker; 17] = [
        ("root digest", |s| s["subject"][0]["digest"]["sha256"] = json!("00".repeat(32)), "its files come to"),
        ("digest in capitals", |s| s["predicate"]["resources"][0]["digest"] = json!("AB".repeat(32)), "64 hexadecimal"),
        ("short digest", |s| s["predicate"]["resources"][0]["digest"] = json!("00"), "64 hexadecimal"),
        ("two subjects", |s| s["subject"] = json!([s["subject"][0], s["subject"][0]]), "2 subjects"),
        ("no subject", |s| s["subject"] = json!([]), "0 subjects"),
        ("another digest beside", |s| s["subject"][0]["digest"]["sha512"] = json!(""), "2 digests"),
        ("twice", |s| s["predicate"]["resources"][1] = s["predicate"]["resources"][0].clone(), "there twice"),
        ("out of order", |s| s["predicate"]["resources"].as_array_mut().unwrap().swap(0, 1), "not in its place"),
        ("no files", |s| s["predicate"]["resources"] = json!([]), "0 files"),
        ("outside", |s| s["predicate"]["resources"][0]["name"] = json!("../a"), "no path inside"),
        ("absolute", |s| s["predicate"]["resources"][0]["name"] = json!("/a"), "no path inside"),
        ("ignores all", |s| s["predicate"]["serialization"]["ignore_paths"] = json!(["."]), "no path inside"),
        ("ignores outside", |s| s["predicate"]["serialization"]["ignore_paths"] = json!(["a/../.."]), "no path inside"),
        ("shards", |s| s["predicate"]["serialization"]["method"] = json!("shards"), "\"shards\", which this build"),
        ("other hash", |s| s["predicate"]["serialization"]["hash_type"] = json!("blake3"), "\"blake3\", which this"),
        ("a file's hash", |s| s["predicate"]["resources"][2]["algorithm"] = json!("md5"), "\"md5\", which this build"),
        ("predicate", |s| s["predicateType"] = json!("https://model_signing/Digests/v0.1"), "Digests/v0.1"),
    ];
    for (what, breaker, message) in breakers {
        let mut statement = statement(&files());
        breaker(&mut statement);
        let error = signer.verify(&signer.sign(statement.to_string().as_bytes())).unwrap_err();
        assert_eq!(error.culprit().exit_code(), 3, "{what}");
        assert!(error.to_string().contains(message), "{what}: {error}");
    }
    for payload in ["", "{}", "[]", r#"{"_type":1}"#] {
        assert!(matches!(signer.verify(&signer.sign(payload.as_bytes())), Err(OmsError::Json("statement", _))));
    }
}

#[test]
fn bundles_that_a_stranger_changed_are_refused() {
    let signer = Signer::new();
    let breakers: [Breaker; 13] = [
        (
            "media type",
            |b| b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2"),
            "version=0.2",
        ),
        ("payload type", |b| b["dsseEnvelope"]["payloadType"] = json!("text/plain"), "text/plain"),
        ("no signature", |b| b["dsseEnvelope"]["signatures"] = json!([]), "0 signatures"),
        (
            "two signatures",
            |b| {
                let one = b["dsseEnvelope"]["signatures"][0].clone();
                b["dsseEnvelope"]["signatures"] = json!([one, one]);
            },
            "bundle is not of the form",
        ),
        ("not base64", |b| b["dsseEnvelope"]["payload"] = json!("!"), "payload is not base64"),
        ("signature not base64", |b| b["dsseEnvelope"]["signatures"][0]["sig"] = json!("!"), "signature is not base64"),
        ("empty signature", |b| b["dsseEnvelope"]["signatures"][0]["sig"] = json!(""), "does not verify"),
        ("other payload", |b| b["dsseEnvelope"]["payload"] = json!(STANDARD.encode("{}")), "does not verify"),
        ("other key named", |b| b["verificationMaterial"]["publicKey"]["hint"] = json!("00"), "another key"),
        ("certificate", |b| b["verificationMaterial"] = json!({"certificate": {}}), "certificate"),
        ("log entry", |b| b["verificationMaterial"]["tlogEntries"] = json!([{}]), "certificate or a log"),
        ("no envelope", |b| drop(b.as_object_mut().unwrap().remove("dsseEnvelope")), "no DSSE envelope"),
        ("unknown field", |b| b["more"] = json!(1), "bundle is not of the form"),
    ];
    let whole = signer.sign(statement(&files()).to_string().as_bytes());
    for (what, breaker, message) in breakers {
        let mut bundle = whole.clone();
        breaker(&mut bundle);
        let error = signer.verify(&bundle).unwrap_err();
        assert!(error.to_string().contains(message), "{what}: {error}");
        let untrusted = ["does not verify", "another key"].contains(&message);
        assert_eq!(error.culprit().exit_code(), if untrusted { 4 } else { 3 }, "{what}");
    }
    let mut unnamed = whole.clone();
    unnamed["verificationMaterial"]["publicKey"] = json!({});
    signer.verify(&unnamed).unwrap();
    let stranger = Signer::new();
    assert!(matches!(stranger.verify(&unnamed), Err(OmsError::Signature)));
    assert!(matches!(stranger.verify(&whole), Err(OmsError::OtherKey { .. })));
}

#[test]
fn a_bundle_cut_anywhere_is_refused_and_a_changed_byte_changes_no_list() {
    let signer = Signer::new();
    let bytes = signer.sign(statement(&files()).to_string().as_bytes()).to_string().into_bytes();
    for length in 0..bytes.len() {
        assert!(SignedFiles::verify(&bytes[..length], &signer.key).is_err(), "cut at {length}");
    }
    for place in (0..bytes.len()).step_by(3) {
        let mut other = bytes.clone();
        other[place] ^= 1;
        // What is not signed (the key id, the hint's absence) may change; what is signed may not.
        if let Ok(signed) = SignedFiles::verify(&other, &signer.key) {
            assert_eq!(signed.digest(), model_digest(&files()), "byte {place}");
        }
    }
}

#[test]
fn a_bundle_of_millions_of_signatures_stays_small() {
    let signer = Signer::new();
    let whole = signer.sign(statement(&files()).to_string().as_bytes());
    let many = |count: usize| {
        let mut bundle = whole.clone();
        bundle["dsseEnvelope"]["signatures"] = json!("HERE");
        let signatures = format!("[{}]", vec![r#"{"sig":""}"#; count].join(","));
        bundle.to_string().replace("\"HERE\"", &signatures)
    };
    // Where the reading ends tells how much was kept: nothing after the second.
    let end = |count| match SignedFiles::verify(many(count).as_bytes(), &signer.key) {
        Err(OmsError::Json("bundle", error)) => error.column(),
        other => panic!("{other:?}"),
    };
    let (two, millions) = (end(2), end(2_500_000));
    assert_eq!(millions, two);
    assert!(two < many(2).len());
}

#[test]
fn a_bundle_is_an_object() {
    let signer = Signer::new();
    let whole = signer.sign(statement(&files()).to_string().as_bytes());
    signer.verify(&whole).unwrap();
    let list = |value: &Value, names: &[&str]| Value::Array(names.iter().map(|name| value[*name].clone()).collect());
    let envelope = &whole["dsseEnvelope"];
    let signature = &envelope["signatures"][0];
    let key = &whole["verificationMaterial"]["publicKey"];
    let arrays: [(&str, Value); 4] = [
        ("/dsseEnvelope", list(envelope, &["payload", "payloadType", "signatures"])),
        ("/dsseEnvelope/signatures/0", list(signature, &["sig", "keyid"])),
        ("/verificationMaterial/publicKey", list(key, &["hint", "rawBytes", "keyDetails"])),
        ("", list(&whole, &["mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"])),
    ];
    for (place, array) in arrays {
        let mut bundle = whole.clone();
        *bundle.pointer_mut(place).unwrap() = array;
        let refused = signer.verify(&bundle);
        assert!(matches!(refused, Err(OmsError::Json("bundle", _))), "{place}: {refused:?}");
    }
    let statement = statement(&files());
    let resource = &statement["predicate"]["resources"][0];
    let mut signed = statement.clone();
    signed["predicate"]["resources"][0] = list(resource, &["name", "algorithm", "digest"]);
    let refused = signer.verify(&signer.sign(signed.to_string().as_bytes()));
    assert!(matches!(refused, Err(OmsError::Json("statement", _))), "{refused:?}");
}

#[test]
fn what_older_tools_write_beside_the_signature_is_known() {
    let signer = Signer::new();
    let mut bundle = signer.sign(statement(&files()).to_string().as_bytes());
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let der = STANDARD.encode([head.as_slice(), signer.pair.public_key().as_ref()].concat());
    bundle["verificationMaterial"]["timestampVerificationData"] = json!({"rfc3161Timestamps": []});
    bundle["verificationMaterial"]["publicKey"] = json!({"rawBytes": der, "keyDetails": "PKIX_ECDSA_P256_SHA_256"});
    signer.verify(&bundle).unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &der[..64], &der[64..]);
    bundle["verificationMaterial"]["publicKey"]["rawBytes"] = json!(STANDARD.encode(&pem));
    signer.verify(&bundle).unwrap();
    bundle["verificationMaterial"]["publicKey"]["rawBytes"] = json!(STANDARD.encode(format!("more{pem}")));
    assert!(matches!(signer.verify(&bundle), Err(OmsError::Unsigned(_))));
}
