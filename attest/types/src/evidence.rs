//! **Duty.** Evidence in transit: bounded bytes under a media-type-like kind. **Does not know** what any kind means.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::codec::{Canonical, CodecError, Decoder, Encoder, framed};
use crate::{Binding, Device};

/// Devices of one node that a set may hold. HGX boards hold 8 GPUs and 4 switches; 64 leaves room.
const MAX_DEVICES: usize = 64;
/// Certificates of one chain (EVIDENCE §0 rule 5).
const MAX_CERTIFICATES: usize = 10;
/// Longest name of a kind. Names are printed, compared and hashed: they stay short.
const MAX_KIND_BYTES: usize = 32;

/// Names one evidence format, as `appraise --kind` spells it. A newtype, not an enum: this floor need not know every TEE.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EvidenceKind(String);

impl EvidenceKind {
    /// Intel TDX quotes.
    pub const TDX: &'static str = "tdx";
    /// AMD SEV-SNP reports.
    pub const SEV_SNP: &'static str = "sev-snp";
    /// NVIDIA GPU attestation reports.
    pub const NVIDIA_GPU: &'static str = "nvidia-gpu";
    /// NVIDIA NVSwitch attestation reports.
    pub const NVIDIA_NVSWITCH: &'static str = "nvidia-nvswitch";

    /// Wraps a name of one's own, such as [`EvidenceKind::TDX`]. Names from outside come in by decoding, which refuses
    /// all but 1 to 32 of `a`–`z`, `0`–`9` and `-`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn read(name: &[u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let fits = (1..=MAX_KIND_BYTES).contains(&name.len()) && name.iter().all(plain);
        fits.then(|| String::from_utf8(name.to_vec()).ok()).flatten().map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Canonical for EvidenceKind {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Self::read(input.field()?).ok_or(CodecError::NotCanonical("evidence kind"))
    }
}

impl<'de> Deserialize<'de> for EvidenceKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refused = || D::Error::custom("an evidence kind is 1 to 32 of a-z, 0-9 and -");
        Self::read(text.as_bytes()).ok_or_else(refused)
    }
}

/// One piece of CPU evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceEnvelope {
    /// Its format.
    pub kind: EvidenceKind,
    /// The bytes as received from the platform.
    pub body: Vec<u8>,
}

/// One accelerator's report with its certificate chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvidence {
    /// Which device this claims to be; the Verifier derives it again from the certificates.
    pub device: Device,
    /// Its format.
    pub kind: EvidenceKind,
    /// The canonical report: request, response and signature, nothing after.
    pub report: Vec<u8>,
    /// DER certificates, leaf first.
    pub certificates: Vec<Vec<u8>>,
}

/// A CPU quote with all accelerator reports that its `report_data` covers, and what they are said to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceSet {
    /// What the evidence must be about.
    pub binding: Binding,
    /// The CPU TEE leads.
    pub cpu: EvidenceEnvelope,
    /// Accelerators, ascending by device, each once.
    pub devices: Vec<DeviceEvidence>,
}

framed!(EvidenceEnvelope { kind, body });
framed!(DeviceEvidence { device, kind, report, certificates[MAX_CERTIFICATES] });
framed!(EvidenceSet { binding, cpu, devices[MAX_DEVICES] });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_from_outside_is_a_short_plain_name() {
        let longest = "a".repeat(MAX_KIND_BYTES);
        for name in [EvidenceKind::TDX, EvidenceKind::SEV_SNP, EvidenceKind::NVIDIA_GPU, "0", &longest] {
            let kind = EvidenceKind::new(name);
            assert_eq!(EvidenceKind::from_bytes(&kind.to_bytes()), Ok(kind.clone()));
            assert_eq!(serde_json::from_str::<EvidenceKind>(&serde_json::to_string(&kind).unwrap()).unwrap(), kind);
        }
        let long = "a".repeat(MAX_KIND_BYTES + 1);
        for name in ["", "TDX", "tdx ", "t_dx", "tdx\n", "\u{1b}[2Jtdx", "td\u{445}", "tdx\0", &long] {
            let kind = EvidenceKind::new(name);
            let refused = Err(CodecError::NotCanonical("evidence kind"));
            assert_eq!(EvidenceKind::from_bytes(&kind.to_bytes()), refused, "{name:?}");
            assert!(serde_json::from_str::<EvidenceKind>(&serde_json::to_string(&kind).unwrap()).is_err(), "{name:?}");
        }
        let not_text = vec![0xff, 0xfe].to_bytes();
        assert_eq!(EvidenceKind::from_bytes(&not_text), Err(CodecError::NotCanonical("evidence kind")));
    }
}
