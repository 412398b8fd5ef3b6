//! **Duty.** Golden vectors of the audit: policies, leaves and nodes of the FLOP tree, window roots, seeds, draws, points.
//! `vectors/recompute_audit.py` derives all of it but Poseidon itself a second time. **Knows** sample inputs.
//! **Spec.** PROTOCOL §3, §5; CIRCUITS §5 (i). `WEIGHBRIDGE_BLESS=1` writes the file anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use weighbridge_attest_types::{Canonical, Digest32, Domain, Flops, PoseidonDigest, UnixMillis};
use weighbridge_audit::{
    AuditMode, AuditPolicy, BeaconChain, ErrorModel, FlopTree, Format, Key, Node, NumericPolicy, Operand,
    OperationClass, OperationPolicy, OperationRecord, RandomnessRule, Revealed, Risk, Salts, Seed, Stratum, Sums,
    TensorTolerance, TileKind, Tolerance, TraceCommitment, UnitRecord, Weight, WindowChain, window_root,
};
use weighbridge_commitments::{digest_elements, poseidon, salt_elements};

const SALT: [u8; 28] = [0x5a; 28];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn digest(first: u8) -> Digest32 {
    Digest32(std::array::from_fn(|i| first.wrapping_add(u8::try_from(i * 7).unwrap())))
}

fn root(first: u64) -> PoseidonDigest {
    PoseidonDigest::from_elements([first, first << 20, u64::MAX - (1 << 33), 4]).unwrap()
}

fn strings(elements: &[u64]) -> Vec<String> {
    elements.iter().map(u64::to_string).collect()
}

/// The whole input of a Poseidon hash beside its digest, which must be the library's.
fn hashed(domain: Domain, elements: &[u64], library: PoseidonDigest) -> Value {
    assert_eq!(poseidon(domain, elements), library, "{domain:?} hashes other elements");
    let input = [&[domain.element(), elements.len() as u64], elements].concat();
    json!({ "input": strings(&input), "digest": library })
}

fn numeric_policy() -> Value {
    let bf16 = OperationPolicy::of(Format::Bf16, Format::Bf16);
    let tf32 = OperationPolicy::of(Format::F32, Format::F32).with_tf32(true).unwrap();
    let order_free = bf16.with_right(Format::E4m3).with_model(ErrorModel::OrderFree, 1).unwrap();
    let classes =
        vec![(OperationClass::FORWARD, bf16), (OperationClass::DGRAD, tf32), (OperationClass(200), order_free)];
    let policy = NumericPolicy::new(classes).unwrap().with_side(32).unwrap();
    let classes = json!([
        { "class": 0, "formats": [0, 0, 0], "tf32": 0, "lambda": 6, "kappa": 4 },
        { "class": 1, "formats": [1, 1, 1], "tf32": 1, "lambda": 6, "kappa": 4 },
        { "class": 200, "formats": [0, 2, 0], "tf32": 0, "lambda": null, "kappa": 1 },
    ]);
    let value = json!({ "side": 32, "classes": classes });
    json!({ "value": value, "framed": hex::encode(policy.to_bytes()), "digest": policy.digest() })
}

fn audit_policy() -> Value {
    let chain = BeaconChain { chain: digest(1), genesis: UnixMillis(1_692_803_367_000), period_millis: 3_000 };
    let randomness = RandomnessRule::Beacon { chain, delta_millis: 60_000 };
    let risk = |millionths| Risk::new(millionths).unwrap();
    let strata = vec![
        Stratum { weight: Weight::Flop, cap: 10u128.pow(25), draws: 300, risk: risk(40_000) },
        Stratum { weight: Weight::Link, cap: 1 << 50, draws: 30, risk: risk(10_000) },
    ];
    let policy = AuditPolicy::new(AuditMode::Replayed, randomness, 86_400_000, risk(50_000), strata).unwrap();
    let value = json!({
        "mode": 1,
        "beacon": { "chain": digest(1), "genesis": "1692803367000", "period": "3000", "delta": "60000" },
        "deadline": "86400000",
        "risk": 50_000,
        "strata": [
            { "weight": 0, "cap": 10u128.pow(25).to_string(), "draws": 300, "risk": 40_000 },
            { "weight": 1, "cap": (1u128 << 50).to_string(), "draws": 30, "risk": 10_000 },
        ],
    });
    json!({ "value": value, "framed": hex::encode(policy.to_bytes()), "digest": policy.digest() })
}

