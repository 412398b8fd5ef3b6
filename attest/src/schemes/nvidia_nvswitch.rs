//! **Duty.** NVIDIA NVSwitch attestation reports, LS10. **Does not know** which GPUs stand beside a switch:
//! `nvidia_topology` compares. **Spec.** EVIDENCE §1; what is common with GPUs is in `nvidia`.

mod verify;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::nvidia::{Evidence, NvidiaFile, Part, recognise};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(super) struct NvidiaSwitch;

impl Scheme for NvidiaSwitch {
    const KIND: &'static str = EvidenceKind::NVIDIA_NVSWITCH;
    type Evidence<'a> = Evidence<'a>;
    type Endorsement = NvidiaFile;

    fn parse(raw: RawEvidence<'_>) -> Result<Evidence<'_>, EvidenceError> {
        Evidence::parse(Part::Switch, raw)
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        Evidence::canonical(Part::Switch, body)
    }

    /// The GPU's line in the table comes first and has recognised them already.
    fn recognise(bytes: &[u8]) -> Option<Result<NvidiaFile, Failure>> {
        recognise(bytes)
    }

    fn verify(
        evidence: &Evidence<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError> {
        verify::verify(evidence, endorsements, anchors, now)
    }
}
