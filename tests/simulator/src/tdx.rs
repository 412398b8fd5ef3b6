//! **Duty.** A simulated TDX platform: version 4 quotes with a TD10 body, QE report, and certification data 6 → 5.
//! **Does not know** what `report_data` means. **Spec.** EVIDENCE §2.1–2.2.

use rcgen::PublicKeyData as _;
use weighbridge_attest_types::{Device, EvidenceKind, sha256};

use crate::intel::{IntelPki, Pck, PlatformFacts, PlatformTcb};
use crate::keys::{P256Key, Seed};

/// Product id of the TD quoting enclave.
pub(crate) const QE_ISV_PROD_ID: u16 = 2;
/// What the QE identity asks for; the simulated enclave has more.
pub(crate) const MIN_QE_ISV_SVN: u16 = 4;
const QE_ISV_SVN: u16 = 6;
const QE_VENDOR_INTEL: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
/// Extended features a TD of a current kernel runs with.
const XFAM: [u8; 8] = [0xe7, 0x02, 0x06, 0, 0, 0, 0, 0];

const ATTRIBUTE_DEBUG: u64 = 1;
const ATTRIBUTE_SEPT_VE_DISABLE: u64 = 1 << 28;
const ATTRIBUTE_MIGRATABLE: u64 = 1 << 29;

const QE_REPORT_CERTIFICATION: u16 = 6;
const PCK_CHAIN_CERTIFICATION: u16 = 5;

/// What a trust domain is: knobs that a breaker turns before the quote is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxOptions {
    /// TD attribute DEBUG.
    pub debug: bool,
    /// TD attribute SEPT_VE_DISABLE.
    pub sept_ve_disable: bool,
    /// TD attribute MIGRATABLE.
    pub migratable: bool,
    /// Launch measurement.
    pub mrtd: [u8; 48],
    /// Run-time measurement registers.
    pub rtmr: [[u8; 48]; 4],
}

impl TdxOptions {
    /// The image that every node of a world runs: a production TD.
    pub(crate) fn image(seed: Seed) -> Self {
        let rtmr = std::array::from_fn(|at| seed.measurement(&format!("tdx/rtmr{at}")));
        Self { debug: false, sept_ve_disable: true, migratable: false, mrtd: seed.measurement("tdx/mrtd"), rtmr }
    }

    fn attributes(&self) -> u64 {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        bit(self.debug, ATTRIBUTE_DEBUG)
            | bit(self.sept_ve_disable, ATTRIBUTE_SEPT_VE_DISABLE)
            | bit(self.migratable, ATTRIBUTE_MIGRATABLE)
    }
}

/// One CPU platform with its quoting enclave.
#[derive(Debug, Clone)]
pub struct TdxPlatform {
    seed: Seed,
    ppid: [u8; 16],
    tcb: PlatformTcb,
    attestation_key: P256Key,
    pck: Pck,
}

impl TdxPlatform {
    /// Grows the platform of one node.
    pub(crate) fn grow(seed: Seed, intel: &IntelPki, node: u32, tcb: PlatformTcb) -> Self {
        let ppid = seed.array(&format!("tdx/ppid/{node}"));
        let instance = seed.array(&format!("tdx/platform-instance/{node}"));
        let pck = intel.certify(seed, &PlatformFacts { ppid, instance, tcb });
        let attestation_key = P256Key::derive(seed, &format!("tdx/attestation-key/{node}"));
        Self { seed, ppid, tcb, attestation_key, pck }
    }

