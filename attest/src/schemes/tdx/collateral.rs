//! **Duty.** Intel's signed statements about a platform: found among the endorsements by content, checked by own code,
//! and handed to dcap-qvl for its reading. The only module that names dcap-qvl. **Does not know** where they were
//! fetched. **Spec.** EVIDENCE §2.2 (2), §2.3, §2.6; docs/decisions/0065 (what is worked out once).

mod lists;
mod reading;
mod signed;

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use weighbridge_attest_types::{CertificateAnchor, UnixMillis};

pub(super) use self::reading::DcapReading;

use self::lists::Revocations;
use self::reading::reading;
use self::signed::Signed;
use super::TdxFile;
use super::pck::PckFacts;
use super::quote::TdxQuote;
use super::tcb::{QeIdentity, TcbInfo};
use crate::anchors::INTEL_SGX_ROOT;
use crate::budget::{MAX_COLLATERAL_BYTES, MAX_COLLATERAL_CANDIDATES};
use crate::crl::RevocationList;
use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure, Failures};
use crate::pem::pem_certificates;
use crate::x509::{TrustedPath, Window, parse_date};

/// Code of a file that is collateral by its keys and by nothing else.
const UNREADABLE: &str = "collateral-unreadable";

/// Code of the failure that no other collateral can heal.
const REVOKED: &str = "revoked";

/// Collateral that is signed, current, not revoked, and about this platform.
#[derive(Debug)]
pub(super) struct CheckedCollateral<'e> {
    raw: &'e QuoteCollateralV3,
    pub(super) info: &'e TcbInfo,
    pub(super) identity: &'e QeIdentity,
    /// With everything of this collateral admitted, and nothing else.
    pub(super) window: Window,
    crl_ends: [UnixMillis; 2],
}

/// Finds the collateral of the platform's FMSPC, checks every candidate, and takes the one with the highest TCB
/// evaluation number, then the latest: an older archive beside it must not soften the verdict. For the same reason a
/// certificate that any current list revokes is refused, even if the list beside it does not know yet, and whichever
/// platform the list came along for: lists are an authority's, not a platform's.
pub(super) fn select<'e>(
    endorsements: &'e Endorsements,
    path: &TrustedPath<'_, '_>,
    pck: &PckFacts,
    now: UnixMillis,
) -> Result<CheckedCollateral<'e>, EvidenceError> {
    let candidates = endorsements.readable_as::<TdxFile>().filter_map(TdxFile::as_collateral);
    let (ours, others): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.partition(|candidate| candidate.fmspc == pck.fmspc);
    if ours.is_empty() {
        let unreadable = endorsements.unreadable_as::<TdxFile>().filter(|failure| failure.code == UNREADABLE).cloned();
        return Err(Failures::collect(unreadable).map_or_else(|| missing(&others, pck), EvidenceError::Untrusted));
    }
    if ours.len() > MAX_COLLATERAL_CANDIDATES {
        let message = format!("{} collaterals of one platform; give at most {MAX_COLLATERAL_CANDIDATES}", ours.len());
        return Err(EvidenceError::Untrusted(Failure::new("collateral-too-many", message).into()));
    }
    let revocations = Revocations::gather(ours.iter().chain(&others).copied(), path, now);
    let mut best: Option<CheckedCollateral<'_>> = None;
    let mut failures = Vec::new();
    for candidate in ours {
        match check(candidate, path, pck, &revocations, Window::new(now)) {
            Ok(checked) if best.as_ref().is_none_or(|best| best.age() < checked.age()) => best = Some(checked),
            Ok(_) => {}
            Err(found) => failures.extend(found),
        }
    }
    let Some(best) = best else {
        return Err(Failures::collect(failures).map_or_else(|| missing(&[], pck), EvidenceError::Untrusted));
    };
    let revoked = Failures::collect(revocations.of_chain(path.certificates()));
    revoked.map_or(Ok(best), |revoked| Err(EvidenceError::Untrusted(revoked)))
}

