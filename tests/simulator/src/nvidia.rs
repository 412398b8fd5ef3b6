//! **Duty.** An NVIDIA-like device PKI and the GPUs below it: root → GH100 Identity → Provisioner ICA → BROM → FMC
//! leaf. **Does not know** the bytes of a report (`gpu_report`). **Spec.** EVIDENCE §1.3.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, OtherNameValue, PublicKeyData as _,
    SanType, SerialNumber,
};
use time::macros::datetime;
use weighbridge_attest_types::{Device, DeviceEvidence, EvidenceKind, sha256};

use crate::der;
use crate::gpu_report::{self, GpuReportOptions};
use crate::keys::{P384Key, Seed};
use crate::pki::{self, CertificateAuthority, Validity};

/// 2.23.133.5.4.1: here NVIDIA's Hopper leaf carries version, device identity key and firmware id.
const FWID_EXTENSION: [u64; 6] = [2, 23, 133, 5, 4, 1];
const SHA384: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];
const SUBJECT_KEY_IDENTIFIER: [u64; 4] = [2, 5, 29, 14];
/// DMTF's `otherName` for a device's id.
const DMTF_DEVICE_INFO: [u64; 9] = [1, 3, 6, 1, 4, 1, 412, 274, 1];

/// The authorities that all devices of a world hang on.
#[derive(Debug, Clone)]
pub(crate) struct NvidiaPki {
    pub(crate) root: CertificateAuthority<P384Key>,
    identity: CertificateAuthority<P384Key>,
    provisioner: CertificateAuthority<P384Key>,
    validity: Validity,
}

impl NvidiaPki {
    /// Grows the authorities. Device certificates have no end (9999-12-31), as NVIDIA's.
    pub(crate) fn grow(seed: Seed, validity: Validity) -> Self {
        let validity = Validity { until: datetime!(9999-12-31 23:59:59 UTC), ..validity };
        let params = |name: &str, key: &P384Key| {
            pki::authority_params(pki::subject(name), key, validity, BasicConstraints::Unconstrained)
        };
        let key = P384Key::derive(seed, "nvidia/root");
        let root = CertificateAuthority::root(params("SIMULATED NVIDIA Device Identity CA", &key), key);
        let key = P384Key::derive(seed, "nvidia/gh100-identity");
        let identity = root.subordinate(params("NVIDIA GH100 Identity", &key), key);
        let key = P384Key::derive(seed, "nvidia/gh100-provisioner");
        let provisioner = identity.subordinate(params("NVIDIA GH100 Provisioner ICA 1", &key), key);
        Self { root, identity, provisioner, validity }
    }

    /// The device's own authority. Its subject and its own serial number are "41" and the PDI.
    fn brom(&self, key: P384Key, pdi: [u8; 8]) -> CertificateAuthority<P384Key> {
        let serial = [&[0x41], &pdi[..]].concat();
        let subject = pki::device_subject(&hex::encode_upper(&serial), "GH100 A01 GSP BROM");
        let mut params = pki::authority_params(subject, &key, self.validity, BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        self.provisioner.subordinate(params, key)
    }

    /// What the leaf says: it changes with firmware, which is why it is no identity.
    fn leaf_params(&self, key: &P384Key, brom: &P384Key, fwid: &[u8; 48], pdi: [u8; 8]) -> CertificateParams {
        let serial = hex::encode_upper(pki::serial_of(key));
        let subject = pki::device_subject(&serial, "GH100 A01 GSP FMC LF");
        let mut params = pki::certificate_params(subject, key, self.validity);
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let label = OtherNameValue::Utf8String(format!("SIMULATED:GH100:{}", hex::encode_upper(pdi)));
        params.subject_alt_names = vec![SanType::OtherName((DMTF_DEVICE_INFO.to_vec(), label))];
        let key_identifier = &sha256(&key.subject_public_key_info()).0[..20];
        params.custom_extensions = vec![
            CustomExtension::from_oid_content(&SUBJECT_KEY_IDENTIFIER, der::octets(key_identifier)),
            CustomExtension::from_oid_content(&FWID_EXTENSION, fwid_extension(brom, fwid)),
        ];
        params
    }
}

/// One GPU.
#[derive(Debug, Clone)]
pub struct SimulatedGpu {
    pdi: [u8; 8],
    key: P384Key,
    options: GpuReportOptions,
    certificates: Vec<Vec<u8>>,
}

impl SimulatedGpu {
    /// Grows one GPU of one node.
    pub(crate) fn grow(seed: Seed, nvidia: &NvidiaPki, node: u32, slot: u32) -> Self {
        let pdi = seed.array(&format!("nvidia/pdi/{node}/{slot}"));
        let options = GpuReportOptions::production(seed);
        let brom_key = P384Key::derive(seed, &format!("nvidia/brom/{node}/{slot}"));
        let key = P384Key::derive(seed, &format!("nvidia/fmc/{node}/{slot}"));
        let fwid = options.fwid.expect("production firmware reports its id");
        let leaf = nvidia.leaf_params(&key, &brom_key, &fwid, pdi);
        let brom = nvidia.brom(brom_key, pdi);
        let authorities = [&brom, &nvidia.provisioner, &nvidia.identity, &nvidia.root];
        let leaf = brom.issue(&leaf, &key).der().to_vec();
        let certificates = std::iter::once(leaf).chain(authorities.map(CertificateAuthority::der)).collect();
        Self { pdi, key, options, certificates }
    }

    /// Its identity.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::derive(&EvidenceKind::new(EvidenceKind::NVIDIA_GPU), &self.pdi)
    }

    /// Its per-device id, as the BROM certificate carries it.
    #[must_use]
    pub fn pdi(&self) -> [u8; 8] {
        self.pdi
    }

    /// Product name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        "simulated NVIDIA H100"
    }

    /// DER certificates, leaf first, root last.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// What its reports say; change a copy for [`Self::report_with`].
    #[must_use]
    pub fn options(&self) -> &GpuReportOptions {
        &self.options
    }

    /// A report that answers `nonce`.
    #[must_use]
    pub fn report(&self, nonce: [u8; 32]) -> Vec<u8> {
        self.report_with(&self.options, nonce)
    }

    /// A report with other contents, signed all the same.
    #[must_use]
    pub fn report_with(&self, options: &GpuReportOptions, nonce: [u8; 32]) -> Vec<u8> {
        self.sign(&gpu_report::signed_part(options, nonce, self.pdi))
    }

    /// Signs request and response, whatever they say.
    #[must_use]
    pub fn sign(&self, signed_part: &[u8]) -> Vec<u8> {
        [signed_part, &self.key.sign_raw(signed_part)].concat()
    }

    /// Report and chain, as a node sends them.
    #[must_use]
    pub fn evidence(&self, nonce: [u8; 32]) -> DeviceEvidence {
        DeviceEvidence {
            device: self.device(),
            kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
            report: self.report(nonce),
            certificates: self.certificates.clone(),
        }
    }
}

/// SEQUENCE { 1, SubjectPublicKeyInfo of the BROM key, SEQUENCE { SHA-384, FWID } }: the FWID is the last 48 bytes.
fn fwid_extension(brom: &P384Key, fwid: &[u8; 48]) -> Vec<u8> {
    let digest = der::sequence(&[der::oid(&SHA384), der::octets(fwid)]);
    der::sequence(&[der::integer(1), brom.subject_public_key_info(), digest])
}
