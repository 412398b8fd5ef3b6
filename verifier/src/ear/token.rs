//! **Duty.** Claims under a signature: JWT (JWS compact) and CWT (COSE_Sign1). **Knows** two algorithms. **Does not know**
//! what is claimed. **Spec.** RFC 7515 §7.1, RFC 8037, RFC 9052 §4.2 and §4.4, RFC 9053 §2, RFC 8392 §6.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;
use serde_json::json;
use weighbridge_appraisal::Appraisal;
use weighbridge_attest_types::Digest32;

use super::value::Value;
use super::{cbor, claims};
use crate::statement::StatementError;
use crate::statement::keys::SigningKey;

/// COSE's labels and algorithms.
const ALGORITHM: i64 = 1;
const KEY_ID: i64 = 4;
const TYPE: i64 = 16;
const ES256: i64 = -7;
const EDDSA: i64 = -8;
/// CBOR tags of a CWT and of a COSE_Sign1.
const CWT: u64 = 61;
const SIGN1: u64 = 18;
/// RFC 9782.
const MEDIA_TYPE_JWT: &str = "eat+jwt";
const MEDIA_TYPE_CWT: &str = "application/eat+cwt";

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum EarFormat {
    /// JSON, in text.
    #[default]
    Jwt,
    /// CBOR, in bytes.
    Cwt,
}

/// A signed result.
pub(crate) fn sign(
    appraisal: &Appraisal,
    endorsements: &[Digest32],
    key: &SigningKey,
    random: &dyn SecureRandom,
    format: EarFormat,
) -> Result<Vec<u8>, StatementError> {
    let claims = claims(appraisal, endorsements);
    match format {
        EarFormat::Jwt => jwt(&claims, key, random),
        EarFormat::Cwt => cwt(&claims, key, random),
    }
}

fn jwt(claims: &Value, key: &SigningKey, random: &dyn SecureRandom) -> Result<Vec<u8>, StatementError> {
    let algorithm = match key {
        SigningKey::Ed25519(_) => "EdDSA",
        SigningKey::P256(_) => "ES256",
    };
    let header = json!({ "alg": algorithm, "typ": MEDIA_TYPE_JWT, "kid": key.public().id() });
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header.to_string()), part(claims.to_json().to_string()));
    let signature = key.sign_fixed(signed.as_bytes(), random)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into_bytes())
}

fn cwt(claims: &Value, key: &SigningKey, random: &dyn SecureRandom) -> Result<Vec<u8>, StatementError> {
    let algorithm = match key {
        SigningKey::Ed25519(_) => EDDSA,
        SigningKey::P256(_) => ES256,
    };
    let protected = cbor::bytes(&cbor::map(vec![
        (cbor::int(ALGORITHM), cbor::int(algorithm)),
        (cbor::int(KEY_ID), cbor::bytes(key.public().id().as_bytes())),
        (cbor::int(TYPE), cbor::text(MEDIA_TYPE_CWT)),
    ]));
    let payload = cbor::bytes(&cbor::encode(claims));
    let signed = cbor::array(&[cbor::text("Signature1"), protected.clone(), cbor::bytes(&[]), payload.clone()]);
    let signature = key.sign_fixed(&signed, random)?;
    let message = cbor::array(&[protected, cbor::map(Vec::new()), payload, cbor::bytes(&signature)]);
    Ok(cbor::tagged(CWT, &cbor::tagged(SIGN1, &message)))
}
