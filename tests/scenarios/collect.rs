//! **Duty.** The Attester's hands against real captures: stable ids and canonical reports, and agreement with what the
//! Verifier reads out of the same bytes by its own code. **Spec.** EVIDENCE §1.1, §1.3, §2.1, §2.3.

use std::fs;
use std::path::{Path, PathBuf};

use weighbridge_attest::{RawEvidence, built_in_anchors, verify};
use weighbridge_attest_collect::{
    Collector, canonical_gpu_report, certificates_of_pem, collect_set, gpu_of_chain, platform_of_quote,
};
use weighbridge_attest_types::{Binding, Challenge, Culprit, Digest32, EvidenceKind, UnixMillis};
use weighbridge_tests::{shared, skipped};
use weighbridge_tests_simulator::World;

/// 2026-06-01: after the issue of every device certificate; their ends are in 9999.
const AT: UnixMillis = UnixMillis(1_780_272_000_000);

fn cases(kind: &str, file: &str) -> Vec<PathBuf> {
    let Some(shared) = shared() else {
        skipped("real captures: the shared vectors are not on this machine");
        return vec![];
    };
    let folder = fs::read_dir(shared.join("vectors").join(kind)).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|case| case.unwrap().path().join(file)).collect();
    files.retain(|file| file.exists());
    files.sort();
    assert!(files.len() >= 5, "{kind}: cases were lost");
    files
}

/// Not one of the damaged copies, and not the SDK's sample, which carries no certificate chain at all.
fn is_genuine(file: &Path) -> bool {
    let damaged = |name: &str| name.starts_with("NEG") || name.ends_with("TESTROOT");
    !file.components().any(|part| damaged(&part.as_os_str().to_string_lossy()))
}

#[test]
fn real_gpu_reports_are_canonical_and_name_the_device_that_the_verifier_names() {
    for file in cases("nvidia-gpu", "report.bin").into_iter().filter(|file| is_genuine(file)) {
        let report = fs::read(&file).unwrap();
        let chain = certificates_of_pem("test", &fs::read(file.with_file_name("chain.pem")).unwrap()).unwrap();
        let nonce: [u8; 32] = report[4..36].try_into().unwrap();
        let canonical = canonical_gpu_report(report.clone(), nonce).unwrap();
        assert!(report.len() - canonical.len() <= 1 && report.starts_with(&canonical), "{}", file.display());
        let raw = RawEvidence { body: &canonical, certificates: &chain };
        let claims = verify(&EvidenceKind::new("nvidia-gpu"), raw, &[], &built_in_anchors(), AT);
        let claims = claims.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(claims.claims().device, Some(gpu_of_chain(&chain).unwrap()), "{}", file.display());
        for length in [0, 36, 37, 45, canonical.len() - 1] {
            let cut = canonical_gpu_report(canonical[..length].to_vec(), nonce).unwrap_err();
            assert_eq!(cut.culprit(), Culprit::Malformed);
        }
    }
}

#[test]
fn real_quotes_of_versions_4_and_5_name_their_platform() {
    let mut versions = [0, 0];
    for file in cases("tdx", "quote.bin").into_iter().filter(|file| is_genuine(file)) {
        let quote = fs::read(&file).unwrap();
        let device = platform_of_quote(&quote);
        assert!(device.is_ok(), "{}: {device:?}", file.display());
        versions[usize::from(quote[0] == 5)] += 1;
        for length in [0, 2, 48, 600, quote.len() / 2] {
            assert_eq!(platform_of_quote(&quote[..length]).unwrap_err().culprit(), Culprit::Malformed);
        }
    }
    if shared().is_some() {
        assert!(versions[0] >= 10 && versions[1] >= 4, "{versions:?}");
    }
}

#[test]
fn simulated_evidence_is_read_like_real_evidence() {
    let world = World::new(9, AT);
    let node = world.node(0, 2);
    let set = collect_set(&node, Binding::key(Digest32([1; 32]), Challenge::None)).unwrap();
    assert_eq!(platform_of_quote(&set.cpu.body).unwrap(), node.cpu().unwrap().device);
    for evidence in &set.devices {
        assert_eq!(gpu_of_chain(&evidence.certificates).unwrap(), evidence.device);
        let nonce = set.binding.gpu_nonce(evidence.device).0;
        let mut padded = evidence.report.clone();
        padded.push(0);
        assert_eq!(canonical_gpu_report(padded, nonce).unwrap(), evidence.report);
    }
    assert_eq!(gpu_of_chain(&set.devices[0].certificates[..1]).unwrap_err().culprit(), Culprit::Malformed);
}
