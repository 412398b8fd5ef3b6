//! What the README's table of figures is made from, by criterion. `just figures` runs it and rewrites the table; nothing
//! here is a test, and no test asserts a time.
//!
//! All in one target, in the test tree: the figures cross rooms (a proof from a sample run, a bundle through the shipped
//! program), they go through public functions as a caller would, and no production crate learns criterion.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use ring::digest::{SHA256, digest};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sev::certs::snp::{Chain, Verifiable as _};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use weighbridge_appraisal::{
    Appraisal, AppraisalTime, EvidenceGrounds, EvidencePiece, VerifyOptions, appraise_devices, verify_bundle,
};
use weighbridge_attest::{Endorsements, built_in_anchors, canonical_slice, parse_anchor_file, pem_certificates};
use weighbridge_attest_types::{
    AppraisalPolicy, Digest32, EvidenceKind, PoseidonDigest, ThresholdReport, TrustAnchors, UnixMillis,
};
use weighbridge_audit::{
    FlopTree, Format, Key, OperationClass, OperationPolicy, OperationRecord, TileKind, TileVerdict, TreeBuilder,
    Weight, check_tile,
};
use weighbridge_circuits::{JobKind, LeafChoice, check_threshold};
use weighbridge_commitments::{Effort, algebraic_root, commit_checkpoint, fast_root};
use weighbridge_tests::pieces::{Pieces, generated_chain};
use weighbridge_tests::tiles::synthetic;
use weighbridge_tests::vectors::{Case, instant};
use weighbridge_tests::{program, run};

/// Bytes of the checkpoint that is committed: large beside what a processor caches.
const CHECKPOINT_BYTES: usize = 32 * 1024 * 1024;
/// The same for the fast root, which takes a hundredth of the time.
const FAST_CHECKPOINT_BYTES: usize = 1024 * 1024 * 1024;
/// Bytes hashed by the loop that the others are compared with.
const CALIBRATION_BYTES: usize = 64 * 1024 * 1024;
/// Proofs, and other things of whole seconds: few samples, each one of them once.
const SAMPLES: usize = 10;
/// Intervals of a long leaf, and of a short one.
const LONG_LEAF: u64 = 96 * 64;
const SHORT_LEAF: u64 = 11 * 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    calibration(&mut criterion);
    commit(&mut criterion);
    audit(&mut criterion);
    appraise(&mut criterion);
    prove(&mut criterion);
    match DemoBundle::read() {
        Some(demo) => verify_and_report(&mut criterion, &demo),
        None => println!("verify and report: not measured: out/run.weighbridge is absent; run the demo first"),
    }
    criterion.final_summary();
}

/// SHA-256 on one core. Whoever compares two runs compares ratios to this: another machine, another speed.
fn calibration(criterion: &mut Criterion) {
    let bytes = vec![0x5a; CALIBRATION_BYTES];
    let mut group = criterion.benchmark_group("calibration");
    group.sample_size(SAMPLES).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Bytes(CALIBRATION_BYTES as u64));
    group.bench_function("sha256", |bencher| bencher.iter(|| digest(&SHA256, &bytes)));
    group.finish();
}

/// Each root alone on one core and on all, and what the daemon does: both roots and the files' digests on half of them.
fn commit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (small, large) = (folder.path().join("small"), folder.path().join("large"));
    let made = [&small, &large].map(std::fs::create_dir);
    assert!(made.iter().all(Result::is_ok), "the temporary folder can be written");
    let small = [checkpoint(&small, CHECKPOINT_BYTES)];
    let large = [checkpoint(&large, FAST_CHECKPOINT_BYTES)];
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(SAMPLES).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(300));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(FAST_CHECKPOINT_BYTES as u64));
    for (name, effort) in [("fast-one", Effort::threads(1)), ("fast-all", Effort::all_cores())] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| fast_root(&large, effort, &mut |_, _| ()).expect("a checkpoint"));
        });
    }
    group.throughput(Throughput::Bytes(CHECKPOINT_BYTES as u64));
    for (name, effort) in [("algebraic-one", Effort::threads(1)), ("algebraic-all", Effort::all_cores())] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| algebraic_root(&small, effort, &mut |_, _| ()).expect("a checkpoint"));
        });
    }
    group.bench_function("both", |bencher| {
        bencher.iter(|| commit_checkpoint(&small, Effort::polite(), &mut |_, _| ()).expect("a checkpoint"));
    });
    group.finish();
}

