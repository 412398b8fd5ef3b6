//! **Duty.** NVIDIA evidence under self-made, simulated authorities: what no capture shows. Each attack has its exact
//! refusal, and what only looks like one is accepted. **Does not know** real captures (`real_nvidia`).
//! **Spec.** EVIDENCE §1.5–1.9, §7.3.

mod devices;
mod manifests;
mod mutations;
mod revocation;
mod sets;
mod xmlsec;

use weighbridge_attest::{EvidenceError, RawEvidence, Verified, verify};
use weighbridge_attest_types::{
    Culprit, EvidenceKind, NvidiaClaims, PlatformClaims, ReferenceStatus, TrustAnchors, UnixMillis,
};
use weighbridge_tests_simulator::{GpuReportOptions, World};

use crate::support::anchors_of;

const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const NONCE: [u8; 32] = [3; 32];

type Verdict = Result<Verified<PlatformClaims>, EvidenceError>;

/// One GPU of a simulated world, and what is handed over with its report.
struct Scene {
    world: World,
    anchors: TrustAnchors,
    report: Vec<u8>,
    endorsements: Vec<Vec<u8>>,
    at: UnixMillis,
}

impl Scene {
    /// The manifests of driver and VBIOS, nothing else: all of it holds.
    fn new() -> Self {
        let world = World::new(41, NOW);
        let endorsements = world.gpu_rims().map(|options| world.rim_signer().rim(&options)).to_vec();
        let (anchors, report) = (anchors_of(&world), world.gpu(0, 0).report(NONCE));
        Self { world, anchors, report, endorsements, at: NOW }
    }

    fn with_report(mut self, change: impl FnOnce(&mut GpuReportOptions)) -> Self {
        let gpu = self.world.gpu(0, 0);
        let mut options = gpu.options().clone();
        change(&mut options);
        self.report = gpu.report_with(&options, NONCE);
        self
    }

    fn and(mut self, file: impl Into<Vec<u8>>) -> Self {
        self.endorsements.push(file.into());
        self
    }

    /// Another manifest in place of the driver's.
    fn with_driver(mut self, file: impl Into<Vec<u8>>) -> Self {
        self.endorsements[0] = file.into();
        self
    }

    fn verify(&self) -> Verdict {
        let gpu = self.world.gpu(0, 0);
        let raw = RawEvidence { body: &self.report, certificates: gpu.certificates() };
        verify(&EvidenceKind::new("nvidia-gpu"), raw, &self.endorsements, &self.anchors, self.at)
    }

    fn claims(&self) -> NvidiaClaims {
        *self.verify().unwrap().claims().nvidia.clone().expect("claims of the kind")
    }

    fn status(&self) -> (ReferenceStatus, Vec<u8>) {
        let values = self.claims().reference_values;
        (values.status(), values.mismatch_indexes())
    }

    fn open(&self) -> Vec<String> {
        let claims = self.verify().unwrap().claims().clone();
        claims.not_checked.into_iter().map(|open| open.code).collect()
    }

    #[track_caller]
    fn refused(&self) -> Vec<&'static str> {
        let error = self.verify().unwrap_err();
        assert_eq!(error.culprit(), Culprit::Untrusted, "{error}");
        error.failures().iter().map(|failure| failure.code).collect()
    }
}
