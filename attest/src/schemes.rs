//! **Duty.** THE table of schemes: one line each, walked by [`verify`]. **Spec.** HOUSE §4 (Add a TEE).

mod nvidia_gpu;
mod nvidia_nvswitch;
mod sev_snp;
mod tdx;

use weighbridge_attest_types::{EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use crate::endorsements::{Endorsements, Recognised};
use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(crate) use self::sev_snp::check_root as check_amd_root;

static SCHEMES: &[Entry] = &[
    entry::<nvidia_gpu::NvidiaGpu>(),
    entry::<nvidia_nvswitch::NvidiaSwitch>(),
    entry::<sev_snp::SevSnp>(),
    entry::<tdx::Tdx>(),
];

/// Verifies one piece of evidence: is it genuine at `now`, under which anchor, and what does it say? The endorsements are
/// taken to be for this piece alone; for a fleet, see [`crate::verify_set_with`].
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
    verify_with(kind, raw, &Endorsements::recognise(endorsements).addressed(), anchors, now)
}

/// The same with endorsements that were parsed before.
pub(crate) fn verify_with(
    kind: &EvidenceKind,
    raw: RawEvidence<'_>,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    (find(kind)?.verify)(raw, endorsements, anchors, now)
}

/// Everything that can be said before any signature; returns the part of the body that counts.
pub(crate) fn check_structure<'a>(kind: &EvidenceKind, raw: RawEvidence<'a>) -> Result<&'a [u8], EvidenceError> {
    (find(kind)?.structure)(raw)
}

/// The first scheme that knows an endorsement as its own.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Recognised> {
    SCHEMES.iter().find_map(|entry| (entry.recognise)(bytes))
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
    fn(RawEvidence<'_>, &Endorsements, &TrustAnchors, UnixMillis) -> Result<Verified<PlatformClaims>, EvidenceError>;

struct Entry {
    kind: &'static str,
    verify: Verify,
    structure: for<'a> fn(RawEvidence<'a>) -> Result<&'a [u8], EvidenceError>,
    canonical: for<'a> fn(&'a [u8]) -> Result<&'a [u8], EvidenceError>,
    recognise: fn(&[u8]) -> Option<Recognised>,
}

const fn entry<S: Scheme>() -> Entry {
    Entry {
        kind: S::KIND,
        verify: parse_and_verify::<S>,
        structure: parse_only::<S>,
        canonical: S::canonical,
        recognise: recognise_as::<S>,
    }
}

fn parse_and_verify<S: Scheme>(
    raw: RawEvidence<'_>,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let evidence = S::parse(raw)?;
    endorsements.within_budget()?;
    S::verify(&evidence, endorsements, anchors, now)
}

fn parse_only<S: Scheme>(raw: RawEvidence<'_>) -> Result<&[u8], EvidenceError> {
    S::parse(raw)?;
    S::canonical(raw.body)
}

fn recognise_as<S: Scheme>(bytes: &[u8]) -> Option<Recognised> {
    S::recognise(bytes).map(Recognised::new)
}

fn find(kind: &EvidenceKind) -> Result<&'static Entry, EvidenceError> {
    let found = SCHEMES.iter().find(|entry| entry.kind == kind.as_str());
    found.ok_or_else(|| {
        let known = kinds().collect::<Vec<_>>().join(", ");
        let message = format!("evidence kind {:?} is not known here; known are {known}", kind.as_str());
        EvidenceError::Unsupported(Failure::new("kind-unknown", message).into())
    })
}