/// One file of two tensors; after the first reading it comes from the page cache.
fn checkpoint(folder: &Path, bytes: usize) -> PathBuf {
    let data: Vec<u8> = (0u32..).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).take(bytes).collect();
    let (large, small) = data.split_at(bytes / 4 * 3);
    let [large, small] = [large, small].map(|data| {
        TensorView::new(Dtype::F32, vec![data.len() / 4096, 1024], data).expect("whole rows of 1,024 words")
    });
    let path = folder.join("model.safetensors");
    let written = safetensors::serialize([("large", large), ("small", small)], None);
    std::fs::write(&path, written.expect("tensors can be written")).expect("the folder can be written");
    path
}

/// A product of 1,024 × 1,024 × 1,024 in bf16: 4,096 tiles, and three tensors of 2 MiB in its trace.
const SIDE_OF_PRODUCT: u64 = 1024;
const PRODUCTS: u32 = 8;
const TRACE_BYTES: u64 = 3 * 2 * SIDE_OF_PRODUCT * SIDE_OF_PRODUCT * PRODUCTS as u64;

/// The native audit: a unit's tree over its trace, one draw found and opened in it, and one tile judged.
fn audit(criterion: &mut Criterion) {
    let records: Vec<OperationRecord> = (0..PRODUCTS).map(record).collect();
    let leaves = || records.iter().flat_map(|record| record.leaves().expect("a lawful shape"));
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(SAMPLES).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Bytes(TRACE_BYTES));
    group.bench_function("tree", |bencher| {
        bencher.iter(|| {
            let mut tree = TreeBuilder::new();
            leaves().for_each(|leaf| tree.push(leaf.expect("a tile")).expect("ascending keys"));
            tree.finish().expect("leaves")
        });
    });

    let tree = FlopTree::new(leaves().map(|leaf| leaf.expect("a tile")).collect()).expect("ascending keys");
    let total = tree.root().sums.flops().0;
    let mut point = 0u128;
    group.throughput(Throughput::Elements(1));
    group.bench_function("draw", |bencher| {
        bencher.iter(|| {
            point = (point + total / 7 * 3) % total;
            let place = tree.find(point, Weight::Flop).expect("below the total");
            let leaf = tree.leaves()[place];
            let record = records.iter().find(|record| record.key == leaf.min.operation()).expect("its operation");
            let path = tree.path(place).expect("a leaf");
            let opened = path.open(record.leaf(leaf.min.tile()).expect("a tile"), tree.root()).expect("a path");
            assert!(opened.holds(point, Weight::Flop));
        });
    });
    for (name, operands, k) in [
        ("tile-bf16-1k", Format::Bf16, 1024),
        ("tile-bf16-16k", Format::Bf16, 16_384),
        ("tile-f32-1k", Format::F32, 1024),
    ] {
        let product = synthetic((16, k, 16), operands, operands, 1);
        let (a, b, c) = product.tile(16, (0, 0));
        let policy = OperationPolicy::of(operands, operands);
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(matches!(check_tile(&a, &b, &c, &policy), TileVerdict::Accepted(_))));
        });
    }
    group.finish();
}

/// Captured evidence of each kind, on one core, with endorsements recognised before, as a service does, and read anew for
/// each (`-anew`), as the command does. Beside it the readers that ours is held against, alone, on the same bytes. Processor
/// time of the one thread.
fn appraise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("appraise");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(4));
    group.warm_up_time(Duration::from_millis(500));
    let captured =
        [("tdx", "v4-dstack-quote-report-90c06f"), ("sev-snp", "milan-v3-ms"), ("nvidia-gpu", "h100-550.90.07-full")];
    for (kind, name) in captured {
        let Some(captured) = Captured::named(kind, name) else {
            println!("appraise {kind}: not measured: no shared folder");
            continue;
        };
        let endorsements = captured.endorsements();
        assert!(captured.appraise(&endorsements).culprit().is_none(), "{kind} is accepted");
        group.bench_function(kind, |bencher| {
            bencher.iter_custom(|times| on_processor(times, || captured.appraise(&endorsements)));
        });
        group.bench_function(format!("{kind}-anew"), |bencher| {
            bencher.iter_custom(|times| on_processor(times, || captured.appraise(&captured.endorsements())));
        });
        if let Some(peers) = captured.peers() {
            group.bench_function(format!("{kind}-peers"), |bencher| {
                bencher.iter_custom(|times| on_processor(times, &peers));
            });
        }
    }
    group.finish();
}

