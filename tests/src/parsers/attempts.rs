//! **Duty.** One attempt per door: parse, and hold what is accepted against its own encoding. **Knows** public functions
//! alone. **Does not know** which bytes come. A panic here is a finding.

use std::cell::RefCell;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weighbridge_appraisal::{AppraisalTime, ProofFile, TimestampToken, VerifyOptions, beacon_time};
use weighbridge_attest::{
    Endorsements, EvidenceError, RawEvidence, built_in_anchors, canonical_slice, parse_anchor_file, pem_certificates,
    verify_set_with,
};
use weighbridge_attest_collect::certificates_of_pem;
use weighbridge_attest_types::{
    AppraisalPolicy, AzureEvidence, BeaconToken, Bundle, Canonical, CheckpointCommitment, Declarations, EvidenceKind,
    EvidenceSet, NvidiaClaims, ThresholdProfile, ThresholdReport, TrustAnchors, UnixMillis,
};
use weighbridge_audit::trace::OperationForm;
use weighbridge_audit::{
    Answers, AuditPolicy, Format, LedgerWindow, OperationPolicy, Strip, Tile, TileVerdict, WindowAnswers, check_tile,
    window_root,
};
use weighbridge_circuits::{ThresholdPublic, check_threshold};
use weighbridge_commitments::{CheckpointDigests, Effort, commit_checkpoint};
use weighbridge_daemon::Config;
use weighbridge_daemon::action::Action;
use weighbridge_daemon_api::{Acknowledged, EndRequest, NodeInfo, Problem, RunEnded, RunStartRequest, RunStarted};
use weighbridge_verifier::{audit_policy_json, read_audit_policy};

use crate::parsers::Seen;
use crate::parsers::samples::{self, honest};

fn seen(accepted: bool) -> Seen {
    if accepted { Seen::Accepted } else { Seen::Refused }
}

/// A framed object: one value, one spelling.
pub(super) fn canonical<T: Canonical>(bytes: &[u8]) -> Seen {
    let Ok(value) = T::from_bytes(bytes) else { return Seen::Refused };
    assert!(value.to_bytes() == bytes, "accepted bytes are not the encoding of what they mean");
    Seen::Accepted
}

/// A JSON object: parsing, writing and parsing again gives the same value.
fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).expect("what was parsed can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written parses"), value);
    Some(value)
}

pub(super) fn bundle(bytes: &[u8]) -> Seen {
    let Ok(bundle) = Bundle::parse_bundle(bytes) else { return Seen::Refused };
    assert!(bundle.to_bytes() == bytes, "a container has one spelling");
    Seen::Accepted
}

pub(super) fn export(bytes: &[u8]) -> Seen {
    let Ok(bundle) = Bundle::parse_export(bytes) else { return Seen::Refused };
    assert!(bundle.to_bytes() == bytes, "a container has one spelling");
    Seen::Accepted
}

/// A whole set under its vendors: signatures, chains, collateral.
pub(super) fn evidence(bytes: &[u8]) -> Seen {
    let Ok(set) = EvidenceSet::from_bytes(bytes) else { return Seen::Refused };
    let honest = honest();
    seen(verify_set_with(&set, &honest.endorsements, &honest.anchors, honest.at).is_ok())
}

fn verify(kind: &str, raw: RawEvidence<'_>, endorsements: &[Vec<u8>]) -> Result<(), EvidenceError> {
    let honest = honest();
    let kind = EvidenceKind::new(kind);
    // Real captures hang on the vendors' roots, which `anchors` holds as well.
    weighbridge_attest::verify(&kind, raw, endorsements, &honest.anchors, honest.at).map(|_| ())
}

/// The part that counts is a prefix, and is its own part that counts. Whether it also verifies does not matter here.
fn canonical_part(kind: &str, body: &[u8]) -> Seen {
    let kind = EvidenceKind::new(kind);
    let Ok(part) = canonical_slice(&kind, body) else { return Seen::Refused };
    assert!(body.starts_with(part), "the canonical part is not a prefix");
    assert!(canonical_slice(&kind, part) == Ok(part), "the canonical part has another canonical part");
    Seen::Accepted
}

