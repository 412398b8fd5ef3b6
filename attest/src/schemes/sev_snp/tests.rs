//! A self-made chain in AMD's formats: what no capture has (revocation lists, crossed keys, reports with strange
//! fields). One RSA key stands in for all authorities, so that names and roles must do what other keys would.

use std::sync::OnceLock;

use rand::SeedableRng as _;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA384, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use weighbridge_attest_types::{
    Culprit, Device, EvidenceKind, Grade, PlatformClaims, SnpSigner, TrustAnchors, UnixMillis,
};

use super::endorsement::AmdFile;
use super::report::SnpReport;
use super::verify::verify as verify_report;
use crate::anchors::parse_anchor_file;
use crate::crl::RevocationList;
use crate::endorsements::Endorsements;
use crate::error::EvidenceError;
use crate::scheme::RawEvidence;
use crate::schemes::{verify, verify_with};
use crate::x509::der;

pub(in crate::schemes) const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
const PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const PSS_PARAMETERS: &[u8] = b"\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
      \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
      \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\xa2\x03\x02\x01\x30";
const EC_P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

#[expect(clippy::disallowed_methods, reason = "signatures of a test")]
pub(in crate::schemes) fn randomness() -> SystemRandom {
    SystemRandom::new()
}

/// Generated once per run: 4096 bits take seconds.
fn authority() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut random = rand::rngs::StdRng::seed_from_u64(3704);
        let key = rsa::RsaPrivateKey::new(&mut random, 4096).unwrap();
        RsaKeyPair::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap()
    })
}

fn chip() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| {
        let random = randomness();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap()
    })
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

fn name(common: &str) -> Vec<u8> {
    let attribute = sequence(&[b"\x06\x03\x55\x04\x03", &der(0x0c, common.as_bytes())]);
    sequence(&[&der(0x31, &attribute)])
}

fn algorithm() -> Vec<u8> {
    sequence(&[PSS, &der(0x30, PSS_PARAMETERS)])
}

fn sign(tbs: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; authority().public().modulus_len()];
    authority().sign(&RSA_PSS_SHA384, &randomness(), tbs, &mut signature).unwrap();
    sequence(&[tbs, &algorithm(), &der(0x03, &[&[0], &signature[..]].concat())])
}

