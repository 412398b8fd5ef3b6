//! **Duty.** One profile of XML-DSig: one enveloped signature over the whole document, fixed algorithms, keys as
//! certificates. Everything that is read afterwards comes from the bytes that were signed. **Does not know** whom the
//! certificates belong to, nor what the document says. **Spec.** EVIDENCE §1.5; W3C XML-DSig 1.1 as far as NVIDIA uses it.
//!
//! Two byte strings decide: the canonical signed info, over which the signature must hold, and the canonical document,
//! whose digest must stand in it. Algorithms, reference and digest are read from the first, values from the second, and
//! neither from the text as received: whatever stands there and is not in them was not signed and is not looked at, but
//! for the signature itself and its certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA384, digest};
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use super::canonical::{Canonical, canonicalise};
use super::xml::{self, Element};
use crate::budget::{MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES};
use crate::error::Failure;
use crate::x509::{Curve, parse_chain, public_point};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const C14N_11: &str = "http://www.w3.org/2006/12/xml-c14n11";
const SHA_384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const ECDSA_SHA_384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SIGNATURE_BYTES: usize = 96;

/// A document whose signature holds under the first of its certificates. Nobody vouches for those yet.
#[derive(Debug)]
pub(super) struct SignedDocument {
    /// What was signed, in canonical form.
    pub(super) content: Vec<u8>,
    /// DER, leaf first, as they stand in the signature.
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Opens a signed document whose root has this name.
pub(super) fn open(bytes: &[u8], namespace: &str, root: &str) -> Result<SignedDocument, Failure> {
    let document = xml::parse(bytes).map_err(|why| Failure::new("rim-xml", why))?;
    let signature = the_signature(&document, namespace, root).map_err(profile)?;
    let [_, value, key_info] = signature.children.as_slice() else {
        return Err(profile("a Signature has other children than SignedInfo, SignatureValue and KeyInfo".to_owned()));
    };
    let value = decode(value).filter(|value| value.len() == SIGNATURE_BYTES);
    let value = value.ok_or_else(|| profile("SignatureValue is not 96 bytes in base64".to_owned()))?;
    let certificates = read_certificates(key_info).map_err(profile)?;

    let text = std::str::from_utf8(bytes).map_err(|why| Failure::new("rim-xml", why.to_string()))?;
    let signed = canonicalise(text, DSIG, "Signature").map_err(|why| Failure::new("rim-xml", why))?;
    check_signature(&signed, &value, &certificates)?;
    Ok(SignedDocument { content: signed.content, certificates })
}

/// The only `Signature`, a child of the root. No second root element hides in it, whatever its prefix.
fn the_signature<'e, 'a>(document: &'e Element<'a>, namespace: &str, root: &str) -> Result<&'e Element<'a>, String> {
    let (mut signatures, mut roots) = (0usize, 0usize);
    document.walk(&mut |element| {
        signatures = signatures.saturating_add(usize::from(element.local == "Signature"));
        roots = roots.saturating_add(usize::from(element.local == root));
    });
    if !document.is(namespace, root) || roots != 1 {
        return Err(format!("the document is not one {root:?} of namespace {namespace:?}"));
    }
    let found = document.children.iter().find(|child| child.is(DSIG, "Signature"));
    let signature = found.filter(|_| signatures == 1).ok_or("there is not exactly one Signature, below the root")?;
    let names: Vec<&str> = signature.children.iter().map(|child| child.local).collect();
    let ours = signature.children.iter().all(|child| child.namespace == DSIG);
    match ours && names == ["SignedInfo", "SignatureValue", "KeyInfo"] && signature.attributes.is_empty() {
        true => Ok(signature),
        false => Err(format!("a Signature holds SignedInfo, SignatureValue and KeyInfo, this one {names:?}")),
    }
}

/// KeyInfo is one X509Data of certificates alone.
fn read_certificates(key_info: &Element<'_>) -> Result<Vec<Vec<u8>>, String> {
    let [data] = key_info.children.as_slice() else {
        return Err("KeyInfo is not one X509Data".to_owned());
    };
    let only_certificates = data.children.iter().all(|child| child.is(DSIG, "X509Certificate"));
    if !data.is(DSIG, "X509Data") || !only_certificates {
        return Err("X509Data holds something else than certificates".to_owned());
    }
    let ders: Option<Vec<Vec<u8>>> = data.children.iter().map(decode).collect();
    let ders = ders.ok_or("a certificate is not base64")?;
    let total = ders.iter().fold(0usize, |total, der| total.saturating_add(der.len()));
    match (1..=MAX_CHAIN_CERTIFICATES).contains(&ders.len()) && total <= MAX_CHAIN_BYTES {
        true => Ok(ders),
        false => Err(format!("{} certificates of {total} bytes are no chain", ders.len())),
    }
}

/// First the signature over the signed info, then what the signed info says, then the digest in it.
fn check_signature(signed: &Canonical, value: &[u8], certificates: &[Vec<u8>]) -> Result<(), Failure> {
    let chain = parse_chain(certificates)?;
    let leaf = chain.first().filter(|leaf| Curve::P384.is_key_of(leaf.public_key()));
    let leaf = leaf.ok_or_else(|| profile("the signer's key is not on P-384".to_owned()))?;
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_point(leaf));
    if key.verify(&signed.signed_info, value).is_err() {
        return Err(Failure::new("rim-signature", "the signer's certificate has not signed this manifest"));
    }
    let signed_info = xml::parse(&signed.signed_info).map_err(|why| Failure::new("rim-xml", why))?;
    let wanted = read_digest(&signed_info).map_err(profile)?;
    match digest(&SHA384, &signed.content).as_ref() == wanted {
        true => Ok(()),
        false => Err(Failure::new("rim-signature", "the manifest was changed after it was signed: the digest differs")),
    }
}

