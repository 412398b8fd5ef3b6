//! **Duty.** Intel's signed statements about a platform: found among the endorsements by content, checked by own code,
//! and handed to dcap-qvl for its reading. The only module that names dcap-qvl. **Does not know** where they were
//! fetched. **Spec.** EVIDENCE §2.2 (2), §2.3, §2.6.

use std::collections::BTreeSet;

use dcap_qvl::quote::{Report, TDReport10, TDReport15Ex};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{PckCertFlag, QuoteClaims, QuoteCollateralV3, QuotePolicy};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use weighbridge_attest_types::{CertificateAnchor, TcbStatus, TdAttributes, TdxExtension, TdxServiceTd, UnixMillis};
use x509_parser::prelude::X509Certificate;

use super::TdxFile;
use super::body::{Td10, Td15, TdReport};
use super::pck::PckFacts;
use super::quote::TdxQuote;
use super::tcb::{QeIdentity, TcbInfo};
use crate::anchors::INTEL_SGX_ROOT;
use crate::budget::{MAX_COLLATERAL_BYTES, MAX_COLLATERAL_CANDIDATES};
use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure, Failures};
use crate::pem::pem_certificates;
use crate::x509::{
    CheckedCrl, Curve, TrustedPath, Window, check_crl, check_path, common_name, parse_chain, parse_date, public_point,
};

/// Common name of the certificate that signs TCB info and identities.
const TCB_SIGNER: &str = "Intel SGX TCB Signing";

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

/// What dcap-qvl says about a quote, in our words, to be held against our own reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DcapReading {
    /// After its merges; a TD that should be relaunched keeps the status it launched with.
    pub(super) status: TcbStatus,
    pub(super) relaunch_advised: bool,
    pub(super) advisories: BTreeSet<String>,
    /// Of the platform's level and the module's, the older.
    pub(super) level_date: Option<UnixMillis>,
    pub(super) evaluation_number: u32,
    pub(super) pck: PckFacts,
    pub(super) report: TdReport,
    /// Earliest end of everything that was used, in seconds.
    pub(super) until: u64,
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
}

impl Candidate {
    /// The two statements, the two lists and the certificates of their signers.
    pub(super) fn describe(&self) -> Vec<VendorStatement> {
        let Self { raw, fmspc, info, identity } = self;
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
    Ok(Candidate { raw, fmspc, info, identity })
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
    let Candidate { raw, fmspc: _, info, identity } = candidate;
    let mut failures = check_statements(info, identity, pck, &mut window);
    let signed = [
        ("TCB info", &raw.tcb_info_issuer_chain, &raw.tcb_info, &raw.tcb_info_signature),
        ("QE identity", &raw.qe_identity_issuer_chain, &raw.qe_identity, &raw.qe_identity_signature),
    ];
    let mut crl_ends = None;
    match check_lists(raw, path, &mut window) {
        Ok(lists) => {
            failures.extend(lists.of_chain(path.certificates()));
            crl_ends = lists.ends();
        }
        Err(found) => failures.extend(found),
    }
    for (what, chain, text, signature) in signed {
        failures.extend(check_signer(what, chain, text, signature, path, revocations, &mut window));
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

/// Lists that hold now: of one collateral one each, of all that was given each once.
#[derive(Default)]
struct Revocations<'c> {
    root: Vec<CheckedCrl<'c>>,
    pck: Vec<CheckedCrl<'c>>,
}

impl<'c> Revocations<'c> {
    /// All that are by this chain's authorities; what is wrong with the others is told where they are needed.
    fn gather(candidates: impl Iterator<Item = &'c Candidate>, path: &TrustedPath<'_, '_>, now: UnixMillis) -> Self {
        let [_, authority, root] = path.certificates() else { return Self::default() };
        let (mut of_root, mut of_pck) = (BTreeSet::new(), BTreeSet::new());
        for Candidate { raw, .. } in candidates {
            of_root.insert(raw.root_ca_crl.as_slice());
            of_pck.insert(raw.pck_crl.as_slice());
        }
        let current = |lists: BTreeSet<&'c [u8]>, issuer| {
            let check = |list| check_crl("a revocation list", list, issuer, Curve::P256, &mut Window::new(now)).ok();
            lists.into_iter().filter_map(check).collect()
        };
        Self { root: current(of_root, root), pck: current(of_pck, authority) }
    }

    /// What of a PCK chain is revoked.
    fn of_chain(&self, chain: &[X509Certificate<'_>]) -> Vec<Failure> {
        let [pck, authority, root] = chain else { return Vec::new() };
        let listed = [
            ("the PCK certificate", self.pck.iter().any(|list| list.revokes(pck))),
            ("the PCK authority", self.revokes_below_root(authority)),
            ("the root", self.revokes_below_root(root)),
        ];
        let revoked = listed.into_iter().filter(|(_, revoked)| *revoked);
        revoked.map(|(what, _)| Failure::new(REVOKED, format!("{what} is revoked"))).collect()
    }

    fn revokes_below_root(&self, certificate: &X509Certificate<'_>) -> bool {
        self.root.iter().any(|list| list.revokes(certificate))
    }

    /// When the two lists of one collateral end.
    fn ends(&self) -> Option<[UnixMillis; 2]> {
        Some([self.root.first()?.until(), self.pck.first()?.until()])
    }
}

/// The root's list covers the authorities; the PCK list must be by the PCK's own authority.
fn check_lists<'c>(
    raw: &'c QuoteCollateralV3,
    path: &TrustedPath<'_, '_>,
    window: &mut Window,
) -> Result<Revocations<'c>, Vec<Failure>> {
    let [_, authority, root] = path.certificates() else {
        return Err(vec![Failure::new("chain-length", "the PCK chain is not PCK, authority, root")]);
    };
    let of_root = check_crl("the root's revocation list", &raw.root_ca_crl, root, Curve::P256, window);
    let of_authority = check_crl("the PCK revocation list", &raw.pck_crl, authority, Curve::P256, window);
    match (of_root, of_authority) {
        (Ok(root), Ok(pck)) => Ok(Revocations { root: vec![root], pck: vec![pck] }),
        (of_root, of_authority) => Err(of_root.err().into_iter().chain(of_authority.err()).flatten().collect()),
    }
}