fn tolerance() -> Value {
    let near = TensorTolerance { ulps: 8, absolute_exponent: Some(-20), differing: 10_000 };
    let tolerance = Tolerance::new(TensorTolerance::EXACT, vec![("head.weight".to_owned(), near)]).unwrap();
    let value = json!({
        "default": { "ulps": 0, "exponent": null, "differing": 0 },
        "tensors": [{ "name": "head.weight", "ulps": 8, "exponent": -20, "differing": 10_000 }],
    });
    json!({ "value": value, "framed": hex::encode(tolerance.to_bytes()), "digest": tolerance.digest() })
}

fn key(operation: u32, tile: (u32, u32)) -> Key {
    Key::new((2, 7_000_000_000), (513, 3, operation), tile).unwrap()
}

fn place(key: Key) -> Value {
    json!({ "elements": strings(&key.elements()) })
}

fn record(operation: u32, kind: TileKind) -> OperationRecord {
    OperationRecord {
        key: key(operation, (0, 0)),
        kind,
        rows: 40,
        cols: 24,
        side: 16,
        transposed: [true, false],
        roots: [root(1), root(2), root(3)],
        form: digest(0x30),
        salt: SALT,
    }
}

fn product() -> OperationRecord {
    record(70_000, TileKind::Product { class: OperationClass::WGRAD, k: 4096, bias: true })
}

fn operation() -> Value {
    let row = |record: &OperationRecord, [kind, class, k, bias]: [u64; 4]| {
        let mut elements = record.key.elements().to_vec();
        elements.extend([kind, class, record.rows, record.cols, k, bias, record.side, 1, 0]);
        elements.extend(record.roots.iter().flat_map(|root| root.elements()));
        elements.extend(digest_elements(record.form));
        elements.extend(salt_elements(&record.salt));
        let leaf = record.leaf((2, 1)).unwrap();
        let mut leaf_elements = leaf.min.elements().to_vec();
        leaf_elements.extend(record.digest().elements());
        json!({
            "attempt": 2, "step": "7000000000", "rank": 513, "micro_batch": 3, "operation": record.key.elements()[1] & 0xf_ffff,
            "kind": kind, "class": class, "rows": record.rows, "cols": record.cols, "k": k, "bias": bias, "side": record.side,
            "transposed": [1, 0], "roots": record.roots, "form": record.form, "salt": hex::encode(SALT),
            "hash": hashed(Domain::Operation, &elements, record.digest()),
            "tile": [2, 1],
            "leaf": hashed(Domain::FlopLeaf, &leaf_elements, leaf.digest),
            "flop": leaf.sums.flops(), "links": leaf.sums.links().to_string(),
        })
    };
    json!([row(&product(), [0, 2, 4096, 1]), row(&record(70_001, TileKind::Link), [1, 0, 0, 0])])
}

fn leaves() -> Vec<Node> {
    let of = |record: OperationRecord| record.leaves().unwrap().map(Result::unwrap).collect::<Vec<_>>();
    [of(product()), of(record(70_001, TileKind::Link))].concat()
}

fn node_value(node: &Node) -> Value {
    let Node { digest, sums, min, max } = node;
    json!({ "digest": digest, "sums": strings(&sums.elements()), "min": place(*min), "max": place(*max) })
}

fn join() -> Value {
    let leaves = leaves();
    let (left, right) = (leaves[0], leaves[1]);
    let node = Node::join(1, &left, &right).unwrap();
    let elements = [&[1], &left.elements()[..], &right.elements()[..]].concat();
    let tree = FlopTree::new(leaves.clone()).unwrap();
    json!({
        "level": 1, "left": node_value(&left), "right": node_value(&right),
        "hash": hashed(Domain::FlopNode, &elements, node.digest),
        "node": node_value(&node),
        "tree": { "leaves": leaves.len(), "root": node_value(tree.root()) },
    })
}

fn unit_record(trace: Option<PoseidonDigest>) -> UnitRecord {
    let sums = Sums::of(Flops(12_345_678_901_234), 77).unwrap();
    UnitRecord { key: key(0, (0, 0)), sums, start: digest(8), end: digest(9), trace, salt: SALT }
}

