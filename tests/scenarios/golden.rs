//! **Duty.** One file of golden vectors for everything that is framed, hashed or signed, so that nobody changes a byte
//! of the protocol by accident and anybody can write a second implementation. **Knows** sample inputs.
//! **Spec.** PROTOCOL §3. `WEIGHBRIDGE_BLESS=1` writes the file anew; `vectors/recompute.py` derives every value that
//! is not Poseidon from the inputs, without a line of our code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use weighbridge_attest_types::{
    Binding, BindingStage, Canonical, ChainStart, Challenge, CheckpointCommitment, CheckpointRoots, Device,
    DeviceEvidence, DeviceMillis, DeviceTime, Digest32, Domain, Encoder, EvidenceKind, FileDigest, IntervalPublic,
    NodeKey, PoseidonDigest, Presence, QuotedHead, Reading, RosterDevice, RosterRow, RunManifest, UnixMillis,
    WindowCommitment, device_evidence_digest, device_set_digest, entry_signing_bytes, timestamp_imprint,
    timestamp_query,
};
use weighbridge_commitments::{commit_spec, digest_elements, pack7, poseidon, salt_elements};
use weighbridge_ledger::{head_0, meter_commitment, next_head, reading_salt};

const NODE_SECRET: &[u8] = b"a node secret of 32 bytes, or so";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// 32 different bytes, so that no swap or shift goes unseen.
fn digest(first: u8) -> Digest32 {
    Digest32(std::array::from_fn(|i| first.wrapping_add(u8::try_from(i * 7).unwrap())))
}

fn poseidon_digest(first: u64) -> PoseidonDigest {
    PoseidonDigest::from_elements([first, first << 20, u64::MAX - (1 << 33), 4]).unwrap()
}

fn device(number: u8) -> Device {
    Device::derive(&EvidenceKind::new(EvidenceKind::NVIDIA_GPU), &[number; 8])
}

fn node_key() -> NodeKey {
    NodeKey(digest(0x21).0)
}

fn strings(elements: &[u64]) -> Vec<String> {
    elements.iter().map(u64::to_string).collect()
}

/// The whole input of a Poseidon hash beside its digest; the digest must be what the library computes by itself.
fn hashed(domain: Domain, elements: &[u64], library: PoseidonDigest) -> Value {
    assert_eq!(poseidon(domain, elements), library, "{domain:?} hashes other elements");
    let input = [&[domain.element(), elements.len() as u64], elements].concat();
    json!({ "input": strings(&input), "digest": library })
}

fn merged(mut object: Value, more: Value) -> Value {
    let (Value::Object(object_map), Value::Object(more)) = (&mut object, more) else { panic!("two objects") };
    object_map.extend(more);
    object
}

fn framing() -> Value {
    let framed = |kind: &str, value: Value, bytes: Vec<u8>| json!({ "type": kind, "value": value, "framed": hex::encode(bytes) });
    let mut list = Encoder::new();
    list.count(2).put(&"ab".to_owned()).put(&String::new());
    let challenge = |name: &str, challenge: &Challenge| framed(name, json!(challenge), challenge.to_bytes());
    json!([
        framed("u8", json!("254"), 254u8.to_bytes()),
        framed("u16", json!("258"), 258u16.to_bytes()),
        framed("u32", json!("16909060"), 16_909_060u32.to_bytes()),
        framed("u64", json!("72623859790382856"), 72_623_859_790_382_856u64.to_bytes()),
        framed("u128", json!("10000000000000000000000000"), 10u128.pow(25).to_bytes()),
        framed("fixed", json!("010203"), [1u8, 2, 3].to_bytes()),
        framed("bytes", json!("010203"), vec![1u8, 2, 3].to_bytes()),
        framed("string", json!("Waage é"), "Waage é".to_owned().to_bytes()),
        framed("list of strings", json!(["ab", ""]), list.finish()),
        framed("option of u16", Value::Null, None::<u16>.to_bytes()),
        framed("option of u16", json!("3"), Some(3u16).to_bytes()),
        framed("stage", json!("key"), BindingStage::Key.to_bytes()),
        framed("stage", json!("head"), BindingStage::Head.to_bytes()),
        challenge("challenge", &Challenge::VerifierNonce(digest(1))),
        challenge("challenge", &Challenge::BeaconRound(digest(2))),
        challenge("challenge", &Challenge::None),
    ])
}

