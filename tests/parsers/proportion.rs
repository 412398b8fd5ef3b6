//! Memory in proportion to the input, whatever lengths it announces: evidence and endorsements as they are read before any
//! signature, damaged and blown up; and whole judgements of captured evidence. What is taken at the height bounds every
//! single allocation.

use serde_json::{Value, json};
use weighbridge_attest::{Endorsements, RawEvidence, built_in_anchors, canonical_slice, pem_certificates, verify_with};
use weighbridge_attest_types::EvidenceKind;
use weighbridge_tests::parsers::{Mutator, captures, parser};
use weighbridge_tests::vectors::{Case, instant};

use super::{ALLOCATOR, SEED};

/// What may be taken in all per byte of input, beside a page or two.
const BYTES_PER_BYTE: usize = 16;
const FREE_BYTES: usize = 16 * 1024;
/// Mutations of each row.
const ROUNDS: usize = 1_000;

/// Doors of evidence and endorsements, as far as no signature is checked.
type Reader = fn(&[u8]);
const READERS: [(&str, Reader); 11] = [
    ("tdx-quote", |bytes| drop(canonical_slice(&EvidenceKind::new("tdx"), bytes))),
    ("snp-report", |bytes| drop(canonical_slice(&EvidenceKind::new("sev-snp"), bytes))),
    ("azure-hcl", |bytes| drop(canonical_slice(&EvidenceKind::new("azure-hcl"), bytes))),
    ("gpu-report", |bytes| drop(canonical_slice(&EvidenceKind::new("nvidia-gpu"), bytes))),
    ("switch-report", |bytes| drop(canonical_slice(&EvidenceKind::new("nvidia-nvswitch"), bytes))),
    ("event-log", recognise),
    ("amd-endorsement", recognise),
    ("tdx-collateral", recognise),
    ("rim", recognise),
    ("ocsp", recognise),
    ("revocation-list", recognise),
];

fn recognise(bytes: &[u8]) {
    drop(Endorsements::recognise(&[bytes.to_vec()]));
}

/// All of it, in a process where nothing else allocates meanwhile.
pub(crate) fn check() {
    READERS.iter().for_each(|(name, read)| read_in_proportion(name, *read));
    for (name, bytes) in blown_up() {
        report(name, taken(bytes.len(), name, || recognise(&bytes)));
    }
    for kind in ["azure-hcl", "nvidia-gpu", "nvidia-nvswitch", "sev-snp", "tdx"] {
        Case::all(kind).iter().for_each(|case| judge_in_proportion(kind, case));
    }
}

fn read_in_proportion(name: &str, read: Reader) {
    let row = parser(name);
    let starts: Vec<Vec<u8>> = (row.samples)().into_iter().chain(captures(name)).collect();
    let mut mutator = Mutator::new(SEED, row.form, starts.clone());
    let all = starts.into_iter().chain((0..ROUNDS).map(|_| mutator.damaged()));
    report(name, all.map(|bytes| taken(bytes.len(), name, || read(&bytes))).fold(0.0, f64::max));
}

/// Every row of a captured case, whatever its verdict.
fn judge_in_proportion(kind: &str, case: &Case) {
    let (anchors, kind) = (built_in_anchors(), EvidenceKind::new(kind));
    let mut worst = 0.0f64;
    for row in case.appraisals.iter().filter(|row| row.at.is_some()) {
        let (body, at) = (case.evidence_of(row), instant(row.at.as_deref().expect("a time")));
        let (chains, files): (Vec<_>, Vec<_>) = row.endorsements.iter().partition(|file| file.starts_with("chain"));
        let chain = chains.first().and_then(|file| pem_certificates(&case.read(file)).ok()).unwrap_or_default();
        let files: Vec<Vec<u8>> = files.into_iter().map(|file| case.read(file)).collect();
        let input = body.len() + chain.iter().chain(&files).map(Vec::len).sum::<usize>();
        worst = worst.max(taken(input, &case.name, || {
            let raw = RawEvidence { body: &body, certificates: &chain };
            drop(verify_with(&kind, raw, &Endorsements::recognise_store(&files), &anchors, at));
        }));
    }
    report(&case.name, worst);
}