    /// Its identity.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::derive(&EvidenceKind::new(EvidenceKind::TDX), &self.ppid)
    }

    /// Its plaintext platform provisioning id.
    #[must_use]
    pub fn ppid(&self) -> [u8; 16] {
        self.ppid
    }

    /// Serial number of its PCK certificate, for revocation.
    #[must_use]
    pub fn pck_serial(&self) -> Vec<u8> {
        self.pck.serial.to_vec()
    }

    /// PEM of PCK certificate, Platform CA and root.
    #[must_use]
    pub fn pck_chain_pem(&self) -> &str {
        &self.pck.chain
    }

    /// A quote of a trust domain over any report data.
    #[must_use]
    pub fn quote(&self, options: &TdxOptions, report_data: [u8; 64]) -> Vec<u8> {
        self.sign(&self.signed_part(options, report_data))
    }

    /// Header and TD10 body: 632 bytes that [`Self::sign`] makes a quote of. Breakers change them in between.
    #[must_use]
    pub fn signed_part(&self, options: &TdxOptions, report_data: [u8; 64]) -> Vec<u8> {
        let mut out = Vec::with_capacity(632);
        out.extend(4u16.to_le_bytes()); // version
        out.extend(2u16.to_le_bytes()); // ECDSA P-256
        out.extend(0x81u32.to_le_bytes()); // TDX
        out.extend([0; 4]);
        out.extend(QE_VENDOR_INTEL);
        out.extend(self.seed.array::<16>("tdx/qe-id"));
        out.extend([0; 4]);

        out.extend(self.tcb.tee_tcb_svn);
        out.extend(self.seed.measurement("tdx/mrseam"));
        out.extend([0; 48]); // mrsignerseam: Intel's own modules carry zeros
        out.extend([0; 8]); // seamattributes
        out.extend(options.attributes().to_le_bytes());
        out.extend(XFAM);
        out.extend(options.mrtd);
        out.extend([0; 3 * 48]); // mrconfigid, mrowner, mrownerconfig
        out.extend(options.rtmr.concat());
        out.extend(report_data);
        out
    }

    /// Signs header and body, whatever they say, and appends the certification data.
    #[must_use]
    pub fn sign(&self, signed_part: &[u8]) -> Vec<u8> {
        let certification = self.certification();
        let mut section = Vec::new();
        section.extend(self.attestation_key.sign_raw(signed_part));
        section.extend(self.attestation_point());
        section.extend(typed(QE_REPORT_CERTIFICATION, &certification));
        [signed_part, &length(&section).to_le_bytes(), &section].concat()
    }

    /// QE report, its signature by the PCK key, authentication data and PCK chain.
    fn certification(&self) -> Vec<u8> {
        let authentication: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).expect("below 32"));
        let report = self.qe_report(&authentication);
        let mut out = report.clone();
        out.extend(self.pck.key.sign_raw(&report));
        out.extend(32u16.to_le_bytes());
        out.extend(authentication);
        // Genuine chains end in NUL.
        out.extend(typed(PCK_CHAIN_CERTIFICATION, &[self.pck.chain.as_bytes(), &[0]].concat()));
        out
    }

    /// The attestation key as `x ‖ y`: the uncompressed point without its tag.
    fn attestation_point(&self) -> &[u8] {
        &self.attestation_key.der_bytes()[1..]
    }

    fn qe_report(&self, authentication: &[u8]) -> Vec<u8> {
        let binding = sha256(&[self.attestation_point(), authentication].concat());
        let mut out = Vec::with_capacity(384);
        out.extend(self.tcb.cpu_svn);
        out.extend([0; 4 + 28]); // miscselect, reserved
        // INIT, MODE64BIT, PROVISIONKEY; XFRM.
        out.extend([0x15, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(self.seed.array::<32>("tdx/qe-mrenclave"));
        out.extend([0; 32]);
        out.extend(qe_mrsigner(self.seed));
        out.extend([0; 96]);
        out.extend(QE_ISV_PROD_ID.to_le_bytes());
        out.extend(QE_ISV_SVN.to_le_bytes());
        out.extend([0; 60]);
        out.extend(binding.0);
        out.extend([0; 32]);
        out
    }
}

/// Who signed the quoting enclave; the QE identity repeats it.
pub(crate) fn qe_mrsigner(seed: Seed) -> [u8; 32] {
    seed.array("tdx/qe-mrsigner")
}

fn typed(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &length(data).to_le_bytes(), data].concat()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a quote is a few KiB")
}
