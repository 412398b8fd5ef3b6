//! **Duty.** Roots of timestamp authorities, which a file names; no release pins one. **Knows** X.509, RSA and ECDSA
//! through the library. **Does not know** timestamps (appraisal). **Spec.** RFC 5280 §4.2.1.9, RFC 3161 §2.3.

use weighbridge_attest_types::{CertificateAnchor, Digest32};
use x509_parser::prelude::X509Certificate;

use super::{AnchorFile, AnchorFileError};
use crate::pem::pem_certificates;
use crate::x509::{parse_chain, spki_sha256, unknown_or_repeated_extension};

/// Adds the root of a file.
pub(super) fn add(file: AnchorFile, into: &mut Vec<CertificateAnchor>) -> Result<(), AnchorFileError> {
    let AnchorFile { name, grade, certificate_pem: Some(pem), key: None, chain: None, .. } = file else {
        return Err(AnchorFileError::Format("a root has `certificate_pem` and neither `key` nor `chain`".to_owned()));
    };
    let (der, pin) = read_root(&pem).map_err(|why| AnchorFileError::Anchor { name: name.clone(), why })?;
    if let Some(earlier) = into.iter().find(|earlier| earlier.spki_sha256 == pin) {
        return Err(AnchorFileError::Repeated { name, earlier: earlier.name.clone() });
    }
    into.push(CertificateAnchor { name, grade, spki_sha256: pin, der: Some(der) });
    Ok(())
}

/// One self-signed authority. Its dates are checked at the instant of each token.
fn read_root(pem: &str) -> Result<(Vec<u8>, Digest32), String> {
    let ders = pem_certificates(pem.as_bytes()).map_err(|error| error.to_string())?;
    let [der] = <[Vec<u8>; 1]>::try_from(ders).map_err(|all| format!("{} certificates instead of one", all.len()))?;
    let chain = std::slice::from_ref(&der);
    let certificates = parse_chain(chain).map_err(|failure| failure.message)?;
    let [root] = certificates.as_slice() else {
        return Err("it has no certificate".to_owned());
    };
    if !is_authority(root) {
        return Err("it is not a certificate authority that signs certificates".to_owned());
    }
    if root.subject() != root.issuer() || root.verify_signature(None).is_err() {
        return Err("it is not signed by its own key".to_owned());
    }
    // Whoever builds a path to an anchor looks at its name and key: what else restricts a root has to be known here. The
    // length of its paths is checked with each token.
    if let Some(oid) = unknown_or_repeated_extension(root.extensions()) {
        return Err(format!("its extension {oid} is repeated, or critical and not understood"));
    }
    let pin = spki_sha256(root);
    Ok((der, pin))
}

fn is_authority(root: &X509Certificate<'_>) -> bool {
    let constrained = matches!(root.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca);
    let signs = match root.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    constrained && signs
}
