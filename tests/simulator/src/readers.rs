//! **Duty.** Independent readers judge what this crate writes: dcap-qvl, tdx-quote, x509-parser and ring. **Does not
//! know** how it was written. Each refusal is asserted with its reason, so that no test passes by accident.

use std::collections::BTreeSet;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::{QuoteVerifier, VerifiedReport};
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use weighbridge_attest_collect::{CollectError, Collector, collect_set};
use weighbridge_attest_types::{
    Binding, Challenge, Device, Digest32, EvidenceKind, PoseidonDigest, UnixMillis, device_evidence_digest,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{CollateralOptions, GpuReportOptions, PlatformTcb, SimulatedNode, TdxOptions, World};

const NOW: UnixMillis = UnixMillis(1_790_000_000_123);
const DAY_SECONDS: u64 = 86_400;
const REPORT_DATA: [u8; 64] = [0x5a; 64];

fn world() -> World {
    World::new(7, NOW)
}

fn judge_at(root: Vec<u8>, collateral: &[u8], quote: &[u8], seconds: u64) -> Result<VerifiedReport, String> {
    let collateral: QuoteCollateralV3 = serde_json::from_slice(collateral).expect("collateral in dcap-qvl's shape");
    assert!(collateral.pck_certificate_chain.is_none(), "the PCK chain comes from the quote");
    QuoteVerifier::new(root).verify(quote, &collateral, seconds).map_err(|error| format!("{error:#}"))
}

fn judge(world: &World, node: &SimulatedNode) -> Result<VerifiedReport, String> {
    let quote = node.quote(REPORT_DATA).expect("simulated nodes quote").body;
    judge_at(world.intel_root(), &world.collateral_json(), &quote, NOW.seconds())
}

#[test]
fn dcap_qvl_finds_an_ordinary_node_up_to_date() {
    let (world, node) = (world(), world().node(0, 0));
    let verified = judge(&world, &node).unwrap();
    assert_eq!((verified.status.as_str(), verified.advisory_ids.len()), ("UpToDate", 0));
    assert_eq!(verified.ppid, node.platform().ppid());
    let body = verified.report.as_td10().unwrap();
    assert_eq!((body.report_data, body.mr_td, body.rt_mr3), (REPORT_DATA, node.options().mrtd, node.options().rtmr[3]));
}

#[test]
fn an_old_node_is_out_of_date_and_an_unknown_one_meets_no_level() {
    let world = world();
    let verified = judge(&world, &world.node_with_tcb(0, 0, PlatformTcb::OUT_OF_DATE)).unwrap();
    assert_eq!((verified.status.as_str(), verified.advisory_ids), ("OutOfDate", vec!["SIMULATED-SA-00001".to_owned()]));
    let refusal = judge(&world, &world.node_with_tcb(0, 0, PlatformTcb::NOT_SUPPORTED)).unwrap_err();
    assert_eq!(refusal, "No matching TCB level found");
}

#[test]
fn each_knob_of_the_trust_domain_reaches_the_quote() {
    let world = world();
    let node = world.node(0, 0);
    assert_eq!(judge(&world, &node.clone().with_debug(true)).unwrap_err(), "Debug mode is enabled");
    let options = TdxOptions { sept_ve_disable: false, ..node.options().clone() };
    assert_eq!(judge(&world, &node.clone().with_options(options)).unwrap_err(), "SEPT_VE_DISABLE is not enabled");
    let options = TdxOptions { migratable: true, ..node.options().clone() };
    assert_eq!(judge(&world, &node.clone().with_options(options)).unwrap_err(), "TD migration is enabled");
    let options = TdxOptions { mrtd: [9; 48], ..node.options().clone() };
    let verified = judge(&world, &node.with_options(options)).unwrap();
    assert_eq!(verified.report.as_td10().unwrap().mr_td, [9; 48]);
}

#[test]
fn genuine_and_foreign_roots_refuse_this_world() {
    let world = world();
    let quote = world.node(0, 0).quote(REPORT_DATA).unwrap().body;
    let collateral = world.collateral_json();
    let foreign = judge_at(World::new(8, NOW).intel_root(), &collateral, &quote, NOW.seconds()).unwrap_err();
    assert!(foreign.contains("Failed to parse root CA CRL"), "{foreign}");
    let parsed: QuoteCollateralV3 = serde_json::from_slice(&collateral).unwrap();
    assert!(QuoteVerifier::new_prod().verify(&quote, &parsed, NOW.seconds()).is_err());
    // Same collateral, foreign quote: the foreign Platform CA is not below this root.
    let foreign_quote = World::new(8, NOW).node(0, 0).quote(REPORT_DATA).unwrap().body;
    let refusal = judge_at(world.intel_root(), &collateral, &foreign_quote, NOW.seconds()).unwrap_err();
    assert!(refusal.contains("Failed to verify certificate chain"), "{refusal}");
}

#[test]
fn collateral_holds_from_a_day_before_to_thirty_days_after() {
    let world = world();
    let (quote, collateral) = (world.node(0, 0).quote(REPORT_DATA).unwrap().body, world.collateral_json());
    let at = |seconds: u64| judge_at(world.intel_root(), &collateral, &quote, seconds);
    let (first, last) = (NOW.seconds() - DAY_SECONDS, NOW.seconds() + 30 * DAY_SECONDS);
    assert!(at(first).is_ok() && at(last - 1).is_ok());
    assert_eq!(at(first - 1).unwrap_err(), "TCBInfo issue date is in the future");
    // This reader counts a CRL as expired at its last second already; the rule (EVIDENCE §0) counts that second in.
    assert!(at(last).unwrap_err().contains("CrlExpired"));
    assert!(at(last + 1).unwrap_err().contains("CrlExpired"));
}

#[test]
fn collateral_options_revoke_and_expire() {
    let world = world();
    let (node, other) = (world.node(0, 0), world.node(1, 0));
    let options = CollateralOptions { revoked: vec![node.platform().pck_serial()], ..world.collateral_options() };
    let judge = |node: &SimulatedNode, options: &CollateralOptions| {
        let quote = node.quote(REPORT_DATA).unwrap().body;
        judge_at(world.intel_root(), &world.collateral_json_with(options), &quote, NOW.seconds())
    };
    let refusal = judge(&node, &options).unwrap_err();
    assert!(refusal.contains("CertRevoked"), "{refusal}");
    assert!(judge(&other, &options).is_ok());
    let past = UnixMillis(NOW.0 - 1000);
    let expired = CollateralOptions { next_update: past, ..world.collateral_options() };
    assert_eq!(judge(&node, &expired).unwrap_err(), "TCBInfo expired");
    let expired = CollateralOptions { crl_next_update: past, ..world.collateral_options() };
    assert!(judge(&node, &expired).unwrap_err().contains("CrlExpired"));
}

#[test]
fn tdx_quote_reads_and_verifies_the_same_quote() {
    let node = world().node(3, 0);
    let quote = tdx_quote::Quote::from_bytes(&node.quote(REPORT_DATA).unwrap().body).unwrap();
    assert_eq!((quote.header.version, quote.report_input_data()), (4, REPORT_DATA));
    assert_eq!((quote.mrtd(), quote.rtmr0()), (node.options().mrtd, node.options().rtmr[0]));
    let chain = pem_chain(node.platform().pck_chain_pem());
    let leaf = parse(&chain[0]);
    let pck = tdx_quote::VerifyingKey::from_sec1_bytes(&leaf.public_key().subject_public_key.data).unwrap();
    quote.verify_with_pck(&pck).unwrap();
    // Its built-in root is Intel's: a simulated chain must not reach it.
    assert!(quote.verify().is_err());
}

#[test]
fn chains_hold_and_every_certificate_says_simulated() {
    let world = world();
    let intel = pem_chain(world.node(0, 0).platform().pck_chain_pem());
    let gpu = world.gpu(0, 0);
    assert_eq!((intel.len(), gpu.certificates().len()), (3, 5));
    assert_eq!(intel.last(), Some(&world.intel_root()));
    assert_eq!(gpu.certificates().last(), Some(&world.nvidia_root()));
    for chain in [&intel[..], gpu.certificates()] {
        let parsed: Vec<_> = chain.iter().map(|der| parse(der)).collect();
        for (at, certificate) in parsed.iter().enumerate() {
            let issuer = parsed.get(at + 1).unwrap_or(certificate);
            assert_eq!(certificate.issuer(), issuer.subject());
            certificate.verify_signature(Some(issuer.public_key())).unwrap();
            assert!(certificate.subject().to_string().contains("SIMULATED"));
            assert!(issuer.is_ca() && certificate.is_ca() == (at > 0));
            assert!(certificate.validity().not_before.timestamp() <= i64::try_from(NOW.seconds()).unwrap());
        }
    }
}

#[test]
fn nvidia_names_and_serial_numbers_are_where_a_verifier_looks() {
    let gpu = world().gpu(2, 1);
    let common_names: Vec<_> = gpu.certificates().iter().map(|der| attribute(&parse(der), "CN")).collect();
    let expected = [
        "GH100 A01 GSP FMC LF",
        "GH100 A01 GSP BROM",
        "NVIDIA GH100 Provisioner ICA 1",
        "NVIDIA GH100 Identity",
        "SIMULATED NVIDIA Device Identity CA",
    ];
    assert_eq!(common_names, expected);
    let (leaf, brom) = (parse(&gpu.certificates()[0]), parse(&gpu.certificates()[1]));
    let serial = format!("41{}", hex::encode_upper(gpu.pdi()));
    assert_eq!((attribute(&brom, "serialNumber"), hex::encode_upper(brom.raw_serial())), (serial.clone(), serial));
    assert_eq!(attribute(&leaf, "serialNumber"), hex::encode_upper(leaf.raw_serial()));
    // 9999-12-31T23:59:59Z, as on genuine devices.
    assert_eq!(leaf.validity().not_after.timestamp(), 253_402_300_799);
}

#[test]
fn the_gpu_report_is_what_the_leaf_signed() {
    let gpu = world().gpu(0, 0);
    let report = gpu.report([0x11; 32]);
    let leaf = parse(&gpu.certificates()[0]);
    let (signed, signature) = report.split_at(report.len() - 96);
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &*leaf.public_key().subject_public_key.data);
    assert!(key.verify(signed, signature).is_ok());
    assert!(key.verify(&gpu.report([0x12; 32])[..signed.len()], signature).is_err());

    assert_eq!(report[..4], [0x11, 0xe0, 0x01, 0xff]);
    assert_eq!(report[4..36], [0x11; 32]);
    assert_eq!(report[36..45], [0, 0x11, 0x60, 0, 0, 64, 0xc0, 0x0d, 0]);
    let values = &report[45..45 + 64 * 55];
    for (at, block) in values.chunks_exact(55).enumerate() {
        assert_eq!(block[..7], [u8::try_from(at + 1).unwrap(), 1, 51, 0, 1, 48, 0]);
        assert_eq!(block[7..], gpu.options().measurements[at]);
    }
    let fields = opaque_fields(&report);
    assert_eq!(fields.iter().find(|(kind, _)| *kind == 3).unwrap().1, b"590.12-simulated\0");
    let fwid = &fields.iter().find(|(kind, _)| *kind == 20).unwrap().1;
    let extension = leaf.extensions().iter().find(|ext| ext.oid.to_id_string() == "2.23.133.5.4.1").unwrap();
    assert!(extension.value.ends_with(fwid) && fwid.len() == 48);
    // The extension also names the key of the certificate above, as genuine leaves do.
    let brom = parse(&gpu.certificates()[1]);
    let named = brom.public_key().raw;
    assert!(extension.value.windows(named.len()).any(|window| window == named));
}

