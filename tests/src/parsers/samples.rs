//! **Duty.** Honest bytes for every door, grown from one small sample run: the same in every process. **Knows** the
//! simulator. **Does not know** what is done to them.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use weighbridge_appraisal::{AssembleParts, ProofFile, assemble};
use weighbridge_attest::{Endorsements, built_in_anchors, parse_anchor_file};
use weighbridge_attest_types::{
    AppraisalPolicy, BeaconToken, Bundle, Canonical, Digest32, EvidenceSet, Flops, Member, NodeWitness, PoseidonDigest,
    TrustAnchors, UnixMillis, built_in_profiles,
};
use weighbridge_audit::{
    Answers, AuditMode, AuditPolicy, BeaconChain, ErrorModel, Format, NumericPolicy, OperationPolicy, RandomnessRule,
    Risk, Stratum, TensorTolerance, Tolerance, Weight,
};
use weighbridge_circuits::{ThresholdProof, ThresholdPublic};
use weighbridge_daemon::Config;
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, CheckpointRequest, EndRequest, HeadInfo, NodeInfo, NodeState, Problem,
    ReceiptRequest, RunEnded, RunStartRequest, RunStarted, StepReport, WindowReport, WorkUnitReport, paths,
};

use weighbridge_tests_simulator::{Certified, OcspHash, OcspOptions, OcspSigner, OcspStatus};
use weighbridge_verifier::audit_policy_json;

use crate::SampleRun;
use crate::tiles::{Matrix, synthetic};

/// Recorded rounds and tokens.
const TIME: &str = include_str!("../../vectors/time.json");
/// The key of [`model_signature`].
pub(super) const MODEL_KEY: &[u8] = include_bytes!("../../vectors/oms/p256.pem");
/// The key of [`statement`].
pub(super) const STATEMENT_KEY: &[u8] = include_bytes!("../../vectors/statement/ed25519.pub.pem");

/// A small run with everything that attempts are held against.
pub(super) struct Honest {
    pub(super) run: SampleRun,
    pub(super) anchors: TrustAnchors,
    pub(super) at: UnixMillis,
    pub(super) endorsements: Endorsements,
    pub(super) quote: Vec<u8>,
    pub(super) gpu_report: Vec<u8>,
    pub(super) gpu_certificates: Vec<Vec<u8>>,
    pub(super) switch_report: Vec<u8>,
    pub(super) switch_certificates: Vec<Vec<u8>>,
}

/// One node, one GPU, four intervals, one head quote: an attempt costs milliseconds.
pub(super) fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let mut run = SampleRun::begin(11, 1, 1);
        run.advance(4);
        run.quote_all();
        run.receipts();
        let mut anchors = built_in_anchors();
        for file in run.world.trust_roots() {
            parse_anchor_file(&file.bytes, &mut anchors).expect("an anchor file");
        }
        let endorsements = Endorsements::recognise(&run.world.endorsements());
        let set = &run.nodes[0].key_set;
        let (quote, gpu) = (set.cpu.body.clone(), &set.devices[0]);
        let (gpu_report, gpu_certificates) = (gpu.report.clone(), gpu.certificates.clone());
        let at = run.appraisal_instant();
        let switch = run.world.switch(0, 0);
        let switch_report = switch.report_with(switch.options(), [3; 32]);
        let switch_certificates = switch.certificates().to_vec();
        Honest {
            run,
            anchors,
            at,
            endorsements,
            quote,
            gpu_report,
            gpu_certificates,
            switch_report,
            switch_certificates,
        }
    })
}

pub(super) fn collateral() -> Vec<u8> {
    static COLLATERAL: OnceLock<Vec<u8>> = OnceLock::new();
    COLLATERAL.get_or_init(|| honest().run.world.collateral_json()).clone()
}