/// How long this thread was on a processor for so many times, as the kernel accounts it: what else runs there does not show.
fn on_processor<T>(times: u64, work: impl Fn() -> T) -> Duration {
    let nanos = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux accounts for threads");
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds come first")
    };
    let before = nanos();
    for _ in 0..times {
        std::hint::black_box(work());
    }
    Duration::from_nanos(nanos() - before)
}

/// One captured piece of evidence with what it is judged with.
struct Captured {
    kind: EvidenceKind,
    piece: EvidencePiece,
    chains: Vec<Vec<Vec<u8>>>,
    files: Vec<Vec<u8>>,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    at: UnixMillis,
}

impl Captured {
    fn named(kind: &str, name: &str) -> Option<Self> {
        let case = Case::named(kind, name)?;
        let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
        let (chains, files): (Vec<_>, Vec<_>) = row.endorsements.iter().partition(|file| file.starts_with("chain"));
        let chain = |file: &String| pem_certificates(&case.read(file)).expect("a chain");
        Some(Self {
            kind: EvidenceKind::new(kind),
            piece: EvidencePiece { source: name.to_owned(), body: case.evidence_of(row) },
            chains: chains.into_iter().map(chain).collect(),
            files: files.into_iter().map(|file| case.read(file)).collect(),
            anchors: built_in_anchors(),
            policy: AppraisalPolicy::built_in(),
            at: instant(row.at.as_deref().expect("a time")),
        })
    }

    fn endorsements(&self) -> Endorsements {
        Endorsements::recognise_store(&self.files)
    }

    fn appraise(&self, endorsements: &Endorsements) -> Appraisal {
        let Self { kind, piece, chains, anchors, policy, at, .. } = self;
        let grounds = EvidenceGrounds { endorsements, anchors, policy, at: *at };
        appraise_devices(kind, std::slice::from_ref(piece), chains, None, None, &grounds)
    }

    /// The foreign readers of this kind, one after the other; `None` where there are none.
    fn peers(&self) -> Option<Box<dyn Fn() + '_>> {
        let body = canonical_slice(&self.kind, &self.piece.body).expect("evidence that parses");
        let peers: Box<dyn Fn()> = match self.kind.as_str() {
            EvidenceKind::TDX => {
                let collateral: dcap_qvl::QuoteCollateralV3 =
                    serde_json::from_slice(&self.files[0]).expect("collateral");
                Box::new(move || {
                    dcap_qvl::verify::verify(body, &collateral, self.at.seconds()).expect("dcap-qvl accepts it");
                    let quote = tdx_quote::Quote::from_bytes(body).expect("tdx-quote reads it");
                    quote.verify().expect("tdx-quote accepts it");
                })
            }
            EvidenceKind::SEV_SNP => {
                let [vek, ask, ark] = self.files.as_slice() else { panic!("VEK, ASK, ARK") };
                Box::new(move || {
                    let chain = Chain::from_der(ark, ask, vek).expect("sev reads the chain");
                    let report = AttestationReport::from_bytes(body).expect("sev reads the report");
                    (&chain, &report).verify().expect("sev accepts it");
                })
            }
            _ => return None,
        };
        Some(peers)
    }
}

fn record(operation: u32) -> OperationRecord {
    OperationRecord {
        key: Key::new((0, 1), (0, 0, operation), (0, 0)).expect("a key"),
        kind: TileKind::Product { class: OperationClass::FORWARD, k: SIDE_OF_PRODUCT, bias: false },
        rows: SIDE_OF_PRODUCT,
        cols: SIDE_OF_PRODUCT,
        side: 16,
        transposed: [false; 2],
        roots: [PoseidonDigest::default(); 3],
        form: Digest32([1; 32]),
        salt: [0; 28],
    }
}