fn domains() -> Value {
    use Domain::{
        AuditPolicy, Batch, BatchItem, BatchLog, BatchLogNode, BatchNode, DataNode, DataOrder, DataRecord, DataSet,
        Device, DeviceSet, Draw, Entry, Evidence, FastRoot, FlopLeaf, FlopNode, Genesis, GpuNonce, GpuNonceKey, Head,
        Head0, Meter, NumericPolicy, Operation, OperationForm, Public, ReportData, ReportDataKey, Salt, Seed, Spec,
        TensorLeaf, TensorNode, TileLeaf, TileNode, TimeNonce, TimeReceipt, TimeStamp, Tolerance, Traces, Trial,
        UnitLeaf, Window,
    };
    let all = [
        Genesis,
        Public,
        Meter,
        Head0,
        Head,
        Entry,
        ReportData,
        ReportDataKey,
        GpuNonce,
        GpuNonceKey,
        Evidence,
        Device,
        DeviceSet,
        Salt,
        Window,
        Seed,
        TimeNonce,
        TimeReceipt,
        TimeStamp,
        Spec,
        TileLeaf,
        TileNode,
        TensorLeaf,
        TensorNode,
        FastRoot,
        Trial,
        DataRecord,
        DataNode,
        DataSet,
        DataOrder,
        BatchItem,
        BatchNode,
        Batch,
        BatchLog,
        BatchLogNode,
        NumericPolicy,
        AuditPolicy,
        Tolerance,
        Operation,
        OperationForm,
        FlopLeaf,
        UnitLeaf,
        FlopNode,
        Draw,
        Traces,
    ];
    let row = |domain: Domain| json!({ "domain": domain.as_str(), "element": domain.element().to_string() });
    all.into_iter().map(row).collect()
}

fn packing() -> Value {
    let inputs: [&[u8]; 5] = [&[], &[1], &[1, 2, 3, 4, 5, 6, 7], &[0xff; 8], &digest(9).0];
    let row = |bytes: &[u8]| json!({ "bytes": hex::encode(bytes), "elements": strings(&pack7(bytes)) });
    inputs.into_iter().map(row).collect()
}

fn devices() -> Value {
    let row = |kind: &str, stable_id: &[u8]| {
        let device = Device::derive(&EvidenceKind::new(kind), stable_id);
        json!({ "kind": kind, "stable_id": hex::encode(stable_id), "device": device })
    };
    json!([row("tdx", &[0xc1; 16]), row("nvidia-gpu", &[1; 8]), row("nvidia-gpu", &[2; 8])])
}

fn device_set() -> Value {
    let set = [device(3), device(1), device(2)];
    json!({ "devices": set, "digest": device_set_digest(&set) })
}

fn manifest() -> RunManifest {
    let accelerator = |number| RosterDevice {
        device: device(number),
        kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
        sku: "H100 SXM5 80GB".to_owned(),
    };
    RunManifest {
        provider: "Beispiel AG".to_owned(),
        model_id: "waage-1".to_owned(),
        phase: "pre-training".to_owned(),
        roster: vec![RosterRow {
            node_key: node_key(),
            key_quote: digest(0x31),
            cpu_kind: EvidenceKind::new(EvidenceKind::TDX),
            cpu: Device::derive(&EvidenceKind::new(EvidenceKind::TDX), &[0xc1; 16]),
            devices: vec![accelerator(1), accelerator(2)],
        }],
        spec: commit_spec(&[5; 28], b"a numeric spec"),
        dataset_root: digest(0x41),
        order_rule: "by index".to_owned(),
        initial_checkpoint: CheckpointRoots { fast_root: digest(0x51), algebraic_root: poseidon_digest(6) },
        interval_millis: 60_000,
        numeric_policy: "bf16".to_owned(),
        audit_policy: "none".to_owned(),
        randomness_rule: "none".to_owned(),
        profiles: vec!["demo".to_owned(), "eu-gpai-2-1".to_owned()],
    }
}

fn public() -> IntervalPublic {
    let time = |number, run, other, idle, gap| {
        let [run, other, idle, gap] = [run, other, idle, gap].map(DeviceMillis);
        DeviceTime { device: device(number), run, other, idle, gap }
    };
    IntervalPublic {
        index: 12,
        boot_id: std::array::from_fn(|i| u8::try_from(i).unwrap()),
        start_wall: UnixMillis(1_793_491_200_000),
        end_wall: UnixMillis(1_793_491_260_001),
        start_mono: 660_000,
        end_mono: 720_000,
        presence: Presence::from_bits(5).unwrap(),
        devices: vec![time(1, 59_000, 500, 499, 1), time(2, 60_000, 0, 0, 0)],
        checkpoints: vec![CheckpointCommitment {
            attempt: 2,
            step: 7_000,
            fast_root: digest(0x61),
            algebraic_root: poseidon_digest(7),
            files: vec![FileDigest { name: "model.safetensors".to_owned(), bytes: 4_096, sha256: digest(0x71) }],
        }],
        windows: vec![WindowCommitment { index: 3, root: poseidon_digest(9) }],
        quoted: Some(QuotedHead { index: 11, evidence: digest(0x81) }),
    }
}

