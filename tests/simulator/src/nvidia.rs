//! **Duty.** An NVIDIA-like PKI and the devices below it: root → GH100 Identity → Provisioner ICA → BROM → FMC leaf, for
//! GPUs and switches; and the authorities that sign reference values. **Does not know** the bytes of a report
//! (`gpu_report`) or of a manifest (`rim`). **Spec.** EVIDENCE §1.3, §1.5.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, OtherNameValue, PublicKeyData as _,
    SanType, SerialNumber,
};
use time::macros::datetime;
use weighbridge_attest_types::{Device, DeviceEvidence, EvidenceKind, sha256};

use crate::der;
use crate::gpu_report::{self, GpuReportOptions, SwitchReportOptions};
use crate::keys::{P384Key, Seed};
use crate::pki::{self, CertificateAuthority, Validity};
use crate::rim::RimSigner;

/// 2.23.133.5.4.1: here NVIDIA's Hopper leaf carries version, device identity key and firmware id.
const FWID_EXTENSION: [u64; 6] = [2, 23, 133, 5, 4, 1];
const SHA384: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];
const SUBJECT_KEY_IDENTIFIER: [u64; 4] = [2, 5, 29, 14];
/// 2.23.133.5.4.1.1, DiceTcbInfo: here Blackwell's leaf carries its firmware ids, in element [6].
const DICE_TCB_INFO: [u64; 7] = [2, 23, 133, 5, 4, 1, 1];
const FWIDS: u8 = 0xa6;
/// DMTF's `otherName` for a device's id.
const DMTF_DEVICE_INFO: [u64; 9] = [1, 3, 6, 1, 4, 1, 412, 274, 1];

/// The authorities that all devices of a world hang on.
#[derive(Debug, Clone)]
pub(crate) struct NvidiaPki {
    pub(crate) root: CertificateAuthority<P384Key>,
    pub(crate) identity: CertificateAuthority<P384Key>,
    pub(crate) provisioner: CertificateAuthority<P384Key>,
    pub(crate) switch_provisioner: CertificateAuthority<P384Key>,
    pub(crate) rim: RimPki,
    seed: Seed,
    validity: Validity,
}

/// The authorities that sign reference values: root → authority of the chip → intermediate (L3), and the signer (L4).
#[derive(Debug, Clone)]
pub(crate) struct RimPki {
    pub(crate) root: CertificateAuthority<P384Key>,
    pub(crate) authority: CertificateAuthority<P384Key>,
    pub(crate) intermediate: CertificateAuthority<P384Key>,
}

/// How a leaf certificate carries the firmware id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FwidForm {
    /// In an extension of its own, as Hopper's.
    Hopper,
    /// In DiceTcbInfo, as Blackwell's.
    Dice,
    /// Not at all.
    Missing,
}

/// What the certificates of a device say that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceModel {
    /// Chip, as in the names.
    pub chip: String,
    /// The processor that signs.
    pub processor: String,
    /// What stands before the PDI.
    pub pdi_prefix: u8,
    /// Where the firmware id is.
    pub fwid: FwidForm,
}

impl DeviceModel {
    /// Hopper.
    #[must_use]
    pub fn hopper() -> Self {
        Self::of("GH100", "GSP", 0x41, FwidForm::Hopper)
    }

    /// Blackwell.
    #[must_use]
    pub fn blackwell() -> Self {
        Self::of("GB100", "GSP", 0x41, FwidForm::Dice)
    }

    /// NVSwitch.
    #[must_use]
    pub fn switch() -> Self {
        Self::of("LS_10", "FSP", 0x50, FwidForm::Hopper)
    }

    fn of(chip: &str, processor: &str, pdi_prefix: u8, fwid: FwidForm) -> Self {
        Self { chip: chip.to_owned(), processor: processor.to_owned(), pdi_prefix, fwid }
    }
}

/// The two authorities between a root and a device's own.
#[derive(Clone)]
struct ChipAuthorities {
    provisioner: CertificateAuthority<P384Key>,
    identity: CertificateAuthority<P384Key>,
}

impl RimPki {
    fn grow(seed: Seed, validity: Validity) -> Self {
        let params = |name: &str, key: &P384Key, constraints| {
            pki::authority_params(pki::subject(name), key, validity, constraints)
        };
        let key = P384Key::derive(seed, "nvidia/rim-root");
        let named = params("SIMULATED NVIDIA CoRIM signing Root CA", &key, BasicConstraints::Unconstrained);
        let root = CertificateAuthority::root(named, key);
        let key = P384Key::derive(seed, "nvidia/rim-authority");
        let named = params("NVIDIA Reference Value GH100 CA", &key, BasicConstraints::Unconstrained);
        let authority = root.subordinate(named, key);
        let key = P384Key::derive(seed, "nvidia/rim-l3");
        let named = params("NVIDIA Reference Value L3 GH100 001", &key, BasicConstraints::Constrained(0));
        let intermediate = authority.subordinate(named, key);
        Self { root, authority, intermediate }
    }