/// A round, and its time under the pinned networks.
pub(super) fn beacon(bytes: &[u8]) -> Seen {
    if let Ok(token) = BeaconToken::from_bytes(bytes) {
        let anchors = built_in_anchors();
        let told = anchors.beacons.iter().filter(|anchor| beacon_time(&token, anchor).is_ok()).count();
        let honest = samples::beacon().iter().any(|sample| sample == bytes);
        assert!(honest || told == 0, "a changed round holds under a real network's key");
    }
    canonical::<BeaconToken>(bytes)
}

/// An answer of a timestamp authority; what is read is also checked.
pub(super) fn timestamp(bytes: &[u8]) -> Seen {
    let Ok(token) = TimestampToken::parse(bytes) else { return Seen::Refused };
    let _genuine = token.check_signature();
    let _known = token.check_authority(&[]);
    assert!(TimestampToken::parse(bytes).is_ok(), "the same bytes, another answer");
    Seen::Accepted
}

pub(super) fn declarations(bytes: &[u8]) -> Seen {
    let Ok(content) = Declarations::parse(bytes) else { return Seen::Refused };
    let written = serde_json::to_vec(&content).expect("declarations are JSON");
    assert_eq!(Declarations::parse(&written).expect("what was written parses"), content);
    Seen::Accepted
}

/// A model's signature bundle under the key that made it: the statement in it is signed, the rest of it says nothing.
pub(super) fn model_signature(bytes: &[u8]) -> Seen {
    seen(weighbridge_verifier::read_model_signature(bytes, samples::MODEL_KEY).is_ok())
}

/// An envelope under the key that signed it.
pub(super) fn statement(bytes: &[u8]) -> Seen {
    seen(weighbridge_verifier::read_statement(bytes, samples::STATEMENT_KEY).is_ok())
}

pub(super) fn tdx_quote(bytes: &[u8]) -> Seen {
    let verified = verify(EvidenceKind::TDX, RawEvidence { body: bytes, certificates: &[] }, &[samples::collateral()]);
    let parsed = canonical_part(EvidenceKind::TDX, bytes);
    assert!(verified.is_err() || parsed == Seen::Accepted, "verified, but it does not parse");
    parsed
}

/// Collateral: recognised and read alone, then held against an honest quote.
pub(super) fn tdx_collateral(bytes: &[u8]) -> Seen {
    let endorsements = Endorsements::recognise(&[bytes.to_vec()]);
    let read = endorsements.unrecognised().is_empty() && endorsements.unreadable().next().is_none();
    let raw = RawEvidence { body: &honest().quote, certificates: &[] };
    let verified = verify(EvidenceKind::TDX, raw, &[bytes.to_vec()]);
    assert!(verified.is_err() || read, "a quote verified under collateral that nobody could read");
    seen(read)
}

/// A log by itself, without a quote whose registers it could explain.
pub(super) fn event_log(bytes: &[u8]) -> Seen {
    readable(bytes)
}

pub(super) fn snp_report(bytes: &[u8]) -> Seen {
    let verified = verify(EvidenceKind::SEV_SNP, RawEvidence { body: bytes, certificates: &[] }, &[]);
    assert!(verified.is_err(), "a report without endorsements verified");
    canonical_part(EvidenceKind::SEV_SNP, bytes)
}

/// Certificates, lists and hosts' tables of AMD.
pub(super) fn amd_endorsement(bytes: &[u8]) -> Seen {
    readable(bytes)
}

/// A blob, alone or with a TPM quote and a TDX quote.
pub(super) fn azure_hcl(bytes: &[u8]) -> Seen {
    let verified = verify(EvidenceKind::AZURE_HCL, RawEvidence { body: bytes, certificates: &[] }, &[]);
    assert!(verified.is_err(), "a blob without endorsements verified");
    if let Ok(evidence) = AzureEvidence::from_bytes(bytes) {
        assert!(evidence.to_bytes() == bytes, "composed evidence has one spelling");
    }
    canonical_part(EvidenceKind::AZURE_HCL, bytes)
}