/// One certificate before it is signed.
#[derive(Clone)]
struct Draft {
    subject: String,
    issuer: String,
    serial: u8,
    dates: [&'static str; 2],
    key: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Draft {
    fn authority(subject: &str, issuer: &str, serial: u8) -> Self {
        let bits = der(0x03, &[&[0], authority().public().as_ref()].concat());
        let constraints = extension(b"\x55\x1d\x13", true, b"\x30\x03\x01\x01\xff");
        let usage = extension(b"\x55\x1d\x0f", true, b"\x03\x02\x01\x06");
        Self {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            serial,
            dates: ["201022000000Z", "451022000000Z"],
            key: sequence(&[RSA, &bits]),
            extensions: vec![constraints, usage],
        }
    }

    /// A VEK that fits [`report_of`] of the same line.
    fn vek(signer: SnpSigner, line: &str) -> Self {
        let (subject, issuer) = match signer {
            SnpSigner::Vcek => ("SEV-VCEK", format!("SEV-{line}")),
            SnpSigner::Vlek => ("SEV-VLEK", format!("SEV-VLEK-{line}")),
        };
        let amd =
            |arcs: &[u8], value: &[u8]| extension(&[b"\x2b\x06\x01\x04\x01\x9c\x78\x01", arcs].concat(), false, value);
        let mut extensions = vec![amd(&[1], b"\x02\x01\x00"), amd(&[2], &der(0x16, line.as_bytes()))];
        for (part, svn) in [(1, 4), (2, 0), (3, 24)] {
            extensions.push(amd(&[3, part], &[2, 1, svn]));
        }
        extensions.push(amd(&[3, 8], &[2, 2, 0, 0xdb]));
        if line == "Turin" {
            extensions.push(amd(&[3, 9], &[2, 1, 1]));
        }
        extensions.push(match signer {
            SnpSigner::Vcek => amd(&[4], &[0xab; 64][..if line == "Turin" { 8 } else { 64 }]),
            SnpSigner::Vlek => amd(&[5], b"\x16\x05cloud"),
        });
        let bits = der(0x03, &[&[0], chip().public_key().as_ref()].concat());
        Self {
            subject: subject.to_owned(),
            issuer,
            serial: 0,
            dates: ["260101000000Z", "270101000000Z"],
            key: sequence(&[EC_P384, &bits]),
            extensions,
        }
    }

    fn issue(&self) -> Vec<u8> {
        let dates = self.dates.map(|date| der(0x17, date.as_bytes()));
        let tbs = sequence(&[
            &der(0xa0, b"\x02\x01\x02"),
            &der(0x02, &[self.serial]),
            &algorithm(),
            &name(&self.issuer),
            &sequence(&[&dates[0], &dates[1]]),
            &name(&self.subject),
            &self.key,
            &der(0xa3, &sequence(&[&self.extensions.concat()])),
        ]);
        sign(&tbs)
    }
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    sequence(&[&der(0x06, oid), critical, &der(0x04, value)])
}

fn crl(issuer: &str, dates: [&str; 2], revoked: &[u8]) -> Vec<u8> {
    crl_with(issuer, &dates, revoked, &[])
}

/// A list with any number of dates, and extensions.
fn crl_with(issuer: &str, dates: &[&str], revoked: &[u8], extensions: &[u8]) -> Vec<u8> {
    let entry = |serial: &u8| sequence(&[&der(0x02, &[*serial]), &der(0x17, b"260101000000Z")]);
    let entries: Vec<u8> = revoked.iter().flat_map(entry).collect();
    let entries = if entries.is_empty() { Vec::new() } else { der(0x30, &entries) };
    let dates: Vec<u8> = dates.iter().flat_map(|date| der(0x17, date.as_bytes())).collect();
    sign(&sequence(&[b"\x02\x01\x01", &algorithm(), &name(issuer), &dates, &entries, extensions]))
}

const CURRENT: [&str; 2] = ["261001000000Z", "261201000000Z"];
const ENDED: [&str; 2] = ["260901000000Z", "261001000000Z"];

/// A report of a line, before it is signed.
fn report_of(line: &str, version: u8, signer: SnpSigner) -> Vec<u8> {
    let mut report = vec![0u8; 1184];
    let tcb: [u8; 8] = if line == "Turin" { [1, 4, 0, 24, 0, 0, 0, 0xdb] } else { [4, 0, 0, 0, 0, 0, 24, 0xdb] };
    report[0] = version;
    report[0x0a] = 3;
    report[0x34] = 1;
    report[0x48] = if signer == SnpSigner::Vlek { 4 } else { 0 };
    for at in [0x38, 0x180, 0x1e0, 0x1f0] {
        report[at..at + 8].copy_from_slice(&tcb);
    }
    if version > 2 {
        let cpuid = match line {
            "Milan" => [0x19, 1, 1],
            "Genoa" => [0x19, 0xa0, 2],
            _ => [0x1a, 2, 1],
        };
        report[0x188..0x18b].copy_from_slice(&cpuid);
    }
    if signer == SnpSigner::Vcek {
        let id_bytes = if line == "Turin" { 8 } else { 64 };
        report[0x1a0..0x1a0 + id_bytes].fill(0xab);
    }
    report
}

fn signed(mut report: Vec<u8>) -> Vec<u8> {
    let signature = chip().sign(&randomness(), &report[..0x2a0]).unwrap();
    let (r, s) = signature.as_ref().split_at(48);
    for (at, scalar) in [(0x2a0, r), (0x2e8, s)] {
        let little: Vec<u8> = scalar.iter().rev().copied().collect();
        report[at..at + 48].copy_from_slice(&little);
    }
    report
}

/// Everything about one report: changed piece by piece before it is judged.
#[derive(Clone)]
pub(in crate::schemes) struct Scene {
    pub(in crate::schemes) report: Vec<u8>,
    pub(in crate::schemes) endorsements: Vec<Vec<u8>>,
    pub(in crate::schemes) anchors: TrustAnchors,
}

fn root_file(pem_of: &[u8], name: &str) -> Vec<u8> {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(pem_of);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    let format = "weighbridge/trust-anchor/v1";
    serde_json::json!({ "format": format, "name": name, "grade": "simulated", "kind": "amd-root", "certificate_pem": pem })
        .to_string()
        .into_bytes()
}

fn scene(line: &str, version: u8, signer: SnpSigner) -> Scene {
    let ark = format!("ARK-{line}");
    let root = Draft::authority(&ark, &ark, 1).issue();
    let vek = Draft::vek(signer, line);
    let issuer = Draft::authority(&vek.issuer, &ark, 2).issue();
    let mut anchors = TrustAnchors::default();
    parse_anchor_file(&root_file(&root, "simulated ARK"), &mut anchors).unwrap();
    Scene { report: signed(report_of(line, version, signer)), endorsements: vec![vek.issue(), issuer, root], anchors }
}

impl Scene {
    fn judge(&self) -> Result<PlatformClaims, EvidenceError> {
        let raw = RawEvidence { body: &self.report, certificates: &[] };
        let kind = EvidenceKind::new(EvidenceKind::SEV_SNP);
        verify(&kind, raw, &self.endorsements, &self.anchors, NOW).map(|verified| verified.claims().clone())
    }

    fn refused(&self) -> (Culprit, Vec<&'static str>) {
        let error = self.judge().unwrap_err();
        (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
    }

    pub(in crate::schemes) fn with_report(mut self, change: impl Fn(&mut Vec<u8>)) -> Self {
        change(&mut self.report);
        self.report = signed(self.report);
        self
    }

    fn with_vek(mut self, signer: SnpSigner, line: &str, change: impl Fn(&mut Draft)) -> Self {
        let mut draft = Draft::vek(signer, line);
        change(&mut draft);
        self.endorsements[0] = draft.issue();
        self
    }

    fn and(mut self, endorsement: Vec<u8>) -> Self {
        self.endorsements.push(endorsement);
        self
    }

    fn open(&self) -> Vec<String> {
        self.judge().unwrap().not_checked.into_iter().map(|open| open.code).collect()
    }
}

pub(in crate::schemes) fn milan() -> Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| scene("Milan", 3, SnpSigner::Vcek)).clone()
}

fn untrusted(codes: &[&'static str]) -> (Culprit, Vec<&'static str>) {
    (Culprit::Untrusted, codes.to_vec())
}

#[test]
fn every_version_line_and_kind_of_key_is_read() {
    for (line, version, signer) in [
        ("Milan", 2, SnpSigner::Vcek),
        ("Milan", 3, SnpSigner::Vcek),
        ("Milan", 4, SnpSigner::Vlek),
        ("Genoa", 3, SnpSigner::Vcek),
        ("Turin", 2, SnpSigner::Vcek),
        ("Turin", 5, SnpSigner::Vcek),
        ("Turin", 5, SnpSigner::Vlek),
    ] {
        let claims = scene(line, version, signer).judge().unwrap();
        let snp = claims.snp.unwrap();
        assert_eq!((snp.product.as_str(), snp.version, snp.signer), (line, u32::from(version), signer));
        assert_eq!((snp.tcb.reported.fmc, snp.tcb.reported.microcode), ((line == "Turin").then_some(1), 0xdb));
        assert_eq!((claims.grade, claims.debug, claims.migratable), (Grade::Simulated, Some(false), Some(false)));
        assert_eq!(claims.device.is_some(), signer == SnpSigner::Vcek, "a VLEK names no chip");
        assert_eq!(snp.csp_id.is_some(), signer == SnpSigner::Vlek);
    }
    let kind = EvidenceKind::new(EvidenceKind::SEV_SNP);
    let expected = Device::derive(&kind, &[b"Milan", &[0xab; 64][..]].concat());
    assert_eq!(milan().judge().unwrap().device, Some(expected));
}

#[test]
fn a_masked_version_2_report_under_a_vlek_is_read_by_own_code_alone() {
    let masked = scene("Milan", 2, SnpSigner::Vlek);
    assert_eq!(masked.open(), ["snp-crl", "snp-second-parser"]);
    let forged = Scene { report: report_of("Milan", 2, SnpSigner::Vlek), ..masked };
    assert_eq!(forged.refused(), untrusted(&["report-signature"]));
    assert_eq!(scene("Milan", 3, SnpSigner::Vlek).open(), ["snp-crl"]);
}

#[test]
fn a_vlek_never_passes_as_a_vcek_nor_the_other_way_round() {
    let vcek = milan();
    let vlek = scene("Milan", 3, SnpSigner::Vlek);
    // The report says VCEK, the certificate is a genuine VLEK.
    let mut crossed = vlek.clone();
    crossed.report.clone_from(&vcek.report);
    assert_eq!(crossed.refused(), untrusted(&["vek-kind-differs"]));
    let mut crossed = vcek.clone();
    crossed.report.clone_from(&vlek.report);
    assert_eq!(crossed.refused(), untrusted(&["vek-kind-differs", "vek-chip-differs"]));
    // A VLEK that the signer of VCEKs has issued, and the reverse.
    let under_ask = vlek.clone().with_vek(SnpSigner::Vlek, "Milan", |draft| draft.issuer = "SEV-Milan".into());
    let under_ask = Scene {
        endorsements: [under_ask.endorsements[0].clone(), vcek.endorsements[1].clone(), vcek.endorsements[2].clone()]
            .to_vec(),
        ..under_ask
    };
    assert_eq!(under_ask.refused(), untrusted(&["vek-issuer-name"]));
    let under_asvk = vcek.clone().with_vek(SnpSigner::Vcek, "Milan", |draft| draft.issuer = "SEV-VLEK-Milan".into());
    let under_asvk = Scene {
        endorsements: [under_asvk.endorsements[0].clone(), vlek.endorsements[1].clone(), vlek.endorsements[2].clone()]
            .to_vec(),
        ..under_asvk
    };
    assert_eq!(under_asvk.refused(), untrusted(&["vek-issuer-name"]));
    // Only the other kind's issuer came along.
    let mut without = vlek;
    without.endorsements[1].clone_from(&vcek.endorsements[1]);
    assert_eq!(without.refused(), untrusted(&["chain-of-another-product"]));
    // A chip id beside the provider's name, or the provider's name on a chip's key.
    let both = vcek.clone().with_vek(SnpSigner::Vcek, "Milan", |draft| {
        draft.extensions.push(Draft::vek(SnpSigner::Vlek, "Milan").extensions.pop().unwrap());
    });
    assert_eq!(both.refused(), untrusted(&["vek-extension"]));
    let renamed = vcek.with_vek(SnpSigner::Vcek, "Milan", |draft| draft.subject = "SEV-VLEK".into());
    assert_eq!(renamed.refused(), untrusted(&["vek-extension"]));
}

#[test]
fn certificate_and_report_must_say_the_same() {
    let vek = |change: &dyn Fn(&mut Draft)| milan().with_vek(SnpSigner::Vcek, "Milan", change).refused();
    let last = |draft: &mut Draft| draft.extensions.pop().unwrap();
    assert_eq!(milan().with_report(|report| report[0x1a0] ^= 1).refused(), untrusted(&["vek-chip-differs"]));
    assert_eq!(milan().with_report(|report| report[0x1a0..0x1e0].fill(0)).refused(), untrusted(&["vek-chip-differs"]));
    // On Turin only eight bytes are the id: the rest is zero.
    let longer = scene("Turin", 5, SnpSigner::Vcek).with_report(|report| report[0x1df] = 1);
    assert_eq!(longer.refused(), untrusted(&["vek-chip-differs"]));
    for at in 0x180..0x188 {
        let other = milan().with_report(|report| report[at] ^= 1);
        assert_eq!(other.refused(), untrusted(&["vek-tcb-differs"]), "{at:#x}");
    }
    assert_eq!(milan().with_report(|report| report[0x189] = 0x11).refused(), untrusted(&["cpuid-differs"]));
    assert_eq!(vek(&|draft| drop(last(draft))), untrusted(&["vek-extension"]));
    assert_eq!(vek(&|draft| drop(draft.extensions.remove(2))), untrusted(&["vek-extension"]));
    let twice = |draft: &mut Draft| draft.extensions.push(draft.extensions[2].clone());
    assert_eq!(vek(&twice), untrusted(&["certificate-extension"]));
    let critical = |draft: &mut Draft| draft.extensions.push(extension(&[1, 2, 3], true, &[5, 0]));
    assert_eq!(vek(&critical), untrusted(&["certificate-extension"]));
    let authority =
        |draft: &mut Draft| draft.extensions.push(extension(b"\x55\x1d\x13", true, b"\x30\x03\x01\x01\xff"));
    assert_eq!(vek(&authority), untrusted(&["certificate-role"]));
    assert_eq!(
        vek(&|draft| draft.key = Draft::authority("", "", 1).key),
        untrusted(&["report-signature", "certificate-algorithm"])
    );
    assert_eq!(vek(&|draft| draft.dates[1] = "261001000000Z"), untrusted(&["expired"]));
    assert_eq!(vek(&|draft| draft.dates[0] = "261201000000Z"), untrusted(&["not-yet-valid"]));
}

#[test]
fn of_several_veks_the_one_that_fits_is_taken() {
    let older = Draft { dates: ["250101000000Z", "260101000000Z"], ..Draft::vek(SnpSigner::Vcek, "Milan") }.issue();
    let mut scene = milan();
    scene.endorsements.insert(0, older.clone());
    scene.judge().unwrap();
    scene.endorsements.remove(1);
    assert_eq!(scene.refused(), untrusted(&["expired"]));
    let genoa = super::tests::scene("Genoa", 3, SnpSigner::Vcek);
    let mut fleet = milan();
    fleet.endorsements.extend(genoa.endorsements.clone());
    fleet.endorsements.rotate_left(3);
    fleet.judge().unwrap();
    // Another line's authorities do not stand in.
    let mut crossed = milan();
    crossed.endorsements[1].clone_from(&genoa.endorsements[1]);
    assert_eq!(crossed.refused(), untrusted(&["chain-of-another-product"]));
}

#[test]
fn what_is_missing_is_unavailable_and_a_foreign_root_is_unknown() {
    let without = |index: usize| {
        let mut scene = milan();
        scene.endorsements.remove(index);
        scene.refused()
    };
    assert_eq!(without(0), (Culprit::Unavailable, vec!["vek-missing"]));
    assert_eq!(without(1), (Culprit::Unavailable, vec!["chain-missing"]));
    assert_eq!(without(2), (Culprit::Unavailable, vec!["chain-missing"]));
    assert_eq!(Scene { endorsements: vec![], ..milan() }.refused(), (Culprit::Unavailable, vec!["vek-missing"]));
    let foreign = Scene { anchors: TrustAnchors::default(), ..milan() };
    assert_eq!(foreign.refused(), untrusted(&["unknown-root"]));
    let built_in = Scene { anchors: crate::built_in_anchors(), ..milan() };
    assert_eq!(built_in.refused(), untrusted(&["unknown-root"]));
    let mut broken = milan();
    broken.endorsements[0].pop();
    assert_eq!(broken.refused(), untrusted(&["amd-endorsement-unreadable"]));
    let raw = RawEvidence { body: &milan().report, certificates: &milan().endorsements };
    let kind = EvidenceKind::new(EvidenceKind::SEV_SNP);
    assert_eq!(verify(&kind, raw, &[], &TrustAnchors::default(), NOW).unwrap_err().code(), "snp-certificates");
}

#[test]
fn a_revocation_list_is_used_when_given_and_missed_when_absent() {
    let ark = "ARK-Milan";
    assert_eq!(milan().open(), ["snp-crl"]);
    let listed = milan().and(crl(ark, CURRENT, &[9]));
    let claims = listed.judge().unwrap();
    assert!(claims.not_checked.is_empty());
    // 2026-12-01, before the VEK's own end.
    assert_eq!(claims.valid_until, UnixMillis(1_796_083_200_000));
    let revoking = milan().and(crl(ark, CURRENT, &[9, 2]));
    assert_eq!(revoking.refused(), untrusted(&["revoked"]));
    for beside in [crl(ark, CURRENT, &[]), crl(ark, ENDED, &[])] {
        assert_eq!(revoking.clone().and(beside.clone()).refused(), untrusted(&["revoked"]));
        let mut first = revoking.clone();
        first.endorsements.insert(0, beside);
        assert_eq!(first.refused(), untrusted(&["revoked"]));
    }
    assert_eq!(milan().and(crl(ark, ENDED, &[2])).refused(), untrusted(&["expired"]));
    assert_eq!(milan().and(crl(ark, ["261201000000Z", "270101000000Z"], &[])).refused(), untrusted(&["not-yet-valid"]));
    let mut forged = crl(ark, CURRENT, &[]);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(milan().and(forged).refused(), untrusted(&["crl-signature"]));
    let endless = crl_with(ark, &CURRENT[..1], &[], &[]);
    assert_eq!(milan().and(endless).refused(), untrusted(&["crl-without-end"]));
    // A list that speaks of some certificates only (issuing distribution point, critical).
    let partial = der(0xa0, &sequence(&[&extension(b"\x55\x1d\x1c", true, b"\x30\x00")]));
    assert_eq!(milan().and(crl_with(ark, &CURRENT, &[], &partial)).refused(), untrusted(&["crl-extension"]));
    // Another line's list says nothing here, and does not pass for one that does.
    assert_eq!(milan().and(crl("ARK-Genoa", CURRENT, &[2])).open(), ["snp-crl"]);
}

#[test]
fn each_root_is_asked_once_about_a_list_however_many_reports_there_are() {
    let mut scene = milan().and(crl("ARK-Milan", CURRENT, &[9])).and(crl("ARK-Genoa", CURRENT, &[9]));
    // A second VEK that fits as well: another try for each report.
    scene.endorsements.push(Draft::vek(SnpSigner::Vcek, "Milan").issue());
    let recognised = Endorsements::recognise(&scene.endorsements);
    let report = SnpReport::parse(&scene.report).unwrap();
    let mut unsigned = scene.report.clone();
    unsigned[0x50] ^= 1;
    let unsigned = SnpReport::parse(&unsigned).unwrap();
    for _ in 0..5 {
        assert!(verify_report(&report, &recognised, &scene.anchors, NOW).is_ok());
        assert!(verify_report(&unsigned, &recognised, &scene.anchors, NOW).is_err());
    }
    let asked: Vec<usize> =
        recognised.readable_as::<AmdFile>().flat_map(|file| &file.lists).map(RevocationList::asked).collect();
    assert_eq!(asked, [1, 0]);
}

/// `sev` tells the generation of a version 2 report by zeros in the chip id; own code by the certificates. A chip whose id
/// ends in zeros is read in two ways, and then nobody is believed.
#[test]
fn two_readers_that_disagree_are_an_error_of_its_own() {
    let id = [[0xab; 8].as_slice(), &[0; 56]].concat();
    let scene = scene("Milan", 2, SnpSigner::Vcek)
        .with_report(|report| report[0x1a0..0x1e0].copy_from_slice(&id))
        .with_vek(SnpSigner::Vcek, "Milan", |draft| {
            draft.extensions.pop();
            draft.extensions.push(extension(b"\x2b\x06\x01\x04\x01\x9c\x78\x01\x04", false, &id));
        });
    assert_eq!(scene.refused(), untrusted(&["snp-readers-disagree"]));
}

#[test]
fn tcbs_ascend_and_have_no_bytes_without_meaning() {
    let lower = |at: usize| milan().with_report(|report| report[at] -= 1).refused();
    assert_eq!(lower(0x38 + 6), untrusted(&["tcb-order"]));
    assert_eq!(lower(0x1e0 + 7), untrusted(&["tcb-order"]));
    assert!(milan().with_report(|report| report[0x1f0] -= 1).judge().is_ok(), "launch is another moment");
    // One part higher does not make up for another that is lower.
    let mixed = milan().with_report(|report| (report[0x38], report[0x38 + 7]) = (5, 0xda));
    assert_eq!(mixed.refused(), untrusted(&["tcb-order"]));
    let reserved = milan().with_report(|report| report[0x38 + 3] = 1);
    assert_eq!(reserved.refused(), (Culprit::Malformed, vec!["snp-report"]));
}

#[test]
fn what_no_policy_can_weigh_is_rejected() {
    let refused = |change: &dyn Fn(&mut Vec<u8>)| milan().with_report(change).refused();
    let rejected = |code| (Culprit::Rejected, vec![code]);
    assert_eq!(refused(&|report| report[0x0a] = 1), rejected("snp-policy-reserved"));
    assert_eq!(refused(&|report| report[0x0b] = 4), rejected("snp-policy-reserved"));
    assert_eq!(refused(&|report| report[0x30..0x34].fill(0xff)), rejected("snp-vmpl"));
    // Debug and migration are claims.
    let claims = milan().with_report(|report| report[0x0a] = 0x0f).judge().unwrap();
    assert_eq!((claims.debug, claims.migratable), (Some(true), Some(true)));
}

#[test]
fn every_reserved_byte_and_fixed_field_is_looked_at() {
    let malformed = |scene: Scene| assert_eq!(scene.refused(), (Culprit::Malformed, vec!["snp-report"]));
    let reserved = (0x4c..0x50).chain(0x18b..0x1a0).chain([0x1eb, 0x1ef]).chain(0x1f8..0x2a0);
    for at in reserved {
        malformed(milan().with_report(|report| report[at] = 1));
    }
    for at in (0x2a0 + 48..0x2a0 + 72).chain(0x2e8 + 48..0x2e8 + 72).chain(0x330..0x4a0) {
        let mut scene = milan();
        scene.report[at] = 1;
        malformed(scene);
    }
    // Version 2 has no CPUID; version 5 has mitigations where others have zeros.
    malformed(scene("Milan", 2, SnpSigner::Vcek).with_report(|report| report[0x188] = 0x19));
    let five = scene("Milan", 5, SnpSigner::Vcek).with_report(|report| (report[0x1f8], report[0x200]) = (11, 15));
    assert_eq!(five.judge().unwrap().snp.unwrap().mitigations, Some([11, 15]));
    malformed(five.with_report(|report| report[0x208] = 1));
    for flags in [8, 7 << 2, 1 << 5] {
        malformed(milan().with_report(|report| report[0x48] = flags));
    }
    malformed(milan().with_report(|report| report[0x34] = 2));
    for version in [0, 1, 6, 99] {
        let unknown = milan().with_report(|report| report[0] = version);
        assert_eq!(unknown.refused(), (Culprit::Malformed, vec!["snp-report-version"]));
    }
    for length in [0, 1, 1183, 1185, 4096] {
        let mut cut = milan();
        cut.report.resize(length, 0);
        malformed(cut);
    }
}

/// A host's table of pieces, each under its GUID.
fn table(pieces: &[(&str, &[u8])]) -> Vec<u8> {
    let mut at = 24 * (pieces.len() + 1);
    let (mut entries, mut content) = (Vec::new(), Vec::new());
    for (guid, piece) in pieces {
        entries.extend(hex::decode(guid.replace('-', "")).unwrap());
        entries.extend([at, piece.len()].map(|number| u32::try_from(number).unwrap().to_le_bytes()).concat());
        content.extend(*piece);
        at += piece.len();
    }
    [entries, vec![0; 24], content].concat()
}

const VCEK_GUID: &str = "63da758d-e664-4564-adc5-f4b93be8accd";
const ASK_GUID: &str = "4ab7b379-bbac-4fe4-a02f-05aef327c782";
const ARK_GUID: &str = "c0b406a4-a803-4952-9743-3fb6014cd0ae";
const CRL_GUID: &str = "92f81bc3-5811-4d3d-97ff-d19f88dc67ea";

#[test]
fn a_hosts_table_endorses_as_single_files_do() {
    let single = milan();
    let [vek, ask, ark] = &single.endorsements[..] else { panic!("three files") };
    let whole = |pieces: &[(&str, &[u8])]| Scene { endorsements: vec![table(pieces)], ..milan() };
    let all: [(&str, &[u8]); 3] = [(VCEK_GUID, vek), (ASK_GUID, ask), (ARK_GUID, ark)];
    assert_eq!(whole(&all).judge(), single.judge());
    // Padded to pages, as kernels hand it over, and with an entry of the host's own.
    let mut padded = table(&[all[0], ("00112233-4455-6677-8899-aabbccddeeff", b"\0junk"), all[1], all[2]]);
    padded.resize(4 * 4096, 0);
    assert_eq!(Scene { endorsements: vec![padded], ..milan() }.judge(), single.judge());
    // A piece is what it is, not what its GUID says; only the pinned root is trusted.
    let mixed = [(ASK_GUID, all[0].1), (ARK_GUID, all[1].1), (VCEK_GUID, all[2].1)];
    assert_eq!(whole(&mixed).judge(), single.judge());
    let foreign = Scene { anchors: TrustAnchors::default(), ..whole(&all) };
    assert_eq!(foreign.refused(), untrusted(&["unknown-root"]));
    let revoking = crl("ARK-Milan", CURRENT, &[2]);
    assert_eq!(whole(&[all[0], all[1], all[2], (CRL_GUID, &revoking)]).refused(), untrusted(&["revoked"]));
    assert_eq!(whole(&all[..1]).refused(), (Culprit::Unavailable, vec!["chain-missing"]));
    let unreadable = untrusted(&["amd-endorsement-unreadable"]);
    assert_eq!(whole(&[all[0], all[1], (ARK_GUID, b"junk")]).refused(), unreadable);
    let nested = table(&all);
    assert_eq!(whole(&[(VCEK_GUID, &nested)]).refused(), unreadable);
    let outside = untrusted(&["snp-certificate-table"]);
    let good = table(&all);
    // One byte short, into its neighbour, and far off.
    let mut short = good.clone();
    short[20..24].copy_from_slice(&u32::try_from(vek.len() - 1).unwrap().to_le_bytes());
    assert_eq!(Scene { endorsements: vec![short], ..milan() }.refused(), unreadable);
    for at in [16, 19, 23] {
        let mut broken = good.clone();
        broken[at] ^= 0x80;
        assert_eq!(Scene { endorsements: vec![broken], ..milan() }.refused(), outside, "{at}");
    }
    for cut in [16, 24, 95] {
        assert_eq!(Scene { endorsements: vec![good[..cut].to_vec()], ..milan() }.refused(), outside, "{cut}");
    }
    // Two entries of the same bytes: whoever could say so could have one list read sixteen times.
    let mut shared = good.clone();
    shared.copy_within(16..24, 24 + 16);
    assert_eq!(Scene { endorsements: vec![shared], ..milan() }.refused(), outside);
    let many = table(&[all[0]; 17]);
    assert_eq!(Scene { endorsements: vec![many], ..milan() }.refused(), outside);
}

/// Signatures are asked once for all evidence; time, anchors and the report itself each time (decision 0065).
#[test]
fn kept_answers_are_those_of_a_fresh_look() {
    let scene = milan();
    let mut forged = scene.endorsements.clone();
    *forged[1].last_mut().unwrap() ^= 1;
    let mut damaged = scene.report.clone();
    damaged[0x50] ^= 1;
    let (foreign, late) = (TrustAnchors::default(), UnixMillis(NOW.0 * 3));
    for files in [&scene.endorsements, &forged] {
        let kept = Endorsements::recognise(files);
        let judge = |endorsements: &Endorsements, report: &[u8], anchors: &TrustAnchors, at: UnixMillis| {
            let raw = RawEvidence { body: report, certificates: &[] };
            verify_with(&EvidenceKind::new(EvidenceKind::SEV_SNP), raw, endorsements, anchors, at)
        };
        for (anchors, at) in [(&foreign, NOW), (&scene.anchors, late), (&scene.anchors, NOW), (&foreign, late)] {
            for report in [&damaged, &scene.report, &damaged] {
                let fresh = judge(&Endorsements::recognise(files), report, anchors, at);
                assert_eq!(judge(&kept, report, anchors, at), fresh);
            }
        }
        assert_eq!(judge(&kept, &scene.report, &scene.anchors, NOW).is_ok(), files == &scene.endorsements);
    }
}

#[test]
fn an_anchor_file_of_this_kind_needs_such_a_root() {
    let of = |der: &[u8]| parse_anchor_file(&root_file(der, "simulated"), &mut TrustAnchors::default());
    assert_eq!(of(&milan().endorsements[2]), Ok(()));
    assert!(of(&milan().endorsements[1]).unwrap_err().to_string().contains("certificate-issuer"));
    assert!(of(&milan().endorsements[0]).unwrap_err().to_string().contains("certificate-algorithm"));
}
