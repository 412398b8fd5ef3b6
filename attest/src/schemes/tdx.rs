//! **Duty.** Intel TDX quotes, versions 4 and 5, read by three readers that must agree: our own checks with ring,
//! `dcap-qvl` and `tdx-quote`; and event logs over its registers. **Does not know** policy: debug, service TDs and TCB
//! statuses are claims.
//! **Spec.** EVIDENCE §2.1–2.4, §2.6–2.7.

mod agree;
mod body;
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
use crate::event_log::{self, EventLog};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

pub(super) struct Tdx;

/// A file that belongs to TDX.
#[derive(Debug)]
pub(super) enum TdxFile {
    /// Intel's statements.
    Collateral(Box<collateral::Candidate>),
    /// Nobody's word; the registers tell whether it is true.
    EventLog(Box<EventLog>),
}

impl TdxFile {
    fn as_collateral(&self) -> Option<&collateral::Candidate> {
        match self {
            Self::Collateral(candidate) => Some(candidate),
            Self::EventLog(_) => None,
        }
    }

    fn as_event_log(&self) -> Option<&EventLog> {
        match self {
            Self::EventLog(log) => Some(log),
            Self::Collateral(_) => None,
        }
    }
}

impl Scheme for Tdx {
    const KIND: &'static str = EvidenceKind::TDX;
    const CHAIN_BESIDE: bool = false;
    type Evidence<'a> = quote::TdxQuote<'a>;
    type Endorsement = TdxFile;

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

    fn recognise(bytes: &[u8]) -> Option<Result<TdxFile, Failure>> {
        if let Some(read) = collateral::recognise(bytes) {
            return Some(read.map(|candidate| TdxFile::Collateral(Box::new(candidate))));
        }
        Some(event_log::recognise(bytes)?.map(|log| TdxFile::EventLog(Box::new(log))))
    }

    fn describe(endorsement: &TdxFile) -> Vec<VendorStatement> {
        match endorsement {
            TdxFile::Collateral(candidate) => candidate.describe(),
            // Registers alone tell whether it is true.
            TdxFile::EventLog(log) => vec![VendorStatement::timeless("event log", &log.describe())],
        }
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
