//! **Duty.** One simulated world: its roots, its nodes, its collateral, its time authority, all from a seed and an
//! instant. Another seed is a foreign world whose roots this one does not know. **Does not know** what is done with it.

use std::path::Path;
use std::{fs, io};

use rcgen::RevocationReason;
use serde_json::json;
use weighbridge_attest_types::UnixMillis;

use crate::authority::TimeAuthority;
use crate::collateral::{self, CollateralOptions};
use crate::intel::{IntelPki, PlatformTcb};
use crate::keys::{P384Key, Seed};
use crate::node::SimulatedNode;
use crate::nvidia::{DeviceModel, NvidiaPki, RimPki, SimulatedGpu, SimulatedSwitch};
use crate::ocsp::{self, Asked, OcspHash, OcspOptions, OcspSigner, OcspStatus};
use crate::pki::{self, CertificateAuthority, Validity};
use crate::rim::{RimOptions, RimSigner};
use crate::tdx::{TdxOptions, TdxPlatform};
use crate::timestamp::TimestampAuthority;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Archived bundles must verify years later.
const CERTIFICATE_DAYS: u64 = 10 * 365;
/// Intel's own collateral lives 30 days.
const COLLATERAL_DAYS: u64 = 30;

/// Indexes that genuine manifests of Hopper compare: driver, then VBIOS.
const DRIVER_INDEXES: [usize; 20] = [7, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39];
const VBIOS_INDEXES: [usize; 12] = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12];
/// Firmware of video decoder 0: off in every simulated GPU, so that its value is never the manifest's.
const NVDEC0_INDEX: usize = 35;

/// A certificate whose standing a responder knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certified {
    /// BROM of a GPU of a node.
    Brom(u32, u32),
    /// Authority of GPUs.
    Provisioner,
    /// Authority of the chip family.
    Identity,
    /// Signer of manifests.
    RimSigner,
    /// Authority above the signer.
    RimIntermediate,
    /// Authority of the chip's manifests.
    RimAuthority,
}

/// One `*.anchor.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorFile {
    /// File name.
    pub name: &'static str,
    /// JSON.
    pub bytes: Vec<u8>,
}

/// Everything that grows from one seed.
#[derive(Debug, Clone)]
pub struct World {
    seed: Seed,
    now: UnixMillis,
    intel: IntelPki,
    nvidia: NvidiaPki,
    authority: TimeAuthority,
    timestamps: TimestampAuthority,
    validity: Validity,
}

impl World {
    /// Grows a world. Keys and identities follow from `seed` alone; dates also from `now`.
    #[must_use]
    pub fn new(seed: u64, now: UnixMillis) -> Self {
        let seed = Seed(seed);
        let validity = Validity { from: pki::instant(days_before(now, 1)), until: years_after(now) };
        Self {
            seed,
            now,
            intel: IntelPki::grow(seed, validity),
            nvidia: NvidiaPki::grow(seed, validity),
            authority: TimeAuthority::grow(seed),
            timestamps: TimestampAuthority::grow(seed, validity),
            validity,
        }
    }

    /// An up-to-date node with its GPUs.
    #[must_use]
    pub fn node(&self, index: u32, gpus: u32) -> SimulatedNode {
        self.node_with_tcb(index, gpus, PlatformTcb::UP_TO_DATE)
    }

    /// The same node at other security versions, such as [`PlatformTcb::OUT_OF_DATE`].
    #[must_use]
    pub fn node_with_tcb(&self, index: u32, gpus: u32, tcb: PlatformTcb) -> SimulatedNode {
        let platform = TdxPlatform::grow(self.seed, &self.intel, index, tcb);
        let gpus = (0..gpus).map(|slot| self.gpu(index, slot)).collect();
        SimulatedNode::new(platform, TdxOptions::image(self.seed), gpus)
    }

    /// One GPU by itself; node and slot name the device.
    #[must_use]
    pub fn gpu(&self, node: u32, slot: u32) -> SimulatedGpu {
        self.gpu_of(&DeviceModel::hopper(), node, slot)
    }

    /// One GPU whose certificates say something else.
    #[must_use]
    pub fn gpu_of(&self, model: &DeviceModel, node: u32, slot: u32) -> SimulatedGpu {
        SimulatedGpu::grow(self.seed, &self.nvidia, model, node, slot)
    }

