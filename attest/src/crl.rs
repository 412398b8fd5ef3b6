//! **Duty.** Revocation lists that are held against much evidence: entries are read once, and each issuer is asked once
//! whether it signed. **Knows** RFC 5280 lists. **Does not know** vendors or their signature algorithms; the caller says
//! how a signature is checked. **Spec.** EVIDENCE §0 rules 2 and 3, RFC 5280 §5 and §6.3.

use std::collections::BTreeMap;

use weighbridge_attest_types::{UnixMillis, sha256};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, ReasonCode, X509Certificate};

use crate::description::VendorStatement;
use crate::error::Failure;
use crate::memo::Memo;
use crate::x509::{KeyRole, Window, may, millis, text};

/// What a list says about one serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// For good.
    Revoked,
    /// For now (reason certificateHold).
    OnHold,
}

/// One list. It may have tens of thousands of entries, and a bundle thousands of reports.
#[derive(Debug)]
pub(crate) struct RevocationList {
    der: Vec<u8>,
    /// As it stands in the list.
    issuer: Vec<u8>,
    from: UnixMillis,
    until: Option<UnixMillis>,
    has_critical: bool,
    /// By serial number, big-endian without leading zeros.
    listed: BTreeMap<Vec<u8>, Listed>,
    signed_by: Memo<bool>,
}

/// From when to when something that was signed holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) from: UnixMillis,
    pub(crate) until: UnixMillis,
}

impl Current {
    /// Of two that hold now, the one that holds longer.
    pub(crate) fn later_of(self, other: Option<Self>) -> Self {
        other.filter(|other| other.until > self.until).unwrap_or(self)
    }
}

/// How a vendor's lists are signed.
pub(crate) type ListSignature = fn(&CertificateRevocationList<'_>, &X509Certificate<'_>) -> bool;

impl RevocationList {
    /// `None`: the bytes are not one list.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else { return None };
        let mut listed = BTreeMap::new();
        for entry in list.iter_revoked_certificates() {
            let on_hold = entry.reason_code().is_some_and(|(_, reason)| reason == ReasonCode::CertificateHold);
            let says = if on_hold { Listed::OnHold } else { Listed::Revoked };
            // An entry that takes it back for good is not softened by another.
            let known = listed.entry(entry.serial().to_bytes_be()).or_insert(says);
            if says == Listed::Revoked {
                *known = says;
            }
        }
        Some(Self {
            issuer: list.issuer().as_raw().to_vec(),
            from: millis(list.last_update()),
            until: list.next_update().map(millis),
            has_critical: list.extensions().iter().any(|extension| extension.critical),
            listed,
            signed_by: Memo::default(),
            der: der.to_vec(),
        })
    }

    /// Issuer and dates, for people who keep such lists.
    pub(crate) fn describe(&self) -> VendorStatement {
        VendorStatement::list_der("revocation list", &self.der)
    }

    /// Whether it says that it is by this authority.
    pub(crate) fn names(&self, issuer: &X509Certificate<'_>) -> bool {
        self.issuer == issuer.subject().as_raw()
    }

    /// Its issuer's name, DER.
    pub(crate) fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// What it says about a certificate of its issuer.
    pub(crate) fn says_about(&self, certificate: &X509Certificate<'_>) -> Option<Listed> {
        self.listed.get(&certificate.tbs_certificate.serial.to_bytes_be()).copied()
    }

    /// Signature, extensions and dates, against the authority that must have signed it.
    pub(crate) fn check(
        &self,
        issuer: &X509Certificate<'_>,
        signature: ListSignature,
        now: UnixMillis,
    ) -> Result<Current, Vec<Failure>> {
        self.check_named("a revocation list", issuer, signature, now)
    }

    /// The same for a list that failures call by a name.
    pub(crate) fn check_named(
        &self,
        what: &str,
        issuer: &X509Certificate<'_>,
        signature: ListSignature,
        now: UnixMillis,
    ) -> Result<Current, Vec<Failure>> {
        let mut failures = Vec::new();
        // RFC 5280 §6.3.3: a list by anybody else says nothing about this authority's certificates.
        if !self.names(issuer) {
            let (theirs, wanted) = (self.issuer_text(), text(issuer.subject()));
            failures.push(Failure::new("crl-issuer", format!("{what} is by {theirs:?}, not by {wanted:?}")));
        }
        if !self.is_signed_by(issuer, signature) {
            failures.push(Failure::new("crl-signature", format!("the signature of {what} does not hold")));
        }
        // A critical extension narrows what a list speaks of (partial, indirect or delta lists): none is understood here.
        if self.has_critical {
            failures.push(Failure::new("crl-extension", format!("{what} has a critical extension")));
        }
        let Some(until) = self.until else {
            failures.push(Failure::new("crl-without-end", format!("{what} names no next update")));
            return Err(failures);
        };
        failures.extend(Window::new(now).admit(what, self.from, until));
        match failures.is_empty() {
            true => Ok(Current { from: self.from, until }),
            false => Err(failures),
        }
    }

    fn issuer_text(&self) -> String {
        CertificateRevocationList::from_der(&self.der).map_or_else(|_| String::new(), |(_, list)| text(list.issuer()))
    }

    fn is_signed_by(&self, issuer: &X509Certificate<'_>, signature: ListSignature) -> bool {
        self.signed_by.get_or(sha256(issuer.as_raw()), || {
            let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
            may(issuer, KeyRole::ListSigner) && signature(&list, issuer)
        })
    }

    /// How often a signature was checked.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> usize {
        self.signed_by.asked()
    }
}