pub(super) fn small_bundle() -> Vec<Vec<u8>> {
    static BUNDLE: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BUNDLE.get_or_init(|| {
        let Honest { run, anchors, at, .. } = honest();
        let (exports, endorsements) = (run.exports(), run.world.endorsements());
        let parts = AssembleParts {
            exports,
            endorsements,
            proof: None,
            readings: vec![],
            declarations: None,
            answers: None,
            at: *at,
            anchors: anchors.clone(),
        };
        assemble(parts).expect("an honest run assembles").to_bytes()
    });
    vec![bytes.clone()]
}

/// A container of few bytes, so that mutations meet its table, and a real one.
pub(super) fn bundle() -> Vec<Vec<u8>> {
    let mut tiny = Bundle::new_bundle();
    fill(&mut tiny);
    vec![tiny.to_bytes(), small_bundle().concat()]
}

pub(super) fn export() -> Vec<Vec<u8>> {
    let mut tiny = Bundle::new_export();
    fill(&mut tiny);
    let exports = honest().run.exports().into_iter().map(|export| export.to_bytes());
    exports.chain([tiny.to_bytes()]).collect()
}

fn fill(container: &mut Bundle) {
    for (name, bytes) in [("a", vec![]), ("b/one", vec![1u8; 3]), ("b/two", vec![2u8; 5])] {
        container.insert(Member { name: name.to_owned(), bytes }).expect("a lawful member");
    }
}

pub(super) fn run_manifest() -> Vec<Vec<u8>> {
    vec![honest().run.manifest.to_bytes()]
}

pub(super) fn ledger() -> Vec<Vec<u8>> {
    vec![honest().run.nodes[0].ledger.to_bytes()]
}

pub(super) fn entry() -> Vec<Vec<u8>> {
    honest().run.nodes[0].ledger.entries.iter().map(Canonical::to_bytes).collect()
}

pub(super) fn interval() -> Vec<Vec<u8>> {
    honest().run.nodes[0].ledger.entries.iter().map(|entry| entry.public.to_bytes()).collect()
}

pub(super) fn witness() -> Vec<Vec<u8>> {
    let node = &honest().run.nodes[0];
    vec![NodeWitness { node_key: node.node_key(), rows: node.rows.clone() }.to_bytes()]
}

pub(super) fn nonce() -> Vec<Vec<u8>> {
    vec![honest().run.nodes[0].nonce.to_bytes()]
}

pub(super) fn receipt() -> Vec<Vec<u8>> {
    honest().run.nodes[0].receipt.iter().map(Canonical::to_bytes).collect()
}

/// Rounds that real networks published.
pub(super) fn beacon() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value = serde_json::from_str(TIME).expect("JSON");
    let rounds = vectors["beacons"].as_array().expect("rounds");
    let token = |round: &serde_json::Value| {
        let bytes = |field: &str| hex::decode(round[field].as_str().expect("hex")).expect("hex");
        let chain = Digest32(bytes("chain_hash").try_into().expect("32 bytes"));
        let number = round["round"].as_u64().expect("a number");
        BeaconToken::new(chain, number, bytes("previous_signature"), bytes("signature")).expect("a round")
    };
    rounds.iter().map(|round| token(round).to_bytes()).collect()
}

pub(super) fn timestamp() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value = serde_json::from_str(TIME).expect("JSON");
    let tokens = vectors["timestamps"].as_array().expect("tokens");
    tokens.iter().map(|token| hex::decode(token["response"].as_str().expect("hex")).expect("hex")).collect()
}

/// Both ways to estimate, and what is excluded.
pub(super) fn declarations() -> Vec<Vec<u8>> {
    vec![include_bytes!("declarations.json").to_vec()]
}

pub(super) fn model_signature() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../vectors/oms/p256.sig").to_vec()]
}

pub(super) fn statement() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../vectors/statement/envelope.json").to_vec()]
}

pub(super) fn evidence_set() -> Vec<Vec<u8>> {
    let node = &honest().run.nodes[0];
    let sets = [&node.key_set].into_iter().chain(node.evidence.values());
    sets.map(EvidenceSet::to_bytes).collect()
}

pub(super) fn tdx_quote() -> Vec<Vec<u8>> {
    vec![honest().quote.clone()]
}

