//! Signed statements as people use them, and as other people's code reads them.

use std::path::{Path, PathBuf};
use std::process::Command;

use weighbridge_tests::{Ran, run, skipped};

use crate::commands::desk;

fn statement(arguments: &[&str], paths: &[(&str, &Path)]) -> Ran {
    let mut command = desk().command(&["statement"]);
    command.args(arguments);
    for (flag, path) in paths {
        if !flag.is_empty() {
            command.arg(flag);
        }
        command.arg(path);
    }
    run(&mut command)
}

fn signed(folder: &Path, key: &Path) -> PathBuf {
    let out = folder.join("statement.json");
    let ran = statement(
        &["sign"],
        &[("", &desk().bundle), ("--trust-roots", &desk().roots), ("--key", key), ("--out", &out)],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("SIMULATED"), "{}", ran.stdout);
    out
}

fn generated(folder: &Path) -> (PathBuf, PathBuf) {
    let (key, public) = (folder.join("key.pem"), folder.join("key.pub.pem"));
    let ran = statement(&["keygen"], &[("--out", &key), ("--public", &public)]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (key, public)
}

#[test]
fn a_statement_is_signed_checked_and_compared_with_its_bundle() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (key, public) = generated(folder.path());
    assert_eq!(std::fs::metadata(&key).expect("metadata").permissions().mode() & 0o777, 0o600);
    let again = statement(&["keygen"], &[("--out", &key), ("--public", &public)]);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("an existing key is never overwritten"), "{}", again.stderr);
    let out = signed(folder.path(), &key);
    let alone = statement(&["verify"], &[("", &out), ("--key", &public)]);
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    assert!(alone.stdout.starts_with("SIMULATED") && alone.stdout.contains("Only the signature"), "{}", alone.stdout);
    let paths =
        [("", out.as_path()), ("--key", &public), ("--bundle", &desk().bundle), ("--trust-roots", &desk().roots)];
    let compared = statement(&["verify"], &paths);
    assert_eq!(compared.code, Some(0), "{}", compared.stderr);
    assert!(compared.stdout.contains("The bundle was verified and says the same."), "{}", compared.stdout);
    let untrusted = statement(&["verify"], &paths[..3]);
    assert_eq!(untrusted.code, Some(4), "without roots the bundle is not accepted");
    let (other, stranger) = (folder.path().join("other"), folder.path().join("other.pub"));
    assert_eq!(statement(&["keygen"], &[("--out", &other), ("--public", &stranger)]).code, Some(0));
    let foreign = statement(&["verify", "--format", "json"], &[("", &out), ("--key", &stranger)]);
    assert_eq!(foreign.code, Some(4));
    assert!(foreign.stdout.contains("\"statement-signature\""), "{}", foreign.stdout);
}

#[test]
fn a_bundle_that_is_not_accepted_is_not_signed_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (key, _) = generated(folder.path());
    let out = folder.path().join("statement.json");
    let ran = statement(&["sign"], &[("", &desk().bundle), ("--key", &key), ("--out", &out)]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains("was not accepted, so no statement was signed"), "{}", ran.stderr);
    assert!(!out.exists());
}

/// DSSE by securesystemslib, in-toto by in-toto-attestation: Ed25519 from our keygen, P-256 from openssl.
#[test]
fn other_implementations_accept_what_we_sign() {
    #[expect(clippy::disallowed_methods, reason = "names the interpreter of tests/python/requirements.txt")]
    let python = std::env::var_os("WEIGHBRIDGE_PYTHON").unwrap_or_else(|| "python3".into());
    let imports = "import in_toto_attestation, securesystemslib.dsse, cryptography";
    let importable = Command::new(&python).args(["-c", imports]).output().is_ok_and(|ran| ran.status.success());
    if !importable {
        return skipped("no python3 with tests/python/requirements.txt (WEIGHBRIDGE_PYTHON names one)");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/check_statement.py");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut keys = vec![generated(folder.path())];
    let (key, public) = (folder.path().join("p256.pem"), folder.path().join("p256.pub.pem"));
    let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
    let made = Command::new("openssl").args(make).arg(&key).output().is_ok_and(|ran| ran.status.success());
    let export = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(&public).output();
    if made && export.is_ok_and(|ran| ran.status.success()) {
        keys.push((key, public));
    } else {
        skipped("ECDSA P-256: no openssl to make a key");
    }
    for (key, public) in keys {
        let out = signed(folder.path(), &key);
        let ours = statement(&["verify"], &[("", &out), ("--key", &public)]);
        assert_eq!(ours.code, Some(0), "{}", ours.stderr);
        let ran = run(Command::new(&python).arg(&script).arg(&out).arg(&public));
        assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "simulated"), "{}", ran.stderr);
    }
}
