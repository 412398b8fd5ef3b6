//! **Duty.** Revocation lists by an ARK: they speak about ASK and ASVK, the only certificates that AMD can take back one
//! by one (all VEKs have serial number 0). **Does not know** where lists come from. **Spec.** EVIDENCE §3.2, §0 rules 2
//! and 3; RFC 5280 §6.3.

use weighbridge_attest_types::NotChecked;
use x509_parser::prelude::{CertificateRevocationList, X509Certificate};

use super::chain::{Envelope, Links};
use crate::crl::{Current, RevocationList};
use crate::error::{Failure, Failures};
use crate::x509::Window;

/// Checks the issuer of a VEK against all lists by its root. A list of another product line says nothing here; among
/// this line's own, one current list is enough, and one that revokes cannot be outvoted.
pub(super) fn check(
    links: Links<'_>,
    lists: &[&RevocationList],
    window: &mut Window,
) -> Result<Option<NotChecked>, Failures> {
    let mut current: Option<Current> = None;
    let mut failures = Vec::new();
    for list in lists.iter().filter(|list| list.names(links.root)) {
        match list.check(links.root, is_signed, window.now()) {
            // A hold counts as well: no policy waives one here.
            Ok(_) if list.says_about(links.issuer).is_some() => {
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

fn is_signed(list: &CertificateRevocationList<'_>, root: &X509Certificate<'_>) -> bool {
    let (tbs, inner) = (list.tbs_cert_list.as_ref(), &list.tbs_cert_list.signature);
    let envelope = Envelope { whole: list.as_raw(), tbs, inner, signature: &list.signature_value };
    envelope.is_signed_by(root.public_key())
}
