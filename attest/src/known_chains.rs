//! **Duty.** Chains that led to a trust anchor: a device shows the same one with every report, and the signatures in it are
//! checked once. **Knows** digests of whole chains. **Does not know** dates, anchors or revocation: they are compared each
//! time. **Spec.** docs/decisions/0065.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use weighbridge_attest_types::{CertificateAnchor, Digest32, sha256};
use x509_parser::prelude::X509Certificate;

use crate::budget::MAX_KNOWN_CHAINS;
use crate::error::Failure;
use crate::x509::{Curve, TrustedPath, Window, check_links, check_path};

/// Digests of chains whose every link holds. Only a chain under an anchor comes in: a stranger's fills nothing.
#[derive(Debug, Default)]
pub(crate) struct KnownChains(Mutex<BTreeSet<Digest32>>);

impl KnownChains {
    /// Every link, date and the anchor; the links of a chain that led to an anchor before are not asked again.
    pub(crate) fn check_path<'c, 'a>(
        &self,
        certificates: &'c [X509Certificate<'c>],
        curve: Curve,
        anchors: &'a [CertificateAnchor],
        window: &mut Window,
    ) -> Result<TrustedPath<'c, 'a>, Vec<Failure>> {
        let digest = digest_of(certificates, curve);
        if self.knows(digest) {
            return check_path(certificates, &[], anchors, window);
        }
        let links = check_links(certificates, curve);
        let path = check_path(certificates, &links, anchors, window)?;
        self.keep(digest);
        Ok(path)
    }

    fn knows(&self, digest: Digest32) -> bool {
        // A thread that panicked has left whole digests.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest)
    }

    fn keep(&self, digest: Digest32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_KNOWN_CHAINS {
            known.insert(digest);
        }
    }
}

/// Over every byte of every certificate, each after its length.
fn digest_of(certificates: &[X509Certificate<'_>], curve: Curve) -> Digest32 {
    let mut bytes = vec![match curve {
        Curve::P256 => 1,
        Curve::P384 => 2,
    }];
    for certificate in certificates {
        bytes.extend(certificate.as_raw().len().to_le_bytes());
        bytes.extend(certificate.as_raw());
    }
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
    use weighbridge_attest_types::{Grade, UnixMillis};

    use super::*;
    use crate::x509::{parse_chain, spki_sha256};

    const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

    fn key() -> KeyPair {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
    }

    /// Leaf and root.
    fn chain() -> Vec<Vec<u8>> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut leaf = CertificateParams::default();
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let root_key = key();
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let leaf_der = leaf.signed_by(&key(), &Issuer::new(root, root_key)).unwrap().der().to_vec();
        vec![leaf_der, root_der]
    }

    fn codes(known: &KnownChains, ders: &[Vec<u8>], anchor: &[u8], now: UnixMillis) -> Vec<&'static str> {
        let certificates = parse_chain(ders).unwrap();
        let root = [anchor.to_vec()];
        let spki_sha256 = spki_sha256(&parse_chain(&root).unwrap()[0]);
        let anchors = [CertificateAnchor { name: "test".into(), grade: Grade::Simulated, spki_sha256, der: None }];
        let path = known.check_path(&certificates, Curve::P256, &anchors, &mut Window::new(now));
        path.err().unwrap_or_default().iter().map(|failure| failure.code).collect()
    }

    #[test]
    fn only_the_links_of_exactly_this_chain_are_known() {
        let (known, ders, other) = (KnownChains::default(), chain(), chain());
        let size = || known.0.lock().unwrap().len();
        // Under a stranger's root nothing is kept, and what was kept is refused under another root and at another time.
        assert_eq!((codes(&known, &ders, &other[1], NOW), size()), (vec!["unknown-root"], 0));
        assert_eq!((codes(&known, &ders, &ders[1], NOW), size()), (vec![], 1));
        assert_eq!((codes(&known, &ders, &ders[1], NOW), size()), (vec![], 1));
        assert_eq!(codes(&known, &ders, &other[1], NOW), ["unknown-root"]);
        assert_eq!(codes(&known, &ders, &ders[1], UnixMillis(u64::MAX)), ["expired"; 2]);
        // Another chain with one certificate in common, and the same with one bit changed.
        let mixed = vec![other[0].clone(), ders[1].clone()];
        assert!(codes(&known, &mixed, &ders[1], NOW).contains(&"certificate-signature"));
        let mut changed = ders.clone();
        *changed[0].last_mut().unwrap() ^= 1;
        assert_eq!((codes(&known, &changed, &ders[1], NOW), size()), (vec!["certificate-signature"], 1));
        assert_eq!(codes(&known, &ders[1..], &ders[1], NOW), ["chain-length"]);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let known = KnownChains::default();
        for number in 0..u64::try_from(MAX_KNOWN_CHAINS).unwrap() + 3 {
            known.keep(sha256(&number.to_le_bytes()));
        }
        assert_eq!(known.0.lock().unwrap().len(), MAX_KNOWN_CHAINS);
    }
}