fn spec() -> Value {
    let (salt, spec) = ([5u8; 28], b"a numeric spec".as_slice());
    let elements = [&salt_elements(&salt)[..], &[spec.len() as u64], &pack7(spec)].concat();
    let inputs = json!({ "salt": hex::encode(salt), "spec": hex::encode(spec) });
    merged(inputs, hashed(Domain::Spec, &elements, commit_spec(&salt, spec).digest))
}

fn meter() -> (Value, PoseidonDigest) {
    let reading = Reading::new(123_456_789_012, 999_999_999, 1 << 55, 42).unwrap();
    let salt = reading_salt(NODE_SECRET, 12);
    let digest = meter_commitment(&reading, &salt);
    let elements = [reading.elements(), salt_elements(&salt)].concat();
    let inputs = json!({ "reading": strings(&reading.elements()), "salt": hex::encode(salt) });
    (merged(inputs, hashed(Domain::Meter, &elements, digest)), digest)
}

fn chain_start(predecessor: Option<PoseidonDigest>) -> (Value, PoseidonDigest) {
    let device_set = device_set_digest(&manifest().roster[0].device_set());
    let start = ChainStart { genesis: manifest().genesis(), node_key: node_key(), device_set, predecessor };
    let mut elements = Vec::new();
    for digest in [start.genesis, start.node_key.digest(), start.device_set] {
        elements.extend(digest_elements(digest));
    }
    elements.extend(predecessor.map_or([0; 4], PoseidonDigest::elements));
    let head = head_0(&start);
    (merged(json!(start), hashed(Domain::Head0, &elements, head)), head)
}

fn next(previous: PoseidonDigest, meter: PoseidonDigest) -> (Value, PoseidonDigest) {
    let (index, public) = (12, public().digest());
    let mut elements = vec![index];
    elements.extend(previous.elements());
    elements.extend(meter.elements());
    elements.extend(digest_elements(public));
    let head = next_head(index, previous, meter, public);
    let inputs = json!({ "index": index, "previous": previous, "meter": meter, "public": public });
    (merged(inputs, hashed(Domain::Head, &elements, head)), head)
}

fn evidence() -> Vec<DeviceEvidence> {
    let one = |number: u8| DeviceEvidence {
        device: device(number),
        kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
        report: vec![number; 5],
        certificates: vec![vec![0x30, number], vec![0x30, 0, number]],
    };
    vec![one(2), one(1)]
}

fn evidence_row(evidence: &DeviceEvidence) -> Value {
    let DeviceEvidence { device, kind: _, report, certificates } = evidence;
    let certificates: Vec<String> = certificates.iter().map(hex::encode).collect();
    json!({ "device": device, "report": hex::encode(report), "certificates": certificates })
}

fn binding(binding: &Binding) -> Value {
    let evidence_digest = device_evidence_digest(&evidence());
    json!({
        "stage": if binding.stage == BindingStage::Key { "key" } else { "head" },
        "genesis": binding.genesis,
        "node_key_digest": binding.node_key_digest,
        "head": binding.head,
        "index": binding.index,
        "challenge": binding.challenge,
        "device": device(1),
        "gpu_nonce": binding.gpu_nonce(device(1)),
        "evidence_digest": evidence_digest,
        "report_data": hex::encode(binding.report_data(evidence_digest)),
    })
}

