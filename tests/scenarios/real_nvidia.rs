//! **Duty.** Real captured reports of NVIDIA GPUs and switches through the production verifier: every case at every time
//! of its `case.json`, with and without manifests; then crossed endorsements and changed bits. **Spec.** EVIDENCE §1, §7.

use std::collections::BTreeSet;

use serde_json::Value;
use weighbridge_attest::{
    Endorsements, EvidenceError, RawEvidence, SwitchSide, Verified, built_in_anchors, nvidia_topology,
    pem_certificates, verify,
};
use weighbridge_attest_types::{
    AppraisalPolicy, BoundValue, Culprit, EvidenceKind, FirmwareVersion, Grade, NvidiaClaims, NvidiaMode, NvidiaStatus,
    PlatformClaims, ReferenceStatus, Requirement, TrustAnchors, UnixMillis,
};
use weighbridge_tests::shared;
use weighbridge_tests::vectors::{Appraisal, Case, instant};

/// The shared folder holds at least these; fewer would mean that cases were lost.
const KINDS: [(&str, usize, usize); 2] = [("nvidia-gpu", 13, 52), ("nvidia-nvswitch", 3, 13)];

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

/// One row's files, as a person hands them over.
struct Files {
    kind: &'static str,
    report: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    endorsements: Vec<Vec<u8>>,
    at: UnixMillis,
}

impl Files {
    fn of(kind: &'static str, case: &Case, row: &Appraisal) -> Self {
        let is_chain = |file: &&String| file.starts_with("chain");
        let chain = row.endorsements.iter().find(is_chain).expect("a chain");
        let others = row.endorsements.iter().filter(|file| !is_chain(file));
        Self {
            kind,
            report: case.evidence_of(row),
            certificates: pem_certificates(&case.read(chain)).expect("a chain in PEM"),
            endorsements: others.map(|file| case.read(file)).collect(),
            at: instant(row.at.as_deref().expect("every row names a time")),
        }
    }

    /// The row of a case that is accepted under the policy as it is.
    fn accepted(kind: &'static str, name: &str) -> Option<Self> {
        let case = Case::named(kind, name)?;
        let row = case.appraisals.iter().find(|row| row.expect == "accepted" && row.policy.is_null());
        Some(Self::of(kind, &case, row.expect("an accepted row")))
    }

    fn verify_under(&self, anchors: &TrustAnchors) -> Verdict {
        let raw = RawEvidence { body: &self.report, certificates: &self.certificates };
        verify(&EvidenceKind::new(self.kind), raw, &self.endorsements, anchors, self.at)
    }

    fn verify(&self) -> Verdict {
        self.verify_under(&built_in_anchors())
    }
}

fn nonce_of(case: &Case, row: &Appraisal) -> [u8; 32] {
    let file = row.nonce.as_ref().map(|file| String::from_utf8(case.read(file)).unwrap());
    let text = row.nonce_hex.clone().or(file).expect("a nonce");
    hex::decode(text.trim()).unwrap().try_into().unwrap()
}

fn own(claims: &PlatformClaims) -> &NvidiaClaims {
    claims.nvidia.as_deref().expect("claims of the kind")
}

/// Class, status and indexes in the words of `case.json`.
type Judgement = (&'static str, Option<&'static str>, Option<Vec<u8>>);

/// The default policy's own requirements, as changed by the row; then the nonce.
fn judge(verdict: Verdict, row: &Appraisal, nonce: [u8; 32]) -> Judgement {
    let verified = match verdict {
        Ok(verified) => verified,
        Err(error) => return (class_of(&error), status_of(&error), None),
    };
    let mut policy = AppraisalPolicy::built_in().nvidia;
    if row.policy["nvidia"]["require_reference_values"] == Value::Bool(false) {
        policy.reference_values = Requirement::Waived { reason: "by the row".to_owned() };
    }
    let values = &own(verified.claims()).reference_values;
    if values.status() == ReferenceStatus::Mismatch {
        return ("rejected", Some("measurement-mismatch"), Some(values.mismatch_indexes()));
    }
    if !policy.reference_values.is_met_by(Some(&values.is_complete())) {
        return ("rejected", Some("no-reference-values"), None);
    }
    match verified.bind(&BoundValue::Nonce(nonce)) {
        Ok(_) => ("accepted", None, None),
        Err(EvidenceError::Unbound(_)) => ("rejected", Some("nonce-mismatch"), None),
        Err(error) => (class_of(&error), None, None),
    }
}