    /// One NVSwitch by itself.
    #[must_use]
    pub fn switch(&self, node: u32, slot: u32) -> SimulatedSwitch {
        SimulatedSwitch::grow(self.seed, &self.nvidia, node, slot)
    }

    /// Everything that the world's nodes need to be judged: collateral, and the manifests of their GPUs' firmware.
    #[must_use]
    pub fn endorsements(&self) -> Vec<Vec<u8>> {
        let rims = self.gpu_rims().map(|options| self.rim_signer().rim(&options));
        std::iter::once(self.collateral_json()).chain(rims).collect()
    }

    /// What the manifests of every GPU's firmware say: driver, then VBIOS.
    #[must_use]
    pub fn gpu_rims(&self) -> [RimOptions; 2] {
        let gpu = self.gpu(0, 0);
        let mut measurements = gpu.options().measurements.clone();
        measurements[NVDEC0_INDEX] = self.seed.measurement("nvidia/nvdec0");
        let driver = &gpu.options().driver_version;
        [
            RimOptions::allowing("GPU", "GH100", driver, &measurements, &DRIVER_INDEXES),
            RimOptions::allowing("GPU", "GH100", &gpu.options().vbios_text(), &measurements, &VBIOS_INDEXES),
        ]
    }

    /// What the manifest of every switch's firmware says.
    #[must_use]
    pub fn switch_rim(&self) -> RimOptions {
        let switch = self.switch(0, 0);
        let (bios, measurements) = (&switch.options().bios_version, &switch.options().measurements);
        RimOptions::allowing("SWITCH", "LS10", bios, measurements, &(0..measurements.len()).collect::<Vec<_>>())
    }

    /// Whoever signs manifests.
    #[must_use]
    pub fn rim_signer(&self) -> RimSigner {
        self.nvidia.rim.signer(self.seed, self.validity)
    }

    /// The same key under a certificate of other dates.
    #[must_use]
    pub fn rim_signer_between(&self, from: UnixMillis, until: UnixMillis) -> RimSigner {
        self.nvidia.rim.signer(self.seed, Validity { from: pki::instant(from), until: pki::instant(until) })
    }

    /// A responder's answer about a certificate.
    #[must_use]
    pub fn ocsp(&self, about: Certified, options: &OcspOptions) -> Vec<u8> {
        let (issuer, serial) = self.issued(about);
        let asked = Asked { issuer, serial, foreign: &self.nvidia.root };
        ocsp::response(self.seed, &asked, options, self.validity)
    }

    /// A responder's refusal, such as `unauthorized` (6).
    #[must_use]
    pub fn ocsp_refusal(&self, status: u8) -> Vec<u8> {
        ocsp::refusal(status)
    }

    /// Good, made an hour before the world's instant, good for a day.
    #[must_use]
    pub fn ocsp_options(&self) -> OcspOptions {
        let made = UnixMillis(self.now.0.saturating_sub(DAY_MILLIS / 24));
        OcspOptions {
            status: OcspStatus::Good,
            hash: OcspHash::Sha384,
            produced: made,
            this_update: made,
            next_update: Some(UnixMillis(made.0 + DAY_MILLIS)),
            signer: OcspSigner::Delegate,
            by_key: false,
            serial_off_by: 0,
            critical: false,
        }
    }

    /// A revocation list of a certificate's issuer that holds for 30 days; it lists the certificate, for good or for now,
    /// or not.
    #[must_use]
    pub fn nvidia_crl(&self, about: Certified, status: OcspStatus) -> Vec<u8> {
        let (issuer, serial) = self.issued(about);
        let until = UnixMillis(self.now.0 + COLLATERAL_DAYS * DAY_MILLIS);
        let validity = Validity { from: pki::instant(days_before(self.now, 1)), until: pki::instant(until) };
        match status {
            OcspStatus::Revoked => issuer.revocation_list(validity, &[serial]),
            OcspStatus::OnHold => issuer.revocation_list_for(validity, &[serial], RevocationReason::CertificateHold),
            OcspStatus::Good | OcspStatus::Unknown => issuer.revocation_list(validity, &[]),
        }
    }

