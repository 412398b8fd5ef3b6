//! **Duty.** What an endorsement file says about itself, for people who keep such files: what, about whom, from when until
//! when. **Does not know** whether any of it is signed: nothing here moves a verdict. **Spec.** EVIDENCE §0 rule 2.

use weighbridge_attest_types::UnixMillis;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use crate::x509::{millis, text as name_of};

/// Longest word of a vendor that is repeated. Source: ours; genuine names have at most 40 characters, a chip id 128.
const MAX_ABOUT: usize = 240;

/// One statement of a vendor in an endorsement file: a certificate, a list, a signed document. A rumour until evidence is
/// verified with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorStatement {
    /// Which sort of statement.
    pub what: &'static str,
    /// Whom or what it speaks of, in the vendor's words, cut short.
    pub about: String,
    /// Does not hold before; `None` when it does not say.
    pub from: Option<UnixMillis>,
    /// Does not hold after; `None` when it does not say.
    pub until: Option<UnixMillis>,
    /// It has no dates because it needs none: what it says is proven by the evidence alone, whenever that is.
    pub is_timeless: bool,
}

impl VendorStatement {
    /// The words are cut to a length that can be printed.
    pub(crate) fn new(what: &'static str, about: &str, from: Option<UnixMillis>, until: Option<UnixMillis>) -> Self {
        Self { what, about: about.chars().take(MAX_ABOUT).collect(), from, until, is_timeless: false }
    }

    /// What needs no dates.
    pub(crate) fn timeless(what: &'static str, about: &str) -> Self {
        Self { is_timeless: true, ..Self::new(what, about, None, None) }
    }

    /// A certificate by its subject.
    pub(crate) fn certificate(what: &'static str, certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        let (from, until) = (millis(validity.not_before), millis(validity.not_after));
        Self::new(what, &name_of(certificate.subject()), Some(from), Some(until))
    }

    /// The same of bytes; what does not parse has no dates.
    pub(crate) fn certificate_der(what: &'static str, der: &[u8]) -> Self {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Self::certificate(what, &certificate),
            Err(_) => Self::new(what, "unreadable", None, None),
        }
    }

    /// A revocation list by its issuer.
    pub(crate) fn list_der(what: &'static str, der: &[u8]) -> Self {
        match CertificateRevocationList::from_der(der) {
            Ok((_, list)) => {
                let until = list.next_update().map(millis);
                Self::new(what, &name_of(list.issuer()), Some(millis(list.last_update())), until)
            }
            Err(_) => Self::new(what, "unreadable", None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_unreadable_bytes_have_no_dates() {
        let long = VendorStatement::new("certificate", &"é".repeat(1 << 16), None, None);
        assert_eq!(long.about, "é".repeat(MAX_ABOUT));
        for (made, what) in [
            (VendorStatement::certificate_der("certificate", b"0\x03junk"), "certificate"),
            (VendorStatement::list_der("revocation list", b""), "revocation list"),
        ] {
            assert_eq!(made, VendorStatement::new(what, "unreadable", None, None));
        }
    }
}
