//! **Duty.** A signature bundle made with a key: parsed within bounds, its signature checked, its statement read, and the
//! files at hand held to it. **Knows** bytes in memory. **Does not know** files. **Spec.** Sigstore bundle v0.3 (JSON),
//! DSSE v1 (pre-authentication encoding), in-toto Statement v1, OMS v1.0.
//!
//! Nothing of the statement is read before the signature holds: [`SignedFiles::verify`] is the only way to one.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use weighbridge_attest_types::Digest32;

use crate::oms::key::PublicKey;
use crate::oms::{MAX_MODEL_FILES, ModelFile, OmsError, in_order, is_plain_path, model_digest};
use crate::strict;

/// Longest bundle: 65,536 files at some 200 bytes, in base64.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 32 * 1024 * 1024;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
/// How many names an error lists.
const NAMES_SHOWN: usize = 5;
/// How Sigstore names the keys of the three curves (`PublicKeyDetails`).
const KEY_DETAILS: [&str; 5] = [
    "PKIX_ECDSA_P256_SHA_256",
    "PKIX_ECDSA_P384_SHA_384",
    "PKIX_ECDSA_P521_SHA_512",
    "PKIX_ECDSA_P384_SHA_256",
    "PKIX_ECDSA_P521_SHA_256",
];
/// Paths that a signature leaves out. Signers name a handful; each file of the folder is held against each of them.
const MAX_IGNORED_PATHS: usize = 1_024;
/// Longest key id: twice that of a SHA-512 in hex.
const MAX_KEYID_BYTES: usize = 256;

/// What a key signed: the files of a model, each once, in order.
#[derive(Debug, Clone)]
pub(crate) struct SignedFiles {
    subject: String,
    digest: Digest32,
    rules: SignedRules,
    files: Vec<ModelFile>,
}