pub(super) fn tdx_collateral() -> Vec<Vec<u8>> {
    vec![collateral()]
}

pub(super) fn gpu_report() -> Vec<Vec<u8>> {
    vec![honest().gpu_report.clone()]
}

pub(super) fn switch_report() -> Vec<Vec<u8>> {
    vec![honest().switch_report.clone()]
}

pub(super) fn rim() -> Vec<Vec<u8>> {
    let world = &honest().run.world;
    let [driver, vbios] = world.gpu_rims();
    [driver, vbios, world.switch_rim()].map(|options| world.rim_signer().rim(&options)).to_vec()
}

pub(super) fn ocsp() -> Vec<Vec<u8>> {
    let world = &honest().run.world;
    let of = |hash, signer| world.ocsp(Certified::Provisioner, &OcspOptions { hash, signer, ..world.ocsp_options() });
    vec![of(OcspHash::Sha1, OcspSigner::Delegate), of(OcspHash::Sha384, OcspSigner::Authority)]
}

pub(super) fn revocation_list() -> Vec<Vec<u8>> {
    let world = &honest().run.world;
    [OcspStatus::Good, OcspStatus::OnHold].map(|status| world.nvidia_crl(Certified::Provisioner, status)).to_vec()
}

pub(super) fn gpu_chain() -> Vec<Vec<u8>> {
    vec![frame(&honest().gpu_certificates)]
}

pub(super) fn certificate() -> Vec<Vec<u8>> {
    let world = &honest().run.world;
    vec![world.intel_root(), world.nvidia_root()]
}

pub(super) fn pem() -> Vec<Vec<u8>> {
    let block =
        |der: &Vec<u8>| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
    vec![honest().gpu_certificates.iter().map(block).collect::<String>().into_bytes()]
}

pub(super) fn anchor() -> Vec<Vec<u8>> {
    honest().run.world.trust_roots().into_iter().map(|file| file.bytes).collect()
}

pub(super) fn policy() -> Vec<Vec<u8>> {
    vec![serde_json::to_vec_pretty(&AppraisalPolicy::built_in()).expect("a policy is JSON")]
}

pub(super) fn profile() -> Vec<Vec<u8>> {
    let json = |profile| serde_json::to_vec_pretty(profile).expect("a profile is JSON");
    built_in_profiles().iter().map(json).collect()
}

pub(super) fn report() -> Vec<Vec<u8>> {
    let bundle = Bundle::parse_bundle(&small_bundle().concat()).expect("a bundle");
    vec![bundle.get("report.json").expect("a bundle has its report").to_vec()]
}

pub(super) fn safetensors() -> Vec<Vec<u8>> {
    let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).expect("a tensor");
    let data: Vec<u8> = (0..96u8).collect();
    let tensors = [
        ("embed.weight", view(Dtype::F32, &[4, 6], &data[..96])),
        ("layer.0.bias", view(Dtype::BF16, &[7], &data[..14])),
        ("empty", view(Dtype::U8, &[0, 3], &data[..0])),
        ("scalar", view(Dtype::F64, &[], &data[..8])),
    ];
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    vec![
        safetensors::serialize(tensors.clone(), None).expect("tensors can be written"),
        safetensors::serialize(tensors, metadata).expect("tensors can be written"),
    ]
}

pub(super) fn config() -> Vec<Vec<u8>> {
    let full = Config { nvml_library: Some("/usr/lib/nvml.so".into()), ..Config::default() };
    let text = toml::to_string(&full).expect("a configuration is TOML");
    vec![text.into_bytes(), b"# defaults\nstate_dir = '/s'\nattest_every_intervals = 0x10\n".to_vec()]
}

