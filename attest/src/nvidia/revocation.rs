//! **Duty.** Whether each certificate below a root still stands: OCSP answers and revocation lists by its issuer. One
//! current "revoked" or "unknown" cannot be outvoted. **Does not know** policy: a certificate on hold is a claim, and so
//! is one about which nothing was given. **Spec.** EVIDENCE §1.7, §0 rules 2 and 3.

use weighbridge_attest_types::NvidiaRevocation;
use x509_parser::prelude::{CertificateRevocationList, X509Certificate};

use super::endorsement::Given;
use super::ocsp::{CertificateStatus, OcspFile, Subject};
use crate::budget::MAX_STATUS_CANDIDATES;
use crate::crl::{Current, Listed};
use crate::error::Failure;
use crate::x509::{Curve, Window, common_name, is_list_signed};

/// A certificate and the one that signed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'c> {
    pub(super) certificate: &'c X509Certificate<'c>,
    pub(super) issuer: &'c X509Certificate<'c>,
}

/// What was found out, and whether a responder was asked at all.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) revocation: NvidiaRevocation,
    pub(super) by_ocsp: bool,
}

/// Links of a chain from `first` on, up to the root.
pub(super) fn links<'c>(chain: &'c [X509Certificate<'c>], first: usize) -> Vec<Link<'c>> {
    let pairs = chain.iter().zip(chain.iter().skip(1)).skip(first);
    pairs.map(|(certificate, issuer)| Link { certificate, issuer }).collect()
}

/// All links against all that was given. Chains share their upper links: each is asked once.
pub(super) fn check(links: &[Link<'_>], given: &Given<'_>, window: &mut Window) -> Result<Found, Vec<Failure>> {
    let (mut found, mut failures, mut seen) = (Found::default(), Vec::new(), Vec::new());
    for link in links {
        let raw = link.certificate.as_raw();
        if seen.contains(&raw) {
            continue;
        }
        seen.push(raw);
        let name = common_name(link.certificate).unwrap_or("without a name").to_owned();
        match standing(*link, given, window) {
            Ok(Standing { status: None, .. }) => found.revocation.open.push(name),
            Ok(Standing { status: Some(status), by_ocsp }) => {
                let held = status == CertificateStatus::OnHold;
                let list = if held { &mut found.revocation.held } else { &mut found.revocation.good };
                list.push(name);
                found.by_ocsp |= by_ocsp;
            }
            Err(all) => failures.extend(all.iter().map(|failure| about(&name, failure))),
        }
    }
    if given.addressed && !found.revocation.open.is_empty() && speaks_of_others(links, given) {
        let message = "an OCSP response is about none of the certificates of this evidence or its manifests";
        failures.push(Failure::new("ocsp-of-another", message));
    }
    if failures.is_empty() { Ok(found) } else { Err(failures) }
}

/// A certificate's standing; `None`: nothing was given.
struct Standing {
    status: Option<CertificateStatus>,
    by_ocsp: bool,
}

/// Gathers what current statements say.
#[derive(Default)]
struct Said {
    good: Option<Current>,
    by_ocsp: bool,
    on_hold: Option<Current>,
    against: Vec<Failure>,
    failures: Vec<Failure>,
    tried: usize,
}

fn standing(link: Link<'_>, given: &Given<'_>, window: &mut Window) -> Result<Standing, Vec<Failure>> {
    let (mut said, subject) = (Said::default(), Subject::new(link.certificate, link.issuer));
    for response in &given.responses {
        for answer in response.about(&subject) {
            said.tried = said.tried.saturating_add(1);
            if said.tried <= MAX_STATUS_CANDIDATES {
                let current = response.check(answer, link.issuer, window.now());
                said.by_ocsp |= current.is_ok();
                said.hear(current, answer.status);
            }
        }
    }
    for list in given.lists.iter().filter(|list| list.names(link.issuer)) {
        said.tried = said.tried.saturating_add(1);
        if said.tried <= MAX_STATUS_CANDIDATES {
            let status = match list.says_about(link.certificate) {
                None => CertificateStatus::Good,
                Some(Listed::OnHold) => CertificateStatus::OnHold,
                Some(Listed::Revoked) => CertificateStatus::Revoked,
            };
            said.hear(list.check(link.issuer, is_signed, window.now()), status);
        }
    }
    said.conclude(window)
}

impl Said {
    fn hear(&mut self, current: Result<Current, Vec<Failure>>, status: CertificateStatus) {
        match (current, status) {
            (Err(found), _) => self.failures.extend(found),
            (Ok(current), CertificateStatus::Good) => self.good = Some(current.later_of(self.good)),
            (Ok(current), CertificateStatus::OnHold) => self.on_hold = Some(current.later_of(self.on_hold)),
            (Ok(_), CertificateStatus::Revoked) => {
                self.against.push(Failure::new("revoked", "its issuer has revoked it"));
            }
            (Ok(_), CertificateStatus::Unknown) => {
                self.against.push(Failure::new("ocsp-unknown", "its issuer's responder does not know it"));
            }
        }
    }

    fn conclude(self, window: &mut Window) -> Result<Standing, Vec<Failure>> {
        let Self { good, by_ocsp, on_hold, against, failures, tried } = self;
        if tried > MAX_STATUS_CANDIDATES {
            let message = format!("{tried} statements about its revocation were given, over {MAX_STATUS_CANDIDATES}");
            return Err(vec![Failure::new("status-too-many", message)]);
        }
        if !against.is_empty() {
            return Err(against);
        }
        if let Some(Current { from, until }) = on_hold {
            window.admit("its revocation status", from, until);
            return Ok(Standing { status: Some(CertificateStatus::OnHold), by_ocsp });
        }
        match (good, failures.is_empty()) {
            (Some(Current { from, until }), _) => {
                window.admit("its revocation status", from, until);
                Ok(Standing { status: Some(CertificateStatus::Good), by_ocsp })
            }
            (None, true) => Ok(Standing { status: None, by_ocsp }),
            (None, false) => Err(failures),
        }
    }
}

fn speaks_of_others(links: &[Link<'_>], given: &Given<'_>) -> bool {
    let subjects: Vec<Subject> = links.iter().map(|link| Subject::new(link.certificate, link.issuer)).collect();
    let about_none = |response: &&OcspFile| !subjects.iter().any(|subject| response.about(subject).next().is_some());
    given.responses.iter().any(about_none)
}

fn is_signed(list: &CertificateRevocationList<'_>, issuer: &X509Certificate<'_>) -> bool {
    is_list_signed(list, issuer, Curve::P384)
}

fn about(name: &str, failure: &Failure) -> Failure {
    Failure::new(failure.code, format!("revocation of {name:?}: {}", failure.message))
}