/// Bytes taken at the height per byte of input, beyond what is free.
fn taken(input: usize, name: &str, work: impl FnOnce()) -> f64 {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    work();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= FREE_BYTES + BYTES_PER_BYTE * input, "{name}: {taken} bytes for {input} bytes of input");
    taken.saturating_sub(FREE_BYTES) as f64 / input.max(1) as f64
}

fn report(name: &str, worst: f64) {
    println!("{name:40} within {worst:.1} bytes a byte");
}

/// Endorsements that say as much as they can in as few bytes as they can.
fn blown_up() -> Vec<(&'static str, Vec<u8>)> {
    let list = revocation_list(b"ARK-Milan", 1024 * 1024);
    let short_list = hex::encode(revocation_list(b"Intel SGX PCK Platform CA", 100_000));
    let sample = (parser("tdx-collateral").samples)().swap_remove(0);
    let collateral = |change: &dyn Fn(&mut Value, &mut Value)| {
        let mut json: Value = serde_json::from_slice(&sample).expect("a sample is JSON");
        let mut info: Value = serde_json::from_str(json["tcb_info"].as_str().expect("text")).expect("a sample is JSON");
        change(&mut json, &mut info);
        json["tcb_info"] = info.to_string().into();
        json.to_string().into_bytes()
    };
    let level = |info: &Value| info["tdxModuleIdentities"][0]["tcbLevels"][0].clone();
    vec![
        ("a list of short entries", list),
        ("collateral with such a list", collateral(&|json, _| json["pck_crl"] = short_list.clone().into())),
        (
            "collateral of empty advisories",
            collateral(&|_, info| info["tcbLevels"][0]["advisoryIDs"] = json!(vec![""; 45_000])),
        ),
        (
            "collateral of short levels",
            collateral(&|_, info| info["tdxModuleIdentities"][0]["tcbLevels"] = json!(vec![level(info); 2_000])),
        ),
        ("collateral of brackets", [b"{\"tcb_info\":".as_slice(), &vec![b'['; 250_000]].concat()),
        ("collateral of empty objects", [b"{\"tcb_info\":[".as_slice(), &b"{},".repeat(80_000)].concat()),
        ("a host's table of lists", table(&revocation_list(b"ARK-Milan", 60_000))),
    ]
}

/// A DER revocation list of about so many bytes: serial numbers of three bytes, no extension, no true signature.
fn revocation_list(issuer: &[u8], bytes: usize) -> Vec<u8> {
    let date = der(0x17, b"260101000000Z");
    let name = der(0x30, &der(0x31, &der(0x30, &[der(0x06, &[0x55, 4, 3]), der(0x0c, issuer)].concat())));
    let algorithm = der(0x30, &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]));
    let entry =
        |serial: u32| der(0x30, &[der(0x02, &(0x0040_0000 + serial).to_be_bytes()[1..]), date.clone()].concat());
    let count = u32::try_from((bytes - 200) / entry(0).len()).expect("a short list");
    let entries: Vec<u8> = (0..count).flat_map(entry).collect();
    let until = der(0x17, b"270101000000Z");
    let signed = [der(0x02, &[1]), algorithm.clone(), name, date.clone(), until, der(0x30, &entries)].concat();
    der(0x30, &[der(0x30, &signed), algorithm, der(0x03, &[0; 9])].concat())
}

/// AMD's certificate table, sixteen times the same piece.
fn table(piece: &[u8]) -> Vec<u8> {
    let guid = hex::decode("c0b406a4a80349529743 3fb6014cd0ae".replace(' ', "")).expect("hex");
    let head = 24 * 17;
    let length = u32::try_from(piece.len()).expect("short");
    let entry = |offset: u32| [guid.as_slice(), &offset.to_le_bytes(), &length.to_le_bytes()].concat();
    let mut bytes: Vec<u8> = (0..16).flat_map(|_| entry(head)).collect();
    bytes.resize(head as usize, 0);
    [bytes, piece.to_vec()].concat()
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    let head = match content.len() {
        0..0x80 => vec![tag, length[3]],
        _ => [&[tag, 0x83][..], &length[1..]].concat(),
    };
    // DER wants the shortest form.
    let head = match (head.as_slice(), content.len()) {
        ([tag, _, 0, 0, low], _) => vec![*tag, 0x81, *low],
        ([tag, _, 0, middle, low], _) => vec![*tag, 0x82, *middle, *low],
        _ => head,
    };
    [head, content.to_vec()].concat()
}