    /// A signer of its own dates.
    pub(crate) fn signer(&self, seed: Seed, validity: Validity) -> RimSigner {
        let key = P384Key::derive(seed, "nvidia/rim-l4");
        let certificate = self.intermediate.issue(&Self::signer_params(&key, validity), &key).der().to_vec();
        let above = [&self.intermediate, &self.authority, &self.root].map(CertificateAuthority::der);
        RimSigner::new(key, std::iter::once(certificate).chain(above).collect())
    }

    /// Serial number of every signer: they share one key.
    pub(crate) fn signer_serial(seed: Seed) -> Vec<u8> {
        pki::serial_of(&P384Key::derive(seed, "nvidia/rim-l4")).to_vec()
    }

    fn signer_params(key: &P384Key, validity: Validity) -> CertificateParams {
        let mut params = pki::certificate_params(pki::subject("HCC RIM L4 Signer"), key, validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params
    }
}

impl NvidiaPki {
    /// Grows the authorities. Device certificates have no end (9999-12-31), as NVIDIA's; those for reference values do.
    pub(crate) fn grow(seed: Seed, validity: Validity) -> Self {
        let rim = RimPki::grow(seed, validity);
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
        // Genuine switches, too, hang on Hopper's identity authority.
        let key = P384Key::derive(seed, "nvidia/ls10-provisioner");
        let switch_provisioner = identity.subordinate(params("NVIDIA LS_10 Provisioner ICA 1", &key), key);
        Self { root, identity, provisioner, switch_provisioner, rim, seed, validity }
    }

    /// Hopper and its switches hang on the authorities that every world has; any other chip on ones of its own.
    fn authorities(&self, chip: &str) -> ChipAuthorities {
        let Self { root, identity, provisioner, switch_provisioner, .. } = self;
        match chip {
            "GH100" => ChipAuthorities { provisioner: provisioner.clone(), identity: identity.clone() },
            "LS_10" => ChipAuthorities { provisioner: switch_provisioner.clone(), identity: identity.clone() },
            _ => {
                let below = |above: &CertificateAuthority<P384Key>, name: &str| {
                    let key = P384Key::derive(self.seed, &format!("nvidia/{name}"));
                    let constraints = BasicConstraints::Unconstrained;
                    above.subordinate(pki::authority_params(pki::subject(name), &key, self.validity, constraints), key)
                };
                let identity = below(root, &format!("NVIDIA {chip} Identity"));
                let provisioner = below(&identity, &format!("NVIDIA {chip} Provisioner ICA 00000"));
                ChipAuthorities { provisioner, identity }
            }
        }
    }

