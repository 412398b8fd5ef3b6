//! **Duty.** Intel's revocation lists: the root's and that of a PCK authority, of one collateral and of all that were given.
//! **Does not know** statements. **Spec.** EVIDENCE §2.2 (2).

use std::collections::BTreeSet;

use weighbridge_attest_types::UnixMillis;
use x509_parser::prelude::{CertificateRevocationList, X509Certificate};

use super::{Candidate, REVOKED};
use crate::crl::{Current, RevocationList};
use crate::error::Failure;
use crate::x509::{Curve, TrustedPath, Window, is_list_signed};

/// A list that its issuer signed and that is current.
#[derive(Debug, Clone, Copy)]
struct CurrentList<'c> {
    list: &'c RevocationList,
    until: UnixMillis,
}

/// Lists that hold now: of one collateral one each, of all that was given each once.
#[derive(Debug, Default)]
pub(super) struct Revocations<'c> {
    root: Vec<CurrentList<'c>>,
    pck: Vec<CurrentList<'c>>,
}

impl<'c> Revocations<'c> {
    /// All that are by this chain's authorities; what is wrong with the others is told where they are needed.
    pub(super) fn gather(
        candidates: impl Iterator<Item = &'c Candidate>,
        path: &TrustedPath<'_, '_>,
        now: UnixMillis,
    ) -> Self {
        let [_, authority, root] = path.certificates() else { return Self::default() };
        let (mut gathered, mut of_root, mut of_pck) = (Self::default(), BTreeSet::new(), BTreeSet::new());
        let current = |list: Option<&'c RevocationList>, issuer| {
            check("a revocation list", list?, issuer, &mut Window::new(now)).ok()
        };
        for Candidate { raw, root_list, pck_list, .. } in candidates {
            if of_root.insert(raw.root_ca_crl.as_slice()) {
                gathered.root.extend(current(root_list.as_ref(), root));
            }
            if of_pck.insert(raw.pck_crl.as_slice()) {
                gathered.pck.extend(current(pck_list.as_ref(), authority));
            }
        }
        gathered
    }

    /// The two of one collateral: the root's covers the authorities; the PCK list must be by the PCK's own authority.
    pub(super) fn of(
        candidate: &'c Candidate,
        path: &TrustedPath<'_, '_>,
        window: &mut Window,
    ) -> Result<Self, Vec<Failure>> {
        let [_, authority, root] = path.certificates() else {
            return Err(vec![Failure::new("chain-length", "the PCK chain is not PCK, authority, root")]);
        };
        let mut read = |what: &str, list: Option<&'c RevocationList>, issuer| match list {
            Some(list) => check(what, list, issuer, window),
            None => Err(vec![Failure::new("crl-unreadable", format!("{what} is not one revocation list"))]),
        };
        let of_root = read("the root's revocation list", candidate.root_list.as_ref(), root);
        let of_authority = read("the PCK revocation list", candidate.pck_list.as_ref(), authority);
        match (of_root, of_authority) {
            (Ok(root), Ok(pck)) => Ok(Self { root: vec![root], pck: vec![pck] }),
            (of_root, of_authority) => Err(of_root.err().into_iter().chain(of_authority.err()).flatten().collect()),
        }
    }

    /// What of a PCK chain is revoked.
    pub(super) fn of_chain(&self, chain: &[X509Certificate<'_>]) -> Vec<Failure> {
        let [pck, authority, root] = chain else { return Vec::new() };
        let listed = [
            ("the PCK certificate", names(&self.pck, pck)),
            ("the PCK authority", self.revokes_below_root(authority)),
            ("the root", self.revokes_below_root(root)),
        ];
        let revoked = listed.into_iter().filter(|(_, revoked)| *revoked);
        revoked.map(|(what, _)| Failure::new(REVOKED, format!("{what} is revoked"))).collect()
    }

    pub(super) fn revokes_below_root(&self, certificate: &X509Certificate<'_>) -> bool {
        names(&self.root, certificate)
    }

    /// When the two lists of one collateral end.
    pub(super) fn ends(&self) -> Option<[UnixMillis; 2]> {
        Some([self.root.first()?.until, self.pck.first()?.until])
    }
}

/// A hold counts as well: no policy waives one here.
fn names(lists: &[CurrentList<'_>], certificate: &X509Certificate<'_>) -> bool {
    lists.iter().any(|current| current.list.says_about(certificate).is_some())
}

fn check<'c>(
    what: &str,
    list: &'c RevocationList,
    issuer: &X509Certificate<'_>,
    window: &mut Window,
) -> Result<CurrentList<'c>, Vec<Failure>> {
    let Current { from, until } = list.check_named(what, issuer, is_signed, window.now())?;
    window.admit(what, from, until);
    Ok(CurrentList { list, until })
}

fn is_signed(list: &CertificateRevocationList<'_>, issuer: &X509Certificate<'_>) -> bool {
    is_list_signed(list, issuer, Curve::P256)
}
