//! **Duty.** Reference manifests as NVIDIA's service gives them: SWID tags in canonical form, with an enveloped XML
//! signature under the development authorities for reference values. **Knows** the bytes of the profile, and how to write
//! others on purpose. **Does not know** reports or readers of XML. **Spec.** EVIDENCE §1.5.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA384, digest};

use crate::keys::P384Key;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const SHA_384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const TCG_RIM: &str =
    "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";
const END: &str = "</SoftwareIdentity>";

/// One measurement of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RimResource {
    /// Whether it is compared.
    pub active: bool,
    /// Values that are allowed.
    pub alternatives: Vec<[u8; 48]>,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RimOptions {
    /// `GPU` or `SWITCH`.
    pub edition: String,
    /// Chip.
    pub product: String,
    /// Version of the firmware.
    pub version: String,
    /// All measurements, in order of their index.
    pub resources: Vec<RimResource>,
}

impl RimOptions {
    /// A manifest that allows exactly these values at these indexes, and is silent about the others.
    #[must_use]
    pub fn allowing(edition: &str, product: &str, version: &str, measurements: &[[u8; 48]], active: &[usize]) -> Self {
        let resource = |index: usize| match measurements.get(index).filter(|_| active.contains(&index)) {
            Some(value) => RimResource { active: true, alternatives: vec![*value] },
            None => RimResource { active: false, alternatives: vec![[0; 48]] },
        };
        Self {
            edition: edition.to_owned(),
            product: product.to_owned(),
            version: version.to_owned(),
            resources: (0..64).map(resource).collect(),
        }
    }

    /// The tag in canonical form, not signed.
    #[must_use]
    pub fn content(&self) -> String {
        let Self { edition, product, version, resources } = self;
        let tag = hex::encode(digest(&SHA384, format!("{edition}{product}{version}").as_bytes()));
        let mut text = format!(
            "<SoftwareIdentity xmlns=\"{SWID}\" xmlns:ns0=\"{SWID}\" xmlns:ns2=\"{SHA_384}\" corpus=\"false\" \
             name=\"{product}\" patch=\"false\" supplemental=\"false\" tagId=\"{tag}\" tagVersion=\"0\" version=\"1.0\">\n"
        );
        text += "    <ns0:Entity name=\"SIMULATED\" role=\"softwareCreator tagCreator\"></ns0:Entity>\n";
        let _written = write!(
            text,
            "    <ns0:Meta xmlns:ns1=\"{TCG_RIM}\" PayloadType=\"direct\" colloquialVersion=\"{version}\" \
             edition=\"{edition}\" product=\"{product}\" revision=\"r1\" ns1:BindingSpec=\"RIMIM\" \
             ns1:FirmwareManufacturer=\"SIMULATED\" ns1:FirmwareManufacturerId=\"5703\" \
             ns1:PlatformModel=\"{product}\"></ns0:Meta>\n    <ns0:Payload xmlns:SHA384=\"{SHA_384}\">\n"
        );
        for (index, resource) in resources.iter().enumerate() {
            text += &resource.text(index);
        }
        text + "    </ns0:Payload>\n" + END
    }
}

impl RimResource {
    /// One element of the Payload, in canonical form.
    #[must_use]
    pub fn text(&self, index: usize) -> String {
        let Self { active, alternatives } = self;
        let active = if *active { "True" } else { "False" };
        let mut named: Vec<_> =
            alternatives.iter().enumerate().map(|(at, value)| (format!("Hash{at}"), value)).collect();
        // Canonical form orders attributes by name: Hash10 comes before Hash2.
        named.sort();
        let hashes: String =
            named.into_iter().map(|(name, value)| format!(" ns2:{name}=\"{}\"", hex::encode(value))).collect();
        format!(
            "        <ns0:Resource active=\"{active}\" alternatives=\"{}\" index=\"{index}\" \
             name=\"Measurement_{index}\" size=\"48\" type=\"Measurement\"{hashes}></ns0:Resource>\n",
            alternatives.len()
        )
    }
}

