//! **Duty.** Revocation lists by an ARK: they speak about ASK and ASVK, the only certificates that AMD can take back one
//! by one (all VEKs have serial number 0). **Does not know** where lists come from. **Spec.** EVIDENCE §3.2, §0 rules 2
//! and 3; RFC 5280 §6.3.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use weighbridge_attest_types::{Digest32, NotChecked, UnixMillis, sha256};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::chain::{Envelope, Links};
use crate::description::VendorStatement;
use crate::error::{Failure, Failures};
use crate::x509::{KeyRole, Window, may, millis};

/// A list as far as it concerns a VEK's issuer. It may have tens of thousands of entries, and a bundle thousands of
/// reports: entries are read once, and each root is asked once whether it signed.
#[derive(Debug)]
pub(crate) struct AmdList {
    der: Vec<u8>,
    /// As it stands in the list.
    issuer: Vec<u8>,
    from: UnixMillis,
    until: Option<UnixMillis>,
    has_critical: bool,
    /// Serial numbers, big-endian without leading zeros.
    revoked: BTreeSet<Vec<u8>>,
    answers: Mutex<Answers>,
}

/// Whether a root signed a list, by the digest of its certificate.
type Answers = Vec<(Digest32, bool)>;

/// Checks the issuer of a VEK against all lists by its root. A list of another product line says nothing here; among
/// this line's own, one current list is enough, and one that revokes cannot be outvoted.
pub(super) fn check(links: Links<'_>, lists: &[&AmdList], window: &mut Window) -> Result<Option<NotChecked>, Failures> {
    let mut current: Option<Current> = None;
    let mut failures = Vec::new();
    let of_root = lists.iter().filter(|list| list.issuer == links.root.subject().as_raw());
    for list in of_root {
        match list.check(links.root, window.now()) {
            Ok(_) if list.revokes(links.issuer) => {
                let message = "AMD has revoked the key that issued this VEK";
                return Err(Failure::new("revoked", message).into());
            }
            Ok(found) => current = Some(found.later_of(current)),
            Err(found) => failures.extend(found),
        }
    }
    match (current, Failures::collect(failures)) {
        (Some(Current { from, until }), _) => {
            window.admit("the revocation list", from, until);
            Ok(None)
        }
        (None, None) => Ok(Some(NotChecked {
            code: "snp-crl".to_owned(),
            why: "no revocation list of AMD's root key for this product line was given".to_owned(),
        })),
        (None, Some(failures)) => Err(failures),
    }
}

/// A list that its root signed and that holds now.
struct Current {
    from: UnixMillis,
    until: UnixMillis,
}

impl Current {
    fn later_of(self, other: Option<Self>) -> Self {
        other.filter(|other| other.until > self.until).unwrap_or(self)
    }
}

impl AmdList {
    /// `None`: the bytes are not one list.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else { return None };
        Some(Self {
            issuer: list.issuer().as_raw().to_vec(),
            from: millis(list.last_update()),
            until: list.next_update().map(millis),
            has_critical: list.extensions().iter().any(|extension| extension.critical),
            revoked: list.iter_revoked_certificates().map(|entry| entry.serial().to_bytes_be()).collect(),
            answers: Mutex::default(),
            der: der.to_vec(),
        })
    }

    pub(super) fn describe(&self) -> VendorStatement {
        VendorStatement::list_der("revocation list", &self.der)
    }

    fn revokes(&self, certificate: &X509Certificate<'_>) -> bool {
        self.revoked.contains(&certificate.tbs_certificate.serial.to_bytes_be())
    }

    fn check(&self, root: &X509Certificate<'_>, now: UnixMillis) -> Result<Current, Vec<Failure>> {
        let mut failures = Vec::new();
        if !self.is_signed_by(root) {
            failures.push(Failure::new("crl-signature", "the signature of a revocation list does not hold"));
        }
        // A critical extension narrows what a list speaks of: none is understood here.
        if self.has_critical {
            failures.push(Failure::new("crl-extension", "a revocation list has a critical extension"));
        }
        let Some(until) = self.until else {
            failures.push(Failure::new("crl-without-end", "a revocation list names no next update"));
            return Err(failures);
        };
        failures.extend(Window::new(now).admit("a revocation list", self.from, until));
        match failures.is_empty() {
            true => Ok(Current { from: self.from, until }),
            false => Err(failures),
        }
    }

    /// Asked once of each root; there are no more of those than endorsements.
    fn is_signed_by(&self, root: &X509Certificate<'_>) -> bool {
        let name = sha256(root.as_raw());
        // A thread that panicked has left whole answers, or none.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = answers.iter().find(|(known, _)| *known == name) {
            return *known;
        }
        let holds = may(root, KeyRole::ListSigner) && self.verifies(root);
        answers.push((name, holds));
        holds
    }

    fn verifies(&self, root: &X509Certificate<'_>) -> bool {
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
        let (tbs, inner) = (list.tbs_cert_list.as_ref(), &list.tbs_cert_list.signature);
        let envelope = Envelope { whole: list.as_raw(), tbs, inner, signature: &list.signature_value };
        envelope.is_signed_by(root.public_key())
    }

    /// How often a signature was checked.
    #[cfg(test)]
    pub(super) fn asked(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