fn class_of(error: &EvidenceError) -> &'static str {
    match error.culprit() {
        Culprit::Unsupported => "malformed",
        culprit => culprit.verdict(),
    }
}

/// Statuses that rows name. A date failure counts only where nothing else failed.
fn status_of(error: &EvidenceError) -> Option<&'static str> {
    let failures = error.failures();
    let codes: BTreeSet<&str> = failures.iter().map(|failure| failure.code).collect();
    let only = |code| codes.len() == 1 && codes.contains(code);
    let of_a_manifest = failures.iter().all(|failure| failure.message.starts_with("reference manifest"));
    match codes {
        _ if only("expired") => Some("expired-endorsement"),
        _ if only("not-yet-valid") => Some("endorsement-not-yet-valid"),
        _ if only("rim-signature") => Some("rim-signature"),
        _ if only("rim-version") => Some("rim-version-mismatch"),
        _ if of_a_manifest && codes.contains("rim-chain") => Some("rim-chain"),
        _ if only("gpu-signature") || failures.contains("switch-signature") => Some("signature"),
        _ => None,
    }
}

#[test]
fn every_nvidia_case_gets_its_verdict_at_every_time() {
    for (kind, least_cases, least_rows) in KINDS {
        let cases = Case::all(kind);
        let (mut wrong, mut rows) = (Vec::new(), 0);
        for case in &cases {
            for row in &case.appraisals {
                let verdict = Files::of(kind, case, row).verify();
                let shown = verdict.as_ref().map_or_else(ToString::to_string, |ok| format!("{:?}", ok.claims()));
                let (class, status, indexes) = judge(verdict, row, nonce_of(case, row));
                let fits = class == row.expect || row.also_acceptable.iter().any(|other| other == class);
                let told = row.status.is_none() || row.status.as_deref() == status;
                if !fits || !told || row.mismatch_indexes != indexes {
                    wrong.push(format!("{} {row:?}: {class} {status:?} {indexes:?}: {shown}", case.name));
                }
                rows += 1;
            }
        }
        println!("{rows} rows of {} cases of {kind}", cases.len());
        assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
        assert!(cases.is_empty() || (cases.len() >= least_cases && rows >= least_rows), "{} cases", cases.len());
    }
}

#[test]
fn a_verdict_holds_exactly_within_its_window() {
    let mut checked = 0;
    for (kind, ..) in KINDS {
        for case in Case::all(kind) {
            for row in case.appraisals.iter().filter(|row| row.window.is_some()) {
                let [from, until] = row.window.clone().unwrap();
                let mut files = Files::of(kind, &case, row);
                let claims = files.verify().unwrap().claims().clone();
                // Windows are told to the minute, within.
                for (minute, steps) in [(&from, [-120_000, 0]), (&until, [0, 120_000])] {
                    let held = steps.map(|step| {
                        files.at = UnixMillis(instant(minute).0.checked_add_signed(step).unwrap());
                        files.verify()
                    });
                    let codes = held.map(|verdict| verdict.err().map(|error| error.code()));
                    let ended = minute == &until;
                    let wanted = if ended { [None, Some("expired")] } else { [Some("not-yet-valid"), None] };
                    assert_eq!(codes, wanted, "{} at {minute}", case.name);
                }
                let end = instant(&until).0;
                assert!((end..end + 120_000).contains(&claims.valid_until.0), "{}", case.name);
                checked += 1;
            }
        }
    }
    assert!(shared().is_none() || checked == 3, "{checked} windows");
}