/// What a signature announces; [`RimProfile::genuine`] is NVIDIA's. Whatever it says, the digest is taken over the content
/// as it is and the signature is ECDSA with SHA-384: only a reader of the announcement can refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RimProfile {
    /// CanonicalizationMethod.
    pub canonicalization: String,
    /// SignatureMethod.
    pub signature: String,
    /// URI of the Reference.
    pub uri: String,
    /// Transforms.
    pub transforms: Vec<String>,
    /// DigestMethod.
    pub digest: String,
    /// Stands at the end of SignedInfo, in canonical form.
    pub more: String,
}

impl RimProfile {
    /// As NVIDIA signs.
    #[must_use]
    pub fn genuine() -> Self {
        let c14n = "http://www.w3.org/2006/12/xml-c14n11".to_owned();
        Self {
            canonicalization: c14n.clone(),
            signature: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384".to_owned(),
            uri: String::new(),
            transforms: vec![format!("{DSIG}enveloped-signature"), c14n],
            digest: "http://www.w3.org/2001/04/xmldsig-more#sha384".to_owned(),
            more: String::new(),
        }
    }

    /// SignedInfo in canonical form, with the declarations that it inherits where it stands, or without.
    fn signed_info(&self, inherited: &str, digest: &str) -> String {
        let Self { canonicalization, signature, uri, transforms, digest: method, more } = self;
        let transforms: String =
            transforms.iter().map(|name| format!("<ds:Transform Algorithm=\"{name}\"></ds:Transform>")).collect();
        format!(
            "<ds:SignedInfo{inherited}><ds:CanonicalizationMethod Algorithm=\"{canonicalization}\">\
             </ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"{signature}\"></ds:SignatureMethod>\
             <ds:Reference URI=\"{uri}\"><ds:Transforms>{transforms}</ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{method}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue>\
             </ds:Reference>{more}</ds:SignedInfo>"
        )
    }
}

/// Signs whatever it is given.
#[derive(Debug, Clone)]
pub struct RimSigner {
    key: P384Key,
    /// Signer first, root last.
    certificates: Vec<Vec<u8>>,
}

impl RimSigner {
    pub(crate) fn new(key: P384Key, certificates: Vec<Vec<u8>>) -> Self {
        Self { key, certificates }
    }

    /// DER certificates, signer first, root last.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The same key under other certificates.
    #[must_use]
    pub fn with_certificates(&self, certificates: Vec<Vec<u8>>) -> Self {
        Self { certificates, ..self.clone() }
    }

    /// A manifest as NVIDIA would give it.
    #[must_use]
    pub fn rim(&self, options: &RimOptions) -> Vec<u8> {
        self.sign(&options.content()).into_bytes()
    }

    /// Signs a tag in canonical form: it ends in `</SoftwareIdentity>`, before which the signature goes.
    #[must_use]
    pub fn sign(&self, content: &str) -> String {
        self.sign_with(content, &RimProfile::genuine())
    }

    /// The same under another announcement.
    ///
    /// # Panics
    /// When the content does not end as a tag does.
    #[must_use]
    pub fn sign_with(&self, content: &str, profile: &RimProfile) -> String {
        let body = content.strip_suffix(END).expect("a tag ends in its own end tag");
        format!("{body}{}{END}", self.signature(content, profile))
    }

    /// The signature alone.
    #[must_use]
    pub fn signature(&self, content: &str, profile: &RimProfile) -> String {
        let digest = STANDARD.encode(digest(&SHA384, content.as_bytes()));
        let inherited = format!(" xmlns=\"{SWID}\" xmlns:ds=\"{DSIG}\" xmlns:ns0=\"{SWID}\" xmlns:ns2=\"{SHA_384}\"");
        let value = STANDARD.encode(self.key.sign_raw(profile.signed_info(&inherited, &digest).as_bytes()));
        let certificates: String = self
            .certificates
            .iter()
            .map(|der| format!("<ds:X509Certificate>{}\n</ds:X509Certificate>", STANDARD.encode(der)))
            .collect();
        format!(
            "<ds:Signature xmlns:ds=\"{DSIG}\">{}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo>\
             <ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>",
            profile.signed_info("", &digest)
        )
    }
}