#[test]
fn gpu_report_knobs_change_what_is_signed() {
    let gpu = world().gpu(0, 0);
    let options = GpuReportOptions { fwid: None, protected_pcie: true, ..gpu.options().clone() };
    let fields = opaque_fields(&gpu.report_with(&options, [1; 32]));
    assert!(fields.iter().all(|(kind, _)| *kind != 20));
    assert!(fields.contains(&(21, vec![0xaa])) && fields.contains(&(36, vec![2, 0])));
}

#[test]
fn a_collected_set_is_bound_member_by_member() {
    let node = world().node(0, 3);
    let challenge = Challenge::VerifierNonce(Digest32([4; 32]));
    let binding = Binding::head(Digest32([1; 32]), Digest32([2; 32]), PoseidonDigest::default(), 5, challenge);
    let set = collect_set(&node, binding.clone()).unwrap();
    let listed: Vec<Device> = node.devices().unwrap().iter().map(|identity| identity.device).collect();
    assert!(listed.is_sorted() && listed.len() == 3);
    assert_eq!(set.devices.iter().map(|evidence| evidence.device).collect::<Vec<_>>(), listed);
    for evidence in &set.devices {
        assert_eq!(evidence.report[4..36], binding.gpu_nonce(evidence.device).0);
        let serial = attribute(&parse(&evidence.certificates[1]), "serialNumber");
        let pdi = hex::decode(&serial[2..]).unwrap();
        assert_eq!(Device::derive(&EvidenceKind::new("nvidia-gpu"), &pdi), evidence.device);
    }
    let expected = binding.report_data(device_evidence_digest(&set.devices));
    assert_eq!(set.cpu.body[48 + 520..48 + 584], expected);
    let stranger = node.device_evidence(node.cpu().unwrap().device, [0; 32]);
    assert!(matches!(stranger, Err(CollectError::Unavailable { what: "simulated GPU", .. })));
}

