//! **Duty.** The steps, in order: certificates that fit, signature over the bytes as received, chain, binding of report
//! and VEK, revocation, order of TCBs, a second reader. Each refusal lists all failures of its class.
//! **Spec.** EVIDENCE §3.2–3.3.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use weighbridge_attest_types::{CertificateAnchor, NotChecked, PlatformClaims, SnpTcbs, TrustAnchors, UnixMillis};
use x509_parser::prelude::X509Certificate;

use super::chain::{self, Files, Links};
use super::endorsement::{AmdCertificate, AmdFile, Claims};
use super::report::SnpReport;
use super::vek::{VekFacts, check_binding};
use super::{agree, claims, revocation};
use crate::budget::{MAX_NAMESAKES, MAX_VEK_CANDIDATES};
use crate::crl::RevocationList;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure, Failures, untrusted_if_any};
use crate::verified::Verified;
use crate::x509::{Window, public_point};

/// Deepest VMPL; only a report that the host asked for names another.
const MAX_VMPL: u32 = 3;

/// What holds about a report once its signature and chain do.
#[derive(Debug)]
pub(super) struct Checked<'c, 'a> {
    pub(super) links: Links<'c>,
    pub(super) facts: VekFacts,
    pub(super) anchor: &'a CertificateAnchor,
    pub(super) window: Window,
    pub(super) tcb: SnpTcbs,
    pub(super) not_checked: Vec<NotChecked>,
}

pub(super) fn verify(
    report: &SnpReport<'_>,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    untrusted_if_any(endorsements.unreadable_as::<AmdFile>().cloned().collect())?;
    let given = Given::read(endorsements);
    let mut first = None;
    for (vek, facts) in given.candidates(report)? {
        let chain = match given.chain(vek) {
            Ok(chain) => chain,
            Err(error) => {
                first = first.or(Some(error));
                continue;
            }
        };
        match check(report, chain.links(), facts, &given.lists, &anchors.amd, now) {
            Ok(mut checked) => {
                checked.not_checked.extend(agree::check(report, &checked).map_err(untrusted)?);
                check_unwaivable(report)?;
                return Ok(Verified::assertion(claims::claims(report, checked)));
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| unavailable("vek-missing", NO_VEK)))
}

const NO_VEK: &str = "no VEK certificate was given; AMD's key distribution service has it by chip id and reported TCB";

/// The certificates and lists that came along, by what their names say they are.
#[derive(Default)]
struct Given<'c> {
    veks: Vec<(&'c AmdCertificate, &'c Result<VekFacts, Failure>)>,
    issuers: Vec<&'c AmdCertificate>,
    roots: Vec<&'c AmdCertificate>,
    lists: Vec<&'c RevocationList>,
}

/// Certificates that name each other as issuers.
struct Chain<'c> {
    vek: X509Certificate<'c>,
    issuer: X509Certificate<'c>,
    root: X509Certificate<'c>,
    files: Files<'c>,
}

impl<'c> Chain<'c> {
    const fn links(&'c self) -> Links<'c> {
        Links { vek: &self.vek, issuer: &self.issuer, root: &self.root, files: self.files }
    }
}

impl<'c> Given<'c> {
    fn read(endorsements: &'c Endorsements) -> Self {
        let mut given = Self::default();
        for file in endorsements.readable_as::<AmdFile>() {
            given.lists.extend(&file.lists);
            file.certificates.iter().for_each(|certificate| given.sort_in(certificate));
        }
        given
    }

    fn sort_in(&mut self, certificate: &'c AmdCertificate) {
        match &certificate.claims {
            Claims::Vek(facts) => self.veks.push((certificate, facts)),
            Claims::Root => self.roots.push(certificate),
            Claims::Issuer => self.issuers.push(certificate),
        }
    }

    /// The VEKs that say the same as the report; if none does, the one that comes nearest, so that the refusal tells.
    fn candidates(&self, report: &SnpReport<'_>) -> Result<Vec<(&'c AmdCertificate, &'c VekFacts)>, EvidenceError> {
        let mut readable = Vec::new();
        let mut failures = Vec::new();
        for &(vek, facts) in &self.veks {
            match facts {
                Ok(facts) => readable.push((check_binding(report, facts).len(), vek, facts)),
                Err(failure) => failures.push(failure.clone()),
            }
        }
        let Some(nearest) = readable.iter().map(|(differences, ..)| *differences).min() else {
            untrusted_if_any(failures)?;
            return Err(unavailable("vek-missing", NO_VEK));
        };
        let most = if nearest == 0 { MAX_VEK_CANDIDATES } else { 1 };
        let near = readable.into_iter().filter(|(differences, ..)| *differences == nearest);
        Ok(near.take(most).map(|(_, vek, facts)| (vek, facts)).collect())
    }