/// An endorsement that some scheme knows and can read.
fn readable(bytes: &[u8]) -> Seen {
    let endorsements = Endorsements::recognise(&[bytes.to_vec()]);
    let read = endorsements.unrecognised().is_empty() && endorsements.unreadable().next().is_none();
    seen(read && endorsements.within_budget().is_ok())
}

pub(super) fn gpu_report(bytes: &[u8]) -> Seen {
    let raw = RawEvidence { body: bytes, certificates: &honest().gpu_certificates };
    let verified = verify(EvidenceKind::NVIDIA_GPU, raw, &[]);
    let parsed = canonical_part(EvidenceKind::NVIDIA_GPU, bytes);
    assert!(verified.is_err() || parsed == Seen::Accepted, "verified, but it does not parse");
    parsed
}

pub(super) fn switch_report(bytes: &[u8]) -> Seen {
    let raw = RawEvidence { body: bytes, certificates: &honest().switch_certificates };
    let verified = verify(EvidenceKind::NVIDIA_NVSWITCH, raw, &[]);
    let parsed = canonical_part(EvidenceKind::NVIDIA_NVSWITCH, bytes);
    assert!(verified.is_err() || parsed == Seen::Accepted, "verified, but it does not parse");
    parsed
}

/// What an endorsement of NVIDIA's makes of an honest report. What is read says the same twice; what is recognised and not
/// read makes everything untrusted.
fn endorsement(bytes: &[u8]) -> (Seen, Option<NvidiaClaims>) {
    let honest = honest();
    let files = [bytes.to_vec()];
    let found = Endorsements::recognise(&files);
    let (known, read) = (found.unrecognised().is_empty(), found.unreadable().next().is_none());
    let raw = RawEvidence { body: &honest.gpu_report, certificates: &honest.gpu_certificates };
    let kind = EvidenceKind::new(EvidenceKind::NVIDIA_GPU);
    let judge = || weighbridge_attest::verify(&kind, raw, &files, &honest.anchors, honest.at);
    let verdict = judge();
    assert!(verdict == judge(), "the same bytes, another answer");
    // Junk, and what belongs to another vendor, says nothing about a GPU.
    assert!(!known || read || verdict.is_err() || !is_nvidias(bytes), "a report holds beside what cannot be read");
    let claims = verdict.ok().and_then(|verified| verified.claims().nvidia.clone());
    (seen(known && read), claims.map(|claims| *claims))
}

fn is_nvidias(bytes: &[u8]) -> bool {
    bytes.windows(16).any(|window| window == b"SoftwareIdentity")
}

/// A manifest: read alone, then held against an honest report of its firmware. Whatever was changed and is still read was
/// signed as it is: the measurements match, or it is for something else.
pub(super) fn rim(bytes: &[u8]) -> Seen {
    let (seen, claims) = endorsement(bytes);
    let values = claims.map(|claims| claims.reference_values).unwrap_or_default();
    assert!(values.differences.is_empty(), "a changed manifest finds a difference");
    seen
}

/// An answer about the certificate above an honest GPU's: whatever was changed, it is good as it was signed or not good.
pub(super) fn ocsp(bytes: &[u8]) -> Seen {
    let (seen, claims) = endorsement(bytes);
    let good = claims.is_some_and(|claims| !claims.revocation.good.is_empty());
    let honest = samples::ocsp().iter().any(|sample| sample == bytes);
    assert!(!good || honest, "a changed answer says that a certificate is good");
    seen
}

/// A list by the authority above an honest GPU's, or by AMD's or Intel's.
pub(super) fn revocation_list(bytes: &[u8]) -> Seen {
    let (seen, claims) = endorsement(bytes);
    let good = claims.is_some_and(|claims| !claims.revocation.good.is_empty());
    let honest = samples::revocation_list().iter().any(|sample| sample == bytes);
    assert!(!good || honest, "a changed list says that a certificate is good");
    seen
}