/// The signer stands directly below the same anchor as the quote; the signature is over the text as received.
fn check_signer(
    what: &str,
    chain: &str,
    text: &str,
    signature: &[u8],
    path: &TrustedPath<'_, '_>,
    revocations: &Revocations<'_>,
    window: &mut Window,
) -> Vec<Failure> {
    let unreadable = |why: String| vec![Failure::new("collateral-signer", format!("the signer of the {what}: {why}"))];
    let ders = match pem_certificates(chain.as_bytes()) {
        Ok(ders) => ders,
        Err(error) => return unreadable(error.to_string()),
    };
    let certificates = match parse_chain(&ders) {
        Ok(certificates) => certificates,
        Err(failure) => return unreadable(failure.message),
    };
    let anchor = std::slice::from_ref(path.anchor());
    let mut failures = check_path(&certificates, Curve::P256, anchor, window).err().unwrap_or_default();
    let [signer, _root] = certificates.as_slice() else {
        failures.extend(unreadable(format!("{} certificates instead of signer and root", certificates.len())));
        return failures;
    };
    if common_name(signer) != Some(TCB_SIGNER) {
        failures.extend(unreadable(format!("it is {:?}, not {TCB_SIGNER:?}", common_name(signer))));
    }
    if revocations.revokes_below_root(signer) {
        failures.push(Failure::new(REVOKED, format!("the signer of the {what} is revoked")));
    }
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_point(signer));
    if key.verify(text.as_bytes(), signature).is_err() {
        failures.push(Failure::new("collateral-signature", format!("the signature of the {what} does not hold")));
    }
    failures
}

/// In our words; every field that both readers have.
fn reading(claims: &QuoteClaims) -> Result<DcapReading, String> {
    use dcap_qvl::TcbStatus::{TDRelaunchAdvised, TDRelaunchAdvisedConfigurationNeeded};
    let platform = &claims.platform;
    Ok(DcapReading {
        status: status(claims.tcb.status),
        relaunch_advised: matches!(claims.tcb.status, TDRelaunchAdvised | TDRelaunchAdvisedConfigurationNeeded),
        advisories: claims.tcb.advisory_ids.iter().cloned().collect(),
        level_date: platform.tcb_date_tag.checked_mul(1000).map(UnixMillis),
        evaluation_number: claims.tcb.eval_data_number,
        pck: pck_facts(&platform.pck)?,
        report: td_report(&claims.report)?,
        until: claims.earliest_expiration_date,
    })
}