/// The digest in a signed info of exactly this shape.
fn read_digest(signed_info: &Element<'_>) -> Result<Vec<u8>, String> {
    let [canonicalization, method, reference] = signed_info.children.as_slice() else {
        return Err("SignedInfo has other children than two methods and one Reference".to_owned());
    };
    let root_is_plain = signed_info.is(DSIG, "SignedInfo") && signed_info.attributes.is_empty();
    if !root_is_plain
        || !is_method(canonicalization, "CanonicalizationMethod", C14N_11)
        || !is_method(method, "SignatureMethod", ECDSA_SHA_384)
    {
        return Err("the methods of the signature are not C14N 1.1 and ECDSA with SHA-384".to_owned());
    }
    let [transforms, digest_method, digest_value] = reference.children.as_slice() else {
        return Err("the Reference has other children than Transforms and a digest".to_owned());
    };
    let whole_document = reference.attributes.len() == 1 && reference.attribute("", "URI") == Some("");
    if !reference.is(DSIG, "Reference") || !whole_document {
        return Err("the Reference is not to the whole document (URI \"\")".to_owned());
    }
    let both = match transforms.children.as_slice() {
        [first, second] => is_method(first, "Transform", ENVELOPED) && is_method(second, "Transform", C14N_11),
        _ => false,
    };
    if !transforms.is(DSIG, "Transforms") || !transforms.attributes.is_empty() || !both {
        return Err("the transforms are not enveloped-signature and C14N 1.1".to_owned());
    }
    let plain = digest_value.is(DSIG, "DigestValue") && digest_value.attributes.is_empty();
    if !is_method(digest_method, "DigestMethod", SHA_384) || !plain {
        return Err("the digest is not SHA-384".to_owned());
    }
    decode(digest_value).ok_or_else(|| "the digest is not base64".to_owned())
}

/// An element that names one algorithm and nothing else.
fn is_method(element: &Element<'_>, local: &str, algorithm: &str) -> bool {
    element.is(DSIG, local)
        && element.attributes.len() == 1
        && element.attribute("", "Algorithm") == Some(algorithm)
        && element.children.is_empty()
        && element.text.trim().is_empty()
}

/// Base64 in lines. An element with children has no text.
fn decode(element: &Element<'_>) -> Option<Vec<u8>> {
    let plain = element.children.is_empty() && element.attributes.is_empty();
    let digits: String = element.text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    plain.then(|| STANDARD.decode(digits).ok()).flatten()
}

fn profile(why: String) -> Failure {
    Failure::new("rim-profile", why)
}
