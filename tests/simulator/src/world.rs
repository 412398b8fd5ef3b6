//! **Duty.** One simulated world: its roots, its nodes, its collateral, its time authority, all from a seed and an
//! instant. Another seed is a foreign world whose roots this one does not know. **Does not know** what is done with it.

use std::path::Path;
use std::{fs, io};

use serde_json::json;
use weighbridge_attest_types::UnixMillis;

use crate::authority::TimeAuthority;
use crate::collateral::{self, CollateralOptions, IntelCertificate};
use crate::intel::{IntelPki, IntelValidity, PlatformTcb};
use crate::keys::Seed;
use crate::node::SimulatedNode;
use crate::nvidia::{NvidiaPki, SimulatedGpu};
use crate::pki::{self, Validity};
use crate::tdx::{TdxOptions, TdxPlatform};
use crate::timestamp::TimestampAuthority;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Archived bundles must verify years later.
const CERTIFICATE_DAYS: u64 = 10 * 365;
/// Intel's own collateral lives 30 days.
const COLLATERAL_DAYS: u64 = 30;

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
}

impl World {
    /// Grows a world. Keys and identities follow from `seed` alone; dates also from `now`.
    #[must_use]
    pub fn new(seed: u64, now: UnixMillis) -> Self {
        let seed = Seed(seed);
        let validity = usual_validity(now);
        Self {
            seed,
            now,
            intel: IntelPki::grow(seed, IntelValidity::all(validity)),
            nvidia: NvidiaPki::grow(seed, validity),
            authority: TimeAuthority::grow(seed),
            timestamps: TimestampAuthority::grow(seed, validity),
        }
    }

    /// The same world, but that one kind of Intel-like certificate holds from `from` to `until` alone.
    #[must_use]
    pub fn with_certificate_window(self, which: IntelCertificate, from: UnixMillis, until: UnixMillis) -> Self {
        let own = Validity { from: pki::instant(from), until: pki::instant(until) };
        let validity = IntelValidity::all(usual_validity(self.now)).with(which, own);
        Self { intel: IntelPki::grow(self.seed, validity), ..self }
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
        SimulatedGpu::grow(self.seed, &self.nvidia, node, slot)
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
        CollateralOptions {
            issued,
            next_update,
            crl_issued: issued,
            crl_next_update: next_update,
            revoked: Vec::new(),
            revoked_by_root: Vec::new(),
            windows: Vec::new(),
            edits: Vec::new(),
        }
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

fn usual_validity(now: UnixMillis) -> Validity {
    Validity { from: pki::instant(days_before(now, 1)), until: years_after(now) }
}

fn days_before(now: UnixMillis, days: u64) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(days * DAY_MILLIS))
}

fn years_after(now: UnixMillis) -> time::OffsetDateTime {
    pki::instant(UnixMillis(now.0 + CERTIFICATE_DAYS * DAY_MILLIS))
}