pub(super) fn daemon_request() -> Vec<Vec<u8>> {
    let Honest { run, .. } = honest();
    let node = &run.nodes[0];
    let receipt = node.receipt.clone().expect("the run has receipts");
    let unit = WorkUnitReport { attempt: 0, step: 3, rank: 1, micro_batch: 2, flop: Flops(1 << 70) };
    let checkpoint = CheckpointRequest { attempt: 0, step: 3, files: vec!["/c/model.safetensors".into()] };
    let post = |path: &str, body: serde_json::Result<Vec<u8>>| {
        [format!("POST {path}\n").into_bytes(), body.expect("a message is JSON")].concat()
    };
    let key = hex::encode(node.node_key().0);
    vec![
        format!("GET {}\n", paths::NODE).into_bytes(),
        format!("GET {}?node-key={key}\n", paths::EXPORT).into_bytes(),
        post(paths::CHALLENGE, serde_json::to_vec(&ChallengeRequest::Nonce(node.nonce.clone()))),
        post(paths::RUN_START, serde_json::to_vec(&RunStartRequest { manifest: run.manifest.clone() })),
        post(paths::STEP, serde_json::to_vec(&StepReport { attempt: 0, step: 3 })),
        post(paths::WORK_UNIT, serde_json::to_vec(&unit)),
        post(paths::CHECKPOINT, serde_json::to_vec(&checkpoint)),
        post(paths::WINDOW, serde_json::to_vec(&WindowReport { index: 3, root: PoseidonDigest::default() })),
        post(paths::END, serde_json::to_vec(&EndRequest {})),
        post(paths::RECEIPT, serde_json::to_vec(&ReceiptRequest::Receipt(receipt))),
    ]
}

pub(super) fn daemon_answer() -> Vec<Vec<u8>> {
    let Honest { run, .. } = honest();
    let node = &run.nodes[0];
    let (index, head) = node.tip();
    let row = &run.manifest.roster[0];
    let info = NodeInfo {
        node_key: node.node_key(),
        state: NodeState::Running,
        cpu_kind: row.cpu_kind.clone(),
        cpu: row.cpu,
        devices: Vec::new(),
        key_quote: Some(row.key_quote),
        genesis: Some(run.manifest.genesis()),
        head: Some(HeadInfo { index, head }),
    };
    let started = RunStarted { genesis: run.manifest.genesis(), head: node.heads[0] };
    let ended = RunEnded { index, head, node_key_digest: node.node_key().digest() };
    let culprit = weighbridge_attest_types::Culprit::Malformed;
    let problem = Problem::new(culprit, "body-malformed", "the body is not the message".to_owned(), "send it");
    let values = [json!(info), json!(started), json!(ended), json!(problem), json!(Acknowledged { counted: true })];
    values.map(|value| value.to_string().into_bytes()).to_vec()
}

/// The statement and the proof that the circuits pin: making one takes seconds.
const PUBLIC: &[u8] = include_bytes!("../../../circuits/fixtures/threshold.public");
const PROOF: &[u8] = include_bytes!("../../../circuits/fixtures/threshold.proof");

pub(super) fn threshold_public() -> Vec<Vec<u8>> {
    vec![PUBLIC.to_vec()]
}

pub(super) fn threshold_proof() -> Vec<Vec<u8>> {
    vec![frame(&[PUBLIC.to_vec(), PROOF.to_vec()])]
}

pub(super) fn proof_file() -> Vec<Vec<u8>> {
    let public = ThresholdPublic::from_bytes(PUBLIC).expect("pinned");
    vec![ProofFile::new(ThresholdProof { public, proof: PROOF.to_vec() }).to_bytes()]
}

/// Parts, each after its `u32` length.
fn frame(parts: &[Vec<u8>]) -> Vec<u8> {
    let length = |part: &Vec<u8>| u32::try_from(part.len()).expect("a short part").to_le_bytes();
    parts.iter().flat_map(|part| [length(part).to_vec(), part.clone()].concat()).collect()
}

/// The parts again; `None` where a length lies.
pub(super) fn unframe(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (part, after) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        parts.push(part.to_vec());
        bytes = after;
    }
    bytes.is_empty().then_some(parts)
}

