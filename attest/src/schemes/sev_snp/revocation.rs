//! **Duty.** Revocation lists by an ARK: they speak about ASK and ASVK, the only certificates that AMD can take back one
//! by one (all VEKs have serial number 0). **Does not know** where lists come from. **Spec.** EVIDENCE §3.2, §0 rules 2
//! and 3; RFC 5280 §6.3.

use weighbridge_attest_types::{NotChecked, UnixMillis};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::chain::{Envelope, Links};
use crate::error::{Failure, Failures};
use crate::x509::{KeyRole, Window, may, millis};

/// Checks the issuer of a VEK against all lists by its root. A list of another product line says nothing here; among
/// this line's own, one current list is enough, and one that revokes cannot be outvoted.
pub(super) fn check(links: Links<'_>, lists: &[&[u8]], window: &mut Window) -> Result<Option<NotChecked>, Failures> {
    let mut current: Option<Current> = None;
    let mut failures = Vec::new();
    for der in lists {
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else { continue };
        if list.issuer().as_raw() != links.root.subject().as_raw() {
            continue;
        }
        match check_list(&list, links.root, window.now()) {
            Ok(found) if found.revokes(&list, links.issuer) => {
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
    fn revokes(&self, list: &CertificateRevocationList<'_>, certificate: &X509Certificate<'_>) -> bool {
        list.iter_revoked_certificates().any(|entry| *entry.serial() == certificate.tbs_certificate.serial)
    }

    fn later_of(self, other: Option<Self>) -> Self {
        other.filter(|other| other.until > self.until).unwrap_or(self)
    }
}

fn check_list(
    list: &CertificateRevocationList<'_>,
    root: &X509Certificate<'_>,
    now: UnixMillis,
) -> Result<Current, Vec<Failure>> {
    let mut failures = Vec::new();
    let (tbs, inner) = (list.tbs_cert_list.as_ref(), &list.tbs_cert_list.signature);
    let envelope = Envelope { whole: list.as_raw(), tbs, inner, signature: &list.signature_value };
    if !may(root, KeyRole::ListSigner) || !envelope.is_signed_by(root.public_key()) {
        failures.push(Failure::new("crl-signature", "the signature of a revocation list does not hold"));
    }
    // A critical extension narrows what a list speaks of: none is understood here.
    if list.extensions().iter().any(|extension| extension.critical) {
        failures.push(Failure::new("crl-extension", "a revocation list has a critical extension"));
    }
    let from = millis(list.last_update());
    let Some(until) = list.next_update().map(millis) else {
        failures.push(Failure::new("crl-without-end", "a revocation list names no next update"));
        return Err(failures);
    };
    failures.extend(Window::new(now).admit("a revocation list", from, until));
    match failures.is_empty() {
        true => Ok(Current { from, until }),
        false => Err(failures),
    }
}