/// Which files the signer looked at.
#[derive(Debug, Clone)]
pub(crate) struct SignedRules {
    /// Names relative to the model; each with everything below it.
    pub(crate) ignored: Vec<String>,
    pub(crate) allow_symlinks: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBundle {
    media_type: String,
    #[serde(deserialize_with = "strict::object")]
    verification_material: RawMaterial,
    #[serde(default, deserialize_with = "strict::optional_object")]
    dsse_envelope: Option<RawEnvelope>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawMaterial {
    #[serde(default, deserialize_with = "strict::optional_object")]
    public_key: Option<RawKey>,
    #[serde(rename = "x509CertificateChain")]
    x509_certificate_chain: Option<IgnoredAny>,
    certificate: Option<IgnoredAny>,
    #[serde(default)]
    tlog_entries: Vec<IgnoredAny>,
    #[serde(rename = "timestampVerificationData", default, deserialize_with = "strict::optional_object")]
    _timestamps: Option<RawTimestamps>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTimestamps {
    #[serde(rename = "rfc3161Timestamps", default, deserialize_with = "strict::objects_at_most::<0, _, _>")]
    _list: Vec<NoObject>,
}

/// What a list that must be empty would hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoObject {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawKey {
    hint: Option<String>,
    // Written by 1.0; the key that counts is the one that the person names.
    raw_bytes: Option<String>,
    key_details: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawEnvelope {
    payload: String,
    payload_type: String,
    #[serde(deserialize_with = "strict::objects_at_most::<1, _, _>")]
    signatures: Vec<RawSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignature {
    sig: String,
    keyid: Option<String>,
}

#[derive(Deserialize)]
struct RawKind {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawStatement {
    #[serde(rename = "_type")]
    _kind: String,
    #[serde(deserialize_with = "strict::objects")]
    subject: Vec<RawSubject>,
    #[serde(rename = "predicateType")]
    _predicate_type: String,
    #[serde(deserialize_with = "strict::object")]
    predicate: RawPredicate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// Other fields are for verifiers to ignore, says v1.0.
#[derive(Deserialize)]
struct RawPredicate {
    #[serde(deserialize_with = "strict::object")]
    serialization: RawSerialization,
    #[serde(deserialize_with = "strict::objects")]
    resources: Vec<RawResource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSerialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default, deserialize_with = "strict::at_most::<MAX_IGNORED_PATHS, _, _>")]
    ignore_paths: Vec<String>,
    #[serde(rename = "shard_size")]
    _shard_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResource {
    name: String,
    algorithm: String,
    digest: String,
}

impl SignedFiles {
    /// Checks the signature of a bundle and reads what it signs.
    ///
    /// # Errors
    /// [`OmsError`].
    pub(crate) fn verify(bundle: &[u8], key: &PublicKey) -> Result<Self, OmsError> {
        let bundle: RawBundle = strict::from_slice(bundle).map_err(|source| OmsError::Json("bundle", source))?;
        if bundle.media_type != MEDIA_TYPE {
            return Err(unsupported("a bundle of media type", &bundle.media_type));
        }
        let material = bundle.verification_material;
        if material.x509_certificate_chain.is_some()
            || material.certificate.is_some()
            || !material.tlog_entries.is_empty()
        {
            return Err(OmsError::Unsupported(
                "the bundle was signed with a certificate or a log; only signatures by a key are verified here"
                    .to_owned(),
            ));
        }
        let (Some(named), Some(envelope), None) = (material.public_key, bundle.dsse_envelope, bundle.message_signature)
        else {
            return Err(OmsError::Unsupported("the bundle holds no DSSE envelope signed by a key".to_owned()));
        };
        // Unsigned, and older tools leave it out; where it is there, another key is not this one.
        named.check(key)?;
        let payload = envelope.open(key)?;
        Self::read(&payload)
    }

    /// Reads a payload whose signature holds.
    fn read(payload: &[u8]) -> Result<Self, OmsError> {
        let malformed = |source| OmsError::Json("statement", source);
        let RawKind { kind, predicate_type } = strict::from_slice(payload).map_err(malformed)?;
        if kind != STATEMENT_TYPE {
            return Err(unsupported("a statement of type", &kind));
        }
        if predicate_type != PREDICATE_TYPE {
            return Err(unsupported("a predicate of type", &predicate_type));
        }
        let statement: RawStatement = strict::from_slice(payload).map_err(malformed)?;
        let rules = statement.predicate.serialization.check()?;
        let files = check_resources(statement.predicate.resources)?;
        let digest = model_digest(&files);
        let [RawSubject { name: subject, digest: digests }] = <[RawSubject; 1]>::try_from(statement.subject)
            .map_err(|subjects| OmsError::Statement(format!("{} subjects instead of one", subjects.len())))?;
        let [(algorithm, named)] =
            <[(String, String); 1]>::try_from(digests.into_iter().collect::<Vec<_>>()).map_err(|digests| {
                OmsError::Statement(format!("{} digests of the subject instead of one", digests.len()))
            })?;
        if algorithm != "sha256" || parse_digest(&named)? != digest {
            return Err(OmsError::Statement(format!("its digest is {algorithm}:{named}, its files come to {digest}")));
        }
        Ok(Self { subject, digest, rules, files })
    }

    /// The model's name as the signer had it; of no consequence.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) const fn digest(&self) -> Digest32 {
        self.digest
    }

    pub(crate) const fn rules(&self) -> &SignedRules {
        &self.rules
    }

    /// Number of files signed.
    pub(crate) const fn count(&self) -> usize {
        self.files.len()
    }

    /// Whether the names are exactly those signed: asked before anything large is hashed.
    ///
    /// # Errors
    /// [`OmsError::Differ`], naming what is missing and what nobody signed.
    pub(crate) fn hold_names<'a>(&self, found: impl Iterator<Item = &'a str>) -> Result<(), OmsError> {
        let signed: BTreeSet<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let found: BTreeSet<&str> = found.collect();
        let mut differences = Vec::new();
        differences.extend(listed("missing", &mut signed.difference(&found).copied()));
        differences.extend(listed("not signed", &mut found.difference(&signed).copied()));
        if differences.is_empty() { Ok(()) } else { Err(OmsError::Differ(differences.join("; "))) }
    }

    /// Whether the files are exactly those signed.
    ///
    /// # Errors
    /// [`OmsError::Differ`].
    pub(crate) fn hold(&self, found: &[ModelFile]) -> Result<(), OmsError> {
        self.hold_names(found.iter().map(|file| file.name.as_str()))?;
        let signed: BTreeMap<&str, Digest32> =
            self.files.iter().map(|file| (file.name.as_str(), file.sha256)).collect();
        let other = |file: &&ModelFile| signed.get(file.name.as_str()) != Some(&file.sha256);
        match listed("other bytes", &mut found.iter().filter(other).map(|file| file.name.as_str())) {
            Some(difference) => Err(OmsError::Differ(difference)),
            None => Ok(()),
        }
    }
}

impl RawKey {
    /// Nothing here is signed: whatever could be read as something else is refused.
    fn check(self, key: &PublicKey) -> Result<(), OmsError> {
        // Older tools leave it out; where it is there, another key is not this one.
        if let Some(named) = self.hint.filter(|hint| !hint.is_empty() && hint != key.hint()) {
            return Err(OmsError::OtherKey { named: named.chars().take(64).collect(), given: key.hint().to_owned() });
        }
        let is_key = |text: String| STANDARD.decode(text).is_ok_and(|bytes| key.is_written(&bytes));
        if !self.raw_bytes.is_none_or(is_key) {
            return Err(OmsError::Unsigned("rawBytes that are not the given key"));
        }
        if !self.key_details.is_none_or(|details| KEY_DETAILS.contains(&details.as_str())) {
            return Err(OmsError::Unsigned("keyDetails of no key that signs models"));
        }
        Ok(())
    }
}

/// Letters, digits and what stands in fingerprints: no space, no bracket, nothing that a template or a program needs.
fn is_plain_keyid(keyid: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-.:".contains(&byte);
    keyid.len() <= MAX_KEYID_BYTES && keyid.bytes().all(plain)
}

impl RawEnvelope {
    /// The payload, once its signature holds.
    fn open(self, key: &PublicKey) -> Result<Vec<u8>, OmsError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(unsupported("a payload of type", &self.payload_type));
        }
        let [RawSignature { sig, keyid }] = <[RawSignature; 1]>::try_from(self.signatures)
            .map_err(|signatures| OmsError::Statement(format!("{} signatures instead of one", signatures.len())))?;
        if !keyid.is_none_or(|keyid| is_plain_keyid(&keyid)) {
            return Err(OmsError::Unsigned("a keyid that is no name of a key"));
        }
        let payload = STANDARD.decode(self.payload).map_err(|_| OmsError::Base64("payload"))?;
        let signature = STANDARD.decode(sig).map_err(|_| OmsError::Base64("signature"))?;
        key.verify(&pre_authentication_encoding(&payload), &signature)?;
        Ok(payload)
    }
}

impl RawSerialization {
    fn check(mut self) -> Result<SignedRules, OmsError> {
        if self.method != "files" {
            return Err(unsupported("a signature over", &self.method));
        }
        if self.hash_type != "sha256" {
            return Err(unsupported("a signature over files hashed with", &self.hash_type));
        }
        self.ignore_paths.sort();
        self.ignore_paths.dedup();
        match self.ignore_paths.iter().find(|path| !is_plain_path(path)) {
            Some(path) => Err(OmsError::Statement(format!("it ignores {path:?}, which is no path inside the model"))),
            None => Ok(SignedRules { ignored: self.ignore_paths, allow_symlinks: self.allow_symlinks }),
        }
    }
}

fn check_resources(resources: Vec<RawResource>) -> Result<Vec<ModelFile>, OmsError> {
    if resources.is_empty() || resources.len() > MAX_MODEL_FILES {
        return Err(OmsError::Statement(format!("{} files", resources.len())));
    }
    // A model that is one file has the name of its own folder.
    let alone = resources.len() == 1;
    let mut files: Vec<ModelFile> = Vec::with_capacity(resources.len());
    for RawResource { name, algorithm, digest } in resources {
        if algorithm != "sha256" {
            return Err(unsupported("a file hashed with", &algorithm));
        }
        if !(is_plain_path(&name) || alone && name == ".") {
            return Err(OmsError::Statement(format!("{name:?} is no path inside the model")));
        }
        // The tool writes them in order; that also says that each is there once.
        if files.last().is_some_and(|last| in_order(&last.name, &name).is_ge()) {
            return Err(OmsError::Statement(format!("{name:?} is not in its place, or is there twice")));
        }
        files.push(ModelFile { sha256: parse_digest(&digest)?, name });
    }
    Ok(files)
}

fn parse_digest(text: &str) -> Result<Digest32, OmsError> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let digest = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).filter(|_| lower);
    digest.map(Digest32).ok_or_else(|| OmsError::Statement("a digest is not 64 hexadecimal digits".to_owned()))
}

/// DSSE v1: what is signed.
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn unsupported(what: &str, found: &str) -> OmsError {
    let found: String = found.chars().take(100).collect();
    OmsError::Unsupported(format!("{what} {found:?}, which this build does not verify"))
}

fn listed(what: &str, names: &mut dyn Iterator<Item = &str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(NAMES_SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        count if count > NAMES_SHOWN => Some(format!("{what}: {shown} and {} more", count - NAMES_SHOWN)),
        _ => Some(format!("{what}: {shown}")),
    }
}