fn unit() -> Value {
    let row = |unit: &UnitRecord| {
        let mut elements = unit.key.elements().to_vec();
        elements.extend(unit.sums.elements());
        elements.extend(digest_elements(unit.start));
        elements.extend(digest_elements(unit.end));
        elements.extend(unit.trace.map_or([0; 4], PoseidonDigest::elements));
        elements.extend(salt_elements(&unit.salt));
        json!({
            "key": place(unit.key), "sums": strings(&unit.sums.elements()), "flop": unit.sums.flops(),
            "start": unit.start, "end": unit.end, "trace": unit.trace, "salt": hex::encode(unit.salt),
            "hash": hashed(Domain::UnitLeaf, &elements, unit.leaf().unwrap().digest),
        })
    };
    json!([row(&unit_record(None)), row(&unit_record(Some(root(11))))])
}

fn draw(seed: Seed, stratum: u8, index: u32) -> Value {
    let place = [u64::from(stratum), u64::from(index), 0, 0];
    let elements = [&digest_elements(seed.digest())[..], &place[..]].concat();
    let draw = seed.draw(stratum, index);
    let totals = [1u128, 1000, 123_456_789_012_345_678, (1 << 86) - 1];
    let points: Vec<Value> = totals
        .iter()
        .map(|total| json!({ "total": total.to_string(), "point": draw.point(*total).unwrap().to_string() }))
        .collect();
    let limbs: Vec<u64> = draw.limbs().into_iter().map(u64::from).collect();
    json!({
        "seed": seed.digest(), "stratum": stratum, "index": index,
        "hash": hashed(Domain::Draw, &elements, poseidon(Domain::Draw, &elements)),
        "limbs": strings(&limbs), "points": points,
    })
}

/// A window from its root to its seeds; the second one is over the trace of one unit.
fn window() -> Value {
    let (genesis, node_key_digest, verifier) = (digest(0x20), digest(0x21), digest(0x22));
    let leaf = unit_record(None).leaf().unwrap();
    let published = window_root(0, &leaf, &SALT);
    let elements = [&[0], &leaf.elements()[..], &salt_elements(&SALT)[..]].concat();
    let risk = Risk::FIVE_PERCENT;
    let strata = vec![Stratum { weight: Weight::Flop, cap: 1 << 80, draws: 3, risk }];
    let policy = AuditPolicy::new(AuditMode::Replayed, RandomnessRule::Verifier { verifier }, 1_000, risk, strata);
    let mut chain = WindowChain::new(genesis, node_key_digest, policy.unwrap()).unwrap();
    let times = (UnixMillis(10), UnixMillis(20));
    let committed = chain.commit((0, published), (leaf, &SALT), times).unwrap();
    let nonce = |issued, value| Revealed::Nonce { verifier, issued: UnixMillis(issued), value };
    let challenged = committed.challenge(&nonce(30, digest(0x23))).unwrap();
    let first = challenged.seed();
    let traces = [TraceCommitment { unit: leaf.min, root: root(12), witnessed: UnixMillis(40) }];
    let traced = challenged.commit_traces(&traces).unwrap();
    let mut trace_elements = vec![0];
    trace_elements.extend(published.elements());
    trace_elements.push(1);
    trace_elements.extend(leaf.min.elements());
    trace_elements.extend(root(12).elements());
    let trace_root = traced.root();
    let second = traced.challenge(&nonce(2_000, digest(0x24))).unwrap().seed();
    json!({
        "index": 0, "root": node_value(&leaf), "salt": hex::encode(SALT),
        "published": hashed(Domain::Window, &elements, published),
        "genesis": genesis, "node_key_digest": node_key_digest,
        "first": { "challenge": nonce(30, digest(0x23)).challenge(), "seed": first.digest() },
        "traces": [{ "unit": place(leaf.min), "root": root(12) }],
        "trace_root": hashed(Domain::Traces, &trace_elements, trace_root),
        "second": { "challenge": nonce(2_000, digest(0x24)).challenge(), "seed": second.digest() },
        "draws": [draw(first, 0, 0), draw(first, 1, 299), draw(second, 0, 2)],
        "distinct": { "seed": first.digest(), "stratum": 4, "total": 100, "drawn": first.distinct(4, 100, 5) },
        "strip_entries": {
            "seed": second.digest(), "stratum": 0, "index": 2, "operand": 2, "entries": 65_536,
            "drawn": second.strip_entries((0, 2), Operand::Right, 65_536, 3),
        },
    })
}