#[test]
fn a_seed_is_a_world_and_another_seed_is_another() {
    let everything = |world: &World| {
        let node = world.node(0, 2);
        let quote = node.quote(REPORT_DATA).unwrap().body;
        let gpus: Vec<_> = node.gpus().iter().map(|gpu| gpu.evidence([1; 32])).collect();
        (world.trust_roots(), world.collateral_json(), quote, gpus, world.time_authority().issue_nonce(NOW))
    };
    let (one, same, other) = (everything(&world()), everything(&world()), everything(&World::new(8, NOW)));
    assert!(one == same);
    assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2 && one.3 != other.3 && one.4 != other.4);

    // At another instant certificates have other dates; keys and identities stay.
    let later = World::new(7, UnixMillis(NOW.0 + 5_000_000));
    let key = |root: &[u8]| parse(root).public_key().raw.to_vec();
    assert_eq!(key(&later.intel_root()), key(&world().intel_root()));
    assert_eq!(key(&later.nvidia_root()), key(&world().nvidia_root()));
    assert_eq!(later.node(4, 0).cpu().unwrap(), world().node(4, 0).cpu().unwrap());
    assert_eq!(later.node(4, 2).devices().unwrap(), world().node(4, 2).devices().unwrap());
    assert_eq!(later.time_authority().key(), world().time_authority().key());
}

