//! Folders of vendors' statements: what each file is and until when it holds, and one archive of it, out and in.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weighbridge_tests::vectors::Case;
use weighbridge_tests::{Ran, run};

use crate::commands::weighbridge;

fn endorsements(words: &[&str], paths: &[&Path]) -> Ran {
    run(weighbridge(&["endorsements"]).args(words).args(paths))
}

fn status(store: &Path, at: &str, more: &[&str]) -> (Ran, Value) {
    let ran = endorsements(&[&["status", "--format", "json", "--at", at], more].concat(), &[store]);
    let object =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", ran.stdout, ran.stderr));
    (ran, object)
}

fn states(object: &Value) -> Vec<(String, String)> {
    let files = object["claims"]["files"].as_array().expect("files").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    files.map(|file| (text(&file["file"]), text(&file["state"]))).collect()
}

/// Collateral of a quote, certificates of a report, manifests of a GPU: as names in one folder.
fn store(folder: &Path) -> Option<PathBuf> {
    let store = folder.join("store");
    std::fs::create_dir_all(&store).expect("a folder");
    let put = |name: &str, bytes: Vec<u8>| std::fs::write(store.join(name), bytes).expect("writes");
    let tdx = Case::named("tdx", "v4-dstack-quote-report-90c06f")?;
    let row = tdx.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
    put("collateral.json", tdx.read(&row.endorsements[0]));
    let snp = Case::named("sev-snp", "milan-v3-ms")?;
    put("vek.der", snp.read("vek.der"));
    let gpu = Case::named("nvidia-gpu", "h100-550.90.07-full")?;
    let row = gpu.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
    for (number, rim) in row.endorsements.iter().filter(|file| !file.starts_with("chain")).enumerate() {
        put(&format!("rim-{number}.xml"), gpu.read(rim));
    }
    Some(store)
}

/// When all of the folder holds, and when its collateral ends.
fn times() -> Option<(String, String)> {
    let tdx = Case::named("tdx", "v4-dstack-quote-report-90c06f")?;
    let row = tdx.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
    Some((row.at.clone().expect("a time"), "2099-01-01T00:00:00Z".to_owned()))
}

#[test]
fn each_file_says_what_it_is_and_until_when_and_the_exit_code_says_whether_to_act() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (Some(store), Some((at, late))) = (store(folder.path()), times()) else { return };
    std::fs::remove_file(store.join("rim-0.xml")).expect("a manifest");
    std::fs::remove_file(store.join("rim-1.xml")).expect("a manifest");
    let (ran, object) = status(&store, &at, &[]);
    assert_eq!((ran.code, &object["verdict"]), (Some(0), &json!("accepted")), "{}", ran.stdout);
    let files = object["claims"]["files"].as_array().expect("files");
    assert_eq!((&files[0]["kind"], &files[1]["kind"]), (&json!("tdx"), &json!("sev-snp")));
    let whats: Vec<&str> =
        files[0]["statements"].as_array().expect("statements").iter().filter_map(|s| s["what"].as_str()).collect();
    for what in ["TCB info", "QE identity", "revocation list", "certificate"] {
        assert!(whats.contains(&what), "{what}: {whats:?}");
    }
    let about = files[1]["statements"][0]["about"].as_str().expect("a text");
    assert!(about.contains("VCEK of Milan chip") && about.contains("microcode"), "{about}");
    // A month ahead, some of it ends; at the end of the century all of it has.
    let (ran, object) = status(&store, &at, &["--within", "60d"]);
    assert_eq!((ran.code, &object["reasons"][0]["code"]), (Some(6), &json!("endorsement-ending")), "{}", ran.stdout);
    let (ran, object) = status(&store, &late, &[]);
    assert_eq!((ran.code, &object["reasons"][0]["code"]), (Some(6), &json!("endorsement-ended")), "{}", ran.stdout);
    // What nobody knows and what nobody can read is for somebody to look at.
    std::fs::write(store.join("junk"), "junk").expect("writes");
    std::fs::write(store.join("half.json"), "{\"tcb_info\": 3}").expect("writes");
    let (ran, object) = status(&store, &at, &[]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    let codes: Vec<&str> =
        object["reasons"].as_array().expect("reasons").iter().filter_map(|reason| reason["code"].as_str()).collect();
    assert_eq!(codes, ["endorsement-unreadable", "endorsement-unknown"]);
    let text = endorsements(&["status", "--at", &at], &[&store]).stdout;
    assert!(text.contains("unknown") && text.contains("(exit code 3)"), "{text}");
}

#[test]
fn manifests_are_described_with_their_signers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(store) = store(folder.path()) else { return };
    let (_, object) = status(&store, "2024-12-01T00:00:00Z", &[]);
    let files = object["claims"]["files"].as_array().expect("files").iter();
    let rims: Vec<&Value> = files.filter(|file| file["kind"] == "nvidia-gpu").collect();
    assert_eq!(rims.len(), 2, "{object}");
    for rim in rims {
        let about = rim["statements"][0]["about"].as_str().expect("a text");
        assert_eq!((&rim["statements"][0]["what"], rim["state"] == "unreadable"), (&json!("RIM"), false));
        assert!(about.contains("measurements") && rim["until"].is_string(), "{rim}");
    }
}

#[test]
fn an_archive_is_the_same_bytes_each_time_and_brings_the_folder_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (Some(store), Some((at, _))) = (store(folder.path()), times()) else { return };
    let export = |from: &Path, name: &str| {
        let out = folder.path().join(name);
        let ran = endorsements(&["export"], &[from, Path::new("--out"), &out]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        (std::fs::read(&out).expect("an archive"), out)
    };
    let (bytes, archive) = export(&store, "a");
    let back = folder.path().join("back");
    let import = |archive: &Path| endorsements(&["import", "--format", "json"], &[archive, Path::new("--into"), &back]);
    let outcomes = |ran: &Ran| -> Vec<String> {
        let object: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", ran.stdout, ran.stderr));
        let files = object["claims"]["files"].as_array().expect("files").clone();
        files.iter().map(|file| file["outcome"].as_str().expect("a text").to_owned()).collect()
    };
    let first = import(&archive);
    assert_eq!((first.code, outcomes(&first)), (Some(0), vec!["added".to_owned(); 4]), "{}", first.stderr);
    assert_eq!(outcomes(&import(&archive)), vec!["same".to_owned(); 4]);
    assert_eq!(export(&back, "b").0, bytes);
    assert_eq!(states(&status(&back, &at, &[]).1), states(&status(&store, &at, &[]).1));
    // Every cut and every changed byte of an archive is refused, and nothing of it arrives.
    for (number, damaged) in [bytes[..bytes.len() - 1].to_vec(), [bytes.clone(), vec![0]].concat(), {
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        changed
    }]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(format!("damaged-{number}"));
        std::fs::write(&file, damaged).expect("writes");
        let fresh = folder.path().join(format!("fresh-{number}"));
        let ran = endorsements(&["import"], &[&file, Path::new("--into"), &fresh]);
        assert_eq!(ran.code, Some(3), "{number}: {}", ran.stderr);
        assert!(!fresh.exists(), "{number}");
    }
}
