//! `weighbridge commit` beside the reference tool for model signatures: what it signed holds here, and what holds here it
//! says too. Vectors: tests/vectors/oms (tool.txt names the tool, make.py makes them anew).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use weighbridge_tests::{Ran, program, run};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/oms")
}

fn commit(arguments: &[&str]) -> (Ran, Value) {
    let mut command = Command::new(program("weighbridge"));
    let ran = run(command.arg("commit").args(arguments).args(["--format", "json"]));
    let answer =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr));
    (ran, answer)
}

fn verify(model: &Path, signature: &Path, key: &Path) -> (Ran, Value) {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    commit(&[&text(model), "--oms-signature", &text(signature), "--oms-public-key", &text(key)])
}

/// A copy that a test may change.
fn copy_of(folder: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_of(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The digest in a signature's statement, read without our code.
fn subject_digest(signature: &Path) -> String {
    let script = "import base64,json,sys; b=json.load(open(sys.argv[1]));\
                  s=json.loads(base64.b64decode(b['dsseEnvelope']['payload']));print(s['subject'][0]['digest']['sha256'])";
    let ran = run(Command::new("python3").args(["-c", script]).arg(signature));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout.trim().to_owned()
}

#[test]
fn signatures_of_the_reference_tool_hold_for_every_curve() {
    let vectors = vectors();
    for curve in ["p256", "p384", "p521"] {
        let signature = vectors.join(format!("{curve}.sig"));
        let (ran, answer) = verify(&vectors.join("model"), &signature, &vectors.join(format!("{curve}.pem")));
        assert_eq!((ran.code, &answer["verdict"]), (Some(0), &Value::from("accepted")), "{curve}: {}", ran.stderr);
        assert_eq!(answer["claims"]["oms"]["digest"], subject_digest(&signature), "{curve}");
        assert_eq!(answer["claims"]["oms"]["signature"]["subject"], "model");
        assert_eq!(answer["claims"]["oms"]["files"], 7);
    }
    let one = vectors.join("model/a.safetensors");
    let (ran, answer) = verify(&one, &vectors.join("single.sig"), &vectors.join("p256.pem"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(answer["claims"]["oms"]["digest"], subject_digest(&vectors.join("single.sig")));
}

#[test]
fn files_that_differ_from_what_was_signed_are_untrusted() {
    let vectors = vectors();
    type Breaker = (&'static str, fn(&Path), &'static str);
    let breakers: [Breaker; 6] = [
        ("changed", |model| fs::write(model.join("config.json"), "[]").unwrap(), "other bytes: \"config.json\""),
        ("missing", |model| fs::remove_file(model.join("a/file")).unwrap(), "missing: \"a/file\""),
        ("extra", |model| fs::write(model.join("a/.more"), "").unwrap(), "not signed: \"a/.more\""),
        (
            "weights changed",
            |model| {
                let mut bytes = fs::read(model.join("a.safetensors")).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(model.join("a.safetensors"), bytes).unwrap();
            },
            "other bytes: \"a.safetensors\"",
        ),
        (
            "renamed",
            |model| fs::rename(model.join("a.txt"), model.join("b.txt")).unwrap(),
            "missing: \"a.txt\"; not signed",
        ),
        (
            "more weights",
            |model| {
                let header = br#"{"c":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
                let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat();
                fs::write(model.join("c.safetensors"), bytes).unwrap();
            },
            "not signed: \"c.safetensors\"",
        ),
    ];
    for (what, breaker, message) in breakers {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        copy_of(&vectors.join("model"), &model);
        // What the signer left out may change: the report says so.
        fs::create_dir(model.join(".git")).unwrap();
        fs::write(model.join(".git/config"), "").unwrap();
        fs::copy(vectors.join("p256.sig"), model.join("model.sig")).unwrap();
        let (signature, key) = (model.join("model.sig"), vectors.join("p256.pem"));
        let (ran, _) = verify(&model, &signature, &key);
        assert_eq!(ran.code, Some(0), "{what}: {}", ran.stderr);
        breaker(&model);
        let (ran, answer) = verify(&model, &signature, &key);
        assert_eq!((ran.code, &answer["verdict"]), (Some(4), &Value::from("untrusted")), "{what}");
        assert!(ran.stderr.contains(message), "{what}: {}", ran.stderr);
        assert_eq!(answer["claims"], serde_json::json!({}), "{what}");
    }
}

#[test]
fn a_signature_that_is_a_link_into_the_model_hides_no_file() {
    let vectors = vectors();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy_of(&vectors.join("model"), &model);
    let key = vectors.join("p256.pem");
    // A file of its own is left out, and the answer says so.
    fs::copy(vectors.join("p256.sig"), model.join("model.sig")).unwrap();
    let (ran, answer) = verify(&model, &model.join("model.sig"), &key);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let ignored = answer["claims"]["oms"]["signature"]["ignored"].as_array().unwrap();
    assert_eq!(ignored.last(), Some(&Value::from("model.sig")));
    let mut command = Command::new(program("weighbridge"));
    command.arg("commit").arg(&model).arg("--oms-signature").arg(model.join("model.sig"));
    let text = run(command.arg("--oms-public-key").arg(&key)).stdout;
    assert!(text.lines().any(|line| line.starts_with("  not signed ") && line.ends_with("model.sig")), "{text}");

    fs::rename(model.join("model.sig"), model.join("chat_template.jinja")).unwrap();
    let beside = folder.path().join("beside.sig");
    std::os::unix::fs::symlink(model.join("chat_template.jinja"), &beside).unwrap();
    let (ran, _) = verify(&model, &beside, &key);
    assert_eq!(ran.code, Some(4));
    assert!(ran.stderr.contains("not signed: \"chat_template.jinja\""), "{}", ran.stderr);
    std::os::unix::fs::symlink("chat_template.jinja", model.join("model.sig")).unwrap();
    let (ran, answer) = verify(&model, &model.join("model.sig"), &key);
    assert_eq!((ran.code, &answer["reasons"][0]["code"]), (Some(4), &Value::from("oms-signature-untrusted")));
    assert!(ran.stderr.contains("symbolic link inside the model"), "{}", ran.stderr);
    let (ran, _) = verify(&model, "-".as_ref(), &key);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("cannot be read from standard input"), "{}", ran.stderr);
}

#[test]
fn free_text_in_the_unsigned_part_of_a_bundle_is_refused() {
    let vectors = vectors();
    let folder = tempfile::tempdir().unwrap();
    let whole: Value = serde_json::from_slice(&fs::read(vectors.join("p256.sig")).unwrap()).unwrap();
    let text = Value::from("{{ do as I say }}");
    let verify_with = |place: &str, name: &str, value: &Value| {
        let mut bundle = whole.clone();
        bundle.pointer_mut(place).unwrap()[name] = value.clone();
        let signature = folder.path().join("changed.sig");
        fs::write(&signature, bundle.to_string()).unwrap();
        verify(&vectors.join("model"), &signature, &vectors.join("p256.pem")).0
    };
    let (material, key) = ("/verificationMaterial", "/verificationMaterial/publicKey");
    let none = serde_json::json!({"rfc3161Timestamps": []});
    assert_eq!(verify_with(material, "timestampVerificationData", &none).code, Some(0));
    let places = [
        (material, "timestampVerificationData"),
        (key, "rawBytes"),
        (key, "keyDetails"),
        ("/dsseEnvelope/signatures/0", "keyid"),
        (material, "certificate"),
        (material, "x509CertificateChain"),
        ("", "messageSignature"),
    ];
    for (place, name) in places {
        let ran = verify_with(place, name, &text);
        assert_eq!(ran.code, Some(3), "{name}: {}{}", ran.stdout, ran.stderr);
    }
    let stamped = serde_json::json!({"rfc3161Timestamps": [{"signedTimestamp": text}]});
    assert_eq!(verify_with(material, "timestampVerificationData", &stamped).code, Some(3));
}

#[test]
fn weights_that_the_signer_left_out_are_not_covered() {
    let vectors = vectors();
    let (ran, answer) = verify(&vectors.join("model"), &vectors.join("subset.sig"), &vectors.join("p256.pem"));
    assert_eq!((ran.code, &answer["reasons"][0]["code"]), (Some(4), &Value::from("oms-weights-not-signed")));
}

#[test]
fn keys_and_bundles_that_do_not_fit_have_their_own_class() {
    let vectors = vectors();
    let model = vectors.join("model");
    let code = |signature: &str, key: &str| verify(&model, &vectors.join(signature), &vectors.join(key)).0.code;
    assert_eq!(code("p256.sig", "p384.pem"), Some(4));
    assert_eq!(code("p384.sig", "p521.pem"), Some(4));
    assert_eq!(code("single.sig", "p256.pem"), Some(4));
    assert_eq!(code("tool.txt", "p256.pem"), Some(3));
    assert_eq!(code("p256.sig", "tool.txt"), Some(2));
    assert_eq!(code("none.sig", "p256.pem"), Some(2));
}

#[test]
fn a_check_is_held_and_says_what_was_found() {
    let model = vectors().join("model");
    let model = model.to_str().unwrap();
    let (_, answer) = commit(&[model]);
    let claims = &answer["claims"];
    let root = |name: &str| claims[name].as_str().unwrap().to_owned();
    let (fast, algebraic) = (root("fast_root"), root("algebraic_root"));
    let oms = claims["oms"]["digest"].as_str().unwrap().to_owned();
    assert_eq!(oms, subject_digest(&vectors().join("p256.sig")));

    for root in [&fast, &algebraic, &oms] {
        assert_eq!(commit(&[model, "--check", root]).0.code, Some(0));
    }
    let kinds = [("fast", &fast, "fast_root"), ("algebraic", &algebraic, "algebraic_root"), ("oms", &oms, "oms")];
    for (kind, root, claim) in kinds {
        let (ran, answer) = commit(&[model, "--check", &format!("{kind}:{root}")]);
        let claims: Vec<&String> = answer["claims"].as_object().unwrap().keys().collect();
        assert_eq!((ran.code, claims), (Some(0), vec![&claim.to_owned(), &"checks".to_owned()]), "no more is computed");
        let (ran, answer) = commit(&[model, "--check", &format!("{kind}:{}", "0".repeat(64))]);
        assert_eq!((ran.code, &answer["verdict"]), (Some(5), &Value::from("rejected")));
        assert!(answer["reasons"][0]["message"].as_str().unwrap().ends_with(&format!("found {kind}:{root}")));
    }
    // A root of another kind is not it, and one failed check is enough.
    assert_eq!(commit(&[model, "--check", &format!("fast:{algebraic}")]).0.code, Some(5));
    assert_eq!(commit(&[model, "--check", &fast, "--check", &"0".repeat(64)]).0.code, Some(5));
}

#[test]
fn memory_stays_bounded_whatever_the_size_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, shape: &str, bytes: u64| {
        let header = format!(r#"{{"w":{{"dtype":"U8","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#);
        let path = folder.path().join(name);
        fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(8 + header.len() as u64 + bytes).unwrap();
        path
    };
    // Holes: 4 GiB for what is fast; a band too wide for memory, cut into pieces, for what is not.
    let large = write("large.safetensors", "[262144,16384]", 4 << 30);
    let wide = write("wide.safetensors", "[3,3000000]", 9_000_000);
    let cases = [(&large, "fast:", "64"), (&large, "oms:", "2"), (&wide, "algebraic:", "2"), (&wide, "", "64")];
    for (file, kind, jobs) in cases {
        let check = format!("{kind}{}", "0".repeat(64));
        let mut command = Command::new(program("weighbridge"));
        command.arg("commit").arg(file).args(["--check", &check, "--jobs", jobs]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut peak = 0u64;
        let code = loop {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(peak);
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        println!("{kind:?} with {jobs} threads: at most {} MiB", peak / 1024);
        assert_eq!(code, Some(5), "{kind}");
        assert!(peak > 0 && peak <= 256 * 1024, "{kind:?} with {jobs} threads took {peak} KiB");
    }
}

#[test]
fn the_reference_tool_agrees_here_and_now() {
    #[expect(clippy::disallowed_methods, reason = "the door: .ci/run names the interpreter that has the tool")]
    let python = std::env::var("WEIGHBRIDGE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if Command::new(&python).args(["-c", "import model_signing"]).output().is_ok_and(|output| output.status.success()) {
        agree(&python);
    } else {
        println!("skipped: {python} cannot import model_signing (tests/python/requirements.txt)");
    }
}

fn agree(python: &str) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy_of(&vectors().join("model"), &model);
    for name in ["z/1", "z/.git/x", ".gitignore", "z.1", "z-1", "\u{e9}/\u{10348}", "Z"] {
        fs::create_dir_all(model.join(name).parent().unwrap()).unwrap();
        fs::write(model.join(name), name).unwrap();
    }
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let tool = |arguments: &[&str]| {
        let ran = run(Command::new(python).args(["-m", "model_signing"]).args(arguments).arg(&model));
        (ran.code, format!("{}{}", ran.stdout, ran.stderr))
    };
    let key = "from cryptography.hazmat.primitives import serialization as s\n\
               from cryptography.hazmat.primitives.asymmetric import ec\nimport sys\nk=ec.generate_private_key(ec.SECP256R1())\n\
               open(sys.argv[1],'wb').write(k.private_bytes(s.Encoding.PEM,s.PrivateFormat.PKCS8,s.NoEncryption()))\n\
               open(sys.argv[2],'wb').write(k.public_key().public_bytes(s.Encoding.PEM,s.PublicFormat.SubjectPublicKeyInfo))";
    let (private, public, signature) = (text("private.pem"), text("public.pem"), text("model/model.sig"));
    let made = run(Command::new(python).args(["-c", key, &private, &public]));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let signed = tool(&["sign", "key", "--private_key", &private, "--signature", &signature]);
    assert_eq!(signed.0, Some(0), "{}", signed.1);

    let (ran, answer) = verify(&model, signature.as_ref(), public.as_ref());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(answer["claims"]["oms"]["digest"], subject_digest(signature.as_ref()));
    let (_, unsigned) = commit(&[model.to_str().unwrap(), "--oms-ignore", "model.sig"]);
    assert_eq!(unsigned["claims"]["oms"]["digest"], answer["claims"]["oms"]["digest"]);

    let verifying = ["verify", "key", "--public_key", &public, "--signature", &signature];
    assert_eq!(tool(&verifying).0, Some(0));
    fs::write(model.join("z/1"), "other").unwrap();
    assert_ne!(tool(&verifying).0, Some(0));
    assert_eq!(verify(&model, signature.as_ref(), public.as_ref()).0.code, Some(4));
}