/// Processor time of one piece of each kind over generated ledgers, as the kernel accounts it: how many cores there are
/// does not show in it. Two full long leaves are the smallest run with a fold of long ones.
fn prove(criterion: &mut Criterion) {
    let mut pieces = Pieces::new();
    let chains = [generated_chain(0, 2 * LONG_LEAF)];
    let kinds = [
        (JobKind::MeterLong, "leaf"),
        (JobKind::WrapLong, "wrap"),
        (JobKind::Fold, "fold"),
        (JobKind::Threshold, "threshold"),
    ];
    let mut group = criterion.benchmark_group("prove");
    // Each sample is one proof: any longer measurement would ask for thousands of them.
    let no_time = Duration::from_nanos(1);
    group.sample_size(SAMPLES).measurement_time(no_time).warm_up_time(no_time);
    group.sampling_mode(SamplingMode::Flat);
    for (kind, name) in kinds {
        if kind == JobKind::MeterLong {
            group.throughput(Throughput::Elements(LONG_LEAF));
        } else {
            group.throughput(Throughput::Elements(1));
        }
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| pieces.measure(&chains, kind)).sum());
        });
    }
    group.finish();
    check(criterion, &mut pieces);
}

/// The published proof is checked in the same time whatever is below it: one short leaf, and sixteen.
fn check(criterion: &mut Criterion, pieces: &mut Pieces) {
    let mut group = criterion.benchmark_group("verify");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    for (leaves, name) in [(1, "proof-of-1"), (16, "proof-of-16")] {
        let proof = pieces.prove(&[generated_chain(1, leaves * SHORT_LEAF)], LeafChoice::Short, false);
        group.bench_function(name, |bencher| {
            bencher.iter(|| check_threshold(&proof.public, &proof.proof).expect("a proof that holds"));
        });
    }
    group.finish();
}

/// The bundle that the demo left, with the roots that vouch for it.
struct DemoBundle {
    file: PathBuf,
    roots: PathBuf,
    bytes: Vec<u8>,
    anchors: TrustAnchors,
    report: ThresholdReport,
}

impl DemoBundle {
    fn read() -> Option<Self> {
        let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out");
        let (file, roots) = (out.join("run.weighbridge"), out.join("trust-roots"));
        let bytes = std::fs::read(&file).ok()?;
        let mut anchors = built_in_anchors();
        for entry in std::fs::read_dir(&roots).ok()? {
            let anchor = std::fs::read(entry.ok()?.path()).ok()?;
            parse_anchor_file(&anchor, &mut anchors).expect("an anchor file of the demo");
        }
        let options = VerifyOptions { anchors: anchors.clone(), at: AppraisalTime::Archived };
        let report = verify_bundle(&bytes, &options).report;
        let report = report.expect("out/run.weighbridge verifies; if it is of another version, run the demo again");
        Some(Self { file, roots, bytes, anchors, report })
    }
}

fn verify_and_report(criterion: &mut Criterion, demo: &DemoBundle) {
    let mut group = criterion.benchmark_group("verify");
    group.sample_size(20).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(500));
    let options = VerifyOptions { anchors: demo.anchors.clone(), at: AppraisalTime::Archived };
    group.bench_function("library", |bencher| bencher.iter(|| verify_bundle(&demo.bytes, &options)));
    let weighbridge = program("weighbridge");
    let mut command = Command::new(weighbridge);
    command.arg("verify").arg(&demo.file).arg("--trust-roots").arg(&demo.roots);
    group.bench_function("process", |bencher| {
        bencher.iter(|| assert_eq!(run(&mut command).code, Some(0), "the demo's bundle verifies"));
    });
    group.finish();

    let mut group = criterion.benchmark_group("report");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    let render = || weighbridge_verifier::render_html(&demo.report, "eu-ai-act-51-2").expect("a page");
    group.bench_function("html", |bencher| bencher.iter(render));
    group.finish();
}
