//! **Duty.** Bytes of the right shape for the doors of CPU evidence that the simulator makes none of: reports, blobs, logs and
//! certificate tables that parse and that nobody signed. **Does not know** what is done to them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA384, digest};
use serde_json::json;
use weighbridge_attest_types::{AzureEvidence, AzureTpmQuote, Canonical as _, Digest32, TpmPcr};

use crate::parsers::samples::honest;

/// Versions 2, 3 and 5, with zeros wherever zeros are lawful.
pub(super) fn snp_report() -> Vec<Vec<u8>> {
    let of = |version: u8, cpuid: [u8; 3]| {
        let mut report = vec![0; 1184];
        (report[0], report[0x34]) = (version, 1);
        report[0x188..0x18b].copy_from_slice(&cpuid);
        report
    };
    vec![of(2, [0; 3]), of(3, [0x19, 1, 1]), of(5, [0x1a, 2, 1])]
}

/// Blobs around an SEV-SNP report and a TDREPORT, alone and with quotes beside them.
pub(super) fn azure_hcl() -> Vec<Vec<u8>> {
    let td_report: Vec<u8> = [0x81].into_iter().chain([0; 1183]).collect();
    let [snp, td] = [(2, &snp_report()[1]), (4, &td_report)].map(|(kind, report)| blob(kind, report));
    let quote = AzureTpmQuote {
        attest: attest(),
        signature: vec![1; 256],
        pcrs: vec![TpmPcr { index: 7, value: Digest32([7; 32]) }],
    };
    let with_tpm = AzureEvidence { blob: snp.clone(), tpm_quote: Some(quote), td_quote: None };
    let with_td = AzureEvidence { blob: td.clone(), tpm_quote: None, td_quote: Some(honest().quote.clone()) };
    vec![snp, td, with_tpm.to_bytes(), with_td.to_bytes()]
}

fn blob(kind: u32, report: &[u8]) -> Vec<u8> {
    let n = URL_SAFE_NO_PAD.encode([0x99; 256]);
    let claims = json!({ "keys": [{ "kid": "HCLAkPub", "kty": "RSA", "e": "AQAB", "n": n }] }).to_string();
    let size = u32::try_from(claims.len()).expect("short claims");
    let header = [u32::from_le_bytes(*b"HCLA"), 2, 0x4c0 + 20 + size, 2, 0, 0, 0, 0];
    let data = [size + 20, 1, kind, 1, size];
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    [words(&header), report.to_vec(), words(&data), claims.into_bytes()].concat()
}

/// A TPM quote over PCR 7.
fn attest() -> Vec<u8> {
    let parts: [&[u8]; 6] = [
        b"\xffTCG\x80\x18\x00\x00\x00\x04ask!",
        &[0; 16],
        &[1],
        &[0; 8],
        &[0, 0, 0, 1, 0, 0x0b, 3, 0x80, 0, 0],
        &[&[0u8, 32][..], &[5; 32]].concat(),
    ];
    parts.concat()
}

/// A TCG log with fill behind it, and dstack's JSON as a list and inside an answer.
pub(super) fn event_log() -> Vec<Vec<u8>> {
    let spec = [b"Spec ID Event03\0", &[0u8, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0c, 0, 48, 0, 0][..]].concat();
    let mut log = [&[1, 0, 0, 0, 3, 0, 0, 0][..], &[0; 20], &[33, 0, 0, 0], &spec].concat();
    for register in 1..=4 {
        log.extend([register, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0]);
        log.extend([&sha384(&[0; 4])[..], &[4, 0, 0, 0, 0, 0, 0, 0]].concat());
    }
    log.extend([0xff; 64]);
    let covered = [&0x0800_0001u32.to_le_bytes()[..], b":app-id:", &[1, 2, 3]].concat();
    let list = json!([
        { "imr": 0, "event_type": 4, "digest": hex::encode([9; 48]), "event": "", "event_payload": "00000000" },
        { "imr": 3, "event_type": 0x0800_0001u32, "digest": hex::encode(sha384(&covered)), "event": "app-id",
          "event_payload": "010203" },
    ])
    .to_string();
    let answer = json!({ "quote": "00", "event_log": list }).to_string();
    vec![log, list.into_bytes(), answer.into_bytes()]
}

fn sha384(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA384, bytes).as_ref().to_vec()
}

/// A certificate with the name of a root key, alone and in a host's table.
pub(super) fn amd_endorsement() -> Vec<Vec<u8>> {
    let certificate = certificate();
    let guid = [0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae];
    let length = u32::try_from(certificate.len()).expect("a short certificate").to_le_bytes();
    let table = [&guid[..], &[48, 0, 0, 0], &length, &[0; 24], &certificate, &[0; 100]].concat();
    vec![certificate, table]
}

/// Self-made, signed by nobody.
fn certificate() -> Vec<u8> {
    let name = der(0x30, &der(0x31, &der(0x30, &[&b"\x06\x03\x55\x04\x03"[..], &der(0x0c, b"ARK-Milan")].concat())));
    let algorithm = der(0x30, b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02");
    let dates = der(0x30, &[der(0x17, b"201022000000Z"), der(0x17, b"451022000000Z")].concat());
    let curve = der(0x30, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
    let key = der(0x30, &[curve, der(0x03, &[&[0, 4][..], &[1; 64]].concat())].concat());
    let version = der(0xa0, &[2, 1, 2]);
    let tbs = der(0x30, &[version, der(2, &[1]), algorithm.clone(), name.clone(), dates, name, key].concat());
    der(0x30, &[tbs, algorithm, der(0x03, &[0; 9])].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("a short value").to_be_bytes();
    let header = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, content.to_vec()].concat()
}