/// A device chain under an honest report; certificates come framed as in an evidence set.
pub(super) fn gpu_chain(bytes: &[u8]) -> Seen {
    let Some(certificates) = samples::unframe(bytes) else { return Seen::Refused };
    let raw = RawEvidence { body: &honest().gpu_report, certificates: &certificates };
    seen(verify(EvidenceKind::NVIDIA_GPU, raw, &[]).is_ok())
}

/// One DER certificate, through the only door that takes a lone one: an anchor file.
pub(super) fn certificate(bytes: &[u8]) -> Seen {
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(bytes));
    let accepted = ["intel-sgx-root", "nvidia-device-root", "nvidia-rim-root", "amd-root", "timestamp-authority-root"]
        .map(|kind| {
            let file = serde_json::json!({
                "format": "weighbridge/trust-anchor/v1", "name": "x", "grade": "simulated", "kind": kind,
                "certificate_pem": pem,
            });
            anchor(file.to_string().as_bytes()) == Seen::Accepted
        });
    seen(accepted.contains(&true))
}

/// Both readers of PEM text: the Verifier's and the Attester's.
pub(super) fn pem(bytes: &[u8]) -> Seen {
    let attester = certificates_of_pem("fuzz", bytes);
    let Ok(certificates) = pem_certificates(bytes) else { return Seen::Refused };
    let written: String = certificates
        .iter()
        .map(|der| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der)))
        .collect();
    // Long lines, written out, may lie beyond the cap.
    if written.len() <= bytes.len() {
        assert_eq!(pem_certificates(written.as_bytes()).as_ref(), Ok(&certificates));
    }
    if let Ok(chain) = attester {
        assert!(chain == certificates, "two readers of one PEM text see other certificates");
    }
    Seen::Accepted
}

pub(super) fn anchor(bytes: &[u8]) -> Seen {
    let mut anchors = built_in_anchors();
    let before = anchors.clone();
    if parse_anchor_file(bytes, &mut anchors).is_err() {
        assert!(anchors == before, "a refused anchor file left something behind");
        return Seen::Refused;
    }
    let count = |anchors: &TrustAnchors| {
        let TrustAnchors { intel, nvidia_device, nvidia_rim, amd, time, beacons, timestamp } = anchors;
        let certified = [intel, nvidia_device, nvidia_rim, amd, timestamp].map(Vec::len);
        certified.iter().sum::<usize>() + time.len() + beacons.len()
    };
    assert_eq!(count(&anchors), count(&before) + 1, "one file, one anchor");
    assert!(parse_anchor_file(bytes, &mut anchors).is_err(), "the same anchor twice");
    Seen::Accepted
}

pub(super) fn policy(bytes: &[u8]) -> Seen {
    seen(json::<AppraisalPolicy>(bytes).is_some())
}

pub(super) fn audit_policy_file(bytes: &[u8]) -> Seen {
    let Ok(policy) = read_audit_policy(bytes) else { return Seen::Refused };
    let written = audit_policy_json(&policy).to_string();
    assert_eq!(read_audit_policy(written.as_bytes()).expect("what was written parses"), policy);
    assert_eq!(AuditPolicy::from_bytes(&policy.to_bytes()), Ok(policy), "the file says what no framed policy says");
    Seen::Accepted
}

pub(super) fn operation_form(bytes: &[u8]) -> Seen {
    let Ok(form) = OperationForm::parse(bytes) else { return Seen::Refused };
    assert_eq!(form.bytes(), bytes);
    Seen::Accepted
}

/// Parsed answers are judged as well, under windows that their own roots open: what opens nothing panics nowhere.
pub(super) fn answers(bytes: &[u8]) -> Seen {
    let Ok(answers) = Answers::from_bytes(bytes) else { return Seen::Refused };
    assert_eq!(answers.to_bytes(), bytes);
    for chain in &answers.chains {
        let window = |(index, window): (u64, &WindowAnswers)| LedgerWindow {
            index,
            root: window_root(index, &window.root, &window.salt),
            quoted: UnixMillis(0),
        };
        let ledger: Vec<LedgerWindow> = (0u64..).zip(&chain.windows).map(window).collect();
        let _judged = answers.judge(chain, samples::audited().manifest.genesis(), &ledger);
    }
    Seen::Accepted
}

