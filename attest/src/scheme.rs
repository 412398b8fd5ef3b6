//! **Duty.** The only contract a TEE must meet. **Does not know** any TEE, policy, clock or network.

use std::any::Any;

use weighbridge_attest_types::{PlatformClaims, TrustAnchors, UnixMillis};

use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::verified::Verified;

/// Evidence as received: bytes, and the device's certificate chain where it travels apart from them.
#[derive(Debug, Clone, Copy)]
pub struct RawEvidence<'a> {
    /// The quote or report.
    pub body: &'a [u8],
    /// DER certificates, leaf first; empty where the chain is inside the body (TDX).
    pub certificates: &'a [Vec<u8>],
}

/// One TEE technology, seen from the Verifier's side.
pub(crate) trait Scheme {
    /// Name of the evidence format.
    const KIND: &'static str;
    /// Whether the device's certificate chain travels beside the evidence ([`RawEvidence::certificates`]).
    const CHAIN_BESIDE: bool;
    /// Parsed, still a rumour.
    type Evidence<'a>;
    /// A vendor's statement about this TEE, parsed and still a rumour.
    type Endorsement: Any + Send + Sync;

    /// Structure and size only: whatever can be refused before any signature.
    fn parse(raw: RawEvidence<'_>) -> Result<Self::Evidence<'_>, EvidenceError>;

    /// The part of the body that counts: what digests are taken over.
    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError>;

    /// Knows its own endorsements by their content; what it knows it must also be able to read.
    fn recognise(bytes: &[u8]) -> Option<Result<Self::Endorsement, Failure>>;

    /// What an endorsement of this scheme says about itself; nothing of it was checked.
    fn describe(endorsement: &Self::Endorsement) -> Vec<VendorStatement>;

    /// Signatures, chain, endorsements and inner binding; the only place in a scheme that makes a [`Verified`].
    fn verify(
        evidence: &Self::Evidence<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError>;
}