    /// The certificates above a VEK, by name, and by signature where several have the name.
    fn chain(&self, vek: &'c AmdCertificate) -> Result<Chain<'c>, EvidenceError> {
        let parsed = vek.parse().ok_or_else(|| unavailable("vek-missing", NO_VEK))?;
        let (issuer, parsed_issuer) = above((vek, &parsed), &self.issuers, "issuer of this VEK (ASK or ASVK)")?;
        let (root, parsed_root) = above((issuer, &parsed_issuer), &self.roots, "root key (ARK) of this VEK's issuer")?;
        Ok(Chain { vek: parsed, issuer: parsed_issuer, root: parsed_root, files: Files { vek, issuer, root } })
    }
}

/// None of its kind at all is something missing; others of its kind are endorsements for something else.
fn above<'c>(
    (file, certificate): (&AmdCertificate, &X509Certificate<'_>),
    among: &[&'c AmdCertificate],
    what: &str,
) -> Result<(&'c AmdCertificate, X509Certificate<'c>), EvidenceError> {
    let named = among.iter().copied().filter(|other| other.subject == certificate.issuer().as_raw());
    let mut named: Vec<_> = named.take(MAX_NAMESAKES).filter_map(|other| Some((other, other.parse()?))).collect();
    let signing = named.iter().position(|(other, _)| file.is_signed_by(other)).unwrap_or(0);
    match (signing < named.len()).then(|| named.swap_remove(signing)) {
        Some(found) => Ok(found),
        None if among.is_empty() => {
            Err(unavailable("chain-missing", &format!("no certificate of the {what} was given")))
        }
        None => {
            let message = format!("none of the certificates given is the {what}");
            Err(untrusted(Failure::new("chain-of-another-product", message)))
        }
    }
}

fn check<'c, 'a>(
    report: &SnpReport<'_>,
    links: Links<'c>,
    facts: &VekFacts,
    lists: &[&RevocationList],
    anchors: &'a [CertificateAnchor],
    now: UnixMillis,
) -> Result<Checked<'c, 'a>, EvidenceError> {
    let mut window = Window::new(now);
    let mut failures = check_binding(report, facts);
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_point(links.vek));
    if key.verify(report.signed(), &report.signature).is_err() {
        failures.push(Failure::new("report-signature", "the VEK has not signed this report"));
    }
    let anchor = chain::check(links, facts.product, facts.signer, anchors, &mut window, &mut failures);
    untrusted_if_any(failures)?;
    let Some(anchor) = anchor else {
        return Err(untrusted(Failure::new("unknown-root", "no trust anchor has the key of this root")));
    };
    let open = revocation::check(links, lists, &mut window).map_err(EvidenceError::Untrusted)?;
    let tcb = read_tcbs(report, facts)?;
    Ok(Checked { links, facts: facts.clone(), anchor, window, tcb, not_checked: open.into_iter().collect() })
}

/// reported ≤ committed ≤ current, part by part: firmware never says otherwise.
fn read_tcbs(report: &SnpReport<'_>, facts: &VekFacts) -> Result<SnpTcbs, EvidenceError> {
    let parts = [report.current_tcb, report.committed_tcb, report.reported_tcb, report.launch_tcb];
    let [Some(current), Some(committed), Some(reported), Some(launch)] = parts.map(|raw| raw.read(facts.product))
    else {
        let message = format!("a TCB has other bytes than those of {}", facts.product.as_str());
        return Err(EvidenceError::Malformed(Failure::new("snp-report", message).into()));
    };
    if !(reported <= committed && committed <= current) {
        let message = format!("reported {reported:?}, committed {committed:?} and current {current:?} do not ascend");
        return Err(untrusted(Failure::new("tcb-order", message)));
    }
    Ok(SnpTcbs { current, committed, reported, launch })
}

/// What no policy can weigh: bits without a meaning, and a report that the guest did not ask for.
fn check_unwaivable(report: &SnpReport<'_>) -> Result<(), EvidenceError> {
    let unknown = report.policy.unknown();
    let mut failures = Vec::new();
    if unknown != 0 {
        let message = format!("guest policy bits {unknown:#x} are not as every known firmware has them");
        failures.push(Failure::new("snp-policy-reserved", message));
    }
    if report.vmpl > MAX_VMPL {
        let message = format!("VMPL {:#x}: not the guest asked for this report", report.vmpl);
        failures.push(Failure::new("snp-vmpl", message));
    }
    Failures::collect(failures).map_or(Ok(()), |all| Err(EvidenceError::Rejected(all)))
}

fn untrusted(failure: Failure) -> EvidenceError {
    EvidenceError::Untrusted(failure.into())
}

fn unavailable(code: &'static str, message: &str) -> EvidenceError {
    EvidenceError::Unavailable(Failure::new(code, message).into())
}