fn golden() -> Value {
    let (meter_row, meter) = meter();
    let (first_row, first) = chain_start(None);
    let (after_reboot_row, _) = chain_start(Some(poseidon_digest(8)));
    let (head_row, head) = next(first, meter);
    let (manifest, public) = (manifest(), public());
    let (genesis, key) = (manifest.genesis(), node_key().digest());
    let nonce = Challenge::VerifierNonce(digest(0x91));
    json!({
        "format": "weighbridge/golden-vectors/v1",
        "framing": framing(),
        "domains": domains(),
        "pack7": packing(),
        "devices": devices(),
        "device_set": device_set(),
        "node_key": { "key": node_key(), "digest": key },
        "spec": spec(),
        "manifest": { "value": manifest, "framed": hex::encode(manifest.to_bytes()), "genesis": genesis },
        "public": { "value": public, "framed": hex::encode(public.to_bytes()), "digest": public.digest() },
        "salt": {
            "node_secret": hex::encode(NODE_SECRET),
            "index": 12,
            "salt": hex::encode(reading_salt(NODE_SECRET, 12)),
        },
        "meter": meter_row,
        "head_0": [first_row, after_reboot_row],
        "head_i": head_row,
        "entry": {
            "genesis": genesis,
            "index": 12,
            "head": head,
            "signing_bytes": hex::encode(entry_signing_bytes(genesis, 12, head)),
        },
        "timestamp": {
            "node_key_digest": key,
            "index": 12,
            "head": head,
            "imprint": timestamp_imprint(key, 12, head),
            "query": hex::encode(timestamp_query(timestamp_imprint(key, 12, head))),
        },
        "evidence": {
            "devices": evidence().iter().map(evidence_row).collect::<Vec<_>>(),
            "digest": device_evidence_digest(&evidence()),
        },
        "bindings": [
            binding(&Binding::key(key, nonce.clone())),
            binding(&Binding::head(genesis, key, head, 12, nonce)),
            binding(&Binding::head(genesis, key, head, 12, Challenge::BeaconRound(digest(0xa1)))),
            binding(&Binding::head(genesis, key, head, 12, Challenge::None)),
        ],
    })
}

#[test]
fn golden_vectors_hold_byte_for_byte() {
    let text = serde_json::to_string_pretty(&golden()).unwrap() + "\n";
    let path = vectors().join("golden.json");
    #[expect(clippy::disallowed_methods, reason = "blessing is an order from the person at the keyboard")]
    let bless = std::env::var("WEIGHBRIDGE_BLESS").is_ok_and(|value| value == "1");
    if bless {
        fs::write(&path, &text).unwrap();
    }
    let pinned = fs::read_to_string(&path).expect("tests/vectors/golden.json; WEIGHBRIDGE_BLESS=1 writes it");
    let differs = pinned.lines().zip(text.lines()).position(|(pinned, now)| pinned != now);
    assert!(pinned == text, "golden.json differs from line {:?} on (counted from 0)", differs);
}

/// Runs the independent derivation; `None` where there is no Python.
fn recompute(golden: &Path) -> Option<Output> {
    match Command::new("python3").arg("-B").arg(vectors().join("recompute.py")).arg(golden).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: python3 is not installed, so golden.json was not derived a second time");
            None
        }
        Err(error) => panic!("python3: {error}"),
    }
}

#[test]
fn golden_vectors_are_derived_again_by_other_code() {
    let Some(output) = recompute(&vectors().join("golden.json")) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Every place whose value is an output; a changed one must be noticed, or the derivation proves nothing.
const OUTPUTS: [&str; 26] = [
    "/framing/3/framed",
    "/framing/13/framed",
    "/domains/0/element",
    "/pack7/3/elements/0",
    "/devices/0/device",
    "/device_set/digest",
    "/node_key/digest",
    "/spec/input/4",
    "/manifest/framed",
    "/manifest/genesis",
    "/public/framed",
    "/public/digest",
    "/salt/salt",
    "/meter/input/0",
    "/meter/input/9",
    "/head_0/0/input/20",
    "/head_0/1/input/17",
    "/head_i/input/15",
    "/entry/signing_bytes",
    "/timestamp/imprint",
    "/timestamp/query",
    "/evidence/digest",
    "/bindings/0/gpu_nonce",
    "/bindings/0/report_data",
    "/bindings/1/gpu_nonce",
    "/bindings/3/report_data",
];

#[test]
fn the_other_derivation_notices_every_changed_output() {
    let folder = tempfile::TempDir::new().unwrap();
    let golden: Value = serde_json::from_slice(&fs::read(vectors().join("golden.json")).unwrap()).unwrap();
    for place in OUTPUTS {
        let mut changed = golden.clone();
        let Some(Value::String(text)) = changed.pointer_mut(place) else { panic!("{place} is no text") };
        let last = text.pop().unwrap();
        text.push(if last == '1' { '2' } else { '1' });
        let path = folder.path().join("golden.json");
        fs::write(&path, changed.to_string()).unwrap();
        let Some(output) = recompute(&path) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{place}: {said}");
        assert!(said.contains(": derived ") && !said.contains("Traceback"), "{place}: {said}");
    }
}