#[test]
fn claims_of_gpus_say_what_the_reports_say() {
    let Some(full) = Files::accepted("nvidia-gpu", "h100-550.90.07-full") else { return };
    let claims = full.verify().unwrap().claims().clone();
    let version = |text: &str| Some(FirmwareVersion(text.to_owned()));
    assert_eq!((claims.grade, claims.anchor.as_str()), (Grade::Attested, "NVIDIA Device Identity CA"));
    assert_eq!(claims.chip_family.as_ref().map(|family| family.0.as_str()), Some("GH100"));
    assert_eq!((claims.debug, &claims.measurement), (None, &None));
    let open: Vec<&str> = claims.not_checked.iter().map(|open| open.code.as_str()).collect();
    assert_eq!(open, ["gpu-ocsp", "gpu-cc-mode"]);
    let (nvidia, gpu) = (own(&claims), own(&claims).gpu().unwrap());
    assert_eq!(
        (gpu.driver_version.clone(), nvidia.vbios_version.clone()),
        (version("550.90.07"), version("96.00.9F.00.01"))
    );
    let board = [&gpu.project, &gpu.project_sku, &gpu.chip_sku, &gpu.chip_sku_modifier, &gpu.project_sku_modifier];
    assert_eq!(board.map(|word| word.as_deref().unwrap()), ["1010", "0200", "882", "0", ""]);
    assert_eq!((gpu.nvdec0, gpu.protected_pcie), (Some(NvidiaStatus::Off), Some(NvidiaStatus::Off)));
    assert_eq!((gpu.mode, gpu.chip_info.as_deref(), nvidia.opaque_version), (None, None, None));
    assert_eq!((nvidia.measurements.len(), nvidia.extend_counters.len()), (64, 64));
    assert!(nvidia.fwid.is_some() && nvidia.uninterpreted.contains_key(&4));
    // What NVIDIA's own service said about the same report.
    assert_eq!(nvidia.hw_model, "GH100 A01 GSP BROM");
    let case = Case::named("nvidia-gpu", "h100-550.90.07-full").unwrap();
    let theirs = String::from_utf8(case.read("nras_hopperClaimsv3_decoded.json")).unwrap();
    assert!(theirs.contains(&format!("\"ueid\": \"{}\"", nvidia.ueid)), "{}", nvidia.ueid);
    let values = &nvidia.reference_values;
    // 21 of the driver and 12 of the VBIOS, without index 35: the decoder is off.
    assert_eq!((values.status(), values.matched, values.applied.len()), (ReferenceStatus::Matched, 32, 2));
    let ids: Vec<&str> = values.applied.iter().filter_map(|rim| rim.id.as_deref()).collect();
    assert_eq!(ids, ["NV_GPU_DRIVER_GH100_550.90.07", "NV_GPU_VBIOS_1010_0200_882_96009F0001"]);
    assert!(values.applied.iter().all(|rim| rim.anchor == "NVIDIA CoRIM signing Root CA"));

    let case = Case::named("nvidia-gpu", "b100-575.32").unwrap();
    let claims = Files::of("nvidia-gpu", &case, &case.appraisals[0]).verify().unwrap().claims().clone();
    assert_eq!(claims.chip_family.as_ref().map(|family| family.0.as_str()), Some("GB100"));
    let ids: Vec<&str> = own(&claims).reference_values.missing.iter().filter_map(|rim| rim.id.as_deref()).collect();
    assert_eq!(ids, ["NV_GPU_CC_DRIVER_GB100_575.32", "NV_GPU_VBIOS_G525_0220_886_970088000F"]);
    assert_eq!(own(&claims).opaque_version, Some(0));

    let case = Case::named("nvidia-gpu", "h100-535.86.09").unwrap();
    let old = Files::of("nvidia-gpu", &case, &case.appraisals[1]).verify().unwrap().claims().clone();
    assert!(old.not_checked.iter().any(|open| open.code == "gpu-fwid") && own(&old).fwid.is_none());
}

