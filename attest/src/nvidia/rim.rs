//! **Duty.** NVIDIA's reference manifests (RIM): SWID tags of 64 measurements, and the chain that their signer hangs on.
//! **Does not know** reports. **Spec.** EVIDENCE §1.5, ISO 19770-2:2015 as far as NVIDIA uses it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use weighbridge_attest_types::{CertificateAnchor, Digest32, FirmwareVersion, sha256};
use x509_parser::prelude::X509Certificate;

use super::dsig;
use super::part::Part;
use super::report::Measurement;
use super::xml::{self, Element};
use crate::budget::MAX_RIM_ALTERNATIVES;
use crate::error::Failure;
use crate::x509::{
    Curve, Window, check_chain_dates, check_links, common_name, find_anchor, millis, parse_chain, unknown_root,
};

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const ROOT: &str = "SoftwareIdentity";
/// Of the attributes that name the maker.
const TCG_RIM: &str =
    "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";
/// Of the attributes that hold digests.
const SHA_384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
/// NVIDIA's number.
const MANUFACTURER: &str = "5703";
/// Signer (L4), intermediate (L3), authority of the chip, root.
const CHAIN_CERTIFICATES: usize = 4;
/// Names of keys that sign manifests nobody may rely on.
const DEBUG_ONLY: &str = "Debug Only";
const RESOURCES: usize = 64;
/// Longest product or version. Source: genuine ones have at most 14 bytes; they are printed.
const MAX_WORD_BYTES: usize = 32;

/// A manifest that is what its signer signed. Whether the signer is NVIDIA's, [`Rim::check`] says.
#[derive(Debug)]
pub(crate) struct Rim {
    pub(super) values: RimValues,
    certificates: Vec<Vec<u8>>,
    /// Of what was signed: tells manifests apart.
    pub(super) digest: Digest32,
    /// Failures of the chain that depend neither on time nor on anchors.
    links: OnceLock<Vec<Failure>>,
}

/// What a manifest says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RimValues {
    pub(super) part: Part,
    /// Chip, such as `GH100`.
    pub(super) product: String,
    pub(super) version: FirmwareVersion,
    /// Allowed measurements by index, of active indexes.
    pub(super) golden: BTreeMap<u8, Vec<Measurement>>,
}

impl Rim {
    /// Reads a manifest whose signature holds under its own first certificate.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let signed = dsig::open(bytes, SWID, ROOT)?;
        let content = xml::parse(&signed.content).map_err(|why| Failure::new("rim-xml", why))?;
        let values = read_values(&content).map_err(|why| Failure::new("rim-values", why))?;
        let digest = sha256(&signed.content);
        Ok(Self { values, certificates: signed.certificates, digest, links: OnceLock::new() })
    }

    /// The signer's chain, up to an anchor, at the window's instant. All failures are listed.
    pub(super) fn check<'a>(
        &self,
        anchors: &'a [CertificateAnchor],
        window: &mut Window,
    ) -> Result<&'a CertificateAnchor, Vec<Failure>> {
        let chain = self.chain().map_err(|failure| vec![failure])?;
        let mut failures = self.links.get_or_init(|| check_shape(&chain)).clone();
        failures.extend(check_chain_dates(&chain, window));
        let anchor = chain.last().and_then(|root| find_anchor(root, anchors));
        match anchor {
            Some(anchor) if failures.is_empty() => return Ok(anchor),
            Some(_) => {}
            None => failures.push(unknown_root(&chain)),
        }
        Err(failures.iter().map(|failure| self.named(failure)).collect())
    }

    /// Signer first.
    pub(super) fn chain(&self) -> Result<Vec<X509Certificate<'_>>, Failure> {
        parse_chain(&self.certificates)
    }

    /// When its signer's certificate begins: manifests are signed anew by later ones.
    pub(super) fn signed_from(&self) -> u64 {
        let chain = self.chain().unwrap_or_default();
        chain.first().map_or(0, |signer| millis(signer.validity().not_before).0)
    }

    /// A failure that says which manifest it is about.
    pub(super) fn named(&self, failure: &Failure) -> Failure {
        let RimValues { product, version, .. } = &self.values;
        Failure::new(failure.code, format!("reference manifest {product} {version}: {}", failure.message))
    }
}