impl CheckedCollateral<'_> {
    /// Newer is greater.
    fn age(&self) -> (u32, Option<UnixMillis>) {
        (self.evaluation_number(), parse_date(&self.info.issue_date))
    }

    /// The lower of both statements.
    pub(super) fn evaluation_number(&self) -> u32 {
        self.info.tcb_evaluation_data_number.min(self.identity.tcb_evaluation_data_number)
    }

    /// dcap-qvl's reading of the quote with this collateral, or its refusal in its own words. Debug and service TDs are
    /// let through, because policy decides about them; other TD attributes it refuses by itself, as its last step.
    pub(super) fn dcap_reading(&self, quote: &TdxQuote<'_>, anchor: &CertificateAnchor) -> Result<DcapReading, String> {
        let verifier = match (&anchor.der, anchor.spki_sha256 == INTEL_SGX_ROOT) {
            (_, true) => QuoteVerifier::new_prod(),
            (Some(der), false) => QuoteVerifier::new(der.clone()),
            (None, false) => return Err(format!("anchor `{}` has no certificate to start from", anchor.name)),
        };
        let now = self.dcap_seconds();
        verifier
            .allow_debug(true)
            .allow_service_td(true)
            .verify_with_policy(quote.canonical(), self.raw.clone(), now, &QuotePolicy::claims_only(now))
            .map_err(|refusal| refusal.root_cause().to_string())
            .and_then(|claims| reading(&claims))
    }

    /// Both ends of a validity count (EVIDENCE §0 rule 2), and own code has checked them. dcap-qvl takes a revocation
    /// list's `nextUpdate` as already past: within that one second it is asked about the second before.
    fn dcap_seconds(&self) -> u64 {
        let now = self.window.now();
        let at_the_end = self.crl_ends.iter().any(|end| end.seconds() == now.seconds());
        if at_the_end { now.seconds().saturating_sub(1) } else { now.seconds() }
    }
}

/// One collateral file, readable but unchecked.
#[derive(Debug)]
pub(in crate::schemes) struct Candidate {
    raw: QuoteCollateralV3,
    fmspc: [u8; 6],
    info: TcbInfo,
    identity: QeIdentity,
    /// The two statements, as their signer signed them.
    signed: [Signed; 2],
    /// `None`: it is no revocation list.
    root_list: Option<RevocationList>,
    pck_list: Option<RevocationList>,
}

impl Candidate {
    /// The two statements, the two lists and the certificates of their signers.
    pub(super) fn describe(&self) -> Vec<VendorStatement> {
        let Self { raw, fmspc, info, identity, .. } = self;
        let dated = |what, about: &str, from: &str, until: &str| {
            VendorStatement::new(what, about, parse_date(from), parse_date(until))
        };
        let platform = format!("FMSPC {}, TCB evaluation {}", hex::encode(fmspc), info.tcb_evaluation_data_number);
        let enclave = format!("{}, TCB evaluation {}", identity.id, identity.tcb_evaluation_data_number);
        let mut statements = vec![
            dated("TCB info", &platform, &info.issue_date, &info.next_update),
            dated("QE identity", &enclave, &identity.issue_date, &identity.next_update),
            VendorStatement::list_der("revocation list", &raw.root_ca_crl),
            VendorStatement::list_der("revocation list", &raw.pck_crl),
        ];
        for chain in [&raw.tcb_info_issuer_chain, &raw.qe_identity_issuer_chain, &raw.pck_crl_issuer_chain] {
            let ders = pem_certificates(chain.as_bytes()).unwrap_or_default();
            for statement in ders.iter().map(|der| VendorStatement::certificate_der("certificate", der)) {
                if !statements.contains(&statement) {
                    statements.push(statement);
                }
            }
        }
        statements
    }
}

/// Recognises collateral by content: a JSON object that has a `tcb_info`. What is recognised must also be readable.
pub(super) fn recognise(bytes: &[u8]) -> Option<Result<Candidate, Failure>> {
    let head = bytes.get(..MAX_COLLATERAL_BYTES).unwrap_or(bytes);
    let key = br#""tcb_info""#;
    let ours = head.trim_ascii_start().starts_with(b"{") && head.windows(key.len()).any(|window| window == key);
    ours.then(|| read(bytes).map_err(|why| Failure::new(UNREADABLE, why)))
}