#[test]
fn claims_of_a_switch_say_what_the_report_says() {
    let Some(files) = Files::accepted("nvidia-nvswitch", "ls10-96.10.55-single") else { return };
    let claims = files.verify().unwrap().claims().clone();
    let (nvidia, switch) = (own(&claims), own(&claims).switch().unwrap());
    assert_eq!(claims.chip_family.as_ref().map(|family| family.0.as_str()), Some("LS_10"));
    assert_eq!((nvidia.pdi.to_string().as_str(), switch.pdi), ("203eb31ad9ed0008", Some(nvidia.pdi)));
    assert_eq!((switch.gpu_pdis.len(), switch.port_map.len()), (8, 64));
    assert_eq!((switch.disabled_ports, switch.position, switch.lock_status), (Some(0xec), Some(2), Some(1)));
    assert_eq!((nvidia.measurements.len(), nvidia.extend_counters.len()), (31, 26));
    let values = &nvidia.reference_values;
    assert_eq!((values.status(), values.matched), (ReferenceStatus::Matched, 31));
    assert_eq!(values.applied[0].id.as_deref(), Some("NV_SWITCH_BIOS_5612_0002_890_9610550001"));
    let open: Vec<&str> = claims.not_checked.iter().map(|open| open.code.as_str()).collect();
    assert_eq!(open, ["switch-fwid", "switch-ocsp"]);
    let case = Case::named("nvidia-nvswitch", "ls10-96.10.55-single").unwrap();
    let theirs = String::from_utf8(case.read("nras_switch_decoded.json")).unwrap();
    assert!(theirs.contains(&nvidia.ueid) && theirs.contains(&nvidia.hw_model), "{theirs}");
}

fn refused(files: &Files) -> (Culprit, Vec<&'static str>) {
    let error = files.verify().unwrap_err();
    (error.culprit(), error.failures().iter().map(|failure| failure.code).collect())
}