/// Four certificates for production, each signed by the next.
fn check_shape(chain: &[X509Certificate<'_>]) -> Vec<Failure> {
    let mut failures = Vec::new();
    if chain.len() != CHAIN_CERTIFICATES {
        let message = format!("its chain has {} certificates, not {CHAIN_CERTIFICATES}", chain.len());
        failures.push(Failure::new("rim-chain", message));
    }
    for name in chain.iter().filter_map(common_name).filter(|name| name.contains(DEBUG_ONLY)) {
        failures.push(Failure::new("rim-chain", format!("{name:?} signs for debugging only")));
    }
    failures.extend(check_links(chain, Curve::P384));
    failures
}

fn read_values(root: &Element<'_>) -> Result<RimValues, String> {
    let meta = only(root, "Meta")?;
    let word = |name: &str| {
        let found = meta.attribute("", name).filter(|word| is_plain(word));
        found.map(str::to_owned).ok_or_else(|| format!("{name} of Meta is no plain word"))
    };
    let (product, version) = (word("product")?, word("colloquialVersion")?);
    let part = match word("edition")?.as_str() {
        "GPU" => Part::Gpu,
        "SWITCH" => Part::Switch,
        other => return Err(format!("edition {other:?} is not known here")),
    };
    if root.attribute("", "name") != Some(&product) {
        return Err("the tag's name is not its product".to_owned());
    }
    if meta.attribute(TCG_RIM, "FirmwareManufacturerId") != Some(MANUFACTURER) {
        return Err(format!("the manufacturer is not {MANUFACTURER}"));
    }
    let golden = read_payload(only(root, "Payload")?)?;
    Ok(RimValues { part, product, version: FirmwareVersion(version), golden })
}

/// The only child of this name.
fn only<'e, 'a>(root: &'e Element<'a>, local: &str) -> Result<&'e Element<'a>, String> {
    let mut named = root.children.iter().filter(|child| child.local == local);
    match (named.next(), named.next()) {
        (Some(found), None) if found.namespace == SWID => Ok(found),
        _ => Err(format!("there is not exactly one {local}")),
    }
}

/// Characters that may stand in an id, a message and a URL.
pub(super) fn is_plain(word: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_WORD_BYTES).contains(&word.len()) && word.bytes().all(known)
}

fn read_payload(payload: &Element<'_>) -> Result<BTreeMap<u8, Vec<Measurement>>, String> {
    let mut seen = [false; RESOURCES];
    let mut golden = BTreeMap::new();
    for resource in &payload.children {
        let Resource { index, active, allowed } = read_resource(resource)?;
        match seen.get_mut(usize::from(index)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(format!("index {index} appears twice, or does not exist")),
        }
        if active {
            golden.insert(index, allowed);
        }
    }
    match (seen.iter().all(|seen| *seen), golden.is_empty()) {
        (true, false) => Ok(golden),
        (false, _) => Err(format!("the Payload has {} of {RESOURCES} measurements", payload.children.len())),
        (true, true) => Err("no measurement is active: it says nothing".to_owned()),
    }
}

struct Resource {
    index: u8,
    active: bool,
    allowed: Vec<Measurement>,
}

fn read_resource(resource: &Element<'_>) -> Result<Resource, String> {
    let text = |name: &str| resource.attribute("", name).unwrap_or_default();
    let number = |name: &str| {
        let digits = text(name);
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse::<u8>().ok().filter(|_| plain).ok_or_else(|| format!("{name} {digits:?} is no number"))
    };
    let is_measurement = resource.is(SWID, "Resource") && resource.children.is_empty() && text("type") == "Measurement";
    if !is_measurement || text("size") != "48" {
        return Err("the Payload holds something else than measurements of 48 bytes".to_owned());
    }
    let active = match text("active") {
        "True" => true,
        "False" => false,
        other => return Err(format!("active is {other:?}")),
    };
    let (index, alternatives) = (number("index")?, usize::from(number("alternatives")?));
    let digests = resource.attributes.iter().filter(|attribute| attribute.namespace == SHA_384).count();
    if !(1..=MAX_RIM_ALTERNATIVES).contains(&alternatives) || digests != alternatives {
        return Err(format!("measurement {index} announces {alternatives} alternatives and has {digests}"));
    }
    let digest = |at: usize| {
        let found = resource.attribute(SHA_384, &format!("Hash{at}")).and_then(|text| hex::decode(text).ok());
        let found = found.and_then(|bytes| Measurement::try_from(bytes).ok());
        found.ok_or_else(|| format!("Hash{at} of measurement {index} is not 48 bytes in hex"))
    };
    Ok(Resource { index, active, allowed: (0..alternatives).map(digest).collect::<Result<_, _>>()? })
}