fn read(bytes: &[u8]) -> Result<Candidate, String> {
    if bytes.len() > MAX_COLLATERAL_BYTES {
        return Err(format!("{} bytes are over the cap of {MAX_COLLATERAL_BYTES}", bytes.len()));
    }
    let mut raw: QuoteCollateralV3 = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    // dcap-qvl would prefer a PCK chain that travels with the collateral over the quote's own.
    raw.pck_certificate_chain = None;
    let info: TcbInfo = serde_json::from_str(&raw.tcb_info).map_err(|why| format!("TCB info: {why}"))?;
    let identity = serde_json::from_str(&raw.qe_identity).map_err(|why| format!("QE identity: {why}"))?;
    let fmspc = hex::decode(&info.fmspc).ok().and_then(|fmspc| fmspc.try_into().ok());
    let fmspc = fmspc.ok_or("TCB info: its FMSPC is not 6 bytes of hex")?;
    let signed = [
        Signed::read("TCB info", &raw.tcb_info, &raw.tcb_info_signature, &raw.tcb_info_issuer_chain),
        Signed::read("QE identity", &raw.qe_identity, &raw.qe_identity_signature, &raw.qe_identity_issuer_chain),
    ];
    let [root_list, pck_list] = [&raw.root_ca_crl, &raw.pck_crl].map(|der| RevocationList::read(der));
    Ok(Candidate { raw, fmspc, info, identity, signed, root_list, pck_list })
}

fn missing(others: &[&Candidate], pck: &PckFacts) -> EvidenceError {
    let wanted = hex::encode(pck.fmspc);
    let given: Vec<String> = others.iter().map(|candidate| hex::encode(candidate.fmspc)).collect();
    let message =
        format!("no collateral for FMSPC {wanted} among the endorsements (given: {given:?}); fetch it from Intel");
    EvidenceError::Unavailable(Failure::new("collateral-missing", message).into())
}

/// All checks on one candidate; every failure is listed.
fn check<'e>(
    candidate: &'e Candidate,
    path: &TrustedPath<'_, '_>,
    pck: &PckFacts,
    revocations: &Revocations<'_>,
    mut window: Window,
) -> Result<CheckedCollateral<'e>, Vec<Failure>> {
    let Candidate { raw, info, identity, signed, .. } = candidate;
    let mut failures = check_statements(info, identity, pck, &mut window);
    let mut crl_ends = None;
    match Revocations::of(candidate, path, &mut window) {
        Ok(lists) => {
            failures.extend(lists.of_chain(path.certificates()));
            crl_ends = lists.ends();
        }
        Err(found) => failures.extend(found),
    }
    for statement in signed {
        failures.extend(statement.check(path.anchor(), revocations, &mut window));
    }
    match crl_ends {
        Some(crl_ends) if failures.is_empty() => Ok(CheckedCollateral { raw, info, identity, window, crl_ends }),
        _ => Err(failures),
    }
}

/// Kind, version, dates and subject of the two signed statements.
fn check_statements(info: &TcbInfo, identity: &QeIdentity, pck: &PckFacts, window: &mut Window) -> Vec<Failure> {
    let mut failures = Vec::new();
    if info.id != "TDX" || info.version != 3 || identity.id != "TD_QE" || identity.version != 2 {
        let found = format!("{} {} and {} {}", info.id, info.version, identity.id, identity.version);
        failures.push(Failure::new("collateral-version", format!("collateral is {found}, not TDX 3 and TD_QE 2")));
    }
    if !is_hex(&info.fmspc, &pck.fmspc) || !is_hex(&info.pce_id, &pck.pce_id) {
        let message = "the TCB info is about another platform than the PCK certificate".to_owned();
        failures.push(Failure::new("collateral-platform", message));
    }
    for (what, from, until) in [
        ("TCB info", &info.issue_date, &info.next_update),
        ("QE identity", &identity.issue_date, &identity.next_update),
    ] {
        match (parse_date(from), parse_date(until)) {
            (Some(from), Some(until)) => failures.extend(window.admit(what, from, until)),
            _ => failures.push(Failure::new("collateral-date", format!("the dates of the {what} are unreadable"))),
        }
    }
    failures
}

fn is_hex(text: &str, bytes: &[u8]) -> bool {
    hex::decode(text).is_ok_and(|decoded| decoded == bytes)
}
