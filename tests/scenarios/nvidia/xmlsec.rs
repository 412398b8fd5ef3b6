//! The signatures of manifests before another reader: `xmlsec1`, where it is installed. It accepts every genuine one, as we
//! do; and we accept nothing that it refuses. It knows no profile, so that it accepts more.

use std::fs;
use std::path::Path;
use std::process::Command;

use weighbridge_attest::Endorsements;
use weighbridge_tests::{run, shared, skipped};
use weighbridge_tests_simulator::RimProfile;

use super::*;

/// Whether the signature alone holds, by the other reader: its own certificates are not looked at.
fn theirs(folder: &Path, manifest: &[u8]) -> bool {
    let file = folder.join("manifest.xml");
    fs::write(&file, manifest).expect("the temporary folder can be written");
    run(Command::new("xmlsec1").args(["--verify", "--insecure"]).arg(&file)).code == Some(0)
}

/// Whether we read it: its signature holds under its first certificate.
fn ours(manifest: &[u8]) -> bool {
    let found = Endorsements::recognise(&[manifest.to_vec()]);
    found.unrecognised().is_empty() && found.unreadable().next().is_none()
}

fn is_installed() -> bool {
    let found = Command::new("xmlsec1").arg("--version").output().is_ok();
    if !found {
        skipped("the second reader of XML signatures: xmlsec1 is not installed");
    }
    found
}

/// Every manifest of the shared folder, and whether its name says that it is genuine or only under another chain.
fn manifests() -> Vec<(String, bool, Vec<u8>)> {
    let Some(shared) = shared() else {
        skipped("captured manifests before xmlsec1: no shared folder");
        return Vec::new();
    };
    let pool = shared.join("vectors/_pool/nvidia-rims");
    let folders = ["nvidia-gpu", "nvidia-nvswitch"].map(|kind| shared.join("vectors").join(kind));
    let below = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder per kind"));
    let cases = below.map(|entry| entry.expect("an entry").path());
    let files = cases.chain([pool]).flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let paths = files.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<(String, bool, Vec<u8>)> = Vec::new();
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "swidtag" || end == "xml")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let changed =
            ["signature", "driver_rim_NEG_mismatch", "bios_rim_NEG_mismatch"].iter().any(|word| name.contains(word));
        // The VBIOS's is signed, and its values differ.
        let changed = changed && !name.starts_with("vbios");
        found.push((name, !changed, fs::read(path).expect("a readable vector")));
    }
    found
}

#[test]
fn captured_manifests_hold_for_both_readers_or_for_none() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = manifests();
    for (name, genuine, bytes) in &all {
        assert_eq!((ours(bytes), theirs(folder.path(), bytes)), (*genuine, *genuine), "{name}");
    }
    println!("{} manifests, {} genuine", all.len(), all.iter().filter(|(_, genuine, _)| *genuine).count());
    assert!(shared().is_none() || all.len() > 40, "{}", all.len());
}

#[test]
fn nothing_that_the_other_reader_refuses_is_read_by_us() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let both = |manifest: &str| (ours(manifest.as_bytes()), theirs(folder.path(), manifest.as_bytes()));
    let world = World::new(41, NOW);
    let (signer, content) = (world.rim_signer(), world.gpu_rims()[0].content());
    let text = signer.sign(&content);
    let spellings = [
        text.clone(),
        text.replace(" active=", "\n active = "),
        text.replace("type=\"Measurement\"", "type='Measurement'"),
        text.replace(" size=\"48\" type=\"Measurement\"", " type=\"Measurement\" size=\"48\""),
        text.replace("></ns0:Resource>", "/>"),
        text.replace('\n', "\r\n"),
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}"),
    ];
    for spelling in spellings {
        assert_eq!(both(&spelling), (true, true), "{}", &spelling[..200]);
    }
    let with_profile = |change: &dyn Fn(&mut RimProfile)| {
        let mut profile = RimProfile::genuine();
        change(&mut profile);
        signer.sign_with(&content, &profile)
    };
    let evil = content.replacen("active=\"True\"", "active=\"False\"", 1);
    let signature = signer.signature(&content, &RimProfile::genuine());
    let attacks = [
        ("changed", text.replacen("active=\"True\"", "active=\"False\"", 1)),
        ("signature of another", evil.replacen("</SoftwareIdentity>", &format!("{signature}</SoftwareIdentity>"), 1)),
        ("moved", content.replacen("</ns0:Payload>", &format!("{signature}</ns0:Payload>"), 1)),
        ("twice", text.replacen(&signature, &signature.repeat(2), 1)),
        ("wrapped", evil.replacen("</SoftwareIdentity>", &format!("{text}</SoftwareIdentity>"), 1)),
        ("comment", text.replacen("</ns0:Payload>", "<!-- --></ns0:Payload>", 1)),
        ("CDATA", text.replacen("    </ns0:Payload>", "<![CDATA[    ]]></ns0:Payload>", 1)),
        ("instruction", text.replacen("</ns0:Payload>", "<?x y?></ns0:Payload>", 1)),
        ("DTD", format!("<!DOCTYPE SoftwareIdentity>{text}")),
        ("namespace", text.replacen("xmlns:ns0=\"http://standards.iso.org", "xmlns:ns0=\"http://standard.iso.org", 1)),
        ("URI", with_profile(&|profile| profile.uri = "#x".to_owned())),
        ("transforms", with_profile(&|profile| drop(profile.transforms.pop()))),
        ("digest", with_profile(&|profile| profile.digest = "http://www.w3.org/2001/04/xmlenc#sha256".to_owned())),
    ];
    let mut only_theirs = Vec::new();
    for (what, manifest) in attacks {
        let (ours, theirs) = both(&manifest);
        assert!(!ours, "{what}");
        if theirs {
            only_theirs.push(what);
        }
    }
    // What a profile is for: a general reader finds nothing wrong with these.
    println!("refused by the profile alone: {only_theirs:?}");
    assert!(only_theirs.contains(&"comment") && !only_theirs.contains(&"changed"), "{only_theirs:?}");
}