#[test]
fn crossed_endorsements_and_chains_are_refused() {
    let Some(full) = Files::accepted("nvidia-gpu", "h100-550.90.07-full") else { return };
    let switch = Files::accepted("nvidia-nvswitch", "ls10-96.10.55-single").unwrap();
    let crossed = |change: &dyn Fn(&mut Files)| {
        let mut files = Files::accepted("nvidia-gpu", "h100-550.90.07-full").unwrap();
        change(&mut files);
        refused(&files)
    };
    let untrusted = |codes: &[&'static str]| (Culprit::Untrusted, codes.to_vec());
    // The driver's manifest alone, or twice: it does not stand in for the VBIOS's.
    let twice = |files: &mut Files| files.endorsements[1] = files.endorsements[0].clone();
    let mut alone = Files::accepted("nvidia-gpu", "h100-550.90.07-full").unwrap();
    twice(&mut alone);
    let values = own(alone.verify().unwrap().claims()).reference_values.clone();
    assert_eq!((values.status(), values.missing.len()), (ReferenceStatus::Missing, 1));
    // A switch's manifest, genuine and current, for a GPU; and the other way round.
    let at = switch.at;
    let of_a_switch = |files: &mut Files| {
        files.at = at;
        files.endorsements[0] = switch.endorsements[0].clone();
    };
    assert_eq!(crossed(&of_a_switch), untrusted(&["rim-product"]));
    let mut other = Files { at: full.at, ..Files::accepted("nvidia-nvswitch", "ls10-96.10.55-single").unwrap() };
    other.endorsements = full.endorsements.clone();
    assert_eq!(refused(&other), untrusted(&["rim-product", "rim-product"]));
    // Another GPU's chain; a switch's chain; a report of the other kind.
    let case = Case::named("nvidia-gpu", "h100-580.159.03").unwrap();
    let chain = pem_certificates(&case.read("chain.pem")).unwrap();
    assert_eq!(crossed(&|files| files.certificates = chain.clone()), untrusted(&["gpu-signature", "gpu-fwid-differs"]));
    let chains = crossed(&|files| files.certificates = switch.certificates.clone());
    assert_eq!(chains, untrusted(&["gpu-chain-names", "gpu-signature", "gpu-fwid-differs"]));
    assert_eq!(crossed(&|files| files.kind = "nvidia-nvswitch"), (Culprit::Malformed, vec!["switch-report"]));
    // Reference values hang on a root of their own.
    let mut anchors = built_in_anchors();
    anchors.nvidia_rim = anchors.nvidia_device.clone();
    let error = full.verify_under(&anchors).unwrap_err();
    let codes: Vec<_> = error.failures().iter().map(|failure| failure.code).collect();
    assert_eq!((error.culprit(), codes), (Culprit::Untrusted, vec!["unknown-root"; 2]));
    // Several manifests of one version: the one that was signed last and holds.
    let case = Case::named("nvidia-nvswitch", "ls10-96.10.55-single").unwrap();
    let mut both = Files::accepted("nvidia-nvswitch", "ls10-96.10.55-single").unwrap();
    both.endorsements.push(case.read("bios_rim_older_signer.xml"));
    assert!(both.verify().is_ok());
    both.at = instant("2025-06-28T00:00:00Z");
    assert!(both.verify().is_ok());
}

/// Every manifest of the pool with what its index says about the signature.
fn pool() -> Vec<(String, bool, Vec<u8>)> {
    let Some(shared) = shared() else { return Vec::new() };
    let folder = shared.join("vectors/_pool/nvidia-rims");
    let index: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let entry = |entry: &Value| {
        let (file, says) = (entry["file"].as_str().unwrap(), entry["signature"].as_str().unwrap());
        let bytes = std::fs::read(folder.join(file)).unwrap();
        (file.to_owned(), !says.contains("signature invalid"), bytes)
    };
    index.iter().map(entry).collect()
}

#[test]
fn every_manifest_of_the_pool_is_read_if_its_signature_holds_and_a_whole_archive_changes_no_verdict() {
    let pool = pool();
    for (file, holds, bytes) in &pool {
        let found = Endorsements::recognise(std::slice::from_ref(bytes));
        let codes: Vec<&str> = found.unreadable().map(|failure| failure.code).collect();
        assert_eq!(
            (found.unrecognised().len(), codes),
            (0, if *holds { vec![] } else { vec!["rim-signature"] }),
            "{file}"
        );
    }
    assert!(shared().is_none() || pool.len() >= 25, "{}", pool.len());
    let Some(mut full) = Files::accepted("nvidia-gpu", "h100-550.90.07-full") else { return };
    let alone = full.verify();
    full.endorsements.extend(pool.into_iter().filter(|(_, holds, _)| *holds).map(|(_, _, bytes)| bytes));
    assert_eq!(full.verify(), alone);
}

#[test]
fn gpus_of_one_node_are_distinct_devices_that_agree_on_their_switches() {
    let Some(case) = Case::named("nvidia-gpu", "hgx-h100-590.12-ppcie-8gpu") else { return };
    let rows: Vec<&Appraisal> = case.appraisals.iter().filter(|row| row.expect == "accepted").collect();
    let bound = |row: &&Appraisal| {
        let verified = Files::of("nvidia-gpu", &case, row).verify().unwrap();
        verified.bind(&BoundValue::Nonce(nonce_of(&case, row))).unwrap()
    };
    let members: Vec<_> = rows.iter().map(bound).collect();
    let devices: BTreeSet<_> = members.iter().map(|member| member.claims().device.unwrap()).collect();
    assert_eq!(devices.len(), 8);
    let topology = nvidia_topology(&members).unwrap();
    assert_eq!((topology.mode, topology.gpus.len()), (Some(NvidiaMode::ProtectedPcie), 8));
    let SwitchSide::NotGiven(named) = &topology.switch_side else { panic!("{topology:?}") };
    let named: Vec<String> = named.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["03dba23b3c11bd8a", "3a53b743d811e977", "666e93e19dec7d2d", "9ae3beba9e673275"]);
    // One GPU twice is no set, and neither is a GPU of another machine.
    let twice: Vec<_> = members.iter().chain(&members[..1]).cloned().collect();
    assert_eq!(nvidia_topology(&twice).unwrap_err().code(), "topology-repeated");
    let full = Files::accepted("nvidia-gpu", "h100-550.90.07-full").unwrap();
    let single = Case::named("nvidia-gpu", "h100-550.90.07-full").unwrap();
    let nonce = nonce_of(&single, &single.appraisals[0]);
    let stranger = full.verify().unwrap().bind(&BoundValue::Nonce(nonce)).unwrap();
    let mixed: Vec<_> = members.iter().chain([&stranger]).cloned().collect();
    let error = nvidia_topology(&mixed).unwrap_err();
    let codes: BTreeSet<_> = error.failures().iter().map(|failure| failure.code).collect();
    assert_eq!(codes, ["topology-mode", "topology-protected-pcie", "topology-switches"].into());
}