    /// Issuer and serial number of a certificate.
    fn issued(&self, certified: Certified) -> (&CertificateAuthority<P384Key>, Vec<u8>) {
        let NvidiaPki { root, identity, provisioner, rim, .. } = &self.nvidia;
        let serial = |authority: &CertificateAuthority<P384Key>| pki::serial_of(authority.key()).to_vec();
        match certified {
            Certified::Brom(node, slot) => (provisioner, self.gpu(node, slot).brom_serial()),
            Certified::Provisioner => (identity, serial(provisioner)),
            Certified::Identity => (root, serial(identity)),
            Certified::RimSigner => (&rim.intermediate, RimPki::signer_serial(self.seed)),
            Certified::RimIntermediate => (&rim.authority, serial(&rim.intermediate)),
            Certified::RimAuthority => (&rim.root, serial(&rim.authority)),
        }
    }

    /// The time authority. All callers share one, so that no nonce is told twice.
    #[must_use]
    pub fn time_authority(&self) -> TimeAuthority {
        self.authority.clone()
    }

    /// The RFC 3161 timestamp authority.
    #[must_use]
    pub fn timestamp_authority(&self) -> TimestampAuthority {
        self.timestamps.clone()
    }

    /// Collateral for every TDX platform of this world, as `QuoteCollateralV3` JSON.
    #[must_use]
    pub fn collateral_json(&self) -> Vec<u8> {
        self.collateral_json_with(&self.collateral_options())
    }

    /// Collateral with other dates or revocations, signed all the same.
    #[must_use]
    pub fn collateral_json_with(&self, options: &CollateralOptions) -> Vec<u8> {
        collateral::collateral_json(&self.intel, self.seed, options)
    }

    /// Issued a day before the world's instant, good for 30 days after it, nothing revoked.
    #[must_use]
    pub fn collateral_options(&self) -> CollateralOptions {
        let issued = days_before(self.now, 1);
        let next_update = UnixMillis(self.now.0 + COLLATERAL_DAYS * DAY_MILLIS);
        CollateralOptions { issued, next_update, crl_issued: issued, crl_next_update: next_update, revoked: Vec::new() }
    }

    /// DER of the Intel-like root.
    #[must_use]
    pub fn intel_root(&self) -> Vec<u8> {
        self.intel.root.der()
    }

    /// DER of the NVIDIA-like device root.
    #[must_use]
    pub fn nvidia_root(&self) -> Vec<u8> {
        self.nvidia.root.der()
    }

    /// The anchors a Verifier must be handed; nobody trusts this world without them.
    #[must_use]
    pub fn trust_roots(&self) -> Vec<AnchorFile> {
        let certificate = |pem: String| ("certificate_pem", pem);
        vec![
            self.anchor(
                "intel-sgx-root.anchor.json",
                "intel-sgx-root",
                certificate(self.intel.root.certificate().pem()),
            ),
            self.anchor(
                "nvidia-device-root.anchor.json",
                "nvidia-device-root",
                certificate(self.nvidia.root.certificate().pem()),
            ),
            self.anchor(
                "nvidia-rim-root.anchor.json",
                "nvidia-rim-root",
                certificate(self.nvidia.rim.root.certificate().pem()),
            ),
            self.anchor("time-authority.anchor.json", "time-authority", ("key", self.authority.key().to_string())),
            self.anchor(
                "timestamp-authority-root.anchor.json",
                "timestamp-authority-root",
                certificate(self.timestamps.root_pem()),
            ),
        ]
    }

    /// Writes the anchors into a folder, which it makes if needed.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write_trust_roots(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for AnchorFile { name, bytes } in self.trust_roots() {
            fs::write(folder.join(name), bytes)?;
        }
        Ok(())
    }

    fn anchor(&self, file: &'static str, kind: &str, (field, trusted): (&str, String)) -> AnchorFile {
        let anchor = json!({
            "format": "weighbridge/trust-anchor/v1",
            "name": format!("simulated {kind}"),
            "grade": "simulated",
            "kind": kind,
            field: trusted,
        });
        let text = serde_json::to_string_pretty(&anchor).expect("strings are JSON");
        AnchorFile { name: file, bytes: (text + "\n").into_bytes() }
    }
}

fn days_before(now: UnixMillis, days: u64) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(days * DAY_MILLIS))
}

fn years_after(now: UnixMillis) -> time::OffsetDateTime {
    pki::instant(UnixMillis(now.0 + CERTIFICATE_DAYS * DAY_MILLIS))
}
