//! **Duty.** Makes what the checks found a `Verified`. **Spec.** HOUSE §3 (one constructor per rung).

use weighbridge_attest_types::{PlatformClaims, TrustAnchors, UnixMillis};

use crate::endorsements::Endorsements;
use crate::error::EvidenceError;
use crate::nvidia::{Evidence, check};
use crate::verified::Verified;

pub(super) fn verify(
    evidence: &Evidence<'_>,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let claims = check(evidence, endorsements, anchors, now)?;
    Ok(Verified::assertion(claims))
}
