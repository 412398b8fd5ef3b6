//! **Duty.** THE table of schemes: one line each, walked by [`verify`]. **Spec.** HOUSE §4 (Add a TEE).

mod nvidia_gpu;
mod tdx;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

static SCHEMES: &[Entry] = &[entry::<nvidia_gpu::NvidiaGpu>(), entry::<tdx::Tdx>()];

/// Verifies one piece of evidence: is it genuine at `now`, under which anchor, and what does it say?
///
/// # Errors
/// [`EvidenceError`] with every failure found in its class. A status such as an old TCB is a claim, not an error.
pub fn verify(
    kind: &EvidenceKind,
    raw: RawEvidence<'_>,
    endorsements: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    (find(kind)?.verify)(raw, endorsements, anchors, now)
}

/// The part of a body that counts: without what drivers append behind it. Digests are taken over exactly this slice.
///
/// # Errors
/// [`EvidenceError::Malformed`] or [`EvidenceError::Unsupported`].
pub fn canonical_slice<'a>(kind: &EvidenceKind, body: &'a [u8]) -> Result<&'a [u8], EvidenceError> {
    (find(kind)?.canonical)(body)
}

/// Names of all evidence formats that can be verified.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    SCHEMES.iter().map(|entry| entry.kind)
}

type Verify =
    fn(RawEvidence<'_>, &[Vec<u8>], &TrustAnchors, UnixMillis) -> Result<Verified<PlatformClaims>, EvidenceError>;

struct Entry {
    kind: &'static str,
    verify: Verify,
    canonical: for<'a> fn(&'a [u8]) -> Result<&'a [u8], EvidenceError>,
}

const fn entry<S: Scheme>() -> Entry {
    Entry { kind: S::KIND, verify: parse_and_verify::<S>, canonical: S::canonical }
}

fn parse_and_verify<S: Scheme>(
    raw: RawEvidence<'_>,
    endorsements: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    S::verify(&S::parse(raw)?, endorsements, anchors, now)
}

fn find(kind: &EvidenceKind) -> Result<&'static Entry, EvidenceError> {
    let found = SCHEMES.iter().find(|entry| entry.kind == kind.as_str());
    found.ok_or_else(|| {
        let known = kinds().collect::<Vec<_>>().join(", ");
        let message = format!("evidence kind {:?} is not known here; known are {known}", kind.as_str());
        EvidenceError::Unsupported(Failure::new("kind-unknown", message).into())
    })
}