    /// The device's own authority. Its subject and its own serial number are a prefix and the PDI.
    fn brom(
        &self,
        model: &DeviceModel,
        above: &CertificateAuthority<P384Key>,
        key: P384Key,
        pdi: [u8; 8],
    ) -> CertificateAuthority<P384Key> {
        let serial = brom_serial(model, pdi);
        let name = format!("{} A01 {} BROM", model.chip, model.processor);
        let subject = pki::device_subject(&hex::encode_upper(&serial), &name);
        let mut params = pki::authority_params(subject, &key, self.validity, BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        above.subordinate(params, key)
    }

    /// The whole chain of a device, leaf first.
    fn chain(
        &self,
        model: &DeviceModel,
        key: &P384Key,
        brom_key: P384Key,
        pdi: [u8; 8],
        fwid: &[u8; 48],
    ) -> Vec<Vec<u8>> {
        let ChipAuthorities { provisioner, identity } = self.authorities(&model.chip);
        let leaf = self.leaf_params(model, key, &brom_key, fwid, pdi);
        let brom = self.brom(model, &provisioner, brom_key, pdi);
        let leaf = brom.issue(&leaf, key).der().to_vec();
        let authorities = [&brom, &provisioner, &identity, &self.root];
        std::iter::once(leaf).chain(authorities.map(CertificateAuthority::der)).collect()
    }

    /// What the leaf says: it changes with firmware, which is why it is no identity.
    fn leaf_params(
        &self,
        model: &DeviceModel,
        key: &P384Key,
        brom: &P384Key,
        fwid: &[u8; 48],
        pdi: [u8; 8],
    ) -> CertificateParams {
        let serial = hex::encode_upper(pki::serial_of(key));
        let name = format!("{} A01 {} FMC LF", model.chip, model.processor);
        let subject = pki::device_subject(&serial, &name);
        let mut params = pki::certificate_params(subject, key, self.validity);
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let label = OtherNameValue::Utf8String(format!("SIMULATED:{}:{}", model.chip, hex::encode_upper(pdi)));
        params.subject_alt_names = vec![SanType::OtherName((DMTF_DEVICE_INFO.to_vec(), label))];
        let key_identifier = &sha256(&key.subject_public_key_info()).0[..20];
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&SUBJECT_KEY_IDENTIFIER, der::octets(key_identifier))];
        params.custom_extensions.extend(match model.fwid {
            FwidForm::Hopper => Some(CustomExtension::from_oid_content(&FWID_EXTENSION, fwid_extension(brom, fwid))),
            FwidForm::Dice => Some(CustomExtension::from_oid_content(&DICE_TCB_INFO, dice_extension(fwid))),
            FwidForm::Missing => None,
        });
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
    pub(crate) fn grow(seed: Seed, nvidia: &NvidiaPki, model: &DeviceModel, node: u32, slot: u32) -> Self {
        let pdi = seed.array(&format!("nvidia/pdi/{node}/{slot}"));
        let options = GpuReportOptions::production(seed);
        let brom_key = P384Key::derive(seed, &format!("nvidia/brom/{node}/{slot}"));
        let key = P384Key::derive(seed, &format!("nvidia/fmc/{node}/{slot}"));
        let fwid = options.fwid.expect("production firmware reports its id");
        let certificates = nvidia.chain(model, &key, brom_key, pdi, &fwid);
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

    /// Serial number of its BROM certificate.
    pub(crate) fn brom_serial(&self) -> Vec<u8> {
        brom_serial(&DeviceModel::hopper(), self.pdi)
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

/// One NVSwitch.
#[derive(Debug, Clone)]
pub struct SimulatedSwitch {
    pdi: [u8; 8],
    key: P384Key,
    options: SwitchReportOptions,
    certificates: Vec<Vec<u8>>,
}

impl SimulatedSwitch {
    /// Grows one switch of one node.
    pub(crate) fn grow(seed: Seed, nvidia: &NvidiaPki, node: u32, slot: u32) -> Self {
        let pdi = seed.array(&format!("nvidia/switch-pdi/{node}/{slot}"));
        let brom_key = P384Key::derive(seed, &format!("nvidia/switch-brom/{node}/{slot}"));
        let key = P384Key::derive(seed, &format!("nvidia/switch-fmc/{node}/{slot}"));
        let certificates =
            nvidia.chain(&DeviceModel::switch(), &key, brom_key, pdi, &seed.measurement("nvidia/switch-fwid"));
        Self { pdi, key, options: SwitchReportOptions::production(seed), certificates }
    }

    /// Its per-device id.
    #[must_use]
    pub fn pdi(&self) -> [u8; 8] {
        self.pdi
    }

    /// DER certificates, leaf first, root last.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// What its reports say; change a copy for [`Self::report_with`].
    #[must_use]
    pub fn options(&self) -> &SwitchReportOptions {
        &self.options
    }

    /// A report with these contents that answers `nonce`.
    #[must_use]
    pub fn report_with(&self, options: &SwitchReportOptions, nonce: [u8; 32]) -> Vec<u8> {
        let signed_part = gpu_report::switch_signed_part(options, nonce, self.pdi);
        [&signed_part[..], &self.key.sign_raw(&signed_part)].concat()
    }
}

fn brom_serial(model: &DeviceModel, pdi: [u8; 8]) -> Vec<u8> {
    [&[model.pdi_prefix], &pdi[..]].concat()
}

/// SEQUENCE { 1, SubjectPublicKeyInfo of the BROM key, SEQUENCE { SHA-384, FWID } }: the FWID is the last 48 bytes.
fn fwid_extension(brom: &P384Key, fwid: &[u8; 48]) -> Vec<u8> {
    let digest = der::sequence(&[der::oid(&SHA384), der::octets(fwid)]);
    der::sequence(&[der::integer(1), brom.subject_public_key_info(), digest])
}

/// SEQUENCE { [0] vendor, [6] { SEQUENCE { SHA-384, FWID } } }.
fn dice_extension(fwid: &[u8; 48]) -> Vec<u8> {
    let entry = der::sequence(&[der::oid(&SHA384), der::octets(fwid)]);
    der::sequence(&[der::value(0x80, b"SIMULATED"), der::value(FWIDS, &entry)])
}