fn pck_facts(pck: &dcap_qvl::PckIdentity) -> Result<PckFacts, String> {
    let flag = |flag: PckCertFlag| match flag {
        PckCertFlag::True => Some(true),
        PckCertFlag::False => Some(false),
        PckCertFlag::Undefined => None,
    };
    Ok(PckFacts {
        ppid: pck.ppid.as_slice().try_into().map_err(|_| "its PPID is not 16 bytes")?,
        fmspc: pck.fmspc,
        pce_id: pck.pce_id.as_slice().try_into().map_err(|_| "its PCEID is not 2 bytes")?,
        pce_svn: pck.pce_svn,
        sgx_svn: pck.cpu_svn,
        sgx_type: pck.sgx_type,
        instance: pck.platform_instance_id,
        dynamic: flag(pck.dynamic_platform),
        cached_keys: flag(pck.cached_keys),
        smt: flag(pck.smt_enabled),
    })
}

fn td_report(report: &Report) -> Result<TdReport, String> {
    let td10 = report.as_td10().ok_or("it read something else than a TD report")?;
    let td15 = report.as_td15().map(|td15| Td15 { tee_tcb_svn2: td15.tee_tcb_svn2, mr_service_td: td15.mr_service_td });
    Ok(TdReport { td10: own_td10(td10), td15, extension: report.as_td15_ex().map(own_extension) })
}

const fn own_td10(theirs: &TDReport10) -> Td10 {
    Td10 {
        tee_tcb_svn: theirs.tee_tcb_svn,
        mrseam: theirs.mr_seam,
        mr_signer_seam: theirs.mr_signer_seam,
        seam_attributes: theirs.seam_attributes,
        attributes: TdAttributes(u64::from_le_bytes(theirs.td_attributes)),
        xfam: u64::from_le_bytes(theirs.xfam),
        mrtd: theirs.mr_td,
        mr_config_id: theirs.mr_config_id,
        mr_owner: theirs.mr_owner,
        mr_owner_config: theirs.mr_owner_config,
        rtmr: [theirs.rt_mr0, theirs.rt_mr1, theirs.rt_mr2, theirs.rt_mr3],
        report_data: theirs.report_data,
    }
}

fn own_extension(theirs: &TDReport15Ex) -> TdxExtension {
    let service = |hash, attributes| TdxServiceTd { hash, attributes };
    TdxExtension {
        vmid: theirs.vmid,
        td_id: theirs.td_id,
        dev_info: theirs.dev_info,
        initial_service_td: service(theirs.init_service_td_hash, theirs.init_service_td_attributes),
        current_service_td: service(theirs.cur_service_td_hash, theirs.cur_service_td_attributes),
        initial_cpu_svn: theirs.init_cpu_svn,
        initial_tee_tcb_svn: theirs.init_tee_tcb_svn,
        initial_fmspc: theirs.init_tee_fmspc,
    }
}

/// In the words of every room. "Relaunch advised" means launched out of date: that stays the status.
const fn status(theirs: dcap_qvl::TcbStatus) -> TcbStatus {
    use dcap_qvl::TcbStatus as Theirs;
    match theirs {
        Theirs::UpToDate => TcbStatus::UpToDate,
        Theirs::SWHardeningNeeded => TcbStatus::SwHardeningNeeded,
        Theirs::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Theirs::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSwHardeningNeeded,
        Theirs::OutOfDate | Theirs::TDRelaunchAdvised => TcbStatus::OutOfDate,
        Theirs::OutOfDateConfigurationNeeded | Theirs::TDRelaunchAdvisedConfigurationNeeded => {
            TcbStatus::OutOfDateConfigurationNeeded
        }
        Theirs::Revoked => TcbStatus::Revoked,
    }
}

fn is_hex(text: &str, bytes: &[u8]) -> bool {
    hex::decode(text).is_ok_and(|decoded| decoded == bytes)
}
