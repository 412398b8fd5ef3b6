//! **Duty.** The JSON claims in the blob: the vTPM's attestation key, and how the paravisor configured the VM.
//! **Does not know** whether the hardware stands behind them. **Spec.** EVIDENCE §4; RFC 7517 (JWK), RFC 7518 §6.3.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

const ATTESTATION_KEY: &str = "HCLAkPub";
/// 65537.
const EXPONENT: &str = "AQAB";
/// RSA-2048: the only kind that the vTPM's attestation key has.
const MODULUS_BYTES: usize = 256;

/// What the claims say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuntimeClaims {
    /// Modulus of HCLAkPub, big-endian.
    pub(super) modulus: Vec<u8>,
    pub(super) vm: VmConfiguration,
}

/// How the VM was set up; older blobs say less.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct VmConfiguration {
    #[serde(rename = "vmUniqueId")]
    pub(super) vm_id: Option<String>,
    pub(super) secure_boot: Option<bool>,
    pub(super) console_enabled: Option<bool>,
    pub(super) tpm_persisted: Option<bool>,
}

#[derive(Deserialize)]
struct Json {
    keys: Vec<Jwk>,
    #[serde(default, rename = "vm-configuration")]
    vm: VmConfiguration,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    e: String,
    n: String,
}

impl RuntimeClaims {
    /// One key of that name, of the one kind.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Json { keys, vm } = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        let mut named = keys.iter().filter(|key| key.kid == ATTESTATION_KEY);
        let (Some(key), None) = (named.next(), named.next()) else {
            return Err(format!("there is not exactly one key {ATTESTATION_KEY}"));
        };
        let modulus = URL_SAFE_NO_PAD.decode(&key.n).map_err(|why| format!("{ATTESTATION_KEY}: {why}"))?;
        let is_whole = modulus.len() == MODULUS_BYTES && modulus.first().is_some_and(|high| *high >= 0x80);
        if key.kty != "RSA" || key.e != EXPONENT || !is_whole {
            return Err(format!("{ATTESTATION_KEY} is no RSA-2048 key with exponent 65537"));
        }
        Ok(Self { modulus, vm })
    }
}