/// Salts from the secret of a run: of a unit, of an operation of it, and of a window's published root.
fn salts() -> Value {
    let (secret, unit, operation) = (digest(0x40), key(0, (0, 0)), key(70_000, (0, 0)));
    let salts = Salts::new(secret.0);
    json!({
        "secret": secret,
        "of": [
            { "what": "unit", "numbers": strings(&unit.elements()), "salt": hex::encode(salts.of(unit, "unit")) },
            { "what": "operation", "numbers": strings(&operation.elements()), "salt": hex::encode(salts.of(operation, "operation")) },
            { "what": "window", "numbers": ["7"], "salt": hex::encode(salts.window(7)) },
        ],
    })
}

fn golden() -> Value {
    json!({
        "format": "weighbridge/audit-vectors/v1",
        "numeric_policy": numeric_policy(),
        "audit_policy": audit_policy(),
        "tolerance": tolerance(),
        "operations": operation(),
        "join": join(),
        "units": unit(),
        "window": window(),
        "salts": salts(),
    })
}

#[test]
fn golden_vectors_hold_byte_for_byte() {
    let text = serde_json::to_string_pretty(&golden()).unwrap() + "\n";
    let path = vectors().join("audit.json");
    #[expect(clippy::disallowed_methods, reason = "blessing is an order from the person at the keyboard")]
    let bless = std::env::var("WEIGHBRIDGE_BLESS").is_ok_and(|value| value == "1");
    if bless {
        fs::write(&path, &text).unwrap();
    }
    let pinned = fs::read_to_string(&path).expect("tests/vectors/audit.json; WEIGHBRIDGE_BLESS=1 writes it");
    let differs = pinned.lines().zip(text.lines()).position(|(pinned, now)| pinned != now);
    assert!(pinned == text, "audit.json differs from line {differs:?} on (counted from 0)");
}

fn recompute(golden: &Path) -> Option<Output> {
    match Command::new("python3").arg("-B").arg(vectors().join("recompute_audit.py")).arg(golden).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: python3 is not installed, so audit.json was not derived a second time");
            None
        }
        Err(error) => panic!("python3: {error}"),
    }
}

#[test]
fn audit_vectors_are_derived_again_by_other_code() {
    let Some(output) = recompute(&vectors().join("audit.json")) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Places whose values are outputs; a changed one must be noticed, or the derivation proves nothing.
const OUTPUTS: [&str; 21] = [
    "/numeric_policy/framed",
    "/numeric_policy/digest",
    "/audit_policy/framed",
    "/audit_policy/digest",
    "/tolerance/framed",
    "/tolerance/digest",
    "/operations/0/hash/input/5",
    "/operations/0/leaf/input/3",
    "/operations/0/flop",
    "/operations/1/links",
    "/join/hash/input/2",
    "/join/node/sums/1",
    "/units/1/hash/input/22",
    "/window/published/input/18",
    "/window/first/seed",
    "/window/trace_root/input/7",
    "/window/second/seed",
    "/window/draws/0/limbs/5",
    "/window/draws/1/points/3/point",
    "/window/draws/2/hash/input/7",
    "/salts/of/1/salt",
];

#[test]
fn the_other_derivation_notices_every_changed_output() {
    let folder = tempfile::TempDir::new().unwrap();
    let golden: Value = serde_json::from_slice(&fs::read(vectors().join("audit.json")).unwrap()).unwrap();
    for place in OUTPUTS {
        let mut changed = golden.clone();
        let Some(Value::String(text)) = changed.pointer_mut(place) else { panic!("{place} is no text") };
        let last = text.pop().unwrap();
        text.push(if last == '1' { '2' } else { '1' });
        let path = folder.path().join("audit.json");
        fs::write(&path, changed.to_string()).unwrap();
        let Some(output) = recompute(&path) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{place}: {said}");
        assert!(said.contains(": derived ") && !said.contains("Traceback"), "{place}: {said}");
    }
}
