//! **Duty.** Intel TDX quotes, versions 4 and 5, read by three readers that must agree: our own checks with ring,
//! `dcap-qvl` and `tdx-quote`. **Does not know** policy: debug, service TDs and TCB statuses are claims.
//! **Spec.** EVIDENCE §2.1–2.4, §2.6.

mod agree;
mod claims;
mod collateral;
mod pck;
mod quote;
mod tcb;
mod verify;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(super) struct Tdx;

impl Scheme for Tdx {
    const KIND: &'static str = EvidenceKind::TDX;
    const CHAIN_BESIDE: bool = false;
    type Evidence<'a> = quote::TdxQuote<'a>;
    type Endorsement = collateral::Candidate;

    fn parse(raw: RawEvidence<'_>) -> Result<quote::TdxQuote<'_>, EvidenceError> {
        if !raw.certificates.is_empty() {
            let message = "a TDX quote carries its own certificates; none may come beside it";
            return Err(EvidenceError::Malformed(Failure::new("tdx-certificates", message).into()));
        }
        quote::TdxQuote::parse(raw.body)
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        Ok(quote::TdxQuote::parse(body)?.canonical())
    }

    fn recognise(bytes: &[u8]) -> Option<Result<collateral::Candidate, Failure>> {
        collateral::recognise(bytes)
    }

    fn describe(endorsement: &collateral::Candidate) -> Vec<VendorStatement> {
        endorsement.describe()
    }

    fn verify(
        evidence: &quote::TdxQuote<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError> {
        verify::verify(evidence, endorsements, anchors, now)
    }
}