/// Policies of the audit, as a run would commit to them.
pub(super) fn numeric_policy() -> Vec<Vec<u8>> {
    let bf16 = OperationPolicy::of(Format::Bf16, Format::Bf16);
    let order_free = bf16.with_model(ErrorModel::OrderFree, 1).expect("in range");
    let tf32 = OperationPolicy::of(Format::F32, Format::F32).with_tf32(true).expect("f32 operands");
    [bf16, order_free, tf32].map(|policy| NumericPolicy::uniform(policy).to_bytes()).to_vec()
}

pub(super) fn audit_policy() -> Vec<Vec<u8>> {
    let chain = BeaconChain { chain: Digest32([1; 32]), genesis: UnixMillis(1_000), period_millis: 3_000 };
    let risk = |millionths| Risk::new(millionths).expect("in range");
    let strata = vec![
        Stratum { weight: Weight::Flop, cap: 1 << 80, draws: 300, risk: risk(40_000) },
        Stratum { weight: Weight::Link, cap: 1 << 40, draws: 30, risk: risk(10_000) },
    ];
    let rules = [
        RandomnessRule::Beacon { chain, delta_millis: 60_000 },
        RandomnessRule::Verifier { verifier: Digest32([2; 32]) },
        RandomnessRule::SelfCheck,
    ];
    let policy = |rule| AuditPolicy::new(AuditMode::Replayed, rule, 1_000, Risk::FIVE_PERCENT, strata.clone());
    rules.map(|rule| policy(rule).expect("in range").to_bytes()).to_vec()
}

pub(super) fn audit_policy_file() -> Vec<Vec<u8>> {
    let read = |bytes: Vec<u8>| AuditPolicy::from_bytes(&bytes).expect("a policy");
    audit_policy().into_iter().map(|bytes| audit_policy_json(&read(bytes)).to_string().into_bytes()).collect()
}

/// An audited run.
pub(super) fn audited() -> &'static SampleRun {
    static AUDITED: OnceLock<SampleRun> = OnceLock::new();
    AUDITED.get_or_init(SampleRun::audited)
}

pub(super) fn answers() -> Vec<Vec<u8>> {
    audited().answers.iter().cloned().collect()
}

pub(super) fn operation_form() -> Vec<Vec<u8>> {
    let bytes = answers().pop().expect("answers");
    let answers = Answers::from_bytes(&bytes).expect("answers");
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for answer in answers.chains.into_iter().flat_map(|chain| chain.windows).flat_map(|window| window.answers) {
        if !forms.contains(&answer.drawn.form) {
            forms.push(answer.drawn.form);
        }
    }
    forms
}

pub(super) fn tolerance() -> Vec<Vec<u8>> {
    let near = TensorTolerance { ulps: 4, absolute_exponent: Some(-20), differing: 10_000 };
    let tensors = vec![("head.weight".to_owned(), near), ("tail.weight".to_owned(), TensorTolerance::EXACT)];
    vec![Tolerance::new(near, tensors).expect("in range").to_bytes()]
}

/// Honest tiles of each pair of formats, an edge tile among them.
pub(super) fn tile() -> Vec<Vec<u8>> {
    let of = |shape: (usize, usize, usize), operands: Format, output: Format| {
        let product = synthetic(shape, operands, output, 11);
        let (rows, k, cols) = shape;
        let [tag_in, tag_out] = [operands, output].map(|format| format.to_bytes()[0]);
        let [rows, cols] = [rows, cols].map(|size| u8::try_from(size).expect("a small tile"));
        let [low, high] = u16::try_from(k).expect("a short product").to_le_bytes();
        let stored = |matrix: &Matrix| Matrix::stored(matrix.format, &matrix.values);
        let blocks = [stored(&product.a), stored(&product.b), stored(&product.c)].concat();
        [&[tag_in, tag_in, tag_out, rows, cols, low, high][..], &blocks].concat()
    };
    vec![
        of((8, 32, 8), Format::Bf16, Format::Bf16),
        of((4, 32, 4), Format::F32, Format::F32),
        of((1, 40, 3), Format::Bf16, Format::F32),
    ]
}
