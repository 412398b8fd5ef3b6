//! **Duty.** The steps of Intel's procedure, in order: PCK chain and signatures, collateral, TCB, two more readers. Each
//! step lists all its failures; a later step runs only on what the earlier ones vouch for. **Spec.** EVIDENCE §2.2–2.6.

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use weighbridge_attest_types::{
    EventLogClaims, EventLogState, PlatformClaims, TcbStatus, TrustAnchors, UnixMillis, sha256,
};
use x509_parser::prelude::X509Certificate;

use super::pck::read_facts;
use super::quote::TdxQuote;
use super::{TdxFile, agree, claims, collateral, tcb};
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure, untrusted_if_any};
use crate::verified::Verified;
use crate::x509::{Curve, Window, parse_chain, public_point};

pub(super) fn verify(
    quote: &TdxQuote<'_>,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    // 1. Own signature checks (§2.2: 1, 3, 4).
    let certificates = parse_chain(&quote.pck_chain).map_err(untrusted)?;
    let mut window = Window::new(now);
    let mut failures = Vec::new();
    let known = endorsements.known_chains();
    let path = known.check_path(&certificates, Curve::P256, &anchors.intel, &mut window);
    let path = path.map_err(|found| failures.extend(found)).ok();
    failures.extend(check_signatures(quote, &certificates));
    let pck = certificates.first().map(read_facts).transpose();
    let pck = pck.map_err(|failure| failures.push(failure)).ok().flatten();
    untrusted_if_any(failures)?;
    let (Some(path), Some(pck)) = (path, pck) else {
        return Err(untrusted(Failure::new("chain-length", "the quote has no PCK chain")));
    };

    // 2. Collateral: revocation and Intel's statements (§2.2: 2, §2.3).
    let collateral = collateral::select(endorsements, &path, &pck, now)?;

    // 3. TCB status (§2.4). A revoked platform's keys are worth nothing; every other status is policy's.
    let evaluation = tcb::evaluate(collateral.info, collateral.identity, &pck, &quote.report, &quote.qe_report);
    let evaluation = evaluation.map_err(EvidenceError::Untrusted)?;
    if evaluation.status == TcbStatus::Revoked {
        return Err(untrusted(Failure::new("tcb-revoked", "Intel has revoked this TCB")));
    }

    // 4. The other two readers (§2.6).
    let until = window.until().min(collateral.window.until());
    let open = agree::check(quote, &path, &pck, until, &collateral, &evaluation).map_err(EvidenceError::Untrusted)?;

    // 5. What an event log says about the registers (§2.7); the quote holds without one.
    let event_log = replay(endorsements, &quote.report.td10.rtmr);
    let (path, pck, window, collateral) = (&path, &pck, &window, &collateral);
    let checked = claims::Checked { quote, path, pck, window, collateral, evaluation, event_log };
    Ok(Verified::assertion(claims::claims(checked, open)))
}

/// Of the logs that came along, perhaps for many nodes, the one that leads to these registers and explains most of them.
fn replay(endorsements: &Endorsements, rtmr: &[[u8; 48]; 4]) -> EventLogClaims {
    let mut best: Option<EventLogClaims> = None;
    let explained = |log: &EventLogClaims| log.explained.iter().filter(|explained| **explained).count();
    for log in endorsements.readable_as::<TdxFile>().filter_map(TdxFile::as_event_log) {
        let found = log.against(rtmr);
        let better = best
            .as_ref()
            .is_none_or(|best| best.state != EventLogState::Replayed || explained(best) < explained(&found));
        if better && (best.is_none() || found.state == EventLogState::Replayed) {
            best = Some(found);
        }
    }
    let unreadable = endorsements.unreadable_as::<TdxFile>().any(|failure| failure.code == "event-log-unreadable");
    let without = if unreadable { EventLogState::Untrusted } else { EventLogState::Missing };
    best.unwrap_or_else(|| EventLogClaims::none(without))
}

/// PCK over the QE report, QE report over the attestation key, attestation key over the quote, all as received.
fn check_signatures(quote: &TdxQuote<'_>, certificates: &[X509Certificate<'_>]) -> Vec<Failure> {
    let mut failures = Vec::new();
    let pck = certificates.first().map(public_point).unwrap_or_default();
    if !signed(pck, &quote.qe_report_bytes, &quote.qe_signature) {
        failures.push(Failure::new("qe-report-signature", "the PCK has not signed the QE report"));
    }
    let bound = sha256(&[&quote.attestation_key, quote.qe_auth].concat());
    let wanted = [bound.0, [0; 32]].concat();
    if quote.qe_report.report_data != wanted.as_slice() {
        let message = "the QE report is about another attestation key or authentication data";
        failures.push(Failure::new("qe-report-data", message));
    }
    let point = [&[4][..], &quote.attestation_key].concat();
    if !signed(&point, quote.signed(), &quote.signature) {
        failures.push(Failure::new("quote-signature", "the attestation key has not signed the quote"));
    }
    failures
}

fn signed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
}

fn untrusted(failure: Failure) -> EvidenceError {
    EvidenceError::Untrusted(failure.into())
}