pub(super) fn profile(bytes: &[u8]) -> Seen {
    let Ok(text) = std::str::from_utf8(bytes) else { return Seen::Refused };
    let Ok(profile) = ThresholdProfile::parse(text) else { return Seen::Refused };
    let written = serde_json::to_string(&profile).expect("a profile is JSON");
    let again = ThresholdProfile::parse(&written).expect("what was written parses");
    // The digest is that of the file, whatever its spelling.
    assert_eq!(ThresholdProfile { digest: profile.digest, ..again }, profile);
    Seen::Accepted
}

/// A report, and the page and the summary made from it: whatever its texts say, the page stays a page.
pub(super) fn report(bytes: &[u8]) -> Seen {
    let Some(report) = json::<ThresholdReport>(bytes) else { return Seen::Refused };
    let _shown = weighbridge_verifier::render_text(&report);
    for line in report.profiles.iter().take(2) {
        if let Ok(page) = weighbridge_verifier::render_html(&report, &line.id) {
            assert!(!page.contains("<script"), "a report's text became part of the page");
        }
    }
    Seen::Accepted
}

thread_local! {
    static FILES: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A safetensors file through the door that takes one. What is accepted, the format's own crate accepts too, and the
/// tensors written anew by that crate have the same roots.
pub(super) fn safetensors(bytes: &[u8]) -> Seen {
    FILES.with_borrow_mut(|folder| {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = folder.get_or_insert_with(|| tempfile::tempdir_in(place).expect("a temporary folder"));
        let Some(digests) = commit(&folder.path().join("read.safetensors"), bytes) else { return Seen::Refused };
        let tensors =
            ::safetensors::SafeTensors::deserialize(bytes).expect("we accept no file that the format refuses");
        assert_eq!(tensors.len() as u64, digests.tensors);
        let written = ::safetensors::serialize(tensors.tensors(), None).expect("tensors that were read can be written");
        let again = commit(&folder.path().join("written.safetensors"), &written).expect("it was accepted before");
        let roots = |digests: &CheckpointDigests| (digests.fast_root, digests.algebraic_root, digests.bytes);
        assert_eq!(roots(&again), roots(&digests), "the same tensors, other roots");
        Seen::Accepted
    })
}

fn commit(path: &PathBuf, bytes: &[u8]) -> Option<CheckpointDigests> {
    fs::write(path, bytes).expect("the temporary folder can be written");
    commit_checkpoint(std::slice::from_ref(path), Effort::threads(1), &mut |_, _| ()).ok()
}

pub(super) fn config(bytes: &[u8]) -> Seen {
    let Ok(text) = std::str::from_utf8(bytes) else { return Seen::Refused };
    let file = Path::new("weighbridged.toml");
    let Ok(config) = Config::parse(text, file) else { return Seen::Refused };
    let written = toml::to_string(&config).expect("a configuration is TOML");
    assert_eq!(Config::parse(&written, file).expect("what was written parses"), config);
    Seen::Accepted
}

/// `METHOD path?query`, a line break, the body.
pub(super) fn daemon_request(bytes: &[u8]) -> Seen {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else { return Seen::Refused };
    let (method, target) = head.split_once(' ').unwrap_or((head, ""));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(action) = Action::parse(method, path, query, body) else { return Seen::Refused };
    if let Some(written) = body_of(&action) {
        assert_eq!(Action::parse(method, path, query, &written).as_ref(), Ok(&action));
    }
    Seen::Accepted
}

fn body_of(action: &Action) -> Option<Vec<u8>> {
    let written = match action.clone() {
        Action::Challenge(challenge) => serde_json::to_vec(&challenge),
        Action::StartRun(manifest) => serde_json::to_vec(&RunStartRequest { manifest: *manifest }),
        Action::Step(step) => serde_json::to_vec(&step),
        Action::WorkUnit(unit) => serde_json::to_vec(&unit),
        Action::Checkpoint(checkpoint) => serde_json::to_vec(&checkpoint),
        Action::Window(window) => serde_json::to_vec(&window),
        Action::End => serde_json::to_vec(&EndRequest {}),
        Action::Receipt(receipt) => serde_json::to_vec(&receipt),
        _ => return None,
    };
    Some(written.expect("a message is JSON"))
}

/// What the daemon answers, read as each message: a client may talk to a stranger.
pub(super) fn daemon_answer(bytes: &[u8]) -> Seen {
    let read = [
        json::<NodeInfo>(bytes).is_some(),
        json::<RunStarted>(bytes).is_some(),
        json::<Acknowledged>(bytes).is_some(),
        json::<RunEnded>(bytes).is_some(),
        json::<CheckpointCommitment>(bytes).is_some(),
        json::<Problem>(bytes).is_some(),
    ];
    seen(read.contains(&true))
}

/// Public inputs and a proof, each after its length.
pub(super) fn threshold_proof(bytes: &[u8]) -> Seen {
    let Some(parts) = samples::unframe(bytes) else { return Seen::Refused };
    let [public, proof] = parts.as_slice() else { return Seen::Refused };
    let Ok(public) = ThresholdPublic::from_bytes(public) else { return Seen::Refused };
    match check_threshold(&public, proof) {
        Ok(checked) => {
            assert_eq!(checked.public(), &public);
            Seen::Accepted
        }
        Err(_) => Seen::Refused,
    }
}

/// A proof that stands alone.
pub(super) fn proof_file(bytes: &[u8]) -> Seen {
    match ProofFile::parse(bytes) {
        Ok(file) => {
            assert_eq!(file.to_bytes(), bytes);
            Seen::Accepted
        }
        Err(_) => Seen::Refused,
    }
}

/// The whole way. Only bytes that an honest node and assembler made are accepted.
pub(super) fn verify_bundle(bytes: &[u8]) -> Seen {
    let honest = honest();
    let options = VerifyOptions { anchors: honest.anchors.clone(), at: AppraisalTime::Archived };
    let outcome = weighbridge_appraisal::verify_bundle(bytes, &options);
    match (&outcome.report, outcome.culprit()) {
        (Some(_), None) => {
            assert!(samples::small_bundle().iter().any(|known| known == bytes), "a forged bundle was accepted");
            Seen::Accepted
        }
        (None, Some(_)) => Seen::Refused,
        (report, culprit) => panic!("a report ({}) and a culprit ({culprit:?})", report.is_some()),
    }
}

/// Shape and formats in seven bytes, then the blocks. Whatever is accepted is a sound verdict about exactly these bytes.
pub(super) fn tile(bytes: &[u8]) -> Seen {
    let Some((&[left, right, output, rows, cols, low, high], blocks)) = bytes.split_first_chunk() else {
        return Seen::Refused;
    };
    let format = |tag: u8| Format::from_bytes(&[tag]).ok();
    let (Some(left), Some(right), Some(output)) = (format(left), format(right), format(output)) else {
        return Seen::Refused;
    };
    let (rows, cols, k) = (usize::from(rows), usize::from(cols), usize::from(u16::from_le_bytes([low, high])));
    let Some((a, rest)) = blocks.split_at_checked(rows * k * left.bytes()) else { return Seen::Refused };
    let Some((b, c)) = rest.split_at_checked(cols * k * right.bytes()) else { return Seen::Refused };
    let strips = (Strip::new(left, rows, k, a.to_vec()), Strip::new(right, cols, k, b.to_vec()));
    let ((Ok(a), Ok(b)), Ok(c)) = (strips, Tile::new(output, rows, cols, c.to_vec())) else { return Seen::Refused };
    let policy = OperationPolicy::of(left, output).with_right(right);
    match check_tile(&a, &b, &c, &policy) {
        TileVerdict::Accepted(facts) => {
            assert_eq!(facts.entries as usize, rows * cols);
            assert!(facts.informative * 2 >= facts.entries && facts.worst <= 256);
            Seen::Accepted
        }
        TileVerdict::Refused(_) | TileVerdict::NotProven(_) => Seen::Refused,
    }
}
