//! **Duty.** NVIDIA GPU attestation reports, Hopper and Blackwell. **Does not know** whether CC mode is on: the report
//! does not say. **Spec.** EVIDENCE §1; what is common with switches is in `nvidia`.

mod verify;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::nvidia::{Evidence, NvidiaFile, Part, recognise};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(super) struct NvidiaGpu;

impl Scheme for NvidiaGpu {
    const KIND: &'static str = EvidenceKind::NVIDIA_GPU;
    type Evidence<'a> = Evidence<'a>;
    type Endorsement = NvidiaFile;

    fn parse(raw: RawEvidence<'_>) -> Result<Evidence<'_>, EvidenceError> {
        Evidence::parse(Part::Gpu, raw)
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        Evidence::canonical(Part::Gpu, body)
    }

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