#[test]
fn no_two_devices_of_a_world_are_the_same() {
    let world = world();
    let mut seen = BTreeSet::new();
    for node in (0..3).map(|index| world.node(index, 2)) {
        seen.insert(node.cpu().unwrap().device);
        seen.extend(node.gpus().iter().map(crate::SimulatedGpu::device));
    }
    assert_eq!(seen.len(), 9);
}

#[test]
fn anchor_files_name_what_they_are() {
    let (world, folder) = (world(), tempfile::tempdir().unwrap());
    let roots = folder.path().join("roots");
    world.write_trust_roots(&roots).unwrap();
    for (kind, field) in [
        ("intel-sgx-root", "certificate_pem"),
        ("nvidia-device-root", "certificate_pem"),
        ("nvidia-rim-root", "certificate_pem"),
        ("time-authority", "key"),
        ("timestamp-authority-root", "certificate_pem"),
    ] {
        let bytes = std::fs::read(roots.join(format!("{kind}.anchor.json"))).unwrap();
        let anchor: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let fields: Vec<_> = anchor.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["format", "name", "grade", "kind", field]);
        assert_eq!((&anchor["format"], &anchor["grade"]), (&"weighbridge/trust-anchor/v1".into(), &"simulated".into()));
        assert_eq!((&anchor["kind"], anchor["name"].as_str()), (&kind.into(), Some(&*format!("simulated {kind}"))));
    }
    let bytes = std::fs::read(roots.join("intel-sgx-root.anchor.json")).unwrap();
    let anchor: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(pem_chain(anchor["certificate_pem"].as_str().unwrap()), [world.intel_root()]);
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(der).expect("a certificate");
    assert!(rest.is_empty());
    certificate
}

fn pem_chain(text: &str) -> Vec<Vec<u8>> {
    x509_parser::pem::Pem::iter_from_buffer(text.as_bytes()).map(|pem| pem.unwrap().contents).collect()
}

fn attribute(certificate: &X509Certificate<'_>, name: &str) -> String {
    let oid = if name == "CN" { "2.5.4.3" } else { "2.5.4.5" };
    let found = certificate.subject().iter_attributes().find(|attribute| attribute.attr_type().to_id_string() == oid);
    found.unwrap().as_str().unwrap().to_owned()
}

/// Walks the TLVs after 64 blocks and the device nonce; nothing may be left before the signature.
fn opaque_fields(report: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let number = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    let start = 37 + 8 + 64 * 55 + 32;
    let length = usize::from(number(&report[start..]));
    let mut rest = &report[start + 2..start + 2 + length];
    assert_eq!(report.len(), start + 2 + length + 96);
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (kind, size) = (number(rest), usize::from(number(&rest[2..])));
        fields.push((kind, rest[4..4 + size].to_vec()));
        rest = &rest[4 + size..];
    }
    fields
}