#[test]
fn no_changed_bit_of_a_report_is_accepted() {
    let names = [
        ("nvidia-gpu", "h100-550.90.07-full"),
        ("nvidia-gpu", "b100-575.32"),
        ("nvidia-nvswitch", "ls10-96.10.55-single"),
    ];
    for (kind, name) in names {
        let Some(case) = Case::named(kind, name) else { return };
        let honest = Files::of(kind, &case, &case.appraisals[0]);
        let code = if kind == "nvidia-gpu" { "gpu-report" } else { "switch-report" };
        for bit in (0..honest.report.len() * 8).step_by(29) {
            let mut changed = Files::of(kind, &case, &case.appraisals[0]);
            changed.report[bit / 8] ^= 1 << (bit % 8);
            let error = changed.verify().expect_err(&format!("bit {bit}"));
            let known = matches!(error, EvidenceError::Malformed(_) | EvidenceError::Untrusted(_));
            assert!(known, "bit {bit}: {error}");
        }
        for length in 0..honest.report.len() {
            let raw = RawEvidence { body: &honest.report[..length], certificates: &honest.certificates };
            let error = verify(&EvidenceKind::new(kind), raw, &[], &built_in_anchors(), honest.at).unwrap_err();
            assert_eq!((error.code(), error.culprit()), (code, Culprit::Malformed), "length {length}");
        }
    }
}

#[test]
fn a_root_is_pinned_by_its_key() {
    let Some(case) = Case::named("nvidia-gpu", "b100-575.32") else { return };
    let files = Files::of("nvidia-gpu", &case, &case.appraisals[0]);
    let mut chain = files.certificates.clone();
    let verify_under = |chain: &[Vec<u8>], anchors: &TrustAnchors| {
        let raw = RawEvidence { body: &files.report, certificates: chain };
        verify(&EvidenceKind::new("nvidia-gpu"), raw, &[], anchors, files.at)
    };
    let claims = verify_under(&chain, &built_in_anchors()).unwrap();
    // Another certificate of the same name and key is the same root.
    let roots = shared().unwrap().join("vectors/_pool/nvidia-roots");
    let twin = std::fs::read(roots.join("device_identity_root_same_name_other_key.pem")).unwrap();
    let root = std::mem::replace(&mut chain[4], pem_certificates(&twin).unwrap().remove(0));
    assert_ne!(root, chain[4]);
    assert_eq!(verify_under(&chain, &built_in_anchors()), Ok(claims));
    // NVIDIA's root for reference values is no root for devices.
    let index: Vec<Value> = serde_json::from_slice(&std::fs::read(roots.join("index.json")).unwrap()).unwrap();
    let other = index.iter().find(|root| root["file"] == "rim_root.pem").unwrap();
    let mut anchors = built_in_anchors();
    anchors.nvidia_device[0].spki_sha256 = serde_json::from_value(other["spki_sha256"].clone()).unwrap();
    let error = verify_under(&chain, &anchors).unwrap_err();
    assert_eq!((error.code(), error.culprit()), ("unknown-root", Culprit::Untrusted));
}
