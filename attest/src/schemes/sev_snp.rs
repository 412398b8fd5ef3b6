//! **Duty.** AMD SEV-SNP reports, versions 2 to 5, of Milan, Genoa and Turin, under VCEK and VLEK: own checks over the
//! raw bytes with ring, and the `sev` crate as a second reader that must agree. **Does not know** policy: debug,
//! migration, TCBs and launch values are claims. **Spec.** EVIDENCE §3.

mod agree;
mod chain;
mod claims;
mod endorsement;
mod report;
mod revocation;
mod table;
mod vek;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

pub(crate) use self::chain::check_root;

use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(super) struct SevSnp;

impl Scheme for SevSnp {
    const KIND: &'static str = EvidenceKind::SEV_SNP;
    const CHAIN_BESIDE: bool = false;
    type Evidence<'a> = report::SnpReport<'a>;
    type Endorsement = endorsement::AmdFile;

    fn parse(raw: RawEvidence<'_>) -> Result<report::SnpReport<'_>, EvidenceError> {
        if !raw.certificates.is_empty() {
            let message = "the certificates of an SEV-SNP report are endorsements; none may come beside it";
            return Err(EvidenceError::Malformed(Failure::new("snp-certificates", message).into()));
        }
        report::SnpReport::parse(raw.body)
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        Ok(report::SnpReport::parse(body)?.canonical())
    }

    fn recognise(bytes: &[u8]) -> Option<Result<endorsement::AmdFile, Failure>> {
        endorsement::recognise(bytes)
    }

    fn describe(endorsement: &endorsement::AmdFile) -> Vec<VendorStatement> {
        endorsement.describe()
    }

    fn verify(
        evidence: &report::SnpReport<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError> {
        verify::verify(evidence, endorsements, anchors, now)
    }
}
